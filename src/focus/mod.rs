//! SIP conference focus as a machine: dialogs become commands to rooms (RFC 4353, RFC 4579, RFC 7701).
//!
//! ```text
//!   control/sip.rs ── Input ──► Focus::handle ──► invite    ── ToShard ──► shards
//!                                   │             subscribe
//!                                   │             refer, dial ── Send ──► others
//!                                   │             dialog, roster
//!                  ◄── Output ── Focus::poll ◄── FromShard ── shards
//! ```
//!
//! [`Focus::handle`] changes state, [`Focus::poll`] drains what is to be done, [`Focus::deadline`] says
//! when [`Focus::tick`] wants to be called. No socket, no clock, no task is known here.
//!
//! Order of checks of a request (SIP-UAS-01): who asks (401, `accounts.rs`), method (405), Request-URI (404),
//! merged request (482, `merged.rs`), Require (420), body (415), Accept (406). What comes before that is `strict.rs`.
//!
//! Bounds: `limits::DIALOGS_MAX` dialogs, each with at most one call; subscriptions see `subscribe.rs`.
//! A message that a shard's inbox does not take is answered 503, except `Leave`, `Inherit`, `Disclose` and `Notice`, which are
//! kept and tried again: there is at most one of each for each call that was. Proof: `tests.rs` here, `tests/torture.rs`
//! and `tests/sip_loopback.rs`.

pub mod accounts;
mod call;
mod code;
mod dial;
pub mod dialog;
mod directory;
mod flood;
mod identity;
mod invite;
mod list;
mod merged;
mod notice;
mod refer;
mod refresh;
mod replaces;
mod roster;
mod sidebar;
pub mod signalling;
pub mod stream;
pub mod strict;
mod subscribe;
#[cfg(test)]
mod tests;
mod timer;

use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::flood::{Floods, Limits};
use crate::base::id::{EndpointId, ShardId};
use crate::base::rights::Role;
use crate::room::rooms::Rooms;
use crate::room::rules::{Caller, Rules};
use crate::shard::message::{FromShard, ToShard, home};
use accounts::{Accounts, Gate};
use ahash::AHashMap;
use dialog::{DialogId, Dialogs};
use directory::Directory;
use flood::Guard;
use invite::Calls;
use merged::Merged;
use refer::{ReportId, Reports};
use roster::{Presence, Rosters};
use signalling::{Flow, Headers, Method, Outgoing, Reply, Request, Response, SipUri};
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subscribe::{SubId, Subscriptions, WatchId};

/// How long a `Leave` waits before it is offered to a full inbox again.
const LEAVE_RETRY: Duration = Duration::from_millis(20);

/// Octets of the user part of a room's address.
const ROOM_USER_BYTES_MAX: usize = 255;

/// A server transaction, named by the control plane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TxId(pub u64);

/// One of our requests, named by the focus.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// What the focus must know of its surroundings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host names whose every user is a room, lower-case.
    pub domains: Vec<String>,
    /// Addresses that count as such hosts: those of the listeners. An unspecified one stands for every
    /// address, because what came here was meant for here.
    pub addresses: Vec<IpAddr>,
    /// The host in our MSRP path.
    pub msrp_host: String,
    /// The port in our MSRP path.
    pub msrp_port: u16,
    /// The rules of all rooms, as configured.
    pub rooms: Arc<Rooms>,
    /// The user to whom an INVITE makes a room of its own (RFC 4579 §3.2); empty for none.
    pub factory: String,
    /// The user who tells subscribers which rooms are public; empty for none.
    pub directory: String,
    /// Moderators who have proved to be that are shown who an anonymous participant is, and everybody is told so.
    pub moderators_see_identity: bool,
    /// The SIP URI of the proxy that all our INVITEs go through; none sends each to where its target is.
    pub outbound_proxy: Option<String>,
    /// Participants up to which subscribers are told the whole roster; above, a summary.
    pub roster_whole_max: usize,
    /// Who may come in, and how that is proved.
    pub accounts: Accounts,
    /// How much may come by SIP in what time.
    pub floods: Limits,
    /// How many shards there are.
    pub shards: u16,
}

