//! One thread of the harness: its rooms, their connections, one epoll loop.
//!
//! Orders come in through a channel, everything else happens between two calls of [`Epoll::wait`]: read
//! what is there into one shared buffer, judge it, answer it, send what is due. While a run lasts the
//! thread polls instead of sleeping (unless told otherwise): a sleeping harness makes the server pay for
//! waking a core at each copy, and is late itself.
//!
//! Touches its sockets and the clock. Bounded: as many connections as participants, the backlog of each
//! by [`BACKLOG_BYTES_MAX`] (a message that would pass it is not sent, and counted), time by the plan.

use crate::conn::{Conn, Flushed, Grant};
use crate::oracle::{Findings, Shape};
use crate::pace::{Interval, Meter, Schedule};
use crate::score::{Names, Score, Troubles};
use crate::stamp::Texts;
use crate::sys::{Epoll, READABLE, WRITABLE};
use crate::voice::VoiceKind;
use openmsrp::base::clock;
use openmsrp::wire::msrp::head::FailureReport;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Events of one wait.
const EVENTS: usize = 1024;
/// The shared read buffer; a connection's unread octets must fit in besides.
const READ_BYTES: usize = 256 * 1024;
/// Octets that may wait on one connection.
const BACKLOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages sent in a row before the loop looks at its sockets again. Many: a harness that is late should
/// first offer the load it promised.
const BURST_MAX: u32 = 1024;
/// After the joins it must be quiet for so long.
const QUIET: Duration = Duration::from_millis(300);
/// … or this long has passed.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// After the last copy, time for copies that should not come.
const LINGER: Duration = Duration::from_millis(100);

/// How messages are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Messages per second of this thread, whatever happens to them.
    Rate(f64),
    /// So many messages of each publisher under way at once.
    Saturate(u32),
    /// No messages at all.
    Nothing,
}

/// One measured run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) load: Load,
    /// The first message is due here.
    pub(crate) start: u64,
    /// What counts.
    pub(crate) interval: Interval,
    /// How long the last copies are waited for.
    pub(crate) drain: Duration,
    /// Whether to sleep when there is nothing to do.
    pub(crate) sleep: bool,
}

/// What a thread found.
pub(crate) struct Outcome {
    pub(crate) findings: Findings,
    pub(crate) troubles: Troubles,
    pub(crate) first_fault: Option<String>,
    pub(crate) meter: Meter,
    pub(crate) sent: u64,
    pub(crate) not_sent: u64,
    pub(crate) lost: u64,
    /// Publishers' requests that asked for an answer and got none.
    pub(crate) unanswered: u64,
    /// Reads during the measured interval.
    pub(crate) reads: u64,
    /// Time of the measured interval without anything to do.
    pub(crate) idle_ns: u64,
}

/// What a thread is told.
pub(crate) enum Order {
    /// Bind this participant.
    Bind(Box<Grant>),
    /// Tell when nothing has come for a while.
    Quiet(oneshot::Sender<()>),
    /// Run the plan.
    Run(Box<Plan>, oneshot::Sender<Outcome>),
}

/// What a thread needs to know in advance.
pub(crate) struct Setup {
    pub(crate) names: Names,
    pub(crate) shape: Shape,
    pub(crate) texts: Texts,
    pub(crate) voice: VoiceKind,
    /// Which of how many threads this is; room `n` belongs to thread `n` modulo `threads`.
    pub(crate) thread: u32,
    /// See `thread`.
    pub(crate) threads: u32,
    /// For transaction ids: different in each run and thread.
    pub(crate) prefix: u32,
}

/// See the module's text.
pub(crate) struct Engine {
    setup: Setup,
    epoll: Epoll,
    conns: Vec<Conn>,
    /// By flow: the publisher's connection.
    publishers: Vec<u32>,
    shared: Vec<u8>,
    score: Score,
    /// Connections with something new to send.
    dirty: Vec<u32>,
}

const NOBODY: u32 = u32::MAX;

fn now() -> u64 {
    clock::now().0
}

impl Engine {
    /// A thread's engine.
    ///
    /// # Errors
    /// The kernel gives no epoll instance.
    pub(crate) fn new(setup: Setup) -> std::io::Result<Self> {
        let score =
            Score::new(setup.names.clone(), setup.shape, setup.texts.clone(), 0, Interval { from: 0, to: 0 });
        let flows = score.flows() as usize;
        Ok(Self {
            setup,
            epoll: Epoll::new(EVENTS)?,
            conns: Vec::new(),
            publishers: vec![NOBODY; flows],
            shared: vec![0; READ_BYTES],
            score,
            dirty: Vec::new(),
        })
    }

