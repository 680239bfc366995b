//! Chance as a value. The only file that draws randomness.
//!
//! One generator per owner (a shard, the focus, a client), seeded by the system, or by a number in
//! tests and in the simulator so that a run can be repeated.

use super::id::{SessionId, ShardId, Token};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A cryptographic generator of tokens and secrets (RFC 4975 §14.1, RFC 4086).
#[derive(Debug)]
pub struct Entropy(StdRng);

impl Entropy {
    /// Seeded by the operating system.
    #[must_use]
    pub fn from_system() -> Self {
        Self(StdRng::from_os_rng())
    }

    /// Seeded by a number: the same number gives the same tokens. For tests and simulation.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which must not be 0. The bias is below 2⁻³² for bounds below 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// `N` characters of base 62, at 5.95 bits each.
    pub fn text<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let mut filled = 0;
        while filled < N {
            // Ten characters of six bits per draw; the two values past 61 are drawn again.
            let mut bits = self.bits();
            for _ in 0..10 {
                let six = (bits & 63) as usize;
                bits >>= 6;
                if six < 62 && filled < N {
                    out[filled] = BASE62[six];
                    filled += 1;
                }
            }
        }
        out
    }

    /// A transaction identifier or Message-ID: 71 random bits.
    pub fn token(&mut self) -> Token {
        Token(self.text())
    }

    /// The name of a session whose grant is on `shard`: 130 random bits.
    pub fn session_id(&mut self, shard: ShardId) -> SessionId {
        SessionId::new(shard, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_distinct_and_long_enough() {
        // MSRP-FRAME-03
        let mut e = Entropy::from_seed(1);
        let made: HashSet<_> = (0..1_000_000).map(|_| e.token()).collect();
        assert_eq!(made.len(), 1_000_000);
        assert!(made.iter().take(1000).all(|t| t.0.iter().all(u8::is_ascii_alphanumeric)));
        const { assert!(Token::LEN >= 11) };
    }

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Entropy::from_seed(7).token(), Entropy::from_seed(7).token());
        assert_ne!(Entropy::from_system().token(), Entropy::from_system().token());
    }
}
