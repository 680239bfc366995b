//! What goes on while it goes on: threads tell, and a terminal shows it, on one line that is rewritten.
//!
//! Where standard error is no terminal nothing is shown.

use indicatif::{ProgressBar, ProgressStyle};
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
        }
    }
}

impl Live {
    /// What all threads of a worker tell.
    pub(crate) fn tell_going(&self, g: Going) {
        self.tell(g.sent, g.delivered, g.wrong, (g.p50_us as f64, g.p99_us as f64));
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
        let template = format!("{what} {{pos}}/{{len}} {{wide_bar}} {{per_sec}}, {{eta}} left");
        Self::new(&template, total)
    }

    /// A line of words.
    pub(crate) fn words() -> Self {
        // Cut where the window ends, so that it stays one line.
        Self::new("{spinner} {wide_msg}", 0)
    }

    fn new(template: &str, total: u64) -> Self {
        let style =
            || ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
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

/// Shows what the threads tell until it is dropped. `name`: which run this is.
pub(crate) async fn watch(name: String, lives: Vec<Arc<Live>>) {
    let line = Line::words();
    if !line.seen() {
        return std::future::pending().await;
    }
    let mut before = Going::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let going = Going::of(&lives);
        line.say(words(&name, &before, &going));
        before = going;
    }
}

/// What matters most comes first: a narrow window cuts the rest.
fn words(name: &str, before: &Going, going: &Going) -> String {
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / LOOK.as_secs_f64();
    let (sent, delivered) = (rate(going.sent, before.sent), rate(going.delivered, before.delivered));
    let fault = if going.wrong == 0 { String::new() } else { format!("{} WRONG  ", going.wrong) };
    // Before the measured time nothing is measured.
    let ms = |us: u64| if us == 0 { "-".to_owned() } else { format!("{:.2} ms", us as f64 / 1e3) };
    let (p50, p99) = (ms(going.p50_us), ms(going.p99_us));
    format!("{fault}{name}  {delivered:.0} deliveries/s  p99 {p99}  p50 {p50}  {sent:.0} messages/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_rates_latency_and_what_is_wrong() {
        let before = Going { sent: 5, delivered: 100, ..Going::default() };
        let now = Live::default();
        now.tell_going(Going { sent: 25, delivered: 500, wrong: 0, p50_us: 1_500, p99_us: 12_000 });
        let going = Going::of(&[Arc::new(now), Arc::new(Live::default())]);
        let text = words("run 1", &before, &going);
        assert_eq!(text, "run 1  400 deliveries/s  p99 12.00 ms  p50 1.50 ms  20 messages/s");
        let wrong = Going { wrong: 3, ..Going::default() };
        assert!(words("run 1", &wrong, &wrong).starts_with("3 WRONG  run 1  "));
    }
}
