//! The messages that came whole lately, so that one which is sent again after the session was bound anew is known
//! (RFC 4975 §5.4).
//!
//! Touches: nothing. Bounds: `limits::RECENT_MESSAGES_MAX` since the session was bound, as many before.
//! Proved by: `tests/switch/messages.rs`.

use crate::base::id::MessageNo;
use crate::base::limits;
use ahash::RandomState;
use std::collections::VecDeque;

/// A message that came whole: a hash of its Message-ID stands for it. That another one has the same is as likely
/// as guessing a transaction.
#[derive(Clone, Copy, Debug)]
struct Came {
    id: u64,
    no: MessageNo,
}

/// What came whole through one session.
#[derive(Debug, Default)]
pub struct Recent {
    /// Since the session was bound, oldest first.
    now: VecDeque<Came>,
    /// Before that: who sends one of these again does not know that it arrived.
    before: VecDeque<Came>,
}

impl Recent {
    /// A message came whole.
    pub fn came(&mut self, id: &[u8], no: MessageNo) {
        if self.now.len() >= limits::RECENT_MESSAGES_MAX {
            self.now.pop_front();
        }
        self.now.push_back(Came { id: hash(id), no });
    }

    /// Whether a message of this name came before the session was bound anew.
    #[must_use]
    pub fn is_repeated(&self, id: &[u8]) -> bool {
        !self.before.is_empty() && self.before.iter().any(|came| came.id == hash(id))
    }

    /// The session is bound anew.
    pub fn turn(&mut self) {
        self.before.append(&mut self.now);
        let old = self.before.len().saturating_sub(limits::RECENT_MESSAGES_MAX);
        self.before.drain(..old);
    }

    /// The room did not take the message: it may come again.
    pub fn refused(&mut self, no: MessageNo) {
        self.now.retain(|came| came.no != no);
        self.before.retain(|came| came.no != no);
    }

    /// Messages known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }

    /// None is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One value for one Message-ID. Whoever makes two alike harms nobody but itself, so the key is no secret.
fn hash(id: &[u8]) -> u64 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one(id)
}
