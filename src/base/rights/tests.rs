//! Tables of decisions: a column per role, from banned to owner.

use super::*;

const OPEN: Mode = Mode {
    private_messages: true,
    nicknames: true,
    identities: false,
    members_only: false,
    locked: false,
    password: false,
    full: false,
    invite: Role::Visitor,
    sidebars: Role::Participant,
    subject: Role::Moderator,
    creators: Creators::Everybody,
};

/// Which roles may, as letters in the order of [`Role::ALL`]: `y` or `-`.
fn who(standing: Standing, action: Action, target: Option<Target>, mode: Mode) -> String {
    let may = |role| decide(&Standing { role, ..standing }, action, target, &mode).allowed;
    Role::ALL.into_iter().map(|role| if may(role) { 'y' } else { '-' }).collect()
}

fn to(role: Role) -> Option<Target> {
    Some(Target { role, own: false })
}

const INSIDE: Standing = Standing {
    role: Role::Outsider,
    proved: true,
    present: true,
    invited: false,
    muted: false,
    hasty: false,
    key: Key::None,
};

const OUTSIDE: Standing = Standing { present: false, ..INSIDE };

#[test]
fn every_role_and_every_action() {
    use Action::{
        Ban, Create, Enter, Grant, Identify, Inspect, Invite, Kick, Lock, MembersOnly, Moderate, Mute,
        Nickname, Occupants, Password, Sidebar, SlowMode, Speak, Subject, Unban, Unmute, Watch, Whisper,
    };
    let own = |role| Some(Target { role, own: true });
    // Banned, outsider, visitor, participant, moderator, owner.
    let table = [
        (Create, None, "-yyyyy"),
        (Enter, None, "-yyyyy"),
        (Watch, None, "-yyyyy"),
        (Speak, None, "---yyy"),
        (Whisper, to(Role::Participant), "---yyy"),
        (Whisper, to(Role::Moderator), "-yyyyy"),
        (Nickname, None, "-yyyyy"),
        (Invite, None, "--yyyy"),
        (Sidebar, None, "---yyy"),
        (Kick, to(Role::Visitor), "----yy"),
        (Kick, to(Role::Participant), "----yy"),
        (Kick, to(Role::Moderator), "-----y"),
        (Kick, to(Role::Owner), "------"),
        (Kick, own(Role::Participant), "-yyyyy"),
        (Ban, to(Role::Outsider), "----yy"),
        (Ban, to(Role::Moderator), "-----y"),
        (Ban, own(Role::Owner), "------"),
        (Ban, None, "----yy"),
        (Unban, None, "----yy"),
        (Unban, to(Role::Banned), "----yy"),
        (Mute, to(Role::Participant), "----yy"),
        (Mute, to(Role::Moderator), "-----y"),
        (Unmute, to(Role::Participant), "----yy"),
        (Unmute, own(Role::Moderator), "------"),
        (Grant(Role::Outsider), to(Role::Participant), "----yy"),
        (Grant(Role::Outsider), to(Role::Moderator), "-----y"),
        (Grant(Role::Visitor), to(Role::Participant), "----yy"),
        (Grant(Role::Participant), to(Role::Visitor), "----yy"),
        (Grant(Role::Moderator), to(Role::Participant), "-----y"),
        (Grant(Role::Owner), to(Role::Participant), "-----y"),
        (Grant(Role::Participant), to(Role::Owner), "------"),
        (Grant(Role::Participant), own(Role::Owner), "---yyy"),
        (Subject, None, "----yy"),
        (Lock, None, "----yy"),
        (Moderate, None, "----yy"),
        (Password, None, "----yy"),
        (MembersOnly, None, "----yy"),
        (Occupants, None, "----yy"),
        (SlowMode, None, "----yy"),
        (Inspect, None, "----yy"),
        (Identify, None, "------"),
    ];
    for (action, target, expected) in table {
        assert_eq!(who(INSIDE, action, target, OPEN), expected, "{action:?} {target:?}");
    }
    for (word, action) in Action::WORDS {
        assert!(table.iter().any(|(a, ..)| *a == action), "{word} is in the table");
    }
    assert_eq!(who(INSIDE, Identify, None, Mode { identities: true, ..OPEN }), "----yy");
}

