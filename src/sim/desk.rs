//! The focus in the world: what the control plane does around it. A SIP link that delays, overtakes and
//! loses, the transactions above it, and the rings to the shards, which may be full.
//!
//! Loss is what the transaction layer makes of it: whoever sent a request that was lost with all its
//! repetitions hears 408 after 32 s; a 200 that never arrived is not acknowledged. Over UDP whatever is under
//! way may overtake; over TCP each direction keeps its order.

use super::canary::Canary;
use super::user_agent::What;
use super::world::World;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, SessionId};
use crate::focus::signalling::{Flow, Method, Outgoing, Reply, Request, Response, Transport};
use crate::focus::strict::{Message, read};
use crate::focus::{Input, Output, RequestId, TxId};
use crate::shard::message::{FromShard, ToShard};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a transaction tries (64*T1, RFC 3261 §17).
const TRANSACTION_WAIT: Duration = Duration::from_secs(32);

/// Where user agents are, as the focus sees it; paths of those that wait to be connected to say the same.
pub(super) const PEER: [u8; 4] = [192, 0, 2, 1];

/// What is under way between the focus and a user agent, or will come about in time.
#[derive(Debug)]
pub(super) enum Packet {
    /// To the focus.
    Request {
        tx: TxId,
        text: Vec<u8>,
    },
    Ack {
        tx: TxId,
        text: Vec<u8>,
    },
    Cancel {
        tx: TxId,
    },
    /// The 200 of this transaction was repeated long enough.
    NotAcked {
        tx: TxId,
    },
    /// To a user agent.
    Response {
        tx: TxId,
        response: Response,
    },
    /// Its request was repeated long enough.
    GivenUp {
        tx: TxId,
    },
    Asked {
        id: RequestId,
        request: Box<Outgoing>,
    },
    /// It rings, and now somebody decides.
    Rings {
        id: RequestId,
        request: Box<Outgoing>,
    },
    /// To the focus.
    Answer {
        id: RequestId,
        reply: Reply,
    },
}

/// Which order a packet keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    /// To the focus.
    Up,
    /// To the user agent.
    Down,
    /// None: a timer.
    Loose,
}

#[derive(Debug)]
pub(super) struct Flight {
    at: Now,
    seat: usize,
    lane: Lane,
    packet: Packet,
}

/// A server transaction.
#[derive(Clone, Copy, Debug)]
struct Serving {
    seat: usize,
    invite: bool,
    /// The final code.
    code: Option<u16>,
    acked: bool,
}

/// A request of a user agent that has no answer yet.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) seat: usize,
    /// The Call-ID.
    pub(super) call: String,
    pub(super) what: What,
}

/// What the world knows of an endpoint that the focus named.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) room: usize,
    /// As the roster is to show them.
    pub(super) participant: String,
    pub(super) contact: String,
}

/// Everything between the user agents and the focus.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) flights: Vec<Flight>,
    pub(super) asks: BTreeMap<TxId, Asked>,
    serving: BTreeMap<TxId, Serving>,
    last_tx: u64,
    /// The transaction whose request is at work.
    at_work: Option<TxId>,
    pub(super) known: BTreeMap<EndpointId, Known>,
    /// Who is present, as the shards told it.
    pub(super) present: BTreeSet<EndpointId>,
    /// Sessions that were granted, and when.
    pub(super) granted: BTreeMap<EndpointId, Vec<(SessionId, Now)>>,
    /// The number of the last document of each subscription, by Call-ID and Event.
    pub(super) versions: BTreeMap<(String, String), u32>,
    /// When `present` or a nickname changed last.
    pub(super) changed_at: Now,
    /// Users whom somebody asked to be taken out.
    pub(super) unwanted: BTreeSet<u64>,
    /// Since when the focus is to end everything.
    pub(super) stops: Option<Now>,
    /// The shards have been told to stop, too.
    pub(super) stopped: bool,
}

impl Desk {
    /// Nothing is under way but timers that have nothing left to do.
    pub(super) fn all_arrived(&self) -> bool {
        let idle = |packet: &Packet| match packet {
            Packet::NotAcked { tx } => self.serving.get(tx).is_some_and(|s| s.acked),
            _ => false,
        };
        self.flights.iter().all(|f| idle(&f.packet))
    }
}

