//! A naive MSRP reader, written from the grammar without regard to cost, against the fast one: the same
//! messages, bodies, faults and errors must come out of any input, also broken ones, however it arrives.
//!
//! The twin knows no limits on lines and heads; inputs stay far below them.

use openmsrp::base::chunk::Flag;
use openmsrp::wire::msrp::answer::plain_ok;
use openmsrp::wire::msrp::{
    ByteRange, FailureReport, FrameError, Framer, Head, HeadFault, Kind, Method, Status, Step,
};
use proptest::prelude::*;

#[allow(dead_code, reason = "shared with tests that sum up")]
#[path = "../src/wire/msrp/frame/replay.rs"]
mod replay;

use replay::{Ending, Message, Replay};

// ---- the twin ---------------------------------------------------------------------------------

/// Reads everything that is there.
fn naive(input: &[u8]) -> Replay {
    let mut messages = Vec::new();
    let mut rest = input;
    loop {
        while rest.starts_with(b"\r\n") {
            rest = &rest[2..];
        }
        if rest.is_empty() || rest == b"\r" {
            return Replay { messages, ending: Ending::Idle };
        }
        match naive_message(rest) {
            Err(why) => return Replay { messages, ending: Ending::Lost(why) },
            Ok(None) => return Replay { messages, ending: Ending::Begun },
            Ok(Some((message, used))) => {
                let ended = message.end.is_some();
                messages.push(message);
                if !ended {
                    return Replay { messages, ending: Ending::Begun };
                }
                rest = &rest[used..];
            }
        }
    }
}

/// One message from the beginning; `None` if its head is not whole.
fn naive_message(input: &[u8]) -> Result<Option<(Message, usize)>, FrameError> {
    let common = input.len().min(5);
    if input[..common] != b"MSRP "[..common] {
        return Err(FrameError::NotMsrp);
    }
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    let mut tid: &[u8] = b"";
    let mut bodiless = None;
    loop {
        let Some(length) = input[at..].iter().position(|octet| *octet == b'\n') else { return Ok(None) };
        let line = &input[at..at + length];
        if line.last() != Some(&b'\r') {
            return Err(FrameError::BareControl);
        }
        let line = &line[..line.len() - 1];
        at += length + 1;
        if lines.is_empty() {
            tid = naive_start(line)?.0;
        } else if line.is_empty() {
            break;
        } else if let Some((_, flag)) = end_lines(tid).into_iter().find(|(end, _)| end[..] == *line) {
            bodiless = Some(flag);
            break;
        }
        lines.push(line);
    }
    if lines.concat().iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(FrameError::BareControl);
    }
    let head = naive_head(&lines, bodiless.is_none())?;
    let message = replay::begun(&head);
    if bodiless.is_some() {
        return Ok(Some((Message { end: bodiless, ..message }, at)));
    }
    let (body, end, used) = naive_body(input, at, tid);
    Ok(Some((Message { body: Some(body), end, ..message }, used)))
}

/// What ends a message of this transaction.
fn end_lines(tid: &[u8]) -> [(Vec<u8>, Flag); 3] {
    [Flag::End, Flag::More, Flag::Abort].map(|flag| {
        let mut line = b"-------".to_vec();
        line.extend_from_slice(tid);
        line.push(flag.octet());
        (line, flag)
    })
}

/// The body that begins at `start`; the CRLF right before it may belong to the end-line.
fn naive_body(input: &[u8], start: usize, tid: &[u8]) -> (Vec<u8>, Option<Flag>, usize) {
    let ends = end_lines(tid).map(|(line, flag)| ([b"\r\n", &line[..], b"\r\n"].concat(), flag));
    for at in start - 2..input.len() {
        let body = || input[start..at.max(start)].to_vec();
        for (end, flag) in &ends {
            if input[at..].starts_with(end) {
                return (body(), Some(*flag), at + end.len());
            }
        }
        if ends.iter().any(|(end, _)| end.starts_with(&input[at..])) {
            return (body(), None, at);
        }
    }
    (input[start..].to_vec(), None, input.len())
}

fn naive_ident(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    (4..=32).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || ".-+%=".contains(one))
}

