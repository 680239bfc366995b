//! Several shards driven by value: no threads, no sockets, a clock that stands still unless told.
//!
//! What shards say to each other is delivered in the order of each pair: at once, or when the test says
//! so. What they write to a connection is collected for the participant at its other end, who may also
//! stop taking it; what a participant writes waits, as in the system, while its shard does not read.

use openmsrp::base::address::Address;
use openmsrp::base::chunk::Flag;
use openmsrp::base::clock::Now;
use openmsrp::base::entropy::Entropy;
use openmsrp::base::id::{ConnId, EndpointId, GrantNo, SessionId, ShardId};
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::room::rooms::Rooms;
use openmsrp::room::rules::Caller;
use openmsrp::shard::conns::CloseReason;
use openmsrp::shard::core::{Flow, Outputs, ShardConfig, ShardCore};
use openmsrp::shard::message::{FromShard, Join, ShardMessage, Terms, ToShard, home};
use openmsrp::wire::msrp::frame::{Framer, Step};
use openmsrp::wire::msrp::head::{Kind, Method};
use openmsrp::wire::sdp::TypeList;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const ROOM: &str = "sip:lobby@chat.example.com";

/// One frame as a participant sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// `SEND`, `REPORT`, or the code of an answer.
    pub(crate) what: String,
    pub(crate) tid: String,
    pub(crate) to_path: String,
    pub(crate) from_path: String,
    pub(crate) message_id: String,
    pub(crate) range: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) flag: Flag,
    pub(crate) raw: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let raw = String::from_utf8_lossy(&self.raw).into_owned();
        let head = raw.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        head.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }
}

/// The far end of a connection.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) at: Option<(usize, ConnId)>,
    received: Vec<u8>,
    /// Takes nothing.
    pub(crate) stalled: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) flow: Option<Flow>,
    /// Written and not read yet.
    unread: Vec<u8>,
    /// On its way from one shard to another.
    moving: bool,
    /// The participant hung up.
    gone: bool,
}

/// What crosses from one shard to another.
enum Crossing {
    Message(ShardMessage),
    Conn(usize, Vec<u8>),
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) cores: Vec<ShardCore>,
    pub(crate) ends: Vec<End>,
    by_conn: HashMap<(usize, ConnId), usize>,
    mesh: BTreeMap<(usize, usize), VecDeque<Crossing>>,
    /// What crosses waits for [`World::cross`].
    pub(crate) delayed: bool,
    pub(crate) control: Vec<FromShard>,
    pub(crate) connects: Vec<(usize, EndpointId, SocketAddr)>,
    /// How many messages crossed from one shard to another.
    pub(crate) crossed: usize,
    next_endpoint: u64,
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn peer_path(name: &str) -> String {
    format!("msrp://{name}.example.com:2855/{name}0123456789;tcp")
}

pub(crate) fn terms(name: &str) -> Terms {
    Terms {
        peer_path: peer_path(name).into_bytes().into(),
        accepts: TypeList::any(),
        private_messages: Some(true),
        may_send: true,
        may_receive: true,
        max_size: None,
        connect_to: None,
    }
}

impl World {
    pub(crate) fn new(shards: u16) -> Self {
        Self::with(shards, Policy::default())
    }

    pub(crate) fn with(shards: u16, policy: Policy) -> Self {
        let core = |n| {
            let config = ShardConfig {
                id: ShardId(n),
                shards,
                host: "chat.example.com".into(),
                port: 2855,
                rooms: Arc::new(Rooms::from(policy.clone())),
            };
            ShardCore::new(config, Entropy::from_seed(u64::from(n)))
        };
        Self {
            now: Now(1_000_000_000),
            cores: (0..shards).map(core).collect(),
            ends: Vec::new(),
            by_conn: HashMap::new(),
            mesh: BTreeMap::new(),
            delayed: false,
            control: Vec::new(),
            connects: Vec::new(),
            crossed: 0,
            next_endpoint: 0,
        }
    }

    pub(crate) fn later(&mut self, time: Duration) {
        self.now = self.now + time;
        for i in 0..self.cores.len() {
            self.cores[i].tick(self.now);
            self.settle();
        }
    }

    pub(crate) fn home(&self, room: &str) -> usize {
        home(&address(room), self.cores.len() as u16).index()
    }

