//! Events that cross each other: leaving, losing, re-negotiating, claiming and timers, in awkward orders.

use crate::world::{Person, ROOM, World, address, ask_for_another, settled, terms};
use openmsrp::base::chunk::Flag;
use openmsrp::base::id::{EndpointId, SessionId};
use openmsrp::base::limits;
use openmsrp::shard::conns::CloseReason;
use openmsrp::shard::core::Flow;
use openmsrp::shard::message::{FromShard, Terms, ToShard};
use std::time::Duration;

fn granted(w: &mut World, name: &str, end: usize, terms: Option<Terms>) -> Person {
    granted_in(w, ROOM, name, end, terms)
}

fn granted_in(w: &mut World, room: &str, name: &str, end: usize, terms: Option<Terms>) -> Person {
    let (endpoint, session) = w.invite_as(room, name, terms);
    Person { name: name.into(), room: room.into(), endpoint, session: session.unwrap(), end }
}

fn revise(w: &mut World, who: EndpointId, terms: Terms) -> SessionId {
    ask_for_another(w, ROOM, who, terms);
    w.granted(who).unwrap()
}

fn passive(name: &str) -> Terms {
    Terms { connect_to: Some("127.0.0.1:2855".parse().unwrap()), ..terms(name) }
}

fn all_gone(w: &World) {
    assert!(w.cores.iter().all(|c| c.rooms() == 0 && c.sessions() == 0), "something is left behind");
}

#[test]
fn a_connection_that_was_answered_does_not_move() {
    // The writer of its shard may have the socket already.
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let end = w.connect(1 - home);
    w.write(end, b"MSRP dull1 SEND\r\nTo-Path: msrp://x:1/x;tcp\r\nFrom-Path: msrp://y:1/y;tcp\r\nByte-Range: x\r\nMessage-ID: abcd\r\n-------dull1$\r\n");
    assert_eq!(w.frames(end)[0].what, "400");
    let a = granted(&mut w, "a", end, Some(terms("a")));
    a.binds(&mut w);
    assert_eq!(w.ends[end].at.unwrap().0, 1 - home, "the session came instead");
}

#[test]
fn a_session_claimed_by_a_connection_that_is_gone_ends_with_its_dialog() {
    let mut w = World::new(2);
    let home = w.home(ROOM);
    for leaves_late in [false, true] {
        let end = settled(&mut w, 1 - home);
        let a = granted(&mut w, "a", end, Some(terms("a")));
        w.delayed = true;
        w.write(end, &a.request("claim001", "SEND", "", None, '$'));
        w.cross((1 - home, home));
        w.hang_up(end);
        w.cross_all();
        if leaves_late {
            w.later(limits::GRANT_WAIT);
        }
        a.leaves(&mut w);
        w.cross_all();
        w.delayed = false;
        all_gone(&w);
    }
}

#[test]
fn terms_that_cross_a_claim_arrive() {
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let end = settled(&mut w, 1 - home);
    let a = granted(&mut w, "a", end, None);
    w.write(end, &a.request("claim001", "SEND", "", None, '$'));
    assert!(w.frames(end).is_empty(), "no terms yet");
    w.tell(
        home,
        ToShard::Revise {
            endpoint: a.endpoint,
            room: address(ROOM),
            terms: Box::new(terms("a")),
            rebind: None,
        },
    );
    assert_eq!(w.frames(end)[0].what, "200");
    a.leaves(&mut w);
    all_gone(&w);
}

#[test]
fn a_replacement_has_its_whole_time() {
    // SDP-06 FOCUS-05
    let mut w = World::new(1);
    let mut a = Person::enters(&mut w, "a");
    w.later(limits::GRANT_WAIT - Duration::from_millis(100));
    a.session = revise(&mut w, a.endpoint, terms("a"));
    w.later(Duration::from_millis(200));
    a.end = w.connect(0);
    a.binds(&mut w);
}

#[test]
fn a_passive_peer_has_its_whole_time_to_answer() {
    // MSRP-CONN-02
    let mut w = World::new(1);
    let (endpoint, _) = w.invite_as(ROOM, "p", Some(passive("p")));
    w.later(limits::CONNECT_WAIT - Duration::from_millis(100));
    let end = w.connected(0, endpoint);
    w.later(Duration::from_millis(200));
    assert_eq!(w.ends[end].closed, None);
    w.later(limits::CONNECT_WAIT);
    assert!(w.ends[end].closed.is_some());
}

