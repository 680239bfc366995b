//! One call: what it waits for, what was offered and answered, and how it speaks to its room.
//!
//! The table of calls and the road of each message to its call is `invite.rs`.
//!
//! Bounds: a few strings of one SIP message each. Proof: `tests.rs` beside this file.

use super::code::{acceptable, capabilities, warn};
use super::dialog::DialogId;
use super::identity::Identity;
use super::refer::ReportId;
use super::roster::Presence;
use super::signalling::{Flow, Request, Response, host_port};
use super::timer::SessionTimer;
use super::{Core, News, Timer, TxId};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, GrantNo, SessionId};
use crate::base::limits;
use crate::base::rights::Role;
use crate::shard::message::{Disclosure, Join, Terms, ToShard};
use crate::wire::conference::Recipient;
use crate::wire::sdp::{self, Description, Media, MediaProblem, MessageMedia, NoChat, Setup};
use bytes::Bytes;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a call waits for.
pub(super) enum Phase {
    /// The room's shard, which grants a session for this INVITE.
    Pending { tx: TxId, offer: Option<Box<Offer>> },
    /// The ACK of our 200, which had an answer.
    Answered { tx: TxId },
    /// The ACK of our 200, which had an offer: the ACK has the answer.
    Offered { tx: TxId },
    /// A place in the room, then the answer to our INVITE.
    Dialing { report: Option<ReportId>, by: Address, history: Option<Arc<str>> },
    /// Nothing.
    Up,
}

/// A usable offer.
pub(super) struct Offer {
    pub(super) description: Description,
    pub(super) index: usize,
    pub(super) setup: Setup,
    pub(super) terms: Terms,
    /// The peer knows rooms: it has `a=chatroom`.
    aware: bool,
}

/// A call; see the picture in `invite.rs`.
pub(super) struct Call {
    pub(super) dialog: DialogId,
    /// `None` while the message media is closed with port 0.
    pub(super) endpoint: Option<EndpointId>,
    pub(super) room: Address,
    pub(super) who: Identity,
    /// The room's password, if one was given.
    pub(super) password: Option<Arc<str>>,
    /// What the participant is to the room.
    pub(super) role: Role,
    /// They may say nothing.
    pub(super) muted: bool,
    pub(super) phase: Phase,
    /// A 200 was sent: from here on the call ends with BYE.
    pub(super) confirmed: bool,
    /// Our session, once granted.
    pub(super) session: Option<SessionId>,
    /// The last question for a session; what answers an older one is void.
    asked_no: GrantNo,
    /// That question is still to be answered.
    asks: bool,
    /// Session id and version of our `o=`.
    pub(super) origin: (u64, u64),
    /// The last description we sent.
    pub(super) ours: String,
    /// The peer's `o=` line of its last description.
    pub(super) theirs: String,
    pub(super) terms: Option<Terms>,
    pub(super) present: bool,
    /// What the room calls the endpoint, if it has asked for a nickname.
    pub(super) nickname: Option<Arc<str>>,
    /// The peer's last description has `a=chatroom`, or the participant was told what that would say.
    pub(super) aware: bool,
    /// How the endpoint came, as the roster says it.
    pub(super) joining: &'static str,
    /// The next grant is to be told with a re-INVITE.
    pub(super) reoffer: bool,
    /// Who is to be called, or asked to a sidebar, once this call is answered (RFC 5366).
    pub(super) list: Vec<Recipient>,
    /// The call that goes once this one is answered.
    pub(super) replaces: Option<DialogId>,
    /// The room was made for this call and ends with it (FOCUS-07).
    pub(super) creator: bool,
    /// The MSRP session is gone and may be negotiated anew until then (FOCUS-05).
    pub(super) lost: Option<Now>,
    /// The call is to end with this Reason as soon as the ACK is there (RFC 3261 §15).
    pub(super) ending: Option<Cow<'static, str>>,
    /// Moderators are shown who an anonymous participant is.
    moderators_see: bool,
    /// The request at work wants the participant shown: whether that is possible, and if not why.
    pub(super) shows: Option<Result<(), &'static str>>,
    /// The 200 that waits until the session's shard knows who the participant is, and how long.
    pub(super) untold: Option<(TxId, Box<Response>, Now)>,
    /// What is negotiated came with an INVITE, so that an ACK follows the answer.
    pub(super) acks: bool,
    pub(super) timer: SessionTimer,
    /// When the shard was last asked.
    pub(super) asked: Now,
    /// The digest of the first INVITE (RFC 3261 §8.2.2.2).
    pub(super) merge_key: u64,
}

