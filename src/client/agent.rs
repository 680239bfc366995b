//! A SIP user agent client as a machine: commands and messages in, messages and news out.
//!
//! It speaks to one server only, which is its outbound proxy: every message leaves on the one flow to
//! it. A dialog costs one entry of two tables and no timer once it stands, so tens of thousands share
//! one socket. Transactions are those of RFC 3261 §17 (client side); the server side needs no state,
//! because every answer here follows from the request and the dialog alone, so a repeated request gets
//! the same answer again.
//!
//! Touches: nothing; time and chance are arguments. Bounds: dialogs and transactions are made by the
//! owner's commands only, a peer can make none; every transaction ends after [`INVITE_WAIT`] at most.
//! Proved by: the tests in `agent_tests.rs`, with a virtual clock.

use super::call::{CallError, Transport};
use super::sip::{Incoming, Line, is_sip_uri, list, param, quote, quoted_text, uri};
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::Token;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// First interval of repetitions over UDP (RFC 3261 §17.1.1.1, T1).
const T1: Duration = Duration::from_millis(500);
/// Longest interval of repetitions of a request that is not INVITE (T2).
const T2: Duration = Duration::from_secs(4);
/// Without any response a transaction fails after this time (64 × T1).
pub(super) const RESPONSE_WAIT: Duration = Duration::from_secs(32);
/// From a provisional response to the final one (timer C of a proxy, so no proxy waits longer).
pub(super) const INVITE_WAIT: Duration = Duration::from_secs(180);
/// What we ask for when we subscribe, in seconds.
const SUBSCRIBE_SECONDS: u64 = 3600;
const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, UPDATE\r\n";

/// What the machine tells its owner. Every dialog is named by its Call-ID.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The call stands, ACK is sent; the answer's SDP.
    Answered(Token, String),
    /// The call or the subscription did not come about; the dialog is forgotten.
    Failed(Token, CallError),
    /// The other side ended the call, or it was lost; with the reason. The dialog is forgotten.
    Ended(Token, String),
    /// Our BYE was answered or given up; the dialog is forgotten.
    Gone(Token),
    /// The subscription stands.
    Subscribed(Token),
    /// A conference document came.
    Document(Token, Bytes),
    /// The subscription is over; the dialog is forgotten.
    Unsubscribed(Token, String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Call,
    Subscription,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The first request is under way.
    Opening,
    Up,
    /// BYE, or SUBSCRIBE with Expires 0, is under way or to be sent as soon as that is possible.
    Closing,
}

struct Dialog {
    kind: Kind,
    phase: Phase,
    /// The From header without tag.
    from: String,
    room: String,
    local_tag: Token,
    remote_tag: Option<String>,
    /// The remote target; the room until a Contact is known.
    target: Option<String>,
    routes: Vec<String>,
    cseq: u32,
    remote_cseq: Option<u32>,
}

#[derive(PartialEq, Eq)]
enum Progress {
    Calling,
    Proceeding,
    /// A final response other than 2xx came for INVITE; the ACK is kept for repetitions.
    Completed,
}

struct Transaction {
    dialog: Token,
    method: &'static str,
    progress: Progress,
    /// The request, or the ACK once completed.
    octets: Vec<u8>,
    interval: Duration,
    repeat: Option<Now>,
    expires: Now,
}

