//! Flood limits of a room: what each participant and all together have left (SEC-07, D5, D6, D9).
//!
//! A message takes one from its sender's budget when it begins, and its octets as they come: what has begun is never
//! cut, but its octets are owed before the next may begin. What is refused takes nothing, so that a refusal costs
//! others nothing. Budgets belong to participants, whatever devices they use, and outlast their stay.
//!
//! Bounds: `limits::ROOM_BUDGETS_MAX` participants are remembered, see `base/budget.rs`. Proved by: the tests below;
//! `tests/switch/floods.rs`.

use crate::base::address::Address;
use crate::base::budget::{Budget, Budgets};
use crate::base::clock::Now;
use crate::base::flood::{Flood, Limits};
use crate::base::limits;
use crate::base::refusal::Refusal;
use std::time::Duration;

/// What is left of the limits of one room.
#[derive(Debug)]
pub(super) struct Meters {
    messages: Budgets<Address>,
    octets: Budgets<Address>,
    nicknames: Budgets<Address>,
    room_messages: Budget,
    room_octets: Budget,
    joins: Budget,
}

impl Default for Meters {
    fn default() -> Self {
        let budgets = || Budgets::new(limits::ROOM_BUDGETS_MAX);
        Self {
            messages: budgets(),
            octets: budgets(),
            nicknames: budgets(),
            room_messages: Budget::default(),
            room_octets: Budget::default(),
            joins: Budget::default(),
        }
    }
}

impl Meters {
    /// A message begins; `to_all` if it is for the whole room, which then has to have room for it too.
    ///
    /// # Errors
    /// Which limit it passes, and how long to wait. Then nothing is taken from any.
    pub(super) fn message(
        &mut self,
        now: Now,
        limits: &Limits,
        who: &Address,
        to_all: bool,
    ) -> Result<(), Refusal> {
        let too_much = |flood: Flood| move |wait: Duration| flood.refusal(wait);
        if let Some(rate) = limits.of(Flood::Octets) {
            self.octets.of(now, who.clone()).free(now, rate).map_err(too_much(Flood::Octets))?;
        }
        if let (Some(rate), true) = (limits.of(Flood::RoomOctets), to_all) {
            self.room_octets.free(now, rate).map_err(too_much(Flood::RoomOctets))?;
        }
        if let (Some(rate), true) = (limits.of(Flood::RoomMessages), to_all) {
            self.room_messages.free(now, rate).map_err(too_much(Flood::RoomMessages))?;
        }
        if let Some(rate) = limits.of(Flood::Messages) {
            self.messages.of(now, who.clone()).take(now, rate).map_err(too_much(Flood::Messages))?;
        }
        if let (Some(rate), true) = (limits.of(Flood::RoomMessages), to_all) {
            self.room_messages.spend(now, rate, 1);
        }
        Ok(())
    }

    /// So many octets of a message that goes on.
    pub(super) fn octets(&mut self, now: Now, limits: &Limits, who: &Address, to_all: bool, octets: u64) {
        if let Some(rate) = limits.of(Flood::Octets) {
            self.octets.of(now, who.clone()).spend(now, rate, octets);
        }
        if let (Some(rate), true) = (limits.of(Flood::RoomOctets), to_all) {
            self.room_octets.spend(now, rate, octets);
        }
    }

    /// Whether somebody may want another nickname; one that is then given is [`Meters::renamed`].
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn may_rename(&mut self, now: Now, limits: &Limits, who: &Address) -> Result<(), Refusal> {
        let Some(rate) = limits.of(Flood::Nicknames) else { return Ok(()) };
        let budget = self.nicknames.of(now, who.clone());
        budget.free(now, rate).map_err(|wait| Flood::Nicknames.refusal(wait))
    }

    /// Somebody got another nickname.
    pub(super) fn renamed(&mut self, now: Now, limits: &Limits, who: &Address) {
        if let Some(rate) = limits.of(Flood::Nicknames) {
            self.nicknames.of(now, who.clone()).spend(now, rate, 1);
        }
    }

    /// Whether somebody may want in; who is let in has then [`Meters::joined`].
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn may_join(&self, now: Now, limits: &Limits) -> Result<(), Refusal> {
        let Some(rate) = limits.of(Flood::RoomJoins) else { return Ok(()) };
        self.joins.free(now, rate).map_err(|wait| Flood::RoomJoins.refusal(wait))
    }

    /// Somebody was let in.
    pub(super) fn joined(&mut self, now: Now, limits: &Limits) {
        if let Some(rate) = limits.of(Flood::RoomJoins) {
            self.joins.spend(now, rate, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Rate;

    fn who(name: &str) -> Address {
        Address::parse(&format!("sip:{name}@example.com")).unwrap()
    }

    fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    }

    fn rate(text: &str) -> Option<Rate> {
        Some(Rate::parse(text).unwrap())
    }

    #[test]
    fn who_floods_is_refused_and_nobody_else() {
        // SEC-07
        let limits = limits(|l| l.set(Flood::Messages, rate("10/s burst 20")));
        let mut meters = Meters::default();
        let mut says = |name: &str| meters.message(Now(0), &limits, &who(name), true);
        assert_eq!((0..100).filter(|_| says("mallory").is_ok()).count(), 20);
        assert_eq!(says("mallory"), Err(Refusal::Flood { of: Flood::Messages, wait: 1 }));
        assert_eq!(says("alice"), Ok(()));
    }

    #[test]
    fn a_refused_message_takes_nothing_from_the_room() {
        let limits = limits(|l| {
            l.set(Flood::Messages, rate("1/s burst 2"));
            l.set(Flood::RoomMessages, rate("1/s burst 5"));
        });
        let mut meters = Meters::default();
        let mut says = |name: &str, to_all| meters.message(Now(0), &limits, &who(name), to_all);
        assert_eq!((0..100).filter(|_| says("mallory", true).is_ok()).count(), 2);
        assert_eq!((0..100).filter(|_| says("alice", true).is_ok()).count(), 2);
        assert_eq!((says("bob", true), says("carol", false)), (Ok(()), Ok(())));
        let refused = Err(Refusal::Flood { of: Flood::RoomMessages, wait: 1 });
        assert_eq!(says("bob", true), refused);
        assert_eq!(says("bob", false), Ok(()), "which took nothing from bob, and private words go on");
    }

    #[test]
    fn octets_are_owed_and_what_has_begun_goes_on() {
        let limits = limits(|l| l.set(Flood::Octets, rate("1k/s")));
        let mut meters = Meters::default();
        let alice = who("alice");
        assert_eq!(meters.message(Now(0), &limits, &alice, true), Ok(()));
        (0..10).for_each(|_| meters.octets(Now(0), &limits, &alice, true, 1000));
        let later = |seconds| Now(0) + Duration::from_secs(seconds);
        let refused = |wait| Err(Refusal::Flood { of: Flood::Octets, wait });
        assert_eq!(meters.message(Now(0), &limits, &alice, true), refused(10));
        assert_eq!(meters.message(later(9), &limits, &alice, false), refused(1));
        assert_eq!(meters.message(later(10), &limits, &alice, false), Ok(()));
    }
}
