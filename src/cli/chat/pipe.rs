//! Without a terminal: each line of input is a message, each message a line of output.
//!
//! Touches: standard input, output and error. Bounds: [`UNANSWERED_MAX`] messages without answer stop the
//! reading of input. Proved by: `tests` of this file, against streams in memory.

use super::shown::{message_line, name, one_line};
use crate::client::chat::{Event, Events, Room};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

/// Messages whose answer is outstanding. Beyond: input waits.
const UNANSWERED_MAX: usize = 64;

/// How it ended, if not by our own wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// So many messages were refused or probably lost.
    Undelivered(usize),
    /// The room ended it.
    Closed(String),
    /// Input or output failed.
    Streams(String),
}

/// Sends lines and prints messages until the input has ended, everything sent was answered and `linger`
/// has passed; then leaves.
pub(super) async fn run(
    room: Room,
    mut events: Events,
    mut input: impl AsyncBufRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    mut errors: impl AsyncWrite + Unpin,
    linger: Duration,
) -> Result<(), Trouble> {
    let mut state = State::default();
    let mut line = Vec::new();
    let mut input_open = true;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let lingering = tokio::time::sleep(linger);
    tokio::pin!(lingering);
    loop {
        let done = !input_open && state.unanswered.is_empty();
        let may_read = input_open && state.unanswered.len() < UNANSWERED_MAX;
        tokio::select! {
            read = input.read_until(b'\n', &mut line), if may_read => {
                if read.map_err(|e| streams(&e))? == 0 {
                    input_open = false;
                } else {
                    let text = String::from_utf8_lossy(&line);
                    let text = text.trim_end_matches(['\r', '\n']);
                    if let Ok(number) = room.say(text).await {
                        state.unanswered.insert(number);
                    }
                    line.clear();
                }
                lingering.set(tokio::time::sleep(linger));
            }
            event = events.next() => {
                let Some(event) = event else { return Err(Trouble::Closed("the room is gone".to_string())) };
                let waited = !state.unanswered.is_empty();
                let shown = state.take(event)?;
                let written = match shown {
                    Shown::Message(line) => write(&mut output, &line).await,
                    Shown::Status(line) => write(&mut errors, &line).await,
                    Shown::Nothing => Ok(()),
                };
                written.map_err(|e| streams(&e))?;
                if waited && state.unanswered.is_empty() {
                    lingering.set(tokio::time::sleep(linger));
                }
            }
            () = &mut lingering, if done => break,
            _ = &mut interrupted => break,
        }
    }
    room.leave().await;
    match state.undelivered {
        0 => Ok(()),
        n => Err(Trouble::Undelivered(n)),
    }
}

fn streams(e: &io::Error) -> Trouble {
    Trouble::Streams(e.to_string())
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    stream.flush().await
}

#[derive(Default)]
struct State {
    unanswered: BTreeSet<u64>,
    undelivered: usize,
}

enum Shown {
    Message(String),
    Status(String),
    Nothing,
}

impl State {
    fn take(&mut self, event: Event) -> Result<Shown, Trouble> {
        Ok(match event {
            Event::Message(message) => Shown::Message(message_line(&message)),
            Event::Joined(who) => Shown::Status(format!("{} joined", name(&who.name))),
            Event::Left(who) => Shown::Status(format!("{} left", name(&who.name))),
            Event::Here(people) => Shown::Status(super::shown::people(&people)),
            Event::Renamed { who, before } => {
                Shown::Status(format!("{} is now {}", name(&before), name(&who.name)))
            }
            Event::Subject(text) => Shown::Status(format!("subject: {}", one_line(&text))),
            Event::Accepted { message } => {
                self.unanswered.remove(&message);
                Shown::Nothing
            }
            Event::Refused { message, code, comment } => {
                self.unanswered.remove(&message);
                self.undelivered += 1;
                Shown::Status(format!("message {message} was not delivered: {code} {}", one_line(&comment)))
            }
            Event::Closed { why } => return Err(Trouble::Closed(one_line(&why))),
        })
    }
}
