//! Feeds octets to a framer in every way they may arrive, and gathers what comes out. For tests only;
//! the tests under `tests/` include this file too, so it names nothing but its parent's imports.

use super::{Flag, FrameError, Framer, Head, Kind, Step};

/// A message as it came out, body parts joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    /// Every field of the head, in the notation of `Debug`.
    pub(super) head: String,
    /// `SEND`, `200` ...
    pub(super) kind: String,
    /// The fault's name.
    pub(super) fault: Option<String>,
    /// The body; `None` if there was none.
    pub(super) body: Option<Vec<u8>>,
    /// How it ended; `None` if it had not by the end of the input.
    pub(super) end: Option<Flag>,
}

/// In which state the input left the framer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Between messages.
    Idle,
    /// In the middle of one.
    Begun,
    /// Framing was lost.
    Lost(FrameError),
}

/// All that came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Replay {
    /// Messages; the last one may be unfinished.
    pub(super) messages: Vec<Message>,
    /// The state at the end.
    pub(super) ending: Ending,
}

impl Replay {
    /// One line that says it all, for the corpus: `SEND body=5 $; 200 $; idle`.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for message in &self.messages {
            text += &message.kind;
            if let Some(fault) = &message.fault {
                text += &format!(" fault={fault}");
            }
            if let Some(body) = &message.body {
                text += &format!(" body={}", body.len());
            }
            let end = message.end.map_or(" open".into(), |flag| format!(" {}", flag.octet() as char));
            text += &format!("{end}; ");
        }
        match self.ending {
            Ending::Idle => text + "idle",
            Ending::Begun => text + "begun",
            Ending::Lost(why) => text + &format!("lost {why:?}"),
        }
    }

    fn finished(&self) -> Self {
        let messages = self.messages.iter().filter(|message| message.end.is_some()).cloned().collect();
        Self { messages, ending: self.ending }
    }
}

/// The message that `head` begins.
pub(super) fn begun(head: &Head<'_>) -> Message {
    let kind = match head.kind {
        Kind::Request(method) => match method {
            super::Method::Other(name) => String::from_utf8_lossy(name).into_owned(),
            known => format!("{known:?}").to_uppercase(),
        },
        Kind::Response { code, .. } => format!("{code:03}"),
    };
    let fault = head.fault.map(|fault| format!("{fault:?}"));
    Message { head: format!("{head:?}"), kind, fault, body: None, end: None }
}

/// Feeds the pieces one after the other.
pub(super) fn replay<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, part_min: usize) -> Replay {
    let mut framer = Framer::default();
    let mut messages: Vec<Message> = Vec::new();
    let mut buf = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let used = match framer.step(&buf, part_min) {
                Ok(Step::Partial) => break,
                Ok(Step::Skip { used }) => used,
                Ok(Step::Head { head, body, end, used }) => {
                    assert!(messages.last().is_none_or(|last| last.end.is_some()), "a head inside a body");
                    assert!(end.is_some() || body.is_some_and(|body| body.len() >= part_min));
                    let message = begun(&head);
                    messages.push(Message { body: body.map(<[u8]>::to_vec), end, ..message });
                    used
                }
                Ok(Step::More { body, end, used }) => {
                    assert!(end.is_some() || body.len() >= part_min.max(1));
                    let last = messages.last_mut().expect("a body has a head");
                    last.body.as_mut().expect("only a body goes on").extend_from_slice(body);
                    last.end = end;
                    used
                }
                Err(why) => return Replay { messages, ending: Ending::Lost(why) },
            };
            assert!(used > 0 && used <= buf.len(), "no progress");
            buf.drain(..used);
        }
    }
    // A lone CR may be the first half of a stray line end: nothing is begun by it.
    let ending = if framer.idle() { Ending::Idle } else { Ending::Begun };
    Replay { messages, ending }
}

/// Feeds the input whole, cut in two at every octet, and octet by octet, with several `part_min`; all
/// must come to the same. Long inputs are cut at some hundred places.
pub(super) fn everywhere(input: &[u8]) -> Replay {
    let whole = replay([input], 0);
    for part_min in [0, 1, 7, usize::MAX] {
        let same = |other: Replay, how: &str| match part_min {
            0 => assert_eq!(other, whole, "{how}"),
            // An unfinished body may be withheld, head and all; what is finished may not.
            _ => assert_eq!(other.finished(), whole.finished(), "{how}, part_min {part_min}"),
        };
        let stride = (input.len() / 300).max(1);
        for at in (0..=input.len()).step_by(stride) {
            same(replay([&input[..at], &input[at..]], part_min), "cut in two");
        }
        same(replay(input.chunks(1), part_min), "octet by octet");
        same(replay(input.chunks(3), part_min), "three by three");
    }
    whole
}
