//! What a session still owes its peer: answers to requests whose verdict is on its way from the
//! room's home shard, and reports about messages whose recipients have not all answered.
//!
//! Only sessions that live on another shard than their room's home ever wait for a verdict; at home
//! it is there in the same turn.

use crate::base::id::MessageNo;
use crate::base::limits;
use crate::wire::msrp::head::FailureReport;
use std::collections::VecDeque;

/// What must be known of a SEND to answer it and to report on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The transaction identifier.
    pub tid: Box<[u8]>,
    /// The whole From-Path: the answer goes to its first URI, a REPORT to all of it.
    pub from_path: Box<[u8]>,
    /// The report model of the request.
    pub failure_report: FailureReport,
    /// The answer goes back the whole path and is always given: a request that is not SEND.
    pub whole_path: bool,
    /// The sender wants to hear that the room has the message.
    pub success: bool,
    /// The sender wants to hear how many have it.
    pub count: bool,
    /// Its number, if more is told of it later: a count, or that a private one failed.
    pub follow: Option<MessageNo>,
    /// What reports about the message say; `None` while nothing is to be reported.
    pub whole: Option<Whole>,
}

/// What reports about a message say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    /// The Message-ID of the message.
    pub message_id: Box<[u8]>,
    /// Its length.
    pub len: u64,
    /// For a private message: the wrapper with its From and To that the report carries (CHAT-REP-05).
    pub about: Option<Box<[u8]>>,
}

/// A message that was answered, and of which more may be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reported {
    /// The whole From-Path of the SEND.
    pub from_path: Box<[u8]>,
    /// Which message.
    pub whole: Whole,
    /// How many have it is wanted.
    pub count: bool,
    /// That nobody has it is wanted.
    pub failure: bool,
}

/// Requests without an answer, oldest first.
#[derive(Debug, Default)]
pub struct Owed {
    /// At most `limits::VERDICTS_PENDING_MAX`: then the connection is not read (see [`Owed::full`]).
    waiting: VecDeque<(MessageNo, Receipt)>,
    /// Messages whose verdict has not come, oldest first: at most as many as were begun.
    undecided: VecDeque<MessageNo>,
    /// At most `limits::SESSION_FOLLOWED_MAX`.
    reported: Vec<(MessageNo, Reported)>,
}

impl Owed {
    /// A message was passed to its home shard; its verdict will come.
    pub fn await_verdict(&mut self, no: MessageNo) {
        self.undecided.push_back(no);
    }

    /// Whether the verdict on `no` is still on its way.
    #[must_use]
    pub fn is_undecided(&self, no: MessageNo) -> bool {
        self.undecided.contains(&no)
    }

    /// Keeps a request until the verdict on its message comes.
    pub fn keep(&mut self, no: MessageNo, receipt: Receipt) {
        self.waiting.push_back((no, receipt));
    }

    /// The verdict on `no` has come: the requests that waited for it, in their order.
    pub fn decide(&mut self, no: MessageNo) -> impl Iterator<Item = Receipt> {
        self.undecided.retain(|&n| n != no);
        let mut rest = VecDeque::new();
        let mut due = Vec::new();
        for (n, receipt) in self.waiting.drain(..) {
            if n == no {
                due.push(receipt);
            } else {
                rest.push_back((n, receipt));
            }
        }
        self.waiting = rest;
        due.into_iter()
    }

    /// Keeps what reports about message `no` will say until its outcome comes.
    ///
    /// # Errors
    /// Gives it back if there are too many.
    pub fn follow(&mut self, no: MessageNo, reported: Reported) -> Result<(), Reported> {
        if self.reported.len() >= limits::SESSION_FOLLOWED_MAX {
            return Err(reported);
        }
        self.reported.push((no, reported));
        Ok(())
    }

    /// The outcome of message `no` has come: what is to be reported of it.
    pub fn outcome(&mut self, no: MessageNo) -> Option<Reported> {
        let place = self.reported.iter().position(|(n, _)| *n == no)?;
        Some(self.reported.swap_remove(place).1)
    }

    /// Nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.undecided.is_empty() && self.reported.is_empty()
    }

    /// No more requests may be taken until a verdict comes.
    #[must_use]
    pub fn full(&self) -> bool {
        self.undecided.len() >= limits::VERDICTS_PENDING_MAX
            || self.waiting.len() >= limits::VERDICTS_PENDING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(tid: &str) -> Receipt {
        Receipt {
            tid: tid.as_bytes().into(),
            from_path: b"msrp://a:1/x;tcp".as_slice().into(),
            failure_report: FailureReport::Yes,
            whole_path: false,
            success: false,
            count: false,
            follow: None,
            whole: None,
        }
    }

    #[test]
    fn a_verdict_releases_the_requests_of_its_message_in_order() {
        let mut owed = Owed::default();
        for no in [1, 2] {
            owed.await_verdict(MessageNo(no));
        }
        owed.keep(MessageNo(1), receipt("aaaa"));
        owed.keep(MessageNo(2), receipt("bbbb"));
        owed.keep(MessageNo(1), receipt("cccc"));
        let tids: Vec<_> = owed.decide(MessageNo(1)).map(|r| r.tid).collect();
        assert_eq!(tids, [b"aaaa".as_slice().into(), b"cccc".as_slice().into()] as [Box<[u8]>; 2]);
        assert!(!owed.is_undecided(MessageNo(1)) && owed.is_undecided(MessageNo(2)));
        assert!(!owed.is_empty());
        assert_eq!(owed.decide(MessageNo(2)).count(), 1);
        assert!(owed.is_empty());
    }

    #[test]
    fn too_many_undecided_messages_stop_the_reading() {
        let mut owed = Owed::default();
        for no in 0..limits::VERDICTS_PENDING_MAX as u32 {
            assert!(!owed.full());
            owed.await_verdict(MessageNo(no));
        }
        assert!(owed.full());
        assert_eq!(owed.decide(MessageNo(0)).count(), 0);
        assert!(!owed.full());
    }
}
