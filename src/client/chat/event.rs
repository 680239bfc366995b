//! What happens in a room.

use crate::base::rights::Role;
use crate::client::call::{CallError, Step};
use crate::client::multipart;
use crate::client::roster::Person;
use crate::wire::conference::ListedRoom;
use bytes::Bytes;
use std::borrow::Cow;

/// What happens in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Everybody who is there, told once.
    Here(Vec<Person>),
    /// Somebody came.
    Joined(Person),
    /// Somebody went.
    Left(Person),
    /// Somebody has another name now.
    Renamed {
        /// Who, with the new name.
        who: Person,
        /// The name before.
        before: String,
    },
    /// What the room is about; empty if it is about nothing any more.
    Subject(String),
    /// Nobody new comes in any more, or again (RFC 4575 §5.5).
    Locked(bool),
    /// Some have another role now, all the same one.
    Role {
        /// Who, at least one.
        who: Vec<Person>,
        /// The role now, as in [`Person::role`].
        role: Option<Role>,
        /// The role before.
        before: Option<Role>,
    },
    /// Somebody may say nothing now, or may again: `who.muted`.
    Muted(Person),
    /// The sidebars that the room has now, by address: told at the beginning if there are any, and when they change.
    Sidebars(Vec<String>),
    /// Somebody asks us to a sidebar of the room: [`Client::join`](super::Client::join) enters it.
    AskedToSidebar {
        /// Its address.
        sidebar: String,
        /// What the room says to it: who asks. May hold any character.
        text: String,
    },
    /// Somebody said something.
    Message(Message),
    /// The switch took a message of ours, gave us the nickname, or did what we asked for as a moderator.
    Accepted {
        /// The number that [`Room::say`](super::Room::say), [`Room::nickname`](super::Room::nickname) or
        /// [`Room::command`](super::Room::command) gave.
        message: u64,
    },
    /// The switch counted who has a message of ours.
    Received {
        /// The number that [`Room::say`](super::Room::say) gave.
        message: u64,
        /// How many have it, and how many were to have it; `None`: the room had too much to do to count.
        count: Option<(u32, u32)>,
    },
    /// The program of somebody whom we told something in private says that it has it, or could not take it.
    Notified {
        /// The number that [`Room::say_to`](super::Room::say_to) gave.
        message: u64,
        /// Who.
        who: Person,
        /// It has it.
        delivered: bool,
    },
    /// A message of ours was refused, or is lost probably (408), or for some, also after it was accepted; or a
    /// nickname or command was refused.
    Refused {
        /// The number that [`Room::say`](super::Room::say), [`Room::nickname`](super::Room::nickname) or
        /// [`Room::command`](super::Room::command) gave.
        message: u64,
        /// The MSRP status code; that of SIP for a kick in a room that takes no commands.
        code: u16,
        /// What the switch says to it.
        comment: String,
    },
    /// Somebody began to write something, or stopped; what they say tells the latter too (RFC 3994).
    Typing {
        /// Who.
        who: Person,
        /// Began.
        writing: bool,
    },
    /// The room tries to bring somebody in or to take somebody out, or tells how far it is.
    Step {
        /// The number that [`Room::bring_in`](super::Room::bring_in) or [`Room::take_out`](super::Room::take_out) gave.
        request: u64,
        /// How far.
        step: Step,
    },
    /// The others know now who we are, or the room says that they do not.
    Revealed {
        /// The number that [`Room::reveal`](super::Room::reveal) gave.
        request: u64,
        /// What we are called now: messages are sent under this address.
        address: String,
        /// What the room adds.
        warning: Option<String>,
    },
    /// The public rooms, the largest first.
    Rooms {
        /// The number that [`Room::list_rooms`](super::Room::list_rooms) gave.
        request: u64,
        /// As many as one document tells.
        rooms: Vec<ListedRoom>,
        /// What people are to be told: how many more there are.
        note: Option<String>,
    },
    /// Something asked of the room by SIP is not done.
    Failed {
        /// The number that [`Room::bring_in`](super::Room::bring_in), [`Room::take_out`](super::Room::take_out), [`Room::reveal`](super::Room::reveal) or [`Room::list_rooms`](super::Room::list_rooms) gave.
        request: u64,
        /// Why.
        error: CallError,
    },
    /// We are out of the room; the last event.
    Closed {
        /// Why.
        why: String,
    },
}

/// What somebody said. Names and texts may hold any character: whoever shows them to a terminal cleans them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Message {
    /// The sender's URI, for which the room vouches.
    pub from: String,
    /// The sender's name by the roster, or else as the message says, or else the address.
    pub name: String,
    /// A private message.
    pub to_me: bool,
    /// The room itself says it, and nobody in it.
    pub of_room: bool,
    /// When it was sent, as its sender says (RFC 3339).
    pub date_time: Option<String>,
    /// The media type, without parameters.
    pub content_type: String,
    /// The parameters of the media type as they stand behind it: `;charset=UTF-8`.
    pub parameters: String,
    /// The content.
    pub content: Bytes,
    /// Headers that the sender says must be understood and that we do not (RFC 3862 §3.5): not to be
    /// shown as if they were.
    pub not_understood: Vec<String>,
}

impl Message {
    /// The content as text: plain, of several parts, or in a wrapper of its own (MSRP-TYPE-02); `None` for
    /// everything else.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        multipart::text(&self.content_type, &self.parameters, &self.content)
    }
}
