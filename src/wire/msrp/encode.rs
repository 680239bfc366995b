//! Writes heads and end-lines in their canonical spelling (RFC 4975 §7.1, §9). Never touches a body.
//!
//! Everything appends to the caller's buffer and nothing else allocates. What comes from the inside of
//! the server (transaction ids, paths, Message-IDs) is written as it is; text that may stem from a
//! person loses its control characters (SEC-09), so no value can begin a line of its own.

use super::head::FailureReport;
use super::range::ByteRange;
use crate::base::chunk::Flag;
use crate::base::decimal::with_digits;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Appends a whole response. `to_path` is the leftmost From-Path URI of a SEND, or the whole From-Path
/// of any other request (RFC 4975 §7.2).
pub fn response(out: &mut Vec<u8>, tid: &[u8], code: u16, comment: &str, to_path: &[u8], from_path: &[u8]) {
    out.reserve(64 + 2 * tid.len() + comment.len() + to_path.len() + from_path.len());
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(tid);
    out.push(b' ');
    put_code(out, code);
    put_comment(out, comment);
    out.extend_from_slice(b"\r\n");
    put_paths(out, to_path, from_path);
    end_line(out, tid, Flag::End, false);
}

/// What a REPORT says (RFC 4975 §7.1.2).
#[derive(Clone, Copy, Debug)]
pub struct ReportHead<'a> {
    /// The whole From-Path of the SEND.
    pub to_path: &'a [u8],
    /// The own URI.
    pub from_path: &'a [u8],
    /// The Message-ID of the SEND.
    pub message_id: &'a [u8],
    /// The octets spoken of; the end is the real one, not `*` (MSRP-REP-04).
    pub range: ByteRange,
    /// The status, in namespace 000.
    pub code: u16,
    /// Its comment; may be empty.
    pub comment: &'a str,
    /// A message/cpim body naming From and To, for reports about private messages (RFC 7701 §6.2).
    pub cpim: Option<&'a [u8]>,
}

/// The value of Delivery-Count in a REPORT (docs/extensions.md).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryCount {
    /// So many have the message, of so many that were to get it.
    Of(u32, u32),
    /// Nobody counted.
    Unknown,
}

/// Appends a whole REPORT.
pub fn report(out: &mut Vec<u8>, tid: &[u8], r: &ReportHead<'_>) {
    counting_report(out, tid, r, None);
}

/// Appends a whole REPORT that says how many have the message.
pub fn counting_report(out: &mut Vec<u8>, tid: &[u8], r: &ReportHead<'_>, count: Option<DeliveryCount>) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(tid);
    out.extend_from_slice(b" REPORT\r\n");
    put_paths(out, r.to_path, r.from_path);
    out.extend_from_slice(b"Message-ID: ");
    out.extend_from_slice(r.message_id);
    out.extend_from_slice(b"\r\nByte-Range: ");
    r.range.write(out);
    out.extend_from_slice(b"\r\nStatus: 000 ");
    put_code(out, r.code);
    put_comment(out, r.comment);
    out.extend_from_slice(b"\r\n");
    match count {
        None => {}
        Some(DeliveryCount::Unknown) => out.extend_from_slice(b"Delivery-Count: unknown\r\n"),
        Some(DeliveryCount::Of(got, of)) => {
            out.extend_from_slice(b"Delivery-Count: ");
            put_number(out, got.into());
            out.push(b'/');
            put_number(out, of.into());
            out.extend_from_slice(b"\r\n");
        }
    }
    if let Some(cpim) = r.cpim {
        out.extend_from_slice(b"Content-Type: message/cpim\r\n\r\n");
        out.extend_from_slice(cpim);
    }
    end_line(out, tid, Flag::End, r.cpim.is_some());
}

/// The two path headers of a session: made once, written before every tail.
#[must_use]
pub fn preamble(to_path: &[u8], from_path: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(24 + to_path.len() + from_path.len());
    put_paths(&mut out, to_path, from_path);
    out.into_boxed_slice()
}

/// Appends the start line of a SEND; the preamble follows.
pub fn send_start(out: &mut Vec<u8>, tid: &[u8]) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(tid);
    out.extend_from_slice(SEND);
}

const SEND: &[u8] = b" SEND\r\n";

