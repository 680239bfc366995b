//! A connection as two streams of octets with something between them: cut at any place, standing
//! still, deaf in one direction, closed.

use crate::base::clock::Now;
use crate::base::id::ConnId;
use crate::wire::msrp::frame::Framer;
use std::collections::VecDeque;

/// How a participant reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reads {
    /// All there is.
    All,
    /// A few octets at a time.
    Slowly,
    /// Nothing.
    Never,
}

/// Where a request of the participant lies in what it sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Position of its first octet.
    pub(super) start: u64,
    /// Position behind its last octet.
    pub(super) end: u64,
    /// Which request.
    pub(super) request: u32,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the switch has it; `None` while it moves and after it ended.
    pub(super) at: Option<(usize, ConnId)>,
    /// It is on its way to another shard.
    pub(super) moving: bool,
    /// The switch reads it.
    pub(super) go: bool,
    /// The switch wants to look at what it kept.
    pub(super) resume: bool,
    /// The switch may have something to write.
    pub(super) want_write: bool,
    /// The switch closes it once everything is written.
    pub(super) closing: bool,
    /// The switch or the network ended it.
    pub(super) dead: bool,
    /// The participant closes it once everything has arrived.
    pub(super) fin: bool,
    /// Nothing moves before.
    pub(super) stalled: Now,
    /// What the participant sends is swallowed; the switch does not learn it.
    pub(super) deaf: bool,
    /// Octets arrive one by one.
    pub(super) split: bool,
    /// How the participant reads.
    pub(super) reads: Reads,
    /// To the switch.
    pub(super) up: VecDeque<u8>,
    /// Octets ever sent to the switch, and ever given to it.
    pub(super) sent: u64,
    pub(super) fed: u64,
    pub(super) marks: VecDeque<Mark>,
    /// To the participant.
    pub(super) down: VecDeque<u8>,
    /// What the participant read and that is not a whole frame.
    pub(super) unread: Vec<u8>,
    pub(super) framer: Framer,
}

impl Link {
    /// A connection that the switch has at `at`.
    pub(super) fn new(at: (usize, ConnId), split: bool, reads: Reads) -> Self {
        Self {
            at: Some(at),
            moving: false,
            go: true,
            resume: false,
            want_write: false,
            closing: false,
            dead: false,
            fin: false,
            stalled: Now(0),
            deaf: false,
            split,
            reads,
            up: VecDeque::new(),
            sent: 0,
            fed: 0,
            marks: VecDeque::new(),
            down: VecDeque::new(),
            unread: Vec::new(),
            framer: Framer::default(),
        }
    }

    /// The participant can send on it.
    pub(super) fn usable(&self) -> bool {
        !self.dead && !self.fin && !self.deaf && !self.closing
    }

    /// The participant sends a request.
    pub(super) fn send(&mut self, octets: &[u8], request: Option<u32>) {
        if self.dead || self.fin {
            return;
        }
        let start = self.sent;
        self.sent += octets.len() as u64;
        self.up.extend(octets);
        if let Some(request) = request {
            self.marks.push_back(Mark { start, end: self.sent, request });
        }
    }

    /// There is something the switch would read.
    pub(super) fn can_feed(&self, now: Now) -> bool {
        let moves = self.at.is_some() && self.stalled <= now && !self.deaf;
        moves && (self.go && !self.up.is_empty() || self.fin && self.up.is_empty())
    }

    /// There is something to write and room for it.
    pub(super) fn can_write(&self, now: Now, room: usize) -> bool {
        let wants = self.want_write || self.closing;
        self.at.is_some() && wants && self.stalled <= now && self.down.len() < room
    }

    /// There is something the participant would read.
    pub(super) fn can_read(&self, now: Now) -> bool {
        !self.down.is_empty() && self.stalled <= now && !self.deaf && self.reads != Reads::Never
    }
}
