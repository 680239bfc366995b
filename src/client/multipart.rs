//! Content as text: plain, in several parts (RFC 2046 §5.1, RFC 1847 §2.1), or in a wrapper of its own.
//!
//! Of a `multipart/mixed` all parts are shown, of an `alternative` the last that is text, of a `signed` what was
//! signed; the signature is not looked at. What is no text is named, never opened.
//!
//! Touches: nothing. Bounds: [`DEPTH_MAX`], [`PARTS_MAX`]; nothing is decoded. Proved by: the tests below.

use crate::wire::cpim;
use std::borrow::Cow;

/// Contents within each other. Beyond: named only.
const DEPTH_MAX: usize = 4;

/// Parts of one content that are looked at.
const PARTS_MAX: usize = 32;

/// The text of a content; `None` if it is none. `parameters` of its type as they stand behind it.
pub(super) fn text<'c>(media_type: &str, parameters: &str, content: &'c [u8]) -> Option<Cow<'c, str>> {
    within(media_type, parameters, content, 0)
}

fn within<'c>(media_type: &str, parameters: &str, content: &'c [u8], depth: usize) -> Option<Cow<'c, str>> {
    let media_type = media_type.to_ascii_lowercase();
    if media_type.starts_with("text/") {
        return Some(String::from_utf8_lossy(content));
    }
    if depth >= DEPTH_MAX {
        return None;
    }
    if media_type == "message/cpim" {
        let inner = cpim::read(content).ok()?;
        let (kind, more) = declared(&content[..content.len() - inner.content.len()]);
        let text = within(kind, more, inner.content, depth + 1)?;
        // Nobody vouches for the inner sender (SEC-13).
        return Some(format!("[said to be of {}] {text}", inner.from.uri).into());
    }
    let subtype = media_type.strip_prefix("multipart/")?;
    let boundary = parameter(parameters, "boundary")?;
    let parts = parts(content, &boundary);
    let text = |part: &Part<'c>| within(part.media_type, part.parameters, part.content, depth + 1);
    match subtype {
        "alternative" => parts.iter().rev().find_map(text),
        "signed" => parts.first().and_then(text),
        // Whatever else has parts is to be read as mixed (RFC 2046 §5.1.3).
        _ if parts.is_empty() => None,
        _ => {
            let named = |p: &Part<'_>| format!("[{}, {} octets]", p.media_type, p.content.len()).into();
            let all: Vec<Cow<'_, str>> =
                parts.iter().map(|part| text(part).unwrap_or_else(|| named(part))).collect();
            Some(all.join("\n").into())
        }
    }
}

struct Part<'c> {
    media_type: &'c str,
    parameters: &'c str,
    content: &'c [u8],
}

/// The parts between the lines of a boundary.
fn parts<'c>(content: &'c [u8], boundary: &str) -> Vec<Part<'c>> {
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    let mut began: Option<usize> = None;
    let mut at = 0;
    for line in content.split_inclusive(|b| *b == b'\n') {
        let bare = line.trim_ascii_end();
        let last = bare.strip_suffix(b"--").is_some_and(|l| l == delimiter.as_bytes());
        if last || bare == delimiter.as_bytes() {
            if let Some(began) = began {
                // The line end before the delimiter belongs to it.
                let octets = &content[began..at];
                let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
                found.push(part(octets.strip_suffix(b"\r").unwrap_or(octets)));
            }
            if last || found.len() == PARTS_MAX {
                return found;
            }
            began = Some(at + line.len());
        }
        at += line.len();
    }
    // Cut short: what is there is there.
    found.extend(began.map(|began| part(&content[began.min(content.len())..])));
    found
}

/// Headers, a blank line, and the rest; without headers plain text.
fn part(octets: &[u8]) -> Part<'_> {
    let mut at = 0;
    for line in octets.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if line.trim_ascii().is_empty() {
            break;
        }
    }
    let (media_type, parameters) = declared(&octets[..at]);
    Part { media_type, parameters, content: &octets[at..] }
}

