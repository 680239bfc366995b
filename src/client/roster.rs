//! Who is in the room, as its conference documents tell (RFC 4575 §4.6).
//!
//! Touches: nothing. Bounds: what a document can hold (`wire::conference`); a partial document adds to that
//! at most [`PEOPLE_MAX`]. Proved by: the tests below.

use crate::base::limits::{ROOM_PARTICIPANTS_MAX, ROOM_SIDEBARS_MAX};
use crate::base::rights::Role;
use crate::wire::conference::{RosterUpdate, State, UserUpdate};

/// People that are remembered. Beyond, new ones are not.
const PEOPLE_MAX: usize = ROOM_PARTICIPANTS_MAX;

/// A participant.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Person {
    /// The address, as the room tells it.
    pub address: String,
    /// What to show: the nickname, else the display name, else the address (CHAT-ROST-01). May hold
    /// any character.
    pub name: String,
    /// What they are to the room, if the roster says so: nothing for most.
    pub role: Option<Role>,
    /// They may say nothing: their messages come from the room only (`recvonly`, RFC 4575 §5.8.3).
    pub muted: bool,
}

/// What a document changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The first document: everybody who is there.
    Here(Vec<Person>),
    Joined(Person),
    Left(Person),
    Renamed {
        who: Person,
        before: String,
    },
    Subject(String),
    Locked(bool),
    /// All that have gone from one role to another.
    Role {
        who: Vec<Person>,
        role: Option<Role>,
        before: Option<Role>,
    },
    Muted(Person),
    /// All sidebars that there are now, by address.
    Sidebars(Vec<String>),
}

/// What is to be done about a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Changes(Vec<Change>),
    /// Documents in between are missing: the whole is to be asked for.
    Gap,
}

/// The people of a room.
#[derive(Default)]
pub(super) struct Roster {
    version: Option<u32>,
    people: Vec<Person>,
    subject: String,
    locked: bool,
    sidebars: Vec<String>,
}

impl Roster {
    /// Everybody who is there.
    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    /// Applies a document (CONF-10).
    pub(super) fn apply(&mut self, update: &RosterUpdate) -> Verdict {
        let first = self.version.is_none();
        match (self.version, update.state) {
            (Some(known), _) if update.version <= known => return Verdict::Changes(Vec::new()),
            (known, State::Partial) if known.and_then(|k| k.checked_add(1)) != Some(update.version) => {
                return Verdict::Gap;
            }
            _ => self.version = Some(update.version),
        }
        let mut changes = Vec::new();
        if let Some(subject) = update.subject.as_ref().filter(|s| **s != self.subject) {
            self.subject.clone_from(subject);
            changes.push(Change::Subject(subject.clone()));
        }
        // What a document that tells all does not tell is not so.
        let locked = update.locked.or((update.state == State::Full).then_some(false));
        if let Some(locked) = locked.filter(|l| *l != self.locked) {
            self.locked = locked;
            changes.push(Change::Locked(locked));
        }
        // They are told in whole documents only (RFC 4575 §4.5).
        let sidebars = &update.sidebars[..update.sidebars.len().min(ROOM_SIDEBARS_MAX)];
        if update.state == State::Full && sidebars != self.sidebars {
            self.sidebars = sidebars.to_vec();
            changes.push(Change::Sidebars(self.sidebars.clone()));
        }
        if update.state == State::Deleted {
            changes.extend(self.people.drain(..).map(Change::Left));
            return Verdict::Changes(changes);
        }
        // A document without a list tells nothing of who is there, as in a room of very many.
        if update.state == State::Full && update.users_state == Some(State::Full) {
            let listed = |p: &Person| update.users.iter().any(|u| u.entity == p.address);
            let (stay, gone) = std::mem::take(&mut self.people).into_iter().partition(listed);
            self.people = stay;
            changes.extend(gone.into_iter().map(Change::Left));
        }
        for user in &update.users {
            for change in self.apply_user(user) {
                add(&mut changes, change);
            }
        }
        if first {
            changes.retain(|c| matches!(c, Change::Subject(_) | Change::Locked(_) | Change::Sidebars(_)));
            changes.push(Change::Here(self.people.clone()));
        }
        Verdict::Changes(changes)
    }

