//! How many have a message: who asks, who counts, what the sender is told (docs/extensions.md).

use crate::world::{Frame, Person, ROOM, World, answer, terms};
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::Terms;
use openmsrp::wire::sdp::TypeList;

const ASKS: &str = "Delivery-Count: yes\r\n";

fn counting() -> Policy {
    Policy { delivery_counts: true, ..Policy::default() }
}

/// A room of so many that counts.
fn room_of(n: usize) -> (World, Vec<Person>) {
    let mut w = World::with(1, counting());
    let people = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    (w, people)
}

/// Says something and asks how many have it.
fn asks(w: &mut World, who: &Person, n: u32) {
    w.write(who.end, &who.message(n, ASKS, &who.wrapped("did you get this?")));
    assert_eq!(who.answers(w)[0].1, "200");
}

/// What the one report among these says: status and count.
fn told(reports: &[Frame]) -> (String, String) {
    assert_eq!(reports.len(), 1, "{reports:?}");
    let of = |name| reports[0].header(name).unwrap_or_default();
    (of("Status"), of("Delivery-Count"))
}

fn of(got: usize, all: usize) -> (String, String) {
    (format!("000 200 received by {got} of {all}"), format!("{got}/{all}"))
}

#[test]
fn the_sender_is_told_once_everybody_has_answered() {
    let (mut w, p) = room_of(4);
    asks(&mut w, &p[0], 7);
    for who in &p[1..3] {
        assert_eq!(who.answers_copies(&mut w, "200 OK"), 1);
        assert!(p[0].octets_none(&mut w), "not all have answered");
    }
    p[3].answers_copies(&mut w, "200 OK");
    let reports = p[0].reports(&mut w);
    assert_eq!(told(&reports), of(3, 3));
    let len = p[0].wrapped("did you get this?").len();
    assert_eq!(reports[0].range, format!("1-{len}/{len}"));
    assert_eq!((reports[0].message_id.as_str(), reports[0].body.as_ref()), ("m7abc", None));
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(p[0].octets_none(&mut w), "told once");
}

#[test]
fn who_is_silent_for_30_seconds_or_refuses_does_not_count() {
    let (mut w, p) = room_of(4);
    asks(&mut w, &p[0], 1);
    p[1].answers_copies(&mut w, "200 OK");
    p[2].answers_copies(&mut w, "400 no");
    w.later(limits::COPY_ANSWER_WAIT - std::time::Duration::from_millis(1));
    assert!(p[0].octets_none(&mut w));
    w.later(std::time::Duration::from_millis(1));
    assert_eq!(told(&p[0].reports(&mut w)), of(1, 3));
    p[3].answers_copies(&mut w, "200 late");
    assert!(p[0].octets_none(&mut w));
}

#[test]
fn nobody_is_counted_where_the_room_does_not_or_the_sender_does_not_ask() {
    for (policy, header) in
        [(Policy::default(), ASKS), (counting(), ""), (counting(), "Delivery-Count: no\r\n")]
    {
        let mut w = World::with(1, Policy { copy_report_endpoints_max: 1, ..policy });
        let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
        w.write(a.end, &a.message(1, header, &a.wrapped("x")));
        assert_eq!(a.answers(&mut w).len(), 1);
        let copy = w.frames(b.end).remove(0);
        assert_eq!(copy.header("Failure-Report").as_deref(), Some("no"), "as ever");
        w.write(b.end, answer(&copy, "200 OK").as_bytes());
        w.later(limits::COPY_ANSWER_WAIT);
        assert!(a.octets_none(&mut w), "{header:?}");
    }
}

#[test]
fn a_large_room_is_asked_for_this_message_only() {
    // CHAT-REP-06
    let mut w = World::with(1, Policy { copy_report_endpoints_max: 1, ..counting() });
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    asks(&mut w, &a, 1);
    a.says(&mut w, 2, "and this does not matter");
    let copies = w.frames(b.end);
    let wanted: Vec<_> = copies.iter().map(|f| f.header("Failure-Report")).collect();
    assert_eq!(wanted, [None, Some("no".into())]);
    assert_eq!(copies[0].header("Delivery-Count"), None, "the question is not for recipients");
}

#[test]
fn a_success_report_says_that_the_room_has_it_and_another_one_who_does() {
    // CHAT-REP-03
    let (mut w, p) = room_of(2);
    let body = p[0].wrapped("x");
    w.write(
        p[0].end,
        &p[0].message(1, &format!("Failure-Report: no\r\nSuccess-Report: yes\r\n{ASKS}"), &body),
    );
    p[1].answers_copies(&mut w, "200 OK");
    let reports = p[0].reports(&mut w);
    assert_eq!(told(&reports[..1]), ("000 200 OK".into(), String::new()));
    assert_eq!(told(&reports[1..]), of(1, 1));
}

