//! At a terminal: a prompt below, what happens in the room above it.
//!
//! The line being typed belongs to rustyline-async, which draws it anew below whatever is printed.
//!
//! Touches: the terminal. Bounds: those of `talk.rs`, and what a person types. Proved by: the tests of
//! `wish.rs` for what is typed, of `talk.rs` and `shown.rs` for what is printed; the look by hand.

use super::shown::{message_lines, one_line};
use super::talk::{Shown, Talk};
use super::wish::{HELP, Wish};
use crate::client::chat::{Event, Events, Room};
use rustyline_async::{Readline, ReadlineError, ReadlineEvent, SharedWriter};
use std::io::Write;

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

    fn show(&mut self, shown: &Shown) -> Result<(), ReadlineError> {
        match shown {
            Shown::Message(message) => self.print(&message_lines(message)),
            Shown::Own(line) => self.print(line),
            Shown::Status(text) => self.print(&format!("* {text}")),
            Shown::Trouble(text) | Shown::Undelivered(text) => self.print(&format!("! {text}")),
        }
    }
}

/// Talks until the user or the room ends it; why the room did, if it did.
pub(super) async fn run(
    room: Room,
    mut events: Events,
    mut talk: Talk,
) -> Result<Option<String>, ReadlineError> {
    let (mut readline, writer) = Readline::new("> ".to_string())?;
    readline.should_print_line_on(false, false);
    let mut screen = Screen { readline, writer };
    screen.print("/help tells what can be typed here")?;
    let closed = loop {
        tokio::select! {
            typed = screen.readline.readline() => match typed? {
                ReadlineEvent::Line(line) => {
                    if do_line(&mut screen, &mut talk, &room, line.trim_end()).await? {
                        break None;
                    }
                }
                ReadlineEvent::Eof | ReadlineEvent::Interrupted => break None,
            },
            event = events.next() => match event {
                Some(Event::Closed { why }) => break Some(one_line(&why)),
                None => break Some("the room is gone".to_string()),
                Some(event) => {
                    if let Some(shown) = talk.happened(event) {
                        screen.show(&shown)?;
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

/// Does what a line asks for; whether it asks to leave.
async fn do_line(
    screen: &mut Screen,
    talk: &mut Talk,
    room: &Room,
    line: &str,
) -> Result<bool, ReadlineError> {
    screen.readline.add_history_entry(line.to_string());
    match Wish::read(line) {
        Wish::Say("") => {}
        Wish::Quit => return Ok(true),
        Wish::Help => screen.print(HELP)?,
        wish => {
            for shown in talk.ask(room, wish).await {
                screen.show(&shown)?;
            }
        }
    }
    Ok(false)
}
