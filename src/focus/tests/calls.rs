//! Calls from INVITE to BYE: who is let in, with which session, and what changes of the session do.

use super::*;

#[test]
fn an_invite_gets_the_answer_with_the_granted_session() {
    // FOCUS-01, CHAT-JOIN-02, CHAT-JOIN-03, SDP-01, SDP-12, SDP-14
    let mut w = World::new();
    w.request(&invite("alice", 1, "Record-Route: <sip:p1;lr>\r\n", OFFER));
    let join = w.join();
    assert_eq!((join.room.as_str(), join.participant.as_str()), (ROOM, "sip:alice@example.com"));
    assert_eq!((&*join.display_name, &*join.contact), ("alice", "sip:alice@pc.example"));
    let terms = join.terms.unwrap();
    assert_eq!(&terms.peer_path[..], b"msrp://192.0.2.1:9/a1;tcp");
    assert!(terms.may_send && terms.may_receive && terms.connect_to.is_none());
    assert!(w.responses.is_empty());
    w.grant(join.endpoint);
    let ok = w.response();
    assert_eq!(ok.headers.get("Contact"), Some("<sip:lobby@chat.example:5060;transport=tcp>;isfocus"));
    assert_eq!(ok.headers.get("Record-Route"), Some("<sip:p1;lr>"));
    assert!(ok.headers.get("Allow").unwrap().contains("SUBSCRIBE") && ok.headers.get("Supported").is_some());
    for line in [
        "m=message 2855 TCP/MSRP *\r\n",
        "a=path:msrp://chat.example:2855/aa0123456789abcdefghijAB;tcp\r\n",
        "a=setup:passive\r\n",
        "a=accept-types:message/cpim\r\n",
        "a=accept-wrapped-types:*\r\n",
        "a=max-size:1000\r\n",
        "a=chatroom:org.openmsrp.commands com.ag-projects.sylkserver-control\r\n",
    ] {
        assert!(ok.body.contains(line), "{line} in {}", ok.body);
    }
}

#[test]
fn each_fault_of_an_invite_has_its_code() {
    // FOCUS-03, SIP-UAS-01, SDP-02, SDP-09, CHAT-JOIN-01
    let plain = |from: &str, to: &str| OFFER.replace(from, to);
    let good = || invite("alice", 1, "", OFFER);
    let cases = [
        (good().replacen("lobby@chat.example", "lobby@elsewhere.example", 1), 404),
        (good().replacen("lobby@chat.example", "chat.example", 1), 404),
        (invite("alice", 1, "Require: 100rel, timer\r\n", OFFER), 420),
        (good().replace("application/sdp", "text/plain"), 415),
        (invite("alice", 1, "Content-Encoding: gzip\r\n", OFFER), 415),
        (invite("alice", 1, "Accept: text/html\r\n", OFFER), 406),
        (good().replace("Contact: <sip:alice@pc.example>\r\n", ""), 400),
        (invite("alice", 1, "", "this is no description"), 400),
        (invite("alice", 1, "", &plain("m=message 9 TCP/MSRP *", "m=audio 9 RTP/AVP 0")), 488),
        (invite("alice", 1, "", &plain("TCP/MSRP", "TCP/TLS/MSRP")), 488),
        (invite("alice", 1, "", &plain("TCP/MSRP", "TCP/TLS/MSRP").replace("msrp:", "msrps:")), 488),
        (invite("alice", 1, "", &plain("accept-types:message/cpim", "accept-types:text/plain")), 488),
        (invite("alice", 1, "", &plain("a=path:msrp://192.0.2.1:9/a1;tcp\r\n", "")), 488),
        (invite("alice", 1, "", &plain("m=message 9", "m=message 0")), 488),
    ];
    for (request, code) in cases {
        let mut w = World::new();
        w.request(&request);
        let response = w.response();
        assert_eq!(response.code, code, "{request}");
        assert_eq!(response.headers.get("Warning").is_some(), code == 488 || request.contains("no desc"));
        assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty() && w.focus.calls.is_empty());
    }
    let mut w = World::new();
    w.request(&invite("alice", 1, "Require: 100rel, timer\r\n", OFFER));
    assert_eq!(w.response().headers.get("Unsupported"), Some("100rel"));
}

