//! The list of public rooms, as our client and a phone see it.

use super::phone::Phone;
use super::standard::everywhere;
use super::{Server, WAIT};
use openmsrp::client::chat::{Event, Events, Room};
use openmsrp::control::config::Raw;
use tokio::time::timeout;

/// The rooms and their participants as the list tells them; or why it does not.
async fn listed(room: &Room, events: &mut Events, at: Option<&str>) -> Result<Vec<(String, u32)>, String> {
    let asked = room.list_rooms(at).await.unwrap();
    loop {
        match timeout(WAIT, events.next()).await.unwrap().unwrap() {
            Event::Rooms { request, rooms, .. } if request == asked => {
                return Ok(rooms.into_iter().map(|r| (r.entity, r.user_count.unwrap())).collect());
            }
            Event::Failed { request, error } if request == asked => return Err(error.to_string()),
            _ => {}
        }
    }
}

fn public() -> Raw {
    Raw { public: Some(true), ..Raw::default() }
}

#[tokio::test]
async fn people_are_told_which_rooms_there_are_and_how_many_are_in_them() {
    // CONF-02
    everywhere(public(), async |server: &Server, transport| {
        let (alice, mut events) = server.join(transport, "lobby", "alice").await;
        let _bob = server.join(transport, "lobby", "bob").await;
        let _carol = server.join(transport, "kitchen", "carol").await;
        let told = listed(&alice, &mut events, None).await.unwrap();
        let expected = [("sip:lobby@localhost".to_owned(), 2), ("sip:kitchen@localhost".to_owned(), 1)];
        assert_eq!(told, expected);
        let no = listed(&alice, &mut events, Some("sip:rooms@elsewhere.example")).await.unwrap_err();
        assert!(no.contains("404"), "{no}");

        // A phone watches the list itself.
        let mut phone = Phone::new(server.sip, transport, "dave").await;
        let mut dialog = phone.dialog("sip:rooms@localhost");
        let ok = phone.ask(&mut dialog, "SUBSCRIBE", "Event: conference\r\nExpires: 600\r\n", "").await;
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        let first = phone.notice("<entry entity=\"sip:kitchen@localhost\"").await;
        assert!(first.contains("<user-count>2</user-count>"), "{first}");
        let _erin = server.join(transport, "attic", "erin").await;
        phone.notice("<entry entity=\"sip:attic@localhost\"").await;
    })
    .await;
}

#[tokio::test]
async fn rooms_are_not_listed_unless_they_are_public() {
    // SEC-11
    everywhere(Raw::default(), async |server: &Server, transport| {
        let (alice, mut events) = server.join(transport, "lobby", "alice").await;
        assert_eq!(listed(&alice, &mut events, None).await, Ok(Vec::new()));
    })
    .await;
}
