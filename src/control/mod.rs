//! The control plane, on tokio.
