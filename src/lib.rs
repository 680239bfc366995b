//! openmsrp: multi-party MSRP chat rooms for SIP.
//!
//! Modules in reading order:
//!
//! - [`base`]: words for everyone (ids, time, chance, limits, addresses).
//! - [`wire`]: protocol cores; bytes to meaning and back.
//! - [`session`]: one MSRP session as a machine.
//! - [`room`]: the chat room as a machine; command in, effects out.
//! - [`shard`]: the data plane; one thread, one ring, the rooms and connections it owns.
//! - [`focus`]: the SIP conference focus as a machine; dialogs become commands to rooms.
//! - [`control`]: the control plane on tokio; sockets for SIP, configuration, signals.
//! - [`client`]: the client library.
//! - [`sim`]: the simulator; shards and participants in one thread, from one seed.
//! - [`server`]: the composition root; configuration in, threads out.
//! - [`cli`]: the subcommands of the binary.
//! - `fuzz`: what the fuzz targets do; built for them and for tests only.

pub mod base;
pub mod cli;
pub mod client;
pub mod control;
pub mod focus;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod room;
pub mod server;
pub mod session;
pub mod shard;
pub mod sim;
pub mod wire;
