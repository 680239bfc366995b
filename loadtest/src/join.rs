//! Joining: one INVITE dialog and one bound MSRP connection per participant, many at a time.
//!
//! ```text
//!   INVITE ─▶ 200 with a path ─▶ connect to it ─▶ empty SEND ─▶ 200: bound
//!   (Caller, one socket)         (here)           (the engine thread of the room)
//! ```
//!
//! A grant lapses some seconds after the 200 to the INVITE, so each participant is taken all the way
//! before its place among the `--join-parallel` is given to the next. The first failure ends the test: the
//! dialogs that stand are ended with BYE. Bounded by the number of participants, [`BIND_WAIT`] and
//! [`LEAVE_WAIT`].

use crate::args::{Party, SipTransport};
use crate::conn::Grant;
use crate::cpu;
use crate::engine::Order;
use crate::progress::Progress;
use crate::score::Seat;
use crate::sys;
use openmsrp::client::call::{Call, CallError, Caller, Invite, Transport};
use openmsrp::wire::msrp::uri::{self, MsrpUri};
use openmsrp::wire::sdp::{self, Description, Setup};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::net::{TcpSocket, lookup_host};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// From the connection to the 200 for the binding request.
const BIND_WAIT: Duration = Duration::from_secs(20);
/// For all BYEs together.
const LEAVE_WAIT: Duration = Duration::from_secs(20);
/// Port in offers and own paths: nobody listens, the participant connects (RFC 4975 §5.4, RFC 6135).
const DISCARD_PORT: u16 = 9;
/// Source addresses on loopback, at most.
const SOURCES_MAX: u64 = 200;

/// What all participants share.
struct Plan {
    caller: Caller,
    party: Party,
    /// For session ids: different in each run.
    run: u64,
    engines: Vec<Sender<Order>>,
    /// Participants per source address; `None`: the kernel chooses the address.
    per_source: Option<u64>,
}

/// Joins everybody; returns the calls that must be ended.
///
/// # Errors
/// What was wrong and what to do. All calls are ended then.
pub(crate) async fn join(
    party: &Party,
    server: SocketAddr,
    run: u64,
    engines: &[Sender<Order>],
) -> Result<Vec<Call>, String> {
    let transport = match party.transport {
        SipTransport::Udp => Transport::Udp,
        SipTransport::Tcp => Transport::Tcp,
    };
    let caller = Caller::new(server, transport).await.map_err(|e| {
        format!("SIP to {server}: {}", explain(&e, "is the server running, with this port for SIP?"))
    })?;
    let plan = Arc::new(Plan {
        caller,
        party: party.clone(),
        run,
        engines: engines.to_vec(),
        per_source: per_source(party.total(), server, cpu::ephemeral_ports()),
    });
    let mut progress = Progress::new(party.total());
    let mut calls = Vec::with_capacity(party.total() as usize);
    let mut under_way = JoinSet::new();
    let mut next = 0;
    while (calls.len() as u64) < party.total() {
        while next < party.total() && under_way.len() < party.join_parallel as usize {
            under_way.spawn(join_one(Arc::clone(&plan), next));
            next += 1;
        }
        match under_way.join_next().await {
            Some(Ok(Ok(call))) => calls.push(call),
            Some(Ok(Err(why))) => {
                progress.stop();
                under_way.shutdown().await;
                leave(calls).await;
                return Err(why);
            }
            Some(Err(e)) => return Err(format!("a joining task ended: {e}")),
            None => break,
        }
        progress.reached(calls.len() as u64);
    }
    progress.stop();
    Ok(calls)
}

/// Ends all calls; returns how many answered in time.
pub(crate) async fn leave(calls: Vec<Call>) -> usize {
    let mut calls = calls.into_iter();
    let mut under_way = JoinSet::new();
    let mut done = 0;
    let all = async {
        loop {
            while under_way.len() < 256
                && let Some(call) = calls.next()
            {
                under_way.spawn(call.bye());
            }
            match under_way.join_next().await {
                Some(_) => done += 1,
                None => break,
            }
        }
    };
    // Those that do not answer are left to the server's own timers.
    let _ = tokio::time::timeout(LEAVE_WAIT, all).await;
    done
}

