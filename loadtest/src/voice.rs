//! What a publisher writes: everything of a message but its text is rendered once, so that publishing is
//! three copies of octets.
//!
//! Touches only the buffer it is given. A text never holds a hyphen (see `stamp.rs`), so no transaction id
//! can end a message early.

use openmsrp::base::chunk::Flag;
use openmsrp::base::clock;
use openmsrp::wire::msrp::encode;
use openmsrp::wire::msrp::head::FailureReport;
use openmsrp::wire::msrp::range::ByteRange;

/// From this many octets on, a body is sent as an interruptible chunk (RFC 4975 §7.1.1).
const INTERRUPTIBLE_BYTES: u64 = 2048;

/// What all messages of a publisher have in common beside its name.
#[derive(Clone, Copy)]
pub(crate) struct VoiceKind {
    /// Size of the text.
    pub(crate) text_bytes: usize,
    /// Which answers are asked for.
    pub(crate) failure_report: FailureReport,
    /// Seconds since 1970, for the wrapper.
    pub(crate) date: u64,
}

/// How a publisher writes its messages; the part before the text is rendered once.
pub(crate) struct Voice {
    /// Start line, headers and wrapper, with the ids of the previous message.
    head: Vec<u8>,
    /// Where Message-ID's value stands in `head`.
    id_at: usize,
}

impl Voice {
    /// The voice of `from` in `room`, over the session between the two paths.
    pub(crate) fn new(from: &str, room: &str, local: &str, remote: &str, kind: VoiceKind) -> Self {
        let date = clock::wall_text(kind.date);
        let wrapper = format!(
            "To: <{room}>\r\nFrom: <{from}>\r\nDateTime: {date}\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n"
        );
        let total = (wrapper.len() + kind.text_bytes) as u64;
        let interruptible = total >= INTERRUPTIBLE_BYTES;
        let mut head = Vec::new();
        encode::send_start(&mut head, &[b'0'; 16]);
        head.extend_from_slice(&encode::preamble(remote.as_bytes(), local.as_bytes()));
        let id_at = head.len() + "Message-ID: ".len();
        let tail = encode::TailHead {
            message_id: &[b'0'; 16],
            range: ByteRange { start: 1, end: (!interruptible).then_some(total), total: Some(total) },
            failure_report: kind.failure_report,
            success_report: false,
            content_type: Some(b"message/cpim"),
        };
        encode::send_tail_head(&mut head, &tail);
        head.extend_from_slice(wrapper.as_bytes());
        Self { head, id_at }
    }

    /// Appends a message with `text` under a new transaction id, which serves as Message-ID too.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, tid: &[u8; 16], text: &[u8]) {
        self.head[5..21].copy_from_slice(tid);
        self.head[self.id_at..self.id_at + 16].copy_from_slice(tid);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(text);
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
    use openmsrp::wire::msrp::frame::{Framer, Step};

    #[test]
    fn what_is_written_is_a_whole_message_with_its_own_ids() {
        for (text_bytes, range) in [(60, "1-"), (5_000, "1-*/")] {
            let kind = VoiceKind { text_bytes, failure_report: FailureReport::No, date: 0 };
            let mut voice =
                Voice::new("sip:u0@x", "sip:room0@x", "msrp://a:9/l;tcp", "msrp://b:1/r;tcp", kind);
            let mut tid = Tid::new(7);
            let text = vec![b'x'; text_bytes];
            for number in 1..3 {
                let mut out = Vec::new();
                voice.write(&mut out, &tid.next(), &text);
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
                assert!(body.ends_with(&text) && head.failure_report == FailureReport::No);
            }
        }
    }
}
