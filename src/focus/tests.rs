//! The focus by value: requests as text, a virtual clock, and shards that answer when told to.

mod subscribers;

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
mod directory;
mod floods;
mod lists;
mod moderation;
mod privacy;
mod proxy;
mod sidebars;
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
    asked: HashMap<EndpointId, GrantNo>,
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
            asked: HashMap::new(),
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

#[test]
fn an_invite_gets_the_answer_with_the_granted_session() {
    // FOCUS-01, CHAT-JOIN-02, CHAT-JOIN-03, SDP-01, SDP-12, SDP-14
    let mut w = World::new();
    w.request(&invite("alice", 1, "Record-Route: <sip:p1;lr>\r\n", OFFER));
    let join = w.join();
    assert_eq!((join.room.as_str(), join.participant.as_str()), (ROOM, "sip:alice@example.com"));
    assert_eq!((&*join.display_name, &*join.contact), ("alice", "sip:alice@pc.example"));
    let terms = join.terms.unwrap();
    assert_eq!(&terms.peer_path[..], b"msrp://192.0.2.1:9/a1;tcp");
    assert!(terms.may_send && terms.may_receive && terms.connect_to.is_none());
    assert!(w.responses.is_empty());
    w.grant(join.endpoint);
    let ok = w.response();
    assert_eq!(ok.headers.get("Contact"), Some("<sip:lobby@chat.example:5060;transport=tcp>;isfocus"));
    assert_eq!(ok.headers.get("Record-Route"), Some("<sip:p1;lr>"));
    assert!(ok.headers.get("Allow").unwrap().contains("SUBSCRIBE") && ok.headers.get("Supported").is_some());
    for line in [
        "m=message 2855 TCP/MSRP *\r\n",
        "a=path:msrp://chat.example:2855/aa0123456789abcdefghijAB;tcp\r\n",
        "a=setup:passive\r\n",
        "a=accept-types:message/cpim\r\n",
        "a=accept-wrapped-types:*\r\n",
        "a=max-size:1000\r\n",
        "a=chatroom:org.openmsrp.commands com.ag-projects.sylkserver-control\r\n",
    ] {
        assert!(ok.body.contains(line), "{line} in {}", ok.body);
    }
}

#[test]
fn each_fault_of_an_invite_has_its_code() {
    // FOCUS-03, SIP-UAS-01, SDP-02, SDP-09, CHAT-JOIN-01
    let plain = |from: &str, to: &str| OFFER.replace(from, to);
    let good = || invite("alice", 1, "", OFFER);
    let cases = [
        (good().replacen("lobby@chat.example", "lobby@elsewhere.example", 1), 404),
        (good().replacen("lobby@chat.example", "chat.example", 1), 404),
        (invite("alice", 1, "Require: 100rel, timer\r\n", OFFER), 420),
        (good().replace("application/sdp", "text/plain"), 415),
        (invite("alice", 1, "Content-Encoding: gzip\r\n", OFFER), 415),
        (invite("alice", 1, "Accept: text/html\r\n", OFFER), 406),
        (good().replace("Contact: <sip:alice@pc.example>\r\n", ""), 400),
        (invite("alice", 1, "", "this is no description"), 400),
        (invite("alice", 1, "", &plain("m=message 9 TCP/MSRP *", "m=audio 9 RTP/AVP 0")), 488),
        (invite("alice", 1, "", &plain("TCP/MSRP", "TCP/TLS/MSRP")), 488),
        (invite("alice", 1, "", &plain("TCP/MSRP", "TCP/TLS/MSRP").replace("msrp:", "msrps:")), 488),
        (invite("alice", 1, "", &plain("accept-types:message/cpim", "accept-types:text/plain")), 488),
        (invite("alice", 1, "", &plain("a=path:msrp://192.0.2.1:9/a1;tcp\r\n", "")), 488),
        (invite("alice", 1, "", &plain("m=message 9", "m=message 0")), 488),
    ];
    for (request, code) in cases {
        let mut w = World::new();
        w.request(&request);
        let response = w.response();
        assert_eq!(response.code, code, "{request}");
        assert_eq!(response.headers.get("Warning").is_some(), code == 488 || request.contains("no desc"));
        assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty() && w.focus.calls.is_empty());
    }
    let mut w = World::new();
    w.request(&invite("alice", 1, "Require: 100rel, timer\r\n", OFFER));
    assert_eq!(w.response().headers.get("Unsupported"), Some("100rel"));
}

#[test]
fn other_methods_have_their_codes_too() {
    // SIP-UAS-01, SIP-DLG-01
    let mut w = World::new();
    for method in ["REGISTER", "MESSAGE", "INFO", "PUBLISH", "PRACK", "NOTIFY"] {
        w.request(&text(method, "alice", 1, "", "", ""));
        let response = w.response();
        assert_eq!((response.code, response.headers.get("Allow").is_some()), (405, true), "{method}");
    }
    for method in ["BYE", "INVITE", "OPTIONS", "SUBSCRIBE", "UPDATE"] {
        let request = text(method, "alice", 1, ";tag=unknown", "Event: conference\r\n", "");
        assert_eq!(w.code(&request), 481, "{method}");
    }
    assert_eq!(w.code(&text("BYE", "alice", 1, "", "", "")), 481);
}

#[test]
fn a_refusal_of_the_room_becomes_a_code_and_leaves_nothing() {
    // FOCUS-03
    let full = Refusal::Denied(Rule::Full);
    let all = [
        (full, 486),
        (Refusal::ManyEndpoints, 486),
        (Refusal::ShuttingDown, 503),
        (Refusal::Overloaded, 503),
    ];
    for (why, code) in all {
        let mut w = World::new();
        w.request(&invite("alice", 1, "", OFFER));
        let endpoint = w.join().endpoint;
        w.input(Input::Shard(FromShard::Refused { endpoint, why, words: None }));
        let response = w.response();
        assert_eq!((response.code, response.headers.get("Warning").is_some()), (code, code == 486));
        assert_eq!(w.left(), endpoint);
        assert!(w.focus.core.dialogs.is_empty() && w.focus.calls.is_empty());
    }
}

#[test]
fn a_full_inbox_is_answered_503_and_a_leave_is_tried_again() {
    // FOCUS-03
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    let join = w.join();
    let endpoint = join.endpoint;
    w.input(Input::Undelivered { shard: ShardId(0), message: ToShard::Join(Box::new(join)) });
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Retry-After").is_some()), (503, true));
    let leave = w.told();
    w.input(Input::Undelivered { shard: ShardId(0), message: leave });
    assert!(w.told.is_empty());
    w.pass(LEAVE_RETRY);
    assert_eq!(w.left(), endpoint);
}

#[test]
fn a_shard_that_does_not_answer_costs_a_503() {
    // FOCUS-03
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    let endpoint = w.join().endpoint;
    w.pass(Duration::from_secs(9));
    assert_eq!(w.response().code, 503);
    assert_eq!(w.left(), endpoint);
    w.grant(endpoint);
    assert!(w.responses.is_empty() && w.told.is_empty());
}

#[test]
fn a_merged_request_is_refused() {
    // SIP-UAS-01
    let mut w = World::new();
    w.request(&invite("alice", 1, "", OFFER));
    w.join();
    assert_eq!(w.code(&invite("alice", 1, "", OFFER).replace("z9hG4bKalice1", "z9hG4bKother")), 482);
    assert!(w.told.is_empty());
}

