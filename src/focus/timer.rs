//! Session timers (RFC 4028): who keeps a call alive, how often, and when it counts as dead.
//!
//! A call has a timer if its INVITE, re-INVITE or UPDATE had Session-Expires; the last 2xx counts. Where
//! the peer leaves it to us who refreshes, the peer does. An interval below the least that exists, from
//! somebody who does not know 422, is no timer.
//!
//! Bounds: one deadline a call; intervals from [`INTERVAL_MIN`] to [`INTERVAL_MAX`] unless the peer's
//! Min-SE is above that. Proof: the tests below and `tests.rs` beside this file.

use super::dialog::DialogId;
use super::signalling::{Headers, Request, Response, param};
use super::{Core, Timer};
use crate::base::clock::Now;
use std::time::Duration;

/// The least interval in seconds: what RFC 4028 §4 allows.
pub(super) const INTERVAL_MIN: u32 = 90;

/// The longest interval that is granted as it was asked for, in seconds: a dead peer shall not count for
/// more than a day.
const INTERVAL_MAX: u32 = 86_400;

/// The most time before expiry at which the waiting side gives up (RFC 4028 §10).
const MARGIN_MAX: Duration = Duration::from_secs(32);

/// What the 2xx to a request will say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Agreed {
    seconds: u32,
    /// We refresh.
    ours: bool,
    /// The peer knows the extension.
    known: bool,
}

/// A timer that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    seconds: u32,
    ours: bool,
    /// When there is something to do.
    due: Now,
    /// When the call is given up.
    end: Now,
}

/// The session timer of a call.
#[derive(Default, Debug)]
pub(super) struct SessionTimer {
    /// What the next 2xx says.
    pub(super) agreed: Option<Agreed>,
    running: Option<Running>,
    /// The highest Min-SE that the peer or a proxy showed.
    least: u32,
    /// The peer allows UPDATE.
    pub(super) by_update: bool,
    /// A re-INVITE of ours waits for its answer.
    pub(super) offering: bool,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    Refresh,
    GiveUp,
}

/// What we answer to the Session-Expires of a request, by table 2 of RFC 4028 §9; 422 if it is too short.
pub(super) fn agree(request: &Request) -> Result<Option<Agreed>, Response> {
    let Some((seconds, refresher)) = read(&request.headers)? else { return Ok(None) };
    let tags = ["Supported", "Require"].map(|name| request.headers.list(name));
    let known = tags.iter().flatten().any(|tag| tag.eq_ignore_ascii_case("timer"));
    if seconds < INTERVAL_MIN {
        return if known {
            Err(Response::new(422).with("Min-SE", INTERVAL_MIN.to_string()))
        } else {
            Ok(None)
        };
    }
    let ours = !known || refresher.is_some_and(|r| r.eq_ignore_ascii_case("uas"));
    let seconds = seconds.min(INTERVAL_MAX.max(min_se(&request.headers)));
    Ok(Some(Agreed { seconds, ours, known }))
}

/// Seconds and refresher of Session-Expires.
fn read(headers: &Headers) -> Result<Option<(u32, Option<&str>)>, Response> {
    let Some(line) = headers.get("Session-Expires") else { return Ok(None) };
    let (seconds, params) = line.split_at(line.find(';').unwrap_or(line.len()));
    let seconds = seconds.trim().parse().map_err(|_| Response::new(400))?;
    Ok(Some((seconds, param(params, "refresher"))))
}

/// Min-SE, and 90 if there is none.
fn min_se(headers: &Headers) -> u32 {
    let value = headers.get("Min-SE").and_then(|v| v.split(';').next()?.trim().parse().ok());
    value.unwrap_or(INTERVAL_MIN).max(INTERVAL_MIN)
}

impl SessionTimer {
    /// What a request of the peer tells of it, besides the interval.
    pub(super) fn learn(&mut self, headers: &Headers) {
        self.least = self.least.max(min_se(headers));
        if headers.get("Allow").is_some() {
            self.by_update = headers.list("Allow").contains(&"UPDATE");
        }
    }

    /// Writes the lines of a 2xx of ours, which starts the clock anew.
    pub(super) fn answer(&mut self, core: &mut Core, dialog: DialogId, headers: &mut Headers) {
        self.stop(core, dialog);
        let Some(Agreed { seconds, ours, known }) = self.agreed.take() else { return };
        let refresher = if ours { "uas" } else { "uac" };
        headers.push("Session-Expires", format!("{seconds};refresher={refresher}"));
        if known {
            headers.push("Require", "timer");
        }
        self.start(core, dialog, seconds, ours);
    }

