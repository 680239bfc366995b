//! What a run found, for people and as JSON.
//!
//! The names of the JSON's fields are a promise to scripts: they may grow in number, not change.

use crate::cpu::CpuTime;
use crate::engine::Outcome;
use crate::oracle::Findings;
use crate::pace::{Interval, Meter};
use crate::score::Troubles;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// From this share of its time on, the harness may have set the pace.
const BUSY_SHARE_MAX: f64 = 0.9;
/// Below this share of its cores, a polling harness was not alone on them.
const ALONE_SHARE_MIN: f64 = 0.9;
/// Below this, being late is noise of the machine.
const LAG_US_MIN: f64 = 1_000.0;

/// Quantiles in microseconds.
#[derive(Serialize, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    fn of(h: &Histogram<u64>) -> Self {
        let us = |q| h.value_at_quantile(q) as f64 / 1e3;
        Self { p50: us(0.5), p90: us(0.9), p99: us(0.99), p999: us(0.999), max: h.max() as f64 / 1e3 }
    }
}

/// What the joining took.
#[derive(Serialize, Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub(crate) participants: u64,
    pub(crate) seconds: f64,
    pub(crate) per_s: f64,
}

/// CPU time over the measured interval.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) server: Option<CpuTime>,
    pub(crate) harness: CpuTime,
    /// How long it was really taken over.
    pub(crate) seconds: f64,
}

impl Sampled {
    /// CPU time as a number of cores in full use.
    pub(crate) fn cores(&self, cpu: CpuTime) -> f64 {
        cpu.total() as f64 / 1e6 / self.seconds.max(1e-9)
    }
}

/// What the kernel says of both processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processes {
    pub(crate) sampled: Sampled,
    /// The server's resident memory with everybody in, and before.
    pub(crate) memory: Option<(u64, u64)>,
}

/// What was asked for.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) rooms: u32,
    pub(crate) participants: u32,
    pub(crate) publishers: u32,
    pub(crate) size: usize,
    /// Messages per room and second, or `null` at saturation.
    pub(crate) rate: Option<f64>,
    /// Messages of a publisher under way, or `null` with a rate.
    pub(crate) window: Option<u32>,
    pub(crate) seconds: f64,
    /// Whether the harness polls instead of sleeping.
    pub(crate) polling: bool,
}

/// The result of `fanout`.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    asked: Asked,
    joined: Joined,
    /// Copies within the measured interval.
    deliveries: u64,
    deliveries_per_s: f64,
    /// Copies of the whole run, warm-up and rest included: these were judged.
    deliveries_judged: u64,
    messages: u64,
    lost: u64,
    duplicates: u64,
    out_of_order: u64,
    bad: u64,
    refused: u64,
    connections_lost: u64,
    /// Messages the harness could not hand over: their connection was gone or clogged.
    not_sent: u64,
    /// Requests of publishers that were not answered although they asked for it.
    unanswered: u64,
    order_unchecked: u64,
    first_fault: Option<String>,
    latency_us: Quantiles,
    copies_per_read: f64,
    /// How late messages were handed to the socket; `null` at saturation, where none is due.
    harness_lag_p99_us: Option<f64>,
    harness_busy: f64,
    /// CPU time the harness got; a polling thread that is alone on its core gets all of it.
    harness_cpu_cores: f64,
    harness_is_bottleneck: bool,
    /// Other programs took the polling harness's cores: latencies are theirs too.
    harness_disturbed: bool,
    server_cpu_us_per_delivery: Option<f64>,
    server_cpu_user_us_per_delivery: Option<f64>,
    server_cpu_system_us_per_delivery: Option<f64>,
    server_cpu_cores: Option<f64>,
    server_rss_per_connection: Option<f64>,
    ok: bool,
}