#[test]
fn a_participant_has_a_message_if_one_of_its_devices_has_and_the_sender_is_not_counted() {
    let (mut w, p) = room_of(2);
    let (phone, own) = (Person::enters(&mut w, "p1"), Person::enters(&mut w, "p0"));
    asks(&mut w, &p[0], 1);
    assert_eq!(own.answers_copies(&mut w, "200 OK"), 1, "the sender's other device gets it too");
    p[1].answers_copies(&mut w, "500 broken");
    phone.answers_copies(&mut w, "200 OK");
    assert_eq!(told(&p[0].reports(&mut w)), of(1, 1));
    asks(&mut w, &p[0], 2);
    own.answers_copies(&mut w, "200 OK");
    w.later(limits::COPY_ANSWER_WAIT);
    assert_eq!(told(&p[0].reports(&mut w)), of(0, 1), "its own device is nobody else");
}

#[test]
fn who_gets_no_copy_counts_among_those_who_were_to_get_one() {
    let (mut w, p) = room_of(2);
    let picky = Terms { accepts: TypeList::parse("image/*"), ..terms("picky") };
    let small = Terms { max_size: Some(10), ..terms("small") };
    for (name, terms) in [("picky", picky), ("small", small)] {
        Person::enters_with(&mut w, 0, ROOM, name, terms);
    }
    let full = Person::enters(&mut w, "full");
    w.ends[full.end].stalled = true;
    for n in 0..300 {
        p[0].says(&mut w, n, &"x".repeat(if n < 250 { 1000 } else { 1 }));
    }
    w.frames(p[0].end);
    w.octets(p[1].end);
    asks(&mut w, &p[0], 999);
    p[1].answers_copies(&mut w, "200 OK");
    assert_eq!(told(&p[0].reports(&mut w)), of(1, 4));
}

#[test]
fn an_answer_counts_once_and_a_strangers_not_at_all() {
    let (mut w, p) = room_of(4);
    let late = |w: &mut World| Person::enters(w, "late");
    asks(&mut w, &p[0], 1);
    let copy = w.frames(p[1].end).remove(0);
    for _ in 0..5 {
        w.write(p[1].end, answer(&copy, "200 OK").as_bytes());
    }
    // The same transaction, answered by who was not asked in it.
    let late = late(&mut w);
    let mut forged = copy;
    forged.from_path = late.our_uri();
    w.write(late.end, answer(&forged, "200 OK").as_bytes());
    w.later(limits::COPY_ANSWER_WAIT);
    assert_eq!(told(&p[0].reports(&mut w)), of(1, 3));
}

#[test]
fn several_sessions_on_one_connection_are_counted_each() {
    let (mut w, p) = room_of(1);
    let a1 = Person::enters(&mut w, "a1");
    let (endpoint, session) = w.invite_as(ROOM, "a2", Some(terms("a2")));
    let a2 = Person { name: "a2".into(), endpoint, session: session.unwrap(), ..a1.clone() };
    a2.binds(&mut w);
    asks(&mut w, &p[0], 1);
    let copies = w.frames(a1.end);
    assert_ne!(copies[0].tid, copies[1].tid);
    w.write(a1.end, answer(&copies[0], "200 OK").as_bytes());
    assert!(p[0].octets_none(&mut w));
    w.write(a1.end, answer(&copies[1], "200 OK").as_bytes());
    assert_eq!(told(&p[0].reports(&mut w)), of(2, 2));
}

#[test]
fn who_leaves_without_an_answer_has_not_got_it_and_holds_up_nobody() {
    let (mut w, p) = room_of(4);
    asks(&mut w, &p[0], 1);
    p[1].answers_copies(&mut w, "200 OK");
    p[2].leaves(&mut w);
    assert!(p[0].octets_none(&mut w));
    w.hang_up(p[3].end);
    assert_eq!(told(&p[0].reports(&mut w)), of(1, 3));
}

