//! All that a wrapper says, decoded for people.

use super::scan::{CPIM_NAMESPACE, Line, Names, binding, field, lines, name_and_uri};
use super::{CpimError, Parsed, parse};
use std::borrow::Cow;

/// A name and an address, ready to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity<'b> {
    /// The formal name, quotes and escapes decoded; may be empty and may hold any character.
    pub name: Cow<'b, str>,
    /// The URI.
    pub uri: &'b str,
}

/// A header that has no field of its own in [`Message`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header<'b> {
    /// The URI of its namespace; empty if its prefix was never declared.
    pub namespace: &'b str,
    /// Its name without prefix.
    pub name: &'b str,
    /// Its value, escapes decoded; may hold any character.
    pub value: Cow<'b, str>,
}

/// Everything a wrapper says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message<'b> {
    /// Who speaks.
    pub from: Identity<'b>,
    /// To whom; at least one.
    pub to: Vec<Identity<'b>>,
    /// Who else is said to have it. No routing effect in a room (CPIM-08).
    pub cc: Vec<Identity<'b>>,
    /// DateTime as written (RFC 3339). Never to be trusted for order (CPIM-09).
    pub date_time: Option<&'b str>,
    /// The first Subject, escapes decoded.
    pub subject: Option<Cow<'b, str>>,
    /// Names that the sender says must be understood (RFC 3862 §3.5), as written.
    pub require: Vec<&'b str>,
    /// All other headers, in their order.
    pub headers: Vec<Header<'b>>,
    /// The wrapped media type without parameters, as written.
    pub content_type: &'b str,
    /// The wrapped content.
    pub content: &'b [u8],
}

/// Reads a whole wrapper with all its headers, for clients.
///
/// # Errors
/// [`CpimError`] as [`parse`] gives it for a message that has ended.
pub fn read(message: &[u8]) -> Result<Message<'_>, CpimError> {
    let Parsed::Complete(wrapper) = parse(message, true)? else { return Err(CpimError::Truncated) };
    let mut out = Message {
        from: Identity { name: formal_name(wrapper.from_name), uri: wrapper.from },
        to: Vec::new(),
        cc: Vec::new(),
        date_time: None,
        subject: None,
        require: Vec::new(),
        headers: Vec::new(),
        content_type: wrapper.content_type,
        content: &message[wrapper.content..],
    };
    let mut names = Names::default();
    let mut spaces = Spaces { default: CPIM_NAMESPACE, bound: Vec::new() };
    let mut at = lines(message);
    while let Some(Line::Header(line)) = at.message_line()? {
        let fields = field(line)?;
        let bare_ns = fields.prefix.is_empty() && fields.name == "NS";
        let name = if bare_ns { "NS" } else { names.resolve(&fields)? };
        match name {
            "NS" => {
                names.declare(fields.value)?;
                spaces.declare(fields.value)?;
            }
            "From" => (),
            "To" => out.to.push(person(fields.value)?),
            // A cc that cannot be read is no reason to lose the message. RFC 4975's prose says "CC".
            "cc" | "CC" => out.cc.extend(person(fields.value)),
            "DateTime" => out.date_time = out.date_time.or(Some(fields.value)),
            "Subject" => out.subject = out.subject.or_else(|| Some(unescape(fields.value))),
            "Require" => out.require.extend(fields.value.split(',').map(str::trim)),
            _ => out.headers.push(Header {
                namespace: spaces.of(fields.prefix),
                name: fields.name,
                value: unescape(fields.value),
            }),
        }
    }
    Ok(out)
}

/// The namespaces declared so far, for the headers we hand on. At most one per line of the wrapper.
struct Spaces<'b> {
    default: &'b str,
    bound: Vec<(&'b str, &'b str)>,
}

impl<'b> Spaces<'b> {
    fn declare(&mut self, value: &'b str) -> Result<(), CpimError> {
        match binding(value)? {
            ("", uri) => self.default = uri,
            (prefix, uri) => self.bound.push((prefix, uri)),
        }
        Ok(())
    }

    /// The latest binding counts.
    fn of(&self, prefix: &str) -> &'b str {
        if prefix.is_empty() {
            return self.default;
        }
        self.bound.iter().rev().find(|(p, _)| *p == prefix).map_or("", |(_, uri)| uri)
    }
}