    fn apply_user(&mut self, user: &UserUpdate) -> Vec<Change> {
        let at = self.people.iter().position(|p| p.address == user.entity);
        if user.state == State::Deleted {
            return at.map(|at| Change::Left(self.people.remove(at))).into_iter().collect();
        }
        let told = [&user.nickname, &user.display_text].into_iter().flatten().find(|n| !n.trim().is_empty());
        match at {
            None if self.people.len() >= PEOPLE_MAX => Vec::new(),
            None => {
                let name = told.unwrap_or(&user.entity).clone();
                let muted = muted(user).unwrap_or(false);
                let who = Person { address: user.entity.clone(), name, role: role(user), muted };
                self.people.push(who.clone());
                vec![Change::Joined(who)]
            }
            Some(at) => change(&mut self.people[at], user, told),
        }
    }
}

/// Adds a change; whoever changes from one role to another does so with others, as when a room becomes moderated.
fn add(changes: &mut Vec<Change>, change: Change) {
    let Change::Role { who, role, before } = change else { return changes.push(change) };
    let same = changes.iter_mut().find_map(|known| match known {
        Change::Role { who, role: r, before: b } if (*r, *b) == (role, before) => Some(who),
        _ => None,
    });
    match same {
        Some(others) => others.extend(who),
        None => changes.push(Change::Role { who, role, before }),
    }
}

/// What is another with somebody who is there: the name, the role, the voice.
fn change(person: &mut Person, user: &UserUpdate, told: Option<&String>) -> Vec<Change> {
    let full = user.state == State::Full;
    let mut changes = Vec::new();
    if let Some(name) = told.or(full.then_some(&user.entity)).filter(|name| **name != person.name) {
        let before = std::mem::replace(&mut person.name, name.clone());
        changes.push(Change::Renamed { who: person.clone(), before });
    }
    if (full || user.role.is_some()) && person.role != role(user) {
        let before = std::mem::replace(&mut person.role, role(user));
        changes.push(Change::Role { who: vec![person.clone()], role: person.role, before });
    }
    if let Some(muted) = muted(user).filter(|muted| *muted != person.muted) {
        person.muted = muted;
        changes.push(Change::Muted(person.clone()));
    }
    changes
}

fn role(user: &UserUpdate) -> Option<Role> {
    user.role.as_deref().and_then(Role::parse)
}

