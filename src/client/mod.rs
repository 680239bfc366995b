//! The client library: calls to rooms, and what is said in them.
//!
//! - [`chat`]: being in a room, as a handle and a stream of events. What most users want.
//! - [`command`]: what moderators ask of a room.
//! - [`call`]: only the SIP side, for those who speak MSRP themselves (the load harness does).
//!
//! ```no_run
//! use openmsrp::client::call::Transport;
//! use openmsrp::client::chat::{Client, Event, Join};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("127.0.0.1:5060".parse()?, Transport::Tcp).await?;
//! let join = Join { room: "sip:lobby@localhost", from: "sip:alice@localhost", display_name: "Alice" };
//! let (room, mut events) = client.join(&join).await?;
//! room.say("Hello, room!").await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Message(message) => println!("{}: {}", message.name, message.text().unwrap_or_default()),
//!         Event::Accepted { .. } => break,
//!         _ => {}
//!     }
//! }
//! room.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! Inside, two machines without sockets, clocks or chance of their own do the work: `agent.rs` for SIP and
//! `endpoint.rs` for MSRP; `account.rs` proves who we are, `assembly.rs` joins chunks, `roster.rs` knows who is
//! there, `sidebar.rs` writes and reads what opens sidebars, `typing.rs` who is writing, `receipts.rs` who has a private message, `multipart.rs` finds the text of a content.
//!
//! Runs on tokio, one thread is enough. Bounds are named in each file. Proved by the tests beside each
//! file, against a scripted server on loopback, and by talking to the server of this crate.

mod account;
mod agent;
#[cfg(test)]
mod agent_tests;
mod assembly;
pub mod call;
#[cfg(test)]
mod call_tests;
pub mod chat;
#[cfg(test)]
mod chat_tests;
pub mod command;
mod endpoint;
#[cfg(test)]
mod endpoint_tests;
mod multipart;
mod receipts;
mod roster;
mod sidebar;
mod sip;
mod typing;
