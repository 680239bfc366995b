//! When messages are due, and how late everything was.
//!
//! The load is an *open loop*: message `k` is due at `start + k / rate`, whatever happened to the ones
//! before. Latency counts from that moment, not from the moment the harness got round to sending, so a
//! server (or harness) that stalls for a second shows every message of that second as late: no
//! coordinated omission. What the harness itself was late is kept apart as *lag*.
//!
//! Touches no clock: times are arguments, in nanoseconds. Bounded: one histogram a class, one for each of at
//! most [`SLICES_MAX`] slices of time, and a small one for each of at most [`ROOMS_MAX`] rooms.

use crate::hist::{Grain, Hist};
use serde::{Deserialize, Serialize};

/// Slices that a run is cut into, at most.
const SLICES_MAX: u64 = 120;
/// The shortest slice: server times are told in ticks of 10 ms.
const SLICE_NS_MIN: u64 = 250_000_000;
/// Rooms of a thread that have a histogram of their own.
pub(crate) const ROOMS_MAX: usize = 2_000;

/// Kinds of copies whose latency is kept apart: the first four are those of `stamp::Kind`.
pub(crate) const CLASSES: [&str; 5] = ["text", "private", "typing", "long", "visitors"];
/// Groups of receivers of texts whose latency is kept apart.
pub(crate) const GROUPS: [&str; 3] = ["publishers", "listeners", "visitors"];

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Those who send too.
    Publishers,
    /// Those who stay and only listen.
    Listeners,
    /// Those who come and go.
    Visitors,
}

/// The class of what visitors get.
pub(crate) const VISITORS: usize = 4;

/// An evenly spaced schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: u64,
    gap: f64,
}

impl Schedule {
    /// `per_second` messages a second from `start` on.
    pub(crate) fn new(start: u64, per_second: f64) -> Self {
        Self { start, gap: 1e9 / per_second }
    }

    /// When message `k` (from 0) is due. Computed from `k`, so that rounding never adds up.
    pub(crate) fn due(&self, k: u64) -> u64 {
        self.start.saturating_add((k as f64 * self.gap) as u64)
    }
}

/// The part of a run that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// First nanosecond.
    pub(crate) from: u64,
    /// First nanosecond after it.
    pub(crate) to: u64,
}

impl Interval {
    /// Whether `time` is in it.
    pub(crate) fn holds(&self, time: u64) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// How long it is.
    pub(crate) fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// How long a slice of it is.
    pub(crate) fn slice_ns(&self) -> u64 {
        self.length().div_ceil(SLICES_MAX).max(SLICE_NS_MIN)
    }

    /// How many slices it has.
    pub(crate) fn slices(&self) -> usize {
        self.length().div_ceil(self.slice_ns()) as usize
    }

    /// The slice that holds `time`.
    pub(crate) fn slice_of(&self, time: u64) -> Option<usize> {
        self.holds(time).then(|| ((time - self.from) / self.slice_ns()) as usize)
    }
}

/// A slice of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Latency of what was due in it.
    pub(crate) latency: Hist,
    /// Copies that came in it.
    pub(crate) arrived: u64,
    /// Messages that were due in it.
    pub(crate) sent: u64,
}

impl Slice {
    fn empty() -> Self {
        Self { latency: Hist::new(Grain::Middle), arrived: 0, sent: 0 }
    }
}

/// Latency and lag of the messages due within an interval, and the copies that came in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meter {
    /// As planned, by the clock of whoever measured.
    interval: Interval,
    /// How long it lasted in nanoseconds: as planned, or less. No clock of another process is needed to add that.
    lasted: u64,
    /// From due to received, by class.
    pub(crate) latency: Vec<Hist>,
    /// The same of texts, by group of receivers.
    pub(crate) groups: Vec<Hist>,
    /// From due to handed to the socket.
    pub(crate) lag: Hist,
    /// Copies that arrived within the interval, whenever they were due.
    pub(crate) arrived: u64,
    /// The same over time, all classes together.
    pub(crate) slices: Vec<Slice>,
    /// By room: its number in the whole test, and its latency, texts to participants who stay.
    pub(crate) rooms: Vec<(u32, Hist)>,
}

