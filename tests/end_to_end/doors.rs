//! Who gets into which room, and who speaks there, over real sockets: what the configuration says, and what those hear
//! who are refused.

use super::standard::everywhere;
use super::{Server, WAIT, hear};
use openmsrp::client::call::{CallError, Transport};
use openmsrp::client::chat::{Client, Event, Join, JoinError};
use openmsrp::control::config::Raw;
use tokio::time::timeout;

const ROOMS: &str = "
create_rooms = 'moderators'
moderator = ['sip:root@localhost']

[rooms.lobby]
subject = 'Everything and nothing'
owners = ['sip:alice@localhost']
bans = [{ whom = 'sip:mallory@localhost', reason = 'advertising' }, { whom = '@spam.example' }]

[rooms.here]
bans = [{ whom = '127.0.0.0/8' }]
moderators = ['sip:alice@localhost']

[rooms.staff]
members_only = true
members = ['sip:bob@localhost']

[rooms.board]
password = 'se same'

[rooms.shut]
locked = true

[rooms.small]
max_participants = 1

[rooms.announcements]
moderated = true
members = ['sip:alice@localhost']

[rooms.slow]
slow_mode = 600
";

fn rooms() -> Raw {
    toml::from_str(ROOMS).unwrap()
}

/// What somebody is told who wants in: nothing, or a code and why.
async fn knocks(server: &Server, transport: Transport, room: &str, from: &str) -> Option<(u16, String)> {
    let client = Client::new(server.sip, transport).await.unwrap();
    let join = Join { room, from, display_name: "" };
    match timeout(WAIT, client.join(&join)).await.expect("in time") {
        Ok((room, _events)) => {
            room.leave().await;
            None
        }
        Err(JoinError::Call(CallError::Refused { code, warning, .. })) => {
            Some((code, warning.unwrap_or_default()))
        }
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn whoever_is_refused_is_told_why_and_everybody_else_comes_in() {
    // FOCUS-03 SEC-11
    everywhere(rooms(), async |server, transport| {
        let refused = |code, why: &str| Some((code, why.to_owned()));
        let table = [
            ("lobby", "bob", None),
            ("lobby", "mallory", refused(403, "You are banned from this room: advertising")),
            ("here", "bob", refused(403, "You are banned from this room")),
            ("here", "alice", None),
            ("staff", "alice", refused(403, "Only members of this room may enter")),
            ("staff", "bob", None),
            ("staff", "root", None),
            ("board", "bob", refused(403, "This room wants a password")),
            ("board;room-password=sesame", "bob", refused(403, "This is not the password of the room")),
            ("board;room-password=se%20same", "bob", None),
            ("board", "root", None),
            ("shut", "bob", refused(403, "This room is locked")),
            ("nowhere", "bob", refused(404, "There is no such room, and only moderators may make one")),
            ("nowhere", "root", None),
        ];
        for (room, name, expected) in table {
            let (user, params) = room.split_at(room.find(';').unwrap_or(room.len()));
            let (room, from) = (format!("sip:{user}@localhost{params}"), format!("sip:{name}@localhost"));
            let told = knocks(server, transport, &room, &from).await;
            assert_eq!(told, expected, "{name} at {room}");
        }
        let told = knocks(server, transport, "sip:lobby@localhost", "sip:x@mail.spam.example").await;
        assert_eq!(told.map(|t| t.0), Some(403));
        let (_bob, _events) = server.join(transport, "small", "bob").await;
        let told = knocks(server, transport, "sip:small@localhost", "sip:carol@localhost").await;
        assert_eq!(told.map(|t| t.0), Some(486));
        let told = knocks(server, transport, "sip:small@localhost", "sip:root@localhost").await;
        assert_eq!(told, None, "a moderator always comes in");
    })
    .await;
}

#[tokio::test]
async fn the_client_gives_the_password_of_a_room_and_is_told_the_rule_that_keeps_it_out() {
    everywhere(rooms(), async |server, transport| {
        let join = Join { room: "sip:board@localhost", from: "sip:bob@localhost", display_name: "" };
        for (password, expected) in
            [("", Some("password-wanted")), ("sesame", Some("wrong-password")), ("se same", None)]
        {
            let client = Client::new(server.sip, transport).await.unwrap().with_room_password(password);
            let rule = match timeout(WAIT, client.join(&join)).await.expect("in time") {
                Ok((room, _events)) => {
                    room.leave().await;
                    None
                }
                Err(JoinError::Call(CallError::Refused { rule, .. })) => rule,
                Err(why) => panic!("{why}"),
            };
            assert_eq!(rule.as_deref(), expected, "{password:?}");
        }
        // Who hides is not known to be inside, and is told nevertheless who is there.
        let client = Client::new(server.sip, transport).await.unwrap();
        let client = client.with_room_password("se same").anonymous();
        let (_room, mut events) = timeout(WAIT, client.join(&join)).await.unwrap().unwrap();
        while !matches!(timeout(WAIT, events.next()).await.unwrap().unwrap(), Event::Here(_)) {}
    })
    .await;
}

#[tokio::test]
async fn who_has_no_voice_is_told_so_and_heard_by_nobody() {
    everywhere(rooms(), async |server, transport| {
        let (alice, mut to_alice) = server.join(transport, "announcements", "alice").await;
        let (bob, mut to_bob) = server.join(transport, "announcements", "bob").await;
        let said = bob.say("me too").await.unwrap();
        let (code, comment) = loop {
            match timeout(WAIT, to_bob.next()).await.unwrap().unwrap() {
                Event::Refused { message, code, comment } if message == said => break (code, comment),
                _ => {}
            }
        };
        assert_eq!((code, comment.as_str()), (403, "You have no voice here; ask a moderator in private"));
        alice.say("the train leaves at nine").await.unwrap();
        assert_eq!(hear(&mut to_bob, 1).await, ["the train leaves at nine"]);
        alice.leave().await;
        while let Some(event) = timeout(WAIT, to_alice.next()).await.unwrap() {
            assert!(!matches!(event, Event::Message(_)), "{event:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn slow_mode_lets_everybody_wait_and_says_so() {
    everywhere(rooms(), async |server, transport| {
        let (bob, mut to_bob) = server.join(transport, "slow", "bob").await;
        let (_carol, mut to_carol) = server.join(transport, "slow", "carol").await;
        bob.say("one").await.unwrap();
        let hasty = bob.say("two").await.unwrap();
        loop {
            match timeout(WAIT, to_bob.next()).await.unwrap().unwrap() {
                Event::Refused { message, comment, .. } if message == hasty => {
                    break assert!(comment.starts_with("Slow mode"), "{comment}");
                }
                _ => {}
            }
        }
        assert_eq!(hear(&mut to_carol, 1).await, ["one"]);
    })
    .await;
}

#[tokio::test]
async fn everybody_is_shown_what_a_room_is_about() {
    everywhere(rooms(), async |server, transport| {
        let (_bob, mut events) = server.join(transport, "lobby", "bob").await;
        loop {
            if let Event::Subject(subject) = timeout(WAIT, events.next()).await.unwrap().unwrap() {
                break assert_eq!(subject, "Everything and nothing");
            }
        }
    })
    .await;
}