fn person(value: &str) -> Result<Identity<'_>, CpimError> {
    let (name, uri) = name_and_uri(value)?;
    Ok(Identity { name: formal_name(name), uri })
}

/// A formal name without quotes and escapes.
fn formal_name(written: &str) -> Cow<'_, str> {
    let inner = written.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
    unescape(inner.unwrap_or(written))
}

/// Decodes the escapes of RFC 3862 §2.3; an unknown one means the character itself (CPIM-05).
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return Cow::Owned(out) };
        rest = &rest[c.len_utf8()..];
        match c {
            'b' => out.push('\u{8}'),
            't' => out.push('\t'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            'u' => rest = push_code(&mut out, rest),
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Decodes what follows `\u`: four digits, or two such escapes that are a surrogate pair. Answers what is left.
fn push_code<'t>(out: &mut String, rest: &'t str) -> &'t str {
    let Some((unit, rest)) = code(rest) else {
        out.push('u');
        return rest;
    };
    let second = rest.strip_prefix("\\u").and_then(code);
    let units = [unit, second.map_or(0, |(low, _)| low)];
    if let (0xd800..=0xdbff, Some((0xdc00..=0xdfff, after))) = (unit, second) {
        out.extend(char::decode_utf16(units).flatten());
        return after;
    }
    out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn code(text: &str) -> Option<(u16, &str)> {
    let digits = text.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u16::from_str_radix(digits, 16).ok()?, &text[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_for_people() {
        // CPIM-05
        for (written, meant) in [
            ("plain", "plain"),
            (r#"\\ \" \'"#, "\\ \" '"),
            (r"\b\t\n\r", "\u{8}\t\n\r"),
            (r"\u00e9\u00E9", "éé"),
            (r"\ud83d\udc07", "🐇"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\udc07", "\u{fffd}"),
            (r"\u00g0", "u00g0"),
            (r"\u12", "u12"),
            (r"\q\é", "qé"),
            (r"end\", "end"),
        ] {
            assert_eq!(unescape(written), meant, "{written}");
        }
    }

    #[test]
    fn all_headers_are_handed_on_with_their_namespaces() {
        // CPIM-06, CPIM-07, CPIM-08, IMDN-01
        let message = b"From: \"Al \\\"x\\\"\" <sip:a@h>\r\nTo: Room <sip:r@h>\r\nTo: <sip:b@h>\r\ncc: <sip:c@h>\r\n\
            CC: D <sip:d@h>\r\ncc: nobody\r\nDateTime: 2024-05-14T09:26:60+02:00\r\nSubject:;lang=en one\\n\r\n\
            Subject: two\r\nNS: x1 <urn:ietf:params:imdn>\r\nx1.Message-ID: 34jk\r\ny.Z: \\u0041\r\nW: v\r\n\
            Require: x1.A, B\r\nNS: <urn:other>\r\nSubject: three\r\n\r\nContent-Type: text/plain;charset=utf8\r\n\r\nhi";
        let m = read(message).unwrap();
        let person = |name: &'static str, uri| Identity { name: name.into(), uri };
        assert_eq!(m.from, person("Al \"x\"", "sip:a@h"));
        assert_eq!(m.to, [person("Room", "sip:r@h"), person("", "sip:b@h")]);
        assert_eq!(m.cc, [person("", "sip:c@h"), person("D", "sip:d@h")]);
        assert_eq!(m.date_time, Some("2024-05-14T09:26:60+02:00"));
        assert_eq!(m.subject.as_deref(), Some("one\n"));
        assert_eq!(m.require, ["x1.A", "B"]);
        let header = |namespace, name, value: &'static str| Header { namespace, name, value: value.into() };
        assert_eq!(
            m.headers,
            [
                header("urn:ietf:params:imdn", "Message-ID", "34jk"),
                header("", "Z", "A"),
                header(CPIM_NAMESPACE, "W", "v"),
                header("urn:other", "Subject", "three"),
            ]
        );
        assert_eq!((m.content_type, m.content), ("text/plain", &b"hi"[..]));
    }
}
