//! The conference event package (RFC 4575 over RFC 6665): who watches a room, and what they are told.
//!
//! A subscriber gets the whole roster at once and after each refresh, then partial documents: at most one
//! in [`NOTICE_PACE`], none while the last is unanswered, with all that changed in between (CONF-07). What the
//! documents hold is told in `roster.rs`. Clients built on the SDK of AG Projects take every document for the
//! whole roster, so they get whole ones. A subscription lives apart from a call in the same dialog
//! (CONF-09), and may begin before anybody is in the room.
//!
//! A notice that is refused, but does not end the subscription, is followed by a whole document: a partial
//! one would leave a gap. Whoever asks anew gets a whole document, and from then on that is the one whose answer counts: a
//! notice that was lost before ends nothing.
//!
//! The subscribers of a room wait in the order of their last notice, and are gone through in turns: see
//! [`NOTICE_TURN`]. Whom a document does not reach because of its size (513) gets summaries from then on.
//!
//! Bounds: dialogs see `dialog.rs`; [`DIALOG_SUBSCRIPTIONS_MAX`] subscriptions in one dialog;
//! [`NOTICES_TURN_MAX`] notices of changes and [`NOTICES_TURN_BYTES_MAX`] octets in one turn of a room.
//! Proof: `tests.rs` beside this file.

use super::code::{denial, misfit_response};
use super::dialog::{Dialog, DialogId, contact, remote_target};
use super::identity::is_nobody;
use super::invite::{Calls, password};
use super::roster::{Document, Rosters, View};
use super::signalling::{Flow, Headers, Method, NameAddr, Request, Response, param};
use super::{Core, Sent, Timer, TxId};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::limits::{NOTICE_PACE, NOTICE_TURN, NOTICES_TURN_BYTES_MAX, NOTICES_TURN_MAX};
use crate::base::rights::Rule;
use crate::room::rules::Caller;
use crate::wire::conference::MEDIA_TYPE;
use ahash::AHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Seconds of a subscription that asks for none, and the most it gets (RFC 4575 §3.3).
const EXPIRES: u32 = 3600;

/// The fewest seconds worth the trouble. Below, but over 0: 423.
const EXPIRES_MIN: u32 = 60;

/// Subscriptions with different ids in one dialog.
const DIALOG_SUBSCRIPTIONS_MAX: usize = 4;

/// Refusals in a row after which a notice is tried again: whoever refuses more hears of the next change.
const REFUSALS_MAX: u32 = 3;

/// Names a subscription; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct SubId(u64);

/// Names a watched room in a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct WatchId(u64);

struct Subscription {
    dialog: DialogId,
    room: Address,
    /// Who subscribes, as the roster may know them.
    own: Option<Address>,
    /// The `id` of Event, if there was one.
    id: Option<Box<str>>,
    expires: Now,
    version: u32,
    /// The change of the room's roster up to which the subscriber knows; `None`: nothing was told yet.
    seen: Option<u64>,
    /// The last change of `own` then; 0 if they were not there.
    own_seen: u64,
    sent_at: Now,
    /// SUBSCRIBE requests so far.
    asked: u32,
    /// Notices since the last of them without answer so far.
    unanswered: u32,
    /// A notice was refused: what it told is told again with a whole document.
    missed: bool,
    /// Refusals in a row.
    refusals: u32,
    whole_only: bool,
    /// The subscriber has proved to be a moderator.
    moderates: bool,
    /// A document did not reach the subscriber because of its size: summaries only.
    brief: bool,
    /// The subscription has ended with this reason; only the answer to its last notice is waited for.
    over: Option<&'static str>,
}

/// The subscriptions of one room.
struct Watch {
    id: WatchId,
    /// With the time of their last notice.
    subscriptions: BTreeSet<(Now, SubId)>,
    /// The deadline of the next turn, if one is set.
    armed: Option<Now>,
    /// The last turn.
    turned: Option<Now>,
}

/// All subscriptions.
#[derive(Default)]
pub(super) struct Subscriptions {
    table: AHashMap<SubId, Subscription>,
    dialogs: AHashMap<DialogId, Vec<SubId>>,
    rooms: AHashMap<Address, Watch>,
    watches: BTreeMap<WatchId, Address>,
    last: u64,
}

