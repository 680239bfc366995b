//! The runtime of one shard: a thread, a ring, and the loop that turns the core.
//!
//! ```text
//!            ┌─────────── one wait: the ring ──────────┐
//!  watch set (connections, listeners, bell) · timers · connects
//!            └─► turn the core ─► carry out its outputs ─► … ─► settle: one round of writes,
//!                                                               flush the mesh, wake once per shard
//! ```
//!
//! Reading: the set's descriptor is readable when anything in it is; at most `limits::TURN_INPUTS_MAX`
//! are served before what they left to write is written. Each connection is read into the shard's
//! one buffer, so an idle connection holds none.
//!
//! Writing: what a batch of turns queued for a connection leaves in one piece, and all connections of the
//! batch in one call. What the system has no room for stays queued until there is room. No write is ever under
//! way between two turns, so a connection needs no task.
//!
//! A panic in a turn ends the thread: the state of the core is not to be trusted after it. The
//! server notices and stops (`server.rs`).

use super::conns::CloseReason;
use super::core::{Counters, Flow, Outputs, ShardConfig, ShardCore};
use super::io::{self, Bell, Interest, Round, WatchSet, Writer, Written};
use super::mesh::{Inbox, Outbox};
use super::message::{FromShard, HandOver, ShardMessage, ToShard};
use crate::base::clock::{Now, now};
use crate::base::entropy::Entropy;
use crate::base::id::{ConnId, EndpointId, ShardId};
use crate::base::limits;
use crate::base::tight::push_tight;
use monoio::net::TcpStream;
use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tracing::{debug, info, warn};

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
    /// Its bell.
    pub bell: Bell,
    /// To the other shards, by number; `None` at its own place.
    pub to_shards: Vec<Option<Outbox<ShardMessage>>>,
    /// From the other shards.
    pub from_shards: Vec<Inbox<ShardMessage>>,
    /// To the focus.
    pub to_control: Outbox<FromShard>,
    /// From the focus.
    pub from_control: Inbox<ToShard>,
    /// How many shards have lists as long as they may get: meanwhile none reads, because what one
    /// reads another may have to pass on.
    pub clogged: Arc<AtomicUsize>,
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

/// What a token of the watch set names.
enum Token {
    Bell,
    Listener(usize),
    Conn(ConnId),
}

impl Token {
    const BELL: u64 = u64::MAX;
    /// Generations never reach this: a slot is not used so often in the life of a server.
    const LISTENERS: u64 = u64::MAX - 1024;

    fn of(id: ConnId) -> u64 {
        u64::from(id.generation) << 32 | u64::from(id.slot)
    }

    fn read(token: u64) -> Self {
        match token {
            Self::BELL => Self::Bell,
            t if t >= Self::LISTENERS => Self::Listener((t - Self::LISTENERS) as usize),
            t => Self::Conn(ConnId { slot: t as u32, generation: (t >> 32) as u32 }),
        }
    }
}

/// Whose connection it is, for the log. Most are from IPv4 and need no more than that.
enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddr>),
}

impl Peer {
    fn of(peer: SocketAddr) -> Self {
        match peer {
            SocketAddr::V4(peer) => Self::V4(peer),
            SocketAddr::V6(_) => Self::V6(Box::new(peer)),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::V4(peer) => SocketAddr::V4(*peer),
            Self::V6(peer) => **peer,
        }
    }
}

/// The socket of a connection.
struct Socket {
    id: ConnId,
    fd: OwnedFd,
    peer: Peer,
    /// What the set waits for: to read unless it is not to be read now, to write while the system has no room.
    watched: Interest,
    /// To be ended once what is queued is written.
    closing: bool,
}

const _: () = assert!(size_of::<Option<Socket>>() <= 32, "every idle connection pays for it");

/// One shard at run time: what its tasks share. Each field is borrowed within a turn only.
struct Shard {
    core: RefCell<ShardCore>,
    sockets: RefCell<Vec<Option<Socket>>>,
    set: WatchSet,
    listeners: Vec<TcpListener>,
    buffer: RefCell<Vec<u8>>,
    outputs: RefCell<Outputs>,
    carrying: Cell<bool>,
    /// In the loop's batch: it is settled at its end, once for all its turns.
    in_batch: Cell<bool>,
    writer: RefCell<Writer>,
    writing: Cell<bool>,
    /// Connections to look at in the next round of writes, besides those the core names.
    rewrite: RefCell<Vec<ConnId>>,
    mesh: RefCell<Mesh>,
    legacy: bool,
}