/// The last Content-Type among headers, and its parameters.
pub(super) fn declared(headers: &[u8]) -> (&str, &str) {
    const NAME: &str = "Content-Type:";
    let text = std::str::from_utf8(headers).unwrap_or_default();
    let is = |line: &&str| line.get(..NAME.len()).is_some_and(|n| n.eq_ignore_ascii_case(NAME));
    let value = text.lines().rev().find(is).map_or("text/plain", |line| &line[NAME.len()..]);
    let end = value.find(';').unwrap_or(value.len());
    (value[..end].trim(), &value[end..])
}

/// The value of a parameter, without quotes.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    parameters.split(';').find_map(|p| {
        let (key, value) = p.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|p| format!("--b\r\n{p}\r\n")).collect();
        format!("not shown\r\n{parts}--b--\r\nnot shown")
    }

    fn read(media_type: &str, content: &str) -> Option<String> {
        text(media_type, "; charset=x; Boundary=\"b\"", content.as_bytes()).map(Cow::into_owned)
    }

    const PLAIN: &str = "Content-Type: text/plain; charset=UTF-8\r\n\r\nhello\r\nroom";
    const HTML: &str = "content-type: text/html\r\n\r\n<b>hello</b>";
    const IMAGE: &str = "Content-Type: image/png\r\nX: y\r\n\r\n12345";

    #[test]
    fn contents_in_parts_are_read() {
        // MSRP-TYPE-02
        let table = [
            (
                "multipart/mixed",
                mixed(&[PLAIN, IMAGE, "\r\nbare"]),
                Some("hello\r\nroom\n[image/png, 5 octets]\nbare"),
            ),
            ("multipart/x-other", mixed(&[PLAIN]), Some("hello\r\nroom")),
            ("Multipart/Alternative", mixed(&[PLAIN, HTML, IMAGE]), Some("<b>hello</b>")),
            ("multipart/alternative", mixed(&[IMAGE]), None),
            (
                "multipart/signed",
                mixed(&[PLAIN, "Content-Type: application/pkcs7-signature\r\n\r\nx"]),
                Some("hello\r\nroom"),
            ),
            ("multipart/mixed", "no boundary".to_string(), None),
            ("multipart/mixed", format!("--b\r\n{PLAIN}"), Some("hello\r\nroom")),
            ("multipart/mixed", "--b".to_string(), Some("")),
            ("image/png", "x".to_string(), None),
            ("text/plain", "x".to_string(), Some("x")),
        ];
        for (media_type, content, expected) in table {
            assert_eq!(read(media_type, &content).as_deref(), expected, "{media_type} {content}");
        }
        assert_eq!(text("multipart/mixed", "", b"--b\r\n\r\nx\r\n--b--"), None);
    }

    #[test]
    fn a_wrapper_within_a_wrapper_is_read_and_vouched_for_by_nobody() {
        // MSRP-TYPE-02, SEC-13
        let inner = "From: <sip:eve@x>\r\nTo: <sip:r@x>\r\n\r\nContent-Type: text/plain\r\n\r\nhi";
        assert_eq!(read("message/cpim", inner).as_deref(), Some("[said to be of sip:eve@x] hi"));
        assert_eq!(read("message/cpim", "no wrapper"), None);
        let signed = mixed(&[&format!("Content-Type: message/cpim\r\n\r\n{inner}"), IMAGE]);
        assert_eq!(read("multipart/signed", &signed).as_deref(), Some("[said to be of sip:eve@x] hi"));
    }

    #[test]
    fn depth_and_parts_are_bounded() {
        // SEC-12
        let mut nested = "Content-Type: text/plain\r\n\r\ndeep".to_string();
        for level in 0..DEPTH_MAX + 1 {
            let boundary = format!("b{level}");
            nested = format!(
                "Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n{nested}\r\n--{boundary}--"
            );
        }
        let (kind, parameters) = declared(nested.lines().next().unwrap().as_bytes());
        let body = nested.split_once("\r\n\r\n").unwrap().1;
        let found = text(kind, parameters, body.as_bytes()).unwrap();
        assert!(found.starts_with("[multipart/mixed, ") && !found.contains("deep"), "{found}");
        let many = mixed(&vec!["\r\nx"; PARTS_MAX + 5]);
        assert_eq!(read("multipart/mixed", &many).unwrap().lines().count(), PARTS_MAX);
    }
}
