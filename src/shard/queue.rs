//! The outbound queue of one connection: everything that waits to be written, in order.
//!
//! Small things are copied behind each other into one buffer, large bodies are shared by reference;
//! one write takes all of it. A queue never waits: it says where it stands and the caller decides.
//!
//! ```text
//!  pieces:  [own octets][shared body][own octets][shared body]   tail: own octets, growing
//!           ◄── taken ──►◄─────────────── one vectored write ────────────────────────────►
//! ```
//!
//! Octets stay in the queue until the peer's system has taken them, so there is no write under way between
//! two turns, and whoever has nothing to write holds no buffer.
//!
//! Touches: nothing outside. Bounds: `limits::QUEUE_BYTES_SOFT`, `QUEUE_BYTES_HARD`, kept by the caller
//! through [`Queue::level`]; `WRITE_PIECES_MAX` pieces a write.
//! Proved by: the tests below; `tests/switch.rs` for the watermarks.

use crate::base::clock::Now;
use crate::base::limits;
use bytes::Bytes;
use std::collections::VecDeque;

/// Octets of a write, owned by one queue or shared by many.
#[derive(Debug)]
enum Piece {
    /// Copied together for this connection.
    Own(Vec<u8>),
    /// A body that other connections write too.
    Shared(Bytes),
}

impl Piece {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(v) => v,
            Self::Shared(b) => b,
        }
    }
}

/// Pieces of a queue that has any; nearly none has, so a queue keeps a pointer and not the list.
#[allow(clippy::box_collection, reason = "see above")]
type List = Box<VecDeque<Piece>>;

/// Buffers of queues that are empty, for those that need one next. Giving them back to the allocator and asking
/// anew, with every turn, costs a busy shard a quarter of its time in page faults.
///
/// Bounds: `limits::POOL_BYTES_MAX` in buffers of at most `POOL_BUFFER_BYTES_MAX`. What nobody needed lately is
/// given up, see [`Pool::shrink`].
#[derive(Debug, Default)]
pub struct Pool {
    buffers: Vec<Vec<u8>>,
    /// Octets of the buffers, used or not.
    kept: usize,
    /// The least that was kept since [`Pool::shrink`] last looked: nobody needed that.
    least: usize,
    #[allow(clippy::vec_box, reason = "the boxes are what is lent out")]
    lists: Vec<List>,
}

impl Pool {
    /// Lists kept: one for each connection that may be written in a turn.
    const LISTS_MAX: usize = 4096;

    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.kept -= buffer.capacity();
        self.least = self.least.min(self.kept);
        buffer
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let fits =
            capacity <= limits::POOL_BUFFER_BYTES_MAX && self.kept + capacity <= limits::POOL_BYTES_MAX;
        if capacity > 0 && fits {
            buffer.clear();
            self.kept += capacity;
            self.buffers.push(buffer);
        }
    }

    fn give_list(&mut self, list: List) {
        if self.lists.len() < Self::LISTS_MAX && list.capacity() <= limits::WRITE_PIECES_MAX {
            self.lists.push(list);
        }
    }

    /// Gives up half of what nobody needed since this was last called.
    pub fn shrink(&mut self) {
        let goal = self.kept - self.least / 2;
        // The oldest are at the bottom, and so are those that are cold.
        let mut gone = 0;
        while self.kept > goal && gone < self.buffers.len() {
            self.kept -= self.buffers[gone].capacity();
            gone += 1;
        }
        self.buffers.drain(..gone);
        self.least = self.kept;
    }
}

/// Where a queue stands against its watermarks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Below the soft watermark.
    Low,
    /// Between the watermarks: whole regular messages are skipped.
    Soft,
    /// One more push would pass the hard watermark.
    Hard,
}

/// Everything that waits to be written to one connection.
#[derive(Debug, Default)]
pub struct Queue {
    tail: Vec<u8>,
    /// What stands before the tail; rare, and lent by the pool.
    pieces: Option<List>,
    /// Octets that wait: what a connection may be owed stays far below 4 GiB, see `limits::QUEUE_BYTES_HARD`.
    waiting: u32,
    /// Octets of the first piece, or of the tail if there is none, that the peer has taken already.
    taken: u32,
    /// When octets last began to wait or were last taken by the peer.
    progress: Now,
}

impl Queue {
    /// Octets not yet taken by the peer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting as usize
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Where the queue would stand with `more` octets, with its soft watermark at `soft`.
    #[must_use]
    pub fn level(&self, more: usize, soft: usize) -> Level {
        let len = self.len() + more;
        if len > limits::QUEUE_BYTES_HARD {
            Level::Hard
        } else if len > soft {
            Level::Soft
        } else {
            Level::Low
        }
    }