    /// A room whose home is this shard.
    pub(crate) fn room_at(&self, shard: usize) -> String {
        let mut rooms = (0..20).map(|i| format!("sip:r{i}@chat.example.com"));
        rooms.find(|room| self.home(room) == shard).expect("each shard is the home of one of them")
    }

    pub(crate) fn tell(&mut self, shard: usize, command: ToShard) {
        self.cores[shard].command(self.now, command);
        self.settle();
    }

    /// Asks for a place in the room; the session, if the room says yes.
    pub(crate) fn invite_as(
        &mut self,
        room: &str,
        name: &str,
        terms: Option<Terms>,
    ) -> (EndpointId, Option<SessionId>) {
        self.next_endpoint += 1;
        let endpoint = EndpointId(self.next_endpoint);
        let participant = address(&format!("sip:{name}@example.com"));
        let join = Join {
            endpoint,
            room: address(room),
            participant: participant.clone(),
            aliases: Vec::new(),
            display_name: name.into(),
            contact: format!("sip:{name}@pc").into(),
            caller: Caller::of(&participant),
            password: None,
            terms,
        };
        self.tell(self.home(room), ToShard::Join(Box::new(join)));
        (endpoint, self.granted(endpoint))
    }

    pub(crate) fn granted(&self, endpoint: EndpointId) -> Option<SessionId> {
        self.control.iter().rev().find_map(|e| match e {
            FromShard::Granted { endpoint: who, session, .. } if *who == endpoint => Some(*session),
            _ => None,
        })
    }

    pub(crate) fn connect(&mut self, shard: usize) -> usize {
        let conn = self.cores[shard].accepted(self.now).expect("accepted");
        self.new_end(shard, conn)
    }

    fn new_end(&mut self, shard: usize, conn: ConnId) -> usize {
        self.ends.push(End { at: Some((shard, conn)), ..End::default() });
        self.by_conn.insert((shard, conn), self.ends.len() - 1);
        self.ends.len() - 1
    }

    /// What the runtime does when a connection it was asked for is open.
    pub(crate) fn connected(&mut self, shard: usize, endpoint: EndpointId) -> usize {
        let (.., to) = *self.connects.iter().rev().find(|(_, e, _)| *e == endpoint).expect("asked for");
        let conn = self.cores[shard].connected(self.now, endpoint, to).expect("still wanted");
        let end = self.new_end(shard, conn);
        self.settle();
        end
    }

    pub(crate) fn write(&mut self, end: usize, octets: &[u8]) {
        self.ends[end].unread.extend_from_slice(octets);
        self.read(end);
        self.settle();
    }

    /// What a shard reads from a connection while it reads.
    fn read(&mut self, end: usize) {
        while let Some((shard, conn)) = self.ends[end].at {
            let e = &mut self.ends[end];
            if e.unread.is_empty() || e.moving || !matches!(e.flow, None | Some(Flow::Go)) {
                return;
            }
            let n = e.unread.len().min(limits::READ_BYTES);
            let octets: Vec<u8> = e.unread.drain(..n).collect();
            let flow = self.cores[shard].bytes(self.now, conn, &octets);
            self.ends[end].flow = Some(flow);
        }
    }

    pub(crate) fn hang_up(&mut self, end: usize) {
        self.ends[end].gone = true;
        self.ends[end].unread.clear();
        if let Some((shard, conn)) = self.ends[end].at.take() {
            self.by_conn.remove(&(shard, conn));
            self.cores[shard].closed(self.now, conn);
            self.settle();
        }
    }

    /// The far end sends something and is gone before the shards have dealt with it.
    pub(crate) fn vanishes_asking(&mut self, end: usize, octets: &[u8]) {
        let Some((shard, conn)) = self.ends[end].at.take() else { return };
        self.cores[shard].bytes(self.now, conn, octets);
        self.by_conn.remove(&(shard, conn));
        self.cores[shard].closed(self.now, conn);
        self.settle();
    }

