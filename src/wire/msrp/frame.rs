//! Finds messages in a stream of octets: start line, headers, body, end-line (RFC 4975 §7.1, §9).
//!
//! Touches only the caller's buffer, which grows by appending as long as the answer is
//! [`Step::Partial`]. What was looked at once is not looked at again, so a message that arrives octet by
//! octet costs no more than a constant times its length. There is no length on the wire: a body ends
//! at CRLF and the end-line of its own transaction, and octets that could be the beginning of that are
//! held back.
//!
//! Bounded by `limits::LINE_BYTES_MAX`, `HEAD_BYTES_MAX` and `HEAD_LINES_MAX`; a body has no bound here.
//! Proved by `tests/torture_msrp.rs` (corpus, cut everywhere) and `tests/twins_msrp.rs` (a naive parser).

use super::head::{Fields, Head, HeadFault, start_line};
use crate::base::chunk::Flag;
use crate::base::limits::{HEAD_BYTES_MAX, HEAD_LINES_MAX, LINE_BYTES_MAX};
use memchr::memchr;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Seven hyphens begin an end-line.
const HYPHENS: &[u8] = b"-------";

/// The longest transaction id (RFC 4975 §9).
const TID_BYTES_MAX: usize = 32;

/// Framing state of one connection. The default is: between messages.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    phase: Phase,
    /// Length of `tid`.
    tid_len: u8,
    /// Transaction id of the message under way, once its start line is whole.
    tid: [u8; TID_BYTES_MAX],
    /// Lines of the head that are whole. With the head: `start` is where the body begins.
    lines: Lines,
}

const _: () = assert!(size_of::<Framer>() <= 64);

/// How far the message under way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// Nothing, or a part of the head, is there.
    #[default]
    Head,
    /// The head is whole but was not given out.
    Waiting,
    /// The head was given out, no octet of the body yet.
    Fresh,
    /// Some of the body was given out.
    Body,
}

/// What the buffer holds at its beginning.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step lives on the stack for one turn; a box is an allocation per message"
)]
pub enum Step<'b> {
    /// Not enough octets: keep all of the buffer, call again with more appended.
    Partial,
    /// Stray line ends between messages (MSRP-FRAME-08): drop them.
    Skip {
        /// Octets to drop.
        used: usize,
    },
    /// A head, with the octets of the body that are there.
    Head {
        /// Start line and headers.
        head: Head<'b>,
        /// The body or its first octets; `None`: the message has no body (MSRP-FRAME-07).
        body: Option<&'b [u8]>,
        /// How the message ends; `None`: the body goes on with [`Step::More`].
        end: Option<Flag>,
        /// Octets to drop.
        used: usize,
    },
    /// More of the body of the message under way; empty when only the end-line was missing.
    More {
        /// The octets.
        body: &'b [u8],
        /// How the message ends; `None`: the body goes on.
        end: Option<Flag>,
        /// Octets to drop.
        used: usize,
    },
}

/// Framing is lost, or cannot be trusted: the connection must close (MSRP-FRAME-17).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameError {
    /// The message does not begin with `MSRP` and a space.
    NotMsrp,
    /// The start line is neither that of a request nor that of a response.
    BadStartLine,
    /// A line is longer than `limits::LINE_BYTES_MAX`.
    LineTooLong,
    /// The head is longer than `limits::HEAD_BYTES_MAX`.
    HeadTooLong,
    /// More header lines than `limits::HEAD_LINES_MAX`.
    TooManyLines,
    /// A control character in the head, a lone CR or LF among them (MSRP-FRAME-16).
    BareControl,
    /// To-Path, From-Path, Message-ID or Byte-Range twice with different values.
    Doubled,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotMsrp => "not MSRP",
            Self::BadStartLine => "bad start line",
            Self::LineTooLong => "line too long",
            Self::HeadTooLong => "head too long",
            Self::TooManyLines => "too many header lines",
            Self::BareControl => "control character in the head",
            Self::Doubled => "doubled header with different values",
        })
    }
}

impl std::error::Error for FrameError {}

