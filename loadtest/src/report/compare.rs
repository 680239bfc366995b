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
const TIMES: [&str; 3] = ["latency", "visits", "deliveries"];

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
    let time = TIMES.iter().any(|t| name.starts_with(t));
    let side = |r: &Report| -> Vec<f64> {
        let all = !time || left_out(r) == 0;
        r.runs.iter().filter(|run| all || of_use(run)).filter_map(of).collect()
    };
    let (va, vb) = (side(a), side(b));
    if va.is_empty() || vb.is_empty() {
        return None;
    }
    let (change, chance) = judge(&va, &vb, *more);
    let moved = matches!(change, Change::Better | Change::Worse);
    let doubtful = [a, b].iter().any(|r| left_out(r) == 0 && !r.runs.iter().all(of_use));
    let change = if moved && time && doubtful { Change::Doubtful } else { change };
    Some(Line { name, unit: *unit, a: va, b: vb, change, chance: Some(chance) })
}

fn joins(a: &Report, b: &Report) -> impl Iterator<Item = Line> {
    let limited = [a, b].into_iter().any(joins_limited);
    JOINS.iter().filter_map(move |(name, unit, more, of)| {
        let side = |r: &Report| {
            std::iter::once(&r.joined).chain(&r.others_joined).map(of).collect::<Option<Vec<_>>>()
        };
        let time = !name.starts_with("joins: server");
        let (a, b) = (side(a)?, side(b)?);
        let (change, chance) = judge(&a, &b, *more);
        let moved = matches!(change, Change::Better | Change::Worse);
        let change = if moved && time && limited { Change::Doubtful } else { change };
        Some(Line { name, unit: *unit, a, b, change, chance: Some(chance) })
    })
}

