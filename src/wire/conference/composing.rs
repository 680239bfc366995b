//! Who is writing: `application/im-iscomposing+xml` (RFC 3994).

use super::xml::{Event, Reader, XmlError};
use crate::base::media;

/// The namespace of RFC 3994.
const COMPOSING: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// Octets of a document that is read. A real one has 300.
const COMPOSING_BYTES_MAX: usize = 4096;

/// The media type of the documents.
pub const COMPOSING_MEDIA_TYPE: &str = media::TYPING;

/// What a document tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Composing {
    /// Something is being written. States that nobody knows are idle (RFC 3994 §3.3).
    pub active: bool,
    /// Seconds until the next word of it, if told.
    pub refresh: Option<u32>,
}

impl Composing {
    /// Reads a document.
    ///
    /// # Errors
    /// [`XmlError`] if it is out of bounds, not well-formed or of another kind.
    pub fn read(xml: &[u8]) -> Result<Self, XmlError> {
        if xml.len() > COMPOSING_BYTES_MAX {
            return Err(XmlError::TooLong);
        }
        let mut reader = Reader::new(xml)?;
        let (mut depth, mut field) = (0, "");
        let (mut state, mut refresh) = (String::new(), String::new());
        while let Some(event) = reader.next()? {
            match event {
                Event::Start { namespace, name } => {
                    depth += 1;
                    let ours = namespace == COMPOSING;
                    if depth == 1 && !(ours && name == "isComposing") {
                        return Err(XmlError::OtherDocument);
                    }
                    field = if ours && depth == 2 { name } else { "" };
                }
                Event::End => {
                    depth -= 1;
                    field = "";
                }
                Event::Text(text) if field == "state" => state.push_str(&text),
                Event::Text(text) if field == "refresh" => refresh.push_str(&text),
                Event::Text(_) => {}
            }
        }
        Ok(Self { active: state.trim() == "active", refresh: refresh.trim().parse().ok() })
    }

    /// Writes a document about plain text.
    #[must_use]
    pub fn write(self) -> String {
        let state = if self.active { "active" } else { "idle" };
        let refresh = self.refresh.map_or(String::new(), |s| format!("<refresh>{s}</refresh>"));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<isComposing xmlns=\"{COMPOSING}\">\
             <state>{state}</state><contenttype>text/plain</contenttype>{refresh}</isComposing>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        // COMP-01
        for told in [
            Composing { active: true, refresh: Some(60) },
            Composing { active: true, refresh: None },
            Composing::default(),
        ] {
            assert_eq!(Composing::read(told.write().as_bytes()), Ok(told));
        }
    }

    #[test]
    fn documents_of_others_are_read_and_unknown_states_are_idle() {
        // COMP-03: the sample of RFC 3994 §5, with a prefix, more elements, and what is none.
        let sample = "<?xml version='1.0'?><c:isComposing xmlns:c='urn:ietf:params:xml:ns:im-iscomposing' \
            xmlns:x='urn:x'><c:state> active </c:state><x:state>idle</x:state>\
            <c:lastactive>2003-01-27T10:43:00Z</c:lastactive><c:contenttype>audio</c:contenttype>\
            <c:refresh>90</c:refresh><c:more><c:state>idle</c:state></c:more></c:isComposing>";
        let told = Composing { active: true, refresh: Some(90) };
        assert_eq!(Composing::read(sample.as_bytes()), Ok(told));
        let dancing = sample.replace(" active ", "dancing").replace("90", "-1");
        assert_eq!(Composing::read(dancing.as_bytes()), Ok(Composing::default()));
        for bad in ["", "<x/>", "<isComposing xmlns='urn:y'/>", &sample.replace("</c:more>", "")] {
            assert!(Composing::read(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = sample.replace("audio", &"a".repeat(COMPOSING_BYTES_MAX));
        assert_eq!(Composing::read(long.as_bytes()), Err(XmlError::TooLong));
    }
}
