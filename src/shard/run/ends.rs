//! A shard's ends of all rings: to and from the other shards, and the control plane.
//!
//! Touches: the rings and its own bell. Bounds: those of the rings (`mesh`); while any shard's lists are as long as they
//! may get, none reads, because what one reads another may have to pass on.
//! Proved by: the tests of `mesh`; `tests/end_to_end`.

use crate::base::id::ShardId;
use crate::shard::io::Bell;
use crate::shard::mesh::{Inbox, Outbox, Pairs};
use crate::shard::message::{FromShard, ShardMessage, ToShard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The ends of one shard.
pub struct Ends {
    bell: Bell,
    shards: Pairs<ShardMessage>,
    to_control: Outbox<FromShard>,
    from_control: Inbox<ToShard>,
    /// Something was pushed and not announced.
    unflushed: bool,
    /// How many shards have lists as long as they may get.
    clogged: Arc<AtomicUsize>,
    /// This shard is one of them.
    counted: bool,
}

impl Ends {
    /// The ends of the shard that `bell` wakes; `clogged` is the same for all shards of a server.
    #[must_use]
    pub fn new(
        bell: Bell,
        shards: Pairs<ShardMessage>,
        to_control: Outbox<FromShard>,
        from_control: Inbox<ToShard>,
        clogged: Arc<AtomicUsize>,
    ) -> Self {
        Self { bell, shards, to_control, from_control, unflushed: false, clogged, counted: false }
    }

    /// What wakes this shard.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// From now on this shard must be woken; if something came meanwhile, it is at once.
    pub(super) fn fall_asleep(&self) {
        self.bell.fall_asleep();
        if !self.from_control.is_empty() || !self.shards.from.iter().flatten().all(Inbox::is_empty) {
            self.bell.sound();
        }
    }

    /// The oldest command of the control plane.
    pub(super) fn command(&mut self) -> Option<ToShard> {
        self.from_control.pop()
    }

    /// Whether there are other shards.
    pub(super) fn has_others(&self) -> bool {
        self.shards.from.len() > 1
    }

    /// All shards, this one among them.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.from.len()).map(|i| ShardId(i as u16))
    }

    /// The oldest message of another shard.
    pub(super) fn message(&mut self, from: ShardId) -> Option<ShardMessage> {
        self.shards.from.get_mut(from.index())?.as_mut()?.pop()
    }

    /// To another shard, in order; it learns of it with [`Ends::flush`].
    pub(super) fn send(&mut self, to: ShardId, message: ShardMessage) {
        if let Some(Some(outbox)) = self.shards.to.get_mut(to.index()) {
            self.unflushed = true;
            outbox.push(message);
        }
    }

    /// To the control plane, in order; it learns of it with [`Ends::flush`].
    pub(super) fn tell(&mut self, event: FromShard) {
        self.unflushed = true;
        self.to_control.push(event);
    }

    /// Some shard's lists are too long: read no connection.
    pub(super) fn clogged(&self) -> bool {
        self.clogged.load(Ordering::Relaxed) > 0
    }

    /// Something was pushed and not announced.
    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Announces what was pushed: one wake per thread, and only for those that sleep. True if something did not fit
    /// into its ring: flush again soon.
    pub(super) fn flush(&mut self) -> bool {
        self.unflushed = false;
        let mut spilled = self.to_control.flush();
        for outbox in self.shards.to.iter_mut().flatten() {
            spilled |= outbox.flush();
        }
        self.count_clogged();
        spilled
    }

    /// Tells the other shards whether the lists here are too long.
    fn count_clogged(&mut self) {
        let mut lists = self.shards.to.iter().flatten();
        let clogged = lists.any(Outbox::is_clogged) || self.to_control.is_clogged();
        if clogged != std::mem::replace(&mut self.counted, clogged) {
            if clogged {
                self.clogged.fetch_add(1, Ordering::Relaxed);
            } else {
                self.clogged.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
