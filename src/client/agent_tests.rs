//! The user agent by value: every octet in and out, and a clock that is a number.

use super::agent::{Agent, Answer, Manner, News, Way};
use super::call::{CallError, Invite};
use super::sip::{Incoming, Line, param};
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::Token;
use std::time::Duration;

mod within;

const ROOM: &str = "sip:lobby@chat.example.com";

fn at(milliseconds: u64) -> Now {
    Now(0) + Duration::from_millis(milliseconds)
}

fn agent(way: Way) -> Agent {
    Agent::new("192.0.2.1:5062".to_string(), way, Entropy::from_seed(1))
}

fn sent(agent: &mut Agent) -> Vec<String> {
    std::iter::from_fn(|| agent.take_message()).map(|m| String::from_utf8(m).unwrap()).collect()
}

fn news(agent: &mut Agent) -> Vec<News> {
    std::iter::from_fn(|| agent.take_news()).collect()
}

fn invite(agent: &mut Agent) -> (Token, String) {
    invite_as(agent, &Manner::default())
}

fn invite_as(agent: &mut Agent, manner: &Manner) -> (Token, String) {
    let ask =
        Invite { room: ROOM, from: "sip:alice@example.com", display_name: "Al \"x\"", offer: "v=0\r\n" };
    let id = agent.invite(at(0), &ask, manner).unwrap();
    (id, sent(agent).remove(0))
}

/// A server's answer to one of our requests.
fn answer(request: &str, status: &str, extra: &str, body: &str) -> String {
    let request = Incoming::read(request.as_bytes()).unwrap();
    let to = request.header("To").unwrap();
    let tag = if param(to, "tag").is_some() { "" } else { ";tag=srv" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        request.header("Via").unwrap(),
        request.header("From").unwrap(),
        request.header("Call-ID").unwrap(),
        request.header("CSeq").unwrap(),
        body.len()
    )
}

/// A server's request within the dialog that `ours` opened.
fn request(ours: &str, method: &str, cseq: u32, extra: &str, body: &str) -> String {
    let ours = Incoming::read(ours.as_bytes()).unwrap();
    format!(
        "{method} sip:alice@192.0.2.1:5062 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKs{cseq}\r\n\
         From: <{ROOM}>;tag=srv\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        ours.header("From").unwrap(),
        ours.header("Call-ID").unwrap(),
        body.len()
    )
}

const CONTACT: &str = "Contact: <sip:focus@192.0.2.9:5070>;isfocus\r\n";

/// A call that stands, and its INVITE.
fn standing(agent: &mut Agent) -> (Token, String) {
    let (id, invite) = invite(agent);
    agent.receive(at(1), answer(&invite, "200 OK", CONTACT, "v=0\r\nanswer\r\n").as_bytes());
    assert_eq!(sent(agent).len(), 1);
    assert_eq!(news(agent).len(), 1);
    (id, invite)
}

fn code(message: &str) -> u16 {
    match Incoming::read(message.as_bytes()).unwrap().line {
        Line::Response(code, _) => code,
        Line::Request(method) => panic!("a request: {method}"),
    }
}

#[test]
fn an_invite_says_who_calls_whom_and_how_to_answer() {
    let mut a = agent(Way::Tcp);
    let (_, text) = invite(&mut a);
    assert!(text.starts_with(
        "INVITE sip:lobby@chat.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:5062;branch=z9hG4bK"
    ));
    assert!(text.contains("\r\nFrom: \"Al \\\"x\\\"\" <sip:alice@example.com>;tag="));
    assert!(text.contains("\r\nTo: <sip:lobby@chat.example.com>\r\n"));
    assert!(text.contains("\r\nContact: <sip:alice@192.0.2.1:5062;transport=tcp>\r\n"));
    assert!(text.ends_with("Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"));
}

#[test]
fn over_tls_the_contact_leads_back_to_the_connection() {
    let mut a = agent(Way::Tls);
    let (_, text) = invite(&mut a);
    assert!(text.contains("\r\nVia: SIP/2.0/TLS 192.0.2.1:5062;branch="), "{text}");
    assert!(text.contains("\r\nContact: <sip:alice@192.0.2.1:5062;transport=tls>\r\n"), "{text}");
    a.wake(at(31_000));
    assert_eq!(sent(&mut a), [""; 0]);
}

