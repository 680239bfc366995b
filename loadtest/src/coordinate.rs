//! Several harnesses, one test: a coordinator that deals out rooms, and workers that make the load.
//!
//! ```text
//!   coordinator                         worker
//!     ◀────────────── hello ──────────────
//!     ─── what time is it? ──▶ ◀── now ───   ROUNDS times; the quickest answer counts
//!     ──── join: scenario, rooms ───▶ ◀─── joined
//!     ──── run: start (its clock) ──▶ ◀─── going        once a second, whatever it does
//!                                     ◀─── measured     as often as needed
//!     ──── stop ────────────────────▶          to end a join or a run that is under way
//!     ──── leave ───────────────────▶ ◀─── left
//! ```
//!
//! A room belongs to one worker, whole: every latency is taken between two readings of one clock, and clocks of
//! different machines never meet in one. What they are compared for is to start together; how far that is known
//! (half of the quickest answer's way there and back) is told in the report.
//!
//! A worker that says nothing for [`SILENCE_MAX`] while it has something to do is lost, whether its connection has ended or
//! not; the others stop then.
//!
//! One JSON value per line over TCP. Nobody is asked who he is: this is for a network of one's own. Bounded: a
//! line by [`LINE_BYTES_MAX`], each wait for an answer by a time.

use crate::course::{Ran, STOPPED};
use crate::cpu::{self, CpuTime};
use crate::halt::{Caller, Halt};
use crate::live::{self, Going, LOOK, Line, Live};
use crate::measured::{Joining, Measured};
use crate::pace::Interval;
use crate::report::{Sampled, WorkerInfo};
use crate::scenario::{Scenario, read};
use crate::score::Names;
use crate::session::{Session, sample};
use futures_util::future::{join_all, select_all};
use openmsrp::base::clock::{self, Now};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Both sides must be of one mind about the lines.
const PROTOCOL: u32 = 4;
/// Octets of a line: the histograms of a large run are some hundred kilooctets.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How often a worker is asked for the time.
const ROUNDS: u32 = 32;
/// For workers to come.
const COME_WAIT: Duration = Duration::from_secs(600);
/// A worker that does something says so once a second; one that is silent for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// For an answer that needs no work.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// For everybody to join or to leave.
const JOIN_WAIT: Duration = Duration::from_secs(1_800);
/// For a run, beyond its own length.
const RUN_WAIT: Duration = Duration::from_secs(120);
/// From the order to the first message.
const START_WAIT: Duration = Duration::from_millis(500);
/// Participants' numbers of one worker; its visitors count upwards too.
const USERS_EACH: u64 = 100_000_000;

/// What a coordinator says.
#[derive(Serialize, Deserialize, Debug)]
enum Order {
    Time,
    Join { scenario: String, first_room: u32, first_user: u64 },
    Run { name: String, start: u64, rate: Option<f64> },
    Stop,
    Leave,
}

/// What a worker says.
#[derive(Serialize, Deserialize, Debug)]
enum Answer {
    Hello {
        protocol: u32,
        name: String,
    },
    Time(u64),
    Joined(Box<Joining>),
    /// Not the answer yet: what goes on meanwhile.
    Going(Going),
    Ran {
        measured: Box<Measured>,
        cpu: CpuTime,
        sip_busy: f64,
        seconds: f64,
    },
    Left,
    Failed(String),
}

/// One end of a connection.
struct Link {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// What has come of a line.
    line: Vec<u8>,
}

impl Link {
    fn new(stream: TcpStream) -> Self {
        // Without it answers are late, and clocks less well known; nothing else depends on it.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read), write, line: Vec::new() }
    }

    async fn say(&mut self, what: &impl Serialize) -> Result<(), String> {
        let mut line = serde_json::to_string(what).map_err(|e| e.to_string())?;
        line.push('\n');
        self.write.write_all(line.as_bytes()).await.map_err(|e| e.to_string())
    }

    /// The next line; `None` when the other side has gone. Cancel safe.
    async fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let mut limited = (&mut self.read).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut self.line).await.map_err(|e| e.to_string())?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).map(Some).map_err(|e| format!("a line that cannot be read: {e}"))
    }
}

