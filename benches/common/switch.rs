//! Rooms on one shard by value, with everybody in them: octets in at one connection, octets out of the queues of
//! all others in its room. Every message is judged: who got it, how often, and what.

use super::messages::{read_bodies, request, restamp};
use openmsrp::base::address::Address;
use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::base::id::{ConnId, EndpointId, SessionId, ShardId};
use openmsrp::shard::core::{Flow, Outputs, ShardConfig, ShardCore, write_uri};
use openmsrp::shard::message::{FromShard, Join, Terms, ToShard};
use openmsrp::wire::msrp::encode;
use openmsrp::wire::sdp::TypeList;
use std::time::Duration;

const HOST: &str = "chat.example.com";
const PORT: u16 = 2855;
/// Octets of one read of a connection.
const READ: usize = 64 * 1024;

/// A shard alone, with the default policy.
pub(crate) fn shard() -> ShardCore {
    let config =
        ShardConfig { id: ShardId(0), shards: 1, host: HOST.into(), port: PORT, rooms: Default::default() };
    ShardCore::new(config, Entropy::from_seed(1))
}

/// Our URI of a session.
pub(crate) fn uri(session: &SessionId) -> Vec<u8> {
    let mut uri = Vec::new();
    write_uri(&mut uri, HOST, PORT, session);
    uri
}

/// The path of the client of endpoint `n`; all are of one length.
pub(crate) fn peer_path(n: usize) -> String {
    format!("msrp://192.0.2.1:20000/peer{n:06};tcp")
}

fn room(n: usize) -> String {
    format!("sip:room{n:06}@{HOST}")
}

fn user(n: usize) -> String {
    format!("sip:user{n:06}@example.com")
}

fn join(n: usize, room: &str) -> ToShard {
    let terms = Terms {
        peer_path: peer_path(n).into(),
        accepts: TypeList::any(),
        private_messages: Some(true),
        may_send: true,
        may_receive: true,
        max_size: None,
        connect_to: None,
    };
    ToShard::Join(Box::new(Join {
        endpoint: EndpointId(n as u64),
        room: Address::parse(room).expect("an address"),
        participant: Address::parse(&user(n)).expect("an address"),
        aliases: Vec::new(),
        display_name: "".into(),
        contact: format!("sip:user{n:06}@192.0.2.1").as_str().into(),
        caller: Default::default(),
        password: None,
        terms: Some(terms),
    }))
}

/// One message in the form of each room.
pub(crate) struct Speech {
    /// The request, and the bodies that it leaves as on the last connection.
    forms: Vec<(Vec<u8>, Vec<u8>)>,
    /// Only the last endpoint of the room gets it.
    private: bool,
    /// Whoever gets it answers, asked or not: there are clients that know no `partial`.
    pub(crate) answered: bool,
}

/// Rooms of one size. The first connection of a room is its sender's.
pub(crate) struct World {
    pub(crate) core: ShardCore,
    now: Now,
    outputs: Outputs,
    per_room: usize,
    conns: Vec<ConnId>,
    /// Our URI of each session.
    uris: Vec<Vec<u8>>,
    relayed: bool,
    sent: usize,
    /// The first and the last connection of the room that hears a message.
    ends: (ConnId, ConnId),
    /// What the last connection of the room was sent since [`World::send`] began.
    seen: Vec<u8>,
    /// Octets written to everybody but the sender.
    written: usize,
    /// What the sender was answered.
    answers: usize,
    /// The sender's connection is to be looked at again.
    resumed: bool,
    writes: Vec<ConnId>,
}

impl World {
    pub(crate) fn new(rooms: usize, per_room: usize) -> Self {
        Self::make(rooms, per_room, false)
    }

    /// One room; everybody but its sender comes through one relay, so on one connection.
    pub(crate) fn relayed(participants: usize) -> Self {
        Self::make(1, participants, true)
    }

    fn make(rooms: usize, per_room: usize, relayed: bool) -> Self {
        let mut core = shard();
        let (now, mut outputs, mut writes) = (Now(1), Outputs::default(), Vec::new());
        let (mut conns, mut uris) = (Vec::new(), Vec::new());
        for n in 0..rooms * per_room {
            core.command(now, join(n, &room(n / per_room)));
            core.outputs(&mut outputs);
            let Some(FromShard::Granted { session, .. }) = outputs.control.pop() else {
                panic!("no grant: {outputs:?}")
            };
            let uri = uri(&session);
            let shared = conns.last().copied().filter(|_| relayed && n > 1);
            let conn = shared.unwrap_or_else(|| core.accepted(now).expect("a connection"));
            assert_eq!(core.bytes(now, conn, &request(&uri, peer_path(n).as_bytes(), None)), Flow::Go);
            core.take_writes(&mut writes);
            for id in writes.drain(..) {
                let octets = core.waiting(id).map(<[u8]>::len).sum();
                core.wrote(now, id, octets);
            }
            core.outputs(&mut outputs);
            outputs.control.clear();
            conns.push(conn);
            uris.push(uri);
        }
        let ends = (conns[0], conns[0]);
        let seen = Vec::new();
        Self {
            core,
            now,
            outputs,
            per_room,
            conns,
            uris,
            relayed,
            sent: 0,
            ends,
            seen,
            written: 0,
            answers: 0,
            resumed: false,
            writes,
        }
    }

