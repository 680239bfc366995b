//! Sessions and rooms by random operations, each held against a model that is too simple to be wrong.

use super::Input;
use crate::base::address::Address;
use crate::base::chunk::{Chunk, Flag};
use crate::base::clock::Now;
use crate::base::id::{EndpointId, MessageNo, Seq, ShardId};
use crate::base::limits;
use crate::base::nickname::Nickname;
use crate::base::refusal::Refusal;
use crate::room::Room;
use crate::room::command::{Command, Feedback, Posting};
use crate::room::effect::Effect;
use crate::room::policy::{Policy, Types};
use crate::room::rules::{Caller, Rules};
use crate::session::inbound::{Emit, Inbound};
use crate::session::wrapper::Sender;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

/// Operations of one run.
const STEPS_MAX: usize = 400;

const ROOM: &str = "sip:lobby@chat.example.com";

fn address(text: &str) -> Option<Address> {
    let address = Address::parse(text).ok();
    assert!(address.is_some(), "no address: {text}");
    address
}

/// What a message holds, wrapper and all; `n` says how long it is and whether it is sound.
fn message(n: usize) -> Vec<u8> {
    let from = if n % 5 == 4 { "mallory" } else { "alice" };
    let filler = if n % 7 == 6 { "X-Long: y\r\n".repeat(1600) } else { String::new() };
    let mut all = format!(
        "From: <sip:{from}@example.com>\r\nTo: <{ROOM}>\r\n{filler}\r\nContent-Type: text/plain\r\n\r\n"
    )
    .into_bytes();
    let length = [0, 10, 200, 40_000, 70_000, 3][n % 6];
    all.extend((0..length).map(|at: usize| b'a' + (at % 23) as u8));
    all
}

/// What [`message`] says of the first numbers; made once, because it is long.
static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..12).map(message).collect());

/// What has come out of a message so far.
struct Out {
    which: usize,
    next: u64,
    ended: bool,
}

/// One session's inbound messages by random parts: what goes on is in order, holds no octet twice, is what
/// was sent, and ends once. Reads [`STEPS_MAX`] operations of some octets each.
pub fn session_ops(octets: &[u8]) {
    let mut input = Input(octets);
    let (Some(room), Some(participant)) = (address(ROOM), address("sip:alice@example.com")) else { return };
    let sender = Sender { room, participant, aliases: Vec::new(), message_bytes_max: 60_000 };
    let messages = &MESSAGES[..];
    let mut inbound = Inbound::default();
    let mut out: BTreeMap<MessageNo, Out> = BTreeMap::new();
    let mut now = Now(1);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let which = input.below(messages.len());
        let all = &messages[which];
        match input.below(12) {
            0 => {
                now = now + Duration::from_secs(input.below(600) as u64);
                for emit in inbound.expire(now) {
                    judge(emit, usize::MAX, messages, &mut out);
                }
                assert!(inbound.deadline().is_none_or(|due| due > now), "something is overdue");
            }
            1 => {
                let open = out.iter_mut().filter(|(_, o)| !o.ended).nth(which);
                if let Some((no, o)) = open {
                    inbound.refused(*no, Refusal::BadType);
                    o.ended = true;
                }
            }
            _ => {
                let part = part(&mut input, all);
                let id = format!("message{which}");
                let outcome = inbound.accept(now, &sender, id.as_bytes(), part);
                for emit in outcome.emits {
                    judge(emit, which, messages, &mut out);
                }
                if let Ok(taken) = outcome.taken
                    && taken.complete.is_some()
                    && let Some(no) = taken.no
                {
                    assert!(out.get(&no).is_some_and(|o| o.ended), "complete, but nothing went on");
                }
            }
        }
        inbound.check();
    }
    for emit in inbound.expire(now + limits::CHUNK_WAIT) {
        judge(emit, usize::MAX, messages, &mut out);
    }
    assert_eq!((inbound.open(), inbound.deadline()), (0, None), "something is left");
    assert!(out.values().all(|o| o.ended), "a message never ended");
}

/// Some part of a message, mostly one that follows the part before; flags and totals may lie.
fn part<'m>(input: &mut Input<'_>, all: &'m [u8]) -> Chunk<&'m [u8]> {
    let start = match input.below(4) {
        0 => 0,
        1 => input.below(all.len()),
        n => input.below(8 * n) * 1000 % all.len(),
    };
    let len = match input.below(4) {
        0 => all.len() - start,
        1 => input.below(40),
        2 => 1000 * input.below(9),
        _ => input.below(all.len()),
    };
    let body = &all[start..(start + len).min(all.len())];
    let last = start + body.len() == all.len();
    let flag = match input.below(16) {
        0 => Flag::Abort,
        1 => Flag::End,
        2 => Flag::More,
        _ if last => Flag::End,
        _ => Flag::More,
    };
    let total = match input.below(8) {
        0 => Some(input.below(70_000) as u64),
        1..4 => None,
        _ => Some(all.len() as u64),
    };
    Chunk { start: start as u64 + 1, total, body, flag }
}

