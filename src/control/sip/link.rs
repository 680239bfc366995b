//! What all SIP tasks share: listeners, live connections, counters, and the one way in for a message.

use super::{Event, FINISHED_MAX};
use crate::base::limits;
use crate::control::sip::transact;
use crate::focus::signalling::{Flow, Method, Transport};
use crate::focus::strict::{self, Fault, Message};
use ahash::AHashMap;
use rsipstack::sip::{self as lib, SipMessage};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::udp::{UdpConnection, UdpInner};
use rsipstack::transport::{SipAddr, SipConnection};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that were no sound SIP, answered or not.
    pub refused: AtomicU64,
    /// Datagrams without an answer: no SIP at all, or a response to nothing.
    pub dropped: AtomicU64,
    /// Requests answered 503 because of the bounds on transactions.
    pub overloaded: AtomicU64,
    /// Connections closed because their octets made no sense.
    pub broken: AtomicU64,
    /// Connections closed at once because there were too many.
    pub crowded: AtomicU64,
    /// Connections closed because they took nothing.
    pub stalled: AtomicU64,
    /// Datagrams that the system did not take.
    pub unsent: AtomicU64,
    /// Requests that fit into no datagram and could not go over TCP; a notice is followed by a shorter one.
    pub too_long: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One address we listen on.
pub(super) struct Listener {
    pub(super) socket: Arc<UdpSocket>,
    /// The same socket for the library.
    pub(super) connection: SipConnection,
    pub(super) address: SocketAddr,
    pub(super) local: Arc<str>,
}

impl Listener {
    pub(super) async fn new(socket: Arc<UdpSocket>, address: SocketAddr, local: Arc<str>) -> Self {
        let inner = UdpInner { conn: socket.clone(), addr: SipAddr::from(address) };
        let connection = SipConnection::Udp(UdpConnection::attach(inner, None, None).await);
        Self { socket, connection, address, local }
    }
}

/// A live TCP connection.
#[derive(Clone)]
pub(super) struct Conn {
    pub(super) connection: SipConnection,
    pub(super) peer: SocketAddr,
    pub(super) local: Arc<str>,
    /// Cancelled when the connection is, or is to be, closed.
    pub(super) closed: CancellationToken,
}

/// Shared by all tasks of the SIP side.
pub(super) struct Shared {
    pub(super) endpoint: EndpointInnerRef,
    pub(super) listeners: Vec<Listener>,
    pub(super) counters: Arc<Counters>,
    pub(super) events: mpsc::Sender<Event>,
    /// Everything ends with it.
    pub(super) over: CancellationToken,
    conns: Mutex<Conns>,
    last_link: AtomicU64,
}

/// The live connections.
#[derive(Default)]
struct Conns {
    table: AHashMap<u64, Conn>,
    /// The newest connection to each peer.
    by_peer: AHashMap<SocketAddr, u64>,
}

/// Where a message came from.
pub(super) struct Source<'a> {
    pub(super) connection: &'a SipConnection,
    pub(super) flow: Flow,
}

impl Shared {
    pub(super) fn new(
        endpoint: EndpointInnerRef,
        listeners: Vec<Listener>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        // The first links are the listeners' UDP sockets.
        let last_link = AtomicU64::new(listeners.len() as u64);
        Self {
            endpoint,
            listeners,
            counters: Arc::default(),
            events,
            over: CancellationToken::new(),
            conns: Mutex::default(),
            last_link,
        }
    }

    fn conns(&self) -> MutexGuard<'_, Conns> {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection; `None` if there are as many as there may be.
    pub(super) fn admit(&self, conn: Conn) -> Option<u64> {
        let mut conns = self.conns();
        if conns.table.len() >= limits::SIP_CONNS_MAX {
            Counters::add(&self.counters.crowded);
            return None;
        }
        let link = self.last_link.fetch_add(1, Ordering::Relaxed);
        conns.by_peer.insert(conn.peer, link);
        conns.table.insert(link, conn);
        Some(link)
    }

    pub(super) fn forget(&self, link: u64) {
        let mut conns = self.conns();
        if let Some(conn) = conns.table.remove(&link) {
            if conns.by_peer.get(&conn.peer) == Some(&link) {
                conns.by_peer.remove(&conn.peer);
            }
            conn.closed.cancel();
        }
    }

    pub(super) fn conn(&self, link: u64) -> Option<Conn> {
        self.conns().table.get(&link).filter(|c| !c.closed.is_cancelled()).cloned()
    }

    /// A live connection to `peer`.
    pub(super) fn conn_to(&self, peer: SocketAddr) -> Option<Conn> {
        let link = *self.conns().by_peer.get(&peer)?;
        self.conn(link)
    }

    pub(super) fn close(&self) {
        self.over.cancel();
        self.conns().table.values().for_each(|c| c.closed.cancel());
    }

    /// Takes one whole message.
    ///
    /// # Errors
    /// The [`Fault`] says what to answer without a transaction.
    pub(super) async fn deliver(&self, raw: &[u8], from: Source<'_>) -> Result<(), Fault> {
        let message = strict::read(raw).inspect_err(|_| Counters::add(&self.counters.refused))?;
        // The request is given away: what is refused after all is read again for the answer.
        let refusal = || match strict::read(raw) {
            Ok(Message::Request(request)) => Err(Fault::of(400, "Bad Request", &request)),
            Ok(Message::Response { .. }) => Ok(()),
            Err(fault) => Err(fault),
        };
        let message = match message {
            Message::Request(mut request) => {
                strict::stamp(&mut request.headers, from.flow.peer);
                if self.is_busy(request.method) {
                    Counters::add(&self.counters.overloaded);
                    return Err(Fault::of(503, "Service Unavailable", &request));
                }
                match transact::mark(request, &from.flow) {
                    Some(request) => SipMessage::Request(request),
                    None => return refusal(),
                }
            }
            Message::Response { code, headers, body } => {
                let status_code = lib::StatusCode::try_from((code, "")).unwrap_or_default();
                let headers = lib::Headers(transact::library_lines(headers).collect());
                let version = lib::Version::V2;
                SipMessage::Response(lib::Response { status_code, wire_reason: None, version, headers, body })
            }
        };
        let address =
            SipAddr { r#type: Some(library_transport(from.flow.transport)), ..SipAddr::from(from.flow.peer) };
        let done = self.endpoint.on_received_message(message, from.connection.clone(), &address).await;
        done.or_else(|error| {
            tracing::debug!(%error, "the library refuses a message");
            refusal()
        })
    }

    /// Whether a request of this method must wait for better times. What ends things never must.
    fn is_busy(&self, method: Method) -> bool {
        let ends = matches!(method, Method::Ack | Method::Cancel | Method::Bye);
        let share = if ends { 2 } else { 1 };
        self.endpoint.transactions.len() >= share * limits::SIP_TRANSACTIONS_MAX
            || self.endpoint.finished_transactions.len() >= share * FINISHED_MAX
    }
}

pub(super) fn library_transport(transport: Transport) -> lib::Transport {
    match transport {
        Transport::Udp => lib::Transport::Udp,
        Transport::Tcp => lib::Transport::Tcp,
    }
}
