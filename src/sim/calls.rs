//! What participants do by SIP, and what they make of what they hear: INVITE, its outcome, re-INVITE, BYE,
//! CANCEL, REFER, Replaces, refreshes; and requests of the focus.

use super::desk::{Asked, Known};
use super::oracle::NAMES;
use super::people::Stage;
use super::user_agent::{Call, What, tag_of};
use super::world::World;
use crate::base::id::EndpointId;
use crate::base::limits;
use crate::focus::signalling::{Method, Outgoing, Reply, Response};
use crate::focus::{RequestId, TxId};
use std::time::Duration;

/// Codes with which an INVITE outside any dialog may fail here.
const REFUSALS: [u16; 9] = [403, 408, 481, 482, 486, 487, 500, 503, 603];

impl World {
    /// INVITE: with an offer or without, or in place of another device of the same user.
    pub(super) fn join(&mut self, i: usize) {
        let room = self.seats[i].room;
        let stay = self.oracle.stay(EndpointId(0), room, self.seats[i].user);
        let name = self.seats[i].agent.opens(i, room);
        let replaces = self.replaceable(i);
        let mut extra = self.seats[i].talents();
        if let Some((old, old_name)) = &replaces {
            let dialog = &self.seats[*old].agent.dialogs[old_name];
            let (ours, theirs) = (&dialog.own, dialog.theirs.as_deref().unwrap_or(""));
            extra += &format!("Replaces: {old_name};to-tag={theirs};from-tag={ours}\r\n");
        }
        let call = Call {
            name: name.clone(),
            invite: TxId(0),
            up: false,
            cancelled: false,
            offerless: self.dice.people.below(8) == 0,
            replaces,
            version: 1,
            path: stay,
            direction: "sendrecv",
            closed: false,
            offering: true,
            refresh: None,
            replaced: false,
        };
        let offer = if call.offerless { String::new() } else { self.seats[i].description(&call) };
        let text = self.text(i, &name, "INVITE", &extra, &offer);
        let seat = &mut self.seats[i];
        (seat.endpoint, seat.next, seat.stay, seat.link) = (None, Some(stay), None, None);
        (seat.stage, seat.agent.troubled, seat.agent.call) = (Stage::Asked, false, Some(call));
        seat.pieces.clear();
        let invite = self.ask(i, &name, What::Invite, text);
        if let Some(call) = &mut self.seats[i].agent.call {
            call.invite = invite;
        }
    }

    /// Another device of the same user, in the same room, that this one may replace.
    fn replaceable(&mut self, i: usize) -> Option<(usize, String)> {
        let seat = &self.seats[i];
        if self.plan.is_hidden(seat.user) || self.dice.people.below(2) == 0 {
            return None;
        }
        let same =
            |(n, s): &(usize, &super::people::Seat)| *n != i && s.user == seat.user && s.room == seat.room;
        let others = self.seats.iter().enumerate().filter(same);
        let up = |(n, s): (usize, &super::people::Seat)| {
            let call = s.agent.call.as_ref().filter(|c| c.up && !s.agent.ringing)?;
            let named = s.agent.dialogs.get(&call.name).is_some_and(|d| d.theirs.is_some());
            named.then(|| (n, call.name.clone()))
        };
        others.filter_map(up).next()
    }

    /// The focus has named an endpoint for what this seat asked.
    pub(super) fn named(&mut self, asked: &Asked, endpoint: EndpointId) {
        let seat = &mut self.seats[asked.seat];
        let Some(call) = seat.agent.call.as_ref().filter(|c| c.name == asked.call) else { return };
        self.oracle.stays[call.path].endpoint = endpoint;
        self.seat_of.insert(endpoint, asked.seat);
        if !call.cancelled {
            seat.endpoint = Some(endpoint);
        }
    }

    /// BYE; before there is an answer, CANCEL or the wish to.
    pub(super) fn leave(&mut self, i: usize) {
        let Some(call) = self.seats[i].agent.call.clone().filter(|c| !c.cancelled) else { return };
        self.is_out(i);
        if call.up {
            return self.bye(i, &call.name);
        }
        if let Some(call) = &mut self.seats[i].agent.call {
            call.cancelled = true;
        }
        if self.dice.people.below(3) > 0 {
            self.cancel(i, call.invite);
        }
    }

    fn bye(&mut self, i: usize, name: &str) {
        self.ask_bye(i, name);
        self.seats[i].agent.call = None;
    }

