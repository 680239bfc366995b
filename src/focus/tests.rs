//! The focus by value: requests as text, a virtual clock, and shards that answer when told to.

use super::signalling::{Transport, host_port};
use super::strict::{Message, read};
use super::*;
use crate::base::id::{GrantNo, SessionId};
use crate::base::limits;
use crate::base::refusal::Refusal;
use crate::base::rights::{Role, Rule};
use crate::room::policy::Policy;
use crate::room::rooms::Rooms;
use crate::shard::message::{Ended, Join, Terms};
use crate::wire::conference::{self, State};

mod blink;
mod calls;
mod directory;
mod factory;
mod floods;
mod lists;
mod moderation;
mod privacy;
mod proxy;
mod refer;
mod replaces;
mod sidebars;
mod subscribers;
mod subscriptions;
mod timers;
mod unaware;

const ROOM: &str = "sip:lobby@chat.example";

struct World {
    focus: Focus,
    now: Now,
    last_tx: u64,
    responses: Vec<(TxId, Response)>,
    sent: Vec<(RequestId, Outgoing)>,
    told: Vec<ToShard>,
    /// The last question of each endpoint for a session.
    asked: AHashMap<EndpointId, GrantNo>,
    /// Shards do not say that they know who somebody is.
    silent: bool,
}

/// A client's side of a call.
struct Phone {
    name: &'static str,
    seq: u32,
    /// The tag the focus gave us.
    tag: String,
    endpoint: EndpointId,
}

/// The rules of all rooms: one address moderates them.
fn policy() -> Policy {
    let roles = [(Address::parse("sip:mod@example.com").unwrap(), Role::Moderator)];
    let quiet = Policy { nicknames: false, private_messages: false, ..Policy::default() };
    Policy { message_bytes_max: 1000, public: true, roles: roles.into(), ..quiet }
}

impl World {
    fn new() -> Self {
        let config = Config {
            domains: vec!["chat.example".into()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
            msrp_host: "chat.example".into(),
            msrp_port: 2855,
            rooms: Arc::new(Rooms::from(policy())),
            factory: "conference".into(),
            directory: "rooms".into(),
            moderators_see_identity: false,
            outbound_proxy: None,
            accounts: accounts::Accounts::default(),
            floods: crate::base::flood::Limits::none(),
            roster_whole_max: limits::ROSTER_WHOLE_MAX,
            shards: 4,
        };
        let focus = Focus::new(config, Entropy::from_seed(1));
        Self {
            focus,
            now: Now(1),
            last_tx: 0,
            responses: vec![],
            sent: vec![],
            told: vec![],
            asked: AHashMap::new(),
            silent: false,
        }
    }

    fn input(&mut self, input: Input) {
        self.focus.handle(self.now, input);
        self.drain_outputs();
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.focus.poll() {
            match output {
                Output::Respond { tx, response } => self.responses.push((tx, response)),
                Output::Send { id, request } => self.sent.push((id, *request)),
                Output::Tell { message, .. } => {
                    if let ToShard::Revise { endpoint, rebind: Some(no), .. } = &message {
                        self.asked.insert(*endpoint, *no);
                    }
                    if let ToShard::Disclose(disclosure) = &message
                        && !self.silent
                    {
                        let event = FromShard::Disclosed { endpoint: disclosure.endpoint };
                        self.focus.handle(self.now, Input::Shard(event));
                    }
                    self.told.push(message);
                }
            }
        }
    }

    /// Lets time pass, with every deadline on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.focus.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.focus.tick(self.now);
            self.drain_outputs();
        }
        self.now = end;
    }

    fn request(&mut self, text: &str) -> TxId {
        self.last_tx += 1;
        let tx = TxId(self.last_tx);
        self.input(Input::Request { tx, request: parse(text), flow: flow() });
        tx
    }

    /// The one response since the last look.
    fn response(&mut self) -> Response {
        assert_eq!(self.responses.len(), 1, "{:?}", self.responses);
        self.responses.remove(0).1
    }

    fn code(&mut self, text: &str) -> u16 {
        self.request(text);
        self.response().code
    }

    fn told(&mut self) -> ToShard {
        assert_eq!(self.told.len(), 1, "{:?}", self.told);
        self.told.remove(0)
    }

    fn join(&mut self) -> Join {
        match self.told() {
            ToShard::Join(join) => *join,
            other => panic!("{other:?}"),
        }
    }

    fn revise(&mut self) -> (Terms, bool) {
        match self.told() {
            ToShard::Revise { terms, rebind, .. } => (*terms, rebind.is_some()),
            other => panic!("{other:?}"),
        }
    }

    fn left(&mut self) -> EndpointId {
        match self.told() {
            ToShard::Leave { endpoint, .. } => endpoint,
            other => panic!("{other:?}"),
        }
    }

    fn sent(&mut self) -> (RequestId, Outgoing) {
        assert_eq!(self.sent.len(), 1, "{:?}", self.sent);
        self.sent.remove(0)
    }

    fn grant(&mut self, endpoint: EndpointId) {
        self.grant_named(endpoint, *b"0123456789abcdefghijAB");
    }

    /// Answers the last question of an endpoint with a session of this name.
    fn grant_named(&mut self, endpoint: EndpointId, name: [u8; 22]) {
        let no = self.asked.get(&endpoint).copied().unwrap_or_default();
        self.grant_as(endpoint, name, no);
    }

    fn grant_as(&mut self, endpoint: EndpointId, name: [u8; 22], no: GrantNo) {
        let session = SessionId::new(ShardId(0), name);
        self.input(Input::Shard(FromShard::Granted { endpoint, session, no }));
    }

    /// INVITE and 200, without the ACK.
    fn answered(&mut self, name: &'static str) -> (Phone, TxId, Response) {
        let tx = self.request(&invite(name, 1, "", OFFER));
        let endpoint = self.join().endpoint;
        self.grant(endpoint);
        let ok = self.response();
        assert_eq!(ok.code, 200);
        (Phone { name, seq: 1, tag: ok.to_tag.clone().unwrap().into(), endpoint }, tx, ok)
    }

    fn ack(&mut self, caller: &Phone, tx: TxId, body: &str) {
        let request = parse(&caller.text("ACK", caller.seq, "", body));
        self.input(Input::Acked { tx, request, flow: flow() });
    }

    /// A call that is up, its session bound.
    fn call(&mut self, name: &'static str) -> Phone {
        let (caller, tx, _) = self.answered(name);
        self.ack(&caller, tx, "");
        self.input(Input::Shard(FromShard::Bound { endpoint: caller.endpoint }));
        caller
    }

    fn reinvite(&mut self, caller: &mut Phone, offer: &str) -> TxId {
        caller.seq += 1;
        let text = caller.text("INVITE", caller.seq, SDP, offer);
        self.request(&text)
    }

    /// Answers the one notice that was sent; gives its state and document.
    fn notice(&mut self) -> (String, conference::RosterUpdate) {
        let (id, notify) = self.sent();
        assert_eq!(notify.method, Method::Notify);
        self.input(Input::Answer { id, reply: Reply::bare(200) });
        let state = notify.headers.get("Subscription-State").unwrap().to_owned();
        (state, conference::read(notify.whole_body().as_bytes()).unwrap())
    }
}

