//! The MSRP side of one endpoint in a room as a machine: octets and messages in, octets and news out.
//!
//! ```text
//!  say, hint ──▶ waiting ──▶ sending ──▶ output ──▶ (socket) ──▶ wrote: the answer timers start
//!                        ▲ cut with `+` when an answer or report waits (RFC 4975 §7.1.1)
//!  receive ──▶ Framer ──▶ Assembly ──▶ News::Message, and the answer
//! ```
//!
//! A message is cut only where something more urgent waits: there are clients that cannot join chunks.
//!
//! Touches: nothing; time and chance are arguments. Bounds: [`UNANSWERED_MAX`] requests without answer,
//! [`OUTPUT_BYTES`] octets ready to be written, what `assembly.rs` and the framer keep; messages waiting to
//! be sent are the owner's to bound by [`Endpoint::waiting`].
//! Proved by: `endpoint_tests.rs`, with a virtual clock.

mod receiving;

use super::assembly::Assembly;
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::Token;
use crate::wire::msrp::encode::{
    TailHead, end_line, holds_end_line, nickname, preamble, send, send_start, send_tail_head,
};
use crate::wire::msrp::frame::Framer;
use crate::wire::msrp::head::{FailureReport, Head};
use crate::wire::msrp::range::ByteRange;
use bytes::{Buf, BytesMut};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// An answer that did not come within this time will not come (RFC 4975 §7.1.1, MSRP-TXN-06).
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// After this time without an octet from the switch it is asked for a sign of life.
pub(super) const QUIET_WAIT: Duration = Duration::from_secs(60);

/// A chunk longer than this says `*` for its end and may be cut (RFC 4975 §7.1.1, MSRP-CHUNK-04).
pub(super) const CHUNK_BYTES_UNCUT_MAX: usize = 2048;

/// Requests whose answer is outstanding. Beyond: new messages wait.
const UNANSWERED_MAX: usize = 1024;

/// Octets made ready for the socket ahead of time: an answer waits behind so many at most.
const OUTPUT_BYTES: usize = 16 * 1024;

/// Octets of answers and reports that wait. Beyond: the switch is not read.
const URGENT_BYTES: usize = 256 * 1024;

/// Messages accepted so far that a late failure REPORT can still be matched to.
const REPORTABLE_MAX: usize = 256;

/// What the machine tells its owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The switch answered our first request: the session is bound.
    Bound,
    /// A whole message came: the octets of a readable CPIM wrapper.
    Message(Vec<u8>),
    /// The switch took the message, or the nickname.
    Accepted(u64),
    /// The switch counted who has the message: so many of so many, or nobody could count.
    Counted { message: u64, count: Option<(u32, u32)> },
    /// The switch refused the message or nickname, reported its failure, or did not answer (408).
    Refused { message: u64, code: u16, comment: String },
    /// The session is of no further use.
    Lost(String),
}

/// What waits for its turn.
enum Outgoing {
    Message(Sending),
    /// A NICKNAME request, small and never cut (CHAT-NICK-01).
    Nickname {
        number: u64,
        name: String,
    },
}

impl Outgoing {
    fn is(&self, wanted: u64) -> bool {
        match self {
            Self::Message(Sending { number, .. }) => *number == Some(wanted),
            Self::Nickname { number, .. } => *number == wanted,
        }
    }

    /// Part of it is on its way.
    fn is_open(&self) -> bool {
        matches!(self, Self::Message(Sending { chunk: Some(_), .. }))
    }
}

/// A message to be sent.
struct Sending {
    /// `None`: nobody wants to know what becomes of it, and nobody tells.
    number: Option<u64>,
    /// The switch is asked to count who has it.
    counted: bool,
    id: Token,
    octets: Vec<u8>,
    /// Octets that were put into chunks.
    at: usize,
    /// The chunk under way.
    chunk: Option<Token>,
}

/// What became of a message so far.
struct Sent {
    /// Chunks without answer.
    unanswered: usize,
    /// The last chunk is on its way.
    whole: bool,
}

