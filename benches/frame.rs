//! How fast messages are found and read: small (a chat line), large (a body in full reads), hostile
//! (bodies and heads made to be slow). Every round asserts what came out.
//!
//! `cargo bench --bench frame`

mod common;

use common::messages::{
    FROM, TID, TO, chat_line, read, response, send, send_with_many_headers, trickle, write_around,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openmsrp::wire::msrp::encode;
use openmsrp::wire::msrp::uri::only_session_id;
use std::hint::black_box;

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("small");
    group.throughput(Throughput::Elements(1));
    let message = send(&chat_line());
    group.bench_function("send_200", |b| b.iter(|| assert_eq!(read(black_box(&message)), (1, 200))));
    let answer = response();
    group.bench_function("response_200_ok", |b| b.iter(|| assert_eq!(read(black_box(&answer)), (1, 0))));
    group.bench_function("send_200_in_two_reads", |b| {
        b.iter(|| assert_eq!(trickle(black_box(&message), 250, usize::MAX), 200));
    });
    group.bench_function("only_session_id", |b| {
        b.iter(|| assert_eq!(only_session_id(black_box(TO)), Some(&b"Yk3m8PzV1eRt6LqJ0aHw"[..])));
    });
    group.bench_function("holds_end_line_no", |b| {
        let body = chat_line();
        b.iter(|| assert!(!encode::holds_end_line(black_box(&body), TID)));
    });
    group.bench_function("encode_send_head", |b| {
        let (preamble, mut out) = (encode::preamble(TO, FROM), Vec::with_capacity(1024));
        b.iter(|| write_around(&mut out, &preamble));
    });
    group.throughput(Throughput::Elements(100));
    let stream = message.repeat(100);
    group.bench_function("send_200_a_hundred_in_one_read", |b| {
        b.iter(|| assert_eq!(read(black_box(&stream)), (100, 20_000)));
    });
    group.finish();
}

fn large(c: &mut Criterion) {
    let mut group = c.benchmark_group("large");
    let body: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let message = send(&body);
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("body_1_mib_whole", |b| {
        b.iter(|| assert_eq!(read(black_box(&message)), (1, body.len())));
    });
    group.bench_function("body_1_mib_in_64_kib_reads", |b| {
        b.iter(|| assert_eq!(trickle(black_box(&message), 64 * 1024, 32 * 1024), body.len()));
    });
    group.finish();
}

fn hostile(c: &mut Criterion) {
    let mut group = c.benchmark_group("hostile");
    let near = [b"\r\n-------", TID, b"%"].concat();
    for (name, unit) in [
        ("hyphens", &b"-"[..]),
        ("line_ends", b"\r\n"),
        ("carriage_returns", b"\r"),
        ("cuts", b"\r\n-------"),
        ("near_misses", &near),
    ] {
        let mut body = unit.repeat((64 * 1024) / unit.len());
        body.push(b'x');
        let message = send(&body);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(format!("body_{name}"), |b| {
            b.iter(|| assert_eq!(read(black_box(&message)), (1, body.len())));
        });
    }
    let message = send(&b"x".repeat(16 * 1024));
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("octet_by_octet_withheld", |b| {
        b.iter(|| assert_eq!(trickle(black_box(&message), 1, usize::MAX), 16 * 1024));
    });
    let message = send_with_many_headers();
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("head_of_64_lines", |b| b.iter(|| assert_eq!(read(black_box(&message)), (1, 1))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = small, large, hostile
}
criterion_main!(benches);
