//! What moderators ask for, and what everybody sees of it.

use super::*;
use crate::base::rights::Role;

fn accepted(message: u64) -> Event {
    Event::Accepted { message }
}

fn room_of_three() -> Talk {
    among(&[("sip:b@x", "Bob"), ("sip:c@x", "Carol C"), ("sip:d@x", "Dan")])
}

#[test]
fn people_are_named_as_in_a_private_message_and_each_has_a_result() {
    let mut talk = room_of_three();
    let (shown, all) = typed(&mut talk, true, "/kick bob,\"carol c\",zoe,eve@y too loud");
    let kick = |whom: &str| format!("kick {whom}\nreason: too loud\n");
    assert_eq!(all, heard(&[&kick("sip:b@x"), &kick("sip:c@x"), &kick("sip:eve@y")]));
    assert_eq!(shown, [undelivered("nobody here is called zoe; /who tells who is here")]);
    assert_eq!(talk.happened(accepted(1)), status("done: Bob was taken out"));
    let refused =
        |message, code, comment: &str| Event::Refused { message, code, comment: comment.to_string() };
    let comment = "You may not do that to somebody of your own or a higher role";
    let text = format!("not done: taking out Carol C: {comment} (403)");
    assert_eq!(talk.happened(refused(2, 403, comment)), Some(undelivered(&text)));
    let text = "not done: taking out sip:eve@y: nobody and nothing of that name is there (404)";
    assert_eq!(talk.happened(refused(3, 404, "")), Some(undelivered(text)));
    assert_eq!(talk.unanswered(), 0);
}

#[test]
fn who_spoke_can_be_named_though_the_roster_does_not_list_them() {
    let mut talk = room_of_three();
    let says = |from: &str, name: &str| {
        Event::Message(Message { from: from.to_string(), name: name.to_string(), ..Message::default() })
    };
    talk.happened(says("sip:spam@y", "Prince"));
    talk.happened(says("sip:spam@y", "Prince"));
    talk.happened(says("sip:eve@y", "Bob"));
    let (shown, all) = typed(&mut talk, true, "/kick prince,bob");
    assert_eq!((shown, all), (vec![], heard(&["kick sip:spam@y\n", "kick sip:b@x\n"])));
    assert_eq!(talk.happened(accepted(1)), status("done: Prince <sip:spam@y> was taken out"));
    // A secret is not for whoever calls themselves so, and of two nobody is meant.
    let (shown, all) = typed(&mut talk, true, "/msg prince psst");
    assert_eq!(
        (shown, all),
        (vec![undelivered("nobody here is called prince; /who tells who is here")], vec![])
    );
    talk.happened(says("sip:other@y", "Prince"));
    let (shown, all) = typed(&mut talk, true, "/kick prince");
    assert_eq!(
        (shown, all),
        (vec![undelivered("nobody here is called prince; /who tells who is here")], vec![])
    );
    for n in 0..1000 {
        talk.happened(says(&format!("sip:{n}@y"), "Prince"));
    }
    assert!(talk.speakers.len() < 1000);
}

