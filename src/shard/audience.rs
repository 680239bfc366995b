//! The endpoints of one room on this shard, and how a message reaches them.
//!
//! A copy is three pieces: the start line and the tail (headers, body, end-line), the same for all,
//! and between them the endpoint's own To-Path and From-Path lines, rendered when it was admitted.
//! Nothing is formatted and nothing is allocated per endpoint.
//!
//! ```text
//!  MSRP tid SEND            shared   ┐
//!  To-Path: … From-Path: …  endpoint │ one copy
//!  Message-ID … body, end   shared   ┘
//! ```
//!
//! Touches: outbound queues on this shard. Never: other shards, clocks, sockets.
//! Bounds: one pass over the endpoints per part, over its recipients if it is private; `limits::ROOM_OPEN_MESSAGES_MAX` open copies, by the
//! home; `RECENT_MESSAGES_MAX`, `REFUSED_TYPES_MAX`.
//! Proved by: `tests/switch.rs`; `benches/fan_out.rs`.

use super::conns::Conns;
use super::message::{Opening, Terms};
use super::queue::Level;
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::{ConnId, EndpointId, Seq, Token};
use crate::base::limits;
use crate::room::effect::Recipients;
use crate::wire::msrp::encode;
use crate::wire::msrp::head::FailureReport;
use crate::wire::msrp::range::ByteRange;
use crate::wire::sdp::TypeList;
use ahash::AHashSet;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// One endpoint of the audience.
#[derive(Debug)]
pub struct Member {
    /// Who.
    pub endpoint: EndpointId,
    /// Its connection.
    pub conn: ConnId,
    /// The last message it does not get.
    pub after: Seq,
    /// Its To-Path and From-Path lines.
    pub preamble: Arc<[u8]>,
    accepts: TypeList,
    accepts_all: bool,
    max_size: u64,
    receives: bool,
    /// Messages left out since it was last told.
    pub skipped: u32,
    /// Types it refused with 415.
    refused: SmallVec<[Arc<str>; 0]>,
}

impl Member {
    /// A member from what was negotiated.
    #[must_use]
    pub fn new(endpoint: EndpointId, conn: ConnId, after: Seq, preamble: Arc<[u8]>, terms: &Terms) -> Self {
        let mut member = Self {
            endpoint,
            conn,
            after,
            preamble,
            accepts: TypeList::any(),
            accepts_all: true,
            max_size: u64::MAX,
            receives: true,
            skipped: 0,
            refused: SmallVec::new(),
        };
        member.revise(terms);
        member
    }

    /// Takes over new terms.
    pub fn revise(&mut self, terms: &Terms) {
        self.accepts = terms.accepts.clone();
        self.accepts_all = terms.accepts == TypeList::any();
        self.max_size = terms.max_size.unwrap_or(u64::MAX);
        self.receives = terms.may_receive;
    }

    fn is_filling(&self, conns: &Conns, now: Now) -> bool {
        filling(conns, self.conn) && !stuck(conns, now, self.conn)
    }

    /// Whether a message of this type and size may be sent here (CHAT-MSG-11, MSRP-TYPE-03, SDP-10, SDP-11).
    fn takes(&self, content_type: &str, size: u64) -> bool {
        self.receives
            && size <= self.max_size
            && (self.accepts_all || self.accepts.allows(content_type))
            && !self.refused.iter().any(|t| t.eq_ignore_ascii_case(content_type))
    }
}

/// A message whose last part has not gone out.
#[derive(Debug)]
struct OpenCopy {
    seq: Seq,
    id: Token,
    opening: Opening,
    next: u64,
    total: Option<u64>,
    /// Members that got no beginning, or got an early end.
    out: AHashSet<EndpointId>,
}

/// A message that went out lately, for refusals by recipients.
#[derive(Debug)]
struct Recent {
    tid: Token,
    seq: Seq,
    content_type: Arc<str>,
}

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

/// What a part did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    /// Copies queued.
    pub copies: u64,
    /// Copies left out because a queue was above its soft watermark.
    pub skipped: u64,
}

/// The endpoints of one room on this shard.
#[derive(Debug, Default)]
pub struct Audience {
    members: Vec<Member>,
    open: Vec<OpenCopy>,
    recent: VecDeque<Recent>,
}

