//! Moderators' commands, as octets in and octets out.

use crate::world::{Person, ROOM, World, address};
use openmsrp::base::rights::Role;
use openmsrp::room::policy::Policy;
use openmsrp::shard::message::FromShard;
use std::time::Duration;

const COMMAND: &str = "application/vnd.openmsrp.command";

fn policy() -> Policy {
    let roles = [("sip:mod@example.com", Role::Moderator), ("sip:boss@example.com", Role::Owner)];
    Policy { roles: roles.into_iter().map(|(who, role)| (address(who), role)).collect(), ..Policy::default() }
}

/// A moderator, Alice and Bob, in a room on so many shards.
fn three(shards: u16) -> (World, Person, Person, Person) {
    let mut w = World::with(shards, policy());
    let (moderator, alice, bob) =
        (Person::enters(&mut w, "mod"), Person::enters(&mut w, "alice"), Person::enters(&mut w, "bob"));
    w.control.clear();
    (w, moderator, alice, bob)
}

/// What a command is answered with: code and comment.
fn orders(w: &mut World, who: &Person, n: u32, order: &str) -> String {
    let wrapped = who.wrapped(order).replace("text/plain", COMMAND);
    w.octets(who.end);
    w.write(who.end, &who.message(n, "", &wrapped));
    let told = String::from_utf8(w.octets(who.end)).unwrap();
    let answer = format!("MSRP t{n:07} ");
    told.split("\r\n").find_map(|line| line.strip_prefix(&answer)).unwrap_or("").to_owned()
}

fn says(w: &mut World, who: &Person, n: u32, text: &str) -> String {
    w.write(who.end, &who.message(n, "", &who.wrapped(text)));
    who.answers(w).pop().map(|(_, code)| code).unwrap_or_default()
}

fn dismissed(w: &mut World) -> Vec<String> {
    let control = std::mem::take(&mut w.control).into_iter();
    control
        .filter_map(
            |m| if let FromShard::Dismissed { words, .. } = m { Some(words.to_string()) } else { None },
        )
        .collect()
}

#[test]
fn a_command_is_for_the_room_and_heard_by_nobody() {
    for shards in [1, 2] {
        let (mut w, moderator, alice, bob) = three(shards);
        assert_eq!(orders(&mut w, &moderator, 1, "subject Trains"), "200 OK");
        assert_eq!(
            orders(&mut w, &alice, 1, "subject Boats"),
            "403 Only moderators of this room may do that"
        );
        assert!(orders(&mut w, &moderator, 2, "dance").starts_with("400 Unknown command; there are kick, "));
        assert!(alice.hears(&mut w).is_empty() && bob.hears(&mut w).is_empty());
        let subjects = w.control.iter().filter_map(|m| match m {
            FromShard::Ruled { rules, .. } => rules.as_ref().map(|r| r.subject().to_string()),
            _ => None,
        });
        assert_eq!(
            subjects.collect::<Vec<_>>(),
            ["Trains"],
            "the focus has the rules, and only what was allowed"
        );
    }
}

#[test]
fn who_is_kicked_hears_nothing_any_more_and_is_told_why() {
    for shards in [1, 2] {
        let (mut w, moderator, alice, bob) = three(shards);
        assert_eq!(
            orders(&mut w, &alice, 1, "kick sip:bob@example.com"),
            "403 Only moderators of this room may do that"
        );
        assert_eq!(
            orders(&mut w, &moderator, 1, "kick sip:eve@example.com"),
            "404 Nobody of this address is in the room"
        );
        assert_eq!(
            orders(&mut w, &moderator, 2, "kick sip:boss@example.com"),
            "404 Nobody of this address is in the room"
        );
        assert_eq!(orders(&mut w, &moderator, 3, "kick sip:bob@example.com\nreason: too loud"), "200 OK");
        assert_eq!(dismissed(&mut w), ["Taken out by a moderator: too loud"]);
        assert_eq!(says(&mut w, &alice, 2, "is he gone?"), "200");
        assert!(bob.hears(&mut w).is_empty());
        assert_eq!(says(&mut w, &bob, 1, "no"), "481");
    }
}

#[test]
fn nobody_does_anything_to_those_of_the_same_or_a_higher_role() {
    let (mut w, moderator, ..) = three(1);
    let boss = Person::enters(&mut w, "boss");
    for (n, order) in ["kick", "ban", "mute"].into_iter().enumerate() {
        let why = orders(&mut w, &moderator, n as u32, &format!("{order} sip:boss@example.com"));
        assert_eq!(why, "403 You may not do that to somebody of your own or a higher role", "{order}");
    }
    assert_eq!(
        orders(&mut w, &moderator, 9, "ban @example.com"),
        "200 OK",
        "of a domain, which means no moderators"
    );
    assert_eq!(says(&mut w, &boss, 1, "still here"), "200");
    assert_eq!(orders(&mut w, &boss, 2, "ban sip:mod@example.com"), "200 OK");
    assert_eq!(says(&mut w, &moderator, 11, "am I?"), "481");
}

