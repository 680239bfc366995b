//! The control plane, on tokio: one thread, outside the shards.

pub mod config;
pub mod flood;
pub mod rooms;
pub mod shards;
pub mod sip;
pub mod values;
