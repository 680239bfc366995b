//! The runtime of one shard: a thread, a ring, and the loop that turns the core.
//!
//! ```text
//!            ┌── one wait: until something is ready, or a deadline of the core has come ──┐
//!  watch set (connections, listeners, bell)
//!            └─► turn the core ─► carry out its outputs ─► … ─► settle: one round of writes,
//!                                                               flush the mesh, wake once per shard
//! ```
//!
//! Waiting: in the watch set itself. Only while there are tasks beside the loop (a connect, a pause), which is rare, the
//! runtime's ring waits for the set's descriptor, and the tasks have their turn: two waits on top of each other cost
//! a lone message a tenth of its CPU.
//!
//! Reading: at most `limits::TURN_INPUTS_MAX` inputs are served before what they left to write is written. Each
//! connection is read into the shard's one buffer, so an idle connection holds none.
//!
//! Writing: in rounds, see `writing`. No write is ever under way between two turns, so a connection needs no task.
//!
//! A panic in a turn ends the thread: the state of the core is not to be trusted after it. The
//! server notices and stops (`server.rs`).

mod ends;
mod sockets;
mod writing;

pub use ends::Ends;

use super::core::{Counters, Outputs, ShardConfig, ShardCore};
use super::io::{self, Interest, WatchSet, Writer};
use super::message::{FromShard, ShardMessage};
use crate::base::clock::{Now, now};
use crate::base::entropy::Entropy;
use crate::base::id::ConnId;
use crate::base::limits;
use monoio::net::TcpStream;
use sockets::{CutLog, Socket, Token, connect};
use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use tracing::info;

/// How a shard waits and writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// Through io_uring.
    IoUring,
    /// Through epoll.
    Epoll,
}

/// Everything one shard needs to run.
pub struct Setup {
    /// What it must know of the server.
    pub config: ShardConfig,
    /// How it waits.
    pub driver: Driver,
    /// The core to stay on, if any.
    pub core: Option<usize>,
    /// Its own listeners, not blocking, sharing their ports with those of the other shards.
    pub listeners: Vec<TcpListener>,
    /// Its ends of the rings.
    pub ends: Ends,
}

/// Runs a shard on the calling thread until it is drained.
///
/// # Errors
/// The ring or the watch set could not be set up.
pub fn run(setup: Setup) -> std::io::Result<Counters> {
    if let Some(core) = setup.core {
        io::pin(core);
    }
    match setup.driver {
        Driver::IoUring => {
            let mut runtime = match uring(true) {
                Ok(runtime) => runtime,
                // Kernels before 6.1 lack the flags.
                Err(_) => uring(false)?,
            };
            runtime.block_on(serve(setup))
        }
        Driver::Epoll => {
            let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new();
            builder.enable_timer().build()?.block_on(serve(setup))
        }
    }
}

type Uring = monoio::Runtime<monoio::time::TimeDriver<monoio::IoUringDriver>>;

/// Entries of the runtime's ring: the wait, timers, connects. Writes have a ring of their own.
const RING_ENTRIES: u32 = 1024;

fn uring(deferred: bool) -> std::io::Result<Uring> {
    let mut flags = io_uring::IoUring::builder();
    if deferred {
        // Completions are handled when the shard asks for them, not by interrupting it: a quarter
        // to a third less CPU per lone message.
        flags.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    }
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
    builder.uring_builder(flags).with_entries(RING_ENTRIES).enable_timer().build()
}

/// Whether this system lets us use io_uring, and if not, why.
///
/// # Errors
/// What the system said.
pub fn probe_uring() -> std::io::Result<()> {
    io_uring::IoUring::new(8).map(|_| ())
}

/// One shard at run time: what its tasks share. Each field is borrowed within a turn only.
struct Shard {
    core: RefCell<ShardCore>,
    sockets: RefCell<Vec<Option<Socket>>>,
    set: WatchSet,
    listeners: Vec<TcpListener>,
    buffer: RefCell<Vec<u8>>,
    outputs: RefCell<Outputs>,
    carrying: Cell<bool>,
    /// In the loop's batch, and when it began: it is settled at its end, once for all its turns, which have one time.
    batch: Cell<Option<Now>>,
    writer: RefCell<Writer>,
    writing: Cell<bool>,
    ends: RefCell<Ends>,
    /// Something did not fit into a ring, and a task flushes until it does.
    spilled: Cell<bool>,
    /// Connections that the core may look at again, after this batch: within a turn the reader's buffer may be in use.
    resumed: RefCell<Vec<ConnId>>,
    /// Tasks beside the loop; usually there are none.
    tasks: Cell<usize>,
    /// When the core is looked at next, if it does not ask for it sooner.
    look: Cell<Now>,
    cuts: Cell<CutLog>,
    drained: Cell<bool>,
    legacy: bool,
}

