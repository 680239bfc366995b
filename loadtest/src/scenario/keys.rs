//! Every key of a scenario, once: its name, what it may be, what it says. Files, flags, `--print-config`, help and
//! error messages all come from this table.

use super::{Report, Scenario, SipConnections, SipTransport};
use crate::stamp::{TEXT_BYTES_MAX, TEXT_BYTES_MIN};
use std::fmt;

/// A value as it stands in a file or behind a flag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A number, whole or not.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// Several whole numbers.
    List(Vec<u64>),
}

impl Value {
    /// What kind it is, for error messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
        }
    }
}

impl fmt::Display for Value {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Number(n) => write!(f, "{n}"),
            Self::Flag(yes) => write!(f, "{yes}"),
            Self::List(list) => write!(f, "{list:?}"),
        }
    }
}

/// What a key may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Allowed {
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// A number within these bounds.
    Number(f64, f64),
    /// Yes or no.
    Flag,
    /// Whole numbers, each at most this.
    List(u64),
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => write!(f, "text in quotes"),
            Self::Word(words) => {
                let quoted: Vec<_> = words.iter().map(|w| format!("\"{w}\"")).collect();
                write!(f, "one of {}", quoted.join(", "))
            }
            Self::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Number(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Flag => write!(f, "true or false"),
            Self::List(high) => write!(f, "a list of whole numbers up to {high}"),
        }
    }
}

impl Allowed {
    /// Whether `value` is one of those that are allowed.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::Text(text)) => !text.is_empty(),
            (Self::Word(words), Value::Text(text)) => words.contains(&text.as_str()),
            (Self::Whole(low, high), Value::Number(n)) => {
                n.fract() == 0.0 && (*low as f64..=*high as f64).contains(n)
            }
            (Self::Number(low, high), Value::Number(n)) => (*low..=*high).contains(n),
            (Self::Flag, Value::Flag(_)) => true,
            (Self::List(high), Value::List(list)) => list.iter().all(|n| n <= high),
            _ => false,
        }
    }

    /// The value that a flag's text means.
    pub(crate) fn read(&self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Text | Self::Word(_) => Value::Text(text.into()),
            Self::Whole(..) | Self::Number(..) => Value::Number(text.parse().ok()?),
            Self::Flag => Value::Flag(text.parse().ok()?),
            Self::List(_) => {
                Value::List(text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?)
            }
        };
        self.holds(&value).then_some(value)
    }
}

/// One key.
pub(crate) struct Key {
    /// As in a file; a flag has hyphens instead of underscores.
    pub(crate) name: &'static str,
    /// The group it is shown in.
    pub(crate) group: &'static str,
    /// What it says, with its unit.
    pub(crate) help: &'static str,
    /// What it may be.
    pub(crate) allowed: Allowed,
    /// Its value in a scenario; `None`: not set, and nothing stands for it.
    pub(crate) get: fn(&Scenario) -> Option<Value>,
    /// Sets it to a value that is allowed.
    pub(crate) set: fn(&mut Scenario, Value),
}

impl Key {
    /// Its flag, without the two hyphens.
    pub(crate) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// A field of [`Scenario`] as a value and back. `set` is given allowed values only.
trait Field {
    fn get(&self) -> Option<Value>;
    fn set(&mut self, value: Value);
}

macro_rules! number_field {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn get(&self) -> Option<Value> {
                Some(Value::Number(*self as f64))
            }
            fn set(&mut self, value: Value) {
                if let Value::Number(n) = value {
                    *self = n as Self;
                }
            }
        }
        impl Field for Option<$type> {
            fn get(&self) -> Option<Value> {
                self.map(|n| Value::Number(n as f64))
            }
            fn set(&mut self, value: Value) {
                if let Value::Number(n) = value {
                    *self = Some(n as $type);
                }
            }
        }
    )*};
}
number_field!(u32, usize, f64);

impl Field for String {
    fn get(&self) -> Option<Value> {
        (!self.is_empty()).then(|| Value::Text(self.clone()))
    }
    fn set(&mut self, value: Value) {
        if let Value::Text(text) = value {
            *self = text;
        }
    }
}

impl Field for bool {
    fn get(&self) -> Option<Value> {
        Some(Value::Flag(*self))
    }
    fn set(&mut self, value: Value) {
        if let Value::Flag(yes) = value {
            *self = yes;
        }
    }
}

impl Field for Vec<usize> {
    fn get(&self) -> Option<Value> {
        (!self.is_empty()).then(|| Value::List(self.iter().map(|n| *n as u64).collect()))
    }
    fn set(&mut self, value: Value) {
        if let Value::List(list) = value {
            *self = list.into_iter().map(|n| n as usize).collect();
        }
    }
}

impl Field for SipTransport {
    fn get(&self) -> Option<Value> {
        let word = match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        };
        Some(Value::Text(word.into()))
    }
    fn set(&mut self, value: Value) {
        let Value::Text(text) = value else { return };
        *self = match text.as_str() {
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            _ => Self::Udp,
        };
    }
}

