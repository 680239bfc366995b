//! One harness at one server: threads start, everybody joins, the load runs once or more often, all leave.
//!
//! The main thread is a tokio runtime of its own: it carries SIP and sleeps while the engine threads work,
//! waking for visitors, and at each slice of time to read the server's CPU time and memory.

use crate::cpu;
use crate::engine::{Desk, Engine, Order, Plan, Setup};
use crate::halt::Halt;
use crate::join::{self, Door, Visiting};
use crate::live::{self, Going, Live};
use crate::measured::{Joining, Measured};
use crate::oracle::Shape;
use crate::pace::Interval;
use crate::report::{Sample, Sampled};
use crate::scenario::{Scenario, SipConnections};
use crate::score::Names;
use crate::sys::{self, Bell};
use crate::voice::VoiceKind;
use openmsrp::base::clock::{self, Now};
use openmsrp::client::call::Call;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::oneshot;

/// Open files of the harness besides those of its participants.
const OTHER_FILES: u64 = 64;
/// From the order to the first message.
pub(crate) const START_WAIT: Duration = Duration::from_millis(50);
const ENDED: &str = "a thread of the harness has ended";

/// Everybody is in.
pub(crate) struct Session {
    scenario: Scenario,
    engines: Vec<Desk>,
    lives: Vec<Arc<Live>>,
    door: Arc<Door>,
    calls: Vec<Call>,
    /// What the joining took.
    pub(crate) joining: Joining,
    /// Tells the texts of this harness from those of another.
    run: u32,
    visitors: u32,
}

impl Session {
    /// Starts the threads and joins everybody.
    ///
    /// # Errors
    /// Why there is no result: what was wrong, what to do.
    pub(crate) async fn begin(s: &Scenario, names: Names, halt: &Halt) -> Result<Self, String> {
        check_cores(s)?;
        check_open_files(s)?;
        let before = s.server_pid.map(cpu::look_at).transpose()?;
        let server = resolve(&s.server).await?;
        let run: u64 = rand::random();
        let (engines, lives) = start_engines(s, &names, run)?;
        let (began, worked) = (clock::now(), sys::thread_cpu_time());
        let door = Arc::new(Door::open(s, names, server, run, &engines).await?);
        let all = join::join(&door, s.join_parallel, halt).await?;
        let seconds = clock::now().since(began).as_secs_f64();
        // SIP is spoken on this thread.
        let sip_busy = (sys::thread_cpu_time() - worked).as_secs_f64() / seconds.max(1e-9);
        let after = s.server_pid.and_then(|pid| cpu::look_at(pid).ok());
        for engine in &engines {
            let (done, quiet) = oneshot::channel();
            engine.give(Order::Quiet(done))?;
            quiet.await.map_err(|_| ENDED)?;
        }
        let mut joining = Joining {
            participants: s.total(),
            seconds,
            invite: all.invite,
            bound: all.bound,
            stages: all.stages,
            sip_busy,
            ..Joining::default()
        };
        joining.watched(before, after);
        Ok(Self {
            scenario: s.clone(),
            engines,
            lives,
            door,
            calls: all.calls,
            joining,
            run: run as u32,
            visitors: 0,
        })
    }

