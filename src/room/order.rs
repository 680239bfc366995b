//! What moderators ask of a room in a message to it, as text (docs/extensions.md).
//!
//! ```text
//! ban @spam.example          a word, and what it is about
//! for: 600                   lines that say more
//! reason: advertising
//! ```
//!
//! Touches: nothing. Bounds: `limits::COMMAND_BYTES_MAX` octets and what each part may have; nothing is kept. Proved by: the
//! tests below, and by the client's own writer in `tests/orders.rs`.

use super::ban::{Whom, cut};
use super::policy::Password;
use crate::base::address::Address;
use crate::base::limits::{COMMAND_BYTES_MAX, ROOM_PARTICIPANTS_MAX, ROOM_SUBJECT_BYTES_MAX, ROOM_TERM_MAX};
use crate::base::octets::halves;
use crate::base::refusal::Refusal;
use crate::base::rights::{Action, Role};
use std::time::Duration;

/// An order to a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Take somebody out, with a reason that may be empty.
    Kick(Address, String),
    /// Keep somebody out, for how long if not for ever, with a reason that may be empty.
    Ban(Whom, Option<Duration>, String),
    /// Let somebody in again.
    Unban(Whom),
    /// Let somebody say nothing, for how long if not for ever, with a reason that may be empty.
    Mute(Address, Option<Duration>, String),
    /// Let somebody speak again.
    Unmute(Address),
    /// Give somebody a role; [`Role::Outsider`] takes theirs.
    Grant(Address, Role),
    /// Say what the room is about.
    Subject(String),
    /// Let nobody in any more, or again.
    Lock(bool),
    /// Let only those speak who were given a voice, or all.
    Moderate(bool),
    /// Let in members only, or all.
    MembersOnly(bool),
    /// Want a password of whoever comes in, or none.
    Password(Option<Password>),
    /// Let so many be there.
    Occupants(usize),
    /// Let everybody wait so long between two messages.
    SlowMode(Duration),
    /// Tell who asks the rules, roles, bans and mutes.
    Inspect,
}

/// What is said of an order that is none.
const UNKNOWN: &str = "Unknown command; there are kick, ban, unban, mute, unmute, role, subject, lock, moderate, \
                       members-only, password, occupants, slow-mode, inspect";

