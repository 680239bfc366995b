//! The SIP stack behind the focus: sockets, framing and limits are ours, transactions are `rsipstack`'s.
//!
//! ```text
//!  socket ─► udp, tcp ─► focus/stream (cut) ─► focus/strict (judge) ─► EndpointInner::on_received_message
//!                                                                          │ new transaction
//!             Desk::flush ◄─ Output ── Focus ◄── Input ── Desk ◄───────────┘
//!                  │ Respond: to the transaction's own queue     ┌─ a task per transaction: ACK, CANCEL,
//!                  └ Send: a task with a client transaction      └─ answers come back as Event
//! ```
//!
//! How the library is used, and why so: its listeners have unbounded queues, lax framing, 75 KiB per
//! TCP connection and drop what they cannot parse without an answer. So none of them runs. A message
//! that passed `strict` is handed to `EndpointInner::on_received_message` directly, with our UDP socket
//! behind its `UdpConnection`, and one bounded `ChannelConnection` per TCP connection whose messages our
//! writer writes. Its endpoint task `serve` is not run either, only `process_timer`. `Transaction::receive`
//! must not be dropped while it waits, so answers are given to it as `TransactionEvent::Respond` through
//! its own queue. A mark, a header whose name cannot come from a wire, carries the flow and the
//! Request-URI as it stood through the library. Its logs hold whole messages: keep `rsipstack=warn`.
//!
//! One loop ([`Sip::run`]) owns the focus: it awaits one thing, acts without waiting, and drains the
//! outputs. Tasks wait for the loop, never the loop for a task.
//!
//! Bounds: `limits::SIP_TRANSACTIONS_MAX` live transactions and [`FINISHED_MAX`] remembered ones, then
//! 503; `limits::SIP_CONNS_MAX` connections; queues see `tcp.rs`. Proof: `tests/sip_loopback.rs`.

mod link;
mod tcp;
mod transact;
mod udp;

use crate::base::clock::now;
use crate::base::entropy::Entropy;
use crate::base::flood::{Floods, Limits};
use crate::base::limits;
use crate::control::shards::Shards;
use crate::focus::accounts::Accounts;
use crate::focus::signalling::Reply;
use crate::focus::{Config, Focus, Input, Output, RequestId, TxId};
use crate::room::rooms::Rooms;
use ahash::AHashMap;
use link::{Listener, Shared};
use rsipstack::EndpointBuilder;
use rsipstack::transaction::TransactionReceiver;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use transact::Answering;

pub use link::Counters;

/// Finished transactions that are remembered for 32 s to answer retransmissions, 1.4 KiB each.
/// Beyond: 503.
pub const FINISHED_MAX: usize = 100_000;

/// Events of tasks that wait for the loop. Beyond: the tasks wait.
const EVENTS_MAX: usize = 1024;

/// From the wish to stop to the end of [`Sip::run`], answered or not; below `limits::SHUTDOWN_WAIT`.
const DRAIN_WAIT: Duration = Duration::from_secs(4);

const _: () = assert!(DRAIN_WAIT.as_secs() < limits::SHUTDOWN_WAIT.as_secs());

/// From the end of the last dialog to the closing of connections.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(50);

/// What the SIP side must know.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// Addresses to listen on, each for UDP and TCP. Port 0 takes any that is free for both.
    pub listen: Vec<SocketAddr>,
    /// Host names whose every user is a room.
    pub domains: Vec<String>,
    /// The host by which the listeners are reached from outside, for Via and Contact.
    pub public_host: Option<String>,
    /// The host in our MSRP path.
    pub msrp_host: String,
    /// The port in our MSRP path.
    pub msrp_port: u16,
    /// The rules of all rooms.
    pub rooms: Arc<Rooms>,
    /// The user to whom an INVITE makes a room of its own; empty for none.
    pub factory: String,
    /// The user who tells which rooms are public; empty for none.
    pub directory: String,
    /// Whether moderators who have proved to be that are shown who an anonymous participant is.
    pub moderators_see_identity: bool,
    /// The SIP URI of the proxy that our INVITEs go through.
    pub outbound_proxy: Option<String>,
    /// Participants up to which subscribers are told the whole roster; above, a summary.
    pub roster_whole_max: usize,
    /// Who may come in, and how that is proved.
    pub accounts: Accounts,
    /// How much may come in what time.
    pub floods: Limits,
}

/// What a task tells the loop.
enum Event {
    Input(Box<Input>),
    /// A server transaction has ended.
    Over(TxId),
    Answer(RequestId, Reply),
    /// A connection brought nothing for `limits::SIP_CONN_IDLE`.
    Idle(u64),
}

/// Bound sockets, not yet served.
pub struct Sip {
    shared: Arc<Shared>,
    listeners: Vec<tcp::Acceptor>,
    incoming: TransactionReceiver,
    events: mpsc::Receiver<Event>,
    config: SipConfig,
}

impl Sip {
    /// Binds all sockets. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the system says about the first address that cannot be bound, after the address.
    pub async fn bind(config: SipConfig) -> io::Result<Self> {
        let endpoint = EndpointBuilder::new().with_user_agent("openmsrp").build();
        let incoming = endpoint.incoming_transactions().map_err(io::Error::other)?;
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let (mut listeners, mut acceptors) = (Vec::new(), Vec::new());
        for &address in &config.listen {
            let (udp, tcp) = udp::bind_pair(address).await?;
            let bound = tcp.local_addr()?;
            let local = advertised(&config, bound);
            listeners.push(Listener::new(udp, bound, local.clone()).await);
            let any = bound.ip().is_unspecified() && config.public_host.is_none();
            acceptors.push(tcp::Acceptor { listener: tcp, local: (!any).then_some(local) });
        }
        let shared = Shared::new(endpoint.inner, listeners, event_sender);
        Ok(Self { shared: Arc::new(shared), listeners: acceptors, incoming, events, config })
    }

