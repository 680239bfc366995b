//! The data plane: a shard is one thread, one ring, and the rooms and connections it owns.

pub mod message;
