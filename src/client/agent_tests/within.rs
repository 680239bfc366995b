//! Challenges, and what is asked within a call.

use super::*;
use crate::client::account::RoomPassword;
use crate::client::call::{Account, Step};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"chat.example.com\", nonce=\"n1\", qop=\"auth\", \
    algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"chat.example.com\", nonce=\"n1\", qop=\"auth\", \
    algorithm=MD5\r\n";

fn known(anonymous: bool) -> Manner {
    Manner { account: Some(Account::new("alice", "secret").unwrap()), anonymous, ..Manner::default() }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split_once(": ").map_or("", |(_, value)| value)
}

#[test]
fn the_password_of_a_room_goes_to_that_room_only_and_stays_when_a_request_is_sent_again() {
    let mut a = agent(Way::Udp);
    let manner = Manner { room_password: RoomPassword::new("se same"), ..known(true) };
    let (id, first) = invite_as(&mut a, &manner);
    a.receive(at(10), answer(&first, "401 Unauthorized", CHALLENGE, "").as_bytes());
    let again = sent(&mut a).remove(1);
    assert_eq!(
        (header(&first, "Room-Password"), header(&again, "Room-Password")),
        ("se%20same", "se%20same")
    );
    a.receive(at(30), answer(&again, "200 OK", CONTACT, "v=0\r\n").as_bytes());
    sent(&mut a);
    for (other, expected) in [(None, "se%20same"), (Some("sip:rooms@chat.example.com".to_string()), "")] {
        a.subscribe(at(40), id, other).unwrap();
        assert_eq!(header(&sent(&mut a)[0], "Room-Password"), expected);
    }
}

#[test]
fn a_challenged_invite_is_sent_again_with_proof() {
    // SIP-AUTH-03
    for (status, answers) in [("401 Unauthorized", "Authorization"), ("407 Proxy", "Proxy-Authorization")] {
        let mut a = agent(Way::Udp);
        let (id, first) = invite_as(&mut a, &known(false));
        assert!(!first.contains("Authorization"));
        let challenge = if status.starts_with("407") {
            CHALLENGE.replace("WWW-", "Proxy-")
        } else {
            CHALLENGE.to_string()
        };
        let refusal = answer(&first, status, &challenge, "");
        a.receive(at(10), refusal.as_bytes());
        let [ack, again] = &sent(&mut a)[..] else { panic!("an ACK and an INVITE") };
        assert!(
            ack.starts_with("ACK ")
                && header(ack, "CSeq") == "1 ACK"
                && header(ack, "To").contains("tag=srv")
        );
        assert_eq!(
            (header(again, "CSeq"), header(again, "To")),
            ("2 INVITE", "<sip:lobby@chat.example.com>")
        );
        assert_eq!(header(again, "From"), header(&first, "From"));
        assert_eq!(header(again, "Call-ID"), header(&first, "Call-ID"));
        let proof = header(again, &format!("{answers}:"));
        assert!(
            proof.starts_with("Digest username=\"alice\", realm=\"chat.example.com\", nonce=\"n1\""),
            "{proof}"
        );
        assert!(proof.contains("uri=\"sip:lobby@chat.example.com\"") && proof.contains("algorithm=SHA-256"));
        assert!(again.ends_with("\r\n\r\nv=0\r\n"));
        // The refusal repeated is acknowledged only.
        a.receive(at(20), refusal.as_bytes());
        assert_eq!(sent(&mut a), std::slice::from_ref(ack));
        a.receive(at(30), answer(again, "200 OK", CONTACT, "v=0\r\nanswer\r\n").as_bytes());
        assert_eq!(header(&sent(&mut a)[0], "CSeq"), "2 ACK");
        assert!(matches!(&news(&mut a)[..], [News::Answered(i, _)] if *i == id));
    }
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    // SIP-AUTH-03
    let mut a = agent(Way::Tcp);
    let (id, mut last) = invite_as(&mut a, &known(false));
    let mut asked = 1;
    for nonce in 1..10 {
        let stale = if nonce == 2 { ", stale=true" } else { "" };
        let challenge = CHALLENGE.replace("\"n1\"", &format!("\"n{nonce}\"{stale}"));
        a.receive(at(10), answer(&last, "401 Unauthorized", &challenge, "").as_bytes());
        match sent(&mut a).pop().filter(|m| m.starts_with("INVITE")) {
            Some(again) => last = again,
            None => break,
        }
        asked += 1;
    }
    assert_eq!(asked, 3);
    let wrong = CallError::WrongPassword { user: "alice".to_string(), realm: "chat.example.com".to_string() };
    assert_eq!(news(&mut a), [News::Failed(id, wrong)]);
    assert!(a.is_quiet());
}

