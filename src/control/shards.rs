//! The road from the control plane to the shards and back.
//!
//! Bounds: each inbox is a bounded channel; a full one gives the message back.

use crate::base::id::ShardId;
use crate::shard::message::{FromShard, ToShard};
use tokio::sync::mpsc;

/// The shards as the control plane sees them.
pub struct Shards {
    inboxes: Vec<mpsc::Sender<ToShard>>,
    events: mpsc::Receiver<FromShard>,
}

impl Shards {
    /// Shards behind channels, in the order of their ids.
    #[must_use]
    pub fn new(inboxes: Vec<mpsc::Sender<ToShard>>, events: mpsc::Receiver<FromShard>) -> Self {
        Self { inboxes, events }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.inboxes.len()).unwrap_or(u16::MAX)
    }

    /// Tells a shard; never waits.
    ///
    /// # Errors
    /// Gives the message back when the shard's inbox is full or the shard has stopped.
    pub fn tell(&mut self, shard: ShardId, message: ToShard) -> Result<(), ToShard> {
        let Some(inbox) = self.inboxes.get(shard.index()) else { return Err(message) };
        inbox.try_send(message).map_err(|e| match e {
            mpsc::error::TrySendError::Full(m) | mpsc::error::TrySendError::Closed(m) => m,
        })
    }

    /// The next event of any shard; waits for ever once all have stopped. May be dropped while it waits.
    pub async fn next(&mut self) -> FromShard {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