async fn serve(setup: Setup) -> std::io::Result<Counters> {
    let set = WatchSet::new()?;
    set.add(setup.ends.bell().fd(), Token::BELL)?;
    for (i, listener) in setup.listeners.iter().enumerate() {
        set.add(listener.as_raw_fd(), Token::LISTENERS + i as u64)?;
    }
    // The runtime waits for the set as for any other stream socket.
    let waitable = TcpStream::from_std(set.waitable()?.into())?;
    let id = setup.config.id;
    let shard = Rc::new(Shard {
        core: RefCell::new(ShardCore::new(setup.config, Entropy::from_system())),
        sockets: RefCell::default(),
        set,
        listeners: setup.listeners,
        buffer: RefCell::new(vec![0; limits::READ_BYTES]),
        outputs: RefCell::default(),
        carrying: Cell::new(false),
        batch: Cell::new(None),
        writer: RefCell::new(Writer::new(setup.driver == Driver::IoUring)),
        writing: Cell::new(false),
        ends: RefCell::new(setup.ends),
        spilled: Cell::new(false),
        resumed: RefCell::default(),
        tasks: Cell::new(0),
        look: Cell::new(now()),
        cuts: Cell::default(),
        drained: Cell::new(false),
        legacy: setup.driver == Driver::Epoll,
    });
    let mut tokens = Vec::with_capacity(limits::TURN_INPUTS_MAX);
    let (mut served, mut in_a_row) = (0_u32, 0);
    while !shard.drained.get() {
        // More has often come while this batch was served. Whoever says that it sleeps is rung for by other shards, and
        // that costs both of them more than a look.
        in_a_row += 1;
        tokens.clear();
        if shard.ends.borrow().has_others() && in_a_row < limits::BATCHES_IN_A_ROW_MAX {
            shard.set.take(&mut tokens, limits::TURN_INPUTS_MAX, Duration::ZERO);
        }
        if tokens.is_empty() {
            in_a_row = 0;
            shard.wait(&waitable, &mut tokens).await?;
        }
        let now = now();
        shard.batch.set(Some(now));
        for (token, ready) in &tokens {
            shard.serve(*token, *ready);
        }
        shard.receive();
        shard.tick(now);
        shard.read_on();
        shard.batch.set(None);
        shard.settle();
        served = served.wrapping_add(1);
        if shard.legacy && shard.tasks.get() > 0 {
            yield_now(served).await;
        }
    }
    let counters = shard.core.borrow().counters().clone();
    info!(shard = %id, "drained");
    Ok(counters)
}

/// On epoll the runtime's wait for something that is ready does not go through the system, so the other tasks
/// would never have their turn: tasks by waking from another task, timers by really sleeping.
async fn yield_now(served: u32) {
    if served.is_multiple_of(64) {
        return monoio::time::sleep(Duration::ZERO).await;
    }
    monoio::spawn(async {}).await;
}

/// Longest sleep of a shard: there are things to tidy up now and then.
const NAP_MAX: Duration = Duration::from_millis(500);

/// The others drain their rings without a word: until all that spilled has its place, look often.
async fn unspill(shard: Rc<Shard>) {
    loop {
        monoio::time::sleep(Duration::from_millis(1)).await;
        if !shard.ends.borrow_mut().flush() {
            shard.spilled.set(false);
            return;
        }
    }
}

impl Shard {
    /// Sleeps until something is ready or due.
    async fn wait(&self, set: &TcpStream, tokens: &mut Vec<(u64, Interest)>) -> std::io::Result<()> {
        self.ends.borrow().fall_asleep();
        let resumes = !self.resumed.borrow().is_empty();
        let mut nap = if resumes { Duration::ZERO } else { now().until(self.due()) };
        if self.tasks.get() > 0 {
            if let Ok(ready) = monoio::time::timeout(nap, set.readable(false)).await {
                ready?;
            }
            nap = Duration::ZERO;
        }
        self.set.take(tokens, limits::TURN_INPUTS_MAX, nap);
        self.ends.borrow().bell().wake();
        Ok(())
    }

