//! The rings between threads: one per ordered pair, wait-free, bounded; one wake per batch.
//!
//! ```text
//!           to shard 0   to shard 1   to the focus
//!  shard 0      –          ring         ring
//!  shard 1     ring         –           ring
//!  focus       ring        ring          –
//! ```
//!
//! A full ring spills into a list on the sender's side, in order; a shard whose lists grow too long
//! stops reading its connections until the others have caught up, so nothing is ever dropped.
//!
//! Bounds: `limits::RING_SLOTS` per ring, `RING_SPILL_MAX` per list.
//! Proved by: the tests below; `benches/hop.rs`.

use super::io::Bell;
use crate::base::limits;
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;

/// The sending end of one ring.
#[derive(Debug)]
pub struct Outbox<T> {
    ring: Producer<T>,
    spill: VecDeque<T>,
    bell: Bell,
    unannounced: bool,
}

/// The receiving end of one ring.
#[derive(Debug)]
pub struct Inbox<T> {
    ring: Consumer<T>,
}

/// A ring to the thread that `bell` wakes.
#[must_use]
pub fn ring<T>(bell: &Bell) -> (Outbox<T>, Inbox<T>) {
    ring_with(bell, limits::RING_SLOTS)
}

/// The same with `slots` places.
#[must_use]
pub fn ring_with<T>(bell: &Bell, slots: usize) -> (Outbox<T>, Inbox<T>) {
    let (producer, consumer) = RingBuffer::new(slots);
    let outbox = Outbox { ring: producer, spill: VecDeque::new(), bell: bell.clone(), unannounced: false };
    (outbox, Inbox { ring: consumer })
}

/// The rings between one shard and the others.
#[derive(Debug)]
pub struct Pairs<T> {
    /// To the other shards, by number; `None` at its own place.
    pub to: Vec<Option<Outbox<T>>>,
    /// From the other shards, by number; `None` at its own place.
    pub from: Vec<Option<Inbox<T>>>,
}

/// A ring for each ordered pair of the shards that these bells wake; each shard's share of them.
#[must_use]
pub fn pairs<T>(bells: &[Bell]) -> Vec<Pairs<T>> {
    let mut all: Vec<Pairs<T>> = bells.iter().map(|_| Pairs { to: Vec::new(), from: Vec::new() }).collect();
    for from in 0..bells.len() {
        for (to, bell) in bells.iter().enumerate() {
            let (outbox, inbox) = (from != to).then(|| ring(bell)).unzip();
            all[from].to.push(outbox);
            all[to].from.push(inbox);
        }
    }
    all
}

impl<T> Outbox<T> {
    /// Sends in order; never waits, never fails. The receiver learns of it with [`Outbox::flush`].
    pub fn push(&mut self, value: T) {
        self.unannounced = true;
        if !self.spill.is_empty() {
            return self.spill.push_back(value);
        }
        if let Err(rtrb::PushError::Full(value)) = self.ring.push(value) {
            self.spill.push_back(value);
        }
    }

    /// Sends if there is a place.
    ///
    /// # Errors
    /// Gives the value back if the ring is full.
    pub fn try_push(&mut self, value: T) -> Result<(), T> {
        if !self.spill.is_empty() || self.ring.is_full() {
            return Err(value);
        }
        self.push(value);
        Ok(())
    }

    /// Moves what spilled into the ring as far as there is room, and wakes the receiver if it sleeps.
    /// True if something is still spilled: flush again soon.
    pub fn flush(&mut self) -> bool {
        while let Some(value) = self.spill.pop_front() {
            self.unannounced = true;
            if let Err(rtrb::PushError::Full(value)) = self.ring.push(value) {
                self.spill.push_front(value);
                break;
            }
        }
        if std::mem::take(&mut self.unannounced) {
            self.bell.ring();
        }
        !self.spill.is_empty()
    }

    /// The list is as long as it may get: produce no more.
    #[must_use]
    pub fn is_clogged(&self) -> bool {
        self.spill.len() >= limits::RING_SPILL_MAX
    }
}

impl<T> Inbox<T> {
    /// The oldest value.
    pub fn pop(&mut self) -> Option<T> {
        self.ring.pop().ok()
    }

    /// Nothing is there just now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_full_ring_spills_and_keeps_the_order() {
        let bell = Bell::new().unwrap();
        let (mut out, mut inbox) = ring_with(&bell, 2);
        for n in 0..5 {
            out.push(n);
        }
        assert_eq!(out.try_push(9), Err(9));
        let mut got = Vec::new();
        loop {
            let more = out.flush();
            while let Some(n) = inbox.pop() {
                got.push(n);
            }
            if !more {
                break;
            }
        }
        assert_eq!(got, [0, 1, 2, 3, 4]);
        assert_eq!(out.try_push(5), Ok(()));
        assert_eq!(inbox.pop(), Some(5));
    }

    #[test]
    fn a_sleeper_never_misses_the_last_message() {
        let bell = Bell::new().unwrap();
        let set = super::super::io::WatchSet::new().unwrap();
        set.add(bell.fd(), 1).unwrap();
        let (mut out, mut inbox) = ring_with::<u32>(&bell, 4);
        let sender = std::thread::spawn(move || {
            for n in 0..20_000 {
                out.push(n);
                while out.flush() {
                    std::thread::yield_now();
                }
            }
        });
        let mut tokens = Vec::new();
        let mut next = 0;
        while next < 20_000 {
            bell.fall_asleep();
            if inbox.is_empty() {
                set.take(&mut tokens, 1, Duration::from_secs(60));
                assert!(!tokens.is_empty(), "the bell sounds");
                bell.silence();
            }
            bell.wake();
            while let Some(n) = inbox.pop() {
                assert_eq!(n, next);
                next += 1;
            }
        }
        sender.join().unwrap();
    }
}
