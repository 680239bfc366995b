//! The shards and the focus by value and what is around the shards: rings, connections. One call of a shard
//! is one turn; what comes next is drawn. What is around the focus: `desk.rs`.

use super::canary::Canary;
use super::desk::Desk;
use super::link::{Link, Reads};
use super::oracle::Oracle;
use super::people::{Seat, stay_at};
use super::plan::Plan;
use super::trace::Trace;
use crate::base::address::Address;
use crate::base::budget::Rate;
use crate::base::clock::Now;
use crate::base::entropy::Entropy;
use crate::base::flood::Flood;
use crate::base::id::{ConnId, EndpointId, ShardId};
use crate::base::limits;
use crate::base::rights::Role;
use crate::focus::accounts::Accounts;
use crate::focus::{self, Focus};
use crate::room::policy::Policy;
use crate::room::rooms::Rooms;
use crate::shard::core::{Flow, Outputs, ShardConfig, ShardCore};
use crate::shard::message::{FromShard, ShardMessage, ToShard, home};
use crate::wire::msrp::frame::{Framer, Step};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What travels from shard to shard.
#[derive(Debug)]
pub(super) enum Carried {
    /// A message.
    Message(ShardMessage),
    /// A connection, with the octets that were not consumed.
    Conn { link: usize, unread: Vec<u8> },
}

/// Chance, in streams that do not disturb each other.
#[derive(Debug)]
pub(super) struct Dice {
    pub(super) schedule: Entropy,
    pub(super) net: Entropy,
    pub(super) people: Entropy,
    pub(super) bug: Entropy,
    pub(super) sip: Entropy,
}

/// Everything there is.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) now: Now,
    pub(super) turn: u64,
    pub(super) cores: Vec<ShardCore>,
    pub(super) focus: Focus,
    pub(super) desk: Desk,
    /// Until when each shard gets no turn.
    pub(super) frozen: Vec<Now>,
    /// From shard a to shard b at `a * shards + b`.
    mesh: Vec<VecDeque<Carried>>,
    pub(super) commands: Vec<VecDeque<ToShard>>,
    pub(super) news: Vec<VecDeque<FromShard>>,
    pub(super) links: Vec<Link>,
    by_conn: BTreeMap<(usize, ConnId), usize>,
    pub(super) connects: VecDeque<(usize, EndpointId, std::net::SocketAddr)>,
    pub(super) rooms: Vec<Address>,
    pub(super) seats: Vec<Seat>,
    pub(super) seat_of: BTreeMap<EndpointId, usize>,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    /// No more faults and no more to say: the world comes to rest.
    pub(super) healed: bool,
    pub(super) canary: Option<Canary>,
}

/// One thing that can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Feed(usize),
    Resume(usize),
    Write(usize),
    Read(usize),
    Mesh(usize, usize),
    Command(usize),
    News(usize),
    Tick(usize),
    Connect,
    Person(usize),
    Packet(usize),
    Focus,
    Refresh(usize),
}