#[test]
fn other_methods_have_their_codes_too() {
    // SIP-UAS-01, SIP-DLG-01
    let mut w = World::new();
    for method in ["REGISTER", "MESSAGE", "INFO", "PUBLISH", "PRACK", "NOTIFY"] {
        w.request(&text(method, "alice", 1, "", "", ""));
        let response = w.response();
        assert_eq!((response.code, response.headers.get("Allow").is_some()), (405, true), "{method}");
    }
    for method in ["BYE", "INVITE", "OPTIONS", "SUBSCRIBE", "UPDATE"] {
        let request = text(method, "alice", 1, ";tag=unknown", "Event: conference\r\n", "");
        assert_eq!(w.code(&request), 481, "{method}");
    }
    assert_eq!(w.code(&text("BYE", "alice", 1, "", "", "")), 481);
}

#[test]
fn a_refusal_of_the_room_becomes_a_code_and_leaves_nothing() {
    // FOCUS-03
    let full = Refusal::Denied(Rule::Full);
    let all = [
        (full, 486),
        (Refusal::ManyEndpoints, 486),
        (Refusal::ShuttingDown, 503),
        (Refusal::Overloaded, 503),
    ];
    for (why, code) in all {
        let mut w = World::new();
        w.request(&invite("alice", 1, "", OFFER));
        let endpoint = w.join().endpoint;
        w.input(Input::Shard(FromShard::Refused { endpoint, why, words: None }));
        let response = w.response();
        assert_eq!((response.code, response.headers.get("Warning").is_some()), (code, code == 486));
        assert_eq!(w.left(), endpoint);
        assert!(w.focus.core.dialogs.is_empty() && w.focus.calls.is_empty());
    }
}

#[test]
fn a_full_inbox_is_answered_503_and_a_leave_is_tried_again() {
    // FOCUS-03
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    let join = w.join();
    let endpoint = join.endpoint;
    w.input(Input::Undelivered { shard: ShardId(0), message: ToShard::Join(Box::new(join)) });
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Retry-After").is_some()), (503, true));
    let leave = w.told();
    w.input(Input::Undelivered { shard: ShardId(0), message: leave });
    assert!(w.told.is_empty());
    w.pass(LEAVE_RETRY);
    assert_eq!(w.left(), endpoint);
}

#[test]
fn a_shard_that_does_not_answer_costs_a_503() {
    // FOCUS-03
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    let endpoint = w.join().endpoint;
    w.pass(Duration::from_secs(9));
    assert_eq!(w.response().code, 503);
    assert_eq!(w.left(), endpoint);
    w.grant(endpoint);
    assert!(w.responses.is_empty() && w.told.is_empty());
}

#[test]
fn a_merged_request_is_refused() {
    // SIP-UAS-01
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    w.join();
    assert_eq!(w.code(&invite("alice", 1, "", OFFER).replace("z9hG4bKalice1", "z9hG4bKother")), 482);
    assert!(w.told.is_empty());
}

#[test]
fn a_subscribe_or_refer_that_comes_by_two_ways_is_carried_out_once() {
    // SIP-UAS-01
    let mut w = World::new();
    w.call("alice");
    let other_way = |request: &str| request.replacen("z9hG4bK", "z9hG4bKother", 1);
    let watch = subscribe("");
    assert_eq!((w.code(&watch), w.code(&other_way(&watch))), (200, 482));
    w.notice();
    // Another number, tag or Call-ID is another subscription, as RFC 6665 has it.
    for (from, to) in [("CSeq: 1", "CSeq: 2"), ("tag=twatcher", "tag=new"), ("cwatcher", "new")] {
        assert_eq!(w.code(&watch.replacen(from, to, 1)), 200, "{to}");
        w.notice();
    }
    for (seq, lines, notices) in [(7, "", 1), (8, "Refer-Sub: false\r\n", 0)] {
        let bring = refer("alice", seq, "", &format!("Refer-To: <sip:bob@192.0.2.7>\r\n{lines}"));
        assert_eq!((w.code(&bring), w.code(&other_way(&bring))), (202, 482));
        w.join();
        assert_eq!(w.sent.drain(..).count(), notices);
    }
    // What was refused is judged anew, and what was long ago is another request.
    let brief = subscribe("Expires: 1\r\n").replacen("cwatcher", "brief", 1);
    assert_eq!((w.code(&brief), w.code(&other_way(&brief))), (423, 423));
    w.pass(limits::MERGED_WAIT);
    assert_eq!(w.code(&other_way(&watch)), 200);
}

