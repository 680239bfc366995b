//! `openmsrp chat`: talks in a room, at a terminal or in a pipe.
//!
//! Touches: standard streams, signals, the environment variables `USER`, `OPENMSRP_PASSWORD` and
//! `OPENMSRP_ROOM_PASSWORD`, name resolution, what the client library touches. Bounds: those of `client::chat`. Proved by: the tests of this folder; by hand for the look.

mod aside;
mod order;
mod parts;
mod password;
mod pipe;
mod prompt;
mod shown;
mod talk;
mod terminal;
mod wish;
mod words;

use crate::base::entropy::Entropy;
use crate::client::call::{CallError, Transport};
use crate::client::chat::{Account, Client, Events, Join, JoinError, Room};
use clap::{Parser, ValueEnum};
use parts::{Door, Parts, To};
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use talk::{Shown, Talk};
use wish::Wish;

/// Addresses of a server's name that are tried. Beyond: not tried.
const ADDRESSES_MAX: usize = 8;

/// The port of SIP (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// What stands below the options.
const MORE: &str = "\
At a terminal: type and press Enter, /help tells the rest.

In a pipe: each line of input is sent as a message, each message that comes is printed as a line `name: text`; who
joins and leaves, and what became of what was asked, goes to standard error. A line may begin with /msg NAME TEXT,
/nick NAME, /sidebar NAME and the like there too; // begins one that is to begin with /. What comes in a sidebar begins
with its number, as [1].

A server that asks for your password gets it from --password-file, or from the environment variable
OPENMSRP_PASSWORD; a room that wants one of whoever comes in, from --room-password-file or OPENMSRP_ROOM_PASSWORD. At
a terminal you are asked for what is wanted and was not given.";

/// Talk in a chat room.
#[derive(Parser, Debug)]
#[command(after_long_help = MORE)]
pub struct Args {
    /// The room: sip:ROOM@DOMAIN (`sip:` may be left out).
    #[arg(value_name = "sip:ROOM@DOMAIN")]
    pub room: String,
    /// Make a room of your own: what you call is no room but the server's factory, such as sip:conference@DOMAIN. You
    /// are told the address of the room; it ends when you leave.
    #[arg(long)]
    pub new: bool,
    /// The server to call; without it, the room's domain.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// How to call it.
    #[arg(long, value_enum, default_value_t = By::Tcp)]
    pub transport: By,
    /// Who you are; without it, your user name at the room's domain.
    #[arg(long = "as", value_name = "sip:USER@DOMAIN")]
    pub identity: Option<String>,
    /// The name others see, and in a room with nicknames the nickname to ask for; without it, the user part
    /// of who you are and no nickname.
    #[arg(long, value_name = "NAME")]
    pub nick: Option<String>,
    /// A file with your password, and nothing else in it.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// A file with the password of the room, if it wants one, and nothing else in it.
    #[arg(long, value_name = "FILE")]
    pub room_password_file: Option<PathBuf>,
    /// The others do not learn who you are, until you say /reveal. Without a password the server does not learn it
    /// either, and there is nothing to reveal.
    #[arg(long)]
    pub anonymous: bool,
    /// Be told how many have received what you say, if the room counts that.
    #[arg(long)]
    pub delivery_counts: bool,
    /// Do not let the others see when you are typing.
    #[arg(long)]
    pub no_typing: bool,
    /// In a pipe: stay so long after the end of input, to hear what others say.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub linger: u64,
}

/// A transport as the command line names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum By {
    /// SIP over UDP.
    Udp,
    /// SIP over TCP.
    Tcp,
}

impl By {
    fn transport(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Udp => Self::Tcp,
            Self::Tcp => Self::Udp,
        }
    }
}

/// Runs the subcommand. 0: left by wish and everything said was taken; 1: anything else, with a sentence
/// on standard error.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot start: {e}")),
    };
    let result = runtime.block_on(chat(&args));
    // A read of standard input may be under way and cannot be stopped: do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("openmsrp chat: {why}");
    ExitCode::FAILURE
}