#[test]
fn a_connection_we_opened_closes_when_nobody_wants_it_any_more() {
    let mut w = World::new(1);
    let (endpoint, _) = w.invite_as(ROOM, "p", Some(passive("p")));
    let end = w.connected(0, endpoint);
    w.tell(0, ToShard::Leave { endpoint, room: address(ROOM) });
    w.later(limits::CONN_EMPTY);
    w.later(limits::CONN_EMPTY);
    assert!(w.ends[end].closed.is_some(), "after leaving");

    let (endpoint, _) = w.invite_as(ROOM, "q", Some(passive("q")));
    let old = w.connected(0, endpoint);
    let session = revise(&mut w, endpoint, terms("q"));
    let end = w.connect(0);
    Person { name: "q".into(), room: ROOM.into(), endpoint, session, end }.binds(&mut w);
    w.later(limits::CONN_EMPTY);
    w.hang_up(old);
    assert!(!w.control.iter().any(|e| matches!(e, FromShard::Lost { endpoint: e, .. } if *e == endpoint)));
    assert_eq!(w.ends[end].closed, None);
}

#[test]
fn a_passive_peer_that_moves_is_connected_to_again() {
    // SDP-06 MSRP-CONN-05
    let mut w = World::new(1);
    let (endpoint, _) = w.invite_as(ROOM, "p", Some(passive("p")));
    let end = w.connected(0, endpoint);
    let tid = w.frames(end)[0].tid.clone();
    w.write(end, format!("MSRP {tid} 200 OK\r\nTo-Path: msrp://x:1/x;tcp\r\nFrom-Path: msrp://y:1/y;tcp\r\n-------{tid}$\r\n").as_bytes());
    assert_eq!(w.connects.len(), 1);
    revise(&mut w, endpoint, passive("p2"));
    assert_eq!(w.connects.len(), 2);
    let end = w.connected(0, endpoint);
    assert!(w.frames(end)[0].to_path.contains("p2.example.com"));
}

#[test]
fn failures_far_apart_are_no_guessing() {
    // MSRP-CONN-06 SEC-02
    let mut w = World::new(1);
    let a = Person::enters(&mut w, "a");
    for n in 0..limits::CONN_STRAYS_MAX * 2 {
        let late = a.request(&format!("late{n}"), "SEND", "", None, '$');
        w.write(
            a.end,
            &String::from_utf8(late)
                .unwrap()
                .replace(&a.our_uri(), "msrp://chat.example.com:2855/old;tcp")
                .into_bytes(),
        );
        a.says(&mut w, n, "in between");
        let codes: Vec<String> = a.answers(&mut w).into_iter().map(|a| a.1).collect();
        assert_eq!(codes, ["481", "200"]);
    }
    assert_eq!(w.ends[a.end].closed, None);
}

#[test]
fn a_stream_that_is_always_cut_in_the_middle_goes_on() {
    // SEC-06
    let mut w = World::new(1);
    let a = Person::enters(&mut w, "a");
    let mut rest = Vec::new();
    for n in 0..80 {
        rest.extend(a.message(n, "", &a.wrapped("hello")));
        let cut = rest.len() - 20;
        let now: Vec<u8> = rest.drain(..cut).collect();
        w.write(a.end, &now);
        w.later(Duration::from_secs(1));
    }
    assert_eq!(w.ends[a.end].closed, None);
    w.later(limits::HEAD_WAIT);
    assert_eq!(w.ends[a.end].closed, Some(CloseReason::Silent), "but not when it stops there");
}

#[test]
fn a_session_keeps_its_count_of_messages_when_it_is_bound_anew() {
    // CHAT-CHUNK-05
    let mut w = World::new(1);
    let mut a = Person::enters(&mut w, "a");
    let b = Person::enters(&mut w, "b");
    let text = a.wrapped("one, unfinished");
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    a.session = revise(&mut w, a.endpoint, terms("a"));
    a.end = w.connect(0);
    a.binds(&mut w);
    let text = a.wrapped("two");
    w.write(a.end, &a.chunk("bbbb", "nnnn", "1-*/*", text.as_bytes(), '+'));
    w.write(a.end, &a.chunk("cccc", "nnnn", &format!("{}-*/*", text.len() + 1), b"!", '$'));
    let flags: Vec<Flag> = w.frames(b.end).iter().map(|f| f.flag).collect();
    assert_eq!(flags, [Flag::More, Flag::Abort, Flag::More, Flag::End]);
}

