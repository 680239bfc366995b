//! Requests that came by more than one way (RFC 3261 §8.2.2.2): the first of a forked SUBSCRIBE or REFER is
//! carried out, the others are answered 482. An INVITE is known by its call, see `invite.rs`.
//!
//! Bounds: [`MERGED_MAX`] requests of a few octets each; the oldest goes first, and each after
//! [`MERGED_WAIT`]. Proof: the test below, `tests.rs` beside this file.

use super::signalling::{Method, Request};
use crate::base::clock::Now;
use crate::base::limits::{MERGED_MAX, MERGED_WAIT};
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The requests outside dialogs that were carried out of late.
///
/// Only a digest of each is kept, so that its size is not the peer's choice. Who can make two of them fall
/// together has their own request refused, or knows the whole identity of the other one anyway.
#[derive(Default)]
pub(super) struct Merged {
    known: HashSet<u64>,
    order: VecDeque<(Now, u64)>,
}

impl Merged {
    /// Whether this request was carried out already, having come by another way.
    pub(super) fn knows(&mut self, now: Now, request: &Request) -> bool {
        while let Some((_, old)) = self.order.pop_front_if(|(since, _)| *since + MERGED_WAIT <= now) {
            self.known.remove(&old);
        }
        self.known.contains(&digest(request))
    }

    /// This request is carried out now.
    pub(super) fn keep(&mut self, now: Now, request: &Request) {
        let digest = digest(request);
        if !self.known.insert(digest) {
            return;
        }
        self.order.push_back((now, digest));
        if self.order.len() > MERGED_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// What the copies of a request have in common, and no other request of the sender has.
pub(super) fn digest(request: &Request) -> u64 {
    digest_of(request.call_id(), request.from_tag(), request.cseq(), request.method)
}

/// The same of its parts.
pub(super) fn digest_of(call_id: &str, from_tag: Option<&str>, cseq: u32, method: Method) -> u64 {
    let mut hasher = DefaultHasher::new();
    (call_id, from_tag, cseq, method).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::strict::{Message, read};
    use super::*;
    use std::time::Duration;

    fn request(n: usize) -> Request {
        let text = format!(
            "REFER sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP p\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: c\r\nCSeq: {n} REFER\r\n\r\n"
        );
        let Ok(Message::Request(request)) = read(text.as_bytes()) else { panic!() };
        request
    }

    #[test]
    fn the_oldest_is_forgotten_and_each_after_its_time() {
        let mut merged = Merged::default();
        for n in 0..=MERGED_MAX {
            merged.keep(Now(5), &request(n));
            merged.keep(Now(5), &request(n));
        }
        assert_eq!((merged.order.len(), merged.known.len()), (MERGED_MAX, MERGED_MAX));
        assert!(!merged.knows(Now(6), &request(0)) && merged.knows(Now(6), &request(1)));
        let end = Now(5) + MERGED_WAIT;
        assert!(merged.knows(Now(end.0 - 1), &request(MERGED_MAX)));
        assert!(!merged.knows(end, &request(MERGED_MAX)));
        assert!(merged.order.is_empty() && merged.known.is_empty());
        merged.keep(end + Duration::from_secs(1), &request(1));
        assert!(merged.knows(end + MERGED_WAIT, &request(1)));
    }
}
