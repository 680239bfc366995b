//! What a test found: the numbers and their names. How they look is in [`text`], [`csv`] and [`html`].
//!
//! The names of the JSON's fields are a promise to scripts: within one `version` they may grow in number, not
//! change. Of each list the length is bounded: slices by `pace`, rooms by [`WORST_ROOMS`].

mod charts;
pub(crate) mod compare;
pub(crate) mod csv;
mod files;
pub(crate) mod html;
mod joins;
pub(crate) mod plot;
pub(crate) mod text;

use crate::cpu::CpuTime;
use crate::hist::Hist;
use crate::measured::Measured;
use crate::pace::{CLASSES, GROUPS, VISITORS};
use crate::scenario::Scenario;
pub(crate) use files::{can_save, distinct, save};
use joins::visit_report;
pub(crate) use joins::{Joined, VisitReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the first field of a report says.
const FORMAT: &str = "openmsrp-loadtest";
/// The version of the JSON.
const VERSION: u32 = 2;
/// From this share of its time on, the harness may have set the pace.
const BUSY_SHARE_MAX: f64 = 0.9;
/// Up to this share of its time, being late is not the harness's own doing.
const SPARE_SHARE_MAX: f64 = 0.5;
/// Below this share of its cores, a polling harness was not alone on them.
const ALONE_SHARE_MIN: f64 = 0.9;
/// Below this, being late is noise of the machine.
const LAG_US_MIN: f64 = 1_000.0;
/// Rooms that are told one by one: those with the highest p99.
const WORST_ROOMS: usize = 10;

/// Quantiles in microseconds.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) count: u64,
}

impl Quantiles {
    /// Those of a histogram.
    pub(crate) fn of(h: &Hist) -> Self {
        Self {
            p50: h.us(0.5),
            p90: h.us(0.9),
            p99: h.us(0.99),
            p999: h.us(0.999),
            max: h.max_us(),
            count: h.len(),
        }
    }
}

/// One look at the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Cores in use since the look before.
    pub(crate) cores: Option<f64>,
    /// Resident memory.
    pub(crate) rss: Option<u64>,
}

/// CPU time over the measured interval.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) server: Option<CpuTime>,
    /// Its process ended before the interval did.
    pub(crate) server_ended: bool,
    pub(crate) harness: CpuTime,
    /// The share of its time in which the thread that speaks SIP worked; of the busiest harness.
    pub(crate) sip_busy: f64,
    /// How long it was really taken over.
    pub(crate) seconds: f64,
    /// By slice.
    pub(crate) slices: Vec<Sample>,
}

impl Sampled {
    /// CPU time as a number of cores in full use.
    pub(crate) fn cores(&self, cpu: CpuTime) -> f64 {
        cpu.total() as f64 / 1e6 / self.seconds.max(1e-9)
    }
}

/// Messages of one kind.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Class {
    pub(crate) messages: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) latency_us: Quantiles,
}

/// Those who receive for the same reason.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct GroupReport {
    pub(crate) latency_us: Quantiles,
    /// Pairs of microseconds and copies, to a hundredth.
    pub(crate) latency_histogram: Vec<(f64, u64)>,
}

/// One room.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct RoomReport {
    pub(crate) room: u32,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Pairs of microseconds and copies, to a sixteenth.
    pub(crate) latency_histogram: Vec<(f64, u64)>,
}

/// Latency of the rooms beside each other, microseconds; to a sixteenth.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Rooms {
    /// How many were told apart.
    pub(crate) count: u64,
    /// The p99 of the room that fared best, of the one in the middle, of the worst.
    pub(crate) p99_best: f64,
    pub(crate) p99_middle: f64,
    pub(crate) p99_worst: f64,
    /// The worst ones: number, p50, p99.
    pub(crate) worst: Vec<(u32, f64, f64)>,
    /// All that were told apart, the slowest first.
    #[serde(default)]
    pub(crate) each: Vec<RoomReport>,
}

impl Rooms {
    fn of(rooms: &[(u32, Hist)]) -> Self {
        let spoken = rooms.iter().filter(|(_, h)| h.len() > 0);
        let one = |(room, h): &(u32, Hist)| RoomReport {
            room: *room,
            p50_us: h.us(0.5),
            p99_us: h.us(0.99),
            latency_histogram: h.pairs(),
        };
        let mut all: Vec<_> = spoken.map(one).collect();
        all.sort_by(|a, b| b.p99_us.total_cmp(&a.p99_us).then(a.room.cmp(&b.room)));
        let p99 = |i: usize| all.get(i).map_or(0.0, |r| r.p99_us);
        Self {
            count: all.len() as u64,
            p99_best: p99(all.len().saturating_sub(1)),
            p99_middle: p99(all.len() / 2),
            p99_worst: p99(0),
            worst: all.iter().take(WORST_ROOMS).map(|r| (r.room, r.p50_us, r.p99_us)).collect(),
            each: all,
        }
    }
}

