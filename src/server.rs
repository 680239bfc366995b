//! The composition root: a configuration in, shards and the focus out; start, serve, stop.
//!
//! The calling thread becomes the control plane (tokio); every shard has a thread of its own. There are
//! no others but those on which tokio looks names up.

use crate::base::id::ShardId;
use crate::base::limits;
use crate::control::config::{Config, DriverChoice};
use crate::control::shards::{ShardEnd, Shards};
use crate::control::sip::{Sip, SipConfig};
use crate::shard::conns::CloseReason;
use crate::shard::core::{Counters, ShardConfig};
use crate::shard::io::Bell;
use crate::shard::mesh;
use crate::shard::message::ToShard;
use crate::shard::run::{self, Driver, Ends, Setup};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// Where a running server listens.
#[derive(Clone, Debug)]
pub struct Listening {
    /// SIP, over UDP and TCP each.
    pub sip: Vec<SocketAddr>,
    /// MSRP, over TCP.
    pub msrp: Vec<SocketAddr>,
    /// How the shards wait.
    pub driver: Driver,
    /// Why not io_uring, if it was wanted.
    pub fallback: Option<String>,
    /// How many shards.
    pub shards: u16,
}

/// Why a server did not start, or did not go on.
#[derive(Debug)]
pub enum ServerError {
    /// An address cannot be listened on.
    Listen(&'static str, SocketAddr, io::Error),
    /// SIP cannot listen: the error has the address.
    Sip(io::Error),
    /// There is no congestion control of this name.
    Congestion(String, io::Error),
    /// io_uring was demanded and is not to be had.
    NoUring(io::Error),
    /// The system refused something else.
    System(&'static str, io::Error),
    /// A shard ended by itself: a fault of this program, or of the ring under it.
    ShardFailed(ShardId, String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(what, at, e) => write!(f, "cannot listen for {what} on {at}: {e}"),
            Self::Sip(e) => write!(f, "cannot listen for SIP on {e}"),
            Self::Congestion(name, e) => write!(
                f,
                "congestion: the system has no `{name}` ({e}); it has those in \
                 /proc/sys/net/ipv4/tcp_available_congestion_control, and more with modprobe tcp_NAME"
            ),
            Self::NoUring(e) => {
                write!(
                    f,
                    "io_uring is not available ({e}); use --driver epoll, or allow it (sysctl kernel.io_uring_disabled=0)"
                )
            }
            Self::System(what, e) => write!(f, "{what}: {e}"),
            Self::ShardFailed(shard, why) => write!(f, "shard {shard} failed: {why}"),
        }
    }
}

impl std::error::Error for ServerError {}

/// Runs a server on the calling thread until `stop` resolves or something fails for good. `ready` is
/// called when everything listens.
///
/// # Errors
/// What kept the server from starting or from going on.
pub fn run(
    config: &Config,
    ready: impl FnOnce(&Listening),
    stop: impl Future<Output = ()>,
) -> Result<Counters, ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| ServerError::System("cannot start the control plane", e))?;
    runtime.block_on(serve(config, ready, stop))
}