/// What can happen to the focus.
#[derive(Debug)]
pub enum Input {
    /// A request in a new server transaction; never ACK or CANCEL.
    Request {
        /// The transaction to answer.
        tx: TxId,
        /// The request.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// The ACK of a 2xx that was sent on this transaction.
    Acked {
        /// The transaction of the INVITE.
        tx: TxId,
        /// The ACK.
        request: Request,
        /// Where it came from.
        flow: Flow,
    },
    /// The 2xx of this transaction was repeated for 64*T1 without an ACK.
    NotAcked {
        /// The transaction of the INVITE.
        tx: TxId,
    },
    /// A CANCEL for this transaction came and was answered.
    Cancelled {
        /// The transaction of the INVITE.
        tx: TxId,
    },
    /// The final answer to one of our requests; 408 if there was none, 503 if it could not be sent.
    Answer {
        /// Which request.
        id: RequestId,
        /// What was answered.
        reply: Reply,
    },
    /// News from a shard.
    Shard(FromShard),
    /// A shard's inbox was full.
    Undelivered {
        /// Which shard.
        shard: ShardId,
        /// What it did not take.
        message: ToShard,
    },
    /// The server stops.
    Drain,
}

/// What the focus wants done.
#[derive(Debug)]
pub enum Output {
    /// Answer a transaction.
    Respond {
        /// Which.
        tx: TxId,
        /// With what.
        response: Response,
    },
    /// Send a request; its final answer comes back as [`Input::Answer`].
    Send {
        /// The name of the request.
        id: RequestId,
        /// The request.
        request: Box<Outgoing>,
    },
    /// Tell a shard.
    Tell {
        /// Which.
        shard: ShardId,
        /// What.
        message: ToShard,
    },
}

/// What an answer to one of our requests is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sent {
    Bye,
    /// After so many SUBSCRIBE requests.
    Notify(SubId, u32),
    Refresh(DialogId, Method),
    Dial(DialogId),
    Report(ReportId),
}

/// What a deadline is about. Stale ones find nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// A lost MSRP session was not negotiated anew.
    Rebind(DialogId),
    /// The shard has not answered a Join or Revise.
    Grant(DialogId),
    /// The session timer of a call is due.
    Session(DialogId),
    /// The shard has not said that it knows who an anonymous participant is.
    Disclosed(DialogId),
    /// Somebody may speak again.
    Muted(DialogId),
    /// A subscription ends.
    Expire(SubId),
    /// Subscribers of a room may be told what changed.
    Watch(WatchId),
    /// A full inbox may have room again.
    Retry,
}

/// What the parts tell each other.
#[derive(Debug)]
enum News {
    /// Somebody is present, or no longer.
    Presence(Presence),
    /// Somebody is present whose client knows no rooms.
    Unaware { room: Address, endpoint: EndpointId },
    /// What a REFER asked for came out so.
    Referred { report: ReportId, code: u16 },
    /// The last call of a room is gone.
    RoomOver { room: Address },
    /// A room has other sidebars.
    Sidebars { of: Address },
}

/// What all parts use.
struct Core {
    /// The time of the input at work.
    now: Now,
    config: Config,
    dialogs: Dialogs,
    merged: Merged,
    guard: Guard,
    entropy: Entropy,
    out: VecDeque<Output>,
    news: Vec<News>,
    timers: BTreeSet<(Now, Timer)>,
    sent: AHashMap<RequestId, Sent>,
    /// Messages that a full inbox did not take.
    kept: VecDeque<(ShardId, ToShard)>,
    last_endpoint: u64,
    last_anonymous: u64,
    last_request: u64,
    /// Who sent the request at work, if that was proved or asserted.
    proved: Option<Address>,
    /// Who the request at work is from counts, proved or not: nobody has to prove anything.
    open: bool,
    /// Where the request at work comes from, if not from a trusted proxy.
    from: Option<IpAddr>,
    /// The rules of rooms in which they were changed.
    ruled: AHashMap<Address, Arc<Rules>>,
}

/// The focus.
pub struct Focus {
    core: Core,
    gate: Gate,
    calls: Calls,
    rosters: Rosters,
    subscriptions: Subscriptions,
    reports: Reports,
    draining: bool,
}