struct Mesh {
    bell: Bell,
    to_shards: Vec<Option<Outbox<ShardMessage>>>,
    from_shards: Vec<Inbox<ShardMessage>>,
    to_control: Outbox<FromShard>,
    from_control: Inbox<ToShard>,
    /// Something was pushed and not announced.
    unflushed: bool,
    /// Something did not fit into a ring, and a task flushes until it does.
    spilled: bool,
    clogged: Arc<AtomicUsize>,
    /// This shard is one of them.
    counted: bool,
    drained: bool,
}

impl Mesh {
    fn is_empty(&self) -> bool {
        self.from_control.is_empty() && self.from_shards.iter().all(Inbox::is_empty)
    }

    fn clogged(&self) -> bool {
        self.clogged.load(Ordering::Relaxed) > 0
    }

    /// Tells the other shards whether the lists here are too long.
    fn count_clogged(&mut self) {
        let mut lists = self.to_shards.iter().flatten();
        let clogged = lists.any(Outbox::is_clogged) || self.to_control.is_clogged();
        if clogged != std::mem::replace(&mut self.counted, clogged) {
            if clogged {
                self.clogged.fetch_add(1, Ordering::Relaxed);
            } else {
                self.clogged.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Announces what was pushed: one wake per thread, and only for those that sleep. True if something
    /// is still spilled.
    fn flush(&mut self) -> bool {
        self.unflushed = false;
        let mut spilled = self.to_control.flush();
        for outbox in self.to_shards.iter_mut().flatten() {
            spilled |= outbox.flush();
        }
        self.count_clogged();
        spilled
    }
}

async fn serve(setup: Setup) -> std::io::Result<Counters> {
    let set = WatchSet::new()?;
    set.add(setup.bell.fd(), Token::BELL)?;
    for (i, listener) in setup.listeners.iter().enumerate() {
        set.add(listener.as_raw_fd(), Token::LISTENERS + i as u64)?;
    }
    // The ring waits for the set as for any other stream socket.
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
        in_batch: Cell::new(false),
        writer: RefCell::new(Writer::new(setup.driver == Driver::IoUring)),
        writing: Cell::new(false),
        rewrite: RefCell::default(),
        mesh: RefCell::new(Mesh {
            bell: setup.bell,
            to_shards: setup.to_shards,
            from_shards: setup.from_shards,
            to_control: setup.to_control,
            from_control: setup.from_control,
            unflushed: false,
            spilled: false,
            clogged: setup.clogged,
            counted: false,
            drained: false,
        }),
        legacy: setup.driver == Driver::Epoll,
    });
    monoio::spawn(tick_loop(shard.clone()));
    let mut tokens = Vec::with_capacity(limits::TURN_INPUTS_MAX);
    let mut served: u32 = 0;
    while !shard.mesh.borrow().drained {
        shard.fall_asleep();
        waitable.readable(false).await?;
        shard.mesh.borrow().bell.wake();
        shard.set.take(&mut tokens, limits::TURN_INPUTS_MAX);
        shard.in_batch.set(true);
        for (token, ready) in &tokens {
            shard.serve(*token, *ready);
        }
        shard.receive();
        shard.in_batch.set(false);
        shard.settle();
        served = served.wrapping_add(1);
        if shard.legacy {
            yield_now(served).await;
        }
    }
    let counters = shard.core.borrow().counters().clone();
    info!(shard = %id, "drained");
    Ok(counters)
}

/// On epoll a wait for something that is ready does not go through the system, so the others
/// would never have their turn: tasks by waking from another task, timers by really sleeping.
async fn yield_now(served: u32) {
    if served.is_multiple_of(64) {
        return monoio::time::sleep(Duration::ZERO).await;
    }
    monoio::spawn(async {}).await;
}

/// Longest sleep of the timer task, so that a deadline set meanwhile is noticed.
const TICK: Duration = Duration::from_millis(500);

async fn tick_loop(shard: Rc<Shard>) {
    loop {
        let at = now();
        let deadline = shard.core.borrow().deadline();
        let nap = deadline.map_or(TICK, |d| at.until(d)).clamp(Duration::from_millis(1), TICK);
        monoio::time::sleep(nap).await;
        shard.turn(|core, now| core.tick(now));
    }
}

/// The others drain their rings without a word: until all that spilled has its place, look often.
async fn unspill(shard: Rc<Shard>) {
    loop {
        monoio::time::sleep(Duration::from_millis(1)).await;
        let mut mesh = shard.mesh.borrow_mut();
        if !mesh.flush() {
            mesh.spilled = false;
            return;
        }
    }
}

impl Shard {
    /// One turn: `act` changes the core, then its outputs are carried out.
    fn turn<R>(self: &Rc<Self>, act: impl FnOnce(&mut ShardCore, Now) -> R) -> R {
        let result = act(&mut self.core.borrow_mut(), now());
        self.carry_out();
        result
    }

