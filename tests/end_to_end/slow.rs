//! Somebody who does not read, over real sockets: told how much was left out, or cut with the reason.

use super::phone::{ABLE, Phone, header};
use super::standard::everywhere;
use super::{Server, WAIT};
use openmsrp::base::chunk::Flag;
use openmsrp::client::call::Transport;
use openmsrp::client::chat::Event;
use openmsrp::control::config::Raw;
use openmsrp::wire::msrp::frame::{Framer, Step};
use std::collections::HashSet;
use std::time::Duration;
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
    let raw = Raw { slow_participants: Some("cut".parse().unwrap()), ..Raw::default() };
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

/// The numbers of the whole messages at the front of `wire`, which are taken off.
fn numbers(framer: &mut Framer, wire: &mut Vec<u8>, text: &mut Vec<u8>) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let (end, used) = match framer.step(wire, 0).expect("what comes is MSRP") {
            Step::Partial => return numbers,
            Step::Skip { used } => (None, used),
            Step::Head { body, end, used, .. } => {
                text.extend_from_slice(body.unwrap_or_default());
                (end, used)
            }
            Step::More { body, end, used } => {
                text.extend_from_slice(body);
                (end, used)
            }
        };
        wire.drain(..used);
        if end == Some(Flag::End) {
            let text = String::from_utf8(std::mem::take(text)).unwrap();
            numbers.extend(text.rsplit("\r\n").next().unwrap().split(' ').next().unwrap().parse::<usize>());
        }
    }
}

#[tokio::test]
async fn who_reads_slowly_gets_whole_messages_each_once_and_in_order() {
    // CHAT-MSG-14 CHAT-CONG-01
    everywhere(Raw::default(), async |server, transport| {
        let mut phone = Phone::new(server.sip, transport, "slow").await;
        let mut stream = phone.join(server.msrp, "lobby", "", ABLE).await.into_stream();
        let (talker, mut events) = server.join(Transport::Tcp, "lobby", "talker").await;
        let filling = "x".repeat(20_000);
        let talk = async {
            for n in 0..MESSAGES {
                talker.say(&format!("{n} {filling}")).await.unwrap();
                while !matches!(timeout(WAIT, events.next()).await.unwrap(), Some(Event::Accepted { .. })) {}
            }
        };
        let read = async {
            let (mut wire, mut text, mut framer) = (Vec::new(), Vec::new(), Framer::default());
            let (mut last, mut buffer) = (None, vec![0; 8 * 1024]);
            // Some are left out, the last ones perhaps among them: until nothing comes for a while.
            while let Ok(n) = timeout(Duration::from_secs(3), stream.read(&mut buffer)).await {
                wire.extend_from_slice(&buffer[..n.unwrap()]);
                for n in numbers(&mut framer, &mut wire, &mut text) {
                    assert!(last < Some(n), "{n} comes behind {last:?}");
                    last = Some(n);
                }
            }
            assert!(last.is_some() && wire.is_empty(), "{last:?}, and {} octets", wire.len());
        };
        tokio::join!(talk, read);
    })
    .await;
}
