//! The factory: rooms made by a call, with whoever is on its list.

use super::*;

#[test]
fn a_call_to_the_factory_makes_a_room_that_ends_with_its_creator() {
    // FOCUS-07
    let mut w = World::new();
    let mut rooms = Vec::new();
    for name in ["alice", "bob"] {
        let tx = w.request(&invite(name, 1, "", OFFER).replacen(ROOM, FACTORY, 1));
        let join = w.join();
        w.grant(join.endpoint);
        let ok = w.response();
        let user = join.room.user().to_owned();
        assert!(user.len() >= 22 && user != "conference", "{user}");
        let contact = format!("<sip:{user}@chat.example:5060;transport=tcp>;isfocus");
        assert_eq!(ok.headers.get("Contact"), Some(&*contact));
        let caller = Phone { name, seq: 1, tag: ok.to_tag.unwrap().into(), endpoint: join.endpoint };
        w.ack(&caller, tx, "");
        rooms.push((caller, join.room));
    }
    assert_ne!(rooms[0].1, rooms[1].1);
    // Who knows the name comes in, and goes without harm.
    let uri = format!("sip:{}@chat.example", rooms[0].1.user());
    let mut others = Vec::new();
    for name in ["carol", "dave"] {
        let tx = w.request(&invite(name, 1, "", OFFER).replacen(ROOM, &uri, 1));
        let join = w.join();
        assert_eq!(join.room, rooms[0].1);
        w.grant(join.endpoint);
        let tag = w.response().to_tag.unwrap().into();
        let caller = Phone { name, seq: 1, tag, endpoint: join.endpoint };
        w.ack(&caller, tx, "");
        others.push(caller);
    }
    assert_eq!(w.code(&others[0].next("BYE")), 200);
    assert_eq!(w.left(), others[0].endpoint);
    assert_eq!(w.code(&rooms[0].0.next("BYE")), 200);
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=410;text=\"The room is over\""));
    assert_eq!((w.told.len(), w.focus.calls.rooms.len()), (2, 1));
}

#[test]
fn the_factory_is_no_room() {
    // FOCUS-07
    let mut w = World::new();
    assert_eq!(w.code(&subscribe("").replacen(ROOM, FACTORY, 1)), 404);
    assert_eq!(w.code(&refer("mod", 1, "", "Refer-To: <sip:a@b>\r\n").replacen(ROOM, FACTORY, 1)), 404);
    assert_eq!(w.code(&text("OPTIONS", "alice", 1, "", "", "").replacen(ROOM, FACTORY, 1)), 200);
    // However it is spelt.
    w.request(&invite("alice", 1, "", OFFER).replacen(ROOM, "sip:%63onference@CHAT.example:5060", 1));
    assert_ne!(w.join().room.user(), "conference");
    w.focus.core.config.factory.clear();
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, FACTORY, 1));
    assert_eq!(w.join().room.as_str(), FACTORY);
}

#[test]
fn the_factory_calls_everybody_on_a_list() {
    let mut w = World::new();
    w.request(&listing(LISTED, TWO));
    let alice = w.join();
    assert!(alice.terms.is_some());
    w.grant(alice.endpoint);
    let ok = w.response();
    assert!(ok.code == 200 && ok.body.contains("m=message 2855 TCP/MSRP *\r\n"), "{}", ok.body);
    let joins: Vec<Join> = w
        .told
        .drain(..)
        .map(|m| match m {
            ToShard::Join(join) => *join,
            other => panic!("{other:?}"),
        })
        .collect();
    let whom: Vec<&str> = joins.iter().map(|j| j.participant.as_str()).collect();
    assert_eq!(whom, ["sip:bill@192.0.2.7", "sip:joe@192.0.2.8"]);
    assert!(joins.iter().all(|j| j.room == alice.room));
    w.grant(joins[0].endpoint);
    let (_, invite) = w.sent();
    assert_eq!((invite.method, &*invite.uri), (Method::Invite, "sip:bill@192.0.2.7"));
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:alice@example.com>"));
    // A refused creator calls nobody.
    w.request(&listing(LISTED, TWO).replace("Call-ID: calice", "Call-ID: again"));
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!((w.response().code, w.left()), (486, endpoint));
}

#[test]
fn lists_are_for_the_factory_and_must_be_sound() {
    let mut w = World::new();
    w.request(&listing(LISTED, TWO).replacen(FACTORY, ROOM, 1));
    let refusal = w.response();
    assert_eq!((refusal.code, refusal.headers.get("Unsupported")), (420, Some("recipient-list-invite")));
    assert_eq!(w.code(&listing("", TWO).replacen(FACTORY, ROOM, 1)), 415);
    let caller = w.call("bob");
    assert_eq!(w.code(&caller.text("INVITE", 2, LISTED, "")), 420, "nor for a call that is up");
    let many: String = (0..65).map(|n| format!("<entry uri=\"sip:u{n}@x\"/>")).collect();
    let cases = [
        (listing(LISTED, &many), 413),
        (listing(LISTED, "<list/>"), 400),
        (listing(LISTED, "<entry uri=\"tel:+491\"/>"), 488),
        (listing(LISTED, "<entry uri=\"sip:other@chat.example\"/>"), 403),
        (listing(LISTED, TWO).replace("boundary=\"b1\"", "boundary=\"b2\""), 400),
        (listing(LISTED, TWO).replace(";boundary=\"b1\"", ""), 400),
        (listing(LISTED, TWO).replace("application/resource-lists", "application/resource-lost!"), 415),
        (listing(LISTED, TWO).replace("message/cpim", "message/cpin"), 488),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.told.is_empty() && w.focus.core.dialogs.len() == 1);
    w.request(&text("OPTIONS", "alice", 1, "", "", "").replacen(ROOM, FACTORY, 1));
    assert!(w.response().headers.list("Supported").contains(&"recipient-list-invite"));
}
