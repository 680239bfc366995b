//! Without a terminal: each line of input is a message, each message a line of output.
//!
//! Touches: standard input, output and error. Bounds: with [`UNANSWERED_MAX`] requests without answer, or a
//! line that waits for the list of people ([`PEOPLE_WAIT`] at most), input is not read.
//! Proved by: `tests` of this file, against streams in memory.

use super::parts::Parts;
use super::shown::{message_line, one_line};
use super::talk::Shown;
use super::wish::{Wish, help};
use crate::client::chat::{Event, Events, Room};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

/// Requests whose answer is outstanding. Beyond: input waits.
const UNANSWERED_MAX: usize = 64;

/// After joining, how long a line that names people waits until the room tells who is here. Beyond: nobody
/// is.
const PEOPLE_WAIT: Duration = Duration::from_secs(5);

/// After the room has said that it will tell something, how long that is waited for. Beyond: left without.
const NOTICE_WAIT: Duration = Duration::from_secs(5);

/// How it ended, if not by our own wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// So many messages were not understood, refused or probably lost.
    Undelivered(usize),
    /// The room ended it.
    Closed(String),
    /// Input or output failed.
    Streams(String),
}

/// Does what lines ask for and prints messages until the input has ended, everything asked was answered and
/// `linger` has passed; then leaves.
pub(super) async fn run(
    room: Room,
    mut events: Events,
    mut parts: Parts,
    mut input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin,
    errors: impl AsyncWrite + Unpin,
    linger: Duration,
) -> Result<(), Trouble> {
    let mut page = Page { output, errors, undelivered: 0 };
    let mut line = Vec::new();
    // A whole line that is not done yet.
    let mut typed: Option<String> = None;
    let (mut input_open, mut patient) = (true, true);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let patience = tokio::time::sleep(PEOPLE_WAIT);
    tokio::pin!(patience);
    let lingering = tokio::time::sleep(linger);
    tokio::pin!(lingering);
    let closed = loop {
        let done = !input_open && typed.is_none() && parts.unanswered() == 0;
        let may_read = input_open && typed.is_none() && parts.unanswered() < UNANSWERED_MAX;
        let owed = owed_to(&parts);
        tokio::select! {
            read = input.read_until(b'\n', &mut line), if may_read => {
                // An interrupted read left in the line what it had: 0 says that the input is over, not
                // that the line is empty.
                input_open = read.map_err(|e| streams(&e))? > 0;
                if input_open || !line.is_empty() {
                    let text = String::from_utf8_lossy(&line);
                    typed = Some(text.trim_end_matches(['\r', '\n']).to_string());
                    line.clear();
                }
                lingering.set(tokio::time::sleep(linger));
            }
            event = events.next() => {
                match event {
                    Some(Event::Closed { why }) => break Some(one_line(&why)),
                    None => break Some("the room is gone".to_string()),
                    Some(event) => page.show(parts.happened(event)).await?,
                }
            }
            all = parts.next() => page.show(all).await?,
            () = &mut patience, if patient && typed.is_some() => patient = false,
            () = &mut lingering, if done => break None,
            _ = &mut interrupted => break None,
        }
        // Nothing is owed any more, or only what the room is to tell.
        match owed_to(&parts) {
            now if now == owed || now.0 => {}
            (_, true) => lingering.set(tokio::time::sleep(linger.max(NOTICE_WAIT))),
            (_, false) => lingering.set(tokio::time::sleep(linger)),
        }
        if let Some(line) =
            typed.take_if(|line| !parts.must_wait(line) && (!patient || !parts.is_too_early(line)))
        {
            match Wish::read(&line) {
                Wish::Quit => input_open = false,
                Wish::Help(topic) => page.tell(help(topic)).await?,
                wish => page.show(parts.ask(&room, wish).await).await?,
            }
        }
    };
    parts.leave(room).await;
    match (closed, page.undelivered) {
        (Some(why), _) => Err(Trouble::Closed(why)),
        (None, 0) => Ok(()),
        (None, n) => Err(Trouble::Undelivered(n)),
    }
}

/// Whether there are requests without answer, and whether the room is still to tell something.
fn owed_to(parts: &Parts) -> (bool, bool) {
    (parts.unanswered() > 0, parts.expects_notice())
}

fn streams(e: &io::Error) -> Trouble {
    Trouble::Streams(e.to_string())
}

/// Where things are shown.
struct Page<O, E> {
    output: O,
    errors: E,
    undelivered: usize,
}

