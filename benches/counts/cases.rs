//! What is counted: each case makes its world once and then does one thing again and again.

use crate::common::calls::Planes;
use crate::common::messages::{
    FROM, TO, chat_line, read, response, send, send_with_many_headers, trickle, write_around,
};
use crate::common::switch::World;
use openmsrp::base::address::Address;
use openmsrp::base::chunk::Flag;
use openmsrp::base::clock::Now;
use openmsrp::base::id::{EndpointId, MessageNo, ShardId};
use openmsrp::room::Room;
use openmsrp::room::command::{Command, Feedback, Posting};
use openmsrp::room::effect::Effect;
use openmsrp::room::rules::Caller;
use openmsrp::shard::io::Bell;
use openmsrp::shard::mesh::ring;
use openmsrp::shard::queue::{Pool, Queue};
use openmsrp::wire::cpim::{Parsed, parse};
use openmsrp::wire::msrp::encode;
use openmsrp::wire::msrp::uri::only_session_id;
use std::hint::black_box;
use std::time::Duration;

/// One thing, done once at each call; it asserts its result.
pub(crate) type Act = Box<dyn FnMut()>;

/// Something that is counted.
pub(crate) struct Case {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How often it is done in the shorter of two runs: enough to outweigh what happens once in a while.
    pub(crate) times: u64,
    /// Makes the world it is done in.
    pub(crate) set_up: fn() -> Act,
}

const fn case(name: &'static str, times: u64, set_up: fn() -> Act) -> Case {
    Case { name, times, set_up }
}

/// All cases, from the octets up.
pub(crate) const CASES: &[Case] = &[
    case("read_send_200", 2000, || reads(send(&chat_line()), 200)),
    case("read_send_200_in_two_reads", 2000, || trickles(send(&chat_line()), 250, 200)),
    case("read_response_200_ok", 2000, || reads(response(), 0)),
    case("read_body_64_kib", 200, || reads(send(&[b'x'; 64 * 1024]), 64 * 1024)),
    case("read_hostile_cuts_64_kib", 20, || reads(send(&b"\r\n-------".repeat(8192)), 9 * 8192)),
    case("read_hostile_head_64_lines", 500, || reads(send_with_many_headers(), 1)),
    case("find_session_id", 2000, || {
        Box::new(|| assert_eq!(only_session_id(black_box(TO)), Some(&b"Yk3m8PzV1eRt6LqJ0aHw"[..])))
    }),
    case("write_send_head", 2000, write_send_head),
    case("cpim_chat_line", 2000, || wraps(chat_line())),
    case("cpim_hostile_64_lines", 500, || wraps(many_lines())),
    case("queue_small", 2000, queue_small),
    case("queue_shared", 2000, queue_shared),
    case("mesh_256", 100, mesh_256),
    case("room_decides_10", 20_000, || decides(10, false)),
    case("room_decides_10000", 20_000, || decides(10_000, false)),
    case("room_decides_private_10000", 20_000, || decides(10_000, true)),
    case("fan_out_10", 200, || speaks(1, 10, b"x", 200)),
    case("fan_out_10_answered", 200, || answered(1, 10)),
    case("fan_out_1000", 20, || speaks(1, 1000, b"x", 200)),
    case("fan_out_1000_rooms_of_10", 2000, || speaks(1000, 10, b"x", 200)),
    case("fan_out_1000_rooms_of_10_answered", 2000, || answered(1000, 10)),
    case("fan_out_1000_of_16_kib", 20, || speaks(1, 1000, b"lorem ipsum ", 16 * 1024)),
    case("fan_out_100_through_one_relay", 200, || relayed(100, 200)),
    case("fan_out_10_of_16_kib_through_one_relay", 200, || relayed(10, 16 * 1024)),
    case("fan_out_1000_hostile_cuts_16_kib", 20, || speaks(1, 1000, b"\r\n-------", 16 * 1024)),
    case("fan_out_100_of_1_mib_in_64_kib_reads", 4, || speaks(1, 100, b"lorem ipsum ", 1 << 20)),
    case("private_100", 200, || whispers(100)),
    case("private_1000", 200, || whispers(1000)),
    case("join_and_leave_10", 200, || joins(10)),
    case("join_and_leave_1000", 200, || joins(1000)),
];

