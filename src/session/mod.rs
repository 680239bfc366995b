//! One MSRP session as a machine: what arrives in it, and what it owes its peer.
//!
//! Touches: base and wire. Never: rooms, sockets, clocks.
//! Bounds: `limits::OPEN_MESSAGES_MAX`, `HELD_BYTES_MAX`, `WRAPPER_BYTES_MAX`, `VERDICTS_PENDING_MAX`,
//! `RECENT_MESSAGES_MAX`, `SESSION_FOLLOWED_MAX`.
//! Proved by: the tests at the foot of [`inbound`] and [`owed`]; `tests/switch.rs`.

pub mod inbound;
pub mod owed;
pub mod recent;
pub mod wrapper;
