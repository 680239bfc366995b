//! What became of things, in words for people: codes stay beside them for those who look them up.
//!
//! Touches: nothing. Proved by: the tests of `talk.rs` and below.

pub(super) mod moderators;

use super::password;
use super::shown::one_line;
use crate::client::call::CallError;
use crate::client::chat::{JoinError, ListedRoom, Step};

/// Why a message was not delivered: to `whom` in private, or to everybody. `later`: the room had taken it, so it
/// was refused by whom it was for.
pub(super) fn undelivered(whom: Option<&str>, code: u16, comment: &str, later: bool) -> String {
    let why = match (code, whom) {
        (481 | 506, Some(whom)) if later => format!("{whom} is gone"),
        (403, Some(whom)) if later => format!("{whom} takes no messages"),
        (413, Some(whom)) if later => format!("it is too long for {whom}"),
        (415, Some(whom)) => format!("{whom} takes no messages of this kind"),
        (404, Some(whom)) => format!("{whom} is not in the room"),
        (428, Some(whom)) => format!("{whom} cannot take private messages, or this room allows none"),
        (403, Some(_)) => "the room does not let you say this in private".to_string(),
        (403, None) => "the room does not let you say this".to_string(),
        (408, _) => "no answer, so it may have arrived or not".to_string(),
        (413, _) => "it is too long, or too much for now".to_string(),
        (415, _) => "nobody here takes messages of this kind".to_string(),
        (481 | 506, _) => "the room does not know this connection any more; leave and join again".to_string(),
        _ => String::new(),
    };
    with_code(&why, code, comment)
}

/// Why a rule of the room, named by its token, keeps us out, and what can be done about it. `words`: those of the room.
pub(super) fn not_let_in(rule: &str, code: u16, words: &str) -> String {
    let hint = match rule {
        "password-wanted" => format!(
            "give it with --room-password-file FILE or in the environment variable {}",
            password::ROOM_VARIABLE
        ),
        "wrong-password" => {
            format!("check it (--room-password-file, or {}), or ask whoever gave it to you", password::ROOM_VARIABLE)
        }
        "members-only" => "ask whoever runs the room to make you a member or to invite you, or come as somebody else with --as".to_string(),
        "locked" => "ask somebody in it to let you in, or try again later".to_string(),
        "full" => "try again later".to_string(),
        "banned" => "ask whoever runs the room".to_string(),
        "users-create" => "give your password with --password-file, or name a room that there is".to_string(),
        "moderators-create" | "nobody-creates" => "name a room that there is".to_string(),
        _ => "ask whoever runs the room, or come as somebody else with --as".to_string(),
    };
    format!("the room does not let you in: {}; {hint}", with_code(&one_line(words), code, ""))
}

/// How far an invitation is; whether it is done, or has failed, if it is over.
pub(super) fn coming(whom: &str, step: &Step) -> (String, Option<bool>) {
    let text = match step.code {
        _ if !step.last && step.code < 180 => return (format!("calling {whom}"), None),
        180..=199 if !step.last => return (format!("{whom}: it rings"), None),
        200..=299 => return (format!("{whom} accepted the invitation"), Some(true)),
        404 | 604 | 410 => "nobody has this address",
        480 | 408 => "no answer, or not there just now",
        486 | 600 => "busy",
        403 | 603 => "does not want to come, or may not",
        487 => "the call was given up",
        _ => "",
    };
    let why = with_code(text, step.code, &step.phrase);
    (format!("{whom} does not come: {why}"), Some(false))
}

/// What became of asking somebody of the room to a sidebar; whether it is done, or has failed.
pub(super) fn asking(whom: &str, step: &Step) -> (String, Option<bool>) {
    match step.code {
        200..=299 => (format!("{whom} is asked"), Some(true)),
        _ => (format!("{whom} is not asked: {}", with_code("", step.code, &step.phrase)), Some(false)),
    }
}

/// Why somebody is not asked to a sidebar: in the words of the server, if it has any.
pub(super) fn not_asked(whom: &str, error: &CallError) -> String {
    format!("{whom} is not asked: {}", refused(error))
}

