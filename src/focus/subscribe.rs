//! The conference event package (RFC 4575 over RFC 6665): who watches a room, and what they are told.
//!
//! A subscriber gets the whole roster at once and after each refresh, then partial documents: at most one
//! in [`PACE`], none while the last is unanswered, with all that changed in between (CONF-07). Clients
//! built on the SDK of AG Projects take every document for the whole roster, so they get whole ones.
//! A subscription lives apart from a call in the same dialog (CONF-09), and may begin before anybody
//! is in the room.
//!
//! Bounds: dialogs see `dialog.rs`; [`DIALOG_SUBSCRIPTIONS_MAX`] subscriptions in one dialog.
//! Proof: `tests.rs` beside this file.

use super::code::misfit_response;
use super::dialog::{DialogId, contact, remote_target};

use super::roster::Rosters;
use super::signalling::{Flow, Headers, Method, Request, Response, param};
use super::{Core, Sent, Timer, TxId};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::wire::conference::MEDIA_TYPE;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Seconds of a subscription that asks for none, and the most it gets (RFC 4575 §3.3).
const EXPIRES: u32 = 3600;

/// The fewest seconds worth the trouble. Below, but over 0: 423.
const EXPIRES_MIN: u32 = 60;

/// Between two notices to one subscriber.
const PACE: Duration = Duration::from_secs(1);

/// Subscriptions with different ids in one dialog.
const DIALOG_SUBSCRIPTIONS_MAX: usize = 4;

/// Names a subscription; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct SubId(u64);

/// Names a watched room in a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct WatchId(u64);

struct Subscription {
    dialog: DialogId,
    room: Address,
    /// The `id` of Event, if there was one.
    id: Option<Box<str>>,
    expires: Now,
    version: u32,
    /// The change of the room's roster up to which the subscriber knows.
    seen: u64,
    sent_at: Now,
    /// Notices without answer so far.
    unanswered: u32,
    whole_only: bool,
    /// The subscriber has proved to be a moderator.
    moderates: bool,
}

/// The subscriptions of one room.
struct Watch {
    id: WatchId,
    subscriptions: BTreeSet<SubId>,
    /// A deadline to look at them is set.
    armed: bool,
}

/// All subscriptions.
#[derive(Default)]
pub(super) struct Subscriptions {
    table: HashMap<SubId, Subscription>,
    dialogs: HashMap<DialogId, Vec<SubId>>,
    rooms: HashMap<Address, Watch>,
    watches: BTreeMap<WatchId, Address>,
    last: u64,
}

