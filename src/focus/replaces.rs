//! INVITE with Replaces: a participant goes on in the room from another device (RFC 3891, RFC 4579 §5.9).
//!
//! The new call enters, and once its 200 is out the old one gets BYE, so that the participant is present
//! all the time; a creator stays one, and the nickname goes over. Who may is the user of the old call, by From; an anonymous user is
//! another one with each call, so nobody replaces theirs. If the new call fails the old one stays.
//!
//! Bounds: `dialog.rs` remembers so many dialogs that have ended. Proof: `tests.rs` beside this file.

use super::Core;
use super::call::Phase;
use super::dialog::{DialogId, Past};
use super::invite::Calls;
use super::signalling::{Request, Response, param};
use crate::base::address::Address;
use crate::shard::message::ToShard;

impl Calls {
    /// The call that an INVITE of `who` to `room` replaces, or why it may not.
    pub(super) fn replaced(
        &self,
        core: &Core,
        request: &Request,
        room: &Address,
        who: &Address,
    ) -> Result<Option<DialogId>, Response> {
        let mut lines = request.headers.all("Replaces");
        let Some(line) = lines.next() else { return Ok(None) };
        let bad = || Response::new(400);
        if lines.next().is_some() {
            return Err(bad());
        }
        let (call_id, params) = line.split_once(';').ok_or_else(bad)?;
        let tag = |name| param(params, name).filter(|tag| !tag.is_empty()).ok_or_else(bad);
        let unknown = || Response::new(481);
        let dialog = match core.dialogs.find(call_id.trim(), tag("to-tag")?, tag("from-tag")?) {
            Past::Alive(dialog) => dialog,
            Past::Ended => return Err(Response::new(603)),
            Past::Unknown => return Err(unknown()),
        };
        // A dialog of a subscription, or of a call that we have not answered, does not count.
        let call = self.table.get(&dialog).filter(|c| c.confirmed && c.room == *room).ok_or_else(unknown)?;
        if call.who.participant != *who {
            return Err(Response::new(403));
        }
        if call.ending.is_some() {
            return Err(Response::new(603));
        }
        if param(params, "early-only").is_some() {
            return Err(Response::new(486));
        }
        Ok(Some(dialog))
    }

    /// The new call is answered: the old one goes.
    pub(super) fn replace(&mut self, core: &mut Core, new: DialogId) {
        let Some(call) = self.table.get_mut(&new) else { return };
        if matches!(call.phase, Phase::Pending { .. }) {
            return;
        }
        let Some(old) = call.replaces.take() else { return };
        let Some(before) = self.table.get_mut(&old) else { return };
        let creator = std::mem::take(&mut before.creator);
        let named = before.endpoint.filter(|_| before.nickname.is_some());
        if let Some(call) = self.table.get_mut(&new) {
            call.creator |= creator;
            if let (Some(heir), Some(from)) = (call.endpoint, named) {
                core.tell(&call.room, ToShard::Inherit { heir, from, room: call.room.clone() });
            }
        }
        self.end(core, old, "SIP;cause=200;text=\"Replaced\"");
    }
}
