//! A focus by operations: requests of a few people, with headers changed at any place, what shards and the
//! transaction layer tell, and time, in any order. In the end the server stops, and everybody is told how what
//! they asked has come out.

use super::Input as Decisions;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::id::{EndpointId, GrantNo, SessionId, ShardId};
use crate::base::refusal::Refusal;
use crate::base::rights::Rule;
use crate::focus::accounts::Accounts;
use crate::focus::signalling::{Flow, Headers, Method, Outgoing, Reply, Request, Response, Transport};
use crate::focus::strict::{Message, read};
use crate::focus::{Config, Focus, Input, Output, RequestId, TxId};
use crate::shard::message::{Ended, FromShard, ToShard};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Operations in one run.
const OPERATIONS_MAX: usize = 300;

const PEOPLE: usize = 4;

const METHODS: [&str; 8] = ["INVITE", "BYE", "SUBSCRIBE", "UPDATE", "REFER", "OPTIONS", "INVITE", "NOTIFY"];

/// Lines that a request may have besides.
const EXTRAS: [&str; 16] = [
    "",
    "Event: conference\r\n",
    "Event: refer\r\n",
    "Event: conference;id=7\r\nExpires: 0\r\n",
    "Event: conference\r\nExpires: 60\r\n",
    "Refer-To: <sip:bob@elsewhere.example>\r\n",
    "Refer-To: <sip:p1@example.com;method=BYE>\r\n",
    "Refer-To: <sip:x@elsewhere.example>\r\nRefer-Sub: false\r\n",
    "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\nAllow: UPDATE\r\n",
    "Session-Expires: 120;refresher=uac\r\nSupported: timer\r\n",
    "Privacy: id\r\n",
    "Require: replaces\r\nUser-Agent: Blink\r\n",
    "Record-Route: <sip:p1;lr>, <sip:p2>\r\n",
    "Replaces: c0;to-tag=a;from-tag=t0\r\n",
    "P-Asserted-Identity: <sip:p2@example.com>\r\n",
    "Accept: application/sdp, application/conference-info+xml\r\n",
];

/// One of four dialogs that a person has or had.
#[derive(Clone, Default)]
struct Side {
    seq: u32,
    tag: String,
}

struct World {
    focus: Focus,
    now: Now,
    last_tx: u64,
    /// Requests without an answer.
    open: BTreeMap<TxId, (bool, usize)>,
    answered: BTreeSet<TxId>,
    /// A 200 to INVITE waits for its ACK.
    unacked: BTreeMap<TxId, usize>,
    sides: Vec<Side>,
    sent: BTreeMap<RequestId, Outgoing>,
    joined: BTreeSet<EndpointId>,
    /// The last question of each endpoint for another session.
    asked: BTreeMap<EndpointId, GrantNo>,
    left: BTreeSet<EndpointId>,
    /// So many of the next messages to shards are not taken.
    full: usize,
}

/// Reads 8 KiB.
pub fn focus_ops(octets: &[u8]) {
    let mut input = Decisions(&octets[..octets.len().min(8192)]);
    let mut world = World::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        world.operate(&mut input);
    }
    world.stop();
}

impl World {
    fn new() -> Self {
        let config = Config {
            domains: vec!["chat.example".into()],
            addresses: Vec::new(),
            msrp_host: "chat.example".into(),
            msrp_port: 2855,
            rooms: Default::default(),
            factory: "factory".into(),
            directory: "rooms".into(),
            moderators_see_identity: true,
            outbound_proxy: None,
            roster_whole_max: 3,
            accounts: Accounts { trusted: vec![[192, 0, 2, 2].into()], ..Accounts::default() },
            floods: crate::base::flood::Limits::default(),
            shards: 2,
        };
        Self {
            focus: Focus::new(config, Entropy::from_seed(1)),
            now: Now(1),
            last_tx: 0,
            open: BTreeMap::new(),
            answered: BTreeSet::new(),
            unacked: BTreeMap::new(),
            sides: vec![Side::default(); PEOPLE],
            sent: BTreeMap::new(),
            joined: BTreeSet::new(),
            asked: BTreeMap::new(),
            left: BTreeSet::new(),
            full: 0,
        }
    }

    fn operate(&mut self, input: &mut Decisions<'_>) {
        match input.below(16) {
            0..=4 => self.request(input),
            5 | 6 => self.news(input),
            7 => self.ack(input),
            8 => {
                if let Some((&tx, _)) = self.unacked.iter().nth(input.below(4)) {
                    self.unacked.remove(&tx);
                    self.give(Input::NotAcked { tx });
                }
            }
            9 => {
                let tx = TxId(input.below(64) as u64);
                self.give(Input::Cancelled { tx });
            }
            10..=12 => self.answer(input),
            13 => self.full = input.below(4),
            14 => self.pass(Duration::from_secs([1, 10, 40, 100][input.below(4)])),
            _ => {
                if input.rarely(16) {
                    self.give(Input::Drain);
                } else {
                    self.pass(Duration::from_millis(50));
                }
            }
        }
    }

