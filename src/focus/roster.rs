//! Who is present in each room, for those who watch it: made of what the calls report.
//!
//! A participant's entry is written once per change. A change is remembered with what it made of the entry,
//! so that a notice is put together from what happened since the last one, and no more. What all who have
//! seen the same are told is kept until the next change, and shared.
//!
//! A room of more than `roster_whole_max` participants is told as a summary: how many there are, the
//! moderators, and to each subscriber their own entry, in all other respects like any roster (CONF-07).
//! Whoever knows the one kind gets a whole document when the room turns to the other.
//!
//! Bounds: an entry per participant, with all devices of it; [`CHANGES_MAX`] changes of a room are
//! remembered with at most one entry per participant, whoever has seen none of them gets the whole roster;
//! [`SHARED_MAX`] texts of a room are shared; [`SUMMARY_MODERATORS_MAX`] and [`SUMMARY_ENTRY_BYTES_MAX`] keep a
//! summary within a datagram. Proof: the tests below and those of `tests.rs`.

use super::directory::Directory;
use crate::base::address::Address;
use crate::base::id::EndpointId;
use crate::base::limits::{self, SUMMARY_ENTRY_BYTES_MAX, SUMMARY_MODERATORS_MAX};
use crate::base::rights::Role;
use crate::wire::conference::{self, Endpoint, User};
use ahash::AHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Remembered changes of a room.
const CHANGES_MAX: usize = 1024;

/// What everybody in a room is told where moderators are shown who anonymous participants are.
pub(super) const MODERATORS_SEE: &str = "Moderators see who anonymous participants are.";

/// Texts of a room that are kept for subscribers who have seen the same. Those who come at different times
/// are told different things once, then all at once.
const SHARED_MAX: usize = 4;

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
    /// What the participant is to the room.
    pub(super) role: Role,
    /// They may say nothing.
    pub(super) muted: bool,
    pub(super) present: bool,
}

#[derive(Default)]
struct Room {
    users: BTreeMap<Address, Person>,
    /// How many changes there were.
    changes: u64,
    /// What the last of them made of the entries; the newest is number `changes`.
    recent: VecDeque<Change>,
    /// The number of the newest change of each participant among them.
    newest: AHashMap<Address, u64>,
    /// The number of the last change of each moderator who was ever here.
    moderators: BTreeMap<Address, u64>,
    /// Sidebars, by reference.
    sidebars: Vec<Address>,
    /// Told as a summary.
    summary: bool,
    /// The number of the change that made it so, or not so.
    turned: u64,
    /// What those are told who have seen the changes up to a number, or nothing. Void after a change.
    shared: VecDeque<(Option<u64>, Arc<str>)>,
}

struct Change {
    who: Address,
    /// The entry after it, or that it is gone; empty if a later change is about the same participant.
    text: Arc<str>,
}

struct Person {
    display_name: Arc<str>,
    /// What they are to the room.
    role: Role,
    /// They may say nothing.
    muted: bool,
    /// Who an anonymous one is, in the rosters of moderators.
    real: Option<Address>,
    /// One as a rule: a tree would take ten times the room.
    endpoints: Vec<(EndpointId, Device)>,
    /// The entry as documents list it.
    text: Arc<str>,
    /// The number of the last change.
    changed: u64,
}

/// One endpoint of a participant.
struct Device {
    /// Its Contact URI.
    contact: Arc<str>,
    /// How it came.
    joining: &'static str,
    nickname: Option<Arc<str>>,
}

/// What a subscriber knows, and may know.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) room: &'a Address,
    /// The changes up to this number were told; `None` for nothing.
    pub(super) seen: Option<u64>,
    /// Who the subscriber is.
    pub(super) own: Option<&'a Address>,
    /// What [`Rosters::changed`] said of `own` then; 0 for nothing.
    pub(super) own_seen: u64,
    /// A summary, however small the room is.
    pub(super) brief: bool,
    /// What the room is about.
    pub(super) subject: &'a str,
    /// Nobody new comes in.
    pub(super) locked: bool,
}