#[test]
fn a_cancel_before_the_answer_gives_the_grant_back() {
    // SIP-TXN-03
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", OFFER));
    let endpoint = w.join().endpoint;
    w.input(Input::Cancelled { tx });
    assert_eq!(w.response().code, 487);
    assert_eq!(w.left(), endpoint);
    w.grant(endpoint);
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    assert!(w.responses.is_empty() && w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    // SIP-TXN-03
    let mut w = World::new();
    let (mut caller, tx, _) = w.answered("alice");
    w.input(Input::Cancelled { tx });
    assert!(w.responses.is_empty() && w.told.is_empty());
    w.ack(&caller, tx, "");
    assert_eq!(w.code(&caller.next("BYE")), 200);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn a_bye_ends_the_call_once() {
    // FOCUS-04, SIP-DLG-01
    let mut w = World::new();
    let mut caller = w.call("alice");
    let stale = caller.text("BYE", 1, "", "");
    assert_eq!(w.code(&stale), 500);
    assert_eq!(w.code(&caller.next("BYE")), 200);
    assert_eq!(w.left(), caller.endpoint);
    assert_eq!(w.code(&caller.next("BYE")), 481);
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_bye_ends_a_pending_reinvite_with_487() {
    // SIP-DLG-01
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("a1;", "a2;"));
    w.revise();
    w.request(&caller.next("BYE"));
    let codes: Vec<u16> = w.responses.drain(..).map(|(_, r)| r.code).collect();
    assert_eq!(codes, [487, 200]);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn without_ack_the_call_ends_with_bye() {
    // SIP-TXN-02
    let mut w = World::new();
    let (caller, tx, _) = w.answered("alice");
    w.input(Input::NotAcked { tx });
    let (_, bye) = w.sent();
    assert_eq!((bye.method, &*bye.uri), (Method::Bye, "sip:alice@pc.example"));
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn a_session_that_never_binds_ends_the_call_after_the_ack() {
    // FOCUS-05
    let mut w = World::new();
    let (caller, tx, _) = w.answered("alice");
    let endpoint = caller.endpoint;
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::NeverBound }));
    assert!(w.sent.is_empty(), "no BYE before the ACK");
    w.ack(&caller, tx, "");
    let (id, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=408;text=\"No MSRP session\""));
    assert_eq!(w.left(), endpoint);
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    assert!(w.focus.core.sent.is_empty());
}

#[test]
fn a_lost_session_may_be_negotiated_anew_for_a_minute() {
    // FOCUS-05
    let mut w = World::new();
    let mut caller = w.call("alice");
    let endpoint = caller.endpoint;
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::Closed }));
    w.pass(limits::REBIND_WAIT - Duration::from_secs(1));
    // Even the same description asks for a new session now.
    let tx = w.reinvite(&mut caller, OFFER);
    assert!(w.revise().1);
    w.grant(endpoint);
    assert_eq!(w.response().code, 200);
    w.ack(&caller, tx, "");
    w.pass(limits::REBIND_WAIT * 2);
    assert!(w.sent.is_empty());
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::TooSlow }));
    w.pass(limits::REBIND_WAIT);
    assert_eq!(w.sent().1.headers.get("Reason"), Some("SIP;cause=408;text=\"MSRP session lost\""));
    assert_eq!(w.left(), endpoint);
}

#[test]
fn a_late_grant_answers_no_other_question_than_its_own() {
    // FOCUS-03, SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    let endpoint = caller.endpoint;
    let moved = |n: u64| OFFER.replace("- 1 1", &format!("- 1 {n}")).replace("9/a1", &format!("9/a{n}"));
    let late = |w: &mut World, no| w.grant_as(endpoint, *b"LATEabcdefghijklmnopqr", GrantNo(no));
    // The shard stands still, and what it does in the end nobody waits for.
    w.reinvite(&mut caller, &moved(2));
    assert!(w.revise().1);
    w.pass(invite::GRANT_ANSWER_WAIT);
    assert_eq!(w.response().code, 503);
    late(&mut w, 1);
    assert!(w.responses.is_empty() && w.sent.is_empty());
    // The call is as it was: what was offered first is answered as at first.
    w.reinvite(&mut caller, OFFER);
    let again = w.response();
    assert!(again.body.contains("/aa0123456789abcdefghijAB;tcp"), "{}", again.body);
    w.ack(&caller, TxId(w.last_tx), "");
    // Of two questions the first is answered late, too.
    w.reinvite(&mut caller, &moved(3));
    assert!(w.revise().1);
    w.pass(invite::GRANT_ANSWER_WAIT);
    assert_eq!(w.response().code, 503);
    w.reinvite(&mut caller, &moved(4));
    assert!(w.revise().1);
    late(&mut w, 2);
    late(&mut w, 0);
    assert!(w.responses.is_empty());
    w.grant_as(endpoint, *b"RIGHTbcdefghijklmnopqr", GrantNo(3));
    let ok = w.response();
    assert!(ok.code == 200 && ok.body.contains("/aaRIGHTbcdefghijklmnopqr;tcp"), "{}", ok.body);
}