    /// Carries out all outputs until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for shard in 0..self.cores.len() {
                if self.cores[shard].deadline().is_some_and(|due| due <= self.now) {
                    self.cores[shard].tick(self.now);
                }
                let mut out = Outputs::default();
                self.cores[shard].outputs(&mut out);
                let mut writes = Vec::new();
                self.cores[shard].take_writes(&mut writes);
                quiet &= out.is_empty() && writes.is_empty();
                writes.into_iter().for_each(|conn| self.take(shard, conn));
                self.carry_out(shard, out);
            }
            quiet &= self.cores.iter().all(|core| core.deadline().is_none_or(|due| due > self.now));
            let pair = self.crossing().next();
            if let Some(pair) = pair.filter(|_| !self.delayed) {
                quiet = false;
                self.cross_one(pair);
            }
            if quiet {
                break;
            }
        }
        self.cores.iter().for_each(ShardCore::check);
    }

    /// The pairs of shards between which something is on its way.
    pub(crate) fn crossing(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.mesh.iter().filter(|(_, waiting)| !waiting.is_empty()).map(|(pair, _)| *pair)
    }

    /// The oldest thing on its way between these two arrives.
    pub(crate) fn cross(&mut self, pair: (usize, usize)) {
        self.cross_one(pair);
        self.settle();
    }

    /// Everything on its way arrives, and whatever follows.
    pub(crate) fn cross_all(&mut self) {
        let delayed = std::mem::replace(&mut self.delayed, false);
        self.settle();
        self.delayed = delayed;
    }

    fn cross_one(&mut self, (from, to): (usize, usize)) {
        match self.mesh.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            Some(Crossing::Message(message)) => {
                self.cores[to].message(self.now, ShardId(from as u16), message)
            }
            Some(Crossing::Conn(end, unread)) => self.arrive(to, end, &unread),
            None => {}
        }
    }

    fn arrive(&mut self, to: usize, end: usize, unread: &[u8]) {
        let conn = self.cores[to].accepted(self.now).expect("accepted");
        self.by_conn.insert((to, conn), end);
        let e = &mut self.ends[end];
        (e.at, e.moving) = (Some((to, conn)), false);
        let flow = self.cores[to].bytes(self.now, conn, unread);
        self.ends[end].flow = Some(flow);
        if self.ends[end].gone {
            self.ends[end].at = None;
            self.by_conn.remove(&(to, conn));
            self.cores[to].closed(self.now, conn);
        } else {
            self.read(end);
        }
    }

    fn carry_out(&mut self, shard: usize, mut out: Outputs) {
        for (to, message) in out.mesh.drain(..) {
            self.crossed += 1;
            self.mesh.entry((shard, to.index())).or_default().push_back(Crossing::Message(message));
        }
        self.control.append(&mut out.control);
        for (endpoint, to) in out.connect.drain(..) {
            self.connects.push((shard, endpoint, to));
        }
        for (conn, to, unread) in out.hand_over.drain(..) {
            let end = self.by_conn.remove(&(shard, conn)).expect("a connection moves once");
            let e = &mut self.ends[end];
            (e.at, e.moving) = (None, true);
            self.mesh.entry((shard, to.index())).or_default().push_back(Crossing::Conn(end, unread));
        }
        for (conn, reason, at_once) in out.close.drain(..) {
            let Some(&end) = self.by_conn.get(&(shard, conn)) else { continue };
            self.ends[end].closed.get_or_insert(reason);
            self.ends[end].flow = Some(Flow::Stop);
            if at_once {
                self.end(shard, conn);
            } else {
                self.take(shard, conn);
            }
        }
        for conn in out.resume.drain(..) {
            let flow = self.cores[shard].resume(self.now, conn);
            if let Some(&end) = self.by_conn.get(&(shard, conn)) {
                self.ends[end].flow = Some(flow);
                self.read(end);
            }
        }
    }

    /// The socket of a connection is gone.
    fn end(&mut self, shard: usize, conn: ConnId) {
        if let Some(end) = self.by_conn.remove(&(shard, conn)) {
            self.ends[end].at = None;
            self.cores[shard].closed(self.now, conn);
        }
    }

    /// The far end takes what is queued for it, unless it is stalled. A connection that is being closed ends with that.
    fn take(&mut self, shard: usize, conn: ConnId) {
        let Some(&end) = self.by_conn.get(&(shard, conn)) else { return };
        while !self.ends[end].stalled {
            let octets = self.waiting(shard, conn);
            if octets.is_empty() {
                break;
            }
            self.cores[shard].wrote(self.now, conn, octets.len());
            self.ends[end].received.extend(octets);
        }
        if self.ends[end].closed.is_some() && self.waiting(shard, conn).is_empty() {
            self.end(shard, conn);
        }
    }

    /// What the next write of a connection takes.
    fn waiting(&self, shard: usize, conn: ConnId) -> Vec<u8> {
        self.cores[shard].waiting(conn).flatten().copied().collect()
    }

    /// A stalled end takes a few octets.
    pub(crate) fn sip(&mut self, end: usize, octets: usize) {
        let Some((shard, conn)) = self.ends[end].at else { return };
        let mut taken = self.waiting(shard, conn);
        taken.truncate(octets);
        self.cores[shard].wrote(self.now, conn, taken.len());
        self.ends[end].received.extend(taken);
        self.settle();
    }

    /// A stalled end takes again.
    pub(crate) fn recover(&mut self, end: usize) {
        self.ends[end].stalled = false;
        if let Some((shard, conn)) = self.ends[end].at {
            self.take(shard, conn);
        }
        self.settle();
    }

    /// The octets that arrived since this was last called.
    pub(crate) fn octets(&mut self, end: usize) -> Vec<u8> {
        std::mem::take(&mut self.ends[end].received)
    }

    /// The frames that arrived since this was last called; all of them must be whole.
    pub(crate) fn frames(&mut self, end: usize) -> Vec<Frame> {
        let octets = self.octets(end);
        let (mut framer, mut at, mut all) = (Framer::default(), 0, Vec::new());
        while at < octets.len() {
            match framer.step(&octets[at..], usize::MAX).expect("what we write is MSRP") {
                Step::Head { head, body, end: Some(flag), used } => {
                    assert_eq!(head.fault, None);
                    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                    let raw = octets[at..at + used].to_vec();
                    let mut frame = Frame {
                        what: match head.kind {
                            Kind::Response { code, .. } => code.to_string(),
                            Kind::Request(Method::Send) => "SEND".into(),
                            Kind::Request(Method::Report) => "REPORT".into(),
                            other => format!("{other:?}"),
                        },
                        tid: text(head.tid),
                        to_path: text(head.to_path),
                        from_path: text(head.from_path),
                        message_id: text(head.message_id.unwrap_or_default()),
                        range: String::new(),
                        body: body.map(<[u8]>::to_vec),
                        flag,
                        raw,
                    };
                    frame.range = frame.header("Byte-Range").unwrap_or_default();
                    all.push(frame);
                    at += used;
                }
                other => panic!("half a frame: {other:?}"),
            }
        }
        all
    }
}

