//! What a room allows.

use crate::base::flood::Limits;
use crate::base::limits;
use std::time::Duration;

/// The rules of one room.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Participants at once; one more is refused with 486.
    pub participants_max: usize,
    /// Endpoints of one participant at once.
    pub participant_endpoints_max: usize,
    /// Octets of one message, wrapper included.
    pub message_bytes_max: u64,
    /// Wrapped types that may be sent.
    pub types: Types,
    /// Participants may take nicknames.
    pub nicknames: bool,
    /// A freed nickname is kept for its last holder for this long (CHAT-NICK-09).
    pub nickname_quarantine: Duration,
    /// Participants may write to each other privately.
    pub private_messages: bool,
    /// An endpoint that declares nothing (no `a=chatroom`) counts as able to take private messages, as the
    /// clients in use are (field.md 2.8; RFC 7701 §6.2 would have 428).
    pub legacy_private_messages: bool,
    /// A sender may ask how many recipients confirmed a message.
    pub delivery_counts: bool,
    /// A nickname that looks like another's is refused like one in use.
    pub look_alikes_refused: bool,
    /// Up to so many participants everybody is shown the whole roster; above, a summary.
    pub roster_whole_max: usize,
    /// Moderators are shown who an anonymous participant is, and participants are told that it is so.
    pub moderators_see_identity: bool,
    /// Who is too slow for a message is cut, not told how many were left out (RFC 7701 §6.4).
    pub cut_slow: bool,
    /// How much of what may happen in what time.
    pub floods: Limits,
    /// Copies ask for responses in rooms up to this many endpoints (CHAT-REP-06).
    pub copy_report_endpoints_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            participants_max: limits::ROOM_PARTICIPANTS_MAX,
            participant_endpoints_max: limits::PARTICIPANT_ENDPOINTS_MAX,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            types: Types::any(),
            nicknames: true,
            nickname_quarantine: Duration::from_secs(120),
            private_messages: true,
            legacy_private_messages: true,
            delivery_counts: false,
            look_alikes_refused: false,
            roster_whole_max: limits::ROSTER_WHOLE_MAX,
            moderators_see_identity: false,
            cut_slow: false,
            floods: Limits::default(),
            copy_report_endpoints_max: limits::COPY_REPORT_ENDPOINTS_MAX,
        }
    }
}

impl Policy {
    /// The tokens of `a=chatroom` that tell what the room can do (RFC 7701 §8, docs/extensions.md).
    #[must_use]
    pub fn chatroom_tokens(&self) -> String {
        let tokens = [
            (self.nicknames, "nickname"),
            (self.private_messages, "private-messages"),
            (self.delivery_counts, "org.openmsrp.delivery-count"),
        ];
        let on: Vec<&str> = tokens.into_iter().filter_map(|(on, t)| on.then_some(t)).collect();
        on.join(" ")
    }
}

/// Media types that a room takes.
#[derive(Clone, Debug)]
pub struct Types(Option<Vec<String>>);

impl Types {
    /// Every type.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// Only these: `type/subtype` or `type/*`, in any case.
    #[must_use]
    pub fn only(list: &[&str]) -> Self {
        Self(Some(list.iter().map(|t| t.to_ascii_lowercase()).collect()))
    }

    /// Whether the room takes `content_type`.
    #[must_use]
    pub fn allows(&self, content_type: &str) -> bool {
        let Some(list) = &self.0 else { return true };
        list.iter().any(|t| match t.strip_suffix('*') {
            Some(prefix) => {
                content_type.len() >= prefix.len()
                    && content_type.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
            }
            None => t.eq_ignore_ascii_case(content_type),
        })
    }
}
