//! What changed between two reports, beyond the noise.
//!
//! The noise is what the runs of one report differ among each other, so both need several. A change counts
//! when chance alone would rarely put the runs of the two reports so far apart (the exact rank test of Mann and
//! Whitney, both sides) and when it is large enough to matter. Four runs a side are the least for which that
//! can be said at all. A run that the harness itself hindered says nothing of times and rates; it is left out of them as
//! long as enough others remain.
//!
//! Whatever the numbers say, B is worse if it ended before its time, or if a larger share of it went wrong.
//!
//! Of two searches the highest rates are compared, each known as far as its bracket is narrow.

use super::text::{findings, thousands, time};
use super::{Joined, Report, Run, Search, median};
use crate::course::STOPPED;
use std::fmt::Write as _;

/// How often chance alone may put two reports so far apart: four and four runs, fully apart, come to 1 in 35.
const CHANCE_MAX: f64 = 0.03;
/// A smaller change is not called one, however sure it is.
const CHANGE_MIN: f64 = 0.02;
/// Runs of a side, at least, for anything to be said.
const RUNS_MIN: usize = 4;
/// The share of what went wrong must grow by this factor to be called worse, where there was some before.
const FAULTS_GROWTH: f64 = 2.0;

/// What can be said of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Beyond the noise, for the better.
    Better,
    /// Beyond the noise, for the worse.
    Worse,
    /// Not beyond the noise.
    Same,
    /// There are too few runs to know the noise.
    Unknown,
    /// It moved, but others than the server had a hand in it.
    Doubtful,
}

impl Change {
    /// The same, but that nothing is laid to the server where others had a hand in it.
    fn unless(self, doubtful: bool) -> Self {
        if doubtful && matches!(self, Self::Better | Self::Worse) { Self::Doubtful } else { self }
    }

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Same => "same within the noise",
            Self::Unknown => "too few to tell",
            Self::Doubtful => "moved, but not by the server alone",
        }
    }
}

/// One number of both reports.
pub(crate) struct Line {
    /// What it is.
    pub(crate) name: &'static str,
    unit: Unit,
    a: Vec<f64>,
    b: Vec<f64>,
    /// What is to be said.
    pub(crate) change: Change,
    /// How often chance alone would put them so far apart; `None` if that cannot be said.
    pub(crate) chance: Option<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Count,
    Us,
    Plain,
    Octets,
}

impl Unit {
    fn text(self, n: f64) -> String {
        match self {
            Self::Count => thousands(n as u64),
            Self::Us => time(n),
            Self::Plain => format!("{n:.3}"),
            Self::Octets if n < 100.0 * 1024.0 => format!("{} octets", thousands(n as u64)),
            Self::Octets => format!("{} KiB", thousands(n as u64 / 1024)),
        }
    }
}

impl Line {
    /// The number in A, in B (medians, with the range of the runs), and B divided by A.
    pub(crate) fn cells(&self) -> [String; 3] {
        let side = |v: &[f64]| {
            let least = v.iter().copied().fold(f64::INFINITY, f64::min);
            let most = v.iter().copied().fold(0.0, f64::max);
            let middle = self.unit.text(median(v.to_vec()));
            if v.len() < 2 {
                middle
            } else {
                format!("{middle} ({} to {})", self.unit.text(least), self.unit.text(most))
            }
        };
        [side(&self.a), side(&self.b), format!("{:.3}", ratio(&self.a, &self.b))]
    }
}

/// What two reports say beside each other.
pub(crate) struct Comparison {
    /// What makes them hard to compare.
    pub(crate) cautions: Vec<String>,
    /// Number by number.
    pub(crate) lines: Vec<Line>,
    /// Of all together.
    pub(crate) verdict: Change,
    /// Why it is worse whatever the numbers say.
    pub(crate) fault: Option<String>,
}

