//! Streams: an acceptor per listener, a reader and a writer task per connection.
//!
//! A message leaves through one of two bounded queues: the library's messages ([`QUEUE_MAX`]; a
//! transaction waits for room) and octets of our own, that is stateless answers and pongs
//! ([`RAW_QUEUE_MAX`]; beyond, the connection closes). A peer that takes nothing for [`WRITE_WAIT`] is
//! cut off, so nobody waits for longer.
//!
//! Bounds: `limits::SIP_CONNS_MAX` connections; unread octets up to `limits::SIP_MESSAGE_BYTES_MAX`
//! and a read each, in a buffer that is small while the connection is quiet; a begun message must be
//! whole after [`MESSAGE_WAIT`], a quiet connection is asked about after `limits::SIP_CONN_IDLE`.

use super::link::{Conn, Counters, Shared, Source};
use crate::base::limits;
use crate::focus::signalling::{Flow, Transport};
use crate::focus::stream::{Step, step};
use bytes::{Buf, Bytes, BytesMut};
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Messages of the library that wait for the writer.
const QUEUE_MAX: usize = 256;

/// Octet strings of our own that wait for the writer.
const RAW_QUEUE_MAX: usize = 64;

/// A write that takes longer ends the connection.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// A message whose first octet is there must be whole after this time.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);

/// How long a connection to a peer may take to come about.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Room for the usual request; a longer one makes the buffer grow.
const READ_BYTES: usize = 4 * 1024;

/// Octets gathered into one write.
const WRITE_BYTES: usize = 64 * 1024;

/// A bound TCP listener.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    /// `host:port` as we call ourselves; `None` for the address that the peer found.
    pub(super) local: Option<Arc<str>>,
}