/// What an answer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Binding,
    SignOfLife,
    Message(u64),
    Nickname(u64),
}

/// A request in the order of the wire, to time its answer.
struct Timed {
    tid: Token,
    /// Position of its end in the stream of octets that we sent.
    end: u64,
    /// Set when the octets were handed to the system.
    deadline: Option<Now>,
}

/// The SEND under way into us.
struct Incoming {
    tid: Vec<u8>,
    to_path: Vec<u8>,
    whole_from: Vec<u8>,
    message_id: Vec<u8>,
    failure_report: FailureReport,
    success_report: bool,
    has_body: bool,
    /// An answer other than 200 that is already clear; `None` inside once it was sent.
    verdict: Option<(u16, &'static str)>,
    /// The answer is out, the rest is swallowed (MSRP-TXN-10).
    answered: bool,
    /// Requests that are never answered, or answered to be unknown.
    silent: bool,
}

/// The machine.
pub(super) struct Endpoint {
    local: String,
    remote: String,
    preamble: Box<[u8]>,
    entropy: Entropy,
    framer: Framer,
    unread: BytesMut,
    incoming: Option<Incoming>,
    assembly: Assembly,
    waiting: VecDeque<Outgoing>,
    sent: HashMap<u64, Sent>,
    reportable: VecDeque<(Token, u64)>,
    unanswered: HashMap<Token, Purpose>,
    timed: VecDeque<Timed>,
    /// Answers and reports that go out as soon as the chunk under way allows.
    urgent: Vec<u8>,
    /// Requests within `urgent`, with their ends in it.
    urgent_ends: Vec<(Token, usize)>,
    output: BytesMut,
    /// Octets ever put into `output`, and ever taken by the system.
    queued: u64,
    wrote: u64,
    heard: Now,
    bound: bool,
    lost: bool,
    news: VecDeque<News>,
}

impl Endpoint {
    /// A session between our path and the switch's; begins with the request that binds it.
    pub(super) fn new(now: Now, local: &str, remote: &str, message_bytes_max: u64, entropy: Entropy) -> Self {
        let mut endpoint = Self {
            local: local.to_string(),
            remote: remote.to_string(),
            preamble: preamble(remote.as_bytes(), local.as_bytes()),
            entropy,
            framer: Framer::default(),
            unread: BytesMut::new(),
            incoming: None,
            assembly: Assembly::new(message_bytes_max),
            waiting: VecDeque::new(),
            sent: HashMap::new(),
            reportable: VecDeque::new(),
            unanswered: HashMap::new(),
            timed: VecDeque::new(),
            urgent: Vec::new(),
            urgent_ends: Vec::new(),
            output: BytesMut::new(),
            queued: 0,
            wrote: 0,
            heard: now,
            bound: false,
            lost: false,
            news: VecDeque::new(),
        };
        endpoint.ping(Purpose::Binding);
        endpoint
    }

    /// Sends a message/cpim. News speak of it by `number`, which no other message may have.
    pub(super) fn say(&mut self, number: u64, octets: Vec<u8>) {
        self.queue(number, octets, false);
    }

    /// The same, and the switch is asked to tell how many have it.
    pub(super) fn say_counted(&mut self, number: u64, octets: Vec<u8>) {
        self.queue(number, octets, true);
    }

    fn queue(&mut self, number: u64, octets: Vec<u8>, counted: bool) {
        let id = self.entropy.token();
        let sending = Sending { number: Some(number), counted, id, octets, at: 0, chunk: None };
        self.waiting.push_back(Outgoing::Message(sending));
        self.sent.insert(number, Sent { unanswered: 0, whole: false });
        if self.reportable.len() >= REPORTABLE_MAX {
            self.reportable.pop_front();
        }
        self.reportable.push_back((id, number));
    }

    /// Sends a message/cpim of which nothing is to be heard again; not at all while more than so many others wait
    /// (COMP-01).
    pub(super) fn hint(&mut self, octets: Vec<u8>, behind: usize) {
        if self.bound && self.waiting.len() <= behind {
            let id = self.entropy.token();
            let sending = Sending { number: None, counted: false, id, octets, at: 0, chunk: None };
            self.waiting.push_back(Outgoing::Message(sending));
        }
    }