type Metric<T> = (&'static str, Unit, bool, fn(&T) -> Option<f64>);

/// The p99 of one kind of copies.
fn p99_of(run: &Run, kind: &str) -> Option<f64> {
    run.classes.get(kind).map(|c| c.latency_us).filter(|q| q.count > 0).map(|q| q.p99)
}

/// Name, unit, whether more is better, where it stands. What is a time or a rate depends on the harness and its
/// machine; what the kernel counts of the server alone does not.
const METRICS: &[Metric<Run>] = &[
    // At a given rate the deliveries are what was asked for, and say nothing.
    ("deliveries per second", Unit::Count, true, |r| r.rate.is_none().then_some(r.deliveries_per_s)),
    ("latency p50", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p50)),
    ("latency p99", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p99)),
    ("latency p99.9", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p999)),
    ("latency p99, private", Unit::Us, false, |r| p99_of(r, "private")),
    ("latency p99, typing", Unit::Us, false, |r| p99_of(r, "typing")),
    ("latency p99, long", Unit::Us, false, |r| p99_of(r, "long")),
    ("latency p99, visitors", Unit::Us, false, |r| p99_of(r, "visitors")),
    ("latency p99, worst room", Unit::Us, false, |r| (r.rooms.count > 1).then_some(r.rooms.p99_worst)),
    ("server CPU us per delivery", Unit::Plain, false, |r| r.server_cpu_us_per_delivery),
    ("server memory, highest", Unit::Octets, false, |r| r.server_rss_max.map(|b| b as f64)),
    ("visits: came in per second", Unit::Plain, true, |r| r.visits.as_ref().map(|v| v.entered_per_s)),
    ("visits: INVITE to 200 p50", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.stages.answered_us.p50)),
    ("visits: 200 to bound p50", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.stages.bound_us.p50)),
    ("visits: INVITE to bound p99", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.bound_us.p99)),
    ("visits: to first message p99", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.first_message_us.p99)),
];

/// What the coming in of everybody took, before the load: once in each file.
const JOINS: &[Metric<Joined>] = &[
    ("joins: came in per second", Unit::Count, true, |j| Some(j.per_s)),
    ("joins: INVITE to 200 p50", Unit::Us, false, |j| Some(j.invite_us.p50)),
    ("joins: INVITE to bound p99", Unit::Us, false, |j| Some(j.bound_us.p99)),
    ("joins: server CPU us each", Unit::Plain, false, |j| j.server_cpu_us_per_join),
    ("joins: server memory each", Unit::Octets, false, |j| j.server_rss_per_session),
];

/// How the names of those begin that depend on the harness too.
const TIMES: [&str; 5] = ["latency", "visits", "deliveries", "joins: came", "joins: INVITE"];

fn is_time(name: &str) -> bool {
    TIMES.iter().any(|t| name.starts_with(t))
}

/// Keys that may differ between two tests of the same thing.
const FREE_KEYS: &[&str] = &["server", "server_pid", "domain", "password_file", "runs"];

/// Compares `b` with `a`.
///
/// # Errors
/// One is a search and the other is none: they have no number in common.
pub(crate) fn compare(a: &Report, b: &Report) -> Result<Comparison, String> {
    let (lines, fault) = match (&a.search, &b.search) {
        (Some(a), Some(b)) => (vec![highest(a, b)], None),
        (None, None) => {
            let runs = METRICS.iter().filter_map(|m| line(m, a, b));
            (runs.chain(joins(a, b)).collect(), fault(a, b))
        }
        _ => return Err("one report is of a search and the other is not: there is nothing to compare".into()),
    };
    let fault = ended_early(a, b).or(fault);
    let any = |c: Change| lines.iter().any(|l| l.change == c);
    // What moved and may be nobody's doing keeps B from being "in nothing worse".
    let verdict = if fault.is_some() || any(Change::Worse) {
        Change::Worse
    } else if any(Change::Doubtful) {
        Change::Doubtful
    } else if any(Change::Better) {
        Change::Better
    } else if any(Change::Same) {
        Change::Same
    } else {
        Change::Unknown
    };
    Ok(Comparison { cautions: cautions(a, b), lines, verdict, fault })
}

