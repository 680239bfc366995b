//! The wrapped types that are about messages, and are treated in ways of their own.

/// The type that tells that somebody is typing (RFC 3994).
pub const TYPING: &str = "application/im-iscomposing+xml";

/// The type that tells what became of a message (RFC 5438 §11).
pub const NOTIFICATION: &str = "message/imdn+xml";

/// The type of a moderator's command to the room (docs/extensions.md).
pub const COMMAND: &str = "application/vnd.openmsrp.command";

/// The type of what Blink sends to change the subject of a room.
pub const CONTROL: &str = "sylkserver/control";

/// Is meant for the room itself, not for those in it.
#[must_use]
pub fn is_command(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case(COMMAND) || content_type.eq_ignore_ascii_case(CONTROL)
}

/// Tells that somebody is typing: worth nothing a moment later.
#[must_use]
pub fn is_typing(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case(TYPING)
}

/// What becomes of a message of this type is worth telling its sender: of one that tells of typing, or is meant for the
/// room itself, nothing is ever said after its answer.
#[must_use]
pub fn is_reported(content_type: &str) -> bool {
    !is_typing(content_type) && !is_command(content_type)
}

/// Tells what became of a message.
#[must_use]
pub fn is_notification(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case(NOTIFICATION)
}
