//! The deadlines of one shard: a heap of times, each with what to look at when it comes.
//!
//! A timer is a reason to look, not a fact: whoever is looked at knows whether its time has really
//! come, so nothing is ever cancelled and a timer that outlived its purpose costs one look.

use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, RoomId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What to look at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// A session that nobody has bound yet, or that we are binding.
    Grant(EndpointId),
    /// A session with unfinished messages.
    Open(EndpointId),
    /// A connection without a session, or with a head that is not whole.
    Quiet(ConnId),
    /// A connection with octets waiting to be taken.
    Stall(ConnId),
    /// A connection that is being closed.
    Closing(ConnId),
    /// An endpoint that missed messages in a room that has nobody miss any.
    Slow(EndpointId),
    /// Senders that wait for their recipients.
    Relief,
    /// Messages of a room whose copies nobody has answered.
    Answers(RoomId),
    /// Senders that are to be told what became of their messages.
    Outcomes,
}

/// All deadlines of a shard.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Now, Timer)>>,
}

impl Timers {
    /// Look at `timer` at `due`.
    pub fn set(&mut self, due: Now, timer: Timer) {
        self.heap.push(Reverse((due, timer)));
    }

    /// The next timer whose time has come.
    pub fn due(&mut self, now: Now) -> Option<Timer> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }

    /// Gives back memory that a crowd needed and nobody needs now.
    pub fn shrink(&mut self) {
        if self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(2 * self.heap.len());
        }
    }

    /// When the next timer's time comes.
    #[must_use]
    pub fn next(&self) -> Option<Now> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_the_order_of_their_time() {
        let mut timers = Timers::default();
        let conn = ConnId { slot: 1, generation: 0 };
        timers.set(Now(20), Timer::Stall(conn));
        timers.set(Now(10), Timer::Grant(EndpointId(1)));
        assert_eq!(timers.next(), Some(Now(10)));
        assert_eq!(timers.due(Now(9)), None);
        assert_eq!(timers.due(Now(20)), Some(Timer::Grant(EndpointId(1))));
        assert_eq!(timers.due(Now(20)), Some(Timer::Stall(conn)));
        assert_eq!((timers.due(Now(99)), timers.next()), (None, None));
    }

    #[test]
    fn a_crowd_of_timers_leaves_no_memory_behind() {
        let mut timers = Timers::default();
        (0..10_000).for_each(|n| timers.set(Now(n), Timer::Relief));
        timers.shrink();
        while timers.due(Now(9_899)).is_some() {}
        assert!(timers.heap.capacity() >= 10_000);
        timers.shrink();
        assert!(timers.heap.capacity() < 1_000, "{}", timers.heap.capacity());
        assert_eq!(timers.next(), Some(Now(9_900)));
    }
}
