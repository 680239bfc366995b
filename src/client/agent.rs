//! A SIP user agent client as a machine: commands and messages in, messages and news out.
//!
//! It speaks to one server only, which is its outbound proxy: every message leaves on the one flow to
//! it. A dialog costs one entry of two tables and no timer once it stands, so tens of thousands share
//! one socket. Transactions are those of RFC 3261 §17 (client side); the server side needs no state,
//! because every answer here follows from the request and the dialog alone, so a repeated request gets
//! the same answer again.
//!
//! Touches: nothing; time and chance are arguments. Bounds: dialogs and transactions are made by the
//! owner's commands only, a peer can make none; every transaction ends after [`INVITE_WAIT`] at most, and is
//! tried again only as often as `account.rs` allows.
//! Proved by: the tests in `agent_tests.rs`, with a virtual clock.

mod incoming;
mod within;

use super::account::{Account, Proofs, RoomPassword};
use super::call::{CallError, Invite, Step};
use super::sidebar::Sidebar;
use super::sip::{Incoming, Line, NOBODY, is_sip_uri, is_sips, list, quote, uri};
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
/// What asks that the others do not learn who calls (RFC 3323 §4.2, RFC 3325 §9.3).
const PRIVATE: &str = "Privacy: id\r\n";
const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, UPDATE\r\n";

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Datagrams: what is not answered is repeated.
    Udp,
    /// A connection.
    Tcp,
    /// A connection that is secured.
    Tls,
}

impl Way {
    /// As it stands in a Via.
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As it stands in our Contact; UDP is the default. For TLS the parameter is deprecated (RFC 3261 §26.2.2), yet it
    /// is what tells the servers there are to come back on this connection: `sips` would demand TLS on every hop of
    /// a dialog that was begun without (RFC 5630 §5.1.1.2), and TCP would have them open a connection in the clear.
    fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
        }
    }

    /// Whether nothing is lost on the way, so that nothing is repeated (RFC 3261 §17).
    fn is_reliable(self) -> bool {
        self != Self::Udp
    }
}

/// What the server says to an INVITE that it accepts.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The session description.
    pub(crate) sdp: String,
    /// Who we are there, if it says so: a further address of ours (P-Associated-URI, RFC 7315 §4.1), or an
    /// anonymous P-Asserted-Identity.
    pub(crate) identity: Option<String>,
    /// What a Warning header adds.
    pub(crate) warning: Option<String>,
    /// Where the room wants to be called in this dialog.
    pub(crate) contact: Option<String>,
}

/// How a call is made, besides who calls whom.
#[derive(Clone, Default, Debug)]
pub(super) struct Manner {
    /// Who answers challenges.
    pub(super) account: Option<Account>,
    /// The others shall not learn who calls (RFC 3323).
    pub(super) anonymous: bool,
    pub(super) room_password: RoomPassword,
    /// The call is to open one.
    pub(super) sidebar: Option<Sidebar>,
}

/// What the machine tells its owner. Every dialog is named by its Call-ID.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The call stands, ACK is sent.
    Answered(Token, Answer),
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
    /// What became of a re-INVITE, by its number.
    Revised(Token, u64, Result<Answer, CallError>),
    /// What became of a REFER, by its number: the server will try, or not.
    Referred(Token, u64, Result<(), CallError>),
    /// How far it is.
    Progress(Token, u64, Step),
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
    /// The header line that asks for privacy, or nothing.
    privacy: &'static str,
    account: Option<Account>,
    room_password: RoomPassword,
    room: String,
    local_tag: Token,
    remote_tag: Option<String>,
    /// The remote target; the room until a Contact is known.
    target: Option<String>,
    routes: Vec<String>,
    cseq: u32,
    remote_cseq: Option<u32>,
    /// A first request was accepted.
    stood: bool,
    /// REFERs whose outcome is not known: CSeq and the owner's number.
    referred: Vec<(u32, u64)>,
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
    asked: Asked,
    progress: Progress,
    /// The request, or the ACK once completed.
    octets: Vec<u8>,
    interval: Duration,
    repeat: Option<Now>,
    expires: Now,
}

