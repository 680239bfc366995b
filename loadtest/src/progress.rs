//! How far the joining is: a bar on a terminal, a line now and then otherwise.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines.
const LINE_WAIT: Duration = Duration::from_secs(2);

/// Shows how many of a number of things are done, on standard error.
pub(crate) struct Progress {
    total: u64,
    bar: Option<ProgressBar>,
    last: Instant,
}

impl Progress {
    /// Nothing of `total` participants is in.
    pub(crate) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total).with_style(style()));
        Self { total, bar, last: Instant::now() }
    }

    /// `done` participants are in.
    pub(crate) fn reached(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.last.elapsed() >= LINE_WAIT {
            self.last = Instant::now();
            eprintln!("joined {done} of {}", self.total);
        }
    }

    /// No more is to come.
    pub(crate) fn stop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "joining {bar:40} {pos}/{len} ({per_sec}, {eta} left)";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
