//! How fast messages are found and read: small (a chat line), large (a body in full reads), hostile
//! (bodies and heads made to be slow). Every round asserts what came out.
//!
//! `cargo bench --bench frame`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openmsrp::base::chunk::Flag;
use openmsrp::wire::msrp::encode::{self, TailHead};
use openmsrp::wire::msrp::uri::only_session_id;
use openmsrp::wire::msrp::{ByteRange, FailureReport, Framer, Step};
use std::hint::black_box;

const TID: &[u8] = b"n4Vx8bJh1ZsU";
const TO: &[u8] = b"msrps://chat.example.com:2855/Yk3m8PzV1eRt6LqJ0aHw;tcp";
const FROM: &[u8] = b"msrps://pc.alice.example.com:2855/q7Wc0ZrT4hNfK2uX9sBd;tcp";

fn send(body: &[u8]) -> Vec<u8> {
    let length = body.len() as u64;
    let mut out = Vec::new();
    encode::send_start(&mut out, TID);
    out.extend_from_slice(&encode::preamble(TO, FROM));
    let tail = TailHead {
        message_id: b"m1Lq6wDe0Rt9",
        range: ByteRange { start: 1, end: Some(length), total: Some(length) },
        failure_report: FailureReport::Yes,
        success_report: false,
        content_type: Some(b"message/cpim"),
    };
    encode::send_tail_head(&mut out, &tail);
    out.extend_from_slice(body);
    encode::end_line(&mut out, TID, Flag::End, true);
    out
}

fn chat_line() -> Vec<u8> {
    let mut body = b"From: Alice <sip:alice@example.com>\r\nTo: <sip:lobby@chat.example.com>\r\nDateTime: 2024-05-14T09:26:53Z\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n".to_vec();
    body.resize(200, b'x');
    body
}

/// Reads a stream of whole messages; gives the number of messages and of body octets.
fn read(stream: &[u8]) -> (usize, usize) {
    let mut framer = Framer::default();
    let (mut messages, mut octets, mut rest) = (0, 0, stream);
    loop {
        match framer.step(rest, 0).expect("good framing") {
            Step::Partial => break,
            Step::Skip { used } => rest = &rest[used..],
            Step::Head { head, body, end, used } => {
                assert!(head.fault.is_none() && end.is_some());
                messages += 1;
                octets += body.map_or(0, <[u8]>::len);
                rest = &rest[used..];
            }
            Step::More { .. } => unreachable!("whole messages only"),
        }
    }
    assert!(rest.is_empty() && framer.idle());
    (messages, octets)
}

/// Reads a stream that arrives in pieces of `piece` octets.
fn trickle(stream: &[u8], piece: usize, part_min: usize) -> usize {
    let mut framer = Framer::default();
    let (mut octets, mut from, mut to) = (0, 0, 0);
    while to < stream.len() {
        to = (to + piece).min(stream.len());
        loop {
            match framer.step(&stream[from..to], part_min).expect("good framing") {
                Step::Partial => break,
                Step::Skip { used } => from += used,
                Step::Head { body, used, .. } => {
                    octets += body.map_or(0, <[u8]>::len);
                    from += used;
                }
                Step::More { body, used, .. } => {
                    octets += body.len();
                    from += used;
                }
            }
        }
    }
    assert!(from == stream.len() && framer.idle());
    octets
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("small");
    group.throughput(Throughput::Elements(1));
    let message = send(&chat_line());
    group.bench_function("send_200", |b| b.iter(|| assert_eq!(read(black_box(&message)), (1, 200))));
    let mut answer = Vec::new();
    encode::response(&mut answer, TID, 200, "OK", FROM, TO);
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
        let preamble = encode::preamble(TO, FROM);
        let tail = TailHead {
            message_id: b"m1Lq6wDe0Rt9",
            range: ByteRange { start: 1, end: Some(200), total: Some(200) },
            failure_report: FailureReport::No,
            success_report: false,
            content_type: Some(b"message/cpim"),
        };
        let mut out = Vec::with_capacity(1024);
        b.iter(|| {
            out.clear();
            encode::send_start(&mut out, black_box(TID));
            out.extend_from_slice(&preamble);
            encode::send_tail_head(&mut out, black_box(&tail));
            encode::end_line(&mut out, TID, Flag::End, true);
            assert!(out.len() > 250);
        });
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
    let head: Vec<u8> = b"X-Many-Headers: y\r\n".repeat(58);
    let mut message = send(b"x");
    message.splice(24..24, head.iter().copied());
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
