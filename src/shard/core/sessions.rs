//! Sessions of a shard: granted, bound, moved, ended.
//!
//! ```text
//!  Granted ──first request──► Bound ──connection or dialog ends──► Idle / gone
//!     │ (we connect) Connecting ─► Binding ──its 200──┘                │
//!     └──────── deadline ──────────────────────────────────────────────┘ new grant: Granted
//! ```

use super::{Replacement, Session, ShardCore, State, write_uri};
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, GrantNo, MessageNo, RoomId, Seq, SessionId, ShardId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::session::inbound::Inbound;
use crate::shard::audience::Member;
use crate::shard::conns::{CloseReason, Conn, Wait};
use crate::shard::message::{Disclosure, Ended, FromShard, Grant, ShardMessage, Terms};
use crate::shard::timers::Timer;
use crate::wire::msrp::encode;
use crate::wire::msrp::head::FailureReport;
use crate::wire::msrp::range::ByteRange;
use std::net::SocketAddr;

/// What a request finds when it names a session.
pub(super) enum Found {
    /// Bound to this connection.
    Here(EndpointId),
    /// The first request: it binds.
    Binds(EndpointId),
    /// The octets must wait.
    Later(Wait),
    /// The connection belongs to another shard.
    Moves(ShardId),
    /// No.
    Refused(Refusal),
}

impl Session {
    /// Whether this is where we are to connect; new terms may have come while we did.
    fn wants(&self, to: SocketAddr) -> bool {
        self.grant.terms.as_ref().is_some_and(|t| t.connect_to == Some(to))
    }

    /// Whether this is the session that is to take its place.
    fn is_followed_by(&self, id: SessionId) -> bool {
        self.next.as_ref().is_some_and(|next| next.id == id)
    }
}

impl ShardCore {
    /// A session of this shard may be opened.
    pub(super) fn grant(&mut self, now: Now, grant: Grant) {
        let (endpoint, session) = (grant.endpoint, grant.session);
        if self.sessions.len() >= limits::SHARD_SESSIONS_MAX || self.draining {
            let why = Refusal::Overloaded;
            self.outputs.control.push(FromShard::Refused { endpoint, why, words: None });
            let room = grant.room;
            return self.tell(now, room.home(), ShardMessage::Decline { room, endpoint });
        }
        self.install(now, grant, MessageNo(0));
        self.outputs.control.push(FromShard::Granted { endpoint, session, no: GrantNo(0) });
        self.connect_if_passive(now, endpoint);
    }

    /// A session that is to be opened; the numbers of its messages go on after `last`.
    fn install(&mut self, now: Now, grant: Grant, last: MessageNo) {
        let (endpoint, id) = (grant.endpoint, grant.session);
        let due = now + limits::GRANT_WAIT;
        self.by_id.insert(id, endpoint);
        self.timers.set(due, Timer::Grant(endpoint));
        let may_send = grant.terms.as_ref().is_none_or(|t| t.may_send);
        let session = Session {
            grant,
            state: State::Granted(due),
            next: None,
            inbound: Inbound::after(last),
            debts: None,
            member: None,
            may_send,
            open_timer: false,
        };
        self.sessions.insert(endpoint, Box::new(session));
    }

    fn connect_if_passive(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let to = session.grant.terms.as_ref().and_then(|t| t.connect_to);
        if let (Some(to), State::Granted(_)) = (to, session.state) {
            let due = now + limits::CONNECT_WAIT;
            session.state = State::Connecting(due);
            self.timers.set(due, Timer::Grant(endpoint));
            self.outputs.connect.push((endpoint, to));
        }
    }

    /// New terms from a re-INVITE or from the answer to our offer.
    pub(super) fn revise(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        terms: Box<Terms>,
        rebind: Option<(SessionId, GrantNo)>,
    ) {
        let Some(session) = self.sessions.get_mut(&endpoint) else {
            if let Some(to) = self.moved.get(&endpoint) {
                self.outputs.mesh.push((*to, ShardMessage::Revise { endpoint, terms, rebind }));
            }
            return;
        };
        if let Some(asked) = rebind {
            return self.rebind(now, endpoint, terms, asked);
        }
        let room = session.grant.room;
        if let Some(next) = &mut session.next {
            next.terms = terms.clone();
        }
        if let Some(member) = session.member.and_then(|m| self.audiences.get_mut(&room)?.member_mut(m)) {
            session.may_send = terms.may_send;
            member.revise(self.takes.of(&terms));
        } else {
            session.set_terms(terms);
        }
        self.wake_waiting(endpoint);
        self.connect_if_passive(now, endpoint);
    }