/// Code, phrase and further header lines of an answer.
type Reply = (u16, &'static str, String);

#[derive(Clone, Copy)]
enum Due {
    Transaction(Token),
    Refresh(Token),
}

/// The machine.
pub(super) struct Agent {
    /// Our end of the flow as it stands in Via and Contact: `host:port`.
    host: String,
    transport: Transport,
    entropy: Entropy,
    dialogs: HashMap<Token, Dialog>,
    transactions: HashMap<Token, Transaction>,
    timers: BTreeMap<(Now, u64), Due>,
    timers_made: u64,
    out: VecDeque<Vec<u8>>,
    news: VecDeque<News>,
}

impl Agent {
    pub(super) fn new(host: String, transport: Transport, entropy: Entropy) -> Self {
        Self {
            host,
            transport,
            entropy,
            dialogs: HashMap::new(),
            transactions: HashMap::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            out: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    /// The next message to send.
    pub(super) fn take_message(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next thing to tell.
    pub(super) fn take_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When [`Agent::wake`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Now> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Whether nothing is under way (calls may stand).
    pub(super) fn is_quiet(&self) -> bool {
        self.transactions.values().all(|t| t.progress == Progress::Completed)
    }

    /// Calls a room. The dialog's name, or why this cannot be tried.
    pub(super) fn invite(
        &mut self,
        now: Now,
        room: &str,
        from: &str,
        name: &str,
        offer: &str,
    ) -> Result<Token, CallError> {
        let from_header = from_header(room, from, name)?;
        let id = self.open(Kind::Call, from_header, room.to_string());
        let extra = format!("{ALLOW}Content-Type: application/sdp\r\n");
        self.send_request(now, id, "INVITE", &extra, offer);
        Ok(id)
    }

    /// Subscribes to the conference state of a call's room, in a dialog of its own (RFC 6665 §4.5).
    pub(super) fn subscribe(&mut self, now: Now, call: Token) -> Result<Token, CallError> {
        let Some(dialog) = self.dialogs.get(&call).filter(|d| d.phase == Phase::Up) else {
            return Err(CallError::Closed);
        };
        let (from, room) = (dialog.from.clone(), dialog.room.clone());
        let id = self.open(Kind::Subscription, from, room);
        self.send_subscribe(now, id, SUBSCRIBE_SECONDS);
        Ok(id)
    }

    /// Asks for the whole state of a subscription again.
    pub(super) fn refresh(&mut self, now: Now, id: Token) {
        if self.dialogs.get(&id).is_some_and(|d| d.kind == Kind::Subscription && d.phase == Phase::Up) {
            self.send_subscribe(now, id, SUBSCRIBE_SECONDS);
        }
    }

    /// Ends a call or a subscription. News of the end follow for a call that stood.
    pub(super) fn end(&mut self, now: Now, id: Token) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let before = std::mem::replace(&mut dialog.phase, Phase::Closing);
        match (dialog.kind, before) {
            // Without a dialog there is nothing to end yet: done when the answer comes.
            (_, Phase::Closing | Phase::Opening) => {}
            (Kind::Call, Phase::Up) => self.send_request(now, id, "BYE", "", ""),
            (Kind::Subscription, Phase::Up) => self.send_subscribe(now, id, 0),
        }
    }

    /// Takes one whole message from the server. What is no SIP is dropped.
    pub(super) fn receive(&mut self, now: Now, octets: &[u8]) {
        let Some(message) = Incoming::read(octets) else { return };
        match &message.line {
            Line::Request(method) => {
                let method = method.clone();
                self.on_request(&method, &message);
            }
            Line::Response(code, phrase) => {
                let (code, phrase) = (*code, phrase.clone());
                self.on_response(now, code, &phrase, &message);
            }
        }
    }

    /// The server's host said that nobody listens there: what had no response yet fails.
    pub(super) fn refused(&mut self, why: &str) {
        let silent: Vec<Token> = self
            .transactions
            .iter()
            .filter(|(_, t)| t.progress == Progress::Calling)
            .map(|(branch, _)| *branch)
            .collect();
        for branch in silent {
            self.fail(branch, &CallError::Connection(why.to_string()));
        }
    }

    /// The flow to the server is gone: every dialog ends.
    pub(super) fn lost(&mut self, why: &str) {
        self.transactions.clear();
        self.timers.clear();
        for (id, dialog) in self.dialogs.drain() {
            self.news.push_back(match (dialog.kind, dialog.phase) {
                (_, Phase::Opening) => News::Failed(id, CallError::Connection(why.to_string())),
                (Kind::Call, Phase::Up) => News::Ended(id, why.to_string()),
                (Kind::Call, Phase::Closing) => News::Gone(id),
                (Kind::Subscription, _) => News::Unsubscribed(id, why.to_string()),
            });
        }
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Now) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            match entry.remove() {
                Due::Transaction(branch) => self.transaction_due(now, branch),
                Due::Refresh(id) => self.refresh(now, id),
            }
        }
    }

    fn set_timer(&mut self, at: Now, due: Due) {
        self.timers_made += 1;
        self.timers.insert((at, self.timers_made), due);
    }

    fn transaction_due(&mut self, now: Now, branch: Token) {
        let Some(t) = self.transactions.get_mut(&branch) else { return };
        if t.expires <= now {
            if t.progress == Progress::Completed {
                self.transactions.remove(&branch);
            } else {
                self.fail(branch, &CallError::NoAnswer);
            }
            return;
        }
        // A timer may have been set before a response moved the deadlines: look only at what holds now.
        if t.repeat.is_none_or(|at| at > now) {
            return;
        }
        self.out.push_back(t.octets.clone());
        let doubled = t.interval * 2;
        t.interval = if t.method == "INVITE" { doubled } else { doubled.min(T2) };
        let next = now + t.interval;
        t.repeat = Some(next);
        self.set_timer(next, Due::Transaction(branch));
    }

    /// A transaction came to nothing without a final response.
    fn fail(&mut self, branch: Token, error: &CallError) {
        let Some(t) = self.transactions.remove(&branch) else { return };
        let Some(dialog) = self.dialogs.get(&t.dialog) else { return };
        let (id, opening) = (t.dialog, dialog.phase == Phase::Opening || dialog.remote_tag.is_none());
        if t.method == "INVITE" && t.progress == Progress::Proceeding {
            self.cancel(id, branch);
        }
        self.close(id, opening, error);
    }

    /// Forgets a dialog and tells.
    fn close(&mut self, id: Token, opening: bool, error: &CallError) {
        let Some(dialog) = self.dialogs.remove(&id) else { return };
        self.news.push_back(match dialog.kind {
            _ if opening => News::Failed(id, error.clone()),
            Kind::Call => News::Gone(id),
            Kind::Subscription => News::Unsubscribed(id, error.to_string()),
        });
    }

    fn open(&mut self, kind: Kind, from: String, room: String) -> Token {
        let id = self.entropy.token();
        let local_tag = self.entropy.token();
        self.dialogs.insert(
            id,
            Dialog {
                kind,
                phase: Phase::Opening,
                from,
                room,
                local_tag,
                remote_tag: None,
                target: None,
                routes: Vec::new(),
                cseq: 0,
                remote_cseq: None,
            },
        );
        id
    }
}

// ---- requests out -----------------------------------------------------------------------------

impl Agent {
    fn send_subscribe(&mut self, now: Now, id: Token, seconds: u64) {
        let extra = format!(
            "Event: conference\r\nAccept: application/conference-info+xml\r\nExpires: {seconds}\r\n{ALLOW}"
        );
        self.send_request(now, id, "SUBSCRIBE", &extra, "");
    }

    /// Sends a request with a transaction of its own.
    fn send_request(&mut self, now: Now, id: Token, method: &'static str, extra: &str, body: &str) {
        let branch = self.entropy.token();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.cseq += 1;
        let cseq = dialog.cseq;
        let contact = format!("Contact: <{}>\r\n", self.contact(id));
        let octets = self.render(id, method, cseq, branch, &format!("{contact}{extra}"), body);
        self.out.push_back(octets.clone());
        let expires = now + RESPONSE_WAIT;
        let repeat = (self.transport == Transport::Udp).then(|| now + T1);
        let transaction = Transaction {
            dialog: id,
            method,
            progress: Progress::Calling,
            octets,
            interval: T1,
            repeat,
            expires,
        };
        self.transactions.insert(branch, transaction);
        self.set_timer(expires, Due::Transaction(branch));
        if let Some(at) = repeat {
            self.set_timer(at, Due::Transaction(branch));
        }
    }

    /// Our own URI: the user part of the caller's address at this socket.
    fn contact(&self, id: Token) -> String {
        let user = self.dialogs.get(&id).map_or("", |d| {
            let address = uri(&d.from);
            let rest = address.split_once(':').map_or("", |(_, rest)| rest);
            rest.split_once('@').map_or("", |(user, _)| user)
        });
        let at = if user.is_empty() { "" } else { "@" };
        format!("sip:{user}{at}{}{}", self.host, self.transport.uri_parameter())
    }

    fn render(&self, id: Token, method: &str, cseq: u32, branch: Token, extra: &str, body: &str) -> Vec<u8> {
        let Some(d) = self.dialogs.get(&id) else { return Vec::new() };
        let target = d.target.as_deref().unwrap_or(&d.room);
        let to_tag = d.remote_tag.as_ref().map_or(String::new(), |t| format!(";tag={t}"));
        let routes: String = d.routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\n{routes}From: {};tag={}\r\nTo: <{}>{to_tag}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nUser-Agent: openmsrp/{}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            self.transport.name(),
            self.host,
            d.from,
            d.local_tag,
            d.room,
            env!("CARGO_PKG_VERSION"),
            body.len(),
        )
        .into_bytes()
    }

    /// The ACK of a 2xx: a transaction of its own without answer (RFC 3261 §13.2.2.4).
    fn acknowledge(&mut self, id: Token, cseq: u32) {
        let branch = self.entropy.token();
        let octets = self.render(id, "ACK", cseq, branch, "", "");
        self.out.push_back(octets);
    }

    fn cancel(&mut self, id: Token, branch: Token) {
        let cseq = self.dialogs.get(&id).map_or(1, |d| d.cseq);
        let octets = self.render(id, "CANCEL", cseq, branch, "", "");
        self.out.push_back(octets);
    }

    /// A 2xx to an INVITE that nobody waits for any more: acknowledged and ended (RFC 3261 §13.2.2.4).
    fn turn_away(&mut self, answer: &Incoming, cseq: u32) {
        let header = |name| answer.header(name).unwrap_or_default();
        let target = uri(header("Contact"));
        if !is_sip_uri(target) {
            return;
        }
        let routes: Vec<&str> = answer.all("Record-Route").flat_map(list).collect();
        let routes: String = routes.iter().rev().map(|r| format!("Route: {r}\r\n")).collect();
        for (method, cseq) in [("ACK", cseq), ("BYE", cseq.saturating_add(1))] {
            let text = format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{};rport\r\n\
                 Max-Forwards: 70\r\n{routes}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
                 Content-Length: 0\r\n\r\n",
                self.transport.name(),
                self.host,
                self.entropy.token(),
                header("From"),
                header("To"),
                header("Call-ID"),
            );
            self.out.push_back(text.into_bytes());
        }
    }
}