/// Holds what goes on against what was sent. `which` is the message it must be of, if one was.
fn judge(emit: Emit<'_>, which: usize, messages: &[Vec<u8>], out: &mut BTreeMap<MessageNo, Out>) {
    let (no, chunk) = match emit {
        Emit::First { no, wrapper, chunk } => {
            let envelope = wrapper.envelope(&chunk.body);
            assert_eq!((envelope.to, envelope.content_type), (None, "text/plain"));
            assert!(which % 5 != 4, "somebody else's From");
            assert!(chunk.flag != Flag::Abort, "a message that begins with its abortion");
            assert!(out.insert(no, Out { which, next: 1, ended: false }).is_none(), "begins twice");
            (no, chunk)
        }
        Emit::Next { no, chunk } => (no, chunk),
    };
    let known = out.get_mut(&no);
    assert!(known.is_some(), "goes on without a beginning");
    let Some(known) = known else { return };
    assert!(!known.ended, "goes on after its end");
    assert!(which == usize::MAX || which == known.which, "two messages mixed");
    assert_eq!(chunk.start, known.next, "out of order");
    let at = known.next as usize - 1;
    assert_eq!(messages[known.which].get(at..at + chunk.body.len()), Some(&chunk.body[..]), "other octets");
    known.next += chunk.body.len() as u64;
    known.ended = chunk.flag != Flag::More;
    assert!(chunk.total.is_none_or(|total| total >= known.next - 1), "longer than it says");
    assert!(chunk.flag != Flag::End || chunk.total == Some(known.next - 1), "ends before its end");
}

/// A room by random commands: its own check holds after each, and what follows is what a list of members and
/// open messages lets one expect. Reads [`STEPS_MAX`] operations of some octets each.
pub fn room_ops(octets: &[u8]) {
    let mut input = Input(octets);
    let Some(room) = address(ROOM) else { return };
    let mut world = RoomWorld::new(room);
    for no in 0..STEPS_MAX as u32 {
        if input.is_empty() {
            break;
        }
        world.step(&mut input, MessageNo(no));
    }
    for n in 0..8 {
        world.apply(&Do::Leave(EndpointId(n)));
    }
    assert!(world.open.is_empty() && world.room.roster().is_empty(), "somebody is left");
}

/// A command that can be looked at after it was carried out.
enum Do {
    Join(EndpointId, usize),
    Bind(EndpointId, ShardId),
    Unbind(EndpointId),
    Leave(EndpointId),
    Post(EndpointId, MessageNo, Flag, usize),
    GoOn(EndpointId, MessageNo, Flag),
    Rename(EndpointId, MessageNo, usize),
    Disclose(EndpointId, usize),
}

/// Who may be in the room.
const PEOPLE: [&str; 4] = ["sip:a@h", "sip:b@h", "tel:+1", "im:d@h"];

struct RoomWorld {
    room: Room,
    seq: u64,
    /// Who is a member, and whether bound.
    members: BTreeMap<EndpointId, bool>,
    /// Messages begun and not ended, and whose.
    open: BTreeMap<Seq, EndpointId>,
    /// Numbers of messages that were begun.
    begun: BTreeSet<(EndpointId, MessageNo)>,
}

impl RoomWorld {
    fn new(room: Address) -> Self {
        let policy = Policy {
            participants_max: 3,
            participant_endpoints_max: 3,
            message_bytes_max: 100,
            types: Types::only(&["text/*", "image/png"]),
            copy_report_endpoints_max: 2,
            look_alikes_refused: true,
            ..Policy::default()
        };
        let room = Room::new(room, Rules::from(policy).into(), ShardId(1), 3);
        Self { room, seq: 0, members: BTreeMap::new(), open: BTreeMap::new(), begun: BTreeSet::new() }
    }

    fn step(&mut self, input: &mut Input<'_>, no: MessageNo) {
        let endpoint = EndpointId(input.below(8) as u64);
        let flag = [Flag::More, Flag::End, Flag::Abort][input.below(3)];
        let what = match input.below(10) {
            9 => Do::Disclose(endpoint, input.below(4)),
            8 => Do::Rename(endpoint, no, input.below(3)),
            0 => Do::Join(endpoint, input.below(4)),
            1 | 2 => Do::Bind(endpoint, ShardId(input.below(3) as u16)),
            3 => Do::Unbind(endpoint),
            4 => Do::Leave(endpoint),
            5 | 6 => {
                let flag = if flag == Flag::Abort { Flag::End } else { flag };
                self.begun.insert((endpoint, no));
                Do::Post(endpoint, no, flag, input.below(8))
            }
            _ => {
                let earlier = self.begun.iter().nth(input.below(self.begun.len().max(1))).copied();
                let (endpoint, no) = earlier.unwrap_or((endpoint, no));
                Do::GoOn(endpoint, no, flag)
            }
        };
        self.apply(&what);
    }