#[test]
fn another_session_on_the_connection_we_opened_leaves_the_first_to_be_bound() {
    // MSRP-CONN-01
    let mut w = World::new(1);
    let (p, _) = w.invite_as(ROOM, "p", Some(passive("p")));
    let end = w.connected(0, p);
    let tid = w.frames(end)[0].tid.clone();
    let q = granted(&mut w, "q", end, Some(terms("q")));
    q.binds(&mut w);
    w.write(end, format!("MSRP {tid} 200 OK\r\nTo-Path: msrp://x:1/x;tcp\r\nFrom-Path: msrp://y:1/y;tcp\r\n-------{tid}$\r\n").as_bytes());
    assert!(w.control.iter().any(|e| matches!(e, FromShard::Bound { endpoint } if *endpoint == p)));
}

#[test]
fn a_session_that_leaves_with_verdicts_on_their_way_does_not_hold_up_the_others() {
    // SEC-05 MSRP-CONN-01
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let end = settled(&mut w, 1 - home);
    let people: Vec<Person> =
        ["a", "b"].iter().map(|name| granted(&mut w, name, end, Some(terms(name)))).collect();
    people.iter().for_each(|p| p.binds(&mut w));
    let (a, b) = (&people[0], &people[1]);
    w.delayed = true;
    let burst: Vec<u8> = (0..100).flat_map(|n| a.message(n, "", &a.wrapped("x"))).collect();
    w.write(end, &burst);
    assert_eq!(w.ends[end].flow, Some(Flow::Wait));
    a.leaves(&mut w);
    w.delayed = false;
    w.later(Duration::ZERO);
    w.frames(end);
    b.says(&mut w, 1, "still here");
    let codes = b.answers(&mut w);
    assert_eq!(codes.last(), Some(&("t0000001".into(), "200".into())));
}

#[test]
fn only_the_session_that_missed_something_is_told() {
    // CHAT-CONG-01 MSRP-CONN-01
    let other = "sip:other@chat.example.com";
    let mut w = World::new(1);
    let quiet = Person::enters_at(&mut w, 0, other, "b");
    let (endpoint, session) = w.invite_as(ROOM, "c", Some(terms("c")));
    let busy =
        Person { name: "c".into(), room: ROOM.into(), endpoint, session: session.unwrap(), end: quiet.end };
    busy.binds(&mut w);
    let a = Person::enters(&mut w, "a");
    w.ends[quiet.end].stalled = true;
    let text = "x".repeat(10_000);
    for n in 0..40 {
        a.says(&mut w, n, &text);
    }
    w.recover(quiet.end);
    let frames = w.frames(quiet.end);
    let notices: Vec<_> = frames.iter().filter(|f| f.text().contains("were left out")).collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].from_path, busy.our_uri());
}

#[test]
fn a_message_that_grows_beyond_what_a_recipient_takes_ends_early_for_it() {
    // SDP-10 CHAT-CHUNK-10
    let mut w = World::new(1);
    let a = Person::enters(&mut w, "a");
    let b = Person::enters_with(&mut w, 0, ROOM, "b", Terms { max_size: Some(1000), ..terms("b") });
    let c = Person::enters(&mut w, "c");
    let text = a.wrapped(&"x".repeat(500));
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '+'));
    w.write(a.end, &a.chunk("bbbb", "mmmm", &format!("{}-*/*", text.len() + 1), text.as_bytes(), '+'));
    w.write(a.end, &a.chunk("cccc", "mmmm", &format!("{}-*/*", 2 * text.len() + 1), b"x", '$'));
    let flags = |w: &mut World, p: &Person| w.frames(p.end).iter().map(|f| f.flag).collect::<Vec<_>>();
    assert_eq!(flags(&mut w, &b), [Flag::More, Flag::Abort]);
    assert_eq!(flags(&mut w, &c), [Flag::More, Flag::More, Flag::End]);
}

#[test]
fn a_recipient_that_takes_an_octet_at_a_time_does_not_hold_up_a_long_message() {
    // CHAT-CHUNK-10
    let mut w = World::new(1);
    let (a, b, c) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"), Person::enters(&mut w, "c"));
    w.ends[b.end].stalled = true;
    let text = a.wrapped(&"x".repeat(2_000_000));
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", text.as_bytes(), '$'));
    assert_eq!(w.ends[a.end].flow, Some(Flow::Wait), "the sender waits first");
    for _ in 0..120 {
        w.sip(b.end, 1);
        w.later(Duration::from_millis(500));
    }
    assert_eq!(w.ends[a.end].closed, None);
    assert_eq!(a.answers(&mut w), [("aaaa".into(), "200".into())]);
    assert_eq!(c.hears(&mut w).concat(), text);
    assert_eq!(w.ends[b.end].closed, None, "who takes something is not stuck");
}