async fn chat(args: &Args) -> Result<(), String> {
    let room = with_scheme(&args.room);
    let (_, domain) = user_and_host(&room)
        .ok_or_else(|| format!("{:?} names no room; write it as sip:ROOM@DOMAIN", args.room))?;
    let from = match &args.identity {
        Some(identity) => with_scheme(identity),
        None => default_identity(&std::env::var("USER").unwrap_or_default(), domain),
    };
    let (user, _) = user_and_host(&from)
        .ok_or_else(|| format!("{from:?} names nobody; write it as --as sip:USER@DOMAIN"))?;
    let nick = args.nick.as_deref().unwrap_or(user);
    let variable = |name| std::env::var(name).ok();
    let given = Passwords {
        own: password::given(args.password_file.as_deref(), variable(password::VARIABLE))?,
        room: password::given(args.room_password_file.as_deref(), variable(password::ROOM_VARIABLE))?,
    };
    let found = resolve(args.server.as_deref().unwrap_or(domain)).await?;
    let (client, server) = reach(&found, args.transport).await?;
    let join = Join { room: &room, from: &from, display_name: nick };
    let joined = enter(client, args, &join, user, given).await;
    let (room, events, client) = joined.map_err(|e| explain(&e, server, args.transport))?;
    let talk = if args.anonymous { Talk::hidden(nick) } else { Talk::new(nick) };
    let mut parts = Parts::new(talk, door(client, room.room().to_string(), from.clone()));
    let greeting = greet(args, &room);
    if args.nick.is_some() && room.has_nicknames() {
        for shown in parts.ask(&room, Wish::Nickname(Some(nick))).await {
            if let Shown::Trouble(why) = shown {
                eprintln!("openmsrp chat: no nickname: {why}");
            }
        }
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return match terminal::run(room, events, parts, greeting, !args.no_typing).await {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(format!("out of the room: {why}")),
            Err(e) => Err(format!("the terminal failed: {e}; try it in a pipe: openmsrp chat … | cat")),
        };
    }
    for shown in greeting {
        if let Shown::Status(text) | Shown::Trouble(text) = shown {
            eprintln!("{text}");
        }
    }
    let input = tokio::io::BufReader::new(tokio::io::stdin());
    let linger = Duration::from_secs(args.linger);
    match pipe::run(room, events, parts, input, tokio::io::stdout(), tokio::io::stderr(), linger).await {
        Ok(()) => Ok(()),
        Err(pipe::Trouble::Undelivered(1)) => {
            Err("something was not delivered or not done, see above".to_string())
        }
        Err(pipe::Trouble::Undelivered(n)) => {
            Err(format!("{n} things were not delivered or not done, see above"))
        }
        Err(pipe::Trouble::Closed(why)) => Err(format!("out of the room: {why}")),
        Err(pipe::Trouble::Streams(why)) => Err(format!("cannot go on reading and writing: {why}")),
    }
}

/// The first server of a name that answers.
async fn reach(found: &[SocketAddr], by: By) -> Result<(Client, SocketAddr), String> {
    let mut why = String::new();
    for server in found {
        match Client::new(*server, by.transport()).await {
            Ok(client) => return Ok((client, *server)),
            Err(e) => why = unreachable(*server, by, &e.to_string()),
        }
    }
    Err(why)
}

/// Passwords that were given before anybody asked.
struct Passwords {
    own: Option<String>,
    room: Option<String>,
}

