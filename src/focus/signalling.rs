//! What the focus needs from a SIP stack, as plain values: requests in, responses and requests out.
//!
//! Nothing here knows a library or a socket; `control/sip.rs` translates. Header names are kept in
//! their long spelling, header values unfolded and trimmed, in the order of the message.
//!
//! Bounds: a [`Request`] is made by `strict.rs` from at most `limits::SIP_MESSAGE_BYTES_MAX` octets.
//! Proof: the tests below and the table in `tests/torture/sip`.

use crate::base::id::Token;
use crate::base::octets::{Octets, halves};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A method that this server knows by name (RFC 3261 §7.1 and extensions).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Subscribe,
    Notify,
    Refer,
    Register,
    Message,
    Info,
    Update,
    Prack,
    Publish,
}

impl Method {
    const ALL: [Self; 14] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::Subscribe,
        Self::Notify,
        Self::Refer,
        Self::Register,
        Self::Message,
        Self::Info,
        Self::Update,
        Self::Prack,
        Self::Publish,
    ];

    /// The method's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Register => "REGISTER",
            Self::Message => "MESSAGE",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
        }
    }

    /// Reads a method; case matters (RFC 3261 §7.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == text)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl Transport {
    /// As Via writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Where a request came from, and so how the dialog it makes can be reached (RFC 5626 calls it a flow).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Datagrams or a stream.
    pub transport: Transport,
    /// Names the connection, or for UDP the listening socket.
    pub link: u64,
    /// The far end.
    pub peer: SocketAddr,
    /// `host:port` of the listener, as we call ourselves in Via and Contact.
    pub local: Arc<str>,
}

/// Header lines in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Cow<'static, str>, Box<str>)>);

/// The name as it stands in the program, if it is one of those that every call has: nothing is copied then.
fn known(name: &str) -> Option<&'static str> {
    let of_this_length: &[&'static str] = match name.len() {
        2 => &["To"],
        3 => &["Via"],
        4 => &["From", "CSeq"],
        5 => &["Allow", "Event"],
        6 => &["Accept", "Server", "Min-SE"],
        7 => &["Call-ID", "Contact", "Expires"],
        9 => &["Supported"],
        10 => &["User-Agent"],
        12 => &["Content-Type", "Max-Forwards", "Record-Route"],
        14 => &["Content-Length"],
        15 => &["Session-Expires"],
        18 => &["Subscription-State"],
        _ => &[],
    };
    of_this_length.iter().find(|n| **n == name).copied()
}

impl Headers {
    /// None yet, and room for so many.
    #[must_use]
    pub fn with_capacity(lines: usize) -> Self {
        Self(Vec::with_capacity(lines))
    }

    /// Appends a line.
    pub fn push(&mut self, name: &str, value: impl Into<Box<str>>) {
        let name = known(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        self.0.push((name, value.into()));
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// All lines, given away.
    pub fn into_lines(self) -> impl Iterator<Item = (Cow<'static, str>, Box<str>)> {
        self.0.into_iter()
    }

    /// The value of the first line called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all lines called `name`.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The elements of all lines called `name`, split at commas outside quotes and angle brackets.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.all(name).flat_map(|v| split(v, b',')).filter(|v| !v.is_empty()).collect()
    }

    /// Replaces the value of the first line called `name`, if there is one.
    pub fn set(&mut self, name: &str, value: impl Into<Box<str>>) {
        if let Some(line) = self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            line.1 = value.into();
        }
    }
}

