//! The text of a test message: who sent it, which one it is, when it was due, and a filling that
//! shows whether anything is missing or mixed up.
//!
//! ```text
//! ~ run(8) room(8) publisher(4) number(8) due(16)  filling …  number(8)
//! ```
//!
//! The first octet tells the kind ([`Kind`]). All numbers in hexadecimal. The filling is the same for all messages of a run and repeats nowhere
//! soon, so a cut, a swapped chunk or a foreign octet changes the text, wherever it happens. No octet of
//! it is a hyphen: the text never looks like an MSRP end-line.

/// Octets before the filling.
const HEAD: usize = 45;
/// Octets after the filling.
const TAIL: usize = 8;
/// The shortest text that holds a stamp.
pub(crate) const TEXT_BYTES_MIN: usize = HEAD + TAIL;
/// The longest text the harness makes; with its wrapper still less than servers take by default.
pub(crate) const TEXT_BYTES_MAX: usize = 120 * 1024 * 1024;

/// Kinds of messages; each has numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the room.
    Text,
    /// To one participant.
    Private,
    /// That somebody is typing (RFC 3994).
    Typing,
    /// To the room, of another size.
    Long,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Text, Self::Private, Self::Typing, Self::Long];

    /// The first octet of its texts.
    fn mark(self) -> u8 {
        b"~|}{"[self as usize]
    }

    /// The type of its content.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Typing => "application/im-iscomposing+xml",
            _ => "text/plain;charset=UTF-8",
        }
    }

    /// What stands before and after the text in the content.
    pub(crate) fn frame(self) -> (&'static str, &'static str) {
        match self {
            Self::Typing => (
                "<?xml version=\"1.0\"?><isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
                 <state>active</state><!--",
                "--></isComposing>",
            ),
            _ => ("", ""),
        }
    }
}

/// What a text says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The room's number.
    pub(crate) room: u32,
    /// The publisher's number within its room.
    pub(crate) publisher: u16,
    /// Counts the publisher's messages from 0.
    pub(crate) number: u32,
    /// When the message was due, in nanoseconds of the harness's clock.
    pub(crate) due: u64,
}

/// What a received text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A whole text of this run.
    Whole(Stamp),
    /// A text of an earlier run (a room may replay its history); not counted.
    OtherRun,
    /// Cut, garbled or not made by the harness.
    Bad,
}

/// Makes and checks the texts of one kind in one run.
#[derive(Clone)]
pub(crate) struct Texts {
    run: u32,
    kind: Kind,
    text: Vec<u8>,
}

impl Texts {
    /// Texts of `size` octets, at least [`TEXT_BYTES_MIN`]. `run` tells this run from others.
    pub(crate) fn new(run: u32, size: usize, kind: Kind) -> Self {
        let mut text = vec![kind.mark(); size.clamp(TEXT_BYTES_MIN, TEXT_BYTES_MAX)];
        let mut state = 0x2545_f491_u32;
        for octet in &mut text[HEAD..] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *octet = b'a' + (state >> 24) as u8 % 26;
        }
        put(&mut text[1..9], u64::from(run));
        Self { run, kind, text }
    }

    /// The text for `stamp`; valid until the next call.
    pub(crate) fn write(&mut self, stamp: Stamp) -> &[u8] {
        let tail = self.text.len() - TAIL;
        let t = &mut self.text;
        put(&mut t[9..17], u64::from(stamp.room));
        put(&mut t[17..21], u64::from(stamp.publisher));
        put(&mut t[21..29], u64::from(stamp.number));
        put(&mut t[29..45], stamp.due);
        put(&mut t[tail..], u64::from(stamp.number));
        t
    }

    /// The kind that a content claims to be.
    pub(crate) fn kind_of(content: &[u8]) -> Option<Kind> {
        let of = |mark: u8| Kind::ALL.into_iter().find(|k| k.mark() == mark);
        match content.first() {
            Some(b'<') => Some(Kind::Typing),
            Some(mark) => of(*mark).filter(|k| *k != Kind::Typing),
            None => None,
        }
    }

    /// Reads a received content back: the text and what stands around it.
    pub(crate) fn read(&self, content: &[u8]) -> Reading {
        let (before, after) = self.kind.frame();
        content
            .strip_prefix(before.as_bytes())
            .and_then(|rest| rest.strip_suffix(after.as_bytes()))
            .and_then(|text| self.parse(text))
            .unwrap_or(Reading::Bad)
    }

    fn parse(&self, text: &[u8]) -> Option<Reading> {
        if text.len() < TEXT_BYTES_MIN || text[0] != self.kind.mark() {
            return None;
        }
        if get(&text[1..9])? != u64::from(self.run) {
            return Some(Reading::OtherRun);
        }
        let tail = self.text.len() - TAIL;
        if text.len() != self.text.len()
            || text[21..29] != text[tail..]
            || text[HEAD..tail] != self.text[HEAD..tail]
        {
            return None;
        }
        Some(Reading::Whole(Stamp {
            room: get(&text[9..17])? as u32,
            publisher: get(&text[17..21])? as u16,
            number: get(&text[21..29])? as u32,
            due: get(&text[29..45])?,
        }))
    }
}