impl World {
    /// Packets that may arrive now.
    pub(super) fn arriving(&self) -> impl Iterator<Item = usize> {
        let flights = &self.desk.flights;
        flights.iter().enumerate().filter(|(i, f)| f.at <= self.now && self.is_first(*i)).map(|(i, _)| i)
    }

    fn is_first(&self, i: usize) -> bool {
        let flight = &self.desk.flights[i];
        let ordered = flight.lane != Lane::Loose && !self.seats[flight.seat].agent.udp;
        let same = |f: &Flight| (f.seat, f.lane) == (flight.seat, flight.lane);
        !ordered || !self.desk.flights[..i].iter().any(same)
    }

    /// When the SIP side has something to do next.
    pub(super) fn next_signal(&self) -> Option<Now> {
        let flights = self.desk.flights.iter().map(|f| f.at);
        let refreshes = self.seats.iter().filter_map(|s| s.agent.refresh_at());
        let limit = self.desk.stops.filter(|_| !self.desk.stopped).map(|at| at + Duration::from_secs(4));
        flights.chain(refreshes).chain(self.focus.deadline()).chain(limit).filter(|at| *at > self.now).min()
    }

    fn chance(&mut self, percent: u64) -> bool {
        !self.healed && self.dice.sip.below(100) < percent
    }

    /// Whether something from or to this user agent gets lost.
    fn loses(&mut self, i: usize) -> bool {
        let percent = self.plan.sip_loss;
        let lost = self.seats[i].agent.udp && self.chance(percent);
        self.seats[i].agent.troubled |= lost;
        lost
    }

    fn fly(&mut self, seat: usize, lane: Lane, packet: Packet) {
        let most = if self.healed { 20 } else { self.plan.sip_delay_millis };
        let mut at = self.now + Duration::from_millis(self.dice.sip.below(1 + most));
        if lane != Lane::Loose && !self.seats[seat].agent.udp {
            let same = self.desk.flights.iter().filter(|f| (f.seat, f.lane) == (seat, lane));
            at = at.max(same.map(|f| f.at).max().unwrap_or_default());
        }
        self.desk.flights.push(Flight { at, seat, lane, packet });
    }

    fn in_time(&mut self, seat: usize, after: Duration, packet: Packet) {
        self.desk.flights.push(Flight { at: self.now + after, seat, lane: Lane::Loose, packet });
    }

    /// A user agent sends a request.
    pub(super) fn ask(&mut self, seat: usize, call: &str, what: What, text: Vec<u8>) -> TxId {
        self.desk.last_tx += 1;
        let tx = TxId(self.desk.last_tx);
        self.desk.asks.insert(tx, Asked { seat, call: call.to_owned(), what });
        self.trace.event("asks", [seat as u64, what.number(), tx.0]);
        // Whoever else uses the connection would keep a ghost alive whose BYE is lost.
        if what != What::Bye && self.loses(seat) {
            self.in_time(seat, TRANSACTION_WAIT, Packet::GivenUp { tx });
            return tx;
        }
        let invite = matches!(what, What::Invite | What::Reinvite | What::Refresh(Method::Invite));
        let serving = Serving { seat, invite, code: None, acked: false };
        self.desk.serving.insert(tx, serving);
        // By another way, so that its branch is another one: a transaction that nobody waits for.
        // A subscription that begins twice would be two, each with rosters of its own; nothing on the way
        // makes two of a re-INVITE.
        let once = matches!(what, What::Subscribe | What::Reinvite | What::Refresh(Method::Invite));
        if self.seats[seat].agent.udp && !once && self.chance(3) {
            self.desk.last_tx += 1;
            let again = TxId(self.desk.last_tx);
            self.desk.serving.insert(again, serving);
            self.fly(seat, Lane::Up, Packet::Request { tx: again, text: text.clone() });
        }
        self.fly(seat, Lane::Up, Packet::Request { tx, text });
        tx
    }

    pub(super) fn cancel(&mut self, seat: usize, tx: TxId) {
        self.fly(seat, Lane::Up, Packet::Cancel { tx });
    }

    /// The ACK of a 200. False if it will never arrive.
    pub(super) fn acknowledge(&mut self, seat: usize, tx: TxId, text: Vec<u8>, may_lose: bool) -> bool {
        if may_lose && self.loses(seat) {
            return false;
        }
        if self.seats[seat].agent.udp && self.chance(5) {
            self.fly(seat, Lane::Up, Packet::Ack { tx, text: text.clone() });
        }
        self.fly(seat, Lane::Up, Packet::Ack { tx, text });
        true
    }

