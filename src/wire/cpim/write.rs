//! Making a wrapper: strict, whatever the values hold (SEC-09).

use super::scan::is_name_octet;

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
    /// Further header lines in their order, NS included; values are plain text. A name that is none is left out.
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
    for (name, value) in draft.headers {
        let local =
            name.split_once('.').map_or(*name, |(prefix, local)| if prefix.is_empty() { "" } else { local });
        let octets = name.bytes().filter(|b| *b == b'.').count() <= 1;
        if octets && !local.is_empty() && name.bytes().all(|b| is_name_octet(b) || b == b'.') {
            header_line(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend(draft.content_type.bytes().filter(|b| (0x20..0x7f).contains(b)));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(draft.content);
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
        Ok(b) if b.is_ascii() => (is_name_octet(b) && b != b'\'') || b == b'.',
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
            // The line separators are no controls, but end a line in terminals and JavaScript.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
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
}