#[test]
fn who_calls_a_sips_address_can_be_reached_by_one() {
    let mut a = agent(Way::Tls);
    let ask = Invite { room: "sips:lobby@x.example", from: "sips:al@x.example", display_name: "", offer: "" };
    a.invite(at(0), &ask, &Manner::default()).unwrap();
    let text = sent(&mut a).remove(0);
    assert!(text.contains("\r\nContact: <sips:al@192.0.2.1:5062>\r\n"), "{text}");
}

#[test]
fn over_udp_an_invite_is_repeated_until_a_first_sign_of_life() {
    let mut a = agent(Way::Udp);
    let (_, invite) = invite(&mut a);
    let mut repeated = Vec::new();
    for tick in 0..60 {
        a.wake(at(tick * 100));
        repeated.extend(sent(&mut a).iter().map(|m| (tick * 100, *m == invite)));
    }
    assert_eq!(repeated, [(500, true), (1500, true), (3500, true)]);
    a.receive(at(6000), answer(&invite, "100 Trying", "", "").as_bytes());
    a.wake(at(31_000));
    assert_eq!(sent(&mut a), [""; 0]);
    assert_eq!(news(&mut a), []);
}

#[test]
fn over_tcp_nothing_is_repeated() {
    let mut a = agent(Way::Tcp);
    invite(&mut a);
    a.wake(at(31_000));
    assert_eq!(sent(&mut a), [""; 0]);
}

#[test]
fn a_call_without_any_response_fails_after_32_seconds() {
    let mut a = agent(Way::Udp);
    let (id, _) = invite(&mut a);
    a.wake(at(31_999));
    assert_eq!(news(&mut a), []);
    a.wake(at(32_000));
    assert_eq!(news(&mut a), [News::Failed(id, CallError::NoAnswer)]);
    assert!(a.is_quiet());
}

#[test]
fn a_call_that_only_rings_is_cancelled_after_three_minutes() {
    let mut a = agent(Way::Tcp);
    let (id, invite) = invite(&mut a);
    a.receive(at(1000), answer(&invite, "180 Ringing", "", "").as_bytes());
    a.wake(at(180_999));
    assert_eq!(sent(&mut a), [""; 0]);
    a.wake(at(181_000));
    let cancel = sent(&mut a).remove(0);
    assert!(cancel.starts_with("CANCEL sip:lobby@chat.example.com SIP/2.0"));
    let via = |m: &str| Incoming::read(m.as_bytes()).unwrap().header("Via").unwrap().to_string();
    assert_eq!(via(&cancel), via(&invite));
    assert_eq!(news(&mut a), [News::Failed(id, CallError::NoAnswer)]);
    // The answer may have crossed the CANCEL.
    a.receive(at(181_001), answer(&invite, "200 OK", CONTACT, "v=0\r\n").as_bytes());
    let late = sent(&mut a);
    assert!(late[0].starts_with("ACK sip:focus@") && late[1].starts_with("BYE sip:focus@"), "{late:?}");
}

#[test]
fn an_answer_is_acknowledged_at_its_contact_along_its_route_each_time_it_comes() {
    let mut a = agent(Way::Udp);
    let (id, invite) = invite(&mut a);
    let extra = format!("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n{CONTACT}");
    let ok = answer(&invite, "200 OK", &extra, "v=0\r\nanswer\r\n");
    for _ in 0..2 {
        a.receive(at(10), ok.as_bytes());
        let ack = sent(&mut a).remove(0);
        assert!(ack.starts_with("ACK sip:focus@192.0.2.9:5070 SIP/2.0\r\n"), "{ack}");
        assert!(ack.contains("Route: <sip:p3;lr>\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\n"), "{ack}");
        assert!(ack.contains("\r\nCSeq: 1 ACK\r\n") && ack.contains(";tag=srv\r\n"), "{ack}");
    }
    let contact = Some("sip:focus@192.0.2.9:5070".to_string());
    let answer = Answer { sdp: "v=0\r\nanswer\r\n".to_string(), contact, ..Answer::default() };
    assert_eq!(news(&mut a), [News::Answered(id, answer)]);
    assert!(a.is_quiet());
    a.wake(at(60_000));
    assert_eq!(sent(&mut a), [""; 0]);
}