    fn ask_bye(&mut self, i: usize, name: &str) {
        let text = self.text(i, name, "BYE", "", "");
        self.ask(i, name, What::Bye, text);
    }

    /// Nothing of MSRP is left.
    fn is_out(&mut self, i: usize) {
        let seat = &mut self.seats[i];
        for stay in seat.stay.take().into_iter().chain(seat.next.take()) {
            self.oracle.stays[stay].over = true;
        }
        (seat.endpoint, seat.stage) = (None, Stage::Out);
        seat.pieces.clear();
        if let Some(link) = seat.link.take()
            && !self.seats.iter().any(|s| s.link == Some(link))
            && self.dice.people.below(4) > 0
        {
            self.links[link].fin = true;
        }
    }

    /// The call is over, by the focus.
    fn is_ended(&mut self, i: usize) {
        self.is_out(i);
        self.seats[i].agent.call = None;
        self.comes_again(i);
    }

    fn comes_again(&mut self, i: usize) {
        let pause = Duration::from_millis(50 + self.dice.people.below(1 + self.plan.pause_millis));
        self.seats[i].acts_at = Some(self.now + pause);
    }

    /// Re-INVITE with another path.
    pub(super) fn revise(&mut self, i: usize) {
        let seat = &self.seats[i];
        let free = seat.agent.call.as_ref().is_some_and(|c| c.up && !c.offering);
        let (None, true) = (seat.next, free) else { return };
        let stay = self.oracle.stay(seat.endpoint.unwrap_or(EndpointId(0)), seat.room, seat.user);
        // The switch connects to a passive participant anew, and ends the old session before it does.
        if let (true, Some(old)) = (seat.passive, seat.stay) {
            self.oracle.stays[old].over = true;
        }
        let seat = &mut self.seats[i];
        seat.next = Some(stay);
        if seat.stage == Stage::Lost {
            seat.stage = Stage::Asked;
        }
        self.offer(i, |call| (call.path, call.closed, call.direction) = (stay, false, "sendrecv"));
    }

    /// Hold, or the end of it: another direction on the same path.
    pub(super) fn hold(&mut self, i: usize) {
        let seat = &self.seats[i];
        let Some(call) = seat.agent.call.as_ref().filter(|c| c.up && !c.offering && !c.closed) else {
            return;
        };
        let (Some(stay), None) = (seat.stay, seat.next) else { return };
        let next =
            if call.direction == "sendrecv" { ["sendonly", "recvonly", "inactive"] } else { ["sendrecv"; 3] };
        let next = next[self.dice.people.below(3) as usize];
        // From here on it is owed nothing, and what it says may be refused.
        self.oracle.excuse(stay);
        // If the session is lost meanwhile, the switch would connect to the same path once more.
        if seat.passive {
            return self.revise(i);
        }
        self.offer(i, |call| call.direction = next);
    }

    /// Port 0: the media end, the call does not.
    pub(super) fn close_media(&mut self, i: usize) {
        let free = self.seats[i].agent.call.as_ref().is_some_and(|c| c.up && !c.offering && !c.closed);
        if !free || self.seats[i].next.is_some() {
            return;
        }
        self.is_out(i);
        self.seats[i].stage = Stage::Lost;
        self.offer(i, |call| call.closed = true);
    }

    fn offer(&mut self, i: usize, change: impl FnOnce(&mut Call)) {
        let Some(call) = &mut self.seats[i].agent.call else { return };
        change(call);
        call.version += 1;
        call.offering = true;
        let call = call.clone();
        let (offer, extra) = (self.seats[i].description(&call), self.seats[i].talents());
        let text = self.text(i, &call.name, "INVITE", &extra, &offer);
        self.ask(i, &call.name, What::Reinvite, text);
    }

    /// The call is kept alive: by UPDATE, or with the last description again.
    pub(super) fn refresh(&mut self, i: usize) {
        let seat = &mut self.seats[i];
        let Some(call) = &mut seat.agent.call else { return };
        call.refresh = Some(self.now + Duration::from_secs(2));
        if call.offering {
            return;
        }
        let call = call.clone();
        if seat.passive && !seat.agent.updates {
            return self.revise(i);
        }
        let extra = self.seats[i].talents();
        let method = if self.seats[i].agent.updates { Method::Update } else { Method::Invite };
        let offer = match method {
            Method::Invite => self.seats[i].description(&call),
            _ => String::new(),
        };
        if let (Method::Invite, Some(call)) = (method, &mut self.seats[i].agent.call) {
            call.offering = true;
        }
        let text = self.text(i, &call.name, method.as_str(), &extra, &offer);
        self.ask(i, &call.name, What::Refresh(method), text);
    }

