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
                // An interrupted read left in the line what it had: 0 says that the input is over, not
                // that the line is empty.
                input_open = read.map_err(|e| streams(&e))? > 0;
                if input_open || !line.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::chat::{Message, Person, Script};
    use bytes::Bytes;

    fn run_with<F: Future<Output = ()>>(
        input: impl AsyncBufRead + Unpin,
        linger: Duration,
        script: impl FnOnce(Script) -> F,
    ) -> (Result<(), Trouble>, String, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (room, events, other) = Script::room(true);
            let (mut output, mut errors) = (Vec::new(), Vec::new());
            let talk = run(room, events, input, &mut output, &mut errors, linger);
            let (result, ()) = tokio::join!(talk, script(other));
            (result, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
        })
    }

    fn message(text: &str) -> Event {
        Event::Message(Message {
            from: "sip:bob@x".to_string(),
            name: "Bob".to_string(),
            to_me: false,
            date_time: None,
            content_type: "text/plain".to_string(),
            content: Bytes::copy_from_slice(text.as_bytes()),
            not_understood: Vec::new(),
        })
    }

    #[test]
    fn each_line_is_a_message_and_the_room_is_left_when_all_are_answered() {
        let (result, output, errors) =
            run_with(&b"one\r\ntwo\nthree"[..], Duration::ZERO, |mut s| async move {
                for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
                    assert_eq!(s.heard().await, Some((number, text.to_string())));
                }
                s.events.send(message("a\nb")).await.unwrap();
                for number in [3, 1, 2] {
                    s.events.send(Event::Accepted { message: number }).await.unwrap();
                }
                assert_eq!(s.heard().await, None);
            });
        assert_eq!((result, output.as_str(), errors.as_str()), (Ok(()), "Bob: a\\nb\n", ""));
    }

    #[test]
    fn a_last_line_without_line_end_is_sent_though_its_reading_was_interrupted() {
        let (mut typed, input) = tokio::io::duplex(64);
        let input = tokio::io::BufReader::new(input);
        let (result, ..) = run_with(input, Duration::ZERO, |mut s| async move {
            typed.write_all(b"one\nlast").await.unwrap();
            assert_eq!(s.heard().await, Some((1, "one".to_string())));
            // An event while the rest of the line is awaited.
            s.events.send(Event::Accepted { message: 1 }).await.unwrap();
            while s.events.capacity() < s.events.max_capacity() {
                tokio::task::yield_now().await;
            }
            drop(typed);
            assert_eq!(s.heard().await, Some((2, "last".to_string())));
            s.events.send(Event::Accepted { message: 2 }).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn what_was_refused_is_told_at_the_end() {
        let (result, _, errors) = run_with(&b"one\n"[..], Duration::ZERO, |mut s| async move {
            s.heard().await;
            let comment = "Message too large".to_string();
            s.events.send(Event::Refused { message: 1, code: 413, comment }).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        assert_eq!(result, Err(Trouble::Undelivered(1)));
        assert_eq!(errors, "message 1 was not delivered: 413 Message too large\n");
    }

    #[test]
    fn who_comes_and_goes_is_told_beside_the_messages() {
        let who = Person { address: "sip:b@x".to_string(), name: "Bob".to_string() };
        let (result, output, errors) = run_with(&b""[..], Duration::from_secs(60), |s| async move {
            s.events.send(Event::Here(vec![who.clone()])).await.unwrap();
            s.events.send(Event::Joined(who.clone())).await.unwrap();
            s.events.send(Event::Left(who)).await.unwrap();
            s.events.send(Event::Closed { why: "the room was closed".to_string() }).await.unwrap();
        });
        assert_eq!(result, Err(Trouble::Closed("the room was closed".to_string())));
        assert_eq!((output.as_str(), errors.as_str()), ("", "1 is here: Bob\nBob joined\nBob left\n"));
    }

    #[test]
    fn input_waits_while_many_messages_have_no_answer() {
        let input = "x\n".repeat(UNANSWERED_MAX + 1);
        let (result, ..) = run_with(input.as_bytes(), Duration::ZERO, |mut s| async move {
            for n in 1..=UNANSWERED_MAX as u64 {
                assert_eq!(s.heard().await.unwrap().0, n);
            }
            tokio::select! {
                biased;
                said = s.heard() => panic!("{said:?}"),
                () = tokio::task::yield_now() => {}
            }
            for n in 1..=UNANSWERED_MAX as u64 {
                s.events.send(Event::Accepted { message: n }).await.unwrap();
            }
            let (last, _) = s.heard().await.unwrap();
            s.events.send(Event::Accepted { message: last }).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        assert_eq!(result, Ok(()));
    }
}
