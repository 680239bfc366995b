//! Two shards by random octets, commands and times: the check of each holds after every turn, what they write
//! is MSRP, and when everybody has left and hung up nothing is left.

use super::Input;
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::{ConnId, EndpointId, GrantNo, SessionId, ShardId};
use crate::base::limits;
use crate::room::policy::{Policy, Types};
use crate::room::rooms::Rooms;
use crate::room::rules::Caller;
use crate::shard::core::{Outputs, ShardConfig, ShardCore};
use crate::shard::message::{FromShard, Join, ShardMessage, Terms, ToShard, home};
use crate::wire::msrp::{Framer, Kind, Method, Step};
use crate::wire::sdp::TypeList;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Operations of one run.
const STEPS_MAX: usize = 300;

/// Endpoints and connections of one run, each.
const MANY: usize = 40;

const SHARDS: u16 = 2;

/// Two of them have their home on the one shard, two on the other.
const ROOMS: [&str; 4] = ["sip:lobby@h", "sip:attic@h", "sip:cellar@h", "sip:yard@h"];

const PEOPLE: [&str; 4] = ["sip:alice@h", "sip:bob@h", "tel:+15550100", "im:dan@h"];

/// The far end of a connection.
struct End {
    at: Option<(usize, ConnId)>,
    framer: Framer,
    received: Vec<u8>,
    stalled: bool,
    /// Transaction ids of copies that were not answered.
    asked: Vec<Vec<u8>>,
    /// Transaction id of the request whose body is not whole.
    open: Option<Vec<u8>>,
}

/// A place in a room.
struct Seat {
    endpoint: EndpointId,
    room: usize,
    person: usize,
    session: Option<SessionId>,
}

struct World {
    now: Now,
    cores: Vec<ShardCore>,
    ends: Vec<End>,
    seats: Vec<Seat>,
    /// What is on its way from shard to shard, in order.
    mesh: VecDeque<(usize, Over)>,
    connects: Vec<(usize, EndpointId, SocketAddr)>,
    /// The last octets of a request that were kept back, and for which end.
    rest: Option<(usize, Vec<u8>)>,
    requests: u32,
}

enum Over {
    Message(ShardId, ShardMessage),
    HandOver(usize, Vec<u8>),
}

/// Two shards by random operations. Reads [`STEPS_MAX`] operations of some octets each.
pub fn shard_ops(octets: &[u8]) {
    let mut input = Input(octets);
    let mut world = World::new(input.octet());
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.carry_out();
    }
    world.finish();
}

fn policy(how: u8) -> Policy {
    Policy {
        participants_max: 3,
        participant_endpoints_max: 3,
        message_bytes_max: if how & 1 == 0 { 300_000 } else { 1000 },
        types: if how & 2 == 0 { Types::any() } else { Types::only(&["text/*"]) },
        copy_report_endpoints_max: if how & 4 == 0 { 16 } else { 1 },
        delivery_counts: how & 8 == 0,
        ..Policy::default()
    }
}

fn terms(input: &mut Input<'_>, person: usize) -> Terms {
    let how = input.octet();
    let accepts = if how & 3 == 3 { TypeList::parse("message/cpim text/plain") } else { TypeList::any() };
    Terms {
        peer_path: path(person).into_bytes().into(),
        accepts,
        private_messages: (how & 8 != 0).then_some(how & 4 != 0),
        may_send: how & 0x38 != 0x38,
        may_receive: how & 0x38 != 0x30,
        max_size: (how & 0x40 != 0).then_some(2000),
        connect_to: (how & 0x80 != 0).then(|| SocketAddr::from(([192, 0, 2, 1], 2855))),
    }
}

fn path(person: usize) -> String {
    format!("msrp://p{person}.example.com:2855/s0123456789;tcp")
}

