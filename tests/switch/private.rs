//! Private messages: who can take them, and what the sender hears when they do not arrive.

use crate::world::{Person, ROOM, World, ask_for_another, settled, terms};
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::core::ShardCore;
use openmsrp::shard::message::{Terms, ToShard};
use openmsrp::wire::sdp::TypeList;
use std::time::Duration;

/// Terms of an endpoint whose SDP says this of private messages.
fn declares(name: &str, private_messages: Option<bool>) -> Terms {
    Terms { private_messages, ..terms(name) }
}

/// Writes privately, and gives the code of the answer.
fn whispers(w: &mut World, from: &Person, n: u32, to: &str) -> String {
    let text = from.wrapped("psst").replace(ROOM, &format!("sip:{to}@example.com"));
    w.write(from.end, &from.message(n, "", &text));
    from.answers(w).remove(0).1
}

fn revised(w: &mut World, who: &Person, private_messages: Option<bool>) {
    let (endpoint, room) = (who.endpoint, crate::world::address(ROOM));
    let terms = Box::new(declares(&who.name, private_messages));
    w.tell(w.home(ROOM), ToShard::Revise { endpoint, room, terms, rebind: None });
}

#[test]
fn who_declares_nothing_gets_private_messages_and_who_declares_otherwise_does_not() {
    // CHAT-PRIV-03 CHAT-PRIV-05
    for (legacy, code, heard) in [(true, "200", 1), (false, "428", 0)] {
        let mut w = World::with(1, Policy { legacy_private_messages: legacy, ..Policy::default() });
        let alice = Person::enters(&mut w, "alice");
        let old = Person::enters_with(&mut w, 0, ROOM, "old", declares("old", None));
        let plain = Person::enters_with(&mut w, 0, ROOM, "plain", declares("plain", Some(false)));
        assert_eq!(whispers(&mut w, &alice, 1, "old"), code);
        assert_eq!(whispers(&mut w, &alice, 2, "plain"), "428");
        assert_eq!(whispers(&mut w, &alice, 3, "nobody"), "404");
        assert_eq!((old.hears(&mut w).len(), plain.hears(&mut w).len()), (heard, 0));
    }
}

#[test]
fn who_no_longer_declares_private_messages_has_switched_them_off() {
    // CHAT-JOIN-05
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let bob = Person::enters_with(&mut w, 0, ROOM, "bob", declares("bob", None));
    assert_eq!(whispers(&mut w, &alice, 1, "bob"), "200");
    revised(&mut w, &bob, Some(true));
    assert_eq!(whispers(&mut w, &alice, 2, "bob"), "200");
    revised(&mut w, &bob, None);
    assert_eq!(whispers(&mut w, &alice, 3, "bob"), "428");
    revised(&mut w, &bob, Some(true));
    assert_eq!(whispers(&mut w, &alice, 4, "bob"), "200");
    assert_eq!(bob.hears(&mut w).len(), 3);
}

#[test]
fn a_long_private_message_is_forgotten_when_its_recipient_is_gone_or_elsewhere() {
    // CHAT-CHUNK-02
    for (shards, moves) in [(1, false), (2, false), (2, true)] {
        let mut w = World::new(shards);
        let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
        let _witness = Person::enters(&mut w, "carol");
        let text = alice.wrapped("a long story").replace(ROOM, "sip:bob@example.com");
        let (first, rest) = text.split_at(text.len() - 4);
        let chunk = |tid: &str, start: usize, body: &str, flag| {
            let headers = format!(
                "Message-ID: long\r\nFailure-Report: no\r\nByte-Range: {start}-*/*\r\nContent-Type: message/cpim\r\n"
            );
            alice.request(tid, "SEND", &headers, Some(body.as_bytes()), flag)
        };
        // Nobody follows it, since its sender wants to hear of no failure.
        w.write(alice.end, &chunk("aaaa", 1, first, '+'));
        assert_eq!(w.cores.iter().flat_map(ShardCore::open_copies).count(), 1);
        if moves {
            ask_for_another(&mut w, ROOM, bob.endpoint, terms("bob"));
            let session = w.granted(bob.endpoint).unwrap();
            let elsewhere = 1 - w.home(ROOM);
            let end = settled(&mut w, elsewhere);
            Person { session, end, ..bob }.binds(&mut w);
        } else {
            bob.leaves(&mut w);
        }
        w.write(alice.end, &chunk("bbbb", first.len() + 1, rest, '$'));
        assert_eq!(w.cores.iter().flat_map(ShardCore::open_copies).count(), 0);
    }
}