/// One slice of time.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Seconds since the measured interval began.
    pub(crate) at_s: f64,
    pub(crate) messages_per_s: f64,
    pub(crate) deliveries_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) server_cpu_cores: Option<f64>,
    pub(crate) server_rss: Option<u64>,
    /// Visitors who came in, and how long that took from when the INVITE was due to the binding; `null` without any.
    #[serde(default)]
    pub(crate) joins_per_s: Option<f64>,
    #[serde(default)]
    pub(crate) join_p50_us: Option<f64>,
    #[serde(default)]
    pub(crate) join_p99_us: Option<f64>,
}

/// One run of the load.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Run {
    /// Whether everything came once, whole and in order, and nothing failed.
    pub(crate) ok: bool,
    /// Messages per room and second; `null` at saturation.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    // What the oracle found.
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Copies that reached somebody they were not for.
    pub(crate) foreign: u64,
    /// Copies that were cut, garbled or under another name.
    pub(crate) bad: u64,
    pub(crate) refused: u64,
    pub(crate) connections_lost: u64,
    pub(crate) not_sent: u64,
    pub(crate) unanswered: u64,
    pub(crate) order_unchecked: u64,
    /// Connections of participants that do not read, ended by the server; no fault.
    pub(crate) slow_connections_ended: u64,
    /// The server's process (`server_pid`) ended before the run did.
    #[serde(default)]
    pub(crate) server_ended: bool,
    /// Notices of the room that it left messages out, to participants that read and to those that do not.
    #[serde(default)]
    pub(crate) left_out_notices: u64,
    #[serde(default)]
    pub(crate) slow_left_out_notices: u64,
    pub(crate) first_fault: Option<String>,
    // How much, how fast.
    pub(crate) messages: u64,
    /// Copies within the measured interval.
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_s: f64,
    /// Copies of the whole run, warm-up and rest included: these were judged.
    pub(crate) deliveries_judged: u64,
    /// Latency of texts to the room (of the first kind that was sent, if no texts were).
    pub(crate) latency_us: Quantiles,
    /// The same as pairs of microseconds and count.
    pub(crate) latency_histogram: Vec<(f64, u64)>,
    pub(crate) classes: BTreeMap<String, Class>,
    /// Texts by who received them: those who send too, those who only listen, visitors.
    #[serde(default)]
    pub(crate) receivers: BTreeMap<String, GroupReport>,
    pub(crate) rooms: Rooms,
    pub(crate) visits: Option<VisitReport>,
    pub(crate) slice_s: f64,
    pub(crate) over_time: Vec<Moment>,
    // The server.
    pub(crate) server_cpu_us_per_delivery: Option<f64>,
    pub(crate) server_cpu_user_us_per_delivery: Option<f64>,
    pub(crate) server_cpu_system_us_per_delivery: Option<f64>,
    pub(crate) server_cpu_cores: Option<f64>,
    pub(crate) server_rss_max: Option<u64>,
    // The harness.
    pub(crate) copies_per_read: f64,
    /// How late messages were handed to the socket; `null` at saturation, where none is due.
    pub(crate) harness_lag_p99_us: Option<f64>,
    pub(crate) harness_busy: f64,
    /// The same of the thread that had most to do.
    #[serde(default)]
    pub(crate) harness_busy_most: f64,
    /// The same of the thread that speaks SIP for visitors, of its CPU time.
    #[serde(default)]
    pub(crate) harness_sip_busy: f64,
    /// CPU time the harness got; a polling thread that is alone on its core gets all of it.
    pub(crate) harness_cpu_cores: f64,
    pub(crate) harness_is_bottleneck: bool,
    /// Other programs took the polling harness's cores, or it slept and woke late: latencies are theirs too.
    pub(crate) harness_disturbed: bool,
}

