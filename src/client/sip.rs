//! Reading and writing SIP messages as a client needs it (RFC 3261 §7).
//!
//! Touches: nothing. The reader is rsipstack's; what it is too lax about and what would hurt a client
//! (framing of a TCP stream, addresses that carry line ends) is done here. Bounds: [`STREAM_BYTES_MAX`].
//! Proved by: the tests below and those of `agent.rs`.

use crate::base::address::Address;
use rsipstack::sip::{Header, SipMessage};

/// Octets of one SIP message on a TCP stream. A roster of 10,000 participants is about 4 MiB, so
/// this is more than what a server takes. Beyond: the connection is given up.
pub(super) const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Octets of the head of such a message. Beyond: the connection is given up.
const STREAM_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Who wants to be nobody in particular (RFC 3323 §4.1.1.3).
pub(super) const NOBODY: &str = "sip:anonymous@anonymous.invalid";

/// Whether an address stands for nobody in particular.
pub(super) fn is_nobody(address: &str) -> bool {
    Address::parse(address).is_ok_and(|a| a.host() == "anonymous.invalid")
}

/// The first line of a message.
#[derive(Debug)]
pub(super) enum Line {
    /// A request and its method.
    Request(String),
    /// A response: code and phrase.
    Response(u16, String),
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Request or response.
    pub(super) line: Line,
    headers: Vec<Header>,
    /// The body, as long as Content-Length says and at most as long as what came.
    pub(super) body: Vec<u8>,
}

impl Incoming {
    /// Reads a whole message; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match SipMessage::try_from(bytes).ok()? {
            SipMessage::Request(r) => {
                Some(Self { line: Line::Request(r.method.to_string()), headers: r.headers.0, body: r.body })
            }
            SipMessage::Response(r) => {
                let phrase = r.wire_reason.unwrap_or_else(|| r.status_code.text().to_string());
                let line = Line::Response(r.status_code.code(), phrase);
                Some(Self { line, headers: r.headers.0, body: r.body })
            }
        }
    }

    /// The value of the first header of this name.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all headers of this name, in order.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |h| h.name().eq_ignore_ascii_case(name)).map(Header::value)
    }

    /// CSeq: number and method.
    pub(super) fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.trim().split_once([' ', '\t'])?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The answer to this request. `tag` is appended to To where it has none.
    pub(super) fn response(&self, code: u16, phrase: &str, tag: &str, extra: &str) -> Vec<u8> {
        let mut out = format!("SIP/2.0 {code} {phrase}\r\n");
        for via in self.all("Via") {
            out += &format!("Via: {via}\r\n");
        }
        let to = self.header("To").unwrap_or_default();
        let to_tag = if param(to, "tag").is_some() { String::new() } else { format!(";tag={tag}") };
        out += &format!(
            "From: {}\r\nTo: {to}{to_tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}Content-Length: 0\r\n\r\n",
            self.header("From").unwrap_or_default(),
            self.header("Call-ID").unwrap_or_default(),
            self.header("CSeq").unwrap_or_default(),
        );
        out.into_bytes()
    }
}

/// What of an address header follows the display name: from `<`, or all of it.
fn after_display_name(value: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, b) in value.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return &value[at..],
            _ => {}
        }
    }
    value
}

/// The URI of an address header (From, To, Contact), without display name and header parameters.
pub(super) fn uri(value: &str) -> &str {
    let rest = after_display_name(value);
    match rest.strip_prefix('<') {
        Some(inner) => inner.split('>').next().unwrap_or_default(),
        None => rest.split([';', ',']).next().unwrap_or_default(),
    }
    .trim()
}

/// A parameter of a header: of an address header, those behind the address.
pub(super) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let rest = after_display_name(value);
    let rest = match rest.strip_prefix('<') {
        Some(inner) => inner.split_once('>')?.1,
        None => rest,
    };
    rest.split(';').skip(1).find_map(|p| {
        let (key, val) = p.split_once('=').unwrap_or((p, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| val.trim().trim_matches('"'))
    })
}

/// A URI without a parameter of this name.
pub(super) fn without_param(uri: &str, name: &str) -> String {
    let (address, headers) = uri.split_at(uri.find('?').unwrap_or(uri.len()));
    let (begin, params) = address.split_at(address.find('@').unwrap_or(0));
    let key = |param: &&str| param.split('=').next().is_some_and(|key| key.eq_ignore_ascii_case(name));
    let kept: Vec<&str> = params.split(';').filter(|param| !key(param)).collect();
    format!("{begin}{}{headers}", kept.join(";"))
}

/// The entries of a header that may hold several addresses, as Record-Route does.
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    value
        .split(move |c| {
            inside = (inside || c == '<') && c != '>';
            c == ',' && !inside
        })
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// The words of a `Reason` or `Warning` header that are meant for a person.
pub(super) fn quoted_text(value: &str) -> Option<String> {
    let (_, rest) = value.split_once('"')?;
    let (text, _) = rest.rsplit_once('"')?;
    Some(text.replace("\\\"", "\""))
}

