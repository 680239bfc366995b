//! A scenario: who joins where, what they say, how long. Layers in rising order: defaults, preset or file, flags.
//!
//! A file is flat TOML; a key that does not exist, a value of the wrong kind or outside its bounds ends the
//! program with the key, the line, and what is allowed. `--print-config` writes the whole scenario as a file
//! that can be read again.

pub(crate) mod keys;
pub(crate) mod presets;

use crate::score::Names;
use keys::{KEYS, Key, Value, key};
use openmsrp::wire::msrp::head::FailureReport;
use std::fmt::Write as _;
use toml::de::{DeTable, DeValue};

/// Participants of one test, at most: their number must fit the texts and the tables.
const PARTICIPANTS_MAX: u64 = 1_000_000;
/// Octets of the oracle's tables that one more stream of messages may cost.
const TABLE_ENTRIES_MAX: u64 = 100_000_000;

/// How SIP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SipTransport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection that is secured.
    Tls,
}

/// How many ways to the server there are for SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SipConnections {
    /// One for all participants, as a proxy or a gateway has.
    One,
    /// One for each, as phones have.
    Each,
}

/// Values of Failure-Report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All answers.
    Yes,
    /// Refusals only.
    Partial,
    /// None.
    No,
}

impl From<Report> for FailureReport {
    fn from(r: Report) -> Self {
        match r {
            Report::Yes => Self::Yes,
            Report::Partial => Self::Partial,
            Report::No => Self::No,
        }
    }
}

/// See the module's text; what each field means is said in [`keys::KEYS`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) server: String,
    pub(crate) domain: String,
    pub(crate) transport: SipTransport,
    pub(crate) sip_connections: SipConnections,
    pub(crate) tls_ca: String,
    pub(crate) tls_server_name: String,
    pub(crate) tls_insecure: bool,
    pub(crate) password_file: String,
    pub(crate) room_prefix: String,
    pub(crate) server_pid: Option<u32>,
    pub(crate) rooms: u32,
    pub(crate) participants: u32,
    pub(crate) publishers: u32,
    pub(crate) slow_receivers: u32,
    pub(crate) idle_rooms: u32,
    pub(crate) idle_participants: u32,
    pub(crate) visits: f64,
    pub(crate) visit_seconds: f64,
    pub(crate) join_parallel: u32,
    pub(crate) rate: f64,
    pub(crate) saturate: bool,
    pub(crate) window: u32,
    pub(crate) size: usize,
    pub(crate) private_rate: f64,
    pub(crate) typing_rate: f64,
    pub(crate) long_rate: f64,
    pub(crate) long_size: usize,
    pub(crate) failure_report: Report,
    pub(crate) warmup: f64,
    pub(crate) duration: f64,
    pub(crate) drain: f64,
    pub(crate) runs: u32,
    pub(crate) objective_ms: f64,
    pub(crate) objective_quantile: f64,
    pub(crate) search_from: f64,
    pub(crate) search_precision: f64,
    pub(crate) threads: u32,
    pub(crate) cores: Vec<usize>,
    pub(crate) sleep: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            server: String::new(),
            domain: "localhost".into(),
            transport: SipTransport::Udp,
            sip_connections: SipConnections::One,
            tls_ca: String::new(),
            tls_server_name: String::new(),
            tls_insecure: false,
            password_file: String::new(),
            room_prefix: "room".into(),
            server_pid: None,
            rooms: 10,
            participants: 10,
            publishers: 1,
            slow_receivers: 0,
            idle_rooms: 0,
            idle_participants: 10,
            visits: 0.0,
            visit_seconds: 2.0,
            join_parallel: 64,
            rate: 1.0,
            saturate: false,
            window: 8,
            size: 200,
            private_rate: 0.0,
            typing_rate: 0.0,
            long_rate: 0.0,
            long_size: 64 * 1024,
            failure_report: Report::Yes,
            warmup: 1.0,
            duration: 10.0,
            drain: 5.0,
            runs: 1,
            objective_ms: 10.0,
            objective_quantile: 0.99,
            search_from: 10.0,
            search_precision: 0.05,
            threads: 1,
            cores: Vec::new(),
            sleep: false,
        }
    }
}