impl Framer {
    /// Looks at the octets at hand. `part_min`: a body whose end is not in `buf` yet is given out in
    /// part only if at least so many octets of it are there.
    ///
    /// After anything but [`Step::Partial`] the next call gets the buffer without the `used` octets;
    /// after an error the framer is of no further use.
    pub fn step<'b>(&mut self, buf: &'b [u8], part_min: usize) -> Result<Step<'b>, FrameError> {
        let found = match self.phase {
            Phase::Head => match self.before_head(buf)? {
                Some(step) => return Ok(step),
                None => None,
            },
            Phase::Waiting => match self.before_rest(buf, part_min) {
                Some(found) => Some(found),
                None => return Ok(Step::Partial),
            },
            Phase::Fresh | Phase::Body => return Ok(self.step_body(buf, part_min)),
        };
        self.read(buf, part_min, found)
    }

    /// True between messages: nothing is begun.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.phase == Phase::Head && self.lines.seen == 0
    }

    /// Everything that may be said without reading the head; `None`: it is worth reading.
    #[inline]
    fn before_head<'b>(&mut self, buf: &'b [u8]) -> Result<Option<Step<'b>>, FrameError> {
        if self.lines.read == 0 {
            match buf {
                [] | [b'\r'] => return Ok(Some(Step::Partial)),
                [b'\r', b'\n', ..] => {
                    let pairs = buf.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count();
                    return Ok(Some(Step::Skip { used: 2 * pairs }));
                }
                _ if !b"MSRP ".iter().zip(buf).all(|(want, have)| want == have) => {
                    return Err(FrameError::NotMsrp);
                }
                _ => {}
            }
        }
        // A message under way is read only once its head is known to be whole; one that is new is
        // most likely whole, and read at once.
        let open = self.lines.seen > 0 && !self.find_head_end(buf)?;
        Ok(open.then_some(Step::Partial))
    }

    /// Reads the head from its beginning and gives it out. `found`: what is known of the body's end.
    #[inline]
    fn read<'b>(
        &mut self,
        buf: &'b [u8],
        part_min: usize,
        found: Option<Found>,
    ) -> Result<Step<'b>, FrameError> {
        let mut lines = Lines::default();
        if let Some(whole) = read_head(buf, &mut lines)? {
            let found = match (whole.end, found) {
                (Some(flag), _) => Found::End { at: whole.len, next: whole.len, flag },
                (None, Some(found)) => found,
                // The blank line's own CRLF may be the one before the end-line (MSRP-FRAME-08).
                (None, None) => find_end(buf, whole.len - 2, whole.head.tid),
            };
            return Ok(self.give(buf, whole, found, part_min));
        }
        self.lines = lines;
        if lines.read > 0 {
            let first = memchr(b'\r', buf).unwrap_or_default();
            self.keep_tid(tid_of(&buf[..first])?);
        }
        Ok(Step::Partial)
    }

    /// Goes on from line to line until the head is whole.
    fn find_head_end(&mut self, buf: &[u8]) -> Result<bool, FrameError> {
        while let Some(line) = self.lines.next(buf)? {
            if self.lines.read == 1 {
                self.keep_tid(tid_of(line)?);
            } else if line.is_empty() || end_flag(line, self.tid()).is_some() {
                return Ok(true);
            } else {
                self.lines.check_count()?;
            }
        }
        Ok(false)
    }

    /// Looks on for the end of the body; `None`: wait for more of it.
    fn before_rest(&mut self, buf: &[u8], part_min: usize) -> Option<Found> {
        let found = find_end(buf, self.lines.seen, self.tid());
        if let Found::Open { keep } = found
            && keep.saturating_sub(self.lines.start) < part_min
        {
            self.lines.seen = keep;
            return None;
        }
        Some(found)
    }

    /// Gives a head out with what is there of its body, or waits for more of it.
    #[inline]
    fn give<'b>(&mut self, buf: &'b [u8], whole: Whole<'b>, found: Found, part_min: usize) -> Step<'b> {
        let Whole { head, len, end: bodiless } = whole;
        match found {
            Found::End { at, next, flag } => {
                *self = Self::default();
                let body = bodiless.is_none().then(|| &buf[len..at.max(len)]);
                Step::Head { head, body, end: Some(flag), used: next }
            }
            Found::Open { keep } => {
                self.keep_tid(head.tid);
                let used = keep.max(len);
                if used - len < part_min {
                    self.phase = Phase::Waiting;
                    self.lines = Lines { start: len, seen: keep, read: 0 };
                    return Step::Partial;
                }
                self.phase = if used == len { Phase::Fresh } else { Phase::Body };
                self.lines = Lines::default();
                Step::Head { head, body: Some(&buf[len..used]), end: None, used }
            }
        }
    }

    fn step_body<'b>(&mut self, buf: &'b [u8], part_min: usize) -> Step<'b> {
        // Before the first octet the end-line needs no CRLF of its own: the blank line's will do.
        let found = match self.phase {
            Phase::Fresh if self.lines.seen == 0 => match match_end(buf, self.tid()) {
                Match::Yes { len, flag } => Found::End { at: 0, next: len, flag },
                Match::Maybe => Found::Open { keep: 0 },
                Match::No => find_end(buf, 0, self.tid()),
            },
            _ => find_end(buf, self.lines.seen, self.tid()),
        };
        match found {
            Found::End { at, next, flag } => {
                *self = Self::default();
                Step::More { body: &buf[..at], end: Some(flag), used: next }
            }
            Found::Open { keep } if keep == 0 || keep < part_min => {
                self.lines.seen = keep;
                Step::Partial
            }
            Found::Open { keep } => {
                self.phase = Phase::Body;
                self.lines.seen = 0;
                Step::More { body: &buf[..keep], end: None, used: keep }
            }
        }
    }

    fn keep_tid(&mut self, tid: &[u8]) {
        self.tid[..tid.len()].copy_from_slice(tid);
        self.tid_len = tid.len() as u8;
    }

    fn tid(&self) -> &[u8] {
        &self.tid[..usize::from(self.tid_len)]
    }
}