impl Field for SipConnections {
    fn get(&self) -> Option<Value> {
        Some(Value::Text(if *self == Self::One { "one" } else { "each" }.into()))
    }
    fn set(&mut self, value: Value) {
        *self = if value == Value::Text("each".into()) { Self::Each } else { Self::One };
    }
}

impl Field for Report {
    fn get(&self) -> Option<Value> {
        let word = match self {
            Self::Yes => "yes",
            Self::Partial => "partial",
            Self::No => "no",
        };
        Some(Value::Text(word.into()))
    }
    fn set(&mut self, value: Value) {
        let Value::Text(text) = value else { return };
        *self = match text.as_str() {
            "no" => Self::No,
            "partial" => Self::Partial,
            _ => Self::Yes,
        };
    }
}

macro_rules! keys {
    ($($group:literal { $($field:ident: $allowed:expr, $help:literal;)* })*) => {
        /// All keys, in the order in which they are shown.
        pub(crate) const KEYS: &[Key] = &[$($(Key {
            name: stringify!($field),
            group: $group,
            help: $help,
            allowed: $allowed,
            get: |s| Field::get(&s.$field),
            set: |s, v| Field::set(&mut s.$field, v),
        },)*)*];
    };
}

use Allowed::{Flag, List, Number, Text, Whole, Word};

/// The longest time that can be asked for, in seconds: a day.
const DAY: f64 = 86_400.0;
/// The most messages or visits a second that can be asked for.
pub(crate) const RATE_MAX: f64 = 1e7;

keys! {
    "server" {
        server: Text, "SIP address of the server, as HOST:PORT";
        domain: Text, "Domain of the rooms: room N is sip:roomN@DOMAIN";
        transport: Word(&["udp", "tcp", "tls"]), "How the INVITEs travel";
        sip_connections: Word(&["one", "each"]), "For SIP: one socket or connection for everybody, or each participant has its own, made when it joins";
        tls_ca: Text, "With tls: file of the certificates (PEM) that the server's must go back to, on every worker; otherwise those the machine trusts";
        tls_server_name: Text, "With tls: the name that the server's certificate must be for; otherwise the host of `server`";
        tls_insecure: Flag, "With tls: take any certificate";
        password_file: Text, "File with a line USER:PASSWORD for each participant, *:PASSWORD for all others; on every worker";
        room_prefix: Text, "What the user part of a room's address begins with";
        server_pid: Whole(1, 4_194_304), "Process of the server on this machine: its CPU time and memory are measured";
    }
    "who is there" {
        rooms: Whole(1, 1_000_000), "Number of rooms";
        participants: Whole(2, 1_000_000), "Participants of each room";
        publishers: Whole(0, 60_000), "Participants of each room that send; the others only listen";
        slow_receivers: Whole(0, 1_000_000), "Of the participants of each room, how many stop reading when the load begins";
        idle_rooms: Whole(0, 1_000_000), "Further rooms in which nobody says a word";
        idle_participants: Whole(1, 1_000_000), "Participants of each of these";
        visits: Number(0.0, RATE_MAX), "Open loop: joins per second of visitors, over all rooms, while the load runs";
        visit_seconds: Number(0.01, DAY), "Seconds that a visitor stays before it hangs up";
        join_parallel: Whole(1, 4096), "Participants joining at the same time, before the load";
    }
    "what is said" {
        rate: Number(0.0, RATE_MAX), "Open loop: messages per room and second";
        saturate: Flag, "As much as the server takes, instead of a rate";
        window: Whole(1, 4096), "At saturation: messages of a publisher that not everyone has yet";
        size: Whole(TEXT_BYTES_MIN as u64, TEXT_BYTES_MAX as u64), "Octets of each text";
        private_rate: Number(0.0, RATE_MAX), "Open loop: private messages per room and second, of the same size";
        typing_rate: Number(0.0, RATE_MAX), "Open loop: typing notices (RFC 3994) per room and second";
        long_rate: Number(0.0, RATE_MAX), "Open loop: long messages per room and second";
        long_size: Whole(TEXT_BYTES_MIN as u64, TEXT_BYTES_MAX as u64), "Octets of each long message";
        failure_report: Word(&["yes", "partial", "no"]), "Which answers the publishers ask for";
    }
    "how long" {
        warmup: Number(0.0, DAY), "Seconds of the same load before those that are measured";
        duration: Number(0.1, DAY), "Seconds that are measured";
        drain: Number(0.0, DAY), "Seconds in which the last copies may come";
        runs: Whole(1, 100), "How often the load is run, on the same connections; five and more tell noise from change";
    }
    "search" {
        objective_ms: Number(0.001, 1e6), "Latency objective of `search`: the quantile below must not exceed it";
        objective_quantile: Number(0.5, 0.9999), "The quantile that the objective is about";
        search_from: Number(1e-6, RATE_MAX), "The first rate that is tried, messages per room and second";
        search_precision: Number(0.005, 0.5), "When to stop: the bracket is narrower than this share";
    }
    "harness" {
        threads: Whole(1, 256), "Threads of the harness; rooms are spread over them";
        cores: List(1023), "Cores of the harness, one thread is pinned to each (instead of threads)";
        sleep: Flag, "Sleep instead of polling (for machines with fewer cores than threads)";
    }
}

/// The key of this name.
pub(crate) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}
