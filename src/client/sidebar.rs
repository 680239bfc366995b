//! Sidebars: rooms that participants of a room open among themselves (docs/extensions.md, Sidebars).
//!
//! One is opened by a call to the factory that names the room, and lists whom of the room to ask (RFC 5366). From then on it
//! is a room as any other.
//!
//! Touches: nothing. Bounds: those of the server, which refuses longer lists. Proved by: the tests below, and end to end by
//! `tests/end_to_end/library/sidebars.rs`.

use super::sip::is_sip_uri;
use crate::wire::conference::{CopyControl, LIST_MEDIA_TYPE, Recipient, history};

/// The user of the factory, unless another is named.
const FACTORY: &str = "conference";

/// A sidebar to be opened.
#[derive(Clone, Debug)]
pub(super) struct Sidebar {
    /// The room that it belongs to.
    pub(super) of: String,
    /// Whom to ask, as the roster of that room shows them.
    pub(super) whom: Vec<String>,
}

impl Sidebar {
    /// The first address that may not stand in a request.
    pub(super) fn bad(&self) -> Option<&String> {
        std::iter::once(&self.of).chain(&self.whom).find(|uri| !is_sip_uri(uri))
    }

    /// Header lines and body of the INVITE that opens it. The boundary stands nowhere in the offer.
    pub(super) fn request(&self, offer: &str, boundary: &str) -> (String, String) {
        let of = format!("Sidebar-Of: <{}>\r\n", self.of);
        if self.whom.is_empty() {
            return (format!("{of}Content-Type: application/sdp\r\n"), offer.to_string());
        }
        let head = format!(
            "{of}Require: recipient-list-invite\r\nContent-Type: multipart/mixed;boundary=\"{boundary}\"\r\n"
        );
        let listed =
            |uri: &String| Recipient { uri: uri.clone(), copy: CopyControl::Primary, anonymous: false };
        let listed: Vec<Recipient> = self.whom.iter().map(listed).collect();
        let body = format!(
            "--{boundary}\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n\
             --{boundary}\r\nContent-Type: {LIST_MEDIA_TYPE}\r\nContent-Disposition: recipient-list\r\n\r\n\
             {}\r\n--{boundary}--\r\n",
            history(&listed)
        );
        (head, body)
    }
}

/// The factory of a room's server.
pub(super) fn factory(room: &str) -> Option<String> {
    Some(format!("sip:{FACTORY}@{}", domain(room)?))
}

/// The address of a room that the factory made: what it is called at the domain that was asked. The Contact itself says
/// where the server listens.
pub(super) fn made(contact: &str, factory: &str) -> Option<String> {
    let (_, rest) = contact.split_once(':')?;
    let (user, _) = rest.split_once('@')?;
    Some(format!("sip:{user}@{}", domain(factory)?))
}

/// The domain of a SIP address, with its port.
pub(super) fn domain(address: &str) -> Option<&str> {
    address.split('@').nth(1)?.split([';', '?', '>']).next().filter(|domain| !domain.is_empty())
}

/// The sidebar to which a notice of a room asks, and what people are to be told: its last line is the address between angle
/// brackets.
pub(super) fn asked(text: &str) -> Option<(&str, &str)> {
    let (told, last) = text.trim_end().rsplit_once('\n')?;
    let address = last.trim().strip_prefix('<')?.strip_suffix('>')?;
    (is_sip_uri(address) && address.contains('@')).then_some((address, told.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conference::recipients;

    #[test]
    fn a_request_names_the_room_and_lists_who_is_asked() {
        // FOCUS-10
        let whom = vec!["sip:bob@x".to_string(), "sip:a&b@x".to_string()];
        let sidebar = Sidebar { of: "sip:lobby@x".to_string(), whom };
        let (head, body) = sidebar.request("v=0\r\n", "b1");
        assert_eq!(
            head,
            "Sidebar-Of: <sip:lobby@x>\r\nRequire: recipient-list-invite\r\n\
             Content-Type: multipart/mixed;boundary=\"b1\"\r\n"
        );
        assert!(
            body.starts_with("--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1\r\n"),
            "{body}"
        );
        let list = body.split("\r\n\r\n").nth(3).unwrap().split("\r\n--b1--").next().unwrap();
        let listed = recipients(list.as_bytes()).unwrap();
        assert_eq!(listed.iter().map(|r| r.uri.as_str()).collect::<Vec<_>>(), ["sip:bob@x", "sip:a&b@x"]);
        // Who asks nobody yet sends no list.
        let alone = Sidebar { whom: Vec::new(), ..sidebar };
        let (head, body) = alone.request("v=0\r\n", "b1");
        assert_eq!(head, "Sidebar-Of: <sip:lobby@x>\r\nContent-Type: application/sdp\r\n");
        assert_eq!((body.as_str(), alone.bad()), ("v=0\r\n", None));
        let bad = Sidebar { whom: vec!["sip:b@x>\r\n".to_string()], ..alone };
        assert_eq!(bad.bad(), Some(&bad.whom[0]));
    }

    #[test]
    fn what_the_factory_made_is_called_so_at_the_domain_asked() {
        assert_eq!(factory("sip:lobby@x:5070;y=z").as_deref(), Some("sip:conference@x:5070"));
        assert_eq!(factory("sip:lobby"), None);
        let contact = "sip:t0ken@192.0.2.9:5070;transport=tcp";
        assert_eq!(made(contact, "sip:conference@x").as_deref(), Some("sip:t0ken@x"));
        assert_eq!(made("sip:192.0.2.9", "sip:conference@x"), None);
    }

    #[test]
    fn a_notice_asks_to_what_its_last_line_names() {
        let table = [
            ("Al asks you to a sidebar.\r\n<sip:s@x>", Some(("sip:s@x", "Al asks you to a sidebar."))),
            ("Al\r\n<sip:s@x>\r\n", Some(("sip:s@x", "Al"))),
            ("You are muted", None),
            ("<sip:s@x>", None),
            ("Al\r\n<sip:s@x> now", None),
            ("Al\r\n<sip:x>", None),
            ("Al\r\n<http://s@x>", None),
            ("Al\r\n<sip:s@x><sip:t@x>", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(asked(text), expected, "{text:?}");
        }
    }
}