#[test]
fn a_subscribe_or_refer_that_comes_by_two_ways_is_carried_out_once() {
    // SIP-UAS-01
    let mut w = World::new();
    w.call("alice");
    let other_way = |request: &str| request.replacen("z9hG4bK", "z9hG4bKother", 1);
    let watch = subscribe("");
    assert_eq!((w.code(&watch), w.code(&other_way(&watch))), (200, 482));
    w.notice();
    // Another number, tag or Call-ID is another subscription, as RFC 6665 has it.
    for (from, to) in [("CSeq: 1", "CSeq: 2"), ("tag=twatcher", "tag=new"), ("cwatcher", "new")] {
        assert_eq!(w.code(&watch.replacen(from, to, 1)), 200, "{to}");
        w.notice();
    }
    for (seq, lines, notices) in [(7, "", 1), (8, "Refer-Sub: false\r\n", 0)] {
        let bring = refer("alice", seq, "", &format!("Refer-To: <sip:bob@192.0.2.7>\r\n{lines}"));
        assert_eq!((w.code(&bring), w.code(&other_way(&bring))), (202, 482));
        w.join();
        assert_eq!(w.sent.drain(..).count(), notices);
    }
    // What was refused is judged anew, and what was long ago is another request.
    let brief = subscribe("Expires: 1\r\n").replacen("cwatcher", "brief", 1);
    assert_eq!((w.code(&brief), w.code(&other_way(&brief))), (423, 423));
    w.pass(limits::MERGED_WAIT);
    assert_eq!(w.code(&other_way(&watch)), 200);
}

#[test]
fn a_cancel_before_the_answer_gives_the_grant_back() {
    // SIP-TXN-03
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", OFFER));
    let endpoint = w.join().endpoint;
    w.input(Input::Cancelled { tx });
    assert_eq!(w.response().code, 487);
    assert_eq!(w.left(), endpoint);
    w.grant(endpoint);
    w.input(Input::Shard(FromShard::Bound { endpoint }));
    assert!(w.responses.is_empty() && w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    // SIP-TXN-03
    let mut w = World::new();
    let (mut caller, tx, _) = w.answered("alice");
    w.input(Input::Cancelled { tx });
    assert!(w.responses.is_empty() && w.told.is_empty());
    w.ack(&caller, tx, "");
    assert_eq!(w.code(&caller.next("BYE")), 200);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn a_bye_ends_the_call_once() {
    // FOCUS-04, SIP-DLG-01
    let mut w = World::new();
    let mut caller = w.call("alice");
    let stale = caller.text("BYE", 1, "", "");
    assert_eq!(w.code(&stale), 500);
    assert_eq!(w.code(&caller.next("BYE")), 200);
    assert_eq!(w.left(), caller.endpoint);
    assert_eq!(w.code(&caller.next("BYE")), 481);
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_bye_ends_a_pending_reinvite_with_487() {
    // SIP-DLG-01
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("a1;", "a2;"));
    w.revise();
    w.request(&caller.next("BYE"));
    let codes: Vec<u16> = w.responses.drain(..).map(|(_, r)| r.code).collect();
    assert_eq!(codes, [487, 200]);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn without_ack_the_call_ends_with_bye() {
    // SIP-TXN-02
    let mut w = World::new();
    let (caller, tx, _) = w.answered("alice");
    w.input(Input::NotAcked { tx });
    let (_, bye) = w.sent();
    assert_eq!((bye.method, &*bye.uri), (Method::Bye, "sip:alice@pc.example"));
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn a_session_that_never_binds_ends_the_call_after_the_ack() {
    // FOCUS-05
    let mut w = World::new();
    let (caller, tx, _) = w.answered("alice");
    let endpoint = caller.endpoint;
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::NeverBound }));
    assert!(w.sent.is_empty(), "no BYE before the ACK");
    w.ack(&caller, tx, "");
    let (id, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=408;text=\"No MSRP session\""));
    assert_eq!(w.left(), endpoint);
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    assert!(w.focus.core.sent.is_empty());
}

#[test]
fn a_lost_session_may_be_negotiated_anew_for_a_minute() {
    // FOCUS-05
    let mut w = World::new();
    let mut caller = w.call("alice");
    let endpoint = caller.endpoint;
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::Closed }));
    w.pass(limits::REBIND_WAIT - Duration::from_secs(1));
    // Even the same description asks for a new session now.
    let tx = w.reinvite(&mut caller, OFFER);
    assert!(w.revise().1);
    w.grant(endpoint);
    assert_eq!(w.response().code, 200);
    w.ack(&caller, tx, "");
    w.pass(limits::REBIND_WAIT * 2);
    assert!(w.sent.is_empty());
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::TooSlow }));
    w.pass(limits::REBIND_WAIT);
    assert_eq!(w.sent().1.headers.get("Reason"), Some("SIP;cause=408;text=\"MSRP session lost\""));
    assert_eq!(w.left(), endpoint);
}

#[test]
fn a_late_grant_answers_no_other_question_than_its_own() {
    // FOCUS-03, SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    let endpoint = caller.endpoint;
    let moved = |n: u64| OFFER.replace("- 1 1", &format!("- 1 {n}")).replace("9/a1", &format!("9/a{n}"));
    let late = |w: &mut World, no| w.grant_as(endpoint, *b"LATEabcdefghijklmnopqr", GrantNo(no));
    // The shard stands still, and what it does in the end nobody waits for.
    w.reinvite(&mut caller, &moved(2));
    assert!(w.revise().1);
    w.pass(invite::GRANT_ANSWER_WAIT);
    assert_eq!(w.response().code, 503);
    late(&mut w, 1);
    assert!(w.responses.is_empty() && w.sent.is_empty());
    // The call is as it was: what was offered first is answered as at first.
    w.reinvite(&mut caller, OFFER);
    let again = w.response();
    assert!(again.body.contains("/aa0123456789abcdefghijAB;tcp"), "{}", again.body);
    w.ack(&caller, TxId(w.last_tx), "");
    // Of two questions the first is answered late, too.
    w.reinvite(&mut caller, &moved(3));
    assert!(w.revise().1);
    w.pass(invite::GRANT_ANSWER_WAIT);
    assert_eq!(w.response().code, 503);
    w.reinvite(&mut caller, &moved(4));
    assert!(w.revise().1);
    late(&mut w, 2);
    late(&mut w, 0);
    assert!(w.responses.is_empty());
    w.grant_as(endpoint, *b"RIGHTbcdefghijklmnopqr", GrantNo(3));
    let ok = w.response();
    assert!(ok.code == 200 && ok.body.contains("/aaRIGHTbcdefghijklmnopqr;tcp"), "{}", ok.body);
}

#[test]
fn a_refresh_repeats_the_answer() {
    // SDP-06
    let mut w = World::new();
    let (mut caller, tx, first) = w.answered("alice");
    w.ack(&caller, tx, "");
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().body, first.body);
    assert!(w.told.is_empty());
}

#[test]
fn a_changed_path_asks_for_a_new_session() {
    // SDP-06, SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("a1;", "a2;"));
    let (terms, rebind) = w.revise();
    assert!(rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a2;tcp");
    // The next one comes before the first is answered.
    w.reinvite(&mut caller, OFFER);
    let early = w.response();
    assert_eq!((early.code, early.headers.get("Retry-After").is_some()), (500, true));
    w.grant_named(caller.endpoint, *b"ANOTHER789abcdefghijAB");
    let ok = w.response();
    assert!(ok.body.contains("/aaANOTHER789abcdefghijAB;tcp"));
    assert!(ok.body.lines().any(|l| l.starts_with("o=") && l.contains(" 2 IN ")), "{}", ok.body);
}

#[test]
fn other_changes_revise_the_terms_at_once() {
    // SDP-06, SDP-11, CHAT-JOIN-05
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &format!("{}a=recvonly\r\n", OFFER.replace("o=- 1 1", "o=- 1 2")));
    let (terms, rebind) = w.revise();
    assert!(!rebind && !terms.may_send && terms.may_receive);
    assert!(w.response().body.contains("a=sendonly\r\n"));
}