/// A request that `strict.rs` found sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI, as it stood.
    pub uri: Box<str>,
    /// The header lines.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.headers.get("Call-ID").unwrap_or("")
    }

    /// The number of CSeq.
    #[must_use]
    pub fn cseq(&self) -> u32 {
        let value = self.headers.get("CSeq").unwrap_or("");
        value.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// The tag of From.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        tag(self.headers.get("From")?)
    }

    /// The tag of To: present in a request inside a dialog.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        tag(self.headers.get("To")?)
    }

    /// The media type of the body, without parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        Some(self.headers.get("Content-Type")?.split(';').next()?.trim())
    }

    /// Whether Accept allows `media_type`; `absent` is the answer if there is no Accept.
    #[must_use]
    pub fn accepts(&self, media_type: &str, absent: bool) -> bool {
        if self.headers.get("Accept").is_none() {
            return absent;
        }
        let family = media_type.split('/').next().unwrap_or("");
        self.headers.list("Accept").into_iter().any(|entry| {
            let entry = entry.split(';').next().unwrap_or("").trim();
            entry.eq_ignore_ascii_case(media_type)
                || entry == "*/*"
                || entry.strip_suffix("/*").is_some_and(|f| f.eq_ignore_ascii_case(family))
        })
    }
}

/// A response to a request of a peer. Via, From, To, Call-ID and CSeq are copied by whoever sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code.
    pub code: u16,
    /// The tag that To gets if it has none; chosen by the sender of the response if `None`.
    pub to_tag: Option<Box<str>>,
    /// The header lines besides those copied.
    pub headers: Headers,
    /// The body, empty if there is none.
    pub body: String,
}

impl Response {
    /// A response without more than its code.
    #[must_use]
    pub fn new(code: u16) -> Self {
        Self { code, to_tag: None, headers: Headers::default(), body: String::new() }
    }

    /// With a further header line.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Box<str>>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a tag for To.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Self {
        self.to_tag = Some(tag.into());
        self
    }

    /// With a body of this media type.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: String) -> Self {
        self.headers.push("Content-Type", media_type);
        self.body = body;
        self
    }
}

/// The final answer to a request of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The status code; 408 if none came, 503 if the request could not be sent.
    pub code: u16,
    /// The header lines.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Where the request went.
    pub peer: Option<SocketAddr>,
}

impl Reply {
    /// An answer of which only the code is known.
    #[must_use]
    pub fn bare(code: u16) -> Self {
        Self { code, headers: Headers::default(), body: Vec::new(), peer: None }
    }
}

/// A request of ours inside a dialog. Via and Content-Length are added by whoever sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Box<str>,
    /// The URI that says where to send it, unless the flow is a connection that still lives.
    pub hop: Box<str>,
    /// The flow of the dialog.
    pub flow: Flow,
    /// The header lines.
    pub headers: Headers,
    /// The body, or its beginning.
    pub body: String,
    /// The rest of the body, if it is shared with other requests.
    pub rest: Option<Arc<str>>,
    /// What makes the branch of Via unique, without its magic cookie.
    pub branch: Token,
}

impl Outgoing {
    /// Octets of the body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.body.len() + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    /// The body in one piece.
    #[must_use]
    pub fn whole_body(&self) -> String {
        let mut body = String::with_capacity(self.body_len());
        body.push_str(&self.body);
        body.push_str(self.rest.as_deref().unwrap_or_default());
        body
    }
}

/// The standard phrase of a status code.
#[must_use]
pub fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        401 => "Unauthorized",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        406 => "Not Acceptable",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        606 => "Not Acceptable",
        _ => "Unknown",
    }
}

/// `name-addr` or `addr-spec` with header parameters (RFC 3261 §25.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name, unquoted; empty if there is none.
    pub display: Cow<'a, str>,
    /// The URI.
    pub uri: &'a str,
    /// What follows: `;tag=...;...`, possibly empty.
    pub params: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads one header value strictly: quotes balance, no blank inside the angle brackets, display
    /// names without quotes are tokens, a URI without brackets has neither `?`, `;` nor `,`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_ascii();
        let (display, rest) = if let Some(quoted) = text.strip_prefix('"') {
            let (display, end) = unquote(quoted)?;
            (display, quoted[end..].trim_start())
        } else if let Some(angle) = memchr::memchr(b'<', text.as_bytes()) {
            let name = text[..angle].trim();
            // Letters beyond ASCII ought to be quoted, and often are not.
            let may_stand = |b: u8| !b.is_ascii() || b.is_ascii_whitespace() || TOKEN.has(b);
            if !name.bytes().all(may_stand) {
                return None;
            }
            (Cow::Borrowed(name), &text[angle..])
        } else {
            let end = text.find(';').unwrap_or(text.len());
            let (uri, params) = (text[..end].trim_end(), &text[end..]);
            let bare = is_uri(uri) && !uri.contains(['?', ',']);
            return (bare && params_are_sound(params)).then_some(Self {
                display: Cow::Borrowed(""),
                uri,
                params,
            });
        };
        let (uri, params) = halves(rest.strip_prefix('<')?, b'>')?;
        let params = params.trim_ascii();
        (is_uri(uri) && params_are_sound(params)).then_some(Self { display, uri, params })
    }

    /// The value of the header parameter `name`; empty if it has none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }
}

