//! What happened, folded into one number: two runs of one seed must give the same. The last things that
//! happened are kept, to be read when a run fails.

use std::collections::VecDeque;

/// How many of the last events are kept.
const KEPT: usize = 60;

/// A running hash of everything that happens.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    hash: u64,
    last: VecDeque<(&'static str, [u64; 3])>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, last: VecDeque::with_capacity(KEPT) }
    }
}

impl Trace {
    fn note(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    /// Something happened.
    pub(super) fn event(&mut self, name: &'static str, what: [u64; 3]) {
        let first = name.bytes().fold(0, |n, b| n << 8 | u64::from(b));
        self.note(first);
        what.into_iter().for_each(|number| self.note(number));
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((name, what));
    }

    /// Notes octets, eight at a time.
    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.note(octets.len() as u64);
        for eight in octets.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.note(u64::from_le_bytes(word));
        }
    }

    /// The number.
    pub(super) fn value(&self) -> u64 {
        self.hash
    }

    /// The last events, one a line.
    pub(super) fn tail(&self) -> String {
        self.last.iter().map(|(name, [a, b, c])| format!("  {name} {a} {b} {c}\n")).collect()
    }
}
