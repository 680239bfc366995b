//! The wrapper message/cpim (RFC 3862): who says what to whom.
//!
//! ```text
//! From: Alice <sip:alice@example.com>        message headers, CRLF only
//! To: <sip:lobby@chat.example.com>
//!
//! Content-Type: text/plain;charset=UTF-8     MIME headers, bare LF tolerated
//!
//! Hello, room!                               content, any octets
//! ```
//!
//! [`parse`] answers what the switch must know and borrows the octets; it is on the path of every
//! message, makes one pass and allocates nothing. [`read`] decodes all headers for clients, [`write()`]
//! makes a wrapper. What the switch forwards is never touched here (RFC 7701 §6.1).
//!
//! The reader is strict where two readers could see two senders (SEC-03): a header that only looks like
//! From or To (other case, other namespace) makes the wrapper unreadable, so that no recipient with a
//! naive reader is deceived. It is tolerant where the field is sloppy: Content-Type among the message
//! headers (CPIM-11), bare LF between MIME headers, names without quotes.
//!
//! Bounds: `limits::WRAPPER_BYTES_MAX` octets of headers, [`PREFIXES_MAX`] names for one namespace.
//! Proof: `tests/torture_text.rs`, `tests/twins_cpim.rs`.

mod read;
mod scan;
mod write;

pub use read::{Header, Identity, Message, read};
pub use write::{Draft, write};

use crate::base::limits::WRAPPER_BYTES_MAX;
use crate::base::octets::halves;
use scan::{Fields, Line, Names, field, identity, lines, media_type};
use std::fmt;

/// Prefixes that one message may bind to the namespace of CPIM itself; one is odd already.
pub const PREFIXES_MAX: usize = 4;

/// What the switch must know of a wrapper; borrows the message octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wrapper<'b> {
    /// The URI of From, without angle brackets.
    pub from: &'b str,
    /// The formal name of From as written, quotes and escapes included; may be empty.
    pub from_name: &'b str,
    /// The URI of the first To.
    pub to: &'b str,
    /// The number of To headers (CHAT-MSG-05).
    pub to_count: u16,
    /// The wrapped media type without parameters, as written; `text/plain` if the MIME headers name none.
    pub content_type: &'b str,
    /// Where the wrapped content begins in the message.
    pub content: usize,
}

/// What a reader of a growing buffer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<T> {
    /// All is there.
    Complete(T),
    /// More octets are needed.
    Partial,
}

/// Why a wrapper cannot be read. All are 400 (CHAT-MSG-06), but [`CpimError::TooLong`], which is 413.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CpimError {
    /// The headers are longer than `limits::WRAPPER_BYTES_MAX`.
    TooLong,
    /// The message ended before its headers did.
    Truncated,
    /// A header line does not end in CRLF, or has a control in it.
    BadLine,
    /// A header block is not UTF-8.
    Encoding,
    /// A line is no header: no colon, no single space after it, a bad name, a fold, a blank at its end.
    BadHeader,
    /// From, To or NS is not `name <URI>`.
    BadAddress,
    /// There is no From.
    NoFrom,
    /// There is no To.
    NoTo,
    /// There are two From headers.
    ManyFrom,
    /// A header looks like From or To, but is not: other case, or taken to another namespace.
    Disguised,
    /// More than [`PREFIXES_MAX`] prefixes for the namespace of CPIM.
    ManyPrefixes,
    /// Content-Type is no media type, or there are two.
    BadType,
}

impl fmt::Display for CpimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "headers too long",
            Self::Truncated => "message ends within its headers",
            Self::BadLine => "control or bare line feed in a header",
            Self::Encoding => "headers are not UTF-8",
            Self::BadHeader => "line is no header",
            Self::BadAddress => "address is not in angle brackets",
            Self::NoFrom => "no From",
            Self::NoTo => "no To",
            Self::ManyFrom => "two From headers",
            Self::Disguised => "header disguised as From or To",
            Self::ManyPrefixes => "too many prefixes",
            Self::BadType => "Content-Type not readable",
        })
    }
}

