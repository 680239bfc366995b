//! What a publisher writes: everything of a message to the room but its text is rendered once, so that
//! publishing is three copies of octets.
//!
//! Touches only the buffer it is given. A text never holds a hyphen (see `stamp.rs`), so no transaction id
//! can end a message early.

use crate::stamp::Kind;
use openmsrp::base::chunk::Flag;
use openmsrp::base::clock;
use openmsrp::wire::msrp::encode;
use openmsrp::wire::msrp::head::FailureReport;
use openmsrp::wire::msrp::range::ByteRange;

/// From this many octets on, a body is sent as an interruptible chunk (RFC 4975 §7.1.1).
const INTERRUPTIBLE_BYTES: u64 = 2048;

/// What all messages of all publishers have in common.
#[derive(Clone, Copy)]
pub(crate) struct VoiceKind {
    /// Sizes of the texts by [`Kind`]; 0: nobody sends any.
    pub(crate) text_bytes: [usize; 4],
    /// Which answers are asked for.
    pub(crate) failure_report: FailureReport,
    /// Seconds since 1970, for the wrapper.
    pub(crate) date: u64,
}

/// How a publisher writes its messages; the part before the text is rendered once, but for private messages,
/// whose recipients differ.
pub(crate) struct Voice {
    from: String,
    room: String,
    preamble: Vec<u8>,
    common: VoiceKind,
    /// By kind: start line, headers and wrapper, with the ids of the previous message.
    heads: [Option<Head>; 4],
}

struct Head {
    octets: Vec<u8>,
    /// Where Message-ID's value stands.
    id_at: usize,
}

impl Voice {
    /// The voice of `from` in `room`, over the session between the two paths.
    pub(crate) fn new(from: &str, room: &str, local: &str, remote: &str, common: VoiceKind) -> Self {
        let preamble = encode::preamble(remote.as_bytes(), local.as_bytes()).to_vec();
        let (from, room) = (from.to_owned(), room.to_owned());
        let mut voice = Self { from, room, preamble, common, heads: [const { None }; 4] };
        for kind in [Kind::Text, Kind::Typing, Kind::Long] {
            if common.text_bytes[kind as usize] > 0 {
                voice.heads[kind as usize] = Some(voice.head(kind, &voice.room));
            }
        }
        voice
    }

    fn head(&self, kind: Kind, to: &str) -> Head {
        let wrapper = format!(
            "To: <{to}>\r\nFrom: <{}>\r\nDateTime: {}\r\n\r\nContent-Type: {}\r\n\r\n{}",
            self.from,
            clock::wall_text(self.common.date),
            kind.content_type(),
            kind.frame().0
        );
        let total = (wrapper.len() + self.common.text_bytes[kind as usize] + kind.frame().1.len()) as u64;
        let interruptible = total >= INTERRUPTIBLE_BYTES;
        let mut octets = Vec::new();
        encode::send_start(&mut octets, &[b'0'; 16]);
        octets.extend_from_slice(&self.preamble);
        let id_at = octets.len() + "Message-ID: ".len();
        let tail = encode::TailHead {
            message_id: &[b'0'; 16],
            range: ByteRange { start: 1, end: (!interruptible).then_some(total), total: Some(total) },
            failure_report: self.common.failure_report,
            success_report: false,
            content_type: Some(b"message/cpim"),
        };
        encode::send_tail_head(&mut octets, &tail);
        octets.extend_from_slice(wrapper.as_bytes());
        Head { octets, id_at }
    }

    /// Appends a message with `text` under a new transaction id, which serves as Message-ID too. `to`: whom it is
    /// for, if not the room.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        tid: &[u8; 16],
        kind: Kind,
        text: &[u8],
        to: Option<&str>,
    ) {
        let mut fresh = to.map(|to| self.head(kind, to));
        let Some(head) = fresh.as_mut().or(self.heads[kind as usize].as_mut()) else { return };
        head.octets[5..21].copy_from_slice(tid);
        head.octets[head.id_at..head.id_at + 16].copy_from_slice(tid);
        out.extend_from_slice(&head.octets);
        out.extend_from_slice(text);
        out.extend_from_slice(kind.frame().1.as_bytes());
        encode::end_line(out, tid, Flag::End, true);
    }
}

/// A source of transaction ids: sixteen hexadecimal digits, unique on a connection.
pub(crate) struct Tid {
    prefix: u32,
    next: u32,
}

impl Tid {
    /// Ids that begin with `prefix`.
    pub(crate) fn new(prefix: u32) -> Self {
        Self { prefix, next: 0 }
    }

    /// Another id.
    pub(crate) fn next(&mut self) -> [u8; 16] {
        self.next += 1;
        let mut text = [0; 16];
        let mut value = u64::from(self.prefix) << 32 | u64::from(self.next);
        for octet in text.iter_mut().rev() {
            *octet = b"0123456789abcdef"[(value & 15) as usize];
            value >>= 4;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmsrp::wire::cpim::{self, Parsed};
    use openmsrp::wire::msrp::frame::{Framer, Step};

    #[test]
    fn what_is_written_is_a_whole_message_with_its_own_ids() {
        for (kind, bytes, range) in [
            (Kind::Text, 60, "1-"),
            (Kind::Long, 5_000, "1-*/"),
            (Kind::Typing, 60, "1-"),
            (Kind::Private, 60, "1-"),
        ] {
            let mut text_bytes = [0; 4];
            text_bytes[kind as usize] = bytes;
            let common = VoiceKind { text_bytes, failure_report: FailureReport::No, date: 0 };
            let mut voice =
                Voice::new("sip:u0@x", "sip:room0@x", "msrp://a:9/l;tcp", "msrp://b:1/r;tcp", common);
            let mut tid = Tid::new(7);
            let text = vec![b'x'; bytes];
            let to = (kind == Kind::Private).then_some("sip:u1@x");
            for number in 1..3 {
                let mut out = Vec::new();
                voice.write(&mut out, &tid.next(), kind, &text, to);
                assert!(String::from_utf8_lossy(&out).contains(&format!("Byte-Range: {range}")));
                let Ok(Step::Head { head, body: Some(body), end: Some(Flag::End), used }) =
                    Framer::default().step(&out, usize::MAX)
                else {
                    panic!("not one whole message");
                };
                assert_eq!((head.fault, used), (None, out.len()));
                assert_eq!(head.tid, format!("00000007{number:08x}").as_bytes());
                assert_eq!(head.message_id, Some(head.tid));
                assert_eq!(head.byte_range.and_then(|r| r.total), Some(body.len() as u64));
                assert!(head.failure_report == FailureReport::No);
                let Ok(Parsed::Complete(wrapper)) = cpim::parse(body, true) else { panic!("no wrapper") };
                assert_eq!(wrapper.to, to.unwrap_or("sip:room0@x"));
                assert!(kind.content_type().starts_with(wrapper.content_type));
                let (before, after) = kind.frame();
                assert_eq!(&body[wrapper.content..], [before.as_bytes(), &text, after.as_bytes()].concat());
            }
        }
    }
}
