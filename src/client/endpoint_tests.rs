//! The MSRP side by value: every octet in and out, and a clock that is a number.

use super::endpoint::{ANSWER_WAIT, Endpoint, News, QUIET_WAIT};
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use std::time::Duration;

const LOCAL: &str = "msrp://192.0.2.1:9/client0123456789;tcp";
const REMOTE: &str = "msrp://192.0.2.9:2855/switch0123456789;tcp";

fn at(milliseconds: u64) -> Now {
    Now(0) + Duration::from_millis(milliseconds)
}

fn endpoint() -> Endpoint {
    Endpoint::new(at(0), LOCAL, REMOTE, 10_000, Entropy::from_seed(1))
}

/// All octets the endpoint wants to send, taken by the system now.
fn output(e: &mut Endpoint, now: Now) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let ready = e.output().to_vec();
        if ready.is_empty() {
            return all;
        }
        e.wrote(now, ready.len());
        all.extend(ready);
    }
}

fn text(e: &mut Endpoint) -> String {
    String::from_utf8(output(e, at(0))).unwrap()
}

fn news(e: &mut Endpoint) -> Vec<News> {
    std::iter::from_fn(|| e.take_news()).collect()
}

fn tid(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

fn answer(request: &str, status: &str) -> Vec<u8> {
    let tid = tid(request);
    format!("MSRP {tid} {status}\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\n-------{tid}$\r\n")
        .into_bytes()
}

fn receive(e: &mut Endpoint, octets: impl AsRef<[u8]>) {
    e.receive(at(0), octets.as_ref()).unwrap();
}

/// An endpoint whose binding request was answered.
fn bound() -> Endpoint {
    let mut e = endpoint();
    let bind = text(&mut e);
    receive(&mut e, answer(&bind, "200 OK"));
    assert_eq!(news(&mut e), [News::Bound]);
    e
}

fn wrapped(content: &str) -> String {
    format!(
        "From: <sip:bob@example.com>\r\nTo: <sip:lobby@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\n{content}"
    )
}

/// A SEND to the endpoint.
fn send(tid: &str, headers: &str, body: &str, flag: char) -> String {
    format!(
        "MSRP {tid} SEND\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\n{headers}\
         Content-Type: message/cpim\r\n\r\n{body}\r\n-------{tid}{flag}\r\n"
    )
}

/// The SENDs of an output: tid, Byte-Range, body, flag.
fn sends(octets: &[u8]) -> Vec<(String, String, Vec<u8>, char)> {
    let mut rest = octets;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let head_end = memchr::memmem::find(rest, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..head_end]).unwrap();
        let tid = tid(head).to_string();
        let range = head.split("Byte-Range: ").nth(1).unwrap().split("\r\n").next().unwrap().to_string();
        let body = &rest[head_end + 4..];
        let end = format!("\r\n-------{tid}");
        let at = memchr::memmem::find(body, end.as_bytes()).unwrap();
        let flag = char::from(body[at + end.len()]);
        found.push((tid, range, body[..at].to_vec(), flag));
        rest = &body[at + end.len() + 3..];
    }
    found
}

#[test]
fn the_first_octets_bind_the_session_and_messages_wait_for_the_answer() {
    // MSRP-CONN-02, MSRP-CHUNK-03
    let mut e = endpoint();
    e.say(1, b"hello".to_vec());
    let bind = text(&mut e);
    let tid = tid(&bind);
    let id = bind.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let expected = format!(
        "MSRP {tid} SEND\r\nTo-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\nMessage-ID: {id}\r\n\
         Byte-Range: 1-0/0\r\n-------{tid}$\r\n"
    );
    assert_eq!(bind, expected);
    receive(&mut e, answer(&bind, "200 OK"));
    assert_eq!(news(&mut e), [News::Bound]);
    assert!(text(&mut e).contains("\r\nContent-Type: message/cpim\r\n\r\nhello\r\n-------"));
}

