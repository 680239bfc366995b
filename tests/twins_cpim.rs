//! The reader of wrappers against a naive twin: lines split with `str` methods, maps for namespaces,
//! no thought of speed. Both must agree on every message, and on every beginning of it.

use openmsrp::wire::cpim::{self, CpimError, Draft, Parsed};
use proptest::prelude::*;
use std::collections::HashMap;

/// From, name, To, number of To, type, content.
type Told = (String, String, String, usize, String, Vec<u8>);

/// The twin. Nothing is told of an error but that there is one.
fn naive(message: &[u8]) -> Option<Told> {
    let mut rest = message;
    let mut next = |crlf: bool| -> Option<(String, &[u8])> {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let stripped = line.strip_suffix(b"\r");
        let line = if crlf { stripped? } else { stripped.unwrap_or(line) };
        let text = String::from_utf8(line.to_vec()).ok()?;
        let bad = |c: char| c.is_ascii_control() && (crlf || c != '\t');
        if text.chars().any(bad) { None } else { Some((text, after)) }
    };
    let (mut from, mut to, mut kind) = (Vec::new(), Vec::new(), Vec::new());
    let mut spaces = HashMap::from([(String::new(), cpim_space().to_owned())]);
    let mut left = loop {
        let (line, after) = next(true)?;
        if line.is_empty() {
            break after;
        }
        let (full, value) = line.split_once(':')?;
        if full.to_lowercase() == "content-type" {
            kind.push(value.trim().to_owned());
            continue;
        }
        let parts: Vec<&str> = full.split('.').collect();
        let (prefix, name) = match parts[..] {
            [name] => ("", name),
            [prefix, name] if !prefix.is_empty() => (prefix, name),
            _ => return None,
        };
        let separators = "()<>@,;:\\\"/[]?={} ";
        if name.is_empty() || full.chars().any(|c| !c.is_ascii_graphic() || separators.contains(c)) {
            return None;
        }
        let value = if value.starts_with(';') { after_parameters(value)? } else { value };
        let has_parameters = line[full.len() + 1..].starts_with(';');
        let value = value.strip_prefix(' ')?;
        if value != value.trim_matches(' ') {
            return None;
        }
        let ours = spaces.get(prefix).is_some_and(|s| s == cpim_space());
        if (ours || prefix.is_empty()) && name == "NS" {
            let (prefix, uri) = value.strip_suffix('>')?.split_once('<')?;
            let prefix = prefix.strip_suffix(' ').unwrap_or(prefix);
            let bad = |c: char| !c.is_ascii_graphic() || separators.contains(c) || c == '.';
            if uri.is_empty() || uri.contains([' ', '<', '>', '"', '\\']) || prefix.chars().any(bad) {
                return None;
            }
            spaces.insert(prefix.to_owned(), uri.to_owned());
            if spaces.iter().filter(|(p, s)| !p.is_empty() && *s == cpim_space()).count() > cpim::PREFIXES_MAX
            {
                return None;
            }
            continue;
        }
        let looks = ["from", "to"].contains(&name.to_lowercase().as_str());
        if !looks || (!ours && !prefix.is_empty()) {
            continue;
        }
        if !ours || has_parameters {
            return None;
        }
        match name {
            "From" => from.push(address(value)?),
            "To" => to.push(address(value)?),
            _ => return None,
        }
    };
    if kind.is_empty() {
        let mut open = false;
        left = loop {
            let (line, after) = next(false)?;
            if line.is_empty() {
                break after;
            }
            if line.starts_with([' ', '\t']) {
                if open && kind.last().is_some_and(String::is_empty) {
                    *kind.last_mut()? = line.trim().to_owned();
                }
                continue;
            }
            let (name, value) = line.split_once(':')?;
            open = name.trim_end().to_lowercase() == "content-type";
            if open {
                kind.push(value.trim().to_owned());
            }
        };
    }
    let kind = match &kind[..] {
        [] => "text/plain".to_owned(),
        [one] => one.split(';').next()?.trim().to_owned(),
        _ => return None,
    };
    let tokens: Vec<&str> = kind.splitn(2, '/').collect();
    let token = |t: &&str| {
        !t.is_empty() && t.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c))
    };
    if tokens.len() != 2 || !tokens.iter().all(token) || from.len() != 1 || to.is_empty() {
        return None;
    }
    let (name, uri) = from.remove(0);
    Some((uri, name, to[0].1.clone(), to.len(), kind, left.to_vec()))
}

fn cpim_space() -> &'static str {
    "urn:ietf:params:cpim-headers:"
}

/// What follows the first space outside quotes, that space included.
fn after_parameters(text: &str) -> Option<&str> {
    let mut at = 0;
    let mut quoted = false;
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    while at < chars.len() {
        match chars[at].1 {
            '\\' if quoted => at += 1,
            '"' => quoted = !quoted,
            ' ' if !quoted => return Some(&text[chars[at].0..]),
            _ => (),
        }
        at += 1;
    }
    None
}

fn address(value: &str) -> Option<(String, String)> {
    let mut name = String::new();
    let mut rest = value.chars();
    if value.starts_with('"') {
        name.push(rest.next()?);
        loop {
            let c = rest.next()?;
            name.push(c);
            match c {
                '\\' => name.push(rest.next()?),
                '"' => break,
                _ => (),
            }
        }
        rest = rest.as_str().trim_start_matches(' ').chars();
    } else {
        while !rest.as_str().starts_with('<') {
            match rest.next()? {
                '>' | '"' => return None,
                c => name.push(c),
            }
        }
    }
    let uri = rest.as_str().strip_prefix('<')?.strip_suffix('>')?;
    let good = !uri.is_empty() && !uri.contains(['<', '>', ' ', '"', '\\']);
    good.then(|| (name.trim_end_matches(' ').to_owned(), uri.to_owned()))
}

