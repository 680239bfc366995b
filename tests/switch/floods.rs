//! Too much in too short a time, on whatever shards senders are: refused, told, counted, and nobody else's loss.

use crate::world::{Person, ROOM, World};
use openmsrp::base::budget::Rate;
use openmsrp::base::flood::{Flood, Limits};
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use std::time::Duration;

fn limited(shards: u16, set: &[(Flood, &str)]) -> World {
    let mut floods = Limits::none();
    for (flood, rate) in set {
        floods.set(*flood, Some(Rate::parse(rate).unwrap()));
    }
    World::with(shards, Policy { floods, ..Policy::default() })
}

/// The first lines of the answers that reached somebody, without MSRP and transaction.
fn told(w: &mut World, who: &Person) -> Vec<String> {
    let frames = w.frames(who.end).into_iter().filter(|f| f.what != "SEND");
    let line = |raw: &[u8]| String::from_utf8_lossy(raw).lines().next().unwrap_or_default().to_owned();
    frames.map(|f| line(&f.raw).splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect()
}

#[test]
fn of_a_flood_only_what_is_allowed_reaches_the_room_wherever_the_sender_is() {
    // SEC-07 CHAT-MSG-14
    for shards in [1, 2] {
        let mut w = limited(shards, &[(Flood::Messages, "10/s burst 20")]);
        let n = if shards == 1 { 3 } else { limits::ROOM_ONE_SHARD_ENDPOINTS + 20 };
        let people: Vec<Person> = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
        let home = w.home(ROOM);
        let shard = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
        let mallory = people.iter().find(|p| shards == 1 || shard(&w, p) != home).unwrap();
        let others: Vec<&Person> = people.iter().filter(|p| p.end != mallory.end).collect();
        let (alice, bob) = (others[0], others[1]);
        for i in 0..200 {
            mallory.says(&mut w, i, &format!("flood {i}"));
            if i % 50 == 49 {
                alice.says(&mut w, i, &format!("sense {i}"));
            }
        }
        let answers = told(&mut w, mallory);
        assert_eq!(answers.iter().filter(|a| *a == "200 OK").count(), 20);
        assert_eq!(answers.iter().filter(|a| *a == "403 You send too many messages, wait 1 s").count(), 180);
        let heard = bob.hears(&mut w);
        assert_eq!(heard.iter().filter(|t| t.contains("flood")).count(), 20);
        assert_eq!(heard.iter().filter(|t| t.contains("sense")).count(), 4, "nobody else is held up");
        w.later(Duration::from_secs(1));
        mallory.says(&mut w, 900, "sorry");
        assert_eq!(told(&mut w, mallory), ["200 OK"]);
        let counted = |w: &World| w.cores.iter().flat_map(|c| c.counters().floods.iter()).collect::<Vec<_>>();
        assert_eq!(counted(&w), [(Flood::Messages, 180)]);
    }
}

#[test]
fn two_devices_of_one_participant_have_one_budget_also_after_coming_back() {
    // SEC-07
    let mut w = limited(1, &[(Flood::Messages, "1/min burst 4")]);
    let (one, two) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "alice"));
    let bob = Person::enters(&mut w, "bob");
    for n in 0..4 {
        [&one, &two][n as usize % 2].says(&mut w, n, "hello");
    }
    two.says(&mut w, 9, "hello");
    assert_eq!(told(&mut w, &two).last().unwrap(), "403 You send too many messages, wait 60 s");
    one.leaves(&mut w);
    two.leaves(&mut w);
    let again = Person::enters(&mut w, "alice");
    again.says(&mut w, 1, "hello");
    assert_eq!(told(&mut w, &again), ["403 You send too many messages, wait 60 s"]);
    assert_eq!(bob.hears(&mut w).len(), 4);
}

#[test]
fn a_long_message_that_has_begun_is_passed_on_whole_and_the_next_one_waits() {
    // SEC-07 CHAT-CHUNK-01
    let mut w = limited(1, &[(Flood::Octets, "10k/s")]);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    let text = "x".repeat(200_000);
    alice.says(&mut w, 1, &text);
    assert_eq!(told(&mut w, &alice), ["200 OK"]);
    let heard: usize = w.frames(bob.end).iter().filter_map(|f| f.body.as_ref()).map(Vec::len).sum();
    assert_eq!(heard, alice.wrapped(&text).len());
    alice.says(&mut w, 2, "more");
    let answer = told(&mut w, &alice).remove(0);
    assert!(answer.starts_with("413 You send too much at once, wait 2"), "{answer}");
    w.later(Duration::from_secs(30));
    alice.says(&mut w, 3, "more");
    assert_eq!(told(&mut w, &alice), ["200 OK"]);
}

#[test]
fn a_room_has_a_limit_of_its_own_that_private_words_do_not_use_up() {
    // SEC-07 CHAT-PRIV-02
    let mut w = limited(1, &[(Flood::RoomMessages, "1/s burst 5")]);
    let (alice, bob) = (Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    for n in 0..10 {
        alice.says(&mut w, n, "hello");
    }
    bob.says(&mut w, 1, "hello");
    assert_eq!(told(&mut w, &bob), ["403 Too many messages in this room, wait 1 s"]);
    let private = bob.wrapped("psst").replace(&format!("<{ROOM}>"), "<sip:alice@example.com>");
    w.write(bob.end, &bob.message(2, "", &private));
    assert_eq!(told(&mut w, &bob), ["200 OK"]);
    assert_eq!(alice.hears(&mut w).len(), 1);
}