impl Subscriptions {
    /// A SUBSCRIBE, inside or outside a dialog. `calls` know who has been let in.
    pub(super) fn subscribe(
        &mut self,
        core: &mut Core,
        rosters: &mut Rosters,
        calls: &Calls,
        tx: TxId,
        request: &Request,
        flow: &Flow,
    ) {
        let outcome = check(request).and_then(|(id, seconds)| {
            let sub = if request.to_tag().is_some() {
                self.inside(core, calls, request, flow, id)?
            } else {
                self.outside(core, calls, request, flow, id)?
            };
            Ok((sub, seconds))
        });
        match outcome {
            Ok((sub, seconds)) => self.accept(core, rosters, tx, sub, seconds),
            Err(refusal) => core.respond(tx, refusal),
        }
    }

    /// A refresh, or a subscription that shares the dialog of a call.
    fn inside(
        &mut self,
        core: &mut Core,
        calls: &Calls,
        request: &Request,
        flow: &Flow,
        id: Option<Box<str>>,
    ) -> Result<SubId, Response> {
        let dialog = core.dialogs.enter(request, flow).map_err(misfit_response)?;
        let known = self.dialogs.get(&dialog).map_or(&[][..], Vec::as_slice);
        let same = |sub: &&SubId| self.table.get(sub).is_some_and(|s| s.id == id && s.over.is_none());
        if let Some(&sub) = known.iter().find(same) {
            if let Some(own) = self.table.get(&sub).and_then(|s| s.own.as_ref()) {
                core.charge(request.method, own, flow)?;
            }
            return Ok(sub);
        }
        let (room, own) = calls.place_of(dialog).ok_or_else(|| Response::new(481))?;
        core.charge(request.method, &own, flow)?;
        if known.len() >= DIALOG_SUBSCRIPTIONS_MAX {
            return Err(Response::new(403));
        }
        core.dialogs.share(dialog);
        Ok(self.create(core, dialog, (room, Some(own)), id, request))
    }

    fn outside(
        &mut self,
        core: &mut Core,
        calls: &Calls,
        request: &Request,
        flow: &Flow,
        id: Option<Box<str>>,
    ) -> Result<SubId, Response> {
        let told = core.config.directory(&request.uri).or_else(|| core.config.room(&request.uri));
        let (room, user) = told.ok_or_else(|| Response::new(404))?;
        remote_target(request).ok_or_else(|| Response::new(400))?;
        let from = || request.headers.get("From").and_then(NameAddr::parse);
        let own = core.proved.clone().or_else(|| Address::parse(from()?.uri).ok());
        if let Some(own) = own.as_ref().filter(|own| !is_nobody(own)) {
            core.charge(request.method, own, flow)?;
        }
        let nobody = || Caller { known: None, ..Caller::default() };
        let caller = own.as_ref().filter(|own| !is_nobody(own)).map_or_else(nobody, |own| core.caller(own));
        let present = own.as_ref().is_some_and(|own| calls.has(&room, own));
        let decision = core.rules(&room).may_watch(core.now, &caller, password(request).as_deref(), present);
        let (rule, allowed) = (decision.rule.token(), decision.allowed);
        tracing::debug!(target: "openmsrp::rights", %room, who = ?own, action = "Watch", rule, allowed);
        decision.check().map_err(|rule| denial(flow, rule, None))?;
        calls.may_pass_sidebar(core, &room, &caller, flow)?;
        let tag = core.tag();
        let dialog = core
            .dialogs
            .create(request, &tag, &contact(&user, flow), flow.clone())
            .ok_or_else(|| Response::new(503).with("Retry-After", "30"))?;
        core.merged.keep(core.now, request);
        Ok(self.create(core, dialog, (room, own), id, request))
    }

