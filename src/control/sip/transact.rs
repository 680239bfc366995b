//! Between the focus's values and the library's: server transactions in, client transactions out.
//!
//! Bounds: a task per live transaction, ended after [`LIFE`] whatever happens; host names are looked up
//! within [`LOOKUP_WAIT`].

use super::Event;
use super::link::{Conn, Counters, Shared, library_transport};
use super::tcp;
use crate::base::decimal::{push_number, push_socket};
use crate::base::limits;
use crate::focus::signalling::{
    Flow, Headers, Method, NameAddr, Outgoing, Reply, Request, Response, SipUri, Transport, phrase,
};
use crate::focus::{Input, RequestId, TxId};
use rsipstack::sip as lib;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::uri::parse_uri;
use rsipstack::transaction::Transaction;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use rsipstack::transport::{SipAddr, SipConnection};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The name of the header that carries our mark through the library: no token, so no wire has it.
const MARK: &str = "(mark)";

/// The longest life of a transaction: the shard's answer, then 64*T1 for the ACK, and some.
const LIFE: Duration = Duration::from_secs(60);

/// How long a name may take to become an address.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// A request longer than this is tried over TCP first: it may not fit into one packet (RFC 3261 §18.1.1).
const PACKET_BYTES_MAX: usize = 1300;

/// Octets of a request besides its body, more or less.
const HEAD_BYTES: usize = 500;

/// Header lines as the library keeps them.
pub(super) fn library_lines(headers: Headers) -> impl Iterator<Item = lib::Header> {
    headers.into_lines().map(|(name, value)| make_header(&name, value.into_string()))
}

/// A sound request as the library keeps it, with our mark; `None` if the library cannot hold it. The library looks at
/// no Request-URI of a request that comes in, so it is not read a second time.
pub(super) fn mark(request: Request, flow: &Flow) -> Option<lib::Request> {
    let Request { method, uri, headers, body } = request;
    let Flow { transport, link, peer, local } = flow;
    let mut mark = String::with_capacity(64 + local.len() + uri.len());
    for word in [method.as_str(), transport.as_str()] {
        mark.push_str(word);
        mark.push(' ');
    }
    push_number(&mut mark, *link);
    mark.push(' ');
    push_socket(&mut mark, *peer);
    for word in [local, &*uri] {
        mark.push(' ');
        mark.push_str(word);
    }
    let method = method.as_str().parse().ok()?;
    let mark = lib::Header::Other(MARK.into(), mark);
    let headers = lib::Headers(library_lines(headers).chain([mark]).collect());
    Some(lib::Request { method, uri: lib::Uri::default(), version: lib::Version::V2, headers, body })
}

/// What [`mark`] was given. The connection may have closed since.
pub(super) fn unmark(request: &lib::Request) -> Option<(Request, Flow)> {
    let mut headers = Headers::with_capacity(request.headers.0.len());
    let mut mark = None;
    for header in request.headers.iter() {
        if header.name() == MARK {
            mark = Some(header.value());
        } else {
            headers.push(header.name(), header.value());
        }
    }
    let mut parts = mark?.splitn(6, ' ');
    let method = Method::parse(parts.next()?)?;
    let transport = if parts.next()? == Transport::Tcp.as_str() { Transport::Tcp } else { Transport::Udp };
    let (link, peer) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let flow = Flow { transport, link, peer, local: parts.next()?.into() };
    let uri = parts.next()?.into();
    Some((Request { method, uri, headers, body: request.body.clone() }, flow))
}

/// What is needed to answer a server transaction.
pub(super) struct Answering {
    queue: TransactionEventSender,
    /// Via, From, To, Call-ID and CSeq of the request.
    copied: Vec<lib::Header>,
}

impl Answering {
    pub(super) fn of(transaction: &Transaction) -> Self {
        let copied = transaction.original.headers.iter().filter(|h| {
            matches!(
                h,
                lib::Header::Via(_)
                    | lib::Header::From(_)
                    | lib::Header::To(_)
                    | lib::Header::CallId(_)
                    | lib::Header::CSeq(_)
            )
        });
        Self { queue: transaction.tu_sender.clone(), copied: copied.cloned().collect() }
    }