fn line((name, unit, more, of): &Metric<Run>, a: &Report, b: &Report) -> Option<Line> {
    let time = is_time(name);
    let side = |r: &Report| -> Vec<f64> {
        let all = !time || left_out(r) == 0;
        r.runs.iter().filter(|run| all || of_use(run)).filter_map(of).collect()
    };
    let (va, vb) = (side(a), side(b));
    if va.is_empty() || vb.is_empty() {
        return None;
    }
    let (change, chance) = judge(&va, &vb, *more);
    let doubtful = [a, b].iter().any(|r| left_out(r) == 0 && !r.runs.iter().all(of_use));
    let change = change.unless(time && doubtful);
    Some(Line { name, unit: *unit, a: va, b: vb, change, chance: Some(chance) })
}

fn joins(a: &Report, b: &Report) -> impl Iterator<Item = Line> {
    let limited = [a, b].into_iter().any(joins_limited);
    JOINS.iter().filter_map(move |(name, unit, more, of)| {
        let side = |r: &Report| r.all_joined().map(of).collect::<Option<Vec<_>>>();
        let (a, b) = (side(a)?, side(b)?);
        let (change, chance) = judge(&a, &b, *more);
        let change = change.unless(is_time(name) && limited);
        Some(Line { name, unit: *unit, a, b, change, chance: Some(chance) })
    })
}

/// Whether coming in was as quick as the harness could be, in any of the tests.
fn joins_limited(r: &Report) -> bool {
    r.all_joined().any(|j| j.harness_is_bottleneck)
}

/// Whether times and rates of a run are the server's alone.
fn of_use(run: &Run) -> bool {
    !run.harness_is_bottleneck && !run.harness_disturbed
}

/// How many hindered runs of a report are left out of times and rates: all, if enough others remain; else none.
fn left_out(r: &Report) -> usize {
    let hindered = r.runs.iter().filter(|run| !of_use(run)).count();
    if r.runs.len() - hindered >= RUNS_MIN { hindered } else { 0 }
}

/// The highest rates of two searches: apart if their brackets are.
fn highest(a: &Search, b: &Search) -> Line {
    let above = |s: &Search| s.too_high.unwrap_or(f64::INFINITY);
    // Where the harness was at its limit nobody knows what the server can do: that of the lower one decides.
    let change = if b.best_rate >= above(a) {
        Change::Better.unless(limited(a))
    } else if a.best_rate >= above(b) {
        Change::Worse.unless(limited(b))
    } else {
        Change::Same
    };
    let name = "highest rate per room";
    Line { name, unit: Unit::Plain, a: vec![a.best_rate], b: vec![b.best_rate], change, chance: None }
}

/// Whether the lowest rate that a search found too high was too high for the harness itself.
fn limited(s: &Search) -> bool {
    s.lowest_missed().is_some_and(|attempt| attempt.harness_is_bottleneck)
}

/// The share of all copies with which something was wrong, and whatever else was.
fn wrong_share(r: &Report) -> f64 {
    let sum = |of: fn(&Run) -> u64| r.runs.iter().map(of).sum::<u64>() as f64;
    let faults = sum(|r| r.faults().iter().map(|(_, count)| count).sum());
    let visits = sum(|r| r.visits.as_ref().map_or(0, |v| v.failed));
    (faults + visits) / sum(|r| r.deliveries_judged + r.lost).max(1.0)
}

fn delivered(r: &Report) -> bool {
    r.runs.iter().all(|run| run.ok)
}

/// B went wrong where A did not, or more.
fn fault(a: &Report, b: &Report) -> Option<String> {
    let first =
        || b.runs.iter().find_map(|r| r.first_fault.clone()).unwrap_or_else(|| "copies are missing".into());
    let (before, now) = (wrong_share(a), wrong_share(b));
    // A may have failed for another reason than what it delivered.
    if delivered(a) && !delivered(b) || before == 0.0 && now > 0.0 {
        return Some(format!("A delivered everything, B did not: {}", first()));
    }
    (before > 0.0 && now > FAULTS_GROWTH * before).then(|| {
        format!(
            "of a million copies, {:.1} went wrong in A and {:.1} in B: {}",
            before * 1e6,
            now * 1e6,
            first()
        )
    })
}

