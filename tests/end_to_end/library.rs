//! What the client library can do in a room, with the real server, on two shards, with SIP over UDP and over TCP.

mod moderation;
mod sidebars;

use super::standard::everywhere;
use super::{Server, WAIT};
use openmsrp::client::call::Transport;
use openmsrp::client::chat::{Account, Client, Event, Events, Join, Room};
use openmsrp::control::config::Raw;
use openmsrp::wire::digest::{Algorithm, secret};
use std::path::PathBuf;
use tokio::time::timeout;

const ROOM: &str = "sip:lobby@localhost";

/// A file with three users, whose passwords are their names backwards.
fn users() -> PathBuf {
    let file = std::env::temp_dir().join(format!("openmsrp-library-users-{}", std::process::id()));
    let line = |name: &str| {
        let password: String = name.chars().rev().collect();
        format!("{name}@localhost SHA-256:{}\n", secret(Algorithm::Sha256, name, "localhost", &password))
    };
    std::fs::write(&file, ["alice", "bob", "carol"].map(line).concat()).unwrap();
    file
}

async fn enter(server: &Server, transport: Transport, name: &str, anonymous: bool) -> (Room, Events) {
    let password: String = name.chars().rev().collect();
    let client = Client::new(server.sip, transport).await.unwrap();
    let client = client.with_account(Account::new(name, &password).unwrap());
    let client = if anonymous { client.anonymous() } else { client };
    let from = format!("sip:{name}@localhost");
    let join = Join { room: ROOM, from: &from, display_name: name };
    timeout(WAIT, client.join(&join)).await.expect("in time").expect("joins")
}

/// The next event that `wanted` has an answer to.
async fn until<T>(events: &mut Events, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("still in the room");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(WAIT, found).await.expect("in time")
}

#[tokio::test]
async fn three_people_use_all_that_a_room_can_do() {
    let users = users();
    let raw = Raw {
        users: Some(users.clone()),
        delivery_counts: Some(true),
        moderator: vec!["sip:alice@localhost".parse().unwrap()],
        ..Raw::default()
    };
    everywhere(raw, async |server, transport| {
        let (alice, mut to_alice) = enter(server, transport, "alice", false).await;
        let (bob, mut to_bob) = enter(server, transport, "bob", false).await;
        let (carol, mut to_carol) = enter(server, transport, "carol", true).await;
        let hidden = carol.address().to_owned();
        assert!(hidden.ends_with("@anonymous.invalid"), "{hidden}");

        // A name is one's own.
        assert!(alice.has_nicknames() && alice.has_private_messages() && alice.has_delivery_counts());
        let asked = alice.nickname(Some("Rabbit")).await.unwrap();
        until(&mut to_alice, |e| (*e == Event::Accepted { message: asked }).then_some(())).await;
        let asked = bob.nickname(Some("rabbit")).await.unwrap();
        let code = until(&mut to_bob, |e| match e {
            Event::Refused { message, code, .. } if *message == asked => Some(*code),
            _ => None,
        });
        assert_eq!(code.await, 425);

        // Who is anonymous speaks, is counted, and is known by no other name.
        carol.count_deliveries(true).unwrap();
        let said = carol.say("nobody knows me").await.unwrap();
        for events in [&mut to_alice, &mut to_bob] {
            let message =
                until(events, |e| if let Event::Message(m) = e { Some(m.clone()) } else { None }).await;
            assert_eq!(
                (message.from.as_str(), message.text().as_deref()),
                (hidden.as_str(), Some("nobody knows me"))
            );
        }
        let count = until(&mut to_carol, |e| match e {
            Event::Received { message, count } if *message == said => Some(*count),
            _ => None,
        });
        assert_eq!(count.await, Some((2, 2)));

        // Privately, to one who is there and one who is not.
        let there = bob.say_to(&hidden, "psst").await.unwrap();
        let gone = bob.say_to("sip:dave@localhost", "psst").await.unwrap();
        let private =
            until(&mut to_carol, |e| if let Event::Message(m) = e { Some(m.clone()) } else { None }).await;
        assert_eq!((private.from.as_str(), private.to_me), ("sip:bob@localhost", true));
        until(&mut to_bob, |e| (*e == Event::Accepted { message: there }).then_some(())).await;
        let code = until(&mut to_bob, |e| match e {
            Event::Refused { message, code, .. } if *message == gone => Some(*code),
            _ => None,
        });
        assert_eq!(code.await, 404);

        // Writing is told.
        alice.typing(true);
        let writer = until(&mut to_bob, |e| match e {
            Event::Typing { who, writing: true } => Some(who.address.clone()),
            _ => None,
        });
        assert_eq!(writer.await, "sip:alice@localhost");

        // Who has hidden comes out.
        let asked = carol.reveal().await.unwrap();
        let address = until(&mut to_carol, |e| match e {
            Event::Revealed { request, address, warning: None } if *request == asked => Some(address.clone()),
            _ => None,
        });
        assert_eq!(address.await, "sip:carol@localhost");
        carol.say("it is me").await.unwrap();
        let message =
            until(&mut to_bob, |e| if let Event::Message(m) = e { Some(m.clone()) } else { None }).await;
        assert_eq!(message.from, "sip:carol@localhost");

        // Only a moderator takes somebody out.
        let asked = bob.take_out("sip:carol@localhost").await.unwrap();
        until(&mut to_bob, |e| matches!(e, Event::Failed { request, .. } if *request == asked).then_some(()))
            .await;
        alice.take_out("sip:carol@localhost").await.unwrap();
        until(&mut to_carol, |e| matches!(e, Event::Closed { .. }).then_some(())).await;
        alice.leave().await;
        bob.leave().await;
    })
    .await;
    std::fs::remove_file(users).unwrap();
}

#[tokio::test]
async fn a_room_that_a_factory_made_is_a_room_like_others_at_the_address_it_tells() {
    // FOCUS-07
    everywhere(Raw::default(), async |server, transport| {
        let client = Client::new(server.sip, transport).await.unwrap();
        let factory =
            Join { room: "sip:conference@localhost", from: "sip:alice@localhost", display_name: "Alice" };
        let (alice, mut to_alice) = timeout(WAIT, client.make_room(&factory)).await.unwrap().unwrap();
        assert!(
            alice.room().ends_with("@localhost") && !alice.room().contains("conference"),
            "{}",
            alice.room()
        );
        let room = alice.room().to_owned();
        let guest = Join { room: &room, from: "sip:bob@localhost", display_name: "Bob" };
        let (bob, _to_bob) = timeout(WAIT, client.join(&guest)).await.unwrap().unwrap();
        timeout(WAIT, bob.say("hello")).await.unwrap().unwrap();
        let heard = until(&mut to_alice, |event| match event {
            Event::Message(message) if message.name == "Bob" => {
                Some((message.text()?.to_string(), message.to_me))
            }
            _ => None,
        });
        assert_eq!(heard.await, ("hello".to_owned(), false));
    })
    .await;
}
