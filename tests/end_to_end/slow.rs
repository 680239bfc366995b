//! Somebody who does not read, over real sockets: told how much was left out, or cut with the reason.

use super::phone::{ABLE, Phone, header};
use super::standard::everywhere;
use super::{Server, WAIT};
use openmsrp::client::call::Transport;
use openmsrp::client::chat::Event;
use openmsrp::control::config::Raw;
use std::collections::HashSet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Of a size that passes in one part, more than the system keeps for a connection and a queue on top of it.
const MESSAGES: usize = 1000;

/// A talker says so much, each when the one before was taken; the phone of somebody who does not read.
async fn talk(server: &Server, transport: Transport) -> (Phone, TcpStream) {
    let mut phone = Phone::new(server.sip, transport, "slow").await;
    let seat = phone.join(server.msrp, "lobby", "", ABLE).await;
    let (talker, mut events) = server.join(Transport::Tcp, "lobby", "talker").await;
    let text = "x".repeat(20_000);
    for _ in 0..MESSAGES {
        let mut open = HashSet::from([talker.say(&text).await.unwrap()]);
        while !open.is_empty() {
            match timeout(WAIT, events.next()).await.unwrap().unwrap() {
                Event::Accepted { message } => drop(open.remove(&message)),
                Event::Refused { .. } | Event::Closed { .. } => panic!("nobody holds up who talks"),
                _ => {}
            }
        }
    }
    talker.leave().await;
    (phone, seat.into_stream())
}

#[tokio::test]
async fn who_does_not_read_is_told_once_how_many_messages_were_left_out() {
    // CHAT-CONG-01
    everywhere(Raw::default(), async |server, transport| {
        let (_phone, mut stream) = talk(server, transport).await;
        let (mut wire, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
        let notice = loop {
            let n = timeout(WAIT, stream.read(&mut buffer)).await.expect("something comes").unwrap();
            assert!(n > 0, "closed");
            wire.extend_from_slice(&buffer[..n]);
            let end = String::from_utf8_lossy(&wire[wire.len().saturating_sub(1000)..]).into_owned();
            if let Some(at) = end.find(" left out because your connection was too slow.") {
                break end[..at].rsplit("\r\n").next().unwrap().to_owned();
            }
        };
        let wire = String::from_utf8(wire).unwrap();
        let whole = wire.matches(&"x".repeat(20_000)).count();
        assert_eq!(notice, format!("{} messages were", MESSAGES - whole), "{whole} came");
        assert_eq!(wire.matches("left out").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_where_nobody_is_to_miss_anything() {
    // CHAT-CONG-01 FOCUS-05
    let raw = Raw { slow_participants: Some("cut".into()), ..Raw::default() };
    everywhere(raw, async |server, transport| {
        let (mut phone, _stream) = talk(server, transport).await;
        let bye = phone.until(|m| m.starts_with("BYE ")).await;
        assert_eq!(
            header(&bye, "Reason"),
            "SIP;cause=480;text=\"Your connection is too slow for this room\""
        );
    })
    .await;
}
