//! Configuration: file and flags to raw values, raw values to checked ones.
//!
//! Every flag of `openmsrp serve` has a key of the same name in the TOML file; a flag wins over the
//! file, the file over the defaults.

use super::flood::RawFloods;
use super::rooms::{Made, Makers, RawRoom, addresses as addresses_of};
use crate::base::address::Address;
use crate::base::flood::Limits;
use crate::base::limits;
use crate::base::rights::{Creators, Role};
use crate::focus::accounts::{Accounts, Users};
use crate::focus::signalling::SipUri;
use crate::room::policy::Policy;
use crate::room::rooms::Rooms;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// What a file or the flags say; everything may be absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Domains whose users are rooms.
    #[serde(default)]
    pub domain: Vec<String>,
    /// Where SIP listens, each over UDP and TCP.
    #[serde(default)]
    pub sip: Vec<String>,
    /// Where MSRP listens, over TCP.
    #[serde(default)]
    pub msrp: Vec<String>,
    /// The name or address by which clients reach this server.
    pub public_host: Option<String>,
    /// How many shards.
    pub shards: Option<u16>,
    /// `auto`, `io_uring` or `epoll`.
    pub driver: Option<String>,
    /// The largest message, in octets.
    pub max_message_bytes: Option<u64>,
    /// The congestion control of MSRP connections, by its name in the system.
    pub congestion: Option<String>,
    /// Whether participants may take nicknames.
    pub nicknames: Option<bool>,
    /// Whether participants may write to each other privately.
    pub private_messages: Option<bool>,
    /// Whether clients that declare nothing count as able to take private messages.
    pub legacy_private_messages: Option<bool>,
    /// Whether a sender may ask how many recipients confirmed a message.
    pub delivery_counts: Option<bool>,
    /// Whether nicknames that look alike are refused.
    pub look_alikes_refused: Option<bool>,
    /// Participants up to which everybody is shown the whole roster.
    pub roster_whole_max: Option<usize>,
    /// Whether moderators who prove to be that are shown who an anonymous participant is; everybody is told so.
    pub moderators_see_identity: Option<bool>,
    /// The user to whom an INVITE makes a room of its own; empty for none.
    pub factory: Option<String>,
    /// The user to whom a SUBSCRIBE is answered with the list of public rooms; empty for none.
    pub directory: Option<String>,
    /// Whether rooms are public.
    pub public: Option<bool>,
    /// Addresses of those who may take anybody out of any room.
    #[serde(default)]
    pub moderator: Vec<String>,
    /// The SIP URI of the proxy that calls of rooms go through.
    pub outbound_proxy: Option<String>,
    /// The file of `openmsrp passwd`; with it only its users come in.
    pub users: Option<PathBuf>,
    /// Whether users may answer with MD5, as clients that know nothing better do.
    pub md5: Option<bool>,
    /// IP addresses of proxies whose P-Asserted-Identity counts.
    #[serde(default)]
    pub trusted_proxy: Vec<String>,
    /// What becomes of participants whose connection is too slow: `skip` or `cut`.
    pub slow_participants: Option<String>,
    /// How much of what may come in what time; in the file only.
    #[serde(default)]
    pub flood: RawFloods,
    /// Who may make rooms that are not configured; in the file only.
    pub create_rooms: Option<Makers>,
    /// What whoever makes such a room is in it; in the file only.
    pub creator_role: Option<Made>,
    /// The rules of such rooms; in the file only.
    #[serde(default)]
    pub ad_hoc: RawRoom,
    /// Rooms by name; in the file only.
    #[serde(default)]
    pub rooms: BTreeMap<String, RawRoom>,
}