/// B did not come to its end, by itself.
fn ended_early(a: &Report, b: &Report) -> Option<String> {
    let why = b.cut_short.as_ref().filter(|why| a.cut_short.is_none() && *why != STOPPED)?;
    Some(format!("A came to its end, B did not: {why}"))
}

fn cautions(a: &Report, b: &Report) -> Vec<String> {
    let mut list = Vec::new();
    let keys: std::collections::BTreeSet<_> = a.scenario.keys().chain(b.scenario.keys()).collect();
    for key in keys.into_iter().filter(|k| !FREE_KEYS.contains(&k.as_str())) {
        let show = |r: &Report| r.scenario.get(key).map_or("nothing".into(), ToString::to_string);
        if a.scenario.get(key) != b.scenario.get(key) {
            list.push(format!("{key} is {} in A and {} in B", show(a), show(b)));
        }
    }
    if a.host != b.host {
        list.push(format!("A was measured on {}, B on {}", a.host, b.host));
    }
    for (name, r) in [("A", a), ("B", b)] {
        if let Some(why) = &r.cut_short {
            list.push(format!("{name}: it ended before its time ({why})"));
        }
        let all = r.runs.len();
        let without = |which: usize| match left_out(r) {
            0 => format!("in {which} of {all} runs"),
            _ => format!("in {which} of {all} runs, whose times and rates are left out"),
        };
        for (which, what) in [
            (
                r.runs.iter().filter(|r| r.harness_is_bottleneck).count(),
                "the harness itself was at its limit",
            ),
            (
                r.runs.iter().filter(|r| r.harness_disturbed).count(),
                "other programs ran on the harness's cores, or it woke late",
            ),
        ] {
            if which > 0 && r.search.is_none() {
                list.push(format!("{name}: {what} {}", without(which)));
            }
        }
        if joins_limited(r) && r.search.is_none() {
            list.push(format!("{name}: the harness itself was at its limit while they came in"));
        }
        if r.search.as_ref().is_some_and(limited) {
            list.push(format!(
                "{name}: the harness itself was at its limit at the lowest rate that was too high"
            ));
        }
        // What B alone did not deliver is told as a fault.
        if r.search.is_none() && !(delivered(r) || a.ok && name == "B") {
            list.push(format!("{name}: not everything was delivered"));
        }
    }
    if a.search.is_none() {
        let has = |r: &Report, of: fn(&Run) -> Option<f64>| !r.each(of).is_empty();
        for (metric, .., of) in METRICS.iter().filter(|(.., of)| has(a, *of) != has(b, *of)) {
            let (there, not) = if has(a, *of) { ("A", "B") } else { ("B", "A") };
            list.push(format!("{metric}: measured in {there} only, and nothing can be said of {not}"));
        }
    }
    if a.others_joined.is_empty() && b.others_joined.is_empty() && a.search.is_none() {
        list.push(
            "the runs of A were made in one go, and so were those of B: if the machine changed between them, that looks as \
             if the server had; several short tests of each in turn tell them apart (compare A1,A2,A3,A4 B1,B2,B3,B4)"
                .into(),
        );
    }
    list
}

fn judge(a: &[f64], b: &[f64], more_is_better: bool) -> (Change, f64) {
    let chance = chance(a, b);
    if fewest_chance(a.len(), b.len()) > CHANCE_MAX {
        return (Change::Unknown, chance);
    }
    let ratio = ratio(a, b);
    let change =
        match (chance <= CHANCE_MAX && (ratio - 1.0).abs() >= CHANGE_MIN, (ratio > 1.0) == more_is_better) {
            (false, _) => Change::Same,
            (true, true) => Change::Better,
            (true, false) => Change::Worse,
        };
    (change, chance)
}