fn fast(message: &[u8]) -> Option<Told> {
    match cpim::parse(message, true) {
        Err(_) | Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete(w)) => Some((
            w.from.into(),
            w.from_name.into(),
            w.to.into(),
            w.to_count.into(),
            w.content_type.into(),
            message[w.content..].to_vec(),
        )),
    }
}

/// Pieces that wrappers are made of, good and bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let lines = [
        "From: <sip:a@h>\r\n",
        "From: \"A <x> \\\" b\" <sip:a@h>\r\n",
        "From: A b <sip:b@h>\r\n",
        "from: <sip:b@h>\r\n",
        "To: <sip:r@h>\r\n",
        "p.From: <sip:b@h>\r\n",
        "p.To: <sip:b@h>\r\n",
        "NS: p <urn:ietf:params:cpim-headers:>\r\n",
        "NS: p <urn:x>\r\n",
        "NS: <urn:x>\r\n",
        "NS: <urn:ietf:params:cpim-headers:>\r\n",
        "p.NS: q <urn:ietf:params:cpim-headers:>\r\n",
        "q.From: <sip:c@h>\r\n",
        "Subject:;lang=en;x=\"a b\" hi\r\n",
        "X: y\r\n",
        "\r\n",
        "\n",
        "Content-Type: text/plain;x=y\r\n",
        "Content-Type: text/html\n",
        "content-type:\n",
        " text/css\n",
        "hello",
    ];
    prop_oneof![
        20 => prop::sample::select(lines.to_vec()).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
        1 => "[ :;<>\"\\\\.A-z]{1,6}".prop_map(String::into_bytes),
    ]
}

/// A message that begins and ends well more often than chance would have it.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(vec![
        "",
        "From: <sip:a@h>\r\nTo: <sip:r@h>\r\n",
        "From: <sip:a@h>\r\nTo: <sip:r@h>\r\n\r\n",
    ]);
    let end = prop::sample::select(vec![
        "",
        "
Content-Type: text/plain

x",
    ]);
    (begin, prop::collection::vec(piece(), 0..6), end)
        .prop_map(|(b, p, e)| [b.as_bytes(), &p.concat(), e.as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_reader_and_its_twin_agree(message in message()) {
        // CPIM-02, CPIM-04, CPIM-11, SEC-03
        prop_assert_eq!(fast(&message), naive(&message));
    }

    #[test]
    fn where_a_message_is_cut_changes_nothing(message in message(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(message.len() + 1);
        match cpim::parse(&message[..cut], false) {
            Ok(Parsed::Partial) => (),
            answer => prop_assert_eq!(answer, cpim::parse(&message, true)),
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        name in any::<String>(), subject in any::<String>(), extra in header_name(), uri in "sip:\\PC{1,12}",
        content in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        // CPIM-01, CPIM-05, SEC-09
        written_and_read(&name, &subject, &extra, &uri, &content)?;
    }
}

/// Names for a header more: any text, and those that mean something, in any case and with a prefix.
fn header_name() -> impl Strategy<Value = String> {
    let known = ["From", "To", "DateTime", "Content-Type", "NS", "cc", "Require"];
    prop_oneof![
        4 => "\\PC{0,12}",
        1 => (prop::sample::select(known.to_vec()), prop::sample::select(vec!["", "x.", "p."]), 0..3_u8).prop_map(
            |(name, prefix, case)| match case {
                0 => format!("{prefix}{name}"),
                1 => format!("{prefix}{}", name.to_lowercase()),
                _ => format!("{prefix}{}", name.to_uppercase()),
            }
        ),
    ]
}

#[test]
fn a_header_more_never_makes_what_is_written_unreadable() {
    // SEC-03, SEC-09
    for extra in ["to", "To", "FROM", "content-type", "NS", "p.NS", "p.to", "p.From", "DateTime"] {
        written_and_read("A", "s", extra, "sip:a@h", b"x").unwrap();
    }
}

fn written_and_read(
    name: &str,
    subject: &str,
    extra: &str,
    uri: &str,
    content: &[u8],
) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    let headers = [
        ("NS", "x <urn:x>"),
        ("NS", "p <urn:ietf:params:cpim-headers:>"),
        ("x.Extra", extra),
        (extra, "bad name"),
        ("Subject", subject),
    ];
    let draft = Draft {
        from: uri,
        from_name: name,
        to: "sip:r@h",
        to_name: "",
        date_time: "2024-05-14T09:26:53Z",
        headers: &headers,
        content_type: "text/plain",
        content,
    };
    cpim::write(&mut out, &draft);
    let read = cpim::read(&out).map_err(|e: CpimError| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&*read.from.name, name.trim_matches(' '));
    prop_assert_eq!(read.subject.as_deref(), Some(subject.trim_matches(' ')));
    prop_assert_eq!(read.content, content);
    prop_assert_eq!(read.content_type, "text/plain");
    prop_assert_eq!(read.to.len(), 1);
    prop_assert_eq!(read.date_time, Some("2024-05-14T09:26:53Z"));
    let block = &out[..out.len() - content.len()];
    prop_assert!(block.iter().all(|b| *b >= 0x20 || *b == b'\r' || *b == b'\n'));
    Ok(())
}