/// The value of `name` in `;name=value;name`.
#[must_use]
pub fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    split(params, b';').find_map(|p| {
        let (n, v) = halves(p, b'=').unwrap_or((p, ""));
        n.trim_ascii().eq_ignore_ascii_case(name).then_some(v.trim_ascii())
    })
}

/// The parts of a SIP URI that routing needs (RFC 3261 §19.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SipUri<'a> {
    /// Before the `@`, still escaped, without password; empty if there is none.
    pub user: &'a str,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: &'a str,
    /// The port, if it is written.
    pub port: Option<u16>,
    /// `;name=value...`, possibly empty.
    pub params: &'a str,
}

impl<'a> SipUri<'a> {
    /// Reads `sip:` and `sips:` URIs; `None` for anything else.
    #[must_use]
    pub fn parse(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = halves(uri, b':')?;
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return None;
        }
        // The user part may hold ';' and '?', so it is cut off first.
        let (userinfo, rest) = halves(rest, b'@').unwrap_or(("", rest));
        let user = halves(userinfo, b':').map_or(userinfo, |(user, _)| user);
        let rest = halves(rest, b'?').map_or(rest, |(before, _)| before);
        let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (hostport, params) = rest.split_at(end);
        let (host, port) = host_port(hostport)?;
        Some(Self { user, host, port, params })
    }

    /// The value of a URI parameter; empty if it has none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
#[must_use]
pub fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(v6) = text.strip_prefix('[') {
        let (host, after) = v6.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else {
        let (host, port) = halves(text, b':').map_or((text, None), |(h, p)| (h, Some(p)));
        if host.is_empty() || !HOST.have_all(host.as_bytes()) {
            return None;
        }
        (host, port)
    };
    match port {
        None => Some((host, None)),
        Some(p) if !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(p.parse().ok()?)))
        }
        Some(_) => None,
    }
}

/// The tag of a From or To value.
pub(super) fn tag(value: &str) -> Option<&str> {
    NameAddr::parse(value)?.param("tag")
}

