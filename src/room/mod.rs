//! The chat room as a pure machine: commands in, effects out.
//!
//! A room lives on its home shard, which is the one place that orders its messages. It knows
//! participants, endpoints and sequence numbers; it knows neither octets nor MSRP nor where an
//! endpoint's connection is, only on which shard.
//!
//! Touches: base. Never: wire, sockets, clocks.
//! Bounds: `limits::ROOM_PARTICIPANTS_MAX`, `PARTICIPANT_ENDPOINTS_MAX`, `ROOM_OPEN_MESSAGES_MAX`.
//! Proved by: `tests.rs`; `Room::check` after every step of the switch tests.
//!
//! Invariants:
//! 1. Every present endpoint belongs to exactly one participant of the roster.
//! 2. An open message belongs to an endpoint of the roster.
//! 3. Sequence numbers rise by one for each accepted message.

pub mod ban;
pub mod command;
pub mod effect;
mod flood;
mod moderation;
pub mod nicknames;
pub mod order;
pub mod policy;
pub mod rooms;
pub mod roster;
pub mod rules;
#[cfg(test)]
mod tests;

use crate::base::address::Address;
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::flood::Flood;
use crate::base::id::{EndpointId, MessageNo, Seq, ShardId};
use crate::base::limits;
use crate::base::media::is_typing;
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use crate::base::rights::{Action, Decision, Key, Role, Rule, Standing, Target};
use ahash::AHashMap;
use command::{Command, Feedback, Posting};
use effect::{Ask, Effect, Recipients};
use flood::Meters;
use nicknames::Nicknames;
use roster::{Roster, Seat};
use rules::{Caller, Rules};
use std::sync::Arc;

/// An accepted message whose last part has not come.
#[derive(Clone, Debug)]
struct OpenMessage {
    seq: Seq,
    only: Option<Recipients>,
}

/// An endpoint that wants in.
struct Arrival {
    endpoint: EndpointId,
    participant: Address,
    able: Option<bool>,
    caller: Caller,
}

/// One chat room.
#[derive(Debug)]
pub struct Room {
    address: Address,
    rules: Arc<Rules>,
    /// They were changed.
    ruled: bool,
    /// When somebody last said something, where slow mode makes that matter: at most `limits::ROOM_BUDGETS_MAX`;
    /// beyond, whoever is not remembered is not held back.
    spoken: AHashMap<Address, Now>,
    /// Nobody has come in yet: whoever does first has made the room.
    fresh: bool,
    roster: Roster,
    nicknames: Nicknames,
    /// What is left of its limits, if anything was taken.
    meters: Option<Box<Meters>>,
    seq: Seq,
    /// Accepted messages whose last part has not come: invariant 2.
    open: AHashMap<(EndpointId, MessageNo), OpenMessage>,
}

impl Room {
    /// An empty room that can use `shards` shards, of which `home` orders its messages.
    #[must_use]
    pub fn new(address: Address, rules: Arc<Rules>, home: ShardId, shards: u16) -> Self {
        let roster = Roster::new(home, shards);
        let nicknames = Nicknames::new(rules.policy.look_alikes_refused);
        let (meters, open) = (None, AHashMap::new());
        let spoken = AHashMap::new();
        Self {
            address,
            rules,
            ruled: false,
            spoken,
            fresh: true,
            roster,
            nicknames,
            meters,
            seq: Seq(0),
            open,
        }
    }