    /// Writes what is queued, then announces what this thread has for others.
    fn settle(self: &Rc<Self>) {
        self.write();
        let mut mesh = self.mesh.borrow_mut();
        if mesh.unflushed && mesh.flush() && !std::mem::replace(&mut mesh.spilled, true) {
            monoio::spawn(unspill(self.clone()));
        }
    }

    /// Writes in rounds until nothing waits that the system has room for.
    fn write(self: &Rc<Self>) {
        if self.writing.replace(true) {
            return;
        }
        loop {
            let mut ids = std::mem::take(&mut *self.rewrite.borrow_mut());
            self.core.borrow_mut().take_writes(&mut ids);
            if ids.is_empty() {
                break;
            }
            self.write_round(&ids);
        }
        self.writing.set(false);
    }

    fn write_round(self: &Rc<Self>, ids: &[ConnId]) {
        // Of each: how much was asked for, and whether it ends when nothing waits any more.
        let mut asked = Vec::with_capacity(ids.len());
        let mut written = Vec::with_capacity(ids.len());
        {
            let (core, sockets) = (self.core.borrow(), self.sockets.borrow());
            let mut round = Round::with_capacity(ids.len());
            for id in ids {
                let socket = sockets.get(id.slot as usize).and_then(Option::as_ref);
                // Who has no room is written to when there is some.
                if let Some(socket) = socket.filter(|s| s.id == *id && !s.watched.write) {
                    let octets = round.push(socket.fd.as_raw_fd(), core.waiting(*id));
                    asked.push((*id, octets, socket.closing));
                }
            }
            self.writer.borrow_mut().write(&round, &mut written);
        }
        let now = now();
        for ((id, asked, closing), written) in asked.iter().zip(&written) {
            let Written::Octets(n) = *written else {
                self.end(*id);
                continue;
            };
            let left = self.core.borrow_mut().wrote(now, *id, n);
            if n < *asked {
                self.watch(*id, |interest| interest.write = true);
            } else if left {
                self.rewrite.borrow_mut().push(*id);
            } else if *closing {
                self.end(*id);
            }
        }
        self.carry_out();
    }

    fn is_closing(&self, id: ConnId) -> bool {
        self.with_socket(id, |s| s.closing).unwrap_or(true)
    }

    fn with_socket<R>(&self, id: ConnId, f: impl FnOnce(&mut Socket) -> R) -> Option<R> {
        let mut sockets = self.sockets.borrow_mut();
        sockets.get_mut(id.slot as usize)?.as_mut().filter(|s| s.id == id).map(f)
    }

    fn take_socket(&self, id: ConnId) -> Option<Socket> {
        let mut sockets = self.sockets.borrow_mut();
        let place = sockets.get_mut(id.slot as usize)?;
        if place.as_ref()?.id == id { place.take() } else { None }
    }

    /// From now on this thread must be woken; if something came meanwhile, it is at once.
    fn fall_asleep(&self) {
        let mesh = self.mesh.borrow();
        mesh.bell.fall_asleep();
        if !mesh.is_empty() {
            mesh.bell.sound();
        }
    }

    fn serve(self: &Rc<Self>, token: u64, ready: Interest) {
        match Token::read(token) {
            Token::Bell => self.mesh.borrow().bell.silence(),
            Token::Listener(i) => self.accept(i),
            Token::Conn(id) => {
                let Some(watched) = self.with_socket(id, |s| s.watched) else { return };
                if ready.write && watched.write {
                    self.watch(id, |interest| interest.write = false);
                    self.rewrite.borrow_mut().push(id);
                }
                if ready.read && watched.read {
                    self.read(id);
                }
            }
        }
    }

    /// Changes what a connection is waited for. If the system has no watch left the connection ends.
    fn watch(self: &Rc<Self>, id: ConnId, change: impl FnOnce(&mut Interest)) {
        let changed = self.with_socket(id, |s| {
            let before = s.watched;
            change(&mut s.watched);
            self.set.change(s.fd.as_raw_fd(), Token::of(id), before, s.watched)
        });
        if let Some(Err(error)) = changed {
            warn!(%error, "cannot wait for a connection");
            self.end(id);
        }
    }

