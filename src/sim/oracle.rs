//! What everybody is owed, and whether they got it: the invariants of the simulation.
//!
//! The oracle sees the participants' side of every connection, and when a room's home took a command.
//! A *stay* is one binding of one endpoint: from the negotiation of its session to its end. Each stay
//! has a path of its own, so that every frame tells which stay it is for.
//!
//! What must hold, and where it is checked:
//!
//! | | invariant | checked by |
//! |--:|---|---|
//! | 1 | each message at most once, in order within itself | `copy`, `first_part` |
//! | 2 | only what was ordered while present, and may be seen | `first_part`; types are not mixed here |
//! | 3 | at rest: all of it, or told of the hole | `nothing_missing`, `nothing_open` |
//! | 4 | one order for all who share a room | `one_order` |
//! | 5 | a private message reaches its recipient, all devices, nobody else | `first_part`, `nothing_missing` |
//! | 6 | a nickname has one participant | `watch.rs`; not the time it is kept after use, see `room/nicknames.rs` |
//! | 7 | one home and epoch | not: there is one node |
//! | 8 | bounded queues, nothing left in the end | `world.rs` (`write`), `mod.rs` (`nothing_left`), `ShardCore::check` |
//! | 9 | each request is answered once | `answered`, `all_answered`; SIP: `desk.rs` |
//! | 10 | rosters count by one, and are true when applied | `desk.rs` (`numbered`), `watch.rs` |
//! | 11 | who has left, was taken out or is muted causes nothing any more | `first_part`, `was_muted`, `nobody_banned`, `watch.rs` (`nobody_is_a_ghost`) |
//! | 12 | nobody reads who an anonymous participant is | `desk.rs` (`keeps_secrets`), for SIP and MSRP |
//! | 13 | history is the order of the room | not: there is no history |
//!
//! Besides: orders are obeyed only if a moderator gives them (`answered`), and reach nobody (`copy`); nobody is thrown out
//! without reason (`calls.rs`, `may_end`), and no request of ours is refused with a
//! code that has no cause there.

use crate::base::address::Address;
use crate::base::chunk::Flag;
use crate::base::clock::Now;
use crate::base::id::{EndpointId, SessionId};
use crate::base::limits;
use crate::room::rules::{Caller, Rules};
use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A message that somebody sends.
#[derive(Debug)]
pub(super) struct Said {
    /// The room it is meant for.
    pub(super) room: usize,
    /// The stay that sends it.
    pub(super) stay: usize,
    pub(super) endpoint: EndpointId,
    /// All its octets.
    pub(super) body: Vec<u8>,
    /// It must arrive as it was sent.
    pub(super) exact: bool,
    /// Only this user gets it.
    pub(super) only: Option<u64>,
    /// It must reach nobody.
    pub(super) never: bool,
    /// Its sender breaks no rule: it must not be refused.
    pub(super) honest: bool,
    /// The turns between which the room took it.
    pub(super) from: u64,
    pub(super) to: Option<u64>,
    /// The exact turn is known.
    pub(super) posted: bool,
    pub(super) accepted: bool,
    pub(super) refused: bool,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// It binds the session.
    Bind,
    /// It carries a part of a message; `last`: its last.
    Part {
        /// Which message.
        message: u32,
        /// The end of it.
        last: bool,
    },
    /// It is to be refused.
    Stray,
    /// It wants the nickname of this number.
    Name(usize),
    /// It is a moderator's command.
    Order {
        /// By a moderator.
        rightly: bool,
    },
}

/// Which answers a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    /// Any.
    Yes,
    /// None.
    No,
    /// Refusals.
    Partial,
}

/// A request that somebody sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) stay: usize,
    pub(super) link: usize,
    pub(super) purpose: Purpose,
    pub(super) asks: Asks,
    pub(super) answers: u32,
    /// When its last octet was given to the switch.
    pub(super) arrived: Option<Now>,
}

/// A copy under way to one stay.
#[derive(Debug)]
struct Copy {
    message: u32,
    got: Vec<u8>,
    open: bool,
}

/// One binding of one endpoint.
#[derive(Debug)]
pub(super) struct Stay {
    pub(super) endpoint: EndpointId,
    pub(super) user: u64,
    pub(super) room: usize,
    pub(super) session: Option<SessionId>,
    pub(super) granted_at: Now,
    pub(super) link: Option<usize>,
    /// The shard where it was bound.
    pub(super) shard: Option<usize>,
    /// The turn in which the room admitted it.
    pub(super) begin: Option<u64>,
    /// The turn in which the room let it go.
    pub(super) left: Option<u64>,
    /// It is or will be over: nothing more is owed.
    pub(super) over: bool,
    /// It takes everything, or was told what it missed.
    pub(super) told: bool,
    /// What it sends may be refused.
    pub(super) held: bool,
    copies: BTreeMap<Vec<u8>, Copy>,
    had: BTreeSet<u32>,
    order: Vec<u32>,
}

