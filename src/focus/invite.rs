//! Calls: an offer comes in, a grant is asked for, an answer goes out; later offers change the terms.
//!
//! ```text
//!            INVITE                 Granted                    ACK
//!   (nothing) ────► Pending ───────────────► Answered/Offered ────► Up
//!                     │  ▲  Refused, CANCEL                         │ │
//!                     ▼  └──────────── re-INVITE with a new path ◄──┘ │
//!                  (nothing) ◄──────────────── BYE, Lost, drain ◄─────┘
//! ```
//!
//! One call is one dialog, one MSRP session, one room (CHAT-JOIN-06). A call that failed leaves
//! nothing behind; a re-INVITE that failed leaves the call as it was (SIP-DLG-03).
//!
//! Bounds: `limits::DIALOGS_MAX` calls. Proof: `tests.rs` beside this file.

use super::call::{Call, Phase, read_offer};
use super::code::{acceptable, misfit_response, reason, refusal_response, warn};
use super::dialog::{DialogId, contact};
use super::identity::{self, asks_none};
use super::list::{self, Parts};
use super::merged;
use super::sidebar::Sidebars;
use super::signalling::{Flow, Request, Response, SipUri};
use super::timer::{SessionTimer, agree};
use super::{Core, News, Timer, TxId};
use crate::base::address::{Address, unescape};
use crate::base::id::{EndpointId, GrantNo, SessionId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::base::rights::{Role, Rule};
use crate::shard::message::Ended;
use ahash::{AHashMap, AHashSet};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a shard may take to answer. Beyond: 503, and what it grants later is void.
pub(super) const GRANT_ANSWER_WAIT: Duration = Duration::from_secs(8);

/// All calls.
#[derive(Default)]
pub(super) struct Calls {
    /// Boxed: a table is half empty, and a call is large.
    pub(super) table: AHashMap<DialogId, Box<Call>>,
    pub(super) endpoints: AHashMap<EndpointId, DialogId>,
    transactions: AHashMap<TxId, DialogId>,
    /// The calls by the digest of their first INVITE.
    pub(super) merged: AHashMap<u64, DialogId>,
    /// Calls of each room.
    pub(super) rooms: AHashMap<Address, BTreeSet<DialogId>>,
    /// Rooms that the factory made: nobody is to find them.
    made: AHashSet<Address>,
    /// Calls of each room that it makes and that nobody has answered yet.
    pub(super) dials: AHashMap<Address, u32>,
    pub(super) sidebars: Sidebars,
}

impl Calls {
    /// An INVITE outside any dialog.
    pub(super) fn invite(&mut self, core: &mut Core, tx: TxId, request: &Request, flow: &Flow) {
        if let Err(refusal) = self.try_invite(core, tx, request, flow) {
            core.respond(tx, refusal);
        }
    }

    fn try_invite(
        &mut self,
        core: &mut Core,
        tx: TxId,
        request: &Request,
        flow: &Flow,
    ) -> Result<(), Response> {
        if core.config.directory(&request.uri).is_some() {
            return Err(warn(flow, 403, "This is no room but the list of rooms: subscribe to it"));
        }
        let creator = core.config.is_factory(&request.uri);
        let (room, user) = if creator { fresh_room(core, request) } else { core.config.room(&request.uri) }
            .ok_or(Response::new(404))?;
        let merge_key = merged::digest(request);
        if self.merged.contains_key(&merge_key) {
            return Err(Response::new(482));
        }
        let Parts { sdp, mut list } = if creator {
            list::parts(request, &core.config, flow)?
        } else {
            acceptable(request)?;
            Parts { sdp: request.body.clone(), list: Vec::new() }
        };
        let mut timer = SessionTimer::default();
        timer.agreed = agree(request)?;
        timer.learn(&request.headers);
        let mut who = identity::of(core, request)?;
        if let Some(known) = who.known() {
            core.charge(request.method, known, flow)?;
        }
        let sidebar = if creator { self.sidebar(core, request, flow, &who, &mut list)? } else { None };
        self.pass_sidebar(core, &room, &mut who.caller, flow)?;
        let replaces = self.replaced(core, request, &room, &who.participant)?;
        let offer = if sdp.is_empty() { None } else { Some(read_offer(&sdp, flow)?) };
        let tag = core.tag();
        let dialog = core
            .dialogs
            .create(request, &tag, &contact(&user, flow), flow.clone())
            .ok_or_else(|| Response::new(503).with("Retry-After", "30"))?;
        let phase = Phase::Pending { tx, offer: offer.map(Box::new) };
        let mut call = Call::new(core, dialog, room, who, phase, merge_key);
        call.timer = timer;
        call.password = password(request);
        // A sidebar is of all who are in it.
        call.creator = creator && sidebar.is_none();
        if creator {
            self.made.insert(call.room.clone());
        }
        if let Some(sidebar) = sidebar {
            self.sidebars.open(call.room.clone(), sidebar);
        }
        call.replaces = replaces;
        call.list = list;
        self.transactions.insert(tx, dialog);
        self.admit(core, call);
        Ok(())
    }

    /// An INVITE inside a dialog.
    pub(super) fn reinvite(&mut self, core: &mut Core, tx: TxId, request: &Request, flow: &Flow) {
        let dialog = match core.dialogs.enter(request, flow) {
            Ok(dialog) => dialog,
            Err(misfit) => return core.respond(tx, misfit_response(misfit)),
        };
        let Some(call) = self.table.get(&dialog) else {
            return core.respond(tx, Response::new(481));
        };
        let before = call.endpoint;
        let shows = self.shows(dialog, request);
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let outcome = match call.phase {
            // The answer to the first must come before the second can be judged (RFC 3261 §14.2).
            Phase::Pending { .. } => Err(core.later()),
            Phase::Offered { .. } => Err(Response::new(491)),
            _ if call.timer.offering => Err(Response::new(491)),
            Phase::Dialing { .. } => Err(Response::new(481)),
            Phase::Answered { .. } | Phase::Up => agree(request).and_then(|agreed| {
                call.timer.learn(&request.headers);
                call.timer.agreed = agreed;
                call.acks = true;
                call.shows = shows;
                call.renegotiate(core, tx, request, flow)
            }),
        };
        match outcome {
            Ok(()) => {
                self.transactions.insert(tx, dialog);
                self.settle(core, dialog, before);
            }
            Err(refusal) => core.respond(tx, refusal),
        }
    }

    /// Whether a later request in the call of an anonymous participant wants it shown (RFC 3323 §4.2), and
    /// whether that can be.
    pub(super) fn shows(&self, dialog: DialogId, request: &Request) -> Option<Result<(), &'static str>> {
        let call = self.table.get(&dialog).filter(|c| c.who.is_anonymous() && asks_none(request))?;
        let Some(real) = &call.who.real else { return Some(Err("Nobody knows who you are")) };
        let others = self.rooms.get(&call.room).into_iter().flatten();
        let theirs =
            |d: &&DialogId| self.table.get(*d).is_some_and(|c| c.who.participant == real.participant);
        let full = others.filter(theirs).count() >= limits::PARTICIPANT_ENDPOINTS_MAX;
        Some(if full { Err("You are in the room with too many devices") } else { Ok(()) })
    }

    /// Takes note of what a later offer has led to; the call was this endpoint before.
    pub(super) fn settle(&mut self, core: &mut Core, dialog: DialogId, before: Option<EndpointId>) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if matches!(call.phase, Phase::Pending { .. }) {
            call.asked = core.now;
            core.arm(core.now + GRANT_ANSWER_WAIT, Timer::Grant(dialog));
        }
        if before != call.endpoint {
            before.map(|endpoint| self.endpoints.remove(&endpoint));
            call.endpoint.map(|endpoint| self.endpoints.insert(endpoint, dialog));
        }
    }

    /// The ACK of a 200.
    pub(super) fn acked(&mut self, core: &mut Core, tx: TxId, request: &Request, flow: &Flow) {
        let Some(dialog) = self.transactions.remove(&tx) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        match call.phase {
            Phase::Answered { tx: t } if t == tx => call.phase = Phase::Up,
            Phase::Offered { tx: t } if t == tx => {
                call.phase = Phase::Up;
                if let Err(reason) = call.answered(core, &request.body, flow, false) {
                    return self.end(core, dialog, reason);
                }
            }
            _ => return,
        }
        if let Some(reason) = call.ending.take() {
            self.end(core, dialog, reason);
        }
    }

    /// No ACK came for 32 s (SIP-TXN-02).
    pub(super) fn not_acked(&mut self, core: &mut Core, tx: TxId) {
        let Some(dialog) = self.transactions.remove(&tx) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if matches!(call.phase, Phase::Answered { tx: t } | Phase::Offered { tx: t } if t == tx) {
            call.phase = Phase::Up;
            self.end(core, dialog, "SIP;cause=408;text=\"No ACK\"");
        }
    }

    /// A CANCEL came before our final answer (SIP-TXN-03). Once the 200 is out it changes nothing.
    pub(super) fn cancelled(&mut self, core: &mut Core, tx: TxId) {
        let Some(&dialog) = self.transactions.get(&tx) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if !matches!(call.phase, Phase::Pending { tx: t, .. } if t == tx) {
            return;
        }
        self.transactions.remove(&tx);
        self.fail_pending(core, dialog, Response::new(487));
    }

    /// A BYE: the call ends, whatever it waited for (SIP-DLG-01).
    pub(super) fn bye(&mut self, core: &mut Core, tx: TxId, dialog: DialogId) {
        let Some(call) = self.table.get(&dialog) else {
            return core.respond(tx, Response::new(481));
        };
        if let Phase::Pending { tx: pending, .. } = call.phase {
            core.respond(pending, Response::new(487));
        }
        core.respond(tx, Response::new(200));
        self.remove(core, dialog);
    }

    /// The shard gave a session.
    pub(super) fn granted(&mut self, core: &mut Core, endpoint: EndpointId, session: SessionId, no: GrantNo) {
        // Whoever left in the meantime has told the shard so, behind the Join: the grant is void.
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if !call.is_answered_by(no) {
            return;
        }
        call.session = Some(session);
        call.lost = None;
        if let Phase::Dialing { by, history, .. } = &call.phase {
            let (by, history) = (by.clone(), history.clone());
            return call.ring(core, &by, history.as_deref());
        }
        if std::mem::take(&mut call.reoffer) {
            return call.offer_again(core);
        }
        let Phase::Pending { tx, .. } = call.phase else { return };
        let after = call.after_answer(tx);
        let Phase::Pending { offer, .. } = std::mem::replace(&mut call.phase, after) else { return };
        match offer {
            Some(offer) => call.send_answer(core, tx, *offer),
            None => call.send_offer(core, tx),
        }
        self.replace(core, dialog);
        self.dial_list(core, dialog);
    }

    /// The shard refuses a Join or new terms.
    pub(super) fn refused(
        &mut self,
        core: &mut Core,
        endpoint: EndpointId,
        why: Refusal,
        words: Option<&str>,
    ) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        core.guard.floods.note(why);
        let Some(call) = self.table.get(&dialog) else { return };
        let response = refusal_of(core, dialog, why, words);
        if let Phase::Pending { tx, .. } = call.phase {
            self.transactions.remove(&tx);
            self.fail_pending(core, dialog, response);
        } else if matches!(call.phase, Phase::Dialing { .. }) {
            self.fail_dial(core, dialog, response.code);
        } else {
            self.end(core, dialog, "SIP;cause=503;text=\"Refused by the room\"");
        }
    }

    /// A message for a shard did not fit into its inbox.
    pub(super) fn undelivered(&mut self, core: &mut Core, endpoint: EndpointId) {
        self.refused(core, endpoint, Refusal::Overloaded, None);
    }

    /// The MSRP session is there.
    pub(super) fn bound(&mut self, core: &mut Core, endpoint: EndpointId) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        call.lost = None;
        if !call.present {
            call.present = true;
            call.look_whether_muted(core);
            core.news.push(call.news(endpoint, true));
            if !std::mem::replace(&mut call.aware, true) {
                core.news.push(News::Unaware { room: call.room.clone(), endpoint });
            }
        }
    }

    /// A room has other rules: what participants are to it may be something else, and is shown.
    pub(super) fn ruled(&mut self, core: &mut Core, room: &Address) {
        let rules = core.rules(room).clone();
        for dialog in self.rooms.get(room).into_iter().flatten() {
            let Some(call) = self.table.get_mut(dialog) else { continue };
            let before = (call.role, call.muted);
            call.role = rules.inside(&call.who.participant, &call.who.caller);
            call.look_whether_muted(core);
            if (call.role, call.muted) != before
                && let Some(endpoint) = call.endpoint.filter(|_| call.present)
            {
                core.news.push(call.news(endpoint, true));
            }
        }
        self.end_banned(core, room);
    }

    /// Somebody may speak again, if nothing has changed since that was foreseen.
    pub(super) fn mute_due(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let before = call.muted;
        call.look_whether_muted(core);
        if let Some(endpoint) = call.endpoint.filter(|_| call.present && call.muted != before) {
            core.news.push(call.news(endpoint, true));
        }
    }

    /// Ends the calls of those who are banned, in the room and in its sidebars; whoever is on the way in is not let in.
    fn end_banned(&mut self, core: &mut Core, room: &Address) {
        let rules = core.rules(room).clone();
        let banned = |c: &&Call| rules.at_the_door(core.now, &c.who.caller) == Role::Banned;
        let going: Vec<(DialogId, Option<TxId>, Arc<str>)> = self
            .calls_of(room)
            .filter(banned)
            .map(|c| {
                let words = rules.words(core.now, &c.who.caller, Rule::Banned).unwrap_or_else(|| "".into());
                let asking = match c.phase {
                    Phase::Pending { tx, .. } if !c.confirmed => Some(tx),
                    _ => None,
                };
                (c.dialog, asking, words)
            })
            .collect();
        for (dialog, asking, words) in going {
            if let Some(tx) = asking {
                self.transactions.remove(&tx);
                let response = refusal_of(core, dialog, Refusal::Denied(Rule::Banned), Some(&words));
                self.fail_pending(core, dialog, response);
                continue;
            }
            let reason = reason(200, &format!("Banned from this room{words}"));
            for other in self.in_sidebars(room, &[dialog]) {
                self.end(core, other, reason.clone());
            }
            self.end(core, dialog, reason);
        }
    }

    /// A room has taken somebody out, who goes from its sidebars too. Which room, and whom.
    pub(super) fn dismissed(
        &mut self,
        core: &mut Core,
        endpoint: EndpointId,
        words: &str,
    ) -> Option<(Address, Address)> {
        let &dialog = self.endpoints.get(&endpoint)?;
        let (room, who) = self.place_of(dialog)?;
        let mut going = self.in_sidebars(&room, &[dialog]);
        going.push(dialog);
        for dialog in going {
            self.end(core, dialog, reason(200, words));
        }
        Some((room, who))
    }

    /// The endpoint has another nickname in its room, or none.
    pub(super) fn renamed(&mut self, core: &mut Core, endpoint: EndpointId, nickname: Option<Arc<str>>) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        call.nickname = nickname;
        // Before the session is known to be bound the nickname waits for that news.
        if call.present {
            core.news.push(call.news(endpoint, true));
        }
    }

    /// The MSRP session ended, or never began.
    pub(super) fn lost(&mut self, core: &mut Core, endpoint: EndpointId, why: Ended) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        if std::mem::take(&mut call.present) {
            core.news.push(call.news(endpoint, false));
        }
        if matches!(call.phase, Phase::Dialing { .. }) {
            // It rings longer than a grant lives: there will be another when it is answered.
            call.lost = Some(core.now);
            return;
        }
        if let Ended::Missed(_) = why {
            return self.end(
                core,
                dialog,
                "SIP;cause=480;text=\"Your connection is too slow for this room\"",
            );
        }
        if why == Ended::NeverBound {
            return self.end(core, dialog, "SIP;cause=408;text=\"No MSRP session\"");
        }
        let until = core.now + limits::REBIND_WAIT;
        if let Some(earlier) = call.lost.replace(until) {
            core.disarm(earlier, Timer::Rebind(dialog));
        }
        core.arm(until, Timer::Rebind(dialog));
    }

    /// The time to negotiate a lost session anew is over (FOCUS-05).
    pub(super) fn rebind_due(&mut self, core: &mut Core, dialog: DialogId) {
        if self.table.get(&dialog).is_some_and(|c| c.lost.is_some_and(|at| at <= core.now)) {
            self.end(core, dialog, "SIP;cause=408;text=\"MSRP session lost\"");
        }
    }

    /// The server stops: every call ends.
    pub(super) fn drain(&mut self, core: &mut Core) {
        let mut all: Vec<_> = self.table.keys().copied().collect();
        all.sort_unstable();
        for dialog in all {
            self.end(core, dialog, "SIP;cause=503;text=\"Server stops\"");
        }
    }

    /// The shard has not answered in time: the INVITE fails.
    pub(super) fn grant_due(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(call) = self.table.get(&dialog) else { return };
        if let Phase::Pending { tx, .. } = call.phase
            && call.asked + GRANT_ANSWER_WAIT <= core.now
        {
            self.transactions.remove(&tx);
            let response = refusal_of(core, dialog, Refusal::Overloaded, None);
            self.fail_pending(core, dialog, response);
        } else if matches!(call.phase, Phase::Dialing { .. }) && call.session.is_none() {
            self.fail_dial(core, dialog, 503);
        }
    }

    /// The session's shard knows who an anonymous participant is.
    pub(super) fn disclosed(&mut self, core: &mut Core, endpoint: EndpointId) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        self.disclosed_due(core, dialog);
    }

    /// It knows, or has not said so in time: it will know before long.
    pub(super) fn disclosed_due(&mut self, core: &mut Core, dialog: DialogId) {
        if let Some(call) = self.table.get_mut(&dialog) {
            call.tell_at_last(core);
        }
    }

    /// Whether somebody has been let into a room, under any name.
    pub(super) fn has(&self, room: &Address, who: &Address) -> bool {
        self.calls_of(room)
            .filter(|c| c.confirmed)
            .any(|c| c.who.participant == *who || c.who.caller.known.as_ref() == Some(who))
    }

    /// All calls of a room.
    pub(super) fn calls_of(&self, room: &Address) -> impl Iterator<Item = &Call> {
        self.rooms.get(room).into_iter().flatten().filter_map(|d| self.table.get(d)).map(|c| &**c)
    }

    /// The room of a call, and who is in it by that call.
    pub(super) fn place_of(&self, dialog: DialogId) -> Option<(Address, Address)> {
        self.table.get(&dialog).map(|c| (c.room.clone(), c.who.participant.clone()))
    }

    /// Whether the factory made a room, whose name nobody can guess.
    pub(super) fn made(&self, room: &Address) -> bool {
        self.made.contains(room)
    }

    /// Whether there is no call.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Ends a call from our side, with BYE if it was confirmed.
    pub(super) fn end(&mut self, core: &mut Core, dialog: DialogId, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        let Some(call) = self.table.get_mut(&dialog) else { return };
        match call.phase {
            // A callee sends no BYE before the ACK (RFC 3261 §15).
            Phase::Answered { .. } | Phase::Offered { .. } => call.ending = Some(reason),
            Phase::Dialing { .. } => self.fail_dial(core, dialog, 487),
            Phase::Pending { tx, .. } if !call.confirmed => {
                self.transactions.remove(&tx);
                self.fail_pending(core, dialog, Response::new(503).with("Retry-After", "10"));
            }
            Phase::Pending { .. } | Phase::Up => {
                if let Phase::Pending { tx, .. } = call.phase {
                    core.respond(tx, Response::new(487));
                }
                core.bye(dialog, &reason);
                self.remove(core, dialog);
            }
        }
    }

    /// Answers a pending INVITE with a failure: a first INVITE leaves nothing, a later one the call.
    fn fail_pending(&mut self, core: &mut Core, dialog: DialogId, response: Response) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let Phase::Pending { tx, .. } = call.phase else { return };
        core.respond(tx, response);
        call.give_up_asking();
        if call.confirmed {
            call.phase = Phase::Up;
            // A Join after closed media has not come about; terms that were refused change nothing.
            if call.session.is_none()
                && let Some(endpoint) = call.leave(core)
            {
                self.endpoints.remove(&endpoint);
            }
        } else {
            self.remove(core, dialog);
        }
    }

    /// Forgets a call and tells its room.
    pub(super) fn remove(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(mut call) = self.table.remove(&dialog) else { return };
        core.disarm(call.asked + GRANT_ANSWER_WAIT, Timer::Grant(dialog));
        call.timer.stop(core, dialog);
        call.tell_at_last(core);
        if let Phase::Pending { tx, .. } | Phase::Answered { tx } | Phase::Offered { tx } = call.phase {
            self.transactions.remove(&tx);
        }
        if matches!(call.phase, Phase::Dialing { .. }) {
            self.rang(&call.room);
        }
        self.merged.remove(&call.merge_key);
        if let Some(endpoint) = call.leave(core) {
            self.endpoints.remove(&endpoint);
        }
        core.dialogs.release(dialog);
        let Some(others) = self.rooms.get_mut(&call.room) else { return };
        others.remove(&dialog);
        if others.is_empty() {
            self.rooms.remove(&call.room);
            self.made.remove(&call.room);
            if let Some(of) = self.sidebars.close(&call.room) {
                core.news.push(News::Sidebars { of });
            }
            core.news.push(News::RoomOver { room: call.room });
        } else if call.creator {
            for dialog in others.clone() {
                self.end(core, dialog, "SIP;cause=410;text=\"The room is over\"");
            }
        }
    }
}

/// What a refusal by the room says in SIP.
fn refusal_of(core: &Core, dialog: DialogId, why: Refusal, words: Option<&str>) -> Response {
    let flow = core.dialogs.get(dialog).map(|d| d.flow());
    flow.map_or_else(|| Response::new(403), |flow| refusal_response(flow, why, words))
}

/// The password of a room that a request gives: in a header of its own, or behind the room's address. Percent
/// signs escape, as in any URI.
pub(super) fn password(request: &Request) -> Option<Arc<str>> {
    let header = request.headers.get("Room-Password");
    let uri = || SipUri::parse(&request.uri)?.param("room-password");
    let given = header.or_else(uri)?;
    Some(unescape(given).map_or_else(|_| given.into(), Into::into))
}

/// A room for an INVITE to the factory: nobody else can know its name (FOCUS-07).
fn fresh_room(core: &mut Core, request: &Request) -> Option<(Address, String)> {
    let (factory, _) = core.config.user(&request.uri)?;
    let user = format!("{}{}", core.entropy.token(), core.entropy.token());
    let room = Address::parse(&format!("sip:{user}@{}", factory.host())).ok()?;
    Some((room, user))
}