    fn flow(who: usize) -> Flow {
        let transport = if who.is_multiple_of(2) { Transport::Udp } else { Transport::Tcp };
        let peer = ([192, 0, 2, 1 + (who % 2) as u8], 5060).into();
        Flow { transport, link: who as u64, peer, local: "chat.example:5060".into() }
    }

    /// A request, mostly of a sound form, with a few octets changed now and then.
    fn text(&mut self, input: &mut Decisions<'_>, who: usize, method: &str) -> Option<Request> {
        let side = &mut self.sides[who];
        if method != "ACK" && !input.rarely(8) {
            side.seq += 1;
        }
        let inside = !side.tag.is_empty() && !input.rarely(3);
        let tag = if inside { format!(";tag={}", side.tag) } else { String::new() };
        let call = if inside { who } else { who + PEOPLE * input.below(2) };
        let room = ["lobby", "other", "factory"][input.below(3)];
        let extra = EXTRAS[input.below(EXTRAS.len())];
        let setup = ["active", "passive", "actpass"][input.below(3)];
        let port = if input.rarely(8) { 0 } else { 9 };
        let body = format!(
            "v=0\r\no=- 1 {} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=message {port} TCP/MSRP *\r\na=path:msrp://192.0.2.1:9/a{};tcp\r\na=setup:{setup}\r\n\
             a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=chatroom\r\n",
            input.below(4),
            input.below(3)
        );
        let offers = matches!(method, "INVITE" | "ACK" | "UPDATE") && !input.rarely(4);
        let (media, body) = if offers { ("Content-Type: application/sdp\r\n", &*body) } else { ("", "") };
        let mut octets = format!(
            "{method} sip:{room}@chat.example SIP/2.0\r\nVia: SIP/2.0/TCP pc;branch=z9hG4bKx{}\r\n\
             Max-Forwards: 70\r\nFrom: \"P\" <sip:p{who}@example.com>;tag=t{who}\r\n\
             To: <sip:{room}@chat.example>{tag}\r\nCall-ID: c{call}\r\nCSeq: {} {method}\r\n\
             Contact: <sip:p{who}@pc.example>\r\n{media}{extra}Content-Length: {}\r\n\r\n{body}",
            self.last_tx,
            side.seq,
            body.len()
        )
        .into_bytes();
        if input.rarely(4) {
            let at = input.below(octets.len());
            let n = input.below(4);
            let put = input.below(12);
            let put = input.take(put);
            let to = (at + n).min(octets.len());
            octets.splice(at..to, put.iter().copied());
        }
        match read(&octets) {
            Ok(Message::Request(request)) => Some(request),
            _ => None,
        }
    }

