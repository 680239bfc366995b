//! MSRP URIs and paths (RFC 4975 §6, §9).
//!
//! ```text
//! URI = ( "msrp" / "msrps" ) "://" [ userinfo "@" ] host [ ":" port ] [ "/" session-id ]
//!       ";" transport *( ";" name [ "=" value ] )
//! ```
//!
//! Views over the caller's octets; nothing allocates. Bounded by the line that holds the URI.

use std::net::Ipv6Addr;

/// A URI, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsrpUri<'a> {
    /// `msrps`: over TLS.
    pub secure: bool,
    /// What stands before `@`; never holds a password. Does not count in comparison.
    pub userinfo: Option<&'a [u8]>,
    /// A host name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: &'a [u8],
    /// The port; present in every URI but those of AUTH (MSRP-URI-02).
    pub port: Option<u16>,
    /// The secret that names the session.
    pub session_id: Option<&'a [u8]>,
    /// `tcp`, or something that we only pass on (MSRP-URI-04).
    pub transport: &'a [u8],
    /// All that follows the transport, without the first `;`.
    pub params: &'a [u8],
}

/// Why something is no MSRP URI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UriError {
    /// Neither `msrp://` nor `msrps://`.
    Scheme,
    /// Characters that no userinfo has, or a password (RFC 4975 §6).
    Userinfo,
    /// No host, or characters that no host has, or a bad IPv6 address.
    Host,
    /// Not a number up to 65535.
    Port,
    /// Empty, or characters that no session-id has.
    SessionId,
    /// No transport, or characters that no transport has.
    Transport,
    /// A parameter that is not `name` or `name=value`.
    Param,
}

impl std::fmt::Display for UriError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scheme => "not an MSRP scheme",
            Self::Userinfo => "bad userinfo",
            Self::Host => "bad host",
            Self::Port => "bad port",
            Self::SessionId => "bad session-id",
            Self::Transport => "bad transport",
            Self::Param => "bad parameter",
        })
    }
}

impl std::error::Error for UriError {}

impl MsrpUri<'_> {
    /// Reads one URI, all of it.
    pub fn parse(text: &[u8]) -> Result<MsrpUri<'_>, UriError> {
        let (secure, rest) = scheme(text).ok_or(UriError::Scheme)?;
        let end = rest.iter().position(|octet| matches!(octet, b'/' | b';')).ok_or(UriError::Transport)?;
        let (authority, rest) = rest.split_at(end);
        let (userinfo, host, port) = split_authority(authority)?;
        let (session_id, rest) = match rest.strip_prefix(b"/") {
            Some(path) => {
                let end = path.iter().position(|octet| *octet == b';').ok_or(UriError::Transport)?;
                let (id, rest) = path.split_at(end);
                let good = !id.is_empty() && id.iter().all(|octet| is_session_id(*octet));
                (Some(good.then_some(id).ok_or(UriError::SessionId)?), rest)
            }
            None => (None, rest),
        };
        let mut parts = rest[1..].splitn(2, |octet| *octet == b';');
        let transport = parts.next().unwrap_or_default();
        if transport.is_empty() || !transport.iter().all(u8::is_ascii_alphanumeric) {
            return Err(UriError::Transport);
        }
        let params = match parts.next() {
            Some(params) if params.split(|octet| *octet == b';').all(is_param) => params,
            Some(_) => return Err(UriError::Param),
            None => &[],
        };
        Ok(MsrpUri { secure, userinfo, host, port, session_id, transport, params })
    }

    /// Whether both name the same thing (RFC 4975 §6.1, MSRP-URI-03): userinfo and parameters do not
    /// count, a port or session-id present never equals an absent one, only the session-id has case.
    #[must_use]
    pub fn same(&self, other: &MsrpUri<'_>) -> bool {
        self.session_id == other.session_id
            && self.port == other.port
            && self.secure == other.secure
            && self.transport.eq_ignore_ascii_case(other.transport)
            && same_host(self.host, other.host)
    }
}

/// The URIs of a path, left to right: the leftmost is the next hop (MSRP-URI-06).
pub fn path(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b' ').filter(|uri| !uri.is_empty())
}