impl Focus {
    /// A focus without rooms.
    #[must_use]
    pub fn new(config: Config, mut entropy: Entropy) -> Self {
        let gate = Gate::new(config.accounts.clone(), &mut entropy);
        let mut rosters = Rosters::new(config.roster_whole_max, config.moderators_see_identity);
        rosters.directory = Directory::new(&config.directory);
        let core = Core {
            now: Now(0),
            guard: Guard::new(config.floods.clone()),
            config,
            dialogs: Dialogs::default(),
            merged: Merged::default(),
            entropy,
            out: VecDeque::new(),
            news: Vec::new(),
            timers: BTreeSet::new(),
            sent: AHashMap::new(),
            kept: VecDeque::new(),
            last_endpoint: 0,
            last_anonymous: 0,
            last_request: 0,
            proved: None,
            open: gate.is_open(),
            from: None,
            ruled: AHashMap::new(),
        };
        Self {
            core,
            gate,
            calls: Calls::default(),
            rosters,
            subscriptions: Subscriptions::default(),
            reports: Reports::default(),
            draining: false,
        }
    }

    /// Takes one input. Afterwards drain [`Focus::poll`].
    pub fn handle(&mut self, now: Now, input: Input) {
        let core = &mut self.core;
        core.now = now;
        match input {
            Input::Request { tx, request, flow } => self.request(tx, &request, &flow),
            Input::Acked { tx, request, flow } => self.calls.acked(core, tx, &request, &flow),
            Input::NotAcked { tx } => self.calls.not_acked(core, tx),
            Input::Cancelled { tx } => self.calls.cancelled(core, tx),
            Input::Answer { id, reply } => self.answer(id, &reply),
            Input::Shard(event) => self.shard(event),
            Input::Undelivered { shard, message } => self.undelivered(shard, message),
            Input::Drain => {
                self.draining = true;
                self.calls.drain(core);
                self.subscriptions.drain(core, &mut self.rosters);
            }
        }
        self.spread();
    }

    /// Does what is due. Afterwards drain [`Focus::poll`].
    pub fn tick(&mut self, now: Now) {
        self.core.now = now;
        while let Some(&(at, timer)) = self.core.timers.first() {
            if at > now {
                break;
            }
            self.core.timers.pop_first();
            let (core, rosters) = (&mut self.core, &mut self.rosters);
            match timer {
                Timer::Rebind(dialog) => self.calls.rebind_due(core, dialog),
                Timer::Grant(dialog) => self.calls.grant_due(core, dialog),
                Timer::Session(dialog) => self.calls.session_due(core, dialog),
                Timer::Disclosed(dialog) => self.calls.disclosed_due(core, dialog),
                Timer::Muted(dialog) => self.calls.mute_due(core, dialog),
                Timer::Expire(sub) => self.subscriptions.expire(core, rosters, sub),
                Timer::Watch(watch) => self.subscriptions.due(core, rosters, watch),
                Timer::Retry => {
                    for (shard, message) in self.core.kept.drain(..) {
                        self.core.out.push_back(Output::Tell { shard, message });
                    }
                }
            }
        }
        self.spread();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.core.out.pop_front()
    }

