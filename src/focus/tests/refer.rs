//! REFER: the room calls somebody, takes somebody out, and reports how it went.

use super::*;

#[test]
fn a_participant_has_the_room_call_somebody() {
    // REFER-01, FOCUS-08
    let mut w = World::new();
    w.call("alice");
    w.request(&refer("alice", 9, "", "Refer-To: <sip:carol@192.0.2.7:5070>\r\n"));
    let accepted = w.response();
    assert_eq!(accepted.code, 202);
    assert_eq!(accepted.headers.get("Contact"), Some("<sip:lobby@chat.example:5060;transport=tcp>;isfocus"));
    assert_eq!(w.reports(), [report("100 Trying", "active;expires=90", "refer")]);
    let join = w.join();
    assert_eq!((join.participant.as_str(), join.terms.is_none()), ("sip:carol@192.0.2.7:5070", true));
    w.grant(join.endpoint);
    let (id, invite) = w.sent();
    assert_eq!((invite.method, &*invite.uri), (Method::Invite, "sip:carol@192.0.2.7:5070"));
    assert_eq!(invite.headers.get("To"), Some("<sip:carol@192.0.2.7:5070>"));
    assert!(invite.headers.get("From").unwrap().starts_with("<sip:lobby@chat.example>;tag="));
    assert_eq!(invite.headers.get("Contact"), Some("<sip:lobby@chat.example:5060>;isfocus"));
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:alice@example.com>"));
    assert!(
        invite.body.contains("a=setup:actpass\r\n")
            && invite
                .body
                .contains("a=chatroom:org.openmsrp.commands com.ag-projects.sylkserver-control\r\n")
    );
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    let (terms, rebind) = w.revise();
    assert!(!rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a1;tcp");
    assert_eq!(w.reports(), [report("200 OK", "terminated;reason=noresource", "refer")]);
    w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    w.request(&subscribe(""));
    w.responses.clear();
    let whole = w.notice().1;
    let carol = whole.users.iter().find(|u| u.entity.contains("carol")).unwrap();
    assert_eq!(carol.endpoints[0].joining_method.as_deref(), Some("dialed-out"));
    // The dialog is like any other: she may leave, and is reached by her route.
    let bye = format!(
        "BYE sip:lobby@chat.example SIP/2.0\r\nVia: SIP/2.0/UDP phone;branch=z9hG4bKc\r\nCSeq: 1 BYE\r\n\
         From: <sip:carol@192.0.2.7:5070>;tag=carol\r\nTo: {}\r\nCall-ID: {}\r\n\r\n",
        invite.headers.get("From").unwrap(),
        invite.headers.get("Call-ID").unwrap()
    );
    assert_eq!(w.code(&bye), 200);
    assert_eq!(w.left(), join.endpoint);
}

#[test]
fn a_call_that_fails_is_reported_and_leaves_nothing() {
    // REFER-01
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: Reply::bare(486) });
    assert_eq!(w.reports(), [report("486 Busy Here", "terminated;reason=noresource", "refer")]);
    assert_eq!(w.left(), endpoint);
    // An answer that is of no use ends with BYE, by her route.
    let (endpoint, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: picked_up(&OFFER.replace("message/cpim", "text/plain")) });
    assert_eq!(w.reports()[0].0, "488 Not Acceptable Here");
    let (_, bye) = w.sent();
    assert_eq!((bye.method, &*bye.uri, &*bye.hop), (Method::Bye, "sip:carol@phone", "sip:far;lr"));
    assert_eq!(w.left(), endpoint);
    // The room refuses.
    w.request(&refer("alice", 10, "", "Refer-To: <sip:dave@192.0.2.7>\r\n"));
    w.responses.clear();
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!(w.reports()[1].0, "486 Busy Here");
    w.left();
    assert_eq!((w.focus.core.dialogs.len(), w.focus.calls.dials.len()), (1, 0));
}

#[test]
fn who_answers_after_the_grant_is_void_gets_another_session() {
    // FOCUS-08
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, first) = w.ringing();
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::NeverBound }));
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    assert!(w.revise().1);
    w.reports();
    w.grant_named(endpoint, *b"ANOTHER789abcdefghijAB");
    let (id, again) = w.sent();
    assert_eq!((again.method, &*again.uri), (Method::Invite, "sip:carol@phone"));
    assert!(again.body.contains("/aaANOTHER789") && !first.body.contains("ANOTHER"));
    let mut reply = accepted(&[]);
    reply.body = OFFER.into();
    w.input(Input::Answer { id, reply });
    assert!(w.sent.is_empty() && w.told.is_empty());
}