/// The one report that `who` got, if any: its status and what it is about.
fn told(w: &mut World, who: &Person) -> Option<(String, String)> {
    let mut reports = who.reports(w);
    assert!(reports.len() <= 1, "{reports:?}");
    reports.pop().map(|r| (r.header("Status").unwrap(), r.text()))
}

fn private(from: &Person, n: u32, extra: &str) -> Vec<u8> {
    from.message(n, extra, &from.wrapped("psst").replace(ROOM, "sip:bob@example.com"))
}

#[test]
fn a_private_message_that_nobody_answers_fails_after_30_seconds() {
    // CHAT-REP-05 CHAT-REP-07 MSRP-REP-04
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let text = alice.wrapped("psst").replace(ROOM, "sip:bob@example.com");
    w.write(alice.end, &alice.chunk("aaaa", "priv", "1-*/*", text.as_bytes(), '$'));
    assert_eq!(alice.answers(&mut w)[0].1, "200", "the switch has it");
    assert_eq!(bob.hears(&mut w).len(), 1);
    w.later(limits::COPY_ANSWER_WAIT - Duration::from_millis(1));
    assert!(alice.octets_none(&mut w));
    w.later(Duration::from_millis(1));
    let report = alice.reports(&mut w).remove(0);
    assert_eq!(report.header("Status").as_deref(), Some("000 408 Recipient did not answer in time"));
    assert_eq!(
        (report.message_id.as_str(), report.range.clone()),
        ("priv", format!("1-{0}/{0}", text.len()))
    );
    assert_eq!(report.header("Delivery-Count"), None, "nobody asked");
    let about = String::from_utf8(report.body.unwrap()).unwrap();
    assert!(about.starts_with("From: <sip:alice@example.com>\r\nTo: <sip:bob@example.com>\r\n"), "{about}");
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(alice.octets_none(&mut w), "told once");
}

#[test]
fn a_private_message_that_is_refused_fails_with_the_code_and_one_that_is_taken_is_not_told_of() {
    // CHAT-REP-07
    let mut w = World::new(1);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let codes =
        [("200 OK", None), ("400 what", Some("000 400 Recipient refused")), ("413 no", Some("000 413"))];
    for (n, (code, expected)) in codes.into_iter().enumerate() {
        w.write(alice.end, &private(&alice, n as u32, ""));
        bob.answers_copies(&mut w, code);
        let told = told(&mut w, &alice).map(|(status, _)| status);
        assert_eq!(told.is_some(), expected.is_some(), "{code}: {told:?}");
        assert!(told.is_none_or(|t| t.starts_with(expected.unwrap())));
    }
    // Who does not want to hear of failures does not, and a partial report wants nothing but those.
    w.write(alice.end, &private(&alice, 10, "Failure-Report: no\r\n"));
    bob.answers_copies(&mut w, "400 what");
    assert_eq!(told(&mut w, &alice), None);
    w.write(alice.end, &private(&alice, 11, "Failure-Report: partial\r\n"));
    bob.answers_copies(&mut w, "400 what");
    assert!(told(&mut w, &alice).is_some());
}

#[test]
fn a_private_message_has_arrived_if_one_device_has_it() {
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let (phone, desk) = (Person::enters(&mut w, "bob"), Person::enters(&mut w, "bob"));
    w.write(alice.end, &private(&alice, 1, ""));
    phone.answers_copies(&mut w, "400 what");
    assert_eq!(told(&mut w, &alice), None, "the other one may take it");
    desk.answers_copies(&mut w, "200 OK");
    assert_eq!(told(&mut w, &alice), None);
    w.write(alice.end, &private(&alice, 2, ""));
    phone.answers_copies(&mut w, "400 what");
    w.hang_up(desk.end);
    assert!(told(&mut w, &alice).unwrap().0.starts_with("000 400"));
    // Nobody answers any more.
    w.write(alice.end, &private(&alice, 3, ""));
    phone.leaves(&mut w);
    assert_eq!(told(&mut w, &alice).unwrap().0, "000 481 Recipient is gone");
}