impl Meter {
    /// An empty meter for so many rooms of one thread; rooms beyond [`ROOMS_MAX`] have no latency of their own.
    pub(crate) fn new(interval: Interval, rooms: impl Iterator<Item = u32>) -> Self {
        Self {
            interval,
            lasted: interval.length(),
            latency: vec![Hist::new(Grain::Fine); CLASSES.len()],
            groups: vec![Hist::new(Grain::Fine); GROUPS.len()],
            lag: Hist::new(Grain::Fine),
            arrived: 0,
            slices: vec![Slice::empty(); interval.slices()],
            rooms: rooms.take(ROOMS_MAX).map(|room| (room, Hist::new(Grain::Coarse))).collect(),
        }
    }

    /// A copy of a text due at `due` came at `now` to one of this group.
    pub(crate) fn arrived_at(&mut self, group: Group, due: u64, now: u64) {
        if self.slice_of(due).is_some() {
            self.groups[group as usize].record(now.saturating_sub(due));
        }
    }

    /// A copy came at `now`: a delivery, whose latency nobody asks for.
    pub(crate) fn came(&mut self, now: u64) {
        if let Some(at) = self.slice_of(now) {
            self.arrived += 1;
            self.slices[at].arrived += 1;
        }
    }

    /// A copy of a message due at `due` came at `now` to the thread's room `local_room`.
    pub(crate) fn arrived(&mut self, class: usize, local_room: u32, due: u64, now: u64) {
        self.came(now);
        if let Some(at) = self.slice_of(due) {
            let late = now.saturating_sub(due);
            self.latency[class].record(late);
            self.slices[at].latency.record(late);
            if class == 0
                && let Some((_, room)) = self.rooms.get_mut(local_room as usize)
            {
                room.record(late);
            }
        }
    }

    /// A message due at `due` was handed over at `now`.
    pub(crate) fn sent(&mut self, due: u64, now: u64) {
        if let Some(at) = self.slice_of(due) {
            self.lag.record(now.saturating_sub(due));
            self.slices[at].sent += 1;
        }
    }

    /// Ends it before its time; what comes later is judged, but not measured.
    pub(crate) fn cut(&mut self, at: u64) {
        self.lasted = self.lasted.min(at.saturating_sub(self.interval.from));
        self.slices.truncate(self.lasted.div_ceil(self.interval.slice_ns()) as usize);
    }

    /// How long it was measured.
    pub(crate) fn seconds(&self) -> f64 {
        self.lasted as f64 / 1e9
    }

    fn slice_of(&self, time: u64) -> Option<usize> {
        self.interval.slice_of(time).filter(|_| time - self.interval.from < self.lasted)
    }

    /// What is measured.
    pub(crate) fn interval(&self) -> Interval {
        self.interval
    }

    /// The slice before the one that holds `now`: the last one that is whole.
    pub(crate) fn last_slice(&self, now: u64) -> Option<&Slice> {
        let at = self.interval.slice_of(now.checked_sub(self.interval.slice_ns())?)?;
        self.slices.get(at)
    }