/// Accepts connections.
pub(super) async fn serve(shared: Arc<Shared>, acceptor: Acceptor) {
    loop {
        match acceptor.listener.accept().await {
            Ok((stream, peer)) => {
                let found = || stream.local_addr().ok().map(|a| a.to_string().into());
                if let Some(local) = acceptor.local.clone().or_else(found) {
                    // Closed at once if there are too many; the counter tells.
                    let _ = start(&shared, stream, peer, local).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a SIP connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Opens a connection to `peer`.
pub(super) async fn connect(shared: &Arc<Shared>, peer: SocketAddr, local: Arc<str>) -> Option<Conn> {
    let stream = timeout(CONNECT_WAIT, TcpStream::connect(peer)).await.ok()?.ok()?;
    start(shared, stream, peer, local).await
}

/// Makes a connection one of ours.
async fn start(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, local: Arc<str>) -> Option<Conn> {
    // Without it answers would wait for the peer's delayed acknowledgements; if it fails they do.
    let _ = stream.set_nodelay(true);
    let (messages, outgoing) = mpsc::channel(QUEUE_MAX);
    let (raw, raw_outgoing) = mpsc::channel(RAW_QUEUE_MAX);
    let (_never, nothing) = mpsc::unbounded_channel();
    let address = SipAddr { r#type: Some(rsipstack::sip::Transport::Tcp), ..SipAddr::from(peer) };
    let channel =
        ChannelConnection::create_connection_bounded(nothing, messages, address, None).await.ok()?;
    let conn =
        Conn { connection: SipConnection::Channel(channel), peer, local, closed: CancellationToken::new() };
    let link = shared.admit(conn.clone())?;
    let (reader, writer) = stream.into_split();
    tokio::spawn(write(shared.clone(), writer, outgoing, raw_outgoing, conn.closed.clone()));
    let task = tokio::spawn(read(shared.clone(), reader, raw, conn.clone(), link));
    let shared = shared.clone();
    tokio::spawn(async move {
        // Also after a panic of the library, which costs this connection only.
        let ended = task.await;
        tracing::debug!(%peer, ?ended, "SIP connection over");
        shared.forget(link);
    });
    Some(conn)
}

/// Reads until the peer or we want no more; says why.
async fn read(
    shared: Arc<Shared>,
    mut stream: OwnedReadHalf,
    raw: mpsc::Sender<Bytes>,
    conn: Conn,
    link: u64,
) -> &'static str {
    let mut buffer = BytesMut::new();
    loop {
        // A line end may be half of a ping, or all there is of it: no message has begun.
        let begun = buffer.iter().any(|b| !b"\r\n".contains(b));
        let wait = if begun { MESSAGE_WAIT } else { limits::SIP_CONN_IDLE };
        if buffer.is_empty() && buffer.capacity() > 4 * READ_BYTES {
            buffer = BytesMut::new();
        }
        buffer.reserve(READ_BYTES);
        let received = tokio::select! {
            received = timeout(wait, stream.read_buf(&mut buffer)) => received,
            () = conn.closed.cancelled() => return "closed by us",
        };
        match received {
            Ok(Ok(0)) => return "closed by peer",
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return "broken",
            Err(_) if !begun => {
                // The loop knows whether a dialog uses the connection, and closes it if none does.
                let _ = shared.events.send(super::Event::Idle(link)).await;
                continue;
            }
            Err(_) => return "message not finished",
        }
        if let Err(why) = messages(&shared, &mut buffer, &raw, &conn, link).await {
            Counters::add(&shared.counters.broken);
            tracing::info!(peer = %conn.peer, why, "SIP connection closed: not understood");
            return why;
        }
    }
}

/// Handles what is whole in the buffer.
async fn messages(
    shared: &Shared,
    buffer: &mut BytesMut,
    raw: &mpsc::Sender<Bytes>,
    conn: &Conn,
    link: u64,
) -> Result<(), &'static str> {
    let say = |octets: Vec<u8>| raw.try_send(octets.into()).map_err(|_| "too many answers waiting");
    loop {
        match step(buffer) {
            Step::Wait => return Ok(()),
            Step::Skip(n) => buffer.advance(n),
            Step::Ping(n) => {
                buffer.advance(n);
                say(b"\r\n".to_vec())?;
            }
            Step::Message(n) => {
                let message = buffer.split_to(n);
                if let Err(fault) = shared.deliver(&message, source(conn, link)).await {
                    tracing::debug!(peer = %conn.peer, code = fault.code, why = fault.why, "SIP message refused");
                    let (octets, _) = fault.answer(conn.peer).ok_or(fault.why)?;
                    say(octets)?;
                }
            }
            Step::Broken(why, head) => {
                // The framing fault may hide a message that deserves an answer (RFC 4475 §3.1.2.3).
                if let Err(fault) = crate::focus::strict::read(&buffer[..head])
                    && let Some((octets, _)) = fault.answer(conn.peer)
                {
                    say(octets)?;
                }
                return Err(why);
            }
        }
    }
}

fn source(conn: &Conn, link: u64) -> Source<'_> {
    let flow = Flow { transport: Transport::Tcp, link, peer: conn.peer, local: conn.local.clone() };
    Source { connection: &conn.connection, flow }
}

/// Writes until the connection is closed, then what is left.
async fn write(
    shared: Arc<Shared>,
    mut stream: OwnedWriteHalf,
    mut messages: mpsc::Receiver<TransportEvent>,
    mut raw: mpsc::Receiver<Bytes>,
    closed: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        let last = tokio::select! {
            Some(event) = messages.recv() => { append(&mut batch, event); false }
            Some(octets) = raw.recv() => { batch.extend_from_slice(&octets); false }
            () = closed.cancelled() => true,
        };
        while batch.len() < WRITE_BYTES || last {
            if let Ok(event) = messages.try_recv() {
                append(&mut batch, event);
            } else if let Ok(octets) = raw.try_recv() {
                batch.extend_from_slice(&octets);
            } else {
                break;
            }
        }
        match timeout(WRITE_WAIT, send(&mut stream, &batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                Counters::add(&shared.counters.stalled);
                break;
            }
        }
        if last {
            break;
        }
        batch.clear();
        batch.shrink_to(READ_BYTES);
    }
    closed.cancel();
    // An error means that the peer was faster.
    let _ = stream.shutdown().await;
}

async fn send(stream: &mut OwnedWriteHalf, octets: &[u8]) -> io::Result<()> {
    stream.write_all(octets).await
}

fn append(batch: &mut Vec<u8>, event: TransportEvent) {
    if let TransportEvent::Incoming(message, ..) = event {
        batch.extend_from_slice(&message.to_bytes());
    }
}
