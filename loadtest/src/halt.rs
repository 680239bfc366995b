//! Stopping before the time: whoever works looks at it, and what was measured until then is reported.
//!
//! Touches: the signals of Ctrl-C and of whoever ends programs (SIGTERM).

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Signals that come so soon after each other are one press.
const SAME_PRESS: Duration = Duration::from_millis(300);

/// Whether to stop; clones are told together.
#[derive(Clone)]
pub(crate) struct Halt(watch::Receiver<bool>);

/// Who can say so.
pub(crate) struct Caller(watch::Sender<bool>);

impl Caller {
    /// Everybody stops.
    pub(crate) fn call(&self) {
        self.0.send_replace(true);
    }
}

impl Halt {
    /// One that is called by whoever has the other half; never, once that is gone.
    pub(crate) fn pair() -> (Caller, Self) {
        let (sender, receiver) = watch::channel(false);
        (Caller(sender), Self(receiver))
    }

    /// One that is never called.
    pub(crate) fn never() -> Self {
        Self::pair().1
    }

    /// One that is called by the first Ctrl-C or SIGTERM; the second one ends the program.
    pub(crate) fn by_signal() -> Self {
        let (caller, halt) = Self::pair();
        // Where signals cannot be had, they end the program at once, as they always did.
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return halt };
        tokio::spawn(async move {
            let mut told = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            told().await;
            eprintln!(
                "\nstopping: everybody hangs up, and what was measured is reported; Ctrl-C again ends at once"
            );
            caller.call();
            // One press can come as several signals: to the program and to its group.
            tokio::time::sleep(SAME_PRESS).await;
            told().await;
            std::process::exit(super::INTERRUPTED.into());
        });
        halt
    }

    /// Waits until it is called. Cancel safe.
    pub(crate) async fn called(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|called| *called).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it was.
    pub(crate) fn is_called(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_are_told_and_those_who_come_late_too() {
        let (caller, halt) = Halt::pair();
        let early = halt.clone();
        assert!(!early.is_called());
        caller.call();
        drop(caller);
        early.called().await;
        assert!(halt.clone().is_called());
    }
}
