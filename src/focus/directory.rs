//! The list of public rooms: what `sip:rooms@DOMAIN` tells those who subscribe to it (docs/extensions.md).
//!
//! It is told like a roster, by the conference event package: each room of the domain is an `entry` of
//! `sidebars-by-val`, with its address, its subject and the number of its participants. The focus knows all that
//! from its rosters, so no shard is asked.
//!
//! Bounds: an entry per public room; a document tells the [`LISTED_MAX`] largest, as many of them as fit into
//! [`LISTED_BYTES_MAX`], and says how many it leaves out. Proof: `tests/directory.rs`.

use crate::base::address::Address;
use crate::wire::conference::{self, Listed};
use ahash::AHashMap;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rooms of one document: some pages for people, who want the large ones.
const LISTED_MAX: usize = 150;

/// Octets of the entries of one document, which still fits into a datagram.
const LISTED_BYTES_MAX: usize = 48 * 1024;

/// The public rooms of all domains.
#[derive(Default)]
pub(super) struct Directory {
    /// The user part of its address; empty for no directory.
    user: String,
    hosts: AHashMap<String, Host>,
    /// Changes of all of them: a domain that comes back must not count from the beginning.
    changes: u64,
}

/// The public rooms of one domain.
#[derive(Default)]
struct Host {
    rooms: AHashMap<Address, Entry>,
    /// The same, the largest first.
    order: BTreeSet<(Reverse<usize>, Address)>,
    /// The number of the last change.
    changed: u64,
    /// What all are told since the last change.
    told: Option<Arc<str>>,
}

#[derive(PartialEq, Eq)]
struct Entry {
    participants: usize,
    subject: Arc<str>,
}

impl Directory {
    /// An empty one, reached at this user of every domain.
    pub(super) fn new(user: &str) -> Self {
        Self { user: user.to_owned(), ..Self::default() }
    }

    /// Whether an address is that of the directory.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        !self.user.is_empty() && address.user() == self.user
    }

    /// A public room has so many participants and this subject. The address of the directory, if that is news.
    pub(super) fn list(
        &mut self,
        room: &Address,
        participants: usize,
        subject: &Arc<str>,
    ) -> Option<Address> {
        let entry = Entry { participants, subject: subject.clone() };
        let host = self.hosts.entry(room.host().to_owned()).or_default();
        if host.rooms.get(room) == Some(&entry) {
            return None;
        }
        if let Some(before) = host.rooms.insert(room.clone(), entry) {
            host.order.remove(&(Reverse(before.participants), room.clone()));
        }
        host.order.insert((Reverse(participants), room.clone()));
        self.changed(room.host())
    }

    /// A room is not to be listed any more. The address of the directory, if that is news.
    pub(super) fn unlist(&mut self, room: &Address) -> Option<Address> {
        let host = self.hosts.get_mut(room.host())?;
        let before = host.rooms.remove(room)?;
        host.order.remove(&(Reverse(before.participants), room.clone()));
        self.changed(room.host())
    }

    fn changed(&mut self, name: &str) -> Option<Address> {
        self.changes += 1;
        let host = self.hosts.get_mut(name)?;
        if host.rooms.is_empty() {
            self.hosts.remove(name);
        } else {
            host.changed = self.changes;
            host.told = None;
        }
        Address::parse(&format!("sip:{}@{name}", self.user)).ok()
    }

    /// The number of the last change of the list of a domain; 0 while it is empty.
    pub(super) fn changes(&self, at: &Address) -> u64 {
        self.hosts.get(at.host()).map_or(0, |host| host.changed)
    }

    /// What is told after the beginning of a document.
    pub(super) fn tell(&mut self, at: &Address) -> Arc<str> {
        let Some(host) = self.hosts.get_mut(at.host()) else { return Host::default().write(at) };
        let text = host.told.take().unwrap_or_else(|| host.write(at));
        host.told = Some(text.clone());
        text
    }
}

impl Host {
    fn write(&self, at: &Address) -> Arc<str> {
        let (mut entries, mut told) = (String::new(), 0);
        for (Reverse(participants), room) in self.order.iter().take(LISTED_MAX) {
            let before = entries.len();
            let subject = self.rooms.get(room).map_or("", |entry| &*entry.subject);
            let participants = u32::try_from(*participants).unwrap_or(u32::MAX);
            let room = Listed { entity: room.as_str(), name: room.user(), subject, participants };
            conference::listed(&mut entries, &room);
            if entries.len() > LISTED_BYTES_MAX {
                entries.truncate(before);
                break;
            }
            told += 1;
        }
        let note = match self.rooms.len() {
            all if all > told => format!("The {told} largest of {all} public rooms."),
            _ => String::new(),
        };
        let mut out = String::with_capacity(entries.len() + 1024);
        conference::describe(&mut out, at.as_str(), "Public rooms", "", &note);
        out.push_str(conference::LISTED_BEGIN);
        out.push_str(&entries);
        out.push_str(conference::LISTED_END);
        out.push_str(conference::END);
        out.into()
    }
}
