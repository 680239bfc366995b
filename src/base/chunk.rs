//! A part of a message on its way: the one currency between sessions, rooms and audiences.

use bytes::Bytes;

/// How a part ends (the flag of an MSRP end-line, RFC 4975 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flag {
    /// `$`: the last part of the message.
    End,
    /// `+`: more parts follow.
    More,
    /// `#`: the message ends here, unfinished.
    Abort,
}

impl Flag {
    /// The octet on the wire.
    #[must_use]
    pub fn octet(self) -> u8 {
        match self {
            Self::End => b'$',
            Self::More => b'+',
            Self::Abort => b'#',
        }
    }

    /// Reads the octet on the wire.
    #[must_use]
    pub fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            b'$' => Some(Self::End),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Abort),
            _ => None,
        }
    }
}

/// Octets of a message: where they begin, how many there will be if the sender said so, how they end.
///
/// The octets are those of the CPIM wrapper and all it holds, exactly as received (RFC 7701 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk<B = Bytes> {
    /// Position of the first octet in the message, counted from 1 (RFC 4975 §7.1.1).
    pub start: u64,
    /// The length of the whole message as the sender claims it; `None` for `*`.
    pub total: Option<u64>,
    /// The octets.
    pub body: B,
    /// How this part ends.
    pub flag: Flag,
}

impl<B> Chunk<B> {
    /// The same part with its octets held in another way.
    pub fn map<C>(self, hold: impl FnOnce(B) -> C) -> Chunk<C> {
        let Self { start, total, body, flag } = self;
        Chunk { start, total, body: hold(body), flag }
    }
}

impl<B: AsRef<[u8]>> Chunk<B> {
    /// The same part with octets of its own, to cross to another thread.
    pub fn to_owned_chunk(&self) -> Chunk<Bytes> {
        Chunk {
            start: self.start,
            total: self.total,
            body: Bytes::copy_from_slice(self.body.as_ref()),
            flag: self.flag,
        }
    }
}
