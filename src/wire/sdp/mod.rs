//! Session descriptions for message media (RFC 4975 §8, RFC 7701 §8).
//!
//! [`Description::parse`] takes what a peer says of itself and judges each media line; [`answer`] and
//! [`offer`] write what we say of ourselves. The lines are parsed by `sdp-types`, after small repairs
//! (SDP-20); whether a chat room may use a media line is decided by [`Description::chat`].
//!
//! Bounds: `limits::SDP_BYTES_MAX` octets, `limits::SDP_MEDIA_MAX` media lines. Proof: `tests/torture_text.rs`.

mod parse;
mod types;
mod write;

pub use types::TypeList;
pub use write::{Local, answer, answering_role, offer};

use std::fmt;

/// Who opens the connection (RFC 4145 §4, RFC 6135 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Setup {
    /// The writer connects.
    Active,
    /// The writer listens.
    Passive,
    /// The writer can do both and leaves the choice to the answer.
    Actpass,
}

impl Setup {
    /// The value of `a=setup`. `holdconn` counts as absent (SDP-12).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let known = [Self::Active, Self::Passive, Self::Actpass];
        known.into_iter().find(|setup| setup.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// As `a=setup` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Actpass => "actpass",
        }
    }
}

/// Which way content may go, as the writer of the description sees it (RFC 3264 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the writer may send content (SDP-11).
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer takes content (SDP-11).
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same direction as the other side sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both_or_none => both_or_none,
        }
    }

    /// The name of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// What `a=chatroom` declares (RFC 7701 §8); both off for the bare attribute.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Chatroom {
    /// Nicknames are understood.
    pub nickname: bool,
    /// Private messages are understood.
    pub private_messages: bool,
}

impl Chatroom {
    /// Reads the tokens; `nicknames`, the spelling of RFC 7701's prose, is understood too (CHAT-JOIN-04).
    #[must_use]
    pub fn parse(tokens: &str) -> Self {
        let has = |names: &[&str]| {
            tokens.split_ascii_whitespace().any(|t| names.iter().any(|name| t.eq_ignore_ascii_case(name)))
        };
        Self { nickname: has(&["nickname", "nicknames"]), private_messages: has(&["private-messages"]) }
    }
}

/// A hash of the certificate that the writer will show (RFC 8122 §5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint {
    /// The name of the hash, lower-case: `sha-256`. Never `md2` or `md5`: those are left out (SDP-18).
    pub hash: String,
    /// The octets of the hash.
    pub octets: Vec<u8>,
}

/// A media line for messages over MSRP that could be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageMedia {
    /// Which media line of the description, from 0.
    pub index: usize,
    /// The port of the media line. Where to connect is told by the path (SDP-03).
    pub port: u16,
    /// TLS is to be used.
    pub secure: bool,
    /// The path, URIs separated by single spaces, leftmost is the next hop.
    pub path: String,
    /// `a=accept-types`.
    pub accept_types: TypeList,
    /// `a=accept-wrapped-types`, if given.
    pub accept_wrapped_types: Option<TypeList>,
    /// `a=setup`, if given and not `holdconn`.
    pub setup: Option<Setup>,
    /// Which way content may go.
    pub direction: Direction,
    /// `a=max-size`: octets of the largest message the writer takes.
    pub max_size: Option<u64>,
    /// `a=chatroom`, if given.
    pub chatroom: Option<Chatroom>,
    /// The line is for one file (RFC 5547).
    pub file_transfer: bool,
    /// `a=msrp-cema` (RFC 6714).
    pub cema: bool,
    /// `a=fingerprint`, of the media line or else of the session, in the order given.
    pub fingerprints: Vec<Fingerprint>,
}

impl MessageMedia {
    /// The wrapped types that the writer takes: the union of both attributes. If nothing is said but
    /// that wrappers are taken, nothing is known and every type is tried (CHAT-MSG-12).
    #[must_use]
    pub fn wrapped_types(&self) -> TypeList {
        match &self.accept_wrapped_types {
            Some(wrapped) => TypeList::union(wrapped, &self.accept_types),
            None if self.accept_types.iter().all(|t| t == CPIM || t == "message/*") => TypeList::any(),
            None => self.accept_types.clone(),
        }
    }
}

