//! The focus and one shard by value: calls come in as text, sessions are opened, calls end. No SIP library, no
//! sockets, no transactions.

use super::messages::{read, request};
use super::switch::{peer_path, shard};
use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::base::flood::Limits;
use openmsrp::base::id::{ConnId, ShardId};
use openmsrp::base::limits;
use openmsrp::focus::accounts::Accounts;
use openmsrp::focus::signalling::{Flow, Request, Response, Transport};
use openmsrp::focus::strict::{self, Message};
use openmsrp::focus::{Config, Focus, Input, Output, TxId};
use openmsrp::shard::core::{self, Outputs, ShardCore};
use std::time::Duration;

/// Both planes.
pub(crate) struct Planes {
    pub(crate) focus: Focus,
    pub(crate) core: ShardCore,
    now: Now,
    flow: Flow,
    last_tx: u64,
    answers: Vec<(TxId, Response)>,
    outputs: Outputs,
    writes: Vec<ConnId>,
    /// What was written to all connections since the last look.
    written: Vec<u8>,
}

/// A client's side of a call.
pub(crate) struct Call {
    n: usize,
    room: String,
    /// The tag that the focus gave.
    tag: String,
    conn: ConnId,
}

impl Planes {
    pub(crate) fn new() -> Self {
        let config = Config {
            domains: vec!["chat.example.com".into()],
            addresses: Vec::new(),
            msrp_host: "chat.example.com".into(),
            msrp_port: 2855,
            rooms: Default::default(),
            factory: String::new(),
            directory: "rooms".into(),
            moderators_see_identity: false,
            outbound_proxy: None,
            roster_whole_max: limits::ROSTER_WHOLE_MAX,
            accounts: Accounts::default(),
            floods: Limits::none(),
            shards: 1,
        };
        let peer = ([192, 0, 2, 1], 5060).into();
        let flow = Flow { transport: Transport::Udp, link: 0, peer, local: "192.0.2.9:5060".into() };
        Self {
            focus: Focus::new(config, Entropy::from_seed(2)),
            core: shard(),
            now: Now(1),
            flow,
            last_tx: 0,
            answers: Vec::new(),
            outputs: Outputs::default(),
            writes: Vec::new(),
            written: Vec::new(),
        }
    }

    /// INVITE, 200, ACK, the first SEND on a connection of its own and the answer to that.
    pub(crate) fn join(&mut self, n: usize, room: &str) -> Call {
        let tx = self.request(&text("INVITE", n, room, "", 1, &offer(n)));
        let ok = self.answer(tx);
        let path = ok.body.lines().find_map(|l| l.strip_prefix("a=path:")).expect("a path");
        let tag = ok.to_tag.as_deref().expect("a tag").to_owned();
        let first = request(path.as_bytes(), peer_path(n).as_bytes(), None);
        let ack = sound(&text("ACK", n, room, &tag, 1, ""));
        self.focus.handle(self.now, Input::Acked { tx, request: ack, flow: self.flow.clone() });
        self.run();
        let conn = self.core.accepted(self.now).expect("a connection");
        assert_eq!(self.core.bytes(self.now, conn, &first), core::Flow::Go);
        self.run();
        assert_eq!(read(&self.written).0, 1, "the session is there");
        self.written.clear();
        Call { n, room: room.to_owned(), tag, conn }
    }

    /// BYE, 200, the end of the connection.
    pub(crate) fn leave(&mut self, call: &Call) {
        let tx = self.request(&text("BYE", call.n, &call.room, &call.tag, 2, ""));
        self.answer(tx);
        self.core.closed(self.now, call.conn);
        self.run();
    }

    /// Lets time pass: what is due is done.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.focus.tick(self.now);
        self.core.tick(self.now);
        self.run();
    }

    fn request(&mut self, text: &str) -> TxId {
        self.last_tx += 1;
        let tx = TxId(self.last_tx);
        let input = Input::Request { tx, request: sound(text), flow: self.flow.clone() };
        self.focus.handle(self.now, input);
        self.run();
        tx
    }

    fn answer(&mut self, tx: TxId) -> Response {
        let (to, response) = self.answers.pop().expect("an answer");
        assert!(to == tx && response.code == 200 && self.answers.is_empty(), "{response:?}");
        response
    }

    /// Carries everything between the planes until nothing is under way.
    fn run(&mut self) {
        loop {
            while let Some(output) = self.focus.poll() {
                match output {
                    Output::Respond { tx, response } => self.answers.push((tx, response)),
                    Output::Tell { shard: ShardId(0), message } => self.core.command(self.now, message),
                    other => panic!("nobody was called or notified: {other:?}"),
                }
            }
            self.core.outputs(&mut self.outputs);
            self.core.take_writes(&mut self.writes);
            for id in self.writes.drain(..) {
                let before = self.written.len();
                self.core.waiting(id).for_each(|piece| self.written.extend_from_slice(piece));
                self.core.wrote(self.now, id, self.written.len() - before);
            }
            for (conn, _, _) in self.outputs.close.drain(..) {
                self.core.closed(self.now, conn);
            }
            if self.outputs.control.is_empty() {
                return;
            }
            for event in self.outputs.control.drain(..) {
                self.focus.handle(self.now, Input::Shard(event));
            }
        }
    }
}

fn sound(text: &str) -> Request {
    match strict::read(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("no sound request: {other:?}"),
    }
}

fn offer(n: usize) -> String {
    format!(
        "v=0\r\no=- 3909130200 3909130200 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=message 20000 TCP/MSRP *\r\na=path:{}\r\na=setup:active\r\na=accept-types:message/cpim\r\n\
         a=accept-wrapped-types:*\r\na=chatroom:nickname private-messages\r\na=sendrecv\r\n",
        peer_path(n)
    )
}

/// A request of user `n` to a room.
fn text(method: &str, n: usize, room: &str, tag: &str, seq: u32, body: &str) -> String {
    let to_tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let media = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {room} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{n}-{seq}-{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"User {n}\" <sip:user{n:06}@example.com>;tag=from{n}\r\n\
         To: <{room}>{to_tag}\r\nCall-ID: 6f1d9e3c-{n}@192.0.2.1\r\nCSeq: {seq} {method}\r\n\
         Contact: <sip:user{n:06}@192.0.2.1:5060>\r\nAllow: INVITE, ACK, CANCEL, BYE, NOTIFY, OPTIONS\r\n\
         User-Agent: bench\r\n{media}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
