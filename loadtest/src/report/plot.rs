//! Line charts as SVG: text in, text out, nothing fetched from anywhere. Colours come from the page's style, so
//! that they follow its light and its dark face.

use std::fmt::Write as _;

/// One line of a chart.
pub(crate) struct Series<'a> {
    /// In the legend.
    pub(crate) name: &'a str,
    /// Which colour of the page: 1 to 4.
    pub(crate) colour: u8,
    /// Whether it is drawn with dashes.
    pub(crate) dashed: bool,
    /// Its points, rising in x.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart.
pub(crate) struct Chart<'a> {
    /// Above it.
    pub(crate) title: &'a str,
    /// Below the x axis.
    pub(crate) x_name: &'a str,
    /// Whether y rises by tens.
    pub(crate) log_y: bool,
    /// How a y is written.
    pub(crate) y_text: fn(f64) -> String,
    /// How an x is written beside a point.
    pub(crate) x_text: fn(f64) -> String,
    /// Where x has marks, and what stands there; by itself if empty.
    pub(crate) x_marks: Vec<(f64, String)>,
    /// The lines.
    pub(crate) series: Vec<Series<'a>>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// A scale from values to places.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let turn = |v: f64| if self.log { v.max(self.low).ln() } else { v };
        let (low, high) = (turn(self.low), turn(self.high));
        let share = if high > low { (turn(value) - low) / (high - low) } else { 0.5 };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values within.
    fn marks(&self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let steps: &[f64] = if high - low <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all = (low..=high).flat_map(|p| steps.iter().map(move |s| s * 10f64.powi(p)));
            return all.filter(|v| (self.low * 0.999..=self.high * 1.001).contains(v)).collect();
        }
        let step = nice((self.high - self.low) / 5.0);
        let first = (self.low / step).ceil() as i64;
        (first..first + 12).map(|i| i as f64 * step).take_while(|v| *v <= self.high * 1.0001).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, 50 … that is not below `step`.
fn nice(step: f64) -> f64 {
    if step <= 0.0 || !step.is_finite() {
        return 1.0;
    }
    let tens = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * tens).find(|s| *s >= step * 0.9999).unwrap_or(10.0 * tens)
}

/// The chart as an element of a page; nothing if there is nothing to draw.
pub(crate) fn svg(chart: &Chart<'_>) -> String {
    let points = chart.series.iter().flat_map(|s| &s.points);
    let all: Vec<_> = points.filter(|p| !chart.log_y || p.1 > 0.0).copied().collect();
    if all.len() < 2 {
        return String::new();
    }
    let (x, y) = scales(chart, &all);
    let mut t = format!(
        "<figure><figcaption>{}</figcaption>{}\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escape(chart.title),
        legend(chart),
        escape(chart.title)
    );
    for value in y.marks() {
        let at = y.at(value);
        let _ = writeln!(
            t,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            escape(&(chart.y_text)(value))
        );
    }
    let own = || x.marks().into_iter().map(|v| (v, format!("{}", (v * 1e6).round() / 1e6))).collect();
    let marks: Vec<(f64, String)> = if chart.x_marks.is_empty() { own() } else { chart.x_marks.clone() };
    for (value, text) in marks.iter().filter(|(v, _)| (x.low..=x.high).contains(v)) {
        let at = x.at(*value);
        let _ = writeln!(
            t,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            escape(text)
        );
    }
    let _ = writeln!(
        t,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0,
        escape(chart.x_name)
    );
    for series in &chart.series {
        draw(&mut t, chart, series, &x, &y);
    }
    t.push_str("</svg></figure>\n");
    t
}

fn scales(chart: &Chart<'_>, all: &[(f64, f64)]) -> (Scale, Scale) {
    let least = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (least(|p| p.1), most(|p| p.1));
    let (low, high) = if chart.log_y {
        // Whole steps of 1, 2, 5, so that the ends have marks.
        (nice(low / 2.5).min(low), nice(high).max(low * 2.0))
    } else {
        (0.0, (high * 1.05).max(1e-9))
    };
    let x = Scale { low: least(|p| p.0), high: most(|p| p.0), from: LEFT, to: WIDTH - RIGHT, log: false };
    (x, Scale { low, high, from: HEIGHT - BOTTOM, to: TOP, log: chart.log_y })
}

fn legend(chart: &Chart<'_>) -> String {
    if chart.series.len() < 2 {
        return String::new();
    }
    let one = |s: &Series<'_>| {
        let dash = if s.dashed { " dashed" } else { "" };
        format!("<span><i class=\"key b{}{dash}\"></i>{}</span>", s.colour, escape(s.name))
    };
    format!("<div class=\"legend\">{}</div>", chart.series.iter().map(one).collect::<String>())
}

fn draw(t: &mut String, chart: &Chart<'_>, series: &Series<'_>, x: &Scale, y: &Scale) {
    let dash = if series.dashed { " dashed" } else { "" };
    let _ = write!(t, "<polyline class=\"line c{}{dash}\" points=\"", series.colour);
    let shown: Vec<_> = series.points.iter().filter(|p| !chart.log_y || p.1 > 0.0).collect();
    for (px, py) in shown.iter().copied() {
        let _ = write!(t, "{:.1},{:.1} ", x.at(*px), y.at(*py));
    }
    t.push_str("\"/>\n");
    for (px, py) in shown {
        let at = (chart.x_text)(*px);
        let _ = writeln!(
            t,
            "<circle class=\"spot s{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}: {} at {}</title></circle>",
            series.colour,
            x.at(*px),
            y.at(*py),
            escape(series.name),
            escape(&(chart.y_text)(*py)),
            escape(&at)
        );
    }
}

/// A number to a hundredth.
pub(crate) fn plain(n: f64) -> String {
    format!("{}", (n * 100.0).round() / 100.0)
}

/// Text for a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log_y: bool, points: Vec<(f64, f64)>) -> Chart<'static> {
        let series = vec![Series { name: "a<b", colour: 1, dashed: false, points }];
        Chart {
            title: "t",
            x_name: "x",
            log_y,
            y_text: |v| format!("{v}"),
            x_text: plain,
            x_marks: Vec::new(),
            series,
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.7, 1.0, 1.1, 3.0, 70.0, 0.012].map(nice), [1.0, 1.0, 2.0, 5.0, 100.0, 0.02]);
    }

    #[test]
    fn a_chart_has_its_points_within_its_frame() {
        for log_y in [false, true] {
            let t = svg(&chart(log_y, vec![(0.0, 1.0), (5.0, 100.0), (10.0, 37.0)]));
            assert_eq!(t.matches("<circle").count(), 3);
            for part in t.split("cy=\"").skip(1) {
                let at: f64 = part.split('"').next().unwrap().parse().unwrap();
                assert!((TOP..=HEIGHT - BOTTOM).contains(&at), "{at}");
            }
            assert!(t.contains("a&lt;b") && !t.contains("a<b"));
        }
    }

    #[test]
    fn without_points_there_is_no_chart() {
        assert_eq!(svg(&chart(true, vec![(0.0, 0.0), (1.0, 0.0), (2.0, 5.0)])), "");
        assert_eq!(svg(&chart(false, vec![])), "");
    }
}
