//! At a terminal: a prompt below, what happens in the room above it.
//!
//! The line being typed belongs to rustyline-async, which draws it anew below whatever is printed.
//!
//! Touches: the terminal. Bounds: the roster's. Proved by: the tests of `shown.rs` for what is printed and
//! those below for what is typed; the look by hand.

use super::shown::{message_lines, name, one_line, people};
use crate::client::chat::{Event, Events, Person, Room};
use rustyline_async::{Readline, ReadlineError, ReadlineEvent, SharedWriter};
use std::collections::BTreeMap;
use std::io::Write;

const HELP: &str = "\
/who               who is here
/msg ADDRESS TEXT  say something to one person only
/quit              leave (also Ctrl-D or Ctrl-C)
/help              this text
Everything else is said to the room; begin with // to say something that begins with /.";

/// What a line typed asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish<'a> {
    Say(&'a str),
    Tell { address: &'a str, text: &'a str },
    Who,
    Help,
    Quit,
    Nothing,
    Unknown(&'a str),
}

impl<'a> Wish<'a> {
    fn read(line: &'a str) -> Self {
        let line = line.trim_end();
        if line.starts_with("//") {
            return Self::Say(&line[1..]);
        }
        if !line.starts_with('/') {
            return if line.is_empty() { Self::Nothing } else { Self::Say(line) };
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest.trim_start().split_once(' ')) {
            ("/who", _) => Self::Who,
            ("/help", _) => Self::Help,
            ("/quit" | "/exit", _) => Self::Quit,
            ("/msg", Some((address, text))) if !text.trim().is_empty() => {
                Self::Tell { address, text: text.trim() }
            }
            _ => Self::Unknown(word),
        }
    }
}

/// Lines above the prompt.
struct Screen {
    readline: Readline,
    writer: SharedWriter,
}

impl Screen {
    fn print(&mut self, text: &str) -> Result<(), ReadlineError> {
        let line = format!("{text}\n");
        match self.writer.write_all(line.as_bytes()) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                // Its queue is full: what it holds goes out first. The writer kept the line.
                self.readline.flush()?;
                Ok(self.writer.write_all(b"\n")?)
            }
            written => Ok(written?),
        }
    }
}

/// Talks until the user or the room ends it; why the room did, if it did.
pub(super) async fn run(
    room: Room,
    mut events: Events,
    own_name: &str,
) -> Result<Option<String>, ReadlineError> {
    let (mut readline, writer) = Readline::new("> ".to_string())?;
    readline.should_print_line_on(false, false);
    let mut screen = Screen { readline, writer };
    screen.print("/help tells what can be typed here")?;
    let mut talk = Talk { here: Vec::new(), said: BTreeMap::new(), own_name: name(own_name) };
    let closed = loop {
        tokio::select! {
            typed = screen.readline.readline() => match typed? {
                ReadlineEvent::Line(line) => {
                    if talk.typed(&mut screen, &room, &line).await? {
                        break None;
                    }
                }
                ReadlineEvent::Eof | ReadlineEvent::Interrupted => break None,
            },
            event = events.next() => match event {
                Some(Event::Closed { why }) => break Some(one_line(&why)),
                None => break Some("the room is gone".to_string()),
                Some(event) => {
                    if let Some(text) = talk.happened(event) {
                        screen.print(&text)?;
                    }
                }
            },
        }
    };
    screen.readline.flush()?;
    drop(screen);
    room.leave().await;
    Ok(closed)
}

struct Talk {
    here: Vec<Person>,
    /// Beginnings of what we said and nobody answered yet, to name it should it fail.
    said: BTreeMap<u64, String>,
    own_name: String,
}