/// The session-id of a path that has exactly one URI; `None` if there are more, or none, or no
/// session-id. Looks at no more than that: a wrong URI leads to an id that nobody has.
#[must_use]
pub fn only_session_id(value: &[u8]) -> Option<&[u8]> {
    let (_, rest) = scheme(value)?;
    let authority = memchr::memchr3(b'/', b';', b' ', rest)?;
    if rest[authority] != b'/' {
        return None;
    }
    let rest = &rest[authority + 1..];
    let end = memchr::memchr2(b';', b' ', rest)?;
    let (id, rest) = rest.split_at(end);
    (end > 0 && rest[0] == b';' && !rest.contains(&b' ')).then_some(id)
}

/// Takes the scheme off; `true` for `msrps`.
#[inline]
fn scheme(text: &[u8]) -> Option<(bool, &[u8])> {
    let secure = matches!(text.get(4), Some(b's' | b'S'));
    let rest = text.get(4 + usize::from(secure)..)?.strip_prefix(b"://")?;
    text[..4].eq_ignore_ascii_case(b"msrp").then_some((secure, rest))
}

type Authority<'a> = (Option<&'a [u8]>, &'a [u8], Option<u16>);

fn split_authority(authority: &[u8]) -> Result<Authority<'_>, UriError> {
    let (userinfo, rest) = match authority.iter().position(|octet| *octet == b'@') {
        Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
        None => (None, authority),
    };
    if userinfo.is_some_and(|user| !is_name(user)) {
        return Err(UriError::Userinfo);
    }
    let (host, port) = match rest.strip_prefix(b"[") {
        Some(literal) => {
            let end = literal.iter().position(|octet| *octet == b']').ok_or(UriError::Host)?;
            ipv6(&literal[..end]).ok_or(UriError::Host)?;
            (&literal[..end], &literal[end + 1..])
        }
        None => {
            let end = rest.iter().position(|octet| *octet == b':').unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
    };
    if host.is_empty() || !(rest.starts_with(b"[") || is_name(host)) {
        return Err(UriError::Host);
    }
    match port.split_first() {
        None => Ok((userinfo, host, None)),
        Some((b':', digits)) => Ok((userinfo, host, Some(port_number(digits)?))),
        Some(_) => Err(UriError::Host),
    }
}

fn port_number(digits: &[u8]) -> Result<u16, UriError> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(UriError::Port);
    }
    let value = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(value).map_err(|_| UriError::Port)
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Unreserved, sub-delimiters (without `;`, which ends the authority) and complete escapes: what a
/// registered name or a userinfo without password is made of (RFC 3986 §3.2).
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((octet, tail)) = rest.split_first() {
        rest = match octet {
            b'%' => match tail {
                [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
                _ => return false,
            },
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => tail,
            octet if is_unreserved(*octet) => tail,
            _ => return false,
        };
    }
    true
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

fn is_session_id(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'+' | b'=' | b'/')
}

/// `name` or `name=value`, both tokens (RFC 4975 §9).
fn is_param(text: &[u8]) -> bool {
    let mut halves = text.splitn(2, |octet| *octet == b'=');
    halves.all(|half| !half.is_empty() && half.iter().all(|octet| is_token(*octet)))
}

/// The characters of a token (RFC 4975 §9).
pub(super) fn is_token(octet: u8) -> bool {
    matches!(octet, 0x21 | 0x23..=0x27 | 0x2a | 0x2b | 0x2d | 0x2e | 0x30..=0x39 | 0x41..=0x5a | 0x5e..=0x7e)
}

fn same_host(one: &[u8], other: &[u8]) -> bool {
    // Only an IPv6 address has a colon here, and only it has more than one spelling.
    if one.contains(&b':') || other.contains(&b':') {
        return ipv6(one).is_some_and(|one| ipv6(other) == Some(one));
    }
    Plain(one).eq(Plain(other))
}

/// The octets of a name in lower case, escapes of unreserved characters undone.
struct Plain<'a>(&'a [u8]);

