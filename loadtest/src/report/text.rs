//! A report for people at a terminal: what the oracle found first, then how fast, then how far to believe it.

use super::{Joined, Quantiles, Report, Run, Search, VisitReport, median};
use std::fmt::Write as _;

/// The table.
pub(crate) fn text(r: &Report) -> String {
    let mut t = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(t, "{name:<11} {value}");
    };
    if !r.note.is_empty() {
        row("note", r.note.clone());
    }
    row("verdict", verdict(r));
    if let Some(why) = &r.cut_short {
        row("cut short", format!("{why}; below is what was measured until then"));
    }
    row("joined", joined(&r.joined));
    let parts =
        r.joined.stages.parts().map(|(_, what, q)| format!("{what} p50 {} p99 {}", time(q.p50), time(q.p99)));
    let parts: Vec<_> = parts.collect();
    if !parts.is_empty() {
        row("", parts.join(", "));
    }
    if r.joined.harness_is_bottleneck {
        row("", JOINS_LIMITED.into());
    }
    for (i, run) in r.shown() {
        if r.runs.len() > 1 {
            row(&format!("-- run {}", i + 1), run.load());
        }
        run_rows(run, &mut row);
    }
    if r.runs.len() > 1 && r.search.is_none() {
        let middle = |of: fn(&Run) -> f64| median(r.each(|run| Some(of(run))));
        row(
            "-- median",
            format!(
                "{} deliveries/s, p50 {}, p99 {}",
                thousands(middle(|r| r.deliveries_per_s) as u64),
                time(middle(|r| r.latency_us.p50)),
                time(middle(|r| r.latency_us.p99))
            ),
        );
    }
    if let Some(search) = &r.search {
        search_rows(search, &mut row);
    }
    for w in &r.workers {
        row(
            "worker",
            format!("{}: {} rooms, its clock known to {}", w.name, w.rooms, time(w.clock_known_to_us)),
        );
    }
    t
}

fn verdict(r: &Report) -> String {
    let bad = r.runs.iter().filter(|run| !run.ok).count();
    match (r.ok, bad) {
        (true, _) => "ok".into(),
        (false, 0) if r.cut_short.is_some() => {
            "none: it ended before its time; nothing was wrong until then".into()
        }
        (false, 0) => "FAILED: nothing was run".into(),
        (false, _) if r.search.is_some() => {
            format!("{bad} of {} runs lost or refused something", r.runs.len())
        }
        (false, _) => format!("FAILED in {bad} of {} runs", r.runs.len()),
    }
}

fn run_rows(run: &Run, row: &mut impl FnMut(&str, String)) {
    row("oracle", oracle(run));
    if let Some(fault) = &run.first_fault {
        row("first fault", fault.clone());
    }
    row(
        "deliveries",
        format!(
            "{} in {} s ({}/s)",
            thousands(run.deliveries),
            (run.seconds * 1e3).round() / 1e3,
            thousands(run.deliveries_per_s as u64)
        ),
    );
    for (name, class) in run.kinds() {
        let sent = if class.messages > 0 {
            let (copies, messages) = (thousands(class.latency_us.count), thousands(class.messages));
            format!("  ({copies} copies measured, of {messages} messages sent)")
        } else {
            String::new()
        };
        row(name, quantiles(&class.latency_us) + &sent);
    }
    if run.receivers.len() > 1 {
        let one = |(name, g): (&String, &super::GroupReport)| {
            format!("{name} p50 {} p99 {}", time(g.latency_us.p50), time(g.latency_us.p99))
        };
        row("receivers", run.receivers.iter().map(one).collect::<Vec<_>>().join(", "));
    }
    if run.rooms.count > 1 {
        let r = &run.rooms;
        row(
            "rooms",
            format!(
                "p99 from {} (best) over {} (middle) to {} (worst: room {}), of {}",
                time(r.p99_best),
                time(r.p99_middle),
                time(r.p99_worst),
                r.worst.first().map_or(0, |w| w.0),
                r.count
            ),
        );
    }
    if let Some(visits) = &run.visits {
        visit_rows(visits, row);
    }
    if let Some(text) = server(run) {
        row("server", text);
    }
    row("harness", harness(run));
}