    /// Runs the load once. `start`: when the first message is due; `rate`: instead of the scenario's.
    ///
    /// # Errors
    /// A thread ended.
    pub(crate) async fn run(
        &mut self,
        name: String,
        start: Now,
        rate: Option<f64>,
        halt: &Halt,
    ) -> Result<(Measured, Sampled), String> {
        let s = &self.scenario;
        let from = start + Duration::from_secs_f64(s.warmup);
        let to = from + Duration::from_secs_f64(s.duration);
        let interval = Interval { from: from.0, to: to.0 };
        let planned = clock::now().until(to);
        self.lives.iter().for_each(|live| live.tell_going(Going::default()));
        self.run = self.run.wrapping_add(1);
        let threads = self.engines.len() as u32;
        let mut waiting = Vec::new();
        for (thread, engine) in self.engines.iter().enumerate() {
            let rooms = f64::from(rooms_of(thread as u32, s.rooms, threads));
            let texts = if s.saturate && rate.is_none() { 0.0 } else { rate.unwrap_or(s.rate) };
            let plan = Plan {
                run: self.run,
                rates: [texts, s.private_rate, s.typing_rate, s.long_rate].map(|r| r * rooms),
                window: if s.saturate && rate.is_none() { s.window } else { 0 },
                start: start.0,
                interval,
                drain: Duration::from_secs_f64(s.drain),
                sleep: s.sleep,
            };
            let (done, outcome) = oneshot::channel();
            engine.give(Order::Run(Box::new(plan), done))?;
            waiting.push(outcome);
        }
        let visiting = Visiting {
            rate: s.visits,
            stay: Duration::from_secs_f64(s.visit_seconds),
            start: start.0,
            interval,
            first: self.visitors,
        };
        // More than can have come.
        self.visitors += (s.visits * (s.warmup + s.duration)).ceil() as u32 + 1;
        let work = async {
            tokio::join!(
                sample(s.server_pid, interval, halt),
                join::visits(&self.door, visiting, &self.lives[0], halt),
                gather(waiting)
            )
        };
        let stop = async {
            halt.called().await;
            // A thread that has ended shows in `work`.
            self.engines.iter().for_each(|engine| drop(engine.give(Order::Stop)));
            std::future::pending::<()>().await;
        };
        let (sampled, visits, outcomes) = tokio::select! {
            done = work => done,
            () = live::watch(name, planned, self.lives.clone()) => return Err("the display ended".into()),
            () = stop => return Err("nobody stopped it".into()),
        };
        let mut measured = Measured::empty(interval);
        outcomes?.iter().for_each(|o| measured.add(o));
        measured.visits.add(&visits);
        Ok((measured, sampled?))
    }

    /// Where the threads tell what goes on.
    pub(crate) fn lives(&self) -> Vec<Arc<Live>> {
        self.lives.clone()
    }

    /// Hangs everybody up.
    pub(crate) async fn end(&mut self) {
        join::leave(std::mem::take(&mut self.calls)).await;
    }
}

/// The threads' orders, and where each tells what goes on.
type Threads = (Vec<Desk>, Vec<Arc<Live>>);

fn start_engines(s: &Scenario, names: &Names, run: u64) -> Result<Threads, String> {
    let cores = s.thread_cores();
    let threads = cores.len() as u32;
    let (mut engines, mut lives) = (Vec::new(), Vec::new());
    let sent = |rate: f64, size: usize| if rate > 0.0 { size } else { 0 };
    for (thread, core) in cores.into_iter().enumerate() {
        let shape = Shape {
            rooms: rooms_of(thread as u32, s.rooms, threads),
            participants: s.readers(),
            publishers: s.publishers,
            window: 0,
            ordered: true,
        };
        let voice = VoiceKind {
            text_bytes: [
                s.size,
                sent(s.private_rate, s.size),
                sent(s.typing_rate, crate::stamp::TEXT_BYTES_MIN),
                sent(s.long_rate, s.long_size),
            ],
            failure_report: s.failure_report.into(),
            date: clock::wall_seconds(),
        };
        let live = Arc::new(Live::default());
        lives.push(Arc::clone(&live));
        let bell = Bell::new().map_err(|e| format!("eventfd: {e}"))?;
        let engine = Engine::new(Setup {
            names: names.clone(),
            shape,
            participants: s.participants,
            voice,
            thread: thread as u32,
            threads,
            prefix: (run >> 32) as u32 ^ thread as u32,
            live,
            bell: bell.clone(),
        })
        .map_err(|e| format!("epoll: {e}"))?;
        let (sender, orders) = channel();
        engines.push(Desk::new(sender, bell));
        let work = move || {
            if let Some(core) = core
                && let Err(e) = sys::pin_to(core)
            {
                eprintln!("warning: cannot use core {core} (--cores) any more: {e}");
            }
            engine.serve(&orders);
        };
        std::thread::Builder::new()
            .name(format!("engine-{thread}"))
            .spawn(work)
            .map_err(|e| format!("no thread for the harness: {e}"))?;
    }
    Ok((engines, lives))
}