#[test]
fn a_refresh_repeats_the_answer() {
    // SDP-06
    let mut w = World::new();
    let (mut caller, tx, first) = w.answered("alice");
    w.ack(&caller, tx, "");
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().body, first.body);
    assert!(w.told.is_empty());
}

#[test]
fn a_changed_path_asks_for_a_new_session() {
    // SDP-06, SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("a1;", "a2;"));
    let (terms, rebind) = w.revise();
    assert!(rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a2;tcp");
    // The next one comes before the first is answered.
    w.reinvite(&mut caller, OFFER);
    let early = w.response();
    assert_eq!((early.code, early.headers.get("Retry-After").is_some()), (500, true));
    w.grant_named(caller.endpoint, *b"ANOTHER789abcdefghijAB");
    let ok = w.response();
    assert!(ok.body.contains("/aaANOTHER789abcdefghijAB;tcp"));
    assert!(ok.body.lines().any(|l| l.starts_with("o=") && l.contains(" 2 IN ")), "{}", ok.body);
}

#[test]
fn other_changes_revise_the_terms_at_once() {
    // SDP-06, SDP-11, CHAT-JOIN-05
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &format!("{}a=recvonly\r\n", OFFER.replace("o=- 1 1", "o=- 1 2")));
    let (terms, rebind) = w.revise();
    assert!(!rebind && !terms.may_send && terms.may_receive);
    assert!(w.response().body.contains("a=sendonly\r\n"));
}

#[test]
fn port_zero_closes_the_session_and_a_later_offer_opens_a_new_one() {
    // SDP-07
    let mut w = World::new();
    let mut caller = w.call("alice");
    let tx =
        w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("m=message 9", "m=message 0"));
    assert_eq!(w.left(), caller.endpoint);
    assert!(w.response().body.contains("m=message 0 TCP/MSRP *"));
    w.ack(&caller, tx, "");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 3"));
    let again = w.join().endpoint;
    assert_ne!(again, caller.endpoint);
    w.grant(again);
    assert!(w.response().body.contains("m=message 2855 TCP/MSRP *"));
    w.request(&caller.next("BYE"));
    assert_eq!(w.left(), again);
}

#[test]
fn a_nickname_ends_with_the_media_and_does_not_come_back_with_them() {
    let mut w = World::new();
    let mut caller = w.call("alice");
    let nickname = Some("Rabbit".into());
    w.input(Input::Shard(FromShard::Renamed { endpoint: caller.endpoint, nickname }));
    let room = Address::parse(ROOM).unwrap();
    let names = |w: &World| w.focus.rosters.names(&room).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&w), ["Rabbit"]);
    let tx =
        w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("m=message 9", "m=message 0"));
    w.ack(&caller, tx, "");
    assert_eq!((w.left(), w.response().code), (caller.endpoint, 200));
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 3"));
    let again = w.join().endpoint;
    w.grant(again);
    w.input(Input::Shard(FromShard::Bound { endpoint: again }));
    assert_eq!(names(&w), ["alice"]);
}

#[test]
fn an_unusable_later_offer_leaves_the_call_as_it_was() {
    // SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("message/cpim", "text/plain"));
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Warning").is_some()), (488, true));
    assert!(w.told.is_empty());
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 200);
}

#[test]
fn we_connect_only_to_where_the_invite_came_from() {
    // SEC-10, SDP-03, SDP-14
    let passive = OFFER.replace("setup:active", "setup:passive");
    let mut w = World::new();
    w.request(&invite("alice", 1, "", &passive));
    let join = w.join();
    assert_eq!(join.terms.unwrap().connect_to, Some("192.0.2.1:9".parse().unwrap()));
    w.grant(join.endpoint);
    assert!(w.response().body.contains("a=setup:active\r\n"));
    for path in ["msrp://127.0.0.1:22/x;tcp", "msrp://pc.example:9/x;tcp", "msrp://192.0.2.2:9/x;tcp"] {
        let offer = passive.replace("msrp://192.0.2.1:9/a1;tcp", path);
        assert_eq!(w.code(&invite("bob", 1, "", &offer)), 488, "{path}");
    }
}

