//! The shard as a machine: it owns rooms, audiences, sessions and timers. Bytes, messages and the time
//! go in, octets in queues and [`Outputs`] come out. The runtime around it does nothing but carry.
//!
//! One call of a method below is one turn: it changes the state and leaves what must be done in
//! [`ShardCore::outputs`], to be taken before the next one. Async picks, this acts.
//!
//! ```text
//!  accepted · bytes · closed · wrote        ┌───────────┐   queues of connections, and which have octets
//!  message (from shards) ─────────────────► │ ShardCore │ ► Outputs: close · move · connect
//!  command (from the focus) · tick          └───────────┘            to shards · to the focus
//! ```
//!
//! Touches: base, wire, session, room. Never: the runtime, system calls, clocks.
//! Bounds: those of its parts; `limits::SHARD_ROOMS_MAX`, `SHARD_SESSIONS_MAX`.
//! Proved by: `tests/switch.rs`, which drives several cores by value with a virtual clock.
//!
//! Files: `requests` (what arrives on connections), `replies` (what is answered), `follow` (what is told later),
//! `notices` (what rooms say themselves), `slow` (who takes too little), `pressure` (who sends too fast for that),
//! `sessions` (grants, binding, moving, ending), `rooms` (what rooms decide, carried out), this one (the rest).

mod follow;
mod notices;
mod pressure;
mod replies;
mod requests;
mod rooms;
mod sessions;
mod slow;

use super::audience::Audience;
use super::audience::answers::Answers;
use super::audience::copy::Scratch;
use super::audience::takes::KnownTakes;
use super::conns::{CloseReason, Conns, Stall};
use super::message::{FromShard, Grant, Outcome, ShardMessage, Terms, ToShard};
use super::timers::{Timer, Timers};
use crate::base::address::Address;
use crate::base::clock::Now;
use crate::base::decimal::with_digits;
use crate::base::entropy::Entropy;
use crate::base::flood::Floods;
use crate::base::id::{ConnId, EndpointId, MessageNo, RoomId, Seq, SessionId, ShardId, Token};
use crate::base::limits;
use crate::room::Room;
use crate::room::effect::Effect;
use crate::room::rooms::Rooms;
use crate::session::inbound::Inbound;
use crate::session::owed::Owed;
use ahash::AHashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a shard must know of the server.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard.
    pub id: ShardId,
    /// How many there are.
    pub shards: u16,
    /// Host of our MSRP URIs, as it stands there (IPv6 in brackets).
    pub host: Arc<str>,
    /// Port of our MSRP URIs.
    pub port: u16,
    /// The rules of all rooms.
    pub rooms: Arc<Rooms>,
}

/// What the runtime does with a connection's reader next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Read on.
    Go,
    /// Read on when [`Outputs::resume`] names the connection.
    Wait,
    /// Read no more; the connection is being closed or has moved.
    Stop,
}

/// What must be done after a turn.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Connections to close; `true`: without waiting for what is queued.
    pub close: Vec<(ConnId, CloseReason, bool)>,
    /// Connections to hand over, with the octets that were not consumed.
    pub hand_over: Vec<(ConnId, ShardId, Vec<u8>)>,
    /// Connections to open, for whom.
    pub connect: Vec<(EndpointId, SocketAddr)>,
    /// Connections whose octets can be looked at again with [`ShardCore::resume`].
    pub resume: Vec<ConnId>,
    /// To other shards, in order.
    pub mesh: Vec<(ShardId, ShardMessage)>,
    /// To the focus.
    pub control: Vec<FromShard>,
}

impl Outputs {
    /// Nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.close.is_empty()
            && self.hand_over.is_empty()
            && self.connect.is_empty()
            && self.resume.is_empty()
            && self.mesh.is_empty()
            && self.control.is_empty()
    }
}

/// What happened on this shard since it started.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections accepted or opened.
    pub opened: u64,
    /// Connections closed, by reason in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Messages accepted by rooms of this shard.
    pub messages: u64,
    /// Copies queued.
    pub copies: u64,
    /// Copies left out for slow recipients.
    pub skipped: u64,
    /// Requests refused, by status code.
    pub refused: std::collections::BTreeMap<u16, u64>,
    /// Those that were too many, by what there was too much of.
    pub floods: Floods,
}

