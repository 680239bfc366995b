//! Sidebars by the client library: opened, entered, spoken in, left; and who is kept out of them.

use super::{ROOM, WAIT, until};
use crate::standard::everywhere;
use openmsrp::client::call::CallError;
use openmsrp::client::chat::{Client, Event, Events, Join, JoinError, Message, Room, Step};
use openmsrp::control::config::Raw;
use tokio::time::timeout;

async fn enter(client: &Client, room: &str, name: &str) -> Result<(Room, Events), JoinError> {
    let from = format!("sip:{name}@localhost");
    let join = Join { room, from: &from, display_name: name };
    timeout(WAIT, client.join(&join)).await.expect("in time")
}

async fn open(client: &Client, name: &str, whom: &[&str]) -> Result<(Room, Events), JoinError> {
    let from = format!("sip:{name}@localhost");
    let join = Join { room: ROOM, from: &from, display_name: name };
    timeout(WAIT, client.open_sidebar(&join, whom, None)).await.expect("in time")
}

async fn message(events: &mut Events) -> Message {
    until(events, |e| if let Event::Message(m) = e { Some(m.clone()) } else { None }).await
}

async fn listed(events: &mut Events) -> Vec<String> {
    until(events, |e| if let Event::Sidebars(all) = e { Some(all.clone()) } else { None }).await
}

async fn asked(events: &mut Events) -> (String, String) {
    let wanted = |e: &Event| match e {
        Event::AskedToSidebar { sidebar, text } => Some((sidebar.clone(), text.clone())),
        _ => None,
    };
    until(events, wanted).await
}

#[tokio::test]
async fn some_of_a_room_talk_in_a_sidebar_and_the_others_only_know_that_there_is_one() {
    // FOCUS-10
    everywhere(Raw::default(), async |server, transport| {
        let client = Client::new(server.sip, transport).await.unwrap();
        let (alice, mut to_alice) = enter(&client, ROOM, "alice").await.unwrap();
        let (bob, mut to_bob) = enter(&client, ROOM, "bob").await.unwrap();
        let (carol, mut to_carol) = enter(&client, ROOM, "carol").await.unwrap();

        // Who is not there cannot be asked.
        match open(&client, "alice", &["sip:dave@localhost"]).await {
            Err(JoinError::Call(CallError::Refused { code: 403, warning: Some(why), .. })) => {
                assert!(why.contains("sip:dave@localhost is not in the room"), "{why}");
            }
            other => panic!("{other:?}"),
        }

        let (aside, mut to_alice_aside) = open(&client, "alice", &["sip:bob@localhost"]).await.unwrap();
        let (sidebar, text) = asked(&mut to_bob).await;
        assert_eq!(
            (aside.room(), text.as_str()),
            (sidebar.as_str(), "alice asks you to a sidebar of this room.")
        );
        for events in [&mut to_alice, &mut to_bob, &mut to_carol] {
            assert_eq!(listed(events).await, [sidebar.as_str()]);
        }

        // Only those who were asked come in.
        match enter(&client, &sidebar, "carol").await {
            Err(JoinError::Call(CallError::Refused { code: 403, rule, .. })) => {
                assert_eq!(rule.as_deref(), Some("members-only"));
            }
            other => panic!("{other:?}"),
        }
        let (bob_aside, mut to_bob_aside) = enter(&client, &sidebar, "bob").await.unwrap();
        let joined =
            |e: &Event| matches!(e, Event::Joined(p) if p.address == "sip:bob@localhost").then_some(());
        until(&mut to_alice_aside, joined).await;
        aside.say("psst").await.unwrap();
        let heard = message(&mut to_bob_aside).await;
        assert_eq!((heard.from.as_str(), heard.to_me), ("sip:alice@localhost", false));
        assert_eq!(heard.text().as_deref(), Some("psst"));
        bob_aside.say_to("sip:alice@localhost", "here").await.unwrap();
        let heard = message(&mut to_alice_aside).await;
        assert_eq!((heard.to_me, heard.text().as_deref()), (true, Some("here")));

        // Whoever is in it asks others.
        let number = bob_aside.bring_in("sip:carol@localhost").await.unwrap();
        let last = |e: &Event| match e {
            Event::Step { request, step: Step { code, last: true, .. } } if *request == number => Some(*code),
            _ => None,
        };
        assert_eq!(until(&mut to_bob_aside, last).await, 200);
        let (again, text) = asked(&mut to_carol).await;
        assert_eq!((again, text.as_str()), (sidebar.clone(), "bob asks you to a sidebar of this room."));
        let (carol_aside, mut to_carol_aside) = enter(&client, &sidebar, "carol").await.unwrap();
        aside.say("all of us").await.unwrap();
        assert_eq!(message(&mut to_carol_aside).await.text().as_deref(), Some("all of us"));

        // Nothing of it was said in the room, which goes on.
        bob.say("hello room").await.unwrap();
        for events in [&mut to_alice, &mut to_carol] {
            assert_eq!(message(events).await.text().as_deref(), Some("hello room"));
        }

        // It ends with the last who is in it.
        for room in [aside, bob_aside, carol_aside] {
            room.leave().await;
        }
        assert_eq!(listed(&mut to_carol).await, [""; 0]);
        for room in [alice, bob, carol] {
            room.leave().await;
        }
    })
    .await;
}