    fn create(
        &mut self,
        core: &Core,
        dialog: DialogId,
        (room, own): (Address, Option<Address>),
        id: Option<Box<str>>,
        request: &Request,
    ) -> SubId {
        self.last += 1;
        let sub = SubId(self.last);
        let subscription = Subscription {
            dialog,
            room: room.clone(),
            own,
            id,
            expires: core.now,
            // Whoever was given up in this dialog without knowing takes no lower number than the last (RFC 4575 §4.4).
            version: core.dialogs.get(dialog).map_or(0, Dialog::requests),
            seen: None,
            own_seen: 0,
            sent_at: core.now,
            asked: 0,
            unanswered: 0,
            missed: false,
            refusals: 0,
            whole_only: takes_whole_documents_only(request),
            moderates: core.moderator_asks(&room),
            brief: false,
            over: None,
        };
        self.table.insert(sub, subscription);
        self.dialogs.entry(dialog).or_default().push(sub);
        let watch_id = WatchId(self.last);
        let watch = self.rooms.entry(room.clone()).or_insert_with(|| {
            self.watches.insert(watch_id, room);
            Watch { id: watch_id, subscriptions: BTreeSet::new(), armed: None, turned: None }
        });
        watch.subscriptions.insert((core.now, sub));
        sub
    }

    /// 200, then the whole roster (CONF-02).
    fn accept(&mut self, core: &mut Core, rosters: &mut Rosters, tx: TxId, sub: SubId, seconds: u32) {
        let Some(subscription) = self.table.get_mut(&sub) else { return };
        let Some(dialog) = core.dialogs.get(subscription.dialog) else { return };
        let mut response = Response::new(200).tagged(dialog.tag()).with("Expires", seconds.to_string());
        response.headers.push("Contact", dialog.contact());
        for route in dialog.routes() {
            response.headers.push("Record-Route", route);
        }
        core.respond(tx, response);
        (subscription.asked, subscription.unanswered) = (subscription.asked.wrapping_add(1), 0);
        core.disarm(subscription.expires, Timer::Expire(sub));
        subscription.expires = core.now + Duration::from_secs(seconds.into());
        if seconds == 0 {
            self.end(core, rosters, sub, "timeout");
            return;
        }
        core.arm(subscription.expires, Timer::Expire(sub));
        self.notify(core, rosters, sub, true);
    }

    /// Something changed in a room: its subscribers are looked at as soon as the pace allows.
    pub(super) fn changed(&mut self, core: &mut Core, room: &Address) {
        let Some(watch) = self.rooms.get_mut(room) else { return };
        watch.arm(core, watch.next(core.now));
    }

    /// A turn: tells those whose time has come; comes again for the others.
    pub(super) fn due(&mut self, core: &mut Core, rosters: &mut Rosters, watch: WatchId) {
        let Some(room) = self.watches.get(&watch).cloned() else { return };
        let Some(watch) = self.rooms.get_mut(&room) else { return };
        watch.armed = None;
        watch.turned = Some(core.now);
        let changes = rosters.changes(&room);
        let behind = |sub| self.table.get(sub).is_some_and(|s| s.is_behind(changes) && s.unanswered == 0);
        let (mut ready, mut later) = (Vec::new(), None);
        for (sent_at, sub) in &watch.subscriptions {
            let at = *sent_at + NOTICE_PACE;
            if at > core.now || ready.len() == NOTICES_TURN_MAX {
                later = Some(at);
                break;
            }
            if behind(sub) {
                ready.push(*sub);
            }
        }
        if let Some(at) = later {
            watch.arm(core, watch.next(at));
        }
        let mut octets = 0;
        for sub in ready {
            if octets >= NOTICES_TURN_BYTES_MAX {
                self.changed(core, &room);
                break;
            }
            octets += self.notify(core, rosters, sub, false);
        }
    }

    /// The answer to a notice that was sent after `asked` SUBSCRIBE requests (CONF-09).
    pub(super) fn answered(
        &mut self,
        core: &mut Core,
        rosters: &mut Rosters,
        (sub, asked): (SubId, u32),
        code: u16,
    ) {
        let Some(subscription) = self.table.get_mut(&sub).filter(|s| s.asked == asked) else { return };
        subscription.unanswered = subscription.unanswered.saturating_sub(1);
        if code == 513 && !subscription.brief {
            subscription.brief = true;
            self.notify(core, rosters, sub, true);
        } else if subscription.over.is_some() {
            if subscription.unanswered == 0 {
                self.remove(core, sub);
            }
        } else if matches!(code, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 503 | 513 | 604) {
            self.remove(core, sub);
        } else {
            let refused = code >= 300;
            subscription.missed |= refused;
            subscription.refusals = if refused { subscription.refusals.saturating_add(1) } else { 0 };
            if subscription.is_behind(rosters.changes(&subscription.room))
                && let Some(watch) = self.rooms.get_mut(&subscription.room)
            {
                watch.arm(core, watch.next(core.now.max(subscription.sent_at + NOTICE_PACE)));
            }
        }
    }