// ---- responses in -----------------------------------------------------------------------------

impl Agent {
    fn on_response(&mut self, now: Now, code: u16, phrase: &str, message: &Incoming) {
        let Some((cseq, method)) = message.cseq() else { return };
        let branch = message.header("Via").and_then(|v| param(v, "branch"));
        let Some(branch) = branch.and_then(|b| b.strip_prefix("z9hG4bK")).and_then(token) else { return };
        match (method, code) {
            ("INVITE", 200..=299) => self.on_invite_accepted(now, branch, cseq, message),
            ("INVITE" | "BYE" | "SUBSCRIBE", 100..=199) => self.on_provisional(now, branch, method),
            ("INVITE", _) => self.on_invite_refused(now, branch, code, phrase, message),
            ("BYE" | "SUBSCRIBE", _) => self.on_final(now, branch, code, phrase, message),
            _ => {}
        }
    }

    fn on_provisional(&mut self, now: Now, branch: Token, method: &str) {
        let Some(t) = self.transactions.get_mut(&branch) else { return };
        if t.progress != Progress::Calling || t.method != method {
            return;
        }
        t.progress = Progress::Proceeding;
        if method == "INVITE" {
            t.repeat = None;
            t.expires = now + INVITE_WAIT;
            let at = t.expires;
            self.set_timer(at, Due::Transaction(branch));
        } else {
            t.interval = T2;
        }
    }