/// Octets behind the transaction id in what [`send_start`] appends.
pub const AFTER_TID_IN_START: usize = SEND.len();

/// Octets behind the transaction id in what [`end_line`] appends: the flag and CRLF.
pub const AFTER_TID_IN_END: usize = 3;

/// The headers of a SEND after its paths.
#[derive(Clone, Copy, Debug)]
pub struct TailHead<'a> {
    /// The message that this chunk belongs to.
    pub message_id: &'a [u8],
    /// Which octets of it.
    pub range: ByteRange,
    /// Whether answers are wanted; `Yes` is the default and not written.
    pub failure_report: FailureReport,
    /// Whether a success REPORT is wanted; `false` is the default and not written.
    pub success_report: bool,
    /// The type of the body. `None`: there is no body, and so no blank line.
    pub content_type: Option<&'a [u8]>,
}

/// Appends what stands between preamble and body, or between preamble and end-line without a body.
pub fn send_tail_head(out: &mut Vec<u8>, t: &TailHead<'_>) {
    out.extend_from_slice(b"Message-ID: ");
    out.extend_from_slice(t.message_id);
    if t.success_report {
        out.extend_from_slice(b"\r\nSuccess-Report: yes");
    }
    match t.failure_report {
        FailureReport::Yes => {}
        FailureReport::No => out.extend_from_slice(b"\r\nFailure-Report: no"),
        FailureReport::Partial => out.extend_from_slice(b"\r\nFailure-Report: partial"),
    }
    out.extend_from_slice(b"\r\nByte-Range: ");
    t.range.write(out);
    if let Some(content_type) = t.content_type {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(content_type);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole SEND. `body` is written only if `tail` names its type (MSRP-FRAME-06); the caller
/// has made sure that it does not hold the end-line of `tid` (see [`holds_end_line`]).
pub fn send(out: &mut Vec<u8>, tid: &[u8], preamble: &[u8], tail: &TailHead<'_>, body: &[u8], flag: Flag) {
    send_start(out, tid);
    out.extend_from_slice(preamble);
    send_tail_head(out, tail);
    let has_body = tail.content_type.is_some();
    if has_body {
        out.extend_from_slice(body);
    }
    end_line(out, tid, flag, has_body);
}

/// Appends an end-line; after a body the CRLF before it belongs to the framing (MSRP-FRAME-05).
pub fn end_line(out: &mut Vec<u8>, tid: &[u8], flag: Flag, after_body: bool) {
    if after_body {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"-------");
    out.extend_from_slice(tid);
    out.extend_from_slice(&[flag.octet(), b'\r', b'\n']);
}

/// Appends a whole NICKNAME request (RFC 7701 §7.1). The empty nickname is the request to remove it.
pub fn nickname(out: &mut Vec<u8>, tid: &[u8], to_path: &[u8], from_path: &[u8], nickname: &str) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(tid);
    out.extend_from_slice(b" NICKNAME\r\n");
    put_paths(out, to_path, from_path);
    out.extend_from_slice(b"Use-Nickname: \"");
    for octet in nickname.bytes() {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(printable(octet));
    }
    out.extend_from_slice(b"\"\r\n");
    end_line(out, tid, Flag::End, false);
}

/// Built once: building costs more than a search through a chat line.
static HYPHENS_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-------"));

/// Whether seven hyphens, `tid` and a flag stand anywhere in `body`: then the chunk needs another
/// transaction id (RFC 4975 §7.1, MSRP-FRAME-10).
#[must_use]
pub fn holds_end_line(body: &[u8], tid: &[u8]) -> bool {
    let is_flag = |next: Option<&u8>| next.is_some_and(|octet| Flag::from_octet(*octet).is_some());
    holds_boundary(body, tid, is_flag)
}

/// Whether seven hyphens and `tid` stand anywhere in `body`, whatever follows: then no transaction id that begins with
/// `tid` is good for the chunk.
#[must_use]
pub fn holds_end_line_of_family(body: &[u8], tid: &[u8]) -> bool {
    holds_boundary(body, tid, |_| true)
}

fn holds_boundary(body: &[u8], tid: &[u8], ends: impl Fn(Option<&u8>) -> bool) -> bool {
    let mut rest = body;
    while let Some(at) = HYPHENS_FINDER.find(rest) {
        // A transaction id begins with a letter or digit, so only the last seven hyphens of a run
        // can belong to an end-line; skipping the run keeps a body of hyphens linear.
        let after = &rest[at + 7..];
        let run = after.iter().take_while(|octet| **octet == b'-').count();
        rest = &after[run..];
        if rest.strip_prefix(tid).is_some_and(|next| ends(next.first())) {
            return true;
        }
    }
    false
}

/// Appends a number in decimal.
pub(super) fn put_number(out: &mut Vec<u8>, value: u64) {
    with_digits(value, |digits| out.extend_from_slice(digits));
}

fn put_paths(out: &mut Vec<u8>, to_path: &[u8], from_path: &[u8]) {
    out.extend_from_slice(b"To-Path: ");
    out.extend_from_slice(to_path);
    out.extend_from_slice(b"\r\nFrom-Path: ");
    out.extend_from_slice(from_path);
    out.extend_from_slice(b"\r\n");
}

/// Three digits, always: a code above 999 would be another grammar.
fn put_code(out: &mut Vec<u8>, code: u16) {
    let digit = |power: u16| b'0' + (code / power % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
}

fn put_comment(out: &mut Vec<u8>, comment: &str) {
    if !comment.is_empty() {
        out.push(b' ');
        out.extend(comment.bytes().map(printable));
    }
}

/// The octet itself, or a space for a control character.
fn printable(octet: u8) -> u8 {
    if octet < 0x20 || octet == 0x7f { b' ' } else { octet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msrp::{Framer, Kind, Step};

    const CHAT: &[u8] = b"msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp";
    const ALICE: &[u8] = b"msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp";

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn lines(text: &[&str]) -> String {
        text.iter().map(|line| format!("{line}\r\n")).collect()
    }

    #[test]
    fn a_response_is_written_as_the_worked_example() {
        // MSRP-TXN-02, MSRP-FRAME-15: I.1 F5
        let want = lines(&[
            "MSRP c8Rk2mWq9TxB 200 OK",
            "To-Path: msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp",
            "From-Path: msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp",
            "-------c8Rk2mWq9TxB$",
        ]);
        assert_eq!(written(|out| response(out, b"c8Rk2mWq9TxB", 200, "OK", ALICE, CHAT)), want);
    }

    #[test]
    fn a_bodiless_send_is_written_as_the_worked_example() {
        // MSRP-FRAME-06, MSRP-CHUNK-03: I.1 F4
        let want = lines(&[
            "MSRP c8Rk2mWq9TxB SEND",
            "To-Path: msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp",
            "From-Path: msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp",
            "Message-ID: b0Zt7yQe3Ln4",
            "Byte-Range: 1-0/0",
            "-------c8Rk2mWq9TxB$",
        ]);
        let tail = TailHead {
            message_id: b"b0Zt7yQe3Ln4",
            range: ByteRange { start: 1, end: Some(0), total: Some(0) },
            failure_report: FailureReport::Yes,
            success_report: false,
            content_type: None,
        };
        let have = written(|out| {
            send_start(out, b"c8Rk2mWq9TxB");
            out.extend_from_slice(&preamble(CHAT, ALICE));
            send_tail_head(out, &tail);
            end_line(out, b"c8Rk2mWq9TxB", Flag::End, false);
        });
        assert_eq!(have, want);
    }

    #[test]
    fn a_send_with_a_body_has_its_type_last_and_then_a_blank_line() {
        // MSRP-FRAME-05, MSRP-FRAME-12
        let want = lines(&[
            "Message-ID: y9Rb5cVo1Gt2",
            "Success-Report: yes",
            "Failure-Report: no",
            "Byte-Range: 1-*/156",
            "Content-Type: message/cpim",
            "",
            "body",
            "-------f7Ux3zAl6KqN+",
        ]);
        let tail = TailHead {
            message_id: b"y9Rb5cVo1Gt2",
            range: ByteRange { start: 1, end: None, total: Some(156) },
            failure_report: FailureReport::No,
            success_report: true,
            content_type: Some(b"message/cpim"),
        };
        let have = written(|out| {
            send_tail_head(out, &tail);
            out.extend_from_slice(b"body");
            end_line(out, b"f7Ux3zAl6KqN", Flag::More, true);
        });
        assert_eq!(have, want);
        let partial = TailHead { failure_report: FailureReport::Partial, ..tail };
        assert!(written(|out| send_tail_head(out, &partial)).contains("\r\nFailure-Report: partial\r\n"));
    }

    #[test]
    fn reports_are_written_as_the_worked_examples() {
        // MSRP-REP-02, MSRP-REP-03: I.6 F2 and F5
        let head = [
            "MSRP v8Gq2oTf5JbR REPORT",
            "To-Path: msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp",
            "From-Path: msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp",
            "Message-ID: k3Iv7eLn9Fp4",
            "Byte-Range: 1-147/147",
            "Status: 000 200 OK",
        ];
        let mut r = ReportHead {
            to_path: ALICE,
            from_path: CHAT,
            message_id: b"k3Iv7eLn9Fp4",
            range: ByteRange { start: 1, end: Some(147), total: Some(147) },
            code: 200,
            comment: "OK",
            cpim: None,
        };
        let bare = lines(&head) + "-------v8Gq2oTf5JbR$\r\n";
        assert_eq!(written(|out| report(out, b"v8Gq2oTf5JbR", &r)), bare);
        let counting = |count| written(|out| counting_report(out, b"v8Gq2oTf5JbR", &r, Some(count)));
        let with = |line: &str| lines(&head) + &lines(&[line]) + "-------v8Gq2oTf5JbR$\r\n";
        assert_eq!(counting(DeliveryCount::Of(2, 13)), with("Delivery-Count: 2/13"));
        assert_eq!(counting(DeliveryCount::Unknown), with("Delivery-Count: unknown"));
        r.cpim = Some(b"From: <sip:alice@example.com>\r\n\r\n");
        let body = [
            "Content-Type: message/cpim",
            "",
            "From: <sip:alice@example.com>",
            "",
            "",
            "-------v8Gq2oTf5JbR$",
        ];
        assert_eq!(written(|out| report(out, b"v8Gq2oTf5JbR", &r)), lines(&head) + &lines(&body));
    }

    #[test]
    fn a_nickname_is_quoted_and_escaped() {
        // I.3 F3, F6
        let value = |name: &str| {
            let text = written(|out| nickname(out, b"k7Ub1tIo6PzD", CHAT, ALICE, name));
            let (_, rest) = text.split_once("Use-Nickname: ").unwrap();
            rest.strip_suffix("\r\n-------k7Ub1tIo6PzD$\r\n").unwrap().to_owned()
        };
        assert_eq!(value("Alice \"of\" Wonderland"), r#""Alice \"of\" Wonderland""#);
        assert_eq!(value("a\\b"), r#""a\\b""#);
        assert_eq!(value(""), r#""""#);
        assert_eq!(value("a\r\nStatus: x"), r#""a  Status: x""#);
    }

    #[test]
    fn no_comment_begins_a_line_of_its_own() {
        // SEC-09
        let text = written(|out| response(out, b"abcd", 403, "no\r\nTo-Path: x\u{7f}\0", ALICE, CHAT));
        assert!(text.starts_with("MSRP abcd 403 no  To-Path: x  \r\nTo-Path: msrps://pc.alice"));
        let Ok(Step::Head { head, .. }) = Framer::default().step(text.as_bytes(), 0) else { panic!() };
        assert_eq!(head.kind, Kind::Response { code: 403, comment: b"no  To-Path: x  " });
        assert!(written(|out| response(out, b"abcd", 200, "", ALICE, CHAT)).starts_with("MSRP abcd 200\r\n"));
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 2048, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(written(|out| put_number(out, number)), number.to_string());
        }
    }

    #[test]
    fn a_body_that_holds_its_end_line_is_noticed_anywhere() {
        // MSRP-FRAME-10
        for body in [
            "-------abcd$",
            "x-------abcd+",
            "--------abcd#",
            "-------abce-------abcd$y",
            "----------abcd$\r\n",
        ] {
            assert!(holds_end_line(body.as_bytes(), b"abcd"), "{body}");
        }
        let long = "-".repeat(100_000);
        for body in [
            "",
            "abcd$",
            "------abcd$",
            "-------abcd",
            "-------abcd!",
            "-------ABCD$",
            "------- abcd$",
            &long,
        ] {
            assert!(!holds_end_line(body.as_bytes(), b"abcd"), "{body}");
        }
    }
}