/// Whether somebody may say nothing on any device; `None` if none is told that could.
fn muted(user: &UserUpdate) -> Option<bool> {
    let mut devices = user.endpoints.iter().filter(|e| e.message_media).peekable();
    devices.peek()?;
    Some(devices.all(|e| e.hears_only))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conference::EndpointUpdate;

    fn user(address: &str, name: Option<&str>, state: State) -> UserUpdate {
        UserUpdate {
            entity: address.to_string(),
            state,
            display_text: name.map(str::to_string),
            ..UserUpdate::default()
        }
    }

    fn document(version: u32, state: State, users: Vec<UserUpdate>) -> RosterUpdate {
        RosterUpdate { version, state, users_state: Some(state), users, ..RosterUpdate::default() }
    }

    fn person(address: &str, name: &str) -> Person {
        Person { address: address.to_string(), name: name.to_string(), ..Person::default() }
    }

    fn changes(roster: &mut Roster, update: &RosterUpdate) -> Vec<Change> {
        match roster.apply(update) {
            Verdict::Changes(changes) => changes,
            Verdict::Gap => panic!("a gap"),
        }
    }

    #[test]
    fn documents_are_applied_in_order_and_once() {
        // CONF-10
        let mut r = Roster::default();
        let alice = user("sip:a@x", Some("Alice"), State::Full);
        let first = document(5, State::Full, vec![alice.clone()]);
        assert_eq!(changes(&mut r, &first), [Change::Here(vec![person("sip:a@x", "Alice")])]);
        assert_eq!(changes(&mut r, &first), []);
        let bob = document(6, State::Partial, vec![user("sip:b@x", None, State::Full)]);
        assert_eq!(changes(&mut r, &bob), [Change::Joined(person("sip:b@x", "sip:b@x"))]);
        assert_eq!(changes(&mut r, &document(4, State::Full, vec![])), []);
        let gone = document(7, State::Partial, vec![user("sip:a@x", None, State::Deleted)]);
        assert_eq!(changes(&mut r, &gone), [Change::Left(person("sip:a@x", "Alice"))]);
        assert_eq!(r.people(), [person("sip:b@x", "sip:b@x")]);
    }

    #[test]
    fn a_gap_asks_for_the_whole() {
        // CONF-10
        let mut r = Roster::default();
        let partial = |v| document(v, State::Partial, vec![user("sip:b@x", None, State::Full)]);
        assert_eq!(r.apply(&partial(1)), Verdict::Gap);
        changes(&mut r, &document(5, State::Full, vec![]));
        assert_eq!(r.apply(&partial(7)), Verdict::Gap);
        assert_eq!(r.people(), []);
        let all = document(9, State::Full, vec![user("sip:b@x", Some("Bob"), State::Full)]);
        assert_eq!(changes(&mut r, &all), [Change::Joined(person("sip:b@x", "Bob"))]);
    }

    #[test]
    fn what_a_full_document_does_not_list_is_gone() {
        let mut r = Roster::default();
        let two = vec![user("sip:a@x", Some("A"), State::Full), user("sip:b@x", Some("B"), State::Full)];
        changes(&mut r, &document(1, State::Full, two));
        let renamed = vec![user("sip:b@x", Some("Bee"), State::Full)];
        let expected = [
            Change::Left(person("sip:a@x", "A")),
            Change::Renamed { who: person("sip:b@x", "Bee"), before: "B".to_string() },
        ];
        assert_eq!(changes(&mut r, &document(2, State::Full, renamed)), expected);
    }

    #[test]
    fn a_document_without_a_list_takes_nobody_out() {
        let mut r = Roster::default();
        changes(&mut r, &document(1, State::Full, vec![user("sip:a@x", Some("A"), State::Full)]));
        let summary = RosterUpdate { users_state: None, ..document(2, State::Full, vec![]) };
        assert_eq!(changes(&mut r, &summary), []);
        let some = RosterUpdate { users_state: Some(State::Partial), ..document(3, State::Full, vec![]) };
        assert_eq!(changes(&mut r, &some), []);
        assert_eq!(r.people().len(), 1);
    }

    /// A user with this role and, if connected, a device that only hears or does not.
    fn such(role: &str, hears_only: Option<bool>) -> UserUpdate {
        let endpoint =
            |hears_only| EndpointUpdate { message_media: true, hears_only, ..EndpointUpdate::default() };
        UserUpdate {
            role: (!role.is_empty()).then(|| role.to_string()),
            endpoints: hears_only.map(endpoint).into_iter().collect(),
            ..user("sip:a@x", Some("A"), State::Full)
        }
    }

    #[test]
    fn roles_and_who_may_not_speak_are_told_when_they_change() {
        let mut r = Roster::default();
        let with = |version, user| document(version, State::Partial, vec![user]);
        changes(&mut r, &document(1, State::Full, vec![such("moderator", Some(false))]));
        let a = |role, muted| Person { role, muted, ..person("sip:a@x", "A") };
        assert_eq!(r.people(), [a(Some(Role::Moderator), false)]);
        let muted = Change::Muted(a(Some(Role::Moderator), true));
        assert_eq!(changes(&mut r, &with(2, such("moderator", Some(true)))), [muted]);
        // Who is not connected just now is as before.
        assert_eq!(changes(&mut r, &with(3, such("moderator", None))), []);
        let expected = [
            Change::Role {
                who: vec![a(Some(Role::Visitor), true)],
                role: Some(Role::Visitor),
                before: Some(Role::Moderator),
            },
            Change::Muted(a(Some(Role::Visitor), false)),
        ];
        assert_eq!(changes(&mut r, &with(4, such("visitor", Some(false)))), expected);
        let partial = UserUpdate { state: State::Partial, ..such("", None) };
        assert_eq!(changes(&mut r, &with(5, partial)), []);
        let role = Change::Role { who: vec![a(None, false)], role: None, before: Some(Role::Visitor) };
        assert_eq!(changes(&mut r, &with(6, such("", None))), [role]);
        assert_eq!(changes(&mut r, &with(7, such("king", None))), []);
        // One device that may speak is enough.
        let mut two = such("", Some(true));
        two.endpoints.extend(such("", Some(false)).endpoints);
        assert_eq!(changes(&mut r, &with(8, two)), []);
    }

    #[test]
    fn who_changes_from_one_role_to_another_in_one_document_is_told_together() {
        let mut r = Roster::default();
        let all = |version, roles: [&str; 4]| {
            let one = |(name, role): (&str, &&str)| UserUpdate {
                entity: format!("sip:{name}@x"),
                ..such(role, Some(false))
            };
            document(version, State::Full, ["a", "b", "c", "d"].into_iter().zip(&roles).map(one).collect())
        };
        changes(&mut r, &all(1, ["owner", "", "", "moderator"]));
        let told = changes(&mut r, &all(2, ["owner", "visitor", "visitor", ""]));
        let told: Vec<(usize, Option<Role>)> = told
            .iter()
            .map(|change| match change {
                Change::Role { who, role, .. } => (who.len(), *role),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(2, Some(Role::Visitor)), (1, None)]);
    }

    #[test]
    fn a_lock_is_told_until_a_whole_document_does_not_tell_it() {
        let mut r = Roster::default();
        let locked = |version, state, locked| RosterUpdate { locked, ..document(version, state, vec![]) };
        let first = changes(&mut r, &locked(1, State::Full, Some(true)));
        assert_eq!(first, [Change::Locked(true), Change::Here(vec![])]);
        assert_eq!(changes(&mut r, &locked(2, State::Partial, None)), []);
        assert_eq!(changes(&mut r, &locked(3, State::Full, Some(true))), []);
        assert_eq!(changes(&mut r, &locked(4, State::Full, None)), [Change::Locked(false)]);
        assert_eq!(changes(&mut r, &locked(5, State::Partial, Some(true))), [Change::Locked(true)]);
    }

    #[test]
    fn sidebars_are_told_when_a_whole_document_lists_others() {
        // FOCUS-10
        let mut r = Roster::default();
        let with = |version, state, all: &[&str]| RosterUpdate {
            sidebars: all.iter().map(|s| (*s).to_string()).collect(),
            ..document(version, state, vec![])
        };
        let told = |all: &[&str]| Change::Sidebars(all.iter().map(|s| (*s).to_string()).collect());
        let first = changes(&mut r, &with(1, State::Full, &["sip:s@x"]));
        assert_eq!(first, [told(&["sip:s@x"]), Change::Here(vec![])]);
        assert_eq!(changes(&mut r, &with(2, State::Partial, &[])), []);
        assert_eq!(changes(&mut r, &with(3, State::Full, &["sip:s@x"])), []);
        assert_eq!(changes(&mut r, &with(4, State::Full, &["sip:t@x"])), [told(&["sip:t@x"])]);
        assert_eq!(changes(&mut r, &with(5, State::Full, &[])), [told(&[])]);
        let many: Vec<String> = (0..=ROOM_SIDEBARS_MAX).map(|n| format!("sip:{n}@x")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(changes(&mut r, &with(6, State::Full, &many)), [told(&many[..ROOM_SIDEBARS_MAX])]);
        assert_eq!(changes(&mut r, &with(7, State::Full, &many)), []);
    }

    #[test]
    fn the_nickname_is_shown_before_the_display_name() {
        // CHAT-ROST-01
        let mut r = Roster::default();
        let mut alice = user("sip:a@x", Some("Alice Smith"), State::Full);
        alice.nickname = Some("Al".to_string());
        let mut update = document(1, State::Full, vec![alice]);
        update.subject = Some("Topic".to_string());
        let here = Change::Here(vec![person("sip:a@x", "Al")]);
        assert_eq!(changes(&mut r, &update), [Change::Subject("Topic".to_string()), here]);
    }
}