    fn on_invite_accepted(&mut self, now: Now, branch: Token, cseq: u32, message: &Incoming) {
        let id = message.header("Call-ID").and_then(token);
        let to_tag = message.header("To").and_then(|to| param(to, "tag"));
        let known = id.and_then(|id| self.dialogs.get_mut(&id).map(|d| (id, d)));
        let Some((id, dialog)) = known.filter(|(_, d)| d.kind == Kind::Call) else {
            return self.turn_away(message, cseq);
        };
        if dialog.remote_tag.is_some() {
            // A repetition means that our ACK was lost; another tag is another callee of a fork.
            if dialog.remote_tag.as_deref() == to_tag {
                self.acknowledge(id, cseq);
            } else {
                self.turn_away(message, cseq);
            }
            return;
        }
        self.transactions.remove(&branch);
        dialog.learn(message, true);
        let closing = dialog.phase == Phase::Closing;
        dialog.phase = Phase::Up;
        let Some(tag) = to_tag else {
            self.close(id, true, &CallError::BadAnswer("the answer has no tag"));
            return;
        };
        dialog.remote_tag = Some(tag.to_string());
        self.acknowledge(id, cseq);
        let sdp = String::from_utf8(message.body.clone()).ok().filter(|s| !s.trim().is_empty());
        match sdp {
            _ if closing => self.end(now, id),
            Some(sdp) => self.news.push_back(News::Answered(id, sdp)),
            None => {
                let error = CallError::BadAnswer("the answer has no session description");
                self.news.push_back(News::Failed(id, error));
                self.end(now, id);
            }
        }
    }

