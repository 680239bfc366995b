//! Budgets: so much at once, then so much in a time. What flood limits are made of.
//!
//! A [`Budget`] is one point in time, the one at which all of it is there again (GCRA, the leaky bucket as a
//! meter: ITU-T I.371 annex A). What is taken moves it into the future; nothing runs, nothing is filled up, and how
//! long to wait for the next is known exactly. [`Budgets`] keeps one for each of many.
//!
//! Bounds: [`Budgets`] holds as many as it is told at most. When it is full, the half that owes least is forgotten:
//! whoever floods from ever new addresses wins what a new address has anyway, and does not push out those who owe
//! most. That costs a look at the whole table once in as many new ones as half of it.
//! Proved by: the tests below.

use super::clock::Now;
use ahash::AHashMap;
use std::hash::Hash;
use std::time::Duration;

/// How much of something may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many in [`Rate::time`].
    pub count: u64,
    /// The time.
    pub time: Duration,
    /// So many at once, after a time without any; at least one.
    pub burst: u64,
}

impl Rate {
    /// Reads `10/s`, `10/s burst 20`, `5/10s` or `100/min`. Without `burst` as many as in the time may come at once.
    ///
    /// # Errors
    /// What cannot be read, and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let how = || format!("`{text}` is not like 10/s, 5/10s, 100/min or 10/s burst 20");
        let mut words = text.split_whitespace();
        let (count, time) = words.next().and_then(|w| w.split_once('/')).ok_or_else(how)?;
        let count = amount(count).ok_or_else(how)?;
        let time = period(time).ok_or_else(how)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => count,
            (Some("burst"), Some(n), None) => amount(n).ok_or_else(how)?,
            _ => return Err(how()),
        };
        Ok(Self { count, time, burst })
    }

    /// The nanoseconds that so many are worth.
    fn worth(&self, amount: u64) -> u64 {
        let nanos = self.time.as_nanos() * u128::from(amount) / u128::from(self.count.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// A number of at least one, with `k` for thousands of octets and `M` for millions.
fn amount(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|n| *n > 0)
}

/// `s`, `10s`, `min`, `5min` or `h`.
fn period(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let seconds = match &text[unit..] {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    let count = if unit == 0 { 1 } else { text[..unit].parse::<u32>().ok()? };
    let all = u64::from(count) * seconds;
    (1..=86_400).contains(&all).then(|| Duration::from_secs(all))
}

/// What one has left of a [`Rate`]. The default has all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Budget {
    /// When all is there again.
    whole: Now,
}

impl Budget {
    /// Takes one, if there is one.
    ///
    /// # Errors
    /// How long to wait until there is one. Nothing is taken, so asking too early costs nothing.
    pub fn take(&mut self, now: Now, rate: &Rate) -> Result<(), Duration> {
        self.free(now, rate)?;
        self.spend(now, rate, 1);
        Ok(())
    }

    /// Whether one is left.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub fn free(&self, now: Now, rate: &Rate) -> Result<(), Duration> {
        // With one taken there must not be more owed than the burst.
        let until = Now(self.whole.0.saturating_add(rate.worth(1)).saturating_sub(rate.worth(rate.burst)));
        if until <= now { Ok(()) } else { Err(now.until(until)) }
    }

    /// Takes so many, whether they are there or not: what is known only when it has happened. What is owed has to
    /// come in before the next is free.
    pub fn spend(&mut self, now: Now, rate: &Rate, amount: u64) {
        self.whole = Now(self.whole.max(now).0.saturating_add(rate.worth(amount)));
    }

    /// All of it is there: a budget like this need not be remembered.
    #[must_use]
    pub fn is_whole(&self, now: Now) -> bool {
        self.whole <= now
    }
}

/// Budgets of many, by who they are.
#[derive(Clone, Debug)]
pub struct Budgets<K> {
    table: AHashMap<K, Budget>,
    max: usize,
}

