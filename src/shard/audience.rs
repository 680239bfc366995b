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

pub mod answers;
pub mod copy;
pub mod takes;

use self::answers::Followed;
use self::copy::{Body, Part, Scratch, end_early, fresh_tid};
use self::takes::Takes;
use super::conns::Conns;
use super::message::Opening;
use super::queue::Level;
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::{ConnId, EndpointId, Seq, Token};
use crate::base::limits;
use crate::base::media::is_typing;
use crate::base::tight::push_tight;
use crate::room::effect::{Ask, Recipients};
use ahash::AHashSet;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

/// One endpoint of the audience.
#[derive(Debug)]
#[repr(align(64))]
pub struct Member {
    /// Who.
    pub endpoint: EndpointId,
    /// Its connection.
    pub conn: ConnId,
    /// The last message it does not get.
    pub after: Seq,
    /// Its To-Path and From-Path lines.
    pub preamble: Box<[u8]>,
    /// What it takes, shared with those who take the same.
    takes: Arc<Takes>,
    /// The number of its participant in the room.
    pub number: u32,
    /// A small number that no other member here has, and that stays while it is here.
    pub slot: u32,
    /// Messages left out since it was last told.
    pub skipped: u32,
    /// It is looked at again for that, and cut if it has not caught up.
    pub watched: bool,
}

const _: () = assert!(size_of::<Member>() == 64, "a copy costs one line of cache here");

/// Octets that memory is fetched in.
const CACHE_LINE: usize = 64;

/// Members whose memory is fetched before the first of them gets its copy: what they need fits into the nearest cache.
const WARM_TOGETHER: usize = 16;

impl Member {
    /// A member from what was negotiated.
    #[must_use]
    pub fn new(
        endpoint: EndpointId,
        conn: ConnId,
        after: Seq,
        number: u32,
        preamble: Box<[u8]>,
        takes: Arc<Takes>,
    ) -> Self {
        Self { endpoint, conn, after, preamble, takes, number, slot: 0, skipped: 0, watched: false }
    }

    /// Takes something else from now on.
    pub fn revise(&mut self, takes: Arc<Takes>) {
        self.takes = takes;
    }

    /// What it takes.
    #[must_use]
    pub fn takes(&self) -> &Takes {
        &self.takes
    }

    /// Looks at what a copy for this member needs, see [`Conns::warm`].
    #[inline]
    fn warm(&self, conns: &Conns) {
        conns.warm(self.conn);
        for line in self.preamble.chunks(CACHE_LINE) {
            black_box(line[0]);
        }
    }

    fn is_filling(&self, conns: &Conns, now: Now) -> bool {
        filling(conns, self.conn) && !stuck(conns, now, self.conn)
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

impl OpenCopy {
    fn is_typing(&self) -> bool {
        is_typing(&self.opening.content_type)
    }
}

/// A message that went out lately, for refusals by recipients.
#[derive(Debug)]
struct Sent {
    tid: Token,
    seq: Seq,
    content_type: Arc<str>,
}

/// The parts of a shard that a fan-out needs.
#[derive(Debug)]
pub struct Tools<'a> {
    /// The time.
    pub now: Now,
    /// All connections.
    pub conns: &'a mut Conns,
    /// Chance.
    pub entropy: &'a mut Entropy,
    /// Buffers.
    pub scratch: &'a mut Scratch,
}

/// What a part did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    /// The transaction of its copies; `None` if the message is not known.
    pub tid: Option<Token>,
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
    sent: VecDeque<Sent>,
    /// Slots that members had who are gone.
    free_slots: Vec<u32>,
}

impl Audience {
    /// Adds a member; its place, which [`Audience::remove`] needs.
    pub fn add(&mut self, mut member: Member) -> usize {
        // Slots in use are as many as members, so without a free one the next is their number.
        member.slot = self.free_slots.pop().unwrap_or(self.members.len() as u32);
        for copy in &mut self.open {
            if member.after < copy.seq {
                // It was here before, under another path: what began there does not go on here.
                copy.out.insert(member.endpoint);
            }
        }
        push_tight(&mut self.members, member);
        self.members.len() - 1
    }