impl Report {
    /// Adds up what the threads found over `interval`.
    pub(crate) fn new(
        asked: Asked,
        joined: Joined,
        interval: Interval,
        outcomes: &[Outcome],
        processes: &Processes,
    ) -> Self {
        let mut meter = Meter::new(interval);
        outcomes.iter().for_each(|o| meter.add(&o.meter));
        let found = |f: fn(&Findings) -> u64| outcomes.iter().map(|o| f(&o.findings)).sum::<u64>();
        let trouble = |f: fn(&Troubles) -> u64| outcomes.iter().map(|o| f(&o.troubles)).sum::<u64>();
        let sum = |f: fn(&Outcome) -> u64| outcomes.iter().map(f).sum::<u64>();
        let seconds = asked.seconds;
        let idle = sum(|o| o.idle_ns) as f64 / 1e9 / seconds / outcomes.len().max(1) as f64;
        let busy = (1.0 - idle).clamp(0.0, 1.0);
        let latency_us = Quantiles::of(&meter.latency);
        let lag = asked.rate.map(|_| meter.lag.value_at_quantile(0.99) as f64 / 1e3);
        let late = lag.is_some_and(|l| l > LAG_US_MIN && l > latency_us.p99 / 4.0);
        let copies = meter.arrived.max(1) as f64;
        // Copies are counted over the planned interval, CPU time over the one really sampled.
        let sampled = processes.sampled;
        let alone = sampled.cores(sampled.harness) >= ALONE_SHARE_MIN * outcomes.len() as f64;
        let disturbed = asked.polling && !alone;
        let scale = if sampled.seconds > 0.0 { seconds / sampled.seconds } else { 1.0 };
        let per_delivery = |us: u64| us as f64 * scale / copies;
        let mut report = Self {
            asked,
            joined,
            deliveries: meter.arrived,
            deliveries_per_s: meter.arrived as f64 / seconds,
            deliveries_judged: found(|f| f.delivered),
            messages: sum(|o| o.sent),
            lost: sum(|o| o.lost),
            duplicates: found(|f| f.duplicates),
            out_of_order: found(|f| f.out_of_order),
            bad: trouble(|t| t.bad) + found(|f| f.strays),
            refused: trouble(|t| t.refused),
            connections_lost: trouble(|t| t.closed),
            not_sent: sum(|o| o.not_sent),
            unanswered: sum(|o| o.unanswered),
            order_unchecked: found(|f| f.order_unchecked),
            first_fault: outcomes.iter().find_map(|o| o.first_fault.clone()),
            latency_us,
            copies_per_read: meter.arrived as f64 / sum(|o| o.reads).max(1) as f64,
            harness_lag_p99_us: lag,
            harness_busy: busy,
            harness_cpu_cores: sampled.cores(sampled.harness),
            harness_disturbed: disturbed,
            harness_is_bottleneck: busy > BUSY_SHARE_MAX || late,
            server_cpu_us_per_delivery: sampled.server.map(|c| per_delivery(c.total())),
            server_cpu_user_us_per_delivery: sampled.server.map(|c| per_delivery(c.user)),
            server_cpu_system_us_per_delivery: sampled.server.map(|c| per_delivery(c.system)),
            server_cpu_cores: sampled.server.map(|c| sampled.cores(c)),
            server_rss_per_connection: processes
                .memory
                .map(|(after, before)| (after as f64 - before as f64) / joined.participants.max(1) as f64),
            ok: false,
        };
        report.ok = report.wrong() == 0 && report.deliveries_judged > 0;
        report
    }

    /// Whether everything came once, whole and in order.
    pub(crate) fn ok(&self) -> bool {
        self.ok
    }

    fn wrong(&self) -> u64 {
        self.lost
            + self.duplicates
            + self.out_of_order
            + self.bad
            + self.refused
            + self.connections_lost
            + self.not_sent
            + self.unanswered
    }