    /// The sender tells who it is: its messages may say so from now on.
    pub(super) fn disclose(&mut self, number: u32, disclosure: Box<Disclosure>) {
        let endpoint = disclosure.endpoint;
        if let Some(session) = self.sessions.get_mut(&endpoint) {
            let audience = self.audiences.get_mut(&session.grant.room);
            let member = session.member.and_then(|place| audience?.member_mut(place));
            if let Some(member) = member {
                member.number = number;
            }
            let Disclosure { participant, aliases, .. } = *disclosure;
            session.grant.sender.disclose(participant, aliases);
            self.outputs.control.push(FromShard::Disclosed { endpoint });
        } else if let Some(to) = self.moved.get(&endpoint) {
            self.outputs.mesh.push((*to, ShardMessage::Disclose { number, disclosure }));
        }
    }

    /// The peer's path changed: a new session takes the place of the old one. If the peer comes to us,
    /// the old one stays until then; if we go to the peer, it ends here, since its path does.
    fn rebind(&mut self, now: Now, endpoint: EndpointId, terms: Box<Terms>, (id, no): (SessionId, GrantNo)) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let (room, bound) = (session.grant.room, matches!(session.state, State::Bound(_)));
        // A claim may have brought the session here before its room knew: the new one is to be found here.
        let here = self.config.id;
        let id = if id.shard() == here { id } else { self.entropy.session_id(here) };
        let due = now + limits::GRANT_WAIT;
        self.timers.set(due, Timer::Grant(endpoint));
        self.outputs.control.push(FromShard::Granted { endpoint, session: id, no });
        self.by_id.insert(id, endpoint);
        let stays = bound && terms.connect_to.is_none();
        let replaced = if stays {
            session.next.replace(Box::new(Replacement { id, terms: terms.clone(), due }))
        } else {
            session.next.take()
        };
        if let Some(replaced) = replaced {
            self.by_id.remove(&replaced.id);
        }
        if stays {
            return;
        }
        self.detach(now, endpoint);
        if bound {
            self.tell_unbound(now, room, endpoint);
        }
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let old = std::mem::replace(&mut session.grant.session, id);
        session.state = State::Granted(due);
        session.set_terms(terms);
        self.by_id.remove(&old);
        self.wake_waiting(endpoint);
        self.connect_if_passive(now, endpoint);
    }

    /// Connections that waited for the terms of this session may be looked at again.
    fn wake_waiting(&mut self, endpoint: EndpointId) {
        for id in self.waiting.remove(&endpoint).unwrap_or_default() {
            let conn = self.conns.get_mut(id);
            if conn.is_some_and(|c| c.waits_no_more(|w| w == Wait::Terms(endpoint))) {
                self.outputs.resume.push(id);
            }
        }
    }

    /// Finds the session that a request on `conn` names.
    pub(super) fn find(&mut self, conn: ConnId, id: Option<SessionId>) -> Found {
        let Some(id) = id else { return Found::Refused(Refusal::NoSession) };
        let Some(&endpoint) = self.by_id.get(&id) else { return self.find_elsewhere(conn, id) };
        let Some(session) = self.sessions.get(&endpoint) else { return Found::Refused(Refusal::NoSession) };
        let is_next = session.is_followed_by(id);
        // A replacement always has terms.
        let unsettled = !is_next && session.grant.terms.is_none();
        match session.state {
            State::Bound(at) if !is_next && at == conn => Found::Here(endpoint),
            State::Bound(_) if !is_next => Found::Refused(Refusal::SessionElsewhere),
            State::Binding(at, ..) if at != conn => Found::Refused(Refusal::SessionElsewhere),
            State::Connecting(_) => Found::Refused(Refusal::NoSession),
            State::Idle if !is_next => Found::Refused(Refusal::NoSession),
            _ if unsettled
                && self.waiting.get(&endpoint).is_some_and(|w| w.len() >= limits::TERMS_WAITING_MAX) =>
            {
                Found::Refused(Refusal::SessionElsewhere)
            }
            _ if unsettled => Found::Later(Wait::Terms(endpoint)),
            _ if self.conns.get(conn).is_some_and(|c| c.sessions().len() >= limits::CONN_SESSIONS_MAX) => {
                Found::Refused(Refusal::SessionElsewhere)
            }
            _ => Found::Binds(endpoint),
        }
    }

    fn find_elsewhere(&self, conn: ConnId, id: SessionId) -> Found {
        let shard = id.shard();
        let Some(conn) = self.conns.get(conn) else { return Found::Refused(Refusal::NoSession) };
        if shard == self.config.id || shard.0 >= self.config.shards {
            return Found::Refused(Refusal::NoSession);
        }
        // A connection moves at most once in its life, before anything was written on it.
        if !conn.proven && !conn.spoken && conn.opened_for().is_none() && conn.strays == 0 {
            Found::Moves(shard)
        } else {
            Found::Later(Wait::Claim(id))
        }
    }

    /// Asks another shard for a session that a connection of ours, which cannot move, named.
    pub(super) fn ask_for(&mut self, conn: ConnId, session: SessionId) {
        self.outputs.mesh.push((session.shard(), ShardMessage::Claim { session, conn }));
    }

    /// Another shard's connection names a session of ours.
    pub(super) fn claim(&mut self, now: Now, id: SessionId, conn: ConnId, at: ShardId) {
        let grant = self.give_away(now, id, at);
        self.outputs.mesh.push((at, ShardMessage::Claimed { conn, grant }));
    }

    /// A session goes to another shard, if nobody has it. If it is to take the place of one that is bound here, that
    /// one ends.
    fn give_away(
        &mut self,
        now: Now,
        id: SessionId,
        to: ShardId,
    ) -> Result<(Box<Grant>, MessageNo), Refusal> {
        let endpoint = *self.by_id.get(&id).ok_or(Refusal::NoSession)?;
        let session = self.sessions.get(&endpoint).ok_or(Refusal::NoSession)?;
        if session.is_followed_by(id) {
            self.replace(now, endpoint);
        } else if !matches!(session.state, State::Granted(_)) || session.next.is_some() {
            return Err(Refusal::SessionElsewhere);
        }
        self.by_id.remove(&id);
        let session = self.sessions.remove(&endpoint).ok_or(Refusal::NoSession)?;
        self.moved.insert(endpoint, to);
        self.wake_waiting(endpoint);
        Ok((Box::new(session.grant), session.inbound.last()))
    }

    /// The answer to our claim. A refused one is answered when the octets are looked at again.
    pub(super) fn claimed(
        &mut self,
        now: Now,
        conn: ConnId,
        grant: Result<(Box<Grant>, MessageNo), Refusal>,
    ) {
        match grant {
            Ok((grant, last)) => self.install(now, *grant, last),
            Err(why) => {
                if let Some(c) = self.conns.get_mut(conn)
                    && let Some(Wait::Claim(session)) = c.wait()
                {
                    c.unfinished().claim_refused = Some((session, why));
                }
            }
        }
        let c = self.conns.get_mut(conn);
        if c.is_some_and(|c| c.waits_no_more(|w| matches!(w, Wait::Claim(_)))) {
            self.outputs.resume.push(conn);
        }
    }

    /// Binds a session to the connection that brought its first request.
    pub(super) fn bind(&mut self, now: Now, endpoint: EndpointId, conn: ConnId) {
        let after = self.replace(now, endpoint);
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        session.state = State::Bound(conn);
        let room = session.grant.room;
        if let Some(c) = self.conns.get_mut(conn) {
            c.add_session(endpoint);
            c.strays = 0;
            c.proven = true;
            if let Some(u) = c.unfinished_now() {
                u.opened_for.take_if(|e| *e == endpoint);
            }
            c.settle();
        }
        self.outputs.control.push(FromShard::Bound { endpoint });
        if let Some(after) = after {
            // It was present all the time: it misses nothing while its room learns of the change.
            let (number, after) = after;
            self.admit(endpoint, number, after);
        }
        self.tell(now, room.home(), ShardMessage::Bind { room, endpoint });
    }

    /// Puts the replacement of a session in its place. What it had begun ends; since when it was present,
    /// if it was, and its participant's number.
    fn replace(&mut self, now: Now, endpoint: EndpointId) -> Option<(u32, Seq)> {
        let session = self.sessions.get_mut(&endpoint)?;
        let next = session.next.take()?;
        let room = session.grant.room;
        let member = session.member.and_then(|m| self.audiences.get(&room)?.members().get(m));
        let after = member.map(|m| (m.number, m.after));
        self.detach(now, endpoint);
        self.tell_unbound(now, room, endpoint);
        let session = self.sessions.get_mut(&endpoint)?;
        let Replacement { id, terms, .. } = *next;
        let old = std::mem::replace(&mut session.grant.session, id);
        session.set_terms(terms);
        self.by_id.remove(&old);
        after
    }

    /// The room's home says that the endpoint is present.
    pub(super) fn admit(&mut self, endpoint: EndpointId, number: u32, after: Seq) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let (State::Bound(conn), None) = (session.state, session.member) else { return };
        let Some(terms) = session.grant.terms.take() else { return };
        let Grant { room, session: id, .. } = &session.grant;
        let mut uri = Vec::with_capacity(64);
        write_uri(&mut uri, &self.config.host, self.config.port, id);
        let preamble = encode::preamble(&terms.peer_path, &uri);
        let member = Member::new(endpoint, conn, after, number, preamble, self.takes.of(&terms));
        session.member = Some(self.audiences.entry(*room).or_default().add(member));
    }

    /// The member at `place` of a room's audience here.
    pub(super) fn member(&self, room: RoomId, place: Option<usize>) -> Option<&Member> {
        self.audiences.get(&room)?.members().get(place?)
    }

    /// The room's home learns that a session here ended.
    fn tell_unbound(&mut self, now: Now, room: RoomId, endpoint: EndpointId) {
        self.tell(now, room.home(), ShardMessage::Unbind { room, endpoint });
    }

    /// Takes a session out of its audience and off its connection; both may live on.
    fn detach(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        let room = session.grant.room;
        let place = session.member.take();
        let conn = match std::mem::replace(&mut session.state, State::Idle) {
            State::Bound(conn) | State::Binding(conn, ..) => Some(conn),
            _ => None,
        };
        session.inbound.forget();
        session.debts = None;
        if let Some(place) = place {
            self.leave_audience(now, room, place);
        }
        let Some((id, c)) = conn.and_then(|id| Some((id, self.conns.get_mut(id)?))) else { return };
        c.remove_session(endpoint);
        if c.waits_no_more(|w| w == Wait::Verdicts(endpoint)) {
            self.outputs.resume.push(id);
        }
        if let Some(unfinished) = c.unfinished_now() {
            // What it owes from now on, it owes elsewhere.
            unfinished.owes.take_if(|e| *e == endpoint);
            // The rest of its body is swallowed.
            let under_way = unfinished.under_way.as_mut();
            if let Some(u) = under_way.filter(|u| u.endpoint == Some(endpoint)) {
                u.endpoint = None;
            }
            let was_opened_for = unfinished.opened_for.take_if(|e| *e == endpoint).is_some();
            if was_opened_for && c.sessions().is_empty() {
                return self.close(now, id, CloseReason::Unused, true);
            }
        }
        if c.sessions().is_empty() && c.closing.is_none() {
            c.quiet_since = now;
            self.watch_quiet(id, now + limits::CONN_EMPTY);
        }
        self.read_on_here(id, endpoint);
    }

    fn leave_audience(&mut self, now: Now, room: RoomId, place: usize) {
        let Some(audience) = self.audiences.get_mut(&room) else { return };
        let (slot, moved) = audience.remove(place);
        if let Some(moved) = moved
            && let Some(session) = self.sessions.get_mut(&moved)
        {
            session.member = Some(place);
        }
        if audience.is_empty() {
            self.audiences.remove(&room);
        }
        if let Some(answers) = self.answers.get_mut(&room) {
            answers.gone(slot);
            self.pass_on_heard(now, room);
        }
    }

    /// The dialog ended: so does the session.
    pub(super) fn evict(&mut self, now: Now, endpoint: EndpointId) {
        self.detach(now, endpoint);
        if let Some(session) = self.sessions.remove(&endpoint) {
            self.by_id.remove(&session.grant.session);
            if let Some(next) = session.next {
                self.by_id.remove(&next.id);
            }
        }
        if let Some(to) = self.moved.remove(&endpoint) {
            self.outputs.mesh.push((to, ShardMessage::Evict { endpoint }));
        }
        self.wake_waiting(endpoint);
    }

    /// A connection ends: so do the sessions bound to it.
    pub(super) fn lose_sessions(&mut self, now: Now, id: ConnId, reason: CloseReason) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let sessions = conn.take_sessions();
        let opened_for = conn.unfinished_now().and_then(|u| u.opened_for.take());
        let why = match reason {
            CloseReason::TooSlow => Ended::TooSlow,
            CloseReason::Garbage | CloseReason::Guessing | CloseReason::UnreadFull | CloseReason::Silent => {
                Ended::Misbehaved
            }
            _ => Ended::Closed,
        };
        for endpoint in sessions {
            self.lose(now, endpoint, why);
        }
        if let Some(endpoint) = opened_for {
            self.lose(now, endpoint, Ended::NoConnect);
        }
    }

    /// A session ends while its dialog goes on.
    pub(super) fn lose(&mut self, now: Now, endpoint: EndpointId, why: Ended) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let (room, was_bound) = (session.grant.room, matches!(session.state, State::Bound(_)));
        self.detach(now, endpoint);
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        self.by_id.remove(&session.grant.session);
        if was_bound {
            self.tell_unbound(now, room, endpoint);
        }
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        match session.next.take() {
            // A new session is on its way already: the old one's end is no news.
            Some(next) => {
                let Replacement { id, terms, due } = *next;
                session.grant.session = id;
                session.set_terms(terms);
                session.state = State::Granted(due);
            }
            None => self.outputs.control.push(FromShard::Lost { endpoint, why }),
        }
        self.wake_waiting(endpoint);
    }

    /// A grant's time may have run out.
    pub(super) fn grant_due(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        match session.state {
            State::Granted(due) if due <= now => self.lose(now, endpoint, Ended::NeverBound),
            State::Connecting(due) if due <= now => self.lose(now, endpoint, Ended::NoConnect),
            State::Binding(conn, _, due) if due <= now => self.close(now, conn, CloseReason::Silent, true),
            State::Bound(_) => {
                // The replacement was never bound: the old session stays.
                if let Some(next) = session.next.take_if(|next| next.due <= now) {
                    self.by_id.remove(&next.id);
                }
            }
            _ => {}
        }
    }

    /// The connection that we opened for a passive peer is there: the first request goes out at once
    /// (MSRP-CONN-02). `None`: it is not wanted any more.
    pub fn connected(&mut self, now: Now, endpoint: EndpointId, to: SocketAddr) -> Option<ConnId> {
        let session = self.sessions.get(&endpoint)?;
        if self.draining || !session.wants(to) {
            return None;
        }
        let State::Connecting(_) = session.state else { return None };
        let path = session.grant.terms.as_ref()?.peer_path.clone();
        let uri = self.uri(&session.grant.session);
        let id = self.conns.open(now)?;
        self.counters.opened += 1;
        let (tid, message_id) = (self.entropy.token(), self.entropy.token());
        if let Some(conn) = self.conns.get_mut(id) {
            conn.unfinished().opened_for = Some(endpoint);
        }
        let due = now + limits::CONNECT_WAIT;
        if let Some(session) = self.sessions.get_mut(&endpoint) {
            session.state = State::Binding(id, tid, due);
        }
        self.timers.set(due, Timer::Grant(endpoint));
        let tail = encode::TailHead {
            message_id: message_id.as_bytes(),
            range: ByteRange { start: 1, end: Some(0), total: Some(0) },
            failure_report: FailureReport::Yes,
            success_report: false,
            content_type: None,
        };
        let preamble = encode::preamble(&path, &uri);
        self.conns.push_with(now, id, |out| {
            encode::send(out, tid.as_bytes(), &preamble, &tail, b"", Flag::End);
        });
        Some(id)
    }

    /// The connection to a passive peer could not be opened.
    pub fn connect_failed(&mut self, now: Now, endpoint: EndpointId, to: SocketAddr) {
        let connecting = self
            .sessions
            .get(&endpoint)
            .is_some_and(|s| matches!(s.state, State::Connecting(_)) && s.wants(to));
        if connecting {
            self.lose(now, endpoint, Ended::NoConnect);
        }
    }

    /// An answer on a connection that we opened: does it bind the session?
    pub(super) fn binding_answered(&mut self, now: Now, id: ConnId, tid: &[u8], code: u16) {
        let Some(endpoint) = self.conns.get(id).and_then(Conn::opened_for) else { return };
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let State::Binding(at, ours, _) = session.state else { return };
        if at != id || ours.as_bytes() != tid {
            return;
        }
        if code / 100 == 2 {
            self.bind(now, endpoint, id);
        } else {
            self.close(now, id, CloseReason::Peer, true);
        }
    }
}
