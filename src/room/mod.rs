//! The chat room as a pure machine: commands in, effects out.
//!
//! A room lives on its home shard, which is the one place that orders its messages. It knows
//! participants, endpoints and sequence numbers; it knows neither octets nor MSRP nor where an
//! endpoint's connection is, only on which shard.
//!
//! Touches: base. Never: wire, sockets, clocks.
//! Bounds: `limits::ROOM_PARTICIPANTS_MAX`, `PARTICIPANT_ENDPOINTS_MAX`, `ROOM_OPEN_MESSAGES_MAX`.
//! Proved by: the tests at the foot of this file; `Room::check` after every step of the switch tests.
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

#[cfg(test)]
mod tests {
    use super::policy::Policy;
    use super::*;
    use crate::base::budget::Rate;

    struct World(Room);

    impl World {
        fn new(policy: Policy) -> Self {
            let address = Address::parse("sip:lobby@chat.example.com").unwrap();
            Self(Room::new(address, Rules::from(policy).into(), ShardId(0), 2))
        }

        fn does(&mut self, command: Command<'_>) -> Vec<Effect> {
            let mut out = Vec::new();
            self.0.apply(Now(0), command, &mut out);
            self.0.check();
            out
        }

        fn enter(&mut self, n: u64, name: &str) {
            let participant = Address::parse(&format!("sip:{name}@example.com")).unwrap();
            let caller = Caller::of(&participant);
            let endpoint = EndpointId(n);
            let able = Some(n != 9);
            self.does(Command::Join { endpoint, participant, able, caller, password: None });
            self.does(Command::Bind { endpoint: EndpointId(n), at: ShardId(0) });
        }

        fn says(&mut self, n: u64, no: u32, flag: Flag) -> Vec<Effect> {
            self.posts(n, no, flag, None, "text/plain", 10)
        }

        fn posts(
            &mut self,
            n: u64,
            no: u32,
            flag: Flag,
            to: Option<&str>,
            content_type: &str,
            size: u64,
        ) -> Vec<Effect> {
            let endpoint = EndpointId(n);
            self.does(Command::Post(Posting {
                endpoint,
                no: MessageNo(no),
                to,
                content_type,
                size,
                octets: size,
                flag,
                feedback: Feedback::default(),
            }))
        }
    }

    fn verdict(effects: &[Effect]) -> Result<(), Refusal> {
        let Effect::Verdict { verdict, .. } = effects[0] else { panic!("no verdict in {effects:?}") };
        verdict
    }

    #[test]
    fn messages_get_rising_numbers_and_one_verdict_each() {
        // CHAT-MSG-14 CHAT-REP-01
        let mut w = World::new(Policy::default());
        w.enter(1, "alice");
        w.enter(2, "bob");
        for n in 1..=3 {
            let out = w.says(1 + n % 2, n as u32, Flag::End);
            assert_eq!(verdict(&out), Ok(()));
            assert_eq!(
                out[1],
                Effect::Broadcast {
                    seq: Seq(n),
                    from: EndpointId(1 + n % 2),
                    ask: Ask::Errors,
                    only: None,
                    no: MessageNo(n as u32),
                    feedback: Feedback::default()
                }
            );
        }
    }

    #[test]
    fn a_large_room_asks_for_nothing() {
        // CHAT-REP-06
        let mut w = World::new(Policy { copy_report_endpoints_max: 2, ..Policy::default() });
        for n in 1..=3 {
            w.enter(n, &format!("p{n}"));
        }
        assert!(matches!(w.says(1, 1, Flag::End)[1], Effect::Broadcast { ask: Ask::Nothing, .. }));
    }

    #[test]
    fn an_endpoint_is_admitted_after_what_was_said_before() {
        // CHAT-CHUNK-03
        let mut w = World::new(Policy::default());
        w.enter(1, "alice");
        w.says(1, 1, Flag::End);
        let participant = Address::parse("sip:bob@example.com").unwrap();
        let (endpoint, caller) = (EndpointId(2), Caller::of(&participant));
        let join = Command::Join { endpoint, participant, able: Some(true), caller, password: None };
        let out = w.does(join);
        assert_eq!(out, [Effect::Grant { endpoint: EndpointId(2), at: ShardId(0) }]);
        let out = w.does(Command::Bind { endpoint: EndpointId(2), at: ShardId(1) });
        assert_eq!(
            out,
            [
                Effect::Admit { endpoint: EndpointId(2), at: ShardId(1), number: 1, after: Seq(1) },
                Effect::Forget { endpoint: EndpointId(2), at: ShardId(0) },
            ]
        );
    }