impl Audience {
    /// Adds a member; its place, which [`Audience::remove`] needs.
    pub fn add(&mut self, member: Member) -> usize {
        for copy in &mut self.open {
            if member.after < copy.seq {
                // It was here before, under another path: what began there does not go on here.
                copy.out.insert(member.endpoint);
            }
        }
        self.members.push(member);
        self.members.len() - 1
    }

    /// Removes the member at `place`. The endpoint that has that place now, if one moved there.
    pub fn remove(&mut self, place: usize) -> Option<EndpointId> {
        let gone = self.members.swap_remove(place);
        for copy in &mut self.open {
            copy.out.remove(&gone.endpoint);
        }
        self.members.get(place).map(|m| m.endpoint)
    }

    /// The member at `place`.
    pub fn member_mut(&mut self, place: usize) -> Option<&mut Member> {
        self.members.get_mut(place)
    }

    /// The members, in no order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The endpoints that message `seq` is for, if it is private and its last part has not gone out.
    #[must_use]
    pub fn only(&self, seq: Seq) -> Option<Recipients> {
        self.open.iter().find(|c| c.seq == seq).and_then(|c| c.opening.only.clone())
    }

    /// Queues a part of message `seq` for everybody who is to get it; a private one for the members at
    /// `places`, so that it costs the same in a room of any size. Whose queue is too long is left out: of
    /// the whole message at its beginning, of the rest, with a `#`, later on.
    #[allow(clippy::too_many_arguments)] // The parts of a shard that a fan-out needs, each by name.
    pub fn deliver(
        &mut self,
        now: Now,
        conns: &mut Conns,
        entropy: &mut Entropy,
        scratch: &mut Scratch,
        seq: Seq,
        opening: Option<&Opening>,
        chunk: &Chunk<Body<'_>>,
        places: Option<&[usize]>,
    ) -> Delivered {
        let Some((id, Opening { from, content_type, ask, .. })) = self.identify(entropy, seq, opening, chunk)
        else {
            return Delivered::default();
        };
        let tid = fresh_tid(entropy, chunk.body.as_ref());
        if ask {
            self.remember(tid, seq, content_type.clone());
        }
        let part = Part::render(scratch, tid, id, ask, chunk);
        let mut done = Delivered::default();
        let mut out = self.take_out(seq);
        let size = chunk.total.unwrap_or(chunk.body.as_ref().len() as u64);
        let first = opening.is_some();
        let next = chunk.start.saturating_add(chunk.body.as_ref().len() as u64);
        for i in 0..places.map_or(self.members.len(), <[usize]>::len) {
            let place = places.map_or(i, |places| places[i]);
            let Some(member) = self.members.get_mut(place) else { continue };
            if member.after >= seq || member.endpoint == from || out.contains(&member.endpoint) {
                continue;
            }
            if first && !member.takes(&content_type, size) {
                leave_out(&mut out, chunk.flag, member.endpoint);
                continue;
            }
            let len = part.len + member.preamble.len();
            match conns.level(member.conn, len) {
                None => {}
                Some(Level::Soft | Level::Hard) if first => {
                    member.skipped = member.skipped.saturating_add(1);
                    skip(conns, member.conn);
                    done.skipped += 1;
                    leave_out(&mut out, chunk.flag, member.endpoint);
                }
                // A message may turn out larger than its beginning said (SDP-10).
                Some(level)
                    if level == Level::Hard
                        || level == Level::Soft && stuck(conns, now, member.conn)
                        || next - 1 > member.max_size =>
                {
                    end_early(now, conns, entropy, member, id, chunk.start, chunk.total);
                    out.insert(member.endpoint);
                }
                Some(_) => {
                    part.queue(now, conns, entropy, member, chunk.flag);
                    done.copies += 1;
                }
            }
        }
        self.put_out(seq, out);
        done
    }