    /// REFER: bring somebody in, or take somebody out.
    pub(super) fn refer(&mut self, i: usize) {
        let n = self.dice.people.below(self.seats.len() as u64) as usize;
        let (user, takes_out) = (self.seats[n].user, self.dice.people.below(2) == 0);
        if self.plan.is_hidden(user) || self.plan.is_hidden(self.seats[i].user) {
            return;
        }
        let (room, call) = (self.seats[i].room, self.seats[i].agent.call.clone().filter(|c| c.up));
        let inside = call.filter(|_| self.dice.people.below(2) == 0).map(|c| c.name);
        let name = inside.unwrap_or_else(|| self.seats[i].agent.opens(i, room));
        let target = if takes_out {
            // Whether that is granted will show; who is thrown out must not wonder.
            self.desk.unwanted.insert(user);
            format!("<sip:user{user}@example.com;method=BYE>")
        } else {
            format!("<sip:user{user}@example.com;seat={n}>")
        };
        let text = self.text(i, &name, "REFER", &format!("Refer-To: {target}\r\n"), "");
        self.ask(i, &name, What::Refer, text);
    }

    /// An answer to a request of a seat, or that there was none.
    pub(super) fn told(&mut self, tx: TxId, asked: &Asked, response: &Response) {
        let i = asked.seat;
        match asked.what {
            What::Invite => self.invited(i, tx, asked, response),
            What::Reinvite => self.reinvited(i, tx, asked, response),
            What::Refresh(method) => self.refreshed(i, tx, asked, method, response),
            What::Subscribe => self.subscribed(i, tx, &asked.call, response),
            // A later request of the dialog came first, so this one was not looked at (RFC 3261 §12.2.2).
            What::Bye if response.code == 500 => self.ask_bye(i, &asked.call),
            What::Bye | What::Refer => {}
        }
    }

    fn has_call(&self, asked: &Asked) -> bool {
        self.seats[asked.seat].agent.call.as_ref().is_some_and(|c| c.name == asked.call)
    }

    fn invited(&mut self, i: usize, tx: TxId, asked: &Asked, response: &Response) {
        if !self.has_call(asked) {
            return;
        }
        if response.code >= 300 {
            if !REFUSALS.contains(&response.code) {
                self.oracle.fail(|| format!("seat {i}: its INVITE was answered {response:?}"));
            }
            return self.is_ended(i);
        }
        let agent = &mut self.seats[i].agent;
        if let (Some(dialog), Some(tag)) = (agent.dialogs.get_mut(&asked.call), &response.to_tag) {
            dialog.theirs = Some(tag.to_string());
        }
        let Some(call) = &mut agent.call else { return };
        (call.up, call.offering) = (true, false);
        let call = call.clone();
        let answer = if call.offerless { self.seats[i].description(&call) } else { String::new() };
        let ack = self.text(i, &call.name, "ACK", "", &answer);
        // The answer of an offer must arrive, or nothing could be bound in time.
        self.acknowledge(i, tx, ack, !call.offerless);
        if let Some((old, name)) = &call.replaces {
            let old = self.seats[*old].agent.call.as_mut().filter(|c| c.name == *name);
            old.into_iter().for_each(|c| c.replaced = true);
        }
        if call.cancelled {
            self.bye(i, &call.name);
            return self.comes_again(i);
        }
        self.heed_timer(i, response);
        self.learns_path(i, &response.body);
    }

    fn reinvited(&mut self, i: usize, tx: TxId, asked: &Asked, response: &Response) {
        if response.code < 300 {
            let ack = self.text(i, &asked.call, "ACK", "", "");
            self.acknowledge(i, tx, ack, true);
        }
        if !self.has_call(asked) {
            return;
        }
        if let Some(call) = &mut self.seats[i].agent.call {
            call.offering = false;
        }
        match response.code {
            200..300 => {
                self.heed_timer(i, response);
                if self.seats[i].next.is_some() {
                    self.learns_path(i, &response.body);
                } else {
                    self.finds_session(i, &response.body);
                }
            }
            408 | 481 => {
                self.leave(i);
                self.comes_again(i);
            }
            // A shard that stood still may yet do what the focus no longer waits for, and connect; so may one
            // that was asked before the focus ended the call.
            487 | 503 if self.seats[i].passive => {
                self.leave(i);
                self.comes_again(i);
            }
            // A passive one has given its session up with the offer of another path.
            _ if self.seats[i].passive && self.seats[i].next.is_some() => {
                self.leave(i);
                self.comes_again(i);
            }
            _ => {
                // Nothing has changed, except that the offer of another path is void.
                let seat = &mut self.seats[i];
                seat.agent.call.iter_mut().for_each(|call| call.closed = false);
                if let (Some(next), Some(call)) = (seat.next.take(), &mut seat.agent.call) {
                    self.oracle.stays[next].over = true;
                    call.path = seat.stay.unwrap_or(next);
                }
                if seat.stage == Stage::Asked {
                    seat.stage = Stage::Lost;
                    seat.acts_at = Some(self.now + Duration::from_millis(100));
                }
            }
        }
    }