    /// Asks for a nickname, or with an empty one to have none. News speak of it as of a message.
    pub(super) fn nickname(&mut self, number: u64, name: &str) {
        self.waiting.push_back(Outgoing::Nickname { number, name: name.to_string() });
    }

    /// Messages and nicknames that are not yet, or not wholly, on their way.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the switch asks more than it takes answers: then it is not to be read until it does.
    pub(super) fn clogged(&self) -> bool {
        self.urgent.len() > URGENT_BYTES
    }

    /// The next thing to tell.
    pub(super) fn take_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Octets for the socket; call [`Endpoint::wrote`] with how many it took.
    pub(super) fn output(&mut self) -> &[u8] {
        self.fill();
        &self.output
    }

    /// The system took so many octets of the output: what ends in them is being answered from now on.
    pub(super) fn wrote(&mut self, now: Now, octets: usize) {
        self.output.advance(octets);
        self.wrote += octets as u64;
        let wrote = self.wrote;
        let started = self.timed.iter_mut().take_while(|t| t.end <= wrote);
        for timed in started.filter(|t| t.deadline.is_none()) {
            timed.deadline = Some(now + ANSWER_WAIT);
        }
    }

    /// When [`Endpoint::wake`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Now> {
        if self.lost {
            return None;
        }
        let answer =
            self.timed.iter().find(|t| self.unanswered.contains_key(&t.tid)).and_then(|t| t.deadline);
        let quiet = self.bound.then(|| self.heard + QUIET_WAIT).filter(|_| !self.asked_for_life());
        [answer, quiet, self.assembly.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Now) {
        while let Some(timed) = self.timed.front() {
            let answered = !self.unanswered.contains_key(&timed.tid);
            if !answered && timed.deadline.is_none_or(|at| at > now) {
                break;
            }
            let tid = timed.tid;
            self.timed.pop_front();
            if let Some(purpose) = self.unanswered.remove(&tid) {
                self.failed(purpose, 408, "no answer within 30 seconds");
            }
        }
        self.assembly.wake(now);
        if self.bound && !self.lost && !self.asked_for_life() && self.heard + QUIET_WAIT <= now {
            self.ping(Purpose::SignOfLife);
        }
    }

    fn asked_for_life(&self) -> bool {
        self.unanswered.values().any(|p| *p == Purpose::SignOfLife)
    }

    fn lose(&mut self, why: String) {
        if !self.lost {
            self.lost = true;
            self.news.push_back(News::Lost(why));
        }
    }
}

// ---- sending ----------------------------------------------------------------------------------

impl Endpoint {
    /// A SEND without body (MSRP-CHUNK-03): binds the session, or asks for a sign of life.
    fn ping(&mut self, purpose: Purpose) {
        let tid = self.entropy.token();
        let id = self.entropy.token();
        let tail = TailHead {
            message_id: id.as_bytes(),
            range: ByteRange { start: 1, end: Some(0), total: Some(0) },
            failure_report: FailureReport::Yes,
            success_report: false,
            content_type: None,
        };
        send(&mut self.urgent, tid.as_bytes(), &self.preamble, &tail, b"", Flag::End);
        self.unanswered.insert(tid, purpose);
        self.urgent_ends.push((tid, self.urgent.len()));
    }

    /// Makes octets ready, the urgent ones first.
    fn fill(&mut self) {
        while self.output.len() < OUTPUT_BYTES {
            let open = self.waiting.front().is_some_and(Outgoing::is_open);
            if !self.urgent.is_empty() {
                if open {
                    self.end_chunk(Flag::More);
                }
                self.flush_urgent();
            } else if open {
                self.add_to_chunk();
            } else if self.bound && !self.waiting.is_empty() && self.unanswered.len() < UNANSWERED_MAX {
                self.begin();
            } else {
                return;
            }
        }
    }

    fn put(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
        self.queued += octets.len() as u64;
    }

