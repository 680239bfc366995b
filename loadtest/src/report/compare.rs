//! What changed between two reports, beyond the noise.
//!
//! The noise is what the runs of one report differ among each other, so both need several. A change counts
//! when chance alone would rarely put the runs of the two reports so far apart (the exact rank test of Mann and
//! Whitney, both sides) and when it is large enough to matter. Four runs a side are the least for which that
//! can be said at all.

use super::text::{findings, thousands, time};
use super::{Report, Run, median};
use std::fmt::Write as _;

/// How often chance alone may put two reports so far apart: four and four runs, fully apart, come to 1 in 35.
const CHANCE_MAX: f64 = 0.03;
/// A smaller change is not called one, however sure it is.
const CHANGE_MIN: f64 = 0.02;

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
            Self::Unknown => "too few runs to tell",
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
    /// How often chance alone would put them so far apart.
    pub(crate) chance: f64,
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

type Metric = (&'static str, Unit, bool, fn(&Run) -> Option<f64>);

/// Name, unit, whether more is better, where it stands. What is a time or a rate depends on the harness and its
/// machine; what the kernel counts of the server alone does not.
const METRICS: &[Metric] = &[
    // At a given rate the deliveries are what was asked for, and say nothing.
    ("deliveries per second", Unit::Count, true, |r| r.rate.is_none().then_some(r.deliveries_per_s)),
    ("latency p50", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p50)),
    ("latency p99", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p99)),
    ("latency p99.9", Unit::Us, false, |r| (r.latency_us.count > 0).then_some(r.latency_us.p999)),
    ("server CPU us per delivery", Unit::Plain, false, |r| r.server_cpu_us_per_delivery),
    ("server memory, highest", Unit::Octets, false, |r| r.server_rss_max.map(|b| b as f64)),
    ("visits: came in per second", Unit::Plain, true, |r| r.visits.as_ref().map(|v| v.entered_per_s)),
    ("visits: INVITE to 200 p50", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.stages.answered_us.p50)),
    ("visits: 200 to bound p50", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.stages.bound_us.p50)),
    ("visits: INVITE to bound p99", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.bound_us.p99)),
    ("visits: to first message p99", Unit::Us, false, |r| r.visits.as_ref().map(|v| v.first_message_us.p99)),
];

/// How the names of those begin that depend on the harness too.
const TIMES: [&str; 3] = ["latency", "visits", "deliveries"];

/// Keys that may differ between two tests of the same thing.
const FREE_KEYS: &[&str] = &["server", "server_pid", "domain", "password_file", "runs"];

/// Compares `b` with `a`.
pub(crate) fn compare(a: &Report, b: &Report) -> Comparison {
    let hindered = |r: &Report| r.runs.iter().any(|r| r.harness_is_bottleneck || r.harness_disturbed);
    let doubtful = hindered(a) || hindered(b);
    let lines: Vec<_> = METRICS
        .iter()
        .filter_map(|(name, unit, more, of)| {
            let (a, b) = (a.each(of), b.each(of));
            if a.is_empty() || b.is_empty() {
                return None;
            }
            let (change, chance) = judge(&a, &b, *more);
            let moved = matches!(change, Change::Better | Change::Worse);
            let change = if moved && doubtful && TIMES.iter().any(|t| name.starts_with(t)) {
                Change::Doubtful
            } else {
                change
            };
            Some(Line { name, unit: *unit, a, b, change, chance })
        })
        .collect();
    let delivered = |r: &Report| r.runs.iter().all(|run| run.ok);
    let fault = (delivered(a) && !delivered(b)).then(|| {
        let first =
            b.runs.iter().find_map(|r| r.first_fault.clone()).unwrap_or_else(|| "copies are missing".into());
        format!("A delivered everything, B did not: {first}")
    });
    let any = |c: Change| lines.iter().any(|l| l.change == c);
    let verdict = if fault.is_some() || any(Change::Worse) {
        Change::Worse
    } else if any(Change::Better) {
        Change::Better
    } else if any(Change::Doubtful) {
        Change::Doubtful
    } else if any(Change::Same) {
        Change::Same
    } else {
        Change::Unknown
    };
    Comparison { cautions: cautions(a, b), lines, verdict, fault }
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
        if r.runs.iter().any(|r| r.harness_is_bottleneck) {
            list.push(format!("{name}: the harness itself was at its limit"));
        }
        if r.runs.iter().any(|r| r.harness_disturbed) {
            list.push(format!("{name}: other programs ran on the harness's cores, or it woke late"));
        }
        // What B alone did not deliver is told as a fault.
        let delivered = r.runs.iter().all(|run| run.ok);
        if !(delivered || a.ok && name == "B") {
            list.push(format!("{name}: not everything was delivered"));
        }
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
        let sure = if line.change == Change::Unknown {
            String::new()
        } else {
            format!(" (chance {:.3})", line.chance)
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
        Change::Unknown => "nothing can be said: run each at least four times (--runs 5), in turn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let same = compare(&a, &quiet(5, 1_000));
        assert_eq!(same.verdict, Change::Same);
        let slower = quiet(5, 2_000);
        let c = compare(&a, &slower);
        assert_eq!(c.verdict, Change::Worse);
        let text = text(&c, &a, &slower);
        assert!(text.contains("latency p99") && text.contains("WORSE (chance 0.008)"), "{text}");
        assert_eq!(compare(&slower, &a).verdict, Change::Better);
        assert_eq!(compare(&report(1, 1_000, 0, None), &report(1, 9_000, 0, None)).verdict, Change::Unknown);
    }

    #[test]
    fn times_of_a_hindered_harness_are_not_laid_to_the_server() {
        let (a, mut b) = (quiet(5, 1_000), quiet(5, 2_000));
        b.runs[1].harness_disturbed = true;
        assert_eq!(compare(&a, &b).verdict, Change::Doubtful);
        // What the kernel counts of the server alone holds.
        b.runs.iter_mut().for_each(|r| r.server_cpu_us_per_delivery = Some(9.0));
        assert_eq!(compare(&a, &b).verdict, Change::Worse);
    }

    #[test]
    fn losing_what_was_not_lost_before_is_worse_whatever_the_numbers_say() {
        let c = compare(&report(1, 1_000, 0, None), &report(1, 1_000, 2, None));
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
        let cautions = compare(&a, &b).cautions;
        assert!(cautions.contains(&"rooms is 10 in A and 99 in B".to_owned()), "{cautions:?}");
        assert!(cautions.iter().any(|c| c.contains("another")));
        assert!(!cautions.iter().any(|c| c.contains("elsewhere")));
    }
}