/// A document for one subscriber.
pub(super) struct Document {
    /// The beginning, or all of it.
    pub(super) own: String,
    /// The rest, which others get too.
    pub(super) shared: Option<Arc<str>>,
}

/// The rosters of all rooms.
pub(super) struct Rosters {
    /// The list of those that are public.
    pub(super) directory: Directory,
    rooms: AHashMap<Address, Room>,
    /// The same rosters with the addresses of anonymous participants, if moderators are shown them. Apart from
    /// the others, so that no mistake about a subscriber's part of a document tells them to anybody else.
    disclosed: Option<Box<Self>>,
    /// Participants up to which a room is told whole.
    whole_max: usize,
    /// What everybody is told about the rooms; what summaries say of themselves besides.
    note: &'static str,
    summary_note: String,
}

impl Rosters {
    /// No rooms. Those of more than `whole_max` participants will be told as summaries, which list
    /// [`SUMMARY_MODERATORS_MAX`] moderators. With `moderators_see` there are rosters for moderators too, and
    /// everybody is told so.
    pub(super) fn new(whole_max: usize, moderators_see: bool) -> Self {
        let note = if moderators_see { MODERATORS_SEE } else { "" };
        let summary_note = format!(
            "More than {whole_max} participants: only their number, moderators and yourself are listed. {note}"
        );
        let one = || Self {
            directory: Directory::default(),
            rooms: AHashMap::new(),
            disclosed: None,
            whole_max,
            note,
            summary_note: summary_note.trim_end().to_owned(),
        };
        Self { disclosed: moderators_see.then(|| Box::new(one())), ..one() }
    }

    /// The rosters as a moderator is shown them.
    pub(super) fn for_moderators(&mut self) -> &mut Self {
        match self.disclosed {
            Some(ref mut disclosed) => disclosed,
            None => self,
        }
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
        room.changes += 1;
        let who = news.participant;
        if news.present {
            let display_name = news.display_name.clone();
            let person = room.users.entry(who.clone()).or_insert_with(|| Person {
                display_name,
                role: news.role,
                muted: false,
                real: None,
                endpoints: Vec::new(),
                text: "".into(),
                changed: 0,
            });
            person.display_name = news.display_name;
            (person.role, person.muted) = (news.role, news.muted);
            person.real = news.real;
            let Presence { contact, joining, nickname, .. } = news;
            let device = Device { contact, joining, nickname };
            match person.endpoints.binary_search_by_key(&news.endpoint, |(id, _)| *id) {
                Ok(at) => person.endpoints[at].1 = device,
                Err(at) => {
                    person.endpoints.reserve_exact(1);
                    person.endpoints.insert(at, (news.endpoint, device));
                }
            }
        } else if let Some(person) = room.users.get_mut(&who) {
            person.endpoints.retain(|(id, _)| *id != news.endpoint);
            if person.endpoints.is_empty() {
                room.users.remove(&who);
            }
        }
        // Who has been one is told of as long as the room lasts: who stops being one, too.
        let known = room.moderators.contains_key(&who);
        if known || news.role >= Role::Moderator && room.moderators.len() < SUMMARY_MODERATORS_MAX {
            room.moderators.insert(who.clone(), room.changes);
        }
        room.remember(who);
        room.turn(self.whole_max);
    }