fn bad(why: &'static str) -> Refusal {
    Refusal::Order(400, why)
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// [`Refusal::Order`] of 400 that says what was not understood, or 413.
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        if text.len() > COMMAND_BYTES_MAX {
            return Err(Refusal::Order(413, "Command too long"));
        }
        let text = std::str::from_utf8(text).map_err(|_| bad("Command is not UTF-8"))?;
        let mut lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line));
        let first = lines.next().unwrap_or("");
        let (word, rest) = halves(first, b' ').unwrap_or((first, ""));
        let more = More::read(lines)?;
        let order = match word {
            "kick" => Self::Kick(address(rest)?, more.reason()),
            "ban" => Self::Ban(whom(rest)?, more.term, more.reason()),
            "unban" => Self::Unban(whom(rest)?),
            "mute" => Self::Mute(address(rest)?, more.term, more.reason()),
            "unmute" => Self::Unmute(address(rest)?),
            "role" => {
                let (who, role) = rest.trim().rsplit_once(' ').ok_or(bad("role wants ADDRESS ROLE"))?;
                let role = Role::parse(role).filter(|role| *role != Role::Banned);
                let role = role.ok_or(bad("A role is owner, moderator, participant, visitor or outsider"))?;
                Self::Grant(address(who)?, role)
            }
            "subject" => Self::subject(rest)?,
            "lock" => Self::Lock(switch(rest)?),
            "moderate" => Self::Moderate(switch(rest)?),
            "members-only" => Self::MembersOnly(switch(rest)?),
            "password" if rest.is_empty() => Self::Password(None),
            "password" if !rest.contains(char::is_control) => {
                Self::Password(Some(Password::new(rest).ok_or(bad("Password too long"))?))
            }
            "password" => return Err(bad("A password has no control characters")),
            "occupants" => {
                let count = rest.trim().parse().ok().filter(|n| (1..=ROOM_PARTICIPANTS_MAX).contains(n));
                Self::Occupants(
                    count.ok_or(bad("occupants wants a number above 0 that the server can hold"))?,
                )
            }
            "slow-mode" => Self::SlowMode(seconds(rest)?),
            "inspect" => Self::Inspect,
            _ => return Err(bad(UNKNOWN)),
        };
        let term_fits = more.term.is_none() || matches!(order, Self::Ban(..) | Self::Mute(..));
        let reason_fits =
            more.reason.is_empty() || matches!(order, Self::Kick(..) | Self::Ban(..) | Self::Mute(..));
        if !term_fits || !reason_fits {
            return Err(bad("This command takes no such line; for and reason go with kick, ban and mute"));
        }
        Ok(order)
    }

    /// Reads what Blink sends to change the subject: `SUBJECT text`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_control(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| bad("Command is not UTF-8"))?.trim();
        match text.strip_prefix("SUBJECT") {
            Some("") => Self::subject(""),
            Some(rest) if rest.starts_with(' ') => Self::subject(rest),
            _ => Err(bad("Only SUBJECT is understood")),
        }
    }

    fn subject(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        match text {
            _ if text.contains(char::is_control) => Err(bad("A subject is one line")),
            _ if text.len() > ROOM_SUBJECT_BYTES_MAX => Err(Refusal::Order(413, "Subject too long")),
            _ => Ok(Self::Subject(text.to_owned())),
        }
    }

    /// What it is to those who decide.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Kick(..) => Action::Kick,
            Self::Ban(..) => Action::Ban,
            Self::Unban(_) => Action::Unban,
            Self::Mute(..) => Action::Mute,
            Self::Unmute(_) => Action::Unmute,
            Self::Grant(_, role) => Action::Grant(*role),
            Self::Subject(_) => Action::Subject,
            Self::Lock(_) => Action::Lock,
            Self::Moderate(_) => Action::Moderate,
            Self::MembersOnly(_) => Action::MembersOnly,
            Self::Password(_) => Action::Password,
            Self::Occupants(_) => Action::Occupants,
            Self::SlowMode(_) => Action::SlowMode,
            Self::Inspect => Action::Inspect,
        }
    }
}

/// The lines after the first.
#[derive(Default)]
struct More {
    term: Option<Duration>,
    reason: String,
}

impl More {
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, Refusal> {
        let mut more = Self::default();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            match halves(line, b':').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("for", value)) if more.term.is_none() => {
                    more.term = Some(seconds(value)?);
                    if more.term.is_some_and(|t| t.is_zero()) {
                        return Err(bad("for wants seconds above 0"));
                    }
                }
                Some(("reason", value)) if more.reason.is_empty() => more.reason = cut(value),
                Some(("for" | "reason", _)) => return Err(bad("for and reason stand once")),
                _ => return Err(bad("Unknown line; there are for and reason")),
            }
        }
        Ok(more)
    }

    fn reason(&self) -> String {
        self.reason.clone()
    }
}

fn address(text: &str) -> Result<Address, Refusal> {
    Address::parse(text.trim()).map_err(|_| bad("No address; write it as sip:USER@DOMAIN"))
}

fn whom(text: &str) -> Result<Whom, Refusal> {
    Whom::parse(text.trim()).ok_or(bad("A ban names sip:USER@DOMAIN, @DOMAIN, or an IP address or network"))
}

fn switch(text: &str) -> Result<bool, Refusal> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(bad("This command wants on or off")),
    }
}