/// Everything that is known of the run.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) said: Vec<Said>,
    pub(super) requests: Vec<Request>,
    pub(super) stays: Vec<Stay>,
    /// What went wrong first.
    pub(super) broken: Option<String>,
    /// Copies that arrived.
    pub(super) copies: u64,
    /// Up to when shards stood still.
    pub(super) frozen_until: Now,
    /// What time it is.
    pub(super) now: Now,
    /// So many messages may each user send to a room; 0 for any number.
    flood: u64,
    /// The rules of each room, from which turn.
    rules: BTreeMap<usize, Vec<(u64, Arc<Rules>)>>,
    names: BTreeMap<EndpointId, Name>,
    /// Messages begun in a room by a user.
    spoken: BTreeMap<(usize, u64), u64>,
}

/// The nickname of an endpoint, as its participant knows it.
#[derive(Debug, Default)]
struct Name {
    name: &'static str,
    /// The wish that brought it.
    wish: u32,
    /// So many wishes have no answer.
    open: u32,
    /// It may have come from another device.
    unsure: bool,
}

/// The nicknames that people ask for; the first is none.
pub(super) const NAMES: [&str; 6] = ["", "Anna", "ANNA", "Berta", "Carl", "Dora"];

/// A part of a copy, as it arrived.
pub(super) struct Arrived<'a> {
    pub(super) link: usize,
    pub(super) message_id: &'a [u8],
    pub(super) start: u64,
    pub(super) flag: Flag,
    pub(super) body: &'a [u8],
}