/// How shards wait, as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriverChoice {
    /// io_uring if the system has it, else epoll.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Domains whose users are rooms, besides the addresses of the SIP listeners.
    pub domains: Vec<String>,
    /// Where SIP listens.
    pub sip: Vec<SocketAddr>,
    /// Where MSRP listens.
    pub msrp: Vec<SocketAddr>,
    /// The name or address by which clients reach this server.
    pub public_host: Option<String>,
    /// How many shards; at least one.
    pub shards: u16,
    /// How they wait.
    pub driver: DriverChoice,
    /// The congestion control of MSRP connections.
    pub congestion: Option<String>,
    /// The rules of all rooms.
    pub rooms: Rooms,
    /// Participants up to which everybody is shown the whole roster.
    pub roster_whole_max: usize,
    /// Whether moderators who prove to be that are shown who an anonymous participant is; everybody is told so.
    pub moderators_see_identity: bool,
    /// The user to whom an INVITE makes a room of its own; empty for none.
    pub factory: String,
    /// The user to whom a SUBSCRIBE is answered with the list of public rooms; empty for none.
    pub directory: String,
    /// The SIP URI of the proxy that calls of rooms go through, a loose router.
    pub outbound_proxy: Option<String>,
    /// Who may come in, and how that is proved.
    pub accounts: Accounts,
    /// How much of what may come in what time.
    pub floods: Limits,
}