#[test]
fn a_refused_binding_loses_the_session() {
    // MSRP-CONN-04
    let mut e = endpoint();
    let bind = text(&mut e);
    receive(&mut e, answer(&bind, "481 No such session"));
    assert_eq!(news(&mut e), [News::Lost("the switch refused the session: 481 No such session".to_string())]);
}

#[test]
fn up_to_2048_octets_are_promised_and_more_are_not() {
    // MSRP-CHUNK-04, MSRP-CHUNK-06, MSRP-CHUNK-13
    let mut e = bound();
    for (size, range) in [(1, "1-1/1"), (2048, "1-2048/2048"), (2049, "1-*/2049"), (1 << 20, "1-*/1048576")] {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 % 256) as u8).collect();
        e.say(size, body.clone());
        let sent = sends(&output(&mut e, at(0)));
        assert_eq!(sent.len(), 1, "{size}");
        assert_eq!((sent[0].1.as_str(), sent[0].3), (range, '$'));
        assert!(sent[0].2 == body);
    }
}

#[test]
fn answers_are_matched_in_any_order() {
    // MSRP-TXN-07
    let mut e = bound();
    (0..50).for_each(|n| e.say(n, format!("message {n}").into_bytes()));
    let sent = sends(&output(&mut e, at(0)));
    assert_eq!(sent.len(), 50);
    for (tid, ..) in sent.iter().rev() {
        receive(&mut e, answer(&format!("MSRP {tid} SEND"), "200 OK"));
    }
    let accepted: Vec<News> = (0..50).rev().map(News::Accepted).collect();
    assert_eq!(news(&mut e), accepted);
}

#[test]
fn a_refusal_is_told_with_its_comment_and_strays_are_dropped() {
    // MSRP-TXN-09
    let mut e = bound();
    let n = 7;
    e.say(n, b"hello".to_vec());
    let request = text(&mut e);
    receive(&mut e, answer("MSRP stray123 SEND", "200 OK"));
    receive(&mut e, answer(&request, "499 Odd thing"));
    receive(&mut e, answer(&request, "200 OK"));
    assert_eq!(news(&mut e), [News::Refused { message: n, code: 499, comment: "Odd thing".to_string() }]);
    let n = 8;
    e.say(n, b"hello".to_vec());
    let request = text(&mut e);
    receive(&mut e, answer(&request, "299 Fine"));
    assert_eq!(news(&mut e), [News::Accepted(n)]);
}

#[test]
fn without_answer_a_message_fails_30_seconds_after_its_last_octet() {
    // MSRP-TXN-06
    let mut e = bound();
    let n = 1;
    e.say(n, vec![b'x'; 20_000]);
    let first = e.output().len();
    e.wrote(at(1000), first);
    e.wake(at(20_000));
    while !e.output().is_empty() {
        let some = e.output().len();
        e.wrote(at(20_000), some);
    }
    assert_eq!(e.deadline(), Some(at(50_000)));
    e.wake(at(49_900));
    assert_eq!(news(&mut e), []);
    e.wake(at(50_100));
    let told = news(&mut e);
    assert!(matches!(&told[..], [News::Refused { message, code: 408, .. }] if *message == n), "{told:?}");
    const { assert!(ANSWER_WAIT.as_secs() == 30) };
}

