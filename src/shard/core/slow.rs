//! Participants whose connections take less than the room says (RFC 7701 §6.4): told what they missed, or cut.
//!
//! What is left out, and when, is decided in `audience.rs` by the watermarks of the queue.

use super::{ShardCore, State};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, RoomId};
use crate::base::limits;
use crate::shard::conns::CloseReason;
use crate::shard::message::Ended;
use crate::shard::timers::Timer;
use smallvec::SmallVec;

impl ShardCore {
    /// A participant whose queue was too long for a while is told once what it missed (CHAT-CONG-01).
    pub(super) fn tell_left_out(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        for endpoint in SmallVec::<[_; 1]>::from_slice(conn.sessions()) {
            let Some(session) = self.sessions.get(&endpoint) else { continue };
            let audience = self.audiences.get_mut(&session.grant.room);
            let member = session.member.and_then(|m| audience?.member_mut(m));
            let Some(member) = member.filter(|m| m.skipped > 0) else { continue };
            if let Some(conn) = self.conns.get_mut(id).filter(|c| c.queue.len() > limits::QUEUE_BYTES_FILLING)
            {
                // Many sessions here: the others are told when these notices have been taken.
                conn.skip();
                return;
            }
            let count = std::mem::take(&mut member.skipped);
            let to = session.grant.sender.participant.clone();
            self.say(now, id, endpoint, &to, &[], &left_out(count), u64::MAX);
        }
    }

    /// Members of a room that cuts who is slow have missed something: they are looked at again a little later, when
    /// whoever was only overrun by a burst has caught up.
    pub(super) fn watch_slow(&mut self, now: Now, room: RoomId) {
        let Some(audience) = self.audiences.get_mut(&room) else { return };
        for member in audience.members_mut().iter_mut().filter(|m| m.skipped > 0 && !m.watched) {
            member.watched = true;
            self.timers.set(now + limits::COPY_STALL, Timer::Slow(member.endpoint));
        }
    }

    /// Whoever has still not been told what it missed has not caught up, and is cut.
    pub(super) fn slow_due(&mut self, now: Now, endpoint: EndpointId) {
        let Some(session) = self.sessions.get(&endpoint) else { return };
        let State::Bound(conn) = session.state else { return };
        let audience = self.audiences.get_mut(&session.grant.room);
        let member = session.member.and_then(|m| audience?.member_mut(m));
        let Some(member) = member else { return };
        member.watched = false;
        let missed = member.skipped;
        if missed == 0 {
            return;
        }
        if self.conns.get(conn).is_some_and(|c| c.queue.is_empty()) {
            // It takes all there is: others have filled the shard's queues.
            return self.tell_left_out(now, conn);
        }
        self.lose(now, endpoint, Ended::Missed(missed));
        if self.conns.get(conn).is_some_and(|c| c.sessions().is_empty()) {
            self.close(now, conn, CloseReason::TooSlow, true);
        }
    }
}

fn left_out(count: u32) -> String {
    match count {
        1 => "1 message was left out because your connection was too slow.".into(),
        n => format!("{n} messages were left out because your connection was too slow."),
    }
}
