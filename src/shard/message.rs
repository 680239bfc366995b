//! Everything that may cross between threads: between shards, and between a shard and the control
//! plane. Plain values, moved; large things only as `Bytes` or boxed.
//!
//! Bounds: `limits::SHARD_MESSAGE_BYTES_MAX` octets each, asserted below.

use crate::base::address::Address;
use crate::base::chunk::Chunk;
use crate::base::id::{ConnId, EndpointId, GrantNo, MessageNo, RoomId, Seq, SessionId, ShardId};
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use crate::room::command::Feedback;
use crate::room::effect::{Ask, Recipients};
use crate::room::rules::{Caller, Rules};
use crate::session::wrapper::Sender;
use crate::shard::audience::answers::Heard;
use crate::wire::sdp::TypeList;
use bytes::Bytes;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the focus negotiated for one endpoint and the data plane must know.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The participant's path as its SDP gave it, all URIs, separated by single spaces:
    /// the To-Path of everything sent to this endpoint.
    pub peer_path: Bytes,
    /// Wrapped types that the endpoint takes (the union of both attributes, CHAT-MSG-12).
    pub accepts: TypeList,
    /// Whether the endpoint's `a=chatroom` has `private-messages`; `None` if its SDP has no such attribute.
    pub private_messages: Option<bool>,
    /// The endpoint may send content (`sendrecv` or `sendonly` as seen from the endpoint).
    pub may_send: bool,
    /// The endpoint takes content (`sendrecv` or `recvonly` as seen from the endpoint).
    pub may_receive: bool,
    /// The endpoint's own `a=max-size`: larger messages are not sent to it.
    pub max_size: Option<u64>,
    /// Where we connect, if the endpoint is the passive side; `None` if it connects to us.
    pub connect_to: Option<SocketAddr>,
}

/// A request to enter a room, checked by the focus.
#[derive(Clone, Debug)]
pub struct Join {
    /// The endpoint, named by the focus.
    pub endpoint: EndpointId,
    /// The room's address.
    pub room: Address,
    /// The participant, as authenticated by SIP.
    pub participant: Address,
    /// Further addresses that the participant may use in CPIM From (CHAT-JOIN-07).
    pub aliases: Vec<Address>,
    /// The display name of the SIP From, for the roster; empty if there was none.
    pub display_name: Arc<str>,
    /// The Contact URI: the endpoint's entity in the roster (RFC 4575 §5.7).
    pub contact: Arc<str>,
    /// Who the participant is, as far as the focus knows.
    pub caller: Caller,
    /// The room's password, if one was given.
    pub password: Option<Arc<str>>,
    /// What was negotiated. For an INVITE without offer the terms come later, with [`ToShard::Revise`];
    /// until then nothing may bind.
    pub terms: Option<Terms>,
}

/// A participant who has hidden so far tells who it is.
#[derive(Clone, Debug)]
pub struct Disclosure {
    /// The endpoint that tells.
    pub endpoint: EndpointId,
    /// In which room.
    pub room: Address,
    /// Who the participant is from now on.
    pub participant: Address,
    /// Further addresses that the participant may use in CPIM From from now on.
    pub aliases: Vec<Address>,
}

/// What an endpoint is told by its room.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whom.
    pub endpoint: EndpointId,
    /// By which room.
    pub room: Address,
    /// To them alone; else it is written as to the whole room.
    pub private: bool,
    /// Each a message of its own.
    pub texts: Vec<String>,
}

/// From the control plane to a shard. `Join`, `Leave` go to the room's home, see [`home`].
#[derive(Debug)]
pub enum ToShard {
    /// An endpoint wants in. Answered by [`FromShard::Granted`] or [`FromShard::Refused`].
    Join(Box<Join>),
    /// New terms after a re-INVITE, or the first after an INVITE without offer; to the room's home.
    /// With `rebind`, the session gets a new session-id (answered by [`FromShard::Granted`] with the same
    /// number) and the old connection loses it once the new one is bound.
    Revise {
        /// Whose terms.
        endpoint: EndpointId,
        /// In which room.
        room: Address,
        /// The new terms.
        terms: Box<Terms>,
        /// The peer's path changed: a new binding is needed. The number ties the answer to this question.
        rebind: Option<GrantNo>,
    },
    /// An endpoint takes the place of another one of the same participant; to the room's home. Answered with
    /// [`FromShard::Renamed`] if there is a nickname to go on with.
    Inherit {
        /// Who.
        heir: EndpointId,
        /// Who will leave.
        from: EndpointId,
        /// Which room.
        room: Address,
    },
    /// An anonymous participant tells who it is; to the room's home. Answered, with [`FromShard::Refused`],
    /// only if the room does not take it.
    Disclose(Box<Disclosure>),
    /// Something to be said to one endpoint only; to the room's home. Not answered.
    Notice(Box<Notice>),
    /// The dialog ended; to the room's home. Not answered, and not an error if the endpoint is unknown.
    Leave {
        /// Who.
        endpoint: EndpointId,
        /// Which room.
        room: Address,
    },
    /// The server stops: finish what is begun, send `#` for what cannot be finished, close, then
    /// answer [`FromShard::Drained`].
    Drain,
}

