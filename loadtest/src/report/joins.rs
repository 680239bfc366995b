//! How people came in: before the load, and while it ran.

use super::{BUSY_SHARE_MAX, Moment, Quantiles, Sampled};
use crate::measured::{Joining, Measured};
use crate::visitor::Stages;
use serde::{Deserialize, Serialize};

/// A join in parts, each from the end of the one before.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default)]
pub(crate) struct StagesReport {
    /// From when the INVITE was due to when it was handed over: a connection of its own for SIP, with its TLS
    /// handshake, is in it, and what the harness was late.
    pub(crate) ready_us: Quantiles,
    /// INVITE to 200.
    pub(crate) answered_us: Quantiles,
    /// 200 to the answer to the binding request, the MSRP connection included.
    pub(crate) bound_us: Quantiles,
    /// From there to the first message; of visitors only.
    pub(crate) heard_us: Quantiles,
}

impl StagesReport {
    fn of(s: &Stages) -> Self {
        Self {
            ready_us: Quantiles::of(&s.ready),
            answered_us: Quantiles::of(&s.answered),
            bound_us: Quantiles::of(&s.bound),
            heard_us: Quantiles::of(&s.heard),
        }
    }

    /// Each that was measured, with its names for a narrow and for a wide place.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str, &Quantiles)> {
        [
            ("- ready", "due to INVITE sent (SIP connection, TLS)", &self.ready_us),
            ("- answer", "INVITE to 200", &self.answered_us),
            ("- binding", "200 to bound (MSRP connection)", &self.bound_us),
            ("- message", "bound to first message", &self.heard_us),
        ]
        .into_iter()
        .filter(|(_, _, q)| q.count > 0)
    }
}

/// What the joining before the load took.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) participants: u64,
    pub(crate) seconds: f64,
    pub(crate) per_s: f64,
    /// From INVITE to its 200.
    pub(crate) invite_us: Quantiles,
    /// From INVITE to the answer to the binding request.
    pub(crate) bound_us: Quantiles,
    #[serde(default)]
    pub(crate) stages: StagesReport,
    /// The share of its time in which the thread that speaks SIP worked; of the busiest harness.
    #[serde(default)]
    pub(crate) harness_sip_busy: f64,
    /// Whether that was as much as it can.
    #[serde(default)]
    pub(crate) harness_is_bottleneck: bool,
    pub(crate) server_cpu_us_per_join: Option<f64>,
    /// The server's resident memory before.
    pub(crate) server_rss_before: Option<u64>,
    /// … and with everybody in.
    pub(crate) server_rss_joined: Option<u64>,
    pub(crate) server_rss_per_session: Option<f64>,
}

impl Joined {
    /// The numbers of it.
    pub(crate) fn of(j: &Joining) -> Self {
        let each = j.participants.max(1) as f64;
        let grown = |(now, before): (u64, u64)| (now as f64 - before as f64) / each;
        Self {
            participants: j.participants,
            seconds: j.seconds,
            per_s: j.participants as f64 / j.seconds.max(1e-9),
            invite_us: Quantiles::of(&j.invite),
            bound_us: Quantiles::of(&j.bound),
            stages: StagesReport::of(&j.stages),
            harness_sip_busy: j.sip_busy,
            harness_is_bottleneck: j.sip_busy > BUSY_SHARE_MAX,
            server_cpu_us_per_join: j.server_cpu_us.map(|us| us / each),
            server_rss_before: j.rss_before,
            server_rss_joined: j.rss_joined,
            server_rss_per_session: j.rss_joined.zip(j.rss_before).map(grown),
        }
    }
}

/// Who came and went while the load ran.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct VisitReport {
    pub(crate) begun: u64,
    pub(crate) entered: u64,
    pub(crate) failed: u64,
    pub(crate) entered_per_s: f64,
    pub(crate) first_failure: Option<String>,
    /// Each from when the INVITE was due: to its 200, to the binding, to the first message.
    pub(crate) invite_us: Quantiles,
    pub(crate) bound_us: Quantiles,
    pub(crate) first_message_us: Quantiles,
    /// The same in parts.
    #[serde(default)]
    pub(crate) stages: StagesReport,
    /// Joins a second in the slice of time with the fewest, and in that with the most.
    #[serde(default)]
    pub(crate) entered_per_s_least: f64,
    #[serde(default)]
    pub(crate) entered_per_s_most: f64,
    /// All CPU time of the server in the interval, by join: what a join and its leaving cost where nothing else is
    /// going on.
    #[serde(default)]
    pub(crate) server_cpu_us_per_join: Option<f64>,
    pub(crate) copies: u64,
    pub(crate) lost: u64,
}

/// The numbers of those who came and went.
pub(super) fn visit_report(
    m: &Measured,
    sampled: &Sampled,
    seconds: f64,
    over_time: &[Moment],
) -> VisitReport {
    let v = &m.visits;
    let each = || over_time.iter().filter_map(|m| m.joins_per_s);
    VisitReport {
        begun: v.begun,
        entered: v.entered,
        failed: v.failed,
        entered_per_s: v.entered as f64 / seconds.max(1e-9),
        first_failure: v.first_failure.clone(),
        invite_us: Quantiles::of(&v.invite),
        bound_us: Quantiles::of(&v.bound),
        first_message_us: Quantiles::of(&v.first),
        stages: StagesReport::of(&v.stages),
        entered_per_s_least: each().reduce(f64::min).unwrap_or(0.0),
        entered_per_s_most: each().fold(0.0, f64::max),
        server_cpu_us_per_join: sampled
            .server
            .filter(|_| v.entered > 0)
            .map(|cpu| sampled.cores(cpu) * 1e6 * seconds / v.entered as f64),
        copies: v.copies,
        lost: v.lost,
    }
}
