//! Configuration: file and flags to raw values, raw values to checked ones.
//!
//! Every flag of `openmsrp serve` has a key of the same name in the TOML file; a flag wins over the
//! file, the file over the defaults.

use super::flood::RawFloods;
use super::rooms::{RawRoom, Which, which};
use super::values::{
    At, Host, Ip, Made, Makers, Octets, Proxy, Shards, Slow, Uri, User, Waiting, one_or_more,
};
use crate::base::flood::Limits;
use crate::base::limits;
use crate::base::rights::{Creators, Role};
use crate::focus::accounts::{Accounts, Users};
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
    #[serde(default, deserialize_with = "one_or_more")]
    pub domain: Vec<Host>,
    /// Where SIP listens, each over UDP and TCP.
    #[serde(default, deserialize_with = "one_or_more")]
    pub sip: Vec<At>,
    /// Where MSRP listens, over TCP.
    #[serde(default, deserialize_with = "one_or_more")]
    pub msrp: Vec<At>,
    /// The name or address by which clients reach this server.
    pub public_host: Option<Host>,
    /// How many shards.
    pub shards: Option<Shards>,
    /// `auto`, `io_uring` or `epoll`.
    pub driver: Option<Waiting>,
    /// The largest message, in octets.
    pub max_message_bytes: Option<Octets>,
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
    pub factory: Option<User>,
    /// The user to whom a SUBSCRIBE is answered with the list of public rooms; empty for none.
    pub directory: Option<User>,
    /// Whether rooms are public.
    pub public: Option<bool>,
    /// Addresses of those who may take anybody out of any room.
    #[serde(default, deserialize_with = "one_or_more")]
    pub moderator: Vec<Uri>,
    /// The SIP URI of the proxy that calls of rooms go through.
    pub outbound_proxy: Option<Proxy>,
    /// The file of `openmsrp passwd`; with it only its users come in.
    pub users: Option<PathBuf>,
    /// Whether users may answer with MD5, as clients that know nothing better do.
    pub md5: Option<bool>,
    /// IP addresses of proxies whose P-Asserted-Identity counts.
    #[serde(default, deserialize_with = "one_or_more")]
    pub trusted_proxy: Vec<Ip>,
    /// What becomes of participants whose connection is too slow: `skip` or `cut`.
    pub slow_participants: Option<Slow>,
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