#[test]
fn whatever_a_moderator_asks_for_is_told_when_it_is_done() {
    let table = [
        ("/ban bob 10m spam", "ban sip:b@x\nfor: 600\nreason: spam\n", "Bob is banned for 10 min"),
        ("/ban @spam.example", "ban @spam.example\n", "@spam.example is banned"),
        ("/ban 192.0.2.0/24 7d", "ban 192.0.2.0/24\nfor: 604800\n", "192.0.2.0/24 is banned for 7 d"),
        ("/unban sip:eve@y", "unban sip:eve@y\n", "sip:eve@y is not banned any more"),
        ("/mute bob 2h", "mute sip:b@x\nfor: 7200\n", "Bob is muted for 2 h"),
        ("/unmute bob", "unmute sip:b@x\n", "Bob may speak again"),
        ("/voice bob", "role sip:b@x participant\n", "Bob has a voice"),
        ("/devoice bob", "role sip:b@x visitor\n", "Bob is a visitor"),
        ("/role bob owner", "role sip:b@x owner\n", "Bob is an owner"),
        ("/role bob outsider", "role sip:b@x outsider\n", "Bob has no role any more"),
        ("/subject Trains", "subject Trains\n", "the subject was set"),
        ("/subject", "subject\n", "the subject was taken away"),
        ("/lock", "lock on\n", "nobody new comes in; /unlock lets people in again"),
        ("/unlock", "lock off\n", "people come in again"),
        ("/moderated on", "moderate on\n", "only those speak who have a voice; /voice NAME gives one"),
        ("/moderated off", "moderate off\n", "everybody may speak"),
        ("/members on", "members-only on\n", "only members come in"),
        ("/members off", "members-only off\n", "members and others come in"),
        ("/password se same", "password se same\n", "who comes in needs this password"),
        ("/password", "password\n", "nobody needs a password to come in"),
        ("/max 30", "occupants 30\n", "at most 30 may be here"),
        ("/slow 10", "slow-mode 10\n", "everybody waits 10 s between two messages"),
        ("/slow off", "slow-mode 0\n", "nobody waits between two messages"),
        ("/rules", "inspect\n", "the room tells you alone"),
    ];
    for (line, body, done) in table {
        let mut talk = room_of_three();
        let (shown, all) = typed(&mut talk, true, line);
        assert_eq!((shown, all), (vec![], heard(&[body])), "{line}");
        assert_eq!(talk.happened(accepted(1)), status(&format!("done: {done}")), "{line}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_told_at_once_and_not_asked() {
    let table = [
        ("/max 0", true, "not done: setting how many may be here: a room must have place for somebody"),
        ("/mute bob 0m", true, "not done: muting Bob: a ban or mute lasts a second at least"),
        (
            "/role bob banned",
            true,
            "not done: making Bob a banned: nobody is given the role \"banned\"; ban them",
        ),
        ("/unban bobby", true, "nobody here is called bobby; name who is banned as /rules shows it"),
        (
            "/mute bob",
            false,
            "not done: muting Bob: this room takes no such command; whoever runs it decides",
        ),
        (
            "/mute bob 10 minutes",
            true,
            "/mute cannot be done so; write it as: /mute NAME[,NAME] [TERM] [REASON]",
        ),
    ];
    for (line, able, text) in table {
        let mut talk = room_of_three();
        let (shown, all) = typed(&mut talk, able, line);
        assert_eq!((shown, all), (vec![undelivered(text)], vec![]), "{line}");
        assert_eq!(talk.unanswered(), 0);
    }
    let mut talk = room_of_three();
    let many = vec!["a@x"; RECIPIENTS_MAX + 1].join(",");
    let (shown, all) = typed(&mut talk, true, &format!("/kick {many}"));
    assert_eq!((shown.len(), all.len()), (1, 0));
    // A room that takes no commands takes people out nevertheless.
    let (shown, all) = typed(&mut talk, false, "/kick bob");
    assert_eq!((shown, all), (vec![], heard(&["take out sip:b@x"])));
    assert_eq!(talk.happened(accepted(1)), status("done: Bob was taken out"));
}

#[test]
fn everybody_sees_what_moderators_change() {
    let mut talk = Talk::new("Me");
    assert_eq!(talk.happened(Event::Subject("Boats".to_string())), status("subject: Boats"));
    talk.happened(Event::Here(vec![person("sip:b@x", "Bob")]));
    let subject = |text: &str| Event::Subject(text.to_string());
    assert_eq!(talk.happened(subject("Tra\u{1b}ins")), status("the subject is now: Trains"));
    assert_eq!(talk.happened(subject("")), status("there is no subject any more"));
    assert_eq!(talk.happened(Event::Locked(true)), status("the room is locked: nobody new comes in"));
    assert_eq!(talk.happened(Event::Locked(false)), status("the room is not locked any more"));
    let bob = |role, muted| Person { role, muted, ..person("sip:b@x", "Bob") };
    let role = Some(Role::Moderator);
    let who = vec![bob(role, false)];
    assert_eq!(talk.happened(Event::Role { who, role, before: None }), status("Bob is a moderator now"));
    let who = bob(Some(Role::Moderator), true);
    assert_eq!(talk.happened(Event::Muted(who)), status("Bob may not speak now"));
    let (shown, _) = typed(&mut talk, true, "/who");
    assert_eq!(shown, [Shown::Status("1 is here:\n    Bob <sip:b@x> (moderator, muted)".to_string())]);
    assert_eq!(talk.happened(Event::Muted(bob(None, false))), status("Bob may speak now"));
}

#[test]
fn what_the_room_itself_says_is_no_message_of_anybody() {
    let mut talk = room_of_three();
    let message = Message {
        from: "sip:lobby@x".to_string(),
        name: "Bob".to_string(),
        to_me: true,
        of_room: true,
        content_type: "text/plain".to_string(),
        content: "You are muted for 10 min: caps lock".into(),
        ..Message::default()
    };
    let text = "the room: You are muted for 10 min: caps lock";
    assert_eq!(talk.happened(Event::Message(message.clone())), status(text));
    // What was asked for may come before the answer, and after it.
    for first in [true, false] {
        typed(&mut talk, true, "/rules");
        let (notice, answer) = (Event::Message(message.clone()), accepted(1));
        let (one, other) = if first { (notice, answer) } else { (answer, notice) };
        talk.happened(one);
        assert_eq!(talk.expects_notice(), !first);
        talk.happened(other);
        assert!(!talk.expects_notice());
    }
}

#[test]
fn names_in_commands_wait_for_the_list_of_people_too() {
    let mut talk = Talk::new("Me");
    assert!(talk.is_too_early("/kick bob") && talk.is_too_early("/mute b@x,bob 10m"));
    for line in ["/kick b@x", "/ban @spam.example", "/ban 192.0.2.7", "/lock", "/subject bob"] {
        assert!(!talk.is_too_early(line), "{line}");
    }
    talk.happened(Event::Here(Vec::new()));
    assert!(!talk.is_too_early("/kick bob"));
}
