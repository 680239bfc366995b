//! What a room allows: as it is configured, before anybody changes anything. What is in force is in `rules.rs`.

use super::ban::Ban;
use crate::base::address::Address;
use crate::base::flood::Limits;
use crate::base::limits;
use crate::base::rights::Role;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A word that opens a room. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

impl Password {
    /// A password of at least one and at most [`limits::ROOM_PASSWORD_BYTES_MAX`] octets.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= limits::ROOM_PASSWORD_BYTES_MAX).then(|| Self(text.into()))
    }

    /// Whether `given` is the password; takes as long for one that is nearly right.
    #[must_use]
    pub fn opens(&self, given: &str) -> bool {
        let differs = self.0.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        differs == 0 && self.0.len() == given.len()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The rules of one room.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// clients in use are (RFC 7701 §6.2 would have 428).
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
    /// Copies ask for errors in rooms up to this many endpoints (CHAT-REP-06).
    pub copy_report_endpoints_max: usize,
    /// Who is an owner, a moderator or a member (a participant) whenever they come.
    pub roles: BTreeMap<Address, Role>,
    /// Who is kept out.
    pub bans: Vec<Ban>,
    /// What the room is about.
    pub subject: Arc<str>,
    /// Only members come in.
    pub members_only: bool,
    /// Only those speak who were given a voice, and members.
    pub moderated: bool,
    /// Nobody new comes in.
    pub locked: bool,
    /// Who comes in must know this.
    pub password: Option<Password>,
    /// How long everybody but moderators waits between two messages; zero for not at all.
    pub slow_mode: Duration,
    /// The lowest role that may invite.
    pub invite: Role,
    /// The lowest role that may open sidebars.
    pub sidebars: Role,
    /// The lowest role that may set the subject.
    pub subject_by: Role,
    /// What whoever makes an ad-hoc room is in it.
    pub creator: Role,
    /// The room goes on, with what was changed in it, when nobody is there any more.
    pub persistent: bool,
    /// The room is shown to those who look for rooms.
    pub public: bool,
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
            roles: BTreeMap::new(),
            bans: Vec::new(),
            subject: "".into(),
            members_only: false,
            moderated: false,
            locked: false,
            password: None,
            slow_mode: Duration::ZERO,
            invite: Role::Participant,
            sidebars: Role::Participant,
            subject_by: Role::Moderator,
            creator: Role::Outsider,
            persistent: false,
            public: false,
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
            (true, "org.openmsrp.commands"),
            (true, "com.ag-projects.sylkserver-control"),
        ];
        let on: Vec<&str> = tokens.into_iter().filter_map(|(on, t)| on.then_some(t)).collect();
        on.join(" ")
    }
}

/// Media types that a room takes.
#[derive(Clone, PartialEq, Eq, Debug)]
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
