//! A report as one page that opens in any browser without a network: its style and its charts are inside.

use super::charts::{histogram, mebibytes, over_time, percentiles};
use super::compare::{Change, Comparison, verdict_words};
use super::plot::{Chart, Series, escape, svg};
use super::text::{JOINS_LIMITED, findings, highest, thousands, time, told, warnings};
use super::{Quantiles, Report, Run, Search};
use std::fmt::Write as _;

/// Rooms in their chart, at most.
const ROOM_POINTS: usize = 200;

/// The page of one report, or of two beside each other.
pub(crate) fn page(a: &Report, b: Option<(&Report, &Comparison)>) -> String {
    let title = if b.is_some() { "Load test: A and B" } else { "Load test" };
    let mut t = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
    );
    match b {
        None => one(&mut t, a),
        Some((b, c)) => two(&mut t, a, b, c),
    }
    let _ = writeln!(
        t,
        "<footer>Made by openmsrp-loadtest {}. Latency counts from the moment a message was due, not from the moment it \
         was sent. What each number means and what it cannot tell is in docs/LOADTEST.md.</footer>\n</main></body></html>",
        escape(&a.tool)
    );
    t
}

fn one(t: &mut String, r: &Report) {
    head(t, r, "");
    verdict(t, r);
    oracle(t, r);
    if let Some(search) = &r.search {
        search_part(t, search);
    }
    for (nth, (i, run)) in r.shown().into_iter().enumerate() {
        if r.runs.len() > 1 {
            let how = run.load();
            let _ = writeln!(
                t,
                "<details{}><summary>Run {}: {how}, {} deliveries/s, p99 {}</summary>",
                if nth == 0 { " open" } else { "" },
                i + 1,
                thousands(run.deliveries_per_s as u64),
                time(run.latency_us.p99)
            );
        }
        run_part(t, run);
        if r.runs.len() > 1 {
            t.push_str("</details>\n");
        }
    }
    joined(t, r);
    workers(t, r);
    scenario(t, r);
}

fn two(t: &mut String, a: &Report, b: &Report, c: &Comparison) {
    let class = match c.verdict {
        Change::Worse => "bad",
        Change::Better => "good",
        Change::Same | Change::Unknown | Change::Doubtful => "plain",
    };
    let _ = writeln!(t, "<p class=\"verdict {class}\">{}</p>", verdict_words(c.verdict));
    for (name, r) in [("A", a), ("B", b)] {
        let _ = writeln!(t, "<p>{name}: {}</p>", findings(r));
    }
    if let Some(fault) = &c.fault {
        let _ = writeln!(t, "<p class=\"warning\">{}</p>", escape(fault));
    }
    for caution in &c.cautions {
        let _ = writeln!(t, "<p class=\"warning\">Caution: {}</p>", escape(caution));
    }
    comparison(t, c);
    if let (Some(ra), Some(rb)) = (middle(a), middle(b)) {
        let both = [("A", 1, ra.latency_histogram.as_slice()), ("B", 2, rb.latency_histogram.as_slice())];
        t.push_str(&histogram(&both));
        t.push_str(&percentiles(&both));
        t.push_str(&over_time(
            "Latency p99 over time",
            true,
            time,
            &[("A", 1, false, ra, |m| Some(m.p99_us)), ("B", 2, false, rb, |m| Some(m.p99_us))],
        ));
        t.push_str(&over_time(
            "Deliveries per second over time",
            false,
            |v| thousands(v as u64),
            &[
                ("A", 1, false, ra, |m| Some(m.deliveries_per_s)),
                ("B", 2, false, rb, |m| Some(m.deliveries_per_s)),
            ],
        ));
        t.push_str(&over_time(
            "Server CPU, cores in use",
            false,
            |v| format!("{v:.2}"),
            &[("A", 1, false, ra, |m| m.server_cpu_cores), ("B", 2, false, rb, |m| m.server_cpu_cores)],
        ));
        t.push_str(&over_time(
            "Server memory",
            false,
            |v| format!("{v:.1} MiB"),
            &[("A", 1, false, ra, mebibytes), ("B", 2, false, rb, mebibytes)],
        ));
        let _ =
            writeln!(t, "<p class=\"note\">The charts show the run of each whose p99 is in the middle.</p>");
    }
    for (name, r) in [("A", a), ("B", b)] {
        head(t, r, name);
        oracle(t, r);
        scenario(t, r);
    }
}