    #[test]
    fn later_parts_follow_the_first_and_a_leaver_ends_what_it_began() {
        // CHAT-CHUNK-05 CHAT-CHUNK-07
        let mut w = World::new(Policy::default());
        w.enter(1, "alice");
        w.enter(2, "bob");
        w.says(1, 1, Flag::More);
        w.says(1, 2, Flag::End);
        let go_on = |flag| Command::Continue { endpoint: EndpointId(1), no: MessageNo(1), flag, octets: 1 };
        assert_eq!(w.does(go_on(Flag::More)), [Effect::Continue { seq: Seq(1), only: None }]);
        w.says(1, 3, Flag::More);
        let out = w.does(Command::Leave { endpoint: EndpointId(1) });
        assert_eq!(out[..2], [Effect::Abort { seq: Seq(1) }, Effect::Abort { seq: Seq(3) }]);
        assert_eq!(out[2], Effect::Evict { endpoint: EndpointId(1), at: ShardId(0) });
        assert!(w.does(go_on(Flag::End)).is_empty(), "nothing follows the end");
    }

    #[test]
    fn a_private_message_goes_to_all_able_endpoints_of_one_participant() {
        // CHAT-PRIV-01 CHAT-PRIV-03 CHAT-PRIV-08
        let mut w = World::new(Policy::default());
        for (n, name) in [(1, "alice"), (2, "bob"), (3, "bob"), (9, "bob"), (4, "carol"), (5, "alice")] {
            w.enter(n, name);
        }
        let to = |w: &mut World, no, who| {
            let out = w.posts(1, no, Flag::End, Some(&format!("sip:{who}@example.com")), "text/plain", 10);
            let only = out.get(1).map(|e| match e {
                Effect::Broadcast { only: Some(only), .. } => only.iter().map(|e| e.0).collect::<Vec<_>>(),
                other => panic!("not private: {other:?}"),
            });
            (verdict(&out), only)
        };
        assert_eq!(to(&mut w, 1, "bob"), (Ok(()), Some(vec![2, 3])));
        assert_eq!(to(&mut w, 2, "alice"), (Ok(()), Some(vec![5])), "to oneself: the other device");
        assert_eq!(to(&mut w, 3, "nobody"), (Err(Refusal::UnknownRecipient), None));
        w.does(Command::Revise { endpoint: EndpointId(4), able: Some(false) });
        assert_eq!(to(&mut w, 4, "carol"), (Err(Refusal::NoPrivateMessages), None));
        w.does(Command::Leave { endpoint: EndpointId(5) });
        assert_eq!(to(&mut w, 5, "alice"), (Err(Refusal::UnknownRecipient), None));
    }

    #[test]
    fn a_room_without_private_messages_refuses_them_all() {
        // CHAT-PRIV-02 CHAT-PRIV-04
        let mut w = World::new(Policy { private_messages: false, ..Policy::default() });
        w.enter(1, "alice");
        w.enter(2, "bob");
        let out = w.posts(1, 1, Flag::End, Some("sip:bob@example.com"), "text/plain", 10);
        assert_eq!((verdict(&out), out.len()), (Err(Refusal::NoPrivateMessages), 1));
        let policy = w.0.rules.policy();
        assert_eq!(
            policy.chatroom_tokens(),
            "nickname org.openmsrp.commands com.ag-projects.sylkserver-control"
        );
        let policy = Policy { delivery_counts: true, ..policy.clone() };
        assert_eq!(
            policy.chatroom_tokens(),
            "nickname org.openmsrp.delivery-count org.openmsrp.commands com.ag-projects.sylkserver-control"
        );
    }

    #[test]
    fn a_private_tail_never_reaches_the_room() {
        // CHAT-CHUNK-07
        let mut w = World::new(Policy::default());
        w.enter(1, "alice");
        w.enter(2, "bob");
        w.enter(3, "carol");
        w.posts(1, 1, Flag::More, Some("sip:bob@example.com"), "text/plain", 10);
        w.says(1, 2, Flag::More);
        let next = w.does(Command::Continue {
            endpoint: EndpointId(1),
            no: MessageNo(1),
            flag: Flag::End,
            octets: 1,
        });
        assert_eq!(next, [Effect::Continue { seq: Seq(1), only: Some([EndpointId(2)].into()) }]);
    }

    #[test]
    fn a_nickname_follows_its_participant_to_another_device() {
        // FOCUS-09
        let mut w = World::new(Policy::default());
        let rabbit =
            || Some(Nickname { shown: "Rabbit".into(), key: "rabbit".into(), looks: "rabbit".into() });
        let (old, new) = (EndpointId(1), EndpointId(7));
        let ask = |endpoint| Command::Nickname { endpoint, no: MessageNo(1), wish: rabbit() };
        for endpoint in [old, EndpointId(2)] {
            w.enter(endpoint.0, &format!("p{}", endpoint.0));
        }
        w.does(ask(old));
        w.enter(7, "p1");
        assert_eq!(w.does(Command::Inherit { heir: EndpointId(2), from: old }), [], "another participant");
        let told = Effect::Renamed { endpoint: new, nickname: Some("Rabbit".into()) };
        assert_eq!(w.does(Command::Inherit { heir: new, from: old }), [told]);
        assert_eq!(w.does(Command::Inherit { heir: new, from: old }), [], "it has one");
        w.does(Command::Leave { endpoint: old });
        assert_eq!(verdict(&w.does(ask(EndpointId(2)))), Err(Refusal::NicknameTaken));
    }

