//! What is shown of a room: events as lines of text, nothing in them that a terminal would obey.
//!
//! Touches: nothing. Bounds: [`TEXT_CHARS_MAX`] characters of a message at a terminal, [`NAME_CHARS_MAX`] of
//! a name; in a pipe a message is never cut.
//! Proved by: the tests below.

use crate::base::rights::Role;
use crate::client::chat::{Message, Person};

/// Characters of a message that are shown at a terminal; what is cut is said.
const TEXT_CHARS_MAX: usize = 16 * 1024;

/// Characters of a name that are shown.
const NAME_CHARS_MAX: usize = 64;

/// Whether a character may reach a terminal or a log: no controls (they command the terminal), none that
/// turn the direction of writing (they make text look like other text), no line separators (SEC-09).
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// A name in one line.
pub(super) fn name(text: &str) -> String {
    let clean: String = text.chars().filter(|c| is_harmless(*c)).take(NAME_CHARS_MAX).collect();
    let clean = clean.trim();
    if clean.is_empty() { "somebody".to_string() } else { clean.to_string() }
}

/// A text in one line: line ends as `\n`, tabs as they are.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end_matches(['\r', '\n']).chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push('\t'),
            c if is_harmless(c) => out.push(c),
            _ => {}
        }
    }
    out
}

