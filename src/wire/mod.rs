//! Protocol cores: bytes to meaning and back. No IO, no clock, no growth by claim.
//!
//! Rules of this folder: every parser answers *complete*, *partial* or an error that is a small
//! `Copy` value; views borrow the caller's buffer and never outlive the turn; nothing is allocated by
//! a number that a peer sent; every parser has a naive twin, a torture corpus and a fuzz target.

pub mod conference;
pub mod cpim;
pub mod digest;
pub mod msrp;
pub mod nickname;
pub mod sdp;