#[test]
fn an_invite_without_offer_gets_ours_and_the_ack_brings_the_answer() {
    // FOCUS-02, SDP-13
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", ""));
    let join = w.join();
    assert!(join.terms.is_none());
    w.grant(join.endpoint);
    let ok = w.response();
    assert!(ok.body.contains("a=setup:actpass\r\n") && ok.body.contains("m=message 2855 TCP/MSRP *"));
    let mut caller = Phone { name: "alice", seq: 1, tag: ok.to_tag.unwrap().into(), endpoint: join.endpoint };
    // While our offer is open, another one is glare.
    caller.seq = 2;
    assert_eq!(w.code(&caller.text("INVITE", 2, SDP, OFFER)), 491);
    caller.seq = 1;
    w.ack(&caller, tx, OFFER);
    let (terms, rebind) = w.revise();
    assert!(!rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a1;tcp");
    assert!(w.sent.is_empty());
}

#[test]
fn an_ack_without_a_usable_answer_ends_the_call() {
    // FOCUS-02
    for body in ["", "nonsense", &OFFER.replace("message/cpim", "text/plain")] {
        let mut w = World::new();
        let tx = w.request(&invite("alice", 1, "", ""));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        let tag = w.response().to_tag.unwrap().into();
        w.ack(&Phone { name: "alice", seq: 1, tag, endpoint }, tx, body);
        assert_eq!(w.sent().1.method, Method::Bye);
        assert_eq!(w.left(), endpoint);
    }
}

#[test]
fn options_tells_what_an_invite_would_get_and_creates_nothing() {
    // FOCUS-06
    let mut w = World::new();
    w.request(&text("OPTIONS", "alice", 1, "", "", ""));
    let ok = w.response();
    assert_eq!(ok.code, 200);
    assert!(ok.headers.get("Contact").unwrap().ends_with(";isfocus"));
    for name in ["Allow", "Accept", "Supported", "Allow-Events"] {
        assert!(ok.headers.get(name).is_some(), "{name}");
    }
    assert_eq!(w.code(&text("OPTIONS", "a", 1, "", "", "").replacen(ROOM, "sip:127.0.0.1:5060", 1)), 200);
    assert_eq!(w.code(&text("OPTIONS", "a", 1, "", "", "").replacen(ROOM, "sip:x@elsewhere", 1)), 404);
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn any_user_at_our_hosts_is_a_room_whatever_port_and_parameters_say() {
    // FOCUS-03
    let mut w = World::new();
    for uri in ["sip:lobby@CHAT.example:5070;transport=tcp", "sip:lobby@chat.example;x=y"] {
        w.request(
            &invite("alice", 1, "", OFFER)
                .replacen(ROOM, uri, 1)
                .replace("calice", uri.split(';').next().unwrap()),
        );
        assert_eq!(w.join().room.as_str(), ROOM);
    }
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, "sip:lobby@127.0.0.1:5060", 1));
    assert_eq!(w.join().room.as_str(), "sip:lobby@127.0.0.1");
    assert!(host_port("chat.example").is_some());
}

#[test]
fn draining_ends_everything_and_admits_nothing() {
    // FOCUS-03, FOCUS-04, CHAT-JOIN-10
    let mut w = World::new();
    let up = w.call("alice");
    let (late, late_tx, _) = w.answered("bob");
    let waiting = w.request(&invite("carol", 1, "", OFFER));
    w.join();
    w.request(&subscribe(""));
    w.responses.clear();
    w.notice();
    w.input(Input::Drain);
    assert_eq!(w.responses, [(waiting, w.responses[0].1.clone())]);
    assert_eq!(w.response().code, 503);
    assert_eq!(w.code(&invite("dave", 1, "", OFFER)), 503);
    assert_eq!(w.code(&subscribe("").replace("cwatcher", "other")), 503);
    let methods: Vec<_> = w.sent.iter().map(|(_, r)| r.method).collect();
    assert_eq!(methods, [Method::Bye, Method::Notify]);
    assert_eq!(
        w.sent[1].1.headers.get("Subscription-State"),
        Some("terminated;reason=probation;retry-after=30")
    );
    // The one whose ACK is still out has its BYE afterwards.
    w.ack(&late, late_tx, "");
    assert_eq!(w.sent.len(), 3);
    assert!(!w.focus.is_drained());
    for (id, _) in std::mem::take(&mut w.sent) {
        w.input(Input::Answer { id, reply: Reply::bare(200) });
    }
    assert!(w.focus.is_drained());
    let left = w.told.iter().filter_map(|m| match m {
        ToShard::Leave { endpoint, .. } => Some(*endpoint),
        _ => None,
    });
    let left: Vec<_> = left.collect();
    assert!(left.contains(&up.endpoint) && left.contains(&late.endpoint) && left.len() == 3);
}
