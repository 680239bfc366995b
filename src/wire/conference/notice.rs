//! That a message has arrived: `message/imdn+xml` (RFC 5438 §11).

use super::xml::{Event, Reader, XmlError};
use crate::base::media;

/// The namespace of the documents.
const NOTICE: &str = "urn:ietf:params:xml:ns:imdn";

/// Octets of a document that is read. A real one has 500.
const NOTICE_BYTES_MAX: usize = 8192;

/// The media type of the documents.
pub const NOTICE_MEDIA_TYPE: &str = media::NOTIFICATION;

/// The namespace of the headers in the wrapper that ask for one (RFC 5438 §6.3).
pub const NOTICE_NAMESPACE: &str = "urn:ietf:params:imdn";

/// What became of a message at one of its recipients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notice {
    /// The message, as its sender named it in the wrapper.
    pub message_id: String,
    /// When it was sent, as its sender says.
    pub date_time: String,
    /// Whether it arrived; `None` if the document tells of something else, as that it was shown.
    pub delivered: Option<bool>,
}

impl Notice {
    /// Reads a document.
    ///
    /// # Errors
    /// [`XmlError`] if it is out of bounds, not well-formed or of another kind.
    pub fn read(xml: &[u8]) -> Result<Self, XmlError> {
        if xml.len() > NOTICE_BYTES_MAX {
            return Err(XmlError::TooLong);
        }
        let mut reader = Reader::new(xml)?;
        let mut notice = Self::default();
        // Names of the open elements; those of other namespaces have none.
        let mut open: Vec<&str> = Vec::new();
        while let Some(event) = reader.next()? {
            match event {
                Event::Start { namespace, name } => {
                    open.push(if namespace == NOTICE { name } else { "" });
                    match open[..] {
                        ["imdn", ..] => {}
                        _ => return Err(XmlError::OtherDocument),
                    }
                    if let [_, "delivery-notification", "status", status] = open[..] {
                        notice.delivered = Some(status == "delivered");
                    }
                }
                Event::End => drop(open.pop()),
                Event::Text(text) => match open[..] {
                    ["imdn", "message-id"] => notice.message_id.push_str(text.trim()),
                    ["imdn", "datetime"] => notice.date_time.push_str(text.trim()),
                    _ => {}
                },
            }
        }
        Ok(notice)
    }

    /// Writes that a message was delivered. Characters that would be markup are left out of what its sender said.
    #[must_use]
    pub fn write(&self) -> String {
        let plain = |text: &str| text.replace(['<', '>', '&'], "");
        let status = if self.delivered == Some(true) { "delivered" } else { "failed" };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"{NOTICE}\"><message-id>{}</message-id>\
             <datetime>{}</datetime><delivery-notification><status><{status}/></status></delivery-notification></imdn>",
            plain(&self.message_id),
            plain(&self.date_time),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        // IMDN-02
        for delivered in [true, false] {
            let notice = Notice {
                message_id: "34jk324j".to_string(),
                date_time: "2008-04-04T12:16:49-05:00".to_string(),
                delivered: Some(delivered),
            };
            assert_eq!(Notice::read(notice.write().as_bytes()), Ok(notice));
        }
        let hostile = Notice { message_id: "</message-id><x>&".to_string(), ..Notice::default() };
        assert_eq!(Notice::read(hostile.write().as_bytes()).unwrap().message_id, "/message-idx");
    }

    #[test]
    fn other_notices_are_read_and_say_nothing_of_delivery() {
        let shown = "<n:imdn xmlns:n='urn:ietf:params:xml:ns:imdn'><n:message-id>a</n:message-id>\
            <n:display-notification><n:status><n:displayed/></n:status></n:display-notification>\
            <x:message-id xmlns:x='y'>b</x:message-id></n:imdn>";
        let notice = Notice { message_id: "a".to_string(), ..Notice::default() };
        assert_eq!(Notice::read(shown.as_bytes()), Ok(notice));
        for bad in ["", "<imdn/>", &shown.replace("</n:imdn>", ""), &" ".repeat(NOTICE_BYTES_MAX + 1)] {
            assert!(Notice::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