#[test]
fn a_new_session_is_found_where_a_claim_has_taken_the_old_one() {
    // MSRP-CONN-05 SDP-06
    let mut w = World::new(2);
    let (here, there) = (w.room_at(0), w.room_at(1));
    let first = Person::enters_at(&mut w, 0, &here, "a");
    let mut second = granted_in(&mut w, &there, "a", first.end, Some(terms("a")));
    w.delayed = true;
    w.write(first.end, &second.binding("bind0001"));
    // The claim crosses and the session is bound here, but its room does not know yet.
    w.cross((0, 1));
    w.cross((1, 0));
    assert_eq!(w.frames(first.end)[0].what, "200");
    ask_for_another(&mut w, &there, second.endpoint, terms("a"));
    w.cross_all();
    second.session = w.granted(second.endpoint).unwrap();
    second.end = w.connect(1);
    w.write(second.end, &second.binding("bind0002"));
    w.cross_all();
    assert_eq!(w.frames(second.end)[0].what, "200");
}

#[test]
fn a_new_session_may_be_opened_on_a_connection_of_another_shard_while_the_old_one_is_bound() {
    // MSRP-CONN-01 MSRP-CONN-05 SDP-06
    let mut w = World::new(2);
    let home = w.home(ROOM);
    let mut a = Person::enters_at(&mut w, home, ROOM, "a");
    let b = Person::enters_at(&mut w, home, ROOM, "b");
    let (old, old_end) = (a.clone(), a.end);
    a.session = revise(&mut w, a.endpoint, terms("a"));
    a.end = settled(&mut w, 1 - home);
    w.delayed = true;
    w.write(a.end, &a.binding("bind0001"));
    w.cross((1 - home, home));
    w.cross((home, 1 - home));
    assert_eq!(w.frames(a.end)[0].what, "200");
    // The old connection closes: that it was the session's is no news any more.
    w.hang_up(old_end);
    w.cross_all();
    w.delayed = false;
    b.says(&mut w, 1, "where are you?");
    assert_eq!(a.hears(&mut w), [b.wrapped("where are you?")]);
    a.says(&mut w, 1, "over here");
    assert_eq!(a.answers(&mut w), [("t0000001".into(), "200".into())]);
    assert_eq!(b.hears(&mut w), [a.wrapped("over here")]);
    let end = w.connect(home);
    w.write(end, &old.request("late", "SEND", "", None, '$'));
    assert_eq!(w.frames(end)[0].what, "481", "the old session is over");
    a.leaves(&mut w);
    b.leaves(&mut w);
    all_gone(&w);
}

#[test]
fn that_a_session_ended_on_its_old_shard_may_be_heard_after_it_was_bound_on_another() {
    // MSRP-CONN-05
    let mut w = World::new(3);
    let home = w.home(ROOM);
    let (from, to) = ((home + 1) % 3, (home + 2) % 3);
    // A session that a claim has taken to a shard which is not the room's home.
    let mut a = granted(&mut w, "a", 0, Some(terms("a")));
    a.end = settled(&mut w, from);
    a.binds(&mut w);
    assert_eq!(w.frames(a.end).len(), 0);
    let b = Person::enters_at(&mut w, home, ROOM, "b");
    a.session = revise(&mut w, a.endpoint, terms("a"));
    a.end = settled(&mut w, to);
    w.delayed = true;
    w.write(a.end, &a.binding("bind0001"));
    w.cross((to, from));
    w.cross((from, to));
    // The room hears of the new binding first, and of what is begun there.
    let text = a.wrapped("hello");
    let (begins, ends) = text.as_bytes().split_at(text.len() - 2);
    w.write(a.end, &a.chunk("aaaa", "mmmm", "1-*/*", begins, '+'));
    w.cross((to, home));
    w.cross((from, home));
    w.write(a.end, &a.chunk("bbbb", "mmmm", &format!("{}-*/*", begins.len() + 1), ends, '$'));
    w.cross_all();
    w.delayed = false;
    assert_eq!(b.hears(&mut w).concat(), text);
    b.says(&mut w, 1, "hello yourself");
    assert_eq!(a.hears(&mut w), [b.wrapped("hello yourself")]);
}