#[test]
fn a_call_given_up_while_it_rings_is_ended_when_it_is_answered() {
    // REFER-02
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, _) = w.ringing();
    w.request(&refer("mod", 1, "", "Refer-To: <sip:carol@192.0.2.7:5070;method=BYE>\r\n"));
    assert_eq!(w.response().code, 202);
    assert_eq!(w.left(), endpoint);
    let lines: Vec<String> = w.reports().into_iter().map(|r| r.0).collect();
    assert_eq!(lines, ["100 Trying", "200 OK", "487 Request Terminated"]);
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    assert_eq!((w.sent().1.method, w.focus.core.dialogs.len()), (Method::Bye, 1));
}

#[test]
fn each_fault_of_a_refer_has_its_code() {
    // REFER-01, REFER-03
    let mut w = World::new();
    w.call("alice");
    let carol = "Refer-To: <sip:carol@192.0.2.7>\r\n";
    let cases = [
        (refer("alice", 2, "", ""), 400),
        (refer("alice", 2, "", &format!("{carol}{carol}")), 400),
        (refer("alice", 2, "", "Refer-To: carol\r\n"), 400),
        (refer("alice", 2, "", "Refer-To: <tel:+491>\r\n"), 416),
        (refer("alice", 2, "", "Refer-To: <http://x.example/>\r\n"), 416),
        (refer("alice", 2, "", "Refer-To: <sip:carol@192.0.2.7>;method=MESSAGE\r\n"), 488),
        (refer("alice", 2, "", &format!("Require: multiple-refer\r\n{carol}")), 420),
        (refer("stranger", 2, "", carol), 403),
        (refer("alice", 2, "", "Refer-To: <sip:other@chat.example>\r\n"), 403),
        (refer("alice", 2, "", "Refer-To: <sip:other@CHAT.example:5060>\r\n"), 403),
        (refer("alice", 2, "", "Refer-To: <sip:bob@example.com;method=BYE>\r\n"), 403),
        (refer("stranger", 2, "", "Refer-To: <sip:stranger@example.com;method=BYE>\r\n"), 403),
        (refer("alice", 2, ";tag=none", carol), 481),
        (refer("alice", 2, "", carol).replacen("lobby@chat.example", "lobby@elsewhere", 1), 404),
        (refer("alice", 2, "", carol).replace("Contact: <sip:alice@pc.example>\r\n", ""), 400),
        (text("SUBSCRIBE", "alice", 2, "", "Event: refer\r\n", ""), 403),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.sent.is_empty() && w.told.is_empty());
    assert_eq!((w.focus.core.dialogs.len(), w.focus.reports.table.len()), (1, 0));
}