#[test]
fn without_a_password_a_challenge_ends_the_call_and_says_so() {
    let mut a = agent(Way::Tcp);
    let (id, first) = invite(&mut a);
    a.receive(at(10), answer(&first, "401 Unauthorized", CHALLENGE, "").as_bytes());
    let wanted = CallError::PasswordWanted { realm: "chat.example.com".to_string() };
    assert_eq!(news(&mut a), [News::Failed(id, wanted)]);
    let mut a = agent(Way::Tcp);
    let (id, first) = invite_as(&mut a, &known(false));
    a.receive(
        at(10),
        answer(&first, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "").as_bytes(),
    );
    assert_eq!(news(&mut a), [News::Failed(id, CallError::UnknownChallenge)]);
}

#[test]
fn subscriptions_refers_offers_and_hangups_are_proved_too() {
    // SIP-AUTH-03
    let mut a = agent(Way::Tcp);
    let (call, first) = invite_as(&mut a, &known(false));
    a.receive(at(1), answer(&first, "200 OK", CONTACT, "v=0\r\n").as_bytes());
    sent(&mut a);
    news(&mut a);
    let feed = a.subscribe(at(2), call, None).unwrap();
    a.refer(at(2), call, 7, "sip:dave@example.com", false).unwrap();
    a.reveal(at(2), call, 8, "v=0\r\n").unwrap();
    let asked = sent(&mut a);
    assert_eq!(asked.len(), 3);
    for (request, method) in asked.iter().zip(["SUBSCRIBE", "REFER", "INVITE"]) {
        a.receive(at(3), answer(request, "401 Unauthorized", CHALLENGE, "").as_bytes());
        let again = sent(&mut a).pop().unwrap();
        assert!(again.starts_with(method) && again.contains("\r\nAuthorization: Digest "), "{again}");
        // A second challenge with the same question ends it.
        a.receive(at(4), answer(&again, "401 Unauthorized", CHALLENGE, "").as_bytes());
        assert!(sent(&mut a).iter().all(|m| m.starts_with("ACK")));
    }
    let told = news(&mut a);
    let wrong = |e: &CallError| matches!(e, CallError::WrongPassword { .. });
    assert!(matches!(&told[0], News::Failed(i, e) if *i == feed && wrong(e)), "{told:?}");
    assert!(matches!(&told[1], News::Referred(i, 7, Err(e)) if *i == call && wrong(e)), "{told:?}");
    assert!(matches!(&told[2], News::Revised(i, 8, Err(e)) if *i == call && wrong(e)), "{told:?}");
    a.end(at(5), call);
    let bye = sent(&mut a).remove(0);
    a.receive(at(6), answer(&bye, "407 Proxy", &CHALLENGE.replace("WWW-", "Proxy-"), "").as_bytes());
    let again = sent(&mut a).remove(0);
    assert!(again.starts_with("BYE") && again.contains("\r\nProxy-Authorization: Digest "));
    a.receive(at(7), answer(&again, "200 OK", "", "").as_bytes());
    assert_eq!(news(&mut a), [News::Gone(call)]);
}