#[test]
fn an_answer_that_waits_cuts_a_long_chunk() {
    // MSRP-CHUNK-05, MSRP-CHUNK-01
    let mut e = bound();
    let body: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let n = 1;
    e.say(n, body.clone());
    let mut all = Vec::new();
    let mut asked = 0;
    loop {
        let some = e.output().len().min(9000);
        if some == 0 {
            break;
        }
        all.extend_from_slice(&e.output()[..some]);
        e.wrote(at(0), some);
        if asked < 3 {
            asked += 1;
            receive(
                &mut e,
                send(&format!("ask{asked}"), "Message-ID: abcd\r\nByte-Range: 1-*/*\r\n", &wrapped("x"), '$'),
            );
        }
    }
    for asked in 1..=3 {
        let reply = format!(
            "MSRP ask{asked} 200 OK\r\nTo-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\n-------ask{asked}$\r\n"
        );
        let found = memchr::memmem::find(&all, reply.as_bytes()).expect("an answer");
        // Not behind more than what was ready already.
        assert!(found < asked * 9000 + 17_000, "{found}");
        all.drain(found..found + reply.len());
    }
    let chunks = sends(&all);
    let flags: String = chunks.iter().map(|c| c.3).collect();
    assert_eq!(flags, "+++$");
    let mut position = 1;
    for (_, range, body, _) in &chunks {
        assert!(range.starts_with(&format!("{position}-*/100000")), "{range}");
        position += body.len();
    }
    assert!(chunks.iter().flat_map(|c| c.2.clone()).eq(body));
    news(&mut e);
    // One message: accepted when every chunk is.
    for (tid, ..) in &chunks {
        assert_eq!(news(&mut e), []);
        receive(&mut e, answer(&format!("MSRP {tid} SEND"), "200 OK"));
    }
    assert_eq!(news(&mut e), [News::Accepted(n)]);
}

#[test]
fn a_message_refused_midway_is_aborted_and_the_next_goes_on() {
    // MSRP-CHUNK-11
    let mut e = bound();
    let big = 1;
    e.say(big, vec![b'x'; 1_000_000]);
    let next = 2;
    e.say(next, b"next".to_vec());
    let some = e.output().to_vec();
    e.wrote(at(0), some.len());
    receive(&mut e, answer(std::str::from_utf8(&some[..60]).unwrap(), "413 Stop"));
    assert_eq!(news(&mut e), [News::Refused { message: big, code: 413, comment: "Stop".to_string() }]);
    let mut all = some;
    all.extend(output(&mut e, at(0)));
    let chunks = sends(&all);
    assert_eq!(chunks.iter().map(|c| c.3).collect::<String>(), "#$");
    assert!(chunks[0].2.len() < 40_000);
    receive(&mut e, answer(&format!("MSRP {} SEND", chunks[1].0), "200 OK"));
    assert_eq!(news(&mut e), [News::Accepted(next)]);
}

#[test]
fn a_failure_report_after_the_200_is_told_once() {
    // MSRP-REP-03, MSRP-REP-05
    let mut e = bound();
    let n = 1;
    e.say(n, b"hello".to_vec());
    let request = text(&mut e);
    let id = request.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap().to_string();
    receive(&mut e, answer(&request, "200 OK"));
    assert_eq!(news(&mut e), [News::Accepted(n)]);
    let report = |id: &str, status: &str| {
        format!(
            "MSRP rep1 REPORT\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\nMessage-ID: {id}\r\n\
             Byte-Range: 1-5/5\r\nStatus: {status}\r\n-------rep1$\r\n"
        )
    };
    receive(&mut e, report(&id, "000 200 OK"));
    receive(&mut e, report(&id, "123 404 Not ours"));
    receive(&mut e, report("unknown1", "000 408 Late"));
    assert_eq!(news(&mut e), []);
    receive(&mut e, report(&id, "000 408 Late"));
    receive(&mut e, report(&id, "000 408 Late"));
    assert_eq!(news(&mut e), [News::Refused { message: n, code: 408, comment: "Late".to_string() }]);
    assert_eq!(text(&mut e), "");
}

#[test]
fn failure_report_decides_what_is_answered() {
    // MSRP-TXN-01, MSRP-TXN-03, MSRP-TXN-04
    let mut e = bound();
    let good = wrapped("hi");
    let table = [
        ("", "message/cpim", "200 OK"),
        ("Failure-Report: yes\r\n", "message/cpim", "200 OK"),
        ("Failure-Report: no\r\n", "message/cpim", ""),
        ("Failure-Report: partial\r\n", "message/cpim", ""),
        ("", "text/plain", "415 Only message/cpim here"),
        ("Failure-Report: no\r\n", "text/plain", ""),
        ("Failure-Report: partial\r\n", "text/plain", "415 Only message/cpim here"),
    ];
    for (wish, content_type, status) in table {
        let headers = format!("Message-ID: abcd\r\nByte-Range: 1-*/*\r\n{wish}");
        receive(&mut e, send("t123", &headers, &good, '$').replace("message/cpim", content_type));
        let expected = match status {
            "" => String::new(),
            s => format!("MSRP t123 {s}\r\nTo-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\n-------t123$\r\n"),
        };
        assert_eq!(text(&mut e), expected, "{wish} {content_type}");
        let heard = usize::from(content_type == "message/cpim");
        assert_eq!(news(&mut e).len(), heard);
    }
}