    fn flush_urgent(&mut self) {
        let base = self.queued;
        let urgent = std::mem::take(&mut self.urgent);
        self.put(&urgent);
        for (tid, end) in std::mem::take(&mut self.urgent_ends) {
            self.timed.push_back(Timed { tid, end: base + end as u64, deadline: None });
        }
    }

    /// Begins with what waits first.
    fn begin(&mut self) {
        if let Some(Outgoing::Nickname { number, name }) =
            self.waiting.pop_front_if(|first| matches!(first, Outgoing::Nickname { .. }))
        {
            self.ask_for_nickname(number, &name);
        } else {
            self.begin_chunk();
        }
    }

    fn ask_for_nickname(&mut self, number: u64, name: &str) {
        let tid = self.entropy.token();
        let mut request = Vec::with_capacity(512);
        nickname(&mut request, tid.as_bytes(), self.remote.as_bytes(), self.local.as_bytes(), name);
        self.put(&request);
        self.unanswered.insert(tid, Purpose::Nickname(number));
        self.timed.push_back(Timed { tid, end: self.queued, deadline: None });
    }

    fn begin_chunk(&mut self) {
        let Some(Outgoing::Message(message)) = self.waiting.front_mut() else { return };
        let rest = &message.octets[message.at..];
        let mut tid = self.entropy.token();
        while holds_end_line(rest, tid.as_bytes()) {
            tid = self.entropy.token();
        }
        let total = message.octets.len() as u64;
        let tail = TailHead {
            message_id: message.id.as_bytes(),
            range: ByteRange {
                start: message.at as u64 + 1,
                end: (rest.len() <= CHUNK_BYTES_UNCUT_MAX).then_some(total),
                total: Some(total),
            },
            failure_report: if message.number.is_some() { FailureReport::Yes } else { FailureReport::No },
            success_report: false,
            content_type: Some(b"message/cpim"),
        };
        let mut head = Vec::with_capacity(512);
        send_start(&mut head, tid.as_bytes());
        head.extend_from_slice(&self.preamble);
        if message.counted {
            head.extend_from_slice(b"Delivery-Count: yes\r\n");
        }
        send_tail_head(&mut head, &tail);
        message.chunk = Some(tid);
        let (number, uncut) = (message.number, rest.len() <= CHUNK_BYTES_UNCUT_MAX);
        if let Some(number) = number {
            if let Some(sent) = self.sent.get_mut(&number) {
                sent.unanswered += 1;
            }
            self.unanswered.insert(tid, Purpose::Message(number));
        }
        self.put(&head);
        if uncut {
            // Its end is promised: nothing may come between.
            self.add_to_chunk();
        }
    }

    /// Adds octets to the chunk under way and ends it with the message.
    fn add_to_chunk(&mut self) {
        let Some(Outgoing::Message(message)) = self.waiting.front_mut() else { return };
        let room = OUTPUT_BYTES.saturating_sub(self.output.len()).max(CHUNK_BYTES_UNCUT_MAX);
        let end = message.octets.len().min(message.at + room);
        let piece = &message.octets[message.at..end];
        self.output.extend_from_slice(piece);
        self.queued += piece.len() as u64;
        message.at = end;
        if end == message.octets.len() {
            self.end_chunk(Flag::End);
        }
    }

    fn end_chunk(&mut self, flag: Flag) {
        let Some(Outgoing::Message(message)) = self.waiting.front_mut() else { return };
        let Some(tid) = message.chunk.take() else { return };
        let number = message.number;
        let mut line = Vec::with_capacity(32);
        end_line(&mut line, tid.as_bytes(), flag, true);
        self.put(&line);
        if number.is_some() {
            self.timed.push_back(Timed { tid, end: self.queued, deadline: None });
        }
        if flag != Flag::More {
            self.waiting.pop_front();
            if let Some(sent) = number.and_then(|number| self.sent.get_mut(&number)) {
                sent.whole = true;
            }
        }
    }

