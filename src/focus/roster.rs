//! Who is present in each room, for those who watch it: made of what the calls report.
//!
//! A change is remembered as "this participant changed", so that a notice can say all that happened
//! since the last one and no more.
//!
//! Bounds: an entry per bound endpoint; [`CHANGES_MAX`] changes of a room are remembered, whoever has
//! seen none of them gets the whole roster. Proof: the tests below and those of `tests.rs`.

use crate::base::address::Address;
use crate::base::id::EndpointId;
use crate::base::limits;
use crate::wire::conference::{self, Endpoint, User};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Remembered changes of a room.
const CHANGES_MAX: usize = 1024;

/// What everybody in a room is told where moderators are shown who anonymous participants are.
pub(super) const MODERATORS_SEE: &str = "Moderators see who anonymous participants are.";

/// A change of somebody's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Presence {
    pub(super) room: Address,
    pub(super) participant: Address,
    pub(super) display_name: Arc<str>,
    pub(super) nickname: Option<Arc<str>>,
    pub(super) endpoint: EndpointId,
    pub(super) contact: Arc<str>,
    /// Who an anonymous participant is: for moderators only.
    pub(super) real: Option<Address>,
    /// `dialed-in` or `dialed-out`.
    pub(super) joining: &'static str,
    pub(super) present: bool,
}

#[derive(Default)]
struct Room {
    users: BTreeMap<Address, Person>,
    /// How many changes there were.
    changes: u64,
    /// Whom the last of them were about; the newest is number `changes`.
    recent: VecDeque<Address>,
}

struct Person {
    display_name: Arc<str>,
    /// Who an anonymous one is, in the rosters of moderators.
    real: Option<Address>,
    endpoints: BTreeMap<EndpointId, Device>,
}

/// One endpoint of a participant.
struct Device {
    /// Its Contact URI.
    contact: Arc<str>,
    /// How it came.
    joining: &'static str,
    nickname: Option<Arc<str>>,
}

impl Person {
    /// What others call the participant: two devices may differ, the first to have one counts.
    fn nickname(&self) -> Option<&str> {
        self.endpoints.values().find_map(|d| d.nickname.as_deref())
    }
}

/// The rosters of all rooms.
#[derive(Default)]
pub(super) struct Rosters {
    rooms: HashMap<Address, Room>,
    /// The same rosters with the addresses of anonymous participants, if moderators are shown them. Apart from
    /// the others, so that no mistake about a subscriber's part of a document tells them to anybody else.
    disclosed: Option<Box<Self>>,
    /// What everybody is told about the rooms.
    note: &'static str,
}

impl Rosters {
    /// No rooms. With `moderators_see` there are rosters for moderators too, and everybody is told so.
    pub(super) fn new(moderators_see: bool) -> Self {
        let note = if moderators_see { MODERATORS_SEE } else { "" };
        let of_moderators = Self { note, ..Self::default() };
        Self { disclosed: moderators_see.then(|| Box::new(of_moderators)), note, ..Self::default() }
    }

    /// The rosters as a moderator is shown them.
    pub(super) fn for_moderators(&self) -> &Self {
        self.disclosed.as_deref().unwrap_or(self)
    }

    /// Takes note of a change.
    pub(super) fn apply(&mut self, mut news: Presence) {
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.take_note(news.clone());
        }
        news.real = None;
        self.take_note(news);
    }

    fn take_note(&mut self, news: Presence) {
        let room = self.rooms.entry(news.room).or_default();
        if news.present {
            let display_name = news.display_name.clone();
            let person = room.users.entry(news.participant.clone()).or_insert_with(|| Person {
                display_name,
                real: None,
                endpoints: BTreeMap::new(),
            });
            person.display_name = news.display_name;
            person.real = news.real;
            let Presence { contact, joining, nickname, .. } = news;
            person.endpoints.insert(news.endpoint, Device { contact, joining, nickname });
        } else if let Some(person) = room.users.get_mut(&news.participant) {
            person.endpoints.remove(&news.endpoint);
            if person.endpoints.is_empty() {
                room.users.remove(&news.participant);
            }
        }
        room.changes += 1;
        room.recent.push_back(news.participant);
        if room.recent.len() > CHANGES_MAX {
            room.recent.pop_front();
        }
    }

    /// The room has ended.
    pub(super) fn forget(&mut self, room: &Address) {
        self.rooms.remove(room);
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.forget(room);
        }
    }

    /// How many changes a room has seen.
    pub(super) fn changes(&self, room: &Address) -> u64 {
        self.rooms.get(room).map_or(0, |r| r.changes)
    }

    /// Whether somebody is present in a room.
    pub(super) fn has(&self, room: &Address, who: &Address) -> bool {
        self.rooms.get(room).is_some_and(|r| r.users.contains_key(who))
    }

    /// How many participants are present.
    pub(super) fn count(&self, room: &Address) -> usize {
        self.rooms.get(room).map_or(0, |r| r.users.len())
    }

    /// Those present, by the name that everybody is shown, which may be empty.
    pub(super) fn names(&self, room: &Address) -> impl Iterator<Item = (&str, &Address)> {
        let users = self.rooms.get(room).into_iter().flat_map(|r| &r.users);
        users.map(|(address, person)| (person.nickname().unwrap_or(&person.display_name), address))
    }

    /// Whether a room has as many participants as it may have.
    pub(super) fn is_full(&self, room: &Address) -> bool {
        self.rooms.get(room).is_some_and(|r| r.users.len() >= limits::ROOM_PARTICIPANTS_MAX)
    }

    /// The document for somebody who has seen the changes up to `seen`; all of it for `None`
    /// (CONF-05).
    pub(super) fn document(&self, room: &Address, seen: Option<u64>, version: u32) -> String {
        let empty = Room::default();
        let state = self.rooms.get(room).unwrap_or(&empty);
        let news = seen.and_then(|seen| state.since(seen));
        let full = news.is_none();
        let whom: BTreeSet<&Address> = news.unwrap_or_else(|| state.users.keys().collect());
        let endpoints: Vec<Vec<Endpoint<'_>>> = whom.iter().map(|a| state.endpoints(a)).collect();
        let real = |a: &&Address| state.users.get(*a).and_then(|p| p.real.as_ref()).map(Address::as_str);
        let associated: Vec<Option<&str>> = whom.iter().map(real).collect();
        let users: Vec<User<'_>> = whom
            .iter()
            .zip(&endpoints)
            .zip(&associated)
            .map(|((address, endpoints), associated)| User {
                entity: address.as_str(),
                display_text: state
                    .users
                    .get(*address)
                    .map_or("", |p| p.nickname().unwrap_or(&p.display_name)),
                nickname: state.users.get(*address).and_then(Person::nickname),
                associated: associated.as_slice(),
                deleted: endpoints.is_empty(),
                endpoints,
            })
            .collect();
        let mut out = String::with_capacity(512 + users.len() * 400);
        let roster = conference::Roster {
            entity: room.as_str(),
            version,
            full,
            display_text: room.user(),
            subject: "",
            note: self.note,
            users: &users,
            user_count: u32::try_from(state.users.len()).ok(),
        };
        conference::write(&mut out, &roster);
        out
    }
}