#[test]
fn what_is_not_for_this_session_gets_481() {
    // MSRP-URI-07
    let mut e = bound();
    for to in ["msrp://192.0.2.1:9/other;tcp", &format!("{LOCAL} {LOCAL}"), "garbage"] {
        let request = send("t123", "Message-ID: abcd\r\n", &wrapped("x"), '$').replace(LOCAL, to);
        receive(&mut e, request);
        assert!(text(&mut e).starts_with("MSRP t123 481 "), "{to}");
        assert_eq!(news(&mut e), []);
    }
    let spelled = LOCAL.replace("msrp:", "MSRP:");
    receive(&mut e, send("t123", "Message-ID: abcd\r\n", &wrapped("x"), '$').replace(LOCAL, &spelled));
    assert!(text(&mut e).starts_with("MSRP t123 200 "));
}

#[test]
fn unknown_methods_get_501_along_the_whole_path_and_the_session_goes_on() {
    // MSRP-TXN-08, MSRP-TXN-02, MSRP-TXN-05
    let mut e = bound();
    let ask = |method: &str| {
        format!("MSRP t123 {method}\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE} {REMOTE}\r\n-------t123$\r\n")
    };
    for method in ["NICKNAME", "FILE_OFFSET"] {
        receive(&mut e, ask(method));
        let expected = format!(
            "MSRP t123 501 Unknown method\r\nTo-Path: {REMOTE} {REMOTE}\r\nFrom-Path: {LOCAL}\r\n-------t123$\r\n"
        );
        assert_eq!(text(&mut e), expected);
    }
    receive(&mut e, ask("REPORT"));
    assert_eq!(text(&mut e), "");
    receive(&mut e, ask("SEND"));
    let answer = text(&mut e);
    assert!(answer.starts_with(&format!("MSRP t123 200 OK\r\nTo-Path: {REMOTE}\r\n")), "{answer}");
    assert_eq!(news(&mut e), []);
}

#[test]
fn chunks_of_several_messages_are_put_together_wherever_the_stream_is_cut() {
    // MSRP-CHUNK-14
    let (a, b) = (wrapped("first message"), wrapped("second message"));
    let chunk = |tid: &str, id: &str, body: &str, from: usize, to: usize| {
        let headers = format!("Message-ID: {id}\r\nByte-Range: {}-*/{}\r\n", from + 1, body.len());
        send(tid, &headers, &body[from..to], if to == body.len() { '$' } else { '+' })
    };
    let stream = [
        chunk("ta01", "aaaa", &a, 0, 40),
        chunk("tb01", "bbbb", &b, 50, b.len()),
        chunk("ta02", "aaaa", &a, 40, a.len()),
        chunk("tb02", "bbbb", &b, 0, 50),
    ]
    .concat();
    let expected = [News::Message(a.clone().into_bytes()), News::Message(b.clone().into_bytes())];
    for cut in 0..=stream.len() {
        let mut e = bound();
        receive(&mut e, &stream[..cut]);
        receive(&mut e, &stream[cut..]);
        assert_eq!(news(&mut e), expected, "{cut}");
        assert_eq!(text(&mut e).matches(" 200 OK").count(), 4);
    }
    let mut e = bound();
    for octet in stream.bytes() {
        receive(&mut e, [octet]);
    }
    assert_eq!(news(&mut e), expected);
}