/// A worker, from the coordinator's side.
struct Worker {
    link: Link,
    name: String,
    rooms: u32,
    /// What goes on there.
    live: Arc<Live>,
    /// What must be added to this clock to have the worker's.
    offset: i128,
    /// How far that is known.
    known_to: u64,
    /// It has gone, or is as good as gone: it is told nothing any more.
    lost: bool,
}

impl Worker {
    /// Gives an order and waits for the answer, of which `pick` takes what belongs to this order; tells the worker to stop
    /// when `halt` is called.
    async fn ask<T>(
        &mut self,
        order: &Order,
        wait: Duration,
        halt: &Halt,
        pick: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, String> {
        let both = async {
            self.link.say(order).await?;
            let mut told = false;
            loop {
                tokio::select! {
                    heard = timeout(SILENCE_MAX, self.link.hear()) => match heard {
                        Ok(Ok(Some(Answer::Going(going)))) => self.live.tell_going(going),
                        Ok(answer) => return answer,
                        Err(_) => return Err(format!("nothing was heard of it for {} s", SILENCE_MAX.as_secs())),
                    },
                    () = halt.called(), if !told => {
                        told = true;
                        self.link.say(&Order::Stop).await?;
                    }
                }
            }
        };
        let answer = timeout(wait, both).await;
        self.lost = !matches!(answer, Ok(Ok(Some(_))));
        match answer {
            Ok(Ok(Some(Answer::Failed(why)))) => Err(format!("worker {}: {why}", self.name)),
            Ok(Ok(Some(answer))) => {
                pick(answer).ok_or_else(|| format!("worker {} gave an answer to another question", self.name))
            }
            Ok(Ok(None)) => Err(format!("worker {} has gone", self.name)),
            Ok(Err(why)) => Err(format!("worker {}: {why}", self.name)),
            Err(_) => Err(format!("worker {} did not answer within {} s", self.name, wait.as_secs())),
        }
    }

    /// Resolves when it has gone, which it may do while nothing is asked of it. Cancel safe.
    async fn gone(&mut self) {
        // It says nothing unasked.
        while let Ok(Some(Answer::Going(_))) = self.link.hear().await {}
    }

    /// Learns its clock.
    async fn ask_time(&mut self) -> Result<(), String> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let before = clock::now().0;
            let time = |answer| if let Answer::Time(there) = answer { Some(there) } else { None };
            let there = self.ask(&Order::Time, ANSWER_WAIT, &Halt::never(), time).await?;
            rounds.push((before, there, clock::now().0));
        }
        (self.offset, self.known_to) = offset(&rounds);
        Ok(())
    }
}

/// Gives each its order, all at the same time, and waits for all answers as [`Worker::ask`] does. The first that fails, or is
/// lost, has the others stop: the answers there are, and why there are no more.
async fn ask_all<T>(
    workers: &mut [Worker],
    orders: impl Iterator<Item = Order>,
    wait: Duration,
    (caller, stop): (&Caller, &Halt),
    pick: impl Fn(Answer) -> Option<T>,
) -> (Vec<T>, Option<String>) {
    let (cause, pick) = (OnceCell::new(), &pick);
    let work = workers.iter_mut().zip(orders).map(|(worker, order)| {
        let cause = &cause;
        async move {
            let failed = |why| {
                caller.call();
                cause.get_or_init(|| why);
            };
            worker.ask(&order, wait, stop, pick).await.map_err(failed).ok()
        }
    });
    let answers = join_all(work).await.into_iter().flatten().collect();
    (answers, cause.into_inner())
}

/// From readings here, there, and here again: what to add to this clock to have the other, and how far that is
/// known, in nanoseconds. The quickest round counts: the other reading lies between the two here, wherever.
fn offset(rounds: &[(u64, u64, u64)]) -> (i128, u64) {
    let quickest = rounds.iter().min_by_key(|(before, _, after)| after.saturating_sub(*before));
    quickest.map_or((0, u64::MAX), |(before, there, after)| {
        let half = after.saturating_sub(*before) / 2;
        (i128::from(*there) - i128::from(before + half), half)
    })
}

/// All workers of a test.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    joining: Joining,
}