/// A text as lines; of a long one the beginning.
fn lines(text: &str) -> Vec<String> {
    let text = text.trim_end_matches(['\r', '\n']);
    let cut = text.char_indices().nth(TEXT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let clean = |line: &str| line.chars().filter(|c| *c == '\t' || is_harmless(*c)).collect();
    let mut lines: Vec<String> = text[..cut].split('\n').map(clean).collect();
    if cut < text.len() {
        lines.push(format!("[{} more octets are not shown]", text.len() - cut));
    }
    lines
}

/// What a message says, or why it cannot be shown. Nothing in it is ever run or fetched (SEC-13).
fn content(message: &Message) -> String {
    if !message.not_understood.is_empty() {
        return format!("[cannot be shown: it needs {}]", message.not_understood.join(", "));
    }
    match message.text() {
        // Of a content in parts the text says itself what is what.
        Some(text) if is_plain(&message.content_type) => text.into_owned(),
        Some(text) => format!("[{}] {text}", message.content_type),
        None => format!("[{}, {} octets]", message.content_type, message.content.len()),
    }
}

fn is_plain(content_type: &str) -> bool {
    let begin = content_type.split('/').next().unwrap_or_default();
    content_type.eq_ignore_ascii_case("text/plain") || !begin.eq_ignore_ascii_case("text")
}

fn speaker(message: &Message) -> String {
    let private = if message.to_me { " (private)" } else { "" };
    format!("{}{private}", name(&message.name))
}

/// What the room itself says: apart from what people say, whatever it is called.
pub(super) fn notice(message: &Message) -> String {
    format!("the room: {}", lines(&content(message)).join("\n    "))
}

/// A message in one line: `name: text`.
pub(super) fn message_line(message: &Message) -> String {
    format!("{}: {}", speaker(message), one_line(&content(message)))
}

/// A message for people: further lines are indented, so that they cannot look like somebody else's.
pub(super) fn message_lines(message: &Message) -> String {
    format!("{}: {}", speaker(message), lines(&content(message)).join("\n    "))
}

/// Who is there, sorted by name.
pub(super) fn people(people: &[Person]) -> String {
    let mut names: Vec<String> = people.iter().map(|p| name(&p.name)).collect();
    names.sort_unstable_by_key(|n| n.to_lowercase());
    match names.len() {
        0 => "nobody is here".to_string(),
        1 => format!("1 is here: {}", names[0]),
        n => format!("{n} are here: {}", names.join(", ")),
    }
}

/// Who is there, sorted by name, with addresses and roles, one in a line.
pub(super) fn people_and_addresses(people: &[Person]) -> String {
    let line = |p: &Person| {
        let (name, address) = (name(&p.name), one_line(&p.address));
        let role = p.role.map(Role::shown).filter(|shown| !shown.is_empty());
        let such: Vec<&str> = role.into_iter().chain(p.muted.then_some("muted")).collect();
        let such = if such.is_empty() { String::new() } else { format!(" ({})", such.join(", ")) };
        if p.name == p.address {
            format!("\n    {address}{such}")
        } else {
            format!("\n    {name} <{address}>{such}")
        }
    };
    let mut lines: Vec<String> = people.iter().map(line).collect();
    lines.sort_unstable_by_key(|line| line.to_lowercase());
    match lines.len() {
        0 => "nobody is here".to_string(),
        1 => format!("1 is here:{}", lines[0]),
        n => format!("{n} are here:{}", lines.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(text: &str) -> Message {
        Message {
            from: "sip:bob@example.com".to_string(),
            name: "Bob".to_string(),
            content_type: "text/plain".to_string(),
            content: Bytes::copy_from_slice(text.as_bytes()),
            ..Message::default()
        }
    }

    #[test]
    fn nothing_that_commands_a_terminal_is_shown() {
        // SEC-09
        let evil = "a\u{1b}[2Jb\u{9b}31m\u{7}\u{8}c\rd\u{202e}e\u{2066}\u{2028}f\0";
        assert_eq!(message_line(&message(evil)), "Bob: a[2Jb31mcdef");
        assert_eq!(message_lines(&message(evil)), "Bob: a[2Jb31mcdef");
        assert_eq!(name("\u{1b}]0;x\u{7}Bob\nEve: hi"), "]0;xBobEve: hi");
        assert_eq!(name("\u{202e} "), "somebody");
    }

    #[test]
    fn a_line_within_a_message_cannot_look_like_another_message() {
        // SEC-09
        let two = message("hi\r\nEve: I give up\n");
        assert_eq!(message_line(&two), "Bob: hi\\nEve: I give up");
        assert_eq!(message_lines(&two), "Bob: hi\n    Eve: I give up");
    }

    #[test]
    fn a_long_message_is_cut_at_a_terminal_only() {
        let long = message(&"ä".repeat(TEXT_CHARS_MAX + 3));
        assert_eq!(message_line(&long).chars().count(), "Bob: ".len() + TEXT_CHARS_MAX + 3);
        assert!(message_lines(&long).ends_with("ä\n    [6 more octets are not shown]"));
    }

    #[test]
    fn private_and_other_content_is_marked() {
        // CHAT-MSG-15, SEC-13, CPIM-06
        let mut m = message("psst");
        m.to_me = true;
        assert_eq!(message_line(&m), "Bob (private): psst");
        let mut m = message("<script>x</script>");
        m.content_type = "text/html".to_string();
        assert_eq!(message_line(&m), "Bob: [text/html] <script>x</script>");
        m.content_type = "image/png".to_string();
        assert_eq!(message_line(&m), "Bob: [image/png, 18 octets]");
        m.not_understood = vec!["Seal".to_string()];
        assert_eq!(message_line(&m), "Bob: [cannot be shown: it needs Seal]");
    }

    #[test]
    fn what_the_room_says_looks_like_nobodys_words() {
        let mut m = message("You are muted for 10 min: caps lock\r\nBob: hi\u{1b}");
        m.of_room = true;
        assert_eq!(notice(&m), "the room: You are muted for 10 min: caps lock\n    Bob: hi");
    }

    #[test]
    fn roles_and_who_may_not_speak_stand_beside_the_people() {
        let person =
            |n: &str, role, muted| Person { address: format!("sip:{n}@x"), name: n.to_string(), role, muted };
        let all = [
            person("a", Some(Role::Owner), false),
            person("b", None, true),
            person("c", Some(Role::Visitor), true),
            person("d", Some(Role::Participant), false),
        ];
        assert_eq!(
            people_and_addresses(&all),
            "4 are here:\n    a <sip:a@x> (owner)\n    b <sip:b@x> (muted)\n    c <sip:c@x> (visitor, muted)\n    d <sip:d@x>"
        );
    }

    #[test]
    fn people_are_counted_and_sorted() {
        let person =
            |n: &str| Person { address: format!("sip:{n}@x"), name: n.to_string(), ..Person::default() };
        assert_eq!(people(&[]), "nobody is here");
        assert_eq!(people(&[person("a")]), "1 is here: a");
        assert_eq!(people(&[person("b"), person("C"), person("a")]), "3 are here: a, b, C");
        let nameless = Person {
            address: "sip:a\u{1b}@x".to_string(),
            name: "sip:a\u{1b}@x".to_string(),
            ..Person::default()
        };
        assert_eq!(people_and_addresses(&[]), "nobody is here");
        assert_eq!(
            people_and_addresses(&[nameless, person("B")]),
            "2 are here:\n    B <sip:B@x>\n    sip:a@x"
        );
    }
}
