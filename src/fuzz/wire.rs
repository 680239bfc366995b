//! MSRP and SIP as they arrive: a stream means the same however it is cut, and what was read and written
//! again is the same.

use super::cuts;
use crate::base::chunk::Flag;
use crate::base::limits;
use crate::focus::signalling::Request;
use crate::focus::stream::{self, Step as SipStep};
use crate::focus::strict::{self, Message};
use crate::wire::msrp::uri::{self, only_session_id};
use crate::wire::msrp::{ByteRange, FrameError, Framer, MsrpUri, Step};
use std::net::SocketAddr;

/// One MSRP message as it came out of a framer, parts joined.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Frame {
    head: String,
    tid: Vec<u8>,
    /// Where the body begins in the input.
    start: usize,
    body: Option<Vec<u8>>,
    end: Option<Flag>,
}

/// Feeds the pieces one after the other.
fn frames<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    part_min: usize,
) -> (Vec<Frame>, Result<bool, FrameError>) {
    let (mut framer, mut buf, mut gone) = (Framer::default(), Vec::new(), 0);
    let mut found: Vec<Frame> = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let used = match framer.step(&buf, part_min) {
                Err(why) => return (found, Err(why)),
                Ok(Step::Partial) => break,
                Ok(Step::Skip { used }) => used,
                Ok(Step::Head { head, body, end, used }) => {
                    assert!(found.last().is_none_or(|last| last.end.is_some()), "a head inside a body");
                    assert!(end.is_some() || body.is_some_and(|body| body.len() >= part_min), "a short part");
                    let start =
                        body.map_or(0, |body| gone + (body.as_ptr() as usize - buf.as_ptr() as usize));
                    let body = body.map(<[u8]>::to_vec);
                    let tid = head.tid.to_vec();
                    found.push(Frame { head: format!("{head:?}"), tid, start, body, end });
                    used
                }
                Ok(Step::More { body, end, used }) => {
                    assert!(end.is_some() || body.len() >= part_min.max(1), "a short part");
                    let open = found.last_mut().filter(|last| last.end.is_none() && last.body.is_some());
                    assert!(open.is_some(), "a part without a head");
                    if let Some(open) = open {
                        open.body.iter_mut().for_each(|all| all.extend_from_slice(body));
                        open.end = end;
                    }
                    used
                }
            };
            assert!(used > 0 && used <= buf.len(), "no progress");
            buf.drain(..used);
            gone += used;
        }
    }
    (found, Ok(framer.idle()))
}

/// Where a body that begins at `start` ends, by the plainest search: at the first CRLF, hyphens, transaction
/// id, flag and CRLF, of which the first CRLF may be the blank line's.
fn naive_end(input: &[u8], start: usize, tid: &[u8]) -> Option<usize> {
    (start - 2..input.len()).find(|at| {
        let rest = input[*at..].strip_prefix(b"\r\n-------").and_then(|rest| rest.strip_prefix(tid));
        matches!(rest, Some([b'$' | b'+' | b'#', b'\r', b'\n', ..]))
    })
}

/// Finding messages: the same events whole, cut in two, and octet by octet; bodies end where a naive search
/// says. Reads 64 KiB.
pub fn msrp_frame(octets: &[u8]) {
    let input = &octets[..octets.len().min(64 * 1024)];
    let (whole, ending) = frames([input], 0);
    for frame in &whole {
        let Some(body) = &frame.body else { continue };
        let end = naive_end(input, frame.start, &frame.tid).map(|at| at.max(frame.start) - frame.start);
        assert_eq!(end, frame.end.map(|_| body.len()), "a body ends elsewhere");
    }
    let finished = |all: &[Frame]| all.iter().filter(|f| f.end.is_some()).cloned().collect::<Vec<_>>();
    let same = |(found, how): (Vec<Frame>, _), part_min: usize| {
        assert_eq!(how, ending);
        // An unfinished body may be withheld, head and all; what is finished may not.
        if part_min == 0 {
            assert_eq!(found, whole);
        } else {
            assert_eq!(finished(&found), finished(&whole));
        }
    };
    for part_min in [0, 7, limits::PART_BYTES_MIN] {
        for at in cuts(input.len(), 24) {
            same(frames([&input[..at], &input[at..]], part_min), part_min);
        }
        same(frames(input.chunks(1), part_min), part_min);
        same(frames(input.chunks(3), part_min), part_min);
    }
}

