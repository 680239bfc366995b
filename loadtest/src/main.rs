//! The load harness, `openmsrp-loadtest`: real SIP joins, real MSRP connections, every copy judged.
//!
//! Modules in reading order:
//!
//! - [`args`], [`scenario`]: the command line, and what is to be tested.
//! - [`course`]: the course of a test; [`search`]: which rate is next.
//! - [`session`]: one harness at one server; [`coordinate`]: several.
//! - [`join`]: INVITE and connection of every participant, and visitors who come and go; [`secure`]: SIP over TLS.
//! - [`engine`]: one thread, one epoll loop; [`conn`]: one MSRP connection; [`voice`]: what
//!   publishers write.
//! - [`score`]: what comes in is read, judged and timed; [`stamp`]: the texts; [`oracle`], [`visitor`]: the
//!   judges; [`pace`], [`hist`]: when things are due and how late they were; [`measured`]: all of it.
//! - [`live`]: what goes on; [`report`]: what came of it, as text, JSON, CSV and a page, and compared.
//! - [`cpu`], [`sys`]: /proc and system calls.
//!
//! Exit code 0: all is well; 1: the server lost, doubled, changed or reordered something, or a comparison is for
//! the worse; 2: there is no result.

mod args;
mod conn;
mod coordinate;
mod course;
mod cpu;
mod engine;
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

use args::Task;
use report::compare::{self, Change};
use report::{Report, html, save};
use scenario::presets;
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return no_result(&format!("no runtime: {e}")),
    };
    match args::task(&matches).and_then(|task| runtime.block_on(work(task))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => no_result(&why),
    }
}

/// Does what is asked for and prints it; says whether all was well.
async fn work(task: Task) -> Result<bool, String> {
    match task {
        Task::Test(job) if job.print => {
            print!("{}", job.scenario.print());
            Ok(true)
        }
        Task::Test(job) => {
            let report = course::run(&job).await?;
            print!("{}", report::text::text(&report));
            let outputs = &job.outputs;
            outputs.json.as_ref().map_or(Ok(()), |path| report.write(path))?;
            outputs.csv.as_ref().map_or(Ok(()), |path| save(path, &report::csv::csv(&report)))?;
            outputs.html.as_ref().map_or(Ok(()), |path| save(path, &html::page(&report, None)))?;
            Ok(report.search.as_ref().map_or(report.ok, |s| s.best_rate > 0.0))
        }
        Task::Worker(coordinator) => coordinate::worker(&coordinator).await.map(|()| true),
        Task::Compare(a, b, page) => {
            let (a, b) = (Report::pool(&a)?, Report::pool(&b)?);
            let comparison = compare::compare(&a, &b);
            print!("{}", compare::text(&comparison, &a, &b));
            page.map_or(Ok(()), |path| save(&path, &html::page(&a, Some(&b))))?;
            Ok(comparison.verdict != Change::Worse)
        }
        Task::Page(report, page) => save(&page, &html::page(&Report::read(&report)?, None)).map(|()| true),
        Task::Presets(None) => {
            print!("{}", presets::list());
            Ok(true)
        }
        Task::Presets(Some(name)) => {
            print!("{}", presets::text(&name)?);
            Ok(true)
        }
    }
}

fn no_result(why: &str) -> ExitCode {
    eprintln!("openmsrp-loadtest: {why}");
    ExitCode::from(2)
}