/// The run whose p99 is in the middle.
fn middle(r: &Report) -> Option<&Run> {
    let mut runs: Vec<_> = r.runs.iter().collect();
    runs.sort_by(|a, b| a.latency_us.p99.total_cmp(&b.latency_us.p99));
    runs.get(runs.len() / 2).copied()
}

fn comparison(t: &mut String, c: &Comparison) {
    t.push_str("<table><thead><tr><th></th><th>A</th><th>B</th><th>B / A</th><th></th><th>chance</th></tr></thead><tbody>\n");
    for line in &c.lines {
        let [a, b, ratio] = line.cells();
        let class = match line.change {
            Change::Worse => " class=\"bad\"",
            Change::Better => " class=\"good\"",
            Change::Same | Change::Unknown | Change::Doubtful => "",
        };
        let _ = writeln!(
            t,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{ratio}</td><td{class}>{}</td><td>{}</td></tr>",
            line.name,
            narrow(&a),
            narrow(&b),
            line.change.words(),
            line.chance.map_or(String::new(), |c| format!("{c:.3}"))
        );
    }
    t.push_str("</tbody></table>\n<p class=\"note\">Medians, with the range of the runs. Chance: how often runs of two equal servers lie so far apart.</p>\n");
}

/// A number with its range below it, so that the verdict stays in sight.
fn narrow(cell: &str) -> String {
    cell.split_once(" (").map_or(cell.to_owned(), |(middle, range)| format!("{middle}<div>({range}</div>"))
}

fn head(t: &mut String, r: &Report, name: &str) {
    if !name.is_empty() {
        let _ = writeln!(t, "<h2>{name}</h2>");
    }
    if !r.note.is_empty() {
        let _ = writeln!(t, "<p><b>{}</b></p>", escape(&r.note));
    }
    let _ = writeln!(t, "<p class=\"note\">{}, measured on {}</p>", escape(&r.date), escape(&r.host));
}

fn verdict(t: &mut String, r: &Report) {
    let (class, words) = if r.ok {
        ("good", "Everything was delivered once, whole and in order".to_owned())
    } else if let Some(why) = r.cut_short.as_ref().filter(|_| r.runs.iter().all(|run| run.ok)) {
        ("plain", format!("It ended before its time ({why}); nothing was wrong until then"))
    } else if r.search.is_some() {
        ("plain", "A search goes beyond the limit: what was lost there is below".to_owned())
    } else {
        let first = r.runs.iter().find_map(|r| r.first_fault.clone()).unwrap_or_default();
        ("bad", format!("FAILED. First fault: {first}"))
    };
    let _ = writeln!(t, "<p class=\"verdict {class}\">{}</p>", escape(&words));
}

fn oracle(t: &mut String, r: &Report) {
    t.push_str("<h2>What the oracle found</h2>\n<table><thead><tr><th>run</th><th>judged</th>");
    let columns = r.runs.first().map(|run| run.faults().into_iter().chain(run.besides()));
    for (name, _) in columns.into_iter().flatten() {
        let _ = write!(t, "<th>{name}</th>");
    }
    t.push_str("</tr></thead><tbody>\n");
    for (i, run) in r.runs.iter().enumerate() {
        let _ = write!(t, "<tr><th>{}</th><td>{}</td>", i + 1, thousands(run.deliveries_judged));
        for (_, count) in run.faults() {
            let class = if count > 0 { " class=\"bad\"" } else { "" };
            let _ = write!(t, "<td{class}>{}</td>", thousands(count));
        }
        for (_, count) in run.besides() {
            let _ = write!(t, "<td>{}</td>", thousands(count));
        }
        t.push_str("</tr>\n");
    }
    t.push_str("</tbody></table>\n");
}