    fn on_invite_refused(&mut self, now: Now, branch: Token, code: u16, phrase: &str, message: &Incoming) {
        let Some(t) = self.transactions.get_mut(&branch) else { return };
        if t.progress == Progress::Completed {
            self.out.push_back(t.octets.clone());
            return;
        }
        let id = t.dialog;
        let to_tag = message.header("To").and_then(|to| param(to, "tag")).map(str::to_string);
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.remote_tag = to_tag;
        }
        let Some(cseq) = self.dialogs.get(&id).map(|d| d.cseq) else { return };
        let ack = self.render(id, "ACK", cseq, branch, "", "");
        self.out.push_back(ack.clone());
        self.close(id, true, &refusal(code, phrase, message));
        if self.transport == Transport::Tcp {
            self.transactions.remove(&branch);
        } else if let Some(t) = self.transactions.get_mut(&branch) {
            t.progress = Progress::Completed;
            t.octets = ack;
            t.repeat = None;
            t.expires = now + RESPONSE_WAIT;
            self.set_timer(now + RESPONSE_WAIT, Due::Transaction(branch));
        }
    }

    /// A final response to BYE or SUBSCRIBE.
    fn on_final(&mut self, now: Now, branch: Token, code: u16, phrase: &str, message: &Incoming) {
        let Some(t) = self.transactions.remove(&branch) else { return };
        let id = t.dialog;
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let opening = dialog.kind == Kind::Subscription && t.method == "SUBSCRIBE" && dialog.cseq == 1;
        if t.method == "BYE" || !(200..300).contains(&code) {
            return self.close(id, opening, &refusal(code, phrase, message));
        }
        dialog.learn(message, true);
        if dialog.remote_tag.is_none() {
            let tag = message.header("To").and_then(|to| param(to, "tag"));
            dialog.remote_tag = tag.map(str::to_string);
        }
        match dialog.phase {
            Phase::Closing if opening => self.send_subscribe(now, id, 0),
            Phase::Closing => {
                self.close(id, false, &CallError::Closed);
            }
            Phase::Opening | Phase::Up => {
                dialog.phase = Phase::Up;
                let granted = message.header("Expires").and_then(|e| e.trim().parse().ok());
                let seconds: u64 = granted.unwrap_or(SUBSCRIBE_SECONDS).clamp(10, SUBSCRIBE_SECONDS);
                self.set_timer(now + Duration::from_secs(seconds * 4 / 5), Due::Refresh(id));
                if opening {
                    self.news.push_back(News::Subscribed(id));
                }
            }
        }
    }
}

// ---- requests in ------------------------------------------------------------------------------

impl Agent {
    fn on_request(&mut self, method: &str, request: &Incoming) {
        if method == "ACK" {
            return;
        }
        let tag = self.entropy.token().to_string();
        let to_tag = request.header("To").and_then(|to| param(to, "tag"));
        let (code, phrase, extra) = match (self.find(request), request.cseq()) {
            (_, None) => (400, "Bad CSeq", String::new()),
            (None, _) => match (method, to_tag) {
                ("OPTIONS", None) => (200, "OK", ALLOW.to_string()),
                ("INVITE", None) => (480, "Calls are not taken here", String::new()),
                _ => (481, "Call/Transaction Does Not Exist", String::new()),
            },
            (Some(id), Some((cseq, _))) => self.in_dialog(id, cseq, method, request),
        };
        self.out.push_back(request.response(code, phrase, &tag, &extra));
    }