/// Whether `uri` may stand in a request line and between angle brackets.
pub(super) fn is_sip_uri(uri: &str) -> bool {
    let scheme = uri.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("sip:")) || is_sips(uri);
    scheme && uri.len() < 1024 && uri.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
}

/// Whether `uri` demands TLS on every hop (RFC 3261 §26.2.2).
pub(super) fn is_sips(uri: &str) -> bool {
    uri.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("sips:"))
}

/// A display name as a quoted string; control characters are left out.
pub(super) fn quote(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars().filter(|c| !c.is_control()) {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// What the octets of a TCP stream hold at their beginning.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// Not a whole message yet.
    Partial,
    /// A message from the first to before the second position.
    Whole(usize, usize),
    /// Nothing that can be followed further: no length, or too long.
    Broken,
}

/// Finds the first message of a stream (RFC 3261 §18.3). Line ends before it are keep-alives (RFC 5626).
pub(super) fn frame(stream: &[u8]) -> Framed {
    let start = stream.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let message = &stream[start..];
    let Some(end) = memchr::memmem::find(message, b"\r\n\r\n") else {
        return if message.len() > STREAM_HEAD_BYTES_MAX { Framed::Broken } else { Framed::Partial };
    };
    match content_length(&message[..end]) {
        Some(length) if length <= STREAM_BYTES_MAX => {
            let whole = end + 4 + length;
            if message.len() < whole { Framed::Partial } else { Framed::Whole(start, start + whole) }
        }
        _ => Framed::Broken,
    }
}

/// The one Content-Length of a head; `None` if it is missing, unreadable or there are two different.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut found = None;
    for line in head.split(|&b| b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).ok()?;
            let length: usize = value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()))?;
            if found.is_some_and(|f| f != length) {
                return None;
            }
            found = Some(length);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_behind_the_address() {
        let value = r#""A <b>;tag=no \" x" <sip:a@b;tag=inner>;tag=T1;x"#;
        assert_eq!(param(value, "tag"), Some("T1"));
        assert_eq!(param(value, "x"), Some(""));
        assert_eq!(uri(value), "sip:a@b;tag=inner");
        assert_eq!(param("sip:a@b;tag=T2", "TAG"), Some("T2"));
        assert_eq!(uri("sip:a@b;tag=T2"), "sip:a@b");
        assert_eq!(param("<sip:a@b", "tag"), None);
    }

    #[test]
    fn a_parameter_is_left_out_and_nothing_else() {
        for (uri, expected) in [
            ("sip:board@x;room-password=12;a=b", "sip:board@x;a=b"),
            ("sip:board@x;a=b;ROOM-PASSWORD=12?h=i", "sip:board@x;a=b?h=i"),
            ("sip:board@x;room-passwords=12", "sip:board@x;room-passwords=12"),
            ("sip:room-password@x:5070", "sip:room-password@x:5070"),
            ("sip:x", "sip:x"),
        ] {
            assert_eq!(without_param(uri, "room-password"), expected, "{uri}");
        }
    }

    #[test]
    fn a_list_is_cut_at_commas_outside_of_addresses() {
        let found: Vec<_> = list("<sip:a,b@c;lr>, <sip:d;lr>;x=1 ,").collect();
        assert_eq!(found, ["<sip:a,b@c;lr>", "<sip:d;lr>;x=1"]);
    }

    #[test]
    fn a_stream_is_framed_wherever_it_is_cut() {
        let message = b"SIP/2.0 200 OK\r\nVia: x\r\nl: 3\r\n\r\nabc";
        let mut stream = b"\r\n\r\n".to_vec();
        stream.extend_from_slice(message);
        for cut in 0..stream.len() {
            assert_eq!(frame(&stream[..cut]), Framed::Partial, "{cut}");
        }
        stream.extend_from_slice(b"SIP/2.0");
        assert_eq!(frame(&stream), Framed::Whole(4, 4 + message.len()));
    }

    #[test]
    fn a_stream_without_one_readable_length_is_broken() {
        for head in ["A: b", "l: x", "l: -1", "l: 1\r\nContent-Length: 2", "l: 99999999999", "l: +3"] {
            let text = format!("BYE sip:a SIP/2.0\r\n{head}\r\n\r\n");
            assert_eq!(frame(text.as_bytes()), Framed::Broken, "{head}");
        }
        assert_eq!(frame(&vec![b'x'; STREAM_HEAD_BYTES_MAX + 1]), Framed::Broken);
    }

    #[test]
    fn addresses_that_would_break_a_head_are_no_addresses() {
        for bad in ["", "sip", "tel:1", "sip:a b", "sip:a\r\nX: y", "sip:a>", "sip:\u{e9}@b"] {
            assert!(!is_sip_uri(bad), "{bad}");
        }
        assert!(is_sip_uri("sip:lobby@chat.example.com;x=y") && is_sip_uri("SIPS:a@b"));
        assert_eq!(quote("A \"B\" \\ C\r\nX: y"), r#""A \"B\" \\ CX: y""#);
    }
}