/// URIs, paths and ranges: what was read and written again is the same; comparing is symmetric. Reads 1 KiB,
/// two URIs apart by a line feed.
pub fn msrp_uri_range(octets: &[u8]) {
    let input = &octets[..octets.len().min(1024)];
    let mut lines = input.split(|octet| *octet == b'\n');
    let (one, other) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (left, right) = (MsrpUri::parse(one), MsrpUri::parse(other));
    if let Ok(uri) = &left {
        assert!(uri.same(uri), "not the same as itself");
        assert!(!uri.host.is_empty() && !uri.transport.is_empty() && !one.contains(&b' '));
        assert_eq!(only_session_id(one), uri.session_id);
        assert!(uri::path(one).eq([one]));
        if let Ok(other) = &right {
            assert_eq!(uri.same(other), other.same(uri), "one-sided");
            let two = [one, b" ", lines.next().unwrap_or(one)].concat();
            assert!(only_session_id(&two).is_none() || uri::path(&two).count() == 1);
        }
    }
    for text in [one, other, input] {
        let Some(range) = ByteRange::parse(text) else { continue };
        let mut written = Vec::new();
        range.write(&mut written);
        assert_eq!(ByteRange::parse(&written), Some(range));
        assert!(written.len() <= text.len(), "longer than what was read");
        let (end, total) = (range.end.unwrap_or(range.start - 1), range.total.unwrap_or(u64::MAX));
        assert!(range.start >= 1 && end + 1 >= range.start && end <= total && range.start - 1 <= total);
    }
}

/// What came out of a SIP stream.
fn sip_events<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<(Vec<u8>, &'static str)> {
    let (mut buffer, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let used = match stream::step(&buffer) {
                SipStep::Wait => break,
                SipStep::Skip(used) => used,
                SipStep::Ping(used) => {
                    events.push((Vec::new(), "ping"));
                    used
                }
                SipStep::Message(used) => {
                    events.push((buffer[..used].to_vec(), "message"));
                    used
                }
                SipStep::Broken(why, head) => {
                    events.push((buffer[..head].to_vec(), why));
                    return events;
                }
            };
            assert!(used > 0 && used <= buffer.len(), "no progress");
            buffer.drain(..used);
        }
    }
    events
}

/// SIP: a stream means the same however it is cut; a sound message written anew is sound and the same; a
/// refusal is one whole message. Reads 16 KiB.
pub fn sip(octets: &[u8]) {
    let input = &octets[..octets.len().min(16 * 1024)];
    let whole = sip_events([input]);
    for at in cuts(input.len(), 24) {
        assert_eq!(sip_events([&input[..at], &input[at..]]), whole, "cut at {at}");
    }
    assert_eq!(sip_events(input.chunks(input.len() / 1024 + 1)), whole, "in little pieces");
    sip_message(input);
    for (message, _) in whole.iter().filter(|(_, what)| *what != "ping") {
        sip_message(message);
    }
}

fn sip_message(raw: &[u8]) {
    match strict::read(raw) {
        Ok(Message::Request(request)) => {
            let start = format!("{} {} SIP/2.0", request.method, request.uri);
            let written = strict::encode(&start, &request.headers, &request.body);
            assert_eq!(stream::step(&written), SipStep::Message(written.len()), "not one message");
            let again = strict::read(&written);
            let Ok(Message::Request(again)) = again else {
                assert!(again.is_ok(), "unsound once written: {again:?}");
                return;
            };
            assert_eq!(canonical(&again), canonical(&request));
        }
        Ok(Message::Response { code, headers, body }) => {
            let written = strict::encode(&format!("SIP/2.0 {code} x"), &headers, &body);
            assert_eq!(stream::step(&written), SipStep::Message(written.len()), "not one message");
            assert!(
                matches!(strict::read(&written), Ok(Message::Response { code: same, .. }) if same == code)
            );
        }
        Err(fault) => {
            assert!((400..700).contains(&fault.code));
            if let Some((answer, _)) = fault.answer(SocketAddr::from(([192, 0, 2, 1], 5060))) {
                assert_eq!(stream::step(&answer), SipStep::Message(answer.len()), "not one message");
            }
        }
    }
}

/// All of a request but its Content-Length, which is written anew.
fn canonical(request: &Request) -> (String, &str, Vec<(&str, &str)>, &[u8]) {
    let headers = request.headers.iter().filter(|(name, _)| *name != "Content-Length").collect();
    (request.method.to_string(), &request.uri, headers, &request.body)
}