#[test]
fn a_second_answer_of_a_fork_is_acknowledged_and_ended() {
    let mut a = agent(Way::Udp);
    let (_, invite) = standing(&mut a);
    let other = answer(&invite, "200 OK", CONTACT, "v=0\r\n").replace("tag=srv", "tag=other");
    a.receive(at(20), other.as_bytes());
    let out = sent(&mut a);
    assert!(out[0].starts_with("ACK ") && out[1].starts_with("BYE ") && out[1].contains("tag=other"));
    assert_eq!(news(&mut a), []);
}

#[test]
fn a_refusal_is_acknowledged_and_told_in_words() {
    let mut a = agent(Way::Udp);
    let (id, invite) = invite(&mut a);
    let warning = "Warning: 399 example.com \"The room is closed\"\r\nRoom-Refusal: locked\r\n";
    let no = answer(&invite, "403 Forbidden", warning, "");
    a.receive(at(5), no.as_bytes());
    a.receive(at(505), no.as_bytes());
    let acks = sent(&mut a);
    assert_eq!(acks.len(), 2);
    assert!(
        acks[0].starts_with("ACK sip:lobby@chat.example.com")
            && acks[0].contains("To: <sip:lobby@chat.example.com>;tag=srv")
    );
    assert_eq!(acks[0], acks[1]);
    let told = news(&mut a);
    let [News::Failed(failed, error)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*failed, id);
    assert_eq!(error.to_string(), "the server refused: 403 Forbidden (The room is closed)");
    assert!(matches!(error, CallError::Refused { rule: Some(rule), .. } if rule == "locked"), "{error:?}");
}

#[test]
fn an_answer_without_description_is_no_call() {
    let mut a = agent(Way::Udp);
    let (id, invite) = invite(&mut a);
    a.receive(at(5), answer(&invite, "200 OK", CONTACT, "").as_bytes());
    let out = sent(&mut a);
    assert!(out[0].starts_with("ACK ") && out[1].starts_with("BYE "), "{out:?}");
    let told = news(&mut a);
    assert!(matches!(&told[..], [News::Failed(i, CallError::BadAnswer(_))] if *i == id), "{told:?}");
}

#[test]
fn bye_is_sent_at_the_contact_and_the_dialog_forgotten() {
    let mut a = agent(Way::Udp);
    let (id, invite) = standing(&mut a);
    a.end(at(100), id);
    a.end(at(101), id);
    let out = sent(&mut a);
    assert_eq!(out.len(), 1);
    assert!(out[0].starts_with("BYE sip:focus@192.0.2.9:5070") && out[0].contains("\r\nCSeq: 2 BYE\r\n"));
    a.receive(at(120), answer(&out[0], "200 OK", "", "").as_bytes());
    assert_eq!(news(&mut a), [News::Gone(id)]);
    a.receive(at(130), request(&invite, "BYE", 5, "", "").as_bytes());
    assert_eq!(code(&sent(&mut a)[0]), 481);
}

#[test]
fn a_bye_that_nobody_answers_is_given_up() {
    let mut a = agent(Way::Udp);
    let (id, _) = standing(&mut a);
    a.end(at(0), id);
    let mut copies = sent(&mut a).len();
    for tick in 0..400 {
        a.wake(at(tick * 100));
        copies += sent(&mut a).len();
    }
    // 0.5, 1.5, 3.5, 7.5 s, then every 4 s up to 32 s.
    assert_eq!(copies, 11);
    assert_eq!(news(&mut a), [News::Gone(id)]);
}

