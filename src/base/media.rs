//! The wrapped types that are about messages, and are treated in ways of their own.

/// Tells that somebody is typing (RFC 3994): worth nothing a moment later.
#[must_use]
pub fn is_typing(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case("application/im-iscomposing+xml")
}

/// Tells what became of a message (RFC 5438).
#[must_use]
pub fn is_notification(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case("message/imdn+xml")
}