/// From a shard to the control plane.
#[derive(Debug)]
pub enum FromShard {
    /// The endpoint may bind a session: the answer's path is made of `session`.
    Granted {
        /// Who.
        endpoint: EndpointId,
        /// The new session.
        session: SessionId,
        /// Which question this answers: that of [`ToShard::Revise`], 0 for a Join.
        no: GrantNo,
    },
    /// The room has taken the endpoint out: its call is to end.
    Dismissed {
        /// Who.
        endpoint: EndpointId,
        /// What they are told.
        words: Arc<str>,
    },
    /// The endpoint may not enter.
    Refused {
        /// Who.
        endpoint: EndpointId,
        /// Why.
        why: Refusal,
        /// What is said besides, if anything.
        words: Option<Arc<str>>,
    },
    /// The rules of a room are other ones now; `None`: those of its policy, because it is over.
    Ruled {
        /// Which room.
        room: Address,
        /// Its rules.
        rules: Option<Arc<Rules>>,
    },
    /// The endpoint's MSRP session is bound: it is present in the room.
    Bound {
        /// Who.
        endpoint: EndpointId,
    },
    /// The endpoint's MSRP session ended, or never began in time. The endpoint is still a member of
    /// the room until [`ToShard::Leave`].
    Lost {
        /// Who.
        endpoint: EndpointId,
        /// Why.
        why: Ended,
    },
    /// The endpoint has another nickname now, or none. From the room's home, in its order.
    Renamed {
        /// Who.
        endpoint: EndpointId,
        /// The form to show.
        nickname: Option<Arc<str>>,
    },
    /// The endpoint's session knows the address that the participant told: it may speak under it.
    Disclosed {
        /// Who.
        endpoint: EndpointId,
    },
    /// All connections of the shard are closed; it stops now.
    Drained {
        /// Which shard.
        shard: ShardId,
    },
}

/// Why an MSRP session ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ended {
    /// The participant closed the connection, or it broke.
    Closed,
    /// Nobody bound the session in time.
    NeverBound,
    /// We could not connect to the participant.
    NoConnect,
    /// The connection took nothing for too long, or its queue passed the hard watermark.
    TooSlow,
    /// So many messages were left out because the connection was slow, in a room that has nobody miss any.
    Missed(u32),
    /// The participant broke the protocol beyond repair.
    Misbehaved,
    /// The participant says that it has no such session (481, 506).
    Disowned,
}