    /// The room has ended.
    pub(super) fn forget(&mut self, room: &Address) {
        self.rooms.remove(room);
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.forget(room);
        }
    }

    /// A room that is known has these sidebars.
    pub(super) fn set_sidebars(&mut self, room: &Address, sidebars: Vec<Address>) {
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.set_sidebars(room, sidebars.clone());
        }
        if let Some(known) = self.rooms.get_mut(room) {
            known.sidebars = sidebars;
            known.told_anew();
        }
    }

    /// What a room is about has changed: everybody is told all of it, since it stands in whole documents only.
    pub(super) fn redescribe(&mut self, room: &Address) {
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.redescribe(room);
        }
        self.rooms.entry(room.clone()).or_default().told_anew();
    }

    /// How many changes a room has seen.
    pub(super) fn changes(&self, room: &Address) -> u64 {
        if self.directory.is_at(room) {
            return self.directory.changes(room);
        }
        self.rooms.get(room).map_or(0, |r| r.changes)
    }

    /// The number of the last change of somebody present; 0 of others.
    pub(super) fn changed(&self, room: &Address, who: &Address) -> u64 {
        self.rooms.get(room).and_then(|r| r.users.get(who)).map_or(0, |p| p.changed)
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

    /// The document for a subscriber: what changed, or all of it (CONF-05).
    pub(super) fn document(&mut self, view: &View<'_>, version: u32) -> Document {
        if self.directory.is_at(view.room) {
            let mut own = String::with_capacity(512);
            conference::begin(&mut own, view.room.as_str(), true, version);
            return Document { own, shared: Some(self.directory.tell(view.room)) };
        }
        let Self { rooms, note, summary_note, .. } = self;
        let mut nobody = Room::default();
        let room = rooms.get_mut(view.room).unwrap_or(&mut nobody);
        let summary = room.summary || view.brief;
        let follows =
            |seen: &u64| if summary { view.brief || *seen >= room.turned } else { room.remembers(*seen) };
        let seen = view.seen.filter(follows);
        let full = seen.is_none();
        let mut own = String::with_capacity(512);
        conference::begin(&mut own, view.room.as_str(), full, version);
        if summary {
            room.summarise(&mut own, view, seen, summary_note);
            return Document { own, shared: None };
        }
        let known = room.shared.iter().find(|(since, _)| *since == seen).map(|(_, text)| text.clone());
        let shared = known.unwrap_or_else(|| room.tell(view, seen, note));
        Document { own, shared: Some(shared) }
    }
}

impl Room {
    /// Something has changed that stands in whole documents only.
    fn told_anew(&mut self) {
        self.changes += 1;
        self.turned = self.changes;
        self.recent.clear();
        self.newest.clear();
        self.shared.clear();
    }

    /// The last change was about `who`: writes the entry.
    fn remember(&mut self, who: Address) {
        let text = self.users.get(&who).map_or_else(|| gone(&who), |person| person.write(&who));
        if let Some(person) = self.users.get_mut(&who) {
            person.text = text.clone();
            person.changed = self.changes;
        }
        if let Some(before) = self.newest.insert(who.clone(), self.changes)
            && let Some(change) = self.at(before).and_then(|at| self.recent.get_mut(at))
        {
            change.text = "".into();
        }
        self.recent.push_back(Change { who, text });
        if self.recent.len() > CHANGES_MAX
            && let Some(oldest) = self.recent.pop_front()
            && !oldest.text.is_empty()
        {
            self.newest.remove(&oldest.who);
        }
        self.shared.clear();
    }

    /// A room that has grown is told as a summary, until it is smaller by a good part: one at the edge would
    /// else be told anew with everybody who comes or goes.
    fn turn(&mut self, whole_max: usize) {
        let again = whole_max.saturating_sub((whole_max / limits::ROSTER_WHOLE_MARGIN).max(1));
        let summary = self.users.len() > if self.summary { again } else { whole_max };
        if summary != self.summary {
            self.summary = summary;
            self.turned = self.changes;
        }
    }

    /// Where change number `number` is among the recent ones, the new one not counted yet.
    fn at(&self, number: u64) -> Option<usize> {
        let back = usize::try_from(self.changes.checked_sub(number)?).ok()?;
        self.recent.len().checked_sub(back)
    }

    /// Whether all that came after change number `seen` can be told as changes.
    fn remembers(&self, seen: u64) -> bool {
        seen >= self.turned
            && self.changes.checked_sub(seen).is_some_and(|missed| missed <= self.recent.len() as u64)
    }

