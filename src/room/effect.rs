//! What follows from a command; carried out by the shard, in order.

use crate::base::id::{EndpointId, MessageNo, Seq, ShardId};
use crate::base::refusal::Refusal;
use crate::room::command::Feedback;
use std::sync::Arc;

/// The endpoints that get a private message.
pub type Recipients = Arc<[EndpointId]>;

/// What the recipients of a message are to answer: Failure-Report of its copies (RFC 4975 §7.1, RFC 7701 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Nothing (`no`).
    Nothing,
    /// What is wrong (`partial`).
    Errors,
    /// Everything (`yes`): somebody waits to hear that the copy has arrived.
    All,
}

/// One consequence of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The endpoint may open a session on shard `at`.
    Grant {
        /// Who.
        endpoint: EndpointId,
        /// Where.
        at: ShardId,
    },
    /// The endpoint may not enter.
    Refuse {
        /// Who.
        endpoint: EndpointId,
        /// Why.
        why: Refusal,
        /// What is said besides, if anything.
        words: Option<Arc<str>>,
    },
    /// The rules of the room have changed.
    Ruled,
    /// The endpoint's call is to end; the room has taken it out already.
    Dismiss {
        /// Who.
        endpoint: EndpointId,
        /// What they are told.
        words: Arc<str>,
    },
    /// The room has something to say to an endpoint.
    Tell {
        /// Whom.
        endpoint: EndpointId,
        /// What.
        text: String,
    },
    /// The endpoint is present: it gets every message after `after`.
    Admit {
        /// Who.
        endpoint: EndpointId,
        /// Where its session is.
        at: ShardId,
        /// The number of its participant.
        number: u32,
        /// The last message it does not get.
        after: Seq,
    },
    /// The endpoint's session must end.
    Evict {
        /// Who.
        endpoint: EndpointId,
        /// Where its session is.
        at: ShardId,
    },
    /// The endpoint's session is not on shard `at`, where it was granted, any more.
    Forget {
        /// Who.
        endpoint: EndpointId,
        /// Where its session was.
        at: ShardId,
    },
    /// The answer to a message.
    Verdict {
        /// Who sent it.
        endpoint: EndpointId,
        /// Where its session is.
        at: ShardId,
        /// Which message.
        no: MessageNo,
        /// The answer.
        verdict: Result<(), Refusal>,
    },
    /// A message that the room had taken so far is refused: what follows of it gets this answer.
    Withdraw {
        /// Who sends it.
        endpoint: EndpointId,
        /// Where its session is.
        at: ShardId,
        /// Which message.
        no: MessageNo,
        /// Why.
        why: Refusal,
    },
    /// The endpoint has another nickname, or none.
    Renamed {
        /// Who.
        endpoint: EndpointId,
        /// The form to show.
        nickname: Option<Arc<str>>,
    },
    /// The endpoint belongs to the participant that it disclosed: its session must know.
    Disclosed {
        /// Who.
        endpoint: EndpointId,
        /// The number of the participant.
        number: u32,
        /// Where its session is.
        at: ShardId,
    },
    /// The part at hand goes to every endpoint present but its sender, as message `seq`.
    Broadcast {
        /// The message's place in the order.
        seq: Seq,
        /// Who sent it.
        from: EndpointId,
        /// What the recipients are to answer.
        ask: Ask,
        /// A private message: only these endpoints get it.
        only: Option<Recipients>,
        /// The sender's number for the message.
        no: MessageNo,
        /// What the sender is to hear later.
        feedback: Feedback,
    },
    /// The part at hand follows the earlier parts of message `seq`.
    Continue {
        /// Which message.
        seq: Seq,
        /// A private message: only these endpoints get it.
        only: Option<Recipients>,
    },
    /// Message `seq` ends unfinished.
    Abort {
        /// Which message.
        seq: Seq,
    },
    /// Nobody is left; the room is over.
    Close,
}