    /// Follows orders until nobody can give any.
    pub(crate) fn serve(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.try_recv() {
                Ok(Order::Bind(grant)) => self.bind(*grant),
                Ok(Order::Quiet(done)) => {
                    self.settle();
                    let _ = done.send(());
                }
                Ok(Order::Run(plan, done)) => {
                    let outcome = self.run(&plan);
                    let _ = done.send(outcome);
                }
                Err(TryRecvError::Empty) => drop(self.turn(Duration::from_millis(2))),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    fn bind(&mut self, grant: Grant) {
        let seat = grant.seat;
        let key = self.conns.len() as u32;
        let flow = self.score.flow_of(seat);
        let prefix = self.setup.prefix.wrapping_add(key.wrapping_mul(0x9e37_79b9));
        let conn = Conn::new(grant, prefix, flow.map(|_| self.setup.voice));
        let watched = conn.socket().map_or(Ok(()), |s| self.epoll.add(s, key));
        self.conns.push(conn);
        if let Err(e) = watched {
            self.fail(key, &format!("epoll: {e}"));
            return;
        }
        if let Some(flow) = flow {
            self.publishers[flow as usize] = key;
        }
        self.flush(key);
    }

    /// Waits until the announcements of the joins have passed.
    fn settle(&mut self) {
        for conn in &mut self.conns {
            conn.shrink();
        }
        let deadline = clock::now() + QUIET_MAX;
        let mut last = clock::now();
        let mut reads = self.score.reads;
        while clock::now() < deadline && clock::now().since(last) < QUIET {
            self.turn(Duration::from_millis(20));
            if self.score.reads != reads {
                (reads, last) = (self.score.reads, clock::now());
            }
        }
    }

    /// One wait and what it brings; returns the number of events.
    fn turn(&mut self, timeout: Duration) -> usize {
        let events = self.epoll.wait(timeout);
        for i in 0..events {
            let (mask, key) = self.epoll.event(i);
            if mask & WRITABLE != 0 {
                self.flush(key);
            }
            if mask & READABLE != 0 {
                self.read(key);
            }
        }
        events
    }

    fn read(&mut self, key: u32) {
        let conn = &mut self.conns[key as usize];
        loop {
            match conn.read(&mut self.shared, now, &mut self.score) {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    self.fail(key, &why);
                    return;
                }
            }
        }
        if self.conns[key as usize].backlog() > 0 {
            self.flush(key);
        }
    }

    fn flush(&mut self, key: u32) {
        let conn = &mut self.conns[key as usize];
        let blocked = match conn.flush() {
            Ok(flushed) => flushed == Flushed::Blocked,
            Err(why) => {
                self.fail(key, &why);
                return;
            }
        };
        if blocked != conn.watched {
            conn.watched = blocked;
            if let Some(socket) = conn.socket()
                && let Err(e) = self.epoll.watch_writing(socket, key, blocked)
            {
                self.fail(key, &format!("epoll: {e}"));
            }
        }
    }

    fn fail(&mut self, key: u32, why: &str) {
        let conn = &mut self.conns[key as usize];
        conn.close(why);
        self.score.closed(conn.seat, why);
    }

    fn run(&mut self, plan: &Plan) -> Outcome {
        let window = if let Load::Saturate(window) = plan.load { window } else { 0 };
        let shape = Shape { window, ..self.setup.shape };
        let earlier = self.score.first_fault.take();
        self.score =
            Score::new(self.setup.names.clone(), shape, self.setup.texts.clone(), window, plan.interval);
        self.score.first_fault = earlier;
        while now() < plan.start {
            self.turn(Duration::from_millis(1));
        }
        let mut tally = Tally::default();
        match plan.load {
            Load::Rate(per_second) => self.run_paced(plan, per_second, &mut tally),
            Load::Saturate(_) => self.run_saturated(plan, &mut tally),
            Load::Nothing => {
                while now() < plan.interval.to {
                    self.turn(Duration::from_millis(100));
                }
            }
        }
        self.drain(plan.drain);
        self.report(&tally)
    }

    fn run_paced(&mut self, plan: &Plan, per_second: f64, tally: &mut Tally) {
        let order = shuffled(self.score.flows());
        if order.is_empty() {
            return;
        }
        let schedule = Schedule::new(plan.start, per_second);
        let mut k = 0u64;
        let mut time = now();
        while time < plan.interval.to {
            let mut sent = 0;
            while schedule.due(k) <= time && sent < BURST_MAX {
                self.publish(order[(k % order.len() as u64) as usize], schedule.due(k), tally);
                k += 1;
                sent += 1;
            }
            self.flush_dirty();
            let wait = if plan.sleep { schedule.due(k).saturating_sub(now()) } else { 0 };
            time = self.counted_turn(plan, time, sent > 0, wait, tally);
        }
    }

    fn run_saturated(&mut self, plan: &Plan, tally: &mut Tally) {
        let mut time = now();
        while time < plan.interval.to {
            let mut sent = false;
            while let Some((flow, messages)) = self.score.take_free() {
                for _ in 0..messages {
                    self.publish(flow, time, tally);
                    sent = true;
                }
            }
            self.flush_dirty();
            let wait = if plan.sleep { 5_000_000 } else { 0 };
            time = self.counted_turn(plan, time, sent, wait, tally);
        }
        self.score.stop();
    }

    /// One turn that began (with sending) at `began`; returns the time after it.
    fn counted_turn(&mut self, plan: &Plan, began: u64, sent: bool, wait_ns: u64, tally: &mut Tally) -> u64 {
        let reads = self.score.reads;
        let asked = now();
        let events = self.turn(Duration::from_nanos(wait_ns.min(5_000_000)));
        let after = now();
        if plan.interval.holds(began) {
            tally.reads += self.score.reads - reads;
            if events == 0 {
                tally.idle_ns += after - if sent { asked } else { began };
            }
        }
        after
    }

    /// Queues the next message of `flow`, due at `due`, unless its connection is gone or clogged.
    fn publish(&mut self, flow: u32, due: u64, tally: &mut Tally) {
        let key = self.publishers[flow as usize];
        let conn = match self.conns.get_mut(key as usize) {
            Some(c) if c.socket().is_some() && c.backlog() < BACKLOG_BYTES_MAX => c,
            _ => {
                tally.not_sent += 1;
                return;
            }
        };
        if conn.backlog() == 0 {
            self.dirty.push(key);
        }
        let text = self.score.next_text(flow, conn.seat, due);
        conn.publish(text);
        self.score.meter.sent(due, now());
    }

    fn flush_dirty(&mut self) {
        while let Some(key) = self.dirty.pop() {
            self.flush(key);
        }
    }

    fn drain(&mut self, longest: Duration) {
        let deadline = clock::now() + longest;
        while self.score.owed() + self.unanswered() > 0 && clock::now() < deadline {
            self.turn(Duration::from_millis(1));
        }
        let linger = clock::now() + LINGER;
        while clock::now() < linger {
            self.turn(Duration::from_millis(5));
        }
    }

    fn unanswered(&self) -> u64 {
        let asked = self.setup.voice.failure_report == FailureReport::Yes;
        if asked { self.score.sent.saturating_sub(self.score.answers) } else { 0 }
    }

    fn report(&mut self, tally: &Tally) -> Outcome {
        let (findings, mut troubles) = {
            let (thread, threads) = (self.setup.thread, self.setup.threads);
            self.score.finish(|room| room * threads + thread)
        };
        // Those that went before the run count too.
        troubles.closed = self.conns.iter().filter(|c| c.socket().is_none()).count() as u64;
        let shape = self.setup.shape;
        let fresh = Score::new(
            self.setup.names.clone(),
            shape,
            self.setup.texts.clone(),
            0,
            Interval { from: 0, to: 0 },
        );
        let (lost, unanswered) = (self.score.owed(), self.unanswered());
        let score = std::mem::replace(&mut self.score, fresh);
        Outcome {
            findings,
            troubles,
            lost,
            sent: score.sent,
            not_sent: tally.not_sent,
            unanswered,
            reads: tally.reads,
            idle_ns: tally.idle_ns,
            first_fault: score.first_fault,
            meter: score.meter,
        }
    }
}

#[derive(Default)]
struct Tally {
    reads: u64,
    idle_ns: u64,
    not_sent: u64,
}

/// The flows in an order without pattern, always the same one: rooms must not take turns in the order
/// in which they were made.
fn shuffled(flows: u32) -> Vec<u32> {
    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
    let mut order: Vec<u32> = (0..flows).collect();
    order.shuffle(&mut StdRng::seed_from_u64(1));
    order
}
