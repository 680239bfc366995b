//! The identity of a participant or room, compared by its own rules.
//!
//! Equality is the ruling CHAT-MSG-04: an [`Address`] holds one normal spelling, and two addresses are
//! equal when their normal spellings are. Nothing else in the crate compares identities as text.
//! Bounds: [`ADDRESS_BYTES_MAX`]. Proof: the tables below, and that a normal form is its own normal form.

use std::fmt::{self, Write};
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Octets of an identity as a peer wrote it, and of its normal spelling, which needs three for some; beyond,
/// it is no address. Real ones stay below 256.
pub const ADDRESS_BYTES_MAX: usize = 1024;

/// A sip, sips, tel, im, pres or anonymous identity.
///
/// Equality and hash follow RFC 7701 §6.1 as ruled in CHAT-MSG-04: scheme and host without case, the
/// user part with case after unescaping, default port, parameters (except `gr`) and headers ignored,
/// IPv6 by value, `tel` without visual separators. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The normal spelling, then, only if it holds escapes, the unescaped user part.
    text: Arc<str>,
    /// Octets of the normal spelling.
    normal: u16,
}

/// Text that is no address; holds nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadAddress;

impl Address {
    /// Reads a URI without display name and angle brackets.
    ///
    /// # Errors
    /// [`BadAddress`] if the scheme is none of sip, sips, tel, im and pres, there is no host, or there is
    /// a character that no URI may have, plain or escaped.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let mut normal = String::with_capacity(text.len());
        normalize(text, &mut normal)?;
        // Or the normal spelling would itself be no address.
        let len = u16::try_from(normal.len()).ok().filter(|_| normal.len() <= ADDRESS_BYTES_MAX);
        let len = len.ok_or(BadAddress)?;
        let user = user_of(&normal);
        if user.contains('%') {
            let plain = unescape(user)?;
            normal.push_str(&plain);
        }
        Ok(Self { text: normal.into(), normal: len })
    }

    /// The address in the one spelling used for comparison: a valid URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text[..usize::from(self.normal)]
    }

    /// Whether `uri` names this address. Never allocates; one comparison when the spelling is the usual one.
    #[must_use]
    pub fn is(&self, uri: &str) -> bool {
        let normal = self.as_str();
        if normal == uri {
            return true;
        }
        let mut expected = Expected(normal);
        normalize(uri, &mut expected).is_ok() && expected.0.is_empty()
    }

    /// The host part, lower-case, without port, IPv6 in brackets; empty for `tel`.
    #[must_use]
    pub fn host(&self) -> &str {
        let normal = self.as_str();
        if normal.starts_with("tel:") {
            return "";
        }
        let rest = after_scheme(normal);
        let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
        if rest.starts_with('[') {
            return rest.find(']').map_or(rest, |end| &rest[..=end]);
        }
        rest.find([':', ';']).map_or(rest, |end| &rest[..end])
    }

    /// The user part, unescaped, in the case it was written; the number of a `tel`; empty if there is none.
    #[must_use]
    pub fn user(&self) -> &str {
        match &self.text[usize::from(self.normal)..] {
            "" => user_of(self.as_str()),
            plain => plain,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sink that takes only the spelling it expects, so that comparing needs no memory.
struct Expected<'a>(&'a str);

impl Write for Expected<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(s).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// A sink that refuses ends the work: it expected something else.
impl From<fmt::Error> for BadAddress {
    fn from(_: fmt::Error) -> Self {
        Self
    }
}

/// Writes the normal form of `text` into `out`, piece by piece.
fn normalize(text: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    if text.len() > ADDRESS_BYTES_MAX || text.bytes().any(is_forbidden) {
        return Err(BadAddress);
    }
    let (scheme, rest) = text.split_once(':').ok_or(BadAddress)?;
    let known = ["sip", "sips", "tel", "im", "pres"].into_iter().find(|s| scheme.eq_ignore_ascii_case(s));
    let scheme = known.ok_or(BadAddress)?;
    out.write_str(scheme)?;
    out.write_char(':')?;
    if scheme == "tel" {
        return normalize_tel(rest, out);
    }
    let host = match rest.split_once('@') {
        Some((user, host)) => {
            normalize_user(user, out)?;
            out.write_char('@')?;
            host
        }
        // im and pres are mailboxes (RFC 3859, 3860): there is no such thing as a bare host.
        None if matches!(scheme, "im" | "pres") => return Err(BadAddress),
        None => rest,
    };
    normalize_host(scheme, host, out)
}

/// Controls, blanks and what would end an address in SIP, CPIM or XML.
fn is_forbidden(b: u8) -> bool {
    matches!(b, 0..=0x20 | 0x7f | b'<' | b'>' | b'"')
}

/// What the user part of a SIP URI may hold without escape (RFC 3261 §25.1).
fn is_user_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b)
}

