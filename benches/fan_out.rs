//! One message to 1,000 endpoints of a room, by value: octets in at one connection, octets out of 999 queues,
//! no sockets. Small, large and hostile bodies, and one that comes in parts. Every round asserts that
//! everybody but the sender got one copy, and that the copy reads as what was sent. Private messages in rooms
//! of two sizes: the same cost, since nobody looks at who is not to get them.
//!
//! `cargo bench --bench fan_out`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openmsrp::base::address::Address;
use openmsrp::base::chunk::Flag;
use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::base::id::{ConnId, EndpointId, SessionId, ShardId};
use openmsrp::room::policy::Policy;
use openmsrp::shard::core::{Flow, Outputs, ShardConfig, ShardCore, write_uri};
use openmsrp::shard::message::{FromShard, Join, Terms, ToShard};
use openmsrp::wire::msrp::encode::{self, TailHead};
use openmsrp::wire::msrp::{ByteRange, FailureReport, Framer, Kind, Step};
use openmsrp::wire::sdp::TypeList;
use std::time::Duration;

const ENDPOINTS: usize = 1000;
const ROOM: &str = "sip:lobby@chat.example.com";
const HOST: &str = "chat.example.com";
const PORT: u16 = 2855;
/// Octets of one read of a connection.
const READ: usize = 64 * 1024;
const TID: &[u8] = b"bench00000000";

/// A room with everybody in it; the first connection is the sender's.
struct World {
    core: ShardCore,
    now: Now,
    outputs: Outputs,
    conns: Vec<ConnId>,
    to: Vec<u8>,
    sent: u64,
    /// What the last connection was sent since [`World::send`] began.
    seen: Vec<u8>,
    /// Octets written to everybody but the sender.
    written: usize,
    /// What the sender was answered.
    answers: usize,
    /// The sender's connection is to be looked at again.
    resumed: bool,
    writes: Vec<ConnId>,
}

fn peer_path(n: usize) -> String {
    format!("msrp://192.0.2.1:{}/peer{n:04};tcp", 20_000 + n)
}

fn join(n: usize) -> ToShard {
    let participant = Address::parse(&format!("sip:user{n}@example.com")).expect("an address");
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
        room: Address::parse(ROOM).expect("an address"),
        participant,
        aliases: Vec::new(),
        display_name: "".into(),
        contact: format!("sip:user{n}@192.0.2.1").as_str().into(),
        terms: Some(terms),
    }))
}

fn uri(session: &SessionId) -> Vec<u8> {
    let mut uri = Vec::new();
    write_uri(&mut uri, HOST, PORT, session);
    uri
}

fn request(to: &[u8], n: usize, body: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode::send_start(&mut out, TID);
    out.extend_from_slice(&encode::preamble(to, peer_path(n).as_bytes()));
    let length = body.map_or(0, <[u8]>::len) as u64;
    let tail = TailHead {
        message_id: TID,
        range: ByteRange { start: 1, end: Some(length), total: Some(length) },
        failure_report: FailureReport::Yes,
        success_report: false,
        content_type: body.map(|_| &b"message/cpim"[..]),
    };
    encode::send_tail_head(&mut out, &tail);
    out.extend_from_slice(body.unwrap_or_default());
    encode::end_line(&mut out, TID, Flag::End, body.is_some());
    out
}

/// A wrapped text: `fill` again and again, `length` octets with the wrapper.
fn wrapped(fill: &[u8], length: usize) -> Vec<u8> {
    let mut body =
        format!("From: <sip:user0@example.com>\r\nTo: <{ROOM}>\r\n\r\nContent-Type: text/plain\r\n\r\n")
            .into_bytes();
    let text = length - body.len();
    body.extend(fill.iter().cycle().take(text));
    body
}

impl World {
    fn new(endpoints: usize) -> Self {
        let config = ShardConfig {
            id: ShardId(0),
            shards: 1,
            host: HOST.into(),
            port: PORT,
            policy: Policy::default(),
        };
        let mut world = Self {
            core: ShardCore::new(config, Entropy::from_seed(1)),
            now: Now(1),
            outputs: Outputs::default(),
            conns: Vec::new(),
            to: Vec::new(),
            sent: 0,
            seen: Vec::new(),
            written: 0,
            answers: 0,
            resumed: false,
            writes: Vec::new(),
        };
        for n in 0..endpoints {
            world.core.command(world.now, join(n));
            world.core.outputs(&mut world.outputs);
            let Some(FromShard::Granted { session, .. }) = world.outputs.control.pop() else {
                panic!("no grant: {:?}", world.outputs)
            };
            let to = uri(&session);
            let conn = world.core.accepted(world.now).expect("a connection");
            world.conns.push(conn);
            let flow = world.core.bytes(world.now, conn, &request(&to, n, None));
            assert_eq!(flow, Flow::Go);
            world.drain();
            if n == 0 {
                world.to = to;
            }
        }
        world
    }

    /// Every peer takes everything that is written to it.
    fn drain(&mut self) {
        loop {
            self.core.outputs(&mut self.outputs);
            self.core.take_writes(&mut self.writes);
            assert!(self.outputs.close.is_empty(), "{:?}", self.outputs.close);
            self.outputs.control.clear();
            self.resumed |= self.outputs.resume.drain(..).any(|id| id == self.conns[0]);
            if self.writes.is_empty() {
                return;
            }
            for id in self.writes.drain(..) {
                let octets: usize = self.core.waiting(id).map(<[u8]>::len).sum();
                if id == self.conns[0] {
                    self.answers += octets;
                } else {
                    self.written += octets;
                }
                if Some(&id) == self.conns.last() {
                    self.core.waiting(id).for_each(|piece| self.seen.extend_from_slice(piece));
                }
                self.core.wrote(self.now, id, octets);
            }
        }
    }

