//! What arrives on connections: octets to frames, frames to sessions, answers back.

use super::replies::{complete, first_uri, receipt};
use super::sessions::Found;
use super::{Flow, Session, ShardCore, State};
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, SessionId, ShardId};
use crate::base::limits;
use crate::base::media::{is_notification, is_typing};
use crate::base::refusal::Refusal;
use crate::room::command::Feedback;
use crate::session::inbound::{Accepted, Emit, Taken};
use crate::session::owed::Receipt;
use crate::shard::audience::copy::Body;
use crate::shard::conns::{CloseReason, Conn, UnderWay, Wait};
use crate::shard::message::{OwnedEnvelope, ShardMessage};
use crate::shard::timers::Timer;
use crate::wire::msrp::answer::plain_ok;
use crate::wire::msrp::encode;
use crate::wire::msrp::frame::{Framer, Step};
use crate::wire::msrp::head::{FailureReport, Head, HeadFault, Kind, Method};
use crate::wire::msrp::range::ByteRange;
use crate::wire::msrp::uri::only_session_id;
use crate::wire::nickname::{self, Wish};
use std::borrow::Cow;

/// What became of one step of framing.
enum Next {
    /// Look at what follows.
    Go,
    /// Look at this again later: nothing of it was consumed.
    Again(Wait),
    /// The connection goes elsewhere, with this and all that follows.
    Moves(ShardId),
    /// The connection is being closed.
    Stop,
}

/// The head of a SEND, as far as the rest of it needs it.
struct Part<'a> {
    endpoint: EndpointId,
    message_id: &'a [u8],
    chunk: Chunk<&'a [u8]>,
    feedback: Feedback,
}

impl ShardCore {
    /// Octets arrived.
    pub fn bytes(&mut self, now: Now, id: ConnId, data: &[u8]) -> Flow {
        let Some(conn) = self.conns.get(id).filter(|c| c.closing.is_none()) else { return Flow::Stop };
        if conn.unread() == 0 && conn.wait().is_none() {
            let (used, flow) = self.frames(now, id, data);
            return self.keep(now, id, data[used..].to_vec(), used, flow);
        }
        let mut unread = self.conns.take_unread(id);
        unread.extend_from_slice(data);
        self.look(now, id, unread)
    }

    /// A connection that had to wait may be looked at again.
    pub fn resume(&mut self, now: Now, id: ConnId) -> Flow {
        let unread = self.conns.take_unread(id);
        self.look(now, id, unread)
    }

    fn look(&mut self, now: Now, id: ConnId, mut unread: Vec<u8>) -> Flow {
        let waits = self.conns.get(id).is_some_and(|c| c.wait().is_some());
        let (used, flow) = if waits { (0, Flow::Wait) } else { self.frames(now, id, &unread) };
        unread.drain(..used);
        self.keep(now, id, unread, used, flow)
    }

    /// Keeps what was not consumed, within bounds.
    fn keep(&mut self, now: Now, id: ConnId, unread: Vec<u8>, used: usize, flow: Flow) -> Flow {
        let Some(conn) = self.conns.get_mut(id).filter(|_| flow != Flow::Stop) else { return flow };
        if unread.is_empty() {
            if let Some(unfinished) = conn.unfinished_now() {
                unfinished.unread_mark = 0;
            }
            conn.settle();
            return flow;
        }
        let sessions = !conn.sessions().is_empty();
        // Whatever was consumed was whole: what is left is a new beginning.
        if sessions && (used > 0 || conn.unfinished().unread_mark == 0) {
            conn.quiet_since = now;
            conn.unfinished().unread_mark = unread.len();
            self.watch_quiet(id, now + limits::HEAD_WAIT);
        }
        if self.conns.keep_unread(id, unread) {
            return flow;
        }
        self.close(now, id, CloseReason::UnreadFull, false);
        Flow::Stop
    }

    /// Takes frames off the front of `buf`: how many octets were consumed, and what comes next.
    fn frames(&mut self, now: Now, id: ConnId, buf: &[u8]) -> (usize, Flow) {
        let unfinished = self.conns.get_mut(id).and_then(Conn::unfinished_now);
        let mut framer = unfinished.map(|u| std::mem::take(&mut u.framer)).unwrap_or_default();
        let end = self.frames_by(&mut framer, now, id, buf);
        if !framer.idle()
            && let Some(conn) = self.conns.get_mut(id)
        {
            conn.unfinished().framer = framer;
        }
        end
    }