    fn refreshed(&mut self, i: usize, tx: TxId, asked: &Asked, method: Method, response: &Response) {
        if method == Method::Invite && response.code < 300 {
            let ack = self.text(i, &asked.call, "ACK", "", "");
            self.acknowledge(i, tx, ack, true);
        }
        if !self.has_call(asked) {
            return;
        }
        let again = self.now + Duration::from_secs(2);
        if let Some(call) = &mut self.seats[i].agent.call {
            call.offering &= method != Method::Invite;
            call.refresh = Some(again);
        }
        match response.code {
            200..300 => {
                self.heed_timer(i, response);
                if method == Method::Invite {
                    self.finds_session(i, &response.body);
                }
            }
            408 | 481 => {
                self.leave(i);
                self.comes_again(i);
            }
            _ => {}
        }
    }

    /// The answer to an offer that changed no path: if it names another session, this one is lost.
    fn finds_session(&mut self, i: usize, body: &str) {
        let session = self.seats[i].stay.and_then(|s| self.oracle.stays[s].session);
        let Some(session) = session else { return };
        if memchr::memmem::find(body.as_bytes(), session.reveal()).is_none() {
            self.leave(i);
            self.comes_again(i);
        }
    }

    /// The description of the focus names the session that this seat may bind.
    fn learns_path(&mut self, i: usize, body: &str) {
        let line = body.lines().find_map(|l| l.strip_prefix("a=path:msrp://chat.example.com:2855/"));
        let Some(id) = line.and_then(|l| l.strip_suffix(";tcp")) else {
            return self.oracle.fail(|| format!("seat {i} got no path: {body}"));
        };
        let seat = &mut self.seats[i];
        let Some((endpoint, call)) = seat.endpoint.zip(seat.agent.call.as_ref()) else { return };
        let granted = self.desk.granted.get(&endpoint).and_then(|all| {
            let same = |(session, _): &&(crate::base::id::SessionId, _)| session.reveal() == id.as_bytes();
            all.iter().find(same).copied()
        });
        let Some((session, at)) = granted else {
            return self.oracle.fail(|| format!("seat {i} was told of a session that was never granted"));
        };
        let stay = &mut self.oracle.stays[call.path];
        (stay.session, stay.granted_at) = (Some(session), at);
        seat.acts_at = Some(self.now);
        if seat.stay == Some(call.path) {
            // The switch connected and bound before the answer was here.
            seat.stage = Stage::In;
        } else if seat.stage != Stage::In {
            seat.stage = Stage::Granted;
        }
    }

