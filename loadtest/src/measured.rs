//! What was measured in one run: by a thread, by all threads, by all harnesses. It adds up, and it travels as
//! JSON from worker to coordinator.

use crate::cpu::Look;
use crate::hist::{Grain, Hist};
use crate::oracle::Findings;
use crate::pace::{Interval, Meter};
use crate::score::{Count, Troubles};
use crate::visitor::{Stages, Visits};
use serde::{Deserialize, Serialize};

/// See the module's text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) findings: Findings,
    pub(crate) troubles: Troubles,
    /// By `stamp::Kind`.
    pub(crate) kinds: [Count; 4],
    /// Messages that could not be handed over: their connection was gone or clogged.
    pub(crate) not_sent: u64,
    /// Publishers' requests that asked for an answer and got none.
    pub(crate) unanswered: u64,
    /// Reads during the measured interval.
    pub(crate) reads: u64,
    /// Time of the measured interval without anything to do, of all threads.
    pub(crate) idle_ns: u64,
    /// The same of the thread that had least of it.
    pub(crate) least_idle_ns: Option<u64>,
    /// CPU time of the thread that got least.
    pub(crate) least_cpu_ns: Option<u64>,
    /// Threads that measured.
    pub(crate) threads: u64,
    pub(crate) first_fault: Option<String>,
    pub(crate) visits: Visits,
    pub(crate) meter: Meter,
}

impl Measured {
    /// Nothing yet, over `interval`.
    pub(crate) fn new(interval: Interval) -> Self {
        Self {
            findings: Findings::default(),
            troubles: Troubles::default(),
            kinds: [Count::default(); 4],
            not_sent: 0,
            unanswered: 0,
            reads: 0,
            idle_ns: 0,
            least_idle_ns: None,
            least_cpu_ns: None,
            threads: 0,
            first_fault: None,
            visits: Visits::default(),
            meter: Meter::new(interval, std::iter::empty()),
        }
    }

    /// What others' measurements are added to: as long as the longest of them.
    pub(crate) fn empty(interval: Interval) -> Self {
        let mut empty = Self::new(interval);
        empty.meter.cut(interval.from);
        empty
    }

    /// Adds what another one measured at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.findings.add(&other.findings);
        self.troubles.bad += other.troubles.bad;
        self.troubles.refused += other.troubles.refused;
        self.troubles.closed += other.troubles.closed;
        self.troubles.slow_closed += other.troubles.slow_closed;
        self.troubles.left_out += other.troubles.left_out;
        self.troubles.slow_left_out += other.troubles.slow_left_out;
        for (a, b) in self.kinds.iter_mut().zip(&other.kinds) {
            a.sent += b.sent;
            a.delivered += b.delivered;
            a.lost += b.lost;
        }
        self.not_sent += other.not_sent;
        self.unanswered += other.unanswered;
        self.reads += other.reads;
        self.idle_ns += other.idle_ns;
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        self.least_idle_ns = least(self.least_idle_ns, other.least_idle_ns);
        self.least_cpu_ns = least(self.least_cpu_ns, other.least_cpu_ns);
        self.threads += other.threads;
        self.first_fault = self.first_fault.take().or_else(|| other.first_fault.clone());
        self.visits.add(&other.visits);
        self.meter.add(&other.meter);
    }

    /// Messages of all kinds.
    pub(crate) fn sent(&self) -> u64 {
        self.kinds.iter().map(|k| k.sent).sum()
    }

    /// Copies that never came, to whoever should have had them.
    pub(crate) fn lost(&self) -> u64 {
        self.kinds.iter().map(|k| k.lost).sum::<u64>() + self.visits.lost
    }

    /// Everything that should not have happened.
    pub(crate) fn wrong(&self) -> u64 {
        let t = &self.troubles;
        self.lost()
            + self.findings.wrong()
            + t.bad
            + t.refused
            + t.closed
            + self.not_sent
            + self.unanswered
            + self.visits.failed
    }
}

/// What the joining before the load took, of one harness or of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joining {
    pub(crate) participants: u64,
    /// Of the harness that took longest.
    pub(crate) seconds: f64,
    /// From INVITE to its 200.
    pub(crate) invite: Hist,
    /// From INVITE to the answer to the binding request.
    pub(crate) bound: Hist,
    pub(crate) stages: Stages,
    /// The share of its time in which the thread that speaks SIP worked; of the busiest harness.
    pub(crate) sip_busy: f64,
    /// Microseconds of CPU that the server took meanwhile.
    pub(crate) server_cpu_us: Option<f64>,
    /// The server's resident memory before.
    pub(crate) rss_before: Option<u64>,
    /// … and with everybody in.
    pub(crate) rss_joined: Option<u64>,
}

impl Default for Joining {
    fn default() -> Self {
        Self {
            participants: 0,
            seconds: 0.0,
            invite: Hist::new(Grain::Fine),
            bound: Hist::new(Grain::Fine),
            stages: Stages::default(),
            sip_busy: 0.0,
            server_cpu_us: None,
            rss_before: None,
            rss_joined: None,
        }
    }
}

impl Joining {
    /// Notes what the server used and holds, from a look before everybody joined and one after. It may have ended between.
    pub(crate) fn watched(&mut self, before: Option<Look>, after: Option<Look>) {
        self.server_cpu_us = after.zip(before).map(|((a, _), (b, _))| a.since(b).total() as f64);
        self.rss_before = before.map(|(_, rss)| rss);
        self.rss_joined = after.map(|(_, rss)| rss);
    }

    /// Adds what another harness needed at the same time. The server is watched from one place only.
    pub(crate) fn add(&mut self, other: &Self) {
        self.participants += other.participants;
        self.seconds = self.seconds.max(other.seconds);
        self.invite.add(&other.invite);
        self.bound.add(&other.bound);
        self.stages.add(&other.stages);
        self.sip_busy = self.sip_busy.max(other.sip_busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_as_json_adds_up_as_if_it_had_been_here() {
        let interval = Interval { from: 0, to: 1_000_000_000 };
        let mut one = Measured::new(interval);
        one.kinds[1] = Count { sent: 3, delivered: 2, lost: 1 };
        one.threads = 1;
        one.first_fault = Some("x".into());
        one.meter.arrived(0, 0, 5, 1_005);
        let text = serde_json::to_string(&one).unwrap();
        let mut sum = Measured::empty(interval);
        sum.add(&serde_json::from_str(&text).unwrap());
        sum.add(&one);
        assert_eq!((sum.kinds[1].sent, sum.lost(), sum.threads, sum.wrong()), (6, 2, 2, 2));
        assert_eq!((sum.meter.arrived, sum.meter.latency[0].len(), sum.meter.slices[0].arrived), (2, 2, 2));
        assert_eq!(sum.first_fault.as_deref(), Some("x"));
    }
}
