//! The connections of one shard: their queues, what they sent and was not whole yet, their sessions.
//!
//! Touches: this shard's queues. Never: sockets (the runtime keeps those under the same [`ConnId`]).
//! Bounds: `limits::SHARD_CONNS_MAX`, `SHARD_QUEUE_BYTES_MAX`, `SHARD_UNREAD_BYTES_MAX`.
//! Proved by: `tests/switch.rs`.

use super::queue::{Level, Pool, Queue};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, SessionId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::base::tight::push_tight;
use crate::session::owed::Receipt;
use crate::wire::msrp::frame::Framer;
use bytes::Bytes;
use smallvec::SmallVec;
use std::hint::black_box;
use std::mem::offset_of;

/// Why a connection was closed; counted and logged by this name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The peer closed, or the connection broke.
    Peer,
    /// Framing was lost.
    Garbage,
    /// No valid request came in time, or a head was not finished in time.
    Silent,
    /// Too many requests that found no session or could not be read, from who has none.
    Guessing,
    /// The queue passed its hard watermark, or nothing was taken for too long.
    TooSlow,
    /// What waits to be whole exceeds what the shard keeps.
    UnreadFull,
    /// The last session ended and nothing came after.
    Unused,
    /// The connection moved to another shard.
    Moved,
    /// The server stops.
    Stopping,
}

impl CloseReason {
    /// Every reason, for tables of counters.
    pub const ALL: [Self; 9] = [
        Self::Peer,
        Self::Garbage,
        Self::Silent,
        Self::Guessing,
        Self::TooSlow,
        Self::UnreadFull,
        Self::Unused,
        Self::Moved,
        Self::Stopping,
    ];
}

/// Why a connection's next octets are not looked at just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The session it asked for is on another shard; the claim is on its way.
    Claim(SessionId),
    /// The session it asked for has no terms yet: the answer to our offer is on its way.
    Terms(EndpointId),
    /// Too many messages without a verdict.
    Verdicts(EndpointId),
    /// Recipients of a long message are slower than its sender.
    Recipients,
}

/// A SEND whose body is still coming.
#[derive(Debug)]
pub struct UnderWay {
    /// The session it belongs to; `None` if it is swallowed without one.
    pub endpoint: Option<EndpointId>,
    /// The Message-ID.
    pub message_id: Box<[u8]>,
    /// What the answer needs.
    pub receipt: Receipt,
    /// Position of the next octet in the message.
    pub next: u64,
    /// The claimed total.
    pub total: Option<u64>,
    /// Refused already; the rest is swallowed, the answer has been given.
    pub refused: Option<Refusal>,
}

/// What a connection holds only while something on it is unfinished. Nearly none does at any time.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// Where its framing stands.
    pub framer: Framer,
    /// Octets that are not a whole head or part yet. Empty between messages.
    pub unread: Vec<u8>,
    /// How much waited to be whole when that was last looked at.
    pub unread_mark: usize,
    /// A SEND whose body is still coming.
    pub under_way: Option<Box<UnderWay>>,
    /// Why the next octets are not looked at.
    pub wait: Option<Wait>,
    /// The answer to a claim was no.
    pub claim_refused: Option<(SessionId, Refusal)>,
    /// A session here of which too many messages had no verdict when that was last looked at.
    pub owes: Option<EndpointId>,
    /// Endpoints here whose long message waits for its recipients: the connection is not read meanwhile.
    pub held: SmallVec<[EndpointId; 1]>,
    /// We opened this connection for the endpoint and wait for the answer to our first request.
    pub opened_for: Option<EndpointId>,
}

impl Unfinished {
    fn is_over(&self) -> bool {
        let quiet = self.framer.idle() && self.unread.is_empty() && self.under_way.is_none();
        let waits = self.wait.is_some() || self.owes.is_some() || !self.held.is_empty();
        quiet && !waits && self.claim_refused.is_none() && self.opened_for.is_none()
    }
}

