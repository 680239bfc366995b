//! A call that takes the place of another one.

use super::*;

#[test]
fn a_call_from_another_device_takes_the_place_of_the_old_one() {
    // FOCUS-09
    let mut w = World::new();
    let caller = w.call("alice");
    w.request(&replacing(&caller, "alice", ""));
    let new = w.join().endpoint;
    assert!(w.sent.is_empty(), "the old call stays until the new one is answered");
    w.grant(new);
    assert_eq!(w.response().code, 200);
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=200;text=\"Replaced\""));
    assert_eq!((bye.headers.get("Call-ID"), w.left()), (Some("calice"), caller.endpoint));
    // Once more: that dialog has ended.
    let again = replacing(&caller, "alice", "").replace("Call-ID: new", "Call-ID: newer");
    assert_eq!(w.code(&again), 603);
}

#[test]
fn each_fault_of_a_replacement_has_its_code_and_leaves_the_call() {
    // FOCUS-09
    let mut w = World::new();
    let caller = w.call("alice");
    let good = || replacing(&caller, "alice", "");
    w.request(&subscribe(""));
    let tag = w.response().to_tag.unwrap();
    w.sent.clear();
    let watcher = format!("Replaces: cwatcher;to-tag={tag};from-tag=twatcher\r\n");
    let cases = [
        (good().replace("Replaces: calice", "Replaces: other"), 481),
        (good().replace("from-tag=talice", "from-tag=other"), 481),
        (good().replacen(ROOM, "sip:other@chat.example", 1), 481),
        (good().replacen(ROOM, FACTORY, 1), 481),
        (invite("bob", 1, &watcher, OFFER), 481),
        (replacing(&caller, "bob", ""), 403),
        (good().replace("Require:", "Privacy: id\r\nRequire:"), 403),
        (replacing(&caller, "alice", ";early-only"), 486),
        (good().replace("Require:", "Replaces: a;to-tag=b;from-tag=c\r\nRequire:"), 400),
        (good().replace(";from-tag=talice", ""), 400),
        (good().replace("message/cpim", "message/cpin"), 488),
        (text("OPTIONS", "alice", 1, "", "Replaces: a;to-tag=b;from-tag=c\r\n", ""), 400),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    // The room has no place for the new one.
    w.request(&good());
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!((w.response().code, w.left()), (486, endpoint));
    assert!(w.sent.is_empty() && w.focus.calls.place_of(dialog::DialogId(1)).is_some());
}

#[test]
fn a_creator_who_changes_the_device_stays_the_creator() {
    // FOCUS-07, FOCUS-09
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", OFFER).replacen(ROOM, FACTORY, 1));
    let (room, endpoint) = {
        let join = w.join();
        (join.room, join.endpoint)
    };
    w.grant(endpoint);
    let caller = Phone { name: "alice", seq: 1, tag: w.response().to_tag.unwrap().into(), endpoint };
    w.ack(&caller, tx, "");
    let uri = format!("sip:{}@chat.example", room.user());
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, &uri, 1));
    let bob = w.join().endpoint;
    w.request(&replacing(&caller, "alice", "").replacen(ROOM, &uri, 1));
    let second = w.join().endpoint;
    w.grant(second);
    assert_eq!((w.response().code, w.left()), (200, endpoint), "bob stays");
    let new = w.focus.calls.endpoints[&second];
    w.input(Input::NotAcked { tx: TxId(w.last_tx) });
    assert_eq!(w.focus.calls.place_of(new), None);
    let codes: Vec<u16> = w.responses.drain(..).map(|(_, r)| r.code).collect();
    assert_eq!(codes, [503], "bob was not answered yet");
    assert!(w.told.iter().any(|m| matches!(m, ToShard::Leave { endpoint, .. } if *endpoint == bob)));
}
