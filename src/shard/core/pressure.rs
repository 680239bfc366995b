//! Senders of long messages, held while somebody in their room has no room for the next part (CHAT-CHUNK-10).
//!
//! ```text
//!  home: a part goes to all shards ─► held: waits for ─┬─ queues here that are filling
//!        GoOn to the sender's shard ◄─ nobody is left ─┴─ Room from each other shard, once its queues are not
//! ```
//!
//! On every shard it is the same list: at home it is said to the sender's shard, elsewhere to the home. Nobody is waited
//! for who takes nothing (`limits::COPY_STALL`), and for all together no longer than `limits::PRESSURE_WAIT` at a time.
//!
//! Bounds: a sender is held once, and is a session of the server. Proved by: `tests/switch/chunks.rs`, `crossings.rs`.

use super::{ShardCore, State};
use crate::base::clock::Now;
use crate::base::id::{ConnId, EndpointId, RoomId, ShardId};
use crate::base::limits;
use crate::shard::conns::Wait;
use crate::shard::message::ShardMessage;
use crate::shard::timers::Timer;
use smallvec::SmallVec;

/// The sender of a long message, held until its recipients have room for the next part.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) room: RoomId,
    pub(super) endpoint: EndpointId,
    /// Whom to tell: at home the sender's shard, elsewhere the home.
    pub(super) tell: ShardId,
    /// At home: shards that have not said that they have room, once per part.
    pub(super) waiting: SmallVec<[ShardId; 4]>,
    pub(super) since: Now,
}

impl ShardCore {
    /// Holds a sender if somebody has no room for its next part.
    pub(super) fn hold(&mut self, now: Now, held: Held) {
        if held.waiting.is_empty() && !self.is_filling(now, held.room, held.endpoint) {
            return;
        }
        self.relieve_by(now + limits::RELIEF_PACE);
        if held.tell == self.config.id {
            self.hold_reading(held.endpoint);
        }
        match self.held.iter_mut().find(|h| h.endpoint == held.endpoint) {
            // A shard that holds several parts of one sender says once that it has room.
            Some(h) => {
                let fresh = held.waiting.iter().filter(|s| !h.waiting.contains(s)).copied();
                let fresh: SmallVec<[ShardId; 4]> = fresh.collect();
                h.waiting.extend(fresh);
            }
            None => self.held.push(held),
        }
    }

    /// Whether queues here are filling that a long message of `endpoint` still goes to.
    pub(super) fn is_filling(&self, now: Now, room: RoomId, endpoint: EndpointId) -> bool {
        let audience = self.audiences.get(&room);
        audience.is_some_and(|a| {
            a.holds_up_privately(now, &self.conns, endpoint, |e| self.place(room, e))
                || a.speaks_to_all(endpoint) && a.holds_up(endpoint, &a.filling(&self.conns, now))
        })
    }

    /// Another shard has room for the next part of a long message.
    pub(super) fn has_room(&mut self, now: Now, endpoint: EndpointId, by: ShardId) {
        if let Some(held) = self.held.iter_mut().find(|h| h.endpoint == endpoint) {
            if let Some(i) = held.waiting.iter().position(|s| *s == by) {
                held.waiting.swap_remove(i);
            }
            self.relieve_soon(now);
        }
    }

    /// The endpoint's session is bound anew: what it sent before goes on no more, so nothing of that is waited for.
    pub(super) fn hold_no_more(&mut self, endpoint: EndpointId) {
        self.held.retain(|h| h.endpoint != endpoint);
    }

    /// Looks after senders that wait at `due` at the latest.
    fn relieve_by(&mut self, due: Now) {
        if self.relief.is_none_or(|already| already > due) {
            self.relief = Some(due);
            self.timers.set(due, Timer::Relief);
        }
    }

    /// Somebody has room: once all who have in this round are known, senders that wait are looked after.
    pub(super) fn relieve_soon(&mut self, now: Now) {
        if !self.held.is_empty() {
            self.relieve_by(now);
        }
    }

    /// The time to look after senders that wait may have come.
    pub(super) fn relief_due(&mut self, now: Now) {
        if self.relief.take_if(|due| *due <= now).is_some() {
            self.relieve(now);
        }
    }

    /// Lets senders go on whose recipients have caught up, are stuck, or are gone.
    fn relieve(&mut self, now: Now) {
        // Many senders wait for the same room: its queues are looked at once.
        let mut known: SmallVec<[(RoomId, Vec<EndpointId>); 4]> = SmallVec::new();
        let mut i = 0;
        while i < self.held.len() {
            let Held { room, endpoint, since, .. } = self.held[i];
            let audience = self.audiences.get(&room);
            let to_all = audience.is_some_and(|a| a.speaks_to_all(endpoint));
            if to_all && !known.iter().any(|(r, _)| *r == room) {
                known.push((room, audience.map_or_else(Vec::new, |a| a.filling(&self.conns, now))));
            }
            let members = known.iter().find(|(r, _)| *r == room).map_or(&[][..], |(_, m)| m);
            let filling = audience.is_some_and(|a| {
                to_all && a.holds_up(endpoint, members)
                    || a.holds_up_privately(now, &self.conns, endpoint, |e| self.place(room, e))
            });
            if !self.held[i].waiting.is_empty() || filling && now.since(since) < limits::PRESSURE_WAIT {
                i += 1;
                continue;
            }
            let Held { room, endpoint, tell, .. } = self.held.swap_remove(i);
            if room.home() == self.config.id {
                self.tell(now, tell, ShardMessage::GoOn { endpoint });
            } else {
                self.tell(now, tell, ShardMessage::Room { endpoint });
            }
        }
        if !self.held.is_empty() {
            // Nothing tells of somebody who takes nothing any more: it is looked for.
            self.relieve_by(now + limits::RELIEF_PACE);
        }
    }

    /// A part from another shard was dealt with: unless its sender is held, it may be read on.
    pub(super) fn release(&mut self, now: Now, endpoint: EndpointId, at: Option<ShardId>) {
        if let Some(at) = at.filter(|_| !self.held.iter().any(|h| h.endpoint == endpoint)) {
            self.tell(now, at, ShardMessage::GoOn { endpoint });
        }
    }

    /// The recipients of a long message have no room: its sender is not read.
    pub(super) fn hold_reading(&mut self, endpoint: EndpointId) {
        let Some(State::Bound(id)) = self.sessions.get(&endpoint).map(|s| s.state) else { return };
        if let Some(conn) = self.conns.get_mut(id) {
            let held = &mut conn.unfinished().held;
            if !held.contains(&endpoint) {
                held.push(endpoint);
            }
        }
    }

    /// They have room again.
    pub(super) fn read_on(&mut self, endpoint: EndpointId) {
        let Some(State::Bound(id)) = self.sessions.get(&endpoint).map(|s| s.state) else { return };
        self.read_on_here(id, endpoint);
    }

    pub(super) fn read_on_here(&mut self, id: ConnId, endpoint: EndpointId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(unfinished) = conn.unfinished_now() else { return };
        unfinished.held.retain(|e| *e != endpoint);
        if unfinished.held.is_empty() && conn.waits_no_more(|w| w == Wait::Recipients) {
            self.outputs.resume.push(id);
        }
    }
}
