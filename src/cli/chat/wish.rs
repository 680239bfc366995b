//! What a line typed asks for: the same at a terminal and in a pipe.
//!
//! Touches: nothing. Bounds: the line's. Proved by: the tests below.

use super::aside::Aside;
use super::order::{MODERATORS_HELP, Order};

/// What can be typed, for people. No line is longer than 80 columns.
const HELP: &str = "\
/msg NAME[,NAME] TEXT  tell one, or each of several, in private; NAME as /who
                       shows it (in \"quotation marks\" if it holds a space or
                       comma), or an address
/nick NAME             be known by a nickname; /nick alone gives it back
/counts on             be told how many have received what you say; /counts off
/reveal                if you came with --anonymous: let all see who you are

/who                   who is here, with addresses and roles
/invite ADDRESS ...    let the room call sip:dave@example.com, or several
/list                  the public rooms; /list ADDRESS asks another server's
                       list: sip:rooms@example.com

/sidebar NAME[,NAME]   talk aside with some who are here, in a sidebar
/join 1                enter sidebar 1, to which you are asked
/in 1 TEXT             say something in it; what names no sidebar is said to
                       the room
/ask 1 NAME[,NAME]     ask more people of the room to it
/leave 1               leave it
/sidebars              which there are, and who is in yours

/help moderators       what moderators can do: /kick, /ban, /mute, /subject ...
/help                  this text
/quit                  leave (also Ctrl-D or Ctrl-C)
Everything else is said to the room; begin with // to say something that begins
with /.";

/// What to tell of a topic: `moderators`, or the rest.
pub(super) fn help(topic: &str) -> &'static str {
    if topic.starts_with("mod") { MODERATORS_HELP } else { HELP }
}

