//! Random events on several shards, with what crosses between them delivered late and in any order that
//! pairs of shards allow: joining, leaving, speaking in one or many chunks, hanging up, coming back under
//! a new session, taking nothing for a while, answering copies or not. Whatever happens, everybody present hears
//! every message once, in the one order of the room, who asked how many have a message is told at most once and no
//! more than there are, and when all have left nothing is left.

use crate::world::{Person, World, address, answer, terms};
use openmsrp::base::chunk::Flag;
use openmsrp::base::id::GrantNo;
use openmsrp::base::limits;
use openmsrp::room::policy::Policy;
use openmsrp::shard::core::ShardCore;
use openmsrp::shard::message::ToShard;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

const ROOMS: [&str; 3] = ["sip:a@chat.example.com", "sip:b@chat.example.com", "sip:c@chat.example.com"];

/// Small, seeded, and the same everywhere (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// A message that its sender has not ended.
struct Unfinished {
    id: String,
    at: usize,
}

/// One participant at the far end.
struct Peer {
    person: Person,
    room: usize,
    /// Answered the binding request of the session at hand.
    bound: bool,
    /// Its room knows that it is bound: nothing has been on its way since.
    present: bool,
    /// Texts heard whole, in order; cleared by nothing.
    heard: Vec<String>,
    /// Open copies, by Message-ID.
    open: HashMap<String, String>,
    unfinished: Option<Unfinished>,
    asked: HashSet<String>,
    answered: HashSet<String>,
    /// The connection or the session changed at least once: gaps are no fault.
    interrupted: bool,
    left: bool,
}

struct Play {
    w: World,
    dice: Dice,
    peers: Vec<Peer>,
    count: u32,
    /// Texts that were answered 200, with their room and who was present before they were sent.
    said: BTreeMap<String, (usize, Vec<usize>)>,
    ends: Vec<usize>,
    /// Messages whose sender was told how many have them.
    counted: HashSet<String>,
    /// Messages whose sender wants to be told, and who that is.
    to_count: Vec<(usize, String)>,
}

impl Play {
    fn new(seed: u64, shards: u16) -> Self {
        let mut w = World::with(shards, Policy { delivery_counts: true, ..Policy::default() });
        w.delayed = true;
        let (peers, said, ends) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self {
            w,
            dice: Dice(seed),
            peers,
            count: 0,
            said,
            ends,
            counted: HashSet::new(),
            to_count: Vec::new(),
        }
    }

    fn tell(&mut self, room: usize, command: ToShard) {
        let home = self.w.home(ROOMS[room]);
        self.w.tell(home, command);
    }

    fn connect(&mut self) -> usize {
        // Now and then a connection that has a session, or is answered, already: it cannot move.
        if !self.ends.is_empty() && self.dice.roll(4) == 0 {
            return self.ends[self.dice.roll(self.ends.len())];
        }
        let shard = self.dice.roll(self.w.cores.len());
        let end = self.w.connect(shard);
        self.ends.push(end);
        end
    }

    fn join(&mut self) {
        let room = self.dice.roll(ROOMS.len());
        let name = format!("p{}", self.peers.len());
        let t = (self.dice.roll(6) > 0).then(|| terms(&name));
        let late = t.is_none();
        let (endpoint, _) = self.w.invite_as(ROOMS[room], &name, t);
        let end = self.connect();
        // The focus knows the session once the shard said so; here that may take a while.
        while self.w.granted(endpoint).is_none() {
            let pair = self.w.crossing().next().expect("a grant is on its way");
            self.w.cross(pair);
        }
        let session = self.w.granted(endpoint).unwrap();
        let person = Person { name: name.clone(), room: ROOMS[room].into(), endpoint, session, end };
        self.peers.push(Peer {
            person,
            room,
            bound: false,
            present: false,
            heard: Vec::new(),
            open: HashMap::new(),
            unfinished: None,
            asked: HashSet::new(),
            answered: HashSet::new(),
            interrupted: false,
            left: false,
        });
        let i = self.peers.len() - 1;
        self.bind(i);
        if late {
            let terms = Box::new(terms(&name));
            self.tell(room, ToShard::Revise { endpoint, room: address(ROOMS[room]), terms, rebind: None });
        }
    }