    /// The Message-ID and rules of the copies of `seq`; keeps the state that later parts need.
    fn identify(
        &mut self,
        entropy: &mut Entropy,
        seq: Seq,
        opening: Option<&Opening>,
        chunk: &Chunk<Body<'_>>,
    ) -> Option<(Token, Opening)> {
        let next = chunk.start + chunk.body.as_ref().len() as u64;
        if let Some(opening) = opening {
            let id = entropy.token();
            if chunk.flag == Flag::More {
                let (opening, total) = (opening.clone(), chunk.total);
                self.open.push(OpenCopy { seq, id, opening, next, total, out: AHashSet::new() });
            }
            return Some((id, opening.clone()));
        }
        let copy = self.open.iter_mut().find(|c| c.seq == seq)?;
        // The claimed total goes when the message outgrows it: the end of a copy must not repeat it.
        (copy.next, copy.total) = (next, chunk.total);
        Some((copy.id, copy.opening.clone()))
    }

    fn take_out(&mut self, seq: Seq) -> AHashSet<EndpointId> {
        self.open.iter_mut().find(|c| c.seq == seq).map(|c| std::mem::take(&mut c.out)).unwrap_or_default()
    }

    fn put_out(&mut self, seq: Seq, out: AHashSet<EndpointId>) {
        if let Some(copy) = self.open.iter_mut().find(|c| c.seq == seq) {
            copy.out = out;
        }
    }

    fn remember(&mut self, tid: Token, seq: Seq, content_type: Arc<str>) {
        if self.recent.len() >= limits::RECENT_MESSAGES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { tid, seq, content_type });
    }

    /// The last part of `seq` has gone out.
    pub fn finish(&mut self, seq: Seq) {
        self.open.retain(|c| c.seq != seq);
    }

    /// The members whose queue is filling while their peer still takes.
    #[must_use]
    pub fn filling(&self, conns: &Conns, now: Now) -> Vec<EndpointId> {
        let filling = self.members.iter().filter(|m| m.is_filling(conns, now));
        filling.map(|m| m.endpoint).collect()
    }

    /// Whether `from` has begun something for everybody.
    #[must_use]
    pub fn speaks_to_all(&self, from: EndpointId) -> bool {
        self.open.iter().any(|c| c.opening.from == from && c.opening.only.is_none())
    }

    /// Whether one of these members is still to get what `from` has begun for everybody: then it should wait.
    #[must_use]
    pub fn holds_up(&self, from: EndpointId, filling: &[EndpointId]) -> bool {
        let mut begun = self.open.iter().filter(|c| c.opening.from == from && c.opening.only.is_none());
        begun.any(|c| filling.iter().any(|e| *e != from && !c.out.contains(e)))
    }

    /// Whether what `from` has begun privately is to go on to somebody whose queue is filling: then it should
    /// wait. `place` says where a member is.
    #[must_use]
    pub fn holds_up_privately(
        &self,
        now: Now,
        conns: &Conns,
        from: EndpointId,
        place: impl Fn(EndpointId) -> Option<usize>,
    ) -> bool {
        let full = |e: EndpointId| {
            place(e).and_then(|place| self.members.get(place)).is_some_and(|m| m.is_filling(conns, now))
        };
        let begun = self.open.iter().filter(|c| c.opening.from == from);
        let few = begun.filter_map(|c| c.opening.only.as_ref().map(|few| (c, few)));
        few.flat_map(|(c, few)| few.iter().filter(|e| !c.out.contains(e))).any(|e| *e != from && full(*e))
    }

    /// Where an open message stands and who sent it, to end it with `#`.
    #[must_use]
    pub fn ending(&self, seq: Seq) -> Option<Chunk<Body<'static>>> {
        let copy = self.open.iter().find(|c| c.seq == seq)?;
        Some(Chunk { start: copy.next, total: copy.total, body: Body::Borrowed(b""), flag: Flag::Abort })
    }

    /// Every message whose last part has not gone out.
    pub fn open_messages(&self) -> Vec<Seq> {
        self.open.iter().map(|c| c.seq).collect()
    }

    /// A recipient refused a copy: 413 ends that message for it, 415 the type (CHAT-REP-08).
    pub fn refused(
        &mut self,
        now: Now,
        conns: &mut Conns,
        entropy: &mut Entropy,
        place: usize,
        tid: &[u8],
        code: u16,
    ) {
        let Some(recent) = self.recent.iter().find(|r| r.tid.as_bytes() == tid) else { return };
        let (seq, content_type) = (recent.seq, recent.content_type.clone());
        let Some(member) = self.members.get_mut(place) else { return };
        if code == 415 && member.refused.len() < limits::REFUSED_TYPES_MAX {
            member.refused.push(content_type);
        }
        if let Some(copy) = self.open.iter_mut().find(|c| c.seq == seq && !c.out.contains(&member.endpoint)) {
            copy.out.insert(member.endpoint);
            end_early(now, conns, entropy, member, copy.id, copy.next, copy.total);
        }
    }
}

