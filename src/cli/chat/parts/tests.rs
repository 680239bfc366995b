//! What lines about sidebars do, and what is shown of what happens there.

use super::*;
use crate::client::call::{CallError, Step};
use crate::client::chat::{Message, Script};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// A door that lets nobody in.
pub(in crate::cli::chat) fn nowhere() -> Door {
    Box::new(|_| Box::pin(async { Err(JoinError::Session("there is none".to_string())) }))
}

/// What the door is asked for, and what it gives.
#[derive(Default)]
struct Doorway {
    asked: Vec<String>,
    gives: VecDeque<Result<(Room, Events), JoinError>>,
}

type Shared = Arc<Mutex<Doorway>>;

/// Parts of one in a room with Bob and Carol.
fn parts() -> (Parts, Shared) {
    let doorway = Shared::default();
    let shared = doorway.clone();
    let door: Door = Box::new(move |entry| {
        let to = match entry.to {
            To::Known(address) => address,
            To::New(whom) => format!("new {}", whom.join(" ")),
        };
        let mut doorway = shared.lock().unwrap();
        doorway.asked.push(format!("{to} as {}{}", entry.name, if entry.hidden { ", hidden" } else { "" }));
        let given = doorway.gives.pop_front().unwrap();
        Box::pin(async { given })
    });
    let mut parts = Parts::new(Talk::new("Me"), door);
    let person = |n: &str, name: &str| Person {
        address: format!("sip:{n}@x"),
        name: name.to_string(),
        ..Person::default()
    };
    parts.happened(Event::Here(vec![person("b", "Bob"), person("c", "Carol")]));
    (parts, doorway)
}

fn gives(doorway: &Shared, address: &str) -> Script {
    let (room, events, script) = Script::room_at(address, true);
    doorway.lock().unwrap().gives.push_back(Ok((room, events)));
    script
}

fn refuses(doorway: &Shared, code: u16, warning: &str) {
    let warning = (!warning.is_empty()).then(|| warning.to_string());
    let error = CallError::Refused { code, phrase: "No".to_string(), warning, rule: None };
    doorway.lock().unwrap().gives.push_back(Err(JoinError::Call(error)));
}

/// What is shown, as at a terminal.
fn texts(all: impl IntoIterator<Item = Shown>) -> Vec<String> {
    let text = |shown| match shown {
        Shown::Message(message) => format!("{}: {}", message.name, message.text().unwrap()),
        Shown::Own(text) | Shown::Status(text) => text,
        Shown::Trouble(text) | Shown::Undelivered(text) => format!("! {text}"),
        Shown::Aside(..) => "a sidebar of a sidebar".to_string(),
    };
    let any = |shown| match shown {
        Shown::Aside(number, shown) => format!("[{number}] {}", text(*shown)),
        shown => text(shown),
    };
    all.into_iter().map(any).collect()
}

async fn typed(parts: &mut Parts, room: &Room, line: &str) -> Vec<String> {
    texts(parts.ask(room, Wish::read(line)).await)
}

