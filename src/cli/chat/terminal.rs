//! At a terminal: a prompt below, what happens in the room above it.
//!
//! Touches: the terminal, which a thread of its own reads; signals. Bounds: [`KEYS_WAITING_MAX`], those of
//! `talk.rs` and `prompt.rs`. Proved by: the tests of `wish.rs` and `prompt.rs` for what is typed, of `talk.rs`
//! and `shown.rs` for what is printed; the look by hand.

use super::parts::Parts;
use super::prompt::{Line, Typed, fitting};
use super::shown::{message_lines, one_line};
use super::talk::Shown;
use super::wish::{Wish, help};
use crate::client::chat::{Event, Events, Room};
use crossterm::event::{Event as Input, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use std::io::{self, Write};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Keys that were not looked at yet. Beyond, the terminal waits, as when much is pasted.
const KEYS_WAITING_MAX: usize = 256;

/// Columns if the terminal does not say.
const COLUMNS: usize = 80;

/// Keys one by one and not shown by the terminal itself, until dropped.
pub(super) struct Raw(());

impl Raw {
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing better is known than to leave it as it is.
        let _ = disable_raw_mode();
    }
}

/// Lines above the prompt.
struct Screen {
    line: Line,
    /// Who is writing, beside the prompt.
    beside: String,
    columns: usize,
    _raw: Raw,
}

impl Screen {
    fn open() -> io::Result<Self> {
        let raw = Raw::enter()?;
        let mut screen = Self { line: Line::default(), beside: String::new(), columns: COLUMNS, _raw: raw };
        screen.measure();
        Ok(screen)
    }

    fn measure(&mut self) {
        self.columns = size().map_or(COLUMNS, |(columns, _)| usize::from(columns)).max(1);
    }

    /// Prints text above the prompt.
    fn print(&self, text: &str) -> io::Result<()> {
        let text = text.replace('\n', "\r\n");
        self.put(&format!("\r\u{1b}[J{text}\r\n{}", self.prompt()))
    }

    fn draw(&self) -> io::Result<()> {
        self.put(&format!("\r\u{1b}[J{}", self.prompt()))
    }

    fn put(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The prompt, with the cursor where it belongs.
    fn prompt(&self) -> String {
        let (beside, width) = fitting(&self.beside, self.columns / 2);
        let before = if beside.is_empty() { "> ".to_string() } else { format!("({beside}) > ") };
        let taken = if width == 0 { 2 } else { width + 5 };
        let (seen, cursor) = self.line.seen(self.columns.saturating_sub(taken));
        let column = taken + cursor;
        format!("{before}{seen}\r\u{1b}[{column}C")
    }

    fn show(&self, shown: &Shown) -> io::Result<()> {
        self.print(&as_text(shown))
    }
}

fn as_text(shown: &Shown) -> String {
    match shown {
        Shown::Message(message) => message_lines(message),
        Shown::Own(line) => line.clone(),
        Shown::Status(text) => format!("* {text}"),
        Shown::Trouble(text) | Shown::Undelivered(text) => format!("! {text}"),
        Shown::Aside(number, shown) => format!("[{number}] {}", as_text(shown)),
    }
}

/// Reads the terminal in a thread, since that waits. It ends with the process.
fn keys() -> io::Result<mpsc::Receiver<io::Result<Input>>> {
    let (sender, receiver) = mpsc::channel(KEYS_WAITING_MAX);
    std::thread::Builder::new().name("keys".to_string()).spawn(move || {
        loop {
            let input = read();
            let over = input.is_err();
            if sender.blocking_send(input).is_err() || over {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Talks until the user or the room ends it; why the room did, if it did. `tell_typing`: the others learn when
/// something is being written.
pub(super) async fn run(
    room: Room,
    mut events: Events,
    mut parts: Parts,
    greeting: Vec<Shown>,
    tell_typing: bool,
) -> io::Result<Option<String>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut screen = Screen::open()?;
    let mut keys = keys()?;
    screen.print("/help tells what can be typed here")?;
    for shown in greeting {
        screen.show(&shown)?;
    }
    let closed = loop {
        tokio::select! {
            input = keys.recv() => match input {
                Some(Ok(input)) => {
                    if on_input(&mut screen, &mut parts, &room, input, tell_typing).await? {
                        break None;
                    }
                }
                Some(Err(e)) => return Err(e),
                None => break None,
            },
            event = events.next() => match event {
                Some(Event::Closed { why }) => break Some(one_line(&why)),
                None => break Some("the room is gone".to_string()),
                Some(event) => {
                    let shown = parts.happened(event);
                    screen.beside = parts.writing();
                    match shown {
                        Some(shown) => screen.show(&shown)?,
                        None => screen.draw()?,
                    }
                }
            },
            all = parts.next() => {
                screen.beside = parts.writing();
                if all.is_empty() {
                    screen.draw()?;
                }
                for shown in all {
                    screen.show(&shown)?;
                }
            }
            _ = terminate.recv() => break None,
            _ = hang_up.recv() => break None,
        }
    };
    // The prompt goes; what was said stays.
    screen.put("\r\u{1b}[J")?;
    drop(screen);
    parts.leave(room).await;
    Ok(closed)
}

/// Does what a key asks for; whether it asks to leave.
async fn on_input(
    screen: &mut Screen,
    parts: &mut Parts,
    room: &Room,
    input: Input,
    tell_typing: bool,
) -> io::Result<bool> {
    let key = match input {
        Input::Key(key) => key,
        Input::Resize(..) => {
            screen.measure();
            return screen.draw().map(|()| false);
        }
        _ => return Ok(false),
    };
    match screen.line.key(key) {
        Typed::Nothing => {}
        Typed::Changed => {
            if tell_typing {
                let text = screen.line.text();
                // Lines to ourselves are nobody's business.
                room.typing(!text.is_empty() && matches!(Wish::read(&text), Wish::Say(_)));
            }
            screen.draw()?;
        }
        Typed::Redraw => {
            screen.put("\u{1b}[H\u{1b}[2J")?;
            screen.draw()?;
        }
        Typed::Leave => return Ok(true),
        Typed::Line(line) => {
            screen.draw()?;
            return do_line(screen, parts, room, line.trim_end()).await;
        }
    }
    Ok(false)
}

/// Does what a line asks for; whether it asks to leave.
async fn do_line(screen: &mut Screen, parts: &mut Parts, room: &Room, line: &str) -> io::Result<bool> {
    match Wish::read(line) {
        Wish::Say("") => room.typing(false),
        Wish::Quit => return Ok(true),
        Wish::Help(topic) => screen.print(help(topic))?,
        wish => {
            for shown in parts.ask(room, wish).await {
                screen.show(&shown)?;
            }
        }
    }
    Ok(false)
}