#[test]
fn a_success_report_covers_the_whole_message() {
    // MSRP-REP-01, MSRP-REP-02
    let mut e = bound();
    let body = wrapped("hi");
    let headers = "Message-ID: abcd\r\nSuccess-Report: yes\r\nFailure-Report: no\r\n";
    receive(&mut e, send("t123", headers, &body, '$'));
    let report = text(&mut e);
    let (tid, n) = (tid(&report), body.len());
    let expected = format!(
        "MSRP {tid} REPORT\r\nTo-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\nMessage-ID: abcd\r\n\
         Byte-Range: 1-{n}/{n}\r\nStatus: 000 200 OK\r\n-------{tid}$\r\n"
    );
    assert_eq!(report, expected);
}

#[test]
fn a_message_that_is_too_large_is_refused_before_its_end() {
    // MSRP-CHUNK-16, MSRP-TXN-10
    let mut e = bound();
    let body = wrapped(&"x".repeat(200_000));
    let whole = send("t123", "Message-ID: abcd\r\nByte-Range: 1-*/*\r\n", &body, '$');
    receive(&mut e, &whole[..150_000]);
    assert!(text(&mut e).starts_with("MSRP t123 413 "));
    receive(&mut e, &whole[150_000..]);
    assert_eq!(text(&mut e), "");
    receive(&mut e, send("t124", "Message-ID: efgh\r\n", &wrapped("x"), '$'));
    assert!(text(&mut e).starts_with("MSRP t124 200 "));
    assert_eq!(news(&mut e).len(), 1);
    receive(&mut e, send("t125", "Message-ID: ijkl\r\nByte-Range: 1-*/10001\r\n", "x", '+'));
    assert!(text(&mut e).starts_with("MSRP t125 413 "));
}

#[test]
fn an_unreadable_wrapper_gets_400() {
    let mut e = bound();
    receive(&mut e, send("t123", "Message-ID: abcd\r\n", "no wrapper\r\n\r\n", '$'));
    assert!(text(&mut e).starts_with("MSRP t123 400 "));
    receive(&mut e, send("t124", "", &wrapped("x"), '$'));
    assert!(text(&mut e).starts_with("MSRP t124 400 "));
    assert_eq!(news(&mut e), []);
}

#[test]
fn a_quiet_switch_is_asked_for_a_sign_of_life() {
    let mut e = bound();
    assert_eq!(e.deadline(), Some(Now(0) + QUIET_WAIT));
    let now = Now(0) + QUIET_WAIT;
    e.wake(now);
    let ping = String::from_utf8(output(&mut e, now)).unwrap();
    assert!(ping.contains("\r\nByte-Range: 1-0/0\r\n"));
    e.receive(now, &answer(&ping, "200 OK")).unwrap();
    assert_eq!(e.deadline(), Some(now + QUIET_WAIT));
    let now = now + QUIET_WAIT;
    e.wake(now);
    output(&mut e, now);
    e.wake(now + ANSWER_WAIT);
    let told = news(&mut e);
    assert!(matches!(&told[..], [News::Lost(_)]), "{told:?}");
}

#[test]
fn what_is_no_msrp_ends_the_connection() {
    // MSRP-FRAME-17
    let mut e = bound();
    assert!(e.receive(at(0), b"HTTP/1.1 200 OK\r\n").is_err());
}

#[test]
fn a_switch_that_takes_no_answers_is_not_read_for_ever() {
    // SEC-06
    let mut e = bound();
    let ask = format!("MSRP t123 SEND\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\n-------t123$\r\n");
    let mut asked = 0;
    while !e.clogged() {
        receive(&mut e, &ask);
        asked += 1;
    }
    assert!((100..10_000).contains(&asked));
    output(&mut e, at(0));
    assert!(!e.clogged());
}

/// A NICKNAME request, as the endpoint writes it.
fn nickname_request(tid: &str, value: &str) -> String {
    format!(
        "MSRP {tid} NICKNAME\r\nTo-Path: {REMOTE}\r\nFrom-Path: {LOCAL}\r\nUse-Nickname: {value}\r\n-------{tid}$\r\n"
    )
}