#[test]
fn a_connection_waits_for_no_session_that_was_bound_anew_elsewhere() {
    // CHAT-CONG-01
    let mut w = World::new(2);
    let (here, there) = (w.room_at(0), w.room_at(1));
    let first = Person::enters_at(&mut w, 0, &here, "a");
    let mut second = granted_in(&mut w, &there, "a", first.end, Some(terms("a")));
    second.binds(&mut w);
    // Too many messages without a verdict: the connection waits.
    let most = limits::VERDICTS_PENDING_MAX as u32;
    w.delayed = true;
    (0..most).for_each(|n| second.says(&mut w, n, "hurry"));
    assert_eq!(w.ends[first.end].flow, Some(Flow::Wait));
    (0..2).for_each(|n| first.says(&mut w, 900 + n, "from the other room"));
    // Their session goes to a connection of its own and owes as much at once.
    ask_for_another(&mut w, &there, second.endpoint, terms("a"));
    w.cross((1, 0));
    second.session = w.granted(second.endpoint).unwrap();
    second.end = w.connect(0);
    let body = second.wrapped("again");
    let mut burst = second.binding("bind0001");
    (0..most).for_each(|n| burst.extend(second.message(n, "", &body)));
    w.write(second.end, &burst);
    w.cross_all();
    w.delayed = false;
    assert_eq!(second.answers(&mut w).len(), 1 + most as usize);
    let answered: Vec<_> = first.answers(&mut w).into_iter().map(|(tid, _)| tid).collect();
    assert!(answered.ends_with(&["t0000900".into(), "t0000901".into()]), "{answered:?}");
}

#[test]
fn what_was_on_its_way_when_a_session_went_elsewhere_is_not_taken_for_what_the_new_one_says() {
    // MSRP-CHUNK-14
    let mut w = World::new(3);
    let (room, [old, home, new]) = (w.room_at(1), [0, 1, 2]);
    let b = Person::enters_at(&mut w, home, &room, "b");
    let end = settled(&mut w, old);
    let mut a = granted_in(&mut w, &room, "a", end, Some(terms("a")));
    a.binds(&mut w);
    assert_eq!(w.ends[a.end].at.unwrap().0, old);
    ask_for_another(&mut w, &room, a.endpoint, terms("a"));
    w.delayed = true;
    a.says(&mut w, 1, "from the old place");
    a.end = settled(&mut w, new);
    a.session = w.granted(a.endpoint).unwrap();
    w.write(a.end, &a.binding("bind0001"));
    w.cross((new, old));
    w.cross((old, new));
    a.says(&mut w, 2, "from the new place");
    w.cross((new, home));
    // Only now what it said before, and that it was there.
    while w.crossing().any(|pair| pair == (old, home)) {
        w.cross((old, home));
    }
    w.cross_all();
    w.delayed = false;
    assert_eq!(b.hears(&mut w), [a.wrapped("from the new place")]);
    let answers = a.answers(&mut w);
    assert_eq!(answers.last().unwrap(), &("t0000002".into(), "200".into()), "{answers:?}");
}

#[test]
fn a_sender_that_waited_when_its_session_went_elsewhere_is_let_go_on_there() {
    // CHAT-CHUNK-10
    let mut w = World::new(3);
    let (room, [old, home, new]) = (w.room_at(1), [0, 1, 2]);
    let (b, c) = (Person::enters_at(&mut w, home, &room, "b"), Person::enters_at(&mut w, home, &room, "c"));
    let end = settled(&mut w, old);
    let mut a = granted_in(&mut w, &room, "a", end, Some(terms("a")));
    a.binds(&mut w);
    w.ends[c.end].stalled = true;
    let text = a.wrapped(&"x".repeat(400_000));
    let writes = |w: &mut World, a: &Person, id: &str| {
        let request = a.chunk("huge0001", id, "1-*/*", text.as_bytes(), '$');
        for part in request.chunks(limits::READ_BYTES) {
            if w.ends[a.end].flow != Some(Flow::Wait) {
                w.write(a.end, part);
            }
        }
        w.ends[a.end].flow
    };
    assert_eq!(writes(&mut w, &a, "first"), Some(Flow::Wait));
    ask_for_another(&mut w, &room, a.endpoint, terms("a"));
    a.session = w.granted(a.endpoint).unwrap();
    a.end = settled(&mut w, new);
    a.binds(&mut w);
    assert_eq!(writes(&mut w, &a, "second"), Some(Flow::Wait));
    w.recover(c.end);
    w.later(limits::COPY_STALL);
    assert_ne!(w.ends[a.end].flow, Some(Flow::Wait));
    drop(b);
}