/// What the value of a URI parameter may hold without escape (RFC 3261 §25.1).
fn is_param_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&b)
}

fn normalize_user(user: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    // A password in a URI is no part of an identity, and nobody has a use for it (RFC 3261 §19.1.1).
    if user.is_empty() || user.contains(':') {
        return Err(BadAddress);
    }
    respell(user, is_user_octet, out)
}

/// Undoes needless escapes and makes the needed ones, so that there is one spelling.
fn respell(text: &str, plain: fn(u8) -> bool, out: &mut impl Write) -> Result<(), BadAddress> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // `plain` holds for ASCII only, so both ends of a run are character boundaries.
        let run = bytes[at..].iter().take_while(|b| plain(**b)).count();
        if run > 0 {
            out.write_str(&text[at..at + run])?;
            at += run;
            continue;
        }
        let octet = if bytes[at] == b'%' {
            at += 3;
            escaped_octet(bytes, at - 2)?
        } else {
            at += 1;
            bytes[at - 1]
        };
        if plain(octet) {
            out.write_char(char::from(octet))?;
        } else {
            write!(out, "%{octet:02X}")?;
        }
    }
    Ok(())
}

/// The octet that two hexadecimal digits at `at` stand for; controls are refused in any spelling.
fn escaped_octet(bytes: &[u8], at: usize) -> Result<u8, BadAddress> {
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16)).ok_or(BadAddress);
    let octet = u8::try_from(digit(at)? * 16 + digit(at + 1)?).map_err(|_| BadAddress)?;
    if octet < 0x20 || octet == 0x7f { Err(BadAddress) } else { Ok(octet) }
}

/// Host, port unless it is the default, and `gr` if there is one.
fn normalize_host(scheme: &str, text: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    let text = text.split_once('?').map_or(text, |(before, _headers)| before);
    let (hostport, params) = text.split_once(';').unwrap_or((text, ""));
    let port = if let Some(v6) = hostport.strip_prefix('[') {
        let (address, port) = v6.split_once(']').ok_or(BadAddress)?;
        let address: Ipv6Addr = address.parse().map_err(|_| BadAddress)?;
        write!(out, "[{address}]")?;
        if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(BadAddress)?) }
    } else {
        let (name, port) = hostport.split_once(':').map_or((hostport, None), |(n, p)| (n, Some(p)));
        normalize_name(name, out)?;
        port
    };
    if let Some(port) = port {
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadAddress);
        }
        let port: u16 = port.parse().map_err(|_| BadAddress)?;
        if !matches!((scheme, port), ("sip", 5060) | ("sips", 5061)) {
            write!(out, ":{port}")?;
        }
    }
    normalize_gr(params, out)
}

fn normalize_name(name: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    // The dot of the root names the same host (RFC 1034 §3.1).
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let empty_label = name.is_empty() || name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if empty_label || !name.bytes().all(good) {
        return Err(BadAddress);
    }
    lower(name, out)
}

fn lower(text: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        text.chars().try_for_each(|c| out.write_char(c.to_ascii_lowercase()))?;
    } else {
        out.write_str(text)?;
    }
    Ok(())
}

/// `gr` names one device of a user (RFC 5627), so it is part of the identity; no other parameter is.
fn normalize_gr(params: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    let is_gr = |p: &&str| p.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("gr"));
    let mut found = params.split(';').filter(is_gr);
    let Some(gr) = found.next() else { return Ok(()) };
    if found.next().is_some() {
        return Err(BadAddress);
    }
    out.write_str(";gr")?;
    if let Some((_, value)) = gr.split_once('=').filter(|(_, value)| !value.is_empty()) {
        out.write_char('=')?;
        respell(value, is_param_octet, out)?;
    }
    Ok(())
}