async fn join_one(plan: Arc<Plan>, number: u64) -> Result<Call, String> {
    let party = &plan.party;
    let seat = Seat::of(number, party.participants, plan.engines.len() as u32);
    let names = party.names();
    let (room, from) = (names.room(seat.room), names.participant(number));
    let source = source_of(number, &plan);
    let host = match source {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let local = format!("msrp://{host}:{DISCARD_PORT}/{:016x}{number:x};tcp", plan.run);
    let offer = sdp::offer(&sdp::Local {
        username: "-",
        session: number + 1,
        version: 1,
        host: &host,
        port: DISCARD_PORT,
        path: &local,
        setup: Setup::Active,
        wrapped_types: "*",
        accept_types: "message/cpim",
        max_size: 0,
        chatroom: Some(""),
        secure: false,
    });
    let request = Invite { room: &room, from: &from, display_name: "", offer: &offer };
    let call = plan.caller.invite(&request).await.map_err(|e| refusal(&room, &from, &e))?;
    match enter(&plan, seat, &call, source, local, from, room.clone()).await {
        Ok(()) => Ok(call),
        Err(why) => {
            call.bye().await;
            Err(format!("{room}, participant {}: {why}", seat.member))
        }
    }
}

async fn enter(
    plan: &Plan,
    seat: Seat,
    call: &Call,
    source: IpAddr,
    local: String,
    from: String,
    room: String,
) -> Result<(), String> {
    let remote = path_of(&call.answer)?;
    let target = target_of(&remote).await?;
    let source = plan.per_source.map(|_| source);
    let socket = connect(target, source).await.map_err(|e| format!("MSRP to {target}: {e}"))?;
    let (bound, wait) = oneshot::channel();
    let order = Order::Bind(Box::new(Grant { seat, socket, local, remote, from, room, bound }));
    let engine = seat.room as usize % plan.engines.len();
    plan.engines[engine].send(order).map_err(|_| "the harness's thread has ended".to_owned())?;
    match tokio::time::timeout(BIND_WAIT, wait).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("the harness's thread has ended".into()),
        Err(_) => Err(format!("no answer to the binding request within {} s", BIND_WAIT.as_secs())),
    }
}

/// The path in the answer.
fn path_of(answer: &str) -> Result<String, String> {
    let description =
        Description::parse(answer.as_bytes()).map_err(|e| format!("the answer cannot be read: {e}"))?;
    let chat = description.chat().map_err(|e| format!("the answer has no chat: {e}"))?;
    if chat.secure {
        return Err("the server wants TLS, which the harness does not speak: offer MSRP over TCP".into());
    }
    Ok(chat.path.clone())
}

/// Where the first URI of a path leads.
async fn target_of(path: &str) -> Result<SocketAddr, String> {
    let first = uri::path(path.as_bytes()).next().unwrap_or_default();
    let uri = MsrpUri::parse(first).map_err(|e| format!("the answer's path {path}: {e}"))?;
    let host = String::from_utf8_lossy(uri.host).into_owned();
    let port = uri.port.unwrap_or(2855);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let mut found =
        lookup_host((host.as_str(), port)).await.map_err(|e| format!("{host} (the answer's path): {e}"))?;
    found.next().ok_or_else(|| format!("{host} (the answer's path) has no address"))
}

async fn connect(target: SocketAddr, source: Option<IpAddr>) -> Result<std::net::TcpStream, String> {
    let hint = "is the server's MSRP port open to this machine?";
    let connected = async {
        let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(ip) = source.filter(|ip| ip.is_ipv4() == target.is_ipv4()) {
            sys::bind_without_port(&socket)?;
            socket.bind((ip, 0).into())?;
        }
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        // Stays non-blocking: the engine's epoll takes over.
        stream.into_std()
    };
    match tokio::time::timeout(BIND_WAIT, connected).await {
        Ok(result) => result.map_err(|e| explain(&e, hint)),
        Err(_) => Err(format!("no connection within {} s; {hint}", BIND_WAIT.as_secs())),
    }
}