/// The configuration that a file and flags make together; flags win. `cores` is the default number of shards.
///
/// # Errors
/// The file cannot be read, or the first value that cannot be used.
pub fn load(file: Option<&Path>, flags: Raw, cores: usize) -> Result<Config, ConfigError> {
    let below = file.map(Raw::from_file).transpose()?.unwrap_or_default();
    flags.over(below).check(cores).map_err(|e| match (e, file) {
        (ConfigError::Value(key, why), Some(file)) => {
            ConfigError::Value(key, format!("{why} (configuration: {})", file.display()))
        }
        (e, _) => e,
    })
}

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
        fn list<T>(a: Vec<T>, b: Vec<T>) -> Vec<T> {
            if a.is_empty() { b } else { a }
        }
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
        let domains = or_one(self.domain.into_iter().map(|host| host.0), || "localhost".into());
        let here = |port| move || SocketAddr::from(([127, 0, 0, 1], port));
        let sip = or_one(self.sip.into_iter().map(|at| at.0), here(5060));
        let msrp = or_one(self.msrp.into_iter().map(|at| at.0), here(2855));
        let public_host = self.public_host.map(|host| host.0);
        if public_host.is_none() && msrp[0].ip().is_unspecified() {
            let why = format!(
                "clients cannot connect to {}; say by which name or address they reach this server with public_host",
                msrp[0].ip()
            );
            return Err(ConfigError::Value("msrp", why));
        }
        let cores = u16::try_from(cores).unwrap_or(u16::MAX).clamp(1, limits::SHARDS_MAX);
        let shards = self.shards.map_or(cores, |n| n.0);
        let factory = self.factory.map_or_else(|| "conference".into(), |user| user.0);
        let directory = self.directory.map_or_else(|| "rooms".into(), |user| user.0);
        if !directory.is_empty() && directory == factory {
            let why = format!("`{directory}` is the factory: give one of them another name, or none");
            return Err(ConfigError::Value("directory", why));
        }
        let users = self.users.as_deref().map(read_users).transpose()?.unwrap_or_default();
        let trusted = self.trusted_proxy.into_iter().map(|ip| ip.0).collect();
        let accounts = Accounts { users, md5: self.md5.unwrap_or(false), trusted };
        let all = Policy {
            message_bytes_max: self.max_message_bytes.map_or(limits::MESSAGE_BYTES_MAX, |n| n.0),
            nicknames: self.nicknames.unwrap_or(true),
            private_messages: self.private_messages.unwrap_or(true),
            legacy_private_messages: self.legacy_private_messages.unwrap_or(true),
            delivery_counts: self.delivery_counts.unwrap_or(false),
            look_alikes_refused: self.look_alikes_refused.unwrap_or(false),
            roster_whole_max: self.roster_whole_max.unwrap_or(limits::ROSTER_WHOLE_MAX),
            moderators_see_identity: self.moderators_see_identity.unwrap_or(false),
            roles: self.moderator.into_iter().map(|who| (who.0, Role::Moderator)).collect(),
            cut_slow: self.slow_participants.is_some_and(|slow| slow.0),
            public: self.public.unwrap_or(false),
            floods: self.flood.over(&Limits::default()),
            ..Policy::default()
        };
        let creators = self.create_rooms.map_or(Creators::Everybody, |c| c.0);
        if creators == Creators::Users && accounts.users.is_empty() && accounts.trusted.is_empty() {
            let why = "`users` can make rooms, but there are none; set users or trusted_proxy too";
            return Err(ConfigError::Value("create_rooms", why.into()));
        }
        let creator = self.creator_role.map_or(Role::Participant, |r| r.0);
        let no_room = |user: &str| no_room(user, &factory, &directory);
        let rooms = rooms(self.rooms, self.ad_hoc, (creators, creator), &all, &domains, no_room)?;
        Ok(Config {
            domains,
            sip,
            msrp,
            public_host,
            shards,
            driver: self.driver.map_or(DriverChoice::Auto, |how| how.0),
            congestion: self.congestion,
            rooms,
            roster_whole_max: all.roster_whole_max,
            moderators_see_identity: all.moderators_see_identity,
            factory,
            directory,
            outbound_proxy: self.outbound_proxy.map(|proxy| proxy.0),
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
    no_room: impl Fn(&str) -> Option<&'static str>,
) -> Result<Rooms, ConfigError> {
    let ad_hoc = ad_hoc.over(all).map_err(|why| ConfigError::Value("ad_hoc", why))?;
    let mut rooms = Rooms::new(Policy { creator, ..ad_hoc }, creators);
    let permanent = Policy { persistent: true, ..all.clone() };
    for (name, room) in named {
        let wrong = |why| ConfigError::Value("rooms", format!("{name}: {why}"));
        let policy = room.over(&permanent).map_err(wrong)?;
        let which = which(&name, domains).map_err(wrong)?;
        if let Some(key) = no_room(which.user()) {
            let user = which.user();
            return Err(wrong(format!(
                "`{user}` is no room but the {key}; name the room, or the {key}, otherwise"
            )));
        }
        rooms = match which {
            Which::One(address) => rooms.with(address, policy),
            Which::All(user) => rooms.with_everywhere(&user, policy),
        };
    }
    Ok(rooms)
}

/// The key that gives a user another use than that of a room.
fn no_room(user: &str, factory: &str, directory: &str) -> Option<&'static str> {
    [("factory", factory), ("directory", directory)]
        .into_iter()
        .find(|(_, other)| *other == user)
        .map(|(key, _)| key)
}