fn asked(sidebar: &str) -> Event {
    let text = "Bob asks you to a sidebar of this room.".to_string();
    Event::AskedToSidebar { sidebar: sidebar.to_string(), text }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

#[test]
fn a_sidebar_is_opened_spoken_in_and_left_and_other_lines_are_for_the_room() {
    run(async {
        let (mut parts, doorway) = parts();
        let (room, _events, mut heard) = Script::room(true);
        let mut aside = gives(&doorway, "sip:s@x");
        assert_eq!(typed(&mut parts, &room, "/sidebar bob").await, [""; 0]);
        assert!(parts.must_wait("/in 1 psst") && !parts.must_wait("hello"));
        assert_eq!(parts.unanswered(), 1);
        let open = "[1] the sidebar is open, asked: Bob; /in 1 TEXT speaks there, /leave 1 leaves";
        assert_eq!(texts(parts.next().await), [open]);
        assert!(!parts.must_wait("/in 1 psst"));
        assert_eq!(doorway.lock().unwrap().asked, ["new sip:b@x as Me"]);

        assert_eq!(typed(&mut parts, &room, "/in 1 psst").await, ["[1] Me: psst"]);
        assert_eq!(aside.heard().await, Some((1, "psst".to_string())));
        assert_eq!(typed(&mut parts, &room, "hello").await, ["Me: hello"]);
        assert_eq!(heard.heard().await, Some((1, "hello".to_string())));
        let message = Message {
            name: "Bob".to_string(),
            content_type: "text/plain".to_string(),
            content: Bytes::from_static(b"yes?"),
            ..Message::default()
        };
        aside.events.send(Event::Accepted { message: 1 }).await.unwrap();
        aside.events.send(Event::Message(message)).await.unwrap();
        assert_eq!(texts(parts.next().await), [""; 0]);
        assert_eq!(texts(parts.next().await), ["[1] Bob: yes?"]);
        assert_eq!(parts.unanswered(), 1);

        assert_eq!(typed(&mut parts, &room, "/ask 1 carol").await, [""; 0]);
        assert_eq!(aside.heard().await, Some((2, "bring in sip:c@x".to_string())));
        let step = Step { code: 200, phrase: "OK".to_string(), last: true };
        aside.events.send(Event::Step { request: 2, step }).await.unwrap();
        assert_eq!(texts(parts.next().await), ["[1] Carol is asked"]);

        assert_eq!(typed(&mut parts, &room, "/leave 1").await, ["[1] you left it"]);
        assert_eq!(aside.heard().await, None);
        let outside = "! you are not in a sidebar 1; /sidebars tells which there are";
        for line in ["/in 1 psst", "/leave 1", "/ask 1 bob"] {
            assert_eq!(typed(&mut parts, &room, line).await, [outside], "{line}");
        }
    });
}

#[test]
fn who_is_asked_enters_by_number_and_no_number_is_given_twice() {
    run(async {
        let (mut parts, doorway) = parts();
        let (room, _events, _heard) = Script::room(true);
        let line = "[1] Bob asks you to a sidebar of this room; /join 1 enters it";
        assert_eq!(texts(parts.happened(asked("sip:s@x"))), [line]);
        assert_eq!(texts(parts.happened(asked("sip:s@x"))), [line]);
        parts.happened(Event::Sidebars(vec!["sip:s@x".to_string(), "sip:t@x".to_string()]));
        let aside = gives(&doorway, "sip:s@x");
        assert_eq!(typed(&mut parts, &room, "/join 1").await, [""; 0]);
        assert_eq!(typed(&mut parts, &room, "/join 1").await, ["[1] you are in it already"]);
        let inside = "[1] you are in it; /in 1 TEXT speaks there, /leave 1 leaves";
        assert_eq!(texts(parts.next().await), [inside]);
        assert_eq!(doorway.lock().unwrap().asked, ["sip:s@x as Me"]);
        let all = "2 sidebars:\n    [1] nobody is here\n    [2] of others; /join 2 enters it if they ask you";
        assert_eq!(typed(&mut parts, &room, "/sidebars").await, [all]);

        let closed = Event::Closed { why: "You were taken out".to_string() };
        aside.events.send(closed).await.unwrap();
        assert_eq!(texts(parts.next().await), ["[1] ! you are out of it: You were taken out"]);
        parts.happened(Event::Sidebars(Vec::new()));
        let none = "there are no sidebars; /sidebar NAME opens one";
        assert_eq!(typed(&mut parts, &room, "/sidebars").await, [none]);
        let unknown = "! there is no sidebar 1; /sidebars tells which there are";
        assert_eq!(typed(&mut parts, &room, "/join 1").await, [unknown]);
        let third = "[3] Bob asks you to a sidebar of this room; /join 3 enters it";
        assert_eq!(texts(parts.happened(asked("sip:u@x"))), [third]);
    });
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_server() {
    run(async {
        let (mut parts, doorway) = parts();
        let (room, _events, _heard) = Script::room(true);
        refuses(&doorway, 403, "sip:z@x is not in the room");
        typed(&mut parts, &room, "/sidebar z@x").await;
        let refused = "! no sidebar was opened: sip:z@x is not in the room (403)";
        assert_eq!(texts(parts.next().await), [refused]);
        refuses(&doorway, 404, "");
        typed(&mut parts, &room, "/sidebar bob,carol").await;
        let refused = "! no sidebar was opened: the server knows no such sidebar, or opens none (404 No)";
        assert_eq!(texts(parts.next().await), [refused]);
        parts.happened(asked("sip:s@x"));
        refuses(&doorway, 403, "You are banned");
        typed(&mut parts, &room, "/join 1").await;
        assert_eq!(texts(parts.next().await), ["[1] ! you are not let in: You are banned (403)"]);
        // Nobody is asked if one of them is not known.
        let nobody = "! no sidebar is opened: nobody here is called zoe; /who tells who is here";
        assert_eq!(typed(&mut parts, &room, "/sidebar bob,zoe").await, [nobody]);
        assert_eq!(parts.unanswered(), 0);
    });
}

#[test]
fn sidebars_are_bounded_and_left_with_the_room() {
    run(async {
        let (mut parts, doorway) = parts();
        let (room, _events, mut heard) = Script::room(true);
        let mut inside = Vec::new();
        for n in 0..SIDEBARS_MAX {
            inside.push(gives(&doorway, &format!("sip:s{n}@x")));
            typed(&mut parts, &room, "/sidebar bob").await;
        }
        let many = "! no sidebar is opened: you are in 4 already; leave one first: /leave 1";
        assert_eq!(typed(&mut parts, &room, "/sidebar bob").await, [many]);
        for _ in 0..SIDEBARS_MAX {
            parts.next().await;
        }
        assert_eq!(typed(&mut parts, &room, "/sidebar bob").await, [many]);
        for n in 0..2 * KNOWN_MAX {
            parts.happened(asked(&format!("sip:t{n}@x")));
        }
        assert_eq!(parts.sidebars.len(), SIDEBARS_MAX + KNOWN_MAX);
        let many = "! sidebar 60 is not entered: you are in 4 already; leave one first: /leave 1";
        assert_eq!(typed(&mut parts, &room, "/join 60").await, [many]);
        let all = async {
            assert_eq!(heard.heard().await, None);
            for script in &mut inside {
                assert_eq!(script.heard().await, None);
            }
        };
        tokio::join!(parts.leave(room), all);
    });
}