    /// The answer of a user agent. False if it will never arrive.
    pub(super) fn reply(&mut self, seat: usize, id: RequestId, mut reply: Reply) -> bool {
        reply.peer = Some((PEER, 5060).into());
        self.trace.event("replies", [seat as u64, u64::from(reply.code), id.0]);
        if self.loses(seat) {
            self.in_time(seat, TRANSACTION_WAIT, Packet::Answer { id, reply: Reply::bare(408) });
            return false;
        }
        if self.chance(5) {
            let late = Duration::from_millis(self.dice.sip.below(8_000));
            self.in_time(seat, late, Packet::Answer { id, reply });
        } else {
            self.fly(seat, Lane::Up, Packet::Answer { id, reply });
        }
        true
    }

    /// A call that rings is looked at after `time`.
    pub(super) fn ring(&mut self, seat: usize, time: Duration, id: RequestId, request: Box<Outgoing>) {
        self.in_time(seat, time, Packet::Rings { id, request });
    }

    /// A call that rings is never answered.
    pub(super) fn ring_out(&mut self, seat: usize, id: RequestId) {
        self.in_time(seat, TRANSACTION_WAIT, Packet::Answer { id, reply: Reply::bare(408) });
    }

    fn flow(&self, seat: usize) -> Flow {
        let udp = self.seats[seat].agent.udp;
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        let link = if udp { 0 } else { 1 + seat as u64 };
        Flow { transport, link, peer: (PEER, 5060).into(), local: "chat.example.com:5060".into() }
    }

    /// One packet arrives.
    pub(super) fn arrives(&mut self, i: usize) {
        let Flight { seat, packet, .. } = self.desk.flights.remove(i);
        let (now, flow) = (self.now, self.flow(seat));
        match packet {
            Packet::Request { tx, text } => {
                let Some(request) = self.parsed(&text) else { return };
                if self.canary == Some(Canary::Ghost) && request.method == Method::Bye {
                    return self.focus_answers(tx, Response::new(200));
                }
                self.trace.event("request", [seat as u64, request.method as u64, tx.0]);
                self.desk.at_work = Some(tx);
                self.focus.handle(now, Input::Request { tx, request, flow });
            }
            Packet::Ack { tx, text } => {
                let Some(request) = self.parsed(&text) else { return };
                let Some(serving) = self.desk.serving.get_mut(&tx) else { return };
                serving.acked = true;
                self.focus.handle(now, Input::Acked { tx, request, flow });
            }
            Packet::Cancel { tx } => self.focus.handle(now, Input::Cancelled { tx }),
            Packet::NotAcked { tx } => {
                if self.desk.serving.get(&tx).is_some_and(|s| !s.acked) {
                    self.focus.handle(now, Input::NotAcked { tx });
                }
            }
            Packet::Response { tx, response } => {
                self.trace.event("response", [seat as u64, u64::from(response.code), tx.0]);
                if let Some(asked) = self.desk.asks.remove(&tx) {
                    self.told(tx, &asked, &response);
                }
            }
            Packet::GivenUp { tx } => {
                if let Some(asked) = self.desk.asks.remove(&tx) {
                    self.told(tx, &asked, &Response::new(408));
                }
            }
            Packet::Asked { id, request } => self.hears(seat, id, request),
            Packet::Rings { id, request } => self.picks_up(seat, id, &request),
            Packet::Answer { id, reply } => self.focus.handle(now, Input::Answer { id, reply }),
        }
        self.flush();
    }