fn run_part(t: &mut String, run: &Run) {
    for warning in warnings(run) {
        let _ = writeln!(t, "<p class=\"warning\">{}</p>", escape(warning));
    }
    t.push_str("<div class=\"tiles\">");
    let mut tile = |name: &str, value: String| {
        let _ = write!(t, "<div><span>{name}</span><b>{}</b></div>", escape(&value));
    };
    tile("deliveries per second", thousands(run.deliveries_per_s as u64));
    tile("latency p50", time(run.latency_us.p50));
    tile("latency p99", time(run.latency_us.p99));
    tile("latency p99.9", time(run.latency_us.p999));
    if let Some(cpu) = run.server_cpu_us_per_delivery {
        tile("server CPU per delivery", format!("{cpu:.2} us"));
    }
    if let Some(rss) = run.server_rss_max {
        tile("server memory", format!("{:.1} MiB", rss as f64 / 1_048_576.0));
    }
    tile("harness busy", format!("{:.0} %", run.harness_busy_most.max(run.harness_busy) * 100.0));
    if let Some(lag) = run.harness_lag_p99_us {
        tile("harness lag p99", time(lag));
    }
    t.push_str("</div>\n");
    let groups: Vec<_> = ["listeners", "publishers", "visitors"]
        .into_iter()
        .zip(1..)
        .filter_map(|(name, colour)| {
            Some((name, colour, run.receivers.get(name)?.latency_histogram.as_slice()))
        })
        .collect();
    // Of a kind that is no text there are no groups.
    let groups =
        if groups.is_empty() { vec![("latency", 1, run.latency_histogram.as_slice())] } else { groups };
    t.push_str(&percentiles(&groups));
    t.push_str(&histogram(&groups));
    t.push_str(&over_time(
        "Latency over time",
        true,
        time,
        &[
            ("highest", 3, true, run, |m| Some(m.max_us)),
            ("p99", 2, false, run, |m| Some(m.p99_us)),
            ("p50", 1, false, run, |m| Some(m.p50_us)),
        ],
    ));
    t.push_str(&over_time(
        "Throughput: deliveries per second",
        false,
        |v| thousands(v as u64),
        &[("deliveries", 1, false, run, |m| Some(m.deliveries_per_s))],
    ));
    t.push_str(&over_time(
        "Server CPU, cores in use",
        false,
        |v| format!("{v:.2}"),
        &[("cores", 4, false, run, |m| m.server_cpu_cores)],
    ));
    t.push_str(&over_time(
        "Server memory",
        false,
        |v| format!("{v:.1} MiB"),
        &[("resident", 4, false, run, mebibytes)],
    ));
    visits(t, run);
    classes(t, run);
    rooms(t, run);
}

/// Who came and went.
fn visits(t: &mut String, run: &Run) {
    let Some(v) = &run.visits else { return };
    let _ = writeln!(
        t,
        "<p><b>Visitors</b>: {} begun, {} came in ({:.1} a second; from {:.1} to {:.1} over time), {} failed.{}</p>",
        thousands(v.begun),
        thousands(v.entered),
        v.entered_per_s,
        v.entered_per_s_least,
        v.entered_per_s_most,
        thousands(v.failed),
        v.server_cpu_us_per_join
            .map_or(String::new(), |c| format!(" All of the server's CPU time by join: {c:.0} us."))
    );
    t.push_str(&over_time(
        "Joins per second",
        false,
        |v| format!("{v:.0}"),
        &[("joins", 1, false, run, |m| m.joins_per_s)],
    ));
    t.push_str(&over_time(
        "Join time, from when the INVITE was due to bound",
        true,
        time,
        &[("p99", 2, false, run, |m| m.join_p99_us), ("p50", 1, false, run, |m| m.join_p50_us)],
    ));
}

fn classes(t: &mut String, run: &Run) {
    let mut rows: Vec<(String, u64, u64, Quantiles)> = run
        .kinds()
        .into_iter()
        .map(|(name, c)| (name.to_owned(), c.messages, c.lost, c.latency_us))
        .collect();
    if let Some(v) = &run.visits {
        rows.push((format!("join: INVITE to 200 ({} failed)", v.failed), v.entered, 0, v.invite_us));
        rows.push(("join: INVITE to bound".into(), v.entered, 0, v.bound_us));
        rows.push(("join: INVITE to first message".into(), v.entered, 0, v.first_message_us));
        rows.extend(v.stages.parts().map(|(_, what, q)| (format!("of it: {what}"), v.entered, 0, *q)));
    }
    t.push_str("<table><thead><tr><th>latency by kind</th><th>sent</th><th>lost</th><th>measured</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>\n");
    for (name, sent, lost, q) in rows {
        let _ = writeln!(
            t,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&name),
            thousands(sent),
            thousands(lost),
            thousands(q.count),
            told(&q, q.p50),
            told(&q, q.p90),
            told(&q, q.p99),
            told(&q, q.p999),
            told(&q, q.max)
        );
    }
    t.push_str("</tbody></table>\n");
}

