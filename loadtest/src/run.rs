//! The course of a test: check, join, run, leave, report.
//!
//! The main thread is a tokio runtime of its own: it carries SIP and sleeps while the engine threads work,
//! waking only to read the server's CPU time at both ends of the measured interval.

use crate::args::{Fanout, Idle, Party};
use crate::cpu;
use crate::engine::{Engine, Load, Order, Outcome, Plan, Setup};
use crate::join;
use crate::oracle::Shape;
use crate::pace::Interval;
use crate::report::{Asked, IdleReport, Joined, Processes, Report, Sampled};
use crate::stamp::{TEXT_BYTES_MIN, Texts};
use crate::sys;
use crate::voice::VoiceKind;
use openmsrp::base::clock;
use openmsrp::client::call::Call;
use openmsrp::wire::msrp::head::FailureReport;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::oneshot;

/// Open files of the harness besides its participants.
const OTHER_FILES: u64 = 64;
/// From the order to the first message.
const START_WAIT: Duration = Duration::from_millis(50);

/// Everybody is in.
struct Joint {
    engines: Vec<Sender<Order>>,
    calls: Vec<Call>,
    joined: Joined,
    rss_before: Option<u64>,
    rss_joined: Option<u64>,
}

/// What the engines need to know of a test.
#[derive(Clone, Copy)]
struct Texting {
    size: usize,
    publishers: u32,
    failure_report: FailureReport,
}

/// Runs `fanout`.
///
/// # Errors
/// Why there is no result: what was wrong, what to do.
pub(crate) async fn fanout(args: &Fanout) -> Result<Report, String> {
    args.check()?;
    let texting =
        Texting { size: args.size, publishers: args.publishers, failure_report: args.failure_report.into() };
    let joint = join_all(&args.party, texting).await?;
    let start = clock::now() + START_WAIT;
    let from = start + Duration::from_secs_f64(args.warmup);
    let to = from + Duration::from_secs_f64(args.duration);
    let interval = Interval { from: from.0, to: to.0 };
    let total = args.party.rooms;
    let threads = joint.engines.len() as u32;
    let mut waiting = Vec::new();
    for (thread, engine) in joint.engines.iter().enumerate() {
        let load = match args.rate {
            Some(rate) => Load::Rate(rate * f64::from(rooms_of(thread as u32, total, threads))),
            None => Load::Saturate(args.window),
        };
        let drain = Duration::from_secs_f64(args.drain);
        waiting.push(order_run(engine, Plan { load, start: start.0, interval, drain, sleep: args.sleep })?);
    }
    let sampled = cpu_between(args.party.server_pid, from, to).await?;
    let outcomes = gather(waiting).await?;
    join::leave(joint.calls).await;
    let asked = Asked {
        rooms: total,
        participants: args.party.participants,
        publishers: args.publishers,
        size: args.size,
        rate: args.rate,
        window: args.saturate.then_some(args.window),
        seconds: args.duration,
        polling: !args.sleep,
    };
    let memory = joint.rss_joined.zip(joint.rss_before);
    Ok(Report::new(asked, joint.joined, interval, &outcomes, &Processes { sampled, memory }))
}

/// Runs `idle`.
///
/// # Errors
/// Why there is no result: what was wrong, what to do.
pub(crate) async fn idle(args: &Idle) -> Result<IdleReport, String> {
    args.check()?;
    let texting = Texting { size: TEXT_BYTES_MIN, publishers: 0, failure_report: FailureReport::Yes };
    let joint = join_all(&args.party, texting).await?;
    let from = clock::now();
    let to = from + Duration::from_secs_f64(args.duration);
    let plan = Plan {
        load: Load::Nothing,
        start: from.0,
        interval: Interval { from: from.0, to: to.0 },
        drain: Duration::ZERO,
        sleep: true,
    };
    let waiting = joint.engines.iter().map(|e| order_run(e, plan.clone())).collect::<Result<Vec<_>, _>>()?;
    let sampled = cpu_between(args.party.server_pid, from, to).await?;
    let outcomes = gather(waiting).await?;
    let after = resident(&args.party)?;
    join::leave(joint.calls).await;
    let sessions = joint.joined.participants.max(1) as f64;
    let per_session = |rss: Option<u64>| {
        rss.zip(joint.rss_before).map(|(now, before)| (now as f64 - before as f64) / sessions)
    };
    let connections_lost = outcomes.iter().map(|o| o.troubles.closed).sum();
    Ok(IdleReport {
        joined: joint.joined,
        seconds: args.duration,
        connections_lost,
        first_fault: outcomes.iter().find_map(|o| o.first_fault.clone()),
        server_rss_before: joint.rss_before,
        server_rss_joined: joint.rss_joined,
        server_rss_after: after,
        server_rss_per_session_joined: per_session(joint.rss_joined),
        server_rss_per_session_after: per_session(after),
        server_cpu_cores: sampled.server.map(|c| sampled.cores(c)),
        ok: connections_lost == 0,
    })
}

