//! What a SIP message must be before anything believes it (SIP-PARSE-02, SIP-PARSE-03).
//!
//! [`read`] takes one whole message (a datagram, or what `stream.rs` cut out of a stream) and gives a
//! sound [`Message`] or a [`Fault`] that knows the answer. A sound request is then written anew by
//! [`encode`] for the library behind `control/sip.rs`, so that the lenient parser there sees canonical
//! text only: long header names, unfolded lines, one Via per line, an exact body.
//!
//! Order of the checks: what can be read at all (400), version (505), method (501), URI scheme (416).
//! What needs a dialog or a room (404, 405, 406, 415, 420, 481, 482) is the business of `mod.rs`.
//! Max-Forwards 0 is fine here: we are an endpoint and forward nothing (RFC 4475 §3.3.11).
//!
//! Bounds: `limits::SIP_MESSAGE_BYTES_MAX`, `limits::SIP_HEADERS_MAX`; nothing is allocated by a number
//! in the message. Proof: the tests below, and RFC 4475 in `tests/torture.rs`.

use super::signalling::{
    Headers, Method, NameAddr, Request, SipUri, host_port, is_token, is_uri, phrase, split,
};
use crate::base::decimal::{push_ip, push_number};
use crate::base::limits;
use crate::base::octets::{Octets, halves, plain};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A sound message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response to one of our requests.
    Response {
        /// The status code, 100 to 699.
        code: u16,
        /// The header lines.
        headers: Headers,
        /// The body.
        body: Vec<u8>,
    },
}

/// Why a message was refused, and the answer to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The status code of the answer.
    pub code: u16,
    /// What is wrong, for the log and the reason phrase.
    pub why: &'static str,
    /// What the answer copies from the request; `None` if there must be no answer.
    echo: Option<Headers>,
}

/// The bare verdict: code and reason.
type Verdict<T> = Result<T, (u16, &'static str)>;

/// Reads one message.
///
/// # Errors
/// A [`Fault`] for whatever no sound implementation sends.
pub fn read(raw: &[u8]) -> Result<Message, Fault> {
    let (head, body, unfinished) = cut(raw);
    let head = str::from_utf8(head).map_or_else(|_| String::from_utf8_lossy(head), Cow::Borrowed);
    let (start, lines) = halves(&head, b'\n').unwrap_or((&head, ""));
    let start = start.strip_suffix('\r').unwrap_or(start);
    let (mut headers, flaw) = header_lines(lines);
    let flaw = flaw.or(unfinished);
    if start.starts_with("SIP/") {
        return response(start, headers, flaw, body).map_err(|(code, why)| Fault { code, why, echo: None });
    }
    match request(start, &mut headers, flaw, body) {
        Ok((method, uri, body)) => Ok(Message::Request(Request { method, uri, headers, body })),
        Err((code, why)) => Err(Fault { code, why, echo: echo(start, &headers) }),
    }
}

/// Splits at the empty line. Without one all is head, and flawed.
fn cut(raw: &[u8]) -> (&[u8], &[u8], Option<&'static str>) {
    match memchr::memmem::find(raw, b"\r\n\r\n") {
        Some(at) => (&raw[..at + 2], &raw[at + 4..], None),
        None => (raw, &[], Some("No end of headers")),
    }
}

/// All header lines with long names and unfolded values, and the first flaw met.
fn header_lines(lines: &str) -> (Headers, Option<&'static str>) {
    let mut unfolded: Vec<Cow<'_, str>> = Vec::with_capacity(16);
    let mut flaw = None;
    let mut left = Some(lines);
    while let Some(rest) = left {
        let (line, after) = halves(rest, b'\n').map_or((rest, None), |(line, after)| (line, Some(after)));
        left = after;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with([' ', '\t']) {
            if let Some(last) = unfolded.last_mut() {
                let last = last.to_mut();
                last.push(' ');
                last.push_str(line.trim_ascii());
            }
        } else if !line.is_empty() {
            if unfolded.len() == limits::SIP_HEADERS_MAX {
                flaw = Some("Too many headers");
                break;
            }
            unfolded.push(Cow::Borrowed(line));
        }
    }
    let mut headers = Headers::with_capacity(unfolded.len());
    for line in &unfolded {
        let Some((name, value)) = halves(line, b':') else {
            flaw = flaw.or(Some("Header without colon"));
            continue;
        };
        let name = name.trim_ascii_end();
        if !is_token(name) {
            flaw = flaw.or(Some("Bad header name"));
            continue;
        }
        // Such a line is not echoed either.
        if has_bare_control(value) {
            flaw = flaw.or(Some("Control character in a header"));
            continue;
        }
        let name = long_name(name);
        if name == "Via" {
            // One line each: the top one is changed later, and the library looks at lines.
            for via in split(value, b',') {
                headers.push(name, via);
            }
        } else {
            headers.push(name, value.trim_ascii());
        }
    }
    (headers, flaw)
}

/// Whether a control character stands in a header value as itself. Only a tab may; others are written behind a
/// backslash inside quotes, and CR and LF not even there (RFC 3261 §25.1; RFC 4475 §3.1.1.2 has a NUL so).
fn has_bare_control(value: &str) -> bool {
    if plain(value.as_bytes()) {
        return false;
    }
    let (mut quoted, mut escaped) = (false, false);
    value.chars().any(|c| {
        let behind = escaped;
        escaped = quoted && !behind && c == '\\';
        quoted ^= c == '"' && !behind;
        c.is_ascii_control() && c != '\t' && (!behind || c == '\r')
    })
}

/// The long spelling of a header name (RFC 3261 §7.3.3 and the registry).
fn long_name(name: &str) -> &str {
    if name.len() != 1 {
        return ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Length", "Content-Type"]
            .into_iter()
            .find(|n| n.len() == name.len() && n.eq_ignore_ascii_case(name))
            .unwrap_or(name);
    }
    match name.as_bytes()[0].to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

/// Judges a request, whose headers become canonical; gives its method, URI and body.
fn request(
    start: &str,
    headers: &mut Headers,
    flaw: Option<&'static str>,
    body: &[u8],
) -> Verdict<(Method, Box<str>, Vec<u8>)> {
    let mut parts = start.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err((400, "Bad request line"));
    };
    if !is_token(method) {
        return Err((400, "Bad method"));
    }
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let other = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/"));
        return Err(if other { (505, "Version Not Supported") } else { (400, "Bad request line") });
    }
    if let Some(why) = flaw {
        return Err((400, why));
    }
    common(headers, method)?;
    let Some(method) = Method::parse(method) else { return Err((501, "Not Implemented")) };
    addresses(headers)?;
    numbers(headers)?;
    target(uri)?;
    let body = exact_body(headers, body)?;
    Ok((method, uri.into(), body.to_vec()))
}

