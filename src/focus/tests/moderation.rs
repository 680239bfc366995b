//! What rooms have decided about those who are in them: who goes, what the roster shows.

use super::*;
use crate::room::Room;
use crate::room::command::Command;
use crate::room::effect::Effect;
use crate::room::order::Order;
use crate::room::rules::{Caller, Rules};

/// A room in which these orders were given by a moderator; its rules.
fn ruled(orders: &[&str]) -> Arc<Rules> {
    let address = Address::parse(ROOM).unwrap();
    let mut room = Room::new(address, Rules::from(policy()).into(), ShardId(0), 1);
    let mut out = Vec::new();
    for (n, name) in ["mod", "alice", "bob"].into_iter().enumerate() {
        let (endpoint, participant) =
            (EndpointId(n as u64), Address::parse(&format!("sip:{name}@example.com")).unwrap());
        let caller = Caller::of(&participant);
        room.apply(
            Now(1),
            Command::Join { endpoint, participant, able: None, caller, password: None },
            &mut out,
        );
        room.apply(Now(1), Command::Bind { endpoint, at: ShardId(0) }, &mut out);
    }
    for (n, order) in orders.iter().enumerate() {
        out.clear();
        let (endpoint, no) = (EndpointId(0), crate::base::id::MessageNo(n as u32));
        let order = Order::read(order.as_bytes());
        room.apply(Now(1), Command::Order { endpoint, no, octets: 1, order }, &mut out);
        assert!(matches!(out[0], Effect::Verdict { verdict: Ok(()), .. }), "{out:?}");
    }
    room.rules().clone()
}

impl World {
    fn ruled(&mut self, orders: &[&str]) {
        let room = Address::parse(ROOM).unwrap();
        self.input(Input::Shard(FromShard::Ruled { room, rules: Some(ruled(orders)) }));
    }

    /// The Reason of each BYE since the last look.
    fn byes(&mut self) -> Vec<String> {
        let (byes, others) =
            std::mem::take(&mut self.sent).into_iter().partition(|(_, m)| m.method == Method::Bye);
        self.sent = others;
        let byes: Vec<(RequestId, Outgoing)> = byes;
        byes.iter().map(|(_, bye)| bye.headers.get("Reason").unwrap().to_owned()).collect()
    }
}

#[test]
fn who_was_taken_out_gets_a_bye_with_the_moderators_words() {
    let mut w = World::new();
    let (_alice, bob) = (w.call("alice"), w.call("bob"));
    let words = "Taken out by a moderator: \"loud\"".into();
    w.input(Input::Shard(FromShard::Dismissed { endpoint: bob.endpoint, words }));
    assert_eq!(w.byes(), ["SIP;cause=200;text=\"Taken out by a moderator: 'loud'\""]);
    assert_eq!(w.left(), bob.endpoint);
}

#[test]
fn who_is_banned_goes_wherever_from_and_is_not_told_any_more_who_is_there() {
    let mut w = World::new();
    let (_alice, _bob) = (w.call("alice"), w.call("bob"));
    w.request(&subscribe("").replace("watcher", "bob").replacen("Call-ID: c", "Call-ID: s", 1));
    assert_eq!(w.response().code, 200);
    w.notice();
    w.ruled(&["ban sip:bob@example.com\nfor: 600\nreason: spam"]);
    assert_eq!(w.byes(), ["SIP;cause=200;text=\"Banned from this room for 10 min: spam\""]);
    let (state, _) = w.notice();
    assert_eq!(state, "terminated;reason=rejected");
    // Calls come from 192.0.2.1, which nobody in the room is told.
    let peer = flow().peer.ip();
    w.ruled(&[&format!("ban {peer}")]);
    assert_eq!(w.byes(), ["SIP;cause=200;text=\"Banned from this room\""]);
}

#[test]
fn the_roster_shows_roles_who_is_muted_and_that_the_room_is_locked() {
    // CONF-06
    let mut w = World::new();
    let (_mod, _bob) = (w.call("mod"), w.call("bob"));
    w.request(&subscribe(""));
    assert_eq!(w.response().code, 200);
    let first = w.notice().1;
    assert_eq!(first.locked, None);
    w.ruled(&["mute sip:bob@example.com\nfor: 60"]);
    w.pass(Duration::from_secs(10));
    let muted = w.notice().1;
    let who = |update: &conference::RosterUpdate| {
        let bob = update.users.iter().find(|u| u.entity.contains("bob")).unwrap();
        (bob.role.clone(), bob.endpoints.iter().map(|e| e.hears_only).collect::<Vec<_>>())
    };
    assert_eq!(who(&muted).1, [true]);
    w.pass(Duration::from_secs(60));
    assert_eq!(who(&w.notice().1).1, [false], "it is over");
    w.ruled(&["lock on", "role sip:bob@example.com visitor", "subject Trains"]);
    w.pass(Duration::from_secs(10));
    let locked = w.notice().1;
    assert_eq!((locked.locked, locked.subject.as_deref()), (Some(true), Some("Trains")));
    assert_eq!(who(&locked).0.as_deref(), Some("visitor"));
}