/// Why there is no sidebar, or we are not in it: in the words of the server, if it has any.
pub(super) fn not_entered(error: &JoinError) -> String {
    match error {
        JoinError::Call(error) => refused(error),
        other => one_line(&other.to_string()),
    }
}

fn refused(error: &CallError) -> String {
    match error {
        CallError::Refused { code, warning: Some(warning), .. } => with_code(&one_line(warning), *code, ""),
        CallError::Refused { code: 404, phrase, .. } => {
            with_code("the server knows no such sidebar, or opens none", 404, phrase)
        }
        other => one_line(&other.to_string()),
    }
}

/// How far a removal is; whether it is done, or has failed, if it is over.
pub(super) fn going(whom: &str, step: &Step) -> (String, Option<bool>) {
    match step.code {
        _ if !step.last && step.code < 200 => (format!("taking {whom} out"), None),
        200..=299 => (format!("{whom} was taken out"), Some(true)),
        404 => (format!("{whom} is not in the room ({} {})", step.code, one_line(&step.phrase)), Some(false)),
        _ => (format!("{whom} was not taken out: {}", with_code("", step.code, &step.phrase)), Some(false)),
    }
}

/// Why the room does not bring somebody in, or take somebody out.
pub(super) fn not_referred(whom: &str, out: bool, error: &CallError) -> String {
    let begin = if out { format!("{whom} is not taken out") } else { format!("{whom} is not invited") };
    let why = match error {
        CallError::Refused { code: 403, .. } if out => "only moderators may take others out",
        CallError::Refused { code: 403, .. } => "the room does not call this address for you",
        CallError::Refused { code: 405 | 489 | 501, .. } if out => "this room takes nobody out",
        CallError::Refused { code: 405 | 489 | 501, .. } => "this room calls nobody",
        CallError::Refused { code: 404, .. } => "there is no such room any more",
        CallError::Refused { code: 416, .. } => "the room can call addresses only that begin with sip:",
        CallError::BadAddress(_) => "this is no SIP address; write it as sip:USER@DOMAIN",
        CallError::Busy => "too many are being called already; try again later",
        _ => return format!("{begin}: {}", one_line(&error.to_string())),
    };
    match error {
        CallError::Refused { code, phrase, warning, .. } => {
            let comment = warning.as_ref().unwrap_or(phrase);
            format!("{begin}: {}", with_code(why, *code, comment))
        }
        _ => format!("{begin}: {why}"),
    }
}

/// Why we are still anonymous.
pub(super) fn not_revealed(error: &CallError) -> String {
    let why = match error {
        CallError::Refused { code: 491, .. } | CallError::Busy => {
            "something else is being agreed upon just now; try again".to_string()
        }
        other => one_line(&other.to_string()),
    };
    format!("you are still anonymous: {why}")
}

/// Why there is no list of rooms.
pub(super) fn not_listed(error: &CallError) -> String {
    let why = match error {
        CallError::Refused { code: 404 | 489, .. } => "there is no such list".to_string(),
        CallError::Busy => "the lists asked for before are still on their way".to_string(),
        other => one_line(&other.to_string()),
    };
    format!("the public rooms are not known: {why}")
}

/// The public rooms, a line each.
pub(super) fn rooms(rooms: &[ListedRoom], note: Option<&str>) -> String {
    let mut text = match rooms.len() {
        0 => "no room is public here".to_string(),
        1 => "1 public room:".to_string(),
        n => format!("{n} public rooms:"),
    };
    for room in rooms {
        text.push_str(&format!("\n  {}", one_line(&room.entity)));
        if let Some(users) = room.user_count {
            text.push_str(&format!(", {users} {}", if users == 1 { "participant" } else { "participants" }));
        }
        if let Some(subject) = room.subject.as_ref().filter(|s| !s.trim().is_empty()) {
            text.push_str(&format!(": {}", one_line(subject)));
        }
    }
    if let Some(note) = note {
        text.push_str(&format!("\n{}", one_line(note)));
    }
    text
}