fn rooms(t: &mut String, run: &Run) {
    if run.rooms.count < 2 {
        return;
    }
    let r = &run.rooms;
    let line = |name, colour, of: fn(&super::RoomReport) -> f64| {
        // So many that a page can hold; the ends are always there.
        let step = r.each.len().div_ceil(ROOM_POINTS).max(1);
        let points = r.each.iter().rev().enumerate().map(|(i, room)| (i as f64 + 1.0, of(room)));
        let last = r.each.len().saturating_sub(1);
        let points = points.enumerate().filter(|(i, _)| i % step == 0 || *i == last).map(|(_, p)| p);
        Series { name, colour, dashed: false, points: points.collect() }
    };
    t.push_str(&svg(&Chart {
        title: "Latency of the rooms, from the best to the worst",
        x_name: "rooms, by p99",
        log_y: true,
        y_text: time,
        x_text: |n| format!("room {n:.0}"),
        x_marks: Vec::new(),
        series: vec![line("p99", 2, |r| r.p99_us), line("p50", 1, |r| r.p50_us)],
    }));
    let _ = writeln!(
        t,
        "<p class=\"note\">Rooms beside each other: p99 {} in the best of {}, {} in the middle, {} in the worst.</p>\n\
         <table><thead><tr><th>slowest rooms</th><th>p50</th><th>p99</th></tr></thead><tbody>",
        time(r.p99_best),
        r.count,
        time(r.p99_middle),
        time(r.p99_worst)
    );
    for (room, p50, p99) in &r.worst {
        let _ = writeln!(t, "<tr><th>room {room}</th><td>{}</td><td>{}</td></tr>", time(*p50), time(*p99));
    }
    t.push_str("</tbody></table>\n");
}

fn search_part(t: &mut String, s: &Search) {
    let _ = writeln!(
        t,
        "<h2>Search</h2>\n<p class=\"verdict plain\">Highest: {}; {}.</p>\n\
         <table><thead><tr><th>messages per room and second</th><th>deliveries/s</th><th>p{}</th><th>lost</th><th></th></tr></thead><tbody>",
        highest(s),
        escape(&s.ended),
        s.objective_quantile * 100.0
    );
    for a in &s.attempts {
        let (class, words) = if a.met { ("good", "met") } else { ("bad", "missed") };
        let _ = writeln!(
            t,
            "<tr><th>{:.2}</th><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{words}{}</td></tr>",
            a.rate,
            thousands(a.deliveries_per_s as u64),
            a.quantile_us.map_or("-".into(), time),
            thousands(a.lost),
            if a.harness_is_bottleneck { ", harness at its limit" } else { "" }
        );
    }
    t.push_str("</tbody></table>\n");
}

fn joined(t: &mut String, r: &Report) {
    let j = &r.joined;
    let part = |(_, what, q): (&str, &str, &Quantiles)| {
        format!(" {}: p50 {}, p99 {}.", escape(what), time(q.p50), time(q.p99))
    };
    let parts: String = j.stages.parts().map(part).collect();
    let _ = writeln!(
        t,
        "<h2>Joining, before the load</h2>\n<p>{} participants in {:.2} s: {} a second. INVITE to 200: p50 {}, p99 {}. INVITE to \
         bound: p50 {}, p99 {}.{}{}</p>\n<p>In parts:{parts}</p>",
        thousands(j.participants),
        j.seconds,
        thousands(j.per_s as u64),
        time(j.invite_us.p50),
        time(j.invite_us.p99),
        time(j.bound_us.p50),
        time(j.bound_us.p99),
        j.server_cpu_us_per_join
            .map_or(String::new(), |c| format!(" The server took {c:.0} us of CPU for each.")),
        j.server_rss_per_session
            .map_or(String::new(), |b| format!(" Each holds {b:.0} octets of its resident memory."))
    );
    if j.harness_is_bottleneck {
        let _ = writeln!(t, "<p class=\"warning\">{}</p>", escape(JOINS_LIMITED));
    }
}

fn workers(t: &mut String, r: &Report) {
    if r.workers.is_empty() {
        return;
    }
    t.push_str("<h2>Workers</h2>\n<table><thead><tr><th>name</th><th>rooms</th><th>clock known to</th></tr></thead><tbody>\n");
    for w in &r.workers {
        let _ = writeln!(
            t,
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            escape(&w.name),
            w.rooms,
            time(w.clock_known_to_us)
        );
    }
    t.push_str("</tbody></table>\n");
}

