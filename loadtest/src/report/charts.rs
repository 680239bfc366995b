//! The charts of a page: what of a run is drawn, and along which axes.

use super::plot::{Chart, Series, plain, svg};
use super::text::time;
use super::{Moment, Run};
use std::collections::BTreeMap;

/// Shares of the copies at which the percentile chart has marks, with how they are written.
const MARKS: &[(f64, &str)] = &[
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];
/// Steps of a histogram for a factor of ten.
const BINS_PER_TEN: f64 = 20.0;
/// Points of a percentile line.
const CURVE_POINTS: usize = 60;

/// How far along the axis a share of the copies lies: each nine takes the same room.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-9).log10()
}

/// The server's memory.
pub(super) fn mebibytes(m: &Moment) -> Option<f64> {
    m.server_rss.map(|b| b as f64 / 1_048_576.0)
}

/// Pairs of microseconds and copies, with their name and colour.
pub(super) type Named<'a> = (&'a str, u8, &'a [(f64, u64)]);

/// How the latencies are spread: equal steps of the axis are equal factors of time, so that what is twice as late is
/// equally far away everywhere.
pub(super) fn histogram(all: &[Named<'_>]) -> String {
    let bins = |pairs: &[(f64, u64)]| {
        let total: u64 = pairs.iter().map(|p| p.1).sum();
        let mut bins = BTreeMap::new();
        for (us, count) in pairs {
            *bins.entry((us.max(1.0).log10() * BINS_PER_TEN).floor() as i32).or_insert(0u64) += count;
        }
        let share = move |count: u64| 100.0 * count as f64 / total.max(1) as f64;
        // An empty place on both sides: the line comes from nothing and goes to nothing.
        let ends = bins.first_key_value().map(|f| f.0 - 1).zip(bins.last_key_value().map(|l| l.0 + 1));
        let whole = ends.map(|(from, to)| (from..=to).collect::<Vec<_>>()).unwrap_or_default();
        let point = |at: i32| (f64::from(at) + 0.5, share(bins.get(&at).copied().unwrap_or(0)));
        whole.into_iter().map(point).collect::<Vec<_>>()
    };
    let series: Vec<_> = all
        .iter()
        .map(|(name, colour, pairs)| Series { name, colour: *colour, dashed: false, points: bins(pairs) })
        .collect();
    let x_marks = (0..=8)
        .flat_map(|tens| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(tens)))
        .map(|us| (us.log10() * BINS_PER_TEN, time(us).replace(".00", "")))
        .collect();
    svg(&Chart {
        title: "Histogram: share of copies by latency",
        x_name: "latency",
        log_y: false,
        y_text: |v| format!("{v:.1} %"),
        x_text: |at| time(10f64.powf(at / BINS_PER_TEN)),
        x_marks,
        series,
    })
}

/// So many of the copies were at most so late.
pub(super) fn percentiles(all: &[Named<'_>]) -> String {
    let series = all
        .iter()
        .map(|(name, colour, pairs)| Series { name, colour: *colour, dashed: false, points: curve(pairs) })
        .collect();
    let x_marks = MARKS.iter().map(|(share, text)| (nines(*share), (*text).to_owned())).collect();
    svg(&Chart {
        title: "Latency by share of copies: so many were at most so late",
        x_name: "share of copies",
        log_y: true,
        y_text: time,
        x_text: |nines| format!("{} %", plain(100.0 * (1.0 - 10f64.powf(-nines)))),
        x_marks,
        series,
    })
}

/// A histogram as a line over [`nines`], up to the share that its number of copies can tell.
fn curve(pairs: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let total: u64 = pairs.iter().map(|p| p.1).sum();
    if total == 0 {
        return Vec::new();
    }
    let end = nines(1.0 - 1.0 / total.max(10) as f64).min(5.0);
    let (mut at, mut sum) = (0, pairs[0].1);
    (0..=CURVE_POINTS)
        .map(|i| {
            let x = end * i as f64 / CURVE_POINTS as f64;
            let wanted = ((1.0 - 10f64.powf(-x)) * total as f64).ceil() as u64;
            while sum < wanted && at + 1 < pairs.len() {
                at += 1;
                sum += pairs[at].1;
            }
            (x, pairs[at].0)
        })
        .collect()
}

/// A number of a slice of time.
type Pick = fn(&Moment) -> Option<f64>;

/// Numbers of some runs over time.
pub(super) fn over_time(
    title: &str,
    log_y: bool,
    y_text: fn(f64) -> String,
    lines: &[(&str, u8, bool, &Run, Pick)],
) -> String {
    let series = lines
        .iter()
        .map(|(name, colour, dashed, run, pick)| {
            let point = |m: &Moment| Some((m.at_s, pick(m)?));
            Series {
                name,
                colour: *colour,
                dashed: *dashed,
                points: run.over_time.iter().filter_map(point).collect(),
            }
        })
        .collect();
    let x_text = |s| format!("{} s", plain(s));
    svg(&Chart { title, x_name: "seconds", log_y, y_text, x_text, x_marks: Vec::new(), series })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_shares_ends_where_the_copies_end() {
        let points = curve(&[(10.0, 900), (20.0, 90), (30.0, 10)]);
        assert_eq!(points.first(), Some(&(0.0, 10.0)));
        assert_eq!(points.last().map(|p| p.1), Some(30.0));
        assert!((points.last().unwrap().0 - 3.0).abs() < 1e-9);
        let at = |x: f64| points.iter().rfind(|p| p.0 <= x + 1e-9).unwrap().1;
        assert_eq!((at(0.9), at(1.1), at(1.95), at(2.1)), (10.0, 20.0, 20.0, 30.0));
    }
}
