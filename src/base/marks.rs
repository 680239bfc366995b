//! A set of small numbers, such as places in a table: a few stand in it directly, many are bits.
//!
//! Touches: nothing. Bounds: an eighth of an octet per number up to the largest, once there are more than
//! four. Proved by: the tests below.

use smallvec::SmallVec;

/// Numbers kept as they are; more become bits.
const FEW: usize = 4;

/// A set of small numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marks(Kind);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Few(SmallVec<[u32; FEW]>),
    Many { bits: Vec<u64>, count: usize },
}

impl Default for Marks {
    fn default() -> Self {
        Self(Kind::Few(SmallVec::new()))
    }
}

impl Marks {
    /// Adds a number.
    pub fn insert(&mut self, n: u32) {
        match &mut self.0 {
            Kind::Few(few) if few.contains(&n) => {}
            Kind::Few(few) if few.len() < FEW => few.push(n),
            Kind::Few(few) => {
                let few = std::mem::take(few);
                self.0 = Kind::Many { bits: Vec::new(), count: 0 };
                few.into_iter().for_each(|n| self.insert(n));
                self.insert(n);
            }
            Kind::Many { bits, count } => {
                let (word, bit) = at(n);
                if bits.len() <= word {
                    bits.resize(word + 1, 0);
                }
                *count += usize::from(bits[word] & bit == 0);
                bits[word] |= bit;
            }
        }
    }

    /// Takes a number out; whether it was there.
    pub fn remove(&mut self, n: u32) -> bool {
        match &mut self.0 {
            Kind::Few(few) => {
                let place = few.iter().position(|m| *m == n);
                place.map(|place| few.swap_remove(place)).is_some()
            }
            Kind::Many { bits, count } => {
                let (word, bit) = at(n);
                let Some(word) = bits.get_mut(word).filter(|word| **word & bit != 0) else { return false };
                *word &= !bit;
                *count -= 1;
                true
            }
        }
    }

    /// Adds all numbers of another set.
    pub fn add(&mut self, other: &Self) {
        match &other.0 {
            Kind::Few(few) => few.iter().for_each(|n| self.insert(*n)),
            Kind::Many { bits, .. } => {
                for (word, mut left) in bits.iter().copied().enumerate() {
                    while left != 0 {
                        self.insert(word as u32 * 64 + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Few(few) => few.len(),
            Kind::Many { count, .. } => *count,
        }
    }

    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn at(n: u32) -> (usize, u64) {
    (n as usize / 64, 1 << (n % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use std::collections::BTreeSet;

    #[test]
    fn marks_are_a_set_however_many_there_are() {
        let mut dice = Entropy::from_seed(7);
        for bound in [3, 10, 200, 5000] {
            let (mut marks, mut naive) = (Marks::default(), BTreeSet::new());
            for _ in 0..1000 {
                let n = dice.below(bound) as u32;
                if dice.below(3) == 0 {
                    assert_eq!(marks.remove(n), naive.remove(&n));
                } else {
                    marks.insert(n);
                    naive.insert(n);
                }
                assert_eq!((marks.len(), marks.is_empty()), (naive.len(), naive.is_empty()));
            }
            let mut sum = Marks::default();
            sum.insert(1);
            sum.add(&marks);
            naive.insert(1);
            assert_eq!(sum.len(), naive.len());
            assert!(naive.iter().all(|n| sum.remove(*n)) && sum.is_empty());
        }
    }
}
