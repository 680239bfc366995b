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

use super::dialog::{DialogId, Misfit, contact, remote_target};
use super::roster::Presence;
use super::signalling::{Flow, Headers, Method, NameAddr, Request, Response};
use super::{Core, News, Sent, Timer, TxId};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, SessionId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::shard::message::{Ended, Join, Terms, ToShard};
use crate::wire::sdp::{self, Description, Media, MediaProblem, MessageMedia, NoChat, Setup};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Methods we serve.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, SUBSCRIBE";

/// Octets of a participant's address, Contact or display name that are kept.
const NAME_BYTES_MAX: usize = 1024;

/// How long a shard may take to answer. Beyond: 503, and what it grants later is void.
const GRANT_ANSWER_WAIT: Duration = Duration::from_secs(8);

/// What a call waits for.
enum Phase {
    /// The room's shard, which grants a session for this INVITE.
    Pending { tx: TxId, offer: Option<Box<Offer>> },
    /// The ACK of our 200, which had an answer.
    Answered { tx: TxId },
    /// The ACK of our 200, which had an offer: the ACK has the answer.
    Offered { tx: TxId },
    /// Nothing.
    Up,
}

/// A usable offer.
struct Offer {
    description: Description,
    index: usize,
    setup: Setup,
    terms: Terms,
}

struct Call {
    dialog: DialogId,
    /// `None` while the message media is closed with port 0.
    endpoint: Option<EndpointId>,
    room: Address,
    participant: Address,
    display_name: Arc<str>,
    contact: Arc<str>,
    phase: Phase,
    /// A 200 was sent: from here on the call ends with BYE.
    confirmed: bool,
    /// Our session, once granted.
    session: Option<SessionId>,
    /// Session id and version of our `o=`.
    origin: (u64, u64),
    /// The last description we sent.
    ours: String,
    /// The peer's `o=` line of its last description.
    theirs: String,
    terms: Option<Terms>,
    present: bool,
    /// The MSRP session is gone and may be negotiated anew until then (FOCUS-05).
    lost: Option<Now>,
    /// The call is to end with this Reason as soon as the ACK is there (RFC 3261 §15).
    ending: Option<&'static str>,
    /// When the shard was last asked.
    asked: Now,
    merge_key: MergeKey,
}

/// Call-ID, From tag and CSeq number of the first INVITE (RFC 3261 §8.2.2.2).
type MergeKey = (Box<str>, Box<str>, u32);

