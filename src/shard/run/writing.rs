//! Rounds of writes: what a batch of turns queued for a connection leaves in one piece, and all connections of the
//! batch in one call. What the system has no room for stays queued until there is room, so no write is under way
//! between two turns.
//!
//! Touches: sockets of this shard. Bounds: `limits::WRITE_PIECES_MAX` pieces of a connection in a round.
//! Proved by: the tests of `io`; `tests/end_to_end`.

use super::Shard;
use crate::base::clock::now;
use crate::base::id::ConnId;
use crate::shard::io::{Round, Written};
use std::os::fd::AsRawFd;
use std::rc::Rc;

impl Shard {
    /// Writes in rounds until nothing waits that the system has room for.
    pub(super) fn write(self: &Rc<Self>) {
        if self.writing.replace(true) {
            return;
        }
        let mut ids = Vec::new();
        loop {
            ids.clear();
            self.core.borrow_mut().take_writes(&mut ids);
            if ids.is_empty() {
                break;
            }
            self.write_round(&ids);
        }
        self.writing.set(false);
    }

    fn write_round(self: &Rc<Self>, ids: &[ConnId]) {
        // Of each: how much was asked for, and whether it ends when nothing waits any more.
        let mut asked = Vec::with_capacity(ids.len());
        let mut written = Vec::with_capacity(ids.len());
        {
            let (core, sockets) = (self.core.borrow(), self.sockets.borrow());
            let mut round = Round::with_capacity(ids.len());
            for id in ids {
                let socket = sockets.get(id.slot as usize).and_then(Option::as_ref);
                // Who has no room is written to when there is some.
                if let Some(socket) = socket.filter(|s| s.id == *id && !s.watched.write) {
                    let octets = round.push(socket.fd.as_raw_fd(), core.waiting(*id));
                    asked.push((*id, octets, socket.closing));
                }
            }
            self.writer.borrow_mut().write(&round, &mut written);
        }
        let now = now();
        for ((id, asked, closing), written) in asked.iter().zip(&written) {
            let Written::Octets(n) = *written else {
                self.end(*id);
                continue;
            };
            let left = self.core.borrow_mut().wrote(now, *id, n);
            if n < *asked {
                self.watch(*id, |interest| interest.write = true);
            } else if left {
                self.core.borrow_mut().write_again(*id);
            } else if *closing {
                self.end(*id);
            }
        }
        self.carry_out();
    }
}