impl Room {
    /// Who changed after change number `seen`; `None` if that is too long ago.
    fn since(&self, seen: u64) -> Option<BTreeSet<&Address>> {
        let missed = usize::try_from(self.changes.checked_sub(seen)?).ok()?;
        let first = self.recent.len().checked_sub(missed)?;
        Some(self.recent.range(first..).collect())
    }

    /// The endpoints of a participant. Two with the same Contact are one to a reader (CONF-06).
    fn endpoints(&self, address: &Address) -> Vec<Endpoint<'_>> {
        let all = self.users.get(address).into_iter().flat_map(|p| p.endpoints.values());
        let contacts: BTreeMap<&str, &str> = all.map(|d| (&*d.contact, d.joining)).collect();
        let endpoint = |(entity, joining_method)| Endpoint {
            entity,
            status: "connected",
            joining_method,
            deleted: false,
        };
        contacts.into_iter().map(endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conference::{State, read};

    fn news(who: &str, endpoint: u64, present: bool) -> Presence {
        Presence {
            room: room(),
            participant: Address::parse(who).unwrap(),
            display_name: "N".into(),
            nickname: None,
            endpoint: EndpointId(endpoint),
            contact: format!("sip:{endpoint}@pc").into(),
            real: None,
            joining: "dialed-in",
            present,
        }
    }

    fn room() -> Address {
        Address::parse("sip:lobby@chat.example").unwrap()
    }

    #[test]
    fn two_devices_are_one_user_with_two_endpoints() {
        // CONF-06
        let mut rosters = Rosters::default();
        rosters.apply(news("sip:a@x", 1, true));
        rosters.apply(news("sip:a@x", 2, true));
        let text = rosters.document(&room(), None, 1);
        let update = read(text.as_bytes()).unwrap();
        assert_eq!((update.state, update.users.len()), (State::Full, 1));
        assert_eq!(update.users[0].endpoints.len(), 2);
        rosters.apply(news("sip:a@x", 1, false));
        let text = rosters.document(&room(), Some(2), 2);
        let update = read(text.as_bytes()).unwrap();
        assert_eq!((update.state, update.users[0].endpoints.len()), (State::Partial, 1));
    }

    #[test]
    fn a_partial_document_tells_what_changed_since_and_no_more() {
        // CONF-05
        let mut rosters = Rosters::default();
        rosters.apply(news("sip:a@x", 1, true));
        rosters.apply(news("sip:b@x", 2, true));
        rosters.apply(news("sip:c@x", 3, true));
        rosters.apply(news("sip:b@x", 2, false));
        let text = rosters.document(&room(), Some(2), 9);
        assert!(text.contains("sip:c@x") && !text.contains("sip:a@x"));
        assert!(text.contains("<user entity=\"sip:b@x\" state=\"deleted\"/>"), "{text}");
    }

    #[test]
    fn who_missed_too_much_gets_everything() {
        let mut rosters = Rosters::default();
        for n in 0..=CHANGES_MAX as u64 {
            rosters.apply(news("sip:a@x", n, true));
        }
        assert!(rosters.document(&room(), Some(0), 1).contains("state=\"full\" version"));
        assert!(rosters.document(&room(), Some(1), 1).contains("state=\"partial\" version"));
    }

    #[test]
    fn a_nickname_is_what_everybody_is_shown() {
        // CHAT-ROST-01
        let mut rosters = Rosters::default();
        rosters.apply(news("sip:alice@example.com", 1, true));
        let nickname = Some(Arc::from("White \"Rabbit\""));
        rosters.apply(Presence { nickname, ..news("sip:alice@example.com", 1, true) });
        rosters.apply(news("sip:alice@example.com", 2, true));
        let document = rosters.document(&room(), None, 1);
        assert!(document.contains("xcon:nickname=\"White &quot;Rabbit&quot;\""), "{document}");
        assert!(document.contains("<display-text>White"), "{document}");
        rosters.apply(news("sip:alice@example.com", 1, true));
        assert!(!rosters.document(&room(), None, 2).contains("Rabbit"));
    }
}