/// A walk from line to line that can stop anywhere and go on with a longer buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    /// Where the line under way begins.
    start: usize,
    /// Octets that hold no further line end.
    seen: usize,
    /// Lines that were whole.
    read: usize,
}

impl Lines {
    /// The next whole line without its CRLF. Limits are judged in the order of the octets, so that the
    /// verdict does not depend on how the octets arrived.
    #[inline]
    fn next<'b>(&mut self, buf: &'b [u8]) -> Result<Option<&'b [u8]>, FrameError> {
        let Some(at) = memchr(b'\n', &buf[self.seen..]) else {
            self.check_length(buf.len())?;
            self.seen = buf.len();
            return Ok(None);
        };
        let end = self.seen + at;
        self.check_length(end + 1)?;
        let Some(line) = buf[self.start..end].strip_suffix(b"\r") else {
            return Err(FrameError::BareControl);
        };
        (self.start, self.seen) = (end + 1, end + 1);
        self.read += 1;
        Ok(Some(line))
    }

    #[inline]
    fn check_length(&self, end: usize) -> Result<(), FrameError> {
        if end - self.start <= LINE_BYTES_MAX && end <= HEAD_BYTES_MAX {
            Ok(())
        } else if self.start + LINE_BYTES_MAX < HEAD_BYTES_MAX.min(end) {
            Err(FrameError::LineTooLong)
        } else {
            Err(FrameError::HeadTooLong)
        }
    }

    /// To be called when the line just read turned out to be a header line.
    #[inline]
    fn check_count(&self) -> Result<(), FrameError> {
        if self.read - 1 > HEAD_LINES_MAX { Err(FrameError::TooManyLines) } else { Ok(()) }
    }
}

/// The transaction id of a start line. Apart from the fast path on purpose, which has its own copy.
#[cold]
fn tid_of(line: &[u8]) -> Result<&[u8], FrameError> {
    Ok(start_line(line)?.0)
}

/// A head that is all there.
struct Whole<'b> {
    head: Head<'b>,
    /// Octets up to the body; without a body, of the whole message.
    len: usize,
    /// The end-line's flag if it followed the headers: there is no body.
    end: Option<Flag>,
}

/// Reads a head from the beginning of `buf`; `None` if it is not whole.
#[inline]
fn read_head<'b>(buf: &'b [u8], lines: &mut Lines) -> Result<Option<Whole<'b>>, FrameError> {
    let Some(first) = lines.next(buf)? else { return Ok(None) };
    let (tid, kind) = start_line(first)?;
    let mut fields = Fields::default();
    let end = loop {
        let Some(line) = lines.next(buf)? else { return Ok(None) };
        if line.is_empty() {
            break None;
        }
        let end = end_flag(line, tid);
        if end.is_some() {
            break end;
        }
        lines.check_count()?;
        fields.take(line);
    };
    let len = lines.start;
    if check_text(&buf[..len], lines.read)? == Text::NotUtf8 {
        fields.blame(HeadFault::NotUtf8);
    }
    let head = fields.finish(tid, kind, end.is_none())?;
    Ok(Some(Whole { head, len, end }))
}

/// The flag, if `line` is the end-line of `tid`.
#[inline]
fn end_flag(line: &[u8], tid: &[u8]) -> Option<Flag> {
    let (flag, rest) = line.strip_prefix(HYPHENS)?.split_last()?;
    if rest == tid { Flag::from_octet(*flag) } else { None }
}

/// What a head is made of.
#[derive(PartialEq, Eq)]
enum Text {
    Utf8,
    NotUtf8,
}

/// Octets looked at together in [`check_text`].
const BLOCK: usize = 32;