/// What is wrong with a configuration, and what to do about it.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read(PathBuf, std::io::Error),
    /// The file is not TOML, or has a key that does not exist.
    Parse(PathBuf, String),
    /// A value cannot be used.
    Value(&'static str, String),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(path, e) => write!(f, "cannot read {}: {e}", path.display()),
            Self::Parse(path, e) => write!(f, "in {}: {e}", path.display()),
            Self::Value(key, why) => write!(f, "{key}: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Raw {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read or parsed; the message has the place.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
        toml::from_str(&text).map_err(|e| ConfigError::Parse(path.into(), e.to_string()))
    }

    /// These values where they are given, those of `below` elsewhere.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let list = |a: Vec<String>, b| if a.is_empty() { b } else { a };
        Self {
            domain: list(self.domain, below.domain),
            sip: list(self.sip, below.sip),
            msrp: list(self.msrp, below.msrp),
            public_host: self.public_host.or(below.public_host),
            shards: self.shards.or(below.shards),
            driver: self.driver.or(below.driver),
            max_message_bytes: self.max_message_bytes.or(below.max_message_bytes),
            congestion: self.congestion.or(below.congestion),
            nicknames: self.nicknames.or(below.nicknames),
            private_messages: self.private_messages.or(below.private_messages),
            legacy_private_messages: self.legacy_private_messages.or(below.legacy_private_messages),
            delivery_counts: self.delivery_counts.or(below.delivery_counts),
            look_alikes_refused: self.look_alikes_refused.or(below.look_alikes_refused),
            roster_whole_max: self.roster_whole_max.or(below.roster_whole_max),
            moderators_see_identity: self.moderators_see_identity.or(below.moderators_see_identity),
            factory: self.factory.or(below.factory),
            directory: self.directory.or(below.directory),
            public: self.public.or(below.public),
            moderator: list(self.moderator, below.moderator),
            outbound_proxy: self.outbound_proxy.or(below.outbound_proxy),
            users: self.users.or(below.users),
            md5: self.md5.or(below.md5),
            trusted_proxy: list(self.trusted_proxy, below.trusted_proxy),
            slow_participants: self.slow_participants.or(below.slow_participants),
            flood: if self.flood == RawFloods::default() { below.flood } else { self.flood },
            create_rooms: self.create_rooms.or(below.create_rooms),
            creator_role: self.creator_role.or(below.creator_role),
            // No flag says anything of single rooms.
            ad_hoc: below.ad_hoc,
            rooms: below.rooms,
        }
    }

    /// Fills in the defaults and checks everything. `cores` is the default number of shards.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn check(self, cores: usize) -> Result<Config, ConfigError> {
        let domains = if self.domain.is_empty() { vec!["localhost".to_owned()] } else { self.domain };
        if let Some(bad) = domains.iter().find(|d| !is_host(d)) {
            return Err(ConfigError::Value("domain", format!("`{bad}` is no host name")));
        }
        let sip = addresses("sip", self.sip, "127.0.0.1:5060")?;
        let msrp = addresses("msrp", self.msrp, "127.0.0.1:2855")?;
        if let Some(bad) = self.public_host.as_ref().filter(|h| !is_host(h)) {
            return Err(ConfigError::Value("public-host", format!("`{bad}` is no host name or address")));
        }
        if self.public_host.is_none() && msrp[0].ip().is_unspecified() {
            let why = format!(
                "clients cannot connect to {}; say by which name or address they reach this server with --public-host",
                msrp[0].ip()
            );
            return Err(ConfigError::Value("msrp", why));
        }
        let shards = self.shards.unwrap_or_else(|| u16::try_from(cores).unwrap_or(u16::MAX)).min(SHARDS_MAX);
        if shards == 0 {
            return Err(ConfigError::Value("shards", "at least one is needed".into()));
        }
        let driver = match self.driver.as_deref() {
            None | Some("auto") => DriverChoice::Auto,
            Some("io_uring") => DriverChoice::IoUring,
            Some("epoll") => DriverChoice::Epoll,
            Some(other) => {
                let why = format!("`{other}` is not one of auto, io_uring, epoll");
                return Err(ConfigError::Value("driver", why));
            }
        };
        let cut_slow = match self.slow_participants.as_deref() {
            None | Some("skip") => false,
            Some("cut") => true,
            Some(other) => {
                let why = format!("`{other}` is not one of skip, cut");
                return Err(ConfigError::Value("slow-participants", why));
            }
        };
        let max_message_bytes = self.max_message_bytes.unwrap_or(limits::MESSAGE_BYTES_MAX);
        if max_message_bytes < 1024 {
            return Err(ConfigError::Value(
                "max_message_bytes",
                "less than 1024 leaves no room for a text".into(),
            ));
        }
        let factory = user_of_ours("factory", self.factory, "conference")?;
        let directory = user_of_ours("directory", self.directory, "rooms")?;
        if !directory.is_empty() && directory == factory {
            let why = format!("`{directory}` is the factory: give one of them another name, or none");
            return Err(ConfigError::Value("directory", why));
        }
        let moderator = |text: &String| {
            let why =
                |_| ConfigError::Value("moderator", format!("`{text}` is not like sip:alice@example.com"));
            Address::parse(text).map_err(why)
        };
        let moderators = self.moderator.iter().map(moderator).collect::<Result<Vec<_>, _>>()?;
        let outbound_proxy = self.outbound_proxy.map(outbound_proxy).transpose()?;
        let proxy = |text: &String| {
            let why = |_| ConfigError::Value("trusted-proxy", format!("`{text}` is no IP address"));
            text.parse().map_err(why)
        };
        let trusted = self.trusted_proxy.iter().map(proxy).collect::<Result<_, _>>()?;
        let users = self.users.as_deref().map(read_users).transpose()?.unwrap_or_default();
        let accounts = Accounts { users, md5: self.md5.unwrap_or(false), trusted };
        let all = Policy {
            message_bytes_max: max_message_bytes,
            nicknames: self.nicknames.unwrap_or(true),
            private_messages: self.private_messages.unwrap_or(true),
            legacy_private_messages: self.legacy_private_messages.unwrap_or(true),
            delivery_counts: self.delivery_counts.unwrap_or(false),
            look_alikes_refused: self.look_alikes_refused.unwrap_or(false),
            roster_whole_max: self.roster_whole_max.unwrap_or(limits::ROSTER_WHOLE_MAX),
            moderators_see_identity: self.moderators_see_identity.unwrap_or(false),
            roles: moderators.into_iter().map(|who| (who, Role::Moderator)).collect(),
            cut_slow,
            public: self.public.unwrap_or(false),
            floods: self.flood.over(&Limits::default()),
            ..Policy::default()
        };
        let creators = self.create_rooms.map_or(Creators::Everybody, |c| c.0);
        if creators == Creators::Users && accounts.users.is_empty() && accounts.trusted.is_empty() {
            let why = "`users` can make rooms, but there are none; give --users or --trusted-proxy too";
            return Err(ConfigError::Value("create_rooms", why.into()));
        }
        let creator = self.creator_role.map_or(Role::Participant, |r| r.0);
        let rooms = rooms(self.rooms, self.ad_hoc, (creators, creator), &all, &domains)?;
        let (public_host, congestion) = (self.public_host, self.congestion);
        Ok(Config {
            domains,
            sip,
            msrp,
            public_host,
            shards,
            driver,
            congestion,
            rooms,
            roster_whole_max: all.roster_whole_max,
            moderators_see_identity: all.moderators_see_identity,
            factory,
            directory,
            outbound_proxy,
            accounts,
            floods: all.floods,
        })
    }
}