    /// The time of a subscription is over (CONF-03).
    pub(super) fn expire(&mut self, core: &mut Core, rosters: &mut Rosters, sub: SubId) {
        if self.table.get(&sub).is_some_and(|s| s.expires <= core.now) {
            self.end(core, rosters, sub, "timeout");
        }
    }

    /// The room has ended (CHAT-JOIN-10).
    pub(super) fn room_over(&mut self, core: &mut Core, rosters: &mut Rosters, room: &Address) {
        let subscriptions = self.rooms.get(room).map(|w| w.subscriptions.clone()).unwrap_or_default();
        for (_, sub) in subscriptions {
            self.end(core, rosters, sub, "noresource");
        }
    }

    /// Somebody was taken out of a room, or it has other rules: whoever may not be told any more who is there, is not. Of a
    /// room that wants a password that is only who was taken out or banned.
    pub(super) fn shut_out(
        &mut self,
        core: &mut Core,
        rosters: &mut Rosters,
        calls: &Calls,
        room: &Address,
        gone: Option<&Address>,
    ) {
        let Some(watch) = self.rooms.get(room) else { return };
        let (rules, now) = (core.rules(room).clone(), core.now);
        let shut_out = |sub: &&SubId| {
            let Some(own) = self.table.get(*sub).and_then(|s| s.own.as_ref()) else { return false };
            let caller = Caller::of(own);
            let rule = rules.may_watch(now, &caller, None, calls.has(room, own)).check().err();
            rule.is_some_and(|rule| rule == Rule::Banned || gone == Some(own))
        };
        let all: Vec<SubId> =
            watch.subscriptions.iter().map(|(_, sub)| sub).filter(shut_out).copied().collect();
        for sub in all {
            self.end(core, rosters, sub, "rejected");
        }
    }

    /// The server stops: come back later (RFC 6665 §4.1.3).
    pub(super) fn drain(&mut self, core: &mut Core, rosters: &mut Rosters) {
        let live = self.table.iter().filter(|(_, s)| s.over.is_none());
        let all: BTreeSet<SubId> = live.map(|(sub, _)| *sub).collect();
        for sub in all {
            self.end(core, rosters, sub, "probation;retry-after=30");
        }
    }

    /// The last notice. If it does not reach the subscriber because of its size, a smaller one is the last.
    fn end(&mut self, core: &mut Core, rosters: &mut Rosters, sub: SubId, reason: &'static str) {
        self.retire(core, sub);
        if let Some(subscription) = self.table.get_mut(&sub) {
            subscription.over = Some(reason);
        }
        self.notify(core, rosters, sub, true);
    }

    /// Sends a notice; the octets of its document.
    fn notify(&mut self, core: &mut Core, rosters: &mut Rosters, sub: SubId, whole: bool) -> usize {
        let Some(s) = self.table.get_mut(&sub) else { return 0 };
        let changes = rosters.changes(&s.room);
        // A whole roster may repeat the number of the document that told the same (CONF-04).
        if s.seen != Some(changes) {
            s.version += 1;
        }
        let whole = whole || std::mem::take(&mut s.missed);
        let rules = core.rules(&s.room);
        let (subject, locked) = (rules.subject().clone(), rules.is_locked());
        let view = View {
            room: &s.room,
            subject: &subject,
            locked,
            seen: s.seen.filter(|_| !whole && !s.whole_only),
            own: s.own.as_ref(),
            own_seen: s.own_seen,
            brief: s.brief,
        };
        // The directory is the same for all.
        let shown = if s.moderates && !rosters.directory.is_at(&s.room) {
            rosters.for_moderators()
        } else {
            &mut *rosters
        };
        let Document { own, shared } = shown.document(&view, s.version);
        s.seen = Some(changes);
        s.own_seen = s.own.as_ref().map_or(0, |own| rosters.changed(&s.room, own));
        s.unanswered += 1;
        let before = std::mem::replace(&mut s.sent_at, core.now);
        if let Some(watch) = self.rooms.get_mut(&s.room)
            && watch.subscriptions.remove(&(before, sub))
        {
            watch.subscriptions.insert((core.now, sub));
        }
        let mut headers = Headers::default();
        match &s.id {
            Some(id) => headers.push("Event", format!("conference;id={id}")),
            None => headers.push("Event", "conference"),
        }
        let state = match s.over {
            None => format!("active;expires={}", core.now.until(s.expires).as_secs()),
            Some(reason) => format!("terminated;reason={reason}"),
        };
        headers.push("Subscription-State", state);
        headers.push("Content-Type", MEDIA_TYPE);
        let asked = s.asked;
        let octets = own.len() + shared.as_ref().map_or(0, |shared| shared.len());
        core.send_shared(s.dialog, Method::Notify, &headers, (own, shared), Sent::Notify(sub, asked));
        octets
    }