    fn bind(&mut self, i: usize) {
        self.count += 1;
        let tid = format!("bind{}", self.count);
        let p = &mut self.peers[i];
        (p.bound, p.present) = (false, false);
        let octets = p.person.request(&tid, "SEND", "Message-ID: bind\r\nByte-Range: 1-0/0\r\n", None, '$');
        self.w.write(p.person.end, &octets);
        self.listen();
    }

    /// A re-INVITE with a new path; the participant comes over a new connection or an old one.
    fn rebind(&mut self, i: usize) {
        let (endpoint, room, name) =
            (self.peers[i].person.endpoint, self.peers[i].room, self.peers[i].person.name.clone());
        let before = self.w.granted(endpoint);
        let terms = Box::new(terms(&name));
        self.tell(
            room,
            ToShard::Revise { endpoint, room: address(ROOMS[room]), terms, rebind: Some(GrantNo(1)) },
        );
        self.w.cross_all();
        self.listen();
        if self.w.granted(endpoint) == before {
            return;
        }
        let end = self.connect();
        let p = &mut self.peers[i];
        (p.interrupted, p.unfinished) = (true, None);
        p.person.session = self.w.granted(endpoint).unwrap();
        p.person.end = end;
        p.open.clear();
        self.bind(i);
    }

    fn leave(&mut self, i: usize) {
        let (endpoint, room) = (self.peers[i].person.endpoint, self.peers[i].room);
        self.peers[i].left = true;
        self.peers[i].unfinished = None;
        self.tell(room, ToShard::Leave { endpoint, room: address(ROOMS[room]) });
    }

    fn hang_up(&mut self, i: usize) {
        let end = self.peers[i].person.end;
        self.listen();
        for p in self.peers.iter_mut().filter(|p| p.person.end == end) {
            (p.bound, p.present, p.interrupted, p.unfinished) = (false, false, true, None);
        }
        self.ends.retain(|e| *e != end);
        self.w.hang_up(end);
    }

    /// A participant takes nothing for a while: it may miss messages, and lose its connection.
    fn stall(&mut self, i: usize) {
        self.listen();
        let end = self.peers[i].person.end;
        self.w.ends[end].stalled = true;
        self.peers.iter_mut().filter(|p| p.person.end == end).for_each(|p| p.interrupted = true);
    }

    fn recover(&mut self) {
        for end in 0..self.w.ends.len() {
            if self.w.ends[end].stalled {
                self.w.recover(end);
            }
        }
        self.notice_closed();
        self.listen();
    }

    fn notice_closed(&mut self) {
        let closed = |p: &Peer| self.w.ends[p.person.end].closed.is_some();
        for p in self.peers.iter_mut().filter(|p| closed(p)) {
            (p.bound, p.present, p.interrupted, p.unfinished) = (false, false, true, None);
        }
        self.ends.retain(|e| self.w.ends[*e].closed.is_none());
    }

    fn present(&self, room: usize) -> Vec<usize> {
        let there = |p: &Peer| p.present && !p.left && p.room == room;
        (0..self.peers.len()).filter(|i| there(&self.peers[*i])).collect()
    }

    fn say(&mut self, i: usize) {
        self.count += 1;
        let n = self.count;
        let p = &mut self.peers[i];
        let tid = format!("t{n:07}");
        let long = if self.dice.roll(8) == 0 { 50_000 } else { 0 };
        let body = p.person.wrapped(&format!("{n} from {} {}", p.person.name, "x".repeat(long)));
        let asks = ["", "Delivery-Count: yes\r\n"][self.dice.roll(2)];
        let octets = p.person.message(n, asks, &body);
        p.asked.insert(tid.clone());
        if !asks.is_empty() {
            self.to_count.push((i, format!("m{n}abc")));
        }
        self.w.write(p.person.end, &octets);
        let (room, present) = (self.peers[i].room, self.present(self.peers[i].room));
        self.said.insert(body, (room, present.into_iter().filter(|j| *j != i).collect()));
        self.listen();
    }

