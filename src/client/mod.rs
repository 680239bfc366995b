//! The client library.

mod agent;
#[cfg(test)]
mod agent_tests;
pub mod call;
#[cfg(test)]
mod call_tests;
mod sip;