/// Waits for `count` workers.
///
/// # Errors
/// The address cannot be listened on, too few came, or there are fewer rooms than workers.
pub(crate) async fn gather(listen: &str, count: usize, s: &Scenario) -> Result<Workers, String> {
    if (s.rooms as usize) < count {
        return Err(format!(
            "{} rooms cannot be dealt to {count} workers: a room belongs to one, whole",
            s.rooms
        ));
    }
    let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen} (--listen): {e}"))?;
    let here = listener.local_addr().map_err(|e| e.to_string())?;
    eprintln!("waiting for {count} workers at {here}: openmsrp-loadtest worker {here}");
    let mut workers: Vec<Worker> = Vec::new();
    let come = async {
        let mut number = 0;
        while workers.len() < count {
            let gone = first_or_never(workers.iter_mut().map(Worker::gone));
            tokio::select! {
                came = listener.accept() => {
                    let (stream, from) = came.map_err(|e| e.to_string())?;
                    match greet(Link::new(stream), number).await {
                        Ok(worker) => workers.push(worker),
                        Err(why) => eprintln!("{from} is no worker: {why}"),
                    }
                    number += 1;
                }
                place = gone => {
                    eprintln!("worker {} has gone; another is waited for", workers.remove(place).name);
                }
            }
        }
        Ok::<_, String>(())
    };
    match timeout(COME_WAIT, come).await {
        Ok(result) => result?,
        Err(_) => return Err(format!("only {} of {count} workers came", workers.len())),
    }
    Ok(Workers { workers, joining: Joining::default() })
}

/// The place of the first of these to be done; never, if there are none.
async fn first_or_never(all: impl Iterator<Item = impl Future<Output = ()>>) -> usize {
    let all: Vec<_> = all.map(Box::pin).collect();
    if all.is_empty() { std::future::pending().await } else { select_all(all).await.1 }
}

async fn greet(mut link: Link, number: usize) -> Result<Worker, String> {
    let hello = timeout(ANSWER_WAIT, link.hear()).await.map_err(|_| "it says nothing")??;
    match hello {
        Some(Answer::Hello { protocol: PROTOCOL, name }) => {
            let name = format!("{}: {name}", number + 1);
            let mut worker =
                Worker { link, name, rooms: 0, live: Arc::default(), offset: 0, known_to: 0, lost: false };
            worker.ask_time().await?;
            Ok(worker)
        }
        Some(Answer::Hello { protocol, .. }) => Err(format!("it speaks version {protocol}, not {PROTOCOL}")),
        _ => Err("it does not greet".into()),
    }
}

impl Workers {
    /// Deals the rooms out and has everybody join.
    ///
    /// # Errors
    /// A worker failed or has gone.
    pub(crate) async fn join(&mut self, s: &Scenario, halt: &Halt) -> Result<(), String> {
        let before = s.server_pid.map(cpu::look_at).transpose()?;
        let shares = deal(s, self.workers.len() as u32);
        self.workers.iter_mut().zip(&shares).for_each(|(worker, (share, _))| worker.rooms = share.rooms);
        let orders = shares.into_iter().zip(0_u64..).map(|((share, first_room), i)| Order::Join {
            scenario: share.print(),
            first_room,
            first_user: i * USERS_EACH,
        });
        let joining = |answer| if let Answer::Joined(joining) = answer { Some(joining) } else { None };
        let (caller, stop) = &Halt::pair();
        let line = Line::words();
        line.say("workers join".into());
        // Nobody is left in the middle: who is told to stop says that it has.
        let (joined, failed) = tokio::select! {
            done = ask_all(&mut self.workers, orders, JOIN_WAIT, (caller, stop), joining) => done,
            () = forward(halt, caller) => return Err(STOPPED.into()),
        };
        if let Some(why) = failed {
            return Err(why);
        }
        let mut sum = Joining::default();
        joined.iter().for_each(|joining| sum.add(joining));
        sum.watched(before, s.server_pid.and_then(|pid| cpu::look_at(pid).ok()));
        self.joining = sum;
        Ok(())
    }

