//! MSRP messages, and a client's way of reading them.

use openmsrp::base::chunk::Flag;
use openmsrp::wire::msrp::encode::{self, TailHead};
use openmsrp::wire::msrp::{ByteRange, FailureReport, Framer, Kind, Step};
use std::hint::black_box;

/// The transaction id of all messages; [`restamp`] gives them others of the same length.
pub(crate) const TID: &[u8] = b"bench00000000";
/// Our path.
pub(crate) const TO: &[u8] = b"msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp";
/// A client's path.
pub(crate) const FROM: &[u8] = b"msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp";

/// What stands between the paths and the body of a message of `length` octets.
fn tail_head(length: u64, has_body: bool) -> TailHead<'static> {
    TailHead {
        message_id: TID,
        range: ByteRange { start: 1, end: Some(length), total: Some(length) },
        failure_report: FailureReport::Yes,
        success_report: false,
        content_type: has_body.then_some(&b"message/cpim"[..]),
    }
}

/// A SEND with a body, or without one as the first request of a session.
pub(crate) fn request(to: &[u8], from: &[u8], body: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode::send_start(&mut out, TID);
    out.extend_from_slice(&encode::preamble(to, from));
    encode::send_tail_head(&mut out, &tail_head(body.map_or(0, <[u8]>::len) as u64, body.is_some()));
    out.extend_from_slice(body.unwrap_or_default());
    encode::end_line(&mut out, TID, Flag::End, body.is_some());
    out
}

/// Writes all of a copy but its body.
pub(crate) fn write_around(out: &mut Vec<u8>, preamble: &[u8]) {
    out.clear();
    encode::send_start(out, black_box(TID));
    out.extend_from_slice(preamble);
    encode::send_tail_head(out, &black_box(tail_head(200, true)));
    encode::end_line(out, TID, Flag::End, true);
    assert!(out.len() > 250);
}

/// A SEND from [`FROM`] to [`TO`].
pub(crate) fn send(body: &[u8]) -> Vec<u8> {
    request(TO, FROM, Some(body))
}

/// A SEND of one octet whose head has nearly as many lines as it may have.
pub(crate) fn send_with_many_headers() -> Vec<u8> {
    let mut message = send(b"x");
    let start = memchr::memchr(b'\n', &message).expect("a start line") + 1;
    message.splice(start..start, b"X-Many-Headers: y\r\n".repeat(58));
    message
}

/// The answer to a message from [`TO`].
pub(crate) fn response() -> Vec<u8> {
    let mut out = Vec::new();
    encode::response(&mut out, TID, 200, "OK", FROM, TO);
    out
}

/// A wrapped line of 200 octets, wrapper included.
pub(crate) fn chat_line() -> Vec<u8> {
    let mut body = b"From: Alice <sip:alice@example.com>\r\nTo: <sip:lobby@chat.example.com>\r\nDateTime: 2024-05-14T09:26:53Z\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n".to_vec();
    body.resize(200, b'x');
    body
}

/// Gives a message a transaction and a Message-ID of its own.
pub(crate) fn restamp(message: &mut [u8], n: u64) {
    let stamp = format!("{n:08}");
    let end = message.len() - b"$\r\n".len();
    let start = b"MSRP ".len() + TID.len();
    let id = memchr::memmem::find(message, b"Message-ID: ").expect("a Message-ID") + b"Message-ID: ".len();
    for at in [start, id + TID.len(), end] {
        message[at - stamp.len()..at].copy_from_slice(stamp.as_bytes());
    }
}

/// Reads a stream of whole messages; gives the number of messages and of body octets.
pub(crate) fn read(stream: &[u8]) -> (usize, usize) {
    let mut framer = Framer::default();
    let (mut messages, mut octets, mut rest) = (0, 0, stream);
    loop {
        match framer.step(rest, 0).expect("good framing") {
            Step::Partial => break,
            Step::Skip { used } => rest = &rest[used..],
            Step::Head { head, body, end, used } => {
                assert!(head.fault.is_none() && end.is_some());
                messages += 1;
                octets += body.map_or(0, <[u8]>::len);
                rest = &rest[used..];
            }
            Step::More { .. } => unreachable!("whole messages only"),
        }
    }
    assert!(rest.is_empty() && framer.idle());
    (messages, octets)
}

/// Reads a stream that arrives in pieces of `piece` octets; gives the number of body octets.
pub(crate) fn trickle(stream: &[u8], piece: usize, part_min: usize) -> usize {
    let mut framer = Framer::default();
    let (mut octets, mut from, mut to) = (0, 0, 0);
    while to < stream.len() {
        to = (to + piece).min(stream.len());
        loop {
            match framer.step(&stream[from..to], part_min).expect("good framing") {
                Step::Partial => break,
                Step::Skip { used } => from += used,
                Step::Head { body, used, .. } => {
                    octets += body.map_or(0, <[u8]>::len);
                    from += used;
                }
                Step::More { body, used, .. } => {
                    octets += body.len();
                    from += used;
                }
            }
        }
    }
    assert!(from == stream.len() && framer.idle());
    octets
}

/// Whether `octets` are SENDs whose bodies together are `body`.
pub(crate) fn read_bodies(octets: &[u8], body: &[u8]) -> bool {
    let mut framer = Framer::default();
    let (mut rest, mut left) = (octets, body);
    while !rest.is_empty() {
        let (part, used) = match framer.step(rest, 0).expect("good framing") {
            Step::Head { head, body, used, .. } => {
                assert!(head.fault.is_none() && matches!(head.kind, Kind::Request(_)));
                (body.unwrap_or_default(), used)
            }
            Step::More { body, used, .. } => (body, used),
            Step::Partial | Step::Skip { .. } => return false,
        };
        let Some(after) = left.strip_prefix(part) else { return false };
        (left, rest) = (after, &rest[used..]);
    }
    left.is_empty() && framer.idle()
}