/// A request as it can be sent once more.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    /// The owner's number for it, if it has one.
    number: u64,
    /// Header lines of its own.
    extra: String,
    body: String,
    /// `None`: nobody here knows a password.
    proofs: Option<Proofs>,
}

#[derive(Clone, Copy)]
enum Due {
    Transaction(Token),
    Refresh(Token),
    /// No further news of a REFER are to be expected.
    Reference(Token, u64),
}

impl Transaction {
    /// No final response came yet.
    fn is_open(&self) -> bool {
        self.progress != Progress::Completed
    }
}

/// The machine.
pub(super) struct Agent {
    /// Our end of the flow as it stands in Via and Contact: `host:port`.
    host: String,
    way: Way,
    entropy: Entropy,
    dialogs: HashMap<Token, Dialog>,
    transactions: HashMap<Token, Transaction>,
    timers: BTreeMap<(Now, u64), Due>,
    timers_made: u64,
    out: VecDeque<Vec<u8>>,
    news: VecDeque<News>,
}

impl Agent {
    pub(super) fn new(host: String, way: Way, entropy: Entropy) -> Self {
        Self {
            host,
            way,
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
    pub(super) fn invite(&mut self, now: Now, ask: &Invite<'_>, manner: &Manner) -> Result<Token, CallError> {
        let from = from_header(ask, manner)?;
        if let Some(bad) = manner.sidebar.as_ref().and_then(Sidebar::bad) {
            return Err(CallError::BadAddress(bad.clone()));
        }
        let privacy = if manner.anonymous { PRIVATE } else { "" };
        let (account, password) = (manner.account.clone(), manner.room_password.clone());
        let id = self.open(Kind::Call, from, privacy, ask.room.to_string(), account, password);
        let (content, body) = match &manner.sidebar {
            Some(sidebar) => sidebar.request(ask.offer, &self.entropy.token().to_string()),
            None => ("Content-Type: application/sdp\r\n".to_string(), ask.offer.to_string()),
        };
        let extra = format!("{privacy}{}{ALLOW}{content}", manner.room_password.line());
        self.send_request(now, id, "INVITE", 0, &extra, &body);
        Ok(id)
    }

    /// Subscribes to the conference state of a call's room, or of `other`, as whoever made the call, in a dialog of
    /// its own (RFC 6665 §4.5).
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        call: Token,
        other: Option<String>,
    ) -> Result<Token, CallError> {
        let Some(dialog) = self.dialogs.get(&call).filter(|d| d.phase == Phase::Up) else {
            return Err(CallError::Closed);
        };
        let (from, account) = (dialog.from.clone(), dialog.account.clone());
        // Who hides is not known to be in the room, and says its password once more. It is nobody else's.
        let password = if other.is_none() { dialog.room_password.clone() } else { RoomPassword::default() };
        let room = other.unwrap_or_else(|| dialog.room.clone());
        let id = self.open(Kind::Subscription, from, dialog.privacy, room, account, password);
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
            (Kind::Call, Phase::Up) => self.send_request(now, id, "BYE", 0, "", ""),
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
                Due::Reference(id, number) => self.reference_due(id, number),
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
        t.interval = if t.asked.method == "INVITE" { doubled } else { doubled.min(T2) };
        let next = now + t.interval;
        t.repeat = Some(next);
        self.set_timer(next, Due::Transaction(branch));
    }

    /// A transaction came to nothing without a final response.
    fn fail(&mut self, branch: Token, error: &CallError) {
        let Some(t) = self.transactions.remove(&branch) else { return };
        if self.dialogs.get(&t.dialog).is_some_and(|d| d.stood) && self.failed_within(&t, error) {
            return;
        }
        let Some(dialog) = self.dialogs.get(&t.dialog) else { return };
        let (id, opening) = (t.dialog, dialog.phase == Phase::Opening || dialog.remote_tag.is_none());
        if t.asked.method == "INVITE" && t.progress == Progress::Proceeding {
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

    fn open(
        &mut self,
        kind: Kind,
        from: String,
        privacy: &'static str,
        room: String,
        account: Option<Account>,
        room_password: RoomPassword,
    ) -> Token {
        let id = self.entropy.token();
        let local_tag = self.entropy.token();
        self.dialogs.insert(
            id,
            Dialog {
                kind,
                phase: Phase::Opening,
                from,
                privacy,
                account,
                room_password,
                room,
                local_tag,
                remote_tag: None,
                target: None,
                routes: Vec::new(),
                cseq: 0,
                remote_cseq: None,
                stood: false,
                referred: Vec::new(),
            },
        );
        id
    }
}

// ---- requests out -----------------------------------------------------------------------------

impl Agent {
    fn send_subscribe(&mut self, now: Now, id: Token, seconds: u64) {
        let (privacy, password) =
            self.dialogs.get(&id).map_or(("", ""), |d| (d.privacy, d.room_password.line()));
        let extra = format!(
            "{privacy}{password}Event: conference\r\nAccept: application/conference-info+xml\r\nExpires: {seconds}\r\n{ALLOW}"
        );
        self.send_request(now, id, "SUBSCRIBE", 0, &extra, "");
    }

    /// Sends a request with a transaction of its own.
    fn send_request(
        &mut self,
        now: Now,
        id: Token,
        method: &'static str,
        number: u64,
        extra: &str,
        body: &str,
    ) {
        let proofs = self.dialogs.get(&id).and_then(|d| d.account.clone()).map(Proofs::new);
        let asked = Asked { method, number, extra: extra.to_string(), body: body.to_string(), proofs };
        self.send_asked(now, id, asked);
    }

    fn send_asked(&mut self, now: Now, id: Token, mut asked: Asked) {
        let (branch, cnonce) = (self.entropy.token(), self.entropy.token());
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.cseq += 1;
        let cseq = dialog.cseq;
        if asked.method == "REFER" {
            dialog.referred.push((cseq, asked.number));
        }
        let target = dialog.target.as_deref().unwrap_or(&dialog.room);
        let proofs = asked.proofs.as_mut();
        let proofs = proofs.map(|p| p.lines(asked.method, target, &cnonce.to_string())).unwrap_or_default();
        let extra = format!("Contact: <{}>\r\n{}{proofs}", self.contact(id), asked.extra);
        let octets = self.render(id, asked.method, cseq, branch, &extra, &asked.body);
        self.out.push_back(octets.clone());
        let expires = now + RESPONSE_WAIT;
        let repeat = (!self.way.is_reliable()).then(|| now + T1);
        let transaction = Transaction {
            dialog: id,
            asked,
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

    /// Our own URI: the user part of the caller's address at this socket; `sips` in dialogs with `sips` (RFC 3261
    /// §8.1.1.8).
    fn contact(&self, id: Token) -> String {
        let user = self.dialogs.get(&id).map_or("", |d| {
            let address = uri(&d.from);
            let rest = address.split_once(':').map_or("", |(_, rest)| rest);
            rest.split_once('@').map_or("", |(user, _)| user)
        });
        let at = if user.is_empty() { "" } else { "@" };
        if self.dialogs.get(&id).is_some_and(|d| is_sips(&d.room)) {
            return format!("sips:{user}{at}{}", self.host);
        }
        format!("sip:{user}{at}{}{}", self.host, self.way.uri_parameter())
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
            self.way.name(),
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
                self.way.name(),
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

/// Who hides and need not prove anything is nobody in From too (RFC 3323 §4.1.1.3).
fn from_header(ask: &Invite<'_>, manner: &Manner) -> Result<String, CallError> {
    let (from, name) = (ask.from, ask.display_name);
    if let Some(bad) = [ask.room, from].into_iter().find(|u| !is_sip_uri(u)) {
        return Err(CallError::BadAddress(bad.to_string()));
    }
    if manner.anonymous && manner.account.is_none() {
        return Ok(format!("\"Anonymous\" <{NOBODY}>"));
    }
    Ok(if name.is_empty() { format!("<{from}>") } else { format!("{} <{from}>", quote(name)) })
}

/// A name that we made, back from the wire.
fn token(text: &str) -> Option<Token> {
    text.trim().as_bytes().try_into().ok().map(Token)
}
