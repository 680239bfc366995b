//! The load harness, `openmsrp-loadtest`: real SIP joins, real MSRP connections, every copy judged.
//!
//! Modules in reading order:
//!
//! - [`args`]: the command line.
//! - [`run`]: the course of a test.
//! - [`join`], [`progress`]: INVITE and connection of every participant.
//! - [`engine`]: one thread, one epoll loop; [`conn`]: one MSRP connection; [`voice`]: what
//!   publishers write.
//! - [`score`]: what comes in is read, judged and timed; [`stamp`]: the texts; [`oracle`]: the judge;
//!   [`pace`]: when things are due and how late they were.
//! - [`report`]: table and JSON.
//! - [`cpu`], [`sys`]: /proc and system calls.
//!
//! Exit code 0: all is well; 1: the server lost, doubled, changed or reordered something; 2: there is
//! no result.

mod args;
mod conn;
mod cpu;
mod engine;
mod join;
mod oracle;
mod pace;
mod progress;
mod report;
mod run;
mod score;
mod stamp;
mod sys;
mod voice;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return no_result(&format!("no runtime: {e}")),
    };
    match runtime.block_on(work(cli.command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => no_result(&why),
    }
}

/// Runs the command, prints its table; says whether all was well.
async fn work(command: Command) -> Result<bool, String> {
    match command {
        Command::Fanout(args) => {
            let report = run::fanout(&args).await?;
            print!("{}", report.text());
            args.party.json.as_ref().map_or(Ok(()), |path| report::write_json(&report, path))?;
            Ok(report.ok())
        }
        Command::Idle(args) => {
            let report = run::idle(&args).await?;
            print!("{}", report.text());
            args.party.json.as_ref().map_or(Ok(()), |path| report::write_json(&report, path))?;
            Ok(report.ok)
        }
    }
}

fn no_result(why: &str) -> ExitCode {
    eprintln!("openmsrp-loadtest: {why}");
    ExitCode::from(2)
}
