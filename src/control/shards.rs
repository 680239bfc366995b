//! The road from the control plane to the shards and back.
//!
//! Bounds: a ring each way per shard (`limits::RING_SLOTS`); a full one gives the message back.

use crate::base::id::ShardId;
use crate::base::limits;
use crate::shard::io::Bell;
use crate::shard::mesh::{self, Inbox, Outbox};
use crate::shard::message::{FromShard, ToShard};
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The shards as the control plane sees them.
pub struct Shards {
    outboxes: Vec<Outbox<ToShard>>,
    inboxes: Vec<Inbox<FromShard>>,
    /// The inbox to look at first, so that none is starved.
    turn: usize,
    bell: Bell,
    /// The bell's descriptor, waited for as if it were a stream.
    sound: UnixStream,
}

/// One shard's ends of its rings with the control plane.
pub struct ShardEnd {
    /// What the control plane tells.
    pub inbox: Inbox<ToShard>,
    /// What the shard says.
    pub outbox: Outbox<FromShard>,
}

impl Shards {
    /// Rings to shards that are woken by `bells`, in the order of their ids. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn connect(bells: &[Bell]) -> io::Result<(Self, Vec<ShardEnd>)> {
        let bell = Bell::new()?;
        let (mut outboxes, mut inboxes, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for theirs in bells {
            let (to, inbox) = mesh::ring(theirs);
            let (outbox, from) = mesh::ring(&bell);
            outboxes.push(to);
            inboxes.push(from);
            ends.push(ShardEnd { inbox, outbox });
        }
        let sound = UnixStream::from_std(StdStream::from(bell.waitable()?))?;
        Ok((Self { outboxes, inboxes, turn: 0, bell, sound }, ends))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.outboxes.len()).unwrap_or(u16::MAX)
    }

    /// Tells a shard; never waits.
    ///
    /// # Errors
    /// Gives the message back when the shard's inbox is full, or there is no such shard.
    pub fn tell(&mut self, shard: ShardId, message: ToShard) -> Result<(), ToShard> {
        let Some(outbox) = self.outboxes.get_mut(shard.index()) else { return Err(message) };
        outbox.try_push(message)?;
        outbox.flush();
        Ok(())
    }

    /// The next event of any shard. May be dropped while it waits.
    pub async fn next(&mut self) -> FromShard {
        loop {
            if let Some(event) = self.pop() {
                return event;
            }
            self.bell.fall_asleep();
            if let Some(event) = self.pop() {
                self.bell.wake();
                return event;
            }
            if self.sound.readable().await.is_ok() {
                // Reading empties the descriptor, and saying so lets the next wait wait.
                let silence = || -> io::Result<()> {
                    self.bell.silence();
                    Err(io::ErrorKind::WouldBlock.into())
                };
                let _ = self.sound.try_io(Interest::READABLE, silence);
            }
            self.bell.wake();
        }
    }

    /// What the shards have said up to now, at most a ring's worth of each; does not wait.
    pub fn said(&mut self) -> impl Iterator<Item = FromShard> + '_ {
        let most = self.inboxes.len() * limits::RING_SLOTS;
        std::iter::from_fn(|| self.pop()).take(most)
    }

    fn pop(&mut self) -> Option<FromShard> {
        let n = self.inboxes.len();
        for i in 0..n {
            let at = (self.turn + i) % n;
            if let Some(event) = self.inboxes[at].pop() {
                self.turn = (at + 1) % n;
                return Some(event);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::EndpointId;

    #[tokio::test]
    async fn events_of_a_thread_that_sleeps_between_them_all_arrive() {
        let bells = [Bell::new().unwrap(), Bell::new().unwrap()];
        let (mut shards, ends) = Shards::connect(&bells).unwrap();
        assert_eq!(shards.count(), 2);
        let threads: Vec<_> = ends
            .into_iter()
            .map(|mut end| {
                std::thread::spawn(move || {
                    for n in 0..500 {
                        end.outbox.push(FromShard::Bound { endpoint: EndpointId(n) });
                        while end.outbox.flush() {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..1000 {
            assert!(matches!(shards.next().await, FromShard::Bound { .. }));
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
    }

    #[tokio::test]
    async fn what_was_said_is_there_before_it_is_announced() {
        let bells = [Bell::new().unwrap(), Bell::new().unwrap()];
        let (mut shards, mut ends) = Shards::connect(&bells).unwrap();
        for end in &mut ends {
            end.outbox.push(FromShard::Bound { endpoint: EndpointId(1) });
            end.outbox.push(FromShard::Bound { endpoint: EndpointId(2) });
        }
        assert_eq!(shards.said().count(), 4);
        assert_eq!(shards.said().count(), 0);
    }

    #[tokio::test]
    async fn a_full_inbox_gives_the_message_back() {
        let bells = [Bell::new().unwrap()];
        let (mut shards, _ends) = Shards::connect(&bells).unwrap();
        let sent = (0..).take_while(|_| shards.tell(ShardId(0), ToShard::Drain).is_ok()).count();
        assert_eq!(sent, limits::RING_SLOTS);
        assert!(shards.tell(ShardId(1), ToShard::Drain).is_err(), "there is no such shard");
    }
}