/// The same things in ever larger worlds: does their cost depend on it? Slow, so only on request, and in no table.
pub(crate) const SIZES: &[Case] = &[
    case("sizes_fan_out_10_rooms_of_10", 2000, || speaks(10, 10, b"x", 200)),
    case("sizes_fan_out_100_rooms_of_10", 2000, || speaks(100, 10, b"x", 200)),
    case("sizes_fan_out_1000_rooms_of_10", 2000, || speaks(1000, 10, b"x", 200)),
    case("sizes_fan_out_10000_rooms_of_10", 2000, || speaks(10_000, 10, b"x", 200)),
    case("sizes_fan_out_10_rooms_of_50", 400, || speaks(10, 50, b"x", 200)),
    case("sizes_fan_out_1000_rooms_of_50", 400, || speaks(1000, 50, b"x", 200)),
    case("sizes_fan_out_1_room_of_100", 200, || speaks(1, 100, b"x", 200)),
    case("sizes_fan_out_1_room_of_1000", 20, || speaks(1, 1000, b"x", 200)),
    case("sizes_fan_out_1_room_of_10000", 4, || speaks(1, 10_000, b"x", 200)),
    case("sizes_join_and_leave_10", 200, || joins(10)),
    case("sizes_join_and_leave_100", 200, || joins(100)),
    case("sizes_join_and_leave_1000", 200, || joins(1000)),
    case("sizes_join_and_leave_10000", 200, || joins(10_000)),
];

fn reads(message: Vec<u8>, body: usize) -> Act {
    Box::new(move || assert_eq!(read(black_box(&message)), (1, body)))
}

fn trickles(message: Vec<u8>, piece: usize, body: usize) -> Act {
    Box::new(move || assert_eq!(trickle(black_box(&message), piece, usize::MAX), body))
}

fn write_send_head() -> Act {
    let (preamble, mut out) = (encode::preamble(TO, FROM), Vec::with_capacity(1024));
    Box::new(move || write_around(&mut out, &preamble))
}

fn wraps(message: Vec<u8>) -> Act {
    Box::new(move || match parse(black_box(&message), true) {
        Ok(Parsed::Complete(wrapper)) => assert_eq!(wrapper.content_type, "text/plain"),
        other => panic!("{other:?}"),
    })
}

/// A wrapper with headers that nobody asked for.
fn many_lines() -> Vec<u8> {
    let mut body = b"From: <sip:a@example.com>\r\n".to_vec();
    (0..62).for_each(|n| body.extend_from_slice(format!("NS: x{n} <urn:x>\r\n").as_bytes()));
    body.extend_from_slice(b"To: <sip:b@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\nx");
    body
}

/// A copy waits and is taken.
fn queue_small() -> Act {
    let (mut pool, mut queue) = (Pool::default(), Queue::default());
    let (head, paths, tail) = ([b'h'; 24], [b'p'; 130], [b't'; 300]);
    Box::new(move || {
        queue.push(Now(1), &mut pool, [&head, &paths, &tail]);
        assert_eq!(queue.waiting().map(<[u8]>::len).sum::<usize>(), 454);
        queue.wrote(Now(1), &mut pool, 454);
        assert!(queue.is_empty());
    })
}

/// A head, a shared body and an end-line wait and are taken.
fn queue_shared() -> Act {
    let (mut pool, mut queue) = (Pool::default(), Queue::default());
    let (head, body, end) = ([b'h'; 300], bytes::Bytes::from(vec![b'b'; 16 * 1024]), [b'e'; 24]);
    let octets = head.len() + body.len() + end.len();
    Box::new(move || {
        queue.push(Now(1), &mut pool, [&head, &[], &[]]);
        queue.push_shared(Now(1), &mut pool, body.clone());
        queue.push(Now(1), &mut pool, [&end, &[], &[]]);
        assert_eq!(queue.waiting().map(<[u8]>::len).sum::<usize>(), octets);
        queue.wrote(Now(1), &mut pool, octets);
        assert!(queue.is_empty());
    })
}