/// All calls.
#[derive(Default)]
pub(super) struct Calls {
    table: HashMap<DialogId, Call>,
    endpoints: HashMap<EndpointId, DialogId>,
    transactions: HashMap<TxId, DialogId>,
    merged: HashMap<MergeKey, DialogId>,
    /// Calls of each room.
    rooms: HashMap<Address, u32>,
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
        let (room, user) = core.config.room(&request.uri).ok_or(Response::new(404))?;
        let merge_key = (request.call_id().into(), request.from_tag().unwrap_or("").into(), request.cseq());
        if self.merged.contains_key(&merge_key) {
            return Err(Response::new(482));
        }
        acceptable(request)?;
        let from = request.headers.get("From").and_then(NameAddr::parse).ok_or(Response::new(400))?;
        let participant = Address::parse(from.uri).map_err(|_| Response::new(400))?;
        let target = remote_target(request).ok_or(Response::new(400))?;
        if from.uri.len() > NAME_BYTES_MAX || target.len() > NAME_BYTES_MAX {
            return Err(Response::new(400));
        }
        let offer = if request.body.is_empty() { None } else { Some(read_offer(request, flow)?) };
        let tag = core.tag();
        let dialog = core
            .dialogs
            .create(request, &tag, &contact(&user, flow), flow.clone())
            .ok_or_else(|| Response::new(503).with("Retry-After", "30"))?;
        let endpoint = core.endpoint();
        let call = Call {
            dialog,
            endpoint: Some(endpoint),
            room: room.clone(),
            participant,
            display_name: cut(&from.display).into(),
            contact: target.as_ref().into(),
            phase: Phase::Pending { tx, offer: offer.map(Box::new) },
            confirmed: false,
            session: None,
            origin: (core.entropy.bits() >> 16, 1),
            ours: String::new(),
            theirs: String::new(),
            terms: None,
            present: false,
            lost: None,
            ending: None,
            asked: core.now,
            merge_key: merge_key.clone(),
        };
        core.arm(core.now + GRANT_ANSWER_WAIT, Timer::Grant(dialog));
        core.tell(&room, call.join(endpoint));
        self.endpoints.insert(endpoint, dialog);
        self.transactions.insert(tx, dialog);
        self.merged.insert(merge_key, dialog);
        *self.rooms.entry(room).or_default() += 1;
        self.table.insert(dialog, call);
        Ok(())
    }

    /// An INVITE inside a dialog.
    pub(super) fn reinvite(&mut self, core: &mut Core, tx: TxId, request: &Request, flow: &Flow) {
        let dialog = match core.dialogs.enter(request, flow) {
            Ok(dialog) => dialog,
            Err(misfit) => return core.respond(tx, misfit_response(misfit)),
        };
        let Some(call) = self.table.get_mut(&dialog) else {
            return core.respond(tx, Response::new(481));
        };
        let before = call.endpoint;
        let outcome = match call.phase {
            // The answer to the first must come before the second can be judged (RFC 3261 §14.2).
            Phase::Pending { .. } => {
                let seconds = core.entropy.below(10).to_string();
                Err(Response::new(500).with("Retry-After", seconds))
            }
            Phase::Offered { .. } => Err(Response::new(491)),
            Phase::Answered { .. } | Phase::Up => call.renegotiate(core, tx, request, flow),
        };
        match outcome {
            Ok(()) => {
                if matches!(call.phase, Phase::Pending { .. }) {
                    call.asked = core.now;
                    core.arm(core.now + GRANT_ANSWER_WAIT, Timer::Grant(dialog));
                }
                self.transactions.insert(tx, dialog);
                if before != call.endpoint {
                    before.map(|endpoint| self.endpoints.remove(&endpoint));
                    call.endpoint.map(|endpoint| self.endpoints.insert(endpoint, dialog));
                }
            }
            Err(refusal) => core.respond(tx, refusal),
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
                if let Err(reason) = call.answered(core, request, flow) {
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
    pub(super) fn granted(&mut self, core: &mut Core, endpoint: EndpointId, session: SessionId) {
        // Whoever left in the meantime has told the shard so, behind the Join: the grant is void.
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        call.session = Some(session);
        call.lost = None;
        let Phase::Pending { tx, .. } = call.phase else { return };
        let Phase::Pending { offer, .. } = std::mem::replace(&mut call.phase, Phase::Answered { tx }) else {
            return;
        };
        match offer {
            Some(offer) => call.send_answer(core, tx, *offer),
            None => call.send_offer(core, tx),
        }
    }

    /// The shard refuses a Join or new terms.
    pub(super) fn refused(&mut self, core: &mut Core, endpoint: EndpointId, why: Refusal) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get(&dialog) else { return };
        let response = refusal_response(why);
        if let Phase::Pending { tx, .. } = call.phase {
            self.transactions.remove(&tx);
            self.fail_pending(core, dialog, response);
        } else {
            self.end(core, dialog, "SIP;cause=503;text=\"Refused by the room\"");
        }
    }

    /// A message for a shard did not fit into its inbox.
    pub(super) fn undelivered(&mut self, core: &mut Core, endpoint: EndpointId) {
        self.refused(core, endpoint, Refusal::Overloaded);
    }

    /// The MSRP session is there.
    pub(super) fn bound(&mut self, core: &mut Core, endpoint: EndpointId) {
        let Some(&dialog) = self.endpoints.get(&endpoint) else { return };
        let Some(call) = self.table.get_mut(&dialog) else { return };
        call.lost = None;
        if !call.present {
            call.present = true;
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
        if why == Ended::NeverBound {
            return self.end(core, dialog, "SIP;cause=408;text=\"No MSRP session\"");
        }
        let until = core.now + limits::REBIND_WAIT;
        call.lost = Some(until);
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
            self.fail_pending(core, dialog, refusal_response(Refusal::Overloaded));
        }
    }

    /// The room of the call in a dialog.
    pub(super) fn room_of(&self, dialog: DialogId) -> Option<Address> {
        self.table.get(&dialog).map(|c| c.room.clone())
    }

    /// Whether there is no call.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Ends a call from our side, with BYE if it was confirmed.
    fn end(&mut self, core: &mut Core, dialog: DialogId, reason: &'static str) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        match call.phase {
            // A callee sends no BYE before the ACK (RFC 3261 §15).
            Phase::Answered { .. } | Phase::Offered { .. } => call.ending = Some(reason),
            Phase::Pending { tx, .. } if !call.confirmed => {
                self.transactions.remove(&tx);
                self.fail_pending(core, dialog, Response::new(503).with("Retry-After", "10"));
            }
            Phase::Pending { .. } | Phase::Up => {
                if let Phase::Pending { tx, .. } = call.phase {
                    core.respond(tx, Response::new(487));
                }
                let mut headers = Headers::default();
                headers.push("Reason", reason);
                core.send(dialog, Method::Bye, &headers, String::new(), Sent::Bye);
                self.remove(core, dialog);
            }
        }
    }

    /// Answers a pending INVITE with a failure: a first INVITE leaves nothing, a later one the call.
    fn fail_pending(&mut self, core: &mut Core, dialog: DialogId, response: Response) {
        let Some(call) = self.table.get_mut(&dialog) else { return };
        let Phase::Pending { tx, .. } = call.phase else { return };
        core.respond(tx, response);
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
    fn remove(&mut self, core: &mut Core, dialog: DialogId) {
        let Some(mut call) = self.table.remove(&dialog) else { return };
        if let Phase::Pending { tx, .. } | Phase::Answered { tx } | Phase::Offered { tx } = call.phase {
            self.transactions.remove(&tx);
        }
        self.merged.remove(&call.merge_key);
        if let Some(endpoint) = call.leave(core) {
            self.endpoints.remove(&endpoint);
        }
        core.dialogs.release(dialog);
        if let Some(count) = self.rooms.get_mut(&call.room) {
            *count -= 1;
            if *count == 0 {
                self.rooms.remove(&call.room);
                core.news.push(News::RoomOver { room: call.room });
            }
        }
    }
}

impl Call {
    fn join(&self, endpoint: EndpointId) -> ToShard {
        let terms = match &self.phase {
            Phase::Pending { offer: Some(offer), .. } => Some(offer.terms.clone()),
            _ => None,
        };
        ToShard::Join(Box::new(Join {
            endpoint,
            room: self.room.clone(),
            participant: self.participant.clone(),
            aliases: Vec::new(),
            display_name: self.display_name.clone(),
            contact: self.contact.clone(),
            terms,
        }))
    }

    /// Tells the room that the endpoint is gone.
    fn leave(&mut self, core: &mut Core) -> Option<EndpointId> {
        let endpoint = self.endpoint.take()?;
        core.tell(&self.room, ToShard::Leave { endpoint, room: self.room.clone() });
        if std::mem::take(&mut self.present) {
            core.news.push(self.news(endpoint, false));
        }
        Some(endpoint)
    }

    fn news(&self, endpoint: EndpointId, present: bool) -> News {
        News::Presence(Presence {
            room: self.room.clone(),
            participant: self.participant.clone(),
            display_name: self.display_name.clone(),
            endpoint,
            contact: self.contact.clone(),
            present,
        })
    }

    /// A re-INVITE while nothing else is under way.
    fn renegotiate(
        &mut self,
        core: &mut Core,
        tx: TxId,
        request: &Request,
        flow: &Flow,
    ) -> Result<(), Response> {
        acceptable(request)?;
        if request.body.is_empty() {
            return self.reoffer(core, tx);
        }
        let description = Description::parse(&request.body).map_err(|e| warn(flow, 400, &e.to_string()))?;
        let media = match choose(&description) {
            Ok(media) => media.clone(),
            Err(NoChat::Problem(MediaProblem::Closed)) => {
                self.close_media(core, tx, &description);
                return Ok(());
            }
            Err(why) => return Err(warn(flow, 488, &why.to_string())),
        };
        let offer = Offer::new(description, &media, flow)?;
        if self.endpoint.is_none() {
            let endpoint = core.endpoint();
            self.endpoint = Some(endpoint);
            self.phase = Phase::Pending { tx, offer: Some(Box::new(offer)) };
            core.tell(&self.room, self.join(endpoint));
            return Ok(());
        }
        let line = &offer.description.origin.line;
        if self.lost.is_none() && !line.is_empty() && *line == self.theirs {
            self.phase = Phase::Answered { tx };
            let answer = self.ours.clone();
            self.send_ok(core, tx, answer);
            return Ok(());
        }
        let moved = self.terms.as_ref().is_none_or(|t| t.peer_path != offer.terms.peer_path);
        let rebind = moved || self.lost.is_some();
        self.revise(core, offer.terms.clone(), rebind);
        if rebind {
            self.phase = Phase::Pending { tx, offer: Some(Box::new(offer)) };
        } else {
            self.phase = Phase::Answered { tx };
            self.send_answer(core, tx, offer);
        }
        Ok(())
    }

    /// A re-INVITE without offer: our description again, with a new session if the old one is lost.
    fn reoffer(&mut self, core: &mut Core, tx: TxId) -> Result<(), Response> {
        match (&self.terms, self.endpoint) {
            (Some(terms), Some(_)) if self.lost.is_some() => {
                let terms = terms.clone();
                self.revise(core, terms, true);
                self.phase = Phase::Pending { tx, offer: None };
            }
            (_, None) => {
                let endpoint = core.endpoint();
                self.endpoint = Some(endpoint);
                self.phase = Phase::Pending { tx, offer: None };
                core.tell(&self.room, self.join(endpoint));
            }
            _ => self.send_offer(core, tx),
        }
        Ok(())
    }

    /// Port 0: the session closes, the dialog lives on (SDP-07).
    fn close_media(&mut self, core: &mut Core, tx: TxId, description: &Description) {
        self.leave(core);
        self.lost = None;
        self.session = None;
        self.theirs.clone_from(&description.origin.line);
        self.phase = Phase::Answered { tx };
        let answer = self.versioned(core, |local| sdp::answer(description, usize::MAX, local));
        self.send_ok(core, tx, answer);
    }

    fn revise(&self, core: &mut Core, terms: Terms, rebind: bool) {
        let Some(endpoint) = self.endpoint else { return };
        let terms = Box::new(terms);
        core.tell(&self.room, ToShard::Revise { endpoint, room: self.room.clone(), terms, rebind });
    }

    /// The answer that came with an ACK.
    fn answered(&mut self, core: &mut Core, request: &Request, flow: &Flow) -> Result<(), &'static str> {
        const UNUSABLE: &str = "SIP;cause=488;text=\"No usable answer in ACK\"";
        let description = Description::parse(&request.body).map_err(|_| UNUSABLE)?;
        let media = choose(&description).map_err(|_| UNUSABLE)?;
        // Our offer said actpass. Without a=setup the offerer connects (RFC 4975 §5.4).
        let connect = media.setup != Some(Setup::Active);
        let terms = terms(media, connect, flow).map_err(|_| UNUSABLE)?;
        self.theirs.clone_from(&description.origin.line);
        self.revise(core, terms.clone(), false);
        self.terms = Some(terms);
        Ok(())
    }

    fn send_answer(&mut self, core: &mut Core, tx: TxId, offer: Offer) {
        self.theirs.clone_from(&offer.description.origin.line);
        self.terms = Some(offer.terms);
        let setup = offer.setup;
        let answer = self.versioned(core, |local| {
            sdp::answer(&offer.description, offer.index, &sdp::Local { setup, ..*local })
        });
        self.send_ok(core, tx, answer);
    }

    fn send_offer(&mut self, core: &mut Core, tx: TxId) {
        self.phase = Phase::Offered { tx };
        let offer = self.versioned(core, sdp::offer);
        self.send_ok(core, tx, offer);
    }

    /// Writes a description: with the last version if it says the same as the last, else with the
    /// next one (SDP-06).
    fn versioned(&mut self, core: &Core, write: impl Fn(&sdp::Local<'_>) -> String) -> String {
        let config = &core.config;
        let id = self.session.as_ref().map_or("", |s| std::str::from_utf8(s.reveal()).unwrap_or(""));
        let path = format!("msrp://{}:{}/{id};tcp", config.msrp_host, config.msrp_port);
        let (session, version) = self.origin;
        let mut local = sdp::Local {
            username: "openmsrp",
            session,
            version,
            host: &config.msrp_host,
            port: config.msrp_port,
            path: &path,
            setup: Setup::Actpass,
            wrapped_types: "*",
            accept_types: "message/cpim",
            max_size: config.max_message,
            chatroom: Some(&config.chatroom),
            secure: false,
        };
        let mut text = write(&local);
        if !self.ours.is_empty() && text != self.ours {
            self.origin.1 += 1;
            local.version = self.origin.1;
            text = write(&local);
        }
        self.ours.clone_from(&text);
        text
    }

    /// The 200 (FOCUS-01).
    fn send_ok(&mut self, core: &mut Core, tx: TxId, body: String) {
        self.confirmed = true;
        let Some(dialog) = core.dialogs.get(self.dialog) else { return };
        let mut response = Response::new(200).tagged(dialog.tag());
        for route in dialog.routes() {
            response.headers.push("Record-Route", route);
        }
        let response = capabilities(response, dialog.contact()).body("application/sdp", body);
        core.respond(tx, response);
    }
}

impl Offer {
    fn new(description: Description, media: &MessageMedia, flow: &Flow) -> Result<Self, Response> {
        let setup = sdp::answering_role(media.setup);
        let terms = terms(media, setup == Setup::Active, flow).map_err(|why| warn(flow, 488, why))?;
        Ok(Self { description, index: media.index, setup, terms })
    }
}

fn read_offer(request: &Request, flow: &Flow) -> Result<Offer, Response> {
    let description = Description::parse(&request.body).map_err(|e| warn(flow, 400, &e.to_string()))?;
    let media = choose(&description).map_err(|e| warn(flow, 488, &e.to_string()))?.clone();
    Offer::new(description, &media, flow)
}

/// The first line a room can use; TLS is not served yet.
fn choose(description: &Description) -> Result<&MessageMedia, NoChat> {
    let usable = description.media.iter().find_map(|media| match media {
        Media::Message(m) if !m.secure && !m.file_transfer && m.accept_types.allows("message/cpim") => {
            Some(m)
        }
        _ => None,
    });
    match usable {
        Some(media) => Ok(media),
        None => Err(description.chat().err().unwrap_or(NoChat::Problem(MediaProblem::Transport))),
    }
}

/// What the data plane must know of the peer's media line. `connect` is whether we are to connect;
/// we do so only to the address the INVITE came from (SEC-10).
fn terms(media: &MessageMedia, connect: bool, flow: &Flow) -> Result<Terms, &'static str> {
    let connect_to = match (connect, first_hop(&media.path)) {
        (false, _) => None,
        (true, Some(hop)) if hop.ip() == flow.peer.ip() => Some(hop),
        (true, _) => return Err("We connect only to the address the request came from"),
    };
    Ok(Terms {
        peer_path: Bytes::copy_from_slice(media.path.as_bytes()),
        accepts: media.wrapped_types(),
        private_messages: media.chatroom.is_some_and(|c| c.private_messages),
        may_send: media.direction.sends(),
        may_receive: media.direction.receives(),
        max_size: media.max_size,
        connect_to,
    })
}