    /// The dialog a request belongs to: by Call-ID and both tags. A NOTIFY may come before the
    /// answer to SUBSCRIBE (RFC 6665 §4.1.2.4), then the remote tag is not known yet.
    fn find(&self, request: &Incoming) -> Option<Token> {
        let id = token(request.header("Call-ID")?)?;
        let dialog = self.dialogs.get(&id)?;
        let ours = param(request.header("To")?, "tag")?.as_bytes() == dialog.local_tag.as_bytes();
        let theirs = param(request.header("From")?, "tag")?;
        (ours && dialog.remote_tag.as_deref().is_none_or(|t| t == theirs)).then_some(id)
    }

    fn in_dialog(&mut self, id: Token, cseq: u32, method: &str, request: &Incoming) -> Reply {
        let none = String::new();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return (481, "No such call", none) };
        if dialog.remote_cseq.is_some_and(|last| cseq < last) {
            return (500, "CSeq out of order", none);
        }
        let repeated = dialog.remote_cseq.replace(cseq) == Some(cseq);
        match (method, dialog.kind) {
            ("BYE", Kind::Call) if dialog.phase != Phase::Opening => {
                let closing = dialog.phase == Phase::Closing;
                self.dialogs.remove(&id);
                let reason =
                    request.header("Reason").map(|r| quoted_text(r).unwrap_or_else(|| r.to_string()));
                let reason = reason.unwrap_or_else(|| "the server ended the call".to_string());
                self.news.push_back(if closing { News::Gone(id) } else { News::Ended(id, reason) });
                (200, "OK", none)
            }
            ("NOTIFY", Kind::Subscription) => {
                if !repeated {
                    self.on_notify(id, request);
                }
                (200, "OK", none)
            }
            ("OPTIONS", _) => (200, "OK", ALLOW.to_string()),
            ("UPDATE", Kind::Call) if request.body.is_empty() => {
                (200, "OK", format!("Contact: <{}>\r\n", self.contact(id)))
            }
            ("INVITE" | "UPDATE", Kind::Call) => (488, "Not Acceptable Here", none),
            ("NOTIFY" | "BYE" | "CANCEL", _) => (481, "Call/Transaction Does Not Exist", none),
            _ => (405, "Method Not Allowed", ALLOW.to_string()),
        }
    }

    fn on_notify(&mut self, id: Token, request: &Incoming) {
        if !request.body.is_empty() {
            self.news.push_back(News::Document(id, Bytes::copy_from_slice(&request.body)));
        }
        let state = request.header("Subscription-State").unwrap_or_default();
        if state.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("terminated") {
            let why = param(state, "reason").unwrap_or("the server ended the subscription").to_string();
            self.dialogs.remove(&id);
            self.news.push_back(News::Unsubscribed(id, why));
        } else if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.learn(request, false);
            if dialog.remote_tag.is_none() {
                let tag = request.header("From").and_then(|from| param(from, "tag"));
                dialog.remote_tag = tag.map(str::to_string);
            }
        }
    }
}

impl Dialog {
    /// Takes remote target and route set from the message that makes the dialog (RFC 3261 §12.1).
    fn learn(&mut self, message: &Incoming, is_response: bool) {
        let contact = message.header("Contact").map(uri).filter(|u| is_sip_uri(u));
        if let Some(contact) = contact {
            self.target = Some(contact.to_string());
        }
        if self.remote_tag.is_none() {
            self.routes = message.all("Record-Route").flat_map(list).map(str::to_string).collect();
            if is_response {
                self.routes.reverse();
            }
        }
    }
}

fn from_header(room: &str, from: &str, name: &str) -> Result<String, CallError> {
    if let Some(bad) = [room, from].into_iter().find(|u| !is_sip_uri(u)) {
        return Err(CallError::BadAddress(bad.to_string()));
    }
    Ok(if name.is_empty() { format!("<{from}>") } else { format!("{} <{from}>", quote(name)) })
}

fn refusal(code: u16, phrase: &str, message: &Incoming) -> CallError {
    CallError::Refused {
        code,
        phrase: phrase.to_string(),
        warning: message.header("Warning").map(|w| quoted_text(w).unwrap_or_else(|| w.to_string())),
    }
}

/// A name that we made, back from the wire.
fn token(text: &str) -> Option<Token> {
    text.trim().as_bytes().try_into().ok().map(Token)
}
