//! What a line of a moderator asks for: the same at a terminal and in a pipe.
//!
//! Touches: nothing. Bounds: the line's. Proved by: the tests below.

use super::wish::listed;
use crate::base::rights::Role;
use crate::client::command::RoomCommand;
use std::time::Duration;

/// What moderators can type, for people: `/help moderators`. No line is longer than 80 columns.
pub(super) const MODERATORS_HELP: &str = "\
NAME as for /msg. TERM is a time like 30s, 10m, 2h or 7d; without it, for ever.
REASON is told to those whom it concerns.

/kick NAME[,NAME] [REASON]         take somebody out of the room
/ban NAME[,NAME] [TERM] [REASON]   keep somebody out, or all of a domain
                                   (@example.com) or network (192.0.2.0/24)
/unban WHOM                        let them in again; WHOM as /rules shows it
/mute NAME[,NAME] [TERM] [REASON]  let somebody say nothing
/unmute NAME[,NAME]                let them speak again
/voice NAME[,NAME]                 let somebody speak in a moderated room
/devoice NAME[,NAME]               let them only listen
/role NAME[,NAME] ROLE             owner, moderator, participant or visitor;
                                   outsider takes the role away
/remove NAME[,NAME]                take somebody out by SIP, without a reason

/subject TEXT                      say what the room is about; alone: nothing
/lock                              let nobody new in
/unlock                            let people in again
/moderated on|off                  let only those speak who have a voice
/members on|off                    let in members only
/password TEXT                     want it of who comes in; alone: want none
/max N                             let at most so many be here
/slow SECONDS|off                  let all wait so long between two messages
/rules                             show rules, roles, bans and mutes";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    /// Something is done to people, who are named as for `/msg`, or in a ban otherwise too.
    People(Vec<String>, Deed<'a>),
    /// Something is done to the room.
    Room(RoomCommand<'a>),
}

/// What is done to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed<'a> {
    Kick(Option<&'a str>),
    Ban(Option<Duration>, Option<&'a str>),
    Unban,
    Mute(Option<Duration>, Option<&'a str>),
    Unmute,
    Grant(Role),
}

impl<'a> Deed<'a> {
    /// The command that does it to this one.
    pub(super) fn to(self, whom: &'a str) -> RoomCommand<'a> {
        match self {
            Self::Kick(reason) => RoomCommand::Kick { whom, reason },
            Self::Ban(term, reason) => RoomCommand::Ban { whom, term, reason },
            Self::Unban => RoomCommand::Unban { whom },
            Self::Mute(term, reason) => RoomCommand::Mute { whom, term, reason },
            Self::Unmute => RoomCommand::Unmute { whom },
            Self::Grant(role) => RoomCommand::Grant { whom, role },
        }
    }
}

impl<'a> Order<'a> {
    /// Reads the word that a line begins with and the rest of the line. `None`: no moderator's word, or not so.
    pub(super) fn read(word: &str, rest: &'a str) -> Option<Self> {
        let people = |deed: fn(&'a str) -> Option<Deed<'a>>| {
            let (names, after) = listed(rest)?;
            let after = if after.is_empty() { after } else { after.strip_prefix(' ')?.trim() };
            Some(Self::People(names, deed(after)?))
        };
        let switch = |command: fn(bool) -> RoomCommand<'a>| match rest {
            "on" => Some(Self::Room(command(true))),
            "off" => Some(Self::Room(command(false))),
            _ => None,
        };
        let alone = |command| rest.is_empty().then_some(Self::Room(command));
        match word {
            "/kick" => people(|after| Some(Deed::Kick(text(after)))),
            "/ban" => people(|after| term(after).map(|(term, reason)| Deed::Ban(term, reason))),
            "/unban" => people(|after| after.is_empty().then_some(Deed::Unban)),
            "/mute" => people(|after| term(after).map(|(term, reason)| Deed::Mute(term, reason))),
            "/unmute" => people(|after| after.is_empty().then_some(Deed::Unmute)),
            "/voice" => people(|after| after.is_empty().then_some(Deed::Grant(Role::Participant))),
            "/devoice" => people(|after| after.is_empty().then_some(Deed::Grant(Role::Visitor))),
            "/role" => people(|after| Role::parse(after).map(Deed::Grant)),
            "/subject" => Some(Self::Room(RoomCommand::Subject(rest))),
            "/password" => Some(Self::Room(RoomCommand::Password(rest))),
            "/lock" => alone(RoomCommand::Lock(true)),
            "/unlock" => alone(RoomCommand::Lock(false)),
            "/rules" => alone(RoomCommand::Inspect),
            "/moderated" => switch(RoomCommand::Moderate),
            "/members" => switch(RoomCommand::MembersOnly),
            "/max" => rest.parse().ok().map(|most| Self::Room(RoomCommand::Occupants(most))),
            "/slow" => {
                let seconds = || rest.parse().ok().map(Duration::from_secs);
                let wait =
                    if rest == "off" { Some(Duration::ZERO) } else { seconds().or_else(|| time(rest)) };
                wait.map(|wait| Self::Room(RoomCommand::SlowMode(wait)))
            }
            _ => None,
        }
    }

    /// Who is meant, as typed.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::People(names, _) => names,
            Self::Room(_) => &[],
        }
    }
}

fn text(after: &str) -> Option<&str> {
    (!after.is_empty()).then_some(after)
}

/// A time if one is there, and a reason. A word that begins with a digit and is no time is nothing: or a slip of the
/// fingers would be for ever.
fn term(after: &str) -> Option<(Option<Duration>, Option<&str>)> {
    let (word, rest) = after.split_once(' ').unwrap_or((after, ""));
    match time(word) {
        Some(term) => Some((Some(term), text(rest.trim()))),
        None if word.starts_with(|c: char| c.is_ascii_digit()) => None,
        None => Some((None, text(after))),
    }
}

/// `30s`, `10m`, `2h`, `7d`.
fn time(word: &str) -> Option<Duration> {
    let digits = word.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = word.split_at(digits);
    let unit = match unit {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = if number.is_empty() { return None } else { number.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Order<'_>> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Order::read(word, rest)
    }

    fn people<'a>(names: &[&str], deed: Deed<'a>) -> Option<Order<'a>> {
        Some(Order::People(names.iter().map(|n| (*n).to_string()).collect(), deed))
    }

    #[test]
    fn what_is_done_to_people_names_them_first() {
        let ten = Some(Duration::from_secs(600));
        let table = [
            ("/kick bob", people(&["bob"], Deed::Kick(None))),
            (
                "/kick bob,\"White Rabbit\" too late",
                people(&["bob", "White Rabbit"], Deed::Kick(Some("too late"))),
            ),
            ("/ban bob", people(&["bob"], Deed::Ban(None, None))),
            ("/ban bob 10m spam", people(&["bob"], Deed::Ban(ten, Some("spam")))),
            ("/ban @spam.example 600s", people(&["@spam.example"], Deed::Ban(ten, None))),
            ("/ban 192.0.2.0/24 rude", people(&["192.0.2.0/24"], Deed::Ban(None, Some("rude")))),
            ("/unban 192.0.2.0/24", people(&["192.0.2.0/24"], Deed::Unban)),
            ("/mute bob 10min caps  lock", people(&["bob"], Deed::Mute(ten, Some("caps  lock")))),
            ("/unmute bob", people(&["bob"], Deed::Unmute)),
            ("/voice bob,eve", people(&["bob", "eve"], Deed::Grant(Role::Participant))),
            ("/devoice bob", people(&["bob"], Deed::Grant(Role::Visitor))),
            ("/role bob moderator", people(&["bob"], Deed::Grant(Role::Moderator))),
        ];
        for (line, order) in table {
            assert_eq!(read(line), order, "{line}");
        }
    }

    #[test]
    fn what_is_done_to_the_room_names_nobody() {
        let room = |command| Some(Order::Room(command));
        let table = [
            ("/subject Trains and boats", room(RoomCommand::Subject("Trains and boats"))),
            ("/subject", room(RoomCommand::Subject(""))),
            ("/lock", room(RoomCommand::Lock(true))),
            ("/unlock", room(RoomCommand::Lock(false))),
            ("/moderated on", room(RoomCommand::Moderate(true))),
            ("/members off", room(RoomCommand::MembersOnly(false))),
            ("/password se same", room(RoomCommand::Password("se same"))),
            ("/password", room(RoomCommand::Password(""))),
            ("/max 30", room(RoomCommand::Occupants(30))),
            ("/slow 10", room(RoomCommand::SlowMode(Duration::from_secs(10)))),
            ("/slow 2m", room(RoomCommand::SlowMode(Duration::from_secs(120)))),
            ("/slow off", room(RoomCommand::SlowMode(Duration::ZERO))),
            ("/rules", room(RoomCommand::Inspect)),
        ];
        for (line, order) in table {
            assert_eq!(read(line), order, "{line}");
        }
    }

    #[test]
    fn what_may_not_be_meant_so_is_not_done() {
        for line in [
            "/kick",
            "/kick bob, carol",
            "/kick \"bob\"x",
            "/ban",
            "/ban bob 10 minutes",
            "/ban bob 10x",
            "/mute bob 1h30 x",
            "/unmute bob now",
            "/unban",
            "/role bob",
            "/role bob king",
            "/lock please",
            "/moderated",
            "/moderated yes",
            "/max",
            "/max many",
            "/max -1",
            "/slow",
            "/slow m",
            "/rules all",
            "/dance",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        let table =
            [("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("99999999999999999999d", u64::MAX)];
        for (word, seconds) in table {
            assert_eq!(time(word), Some(Duration::from_secs(seconds)), "{word}");
        }
        for word in ["", "m", "10", "10M", "-1m", "1.5h"] {
            assert_eq!(time(word), None, "{word}");
        }
    }
}