/// The address in the leftmost URI of a path, if it is an IP literal with a port (SDP-03).
fn first_hop(path: &str) -> Option<SocketAddr> {
    let authority = path.split(' ').next()?.split_once("://")?.1.split(['/', ';']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = super::signalling::host_port(authority)?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port?))
}

/// Bodies and answers that we can do (SIP-UAS-01): 415 and 406.
pub(super) fn acceptable(request: &Request) -> Result<(), Response> {
    if request.headers.get("Content-Encoding").is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        return Err(Response::new(415).with("Accept-Encoding", "identity"));
    }
    let sdp = request.content_type().is_some_and(|t| t.eq_ignore_ascii_case("application/sdp"));
    if !request.body.is_empty() && !sdp {
        return Err(Response::new(415).with("Accept", "application/sdp"));
    }
    if !request.accepts("application/sdp", true) {
        return Err(Response::new(406).with("Accept", "application/sdp"));
    }
    Ok(())
}

/// What a 200 says about us (FOCUS-01, FOCUS-06).
pub(super) fn capabilities(response: Response, contact: &str) -> Response {
    response
        .with("Contact", contact)
        .with("Allow", ALLOW)
        .with("Allow-Events", "conference")
        .with("Supported", "")
        .with("Accept", "application/sdp")
}

/// A refusal with the reason in words (RFC 3261 §20.43).
fn warn(flow: &Flow, code: u16, why: &str) -> Response {
    Response::new(code).with("Warning", format!("399 {} \"{why}\"", flow.local))
}

pub(super) fn misfit_response(misfit: Misfit) -> Response {
    Response::new(match misfit {
        Misfit::Unknown => 481,
        Misfit::Stale => 500,
    })
}

/// The status code of a shard's refusal (FOCUS-03).
fn refusal_response(why: Refusal) -> Response {
    match why {
        Refusal::RoomFull => Response::new(486),
        Refusal::ShuttingDown => Response::new(503).with("Retry-After", "10"),
        Refusal::Overloaded => Response::new(503).with("Retry-After", "5"),
        Refusal::BadType | Refusal::WrongDirection => Response::new(488),
        Refusal::Malformed => Response::new(400),
        _ => Response::new(403),
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
