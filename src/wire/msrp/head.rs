//! Start line and headers of one message, as a view (RFC 4975 §9, RFC 7701 §7.1).
//!
//! Touches the lines that the framer found, nothing else. What is wrong but framed becomes
//! [`Head::fault`], to be answered 400; what makes the message ambiguous (a doubled path, Message-ID or
//! Byte-Range with another value) is a [`FrameError`] and closes the connection (MSRP-FRAME-17).
//! Header names and keywords are compared without case, spaces around a value are dropped, unknown
//! headers have no effect (MSRP-FRAME-13, MSRP-FRAME-14). Which fields stand where is not checked
//! beyond that: order carries no meaning.

use super::frame::FrameError;
use super::range::ByteRange;
use super::uri::is_token;
use crate::base::octets::Octets;

/// One message without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head<'b> {
    /// The transaction id.
    pub tid: &'b [u8],
    /// Request or response.
    pub kind: Kind<'b>,
    /// The whole To-Path; empty if absent (a fault).
    pub to_path: &'b [u8],
    /// The whole From-Path; empty if absent (a fault).
    pub from_path: &'b [u8],
    /// The message that a SEND or REPORT belongs to.
    pub message_id: Option<&'b [u8]>,
    /// Where the body belongs in its message.
    pub byte_range: Option<ByteRange>,
    /// Whether and when an answer is wanted.
    pub failure_report: FailureReport,
    /// Whether a success REPORT is wanted.
    pub success_report: bool,
    /// The type of the whole message.
    pub content_type: Option<&'b [u8]>,
    /// What a REPORT says.
    pub status: Option<Status<'b>>,
    /// The value of Use-Nickname as it stands there, quotes and escapes included.
    pub use_nickname: Option<&'b [u8]>,
    /// The value of Delivery-Count as it stands there (docs/extensions.md).
    pub delivery_count: Option<&'b [u8]>,
    /// The value of Expires (RFC 4976).
    pub expires: Option<&'b [u8]>,
    /// Why the message must not be acted upon; a request is answered 400 if it may be answered.
    pub fault: Option<HeadFault>,
}

impl<'b> Head<'b> {
    /// Whether this is a SEND.
    #[must_use]
    pub fn is_send(&self) -> bool {
        matches!(self.kind, Kind::Request(Method::Send))
    }

    /// Whether a SEND asks how many recipients have its message (docs/extensions.md).
    #[must_use]
    pub fn asks_count(&self) -> bool {
        self.delivery_count.is_some_and(|value| value.eq_ignore_ascii_case(b"yes"))
    }

    /// The leftmost URI of From-Path: where an answer to a SEND goes (RFC 4975 §7.2).
    #[must_use]
    pub fn first_from(&self) -> &'b [u8] {
        let end = memchr::memchr(b' ', self.from_path).unwrap_or(self.from_path.len());
        &self.from_path[..end]
    }
}

/// Request or response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'b> {
    /// A request and what it wants.
    Request(Method<'b>),
    /// The answer to the request with the same transaction id.
    Response {
        /// Three digits, known or not.
        code: u16,
        /// The text after them; may be empty.
        comment: &'b [u8],
    },
}

/// What a request wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method<'b> {
    /// Carries a chunk of a message, or binds a session (RFC 4975 §7.1).
    Send,
    /// Says what became of a message (RFC 4975 §7.1.2).
    Report,
    /// Asks for a nickname (RFC 7701 §7.1).
    Nickname,
    /// Asks a relay for a URI (RFC 4976 §5.1).
    Auth,
    /// Anything else: 501.
    Other(&'b [u8]),
}

/// The header Failure-Report (RFC 4975 §7.1.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum FailureReport {
    /// Every request is answered. The default.
    #[default]
    Yes,
    /// Nothing is answered.
    No,
    /// Only errors are answered.
    Partial,
}

/// The header Status of a REPORT (RFC 4975 §7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status<'b> {
    /// 000 for the codes of MSRP; others are nobody's.
    pub namespace: u16,
    /// Three digits, known or not.
    pub code: u16,
    /// The text after them; may be empty.
    pub text: &'b [u8],
}

/// Why a message that is framed must not be acted upon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeadFault {
    /// No To-Path, or an empty one.
    NoToPath,
    /// No From-Path, or an empty one: there is nobody to answer.
    NoFromPath,
    /// A line that is no header: it begins with a blank (folding), has no name or no colon.
    BadLine,
    /// A header that may stand once stands twice with different values.
    DoubledHeader,
    /// Octets that are not UTF-8.
    NotUtf8,
    /// A SEND with body, or a REPORT, without Message-ID.
    NoMessageId,
    /// A Message-ID that is none.
    BadMessageId,
    /// A Byte-Range that is none or cannot be true.
    BadByteRange,
    /// Failure-Report or Success-Report with a value that does not exist.
    BadReportWish,
    /// A REPORT without Status.
    NoStatus,
    /// A Status that is none.
    BadStatus,
    /// A body without Content-Type.
    NoContentType,
}