async fn join_all(party: &Party, texting: Texting) -> Result<Joint, String> {
    check_open_files(party)?;
    let rss_before = resident(party)?;
    let server = resolve(&party.server).await?;
    let run: u64 = rand::random();
    let engines = start_engines(party, texting, run)?;
    let began = clock::now();
    let calls = join::join(party, server, run, &engines).await?;
    let seconds = clock::now().since(began).as_secs_f64();
    for engine in &engines {
        let (done, quiet) = oneshot::channel();
        engine.send(Order::Quiet(done)).map_err(|_| ENDED)?;
        quiet.await.map_err(|_| ENDED)?;
    }
    let participants = party.total();
    let joined = Joined { participants, seconds, per_s: participants as f64 / seconds.max(1e-9) };
    Ok(Joint { engines, calls, joined, rss_before, rss_joined: resident(party)? })
}

const ENDED: &str = "a thread of the harness has ended";

fn start_engines(party: &Party, texting: Texting, run: u64) -> Result<Vec<Sender<Order>>, String> {
    let cores = party.thread_cores();
    let threads = cores.len() as u32;
    let mut engines = Vec::new();
    for (thread, core) in cores.into_iter().enumerate() {
        let shape = Shape {
            rooms: rooms_of(thread as u32, party.rooms, threads),
            participants: party.participants,
            publishers: texting.publishers,
            window: 0,
        };
        let voice = VoiceKind {
            text_bytes: texting.size,
            failure_report: texting.failure_report,
            date: clock::wall_seconds(),
        };
        let texts = Texts::new(run as u32, texting.size);
        let prefix = (run >> 32) as u32 ^ thread as u32;
        let engine = Engine::new(Setup {
            names: party.names(),
            shape,
            texts,
            voice,
            thread: thread as u32,
            threads,
            prefix,
        })
        .map_err(|e| format!("epoll: {e}"))?;
        let (sender, orders) = channel();
        engines.push(sender);
        let work = move || {
            if let Some(core) = core
                && let Err(e) = sys::pin_to(core)
            {
                eprintln!("warning: cannot use core {core} (--cores): {e}");
            }
            engine.serve(&orders);
        };
        std::thread::Builder::new()
            .name(format!("engine-{thread}"))
            .spawn(work)
            .map_err(|e| format!("no thread for the harness: {e}"))?;
    }
    Ok(engines)
}

/// Rooms are dealt to threads in turn.
fn rooms_of(thread: u32, rooms: u32, threads: u32) -> u32 {
    rooms / threads + u32::from(thread < rooms % threads)
}

fn order_run(engine: &Sender<Order>, plan: Plan) -> Result<oneshot::Receiver<Outcome>, String> {
    let (done, outcome) = oneshot::channel();
    engine.send(Order::Run(Box::new(plan), done)).map_err(|_| ENDED)?;
    Ok(outcome)
}

async fn gather(waiting: Vec<oneshot::Receiver<Outcome>>) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::new();
    for outcome in waiting {
        outcomes.push(outcome.await.map_err(|_| ENDED)?);
    }
    Ok(outcomes)
}

/// CPU time of the server and of the harness between two moments, and how far these were really apart.
async fn cpu_between(pid: Option<u32>, from: clock::Now, to: clock::Now) -> Result<Sampled, String> {
    let sample = || -> Result<_, String> {
        let server = pid.map(cpu::time_of).transpose()?;
        Ok((server, cpu::time_of(std::process::id())?, clock::now()))
    };
    tokio::time::sleep(clock::now().until(from)).await;
    let before = sample()?;
    tokio::time::sleep(clock::now().until(to)).await;
    let after = sample()?;
    Ok(Sampled {
        server: after.0.zip(before.0).map(|(a, b)| a.since(b)),
        harness: after.1.since(before.1),
        seconds: after.2.since(before.2).as_secs_f64(),
    })
}

fn resident(party: &Party) -> Result<Option<u64>, String> {
    party.server_pid.map(cpu::resident_of).transpose()
}

fn check_open_files(party: &Party) -> Result<(), String> {
    let limit = sys::raise_open_files().map_err(|e| format!("cannot raise the limit on open files: {e}"))?;
    let needed = party.total() + OTHER_FILES;
    if limit < needed {
        return Err(format!(
            "{} participants need {needed} open files, the hard limit is {limit}; raise it (ulimit -Hn {needed} \
             as root, or LimitNOFILE= of a service) or lower --rooms or --participants",
            party.total()
        ));
    }
    Ok(())
}

async fn resolve(server: &str) -> Result<SocketAddr, String> {
    let hint = "--server wants HOST:PORT, as in 127.0.0.1:5060";
    let mut found = lookup_host(server).await.map_err(|e| format!("{server}: {e}; {hint}"))?;
    found.next().ok_or_else(|| format!("{server} has no address; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_has_one_thread() {
        for (rooms, threads) in [(1, 1), (7, 3), (9, 3), (1000, 7)] {
            assert_eq!((0..threads).map(|t| rooms_of(t, rooms, threads)).sum::<u32>(), rooms);
        }
    }
}
