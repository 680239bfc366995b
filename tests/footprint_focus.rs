//! What one call costs in memory while nothing happens in it: octets of the heap that the focus holds for each, counted
//! by the allocator, without transactions and sockets.
//!
//! `cargo test --test footprint_focus -- --nocapture` prints the figures.

#![allow(unsafe_code, reason = "an allocator that counts")]

mod counting;

#[path = "../benches/common/mod.rs"]
mod common;

use common::calls::Planes;
use counting::held;
use openmsrp::focus::Focus;
use std::time::Duration;

/// Participants: just below a power of two, so that lists are full and tables half empty.
const PEOPLE: usize = 2_000;

/// Octets of one call. A ratchet: lower it when less is needed, think twice before raising it.
const CALL_BYTES_MAX: usize = 2_900;

/// A focus with everybody in their rooms, two minutes later.
fn focus(per_room: usize) -> Focus {
    let mut planes = Planes::new();
    (0..PEOPLE).for_each(|n| drop(planes.join(n, &format!("sip:room{}@chat.example.com", n / per_room))));
    planes.pass(Duration::from_secs(120));
    planes.focus
}

#[test]
fn an_idle_call_costs_little_in_the_focus() {
    for per_room in [10, PEOPLE] {
        let focus = focus(per_room);
        let with = held();
        drop(focus);
        let each = (with - held()) / PEOPLE;
        println!("{per_room} in a room: {each} octets for each call in the focus");
        assert!(each <= CALL_BYTES_MAX, "{each}");
    }
}