#[test]
fn a_sender_that_left_or_is_bound_anew_is_told_nothing_and_nothing_stays() {
    let (mut w, p) = room_of(3);
    asks(&mut w, &p[0], 1);
    let again = crate::conns::renegotiated(&mut w, &p[0]);
    again.binds(&mut w);
    p[1].answers_copies(&mut w, "200 OK");
    p[2].answers_copies(&mut w, "200 OK");
    assert!(again.octets_none(&mut w), "the session that asked is gone");
    asks(&mut w, &again, 2);
    again.leaves(&mut w);
    p[1].answers_copies(&mut w, "200 OK");
    asks(&mut w, &p[1], 3);
    for who in &p[1..] {
        who.leaves(&mut w);
    }
    w.later(limits::COPY_ANSWER_WAIT);
    p.iter().chain([&again]).for_each(|who| w.hang_up(who.end));
    assert!(w.cores[0].is_idle());
}

#[test]
fn alone_in_a_room_nobody_has_it() {
    let (mut w, p) = room_of(1);
    w.write(p[0].end, &p[0].message(1, ASKS, &p[0].wrapped("hello?")));
    let frames = w.frames(p[0].end);
    assert_eq!(frames[0].what, "200", "the answer comes first");
    assert_eq!(told(&frames[1..]), of(0, 0));
}

#[test]
fn a_message_in_chunks_counts_when_its_last_part_is_answered() {
    let (mut w, p) = room_of(3);
    let body = p[0].wrapped(&"long ".repeat(100));
    let (one, two) = body.as_bytes().split_at(200);
    let chunk = |tid, range: &str, body, flag| {
        let m = p[0].chunk(tid, "long", range, body, flag);
        String::from_utf8(m).unwrap().replace("Content-Type: m", &format!("{ASKS}Content-Type: m"))
    };
    w.write(p[0].end, chunk("aaaa", "1-*/*", one, '+').as_bytes());
    p[1].answers_copies(&mut w, "200 OK");
    p[2].leaves(&mut w);
    w.write(p[0].end, chunk("bbbb", "201-*/*", two, '$').as_bytes());
    assert!(p[0].reports(&mut w).is_empty(), "the beginning is not enough");
    p[1].answers_copies(&mut w, "200 OK");
    let reports = p[0].reports(&mut w);
    assert_eq!(told(&reports), of(1, 2), "who left was to get it");
    assert_eq!(reports[0].range, format!("1-{0}/{0}", body.len()));
    // What ends unfinished is nobody's.
    w.write(p[0].end, chunk("cccc", "1-*/*", one, '+').as_bytes());
    w.write(p[0].end, chunk("dddd", "201-*/*", b"", '#').as_bytes());
    p[1].answers_copies(&mut w, "200 OK");
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(p[0].reports(&mut w).is_empty());
    p.iter().for_each(|who| who.leaves(&mut w));
    p.iter().for_each(|who| w.hang_up(who.end));
    assert!(w.cores[0].is_idle());
}

#[test]
fn private_messages_are_counted_too_and_typing_is_not() {
    let (mut w, p) = room_of(3);
    let phone = Person::enters(&mut w, "p1");
    let private = p[0].wrapped("psst").replace(ROOM, "sip:p1@example.com");
    w.write(p[0].end, &p[0].message(1, ASKS, &private));
    phone.answers_copies(&mut w, "200 OK");
    assert!(p[0].reports(&mut w).is_empty(), "its other device has not answered");
    p[1].answers_copies(&mut w, "413 no");
    let reports = p[0].reports(&mut w);
    assert_eq!(told(&reports), of(1, 1));
    assert!(reports[0].text().contains("To: <sip:p1@example.com>"), "{}", reports[0].text());
    assert!(p[2].octets_none(&mut w));
    let typing = p[0].wrapped("x").replace("text/plain", "application/im-iscomposing+xml");
    w.write(p[0].end, &p[0].message(2, ASKS, &typing));
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(p[0].reports(&mut w).is_empty());
}

#[test]
fn a_failed_private_message_is_told_with_its_count_in_one_report() {
    let (mut w, p) = room_of(2);
    let private = p[0].wrapped("psst").replace(ROOM, "sip:p1@example.com");
    w.write(p[0].end, &p[0].message(1, ASKS, &private));
    p[1].answers_copies(&mut w, "400 no");
    let reports = p[0].reports(&mut w);
    assert_eq!(told(&reports), ("000 400 Recipient refused".into(), "0/1".into()));
}