impl Counters {
    /// Adds what happened on another shard.
    pub fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.messages += other.messages;
        self.copies += other.copies;
        self.skipped += other.skipped;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
        self.floods.add(&other.floods);
        for (code, n) in &other.refused {
            *self.refused.entry(*code).or_default() += n;
        }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Waits for its first request until the deadline.
    Granted(Now),
    /// We connect; until the deadline.
    Connecting(Now),
    /// We sent the first request on this connection and wait for the answer; until the deadline.
    Binding(ConnId, Token, Now),
    /// Bound.
    Bound(ConnId),
    /// Ended; the dialog may negotiate a new one.
    Idle,
}

/// A session of this shard.
#[derive(Debug)]
struct Session {
    grant: Grant,
    state: State,
    /// The session that replaces this one once it is bound (a re-INVITE changed the path).
    next: Option<Box<Replacement>>,
    inbound: Inbound,
    debts: Option<Box<Debts>>,
    /// Its place in the audience of its room, once admitted.
    member: Option<usize>,
    /// It may send content.
    may_send: bool,
    /// Somebody will look at its unfinished messages.
    open_timer: bool,
}

const _: () = assert!(size_of::<Session>() <= 240, "every idle session pays for it");

/// What is owed to the peer of a session; most that are silent are owed nothing.
#[derive(Debug, Default)]
struct Debts {
    owed: Owed,
    untold: follow::Untold,
}

impl Session {
    fn debts(&mut self) -> &mut Debts {
        self.debts.get_or_insert_default()
    }

    /// Gives up what held the debts, if there are none.
    fn settle(&mut self) {
        self.debts.take_if(|d| d.owed.is_empty() && d.untold.is_empty());
    }

    fn owes_too_much(&self) -> bool {
        self.debts.as_ref().is_some_and(|d| d.owed.full())
    }

    /// What was negotiated, until the session is bound and its member of the audience knows it.
    fn set_terms(&mut self, terms: Box<Terms>) {
        self.may_send = terms.may_send;
        self.grant.terms = Some(terms);
    }
}

/// What a session becomes once somebody binds it anew.
#[derive(Debug)]
struct Replacement {
    id: SessionId,
    terms: Box<Terms>,
    due: Now,
}

/// One shard.
#[derive(Debug)]
pub struct ShardCore {
    config: ShardConfig,
    entropy: Entropy,
    conns: Conns,
    sessions: AHashMap<EndpointId, Box<Session>>,
    by_id: AHashMap<SessionId, EndpointId>,
    /// Rooms whose home is here.
    rooms: AHashMap<RoomId, Room>,
    room_names: AHashMap<Address, RoomId>,
    last_room: u64,
    audiences: AHashMap<RoomId, Audience>,
    /// Messages whose copies here are followed.
    answers: AHashMap<RoomId, Answers>,
    /// What is known of followed messages whose home is here.
    tallies: follow::Tallies,
    /// What became of messages of sessions here, to be told in the next turn.
    outcomes: Vec<(EndpointId, MessageNo, Outcome)>,
    timers: Timers,
    scratch: Scratch,
    effects: Vec<Effect>,
    last_type: Arc<str>,
    /// What members of audiences here take, each said once.
    takes: KnownTakes,
    /// Senders of long messages whose recipients have no room just now.
    held: Vec<pressure::Held>,
    /// When somebody looks at them.
    relief: Option<Now>,
    /// Connections that wait for the terms of a session.
    waiting: AHashMap<EndpointId, Vec<ConnId>>,
    /// Sessions that claims took from here, until their rooms know: what comes for them is passed on.
    moved: AHashMap<EndpointId, ShardId>,
    outputs: Outputs,
    counters: Counters,
    draining: bool,
    drained: bool,
}

impl ShardCore {
    /// A shard without rooms.
    #[must_use]
    pub fn new(config: ShardConfig, entropy: Entropy) -> Self {
        Self {
            config,
            entropy,
            conns: Conns::default(),
            sessions: AHashMap::new(),
            by_id: AHashMap::new(),
            rooms: AHashMap::new(),
            room_names: AHashMap::new(),
            last_room: 0,
            audiences: AHashMap::new(),
            answers: AHashMap::new(),
            tallies: follow::Tallies::default(),
            outcomes: Vec::new(),
            timers: Timers::default(),
            scratch: Scratch::default(),
            effects: Vec::new(),
            last_type: "text/plain".into(),
            takes: KnownTakes::default(),
            held: Vec::new(),
            relief: None,
            waiting: AHashMap::new(),
            moved: AHashMap::new(),
            outputs: Outputs::default(),
            counters: Counters::default(),
            draining: false,
            drained: false,
        }
    }