impl Run {
    /// From what was measured. `rate`: what was asked for, `None` at saturation.
    pub(crate) fn new(s: &Scenario, rate: Option<f64>, m: &Measured, sampled: &Sampled) -> Self {
        let meter = &m.meter;
        let seconds = meter.seconds();
        let share = |ns: u64| (ns as f64 / 1e9 / seconds.max(1e-9)).clamp(0.0, 1.0);
        let busy = 1.0 - share(m.idle_ns / m.threads.max(1));
        // One thread at its limit holds up the rooms that are its own, however little the others have to do.
        let busy_most = m.least_idle_ns.map_or(busy, |idle| 1.0 - share(idle));
        let visits_busy = if s.visits > 0.0 { sampled.sip_busy } else { 0.0 };
        let main = meter.latency.iter().find(|h| h.len() > 0).unwrap_or(&meter.latency[0]);
        let latency_us = Quantiles::of(main);
        let lag = rate.map(|_| meter.lag.us(0.99));
        let late = lag.is_some_and(|l| l > LAG_US_MIN && l > latency_us.p99 / 4.0);
        let copies = meter.arrived as f64;
        // Copies are counted over the planned interval, CPU time over the one really sampled.
        let alone = m.least_cpu_ns.is_none_or(|cpu| share(cpu) >= ALONE_SHARE_MIN);
        // Who is late with time to spare did not get its core when it wanted it. Who sleeps does not need it always.
        let kept = late && busy_most <= SPARE_SHARE_MAX;
        let disturbed = kept || !s.sleep && !alone;
        let scale = if sampled.seconds > 0.0 { seconds / sampled.seconds } else { 1.0 };
        let per_delivery = |us: fn(CpuTime) -> u64| {
            sampled.server.filter(|_| copies > 0.0).map(|c| us(c) as f64 * scale / copies)
        };
        let spoken = m.sent() > 0;
        let over_time = over_time(m, sampled, seconds, s.visits > 0.0);
        let visits = (s.visits > 0.0).then(|| visit_report(m, sampled, seconds, &over_time));
        Self {
            ok: m.wrong() == 0 && (m.findings.delivered > 0 || !spoken) && !sampled.server_ended,
            rate,
            seconds,
            lost: m.lost(),
            duplicates: m.findings.duplicates,
            out_of_order: m.findings.out_of_order,
            foreign: m.findings.strays,
            bad: m.troubles.bad,
            refused: m.troubles.refused,
            connections_lost: m.troubles.closed,
            not_sent: m.not_sent,
            unanswered: m.unanswered,
            order_unchecked: m.findings.order_unchecked,
            slow_connections_ended: m.troubles.slow_closed,
            server_ended: sampled.server_ended,
            left_out_notices: m.troubles.left_out,
            slow_left_out_notices: m.troubles.slow_left_out,
            first_fault: sampled
                .server_ended
                .then(|| "the server's process ended".to_owned())
                .or_else(|| m.first_fault.clone())
                .or_else(|| m.visits.first_failure.clone()),
            messages: m.sent(),
            deliveries: meter.arrived,
            deliveries_per_s: copies / seconds.max(1e-9),
            deliveries_judged: m.findings.delivered + m.visits.copies,
            latency_us,
            latency_histogram: main.pairs(),
            classes: classes(m),
            receivers: receivers(m),
            rooms: Rooms::of(&meter.rooms),
            visits,
            slice_s: slice_s(m),
            over_time,
            server_cpu_us_per_delivery: per_delivery(CpuTime::total),
            server_cpu_user_us_per_delivery: per_delivery(|c| c.user),
            server_cpu_system_us_per_delivery: per_delivery(|c| c.system),
            server_cpu_cores: sampled.server.map(|c| sampled.cores(c)),
            server_rss_max: sampled.slices.iter().filter_map(|s| s.rss).max(),
            copies_per_read: copies / m.reads.max(1) as f64,
            harness_lag_p99_us: lag,
            harness_busy: busy,
            harness_busy_most: busy_most,
            harness_sip_busy: visits_busy,
            harness_cpu_cores: sampled.cores(sampled.harness),
            harness_is_bottleneck: spoken && (busy_most > BUSY_SHARE_MAX || late && !disturbed)
                || visits_busy > BUSY_SHARE_MAX,
            harness_disturbed: disturbed,
        }
    }
}

