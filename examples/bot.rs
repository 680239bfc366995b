//! A small bot: joins a room, greets everybody who comes by name, and answers private messages.
//!
//! ```sh
//! cargo run --example bot -- 127.0.0.1:5060 sip:lobby@localhost
//! ```
//!
//! A password, if the server wants one, stands in the environment variable `OPENMSRP_PASSWORD`.

use openmsrp::client::call::Transport;
use openmsrp::client::chat::{Account, Client, Event, Events, Join, Room};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(room)) = (args.next(), args.next()) else {
        return Err("usage: bot IP:PORT sip:ROOM@DOMAIN".into());
    };
    let domain = room.split_once('@').map_or("localhost", |(_, domain)| domain);
    let from = format!("sip:bot@{domain}");
    let mut client = Client::new(server.parse()?, Transport::Tcp).await?;
    if let Ok(password) = std::env::var("OPENMSRP_PASSWORD") {
        client = client.with_account(Account::new("bot", &password)?);
    }
    let join = Join { room: &room, from: &from, display_name: "Bot" };
    let (room, events) = client.join(&join).await?;
    println!("in the room as {}", room.address());
    serve(room, events).await
}

async fn serve(room: Room, mut events: Events) -> Result<(), Box<dyn Error>> {
    if room.has_nicknames() {
        room.nickname(Some("Robbie")).await?;
    }
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            // Names are whatever people like: `{:?}` keeps them from commanding a terminal.
            Some(Event::Joined(who)) if who.address != room.address() => {
                println!("{:?} came", who.name);
                room.say(&format!("Hello, {}!", who.name)).await?;
            }
            Some(Event::Message(message)) if message.to_me => {
                let text = message.text().unwrap_or_default();
                println!("{:?} says {text:?}", message.name);
                let answer = format!("You said {} characters to me.", text.chars().count());
                room.say_to(&message.from, &answer).await?;
            }
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