impl World {
    fn new(how: u8) -> Self {
        let rooms = Arc::new(Rooms::from(policy(how)));
        let core = |n| {
            let host = "chat.example.com".into();
            let config =
                ShardConfig { id: ShardId(n), shards: SHARDS, host, port: 2855, rooms: rooms.clone() };
            ShardCore::new(config, Entropy::from_seed(u64::from(n)))
        };
        Self {
            now: Now(1_000_000_000),
            cores: (0..SHARDS).map(core).collect(),
            ends: Vec::new(),
            seats: Vec::new(),
            mesh: VecDeque::new(),
            connects: Vec::new(),
            rest: None,
            requests: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(20) {
            0 | 1 => self.join(input),
            2 => self.open(input),
            3 => self.hang_up(input.octet()),
            4 => self.leave(input.octet()),
            5 => self.revise(input),
            6 => self.wait(input),
            7 => self.connected(input),
            8 => {
                // Whatever octets, to whomever.
                let end = input.octet();
                let octets = input.take(usize::from(end) / 2 + 1);
                self.bytes(usize::from(end), octets);
            }
            9 => self.take(input),
            10 => self.cross(1),
            11 if input.rarely(64) => {
                let shard = input.below(2);
                self.cores[shard].command(self.now, ToShard::Drain);
            }
            11 | 12 => self.answer(input),
            13 => {
                if let Some((end, octets)) = self.rest.take() {
                    self.bytes(end, &octets);
                }
            }
            14 | 15 => self.bind(input),
            _ => self.speak(input),
        }
    }

    /// Checks both shards and does what they ask for; what they say to each other is put behind.
    fn carry_out(&mut self) {
        loop {
            let mut quiet = true;
            for shard in 0..self.cores.len() {
                let mut out = Outputs::default();
                self.cores[shard].outputs(&mut out);
                let mut writes = Vec::new();
                self.cores[shard].take_writes(&mut writes);
                self.cores[shard].check();
                quiet &= out.is_empty() && writes.is_empty();
                self.write(shard, writes);
                self.carry_out_one(shard, out);
            }
            if quiet {
                return;
            }
        }
    }

    fn write(&mut self, shard: usize, writes: Vec<ConnId>) {
        for conn in writes {
            if let Some(end) = self.end_of(shard, conn).filter(|end| !self.ends[*end].stalled) {
                self.drain(end, usize::MAX);
            }
        }
    }

    fn carry_out_one(&mut self, shard: usize, out: Outputs) {
        for (conn, to, unread) in out.hand_over {
            if let Some(end) = self.end_of(shard, conn) {
                self.ends[end].moves();
                self.mesh.push_back((to.index(), Over::HandOver(end, unread)));
            }
        }
        for (conn, _, at_once) in out.close {
            let Some(end) = self.end_of(shard, conn) else { continue };
            if !at_once && !self.ends[end].stalled {
                self.drain(end, usize::MAX);
            }
            self.ends[end].at = None;
            self.cores[shard].closed(self.now, conn);
        }
        self.connects.extend(out.connect.into_iter().map(|(endpoint, to)| (shard, endpoint, to)));
        let from = self.cores[shard].id();
        self.mesh
            .extend(out.mesh.into_iter().map(|(to, message)| (to.index(), Over::Message(from, message))));
        for event in out.control {
            if let FromShard::Granted { endpoint, session, .. } = event
                && let Some(seat) = self.seats.iter_mut().find(|seat| seat.endpoint == endpoint)
            {
                seat.session = Some(session);
            }
        }
        for conn in out.resume {
            if self.end_of(shard, conn).is_some() {
                self.cores[shard].resume(self.now, conn);
            }
        }
    }

    /// Delivers up to `most` of what is on its way between the shards.
    fn cross(&mut self, most: usize) {
        for _ in 0..most {
            let Some((to, over)) = self.mesh.pop_front() else { return };
            match over {
                Over::Message(from, message) => self.cores[to].message(self.now, from, message),
                Over::HandOver(end, unread) => {
                    let Some(conn) = self.cores[to].accepted(self.now) else { continue };
                    self.ends[end].at = Some((to, conn));
                    self.cores[to].bytes(self.now, conn, &unread);
                }
            }
            self.carry_out();
        }
    }

    fn end_of(&self, shard: usize, conn: ConnId) -> Option<usize> {
        self.ends.iter().position(|end| end.at == Some((shard, conn)))
    }

    fn home(&self, room: usize) -> Option<(usize, Address)> {
        let address = Address::parse(ROOMS[room]).ok()?;
        Some((home(&address, SHARDS).index(), address))
    }

    fn join(&mut self, input: &mut Input<'_>) {
        let (room, person) = (input.below(ROOMS.len()), input.below(PEOPLE.len()));
        let terms = (!input.rarely(8)).then(|| terms(input, person));
        let (Some((shard, address)), Ok(participant)) = (self.home(room), Address::parse(PEOPLE[person]))
        else {
            return;
        };
        if self.seats.len() == MANY {
            return;
        }
        let endpoint = EndpointId(self.seats.len() as u64 + 1);
        self.seats.push(Seat { endpoint, room, person, session: None });
        let join = Join {
            endpoint,
            room: address,
            caller: Caller::of(&participant),
            password: None,
            participant,
            aliases: Vec::new(),
            display_name: "".into(),
            contact: "sip:c@h".into(),
            terms,
        };
        self.cores[shard].command(self.now, ToShard::Join(Box::new(join)));
    }

    fn leave(&mut self, which: u8) {
        let Some(seat) = self.seats.get(usize::from(which)) else { return };
        let (endpoint, room) = (seat.endpoint, seat.room);
        let Some((shard, room)) = self.home(room) else { return };
        self.cores[shard].command(self.now, ToShard::Leave { endpoint, room });
    }

    fn revise(&mut self, input: &mut Input<'_>) {
        let which = input.below(self.seats.len().max(1));
        let Some(seat) = self.seats.get(which) else { return };
        let (endpoint, room, person) = (seat.endpoint, seat.room, seat.person);
        let Some((shard, room)) = self.home(room) else { return };
        let rebind = (input.below(2) == 0).then_some(GrantNo(1));
        let terms = Box::new(terms(input, person));
        self.cores[shard].command(self.now, ToShard::Revise { endpoint, room, terms, rebind });
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let shard = input.below(self.cores.len());
        if self.ends.len() < MANY
            && let Some(conn) = self.cores[shard].accepted(self.now)
        {
            self.new_end(shard, conn);
        }
    }

    fn new_end(&mut self, shard: usize, conn: ConnId) {
        self.ends.push(End {
            at: Some((shard, conn)),
            framer: Framer::default(),
            received: Vec::new(),
            stalled: false,
            asked: Vec::new(),
            open: None,
        });
    }

    /// A connection that was asked for is open, or cannot be opened.
    fn connected(&mut self, input: &mut Input<'_>) {
        if self.connects.is_empty() {
            return;
        }
        let (shard, endpoint, to) = self.connects.remove(0);
        if input.rarely(4) {
            self.cores[shard].connect_failed(self.now, endpoint, to);
        } else if let Some(conn) = self.cores[shard].connected(self.now, endpoint, to) {
            self.new_end(shard, conn);
        }
    }

    fn hang_up(&mut self, which: u8) {
        let Some(end) = self.ends.get_mut(usize::from(which)) else { return };
        if let Some((shard, conn)) = end.at.take() {
            self.cores[shard].closed(self.now, conn);
        }
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        let time = [1, 100, 1000, 9999, 10_000, 15_000, 30_000, 540_000][input.below(8)];
        self.now = self.now + Duration::from_millis(time);
        for shard in 0..self.cores.len() {
            self.cores[shard].tick(self.now);
            let due = self.cores[shard].deadline();
            assert!(due.is_none_or(|due| due > self.now), "something is overdue");
            self.carry_out();
        }
    }

    fn bytes(&mut self, end: usize, octets: &[u8]) {
        if let Some((shard, conn)) = self.ends.get(end).and_then(|end| end.at) {
            self.cores[shard].bytes(self.now, conn, octets);
        }
    }

    /// The far end takes some octets, or stops taking, or begins again.
    fn take(&mut self, input: &mut Input<'_>) {
        let which = input.below(self.ends.len().max(1));
        let Some(end) = self.ends.get_mut(which) else { return };
        end.stalled = input.below(2) == 0;
        let most = if end.stalled { 1 + input.below(40_000) } else { usize::MAX };
        self.drain(which, most);
    }

    /// Takes up to `most` octets of what waits.
    fn drain(&mut self, which: usize, most: usize) {
        let mut left = most;
        while left > 0 {
            let Some((shard, conn)) = self.ends[which].at else { return };
            let mut octets: Vec<u8> = self.cores[shard].waiting(conn).flatten().copied().collect();
            if octets.is_empty() {
                return;
            }
            octets.truncate(left);
            left -= octets.len();
            self.cores[shard].wrote(self.now, conn, octets.len());
            self.ends[which].hear(&octets);
        }
    }

    /// A session to speak in, and a connection to speak on: mostly those that were last used.
    fn pick(&self, input: &mut Input<'_>) -> Option<(usize, String, String)> {
        let granted: Vec<_> = self.seats.iter().filter_map(|seat| Some((seat, seat.session?))).collect();
        let (seat, session) = granted.get(input.below(granted.len().max(1)))?;
        let secret = String::from_utf8_lossy(session.reveal()).into_owned();
        let head = format!(
            "To-Path: msrp://chat.example.com:2855/{secret};tcp\r\nFrom-Path: {}\r\n",
            path(seat.person)
        );
        let end = input.below(self.ends.len().max(1));
        let wrapper = format!(
            "From: <{}>\r\nTo: <{}>\r\n\r\nContent-Type: text/plain\r\n\r\n",
            PEOPLE[seat.person],
            ROOMS[if input.rarely(16) { 0 } else { seat.room }]
        );
        Some((end, head, wrapper))
    }

    /// The first request of a session.
    fn bind(&mut self, input: &mut Input<'_>) {
        let Some((end, head, _)) = self.pick(input) else { return };
        self.requests += 1;
        let tid = format!("bind{}", self.requests);
        let method = if input.rarely(8) { "AUTH" } else { "SEND" };
        let request = format!(
            "MSRP {tid} {method}\r\n{head}Message-ID: {tid}\r\nByte-Range: 1-0/0\r\n-------{tid}$\r\n"
        );
        self.bytes(end, request.as_bytes());
    }

    /// A message, or a part of one, or something else that a session may bring.
    fn speak(&mut self, input: &mut Input<'_>) {
        let Some((end, head, wrapper)) = self.pick(input) else { return };
        self.requests += 1;
        let tid = format!("req{}", self.requests);
        let how = input.octet();
        let method = match how & 15 {
            0 => "REPORT",
            1 => "NICKNAME",
            2 => "PONDER",
            _ => "SEND",
        };
        let length = [0, 5, 1000, 5000, 60_000, 200_000][input.below(6)];
        let body = format!("{wrapper}{}", "x".repeat(length));
        let start = if how & 0x30 == 0 { input.below(body.len()) } else { 0 };
        let total = if how & 0x40 == 0 { body.len().to_string() } else { "*".into() };
        let part = &body[start..];
        let part = &part[..part.len() - if how & 0x80 == 0 { 0 } else { part.len() / 3 }];
        let flag = ['$', '+', '#', '$'][input.below(4)];
        let wishes = [
            "",
            "Failure-Report: no\r\n",
            "Success-Report: yes\r\nDelivery-Count: yes\r\n",
            "Failure-Report: partial\r\nSuccess-Report: yes\r\n",
        ][input.below(4)];
        let id = format!("m{}", if how & 0x30 == 0x30 { self.requests as usize } else { input.below(4) });
        let status = if method == "REPORT" { "Status: 000 200 OK\r\n" } else { "" };
        let request = format!(
            "MSRP {tid} {method}\r\n{head}Message-ID: {id}abc\r\n{wishes}{status}Byte-Range: {}-*/{total}\r\n\
             Content-Type: message/cpim\r\n\r\n{part}\r\n-------{tid}{flag}\r\n",
            start + 1
        );
        let cut = if input.rarely(4) { input.below(request.len()) } else { request.len() };
        let (now, later) = request.as_bytes().split_at(cut);
        // In pieces no larger than a shard reads.
        for piece in now.chunks(limits::READ_BYTES) {
            self.bytes(end, piece);
            self.carry_out();
        }
        if !later.is_empty() {
            self.rest = Some((end, later.to_vec()));
        }
    }

    /// Answers a copy that asks, well or badly.
    fn answer(&mut self, input: &mut Input<'_>) {
        let which = input.below(self.ends.len().max(1));
        let code = ["200 OK", "413 Enough", "415 What", "481 Who", "506 No", "408", "999 x"][input.below(7)];
        let Some(tid) = self.ends.get_mut(which).and_then(|end| end.asked.pop()) else { return };
        let tid = String::from_utf8_lossy(&tid).into_owned();
        let answer = format!(
            "MSRP {tid} {code}\r\nTo-Path: msrp://chat.example.com:2855/x;tcp\r\nFrom-Path: {}\r\n-------{tid}$\r\n",
            path(0)
        );
        self.bytes(which, answer.as_bytes());
    }

    /// Everybody leaves, then hangs up; nothing may be left but connections that nobody uses.
    fn finish(&mut self) {
        self.cross(usize::MAX);
        for which in 0..self.seats.len() {
            self.leave(which as u8);
            self.carry_out();
        }
        self.cross(usize::MAX);
        for which in 0..self.ends.len() {
            self.hang_up(which as u8);
            self.carry_out();
        }
        self.cross(usize::MAX);
        for core in &self.cores {
            assert_eq!((core.rooms(), core.sessions(), core.conns()), (0, 0, 0), "something is left");
        }
    }
}

impl End {
    /// The connection is on its way to another shard, which begins anew.
    fn moves(&mut self) {
        (self.at, self.open) = (None, None);
        (self.framer, self.received) = (Framer::default(), Vec::new());
    }

    /// Reads what a shard wrote: it must be MSRP.
    fn hear(&mut self, octets: &[u8]) {
        self.received.extend_from_slice(octets);
        loop {
            let step = self.framer.step(&self.received, 0);
            assert!(step.is_ok(), "a shard wrote what is no MSRP: {step:?}");
            let Ok(step) = step else { return };
            let (used, end) = match step {
                Step::Partial => return,
                Step::Skip { used } => (used, None),
                Step::Head { head, end, used, .. } => {
                    let raw = &self.received[..used.min(500)];
                    assert_eq!(head.fault, None, "{}", String::from_utf8_lossy(raw));
                    let copy = head.kind == Kind::Request(Method::Send);
                    self.open = copy.then(|| head.tid.to_vec());
                    (used, end)
                }
                Step::More { end, used, .. } => (used, end),
            };
            if end.is_some() {
                self.asked.extend(self.open.take());
            }
            self.received.drain(..used);
        }
    }
}
