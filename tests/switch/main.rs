//! The switch of RFC 7701 as several shards by value, with a virtual clock: who says what, then who sees
//! what.

mod chunks;
mod conns;
mod counts;
mod crossings;
mod floods;
mod messages;
mod nicknames;
mod notices;
mod orders;
mod privacy;
mod private;
mod random;
mod shards;
mod slow;
mod typing;
mod world;