impl Talk {
    /// Does what a line asks for; whether it asks to leave.
    async fn typed(&mut self, screen: &mut Screen, room: &Room, line: &str) -> Result<bool, ReadlineError> {
        screen.readline.add_history_entry(line.to_string());
        match Wish::read(line) {
            Wish::Nothing => {}
            Wish::Quit => return Ok(true),
            Wish::Help => screen.print(HELP)?,
            Wish::Who => screen.print(&format!("* {}", people(&self.here)))?,
            Wish::Unknown(word) => {
                screen.print(&format!("! {} cannot be done so; /help tells what can", name(word)))?;
            }
            Wish::Say(text) => {
                screen.print(&format!("{}: {}", self.own_name, one_line(text)))?;
                self.note(room.say(text).await.ok(), text);
            }
            Wish::Tell { .. } if !room.has_private_messages() => {
                screen.print("! this room has no private messages")?;
            }
            Wish::Tell { address, text } => {
                let address =
                    if address.contains(':') { address.to_string() } else { format!("sip:{address}") };
                screen.print(&format!("{} (to {}): {}", self.own_name, name(&address), one_line(text)))?;
                self.note(room.say_to(&address, text).await.ok(), text);
            }
        }
        Ok(false)
    }

    fn note(&mut self, number: Option<u64>, text: &str) {
        if let Some(number) = number {
            self.said.insert(number, text.chars().take(40).collect());
        }
    }

    /// What to print of an event.
    fn happened(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Here(all) => {
                let text = format!("* {}", people(&all));
                self.here = all;
                Some(text)
            }
            Event::Joined(who) => {
                let text = format!("* {} joined", name(&who.name));
                self.here.push(who);
                Some(text)
            }
            Event::Left(who) => {
                self.here.retain(|p| p.address != who.address);
                Some(format!("* {} left", name(&who.name)))
            }
            Event::Renamed { who, before } => {
                let text = format!("* {} is now {}", name(&before), name(&who.name));
                self.here.iter_mut().filter(|p| p.address == who.address).for_each(|p| *p = who.clone());
                Some(text)
            }
            Event::Subject(text) => Some(format!("* subject: {}", one_line(&text))),
            Event::Message(message) => Some(message_lines(&message)),
            Event::Accepted { message } => {
                self.said.remove(&message);
                None
            }
            Event::Refused { message, code, comment } => {
                let what = self.said.remove(&message).unwrap_or_default();
                Some(format!("! not delivered: {:?} ({code} {})", one_line(&what), one_line(&comment)))
            }
            // The caller ends with it.
            Event::Closed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(address: &str, name: &str) -> Person {
        Person { address: address.to_string(), name: name.to_string() }
    }

    #[test]
    fn lines_are_said_unless_they_begin_with_a_slash() {
        let table = [
            ("hello /who", Wish::Say("hello /who")),
            ("//etc/passwd", Wish::Say("/etc/passwd")),
            ("  ", Wish::Nothing),
            ("/who", Wish::Who),
            ("/quit now", Wish::Quit),
            ("/help", Wish::Help),
            ("/msg bob@x  how are you ", Wish::Tell { address: "bob@x", text: "how are you" }),
            ("/msg bob@x", Wish::Unknown("/msg")),
            ("/dance", Wish::Unknown("/dance")),
        ];
        for (line, wish) in table {
            assert_eq!(Wish::read(line), wish, "{line}");
        }
    }

    #[test]
    fn who_is_here_follows_what_happened() {
        let mut talk = Talk { here: Vec::new(), said: BTreeMap::new(), own_name: "Me".to_string() };
        talk.happened(Event::Here(vec![person("sip:a@x", "Al")]));
        talk.happened(Event::Joined(person("sip:b@x", "Bo")));
        let renamed = Event::Renamed { who: person("sip:b@x", "Bob"), before: "Bo".to_string() };
        assert_eq!(talk.happened(renamed).unwrap(), "* Bo is now Bob");
        assert_eq!(talk.happened(Event::Left(person("sip:a@x", "Al"))).unwrap(), "* Al left");
        assert_eq!(talk.here, [person("sip:b@x", "Bob")]);
    }

    #[test]
    fn what_was_not_delivered_is_named() {
        let mut talk = Talk { here: Vec::new(), said: BTreeMap::new(), own_name: "Me".to_string() };
        talk.note(Some(1), "hello");
        talk.note(Some(2), "world");
        assert_eq!(talk.happened(Event::Accepted { message: 1 }), None);
        let refused = Event::Refused { message: 2, code: 403, comment: "No\u{1b}".to_string() };
        assert_eq!(talk.happened(refused).unwrap(), "! not delivered: \"world\" (403 No)");
        assert!(talk.said.is_empty());
    }
}