impl std::fmt::Display for HeadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoToPath => "no To-Path",
            Self::NoFromPath => "no From-Path",
            Self::BadLine => "a line that is no header",
            Self::DoubledHeader => "a doubled header",
            Self::NotUtf8 => "not UTF-8",
            Self::NoMessageId => "no Message-ID",
            Self::BadMessageId => "bad Message-ID",
            Self::BadByteRange => "bad Byte-Range",
            Self::BadReportWish => "bad Failure-Report or Success-Report",
            Self::NoStatus => "no Status",
            Self::BadStatus => "bad Status",
            Self::NoContentType => "no Content-Type",
        })
    }
}

/// Takes a start line apart: transaction id and what it begins (RFC 4975 §9).
#[inline]
pub(super) fn start_line(line: &[u8]) -> Result<(&[u8], Kind<'_>), FrameError> {
    let rest = line.strip_prefix(b"MSRP ").ok_or(FrameError::NotMsrp)?;
    let end = memchr::memchr(b' ', rest).ok_or(FrameError::BadStartLine)?;
    let (tid, rest) = (&rest[..end], &rest[end + 1..]);
    if !is_ident(tid) {
        return Err(FrameError::BadStartLine);
    }
    let kind = match rest {
        b"SEND" => Kind::Request(Method::Send),
        b"REPORT" => Kind::Request(Method::Report),
        b"NICKNAME" => Kind::Request(Method::Nickname),
        b"AUTH" => Kind::Request(Method::Auth),
        [b'0'..=b'9', ..] => {
            let (code, comment) = code_and_text(rest).ok_or(FrameError::BadStartLine)?;
            Kind::Response { code, comment }
        }
        // `FILE_OFFSET` exists in the field; answering it 501 beats closing the connection.
        [b'A'..=b'Z', ..] if rest.iter().all(|octet| octet.is_ascii_uppercase() || *octet == b'_') => {
            Kind::Request(Method::Other(rest))
        }
        _ => return Err(FrameError::BadStartLine),
    };
    Ok((tid, kind))
}

/// What a transaction id and a Message-ID are made of (MSRP-FRAME-02).
#[inline]
pub(super) fn is_ident(text: &[u8]) -> bool {
    const IDENT: Octets = Octets::alphanumeric_and(b".-+%=");
    (4..=32).contains(&text.len()) && text[0].is_ascii_alphanumeric() && IDENT.have_all(text)
}

/// `3DIGIT [SP text]`.
fn code_and_text(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<3>()?;
    let code = digits
        .iter()
        .try_fold(0_u16, |code, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')))?;
    match rest {
        [] => Some((code, rest)),
        [b' ', text @ ..] => Some((code, text)),
        _ => None,
    }
}

/// The known headers of one message as they stand there, gathered line by line.
#[derive(Default)]
pub(super) struct Fields<'b> {
    to_path: Option<&'b [u8]>,
    from_path: Option<&'b [u8]>,
    message_id: Option<&'b [u8]>,
    byte_range: Option<&'b [u8]>,
    failure_report: Option<&'b [u8]>,
    success_report: Option<&'b [u8]>,
    content_type: Option<&'b [u8]>,
    status: Option<&'b [u8]>,
    use_nickname: Option<&'b [u8]>,
    delivery_count: Option<&'b [u8]>,
    expires: Option<&'b [u8]>,
    doubled: bool,
    fault: Option<HeadFault>,
}