    /// The addresses in use, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared.listeners.iter().map(|l| l.address).collect()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// Serves until `stop` is done and all dialogs are ended, or 4 s later. What was too much meanwhile.
    pub async fn run(self, shards: &mut Shards, stop: impl Future<Output = ()>) -> Floods {
        let Self { shared, listeners, mut incoming, mut events, config } = self;
        let mut tasks = JoinSet::new();
        let timers = shared.endpoint.clone();
        tasks.spawn(async move { timers.process_timer().await });
        for index in 0..shared.listeners.len() {
            tasks.spawn(udp::serve(shared.clone(), index));
        }
        for acceptor in listeners {
            tasks.spawn(tcp::serve(shared.clone(), acceptor));
        }
        let focus = Focus::new(focus_config(&config, &shared, shards.count()), Entropy::from_system());
        let mut desk = Desk { focus, shared: shared.clone(), answering: AHashMap::new(), last: 0 };
        let mut stop = pin!(stop);
        let mut limit = None;
        loop {
            let due = desk.focus.deadline();
            tokio::select! {
                Some(transaction) = incoming.recv() => {
                    // Whom a shard has answered may at once ask for what is only for those inside: a shard
                    // says who is in before it answers them, so all it said is known before what they ask.
                    for event in shards.said() {
                        desk.focus.handle(now(), Input::Shard(event));
                    }
                    desk.accept(transaction);
                }
                Some(event) = events.recv() => desk.event(event),
                event = shards.next() => desk.focus.handle(now(), Input::Shard(event)),
                () = wait(due.map(|at| now().until(at))) => desk.focus.tick(now()),
                () = &mut stop, if limit.is_none() => {
                    limit = Some(now() + DRAIN_WAIT);
                    desk.focus.handle(now(), Input::Drain);
                }
                () = wait(limit.map(|at| now().until(at))) => break,
            }
            desk.flush(shards);
            if desk.focus.is_drained() {
                break;
            }
        }
        // What was answered last is still on its way through the transactions.
        tokio::time::sleep(LAST_WORDS_WAIT).await;
        shared.close();
        tasks.shutdown().await;
        *desk.focus.floods()
    }
}

/// Sleeps so long; for ever if there is no time to wait for.
async fn wait(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// `host:port` of a listener as we call ourselves.
fn advertised(config: &SipConfig, bound: SocketAddr) -> Arc<str> {
    let port = bound.port();
    if let Some(host) = &config.public_host {
        return if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }.into();
    }
    let ip = if bound.ip().is_unspecified() { udp::outward(bound.ip()) } else { bound.ip() };
    SocketAddr::new(ip, port).to_string().into()
}

fn focus_config(config: &SipConfig, shared: &Shared, shards: u16) -> Config {
    let addresses = shared.listeners.iter().map(|l| l.address.ip()).collect();
    let mut domains: Vec<String> = config.domains.iter().map(|d| d.to_ascii_lowercase()).collect();
    domains.extend(config.public_host.iter().map(|h| h.to_ascii_lowercase()));
    Config {
        domains,
        addresses,
        msrp_host: config.msrp_host.clone(),
        msrp_port: config.msrp_port,
        rooms: config.rooms.clone(),
        factory: config.factory.clone(),
        directory: config.directory.clone(),
        moderators_see_identity: config.moderators_see_identity,
        outbound_proxy: config.outbound_proxy.clone(),
        roster_whole_max: config.roster_whole_max,
        accounts: config.accounts.clone(),
        floods: config.floods.clone(),
        shards,
    }
}

/// The focus and what its names stand for.
struct Desk {
    focus: Focus,
    shared: Arc<Shared>,
    answering: AHashMap<TxId, Answering>,
    /// The name of the transaction that came last.
    last: u64,
}

impl Desk {
    /// A new server transaction.
    fn accept(&mut self, transaction: rsipstack::transaction::Transaction) {
        self.last += 1;
        let tx = TxId(self.last);
        let Some((request, flow)) = transact::unmark(&transaction.original) else { return };
        self.answering.insert(tx, Answering::of(&transaction));
        // Some kilobytes, moved once and not with every step of spawning.
        tokio::spawn(Box::pin(transact::serve(transaction, tx, self.shared.clone())));
        self.focus.handle(now(), Input::Request { tx, request, flow });
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.focus.handle(now(), *input),
            Event::Over(tx) => {
                self.answering.remove(&tx);
            }
            Event::Idle(link) if self.focus.uses(link) => {}
            Event::Idle(link) => self.shared.forget(link),
            Event::Answer(id, reply) => self.focus.handle(now(), Input::Answer { id, reply }),
        }
    }

    /// Carries out what the focus wants done.
    fn flush(&mut self, shards: &mut Shards) {
        while let Some(output) = self.focus.poll() {
            match output {
                Output::Respond { tx, response } => {
                    if let Some(answering) = self.answering.get(&tx) {
                        answering.respond(response);
                    }
                }
                Output::Send { id, request } => {
                    tokio::spawn(transact::send(self.shared.clone(), id, *request));
                }
                Output::Tell { shard, message } => {
                    if let Err(message) = shards.tell(shard, message) {
                        self.focus.handle(now(), Input::Undelivered { shard, message });
                    }
                }
            }
        }
    }
}