    /// No further notice of changes.
    fn retire(&mut self, core: &mut Core, sub: SubId) {
        let Some(subscription) = self.table.get(&sub) else { return };
        core.disarm(subscription.expires, Timer::Expire(sub));
        if let Some(watch) = self.rooms.get_mut(&subscription.room) {
            watch.subscriptions.remove(&(subscription.sent_at, sub));
            if watch.subscriptions.is_empty() {
                self.watches.remove(&watch.id);
                self.rooms.remove(&subscription.room);
            }
        }
    }

    fn remove(&mut self, core: &mut Core, sub: SubId) {
        self.retire(core, sub);
        let Some(subscription) = self.table.remove(&sub) else { return };
        if let Some(known) = self.dialogs.get_mut(&subscription.dialog) {
            known.retain(|s| *s != sub);
            if known.is_empty() {
                self.dialogs.remove(&subscription.dialog);
            }
        }
        core.dialogs.release(subscription.dialog);
    }
}

impl Subscription {
    /// Whether there is something to tell that has not been told, or did not get there.
    fn is_behind(&self, changes: u64) -> bool {
        self.seen != Some(changes) || self.missed && self.refusals <= REFUSALS_MAX
    }
}

impl Watch {
    /// When the next turn may be for those whose time comes at `at`.
    fn next(&self, at: Now) -> Now {
        self.turned.map_or(at, |last| at.max(last + NOTICE_TURN))
    }

    /// There is to be a turn at `at`, or earlier.
    fn arm(&mut self, core: &mut Core, at: Now) {
        if let Some(before) = self.armed {
            if before <= at {
                return;
            }
            core.disarm(before, Timer::Watch(self.id));
        }
        self.armed = Some(at);
        core.arm(at, Timer::Watch(self.id));
    }
}

/// The Event id and the granted seconds, or why not (CONF-01, CONF-02).
fn check(request: &Request) -> Result<(Option<Box<str>>, u32), Response> {
    let event = request.headers.get("Event").unwrap_or("");
    let (package, params) = event.split_at(event.find(';').unwrap_or(event.len()));
    if !package.trim().eq_ignore_ascii_case("conference") {
        return Err(Response::new(489).with("Allow-Events", "conference"));
    }
    if !request.accepts(MEDIA_TYPE, true) {
        return Err(Response::new(406).with("Accept", MEDIA_TYPE));
    }
    let seconds = request.headers.get("Expires").map_or(Some(EXPIRES), |e| e.parse().ok());
    let seconds = seconds.ok_or_else(|| Response::new(400))?.min(EXPIRES);
    if (1..EXPIRES_MIN).contains(&seconds) {
        return Err(Response::new(423).with("Min-Expires", EXPIRES_MIN.to_string()));
    }
    Ok((param(params, "id").map(Box::from), seconds))
}

/// Clients that take a partial document for the whole roster.
fn takes_whole_documents_only(request: &Request) -> bool {
    let agent = request.headers.get("User-Agent").unwrap_or("").to_ascii_lowercase();
    agent.starts_with("blink") || agent.contains("sipsimple")
}