/// The type every message in a room has.
const CPIM: &str = "message/cpim";

/// What a media line is to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Media {
    /// Messages over MSRP.
    Message(MessageMedia),
    /// Messages, but not usable.
    Refused(MediaProblem),
    /// Something else.
    Other,
}

/// Why a message media line cannot be used. The words go into a SIP Warning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaProblem {
    /// Port 0: the writer closed the line (SDP-07).
    Closed,
    /// Neither TCP/MSRP nor TCP/TLS/MSRP.
    Transport,
    /// No `a=path` (SDP-02).
    NoPath,
    /// `a=path` holds something that is no MSRP URI with port.
    BadPath,
    /// `msrps` without TLS or `msrp` with it (SDP-04).
    SchemeMismatch,
    /// No `a=accept-types` (SDP-02).
    NoAcceptTypes,
    /// message/cpim is not accepted (CHAT-JOIN-01).
    NotCpim,
    /// The line is for a file (SDP-21).
    FileTransfer,
}

impl fmt::Display for MediaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "Message media is closed (port 0)",
            Self::Transport => "Message media needs TCP/MSRP or TCP/TLS/MSRP",
            Self::NoPath => "Message media has no a=path",
            Self::BadPath => "a=path is not a list of MSRP URIs with ports",
            Self::SchemeMismatch => "Scheme of a=path does not fit the transport",
            Self::NoAcceptTypes => "Message media has no a=accept-types",
            Self::NotCpim => "a=accept-types lacks message/cpim",
            Self::FileTransfer => "No file transfer here",
        })
    }
}

/// Why a description gives a chat room nothing to work with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoChat {
    /// There is no message media at all.
    NoMessageMedia,
    /// What is wrong with the first message media that is wrong.
    Problem(MediaProblem),
}

impl fmt::Display for NoChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessageMedia => f.write_str("No message media offered"),
            Self::Problem(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for NoChat {}

/// Why a description cannot be read. The words go into a SIP Warning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SdpError {
    /// More than `limits::SDP_BYTES_MAX` octets.
    TooLong,
    /// More than `limits::SDP_MEDIA_MAX` media lines.
    TooManyMedia,
    /// NUL or a carriage return within a line, or any control within a media line.
    Control,
    /// There is nothing in it.
    Empty,
    /// A line cannot be understood.
    Syntax,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "Session description is too long",
            Self::TooManyMedia => "Session description has too many media lines",
            Self::Control => "Session description has control characters",
            Self::Empty => "Session description is empty",
            Self::Syntax => "Session description cannot be parsed",
        })
    }
}

impl std::error::Error for SdpError {}

/// The origin of a description (RFC 8866 §5.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// The session id as written; empty if there was no origin.
    pub session: String,
    /// The version: a re-offer that changes nothing repeats it (SDP-06).
    pub version: u64,
    /// The line as written, without `o=`; empty if there was none.
    pub line: String,
}

/// What the description says of one media line, kept to mirror it in an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Offered {
    media: String,
    proto: String,
    fmt: String,
    /// Attributes of a refused file transfer that the answer repeats (SDP-21).
    mirrored: Vec<String>,
}

/// A session description that a peer sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Its origin line.
    pub origin: Origin,
    /// Its media lines, in order.
    pub media: Vec<Media>,
    /// The same lines as written; as long as `media`.
    offered: Vec<Offered>,
}

impl Description {
    /// The first media line that a chat room can use.
    ///
    /// # Errors
    /// [`NoChat`] says why there is none.
    pub fn chat(&self) -> Result<&MessageMedia, NoChat> {
        let mut problem = NoChat::NoMessageMedia;
        for media in &self.media {
            let why = match media {
                Media::Other => continue,
                Media::Refused(why) => *why,
                Media::Message(m) if m.file_transfer => MediaProblem::FileTransfer,
                Media::Message(m) if !m.accept_types.allows(CPIM) => MediaProblem::NotCpim,
                Media::Message(m) => return Ok(m),
            };
            if problem == NoChat::NoMessageMedia {
                problem = NoChat::Problem(why);
            }
        }
        Err(problem)
    }
}