impl Iterator for Plain<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
            && let Ok(octet) = u8::try_from(high * 16 + low)
            && is_unreserved(octet)
        {
            self.0 = rest;
            return Some(octet.to_ascii_lowercase());
        }
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(octet.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> MsrpUri<'_> {
        MsrpUri::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn a_uri_is_taken_apart() {
        // MSRP-URI-01, MSRP-URI-04
        let uri = parsed("msrps://alice@chat.example.com:2855/a/B-9._~+=;tcp;x;y=z");
        assert_eq!(uri.userinfo, Some(&b"alice"[..]));
        assert_eq!((uri.secure, uri.host, uri.port), (true, &b"chat.example.com"[..], Some(2855)));
        assert_eq!((uri.session_id, uri.transport), (Some(&b"a/B-9._~+="[..]), &b"tcp"[..]));
        assert_eq!(uri.params, b"x;y=z");
        let uri = parsed("MSRP://[2001:db8::1]:9/s;ws");
        assert_eq!((uri.secure, uri.host, uri.port), (false, &b"2001:db8::1"[..], Some(9)));
        assert_eq!(uri.transport, b"ws");
        let uri = parsed("msrps://relay.example.com;tcp");
        assert_eq!((uri.port, uri.session_id, uri.params), (None, None, &b""[..]));
        assert_eq!(parsed("msrp://192.0.2.1:65535/s;tcp").port, Some(65_535));
        assert_eq!(parsed("msrp://a%20b!$&'()*+,=@h%2d:1/s;tcp").host, b"h%2d");
    }

    #[test]
    fn what_is_no_uri_says_where_it_fails() {
        // MSRP-URI-01
        for (text, why) in [
            ("", UriError::Scheme),
            ("msr", UriError::Scheme),
            ("msrp", UriError::Scheme),
            ("msrp:/h/s;tcp", UriError::Scheme),
            ("sip://h:1/s;tcp", UriError::Scheme),
            ("msrpss://h:1/s;tcp", UriError::Scheme),
            (" msrp://h:1/s;tcp", UriError::Scheme),
            ("msrp://user:pw@h:1/s;tcp", UriError::Userinfo),
            ("msrp://us er@h:1/s;tcp", UriError::Userinfo),
            ("msrp://a@b@h:1/s;tcp", UriError::Host),
            ("msrp://:1/s;tcp", UriError::Host),
            ("msrp:///s;tcp", UriError::Host),
            ("msrp://h%2:1/s;tcp", UriError::Host),
            ("msrp://h<:1/s;tcp", UriError::Host),
            ("msrp://[::1:1/s;tcp", UriError::Host),
            ("msrp://[::g]:1/s;tcp", UriError::Host),
            ("msrp://[fe80::1%25eth0]:1/s;tcp", UriError::Host),
            ("msrp://[::1]x:1/s;tcp", UriError::Host),
            ("msrp://[]:1/s;tcp", UriError::Host),
            ("msrp://::1:1/s;tcp", UriError::Host),
            ("msrp://h:/s;tcp", UriError::Port),
            ("msrp://h:65536/s;tcp", UriError::Port),
            ("msrp://h:000001/s;tcp", UriError::Port),
            ("msrp://h:-1/s;tcp", UriError::Port),
            ("msrp://h:1:2/s;tcp", UriError::Port),
            ("msrp://h:1/;tcp", UriError::SessionId),
            ("msrp://h:1/a b;tcp", UriError::SessionId),
            ("msrp://h:1/a%20;tcp", UriError::SessionId),
            ("msrp://h:1/a@b;tcp", UriError::SessionId),
            ("msrp://h:1/s", UriError::Transport),
            ("msrp://h:1", UriError::Transport),
            ("msrp://h:1/s;", UriError::Transport),
            ("msrp://h:1/s;t-p", UriError::Transport),
            ("msrp://h:1/s;tcp ", UriError::Transport),
            ("msrp://h:1/s;tcp;", UriError::Param),
            ("msrp://h:1/s;tcp;a=", UriError::Param),
            ("msrp://h:1/s;tcp;=b", UriError::Param),
            ("msrp://h:1/s;tcp;a=b=c", UriError::Param),
            ("msrp://h:1/s;tcp;a b", UriError::Param),
        ] {
            assert_eq!(MsrpUri::parse(text.as_bytes()), Err(why), "{text}");
        }
    }

    #[test]
    fn no_cut_of_a_uri_is_out_of_bounds() {
        let text = b"msrps://al%41ice@[2001:db8::1]:2855/a/B;tcp;x;y=z";
        for end in 0..text.len() {
            let _ = MsrpUri::parse(&text[..end]);
            let _ = only_session_id(&text[..end]);
        }
    }

    #[test]
    fn equality_follows_the_truth_table() {
        // MSRP-URI-03
        let base = "msrps://chat.example.com:2855/AbC;tcp";
        for (one, other, same) in [
            (base, base, true),
            (base, "MSRPS://chat.example.com:2855/AbC;tcp", true),
            (base, "msrps://CHAT.Example.com:2855/AbC;tcp", true),
            (base, "msrps://chat.example.com:2855/AbC;TCP", true),
            (base, "msrps://alice@chat.example.com:2855/AbC;tcp", true),
            (base, "msrps://chat.example.com:2855/AbC;tcp;x=y", true),
            (base, "msrps://ch%61t.ex%41mple.com:2855/AbC;tcp", true),
            (base, "msrps://chat%2Eexample.com:2855/AbC;tcp", true),
            (base, "msrp://chat.example.com:2855/AbC;tcp", false),
            (base, "msrps://chat.example.org:2855/AbC;tcp", false),
            (base, "msrps://chat.example.com.:2855/AbC;tcp", false),
            (base, "msrps://chat.example.com:2856/AbC;tcp", false),
            (base, "msrps://chat.example.com/AbC;tcp", false),
            (base, "msrps://chat.example.com:2855/abc;tcp", false),
            (base, "msrps://chat.example.com:2855/AbC/;tcp", false),
            (base, "msrps://chat.example.com:2855;tcp", false),
            (base, "msrps://chat.example.com:2855/AbC;ws", false),
            ("msrp://[::1]:1/s;tcp", "msrp://[0:0:0:0:0:0:0:1]:1/s;tcp", true),
            ("msrp://[2001:DB8::a]:1/s;tcp", "msrp://[2001:db8:0::A]:1/s;tcp", true),
            ("msrp://[::1]:1/s;tcp", "msrp://[::2]:1/s;tcp", false),
            ("msrp://[::1]:1/s;tcp", "msrp://localhost:1/s;tcp", false),
            ("msrp://192.0.2.1:1/s;tcp", "msrp://192.0.2.1:1/s;tcp", true),
            ("msrp://192.0.2.1:1/s;tcp", "msrp://[::ffff:192.0.2.1]:1/s;tcp", false),
            ("msrp://a%2Fb:1/s;tcp", "msrp://a%2fb:1/s;tcp", true),
            ("msrp://a%2Fb:1/s;tcp", "msrp://a%2cb:1/s;tcp", false),
            ("msrp://h:01/s;tcp", "msrp://h:1/s;tcp", true),
            ("msrp://h;tcp", "msrp://h;tcp", true),
        ] {
            assert_eq!(parsed(one).same(&parsed(other)), same, "{one} {other}");
            assert_eq!(parsed(other).same(&parsed(one)), same, "{other} {one}");
        }
    }

    #[test]
    fn a_path_lists_its_uris_from_the_next_hop_to_the_far_end() {
        // MSRP-URI-06
        let uris: Vec<_> = path(b"msrp://a:1/x;tcp  msrp://b:2/y;tcp msrp://c:3/z;tcp").collect();
        assert_eq!(uris, [&b"msrp://a:1/x;tcp"[..], b"msrp://b:2/y;tcp", b"msrp://c:3/z;tcp"]);
        assert_eq!(path(b"").count(), 0);
    }

    #[test]
    fn only_a_path_of_one_uri_names_a_session() {
        // MSRP-URI-07
        for (value, id) in [
            ("msrps://chat.example.com:2855/Yk3m8;tcp", Some("Yk3m8")),
            ("MSRP://[::1]:2855/a/b=;tcp;x=y", Some("a/b=")),
            ("msrp://u@h/s;ws", Some("s")),
            ("msrps://chat.example.com:2855/Yk3m8;tcp msrp://b:1/s;tcp", None),
            ("msrps://chat.example.com:2855/Yk3m8;tcp;x y", None),
            ("msrps://chat.example.com:2855;tcp msrp://b:1/s;tcp", None),
            ("msrps://chat.example.com:2855;tcp;a/b;tcp", None),
            ("msrps://chat.example.com:2855/;tcp", None),
            ("msrps://chat.example.com:2855/Yk3m8", None),
            ("msrps://chat.example.com:2855/Yk3 m8;tcp", None),
            ("sip://chat.example.com:2855/Yk3m8;tcp", None),
            ("", None),
        ] {
            assert_eq!(only_session_id(value.as_bytes()), id.map(str::as_bytes), "{value}");
        }
    }
}