    /// A request was answered with an error, or not at all.
    fn failed(&mut self, purpose: Purpose, code: u16, comment: &str) {
        match purpose {
            Purpose::Binding => {
                let why = format!("the switch refused the session: {code} {comment}");
                self.lose(why.trim_end().to_string());
            }
            Purpose::SignOfLife => self.lose(format!("the switch gave no sign of life: {code} {comment}")),
            Purpose::Message(number) => self.refused(number, code, comment),
            Purpose::Nickname(message) => {
                self.news.push_back(News::Refused { message, code, comment: comment.to_string() });
            }
        }
    }

    /// A message failed: told once, and what is left of it is not sent (MSRP-CHUNK-11).
    fn refused(&mut self, number: u64, code: u16, comment: &str) {
        let reportable = self.reportable.len();
        self.reportable.retain(|(_, n)| *n != number);
        let reported = reportable > self.reportable.len();
        if self.sent.remove(&number).is_none() && !reported {
            return;
        }
        if let Some(at) = self.waiting.iter().position(|m| m.is(number)) {
            if self.waiting[at].is_open() {
                self.end_chunk(Flag::Abort);
            } else {
                self.waiting.remove(at);
            }
        }
        self.news.push_back(News::Refused { message: number, code, comment: comment.to_string() });
    }

    fn on_response(&mut self, tid: &[u8], code: u16, comment: &[u8]) {
        let Ok(tid) = tid.try_into().map(Token) else { return };
        let Some(purpose) = self.unanswered.remove(&tid) else { return };
        while self.timed.front().is_some_and(|t| !self.unanswered.contains_key(&t.tid)) {
            self.timed.pop_front();
        }
        let good = (200..300).contains(&code);
        match purpose {
            Purpose::Binding if good => {
                self.bound = true;
                self.news.push_back(News::Bound);
            }
            Purpose::SignOfLife if good => {}
            Purpose::Nickname(number) if good => self.news.push_back(News::Accepted(number)),
            Purpose::Message(number) if good => {
                // A message that failed already is not spoken of again.
                let Some(sent) = self.sent.get_mut(&number) else { return };
                sent.unanswered -= 1;
                if sent.whole && sent.unanswered == 0 {
                    self.sent.remove(&number);
                    self.news.push_back(News::Accepted(number));
                }
            }
            purpose => self.failed(purpose, code, &String::from_utf8_lossy(comment)),
        }
    }

    /// A REPORT about one of our messages: a count that was asked for, or a failure, which may follow a 200.
    /// Whatever octets it names, it is about the whole message (MSRP-REP-06). `raw`: its head as it came.
    fn on_report(&mut self, head: &Head<'_>, raw: &[u8]) {
        let Some(status) = head.status.filter(|s| s.namespace == 0) else { return };
        let about = self.reportable.iter().find(|(id, _)| Some(id.as_bytes()) == head.message_id);
        let Some(&(_, number)) = about else { return };
        if !(200..300).contains(&status.code) {
            self.refused(number, status.code, &String::from_utf8_lossy(status.text));
        } else if let Some(count) = count(raw) {
            self.news.push_back(News::Counted { message: number, count });
        }
    }
}

/// The value of the header `Delivery-Count` in the head of a REPORT: `K/N`, or `unknown`.
fn count(head: &[u8]) -> Option<Option<(u32, u32)>> {
    const NAME: &[u8] = b"Delivery-Count:";
    let lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).skip(1).take_while(|l| !l.is_empty());
    let mut found = lines.filter(|l| l.get(..NAME.len()).is_some_and(|n| n.eq_ignore_ascii_case(NAME)));
    let value = std::str::from_utf8(&found.next()?[NAME.len()..]).ok()?;
    if value.trim().eq_ignore_ascii_case("unknown") {
        return Some(None);
    }
    let (received, recipients) = value.trim().split_once('/')?;
    let number = |n: &str| n.bytes().all(|b| b.is_ascii_digit()).then(|| n.parse::<u32>().ok()).flatten();
    let (received, recipients) = (number(received)?, number(recipients)?);
    (received <= recipients).then_some(Some((received, recipients)))
}
