//! The load harness, `openmsrp-loadtest`: real SIP joins, real MSRP connections, every copy judged.
//!
//! Modules in reading order:
//!
//! - [`args`], [`scenario`]: the command line, and what is to be tested.
//! - [`course`]: the course of a test; [`halt`]: its end before its time; [`search`]: which rate is next.
//! - [`session`]: one harness at one server; [`coordinate`]: several.
//! - [`join`]: INVITE and connection of every participant, and visitors who come and go; [`secure`]: SIP over TLS.
//! - [`engine`]: one thread, one epoll loop; [`conn`]: one MSRP connection; [`voice`]: what
//!   publishers write.
//! - [`score`]: what comes in is read, judged and timed; [`stamp`]: the texts; [`oracle`], [`visitor`]: the
//!   judges; [`pace`], [`hist`]: when things are due and how late they were; [`measured`]: all of it.
//! - [`live`]: what goes on; [`report`]: what came of it, as text, JSON, CSV and a page, and compared.
//! - [`cpu`], [`sys`]: /proc and system calls.
//!
//! Exit code 0: all is well; 1: the server lost, doubled, changed or reordered something, a search found no rate, or a
//! comparison is for the worse; 2: there is no result, or it could not be written; 3: a comparison can say nothing; 130: it
//! was stopped, and reports what it has.

mod args;
mod conn;
mod coordinate;
mod course;
mod cpu;
mod engine;
mod halt;
mod hist;
mod join;
mod live;
mod measured;
mod oracle;
mod pace;
mod passwords;
mod report;
mod scenario;
mod score;
mod search;
mod secure;
mod session;
mod stamp;
mod sys;
mod visitor;
mod voice;

use args::{Job, Task};
use report::compare::{self, Change};
use report::{Report, can_save, distinct, html, save};
use scenario::presets;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// What the program says when it was stopped.
const INTERRUPTED: u8 = 130;
/// … and of a comparison that can say nothing: neither well nor worse.
const UNDECIDED: u8 = 3;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return no_result(&format!("no runtime: {e}")),
    };
    match args::task(&matches).and_then(|task| runtime.block_on(work(task))) {
        Ok(code) => ExitCode::from(code),
        Err(why) => no_result(&why),
    }
}

/// Does what is asked for and prints it; returns the exit code.
async fn work(task: Task) -> Result<u8, String> {
    match task {
        Task::Test(job) if job.print => say(&job.scenario.print()),
        Task::Test(job) => test(&job).await,
        Task::Worker(coordinator) => coordinate::worker(&coordinator).await.map(|()| 0),
        Task::Compare(a, b, page) => {
            distinct(&[&a[..], &b[..]].concat())?;
            let (a, b) = (Report::pool(&a)?, Report::pool(&b)?);
            let comparison = compare::compare(&a, &b)?;
            say(&compare::text(&comparison, &a, &b))?;
            page.map_or(Ok(()), |path| save(&path, &html::page(&a, Some((&b, &comparison)))))?;
            Ok(match comparison.verdict {
                Change::Better | Change::Same => 0,
                Change::Worse => 1,
                Change::Unknown | Change::Doubtful => UNDECIDED,
            })
        }
        Task::Page(report, page) => save(&page, &html::page(&Report::read(&report)?, None)).map(|()| 0),
        Task::Presets(None) => say(&presets::list()),
        Task::Presets(Some(name)) => say(presets::text(&name)?),
    }
}

/// A test, and its report in every form that is asked for. One that cannot be written does not keep the others from it.
async fn test(job: &Job) -> Result<u8, String> {
    let out = &job.outputs;
    let paths: Vec<_> = [&out.json, &out.csv, &out.html].into_iter().flatten().collect();
    if let Some(twice) = paths.iter().enumerate().find_map(|(i, path)| paths[..i].iter().find(|p| *p == path))
    {
        return Err(format!("{}: --json, --csv and --html must be different files", twice.display()));
    }
    paths.iter().try_for_each(|path| can_save(path))?;
    let report = course::run(job).await?;
    let written = [
        say(&report::text::text(&report)).map(drop),
        out.json.as_ref().map_or(Ok(()), |path| report.write(path)),
        out.csv.as_ref().map_or(Ok(()), |path| save(path, &report::csv::csv(&report))),
        out.html.as_ref().map_or(Ok(()), |path| save(path, &html::page(&report, None))),
    ];
    let failed: Vec<_> = written.into_iter().filter_map(Result::err).collect();
    if !failed.is_empty() {
        return Err(format!("the report could not be written: {}", failed.join("; ")));
    }
    Ok(match &report.cut_short {
        Some(why) if why == course::STOPPED => INTERRUPTED,
        Some(_) => 1,
        None => u8::from(!report.search.as_ref().map_or(report.ok, |s| s.best_rate > 0.0)),
    })
}

/// Prints it. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> Result<u8, String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(0),
    }
}

fn no_result(why: &str) -> ExitCode {
    eprintln!("openmsrp-loadtest: {why}");
    ExitCode::from(if why.starts_with(course::STOPPED) { INTERRUPTED } else { 2 })
}