    /// Runs the load once, on all at the same time. When one is lost the others stop, and what they have measured is
    /// kept, with the reason: rooms belong to one worker, whole.
    ///
    /// # Errors
    /// All failed or have gone.
    pub(crate) async fn run(
        &mut self,
        s: &Scenario,
        name: String,
        rate: Option<f64>,
        halt: &Halt,
    ) -> Result<Ran, String> {
        let start = clock::now() + START_WAIT;
        let from = start + Duration::from_secs_f64(s.warmup);
        let interval = Interval { from: from.0, to: (from + Duration::from_secs_f64(s.duration)).0 };
        let wait = RUN_WAIT + Duration::from_secs_f64(s.warmup + s.duration + s.drain);
        let lives = self.workers.iter().map(|w| Arc::clone(&w.live)).collect();
        let planned = clock::now().until(Now(interval.to));
        let watching = live::watch(format!("{name}, {} workers", self.workers.len()), planned, lives);
        let (caller, stop) = &Halt::pair();
        let there = |offset: i128| u64::try_from(i128::from(start.0) + offset).unwrap_or(0);
        let run = |w: &Worker| Order::Run { name: name.clone(), start: there(w.offset), rate };
        let orders: Vec<_> = self.workers.iter().map(run).collect();
        let ran = |answer| match answer {
            Answer::Ran { measured, cpu, sip_busy, seconds } => Some((measured, cpu, sip_busy, seconds)),
            _ => None,
        };
        let work = ask_all(&mut self.workers, orders.into_iter(), wait, (caller, stop), ran);
        let watched = sample(s.server_pid, interval, stop);
        let ((parts, lost), sampled) = tokio::select! {
            done = async { tokio::join!(work, watched) } => done,
            () = forward(halt, caller) => return Err(STOPPED.into()),
            () = watching => return Err("the display ended".into()),
        };
        let lost = match lost {
            Some(why) if parts.is_empty() => return Err(why),
            lost => lost,
        };
        let mut sampled = sampled?;
        let mut measured = Measured::empty(interval);
        let (mut used, mut busiest) = (0.0, 0.0_f64);
        for (part, cpu, sip_busy, seconds) in parts {
            measured.add(&part);
            busiest = busiest.max(sip_busy);
            used += cpu.total() as f64 / seconds.max(1e-9);
        }
        // What counts as the harness are the workers; this process only waits.
        sampled.harness = CpuTime { user: (used * sampled.seconds) as u64, system: 0 };
        sampled.sip_busy = busiest;
        Ok(Ran { measured, sampled, lost })
    }

    /// Has everybody hang up.
    ///
    /// # Errors
    /// A worker failed or has gone.
    pub(crate) async fn leave(&mut self) -> Result<(), String> {
        let there = self.workers.iter_mut().filter(|worker| !worker.lost);
        let left = |answer| matches!(answer, Answer::Left).then_some(());
        let work = there
            .map(|worker| async move { worker.ask(&Order::Leave, JOIN_WAIT, &Halt::never(), left).await });
        join_all(work).await.into_iter().collect()
    }

    /// What the joining took.
    pub(crate) fn joining(&self) -> &Joining {
        &self.joining
    }

    /// Who they are.
    pub(crate) fn infos(&self) -> Vec<WorkerInfo> {
        let info = |w: &Worker| WorkerInfo {
            name: w.name.clone(),
            rooms: w.rooms,
            clock_known_to_us: w.known_to as f64 / 1e3,
        };
        self.workers.iter().map(info).collect()
    }
}

/// Calls to stop when `halt` is called; never resolves.
async fn forward(halt: &Halt, caller: &Caller) {
    halt.called().await;
    caller.call();
    std::future::pending().await
}

/// Each worker's part of a scenario, and the number of its first room.
fn deal(s: &Scenario, workers: u32) -> Vec<(Scenario, u32)> {
    let part = |of: u32, i: u32| of / workers + u32::from(i < of % workers);
    let mut first = 0;
    let one = |i: u32| {
        let mut share = s.clone();
        // The server is watched by the coordinator, once.
        share.server_pid = None;
        (share.rooms, share.idle_rooms) = (part(s.rooms, i), part(s.idle_rooms, i));
        share.visits = s.visits * f64::from(share.rooms) / f64::from(s.rooms);
        let first_room = first;
        first += share.rooms + share.idle_rooms;
        (share, first_room)
    };
    (0..workers).map(one).collect()
}

/// Works for the coordinator at this address until it goes.
///
/// # Errors
/// There is no coordinator, or it says what cannot be understood.
pub(crate) async fn worker(coordinator: &str) -> Result<(), String> {
    let stream = TcpStream::connect(coordinator).await.map_err(|e| {
        format!("{coordinator}: {e}; is a coordinator running there (openmsrp-loadtest coordinate)?")
    })?;
    let mut link = Link::new(stream);
    let name = format!("{}, process {}", cpu::host(), std::process::id());
    link.say(&Answer::Hello { protocol: PROTOCOL, name }).await?;
    let mut session = None;
    let stop = Halt::by_signal();
    let served = serve(&mut link, &mut session, &stop).await;
    // The coordinator may have gone in the middle.
    if let Some(session) = &mut session {
        session.end().await;
    }
    served
}

