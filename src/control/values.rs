//! Values of the configuration, a type each: what is wrong with one is said where it is read, which is a line of the
//! file or a flag.
//!
//! Touches: nothing. Bounds: those of `limits` that the errors name. Proved by: the tests of `config` and `rooms`.

use super::config::DriverChoice;
use crate::base::address::Address;
use crate::base::limits::{
    MESSAGE_BYTES_MAX, ROOM_PASSWORD_BYTES_MAX, ROOM_SUBJECT_BYTES_MAX, ROOM_TERM_MAX, SHARDS_MAX,
};
use crate::base::rights::{Creators, Role};
use crate::focus::signalling::SipUri;
use crate::room::ban::Whom;
use crate::room::policy::Password;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// Makes a type of one value that is read from a text by `$read`, which says what is wrong with it.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident($of:ty), $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $of);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let read: fn(&str) -> Result<$of, String> = $read;
                read(text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// The same of a whole number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($of:ty), $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub $of);

        impl $name {
            fn read(n: u64) -> Result<Self, String> {
                let read: fn(u64) -> Result<$of, String> = $read;
                read(n).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::read(text.parse().map_err(|_| format!("`{text}` is no whole number"))?)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::read(u64::deserialize(from)?).map_err(D::Error::custom)
            }
        }
    };
}

text!(
    /// A name or an address of a machine.
    Host(String),
    |text| if is_host(text) { Ok(text.into()) } else { Err(format!("`{text}` is no host name or address")) }
);

text!(
    /// Where to listen.
    At(SocketAddr),
    |text| {
        let why = |_| format!("`{text}` is not ADDRESS:PORT, for example 192.0.2.7:5060 or [::1]:5060");
        text.parse().map_err(why)
    }
);

text!(
    /// An address of a machine.
    Ip(IpAddr),
    |text| text.parse().map_err(|_| format!("`{text}` is no IP address"))
);

text!(
    /// A user of our domains that is no room; empty for none.
    User(String),
    |text| {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        if fits { Ok(text.into()) } else { Err(format!("`{text}` has other than letters, digits and any of -_.+")) }
    }
);

text!(
    /// The URI of a proxy. It is a loose router, whether the URI says so or not (RFC 3261 §19.1.1).
    Proxy(String),
    |text| {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\",?".contains(&b));
        let sip = plain && text.to_ascii_lowercase().starts_with("sip:");
        match SipUri::parse(text).filter(|_| sip) {
            Some(uri) if uri.param("lr").is_some() => Ok(text.into()),
            Some(_) => Ok(format!("{text};lr")),
            None => {
                Err(format!("`{text}` is not like sip:proxy.example.com or sip:192.0.2.1:5060;transport=tcp"))
            }
        }
    }
);

text!(
    /// How shards wait.
    Waiting(DriverChoice),
    |text| match text {
        "auto" => Ok(DriverChoice::Auto),
        "io_uring" => Ok(DriverChoice::IoUring),
        "epoll" => Ok(DriverChoice::Epoll),
        _ => Err(format!("`{text}` is not one of auto, io_uring, epoll")),
    }
);

text!(
    /// Somebody's address.
    Uri(Address),
    |text| Address::parse(text).map_err(|_| format!("`{text}` is not like sip:alice@example.com"))
);

text!(
    /// Whom a room keeps out.
    Kept(Whom),
    |text| {
        Whom::parse(text).ok_or_else(|| {
            format!("`{text}` is none of sip:bob@example.com, @example.com, 192.0.2.7 and 192.0.2.0/24")
        })
    }
);

text!(
    /// What a room is about.
    Subject(String),
    |text| {
        let fits = text.len() <= ROOM_SUBJECT_BYTES_MAX && !text.chars().any(char::is_control);
        if fits { Ok(text.into()) } else { Err(format!("a subject is one line of at most {ROOM_SUBJECT_BYTES_MAX} octets")) }
    }
);

text!(
    /// A room's password.
    Secret(Password),
    |text| {
        Password::new(text).ok_or_else(|| {
            format!("a password has 1 to {ROOM_PASSWORD_BYTES_MAX} octets; for none, leave the key out")
        })
    }
);

text!(
    /// The lowest role that may do something.
    Least(Role),
    |text| {
        let role = Role::parse(text).filter(|r| *r > Role::Outsider);
        role.ok_or_else(|| format!("`{text}` is not one of visitor, participant, moderator, owner"))
    }
);

text!(
    /// The role of whoever makes a room.
    Made(Role),
    |text| {
        let role = Role::parse(text).filter(|r| *r >= Role::Participant);
        role.ok_or_else(|| format!("`{text}` is not one of participant, moderator, owner"))
    }
);

text!(
    /// Who may make rooms.
    Makers(Creators),
    |text| {
        Ok(match text {
            "everybody" => Creators::Everybody,
            "users" => Creators::Users,
            "moderators" => Creators::Moderators,
            "nobody" => Creators::Nobody,
            _ => return Err(format!("`{text}` is not one of everybody, users, moderators, nobody")),
        })
    }
);

text!(
    /// What becomes of participants whose connection is too slow.
    Slow(bool),
    |text| match text {
        "skip" => Ok(false),
        "cut" => Ok(true),
        _ => Err(format!("`{text}` is not one of skip, cut")),
    }
);

text!(
    /// A media type that a room takes.
    MediaType(String),
    |text| {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_graphic() && !b"/;,\"".contains(&b));
        let fits = text.split_once('/').is_some_and(|(kind, sub)| word(kind) && word(sub));
        if fits { Ok(text.into()) } else { Err(format!("`{text}` is not like text/plain or image/*")) }
    }
);

number!(
    /// How many shards there are.
    Shards(u16),
    |n| match u16::try_from(n) {
        Ok(shards @ 1..=SHARDS_MAX) => Ok(shards),
        _ => Err(format!("{n} is not from 1 to {SHARDS_MAX}")),
    }
);

number!(
    /// The largest message.
    Octets(u64),
    |n| {
        let why = || format!("{n}: less than 1024 leaves no room for a text; usual is {MESSAGE_BYTES_MAX}");
        if n >= 1024 { Ok(n) } else { Err(why()) }
    }
);

number!(
    /// A length of time.
    Seconds(Duration),
    |n| {
        let time = Duration::from_secs(n);
        if time <= ROOM_TERM_MAX { Ok(time) } else { Err(format!("{n} s is too long")) }
    }
);

/// So many of something, at least one and at most `MAX`.
#[derive(Clone, Debug)]
pub struct Count<const MAX: usize>(pub usize);

impl<'de, const MAX: usize> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let n = usize::deserialize(from)?;
        let fits = (1..=MAX).contains(&n);
        if fits { Ok(Self(n)) } else { Err(D::Error::custom(format!("{n} is not from 1 to {MAX}"))) }
    }
}

/// Reads one value or a list of them.
///
/// # Errors
/// What is wrong with the first that cannot be used.
pub fn one_or_more<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err = String>,
{
    struct OneOrMore<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de> + FromStr<Err = String>> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or a list of texts")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            text.parse().map(|one| vec![one]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }
    from.deserialize_any(OneOrMore(PhantomData))
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text.split('.').all(|l| !l.is_empty() && l.len() <= 63)
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_'))
}