fn ratio(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (median(a.to_vec()), median(b.to_vec()));
    if a == b { 1.0 } else { b / a }
}

/// How often two groups of the same kind lie so far apart in rank or farther, if only chance deals.
fn chance(a: &[f64], b: &[f64]) -> f64 {
    let won = |x: &f64, y: &f64| if x > y { 2 } else { u64::from(x == y) };
    // In halves, so that equal numbers count half; rounded towards the middle.
    let halves: u64 = a.iter().flat_map(|x| b.iter().map(move |y| won(x, y))).sum();
    let all = 2 * (a.len() * b.len()) as u64;
    let least = halves.min(all - halves).div_ceil(2) as usize;
    let ways = ways(a.len(), b.len());
    let total: f64 = ways.iter().sum();
    (2.0 * ways[..=least].iter().sum::<f64>() / total).min(1.0)
}

/// The least that [`chance`] can say of so many runs: that of groups fully apart.
fn fewest_chance(n: usize, m: usize) -> f64 {
    if n == 0 || m == 0 { 1.0 } else { 2.0 / ways(n, m).iter().sum::<f64>() }
}

/// In how many orders of `n` and `m` things the first win exactly `u` pairs, by `u`.
fn ways(n: usize, m: usize) -> Vec<f64> {
    // The generating function: the product of (1 - q^(m+i)) / (1 - q^i) for i from 1 to n.
    let size = n * m + 1;
    let mut ways = vec![0.0; size];
    ways[0] = 1.0;
    for i in 1..=n {
        for u in (m + i..size).rev() {
            ways[u] -= ways[u - m - i];
        }
        for u in i..size {
            ways[u] += ways[u - i];
        }
    }
    ways
}

/// The comparison for people at a terminal.
pub(crate) fn text(c: &Comparison, a: &Report, b: &Report) -> String {
    let mut t = String::new();
    for (name, r) in [("A", a), ("B", b)] {
        let _ = writeln!(t, "{name}  {}, {}", r.date, findings(r));
    }
    for caution in &c.cautions {
        let _ = writeln!(t, "caution: {caution}");
    }
    let mut rows = vec![["".to_owned(), "A".into(), "B".into(), "B / A".into(), String::new()]];
    for line in &c.lines {
        let [a, b, ratio] = line.cells();
        let sure = match line.chance {
            Some(chance) if line.change != Change::Unknown => format!(" (chance {chance:.3})"),
            _ => String::new(),
        };
        rows.push([line.name.into(), a, b, ratio, line.change.words().to_owned() + &sure]);
    }
    let width = |i: usize| rows.iter().map(|r| r[i].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for r in &rows {
        let line = format!(
            "{:<w0$}  {:<w1$}  {:<w2$}  {:<w3$}  {}",
            r[0],
            r[1],
            r[2],
            r[3],
            r[4],
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3]
        );
        let _ = writeln!(t, "{}", line.trim_end());
    }
    if let Some(fault) = &c.fault {
        let _ = writeln!(t, "{fault}");
    }
    let _ = writeln!(t, "verdict: {}", verdict_words(c.verdict));
    t
}

/// The verdict as a sentence.
pub(crate) fn verdict_words(change: Change) -> &'static str {
    match change {
        Change::Better => "B is better, and in nothing worse",
        Change::Worse => "B is WORSE",
        Change::Same => "no change beyond the noise",
        Change::Doubtful => {
            "nothing can be said of times: the harness was hindered (see the cautions); measure again on a quiet machine"
        }
        Change::Unknown => {
            "nothing can be said: it takes four runs of each; test each four times in turn (--json A1.json, B1.json, A2.json, …) \
             and compare A1.json,A2.json,A3.json,A4.json B1.json,B2.json,B3.json,B4.json"
        }
    }
}

#[cfg(test)]
mod tests;
