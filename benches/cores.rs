//! How long it takes to hand 16 KiB over from one core to another, and how that changes: what a machine adds to every
//! copy of a large message, whatever the server. On a virtual machine it has several values that last for seconds each, by
//! where its host runs the cores, so read figures of large messages beside this one.
//!
//! `cargo bench --bench cores -- 30`: for 30 s, each quarter of a second, µs for one way and back of the buffer.

use openmsrp::shard::io::{Bell, pin};
use openmsrp::shard::mesh::ring;
use std::collections::VecDeque;
use std::hint::black_box;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// Octets of a buffer: a body that is shared and not copied.
const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers that take turns, more than the caches next to a core hold.
const BUFFERS: usize = 64;
/// How long one figure is measured, and how often there is one.
const MEASURE: Duration = Duration::from_millis(50);
const EVERY: Duration = Duration::from_millis(250);
/// Figures on a line.
const LINE: usize = 20;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10);
    let bell = Bell::new().expect("a descriptor");
    let (mut to_there, mut from_here) = ring::<Box<[u8]>>(&bell);
    let (mut to_here, mut from_there) = ring::<Box<[u8]>>(&bell);
    thread::spawn(move || {
        pin(1);
        let mut own = vec![0; BUFFER_BYTES];
        loop {
            let Some(buffer) = from_here.pop() else { continue };
            own.copy_from_slice(&buffer);
            black_box(&own);
            to_here.push(buffer);
            to_here.flush();
        }
    });
    pin(0);
    let source = vec![b'x'; BUFFER_BYTES];
    let mut buffers: VecDeque<Box<[u8]>> = vec![vec![0; BUFFER_BYTES].into(); BUFFERS].into();
    let begun = Instant::now();
    let mut figures = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let from = Instant::now();
        let mut rounds = 0_u32;
        while from.elapsed() < MEASURE {
            let mut buffer = buffers.pop_front().expect("all came back");
            buffer.copy_from_slice(&source);
            to_there.push(buffer);
            to_there.flush();
            let back = loop {
                // No hint that this spins: hosts take the core away from who says so.
                if let Some(buffer) = from_there.pop() {
                    break buffer;
                }
            };
            assert_eq!(back.len(), BUFFER_BYTES);
            buffers.push_back(back);
            rounds += 1;
        }
        let each = from.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
        figures += 1;
        print!("{each:.2}{}", if figures % LINE == 0 { "\n" } else { " " });
        let _ = std::io::stdout().flush();
        thread::sleep(EVERY.saturating_sub(MEASURE));
    }
    println!();
}