/// Joins with the passwords given, or with those that are typed when the server or the room wants them. With it comes the
/// client that has them, and does not hide.
async fn enter(
    mut client: Client,
    args: &Args,
    join: &Join<'_>,
    user: &str,
    given: Passwords,
) -> Result<(Room, Events, Client), JoinError> {
    let account = |password: &str| {
        Account::new(user, password)
            .map_err(|why| JoinError::Session(format!("no password can be sent: {why}")))
    };
    let ask = |of: &str| {
        password::ask(of).map_err(|e| JoinError::Session(format!("cannot ask for a password: {e}")))
    };
    if let Some(password) = &given.own {
        client = client.with_account(account(password)?);
    }
    if let Some(password) = &given.room {
        client = client.with_room_password(password);
    }
    let (mut may_ask, mut may_ask_of_room) = (given.own.is_none(), given.room.is_none());
    loop {
        let calling = if args.anonymous { client.clone().anonymous() } else { client.clone() };
        let joined = if args.new { calling.make_room(join).await } else { calling.join(join).await };
        let error = match joined {
            Ok((room, events)) => return Ok((room, events, client)),
            Err(error) => error,
        };
        let own = matches!(error, JoinError::Call(CallError::PasswordWanted { .. }));
        let typed = if own && std::mem::take(&mut may_ask) {
            ask(user)?
        } else if rule_of(&error) == PASSWORD_WANTED && std::mem::take(&mut may_ask_of_room) {
            ask(&format!("the room {}", shown::one_line(join.room)))?
        } else {
            None
        };
        client = match typed {
            Some(password) if own => client.with_account(account(&password)?),
            Some(password) => client.with_room_password(&password),
            None => return Err(error),
        };
    }
}

/// What lets us into sidebars of a room: with what let us into the room, but its password.
fn door(client: Client, room: String, from: String) -> Door {
    let client = client.with_room_password("");
    Box::new(move |entry| {
        let (client, room, from) = (client.clone(), room.clone(), from.clone());
        let client = if entry.hidden { client.anonymous() } else { client };
        Box::pin(async move {
            let join = Join { room: &room, from: &from, display_name: &entry.name };
            match &entry.to {
                To::Known(sidebar) => client.join(&Join { room: sidebar, ..join }).await,
                To::New(whom) => {
                    let whom: Vec<&str> = whom.iter().map(String::as_str).collect();
                    client.open_sidebar(&join, &whom, None).await
                }
            }
        })
    })
}

/// The token of a room that wants a password, and none was given (docs/extensions.md).
const PASSWORD_WANTED: &str = "password-wanted";

/// The rule of the room that forbids to come in, as a token; empty if it was none.
fn rule_of(error: &JoinError) -> &str {
    match error {
        JoinError::Call(CallError::Refused { rule, .. }) => rule.as_deref().unwrap_or_default(),
        _ => "",
    }
}

/// What is worth saying at the beginning.
fn greet(args: &Args, room: &Room) -> Vec<Shown> {
    let mut greeting = Vec::new();
    if args.new {
        let at = shown::one_line(room.room());
        greeting.push(Shown::Status(format!("your room is {at}; others join it there, until you leave")));
    }
    if args.anonymous {
        let address = shown::one_line(room.address());
        greeting.push(Shown::Status(format!("you are anonymous here: the others see {address}")));
    }
    if args.delivery_counts
        && let Err(why) = room.count_deliveries(true)
    {
        greeting.push(Shown::Trouble(why.to_string()));
    }
    greeting
}

fn unreachable(server: SocketAddr, by: By, why: &str) -> String {
    format!(
        "cannot reach a server at {server} over {}: {why}; is it running? \
         Name another with --server HOST:PORT, or try --transport {}",
        by.name(),
        by.other().name()
    )
}

/// A failed join, with what can be done about it.
fn explain(error: &JoinError, server: SocketAddr, by: By) -> String {
    match error {
        JoinError::Call(CallError::Connection(why)) => unreachable(server, by, why),
        JoinError::Call(CallError::NoAnswer) => unreachable(server, by, "no answer"),
        JoinError::Call(CallError::BadAddress(address)) => {
            format!("{address:?} is no SIP address; write it as sip:USER@DOMAIN")
        }
        JoinError::Call(CallError::Refused { code, phrase, warning, rule: Some(rule) }) => {
            let words = warning.as_ref().unwrap_or(phrase);
            words::not_let_in(rule, *code, words)
        }
        JoinError::Call(CallError::Refused { code: 486, .. }) => {
            format!("{error}; the room is full, or you are in it with too many devices: try again later")
        }
        JoinError::Call(CallError::Refused { code: 403, .. }) => {
            format!("{error}; ask whoever runs the room, or come as somebody else with --as")
        }
        JoinError::Call(CallError::PasswordWanted { .. }) => format!(
            "{error}; give it with --password-file FILE or in the environment variable {}",
            password::VARIABLE
        ),
        JoinError::Call(CallError::WrongPassword { .. }) => {
            format!("{error}; check the password, and who you are (--as)")
        }
        JoinError::Connect(..) => format!("{error}; a firewall may be in the way"),
        other => other.to_string(),
    }
}