#[test]
fn a_ban_shuts_out_who_is_meant_as_long_as_it_holds() {
    for shards in [1, 2] {
        let (mut w, moderator, alice, bob) = three(shards);
        assert_eq!(orders(&mut w, &moderator, 1, "ban sip:bob@example.com\nfor: 60\nreason: spam"), "200 OK");
        assert_eq!(says(&mut w, &bob, 1, "hello"), "481");
        assert_eq!(says(&mut w, &alice, 1, "hello"), "200");
        let again = w.invite_as(ROOM, "bob", None).1;
        assert_eq!(again, None);
        let refused = w.control.iter().find_map(|m| match m {
            FromShard::Refused { why, words, .. } => Some((why.msrp().1.into_owned(), words.clone())),
            _ => None,
        });
        let (why, words) = refused.unwrap();
        assert_eq!((&*why, words.as_deref()), ("You are banned from this room", Some(" for 60 s: spam")));
        w.later(Duration::from_secs(60));
        let again = w.invite_as(ROOM, "bob", None).1;
        assert!(again.is_some(), "it is over");
        assert_eq!(orders(&mut w, &moderator, 2, "ban @spam.example"), "200 OK");
        assert_eq!(orders(&mut w, &moderator, 3, "unban @spam.example"), "200 OK");
        assert_eq!(
            orders(&mut w, &moderator, 4, "unban @spam.example"),
            "404 There is no such ban; inspect lists them"
        );
    }
}

#[test]
fn who_is_muted_says_nothing_until_it_is_over_and_is_told_so() {
    for shards in [1, 2] {
        let (mut w, moderator, alice, bob) = three(shards);
        w.write(bob.end, &bob.chunk("tid1", "long", "1-*/*", bob.wrapped("begun").as_bytes(), '+'));
        assert_eq!(alice.answers(&mut w).len(), 0);
        w.octets(alice.end);
        assert_eq!(
            orders(&mut w, &moderator, 1, "mute sip:bob@example.com\nfor: 60\nreason: caps"),
            "200 OK"
        );
        let told = String::from_utf8(w.octets(bob.end)).unwrap();
        assert!(told.contains("You are muted for 60 s: caps"), "{told}");
        assert!(told.contains("\r\nTo: <sip:bob@example.com>\r\n"), "to him alone: {told}");
        let alice_hears = String::from_utf8(w.octets(alice.end)).unwrap();
        assert!(alice_hears.ends_with("#\r\n"), "what he had begun ends: {alice_hears}");
        w.write(bob.end, &bob.chunk("tid2", "long", "200-*/*", b"and more", '$'));
        assert_eq!(bob.answers(&mut w).pop().unwrap().1, "403", "and what follows of it is refused");
        assert_eq!(says(&mut w, &bob, 2, "HELLO"), "403");
        assert!(alice.hears(&mut w).is_empty());
        w.later(Duration::from_secs(60));
        assert_eq!(says(&mut w, &bob, 3, "hello"), "200");
        assert_eq!(orders(&mut w, &moderator, 2, "mute sip:bob@example.com"), "200 OK");
        assert_eq!(says(&mut w, &bob, 4, "x"), "403");
        assert_eq!(orders(&mut w, &moderator, 3, "unmute sip:bob@example.com"), "200 OK");
        w.octets(bob.end);
        assert_eq!(says(&mut w, &bob, 5, "thanks"), "200");
        assert_eq!(
            orders(&mut w, &moderator, 4, "unmute sip:bob@example.com"),
            "404 Nobody of this address is muted"
        );
    }
}

#[test]
fn in_a_moderated_room_those_speak_who_were_given_a_voice() {
    for shards in [1, 2] {
        let (mut w, moderator, alice, bob) = three(shards);
        assert_eq!(orders(&mut w, &moderator, 1, "moderate on"), "200 OK");
        assert_eq!(says(&mut w, &alice, 1, "x"), "403");
        assert_eq!(orders(&mut w, &moderator, 2, "role sip:alice@example.com participant"), "200 OK");
        assert!(String::from_utf8(w.octets(alice.end)).unwrap().contains("You have a voice now"));
        assert_eq!((says(&mut w, &alice, 2, "x"), says(&mut w, &bob, 1, "x")), ("200".into(), "403".into()));
        assert_eq!(orders(&mut w, &moderator, 3, "role sip:alice@example.com visitor"), "200 OK");
        w.octets(alice.end);
        assert_eq!(says(&mut w, &alice, 3, "x"), "403");
        let why = orders(&mut w, &moderator, 4, "role sip:alice@example.com moderator");
        assert_eq!(why, "403 Only owners of this room may give that role");
        assert_eq!(orders(&mut w, &moderator, 5, "moderate off"), "200 OK");
        assert_eq!(says(&mut w, &bob, 2, "x"), "200");
    }
}