impl Call {
    pub(super) fn new(
        core: &mut Core,
        dialog: DialogId,
        room: Address,
        who: Identity,
        phase: Phase,
        merge_key: u64,
    ) -> Self {
        let role = core.rules(&room).inside(&who.participant, &who.caller);
        Self {
            dialog,
            endpoint: Some(core.endpoint()),
            room,
            who,
            password: None,
            role,
            muted: false,
            phase,
            confirmed: false,
            session: None,
            asked_no: GrantNo(0),
            asks: true,
            origin: (core.entropy.bits() >> 16, 1),
            ours: String::new(),
            theirs: String::new(),
            terms: None,
            present: false,
            nickname: None,
            untold: None,
            aware: false,
            joining: "dialed-in",
            reoffer: false,
            list: Vec::new(),
            replaces: None,
            creator: false,
            lost: None,
            ending: None,
            moderators_see: core.config.moderators_see_identity,
            shows: None,
            acks: true,
            timer: SessionTimer::default(),
            asked: core.now,
            merge_key,
        }
    }

    /// Asks for a place in the room. The endpoint is new to the room, so that its questions count anew.
    pub(super) fn join(&mut self, endpoint: EndpointId) -> ToShard {
        (self.asked_no, self.asks) = (GrantNo(0), true);
        let terms = match &self.phase {
            Phase::Pending { offer: Some(offer), .. } => Some(offer.terms.clone()),
            _ => None,
        };
        ToShard::Join(Box::new(Join {
            endpoint,
            room: self.room.clone(),
            participant: self.who.participant.clone(),
            aliases: self.who.aliases.clone(),
            display_name: self.who.display_name.clone(),
            contact: self.who.contact.clone(),
            caller: self.who.caller.clone(),
            password: self.password.clone(),
            terms,
        }))
    }

    /// Tells the room that the endpoint is gone.
    pub(super) fn leave(&mut self, core: &mut Core) -> Option<EndpointId> {
        let endpoint = self.endpoint.take()?;
        core.tell(&self.room, ToShard::Leave { endpoint, room: self.room.clone() });
        if std::mem::take(&mut self.present) {
            core.news.push(self.news(endpoint, false));
        }
        // What comes in its place is new to the room, which has given it no nickname.
        self.nickname = None;
        Some(endpoint)
    }

    /// Whether the participant may say nothing just now; looks again when that ends.
    pub(super) fn look_whether_muted(&mut self, core: &mut Core) {
        let (rules, shown) = (core.rules(&self.room), &self.who.participant);
        self.muted = rules.is_muted(core.now, shown, self.who.known());
        if let Some(end) = rules.mute_ends(core.now, shown, self.who.known()) {
            core.arm(end, Timer::Muted(self.dialog));
        }
    }

    /// What others call the participant.
    pub(super) fn shown_name(&self) -> &str {
        let name = self.nickname.as_deref().unwrap_or(&self.who.display_name);
        if name.is_empty() { self.who.participant.as_str() } else { name }
    }

    pub(super) fn news(&self, endpoint: EndpointId, present: bool) -> News {
        News::Presence(Presence {
            room: self.room.clone(),
            participant: self.who.participant.clone(),
            display_name: self.who.display_name.clone(),
            nickname: self.nickname.clone(),
            endpoint,
            contact: self.who.contact.clone(),
            real: self.who.real.as_ref().filter(|_| self.moderators_see).map(|r| r.participant.clone()),
            joining: self.joining,
            role: self.role,
            muted: self.muted,
            present,
        })
    }