/// What an error of a socket means here, and what to do.
fn explain(e: &io::Error, hint: &str) -> String {
    match e.kind() {
        ErrorKind::ConnectionRefused => format!("connection refused; {hint}"),
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => format!(
            "local ports are exhausted ({e}); widen net.ipv4.ip_local_port_range, wait for old connections \
             to leave TIME-WAIT, or join fewer participants"
        ),
        _ if e.raw_os_error() == Some(libc::EMFILE) => {
            "no more open files; raise the hard limit (ulimit -Hn) or join fewer participants".into()
        }
        _ => e.to_string(),
    }
}

fn refusal(room: &str, from: &str, e: &CallError) -> String {
    let hint = match e {
        CallError::Refused { code: 404, .. } => {
            "; do --domain and --room-prefix match rooms the server serves or creates?"
        }
        CallError::Refused { code: 403, .. } => "; may participants of this domain enter?",
        CallError::Refused { code: 480 | 486 | 500 | 503, .. } => {
            "; the server is at a limit of its own: raise it, or lower --participants, --rooms or --join-parallel"
        }
        CallError::NoAnswer => "; is it a SIP server, with this --transport? Try a lower --join-parallel",
        CallError::Connection(_) => "; is the server running, with this port for SIP?",
        _ => "",
    };
    format!("INVITE of {from} to {room}: {e}{hint}")
}

/// Source addresses are chosen when one has too few ports; only loopback has several.
fn per_source(total: u64, server: SocketAddr, ports: u32) -> Option<u64> {
    // The kernel looks at one half of the ports first and is slow once that is full; other programs and
    // connections in TIME-WAIT need some too.
    let usable = u64::from(ports).max(10) * 4 / 10;
    let IpAddr::V4(ip) = server.ip() else { return None };
    (ip.is_loopback() && total > usable).then(|| usable.max(total.div_ceil(SOURCES_MAX)))
}

fn source_of(number: u64, plan: &Plan) -> IpAddr {
    match plan.per_source {
        // 127.0.0.2 and on: the first one is everybody's.
        Some(per_source) => Ipv4Addr::new(127, 0, 0, 2 + (number / per_source) as u8).into(),
        None => plan.caller.local_addr().ip(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_source_addresses_are_used_only_on_loopback_and_only_if_needed() {
        let local = SocketAddr::from(([127, 0, 0, 1], 5060));
        let far = SocketAddr::from(([192, 0, 2, 1], 5060));
        assert_eq!(per_source(10_000, local, 28_000), None);
        assert_eq!(per_source(100_000, local, 28_000), Some(11_200));
        assert_eq!(per_source(100_000, far, 28_000), None);
        assert!(per_source(1_000_000, local, 100).is_some_and(|n| 1_000_000_u64.div_ceil(n) <= SOURCES_MAX));
    }

    #[test]
    fn errors_of_sockets_say_what_to_do() {
        let text = explain(&ErrorKind::ConnectionRefused.into(), "is it on?");
        assert_eq!(text, "connection refused; is it on?");
        let text = explain(&io::Error::from_raw_os_error(libc::EADDRNOTAVAIL), "");
        assert!(text.contains("ip_local_port_range"));
        let text = explain(&io::Error::from_raw_os_error(libc::EMFILE), "");
        assert!(text.contains("ulimit"));
    }

    #[test]
    fn a_refused_invite_names_code_warning_and_remedy() {
        let e = CallError::Refused {
            code: 486,
            phrase: "Busy Here".into(),
            warning: Some("399 x \"room is full\"".into()),
        };
        let text = refusal("sip:room0@x", "sip:u0@x", &e);
        assert!(
            ["486", "Busy Here", "room is full", "limit"].iter().all(|part| text.contains(part)),
            "{text}"
        );
    }
}
