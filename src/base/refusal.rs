//! Every reason to say no, in the words of the room. Each protocol maps a reason to its own code:
//! MSRP here ([`Refusal::msrp`]), SIP in `focus`.

use super::flood::Flood;
use super::rights::Rule;
use std::borrow::Cow;
use std::fmt;

/// Why something was not done. The peer's fault or the room's policy, never ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The request could not be understood.
    Malformed,
    /// The CPIM wrapper could not be read, or lacks From or To.
    BadWrapper,
    /// The CPIM From is not an address of this participant.
    ForeignFrom,
    /// More than one CPIM To.
    ManyRecipients,
    /// The message is larger than the room or the server takes.
    TooLarge,
    /// More unfinished messages than one session may have.
    TooManyOpen,
    /// The content is not wrapped in CPIM, or the wrapped type is not taken here.
    BadType,
    /// The To address names nobody in the room.
    UnknownRecipient,
    /// Private messages are off, or the recipient cannot take them.
    NoPrivateMessages,
    /// Nicknames are off in this room.
    NoNicknames,
    /// The nickname cannot be read or prepared.
    BadNickname,
    /// The nickname belongs to somebody else, or did until a moment ago.
    NicknameTaken,
    /// The nickname can be mistaken for one that belongs to somebody else, or did until a moment ago.
    NicknameLooksTaken,
    /// Too much of something in too short a time.
    Flood {
        /// Of what.
        of: Flood,
        /// Seconds to wait; at least one.
        wait: u32,
    },
    /// The direction of the session (`recvonly`, `inactive`) excludes content.
    WrongDirection,
    /// The session is not known here.
    NoSession,
    /// The session is bound to another connection.
    SessionElsewhere,
    /// The method is not known.
    UnknownMethod,
    /// The participant is in the room with as many endpoints as it may have.
    ManyEndpoints,
    /// This rule of the room forbids it.
    Denied(Rule),
    /// A moderator's command cannot be carried out: the code, and what is said.
    Order(u16, &'static str),
    /// The server is stopping.
    ShuttingDown,
    /// The server has no capacity left just now.
    Overloaded,
}

impl Refusal {
    /// The MSRP status code and comment (RFC 4975 §10, RFC 7701 §10.3).
    #[must_use]
    pub fn msrp(self) -> (u16, Cow<'static, str>) {
        let (code, comment) = match self {
            Self::Order(code, told) => (code, told),
            Self::Flood { of, wait } => return (of.msrp(), of.told(wait).into()),
            Self::Malformed => (400, "Malformed request"),
            Self::BadWrapper => (400, "CPIM wrapper not readable"),
            Self::ForeignFrom => (403, "From does not belong to sender"),
            Self::ManyRecipients => (403, "More than one To"),
            Self::WrongDirection => (403, "Session is not for sending"),
            Self::NoNicknames => (403, "No nicknames in this room"),
            Self::Denied(rule @ Rule::NoPrivateMessages) => (428, rule.told()),
            Self::Denied(rule) => (403, rule.told()),
            Self::ManyEndpoints => (403, "You are in this room with as many devices as you may have"),
            Self::ShuttingDown | Self::Overloaded => (403, "Not now"),
            Self::UnknownRecipient => (404, "Recipient not in room"),
            Self::TooLarge => (413, "Message too large"),
            Self::TooManyOpen => (413, "Too many unfinished messages"),
            Self::BadType => (415, "Only message/cpim here"),
            Self::BadNickname => (424, "Malformed nickname"),
            Self::NicknameTaken => (425, "Nickname reserved or already in use"),
            Self::NicknameLooksTaken => (425, "Nickname looks like another one"),
            Self::NoPrivateMessages => (428, "Private messages not supported"),
            Self::NoSession => (481, "No such session"),
            Self::UnknownMethod => (501, "Unknown method"),
            Self::SessionElsewhere => (506, "Session already in use"),
        };
        (code, comment.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text) = self.msrp();
        write!(f, "{code} {text}")
    }
}