#[test]
fn a_moderator_takes_out_all_devices_and_a_participant_their_own() {
    // REFER-02
    let mut w = World::new();
    let alice = w.call("alice");
    let tx = w.request(&invite("alice", 1, "", OFFER).replace("calice", "second").replace("talice", "t2"));
    let second = w.join().endpoint;
    w.grant(second);
    let tag = w.response().to_tag.unwrap();
    let ack = Phone { name: "alice", seq: 1, tag: tag.into(), endpoint: second };
    w.ack(&ack, tx, "");
    let mut bob = w.call("bob");
    // Behind the URI, as clients of AG Projects write it.
    w.request(&refer("mod", 1, "", "Refer-To: <sip:alice@example.com>;method=BYE\r\n"));
    assert_eq!(w.response().code, 202);
    let lines: Vec<String> = w.reports().into_iter().map(|r| r.0).collect();
    assert_eq!(lines, ["100 Trying", "200 OK"]);
    let byes: Vec<_> =
        w.sent.drain(..).map(|(_, r)| (r.method, r.headers.get("Reason").unwrap().to_owned())).collect();
    let bye = (Method::Bye, "SIP;cause=200;text=\"Removed from the room\"".to_owned());
    assert_eq!(byes, [bye.clone(), bye]);
    let left: Vec<_> = w
        .told
        .drain(..)
        .map(|m| match m {
            ToShard::Leave { endpoint, .. } => endpoint,
            m => panic!("{m:?}"),
        })
        .collect();
    assert_eq!(left, [alice.endpoint, second]);
    w.request(&refer("mod", 2, "", "Refer-To: <sip:nobody@example.com;method=BYE>\r\n"));
    assert_eq!((w.response().code, w.reports()[1].0.as_str()), (202, "404 Not Found"));
    // Inside the dialog of the call, which the report outlives.
    bob.seq += 1;
    w.request(&bob.text("REFER", bob.seq, "Refer-To: <sip:bob@example.com;method=BYE>\r\n", ""));
    assert_eq!(w.response().code, 202);
    assert_eq!(w.reports()[1], report("200 OK", "terminated;reason=noresource", "refer;id=2"));
    assert_eq!((w.sent().1.method, w.left()), (Method::Bye, bob.endpoint));
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn who_wants_no_report_gets_none_and_a_report_can_be_cancelled() {
    // REFER-03
    let mut w = World::new();
    let mut alice = w.call("alice");
    let silent = "Require: norefersub\r\nRefer-Sub: false\r\nRefer-To: <sip:carol@192.0.2.7>\r\n";
    w.request(&refer("alice", 2, "", silent));
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Refer-Sub")), (202, Some("false")));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    assert_eq!(w.sent().1.method, Method::Invite);
    for _ in 0..2 {
        alice.seq += 1;
        w.request(&alice.text("REFER", alice.seq, "Refer-To: <sip:dave@192.0.2.7>\r\n", ""));
        assert_eq!(w.response().code, 202);
        w.join();
    }
    let events: Vec<String> = w.reports().into_iter().map(|r| r.2).collect();
    assert_eq!(events, ["refer;id=2", "refer;id=3"]);
    for (event, expires, code) in
        [("refer;id=7", "60", 403), ("refer;id=3", "60", 200), ("refer;id=3", "0", 200)]
    {
        alice.seq += 1;
        let lines = format!("Event: {event}\r\nExpires: {expires}\r\n");
        assert_eq!(w.code(&alice.text("SUBSCRIBE", alice.seq, &lines, "")), code, "{event}");
    }
    let states: Vec<String> = w.reports().into_iter().map(|r| r.1).collect();
    assert_eq!(states, ["active;expires=90", "terminated;reason=timeout"]);
    assert_eq!(w.focus.reports.table.len(), 1);
}

#[test]
fn an_anonymous_participant_invites_anonymously() {
    // CHAT-JOIN-11, REFER-01
    let mut w = World::new();
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    let outside = refer("alice", 9, "", "Refer-To: <sip:carol@192.0.2.7>\r\n");
    assert_eq!(w.code(&outside), 403, "nobody of this name is here");
    alice.seq += 1;
    w.request(&alice.text("REFER", alice.seq, "Refer-To: <sip:carol@192.0.2.7>\r\n", ""));
    w.responses.clear();
    let endpoint = w.join().endpoint;
    w.reports();
    w.grant(endpoint);
    let (_, invite) = w.sent();
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:anonymous1@anonymous.invalid>"));
    assert!(!format!("{invite:?}").contains("alice"), "{invite:?}");
}

#[test]
fn a_room_rings_at_so_many_at_a_time() {
    // REFER-01
    let mut w = World::new();
    w.call("alice");
    for n in 0..=dial::DIALS_MAX {
        w.request(&refer("alice", n + 2, "", &format!("Refer-To: <sip:u{n}@192.0.2.7>\r\n")));
    }
    assert_eq!(w.told.len(), dial::DIALS_MAX as usize);
    assert_eq!(w.reports().last().unwrap().0, "503 Service Unavailable");
}

#[test]
fn all_rooms_together_ring_at_so_many_at_a_time() {
    // REFER-01
    let mut w = World::new();
    let list: String = (0..64).map(|n| format!("<entry uri=\"sip:u{n}@192.0.2.7\"/>")).collect();
    let mut rung = 0;
    for n in 0..=dial::ALL_DIALS_MAX / 64 {
        w.request(&listing(LISTED, &list).replace("Call-ID: calice", &format!("Call-ID: c{n}")));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        assert_eq!(w.response().code, 200);
        rung += w.told.drain(..).count();
    }
    assert_eq!(rung, dial::ALL_DIALS_MAX as usize);
}
