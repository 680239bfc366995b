//! Who is writing, ourselves and the others (RFC 3994), as two machines with a clock that is an argument.
//!
//! We tell `active` when somebody begins to write, at most once in [`REFRESH`] whatever happens, and `idle` after
//! [`IDLE_WAIT`] without a further key, if `active` was told before. Something said needs no `idle`.
//!
//! Touches: nothing. Bounds: [`WRITERS_MAX`] others, each for [`REFRESH_MAX`] at most. Proved by: the tests below.

use crate::base::clock::Now;
use crate::wire::conference::Composing;
use std::time::Duration;

/// How often `active` is told at most, and how long it holds (RFC 3994 §3.2: no shorter than 60 s).
const REFRESH: Duration = Duration::from_secs(60);

/// Without a key for so long nothing is being written (RFC 3994 §3.2).
const IDLE_WAIT: Duration = Duration::from_secs(15);

/// How long `active` holds if it does not say (RFC 3994 §3.3).
const REFRESH_DEFAULT: Duration = Duration::from_secs(120);

/// How long it holds at most, whatever it says.
const REFRESH_MAX: Duration = Duration::from_secs(600);

/// Others of whom it is known that they are writing. Beyond: not told of.
const WRITERS_MAX: usize = 64;

/// What we tell of ourselves.
#[derive(Default)]
pub(super) struct OwnTyping {
    /// When the last key was pressed in what is not said yet.
    key: Option<Now>,
    /// `active` was told and nothing after it.
    told: bool,
    /// When `active` may be told again.
    next: Option<Now>,
}

impl OwnTyping {
    /// A key was pressed. What to tell.
    pub(super) fn typed(&mut self, now: Now) -> Option<Composing> {
        self.key = Some(now);
        self.wake(now)
    }

    /// What was written is thrown away. What to tell.
    pub(super) fn stopped(&mut self) -> Option<Composing> {
        self.key = None;
        std::mem::take(&mut self.told).then_some(Composing::default())
    }

    /// What was written is said: that tells enough.
    pub(super) fn said(&mut self) {
        self.key = None;
        self.told = false;
    }

    /// When [`OwnTyping::wake`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Now> {
        let idle = self.key? + IDLE_WAIT;
        Some(self.next.map_or(idle, |next| idle.min(next)))
    }

    /// What to tell now.
    pub(super) fn wake(&mut self, now: Now) -> Option<Composing> {
        let key = self.key?;
        if key + IDLE_WAIT <= now {
            return self.stopped();
        }
        if self.next.is_some_and(|next| next > now) {
            return None;
        }
        self.next = Some(now + REFRESH);
        self.told = true;
        Some(Composing { active: true, refresh: u32::try_from(REFRESH.as_secs()).ok() })
    }
}

/// Who of the others is writing, by address.
#[derive(Default)]
pub(super) struct OthersTyping(Vec<(String, Now)>);

impl OthersTyping {
    /// Somebody told of themselves. Whether that is news.
    pub(super) fn heard(&mut self, now: Now, who: &str, told: Composing) -> bool {
        let refresh = told.refresh.map_or(REFRESH_DEFAULT, |s| Duration::from_secs(s.into()));
        let until = now + refresh.min(REFRESH_MAX);
        match self.0.iter().position(|(w, _)| w == who) {
            Some(at) if told.active => self.0[at].1 = until,
            Some(at) => drop(self.0.swap_remove(at)),
            None if told.active && self.0.len() < WRITERS_MAX => {
                self.0.push((who.to_string(), until));
                return true;
            }
            None => return false,
        }
        !told.active
    }

    /// Somebody said something, or is gone. Whether they were writing.
    pub(super) fn done(&mut self, who: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(w, _)| w != who);
        self.0.len() < before
    }

    /// When [`OthersTyping::wake`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Now> {
        self.0.iter().map(|(_, until)| *until).min()
    }

    /// Who has not told for too long that they are still writing.
    pub(super) fn wake(&mut self, now: Now) -> Vec<String> {
        let silent = self.0.extract_if(.., |(_, until)| *until <= now);
        silent.map(|(who, _)| who).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: Composing = Composing { active: true, refresh: Some(60) };
    const IDLE: Composing = Composing { active: false, refresh: None };

    fn at(seconds: u64) -> Now {
        Now(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn who_writes_on_is_active_once_a_minute_and_idle_after_a_pause() {
        // COMP-02
        let mut own = OwnTyping::default();
        let mut told = Vec::new();
        for second in 0..=200 {
            let typing = second <= 130;
            let said = if typing { own.typed(at(second)) } else { own.wake(at(second)) };
            told.extend(said.map(|said| (second, said)));
        }
        assert_eq!(told, [(0, ACTIVE), (60, ACTIVE), (120, ACTIVE), (145, IDLE)]);
        assert_eq!(own.deadline(), None);
    }

    #[test]
    fn who_says_something_or_throws_it_away_within_a_minute_is_not_active_twice_in_it() {
        // COMP-02
        let mut own = OwnTyping::default();
        assert_eq!(own.typed(at(0)), Some(ACTIVE));
        assert_eq!(own.deadline(), Some(at(15)));
        own.said();
        assert_eq!((own.deadline(), own.wake(at(20))), (None, None));
        assert_eq!((own.typed(at(21)), own.stopped()), (None, None), "nothing was told of it");
        assert_eq!(own.typed(at(50)), None);
        assert_eq!(own.deadline(), Some(at(60)));
        assert_eq!(own.wake(at(60)), Some(ACTIVE));
        assert_eq!((own.stopped(), own.stopped()), (Some(IDLE), None));
        assert_eq!(own.deadline(), None);
    }

    #[test]
    fn others_stop_when_they_say_so_or_speak_or_are_silent_each_for_themselves() {
        // COMP-03
        let mut others = OthersTyping::default();
        let unsaid = Composing { active: true, refresh: None };
        assert!(others.heard(at(0), "a", unsaid) && others.heard(at(0), "b", ACTIVE));
        assert!(!others.heard(at(10), "a", unsaid) && !others.heard(at(10), "c", IDLE));
        assert_eq!(others.deadline(), Some(at(60)));
        assert_eq!(others.wake(at(60)), ["b"]);
        assert_eq!(others.wake(at(129)), [""; 0]);
        assert_eq!(others.wake(at(130)), ["a"]);
        others.heard(at(130), "a", ACTIVE);
        others.heard(at(130), "b", ACTIVE);
        assert!(others.done("a") && !others.done("a"));
        assert!(others.heard(at(131), "b", IDLE) && !others.heard(at(131), "b", IDLE));
        assert_eq!(others.deadline(), None);
    }

    #[test]
    fn the_writers_are_bounded_in_number_and_time() {
        // COMP-03
        let mut others = OthersTyping::default();
        let for_ever = Composing { active: true, refresh: Some(u32::MAX) };
        for n in 0..=WRITERS_MAX {
            assert_eq!(others.heard(at(0), &n.to_string(), for_ever), n < WRITERS_MAX);
        }
        assert_eq!(others.wake(at(600)).len(), WRITERS_MAX);
    }
}