fn naive_start(line: &[u8]) -> Result<(&[u8], Kind<'_>), FrameError> {
    let mut words = line.splitn(3, |octet| *octet == b' ');
    if words.next() != Some(b"MSRP") || line.len() == 4 {
        return Err(FrameError::NotMsrp);
    }
    let (Some(tid), Some(what)) = (words.next(), words.next()) else { return Err(FrameError::BadStartLine) };
    let kind = match what {
        b"SEND" => Kind::Request(Method::Send),
        b"REPORT" => Kind::Request(Method::Report),
        b"NICKNAME" => Kind::Request(Method::Nickname),
        b"AUTH" => Kind::Request(Method::Auth),
        _ => match naive_code(what) {
            Some((code, comment)) => Kind::Response { code, comment },
            None if !what.is_empty()
                && what[0] != b'_'
                && what.iter().all(|octet| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_".contains(octet)) =>
            {
                Kind::Request(Method::Other(what))
            }
            None => return Err(FrameError::BadStartLine),
        },
    };
    if naive_ident(tid) { Ok((tid, kind)) } else { Err(FrameError::BadStartLine) }
}

/// Three digits, then nothing, or a blank and anything.
fn naive_code(text: &[u8]) -> Option<(u16, &[u8])> {
    let mut parts = text.splitn(2, |octet| *octet == b' ');
    let digits = std::str::from_utf8(parts.next()?).ok()?;
    let good = digits.len() == 3 && digits.chars().all(|digit| digit.is_ascii_digit());
    good.then(|| (digits.parse().unwrap(), parts.next().unwrap_or_default()))
}

const KNOWN: [&str; 10] = [
    "to-path",
    "from-path",
    "message-id",
    "byte-range",
    "failure-report",
    "success-report",
    "content-type",
    "status",
    "use-nickname",
    "expires",
];

fn naive_trim(value: &[u8]) -> &[u8] {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let Some(first) = value.iter().position(|octet| !blank(octet)) else { return &value[..0] };
    let last = value.iter().rposition(|octet| !blank(octet)).unwrap();
    &value[first..=last]
}

fn naive_head<'b>(lines: &[&'b [u8]], body: bool) -> Result<Head<'b>, FrameError> {
    let (tid, kind) = naive_start(lines[0])?;
    let mut faults = Vec::new();
    let mut fields: Vec<(String, &'b [u8])> = Vec::new();
    let mut doubled = false;
    for line in &lines[1..] {
        let colon = line.iter().position(|octet| *octet == b':').unwrap_or(0);
        let token = |octet: &u8| octet.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(octet);
        if colon == 0 || !line[0].is_ascii_alphabetic() || !line[..colon].iter().all(token) {
            faults.push(HeadFault::BadLine);
            continue;
        }
        let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
        let value = naive_trim(&line[colon + 1..]);
        let Some(place) = KNOWN.iter().position(|known| *known == name) else { continue };
        match fields.iter().find(|(earlier, _)| *earlier == name) {
            Some((_, earlier)) if *earlier == value => {}
            Some(_) if place < 4 => doubled = true,
            Some(_) => faults.push(HeadFault::DoubledHeader),
            None => fields.push((name, value)),
        }
    }
    if doubled {
        return Err(FrameError::Doubled);
    }
    // A broken character in any line, the start line's comment included, outranks what values say,
    // but not a line that was seen to be no header before.
    if std::str::from_utf8(&lines.join(&b"\n"[..])).is_err() {
        faults.push(HeadFault::NotUtf8);
    }
    let get = |name: &str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| *value);
    let word = |name: &str| get(name).map(|value| String::from_utf8_lossy(value).to_lowercase());
    let failure_report = match word("failure-report").as_deref() {
        None | Some("yes") => Some(FailureReport::Yes),
        Some("no") => Some(FailureReport::No),
        Some("partial") => Some(FailureReport::Partial),
        Some(_) => None,
    };
    let success_report = match word("success-report").as_deref() {
        None | Some("no") => Some(false),
        Some("yes") => Some(true),
        Some(_) => None,
    };
    let byte_range = get("byte-range").map(naive_range);
    let status = get("status").map(|value| {
        let (namespace, rest) = naive_code(value)?;
        let (code, text) = naive_code(rest)?;
        Some(Status { namespace, code, text })
    });
    let empty = |name: &str| get(name).unwrap_or_default().is_empty();
    let is = |method| kind == Kind::Request(method);
    let message_id = get("message-id");
    let mut check = |wrong: bool, fault| faults.extend(wrong.then_some(fault));
    check(empty("to-path"), HeadFault::NoToPath);
    check(empty("from-path"), HeadFault::NoFromPath);
    check(message_id.is_none() && (is(Method::Report) || is(Method::Send) && body), HeadFault::NoMessageId);
    check(message_id.is_some_and(|id| !naive_ident(id)), HeadFault::BadMessageId);
    check(byte_range == Some(None), HeadFault::BadByteRange);
    check(failure_report.is_none() || success_report.is_none(), HeadFault::BadReportWish);
    check(is(Method::Report) && status.is_none(), HeadFault::NoStatus);
    check(status == Some(None), HeadFault::BadStatus);
    check(body && empty("content-type"), HeadFault::NoContentType);
    Ok(Head {
        tid,
        kind,
        to_path: get("to-path").unwrap_or_default(),
        from_path: get("from-path").unwrap_or_default(),
        message_id,
        byte_range: byte_range.flatten(),
        failure_report: failure_report.unwrap_or_default(),
        success_report: success_report.unwrap_or_default(),
        content_type: get("content-type"),
        status: status.flatten(),
        use_nickname: get("use-nickname"),
        delivery_count: get("delivery-count"),
        expires: get("expires"),
        fault: faults.first().copied(),
    })
}