#[test]
fn port_zero_closes_the_session_and_a_later_offer_opens_a_new_one() {
    // SDP-07
    let mut w = World::new();
    let mut caller = w.call("alice");
    let tx =
        w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("m=message 9", "m=message 0"));
    assert_eq!(w.left(), caller.endpoint);
    assert!(w.response().body.contains("m=message 0 TCP/MSRP *"));
    w.ack(&caller, tx, "");
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 3"));
    let again = w.join().endpoint;
    assert_ne!(again, caller.endpoint);
    w.grant(again);
    assert!(w.response().body.contains("m=message 2855 TCP/MSRP *"));
    w.request(&caller.next("BYE"));
    assert_eq!(w.left(), again);
}

#[test]
fn a_nickname_ends_with_the_media_and_does_not_come_back_with_them() {
    let mut w = World::new();
    let mut caller = w.call("alice");
    let nickname = Some("Rabbit".into());
    w.input(Input::Shard(FromShard::Renamed { endpoint: caller.endpoint, nickname }));
    let room = Address::parse(ROOM).unwrap();
    let names = |w: &World| w.focus.rosters.names(&room).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&w), ["Rabbit"]);
    let tx =
        w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 2").replace("m=message 9", "m=message 0"));
    w.ack(&caller, tx, "");
    assert_eq!((w.left(), w.response().code), (caller.endpoint, 200));
    w.reinvite(&mut caller, &OFFER.replace("o=- 1 1", "o=- 1 3"));
    let again = w.join().endpoint;
    w.grant(again);
    w.input(Input::Shard(FromShard::Bound { endpoint: again }));
    assert_eq!(names(&w), ["alice"]);
}

#[test]
fn an_unusable_later_offer_leaves_the_call_as_it_was() {
    // SIP-DLG-03
    let mut w = World::new();
    let mut caller = w.call("alice");
    w.reinvite(&mut caller, &OFFER.replace("message/cpim", "text/plain"));
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Warning").is_some()), (488, true));
    assert!(w.told.is_empty());
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 200);
}

#[test]
fn we_connect_only_to_where_the_invite_came_from() {
    // SEC-10, SDP-03, SDP-14
    let passive = OFFER.replace("setup:active", "setup:passive");
    let mut w = World::new();
    w.request(&invite("alice", 1, "", &passive));
    let join = w.join();
    assert_eq!(join.terms.unwrap().connect_to, Some("192.0.2.1:9".parse().unwrap()));
    w.grant(join.endpoint);
    assert!(w.response().body.contains("a=setup:active\r\n"));
    for path in ["msrp://127.0.0.1:22/x;tcp", "msrp://pc.example:9/x;tcp", "msrp://192.0.2.2:9/x;tcp"] {
        let offer = passive.replace("msrp://192.0.2.1:9/a1;tcp", path);
        assert_eq!(w.code(&invite("bob", 1, "", &offer)), 488, "{path}");
    }
}

#[test]
fn an_invite_without_offer_gets_ours_and_the_ack_brings_the_answer() {
    // FOCUS-02, SDP-13
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", ""));
    let join = w.join();
    assert!(join.terms.is_none());
    w.grant(join.endpoint);
    let ok = w.response();
    assert!(ok.body.contains("a=setup:actpass\r\n") && ok.body.contains("m=message 2855 TCP/MSRP *"));
    let mut caller = Phone { name: "alice", seq: 1, tag: ok.to_tag.unwrap().into(), endpoint: join.endpoint };
    // While our offer is open, another one is glare.
    caller.seq = 2;
    assert_eq!(w.code(&caller.text("INVITE", 2, SDP, OFFER)), 491);
    caller.seq = 1;
    w.ack(&caller, tx, OFFER);
    let (terms, rebind) = w.revise();
    assert!(!rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a1;tcp");
    assert!(w.sent.is_empty());
}

#[test]
fn an_ack_without_a_usable_answer_ends_the_call() {
    // FOCUS-02
    for body in ["", "nonsense", &OFFER.replace("message/cpim", "text/plain")] {
        let mut w = World::new();
        let tx = w.request(&invite("alice", 1, "", ""));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        let tag = w.response().to_tag.unwrap().into();
        w.ack(&Phone { name: "alice", seq: 1, tag, endpoint }, tx, body);
        assert_eq!(w.sent().1.method, Method::Bye);
        assert_eq!(w.left(), endpoint);
    }
}

#[test]
fn options_tells_what_an_invite_would_get_and_creates_nothing() {
    // FOCUS-06
    let mut w = World::new();
    w.request(&text("OPTIONS", "alice", 1, "", "", ""));
    let ok = w.response();
    assert_eq!(ok.code, 200);
    assert!(ok.headers.get("Contact").unwrap().ends_with(";isfocus"));
    for name in ["Allow", "Accept", "Supported", "Allow-Events"] {
        assert!(ok.headers.get(name).is_some(), "{name}");
    }
    assert_eq!(w.code(&text("OPTIONS", "a", 1, "", "", "").replacen(ROOM, "sip:127.0.0.1:5060", 1)), 200);
    assert_eq!(w.code(&text("OPTIONS", "a", 1, "", "", "").replacen(ROOM, "sip:x@elsewhere", 1)), 404);
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn any_user_at_our_hosts_is_a_room_whatever_port_and_parameters_say() {
    // FOCUS-03
    let mut w = World::new();
    for uri in ["sip:lobby@CHAT.example:5070;transport=tcp", "sip:lobby@chat.example;x=y"] {
        w.request(
            &invite("alice", 1, "", OFFER)
                .replacen(ROOM, uri, 1)
                .replace("calice", uri.split(';').next().unwrap()),
        );
        assert_eq!(w.join().room.as_str(), ROOM);
    }
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, "sip:lobby@127.0.0.1:5060", 1));
    assert_eq!(w.join().room.as_str(), "sip:lobby@127.0.0.1");
    assert!(host_port("chat.example").is_some());
}

#[test]
fn draining_ends_everything_and_admits_nothing() {
    // FOCUS-03, FOCUS-04, CHAT-JOIN-10
    let mut w = World::new();
    let up = w.call("alice");
    let (late, late_tx, _) = w.answered("bob");
    let waiting = w.request(&invite("carol", 1, "", OFFER));
    w.join();
    w.request(&subscribe(""));
    w.responses.clear();
    w.notice();
    w.input(Input::Drain);
    assert_eq!(w.responses, [(waiting, w.responses[0].1.clone())]);
    assert_eq!(w.response().code, 503);
    assert_eq!(w.code(&invite("dave", 1, "", OFFER)), 503);
    assert_eq!(w.code(&subscribe("").replace("cwatcher", "other")), 503);
    let methods: Vec<_> = w.sent.iter().map(|(_, r)| r.method).collect();
    assert_eq!(methods, [Method::Bye, Method::Notify]);
    assert_eq!(
        w.sent[1].1.headers.get("Subscription-State"),
        Some("terminated;reason=probation;retry-after=30")
    );
    // The one whose ACK is still out has its BYE afterwards.
    w.ack(&late, late_tx, "");
    assert_eq!(w.sent.len(), 3);
    assert!(!w.focus.is_drained());
    for (id, _) in std::mem::take(&mut w.sent) {
        w.input(Input::Answer { id, reply: Reply::bare(200) });
    }
    assert!(w.focus.is_drained());
    let left = w.told.iter().filter_map(|m| match m {
        ToShard::Leave { endpoint, .. } => Some(*endpoint),
        _ => None,
    });
    let left: Vec<_> = left.collect();
    assert!(left.contains(&up.endpoint) && left.contains(&late.endpoint) && left.len() == 3);
}

