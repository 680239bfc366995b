//! Visitors: participants who come, listen for a while and hang up, while the load runs.
//!
//! What a visitor must get is what is said while it is there, so it is judged within its visit: from each
//! publisher the numbers must rise by one. What is missing between two that came is lost, unless it comes later and is out
//! of order; what it lacks at the end cannot be told from what came after it left, and is not counted.
//!
//! Touches only its own tables; time is an argument. Bounded: one entry for each visitor that is in, and two
//! numbers in it for each publisher of the room; a histogram for each slice of time.

use crate::hist::{Grain, Hist};
use crate::oracle::Findings;
use crate::pace::Interval;
use crate::stamp::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What a join is made of, each part from the end of the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stages {
    /// From when the INVITE was due to when it was handed over: the connection for SIP, where each has its own, with
    /// its TLS handshake; and what the harness was late.
    pub(crate) ready: Hist,
    /// From there to the 200.
    pub(crate) answered: Hist,
    /// To the answer to the binding request: the MSRP connection is in it.
    pub(crate) bound: Hist,
    /// To the first message; of visitors.
    pub(crate) heard: Hist,
}

impl Default for Stages {
    fn default() -> Self {
        let empty = || Hist::new(Grain::Fine);
        Self { ready: empty(), answered: empty(), bound: empty(), heard: empty() }
    }
}

/// When a participant was how far on its way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The INVITE was due.
    pub(crate) due: u64,
    /// It was handed over.
    pub(crate) ready: u64,
    /// Its 200 was there.
    pub(crate) answered: u64,
    /// The binding was answered.
    pub(crate) bound: u64,
}

impl Stages {
    /// Somebody came in.
    pub(crate) fn note(&mut self, way: &Way) {
        self.ready.record(way.ready.saturating_sub(way.due));
        self.answered.record(way.answered.saturating_sub(way.ready));
        self.bound.record(way.bound.saturating_sub(way.answered));
    }

    /// Adds what others measured.
    pub(crate) fn add(&mut self, other: &Self) {
        self.ready.add(&other.ready);
        self.answered.add(&other.answered);
        self.bound.add(&other.bound);
        self.heard.add(&other.heard);
    }
}

/// One visit, from the side of the connection.
#[derive(Debug)]
pub(crate) struct Visit {
    invited: u64,
    /// When the binding was answered.
    bound: Option<u64>,
    greeted: bool,
    heard: HashMap<u16, Heard>,
}

/// What a visitor has of one publisher.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The highest number.
    last: u32,
    /// Which of the 64 up to that it has: bit 0 is `last`.
    have: u64,
    /// The first number, of the beginning of the visit.
    first: u32,
}

/// What a copy is to a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copy {
    /// It follows, after so many that are missing.
    Follows(u32),
    /// It was missing until now.
    Late,
    /// It was there already, or is so old that nobody knows.
    Again,
    /// It was said before the first that came.
    Early,
}

impl Heard {
    fn from(first: u32) -> Self {
        Self { last: first, have: 1, first }
    }

    fn hear(&mut self, number: u32) -> Copy {
        if number > self.last {
            let step = number - self.last;
            self.have = self.have.checked_shl(step).unwrap_or(0) | 1;
            self.last = number;
            return Copy::Follows(step - 1);
        }
        if number < self.first {
            return Copy::Early;
        }
        match 1_u64.checked_shl(self.last - number) {
            Some(bit) if self.have & bit == 0 => {
                self.have |= bit;
                Copy::Late
            }
            _ => Copy::Again,
        }
    }
}

impl Visit {
    /// A visit whose INVITE was due at `invited`.
    pub(crate) fn new(invited: u64) -> Self {
        Self { invited, bound: None, greeted: false, heard: HashMap::new() }
    }

    /// The binding was answered.
    pub(crate) fn bound(&mut self, now: u64) {
        self.bound = Some(now);
    }

    fn receive(&mut self, stamp: &Stamp) -> Copy {
        match self.heard.entry(stamp.publisher) {
            Entry::Vacant(place) => {
                place.insert(Heard::from(stamp.number));
                Copy::Follows(0)
            }
            Entry::Occupied(heard) => heard.into_mut().hear(stamp.number),
        }
    }
}

/// What visitors found in the rooms, and how long it took them to get there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Visits {
    /// Copies they got.
    pub(crate) copies: u64,
    /// Copies missing between two that came.
    pub(crate) lost: u64,
    /// Visits begun, whose INVITE was due in the measured interval.
    pub(crate) begun: u64,
    /// Of these, how many came in.
    pub(crate) entered: u64,
    /// Of these, how many did not.
    pub(crate) failed: u64,
    /// Why, the first time.
    pub(crate) first_failure: Option<String>,
    /// From when the INVITE was due to its 200.
    pub(crate) invite: Hist,
    /// … to the answer to the binding request.
    pub(crate) bound: Hist,
    /// … to the first message.
    pub(crate) first: Hist,
    /// The same in parts.
    pub(crate) stages: Stages,
    /// By slice of the interval: when they came in.
    pub(crate) slices: Vec<JoinSlice>,
}

/// Those who came in within a slice of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinSlice {
    pub(crate) entered: u64,
    /// From when the INVITE was due to the binding.
    pub(crate) bound: Hist,
}

impl Default for JoinSlice {
    fn default() -> Self {
        Self { entered: 0, bound: Hist::new(Grain::Middle) }
    }
}

impl Default for Visits {
    fn default() -> Self {
        let empty = || Hist::new(Grain::Fine);
        Self {
            copies: 0,
            lost: 0,
            begun: 0,
            entered: 0,
            failed: 0,
            first_failure: None,
            invite: empty(),
            bound: empty(),
            first: empty(),
            stages: Stages::default(),
            slices: Vec::new(),
        }
    }
}

