//! `openmsrp serve`: the server.

use crate::control::config::{Raw, load};
use crate::control::values::{At, Host, Ip, Octets, Proxy, Shards, Slow, Uri, User, Waiting};
use crate::server::{self, Listening};
use crate::shard::run::Driver;
use clap::Args as ClapArgs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the chat-room server until Ctrl-C or SIGTERM.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Configuration file (TOML); every option below is a key there, and wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Domain whose users are rooms; may be given several times [default: localhost]. The addresses
    /// of the SIP listeners and the public host are domains too, each with rooms of its own.
    #[arg(long, value_name = "NAME")]
    domain: Vec<Host>,
    /// Address for SIP over UDP and TCP; may be given several times [default: 127.0.0.1:5060].
    #[arg(long, value_name = "ADDR:PORT")]
    sip: Vec<At>,
    /// Address for MSRP over TCP; may be given several times [default: 127.0.0.1:2855].
    #[arg(long, value_name = "ADDR:PORT")]
    msrp: Vec<At>,
    /// Name or address by which clients reach this server [default: the address it listens on].
    #[arg(long, value_name = "NAME")]
    public_host: Option<Host>,
    /// Number of shards, each a thread [default: one per core].
    #[arg(long, value_name = "N")]
    shards: Option<Shards>,
    /// How shards wait: auto (io_uring if there, else epoll), io_uring or epoll [default: auto].
    #[arg(long, value_name = "DRIVER")]
    driver: Option<Waiting>,
    /// Largest message in octets [default: 134217728].
    #[arg(long, value_name = "OCTETS")]
    max_message_bytes: Option<Octets>,
    /// Congestion control of MSRP connections, for example cubic [default: the system's].
    #[arg(long, value_name = "NAME")]
    congestion: Option<String>,
    /// Whether participants may take nicknames [default: true].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    nicknames: Option<bool>,
    /// Whether participants may write to each other privately [default: true].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    private_messages: Option<bool>,
    /// Whether clients that declare nothing in their session description may still be sent private messages, as
    /// those in use can [default: true].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    legacy_private_messages: Option<bool>,
    /// Whether a sender may ask how many recipients confirmed a message [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    delivery_counts: Option<bool>,
    /// Whether a nickname that looks like another's is refused [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    look_alikes_refused: Option<bool>,
    /// Participants up to which everybody is shown the whole roster; above, a summary [default: 150].
    #[arg(long, value_name = "N")]
    roster_whole_max: Option<usize>,
    /// Whether moderators who prove to be that are shown who an anonymous participant is; participants are told so
    /// [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    moderators_see_identity: Option<bool>,
    /// User to whom a call makes a room of its own, with a name that nobody can guess; empty for none
    /// [default: conference].
    #[arg(long, value_name = "USER")]
    factory: Option<User>,
    /// User to whom a SUBSCRIBE is answered with the list of public rooms; empty for none [default: rooms].
    #[arg(long, value_name = "USER")]
    directory: Option<User>,
    /// Whether rooms are public, which is to say in that list [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    public: Option<bool>,
    /// Address of somebody who moderates every room, for example sip:alice@example.com; may be given several times
    /// [default: nobody].
    #[arg(long, value_name = "URI")]
    moderator: Vec<Uri>,
    /// SIP URI of the proxy that calls of rooms go through, for example "sip:proxy.example.com;transport=tcp"
    /// [default: none, straight to whom is called].
    #[arg(long, value_name = "URI")]
    outbound_proxy: Option<Proxy>,
    /// Users who may come in, in the file that `openmsrp passwd` writes [default: everybody, as they say].
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Whether users may prove themselves with MD5, for clients without SHA-256 [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    md5: Option<bool>,
    /// What becomes of participants whose connection is too slow: skip (they miss whole messages, and are told how many)
    /// or cut (their call ends) [default: skip].
    #[arg(long, value_name = "WHAT")]
    slow_participants: Option<Slow>,
    /// IP address of a proxy that has already asked who somebody is, so that its P-Asserted-Identity counts; may be
    /// given several times [default: none].
    #[arg(long, value_name = "ADDR")]
    trusted_proxy: Vec<Ip>,
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("openmsrp: {why}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let file = args.config.clone();
    let config = load(file.as_deref(), flags(args), cores)?;
    let domain = config.domains[0].clone();
    server::run(&config, |listening| announce(listening, &domain), stop_signal())?;
    Ok(())
}

fn flags(args: Args) -> Raw {
    Raw {
        domain: args.domain,
        sip: args.sip,
        msrp: args.msrp,
        public_host: args.public_host,
        shards: args.shards,
        driver: args.driver,
        max_message_bytes: args.max_message_bytes,
        congestion: args.congestion,
        nicknames: args.nicknames,
        private_messages: args.private_messages,
        legacy_private_messages: args.legacy_private_messages,
        delivery_counts: args.delivery_counts,
        look_alikes_refused: args.look_alikes_refused,
        roster_whole_max: args.roster_whole_max,
        moderators_see_identity: args.moderators_see_identity,
        factory: args.factory,
        directory: args.directory,
        public: args.public,
        moderator: args.moderator,
        outbound_proxy: args.outbound_proxy,
        users: args.users,
        md5: args.md5,
        trusted_proxy: args.trusted_proxy,
        slow_participants: args.slow_participants,
        ..Raw::default()
    }
}

/// Ctrl-C or SIGTERM, whichever comes first.
async fn stop_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("stopping");
}

fn announce(listening: &Listening, domain: &str) {
    if let Some(why) = &listening.fallback {
        println!("io_uring is not available ({why}): using epoll");
    }
    for at in &listening.sip {
        println!("SIP   {at} (UDP, TCP)");
    }
    for at in &listening.msrp {
        println!("MSRP  {at} (TCP)");
    }
    let driver = match listening.driver {
        Driver::IoUring => "io_uring",
        Driver::Epoll => "epoll",
    };
    let shards = listening.shards;
    println!("{shards} shard{} on {driver}", if shards == 1 { "" } else { "s" });
    // All addresses are none that can be called.
    let here = |at: &SocketAddr| match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())),
        _ => *at,
    };
    let server = listening.sip.first().map(here).map(|at| at.to_string()).unwrap_or_default();
    println!("Join a room:  openmsrp chat sip:lobby@{domain} --server {server} --as sip:alice@{domain}");
}