    /// The beginning, the middle or the end of a long message.
    fn chunk(&mut self, i: usize, flag: char) {
        self.count += 1;
        let n = self.count;
        let p = &mut self.peers[i];
        let (id, at, text) = match p.unfinished.take() {
            None => (format!("long{n}"), 1, p.person.wrapped(&format!("{n} begins "))),
            Some(u) => (u.id, u.at, format!("{n} goes on {}", "y".repeat(self.dice.roll(3) * 30_000))),
        };
        let octets = p.person.chunk(&format!("c{n:07}"), &id, &format!("{at}-*/*"), text.as_bytes(), flag);
        if flag == '+' {
            p.unfinished = Some(Unfinished { id, at: at + text.len() });
        }
        p.asked.insert(format!("c{n:07}"));
        self.w.write(p.person.end, &octets);
        self.listen();
    }

    /// Everybody takes in what arrived.
    fn listen(&mut self) {
        let quiet = self.w.crossing().next().is_none();
        let mut answers = Vec::new();
        for end in 0..self.w.ends.len() {
            for frame in self.w.frames(end) {
                let to = frame.to_path.as_str();
                // An answer goes to the participant's URI as everything else does.
                let name = to.trim_start_matches("msrp://").split('.').next().unwrap_or_default();
                let Some(p) = self.peers.iter_mut().find(|p| p.person.name == name) else { continue };
                if frame.what == "SEND" {
                    // What an old connection still brings is no part of the new session's order.
                    let current = frame.from_path == p.person.our_uri();
                    assert!(current || p.interrupted);
                    if current {
                        p.take_in(&frame);
                        let code = ["200 OK", "200 OK", "200 OK", "500 no"][self.dice.roll(4)];
                        answers.extend((self.dice.roll(5) > 0).then(|| (end, answer(&frame, code))));
                    }
                    continue;
                }
                if frame.what == "REPORT" {
                    let count = frame.header("Delivery-Count").expect("nothing else was to be reported");
                    let (got, of) = count.split_once('/').expect("there is room for all counts");
                    let number = |n: &str| n.parse::<usize>().unwrap();
                    assert!(number(got) <= number(of) && number(of) < self.peers.len(), "{count}");
                    assert!(
                        self.counted.insert(frame.message_id.clone()),
                        "{} was told twice",
                        frame.message_id
                    );
                    continue;
                }
                if frame.tid.starts_with("bind") {
                    p.bound |= frame.what == "200" && frame.from_path == p.person.our_uri();
                    continue;
                }
                assert!(p.asked.contains(&frame.tid), "{name} did not ask {}", frame.tid);
                assert!(p.answered.insert(frame.tid.clone()), "{} was answered twice", frame.tid);
                let code = frame.what.as_str();
                assert!(code == "200" || p.interrupted || p.left, "{name}: {} got {code}", frame.tid);
            }
        }
        self.peers.iter_mut().for_each(|p| p.present |= quiet && p.bound);
        for (end, answer) in answers {
            self.w.write(end, answer.as_bytes());
        }
    }

    fn step(&mut self) {
        let here: Vec<usize> = (0..self.peers.len()).filter(|i| !self.peers[*i].left).collect();
        let pairs: Vec<_> = self.w.crossing().collect();
        let what = self.dice.roll(26);
        if what < 9 && !pairs.is_empty() {
            let pair = pairs[self.dice.roll(pairs.len())];
            self.w.cross(pair);
            return self.listen();
        }
        if here.is_empty() || (what < 11 && here.len() < 16) {
            return self.join();
        }
        let i = here[self.dice.roll(here.len())];
        match what {
            11..=15 if self.peers[i].bound => self.say(i),
            16..=19 if self.peers[i].bound => {
                let flag = ['+', '$', '#'][self.dice.roll(3)];
                self.chunk(i, flag);
            }
            20 => self.leave(i),
            21 => self.rebind(i),
            22 if self.dice.roll(2) == 0 => self.hang_up(i),
            23 => {
                let time = Duration::from_millis(self.dice.roll(3000) as u64);
                self.w.later(time);
                self.notice_closed();
                self.listen();
            }
            24 => self.stall(i),
            25 => self.recover(),
            _ => {}
        }
    }