    /// The table for people.
    pub(crate) fn text(&self) -> String {
        let mut t = String::new();
        let mut row = |name: &str, value: String| t.push_str(&format!("{name:<11} {value}\n"));
        let (a, l) = (&self.asked, &self.latency_us);
        let load = match (a.rate, a.window) {
            (Some(rate), _) => format!("{rate} messages/s in each room"),
            (_, Some(window)) => format!("saturated, {window} messages of each publisher under way"),
            _ => String::new(),
        };
        row(
            "test",
            format!(
                "{} rooms x {} participants, {} publishing, {} octets, {load}, {} s",
                thousands(a.rooms.into()),
                a.participants,
                a.publishers,
                a.size,
                a.seconds
            ),
        );
        row("joined", joined_text(&self.joined));
        row(
            "deliveries",
            format!("{} ({}/s)", thousands(self.deliveries), thousands(self.deliveries_per_s as u64)),
        );
        row(
            "latency",
            format!(
                "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
                time(l.p50),
                time(l.p90),
                time(l.p99),
                time(l.p999),
                time(l.max)
            ),
        );
        row("wrong", self.wrong_text());
        if let Some(fault) = &self.first_fault {
            row("first fault", fault.clone());
        }
        if let Some(text) = self.server_text() {
            row("server", text);
        }
        row("harness", self.harness_text());
        row("verdict", if self.ok { "ok".into() } else { self.failure_text().into() });
        t
    }

    fn failure_text(&self) -> &'static str {
        if self.deliveries_judged == 0 { "FAILED: nothing was delivered" } else { "FAILED" }
    }

    fn wrong_text(&self) -> String {
        let mut text = format!(
            "lost {}  duplicates {}  out of order {}  bad {}",
            self.lost, self.duplicates, self.out_of_order, self.bad
        );
        for (name, count) in [
            ("refused", self.refused),
            ("connections lost", self.connections_lost),
            ("not sent", self.not_sent),
            ("not answered", self.unanswered),
            ("order not checked", self.order_unchecked),
        ] {
            if count > 0 {
                let _ = write!(text, "  {name} {count}");
            }
        }
        let _ = write!(text, "  ({} deliveries judged)", thousands(self.deliveries_judged));
        text
    }

    fn server_text(&self) -> Option<String> {
        let cpu = self.server_cpu_us_per_delivery?;
        let mut text = format!(
            "{cpu:.2} us CPU per delivery (user {:.2}, system {:.2}), {:.2} cores",
            self.server_cpu_user_us_per_delivery.unwrap_or_default(),
            self.server_cpu_system_us_per_delivery.unwrap_or_default(),
            self.server_cpu_cores.unwrap_or_default()
        );
        if let Some(rss) = self.server_rss_per_connection {
            let _ = write!(text, ", {} octets RSS per connection", rss as i64);
        }
        Some(text)
    }

    fn harness_text(&self) -> String {
        let mut text = format!(
            "busy {:.0} %, {:.2} cores, {:.2} copies per read",
            self.harness_busy * 100.0,
            self.harness_cpu_cores,
            self.copies_per_read
        );
        if let Some(lag) = self.harness_lag_p99_us {
            let _ = write!(text, ", lag p99 {}", time(lag));
        }
        if self.harness_is_bottleneck {
            text.push_str(
                "\n            the harness itself was at its limit: the server can do better than this; give the \
                 harness cores of its own (--cores), or a lower --rate",
            );
        }
        if self.harness_disturbed {
            text.push_str(
                "\n            other programs ran on the harness's cores: latency is partly theirs; run it \
                 on a quiet machine",
            );
        }
        text
    }
}

/// The result of `idle`.
#[derive(Serialize, Debug)]
pub(crate) struct IdleReport {
    pub(crate) joined: Joined,
    pub(crate) seconds: f64,
    pub(crate) connections_lost: u64,
    pub(crate) first_fault: Option<String>,
    pub(crate) server_rss_before: Option<u64>,
    pub(crate) server_rss_joined: Option<u64>,
    pub(crate) server_rss_after: Option<u64>,
    pub(crate) server_rss_per_session_joined: Option<f64>,
    pub(crate) server_rss_per_session_after: Option<f64>,
    /// CPU time while everybody was idle, as a share of one core.
    pub(crate) server_cpu_cores: Option<f64>,
    pub(crate) ok: bool,
}