#[test]
fn the_door_by_mode() {
    let closed = |key| Standing { key, ..OUTSIDE };
    let invited = Standing { invited: true, ..OUTSIDE };
    let (members_only, locked) = (Mode { members_only: true, ..OPEN }, Mode { locked: true, ..OPEN });
    let (password, full) = (Mode { password: true, ..OPEN }, Mode { full: true, ..OPEN });
    let both = Mode { members_only: true, password: true, ..OPEN };
    let table = [
        (OUTSIDE, OPEN, "-yyyyy"),
        (OUTSIDE, members_only, "---yyy"),
        (OUTSIDE, locked, "----yy"),
        (OUTSIDE, full, "----yy"),
        (closed(Key::None), password, "----yy"),
        (closed(Key::Wrong), password, "----yy"),
        (closed(Key::Right), password, "-yyyyy"),
        (closed(Key::Right), members_only, "---yyy"),
        (closed(Key::Right), both, "---yyy"),
        (closed(Key::None), both, "----yy"),
        (invited, both, "-yyyyy"),
        (invited, locked, "-yyyyy"),
        (invited, full, "----yy"),
        // Another device of somebody who is there.
        (INSIDE, Mode { full: true, locked: true, ..both }, "-yyyyy"),
    ];
    for (standing, mode, expected) in table {
        assert_eq!(who(standing, Action::Enter, None, mode), expected, "{standing:?} {mode:?}");
    }
}

#[test]
fn who_is_outside_a_closed_room_is_not_told_who_is_in_it() {
    let table = [
        (Mode { members_only: true, ..OPEN }, "---yyy"),
        (Mode { locked: true, ..OPEN }, "---yyy"),
        (Mode { password: true, ..OPEN }, "---yyy"),
        (OPEN, "-yyyyy"),
    ];
    for (mode, expected) in table {
        assert_eq!(who(OUTSIDE, Action::Watch, None, mode), expected, "{mode:?}");
        assert_eq!(who(INSIDE, Action::Watch, None, mode), "-yyyyy", "{mode:?}");
    }
}

#[test]
fn a_muted_one_says_nothing_in_any_way() {
    let muted = Standing { muted: true, ..INSIDE };
    for action in [Action::Speak, Action::Whisper, Action::Nickname, Action::Subject] {
        assert_eq!(who(muted, action, to(Role::Owner), OPEN), "------", "{action:?}");
    }
}

#[test]
fn slow_mode_holds_back_all_but_moderators() {
    let hasty = Standing { hasty: true, ..INSIDE };
    assert_eq!(who(hasty, Action::Speak, None, OPEN), "----yy");
    assert_eq!(who(hasty, Action::Whisper, to(Role::Participant), OPEN), "----yy");
}

#[test]
fn invitations_need_the_role_that_the_room_wants_and_a_moderator_if_it_is_closed() {
    let mode = |invite, locked| Mode { invite, locked, ..OPEN };
    let table = [
        (INSIDE, mode(Role::Participant, false), "---yyy"),
        (INSIDE, mode(Role::Moderator, false), "----yy"),
        (INSIDE, mode(Role::Owner, false), "-----y"),
        (INSIDE, mode(Role::Visitor, true), "----yy"),
        (OUTSIDE, mode(Role::Visitor, false), "----yy"),
    ];
    for (standing, mode, expected) in table {
        assert_eq!(who(standing, Action::Invite, None, mode), expected, "{mode:?}");
    }
}

#[test]
fn rooms_are_made_by_those_who_may() {
    let unproved = Standing { proved: false, ..OUTSIDE };
    let mode = |creators| Mode { creators, ..OPEN };
    let table = [
        (unproved, Creators::Everybody, "-yyyyy"),
        (unproved, Creators::Users, "----yy"),
        (OUTSIDE, Creators::Users, "-yyyyy"),
        (OUTSIDE, Creators::Moderators, "----yy"),
        (OUTSIDE, Creators::Nobody, "------"),
    ];
    for (standing, creators, expected) in table {
        assert_eq!(who(standing, Action::Create, None, mode(creators)), expected, "{creators:?}");
    }
}

#[test]
fn every_rule_that_refuses_has_a_word_and_a_sentence_of_its_own() {
    let mut told = std::collections::BTreeMap::new();
    for (_, action) in Action::WORDS {
        for role in Role::ALL {
            let rule = decide(&Standing { role, ..OUTSIDE }, action, to(Role::Moderator), &OPEN).rule;
            assert!(!rule.sentence().is_empty(), "{rule:?}");
            assert_eq!(*told.entry(rule.token()).or_insert(rule.told()), rule.told(), "{rule:?}");
        }
    }
    assert_eq!(told.len(), told.values().collect::<std::collections::BTreeSet<_>>().len(), "{told:?}");
}