/// Keys with their values, and how an error names the place of each: `line 3` or `--rooms`.
pub(crate) type Layer = Vec<(&'static Key, Value, String)>;

/// Values that are allowed, each by itself, and do not go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Contradiction {
    /// The keys that it is about.
    pub(crate) keys: Vec<&'static str>,
    /// What is wrong and what to do.
    pub(crate) why: String,
}

impl Contradiction {
    fn between(keys: &[&'static str], why: impl Into<String>) -> Self {
        Self { keys: keys.to_vec(), why: why.into() }
    }
}

impl From<Contradiction> for String {
    fn from(c: Contradiction) -> Self {
        c.why
    }
}

/// Reads a file into a layer.
///
/// # Errors
/// The first mistake: line, key, what is allowed.
pub(crate) fn read(text: &str) -> Result<Layer, String> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|e| {
        let line = e.span().map_or(1, |s| line_of(s.start));
        format!("line {line}: not TOML: {}", e.message())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut layer = Layer::new();
    for (name, value) in entries {
        let place = format!("line {}", line_of(name.span().start));
        let found = key(name.get_ref()).ok_or_else(|| format!("{place}: {}", unknown(name.get_ref())))?;
        let value = plain(value.get_ref())
            .ok_or_else(|| format!("{place}: {} must be {}", found.name, found.allowed))?;
        if !found.allowed.holds(&value) {
            let what = if value.kind() == "text" || matches!(value, Value::List(_)) {
                value.kind().to_owned() + " " + &value.to_string()
            } else {
                value.to_string()
            };
            return Err(format!("{place}: {} must be {}, not {what}", found.name, found.allowed));
        }
        layer.push((found, value, place));
    }
    Ok(layer)
}

/// What is said about a key that does not exist.
fn unknown(name: &str) -> String {
    let near = KEYS.iter().map(|k| (distance(k.name, name), k.name)).min();
    let hint = match near {
        Some((far, near)) if far <= 1 + name.len() / 3 => format!("did you mean {near}? "),
        _ => String::new(),
    };
    let all: Vec<_> = KEYS.iter().map(|k| k.name).collect();
    format!("there is no key {name}; {hint}the keys are {}", all.join(", "))
}

/// How many octets must be changed, added or taken away to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => Value::Number(whole(n)? as f64),
        DeValue::Float(n) => Value::Number(n.as_str().parse().ok()?),
        DeValue::Boolean(yes) => Value::Flag(*yes),
        DeValue::Array(list) => {
            let one = |v: &DeValue<'_>| {
                if let DeValue::Integer(n) = v { whole(n).and_then(|n| n.try_into().ok()) } else { None }
            };
            Value::List(list.iter().map(|v| one(v.get_ref())).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn whole(n: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(n.as_str(), n.radix()).ok()
}

impl Scenario {
    /// Lays `layer` over it. A rate given without `saturate` ends saturation that came from below.
    ///
    /// # Errors
    /// The layer asks for both.
    pub(crate) fn lay(&mut self, layer: Layer) -> Result<(), String> {
        let place_of =
            |name: &str| layer.iter().find(|(k, ..)| k.name == name).map(|(_, v, p)| (v.clone(), p.clone()));
        match (place_of("rate"), place_of("saturate")) {
            (Some((_, rate)), Some((Value::Flag(true), saturate))) => {
                return Err(format!(
                    "{rate} and {saturate}: rate and saturate = true exclude each other: an open loop, or as much as the \
                     server takes"
                ));
            }
            (Some(_), None) => self.saturate = false,
            _ => {}
        }
        for (key, value, _) in layer {
            (key.set)(self, value);
        }
        Ok(())
    }

    /// The whole scenario as a file, each key with what it says.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for key in KEYS {
            if key.group != group {
                let _ =
                    writeln!(text, "{}# ---- {} ----", if group.is_empty() { "" } else { "\n" }, key.group);
                group = key.group;
            }
            // With `saturate`, a rate would contradict it.
            let hidden = key.name == "rate" && self.saturate;
            match (key.get)(self).filter(|_| !hidden) {
                Some(value) => {
                    let _ = writeln!(text, "# {}: {}\n{} = {value}", key.help, key.allowed, key.name);
                }
                None => {
                    let _ = writeln!(text, "# {}: {}\n# {} =", key.help, key.allowed, key.name);
                }
            }
        }
        text
    }

