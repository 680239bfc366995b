//! Names of things, as newtypes over plain integers, each made in one place.
//!
//! Touches: nothing. Bounds: every id is `Copy` and at most 32 octets.

use std::fmt;

/// One thread of the data plane: an index from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The position of this shard in tables that have one entry per shard.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One session of a participant in a room (RFC 4575 "endpoint"): two devices are two endpoints.
///
/// Made by the focus for each INVITE dialog, never reused within a run of the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EndpointId(pub u64);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A TCP connection of one shard. The generation makes a stale id find nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId {
    /// Place in the shard's table of connections.
    pub slot: u32,
    /// How often that place had been used before.
    pub generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.slot, self.generation)
    }
}

/// A room, for as long as it exists; made by its home shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RoomId(u64);

impl RoomId {
    /// The `n`-th room of `home`.
    #[must_use]
    pub fn new(home: ShardId, n: u64) -> Self {
        Self(u64::from(home.0) << 48 | n & 0xffff_ffff_ffff)
    }

    /// The shard that orders the room's messages.
    #[must_use]
    pub fn home(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }
}

/// The place of a message in the order of its room; the first is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Seq(pub u64);

/// One inbound message of one endpoint, numbered by its session; names the message in later parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MessageNo(pub u32);

/// Which of the sessions that an endpoint was granted: 0 is that of its Join, each later question for another
/// one has the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct GrantNo(pub u32);

/// A transaction identifier or Message-ID that we made: letters and digits only.
///
/// Twelve characters of base 62 carry 71 random bits (RFC 4975 §7.1 asks for 64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub [u8; Self::LEN]);

impl Token {
    /// Characters of a token.
    pub const LEN: usize = 12;

    /// The characters, as they stand on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("?"))
    }
}

/// The secret that names one MSRP session: 128 random bits, with the shard that holds its grant in front.
///
/// RFC 4975 §14.1 wants at least 80 bits. `Debug` and `Display` show four characters only, because
/// whoever knows a session-id owns the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; Self::LEN]);

impl SessionId {
    /// Characters of a session-id: two for the shard, 22 of base 62 for the secret.
    pub const LEN: usize = 24;

    /// Writes `shard` in front of `secret`.
    #[must_use]
    pub fn new(shard: ShardId, secret: [u8; 22]) -> Self {
        const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut text = [0; Self::LEN];
        text[0] = DIGITS[usize::from(shard.0 >> 5) & 31];
        text[1] = DIGITS[usize::from(shard.0) & 31];
        text[2..].copy_from_slice(&secret);
        Self(text)
    }

    /// Reads what could be a session-id of ours; `None` for any other text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; Self::LEN] = text.try_into().ok()?;
        // Without a way out, so that it is done in steps of many octets.
        let ours = text.iter().fold(true, |ours, octet| ours & octet.is_ascii_alphanumeric());
        (ours && digit(text[0]).is_some() && digit(text[1]).is_some()).then_some(Self(text))
    }

    /// The shard that holds the grant of this session.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        let value = |b| digit(b).unwrap_or(0);
        ShardId(value(self.0[0]) << 5 | value(self.0[1]))
    }

    /// The whole secret, for the wire. Never for a log.
    #[must_use]
    pub fn reveal(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

fn digit(b: u8) -> Option<u16> {
    match b {
        b'a'..=b'z' => Some(u16::from(b - b'a')),
        b'2'..=b'7' => Some(u16::from(b - b'2') + 26),
        _ => None,
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = std::str::from_utf8(&self.0[..4]).unwrap_or("????");
        write!(f, "{shown}…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_tells_its_shard_and_hides_its_secret() {
        // SEC-01
        for n in [0, 1, 31, 32, 1023] {
            let id = SessionId::new(ShardId(n), *b"0123456789abcdefghijAB");
            assert_eq!(id.shard(), ShardId(n));
            assert_eq!(SessionId::parse(id.reveal()), Some(id));
            assert!(!format!("{id:?}").contains("0123"));
        }
    }

    #[test]
    fn foreign_text_is_no_session_id() {
        for text in ["", "notASessionHere00000", "!a0123456789abcdefghijAB", "aa0123456789abcdefghijAB0"] {
            assert_eq!(SessionId::parse(text.as_bytes()), None, "{text}");
        }
    }
}