/// One connection. An idle one is these two lines of cache and nothing besides; the fields up to `quiet_timer`, all
/// that a copy needs, are in the first.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Conn {
    /// What waits to be written.
    pub queue: Queue,
    /// Set when nothing more is read or queued; the rest of the queue is still written.
    pub closing: Option<CloseReason>,
    dirty: bool,
    stall_timer: bool,
    /// Something was queued here: what waits stays on this shard, so the connection moves no more.
    pub spoken: bool,
    /// Messages were left out since the queue last was low.
    skipped: bool,
    /// Several sessions are bound here.
    shared: bool,
    /// A session was bound here once.
    pub proven: bool,
    /// Somebody will look at `quiet_since`.
    pub quiet_timer: bool,
    unfinished: Option<Box<Unfinished>>,
    sessions: SmallVec<[EndpointId; 1]>,
    /// Since when there is no session here, or something waits to be whole.
    pub quiet_since: Now,
    /// Requests in a row that found no session.
    pub strays: u32,
}

const _: () = {
    assert!(size_of::<Slot>() == 128, "every idle connection pays for it");
    assert!(
        offset_of!(Slot, conn) + offset_of!(Conn, unfinished) == 64,
        "a copy costs one line of cache here"
    );
};

impl Conn {
    /// What is unfinished here; begins with nothing.
    pub fn unfinished(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }

    /// What is unfinished here, if anything.
    pub fn unfinished_now(&mut self) -> Option<&mut Unfinished> {
        self.unfinished.as_deref_mut()
    }

    /// Gives up what held the unfinished, if nothing is.
    pub fn settle(&mut self) {
        self.unfinished.take_if(|u| u.is_over());
    }

    /// Endpoints whose session is bound here.
    #[must_use]
    pub fn sessions(&self) -> &[EndpointId] {
        &self.sessions
    }

    /// More than one session is bound here.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// A session is bound here.
    pub fn add_session(&mut self, endpoint: EndpointId) {
        self.sessions.push(endpoint);
        self.shared = self.sessions.len() > 1;
    }

    /// It is no more.
    pub fn remove_session(&mut self, endpoint: EndpointId) {
        self.sessions.retain(|e| *e != endpoint);
        self.shared = self.sessions.len() > 1;
    }

    /// None is bound here any more; those that were.
    pub fn take_sessions(&mut self) -> SmallVec<[EndpointId; 1]> {
        self.shared = false;
        std::mem::take(&mut self.sessions)
    }

    /// A message was left out.
    pub fn skip(&mut self) {
        self.skipped = true;
    }

    /// Whether messages were left out and the queue has drained since; said once.
    fn recovered(&mut self) -> bool {
        self.skipped && self.queue.len() <= limits::QUEUE_BYTES_SOFT / 4 && std::mem::take(&mut self.skipped)
    }

    /// Why the next octets are not looked at.
    #[must_use]
    pub fn wait(&self) -> Option<Wait> {
        self.unfinished.as_ref()?.wait
    }

    /// They may be looked at again, if `wait` is why they were not.
    pub fn waits_no_more(&mut self, wait: impl FnOnce(Wait) -> bool) -> bool {
        let waited = self.unfinished.as_mut().is_some_and(|u| u.wait.take_if(|w| wait(*w)).is_some());
        self.settle();
        waited
    }

    /// Nobody has a session here, and none is to come at our request.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.sessions.is_empty() && self.opened_for().is_none()
    }

    /// The endpoint for which we opened this connection, while its session is not bound.
    #[must_use]
    pub fn opened_for(&self) -> Option<EndpointId> {
        self.unfinished.as_ref()?.opened_for
    }

    /// Puts its name into the list of connections to look at, unless it is there.
    fn name(&mut self, id: ConnId, dirty: &mut Vec<ConnId>) {
        if !std::mem::replace(&mut self.dirty, true) {
            dirty.push(id);
        }
    }

    /// Octets that are not whole yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |u| u.unread.len())
    }
}

/// What a look at a connection with octets waiting found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// Nothing waits; nobody need look.
    Nothing,
    /// Look again then.
    Later(Now),
    /// The peer took nothing for `limits::QUEUE_STALL`.
    Stuck,
}

/// What changed because a peer took octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The queue was filling and is no longer.
    pub caught_up: bool,
    /// Messages were left out, and the queue has drained since.
    pub recovered: bool,
    /// Something still waits.
    pub left: bool,
}

#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

/// All connections of a shard.
#[derive(Debug, Default)]
pub struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections with something to write, each once.
    dirty: Vec<ConnId>,
    pool: Pool,
    /// When buffers that nobody needs are next looked for.
    pool_look: Now,
    /// Octets in all queues.
    queued: usize,
    /// Octets in all `unread`.
    unread: usize,
}