#[test]
fn too_many_counts_at_once_are_told_as_unknown() {
    let (mut w, p) = room_of(6);
    let each = limits::SESSION_FOLLOWED_MAX as u32;
    // Five senders, each with as many as a session may have: more than a room may have.
    for who in &p[..5] {
        for n in 0..each {
            asks(&mut w, who, n);
        }
        p.iter().for_each(|p| drop(p.answers(&mut w)));
    }
    let unknown: (String, String) = ("000 200 received by an unknown number".into(), "unknown".into());
    w.write(p[5].end, &p[5].message(1, ASKS, &p[5].wrapped("x")));
    let frames = w.frames(p[5].end);
    assert_eq!((frames[0].what.as_str(), told(&frames[1..])), ("200", unknown));
    let body = p[5].wrapped(&"long ".repeat(100));
    for (tid, range, part, flag) in
        [("aaaa", "1-*/*", &body[..200], '+'), ("bbbb", "201-*/*", &body[200..], '$')]
    {
        assert!(p[5].reports(&mut w).is_empty());
        let m = String::from_utf8(p[5].chunk(tid, "long", range, part.as_bytes(), flag)).unwrap();
        w.write(p[5].end, m.replace("Content-Type: m", &format!("{ASKS}Content-Type: m")).as_bytes());
    }
    assert_eq!(told(&p[5].reports(&mut w)).1, "unknown", "said when it is whole");
    w.later(limits::COPY_ANSWER_WAIT);
    let reports = p[0].reports(&mut w);
    assert_eq!(reports.len(), each as usize);
    assert!(reports.iter().all(|r| told(std::slice::from_ref(r)) == of(0, 5)));
    assert_eq!(p[5].reports(&mut w).len(), 0);
    asks(&mut w, &p[5], 2);
    for p in &p[..5] {
        p.answers_copies(&mut w, "200 OK");
    }
    assert_eq!(told(&p[5].reports(&mut w)), of(5, 5), "there is room again");
}

#[test]
fn a_session_that_asks_too_much_is_told_that_nobody_counts() {
    let (mut w, p) = room_of(2);
    for n in 0..limits::SESSION_FOLLOWED_MAX as u32 {
        asks(&mut w, &p[0], n);
    }
    w.write(p[0].end, &p[0].message(999, ASKS, &p[0].wrapped("x")));
    assert_eq!(told(&p[0].reports(&mut w)).1, "unknown");
}

#[test]
fn a_big_room_is_counted_across_its_shards() {
    let mut w = World::with(3, counting());
    let people: Vec<Person> =
        (0..limits::ROOM_ONE_SHARD_ENDPOINTS * 2).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    let home = w.home(ROOM);
    let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
    for who in [true, false].map(|here| people.iter().position(|p| (place(&w, p) == home) == here).unwrap()) {
        asks(&mut w, &people[who], 1);
        for (i, p) in people.iter().enumerate().filter(|(i, _)| *i != who) {
            p.answers_copies(&mut w, if i % 4 == 0 { "400 no" } else { "200 OK" });
        }
        let good = (0..people.len()).filter(|i| i % 4 != 0 && *i != who).count();
        assert_eq!(told(&people[who].reports(&mut w)), of(good, people.len() - 1));
        let private = people[who].wrapped("psst").replace(ROOM, "sip:p400@example.com");
        w.write(people[who].end, &people[who].message(2, ASKS, &private));
        people[400].answers_copies(&mut w, "200 OK");
        assert_eq!(told(&people[who].reports(&mut w)), of(1, 1));
    }
    // A whole shard leaves with a message half said; the others are told of, and nothing stays.
    let who = people.iter().position(|p| place(&w, p) == home).unwrap();
    let body = people[who].wrapped(&"long ".repeat(100));
    let (one, two) = body.as_bytes().split_at(200);
    let chunk = |tid, range: &str, body, flag| {
        let m = people[who].chunk(tid, "long", range, body, flag);
        String::from_utf8(m).unwrap().replace("Content-Type: m", &format!("{ASKS}Content-Type: m"))
    };
    w.write(people[who].end, chunk("aaaa", "1-*/*", one, '+').as_bytes());
    let (gone, left): (Vec<&Person>, Vec<&Person>) =
        people.iter().partition(|p| place(&w, p) == (home + 1) % 3);
    gone.iter().for_each(|p| p.leaves(&mut w));
    w.write(people[who].end, chunk("bbbb", "201-*/*", two, '$').as_bytes());
    for p in left.iter().filter(|p| p.end != people[who].end) {
        p.answers_copies(&mut w, "200 OK");
    }
    assert_eq!(told(&people[who].reports(&mut w)), of(left.len() - 1, people.len() - 1));
    left.iter().for_each(|p| p.leaves(&mut w));
    people.iter().for_each(|p| w.hang_up(p.end));
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(w.cores.iter().all(openmsrp::shard::core::ShardCore::is_idle));
}