    /// Writes what comes after the beginning for those who have seen the changes up to `seen`.
    fn tell(&mut self, view: &View<'_>, seen: Option<u64>, note: &str) -> Arc<str> {
        let missed =
            seen.map(|seen| usize::try_from(self.changes.saturating_sub(seen)).unwrap_or(usize::MAX));
        let mut out = String::with_capacity(1024);
        if seen.is_none() {
            conference::describe(&mut out, view.room.as_str(), view.room.user(), view.subject, note);
        }
        conference::count(&mut out, self.users(), view.locked);
        conference::begin_users(&mut out, seen.is_none());
        match missed {
            None => self.users.values().for_each(|person| out.push_str(&person.text)),
            Some(missed) => {
                let first = self.recent.len().saturating_sub(missed);
                self.recent.range(first..).for_each(|change| out.push_str(&change.text));
            }
        }
        out.push_str(conference::USERS_END);
        if seen.is_none() {
            self.write_sidebars(&mut out);
        }
        out.push_str(conference::END);
        let text: Arc<str> = out.into();
        if self.shared.len() == SHARED_MAX {
            self.shared.pop_front();
        }
        self.shared.push_back((seen, text.clone()));
        text
    }

    /// Writes what comes after the beginning of a summary.
    fn summarise(&self, out: &mut String, view: &View<'_>, seen: Option<u64>, note: &str) {
        let full = seen.is_none();
        if full {
            conference::describe(out, view.room.as_str(), view.room.user(), view.subject, note);
        }
        conference::count(out, self.users(), view.locked);
        let mut listed = full;
        if full {
            conference::begin_users(out, full);
        }
        let mut list = |out: &mut String, who: &Address| {
            if !std::mem::replace(&mut listed, true) {
                conference::begin_users(out, full);
            }
            match self.users.get(who) {
                Some(person) if person.text.len() <= SUMMARY_ENTRY_BYTES_MAX => out.push_str(&person.text),
                Some(_) => {}
                None if full => {}
                None => out.push_str(&gone(who)),
            }
        };
        let since = seen.unwrap_or(0);
        self.moderators.iter().filter(|(_, at)| **at > since).for_each(|(who, _)| list(out, who));
        if let Some(own) = view.own.filter(|own| !self.moderators.contains_key(*own)) {
            let changed = self.users.get(own).map_or(0, |person| person.changed);
            if full || changed != view.own_seen {
                list(out, own);
            }
        }
        if listed {
            out.push_str(conference::USERS_END);
        }
        if full {
            self.write_sidebars(out);
        }
        out.push_str(conference::END);
    }

    /// By reference: who is there is told to those who may come in (FOCUS-10).
    fn write_sidebars(&self, out: &mut String) {
        conference::sidebars(out, self.sidebars.iter().map(Address::as_str));
    }

    fn users(&self) -> u32 {
        u32::try_from(self.users.len()).unwrap_or(u32::MAX)
    }
}

impl Person {
    /// What others call the participant: two devices may differ, the first to have one counts.
    fn nickname(&self) -> Option<&str> {
        self.endpoints.iter().find_map(|(_, d)| d.nickname.as_deref())
    }

    /// The entry. Two endpoints with the same Contact are one to a reader (CONF-06).
    fn write(&self, who: &Address) -> Arc<str> {
        let contacts: BTreeMap<&str, &str> =
            self.endpoints.iter().map(|(_, d)| (&*d.contact, d.joining)).collect();
        let endpoint = |(entity, joining_method)| Endpoint {
            entity,
            status: "connected",
            joining_method,
            muted: self.muted,
            deleted: false,
        };
        let endpoints: Vec<Endpoint<'_>> = contacts.into_iter().map(endpoint).collect();
        let mut out = String::with_capacity(512);
        let real = self.real.as_ref().map(Address::as_str);
        let user = User {
            entity: who.as_str(),
            display_text: self.nickname().unwrap_or(&self.display_name),
            nickname: self.nickname(),
            associated: real.as_slice(),
            role: self.role.shown(),
            deleted: false,
            endpoints: &endpoints,
        };
        conference::user(&mut out, &user, true);
        out.into()
    }
}