    fn apply(&mut self, what: &Do) {
        let command = match *what {
            Do::Join(endpoint, who) => {
                let Some(participant) = address(PEOPLE[who]) else { return };
                let able = Some(endpoint.0 % 2 == 0);
                let caller = Caller::of(&participant);
                Command::Join { endpoint, participant, able, caller, password: None }
            }
            Do::Disclose(endpoint, who) => {
                let Some(participant) = address(PEOPLE[who]) else { return };
                Command::Disclose { endpoint, participant }
            }
            Do::Bind(endpoint, at) => Command::Bind { endpoint, at },
            Do::Unbind(endpoint) => Command::Unbind { endpoint },
            Do::Leave(endpoint) => Command::Leave { endpoint },
            Do::Post(endpoint, no, flag, how) => {
                let to = [Some("sip:b@h"), Some("nonsense")].get(how).copied().flatten();
                let content_type = if how == 2 { "image/gif" } else { "text/plain" };
                let size = if how == 3 { 101 } else { 100 };
                let feedback = Feedback { count: how == 1, failure: how != 3 };
                Command::Post(Posting { endpoint, no, to, content_type, size, octets: size, flag, feedback })
            }
            Do::GoOn(endpoint, no, flag) => Command::Continue { endpoint, no, flag, octets: 1 },
            Do::Rename(endpoint, no, name) => {
                let nickname = |n: &str| Nickname { shown: n.into(), key: n.into(), looks: n.into() };
                let wish = ["al", "bo"].get(name).copied().map(nickname);
                Command::Nickname { endpoint, no, wish }
            }
        };
        let mut effects = Vec::new();
        self.room.apply(Now::default(), command, &mut effects);
        self.room.check();
        for effect in &effects {
            self.take(what, effect.clone());
        }
        if let Do::Unbind(endpoint) = what {
            self.members.entry(*endpoint).and_modify(|bound| *bound = false);
        }
        self.members.retain(|endpoint, _| self.room.roster().shard_of(*endpoint).is_some());
        assert!(self.members.iter().all(|(e, bound)| self.room.roster().is_bound(*e) == *bound));
        let asked = matches!(what, Do::Post(e, ..) | Do::Rename(e, ..) if self.members.contains_key(e));
        let verdicts = effects.iter().filter(|e| matches!(e, Effect::Verdict { .. })).count();
        assert_eq!(verdicts, usize::from(asked), "one verdict for each message");
        assert!(self.open.values().all(|e| self.members.get(e) == Some(&true)), "left open by nobody");
    }

    fn take(&mut self, what: &Do, effect: Effect) {
        match (effect, what) {
            (Effect::Grant { endpoint, .. }, Do::Join(who, _)) => {
                assert!(endpoint == *who && self.members.insert(endpoint, false).is_none());
            }
            (Effect::Disclosed { endpoint, .. }, Do::Disclose(who, as_whom)) => {
                let is = self.room.roster().participant_of(endpoint);
                assert!(
                    endpoint == *who && is.is_some_and(|p| p.is(PEOPLE[*as_whom])),
                    "it has told who it is"
                );
            }
            (Effect::Refuse { endpoint, .. }, Do::Join(who, _) | Do::Disclose(who, _)) => {
                assert_eq!(endpoint, *who)
            }
            (Effect::Admit { endpoint, at, after, .. }, Do::Bind(who, place)) => {
                assert!(endpoint == *who && at == *place && after.0 == self.seq);
                assert!(self.members.insert(endpoint, true).is_some(), "admitted, but no member");
            }
            (Effect::Evict { endpoint, .. }, Do::Bind(who, _)) => {
                assert!(endpoint == *who && !self.members.contains_key(who));
            }
            (Effect::Evict { endpoint, .. }, Do::Leave(who)) => assert_eq!(endpoint, *who),
            (Effect::Renamed { endpoint, .. }, Do::Rename(who, ..)) => assert_eq!(endpoint, *who),
            (Effect::Verdict { endpoint, no, .. }, Do::Post(who, which, ..) | Do::Rename(who, which, _)) => {
                assert_eq!((endpoint, no), (*who, *which));
            }
            (Effect::Broadcast { seq, from, .. }, Do::Post(who, _, flag, _)) => {
                self.seq += 1;
                assert!(seq.0 == self.seq && from == *who && self.members.get(who) == Some(&true));
                if *flag == Flag::More {
                    self.open.insert(seq, from);
                }
            }
            (Effect::Continue { seq, .. }, Do::GoOn(who, _, flag)) => {
                assert_eq!(self.open.get(&seq), Some(who), "goes on after its end");
                if *flag != Flag::More {
                    self.open.remove(&seq);
                }
            }
            (Effect::Abort { seq }, Do::Unbind(who) | Do::Leave(who) | Do::Bind(who, _)) => {
                assert_eq!(self.open.remove(&seq), Some(*who), "ends twice");
            }
            (Effect::Forget { endpoint, .. }, Do::Bind(who, _)) => assert_eq!(endpoint, *who),
            (Effect::Close, Do::Join(..) | Do::Leave(_)) => assert!(self.room.roster().is_empty()),
            (other, _) => assert_eq!(format!("{other:?}"), "", "not what was asked for"),
        }
    }
}