    /// Takes what other threads sent, at most a turn's worth from each.
    fn receive(self: &Rc<Self>) {
        for _ in 0..limits::TURN_INPUTS_MAX {
            let Some(command) = self.mesh.borrow_mut().from_control.pop() else { break };
            self.turn(|core, now| core.command(now, command));
        }
        let others = self.mesh.borrow().from_shards.len();
        for i in 0..others {
            for _ in 0..limits::TURN_INPUTS_MAX {
                let Some(message) = self.mesh.borrow_mut().from_shards[i].pop() else { break };
                match message {
                    ShardMessage::HandOver(over) => self.arrive(*over),
                    message => self.turn(|core, now| core.message(now, message)),
                }
            }
        }
    }

    /// Accepts what waits at a listener, a turn's worth.
    fn accept(self: &Rc<Self>, i: usize) {
        for _ in 0..limits::TURN_INPUTS_MAX {
            match self.listeners[i].accept() {
                Ok((socket, peer)) => {
                    let Some(id) = self.turn(|core, now| core.accepted(now)) else { continue };
                    self.register(id, socket, peer);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // The peer gave up while it waited.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(e) => return self.back_off(i, &e),
            }
        }
    }

    /// No descriptors: those who sit go on, those who knock wait.
    fn back_off(self: &Rc<Self>, i: usize, error: &std::io::Error) {
        let wait = Duration::from_millis(100);
        warn!(%error, "cannot accept connections, pausing; raise the limit of open files (ulimit -n)");
        self.set.remove(self.listeners[i].as_raw_fd());
        let shard = self.clone();
        monoio::spawn(async move {
            monoio::time::sleep(wait).await;
            // Fails only if no watch is left; then connections wait in the backlog.
            let _ = shard.set.add(shard.listeners[i].as_raw_fd(), Token::LISTENERS + i as u64);
        });
    }

    /// Makes a socket the connection `id`; false if the system would not have it.
    fn register(self: &Rc<Self>, id: ConnId, socket: std::net::TcpStream, peer: SocketAddr) -> bool {
        let watched = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_nonblocking(true))
            .and_then(|()| self.set.add(socket.as_raw_fd(), Token::of(id)));
        if let Err(error) = watched {
            warn!(%peer, %error, "cannot use a connection");
            self.turn(|core, now| core.closed(now, id));
            return false;
        }
        let mut sockets = self.sockets.borrow_mut();
        let slot = id.slot as usize;
        while sockets.len() <= slot {
            push_tight(&mut sockets, None);
        }
        let (fd, peer) = (socket.into(), Peer::of(peer));
        sockets[slot] = Some(Socket { id, fd, peer, watched: Interest::READ, closing: false });
        true
    }

    /// A connection from another shard: its octets first, then what follows on the socket.
    fn arrive(self: &Rc<Self>, over: HandOver) {
        let socket = std::net::TcpStream::from(over.socket);
        let Ok(peer) = socket.peer_addr() else { return };
        let Some(id) = self.turn(|core, now| core.accepted(now)) else { return };
        if self.register(id, socket, peer) {
            let flow = self.turn(|core, now| core.bytes(now, id, &over.unread));
            self.follow(id, flow);
        }
    }

    /// Reads a connection that is readable, a few times.
    fn read(self: &Rc<Self>, id: ConnId) {
        let Some(fd) = self.with_socket(id, |s| s.fd.as_raw_fd()) else { return };
        if self.mesh.borrow().clogged() {
            return self.pause(id, Duration::from_millis(1));
        }
        for _ in 0..limits::CONN_READS_MAX {
            let mut buffer = self.buffer.borrow_mut();
            let n = match io::recv(fd, &mut buffer) {
                Ok(n) if n > 0 => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                _ => {
                    drop(buffer);
                    return self.gone(id);
                }
            };
            let full = n == buffer.len();
            let flow = self.turn(|core, now| core.bytes(now, id, &buffer[..n]));
            drop(buffer);
            if !self.follow(id, flow) || !full {
                return;
            }
        }
    }

    /// Does what the core says about reading on. True: read on.
    fn follow(self: &Rc<Self>, id: ConnId, flow: Flow) -> bool {
        match flow {
            Flow::Go => return true,
            Flow::Wait | Flow::Stop => self.stop_reading(id),
        }
        false
    }

    fn stop_reading(self: &Rc<Self>, id: ConnId) {
        self.watch(id, |interest| interest.read = false);
    }

