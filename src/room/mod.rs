//! The chat room as a pure machine.