    /// The participant shows itself: the anonymous one leaves the roster, the other one is there. Whether a
    /// shard is to say that it knows.
    fn disclose(&mut self, core: &mut Core) -> bool {
        let gone = self.endpoint.filter(|_| self.present).map(|endpoint| self.news(endpoint, false));
        let contact = core.dialogs.get(self.dialog).map_or("", |d| d.target()).to_owned();
        let Some(aliases) = self.who.disclose(&contact) else { return false };
        core.news.extend(gone);
        self.role = core.rules(&self.room).inside(&self.who.participant, &self.who.caller);
        let Some(endpoint) = self.endpoint else { return false };
        if self.present {
            core.news.push(self.news(endpoint, true));
        }
        let (room, participant) = (self.room.clone(), self.who.participant.clone());
        let disclosure = Disclosure { endpoint, room, participant, aliases };
        core.tell(&self.room, ToShard::Disclose(Box::new(disclosure)));
        true
    }

    /// Sends the 200 that has waited, if one has.
    pub(super) fn tell_at_last(&mut self, core: &mut Core) {
        if let Some((tx, response, due)) = self.untold.take() {
            core.disarm(due, Timer::Disclosed(self.dialog));
            core.respond(tx, *response);
        }
    }

    /// A re-INVITE while nothing else is under way.
    pub(super) fn renegotiate(
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
            let join = self.join(endpoint);
            core.tell(&self.room, join);
            return Ok(());
        }
        let line = &offer.description.origin.line;
        if self.lost.is_none() && !line.is_empty() && *line == self.theirs {
            self.phase = self.after_answer(tx);
            let answer = self.ours.clone();
            self.send_ok(core, tx, answer);
            return Ok(());
        }
        let moved = self.terms.as_ref().is_none_or(|t| t.peer_path != offer.terms.peer_path);
        let rebind = moved || self.lost.is_some();
        self.revise(core, offer.terms.clone(), rebind);
        if rebind {
            // The answer to this offer names the new session.
            self.reoffer = false;
            self.phase = Phase::Pending { tx, offer: Some(Box::new(offer)) };
        } else {
            self.phase = self.after_answer(tx);
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
                self.reoffer = false;
                self.phase = Phase::Pending { tx, offer: None };
            }
            (_, None) => {
                let endpoint = core.endpoint();
                self.endpoint = Some(endpoint);
                self.phase = Phase::Pending { tx, offer: None };
                let join = self.join(endpoint);
                core.tell(&self.room, join);
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
        self.phase = self.after_answer(tx);
        let answer = self.versioned(core, |local| sdp::answer(description, usize::MAX, local));
        self.send_ok(core, tx, answer);
    }

    fn revise(&mut self, core: &mut Core, terms: Terms, rebind: bool) {
        let Some(endpoint) = self.endpoint else { return };
        let rebind = rebind.then(|| {
            self.asked_no.0 += 1;
            self.asks = true;
            self.asked_no
        });
        let terms = Box::new(terms);
        core.tell(&self.room, ToShard::Revise { endpoint, room: self.room.clone(), terms, rebind });
    }

    /// Whether this answers the question that is waited for. A shard that stood still may answer late.
    pub(super) fn is_answered_by(&mut self, no: GrantNo) -> bool {
        self.asked_no == no && std::mem::take(&mut self.asks)
    }

    /// The question failed: no answer to it counts any more.
    pub(super) fn give_up_asking(&mut self) {
        self.asks = false;
    }