    fn parsed(&mut self, text: &[u8]) -> Option<Request> {
        match read(text) {
            Ok(Message::Request(mut request)) => {
                if self.canary == Some(Canary::ForgetReplaces) {
                    request.headers = without(&request, "Replaces");
                }
                Some(request)
            }
            other => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.oracle.fail(|| format!("the focus does not understand {text}: {other:?}"));
                None
            }
        }
    }

    /// News of a shard reach the focus.
    pub(super) fn news_arrive(&mut self, shard: usize) {
        let Some(news) = self.news[shard].pop_front() else { return };
        if self.canary == Some(Canary::KeepNickname)
            && matches!(news, FromShard::Renamed { nickname: None, .. })
        {
            return;
        }
        self.focus.handle(self.now, Input::Shard(news));
        self.flush();
    }

    pub(super) fn focus_tick(&mut self) {
        self.trace.event("tick", [0, 0, 0]);
        self.focus.tick(self.now);
        self.flush();
    }

    /// The server is told to stop: first the focus ends its calls.
    pub(super) fn stop(&mut self) {
        if self.desk.stops.replace(self.now).is_none() {
            self.trace.event("stop", [0, 0, 0]);
            self.focus.handle(self.now, Input::Drain);
            self.flush();
        }
    }

    /// The focus is done, or had its time: the shards stop too.
    pub(super) fn stop_shards(&mut self) -> bool {
        let over = self.desk.stops.is_some_and(|at| at + Duration::from_secs(4) <= self.now);
        let ready = self.desk.stops.is_some() && (over || self.focus.is_drained());
        if self.desk.stopped || !ready {
            return false;
        }
        self.desk.stopped = true;
        for commands in &mut self.commands {
            commands.push_back(ToShard::Drain);
        }
        true
    }

    /// Carries out what the focus wants done.
    pub(super) fn flush(&mut self) {
        while let Some(output) = self.focus.poll() {
            match output {
                Output::Respond { tx, response } => self.focus_answers(tx, response),
                Output::Send { id, request } => self.dispatch(id, request),
                Output::Tell { shard, message } => {
                    self.note_command(&message);
                    let ring = &mut self.commands[shard.index()];
                    if ring.len() < self.plan.ring as usize {
                        ring.push_back(message);
                    } else {
                        self.trace.event("full", [shard.index() as u64, 0, 0]);
                        self.focus.handle(self.now, Input::Undelivered { shard, message });
                    }
                }
            }
        }
        self.desk.at_work = None;
    }

    fn focus_answers(&mut self, tx: TxId, response: Response) {
        let Some(serving) = self.desk.serving.get_mut(&tx) else { return };
        let (seat, code) = (serving.seat, response.code);
        if let Some(before) = serving.code.replace(code) {
            return self.oracle.fail(|| format!("transaction {} was answered {before}, then {code}", tx.0));
        }
        if serving.invite && code < 300 {
            self.in_time(seat, TRANSACTION_WAIT, Packet::NotAcked { tx });
        }
        self.keeps_secrets(seat, response.body.as_bytes());
        if !self.desk.asks.contains_key(&tx) {
            return;
        }
        if self.loses(seat) {
            self.in_time(seat, TRANSACTION_WAIT, Packet::GivenUp { tx });
        } else {
            self.fly(seat, Lane::Down, Packet::Response { tx, response });
        }
    }

    /// The focus sends a request.
    fn dispatch(&mut self, id: RequestId, mut request: Box<Outgoing>) {
        // Whoever receives it sees one body.
        request.body = request.whole_body();
        request.rest = None;
        if request.method == Method::Notify {
            self.garble(&mut request);
            self.numbered(&request);
        }
        let Some(seat) = addressee(&request.uri).filter(|n| *n < self.seats.len()) else {
            let uri = request.uri.clone();
            return self.oracle.fail(|| format!("the focus calls {uri}, and there is no such one"));
        };
        let headers: Vec<&str> = request.headers.iter().map(|(_, value)| value).collect();
        let (headers, body) = (headers.join("\n"), request.body.clone());
        self.trace.event("sends", [seat as u64, request.method as u64, id.0]);
        self.keeps_secrets(seat, headers.as_bytes());
        self.keeps_secrets(seat, body.as_bytes());
        if self.is_away(seat) || self.loses(seat) {
            self.missed(seat, &request);
            self.in_time(seat, TRANSACTION_WAIT, Packet::Answer { id, reply: Reply::bare(408) });
        } else if self.plan.sip_loss > 0 && self.chance(1) {
            self.missed(seat, &request);
            self.in_time(seat, Duration::ZERO, Packet::Answer { id, reply: Reply::bare(503) });
        } else {
            self.fly(seat, Lane::Down, Packet::Asked { id, request });
        }
    }

    /// What is wrong with a notice, if that is what is planted.
    fn garble(&mut self, request: &mut Outgoing) {
        match self.canary {
            Some(Canary::ForgetDelete) => {
                let gone = " state=\"deleted\"/>";
                while let Some(end) = request.body.find(gone) {
                    let start = request.body[..end].rfind('<').unwrap_or(end);
                    request.body.replace_range(start..end + gone.len(), "");
                }
            }
            Some(Canary::SkipVersion) if self.dice.bug.below(10) == 0 => {
                let Some(at) = request.body.rfind(" version=\"") else { return };
                request.body.insert(at + 10, '1');
            }
            Some(Canary::Unhide) if self.dice.bug.below(5) == 0 => {
                let hidden = "sip:anonymous1@anonymous.invalid";
                request.body = request.body.replace(hidden, "sip:user1@example.com");
            }
            _ => {}
        }
    }

    /// Versions of a subscription rise by one (CONF-04); a whole roster may repeat the last. Nothing in a dialog ever counts
    /// back: a subscriber would ignore it.
    fn numbered(&mut self, request: &Outgoing) {
        let header = |name| request.headers.get(name).unwrap_or("").to_owned();
        let event = header("Event");
        if !event.starts_with("conference") {
            return;
        }
        let Ok(update) = crate::wire::conference::read(request.body.as_bytes()) else {
            let body = request.body.clone();
            return self.oracle.fail(|| format!("this is no roster: {body}"));
        };
        let last = self.desk.versions.entry((header("Call-ID"), event)).or_default();
        let (before, version) = (std::mem::replace(last, update.version), update.version);
        // A subscription that begins anew in the same dialog counts from somewhere above the last.
        let whole = update.state == crate::wire::conference::State::Full;
        if version != before + 1 && !(whole && version >= before) {
            self.oracle.fail(|| format!("roster {version} came after roster {before}"));
        }
    }

    /// What the focus tells a shard, as it tells it.
    fn note_command(&mut self, message: &ToShard) {
        match message {
            ToShard::Join(join) => {
                let room = self.rooms.iter().position(|r| *r == join.room).unwrap_or(usize::MAX);
                let dialed = join.contact.contains(";seat=").then(|| addressee(&join.contact)).flatten();
                let contact = match dialed {
                    Some(seat) if seat < self.seats.len() => self.seats[seat].contact(),
                    _ => join.contact.to_string(),
                };
                let participant = join.participant.as_str().to_owned();
                self.desk.known.insert(join.endpoint, Known { room, participant, contact });
                let asked = self.desk.at_work.and_then(|tx| self.desk.asks.get(&tx)).cloned();
                if let (None, Some(asked)) = (dialed, asked) {
                    self.named(&asked, join.endpoint);
                }
            }
            ToShard::Inherit { heir, .. } => self.oracle.unsure_of_name(*heir),
            ToShard::Leave { endpoint, .. } => {
                for stay in self.oracle.stays.iter_mut().filter(|s| s.endpoint == *endpoint) {
                    stay.over = true;
                }
            }
            _ => {}
        }
    }

    /// Nobody but themselves, and those who are the same user, may read who an anonymous one is.
    pub(super) fn keeps_secrets(&mut self, reader: usize, octets: &[u8]) {
        if !self.plan.has_secrets() {
            return;
        }
        let own = self.seats[reader].user;
        for at in memchr::memmem::find_iter(octets, b"sip:user") {
            let digits = octets[at + 8..].iter().take_while(|b| b.is_ascii_digit());
            let user = digits.fold(0_u64, |n, d| n * 10 + u64::from(d - b'0'));
            if user != own && self.plan.is_hidden(user) {
                return self.oracle.fail(|| format!("user{user} is anonymous, and seat {reader} reads it"));
            }
        }
    }

    /// Every request that arrived was answered, and every wish has an outcome.
    pub(super) fn nothing_unanswered(&mut self) {
        let unanswered = self.desk.serving.iter().find(|(_, s)| s.code.is_none());
        if let Some((tx, seat)) = unanswered.map(|(tx, s)| (tx.0, s.seat)) {
            self.oracle.fail(|| format!("transaction {tx} of seat {seat} was never answered"));
        }
        if let Some((tx, asked)) = self.desk.asks.first_key_value() {
            let what = format!("transaction {} waits for ever: {asked:?}", tx.0);
            self.oracle.fail(|| what);
        }
    }
}

/// The headers of a request without one.
fn without(request: &Request, name: &str) -> crate::focus::signalling::Headers {
    let mut kept = crate::focus::signalling::Headers::default();
    for (n, value) in request.headers.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(name)) {
        kept.push(n, value);
    }
    kept
}

/// The seat that a URI names.
fn addressee(uri: &str) -> Option<usize> {
    let (_, rest) = uri.split_once("@pc").or_else(|| uri.split_once(";seat="))?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}