fn seconds(text: &str) -> Result<Duration, Refusal> {
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    seconds
        .filter(|time| *time <= ROOM_TERM_MAX)
        .ok_or(bad("A time is a number of seconds, at most ten years"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Address {
        Address::parse("sip:bob@example.com").unwrap()
    }

    #[test]
    fn an_order_is_a_word_and_what_it_is_about() {
        let minute = Some(Duration::from_secs(60));
        let domain = || Whom::parse("@spam.example").unwrap();
        let table = [
            ("kick sip:bob@example.com", Order::Kick(bob(), String::new())),
            ("kick sip:bob@example.com\r\nreason: too loud\r\n", Order::Kick(bob(), "too loud".into())),
            ("ban @spam.example\nfor: 60\nreason: spam\n", Order::Ban(domain(), minute, "spam".into())),
            ("ban @spam.example\nreason: a: b\n", Order::Ban(domain(), None, "a: b".into())),
            ("unban @spam.example\n", Order::Unban(domain())),
            ("mute sip:bob@example.com\nfor: 60", Order::Mute(bob(), minute, String::new())),
            ("unmute sip:bob@example.com", Order::Unmute(bob())),
            ("role sip:bob@example.com moderator", Order::Grant(bob(), Role::Moderator)),
            ("role sip:bob@example.com outsider", Order::Grant(bob(), Role::Outsider)),
            ("subject  Trains and boats ", Order::Subject("Trains and boats".into())),
            ("subject", Order::Subject(String::new())),
            ("lock on", Order::Lock(true)),
            ("moderate off", Order::Moderate(false)),
            ("members-only on", Order::MembersOnly(true)),
            ("password 1234", Order::Password(Password::new("1234"))),
            ("password", Order::Password(None)),
            ("occupants 30", Order::Occupants(30)),
            ("slow-mode 0", Order::SlowMode(Duration::ZERO)),
            ("inspect\r\n", Order::Inspect),
        ];
        for (text, order) in table {
            assert_eq!(Order::read(text.as_bytes()), Ok(order), "{text}");
        }
    }

    #[test]
    fn what_is_no_order_is_answered_with_what_was_wrong() {
        let table = [
            ("", "Unknown command"),
            ("dance", "Unknown command"),
            ("KICK sip:bob@example.com", "Unknown command"),
            ("kick", "No address"),
            ("kick bob", "No address"),
            ("ban bob", "A ban names"),
            ("ban @x\nfor: 0", "for wants seconds above 0"),
            ("ban @x\nfor: soon", "A time is a number"),
            ("ban @x\nfor: 99999999999", "A time is a number"),
            ("ban @x\nfor: 1\nfor: 2", "for and reason stand once"),
            ("ban @x\nuntil: 1", "Unknown line"),
            ("lock on\nreason: x", "This command takes no such line"),
            ("kick sip:b@x\nfor: 5", "This command takes no such line"),
            ("role sip:b@x", "role wants"),
            ("role sip:b@x banned", "A role is"),
            ("lock maybe", "This command wants on or off"),
            ("occupants 0", "occupants wants"),
            ("occupants 99999999", "occupants wants"),
            ("slow-mode fast", "A time is a number"),
            ("password a\tb", "A password has no control"),
        ];
        for (text, begin) in table {
            let why = Order::read(text.as_bytes()).unwrap_err();
            assert!(matches!(why, Refusal::Order(400, told) if told.starts_with(begin)), "{text}: {why}");
        }
        let long = format!("subject {}", "x".repeat(ROOM_SUBJECT_BYTES_MAX + 1));
        assert_eq!(Order::read(long.as_bytes()), Err(Refusal::Order(413, "Subject too long")));
        assert_eq!(Order::read(&[b'x'; COMMAND_BYTES_MAX + 1]), Err(Refusal::Order(413, "Command too long")));
        assert_eq!(Order::read(b"\xff"), Err(Refusal::Order(400, "Command is not UTF-8")));
    }

    #[test]
    fn blink_says_what_the_room_is_about_and_nothing_else() {
        let subject = |text: &str| Ok(Order::Subject(text.to_owned()));
        assert_eq!(Order::read_control(b"SUBJECT Trains"), subject("Trains"));
        assert_eq!(Order::read_control(b"SUBJECT "), subject(""));
        assert_eq!(Order::read_control(b"SUBJECT"), subject(""));
        for other in [&b"SUBJECTS x"[..], b"KICK bob", b"", b"subject x"] {
            assert_eq!(Order::read_control(other), Err(bad("Only SUBJECT is understood")));
        }
    }
}
