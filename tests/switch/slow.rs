//! Participants that are too slow: they miss whole messages and are told how many, or are cut, as the room says.

use crate::world::{Person, ROOM, World};
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::{Ended, FromShard};
use std::time::Duration;

/// Enough for any queue.
fn says_much(w: &mut World, who: &Person, from: u32) {
    let text = "x".repeat(8_000);
    (from..from + 60).for_each(|n| who.says(w, n, &text));
}

fn lost(w: &World, who: &Person) -> Option<Ended> {
    w.control.iter().find_map(|e| match e {
        FromShard::Lost { endpoint, why } if *endpoint == who.endpoint => Some(*why),
        _ => None,
    })
}

#[test]
fn what_was_left_out_is_told_once_with_its_number_each_time_it_happens() {
    // CHAT-CONG-01
    let mut w = World::new(1);
    let (a, b) = (Person::enters(&mut w, "a"), Person::enters(&mut w, "b"));
    for round in 0..3 {
        w.ends[a.end].stalled = true;
        says_much(&mut w, &b, 100 * round);
        w.recover(a.end);
        let heard = a.hears(&mut w);
        let (notices, messages): (Vec<_>, Vec<_>) = heard.iter().partition(|t| t.contains("left out"));
        assert_eq!(notices.len(), 1);
        let expected = format!("{} messages were left out because your connection", 60 - messages.len());
        assert!(messages.len() < 60 && notices[0].contains(&expected), "{}", notices[0]);
        assert!(notices[0].contains(&format!("From: <{ROOM}>")), "{}", notices[0]);
        b.says(&mut w, 99, "all is well");
        assert_eq!(a.hears(&mut w).len(), 1);
        assert_eq!(b.answers(&mut w).len(), 61, "nobody else is held up");
    }
    assert_eq!(lost(&w, &a), None);
}

#[test]
fn a_room_that_has_nobody_miss_anything_cuts_who_does_not_catch_up_on_whatever_shard() {
    // CHAT-CONG-01
    for shards in [1, 2] {
        let mut w = World::with(shards, Policy { cut_slow: true, ..Policy::default() });
        let n = if shards == 1 { 4 } else { limits::ROOM_ONE_SHARD_ENDPOINTS + 8 };
        let people: Vec<Person> = (0..n).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
        let home = w.home(ROOM);
        let place = |w: &World, p: &Person| w.ends[p.end].at.unwrap().0;
        let mut far = people.iter().filter(|p| shards == 1 || place(&w, p) != home);
        let (slow, late, well) = (far.next().unwrap(), far.next().unwrap(), far.next().unwrap());
        let speaker = people.last().unwrap();
        for who in [slow, late] {
            w.ends[who.end].stalled = true;
        }
        says_much(&mut w, speaker, 0);
        assert_eq!(lost(&w, slow), None, "a burst is nobody's fault");
        w.later(limits::COPY_STALL / 2);
        w.recover(late.end);
        w.later(limits::COPY_STALL / 2);
        assert!(matches!(lost(&w, slow), Some(Ended::Missed(n)) if n > 1), "{:?}", lost(&w, slow));
        assert!(w.ends[slow.end].closed.is_some());
        assert_eq!((lost(&w, late), lost(&w, well)), (None, None), "who catches up stays");
        assert!(late.hears(&mut w).last().unwrap().contains("messages were left out"));
        assert_eq!(well.hears(&mut w).len(), 60);
        speaker.says(&mut w, 99, "on we go");
        w.later(Duration::from_secs(5));
        assert_eq!((late.hears(&mut w).len(), well.hears(&mut w).len()), (1, 1));
    }
}

#[test]
fn who_takes_everything_is_not_cut_because_others_have_filled_the_queues_of_the_shard() {
    // CHAT-CONG-01
    let mut w = World::with(1, Policy { cut_slow: true, ..Policy::default() });
    let (speaker, well) = (Person::enters(&mut w, "speaker"), Person::enters(&mut w, "well"));
    let text = "x".repeat(60_000);
    // Three of these for each of them are more than three quarters of what a shard holds.
    let many = limits::SHARD_QUEUE_BYTES_MAX / 4 * 3 / (3 * text.len()) + 1;
    let slow: Vec<Person> = (0..many).map(|i| Person::enters(&mut w, &format!("p{i}"))).collect();
    slow.iter().for_each(|p| w.ends[p.end].stalled = true);
    (0..3).for_each(|n| speaker.says(&mut w, n, &text));
    assert_eq!(well.hears(&mut w).len(), 3);
    speaker.says(&mut w, 3, &text);
    assert_eq!(well.hears(&mut w).len(), 0, "there is no room for it");
    w.later(limits::COPY_STALL);
    assert!(slow.iter().all(|p| matches!(lost(&w, p), Some(Ended::Missed(1)))));
    assert_eq!(lost(&w, &well), None);
    assert!(well.hears(&mut w)[0].contains("1 message was left out"));
}

#[test]
fn of_a_connection_with_many_sessions_only_those_of_such_rooms_are_cut() {
    // CHAT-CONG-01 MSRP-CONN-06
    let mut w = World::with(1, Policy { cut_slow: true, ..Policy::default() });
    let (speaker, first) = (Person::enters(&mut w, "speaker"), Person::enters(&mut w, "first"));
    let (endpoint, session) =
        w.invite_as("sip:other@chat.example.com", "first", Some(crate::world::terms("first")));
    let second = Person {
        room: "sip:other@chat.example.com".into(),
        endpoint,
        session: session.unwrap(),
        ..first.clone()
    };
    second.binds(&mut w);
    w.ends[first.end].stalled = true;
    says_much(&mut w, &speaker, 0);
    w.later(limits::COPY_STALL);
    assert!(matches!(lost(&w, &first), Some(Ended::Missed(_))));
    assert_eq!((lost(&w, &second), w.ends[first.end].closed), (None, None));
}
