//! Commands of moderators: what is asked of a room, as the body of a message to it (docs/extensions.md).
//!
//! Touches: nothing. Bounds: those of what rooms take, in `base/limits.rs`. Proved by: the tests below; end to end by
//! `tests/end_to_end/library/moderation.rs`.

use crate::base::address::Address;
use crate::base::limits::{ROOM_PASSWORD_BYTES_MAX, ROOM_REASON_BYTES_MAX, ROOM_SUBJECT_BYTES_MAX};
use crate::base::rights::Role;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The media type of a command.
pub(super) const COMMAND_MEDIA_TYPE: &str = "application/vnd.openmsrp.command";

/// The token of `a=chatroom` of rooms that take commands.
pub(super) const COMMANDS_TOKEN: &str = "org.openmsrp.commands";

/// The media type with which Blink sets the subject of a room, and nothing else.
pub(super) const CONTROL_MEDIA_TYPE: &str = "sylkserver/control";

/// The token of `a=chatroom` of rooms that understand that.
pub(super) const CONTROL_TOKEN: &str = "com.ag-projects.sylkserver-control";

/// What a moderator asks of a room. Who is meant is named by the address that the roster shows; a reason is told to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomCommand<'a> {
    /// Take somebody out.
    Kick {
        /// Address.
        whom: &'a str,
        /// Why.
        reason: Option<&'a str>,
    },
    /// Keep somebody out, and take out whoever is there and is meant.
    Ban {
        /// An address, `@DOMAIN`, or an IP address or network (`192.0.2.0/24`).
        whom: &'a str,
        /// For how long, in seconds; without, for ever.
        term: Option<Duration>,
        /// Why.
        reason: Option<&'a str>,
    },
    /// Let somebody in again: named as in the ban.
    Unban {
        /// As in [`RoomCommand::Ban`].
        whom: &'a str,
    },
    /// Let somebody say nothing.
    Mute {
        /// Address.
        whom: &'a str,
        /// For how long, in seconds; without, for ever.
        term: Option<Duration>,
        /// Why.
        reason: Option<&'a str>,
    },
    /// Let somebody speak again.
    Unmute {
        /// Address.
        whom: &'a str,
    },
    /// Give somebody a role: [`Role::Participant`] is a voice, [`Role::Outsider`] takes the role away.
    Grant {
        /// Address.
        whom: &'a str,
        /// Which; not [`Role::Banned`].
        role: Role,
    },
    /// Say what the room is about; nothing if empty.
    Subject(&'a str),
    /// Let nobody in any more, or again.
    Lock(bool),
    /// Let only those speak who were given a voice, or all.
    Moderate(bool),
    /// Let in members only, or all.
    MembersOnly(bool),
    /// Want this password of whoever comes in; none if empty.
    Password(&'a str),
    /// Let so many be there.
    Occupants(u32),
    /// Let everybody wait so long between two messages, in seconds; zero: no wait.
    SlowMode(Duration),
    /// Tell us alone the rules, roles, bans and mutes, in a private message from the room.
    Inspect,
}

/// Why a command cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadCommand {
    /// This text has several lines, or characters that command a terminal.
    NoLine(&'static str),
    /// This text has more octets than a room takes.
    TooLong(&'static str, usize),
    /// A password begins or ends with white space, which would be lost.
    Blank,
    /// What names somebody is no address.
    NoAddress,
    /// What a ban names is no address, domain or network.
    Nobody,
    /// Less than a second.
    NoTime,
    /// A room for nobody.
    NoOccupants,
    /// Nobody is given this role.
    NoRole,
}

impl fmt::Display for BadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLine(what) => {
                write!(f, "the {what} must be one line, without tabs and other control characters")
            }
            Self::TooLong(what, max) => write!(f, "the {what} is too long: at most {max} octets of UTF-8"),
            Self::Blank => f.write_str("a password neither begins nor ends with a space"),
            Self::NoAddress => f.write_str("this is no address; write it as sip:USER@DOMAIN"),
            Self::Nobody => f.write_str(
                "a ban names an address (sip:USER@DOMAIN), a domain (@DOMAIN), or an IP address or network \
                 (192.0.2.0/24)",
            ),
            Self::NoTime => f.write_str("a ban or mute lasts a second at least"),
            Self::NoOccupants => f.write_str("a room must have place for somebody"),
            Self::NoRole => f.write_str("nobody is given the role \"banned\"; ban them"),
        }
    }
}

impl std::error::Error for BadCommand {}