/// Splits at `at`, an ASCII character, outside quotes and angle brackets, trimming each piece.
pub fn split(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut left = Some(text);
    std::iter::from_fn(move || {
        let text = left?;
        let end = separator(text, at);
        left = end.map(|i| &text[i + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
}

/// Where the first `at` outside quotes and angle brackets is.
fn separator(text: &str, at: u8) -> Option<usize> {
    // Most texts have neither quotes nor brackets before it.
    let first = memchr::memchr3(at, b'"', b'<', text.as_bytes())?;
    if text.as_bytes()[first] == at {
        return Some(first);
    }
    let (mut quoted, mut angle, mut escaped) = (false, false, false);
    let rest = text.bytes().enumerate().skip(first);
    let mut separators = rest.filter(|&(_, b)| {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b => return b == at && !quoted && !angle,
        }
        false
    });
    separators.next().map(|(i, _)| i)
}

/// Reads up to the closing quote; says what stood there and where it ends.
fn unquote(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let first = memchr::memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes()[first] == b'"' {
        return Some((Cow::Borrowed(&text[..first]), first + 1));
    }
    let (mut out, mut escaped) = (String::new(), false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => {
                out.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((Cow::Owned(out), i + 1)),
            c => out.push(c),
        }
    }
    None
}

/// The octets of a token (RFC 3261 §25.1).
const TOKEN: Octets = Octets::alphanumeric_and(b"-.!%*_+`'~");

/// The octets of a URI: all that can be seen but a few.
const URI: Octets = Octets::alphanumeric_and(b"!#$%&'()*+,-./:;=?@[]_~");

/// The octets of a host name or an IPv4 address, tolerantly.
const HOST: Octets = Octets::alphanumeric_and(b"-._");

/// Whether `text` is a token (RFC 3261 §25.1).
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && TOKEN.have_all(text.as_bytes())
}

/// Whether `text` has a scheme and only octets that a URI may have.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = halves(text, b':') else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_ok && !rest.is_empty() && URI.have_all(rest.as_bytes())
}

/// Header parameters: each `;` is followed by a name that is a token.
fn params_are_sound(params: &str) -> bool {
    if params.is_empty() {
        return true;
    }
    let Some(rest) = params.strip_prefix(';') else { return false };
    let mut names = split(rest, b';').map(|p| halves(p, b'=').map_or(p, |(name, _)| name.trim_ascii_end()));
    names.all(is_token)
        && (memchr::memchr(b'"', rest.as_bytes()).is_none()
            || rest.matches('"').count() % 2 == rest.matches("\\\"").count() % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_apart() {
        // SIP-PARSE-01
        let full = NameAddr::parse(r#""Mr \"Big\" <x>" <sip:a@b.c;x=y?h=1>;tag=1 ; expires="3;4" "#).unwrap();
        assert_eq!((&*full.display, full.uri), ("Mr \"Big\" <x>", "sip:a@b.c;x=y?h=1"));
        assert_eq!(
            (full.param("TAG"), full.param("expires"), full.param("q")),
            (Some("1"), Some("\"3;4\""), None)
        );
        let bare = NameAddr::parse("sip:a@b.c;tag=7").unwrap();
        assert_eq!((bare.uri, bare.param("tag")), ("sip:a@b.c", Some("7")));
        assert_eq!(NameAddr::parse("Alice B <tel:+49>").unwrap().display, "Alice B");
        assert_eq!(NameAddr::parse("Jürgen <sip:j@y>").unwrap().display, "Jürgen");
        assert_eq!(NameAddr::parse("<sip:x@y>").unwrap().params, "");
    }

    #[test]
    fn broken_addresses_are_refused() {
        // SIP-PARSE-02: quotbal, badaspec, baddn, regbadct, badinv01
        for text in [
            r#""Mr. J. User <sip:j.user@example.com>"#,
            r#""Watson, Thomas" < sip:t.watson@example.org >"#,
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            r#""Joe" <sip:joe@example.org>;;;;"#,
            "<sip:a@b.c",
            "<>",
            "",
            "nothing",
            "<sip:ä@b.c>",
        ] {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sip_uris_give_user_host_port_and_parameters() {
        let uri = SipUri::parse("sip:a;b=c:pw@[2001:db8::1]:5070;transport=tcp;lr?x=y").unwrap();
        assert_eq!((uri.user, uri.host, uri.port), ("a;b=c", "2001:db8::1", Some(5070)));
        assert_eq!(
            (uri.param("transport"), uri.param("lr"), uri.param("maddr")),
            (Some("tcp"), Some(""), None)
        );
        assert_eq!(SipUri::parse("SIP:chat.example.com").unwrap().user, "");
        for text in ["tel:+1", "sip:", "sip:a@", "sip:a@b:x", "sip:a@b:70000", "sip:a@[::g]"] {
            assert_eq!(SipUri::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_split_outside_quotes() {
        let mut headers = Headers::default();
        headers.push("Route", "<sip:a,b@c;lr>, \"x, y\" <sip:d>");
        headers.push("route", "<sip:e>");
        assert_eq!(headers.list("Route"), ["<sip:a,b@c;lr>", "\"x, y\" <sip:d>", "<sip:e>"]);
    }

    #[test]
    fn methods_are_compared_with_case() {
        assert_eq!(Method::parse("INVITE"), Some(Method::Invite));
        assert_eq!(Method::parse("invite"), None);
    }
}