    /// Adds what another thread or another harness measured over the same interval of its own clock.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lasted = self.lasted.max(other.lasted);
        if self.slices.len() < other.slices.len() {
            self.slices.resize(other.slices.len(), Slice::empty());
        }
        self.arrived += other.arrived;
        self.lag.add(&other.lag);
        self.latency.iter_mut().zip(&other.latency).for_each(|(a, b)| a.add(b));
        self.groups.iter_mut().zip(&other.groups).for_each(|(a, b)| a.add(b));
        for (a, b) in self.slices.iter_mut().zip(&other.slices) {
            a.latency.add(&b.latency);
            a.arrived += b.arrived;
            a.sent += b.sent;
        }
        self.rooms.extend(other.rooms.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn meter(from: u64, to: u64) -> Meter {
        Meter::new(Interval { from, to }, 0..1)
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let s = Schedule::new(1_000, 3_000.0);
        assert_eq!(s.due(0), 1_000);
        assert_eq!(s.due(3_000_000), 1_000 + 1_000_000_000_000);
        assert!((0..10_000).all(|k| s.due(k) < s.due(k + 1)));
    }

    #[test]
    fn a_stall_of_a_second_is_seen_in_every_message_that_was_due_in_it() {
        // 1000 messages a second for ten seconds; the fake server answers in 1 ms but does nothing
        // in the fifth second, and the sender is stuck with it.
        let schedule = Schedule::new(0, 1000.0);
        let mut meter = meter(0, 10_000 * MS);
        for k in 0..10_000 {
            let due = schedule.due(k);
            let sent = if (4_000 * MS..5_000 * MS).contains(&due) { 5_000 * MS } else { due };
            meter.sent(due, sent);
            meter.arrived(0, 0, due, sent + MS);
        }
        let ms = |q: f64| meter.latency[0].us(q) / 1e3;
        assert!((0.99..1.01).contains(&ms(0.5)));
        // A tenth of all messages waited, evenly between 0 and 1000 ms: p95 is half of that.
        assert!((490.0..=510.0).contains(&ms(0.95)), "{}", ms(0.95));
        assert!((985.0..=1005.0).contains(&ms(0.999)), "{}", ms(0.999));
        assert_eq!(meter.latency[0].len(), 10_000);
        assert!(meter.lag.us(0.99) > 800_000.0);
        // Over time, it is the fifth second that was slow, and the copies of it all came at its end.
        let slow: Vec<_> = meter.slices.iter().map(|s| s.latency.us(0.5) > 10_000.0).collect();
        assert_eq!(slow, [[false; 16].as_slice(), &[true; 4], &[false; 20]].concat());
        assert_eq!(meter.slices[17].arrived, 0);
    }

    #[test]
    fn only_messages_due_in_the_interval_are_measured() {
        let mut meter = meter(100, 200);
        meter.arrived(0, 0, 99, 150); // due in the warm-up
        meter.arrived(0, 0, 150, 250); // arrives after the end
        meter.arrived(0, 0, 200, 260);
        assert_eq!((meter.latency[0].len(), meter.arrived), (1, 1));
        meter.sent(99, 150);
        assert_eq!(meter.lag.len(), 0);
    }

    #[test]
    fn what_comes_after_a_cut_is_not_measured() {
        let mut meter = meter(0, 10_000 * MS);
        meter.arrived(0, 0, 100 * MS, 200 * MS);
        meter.cut(600 * MS);
        meter.arrived(0, 0, 500 * MS, 700 * MS); // due before, came after
        meter.arrived(0, 0, 700 * MS, 800 * MS);
        assert_eq!((meter.latency[0].len(), meter.arrived, meter.slices.len()), (2, 1, 3));
        assert!((meter.seconds() - 0.6).abs() < 1e-9);
        // Another harness heard of it a little later.
        let mut other = Meter::new(Interval { from: 0, to: 10_000 * MS }, 0..1);
        other.cut(800 * MS);
        meter.add(&other);
        assert_eq!((meter.slices.len(), meter.seconds()), (4, 0.8));
        // Whatever its clock shows.
        let far = 3_600_000 * MS;
        let mut third = Meter::new(Interval { from: far, to: far + 10_000 * MS }, 0..1);
        third.cut(far + 700 * MS);
        meter.add(&third);
        assert_eq!((meter.slices.len(), meter.seconds()), (4, 0.8));
        third.add(&meter);
        assert_eq!((third.slices.len(), third.seconds()), (4, 0.8));
        // In the warm-up: nothing is left.
        other.cut(0);
        assert_eq!((other.slices.len(), other.seconds()), (0, 0.0));
    }

    #[test]
    fn slices_are_never_too_many_nor_too_short() {
        for (ns, slices, slice) in
            [(100 * MS, 1, 250 * MS), (10_000 * MS, 40, 250 * MS), (600_000 * MS, 120, 5_000 * MS)]
        {
            let interval = Interval { from: 7, to: 7 + ns };
            assert_eq!((interval.slices(), interval.slice_ns()), (slices, slice));
            assert_eq!(interval.slice_of(6 + ns), Some(slices - 1));
        }
    }

    #[test]
    fn threads_add_up_and_keep_their_rooms() {
        let interval = Interval { from: 0, to: 1_000 };
        let (mut a, mut b) =
            (Meter::new(interval, [0, 2].into_iter()), Meter::new(interval, [1, 3].into_iter()));
        a.arrived(0, 1, 0, 10);
        b.arrived(0, 0, 0, 999);
        b.arrived(1, 0, 0, 999);
        b.sent(0, 5);
        a.add(&b);
        assert_eq!((a.arrived, a.latency[0].len(), a.latency[1].len(), a.lag.len()), (3, 2, 1, 1));
        assert_eq!((a.slices[0].arrived, a.slices[0].sent, a.slices[0].latency.len()), (3, 1, 3));
        let rooms: Vec<_> = a.rooms.iter().map(|(n, h)| (*n, h.len())).collect();
        assert_eq!(rooms, [(0, 0), (2, 1), (1, 1), (3, 0)]);
    }
}
