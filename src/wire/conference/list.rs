//! Reading a flat list of recipients (RFC 4826 §3, RFC 5363), and writing what recipients may know of it (RFC 5364).

use super::write::attribute;
use super::xml::{Event, Reader, XmlError};

/// The namespace of resource lists.
const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";

/// Recipients of one list: each costs a call.
pub const RECIPIENTS_MAX: usize = 64;

/// The media type of resource lists.
pub const LIST_MEDIA_TYPE: &str = "application/resource-lists+xml";

/// The namespace of copy control; the second is that of a sample in RFC 5366 §6, which peers may copy.
const COPY_CONTROL: [&str; 2] = ["urn:ietf:params:xml:ns:copycontrol", "urn:ietf:params:xml:ns:copyControl"];

/// Who stands for recipients that shall not be named (RFC 5364 §4).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// As what somebody gets a request; the greater counts if there are two (RFC 5364 §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CopyControl {
    /// Nobody else is told.
    Blind,
    /// For information.
    Carbon,
    /// It is meant for them.
    Primary,
}

/// An entry of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    /// The URI.
    pub uri: String,
    /// As what.
    pub copy: CopyControl,
    /// The others are told that there is somebody, not who.
    pub anonymous: bool,
}

/// Reads the entries of a list, each URI once, in their order. Of two with the same URI the copy that more
/// people know of counts, and `anonymize` if one has it.
///
/// # Errors
/// [`XmlError`] if the document is out of bounds, not well-formed, no resource list, not flat, or refers
/// to lists elsewhere.
pub fn recipients(xml: &[u8]) -> Result<Vec<Recipient>, XmlError> {
    let mut reader = Reader::new(xml)?;
    let (mut found, mut depth) = (Vec::<Recipient>::new(), 0);
    while let Some(event) = reader.next()? {
        match event {
            Event::Start { namespace, name } => {
                depth += 1;
                match (namespace == LISTS, depth, name) {
                    (true, 1, "resource-lists") | (true, 2, "list") => {}
                    (_, 1, _) => return Err(XmlError::OtherDocument),
                    (true, 3, "entry") => {
                        let entry = entry(&reader)?;
                        if let Some(known) = found.iter_mut().find(|r| r.uri == entry.uri) {
                            known.copy = known.copy.max(entry.copy);
                            known.anonymous |= entry.anonymous;
                            continue;
                        }
                        if found.len() == RECIPIENTS_MAX {
                            return Err(XmlError::TooMany);
                        }
                        found.push(entry);
                    }
                    (true, _, "list" | "entry-ref" | "external") => return Err(XmlError::OtherDocument),
                    _ => {}
                }
            }
            Event::End => depth -= 1,
            Event::Text(_) => {}
        }
    }
    Ok(found)
}

fn entry(reader: &Reader<'_>) -> Result<Recipient, XmlError> {
    let uri = reader.attribute("", "uri")?.ok_or(XmlError::OtherDocument)?.into_owned();
    let control = |name| -> Result<String, XmlError> {
        for namespace in COPY_CONTROL {
            if let Some(value) = reader.attribute(namespace, name)? {
                return Ok(value.into_owned());
            }
        }
        Ok(String::new())
    };
    let copy = match control("copyControl")?.as_str() {
        "to" => CopyControl::Primary,
        "cc" => CopyControl::Carbon,
        _ => CopyControl::Blind,
    };
    let anonymous = matches!(control("anonymize")?.as_str(), "true" | "1");
    Ok(Recipient { uri, copy, anonymous })
}