    /// The keys that are set, as JSON: for reports and workers.
    pub(crate) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let value = |v| match v {
            Value::Text(text) => text.into(),
            Value::Number(n) if n.fract() == 0.0 => (n as u64).into(),
            Value::Number(n) => n.into(),
            Value::Flag(yes) => yes.into(),
            Value::List(list) => list.into(),
        };
        KEYS.iter().filter_map(|k| Some((k.name.into(), value((k.get)(self)?)))).collect()
    }

    /// Participants of the rooms in which something is said.
    pub(crate) fn active(&self) -> u64 {
        u64::from(self.rooms) * u64::from(self.participants)
    }

    /// Participants of all rooms, visitors aside.
    pub(crate) fn total(&self) -> u64 {
        self.active() + u64::from(self.idle_rooms) * u64::from(self.idle_participants)
    }

    /// Visitors that are in at once if each comes in within ten seconds.
    pub(crate) fn visitors_at_once(&self) -> u64 {
        (self.visits * (self.visit_seconds + 10.0)).ceil() as u64
    }

    /// How everybody is called.
    pub(crate) fn names(&self) -> Names {
        Names { room_prefix: self.room_prefix.clone(), domain: self.domain.clone(), ..Names::default() }
    }

    /// Participants of a room whose copies are judged: those that read.
    pub(crate) fn readers(&self) -> u32 {
        self.participants - self.slow_receivers
    }

    /// Threads, and the core of each if it has one.
    pub(crate) fn thread_cores(&self) -> Vec<Option<usize>> {
        let mut cores: Vec<_> = if self.cores.is_empty() {
            vec![None; self.threads as usize]
        } else {
            self.cores.iter().copied().map(Some).collect()
        };
        // A thread without rooms would only poll.
        cores.truncate(self.rooms as usize);
        cores
    }

    fn rates(&self) -> [f64; 4] {
        [self.rate, self.private_rate, self.typing_rate, self.long_rate]
    }

    /// Whether at least one message is due in the measured time at `rate` messages per room and second.
    pub(crate) fn sends(&self, rate: f64) -> bool {
        rate * f64::from(self.rooms) * self.duration >= 1.0
    }

    /// What a single key cannot tell.
    ///
    /// # Errors
    /// The first contradiction, with what to do.
    pub(crate) fn check(&self) -> Result<(), Contradiction> {
        if self.server.is_empty() {
            return Err(Contradiction::between(
                &[],
                "server is missing: the SIP address of the server, as in --server 127.0.0.1:5060",
            ));
        }
        self.check_tls()?;
        if self.total() > PARTICIPANTS_MAX {
            return Err(Contradiction::between(
                &["rooms", "participants", "idle_rooms", "idle_participants"],
                format!("{} participants are too many: at most {PARTICIPANTS_MAX}", self.total()),
            ));
        }
        let speaks = self.saturate || self.rates().iter().any(|r| *r > 0.0);
        if speaks && self.publishers == 0 {
            return Err(Contradiction::between(
                &["publishers", "rate", "saturate", "private_rate", "typing_rate", "long_rate"],
                "publishers = 0 leaves nobody to send; set rate = 0 (and the other rates) too, or publishers",
            ));
        }
        if self.publishers + self.slow_receivers >= self.participants {
            return Err(Contradiction::between(
                &["participants", "publishers", "slow_receivers"],
                format!(
                    "publishers = {} and slow_receivers = {} leave nobody to listen in a room of {}: at least one \
                     participant must read and not send, the others' order is compared with what it sees",
                    self.publishers, self.slow_receivers, self.participants
                ),
            ));
        }
        if self.private_rate > 0.0 && self.readers() < 3 {
            return Err(Contradiction::between(
                &["private_rate", "participants", "slow_receivers"],
                "private_rate needs three participants of a room that read: one who must not see it",
            ));
        }
        if self.active() * u64::from(self.publishers) > TABLE_ENTRIES_MAX {
            return Err(Contradiction::between(
                &["publishers", "participants", "rooms"],
                "too many publishers: every receiver keeps count of each, publishers × participants × rooms must \
                 stay below 100,000,000",
            ));
        }
        Ok(())
    }
}

