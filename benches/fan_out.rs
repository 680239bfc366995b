//! One message to 1,000 endpoints of a room, by value: octets in at one connection, octets out of 999 queues,
//! no sockets. Small, large and hostile bodies, and one that comes in parts. Every round asserts that
//! everybody but the sender got one copy, and that the copy reads as what was sent. Private messages in rooms
//! of two sizes: the same cost, since nobody looks at who is not to get them.
//!
//! `cargo bench --bench fan_out`

mod common;

use common::switch::World;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const ENDPOINTS: usize = 1000;

fn fan_out(c: &mut Criterion) {
    let mut world = World::new(1, ENDPOINTS);
    let mut group = c.benchmark_group("fan_out_1000");
    group.throughput(Throughput::Elements(ENDPOINTS as u64 - 1));
    for (name, fill, length) in [
        ("small_200", &b"x"[..], 200),
        ("large_16_kib", &b"lorem ipsum "[..], 16 * 1024),
        ("hostile_hyphens_16_kib", &b"-"[..], 16 * 1024),
        ("hostile_cuts_16_kib", &b"\r\n-------"[..], 16 * 1024),
        ("chunked_1_mib_in_64_kib_reads", &b"lorem ipsum "[..], 1 << 20),
    ] {
        let mut speech = world.speech(fill, length);
        group.bench_function(name, |b| b.iter(|| world.send(&mut speech)));
    }
    group.finish();
    world.core.check();
}

fn private(c: &mut Criterion) {
    let mut group = c.benchmark_group("private");
    for endpoints in [100, ENDPOINTS] {
        let mut world = World::new(1, endpoints);
        let mut whisper = world.whisper();
        group.bench_function(format!("room_of_{endpoints}"), |b| b.iter(|| world.send(&mut whisper)));
        world.core.check();
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = fan_out, private
}
criterion_main!(benches);