    /// The sender writes to the participant on the last connection only.
    fn send_privately(&mut self, message: &mut [u8], body: &[u8]) {
        self.sent += 1;
        restamp(message, self.sent);
        (self.written, self.answers) = (0, 0);
        self.seen.clear();
        assert_eq!(self.core.bytes(self.now, self.conns[0], message), Flow::Go);
        self.drain();
        self.answer_last();
        assert!(self.answers > 0, "the sender was answered");
        assert!(copied(&self.seen, body), "the recipient got the message");
        assert_eq!(self.written, self.seen.len(), "nobody else did");
    }

    /// The last endpoint answers the copy it got, as whoever is asked does.
    fn answer_last(&mut self) {
        let copy = String::from_utf8_lossy(&self.seen).into_owned();
        let mut lines = copy.split("\r\n");
        let mut value = |name: &str| lines.next().and_then(|l| l.strip_prefix(name)).unwrap_or_default();
        let (tid, to, from) = (value("MSRP "), value("To-Path: "), value("From-Path: "));
        let tid = tid.split(' ').next().unwrap_or_default();
        let answer = format!("MSRP {tid} 200 OK\r\nTo-Path: {from}\r\nFrom-Path: {to}\r\n-------{tid}$\r\n");
        let last = self.conns[self.conns.len() - 1];
        assert_eq!(self.core.bytes(self.now, last, answer.as_bytes()), Flow::Go);
        self.drain();
        self.now = self.now + Duration::from_millis(1);
        self.core.tick(self.now);
    }

    /// The sender sends `message`, in reads of [`READ`] octets; everybody else gets it.
    fn send(&mut self, message: &mut [u8], body: &[u8]) {
        self.sent += 1;
        restamp(message, self.sent);
        (self.written, self.answers) = (0, 0);
        self.seen.clear();
        for read in message.chunks(READ) {
            let mut flow = self.core.bytes(self.now, self.conns[0], read);
            self.drain();
            while flow == Flow::Wait {
                if !std::mem::take(&mut self.resumed) {
                    self.now = self.core.deadline().expect("it is told when to go on");
                    self.core.tick(self.now);
                } else {
                    flow = self.core.resume(self.now, self.conns[0]);
                }
                self.drain();
            }
            assert_eq!(flow, Flow::Go);
        }
        self.now = self.now + Duration::from_millis(1);
        self.core.tick(self.now);
        assert!(self.answers > 0, "the sender was answered");
        assert!(copied(&self.seen, body), "the last endpoint got the message");
        // Copies differ by nothing but paths of one length.
        assert_eq!(self.written, (ENDPOINTS - 1) * self.seen.len(), "everybody got a copy, once");
    }
}

/// Gives the message a transaction and a Message-ID of its own.
fn restamp(message: &mut [u8], n: u64) {
    let stamp = format!("{n:08}");
    let end = message.len() - b"$\r\n".len();
    let start = b"MSRP ".len() + TID.len();
    let id = memchr::memmem::find(message, b"Message-ID: ").expect("a Message-ID") + b"Message-ID: ".len();
    for at in [start, id + TID.len(), end] {
        message[at - stamp.len()..at].copy_from_slice(stamp.as_bytes());
    }
}

/// `octets` are SENDs whose bodies together are `body`.
fn copied(octets: &[u8], body: &[u8]) -> bool {
    let mut framer = Framer::default();
    let (mut rest, mut left) = (octets, body);
    while !rest.is_empty() {
        let (part, used) = match framer.step(rest, 0).expect("good framing") {
            Step::Head { head, body, used, .. } => {
                assert!(head.fault.is_none() && matches!(head.kind, Kind::Request(_)));
                (body.unwrap_or_default(), used)
            }
            Step::More { body, used, .. } => (body, used),
            Step::Partial | Step::Skip { .. } => return false,
        };
        let Some(after) = left.strip_prefix(part) else { return false };
        (left, rest) = (after, &rest[used..]);
    }
    left.is_empty() && framer.idle()
}

fn fan_out(c: &mut Criterion) {
    let mut world = World::new(ENDPOINTS);
    let mut group = c.benchmark_group("fan_out_1000");
    group.throughput(Throughput::Elements(ENDPOINTS as u64 - 1));
    for (name, body) in [
        ("small_200", wrapped(b"x", 200)),
        ("large_16_kib", wrapped(b"lorem ipsum ", 16 * 1024)),
        ("hostile_hyphens_16_kib", wrapped(b"-", 16 * 1024)),
        ("hostile_cuts_16_kib", wrapped(b"\r\n-------", 16 * 1024)),
        ("chunked_1_mib_in_64_kib_reads", wrapped(b"lorem ipsum ", 1 << 20)),
    ] {
        let mut message = request(&world.to, 0, Some(&body));
        world.send(&mut message, &body);
        group.bench_function(name, |b| b.iter(|| world.send(&mut message, &body)));
    }
    group.finish();
    world.core.check();
}

fn private(c: &mut Criterion) {
    let mut group = c.benchmark_group("private");
    for endpoints in [100, ENDPOINTS] {
        let mut world = World::new(endpoints);
        let to = format!("sip:user{}@example.com", endpoints - 1);
        let body = String::from_utf8(wrapped(b"x", 200)).expect("text").replace(ROOM, &to).into_bytes();
        let mut message = request(&world.to, 0, Some(&body));
        world.send_privately(&mut message, &body);
        group.bench_function(format!("room_of_{endpoints}"), |b| {
            b.iter(|| world.send_privately(&mut message, &body));
        });
        world.core.check();
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = fan_out, private
}
criterion_main!(benches);