    /// When there is something to do, whatever others bring.
    fn due(&self) -> Now {
        self.core.borrow().deadline().map_or(self.look.get(), |due| due.min(self.look.get()))
    }

    /// Looks at what is due.
    fn tick(self: &Rc<Self>, now: Now) {
        if self.due() <= now {
            self.look.set(now + NAP_MAX);
            self.turn(|core, now| core.tick(now));
        }
    }

    /// Connections that had to wait are looked at again. What that resumes in turn has the next batch.
    fn read_on(self: &Rc<Self>) {
        for id in self.resumed.take() {
            self.resume(id);
        }
    }

    /// A task beside the loop.
    fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let shard = self.clone();
        shard.tasks.update(|n| n + 1);
        monoio::spawn(async move {
            task.await;
            shard.tasks.update(|n| n - 1);
            // What it left to do may be due before what the loop sleeps for.
            shard.ends.borrow().bell().sound();
        });
    }

    /// One turn: `act` changes the core, then its outputs are carried out.
    fn turn<R>(self: &Rc<Self>, act: impl FnOnce(&mut ShardCore, Now) -> R) -> R {
        let now = self.batch.get().unwrap_or_else(now);
        let result = act(&mut self.core.borrow_mut(), now);
        self.carry_out();
        result
    }

    /// Writes what is queued, then announces what this thread has for others.
    fn settle(self: &Rc<Self>) {
        self.write();
        let mut ends = self.ends.borrow_mut();
        if ends.is_unflushed() && ends.flush() && !self.spilled.replace(true) {
            self.spawn(unspill(self.clone()));
        }
    }

    fn serve(self: &Rc<Self>, token: u64, ready: Interest) {
        match Token::read(token) {
            Token::Bell => self.ends.borrow().bell().silence(),
            Token::Listener(i) => self.accept(i),
            Token::Conn(id) => {
                let Some(watched) = self.with_socket(id, |s| s.watched) else { return };
                if ready.write && watched.write {
                    self.watch(id, |interest| interest.write = false);
                    self.core.borrow_mut().write_again(id);
                }
                if ready.read && watched.read {
                    self.read(id);
                }
            }
        }
    }

    /// Takes what other threads sent, at most a turn's worth from each.
    fn receive(self: &Rc<Self>) {
        for _ in 0..limits::TURN_INPUTS_MAX {
            let Some(command) = self.ends.borrow_mut().command() else { break };
            self.turn(|core, now| core.command(now, command));
        }
        let shards = self.ends.borrow().shards();
        for from in shards {
            for _ in 0..limits::TURN_INPUTS_MAX {
                let Some(message) = self.ends.borrow_mut().message(from) else { break };
                match message {
                    ShardMessage::HandOver(over) => self.arrive(*over),
                    message => self.turn(|core, now| core.message(now, from, message)),
                }
            }
        }
    }

    /// Carries out what the core left to do, until there is nothing more.
    fn carry_out(self: &Rc<Self>) {
        if self.carrying.replace(true) {
            return;
        }
        while self.core.borrow().has_outputs() {
            let mut outputs = std::mem::take(&mut *self.outputs.borrow_mut());
            self.core.borrow_mut().outputs(&mut outputs);
            self.carry_out_once(&mut outputs);
            *self.outputs.borrow_mut() = outputs;
        }
        self.carrying.set(false);
        // A turn of its own (a timer's) is settled at once; a batch when it ends.
        if self.batch.get().is_none() {
            self.settle();
        }
    }

    fn carry_out_once(self: &Rc<Self>, outputs: &mut Outputs) {
        for (id, to, unread) in outputs.hand_over.drain(..) {
            self.hand_over(id, to, unread);
        }
        for (id, reason, at_once) in outputs.close.drain(..) {
            self.close(id, reason, at_once);
        }
        for (endpoint, to) in outputs.connect.drain(..) {
            self.spawn(connect(self.clone(), endpoint, to));
        }
        for (to, message) in outputs.mesh.drain(..) {
            self.ends.borrow_mut().send(to, message);
        }
        for event in outputs.control.drain(..) {
            let mut ends = self.ends.borrow_mut();
            if matches!(event, FromShard::Drained { .. }) {
                self.drained.set(true);
                // The thread may be waiting, and nobody else would wake it.
                ends.bell().sound();
            }
            ends.tell(event);
        }
        self.resumed.borrow_mut().append(&mut outputs.resume);
    }
}