/// An address as typed, with its scheme.
fn with_scheme(typed: &str) -> String {
    if has_scheme(typed) { typed.to_string() } else { format!("sip:{typed}") }
}

fn has_scheme(typed: &str) -> bool {
    ["sip:", "sips:"].iter().any(|s| typed.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))
}

/// User and `host[:port]` of a SIP address; both must be there.
fn user_and_host(address: &str) -> Option<(&str, &str)> {
    let (_, rest) = address.split_once(':')?;
    let rest = rest.split([';', '?']).next()?;
    let (user, host) = rest.split_once('@')?;
    (!user.is_empty() && !host.is_empty()).then_some((user, host))
}

/// The system's user at the room's domain; a guest where the system names none.
fn default_identity(user: &str, domain: &str) -> String {
    let host = host_and_port(domain).map_or(domain, |(host, _)| host);
    let is_user = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !user.is_empty() && user.bytes().all(is_user) {
        return format!("sip:{user}@{host}");
    }
    let suffix: String = Entropy::from_system().text::<6>().map(char::from).iter().collect();
    format!("sip:guest-{}@{host}", suffix.to_lowercase())
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the brackets stay.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let port_at = match text.rfind(']') {
        Some(end) => end + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(port_at);
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => SIP_PORT,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// All addresses of a server; at least one.
async fn resolve(server: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = host_and_port(server)
        .ok_or_else(|| format!("{server:?} is no server; write it as --server HOST:PORT"))?;
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = || format!("no host named {host:?} is known; name the server with --server HOST:PORT");
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map(|all| all.take(ADDRESSES_MAX).collect()).unwrap_or_default();
    if found.is_empty() { Err(unknown()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_typed_without_scheme() {
        assert_eq!(with_scheme("lobby@x"), "sip:lobby@x");
        assert_eq!(with_scheme("SIP:lobby@x"), "SIP:lobby@x");
        assert_eq!(with_scheme("sips:lobby@x"), "sips:lobby@x");
    }

    #[test]
    fn an_address_has_user_and_host() {
        assert_eq!(user_and_host("sip:a@b:5070;x=y"), Some(("a", "b:5070")));
        for bad in ["sip:lobby", "sip:@b", "sip:a@", "a@b", ""] {
            assert_eq!(user_and_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_server_may_be_named_with_or_without_port() {
        let table = [
            ("localhost", Some(("localhost", 5060))),
            ("chat.example.com:5070", Some(("chat.example.com", 5070))),
            ("[::1]", Some(("[::1]", 5060))),
            ("[::1]:5070", Some(("[::1]", 5070))),
            ("[::1]5070", None),
            ("x:", None),
            ("x:99999", None),
            (":5060", None),
        ];
        for (text, expected) in table {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }

    #[test]
    fn who_is_nobody_becomes_a_guest() {
        assert_eq!(default_identity("alice", "example.com:5070"), "sip:alice@example.com");
        for nobody in ["", "a b", "x>y"] {
            let guest = default_identity(nobody, "localhost");
            assert!(guest.starts_with("sip:guest-") && guest.ends_with("@localhost"), "{guest}");
        }
    }

    #[test]
    fn the_command_line_is_what_it_says() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let args =
            Args::parse_from(["chat", "sip:a@b", "--as", "sip:me@b", "--transport", "udp", "--linger", "3"]);
        assert_eq!((args.transport, args.linger), (By::Udp, 3));
        assert_eq!(args.identity.as_deref(), Some("sip:me@b"));
    }
}