async fn serve(
    config: &Config,
    ready: impl FnOnce(&Listening),
    stop: impl Future<Output = ()>,
) -> Result<Counters, ServerError> {
    raise_open_files();
    let (driver, fallback) = choose_driver(config.driver)?;
    let (listeners, msrp) = listen_msrp(config)?;
    let host = config.msrp_host(msrp[0]);
    let rooms = Arc::new(config.rooms.clone());
    let sip_config = SipConfig {
        listen: config.sip.clone(),
        domains: config.domains.clone(),
        public_host: config.public_host.clone(),
        msrp_host: host.clone(),
        msrp_port: msrp[0].port(),
        rooms: rooms.clone(),
        factory: config.factory.clone(),
        directory: config.directory.clone(),
        moderators_see_identity: config.moderators_see_identity,
        outbound_proxy: config.outbound_proxy.clone(),
        roster_whole_max: config.roster_whole_max,
        accounts: config.accounts.clone(),
        floods: config.floods.clone(),
    };
    let sip = Sip::bind(sip_config).await.map_err(ServerError::Sip)?;
    let shard_config = |n| ShardConfig {
        id: ShardId(n),
        shards: config.shards,
        host: host.as_str().into(),
        port: msrp[0].port(),
        rooms: rooms.clone(),
    };
    let started = start_shards(config.shards, driver, listeners, shard_config)?;
    let Started { mut shards, threads, mut ended } = started;
    let listening = Listening { sip: sip.local_addrs(), msrp, driver, fallback, shards: config.shards };
    ready(&listening);

    let mut failed = None;
    let until_stop = async {
        tokio::select! {
            () = stop => {}
            end = ended.recv() => failed = end,
        }
    };
    let floods = sip.run(&mut shards, until_stop).await;
    let failed = failed.map(|(shard, why): (ShardId, String)| ServerError::ShardFailed(shard, why));
    let mut counters = stop_shards(&mut shards, threads, &mut ended).await;
    counters.floods.add(&floods);
    log_counters(&counters);
    failed.map_or(Ok(counters), Err)
}

fn choose_driver(choice: DriverChoice) -> Result<(Driver, Option<String>), ServerError> {
    match (choice, run::probe_uring()) {
        (DriverChoice::Epoll, _) => Ok((Driver::Epoll, None)),
        (_, Ok(())) => Ok((Driver::IoUring, None)),
        (DriverChoice::Auto, Err(e)) => Ok((Driver::Epoll, Some(e.to_string()))),
        (DriverChoice::IoUring, Err(e)) => Err(ServerError::NoUring(e)),
    }
}

/// One listener per shard and address, sharing its port: the system spreads the connections.
fn listen_msrp(config: &Config) -> Result<(Vec<Vec<TcpListener>>, Vec<SocketAddr>), ServerError> {
    let mut per_shard: Vec<Vec<TcpListener>> = (0..config.shards).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for address in &config.msrp {
        let failed = |e| ServerError::Listen("MSRP", *address, e);
        claim(*address).map_err(failed)?;
        // Port 0 is chosen with the first and shared by the others.
        let mut at = *address;
        for listeners in &mut per_shard {
            let listener = listen(at, config.congestion.as_deref())?;
            at = listener.local_addr().map_err(failed)?;
            listeners.push(listener);
        }
        bound.push(at);
    }
    Ok((per_shard, bound))
}

/// Connections that may wait to be accepted: a join storm of a few thousand must fit.
const BACKLOG: i32 = 4096;

/// A connection without octets for this long is probed, and closed after as long again without answer.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);

/// Fails if anybody listens at this address. The listeners of the shards share theirs, so they would share it with another
/// server too, and each would get connections that are meant for the other.
fn claim(at: SocketAddr) -> io::Result<()> {
    unbound(at)?.bind(&at.into())
}

fn unbound(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn listen(at: SocketAddr, congestion: Option<&str>) -> Result<TcpListener, ServerError> {
    let failed = |e| ServerError::Listen("MSRP", at, e);
    let socket = unbound(at).map_err(failed)?;
    if let Some(name) = congestion {
        let set = socket.set_tcp_congestion(name.as_bytes());
        set.map_err(|e| ServerError::Congestion(name.to_owned(), e))?;
    }
    share(&socket, at).map_err(failed)?;
    Ok(socket.into())
}

/// Has the socket listen at an address beside others of this server.
fn share(socket: &Socket, at: SocketAddr) -> io::Result<()> {
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit this: a peer that vanished from a silent room is noticed.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_IDLE / 6);
    socket.set_tcp_keepalive(&keepalive.with_retries(6))?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)
}

struct Started {
    shards: Shards,
    threads: Vec<JoinHandle<Option<Counters>>>,
    ended: mpsc::Receiver<(ShardId, String)>,
}