#[test]
fn a_nickname_is_asked_for_in_quotes_and_told_by_its_answer() {
    // CHAT-NICK-01, CHAT-NICK-08
    let mut e = bound();
    let taken = News::Refused { message: 3, code: 425, comment: "Nickname reserved".to_string() };
    let table = [
        (1, "White \"W\" Rabbit", r#""White \"W\" Rabbit""#, "200 OK", News::Accepted(1)),
        (2, "", r#""""#, "200 OK", News::Accepted(2)),
        (3, "Al", r#""Al""#, "425 Nickname reserved", taken),
    ];
    for (number, name, value, status, told) in table {
        e.nickname(number, name);
        let request = text(&mut e);
        assert_eq!(request, nickname_request(tid(&request), value));
        assert_eq!((e.waiting(), news(&mut e)), (0, vec![]));
        receive(&mut e, answer(&request, status));
        receive(&mut e, answer(&request, status));
        assert_eq!(news(&mut e), [told]);
    }
}

#[test]
fn a_nickname_keeps_its_place_among_messages_and_never_cuts_one() {
    // CHAT-NICK-01
    let mut e = endpoint();
    e.say(1, vec![b'x'; 50_000]);
    e.nickname(2, "Al");
    e.say(3, b"after".to_vec());
    assert_eq!(e.waiting(), 3);
    let bind = text(&mut e);
    assert!(!bind.contains("NICKNAME"), "before the session is bound");
    receive(&mut e, answer(&bind, "200 OK"));
    let all = text(&mut e);
    let at = all.find(" NICKNAME\r\n").unwrap();
    let tid = all[..at].rsplit("MSRP ").next().unwrap();
    let request = nickname_request(tid, "\"Al\"");
    let (before, after) = all.split_once(&request).unwrap();
    let numbers = |part: &str| sends(part.as_bytes()).iter().map(|s| s.2.len()).collect::<Vec<_>>();
    assert_eq!((numbers(before), numbers(after)), (vec![50_000], vec![5]));
}

#[test]
fn without_answer_a_nickname_fails_after_30_seconds() {
    // MSRP-TXN-06
    let mut e = bound();
    e.nickname(1, "Al");
    output(&mut e, at(1000));
    assert_eq!(e.deadline(), Some(at(31_000)));
    e.wake(at(31_100));
    let told = news(&mut e);
    assert!(matches!(&told[..], [News::Refused { message: 1, code: 408, .. }]), "{told:?}");
}

/// A REPORT with this range, status and further headers.
fn report(request: &str, range: &str, status: &str, more: &str) -> String {
    let id = request.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap();
    format!(
        "MSRP rep1 REPORT\r\nTo-Path: {LOCAL}\r\nFrom-Path: {REMOTE}\r\nMessage-ID: {id}\r\n\
         Byte-Range: {range}\r\nStatus: {status}\r\n{more}-------rep1$\r\n"
    )
}

#[test]
fn deliveries_are_counted_if_asked_for_whatever_octets_a_report_names() {
    // MSRP-REP-06
    let mut e = bound();
    e.say(1, b"not counted".to_vec());
    assert!(!text(&mut e).contains("Delivery-Count"));
    e.say_counted(2, b"counted".to_vec());
    let request = text(&mut e);
    assert!(request.contains("\r\nDelivery-Count: yes\r\n"), "{request}");
    receive(&mut e, answer(&request, "200 OK"));
    assert_eq!(news(&mut e), [News::Accepted(2)]);
    let counted = |received, recipients| News::Counted { message: 2, count: Some((received, recipients)) };
    for (range, more, expected) in [
        ("1-1/7", "Delivery-Count: 0/3\r\n", Some(counted(0, 3))),
        ("2-5/7", "delivery-count:1/3\r\n", Some(counted(1, 3))),
        ("4-9/*", "X: y\r\nDELIVERY-COUNT:  3/3 \r\n", Some(counted(3, 3))),
        ("1-7/7", "Delivery-Count: unknown\r\n", Some(News::Counted { message: 2, count: None })),
        ("1-7/7", "", None),
        ("1-7/7", "Delivery-Count: 4/3\r\n", None),
        ("1-7/7", "Delivery-Count: +1/3\r\n", None),
        ("1-7/7", "Delivery-Count: 1\r\n", None),
        ("1-7/7", "Delivery-Count: /\r\n", None),
        ("1-7/7", "X-Delivery-Count: 1/3\r\n", None),
    ] {
        receive(&mut e, report(&request, range, "000 200 received", more));
        assert_eq!(news(&mut e), expected.into_iter().collect::<Vec<_>>(), "{more}");
    }
    // A failure of some octets is a failure of the message.
    receive(&mut e, report(&request, "3-3/7", "000 413 Too much", "Delivery-Count: 1/3\r\n"));
    assert!(matches!(&news(&mut e)[..], [News::Refused { message: 2, code: 413, .. }]));
}

#[test]
fn nothing_of_a_message_is_sent_again_when_a_report_says_that_it_failed() {
    // MSRP-REP-07
    let mut e = bound();
    e.say(1, vec![b'x'; 100_000]);
    let mut request = String::from_utf8(e.output().to_vec()).unwrap();
    let some = request.len();
    e.wrote(at(0), some);
    receive(&mut e, report(&request, "1-10/100000", "000 408 Late", ""));
    request.push_str(&text(&mut e));
    assert!(request.ends_with("#\r\n") && request.len() < 60_000);
    e.wake(at(29_000));
    assert_eq!(text(&mut e), "");
    assert!(matches!(&news(&mut e)[..], [News::Refused { message: 1, code: 408, .. }]));
}

#[test]
fn a_hint_wants_no_answer_and_gives_way_to_messages() {
    // COMP-01
    let mut e = bound();
    e.hint(b"typing".to_vec(), 0);
    let sent = text(&mut e);
    assert!(
        sent.contains("\r\nFailure-Report: no\r\n") && sent.contains("\r\n\r\ntyping\r\n-------"),
        "{sent}"
    );
    assert_eq!(e.deadline(), Some(at(60_000)), "only the sign of life is waited for");
    e.say(1, b"hello".to_vec());
    e.hint(b"typing".to_vec(), 0);
    let sent = text(&mut e);
    assert!(sent.contains("hello") && !sent.contains("typing"), "{sent}");
    receive(&mut e, answer(&sent, "200 OK"));
    assert_eq!(news(&mut e), [News::Accepted(1)]);
    let mut early = endpoint();
    early.hint(b"typing".to_vec(), 0);
    assert!(!text(&mut early).contains("typing"));
}

#[test]
fn a_wrapper_is_cut_as_a_whole_and_every_chunk_names_its_type() {
    // MSRP-CHUNK-12
    let mut e = bound();
    let whole = wrapped(&"x".repeat(60_000));
    e.say(1, whole.clone().into_bytes());
    let mut all = Vec::new();
    for ask in 0..3 {
        all.extend_from_slice(e.output());
        let some = e.output().len();
        e.wrote(at(0), some);
        receive(
            &mut e,
            send(
                &format!("ask{ask}"),
                "Message-ID: abcd\r\nFailure-Report: no\r\nSuccess-Report: yes\r\n",
                &wrapped("x"),
                '$',
            ),
        );
    }
    all.extend(output(&mut e, at(0)));
    let stream = String::from_utf8(all).unwrap();
    let chunks = stream.matches(" SEND\r\n").count();
    assert!(chunks > 1, "{chunks}");
    assert_eq!(stream.matches("\r\nContent-Type: message/cpim\r\n\r\n").count(), chunks);
    let reports = stream.matches(" REPORT\r\n").count();
    assert_eq!((reports, stream.matches("From: <sip:").count()), (3, 1));
    assert!(stream.find("From: <sip:").unwrap() < stream.find("-------").unwrap());
}
