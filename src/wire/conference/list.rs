//! Reading a flat list of recipients (RFC 4826 §3, RFC 5363).

use super::xml::{Event, Reader, XmlError};

/// The namespace of resource lists.
const LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";

/// Recipients of one list: each costs a call.
pub const RECIPIENTS_MAX: usize = 64;

/// The media type of resource lists.
pub const LIST_MEDIA_TYPE: &str = "application/resource-lists+xml";

/// Reads the URIs of a list, each once, in their order. What else an entry says is not looked at.
///
/// # Errors
/// [`XmlError`] if the document is out of bounds, not well-formed, no resource list, not flat, or refers
/// to lists elsewhere.
pub fn recipients(xml: &[u8]) -> Result<Vec<String>, XmlError> {
    let mut reader = Reader::new(xml)?;
    let (mut found, mut depth) = (Vec::new(), 0);
    while let Some(event) = reader.next()? {
        match event {
            Event::Start { namespace, name } => {
                depth += 1;
                match (namespace == LISTS, depth, name) {
                    (true, 1, "resource-lists") | (true, 2, "list") => {}
                    (_, 1, _) => return Err(XmlError::OtherDocument),
                    (true, 3, "entry") => {
                        let uri = reader.attribute("", "uri")?.ok_or(XmlError::OtherDocument)?.into_owned();
                        if found.contains(&uri) {
                            continue;
                        }
                        if found.len() == RECIPIENTS_MAX {
                            return Err(XmlError::TooMany);
                        }
                        found.push(uri);
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
        assert_eq!(recipients(text.as_bytes()).unwrap(), ["sip:bill@example.com", "sip:joe@x?a=b&c"]);
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
}
