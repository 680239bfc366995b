//! Too much in too short a time by SIP: 480 with the reason and when to come again, and nobody else's loss.

use super::*;
use crate::base::budget::Rate;
use crate::base::flood::{Flood, Limits};

fn limited(set: &[(Flood, &str)]) -> World {
    let mut limits = Limits::none();
    for (flood, rate) in set {
        limits.set(*flood, Some(Rate::parse(rate).unwrap()));
    }
    let mut w = World::new();
    w.focus.core.guard = Guard::new(limits);
    w
}

/// Sends it as a request of its own that comes from `peer`.
fn ask(w: &mut World, text: &str, n: usize, peer: &str) {
    w.last_tx += 1;
    let mut flow = flow();
    flow.peer = format!("{peer}:40000").parse().unwrap();
    let request = parse(&text.replacen("Call-ID: ", &format!("Call-ID: n{n}"), 1));
    w.input(Input::Request { tx: TxId(w.last_tx), request, flow });
}

/// The answers since the last look that say that it was too much: the wait and the reason.
fn refused(w: &mut World) -> Vec<(String, String)> {
    let answers: Vec<Response> = w.responses.drain(..).map(|(_, r)| r).filter(|r| r.code == 480).collect();
    let header = |r: &Response, name| r.headers.get(name).unwrap().to_owned();
    answers.iter().map(|r| (header(r, "Retry-After"), header(r, "Warning"))).collect()
}

#[test]
fn calls_of_one_user_are_limited_and_nobody_else_can_use_them_up() {
    // SEC-07
    let mut w = limited(&[(Flood::Joins, "1/10s burst 3")]);
    for n in 0..10 {
        ask(&mut w, &invite("alice", 1, "", OFFER), n, "192.0.2.1");
    }
    assert_eq!(w.told.len(), 3);
    let expected = ("10".to_owned(), "399 chat.example:5060 \"You call too often, wait 10 s\"".to_owned());
    assert_eq!(refused(&mut w), vec![expected; 7]);
    ask(&mut w, &invite("bob", 1, "", OFFER), 10, "192.0.2.1");
    ask(&mut w, &invite("alice", 1, "", OFFER), 11, "192.0.2.2");
    assert_eq!(
        (w.told.len(), refused(&mut w).len()),
        (5, 0),
        "who says to be alice elsewhere is another one"
    );
    w.pass(Duration::from_secs(7));
    ask(&mut w, &invite("alice", 1, "", OFFER), 12, "192.0.2.1");
    assert_eq!(refused(&mut w)[0].0, "3");
    w.pass(Duration::from_secs(3));
    ask(&mut w, &invite("alice", 1, "", OFFER), 13, "192.0.2.1");
    assert_eq!(refused(&mut w), []);
    assert_eq!(w.focus.floods().iter().collect::<Vec<_>>(), [(Flood::Joins, 8)]);
}

#[test]
fn an_address_is_counted_before_anything_else_and_a_trusted_proxy_is_not() {
    // SEC-07
    let mut w = limited(&[(Flood::Address, "5/s")]);
    for n in 0..20 {
        ask(&mut w, &invite("alice", 1, "Require: what\r\n", OFFER), n, "192.0.2.1");
    }
    assert_eq!(w.responses.iter().filter(|(_, r)| r.code == 420).count(), 5);
    let refused = refused(&mut w);
    assert_eq!(refused.len(), 15);
    assert!(refused[0].1.ends_with("\"Too many requests from your address, wait 1 s\""), "{}", refused[0].1);
    ask(&mut w, &invite("bob", 1, "", OFFER), 20, "192.0.2.2");
    assert_eq!(w.told.len(), 1);
    let accounts = accounts::Accounts { trusted: vec!["192.0.2.9".parse().unwrap()], ..Default::default() };
    w.focus.gate = Gate::new(accounts, &mut Entropy::from_seed(1));
    for n in 21..50 {
        ask(&mut w, &invite("carol", 1, "", OFFER), n, "192.0.2.9");
    }
    assert_eq!(w.told.len(), 30);
}

#[test]
fn within_a_call_only_what_makes_work_for_others_is_counted() {
    // SEC-07 FOCUS-08
    let mut w = limited(&[(Flood::Refers, "1/s burst 2"), (Flood::Subscriptions, "1/s burst 2")]);
    let mut alice = w.call("alice");
    for _ in 0..4 {
        let text = alice.next("REFER").replacen(
            "Content-Length",
            "Refer-To: <sip:alice@192.0.2.7;method=INVITE>\r\nRefer-Sub: false\r\nContent-Length",
            1,
        );
        w.request(&text);
    }
    let reason = |what: &str| ("1".to_owned(), format!("399 chat.example:5060 \"{what}, wait 1 s\""));
    assert_eq!(refused(&mut w), vec![reason("You have others called or taken out too often"); 2]);
    w.sent.clear();
    for _ in 0..4 {
        let text =
            alice.next("SUBSCRIBE").replacen("Content-Length", "Event: conference\r\nContent-Length", 1);
        w.request(&text);
    }
    assert_eq!(refused(&mut w), vec![reason("You subscribe too often"); 2]);
    assert_eq!(w.sent.len(), 2, "a roster each for those that were not too many");
    w.request(&alice.next("BYE"));
    assert_eq!(w.response().code, 200);
}

#[test]
fn a_room_that_is_run_into_says_when_to_come_again() {
    // SEC-07
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    let endpoint = w.join().endpoint;
    let why = Flood::RoomJoins.refusal(Duration::from_millis(2500));
    w.input(Input::Shard(FromShard::Refused { endpoint, why, words: None }));
    let warning = "399 chat.example:5060 \"Too many people are coming into this room, wait 3 s\"";
    assert_eq!(refused(&mut w), [("3".to_owned(), warning.to_owned())]);
    assert_eq!(w.focus.floods().iter().collect::<Vec<_>>(), [(Flood::RoomJoins, 1)]);
}