#[test]
fn each_fault_of_a_subscription_has_its_code() {
    // CONF-01, CONF-02
    let mut w = World::new();
    let cases = [
        (subscribe("").replace("Event: conference\r\n", ""), 489),
        (subscribe("").replace("Event: conference", "Event: presence"), 489),
        (subscribe("Accept: text/plain\r\n"), 406),
        (subscribe("Expires: 5\r\n"), 423),
        (subscribe("").replacen("chat.example", "elsewhere", 1), 404),
        (subscribe("").replace("Contact: <sip:watcher@pc.example>\r\n", ""), 400),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.sent.is_empty() && w.focus.core.dialogs.is_empty());
}

#[test]
fn a_subscriber_sees_everything_then_only_changes_at_their_pace() {
    // CONF-02, CONF-04, CONF-05, CONF-07
    let mut w = World::new();
    let mut alice = w.call("alice");
    w.request(&subscribe("Accept: application/conference-info+xml\r\nExpires: 600\r\n"));
    let ok = w.response();
    assert_eq!((ok.code, ok.headers.get("Expires")), (200, Some("600")));
    let (state, document) = w.notice();
    assert_eq!(state, "active;expires=600");
    assert_eq!((document.state, document.version, document.users.len()), (State::Full, 1, 1));
    // Three changes within the pace are one notice.
    w.pass(Duration::from_millis(100));
    w.call("bob");
    w.call("carol");
    w.request(&alice.next("BYE"));
    w.responses.clear();
    w.pass(Duration::from_millis(4_899));
    assert!(w.sent.is_empty());
    w.pass(Duration::from_millis(1));
    let (_, document) = w.notice();
    assert_eq!((document.state, document.version, document.users.len()), (State::Partial, 2, 3));
    let gone: Vec<_> = document.users.iter().filter(|u| u.state == State::Deleted).collect();
    assert_eq!((gone.len(), &*gone[0].entity), (1, "sip:alice@example.com"));
    w.pass(Duration::from_secs(60));
    assert!(w.sent.is_empty());
}

#[test]
fn an_unanswered_notice_holds_the_next_one_back() {
    // CONF-07
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    let (id, _) = w.sent();
    w.call("alice");
    w.pass(Duration::from_secs(5));
    assert!(w.sent.is_empty());
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.pass(limits::NOTICE_TURN);
    assert_eq!(w.notice().1.users.len(), 1);
}