impl Visits {
    /// A copy came to a visitor at `now`. `interval`: how long the first one took is measured for visits due in it.
    /// Whether all is well.
    pub(crate) fn receive(
        &mut self,
        visit: &mut Visit,
        stamp: &Stamp,
        now: u64,
        interval: Interval,
        findings: &mut Findings,
    ) -> bool {
        if !visit.greeted {
            visit.greeted = true;
            if interval.holds(visit.invited) {
                self.first.record(now.saturating_sub(visit.invited));
                // What comes before the answer has been under way before it.
                self.stages.heard.record(now.saturating_sub(visit.bound.unwrap_or(now)));
            }
        }
        let copy = visit.receive(stamp);
        match copy {
            Copy::Follows(missing) => self.lost += u64::from(missing),
            Copy::Late => {
                self.lost = self.lost.saturating_sub(1);
                findings.out_of_order += 1;
            }
            Copy::Early => findings.out_of_order += 1,
            Copy::Again => findings.duplicates += 1,
        }
        self.copies += u64::from(copy != Copy::Again);
        copy == Copy::Follows(0)
    }

    /// Adds what others found.
    pub(crate) fn add(&mut self, other: &Self) {
        self.copies += other.copies;
        self.lost += other.lost;
        self.begun += other.begun;
        self.entered += other.entered;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or_else(|| other.first_failure.clone());
        self.invite.add(&other.invite);
        self.bound.add(&other.bound);
        self.first.add(&other.first);
        self.stages.add(&other.stages);
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), JoinSlice::default);
        }
        for (a, b) in self.slices.iter_mut().zip(&other.slices) {
            a.entered += b.entered;
            a.bound.add(&b.bound);
        }
    }

    /// Somebody whose INVITE was due in `interval` came in.
    pub(crate) fn entered(&mut self, way: &Way, interval: Interval) {
        self.entered += 1;
        self.invite.record(way.answered.saturating_sub(way.due));
        self.bound.record(way.bound.saturating_sub(way.due));
        self.stages.note(way);
        // Who came in after the end is counted, but belongs to no slice.
        if let Some(at) = interval.slice_of(way.bound) {
            if self.slices.len() <= at {
                self.slices.resize_with(at + 1, JoinSlice::default);
            }
            self.slices[at].entered += 1;
            self.slices[at].bound.record(way.bound.saturating_sub(way.due));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `script`: publisher and number of each copy.
    fn judged(script: &str) -> (Visits, Findings) {
        let (mut visits, mut findings, mut visit) =
            (Visits::default(), Findings::default(), Visit::new(1_000_000));
        let interval = Interval { from: 0, to: 5_000_000 };
        for copy in script.split_whitespace() {
            let publisher = u16::from(copy.as_bytes()[0] - b'a');
            let stamp = Stamp { room: 0, publisher, number: copy[1..].parse().unwrap(), due: 0 };
            visits.receive(&mut visit, &stamp, 4_000_000, interval, &mut findings);
        }
        (visits, findings)
    }

    #[test]
    fn who_comes_in_the_middle_gets_everything_from_there_on() {
        let (visits, findings) = judged("a7 b100 a8 a9 b101");
        assert_eq!((visits.copies, visits.lost, findings.wrong()), (5, 0, 0));
    }

    #[test]
    fn a_gap_within_a_visit_is_a_loss() {
        assert_eq!(judged("a7 a9 a12").0.lost, 3);
    }

    #[test]
    fn a_repeated_copy_and_a_late_one_are_told_apart() {
        let found = |script: &str| {
            let (visits, findings) = judged(script);
            (findings.duplicates, findings.out_of_order, visits.copies, visits.lost)
        };
        assert_eq!(found("a7 a7 a9 a8 a10"), (1, 1, 4, 0), "what comes late is not lost");
        assert_eq!(found("a7 a8 a9 a7 a8 a9"), (3, 0, 3, 0), "a repeat of any that came");
        assert_eq!(found("a7 a9 a8 a8 a10"), (1, 1, 4, 0), "late, and then again");
        assert_eq!(found("a7 a6 a8"), (0, 1, 3, 0), "said before it came in");
        assert_eq!(found("a7 a200 a100 a199"), (1, 1, 3, 191), "too old to be known, and late");
        assert_eq!(found("a7 b7 b7 a8"), (1, 0, 3, 0), "of two publishers");
    }

    #[test]
    fn the_parts_of_a_join_add_up_to_the_whole_and_stand_where_it_was_done() {
        let interval = Interval { from: 0, to: 1_000_000_000 };
        let mut visits = Visits::default();
        for due in [10_000_000, 600_000_000] {
            let way = Way { due, ready: due + 1_000, answered: due + 5_000, bound: due + 7_000 };
            visits.entered(&way, interval);
        }
        // Came in after the end: counted, in no slice.
        let late = Way { due: 999_000_000, ready: 999_001_000, answered: 999_005_000, bound: 1_200_000_000 };
        visits.entered(&late, interval);
        let mut sum = Visits::default();
        sum.add(&visits);
        let middle = |h: &Hist| h.us(0.5).round();
        let s = &sum.stages;
        assert_eq!([&s.ready, &s.answered, &s.bound, &sum.bound].map(middle), [1.0, 4.0, 2.0, 7.0]);
        assert_eq!(sum.slices.iter().map(|s| s.entered).collect::<Vec<_>>(), [1, 0, 1]);
        assert_eq!(sum.entered, 3);
    }

    #[test]
    fn the_first_message_counts_from_the_invite() {
        let (visits, _) = judged("a7 a8");
        assert_eq!(visits.first.len(), 1);
        assert!((2_990.0..3_010.0).contains(&visits.first.us(1.0)));
    }
}
