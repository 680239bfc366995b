//! Visitors: participants who come, listen for a while and hang up, while the load runs.
//!
//! What a visitor must get is what is said while it is there, so it is judged within its visit: from each
//! publisher the numbers must rise by one. What is missing between two that came is lost; what it lacks at
//! the end cannot be told from what came after it left, and is not counted.
//!
//! Touches only its own tables; time is an argument. Bounded: one entry for each visitor that is in, and one
//! number in it for each publisher of the room.

use crate::hist::{Grain, Hist};
use crate::oracle::Findings;
use crate::pace::Interval;
use crate::stamp::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One visit, from the side of the connection.
#[derive(Debug)]
pub(crate) struct Visit {
    invited: u64,
    greeted: bool,
    last: HashMap<u16, u32>,
}

impl Visit {
    /// A visit whose INVITE was due at `invited`.
    pub(crate) fn new(invited: u64) -> Self {
        Self { invited, greeted: false, last: HashMap::new() }
    }

    /// A copy came; returns how many before it are missing, and `None` if it should not have come now.
    fn receive(&mut self, stamp: &Stamp, findings: &mut Findings) -> Option<u32> {
        match self.last.insert(stamp.publisher, stamp.number) {
            None => Some(0),
            Some(last) if stamp.number > last => Some(stamp.number - last - 1),
            Some(last) => {
                // The view stays where it was.
                self.last.insert(stamp.publisher, last);
                let found =
                    if stamp.number == last { &mut findings.duplicates } else { &mut findings.out_of_order };
                *found += 1;
                None
            }
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
            }
        }
        let Some(missing) = visit.receive(stamp, findings) else { return false };
        self.copies += 1;
        self.lost += u64::from(missing);
        missing == 0
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
        let (visits, findings) = judged("a7 a7 a9 a8 a10");
        assert_eq!((findings.duplicates, findings.out_of_order, visits.copies, visits.lost), (1, 1, 3, 1));
    }

    #[test]
    fn the_first_message_counts_from_the_invite() {
        let (visits, _) = judged("a7 a8");
        assert_eq!(visits.first.len(), 1);
        assert!((2_990.0..3_010.0).contains(&visits.first.us(1.0)));
    }
}