fn response(start: &str, mut headers: Headers, flaw: Option<&'static str>, body: &[u8]) -> Verdict<Message> {
    let rest = start.strip_prefix("SIP/2.0 ").ok_or((400, "Bad status line"))?;
    let (code, _phrase) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = match code.parse::<u16>() {
        Ok(n) if code.len() == 3 && (100..700).contains(&n) => n,
        _ => return Err((400, "Bad status code")),
    };
    if let Some(why) = flaw {
        return Err((400, why));
    }
    let method = headers.get("CSeq").and_then(|c| c.split_ascii_whitespace().nth(1)).unwrap_or("").to_owned();
    common(&mut headers, &method)?;
    let body = exact_body(&headers, body)?;
    Ok(Message::Response { code, headers, body: body.to_vec() })
}

/// Headers that stand once; the first of them always.
const ONCE: [&str; 11] = [
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Content-Length",
    "Content-Type",
    "Max-Forwards",
    "Expires",
    "Event",
    "Session-Expires",
    "Min-SE",
];
const ONCE_AND_ALWAYS: usize = 4;

/// Visible characters of ASCII.
const VISIBLE: Octets = Octets::visible_but(b"");

/// What every message has: Via, From, To, Call-ID and CSeq, the last four once (RFC 3261 §8.1.1).
fn common(headers: &mut Headers, method: &str) -> Verdict<()> {
    let mut seen = [false; ONCE.len()];
    for (name, _) in headers.iter() {
        let once = ONCE.iter().position(|once| once.eq_ignore_ascii_case(name));
        if once.is_some_and(|i| std::mem::replace(&mut seen[i], true)) {
            return Err((400, "Repeated header"));
        }
    }
    if !seen[..ONCE_AND_ALWAYS].iter().all(|seen| *seen) {
        return Err((400, "Missing header"));
    }
    let mut top = None;
    for line in headers.all("Via") {
        let via = Via::parse(line).ok_or((400, "Bad Via"))?;
        top.get_or_insert_with(|| (!via.is_canonical(line)).then(|| via.text(0)));
    }
    if let Some(text) = top.ok_or((400, "Missing Via"))? {
        headers.set("Via", text);
    }
    let call_id = headers.get("Call-ID").unwrap_or("");
    let word = VISIBLE.have_all(call_id.as_bytes())
        || !call_id.contains(|c: char| c.is_whitespace() || c.is_control());
    if call_id.is_empty() || !word {
        return Err((400, "Bad Call-ID"));
    }
    let cseq = headers.get("CSeq").unwrap_or("");
    let mut parts = cseq.split_ascii_whitespace();
    let number = parts.next().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    match (number.and_then(|n| n.parse::<u32>().ok()), parts.next(), parts.next()) {
        (Some(n), Some(m), None) if n < 1 << 31 && m == method => {}
        _ => return Err((400, "Bad CSeq")),
    }
    let from = headers.get("From").and_then(NameAddr::parse).ok_or((400, "Bad From"))?;
    if from.param("tag").is_none_or(str::is_empty) {
        return Err((400, "From without tag"));
    }
    headers.get("To").and_then(NameAddr::parse).ok_or((400, "Bad To")).map(|_| ())
}