/// Follows orders until the coordinator goes; an order that is under way then is given up.
async fn serve(link: &mut Link, session: &mut Option<Session>, stop: &Halt) -> Result<(), String> {
    let stopped = || Err(format!("{STOPPED}; the coordinator knows by the end of the connection"));
    loop {
        let order = tokio::select! {
            order = link.hear() => order?,
            () = stop.called() => return stopped(),
        };
        let order = match order {
            None => return Ok(()),
            // What was to be stopped was done already; no answer is waited for.
            Some(Order::Stop) => continue,
            Some(order) => order,
        };
        let (caller, halt) = Halt::pair();
        let lives = match (&order, &*session) {
            (Order::Run { .. }, Some(session)) => session.lives(),
            _ => Vec::new(),
        };
        let mut work = std::pin::pin!(follow(order, session, &halt));
        let answer = loop {
            tokio::select! {
                answer = &mut work => break answer.unwrap_or_else(Answer::Failed),
                heard = link.hear() => match heard? {
                    Some(Order::Stop) => caller.call(),
                    // Another worker was lost: the test is over.
                    Some(Order::Leave) => return Ok(()),
                    Some(_) => return Err("the coordinator gives orders before the last one is done".into()),
                    None => return Err("the coordinator has gone in the middle of a test".into()),
                },
                () = tokio::time::sleep(LOOK) => {
                    link.say(&Answer::Going(Going::of(&lives))).await?;
                }
                () = stop.called() => return stopped(),
            }
        };
        link.say(&answer).await?;
    }
}

async fn follow(order: Order, session: &mut Option<Session>, halt: &Halt) -> Result<Answer, String> {
    match order {
        // `Stop` never comes here: `serve` has taken it.
        Order::Time | Order::Stop => Ok(Answer::Time(clock::now().0)),
        Order::Join { scenario, first_room, first_user } => {
            let mut s = Scenario::default();
            s.lay(read(&scenario)?)?;
            s.check()?;
            let names = Names { first_room, first_user, ..s.names() };
            let begun = Session::begin(&s, names, halt).await?;
            let joining = begun.joining.clone();
            *session = Some(begun);
            Ok(Answer::Joined(Box::new(joining)))
        }
        Order::Run { name, start, rate } => {
            let session = session.as_mut().ok_or("nobody has joined")?;
            let (measured, sampled) = session.run(name, Now(start), rate, halt).await?;
            let Sampled { harness: cpu, sip_busy, seconds, .. } = sampled;
            Ok(Answer::Ran { measured: Box::new(measured), cpu, sip_busy, seconds })
        }
        Order::Leave => {
            if let Some(mut session) = session.take() {
                session.end().await;
            }
            Ok(Answer::Left)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_round_tells_the_other_clock_and_how_far_it_is_known() {
        // The other clock is ahead by a million; the second round took 20, the others longer and one way only.
        let rounds = [(100, 1_000_150, 900), (1_000, 1_001_010, 1_020), (2_000, 1_002_900, 3_000)];
        assert_eq!(offset(&rounds), (1_000_000, 10));
        // And behind: this process started first.
        assert_eq!(offset(&[(5_000, 40, 5_100)]), (-5_010, 50));
        assert_eq!(offset(&[]).1, u64::MAX);
    }

    #[test]
    fn rooms_are_dealt_whole_and_none_twice() {
        let s = Scenario {
            server: "h:1".into(),
            rooms: 7,
            idle_rooms: 2,
            visits: 14.0,
            server_pid: Some(1),
            ..Scenario::default()
        };
        let shares = deal(&s, 3);
        let seen: Vec<_> =
            shares.iter().map(|(s, first)| (*first, s.rooms, s.idle_rooms, s.visits)).collect();
        assert_eq!(seen, [(0, 3, 1, 6.0), (4, 2, 1, 4.0), (7, 2, 0, 4.0)]);
        assert!(shares.iter().all(|(s, _)| s.server_pid.is_none()));
    }
}
