//! The outbound queue of one connection: everything that waits to be written, in order.
//!
//! Small things are copied behind each other into one buffer, large bodies are shared by reference;
//! one write takes all of it. A queue never waits: it says where it stands and the caller decides.
//!
//! ```text
//!  pieces:  [own octets][shared body][own octets][shared body]   tail: own octets, growing
//!           ◄──────────────── one vectored write ──────────────────────────────────────────►
//! ```
//!
//! Touches: nothing outside. Bounds: `limits::QUEUE_BYTES_SOFT`, `QUEUE_BYTES_HARD`, kept by the caller
//! through [`Queue::level`]; `WRITE_PIECES_MAX` pieces a write.
//! Proved by: the tests below; `tests/switch.rs` for the watermarks.

use crate::base::clock::Now;
use crate::base::limits;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Octets of a write, owned by one queue or shared by many.
#[derive(Debug)]
pub enum Piece {
    /// Copied together for this connection.
    Own(Vec<u8>),
    /// A body that other connections write too.
    Shared(Bytes),
}

impl Piece {
    /// The octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(v) => v,
            Self::Shared(b) => b,
        }
    }
}

/// What one write takes, in order.
pub type Batch = SmallVec<[Piece; 1]>;

/// Buffers given back by writes, for the queues that need one next: an idle queue holds none.
#[derive(Debug, Default)]
pub struct Pool {
    free: Vec<Vec<u8>>,
}

impl Pool {
    /// Buffers kept: one for each connection that may be written in a turn.
    const KEPT_MAX: usize = 4096;
    /// Larger buffers are given back to the allocator.
    const BUFFER_BYTES_MAX: usize = 16 * 1024;

    /// An empty buffer, with room if one is at hand.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity > 0 && capacity <= Self::BUFFER_BYTES_MAX && self.free.len() < Self::KEPT_MAX {
            buffer.clear();
            self.free.push(buffer);
        }
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
    pieces: VecDeque<Piece>,
    /// Octets in `tail` and `pieces`.
    waiting: usize,
    /// Octets handed to the write under way.
    in_flight: usize,
    /// When octets last began to wait or were last taken by the peer.
    progress: Now,
    /// Messages were left out since the queue last was low.
    skipped: bool,
}

impl Queue {
    /// Octets not yet taken by the peer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting + self.in_flight
    }

    /// Nothing waits and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    pub fn push_shared(&mut self, now: Now, body: Bytes) {
        self.note(now, body.len());
        if !self.tail.is_empty() {
            self.pieces.push_back(Piece::Own(std::mem::take(&mut self.tail)));
        }
        self.pieces.push_back(Piece::Shared(body));
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
        self.waiting += len;
    }

    /// What the next write takes; empty if nothing waits or a write is under way.
    pub fn take(&mut self) -> Batch {
        let mut batch = Batch::new();
        if self.in_flight > 0 {
            return batch;
        }
        while batch.len() < limits::WRITE_PIECES_MAX {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.in_flight += piece.as_slice().len();
            batch.push(piece);
        }
        if self.pieces.is_empty() && !self.tail.is_empty() && batch.len() < limits::WRITE_PIECES_MAX {
            self.in_flight += self.tail.len();
            batch.push(Piece::Own(std::mem::take(&mut self.tail)));
        }
        self.waiting -= self.in_flight;
        batch
    }

    /// The peer's system took `n` octets of the write under way.
    pub fn progress(&mut self, now: Now, n: usize) {
        self.in_flight = self.in_flight.saturating_sub(n);
        if n > 0 {
            self.progress = now;
        }
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

    /// A message was left out.
    pub fn skip(&mut self) {
        self.skipped = true;
    }

    /// Whether messages were left out and the queue has drained since; said once.
    pub fn recovered(&mut self) -> bool {
        self.len() <= limits::QUEUE_BYTES_SOFT / 4 && std::mem::take(&mut self.skipped)
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

    fn octets(batch: &Batch) -> Vec<u8> {
        batch.iter().flat_map(|p| p.as_slice().to_vec()).collect()
    }

    #[test]
    fn everything_leaves_in_one_write_in_the_order_it_came() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        q.push(Now(0), &mut pool, [b"a", b"b", b"c"]);
        q.push_shared(Now(0), Bytes::from_static(b"SHARED"));
        q.push_with(Now(0), &mut pool, |out| out.extend_from_slice(b"d"));
        q.push(Now(0), &mut pool, [b"e", b"", b""]);
        assert_eq!(q.len(), 11);
        let batch = q.take();
        assert_eq!(octets(&batch), b"abcSHAREDde");
        assert_eq!(batch.len(), 3);
        assert!(q.take().is_empty(), "one write at a time");
        q.progress(Now(1), 11);
        assert!(q.is_empty());
    }

    #[test]
    fn an_idle_queue_holds_no_buffer() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        q.push(Now(0), &mut pool, [b"hello", b"", b""]);
        let mut batch = q.take();
        q.progress(Now(0), 5);
        assert_eq!(q.tail.capacity(), 0);
        let Some(Piece::Own(buffer)) = batch.pop() else { panic!("own octets") };
        pool.give(buffer);
        assert!(pool.take().capacity() >= 5, "and the next queue gets it");
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
        q.skip();
        q.skip();
        assert_eq!((q.level(1, soft), q.recovered()), (Level::Soft, false));
        let n = q.take().iter().map(|p| p.as_slice().len()).sum();
        q.progress(Now(1), n);
        assert_eq!((q.recovered(), q.recovered()), (true, false));
    }

    #[test]
    fn a_stall_counts_from_the_last_progress() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        assert_eq!(q.stall_deadline(), None);
        q.push(Now(5), &mut pool, [b"hello", b"", b""]);
        assert_eq!(q.stall_deadline(), Some(Now(5) + limits::QUEUE_STALL));
        q.take();
        q.progress(Now(9), 2);
        assert_eq!(q.stall_deadline(), Some(Now(9) + limits::QUEUE_STALL));
        q.progress(Now(10), 3);
        assert_eq!(q.stall_deadline(), None);
    }

    #[test]
    fn many_pieces_leave_in_several_writes() {
        let (mut q, mut pool) = (Queue::default(), Pool::default());
        for _ in 0..limits::WRITE_PIECES_MAX {
            q.push(Now(0), &mut pool, [b"x", b"", b""]);
            q.push_shared(Now(0), Bytes::from_static(b"y"));
        }
        let mut all = Vec::new();
        while !q.is_empty() {
            let batch = q.take();
            assert!(batch.len() <= limits::WRITE_PIECES_MAX);
            let octets = octets(&batch);
            q.progress(Now(0), octets.len());
            all.extend(octets);
        }
        assert_eq!(all, b"xy".repeat(limits::WRITE_PIECES_MAX));
    }
}