impl Conns {
    /// Makes room for a new connection; `None` if there are too many.
    pub fn open(&mut self, now: Now) -> Option<ConnId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() >= limits::SHARD_CONNS_MAX => return None,
            None => {
                push_tight(&mut self.slots, Slot::default());
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        let place = &mut self.slots[slot as usize];
        place.conn = Some(Conn { quiet_since: now, ..Conn::default() });
        Some(ConnId { slot, generation: place.generation })
    }

    /// Forgets a connection whose socket is gone.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let place = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)?;
        let mut conn = place.conn.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.queued -= conn.queue.clear();
        self.unread -= conn.unread();
        Some(conn)
    }

    /// The connection, unless it is gone.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        let slot = self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation)?;
        slot.conn.as_ref()
    }

    /// The connection, unless it is gone. Queues are pushed through [`Conns`] only, which counts.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)?;
        slot.conn.as_mut()
    }

    /// Looks at a connection, so that it is in the cache when something is queued there. What is far apart in memory
    /// is fetched at once if it is looked at in one go, and one after the other if much is done in between.
    #[inline]
    pub fn warm(&self, id: ConnId) {
        black_box(self.slots.get(id.slot as usize).map(|slot| slot.generation));
    }

    /// Connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// No connection is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets in all queues.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Octets kept until they are whole, of all connections.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// The names of all connections.
    pub fn ids(&self) -> Vec<ConnId> {
        let used = self.slots.iter().enumerate().filter(|(_, s)| s.conn.is_some());
        used.map(|(i, s)| ConnId { slot: i as u32, generation: s.generation }).collect()
    }

    /// The soft watermark that holds just now: lower when the shard's queues together are large.
    #[must_use]
    pub fn soft(&self) -> usize {
        if self.queued > limits::SHARD_QUEUE_BYTES_MAX / 4 * 3 {
            limits::QUEUE_BYTES_SOFT / 16
        } else {
            limits::QUEUE_BYTES_SOFT
        }
    }

    /// Where the queue of `id` would stand with `more` octets and its soft watermark at `soft`; `None` if
    /// nothing can be queued there.
    #[must_use]
    pub fn level(&self, id: ConnId, more: usize, soft: usize) -> Option<Level> {
        let conn = self.get(id).filter(|c| c.closing.is_none())?;
        if self.queued + more > limits::SHARD_QUEUE_BYTES_MAX {
            return Some(Level::Hard);
        }
        Some(conn.queue.level(more, soft))
    }

    /// Whether the peer of `id` takes its answers well enough to be answered again: how much may wait there depends on
    /// whether it has a session, and on what all queues together hold.
    #[must_use]
    pub fn may_ask(&self, id: ConnId) -> bool {
        let Some(conn) = self.get(id) else { return false };
        let most = if conn.is_stranger() {
            limits::STRANGER_QUEUE_BYTES_MAX
        } else if self.queued > limits::SHARD_QUEUE_BYTES_MAX {
            limits::QUEUE_BYTES_SOFT / 16
        } else {
            limits::QUEUE_BYTES_HARD
        };
        conn.queue.len() <= most
    }

    /// Whether answers to connections without a session may still be queued.
    #[must_use]
    pub fn has_room_for_strangers(&self) -> bool {
        self.queued <= limits::SHARD_QUEUE_BYTES_MAX / limits::STRANGERS_PART
    }

    /// Queues copied octets. The caller has looked at [`Conns::level`].
    pub fn push(&mut self, now: Now, id: ConnId, parts: [&[u8]; 3]) {
        self.queue_with(id, |queue, pool| queue.push(now, pool, parts));
    }

    /// Queues copied octets, a shared body, and copied octets behind it.
    pub fn push_around(&mut self, now: Now, id: ConnId, before: [&[u8]; 3], body: &Bytes, after: &[u8]) {
        self.queue_with(id, |queue, pool| {
            queue.push(now, pool, before);
            queue.push_shared(now, pool, body.clone());
            queue.push(now, pool, [after, b"", b""]);
        });
    }

    /// Queues octets that `write` appends. For answers and reports, which are never left out: whoever asks and does not
    /// take them is closed, see [`Conns::may_ask`].
    pub fn push_with(&mut self, now: Now, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        self.queue_with(id, |queue, pool| queue.push_with(now, pool, write));
    }

    fn queue_with(&mut self, id: ConnId, push: impl FnOnce(&mut Queue, &mut Pool)) {
        let Some(slot) = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)
        else {
            return;
        };
        let Some(conn) = slot.conn.as_mut().filter(|c| c.closing.is_none()) else { return };
        let before = conn.queue.len();
        push(&mut conn.queue, &mut self.pool);
        self.queued += conn.queue.len() - before;
        conn.spoken = true;
        conn.name(id, &mut self.dirty);
    }

    /// The connection is to be looked at in the next round of writes: once, however often this is said, since
    /// whoever is written to twice in one round gets the same octets twice.
    pub fn look_again(&mut self, id: ConnId) {
        let slot = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation);
        if let Some(conn) = slot.and_then(|s| s.conn.as_mut()) {
            conn.name(id, &mut self.dirty);
        }
    }

    /// The connections to look at in the next round of writes, each once; for those in `stalls`, nobody
    /// watches yet whether their peer takes what waits.
    pub fn take_dirty(&mut self, dirty: &mut Vec<ConnId>, stalls: &mut Vec<ConnId>) {
        for id in self.dirty.drain(..) {
            let slot = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation);
            let Some(conn) = slot.and_then(|s| s.conn.as_mut()) else { continue };
            conn.dirty = false;
            dirty.push(id);
            if !conn.queue.is_empty() && !std::mem::replace(&mut conn.stall_timer, true) {
                stalls.push(id);
            }
        }
    }

    /// The stall timer of `id` went off: has the peer taken nothing for too long?
    pub fn stall_look(&mut self, now: Now, id: ConnId) -> Stall {
        let Some(conn) = self.get_mut(id) else { return Stall::Nothing };
        match conn.queue.stall_deadline() {
            None => {
                conn.stall_timer = false;
                Stall::Nothing
            }
            Some(due) if due <= now => Stall::Stuck,
            Some(later) => Stall::Later(later),
        }
    }

    /// What the next write of `id` takes, in order.
    pub fn waiting(&self, id: ConnId) -> impl Iterator<Item = &[u8]> {
        self.get(id).into_iter().flat_map(|conn| conn.queue.waiting())
    }

    /// The peer's system took the next `n` octets.
    pub fn wrote(&mut self, now: Now, id: ConnId, n: usize) -> Progress {
        let slot = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation);
        let Some(conn) = slot.and_then(|s| s.conn.as_mut()) else { return Progress::default() };
        let before = conn.queue.len();
        conn.queue.wrote(now, &mut self.pool, n);
        let after = conn.queue.len();
        self.queued -= before - after;
        Progress {
            caught_up: before > limits::QUEUE_BYTES_FILLING && after <= limits::QUEUE_BYTES_FILLING,
            recovered: conn.recovered(),
            left: after > 0,
        }
    }

    /// Gives up buffers that nobody needed lately; to be called now and then. Whether it was time for that.
    pub fn tidy(&mut self, now: Now) -> bool {
        let due = now >= self.pool_look;
        if due {
            self.pool_look = now + limits::POOL_LOOK;
            self.pool.shrink();
        }
        due
    }

    /// Puts `unread` back into its connection. False if the shard keeps too much already, at the latest half of it for
    /// connections without a session.
    #[must_use]
    pub fn keep_unread(&mut self, id: ConnId, unread: Vec<u8>) -> bool {
        let total = self.unread + unread.len();
        let Some(conn) = self.get_mut(id) else { return true };
        let part = if conn.is_stranger() { limits::STRANGERS_PART } else { 1 };
        if total > limits::SHARD_UNREAD_BYTES_MAX / part || unread.len() > limits::UNREAD_BYTES_MAX {
            return false;
        }
        conn.unfinished().unread = unread;
        self.unread = total;
        true
    }

    /// Takes what a connection has unread, to put back with [`Conns::keep_unread`].
    pub fn take_unread(&mut self, id: ConnId) -> Vec<u8> {
        let unfinished = self.get_mut(id).and_then(Conn::unfinished_now);
        let unread = unfinished.map(|u| std::mem::take(&mut u.unread)).unwrap_or_default();
        self.unread -= unread.len();
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_written_to_once_in_a_round_however_many_reasons_there_are() {
        let mut conns = Conns::default();
        let id = conns.open(Now(0)).unwrap();
        let (mut round, mut stalls) = (Vec::new(), Vec::new());
        conns.look_again(id);
        conns.take_dirty(&mut round, &mut stalls);
        assert_eq!((&*round, &*stalls), (&[id][..], &[][..]), "nothing waits, so nothing can stall");
        round.clear();
        // There is room again, and in the same turn more is queued.
        conns.look_again(id);
        conns.push(Now(0), id, [b"more", b"", b""]);
        conns.look_again(id);
        conns.take_dirty(&mut round, &mut stalls);
        assert_eq!((&*round, &*stalls), (&[id][..], &[id][..]));
        round.clear();
        conns.take_dirty(&mut round, &mut stalls);
        assert!(round.is_empty());
        conns.remove(id);
        conns.look_again(id);
        conns.take_dirty(&mut round, &mut stalls);
        assert!(round.is_empty(), "who is gone is not written to");
    }

    #[test]
    fn who_missed_something_has_recovered_once_when_its_queue_has_drained() {
        // CHAT-CONG-01
        let mut conns = Conns::default();
        let id = conns.open(Now(0)).unwrap();
        conns.push(Now(0), id, [&vec![0; limits::QUEUE_BYTES_SOFT], b"", b""]);
        conns.get_mut(id).unwrap().skip();
        assert!(!conns.wrote(Now(1), id, 1).recovered);
        assert!(conns.wrote(Now(2), id, limits::QUEUE_BYTES_SOFT - 2).recovered);
        assert!(!conns.wrote(Now(3), id, 1).recovered, "said once");
    }

    #[test]
    fn who_has_no_session_can_use_half_of_what_a_shard_holds_and_who_has_one_the_rest() {
        // SEC-06
        let mut conns = Conns::default();
        let (stranger, member) = (conns.open(Now(0)).unwrap(), conns.open(Now(0)).unwrap());
        conns.get_mut(member).unwrap().add_session(EndpointId(1));
        // One body that all these queues share.
        let body = Bytes::from(vec![0; limits::QUEUE_BYTES_HARD]);
        let fill = |conns: &mut Conns, total: usize| {
            while conns.queued() <= total {
                let id = conns.open(Now(0)).unwrap();
                conns.push_around(Now(0), id, [b"", b"", b""], &body, b"");
            }
        };
        let [head, half] = [limits::QUEUE_BYTES_SOFT / 16 + 1, limits::SHARD_QUEUE_BYTES_MAX / 2];
        conns.push(Now(0), member, [&vec![0; head], b"", b""]);
        assert!(conns.has_room_for_strangers() && conns.may_ask(member));
        fill(&mut conns, half);
        assert!(!conns.has_room_for_strangers() && conns.may_ask(member));
        fill(&mut conns, limits::SHARD_QUEUE_BYTES_MAX);
        assert!(!conns.may_ask(member), "it is to take its answers first");
        conns.wrote(Now(0), member, 1);
        assert!(conns.may_ask(member));

        let most = limits::UNREAD_BYTES_MAX;
        while conns.unread() + most <= limits::SHARD_UNREAD_BYTES_MAX / 2 {
            let id = conns.open(Now(0)).unwrap();
            assert!(conns.keep_unread(id, vec![0; most]));
        }
        assert!(!conns.keep_unread(stranger, vec![0; most]));
        assert!(conns.keep_unread(member, vec![0; most]));
    }

    #[test]
    fn a_connection_is_shared_while_several_sessions_are_bound_there() {
        let mut conn = Conn::default();
        let shared = |conn: &Conn| (conn.sessions().len(), conn.is_shared());
        conn.add_session(EndpointId(1));
        assert_eq!(shared(&conn), (1, false));
        conn.add_session(EndpointId(2));
        assert_eq!(shared(&conn), (2, true));
        conn.remove_session(EndpointId(1));
        assert_eq!(shared(&conn), (1, false));
        conn.add_session(EndpointId(3));
        assert_eq!(conn.take_sessions()[..], [EndpointId(2), EndpointId(3)]);
        assert_eq!(shared(&conn), (0, false));
    }
}
