//! What it costs to tell another thread something, over the rings and bells between shards, waiting as
//! shards wait: one value there and one back while both threads sleep in between, and batches one way
//! that are acknowledged once. Every value is asserted to come, in order.
//!
//! `cargo bench --bench hop`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use monoio::net::TcpStream;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, Runtime, RuntimeBuilder};
use openmsrp::shard::io::{Bell, WatchSet};
use openmsrp::shard::mesh::{Inbox, Outbox, ring};
use openmsrp::shard::run::probe_uring;
use std::future::Future;
use std::time::{Duration, Instant};
use std::{io, thread};

/// Values of a batch: a few turns of a busy shard.
const BATCH: u64 = 256;
/// Tells the other thread to stop.
const STOP: u64 = u64::MAX;

/// One thread's ends of the rings, and its bell.
struct Rings {
    bell: Bell,
    out: Outbox<u64>,
    inbox: Inbox<u64>,
}

fn pair() -> (Rings, Rings) {
    let (here, there) = (Bell::new().expect("a bell"), Bell::new().expect("a bell"));
    let (to_there, from_here) = ring(&there);
    let (to_here, from_there) = ring(&here);
    let here = Rings { bell: here, out: to_there, inbox: from_there };
    (here, Rings { bell: there, out: to_here, inbox: from_here })
}

/// A thread that sends, takes, and sleeps as a shard does: the ring waits for a set, the set for the bell.
struct End {
    bell: Bell,
    out: Outbox<u64>,
    inbox: Inbox<u64>,
    _set: WatchSet,
    sound: TcpStream,
}

impl End {
    /// To be made inside the runtime that will wait.
    async fn new(rings: Rings) -> io::Result<Self> {
        let set = WatchSet::new()?;
        set.add(rings.bell.fd(), 1)?;
        let sound = TcpStream::from_std(set.waitable()?.into())?;
        Ok(Self { bell: rings.bell, out: rings.out, inbox: rings.inbox, _set: set, sound })
    }

    fn send(&mut self, value: u64) {
        self.out.push(value);
        while self.out.flush() {
            thread::yield_now();
        }
    }

    /// The next value; sleeps until there is one. The thread's runtime must be running.
    async fn next(&mut self) -> u64 {
        loop {
            if let Some(value) = self.inbox.pop() {
                return value;
            }
            self.bell.fall_asleep();
            if self.inbox.is_empty() {
                self.sound.readable(false).await.expect("a set to wait for");
                self.bell.silence();
            }
            self.bell.wake();
        }
    }
}

/// Gives back every value.
async fn echo(mut end: End) {
    loop {
        match end.next().await {
            STOP => return,
            value => end.send(value),
        }
    }
}

/// Takes values that must come in order; gives back the last one of each batch.
async fn sink(mut end: End) {
    let mut next = 0;
    loop {
        match end.next().await {
            STOP => return,
            value => assert_eq!(value, next, "in order"),
        }
        next += 1;
        if next % BATCH == 0 {
            end.send(next - 1);
        }
    }
}

type Uring = Runtime<TimeDriver<IoUringDriver>>;

fn uring() -> Uring {
    RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().expect("a ring")
}

/// Runs `other` on a thread of its own while `measure` runs here.
fn with<F: Future<Output = ()>>(
    other: impl FnOnce(End) -> F + Send + 'static,
    measure: impl FnOnce(&mut Uring, &mut End),
) {
    let (here, there) = pair();
    let thread = thread::spawn(move || {
        uring().block_on(async { other(End::new(there).await.expect("a set")).await });
    });
    let mut runtime = uring();
    let mut end = runtime.block_on(End::new(here)).expect("a set");
    measure(&mut runtime, &mut end);
    end.send(STOP);
    thread.join().expect("the other thread saw all values in order");
}

/// There and back `n` times.
async fn there_and_back(end: &mut End, sent: &mut u64, n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        end.send(*sent);
        assert_eq!(end.next().await, *sent);
        *sent += 1;
    }
    start.elapsed()
}

/// `n` batches one way.
async fn batches(end: &mut End, sent: &mut u64, n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        for _ in 0..BATCH {
            end.out.push(*sent);
            *sent += 1;
        }
        while end.out.flush() {
            thread::yield_now();
        }
        assert_eq!(end.next().await, *sent - 1);
    }
    start.elapsed()
}

fn hop(c: &mut Criterion) {
    if let Err(why) = probe_uring() {
        eprintln!("hop: skipped, io_uring is not available: {why}");
        return;
    }
    let mut group = c.benchmark_group("hop");
    let mut sent = 0;
    group.throughput(Throughput::Elements(2));
    with(echo, |runtime, end| {
        group.bench_function("there_and_back_asleep", |b| {
            b.iter_custom(|n| runtime.block_on(there_and_back(end, &mut sent, n)));
        });
    });
    let mut sent = 0;
    group.throughput(Throughput::Elements(BATCH));
    with(sink, |runtime, end| {
        group.bench_function("batches_of_256_one_way", |b| {
            b.iter_custom(|n| runtime.block_on(batches(end, &mut sent, n)));
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = hop
}
criterion_main!(benches);