/// Contact, Route and Record-Route hold addresses.
fn addresses(headers: &Headers) -> Verdict<()> {
    for (name, why) in
        [("Contact", "Bad Contact"), ("Route", "Bad Route"), ("Record-Route", "Bad Record-Route")]
    {
        for line in headers.all(name) {
            let every = name == "Contact" && line == "*";
            if !every && split(line, b',').any(|v| NameAddr::parse(v).is_none()) {
                return Err((400, why));
            }
        }
    }
    Ok(())
}

fn numbers(headers: &Headers) -> Verdict<()> {
    let max_forwards = headers.get("Max-Forwards").map(str::parse::<u8>);
    if matches!(max_forwards, Some(Err(_))) {
        return Err((400, "Bad Max-Forwards"));
    }
    if matches!(headers.get("Expires").map(str::parse::<u32>), Some(Err(_))) {
        return Err((400, "Bad Expires"));
    }
    Ok(())
}

/// The Request-URI: a `sip:` URI without headers (RFC 3261 §19.1.5). `sips:` needs TLS, which this
/// listener has not, so it is refused like a foreign scheme (SIP-TRANS-05).
fn target(uri: &str) -> Verdict<()> {
    if !is_uri(uri) {
        return Err((400, "Bad Request-URI"));
    }
    let scheme = halves(uri, b':').map_or("", |(scheme, _)| scheme);
    if !scheme.eq_ignore_ascii_case("sip") {
        return Err((416, "Unsupported URI Scheme"));
    }
    if uri.contains('?') || SipUri::parse(uri).is_none() {
        return Err((400, "Bad Request-URI"));
    }
    Ok(())
}

/// The octets that Content-Length claims; all there are if it is absent (datagrams only).
fn exact_body<'a>(headers: &Headers, body: &'a [u8]) -> Verdict<&'a [u8]> {
    let Some(value) = headers.get("Content-Length") else { return Ok(body) };
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err((400, "Bad Content-Length"));
    }
    let length = value.parse::<usize>().map_err(|_| (400, "Bad Content-Length"))?;
    body.get(..length).ok_or((400, "Body shorter than Content-Length"))
}

/// What a stateless answer copies (RFC 3261 §8.2.6); `None` for an ACK, and without any Via. A Via
/// that cannot be read is copied as it is: the answer goes to where the request came from.
fn echo(start: &str, headers: &Headers) -> Option<Headers> {
    if start.starts_with("ACK ") {
        return None;
    }
    headers.get("Via")?;
    let mut kept = Headers::default();
    for (name, value) in headers.iter() {
        let once = ["From", "To", "Call-ID", "CSeq"].contains(&name) && kept.get(name).is_none();
        if name == "Via" || once {
            kept.push(name, value);
        }
    }
    Some(kept)
}

impl Fault {
    /// The octets of the answer and where a datagram with it goes; `None` if there is no answer.
    #[must_use]
    pub fn answer(&self, source: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
        let headers = self.echo.as_ref()?;
        Some(stateless(self.code, self.why, headers, source))
    }

    /// The fault of a request that was sound so far.
    #[must_use]
    pub fn of(code: u16, why: &'static str, request: &Request) -> Self {
        Self { code, why, echo: echo(&format!("{} ", request.method), &request.headers) }
    }
}