impl<'b> Fields<'b> {
    /// Takes one header line, without its CRLF.
    #[inline]
    pub(super) fn take(&mut self, line: &'b [u8]) {
        // Names that steer the message: another value the second time makes it ambiguous.
        let (slot, len, steers) = match line.first().map_or(0, |octet| octet | 0x20) {
            b't' if named(line, b"To-Path:") => (&mut self.to_path, 8, true),
            b'f' if named(line, b"From-Path:") => (&mut self.from_path, 10, true),
            b'm' if named(line, b"Message-ID:") => (&mut self.message_id, 11, true),
            b'b' if named(line, b"Byte-Range:") => (&mut self.byte_range, 11, true),
            b'f' if named(line, b"Failure-Report:") => (&mut self.failure_report, 15, false),
            b's' if named(line, b"Success-Report:") => (&mut self.success_report, 15, false),
            b'c' if named(line, b"Content-Type:") => (&mut self.content_type, 13, false),
            b's' if named(line, b"Status:") => (&mut self.status, 7, false),
            b'u' if named(line, b"Use-Nickname:") => (&mut self.use_nickname, 13, false),
            b'd' if named(line, b"Delivery-Count:") => (&mut self.delivery_count, 15, false),
            b'e' if named(line, b"Expires:") => (&mut self.expires, 8, false),
            _ => {
                if !is_header(line) {
                    self.blame(HeadFault::BadLine);
                }
                return;
            }
        };
        let value = trim(&line[len..]);
        let differs = slot.is_some_and(|earlier| earlier != value);
        slot.get_or_insert(value);
        if differs && steers {
            self.doubled = true;
        } else if differs {
            self.blame(HeadFault::DoubledHeader);
        }
    }

    /// Notes a fault; the first one stays.
    pub(super) fn blame(&mut self, fault: HeadFault) {
        self.fault.get_or_insert(fault);
    }

    /// Reads the values. `body` tells whether a blank line ended the head.
    pub(super) fn finish(
        mut self,
        tid: &'b [u8],
        kind: Kind<'b>,
        body: bool,
    ) -> Result<Head<'b>, FrameError> {
        if self.doubled {
            return Err(FrameError::Doubled);
        }
        let byte_range = self.byte_range.and_then(ByteRange::parse);
        let failure_report = self.failure_report.map_or(Some(FailureReport::Yes), failure_report);
        let success_report = self.success_report.map_or(Some(false), yes_or_no);
        let status = self.status.and_then(status);
        let report = kind == Kind::Request(Method::Report);
        let send = kind == Kind::Request(Method::Send);
        let faults = [
            (self.to_path.is_none_or(<[u8]>::is_empty), HeadFault::NoToPath),
            (self.from_path.is_none_or(<[u8]>::is_empty), HeadFault::NoFromPath),
            (self.message_id.is_none() && (report || (send && body)), HeadFault::NoMessageId),
            (self.message_id.is_some_and(|id| !is_ident(id)), HeadFault::BadMessageId),
            (self.byte_range.is_some() && byte_range.is_none(), HeadFault::BadByteRange),
            (failure_report.is_none() || success_report.is_none(), HeadFault::BadReportWish),
            (report && self.status.is_none(), HeadFault::NoStatus),
            (self.status.is_some() && status.is_none(), HeadFault::BadStatus),
            (body && self.content_type.is_none_or(<[u8]>::is_empty), HeadFault::NoContentType),
        ];
        if let Some((_, fault)) = faults.iter().find(|(wrong, _)| *wrong) {
            self.blame(*fault);
        }
        Ok(Head {
            tid,
            kind,
            to_path: self.to_path.unwrap_or_default(),
            from_path: self.from_path.unwrap_or_default(),
            message_id: self.message_id,
            byte_range,
            failure_report: failure_report.unwrap_or_default(),
            success_report: success_report.unwrap_or_default(),
            content_type: self.content_type,
            status,
            use_nickname: self.use_nickname,
            delivery_count: self.delivery_count,
            expires: self.expires,
            fault: self.fault,
        })
    }
}

/// Whether `line` begins with `name`, which holds its colon. Nearly every peer writes the canonical
/// spelling, and that comparison is a few loads.
#[inline]
fn named<const N: usize>(line: &[u8], name: &[u8; N]) -> bool {
    line.first_chunk::<N>().is_some_and(|start| start == name || start.eq_ignore_ascii_case(name))
}

/// `hname ":"` (RFC 4975 §9).
fn is_header(line: &[u8]) -> bool {
    let name = memchr::memchr(b':', line).map_or(&line[..0], |end| &line[..end]);
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(|octet| is_token(*octet))
}

/// The value without the blanks around it (RFC 7977 prints several after the colon).
#[inline]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn yes_or_no(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"no") {
        Some(false)
    } else {
        value.eq_ignore_ascii_case(b"yes").then_some(true)
    }
}

fn failure_report(value: &[u8]) -> Option<FailureReport> {
    if value.eq_ignore_ascii_case(b"partial") {
        return Some(FailureReport::Partial);
    }
    yes_or_no(value).map(|yes| if yes { FailureReport::Yes } else { FailureReport::No })
}

/// `namespace SP code [SP text]`.
fn status(value: &[u8]) -> Option<Status<'_>> {
    let (namespace, rest) = code_and_text(value)?;
    let (code, text) = code_and_text(rest)?;
    Some(Status { namespace, code, text })
}
