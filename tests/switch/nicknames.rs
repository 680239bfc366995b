//! Nicknames that look alike, where the room refuses them.

use crate::world::{Person, ROOM, World, address};
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::ToShard;
use std::time::Duration;

fn refusing(shards: u16) -> World {
    World::with(shards, Policy { look_alikes_refused: true, ..Policy::default() })
}

fn asks(w: &mut World, who: &Person, name: &str) -> String {
    let header = format!("Use-Nickname: \"{name}\"\r\n");
    w.write(who.end, &who.request("nick", "NICKNAME", &header, None, '$'));
    let answer = w.frames(who.end).remove(0);
    String::from_utf8_lossy(&answer.raw).lines().next().unwrap().replacen("MSRP nick ", "", 1)
}

#[test]
fn a_nickname_that_looks_like_another_is_refused_with_a_reason() {
    // SEC-08
    let pairs = [
        ("Alice", "\u{410}lice"),
        ("alice", "\u{430}l\u{456}ce"),
        ("BOY", "B0Y"),
        ("Paul", "PauI"),
        ("paypal", "\u{440}\u{430}ypal"),
        ("modern", "rnodern"),
        ("Zo\u{eb}", "Z\u{3bf}\u{eb}"),
    ];
    for (first, second) in pairs {
        let mut w = refusing(1);
        let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
        assert_eq!(asks(&mut w, &a, first), "200 OK", "{first}");
        assert_eq!(asks(&mut w, &b, second), "425 Nickname looks like another one", "{second}");
        assert!(asks(&mut w, &b, first).starts_with("425 Nickname reserved"), "{first}");
        let mut w = World::new(1);
        let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
        assert_eq!(asks(&mut w, &a, first), "200 OK", "{first}");
        assert_eq!(asks(&mut w, &b, second), "200 OK", "nobody minds unless the room does");
    }
    let mut w = refusing(1);
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    assert_eq!(asks(&mut w, &a, "Alice"), "200 OK");
    assert_eq!(asks(&mut w, &b, "Alicia"), "200 OK", "like enough, but not alike");
    for invisible in ["Ali\u{200b}ce", "Ali\u{202e}ce", "Ali\u{2066}ce", "Ali\u{ad}ce"] {
        let mut w = refusing(1);
        let c = Person::enters(&mut w, "c");
        assert!(asks(&mut w, &c, invisible).starts_with("424 "), "{}", invisible.escape_unicode());
    }
}

#[test]
fn of_two_who_race_for_names_that_look_alike_one_gets_it_on_whatever_shards_they_are() {
    // CHAT-NICK-10 SEC-08
    for round in 0..20 {
        let mut w = refusing(2);
        let n = openmsrp::base::limits::ROOM_ONE_SHARD_ENDPOINTS + 20;
        let people: Vec<Person> = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
        let shard = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
        let home = w.home(ROOM);
        let here = people.iter().find(|p| shard(&w, p) == home).unwrap();
        let there = people.iter().find(|p| shard(&w, p) != home).unwrap();
        w.delayed = true;
        let (one, other) = if round % 2 == 0 { ("Alice", "A1ice") } else { ("A1ice", "Alice") };
        let wish = |p: &Person, name: &str| {
            p.request("nick", "NICKNAME", &format!("Use-Nickname: \"{name}\"\r\n"), None, '$')
        };
        let mut turns = [(here, one), (there, other)];
        turns.rotate_left(usize::from(round % 4 > 1));
        for (who, name) in turns {
            w.write(who.end, &wish(who, name));
        }
        w.cross_all();
        let codes: Vec<String> = [here, there].iter().map(|p| p.answers(&mut w).remove(0).1).collect();
        assert_eq!(codes.iter().filter(|c| *c == "200").count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|c| *c == "425").count(), 1, "{codes:?}");
    }
}

#[test]
fn what_looked_alike_is_free_when_the_name_is() {
    // CHAT-NICK-09 SEC-08
    let mut w = refusing(2);
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    assert_eq!(asks(&mut w, &a, "Alice"), "200 OK");
    let (endpoint, room) = (a.endpoint, address(ROOM));
    w.tell(w.home(ROOM), ToShard::Leave { endpoint, room });
    w.later(Duration::from_secs(119));
    assert!(asks(&mut w, &b, "A1ice").starts_with("425 "));
    w.later(Duration::from_secs(1));
    assert_eq!(asks(&mut w, &b, "A1ice"), "200 OK");
}
