//! What goes to the room by MSRP: what is said, asked for, and told in between.

use super::super::{COMMANDS_WAITING_MAX, Event};
use super::Task;
use crate::base::clock::{wall_seconds, wall_text};
use crate::client::endpoint::CHUNK_BYTES_UNCUT_MAX;
use crate::client::receipts::Receipts;
use crate::wire::conference::{COMPOSING_MEDIA_TYPE, Composing, NOTICE_MEDIA_TYPE, NOTICE_NAMESPACE, Notice};
use crate::wire::cpim;

/// The type of what is said.
const TEXT: &str = "text/plain;charset=UTF-8";

impl Task {
    fn wrap(
        &self,
        to: Option<&str>,
        headers: &[(&str, &str)],
        content_type: &str,
        content: &[u8],
    ) -> Vec<u8> {
        let mut octets = Vec::with_capacity(content.len() + 256);
        cpim::write(
            &mut octets,
            &cpim::Draft {
                from: &self.from,
                from_name: &self.name,
                to: to.unwrap_or(&self.room),
                to_name: "",
                date_time: &wall_text(wall_seconds()),
                headers,
                content_type,
                content,
            },
        );
        octets
    }

    /// Tells a sender that their message is here.
    pub(super) fn give_receipt(&mut self, to: &str, notice: &Notice) {
        let Some(id) = self.receipts.as_mut().map(Receipts::message_id) else { return };
        let space = notice_space();
        let headers = [("NS", &*space), ("imdn.Message-ID", &*id)];
        let mut octets = self.wrap(Some(to), &headers, NOTICE_MEDIA_TYPE, b"");
        // A further header of the content, before the blank line that ends them.
        octets.truncate(octets.len() - 2);
        octets.extend_from_slice(b"Content-Disposition: notification\r\n\r\n");
        octets.extend_from_slice(notice.write().as_bytes());
        self.endpoint.hint(octets, COMMANDS_WAITING_MAX);
    }

    /// Tells the others whether we are writing.
    pub(super) fn tell_typing(&mut self, told: Option<Composing>) {
        if let Some(told) = told.filter(|_| self.typing_taken) {
            let octets = self.wrap(None, &[], COMPOSING_MEDIA_TYPE, told.write().as_bytes());
            self.endpoint.hint(octets, 0);
        }
    }

    pub(super) fn say(&mut self, number: u64, to: Option<&str>, text: &str, counted: bool) {
        // Where the switch counts, one need not ask everybody.
        let asks = self.receipts.as_mut().filter(|_| counted && !self.counts && to.is_some());
        let octets = match asks.map(|receipts| receipts.ask(number)) {
            Some(id) => {
                let space = notice_space();
                let wanted = ("imdn.Disposition-Notification", "positive-delivery, negative-delivery");
                let headers = [("NS", &*space), ("imdn.Message-ID", &*id), wanted];
                self.wrap(to, &headers, TEXT, text.as_bytes())
            }
            None => self.wrap(to, &[], TEXT, text.as_bytes()),
        };
        if to.is_none() {
            self.own.said();
        }
        if octets.len() as u64 > self.message_bytes_max {
            let comment = format!("the room takes messages up to {} octets", self.message_bytes_max);
            return self.tell(Event::Refused { message: number, code: 413, comment });
        }
        if counted && self.counts {
            self.endpoint.say_counted(number, octets);
        } else {
            self.endpoint.say(number, octets);
        }
    }

    /// Asks something of the room itself, which takes it in one chunk only.
    pub(super) fn order(&mut self, number: u64, media_type: &str, body: &str) {
        let octets = self.wrap(None, &[], media_type, body.as_bytes());
        if octets.len() > CHUNK_BYTES_UNCUT_MAX {
            let comment = format!("with its addresses a command has at most {CHUNK_BYTES_UNCUT_MAX} octets");
            return self.tell(Event::Refused { message: number, code: 413, comment });
        }
        self.endpoint.say(number, octets);
    }
}

/// The declaration of the headers of RFC 5438.
fn notice_space() -> String {
    format!("imdn <{NOTICE_NAMESPACE}>")
}