    fn request(&mut self, input: &mut Decisions<'_>) {
        let (who, method) = (input.below(PEOPLE), METHODS[input.below(METHODS.len())]);
        let Some(request) = self.text(input, who, method) else { return };
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return;
        }
        self.last_tx += 1;
        let tx = TxId(self.last_tx);
        self.open.insert(tx, (request.method == Method::Invite, who));
        self.give(Input::Request { tx, request, flow: Self::flow(who) });
    }

    fn ack(&mut self, input: &mut Decisions<'_>) {
        let Some((&tx, &who)) = self.unacked.iter().nth(input.below(4)) else { return };
        let Some(request) = self.text(input, who, "ACK") else { return };
        self.unacked.remove(&tx);
        self.give(Input::Acked { tx, request, flow: Self::flow(who) });
    }

    fn news(&mut self, input: &mut Decisions<'_>) {
        let all: Vec<EndpointId> = self.joined.iter().rev().take(8).copied().collect();
        let Some(&endpoint) = all.get(input.below(8)) else { return };
        let why = [Ended::Closed, Ended::NeverBound, Ended::NoConnect, Ended::TooSlow][input.below(4)];
        let nickname = if input.rarely(2) { None } else { Some("N".into()) };
        let event = match input.below(9) {
            0..=2 => FromShard::Granted {
                endpoint,
                session: SessionId::new(ShardId(0), *b"0123456789abcdefghijAB"),
                no: self.asked.get(&endpoint).copied().unwrap_or_default(),
            },
            3 | 4 => FromShard::Bound { endpoint },
            5 => FromShard::Lost { endpoint, why },
            6 => FromShard::Renamed { endpoint, nickname },
            7 => FromShard::Disclosed { endpoint },
            _ => {
                let denied = Refusal::Denied(Rule::Banned);
                let why = [Refusal::ManyEndpoints, Refusal::Overloaded, denied][input.below(3)];
                FromShard::Refused { endpoint, why, words: Some("for 2 min: \"x\"".into()) }
            }
        };
        self.give(Input::Shard(event));
    }

    fn answer(&mut self, input: &mut Decisions<'_>) {
        let Some((&id, _)) = self.sent.iter().nth(input.below(4)) else { return };
        let Some(request) = self.sent.remove(&id) else { return };
        let code = [200, 200, 200, 408, 481, 486, 491, 500, 503, 422][input.below(10)];
        let mut headers = Headers::default();
        headers.push("To", format!("{};tag=r{}", request.headers.get("To").unwrap_or(""), id.0));
        headers.push("Contact", "<sip:bob@pc.example>");
        if input.rarely(3) {
            headers.push("Session-Expires", "90;refresher=uac");
            headers.push("Min-SE", "200");
        }
        let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n\
                    a=path:msrp://192.0.2.1:9/b;tcp\r\na=setup:active\r\na=accept-types:message/cpim\r\n";
        let body = if input.rarely(4) { Vec::new() } else { body.as_bytes().to_vec() };
        let reply = Reply { code, headers, body, peer: None };
        self.give(Input::Answer { id, reply });
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.focus.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.focus.tick(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn give(&mut self, input: Input) {
        self.focus.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.focus.poll() {
            match output {
                Output::Respond { tx, response } => self.responds(tx, &response),
                Output::Send { id, request } => {
                    sound(&request.headers);
                    assert!(self.sent.insert(id, *request).is_none(), "{id:?} twice");
                }
                Output::Tell { shard, message } => self.tells(shard, message),
            }
        }
    }

    fn responds(&mut self, tx: TxId, response: &Response) {
        assert!((200..700).contains(&response.code) && response.to_tag.is_some(), "{response:?}");
        sound(&response.headers);
        let asked = self.open.remove(&tx);
        assert!(self.answered.insert(tx) && asked.is_some(), "{tx:?} was answered again: {response:?}");
        let Some((invite, who)) = asked else { return };
        if response.code < 300 {
            self.sides[who].tag = response.to_tag.as_deref().unwrap_or("").to_owned();
            if invite {
                self.unacked.insert(tx, who);
            }
        }
    }

    fn tells(&mut self, shard: ShardId, message: ToShard) {
        assert!(!matches!(message, ToShard::Drain), "the focus stops no shard");
        match &message {
            ToShard::Join(join) => assert!(self.joined.insert(join.endpoint), "{:?}", join.endpoint),
            ToShard::Revise { endpoint, .. } | ToShard::Inherit { heir: endpoint, .. } => {
                assert!(self.joined.contains(endpoint) && !self.left.contains(endpoint), "{message:?}");
            }
            ToShard::Leave { endpoint, .. } => assert!(self.joined.contains(endpoint), "{message:?}"),
            ToShard::Disclose(disclosure) => {
                assert!(self.joined.contains(&disclosure.endpoint), "{message:?}")
            }
            ToShard::Notice(notice) => assert!(self.joined.contains(&notice.endpoint), "{message:?}"),
            ToShard::Drain => {}
        }
        if let ToShard::Revise { endpoint, rebind: Some(no), .. } = &message {
            let before = self.asked.insert(*endpoint, *no).unwrap_or_default();
            assert!(*no > before, "{endpoint:?} asks twice with {no:?}");
        }
        if self.full > 0 {
            self.full -= 1;
            return self.focus.handle(self.now, Input::Undelivered { shard, message });
        }
        if let ToShard::Leave { endpoint, .. } = message {
            assert!(self.left.insert(endpoint), "{endpoint} leaves twice");
        }
    }

    /// The server stops: whatever waits is told its end, and nothing is left.
    fn stop(&mut self) {
        self.full = 0;
        self.give(Input::Drain);
        // What was asked first may lead to more.
        for _ in 0..8 {
            while let Some((tx, _)) = self.unacked.pop_first() {
                self.give(Input::NotAcked { tx });
            }
            while let Some((id, _)) = self.sent.pop_first() {
                self.give(Input::Answer { id, reply: Reply::bare(408) });
            }
            self.pass(Duration::from_secs(40));
        }
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert_eq!(self.joined, self.left, "some are in their rooms for ever");
        assert!(self.focus.is_drained(), "the focus is not done");
    }
}

/// No header value breaks out of its line.
fn sound(headers: &Headers) {
    for (name, value) in headers.iter() {
        assert!(!value.contains(['\r', '\n']), "{name}: {value:?}");
    }
}