    /// The answer to an offer of ours, in an ACK or a 200.
    pub(super) fn answered(
        &mut self,
        core: &mut Core,
        body: &[u8],
        flow: &Flow,
        rebind: bool,
    ) -> Result<(), &'static str> {
        const UNUSABLE: &str = "SIP;cause=488;text=\"No usable answer\"";
        let description = Description::parse(body).map_err(|_| UNUSABLE)?;
        let media = choose(&description).map_err(|_| UNUSABLE)?;
        // Our offer said actpass. Without a=setup the offerer connects (RFC 4975 §5.4).
        let connect = media.setup != Some(Setup::Active);
        let terms = terms(media, connect, flow).map_err(|_| UNUSABLE)?;
        self.theirs.clone_from(&description.origin.line);
        self.revise(core, terms.clone(), rebind);
        self.aware |= media.chatroom.is_some();
        self.terms = Some(terms);
        Ok(())
    }

    /// The answer to a re-INVITE of ours that repeated our description: mostly a repetition too.
    pub(super) fn repeated(&mut self, core: &mut Core, body: &[u8]) -> Result<(), &'static str> {
        let same = Description::parse(body).is_ok_and(|d| d.origin.line == self.theirs);
        let flow = core.dialogs.get(self.dialog).map(|d| d.flow().clone());
        match flow {
            Some(flow) if !same && self.endpoint.is_some() => self.answered(core, body, &flow, false),
            _ => Ok(()),
        }
    }

    /// What is waited for once an answer of ours is out.
    pub(super) fn after_answer(&self, tx: TxId) -> Phase {
        if self.acks { Phase::Answered { tx } } else { Phase::Up }
    }

    pub(super) fn send_answer(&mut self, core: &mut Core, tx: TxId, offer: Offer) {
        self.theirs.clone_from(&offer.description.origin.line);
        self.terms = Some(offer.terms);
        self.aware |= offer.aware;
        let setup = offer.setup;
        let answer = self.versioned(core, |local| {
            sdp::answer(&offer.description, offer.index, &sdp::Local { setup, ..*local })
        });
        self.send_ok(core, tx, answer);
    }

    pub(super) fn send_offer(&mut self, core: &mut Core, tx: TxId) {
        self.phase = Phase::Offered { tx };
        let offer = self.versioned(core, sdp::offer);
        self.send_ok(core, tx, offer);
    }

    /// Writes a description: with the last version if it says the same as the last, else with the
    /// next one (SDP-06).
    pub(super) fn versioned(&mut self, core: &Core, write: impl Fn(&sdp::Local<'_>) -> String) -> String {
        let (config, policy) = (&core.config, core.rules(&self.room).policy());
        let chatroom = policy.chatroom_tokens();
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
            max_size: policy.message_bytes_max,
            chatroom: Some(&chatroom),
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
    pub(super) fn send_ok(&mut self, core: &mut Core, tx: TxId, body: String) {
        self.confirmed = true;
        let Some(dialog) = core.dialogs.get(self.dialog) else { return };
        let mut response = Response::new(200).tagged(dialog.tag());
        for route in dialog.routes() {
            response.headers.push("Record-Route", route);
        }
        let mut response = capabilities(response, dialog.contact(), false);
        let mut waits = false;
        match self.shows.take() {
            Some(Ok(())) => waits = self.disclose(core),
            Some(Err(why)) => {
                let warning = format!("399 {} \"{why}\"", dialog.flow().local);
                response.headers.push("Warning", warning);
            }
            None => {}
        }
        if self.who.is_anonymous() {
            response.headers.push("P-Associated-URI", format!("<{}>", self.who.participant));
        }
        self.timer.answer(core, self.dialog, &mut response.headers);
        if !body.is_empty() {
            response = response.body("application/sdp", body);
        }
        if !waits {
            return core.respond(tx, response);
        }
        // Whoever has the 200 may speak under the new address at once, so the shard must know it by then. A call
        // discloses once, so no other 200 waits.
        let due = core.now + limits::DISCLOSURE_WAIT;
        core.arm(due, Timer::Disclosed(self.dialog));
        self.untold = Some((tx, Box::new(response), due));
    }
}

impl Offer {
    fn new(description: Description, media: &MessageMedia, flow: &Flow) -> Result<Self, Response> {
        let setup = sdp::answering_role(media.setup);
        let terms = terms(media, setup == Setup::Active, flow).map_err(|why| warn(flow, 488, why))?;
        let aware = media.chatroom.is_some();
        Ok(Self { description, index: media.index, setup, terms, aware })
    }
}

pub(super) fn read_offer(body: &[u8], flow: &Flow) -> Result<Offer, Response> {
    let description = Description::parse(body).map_err(|e| warn(flow, 400, &e.to_string()))?;
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
        private_messages: media.chatroom.map(|c| c.private_messages),
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
    let (host, port) = host_port(authority)?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port?))
}