    #[test]
    fn a_nickname_is_answered_and_told() {
        // CHAT-NICK-02 CHAT-NICK-04 CHAT-NICK-10
        let nickname = |text: &str| {
            let key: std::sync::Arc<str> = text.to_lowercase().into();
            Some(Nickname { shown: text.into(), key: key.clone(), looks: key })
        };
        let ask = |w: &mut World, n, wish| {
            w.does(Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish })
        };
        let mut w = World::new(Policy::default());
        w.enter(1, "alice");
        w.enter(2, "bob");
        let out = ask(&mut w, 1, nickname("Rabbit"));
        assert_eq!(verdict(&out), Ok(()));
        assert_eq!(out[1], Effect::Renamed { endpoint: EndpointId(1), nickname: Some("Rabbit".into()) });
        let out = ask(&mut w, 2, nickname("RABBIT"));
        assert_eq!((verdict(&out), out.len()), (Err(Refusal::NicknameTaken), 1));
        assert_eq!(ask(&mut w, 1, None)[1], Effect::Renamed { endpoint: EndpointId(1), nickname: None });
        let mut w = World::new(Policy { nicknames: false, ..Policy::default() });
        w.enter(1, "alice");
        assert_eq!(verdict(&ask(&mut w, 1, nickname("Rabbit"))), Err(Refusal::NoNicknames));
    }

    #[test]
    fn changing_nicknames_without_end_is_paced_and_taken_with_one_to_no_other_device() {
        // SEC-07
        let wish = |n: u64| {
            let text: std::sync::Arc<str> = format!("name{n}").into();
            Some(Nickname { shown: text.clone(), key: text.clone(), looks: text })
        };
        let mut policy = Policy::default();
        policy.floods.set(Flood::Nicknames, Rate::parse("1/10s burst 3").ok());
        let mut w = World::new(policy);
        for (n, name) in [(1, "alice"), (2, "alice"), (3, "bob")] {
            w.enter(n, name);
        }
        let mut ask = |seconds: u64, n: u64, name: u64| {
            let mut out = Vec::new();
            let command = Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish: wish(name) };
            w.0.apply(Now(0) + std::time::Duration::from_secs(seconds), command, &mut out);
            verdict(&out)
        };
        let results: Vec<_> = (0..5).map(|n| ask(0, 1 + n % 2, n)).collect();
        let refused = Err(Refusal::Flood { of: Flood::Nicknames, wait: 10 });
        assert_eq!(results, [Ok(()), Ok(()), Ok(()), refused, refused]);
        assert_eq!((ask(0, 3, 9), ask(10, 1, 6)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_crowd_comes_in_no_faster_than_the_room_says() {
        // SEC-07
        let mut policy = Policy::default();
        policy.floods.set(Flood::RoomJoins, Rate::parse("2/s").ok());
        let mut w = World::new(policy);
        let mut join = |n| {
            let participant = Address::parse(&format!("sip:p{n}@example.com")).unwrap();
            let (endpoint, caller) = (EndpointId(n), Caller::of(&participant));
            w.does(Command::Join { endpoint, participant, able: None, caller, password: None }).remove(0)
        };
        assert!(matches!((join(1), join(2)), (Effect::Grant { .. }, Effect::Grant { .. })));
        let why = Refusal::Flood { of: Flood::RoomJoins, wait: 1 };
        assert_eq!(join(3), Effect::Refuse { endpoint: EndpointId(3), why, words: None });
    }

    #[test]
    fn type_size_and_absence_are_refused() {
        // CHAT-MSG-13 MSRP-CHUNK-16
        let types = crate::room::policy::Types::only(&["text/*"]);
        let mut w = World::new(Policy { types, message_bytes_max: 100, ..Policy::default() });
        w.enter(1, "alice");
        assert_eq!(verdict(&w.posts(1, 1, Flag::End, None, "image/png", 10)), Err(Refusal::BadType));
        assert_eq!(verdict(&w.posts(1, 2, Flag::End, None, "Text/HTML", 10)), Ok(()));
        assert_eq!(verdict(&w.posts(1, 3, Flag::End, None, "text/plain", 101)), Err(Refusal::TooLarge));
        w.does(Command::Unbind { endpoint: EndpointId(1) });
        assert_eq!(verdict(&w.says(1, 4, Flag::End)), Err(Refusal::NoSession));
        assert!(w.says(9, 1, Flag::End).is_empty(), "a stranger is not even answered");
    }

    #[test]
    fn what_is_refused_after_all_takes_nothing_from_the_limits_of_the_room() {
        // SEC-07
        let mut policy = Policy { participant_endpoints_max: 1, ..Policy::default() };
        policy.floods.set(Flood::RoomJoins, Rate::parse("2/s").ok());
        policy.floods.set(Flood::Nicknames, Rate::parse("1/s").ok());
        let mut w = World::new(policy);
        let mut join = |n, name: &str| {
            let participant = Address::parse(&format!("sip:{name}@example.com")).unwrap();
            let (endpoint, caller) = (EndpointId(n), Caller::of(&participant));
            let join = Command::Join { endpoint, participant, able: None, caller, password: None };
            matches!(w.does(join).remove(0), Effect::Grant { .. })
        };
        assert!(join(1, "alice"));
        assert!((2..9).all(|n| !join(n, "alice")), "one device too many, each");
        assert!(join(9, "bob"));
        for n in [1, 9] {
            w.does(Command::Bind { endpoint: EndpointId(n), at: ShardId(0) });
        }
        let mut rename = |n, to: &str| {
            let to: std::sync::Arc<str> = to.into();
            let wish = Some(Nickname { shown: to.clone(), key: to.clone(), looks: to });
            verdict(&w.does(Command::Nickname { endpoint: EndpointId(n), no: MessageNo(1), wish }))
        };
        assert_eq!(rename(1, "rabbit"), Ok(()));
        assert!((0..9).all(|_| rename(9, "rabbit") == Err(Refusal::NicknameTaken)));
        assert_eq!(rename(9, "hatter"), Ok(()));
    }

    fn role(role: Role) -> std::collections::BTreeMap<Address, Role> {
        [(Address::parse("sip:alice@example.com").unwrap(), role)].into()
    }

    #[test]
    fn in_a_moderated_room_those_are_heard_who_have_a_voice() {
        let mut w = World::new(Policy { moderated: true, roles: role(Role::Moderator), ..Policy::default() });
        w.enter(1, "alice");
        w.enter(2, "bob");
        assert_eq!(verdict(&w.says(1, 1, Flag::End)), Ok(()));
        let out = w.says(2, 1, Flag::End);
        assert_eq!((verdict(&out), out.len()), (Err(Refusal::Denied(Rule::NoVoice)), 1));
        let out = w.posts(2, 2, Flag::End, Some("sip:alice@example.com"), "text/plain", 10);
        assert_eq!(verdict(&out), Ok(()), "a moderator can be asked for a voice");
    }

    #[test]
    fn slow_mode_holds_back_who_has_just_spoken_and_no_moderator() {
        let slow_mode = std::time::Duration::from_secs(30);
        let mut w = World::new(Policy { slow_mode, roles: role(Role::Owner), ..Policy::default() });
        w.enter(1, "alice");
        w.enter(2, "bob");
        let says = |w: &mut World, n, no| verdict(&w.says(n, no, Flag::End));
        assert_eq!((says(&mut w, 1, 1), says(&mut w, 1, 2)), (Ok(()), Ok(())));
        let hasty = Err(Refusal::Denied(Rule::SlowMode));
        assert_eq!((says(&mut w, 2, 1), says(&mut w, 2, 2)), (Ok(()), hasty));
        let typing = w.posts(2, 3, Flag::End, None, "application/im-iscomposing+xml", 10);
        assert_eq!(verdict(&typing), Ok(()));
    }

    #[test]
    fn a_persistent_room_stays_when_nobody_is_there() {
        let mut w = World::new(Policy { persistent: true, ..Policy::default() });
        w.enter(1, "alice");
        let out = w.does(Command::Leave { endpoint: EndpointId(1) });
        assert_eq!(out, [Effect::Evict { endpoint: EndpointId(1), at: ShardId(0) }]);
    }

    #[test]
    fn the_room_closes_with_its_last_endpoint_and_only_then() {
        let mut w = World::new(Policy { participants_max: 1, ..Policy::default() });
        w.enter(1, "alice");
        let participant = Address::parse("sip:bob@example.com").unwrap();
        let (endpoint, caller) = (EndpointId(2), Caller::of(&participant));
        let join = Command::Join { endpoint, participant, able: Some(true), caller, password: None };
        let out = w.does(join);
        assert_eq!(
            out,
            [Effect::Refuse { endpoint: EndpointId(2), why: Refusal::Denied(Rule::Full), words: None }]
        );
        let out = w.does(Command::Leave { endpoint: EndpointId(1) });
        assert_eq!(out[1], Effect::Close);
    }
}
