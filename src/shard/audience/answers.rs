//! What recipients answer to copies, for the messages whose sender wants to know: counted ones, and private
//! ones that may fail.
//!
//! ```text
//!  begin ─► meant, copied … for each member ─► sent ─► answered · gone · due ─► Heard
//! ```
//!
//! A participant has a message if one of its endpoints answered the last part with 200; each endpoint's answer
//! is taken once, whatever it says and however often.
//!
//! Touches: nothing outside. Bounds: as many messages as the room's home follows
//! (`limits::ROOM_FOLLOWED_MAX`), each three bits per member.
//! Proved by: `tests/switch/counts.rs`, `tests/switch/private.rs`.

use crate::base::clock::Now;
use crate::base::id::{Seq, Token};
use crate::base::limits;
use crate::base::marks::Marks;
use ahash::AHashMap;
use std::collections::VecDeque;

/// What one shard has heard of a message, by the numbers that participants have in their room.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Who was to get it.
    pub meant: Marks,
    /// Who has it.
    pub got: Marks,
    /// Why the first that failed did; `None` also for whoever said nothing.
    pub code: Option<u16>,
}

/// A message whose copies are followed.
#[derive(Debug)]
pub struct Followed {
    heard: Heard,
    /// The participant that is not counted: the sender, unless it writes to itself.
    except: Option<u32>,
    /// Slots of members whose answer to the last part has not come.
    pending: Marks,
    /// The transaction of the last part, once that is out.
    tid: Option<Token>,
    sent: bool,
}

impl Followed {
    /// The participant `number` is to get the message.
    pub fn meant(&mut self, number: u32) {
        if self.except != Some(number) {
            self.heard.meant.insert(number);
        }
    }

    /// The last part was queued for the member in `slot`.
    pub fn copied(&mut self, slot: u32) {
        self.pending.insert(slot);
    }

    /// Some member does not get it.
    pub fn failed(&mut self, code: u16) {
        self.heard.code.get_or_insert(code);
    }
}

/// The followed messages of one room on one shard.
#[derive(Debug, Default)]
pub struct Answers {
    followed: AHashMap<Seq, Followed>,
    by_tid: AHashMap<Token, Seq>,
    /// Messages whose last part is out, in the order of their deadlines.
    due: VecDeque<(Now, Seq)>,
    /// Messages of which nothing more will be heard.
    done: Vec<Seq>,
    /// Somebody will look at the deadlines.
    pub timer: bool,
}

impl Answers {
    /// A message begins.
    pub fn begin(&mut self, seq: Seq, except: Option<u32>) {
        let (heard, pending) = (Heard::default(), Marks::default());
        self.followed.insert(seq, Followed { heard, except, pending, tid: None, sent: false });
    }

    /// The message, if it is followed.
    pub fn get_mut(&mut self, seq: Seq) -> Option<&mut Followed> {
        self.followed.get_mut(&seq)
    }

    /// The last part is out, if anybody was to get one in a transaction `tid`.
    pub fn sent(&mut self, now: Now, seq: Seq, tid: Option<Token>) {
        let Some(followed) = self.followed.get_mut(&seq) else { return };
        (followed.sent, followed.tid) = (true, tid);
        if followed.pending.is_empty() {
            return self.done.push(seq);
        }
        if let Some(tid) = tid {
            self.by_tid.insert(tid, seq);
        }
        if self.due.len() > 2 * limits::ROOM_FOLLOWED_MAX {
            // One that nobody answers must not keep the places of all that came after it.
            self.due.retain(|(_, seq)| self.followed.contains_key(seq));
        }
        self.due.push_back((now + limits::COPY_ANSWER_WAIT, seq));
    }

    /// The message ended unfinished: nobody has it, and nobody is told.
    pub fn forget(&mut self, seq: Seq) {
        self.followed.remove(&seq);
    }

    /// The member in `slot`, of the participant `number`, answered the last part of a message.
    pub fn answered(&mut self, tid: Token, slot: u32, number: u32, code: u16) {
        let Some(&seq) = self.by_tid.get(&tid) else { return };
        let Some(followed) = self.followed.get_mut(&seq) else { return };
        if !followed.pending.remove(slot) {
            return;
        }
        if code / 100 != 2 {
            followed.failed(code);
        } else if followed.except != Some(number) {
            followed.heard.got.insert(number);
        }
        if followed.pending.is_empty() {
            self.done.push(seq);
        }
    }

    /// The member in `slot` is gone and answers nothing any more. The slot may be somebody else's from now on.
    pub fn gone(&mut self, slot: u32) {
        for (seq, followed) in &mut self.followed {
            if followed.pending.remove(slot) {
                followed.failed(481);
                if followed.pending.is_empty() && followed.sent {
                    self.done.push(*seq);
                }
            }
        }
    }

    /// Who has not answered by now does not count.
    pub fn expire(&mut self, now: Now) {
        while let Some((_, seq)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            if self.followed.contains_key(&seq) {
                self.done.push(seq);
            }
        }
    }

    /// A message of which nothing more will be heard, with what was.
    pub fn take_done(&mut self) -> Option<(Seq, Heard)> {
        loop {
            let seq = self.done.pop()?;
            let Some(followed) = self.followed.remove(&seq) else { continue };
            if let Some(tid) = followed.tid {
                self.by_tid.remove(&tid);
            }
            return Some((seq, followed.heard));
        }
    }

    /// When [`Answers::expire`] has something to do.
    pub fn deadline(&mut self) -> Option<Now> {
        while self.due.front().is_some_and(|(_, seq)| !self.followed.contains_key(seq)) {
            self.due.pop_front();
        }
        self.due.front().map(|(due, _)| *due)
    }

    /// No message is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }
}