/// Looks for control characters beside the line ends of `lines` lines (MSRP-FRAME-16). Counting them all
/// and comparing, block by block, is a pass that the compiler turns into vector code.
#[inline]
fn check_text(head: &[u8], lines: usize) -> Result<Text, FrameError> {
    let mut controls = 0;
    let mut high = [0_u8; BLOCK];
    // So many blocks that a lane's count fits one octet.
    for stretch in head.chunks(255 * BLOCK) {
        let mut counts = [0_u8; BLOCK];
        let (blocks, rest) = stretch.as_chunks::<BLOCK>();
        for block in blocks {
            survey(block, 0, &mut counts, &mut high);
        }
        // The rest as the end of a whole block, if there is one before it: copying costs more.
        match stretch.last_chunk::<BLOCK>() {
            Some(block) => survey(block, BLOCK - rest.len(), &mut counts, &mut high),
            None => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                survey(&block, 0, &mut counts, &mut high);
            }
        }
        controls += counts.iter().map(|count| usize::from(*count)).sum::<usize>();
    }
    if controls != 2 * lines {
        return Err(FrameError::BareControl);
    }
    let ascii = high.iter().fold(0, |all, lane| all | lane) < 0x80;
    if ascii || std::str::from_utf8(head).is_ok() { Ok(Text::Utf8) } else { Ok(Text::NotUtf8) }
}

/// Counts control characters lane by lane from lane `from` on, and gathers all bits that are set anywhere.
#[inline]
fn survey(block: &[u8; BLOCK], from: usize, counts: &mut [u8; BLOCK], high: &mut [u8; BLOCK]) {
    for (lane, octet) in block.iter().copied().enumerate() {
        let control = ((octet < 0x20) & (octet != b'\t')) | (octet == 0x7f);
        counts[lane] = counts[lane].wrapping_add(u8::from(control & (lane as u8 >= from as u8)));
        high[lane] |= octet;
    }
}

/// Where a body ends.
enum Found {
    /// Before `at`; what follows the end-line begins at `next`.
    End { at: usize, next: usize, flag: Flag },
    /// Not in the buffer; octets from `keep` on may be the beginning of the end.
    Open { keep: usize },
}

/// Looks for CRLF and the end-line of `tid` from `from` on.
#[inline]
fn find_end(buf: &[u8], from: usize, tid: &[u8]) -> Found {
    let mut from = from;
    while let Some(at) = next_cut(&buf[from..]) {
        let at = from + at;
        match match_end(&buf[at + 2..], tid) {
            Match::Yes { len, flag } => return Found::End { at, next: at + 2 + len, flag },
            Match::Maybe => return Found::Open { keep: at },
            // Nothing of what was compared can begin another cut but what follows the hyphens.
            Match::No => from = at + CUT.len(),
        }
    }
    // A beginning of a cut at the very end: it holds one CR, so only the last one counts.
    let tail = buf.len().saturating_sub(CUT.len() - 1).max(from);
    match memchr::memrchr(b'\r', &buf[tail..]) {
        Some(at) if CUT.starts_with(&buf[tail + at..]) => Found::Open { keep: tail + at },
        _ => Found::Open { keep: buf.len() },
    }
}

/// What ends a body, before the transaction id.
const CUT: &[u8] = b"\r\n-------";

/// Built once. Measured against a look at each CR: 168 to 195 ns for a chat line with its head, a
/// hundred times faster over a body of line ends.
static CUT_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(CUT));

#[inline]
fn next_cut(haystack: &[u8]) -> Option<usize> {
    CUT_FINDER.find(haystack)
}

/// Whether an end-line stands at the beginning of some octets.
enum Match {
    Yes {
        len: usize,
        flag: Flag,
    },
    /// All that is there fits, but it is too short.
    Maybe,
    No,
}

#[inline]
fn match_end(octets: &[u8], tid: &[u8]) -> Match {
    let rest = match eat(octets, HYPHENS) {
        Ok(rest) => rest,
        Err(verdict) => return verdict,
    };
    let rest = match eat(rest, tid) {
        Ok(rest) => rest,
        Err(verdict) => return verdict,
    };
    let Some((octet, rest)) = rest.split_first() else { return Match::Maybe };
    let Some(flag) = Flag::from_octet(*octet) else { return Match::No };
    match eat(rest, b"\r\n") {
        Ok(rest) => Match::Yes { len: octets.len() - rest.len(), flag },
        Err(verdict) => verdict,
    }
}

/// Takes `want` off the beginning.
#[inline]
fn eat<'b>(octets: &'b [u8], want: &[u8]) -> Result<&'b [u8], Match> {
    match octets.split_at_checked(want.len()) {
        Some((start, rest)) if start == want => Ok(rest),
        None if want.starts_with(octets) => Err(Match::Maybe),
        _ => Err(Match::No),
    }
}

#[cfg(test)]
mod tests;
