//! What can be asked of a room.

use crate::base::address::Address;
use crate::base::chunk::Flag;
use crate::base::id::{EndpointId, MessageNo, ShardId};
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use crate::room::order::Order;
use crate::room::rules::Caller;

/// One request to a room.
#[derive(Debug)]
pub enum Command<'a> {
    /// An endpoint of `participant` asks to enter.
    Join {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Whose.
        participant: Address,
        /// Whether it can take private messages; `None` if it declares nothing.
        able: Option<bool>,
        /// Who that is, as far as the server knows.
        caller: Caller,
        /// The password that was given.
        password: Option<&'a str>,
    },
    /// What the endpoint can do changed.
    Revise {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Whether it can take private messages; `None` if it declares nothing, any more or still.
        able: Option<bool>,
    },
    /// The endpoint's session is bound to a connection on shard `at`.
    Bind {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Where its connection is.
        at: ShardId,
    },
    /// The endpoint's session ended; its dialog goes on.
    Unbind {
        /// Which endpoint.
        endpoint: EndpointId,
    },
    /// An endpoint takes the place of another one of the same participant (FOCUS-09).
    Inherit {
        /// Which endpoint.
        heir: EndpointId,
        /// The one that will leave.
        from: EndpointId,
    },
    /// The endpoint's participant, anonymous so far, tells who it is.
    Disclose {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Who it is.
        participant: Address,
    },
    /// The endpoint's dialog ended.
    Leave {
        /// Which endpoint.
        endpoint: EndpointId,
    },
    /// The first part of a message.
    Post(Posting<'a>),
    /// The endpoint wants a nickname, or none.
    Nickname {
        /// Which endpoint.
        endpoint: EndpointId,
        /// The number of the request.
        no: MessageNo,
        /// The nickname; `None` removes the present one.
        wish: Option<Nickname>,
    },
    /// A moderator, or somebody who would be one, asks for something.
    Order {
        /// Which endpoint.
        endpoint: EndpointId,
        /// The sender's number for the message.
        no: MessageNo,
        /// Octets of the message.
        octets: u64,
        /// What; or why that is not understood.
        order: Result<Order, Refusal>,
    },
    /// A later part of a message.
    Continue {
        /// Who sends.
        endpoint: EndpointId,
        /// Which message.
        no: MessageNo,
        /// How the part ends.
        flag: Flag,
        /// Octets of the part.
        octets: u64,
    },
}

/// What a sender wants to hear of a message after the answer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Feedback {
    /// How many participants have it.
    pub count: bool,
    /// That nobody has it, if it is private.
    pub failure: bool,
}

/// The first part of a message, as the room sees it. The wrapper's From was checked by the session.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Who sends.
    pub endpoint: EndpointId,
    /// The sender's number for the message.
    pub no: MessageNo,
    /// The recipient, if it is not the room.
    pub to: Option<&'a str>,
    /// The wrapped media type without parameters.
    pub content_type: &'a str,
    /// Octets of the whole message as far as known: claimed total or what is there.
    pub size: u64,
    /// Octets of the part.
    pub octets: u64,
    /// How the part ends.
    pub flag: Flag,
    /// What the sender wants to hear later.
    pub feedback: Feedback,
}