#[test]
fn a_refresh_repeats_the_whole_roster_with_its_number() {
    // CONF-02, CONF-04
    let mut w = World::new();
    w.request(&subscribe(""));
    let tag = w.response().to_tag.unwrap();
    assert_eq!(w.notice().1.version, 1);
    let refresh =
        text("SUBSCRIBE", "watcher", 2, &format!(";tag={tag}"), "Event: conference\r\nExpires: 99\r\n", "");
    w.request(&refresh);
    assert_eq!(w.response().headers.get("Expires"), Some("99"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.state, document.version), ("active;expires=99", State::Full, 1));
    w.pass(Duration::from_secs(99));
    assert_eq!(w.notice().0, "terminated;reason=timeout");
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn asking_once_gets_one_notice_and_no_subscription() {
    // CONF-03
    let mut w = World::new();
    w.call("alice");
    w.request(&subscribe("Expires: 0\r\n"));
    assert_eq!(w.response().headers.get("Expires"), Some("0"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.users.len()), ("terminated;reason=timeout", 1));
    w.call("bob");
    w.pass(Duration::from_secs(9));
    assert!(w.sent.is_empty());
}

#[test]
fn the_end_of_a_room_ends_its_subscriptions() {
    // CHAT-JOIN-10, CONF-03
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    w.notice();
    let mut alice = w.call("alice");
    w.pass(Duration::from_secs(5));
    w.notice();
    w.request(&alice.next("BYE"));
    let (state, document) = w.notice();
    assert_eq!((state.as_str(), document.users.len()), ("terminated;reason=noresource", 0));
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn a_subscription_in_the_dialog_of_a_call_outlives_the_call() {
    // CONF-09
    let mut w = World::new();
    let mut alice = w.call("alice");
    w.call("bob");
    alice.seq += 1;
    w.request(&alice.text("SUBSCRIBE", alice.seq, "Event: conference;id=7\r\n", ""));
    assert_eq!(w.response().code, 200);
    let (id, first) = w.sent();
    assert_eq!(first.headers.get("Event"), Some("conference;id=7"));
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    assert_eq!(w.code(&alice.next("BYE")), 200);
    w.pass(Duration::from_secs(5));
    let (id, next) = w.sent();
    assert!(next.whole_body().contains("state=\"deleted\""));
    // Who answers 481 knows nothing of the subscription any more.
    w.input(Input::Answer { id, reply: Reply::bare(481) });
    assert_eq!(w.focus.core.dialogs.len(), 1);
}

#[test]
fn clients_of_the_sdk_get_whole_rosters_only() {
    // CONF-05
    let mut w = World::new();
    w.request(&subscribe("User-Agent: Blink 5.9.1 (Linux)\r\n"));
    w.responses.clear();
    w.notice();
    w.call("alice");
    w.pass(Duration::from_secs(5));
    let document = w.notice().1;
    assert_eq!((document.state, document.version, document.users.len()), (State::Full, 2, 1));
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

#[test]
fn the_200_says_who_refreshes_and_a_short_interval_is_refused() {
    // TIMER-01
    let mut w = World::new();
    w.request(&invite("alice", 1, "Supported: timer\r\nx: 60\r\n", OFFER));
    let short = w.response();
    assert_eq!((short.code, short.headers.get("Min-SE")), (422, Some("90")));
    assert!(w.told.is_empty() && w.focus.core.dialogs.is_empty());
    let (_, ok) =
        call_with(&mut w, "alice", "Require: timer\r\nSupported: timer\r\nSession-Expires: 1800\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), Some("1800;refresher=uac"));
    assert_eq!(ok.headers.get("Require"), Some("timer"));
    assert!(ok.headers.list("Supported").contains(&"timer"));
    let (_, ok) = call_with(&mut w, "bob", "Session-Expires: 1800\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), Some("1800;refresher=uas"));
    assert_eq!(ok.headers.get("Require"), None, "whoever does not know it cannot be told to");
    let (_, ok) = call_with(&mut w, "carol", "Supported: timer\r\n");
    assert_eq!(ok.headers.get("Session-Expires"), None);
}

#[test]
fn without_refresh_a_call_ends_before_its_time_and_with_one_it_lives_on() {
    // TIMER-02
    let mut w = World::new();
    let (mut caller, _) = call_with(&mut w, "alice", "Supported: timer\r\nSession-Expires: 300\r\n");
    w.pass(Duration::from_secs(250));
    caller.seq += 1;
    w.request(&caller.text("UPDATE", 2, "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n", ""));
    let ok = w.response();
    assert_eq!((ok.code, ok.headers.get("Session-Expires")), (200, Some("300;refresher=uac")));
    assert!(ok.headers.get("Contact").is_some() && ok.body.is_empty());
    w.pass(Duration::from_secs(267));
    assert!(w.sent.is_empty());
    w.pass(Duration::from_secs(1));
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=408;text=\"Session timer expired\""));
    assert_eq!(w.left(), caller.endpoint);
    assert_eq!(w.focus.deadline(), None);
}

#[test]
fn a_refresh_without_an_interval_ends_the_timer() {
    // TIMER-02
    let mut w = World::new();
    let (caller, _) = call_with(&mut w, "alice", "Supported: timer\r\nSession-Expires: 300\r\n");
    w.request(&caller.text("UPDATE", 2, "", ""));
    assert_eq!(w.response().headers.get("Session-Expires"), None);
    w.pass(Duration::from_secs(400));
    assert!(w.sent.is_empty() && w.focus.deadline().is_none());
}

#[test]
fn we_refresh_at_half_time_by_update_without_body() {
    // TIMER-02
    let mut w = World::new();
    let (caller, ok) = call_with(&mut w, "alice", TIMED);
    assert_eq!(ok.headers.get("Session-Expires"), Some("300;refresher=uas"));
    for _ in 0..3 {
        w.pass(Duration::from_secs(150));
        let (id, update) = w.sent();
        assert_eq!((update.method, update.body.as_str()), (Method::Update, ""));
        assert_eq!(update.headers.get("Session-Expires"), Some("300;refresher=uac"));
        assert!(update.headers.get("Contact").is_some() && update.headers.get("Content-Type").is_none());
        let reply = accepted(&[("Session-Expires", "300;refresher=uac"), ("Contact", "<sip:alice@new>")]);
        w.input(Input::Answer { id, reply });
    }
    // A 2xx moves the target; a 481 says that there is no call.
    w.pass(Duration::from_secs(150));
    let (id, update) = w.sent();
    assert_eq!(&*update.uri, "sip:alice@new");
    w.input(Input::Answer { id, reply: Reply::bare(481) });
    assert_eq!(w.sent().1.method, Method::Bye);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn we_refresh_by_repeating_our_description_where_update_is_not_allowed() {
    // TIMER-02
    let mut w = World::new();
    let (mut caller, ok) = call_with(&mut w, "alice", &TIMED.replace(", UPDATE", ""));
    w.pass(Duration::from_secs(150));
    let (id, again) = w.sent();
    assert_eq!((again.method, &again.body), (Method::Invite, &ok.body));
    // An offer of the peer meanwhile is glare.
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 491);
    let mut reply = accepted(&[("Session-Expires", "300;refresher=uac")]);
    reply.body = OFFER.into();
    w.input(Input::Answer { id, reply });
    assert!(w.told.is_empty() && w.sent.is_empty());
    w.pass(Duration::from_secs(150));
    let (id, _) = w.sent();
    let mut reply = accepted(&[("Session-Expires", "300;refresher=uac")]);
    reply.body = OFFER.replace("o=- 1 1", "o=- 1 2").replace("a=chatroom\r\n", "").into();
    w.input(Input::Answer { id, reply });
    assert!(!w.revise().1);
    w.reinvite(&mut caller, OFFER);
    assert_eq!(w.response().code, 200);
}

#[test]
fn a_refresh_that_fails_is_tried_otherwise_or_ends_the_call() {
    // TIMER-02
    let mut w = World::new();
    let (caller, _) = call_with(&mut w, "alice", TIMED);
    w.pass(Duration::from_secs(150));
    let (id, _) = w.sent();
    let mut reply = Reply::bare(422);
    reply.headers.push("Min-SE", "600");
    w.input(Input::Answer { id, reply });
    let (id, longer) = w.sent();
    assert_eq!(longer.headers.get("Session-Expires"), Some("600;refresher=uac"));
    assert_eq!(longer.headers.get("Min-SE"), Some("600"));
    w.input(Input::Answer { id, reply: Reply::bare(491) });
    w.pass(Duration::from_secs(2));
    let (id, _) = w.sent();
    w.input(Input::Answer { id, reply: Reply::bare(405) });
    let (id, invite) = w.sent();
    assert_eq!(invite.method, Method::Invite);
    // No answer that helps: the call ends 32 s before its time.
    w.input(Input::Answer { id, reply: Reply::bare(500) });
    w.pass(Duration::from_secs(116));
    assert_eq!(w.sent().1.method, Method::Bye);
    assert_eq!(w.left(), caller.endpoint);
}

#[test]
fn an_update_with_an_offer_changes_terms_like_a_reinvite_without_ack() {
    // SDP-06, SIP-DLG-02, SIP-DLG-03
    let mut w = World::new();
    let caller = w.call("alice");
    let offer = |version: &str, path: &str| {
        OFFER.replace("o=- 1 1", &format!("o=- 1 {version}")).replace("a1;", path)
    };
    w.request(&caller.text("UPDATE", 2, SDP, &format!("{}a=recvonly\r\n", offer("2", "a1;"))));
    assert!(!w.revise().1);
    assert!(w.response().body.contains("a=sendonly\r\n"));
    w.request(&caller.text("UPDATE", 3, SDP, &offer("3", "a2;")));
    assert!(w.revise().1);
    w.request(&caller.text("UPDATE", 4, SDP, &offer("4", "a3;")));
    let early = w.response();
    assert_eq!((early.code, early.headers.get("Retry-After").is_some()), (500, true));
    w.grant(caller.endpoint);
    assert_eq!(w.response().code, 200);
    // No ACK is waited for: the next is served, and the end comes with BYE at once.
    w.request(&caller.text("UPDATE", 5, SDP, &OFFER.replace("message/cpim", "text/plain")));
    assert_eq!(w.response().code, 488);
    w.input(Input::Drain);
    assert_eq!(w.sent().1.method, Method::Bye);
}

#[test]
fn an_update_with_an_offer_is_glare_while_ours_is_open() {
    // SIP-DLG-03
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", ""));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    let tag = w.response().to_tag.unwrap().into();
    let caller = Phone { name: "alice", seq: 1, tag, endpoint };
    assert_eq!(w.code(&caller.text("UPDATE", 2, SDP, OFFER)), 491);
    assert_eq!(w.code(&caller.text("UPDATE", 3, "", "")), 200);
    w.ack(&caller, tx, OFFER);
    w.revise();
}

#[test]
fn who_asks_for_privacy_is_known_by_an_anonymous_address_only() {
    // CONF-08, CHAT-JOIN-11
    let mut w = World::new();
    w.request(&subscribe(""));
    w.responses.clear();
    let mut said = vec![w.sent()];
    let nobody =
        invite("carol", 1, "", OFFER).replace("sip:carol@example.com", "sip:anonymous7@Anonymous.invalid");
    let asked = [
        invite("alice", 1, "Privacy: id\r\n", OFFER),
        invite("bob", 1, "Privacy: header;User ; critical\r\n", OFFER),
        nobody,
    ];
    for (n, request) in asked.iter().enumerate() {
        w.request(request);
        let join = w.join();
        let own = format!("sip:anonymous{}@anonymous.invalid", n + 1);
        assert_eq!(
            (join.participant.as_str(), &*join.contact, &*join.display_name),
            (&*own, &*own, "Anonymous")
        );
        // The general address may stand in CPIM From, the real one may not.
        assert!(join.aliases.iter().map(Address::as_str).eq(["sip:anonymous@anonymous.invalid"]));
        w.grant(join.endpoint);
        w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    }
    let (id, _) = said[0];
    w.input(Input::Answer { id, reply: Reply::bare(200) });
    w.pass(Duration::from_secs(5));
    said.append(&mut w.sent);
    w.request(&subscribe("").replace("cwatcher", "another"));
    said.append(&mut w.sent);
    assert_eq!(said.len(), 3);
    for (_, notify) in &said {
        let text = format!("{:?} {}", notify.headers, notify.whole_body()).to_lowercase();
        for secret in ["alice", "bob", "carol", "anonymous7"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let whole = conference::read(said[2].1.whole_body().as_bytes()).unwrap();
    assert_eq!(
        (whole.users.len(), &*whole.users[0].endpoints[0].entity),
        (3, "sip:anonymous1@anonymous.invalid")
    );
}

#[test]
fn who_asks_for_no_privacy_has_none() {
    let mut w = World::new();
    for privacy in ["none", "header", "session;critical"] {
        let request = invite("alice", 1, &format!("Privacy: {privacy}\r\n"), OFFER);
        w.request(&request.replace("calice", privacy));
        assert_eq!(w.join().participant.as_str(), "sip:alice@example.com");
    }
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

#[test]
fn a_participant_has_the_room_call_somebody() {
    // REFER-01, FOCUS-08
    let mut w = World::new();
    w.call("alice");
    w.request(&refer("alice", 9, "", "Refer-To: <sip:carol@192.0.2.7:5070>\r\n"));
    let accepted = w.response();
    assert_eq!(accepted.code, 202);
    assert_eq!(accepted.headers.get("Contact"), Some("<sip:lobby@chat.example:5060;transport=tcp>;isfocus"));
    assert_eq!(w.reports(), [report("100 Trying", "active;expires=90", "refer")]);
    let join = w.join();
    assert_eq!((join.participant.as_str(), join.terms.is_none()), ("sip:carol@192.0.2.7:5070", true));
    w.grant(join.endpoint);
    let (id, invite) = w.sent();
    assert_eq!((invite.method, &*invite.uri), (Method::Invite, "sip:carol@192.0.2.7:5070"));
    assert_eq!(invite.headers.get("To"), Some("<sip:carol@192.0.2.7:5070>"));
    assert!(invite.headers.get("From").unwrap().starts_with("<sip:lobby@chat.example>;tag="));
    assert_eq!(invite.headers.get("Contact"), Some("<sip:lobby@chat.example:5060>;isfocus"));
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:alice@example.com>"));
    assert!(
        invite.body.contains("a=setup:actpass\r\n")
            && invite
                .body
                .contains("a=chatroom:org.openmsrp.commands com.ag-projects.sylkserver-control\r\n")
    );
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    let (terms, rebind) = w.revise();
    assert!(!rebind && &terms.peer_path[..] == b"msrp://192.0.2.1:9/a1;tcp");
    assert_eq!(w.reports(), [report("200 OK", "terminated;reason=noresource", "refer")]);
    w.input(Input::Shard(FromShard::Bound { endpoint: join.endpoint }));
    w.request(&subscribe(""));
    w.responses.clear();
    let whole = w.notice().1;
    let carol = whole.users.iter().find(|u| u.entity.contains("carol")).unwrap();
    assert_eq!(carol.endpoints[0].joining_method.as_deref(), Some("dialed-out"));
    // The dialog is like any other: she may leave, and is reached by her route.
    let bye = format!(
        "BYE sip:lobby@chat.example SIP/2.0\r\nVia: SIP/2.0/UDP phone;branch=z9hG4bKc\r\nCSeq: 1 BYE\r\n\
         From: <sip:carol@192.0.2.7:5070>;tag=carol\r\nTo: {}\r\nCall-ID: {}\r\n\r\n",
        invite.headers.get("From").unwrap(),
        invite.headers.get("Call-ID").unwrap()
    );
    assert_eq!(w.code(&bye), 200);
    assert_eq!(w.left(), join.endpoint);
}

#[test]
fn a_call_that_fails_is_reported_and_leaves_nothing() {
    // REFER-01
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: Reply::bare(486) });
    assert_eq!(w.reports(), [report("486 Busy Here", "terminated;reason=noresource", "refer")]);
    assert_eq!(w.left(), endpoint);
    // An answer that is of no use ends with BYE, by her route.
    let (endpoint, id, _) = w.ringing();
    w.input(Input::Answer { id, reply: picked_up(&OFFER.replace("message/cpim", "text/plain")) });
    assert_eq!(w.reports()[0].0, "488 Not Acceptable Here");
    let (_, bye) = w.sent();
    assert_eq!((bye.method, &*bye.uri, &*bye.hop), (Method::Bye, "sip:carol@phone", "sip:far;lr"));
    assert_eq!(w.left(), endpoint);
    // The room refuses.
    w.request(&refer("alice", 10, "", "Refer-To: <sip:dave@192.0.2.7>\r\n"));
    w.responses.clear();
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!(w.reports()[1].0, "486 Busy Here");
    w.left();
    assert_eq!((w.focus.core.dialogs.len(), w.focus.calls.dials.len()), (1, 0));
}

#[test]
fn who_answers_after_the_grant_is_void_gets_another_session() {
    // FOCUS-08
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, first) = w.ringing();
    w.input(Input::Shard(FromShard::Lost { endpoint, why: Ended::NeverBound }));
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    assert!(w.revise().1);
    w.reports();
    w.grant_named(endpoint, *b"ANOTHER789abcdefghijAB");
    let (id, again) = w.sent();
    assert_eq!((again.method, &*again.uri), (Method::Invite, "sip:carol@phone"));
    assert!(again.body.contains("/aaANOTHER789") && !first.body.contains("ANOTHER"));
    let mut reply = accepted(&[]);
    reply.body = OFFER.into();
    w.input(Input::Answer { id, reply });
    assert!(w.sent.is_empty() && w.told.is_empty());
}

#[test]
fn a_call_given_up_while_it_rings_is_ended_when_it_is_answered() {
    // REFER-02
    let mut w = World::new();
    w.call("alice");
    let (endpoint, id, _) = w.ringing();
    w.request(&refer("mod", 1, "", "Refer-To: <sip:carol@192.0.2.7:5070;method=BYE>\r\n"));
    assert_eq!(w.response().code, 202);
    assert_eq!(w.left(), endpoint);
    let lines: Vec<String> = w.reports().into_iter().map(|r| r.0).collect();
    assert_eq!(lines, ["100 Trying", "200 OK", "487 Request Terminated"]);
    w.input(Input::Answer { id, reply: picked_up(OFFER) });
    assert_eq!((w.sent().1.method, w.focus.core.dialogs.len()), (Method::Bye, 1));
}

#[test]
fn each_fault_of_a_refer_has_its_code() {
    // REFER-01, REFER-03
    let mut w = World::new();
    w.call("alice");
    let carol = "Refer-To: <sip:carol@192.0.2.7>\r\n";
    let cases = [
        (refer("alice", 2, "", ""), 400),
        (refer("alice", 2, "", &format!("{carol}{carol}")), 400),
        (refer("alice", 2, "", "Refer-To: carol\r\n"), 400),
        (refer("alice", 2, "", "Refer-To: <tel:+491>\r\n"), 416),
        (refer("alice", 2, "", "Refer-To: <http://x.example/>\r\n"), 416),
        (refer("alice", 2, "", "Refer-To: <sip:carol@192.0.2.7>;method=MESSAGE\r\n"), 488),
        (refer("alice", 2, "", &format!("Require: multiple-refer\r\n{carol}")), 420),
        (refer("stranger", 2, "", carol), 403),
        (refer("alice", 2, "", "Refer-To: <sip:other@chat.example>\r\n"), 403),
        (refer("alice", 2, "", "Refer-To: <sip:other@CHAT.example:5060>\r\n"), 403),
        (refer("alice", 2, "", "Refer-To: <sip:bob@example.com;method=BYE>\r\n"), 403),
        (refer("stranger", 2, "", "Refer-To: <sip:stranger@example.com;method=BYE>\r\n"), 403),
        (refer("alice", 2, ";tag=none", carol), 481),
        (refer("alice", 2, "", carol).replacen("lobby@chat.example", "lobby@elsewhere", 1), 404),
        (refer("alice", 2, "", carol).replace("Contact: <sip:alice@pc.example>\r\n", ""), 400),
        (text("SUBSCRIBE", "alice", 2, "", "Event: refer\r\n", ""), 403),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.sent.is_empty() && w.told.is_empty());
    assert_eq!((w.focus.core.dialogs.len(), w.focus.reports.table.len()), (1, 0));
}

#[test]
fn a_moderator_takes_out_all_devices_and_a_participant_their_own() {
    // REFER-02
    let mut w = World::new();
    let alice = w.call("alice");
    let tx = w.request(&invite("alice", 1, "", OFFER).replace("calice", "second").replace("talice", "t2"));
    let second = w.join().endpoint;
    w.grant(second);
    let tag = w.response().to_tag.unwrap();
    let ack = Phone { name: "alice", seq: 1, tag: tag.into(), endpoint: second };
    w.ack(&ack, tx, "");
    let mut bob = w.call("bob");
    // Behind the URI, as clients of AG Projects write it.
    w.request(&refer("mod", 1, "", "Refer-To: <sip:alice@example.com>;method=BYE\r\n"));
    assert_eq!(w.response().code, 202);
    let lines: Vec<String> = w.reports().into_iter().map(|r| r.0).collect();
    assert_eq!(lines, ["100 Trying", "200 OK"]);
    let byes: Vec<_> =
        w.sent.drain(..).map(|(_, r)| (r.method, r.headers.get("Reason").unwrap().to_owned())).collect();
    let bye = (Method::Bye, "SIP;cause=200;text=\"Removed from the room\"".to_owned());
    assert_eq!(byes, [bye.clone(), bye]);
    let left: Vec<_> = w
        .told
        .drain(..)
        .map(|m| match m {
            ToShard::Leave { endpoint, .. } => endpoint,
            m => panic!("{m:?}"),
        })
        .collect();
    assert_eq!(left, [alice.endpoint, second]);
    w.request(&refer("mod", 2, "", "Refer-To: <sip:nobody@example.com;method=BYE>\r\n"));
    assert_eq!((w.response().code, w.reports()[1].0.as_str()), (202, "404 Not Found"));
    // Inside the dialog of the call, which the report outlives.
    bob.seq += 1;
    w.request(&bob.text("REFER", bob.seq, "Refer-To: <sip:bob@example.com;method=BYE>\r\n", ""));
    assert_eq!(w.response().code, 202);
    assert_eq!(w.reports()[1], report("200 OK", "terminated;reason=noresource", "refer;id=2"));
    assert_eq!((w.sent().1.method, w.left()), (Method::Bye, bob.endpoint));
    assert!(w.focus.core.dialogs.is_empty());
}

#[test]
fn who_wants_no_report_gets_none_and_a_report_can_be_cancelled() {
    // REFER-03
    let mut w = World::new();
    let mut alice = w.call("alice");
    let silent = "Require: norefersub\r\nRefer-Sub: false\r\nRefer-To: <sip:carol@192.0.2.7>\r\n";
    w.request(&refer("alice", 2, "", silent));
    let response = w.response();
    assert_eq!((response.code, response.headers.get("Refer-Sub")), (202, Some("false")));
    let endpoint = w.join().endpoint;
    w.grant(endpoint);
    assert_eq!(w.sent().1.method, Method::Invite);
    for _ in 0..2 {
        alice.seq += 1;
        w.request(&alice.text("REFER", alice.seq, "Refer-To: <sip:dave@192.0.2.7>\r\n", ""));
        assert_eq!(w.response().code, 202);
        w.join();
    }
    let events: Vec<String> = w.reports().into_iter().map(|r| r.2).collect();
    assert_eq!(events, ["refer;id=2", "refer;id=3"]);
    for (event, expires, code) in
        [("refer;id=7", "60", 403), ("refer;id=3", "60", 200), ("refer;id=3", "0", 200)]
    {
        alice.seq += 1;
        let lines = format!("Event: {event}\r\nExpires: {expires}\r\n");
        assert_eq!(w.code(&alice.text("SUBSCRIBE", alice.seq, &lines, "")), code, "{event}");
    }
    let states: Vec<String> = w.reports().into_iter().map(|r| r.1).collect();
    assert_eq!(states, ["active;expires=90", "terminated;reason=timeout"]);
    assert_eq!(w.focus.reports.table.len(), 1);
}

#[test]
fn an_anonymous_participant_invites_anonymously() {
    // CHAT-JOIN-11, REFER-01
    let mut w = World::new();
    let (mut alice, _) = call_with(&mut w, "alice", "Privacy: id\r\n");
    let outside = refer("alice", 9, "", "Refer-To: <sip:carol@192.0.2.7>\r\n");
    assert_eq!(w.code(&outside), 403, "nobody of this name is here");
    alice.seq += 1;
    w.request(&alice.text("REFER", alice.seq, "Refer-To: <sip:carol@192.0.2.7>\r\n", ""));
    w.responses.clear();
    let endpoint = w.join().endpoint;
    w.reports();
    w.grant(endpoint);
    let (_, invite) = w.sent();
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:anonymous1@anonymous.invalid>"));
    assert!(!format!("{invite:?}").contains("alice"), "{invite:?}");
}

#[test]
fn a_room_rings_at_so_many_at_a_time() {
    // REFER-01
    let mut w = World::new();
    w.call("alice");
    for n in 0..=dial::DIALS_MAX {
        w.request(&refer("alice", n + 2, "", &format!("Refer-To: <sip:u{n}@192.0.2.7>\r\n")));
    }
    assert_eq!(w.told.len(), dial::DIALS_MAX as usize);
    assert_eq!(w.reports().last().unwrap().0, "503 Service Unavailable");
}

const FACTORY: &str = "sip:conference@chat.example";

#[test]
fn a_call_to_the_factory_makes_a_room_that_ends_with_its_creator() {
    // FOCUS-07
    let mut w = World::new();
    let mut rooms = Vec::new();
    for name in ["alice", "bob"] {
        let tx = w.request(&invite(name, 1, "", OFFER).replacen(ROOM, FACTORY, 1));
        let join = w.join();
        w.grant(join.endpoint);
        let ok = w.response();
        let user = join.room.user().to_owned();
        assert!(user.len() >= 22 && user != "conference", "{user}");
        let contact = format!("<sip:{user}@chat.example:5060;transport=tcp>;isfocus");
        assert_eq!(ok.headers.get("Contact"), Some(&*contact));
        let caller = Phone { name, seq: 1, tag: ok.to_tag.unwrap().into(), endpoint: join.endpoint };
        w.ack(&caller, tx, "");
        rooms.push((caller, join.room));
    }
    assert_ne!(rooms[0].1, rooms[1].1);
    // Who knows the name comes in, and goes without harm.
    let uri = format!("sip:{}@chat.example", rooms[0].1.user());
    let mut others = Vec::new();
    for name in ["carol", "dave"] {
        let tx = w.request(&invite(name, 1, "", OFFER).replacen(ROOM, &uri, 1));
        let join = w.join();
        assert_eq!(join.room, rooms[0].1);
        w.grant(join.endpoint);
        let tag = w.response().to_tag.unwrap().into();
        let caller = Phone { name, seq: 1, tag, endpoint: join.endpoint };
        w.ack(&caller, tx, "");
        others.push(caller);
    }
    assert_eq!(w.code(&others[0].next("BYE")), 200);
    assert_eq!(w.left(), others[0].endpoint);
    assert_eq!(w.code(&rooms[0].0.next("BYE")), 200);
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=410;text=\"The room is over\""));
    assert_eq!((w.told.len(), w.focus.calls.rooms.len()), (2, 1));
}

#[test]
fn the_factory_is_no_room() {
    // FOCUS-07
    let mut w = World::new();
    assert_eq!(w.code(&subscribe("").replacen(ROOM, FACTORY, 1)), 404);
    assert_eq!(w.code(&refer("mod", 1, "", "Refer-To: <sip:a@b>\r\n").replacen(ROOM, FACTORY, 1)), 404);
    assert_eq!(w.code(&text("OPTIONS", "alice", 1, "", "", "").replacen(ROOM, FACTORY, 1)), 200);
    // However it is spelt.
    w.request(&invite("alice", 1, "", OFFER).replacen(ROOM, "sip:%63onference@CHAT.example:5060", 1));
    assert_ne!(w.join().room.user(), "conference");
    w.focus.core.config.factory.clear();
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, FACTORY, 1));
    assert_eq!(w.join().room.as_str(), FACTORY);
}

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