impl<O: AsyncWrite + Unpin, E: AsyncWrite + Unpin> Page<O, E> {
    async fn show(&mut self, all: impl IntoIterator<Item = Shown>) -> Result<(), Trouble> {
        for shown in all {
            let (begin, shown) = match shown {
                Shown::Aside(number, shown) => (format!("[{number}] "), *shown),
                shown => (String::new(), shown),
            };
            match shown {
                Shown::Message(message) => {
                    write(&mut self.output, &format!("{begin}{}", message_line(&message))).await?;
                }
                // Whoever feeds a pipe knows what it holds. A sidebar has none of its own.
                Shown::Own(_) | Shown::Aside(..) => {}
                Shown::Status(text) | Shown::Trouble(text) => self.tell(&format!("{begin}{text}")).await?,
                Shown::Undelivered(text) => {
                    self.undelivered += 1;
                    self.tell(&format!("{begin}{text}")).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells something beside the messages.
    async fn tell(&mut self, text: &str) -> Result<(), Trouble> {
        write(&mut self.errors, text).await
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), line: &str) -> Result<(), Trouble> {
    stream.write_all(format!("{line}\n").as_bytes()).await.map_err(|e| streams(&e))?;
    stream.flush().await.map_err(|e| streams(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::chat::parts::tests::nowhere;
    use crate::cli::chat::talk::Talk;
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
            let talk = run(
                room,
                events,
                Parts::new(Talk::new("Me"), nowhere()),
                input,
                &mut output,
                &mut errors,
                linger,
            );
            let (result, ()) = tokio::join!(talk, script(other));
            (result, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
        })
    }

    fn message(text: &str) -> Event {
        Event::Message(Message {
            from: "sip:bob@x".to_string(),
            name: "Bob".to_string(),
            content_type: "text/plain".to_string(),
            content: Bytes::copy_from_slice(text.as_bytes()),
            ..Message::default()
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
        assert_eq!(
            errors,
            "not delivered: \"one\": it is too long, or too much for now (413 Message too large)\n"
        );
    }

    #[test]
    fn who_comes_and_goes_is_told_beside_the_messages() {
        let who = Person { address: "sip:b@x".to_string(), name: "Bob".to_string(), ..Person::default() };
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

    #[test]
    fn private_messages_and_nicknames_may_stand_among_the_lines() {
        let input = "/nick White Rabbit\n//etc\n/msg b@x psst\n/dance\nlast\n";
        let (result, output, errors) = run_with(input.as_bytes(), Duration::ZERO, |mut s| async move {
            let all = ["nickname White Rabbit", "/etc", "to sip:b@x: psst", "last"];
            for (number, text) in (1..).zip(all) {
                assert_eq!(s.heard().await, Some((number, text.to_string())));
            }
            let comment = "Taken".to_string();
            s.events.send(Event::Refused { message: 1, code: 425, comment }).await.unwrap();
            for number in 2..=4 {
                s.events.send(Event::Accepted { message: number }).await.unwrap();
            }
            assert_eq!(s.heard().await, None);
        });
        // The line that was not understood counts, the refused nickname does not.
        assert_eq!((result, output.as_str()), (Err(Trouble::Undelivered(1)), ""));
        let expected = "/dance cannot be done so; /help tells what can\n\
            the nickname White Rabbit is somebody else's or reserved: you are still Me (425 Taken)\n\
            sent to sip:b@x\n";
        assert_eq!(errors, expected);
    }

    #[test]
    fn moderators_keep_order_in_a_pipe_too_and_what_was_not_done_is_told_at_the_end() {
        let input = "/ban @spam.example 7d\n/lock\n";
        let (result, output, errors) = run_with(input.as_bytes(), Duration::ZERO, |mut s| async move {
            assert_eq!(s.heard().await, Some((1, "ban @spam.example\nfor: 604800\n".to_string())));
            assert_eq!(s.heard().await, Some((2, "lock on\n".to_string())));
            s.events.send(Event::Accepted { message: 1 }).await.unwrap();
            let comment = "Only moderators of this room may do that".to_string();
            s.events.send(Event::Refused { message: 2, code: 403, comment }).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        assert_eq!((result, output.as_str()), (Err(Trouble::Undelivered(1)), ""));
        let expected = "done: @spam.example is banned for 7 d\n\
            not done: locking the room: Only moderators of this room may do that (403)\n";
        assert_eq!(errors, expected);
    }

    #[test]
    fn what_the_room_was_asked_to_tell_is_waited_for() {
        let (result, output, errors) = run_with(&b"/rules\n"[..], Duration::ZERO, |mut s| async move {
            assert_eq!(s.heard().await, Some((1, "inspect\n".to_string())));
            s.events.send(Event::Accepted { message: 1 }).await.unwrap();
            tokio::select! {
                biased;
                left = s.heard() => panic!("{left:?}"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            let Event::Message(told) = message("bans: none") else { return };
            s.events.send(Event::Message(Message { of_room: true, ..told })).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        let expected = "done: the room tells you alone\nthe room: bans: none\n";
        assert_eq!((result, output.as_str(), errors.as_str()), (Ok(()), "", expected));
    }

    #[test]
    fn a_line_that_names_people_waits_until_they_are_known_and_the_next_one_behind_it() {
        let input = "/msg bob psst\nhello\n";
        let (result, _, errors) = run_with(input.as_bytes(), Duration::ZERO, |mut s| async move {
            tokio::select! {
                biased;
                said = s.heard() => panic!("{said:?}"),
                () = tokio::task::yield_now() => {}
            }
            let bob = Person { address: "sip:b@x".to_string(), name: "Bob".to_string(), ..Person::default() };
            s.events.send(Event::Here(vec![bob])).await.unwrap();
            assert_eq!(s.heard().await, Some((1, "to sip:b@x: psst".to_string())));
            assert_eq!(s.heard().await, Some((2, "hello".to_string())));
            s.events.send(Event::Accepted { message: 1 }).await.unwrap();
            s.events.send(Event::Accepted { message: 2 }).await.unwrap();
            assert_eq!(s.heard().await, None);
        });
        assert_eq!((result, errors.as_str()), (Ok(()), "1 is here: Bob\nsent to Bob\n"));
    }

    #[test]
    fn a_line_may_end_the_input() {
        let (result, ..) = run_with(&b"/quit\nhello\n"[..], Duration::ZERO, |mut s| async move {
            assert_eq!(s.heard().await, None);
        });
        assert_eq!(result, Ok(()));
    }
}