    /// When [`Focus::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        self.core.timers.first().map(|&(at, _)| at)
    }

    /// What was refused because there was too much of it.
    #[must_use]
    pub fn floods(&self) -> &Floods {
        &self.core.guard.floods
    }

    /// Whether a dialog would send its next request over this link.
    #[must_use]
    pub fn uses(&self, link: u64) -> bool {
        self.core.dialogs.use_link(link)
    }

    /// Whether nothing is left to wait for after [`Input::Drain`].
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining && self.calls.is_empty() && self.core.sent.is_empty() && self.core.kept.is_empty()
    }

    fn request(&mut self, tx: TxId, request: &Request, flow: &Flow) {
        let inside = request.to_tag().is_some();
        let core = &mut self.core;
        core.proved = None;
        core.from = (!self.gate.trusts(flow.peer.ip())).then(|| flow.peer.ip());
        if !inside && matches!(request.method, Method::Invite | Method::Subscribe | Method::Refer) {
            if let Some(from) = core.from
                && let Err(why) = core.guard.address(core.now, from)
            {
                return core.respond(tx, code::refusal_response(flow, why, None));
            }
            match self.gate.check(core, request, flow.peer.ip()) {
                Ok(who) => core.proved = who,
                Err(refusal) => return core.respond(tx, refusal),
            }
        }
        match request.method {
            Method::Invite
            | Method::Options
            | Method::Bye
            | Method::Subscribe
            | Method::Update
            | Method::Refer => {}
            Method::Ack | Method::Cancel => return,
            _ => return core.respond(tx, Response::new(405).with("Allow", code::ALLOW)),
        }
        if !inside && core.config.host_of(&request.uri).is_none() {
            return core.respond(tx, Response::new(404));
        }
        // An INVITE is known by its call.
        if !inside && request.method != Method::Invite && core.merged.knows(core.now, request) {
            return core.respond(tx, Response::new(482));
        }
        if request.method != Method::Invite && request.headers.get("Replaces").is_some() {
            return core.respond(tx, Response::new(400));
        }
        let factory = !inside && core.config.is_factory(&request.uri);
        if let Some(unsupported) = code::required(request, factory) {
            return core.respond(tx, Response::new(420).with("Unsupported", unsupported));
        }
        match request.method {
            Method::Invite if inside => self.calls.reinvite(core, tx, request, flow),
            Method::Invite | Method::Subscribe | Method::Refer if self.draining => {
                core.respond(tx, Response::new(503).with("Retry-After", "10"));
            }
            Method::Invite => self.calls.invite(core, tx, request, flow),
            Method::Refer => self.refer(tx, request, flow),
            Method::Subscribe if is_of_refer(request) => self.subscribe_report(tx, request, flow),
            Method::Subscribe => {
                let (calls, rosters) = (&self.calls, &mut self.rosters);
                self.subscriptions.subscribe(core, rosters, calls, tx, request, flow);
            }
            Method::Update => self.calls.update(core, tx, request, flow),
            Method::Options => self.options(tx, request, flow, inside),
            _ => match core.dialogs.enter(request, flow) {
                Ok(dialog) => self.calls.bye(core, tx, dialog),
                Err(misfit) => core.respond(tx, code::misfit_response(misfit)),
            },
        }
    }

    /// Whether a room has as many participants as it may have.
    fn is_full(&self, room: &Address) -> bool {
        self.rosters.count(room) >= self.core.rules(room).participants_max()
    }

    /// What an INVITE would get, without doing anything (FOCUS-06).
    fn options(&mut self, tx: TxId, request: &Request, flow: &Flow, inside: bool) {
        if inside && let Err(misfit) = self.core.dialogs.enter(request, flow) {
            return self.core.respond(tx, code::misfit_response(misfit));
        }
        let response = if self.draining {
            Response::new(503).with("Retry-After", "10")
        } else if let Err(refusal) = code::acceptable(request) {
            refusal
        } else if self.core.config.room(&request.uri).is_some_and(|(room, _)| self.is_full(&room)) {
            Response::new(486)
        } else {
            let user = SipUri::parse(&request.uri).map_or("", |u| u.user);
            let factory = self.core.config.is_factory(&request.uri);
            code::capabilities(Response::new(200), &dialog::contact(user, flow), factory)
        };
        self.core.respond(tx, response);
    }

    fn answer(&mut self, id: RequestId, reply: &Reply) {
        match self.core.sent.remove(&id) {
            // Whatever the answer to a BYE, the dialog is over (RFC 3261 §15.1.1).
            Some(Sent::Bye) | None => {}
            Some(Sent::Notify(sub, asked)) => {
                self.subscriptions.answered(&mut self.core, &mut self.rosters, (sub, asked), reply.code);
            }
            Some(Sent::Dial(dialog)) => self.calls.dialed(&mut self.core, dialog, reply),
            Some(Sent::Report(report)) => self.reports.answered(&mut self.core, report, reply.code),
            Some(Sent::Refresh(dialog, method)) => {
                self.calls.refreshed(&mut self.core, dialog, method, reply);
            }
        }
    }

    fn shard(&mut self, event: FromShard) {
        let core = &mut self.core;
        match event {
            FromShard::Granted { endpoint, session, no } => self.calls.granted(core, endpoint, session, no),
            FromShard::Refused { endpoint, why, words } => {
                self.calls.refused(core, endpoint, why, words.as_deref());
            }
            FromShard::Dismissed { endpoint, words } => {
                if let Some((room, who)) = self.calls.dismissed(core, endpoint, &words) {
                    self.subscriptions.shut_out(core, &mut self.rosters, &self.calls, &room, Some(&who));
                }
            }
            FromShard::Ruled { room, rules } => {
                let before = core.rules(&room).clone();
                match rules {
                    Some(rules) => core.ruled.insert(room.clone(), rules),
                    None => core.ruled.remove(&room),
                };
                let after = core.rules(&room);
                if after.subject() != before.subject() || after.is_locked() != before.is_locked() {
                    self.rosters.redescribe(&room);
                    self.subscriptions.changed(core, &room);
                }
                self.calls.ruled(core, &room);
                self.subscriptions.shut_out(core, &mut self.rosters, &self.calls, &room, None);
                self.list(&room);
            }
            FromShard::Bound { endpoint } => self.calls.bound(core, endpoint),
            FromShard::Lost { endpoint, why } => self.calls.lost(core, endpoint, why),
            FromShard::Renamed { endpoint, nickname } => self.calls.renamed(core, endpoint, nickname),
            FromShard::Disclosed { endpoint } => self.calls.disclosed(core, endpoint),
            FromShard::Drained { .. } => {}
        }
    }

    fn undelivered(&mut self, shard: ShardId, message: ToShard) {
        match message {
            ToShard::Join(join) => self.calls.undelivered(&mut self.core, join.endpoint),
            ToShard::Revise { endpoint, .. } => self.calls.undelivered(&mut self.core, endpoint),
            ToShard::Inherit { .. }
            | ToShard::Disclose(_)
            | ToShard::Notice(_)
            | ToShard::Leave { .. }
            | ToShard::Drain => {
                self.core.kept.push_back((shard, message));
                self.core.arm(self.core.now + LEAVE_RETRY, Timer::Retry);
            }
        }
    }

    /// Carries news from one part to the others.
    fn spread(&mut self) {
        for news in std::mem::take(&mut self.core.news) {
            match news {
                News::Presence(presence) => {
                    let room = presence.room.clone();
                    self.rosters.apply(presence);
                    self.subscriptions.changed(&mut self.core, &room);
                    self.list(&room);
                }
                News::Unaware { room, endpoint } => {
                    notice::send(&mut self.core, &self.rosters, &room, endpoint);
                }
                News::Referred { report, code } => self.reports.over(&mut self.core, report, code),
                News::Sidebars { of } => {
                    self.rosters.set_sidebars(&of, self.calls.sidebars.of(&of));
                    self.subscriptions.changed(&mut self.core, &of);
                }
                News::RoomOver { room } => {
                    self.subscriptions.room_over(&mut self.core, &mut self.rosters, &room);
                    self.rosters.forget(&room);
                    self.list(&room);
                }
            }
        }
    }

    /// Something about a room has changed that the list of public rooms tells.
    fn list(&mut self, room: &Address) {
        let participants = self.rosters.count(room);
        let rules = self.core.rules(room);
        let directory = &mut self.rosters.directory;
        let news = if rules.policy().public && participants > 0 && !self.calls.made(room) {
            directory.list(room, participants, rules.subject())
        } else {
            directory.unlist(room)
        };
        if let Some(at) = news {
            self.subscriptions.changed(&mut self.core, &at);
        }
    }
}

