//! Receipts for private messages from the recipient's own program (RFC 5438).
//!
//! We ask for one only where private messages are possible, and give one only in private: in a room a notice must
//! never reach everybody (IMDN-03). One is given at most once for a message, none for a notice, none for what other
//! servers want to have routed back through them.
//!
//! Touches: nothing. Bounds: [`RECEIPTS_MAX`] asked for and given are remembered. Proved by: the tests below.

use crate::base::entropy::Entropy;
use crate::wire::conference::{NOTICE_MEDIA_TYPE, NOTICE_NAMESPACE, Notice};
use crate::wire::cpim::Message;
use std::collections::VecDeque;

/// Messages that a receipt may come for, or was given for. Beyond, the oldest are forgotten.
const RECEIPTS_MAX: usize = 256;

/// Receipts asked for and given.
pub(super) struct Receipts {
    entropy: Entropy,
    asked: VecDeque<(String, u64)>,
    /// From and Message-ID.
    given: VecDeque<(String, String)>,
}

impl Receipts {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self { entropy, asked: VecDeque::new(), given: VecDeque::new() }
    }

    /// A name that a message has for its recipients: 131 bits of chance.
    pub(super) fn message_id(&mut self) -> String {
        self.entropy.text::<22>().map(char::from).iter().collect()
    }

    /// Asks for a receipt for the message with this number. The name that it goes by.
    pub(super) fn ask(&mut self, number: u64) -> String {
        let id = self.message_id();
        if self.asked.len() == RECEIPTS_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((id.clone(), number));
        id
    }

    /// A receipt came. The number of the message, and whether it arrived.
    pub(super) fn got(&mut self, xml: &[u8]) -> Option<(u64, bool)> {
        let notice = Notice::read(xml).ok()?;
        let delivered = notice.delivered?;
        let at = self.asked.iter().position(|(id, _)| *id == notice.message_id)?;
        Some((self.asked.remove(at)?.1, delivered))
    }

    /// The receipt to give for a message that has arrived, if its sender wants one.
    pub(super) fn give(&mut self, message: &Message<'_>) -> Option<Notice> {
        if message.content_type.eq_ignore_ascii_case(NOTICE_MEDIA_TYPE) {
            return None;
        }
        let header = |name: &str| {
            let mut all = message.headers.iter().filter(|h| h.namespace == NOTICE_NAMESPACE);
            all.find(|h| h.name == name).map(|h| &*h.value)
        };
        let wanted = header("Disposition-Notification")?;
        if !wanted.split(',').any(|w| w.trim() == "positive-delivery")
            || header("IMDN-Record-Route").is_some()
        {
            return None;
        }
        let id = header("Message-ID").filter(|id| !id.is_empty() && id.len() <= 256)?;
        let date_time = message.date_time?;
        let key = (message.from.uri.to_string(), id.to_string());
        if self.given.contains(&key) {
            return None;
        }
        if self.given.len() == RECEIPTS_MAX {
            self.given.pop_front();
        }
        self.given.push_back(key);
        Some(Notice { message_id: id.to_string(), date_time: date_time.to_string(), delivered: Some(true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cpim;

    fn wrapper(id: &str, wanted: &str, more: &str, kind: &str) -> String {
        format!(
            "From: <sip:bob@x>\r\nTo: <sip:alice@x>\r\nDateTime: 2024-01-01T00:00:00Z\r\n\
             NS: x1 <urn:ietf:params:imdn>\r\nx1.Message-ID: {id}\r\nx1.Disposition-Notification: {wanted}\r\n\
             {more}\r\nContent-Type: {kind}\r\n\r\nhi"
        )
    }

    #[test]
    fn a_receipt_is_given_once_and_only_for_what_asks_for_it() {
        // IMDN-02
        let mut receipts = Receipts::new(Entropy::from_seed(1));
        let mut given = |text: &str| receipts.give(&cpim::read(text.as_bytes()).unwrap());
        let plain = |id: &str, wanted: &str| wrapper(id, wanted, "", "text/plain");
        let notice = given(&plain("a1", "negative-delivery, positive-delivery")).unwrap();
        assert_eq!((&*notice.message_id, notice.delivered), ("a1", Some(true)));
        assert_eq!(notice.date_time, "2024-01-01T00:00:00Z");
        assert_eq!(given(&plain("a1", "positive-delivery")), None, "once");
        for (n, wanted) in ["display", "processing", "negative-delivery", ""].into_iter().enumerate() {
            assert_eq!(given(&plain(&format!("b{n}"), wanted)), None, "{wanted}");
        }
        assert_eq!(
            given(&wrapper("c1", "positive-delivery", "", "message/imdn+xml")),
            None,
            "none for a notice"
        );
        let routed = "x1.IMDN-Record-Route: <sip:relay@x>\r\n";
        assert_eq!(given(&wrapper("c2", "positive-delivery", routed, "text/plain")), None);
        let dateless = plain("c3", "positive-delivery").replace("DateTime: 2024-01-01T00:00:00Z\r\n", "");
        assert_eq!(given(&dateless), None);
        let foreign = plain("c4", "positive-delivery").replace("urn:ietf:params:imdn", "urn:x");
        assert_eq!(given(&foreign), None);
    }

    #[test]
    fn a_receipt_is_taken_for_what_was_asked_and_once() {
        // IMDN-02
        let mut receipts = Receipts::new(Entropy::from_seed(1));
        let ids: Vec<String> = (1..=RECEIPTS_MAX as u64 + 1).map(|n| receipts.ask(n)).collect();
        assert!(ids.iter().all(|id| id.len() == 22) && ids[0] != ids[1]);
        let mut got = |id: &str, delivered| {
            let notice =
                Notice { message_id: id.to_string(), date_time: String::new(), delivered: Some(delivered) };
            receipts.got(notice.write().as_bytes())
        };
        assert_eq!(got(&ids[1], true), Some((2, true)));
        assert_eq!(got(&ids[1], true), None);
        assert_eq!(got(&ids[2], false), Some((3, false)));
        assert_eq!((got(&ids[0], true), got("unknown", true)), (None, None), "the oldest is forgotten");
        assert_eq!(receipts.got(b"no document"), None);
    }
}