impl Run {
    /// What should not have happened, with its name.
    pub(crate) fn faults(&self) -> [(&'static str, u64); 9] {
        [
            ("lost", self.lost),
            ("duplicates", self.duplicates),
            ("out of order", self.out_of_order),
            ("foreign", self.foreign),
            ("bad", self.bad),
            ("refused", self.refused),
            ("connections lost", self.connections_lost),
            ("not sent", self.not_sent),
            ("not answered", self.unanswered),
        ]
    }

    /// What happened besides and is no fault.
    pub(crate) fn besides(&self) -> [(&'static str, u64); 4] {
        [
            ("order not checked", self.order_unchecked),
            ("notices of messages left out", self.left_out_notices),
            ("slow connections ended", self.slow_connections_ended),
            ("notices to slow ones", self.slow_left_out_notices),
        ]
    }

    /// The kinds of copies there were, with their names, in the order of [`CLASSES`].
    pub(crate) fn kinds(&self) -> Vec<(&'static str, &Class)> {
        CLASSES.iter().filter_map(|name| Some((*name, self.classes.get(*name)?))).collect()
    }

    /// What was asked for, in words.
    pub(crate) fn load(&self) -> String {
        self.rate.map_or("saturated".into(), |rate| {
            format!("{} messages per room and second", (rate * 100.0).round() / 100.0)
        })
    }

    /// The latency that this share of the copies did not exceed, in microseconds, to a hundredth; `None` of no copies.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.latency_histogram.iter().map(|p| p.1).sum();
        let wanted = (share * total as f64).ceil() as u64;
        let mut sum = 0;
        let reached = self.latency_histogram.iter().find(|(_, count)| {
            sum += count;
            sum >= wanted
        });
        reached.map(|p| p.0)
    }
}

fn classes(m: &Measured) -> BTreeMap<String, Class> {
    let of = |(i, name): (usize, &&str)| {
        let latency_us = Quantiles::of(&m.meter.latency[i]);
        let class = match m.kinds.get(i) {
            Some(k) => Class { messages: k.sent, delivered: k.delivered, lost: k.lost, latency_us },
            None => Class { messages: 0, delivered: m.visits.copies, lost: m.visits.lost, latency_us },
        };
        let there = class.messages > 0 || i == VISITORS && class.delivered > 0;
        there.then(|| ((*name).to_owned(), class))
    };
    CLASSES.iter().enumerate().filter_map(of).collect()
}

fn receivers(m: &Measured) -> BTreeMap<String, GroupReport> {
    let groups = GROUPS.iter().zip(&m.meter.groups).filter(|(_, h)| h.len() > 0);
    let of = |h: &Hist| GroupReport { latency_us: Quantiles::of(h), latency_histogram: h.pairs() };
    groups.map(|(name, h)| ((*name).to_owned(), of(h))).collect()
}

fn slice_s(m: &Measured) -> f64 {
    m.meter.interval().slice_ns() as f64 / 1e9
}

fn over_time(m: &Measured, sampled: &Sampled, seconds: f64, visits: bool) -> Vec<Moment> {
    let slice = slice_s(m);
    let moment = |(i, s): (usize, &crate::pace::Slice)| {
        let at_s = i as f64 * slice;
        // The last one may be shorter.
        let length = slice.min(seconds - at_s).max(1e-9);
        let looked = sampled.slices.get(i).copied().unwrap_or_default();
        let came = m.visits.slices.get(i);
        let join = |q: f64| came.filter(|c| c.entered > 0).map(|c| c.bound.us(q));
        Moment {
            at_s,
            messages_per_s: s.sent as f64 / length,
            deliveries_per_s: s.arrived as f64 / length,
            p50_us: s.latency.us(0.5),
            p99_us: s.latency.us(0.99),
            max_us: s.latency.max_us(),
            server_cpu_cores: looked.cores,
            server_rss: looked.rss,
            joins_per_s: visits.then(|| came.map_or(0.0, |c| c.entered as f64 / length)),
            join_p50_us: join(0.5),
            join_p99_us: join(0.99),
        }
    };
    m.meter.slices.iter().enumerate().map(moment).collect()
}

/// One attempt of a search.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attempt {
    /// Messages per room and second.
    pub(crate) rate: f64,
    pub(crate) deliveries_per_s: f64,
    /// The quantile that the objective is about, in each run; `null` if no copy was measured.
    pub(crate) quantile_us: Option<f64>,
    pub(crate) lost: u64,
    /// Whether it met the objective.
    pub(crate) met: bool,
    /// Whether the harness itself was at its limit.
    pub(crate) harness_is_bottleneck: bool,
}

/// What a search found.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Search {
    pub(crate) objective_us: f64,
    pub(crate) objective_quantile: f64,
    /// The highest rate that met the objective in more than half of its runs; 0: none did.
    pub(crate) best_rate: f64,
    /// The lowest above it that did not; `null`: none was found.
    pub(crate) too_high: Option<f64>,
    /// Why it ended.
    pub(crate) ended: String,
    pub(crate) attempts: Vec<Attempt>,
}