impl RoomCommand<'_> {
    /// The body of the message.
    ///
    /// # Errors
    /// [`BadCommand`] if no room would understand it.
    pub fn write(&self) -> Result<String, BadCommand> {
        Ok(match *self {
            Self::Kick { whom, reason } => format!("kick {}\n{}", address(whom)?, why(reason)?),
            Self::Ban { whom, term, reason } => {
                format!("ban {}\n{}{}", meant(whom)?, seconds(term)?, why(reason)?)
            }
            Self::Unban { whom } => format!("unban {}\n", meant(whom)?),
            Self::Mute { whom, term, reason } => {
                format!("mute {}\n{}{}", address(whom)?, seconds(term)?, why(reason)?)
            }
            Self::Unmute { whom } => format!("unmute {}\n", address(whom)?),
            Self::Grant { role: Role::Banned, .. } => return Err(BadCommand::NoRole),
            Self::Grant { whom, role } => format!("role {} {role}\n", address(whom)?),
            Self::Subject(text) => of_line("subject", line("subject", text.trim(), ROOM_SUBJECT_BYTES_MAX)?),
            Self::Lock(on) => switched("lock", on),
            Self::Moderate(on) => switched("moderate", on),
            Self::MembersOnly(on) => switched("members-only", on),
            Self::Password(text) if text.trim() != text => return Err(BadCommand::Blank),
            Self::Password(text) => of_line("password", line("password", text, ROOM_PASSWORD_BYTES_MAX)?),
            Self::Occupants(0) => return Err(BadCommand::NoOccupants),
            Self::Occupants(most) => format!("occupants {most}\n"),
            Self::SlowMode(wait) => format!("slow-mode {}\n", whole_seconds(wait)),
            Self::Inspect => "inspect\n".to_string(),
        })
    }

    /// The body of Blink's message, where it has one for this.
    pub(super) fn control(&self) -> Option<Result<String, BadCommand>> {
        let Self::Subject(text) = self else { return None };
        let subject = line("subject", text.trim(), ROOM_SUBJECT_BYTES_MAX);
        Some(subject.map(|text| format!("SUBJECT {text}")))
    }
}

/// `VERB`, or `VERB TEXT` if there is a text.
fn of_line(verb: &str, text: &str) -> String {
    if text.is_empty() { format!("{verb}\n") } else { format!("{verb} {text}\n") }
}

fn switched(verb: &str, on: bool) -> String {
    format!("{verb} {}\n", if on { "on" } else { "off" })
}

fn why(reason: Option<&str>) -> Result<String, BadCommand> {
    match line("reason", reason.unwrap_or_default().trim(), ROOM_REASON_BYTES_MAX)? {
        "" => Ok(String::new()),
        text => Ok(format!("reason: {text}\n")),
    }
}

fn seconds(term: Option<Duration>) -> Result<String, BadCommand> {
    match term.map(whole_seconds) {
        None => Ok(String::new()),
        Some(0) => Err(BadCommand::NoTime),
        Some(seconds) => Ok(format!("for: {seconds}\n")),
    }
}

/// Never shorter than was meant.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn line<'a>(what: &'static str, text: &'a str, max: usize) -> Result<&'a str, BadCommand> {
    // The separators break lines where Unicode is minded.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(BadCommand::NoLine(what));
    }
    if text.len() > max { Err(BadCommand::TooLong(what, max)) } else { Ok(text) }
}

fn address(whom: &str) -> Result<&str, BadCommand> {
    let plain = !whom.chars().any(|c| c.is_whitespace() || c.is_control());
    if plain && Address::parse(whom).is_ok() { Ok(whom) } else { Err(BadCommand::NoAddress) }
}

