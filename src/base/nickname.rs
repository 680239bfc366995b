//! A nickname, prepared: what to show, and what to compare.

use std::sync::Arc;

/// A nickname after preparation (RFC 8266): made by `wire::nickname` only, so that two that look equal
/// to the comparison rules have the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nickname {
    /// The form to show (RFC 8266 §2.3).
    pub shown: Arc<str>,
    /// The form to compare (RFC 8266 §2.4).
    pub key: Arc<str>,
    /// What it can be mistaken for: two that look alike have the same (UTS 39 §4). Compare the keys as well.
    pub looks: Arc<str>,
}