/// A transaction identifier whose end-line the body does not hold (MSRP-FRAME-10).
fn fresh_tid(entropy: &mut Entropy, body: &[u8]) -> Token {
    loop {
        let tid = entropy.token();
        if !encode::holds_end_line(body, tid.as_bytes()) {
            return tid;
        }
    }
}

/// Later parts must not reach a member that did not get the first.
fn leave_out(out: &mut AHashSet<EndpointId>, flag: Flag, endpoint: EndpointId) {
    if flag == Flag::More {
        out.insert(endpoint);
    }
}

fn skip(conns: &mut Conns, conn: ConnId) {
    if let Some(conn) = conns.get_mut(conn) {
        conn.queue.skip();
    }
}

fn stuck(conns: &Conns, now: Now, conn: ConnId) -> bool {
    conns.get(conn).is_some_and(|c| now.since(c.queue.last_progress()) >= limits::COPY_STALL)
}

fn filling(conns: &Conns, conn: ConnId) -> bool {
    conns.get(conn).is_some_and(|c| c.queue.len() > limits::QUEUE_BYTES_FILLING)
}

/// Ends one member's copy of a message with `#`.
fn end_early(
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
    let tail = tail_head(&id, false, &chunk);
    conns.push_with(now, member.conn, |out| {
        encode::send(out, tid.as_bytes(), &member.preamble, &tail, b"", Flag::Abort);
    });
}

/// The headers behind the paths.
fn tail_head<'a>(id: &'a Token, ask: bool, chunk: &Chunk<Body<'_>>) -> encode::TailHead<'a> {
    let len = chunk.body.as_ref().len() as u64;
    // A range-end is a promise only where the part is short; longer parts are interruptible and say
    // `*` (RFC 4975 §7.1.1).
    let end = (len <= 2048).then_some(chunk.start - 1 + len);
    encode::TailHead {
        message_id: id.as_bytes(),
        range: ByteRange { start: chunk.start, end, total: chunk.total },
        failure_report: if ask { FailureReport::Yes } else { FailureReport::No },
        success_report: false,
        content_type: Some(b"message/cpim"),
    }
}

/// What all copies of a part have in common, rendered.
struct Part<'s> {
    start: &'s [u8],
    /// Headers, body, end-line; or headers only if `shared`.
    tail: &'s [u8],
    end: &'s [u8],
    shared: Option<Bytes>,
    /// Octets of a copy without its preamble.
    len: usize,
}

impl<'s> Part<'s> {
    fn render(scratch: &'s mut Scratch, tid: Token, id: Token, ask: bool, chunk: &Chunk<Body<'_>>) -> Self {
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

    fn queue(&self, now: Now, conns: &mut Conns, entropy: &mut Entropy, member: &Member, flag: Flag) {
        let alone = conns.get(member.conn).is_some_and(|c| c.sessions.len() <= 1);
        if !alone {
            return self.queue_apart(now, conns, entropy, member, flag);
        }
        let before = [self.start, &*member.preamble, self.tail];
        match &self.shared {
            None => conns.push(now, member.conn, before),
            Some(body) => conns.push_around(now, member.conn, before, body, self.end),
        }
    }

    /// On a connection with several sessions a transaction identifier must not come twice, so the
    /// copy gets one of its own.
    fn queue_apart(&self, now: Now, conns: &mut Conns, entropy: &mut Entropy, member: &Member, flag: Flag) {
        let body = self.shared.as_deref().unwrap_or(self.tail);
        let tid = fresh_tid(entropy, body);
        let (mut start, mut end) = (Vec::with_capacity(32), Vec::with_capacity(32));
        encode::send_start(&mut start, tid.as_bytes());
        encode::end_line(&mut end, tid.as_bytes(), flag, true);
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