impl Scenario {
    /// Where somebody is to speak, something must be said in the measured time, unless it is about visitors.
    ///
    /// # Errors
    /// Nothing would be.
    pub(crate) fn check_run(&self) -> Result<(), Contradiction> {
        let rates = self.rates();
        let in_vain = rates.iter().any(|rate| *rate > 0.0) && !rates.iter().any(|rate| self.sends(*rate));
        if in_vain && !self.saturate && self.visits == 0.0 {
            return Err(Contradiction::between(
                &["rate", "private_rate", "typing_rate", "long_rate", "rooms", "duration"],
                format!("nothing would be sent in {} s: raise a rate, or duration", self.duration),
            ));
        }
        Ok(())
    }

    /// A search asks for rates of its own, whatever the scenario says of them, but somebody must speak.
    ///
    /// # Errors
    /// Nobody does.
    pub(crate) fn check_search(&self) -> Result<(), Contradiction> {
        if self.publishers == 0 {
            return Err(Contradiction::between(
                &["publishers"],
                "publishers = 0 leaves nobody to speak, and a search looks for how often they may",
            ));
        }
        if !self.sends(self.search_from) {
            return Err(Contradiction::between(
                &["search_from", "rooms", "duration"],
                format!(
                    "nothing would be sent in {} s at search_from = {} messages per room and second: raise one of them",
                    self.duration, self.search_from
                ),
            ));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), Contradiction> {
        let given = [
            ("tls_ca", !self.tls_ca.is_empty()),
            ("tls_server_name", !self.tls_server_name.is_empty()),
            ("tls_insecure", self.tls_insecure),
        ];
        let first = given.iter().find(|(_, given)| *given).map(|(name, _)| name);
        if let Some(name) = first.filter(|_| self.transport != SipTransport::Tls) {
            return Err(Contradiction::between(
                &[name, "transport"],
                format!("{name} says something about TLS, which only transport = \"tls\" uses"),
            ));
        }
        if self.tls_insecure && !self.tls_ca.is_empty() {
            return Err(Contradiction::between(
                &["tls_ca", "tls_insecure"],
                "tls_ca and tls_insecure = true exclude each other: check certificates, or take any",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::TEXT_BYTES_MIN;

    fn scenario(text: &str) -> Result<Scenario, String> {
        let mut s = Scenario { server: "h:1".into(), ..Scenario::default() };
        s.lay(read(text)?)?;
        s.check()?;
        Ok(s)
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let s =
            scenario("# mine\nrooms = 2\nrate = 0.5\ncores = [1, 0]\ntransport = \"tcp\"\nsize = 0x100\n")
                .unwrap();
        let expected = Scenario {
            server: "h:1".into(),
            rooms: 2,
            rate: 0.5,
            cores: vec![1, 0],
            transport: SipTransport::Tcp,
            size: 256,
            ..Scenario::default()
        };
        assert_eq!(s, expected);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_its_key_and_what_is_allowed() {
        let cases = [
            ("rooms = 1\nroms = 2", "line 2: there is no key roms; did you mean rooms?"),
            ("\n\nrooms = 0", "line 3: rooms must be a whole number from 1 to 1000000, not 0"),
            ("rooms = 1.5", "line 1: rooms must be a whole number from 1 to 1000000, not 1.5"),
            ("rooms = \"two\"", "line 1: rooms must be a whole number from 1 to 1000000, not text \"two\""),
            (
                "transport = \"ws\"",
                "line 1: transport must be one of \"udp\", \"tcp\", \"tls\", not text \"ws\"",
            ),
            ("saturate = 1", "line 1: saturate must be true or false, not 1"),
            ("rate = nan", "line 1: rate must be a number from 0 to 10000000, not NaN"),
            ("cores = [\"a\"]", "line 1: cores must be a list of whole numbers up to 1023"),
            ("rate = { x = 1 }", "line 1: rate must be a number from 0 to 10000000"),
            ("rooms = 1\nrooms = 2", "line 2: not TOML: duplicate key"),
            ("rate = 1\nsaturate = true", "line 1 and line 2: rate and saturate"),
            ("size = 10", &format!("line 1: size must be a whole number from {TEXT_BYTES_MIN} to ")),
        ];
        for (text, why) in cases {
            let found = scenario(text).unwrap_err();
            assert!(found.starts_with(why), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_rate_from_above_ends_saturation_from_below() {
        let mut s = scenario("saturate = true").unwrap();
        s.lay(read("rate = 3").unwrap()).unwrap();
        assert_eq!((s.rate, s.saturate), (3.0, false));
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_scenario() {
        let s = scenario("rooms = 7\nsaturate = true\ncores = [1]\nserver_pid = 9\nroom_prefix = \"a\\\"b\"")
            .unwrap();
        let mut again = Scenario::default();
        again.lay(read(&s.print()).unwrap()).unwrap();
        assert_eq!(again, s);
    }

    #[test]
    fn someone_must_listen_and_somebody_must_send() {
        assert!(scenario("participants = 3\npublishers = 2").is_ok());
        assert!(scenario("participants = 3\npublishers = 3").unwrap_err().contains("listen"));
        assert!(scenario("participants = 3\nslow_receivers = 2").unwrap_err().contains("listen"));
        assert!(scenario("publishers = 0").unwrap_err().contains("nobody to send"));
        assert!(scenario("publishers = 0\nrate = 0").is_ok());
        assert!(scenario("participants = 2\nprivate_rate = 1").unwrap_err().contains("three"));
    }

    #[test]
    fn at_least_one_message_must_be_due_in_the_measured_time() {
        let run = |text: &str| scenario(&format!("duration = 0.5\n{text}")).unwrap().check_run();
        assert!(run("rooms = 1\nrate = 1").unwrap_err().why.contains("nothing would be sent in 0.5 s"));
        for fine in [
            "rooms = 2\nrate = 1",
            "rooms = 1\nsaturate = true",
            "rooms = 1\nvisits = 9",
            "rooms = 1\nrate = 0",
        ] {
            assert!(run(fine).is_ok(), "{fine}");
        }
        let search = |from: u32| {
            scenario(&format!("duration = 0.5\nrooms = 1\nsearch_from = {from}")).unwrap().check_search()
        };
        assert!(search(1).unwrap_err().why.contains("search_from = 1 "));
        assert!(search(2).is_ok());
    }

    #[test]
    fn keys_of_tls_are_for_tls_and_do_not_contradict_each_other() {
        assert!(
            scenario("transport = \"tls\"\ntls_ca = \"ca.pem\"\ntls_server_name = \"a.example\"").is_ok()
        );
        assert!(scenario("tls_insecure = true").unwrap_err().starts_with("tls_insecure"));
        assert!(scenario("transport = \"tcp\"\ntls_ca = \"x\"").unwrap_err().starts_with("tls_ca"));
        let both = "transport = \"tls\"\ntls_ca = \"x\"\ntls_insecure = true";
        assert!(scenario(both).unwrap_err().contains("exclude each other"));
    }

    #[test]
    fn no_more_threads_than_rooms() {
        assert_eq!(scenario("rooms = 2\ncores = [1, 2, 3]").unwrap().thread_cores(), [Some(1), Some(2)]);
    }

    #[test]
    fn every_key_takes_its_own_value_back() {
        for key in KEYS {
            let mut s = Scenario::default();
            let Some(value) = (key.get)(&s) else { continue };
            assert!(key.allowed.holds(&value), "the default of {} is not allowed", key.name);
            (key.set)(&mut s, value);
            assert_eq!(s, Scenario::default(), "{}", key.name);
        }
    }
}