/// From shard to shard. Order is kept from one shard to another.
#[derive(Debug)]
pub enum ShardMessage {
    /// Home → session's shard: hold this session until somebody binds it.
    Grant(Box<Grant>),
    /// Home → session's shard: new terms; with an id, a new session replaces the old once bound.
    Revise {
        /// Whose.
        endpoint: EndpointId,
        /// The new terms.
        terms: Box<Terms>,
        /// The new session's name and what the focus asked for it by, if a new binding is needed.
        rebind: Option<(SessionId, GrantNo)>,
    },
    /// Home → session's shard: the sender has another address.
    Disclose {
        /// The number of the participant in the room.
        number: u32,
        /// Who tells what.
        disclosure: Box<Disclosure>,
    },
    /// Home → session's shard: something to be said to the endpoint.
    Notice(Box<Notice>),
    /// Session's shard → home: the session is bound here.
    Bind {
        /// In which room.
        room: RoomId,
        /// Who.
        endpoint: EndpointId,
    },
    /// Session's shard → home: the session ended, the dialog goes on. It may be bound elsewhere by now, and what is said
    /// of that may come first.
    Unbind {
        /// In which room.
        room: RoomId,
        /// Who.
        endpoint: EndpointId,
    },
    /// Home → session's shard: the endpoint gets every message after `after`.
    Admit {
        /// The number of its participant in the room.
        number: u32,
        /// Who.
        endpoint: EndpointId,
        /// The last message it does not get.
        after: Seq,
    },
    /// Home → session's shard: end the session.
    Evict {
        /// Whose.
        endpoint: EndpointId,
    },
    /// Home → a shard that gave a session to a claim: the session is bound elsewhere, and whatever
    /// concerns it goes there from now on.
    Forget {
        /// Whose.
        endpoint: EndpointId,
    },
    /// Session's shard → home: the session cannot be held, the endpoint was refused.
    Decline {
        /// In which room.
        room: RoomId,
        /// Who.
        endpoint: EndpointId,
    },
    /// Session's shard → home: the first part of a message.
    Post {
        /// To which room.
        room: RoomId,
        /// Who sends.
        endpoint: EndpointId,
        /// The sender's number for the message.
        no: MessageNo,
        /// What the wrapper says.
        envelope: Box<OwnedEnvelope>,
        /// What the sender wants to hear later.
        feedback: Feedback,
        /// The octets.
        chunk: Box<Chunk>,
    },
    /// Session's shard → home: a later part.
    Continue {
        /// To which room.
        room: RoomId,
        /// Who sends.
        endpoint: EndpointId,
        /// The sender's number for the message.
        no: MessageNo,
        /// The octets.
        chunk: Box<Chunk>,
    },
    /// Session's shard → home: the endpoint wants a nickname, or none. Answered like a message.
    Nickname {
        /// In which room.
        room: RoomId,
        /// Who.
        endpoint: EndpointId,
        /// The number of the request.
        no: MessageNo,
        /// The nickname; `None` removes the present one.
        wish: Option<Box<Nickname>>,
    },
    /// Home → session's shard: the answer to a message or to the wish for a nickname.
    Verdict {
        /// Who sent it.
        endpoint: EndpointId,
        /// Which message.
        no: MessageNo,
        /// The answer.
        verdict: Result<(), Refusal>,
    },
    /// Home → every shard with an audience: a part of message `seq`.
    Deliver {
        /// In which room.
        room: RoomId,
        /// Which message.
        seq: Seq,
        /// For the first part: what the audience must know of the message.
        opening: Option<Box<Opening>>,
        /// More follows, and the sender, this endpoint, is not read before the audience has room for it:
        /// to be answered with [`ShardMessage::Room`].
        hold: Option<EndpointId>,
        /// The octets.
        chunk: Box<Chunk>,
    },
    /// Home → every shard with an audience: message `seq` ends unfinished.
    Abort {
        /// In which room.
        room: RoomId,
        /// Which message.
        seq: Seq,
    },
    /// Shard with an audience → home: what was heard of a followed message.
    Heard {
        /// In which room.
        room: RoomId,
        /// Which message.
        seq: Seq,
        /// What.
        heard: Box<Heard>,
    },
    /// Home → session's shard: what became of a followed message.
    Outcome {
        /// Who sent it.
        endpoint: EndpointId,
        /// Which message.
        no: MessageNo,
        /// What became of it.
        outcome: Outcome,
    },
    /// Session's shard → home: the queues here have room for the next part of a long message.
    Room {
        /// Who sends it.
        endpoint: EndpointId,
    },
    /// Home → session's shard: the sender of a long message may be read again.
    GoOn {
        /// Who sends it.
        endpoint: EndpointId,
    },
    /// A connection whose first request names a session of the receiving shard.
    HandOver(Box<HandOver>),
    /// A connection that cannot move asks for a session of the receiving shard.
    Claim {
        /// Which session.
        session: SessionId,
        /// The connection that asks.
        conn: ConnId,
    },
    /// The answer to a claim.
    Claimed {
        /// The connection that asked.
        conn: ConnId,
        /// The session and the number of its last message, since outcomes of earlier ones may still come; or why it
        /// cannot be had.
        grant: Result<(Box<Grant>, MessageNo), Refusal>,
    },
}

const _: () = assert!(size_of::<ShardMessage>() <= crate::base::limits::SHARD_MESSAGE_BYTES_MAX);

/// Permission to open a session: made when the room says yes, consumed by the first request.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The session's secret name.
    pub session: SessionId,
    /// Whose.
    pub endpoint: EndpointId,
    /// In which room.
    pub room: RoomId,
    /// Whose messages these will be.
    pub sender: Sender,
    /// What was negotiated; `None` until the answer to our own offer has come.
    pub terms: Option<Box<Terms>>,
}

/// What the wrapper of a message says, with values of its own.
#[derive(Clone, Debug)]
pub struct OwnedEnvelope {
    /// The recipient, if it is not the room.
    pub to: Option<Box<str>>,
    /// The wrapped media type.
    pub content_type: Box<str>,
}

/// What became of a message, as its sender is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How many participants have it, and how many were to get it; `None` if too many messages are followed.
    pub count: Option<(u32, u32)>,
    /// Nobody has it: the MSRP code that says why.
    pub failed: Option<u16>,
}

/// What an audience must know when a message begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who sent it: gets no copy.
    pub from: EndpointId,
    /// The wrapped media type.
    pub content_type: Arc<str>,
    /// What the recipients are to answer.
    pub ask: Ask,
    /// A private message: only these endpoints get it.
    pub only: Option<Recipients>,
    /// What is heard of the copies is told to the home.
    pub follow: Option<Follow>,
    /// Whoever misses it for being slow is cut.
    pub cuts: bool,
}

/// How the copies of a message are followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    /// The number of the participant that does not count: the sender of what is for everybody.
    pub except: Option<u32>,
}

/// A connection on its way to another shard. Dropped on the way means closed.
#[derive(Debug)]
pub struct HandOver {
    /// The socket.
    pub socket: OwnedFd,
    /// Octets received and not yet consumed; they begin with a whole head.
    pub unread: Vec<u8>,
}

/// The shard that orders the messages of `room`: the same on every thread, for as long as the
/// number of shards stays the same.
#[must_use]
pub fn home(room: &Address, shards: u16) -> ShardId {
    // FNV-1a over the comparison form: spread matters here, secrecy does not, and every thread
    // must come to the same result without sharing a key.
    let hash = room
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    ShardId(((hash >> 32) % u64::from(shards.max(1))) as u16)
}