/// The rules of all rooms: of those that have a table, and of those that `creators` make.
fn rooms(
    named: BTreeMap<String, RawRoom>,
    ad_hoc: RawRoom,
    (creators, creator): (Creators, Role),
    all: &Policy,
    domains: &[String],
) -> Result<Rooms, ConfigError> {
    let ad_hoc = ad_hoc.over(all).map_err(|why| ConfigError::Value("ad_hoc", why))?;
    let mut rooms = Rooms::new(Policy { creator, ..ad_hoc }, creators);
    let permanent = Policy { persistent: true, ..all.clone() };
    for (name, room) in named {
        let wrong = |why| ConfigError::Value("rooms", format!("{name}: {why}"));
        let policy = room.over(&permanent).map_err(wrong)?;
        for address in addresses_of(&name, domains).map_err(wrong)? {
            rooms = rooms.with(address, policy.clone());
        }
    }
    Ok(rooms)
}

/// Session-ids have room for this many.
const SHARDS_MAX: u16 = 1024;

impl Config {
    /// The host of our MSRP URIs and SIP contacts as it stands in a URI.
    #[must_use]
    pub fn msrp_host(&self, bound: SocketAddr) -> String {
        match &self.public_host {
            Some(host) => match host.parse::<IpAddr>() {
                Ok(ip) => bracketed(ip),
                Err(_) => host.clone(),
            },
            None => bracketed(bound.ip()),
        }
    }
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn addresses(key: &'static str, given: Vec<String>, default: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let given = if given.is_empty() { vec![default.to_owned()] } else { given };
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            ConfigError::Value(
                key,
                format!("`{text}` is not ADDRESS:PORT, for example {default} or [::1]:5060"),
            )
        })
    };
    given.iter().map(parse).collect()
}

/// A user of our domains that is no room.
fn user_of_ours(key: &'static str, given: Option<String>, default: &str) -> Result<String, ConfigError> {
    let user = given.unwrap_or_else(|| default.to_owned());
    if !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b)) {
        let why = format!("`{user}` has other than letters, digits and any of -_.+");
        return Err(ConfigError::Value(key, why));
    }
    Ok(user)
}

/// Checks the URI of a proxy. It is a loose router, whether the URI says so or not (RFC 3261 §19.1.1).
fn outbound_proxy(text: String) -> Result<String, ConfigError> {
    let bad = |text: &str| !text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\",?".contains(&b));
    let uri = SipUri::parse(&text).filter(|_| !bad(&text) && text.to_ascii_lowercase().starts_with("sip:"));
    match uri {
        Some(uri) if uri.param("lr").is_some() => Ok(text),
        Some(_) => Ok(text + ";lr"),
        None => {
            let why =
                format!("`{text}` is not like sip:proxy.example.com or sip:192.0.2.1:5060;transport=tcp");
            Err(ConfigError::Value("outbound-proxy", why))
        }
    }
}

