//! The data plane: a shard is one thread, one ring, and the rooms and connections it owns.

pub mod audience;
pub mod conns;
pub mod core;
pub mod io;
pub mod mesh;
pub mod message;
pub mod queue;
pub mod run;
pub mod timers;
