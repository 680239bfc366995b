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
use crate::live::Live;
use crate::measured::Measured;
use crate::oracle::Shape;
use crate::pace::{Interval, Schedule};
use crate::score::{Names, Role, Score, Terms};
use crate::stamp::Kind;
use crate::sys::{self, Bell, ENDED, Epoll, READABLE, WRITABLE};
use crate::voice::VoiceKind;
use openmsrp::base::clock;
use openmsrp::wire::msrp::head::FailureReport;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Events of one wait.
const EVENTS: usize = 1024;
/// The shared read buffer; a connection's unread octets must fit in besides.
const READ_BYTES: usize = 256 * 1024;
/// Octets that may wait on one connection.
const BACKLOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Messages sent in a row before the loop looks at its sockets again. Many: a harness that is late should
/// first offer the load it promised.
const BURST_MAX: u32 = 1024;
/// After the joins it must be quiet for so long.
const QUIET: Duration = Duration::from_millis(300);
/// … or this long has passed.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// After the last copy, time for copies that should not come.
const LINGER: Duration = Duration::from_millis(100);
/// After a run, those that did not read have so long to find what the server left them, and whether it gave them up.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Between two looks at what goes on, for whoever watches.
const LIVE_NS: u64 = 100_000_000;
/// The longest wait in a run that sleeps.
const WAIT_NS_MAX: u64 = 5_000_000;
/// The longest wait without a run; an order ends it.
const ORDER_WAIT: Duration = Duration::from_millis(100);

/// One measured run.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Tells its texts from those of other runs.
    pub(crate) run: u32,
    /// Messages per second of this thread by kind, whatever happens to them.
    pub(crate) rates: [f64; 4],
    /// At saturation: so many texts of each publisher under way at once; otherwise 0.
    pub(crate) window: u32,
    /// The first message is due here.
    pub(crate) start: u64,
    /// What counts.
    pub(crate) interval: Interval,
    /// How long the last copies are waited for.
    pub(crate) drain: Duration,
    /// Whether to sleep when there is nothing to do.
    pub(crate) sleep: bool,
}

/// What a thread is told.
pub(crate) enum Order {
    /// Bind this participant.
    Bind(Box<Grant>),
    /// This visitor is about to hang up.
    Leaving(u32),
    /// This visitor has hung up.
    Gone(u32),
    /// End the run now; what is under way may still arrive.
    Stop,
    /// Tell when nothing has come for a while.
    Quiet(oneshot::Sender<()>),
    /// Run the plan.
    Run(Box<Plan>, oneshot::Sender<Measured>),
}

/// Where a thread takes orders.
#[derive(Clone)]
pub(crate) struct Desk {
    orders: Sender<Order>,
    bell: Bell,
}

impl Desk {
    /// Orders come through this channel, and the bell says so.
    pub(crate) fn new(orders: Sender<Order>, bell: Bell) -> Self {
        Self { orders, bell }
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The thread has ended.
    pub(crate) fn give(&self, order: Order) -> Result<(), String> {
        self.orders.send(order).map_err(|_| "a thread of the harness has ended")?;
        self.bell.ring();
        Ok(())
    }
}

/// What a thread needs to know in advance.
pub(crate) struct Setup {
    pub(crate) names: Names,
    /// Rooms of this thread, and those of their participants that read.
    pub(crate) shape: Shape,
    /// Participants of each room, those that do not read included.
    pub(crate) participants: u32,
    pub(crate) voice: VoiceKind,
    /// Which of how many threads this is; room `n` belongs to thread `n` modulo `threads`.
    pub(crate) thread: u32,
    /// See `thread`.
    pub(crate) threads: u32,
    /// For transaction ids: different in each run and thread.
    pub(crate) prefix: u32,
    /// Where it tells what goes on.
    pub(crate) live: Arc<Live>,
    /// Rung at each order, so that none waits for a socket.
    pub(crate) bell: Bell,
}

/// See the module's text.
pub(crate) struct Engine {
    setup: Setup,
    epoll: Epoll,
    conns: Vec<Conn>,
    /// By flow: the publisher's connection.
    publishers: Vec<u32>,
    /// Connections of those that stop reading.
    slow: Vec<u32>,
    /// Connections of visitors by their number, and places that visitors left.
    visitors: HashMap<u32, u32>,
    vacant: Vec<u32>,
    shared: Vec<u8>,
    score: Score,
    /// Connections with something new to send.
    dirty: Vec<u32>,
    live_next: u64,
    /// Nanoseconds that the last turn waited, if it was to wait.
    waited: u64,
    /// When the run ends, as planned or sooner.
    end: u64,
}

const NOBODY: u32 = u32::MAX;
/// The key of the bell among the events.
const BELL: u32 = u32::MAX;

fn now() -> u64 {
    clock::now().0
}

impl Engine {
    /// A thread's engine.
    ///
    /// # Errors
    /// The kernel gives no epoll instance.
    pub(crate) fn new(setup: Setup) -> std::io::Result<Self> {
        let score = Score::new(terms(&setup, 0, 0, Interval::default()));
        let flows = score.flows() as usize;
        let epoll = Epoll::new(EVENTS)?;
        epoll.add(&setup.bell, BELL)?;
        Ok(Self {
            setup,
            epoll,
            conns: Vec::new(),
            publishers: vec![NOBODY; flows],
            slow: Vec::new(),
            visitors: HashMap::new(),
            vacant: Vec::new(),
            shared: vec![0; READ_BYTES],
            score,
            dirty: Vec::new(),
            live_next: 0,
            waited: 0,
            end: u64::MAX,
        })
    }