#[test]
fn a_private_message_that_its_recipient_cannot_take_fails_at_once() {
    let mut w = World::new(1);
    let alice = Person::enters(&mut w, "alice");
    let bob = Terms { accepts: TypeList::parse("image/*"), ..terms("bob") };
    let bob = Person::enters_with(&mut w, 0, ROOM, "bob", bob);
    w.write(alice.end, &private(&alice, 1, ""));
    assert_eq!(told(&mut w, &alice).unwrap().0, "000 415 Recipient does not take this type");
    assert!(bob.octets_none(&mut w));
}

#[test]
fn who_speaks_to_the_room_is_not_told_that_some_recipient_failed() {
    // CHAT-REP-07
    let mut w = World::new(1);
    let people: Vec<Person> = (0..5).map(|n| Person::enters(&mut w, &format!("p{n}"))).collect();
    people[0].says(&mut w, 1, "hello");
    assert_eq!(people[0].answers(&mut w).len(), 1);
    people[1].answers_copies(&mut w, "200 OK");
    people[2].answers_copies(&mut w, "400 what");
    people[3].hears(&mut w);
    w.hang_up(people[3].end);
    w.later(limits::COPY_ANSWER_WAIT);
    assert!(people[0].octets_none(&mut w), "of the fifth, who said nothing, either");
    people[0].says(&mut w, 2, "and on");
    assert_eq!(people[4].hears(&mut w).len(), 2);
    assert!(people[3].octets_none(&mut w));
}

#[test]
fn a_private_message_fails_across_shards_too() {
    let mut w = World::new(2);
    let people: Vec<Person> =
        (0..limits::ROOM_ONE_SHARD_ENDPOINTS + 8).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    let home = w.home(ROOM);
    let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
    let here = people.iter().position(|p| place(&w, p) == home).unwrap();
    let away = people.iter().position(|p| place(&w, p) != home).unwrap();
    for (n, (from, to)) in [(here, away), (away, here)].into_iter().enumerate() {
        let (from, to) = (&people[from], &people[to]);
        let text = from.wrapped("psst").replace(ROOM, &format!("sip:{}@example.com", to.name));
        w.write(from.end, &from.message(n as u32, "", &text));
        to.answers_copies(&mut w, "400 what");
        assert_eq!(told(&mut w, from).unwrap().0, "000 400 Recipient refused");
        w.write(from.end, &from.message(n as u32 + 10, "", &text));
        to.answers_copies(&mut w, "200 OK");
        w.later(limits::COPY_ANSWER_WAIT);
        assert_eq!(told(&mut w, from), None);
    }
}

#[test]
fn nobody_is_reached_or_obeyed_by_a_nickname() {
    // CHAT-NICK-11
    let quarantine = Duration::from_secs(1);
    let mut w = World::with(1, Policy { nickname_quarantine: quarantine, ..Policy::default() });
    let (admin, mallory) = (Person::enters(&mut w, "admin"), Person::enters(&mut w, "mallory"));
    let bob = Person::enters(&mut w, "bob");
    let takes = |w: &mut World, who: &Person, name: &str| {
        let wish = format!("Use-Nickname: \"{name}\"\r\n");
        w.write(who.end, &who.request("nick", "NICKNAME", &wish, None, '$'));
        who.answers(w).remove(0).1
    };
    assert_eq!(takes(&mut w, &admin, "sip:admin@example.com"), "200");
    assert_eq!(takes(&mut w, &mallory, "sip:admin@example.com"), "425");
    assert_eq!(takes(&mut w, &admin, "Boss"), "200");
    w.later(quarantine);
    assert_eq!(takes(&mut w, &mallory, "sip:admin@example.com"), "200", "the name is free");
    // What is for the address still reaches who has the address, and the name opens no other mouth.
    assert_eq!(whispers(&mut w, &bob, 1, "admin"), "200");
    assert_eq!((admin.hears(&mut w).len(), mallory.hears(&mut w).len()), (1, 0));
    w.write(mallory.end, &mallory.message(2, "", &admin.wrapped("obey me")));
    assert_eq!(mallory.answers(&mut w).remove(0).1, "403");
    let boss = bob.wrapped("psst").replace(ROOM, "sip:Boss@example.com");
    w.write(bob.end, &bob.message(3, "", &boss));
    assert_eq!(bob.answers(&mut w).remove(0).1, "404", "a nickname is no address");
}
