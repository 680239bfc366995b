//! The client library.

mod agent;
#[cfg(test)]
mod agent_tests;
mod assembly;
pub mod call;
#[cfg(test)]
mod call_tests;
pub mod chat;
mod endpoint;
#[cfg(test)]
mod endpoint_tests;
mod roster;
mod sip;