    /// Removes the member at `place`: its slot, and the endpoint that has that place now, if one moved there.
    pub fn remove(&mut self, place: usize) -> (u32, Option<EndpointId>) {
        let gone = self.members.swap_remove(place);
        self.free_slots.push(gone.slot);
        for copy in &mut self.open {
            copy.out.remove(&gone.endpoint);
        }
        (gone.slot, self.members.get(place).map(|m| m.endpoint))
    }

    /// The member at `place`.
    pub fn member_mut(&mut self, place: usize) -> Option<&mut Member> {
        self.members.get_mut(place)
    }

    /// The members, to be changed.
    pub fn members_mut(&mut self) -> &mut [Member] {
        &mut self.members
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
    pub fn deliver(
        &mut self,
        tools: Tools<'_>,
        seq: Seq,
        opening: Option<&Opening>,
        chunk: &Chunk<Body<'_>>,
        places: Option<&[usize]>,
        followed: Option<&mut Followed>,
    ) -> Delivered {
        let Tools { now, conns, entropy, scratch } = tools;
        let Some((id, Opening { from, content_type, ask, .. })) = self.identify(entropy, seq, opening, chunk)
        else {
            return Delivered::default();
        };
        let tid = fresh_tid(entropy, chunk.body.as_ref());
        if ask != Ask::Nothing {
            self.remember(tid, seq, content_type.clone());
        }
        let part = Part::render(scratch, tid, id, ask, chunk);
        let typing = is_typing(&content_type);
        let soft = if typing { conns.soft().min(limits::QUEUE_BYTES_FILLING) } else { conns.soft() };
        let mut delivery = Delivery {
            now,
            first: opening.is_some(),
            size: chunk.total.unwrap_or(chunk.body.as_ref().len() as u64),
            next: chunk.start.saturating_add(chunk.body.as_ref().len() as u64),
            start: chunk.start,
            total: chunk.total,
            flag: chunk.flag,
            out: self.take_out(seq),
            done: Delivered { tid: Some(tid), ..Delivered::default() },
            conns,
            entropy,
            part,
            id,
            seq,
            from,
            content_type,
            typing,
            soft,
            judged: None,
            followed,
        };
        match places {
            None => {
                for members in self.members.chunks_mut(WARM_TOGETHER) {
                    members.iter().for_each(|member| member.warm(delivery.conns));
                    members.iter_mut().for_each(|member| delivery.visit(member));
                }
            }
            Some(places) => {
                for place in places {
                    if let Some(member) = self.members.get_mut(*place) {
                        delivery.visit(member);
                    }
                }
            }
        }
        let Delivery { out, done, .. } = delivery;
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
        if self.sent.len() >= limits::RECENT_MESSAGES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { tid, seq, content_type });
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
        self.open.iter().any(|c| c.opening.from == from && c.opening.only.is_none() && !c.is_typing())
    }

    /// Whether one of these members is still to get what `from` has begun for everybody: then it should wait.
    #[must_use]
    pub fn holds_up(&self, from: EndpointId, filling: &[EndpointId]) -> bool {
        let mut begun =
            self.open.iter().filter(|c| c.opening.from == from && c.opening.only.is_none() && !c.is_typing());
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
        let begun = self.open.iter().filter(|c| c.opening.from == from && !c.is_typing());
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
        tid: Token,
        code: u16,
    ) {
        let Some(sent) = self.sent.iter().find(|r| r.tid == tid) else { return };
        let (seq, content_type) = (sent.seq, sent.content_type.clone());
        let Some(member) = self.members.get_mut(place) else { return };
        if code == 415 {
            Arc::make_mut(&mut member.takes).refuse(content_type);
        }
        if let Some(copy) = self.open.iter_mut().find(|c| c.seq == seq && !c.out.contains(&member.endpoint)) {
            copy.out.insert(member.endpoint);
            end_early(now, conns, entropy, member, copy.id, copy.next, copy.total);
        }
    }
}