#[test]
fn a_call_from_another_device_takes_the_place_of_the_old_one() {
    // FOCUS-09
    let mut w = World::new();
    let caller = w.call("alice");
    w.request(&replacing(&caller, "alice", ""));
    let new = w.join().endpoint;
    assert!(w.sent.is_empty(), "the old call stays until the new one is answered");
    w.grant(new);
    assert_eq!(w.response().code, 200);
    let (_, bye) = w.sent();
    assert_eq!(bye.headers.get("Reason"), Some("SIP;cause=200;text=\"Replaced\""));
    assert_eq!((bye.headers.get("Call-ID"), w.left()), (Some("calice"), caller.endpoint));
    // Once more: that dialog has ended.
    let again = replacing(&caller, "alice", "").replace("Call-ID: new", "Call-ID: newer");
    assert_eq!(w.code(&again), 603);
}

#[test]
fn each_fault_of_a_replacement_has_its_code_and_leaves_the_call() {
    // FOCUS-09
    let mut w = World::new();
    let caller = w.call("alice");
    let good = || replacing(&caller, "alice", "");
    w.request(&subscribe(""));
    let tag = w.response().to_tag.unwrap();
    w.sent.clear();
    let watcher = format!("Replaces: cwatcher;to-tag={tag};from-tag=twatcher\r\n");
    let cases = [
        (good().replace("Replaces: calice", "Replaces: other"), 481),
        (good().replace("from-tag=talice", "from-tag=other"), 481),
        (good().replacen(ROOM, "sip:other@chat.example", 1), 481),
        (good().replacen(ROOM, FACTORY, 1), 481),
        (invite("bob", 1, &watcher, OFFER), 481),
        (replacing(&caller, "bob", ""), 403),
        (good().replace("Require:", "Privacy: id\r\nRequire:"), 403),
        (replacing(&caller, "alice", ";early-only"), 486),
        (good().replace("Require:", "Replaces: a;to-tag=b;from-tag=c\r\nRequire:"), 400),
        (good().replace(";from-tag=talice", ""), 400),
        (good().replace("message/cpim", "message/cpin"), 488),
        (text("OPTIONS", "alice", 1, "", "Replaces: a;to-tag=b;from-tag=c\r\n", ""), 400),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    // The room has no place for the new one.
    w.request(&good());
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!((w.response().code, w.left()), (486, endpoint));
    assert!(w.sent.is_empty() && w.focus.calls.place_of(dialog::DialogId(1)).is_some());
}

#[test]
fn a_creator_who_changes_the_device_stays_the_creator() {
    // FOCUS-07, FOCUS-09
    let mut w = World::new();
    let tx = w.request(&invite("alice", 1, "", OFFER).replacen(ROOM, FACTORY, 1));
    let (room, endpoint) = {
        let join = w.join();
        (join.room, join.endpoint)
    };
    w.grant(endpoint);
    let caller = Phone { name: "alice", seq: 1, tag: w.response().to_tag.unwrap().into(), endpoint };
    w.ack(&caller, tx, "");
    let uri = format!("sip:{}@chat.example", room.user());
    w.request(&invite("bob", 1, "", OFFER).replacen(ROOM, &uri, 1));
    let bob = w.join().endpoint;
    w.request(&replacing(&caller, "alice", "").replacen(ROOM, &uri, 1));
    let second = w.join().endpoint;
    w.grant(second);
    assert_eq!((w.response().code, w.left()), (200, endpoint), "bob stays");
    let new = w.focus.calls.endpoints[&second];
    w.input(Input::NotAcked { tx: TxId(w.last_tx) });
    assert_eq!(w.focus.calls.place_of(new), None);
    let codes: Vec<u16> = w.responses.drain(..).map(|(_, r)| r.code).collect();
    assert_eq!(codes, [503], "bob was not answered yet");
    assert!(w.told.iter().any(|m| matches!(m, ToShard::Leave { endpoint, .. } if *endpoint == bob)));
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

#[test]
fn the_factory_calls_everybody_on_a_list() {
    let mut w = World::new();
    w.request(&listing(LISTED, TWO));
    let alice = w.join();
    assert!(alice.terms.is_some());
    w.grant(alice.endpoint);
    let ok = w.response();
    assert!(ok.code == 200 && ok.body.contains("m=message 2855 TCP/MSRP *\r\n"), "{}", ok.body);
    let joins: Vec<Join> = w
        .told
        .drain(..)
        .map(|m| match m {
            ToShard::Join(join) => *join,
            other => panic!("{other:?}"),
        })
        .collect();
    let whom: Vec<&str> = joins.iter().map(|j| j.participant.as_str()).collect();
    assert_eq!(whom, ["sip:bill@192.0.2.7", "sip:joe@192.0.2.8"]);
    assert!(joins.iter().all(|j| j.room == alice.room));
    w.grant(joins[0].endpoint);
    let (_, invite) = w.sent();
    assert_eq!((invite.method, &*invite.uri), (Method::Invite, "sip:bill@192.0.2.7"));
    assert_eq!(invite.headers.get("Referred-By"), Some("<sip:alice@example.com>"));
    // A refused creator calls nobody.
    w.request(&listing(LISTED, TWO).replace("Call-ID: calice", "Call-ID: again"));
    let endpoint = w.join().endpoint;
    w.input(Input::Shard(FromShard::Refused { endpoint, why: Refusal::ManyEndpoints, words: None }));
    assert_eq!((w.response().code, w.left()), (486, endpoint));
}

#[test]
fn lists_are_for_the_factory_and_must_be_sound() {
    let mut w = World::new();
    w.request(&listing(LISTED, TWO).replacen(FACTORY, ROOM, 1));
    let refusal = w.response();
    assert_eq!((refusal.code, refusal.headers.get("Unsupported")), (420, Some("recipient-list-invite")));
    assert_eq!(w.code(&listing("", TWO).replacen(FACTORY, ROOM, 1)), 415);
    let caller = w.call("bob");
    assert_eq!(w.code(&caller.text("INVITE", 2, LISTED, "")), 420, "nor for a call that is up");
    let many: String = (0..65).map(|n| format!("<entry uri=\"sip:u{n}@x\"/>")).collect();
    let cases = [
        (listing(LISTED, &many), 413),
        (listing(LISTED, "<list/>"), 400),
        (listing(LISTED, "<entry uri=\"tel:+491\"/>"), 488),
        (listing(LISTED, "<entry uri=\"sip:other@chat.example\"/>"), 403),
        (listing(LISTED, TWO).replace("boundary=\"b1\"", "boundary=\"b2\""), 400),
        (listing(LISTED, TWO).replace(";boundary=\"b1\"", ""), 400),
        (listing(LISTED, TWO).replace("application/resource-lists", "application/resource-lost!"), 415),
        (listing(LISTED, TWO).replace("message/cpim", "message/cpin"), 488),
    ];
    for (request, code) in cases {
        assert_eq!(w.code(&request), code, "{request}");
    }
    assert!(w.told.is_empty() && w.focus.core.dialogs.len() == 1);
    w.request(&text("OPTIONS", "alice", 1, "", "", "").replacen(ROOM, FACTORY, 1));
    assert!(w.response().headers.list("Supported").contains(&"recipient-list-invite"));
}

#[test]
fn all_rooms_together_ring_at_so_many_at_a_time() {
    // REFER-01
    let mut w = World::new();
    let list: String = (0..64).map(|n| format!("<entry uri=\"sip:u{n}@192.0.2.7\"/>")).collect();
    let mut rung = 0;
    for n in 0..=dial::ALL_DIALS_MAX / 64 {
        w.request(&listing(LISTED, &list).replace("Call-ID: calice", &format!("Call-ID: c{n}")));
        let endpoint = w.join().endpoint;
        w.grant(endpoint);
        assert_eq!(w.response().code, 200);
        rung += w.told.drain(..).count();
    }
    assert_eq!(rung, dial::ALL_DIALS_MAX as usize);
}
