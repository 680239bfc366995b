//! A small bot that keeps order: who says one of the words is warned, then muted for a minute, then taken out.
//!
//! ```sh
//! cargo run --example moderator -- 127.0.0.1:5060 sip:lobby@localhost buy cheap
//! ```
//!
//! It comes as `sip:warden@DOMAIN`, which must be a moderator of the room (`moderators` in its configuration). A password, if
//! the server wants one, stands in the environment variable `OPENMSRP_PASSWORD`.

use openmsrp::client::call::Transport;
use openmsrp::client::chat::{Account, Client, Event, Events, Join, Message, Room, Unasked};
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

/// How long somebody says nothing.
const MUTED: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(room)) = (args.next(), args.next()) else {
        return Err("usage: moderator IP:PORT sip:ROOM@DOMAIN WORD ...".into());
    };
    let words: Vec<String> = args.map(|word| word.to_lowercase()).collect();
    let domain = room.split_once('@').map_or("localhost", |(_, domain)| domain);
    let from = format!("sip:warden@{domain}");
    let mut client = Client::new(server.parse()?, Transport::Tcp).await?;
    if let Ok(password) = std::env::var("OPENMSRP_PASSWORD") {
        client = client.with_account(Account::new("warden", &password)?);
    }
    let join = Join { room: &room, from: &from, display_name: "Warden" };
    let (room, events) = client.join(&join).await?;
    println!("keeping order as {}", room.address());
    keep_order(room, events, &words).await
}

async fn keep_order(room: Room, mut events: Events, words: &[String]) -> Result<(), Box<dyn Error>> {
    // How often who has said one of the words; nothing of those who have left.
    let mut said: HashMap<String, u32> = HashMap::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            Some(Event::Message(message)) if !message.of_room && says_one_of(&message, words) => {
                let times = said.entry(message.from.clone()).or_default();
                *times += 1;
                println!("{:?} said it for the {times}. time", message.name);
                answer(&room, &message.from, *times).await?;
            }
            Some(Event::Left(who)) => drop(said.remove(&who.address)),
            Some(Event::Refused { message, code, comment }) => {
                println!("number {message} was refused: {code} {comment:?}");
            }
            Some(Event::Closed { why }) => return Err(why.into()),
            Some(_) => {}
            None => break,
        }
    }
    room.leave().await;
    Ok(())
}

async fn answer(room: &Room, address: &str, times: u32) -> Result<u64, Unasked> {
    match times {
        1 => room.say_to(address, "We do not say that here.").await,
        2 => room.mute(address, Some(MUTED), Some("it was said again")).await,
        _ => room.kick(address, Some("it was said once more")).await,
    }
}

fn says_one_of(message: &Message, words: &[String]) -> bool {
    let text = message.text().unwrap_or_default().to_lowercase();
    let mut said = text.split(|c: char| !c.is_alphanumeric());
    said.any(|word| words.iter().any(|w| w == word))
}
