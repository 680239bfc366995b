//! What arrives on connections: octets to frames, frames to sessions, answers back.

use super::sessions::Found;
use super::{Flow, Session, ShardCore, State};
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, MessageNo, SessionId, ShardId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::session::inbound::{Emit, Outcome, Taken};
use crate::session::owed::{Receipt, Success};
use crate::shard::audience::Body;
use crate::shard::conns::{CloseReason, UnderWay, Wait};
use crate::shard::message::{Ended, OwnedEnvelope, ShardMessage};
use crate::shard::timers::Timer;
use crate::wire::msrp::encode::{self, ReportHead};
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
}

impl ShardCore {
    /// Octets arrived.
    pub fn bytes(&mut self, now: Now, id: ConnId, data: &[u8]) -> Flow {
        let Some(conn) = self.conns.get(id).filter(|c| c.closing.is_none()) else { return Flow::Stop };
        if conn.unread.is_empty() && conn.wait.is_none() {
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
        let waits = self.conns.get(id).is_some_and(|c| c.wait.is_some());
        let (used, flow) = if waits { (0, Flow::Wait) } else { self.frames(now, id, &unread) };
        unread.drain(..used);
        self.keep(now, id, unread, used, flow)
    }

    /// Keeps what was not consumed, within bounds.
    fn keep(&mut self, now: Now, id: ConnId, unread: Vec<u8>, used: usize, flow: Flow) -> Flow {
        let Some(conn) = self.conns.get_mut(id).filter(|_| flow != Flow::Stop) else { return flow };
        if unread.is_empty() {
            conn.unread_mark = 0;
            return flow;
        }
        let sessions = !conn.sessions.is_empty();
        // Whatever was consumed was whole: what is left is a new beginning.
        if sessions && (used > 0 || conn.unread_mark == 0) {
            conn.quiet_since = now;
            conn.unread_mark = unread.len();
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
        let mut at = 0;
        while at < buf.len() {
            let Some(conn) = self.conns.get_mut(id).filter(|c| c.closing.is_none()) else {
                return (at, Flow::Stop);
            };
            if conn.queue.len() > limits::QUEUE_BYTES_HARD {
                // It asks and does not take the answers.
                self.close(now, id, CloseReason::TooSlow, true);
                return (at, Flow::Stop);
            }
            let Ok(step) = conn.framer.step(&buf[at..], limits::PART_BYTES_MIN) else {
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
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.wait = Some(wait);
                        conn.framer = Framer::default();
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
        let Some(conn) = self.conns.get(id) else { return false };
        let wait = if !conn.held.is_empty() {
            Wait::Recipients
        } else if let Some(endpoint) =
            conn.owes.filter(|e| self.sessions.get(e).is_some_and(|s| s.owed.full()))
        {
            Wait::Verdicts(endpoint)
        } else {
            return false;
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.wait = Some(wait);
        }
        true
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
            return self.refuse(now, id, head, end, Refusal::Malformed);
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
                let refused = self.conns.get_mut(id).and_then(|c| c.claim_refused.take());
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

    /// Answers a request that finds no session; after a few the connection is closed (SEC-02).
    fn stray(&mut self, now: Now, id: ConnId, head: &Head<'_>, end: Option<Flag>, why: Refusal) -> Next {
        let next = self.refuse(now, id, head, end, why);
        let Some(conn) = self.conns.get_mut(id) else { return Next::Stop };
        conn.strays = conn.strays.saturating_add(1);
        // Sessions of others may be here, and what one sent may cross its end (MSRP-CONN-06).
        if conn.strays >= limits::CONN_STRAYS_MAX && conn.sessions.is_empty() {
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
            self.conns.push_with(now, id, |out| encode::response(out, head.tid, code, comment, to, from));
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
            receipt: receipt(head, None),
            next: 0,
            total: None,
            refused: why,
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.under_way = Some(Box::new(under_way));
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
        let receipt = Receipt { whole_path: true, ..receipt(head, None) };
        self.swallow_rest(id, head, end, None);
        if room.home() == self.config.id {
            if let Some(verdict) = self.nickname(now, room, endpoint, no, wish) {
                self.answer(now, id, endpoint, &receipt, verdict);
            }
            return Next::Go;
        }
        if let Some(session) = self.sessions.get_mut(&endpoint) {
            session.owed.expect(no);
            session.owed.keep(no, receipt);
            if let (true, Some(conn)) = (session.owed.full(), self.conns.get_mut(id)) {
                conn.owes = Some(endpoint);
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
        let taken = self.take_part(now, Part { endpoint, message_id, chunk });
        if end.is_none() {
            self.begin_under_way(now, id, endpoint, head, next, range.total, taken.err());
            return Next::Go;
        }
        self.answer_send(now, id, endpoint, &taken, || receipt(head, success(head, &taken)));
        Next::Go
    }

    fn accept_bodiless(&mut self, now: Now, id: ConnId, head: &Head<'_>) {
        if head.failure_report == FailureReport::Yes {
            let (to, from) = (head.first_from(), first_uri(head.to_path));
            self.conns.push_with(now, id, |out| encode::response(out, head.tid, 200, "OK", to, from));
        }
    }

    #[allow(clippy::too_many_arguments)] // A SEND's head, spread out once.
    fn begin_under_way(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        head: &Head<'_>,
        next: u64,
        total: Option<u64>,
        refused: Option<Refusal>,
    ) {
        // Success is known at the end; keep what a report would need.
        let wants = head.success_report.then(|| Success {
            message_id: head.message_id.unwrap_or_default().into(),
            len: 0,
            about: None,
        });
        let receipt = receipt(head, wants);
        if let Some(why) = refused {
            // Said at once, so that the sender can stop (MSRP-TXN-10).
            self.answer(now, id, endpoint, &receipt, Err(why));
        }
        let message_id = head.message_id.unwrap_or_default().into();
        let under_way = UnderWay { endpoint: Some(endpoint), message_id, receipt, next, total, refused };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.under_way = Some(Box::new(under_way));
        }
    }

    /// More of the body of the SEND under way.
    fn more(&mut self, now: Now, id: ConnId, body: &[u8], end: Option<Flag>) -> Next {
        let Some(mut under_way) = self.conns.get_mut(id).and_then(|c| c.under_way.take()) else {
            return Next::Go;
        };
        let flag = end.unwrap_or(Flag::More);
        let endpoint = under_way.endpoint.filter(|_| under_way.refused.is_none());
        if let Some(endpoint) = endpoint {
            let chunk = Chunk { start: under_way.next, total: under_way.total, body, flag };
            let taken = self.take_part(now, Part { endpoint, message_id: &under_way.message_id, chunk });
            under_way.next += body.len() as u64;
            match (taken, end) {
                (Ok(taken), Some(_)) => {
                    let mut receipt = under_way.receipt.clone();
                    receipt.success = receipt.success.zip(taken.complete).map(|(wanted, len)| Success {
                        len,
                        about: taken.about.clone(),
                        ..wanted
                    });
                    self.answer_send(now, id, endpoint, &Ok(taken), || receipt);
                }
                (Err(why), _) => {
                    self.answer(now, id, endpoint, &under_way.receipt, Err(why));
                    under_way.refused = Some(why);
                }
                (Ok(_), None) => {}
            }
        } else if let (Some(endpoint), Some(_)) = (under_way.endpoint, end) {
            // Swallowed to its end: the message ends for its session too, if that still knows it.
            let known = |s: &Session| s.inbound.knows(&under_way.message_id);
            if !self.sessions.get(&endpoint).is_some_and(known) {
                return Next::Go;
            }
            let chunk = Chunk { start: under_way.next, total: None, body: &b""[..], flag };
            let _ = self.take_part(now, Part { endpoint, message_id: &under_way.message_id, chunk });
        }
        if end.is_none()
            && let Some(conn) = self.conns.get_mut(id)
        {
            conn.under_way = Some(under_way);
        }
        Next::Go
    }

    /// Gives a part to its session and what comes out of it to the room. The room's own refusal, if
    /// it is known at once, becomes the session's.
    fn take_part(&mut self, now: Now, part: Part<'_>) -> Result<Taken, Refusal> {
        let Some(session) = self.sessions.get_mut(&part.endpoint) else { return Err(Refusal::NoSession) };
        let Outcome { emits, taken } =
            session.inbound.accept(now, &session.grant.sender, part.message_id, part.chunk);
        if let (Some(due), false) = (session.inbound.deadline(), session.open_timer) {
            session.open_timer = true;
            self.timers.set(due, Timer::Open(part.endpoint));
        }
        let mut refused = None;
        for emit in emits {
            refused = refused.or(self.emit(now, part.endpoint, emit));
        }
        refused.map_or(taken, Err)
    }

    /// Passes a part on to the room's home. A refusal, if it is known at once.
    fn emit(&mut self, now: Now, endpoint: EndpointId, emit: Emit<'_>) -> Option<Refusal> {
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
                    let verdict = self.post(now, room, endpoint, no, envelope, chunk, self.config.id)?;
                    let why = verdict.err()?;
                    self.sessions.get_mut(&endpoint)?.inbound.refused(no, why);
                    return Some(why);
                }
                session.owed.expect(no);
                if let (State::Bound(id), true) = (session.state, session.owed.full())
                    && let Some(conn) = self.conns.get_mut(id)
                {
                    conn.owes = Some(endpoint);
                }
                let more = chunk.flag == Flag::More;
                let envelope = Box::new(OwnedEnvelope {
                    to: envelope.to.map(Into::into),
                    content_type: envelope.content_type.into(),
                });
                let chunk = Box::new(chunk.to_owned_chunk());
                let post = ShardMessage::Post { room, endpoint, no, envelope, chunk };
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

    /// Answers a SEND that has ended, now or when the verdict on its message comes.
    fn answer_send(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        taken: &Result<Taken, Refusal>,
        receipt: impl FnOnce() -> Receipt,
    ) {
        let undecided = taken.as_ref().ok().and_then(|t| t.no);
        let undecided =
            undecided.filter(|no| self.sessions.get(&endpoint).is_some_and(|s| s.owed.is_undecided(*no)));
        match undecided {
            Some(no) => {
                if let Some(session) = self.sessions.get_mut(&endpoint) {
                    session.owed.keep(no, receipt());
                    if let (true, Some(conn)) = (session.owed.full(), self.conns.get_mut(id)) {
                        conn.owes = Some(endpoint);
                    }
                }
            }
            None => {
                self.answer(now, id, endpoint, &receipt(), taken.as_ref().map(|_| ()).map_err(|why| *why))
            }
        }
    }

    /// The verdict on a message of a session here, from the room's home.
    pub(super) fn verdict(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        no: MessageNo,
        verdict: Result<(), Refusal>,
    ) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        if let Err(why) = verdict {
            session.inbound.refused(no, why);
        }
        let due: Vec<Receipt> = session.owed.decide(no).collect();
        let State::Bound(id) = session.state else { return };
        for receipt in due {
            self.answer(now, id, endpoint, &receipt, verdict);
        }
        if let Some(conn) = self.conns.get_mut(id).filter(|c| c.wait == Some(Wait::Verdicts(endpoint))) {
            conn.wait = None;
            self.outputs.resume.push(id);
        }
    }

    /// Writes the answer to a SEND, and the success report if one is due (RFC 4975 §7.1.4, §7.2).
    fn answer(
        &mut self,
        now: Now,
        id: ConnId,
        endpoint: EndpointId,
        receipt: &Receipt,
        verdict: Result<(), Refusal>,
    ) {
        let Some(session) = self.sessions.get(&endpoint).map(|s| s.grant.session) else { return };
        let (code, comment) = match verdict {
            Ok(()) => (200, "OK"),
            Err(why) => {
                let code = why.msrp();
                *self.counters.refused.entry(code.0).or_default() += 1;
                code
            }
        };
        let answered = match receipt.failure_report {
            _ if receipt.whole_path => true,
            FailureReport::Yes => true,
            FailureReport::Partial => verdict.is_err(),
            FailureReport::No => false,
        };
        if !answered && receipt.success.is_none() {
            return;
        }
        let uri = self.uri(&session);
        if answered {
            let path = &receipt.from_path;
            let to = if receipt.whole_path { path } else { first_uri(path) };
            self.conns.push_with(now, id, |out| encode::response(out, &receipt.tid, code, comment, to, &uri));
        }
        if let (Ok(()), Some(Success { message_id, len, about })) = (verdict, &receipt.success) {
            let tid = self.entropy.token();
            let head = ReportHead {
                to_path: &receipt.from_path,
                from_path: &uri,
                message_id,
                range: ByteRange { start: 1, end: Some(*len), total: Some(*len) },
                code: 200,
                comment: "OK",
                cpim: about.as_deref(),
            };
            self.conns.push_with(now, id, |out| encode::report(out, tid.as_bytes(), &head));
        }
    }

    /// An answer to something we sent.
    fn response(&mut self, now: Now, id: ConnId, head: &Head<'_>, code: u16) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.opened_for.is_some() {
            return self.binding_answered(now, id, head.tid, code);
        }
        if code / 100 == 2 {
            return;
        }
        let session = only_session_id(head.to_path).and_then(SessionId::parse);
        let Some(&endpoint) = session.and_then(|s| self.by_id.get(&s)) else { return };
        if !conn.sessions.contains(&endpoint) {
            return;
        }
        match code {
            481 | 506 => self.lose(now, endpoint, Ended::Disowned),
            413 | 415 => self.copy_refused(now, endpoint, head.tid, code),
            _ => {}
        }
    }

    fn copy_refused(&mut self, now: Now, endpoint: EndpointId, tid: &[u8], code: u16) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let (Some(place), Some(audience)) = (session.member, self.audiences.get_mut(&session.grant.room))
        else {
            return;
        };
        audience.refused(now, &mut self.conns, &mut self.entropy, place, tid, code);
    }

    /// Unfinished messages of a session may have waited too long (CHAT-CHUNK-04).
    pub(super) fn open_due(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        session.open_timer = false;
        for emit in session.inbound.expire(now) {
            self.emit(now, endpoint, emit);
        }
        let Some(session) = self.sessions.get_mut(&endpoint) else { return };
        if let Some(due) = session.inbound.deadline() {
            session.open_timer = true;
            self.timers.set(due, Timer::Open(endpoint));
        }
    }

    /// The recipients of a long message have no room: its sender is not read.
    pub(super) fn hold_reading(&mut self, endpoint: EndpointId) {
        let Some(State::Bound(id)) = self.sessions.get(&endpoint).map(|s| s.state) else { return };
        if let Some(conn) = self.conns.get_mut(id).filter(|c| !c.held.contains(&endpoint)) {
            conn.held.push(endpoint);
        }
    }

    /// They have room again.
    pub(super) fn read_on(&mut self, endpoint: EndpointId) {
        let Some(State::Bound(id)) = self.sessions.get(&endpoint).map(|s| s.state) else { return };
        self.read_on_here(id, endpoint);
    }

    pub(super) fn read_on_here(&mut self, id: ConnId, endpoint: EndpointId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.held.retain(|e| *e != endpoint);
        if conn.held.is_empty() && conn.wait == Some(Wait::Recipients) {
            conn.wait = None;
            self.outputs.resume.push(id);
        }
    }

    /// A participant whose queue was too long for a while is told once what it missed (CHAT-CONG-01).
    pub(super) fn tell_left_out(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        for endpoint in conn.sessions.clone() {
            let Some(session) = self.sessions.get(&endpoint) else { continue };
            let audience = self.audiences.get_mut(&session.grant.room);
            let member = session.member.and_then(|m| audience?.member_mut(m));
            let Some(member) = member.filter(|m| m.skipped > 0) else { continue };
            if let Some(conn) = self.conns.get_mut(id).filter(|c| c.queue.len() > limits::QUEUE_BYTES_FILLING)
            {
                // Many sessions here: the others are told when these notices have been taken.
                conn.queue.skip();
                return;
            }
            let count = std::mem::take(&mut member.skipped);
            let to = session.grant.sender.participant.clone();
            let text = format!("{count} messages were left out because this connection was too slow.");
            self.say(now, id, endpoint, &to, &[], &text, None);
        }
    }
}

fn borrowed<'a>(chunk: &'a Chunk<Cow<'_, [u8]>>) -> Chunk<Body<'a>> {
    Chunk { start: chunk.start, total: chunk.total, body: Body::Borrowed(&chunk.body), flag: chunk.flag }
}

fn first_uri(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b' ').next().unwrap_or_default()
}

/// What the answer to a request needs.
fn receipt(head: &Head<'_>, success: Option<Success>) -> Receipt {
    Receipt {
        whole_path: false,
        tid: head.tid.into(),
        from_path: head.from_path.into(),
        failure_report: head.failure_report,
        success,
    }
}

/// The success report that is due once the message is complete.
fn success(head: &Head<'_>, taken: &Result<Taken, Refusal>) -> Option<Success> {
    let taken = taken.as_ref().ok()?;
    let len = taken.complete.filter(|_| head.success_report)?;
    Some(Success { message_id: head.message_id?.into(), len, about: taken.about.clone() })
}

fn is_cpim(content_type: &[u8]) -> bool {
    let main = content_type.split(|b| *b == b';').next().unwrap_or_default();
    main.trim_ascii().eq_ignore_ascii_case(b"message/cpim")
}

/// A session that may not send content may still send what is about content (SDP-11).
fn wrong_direction(session: &Session, content_type: &str) -> Option<Refusal> {
    let may = session.grant.terms.as_ref().is_none_or(|t| t.may_send);
    let about = ["application/im-iscomposing+xml", "message/imdn+xml"];
    (!may && !about.iter().any(|t| t.eq_ignore_ascii_case(content_type))).then_some(Refusal::WrongDirection)
}