/// The states a notice can tell (RFC 6665 §4.1.3).
enum State {
    Active,
    Terminated(&'static str),
}

impl Subscriptions {
    /// A SUBSCRIBE, inside or outside a dialog. `room_of` names the room of a call's dialog.
    pub(super) fn subscribe(
        &mut self,
        core: &mut Core,
        rosters: &Rosters,
        tx: TxId,
        request: &Request,
        flow: &Flow,
        room_of: impl Fn(DialogId) -> Option<Address>,
    ) {
        let outcome = check(request).and_then(|(id, seconds)| {
            let sub = if request.to_tag().is_some() {
                self.inside(core, request, flow, id, room_of)?
            } else {
                self.outside(core, request, flow, id)?
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
        request: &Request,
        flow: &Flow,
        id: Option<Box<str>>,
        room_of: impl Fn(DialogId) -> Option<Address>,
    ) -> Result<SubId, Response> {
        let dialog = core.dialogs.enter(request, flow).map_err(misfit_response)?;
        let known = self.dialogs.get(&dialog).map_or(&[][..], Vec::as_slice);
        let same = |sub: &&SubId| self.table.get(sub).is_some_and(|s| s.id == id);
        if let Some(&sub) = known.iter().find(same) {
            return Ok(sub);
        }
        let room = room_of(dialog).ok_or_else(|| Response::new(481))?;
        if known.len() >= DIALOG_SUBSCRIPTIONS_MAX {
            return Err(Response::new(403));
        }
        core.dialogs.share(dialog);
        Ok(self.create(core, dialog, room, id, request))
    }

    fn outside(
        &mut self,
        core: &mut Core,
        request: &Request,
        flow: &Flow,
        id: Option<Box<str>>,
    ) -> Result<SubId, Response> {
        let (room, user) = core.config.room(&request.uri).ok_or_else(|| Response::new(404))?;
        remote_target(request).ok_or_else(|| Response::new(400))?;
        let tag = core.tag();
        let dialog = core
            .dialogs
            .create(request, &tag, &contact(&user, flow), flow.clone())
            .ok_or_else(|| Response::new(503).with("Retry-After", "30"))?;
        Ok(self.create(core, dialog, room, id, request))
    }

    fn create(
        &mut self,
        core: &Core,
        dialog: DialogId,
        room: Address,
        id: Option<Box<str>>,
        request: &Request,
    ) -> SubId {
        self.last += 1;
        let sub = SubId(self.last);
        let subscription = Subscription {
            dialog,
            room: room.clone(),
            id,
            expires: core.now,
            version: 0,
            seen: 0,
            sent_at: Now(0),
            unanswered: 0,
            whole_only: takes_whole_documents_only(request),
            moderates: core.moderator_asks(),
        };
        self.table.insert(sub, subscription);
        self.dialogs.entry(dialog).or_default().push(sub);
        let watch_id = WatchId(self.last);
        let watch = self.rooms.entry(room.clone()).or_insert_with(|| {
            self.watches.insert(watch_id, room);
            Watch { id: watch_id, subscriptions: BTreeSet::new(), armed: false }
        });
        watch.subscriptions.insert(sub);
        sub
    }

    /// 200, then the whole roster (CONF-02).
    fn accept(&mut self, core: &mut Core, rosters: &Rosters, tx: TxId, sub: SubId, seconds: u32) {
        let Some(subscription) = self.table.get_mut(&sub) else { return };
        let Some(dialog) = core.dialogs.get(subscription.dialog) else { return };
        let mut response = Response::new(200).tagged(dialog.tag()).with("Expires", seconds.to_string());
        response.headers.push("Contact", dialog.contact());
        for route in dialog.routes() {
            response.headers.push("Record-Route", route);
        }
        core.respond(tx, response);
        core.disarm(subscription.expires, Timer::Expire(sub));
        subscription.expires = core.now + Duration::from_secs(seconds.into());
        if seconds == 0 {
            self.end(core, rosters, sub, "timeout");
            return;
        }
        core.arm(subscription.expires, Timer::Expire(sub));
        self.notify(core, rosters, sub, true, &State::Active);
    }

    /// Something changed in a room: its subscribers are looked at as soon as the pace allows.
    pub(super) fn changed(&mut self, core: &mut Core, room: &Address) {
        let Some(watch) = self.rooms.get_mut(room) else { return };
        if !watch.armed {
            watch.armed = true;
            core.arm(core.now, Timer::Watch(watch.id));
        }
    }

    /// Tells those who may be told now; comes again for the others.
    pub(super) fn due(&mut self, core: &mut Core, rosters: &Rosters, watch: WatchId) {
        let Some(room) = self.watches.get(&watch).cloned() else { return };
        let Some(watch) = self.rooms.get_mut(&room) else { return };
        watch.armed = false;
        let id = watch.id;
        let changes = rosters.changes(&room);
        let (mut later, mut ready) = (None, Vec::new());
        for &sub in &watch.subscriptions {
            let Some(s) = self.table.get(&sub).filter(|s| s.seen != changes && s.unanswered == 0) else {
                continue;
            };
            if s.sent_at + PACE <= core.now {
                ready.push(sub);
            } else {
                later = Some(later.map_or(s.sent_at + PACE, |at: Now| at.min(s.sent_at + PACE)));
            }
        }
        if let Some(at) = later {
            watch.armed = true;
            core.arm(at, Timer::Watch(id));
        }
        for sub in ready {
            self.notify(core, rosters, sub, false, &State::Active);
        }
    }

    /// The answer to a notice (CONF-09).
    pub(super) fn answered(&mut self, core: &mut Core, rosters: &Rosters, sub: SubId, code: u16) {
        let Some(subscription) = self.table.get_mut(&sub) else { return };
        subscription.unanswered = subscription.unanswered.saturating_sub(1);
        if matches!(code, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 503 | 604) {
            self.remove(core, sub);
        } else if subscription.seen != rosters.changes(&subscription.room) {
            let room = subscription.room.clone();
            self.changed(core, &room);
        }
    }

    /// The time of a subscription is over (CONF-03).
    pub(super) fn expire(&mut self, core: &mut Core, rosters: &Rosters, sub: SubId) {
        if self.table.get(&sub).is_some_and(|s| s.expires <= core.now) {
            self.end(core, rosters, sub, "timeout");
        }
    }

    /// The room has ended (CHAT-JOIN-10).
    pub(super) fn room_over(&mut self, core: &mut Core, rosters: &Rosters, room: &Address) {
        let subscriptions = self.rooms.get(room).map(|w| w.subscriptions.clone()).unwrap_or_default();
        for sub in subscriptions {
            self.end(core, rosters, sub, "noresource");
        }
    }

    /// The server stops: come back later (RFC 6665 §4.1.3).
    pub(super) fn drain(&mut self, core: &mut Core, rosters: &Rosters) {
        let all: BTreeSet<SubId> = self.table.keys().copied().collect();
        for sub in all {
            self.end(core, rosters, sub, "probation;retry-after=30");
        }
    }

    fn end(&mut self, core: &mut Core, rosters: &Rosters, sub: SubId, reason: &'static str) {
        self.notify(core, rosters, sub, true, &State::Terminated(reason));
        self.remove(core, sub);
    }

    fn notify(&mut self, core: &mut Core, rosters: &Rosters, sub: SubId, whole: bool, state: &State) {
        let Some(s) = self.table.get_mut(&sub) else { return };
        let changes = rosters.changes(&s.room);
        // A whole roster may repeat the number of the document that told the same (CONF-04).
        if s.version == 0 || s.seen != changes {
            s.version += 1;
        }
        let since = (!whole && !s.whole_only).then_some(s.seen);
        let shown = if s.moderates { rosters.for_moderators() } else { rosters };
        let body = shown.document(&s.room, since, s.version);
        s.seen = changes;
        s.sent_at = core.now;
        s.unanswered += 1;
        let mut headers = Headers::default();
        match &s.id {
            Some(id) => headers.push("Event", format!("conference;id={id}")),
            None => headers.push("Event", "conference"),
        }
        match state {
            State::Active => {
                let left = core.now.until(s.expires).as_secs();
                headers.push("Subscription-State", format!("active;expires={left}"));
            }
            State::Terminated(reason) => {
                headers.push("Subscription-State", format!("terminated;reason={reason}"));
            }
        }
        headers.push("Content-Type", MEDIA_TYPE);
        let dialog = s.dialog;
        core.send(dialog, Method::Notify, &headers, body, Sent::Notify(sub));
    }

    fn remove(&mut self, core: &mut Core, sub: SubId) {
        let Some(subscription) = self.table.remove(&sub) else { return };
        core.disarm(subscription.expires, Timer::Expire(sub));
        if let Some(known) = self.dialogs.get_mut(&subscription.dialog) {
            known.retain(|s| *s != sub);
            if known.is_empty() {
                self.dialogs.remove(&subscription.dialog);
            }
        }
        if let Some(watch) = self.rooms.get_mut(&subscription.room) {
            watch.subscriptions.remove(&sub);
            if watch.subscriptions.is_empty() {
                self.watches.remove(&watch.id);
                self.rooms.remove(&subscription.room);
            }
        }
        core.dialogs.release(subscription.dialog);
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
