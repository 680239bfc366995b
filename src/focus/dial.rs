//! Calls that the room makes (RFC 4579 §5.5): INVITE with our offer, and what becomes of the answer.
//!
//! ```text
//!   dial ──► Join ──► Granted ──► INVITE ──► 2xx ──► Revise (the answer's terms) ──► Up
//!                 └ Refused            └ anything else: gone without trace
//! ```
//!
//! Whoever answers later than a grant lives finds it void: the call gets another session, and a re-INVITE
//! that says so. A call that is given up while it rings is gone at once; should it be answered after all, BYE
//! follows. No CANCEL is sent. With an outbound proxy the INVITE goes there, by a route that is set beforehand
//! (RFC 3261 §8.1.2); what follows goes the way that the answer has recorded.
//!
//! Bounds: [`DIALS_MAX`] ringing calls a room, [`ALL_DIALS_MAX`] in all; beyond, 503. Proof: `tests.rs` beside this file, `tests/sip_loopback.rs`.

use super::call::{Call, Phase};
use super::code::{ALLOW, SUPPORTED};
use super::dialog::{DialogId, contact};
use super::identity::{Identity, NAME_BYTES_MAX};
use super::invite::{Calls, GRANT_ANSWER_WAIT};
use super::list::with_history;
use super::merged;
use super::refer::ReportId;
use super::signalling::{Flow, Headers, Method, Reply, SipUri, Transport};
use super::{Core, News, Sent, Timer};
use crate::base::address::Address;
use crate::room::rules::Caller;
use crate::wire::sdp;
use std::sync::Arc;

/// Calls of one room that ring at a time: each costs an INVITE to somebody who did not ask for it, so a
/// room shall not become a weapon. As many as a list may name.
pub(super) const DIALS_MAX: u32 = 64;

/// Calls of all rooms that ring at a time: each is a task and a transaction for up to a minute, and must
/// leave most of `limits::SIP_TRANSACTIONS_MAX` to those who call us.
pub(super) const ALL_DIALS_MAX: u32 = 4096;

/// Names no connection: the way is looked for.
const NO_LINK: u64 = u64::MAX;

/// Whom to call, and for whom.
pub(super) struct Dial<'a> {
    pub(super) room: &'a Address,
    /// The user part of the room's URI, as it is written.
    pub(super) user: &'a str,
    /// A SIP URI.
    pub(super) target: &'a str,
    /// Who wants it: told as Referred-By.
    pub(super) by: &'a Address,
    /// How that one reached us, which says how we are called.
    pub(super) flow: &'a Flow,
    /// Who is told what became of it.
    pub(super) report: Option<ReportId>,
    /// What the called may know of others who are called with them.
    pub(super) history: Option<Arc<str>>,
}

impl Calls {
    /// Calls somebody; the status code that says why not.
    pub(super) fn dial(&mut self, core: &mut Core, dial: &Dial<'_>) -> Result<(), u16> {
        SipUri::parse(dial.target).ok_or(400_u16)?;
        let participant = Address::parse(dial.target).map_err(|_| 400_u16)?;
        if dial.target.len() > NAME_BYTES_MAX {
            return Err(400);
        }
        let here = self.dials.get(dial.room).copied().unwrap_or(0);
        if here >= DIALS_MAX || self.dials.values().sum::<u32>() >= ALL_DIALS_MAX {
            return Err(503);
        }
        let proxy = core.config.outbound_proxy.as_deref();
        let route = proxy.map(|uri| format!("<{uri}>"));
        let next = SipUri::parse(proxy.unwrap_or(dial.target)).ok_or(503_u16)?;
        let tcp = next.param("transport").is_some_and(|t| t.eq_ignore_ascii_case("tcp"));
        let (transport, link) =
            if tcp { (Transport::Tcp, NO_LINK) } else { (Transport::Udp, dial.flow.link) };
        let flow = Flow { transport, link, ..dial.flow.clone() };
        let (tag, call_id) = (core.tag(), core.tag());
        let own = contact(dial.user, &flow);
        let dialog = core
            .dialogs
            .open(dial.room.as_str(), dial.target, &call_id, &tag, &own, flow, route)
            .ok_or(503_u16)?;
        // Whoever answers has proved nothing.
        let caller = Caller {
            known: Some(participant.clone()),
            believed: core.open,
            invited: true,
            ..Caller::default()
        };
        let who = Identity {
            caller,
            participant,
            aliases: Vec::new(),
            display_name: "".into(),
            contact: dial.target.into(),
            real: None,
        };
        let phase =
            Phase::Dialing { report: dial.report, by: dial.by.clone(), history: dial.history.clone() };
        let merge_key = merged::digest_of(&call_id, Some(&tag), 0, Method::Invite);
        let mut call = Call::new(core, dialog, dial.room.clone(), who, phase, merge_key);
        call.joining = "dialed-out";
        *self.dials.entry(dial.room.clone()).or_default() += 1;
        self.admit(core, call);
        Ok(())
    }

    /// The final answer to an INVITE of a room.
    pub(super) fn dialed(&mut self, core: &mut Core, dialog: DialogId, reply: &Reply) {
        if !(200..300).contains(&reply.code) {
            self.fail_dial(core, dialog, reply.code);
        } else if core.dialogs.establish(dialog, reply) {
            self.answered(core, dialog, reply);
        } else {
            self.fail_dial(core, dialog, 400);
        }
        core.dialogs.release(dialog);
    }

