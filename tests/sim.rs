//! The simulator: small worlds hold their invariants, runs repeat, and planted bugs are found.

use openmsrp::sim::{self, Canary};

/// Runs seeds and says first which one it is that fails.
fn hold(from: u64, seeds: u64) {
    for seed in from..from + seeds {
        if let Err(failure) = sim::run(seed, None) {
            panic!("replay with: openmsrp sim --seed {seed}\n{failure}");
        }
    }
}

#[test]
fn a_hundred_worlds_owe_nobody_anything() {
    hold(0, 100);
}

#[test]
fn another_hundred_worlds_owe_nobody_anything() {
    hold(100, 100);
}

#[test]
fn a_seed_gives_the_same_run_twice_and_another_seed_another_one() {
    let trace = |seed| sim::run(seed, None).map(|report| report.trace);
    for seed in 500..505 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
        assert_ne!(trace(seed), trace(seed + 1), "seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found_within_200_seeds() {
    // A panic of a shard is one way of finding it; what it prints is of no interest here.
    for (name, canary) in Canary::ALL {
        let found = (0..200).find_map(|seed| sim::run(seed, Some(canary)).err());
        assert!(found.is_some(), "nobody noticed {name}");
    }
}