impl std::error::Error for CpimError {}

/// Reads the header blocks at the beginning of a message.
///
/// [`Parsed::Partial`] asks for more octets; with `last` there are none, so that unfinished blocks are
/// an error. The answer does not depend on where a message was cut.
///
/// # Errors
/// [`CpimError`], as soon as the line that shows it is whole.
pub fn parse(message: &[u8], last: bool) -> Result<Parsed<Wrapper<'_>>, CpimError> {
    let window = &message[..message.len().min(WRAPPER_BYTES_MAX)];
    match blocks(window)? {
        Some(wrapper) => Ok(Parsed::Complete(wrapper)),
        None if message.len() >= WRAPPER_BYTES_MAX => Err(CpimError::TooLong),
        None if last => Err(CpimError::Truncated),
        None => Ok(Parsed::Partial),
    }
}

/// Both blocks; `None` if the octets end within them.
fn blocks(window: &[u8]) -> Result<Option<Wrapper<'_>>, CpimError> {
    let mut names = Names::default();
    let mut head = Head::default();
    let mut at = lines(window);
    loop {
        match at.message_line()? {
            None => return Ok(None),
            Some(Line::Blank) => break,
            Some(Line::Header(line)) => head.take(field(line)?, &mut names)?,
        }
    }
    let (from_name, from) = head.from.ok_or(CpimError::NoFrom)?;
    let to = head.to.ok_or(CpimError::NoTo)?;
    let content_type = match head.content_type {
        // Content-Type stood among the message headers: there is no second block (CPIM-11).
        Some(written) => media_type(written)?,
        None => match mime_block(&mut at)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let content = at.position();
    Ok(Some(Wrapper { from, from_name, to, to_count: head.to_count, content_type, content }))
}

/// What the message headers said so far.
#[derive(Default)]
struct Head<'b> {
    from: Option<(&'b str, &'b str)>,
    to: Option<&'b str>,
    to_count: u16,
    content_type: Option<&'b str>,
}

impl<'b> Head<'b> {
    fn take(&mut self, fields: Fields<'b>, names: &mut Names<'b>) -> Result<(), CpimError> {
        if fields.is_content_type() {
            return match self.content_type.replace(fields.value) {
                None => Ok(()),
                Some(_) => Err(CpimError::BadType),
            };
        }
        if fields.prefix.is_empty() && fields.name == "NS" {
            return names.declare(fields.value);
        }
        match names.resolve(&fields)? {
            "From" => match self.from.replace(identity(&fields)?) {
                None => (),
                Some(_) => return Err(CpimError::ManyFrom),
            },
            "To" => {
                let (_, uri) = identity(&fields)?;
                self.to.get_or_insert(uri);
                self.to_count = self.to_count.saturating_add(1);
            }
            "NS" => names.declare(fields.value)?,
            _ => (),
        }
        Ok(())
    }
}

/// Reads the MIME headers; `None` if they are not complete. No Content-Type means `text/plain`
/// (RFC 2045 §5.2).
fn mime_block<'b>(at: &mut scan::Lines<'b>) -> Result<Option<&'b str>, CpimError> {
    let mut found: Option<&'b str> = None;
    let mut folding_type = false;
    loop {
        let line = match at.mime_line()? {
            None => return Ok(None),
            Some(Line::Blank) => break,
            Some(Line::Header(line)) => line,
        };
        if line.starts_with([' ', '\t']) {
            // Python's MIME writer folds long headers; the type itself may be on the second line.
            if folding_type && found.is_some_and(str::is_empty) {
                found = Some(line.trim());
            }
            continue;
        }
        let (name, value) = halves(line, b':').ok_or(CpimError::BadHeader)?;
        folding_type = name.trim_end().eq_ignore_ascii_case("Content-Type");
        if folding_type && found.replace(value.trim()).is_some() {
            return Err(CpimError::BadType);
        }
    }
    found.map_or(Ok("text/plain"), media_type).map(Some)
}
