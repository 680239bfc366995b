//! When messages are due, and how late everything was.
//!
//! The load is an *open loop*: message `k` is due at `start + k / rate`, whatever happened to the ones
//! before. Latency counts from that moment, not from the moment the harness got round to sending, so a
//! server (or harness) that stalls for a second shows every message of that second as late: no
//! coordinated omission. What the harness itself was late is kept apart as *lag*.
//!
//! Touches no clock: times are arguments, in nanoseconds. Histograms have a fixed size (three digits,
//! up to two minutes; longer counts as two minutes).

use hdrhistogram::Histogram;

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

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
        self.start + (k as f64 * self.gap) as u64
    }
}

/// The part of a run that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Latency and lag of the messages due within an interval, and the copies that came in it.
pub(crate) struct Meter {
    interval: Interval,
    /// From due to received, nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From due to handed to the socket, nanoseconds.
    pub(crate) lag: Histogram<u64>,
    /// Copies that arrived within the interval, whenever they were due.
    pub(crate) arrived: u64,
}

impl Meter {
    /// An empty meter.
    pub(crate) fn new(interval: Interval) -> Self {
        Self { interval, latency: histogram(), lag: histogram(), arrived: 0 }
    }

    /// A copy of a message due at `due` came at `now`.
    pub(crate) fn arrived(&mut self, due: u64, now: u64) {
        if self.interval.holds(now) {
            self.arrived += 1;
        }
        if self.interval.holds(due) {
            self.latency.saturating_record(now.saturating_sub(due));
        }
    }

    /// A message due at `due` was handed over at `now`.
    pub(crate) fn sent(&mut self, due: u64, now: u64) {
        if self.interval.holds(due) {
            self.lag.saturating_record(now.saturating_sub(due));
        }
    }

    /// Adds what another thread measured over the same interval.
    pub(crate) fn add(&mut self, other: &Self) {
        self.arrived += other.arrived;
        // Both were made by `histogram`, so every value fits.
        let _ = self.latency.add(&other.latency);
        let _ = self.lag.add(&other.lag);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds: 1 <= 2 * low <= high, 3 digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

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
        let mut meter = Meter::new(Interval { from: 0, to: 10_000 * MS });
        for k in 0..10_000 {
            let due = schedule.due(k);
            let sent = if (4_000 * MS..5_000 * MS).contains(&due) { 5_000 * MS } else { due };
            meter.sent(due, sent);
            meter.arrived(due, sent + MS);
        }
        let ms = |q: f64| meter.latency.value_at_quantile(q) / MS;
        assert_eq!(ms(0.5), 1);
        // A tenth of all messages waited, evenly between 0 and 1000 ms: p95 is half of that.
        assert!((490..=510).contains(&ms(0.95)), "{}", ms(0.95));
        assert!((985..=1005).contains(&ms(0.999)), "{}", ms(0.999));
        assert_eq!(meter.latency.len(), 10_000);
        assert!(meter.lag.value_at_quantile(0.99) > 800 * MS);
    }

    #[test]
    fn only_messages_due_in_the_interval_are_measured() {
        let mut meter = Meter::new(Interval { from: 100, to: 200 });
        meter.arrived(99, 150); // due in the warm-up
        meter.arrived(150, 250); // arrives after the end
        meter.arrived(200, 260);
        assert_eq!((meter.latency.len(), meter.arrived), (1, 1));
        meter.sent(99, 150);
        assert_eq!(meter.lag.len(), 0);
    }

    #[test]
    fn threads_add_up() {
        let interval = Interval { from: 0, to: 1_000 };
        let (mut a, mut b) = (Meter::new(interval), Meter::new(interval));
        a.arrived(0, 10);
        b.arrived(0, 999);
        b.sent(0, 5);
        a.add(&b);
        assert_eq!((a.arrived, a.latency.len(), a.latency.max(), a.lag.len()), (2, 2, 999, 1));
    }
}