fn scenario(t: &mut String, r: &Report) {
    t.push_str("<details><summary>Scenario</summary><table><tbody>\n");
    for (key, value) in &r.scenario {
        let _ = writeln!(t, "<tr><th>{key}</th><td>{}</td></tr>", escape(&value.to_string()));
    }
    t.push_str("</tbody></table></details>\n");
}

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fbfbfa;--fg:#1d1f21;--dim:#62676c;--rule:#dcdedf;--card:#fff;--good:#1a7f4b;--bad:#c0352b;\
--warn:#8a5a00;--c1:#2a6fb8;--c2:#cf6a1b;--c3:#8b8f94;--c4:#2f8f6b}
@media (prefers-color-scheme:dark){:root{--bg:#17191b;--fg:#e6e7e8;--dim:#9aa0a6;--rule:#34383c;--card:#1f2225;--good:#4cc38a;\
--bad:#ff7b6e;--warn:#e0b050;--c1:#6cb2f5;--c2:#f2a05c;--c3:#8b9096;--c4:#5fcaa2}}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:24px;margin:0 0 8px}h2{font-size:17px;margin:32px 0 8px}
table{border-collapse:collapse;margin:8px 0 16px;display:block;overflow-x:auto;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child{text-align:left}thead th{color:var(--dim);font-weight:500;white-space:normal;vertical-align:bottom}tbody th{font-weight:500}
.verdict{font-size:17px;font-weight:600;padding:10px 14px;border-left:4px solid var(--dim);background:var(--card)}
.verdict.good{border-color:var(--good)}.verdict.bad{border-color:var(--bad)}
td.good{color:var(--good)}td.bad{color:var(--bad);font-weight:600}
.warning{color:var(--warn);margin:6px 0}.note,footer{color:var(--dim)}footer{margin-top:40px;font-size:13px}
.tiles{display:flex;flex-wrap:wrap;gap:8px;margin:16px 0}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:8px 14px;min-width:110px}
.tiles span{display:block;color:var(--dim);font-size:12px}.tiles b{font-size:18px;font-variant-numeric:tabular-nums}
figure{margin:20px 0;max-width:900px}figcaption{font-weight:600;margin-bottom:2px}svg{width:100%;height:auto;display:block}
.legend{display:flex;gap:16px;color:var(--dim);font-size:13px}.key{display:inline-block;width:18px;border-top:3px solid;margin-right:6px;vertical-align:middle}
.key.dashed{border-top-style:dashed}
.b1{border-color:var(--c1)}.b2{border-color:var(--c2)}.b3{border-color:var(--c3)}.b4{border-color:var(--c4)}
.grid{stroke:var(--rule);stroke-width:1}.tick,.axis{fill:var(--dim);font-size:11px}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.line.dashed{stroke-dasharray:4 4;stroke-width:1.2}
.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}
.spot{fill:transparent}.spot:hover{fill:currentColor;opacity:.6}
.s1{color:var(--c1)}.s2{color:var(--c2)}.s3{color:var(--c3)}.s4{color:var(--c4)}
summary{cursor:pointer;font-weight:600;padding:8px 0}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::compare;
    use crate::report::tests::report;

    /// Elements that are opened must be closed, in order; the few that have no end aside.
    fn balanced(page: &str) {
        let mut open = Vec::new();
        for part in page.split('<').skip(1) {
            let tag = part.split(['>', ' ', '\n']).next().unwrap();
            let whole = part.split('>').next().unwrap();
            if tag.starts_with('!') || tag == "meta" || whole.ends_with('/') {
                continue;
            }
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "near {part:.60}"),
                None => open.push(tag),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn the_page_is_whole_fetches_nothing_and_has_the_oracle_before_the_charts() {
        let r = report(2, 1_500, 0, Some(5.0));
        let t = page(&r, None);
        balanced(&t);
        for word in ["http:", "https:", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!t.contains(word), "{word}");
        }
        assert!(t.find("What the oracle found").unwrap() < t.find("<svg").unwrap());
        // Two runs: by share of copies, histogram, latency, throughput, CPU, memory, rooms.
        assert_eq!(t.matches("<svg").count(), 14);
        assert!(t.len() < 200_000, "{}", t.len());
    }

    #[test]
    fn two_reports_stand_on_one_page_with_their_verdict() {
        let (a, b) = (report(5, 1_000, 0, Some(5.0)), report(5, 3_000, 2, Some(5.0)));
        let t = page(&a, Some((&b, &compare(&a, &b).unwrap())));
        balanced(&t);
        assert!(t.contains("B is WORSE") && t.contains(">A</span>") && t.contains(">B</span>"));
    }

    #[test]
    fn what_servers_say_cannot_become_part_of_the_page() {
        let mut r = report(1, 1_000, 1, None);
        r.runs[0].first_fault = Some("<script>alert(1)</script>".into());
        r.note = "<script>".into();
        assert!(!page(&r, None).contains("<script>"));
    }
}
