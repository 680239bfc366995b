//! What moderators do, and what becomes of it, in words for people.
//!
//! Touches: nothing. Proved by: the tests of `talk.rs` and below.

use super::with_code;
use crate::base::rights::Role;
use crate::cli::chat::shown::one_line;
use crate::client::command::RoomCommand;
use std::time::Duration;

/// What moderators do, done to `whom` if it is done to somebody.
pub(in crate::cli::chat) fn done(command: &RoomCommand<'_>, whom: &str) -> String {
    match *command {
        RoomCommand::Kick { .. } => format!("{whom} was taken out"),
        RoomCommand::Ban { term, .. } => format!("{whom} is banned{}", lasting(term)),
        RoomCommand::Unban { .. } => format!("{whom} is not banned any more"),
        RoomCommand::Mute { term, .. } => format!("{whom} is muted{}", lasting(term)),
        RoomCommand::Unmute { .. } => format!("{whom} may speak again"),
        RoomCommand::Grant { role: Role::Participant, .. } => format!("{whom} has a voice"),
        RoomCommand::Grant { role: Role::Outsider, .. } => format!("{whom} has no role any more"),
        RoomCommand::Grant { role, .. } => format!("{whom} is {}", a_role(role)),
        RoomCommand::Subject("") => "the subject was taken away".to_string(),
        RoomCommand::Subject(_) => "the subject was set".to_string(),
        RoomCommand::Lock(true) => "nobody new comes in; /unlock lets people in again".to_string(),
        RoomCommand::Lock(false) => "people come in again".to_string(),
        RoomCommand::Moderate(true) => "only those speak who have a voice; /voice NAME gives one".to_string(),
        RoomCommand::Moderate(false) => "everybody may speak".to_string(),
        RoomCommand::MembersOnly(true) => "only members come in".to_string(),
        RoomCommand::MembersOnly(false) => "members and others come in".to_string(),
        RoomCommand::Password("") => "nobody needs a password to come in".to_string(),
        RoomCommand::Password(_) => "who comes in needs this password".to_string(),
        RoomCommand::Occupants(most) => format!("at most {most} may be here"),
        RoomCommand::SlowMode(Duration::ZERO) => "nobody waits between two messages".to_string(),
        RoomCommand::SlowMode(wait) => format!("everybody waits {} between two messages", time(wait)),
        RoomCommand::Inspect => "the room tells you alone".to_string(),
    }
}

/// What moderators do, in the middle of a sentence.
pub(in crate::cli::chat) fn doing(command: &RoomCommand<'_>, whom: &str) -> String {
    let on = |what: &str, on: bool| if on { what.to_string() } else { format!("no longer {what}") };
    match *command {
        RoomCommand::Kick { .. } => format!("taking out {whom}"),
        RoomCommand::Ban { .. } => format!("banning {whom}"),
        RoomCommand::Unban { .. } => format!("unbanning {whom}"),
        RoomCommand::Mute { .. } => format!("muting {whom}"),
        RoomCommand::Unmute { .. } => format!("unmuting {whom}"),
        RoomCommand::Grant { role: Role::Outsider, .. } => format!("taking the role of {whom} away"),
        RoomCommand::Grant { role, .. } => format!("making {whom} {}", a_role(role)),
        RoomCommand::Subject(_) => "setting the subject".to_string(),
        RoomCommand::Lock(locked) => {
            (if locked { "locking the room" } else { "unlocking the room" }).to_string()
        }
        RoomCommand::Moderate(moderated) => on("moderating the room", moderated),
        RoomCommand::MembersOnly(members) => on("letting in members only", members),
        RoomCommand::Password(_) => "setting the password".to_string(),
        RoomCommand::Occupants(_) => "setting how many may be here".to_string(),
        RoomCommand::SlowMode(_) => "setting how long everybody waits".to_string(),
        RoomCommand::Inspect => "showing the rules".to_string(),
    }
}

/// Why a command was not done: in the words of the room, or in ours if it has none.
pub(in crate::cli::chat) fn not_done(doing: &str, code: u16, comment: &str) -> String {
    let own = match code {
        400 => "the room does not understand it",
        403 => "you may not do that",
        404 => "nobody and nothing of that name is there",
        408 => "no answer",
        413 => "it is too long, or too much for now",
        481 | 506 => "the room does not know this connection any more; leave and join again",
        _ => "",
    };
    let begin = if code == 408 { "perhaps not done" } else { "not done" };
    let comment = one_line(comment);
    let why = if comment.is_empty() { own } else { comment.as_str() };
    format!("{begin}: {doing}: {}", with_code(why, code, ""))
}

/// People that one line names; of more it says how many.
const NAMED_MAX: usize = 5;

/// That some have another role.
pub(in crate::cli::chat) fn role(who: &[String], now: Option<Role>, before: Option<Role>) -> String {
    let named = who.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let whom = match who.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    };
    let (is, s) = if who.len() == 1 { ("is", "") } else { ("are", "s") };
    match (now, before) {
        (Some(Role::Visitor), _) => format!("{whom} may only listen now"),
        (Some(role), _) if !role.shown().is_empty() && s.is_empty() => {
            format!("{whom} is {} now", a_role(role))
        }
        (Some(role), _) if !role.shown().is_empty() => format!("{whom} are {role}s now"),
        (_, Some(before)) if before != Role::Visitor => format!("{whom} {is} no {before}{s} any more"),
        _ => format!("{whom} may speak now"),
    }
}

fn a_role(role: Role) -> String {
    let article = if matches!(role, Role::Owner | Role::Outsider) { "an" } else { "a" };
    format!("{article} {role}")
}

fn lasting(term: Option<Duration>) -> String {
    term.map(|term| format!(" for {}", time(term))).unwrap_or_default()
}

/// A time in the largest unit that it is a whole number of.
fn time(time: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")];
    let seconds = time.as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or(format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit() {
        let table = [(1, "1 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h"), (604_800, "7 d"), (0, "0 s")];
        for (seconds, text) in table {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn another_role_is_told_as_what_it_means() {
        let table = [
            (1, Some(Role::Visitor), None, "Al may only listen now"),
            (2, None, Some(Role::Visitor), "Al, Bo may speak now"),
            (1, Some(Role::Owner), None, "Al is an owner now"),
            (2, Some(Role::Moderator), Some(Role::Visitor), "Al, Bo are moderators now"),
            (1, None, Some(Role::Owner), "Al is no owner any more"),
            (2, None, Some(Role::Moderator), "Al, Bo are no moderators any more"),
            (7, Some(Role::Visitor), None, "Al, Bo, Cy, Di, Ed and 2 more may only listen now"),
        ];
        let all = ["Al", "Bo", "Cy", "Di", "Ed", "Flo", "Gil"].map(str::to_string);
        for (people, now, before, text) in table {
            assert_eq!(role(&all[..people], now, before), text);
        }
    }

    #[test]
    fn what_was_not_done_has_the_reason_of_the_room_or_one_of_its_code() {
        let table = [
            (
                403,
                "Only moderators of this room may do that",
                "not done: muting Bob: Only moderators of this room may do that (403)",
            ),
            (404, "", "not done: muting Bob: nobody and nothing of that name is there (404)"),
            (
                408,
                "no answer within 30 seconds",
                "perhaps not done: muting Bob: no answer within 30 seconds (408)",
            ),
            (599, "", "not done: muting Bob: 599"),
        ];
        for (code, comment, text) in table {
            assert_eq!(not_done("muting Bob", code, comment), text);
        }
    }
}