/// Writes a response without a transaction. The tag of To is made of what the request always
/// repeats, so that each retransmission gets the same one (RFC 3261 §8.2.7).
fn stateless(code: u16, why: &str, echo: &Headers, source: SocketAddr) -> (Vec<u8>, SocketAddr) {
    let mut headers = echo.clone();
    let destination = stamp(&mut headers, source);
    let untagged = |to: &str| {
        NameAddr::parse(to).map_or(!to.to_ascii_lowercase().contains(";tag="), |t| t.param("tag").is_none())
    };
    if let Some(to) = headers.get("To").filter(|to| untagged(to)) {
        let seed = headers.all("Via").chain(headers.get("Call-ID")).flat_map(str::bytes);
        let hash =
            seed.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let tagged = format!("{to};tag={hash:016x}");
        headers.set("To", tagged);
    }
    if code == 503 {
        headers.push("Retry-After", "5");
    }
    let why = if why.is_empty() { phrase(code) } else { why };
    (encode(&format!("SIP/2.0 {code} {why}"), &headers, &[]), destination)
}

/// Adds `received` and fills `rport` in the top Via (RFC 3261 §18.2.1, RFC 3581 §4), and says where a
/// datagram that answers the request goes.
pub fn stamp(headers: &mut Headers, source: SocketAddr) -> SocketAddr {
    let Some(mut via) = headers.get("Via").and_then(Via::parse) else { return source };
    let wants_port = via.params.iter().any(|p| p.eq_ignore_ascii_case("rport"));
    via.params.retain(|p| {
        let name = halves(p, b'=').map_or(&**p, |(name, _)| name.trim_ascii_end());
        !name.eq_ignore_ascii_case("rport") && !name.eq_ignore_ascii_case("received")
    });
    let mut text = via.text(64);
    if wants_port || via.ip() != Some(source.ip()) {
        // An IPv6 address stands here without brackets (RFC 3261 §25.1).
        text.push_str(";received=");
        push_ip(&mut text, source.ip());
    }
    if wants_port {
        text.push_str(";rport=");
        push_number(&mut text, source.port().into());
    }
    let port = if wants_port { source.port() } else { via.port().unwrap_or(5060) };
    drop(via);
    headers.set("Via", text);
    SocketAddr::new(source.ip(), port)
}

/// Writes a message; Content-Length is set to the body's.
#[must_use]
pub fn encode(start: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(512 + body.len());
    let _ = write!(text, "{start}\r\n");
    for (name, value) in headers.iter().filter(|(n, _)| *n != "Content-Length") {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n", body.len());
    let mut octets = text.into_bytes();
    octets.extend_from_slice(body);
    octets
}

/// One Via value.
struct Via<'a> {
    transport: &'a str,
    /// `host` or `host:port`, without the blanks that may stand around the colon.
    sent_by: Cow<'a, str>,
    params: SmallVec<[Cow<'a, str>; 4]>,
}

impl<'a> Via<'a> {
    /// `SIP / 2.0 / UDP host:port ;params`: blanks are allowed around the slashes (RFC 4475 §3.1.1.1).
    fn parse(text: &'a str) -> Option<Self> {
        let (name, rest) = halves(text, b'/')?;
        let (version, rest) = halves(rest, b'/')?;
        if !name.trim_ascii().eq_ignore_ascii_case("SIP") || version.trim_ascii() != "2.0" {
            return None;
        }
        let (transport, rest) = rest.trim_ascii().split_once([' ', '\t'])?;
        let mut pieces = split(rest, b';');
        let sent_by = without_blanks(pieces.next()?);
        host_port(&sent_by)?;
        let mut params = SmallVec::new();
        for piece in pieces {
            let (name, value) = halves(piece, b'=').unwrap_or((piece, ""));
            let name = name.trim_ascii_end();
            let branch = name.eq_ignore_ascii_case("branch");
            if !is_token(name) || (branch && value.is_empty() && piece.contains('=')) {
                return None;
            }
            params.push(equals(piece));
        }
        is_token(transport).then_some(Self { transport, sent_by, params })
    }

    /// Whether the text that was read is in the canonical spelling: to get there would only make it shorter.
    fn is_canonical(&self, text: &str) -> bool {
        let blank = "SIP/2.0/".len() + self.transport.len();
        text.starts_with("SIP/2.0/") && text.as_bytes().get(blank) == Some(&b' ') && text.len() == self.len()
    }

    /// Octets of the canonical spelling.
    fn len(&self) -> usize {
        let params = self.params.iter().map(|p| p.len() + 1).sum::<usize>();
        "SIP/2.0/ ".len() + self.transport.len() + self.sent_by.len() + params
    }

    /// In the canonical spelling, with room for so many octets more.
    fn text(&self, more: usize) -> String {
        let mut out = String::with_capacity(self.len() + more);
        ["SIP/2.0/", self.transport, " ", &self.sent_by].into_iter().for_each(|part| out.push_str(part));
        for param in &self.params {
            out.push(';');
            out.push_str(param);
        }
        out
    }

    fn port(&self) -> Option<u16> {
        host_port(&self.sent_by).and_then(|(_, port)| port)
    }

    fn ip(&self) -> Option<IpAddr> {
        host_port(&self.sent_by).and_then(|(host, _)| host.parse().ok())
    }
}

fn without_blanks(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_whitespace()) {
        return Cow::Owned(text.split_ascii_whitespace().collect());
    }
    Cow::Borrowed(text)
}

