//! The messages that came whole lately, so that one which is sent again after the session was bound anew is known
//! (RFC 4975 §5.4). Only what came in one part: of the first chunk of a longer one nobody can say whether it is the
//! same, and to hear a message twice is better than not at all.
//!
//! Touches: nothing. Bounds: `limits::RECENT_MESSAGES_MAX` since the session was bound, as many before.
//! Proved by: `tests/switch/messages.rs`.

use crate::base::id::MessageNo;
use crate::base::limits;
use ahash::RandomState;
use std::collections::VecDeque;

/// A message that came whole: a hash of its Message-ID, length and beginning stands for it. The Message-ID alone
/// would not do, since there are clients that begin to count anew after a reconnect.
#[derive(Clone, Copy, Debug)]
struct Came {
    hash: u64,
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
    pub fn came(&mut self, id: &[u8], body: &[u8], no: MessageNo) {
        if self.now.len() >= limits::RECENT_MESSAGES_MAX {
            self.now.pop_front();
        }
        self.now.push_back(Came { hash: hash(id, body), no });
    }

    /// Whether this message came before the session was bound anew.
    #[must_use]
    pub fn is_repeated(&self, id: &[u8], body: &[u8]) -> bool {
        if self.before.is_empty() {
            return false;
        }
        let hash = hash(id, body);
        self.before.iter().any(|came| came.hash == hash)
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

/// Octets of a message that tell it from others, with its length and Message-ID.
const BEGINNING: usize = 1024;

/// One value for one message. Whoever makes two alike harms nobody but itself, so the key is no secret.
fn hash(id: &[u8], body: &[u8]) -> u64 {
    let beginning = &body[..body.len().min(BEGINNING)];
    RandomState::with_seeds(1, 2, 3, 4).hash_one((id, body.len(), beginning))
}