fn put(field: &mut [u8], mut value: u64) {
    for octet in field.iter_mut().rev() {
        *octet = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn get(field: &[u8]) -> Option<u64> {
    field.iter().try_fold(0u64, |value, octet| {
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'f' => octet - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { room: 70_000, publisher: 999, number: 123_456_789, due: 987_654_321_012 };

    #[test]
    fn a_text_comes_back_as_it_was_made() {
        for size in [TEXT_BYTES_MIN, 200, 16_384] {
            let mut texts = Texts::new(7, size, Kind::Text);
            let text = texts.write(STAMP).to_vec();
            assert_eq!(text.len(), size);
            assert_eq!(texts.read(&text), Reading::Whole(STAMP));
        }
    }

    #[test]
    fn a_text_cut_anywhere_or_changed_anywhere_is_bad() {
        let mut texts = Texts::new(7, 200, Kind::Text);
        let text = texts.write(STAMP).to_vec();
        for n in 0..text.len() {
            assert_eq!(texts.read(&text[..n]), Reading::Bad, "cut at {n}");
            let without = [&text[..n], &text[n + 1..]].concat();
            assert_ne!(texts.read(&without), Reading::Whole(STAMP), "without octet {n}");
            let mut other = text.clone();
            other[n] ^= 1;
            assert_ne!(texts.read(&other), Reading::Whole(STAMP), "changed at {n}");
        }
        assert_eq!(texts.read(&[&text[..], b"x"].concat()), Reading::Bad);
    }

    #[test]
    fn swapped_chunks_of_a_long_text_are_bad() {
        let mut texts = Texts::new(7, 16_384, Kind::Text);
        let text = texts.write(STAMP).to_vec();
        let swapped = [&text[..2048], &text[4096..6144], &text[2048..4096], &text[6144..]].concat();
        assert_eq!(texts.read(&swapped), Reading::Bad);
    }

    #[test]
    fn a_text_of_another_run_is_told_from_a_bad_one() {
        let text = Texts::new(8, 200, Kind::Text).write(STAMP).to_vec();
        assert_eq!(Texts::new(7, 200, Kind::Text).read(&text), Reading::OtherRun);
        assert_eq!(Texts::new(7, 200, Kind::Text).read(b"Good morning"), Reading::Bad);
    }

    #[test]
    fn each_kind_reads_its_own_texts_and_no_other() {
        for made in Kind::ALL {
            let text = Texts::new(7, 100, made).write(STAMP).to_vec();
            let (before, after) = made.frame();
            let content = [before.as_bytes(), &text, after.as_bytes()].concat();
            assert_eq!(Texts::kind_of(&content), Some(made));
            for read in Kind::ALL {
                let expected = if read == made { Reading::Whole(STAMP) } else { Reading::Bad };
                assert_eq!(Texts::new(7, 100, read).read(&content), expected, "{made:?} read as {read:?}");
            }
        }
    }
}