    /// What everybody heard must fit together.
    fn compare(&self) {
        for room in 0..ROOMS.len() {
            let there: Vec<&Peer> = self.peers.iter().filter(|p| p.room == room).collect();
            for (n, a) in there.iter().enumerate() {
                let place: HashMap<&str, usize> =
                    a.heard.iter().enumerate().map(|(i, t)| (t.as_str(), i)).collect();
                assert_eq!(place.len(), a.heard.len(), "{} heard something twice", a.person.name);
                for b in &there[n + 1..] {
                    let common: Vec<usize> =
                        b.heard.iter().filter_map(|t| place.get(t.as_str()).copied()).collect();
                    assert!(
                        common.windows(2).all(|w| w[0] < w[1]),
                        "{} and {} heard another order",
                        a.person.name,
                        b.person.name
                    );
                }
            }
        }
        for (text, (room, present)) in &self.said {
            let heard = |i: usize| self.peers[i].heard.iter().any(|t| t == text);
            for (i, p) in self.peers.iter().enumerate() {
                assert!(p.room == *room || !heard(i), "{} heard what was said elsewhere", p.person.name);
            }
            // If anybody heard it, all did who were present before and are still there.
            if (0..self.peers.len()).any(heard) {
                for i in present {
                    let p = &self.peers[*i];
                    assert!(p.left || p.interrupted || heard(*i), "{} missed {text:?}", p.person.name);
                }
            }
        }
    }

    fn finish(&mut self) {
        for i in 0..self.peers.len() {
            if self.peers[i].bound && self.peers[i].unfinished.is_some() {
                self.chunk(i, '#');
            }
        }
        self.w.cross_all();
        self.recover();
        // Senders that were asked to wait go on.
        for _ in 0..5 {
            self.w.later(limits::COPY_STALL);
            self.w.cross_all();
        }
        self.listen();
        for p in self.peers.iter().filter(|p| !p.left && !p.interrupted) {
            let missing: Vec<_> = p.asked.difference(&p.answered).collect();
            assert!(missing.is_empty(), "{} was not answered: {missing:?}", p.person.name);
        }
        for p in self.peers.iter().filter(|p| p.present && !p.left && !p.interrupted) {
            // Who came back under a session that was not bound still has the old one, and what it began.
            if self.peers.iter().any(|q| q.room == p.room && !q.left && !q.bound) {
                continue;
            }
            assert!(p.open.is_empty(), "{} waits for the end of a message", p.person.name);
        }
        self.compare();
        self.w.later(limits::COPY_ANSWER_WAIT);
        self.w.cross_all();
        self.notice_closed();
        self.listen();
        for (i, id) in &self.to_count {
            let p = &self.peers[*i];
            let told = self.counted.contains(id) || p.left || p.interrupted;
            assert!(told, "{} was not told who has {id}", p.person.name);
        }
        for i in 0..self.peers.len() {
            if !self.peers[i].left {
                self.leave(i);
            }
        }
        self.w.cross_all();
        self.listen();
        let left = |c: &ShardCore| (c.rooms(), c.sessions());
        assert!(self.w.cores.iter().all(|c| left(c) == (0, 0)), "rooms or sessions are left");
        for _ in 0..3 {
            self.w.later(limits::CONN_EMPTY);
        }
        self.w.cross_all();
        assert!(self.w.cores.iter().all(ShardCore::is_idle), "connections or private state are left");
    }
}

impl Peer {
    fn take_in(&mut self, frame: &crate::world::Frame) {
        let text = self.open.remove(&frame.message_id).unwrap_or_default() + &frame.text();
        match frame.flag {
            Flag::More => {
                self.open.insert(frame.message_id.clone(), text);
            }
            Flag::End => {
                assert!(text.starts_with("From: "), "{} heard no beginning: {text:?}", self.person.name);
                self.heard.push(text);
            }
            Flag::Abort => {}
        }
    }
}

fn play(seed: u64) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let shards = 1 + dice.roll(4) as u16;
    let mut play = Play::new(dice.0, shards);
    for _ in 0..400 {
        play.step();
    }
    play.finish();
}

#[test]
fn random_events_lose_nothing_and_leave_nothing() {
    // CHAT-MSG-07 CHAT-MSG-14 CHAT-CHUNK-05
    let chosen = std::env::var("SWITCH_SEED").ok().and_then(|s| s.parse().ok());
    if let Some(seed) = chosen {
        return play(seed);
    }
    // The same seeds always, then fresh ones for as long as there is time.
    (0..30).for_each(play);
    let fresh = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let began = Instant::now();
    for seed in (0..).map(|n: u64| fresh.wrapping_add(n)).take(400) {
        if began.elapsed() > Duration::from_secs(3) {
            break;
        }
        play(seed);
    }
}
