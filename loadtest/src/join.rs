//! Joining: one INVITE dialog and one bound MSRP connection per participant, many at a time.
//!
//! ```text
//!   INVITE ─▶ 200 with a path ─▶ connect to it ─▶ empty SEND ─▶ 200: bound
//!   (Caller)                     (here)           (the engine thread of the room)
//! ```
//!
//! All calls share one socket or connection for SIP, or each has its own; over TLS `secure.rs` makes it.
//!
//! A grant lapses some seconds after the 200 to the INVITE, so each participant is taken all the way
//! before its place among the `--join-parallel` is given to the next. The first failure ends the test: the
//! dialogs that stand are ended with BYE. Visitors come on a schedule of their own while the load runs. Bounded by the
//! number of participants, [`BIND_WAIT`] and [`LEAVE_WAIT`].

use crate::conn::Grant;
use crate::course::STOPPED;
use crate::cpu;
use crate::engine::{Desk, Order};
use crate::halt::Halt;
use crate::hist::{Grain, Hist};
use crate::live::{Line, Live};
use crate::pace::{Interval, Schedule};
use crate::passwords::Passwords;
use crate::scenario::{Scenario, SipConnections, SipTransport};
use crate::score::{Names, Role, Seat, Seating};
use crate::secure::Trust;
use crate::sys;
use crate::visitor::{Stages, Visits, Way};
use openmsrp::base::clock;
use openmsrp::client::call::{Call, CallError, Caller, Invite, Transport};
use openmsrp::wire::msrp::uri::{self, MsrpUri};
use openmsrp::wire::sdp::{self, Description, Setup};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, lookup_host};
use tokio::sync::{mpsc, oneshot};
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
pub(crate) struct Door {
    sip: Sip,
    /// The one for everybody; `None`: each has its own.
    shared: Option<Caller>,
    passwords: Passwords,
    names: Names,
    seating: Seating,
    /// Participants that are there before the load.
    total: u64,
    /// What the offer says after `a=chatroom`: no more than the test needs.
    chatroom: &'static str,
    /// For session ids: different in each run.
    run: u64,
    engines: Vec<Desk>,
    /// Participants per source address; `None`: the kernel chooses the address.
    per_source: Option<u64>,
}

/// A participant is in.
struct Entered {
    call: Call,
    /// When it was how far.
    way: Way,
}

/// The way to the server for SIP.
struct Sip {
    server: SocketAddr,
    transport: SipTransport,
    /// Over TLS: whom to trust.
    trust: Option<Trust>,
}

impl Sip {
    /// Opens a socket or a connection.
    async fn open(&self) -> Result<Caller, String> {
        let failed = |e: &io::Error| {
            let hint = "is the server running, with this port for SIP?";
            format!("SIP to {}: {}", self.server, explain(e, hint))
        };
        let transport = match (&self.trust, self.transport) {
            (Some(trust), _) => {
                return match trust.connect(self.server).await {
                    Ok((stream, local)) => Ok(Caller::secured(stream, local)),
                    Err(Ok(e)) => Err(failed(&e)),
                    Err(Err(why)) => Err(format!("SIP over TLS to {}: {why}", self.server)),
                };
            }
            (None, SipTransport::Udp) => Transport::Udp,
            (None, SipTransport::Tcp | SipTransport::Tls) => Transport::Tcp,
        };
        Caller::new(self.server, transport).await.map_err(|e| failed(&e))
    }
}

/// Everybody is in.
pub(crate) struct AllIn {
    pub(crate) calls: Vec<Call>,
    /// From INVITE to its 200.
    pub(crate) invite: Hist,
    /// From INVITE to the answer to the binding request.
    pub(crate) bound: Hist,
    /// The same in parts.
    pub(crate) stages: Stages,
}

impl Door {
    /// Opens the socket for SIP.
    ///
    /// # Errors
    /// What was wrong and what to do.
    pub(crate) async fn open(
        s: &Scenario,
        names: Names,
        server: SocketAddr,
        run: u64,
        engines: &[Desk],
    ) -> Result<Self, String> {
        let passwords = Passwords::read(&s.password_file)?;
        let tls = s.transport == SipTransport::Tls;
        let trust = if tls { Some(Trust::of(s)?) } else { None };
        let sip = Sip { server, transport: s.transport, trust };
        let shared = match s.sip_connections {
            SipConnections::One => Some(sip.open().await?),
            SipConnections::Each => None,
        };
        let seating = Seating {
            rooms: s.rooms,
            participants: s.participants,
            slow: s.slow_receivers,
            idle_participants: s.idle_participants,
            threads: engines.len() as u32,
        };
        let at_once = s.total() + s.visitors_at_once();
        let per_source = per_source(at_once, server, cpu::ephemeral_ports());
        let chatroom = if s.private_rate > 0.0 { "private-messages" } else { "" };
        Ok(Self {
            sip,
            shared,
            passwords,
            names,
            chatroom,
            seating,
            total: s.total(),
            run,
            engines: engines.to_vec(),
            per_source,
        })
    }
}