    /// Octets to be copied behind what waits.
    pub fn push(&mut self, now: Now, pool: &mut Pool, parts: [&[u8]; 3]) {
        let len = parts[0].len() + parts[1].len() + parts[2].len();
        self.note(now, len);
        if self.tail.capacity() == 0 {
            self.tail = pool.take();
        }
        self.tail.reserve(len);
        for part in parts {
            self.tail.extend_from_slice(part);
        }
    }

    /// A shared body behind what waits.
    pub fn push_shared(&mut self, now: Now, pool: &mut Pool, body: Bytes) {
        self.note(now, body.len());
        let pieces = self.pieces.get_or_insert_with(|| pool.lists.pop().unwrap_or_default());
        if !self.tail.is_empty() {
            pieces.push_back(Piece::Own(std::mem::take(&mut self.tail)));
        }
        pieces.push_back(Piece::Shared(body));
    }

    /// Octets written in place by `write`, behind what waits.
    pub fn push_with(&mut self, now: Now, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        if self.tail.capacity() == 0 {
            self.tail = pool.take();
        }
        let before = self.tail.len();
        write(&mut self.tail);
        let len = self.tail.len().saturating_sub(before);
        self.note(now, len);
    }

    fn note(&mut self, now: Now, len: usize) {
        if self.is_empty() {
            self.progress = now;
        }
        self.waiting += len as u32;
    }

    /// What the next write takes, in order: at most `limits::WRITE_PIECES_MAX` slices, none of them empty.
    pub fn waiting(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = self.pieces.iter().flat_map(|list| list.iter().map(Piece::as_slice));
        let all = pieces.chain(std::iter::once(self.tail.as_slice()));
        let untaken =
            all.enumerate().map(|(i, octets)| if i == 0 { &octets[self.taken as usize..] } else { octets });
        untaken.filter(|octets| !octets.is_empty()).take(limits::WRITE_PIECES_MAX)
    }

    /// The peer's system took the next `n` octets.
    pub fn wrote(&mut self, now: Now, pool: &mut Pool, n: usize) {
        if n == 0 {
            return;
        }
        self.progress = now;
        self.waiting = self.waiting.saturating_sub(n as u32);
        let mut taken = self.taken as usize + n;
        if let Some(mut list) = self.pieces.take() {
            while let Some(first) = list.front()
                && first.as_slice().len() <= taken
            {
                taken -= first.as_slice().len();
                if let Some(Piece::Own(buffer)) = list.pop_front() {
                    pool.give(buffer);
                }
            }
            if list.is_empty() {
                pool.give_list(list);
            } else {
                self.pieces = Some(list);
                self.taken = taken as u32;
                return;
            }
        }
        if taken >= self.tail.len() {
            taken = 0;
            pool.give(std::mem::take(&mut self.tail));
        } else if taken > self.tail.len() / 2 {
            // What is taken would stay as long as something waits behind it.
            self.tail.drain(..taken);
            taken = 0;
        }
        self.taken = taken as u32;
    }

    /// When the queue counts as stalled if nothing is taken before; `None` if nothing waits.
    #[must_use]
    pub fn stall_deadline(&self) -> Option<Now> {
        (!self.is_empty()).then(|| self.progress + limits::QUEUE_STALL)
    }

    /// When the peer last took something, or octets began to wait.
    #[must_use]
    pub fn last_progress(&self) -> Now {
        self.progress
    }

    /// Drops everything that waits; returns how many octets that were.
    pub fn clear(&mut self) -> usize {
        let len = self.len();
        *self = Self::default();
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(queue: &Queue) -> Vec<u8> {
        queue.waiting().flatten().copied().collect()
    }

    #[test]
    fn everything_leaves_in_one_write_in_the_order_it_came() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        q.push(Now(0), &mut pool, [b"a", b"b", b"c"]);
        q.push_shared(Now(0), &mut pool, Bytes::from_static(b"SHARED"));
        q.push_with(Now(0), &mut pool, |out| out.extend_from_slice(b"d"));
        q.push(Now(0), &mut pool, [b"e", b"", b""]);
        assert_eq!(q.len(), 11);
        assert_eq!(octets(&q), b"abcSHAREDde");
        assert_eq!(q.waiting().count(), 3);
        q.wrote(Now(1), &mut pool, 11);
        assert!(q.is_empty());
        assert_eq!(q.waiting().count(), 0);
    }