/// Whether a SUBSCRIBE is about a REFER.
fn is_of_refer(request: &Request) -> bool {
    let package = request.headers.get("Event").and_then(|event| event.split(';').next());
    package.is_some_and(|p| p.trim().eq_ignore_ascii_case("refer"))
}

impl Core {
    /// Every response has a tag in To (RFC 3261 §8.2.6.2).
    fn respond(&mut self, tx: TxId, mut response: Response) {
        if response.to_tag.is_none() {
            response.to_tag = Some(self.tag().into());
        }
        self.out.push_back(Output::Respond { tx, response });
    }

    fn tell(&mut self, room: &Address, message: ToShard) {
        let shard = home(room, self.config.shards);
        self.out.push_back(Output::Tell { shard, message });
    }

    fn send(&mut self, dialog: DialogId, method: Method, headers: &Headers, body: String, about: Sent) {
        self.send_shared(dialog, method, headers, (body, None), about);
    }

    /// Sends a request whose body has a part of its own, and one that others have too.
    fn send_shared(
        &mut self,
        dialog: DialogId,
        method: Method,
        headers: &Headers,
        (body, rest): (String, Option<Arc<str>>),
        about: Sent,
    ) {
        let branch = self.entropy.token();
        let Some(mut request) = self.dialogs.request(dialog, method, headers, body, branch) else { return };
        request.rest = rest;
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.sent.insert(id, about);
        self.out.push_back(Output::Send { id, request: Box::new(request) });
    }

