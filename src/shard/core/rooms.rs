//! Rooms whose home is here: what they are asked, and what they decide, carried out in order.

use super::ShardCore;
use super::pressure::Held;
use crate::base::address::Address;
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::id::{EndpointId, GrantNo, MessageNo, RoomId, Seq, ShardId};
use crate::base::limits;
use crate::base::media::{CONTROL, is_command};
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use crate::room::Room;
use crate::room::command::{Command, Feedback, Posting};
use crate::room::effect::Effect;
use crate::room::order::Order;
use crate::session::wrapper::{Envelope, Sender};
use crate::shard::audience::copy::Body;
use crate::shard::audience::{Delivered, Tools};
use crate::shard::message::{
    Disclosure, Follow, FromShard, Grant, Join, Notice, Opening, OwnedEnvelope, ShardMessage, Terms,
};
use crate::wire::cpim;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

/// The part that a command is about, for the effects that pass it on.
pub(super) struct Payload<'a> {
    /// The octets.
    pub(super) chunk: Chunk<Body<'a>>,
    /// The wrapped media type; of the first part only.
    pub(super) content_type: Option<Arc<str>>,
    /// Who sends.
    pub(super) from: EndpointId,
    /// Where the sender's session is.
    pub(super) from_at: ShardId,
}

impl ShardCore {
    /// An endpoint asks to enter a room; the room comes into being if need be.
    pub(super) fn join(&mut self, now: Now, join: Join) {
        let endpoint = join.endpoint;
        if let Err(why) = self.has_or_makes(now, &join) {
            self.outputs.control.push(FromShard::Refused { endpoint, why, words: None });
            return;
        }
        let room = self.room_named(&join.room);
        let (participant, caller) = (join.participant.clone(), join.caller.clone());
        let able = join.terms.as_ref().and_then(|t| t.private_messages);
        let password = join.password.as_deref();
        let command = Command::Join { endpoint, participant, able, caller, password };
        let mut effects = self.ask(now, room, command);
        let mut join = Some(join);
        for effect in effects.drain(..) {
            match (effect, join.take()) {
                (Effect::Grant { at, .. }, Some(join)) => self.send_grant(now, room, at, join),
                (effect, rest) => {
                    join = rest;
                    self.carry_out(now, room, effect, None);
                }
            }
        }
        self.effects = effects;
    }

