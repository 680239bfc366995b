//! What a member of an audience takes. Most say the same as others, so it is kept once and judged once per message.
//!
//! Touches: nothing. Bounds: `KNOWN_MAX` kept for those who come next; `limits::REFUSED_TYPES_MAX` refused types.
//! Proved by: `tests/switch`.

use crate::base::limits;
use crate::shard::message::Terms;
use crate::wire::sdp::TypeList;
use smallvec::SmallVec;
use std::sync::Arc;

/// What its SDP said, and what it has refused since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Takes {
    accepts: TypeList,
    max_size: u64,
    receives: bool,
    /// Types it refused with 415.
    refused: SmallVec<[Arc<str>; 0]>,
}

impl Takes {
    /// The largest message, in octets.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.max_size
    }

    /// Why a message of this type and size is not sent there, as the code that the member itself would answer
    /// (CHAT-MSG-11, MSRP-TYPE-03, SDP-10, SDP-11).
    #[must_use]
    pub fn declines(&self, content_type: &str, size: u64) -> Option<u16> {
        if !self.receives {
            return Some(403);
        }
        if size > self.max_size {
            return Some(413);
        }
        let takes = self.accepts.allows(content_type)
            && !self.refused.iter().any(|t| t.eq_ignore_ascii_case(content_type));
        (!takes).then_some(415)
    }

    /// It refused a type.
    pub fn refuse(&mut self, content_type: Arc<str>) {
        if self.refused.len() < limits::REFUSED_TYPES_MAX {
            self.refused.push(content_type);
        }
    }
}

/// Different ones that a shard knows again. Clients of a kind say the same.
const KNOWN_MAX: usize = 32;

/// What members said lately, so that those who say the same share it.
#[derive(Debug, Default)]
pub struct KnownTakes {
    known: Vec<Arc<Takes>>,
    /// Where the next new one goes when there are [`KNOWN_MAX`].
    next: usize,
}

impl KnownTakes {
    /// What somebody with these terms takes.
    #[must_use]
    pub fn of(&mut self, terms: &Terms) -> Arc<Takes> {
        let takes = Takes {
            accepts: terms.accepts.clone(),
            max_size: terms.max_size.unwrap_or(u64::MAX),
            receives: terms.may_receive,
            refused: SmallVec::new(),
        };
        if let Some(known) = self.known.iter().find(|k| ***k == takes) {
            return known.clone();
        }
        let takes = Arc::new(takes);
        if self.known.len() < KNOWN_MAX {
            self.known.push(takes.clone());
        } else {
            self.known[self.next] = takes.clone();
            self.next = (self.next + 1) % KNOWN_MAX;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(accepts: &str, max_size: Option<u64>) -> Terms {
        Terms {
            peer_path: "msrp://a:1/x;tcp".into(),
            accepts: TypeList::parse(accepts),
            private_messages: None,
            may_send: true,
            may_receive: true,
            max_size,
            connect_to: None,
        }
    }

    #[test]
    fn those_who_say_the_same_share_it_until_one_refuses_something() {
        let mut known = KnownTakes::default();
        let a = known.of(&terms("text/*", None));
        let mut b = known.of(&terms("text/*", None));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &known.of(&terms("text/*", Some(10)))));
        Arc::make_mut(&mut b).refuse("text/html".into());
        assert_eq!((a.declines("text/html", 1), b.declines("TEXT/html", 1)), (None, Some(415)));
        assert_eq!(
            known.of(&terms("text/*", None)).declines("text/html", 1),
            None,
            "nor does who comes next"
        );
    }

    #[test]
    fn few_are_known_however_many_come() {
        let mut known = KnownTakes::default();
        for n in 0..10 * KNOWN_MAX as u64 {
            assert_eq!(known.of(&terms("*", Some(n))).declines("text/plain", n + 1), Some(413));
        }
        assert_eq!(known.known.len(), KNOWN_MAX);
    }
}