impl IdleReport {
    /// The table for people.
    pub(crate) fn text(&self) -> String {
        let mut t = String::new();
        let mut row = |name: &str, value: String| t.push_str(&format!("{name:<11} {value}\n"));
        row("joined", joined_text(&self.joined));
        row("idle", format!("{} s, {} connections lost", self.seconds, self.connections_lost));
        if let Some(fault) = &self.first_fault {
            row("first fault", fault.clone());
        }
        if let (Some(before), Some(joined), Some(after)) =
            (self.server_rss_before, self.server_rss_joined, self.server_rss_after)
        {
            let kib = |octets: u64| thousands(octets / 1024);
            row(
                "memory",
                format!(
                    "{} KiB empty, {} KiB after joining, {} KiB after idling",
                    kib(before),
                    kib(joined),
                    kib(after)
                ),
            );
            row(
                "per session",
                format!(
                    "{:.0} octets after joining, {:.0} after idling",
                    self.server_rss_per_session_joined.unwrap_or_default(),
                    self.server_rss_per_session_after.unwrap_or_default()
                ),
            );
        }
        if let Some(cores) = self.server_cpu_cores {
            row("server", format!("{:.2} % of a core while idle", cores * 100.0));
        }
        row("verdict", if self.ok { "ok".into() } else { "FAILED".into() });
        t
    }
}

/// Writes a result as one JSON object.
pub(crate) fn write_json(report: &impl Serialize, path: &Path) -> Result<(), String> {
    let json = serde_json::to_string_pretty(report).map_err(|e| e.to_string())?;
    std::fs::write(path, json + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

fn joined_text(j: &Joined) -> String {
    format!(
        "{} participants in {:.2} s ({}/s)",
        thousands(j.participants),
        j.seconds,
        thousands(j.per_s as u64)
    )
}

fn time(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.0} us"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lost: u64, rate: Option<f64>) -> Report {
        let interval = Interval { from: 0, to: 10_000_000_000 };
        let mut meter = Meter::new(interval);
        (0..1000).for_each(|i| meter.arrived(i, i + 2_000_000));
        let findings = Findings { delivered: 1000, ..Findings::default() };
        let outcome = Outcome {
            findings,
            troubles: Troubles::default(),
            first_fault: None,
            meter,
            sent: 500,
            not_sent: 0,
            lost,
            unanswered: 0,
            reads: 250,
            idle_ns: 5_000_000_000,
        };
        let window = rate.is_none().then_some(8);
        let asked = Asked {
            rooms: 1,
            participants: 3,
            publishers: 1,
            size: 200,
            rate,
            window,
            seconds: 10.0,
            polling: true,
        };
        let joined = Joined { participants: 3, seconds: 1.0, per_s: 3.0 };
        let harness = CpuTime { user: 4_000_000, system: 1_000_000 };
        let sampled =
            Sampled { server: Some(CpuTime { user: 1_000, system: 3_000 }), harness, seconds: 10.0 };
        let processes = Processes { sampled, memory: Some((4_000, 1_000)) };
        Report::new(asked, joined, interval, &[outcome], &processes)
    }

    #[test]
    fn the_json_has_the_promised_fields() {
        let json = serde_json::to_value(report(0, None)).unwrap();
        for name in ["deliveries", "lost", "duplicates", "out_of_order"] {
            assert!(json[name].is_u64(), "{name}");
        }
        assert_eq!(json["deliveries_per_s"], 100.0);
        for name in ["p50", "p90", "p99", "p999", "max"] {
            let us = json["latency_us"][name].as_f64().unwrap();
            assert!((1_990.0..2_010.0).contains(&us), "{name} {us}");
        }
        assert_eq!(json["server_cpu_us_per_delivery"], 4.0);
        assert_eq!(json["server_rss_per_connection"], 1000.0);
        assert_eq!(json["copies_per_read"], 4.0);
        assert_eq!((&json["harness_busy"], &json["harness_cpu_cores"]), (&0.5.into(), &0.5.into()));
        assert_eq!((&json["ok"], &json["harness_disturbed"]), (&true.into(), &true.into()));
    }

    #[test]
    fn a_lost_copy_makes_a_failure() {
        let r = report(1, None);
        assert!(!r.ok());
        assert!(r.text().contains("FAILED") && r.text().contains("lost 1 "), "{}", r.text());
    }

    #[test]
    fn lag_is_told_of_a_rate_only() {
        assert!(report(0, Some(10.0)).text().contains("lag p99"));
        assert!(!report(0, None).text().contains("lag p99"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
