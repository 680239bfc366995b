//! `openmsrp sim`: runs the simulator.

use crate::sim::{self, Canary};
use clap::Args as ClapArgs;
use std::process::ExitCode;

/// Runs the deterministic simulator: one seed, or many.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Run this seed; the last line is the hash of its trace.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds and stop at the first that fails [default: 100].
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first of many seeds.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Plant a known bug; a wrong name lists them.
    #[arg(long, value_name = "NAME", value_parser = canary)]
    canary: Option<Canary>,
}

fn canary(name: &str) -> Result<Canary, String> {
    Canary::named(name).ok_or_else(|| Canary::ALL.map(|(name, _)| name).join(", "))
}

/// Runs the subcommand.
pub fn run(args: Args) -> ExitCode {
    let failure = match args.seed {
        Some(seed) => one(seed, args.canary),
        None => many(args.from, args.seeds.unwrap_or(100), args.canary),
    };
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, canary: Option<Canary>) -> Option<sim::Failure> {
    match sim::run(seed, canary) {
        Ok(report) => {
            let sim::Report { trace, turns, said, copies } = report;
            println!("seed {seed}: {turns} turns, {said} messages, {copies} copies");
            println!("{trace:016x}");
            None
        }
        Err(failure) => Some(failure),
    }
}

fn many(from: u64, seeds: u64, canary: Option<Canary>) -> Option<sim::Failure> {
    let mut turns = 0;
    for n in 0..seeds {
        match sim::run(from.wrapping_add(n), canary) {
            Ok(report) => turns += report.turns,
            Err(failure) => return Some(failure),
        }
        if (n + 1) % 100 == 0 || n + 1 == seeds {
            println!("{} of {seeds} seeds, {turns} turns", n + 1);
        }
    }
    None
}
