//! Making a wrapper: strict, whatever the values hold (SEC-09).

use super::scan::{Fields, NAME, Names};

/// A wrapper to be written.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The URI of From.
    pub from: &'a str,
    /// The name of From, plain text; may be empty.
    pub from_name: &'a str,
    /// The URI of To.
    pub to: &'a str,
    /// The name of To, plain text; may be empty.
    pub to_name: &'a str,
    /// DateTime (RFC 3339); left out if empty.
    pub date_time: &'a str,
    /// Further header lines in their order, NS included; values are plain text. Left out is what would make the
    /// wrapper unreadable or say it twice: a name that is none, From, To and Content-Type in any case, and an NS
    /// that binds nothing.
    pub headers: &'a [(&'a str, &'a str)],
    /// The media type of the content, with parameters.
    pub content_type: &'a str,
    /// The content.
    pub content: &'a [u8],
}

/// Writes a wrapper with its content. Controls, quotes and backslashes in values are escaped, so that
/// no value can end a line, a name or an address (RFC 3862 §2.3.1).
pub fn write(out: &mut Vec<u8>, draft: &Draft<'_>) {
    address_line(out, "From: ", draft.from_name, draft.from);
    address_line(out, "To: ", draft.to_name, draft.to);
    if !draft.date_time.is_empty() {
        header_line(out, "DateTime", draft.date_time);
    }
    let mut names = Names::default();
    for (name, value) in draft.headers {
        if may_stand(&mut names, name, value) {
            header_line(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend(draft.content_type.bytes().filter(|b| (0x20..0x7f).contains(b)));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(draft.content);
}

/// Whether a reader takes this for a header beside those that the wrapper has already.
fn may_stand<'a>(names: &mut Names<'a>, full: &'a str, value: &'a str) -> bool {
    let (prefix, name) = match full.split_once('.') {
        Some(("", _)) => return false,
        Some(parts) => parts,
        None => ("", full),
    };
    if name.is_empty() || !NAME.have_all(prefix.as_bytes()) || !NAME.have_all(name.as_bytes()) {
        return false;
    }
    let value = value.trim_matches(' ');
    let fields = Fields { prefix, name, params: "", value };
    if fields.is_content_type() {
        return false;
    }
    let known = if prefix.is_empty() && name == "NS" { Ok(name) } else { names.resolve(&fields) };
    match known {
        Err(_) | Ok("From" | "To") => false,
        // What must be escaped is no URI.
        Ok("NS") => !value.chars().any(must_escape) && names.declare(value).is_ok(),
        Ok(_) => true,
    }
}

fn header_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    escape(out, value.trim_matches(' '), false);
    out.extend_from_slice(b"\r\n");
}

fn address_line(out: &mut Vec<u8>, start: &str, name: &str, uri: &str) {
    out.extend_from_slice(start.as_bytes());
    let name = name.trim_matches(' ');
    if name.split(' ').all(|word| !word.is_empty() && word.chars().all(is_word_char)) {
        out.extend_from_slice(name.as_bytes());
        out.push(b' ');
    } else if !name.is_empty() {
        out.push(b'"');
        escape(out, name, true);
        out.extend_from_slice(b"\" ");
    }
    out.push(b'<');
    for c in uri.chars() {
        if c <= ' ' || c.is_control() || matches!(c, '<' | '>' | '"' | '\\') {
            let mut octets = [0; 4];
            for b in c.encode_utf8(&mut octets).bytes() {
                out.extend_from_slice(format!("%{b:02X}").as_bytes());
            }
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out.extend_from_slice(b">\r\n");
}

/// What a word of a formal name may hold without quotes (RFC 3862 §3.6, TOKENCHAR). The single quote
/// stays out: `\'` is an escape of its own.
fn is_word_char(c: char) -> bool {
    match u8::try_from(c) {
        Ok(b) if b.is_ascii() => (NAME.has(b) && b != b'\'') || b == b'.',
        _ => !c.is_control(),
    }
}

fn escape(out: &mut Vec<u8>, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            '"' if quoted => out.extend_from_slice(b"\\\""),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if must_escape(c) => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The line separators are no controls, but end a line in terminals and JavaScript.
fn must_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft<'a>() -> Draft<'a> {
        Draft {
            from: "sip:alice@example.com",
            from_name: "Alice",
            to: "sip:lobby@chat.example.com",
            to_name: "",
            date_time: "2024-05-14T09:26:53Z",
            headers: &[],
            content_type: "text/plain;charset=UTF-8",
            content: b"Hello, room!",
        }
    }

    fn written(draft: &Draft<'_>) -> String {
        let mut out = Vec::new();
        write(&mut out, draft);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_sample_is_written_octet_by_octet() {
        // CPIM-01, CPIM-09
        let expected = "From: Alice <sip:alice@example.com>\r\nTo: <sip:lobby@chat.example.com>\r\n\
            DateTime: 2024-05-14T09:26:53Z\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\nHello, room!";
        assert_eq!(written(&draft()), expected);
        assert_eq!(expected.len(), 159);
    }

    #[test]
    fn no_value_ends_a_line_a_name_or_an_address() {
        // SEC-09, CPIM-05
        let text = written(&Draft {
            from_name: "Al\"> <sip:bob@h>\r\nTo: \\",
            from: "sip:a@h>\r\nTo: <sip:b@h",
            to_name: "O'Neil, \u{1b}[2J\u{85}",
            date_time: "now\r\nX: y",
            headers: &[
                ("NS", "agp <urn:ag-projects:xml:ns:cpim>"),
                ("agp.Message-Type", "status"),
                ("Subject", " a\0b\u{7f}\u{2028} "),
                ("Bad: x\r\nName", "v"),
                (".x", "v"),
                ("x.", "v"),
                ("a.b.c", "v"),
                ("", "v"),
            ],
            content_type: "text/plain\r\nX: y",
            content: b"",
            ..draft()
        });
        let expected = concat!(
            "From: \"Al\\\"> <sip:bob@h>\\r\\nTo: \\\\\" <sip:a@h%3E%0D%0ATo:%20%3Csip:b@h>\r\n",
            "To: \"O'Neil, \\u001b[2J\\u0085\" <sip:lobby@chat.example.com>\r\n",
            "DateTime: now\\r\\nX: y\r\n",
            "NS: agp <urn:ag-projects:xml:ns:cpim>\r\n",
            "agp.Message-Type: status\r\n",
            "Subject: a\\u0000b\\u007f\\u2028\r\n",
            "\r\nContent-Type: text/plainX: y\r\n\r\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_header_says_again_what_the_wrapper_says_or_makes_it_unreadable() {
        // SEC-03, SEC-09
        let ours = "urn:ietf:params:cpim-headers:";
        let many: Vec<String> = (0..6).map(|n| format!("p{n} <{ours}>")).collect();
        let mut headers = vec![
            ("to", "bad name"),
            ("To", "<sip:eve@h>"),
            ("FROM", "<sip:eve@h>"),
            ("content-TYPE", "text/html"),
            ("NS", "bad name"),
            ("NS", "x <urn:\tx>"),
        ];
        headers.extend(many.iter().map(|ns| ("NS", ns.as_str())));
        headers.extend([
            ("p0.From", "<sip:eve@h>"),
            ("p1.tO", "<sip:eve@h>"),
            ("p0.NS", "none"),
            ("x.To", "v"),
        ]);
        headers.extend([("NS", "<urn:x>"), ("From", "<sip:eve@h>"), ("ns", "v")]);
        let text = written(&Draft { headers: &headers, ..draft() });
        let lines: Vec<&str> = text.split("\r\n\r\n").next().unwrap().split("\r\n").skip(3).collect();
        let bound: Vec<String> = (0..4).map(|n| format!("NS: p{n} <{ours}>")).collect();
        let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
        assert_eq!(lines, [&bound[..], &["x.To: v", "NS: <urn:x>", "ns: v"]].concat());
        assert!(crate::wire::cpim::read(text.as_bytes()).is_ok());
    }
}
