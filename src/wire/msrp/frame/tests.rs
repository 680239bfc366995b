//! What the framer must do, by requirement.

use super::*;
use crate::wire::msrp::{ByteRange, FailureReport, Kind, Method, Status};

#[path = "replay.rs"]
mod replay;

use replay::{Ending, everywhere};

const PATHS: &str =
    "To-Path: msrps://chat.example.com:2855/Yk3m;tcp\r\nFrom-Path: msrps://pc.example.com:2855/q7Wc;tcp\r\n";

/// A SEND of transaction `abcd` with these further header lines and what follows them.
fn send(rest: &str) -> Vec<u8> {
    format!("MSRP abcd SEND\r\n{PATHS}{rest}").into_bytes()
}

/// A SEND of transaction `abcd` with this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut text = send("Message-ID: m123\r\nContent-Type: text/plain\r\n\r\n");
    text.extend_from_slice(body);
    text.extend_from_slice(b"\r\n-------abcd$\r\n");
    text
}

/// The verdict on an input, in every way it may arrive.
fn verdict(input: impl AsRef<[u8]>) -> String {
    everywhere(input.as_ref()).summary()
}

/// The only message of an input, read whole.
fn only<T>(input: &[u8], look: impl FnOnce(&Head<'_>) -> T) -> T {
    everywhere(input);
    match Framer::default().step(input, 0) {
        Ok(Step::Head { head, .. }) => look(&head),
        other => panic!("{other:?}"),
    }
}

fn start(line: &str) -> String {
    verdict(format!("{line}\r\n{PATHS}-------abcd$\r\n"))
}

#[test]
fn start_lines_follow_the_grammar_to_the_letter() {
    // MSRP-FRAME-01
    assert_eq!(start("MSRP abcd SEND"), "SEND $; idle");
    assert_eq!(start("MSRP abcd 200"), "200 $; idle");
    assert_eq!(start("MSRP abcd 200 OK"), "200 $; idle");
    assert_eq!(start("MSRP abcd 200 "), "200 $; idle");
    assert_eq!(start("MSRP abcd 499 what ever \u{e4}"), "499 $; idle");
    assert_eq!(start("MSRP abcd FILE_OFFSET"), "FILE_OFFSET $; idle");
    for bad in [
        "MSRP abcd send",
        "MSRP abcd Send",
        "MSRP abcd 20",
        "MSRP abcd 20 OK",
        "MSRP abcd 2000",
        "MSRP abcd 2x0",
        "MSRP  abcd SEND",
        "MSRP abcd  SEND",
        "MSRP abcd SEND ",
        "MSRP abcd SEND x",
        "MSRP abcd ",
        "MSRP abcd",
        "MSRP ",
        "MSRP abcd 200OK",
        "MSRP abcd S3ND",
        "MSRP abcd _SEND",
    ] {
        assert_eq!(start(bad), "lost BadStartLine", "{bad}");
    }
    for foreign in
        ["msrp abcd SEND", "MSRP", "GET / HTTP/1.1", " MSRP abcd SEND", "\u{16}\u{3}\u{1}", "\n", "\rM"]
    {
        assert_eq!(start(foreign), "lost NotMsrp", "{foreign:?}");
    }
}

#[test]
fn a_foreign_protocol_is_noticed_before_its_line_ends() {
    // MSRP-FRAME-01
    for foreign in [&b"G"[..], b"\x16\x03\x01", b"MSRX", b"\n", b"\rM"] {
        assert_eq!(Framer::default().step(foreign, 0).unwrap_err(), FrameError::NotMsrp, "{foreign:?}");
    }
    for open in [&b""[..], b"M", b"MSRP", b"MSRP ", b"MSRP a", b"\r"] {
        assert!(matches!(Framer::default().step(open, 0), Ok(Step::Partial)), "{open:?}");
    }
}

#[test]
fn a_transaction_id_has_four_to_thirty_two_characters_of_its_alphabet() {
    // MSRP-FRAME-02
    let frame = |tid: &str| verdict(format!("MSRP {tid} SEND\r\n{PATHS}-------{tid}$\r\n"));
    for good in ["abcd", "ABCD", "0.-+", "a%=.", "a23456789012345678901234567890zZ"] {
        assert_eq!(frame(good), "SEND $; idle", "{good}");
    }
    for bad in
        ["abc", "a23456789012345678901234567890zZx", "-abc", ".abc", "a_cd", "ab\u{e4}d", "ab/d", "%abc"]
    {
        assert_eq!(frame(bad), "lost BadStartLine", "{bad}");
    }
}

#[test]
fn a_message_ends_with_seven_hyphens_its_own_id_and_a_flag() {
    // MSRP-FRAME-02, MSRP-FRAME-04, MSRP-FRAME-09
    for flag in ["$", "+", "#"] {
        let end = format!("-------abcd{flag}\r\n");
        assert_eq!(verdict(send(&end)), format!("SEND {flag}; idle"));
    }
    for near in [
        "------abcd$",
        "--------abcd$",
        "-------ABCD$",
        "-------abce$",
        "-------abcd",
        "-------abcd!",
        "-------abcd$ ",
        " -------abcd$",
        "-------abcd$$",
        "-------abcde$",
        "-------$",
        "-------",
    ] {
        let body = format!("{near}\r\nx");
        let whole = everywhere(&with_body(body.as_bytes()));
        assert_eq!(whole.messages[0].body.as_deref(), Some(body.as_bytes()), "{near}");
        // In the head such a line is no header.
        assert_eq!(
            verdict(send(&format!("{near}\r\n-------abcd$\r\n"))),
            "SEND fault=BadLine $; idle",
            "{near}"
        );
    }
}

#[test]
fn the_line_end_before_the_end_line_is_not_content() {
    // MSRP-FRAME-05
    for body in [&b"abc"[..], b"abc\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"abc\r"] {
        let whole = everywhere(&with_body(body));
        assert_eq!(whole.messages[0].body.as_deref(), Some(body));
        assert_eq!((whole.messages.len(), whole.ending), (1, Ending::Idle));
    }
}

#[test]
fn no_body_and_an_empty_body_are_different() {
    // MSRP-FRAME-06, MSRP-FRAME-07
    assert_eq!(verdict(send("Message-ID: m123\r\nByte-Range: 1-0/0\r\n-------abcd$\r\n")), "SEND $; idle");
    assert_eq!(verdict(with_body(b"")), "SEND body=0 $; idle");
}

#[test]
fn an_empty_body_may_lack_its_line_end_and_line_ends_may_stand_between_messages() {
    // MSRP-FRAME-08
    let empty = "Message-ID: m123\r\nContent-Type: text/plain\r\n\r\n-------abcd$\r\n";
    let mut input = b"\r\n\r\n".to_vec();
    input.extend(send(empty));
    input.extend(b"\r\n");
    input.extend(with_body(b"abc"));
    input.extend(b"\r\n\r\n\r");
    assert_eq!(verdict(input), "SEND body=0 $; SEND body=3 $; idle");
}

#[test]
fn a_body_of_near_misses_comes_out_unchanged() {
    // MSRP-FRAME-09
    let body = b"-------abcd$\r\n-------abcd\r\n-------abcd!\r\n-------abce$\r\n\r\n------abcd$\r\n\r\r\n-------\r\n-------abcd$x\r\n-------abcd$\rx -------abcd$\r\n----\r\n-------abcd$\n-------abcd+";
    let body = &body[1..];
    let whole = everywhere(&with_body(body));
    assert_eq!(whole.messages[0].body.as_deref(), Some(body));
    assert_eq!(whole.ending, Ending::Idle);
}

#[test]
fn no_length_ends_a_body() {
    // MSRP-FRAME-11
    let text = "Message-ID: m123\r\nByte-Range: 1-5/5\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n123456789\r\n-------abcd$\r\n";
    assert_eq!(verdict(send(text)), "SEND body=9 $; idle");
}

#[test]
fn a_line_that_is_no_header_is_a_fault_and_framing_goes_on() {
    // MSRP-FRAME-12, MSRP-FRAME-17
    for line in [
        " folded",
        "\tfolded",
        "no colon",
        ": no name",
        "9name: x",
        "na me: x",
        "To-Path : x",
        "n\u{e4}me: x",
    ] {
        assert_eq!(
            verdict(send(&format!("{line}\r\n-------abcd$\r\n"))),
            "SEND fault=BadLine $; idle",
            "{line}"
        );
    }
}

#[test]
fn names_and_keywords_have_no_case_and_blanks_around_values_do_not_count() {
    // MSRP-FRAME-13
    let text = "MSRP abcd SEND\r\nto-path:   a b\r\nFROM-PATH: \tc\t \r\nmessage-id:m123\r\nfailure-REPORT: NO\r\nSUCCESS-report: Yes\r\nbyte-RANGE:  1-5/*\r\ncontent-TYPE: Text/Plain\r\n\r\n12345\r\n-------abcd$\r\n";
    only(text.as_bytes(), |head| {
        assert_eq!((head.to_path, head.from_path), (&b"a b"[..], &b"c"[..]));
        assert_eq!(head.message_id, Some(&b"m123"[..]));
        assert_eq!((head.failure_report, head.success_report), (FailureReport::No, true));
        assert_eq!(head.byte_range, Some(ByteRange { start: 1, end: Some(5), total: None }));
        assert_eq!(head.content_type, Some(&b"Text/Plain"[..]));
        assert_eq!(head.fault, None);
    });
}

#[test]
fn unknown_headers_have_no_effect() {
    // MSRP-FRAME-14, MSRP-FRAME-15
    let plain = only(&send("-------abcd$\r\n"), |head| format!("{head:?}"));
    let more = only(
        &send("X-Anything: 1\r\nx-anything: 2\r\nTo-Pathology:\r\nKeep-Alive: yes\r\n-------abcd$\r\n"),
        |head| format!("{head:?}"),
    );
    assert_eq!(plain, more);
    let response = format!("MSRP abcd 200 OK\r\n{PATHS}Message-ID: m123\r\nX: y\r\n-------abcd$\r\n");
    assert_eq!(verdict(response), "200 $; idle");
}

#[test]
fn control_characters_in_the_head_lose_framing() {
    // MSRP-FRAME-16
    for octet in (0..32).chain([127]).filter(|octet| *octet != b'\t') {
        for place in ["MSRP abcd 200 a\u{1}b\r\n", "To-Path: a\u{1}b\r\n", "X: \u{1}\r\n", "X\u{1}: a\r\n"] {
            let head = match place.strip_prefix("MSRP") {
                Some(_) => format!("{place}{PATHS}-------abcd$\r\n"),
                None => format!("MSRP abcd SEND\r\n{PATHS}{place}-------abcd$\r\n"),
            };
            let input: Vec<u8> = head.bytes().map(|have| if have == 1 { octet } else { have }).collect();
            assert_eq!(verdict(&input), "lost BareControl", "{octet} {place:?}");
        }
    }
    assert_eq!(verdict(send("X: a\tb \u{e4}\r\n-------abcd$\r\n")), "SEND $; idle");
    let mut input = send("X: \u{1}\u{2}\r\n-------abcd$\r\n");
    let at = input.iter().position(|octet| *octet == 1).unwrap();
    input.splice(at..at + 2, [0xc3, 0x28]);
    assert_eq!(verdict(input), "SEND fault=NotUtf8 $; idle");
}

#[test]
fn what_is_wrong_but_framed_is_a_fault() {
    // MSRP-FRAME-17, MSRP-CHUNK-01, MSRP-CHUNK-02
    let head = |lines: &str| verdict(format!("MSRP abcd SEND\r\n{lines}-------abcd$\r\n"));
    assert_eq!(head("From-Path: b\r\n"), "SEND fault=NoToPath $; idle");
    assert_eq!(head("To-Path: \r\nFrom-Path: b\r\n"), "SEND fault=NoToPath $; idle");
    assert_eq!(head("To-Path: a\r\n"), "SEND fault=NoFromPath $; idle");
    assert_eq!(head(""), "SEND fault=NoToPath $; idle");
    let typed = |lines: &str| verdict(send(&format!("{lines}\r\nabc\r\n-------abcd+\r\n")));
    assert_eq!(typed("Message-ID: m123\r\nContent-Type: a/b\r\n"), "SEND body=3 +; idle");
    assert_eq!(typed("Content-Type: a/b\r\n"), "SEND fault=NoMessageId body=3 +; idle");
    assert_eq!(typed("Message-ID: m123\r\n"), "SEND fault=NoContentType body=3 +; idle");
    assert_eq!(typed("Message-ID: m/23\r\nContent-Type: a/b\r\n"), "SEND fault=BadMessageId body=3 +; idle");
    let lines = "Message-ID: m123\r\nByte-Range: 0-1/1\r\nContent-Type: a/b\r\n";
    assert_eq!(typed(lines), "SEND fault=BadByteRange body=3 +; idle");
    for wish in ["Failure-Report: maybe\r\n", "Success-Report: partial\r\n", "Failure-Report:\r\n"] {
        assert_eq!(
            typed(&format!("Message-ID: m123\r\nContent-Type: a/b\r\n{wish}")),
            "SEND fault=BadReportWish body=3 +; idle"
        );
    }
    // A SEND without body needs no Message-ID.
    assert_eq!(verdict(send("-------abcd$\r\n")), "SEND $; idle");
}

#[test]
fn a_doubled_header_that_steers_closes_unless_both_agree() {
    // MSRP-FRAME-17
    for (name, one, other) in [
        ("To-Path", "msrps://chat.example.com:2855/Yk3m;tcp", "msrps://b;tcp"),
        ("From-Path", "msrps://pc.example.com:2855/q7Wc;tcp", "msrps://b;tcp"),
        ("Message-ID", "m123", "m124"),
        ("Byte-Range", "1-0/0", "1-*/0"),
    ] {
        let twice = |second: &str| {
            let lines =
                format!("Message-ID: m123\r\nByte-Range: 1-0/0\r\n{name}:  {second} \r\n-------abcd$\r\n");
            verdict(send(&lines))
        };
        assert_eq!(twice(one), "SEND $; idle", "{name}");
        assert_eq!(twice(other), "lost Doubled", "{name}");
    }
    let lines = "Failure-Report: no\r\nFailure-Report: yes\r\n-------abcd$\r\n";
    assert_eq!(verdict(send(lines)), "SEND fault=DoubledHeader $; idle");
}

#[test]
fn limits_hold_to_the_octet_however_the_octets_arrive() {
    // SEC-06
    let filler = |octets: usize| format!("X: {}\r\n", "x".repeat(octets - 5));
    let line = |octets| verdict(send(&format!("{}-------abcd$\r\n", filler(octets))));
    assert_eq!(line(LINE_BYTES_MAX), "SEND $; idle");
    assert_eq!(line(LINE_BYTES_MAX + 1), "lost LineTooLong");
    let lines = |count: usize| verdict(send(&format!("{}-------abcd$\r\n", "X: y\r\n".repeat(count - 2))));
    assert_eq!(lines(HEAD_LINES_MAX), "SEND $; idle");
    assert_eq!(lines(HEAD_LINES_MAX + 1), "lost TooManyLines");
    let rest = HEAD_BYTES_MAX - send("-------abcd$\r\n").len() - LINE_BYTES_MAX;
    let head =
        |octets| verdict(send(&format!("{}{}-------abcd$\r\n", filler(LINE_BYTES_MAX), filler(octets))));
    assert_eq!(head(rest), "SEND $; idle");
    assert_eq!(head(rest + 1), "lost HeadTooLong");
    // A line without end is not waited for.
    let endless = send(&"x".repeat(LINE_BYTES_MAX + 1));
    assert_eq!(Framer::default().step(&endless, 0).unwrap_err(), FrameError::LineTooLong);
}

#[test]
fn a_body_of_any_octets_and_size_comes_out_whole() {
    // MSRP-CHUNK-13, MSRP-FRAME-18: bodies have no bound in the grammar
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let whole = everywhere(&with_body(&body));
    assert_eq!(whole.messages[0].body.as_deref(), Some(&body[..]));
}

#[test]
fn an_unfinished_body_is_given_out_up_to_what_could_be_its_end() {
    let whole = with_body(b"hello");
    let cut = whole.len() - b"\n".len();
    let mut framer = Framer::default();
    let Ok(Step::Head { body, end: None, used, .. }) = framer.step(&whole[..cut], 0) else { panic!() };
    assert_eq!(body, Some(&b"hello"[..]));
    assert!(!framer.idle());
    let Ok(Step::More { body, end, used: rest }) = framer.step(&whole[used..], 0) else { panic!() };
    assert_eq!((body, end, used + rest), (&b""[..], Some(Flag::End), whole.len()));
    assert!(framer.idle());
}

#[test]
fn a_short_unfinished_body_is_not_given_out_in_part() {
    let whole = with_body(b"hello");
    for cut in 0..whole.len() {
        assert!(matches!(Framer::default().step(&whole[..cut], 6), Ok(Step::Partial)), "{cut}");
    }
    let cut = whole.len() - 1;
    assert!(matches!(Framer::default().step(&whole[..cut], 5), Ok(Step::Head { end: None, .. })));
}

#[test]
fn messages_that_arrive_together_come_out_one_by_one() {
    // MSRP-FRAME-19
    let mut input = with_body(b"one");
    input.extend(format!("MSRP efgh 200 OK\r\n{PATHS}-------efgh$\r\n").bytes());
    input.extend(send("-------abcd#\r\n"));
    input.extend(b"MSRP ijkl");
    assert_eq!(verdict(input), "SEND body=3 $; 200 $; SEND #; begun");
}

#[test]
fn a_report_needs_a_message_and_a_status() {
    // MSRP-REP-02, MSRP-REP-03
    let report = |lines: &str| format!("MSRP abcd REPORT\r\n{PATHS}{lines}-------abcd$\r\n");
    let whole = report("Message-ID: m123\r\nByte-Range: 1-5/5\r\nStatus: 000 413 No more\r\n");
    only(whole.as_bytes(), |head| {
        assert_eq!(head.status, Some(Status { namespace: 0, code: 413, text: b"No more" }));
        assert_eq!((head.kind, head.fault), (Kind::Request(Method::Report), None));
    });
    assert_eq!(verdict(report("Message-ID: m123\r\nStatus: 001 200\r\n")), "REPORT $; idle");
    assert_eq!(verdict(report("Status: 000 200\r\n")), "REPORT fault=NoMessageId $; idle");
    assert_eq!(verdict(report("Message-ID: m123\r\n")), "REPORT fault=NoStatus $; idle");
    for bad in ["200", "000", "000 20", "00 200", "000  200", "000 2000", ""] {
        let lines = format!("Message-ID: m123\r\nStatus: {bad}\r\n");
        assert_eq!(verdict(report(&lines)), "REPORT fault=BadStatus $; idle", "{bad}");
    }
}

#[test]
fn other_methods_bring_their_own_headers() {
    let nickname = format!("MSRP abcd NICKNAME\r\n{PATHS}Use-Nickname: \"a \\\"b\\\"\"\r\n-------abcd$\r\n");
    only(nickname.as_bytes(), |head| {
        assert_eq!(head.kind, Kind::Request(Method::Nickname));
        assert_eq!(head.use_nickname, Some(&b"\"a \\\"b\\\"\""[..]));
    });
    let auth =
        "MSRP abcd AUTH\r\nTo-Path: msrps://r;tcp\r\nFrom-Path: a b c\r\nExpires: 900\r\n-------abcd$\r\n";
    only(auth.as_bytes(), |head| {
        assert_eq!(head.kind, Kind::Request(Method::Auth));
        assert_eq!((head.expires, head.first_from(), head.is_send()), (Some(&b"900"[..]), &b"a"[..], false));
    });
}

#[test]
fn a_head_or_body_that_trickles_in_is_looked_at_once() {
    // SEC-06: the state after each look says how far it looked; nothing before is looked at again.
    let whole = with_body(&[b'x'; 500]);
    let mut framer = Framer::default();
    for cut in 1..whole.len() {
        assert!(matches!(framer.step(&whole[..cut], usize::MAX), Ok(Step::Partial)));
        assert!(framer.lines.seen + CUT.len() + 4 + 2 >= cut, "{cut}: {framer:?}");
    }
}