/// A re-INVITE asks for another session of `who`.
pub(crate) fn ask_for_another(w: &mut World, room: &str, who: EndpointId, terms: Terms) {
    let (home, rebind) = (w.home(room), Some(GrantNo(1)));
    let revise = ToShard::Revise { endpoint: who, room: address(room), terms: Box::new(terms), rebind };
    w.tell(home, revise);
}

/// A connection at the wrong shard that has been answered once, so it does not move.
pub(crate) fn settled(w: &mut World, shard: usize) -> usize {
    let end = w.connect(shard);
    w.write(end, b"MSRP stray1 SEND\r\nTo-Path: msrp://chat.example.com:2855/nobody;tcp\r\nFrom-Path: msrp://x:1/x;tcp\r\nMessage-ID: abcd\r\n-------stray1$\r\n");
    assert_eq!(w.frames(end)[0].what, "481");
    end
}

/// The answer to a copy.
pub(crate) fn answer(copy: &Frame, code: &str) -> String {
    let Frame { tid, to_path, from_path, .. } = copy;
    format!("MSRP {tid} {code}\r\nTo-Path: {from_path}\r\nFrom-Path: {to_path}\r\n-------{tid}$\r\n")
}

/// A participant whose session is bound.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) room: String,
    pub(crate) endpoint: EndpointId,
    pub(crate) session: SessionId,
    pub(crate) end: usize,
}

impl Person {
    /// Joins and binds, arriving at the listener of `shard`.
    pub(crate) fn enters_at(w: &mut World, shard: usize, room: &str, name: &str) -> Self {
        Self::enters_with(w, shard, room, name, terms(name))
    }

    pub(crate) fn enters_with(w: &mut World, shard: usize, room: &str, name: &str, terms: Terms) -> Self {
        let (endpoint, session) = w.invite_as(room, name, Some(terms));
        let end = w.connect(shard);
        let person =
            Self { name: name.into(), room: room.into(), endpoint, session: session.expect("granted"), end };
        person.binds(w);
        person
    }

    pub(crate) fn enters(w: &mut World, name: &str) -> Self {
        Self::enters_at(w, 0, ROOM, name)
    }