impl<K: Eq + Hash> Budgets<K> {
    /// Budgets for at most `max` at once.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { table: AHashMap::new(), max }
    }

    /// The budget of one.
    pub fn of(&mut self, now: Now, who: K) -> &mut Budget {
        if self.table.len() >= self.max && !self.table.contains_key(&who) {
            self.forget(now);
        }
        self.table.entry(who).or_default()
    }

    /// Forgets those with a whole budget, and if more than half are left, those that owe least.
    fn forget(&mut self, now: Now) {
        self.table.retain(|_, b| !b.is_whole(now));
        let half = self.max / 2;
        if self.table.len() > half {
            let mut owed: Vec<Now> = self.table.values().map(|b| b.whole).collect();
            let at = (owed.len() - half).min(owed.len() - 1);
            let least = *owed.select_nth_unstable(at).1;
            self.table.retain(|_, b| b.whole > least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now(millis * 1_000_000)
    }

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    #[test]
    fn a_burst_is_free_and_then_one_at_a_time() {
        // SEC-07
        let (mut budget, rate) = (Budget::default(), rate("10/s burst 20"));
        let taken = (0..100).filter(|_| budget.take(at(0), &rate).is_ok()).count();
        assert_eq!(taken, 20);
        assert_eq!(budget.take(at(0), &rate), Err(Duration::from_millis(100)));
        assert_eq!(budget.take(at(99), &rate), Err(Duration::from_millis(1)), "asking costs nothing");
        assert_eq!(budget.take(at(100), &rate), Ok(()));
        assert!(budget.take(at(199), &rate).is_err());
        assert!(!budget.is_whole(at(2099)) && budget.is_whole(at(2100)));
    }

    #[test]
    fn however_it_is_asked_for_no_more_is_given_than_the_rate() {
        for step in [1, 7, 33, 100, 450] {
            let (mut budget, rate) = (Budget::default(), rate("3/s burst 5"));
            let taken = (0..).map(|n| n * step).take_while(|t| *t <= 60_000);
            let taken = taken.filter(|t| budget.take(at(*t), &rate).is_ok()).count();
            assert!(taken <= 5 + 180, "{taken} in a minute, asked every {step} ms");
            assert!(step > 333 || taken >= 180, "{taken} in a minute, asked every {step} ms");
        }
    }

    #[test]
    fn what_is_known_only_afterwards_is_owed() {
        let (mut budget, rate) = (Budget::default(), rate("1M/s"));
        assert_eq!(budget.free(at(0), &rate), Ok(()));
        budget.spend(at(0), &rate, 5_000_000);
        let wait = budget.free(at(0), &rate).unwrap_err();
        assert_eq!(wait.as_micros(), 4_000_001);
        assert!(budget.free(at(4000), &rate).is_err());
        assert_eq!(budget.free(at(4001), &rate), Ok(()));
        budget.spend(at(4001), &rate, u64::MAX);
        assert!(budget.free(Now(u64::MAX / 2), &rate).is_err(), "no sum is too large");
    }

    #[test]
    fn of_more_than_can_be_remembered_those_who_owe_most_are() {
        let (mut all, rate) = (Budgets::new(100), rate("1/s burst 10"));
        for who in 0..10_u32 {
            while all.of(at(0), who).take(at(0), &rate).is_ok() {}
        }
        for who in 1000..20_000 {
            assert_eq!(all.of(at(0), who).take(at(0), &rate), Ok(()), "a new one is served");
            assert!(all.table.len() <= 100);
        }
        for who in 0..10 {
            assert!(all.of(at(0), who).take(at(0), &rate).is_err(), "{who} is not forgiven");
        }
        for who in 30_000..31_000 {
            let _ = all.of(at(60_000), who).take(at(60_000), &rate);
        }
        assert!(all.of(at(60_000), 0).take(at(60_000), &rate).is_ok(), "who owes nothing is forgotten");
        assert!(all.table.len() <= 100);
        let mut equal = Budgets::new(2);
        for who in 0..9 {
            equal.of(at(0), who).take(at(0), &rate).unwrap();
            assert!((1..=2).contains(&equal.table.len()));
        }
    }

    #[test]
    fn rates_are_written_as_people_say_them() {
        let table = [
            ("10/s", 10, 1, 10),
            ("10/s burst 20", 10, 1, 20),
            ("5/10s", 5, 10, 5),
            ("1/10s  burst 3", 1, 10, 3),
            ("100/min", 100, 60, 100),
            ("2M/s burst 20M", 2_000_000, 1, 20_000_000),
            ("64k/s", 64_000, 1, 64_000),
            ("1/h burst 1", 1, 3600, 1),
        ];
        for (text, count, seconds, burst) in table {
            assert_eq!(rate(text), Rate { count, time: Duration::from_secs(seconds), burst }, "{text}");
        }
        for bad in
            ["", "10", "10/", "/s", "0/s", "10/0s", "10/s burst", "10/s burst 0", "10/s burst 5 6", "-1/s"]
                .into_iter()
                .chain([
                    "10/fortnight",
                    "10/s 20",
                    "k/s",
                    "99999999999999999999M/s",
                    "18446744073709551615M/s",
                    "1/9999h",
                ])
        {
            assert!(Rate::parse(bad).is_err_and(|why| why.contains("10/s burst 20")), "{bad}");
        }
    }
}