fn start_shards(
    count: u16,
    driver: Driver,
    listeners: Vec<Vec<TcpListener>>,
    config: impl Fn(u16) -> ShardConfig,
) -> Result<Started, ServerError> {
    let failed = |e| ServerError::System("cannot set up the shards", e);
    let bells: Vec<Bell> = (0..count).map(|_| Bell::new()).collect::<io::Result<_>>().map_err(failed)?;
    let (shards, ends) = Shards::connect(&bells).map_err(failed)?;
    let clogged: Arc<AtomicUsize> = Arc::default();
    let (tell_end, ended) = mpsc::channel(usize::from(count));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = Vec::new();
    let shards_ends = ends.into_iter().zip(mesh::pairs(&bells)).zip(listeners);
    for (n, ((ShardEnd { inbox, outbox }, pairs), listeners)) in shards_ends.enumerate() {
        let setup = Setup {
            config: config(n as u16),
            driver,
            // More shards than cores must be able to share them.
            core: (usize::from(count) == cores).then_some(n),
            listeners,
            ends: Ends::new(bells[n].clone(), pairs, outbox, inbox, clogged.clone()),
        };
        let tell_end = tell_end.clone();
        let thread = std::thread::Builder::new()
            .name(format!("shard-{n}"))
            .spawn(move || shard_thread(setup, &tell_end))
            .map_err(failed)?;
        threads.push(thread);
    }
    Ok(Started { shards, threads, ended })
}

fn shard_thread(setup: Setup, tell_end: &mpsc::Sender<(ShardId, String)>) -> Option<Counters> {
    let id = setup.config.id;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run::run(setup)));
    let (counters, why) = match result {
        Ok(Ok(counters)) => (Some(counters), String::from("it stopped")),
        Ok(Err(e)) => (None, e.to_string()),
        Err(_) => (None, String::from("it panicked; this is a fault of openmsrp, please report it")),
    };
    // Nobody listens any more when the server is past waiting.
    let _ = tell_end.try_send((id, why));
    counters
}

/// Tells the shards to end what they have begun, and waits for them within bounds.
async fn stop_shards(
    shards: &mut Shards,
    threads: Vec<JoinHandle<Option<Counters>>>,
    ended: &mut mpsc::Receiver<(ShardId, String)>,
) -> Counters {
    for n in 0..shards.count() {
        if shards.tell(ShardId(n), ToShard::Drain).is_err() {
            warn!(shard = n, "cannot be told to stop, its inbox is full");
        }
    }
    let drain = async {
        while threads.iter().any(|t| !t.is_finished()) {
            tokio::select! {
                _ = ended.recv() => {}
                _ = shards.next() => {}
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    };
    if tokio::time::timeout(limits::SHUTDOWN_WAIT / 2, drain).await.is_err() {
        warn!("some connections did not take what was left for them");
    }
    let mut sum = Counters::default();
    for thread in threads.into_iter().filter(JoinHandle::is_finished) {
        match thread.join() {
            Ok(Some(counters)) => sum.add(&counters),
            _ => error!("a shard did not end well"),
        }
    }
    sum
}

fn log_counters(counters: &Counters) {
    let Counters { opened, messages, copies, skipped, .. } = counters;
    info!(opened, messages, copies, skipped, "stopped");
    for reason in CloseReason::ALL {
        let n = counters.closed[reason as usize];
        if n > 0 {
            info!(?reason, n, "connections closed");
        }
    }
    for (flood, n) in counters.floods.iter() {
        info!(limit = flood.key(), n, "too many refused");
    }
    for (code, n) in &counters.refused {
        info!(code, n, "requests refused");
    }
}

/// A connection is a descriptor: take as many as the system lets us have.
fn raise_open_files() {
    match crate::shard::io::raise_open_files() {
        Ok(limit) => info!(limit, "open files"),
        Err(e) => warn!("cannot raise the limit of open files: {e}"),
    }
}
