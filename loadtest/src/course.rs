//! The course of a test: join, run as often as asked or search, leave, report. With workers or without.

use crate::args::Job;
use crate::coordinate::{self, Workers};
use crate::measured::{Joining, Measured};
use crate::report::{Attempt, Joined, Report, Run, Sampled, Search, median};
use crate::scenario::Scenario;
use crate::search::{Bracket, Next, most};
use crate::session::{START_WAIT, Session};
use openmsrp::base::clock;

/// Who makes the load.
enum Crew {
    /// This process.
    Here(Box<Session>),
    /// Others.
    There(Box<Workers>),
}

impl Crew {
    async fn join(&mut self, s: &Scenario) -> Result<(), String> {
        match self {
            Self::Here(session) => **session = Session::begin(s, s.names()).await?,
            Self::There(workers) => workers.join(s).await?,
        }
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), String> {
        match self {
            Self::Here(session) => session.end().await,
            Self::There(workers) => workers.leave().await?,
        }
        Ok(())
    }

    fn joining(&self) -> &Joining {
        match self {
            Self::Here(session) => &session.joining,
            Self::There(workers) => workers.joining(),
        }
    }

    async fn run(
        &mut self,
        s: &Scenario,
        name: String,
        rate: Option<f64>,
    ) -> Result<(Measured, Sampled), String> {
        match self {
            Self::Here(session) => session.run(name, clock::now() + START_WAIT, rate).await,
            Self::There(workers) => workers.run(s, name, rate).await,
        }
    }
}

/// Does the whole test.
///
/// # Errors
/// Why there is no result: what was wrong, what to do.
pub(crate) async fn run(job: &Job) -> Result<Report, String> {
    let s = &job.scenario;
    let mut crew = match &job.workers {
        None => Crew::Here(Box::new(Session::begin(s, s.names()).await?)),
        Some((listen, count)) => {
            let mut workers = coordinate::gather(listen, *count, s).await?;
            workers.join(s).await?;
            Crew::There(Box::new(workers))
        }
    };
    let joined = Joined::of(crew.joining());
    let mut runs = Vec::new();
    let search = if job.search { Some(search(s, &mut crew, &mut runs).await?) } else { None };
    if search.is_none() {
        for i in 1..=s.runs {
            again(s, &mut crew, runs.last()).await?;
            runs.push(once(s, &mut crew, format!("run {i} of {}", s.runs), None).await?);
        }
    }
    crew.leave().await?;
    let mut report = Report::new(s, joined, runs);
    report.search = search;
    report.note.clone_from(&job.note);
    if let Crew::There(workers) = &crew {
        report.workers = workers.infos();
    }
    Ok(report)
}

async fn once(s: &Scenario, crew: &mut Crew, name: String, rate: Option<f64>) -> Result<Run, String> {
    let (measured, sampled) = crew.run(s, name, rate).await?;
    let asked = if rate.is_none() && s.saturate { None } else { Some(rate.unwrap_or(s.rate)) };
    Ok(Run::new(s, asked, &measured, &sampled))
}

/// Joins everybody anew if the run before has used them up: connections that are gone, or that stopped reading.
async fn again(s: &Scenario, crew: &mut Crew, last: Option<&Run>) -> Result<(), String> {
    if last.is_some_and(|r| r.connections_lost > 0 || r.lost > 0 || s.slow_receivers > 0) {
        crew.leave().await?;
        crew.join(s).await?;
    }
    Ok(())
}

async fn search(s: &Scenario, crew: &mut Crew, runs: &mut Vec<Run>) -> Result<Search, String> {
    let objective_us = s.objective_ms * 1e3;
    let mut bracket = Bracket::new(s.search_from, s.search_precision);
    let mut attempts = Vec::new();
    let mut ended = loop {
        let rate = match bracket.next() {
            Next::Try(rate) => rate,
            Next::Over(why) => break why.to_owned(),
        };
        let (mut tried, mut verdicts) = (Vec::new(), Vec::new());
        for i in 1..=s.runs {
            again(s, crew, runs.last()).await?;
            let run =
                once(s, crew, format!("{rate:.2} per room and second, run {i} of {}", s.runs), Some(rate))
                    .await?;
            verdicts.push(run.ok && run.quantile(s.objective_quantile) <= objective_us);
            runs.push(run.clone());
            tried.push(run);
        }
        let met = most(&verdicts);
        let of = |f: &dyn Fn(&Run) -> f64| median(tried.iter().map(f).collect());
        attempts.push(Attempt {
            rate,
            deliveries_per_s: of(&|r| r.deliveries_per_s),
            quantile_us: of(&|r| r.quantile(s.objective_quantile)),
            lost: tried.iter().map(|r| r.lost).sum(),
            met,
            harness_is_bottleneck: tried.iter().any(|r| r.harness_is_bottleneck),
        });
        bracket.note(rate, met);
    };
    let lowest_missed = attempts.iter().filter(|a| !a.met).min_by(|a, b| a.rate.total_cmp(&b.rate));
    if lowest_missed.is_some_and(|a| a.harness_is_bottleneck) {
        ended.push_str("; the harness itself was at its limit there, so the server may do better");
    }
    Ok(Search {
        objective_us,
        objective_quantile: s.objective_quantile,
        best_rate: bracket.best.unwrap_or(0.0),
        too_high: bracket.too_high,
        ended,
        attempts,
    })
}