/// A batch to another shard that is awake.
fn mesh_256() -> Act {
    let bell = Bell::new().expect("a bell");
    let (mut out, mut inbox) = ring::<[u64; 16]>(&bell);
    Box::new(move || {
        (0..256).for_each(|n| out.push([n; 16]));
        assert!(!out.flush(), "the ring has room");
        (0..256).for_each(|n| assert_eq!(inbox.pop().expect("a value")[15], n));
    })
}

/// A message is judged in a room of so many participants.
fn decides(participants: u64, private: bool) -> Act {
    let (now, home) = (Now(1), ShardId(0));
    let address = |text: &str| Address::parse(text).expect("an address");
    let mut room = Room::new(address("sip:lobby@chat.example.com"), Default::default(), home, 1);
    let (mut effects, mut no) = (Vec::new(), MessageNo(0));
    for n in 0..participants {
        let (endpoint, participant) = (EndpointId(n), address(&format!("sip:user{n}@example.com")));
        let (caller, able) = (Caller::of(&participant), Some(true));
        let join = Command::Join { endpoint, participant, able, caller, password: None };
        room.apply(now, join, &mut effects);
        room.apply(now, Command::Bind { endpoint, at: home }, &mut effects);
    }
    let names: Vec<String> = (0..participants).map(|n| format!("sip:user{n}@example.com")).collect();
    Box::new(move || {
        effects.clear();
        no.0 += 1;
        let endpoint = EndpointId(u64::from(no.0) % participants);
        let posting = Posting {
            endpoint,
            no,
            to: private.then(|| &*names[(endpoint.0 + 1) as usize % names.len()]),
            content_type: "text/plain",
            size: 200,
            octets: 200,
            flag: Flag::End,
            feedback: Feedback::default(),
        };
        room.apply(now, Command::Post(posting), &mut effects);
        assert!(
            effects.iter().any(|e| matches!(e, Effect::Broadcast { only, .. } if only.is_some() == private))
        );
    })
}

/// A message to a room, of which all but the sender are behind one relay.
fn relayed(participants: usize, length: usize) -> Act {
    let mut world = World::relayed(participants);
    let mut speech = world.speech(b"lorem ipsum ", length);
    Box::new(move || world.send(&mut speech))
}

/// A message to a room.
fn speaks(rooms: usize, participants: usize, fill: &[u8], length: usize) -> Act {
    let mut world = World::new(rooms, participants);
    let mut speech = world.speech(fill, length);
    Box::new(move || world.send(&mut speech))
}

/// A line to a room whose participants answer all they get.
fn answered(rooms: usize, participants: usize) -> Act {
    let mut world = World::new(rooms, participants);
    let mut speech = world.speech(b"x", 200);
    speech.answered = true;
    Box::new(move || world.send(&mut speech))
}

/// A message to one participant of a room, and its answer.
fn whispers(participants: usize) -> Act {
    let mut world = World::new(1, participants);
    let mut whisper = world.whisper();
    Box::new(move || world.send(&mut whisper))
}

/// Somebody calls a room that so many others are in, opens a session and leaves.
fn joins(participants: usize) -> Act {
    let room = "sip:lobby@chat.example.com";
    let mut planes = Planes::new();
    (0..participants).for_each(|n| drop(planes.join(n, room)));
    // What only newcomers are watched for is over.
    planes.pass(Duration::from_secs(120));
    let mut n = participants;
    Box::new(move || {
        let call = planes.join(n, room);
        planes.leave(&call);
        planes.pass(Duration::from_secs(1));
        n += 1;
    })
}
