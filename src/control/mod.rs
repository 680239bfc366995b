//! The control plane, on tokio.

pub mod shards;
pub mod sip;