impl Oracle {
    /// Something must not be.
    pub(super) fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(what());
        }
    }

    /// A new binding is being negotiated.
    pub(super) fn stay(&mut self, endpoint: EndpointId, room: usize, user: u64) -> usize {
        self.stays.push(Stay {
            endpoint,
            user,
            room,
            session: None,
            granted_at: Now(0),
            link: None,
            shard: None,
            begin: None,
            left: None,
            over: false,
            told: false,
            held: false,
            copies: BTreeMap::new(),
            had: BTreeSet::new(),
            order: Vec::new(),
        });
        self.stays.len() - 1
    }

    /// The first octets of a request reached the switch.
    pub(super) fn begun(&mut self, turn: u64, request: u32) {
        if let Some(said) = self.message_of(request).filter(|s| s.from == u64::MAX) {
            said.from = turn;
        }
    }

    /// The switch has dealt with the whole of a request.
    pub(super) fn done(&mut self, turn: u64, request: u32) {
        // Only the last part is sure to have brought the whole wrapper.
        let last = |r: &Request| matches!(r.purpose, Purpose::Part { last: true, .. });
        if !self.requests.get(request as usize).is_some_and(last) {
            return;
        }
        if let Some(said) = self.message_of(request).filter(|s| !s.posted && s.to.is_none()) {
            said.to = Some(turn);
        }
    }

    fn message_of(&mut self, request: u32) -> Option<&mut Said> {
        match self.requests.get(request as usize)?.purpose {
            Purpose::Part { message, .. } => self.said.get_mut(message as usize),
            _ => None,
        }
    }

    /// The room's home takes the first part of a message from another shard.
    pub(super) fn posted(&mut self, turn: u64, body: &[u8]) {
        let Some(said) = marker(body).and_then(|m| self.said.get_mut(m as usize)) else { return };
        if said.exact {
            (said.from, said.to, said.posted) = (turn, Some(turn), true);
        }
    }

    /// The room's home lets an endpoint go.
    pub(super) fn left(&mut self, turn: u64, endpoint: EndpointId) {
        for stay in self.stays.iter_mut().rev().filter(|s| s.endpoint == endpoint) {
            stay.over = true;
            stay.left.get_or_insert(turn);
        }
    }

    /// A part of a copy arrived at the far end of a connection.
    pub(super) fn copy(&mut self, turn: u64, at: usize, part: &Arrived<'_>) {
        let Some(stay) = self.stays.get_mut(at) else {
            return self.fail(|| format!("a copy for a path that nobody has: {at}"));
        };
        if stay.link != Some(part.link) {
            return self.fail(|| format!("a copy for stay {at} arrived on connection {}", part.link));
        }
        if let Some(copy) = stay.copies.get_mut(part.message_id) {
            let next = copy.got.len() as u64 + 1;
            if !copy.open || part.start != next {
                let (message, start, open) = (copy.message, part.start, copy.open);
                return self.fail(|| {
                    format!(
                        "stay {at}: message {message} goes on at {start} instead of {next} (open: {open})"
                    )
                });
            }
            copy.got.extend_from_slice(part.body);
            return self.ended(at, part);
        }
        if memmem::find(part.body, b"left out because your connection").is_some() {
            stay.told = true;
            return;
        }
        if memmem::find(part.body, b"agp.Message-Type: status").is_some() {
            // What the room says itself to a client that knows no rooms (CHAT-JOIN-08).
            return;
        }
        let Some(message) = marker(part.body).filter(|m| (*m as usize) < self.said.len()) else {
            return self.fail(|| format!("stay {at} got what nobody said: {:?}", part.body));
        };
        self.copies += 1;
        self.first_part(turn, at, message, part.start);
        let copy = Copy { message, got: part.body.to_vec(), open: true };
        self.stays[at].copies.insert(part.message_id.to_vec(), copy);
        self.ended(at, part);
    }

    fn first_part(&mut self, turn: u64, at: usize, message: u32, start: u64) {
        let said = &mut self.said[message as usize];
        // A binding that replaces another goes on where that one was: its participant never left.
        let (earlier, later) = self.stays.split_at_mut(at);
        let stay = &mut later[0];
        let present_before = earlier.iter().any(|s| {
            s.endpoint == stay.endpoint && s.begin.is_some_and(|begin| said.to.is_none_or(|to| to >= begin))
        });
        if said.exact && said.to.is_none_or(|to| to > turn) {
            said.to = Some(turn);
        }
        let again = !stay.had.insert(message);
        stay.order.push(message);
        let early = stay.begin.is_none_or(|begin| said.to.is_some_and(|to| to < begin)) && !present_before;
        let late = stay.left.is_some_and(|left| said.from > left);
        let why = if start != 1 {
            "it does not begin at its beginning"
        } else if said.never {
            "nobody may get it"
        } else if said.only.is_some_and(|user| user != stay.user) {
            "it was for somebody else alone"
        } else if said.room != stay.room {
            "it is of another room"
        } else if said.endpoint == stay.endpoint {
            "it said that itself"
        } else if said.exact && again {
            "it had it before"
        } else if said.exact && early {
            "it was said before the endpoint was present"
        } else if said.exact && late {
            "it was said after the endpoint had left"
        } else {
            return;
        };
        let (who, from, to, begin, left) = (stay.endpoint, said.from, said.to, stay.begin, stay.left);
        self.fail(|| {
            format!(
                "stay {at} of {who} got message {message}, but {why} (said {from}–{to:?}, present {begin:?}–{left:?})"
            )
        });
    }

    fn ended(&mut self, at: usize, part: &Arrived<'_>) {
        let Some(copy) = self.stays[at].copies.get_mut(part.message_id) else { return };
        copy.open = part.flag == Flag::More;
        let said = &self.said[copy.message as usize];
        let message = copy.message;
        let got = std::mem::take(&mut copy.got);
        let begins = said.body.starts_with(&got);
        let whole = got.len() == said.body.len();
        let exact = said.exact;
        if copy.open {
            copy.got = got;
        }
        if exact && !begins {
            self.fail(|| format!("stay {at} got other octets than message {message} has"));
        } else if exact && part.flag == Flag::End && !whole {
            self.fail(|| format!("stay {at} got only a part of message {message}, marked as its end"));
        }
    }

    /// An answer arrived.
    pub(super) fn answered(&mut self, turn: u64, link: usize, request: u32, code: u16) {
        let Some(r) = self.requests.get_mut(request as usize) else {
            return self.fail(|| format!("an answer to request {request}, which nobody sent"));
        };
        r.answers += 1;
        let (stay, purpose, asks) = (r.stay, r.purpose, r.asks);
        let again = r.answers > 1;
        let unasked = asks == Asks::No || asks == Asks::Partial && code < 300;
        let astray = r.link != link;
        if again || unasked || astray {
            return self.fail(|| {
                format!("request {request} ({asks:?}) was answered {code}: again {again}, astray {astray}")
            });
        }
        let (over, frozen_until) = (self.stays[stay].over, self.frozen_until);
        let in_time = r
            .arrived
            .filter(|_| self.stays[stay].granted_at > frozen_until)
            .is_some_and(|t| t < self.stays[stay].granted_at + (limits::GRANT_WAIT - Duration::from_secs(3)));
        match purpose {
            Purpose::Bind if code >= 300 && !over && in_time => {
                self.fail(|| format!("stay {stay} could not be bound in time: {code}"));
            }
            Purpose::Stray if code < 300 => {
                self.fail(|| {
                    format!("request {request} names no session of its own and was answered {code}")
                });
            }
            Purpose::Part { message, last } => self.judged(turn, stay, message, last, code),
            Purpose::Name(n) => self.name_judged(stay, n, request, code),
            Purpose::Order { rightly: false } if code < 300 => {
                self.fail(|| {
                    format!("request {request} is an order of somebody without the right, and was obeyed")
                });
            }
            _ => {}
        }
    }

    fn judged(&mut self, turn: u64, stay: usize, message: u32, last: bool, code: u16) {
        let over = self.stays[stay].over;
        let said = &mut self.said[message as usize];
        if code < 300 {
            said.accepted |= last;
            if last && said.exact && said.to.is_none() {
                said.to = Some(turn);
            }
            if said.never && last {
                self.fail(|| format!("message {message} must be refused and was not"));
            } else if last && self.was_muted(stay, message) {
                self.fail(|| format!("message {message} is of somebody who was muted, and was taken"));
            }
            return;
        }
        said.refused = true;
        let (honest, room) = (said.honest, said.room);
        if honest && !over && !self.may_be_flooding(room, self.stays[stay].user) {
            self.fail(|| format!("message {message} of stay {stay} breaks no rule and was refused: {code}"));
        }
    }

    /// The home of a room has other rules from this turn on.
    pub(super) fn ruled(&mut self, turn: u64, room: usize, rules: Arc<Rules>) {
        self.rules.entry(room).or_default().push((turn, rules));
    }

    /// The room is over, and its rules with it.
    pub(super) fn unruled(&mut self, room: usize) {
        self.rules.remove(&room);
    }

    /// Whether whoever said a message was muted, without doubt, all the time in which the room can have taken it.
    fn was_muted(&self, stay: usize, message: u32) -> bool {
        let (said, user) = (&self.said[message as usize], self.stays[stay].user);
        let (Some(to), Some(states)) = (said.to.filter(|_| said.exact), self.rules.get(&said.room)) else {
            return false;
        };
        let Ok(address) = Address::parse(&format!("sip:user{user}@example.com")) else { return false };
        let muted = |rules: &Rules| rules.is_muted(self.now, &address, Some(&address));
        let before = states.iter().rev().find(|(turn, _)| *turn < said.from);
        let mut meanwhile = states.iter().filter(|(turn, _)| (said.from..=to).contains(turn));
        before.is_some_and(|(_, rules)| muted(rules)) && meanwhile.all(|(_, rules)| muted(rules))
    }

    /// Nobody is in a room whose rules keep them out, once there was time to see to it.
    fn nobody_banned(&mut self, at: usize) {
        let stay = &self.stays[at];
        let Some((_, rules)) = self.rules.get(&stay.room).and_then(|states| states.last()) else { return };
        let Ok(address) = Address::parse(&format!("sip:user{}@example.com", stay.user)) else { return };
        if rules.ban(self.now, &Caller::of(&address)).is_some() {
            self.fail(|| format!("stay {at} of {address} is in a room that has banned them"));
        }
    }

    /// Nothing happened yet; so many messages may each user send to a room.
    pub(super) fn with(flood: u64) -> Self {
        Self { flood, ..Self::default() }
    }

    /// A user begins another message in a room, or what the room may take for one.
    pub(super) fn speaks(&mut self, room: usize, user: u64) {
        *self.spoken.entry((room, user)).or_default() += 1;
    }

    /// Whatever others do, nobody is refused for a flood who has not said that much. What comes by one connection may
    /// overtake what came by another one, so all count that are on their way.
    fn may_be_flooding(&self, room: usize, user: u64) -> bool {
        self.flood > 0 && self.spoken.get(&(room, user)).is_some_and(|spoken| *spoken > self.flood)
    }

    /// A wish for a nickname is on its way.
    pub(super) fn asks_name(&mut self, endpoint: EndpointId) {
        self.names.entry(endpoint).or_default().open += 1;
    }

    /// An endpoint may have inherited a nickname.
    pub(super) fn unsure_of_name(&mut self, endpoint: EndpointId) {
        self.names.entry(endpoint).or_default().unsure = true;
    }

    /// Wishes are granted in their order, but answers on two connections may overtake each other.
    fn name_judged(&mut self, stay: usize, n: usize, wish: u32, code: u16) {
        let name = self.names.entry(self.stays[stay].endpoint).or_default();
        name.open = name.open.saturating_sub(1);
        if code < 300 && wish >= name.wish {
            (name.name, name.wish) = (NAMES[n], wish);
            name.unsure = false;
        }
    }

    /// The nickname of an endpoint; `None` if nobody can be sure.
    pub(super) fn name(&self, endpoint: EndpointId) -> Option<Option<String>> {
        let Some(name) = self.names.get(&endpoint) else { return Some(None) };
        let sure = name.open == 0 && !name.unsure;
        sure.then(|| Some(name.name.to_owned()).filter(|n| !n.is_empty()))
    }

    /// A stay takes not everything any more, and may not say everything.
    pub(super) fn excuse(&mut self, stay: usize) {
        (self.stays[stay].told, self.stays[stay].held) = (true, true);
        for said in self.said.iter_mut().filter(|s| s.stay == stay) {
            said.honest = false;
        }
    }

    /// Asserts what holds when nothing moves any more: `alive` says which connections still stand.
    pub(super) fn at_rest(&mut self, alive: impl Fn(usize) -> bool) {
        self.all_answered(&alive);
        for at in 0..self.stays.len() {
            let stay = &self.stays[at];
            let here = stay.link.is_some_and(&alive) && !stay.over && stay.begin.is_some();
            if here {
                self.nobody_banned(at);
                self.nothing_missing(at);
                self.nothing_open(at);
            }
        }
        self.one_order();
    }

    fn all_answered(&mut self, alive: &impl Fn(usize) -> bool) {
        let owed = |r: &Request| {
            let stay = &self.stays[r.stay];
            let bound = stay.begin.is_some() && !stay.over && stay.link == Some(r.link) && alive(r.link);
            bound && r.arrived.is_some() && r.asks == Asks::Yes && r.answers != 1
        };
        if let Some(i) = self.requests.iter().position(owed) {
            let request = format!("{:?}", self.requests[i]);
            self.fail(|| format!("request {i} was not answered once: {request}"));
        }
    }

    fn nothing_missing(&mut self, at: usize) {
        let stay = &self.stays[at];
        let Some(begin) = stay.begin.filter(|_| !stay.told) else { return };
        let owed = |(i, m): &(usize, &Said)| {
            let mine = m.only.is_none_or(|user| user == stay.user);
            let meant = mine && m.room == stay.room && m.endpoint != stay.endpoint && m.exact && m.accepted;
            meant && m.from > begin && m.from != u64::MAX && !stay.had.contains(&(*i as u32))
        };
        if let Some((i, m)) = self.said.iter().enumerate().find(owed) {
            let (from, to) = (m.from, m.to);
            self.fail(|| {
                format!("stay {at}, present since {begin}, never got message {i} (said {from}–{to:?})")
            });
        }
    }

    /// A message whose sender is gone, or that its sender ended, is open nowhere.
    fn nothing_open(&mut self, at: usize) {
        let dangles = |c: &&Copy| {
            let said = &self.said[c.message as usize];
            c.open && said.exact && (self.stays[said.stay].over || said.accepted)
        };
        if let Some(copy) = self.stays[at].copies.values().find(dangles) {
            let message = copy.message;
            self.fail(|| format!("stay {at} never got the end of message {message}"));
        }
    }

    /// All stays of a room agree on one order: the relation "came before" has no circle.
    fn one_order(&mut self) {
        let mut after: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut before: BTreeMap<u32, usize> = BTreeMap::new();
        for stay in &self.stays {
            let exact: Vec<u32> =
                stay.order.iter().copied().filter(|m| self.said[*m as usize].exact).collect();
            for pair in exact.windows(2) {
                after.entry(pair[0]).or_default().push(pair[1]);
                before.entry(pair[0]).or_default();
                *before.entry(pair[1]).or_default() += 1;
            }
        }
        let mut free: Vec<u32> = before.iter().filter(|(_, n)| **n == 0).map(|(m, _)| *m).collect();
        let mut placed = 0;
        while let Some(message) = free.pop() {
            placed += 1;
            for next in after.get(&message).into_iter().flatten() {
                if let Some(n) = before.get_mut(next) {
                    *n -= 1;
                    if *n == 0 {
                        free.push(*next);
                    }
                }
            }
        }
        if placed < before.len() {
            self.fail(|| "the order of messages differs from participant to participant".into());
        }
    }
}

/// The number of the message that octets belong to; stands in the wrapper, so that the first part has it.
fn marker(body: &[u8]) -> Option<u32> {
    let name = b"Subject: m";
    let at = memmem::find(body, name)? + name.len();
    let digits = body.get(at..at + 8)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