    /// Whether its rules are other ones than those of its policy.
    #[must_use]
    pub fn is_ruled(&self) -> bool {
        self.ruled
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The room's address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether who is too slow is cut.
    #[must_use]
    pub fn cuts_slow(&self) -> bool {
        self.rules.policy.cut_slow
    }

    /// Who is in the room.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Carries out one command; what follows from it is appended to `out`, in order.
    pub fn apply(&mut self, now: Now, command: Command<'_>, out: &mut Vec<Effect>) {
        match command {
            Command::Join { endpoint, participant, able, caller, password } => {
                let by = Arrival { endpoint, participant, able, caller };
                self.join(now, by, password, out);
            }
            Command::Revise { endpoint, able } => self.roster.set_able(endpoint, able),
            Command::Bind { endpoint, at } => self.bind(endpoint, at, out),
            Command::Unbind { endpoint } => self.unbind(endpoint, out),
            Command::Inherit { heir, from } => self.inherit(now, heir, from, out),
            Command::Disclose { endpoint, participant } => self.disclose(endpoint, participant, out),
            Command::Leave { endpoint } => self.leave(now, endpoint, out),
            Command::Post(posting) => self.post(now, &posting, out),
            Command::Nickname { endpoint, no, wish } => self.nickname(now, endpoint, no, wish, out),
            Command::Order { endpoint, no, octets, order } => {
                self.order(now, endpoint, (no, octets), order, out);
            }
            Command::Continue { endpoint, no, flag, octets } => {
                self.go_on(now, endpoint, no, (flag, octets), out);
            }
        }
    }

    fn join(&mut self, now: Now, by: Arrival, password: Option<&str>, out: &mut Vec<Effect>) {
        let endpoint = by.endpoint;
        let caller = by.caller.clone();
        match self.take_in(now, by, password, out) {
            Ok(at) => out.push(Effect::Grant { endpoint, at }),
            Err(why) => {
                let rule = if let Refusal::Denied(rule) = why { Some(rule) } else { None };
                let words = rule.and_then(|rule| self.rules.words(now, &caller, rule));
                out.push(Effect::Refuse { endpoint, why, words });
            }
        }
        self.close_if_empty(out);
    }

    fn take_in(
        &mut self,
        now: Now,
        by: Arrival,
        password: Option<&str>,
        out: &mut Vec<Effect>,
    ) -> Result<ShardId, Refusal> {
        let Arrival { endpoint, participant, able, caller } = by;
        let (count, present) = (self.roster.participants(), self.roster.has(&participant));
        let decision = self.rules.may_enter(now, &caller, password, count, present);
        self.decided(&participant, Action::Enter, decision).map_err(Refusal::Denied)?;
        if let Some(meters) = &self.meters {
            meters.may_join(now, &self.rules.policy.floods)?;
        }
        let made = std::mem::take(&mut self.fresh).then_some(self.rules.policy.creator);
        if let Some(role) = made.filter(|role| *role > self.rules.listed(&participant)) {
            self.change(out).granted.insert(participant.clone(), role);
        }
        let at = self.roster.add(endpoint, participant, able, caller, &self.rules)?;
        let limits = &self.rules.policy.floods;
        if limits.of(Flood::RoomJoins).is_some() {
            self.meters.get_or_insert_default().joined(now, limits);
        }
        Ok(at)
    }

    /// The rules, to be changed; whoever has a copy is told.
    fn change(&mut self, out: &mut Vec<Effect>) -> &mut Rules {
        self.ruled = true;
        out.push(Effect::Ruled);
        Arc::make_mut(&mut self.rules)
    }

    /// Logs a decision.
    ///
    /// # Errors
    /// The rule that forbids.
    fn decided(&self, who: &Address, action: Action, decision: Decision) -> Result<(), Rule> {
        let Decision { allowed, rule } = decision;
        // Nothing of this is looked at unless it is logged.
        tracing::debug!(target: "openmsrp::rights", room = %self.address, %who, ?action, rule = rule.token(), allowed);
        decision.check()
    }

    fn bind(&mut self, endpoint: EndpointId, at: ShardId, out: &mut Vec<Effect>) {
        let before = self.roster.shard_of(endpoint);
        if self.roster.bind(endpoint, at) {
            // What a binding before this one left unfinished is not gone on with.
            self.abort_open(endpoint, out);
            let number = self.roster.number_of(endpoint).unwrap_or_default();
            out.push(Effect::Admit { endpoint, at, number, after: self.seq });
            if let Some(before) = before.filter(|b| *b != at) {
                out.push(Effect::Forget { endpoint, at: before });
            }
        } else {
            // The dialog ended while the connection was being bound.
            out.push(Effect::Evict { endpoint, at });
        }
    }

    fn unbind(&mut self, endpoint: EndpointId, out: &mut Vec<Effect>) {
        if self.roster.unbind(endpoint) {
            self.abort_open(endpoint, out);
        }
    }

    /// The nickname follows the participant; a name that the heir has already stays.
    fn inherit(&mut self, now: Now, heir: EndpointId, from: EndpointId, out: &mut Vec<Effect>) {
        let (Some(old), Some(new)) = (self.roster.participant_of(from), self.roster.participant_of(heir))
        else {
            return;
        };
        if old == new
            && let Some(shown) = self.nicknames.inherit(now, heir, from, new)
        {
            out.push(Effect::Renamed { endpoint: heir, nickname: Some(shown) });
        }
    }

    /// An anonymous participant shows itself; the nickname stays.
    fn disclose(&mut self, endpoint: EndpointId, participant: Address, out: &mut Vec<Effect>) {
        let Some(before) = self.roster.participant_of(endpoint).cloned() else { return };
        match self.roster.disclose(endpoint, participant.clone(), &self.rules) {
            Ok(at) => {
                self.nicknames.disclose(endpoint, &before, &participant);
                let number = self.roster.number_of(endpoint).unwrap_or_default();
                out.push(Effect::Disclosed { endpoint, number, at });
            }
            Err(why) => out.push(Effect::Refuse { endpoint, why, words: None }),
        }
    }

    fn leave(&mut self, now: Now, endpoint: EndpointId, out: &mut Vec<Effect>) {
        self.remove(now, endpoint, out);
        self.close_if_empty(out);
    }

    fn remove(&mut self, now: Now, endpoint: EndpointId, out: &mut Vec<Effect>) {
        if let Some(at) = self.roster.remove(endpoint) {
            self.nicknames.leave(now, endpoint, self.rules.policy.nickname_quarantine);
            self.abort_open(endpoint, out);
            out.push(Effect::Evict { endpoint, at });
        }
    }

    fn close_if_empty(&mut self, out: &mut Vec<Effect>) {
        if self.roster.is_empty() && !self.rules.policy.persistent {
            out.push(Effect::Close);
        }
    }

    /// The sender's session is gone: what it left unfinished ends with `#` (CHAT-CHUNK-05).
    fn abort_open(&mut self, endpoint: EndpointId, out: &mut Vec<Effect>) {
        let mut ended: Vec<_> =
            self.open.iter().filter(|((e, _), _)| *e == endpoint).map(|(_, m)| m.seq).collect();
        ended.sort_unstable();
        self.open.retain(|(e, _), _| *e != endpoint);
        out.extend(ended.into_iter().map(|seq| Effect::Abort { seq }));
    }

    fn post(&mut self, now: Now, posting: &Posting<'_>, out: &mut Vec<Effect>) {
        let Posting { endpoint, no, flag, feedback, .. } = *posting;
        let Some(seat) = self.roster.seat(endpoint) else { return };
        let (at, judged) = (seat.at, self.judge(now, posting, &seat));
        let judged = judged.and_then(|only| self.meter(now, posting, only));
        let verdict = judged.as_ref().map(|_| ()).map_err(|why| *why);
        out.push(Effect::Verdict { endpoint, at, no, verdict });
        let Ok(only) = judged else { return };
        self.seq = Seq(self.seq.0 + 1);
        let seq = self.seq;
        if flag == Flag::More {
            self.open.insert((endpoint, no), OpenMessage { seq, only: only.clone() });
        }
        let typing = is_typing(posting.content_type);
        if !typing {
            self.note_spoken(now, endpoint);
        }
        let feedback = Feedback {
            count: feedback.count && self.rules.policy.delivery_counts && !typing,
            failure: feedback.failure && only.is_some() && !typing,
        };
        let small = self.roster.bound() <= self.rules.policy.copy_report_endpoints_max;
        let ask = if typing {
            Ask::Nothing
        } else if feedback.count || only.is_some() {
            Ask::All
        } else if small {
            Ask::Errors
        } else {
            Ask::Nothing
        };
        out.push(Effect::Broadcast { seq, from: endpoint, ask, only, no, feedback });
    }

    /// CHAT-PRIV-05: the checks that need the room, in their order. Who gets the message, if not all.
    fn judge(&self, now: Now, posting: &Posting<'_>, seat: &Seat<'_>) -> Result<Option<Recipients>, Refusal> {
        if !seat.bound {
            return Err(Refusal::NoSession);
        }
        if posting.size > self.rules.policy.message_bytes_max {
            return Err(Refusal::TooLarge);
        }
        let only = posting.to.map(|to| self.recipients(to, posting.endpoint)).transpose()?;
        let to = only.as_ref().and_then(|few| self.target(posting.endpoint, *few.first()?));
        self.may_say(now, posting, seat, to)?;
        if !self.rules.policy.types.allows(posting.content_type) {
            return Err(Refusal::BadType);
        }
        if posting.flag == Flag::More && self.open.len() >= limits::ROOM_OPEN_MESSAGES_MAX {
            return Err(Refusal::TooManyOpen);
        }
        Ok(only)
    }

    /// Whether the sender and the room have as much left, which is taken if so.
    fn meter(
        &mut self,
        now: Now,
        posting: &Posting<'_>,
        only: Option<Recipients>,
    ) -> Result<Option<Recipients>, Refusal> {
        self.charge(now, posting.endpoint, only.is_none(), posting.octets)?;
        Ok(only)
    }

    /// Takes a message from what its sender has left, and the room if it is to all.
    fn charge(&mut self, now: Now, endpoint: EndpointId, to_all: bool, octets: u64) -> Result<(), Refusal> {
        if let Some(who) = held_back(&self.rules, &self.roster, endpoint) {
            let (meters, limits) = (self.meters.get_or_insert_default(), &self.rules.policy.floods);
            meters.message(now, limits, who, to_all)?;
            meters.octets(now, limits, who, to_all, octets);
        }
        Ok(())
    }

    /// Whether somebody present may say something: to all, or to one.
    fn may_say(
        &self,
        now: Now,
        posting: &Posting<'_>,
        seat: &Seat<'_>,
        to: Option<Target>,
    ) -> Result<(), Refusal> {
        let action = if to.is_some() { Action::Whisper } else { Action::Speak };
        let mut standing = self.standing(now, seat);
        standing.hasty = self.is_hasty(now, seat.participant) && !is_typing(posting.content_type);
        let decision = self.rules.may(&standing, action, to);
        self.decided(seat.participant, action, decision).map_err(Refusal::Denied)
    }

    /// Whether slow mode lets somebody wait still.
    fn is_hasty(&self, now: Now, who: &Address) -> bool {
        let last = if self.spoken.is_empty() { None } else { self.spoken.get(who) };
        last.is_some_and(|last| now.since(*last) < self.rules.slow_mode)
    }

    /// Remembers in slow mode that somebody has said something.
    fn note_spoken(&mut self, now: Now, endpoint: EndpointId) {
        let slow_mode = self.rules.slow_mode;
        if slow_mode.is_zero() {
            return;
        }
        let Some(who) = self.roster.participant_of(endpoint) else { return };
        if self.spoken.len() >= limits::ROOM_BUDGETS_MAX {
            self.spoken.retain(|_, last| now.since(*last) < slow_mode);
        }
        if self.spoken.len() < limits::ROOM_BUDGETS_MAX {
            self.spoken.insert(who.clone(), now);
        }
    }

    /// What somebody in the room is to it.
    fn standing(&self, now: Now, seat: &Seat<'_>) -> Standing {
        Standing {
            role: seat.role,
            proved: seat.proved,
            present: true,
            invited: false,
            muted: self.rules.is_muted(now, seat.participant, seat.known),
            hasty: false,
            key: Key::None,
        }
    }

    /// The participant of an endpoint, as somebody to whom another one does something.
    fn target(&self, actor: EndpointId, endpoint: EndpointId) -> Option<Target> {
        let seat = self.roster.seat(endpoint)?;
        Some(Target { role: seat.role, own: self.roster.participant_of(actor) == Some(seat.participant) })
    }

    /// A message to somebody else than the room is never a broadcast (CHAT-PRIV-02, CHAT-PRIV-04).
    fn recipients(&self, to: &str, sender: EndpointId) -> Result<Recipients, Refusal> {
        if !self.rules.policy.private_messages {
            return Err(Refusal::NoPrivateMessages);
        }
        let address = Address::parse(to).map_err(|_| Refusal::UnknownRecipient)?;
        self.roster.recipients(&address, sender, self.rules.policy.legacy_private_messages)
    }

    fn nickname(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        no: MessageNo,
        wish: Option<Nickname>,
        out: &mut Vec<Effect>,
    ) {
        let Some(at) = self.roster.shard_of(endpoint) else { return };
        let shown = wish.as_ref().map(|n| n.shown.clone());
        let verdict = self.may_be_named(now, endpoint).and_then(|()| {
            let who = self.roster.participant_of(endpoint).ok_or(Refusal::NoSession)?;
            let (policy, meters) = (&self.rules.policy, self.meters.get_or_insert_default());
            meters.may_rename(now, &policy.floods, who)?;
            self.nicknames.set(now, endpoint, who, wish, policy.nickname_quarantine)?;
            meters.renamed(now, &policy.floods, who);
            Ok(())
        });
        out.push(Effect::Verdict { endpoint, at, no, verdict });
        if verdict.is_ok() {
            out.push(Effect::Renamed { endpoint, nickname: shown });
        }
    }

    fn may_be_named(&self, now: Now, endpoint: EndpointId) -> Result<(), Refusal> {
        let seat = self.roster.seat(endpoint).ok_or(Refusal::NoSession)?;
        let decision = self.rules.may(&self.standing(now, &seat), Action::Nickname, None);
        self.decided(seat.participant, Action::Nickname, decision).map_err(|rule| match rule {
            Rule::NoNicknames => Refusal::NoNicknames,
            rule => Refusal::Denied(rule),
        })
    }

    fn go_on(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        no: MessageNo,
        (flag, octets): (Flag, u64),
        out: &mut Vec<Effect>,
    ) {
        // A message that was refused, or aborted when its sender left, is not here: nothing goes on.
        let open = match flag {
            Flag::More => self.open.get(&(endpoint, no)).cloned(),
            Flag::End | Flag::Abort => self.open.remove(&(endpoint, no)),
        };
        if let Some(OpenMessage { seq, only }) = open {
            if let Some(who) = held_back(&self.rules, &self.roster, endpoint) {
                let (meters, limits) = (self.meters.get_or_insert_default(), &self.rules.policy.floods);
                meters.octets(now, limits, who, only.is_none(), octets);
            }
            out.push(Effect::Continue { seq, only });
        }
    }

    /// Whether the last part of message `seq` has not come.
    #[must_use]
    pub fn is_open(&self, seq: Seq) -> bool {
        self.open.values().any(|open| open.seq == seq)
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// If one is broken, which is a fault of this program.
    pub fn check(&self) {
        self.roster.check();
        for (endpoint, _) in self.open.keys() {
            assert!(self.roster.is_bound(*endpoint), "an open message of {endpoint}, who is not bound");
        }
        assert!(self.open.values().all(|m| m.seq <= self.seq));
        self.nicknames.check();
    }
}

/// The participant whose messages flood limits count, if any does: moderators are not held back.
fn held_back<'a>(rules: &Rules, roster: &'a Roster, endpoint: EndpointId) -> Option<&'a Address> {
    if !rules.policy.floods.hold_messages() {
        return None;
    }
    roster.seat(endpoint).filter(|seat| seat.role < Role::Moderator).map(|seat| seat.participant)
}
