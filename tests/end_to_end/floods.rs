//! Too much in too short a time, over real sockets: who floods is told when to come again, and everybody else is served.

use super::standard::everywhere;
use super::{WAIT, hear};
use openmsrp::client::call::{CallError, Transport};
use openmsrp::client::chat::{Client, Event, Join, JoinError};
use openmsrp::control::config::Raw;
use std::collections::HashSet;
use tokio::time::timeout;

fn limited(table: &str) -> Raw {
    Raw { flood: toml::from_str(table).unwrap(), ..Raw::default() }
}

#[tokio::test]
async fn a_flood_of_messages_is_refused_with_the_reason_and_others_are_heard() {
    // SEC-07
    everywhere(limited("messages = \"1/min burst 20\""), async |server, transport| {
        let (mallory, mut to_mallory) = server.join(transport, "lobby", "mallory").await;
        let (alice, _events) = server.join(transport, "lobby", "alice").await;
        let (_bob, mut to_bob) = server.join(transport, "lobby", "bob").await;
        let mut refused = HashSet::new();
        for n in 0..60 {
            refused.insert(mallory.say(&format!("flood {n}")).await.unwrap());
        }
        alice.say("sense").await.unwrap();
        let heard = hear(&mut to_bob, 21).await;
        assert_eq!(heard.iter().filter(|t| t.starts_with("flood")).count(), 20);
        assert_eq!(heard.iter().filter(|t| *t == "sense").count(), 1);
        let mut answered = (0, 0);
        while !refused.is_empty() {
            match timeout(WAIT, to_mallory.next()).await.unwrap().unwrap() {
                Event::Accepted { message } if refused.remove(&message) => answered.0 += 1,
                Event::Refused { message, code, comment: text } if refused.remove(&message) => {
                    answered.1 += 1;
                    assert_eq!(code, 403);
                    assert!(text.starts_with("You send too many messages, wait "), "{text}");
                }
                _ => {}
            }
        }
        assert_eq!(answered, (20, 40));
    })
    .await;
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_again() {
    // SEC-07 FOCUS-03
    everywhere(limited("joins = \"1/h burst 3\""), async |server, transport| {
        let client = Client::new(server.sip, transport).await.unwrap();
        let join = Join { room: "sip:lobby@localhost", from: "sip:mallory@localhost", display_name: "" };
        for _ in 0..3 {
            let (room, _events) = timeout(WAIT, client.join(&join)).await.unwrap().unwrap();
            room.leave().await;
        }
        let Err(JoinError::Call(CallError::Refused { code, warning, .. })) =
            timeout(WAIT, client.join(&join)).await.unwrap()
        else {
            panic!("not refused")
        };
        let warning = warning.unwrap();
        assert!(code == 480 && warning.starts_with("You call too often, wait 3"), "{code} {warning}");
        let (_alice, _events) = server.join_by(&client, "lobby", "alice").await;
    })
    .await;
}

#[tokio::test]
async fn without_limits_hundreds_of_messages_in_a_row_pass() {
    // What a load test does must not be taken for a flood.
    everywhere(Raw::default(), async |server, _| {
        let (alice, _to_alice) = server.join(Transport::Tcp, "lobby", "alice").await;
        let (_bob, mut to_bob) = server.join(Transport::Tcp, "lobby", "bob").await;
        for _ in 0..5 {
            for n in 0..100 {
                alice.say(&n.to_string()).await.unwrap();
            }
            assert_eq!(hear(&mut to_bob, 100).await.last().unwrap(), "99");
        }
    })
    .await;
}