    fn answered(&mut self, core: &mut Core, dialog: DialogId, reply: &Reply) {
        let Some(call) = self.table.get_mut(&dialog) else {
            return core.bye(dialog, "SIP;cause=487;text=\"No longer wanted\"");
        };
        let Phase::Dialing { report, .. } = std::mem::replace(&mut call.phase, Phase::Up) else { return };
        call.confirmed = true;
        call.timer.learn(&reply.headers);
        call.timer.confirmed(core, dialog, &reply.headers);
        if let Some(contact) =
            core.dialogs.get(dialog).map(|d| d.target()).filter(|c| c.len() <= NAME_BYTES_MAX)
        {
            call.who.contact = contact.into();
        }
        let Some(flow) = core.dialogs.get(dialog).map(|d| d.flow().clone()) else { return };
        let late = call.lost.take().is_some();
        call.reoffer = late;
        let outcome = call.answered(core, &reply.body, &flow, late);
        let room = call.room.clone();
        self.rang(&room);
        let code = if outcome.is_ok() { reply.code } else { 488 };
        core.news.extend(report.map(|report| News::Referred { report, code }));
        if let Err(reason) = outcome {
            self.end(core, dialog, reason);
        }
    }

    /// A call that rang, or was about to, has come to nothing.
    pub(super) fn fail_dial(&mut self, core: &mut Core, dialog: DialogId, code: u16) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let Phase::Dialing { report, .. } = &mut call.phase else { return };
        core.news.extend(report.take().map(|report| News::Referred { report, code }));
        self.remove(core, dialog);
    }

    /// One call of the room rings no longer.
    pub(super) fn rang(&mut self, room: &Address) {
        let Some(ringing) = self.dials.get_mut(room) else { return };
        *ringing -= 1;
        if *ringing == 0 {
            self.dials.remove(room);
        }
    }

    /// Ends every call of a participant in a room and its sidebars; whether there was one.
    pub(super) fn dismiss(&mut self, core: &mut Core, room: &Address, who: &Address) -> bool {
        let theirs = |dialog: &&DialogId| self.table.get(*dialog).is_some_and(|c| c.who.participant == *who);
        let all = self.rooms.get(room).into_iter().flatten();
        let mut dialogs: Vec<DialogId> = all.filter(theirs).copied().collect();
        dialogs.extend(self.in_sidebars(room, &dialogs));
        for &dialog in &dialogs {
            self.end(core, dialog, "SIP;cause=200;text=\"Removed from the room\"");
        }
        !dialogs.is_empty()
    }

    /// The room, its user part and the participant of the call in a dialog.
    pub(super) fn party(&self, dialog: DialogId) -> Option<(Address, Address)> {
        self.table.get(&dialog).map(|c| (c.room.clone(), c.who.participant.clone()))
    }

    /// Who the participant of a call is to rooms.
    pub(super) fn caller(&self, dialog: DialogId) -> Option<&Caller> {
        self.table.get(&dialog).map(|c| &c.who.caller)
    }

    /// Takes a new call in: its room is asked for a place.
    pub(super) fn admit(&mut self, core: &mut Core, mut call: Call) {
        let (dialog, Some(endpoint)) = (call.dialog, call.endpoint) else { return };
        core.arm(call.asked + GRANT_ANSWER_WAIT, Timer::Grant(dialog));
        let join = call.join(endpoint);
        core.tell(&call.room, join);
        self.endpoints.insert(endpoint, dialog);
        self.merged.insert(call.merge_key, dialog);
        self.rooms.entry(call.room.clone()).or_default().insert(dialog);
        self.table.insert(dialog, Box::new(call));
    }
}

impl Call {
    /// The room has a place: the INVITE goes out. It holds the dialog until its answer is there.
    pub(super) fn ring(&mut self, core: &mut Core, by: &Address, history: Option<&str>) {
        let dialog = self.dialog;
        let offer = self.versioned(core, sdp::offer);
        let mut headers = Headers::default();
        headers.push("Allow", ALLOW);
        headers.push("Supported", SUPPORTED.join(", "));
        headers.push("Allow-Events", "conference");
        headers.push("Referred-By", format!("<{}>", by.as_str()));
        let body = if let Some(history) = history {
            let (kind, body) = with_history(&core.entropy.token().to_string(), &offer, history);
            headers.push("Content-Type", kind);
            body
        } else {
            headers.push("Content-Type", "application/sdp");
            offer
        };
        core.dialogs.share(dialog);
        core.send(dialog, Method::Invite, &headers, body, Sent::Dial(dialog));
    }

    /// The session that our offer named is void: another one, by re-INVITE.
    pub(super) fn offer_again(&mut self, core: &mut Core) {
        let offer = self.versioned(core, sdp::offer);
        let mut headers = Headers::default();
        headers.push("Allow", ALLOW);
        headers.push("Supported", SUPPORTED.join(", "));
        headers.push("Content-Type", "application/sdp");
        self.timer.offering = true;
        core.send(self.dialog, Method::Invite, &headers, offer, Sent::Refresh(self.dialog, Method::Invite));
    }
}
