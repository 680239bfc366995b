//! Which rate is tried next: up in doublings until one is too high, then into the bracket, by halves of its
//! ratio, until it is narrow enough.
//!
//! By value: rates and verdicts in, a rate or the end out. Bounded by [`ATTEMPTS_MAX`].

/// Rates that are tried, at most.
const ATTEMPTS_MAX: u32 = 40;
/// How far below the first rate it still looks.
const DOWN_MAX: f64 = 1_024.0;

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bracket {
    first: f64,
    precision: f64,
    /// The highest rate that can be asked for.
    most: f64,
    attempts: u32,
    /// The highest rate that met the objective.
    pub(crate) best: Option<f64>,
    /// The lowest that did not.
    pub(crate) too_high: Option<f64>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Try this rate.
    Try(f64),
    /// It is over, for this reason.
    Over(&'static str),
}

impl Bracket {
    /// A search that begins with `first`, ends when the bracket is narrower than this share, and asks for `most` at most.
    pub(crate) fn new(first: f64, precision: f64, most: f64) -> Self {
        Self { first, precision, most, attempts: 0, best: None, too_high: None }
    }

    /// The next rate.
    pub(crate) fn next(&self) -> Next {
        if self.attempts >= ATTEMPTS_MAX {
            return Next::Over("too many attempts: take a search_from that is nearer");
        }
        match (self.best, self.too_high) {
            (None, None) => Next::Try(self.first),
            (Some(best), None) if best >= self.most => Next::Over("no higher rate can be asked for"),
            (Some(best), None) => Next::Try((best * 2.0).min(self.most)),
            (None, Some(high)) if high <= self.first / DOWN_MAX => {
                Next::Over("even a thousandth of search_from is too much")
            }
            (None, Some(high)) => Next::Try(high / 2.0),
            (Some(best), Some(high)) if high / best - 1.0 <= self.precision => {
                Next::Over("the bracket is as narrow as search_precision asks")
            }
            (Some(best), Some(high)) => Next::Try((best * high).sqrt()),
        }
    }

    /// `rate` met the objective, or did not. Verdicts that contradict each other keep the bracket sound: a rate that
    /// was missed is never below one that was met.
    pub(crate) fn note(&mut self, rate: f64, met: bool) {
        self.attempts += 1;
        if met {
            self.best = Some(self.best.map_or(rate, |b| b.max(rate)));
        } else {
            self.too_high = Some(self.too_high.map_or(rate, |h| h.min(rate)));
        }
    }
}

/// More than half of the runs say so.
pub(crate) fn most(verdicts: &[bool]) -> bool {
    verdicts.iter().filter(|v| **v).count() * 2 > verdicts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a server that can do `limit`; returns the bracket and how often it was asked.
    fn searched(first: f64, precision: f64, limit: f64) -> (Bracket, u32, &'static str) {
        let mut b = Bracket::new(first, precision, 1e6);
        for asked in 0.. {
            match b.next() {
                Next::Try(rate) => b.note(rate, rate <= limit),
                Next::Over(why) => return (b, asked, why),
            }
        }
        unreachable!()
    }

    #[test]
    fn the_limit_lies_in_a_bracket_as_narrow_as_asked() {
        for limit in [0.3, 9.0, 10.0, 137.0, 65_000.0] {
            let (b, asked, why) = searched(10.0, 0.05, limit);
            let (best, high) = (b.best.unwrap(), b.too_high.unwrap());
            assert!(best <= limit && limit < high && high / best <= 1.05, "{limit}: {best} to {high}");
            assert!(asked <= 25, "{limit}: {asked}");
            assert!(why.contains("narrow"));
        }
    }

    #[test]
    fn a_server_that_can_do_nothing_ends_the_search() {
        let (b, asked, why) = searched(10.0, 0.05, 0.0);
        assert_eq!((b.best, asked), (None, 11));
        assert!(why.contains("thousandth"));
    }

    #[test]
    fn a_server_without_limit_ends_it_too() {
        let (b, _, why) = searched(10.0, 0.05, f64::INFINITY);
        assert_eq!(b.best, Some(1e6));
        assert!(why.contains("no higher rate"));
    }

    #[test]
    fn most_of_the_runs_decide() {
        assert!(most(&[true]) && most(&[true, false, true]));
        assert!(!most(&[true, false]) && !most(&[]));
    }
}
