//! Words for everyone: ids, sets of numbers and octets, time, chance, limits, addresses, rights, reasons to say no.
//!
//! Depends on nothing else in the crate. Only [`clock`] reads a clock and only [`entropy`] draws
//! randomness; everything else gets both as arguments.

pub mod address;
pub mod budget;
pub mod chunk;
pub mod clock;
pub mod decimal;
pub mod entropy;
pub mod flood;
pub mod id;
pub mod limits;
pub mod marks;
pub mod media;
pub mod nickname;
pub mod octets;
pub mod refusal;
pub mod rights;
pub mod tight;
