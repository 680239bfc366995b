//! The deterministic simulator: rooms, shards and participants in one thread with a virtual clock.
//!
//! A seed draws a world (how many shards, rooms and people, which behaviours and faults exist) and
//! everything that happens in it. The shards are the real ones, by value; replaced are the sockets, the
//! rings, the clock and chance, and a small part of a focus speaks for the participants. First the
//! world runs with its faults, then it heals, comes to rest and must owe nobody anything; then
//! everybody leaves and nothing may be left. The same seed gives the same run, octet for octet.
//!
//! Touches: base, wire, session, room, the machines of shard. Never: the runtime, clocks, sockets.
//! Bounds: `REST_STEPS_MAX`; the sizes drawn in `plan.rs`.
//! Proved by: `tests/sim.rs`, where every canary must be found.

mod canary;
mod link;
mod oracle;
mod people;
mod plan;
mod speech;
mod trace;
mod world;

pub use canary::Canary;

use crate::base::clock::Now;
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

/// How long an empty world is watched until its last timer has gone off.
const END_TIME: Duration = Duration::from_secs(700);

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
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} fails at turn {}: {}", self.seed, self.turn, self.what)
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
        Some(what) => Err(Failure { seed, turn: world.turn, what }),
        None => Ok(Report {
            trace: world.trace.value(),
            turns: world.turn,
            said: world.oracle.said.len() as u64,
            copies: world.oracle.copies,
        }),
    }
}

fn play(world: &mut World) {
    for _ in 0..world.plan.steps {
        world.fault();
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
        match self.dice.net.below(3) {
            0 if self.plan.cuts => self.hang_up(i),
            1 if self.plan.stalls => self.links[i].stalled = self.now + stall,
            2 if self.plan.half_open => self.links[i].deaf = true,
            _ => {}
        }
    }

    /// Faults end, everybody reads, nobody begins anything.
    fn heal(&mut self) {
        self.healed = true;
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
        let end = self.now + time;
        for _ in 0..REST_STEPS_MAX {
            if self.oracle.broken.is_some() {
                return;
            }
            if self.step() {
                continue;
            }
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None => {
                    if owes {
                        let alive: Vec<bool> =
                            self.links.iter().map(|l| l.at.is_some() && !l.closing).collect();
                        self.oracle.at_rest(|link| alive[link]);
                        self.nothing_unanswered();
                    }
                    return;
                }
            }
        }
        self.oracle.fail(|| "the world does not come to rest".into());
    }

    /// Whoever asked the rooms for something was told yes or no.
    fn nothing_unanswered(&mut self) {
        let waits = |s: &&people::Seat| s.next.is_some_and(|n| self.oracle.stays[n].session.is_none());
        if let Some(endpoint) = self.seats.iter().find(waits).and_then(|s| s.endpoint) {
            self.oracle.fail(|| format!("{endpoint} asked for a session and was told neither yes nor no"));
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