    /// Follows orders until nobody can give any.
    pub(crate) fn serve(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.try_recv() {
                Ok(Order::Quiet(done)) => {
                    self.settle();
                    let _ = done.send(());
                }
                Ok(Order::Run(plan, done)) => {
                    let measured = self.run(&plan, orders);
                    let _ = done.send(measured);
                }
                Ok(order) => self.follow(order),
                Err(TryRecvError::Empty) => drop(self.turn(ORDER_WAIT)),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Follows an order that can come at any time.
    fn follow(&mut self, order: Order) {
        match order {
            Order::Bind(grant) => self.bind(*grant),
            Order::Leaving(visitor) => {
                if let Some(key) = self.visitors.get(&visitor) {
                    self.conns[*key as usize].leaving = true;
                }
            }
            Order::Gone(visitor) => {
                if let Some(key) = self.visitors.remove(&visitor) {
                    self.conns[key as usize].close("hung up");
                    self.vacant.push(key);
                }
            }
            Order::Stop => {
                let now = now();
                self.end = self.end.min(now);
                self.score.meter.cut(now);
            }
            // Only given when no run is under way, so `serve` has taken them.
            Order::Quiet(_) | Order::Run(..) => {}
        }
    }

    fn bind(&mut self, grant: Grant) {
        let seat = grant.seat;
        let flow = self.score.flow_of(seat);
        let key = self.vacant.pop().unwrap_or(self.conns.len() as u32);
        let prefix = self.setup.prefix.wrapping_add(key.wrapping_mul(0x9e37_79b9));
        let conn = Conn::new(grant, prefix, flow.map(|_| self.setup.voice));
        let watched = conn.socket().map_or(Ok(()), |s| self.epoll.add(s, key));
        match self.conns.get_mut(key as usize) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
        if let Err(e) = watched {
            self.fail(key, &format!("epoll: {e}"));
            return;
        }
        match seat.role {
            Role::Slow => self.slow.push(key),
            Role::Visitor => drop(self.visitors.insert(seat.member, key)),
            Role::Steady | Role::Idle => {}
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
        self.until_quiet(QUIET, QUIET_MAX);
    }

    /// Reads until nothing has come for `quiet`, or `longest` has passed.
    fn until_quiet(&mut self, quiet: Duration, longest: Duration) {
        let deadline = clock::now() + longest;
        let mut last = clock::now();
        let mut reads = self.score.reads;
        while clock::now() < deadline && clock::now().since(last) < quiet {
            self.turn(Duration::from_millis(20));
            if self.score.reads != reads {
                (reads, last) = (self.score.reads, clock::now());
            }
        }
    }

    /// One wait and what it brings; returns the number of events.
    fn turn(&mut self, timeout: Duration) -> usize {
        let began = (!timeout.is_zero()).then(now);
        let events = self.epoll.wait(timeout);
        self.waited = began.map_or(0, |began| now() - began);
        for i in 0..events {
            let (mask, key) = self.epoll.event(i);
            if key == BELL {
                self.setup.bell.silence();
                continue;
            }
            if mask & WRITABLE != 0 {
                self.flush(key);
            }
            if mask & READABLE != 0 {
                self.readable(key, mask);
            }
        }
        events
    }

    fn readable(&mut self, key: u32, mask: u32) {
        if self.conns[key as usize].reading {
            self.read(key);
        } else if mask & ENDED != 0 {
            self.fail(key, "ended by the server");
        }
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
                && let Err(e) = self.epoll.watch(socket, key, conn.reading, blocked)
            {
                self.fail(key, &format!("epoll: {e}"));
            }
        }
    }

    fn fail(&mut self, key: u32, why: &str) {
        let conn = &mut self.conns[key as usize];
        conn.close(why);
        if !conn.leaving {
            self.score.closed(conn.seat, why);
        }
    }

    fn run(&mut self, plan: &Plan, orders: &Receiver<Order>) -> Measured {
        let earlier = self.score.first_fault.take();
        self.score = Score::new(terms(&self.setup, plan.run, plan.window, plan.interval));
        self.score.first_fault = earlier;
        self.end = plan.interval.to;
        while now() < plan.start {
            self.turn(Duration::from_millis(1));
        }
        self.let_read(false);
        let mut tally = Tally::default();
        self.load(plan, orders, &mut tally);
        self.score.stop();
        self.drain(plan.drain, orders);
        self.catch_up();
        self.report(&tally)
    }

    /// Those that are to be slow begin or cease not to read.
    fn let_read(&mut self, reading: bool) {
        for i in 0..self.slow.len() {
            let key = self.slow[i];
            let conn = &mut self.conns[key as usize];
            conn.reading = reading;
            if let Some(socket) = conn.socket()
                && let Err(e) = self.epoll.watch(socket, key, reading, conn.watched)
            {
                self.fail(key, &format!("epoll: {e}"));
            }
        }
    }

    /// The end of a connection lies behind all that was not read of it: so those that did not read do now, until nothing
    /// more comes.
    fn catch_up(&mut self) {
        if !self.slow.is_empty() {
            self.let_read(true);
            self.until_quiet(LINGER, CATCH_UP);
        }
    }

    /// Sends what is due, and at saturation what may be sent, until the interval ends and all that was due in it is
    /// sent. What is still not when the time to drain has passed counts as not sent: leaving it out would make a
    /// late harness, or a server that does not read, look quick.
    fn load(&mut self, plan: &Plan, orders: &Receiver<Order>, tally: &mut Tally) {
        let order = shuffled(self.score.flows());
        let mut due: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| plan.rates[*kind as usize] > 0.0 && !order.is_empty())
            .map(|kind| (kind, Schedule::new(plan.start, plan.rates[kind as usize]), 0u64))
            .collect();
        let drain = u64::try_from(plan.drain.as_nanos()).unwrap_or(u64::MAX);
        let mut time = now();
        loop {
            // It may have been ended meanwhile.
            let end = self.end;
            let deadline = end.saturating_add(drain);
            let more =
                time < end || time < deadline && due.iter().any(|(_, schedule, k)| schedule.due(*k) < end);
            if !more {
                break;
            }
            let mut sent = time < end && self.send_free(time, tally);
            let mut next = end.max(time);
            for (kind, schedule, k) in &mut due {
                let mut burst = 0;
                while schedule.due(*k) <= time && schedule.due(*k) < end && burst < BURST_MAX {
                    let flow = order[(*k % order.len() as u64) as usize];
                    self.publish(*kind, flow, schedule.due(*k), tally);
                    *k += 1;
                    burst += 1;
                }
                sent |= burst > 0;
                next = next.min(schedule.due(*k));
            }
            self.flush_dirty();
            while let Ok(order) = orders.try_recv() {
                self.follow(order);
            }
            let wait = if plan.sleep { next.saturating_sub(now()).min(WAIT_NS_MAX) } else { 0 };
            time = self.counted_turn(plan, time, sent, wait, tally);
            self.show(time);
        }
        for (_, schedule, k) in due {
            tally.not_sent += (k..).take_while(|k| schedule.due(*k) < self.end).count() as u64;
        }
        tally.end();
    }

    /// At saturation: sends what publishers have leave to send. Whether there was any.
    fn send_free(&mut self, time: u64, tally: &mut Tally) -> bool {
        let mut sent = false;
        while let Some((flow, messages)) = self.score.take_free() {
            for _ in 0..messages {
                self.publish(Kind::Text, flow, time, tally);
                sent = true;
            }
        }
        sent
    }

    /// One turn that began (with sending) at `began`; returns the time after it.
    fn counted_turn(&mut self, plan: &Plan, began: u64, sent: bool, wait_ns: u64, tally: &mut Tally) -> u64 {
        let reads = self.score.reads;
        let asked = now();
        let events = self.turn(Duration::from_nanos(wait_ns));
        let after = now();
        if plan.interval.holds(began) && began < self.end {
            tally.reads += self.score.reads - reads;
            // Who sleeps does nothing until something comes.
            tally.idle_ns += if events == 0 { after - if sent { asked } else { began } } else { self.waited };
            tally.cpu_from.get_or_insert_with(sys::thread_cpu_time);
        } else {
            tally.end();
        }
        after
    }

    /// Tells whoever watches what goes on, a few times a second.
    fn show(&mut self, time: u64) {
        if time < self.live_next {
            return;
        }
        self.live_next = time + LIVE_NS;
        let found = self.score.findings();
        let latest = self.score.meter.last_slice(time).map(|s| (s.latency.us(0.5), s.latency.us(0.99)));
        let wrong = found.wrong()
            + self.score.troubles.bad
            + self.score.troubles.closed
            + self.score.troubles.refused;
        let delivered = found.delivered + self.score.visits.copies;
        let wrong = wrong + self.score.visits.lost;
        self.setup.live.tell(self.score.sent(), delivered, wrong, latest.unwrap_or_default());
    }

    /// Queues the next message of `flow`, due at `due`, unless its connection is gone or clogged.
    fn publish(&mut self, kind: Kind, flow: u32, due: u64, tally: &mut Tally) {
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
        let (text, to) = self.score.next(kind, flow, conn.seat, due);
        conn.publish(kind, text, to.as_deref());
        self.score.meter.sent(due, now());
    }

    fn flush_dirty(&mut self) {
        while let Some(key) = self.dirty.pop() {
            self.flush(key);
        }
    }

    fn drain(&mut self, longest: Duration, orders: &Receiver<Order>) {
        let deadline = clock::now() + longest;
        while self.score.owed() + self.unanswered() > 0 && clock::now() < deadline {
            self.turn(Duration::from_millis(1));
            while let Ok(order) = orders.try_recv() {
                self.follow(order);
            }
        }
        let linger = clock::now() + LINGER;
        while clock::now() < linger {
            self.turn(Duration::from_millis(5));
        }
    }

    fn unanswered(&self) -> u64 {
        let asked = self.setup.voice.failure_report == FailureReport::Yes;
        if asked { self.score.sent().saturating_sub(self.score.answers) } else { 0 }
    }

    fn report(&mut self, tally: &Tally) -> Measured {
        let unanswered = self.unanswered();
        let (findings, mut troubles) = self.score.finish();
        // Those that went before the run count too.
        let gone = |role: fn(Role) -> bool| {
            self.conns.iter().filter(|c| c.socket().is_none() && role(c.seat.role)).count() as u64
        };
        troubles.slow_closed = gone(|role| role == Role::Slow);
        troubles.closed = troubles.closed.max(gone(|role| matches!(role, Role::Steady | Role::Idle)));
        let fresh = Score::new(terms(&self.setup, 0, 0, Interval::default()));
        let score = std::mem::replace(&mut self.score, fresh);
        Measured {
            findings,
            troubles,
            kinds: Kind::ALL.map(|kind| score.count(kind)),
            not_sent: tally.not_sent,
            unanswered,
            reads: tally.reads,
            idle_ns: tally.idle_ns,
            least_idle_ns: Some(tally.idle_ns),
            least_cpu_ns: tally.cpu.map(|cpu| cpu.as_nanos() as u64),
            threads: 1,
            first_fault: score.first_fault,
            visits: score.visits,
            meter: score.meter,
        }
    }
}

fn terms(setup: &Setup, run: u32, window: u32, interval: Interval) -> Terms {
    Terms {
        names: setup.names.clone(),
        shape: setup.shape,
        participants: setup.participants,
        sizes: setup.voice.text_bytes,
        run,
        window,
        interval,
        thread: setup.thread,
        threads: setup.threads,
    }
}

#[derive(Default)]
struct Tally {
    reads: u64,
    idle_ns: u64,
    not_sent: u64,
    /// What the thread's CPU clock showed when the measured interval began, and what it used in it.
    cpu_from: Option<Duration>,
    cpu: Option<Duration>,
}

impl Tally {
    /// The measured interval is over.
    fn end(&mut self) {
        if let Some(from) = self.cpu_from {
            self.cpu.get_or_insert_with(|| sys::thread_cpu_time().saturating_sub(from));
        }
    }
}

/// The flows in an order without pattern, always the same one: rooms must not take turns in the order
/// in which they were made.
fn shuffled(flows: u32) -> Vec<u32> {
    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
    let mut order: Vec<u32> = (0..flows).collect();
    order.shuffle(&mut StdRng::seed_from_u64(1));
    order
}
