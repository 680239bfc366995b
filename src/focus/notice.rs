//! What people are told in the room whose clients know no rooms (RFC 7701 §11, CHAT-JOIN-08): that it is one,
//! and who is there. Each call is told once, and those whose description has `a=chatroom` never.
//!
//! Bounds: [`NOTICE_BYTES_MAX`] octets of names. Proof: `tests/unaware.rs` beside this file.

use super::Core;
use super::roster::{MODERATORS_SEE, Rosters};
use crate::base::address::Address;
use crate::base::id::EndpointId;
use crate::base::limits::NOTICE_BYTES_MAX;
use crate::shard::message::{Notice, ToShard};
use std::fmt::Write;

/// Tells an endpoint that has just become present.
pub(super) fn send(core: &mut Core, rosters: &Rosters, room: &Address, endpoint: EndpointId) {
    let mut what =
        format!("This is the chat room {}. Whatever you write, everybody in it reads.", room.user());
    if core.config.moderators_see_identity {
        what.push(' ');
        what.push_str(MODERATORS_SEE);
    }
    let texts = vec![what, roster(rosters, room)];
    core.tell(
        room,
        ToShard::Notice(Box::new(Notice { endpoint, room: room.clone(), private: false, texts })),
    );
}

/// The roster as lines of text.
fn roster(rosters: &Rosters, room: &Address) -> String {
    let count = rosters.count(room);
    let mut text = format!("{count} in the room:");
    let mut listed = 0;
    for (name, address) in rosters.names(room) {
        let mut line = String::from("\r\n");
        line.extend(name.chars().map(|c| if c.is_control() { ' ' } else { c }));
        // Writing to a String cannot fail.
        let _ = write!(line, "{}<{address}>", if name.is_empty() { "" } else { " " });
        if text.len() + line.len() > NOTICE_BYTES_MAX {
            break;
        }
        text.push_str(&line);
        listed += 1;
    }
    if listed < count {
        let _ = write!(text, "\r\nand {} more", count - listed);
    }
    text
}
