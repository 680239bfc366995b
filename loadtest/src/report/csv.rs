//! A report as a table for other programs: one line per slice of time of each run.

use super::Report;
use std::fmt::Write as _;

/// The table, with a line of names.
pub(crate) fn csv(r: &Report) -> String {
    let mut t = String::from(
        "run,rate,at_s,messages_per_s,deliveries_per_s,p50_us,p99_us,max_us,server_cpu_cores,server_rss,joins_per_s,\
         join_p50_us,join_p99_us\n",
    );
    for (i, run) in r.runs.iter().enumerate() {
        // Empty at saturation.
        let rate = run.rate.map(|rate| rate.to_string()).unwrap_or_default();
        for m in &run.over_time {
            let cores = m.server_cpu_cores.map(|c| format!("{c:.4}")).unwrap_or_default();
            let one = |n: Option<f64>| n.map(|n| format!("{n:.1}")).unwrap_or_default();
            let rss = m.server_rss.map(|b| b.to_string()).unwrap_or_default();
            let _ = writeln!(
                t,
                "{},{rate},{},{:.1},{:.1},{:.1},{:.1},{:.1},{cores},{rss},{},{},{}",
                i + 1,
                m.at_s,
                m.messages_per_s,
                m.deliveries_per_s,
                m.p50_us,
                m.p99_us,
                m.max_us,
                one(m.joins_per_s),
                one(m.join_p50_us),
                one(m.join_p99_us)
            );
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn each_slice_of_each_run_is_a_line_with_all_columns() {
        let text = csv(&report(2, 1_000, 0, None));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * 40);
        assert!(lines.iter().all(|l| l.split(',').count() == 13), "{text}");
        assert!(lines[41].starts_with("2,,0,0.0,112.0,"), "{}", lines[41]);
        assert!(lines[41].ends_with("0.5000,4000,,,"), "{}", lines[41]);
    }
}