/// Whether coming in was as quick as the harness could be, in any of the tests.
fn joins_limited(r: &Report) -> bool {
    std::iter::once(&r.joined).chain(&r.others_joined).any(|j| j.harness_is_bottleneck)
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
    let sure = |lower: &Search, change: Change| if limited(lower) { Change::Doubtful } else { change };
    let change = if b.best_rate >= above(a) {
        sure(a, Change::Better)
    } else if a.best_rate >= above(b) {
        sure(b, Change::Worse)
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
mod tests {
    use super::*;
    use crate::report::Attempt;
    use crate::report::tests::report;

    #[test]
    fn chance_is_that_of_the_exact_test() {
        // Tables of the test: 3 and 3 fully apart 0.1, 4 and 4 0.0286, 5 and 5 0.0079.
        let near = |x: f64, y: f64| (x - y).abs() < 0.0005;
        assert!(near(chance(&[1., 2., 3.], &[4., 5., 6.]), 0.1));
        assert!(near(chance(&[1., 2., 3., 4.], &[5., 6., 7., 8.]), 0.0286));
        assert!(near(chance(&[6., 7., 8., 9., 10.], &[1., 2., 3., 4., 5.]), 0.0079));
        // One pair the other way round: U = 1 of 16, (1 + 1) * 2 / 70.
        assert!(near(chance(&[1., 2., 3., 5.], &[4., 6., 7., 8.]), 0.0571));
        assert!(near(chance(&[1., 1., 1., 1.], &[1., 1., 1., 1.]), 1.0));
        assert_eq!(ways(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn a_change_counts_when_it_is_sure_and_large_enough() {
        let base = [100., 101., 102., 103., 104.];
        let times = |k: f64| base.map(|x| x * k);
        assert_eq!(judge(&base, &times(1.2), false).0, Change::Worse);
        assert_eq!(judge(&base, &times(1.2), true).0, Change::Better);
        assert_eq!(judge(&base, &times(0.8), false).0, Change::Better);
        assert_eq!(judge(&base, &times(1.01), false).0, Change::Same);
        // Sure, but too small to matter.
        assert_eq!(judge(&[100.0, 100.1, 100.2, 100.3, 100.4], &[101.0; 5], false).0, Change::Same);
        assert_eq!(judge(&base[..3], &times(9.0)[..3], false).0, Change::Unknown);
    }

    /// A report of an undisturbed harness.
    fn quiet(runs: u32, latency_us: u64) -> Report {
        let mut r = report(runs, latency_us, 0, Some(1.0));
        r.runs.iter_mut().for_each(|r| r.harness_disturbed = false);
        r
    }

    #[test]
    fn two_reports_of_the_same_are_the_same_and_slower_ones_are_worse() {
        let a = quiet(5, 1_000);
        let same = compare(&a, &quiet(5, 1_000)).unwrap();
        assert_eq!(same.verdict, Change::Same);
        let slower = quiet(5, 2_000);
        let c = compare(&a, &slower).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        let text = text(&c, &a, &slower);
        assert!(text.contains("latency p99") && text.contains("WORSE (chance 0.008)"), "{text}");
        assert_eq!(compare(&slower, &a).unwrap().verdict, Change::Better);
        assert_eq!(
            compare(&report(1, 1_000, 0, None), &report(1, 9_000, 0, None)).unwrap().verdict,
            Change::Unknown
        );
    }

    #[test]
    fn times_of_a_hindered_harness_are_not_laid_to_the_server() {
        let (a, mut b) = (quiet(5, 1_000), quiet(5, 2_000));
        b.runs[..2].iter_mut().for_each(|r| r.harness_disturbed = true);
        assert_eq!(compare(&a, &b).unwrap().verdict, Change::Doubtful);
        // Neither is B better for what else got better meanwhile.
        b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = Some(1.0));
        assert_eq!(compare(&a, &b).unwrap().verdict, Change::Doubtful);
        // What the kernel counts of the server alone holds.
        b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = Some(9.0));
        assert_eq!(compare(&a, &b).unwrap().verdict, Change::Worse);
    }

    #[test]
    fn losing_what_was_not_lost_before_is_worse_whatever_the_numbers_say() {
        let c = compare(&report(1, 1_000, 0, None), &report(1, 1_000, 2, None)).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        assert!(c.fault.is_some());
    }

    #[test]
    fn tests_of_different_things_are_compared_with_caution() {
        let a = report(1, 1_000, 0, None);
        let mut b = a.clone();
        b.scenario.insert("rooms".into(), 99.into());
        b.scenario.insert("server".into(), "elsewhere:5060".into());
        b.host = "another".into();
        let cautions = compare(&a, &b).unwrap().cautions;
        assert!(cautions.contains(&"rooms is 10 in A and 99 in B".to_owned()), "{cautions:?}");
        assert!(cautions.iter().any(|c| c.contains("another")));
        assert!(!cautions.iter().any(|c| c.contains("elsewhere")));
    }

    #[test]
    fn hindered_runs_are_left_out_if_enough_others_remain() {
        let (a, mut b) = (quiet(5, 1_000), quiet(5, 2_000));
        b.runs[3].harness_disturbed = true;
        let c = compare(&a, &b).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        let p99 = c.lines.iter().find(|l| l.name == "latency p99").unwrap();
        assert_eq!((p99.a.len(), p99.b.len()), (5, 4));
        assert!(
            c.cautions.iter().any(|c| c.starts_with("B: ") && c.contains("left out")),
            "{:?}",
            c.cautions
        );
    }

    #[test]
    fn losing_far_more_than_before_is_worse_and_losing_as_much_is_not() {
        let a = report(1, 1_000, 5, None);
        assert_eq!(compare(&a, &report(1, 1_000, 6, None)).unwrap().verdict, Change::Unknown);
        let c = compare(&a, &report(1, 1_000, 500, None)).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        assert!(c.fault.unwrap().contains("went wrong in A"));
    }

    #[test]
    fn a_test_that_ended_before_its_time_is_worse_unless_somebody_stopped_it() {
        let (a, mut b) = (quiet(5, 1_000), quiet(5, 1_000));
        (b.ok, b.cut_short) = (false, Some("INVITE of sip:u0@x: connection refused".into()));
        let c = compare(&a, &b).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        assert!(c.fault.unwrap().contains("connection refused"));
        b.cut_short = Some(STOPPED.into());
        assert_eq!(compare(&a, &b).unwrap().verdict, Change::Same);
    }

    #[test]
    fn of_searches_the_highest_rates_are_compared_as_far_as_they_are_known() {
        let searched = |best_rate: f64, too_high: Option<f64>| {
            let mut r = quiet(1, 1_000);
            r.search = Some(Search {
                objective_us: 1e4,
                objective_quantile: 0.99,
                best_rate,
                too_high,
                ended: String::new(),
                attempts: Vec::new(),
            });
            r
        };
        let verdict = |a: &Report, b: &Report| compare(a, b).unwrap().verdict;
        let a = searched(100.0, Some(105.0));
        assert_eq!(verdict(&a, &searched(103.0, Some(108.0))), Change::Same);
        assert_eq!(verdict(&a, &searched(90.0, Some(95.0))), Change::Worse);
        assert_eq!(verdict(&a, &searched(110.0, None)), Change::Better);
        assert!(compare(&a, &quiet(5, 1_000)).is_err());
        // Unless it was the harness that could do no more.
        let mut limited = searched(90.0, Some(95.0));
        limited.search.as_mut().unwrap().attempts.push(Attempt {
            rate: 95.0,
            deliveries_per_s: 1.0,
            quantile_us: None,
            lost: 0,
            met: false,
            harness_is_bottleneck: true,
        });
        assert_eq!(verdict(&a, &limited), Change::Doubtful);
        assert_eq!(verdict(&limited, &a), Change::Doubtful);
        assert_eq!(verdict(&limited, &searched(80.0, Some(85.0))), Change::Worse);
        let cautions = compare(&a, &limited).unwrap().cautions;
        assert!(cautions.iter().any(|c| c.starts_with("B: the harness itself")), "{cautions:?}");
    }

    #[test]
    fn losses_of_b_count_whatever_else_was_wrong_with_a() {
        let mut a = report(1, 1_000, 0, None);
        (a.ok, a.runs[0].ok, a.runs[0].server_ended) = (false, false, true);
        let c = compare(&a, &report(1, 1_000, 50, None)).unwrap();
        assert_eq!(c.verdict, Change::Worse);
        assert!(c.fault.is_some());
    }

    #[test]
    fn what_only_one_side_has_measured_is_named() {
        let (a, mut b) = (quiet(5, 1_000), quiet(5, 1_000));
        b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = None);
        let cautions = compare(&a, &b).unwrap().cautions;
        assert!(
            cautions.iter().any(|c| c.starts_with("server CPU us per delivery: measured in A only")),
            "{cautions:?}"
        );
    }

    #[test]
    fn how_quickly_people_came_in_is_not_laid_to_the_server_where_the_harness_was_at_its_limit() {
        let taking = |us: f64, limited: bool| {
            let mut r = quiet(5, 1_000);
            (r.joined.per_s, r.joined.server_cpu_us_per_join) = (1e6 / us, Some(us));
            r.joined.harness_is_bottleneck = limited;
            r.others_joined = vec![r.joined.clone(); 3];
            r
        };
        let change = |a: &Report, b: &Report, name: &str| {
            compare(a, b).unwrap().lines.iter().find(|l| l.name == name).unwrap().change
        };
        let (a, b) = (taking(100.0, false), taking(200.0, true));
        assert_eq!(change(&a, &b, "joins: came in per second"), Change::Doubtful);
        assert_eq!(change(&a, &b, "joins: server CPU us each"), Change::Worse);
        assert_eq!(change(&a, &taking(200.0, false), "joins: came in per second"), Change::Worse);
    }

    #[test]
    fn runs_made_in_one_go_are_compared_with_caution() {
        let a = quiet(5, 1_000);
        let mut b = quiet(5, 2_000);
        let said = |c: &Comparison| c.cautions.iter().any(|c| c.contains("in one go"));
        assert!(said(&compare(&a, &b).unwrap()));
        b.others_joined = vec![b.joined.clone(); 3];
        assert!(!said(&compare(&a, &b).unwrap()));
    }

    #[test]
    fn what_coming_in_took_is_compared_too_and_judged_where_there_are_several_of_each() {
        let taking = |files: usize, us: f64| {
            let mut r = quiet(5, 1_000);
            r.joined.server_cpu_us_per_join = Some(us);
            r.others_joined = vec![r.joined.clone(); files - 1];
            r
        };
        let of = |c: &Comparison| {
            let line = c.lines.iter().find(|l| l.name == "joins: server CPU us each").unwrap();
            (line.change, c.verdict)
        };
        assert_eq!(
            of(&compare(&taking(1, 100.0), &taking(1, 200.0)).unwrap()),
            (Change::Unknown, Change::Same)
        );
        assert_eq!(
            of(&compare(&taking(4, 100.0), &taking(4, 200.0)).unwrap()),
            (Change::Worse, Change::Worse)
        );
    }
}