#[test]
fn the_server_may_end_a_call_and_say_why() {
    let mut a = agent(Way::Udp);
    let (id, invite) = standing(&mut a);
    let reason = "Reason: SIP;cause=200;text=\"Kicked by moderator\"\r\n";
    a.receive(at(100), request(&invite, "BYE", 7, reason, "").as_bytes());
    let ok = sent(&mut a).remove(0);
    assert_eq!(code(&ok), 200);
    assert!(ok.contains("\r\nCSeq: 7 BYE\r\n") && ok.contains("branch=z9hG4bKs7"));
    assert_eq!(news(&mut a), [News::Ended(id, "Kicked by moderator".to_string())]);
}

#[test]
fn requests_within_a_call_are_answered() {
    let mut a = agent(Way::Udp);
    let (_, invite) = standing(&mut a);
    let table = [
        ("INVITE", "v=0\r\n", 488),
        ("UPDATE", "v=0\r\n", 488),
        ("UPDATE", "", 200),
        ("OPTIONS", "", 200),
        ("INFO", "", 405),
        ("NOTIFY", "", 481),
        ("INVITE", "v=0\r\n", 488),
    ];
    for (n, (method, body, expected)) in table.into_iter().enumerate() {
        let cseq = 10 + u32::try_from(n).unwrap();
        a.receive(at(100), request(&invite, method, cseq, "", body).as_bytes());
        assert_eq!(code(&sent(&mut a).remove(0)), expected, "{method}");
    }
    a.receive(at(101), request(&invite, "OPTIONS", 3, "", "").as_bytes());
    assert_eq!(code(&sent(&mut a)[0]), 500);
    a.receive(at(102), request(&invite, "ACK", 10, "", "").as_bytes());
    assert_eq!(sent(&mut a), [""; 0]);
    assert_eq!(news(&mut a), []);
}