/// Joins everybody; returns the calls that must be ended.
///
/// # Errors
/// What was wrong and what to do. All calls are ended then.
pub(crate) async fn join(door: &Arc<Door>, parallel: u32, halt: &Halt) -> Result<AllIn, String> {
    let total = door.total;
    let line = Line::counting("joining", total);
    let mut all = AllIn {
        calls: Vec::new(),
        invite: Hist::new(Grain::Fine),
        bound: Hist::new(Grain::Fine),
        stages: Stages::default(),
    };
    let mut under_way = JoinSet::new();
    let mut next = 0;
    while (all.calls.len() as u64) < total {
        while next < total && under_way.len() < parallel as usize {
            let (door, seat) = (Arc::clone(door), door.seating.seat(next));
            under_way.spawn(async move { door.join_one(seat, next, clock::now().0).await });
            next += 1;
        }
        let done = tokio::select! {
            done = under_way.join_next() => done,
            () = halt.called() => Some(Ok(Err(format!("{STOPPED} while participants came in")))),
        };
        match done {
            Some(Ok(Ok(Entered { call, way }))) => {
                all.invite.record(way.answered.saturating_sub(way.due));
                all.bound.record(way.bound.saturating_sub(way.due));
                all.stages.note(&way);
                all.calls.push(call);
            }
            Some(Ok(Err(why))) => {
                drop(line);
                under_way.shutdown().await;
                leave(all.calls).await;
                return Err(why);
            }
            Some(Err(e)) => return Err(format!("a joining task ended: {e}")),
            None => break,
        }
        line.reached(all.calls.len() as u64);
    }
    Ok(all)
}

/// When visitors come and how long they stay.
#[derive(Clone, Copy)]
pub(crate) struct Visiting {
    /// Visits a second.
    pub(crate) rate: f64,
    /// How long each takes, without coming and going.
    pub(crate) stay: Duration,
    /// The first is due here.
    pub(crate) start: u64,
    /// Those due in it are measured; at its end nobody comes any more, and all leave.
    pub(crate) interval: Interval,
    /// The number of the first visitor.
    pub(crate) first: u32,
}

/// Lets visitors come and go until the interval ends; an open loop: each is due when it is due. `live` is told how it
/// goes.
pub(crate) async fn visits(door: &Arc<Door>, v: Visiting, live: &Live, halt: &Halt) -> Visits {
    let mut sum = Visits::default();
    if v.rate <= 0.0 {
        return sum;
    }
    let mut due = match due_visits(Schedule::new(v.start, v.rate), v.interval.to) {
        Ok(due) => due,
        Err(e) => {
            sum.failed = 1;
            sum.first_failure = Some(format!("no visitor came, there is no thread for them: {e}"));
            return sum;
        }
    };
    let mut under_way = JoinSet::new();
    loop {
        let next = tokio::select! {
            next = due.recv() => next,
            () = halt.called() => None,
        };
        let Some((k, due)) = next else { break };
        let (door, number, halt) = (Arc::clone(door), v.first + k as u32, halt.clone());
        under_way.spawn(async move { (due, door.visit(number, due, v, &halt).await) });
        while let Some(Ok((due, result))) = under_way.try_join_next() {
            note(&mut sum, live, v.interval, due, result);
        }
    }
    while let Some(done) = under_way.join_next().await {
        if let Ok((due, result)) = done {
            note(&mut sum, live, v.interval, due, result);
        }
    }
    sum
}

