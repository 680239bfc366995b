//! The judge: every message reaches every other participant of its room exactly once, and all of them
//! in one order.
//!
//! **Exactly once.** Each receiver keeps, per publisher of its room, the next number it expects and a
//! map of the last [`RECENT`] numbers. A number seen again is a duplicate; a lower one that is missing
//! from the map came late (out of order); what never comes is lost, counted at the end.
//!
//! **One order.** Publishers do not get their own messages, so only *listeners* (who never publish) see
//! all of a room. The first listener that sees a message gives it the room's next position; every
//! receiver must meet rising positions. A publisher may be ahead of all listeners: what it saw
//! without a position waits in a short list until there is one.
//!
//! ```text
//! listener 1:  a0 b0 a1     positions a0=0 b0=1 a1=2
//! listener 2:  a0 a1 b0     0, 2, then 1: out of order
//! publisher b: a0 a1        0, 2: fine
//! ```
//!
//! Touches nothing but its own tables. Their size is fixed by rooms × participants × publishers, and
//! positions are kept for the last [`Oracle::remembered`] numbers of each publisher: what is older
//! when it comes is counted as unchecked, never as right. The tests below prove that each kind of
//! fault is found.

use crate::stamp::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Numbers below the expected one that a receiver remembers.
const RECENT: u32 = 64;
/// Octets of all position tables together.
const POSITIONS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages of one publisher whose position is remembered, at most.
const REMEMBERED_MAX: usize = 8192;
/// Messages a publisher may have seen before any listener did; beyond, the oldest goes unchecked.
const WAITING_MAX: usize = 1024;

/// Who takes part, for one thread of the harness: rooms are numbered from 0 here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Rooms of this thread.
    pub(crate) rooms: u32,
    /// Participants of each room; the first ones publish.
    pub(crate) participants: u32,
    /// Publishers of each room, fewer than participants.
    pub(crate) publishers: u32,
    /// Messages that one publisher has under way at most, as far as is known.
    pub(crate) window: u32,
    /// Whether everyone must get them in the same order; otherwise only each publisher's own order counts.
    pub(crate) ordered: bool,
}

/// What a copy was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first copy of a message for this receiver; order is counted apart.
    First,
    /// Seen before.
    Duplicate,
    /// Not for this receiver: of another room, an unknown publisher or its own.
    Stray,
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Copies that came for the first time.
    pub(crate) delivered: u64,
    /// Copies beyond the first.
    pub(crate) duplicates: u64,
    /// Copies that came after one they should have preceded.
    pub(crate) out_of_order: u64,
    /// Copies for someone else.
    pub(crate) strays: u64,
    /// Copies whose place in the room's order could not be judged.
    pub(crate) order_unchecked: u64,
}

impl Findings {
    /// Adds what another judge found.
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.strays += other.strays;
        self.order_unchecked += other.order_unchecked;
    }

    /// Copies that should not have come, or not then.
    pub(crate) fn wrong(&self) -> u64 {
        self.duplicates + self.out_of_order + self.strays
    }
}

/// What one receiver expects of one publisher.
#[derive(Clone, Copy, Default)]
struct Expected {
    next: u32,
    /// How many of them came.
    came: u32,
    /// Bit `i`: number `next - 1 - i` was seen.
    recent: u64,
}

/// The position of one message in its room.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    position: u64,
}

const NO_PLACE: Place = Place { number: u32::MAX, position: 0 };

/// The order of one room, from one receiver's side.
#[derive(Clone, Default)]
struct View {
    /// The lowest position that may still come.
    cursor: u64,
    /// A publisher's messages that no listener has seen yet: (publisher, number).
    waiting: VecDeque<(u16, u32)>,
}

/// See the module's text.
pub(crate) struct Oracle {
    shape: Shape,
    /// By room, receiver, publisher.
    expected: Vec<Expected>,
    /// By room, publisher, number modulo `remembered`; empty with one publisher per room, where the
    /// order of numbers is all there is.
    places: Vec<Place>,
    remembered: usize,
    /// By room: the next position.
    next_position: Vec<u64>,
    /// By room and receiver.
    views: Vec<View>,
    findings: Findings,
}

