//! The course of a test: join, run as often as asked or search, leave, report. With workers or without.

use crate::args::Job;
use crate::coordinate::{self, Workers};
use crate::halt::Halt;
use crate::measured::{Joining, Measured};
use crate::report::{Attempt, Joined, Report, Run, Sampled, Search, median};
use crate::scenario::Scenario;
use crate::scenario::keys::RATE_MAX;
use crate::search::{Bracket, Next, most};
use crate::session::{START_WAIT, Session};
use openmsrp::base::clock;

/// Why a test was cut short, or what the reason that there is none begins with, if somebody stopped it.
pub(crate) const STOPPED: &str = "stopped";

/// What came of one run.
pub(crate) struct Ran {
    pub(crate) measured: Measured,
    pub(crate) sampled: Sampled,
    /// Why a part of the load is missing: a worker was lost. There are no more runs then.
    pub(crate) lost: Option<String>,
}

/// Who makes the load.
enum Crew {
    /// This process.
    Here(Box<Session>),
    /// Others.
    There(Box<Workers>),
}

impl Crew {
    async fn join(&mut self, s: &Scenario, halt: &Halt) -> Result<(), String> {
        match self {
            Self::Here(session) => **session = Session::begin(s, s.names(), halt).await?,
            Self::There(workers) => workers.join(s, halt).await?,
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
        halt: &Halt,
    ) -> Result<Ran, String> {
        match self {
            Self::Here(session) => {
                let (measured, sampled) = session.run(name, clock::now() + START_WAIT, rate, halt).await?;
                Ok(Ran { measured, sampled, lost: None })
            }
            Self::There(workers) => workers.run(s, name, rate, halt).await,
        }
    }
}

/// Does the whole test. When it is stopped, or goes wrong after a run was measured, the report has what there is and
/// says why there is no more.
///
/// # Errors
/// Why there is no result: what was wrong, what to do.
pub(crate) async fn run(job: &Job) -> Result<Report, String> {
    let (s, halt) = (&job.scenario, &Halt::by_signal());
    let mut crew = match &job.workers {
        None => Crew::Here(Box::new(Session::begin(s, s.names(), halt).await?)),
        Some((listen, count)) => {
            let come = coordinate::gather(listen, *count, s);
            let mut workers = tokio::select! {
                come = come => come?,
                () = halt.called() => return Err(format!("{STOPPED} while workers were waited for")),
            };
            let joined = workers.join(s, halt).await;
            if halt.is_called() {
                return Err(format!("{STOPPED} while participants came in"));
            }
            joined?;
            Crew::There(Box::new(workers))
        }
    };
    let joined = Joined::of(crew.joining());
    let mut runs = Vec::new();
    let mut found = None;
    let mut done = if job.search {
        search(s, &mut crew, &mut runs, halt).await.map(|search| found = Some(search))
    } else {
        repeat(s, &mut crew, &mut runs, halt).await
    };
    if halt.is_called() {
        done = Err(STOPPED.into());
    }
    // Who cannot be told to leave is gone already.
    done = done.and(crew.leave().await);
    runs.retain(|run| run.seconds > 0.0);
    let cut = match done {
        Ok(()) => None,
        Err(why) if runs.is_empty() => return Err(format!("{why}: nothing was measured")),
        Err(why) => Some(why),
    };
    let mut report = Report::new(s, joined, runs);
    report.ok &= cut.is_none();
    report.cut_short = cut;
    report.search = found;
    report.note.clone_from(&job.note);
    if let Crew::There(workers) = &crew {
        report.workers = workers.infos();
    }
    Ok(report)
}

/// Runs the load as often as the scenario says, or until it is stopped.
async fn repeat(s: &Scenario, crew: &mut Crew, runs: &mut Vec<Run>, halt: &Halt) -> Result<(), String> {
    for i in 1..=s.runs {
        again(s, crew, runs.last(), halt).await?;
        once(s, crew, runs, format!("run {i} of {}", s.runs), None, halt).await?;
        if halt.is_called() {
            break;
        }
    }
    Ok(())
}

/// Runs the load once more. What was measured is kept also if that was not all.
async fn once(
    s: &Scenario,
    crew: &mut Crew,
    runs: &mut Vec<Run>,
    name: String,
    rate: Option<f64>,
    halt: &Halt,
) -> Result<(), String> {
    let Ran { measured, sampled, lost } = crew.run(s, name, rate, halt).await?;
    let asked = if rate.is_none() && s.saturate { None } else { Some(rate.unwrap_or(s.rate)) };
    runs.push(Run::new(s, asked, &measured, &sampled));
    lost.map_or(Ok(()), Err)
}

/// Joins everybody anew if the run before has used them up: connections that are gone, or that stopped reading.
async fn again(s: &Scenario, crew: &mut Crew, last: Option<&Run>, halt: &Halt) -> Result<(), String> {
    if last.is_some_and(|r| r.connections_lost > 0 || r.lost > 0 || s.slow_receivers > 0) {
        crew.leave().await?;
        crew.join(s, halt).await?;
    }
    Ok(())
}

/// The median of the runs that measured anything.
fn quantiles(runs: &[Run], share: f64) -> Option<f64> {
    let told: Vec<f64> = runs.iter().filter_map(|r| r.quantile(share)).collect();
    (!told.is_empty()).then(|| median(told))
}

async fn search(s: &Scenario, crew: &mut Crew, runs: &mut Vec<Run>, halt: &Halt) -> Result<Search, String> {
    let objective_us = s.objective_ms * 1e3;
    let mut bracket = Bracket::new(s.search_from, s.search_precision, RATE_MAX);
    let mut attempts = Vec::new();
    let ended = loop {
        let rate = match bracket.next() {
            Next::Try(rate) => rate,
            Next::Over(why) => break why.to_owned(),
        };
        if !s.sends(rate) {
            break format!(
                "at a lower rate nothing would be sent in {} s; raise duration to look there",
                s.duration
            );
        }
        let (mut tried, mut verdicts) = (Vec::new(), Vec::new());
        for i in 1..=s.runs {
            again(s, crew, runs.last(), halt).await?;
            let name = format!("{rate:.2} per room and second, run {i} of {}", s.runs);
            once(s, crew, runs, name, Some(rate), halt).await?;
            if halt.is_called() {
                // What was cut short says nothing about the rate.
                runs.pop();
                break;
            }
            let run = &runs[runs.len() - 1];
            let met = run.quantile(s.objective_quantile).is_some_and(|us| us <= objective_us);
            verdicts.push(run.ok && met);
            tried.push(run.clone());
        }
        if halt.is_called() {
            break "it was stopped".to_owned();
        }
        let met = most(&verdicts);
        let of = |f: &dyn Fn(&Run) -> f64| median(tried.iter().map(f).collect());
        attempts.push(Attempt {
            rate,
            deliveries_per_s: of(&|r| r.deliveries_per_s),
            quantile_us: quantiles(&tried, s.objective_quantile),
            lost: tried.iter().map(|r| r.lost).sum(),
            met,
            harness_is_bottleneck: tried.iter().any(|r| r.harness_is_bottleneck),
        });
        bracket.note(rate, met);
    };
    let mut search = Search {
        objective_us,
        objective_quantile: s.objective_quantile,
        best_rate: bracket.best.unwrap_or(0.0),
        too_high: bracket.too_high,
        ended,
        attempts,
    };
    if search.lowest_missed().is_some_and(|a| a.harness_is_bottleneck) {
        search.ended.push_str("; the harness itself was at its limit there, so the server may do better");
    }
    Ok(search)
}