#[test]
fn requests_outside_of_any_call_are_answered() {
    // CONF-10
    let mut a = agent(Way::Udp);
    let (_, invite) = standing(&mut a);
    let foreign = |m: &str| m.replace("tag=srv", "tag=foreign");
    for (method, expected) in [("BYE", 481), ("NOTIFY", 481), ("INVITE", 481)] {
        a.receive(at(1), foreign(&request(&invite, method, 9, "", "")).as_bytes());
        assert_eq!(code(&sent(&mut a).remove(0)), expected, "{method}");
    }
    for (method, expected) in [("OPTIONS", 200), ("INVITE", 480)] {
        let text = format!(
            "{method} sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        a.receive(at(2), text.as_bytes());
        assert_eq!(code(&sent(&mut a).remove(0)), expected, "{method}");
    }
    for junk in [&b""[..], b"\r\n\r\n", b"\0\xff", b"SIP/2.0 200 OK\r\n\r\n", b"NOTIFY\r\n\r\n"] {
        a.receive(at(3), junk);
        assert_eq!(news(&mut a), []);
    }
}

#[test]
fn a_call_that_was_given_up_is_ended_when_it_is_answered() {
    let mut a = agent(Way::Udp);
    let (id, invite) = invite(&mut a);
    a.end(at(1), id);
    assert_eq!(sent(&mut a), [""; 0]);
    a.receive(at(2), answer(&invite, "200 OK", CONTACT, "v=0\r\n").as_bytes());
    let out = sent(&mut a);
    assert!(out[0].starts_with("ACK ") && out[1].starts_with("BYE "), "{out:?}");
    assert_eq!(news(&mut a), []);
}

#[test]
fn a_subscription_brings_documents_even_before_it_is_answered_and_is_renewed() {
    // CONF-10
    let mut a = agent(Way::Udp);
    let (call, _) = standing(&mut a);
    let feed = a.subscribe(at(0), call, None).unwrap();
    let subscribe = sent(&mut a).remove(0);
    assert!(subscribe.starts_with("SUBSCRIBE sip:lobby@chat.example.com SIP/2.0"));
    assert!(subscribe.contains("\r\nEvent: conference\r\n"));
    let active = "Event: conference\r\nSubscription-State: active;expires=100\r\nContact: <sip:f@h>\r\n";
    let notify = request(&subscribe, "NOTIFY", 1, active, "<a/>");
    a.receive(at(1), notify.as_bytes());
    a.receive(at(2), notify.as_bytes());
    assert_eq!(sent(&mut a).iter().map(|m| code(m)).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(news(&mut a), [News::Document(feed, "<a/>".into())]);
    a.receive(at(3), answer(&subscribe, "200 OK", "Expires: 100\r\nContact: <sip:f@h>\r\n", "").as_bytes());
    assert_eq!(news(&mut a), [News::Subscribed(feed)]);
    a.wake(at(80_002));
    assert_eq!(sent(&mut a), [""; 0]);
    a.wake(at(80_003));
    let again = sent(&mut a).remove(0);
    assert!(again.starts_with("SUBSCRIBE sip:f@h SIP/2.0") && again.contains("\r\nCSeq: 2 SUBSCRIBE\r\n"));
    a.receive(at(80_004), answer(&again, "200 OK", "Expires: 100\r\n", "").as_bytes());
    assert_eq!(news(&mut a), []);
    let over = "Event: conference\r\nSubscription-State: terminated;reason=noresource\r\n";
    a.receive(at(80_005), request(&subscribe, "NOTIFY", 2, over, "<b/>").as_bytes());
    let gone = News::Unsubscribed(feed, "noresource".to_string());
    assert_eq!(news(&mut a), [News::Document(feed, "<b/>".into()), gone]);
}

#[test]
fn a_subscription_is_ended_by_asking_for_no_time() {
    let mut a = agent(Way::Tcp);
    let (call, _) = standing(&mut a);
    let feed = a.subscribe(at(0), call, None).unwrap();
    let subscribe = sent(&mut a).remove(0);
    a.receive(at(1), answer(&subscribe, "202 Accepted", "Contact: <sip:f@h>\r\n", "").as_bytes());
    a.end(at(2), feed);
    let end = sent(&mut a).remove(0);
    assert!(end.starts_with("SUBSCRIBE sip:f@h") && end.contains("\r\nExpires: 0\r\n"));
    a.receive(at(3), answer(&end, "200 OK", "", "").as_bytes());
    assert!(a.is_quiet());
    a.wake(at(10_000_000));
    assert_eq!(sent(&mut a), [""; 0]);
}

#[test]
fn a_refused_subscription_leaves_the_call_alone() {
    let mut a = agent(Way::Udp);
    let (call, invite) = standing(&mut a);
    let feed = a.subscribe(at(0), call, None).unwrap();
    let subscribe = sent(&mut a).remove(0);
    a.receive(at(1), answer(&subscribe, "489 Bad Event", "", "").as_bytes());
    let told = news(&mut a);
    assert!(matches!(&told[..], [News::Failed(i, CallError::Refused { code: 489, .. })] if *i == feed));
    a.receive(at(2), request(&invite, "OPTIONS", 1, "", "").as_bytes());
    assert_eq!(code(&sent(&mut a)[0]), 200);
}

#[test]
fn a_lost_connection_ends_everything() {
    let mut a = agent(Way::Tcp);
    let (call, _) = standing(&mut a);
    let (opening, _) = invite(&mut a);
    a.lost("reset");
    let mut told = news(&mut a);
    told.sort_by_key(|n| matches!(n, News::Ended(..)));
    let failed = News::Failed(opening, CallError::Connection("reset".to_string()));
    assert_eq!(told, [failed, News::Ended(call, "reset".to_string())]);
    assert_eq!(a.deadline(), None);
}

#[test]
fn a_refused_datagram_fails_only_what_had_no_response() {
    let mut a = agent(Way::Udp);
    standing(&mut a);
    let (opening, _) = invite(&mut a);
    a.refused("refused");
    let failed = News::Failed(opening, CallError::Connection("refused".to_string()));
    assert_eq!(news(&mut a), [failed]);
}

#[test]
fn an_address_that_is_none_is_not_called() {
    let mut a = agent(Way::Udp);
    let bad = "sip:x\r\nEvil: y";
    let mut call = |room, from| {
        let ask = Invite { room, from, display_name: "", offer: "" };
        a.invite(at(0), &ask, &Manner::default())
    };
    assert_eq!(call(bad, "sip:a@b"), Err(CallError::BadAddress(bad.to_string())));
    assert!(call(ROOM, "alice").is_err());
    assert_eq!(sent(&mut a), [""; 0]);
}