impl Oracle {
    /// Tables for `shape`.
    pub(crate) fn new(shape: Shape) -> Self {
        let receivers = shape.rooms as usize * shape.participants as usize;
        let flows = shape.rooms as usize * shape.publishers as usize;
        let ordered = shape.ordered && shape.publishers > 1;
        let fits = POSITIONS_BYTES_MAX / size_of::<Place>() / flows.max(1);
        let wanted = fits.min(REMEMBERED_MAX).max(2 * shape.window as usize).max(64);
        let remembered = if wanted.is_power_of_two() { wanted } else { wanted.next_power_of_two() / 2 };
        Self {
            shape,
            expected: vec![Expected::default(); receivers * shape.publishers as usize],
            places: if ordered { vec![NO_PLACE; flows * remembered] } else { Vec::new() },
            remembered,
            next_position: vec![0; shape.rooms as usize],
            views: if ordered { vec![View::default(); receivers] } else { Vec::new() },
            findings: Findings::default(),
        }
    }

    /// Messages of one publisher whose position is remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.remembered
    }

    /// What was found so far.
    pub(crate) fn findings(&self) -> Findings {
        self.findings
    }

    /// A copy of the message `stamp` came to participant `receiver` of `room` (a number of this
    /// thread; `stamp.room` must have been translated to it).
    pub(crate) fn receive(&mut self, room: u32, receiver: u32, stamp: &Stamp) -> Verdict {
        let publisher = u32::from(stamp.publisher);
        if stamp.room != room || publisher >= self.shape.publishers || publisher == receiver {
            self.findings.strays += 1;
            return Verdict::Stray;
        }
        let seat = room as usize * self.shape.participants as usize + receiver as usize;
        let e = &mut self.expected[seat * self.shape.publishers as usize + publisher as usize];
        let skipped_from = e.next;
        if stamp.number >= e.next {
            let step = stamp.number - e.next + 1;
            e.recent = if step < RECENT { e.recent << step | 1 } else { 1 };
            e.next = stamp.number + 1;
        } else {
            let back = e.next - 1 - stamp.number;
            if back < RECENT && e.recent >> back & 1 == 1 {
                self.findings.duplicates += 1;
                return Verdict::Duplicate;
            }
            self.findings.out_of_order += 1;
            if back >= RECENT {
                // Too old to tell late from twice: out of order, and its loss stands.
                return Verdict::Duplicate;
            }
            e.recent |= 1 << back;
            e.came += 1;
            self.findings.delivered += 1;
            return Verdict::First;
        }
        e.came += 1;
        self.findings.delivered += 1;
        if self.shape.ordered && self.shape.publishers > 1 {
            self.judge_order(room, receiver, seat, stamp, skipped_from);
        }
        Verdict::First
    }

    /// At the end: publishers' lists that no listener resolved are unchecked.
    pub(crate) fn finish(&mut self) -> Findings {
        for seat in 0..self.views.len() {
            let room = (seat / self.shape.participants as usize) as u32;
            self.resolve(room, seat);
            self.findings.order_unchecked += self.views[seat].waiting.len() as u64;
            self.views[seat].waiting.clear();
        }
        self.findings
    }

    /// The first receiver that lacks something, if every publisher (by room and publisher) sent so many
    /// messages to that receiver: room, receiver, publisher, how many.
    pub(crate) fn first_loss(&self, sent: impl Fn(usize, u32) -> u32) -> Option<(u32, u32, u32, u32)> {
        let (participants, publishers) = (self.shape.participants, self.shape.publishers);
        self.expected.iter().enumerate().find_map(|(i, e)| {
            let publisher = i as u32 % publishers;
            let seat = i / publishers as usize;
            let (room, receiver) = ((seat / participants as usize) as u32, seat as u32 % participants);
            let owed = sent(room as usize * publishers as usize + publisher as usize, receiver);
            (publisher != receiver && e.came < owed).then(|| (room, receiver, publisher, owed - e.came))
        })
    }

    fn judge_order(&mut self, room: u32, receiver: u32, seat: usize, stamp: &Stamp, skipped_from: u32) {
        if receiver < self.shape.publishers {
            let waiting = &mut self.views[seat].waiting;
            if waiting.len() >= WAITING_MAX {
                waiting.pop_front();
                self.findings.order_unchecked += 1;
            }
            waiting.push_back((stamp.publisher, stamp.number));
            self.resolve(room, seat);
            return;
        }
        // What this listener skipped comes before what it sees now: if it was lost here only, the
        // others must not look wrong for having it. Older than the table needs no place.
        let from = skipped_from.max(stamp.number.saturating_sub(self.remembered as u32 - 1));
        for number in from..=stamp.number {
            let at = self.slot(room, stamp.publisher, number);
            let place = self.places[at];
            if place.number == u32::MAX || place.number < number {
                self.places[at] = Place { number, position: self.next_position[room as usize] };
                self.next_position[room as usize] += 1;
            }
        }
        self.pass(room, seat, stamp.publisher, stamp.number);
    }

    /// Judges a publisher's list as far as its messages have positions.
    fn resolve(&mut self, room: u32, seat: usize) {
        while let Some(&(publisher, number)) = self.views[seat].waiting.front() {
            let place = self.places[self.slot(room, publisher, number)];
            if place.number == u32::MAX || place.number < number {
                return;
            }
            self.views[seat].waiting.pop_front();
            self.pass(room, seat, publisher, number);
        }
    }

    /// Moves a receiver's view on to a message that has a position, if the table still knows it.
    fn pass(&mut self, room: u32, seat: usize, publisher: u16, number: u32) {
        let place = self.places[self.slot(room, publisher, number)];
        let view = &mut self.views[seat];
        if place.number != number {
            self.findings.order_unchecked += 1;
        } else if place.position < view.cursor {
            self.findings.out_of_order += 1;
        } else {
            view.cursor = place.position + 1;
        }
    }

    fn slot(&self, room: u32, publisher: u16, number: u32) -> usize {
        let flow = room as usize * self.shape.publishers as usize + usize::from(publisher);
        flow * self.remembered + (number as usize & (self.remembered - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of five, participants 0 and 1 publish; `script` lists what each receiver gets, as
    /// `receiver: publisher number …`.
    fn judged(publishers: u32, script: &[(u32, &str)]) -> Findings {
        let mut oracle =
            Oracle::new(Shape { rooms: 1, participants: 5, publishers, window: 8, ordered: true });
        for (receiver, copies) in script {
            for copy in copies.split_whitespace() {
                let publisher = u16::from(copy.as_bytes()[0] - b'a');
                let number = copy[1..].parse().unwrap();
                oracle.receive(0, *receiver, &Stamp { room: 0, publisher, number, due: 0 });
            }
        }
        oracle.finish()
    }

    fn fine(delivered: u64) -> Findings {
        Findings { delivered, ..Findings::default() }
    }

    #[test]
    fn the_same_order_for_everyone_is_fine() {
        let all = "a0 b0 b1 a1 a2 b2";
        let script = [(2, all), (3, all), (4, all), (0, "b0 b1 b2"), (1, "a0 a1 a2")];
        assert_eq!(judged(2, &script), fine(24));
        // Whoever is ahead, a publisher included.
        let script = [(0, "b0 b1 b2"), (1, "a0 a1"), (4, "a0 b0"), (2, all), (1, "a2"), (4, "b1 a1 a2 b2")];
        assert_eq!(judged(2, &script), fine(18));
    }

    #[test]
    fn a_lost_copy_is_one_delivery_short_and_nothing_else() {
        assert_eq!(judged(1, &[(1, "a0 a1 a2"), (2, "a0 a2"), (3, "a1 a2")]), fine(7));
        assert_eq!(judged(2, &[(2, "a1 b0"), (3, "a0 a1 b0"), (4, "a0 b0")]), fine(7));
    }

    #[test]
    fn the_first_loss_is_named() {
        let mut oracle =
            Oracle::new(Shape { rooms: 2, participants: 3, publishers: 2, window: 8, ordered: true });
        let copy = |room, publisher, number| Stamp { room, publisher, number, due: 0 };
        for room in 0..2 {
            oracle.receive(room, 1, &copy(room, 0, 0));
            oracle.receive(room, 2, &copy(room, 0, 0));
        }
        oracle.receive(0, 2, &copy(0, 0, 1));
        oracle.receive(0, 1, &copy(0, 0, 1));
        oracle.receive(1, 2, &copy(1, 0, 2));
        oracle.receive(1, 1, &copy(1, 0, 1));
        let sent = |flow, _| [2, 0, 2, 0][flow];
        assert_eq!(oracle.first_loss(sent), None);
        let sent = |flow, _| [2, 0, 3, 0][flow];
        assert_eq!(oracle.first_loss(sent), Some((1, 1, 0, 1)));
    }

    #[test]
    fn a_second_copy_is_a_duplicate() {
        let found = judged(1, &[(1, "a0 a1 a1 a2 a0")]);
        assert_eq!(found, Findings { duplicates: 2, ..fine(3) });
        let found = judged(2, &[(2, "a0 b0 a0"), (3, "a0 b0")]);
        assert_eq!(found, Findings { duplicates: 1, ..fine(4) });
    }

    #[test]
    fn a_swap_of_one_publishers_messages_is_out_of_order_and_not_lost() {
        let found = judged(1, &[(1, "a0 a2 a1 a3")]);
        assert_eq!(found, Findings { out_of_order: 1, ..fine(4) });
    }

    #[test]
    fn a_swap_between_publishers_is_found_once() {
        let found = judged(2, &[(2, "a0 b0 a1"), (3, "b0 a0 a1"), (4, "a0 b0 a1")]);
        assert_eq!(found, Findings { out_of_order: 1, ..fine(9) });
    }

    #[test]
    fn three_publishers_and_one_of_them_sees_the_others_swapped() {
        let script = [(0, "c0 b0 c1"), (3, "a0 b0 c0 c1"), (4, "a0 b0 c0 c1")];
        assert_eq!(judged(3, &script), Findings { out_of_order: 1, ..fine(11) });
    }

    #[test]
    fn a_copy_of_the_own_message_or_of_another_room_is_a_stray() {
        let mut oracle =
            Oracle::new(Shape { rooms: 2, participants: 3, publishers: 1, window: 1, ordered: true });
        let stamp = Stamp { room: 0, publisher: 0, number: 0, due: 0 };
        assert_eq!(oracle.receive(0, 0, &stamp), Verdict::Stray);
        assert_eq!(oracle.receive(1, 1, &stamp), Verdict::Stray);
        assert_eq!(oracle.receive(0, 1, &Stamp { publisher: 1, ..stamp }), Verdict::Stray);
        assert_eq!(oracle.finish().strays, 3);
    }

    #[test]
    fn what_is_older_than_the_table_is_unchecked_and_never_wrong() {
        let mut oracle =
            Oracle::new(Shape { rooms: 1, participants: 4, publishers: 2, window: 1, ordered: true });
        let last = 2 * oracle.remembered() as u32;
        for number in 0..last {
            oracle.receive(0, 2, &Stamp { room: 0, publisher: 0, number, due: 0 });
        }
        oracle.receive(0, 3, &Stamp { room: 0, publisher: 0, number: 0, due: 0 });
        let found = oracle.finish();
        assert_eq!((found.order_unchecked, found.out_of_order), (1, 0));
    }

    #[test]
    fn rooms_with_equal_copies_in_random_but_common_order_are_fine_and_a_random_swap_is_not() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let seed = 20_261_123;
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0..200 {
            let mut next = [0u32; 3];
            let order: Vec<(u16, u32)> = (0..60)
                .map(|_| {
                    let p = rng.random_range(0..3usize);
                    next[p] += 1;
                    (p as u16, next[p] - 1)
                })
                .collect();
            let swap = round % 2 == 1;
            // Neighbours of different publishers, swapped for one listener.
            let at = (0..59).find(|&i| order[i].0 != order[i + 1].0).unwrap();
            let mut sights: Vec<Vec<(u16, u32)>> = (0..5u16)
                .map(|me| order.iter().copied().filter(|m| m.0 != me).rev().collect::<Vec<_>>())
                .collect();
            if swap {
                sights[4].swap(59 - at, 58 - at);
            }
            let mut oracle =
                Oracle::new(Shape { rooms: 1, participants: 5, publishers: 3, window: 8, ordered: true });
            while sights.iter().any(|s| !s.is_empty()) {
                let who = rng.random_range(0..5usize);
                if let Some((publisher, number)) = sights[who].pop() {
                    oracle.receive(0, who as u32, &Stamp { room: 0, publisher, number, due: 0 });
                }
            }
            let found = oracle.finish();
            assert_eq!(found.duplicates + found.strays + found.order_unchecked, 0, "seed {seed}");
            assert_eq!(found.out_of_order > 0, swap, "seed {seed} round {round}");
        }
    }
}
