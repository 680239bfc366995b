//! One part of a message as it is written: what all copies have in common rendered once, and queued for one
//! member after the other.
//!
//! Touches: outbound queues on this shard. Bounds: those of the queues, asked by the caller.
//! Proved by: `tests/switch.rs`; `benches/fan_out.rs`.

use super::Member;
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::decimal::with_digits;
use crate::base::entropy::Entropy;
use crate::base::id::Token;
use crate::base::limits;
use crate::room::effect::Ask;
use crate::shard::conns::{Conn, Conns};
use crate::wire::msrp::encode;
use crate::wire::msrp::head::FailureReport;
use crate::wire::msrp::range::ByteRange;
use bytes::Bytes;
use smallvec::SmallVec;

/// Octets of a part: in the receive buffer, or shared.
#[derive(Debug)]
pub enum Body<'a> {
    /// In the receive buffer.
    Borrowed(&'a [u8]),
    /// Shared between queues.
    Shared(Bytes),
}

impl AsRef<[u8]> for Body<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(b) => b,
            Self::Shared(b) => b,
        }
    }
}

impl Body<'_> {
    fn share(&self) -> Bytes {
        match self {
            Self::Borrowed(b) => Bytes::copy_from_slice(b),
            Self::Shared(b) => b.clone(),
        }
    }
}

/// Buffers for what all copies of a part have in common; one per shard, reused.
#[derive(Debug, Default)]
pub struct Scratch {
    start: Vec<u8>,
    /// Headers, body and end-line; without body and end-line if the body is shared.
    tail: Vec<u8>,
    /// The end-line alone.
    end: Vec<u8>,
}

/// A transaction identifier whose end-line the body does not hold, nor that of any that begins with it (MSRP-FRAME-10).
pub(super) fn fresh_tid(entropy: &mut Entropy, body: &[u8]) -> Token {
    loop {
        let tid = entropy.token();
        if !encode::holds_end_line_of_family(body, tid.as_bytes()) {
            return tid;
        }
    }
}

/// A line with the identifier of one copy: the common `line`, whose identifier ends at `at`, with a dot and the number
/// of the member behind that.
fn own_line(line: &[u8], at: usize, slot: u32) -> SmallVec<[u8; 64]> {
    let (before, after) = line.split_at(at);
    let mut own = SmallVec::from_slice(before);
    own.push(b'.');
    with_digits(slot.into(), |digits| own.extend_from_slice(digits));
    own.extend_from_slice(after);
    own
}

/// The common identifier of the copies that one of them answers.
#[must_use]
pub fn common_tid(tid: &[u8]) -> Option<Token> {
    let (common, own) = tid.split_first_chunk::<{ Token::LEN }>()?;
    (own.is_empty() || own[0] == b'.').then_some(Token(*common))
}

/// Ends one member's copy of a message with `#`.
pub(super) fn end_early(
    now: Now,
    conns: &mut Conns,
    entropy: &mut Entropy,
    member: &Member,
    id: Token,
    start: u64,
    total: Option<u64>,
) {
    let tid = entropy.token();
    let chunk = Chunk { start, total, body: Body::Borrowed(b""), flag: Flag::Abort };
    let tail = tail_head(&id, Ask::Nothing, &chunk);
    conns.push_with(now, member.conn, |out| {
        encode::send(out, tid.as_bytes(), &member.preamble, &tail, b"", Flag::Abort);
    });
}

/// The headers behind the paths.
fn tail_head<'a>(id: &'a Token, ask: Ask, chunk: &Chunk<Body<'_>>) -> encode::TailHead<'a> {
    let len = chunk.body.as_ref().len() as u64;
    // A range-end is a promise only where the part is short; longer parts are interruptible and say
    // `*` (RFC 4975 §7.1.1).
    let end = (len <= 2048).then_some(chunk.start - 1 + len);
    encode::TailHead {
        message_id: id.as_bytes(),
        range: ByteRange { start: chunk.start, end, total: chunk.total },
        failure_report: match ask {
            Ask::Nothing => FailureReport::No,
            Ask::Errors => FailureReport::Partial,
            Ask::All => FailureReport::Yes,
        },
        success_report: false,
        content_type: Some(b"message/cpim"),
    }
}

/// What all copies of a part have in common, rendered.
pub(super) struct Part<'s> {
    start: &'s [u8],
    /// Headers, body, end-line; or headers only if `shared`.
    tail: &'s [u8],
    end: &'s [u8],
    shared: Option<Bytes>,
    /// Octets of a copy without its preamble.
    pub(super) len: usize,
}

impl<'s> Part<'s> {
    pub(super) fn render(
        scratch: &'s mut Scratch,
        tid: Token,
        id: Token,
        ask: Ask,
        chunk: &Chunk<Body<'_>>,
    ) -> Self {
        let body = chunk.body.as_ref();
        let Scratch { start, tail, end } = scratch;
        for buffer in [&mut *start, &mut *tail, &mut *end] {
            buffer.clear();
        }
        encode::send_start(start, tid.as_bytes());
        encode::end_line(end, tid.as_bytes(), chunk.flag, true);
        encode::send_tail_head(tail, &tail_head(&id, ask, chunk));
        let shared = (body.len() > limits::COPY_BYTES_MAX).then(|| chunk.body.share());
        if shared.is_none() {
            tail.extend_from_slice(body);
            tail.extend_from_slice(end);
        }
        let around = if shared.is_some() { body.len() + end.len() } else { 0 };
        let len = start.len() + tail.len() + around;
        Part { start, tail, end, shared, len }
    }

    pub(super) fn queue(&self, now: Now, conns: &mut Conns, member: &Member) {
        if conns.get(member.conn).is_some_and(Conn::is_shared) {
            return self.queue_apart(now, conns, member);
        }
        let before = [self.start, &*member.preamble, self.tail];
        match &self.shared {
            None => conns.push(now, member.conn, before),
            Some(body) => conns.push_around(now, member.conn, before, body, self.end),
        }
    }

    /// On a connection with several sessions a transaction identifier must not come twice, so the copy gets
    /// one of its own: the common one with the member's slot behind it.
    fn queue_apart(&self, now: Now, conns: &mut Conns, member: &Member) {
        let start = own_line(self.start, self.start.len() - encode::AFTER_TID_IN_START, member.slot);
        let end = own_line(self.end, self.end.len() - encode::AFTER_TID_IN_END, member.slot);
        match &self.shared {
            None => {
                let tail = &self.tail[..self.tail.len() - self.end.len()];
                conns.push(now, member.conn, [&start, &member.preamble, tail]);
                conns.push(now, member.conn, [&end, b"", b""]);
            }
            Some(body) => {
                conns.push_around(now, member.conn, [&start, &member.preamble, self.tail], body, &end);
            }
        }
    }
}
