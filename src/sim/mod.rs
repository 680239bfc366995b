//! The deterministic simulator: rooms, shards and participants in one thread with a virtual clock.
//!
//! A seed draws a world (how many shards, rooms and people, which behaviours and faults exist) and
//! everything that happens in it. The focus and the shards are the real ones, by value; replaced are the sockets, the
//! rings, the transactions of SIP, the clock and chance. First the
//! world runs with its faults, then it heals, comes to rest and must owe nobody anything; then
//! everybody leaves and nothing may be left. The same seed gives the same run, octet for octet.
//!
//! Touches: base, wire, session, room, focus, the machines of shard. Never: the runtime, clocks, sockets.
//! Bounds: `REST_STEPS_MAX`; the sizes drawn in `plan.rs`.
//! Proved by: `tests/sim.rs`, where every canary must be found.

mod calls;
mod canary;
mod desk;
mod link;
mod oracle;
mod people;
mod plan;
mod speech;
mod trace;
mod user_agent;
mod watch;
mod world;

pub use canary::Canary;

use crate::base::clock::Now;
use crate::base::id::RoomId;
use crate::shard::core::ShardCore;
use link::Reads;
use people::Stage;
use plan::Manner;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

/// Steps within which a healed world must come to rest.
const REST_STEPS_MAX: u64 = 200_000;

/// How long a healed world is watched: longer than any grant, head or empty connection may last.
const REST_TIME: Duration = Duration::from_secs(100);

/// How long after a change subscribers may not know of it: their pace, and the way of two notices.
const QUIET_TIME: Duration = Duration::from_secs(3);

/// How long an empty world is watched until its last timer has gone off.
const END_TIME: Duration = Duration::from_secs(4000);

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// The hash of everything that happened.
    pub trace: u64,
    /// Calls of shards.
    pub turns: u64,
    /// Messages that were begun.
    pub said: u64,
    /// Copies that arrived.
    pub copies: u64,
}

/// An invariant that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed that replays it.
    pub seed: u64,
    /// The call of a shard after which it showed.
    pub turn: u64,
    /// What must not be.
    pub what: String,
    /// The last things that happened, one a line.
    pub trace: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}seed {} fails at turn {}: {}", self.trace, self.seed, self.turn, self.what)
    }
}

/// Runs one seed, with a bug planted if there is a canary.
///
/// # Errors
/// The first invariant that did not hold; a panic of a shard is one too.
pub fn run(seed: u64, canary: Option<Canary>) -> Result<Report, Failure> {
    let mut world = World::new(seed, canary);
    let played = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let what = match played {
        Ok(()) => world.oracle.broken.take(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(format!("panic: {}", text.unwrap_or_default()))
        }
    };
    match what {
        Some(what) => Err(Failure { seed, turn: world.turn, what, trace: world.trace.tail() }),
        None => Ok(Report {
            trace: world.trace.value(),
            turns: world.turn,
            said: world.oracle.said.len() as u64,
            copies: world.oracle.copies,
        }),
    }
}

fn play(world: &mut World) {
    let stops_at = world.dice.schedule.below(world.plan.steps);
    for step in 0..world.plan.steps {
        world.fault();
        if world.plan.stops && step == stops_at {
            world.stop();
        }
        if !world.step() {
            let Some(next) = world.next() else { break };
            world.now = next;
        }
        if world.oracle.broken.is_some() {
            return;
        }
    }
    world.heal();
    world.rest(REST_TIME, true);
    world.leave_all(|s| s.manner == Manner::Unfinished);
    world.rest(REST_TIME, true);
    world.leave_all(|_| true);
    world.rest(END_TIME, false);
    world.nothing_left();
}