fn naive_range(value: &[u8]) -> Option<ByteRange> {
    let text = std::str::from_utf8(value).ok()?;
    let (start, rest) = text.split_once('-')?;
    let (end, total) = rest.split_once('/')?;
    let number = |text: &str| -> Option<u128> {
        let digits = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
        // More digits than any sane number has leading zeros or is too large; the generator makes neither.
        digits.then(|| text.parse().unwrap_or(u128::MAX)).filter(|value| *value <= 1 << 63)
    };
    let or_star = |text: &str| if text == "*" { Some(None) } else { number(text).map(Some) };
    let (start, end, total) = (number(start)?, or_star(end)?, or_star(total)?);
    let good = start >= 1
        && end.is_none_or(|end| end + 1 >= start)
        && total.is_none_or(|total| start <= total + 1)
        && (end.is_none() || total.is_none() || end <= total);
    let short = |value: u128| u64::try_from(value).unwrap();
    good.then(|| ByteRange { start: short(start), end: end.map(short), total: total.map(short) })
}

// ---- inputs -----------------------------------------------------------------------------------

const TIDS: [&str; 4] = ["abcd", "a1b2c3d4", "a---", "0.-+%=zZ"];

const STARTS: [&str; 12] = [
    "SEND",
    "SEND",
    "SEND",
    "SEND",
    "REPORT",
    "NICKNAME",
    "AUTH",
    "PONDER",
    "200 OK",
    "200",
    "481 No \u{e4}",
    "send",
];

const LINES: [&str; 34] = [
    "To-Path: msrp://a:1/s;tcp",
    "From-Path: msrp://b:2/t;tcp msrp://c:3/u;tcp",
    "to-path:  msrp://a:1/s;tcp ",
    "To-Path: msrp://other:1/s;tcp",
    "From-Path:",
    "Message-ID: m123",
    "message-id:m123",
    "Message-ID: m/1",
    "Byte-Range: 1-0/0",
    "Byte-Range: 1-5/5",
    "Byte-Range: 7-*/*",
    "Byte-Range: 0-1/1",
    "byte-range: 5-3/9",
    "Failure-Report: no",
    "Failure-Report: PARTIAL",
    "Failure-Report: perhaps",
    "Success-Report: yes",
    "Success-Report: nay",
    "Content-Type: text/plain",
    "content-TYPE: message/cpim;x=y",
    "Status: 000 200 OK",
    "Status: 200",
    "Use-Nickname: \"a\\\"b\"",
    "Expires: 900",
    "X-Anything: \t 1 ",
    " folded",
    "no colon",
    ": no name",
    "-------abcd",
    "-------zzzz$",
    "-------abcd$",
    "X: \u{e4}",
    "X: \u{7f}",
    "X: a\rb",
];

const CONTENT: [&str; 14] = [
    "a",
    "hello",
    "\r",
    "\n",
    "\r\n",
    "-",
    "-------",
    "\r\n-------",
    "abcd",
    "a1b2c3d4",
    "a---",
    "$",
    "+\r\n",
    "\r\n-------abcd",
];

/// The lines that a good message has, now and then with others.
fn head_lines() -> impl Strategy<Value = Vec<&'static str>> {
    let good = Just(vec![LINES[0], LINES[1], LINES[5], LINES[18]]);
    let more = prop::collection::vec(prop::sample::select(&LINES[..]), 0..4);
    let few = prop::collection::vec(prop::sample::select(&LINES[..25]), 0..4);
    prop_oneof![
        2 => good.clone(),
        4 => (good.clone(), few).prop_map(|(good, few)| [good, few].concat()),
        2 => (good, more.clone()).prop_map(|(good, more)| [good, more].concat()),
        1 => more,
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let content =
        prop::collection::vec(prop::sample::select(&CONTENT[..]), 0..8).prop_map(|parts| parts.concat());
    let body = prop::option::weighted(0.7, content);
    let ends = prop::sample::select(&["$\r\n", "$\r\n", "+\r\n", "#\r\n", "$\r\n\r\n", "", "$\n"][..]);
    let (tid, start) = (prop::sample::select(&TIDS[..]), prop::sample::select(&STARTS[..]));
    (tid, start, head_lines(), body, any::<bool>(), ends).prop_map(|(tid, start, lines, body, crlf, end)| {
        let mut text = format!("MSRP {tid} {start}\r\n");
        lines.iter().for_each(|line| text += &format!("{line}\r\n"));
        if let Some(body) = body {
            text += &format!("\r\n{body}{}", if crlf { "\r\n" } else { "" });
        }
        (text + "-------" + tid + end).into_bytes()
    })
}