impl World {
    /// The world that `seed` draws.
    pub(super) fn new(seed: u64, canary: Option<Canary>) -> Self {
        let stream = |salt: u64| Entropy::from_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt);
        let plan = Plan::draw(&mut stream(1));
        let shards = usize::from(plan.shards);
        let mut policy = policy();
        if plan.flood > 0 {
            let rate = Rate { count: 1, time: Duration::from_secs(86_400), burst: plan.flood };
            policy.floods.set(Flood::Messages, Some(rate));
        }
        let rooms: Arc<Rooms> = Arc::new(Rooms::from(policy));
        let core = |n: u16| {
            let config = ShardConfig {
                id: ShardId(n),
                shards: plan.shards,
                host: "chat.example.com".into(),
                port: 2855,
                rooms: rooms.clone(),
            };
            ShardCore::new(config, stream(100 + u64::from(n)))
        };
        let room = |n| Address::parse(&format!("sip:room{n}@chat.example.com")).ok();
        let config = focus::Config {
            domains: vec!["chat.example.com".into()],
            addresses: Vec::new(),
            msrp_host: "chat.example.com".into(),
            msrp_port: 2855,
            rooms: rooms.clone(),
            factory: String::new(),
            directory: "rooms".into(),
            moderators_see_identity: false,
            outbound_proxy: None,
            roster_whole_max: limits::ROSTER_WHOLE_MAX,
            accounts: Accounts::default(),
            floods: crate::base::flood::Limits::none(),
            shards: plan.shards,
        };
        let mut world = Self {
            dice: Dice {
                schedule: stream(2),
                net: stream(3),
                people: stream(4),
                bug: stream(5),
                sip: stream(6),
            },
            now: Now(1_000_000_000),
            turn: 0,
            cores: (0..plan.shards).map(core).collect(),
            focus: Focus::new(config, stream(7)),
            desk: Desk::default(),
            frozen: vec![Now(0); shards],
            mesh: (0..shards * shards).map(|_| VecDeque::new()).collect(),
            commands: (0..shards).map(|_| VecDeque::new()).collect(),
            news: (0..shards).map(|_| VecDeque::new()).collect(),
            links: Vec::new(),
            by_conn: BTreeMap::new(),
            connects: VecDeque::new(),
            rooms: (0..plan.rooms).filter_map(room).collect(),
            seats: Vec::new(),
            seat_of: BTreeMap::new(),
            oracle: Oracle::with(plan.flood),
            trace: Trace::default(),
            healed: false,
            canary,
            plan,
        };
        world.settle_in();
        world
    }

    /// The shard that orders the messages of a room.
    fn home(&self, room: usize) -> usize {
        home(&self.rooms[room], self.plan.shards).index()
    }

    /// A participant connects to the listener of some shard.
    pub(super) fn connect(&mut self, split: bool, reads: Reads) -> Option<usize> {
        let shard = self.dice.net.below(u64::from(self.plan.shards)) as usize;
        self.turn += 1;
        let conn = self.cores[shard].accepted(self.now)?;
        self.links.push(Link::new((shard, conn), split, reads));
        self.by_conn.insert((shard, conn), self.links.len() - 1);
        self.carry_out(shard);
        Some(self.links.len() - 1)
    }

    /// Does one thing that can be done now. False if there is none.
    pub(super) fn step(&mut self) -> bool {
        if self.stop_shards() {
            return true;
        }
        let ready = self.ready();
        if ready.is_empty() {
            return false;
        }
        let act = ready[self.dice.schedule.below(ready.len() as u64) as usize];
        self.now = self.now + Duration::from_micros(1 + self.dice.schedule.below(200));
        match act {
            Act::Feed(link) => self.feed(link),
            Act::Resume(link) => self.resume(link),
            Act::Write(link) => self.write(link),
            Act::Read(link) => self.read(link),
            Act::Mesh(from, to) => self.cross(from, to),
            Act::Command(shard) => self.command(shard),
            Act::News(shard) => self.news_arrive(shard),
            Act::Tick(shard) => {
                self.turn += 1;
                self.cores[shard].tick(self.now);
                self.carry_out(shard);
            }
            Act::Connect => self.connect_out(),
            Act::Person(seat) => self.act(seat),
            Act::Packet(packet) => self.arrives(packet),
            Act::Focus => self.focus_tick(),
            Act::Refresh(seat) => self.refresh(seat),
        }
        true
    }

    fn ready(&self) -> Vec<Act> {
        let mut ready = Vec::new();
        let room = self.plan.socket_bytes as usize;
        let clogged = self.is_clogged();
        for (i, link) in self.links.iter().enumerate() {
            if link.can_read(self.now) {
                ready.push(Act::Read(i));
            }
            if link.at.is_some_and(|(shard, _)| self.is_frozen(shard)) {
                continue;
            }
            if link.can_feed(self.now) && !clogged {
                ready.push(Act::Feed(i));
            }
            if link.resume && link.at.is_some() {
                ready.push(Act::Resume(i));
            }
            if link.can_write(self.now, room) {
                ready.push(Act::Write(i));
            }
        }
        let shards = self.cores.len();
        let full = self.mesh.iter().enumerate().filter(|(_, ring)| !ring.is_empty());
        let full = full.filter(|(i, _)| !self.is_frozen(i % shards));
        ready.extend(full.map(|(i, _)| Act::Mesh(i / shards, i % shards)));
        for shard in 0..shards {
            if !self.commands[shard].is_empty() && !self.is_frozen(shard) {
                ready.push(Act::Command(shard));
            }
            if !self.news[shard].is_empty() {
                ready.push(Act::News(shard));
            }
            let due = self.cores[shard].deadline().is_some_and(|due| due <= self.now);
            if due && !self.is_frozen(shard) {
                ready.push(Act::Tick(shard));
            }
        }
        if self.connects.front().is_some_and(|(shard, ..)| !self.is_frozen(*shard)) {
            ready.push(Act::Connect);
        }
        let due = self.seats.iter().enumerate().filter(|(_, s)| s.acts_at.is_some_and(|at| at <= self.now));
        ready.extend(due.map(|(i, _)| Act::Person(i)));
        ready.extend(self.arriving().map(Act::Packet));
        if self.focus.deadline().is_some_and(|due| due <= self.now) {
            ready.push(Act::Focus);
        }
        let refreshes = |s: &Seat| s.agent.refresh_at().is_some_and(|at| at <= self.now);
        let stale = self.seats.iter().enumerate().filter(|(i, s)| refreshes(s) && !self.is_away(*i));
        ready.extend(stale.map(|(i, _)| Act::Refresh(i)));
        ready
    }

    fn is_frozen(&self, shard: usize) -> bool {
        self.frozen[shard] > self.now
    }

    /// So much has spilled from a ring that no shard reads its connections.
    fn is_clogged(&self) -> bool {
        let most = (self.plan.ring + self.plan.spill) as usize;
        self.mesh.iter().any(|ring| ring.len() >= most) || self.news.iter().any(|ring| ring.len() >= most)
    }

    /// When something can be done next, if nothing can be done now.
    pub(super) fn next(&self) -> Option<Now> {
        let cores = self.cores.iter().filter_map(ShardCore::deadline);
        let people = self.seats.iter().filter_map(|s| s.acts_at);
        let links = self.links.iter().filter(|l| l.at.is_some()).map(|l| l.stalled);
        let frozen = self.frozen.iter().copied();
        let all = cores.chain(people).chain(links).chain(frozen).chain(self.next_signal());
        all.filter(|at| *at > self.now).min()
    }

    /// Some octets reach the switch, or the end of them.
    fn feed(&mut self, i: usize) {
        let link = &mut self.links[i];
        let Some((shard, conn)) = link.at else { return };
        if link.up.is_empty() {
            return self.hang_up(i);
        }
        let most = link.up.len().min(limits::READ_BYTES) as u64;
        let n = match (link.split, self.dice.net.below(3)) {
            (true, _) => 1,
            (_, 0) => 1 + self.dice.net.below(most.min(20)),
            (_, 1) => 1 + self.dice.net.below(most),
            _ => most,
        };
        let data: Vec<u8> = link.up.drain(..n as usize).collect();
        link.fed += n;
        self.turn += 1;
        let fed = link.fed;
        for mark in link.marks.iter().take_while(|m| m.start < fed) {
            self.oracle.begun(self.turn, mark.request);
            if let Some(r) = self.oracle.requests.get_mut(mark.request as usize).filter(|_| mark.end <= fed) {
                r.arrived.get_or_insert(self.now);
            }
        }
        self.trace.event("feed", [i as u64, n, self.now.0]);
        let flow = self.cores[shard].bytes(self.now, conn, &data);
        self.follow(i, flow);
        self.carry_out(shard);
    }

    fn resume(&mut self, i: usize) {
        self.links[i].resume = false;
        let Some((shard, conn)) = self.links[i].at else { return };
        self.turn += 1;
        self.trace.event("resume", [i as u64, 0, 0]);
        let flow = self.cores[shard].resume(self.now, conn);
        self.follow(i, flow);
        self.carry_out(shard);
    }

    fn follow(&mut self, i: usize, flow: Flow) {
        let link = &mut self.links[i];
        link.go = flow == Flow::Go;
        while link.go && link.marks.front().is_some_and(|m| m.end <= link.fed) {
            if let Some(mark) = link.marks.pop_front() {
                self.oracle.done(self.turn, mark.request);
            }
        }
    }

    /// The socket is gone: the switch learns it.
    pub(super) fn hang_up(&mut self, i: usize) {
        let link = &mut self.links[i];
        link.dead = true;
        let Some((shard, conn)) = link.at.take() else { return };
        self.by_conn.remove(&(shard, conn));
        self.oracle_loses(i);
        self.turn += 1;
        self.trace.event("hang up", [i as u64, 0, 0]);
        self.cores[shard].closed(self.now, conn);
        self.carry_out(shard);
    }

    /// Whatever was bound on a connection is over.
    fn oracle_loses(&mut self, link: usize) {
        for stay in self.oracle.stays.iter_mut().filter(|s| s.link == Some(link)) {
            stay.over = true;
        }
    }

    /// The switch writes some of what is queued.
    fn write(&mut self, i: usize) {
        let link = &mut self.links[i];
        let Some((shard, conn)) = link.at else { return };
        let mut octets: Vec<u8> = self.cores[shard].waiting(conn).flatten().copied().collect();
        if octets.is_empty() {
            link.want_write = false;
            if link.closing {
                self.hang_up(i);
            }
            return;
        }
        if octets.len() > 2 * limits::QUEUE_BYTES_HARD {
            self.oracle.fail(|| format!("{} octets were queued for connection {i}", octets.len()));
        }
        let room = (self.plan.socket_bytes as usize).saturating_sub(link.down.len());
        let most = room.min(octets.len()).max(1);
        let n =
            if self.dice.net.below(4) == 0 { 1 + self.dice.net.below(most as u64) as usize } else { most };
        octets.truncate(n);
        link.down.extend(&octets);
        self.turn += 1;
        self.trace.event("write", [i as u64, n as u64, self.now.0]);
        self.trace.octets(&octets);
        self.cores[shard].wrote(self.now, conn, n);
        self.carry_out(shard);
    }

    /// The next thing in the ring between two shards.
    fn cross(&mut self, from: usize, to: usize) {
        let Some(carried) = self.mesh[from * self.cores.len() + to].pop_front() else { return };
        self.turn += 1;
        self.trace.event("cross", [from as u64, to as u64, 0]);
        match carried {
            Carried::Message(message) => {
                match &message {
                    ShardMessage::Bind { endpoint, .. } => self.admitted(*endpoint),
                    ShardMessage::Post { chunk, .. } => self.oracle.posted(self.turn, &chunk.body),
                    _ => {}
                }
                self.cores[to].message(self.now, ShardId(from as u16), message);
            }
            Carried::Conn { link, unread } => self.arrive(link, to, &unread),
        }
        self.carry_out(to);
    }

    fn arrive(&mut self, i: usize, shard: usize, unread: &[u8]) {
        self.links[i].moving = false;
        let Some(conn) = self.cores[shard].accepted(self.now) else {
            self.links[i].dead = true;
            return;
        };
        self.links[i].at = Some((shard, conn));
        self.by_conn.insert((shard, conn), i);
        let flow = self.cores[shard].bytes(self.now, conn, unread);
        self.follow(i, flow);
        if self.links[i].dead {
            self.hang_up(i);
        }
    }

    fn command(&mut self, shard: usize) {
        let Some(command) = self.commands[shard].pop_front() else { return };
        self.turn += 1;
        self.trace.event("command", [shard as u64, 0, 0]);
        if let ToShard::Leave { endpoint, .. } = &command {
            self.oracle.left(self.turn, *endpoint);
            self.desk.present.remove(endpoint);
            self.desk.known.remove(endpoint);
            self.desk.changed_at = self.now;
        }
        self.cores[shard].command(self.now, command);
        self.carry_out(shard);
    }

    /// The home of its room admits an endpoint.
    fn admitted(&mut self, endpoint: EndpointId) {
        // Whoever has hung up meanwhile was present all the same.
        let mut stays = self.oracle.stays.iter_mut().rev();
        if let Some(stay) = stays.find(|s| s.endpoint == endpoint && s.shard.is_some()) {
            stay.begin.get_or_insert(self.turn);
        }
    }

    /// Carries out what a shard wants done, until it wants nothing; its invariants must hold then.
    pub(super) fn carry_out(&mut self, shard: usize) {
        let mut out = Outputs::default();
        loop {
            self.cores[shard].outputs(&mut out);
            let mut writes = Vec::new();
            self.cores[shard].take_writes(&mut writes);
            if out.is_empty() && writes.is_empty() {
                break;
            }
            for news in out.control.drain(..) {
                self.note_news(shard, &news);
                self.news[shard].push_back(news);
            }
            for (to, message) in out.mesh.drain(..) {
                self.send(shard, to.index(), Carried::Message(message));
            }
            for conn in writes {
                if let Some(i) = self.by_conn.get(&(shard, conn)) {
                    self.links[*i].want_write = true;
                }
            }
            for (endpoint, to) in out.connect.drain(..) {
                self.connects.push_back((shard, endpoint, to));
            }
            for (conn, to, unread) in out.hand_over.drain(..) {
                let Some(link) = self.by_conn.remove(&(shard, conn)) else { continue };
                (self.links[link].at, self.links[link].moving) = (None, true);
                self.send(shard, to.index(), Carried::Conn { link, unread });
            }
            for (conn, _, at_once) in out.close.drain(..) {
                self.close(shard, conn, at_once);
            }
            for conn in out.resume.drain(..) {
                if let Some(i) = self.by_conn.get(&(shard, conn)) {
                    self.links[*i].resume = true;
                }
            }
        }
        self.cores[shard].check();
    }

    fn close(&mut self, shard: usize, conn: ConnId, at_once: bool) {
        let Some(&i) = self.by_conn.get(&(shard, conn)) else { return };
        self.oracle_loses(i);
        let link = &mut self.links[i];
        (link.closing, link.go) = (true, false);
        if at_once {
            (link.dead, link.at) = (true, None);
            self.by_conn.remove(&(shard, conn));
            self.trace.event("close", [i as u64, 0, 0]);
            self.cores[shard].closed(self.now, conn);
        }
    }

    fn send(&mut self, from: usize, to: usize, carried: Carried) {
        let ring = &mut self.mesh[from * self.cores.len() + to];
        match self.canary {
            Some(canary) => canary.push(&mut self.dice.bug, ring, carried),
            None => ring.push_back(carried),
        }
    }

    /// What a shard tells the focus, as it tells it.
    fn note_news(&mut self, shard: usize, news: &FromShard) {
        match news {
            FromShard::Granted { endpoint, session, .. } => {
                self.trace.octets(session.reveal());
                self.desk.granted.entry(*endpoint).or_default().push((*session, self.now));
            }
            FromShard::Bound { endpoint } => {
                if self.desk.known.contains_key(endpoint) {
                    self.desk.present.insert(*endpoint);
                }
                self.desk.changed_at = self.now;
                self.note_bound(shard, *endpoint);
            }
            FromShard::Renamed { .. } => self.desk.changed_at = self.now,
            FromShard::Dismissed { endpoint, .. } => self.oracle.left(self.turn, *endpoint),
            FromShard::Ruled { room, rules } => {
                self.desk.changed_at = self.now;
                if let Some(room) = self.rooms.iter().position(|r| r == room) {
                    match rules {
                        Some(rules) => self.oracle.ruled(self.turn, room, rules.clone()),
                        None => self.oracle.unruled(room),
                    }
                }
            }
            FromShard::Lost { endpoint, .. } => {
                self.desk.present.remove(endpoint);
                self.desk.changed_at = self.now;
                if let Some(stay) = self.seat_of.get(endpoint).and_then(|s| self.seats[*s].stay) {
                    self.oracle.stays[stay].over = true;
                }
                // A session that is still being negotiated anew is none the worse for it.
                let first = self.seat_of.get(endpoint).is_some_and(|s| self.seats[*s].stay.is_none());
                let pending = self.pending_stay(*endpoint).map(|s| &mut self.oracle.stays[s]);
                if let Some(stay) = pending.filter(|s| first || s.session.is_some()) {
                    stay.over = true;
                }
            }
            _ => {}
        }
    }

    fn pending_stay(&self, endpoint: EndpointId) -> Option<usize> {
        let seat = &self.seats[*self.seat_of.get(&endpoint)?];
        (seat.endpoint == Some(endpoint)).then_some(seat.next)?
    }

    fn note_bound(&mut self, shard: usize, endpoint: EndpointId) {
        let Some(&seat) = self.seat_of.get(&endpoint).filter(|s| self.seats[**s].endpoint == Some(endpoint))
        else {
            return self.note_late(shard, endpoint);
        };
        // What nobody has tried to bind yet is not what was bound.
        if self.seats[seat].next.is_some_and(|n| self.oracle.stays[n].link.is_none()) {
            return self.note_late(shard, endpoint);
        }
        let Some(next) = self.seats[seat].next.take() else {
            return self.oracle.fail(|| format!("{endpoint} was bound without a session"));
        };
        if let Some(old) = self.seats[seat].stay.replace(next) {
            self.oracle.stays[old].over = true;
        }
        self.seats[seat].link = self.oracle.stays[next].link;
        self.oracle.stays[next].shard = Some(shard);
        if self.home(self.oracle.stays[next].room) == shard {
            self.oracle.stays[next].begin = Some(self.turn);
        }
    }

    /// Something was bound that its participant has given up: it is present until the room learns it.
    fn note_late(&mut self, shard: usize, endpoint: EndpointId) {
        let tried = |s: &super::oracle::Stay| s.endpoint == endpoint && s.link.is_some();
        let Some(last) = self.oracle.stays.iter().rposition(tried) else { return };
        let home = self.home(self.oracle.stays[last].room);
        let stay = &mut self.oracle.stays[last];
        stay.shard = Some(shard);
        stay.begin = stay.begin.or(Some(self.turn).filter(|_| home == shard));
    }

    /// The switch's connection to a passive participant is open, or is not.
    fn connect_out(&mut self) {
        let Some((shard, endpoint, to)) = self.connects.pop_front() else { return };
        self.turn += 1;
        let seat = self.seat_of.get(&endpoint).copied();
        let answers = seat.is_some() && (self.healed || self.dice.net.below(8) > 0);
        let conn = if answers { self.cores[shard].connected(self.now, endpoint, to) } else { None };
        match (conn, seat) {
            (Some(conn), Some(seat)) => {
                let (split, reads) = self.seats[seat].habits(self.healed);
                self.links.push(Link::new((shard, conn), split, reads));
                let link = self.links.len() - 1;
                self.by_conn.insert((shard, conn), link);
                // Whose session it is for, only the request that binds it tells: an offer of another path may not have
                // reached the shard, and whoever has hung up meanwhile is connected to all the same.
                let first: Vec<u8> = self.cores[shard].waiting(conn).flatten().copied().collect();
                let stay = match Framer::default().step(&first, usize::MAX) {
                    Ok(Step::Head { head, .. }) => stay_at(head.to_path),
                    _ => None,
                };
                match stay.and_then(|stay| self.oracle.stays.get_mut(stay)) {
                    Some(stay) => stay.link = Some(link),
                    None => {
                        self.oracle.fail(|| format!("connection {link} begins with no binding: {first:?}"))
                    }
                }
            }
            _ if !answers => self.cores[shard].connect_failed(self.now, endpoint, to),
            _ => {}
        }
        self.carry_out(shard);
    }
}

/// The rules of all rooms: one participant moderates them.
fn policy() -> Policy {
    let moderator = Address::parse("sip:user0@example.com").ok();
    Policy { roles: moderator.into_iter().map(|a| (a, Role::Moderator)).collect(), ..Policy::default() }
}
