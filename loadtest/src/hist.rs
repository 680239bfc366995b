//! Times as a histogram: recorded in nanoseconds, told in microseconds, added up, carried as JSON.
//!
//! Fixed size: up to two minutes; longer counts as two minutes. Fed by no clock.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest time that is told apart, in nanoseconds.
const TIME_NS_MAX: u64 = 120_000_000_000;
/// Below this, times are not told apart where a histogram is coarse.
const COARSE_NS_MIN: u64 = 100;

/// How finely times are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    /// To a thousandth: for totals.
    Fine,
    /// To a hundredth: for each slice of time.
    Middle,
    /// To a sixteenth: for each room.
    Coarse,
}

impl Grain {
    fn digits(self) -> u8 {
        match self {
            Self::Fine => 3,
            Self::Middle => 2,
            Self::Coarse => 1,
        }
    }

    fn of(digits: u8) -> Self {
        match digits {
            3.. => Self::Fine,
            2 => Self::Middle,
            _ => Self::Coarse,
        }
    }
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hist {
    all: Histogram<u64>,
    /// The longest, to the nanosecond: no quantile is above it, however coarse the others are told apart.
    longest: u64,
}

impl Hist {
    /// An empty one.
    pub(crate) fn new(grain: Grain) -> Self {
        let low = if grain == Grain::Fine { 1 } else { COARSE_NS_MIN };
        let made = Histogram::new_with_bounds(low, TIME_NS_MAX, grain.digits());
        Self { all: made.expect("constant bounds: 1 <= 2 * low <= high, one to three digits"), longest: 0 }
    }

    /// One more time.
    pub(crate) fn record(&mut self, ns: u64) {
        self.all.saturating_record(ns);
        self.longest = self.longest.max(ns.min(TIME_NS_MAX));
    }

    /// How many were recorded.
    pub(crate) fn len(&self) -> u64 {
        self.all.len()
    }

    /// The time that this share of all did not exceed, in microseconds; 0 without any.
    pub(crate) fn us(&self, quantile: f64) -> f64 {
        if self.len() == 0 {
            0.0
        } else {
            self.all.value_at_quantile(quantile).min(self.longest) as f64 / 1e3
        }
    }

    /// The longest, in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        self.longest as f64 / 1e3
    }

    /// Adds what another one of the same grain has.
    pub(crate) fn add(&mut self, other: &Self) {
        // All have the same upper bound, so every value fits.
        let _ = self.all.add(&other.all);
        self.longest = self.longest.max(other.longest);
    }

    /// Times in microseconds with how many there were of each, rising, to a hundredth.
    pub(crate) fn pairs(&self) -> Vec<(f64, u64)> {
        let mut middle = Self::new(Grain::Middle);
        middle.add(self);
        let pairs = middle.all.iter_recorded();
        pairs.map(|v| (v.value_iterated_to().min(self.longest) as f64 / 1e3, v.count_at_value())).collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Plain {
    digits: u8,
    longest: u64,
    counts: Vec<(u64, u64)>,
}

impl Serialize for Hist {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let counts = self.all.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
        Plain { digits: self.all.sigfig(), longest: self.longest, counts }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Hist {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let plain = Plain::deserialize(d)?;
        let mut hist = Self::new(Grain::of(plain.digits));
        for (ns, count) in plain.counts {
            hist.all.saturating_record_n(ns, count);
        }
        hist.longest = plain.longest;
        Ok(hist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(grain: Grain, times: &[u64]) -> Hist {
        let mut h = Hist::new(grain);
        times.iter().for_each(|ns| h.record(*ns));
        h
    }

    #[test]
    fn a_histogram_sent_as_json_is_the_same_on_arrival() {
        for grain in [Grain::Fine, Grain::Middle, Grain::Coarse] {
            let h = recorded(grain, &[1, 999, 5_000, 123_456_789, u64::MAX]);
            let again: Hist = serde_json::from_str(&serde_json::to_string(&h).unwrap()).unwrap();
            assert_eq!((again.len(), again.us(0.5), again.us(1.0)), (5, h.us(0.5), h.us(1.0)));
            assert_eq!(again.pairs(), h.pairs());
        }
    }

    #[test]
    fn an_empty_one_has_no_times_and_says_zero() {
        assert_eq!((Hist::new(Grain::Fine).us(0.99), Hist::new(Grain::Fine).pairs()), (0.0, vec![]));
    }

    #[test]
    fn each_grain_is_as_exact_as_it_says() {
        for (grain, error) in [(Grain::Fine, 0.001), (Grain::Middle, 0.01), (Grain::Coarse, 0.07)] {
            for ns in [20_000, 1_234_567, 50_000_000_000] {
                let told = recorded(grain, &[ns]).us(1.0) * 1e3;
                assert!((told / ns as f64 - 1.0).abs() <= error, "{grain:?}: {ns} told as {told}");
            }
        }
    }

    #[test]
    fn no_time_is_told_that_is_longer_than_the_longest() {
        for grain in [Grain::Fine, Grain::Middle, Grain::Coarse] {
            let mut h = recorded(grain, &[1_000_000, 1_234_567]);
            h.add(&recorded(grain, &[1_100_000]));
            assert_eq!((h.us(1.0), h.max_us()), (1_234.567, 1_234.567), "{grain:?}");
            assert!(h.pairs().iter().all(|(us, _)| *us <= 1_234.567), "{grain:?}");
        }
    }

    #[test]
    fn pairs_add_up_and_rise() {
        let pairs = recorded(Grain::Fine, &[2_000_000, 2_000_100, 9_000_000]).pairs();
        assert_eq!(pairs.iter().map(|p| p.1).collect::<Vec<_>>(), [2, 1]);
        assert!(pairs[0].0 < pairs[1].0);
    }
}