fn oracle(run: &Run) -> String {
    // The first four are told of every run.
    let told = |(i, (_, count)): &(usize, (&str, u64))| *i < 4 || *count > 0;
    let counts = run.faults().into_iter().chain(run.besides()).enumerate().filter(told);
    let counts: Vec<_> = counts.map(|(_, (name, count))| format!("{name} {count}")).collect();
    let mut text = counts.join("  ");
    let _ = write!(text, "  ({} deliveries judged)", thousands(run.deliveries_judged));
    if run.lost > 0 {
        text.push_str("; what was lost is in no latency below");
    }
    if !run.ok && (run.harness_is_bottleneck || run.harness_disturbed) {
        text.push_str("; the harness was hindered (below), which may be why");
    }
    text
}

fn visit_rows(v: &VisitReport, row: &mut impl FnMut(&str, String)) {
    let mut came = format!(
        "{} begun, {} came in ({:.1}/s; from {:.1} to {:.1}/s over time), {} failed",
        thousands(v.begun),
        thousands(v.entered),
        v.entered_per_s,
        v.entered_per_s_least,
        v.entered_per_s_most,
        v.failed
    );
    if let Some(cpu) = v.server_cpu_us_per_join {
        let _ = write!(came, ", {cpu:.0} us of all the server's CPU each");
    }
    row("visits", came);
    row("to 200", quantiles(&v.invite_us));
    row("to bound", quantiles(&v.bound_us));
    row("to message", quantiles(&v.first_message_us));
    for (name, _, q) in v.stages.parts() {
        row(name, quantiles(q));
    }
}

fn server(run: &Run) -> Option<String> {
    if run.server_ended {
        return Some("its process ended before the run did: what it used is not known".into());
    }
    let cores = run.server_cpu_cores?;
    let mut text = format!("{cores:.2} cores");
    if let Some(cpu) = run.server_cpu_us_per_delivery {
        let _ = write!(
            text,
            ", {cpu:.2} us CPU per delivery (user {:.2}, system {:.2})",
            run.server_cpu_user_us_per_delivery.unwrap_or_default(),
            run.server_cpu_system_us_per_delivery.unwrap_or_default()
        );
    }
    if let Some(rss) = run.server_rss_max {
        let _ = write!(text, ", at most {} KiB resident", thousands(rss / 1024));
    }
    Some(text)
}

fn harness(run: &Run) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let mut text = format!("busy {}", percent(run.harness_busy));
    if percent(run.harness_busy_most) != percent(run.harness_busy) {
        let _ = write!(text, " (its busiest thread {})", percent(run.harness_busy_most));
    }
    if run.visits.is_some() {
        let _ = write!(text, ", SIP {}", percent(run.harness_sip_busy));
    }
    let _ = write!(text, ", {:.2} cores, {:.2} copies per read", run.harness_cpu_cores, run.copies_per_read);
    if let Some(lag) = run.harness_lag_p99_us {
        let _ = write!(text, ", lag p99 {}", time(lag));
    }
    for line in warnings(run) {
        let _ = write!(text, "\n            {line}");
    }
    text
}

/// What the oracle found in all runs together.
pub(crate) fn findings(r: &Report) -> String {
    let sum = |of: fn(&Run) -> u64| r.runs.iter().map(of).sum::<u64>();
    format!(
        "{} runs, {} deliveries judged: lost {}  duplicates {}  out of order {}  foreign {}",
        r.runs.len(),
        thousands(sum(|r| r.deliveries_judged)),
        sum(|r| r.lost),
        sum(|r| r.duplicates),
        sum(|r| r.out_of_order),
        sum(|r| r.foreign)
    )
}

