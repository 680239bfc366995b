//! What happened, folded into one number: two runs of one seed must give the same.

/// A running hash of everything that happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Notes numbers.
    pub(super) fn note<const N: usize>(&mut self, what: [u64; N]) {
        for number in what {
            self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }

    /// Notes octets, eight at a time.
    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.note([octets.len() as u64]);
        for eight in octets.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.note([u64::from_le_bytes(word)]);
        }
    }

    /// The number.
    pub(super) fn value(self) -> u64 {
        self.0
    }
}