    /// A request of the focus.
    pub(super) fn hears(&mut self, i: usize, id: RequestId, request: Box<Outgoing>) {
        let header = |name| request.headers.get(name).unwrap_or("").to_owned();
        let name = header("Call-ID");
        let own = tag_of(request.headers.get("To"));
        if request.method == Method::Invite && own.is_none() {
            return self.is_called(i, id, request);
        }
        if self.is_away(i) {
            self.missed(i, &request);
            return self.ring_out(i, id);
        }
        let number = header("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let dialog = self.seats[i].agent.dialogs.get_mut(&name).filter(|d| Some(&d.own) == own.as_ref());
        let Some(dialog) = dialog else {
            self.reply(i, id, Reply::bare(481));
            return;
        };
        // What ends a call ends it, whatever has overtaken it.
        if number <= dialog.heard && request.method != Method::Bye {
            self.seats[i].agent.troubled = true;
            self.missed(i, &request);
            self.reply(i, id, Reply::bare(500));
            return;
        }
        dialog.heard = dialog.heard.max(number);
        dialog.theirs = tag_of(request.headers.get("From"));
        let is_call = self.seats[i].agent.call.as_ref().is_some_and(|c| c.name == name);
        let reply = match request.method {
            Method::Bye => {
                if is_call {
                    self.may_end(i, &header("Reason"));
                    self.is_ended(i);
                }
                Reply::bare(200)
            }
            Method::Notify => self.takes_notice(i, &name, &request),
            _ if !is_call => Reply::bare(481),
            Method::Update => self.ok(i, String::new()),
            _ if self.seats[i].agent.call.as_ref().is_some_and(|c| c.offering) => Reply::bare(491),
            _ => self.answers_again(i, &request),
        };
        let reply = with_timer(reply, &request);
        if !self.reply(i, id, reply) {
            self.missed(i, &request);
        }
    }

    fn takes_notice(&mut self, i: usize, name: &str, request: &Outgoing) -> Reply {
        let header = |name| request.headers.get(name).unwrap_or("");
        let event = header("Event");
        if event.starts_with("refer") {
            let ends = header("Subscription-State").starts_with("terminated");
            self.seats[i].agent.refers.insert(format!("{name} {event}"), ends);
            return Reply::bare(200);
        }
        Reply::bare(if self.notified(i, name, request) { 200 } else { 481 })
    }

    /// A re-INVITE: our description again; the session may be another one.
    fn answers_again(&mut self, i: usize, request: &Outgoing) -> Reply {
        let Some(call) = self.seats[i].agent.call.clone() else { return Reply::bare(481) };
        if self.seats[i].next.is_some() {
            self.learns_path(i, &request.body);
        }
        self.ok(i, self.seats[i].description(&call))
    }

    /// A request to this seat, or its answer, has not arrived.
    pub(super) fn missed(&mut self, i: usize, request: &Outgoing) {
        let agent = &mut self.seats[i].agent;
        agent.troubled = true;
        let header = |name| request.headers.get(name).unwrap_or("");
        if request.method != Method::Notify {
            return;
        }
        if header("Event").starts_with("refer") {
            agent.refers.insert(format!("{} {}", header("Call-ID"), header("Event")), true);
        } else if let Some(watch) = agent.watch.as_mut().filter(|w| w.name == header("Call-ID")) {
            watch.lost = true;
        }
    }

    /// Whether the focus has reason to end the call.
    fn may_end(&mut self, i: usize, reason: &str) {
        let seat = &self.seats[i];
        let troubled = seat.agent.troubled;
        let alive = seat.stay.is_some_and(|s| !self.oracle.stays[s].over);
        let right = match reason.split('"').nth(1).unwrap_or("") {
            "No ACK" => troubled,
            // Who waits to be connected to cannot offer anything while that has not come about.
            "Session timer expired" => troubled || seat.agent.forgets || seat.passive,
            "MSRP session lost" => !alive,
            "No MSRP session" => !alive,
            "Replaced" => seat.agent.call.is_some(),
            "Removed from the room" => self.desk.unwanted.contains(&seat.user),
            "Server stops" => self.desk.stops.is_some(),
            "Refused by the room" | "No longer wanted" => true,
            words if words.starts_with("Taken out") || words.starts_with("Banned") => {
                self.plan.orders && seat.user != 0
            }
            _ => false,
        };
        if !right {
            self.oracle.fail(|| format!("seat {i} is thrown out without reason: {reason}"));
        }
    }

    /// An INVITE of a room: busy, or it rings for a while.
    fn is_called(&mut self, i: usize, id: RequestId, request: Box<Outgoing>) {
        let seat = &mut self.seats[i];
        let free = seat.stage == Stage::Out && seat.agent.call.is_none() && !seat.agent.ringing;
        if !free || self.healed {
            self.reply(i, id, Reply::bare(486));
            return;
        }
        seat.agent.ringing = true;
        let longest = [500, 5_000, 30_000][self.dice.sip.below(3) as usize];
        let time = Duration::from_millis(self.dice.sip.below(longest));
        self.ring(i, time, id, request);
    }

    /// Somebody answers, declines, or nobody does anything.
    pub(super) fn picks_up(&mut self, i: usize, id: RequestId, request: &Outgoing) {
        let seat = &mut self.seats[i];
        seat.agent.ringing = false;
        seat.acts_at = Some(self.now + Duration::from_millis(10));
        let free = seat.stage == Stage::Out && seat.agent.call.is_none() && !self.healed;
        match self.dice.sip.below(10) {
            _ if !free => drop(self.reply(i, id, Reply::bare(486))),
            0 => drop(self.reply(i, id, Reply::bare(603))),
            1 => self.ring_out(i, id),
            _ => self.answers(i, id, request),
        }
    }

    fn answers(&mut self, i: usize, id: RequestId, request: &Outgoing) {
        let line = request.body.lines().find_map(|l| l.strip_prefix("a=path:msrp://chat.example.com:2855/"));
        let session = line.and_then(|l| l.strip_suffix(";tcp")).unwrap_or("");
        let mut granted = self.desk.granted.iter();
        let owner = granted.find(|(_, all)| all.iter().any(|(s, _)| s.reveal() == session.as_bytes()));
        let endpoint = owner.map(|(endpoint, _)| *endpoint);
        let Some((endpoint, known)) = endpoint.and_then(|e| Some((e, self.desk.known.get(&e)?.clone())))
        else {
            // The room has given the call up meanwhile.
            self.reply(i, id, Reply::bare(486));
            return;
        };
        let Known { room, .. } = known;
        let stay = self.oracle.stay(endpoint, room, self.seats[i].user);
        let header = |name| request.headers.get(name).unwrap_or("").to_owned();
        let name = header("Call-ID");
        let agent = &mut self.seats[i].agent;
        let own = agent.opens(i, room);
        let Some(mut dialog) = agent.dialogs.remove(&own) else { return };
        (dialog.theirs, dialog.heard) = (tag_of(request.headers.get("From")), 1);
        let to = format!("{};tag={}", header("To"), dialog.own);
        agent.dialogs.insert(name.clone(), dialog);
        agent.troubled = false;
        let call = Call {
            name,
            invite: TxId(0),
            up: true,
            cancelled: false,
            offerless: false,
            replaces: None,
            version: 1,
            path: stay,
            direction: "sendrecv",
            closed: false,
            offering: false,
            refresh: None,
            replaced: false,
        };
        let body = self.seats[i].description(&call);
        let seat = &mut self.seats[i];
        (seat.endpoint, seat.next, seat.stay, seat.link) = (Some(endpoint), Some(stay), None, None);
        (seat.stage, seat.room, seat.agent.call) = (Stage::Asked, room, Some(call));
        seat.pieces.clear();
        self.seat_of.insert(endpoint, i);
        let granted = self.desk.granted.get(&endpoint).and_then(|all| all.last());
        if granted.is_some_and(|(_, at)| self.now < *at + (limits::GRANT_WAIT - Duration::from_secs(3))) {
            self.learns_path(i, &request.body);
        }
        // Whoever answers late hears of another session.
        let mut reply = self.ok(i, body);
        reply.headers.push("To", to);
        if !self.reply(i, id, reply) {
            self.seats[i].agent.troubled = true;
        }
    }

    /// A connection is lost, which its participant notices sooner or later.
    pub(super) fn notices_loss(&mut self, i: usize) {
        let seat = &self.seats[i];
        let over = |stay: Option<usize>| stay.is_some_and(|s| self.oracle.stays[s].over);
        let lost = seat.stage == Stage::In && over(seat.stay) && seat.next.is_none();
        // What moves from shard to shard may yet be bound before its end is seen.
        let moves = seat.next.and_then(|n| self.oracle.stays[n].link).is_some_and(|l| self.links[l].moving);
        let never_came = seat.stage == Stage::Granted && !moves && over(seat.next.or(seat.stay));
        if lost || never_came {
            self.seats[i].next = None;
            self.seats[i].stage = Stage::Lost;
            self.seats[i].stay = None;
            self.seats[i].link = None;
            self.seats[i].pieces.clear();
        }
    }

    /// Asks for a nickname, or gives it back.
    pub(super) fn nickname(&mut self, i: usize) {
        let seat = &self.seats[i];
        let (Some(stay), Some(link), false) = (seat.stay, seat.link, seat.agent.old) else { return };
        let Some(endpoint) = seat.endpoint.filter(|_| self.links[link].usable()) else { return };
        let n = self.dice.people.below(NAMES.len() as u64) as usize;
        self.oracle.asks_name(endpoint);
        self.request_name(link, stay, n);
    }
}

/// A 2xx says again how long the session lasts and who refreshes.
fn with_timer(mut reply: Reply, request: &Outgoing) -> Reply {
    if let (200, Some(line)) = (reply.code, request.headers.get("Session-Expires")) {
        reply.headers.push("Session-Expires", line.to_owned());
    }
    reply
}
