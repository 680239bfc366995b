//! Whom a room keeps out: by address, by domain, by network.
//!
//! Touches: nothing. Bounds: `limits::ROOM_BANS_MAX` bans, [`ROOM_REASON_BYTES_MAX`] octets of a reason. Proved
//! by: the tests below and those of `rules.rs`.

use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::limits::ROOM_REASON_BYTES_MAX;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A network: an address, and how many of its first bits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// One machine.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Reads `192.0.2.7`, `192.0.2.0/24` or the like of IPv6.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let all = Self::of(address.parse().ok()?);
        let bits = bits.unwrap_or(all.bits);
        (bits <= all.bits).then_some(Self { bits, ..all })
    }

    fn has(&self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            rest >= width || a >> rest == b >> rest
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if *self == Self::of(self.address) { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

/// Who is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// Who has this address.
    Address(Address),
    /// Everybody of this domain and those below it.
    Domain(Arc<str>),
    /// Who calls from this network.
    Network(Network),
}

impl Whom {
    /// Reads an address (`sip:` may be left out), `@DOMAIN`, or a network.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(domain) = text.strip_prefix('@') {
            let plain = domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            return (plain && !domain.is_empty()).then(|| Self::Domain(domain.to_ascii_lowercase().into()));
        }
        if let Some(network) = Network::parse(text) {
            return Some(Self::Network(network));
        }
        let short = text.contains('@') && !text.contains(':');
        let address = if short { Address::parse(&format!("sip:{text}")) } else { Address::parse(text) };
        address.ok().map(Self::Address)
    }

    /// Whether somebody of this address, who calls from there, is meant.
    #[must_use]
    pub fn has(&self, address: Option<&Address>, from: Option<IpAddr>) -> bool {
        match self {
            Self::Address(a) => address == Some(a),
            Self::Domain(domain) => address.is_some_and(|a| {
                let rest = a.host().strip_suffix(&**domain);
                rest.is_some_and(|r| r.is_empty() || r.ends_with('.'))
            }),
            Self::Network(network) => from.is_some_and(|ip| network.has(ip)),
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// One ban.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Whom it keeps out.
    pub whom: Whom,
    /// What moderators are shown instead: the address under which somebody hid, or who called from a network that
    /// nobody is told.
    pub shown: Option<Arc<str>>,
    /// When it ends; `None` for never.
    pub until: Option<Now>,
    /// Why, in a moderator's words; may be empty.
    pub reason: Arc<str>,
}

impl Ban {
    /// A ban without end.
    #[must_use]
    pub fn new(whom: Whom, reason: &str) -> Self {
        Self { whom, shown: None, until: None, reason: cut(reason).into() }
    }

    /// Whether it holds still.
    #[must_use]
    pub fn holds(&self, now: Now) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// What moderators know it by.
    #[must_use]
    pub fn name(&self) -> String {
        self.shown.as_ref().map_or_else(|| self.whom.to_string(), |shown| shown.to_string())
    }
}

/// The beginning of a reason, as long as reasons may be, in one line.
#[must_use]
pub fn cut(reason: &str) -> String {
    let mut end = reason.len().min(ROOM_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_means_those_it_says_and_no_others() {
        let table = [
            ("sip:bob@example.com", "sip:bob@EXAMPLE.com", "192.0.2.1", true),
            ("bob@example.com", "sip:bob@example.com", "192.0.2.1", true),
            ("bob@example.com", "sip:bobby@example.com", "192.0.2.1", false),
            ("@example.com", "sip:bob@example.com", "192.0.2.1", true),
            ("@example.com", "sip:bob@chat.example.com", "192.0.2.1", true),
            ("@example.com", "sip:bob@badexample.com", "192.0.2.1", false),
            ("192.0.2.1", "sip:bob@example.com", "192.0.2.1", true),
            ("192.0.2.1", "sip:bob@example.com", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "sip:bob@example.com", "192.0.2.2", false),
            ("192.0.2.0/24", "sip:bob@example.com", "192.0.2.200", true),
            ("192.0.2.0/24", "sip:bob@example.com", "192.0.3.200", false),
            ("0.0.0.0/0", "sip:bob@example.com", "203.0.113.9", true),
            ("2001:db8::/32", "sip:bob@example.com", "2001:db8:1::9", true),
            ("2001:db8::/32", "sip:bob@example.com", "2001:db9::", false),
            ("2001:db8::/32", "sip:bob@example.com", "192.0.2.1", false),
        ];
        for (whom, address, from, meant) in table {
            let address = Address::parse(address).unwrap();
            let whom_is = Whom::parse(whom).unwrap();
            assert_eq!(whom_is.has(Some(&address), from.parse().ok()), meant, "{whom} {address} {from}");
            assert_eq!(Whom::parse(&whom_is.to_string()), Some(whom_is), "{whom}");
        }
        for bad in ["", "@", "@a b", "192.0.2.0/33", "sip:", "nobody", "bob:x@y"] {
            assert_eq!(Whom::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(cut("spam\r\nX: y"), "spam  X: y");
        assert_eq!(cut(&"é".repeat(200)).len(), ROOM_REASON_BYTES_MAX);
    }
}