    /// Takes what the 2xx to our refresh says; without Session-Expires there is no timer any more.
    pub(super) fn confirmed(&mut self, core: &mut Core, dialog: DialogId, headers: &Headers) {
        self.stop(core, dialog);
        let Ok(Some((seconds, refresher))) = read(headers) else { return };
        let theirs = refresher.is_some_and(|r| r.eq_ignore_ascii_case("uas"));
        self.start(core, dialog, seconds.max(INTERVAL_MIN), !theirs);
    }

    fn start(&mut self, core: &mut Core, dialog: DialogId, seconds: u32, ours: bool) {
        let interval = Duration::from_secs(seconds.into());
        let end = core.now + (interval - MARGIN_MAX.min(interval / 3));
        let due = if ours { core.now + interval / 2 } else { end };
        self.running = Some(Running { seconds, ours, due, end });
        core.arm(due, Timer::Session(dialog));
    }

    /// Ends the clock.
    pub(super) fn stop(&mut self, core: &mut Core, dialog: DialogId) {
        if let Some(running) = self.running.take() {
            core.disarm(running.due, Timer::Session(dialog));
        }
    }

    /// What is to be done now. Whoever refreshes hears again at the end, in case no answer comes.
    pub(super) fn due(&mut self, core: &mut Core, dialog: DialogId) -> Due {
        let Some(running) = self.running.filter(|r| r.due <= core.now) else { return Due::Nothing };
        if !running.ours || running.end <= core.now {
            return Due::GiveUp;
        }
        self.again(core, dialog, running.end);
        Due::Refresh
    }

    /// Looks again at this time, and not after the end.
    pub(super) fn again(&mut self, core: &mut Core, dialog: DialogId, at: Now) {
        let Some(running) = &mut self.running else { return };
        core.disarm(running.due, Timer::Session(dialog));
        running.due = at.min(running.end);
        core.arm(running.due, Timer::Session(dialog));
    }

    /// The lines of our refresh; `None` if there is no timer.
    pub(super) fn request(&self, headers: &mut Headers) -> Option<()> {
        let running = self.running?;
        headers.push("Session-Expires", format!("{};refresher=uac", running.seconds));
        if self.least > INTERVAL_MIN {
            headers.push("Min-SE", self.least.to_string());
        }
        Some(())
    }

    /// A 422 to our refresh: whether a longer interval is worth another try.
    pub(super) fn lengthen(&mut self, headers: &Headers) -> bool {
        let Some(running) = &mut self.running else { return false };
        let least = min_se(headers);
        self.least = self.least.max(least);
        let longer = least > running.seconds;
        running.seconds = running.seconds.max(least);
        longer
    }
}

#[cfg(test)]
mod tests {
    use super::super::strict::{Message, read};
    use super::*;

    fn agreed(extra: &str) -> Result<Option<(u32, bool)>, u16> {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP pc;branch=z9hG4bK1\r\nFrom: <sip:x@y>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{extra}\r\n"
        );
        let Ok(Message::Request(request)) = read(text.as_bytes()) else { panic!("{text}") };
        agree(&request).map(|a| a.map(|a| (a.seconds, a.ours))).map_err(|r| r.code)
    }

    #[test]
    fn the_refresher_is_chosen_by_the_table() {
        // TIMER-01
        let known = "Supported: 100rel, timer\r\n";
        let cases = [
            ("", "", true),
            ("", ";refresher=uac", true),
            ("", ";refresher=uas", true),
            (known, "", false),
            (known, ";refresher=uac", false),
            (known, ";refresher=UAS", true),
            ("Require: timer\r\n", "", false),
        ];
        for (tags, refresher, ours) in cases {
            let got = agreed(&format!("{tags}Session-Expires: 600{refresher}\r\n"));
            assert_eq!(got, Ok(Some((600, ours))), "{tags} {refresher}");
        }
        assert_eq!(agreed(known), Ok(None));
        assert_eq!(agreed("x: 600\r\n"), Ok(Some((600, true))));
    }

    #[test]
    fn an_interval_is_kept_or_lowered_and_never_below_what_is_allowed() {
        // TIMER-01
        let with = |line: &str| agreed(&format!("Supported: timer\r\n{line}\r\n"));
        assert_eq!(with("Session-Expires: 89"), Err(422));
        assert_eq!(with("Session-Expires: 90"), Ok(Some((90, false))));
        assert_eq!(with("Session-Expires: 4294967295"), Ok(Some((86_400, false))));
        assert_eq!(with("Session-Expires: 200000\r\nMin-SE: 100000"), Ok(Some((100_000, false))));
        assert_eq!(with("Session-Expires: soon"), Err(400));
        assert_eq!(agreed("Session-Expires: 60\r\n"), Ok(None), "422 means nothing to this one");
    }
}