/// A number without visual separators (RFC 3966 §3). A local number means nothing without its
/// context, which is therefore kept.
fn normalize_tel(text: &str, out: &mut impl Write) -> Result<(), BadAddress> {
    let (number, params) = text.split_once(';').unwrap_or((text, ""));
    let (global, digits) = number.strip_prefix('+').map_or((false, number), |d| (true, d));
    if global {
        out.write_char('+')?;
    }
    let mut any = false;
    for b in digits.bytes() {
        match b {
            b'-' | b'.' | b'(' | b')' => continue,
            b'0'..=b'9' => (),
            b'A'..=b'F' | b'a'..=b'f' | b'*' | b'#' if !global => (),
            _ => return Err(BadAddress),
        }
        any = true;
        out.write_char(char::from(b.to_ascii_lowercase()))?;
    }
    if !any {
        return Err(BadAddress);
    }
    let context = params.split(';').filter_map(|p| p.split_once('=')).find(is_context);
    if let (false, Some((_, context))) = (global, context) {
        if context.bytes().any(|b| !is_param_octet(b)) {
            return Err(BadAddress);
        }
        out.write_str(";phone-context=")?;
        lower(context, out)?;
    }
    Ok(())
}

fn is_context((name, _): &(&str, &str)) -> bool {
    name.eq_ignore_ascii_case("phone-context")
}

fn after_scheme(normal: &str) -> &str {
    normal.split_once(':').map_or("", |(_, rest)| rest)
}

