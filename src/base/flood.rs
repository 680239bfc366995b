//! What there can be too much of in too short a time, and how often there was (SEC-07).

use super::budget::Rate;
use super::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// What is counted against a [`Rate`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flood {
    /// Messages of one participant, signs of typing among them.
    Messages,
    /// Octets of one participant's messages.
    Octets,
    /// Messages to everybody in one room.
    RoomMessages,
    /// Octets of those.
    RoomOctets,
    /// Changes of one participant's nickname.
    Nicknames,
    /// Calls into rooms by one user.
    Joins,
    /// Calls into one room.
    RoomJoins,
    /// REFERs of one user.
    Refers,
    /// SUBSCRIBEs of one user, those that go on with a subscription among them.
    Subscriptions,
    /// Calls, REFERs and SUBSCRIBEs from one IPv4 address or IPv6 network of 64 bits, before anybody is asked who they
    /// are. Trusted proxies are not counted.
    Address,
}

impl Flood {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 10] = [
        Self::Messages,
        Self::Octets,
        Self::RoomMessages,
        Self::RoomOctets,
        Self::Nicknames,
        Self::Joins,
        Self::RoomJoins,
        Self::Refers,
        Self::Subscriptions,
        Self::Address,
    ];

    /// The key of its limit in the configuration, and its name in the log.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Octets => "octets",
            Self::RoomMessages => "room_messages",
            Self::RoomOctets => "room_octets",
            Self::Nicknames => "nicknames",
            Self::Joins => "joins",
            Self::RoomJoins => "room_joins",
            Self::Refers => "refers",
            Self::Subscriptions => "subscriptions",
            Self::Address => "address",
        }
    }

    /// Whether a room counts it; all else is counted for the whole server.
    #[must_use]
    pub fn is_of_room(self) -> bool {
        !matches!(self, Self::Joins | Self::Refers | Self::Subscriptions | Self::Address)
    }

    /// The status code in MSRP: 413 stops a long message whose octets are too many, as RFC 4975 §10.5 has it; 403
    /// is what there is for all else (RFC 4975 §10.3; there is no 429).
    #[must_use]
    pub fn msrp(self) -> u16 {
        match self {
            Self::Octets | Self::RoomOctets => 413,
            _ => 403,
        }
    }

    /// What the sender is told: what was too much, and when there is room for more.
    #[must_use]
    pub fn told(self, wait: u32) -> String {
        let what = match self {
            Self::Messages => "You send too many messages",
            Self::Octets => "You send too much at once",
            Self::RoomMessages => "Too many messages in this room",
            Self::RoomOctets => "Too much is sent in this room",
            Self::Nicknames => "You change your nickname too often",
            Self::Joins => "You call too often",
            Self::RoomJoins => "Too many people are coming into this room",
            Self::Refers => "You have others called or taken out too often",
            Self::Subscriptions => "You subscribe too often",
            Self::Address => "Too many requests from your address",
        };
        format!("{what}, wait {wait} s")
    }

    /// The refusal, with the time to wait rounded up.
    #[must_use]
    pub fn refusal(self, wait: Duration) -> Refusal {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Refusal::Flood { of: self, wait: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
    }
}

/// How often something was too much, by [`Flood::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Floods([u64; Flood::ALL.len()]);

impl Floods {
    /// Notes a refusal, if it is one of these.
    pub fn note(&mut self, why: Refusal) {
        if let Refusal::Flood { of, .. } = why {
            self.0[of as usize] += 1;
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// What was too much, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Flood, u64)> {
        Flood::ALL.into_iter().zip(self.0).filter(|(_, n)| *n > 0)
    }
}

/// How much of each there may be in what time. Cloning is a reference count: every room has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits(Arc<[Option<Rate>; Flood::ALL.len()]>);

/// Some changes in a row on each of a few devices, then one in ten seconds (D6).
const NICKNAMES: Rate = Rate { count: 1, time: Duration::from_secs(10), burst: 8 };

/// Calls and SUBSCRIBEs of one user: a program that is in some hundred rooms comes back into all of them at once
/// (D5 has fewer, for people).
const CALLS: Rate = Rate { count: 10, time: Duration::from_secs(1), burst: 500 };

/// REFERs are calls to others: more than people click (D4).
const REFERS: Rate = Rate { count: 1, time: Duration::from_secs(1), burst: 20 };

impl Default for Limits {
    /// Only what nothing but a fault or malice reaches. How many messages are too many depends on who is there: people,
    /// programs, or a load test that measures just that; and an office, a proxy and a load generator are one address
    /// each.
    fn default() -> Self {
        let mut limits = Self::none();
        limits.set(Flood::Nicknames, Some(NICKNAMES));
        limits.set(Flood::Joins, Some(CALLS));
        limits.set(Flood::Subscriptions, Some(CALLS));
        limits.set(Flood::Refers, Some(REFERS));
        limits
    }
}

impl Limits {
    /// No limit at all.
    #[must_use]
    pub fn none() -> Self {
        Self([None; Flood::ALL.len()].into())
    }

    /// The limit of one, if it has one.
    #[must_use]
    pub fn of(&self, flood: Flood) -> Option<&Rate> {
        self.0[flood as usize].as_ref()
    }

    /// Whether messages are limited in any way.
    #[must_use]
    pub fn hold_messages(&self) -> bool {
        let of_messages = [Flood::Messages, Flood::Octets, Flood::RoomMessages, Flood::RoomOctets];
        of_messages.into_iter().any(|flood| self.of(flood).is_some())
    }

    /// Sets the limit of one, or takes it away.
    pub fn set(&mut self, flood: Flood, rate: Option<Rate>) {
        Arc::make_mut(&mut self.0)[flood as usize] = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flood_is_told_and_counted_by_itself() {
        // SEC-07
        let mut floods = Floods::default();
        for (n, flood) in Flood::ALL.into_iter().enumerate() {
            let refusal = flood.refusal(Duration::from_millis(1500));
            let (code, comment) = refusal.msrp();
            assert!(matches!(code, 403 | 413) && comment.ends_with(", wait 2 s"), "{refusal}");
            (0..=n).for_each(|_| floods.note(refusal));
        }
        floods.note(Refusal::TooLarge);
        let mut sum = floods;
        sum.add(&floods);
        let all: Vec<(Flood, u64)> = sum.iter().collect();
        let expected = Flood::ALL.into_iter().enumerate().map(|(n, flood)| (flood, 2 * (n as u64 + 1)));
        assert_eq!(all, expected.collect::<Vec<_>>());
        assert_eq!(Flood::Joins.refusal(Duration::ZERO), Refusal::Flood { of: Flood::Joins, wait: 1 });
    }
}