impl Search {
    /// The attempt with the lowest rate that did not meet the objective.
    pub(crate) fn lowest_missed(&self) -> Option<&Attempt> {
        self.attempts.iter().filter(|a| !a.met).min_by(|a, b| a.rate.total_cmp(&b.rate))
    }
}

/// One of several harnesses.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct WorkerInfo {
    pub(crate) name: String,
    pub(crate) rooms: u32,
    /// How far its clock was known, microseconds: starts differ by so much at most.
    pub(crate) clock_known_to_us: f64,
}

/// The whole test.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Report {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) tool: String,
    /// When it ended, UTC.
    pub(crate) date: String,
    pub(crate) host: String,
    /// What whoever ran it wrote about it.
    #[serde(default)]
    pub(crate) note: String,
    pub(crate) ok: bool,
    /// Why it ended before its time; `null` if it did not.
    #[serde(default)]
    pub(crate) cut_short: Option<String>,
    pub(crate) scenario: serde_json::Map<String, serde_json::Value>,
    pub(crate) joined: Joined,
    pub(crate) runs: Vec<Run>,
    pub(crate) search: Option<Search>,
    pub(crate) workers: Vec<WorkerInfo>,
    /// What coming in took in the other reports that it was put together from.
    #[serde(skip)]
    pub(crate) others_joined: Vec<Joined>,
}

impl Report {
    /// Of these runs.
    pub(crate) fn new(s: &Scenario, joined: Joined, runs: Vec<Run>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            tool: env!("CARGO_PKG_VERSION").into(),
            date: openmsrp::base::clock::wall_text(openmsrp::base::clock::wall_seconds()),
            host: crate::cpu::host(),
            note: String::new(),
            ok: !runs.is_empty() && runs.iter().all(|r| r.ok),
            cut_short: None,
            scenario: s.json(),
            joined,
            runs,
            search: None,
            workers: Vec::new(),
            others_joined: Vec::new(),
        }
    }

    /// Reads one from a file.
    ///
    /// # Errors
    /// The file cannot be read, or is no report of this version.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| at(&e))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| at(&format!("no report of {FORMAT}: not JSON ({e})")))?;
        if value["format"] != FORMAT || value["version"] != VERSION {
            return Err(at(&format!("no report of {FORMAT}, version {VERSION}")));
        }
        serde_json::from_value(value).map_err(|e| at(&format!("something is missing in it: {e}")))
    }

    /// Reads several reports of the same test as one that has the runs of all.
    ///
    /// # Errors
    /// One cannot be read, or their scenarios differ, or one is of a search: that has one outcome, not runs.
    pub(crate) fn pool(paths: &[PathBuf]) -> Result<Self, String> {
        let Some((first, rest)) = paths.split_first() else { return Err("no report".into()) };
        let mut sum = Self::read(first)?;
        for path in rest {
            let other = Self::read(path)?;
            if sum.search.is_some() || other.search.is_some() {
                return Err(format!(
                    "{} or {}: searches cannot be taken together",
                    first.display(),
                    path.display()
                ));
            }
            let differs = |(key, value): &(&String, &serde_json::Value)| {
                !["server_pid", "runs"].contains(&key.as_str()) && sum.scenario.get(*key) != Some(value)
            };
            if let Some((key, _)) = other.scenario.iter().find(differs) {
                return Err(format!(
                    "{} is of another test than {}: {key} differs",
                    path.display(),
                    first.display()
                ));
            }
            sum.ok &= other.ok;
            sum.cut_short = sum.cut_short.or(other.cut_short);
            sum.runs.extend(other.runs);
            sum.others_joined.push(other.joined);
        }
        Ok(sum)
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let json = serde_json::to_string(self).map_err(|e| e.to_string())?;
        save(path, &(json + "\n"))
    }

    /// The runs that are shown in full, with their places: all, or of a search those at the rate it found.
    pub(crate) fn shown(&self) -> Vec<(usize, &Run)> {
        let best = self.search.as_ref().map(|s| s.best_rate);
        self.runs.iter().enumerate().filter(|(_, run)| best.is_none() || run.rate == best).collect()
    }

    /// What coming in took, in each of the tests.
    pub(crate) fn all_joined(&self) -> impl Iterator<Item = &Joined> {
        std::iter::once(&self.joined).chain(&self.others_joined)
    }

    /// A number of each run.
    pub(crate) fn each(&self, of: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).collect()
    }
}

/// The number in the middle; 0 of none.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => numbers[n / 2],
        n => f64::midpoint(numbers[n / 2 - 1], numbers[n / 2]),
    }
}

#[cfg(test)]
pub(crate) mod tests;
