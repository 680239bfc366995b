//! Stopping before the time: whoever works looks at it, and what was measured until then is reported.
//!
//! Touches: the signal of Ctrl-C.

use std::time::Duration;
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

    /// One that is called by the first Ctrl-C; the second one ends the program.
    pub(crate) fn by_keyboard() -> Self {
        let (caller, halt) = Self::pair();
        tokio::spawn(async move {
            // Where signals cannot be had, Ctrl-C ends the program at once, as it always did.
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!(
                    "\nstopping: everybody hangs up, and what was measured is reported; Ctrl-C again ends at once"
                );
                caller.call();
                // One press can come as several signals: to the program and to its group.
                tokio::time::sleep(SAME_PRESS).await;
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(super::INTERRUPTED.into());
            }
            std::future::pending::<()>().await;
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