    fn bye(&mut self, dialog: DialogId, reason: &str) {
        let mut headers = Headers::default();
        headers.push("Reason", reason);
        self.send(dialog, Method::Bye, &headers, String::new(), Sent::Bye);
    }

    fn arm(&mut self, at: Now, timer: Timer) {
        self.timers.insert((at, timer));
    }

    fn disarm(&mut self, at: Now, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    /// Whether whoever sent the request at work has proved to be a moderator of the room: what From says is not
    /// enough to be shown what others hide.
    fn moderator_asks(&self, room: &Address) -> bool {
        self.proved.as_ref().is_some_and(|who| self.rules(room).listed(who) >= Role::Moderator)
    }

    /// The rules of a room that are in force.
    fn rules(&self, room: &Address) -> &Arc<Rules> {
        self.ruled.get(room).unwrap_or_else(|| self.config.rooms.rules(room))
    }

    /// Who the sender of the request at work is to rooms, if it has this address and does not hide.
    fn caller(&self, address: &Address) -> Caller {
        let proved = self.proved.is_some();
        let (known, from) = (Some(address.clone()), self.from);
        Caller { known, hides: false, proved, believed: proved || self.open, from, invited: false }
    }

    /// Takes the request at work from what `who` has left.
    fn charge(&mut self, method: Method, who: &Address, flow: &Flow) -> Result<(), Response> {
        let from = self.from.filter(|_| self.proved.is_none());
        let outcome = self.guard.user(self.now, method, who, from);
        outcome.map_err(|why| code::refusal_response(flow, why, None))
    }

    /// Another offer is under way: come back in a moment (RFC 3261 §14.2).
    fn later(&mut self) -> Response {
        Response::new(500).with("Retry-After", self.entropy.below(10).to_string())
    }

    fn tag(&mut self) -> String {
        self.entropy.token().to_string()
    }

    fn endpoint(&mut self) -> EndpointId {
        self.last_endpoint += 1;
        EndpointId(self.last_endpoint)
    }
}

impl Config {
    /// The host of a URI, if it is one of ours.
    fn host_of<'a>(&self, uri: &'a str) -> Option<SipUri<'a>> {
        let uri = SipUri::parse(uri)?;
        let named = || self.domains.iter().any(|d| d.eq_ignore_ascii_case(uri.host));
        let numbered = || {
            uri.host
                .parse()
                .is_ok_and(|ip: IpAddr| self.addresses.iter().any(|a| *a == ip || a.is_unspecified()))
        };
        (named() || numbered()).then_some(uri)
    }

    /// Whether a URI is that of the factory.
    fn is_factory(&self, uri: &str) -> bool {
        self.user_called(&self.factory, uri).is_some()
    }

    /// One of our users, if it is called so; nobody is called nothing.
    fn user_called(&self, name: &str, uri: &str) -> Option<(Address, String)> {
        let parsed = self.host_of(uri).filter(|_| !name.is_empty())?;
        // Nearly no URI is, which is seen without an address.
        if parsed.user != name && !parsed.user.contains('%') {
            return None;
        }
        self.user(uri).filter(|(address, _)| address.user() == name)
    }

    fn makes_rooms(&self, address: &Address) -> bool {
        !self.factory.is_empty() && address.user() == self.factory
    }

    /// The room that a URI names, and its user part; the factory is no room.
    fn room(&self, uri: &str) -> Option<(Address, String)> {
        self.user(uri).filter(|(address, _)| !self.makes_rooms(address) && !self.lists_rooms(address))
    }

    /// The list of rooms that a URI names, and its user part.
    fn directory(&self, uri: &str) -> Option<(Address, String)> {
        self.user_called(&self.directory, uri)
    }

    fn lists_rooms(&self, address: &Address) -> bool {
        !self.directory.is_empty() && address.user() == self.directory
    }

    /// The address of one of our users, and its user part. Port and parameters say how to get here, not
    /// who is meant.
    fn user(&self, uri: &str) -> Option<(Address, String)> {
        let uri = self.host_of(uri)?;
        if uri.user.is_empty() || uri.user.len() > ROOM_USER_BYTES_MAX {
            return None;
        }
        let v6 = uri.host.contains(':');
        let host = if v6 { format!("[{}]", uri.host) } else { uri.host.to_ascii_lowercase() };
        let room = Address::parse(&format!("sip:{}@{host}", uri.user)).ok()?;
        Some((room, uri.user.to_owned()))
    }
}