/// A change somewhere: an octet replaced, removed or put in, or a stretch repeated.
fn mutate(input: &mut Vec<u8>, change: (usize, u8, u8)) {
    if input.is_empty() {
        return;
    }
    let at = change.0 % input.len();
    match change.1 % 5 {
        0 => input[at] = change.2,
        1 => drop(input.remove(at)),
        2 => input.insert(at, b"\r\n- $\0:"[usize::from(change.2) % 7]),
        3 => input.truncate(at),
        _ => {
            let end = (at + usize::from(change.2)).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
    }
}

fn finished(replay: &Replay) -> (Vec<Message>, Ending) {
    (replay.messages.iter().filter(|one| one.end.is_some()).cloned().collect(), replay.ending)
}

fn agree(input: &[u8], cuts: &[usize]) {
    let want = naive(input);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    let pieces = || cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]);
    assert_eq!(replay::replay([input], 0), want, "whole");
    assert_eq!(replay::replay(pieces(), 0), want, "in pieces {cuts:?}");
    // An unfinished body may be withheld, head and all; what is finished may not.
    for part_min in [1, 5, usize::MAX] {
        assert_eq!(finished(&replay::replay(pieces(), part_min)), finished(&want), "{part_min} {cuts:?}");
    }
    assert_eq!(replay::replay(input.chunks(1), 0), want, "octet by octet");
}

/// What is known without reading is read as the same.
fn known(input: &[u8]) {
    let Some(used) = plain_ok(input) else { return };
    let (whole, rest) = input.split_at(used);
    let Ok(Step::Head { head, body: None, end: Some(Flag::End), used: read }) =
        Framer::default().step(input, 0)
    else {
        panic!("{whole:?} is read as something else")
    };
    assert!(matches!(head.kind, Kind::Response { code: 200, .. }));
    assert_eq!(read, used, "{rest:?} follows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_reader_agrees_with_its_twin_on_messages(
        messages in prop::collection::vec(message(), 1..4),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        agree(&messages.concat(), &cuts);
    }

    #[test]
    fn the_fast_reader_agrees_with_its_twin_on_broken_messages(
        messages in prop::collection::vec(message(), 1..3),
        changes in prop::collection::vec(any::<(usize, u8, u8)>(), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut input = messages.concat();
        changes.into_iter().for_each(|change| mutate(&mut input, change));
        agree(&input, &cuts);
    }

    #[test]
    fn a_plain_answer_is_known_only_if_the_reader_reads_it_as_one(
        changes in prop::collection::vec(any::<(usize, u8, u8)>(), 0..3),
        more in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut input = b"MSRP a786hjs2Kq4Z 200 OK\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;tcp\r\n\
            -------a786hjs2Kq4Z$\r\n".to_vec();
        prop_assert_eq!(plain_ok(&input), Some(input.len()));
        changes.into_iter().for_each(|change| mutate(&mut input, change));
        input.extend(more);
        known(&input);
    }
}

#[test]
fn the_fast_reader_agrees_with_its_twin_on_what_fuzzing_found() {
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-kept/msrp_frame");
    for entry in std::fs::read_dir(kept).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        let short = &input[..input.len().min(4096)];
        // The twin knows no limits.
        let many = Ending::Lost(FrameError::TooManyLines);
        if replay::replay([short], 0).ending == many {
            continue;
        }
        agree(short, &[short.len() / 3, short.len() / 2]);
    }
}

#[test]
fn the_twin_itself_reads_a_plain_message() {
    let text = b"MSRP abcd SEND\r\nTo-Path: a\r\nFrom-Path: b\r\nMessage-ID: m123\r\nContent-Type: a/b\r\n\r\nhi\r\n-------abcd+\r\n";
    assert_eq!(naive(text).summary(), "SEND body=2 +; idle");
    assert_eq!(naive(&text[..text.len() - 1]).summary(), "SEND body=2 open; begun");
}