    fn frames_by(&mut self, framer: &mut Framer, now: Now, id: ConnId, buf: &[u8]) -> (usize, Flow) {
        let mut at = 0;
        while at < buf.len() {
            let Some(conn) = self.conns.get(id).filter(|c| c.closing.is_none()) else {
                return (at, Flow::Stop);
            };
            if conn.queue.len() > limits::STRANGER_QUEUE_BYTES_MAX && !self.conns.may_ask(id) {
                // It asks and does not take the answers.
                self.close(now, id, CloseReason::TooSlow, true);
                return (at, Flow::Stop);
            }
            if framer.idle()
                && self.answers.is_empty()
                && conn.opened_for().is_none()
                && let Some(used) = plain_ok(&buf[at..])
            {
                // Nobody waits for what it says: see `response`.
                at += used;
                continue;
            }
            let Ok(step) = framer.step(&buf[at..], limits::PART_BYTES_MIN) else {
                self.close(now, id, CloseReason::Garbage, false);
                return (at, Flow::Stop);
            };
            let (next, used) = match step {
                Step::Partial => return (at, Flow::Go),
                Step::Skip { used } => (Next::Go, used),
                Step::Head { head, body, end, used } => (self.head(now, id, &head, body, end), used),
                Step::More { body, end, used } => (self.more(now, id, body, end), used),
            };
            match next {
                Next::Go => at += used,
                Next::Stop => return (at, Flow::Stop),
                Next::Moves(shard) => {
                    self.conns.remove(id);
                    self.counters.closed[CloseReason::Moved as usize] += 1;
                    self.outputs.hand_over.push((id, shard, buf[at..].to_vec()));
                    return (at, Flow::Stop);
                }
                Next::Again(wait) => {
                    *framer = Framer::default();
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.unfinished().wait = Some(wait);
                    }
                    if let Wait::Terms(endpoint) = wait {
                        self.waiting.entry(endpoint).or_default().push(id);
                    }
                    return (at, Flow::Wait);
                }
            }
            if self.must_wait(id) {
                return (at, Flow::Wait);
            }
        }
        (at, Flow::Go)
    }

    /// Whether the connection's next frame must wait for others.
    fn must_wait(&mut self, id: ConnId) -> bool {
        let Some(unfinished) = self.conns.get_mut(id).and_then(Conn::unfinished_now) else { return false };
        let full = |e: &EndpointId| self.sessions.get(e).is_some_and(|s| s.owes_too_much());
        unfinished.owes.take_if(|e| !full(e));
        let wait = if unfinished.held.is_empty() {
            unfinished.owes.map(Wait::Verdicts)
        } else {
            Some(Wait::Recipients)
        };
        unfinished.wait = wait.or(unfinished.wait);
        wait.is_some()
    }

    /// A head, with what is there of its body.
    fn head(
        &mut self,
        now: Now,
        id: ConnId,
        head: &Head<'_>,
        body: Option<&[u8]>,
        end: Option<Flag>,
    ) -> Next {
        match head.kind {
            Kind::Response { code, .. } => {
                self.response(now, id, head, code);
                self.swallow_rest(id, head, end, None);
                Next::Go
            }
            Kind::Request(method) => self.request(now, id, head, method, body, end),
        }
    }

    fn request(
        &mut self,
        now: Now,
        id: ConnId,
        head: &Head<'_>,
        method: Method<'_>,
        body: Option<&[u8]>,
        end: Option<Flag>,
    ) -> Next {
        if head.fault.is_some() {
            return self.stray(now, id, head, end, Refusal::Malformed);
        }
        let session = only_session_id(head.to_path).and_then(SessionId::parse);
        let endpoint = match self.find(id, session) {
            Found::Here(endpoint) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.strays = 0;
                }
                endpoint
            }
            Found::Binds(endpoint) if !matches!(method, Method::Report) => {
                self.bind(now, endpoint, id);
                endpoint
            }
            Found::Binds(_) => return self.stray(now, id, head, end, Refusal::NoSession),
            Found::Moves(shard) => return Next::Moves(shard),
            Found::Later(Wait::Claim(session)) => {
                // A refused claim is looked at again with the answer at hand.
                let refused = self.conns.get_mut(id).and_then(|c| c.unfinished_now()?.claim_refused.take());
                if let Some((_, why)) = refused.filter(|(which, _)| *which == session) {
                    return self.stray(now, id, head, end, why);
                }
                self.ask_for(id, session);
                return Next::Again(Wait::Claim(session));
            }
            Found::Later(wait) => return Next::Again(wait),
            Found::Refused(why) => return self.stray(now, id, head, end, why),
        };
        match method {
            Method::Send => self.send(now, id, endpoint, head, body, end),
            // What recipients report ends here (CHAT-REP-04).
            Method::Report => {
                self.swallow_rest(id, head, end, None);
                Next::Go
            }
            _ if body.is_some_and(|b| b.len() > limits::NON_SEND_BODY_BYTES_MAX) => {
                self.refuse(now, id, head, end, Refusal::TooLarge)
            }
            Method::Nickname => self.wish(now, id, endpoint, head, end),
            Method::Auth | Method::Other(_) => self.refuse(now, id, head, end, Refusal::UnknownMethod),
        }
    }

    /// Answers a request that finds no session or cannot be read; after a few a connection that has none is closed
    /// (SEC-02), and without an answer when many such wait already.
    fn stray(&mut self, now: Now, id: ConnId, head: &Head<'_>, end: Option<Flag>, why: Refusal) -> Next {
        let stranger = self.conns.get(id).is_some_and(Conn::is_stranger);
        if stranger && !self.conns.has_room_for_strangers() {
            self.close(now, id, CloseReason::Guessing, true);
            return Next::Stop;
        }
        let next = self.refuse(now, id, head, end, why);
        let Some(conn) = self.conns.get_mut(id) else { return Next::Stop };
        conn.strays = conn.strays.saturating_add(1);
        // Sessions of others may be here, and what one sent may cross its end (MSRP-CONN-06).
        if conn.strays >= limits::CONN_STRAYS_MAX && stranger {
            self.close(now, id, CloseReason::Guessing, false);
            return Next::Stop;
        }
        next
    }

    /// Answers a request with a refusal, if it may be answered, and swallows the rest of it.
    fn refuse(&mut self, now: Now, id: ConnId, head: &Head<'_>, end: Option<Flag>, why: Refusal) -> Next {
        let (code, comment) = why.msrp();
        *self.counters.refused.entry(code).or_default() += 1;
        let is_report = matches!(head.kind, Kind::Request(Method::Report));
        // NICKNAME is always answered, whatever report headers say (CHAT-NICK-01).
        let is_nickname = matches!(head.kind, Kind::Request(Method::Nickname));
        // What is not UTF-8 cannot be said back.
        let unsayable = head.fault == Some(HeadFault::NotUtf8);
        let silent = head.failure_report == FailureReport::No && !is_nickname || unsayable;
        if !is_report && !silent && !head.from_path.is_empty() && !head.to_path.is_empty() {
            // An answer to a SEND goes one hop, any other the whole way back (MSRP-TXN-02).
            let to = if head.is_send() { head.first_from() } else { head.from_path };
            let from = first_uri(head.to_path);
            self.conns.push_with(now, id, |out| encode::response(out, head.tid, code, &comment, to, from));
        }
        self.swallow_rest(id, head, end, Some(why));
        Next::Go
    }

    /// The rest of a body that nobody wants is still to be framed.
    fn swallow_rest(&mut self, id: ConnId, head: &Head<'_>, end: Option<Flag>, why: Option<Refusal>) {
        if end.is_some() {
            return;
        }
        let under_way = UnderWay {
            endpoint: None,
            message_id: Box::default(),
            receipt: receipt(head, false),
            next: 0,
            total: None,
            refused: why,
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.unfinished().under_way = Some(Box::new(under_way));
        }
    }

    /// A NICKNAME of a bound session: the room decides (RFC 7701 §7).
    fn wish(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        head: &Head<'_>,
        end: Option<Flag>,
    ) -> Next {
        let wish = match nickname::parse(head.use_nickname) {
            Ok(Wish::Reserve(nickname)) => Some(nickname),
            Ok(Wish::Remove) => None,
            Err(_) => return self.refuse(now, id, head, end, Refusal::BadNickname),
        };
        let Some(session) = self.sessions.get_mut(&endpoint) else { return Next::Go };
        let (room, no) = (session.grant.room, session.inbound.number());
        let receipt = Receipt { whole_path: true, ..receipt(head, false) };
        self.swallow_rest(id, head, end, None);
        if room.home() == self.config.id {
            if let Some(verdict) = self.nickname(now, room, endpoint, no, wish) {
                self.answer(now, id, endpoint, &receipt, verdict);
            }
            return Next::Go;
        }
        if let Some(session) = self.sessions.get_mut(&endpoint) {
            session.debts().owed.await_verdict(no);
            session.debts().owed.keep(no, receipt);
            if let (true, Some(conn)) = (session.owes_too_much(), self.conns.get_mut(id)) {
                conn.unfinished().owes = Some(endpoint);
            }
        }
        let wish = wish.map(Box::new);
        self.outputs.mesh.push((room.home(), ShardMessage::Nickname { room, endpoint, no, wish }));
        Next::Go
    }

    /// A SEND of a bound session.
    fn send(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        head: &Head<'_>,
        body: Option<&[u8]>,
        end: Option<Flag>,
    ) -> Next {
        let message_id = head.message_id.unwrap_or_default();
        let Some(session) = self.sessions.get(&endpoint) else { return Next::Go };
        let known = session.inbound.knows(message_id);
        if body.is_none() && !known {
            // No message: the first request of a session, or a sign of life (CHAT-MSG-02).
            self.accept_bodiless(now, id, head);
            return Next::Go;
        }
        if known && head.byte_range.is_none() {
            return self.refuse(now, id, head, end, Refusal::Malformed);
        }
        if body.is_some() && !head.content_type.is_some_and(is_cpim) {
            return self.refuse(now, id, head, end, Refusal::BadType);
        }
        let range = head.byte_range.unwrap_or(ByteRange { start: 1, end: None, total: None });
        let body = body.unwrap_or_default();
        let chunk = Chunk { start: range.start, total: range.total, body, flag: end.unwrap_or(Flag::More) };
        let next = range.start + body.len() as u64;
        let counts = || self.config.rooms.rules(&session.grant.sender.room).policy().delivery_counts;
        let mut receipt = receipt(head, head.asks_count() && counts());
        let feedback = feedback(&receipt);
        let taken = self.take_part(now, Part { endpoint, message_id, chunk, feedback });
        if end.is_none() {
            let message_id = message_id.into();
            let (total, refused) = (range.total, taken.err());
            if let Some(why) = refused {
                // Said at once, so that the sender can stop (MSRP-TXN-10).
                self.answer(now, id, endpoint, &receipt, Err(why));
            }
            let under_way = UnderWay { endpoint: Some(endpoint), message_id, receipt, next, total, refused };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.unfinished().under_way = Some(Box::new(under_way));
            }
            return Next::Go;
        }
        if let Ok(taken) = &taken {
            complete(&mut receipt, message_id, taken);
        }
        self.answer_send(now, id, endpoint, &taken, receipt);
        Next::Go
    }

    fn accept_bodiless(&mut self, now: Now, id: ConnId, head: &Head<'_>) {
        if head.failure_report == FailureReport::Yes {
            let (to, from) = (head.first_from(), first_uri(head.to_path));
            self.conns.push_with(now, id, |out| encode::response(out, head.tid, 200, "OK", to, from));
        }
    }

    /// More of the body of the SEND under way.
    fn more(&mut self, now: Now, id: ConnId, body: &[u8], end: Option<Flag>) -> Next {
        let unfinished = self.conns.get_mut(id).and_then(Conn::unfinished_now);
        let Some(mut under_way) = unfinished.and_then(|u| u.under_way.take()) else { return Next::Go };
        let flag = end.unwrap_or(Flag::More);
        let endpoint = under_way.endpoint.filter(|_| under_way.refused.is_none());
        if let Some(endpoint) = endpoint {
            let chunk = Chunk { start: under_way.next, total: under_way.total, body, flag };
            let feedback = feedback(&under_way.receipt);
            let part = Part { endpoint, message_id: &under_way.message_id, chunk, feedback };
            let taken = self.take_part(now, part);
            under_way.next += body.len() as u64;
            match (taken, end) {
                (Ok(taken), Some(_)) => {
                    let mut receipt = under_way.receipt.clone();
                    complete(&mut receipt, &under_way.message_id, &taken);
                    self.answer_send(now, id, endpoint, &Ok(taken), receipt);
                }
                (Err(why), _) => {
                    self.answer(now, id, endpoint, &under_way.receipt, Err(why));
                    under_way.refused = Some(why);
                }
                (Ok(_), None) => {}
            }
        } else if let (Some(endpoint), Some(_)) = (under_way.endpoint, end) {
            // Swallowed to its end: the message ends for its session too, if that still knows it.
            let session = self.sessions.get(&endpoint);
            if !session.is_some_and(|s| s.inbound.knows(&under_way.message_id)) {
                return Next::Go;
            }
            let chunk = Chunk { start: under_way.next, total: None, body: &b""[..], flag };
            let feedback = Feedback::default();
            let part = Part { endpoint, message_id: &under_way.message_id, chunk, feedback };
            let _ = self.take_part(now, part);
        }
        if end.is_none()
            && let Some(conn) = self.conns.get_mut(id)
        {
            conn.unfinished().under_way = Some(under_way);
        }
        Next::Go
    }

    /// Gives a part to its session and what comes out of it to the room. The room's own refusal, if
    /// it is known at once, becomes the session's.
    fn take_part(&mut self, now: Now, part: Part<'_>) -> Result<Taken, Refusal> {
        let Some(session) = self.sessions.get_mut(&part.endpoint) else { return Err(Refusal::NoSession) };
        let Accepted { emits, taken } =
            session.inbound.accept(now, &session.grant.sender, part.message_id, part.chunk);
        if let (Some(due), false) = (session.inbound.deadline(), session.open_timer) {
            session.open_timer = true;
            self.timers.set(due, Timer::Open(part.endpoint));
        }
        let mut refused = None;
        for emit in emits {
            refused = refused.or(self.emit(now, part.endpoint, emit, part.feedback));
        }
        refused.map_or(taken, Err)
    }

    /// Passes a part on to the room's home. A refusal, if it is known at once.
    fn emit(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        emit: Emit<'_>,
        feedback: Feedback,
    ) -> Option<Refusal> {
        let session = self.sessions.get_mut(&endpoint)?;
        let (room, here) = (session.grant.room, session.grant.room.home() == self.config.id);
        match emit {
            Emit::First { no, wrapper, chunk } => {
                let envelope = wrapper.envelope(&chunk.body);
                if let Some(why) = wrong_direction(session, envelope.content_type) {
                    session.inbound.refused(no, why);
                    return Some(why);
                }
                if here {
                    let chunk = borrowed(&chunk);
                    let verdict =
                        self.post(now, room, endpoint, no, envelope, feedback, chunk, self.config.id)?;
                    let why = verdict.err()?;
                    self.sessions.get_mut(&endpoint)?.inbound.refused(no, why);
                    return Some(why);
                }
                session.debts().owed.await_verdict(no);
                if let (State::Bound(id), true) = (session.state, session.owes_too_much())
                    && let Some(conn) = self.conns.get_mut(id)
                {
                    conn.unfinished().owes = Some(endpoint);
                }
                let more = chunk.flag == Flag::More;
                let envelope = Box::new(OwnedEnvelope {
                    to: envelope.to.map(Into::into),
                    content_type: envelope.content_type.into(),
                });
                let chunk = Box::new(chunk.to_owned_chunk());
                let post = ShardMessage::Post { room, endpoint, no, envelope, feedback, chunk };
                self.outputs.mesh.push((room.home(), post));
                if more {
                    self.hold_reading(endpoint);
                }
            }
            Emit::Next { no, chunk } if here => {
                self.go_on(now, room, endpoint, no, borrowed(&chunk), self.config.id);
            }
            Emit::Next { no, chunk } => {
                if chunk.flag == Flag::More {
                    self.hold_reading(endpoint);
                }
                let chunk = Box::new(chunk.to_owned_chunk());
                self.outputs.mesh.push((room.home(), ShardMessage::Continue { room, endpoint, no, chunk }));
            }
        }
        None
    }

    /// Unfinished messages of a session may have waited too long (CHAT-CHUNK-04).
    pub(super) fn open_due(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        session.open_timer = false;
        for emit in session.inbound.expire(now) {
            self.emit(now, endpoint, emit, Feedback::default());
        }
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        if let Some(due) = session.inbound.deadline() {
            session.open_timer = true;
            self.timers.set(due, Timer::Open(endpoint));
        }
    }
}

fn borrowed<'a>(chunk: &'a Chunk<Cow<'_, [u8]>>) -> Chunk<Body<'a>> {
    Chunk { start: chunk.start, total: chunk.total, body: Body::Borrowed(&chunk.body), flag: chunk.flag }
}

/// What the sender of a SEND wants to hear later.
fn feedback(receipt: &Receipt) -> Feedback {
    Feedback { count: receipt.count, failure: receipt.failure_report != FailureReport::No }
}

fn is_cpim(content_type: &[u8]) -> bool {
    let main = content_type.split(|b| *b == b';').next().unwrap_or_default();
    main.trim_ascii().eq_ignore_ascii_case(b"message/cpim")
}

/// A session that may not send content may still send what is about content (SDP-11).
fn wrong_direction(session: &Session, content_type: &str) -> Option<Refusal> {
    (!session.may_send && !is_typing(content_type) && !is_notification(content_type))
        .then_some(Refusal::WrongDirection)
}