    /// Which shard this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.config.id
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Rooms whose home is here.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Connections there are.
    #[must_use]
    pub fn conns(&self) -> usize {
        self.conns.len()
    }

    /// Sessions there are, bound or not.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Nobody and nothing is here: no connection, session or room, no octet kept or queued, nobody waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waits = self.waiting.is_empty() && self.moved.is_empty() && self.held.is_empty();
        let named = self.by_id.is_empty() && self.room_names.is_empty() && self.audiences.is_empty();
        let followed = self.tallies.is_empty() && self.outcomes.is_empty();
        let followed = followed && self.answers.values().all(Answers::is_empty);
        let here = self.conns.is_empty() && self.sessions.is_empty() && self.rooms.is_empty();
        waits && named && followed && here && self.conns.queued() == 0 && self.conns.unread() == 0
    }

    /// Whether anything must be done after the turns so far.
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Takes what must be done after the turns since this was last called.
    pub fn outputs(&mut self, into: &mut Outputs) {
        std::mem::swap(into, &mut self.outputs);
    }

    /// A peer connected. `None`: the connection must be closed at once.
    pub fn accepted(&mut self, now: Now) -> Option<ConnId> {
        if self.draining {
            return None;
        }
        let id = self.conns.open(now)?;
        self.counters.opened += 1;
        self.watch_quiet(id, now + limits::CONN_UNPROVEN);
        Some(id)
    }

    fn watch_quiet(&mut self, id: ConnId, due: Now) {
        if let Some(conn) = self.conns.get_mut(id)
            && !std::mem::replace(&mut conn.quiet_timer, true)
        {
            self.timers.set(due, Timer::Quiet(id));
        }
    }

    /// The socket of a connection is gone. Every connection ends here, whoever closed it.
    pub fn closed(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.closing.is_none() {
            self.close(now, id, CloseReason::Peer, true);
        }
        self.conns.remove(id);
        self.tell_if_drained();
    }

    /// Ends what a connection carries and asks the runtime to close it.
    fn close(&mut self, now: Now, id: ConnId, reason: CloseReason, at_once: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let first = conn.closing.is_none();
        conn.closing.get_or_insert(reason);
        if first && !at_once && !conn.queue.is_empty() {
            self.timers.set(now + limits::CLOSING_WAIT, Timer::Closing(id));
        }
        self.outputs.close.push((id, reason, at_once));
        if first {
            self.counters.closed[reason as usize] += 1;
            self.lose_sessions(now, id, reason);
        }
    }

    /// The connection is to be written to in the next round: there is room again, or more waits than one write
    /// takes, or it ends once all is written.
    pub fn write_again(&mut self, id: ConnId) {
        self.conns.look_again(id);
    }

    /// Takes the connections that may have something to write since this was last called, each once.
    pub fn take_writes(&mut self, into: &mut Vec<ConnId>) {
        let mut stalls = Vec::new();
        self.conns.take_dirty(into, &mut stalls);
        for id in stalls {
            if let Some(due) = self.conns.get(id).and_then(|c| c.queue.stall_deadline()) {
                self.timers.set(due, Timer::Stall(id));
            }
        }
    }

    /// What the next write of a connection takes, in order; nothing if nothing waits. What is taken is told to
    /// [`ShardCore::wrote`].
    pub fn waiting(&self, id: ConnId) -> impl Iterator<Item = &[u8]> {
        self.conns.waiting(id)
    }

    /// The peer's system took the next `n` octets. Whether more waited behind them.
    pub fn wrote(&mut self, now: Now, id: ConnId, n: usize) -> bool {
        let progress = self.conns.wrote(now, id, n);
        if progress.recovered {
            self.tell_left_out(now, id);
        }
        if progress.caught_up {
            self.relieve_soon(now);
        }
        progress.left
    }

    /// A message from another shard, or from this one.
    pub fn message(&mut self, now: Now, from: ShardId, message: ShardMessage) {
        match message {
            // From where a session was before, or from one that has left: it is not gone on with, nobody there waits for
            // the answer, and what is said of its end is late.
            ShardMessage::Post { room, endpoint, .. }
            | ShardMessage::Continue { room, endpoint, .. }
            | ShardMessage::Nickname { room, endpoint, .. }
            | ShardMessage::Unbind { room, endpoint }
                if self.shard_of(room, endpoint) != Some(from) => {}
            ShardMessage::Grant(grant) => self.grant(now, *grant),
            ShardMessage::Revise { endpoint, terms, rebind } => self.revise(now, endpoint, terms, rebind),
            ShardMessage::Disclose { number, disclosure } => self.disclose(number, disclosure),
            ShardMessage::Notice(notice) => self.notice(now, notice),
            ShardMessage::Bind { room, endpoint } => self.room_bind(now, room, endpoint, from),
            ShardMessage::Unbind { room, endpoint } => self.room_unbind(now, room, endpoint),
            ShardMessage::Admit { endpoint, number, after } => self.admit(endpoint, number, after),
            ShardMessage::Evict { endpoint } => self.evict(now, endpoint),
            ShardMessage::Forget { endpoint } => {
                self.moved.remove(&endpoint);
            }
            ShardMessage::Decline { room, endpoint } => self.room_decline(now, room, endpoint),
            ShardMessage::Post { room, endpoint, no, envelope, feedback, chunk } => {
                self.remote_post(now, from, room, endpoint, no, &envelope, feedback, *chunk);
            }
            ShardMessage::Continue { room, endpoint, no, chunk } => {
                self.remote_continue(now, from, room, endpoint, no, *chunk);
            }
            ShardMessage::Nickname { room, endpoint, no, wish } => {
                self.nickname(now, room, endpoint, no, wish.map(|w| *w));
            }
            ShardMessage::Verdict { endpoint, no, verdict } => self.verdict(now, endpoint, no, verdict),
            ShardMessage::Deliver { room, seq, opening, hold, chunk } => {
                self.remote_deliver(now, room, seq, opening.as_deref(), hold, *chunk);
            }
            ShardMessage::Heard { room, seq, heard } => self.heard(now, room, seq, from, &heard),
            ShardMessage::Outcome { endpoint, no, outcome } => self.outcome(now, endpoint, no, outcome),
            ShardMessage::Abort { room, seq } => self.abort_here(now, room, seq),
            ShardMessage::Room { endpoint } => self.has_room(now, endpoint, from),
            ShardMessage::GoOn { endpoint } => self.read_on(endpoint),
            ShardMessage::HandOver(_) => {} // Carried by the runtime, see `arrive` in `run/sockets.rs`.
            ShardMessage::Claim { session, conn } => self.claim(now, session, conn, from),
            ShardMessage::Claimed { conn, grant } => self.claimed(now, conn, grant),
        }
    }

    /// A command from the focus.
    pub fn command(&mut self, now: Now, command: ToShard) {
        match command {
            ToShard::Join(join) => self.join(now, *join),
            ToShard::Revise { endpoint, room, terms, rebind } => {
                self.room_revise(now, endpoint, &room, terms, rebind);
            }
            ToShard::Inherit { heir, from, room } => self.room_inherit(now, heir, from, &room),
            ToShard::Disclose(disclosure) => self.room_disclose(now, disclosure),
            ToShard::Notice(notice) => self.room_notice(now, notice),
            ToShard::Leave { endpoint, room } => self.room_leave(now, endpoint, &room),
            ToShard::Drain => self.drain(now),
        }
    }

    /// When [`ShardCore::tick`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        self.timers.next()
    }

    /// Looks at everything whose time has come.
    pub fn tick(&mut self, now: Now) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Grant(endpoint) => self.grant_due(now, endpoint),
                Timer::Open(endpoint) => self.open_due(now, endpoint),
                Timer::Quiet(id) => self.quiet_due(now, id),
                Timer::Slow(endpoint) => self.slow_due(now, endpoint),
                Timer::Relief => self.relief_due(now),
                Timer::Answers(room) => self.answers_due(now, room),
                Timer::Outcomes => self.outcomes_due(now),
                Timer::Stall(id) => match self.conns.stall_look(now, id) {
                    Stall::Nothing => {}
                    Stall::Later(due) => self.timers.set(due, Timer::Stall(id)),
                    Stall::Stuck => self.close(now, id, CloseReason::TooSlow, true),
                },
                Timer::Closing(id) => self.close(now, id, CloseReason::TooSlow, true),
            }
        }
        if self.conns.tidy(now) {
            self.timers.shrink();
        }
    }

    /// A connection without a session, or one that began something: has its time run out?
    fn quiet_due(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|c| c.closing.is_none()) else { return };
        conn.quiet_timer = false;
        let empty = conn.sessions().is_empty() && conn.opened_for().is_none();
        let unread = conn.unread();
        if !empty && unread == 0 {
            return;
        }
        if !empty && conn.wait().is_some() {
            // It is we who do not read.
            conn.quiet_since = now;
            return self.watch_quiet(id, now + limits::HEAD_WAIT);
        }
        let due = conn.quiet_since + if empty { limits::CONN_UNPROVEN } else { limits::HEAD_WAIT };
        // Something long that comes slowly but steadily is no attack (D1).
        let steady = conn.unfinished_now().is_some_and(|u| unread >= u.unread_mark + limits::STEADY_BYTES);
        let proven = conn.proven;
        if due > now {
            self.watch_quiet(id, due);
        } else if !empty && steady {
            conn.unfinished().unread_mark = unread;
            conn.quiet_since = now;
            self.watch_quiet(id, now + limits::HEAD_WAIT);
        } else {
            let unused = proven && empty;
            self.close(now, id, if unused { CloseReason::Unused } else { CloseReason::Silent }, false);
        }
    }

    fn drain(&mut self, now: Now) {
        self.draining = true;
        let open: Vec<_> = self.open_copies().collect();
        for (room, seq) in open {
            self.abort_here(now, room, seq);
        }
        for id in self.conns.ids() {
            self.close(now, id, CloseReason::Stopping, false);
        }
        self.tell_if_drained();
    }

    fn tell_if_drained(&mut self) {
        if self.draining && self.conns.is_empty() && !std::mem::replace(&mut self.drained, true) {
            self.outputs.control.push(FromShard::Drained { shard: self.config.id });
        }
    }

    /// The URI of a session of ours.
    fn uri(&self, session: &SessionId) -> Vec<u8> {
        let mut uri = Vec::with_capacity(64);
        write_uri(&mut uri, &self.config.host, self.config.port, session);
        uri
    }

    /// To another shard, or to this one without a detour.
    fn tell(&mut self, now: Now, to: ShardId, message: ShardMessage) {
        if to == self.config.id {
            self.message(now, to, message);
        } else {
            self.outputs.mesh.push((to, message));
        }
    }

    /// Every message of which copies here wait for their end.
    pub fn open_copies(&self) -> impl Iterator<Item = (RoomId, Seq)> {
        self.audiences.iter().flat_map(|(room, a)| a.open_messages().into_iter().map(|seq| (*room, seq)))
    }

    /// Whether the last part of a message of a room whose home is here has not come.
    #[must_use]
    pub fn is_open(&self, room: RoomId, seq: Seq) -> bool {
        self.rooms.get(&room).is_some_and(|r| r.is_open(seq))
    }

    /// Asserts the invariants of everything here.
    ///
    /// # Panics
    /// If one is broken, which is a fault of this program.
    pub fn check(&self) {
        for room in self.rooms.values() {
            room.check();
        }
        for (id, endpoint) in &self.by_id {
            let session = &self.sessions[endpoint];
            let next = session.next.as_ref().map(|next| next.id);
            assert!(session.grant.session == *id || next == Some(*id), "{id:?} names {endpoint} no more");
        }
        for (endpoint, session) in &self.sessions {
            if let State::Bound(conn) = session.state {
                let conn = self.conns.get(conn).expect("a bound session has a connection");
                assert!(conn.sessions().contains(endpoint));
            }
            if let Some(place) = session.member {
                let member = &self.audiences[&session.grant.room].members()[place];
                assert_eq!(member.endpoint, *endpoint, "a session knows its place in the audience");
            }
        }
        let members: usize = self.audiences.values().map(|a| a.members().len()).sum();
        assert_eq!(members, self.sessions.values().filter(|s| s.member.is_some()).count());
        for (room, seq) in self.open_copies().filter(|(room, _)| room.home() == self.config.id) {
            assert!(self.is_open(room, seq), "copies of {seq:?} wait for an end that cannot come");
        }
        self.tallies.check();
    }
}

/// Writes the URI of a session of ours (RFC 4975 §6).
pub fn write_uri(out: &mut Vec<u8>, host: &str, port: u16, session: &SessionId) {
    out.extend_from_slice(b"msrp://");
    out.extend_from_slice(host.as_bytes());
    out.push(b':');
    with_digits(port.into(), |digits| out.extend_from_slice(digits));
    out.push(b'/');
    out.extend_from_slice(session.reveal());
    out.extend_from_slice(b";tcp");
}