/// Rooms are dealt to threads in turn.
fn rooms_of(thread: u32, rooms: u32, threads: u32) -> u32 {
    rooms / threads + u32::from(thread < rooms % threads)
}

async fn gather(waiting: Vec<oneshot::Receiver<Measured>>) -> Result<Vec<Measured>, String> {
    let mut outcomes = Vec::new();
    for outcome in waiting {
        outcomes.push(outcome.await.map_err(|_| ENDED)?);
    }
    Ok(outcomes)
}

/// CPU time and memory of the server, as long as it lives, and CPU time of the harness and of this thread, which speaks SIP,
/// over the interval, slice by slice, until it is over or stopped.
pub(crate) async fn sample(pid: Option<u32>, interval: Interval, halt: &Halt) -> Result<Sampled, String> {
    let sleep = async |until: u64| {
        tokio::select! {
            () = tokio::time::sleep(clock::now().until(Now(until))) => {}
            () = halt.called() => {}
        }
    };
    // A server that dies takes nothing with it of what was measured.
    let look = || {
        let harness = cpu::clock_of(std::process::id())?;
        let own = sys::thread_cpu_time();
        Ok::<_, String>((clock::now(), pid.and_then(|pid| cpu::look_at(pid).ok()), harness, own))
    };
    sleep(interval.from).await;
    let before = look()?;
    let (mut last, mut slices) = (before, Vec::new());
    for i in 1..=interval.slices() as u64 {
        let until = (interval.from + i * interval.slice_ns()).min(interval.to);
        if halt.is_called() {
            break;
        }
        sleep(until).await;
        let now = look()?;
        let seconds = now.0.since(last.0).as_secs_f64().max(1e-9);
        let cores = now.1.zip(last.1).map(|((a, _), (b, _))| a.since(b).total() as f64 / 1e6 / seconds);
        slices.push(Sample { cores, rss: now.1.map(|(_, rss)| rss) });
        last = now;
    }
    let seconds = last.0.since(before.0).as_secs_f64();
    Ok(Sampled {
        server: last.1.zip(before.1).map(|((a, _), (b, _))| a.since(b)),
        server_ended: pid.is_some() && last.1.is_none(),
        harness: last.2.since(before.2),
        sip_busy: (last.3 - before.3).as_secs_f64() / seconds.max(1e-9),
        seconds,
        slices,
    })
}

/// A thread that cannot have its core would share one without a word of it in the report.
fn check_cores(s: &Scenario) -> Result<(), String> {
    let allowed = sys::cores().map_err(|e| format!("which cores there are: {e}"))?;
    match s.cores.iter().find(|core| !allowed.contains(core)) {
        Some(core) => {
            Err(format!("there is no core {core} for the harness (--cores); it may use {allowed:?}"))
        }
        None => Ok(()),
    }
}

fn check_open_files(s: &Scenario) -> Result<(), String> {
    let limit = sys::raise_open_files().map_err(|e| format!("cannot raise the limit on open files: {e}"))?;
    let each = if s.sip_connections == SipConnections::Each { 2 } else { 1 };
    let needed = (s.total() + s.visitors_at_once()) * each + OTHER_FILES;
    if limit < needed {
        return Err(format!(
            "{} participants need {needed} open files, the hard limit is {limit}; raise it (ulimit -Hn {needed} \
             as root, or LimitNOFILE= of a service) or lower --rooms, --participants or --visits",
            s.total()
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