/// What is said where coming in was as quick as the harness could be.
pub(crate) const JOINS_LIMITED: &str = "the harness itself was at its limit while they came in: the server can do better than this; give it more workers";

/// What keeps the numbers of a run from being the server's alone.
pub(crate) fn warnings(run: &Run) -> Vec<&'static str> {
    let mut lines = Vec::new();
    if run.harness_is_bottleneck {
        lines.push(
            "the harness itself was at its limit: the server can do better than this; give the harness cores of its \
             own (--cores), more threads or workers, or a lower --rate (--visits where SIP is what is busy)",
        );
    }
    if run.harness_disturbed {
        lines.push(
            "other programs ran on the harness's cores, or it slept and woke late: latency is partly theirs; run it on a \
             quiet machine, without --sleep",
        );
    }
    lines
}

fn joined(j: &Joined) -> String {
    let mut text = format!(
        "{} participants in {:.2} s ({}/s), INVITE to bound p50 {} p99 {}",
        thousands(j.participants),
        j.seconds,
        thousands(j.per_s as u64),
        time(j.bound_us.p50),
        time(j.bound_us.p99)
    );
    if let Some(cpu) = j.server_cpu_us_per_join {
        let _ = write!(text, ", {cpu:.0} us CPU each");
    }
    if let Some(rss) = j.server_rss_per_session {
        let _ = write!(text, ", {rss:.0} octets resident each");
    }
    text
}

fn search_rows(s: &Search, row: &mut impl FnMut(&str, String)) {
    for a in &s.attempts {
        let met = if a.met { "met" } else { "missed" };
        let harness = if a.harness_is_bottleneck { " (harness at its limit)" } else { "" };
        row(
            "attempt",
            format!(
                "{:.2} per room and second, {}/s: {}, {} lost: {met}{harness}",
                a.rate,
                thousands(a.deliveries_per_s as u64),
                a.quantile_us.map_or("nothing measured".into(), time),
                a.lost
            ),
        );
    }
    row("highest", format!("{}; {}", highest(s), s.ended));
}

/// The rate that a search found.
pub(crate) fn highest(s: &Search) -> String {
    let objective = format!("p{} within {}", s.objective_quantile * 100.0, time(s.objective_us));
    if s.best_rate == 0.0 {
        return format!("no rate had {objective}");
    }
    let above = s.too_high.map_or(String::new(), |r| format!(", {r:.2} is too high"));
    format!("{:.2} messages per room and second with {objective}{above}", s.best_rate)
}

fn quantiles(q: &Quantiles) -> String {
    let [p50, p90, p99, p999, max] = [q.p50, q.p90, q.p99, q.p999, q.max].map(|us| told(q, us));
    format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}")
}

/// One of the times of `q`; of nothing there are none.
pub(crate) fn told(q: &Quantiles, us: f64) -> String {
    if q.count == 0 { "-".into() } else { time(us) }
}

/// Microseconds in a unit that fits.
pub(crate) fn time(us: f64) -> String {
    match us {
        _ if us < 1_000.0 => format!("{us:.0} us"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

/// A number with a comma between thousands.
pub(crate) fn thousands(n: u64) -> String {
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
    use crate::report::tests::report;

    #[test]
    fn what_the_oracle_found_comes_first() {
        let text = text(&report(1, 2_000, 3, None));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "verdict     FAILED in 1 of 1 runs");
        assert!(lines[2].starts_with("oracle      lost 3  duplicates 0"), "{text}");
    }

    #[test]
    fn lag_is_told_of_a_rate_only() {
        assert!(text(&report(1, 1_000, 0, Some(10.0))).contains("lag p99"));
        assert!(!text(&report(1, 1_000, 0, None)).contains("lag p99"));
    }

    #[test]
    fn several_runs_have_a_median() {
        assert!(text(&report(3, 1_000, 0, None)).contains("-- median   100 deliveries/s, p50 1.00 ms"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