    #[test]
    fn a_write_goes_on_where_the_last_one_stopped_wherever_that_was() {
        for first in 0..=12 {
            for second in 0..=12 - first {
                let (mut q, mut pool) = (Queue::default(), Pool::default());
                q.push(Now(0), &mut pool, [b"ab", b"c", b""]);
                q.push_shared(Now(0), &mut pool, Bytes::from_static(b"def"));
                q.push(Now(0), &mut pool, [b"ghi", b"", b""]);
                let mut all = octets(&q)[..first.min(9)].to_vec();
                q.wrote(Now(1), &mut pool, first.min(9));
                q.push(Now(2), &mut pool, [b"jkl", b"", b""]);
                let rest = octets(&q);
                let second = second.min(rest.len());
                all.extend(&rest[..second]);
                q.wrote(Now(3), &mut pool, second);
                assert_eq!(q.len(), rest.len() - second);
                all.extend(octets(&q));
                assert_eq!(all, b"abcdefghijkl", "{first}, then {second}");
            }
        }
    }

    #[test]
    fn an_empty_queue_holds_no_buffer() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        q.push(Now(0), &mut pool, [b"hello", b"", b""]);
        q.push_shared(Now(0), &mut pool, Bytes::from_static(b"body"));
        q.push(Now(0), &mut pool, [b"end", b"", b""]);
        q.wrote(Now(0), &mut pool, 12);
        assert_eq!((q.tail.capacity(), q.pieces.is_none()), (0, true));
        assert!(pool.take().capacity() >= 3, "and the next queue gets it");
        assert_eq!(pool.lists.len(), 1);
    }

    #[test]
    fn a_pool_keeps_what_is_needed_and_gives_up_the_rest_by_and_by() {
        let mut pool = Pool::default();
        let size = limits::POOL_BUFFER_BYTES_MAX;
        for _ in 0..limits::POOL_BYTES_MAX / size + 10 {
            pool.give(Vec::with_capacity(size));
        }
        pool.give(Vec::with_capacity(size + 1));
        assert_eq!(pool.kept, limits::POOL_BYTES_MAX);
        pool.shrink();
        let busy: Vec<_> = (0..8).map(|_| pool.take()).collect();
        busy.into_iter().for_each(|buffer| pool.give(buffer));
        for _ in 0..40 {
            pool.shrink();
            let busy: Vec<_> = (0..8).map(|_| pool.take()).collect();
            busy.into_iter().for_each(|buffer| pool.give(buffer));
        }
        assert!((8..=9).contains(&pool.buffers.len()), "{} buffers", pool.buffers.len());
        assert_eq!(pool.kept, pool.buffers.iter().map(Vec::capacity).sum());
    }

    #[test]
    fn what_is_taken_does_not_stay_behind_what_waits() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        q.push(Now(0), &mut pool, [b"x", b"", b""]);
        for _ in 0..1000 {
            q.push(Now(0), &mut pool, [&[b'x'; 1000], b"", b""]);
            q.wrote(Now(0), &mut pool, 1000);
        }
        assert_eq!((q.len(), octets(&q).len()), (1, 1));
        assert!(q.tail.capacity() < 5000, "{}", q.tail.capacity());
    }

    #[test]
    fn levels_follow_the_watermarks() {
        // CHAT-CONG-01
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        let soft = limits::QUEUE_BYTES_SOFT;
        assert_eq!(q.level(soft, soft), Level::Low);
        assert_eq!(q.level(soft + 1, soft), Level::Soft);
        assert_eq!(q.level(limits::QUEUE_BYTES_HARD + 1, soft), Level::Hard);
        q.push(Now(0), &mut pool, [&vec![0; soft], b"", b""]);
        assert_eq!(q.level(1, soft), Level::Soft);
        q.wrote(Now(1), &mut pool, soft);
        assert_eq!(q.level(1, soft), Level::Low);
    }

    #[test]
    fn a_stall_counts_from_the_last_progress() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        assert_eq!(q.stall_deadline(), None);
        q.push(Now(5), &mut pool, [b"hello", b"", b""]);
        assert_eq!(q.stall_deadline(), Some(Now(5) + limits::QUEUE_STALL));
        q.wrote(Now(8), &mut pool, 0);
        assert_eq!(q.stall_deadline(), Some(Now(5) + limits::QUEUE_STALL), "nothing was taken");
        q.wrote(Now(9), &mut pool, 2);
        assert_eq!(q.stall_deadline(), Some(Now(9) + limits::QUEUE_STALL));
        q.wrote(Now(10), &mut pool, 3);
        assert_eq!(q.stall_deadline(), None);
    }

    #[test]
    fn many_pieces_leave_in_several_writes() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        for _ in 0..limits::WRITE_PIECES_MAX {
            q.push(Now(0), &mut pool, [b"x", b"", b""]);
            q.push_shared(Now(0), &mut pool, Bytes::from_static(b"y"));
        }
        let mut all = Vec::new();
        while !q.is_empty() {
            assert!(q.waiting().count() <= limits::WRITE_PIECES_MAX);
            let octets = octets(&q);
            q.wrote(Now(0), &mut pool, octets.len());
            all.extend(octets);
        }
        assert_eq!(all, b"xy".repeat(limits::WRITE_PIECES_MAX));
    }
}