    /// Hands a response to the transaction, which sends and repeats it.
    pub(super) fn respond(&self, response: Response) {
        let copied = self.copied.iter().map(|header| match header {
            lib::Header::To(to) => lib::Header::To(tagged(to.value(), response.to_tag.as_deref()).into()),
            header => header.clone(),
        });
        let own = library_lines(response.headers);
        let body = response.body.into_bytes();
        let server = lib::Header::Server(String::from("openmsrp").into());
        let length = lib::Header::ContentLength(body.len().to_string().into());
        let headers = lib::Headers(copied.chain(own).chain([server, length]).collect());
        let code = (response.code, phrase(response.code));
        let status_code = lib::StatusCode::try_from(code).unwrap_or_default();
        let response =
            lib::Response { status_code, wire_reason: None, version: lib::Version::V2, headers, body };
        // A transaction that has ended needs no answer.
        let _ = self.queue.send(TransactionEvent::Respond(response));
    }
}

/// To with a tag, as every response but 100 has it (RFC 3261 §8.2.6.2).
fn tagged(to: &str, tag: Option<&str>) -> String {
    if NameAddr::parse(to).is_some_and(|t| t.param("tag").is_some()) {
        return to.to_owned();
    }
    tag.map_or(to.to_owned(), |tag| [to, ";tag=", tag].concat())
}

/// Runs a server transaction to its end and tells the loop what the focus must know.
pub(super) async fn serve(mut transaction: Transaction, tx: TxId, shared: Arc<Shared>) {
    let mut acked = false;
    let life = async {
        while let Some(message) = transaction.receive().await {
            let lib::SipMessage::Request(request) = message else { continue };
            let input = match request.method {
                lib::Method::Ack if is_success(&transaction) => {
                    acked = true;
                    let Some((request, flow)) = unmark(&request) else { continue };
                    Input::Acked { tx, request, flow }
                }
                lib::Method::Cancel => Input::Cancelled { tx },
                _ => continue,
            };
            // The loop is gone only when all is over.
            let _ = shared.events.send(Event::Input(Box::new(input))).await;
        }
    };
    let _ = timeout(LIFE, life).await;
    if transaction.original.method == lib::Method::Invite && is_success(&transaction) && !acked {
        let _ = shared.events.send(Event::Input(Box::new(Input::NotAcked { tx }))).await;
    }
    let _ = shared.events.send(Event::Over(tx)).await;
}

fn is_success(transaction: &Transaction) -> bool {
    let last = transaction.last_response.as_ref();
    last.is_some_and(|r| r.status_code.kind() == lib::StatusCodeKind::Successful)
}

/// Sends a request of ours and tells the loop how it ended. A connection that breaks under it may
/// have been dying for long, or whoever listens there speaks no SIP, so one more road is tried.
pub(super) async fn send(shared: Arc<Shared>, id: RequestId, request: Outgoing) {
    let reply = match attempt(&shared, &request, true).await {
        Some(reply) => reply,
        None => attempt(&shared, &request, false).await.unwrap_or_else(|| Reply::bare(503)),
    };
    let _ = shared.events.send(Event::Answer(id, reply)).await;
}