fn read_users(path: &Path) -> Result<Users, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.into(), e))?;
    let users = Users::parse(&text)
        .map_err(|(line, why)| ConfigError::Parse(path.into(), format!("line {line}: {why}")))?;
    if users.is_empty() {
        let why =
            format!("{} has no users, and nobody could come in; `openmsrp passwd` adds one", path.display());
        return Err(ConfigError::Value("users", why));
    }
    Ok(users)
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text.split('.').all(|l| !l.is_empty() && l.len() <= 63)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_is_a_server_on_this_machine() {
        let c = Raw::default().check(2).unwrap();
        assert_eq!(c.domains, ["localhost"]);
        assert_eq!(c.sip, ["127.0.0.1:5060".parse().unwrap()]);
        assert_eq!(c.msrp, ["127.0.0.1:2855".parse().unwrap()]);
        assert_eq!((c.shards, c.driver), (2, DriverChoice::Auto));
        assert_eq!(c.msrp_host(c.msrp[0]), "127.0.0.1");
        assert_eq!((c.factory.as_str(), c.rooms.named().count()), ("conference", 0));
    }

    #[test]
    fn the_sample_shows_every_key() {
        let sample = include_str!("../../docs/openmsrp.sample.toml");
        let shown = |key: &str| {
            let mut lines = sample.lines().map(|line| line.trim_start_matches("# "));
            lines.any(|l| {
                [format!("{key} ="), format!("[{key}]"), format!("[{key}.")].iter().any(|k| l.starts_with(k))
            })
        };
        for table in ["", "[ad_hoc]\n", "[flood]\n"] {
            // Who writes a key that does not exist is told those that do.
            let told =
                toml::from_str::<Raw>(&format!("{table}nonsense = \"\"")).unwrap_err().message().to_owned();
            let (_, keys) = told.split_once(" one of ").unwrap();
            let mut keys = keys.split(", ").map(|key| key.trim_matches('`'));
            assert_eq!(keys.find(|key| !shown(key)), None, "{table}");
        }
    }

    #[test]
    fn an_outbound_proxy_is_a_loose_router() {
        let check = |uri: &str| Raw { outbound_proxy: Some(uri.into()), ..Raw::default() }.check(1);
        for (uri, kept) in [
            ("sip:proxy.example.com", "sip:proxy.example.com;lr"),
            ("sip:192.0.2.1:5070;transport=tcp;lr", "sip:192.0.2.1:5070;transport=tcp;lr"),
        ] {
            assert_eq!(check(uri).unwrap().outbound_proxy.as_deref(), Some(kept));
        }
        for bad in [
            "proxy.example.com",
            "sips:p.example",
            "sip:",
            "sip:p>;x",
            "sip:a b",
            "sip:p\r\nX: y",
            "sip:p?a=b",
        ] {
            assert!(check(bad).unwrap_err().to_string().contains("outbound-proxy: "), "{bad}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file: Raw = toml::from_str("domain = ['a.example']\nshards = 4\nsip = ['[::1]:5060']").unwrap();
        let flags = Raw { shards: Some(1), ..Raw::default() };
        let c = flags.over(file).check(2).unwrap();
        assert_eq!((c.shards, c.domains[0].as_str()), (1, "a.example"));
        assert_eq!(c.sip, ["[::1]:5060".parse().unwrap()]);
    }

    #[test]
    fn a_mistake_is_named_with_what_to_do() {
        let wrong = |raw: Raw| raw.check(1).unwrap_err().to_string();
        let list = |s: &str| vec![s.to_owned()];
        assert!(wrong(Raw { sip: list("localhost"), ..Raw::default() }).contains("ADDRESS:PORT"));
        assert!(wrong(Raw { msrp: list("0.0.0.0:2855"), ..Raw::default() }).contains("--public-host"));
        assert!(wrong(Raw { driver: Some("kqueue".into()), ..Raw::default() }).contains("io_uring"));
        assert!(wrong(Raw { domain: list("a b"), ..Raw::default() }).contains("`a b`"));
        assert!(wrong(Raw { factory: Some("a b".into()), ..Raw::default() }).contains("`a b`"));
        assert!(wrong(Raw { moderator: list("alice"), ..Raw::default() }).contains("`alice`"));
        assert!(wrong(Raw { trusted_proxy: list("proxy"), ..Raw::default() }).contains("`proxy`"));
        let nowhere = wrong(Raw { users: Some("/nowhere/users".into()), ..Raw::default() });
        assert!(nowhere.contains("/nowhere/users"), "{nowhere}");
        assert!(wrong(Raw { shards: Some(0), ..Raw::default() }).contains("shards"));
        let unknown = toml::from_str::<Raw>("shard = 1").unwrap_err().to_string();
        assert!(unknown.contains("unknown field `shard`"), "{unknown}");
    }
}
