//! What the fuzz targets do: arbitrary octets go into one of our machines, and rules that must hold for
//! any input are asserted of what comes out.
//!
//! Each target of `fuzz/` calls one function here, and so does `tests/corpus.rs` with every file kept and
//! with the torture corpora. Not part of the library: built for tests, with the feature `fuzz`, or by
//! `cargo fuzz`.
//!
//! Bounds: every function reads no more octets than it says, and its work grows with them linearly.

mod focus;
mod machines;
mod names;
mod shards;
mod text;
mod wire;

pub use focus::focus_ops;
pub use machines::{room_ops, session_ops};
pub use names::{digest, nickname};
pub use shards::shard_ops;
pub use text::{address, conference_xml, cpim, sdp};
pub use wire::{msrp_frame, msrp_uri_range, sip};

/// Octets as decisions. When they are used up, every answer is the first one.
#[derive(Clone)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: usize) -> usize {
        let wide = if bound > 256 { usize::from(self.octet()) << 8 } else { 0 };
        (wide | usize::from(self.octet())) % bound
    }

    /// True once in `n` times.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// The next `n` octets, or what is left.
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Places to cut `len` octets: all if they are few, else about `most`, and both ends.
fn cuts(len: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len / most + 1).chain([len])
}