impl World {
    /// Something goes wrong with some connection, now and then.
    fn fault(&mut self) {
        let every = self.plan.fault_every;
        if every == 0 || self.links.is_empty() || self.dice.net.below(every) > 0 {
            return;
        }
        let i = self.dice.net.below(self.links.len() as u64) as usize;
        let stall = Duration::from_millis(self.dice.net.below(15_000));
        match self.dice.net.below(4) {
            0 if self.plan.cuts => self.hang_up(i),
            1 if self.plan.stalls => self.links[i].stalled = self.now + stall,
            2 if self.plan.half_open => self.links[i].deaf = true,
            3 if self.plan.freezes => self.freeze(stall),
            _ => {}
        }
    }

    /// A shard gets no turn for a while.
    fn freeze(&mut self, time: Duration) {
        let shard = self.dice.net.below(self.cores.len() as u64) as usize;
        self.frozen[shard] = self.now + time;
        self.oracle.frozen_until = self.oracle.frozen_until.max(self.frozen[shard]);
    }

    /// Faults end, everybody reads, nobody begins anything.
    fn heal(&mut self) {
        self.healed = true;
        self.frozen.fill(Now(0));
        for i in 0..self.links.len() {
            let link = &mut self.links[i];
            (link.stalled, link.reads, link.split) = (Now(0), Reads::All, false);
            if link.deaf {
                self.hang_up(i);
            }
        }
        for seat in &mut self.seats {
            seat.acts_at = Some(self.now);
            if seat.stage == Stage::Gone {
                seat.stage = Stage::Lost;
            }
        }
    }

    /// Runs until nothing moves for `time`, then asks what is owed.
    fn rest(&mut self, time: Duration, owes: bool) {
        let mut end = self.now + time;
        for _ in 0..REST_STEPS_MAX {
            if self.oracle.broken.is_some() {
                return;
            }
            if self.step() {
                continue;
            }
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None if owes && !self.is_quiet() => {
                    self.now = end;
                    end = end + Duration::from_secs(1);
                }
                None => {
                    if owes {
                        let alive: Vec<bool> =
                            self.links.iter().map(|l| l.at.is_some() && !l.closing).collect();
                        self.oracle.now = self.now;
                        self.oracle.at_rest(|link| alive[link]);
                        self.nothing_unanswered();
                        self.rosters_are_true();
                        self.nobody_is_a_ghost();
                        self.no_copy_outlives_its_message();
                    }
                    return;
                }
            }
        }
        self.oracle.fail(|| "the world does not come to rest".into());
    }

    /// Nothing is under way that could change what anybody believes.
    fn is_quiet(&self) -> bool {
        self.desk.all_arrived() && self.desk.changed_at + QUIET_TIME <= self.now
    }

    /// What has ended for its room has ended everywhere.
    fn no_copy_outlives_its_message(&mut self) {
        let mut copies = self.cores.iter().flat_map(ShardCore::open_copies);
        let is_open = |room: RoomId, seq| self.cores[room.home().index()].is_open(room, seq);
        if let Some((room, seq)) = copies.find(|(room, seq)| !is_open(*room, *seq)) {
            self.oracle.fail(|| format!("copies of {seq:?} in {room:?} wait for an end that cannot come"));
        }
    }

    fn leave_all(&mut self, who: impl Fn(&people::Seat) -> bool) {
        for i in 0..self.seats.len() {
            if who(&self.seats[i]) {
                self.leave(i);
            }
        }
    }

    /// Everybody has left: nothing is left of them.
    fn nothing_left(&mut self) {
        if self.focus.deadline().is_some() {
            self.oracle.fail(|| "the focus waits for something that cannot come".into());
        }
        for i in 0..self.cores.len() {
            let core = &self.cores[i];
            let left = [core.rooms(), core.sessions(), core.conns()];
            let timers = core.deadline().is_some();
            if left != [0; 3] || timers {
                self.oracle.fail(|| {
                    let [rooms, sessions, conns] = left;
                    format!(
                        "left on shard {i}: {rooms} rooms, {sessions} sessions, {conns} connections, \
                         timers: {timers}"
                    )
                });
            }
        }
    }
}