/// One part on its way through the members.
struct Delivery<'a, 'f> {
    now: Now,
    conns: &'a mut Conns,
    entropy: &'a mut Entropy,
    part: Part<'a>,
    /// The Message-ID of the copies.
    id: Token,
    seq: Seq,
    from: EndpointId,
    content_type: Arc<str>,
    /// Tells of typing: left out before anything else, and not missed.
    typing: bool,
    /// The part begins its message.
    first: bool,
    /// Octets of the whole message as far as known.
    size: u64,
    start: u64,
    total: Option<u64>,
    /// Position of the octet after the part.
    next: u64,
    flag: Flag,
    /// The soft watermark for this message.
    soft: usize,
    out: AHashSet<EndpointId>,
    /// What was judged last, and the verdict: nearly all take the same.
    judged: Option<(*const Takes, Option<u16>)>,
    followed: Option<&'f mut Followed>,
    done: Delivered,
}

impl Delivery<'_, '_> {
    /// Queues the part for one member, if it is to get it.
    #[inline]
    fn visit(&mut self, member: &mut Member) {
        let id = member.endpoint;
        if member.after >= self.seq || id == self.from || (!self.out.is_empty() && self.out.contains(&id)) {
            return;
        }
        if self.first {
            if let Some(followed) = &mut self.followed {
                followed.meant(member.number);
            }
            if let Some(code) = self.declined(&member.takes) {
                return self.leave_out(id, code);
            }
        }
        let len = self.part.len + member.preamble.len();
        match self.conns.level(member.conn, len, self.soft) {
            None => self.failed(481),
            Some(Level::Soft | Level::Hard) if self.first => {
                if !self.typing {
                    member.skipped = member.skipped.saturating_add(1);
                    skip(self.conns, member.conn);
                    self.done.skipped += 1;
                }
                self.leave_out(id, 408);
            }
            // A message may turn out larger than its beginning said (SDP-10).
            Some(level)
                if level == Level::Hard
                    || level == Level::Soft && stuck(self.conns, self.now, member.conn)
                    || self.next - 1 > member.takes.max_size() =>
            {
                end_early(self.now, self.conns, self.entropy, member, self.id, self.start, self.total);
                self.out.insert(id);
                self.failed(if self.next - 1 > member.takes.max_size() { 413 } else { 408 });
            }
            Some(_) => {
                self.part.queue(self.now, self.conns, member);
                self.done.copies += 1;
                if let Some(followed) = self.followed.as_mut().filter(|_| self.flag == Flag::End) {
                    followed.copied(member.slot);
                }
            }
        }
    }

    /// Why whoever takes this does not get the message.
    fn declined(&mut self, takes: &Arc<Takes>) -> Option<u16> {
        let which = Arc::as_ptr(takes);
        match self.judged {
            Some((judged, verdict)) if judged == which => verdict,
            _ => {
                let verdict = takes.declines(&self.content_type, self.size);
                self.judged = Some((which, verdict));
                verdict
            }
        }
    }

    /// Later parts must not reach a member that did not get the first.
    fn leave_out(&mut self, endpoint: EndpointId, code: u16) {
        if self.flag == Flag::More {
            self.out.insert(endpoint);
        }
        self.failed(code);
    }

    fn failed(&mut self, code: u16) {
        if let Some(followed) = &mut self.followed {
            followed.failed(code);
        }
    }
}

fn skip(conns: &mut Conns, conn: ConnId) {
    if let Some(conn) = conns.get_mut(conn) {
        conn.skip();
    }
}

fn stuck(conns: &Conns, now: Now, conn: ConnId) -> bool {
    conns.get(conn).is_some_and(|c| now.since(c.queue.last_progress()) >= limits::COPY_STALL)
}

fn filling(conns: &Conns, conn: ConnId) -> bool {
    conns.get(conn).is_some_and(|c| c.queue.len() > limits::QUEUE_BYTES_FILLING)
}