/// The user part as the normal form spells it.
fn user_of(normal: &str) -> &str {
    let rest = after_scheme(normal);
    if normal.starts_with("tel:") {
        return rest.split_once(';').map_or(rest, |(number, _)| number);
    }
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// The user part as people read it: UTF-8 without any control.
pub fn unescape(user: &str) -> Result<String, BadAddress> {
    let bytes = user.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(escaped_octet(bytes, at + 1)?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    let plain = String::from_utf8(out).map_err(|_| BadAddress)?;
    if plain.chars().any(char::is_control) { Err(BadAddress) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        Address::parse(text).map_or_else(|_| "bad".into(), |a| a.as_str().to_owned())
    }

    #[test]
    fn spellings_of_one_identity_are_equal() {
        // CHAT-MSG-04
        for (left, right) in [
            ("sip:alice@example.com", "SIP:alice@EXAMPLE.com"),
            ("sip:alice@example.com", "sip:alice@example.com;transport=tcp"),
            ("sip:alice@example.com", "sip:alice@example.com:5060"),
            ("sip:alice@example.com", "sip:alice@example.com:05060;lr?subject=x"),
            ("sips:alice@example.com", "sips:alice@example.com:5061"),
            ("sip:alice@example.com", "sip:%61lice@example.com"),
            ("sip:alice@example.com", "sip:alice@example.com."),
            ("sip:a%2fb@example.com", "sip:a/b@example.com"),
            ("sip:j%c3%b6rg@example.com", "sip:jörg@example.com"),
            ("sip:r@[2001:db8:0:0::1]", "sip:r@[2001:DB8::1]:5060"),
            ("sip:a@example.com;gr=x%41", "sip:a@example.com;transport=tls;GR=xA"),
            ("tel:+1-201-555-0123", "TEL:+12015550123;ext=7"),
            ("tel:(704)2;phone-context=Example.com", "tel:7042;phone-context=example.com"),
            ("im:alice@example.com", "IM:alice@Example.COM?x=y"),
        ] {
            let (a, b) = (Address::parse(left).unwrap(), Address::parse(right).unwrap());
            assert_eq!(a, b, "{left} {right}");
            assert!(a.is(right) && b.is(left) && a.is(left), "{left} {right}");
        }
    }

    #[test]
    fn different_identities_are_not_equal() {
        // CHAT-MSG-04, SEC-03
        for (left, right) in [
            ("sip:alice@example.com", "sip:Alice@example.com"),
            ("sip:alice@example.com", "sips:alice@example.com"),
            ("sip:alice@example.com", "im:alice@example.com"),
            ("sip:alice@example.com", "sip:alice@example.com:5070"),
            ("sip:alice@example.com", "sip:alice@example.com:5061"),
            ("sip:alice@example.com", "sip:alice@example.org"),
            ("sip:alice@example.com", "sip:alice@example.co"),
            ("sip:alice@example.com", "sip:alic@example.com"),
            ("sip:alice@example.com", "sip:example.com"),
            ("sip:alice@example.com", "sip:alice@example.com;gr"),
            ("sip:alice@example.com;gr=1", "sip:alice@example.com;gr=2"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]"),
            ("tel:+12015550123", "tel:12015550123"),
            ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.org"),
        ] {
            let (a, b) = (Address::parse(left).unwrap(), Address::parse(right).unwrap());
            assert_ne!(a, b, "{left} {right}");
            assert!(!a.is(right) && !b.is(left), "{left} {right}");
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        // SEC-03, SEC-09
        for text in [
            "",
            "alice",
            "sip:",
            "sip:@example.com",
            "sip:alice@",
            "http://example.com/",
            "im:example.com",
            "sip:alice@example.com@evil.example",
            "sip:alice:secret@example.com",
            "sip:al ice@example.com",
            "sip:al\tice@example.com",
            "sip:alice@example.com\r\nTo: x",
            "sip:alice%0d%0a@example.com",
            "sip:alice%C2%85@example.com",
            "sip:alice%FF@example.com",
            "sip:alice%4@example.com",
            "sip:alice%zz@example.com",
            "<sip:alice@example.com>",
            "sip:\"alice\"@example.com",
            "sip:alice@ex%61mple.com",
            "sip:alice@exämple.com",
            "sip:alice@.example.com",
            "sip:alice@example..com",
            "sip:alice@example.com..",
            "sip:alice@example.com:",
            "sip:alice@example.com:+5060",
            "sip:alice@example.com:99999",
            "sip:alice@[::1",
            "sip:alice@[::1]x",
            "sip:alice@[fe80::1%25eth0]",
            "sip:a@h;gr=1;gr=2",
            "tel:",
            "tel:+",
            "tel:+1-2x",
            "tel:+1%32",
        ] {
            assert_eq!(Address::parse(text), Err(BadAddress), "{text}");
        }
        assert!(Address::parse(&format!("sip:{}@h", "a".repeat(ADDRESS_BYTES_MAX))).is_err());
        let longest = format!("sip:{}@h", "ö".repeat((ADDRESS_BYTES_MAX - 6) / 6));
        assert_eq!(normal(&normal(&longest)), normal(&longest));
        assert!(Address::parse(&longest.replace('h', "hhhhhh")).is_err(), "longer once spelled out");
    }

    #[test]
    fn parts_are_given_for_people_and_routing() {
        let parts = |text: &str| {
            let a = Address::parse(text).unwrap();
            (a.user().to_owned(), a.host().to_owned())
        };
        let own = |user: &str, host: &str| (user.to_owned(), host.to_owned());
        assert_eq!(parts("sip:alice@Example.com:5070;gr=x"), own("alice", "example.com"));
        assert_eq!(parts("sip:j%C3%B6rg%40home@example.com"), own("jörg@home", "example.com"));
        assert_eq!(parts("sip:[::1]:5070"), own("", "[::1]"));
        assert_eq!(parts("sip:example.com;lr"), own("", "example.com"));
        assert_eq!(parts("tel:+1-201;ext=4"), own("+1201", ""));
        assert_eq!(parts("sip:anonymous3@anonymous.invalid"), own("anonymous3", "anonymous.invalid"));
    }

    #[test]
    fn the_normal_form_is_a_valid_address_of_its_own() {
        assert_eq!(normal("sip:A%20%22%3cb%3e@X"), "sip:A%20%22%3Cb%3E@x");
        assert_eq!(normal("sip:{x}|y@h"), "sip:%7Bx%7D%7Cy@h");
        for text in
            ["sip:{ö}%25%41@h:5070;gr=%20a", "im:a@B", "tel:7;phone-context=+1", "sips:[::ffff:1.2.3.4]"]
        {
            let once = normal(text);
            assert_ne!(once, "bad", "{text}");
            assert_eq!(normal(&once), once);
        }
    }

    proptest::proptest! {
        #[test]
        fn normalizing_twice_changes_nothing_and_is_agrees_with_equality(
            left in "(sips?|SIP|im|tel):[a-cA%26;:@\\[\\]+.=?ö-]{0,12}(@[hH.1]{1,4})?(:5060)?(;gr=x)?",
            right in "sip:[ab%61]{1,4}@[hH]{1}(:5060)?(;x=y)?",
        ) {
            if let Ok(a) = Address::parse(&left) {
                assert_eq!(Address::parse(a.as_str()), Ok(a.clone()));
                assert!(a.is(&left));
                assert_eq!(a.is(&right), Address::parse(&right).is_ok_and(|b| a == b));
            }
        }
    }
}
