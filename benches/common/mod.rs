//! What the benches share: messages, and worlds by value that they are sent through.

#![allow(dead_code, reason = "every bench uses a part of it")]

pub(crate) mod calls;
pub(crate) mod messages;
pub(crate) mod switch;