impl Phone {
    fn text(&self, method: &str, seq: u32, extra: &str, body: &str) -> String {
        text(method, self.name, seq, &format!(";tag={}", self.tag), extra, body)
    }

    fn next(&mut self, method: &str) -> String {
        self.seq += 1;
        self.text(method, self.seq, "", "")
    }
}

const SDP: &str = "Content-Type: application/sdp\r\n";
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=message 9 TCP/MSRP *\r\na=path:msrp://192.0.2.1:9/a1;tcp\r\na=setup:active\r\n\
    a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=chatroom\r\n";

fn text(method: &str, name: &str, seq: u32, to_tag: &str, extra: &str, body: &str) -> String {
    format!(
        "{method} {ROOM} SIP/2.0\r\nVia: SIP/2.0/TCP pc;branch=z9hG4bK{name}{seq}\r\nMax-Forwards: 70\r\n\
         From: \"{name}\" <sip:{name}@example.com>;tag=t{name}\r\nTo: <{ROOM}>{to_tag}\r\nCall-ID: c{name}\r\n\
         CSeq: {seq} {method}\r\nContact: <sip:{name}@pc.example>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(name: &str, seq: u32, extra: &str, offer: &str) -> String {
    let sdp = if offer.is_empty() { "" } else { SDP };
    text("INVITE", name, seq, "", &format!("{sdp}{extra}"), offer)
}

fn subscribe(extra: &str) -> String {
    text("SUBSCRIBE", "watcher", 1, "", &format!("Event: conference\r\n{extra}"), "")
}

fn parse(text: &str) -> Request {
    match read(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

fn flow() -> Flow {
    let peer = "192.0.2.1:40000".parse().unwrap();
    Flow { transport: Transport::Tcp, link: 9, peer, local: "chat.example:5060".into() }
}

const TIMED: &str =
    "Supported: timer\r\nAllow: INVITE, ACK, BYE, UPDATE\r\nSession-Expires: 300;refresher=uas\r\n";

fn accepted(extra: &[(&str, &str)]) -> Reply {
    let mut reply = Reply::bare(200);
    extra.iter().for_each(|(name, value)| reply.headers.push(name, *value));
    reply
}

/// A call with these header lines in its INVITE.
fn call_with(w: &mut World, name: &'static str, extra: &str) -> (Phone, Response) {
    let tx = w.request(&invite(name, 1, extra, OFFER));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let ok = w.response();
    let caller = Phone { name, seq: 1, tag: ok.to_tag.clone().unwrap().into(), endpoint };
    w.ack(&caller, tx, "");
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    (caller, ok)
}

fn refer(name: &str, seq: u32, to_tag: &str, lines: &str) -> String {
    text("REFER", name, seq, to_tag, lines, "").replacen(
        &format!("Call-ID: c{name}"),
        &format!("Call-ID: r{name}{seq}"),
        1,
    )
}

impl World {
    /// The notices of a REFER since the last look: code, state and event of each.
    fn reports(&mut self) -> Vec<(String, String, String)> {
        let (notices, others) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(_, r)| r.headers.get("Event").is_some_and(|e| e.starts_with("refer")));
        self.sent = others;
        let tell = |(id, notice): (RequestId, Outgoing)| {
            self.input(Input::Answer { id, reply: Reply::bare(200) });
            assert_eq!(notice.headers.get("Content-Type"), Some("message/sipfrag;version=2.0"));
            let header = |name| notice.headers.get(name).unwrap().to_owned();
            let line = notice.body.strip_suffix("\r\n").unwrap().strip_prefix("SIP/2.0 ").unwrap().to_owned();
            (line, header("Subscription-State"), header("Event"))
        };
        let notices: Vec<(RequestId, Outgoing)> = notices;
        notices.into_iter().map(tell).collect()
    }

    /// A call of the room that rings at carol's.
    fn ringing(&mut self) -> (EndpointId, RequestId, Outgoing) {
        let refer = refer("alice", 9, "", "Refer-To: <sip:carol@192.0.2.7:5070>\r\n");
        self.request(&refer.replacen("ralice9", &format!("r{}", self.last_tx), 1));
        assert_eq!(self.response().code, 202);
        let endpoint = self.join().endpoint;
        self.grant(endpoint);
        assert_eq!(self.reports()[0].0, "100 Trying");
        let (id, invite) = self.sent();
        (endpoint, id, invite)
    }
}

fn picked_up(body: &str) -> Reply {
    let mut reply = accepted(&[
        ("To", "<sip:carol@192.0.2.7:5070>;tag=carol"),
        ("Record-Route", "<sip:near;lr>, <sip:far;lr>"),
        ("Contact", "<sip:carol@phone>"),
    ]);
    reply.body = body.into();
    reply.peer = Some("192.0.2.7:5070".parse().unwrap());
    reply
}

fn report(line: &str, state: &str, event: &str) -> (String, String, String) {
    (line.to_owned(), state.to_owned(), event.to_owned())
}

const FACTORY: &str = "sip:conference@chat.example";

/// An INVITE from another device of `name` that replaces this call.
fn replacing(caller: &Phone, name: &str, more: &str) -> String {
    let old = caller.name;
    let lines =
        format!("Require: replaces\r\nReplaces: c{old};to-tag={};from-tag=t{old}{more}\r\n", caller.tag);
    let request = invite(name, 1, &lines, OFFER);
    request
        .replace(&format!("Call-ID: c{name}"), "Call-ID: new")
        .replace(&format!("tag=t{name}\r\nTo"), "tag=new\r\nTo")
}

/// An INVITE to the factory with this list beside the offer.
fn listing(extra: &str, entries: &str) -> String {
    let list = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    );
    let body = format!(
        "--b1\r\n{SDP}\r\n{OFFER}\r\n--b1\r\nContent-Type: application/resource-lists+xml\r\n\
         Content-Disposition: recipient-list\r\n\r\n{list}\r\n--b1--\r\n"
    );
    let lines = format!("Content-Type: multipart/mixed;boundary=\"b1\"\r\n{extra}");
    text("INVITE", "alice", 1, "", &lines, &body).replacen(ROOM, FACTORY, 1)
}

const LISTED: &str = "Require: recipient-list-invite\r\n";
const TWO: &str = "<entry uri=\"sip:bill@192.0.2.7\"/><entry uri=\"sip:joe@192.0.2.8;method=INVITE\"/>";
