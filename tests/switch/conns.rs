//! Connections and sessions: binding, refusing, expiring, rubbish.

use crate::world::{Person, ROOM, World, address, peer_path, terms};
use openmsrp::base::chunk::Flag;
use openmsrp::base::id::GrantNo;
use openmsrp::base::limits;
use openmsrp::shard::conns::CloseReason;
use openmsrp::shard::message::{Ended, FromShard, ToShard};
use std::time::Duration;

fn send(to: &str, tid: &str) -> Vec<u8> {
    format!(
        "MSRP {tid} SEND\r\nTo-Path: {to}\r\nFrom-Path: msrp://mallory.example.com:2855/Zz0Zz1;tcp\r\n\
         Message-ID: u6Dt\r\nByte-Range: 1-0/0\r\n-------{tid}$\r\n"
    )
    .into_bytes()
}

#[test]
fn the_first_request_binds_and_the_first_octets_are_its_answer() {
    // MSRP-CONN-02 MSRP-CONN-03
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    assert!(
        w.control.iter().any(|e| matches!(e, FromShard::Bound { endpoint } if *endpoint == alice.endpoint))
    );
    // A message as first request binds as well.
    let (endpoint, session) = w.invite_as(ROOM, "bob", Some(terms("bob")));
    let end = w.connect(0);
    let bob = Person { name: "bob".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    bob.says(&mut w, 1, "hello at once");
    assert_eq!(bob.answers(&mut w)[0].1, "200");
    assert_eq!(alice.hears(&mut w).len(), 1);
}

#[test]
fn a_guessed_session_is_unknown_and_guessing_ends() {
    // MSRP-CONN-04 MSRP-URI-07 SEC-02
    let mut w = World::new(2);
    let end = w.connect(0);
    for n in 0..limits::CONN_STRAYS_MAX {
        assert_eq!(w.ends[end].closed, None);
        w.write(end, &send("msrp://chat.example.com:2855/notASessionHere00000;tcp", &format!("guess{n}")));
        assert_eq!(w.frames(end)[0].what, "481");
    }
    assert_eq!(w.ends[end].closed, Some(CloseReason::Guessing));
}

#[test]
fn requests_that_cannot_be_read_end_like_guesses_unless_a_session_is_here() {
    // SEC-02
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let end = w.connect(0);
    for n in 0..limits::CONN_STRAYS_MAX {
        assert_eq!(w.ends[end].closed, None);
        w.write(end, &unreadable(n, "abcd"));
        w.write(alice.end, &unreadable(n, "abcd"));
        assert_eq!((&*w.frames(end)[0].what, &*w.frames(alice.end)[0].what), ("400", "400"));
    }
    assert_eq!((w.ends[end].closed, w.ends[alice.end].closed), (Some(CloseReason::Guessing), None));
}

/// A request whose range is none; its path is as long as `secret`.
fn unreadable(n: u32, secret: &str) -> Vec<u8> {
    format!(
        "MSRP dull{n} SEND\r\nTo-Path: msrp://x:1/x;tcp\r\nFrom-Path: msrp://y:1/{secret};tcp\r\nByte-Range: x\r\n\
         Message-ID: abcd\r\n-------dull{n}$\r\n"
    )
    .into_bytes()
}

#[test]
fn who_is_in_no_room_and_takes_no_answers_has_few() {
    // SEC-06
    let mut w = World::new(1);
    let end = w.connect(0);
    w.ends[end].stalled = true;
    let secret = "s".repeat(limits::STRANGER_QUEUE_BYTES_MAX / 2);
    for n in 0..2 {
        w.write(end, &unreadable(n, &secret));
        assert_eq!(w.ends[end].closed, None);
    }
    w.write(end, &unreadable(2, &secret));
    assert_eq!(w.ends[end].closed, Some(CloseReason::TooSlow));
}

#[test]
fn who_is_being_closed_has_ten_seconds_to_take_what_waits_however_steadily_it_takes() {
    // SEC-06
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    w.ends[alice.end].stalled = true;
    bob.says(&mut w, 1, &"x".repeat(10_000));
    w.write(alice.end, b"rubbish\r\n");
    assert_eq!(w.ends[alice.end].closed, Some(CloseReason::Garbage));
    for second in 1..10 {
        w.later(Duration::from_secs(1));
        w.sip(alice.end, 1);
        assert!(w.ends[alice.end].at.is_some(), "gone after {second} s");
    }
    w.later(limits::CLOSING_WAIT - Duration::from_secs(9));
    assert_eq!((w.ends[alice.end].at, w.cores[0].conns()), (None, 1));
}

#[test]
fn a_session_that_is_bound_cannot_be_bound_again() {
    // MSRP-CONN-04
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let end = w.connect(0);
    w.write(end, &send(&alice.our_uri(), "thief"));
    assert_eq!(w.frames(end)[0].what, "506");
    bob.says(&mut w, 1, "x");
    assert_eq!(alice.hears(&mut w).len(), 1, "the first binding is untouched");
}

#[test]
fn two_uris_or_another_connections_session_find_nothing() {
    // MSRP-URI-07
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let bob = Person::enters(&mut w, "bob");
    let two = format!("{} {}", alice.our_uri(), alice.our_uri());
    w.write(alice.end, &send(&two, "twouris"));
    assert_eq!(w.frames(alice.end)[0].what, "481");
    w.write(bob.end, &send(&alice.our_uri(), "stolen"));
    assert_eq!(w.frames(bob.end)[0].what, "506");
}

#[test]
fn a_grant_nobody_uses_is_void_after_15_seconds() {
    // FOCUS-05
    let mut w = World::new(1);
    let (endpoint, session) = w.invite_as(ROOM, "alice", Some(terms("alice")));
    let end = w.connect(0);
    let alice = Person { name: "alice".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    w.later(limits::GRANT_WAIT);
    let lost = |e: &FromShard| matches!(e, FromShard::Lost { endpoint: who, why: Ended::NeverBound } if *who == endpoint);
    assert!(w.control.iter().any(lost));
    w.write(end, &alice.request("late", "SEND", "", None, '$'));
    assert_eq!(w.frames(end)[0].what, "481");
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_30_seconds() {
    // MSRP-CONN-06
    let mut w = World::new(1);
    let silent = w.connect(0);
    let slow = w.connect(0);
    w.write(slow, b"MSRP abcd SE");
    w.later(limits::CONN_UNPROVEN - Duration::from_secs(1));
    assert_eq!((w.ends[silent].closed, w.ends[slow].closed), (None, None));
    w.later(Duration::from_secs(1));
    assert_eq!(w.ends[silent].closed, Some(CloseReason::Silent));
    assert_eq!(w.ends[slow].closed, Some(CloseReason::Silent));
    assert_eq!(w.cores[0].conns(), 0);
}

#[test]
fn a_head_that_never_ends_is_cut_and_one_that_is_slow_but_ends_is_not() {
    // SEC-06
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let m = alice.message(1, "", &alice.wrapped("slowly"));
    for octet in &m[..30] {
        w.write(alice.end, &[*octet]);
        w.later(Duration::from_millis(900));
    }
    assert_eq!(w.ends[alice.end].closed, None);
    w.write(alice.end, &m[30..]);
    assert_eq!(bob.hears(&mut w).len(), 1);
    w.later(Duration::from_secs(100));
    assert_eq!(w.ends[alice.end].closed, None, "an idle session is not cut");
    w.write(alice.end, b"MSRP abcd SEND\r\n");
    w.later(limits::HEAD_WAIT);
    assert_eq!(w.ends[alice.end].closed, Some(CloseReason::Silent));
    assert_eq!(w.ends[bob.end].closed, None);
}

#[test]
fn rubbish_closes_its_connection_and_no_other() {
    // MSRP-FRAME-17
    let mut w = World::new(1);
    let bob = Person::enters(&mut w, "bob");
    let long_line = format!("MSRP abcd SEND\r\nX: {}", "y".repeat(limits::LINE_BYTES_MAX));
    let endless: String = "MSRP abcd SEND\r\n".into();
    let endless = endless + &"X-Header: value\r\n".repeat(100);
    let rubbish: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
        b"msrp abcd SEND\r\n",
        long_line.as_bytes(),
        endless.as_bytes(),
    ];
    for (n, octets) in rubbish.iter().enumerate() {
        let alice = Person::enters(&mut w, &format!("alice{n}"));
        w.write(alice.end, octets);
        assert_eq!(
            w.ends[alice.end].closed,
            Some(CloseReason::Garbage),
            "{:?}",
            String::from_utf8_lossy(octets)
        );
        assert!(
            w.control
                .iter()
                .any(|e| matches!(e, FromShard::Lost { endpoint, .. } if *endpoint == alice.endpoint))
        );
        bob.says(&mut w, n as u32, "unharmed");
        assert_eq!(w.ends[bob.end].closed, None);
    }
}

#[test]
fn one_connection_carries_sessions_of_two_rooms_that_never_mix() {
    // MSRP-CONN-01 CHAT-JOIN-06
    let mut w = World::new(1);
    let other_room = "sip:other@chat.example.com";
    let a1 = Person::enters_at(&mut w, 0, ROOM, "a");
    let (endpoint, session) = w.invite_as(other_room, "a", Some(terms("a")));
    let a2 = Person {
        name: "a".into(),
        room: other_room.into(),
        endpoint,
        session: session.unwrap(),
        end: a1.end,
    };
    a2.binds(&mut w);
    let b1 = Person::enters_at(&mut w, 0, ROOM, "b");
    let b2 = Person::enters_at(&mut w, 0, other_room, "b");
    a1.says(&mut w, 1, "to the first");
    a2.says(&mut w, 2, "to the second");
    assert_eq!(b1.hears(&mut w), [a1.wrapped("to the first")]);
    assert_eq!(b2.hears(&mut w), [a2.wrapped("to the second")]);
    w.frames(a1.end);
    b1.says(&mut w, 3, "x");
    let frames = w.frames(a1.end);
    assert_eq!((frames.len(), frames[0].from_path.clone()), (1, a1.our_uri()));
    a1.leaves(&mut w);
    b2.says(&mut w, 4, "the other session lives on");
    assert_eq!(w.frames(a1.end).len(), 1);
}

#[test]
fn two_sessions_of_one_room_on_one_connection_get_copies_of_their_own() {
    // MSRP-FRAME-03 CHAT-MSG-08
    let mut w = World::new(1);
    let a1 = Person::enters(&mut w, "gw");
    let (endpoint, session) = w.invite_as(ROOM, "gw", Some(terms("gw")));
    let a2 =
        Person { name: "gw".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end: a1.end };
    a2.binds(&mut w);
    let b = Person::enters(&mut w, "b");
    for text in ["short", &"long ".repeat(1000)] {
        b.says(&mut w, 1, text);
        let frames = w.frames(a1.end);
        assert_eq!(frames.len(), 2);
        assert_ne!(frames[0].tid, frames[1].tid, "a transaction identifier comes once per connection");
        assert_ne!(frames[0].from_path, frames[1].from_path);
        assert!(frames.iter().all(|f| f.text() == b.wrapped(text)));
    }
}

#[test]
fn long_messages_of_different_sessions_on_one_connection_take_turns() {
    // MSRP-CHUNK-07
    let mut w = World::new(1);
    let gateway = Person::enters(&mut w, "gw");
    let (endpoint, session) = w.invite_as("sip:attic@chat.example.com", "gw", Some(terms("gw")));
    let room = "sip:attic@chat.example.com".into();
    let other = Person { name: "gw".into(), room, endpoint, session: session.unwrap(), end: gateway.end };
    other.binds(&mut w);
    let senders =
        [Person::enters(&mut w, "a"), Person::enters_at(&mut w, 0, "sip:attic@chat.example.com", "b")];
    let part = vec![b'x'; 10_000];
    let mut sent = [0_usize; 2];
    for n in 0..20 {
        for (i, sender) in senders.iter().enumerate() {
            let body = if n == 0 { sender.wrapped("long").into_bytes() } else { part.clone() };
            let range = format!("{}-*/*", sent[i] + 1);
            sent[i] += body.len();
            let flag = if n == 19 { '$' } else { '+' };
            w.write(sender.end, &sender.chunk(&format!("tid{i}{n:02}"), "long", &range, &body, flag));
        }
        // Each has got as far as the other, and neither waits for the other's end.
        let frames = w.frames(gateway.end);
        let to: Vec<&str> = frames.iter().map(|f| f.from_path.as_str()).collect();
        assert_eq!((frames.len(), to[0] == to[1]), (2, false), "part {n}");
        assert!(frames.iter().all(|f| (f.flag == Flag::End) == (n == 19)));
    }
}

#[test]
fn a_connection_without_sessions_is_closed_after_a_while() {
    // MSRP-CONN-06
    let mut w = World::new(1);
    let (alice, _bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    alice.leaves(&mut w);
    assert_eq!(w.ends[alice.end].closed, None);
    w.later(limits::CONN_EMPTY);
    assert_eq!(w.ends[alice.end].closed, Some(CloseReason::Unused));
}

#[test]
fn a_lost_connection_is_told_and_a_new_session_brings_it_back() {
    // MSRP-CONN-05
    let mut w = World::new(1);
    let (mut alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    w.hang_up(alice.end);
    assert!(w.control.iter().any(|e| matches!(e, FromShard::Lost { why: Ended::Closed, .. })));
    bob.says(&mut w, 1, "missed");
    let revise = ToShard::Revise {
        endpoint: alice.endpoint,
        room: address(ROOM),
        terms: Box::new(terms("alice")),
        rebind: Some(GrantNo(1)),
    };
    w.tell(0, revise);
    alice.session = w.granted(alice.endpoint).unwrap();
    alice.end = w.connect(0);
    alice.binds(&mut w);
    bob.says(&mut w, 2, "heard");
    assert_eq!(alice.hears(&mut w), [bob.wrapped("heard")]);
}

#[test]
fn a_new_path_takes_over_when_it_is_bound_and_not_before() {
    // SDP-06
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let mut moved = terms("alice");
    moved.peer_path = peer_path("newpc").into_bytes().into();
    let revise = ToShard::Revise {
        endpoint: alice.endpoint,
        room: address(ROOM),
        terms: Box::new(moved),
        rebind: Some(GrantNo(1)),
    };
    w.tell(0, revise);
    bob.says(&mut w, 1, "still the old one");
    assert_eq!(alice.hears(&mut w).len(), 1);
    let mut new = alice.clone();
    new.session = w.granted(alice.endpoint).unwrap();
    assert_ne!(new.session, alice.session);
    new.end = w.connect(0);
    new.binds(&mut w);
    bob.says(&mut w, 2, "now the new one");
    let frames = w.frames(new.end);
    assert_eq!((frames.len(), frames[0].to_path.clone()), (1, peer_path("newpc")));
    assert!(alice.hears(&mut w).is_empty());
    assert!(!w.control.iter().any(|e| matches!(e, FromShard::Lost { .. })), "nobody was lost");
    // A replacement that is never bound changes nothing.
    let again = ToShard::Revise {
        endpoint: alice.endpoint,
        room: address(ROOM),
        terms: Box::new(terms("alice")),
        rebind: Some(GrantNo(1)),
    };
    w.tell(0, again);
    w.later(limits::GRANT_WAIT);
    bob.says(&mut w, 3, "as before");
    assert_eq!(new.hears(&mut w).len(), 1);
}

#[test]
fn we_connect_to_a_passive_participant_and_bind_at_once() {
    // SDP-14 MSRP-CONN-02
    let mut w = World::new(1);
    let bob = Person::enters(&mut w, "bob");
    let mut passive = terms("alice");
    passive.connect_to = Some("127.0.0.1:4444".parse().unwrap());
    let (endpoint, session) = w.invite_as(ROOM, "alice", Some(passive.clone()));
    assert_eq!(w.connects, [(0, endpoint, "127.0.0.1:4444".parse().unwrap())]);
    let end = w.connected(0, endpoint);
    let alice = Person { name: "alice".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    let hello = w.frames(end).remove(0);
    assert_eq!((hello.what.as_str(), hello.body.clone(), hello.range.as_str()), ("SEND", None, "1-0/0"));
    assert_eq!(hello.to_path, peer_path("alice"));
    bob.says(&mut w, 1, "too early for alice");
    assert!(alice.hears(&mut w).is_empty(), "nothing before the session is bound");
    let ok = format!(
        "MSRP {0} 200 OK\r\nTo-Path: {1}\r\nFrom-Path: {2}\r\n-------{0}$\r\n",
        hello.tid, hello.from_path, hello.to_path
    );
    w.write(end, ok.as_bytes());
    bob.says(&mut w, 2, "now");
    assert_eq!(alice.hears(&mut w), [bob.wrapped("now")]);
    alice.says(&mut w, 1, "and back");
    assert_eq!(bob.hears(&mut w).len(), 1);
    // A participant that cannot be reached is lost.
    let (nowhere, _) = w.invite_as(ROOM, "carol", Some(passive));
    let (.., to) = *w.connects.last().unwrap();
    w.cores[0].connect_failed(w.now, nowhere, to);
    w.settle();
    let lost = |e: &FromShard| matches!(e, FromShard::Lost { endpoint, why: Ended::NoConnect } if *endpoint == nowhere);
    assert!(w.control.iter().any(lost));
}

#[test]
fn data_that_overtakes_the_answer_to_our_offer_waits_for_it() {
    // SDP-15
    let mut w = World::new(1);
    let bob = Person::enters(&mut w, "bob");
    let (endpoint, session) = w.invite_as(ROOM, "alice", None);
    let end = w.connect(0);
    let alice = Person { name: "alice".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    alice.says(&mut w, 1, "early");
    assert!(w.frames(end).is_empty() && bob.hears(&mut w).is_empty());
    let revise =
        ToShard::Revise { endpoint, room: address(ROOM), terms: Box::new(terms("alice")), rebind: None };
    w.tell(0, revise);
    assert_eq!(alice.answers(&mut w), [("t0000001".into(), "200".into())]);
    assert_eq!(bob.hears(&mut w), [alice.wrapped("early")]);
}

#[test]
fn stopping_ends_what_is_begun_and_closes_everything() {
    let mut w = World::new(2);
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    let text = a.wrapped("beginning");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    for shard in 0..2 {
        w.tell(shard, ToShard::Drain);
    }
    let frames = w.frames(b.end);
    assert_eq!(frames.last().unwrap().flag, openmsrp::base::chunk::Flag::Abort);
    assert_eq!(w.ends[a.end].closed, Some(CloseReason::Stopping));
    assert_eq!(w.control.iter().filter(|e| matches!(e, FromShard::Drained { .. })).count(), 2);
    assert!(w.cores[0].accepted(w.now).is_none(), "nobody new is let in");
}

/// The same endpoint with the session that a re-INVITE was granted, on a connection of its own.
pub(crate) fn renegotiated(w: &mut World, who: &Person) -> Person {
    let room = address(ROOM);
    let terms = Box::new(terms(&who.name));
    let home = w.home(ROOM);
    w.tell(home, ToShard::Revise { endpoint: who.endpoint, room, terms, rebind: Some(GrantNo(1)) });
    let session = w.granted(who.endpoint).unwrap();
    assert_ne!(session, who.session);
    let end = w.connect(home);
    Person { session, end, ..who.clone() }
}

#[test]
fn a_renegotiated_session_has_its_own_15_seconds() {
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    w.later(limits::GRANT_WAIT - Duration::from_secs(1));
    let anew = renegotiated(&mut w, &alice);
    // The timer of the first grant goes off.
    w.later(Duration::from_secs(2));
    anew.binds(&mut w);
}

#[test]
fn what_a_replaced_binding_left_unfinished_ends_with_a_hash() {
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let text = alice.wrapped("beginning");
    w.write(alice.end, &alice.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    assert_eq!(w.frames(bob.end).len(), 1);
    let anew = renegotiated(&mut w, &alice);
    anew.binds(&mut w);
    let frames = w.frames(bob.end);
    assert_eq!((frames.len(), frames[0].flag), (1, openmsrp::base::chunk::Flag::Abort));
}

#[test]
fn a_claimed_session_that_nobody_binds_is_forgotten() {
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let other = 1 - home;
    let (endpoint, session) = w.invite_as(ROOM, "alice", Some(terms("alice")));
    let end = w.connect(other);
    let alice = Person { name: "alice".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end };
    // A connection that cannot move asks for the session and is gone before the answer comes.
    w.write(end, &send("msrp://chat.example.com:2855/notASessionHere00000;tcp", "guess"));
    w.vanishes_asking(end, &alice.request("bind0001", "SEND", "", None, '$'));
    w.tell(home, ToShard::Leave { endpoint, room: address(ROOM) });
    w.later(limits::GRANT_WAIT);
    assert_eq!((w.cores[0].sessions(), w.cores[1].sessions()), (0, 0));
}