#[test]
fn who_hides_says_nothing_of_themselves_unless_it_has_to_be_proved() {
    let mut a = agent(Way::Tcp);
    let (_, text) = invite_as(&mut a, &Manner { anonymous: true, ..Manner::default() });
    assert!(header(&text, "From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
    assert_eq!(header(&text, "Privacy"), "id");
    assert!(!text.contains("alice") && !text.contains("Al "), "{text}");
    let mut a = agent(Way::Tcp);
    let (call, text) = invite_as(&mut a, &known(true));
    assert!(header(&text, "From").starts_with("\"Al \\\"x\\\"\" <sip:alice@example.com>;tag="));
    assert_eq!(header(&text, "Privacy"), "id");
    let asserted = format!(
        "{CONTACT}P-Asserted-Identity: <sip:lobby@chat.example.com>, <sip:anonymous7@anonymous.invalid>\r\n"
    );
    a.receive(at(1), answer(&text, "200 OK", &asserted, "v=0\r\n").as_bytes());
    sent(&mut a);
    let told = news(&mut a);
    let expected = Some("sip:anonymous7@anonymous.invalid");
    assert!(matches!(&told[..], [News::Answered(_, x)] if x.identity.as_deref() == expected), "{told:?}");
    a.subscribe(at(2), call, None).unwrap();
    assert_eq!(header(&sent(&mut a)[0], "Privacy"), "id");
}

#[test]
fn who_hid_is_revealed_by_a_new_offer() {
    let mut a = agent(Way::Udp);
    let (call, first) = invite_as(&mut a, &known(true));
    a.receive(at(1), answer(&first, "200 OK", CONTACT, "v=0\r\n").as_bytes());
    sent(&mut a);
    news(&mut a);
    a.reveal(at(2), call, 3, "v=0\r\n").unwrap();
    assert_eq!(a.reveal(at(2), call, 4, "v=0\r\n"), Err(CallError::Busy));
    let again = sent(&mut a).remove(0);
    assert!(again.starts_with("INVITE sip:focus@192.0.2.9:5070 SIP/2.0\r\n"));
    assert_eq!((header(&again, "Privacy"), header(&again, "CSeq")), ("none", "2 INVITE"));
    assert!(header(&again, "To").ends_with(";tag=srv") && again.ends_with("\r\n\r\nv=0\r\n"));
    let extra =
        format!("{CONTACT}Warning: 399 x \"all see you\"\r\nP-Associated-URI: <sip:alice@example.com>\r\n");
    let ok = answer(&again, "200 OK", &extra, "v=0\r\n");
    a.receive(at(3), ok.as_bytes());
    assert_eq!(header(&sent(&mut a)[0], "CSeq"), "2 ACK");
    let revised = Answer {
        sdp: "v=0\r\n".to_string(),
        identity: Some("sip:alice@example.com".to_string()),
        warning: Some("all see you".to_string()),
        contact: Some("sip:focus@192.0.2.9:5070".to_string()),
    };
    assert_eq!(news(&mut a), [News::Revised(call, 3, Ok(revised))]);
    // The 200 repeated is acknowledged again, and nothing else.
    a.receive(at(4), ok.as_bytes());
    assert_eq!((sent(&mut a).len(), news(&mut a).len()), (1, 0));
    // A refusal leaves the call as it is.
    a.reveal(at(5), call, 5, "v=0\r\n").unwrap();
    let again = sent(&mut a).remove(0);
    a.receive(at(6), answer(&again, "491 Request Pending", "", "").as_bytes());
    assert!(sent(&mut a)[0].starts_with("ACK "));
    assert!(matches!(&news(&mut a)[..], [News::Revised(_, 5, Err(CallError::Refused { code: 491, .. }))]));
    a.end(at(7), call);
    assert!(sent(&mut a)[0].starts_with("BYE "));
}

/// A report on the REFER with this CSeq.
fn report(invite: &str, cseq: u32, id: &str, state: &str, fragment: &str) -> String {
    let headers =
        format!("Event: refer{id}\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n");
    request(invite, "NOTIFY", cseq, &headers, fragment)
}

#[test]
fn somebody_is_brought_in_or_taken_out_step_by_step() {
    let mut a = agent(Way::Tcp);
    let (call, invite) = standing(&mut a);
    a.refer(at(2), call, 5, "sip:dave@example.com;x=y?Subject=z", false).unwrap();
    a.refer(at(2), call, 6, "sip:bob@example.com", true).unwrap();
    let [first, second] = &sent(&mut a)[..] else { panic!("two REFERs") };
    assert_eq!(header(first, "Refer-To"), "<sip:dave@example.com;x=y;method=INVITE?Subject=z>");
    assert_eq!(
        (header(second, "Refer-To"), header(second, "CSeq")),
        ("<sip:bob@example.com;method=BYE>", "3 REFER")
    );
    a.receive(at(3), answer(second, "202 Accepted", "", "").as_bytes());
    assert_eq!(news(&mut a), [News::Referred(call, 6, Ok(()))]);
    // A report may come before the answer.
    a.receive(at(3), report(&invite, 1, ";id=2", "active", "SIP/2.0 100 Trying\r\n").as_bytes());
    a.receive(at(3), answer(first, "202 Accepted", "", "").as_bytes());
    let step = |code, phrase: &str, last| Step { code, phrase: phrase.to_string(), last };
    assert_eq!(
        news(&mut a),
        [News::Progress(call, 5, step(100, "Trying", false)), News::Referred(call, 5, Ok(()))]
    );
    for (cseq, id, state, line, number, expected) in [
        (2, ";id=2", "active", "SIP/2.0 180 Ringing", 5, step(180, "Ringing", false)),
        (3, ";id=3", "terminated;reason=noresource", "SIP/2.0 200 OK", 6, step(200, "OK", true)),
        (4, "", "terminated", "SIP/2.0 603 Decline", 5, step(603, "Decline", true)),
    ] {
        a.receive(at(4), report(&invite, cseq, id, state, line).as_bytes());
        assert_eq!(news(&mut a), [News::Progress(call, number, expected)]);
    }
    assert!(sent(&mut a).iter().all(|m| code(m) == 200));
    // Nothing is open any more.
    a.receive(at(5), report(&invite, 5, ";id=2", "active", "SIP/2.0 180 Ringing").as_bytes());
    assert_eq!(code(&sent(&mut a)[0]), 481);
    assert_eq!(news(&mut a), []);
}

#[test]
fn a_refer_that_is_refused_or_unheard_of_is_told_and_the_call_goes_on() {
    let mut a = agent(Way::Udp);
    let (call, _) = standing(&mut a);
    assert!(matches!(a.refer(at(2), call, 1, "bob", true), Err(CallError::BadAddress(_))));
    a.refer(at(2), call, 2, "sip:bob@example.com", true).unwrap();
    let refer = sent(&mut a).remove(0);
    a.receive(at(3), answer(&refer, "403 Forbidden", "", "").as_bytes());
    let told = news(&mut a);
    assert!(
        matches!(&told[..], [News::Referred(_, 2, Err(CallError::Refused { code: 403, .. }))]),
        "{told:?}"
    );
    a.refer(at(4), call, 3, "sip:bob@example.com", true).unwrap();
    a.wake(at(40_000));
    assert_eq!(news(&mut a), [News::Referred(call, 3, Err(CallError::NoAnswer))]);
    sent(&mut a);
    // Accepted, and then never heard of again.
    a.refer(at(40_000), call, 4, "sip:bob@example.com", true).unwrap();
    let refer = sent(&mut a).remove(0);
    a.receive(at(40_001), answer(&refer, "202 Accepted", "", "").as_bytes());
    a.wake(at(230_000));
    let told = news(&mut a);
    assert!(matches!(&told[..], [_, News::Progress(_, 4, Step { code: 408, last: true, .. })]), "{told:?}");
    for number in 0..=64 {
        let asked = a.refer(at(230_000), call, 10 + number, "sip:bob@example.com", true);
        assert_eq!(asked.is_ok(), number < 64, "{number}");
    }
    a.end(at(230_000), call);
    assert!(sent(&mut a).pop().unwrap().starts_with("BYE "));
}