/// What is given, or one that stands for it.
fn or_one<T>(given: impl Iterator<Item = T>, otherwise: impl FnOnce() -> T) -> Vec<T> {
    let given: Vec<T> = given.collect();
    if given.is_empty() { vec![otherwise()] } else { given }
}

impl Config {
    /// The key that gives a user of ours another use than that of a room.
    #[must_use]
    pub fn no_room(&self, user: &str) -> Option<&'static str> {
        no_room(user, &self.factory, &self.directory).filter(|_| !user.is_empty())
    }

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
        assert_eq!((c.factory.as_str(), c.directory.as_str()), ("conference", "rooms"));
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
        let read = |uri: &str| uri.parse::<Proxy>();
        for (uri, kept) in [
            ("sip:proxy.example.com", "sip:proxy.example.com;lr"),
            ("sip:192.0.2.1:5070;transport=tcp;lr", "sip:192.0.2.1:5070;transport=tcp;lr"),
        ] {
            assert_eq!(read(uri).unwrap().0, kept);
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
            assert!(read(bad).unwrap_err().contains("is not like sip:proxy.example.com"), "{bad}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file: Raw = toml::from_str("domain = ['a.example']\nshards = 4\nsip = ['[::1]:5060']").unwrap();
        let flags = Raw { shards: Some(Shards(1)), ..Raw::default() };
        let c = flags.over(file).check(2).unwrap();
        assert_eq!((c.shards, c.domains[0].as_str()), (1, "a.example"));
        assert_eq!(c.sip, ["[::1]:5060".parse().unwrap()]);
    }

    #[test]
    fn one_value_may_stand_without_a_list() {
        let raw: Raw =
            toml::from_str("domain = 'a.example'\nsip = '[::1]:5060'\nmsrp = ['[::1]:2855']").unwrap();
        let c = raw.check(1).unwrap();
        assert_eq!((c.domains, c.sip), (vec!["a.example".to_owned()], vec!["[::1]:5060".parse().unwrap()]));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_its_line_and_what_to_write_instead() {
        for (line, expected) in [
            ("sip = ['localhost']", "`localhost` is not ADDRESS:PORT, for example"),
            ("msrp = 'x'", "`x` is not ADDRESS:PORT, for example"),
            ("driver = 'kqueue'", "`kqueue` is not one of auto, io_uring, epoll"),
            ("domain = 'a b'", "`a b` is no host name"),
            ("public_host = ''", "`` is no host name"),
            ("factory = 'a b'", "`a b` has other than letters"),
            ("moderator = ['alice']", "`alice` is not like sip:alice@example.com"),
            ("trusted_proxy = ['proxy']", "`proxy` is no IP address"),
            ("outbound_proxy = 'proxy'", "`proxy` is not like sip:proxy.example.com"),
            ("slow_participants = 'kill'", "`kill` is not one of skip, cut"),
            ("shards = 0", "0 is not from 1 to 1024"),
            ("max_message_bytes = 12", "12: less than 1024"),
            ("sip = 5060", "expected a text, or a list of texts"),
            ("shard = 1", "unknown field `shard`"),
        ] {
            let why = toml::from_str::<Raw>(&format!("md5 = true\n{line}")).unwrap_err().to_string();
            assert!(why.contains(expected) && why.contains("line 2"), "{why}");
        }
    }

    #[test]
    fn values_that_do_not_go_together_are_named_with_what_to_do() {
        let wrong = |raw: Raw| raw.check(1).unwrap_err().to_string();
        let everywhere = vec!["0.0.0.0:2855".parse().unwrap()];
        assert!(
            wrong(Raw { msrp: everywhere, ..Raw::default() }).contains("reach this server with public_host")
        );
        let same = Raw { directory: "conference".parse().ok(), ..Raw::default() };
        assert!(wrong(same).contains("`conference` is the factory"));
        let nowhere = wrong(Raw { users: Some("/nowhere/users".into()), ..Raw::default() });
        assert!(nowhere.contains("/nowhere/users"), "{nowhere}");
    }
}