fn meant(whom: &str) -> Result<&str, BadCommand> {
    let is_domain = |domain: &str| {
        !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    match whom.strip_prefix('@') {
        Some(domain) if is_domain(domain) => Ok(whom),
        Some(_) => Err(BadCommand::Nobody),
        None if is_network(whom) => Ok(whom),
        None => address(whom).map_err(|_| BadCommand::Nobody),
    }
}

/// Whether this is an IP address, or a network: an address and how many of its first bits count.
pub fn is_network(text: &str) -> bool {
    let (ip, bits) = text.split_once('/').unwrap_or((text, "0"));
    match ip.parse() {
        Ok(IpAddr::V4(_)) => bits.parse::<u8>().is_ok_and(|bits| bits <= 32),
        Ok(IpAddr::V6(_)) => bits.parse::<u8>().is_ok_and(|bits| bits <= 128),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: &str = "sip:bob@example.com";

    fn ban(whom: &str) -> RoomCommand<'_> {
        RoomCommand::Ban { whom, term: None, reason: None }
    }

    #[test]
    fn every_command_is_its_verb_and_what_belongs_to_it() {
        let term = Some(Duration::from_millis(599_001));
        let table = [
            (RoomCommand::Kick { whom: BOB, reason: None }, "kick sip:bob@example.com\n"),
            (
                RoomCommand::Kick { whom: BOB, reason: Some(" too loud ") },
                "kick sip:bob@example.com\nreason: too loud\n",
            ),
            (
                RoomCommand::Ban { whom: BOB, term, reason: Some("spam") },
                "ban sip:bob@example.com\nfor: 600\nreason: spam\n",
            ),
            (ban("@spam.example"), "ban @spam.example\n"),
            (ban("192.0.2.0/24"), "ban 192.0.2.0/24\n"),
            (ban("2001:db8::/32"), "ban 2001:db8::/32\n"),
            (RoomCommand::Unban { whom: "192.0.2.7" }, "unban 192.0.2.7\n"),
            (RoomCommand::Mute { whom: BOB, term, reason: None }, "mute sip:bob@example.com\nfor: 600\n"),
            (RoomCommand::Unmute { whom: BOB }, "unmute sip:bob@example.com\n"),
            (RoomCommand::Grant { whom: BOB, role: Role::Moderator }, "role sip:bob@example.com moderator\n"),
            (RoomCommand::Grant { whom: BOB, role: Role::Outsider }, "role sip:bob@example.com outsider\n"),
            (RoomCommand::Subject("Trains and boats"), "subject Trains and boats\n"),
            (RoomCommand::Subject(""), "subject\n"),
            (RoomCommand::Lock(true), "lock on\n"),
            (RoomCommand::Moderate(false), "moderate off\n"),
            (RoomCommand::MembersOnly(true), "members-only on\n"),
            (RoomCommand::Password("se same"), "password se same\n"),
            (RoomCommand::Password(""), "password\n"),
            (RoomCommand::Occupants(30), "occupants 30\n"),
            (RoomCommand::SlowMode(Duration::from_secs(10)), "slow-mode 10\n"),
            (RoomCommand::SlowMode(Duration::ZERO), "slow-mode 0\n"),
            (RoomCommand::Inspect, "inspect\n"),
        ];
        for (command, body) in table {
            assert_eq!(command.write().as_deref(), Ok(body));
        }
    }

    #[test]
    fn what_no_room_would_understand_is_not_written() {
        let long = "x".repeat(ROOM_SUBJECT_BYTES_MAX + 1);
        let kick = |reason| RoomCommand::Kick { whom: BOB, reason: Some(reason) };
        let mute = |term| RoomCommand::Mute { whom: BOB, term: Some(term), reason: None };
        let table = [
            (kick("x\nfor: 1"), BadCommand::NoLine("reason")),
            (kick("x\u{2028}y"), BadCommand::NoLine("reason")),
            (kick(&long), BadCommand::TooLong("reason", ROOM_REASON_BYTES_MAX)),
            (RoomCommand::Subject("a\rb"), BadCommand::NoLine("subject")),
            (RoomCommand::Subject(&long), BadCommand::TooLong("subject", ROOM_SUBJECT_BYTES_MAX)),
            (RoomCommand::Password("a\tb"), BadCommand::NoLine("password")),
            (RoomCommand::Password(" a"), BadCommand::Blank),
            (RoomCommand::Password(&long), BadCommand::TooLong("password", ROOM_PASSWORD_BYTES_MAX)),
            (RoomCommand::Kick { whom: "bob", reason: None }, BadCommand::NoAddress),
            (RoomCommand::Unmute { whom: "sip:bob@example.com\nkick" }, BadCommand::NoAddress),
            (RoomCommand::Grant { whom: "sip:bob@x owner", role: Role::Visitor }, BadCommand::NoAddress),
            (RoomCommand::Grant { whom: BOB, role: Role::Banned }, BadCommand::NoRole),
            (mute(Duration::ZERO), BadCommand::NoTime),
            (RoomCommand::Occupants(0), BadCommand::NoOccupants),
            (ban("bob"), BadCommand::Nobody),
            (ban("@"), BadCommand::Nobody),
            (ban("@spam example"), BadCommand::Nobody),
            (ban("192.0.2.0/33"), BadCommand::Nobody),
            (ban("192.0.2.0/x"), BadCommand::Nobody),
            (ban(""), BadCommand::Nobody),
        ];
        for (command, why) in table {
            assert_eq!(command.write(), Err(why), "{command:?}");
        }
    }

    #[test]
    fn blink_has_a_message_for_the_subject_only() {
        assert_eq!(RoomCommand::Subject(" Trains ").control(), Some(Ok("SUBJECT Trains".to_string())));
        assert_eq!(RoomCommand::Subject("").control(), Some(Ok("SUBJECT ".to_string())));
        assert_eq!(RoomCommand::Lock(true).control(), None);
        assert!(matches!(RoomCommand::Subject("a\nb").control(), Some(Err(BadCommand::NoLine(_)))));
    }

    #[test]
    fn networks_are_told_from_names() {
        for network in ["192.0.2.7", "192.0.2.0/24", "::1", "2001:db8::/32"] {
            assert!(is_network(network), "{network}");
        }
        for other in ["bob", "10", "192.0.2", "192.0.2.0/", "192.0.2.0/33", "::/129", "/8", "@x"] {
            assert!(!is_network(other), "{other}");
        }
    }
}
