//! Known bugs, planted into what carries messages between shards (here), and between the focus and the world
//! (`desk.rs`): the simulator must find each of them, or it finds nothing (tests/sim.rs proves it).

use super::world::Carried;
use crate::base::entropy::Entropy;
use crate::base::media::is_command;
use crate::base::refusal::Refusal;
use crate::shard::message::ShardMessage;
use std::collections::VecDeque;

/// A bug that is planted on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Canary {
    /// One message between shards in 200 is lost.
    Lose,
    /// One delivery in 20 comes twice.
    Repeat,
    /// One message in 20 overtakes the one before it.
    Swap,
    /// The end of a dialog does not reach the session's shard.
    ForgetEvict,
    /// A connection that moves loses the last octet it brought.
    Clip,
    /// Rosters do not say that somebody is gone.
    ForgetDelete,
    /// One roster in ten has a number that is too high.
    SkipVersion,
    /// A BYE is answered, and nobody acts on it.
    Ghost,
    /// One roster in five tells who an anonymous participant is.
    Unhide,
    /// A nickname that is given back stays in the roster.
    KeepNickname,
    /// Whoever comes in place of another device comes beside it.
    ForgetReplaces,
    /// A reservation that was refused is said to be granted.
    GrantTwice,
    /// What is for one goes to all.
    Publish,
    /// What a rule of the room forbids is said to be done.
    Forgive,
    /// What is for the room itself goes to all.
    PublishOrders,
}

impl Canary {
    /// Every canary, by the name it is called.
    pub const ALL: [(&'static str, Self); 15] = [
        ("lose", Self::Lose),
        ("repeat", Self::Repeat),
        ("swap", Self::Swap),
        ("forget-evict", Self::ForgetEvict),
        ("clip", Self::Clip),
        ("forget-delete", Self::ForgetDelete),
        ("skip-version", Self::SkipVersion),
        ("ghost", Self::Ghost),
        ("unhide", Self::Unhide),
        ("keep-nickname", Self::KeepNickname),
        ("forget-replaces", Self::ForgetReplaces),
        ("grant-twice", Self::GrantTwice),
        ("publish", Self::Publish),
        ("forgive", Self::Forgive),
        ("publish-orders", Self::PublishOrders),
    ];

    /// The canary of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(n, _)| *n == name).map(|(_, canary)| canary)
    }

    /// Puts what is sent into the ring, as wrong as this bug would have it.
    pub(super) fn push(self, dice: &mut Entropy, ring: &mut VecDeque<Carried>, mut sent: Carried) {
        match (self, &mut sent) {
            (Self::Lose, Carried::Message(_)) if dice.below(200) == 0 => return,
            (Self::ForgetEvict, Carried::Message(ShardMessage::Evict { .. })) => return,
            (Self::Repeat, Carried::Message(ShardMessage::Deliver { room, seq, opening, chunk, .. }))
                if dice.below(20) == 0 =>
            {
                let (room, seq, opening, chunk) = (*room, *seq, opening.clone(), chunk.clone());
                let again = ShardMessage::Deliver { room, seq, opening, hold: None, chunk };
                ring.push_back(Carried::Message(again));
            }
            (Self::GrantTwice, Carried::Message(ShardMessage::Verdict { verdict, .. }))
                if *verdict == Err(Refusal::NicknameTaken) =>
            {
                *verdict = Ok(());
            }
            (Self::Forgive, Carried::Message(ShardMessage::Verdict { verdict, .. }))
                if matches!(verdict, Err(Refusal::Denied(_))) =>
            {
                *verdict = Ok(());
            }
            (Self::PublishOrders, Carried::Message(ShardMessage::Post { envelope, .. }))
                if is_command(&envelope.content_type) =>
            {
                envelope.content_type = "text/plain".into();
            }
            (Self::Clip, Carried::Conn { unread, .. }) => {
                unread.pop();
            }
            _ => {}
        }
        let overtakes = self == Self::Swap && dice.below(20) == 0;
        match ring.pop_back() {
            Some(before) if overtakes => ring.extend([sent, before]),
            Some(before) => ring.extend([before, sent]),
            None => ring.push_back(sent),
        }
    }
}