/// Tells each visit when it is due, from a thread of its own: the runtime's timers know milliseconds only, which
/// would be part of every join. Ends at `end`, or when nobody listens any more. Whoever listens late finds all of
/// them: it is an open loop.
fn due_visits(schedule: Schedule, end: u64) -> io::Result<mpsc::UnboundedReceiver<(u64, u64)>> {
    let (tell, due) = mpsc::unbounded_channel();
    let work = move || {
        for (k, at) in (0..).map(|k| (k, schedule.due(k))).take_while(|(_, at)| *at < end) {
            std::thread::sleep(clock::now().until(clock::Now(at)));
            if tell.send((k, at)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("visits".into()).spawn(work)?;
    Ok(due)
}

fn note(sum: &mut Visits, live: &Live, interval: Interval, due: u64, result: Result<Way, String>) {
    live.tell_visit(result.is_ok());
    if let Err(why) = &result
        && sum.first_failure.is_none()
    {
        sum.first_failure = Some(why.clone());
    }
    if !interval.holds(due) {
        // Before the measured interval only what fails is of interest.
        sum.failed += u64::from(result.is_err());
        return;
    }
    sum.begun += 1;
    match result {
        Ok(way) => sum.entered(&way, interval),
        Err(_) => sum.failed += 1,
    }
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

impl Door {
    /// One visit: in, stay, out. Returns how long it took to get in.
    async fn visit(&self, number: u32, due: u64, v: Visiting, halt: &Halt) -> Result<Way, String> {
        let seat = self.seating.visitor(number);
        let Entered { call, way } = self.join_one(seat, self.total + u64::from(number), due).await?;
        let end = (clock::now() + v.stay).min(clock::Now(v.interval.to));
        tokio::select! {
            () = tokio::time::sleep(clock::now().until(end)) => {}
            () = halt.called() => {}
        }
        let engine = &self.engines[seat.room as usize % self.engines.len()];
        // A thread that has ended has nothing to forget.
        let _ = engine.give(Order::Leaving(number));
        // An answer that never comes is the server's affair, and no visit's.
        let _ = tokio::time::timeout(BIND_WAIT, call.bye()).await;
        let _ = engine.give(Order::Gone(number));
        Ok(way)
    }

    async fn join_one(&self, seat: Seat, number: u64, due: u64) -> Result<Entered, String> {
        let (room, from) = (self.names.room(seat.room), self.names.participant(number));
        let caller = match &self.shared {
            Some(caller) => caller.clone(),
            None => self.sip.open().await?,
        };
        let source = self.source_of(number, &caller);
        let host = match source {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let local = format!("msrp://{host}:{DISCARD_PORT}/{:016x}{number:x};tcp", self.run);
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
            chatroom: Some(self.chatroom),
            secure: false,
        });
        let request = Invite { room: &room, from: &from, display_name: "", offer: &offer };
        let caller = match self.passwords.account(&from)? {
            Some(account) => caller.with_account(account),
            None => caller,
        };
        let ready = clock::now().0;
        let call = caller.invite(&request).await.map_err(|e| refusal(&room, &from, &e))?;
        let answered = clock::now().0;
        match self.enter(seat, &call, source, local, from, room.clone(), due).await {
            Ok(bound) => Ok(Entered { call, way: Way { due, ready, answered, bound } }),
            Err(why) => {
                call.bye().await;
                Err(format!("{room}, participant {}: {why}", seat.member))
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all of it goes into the grant")]
    async fn enter(
        &self,
        seat: Seat,
        call: &Call,
        source: IpAddr,
        local: String,
        from: String,
        room: String,
        invited: u64,
    ) -> Result<u64, String> {
        let remote = path_of(&call.answer)?;
        let target = target_of(&remote).await?;
        let source = self.per_source.map(|_| source);
        let socket = connect(target, source, seat.role == Role::Slow)
            .await
            .map_err(|e| format!("MSRP to {target}: {e}"))?;
        let (bound, wait) = oneshot::channel();
        let order = Order::Bind(Box::new(Grant { seat, socket, local, remote, from, room, invited, bound }));
        let engine = seat.room as usize % self.engines.len();
        self.engines[engine].give(order)?;
        match tokio::time::timeout(BIND_WAIT, wait).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the harness's thread has ended".into()),
            Err(_) => Err(format!("no answer to the binding request within {} s", BIND_WAIT.as_secs())),
        }
    }

    fn source_of(&self, number: u64, caller: &Caller) -> IpAddr {
        match self.per_source {
            // 127.0.0.2 and on: the first one is everybody's.
            Some(per_source) => {
                Ipv4Addr::new(127, 0, 0, 2 + (number / per_source % SOURCES_MAX) as u8).into()
            }
            None => caller.local_addr().ip(),
        }
    }
}

/// The path in the answer.
fn path_of(answer: &str) -> Result<String, String> {
    let description =
        Description::parse(answer.as_bytes()).map_err(|e| format!("the answer cannot be read: {e}"))?;
    let chat = description.chat().map_err(|e| format!("the answer has no chat: {e}"))?;
    if chat.secure {
        return Err(format!(
            "the server answers with MSRP over TLS ({}), which the harness does not speak; it offered MSRP over TCP \
             (TCP/MSRP), let the server take that",
            chat.path
        ));
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

async fn connect(
    target: SocketAddr,
    source: Option<IpAddr>,
    slow: bool,
) -> Result<std::net::TcpStream, String> {
    let hint = "is the server's MSRP port open to this machine?";
    let connected = async {
        let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(ip) = source.filter(|ip| ip.is_ipv4() == target.is_ipv4()) {
            sys::bind_without_port(&socket)?;
            socket.bind((ip, 0).into())?;
        }
        if slow {
            sys::hold_little(&socket)?;
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
        CallError::PasswordWanted { .. } => "; --password-file says who has which",
        CallError::WrongPassword { .. } => "; is it the one in --password-file, and is From its user's?",
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
            rule: None,
        };
        let text = refusal("sip:room0@x", "sip:u0@x", &e);
        assert!(
            ["486", "Busy Here", "room is full", "limit"].iter().all(|part| text.contains(part)),
            "{text}"
        );
    }
}