    /// A text for everybody in the room: `fill` again and again, `length` octets with the wrapper.
    pub(crate) fn speech(&self, fill: &[u8], length: usize) -> Speech {
        self.forms(fill, length, false)
    }

    /// A line of 200 octets for the participant on the last connection of the room.
    pub(crate) fn whisper(&self) -> Speech {
        self.forms(b"x", 200, true)
    }

    fn forms(&self, fill: &[u8], length: usize, private: bool) -> Speech {
        let form = |first: usize| {
            let (from, last) = (user(first), first + self.per_room - 1);
            let to = if private { user(last) } else { room(first / self.per_room) };
            let mut body =
                format!("From: <{from}>\r\nTo: <{to}>\r\n\r\nContent-Type: text/plain\r\n\r\n").into_bytes();
            let text = length - body.len();
            body.extend(fill.iter().cycle().take(text));
            let message = request(&self.uris[first], peer_path(first).as_bytes(), Some(&body));
            (message, body.repeat(if self.relayed { self.per_room - 1 } else { 1 }))
        };
        Speech {
            forms: (0..self.conns.len()).step_by(self.per_room).map(form).collect(),
            private,
            answered: private,
        }
    }

    /// The sender of the next room in turn sends it, in reads of [`READ`] octets; whoever is to get it gets it.
    pub(crate) fn send(&mut self, speech: &mut Speech) {
        let at = self.sent % speech.forms.len();
        let (first, last) = (at * self.per_room, (at + 1) * self.per_room - 1);
        self.ends = (self.conns[first], self.conns[last]);
        self.sent += 1;
        let (message, body) = &mut speech.forms[at];
        restamp(message, self.sent as u64);
        (self.written, self.answers) = (0, 0);
        self.seen.clear();
        for read in message.chunks(READ) {
            self.give(read);
        }
        self.now = self.now + Duration::from_millis(1);
        self.core.tick(self.now);
        assert!(read_bodies(&self.seen, body), "the last endpoint got the message");
        // Copies differ by nothing but paths of one length.
        let copies = if speech.private { 1 } else { self.per_room - 1 };
        let conns = if self.relayed { 1 } else { copies };
        assert_eq!(self.written, conns * self.seen.len(), "one copy each, and none for others");
        if speech.answered {
            self.answer(last + 1 - copies..=last);
        }
        assert!(self.answers > 0, "the sender was answered");
    }

    fn give(&mut self, octets: &[u8]) {
        let mut flow = self.core.bytes(self.now, self.ends.0, octets);
        self.drain();
        while flow == Flow::Wait {
            if std::mem::take(&mut self.resumed) {
                flow = self.core.resume(self.now, self.ends.0);
            } else {
                self.now = self.core.deadline().expect("it is told when to go on");
                self.core.tick(self.now);
            }
            self.drain();
        }
        assert_eq!(flow, Flow::Go);
    }

    /// Every peer takes everything that is written to it.
    fn drain(&mut self) {
        loop {
            self.core.outputs(&mut self.outputs);
            self.core.take_writes(&mut self.writes);
            assert!(self.outputs.close.is_empty(), "{:?}", self.outputs.close);
            self.outputs.control.clear();
            self.resumed |= self.outputs.resume.drain(..).any(|id| id == self.ends.0);
            if self.writes.is_empty() {
                return;
            }
            for id in self.writes.drain(..) {
                let octets: usize = self.core.waiting(id).map(<[u8]>::len).sum();
                if id == self.ends.0 {
                    self.answers += octets;
                } else {
                    self.written += octets;
                }
                if id == self.ends.1 {
                    self.core.waiting(id).for_each(|piece| self.seen.extend_from_slice(piece));
                }
                self.core.wrote(self.now, id, octets);
            }
        }
    }

    /// These endpoints answer the copy they got.
    fn answer(&mut self, endpoints: std::ops::RangeInclusive<usize>) {
        // The copies of a message have one transaction id.
        let tid = self.seen[b"MSRP ".len()..].split(|b| *b == b' ').next().unwrap_or_default();
        let mut answer = Vec::new();
        for n in endpoints {
            answer.clear();
            encode::response(&mut answer, tid, 200, "OK", &self.uris[n], peer_path(n).as_bytes());
            assert_eq!(self.core.bytes(self.now, self.conns[n], &answer), Flow::Go);
        }
        self.now = self.now + Duration::from_millis(1);
        self.core.tick(self.now);
        self.drain();
    }
}
