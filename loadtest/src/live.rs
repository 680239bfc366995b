//! What goes on while it goes on: threads tell, and a terminal shows it, on one line that is rewritten.
//!
//! Where standard error is no terminal nothing is shown.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// What a thread tells. Each number stands for itself, so no order is needed.
#[derive(Default)]
pub(crate) struct Live {
    sent: AtomicU64,
    delivered: AtomicU64,
    wrong: AtomicU64,
    p50_us: AtomicU64,
    p99_us: AtomicU64,
    /// Visitors who came in, and who did not.
    entered: AtomicU64,
    failed: AtomicU64,
}

/// What threads tell, together; a worker sends it to its coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Going {
    sent: u64,
    delivered: u64,
    wrong: u64,
    /// Of the thread that fares worst.
    p50_us: u64,
    p99_us: u64,
    entered: u64,
    failed: u64,
}

impl Going {
    /// Of these threads.
    pub(crate) fn of(lives: &[Arc<Live>]) -> Self {
        let sum = |f: fn(&Live) -> &AtomicU64| lives.iter().map(|l| f(l).load(Relaxed)).sum();
        let most = |f: fn(&Live) -> &AtomicU64| lives.iter().map(|l| f(l).load(Relaxed)).max().unwrap_or(0);
        Self {
            sent: sum(|l| &l.sent),
            delivered: sum(|l| &l.delivered),
            wrong: sum(|l| &l.wrong),
            p50_us: most(|l| &l.p50_us),
            p99_us: most(|l| &l.p99_us),
            entered: sum(|l| &l.entered),
            failed: sum(|l| &l.failed),
        }
    }
}

impl Live {
    /// What all threads of a worker tell.
    pub(crate) fn tell_going(&self, g: Going) {
        self.tell(g.sent, g.delivered, g.wrong, (g.p50_us as f64, g.p99_us as f64));
        self.entered.store(g.entered, Relaxed);
        self.failed.store(g.failed, Relaxed);
    }

    /// One more visitor came in, or did not.
    pub(crate) fn tell_visit(&self, entered: bool) {
        let count = if entered { &self.entered } else { &self.failed };
        count.fetch_add(1, Relaxed);
    }

    /// Counts since the run began, and quantiles of the last whole slice.
    pub(crate) fn tell(&self, sent: u64, delivered: u64, wrong: u64, (p50, p99): (f64, f64)) {
        self.sent.store(sent, Relaxed);
        self.delivered.store(delivered, Relaxed);
        self.wrong.store(wrong, Relaxed);
        self.p50_us.store(p50 as u64, Relaxed);
        self.p99_us.store(p99 as u64, Relaxed);
    }
}

/// A line at the terminal, if there is one.
pub(crate) struct Line(Option<ProgressBar>);

impl Line {
    /// A line that counts up to `total` of something, `what`.
    pub(crate) fn counting(what: &str, total: u64) -> Self {
        let template = format!("{what} {{pos}}/{{len}} {{wide_bar}} {{rate}}, {{eta}} left");
        Self::new(&template, total)
    }

    /// A line of words.
    pub(crate) fn words() -> Self {
        // Cut where the window ends, so that it stays one line.
        Self::new("{spinner} {wide_msg}", 0)
    }

    fn new(template: &str, total: u64) -> Self {
        let rate = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            // A line that cannot be written is not shown.
            let _ = write!(to, "{:.0}/s", state.per_sec());
        };
        let style = || {
            let style = ProgressStyle::with_template(template);
            style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate)
        };
        Self(std::io::stderr().is_terminal().then(|| ProgressBar::new(total).with_style(style())))
    }

    /// So many are there.
    pub(crate) fn reached(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    /// These are the words.
    pub(crate) fn say(&self, words: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(words);
            bar.tick();
        }
    }

    /// Whether anybody sees it.
    fn seen(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Shows what the threads tell until it is dropped. `name`: which run this is; `planned`: how long it is to send.
pub(crate) async fn watch(name: String, planned: Duration, lives: Vec<Arc<Live>>) {
    let line = Line::words();
    if !line.seen() {
        return std::future::pending().await;
    }
    let mut before = Going::default();
    let begun = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let going = Going::of(&lives);
        line.say(words(&progress(&name, begun.elapsed(), planned), &before, &going));
        before = going;
    }
}

/// Which run, and how far it is.
fn progress(name: &str, elapsed: Duration, planned: Duration) -> String {
    if elapsed <= planned {
        format!("{name}, {} of {} s", elapsed.as_secs(), planned.as_secs_f64().ceil())
    } else {
        format!("{name}, waiting for what is under way")
    }
}

/// What matters most comes first: a narrow window cuts the rest.
fn words(name: &str, before: &Going, going: &Going) -> String {
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / LOOK.as_secs_f64();
    let (sent, delivered) = (rate(going.sent, before.sent), rate(going.delivered, before.delivered));
    let fault = |count: u64, what: &str| if count == 0 { String::new() } else { format!("{count} {what}  ") };
    let fault = fault(going.wrong, "WRONG") + &fault(going.failed, "JOINS FAILED");
    let joins = match going.entered + going.failed {
        0 => String::new(),
        _ => format!("  {:.0} joins/s", rate(going.entered, before.entered)),
    };
    // Before the measured time nothing is measured.
    let ms = |us: u64| if us == 0 { "-".to_owned() } else { format!("{:.2} ms", us as f64 / 1e3) };
    let (p50, p99) = (ms(going.p50_us), ms(going.p99_us));
    format!("{fault}{name}  {delivered:.0} deliveries/s  p99 {p99}  p50 {p50}  {sent:.0} messages/s{joins}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_the_run_is_and_what_it_waits_for_at_its_end() {
        let at = |s| progress("run 1", Duration::from_secs(s), Duration::from_millis(9_500));
        assert_eq!([at(3), at(10)], ["run 1, 3 of 10 s", "run 1, waiting for what is under way"]);
    }

    #[test]
    fn the_line_says_rates_latency_and_what_is_wrong() {
        let before = Going { sent: 5, delivered: 100, ..Going::default() };
        let now = Live::default();
        now.tell_going(Going { sent: 25, delivered: 500, p50_us: 1_500, p99_us: 12_000, ..Going::default() });
        let going = Going::of(&[Arc::new(now), Arc::new(Live::default())]);
        let text = words("run 1", &before, &going);
        assert_eq!(text, "run 1  400 deliveries/s  p99 12.00 ms  p50 1.50 ms  20 messages/s");
        let wrong = Going { wrong: 3, ..Going::default() };
        assert!(words("run 1", &wrong, &wrong).starts_with("3 WRONG  run 1  "));
        let visited = Going { entered: 40, failed: 2, ..Going::default() };
        let text = words("run 1", &Going::default(), &visited);
        assert!(text.starts_with("2 JOINS FAILED  run 1  ") && text.ends_with("  40 joins/s"), "{text}");
    }
}
