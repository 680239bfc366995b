//! Time as a value. The only file that reads a clock.
//!
//! Machines get [`Now`] as an argument and answer with deadlines of the same type, so that tests and
//! the simulator can run years in milliseconds and a wall clock that jumps moves no timer.

use std::ops::Add;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds on a monotonic clock that starts with the process; also a deadline on that clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now(pub u64);

impl Now {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long from here to `later`; zero if it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

impl Add<Duration> for Now {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Reads the monotonic clock.
#[must_use]
pub fn now() -> Now {
    Now(u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Seconds since 1970 on the wall clock: for texts that people read, never for a timer.
#[must_use]
pub fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The wall clock as RFC 3339 writes it, in UTC: `2026-11-23T04:24:00Z`.
#[must_use]
pub fn wall_text(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days since 1970 to a date of the Gregorian calendar: eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_text_knows_leap_days_and_years() {
        // CPIM-09
        assert_eq!(wall_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(wall_text(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(wall_text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(wall_text(1_715_678_813), "2024-05-14T09:26:53Z");
    }

    #[test]
    fn time_never_goes_below_zero() {
        assert_eq!(Now(5).since(Now(9)), Duration::ZERO);
        assert_eq!(Now(u64::MAX) + Duration::from_secs(1), Now(u64::MAX));
        assert!(now() <= now());
    }
}