/// The entry of somebody who is gone.
fn gone(who: &Address) -> Arc<str> {
    let mut out = String::with_capacity(128);
    let user = User {
        entity: who.as_str(),
        display_text: "",
        nickname: None,
        associated: &[],
        role: "",
        deleted: true,
        endpoints: &[],
    };
    conference::user(&mut out, &user, false);
    out.into()
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
            role: Role::Participant,
            muted: false,
            present,
        }
    }

    impl Rosters {
        fn text(&mut self, seen: Option<u64>, version: u32) -> String {
            let view = View {
                room: &room(),
                seen,
                own: None,
                own_seen: 0,
                brief: false,
                subject: "",
                locked: false,
            };
            let Document { own, shared } = self.document(&view, version);
            own + shared.as_deref().unwrap_or_default()
        }
    }

    fn rosters() -> Rosters {
        Rosters::new(500, false)
    }

    fn room() -> Address {
        Address::parse("sip:lobby@chat.example").unwrap()
    }

    #[test]
    fn two_devices_are_one_user_with_two_endpoints() {
        // CONF-06
        let mut rosters = rosters();
        rosters.apply(news("sip:a@x", 1, true));
        rosters.apply(news("sip:a@x", 2, true));
        let text = rosters.text(None, 1);
        let update = read(text.as_bytes()).unwrap();
        assert_eq!((update.state, update.users.len()), (State::Full, 1));
        assert_eq!(update.users[0].endpoints.len(), 2);
        rosters.apply(news("sip:a@x", 1, false));
        let text = rosters.text(Some(2), 2);
        let update = read(text.as_bytes()).unwrap();
        assert_eq!((update.state, update.users[0].endpoints.len()), (State::Partial, 1));
    }

    #[test]
    fn a_partial_document_tells_what_changed_since_and_no_more() {
        // CONF-05
        let mut rosters = rosters();
        rosters.apply(news("sip:a@x", 1, true));
        rosters.apply(news("sip:b@x", 2, true));
        rosters.apply(news("sip:c@x", 3, true));
        rosters.apply(news("sip:b@x", 2, false));
        let text = rosters.text(Some(2), 9);
        assert!(text.contains("sip:c@x") && !text.contains("sip:a@x"));
        assert!(text.contains("<user entity=\"sip:b@x\" state=\"deleted\"/>"), "{text}");
    }

    #[test]
    fn who_missed_too_much_gets_everything() {
        let mut rosters = rosters();
        for n in 0..=CHANGES_MAX as u64 {
            rosters.apply(news("sip:a@x", n, true));
        }
        assert!(rosters.text(Some(0), 1).contains("state=\"full\" version"));
        assert!(rosters.text(Some(1), 1).contains("state=\"partial\" version"));
    }

    #[test]
    fn a_nickname_is_what_everybody_is_shown() {
        // CHAT-ROST-01
        let mut rosters = rosters();
        rosters.apply(news("sip:alice@example.com", 1, true));
        let nickname = Some(Arc::from("White \"Rabbit\""));
        rosters.apply(Presence { nickname, ..news("sip:alice@example.com", 1, true) });
        rosters.apply(news("sip:alice@example.com", 2, true));
        let document = rosters.text(None, 1);
        assert!(document.contains("xcon:nickname=\"White &quot;Rabbit&quot;\""), "{document}");
        assert!(document.contains("<display-text>White"), "{document}");
        rosters.apply(news("sip:alice@example.com", 1, true));
        assert!(!rosters.text(None, 2).contains("Rabbit"));
    }
}