#[test]
fn who_is_made_a_moderator_moderates_at_once() {
    let (mut w, _, alice, bob) = three(1);
    let boss = Person::enters(&mut w, "boss");
    assert_eq!(orders(&mut w, &boss, 1, "role sip:alice@example.com moderator"), "200 OK");
    w.octets(alice.end);
    assert_eq!(orders(&mut w, &alice, 1, "kick sip:bob@example.com"), "200 OK");
    assert_eq!(says(&mut w, &bob, 1, "x"), "481");
    assert_eq!(orders(&mut w, &boss, 2, "role sip:alice@example.com outsider"), "200 OK");
    w.octets(alice.end);
    assert!(orders(&mut w, &alice, 2, "lock on").starts_with("403"));
}

#[test]
fn the_door_is_set_while_the_room_runs() {
    let (mut w, moderator, ..) = three(1);
    for (n, (close, open, why)) in [
        ("lock on", "lock off", "This room is locked"),
        ("members-only on", "members-only off", "Only members of this room may enter"),
        ("password 1234", "password", "This room wants a password"),
        ("occupants 1", "occupants 100", "This room is full"),
    ]
    .into_iter()
    .enumerate()
    {
        let n = 10 * n as u32;
        assert_eq!(orders(&mut w, &moderator, n, close), "200 OK");
        w.control.clear();
        let eve_n = format!("eve{n}");
        let eve = w.invite_as(ROOM, &eve_n, None).1;
        let refused = w.control.iter().find_map(|m| match m {
            FromShard::Refused { why, .. } => Some(why.msrp().1.into_owned()),
            _ => None,
        });
        assert_eq!((eve, refused.as_deref()), (None, Some(why)), "{close}");
        assert_eq!(orders(&mut w, &moderator, n + 1, open), "200 OK");
        let eve = w.invite_as(ROOM, &eve_n, None).1;
        assert!(eve.is_some(), "{open}");
    }
}

#[test]
fn a_moderator_alone_is_shown_rules_roles_bans_and_mutes() {
    let (mut w, moderator, alice, _bob) = three(1);
    for (n, order) in
        ["ban @spam.example\nreason: ads", "mute sip:bob@example.com", "slow-mode 5", "password x"]
            .iter()
            .enumerate()
    {
        assert_eq!(orders(&mut w, &moderator, n as u32, order), "200 OK");
    }
    let inspect = moderator.wrapped("inspect").replace("text/plain", COMMAND);
    w.write(moderator.end, &moderator.message(9, "", &inspect));
    let told = String::from_utf8(w.octets(moderator.end)).unwrap();
    for line in [
        "password: on",
        "slow-mode: 5 s",
        "ban: @spam.example: ads",
        "mute: sip:bob@example.com",
        "role: sip:mod@example.com moderator",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(!told.contains("password: x") && told.contains("\r\nTo: <sip:mod@example.com>\r\n"));
    assert!(orders(&mut w, &alice, 1, "inspect").starts_with("403"));
}

#[test]
fn blink_sets_the_subject_in_its_own_way() {
    let (mut w, moderator, alice, _bob) = three(1);
    let control = |who: &Person| who.wrapped("SUBJECT Trains").replace("text/plain", "sylkserver/control");
    w.write(alice.end, &alice.message(1, "", &control(&alice)));
    assert_eq!(alice.answers(&mut w)[0].1, "403");
    w.write(moderator.end, &moderator.message(1, "", &control(&moderator)));
    assert_eq!(moderator.answers(&mut w)[0].1, "200");
}

#[test]
fn a_command_that_does_not_come_whole_or_is_too_long_is_refused() {
    let (mut w, moderator, alice, _bob) = three(1);
    let wrapped = moderator.wrapped("lock on").replace("text/plain", COMMAND);
    w.write(moderator.end, &moderator.chunk("tid1", "half", "1-*/*", wrapped.as_bytes(), '+'));
    let told = String::from_utf8(w.octets(moderator.end)).unwrap();
    assert!(told.starts_with("MSRP tid1 413 A command comes in one chunk"), "{told}");
    let long = format!("subject {}", "x".repeat(5000));
    assert_eq!(orders(&mut w, &moderator, 3, &long), "413 Command too long");
    assert!(alice.hears(&mut w).is_empty());
}