/// The final answer; `None` if the request could not be sent. The 2xx to an INVITE is acknowledged by
/// the library.
///
/// A request that fits into no datagram is not sent in one, and one that fits into no packet may have been lost
/// for its size if nobody answers: both end with 513, so that whoever sends it may try with less.
async fn attempt(shared: &Arc<Shared>, request: &Outgoing, first: bool) -> Option<Reply> {
    let road = road(shared, request, first).await?;
    let (connection, destination, conn) = match &road {
        Road::Stream(conn) => (&conn.connection, None, Some(conn)),
        Road::Datagrams(connection, to) => {
            let address = SipAddr { r#type: Some(library_transport(Transport::Udp)), ..SipAddr::from(*to) };
            (connection, Some(address), None)
        }
    };
    let peer = match &road {
        Road::Stream(conn) => conn.peer,
        Road::Datagrams(_, to) => *to,
    };
    let local = conn.map_or(&request.flow.local, |c| &c.local);
    let transport = if conn.is_some() { Transport::Tcp } else { Transport::Udp };
    let long = conn.is_none() && request.body_len() > PACKET_BYTES_MAX - HEAD_BYTES;
    let request = library_request(request, transport, local)?;
    let octets = if long { request.to_string().len() } else { 0 };
    if octets > limits::SIP_DATAGRAM_BYTES_MAX {
        Counters::add(&shared.counters.too_long);
        return Some(Reply::bare(513));
    }
    let silence = if octets > PACKET_BYTES_MAX { 513 } else { 408 };
    let key = TransactionKey::from_request(&request, TransactionRole::Client).ok()?;
    let mut transaction =
        Transaction::new_client(key, request, shared.endpoint.clone(), Some(connection.clone()));
    transaction.destination = destination;
    let answered = async {
        transaction.send().await.ok()?;
        while let Some(message) = transaction.receive().await {
            if let lib::SipMessage::Response(response) = message
                && response.status_code.kind() != lib::StatusCodeKind::Provisional
            {
                let reply = reply(&response, peer);
                return Some(if reply.code == 408 { Reply::bare(silence) } else { reply });
            }
        }
        Some(Reply::bare(silence))
    };
    let broken = async {
        match conn {
            Some(conn) => conn.closed.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        code = timeout(LIFE, answered) => code.unwrap_or_else(|_| Some(Reply::bare(silence))),
        () = broken => None,
    }
}

/// A final answer as the focus knows it.
fn reply(response: &lib::Response, peer: SocketAddr) -> Reply {
    let mut headers = Headers::default();
    for header in response.headers.iter() {
        headers.push(header.name(), header.value());
    }
    Reply { code: response.status_code.code(), headers, body: response.body.clone(), peer: Some(peer) }
}

/// How a request travels.
enum Road {
    Stream(Conn),
    Datagrams(SipConnection, SocketAddr),
}

/// The connection of the dialog while it lives; else what the next hop says, and at the `first` attempt a
/// connection for what is long.
async fn road(shared: &Arc<Shared>, request: &Outgoing, first: bool) -> Option<Road> {
    let flow = &request.flow;
    if flow.transport == Transport::Tcp
        && let Some(conn) = shared.conn(flow.link)
    {
        return Some(Road::Stream(conn));
    }
    let hop = SipUri::parse(&request.hop)?;
    let to = address(shared, hop.host, hop.port.unwrap_or(5060)).await?;
    let stream = async || match shared.conn_to(to) {
        Some(conn) => Some(Road::Stream(conn)),
        None => tcp::connect(shared, to, flow.local.clone()).await.map(Road::Stream),
    };
    if hop.param("transport").is_some_and(|t| t.eq_ignore_ascii_case("tcp")) {
        return stream().await;
    }
    if first
        && request.body_len() > PACKET_BYTES_MAX - HEAD_BYTES
        && let Some(road) = stream().await
    {
        return Some(road);
    }
    let fits = |l: &&super::Listener| l.address.is_ipv4() == to.is_ipv4();
    let own = usize::try_from(flow.link).ok().and_then(|i| shared.listeners.get(i)).filter(fits);
    let listener = own.or_else(|| shared.listeners.iter().find(fits))?;
    Some(Road::Datagrams(listener.connection.clone(), to))
}

/// The address of a host, of a family that we have a listener for.
async fn address(shared: &Shared, host: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = host.parse() {
        return Some(SocketAddr::new(ip, port));
    }
    let mut found = timeout(LOOKUP_WAIT, tokio::net::lookup_host((host, port))).await.ok()?.ok()?;
    found.find(|a| shared.listeners.iter().any(|l| l.address.is_ipv4() == a.is_ipv4()))
}

fn library_request(request: &Outgoing, transport: Transport, local: &str) -> Option<lib::Request> {
    let via = format!("SIP/2.0/{} {local};branch=z9hG4bK{};rport", transport.as_str(), request.branch);
    let via = make_header("Via", via);
    let agent = make_header("User-Agent", "openmsrp".into());
    let lines = [via].into_iter().chain(library_lines(request.headers.clone())).chain([agent]);
    Some(lib::Request {
        method: request.method.as_str().parse().ok()?,
        uri: parse_uri(&request.uri).ok()?,
        version: lib::Version::V2,
        headers: lib::Headers(lines.collect()),
        body: request.whole_body().into_bytes(),
    })
}