/// `name=value` without the blanks that may stand around the sign.
fn equals(param: &str) -> Cow<'_, str> {
    let Some((name, value)) = halves(param, b'=') else { return Cow::Borrowed(param) };
    let (bare_name, bare_value) = (name.trim_ascii_end(), value.trim_ascii_start());
    if bare_name.len() + bare_value.len() + 1 == param.len() {
        return Cow::Borrowed(param);
    }
    Cow::Owned(format!("{bare_name}={bare_value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP pc:5070;branch=z9hG4bK1;rport\r\n\
        f: <sip:x@y>;tag=1\r\nTO : <sip:a@b>\r\ni: c1\r\nCSeq: 1\r\n  OPTIONS\r\n";

    fn verdict(text: &str) -> u16 {
        match read(text.as_bytes()) {
            Ok(_) => 200,
            Err(fault) => fault.code,
        }
    }

    #[test]
    fn short_folded_and_oddly_spaced_headers_become_canonical() {
        // SIP-PARSE-01 (wsinv)
        let text = format!(
            "{GOOD}s: a\r\n\tb\r\nV: SIP / 2.0 /TCP  p2 ; branch = q , SIP/2.0/TLS [::1]:9\r\nl: 2\r\n\r\nhi!"
        );
        let Ok(Message::Request(request)) = read(text.as_bytes()) else { panic!() };
        assert_eq!(request.headers.get("Subject"), Some("a b"));
        assert_eq!(request.headers.get("CSeq"), Some("1 OPTIONS"));
        assert_eq!(request.headers.all("Via").count(), 3);
        assert_eq!(request.body, b"hi");
        let again = encode("OPTIONS sip:a@b SIP/2.0", &request.headers, &request.body);
        let Ok(Message::Request(mut second)) = read(&again) else { panic!() };
        second.headers = request.headers.clone();
        assert_eq!(second, request);
    }

    #[test]
    fn a_via_is_canonical_if_writing_it_anew_changes_nothing() {
        for line in [
            "SIP/2.0/UDP pc:5070;branch=z9hG4bK1;rport",
            "SIP/2.0/UDP pc",
            "SIP/2.0/UDP\tpc",
            "SIP/2.0/UDP  pc",
            "SIP/2.0/UDP pc : 5070",
            "SIP/2.0/UDP pc ;rport",
            "SIP/2.0/UDP pc; rport",
            "SIP/2.0/UDP pc;branch = x",
            "SIP/2.0/UDP pc;x=\"a b;c\"",
            "sip/2.0/UDP pc",
            "SIP / 2.0 / UDP pc",
            "SIP/2.0 /UDP pc",
            "SIP/2.0/ UDP pc",
        ] {
            let via = Via::parse(line).expect(line);
            assert_eq!(via.is_canonical(line), via.text(0) == line, "{line}");
            assert_eq!(via.text(0).len(), via.len(), "{line}");
        }
    }

    #[test]
    fn each_fault_has_its_code() {
        // SIP-PARSE-02, SIP-PARSE-03
        let with = |line: &str| format!("{GOOD}{line}\r\n\r\n");
        for line in
            ["Max-Forwards: 0", "Subject: a\tb", "Subject: \"a\\\0b\\\"\\\u{7f}\"", "Subject: \u{442}"]
        {
            assert_eq!(verdict(&with(line)), 200, "{line}");
        }
        for line in [
            "Max-Forwards: 256",
            "Max-Forwards: x",
            "Expires: 99999999999",
            "From: <sip:z@y>;tag=2",
            "Call-ID: other",
            "Contact: sip:u@h?Route=x",
            "Route: <sip:a",
            "Content-Length: 1",
            "Content-Length: -1",
            "no colon here",
            "b\u{e4}d: name",
            "Require: a\0b",
            "Subject: \u{1b}[2J",
            "Subject: a\u{7f}",
            "Subject: \"a\0\"",
            "Subject: \\\0",
            "Subject: \"\" \\\0",
            "Subject: \"\\\\\0\"",
            "Subject: \"\\\r\"",
            "Via: SIP/2.0/UDP ;branch=x",
        ] {
            assert_eq!(verdict(&with(line)), 400, "{line}");
        }
        let swap = |from: &str, to: &str| format!("{}\r\n", GOOD.replacen(from, to, 1));
        assert_eq!(verdict(&swap("SIP/2.0\r\n", "SIP/3.0\r\n")), 505);
        assert_eq!(verdict(&swap("SIP/2.0\r\n", "HTTP/1.1\r\n")), 400);
        assert_eq!(verdict(&GOOD.replace("OPTIONS", "FROB").replace("\r\n  FROB\r\n", " FROB\r\n\r\n")), 501);
        assert_eq!(verdict(&swap("sip:a@b", "tel:+1")), 416);
        assert_eq!(verdict(&swap("sip:a@b", "sips:a@b")), 416);
        assert_eq!(verdict(&swap("sip:a@b", "sip:a@b:x")), 400);
        assert_eq!(verdict(&swap(";tag=1", "")), 400);
        let many = "X: y\r\n".repeat(limits::SIP_HEADERS_MAX);
        assert_eq!(verdict(&with(&many)), 400);
    }

    #[test]
    fn what_a_control_character_stands_in_is_not_echoed() {
        let bad = format!("{}\r\n", GOOD.replacen("<sip:a@b>", "A\0 <sip:a@b>", 1));
        let fault = read(bad.as_bytes()).unwrap_err();
        let (answer, _) = fault.answer("192.0.2.9:4444".parse().unwrap()).unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert!(text.starts_with("SIP/2.0 400 Control character in a header\r\n"), "{text}");
        assert!(!text.contains('\0') && text.contains("Call-ID: c1\r\n"), "{text}");
    }

    #[test]
    fn the_top_via_gets_what_the_way_back_needs() {
        // SIP-TRANS-02
        let source = "192.0.2.9:4444".parse().unwrap();
        let cases = [
            ("SIP/2.0/UDP 192.0.2.9", "SIP/2.0/UDP 192.0.2.9", 5060),
            ("SIP/2.0/UDP pc:5070;branch=x", "SIP/2.0/UDP pc:5070;branch=x;received=192.0.2.9", 5070),
            ("SIP/2.0/UDP 192.0.2.9:5;rport", "SIP/2.0/UDP 192.0.2.9:5;received=192.0.2.9;rport=4444", 4444),
            ("SIP/2.0/UDP pc;received=6.6.6.6;rport=6", "SIP/2.0/UDP pc;received=192.0.2.9", 5060),
        ];
        for (via, stamped, port) in cases {
            let mut headers = Headers::default();
            headers.push("Via", via);
            let to = stamp(&mut headers, source);
            assert_eq!((headers.get("Via"), to.port()), (Some(stamped), port));
        }
    }

    #[test]
    fn a_repeated_fault_gets_the_same_answer_and_an_ack_none() {
        // SIP-UAS-01
        let source = "192.0.2.9:4444".parse().unwrap();
        let bad = format!("{GOOD}Max-Forwards: x\r\n\r\n");
        let answer = || read(bad.as_bytes()).unwrap_err().answer(source).unwrap();
        assert_eq!(answer(), answer());
        let text = String::from_utf8(answer().0).unwrap();
        assert!(
            text.starts_with("SIP/2.0 400 Bad Max-Forwards\r\n") && text.contains("To: <sip:a@b>;tag="),
            "{text}"
        );
        let ack = bad.replace("OPTIONS", "ACK");
        assert_eq!(read(ack.as_bytes()).unwrap_err().answer(source), None);
    }
}