/// `words: code comment`, or what of it there is.
fn with_code(words: &str, code: u16, comment: &str) -> String {
    let told = format!("{code} {}", one_line(comment));
    let told = told.trim_end();
    if words.is_empty() { told.to_string() } else { format!("{words} ({told})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(code: u16, phrase: &str, last: bool) -> Step {
        Step { code, phrase: phrase.to_string(), last }
    }

    #[test]
    fn who_is_told_in_private_and_did_not_get_it_is_named() {
        let table = [
            (404, false, "bob is not in the room (404)"),
            (428, false, "bob cannot take private messages, or this room allows none (428)"),
            (403, false, "the room does not let you say this in private (403)"),
            (481, false, "the room does not know this connection any more; leave and join again (481)"),
            (481, true, "bob is gone (481)"),
            (403, true, "bob takes no messages (403)"),
            (413, true, "it is too long for bob (413)"),
            (415, true, "bob takes no messages of this kind (415)"),
            (408, true, "no answer, so it may have arrived or not (408)"),
            (599, true, "599"),
        ];
        for (code, later, expected) in table {
            assert_eq!(undelivered(Some("bob"), code, "", later), expected);
        }
    }

    #[test]
    fn who_is_kept_out_is_told_why_and_what_to_do() {
        let table = [
            ("password-wanted", "This room wants a password", "--room-password-file FILE"),
            ("wrong-password", "This is not the password of the room", "check it"),
            ("banned", "You are banned from this room for 9 min: spam", "ask whoever runs the room"),
            ("members-only", "Only members", "make you a member"),
            ("something-new", "No", "--as"),
        ];
        for (rule, words, hint) in table {
            let text = not_let_in(rule, 403, words);
            let start = format!("the room does not let you in: {words} (403); ");
            assert!(text.strip_prefix(&start).is_some_and(|rest| rest.contains(hint)), "{text}");
        }
    }

    #[test]
    fn steps_and_refusals_are_told_in_words_with_the_code_beside() {
        let table = [
            (coming("d@x", &step(100, "Trying", false)), "calling d@x", None),
            (coming("d@x", &step(180, "Ringing", false)), "d@x: it rings", None),
            (coming("d@x", &step(200, "OK", true)), "d@x accepted the invitation", Some(true)),
            (
                coming("d@x", &step(486, "Busy Here", true)),
                "d@x does not come: busy (486 Busy Here)",
                Some(false),
            ),
            (coming("d@x", &step(503, "\u{1b}No", true)), "d@x does not come: 503 No", Some(false)),
            (coming("d@x", &step(100, "", true)), "d@x does not come: 100", Some(false)),
            (going("bob", &step(100, "Trying", false)), "taking bob out", None),
            (going("bob", &step(200, "OK", true)), "bob was taken out", Some(true)),
            (
                going("bob", &step(404, "Not Found", true)),
                "bob is not in the room (404 Not Found)",
                Some(false),
            ),
            (going("bob", &step(500, "", true)), "bob was not taken out: 500", Some(false)),
        ];
        for ((text, done), expected, over) in table {
            assert_eq!((text.as_str(), done), (expected, over));
        }
        let refused = |code| CallError::Refused { code, phrase: "No".to_string(), warning: None, rule: None };
        let table = [
            (
                not_referred("bob", true, &refused(403)),
                "bob is not taken out: only moderators may take others out (403 No)",
            ),
            (
                not_referred("d@x", false, &refused(405)),
                "d@x is not invited: this room calls nobody (405 No)",
            ),
            (not_referred("d@x", false, &refused(500)), "d@x is not invited: the server refused: 500 No"),
            (
                not_referred("d", false, &CallError::BadAddress("d".into())),
                "d is not invited: this is no SIP address; write it as sip:USER@DOMAIN",
            ),
            (
                not_revealed(&refused(491)),
                "you are still anonymous: something else is being agreed upon just now; try again",
            ),
            (
                not_revealed(&CallError::NoAnswer),
                "you are still anonymous: the server did not answer (waited 32 s, or 180 s after it said it was trying)",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(text, expected);
        }
    }
}