    fn pause(self: &Rc<Self>, id: ConnId, time: Duration) {
        self.stop_reading(id);
        let shard = self.clone();
        monoio::spawn(async move {
            monoio::time::sleep(time).await;
            shard.resume(id);
        });
    }

    /// A connection that had to wait is looked at again.
    fn resume(self: &Rc<Self>, id: ConnId) {
        if self.is_closing(id) {
            return;
        }
        let flow = self.turn(|core, now| core.resume(now, id));
        if self.follow(id, flow) {
            self.watch(id, |interest| interest.read = true);
        }
    }

    /// The peer closed, or the connection broke.
    fn gone(self: &Rc<Self>, id: ConnId) {
        self.turn(|core, now| core.closed(now, id));
    }

    /// Ends a connection at once, whatever is queued.
    fn end(self: &Rc<Self>, id: ConnId) {
        if let Some(socket) = self.take_socket(id) {
            self.set.remove(socket.fd.as_raw_fd());
            io::shutdown(socket.fd.as_raw_fd());
        }
        self.turn(|core, now| core.closed(now, id));
    }

    /// Carries out what the core left to do, until there is nothing more.
    fn carry_out(self: &Rc<Self>) {
        if self.carrying.replace(true) {
            return;
        }
        loop {
            let mut outputs = std::mem::take(&mut *self.outputs.borrow_mut());
            self.core.borrow_mut().outputs(&mut outputs);
            if outputs.is_empty() {
                *self.outputs.borrow_mut() = outputs;
                break;
            }
            self.carry_out_once(&mut outputs);
            *self.outputs.borrow_mut() = outputs;
        }
        self.carrying.set(false);
        // A turn of its own (a timer's) is settled at once; a batch when it ends.
        if !self.in_batch.get() {
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
            monoio::spawn(connect(self.clone(), endpoint, to));
        }
        {
            let mut mesh = self.mesh.borrow_mut();
            for (to, message) in outputs.mesh.drain(..) {
                mesh.unflushed = true;
                if let Some(Some(outbox)) = mesh.to_shards.get_mut(to.index()) {
                    outbox.push(message);
                }
            }
            for event in outputs.control.drain(..) {
                mesh.unflushed = true;
                if matches!(event, FromShard::Drained { .. }) {
                    mesh.drained = true;
                    // The thread may be waiting, and nobody else would wake it.
                    mesh.bell.sound();
                }
                mesh.to_control.push(event);
            }
        }
        for id in outputs.resume.drain(..) {
            // Not within this turn: the reader's buffer may be in use.
            let shard = self.clone();
            monoio::spawn(async move {
                shard.resume(id);
            });
        }
    }

    fn hand_over(&self, id: ConnId, to: ShardId, unread: Vec<u8>) {
        let Some(socket) = self.take_socket(id) else { return };
        self.set.remove(socket.fd.as_raw_fd());
        let over = HandOver { socket: socket.fd, unread };
        let mut mesh = self.mesh.borrow_mut();
        mesh.unflushed = true;
        if let Some(Some(outbox)) = mesh.to_shards.get_mut(to.index()) {
            outbox.push(ShardMessage::HandOver(Box::new(over)));
        }
    }

    fn close(self: &Rc<Self>, id: ConnId, reason: CloseReason, at_once: bool) {
        let known = self.with_socket(id, |s| {
            s.closing = true;
            s.peer.address()
        });
        let Some(peer) = known else { return };
        match reason {
            CloseReason::Peer | CloseReason::Unused | CloseReason::Stopping => {
                debug!(%peer, ?reason, "connection closed");
            }
            _ => info!(%peer, ?reason, "connection closed"),
        }
        if at_once {
            return self.end(id);
        }
        self.stop_reading(id);
        // What is left is written first.
        self.rewrite.borrow_mut().push(id);
    }
}

/// Connects to a passive participant.
async fn connect(shard: Rc<Shard>, endpoint: EndpointId, to: SocketAddr) {
    let connected = monoio::time::timeout(limits::CONNECT_WAIT, TcpStream::connect_addr(to)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            info!(%to, %error, "cannot connect to a participant");
            return shard.turn(|core, now| core.connect_failed(now, endpoint, to));
        }
        Err(_) => {
            info!(%to, "connecting to a participant took too long");
            return shard.turn(|core, now| core.connect_failed(now, endpoint, to));
        }
    };
    // The core's outputs name the connection, so its socket must be known before they are carried out.
    let id = shard.core.borrow_mut().connected(now(), endpoint, to);
    if let Some(id) = id {
        shard.register(id, io::into_owned(stream).into(), to);
    }
    shard.carry_out();
}