/// How a line is written that begins with this word: as the help says.
pub(super) fn usage(word: &str) -> Option<&'static str> {
    let is_of = |line: &&str| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '));
    let line = HELP.lines().chain(MODERATORS_HELP.lines()).find(is_of)?;
    // What it does stands behind a gap.
    line.split("  ").next()
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// To say something to everybody.
    Say(&'a str),
    /// To say something to each of some, who are called so or have this address.
    Tell {
        to: Vec<String>,
        text: &'a str,
    },
    /// To be known by a nickname, or by none.
    Nickname(Option<&'a str>),
    /// To have somebody brought in, by address.
    BringIn(Vec<&'a str>),
    /// To have somebody taken out.
    TakeOut(Vec<String>),
    /// To be told how many have a message, or not any more.
    Counts(bool),
    /// Not to be anonymous any more.
    Reveal,
    /// The public rooms, of a list at this address or of the room's own domain.
    List(Option<&'a str>),
    /// Something in or about a sidebar.
    Aside(Aside<'a>),
    /// Something that moderators do.
    Order(Order<'a>),
    Who,
    /// To be told what can be typed, of a topic.
    Help(&'a str),
    Quit,
    /// Nothing that is understood; the word it begins with.
    Unknown(&'a str),
}

impl<'a> Wish<'a> {
    /// Reads a line without its end.
    pub(super) fn read(line: &'a str) -> Self {
        if line.starts_with("//") {
            return Self::Say(&line[1..]);
        }
        if !line.starts_with('/') {
            return Self::Say(line);
        }
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start();
        match word {
            "/who" => Self::Who,
            "/help" => Self::Help(rest),
            "/quit" | "/exit" => Self::Quit,
            "/reveal" => Self::Reveal,
            "/list" => Self::List((!rest.is_empty()).then_some(rest)),
            "/counts" if rest == "on" => Self::Counts(true),
            "/counts" if rest == "off" => Self::Counts(false),
            "/invite" if !rest.is_empty() => {
                let separate = |c: char| c == ',' || c.is_whitespace();
                Self::BringIn(rest.split(separate).filter(|a| !a.is_empty()).collect())
            }
            "/remove" => match names(rest) {
                Some(all) => Self::TakeOut(all),
                None => Self::Unknown(word),
            },
            "/nick" => Self::Nickname((!rest.is_empty()).then_some(rest)),
            "/msg" => match recipients(rest) {
                Some((to, text)) => Self::Tell { to, text },
                None => Self::Unknown(word),
            },
            _ => match Aside::read(word, rest) {
                Some(aside) => Self::Aside(aside),
                None => Order::read(word, rest).map_or(Self::Unknown(word), Self::Order),
            },
        }
    }
}

/// `NAME[,NAME] TEXT`. No space stands after a comma: the word behind it would be taken for a name, and
/// the rest go to the wrong people.
fn recipients(rest: &str) -> Option<(Vec<String>, &str)> {
    let (all, after) = listed(rest)?;
    let text = after.strip_prefix(' ')?.trim();
    (!text.is_empty()).then_some((all, text))
}

/// `NAME[,NAME]`, and nothing else.
pub(super) fn names(rest: &str) -> Option<Vec<String>> {
    let (all, after) = listed(rest)?;
    after.is_empty().then_some(all)
}

/// `NAME[,NAME]`, and what stands behind it.
pub(super) fn listed(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut all = Vec::new();
    loop {
        let (name, after) = recipient(rest)?;
        all.push(name);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((all, after)),
        }
    }
}

/// A name up to a space or comma, or in quotation marks, where a backslash takes the next character as it
/// is; and what follows it.
fn recipient(rest: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let after = match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut chars = quoted.char_indices();
            loop {
                match chars.next()? {
                    (at, '"') => break &quoted[at + 1..],
                    (_, '\\') => name.push(chars.next()?.1),
                    (_, c) => name.push(c),
                }
            }
        }
        None => {
            let end = rest.find([' ', ',']).unwrap_or(rest.len());
            name.push_str(&rest[..end]);
            &rest[end..]
        }
    };
    (!name.is_empty()).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::command::RoomCommand;

    fn tell<'a>(to: &[&str], text: &'a str) -> Wish<'a> {
        Wish::Tell { to: to.iter().map(|t| (*t).to_string()).collect(), text }
    }

    #[test]
    fn lines_are_said_unless_they_begin_with_a_slash() {
        let table = [
            ("hello /who", Wish::Say("hello /who")),
            ("//etc/passwd", Wish::Say("/etc/passwd")),
            ("//msg bob hi ", Wish::Say("/msg bob hi ")),
            (" ", Wish::Say(" ")),
            ("/who", Wish::Who),
            ("/quit now", Wish::Quit),
            ("/help", Wish::Help("")),
            ("/help moderators", Wish::Help("moderators")),
            ("/lock", Wish::Order(Order::Room(RoomCommand::Lock(true)))),
            ("/lock it", Wish::Unknown("/lock")),
            ("/nick White Rabbit ", Wish::Nickname(Some("White Rabbit"))),
            ("/nick", Wish::Nickname(None)),
            ("/nick  ", Wish::Nickname(None)),
            ("/invite sip:d@x e@y,f@z ", Wish::BringIn(vec!["sip:d@x", "e@y", "f@z"])),
            ("/invite", Wish::Unknown("/invite")),
            ("/remove bob", Wish::TakeOut(vec!["bob".to_string()])),
            (
                "/remove \"White Rabbit\",b@x",
                Wish::TakeOut(vec!["White Rabbit".to_string(), "b@x".to_string()]),
            ),
            ("/remove White Rabbit", Wish::Unknown("/remove")),
            ("/remove bob,", Wish::Unknown("/remove")),
            ("/counts on", Wish::Counts(true)),
            ("/counts off", Wish::Counts(false)),
            ("/counts", Wish::Unknown("/counts")),
            ("/reveal", Wish::Reveal),
            ("/list", Wish::List(None)),
            ("/list sip:rooms@example.com", Wish::List(Some("sip:rooms@example.com"))),
            ("/in 1 psst ", Wish::Aside(Aside::Say(1, "psst"))),
            ("/in psst", Wish::Unknown("/in")),
            ("/sidebars", Wish::Aside(Aside::List)),
            ("/dance", Wish::Unknown("/dance")),
            ("/msgbob psst", Wish::Unknown("/msgbob")),
        ];
        for (line, wish) in table {
            assert_eq!(Wish::read(line), wish, "{line}");
        }
    }

    #[test]
    fn help_fits_80_columns_and_tells_how_a_word_is_written() {
        for line in [help(""), help("moderators")].into_iter().flat_map(str::lines) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(usage("/mute"), Some("/mute NAME[,NAME] [TERM] [REASON]"));
        assert_eq!(usage("/msg"), Some("/msg NAME[,NAME] TEXT"));
        assert_eq!(usage("/in"), Some("/in 1 TEXT"));
        assert_eq!(usage("/sidebar"), Some("/sidebar NAME[,NAME]"));
        assert_eq!((usage("/dance"), usage("/")), (None, None));
    }

    #[test]
    fn a_private_message_names_one_or_several() {
        let table = [
            ("/msg bob@x  how are you ", tell(&["bob@x"], "how are you")),
            ("/msg bob,Carol hi", tell(&["bob", "Carol"], "hi")),
            ("/msg \"White Rabbit\",bob you are late", tell(&["White Rabbit", "bob"], "you are late")),
            (r#"/msg "a \"b\", c" hi"#, tell(&["a \"b\", c"], "hi")),
        ];
        for (line, wish) in table {
            assert_eq!(Wish::read(line), wish, "{line}");
        }
    }

    #[test]
    fn what_may_go_to_the_wrong_people_goes_to_nobody() {
        for line in [
            "/msg",
            "/msg bob",
            "/msg bob ",
            "/msg bob, hello there",
            "/msg ,bob hi",
            "/msg \"White Rabbit hi",
            "/msg \"\" hi",
            "/msg \"bob\"hi there",
        ] {
            assert_eq!(Wish::read(line), Wish::Unknown("/msg"), "{line}");
        }
    }
}