    pub(crate) fn binds(&self, w: &mut World) {
        w.write(self.end, &self.binding("bind0001"));
        let frames = w.frames(self.end);
        assert_eq!(frames.len(), 1, "{} is bound by one answer", self.name);
        assert_eq!((frames[0].what.as_str(), frames[0].tid.as_str()), ("200", "bind0001"));
    }

    /// The first request of a session.
    pub(crate) fn binding(&self, tid: &str) -> Vec<u8> {
        self.request(tid, "SEND", "Message-ID: bind\r\nByte-Range: 1-0/0\r\n", None, '$')
    }

    pub(crate) fn our_uri(&self) -> String {
        format!("msrp://chat.example.com:2855/{};tcp", std::str::from_utf8(self.session.reveal()).unwrap())
    }

    pub(crate) fn request(
        &self,
        tid: &str,
        method: &str,
        headers: &str,
        body: Option<&[u8]>,
        flag: char,
    ) -> Vec<u8> {
        let mut m = format!(
            "MSRP {tid} {method}\r\nTo-Path: {}\r\nFrom-Path: {}\r\n{headers}",
            self.our_uri(),
            peer_path(&self.name)
        )
        .into_bytes();
        if let Some(body) = body {
            m.extend_from_slice(b"\r\n");
            m.extend_from_slice(body);
            m.extend_from_slice(b"\r\n");
        }
        m.extend_from_slice(format!("-------{tid}{flag}\r\n").as_bytes());
        m
    }

    /// The wrapped text as this participant would send it to the room.
    pub(crate) fn wrapped(&self, text: &str) -> String {
        let Self { name, room, .. } = self;
        format!(
            "From: <sip:{name}@example.com>\r\nTo: <{room}>\r\n\r\nContent-Type: text/plain\r\n\r\n{text}"
        )
    }

    pub(crate) fn message(&self, n: u32, extra: &str, body: &str) -> Vec<u8> {
        let headers = format!(
            "Message-ID: m{n}abc\r\n{extra}Byte-Range: 1-{len}/{len}\r\nContent-Type: message/cpim\r\n",
            len = body.len()
        );
        self.request(&format!("t{n:07}"), "SEND", &headers, Some(body.as_bytes()), '$')
    }

    pub(crate) fn says(&self, w: &mut World, n: u32, text: &str) {
        w.write(self.end, &self.message(n, "", &self.wrapped(text)));
    }

    /// A chunk of a message.
    pub(crate) fn chunk(&self, tid: &str, id: &str, range: &str, body: &[u8], flag: char) -> Vec<u8> {
        let headers = format!("Message-ID: {id}\r\nByte-Range: {range}\r\nContent-Type: message/cpim\r\n");
        self.request(tid, "SEND", &headers, Some(body), flag)
    }

    /// The bodies that reached this participant since last asked; answers them if `answers`.
    pub(crate) fn hears(&self, w: &mut World) -> Vec<String> {
        let frames = w.frames(self.end);
        frames.iter().filter(|f| f.what == "SEND").map(Frame::text).collect()
    }

    /// Answers every copy that reached this participant since last asked; how many there were.
    pub(crate) fn answers_copies(&self, w: &mut World, code: &str) -> usize {
        let frames = w.frames(self.end);
        let copies: Vec<&Frame> = frames.iter().filter(|f| f.what == "SEND").collect();
        for copy in &copies {
            w.write(self.end, answer(copy, code).as_bytes());
        }
        copies.len()
    }

    /// The reports that reached this participant since last asked.
    pub(crate) fn reports(&self, w: &mut World) -> Vec<Frame> {
        w.frames(self.end).into_iter().filter(|f| f.what == "REPORT").collect()
    }

    /// Nothing at all reached this participant since last asked.
    pub(crate) fn octets_none(&self, w: &mut World) -> bool {
        w.octets(self.end).is_empty()
    }

    pub(crate) fn answers(&self, w: &mut World) -> Vec<(String, String)> {
        let frames = w.frames(self.end);
        frames.into_iter().filter(|f| f.what != "SEND").map(|f| (f.tid, f.what)).collect()
    }

    pub(crate) fn leaves(&self, w: &mut World) {
        let (endpoint, room) = (self.endpoint, address(&self.room));
        let shard = w.home(&self.room);
        w.tell(shard, ToShard::Leave { endpoint, room });
    }
}