    /// Whether the room that somebody wants to enter exists, or may be made.
    fn has_or_makes(&self, now: Now, join: &Join) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        if self.room_names.contains_key(&join.room) {
            return Ok(());
        }
        if self.rooms.len() >= limits::SHARD_ROOMS_MAX {
            return Err(Refusal::Overloaded);
        }
        if self.config.rooms.is_named(&join.room) {
            return Ok(());
        }
        let decision = self.config.rooms.may_create(now, &join.caller);
        let (room, who, rule) = (&join.room, &join.participant, decision.rule.token());
        tracing::debug!(target: "openmsrp::rights", %room, %who, action = "Create", rule, allowed = decision.allowed);
        decision.check().map_err(Refusal::Denied)
    }

    fn room_named(&mut self, name: &Address) -> RoomId {
        if let Some(room) = self.room_names.get(name) {
            return *room;
        }
        self.last_room += 1;
        let id = RoomId::new(self.config.id, self.last_room);
        let rules = self.config.rooms.rules(name).clone();
        let room = Room::new(name.clone(), rules, self.config.id, self.config.shards);
        self.rooms.insert(id, room);
        self.room_names.insert(name.clone(), id);
        id
    }

    fn send_grant(&mut self, now: Now, room: RoomId, at: ShardId, join: Join) {
        // One address for all who are in the room, instead of one in each Join.
        let Join { room: address, endpoint, participant, aliases, terms, .. } = join;
        let address = self.rooms.get(&room).map_or(address, |r| r.address().clone());
        let message_bytes_max = self.config.rooms.rules(&address).policy().message_bytes_max;
        let sender = Sender { room: address, participant, aliases, message_bytes_max };
        let session = self.entropy.session_id(at);
        let grant = Grant { session, endpoint, room, sender, terms: terms.map(Box::new) };
        self.tell(now, at, ShardMessage::Grant(Box::new(grant)));
    }

    /// Asks a room; the effects, to be given back to `self.effects` when carried out.
    fn ask(&mut self, now: Now, room: RoomId, command: Command<'_>) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        if let Some(room) = self.rooms.get_mut(&room) {
            room.apply(now, command, &mut effects);
        }
        effects
    }

    /// Asks a room and carries out what it decides. The verdict, if it is for a sender here.
    pub(super) fn run(
        &mut self,
        now: Now,
        room: RoomId,
        command: Command<'_>,
        payload: Option<&Payload<'_>>,
    ) -> Option<Result<(), Refusal>> {
        let mut effects = self.ask(now, room, command);
        let mut verdict = None;
        for effect in effects.drain(..) {
            verdict = verdict.or(self.carry_out(now, room, effect, payload));
        }
        self.effects = effects;
        verdict
    }

    fn carry_out(
        &mut self,
        now: Now,
        room: RoomId,
        effect: Effect,
        payload: Option<&Payload<'_>>,
    ) -> Option<Result<(), Refusal>> {
        match effect {
            // These need what only `join` and `room_disclose` have at hand.
            Effect::Grant { .. } | Effect::Disclosed { .. } => {}
            Effect::Refuse { endpoint, why, words } => {
                self.outputs.control.push(FromShard::Refused { endpoint, why, words });
            }
            Effect::Ruled => {
                if let Some(room) = self.rooms.get(&room) {
                    let (room, rules) = (room.address().clone(), Some(room.rules().clone()));
                    self.outputs.control.push(FromShard::Ruled { room, rules });
                }
            }
            Effect::Dismiss { endpoint, words } => {
                self.outputs.control.push(FromShard::Dismissed { endpoint, words });
            }
            Effect::Tell { endpoint, text } => {
                let known = self.rooms.get(&room);
                if let Some((at, room)) =
                    known.and_then(|r| Some((r.roster().shard_of(endpoint)?, r.address().clone())))
                {
                    let notice = Notice { endpoint, room, private: true, texts: vec![text] };
                    self.tell(now, at, ShardMessage::Notice(Box::new(notice)));
                }
            }
            Effect::Admit { endpoint, at, number, after } => {
                self.tell(now, at, ShardMessage::Admit { endpoint, number, after });
            }
            Effect::Evict { endpoint, at } => self.tell(now, at, ShardMessage::Evict { endpoint }),
            Effect::Forget { endpoint, at } => self.tell(now, at, ShardMessage::Forget { endpoint }),
            Effect::Verdict { at, verdict, .. } if at == self.config.id => return Some(verdict),
            Effect::Verdict { endpoint, at, no, verdict } => {
                self.tell(now, at, ShardMessage::Verdict { endpoint, no, verdict });
            }
            Effect::Withdraw { endpoint, at, no, why } => {
                self.tell(now, at, ShardMessage::Verdict { endpoint, no, verdict: Err(why) });
            }
            Effect::Renamed { endpoint, nickname } => {
                self.outputs.control.push(FromShard::Renamed { endpoint, nickname });
            }
            Effect::Broadcast { seq, from, ask, only, no, feedback } => {
                self.counters.messages += 1;
                if let Some(payload) = payload {
                    let content_type = payload.content_type.clone().unwrap_or_else(|| "text/plain".into());
                    let except = self.number(room, from).filter(|_| only.is_none());
                    let follow = (feedback != Feedback::default()).then_some(Follow { except });
                    let cuts = self.rooms.get(&room).is_some_and(Room::cuts_slow);
                    let opening = Opening { from, content_type, ask, only, follow, cuts };
                    self.begin(now, room, seq, no, opening, payload);
                }
            }
            Effect::Continue { seq, only } => {
                if let Some(payload) = payload {
                    // Its end goes to all shards: whoever it is for may have left the one where it began.
                    let only = only.as_deref().filter(|_| payload.chunk.flag == Flag::More);
                    let shards = self.shards_of(room, seq, only);
                    self.spread(now, room, seq, None, &shards, payload);
                    if payload.chunk.flag == Flag::Abort {
                        self.unfollow(room, seq);
                    }
                }
            }
            Effect::Abort { seq } => self.spread_abort(now, room, seq),
            Effect::Close => {
                self.tallies.close(room);
                if let Some(room) = self.rooms.remove(&room) {
                    self.room_names.remove(room.address());
                    if room.is_ruled() {
                        let ruled = FromShard::Ruled { room: room.address().clone(), rules: None };
                        self.outputs.control.push(ruled);
                    }
                }
            }
        }
        None
    }

    /// A message begins: to everybody who is to get it, followed if its sender wants to hear more of it.
    fn begin(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        no: MessageNo,
        mut opening: Opening,
        payload: &Payload<'_>,
    ) {
        let shards = self.shards_of(room, seq, opening.only.as_deref());
        if opening.follow.is_some() {
            let private = opening.only.is_some();
            let follows = self.follow(now, room, seq, (opening.from, no), private, &shards);
            opening.follow = opening.follow.filter(|_| follows);
        }
        self.spread(now, room, seq, Some(&opening), &shards, payload);
    }

    /// The shards that a part of message `seq` goes to: where endpoints are that may get it, and where somebody
    /// who got its beginning still is to say what became of it.
    fn shards_of(&self, room: RoomId, seq: Seq, only: Option<&[EndpointId]>) -> SmallVec<[ShardId; 8]> {
        let Some(r) = self.rooms.get(&room) else { return SmallVec::new() };
        let mut shards: SmallVec<[ShardId; 8]> = match only {
            None => r.roster().shards().collect(),
            Some(few) => few.iter().filter_map(|e| r.roster().shard_of(*e)).collect(),
        };
        let followed = self.tallies.waiting(room, seq);
        if only.is_some() || !followed.is_empty() {
            shards.extend_from_slice(followed);
            shards.sort_unstable();
            shards.dedup();
        }
        shards
    }

    /// The number of the endpoint's participant in the room.
    fn number(&self, room: RoomId, endpoint: EndpointId) -> Option<u32> {
        self.rooms.get(&room)?.roster().number_of(endpoint)
    }

    /// A part to every audience that is to get it: one message per other shard, whatever its size. If
    /// more follows, its sender is held until all of them have room for it.
    fn spread(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        opening: Option<&Opening>,
        shards: &[ShardId],
        payload: &Payload<'_>,
    ) {
        let hold = (payload.chunk.flag == Flag::More).then_some(payload.from);
        let mut owned: Option<Chunk<Bytes>> = None;
        let mut waiting = SmallVec::new();
        let mut here = false;
        for &shard in shards {
            if shard == self.config.id {
                here = true;
                continue;
            }
            let chunk = Box::new(owned.get_or_insert_with(|| payload.chunk.to_owned_chunk()).clone());
            let opening = opening.map(|o| Box::new(o.clone()));
            self.outputs.mesh.push((shard, ShardMessage::Deliver { room, seq, opening, hold, chunk }));
            waiting.push(shard);
        }
        if here {
            self.deliver(now, room, seq, opening, &payload.chunk);
        }
        if let Some(endpoint) = hold {
            self.hold(now, Held { room, endpoint, tell: payload.from_at, waiting, since: now });
        }
    }

    /// Where in its audience here the endpoint is.
    pub(super) fn place(&self, room: RoomId, endpoint: EndpointId) -> Option<usize> {
        self.sessions.get(&endpoint).filter(|s| s.grant.room == room)?.member
    }

    fn spread_abort(&mut self, now: Now, room: RoomId, seq: Seq) {
        for shard in self.shards_of(room, seq, None) {
            self.tell(now, shard, ShardMessage::Abort { room, seq });
        }
        self.unfollow(room, seq);
    }

    /// A part to the audience here.
    fn deliver(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        opening: Option<&Opening>,
        chunk: &Chunk<Body<'_>>,
    ) {
        if let Some(Follow { except }) = opening.and_then(|o| o.follow) {
            self.answers.entry(room).or_default().begin(seq, except);
        }
        let done = self.copy(now, room, seq, opening, chunk);
        self.counters.copies += done.copies;
        self.counters.skipped += done.skipped;
        if done.skipped > 0 && opening.is_some_and(|o| o.cuts) {
            self.watch_slow(now, room);
        }
        let Some(answers) = self.answers.get_mut(&room).filter(|_| chunk.flag != Flag::More) else { return };
        match chunk.flag {
            Flag::End => answers.sent(now, seq, done.tid),
            Flag::Abort | Flag::More => answers.forget(seq),
        }
        self.pass_on_heard(now, room);
    }

    /// Copies of a part for the audience here, if there is one.
    fn copy(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        opening: Option<&Opening>,
        chunk: &Chunk<Body<'_>>,
    ) -> Delivered {
        let Some(audience) = self.audiences.get(&room) else { return Delivered::default() };
        let only = opening.map_or_else(|| audience.only(seq), |o| o.only.clone());
        let places: Option<SmallVec<[usize; 4]>> =
            only.map(|few| few.iter().filter_map(|e| self.place(room, *e)).collect());
        let Some(audience) = self.audiences.get_mut(&room) else { return Delivered::default() };
        let followed = self.answers.get_mut(&room).and_then(|a| a.get_mut(seq));
        let (conns, entropy, scratch) = (&mut self.conns, &mut self.entropy, &mut self.scratch);
        let tools = Tools { now, conns, entropy, scratch };
        let done = audience.deliver(tools, seq, opening, chunk, places.as_deref(), followed);
        if chunk.flag != Flag::More {
            audience.finish(seq);
        }
        done
    }

    /// A part from the room's home to the audience here. The body gets an owner on this thread first:
    /// a reference count that two threads touch costs more than the queue.
    pub(super) fn remote_deliver(
        &mut self,
        now: Now,
        room: RoomId,
        seq: Seq,
        opening: Option<&Opening>,
        hold: Option<EndpointId>,
        chunk: Chunk,
    ) {
        let owned = |b: Bytes| if b.len() > limits::COPY_BYTES_MAX { Bytes::from_owner(b) } else { b };
        self.deliver(now, room, seq, opening, &chunk.map(|body| Body::Shared(owned(body))));
        let Some(endpoint) = hold else { return };
        if self.is_filling(now, room, endpoint) {
            let waiting = SmallVec::new();
            self.hold(now, Held { room, endpoint, tell: room.home(), waiting, since: now });
        } else {
            self.tell(now, room.home(), ShardMessage::Room { endpoint });
        }
    }

    /// Message `seq` ends unfinished for everybody here who got a part of it.
    pub(super) fn abort_here(&mut self, now: Now, room: RoomId, seq: Seq) {
        if let Some(ending) = self.audiences.get(&room).and_then(|a| a.ending(seq)) {
            self.deliver(now, room, seq, None, &ending);
        } else if let Some(answers) = self.answers.get_mut(&room) {
            answers.forget(seq);
            self.pass_on_heard(now, room);
        }
    }

    /// The session of an endpoint is bound on `at`.
    pub(super) fn room_bind(&mut self, now: Now, room: RoomId, endpoint: EndpointId, at: ShardId) {
        if self.rooms.contains_key(&room) {
            self.hold_no_more(endpoint);
            self.run(now, room, Command::Bind { endpoint, at }, None);
        } else {
            self.tell(now, at, ShardMessage::Evict { endpoint });
        }
    }

    /// The session of an endpoint ended.
    pub(super) fn room_unbind(&mut self, now: Now, room: RoomId, endpoint: EndpointId) {
        self.run(now, room, Command::Unbind { endpoint }, None);
    }

    /// The shard that was to hold the endpoint's session refused: it is no member.
    pub(super) fn room_decline(&mut self, now: Now, room: RoomId, endpoint: EndpointId) {
        self.run(now, room, Command::Leave { endpoint }, None);
    }

    /// An endpoint takes the place of another.
    pub(super) fn room_inherit(&mut self, now: Now, heir: EndpointId, from: EndpointId, room: &Address) {
        if let Some(&room) = self.room_names.get(room) {
            self.run(now, room, Command::Inherit { heir, from }, None);
        }
    }

    /// An anonymous participant tells who it is: to the shard where its session is, if the room takes it.
    pub(super) fn room_disclose(&mut self, now: Now, disclosure: Box<Disclosure>) {
        let Some(&room) = self.room_names.get(&disclosure.room) else { return };
        let (endpoint, participant) = (disclosure.endpoint, disclosure.participant.clone());
        let mut effects = self.ask(now, room, Command::Disclose { endpoint, participant });
        let mut disclosure = Some(disclosure);
        for effect in effects.drain(..) {
            match (effect, disclosure.take()) {
                (Effect::Disclosed { at, number, .. }, Some(disclosure)) => {
                    self.tell(now, at, ShardMessage::Disclose { number, disclosure });
                }
                (effect, rest) => {
                    disclosure = rest;
                    self.carry_out(now, room, effect, None);
                }
            }
        }
        self.effects = effects;
    }

    /// The dialog of an endpoint ended.
    pub(super) fn room_leave(&mut self, now: Now, endpoint: EndpointId, room: &Address) {
        if let Some(&room) = self.room_names.get(room) {
            self.run(now, room, Command::Leave { endpoint }, None);
        }
    }

    /// New terms for an endpoint: to the shard where its session is.
    pub(super) fn room_revise(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        room: &Address,
        terms: Box<Terms>,
        rebind: Option<GrantNo>,
    ) {
        let at = self.room_names.get(room).and_then(|r| self.rooms.get(r)?.roster().shard_of(endpoint));
        let Some(at) = at else {
            if rebind.is_some() {
                let why = Refusal::NoSession;
                self.outputs.control.push(FromShard::Refused { endpoint, why, words: None });
            }
            return;
        };
        if let Some(&room) = self.room_names.get(room) {
            self.run(now, room, Command::Revise { endpoint, able: terms.private_messages }, None);
        }
        let rebind = rebind.map(|no| (self.entropy.session_id(at), no));
        self.tell(now, at, ShardMessage::Revise { endpoint, terms, rebind });
    }

    /// The first part of a message from a session on another shard.
    #[allow(clippy::too_many_arguments)] // One message, and its sender.
    pub(super) fn remote_post(
        &mut self,
        now: Now,
        from_at: ShardId,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        envelope: &OwnedEnvelope,
        feedback: Feedback,
        chunk: Chunk,
    ) {
        let envelope = Envelope { to: envelope.to.as_deref(), content_type: &envelope.content_type };
        let flag = chunk.flag;
        self.post(now, room, endpoint, no, envelope, feedback, chunk.map(Body::Shared), from_at);
        self.release(now, endpoint, (flag == Flag::More).then_some(from_at));
    }

    /// Where the endpoint's session is; `None` if it is no member.
    pub(super) fn shard_of(&self, room: RoomId, endpoint: EndpointId) -> Option<ShardId> {
        self.rooms.get(&room)?.roster().shard_of(endpoint)
    }

    /// The first part of a message, at the room's home.
    #[allow(clippy::too_many_arguments)] // One message, its sender and where both are.
    pub(super) fn post(
        &mut self,
        now: Now,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        envelope: Envelope<'_>,
        feedback: Feedback,
        chunk: Chunk<Body<'_>>,
        from_at: ShardId,
    ) -> Option<Result<(), Refusal>> {
        let octets = chunk.body.as_ref().len() as u64;
        let size = chunk.total.unwrap_or(0).max(octets);
        let Envelope { to, content_type } = envelope;
        if to.is_none() && is_command(content_type) {
            let order = order(content_type, &chunk);
            return self.run(now, room, Command::Order { endpoint, no, octets, order }, None);
        }
        let posting = Posting { endpoint, no, to, content_type, size, octets, flag: chunk.flag, feedback };
        let content_type = Some(self.media_type(content_type));
        let payload = Payload { chunk, content_type, from: endpoint, from_at };
        self.run(now, room, Command::Post(posting), Some(&payload))
    }

    /// A shared name for a media type; the usual one costs a reference count.
    fn media_type(&mut self, name: &str) -> Arc<str> {
        if *self.last_type != *name {
            self.last_type = name.into();
        }
        self.last_type.clone()
    }

    /// An endpoint wants a nickname, or none. The verdict, if its session is here.
    pub(super) fn nickname(
        &mut self,
        now: Now,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        wish: Option<Nickname>,
    ) -> Option<Result<(), Refusal>> {
        self.run(now, room, Command::Nickname { endpoint, no, wish }, None)
    }

    /// A later part of a message from a session on another shard.
    pub(super) fn remote_continue(
        &mut self,
        now: Now,
        from_at: ShardId,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        chunk: Chunk,
    ) {
        let flag = chunk.flag;
        self.go_on(now, room, endpoint, no, chunk.map(Body::Shared), from_at);
        self.release(now, endpoint, (flag == Flag::More).then_some(from_at));
    }

    /// A later part of a message, at the room's home.
    pub(super) fn go_on(
        &mut self,
        now: Now,
        room: RoomId,
        endpoint: EndpointId,
        no: MessageNo,
        chunk: Chunk<Body<'_>>,
        from_at: ShardId,
    ) {
        let (flag, octets) = (chunk.flag, chunk.body.as_ref().len() as u64);
        let payload = Payload { chunk, content_type: None, from: endpoint, from_at };
        self.run(now, room, Command::Continue { endpoint, no, flag, octets }, Some(&payload));
    }
}

/// The order in a message that is for the room itself: it comes whole, or not at all.
fn order(content_type: &str, chunk: &Chunk<Body<'_>>) -> Result<Order, Refusal> {
    if chunk.flag != Flag::End {
        return Err(Refusal::Order(413, "A command comes in one chunk"));
    }
    let body = chunk.body.as_ref();
    let Ok(cpim::Parsed::Complete(wrapper)) = cpim::parse(body, true) else {
        return Err(Refusal::BadWrapper);
    };
    let text = &body[wrapper.content..];
    if content_type.eq_ignore_ascii_case(CONTROL) { Order::read_control(text) } else { Order::read(text) }
}