/// Writes what recipients may know of each other: nothing of blind copies, of others who shall not be named how
/// many they are (RFC 5364 §4). Empty if there is nothing to be known.
#[must_use]
pub fn history(recipients: &[Recipient]) -> String {
    let known: Vec<&Recipient> = recipients.iter().filter(|r| r.copy > CopyControl::Blind).collect();
    if known.is_empty() {
        return String::new();
    }
    let mut out = String::with_capacity(256 + known.len() * 100);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists");
    attribute(&mut out, "xmlns", LISTS);
    attribute(&mut out, "xmlns:cp", COPY_CONTROL[0]);
    out.push_str(">\r\n  <list>\r\n");
    let mut told = Vec::new();
    for recipient in &known {
        let copy = recipient.copy;
        let name = if copy == CopyControl::Primary { "to" } else { "cc" };
        if recipient.anonymous && told.contains(&copy) {
            continue;
        }
        out.push_str("    <entry");
        attribute(&mut out, "uri", if recipient.anonymous { ANONYMOUS } else { &recipient.uri });
        attribute(&mut out, "cp:copyControl", name);
        if recipient.anonymous {
            told.push(copy);
            let count = known.iter().filter(|r| r.anonymous && r.copy == copy).count();
            attribute(&mut out, "cp:count", &count.to_string());
        }
        out.push_str("/>\r\n");
    }
    out.push_str("  </list>\r\n</resource-lists>\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><resource-lists xmlns=\"{LISTS}\"><list>{inside}</list></resource-lists>"
        )
    }

    #[test]
    fn a_flat_list_gives_each_address_once() {
        let text = list(
            "<entry uri=\"sip:bill@example.com\" xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\" cp:copyControl=\"to\">\
             <display-name>Bill</display-name></entry><entry uri=\"sip:joe@x?a=b&amp;c\"/>\
             <entry uri=\"sip:bill@example.com\"/>",
        );
        let found = recipients(text.as_bytes()).unwrap();
        let uris: Vec<&str> = found.iter().map(|r| r.uri.as_str()).collect();
        assert_eq!(uris, ["sip:bill@example.com", "sip:joe@x?a=b&c"]);
        assert_eq!(
            (found[0].copy, found[1].copy),
            (CopyControl::Primary, CopyControl::Blind),
            "blind unless said otherwise"
        );
    }

    #[test]
    fn what_is_no_flat_list_or_too_long_is_refused() {
        let entries = |n: usize| (0..n).map(|i| format!("<entry uri=\"sip:u{i}@x\"/>")).collect::<String>();
        assert_eq!(recipients(list(&entries(RECIPIENTS_MAX)).as_bytes()).unwrap().len(), RECIPIENTS_MAX);
        for text in [
            list(&entries(RECIPIENTS_MAX + 1)),
            list("<list><entry uri=\"sip:a@b\"/></list>"),
            list("<external anchor=\"http://x/\"/>"),
            list("<entry/>"),
            list("<entry uri=\"sip:a@b\">"),
            "<conference-info/>".to_owned(),
            "nothing".to_owned(),
        ] {
            assert!(recipients(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// The list of the sample in RFC 5366 §6, in the namespace that it has there, or the right one.
    fn sample(namespace: &str) -> Vec<Recipient> {
        let entries = "<entry uri=\"sip:bill@example.com\" cp:copyControl=\"to\" />\
            <entry uri=\"sip:randy@example.net\" cp:copyControl=\"to\" cp:anonymize=\"true\"/>\
            <entry uri=\"sip:eddy@example.com\" cp:copyControl=\"to\" cp:anonymize=\"true\"/>\
            <entry uri=\"sip:joe@example.org\" cp:copyControl=\"cc\" />\
            <entry uri=\"sip:carol@example.net\" cp:copyControl=\"cc\" cp:anonymize=\"true\"/>\
            <entry uri=\"sip:ted@example.net\" cp:copyControl=\"bcc\" />\
            <entry uri=\"sip:andy@example.com\" cp:copyControl=\"bcc\" />";
        let text = list(entries).replacen(
            "<resource-lists",
            &format!("<resource-lists xmlns:cp=\"{namespace}\""),
            1,
        );
        recipients(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_history_of_the_sample_is_that_of_the_sample() {
        // LIST-02
        for namespace in COPY_CONTROL {
            let text = history(&sample(namespace));
            let entries: Vec<&str> =
                text.lines().map(str::trim).filter(|l| l.starts_with("<entry")).collect();
            assert_eq!(
                entries,
                [
                    "<entry uri=\"sip:bill@example.com\" cp:copyControl=\"to\"/>",
                    "<entry uri=\"sip:anonymous@anonymous.invalid\" cp:copyControl=\"to\" cp:count=\"2\"/>",
                    "<entry uri=\"sip:joe@example.org\" cp:copyControl=\"cc\"/>",
                    "<entry uri=\"sip:anonymous@anonymous.invalid\" cp:copyControl=\"cc\" cp:count=\"1\"/>",
                ]
            );
            assert!(text.contains("xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\""), "{text}");
            for secret in ["randy", "eddy", "carol", "ted@", "andy"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert_eq!(history(&sample("urn:else")), "", "blind copies only");
    }

    #[test]
    fn of_two_entries_for_one_the_wider_copy_counts_and_the_wish_not_to_be_named() {
        // LIST-02
        let entry =
            |copy: &str, more: &str| format!("<entry uri=\"sip:a&amp;b@x\" c:copyControl=\"{copy}\"{more}/>");
        let read = |entries: &[String]| {
            let declared = format!("<list xmlns:c=\"{}\">", COPY_CONTROL[0]);
            recipients(list(&entries.concat()).replace("<list>", &declared).as_bytes()).unwrap()
        };
        for (copies, expected) in [
            (["bcc", "cc"], CopyControl::Carbon),
            (["to", "cc"], CopyControl::Primary),
            (["cc", "bcc"], CopyControl::Carbon),
            (["bcc", "what"], CopyControl::Blind),
        ] {
            let found = read(&copies.map(|c| entry(c, "")));
            assert_eq!((found.len(), found[0].copy, found[0].anonymous), (1, expected, false));
        }
        let found = read(&[entry("to", ""), entry("bcc", " c:anonymize=\"1\"")]);
        assert_eq!((found[0].copy, found[0].anonymous), (CopyControl::Primary, true));
        assert!(!history(&found).contains("&amp;"), "not named");
        assert!(history(&read(&[entry("to", "")])).contains("uri=\"sip:a&amp;b@x\""));
    }
}
