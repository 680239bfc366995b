//! Moderators keep order by the client library, with the real server: what each command does, whom it concerns, and what
//! those hear who may not.

use super::super::standard::everywhere;
use super::super::{Server, WAIT};
use openmsrp::base::rights::Role;
use openmsrp::client::call::{CallError, Transport};
use openmsrp::client::chat::{Client, Event, Events, Join, JoinError, Room, Unasked};
use openmsrp::control::config::Raw;
use std::time::Duration;
use tokio::time::timeout;

const LOBBY: &str = "sip:lobby@localhost";

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// A room that belongs to Alice.
fn rooms() -> Raw {
    toml::from_str("[rooms.lobby]\nowners = ['sip:alice@localhost']").unwrap()
}

fn address(name: &str) -> String {
    format!("sip:{name}@localhost")
}

/// What somebody is told, in order, and kept until it is asked for.
struct Ear {
    events: Events,
    kept: Vec<Event>,
}

impl Ear {
    /// The first event not asked for before that `wanted` has an answer to.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let mut at = 0;
        loop {
            while at == self.kept.len() {
                let event = timeout(WAIT, self.events.next()).await;
                let event = event.unwrap_or_else(|_| panic!("in time, after {:?}", self.kept));
                self.kept.push(event.expect("still in the room"));
            }
            if let Some(found) = wanted(&self.kept[at]) {
                self.kept.remove(at);
                return found;
            }
            at += 1;
        }
    }

    /// Whether a command was done, or with which code and words it was refused.
    async fn outcome(&mut self, asked: Result<u64, Unasked>) -> Result<(), (u16, String)> {
        let asked = asked.expect("asked for");
        self.until(|e| match e {
            Event::Accepted { message } if *message == asked => Some(Ok(())),
            Event::Refused { message, code, comment } if *message == asked => {
                Some(Err((*code, comment.clone())))
            }
            _ => None,
        })
        .await
    }

    /// A command is done.
    async fn done(&mut self, asked: Result<u64, Unasked>) {
        assert_eq!(self.outcome(asked).await, Ok(()));
    }

    /// The next text of the room itself, or of others.
    async fn text(&mut self, of_room: bool) -> String {
        self.until(|e| match e {
            Event::Message(m) if m.of_room == of_room => Some(m.text().expect("text").into_owned()),
            _ => None,
        })
        .await
    }

    /// Why somebody is out.
    async fn out(&mut self) -> String {
        self.until(|e| if let Event::Closed { why } = e { Some(why.clone()) } else { None }).await
    }

    async fn told(&mut self, wanted: impl Fn(&Event) -> bool) {
        self.until(|e| wanted(e).then_some(())).await;
    }

    /// The roster lists somebody.
    async fn sees(&mut self, name: &str) {
        self.told(|e| match e {
            Event::Here(all) => all.iter().any(|who| who.name == name),
            Event::Joined(who) => who.name == name,
            _ => false,
        })
        .await;
    }

    async fn says(&mut self, room: &Room, text: &str) -> Result<(), (u16, String)> {
        let said = room.say(text).await.map_err(Unasked::from);
        self.outcome(said).await
    }
}

async fn enters(server: &Server, transport: Transport, name: &str) -> (Room, Ear) {
    let (room, events) = server.join(transport, "lobby", name).await;
    (room, Ear { events, kept: Vec::new() })
}

/// Why somebody does not get in, as a token; `None`: they do.
async fn knocks(server: &Server, transport: Transport, name: &str, password: &str) -> Option<String> {
    let client = Client::new(server.sip, transport).await.unwrap().with_room_password(password);
    let from = address(name);
    let join = Join { room: LOBBY, from: &from, display_name: name };
    match timeout(WAIT, client.join(&join)).await.expect("in time") {
        Ok((room, _events)) => {
            room.leave().await;
            None
        }
        Err(JoinError::Call(CallError::Refused { rule: Some(rule), .. })) => Some(rule),
        Err(JoinError::Call(CallError::Refused { code: 486, .. })) => Some("full".to_owned()),
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn only_moderators_keep_order_and_everybody_else_hears_why_not() {
    everywhere(rooms(), async |server, transport| {
        let (_alice, _to_alice) = enters(server, transport, "alice").await;
        let (bob, mut to_bob) = enters(server, transport, "bob").await;
        let (_carol, mut to_carol) = enters(server, transport, "carol").await;
        assert!(bob.has_commands());
        let carol = &address("carol");
        let asked = [
            bob.kick(carol, Some("I do not like her")).await,
            bob.ban("@localhost", MINUTE, None).await,
            bob.unban(carol).await,
            bob.mute(carol, MINUTE, None).await,
            bob.unmute(carol).await,
            bob.grant(carol, Role::Moderator).await,
            bob.grant(&address("bob"), Role::Owner).await,
            bob.lock(true).await,
            bob.moderate(true).await,
            bob.members_only(true).await,
            bob.set_password("1234").await,
            bob.set_occupants(2).await,
            bob.slow_mode(Duration::from_secs(60)).await,
            bob.inspect().await,
        ];
        for asked in asked {
            let (code, comment) = to_bob.outcome(asked).await.expect_err("refused");
            assert!(
                code == 403 && comment.contains("may do that") || comment.contains("may give"),
                "{comment}"
            );
        }
        // Nothing of it has happened, and nobody was told of it.
        assert_eq!(knocks(server, transport, "dave", "").await, None);
        to_bob.says(&bob, "hello").await.unwrap();
        assert_eq!(to_carol.text(false).await, "hello");
    })
    .await;
}

#[tokio::test]
async fn who_is_taken_out_or_kept_out_is_told_why_and_for_how_long() {
    everywhere(rooms(), async |server, transport| {
        let (alice, mut to_alice) = enters(server, transport, "alice").await;
        let (_bob, mut to_bob) = enters(server, transport, "bob").await;
        let bob = &address("bob");
        to_alice.done(alice.kick(bob, Some("too loud")).await).await;
        let why = to_bob.out().await;
        assert!(why.contains("moderator") && why.ends_with("too loud"), "{why}");
        // Who was taken out may come again, and who is kept out may not.
        let (_bob, mut to_bob) = enters(server, transport, "bob").await;
        to_alice.done(alice.ban(bob, MINUTE, Some("spam")).await).await;
        let why = to_bob.out().await;
        assert!(why.contains("Banned") && why.ends_with("spam"), "{why}");
        assert_eq!(knocks(server, transport, "bob", "").await.as_deref(), Some("banned"));
        to_alice.done(alice.unban(bob).await).await;
        assert_eq!(knocks(server, transport, "bob", "").await, None);
        let (code, comment) = to_alice.outcome(alice.unban(bob).await).await.unwrap_err();
        assert_eq!(code, 404, "{comment}");
        // Of a domain or network all go but moderators, and none comes.
        let (_carol, mut to_carol) = enters(server, transport, "carol").await;
        for whom in ["@localhost", "127.0.0.0/8"] {
            to_alice.done(alice.ban(whom, None, None).await).await;
            assert_eq!(knocks(server, transport, "carol", "").await.as_deref(), Some("banned"), "{whom}");
            to_alice.done(alice.unban(whom).await).await;
        }
        to_carol.out().await;
        let (code, _) = to_alice.outcome(alice.kick(&address("nobody"), None).await).await.unwrap_err();
        assert_eq!(code, 404);
        alice.leave().await;
    })
    .await;
}

#[tokio::test]
async fn who_speaks_is_what_moderators_say_and_everybody_sees_it() {
    everywhere(rooms(), async |server, transport| {
        let (alice, mut to_alice) = enters(server, transport, "alice").await;
        let (bob, mut to_bob) = enters(server, transport, "bob").await;
        let bobs = &address("bob");
        to_alice.sees("bob").await;
        to_alice.done(alice.mute(bobs, MINUTE, Some("caps lock")).await).await;
        let told = to_bob.text(true).await;
        assert!(told.contains("muted") && told.contains("caps lock"), "{told}");
        let (code, comment) = to_bob.says(&bob, "HELLO").await.unwrap_err();
        assert!(code == 403 && comment.contains("muted"), "{comment}");
        let is = |e: &Event, muted| matches!(e, Event::Muted(who) if who.name == "bob" && who.muted == muted);
        to_alice.told(|e| is(e, true)).await;
        to_alice.done(alice.unmute(bobs).await).await;
        to_bob.text(true).await;
        to_bob.says(&bob, "hello").await.unwrap();
        to_alice.told(|e| is(e, false)).await;
        // In a moderated room a voice is given, and taken.
        to_alice.done(alice.moderate(true).await).await;
        let (code, comment) = to_bob.says(&bob, "and I?").await.unwrap_err();
        assert!(code == 403 && comment.contains("voice"), "{comment}");
        to_alice.done(alice.grant(bobs, Role::Participant).await).await;
        to_bob.says(&bob, "I!").await.unwrap();
        to_alice.done(alice.grant(bobs, Role::Visitor).await).await;
        assert_eq!(to_bob.says(&bob, "and now?").await.unwrap_err().0, 403);
        to_alice.done(alice.grant(bobs, Role::Moderator).await).await;
        to_alice.told(|e| matches!(e, Event::Role { role: Some(Role::Moderator), .. })).await;
        to_bob.outcome(bob.moderate(false).await).await.expect("a moderator now");
        to_alice.done(alice.grant(bobs, Role::Outsider).await).await;
        assert_eq!(to_bob.outcome(bob.moderate(true).await).await.unwrap_err().0, 403);
        // Slow mode is for all below.
        to_alice.done(alice.slow_mode(Duration::from_secs(600)).await).await;
        let first = to_bob.says(&bob, "one").await;
        let second = to_bob.says(&bob, "two").await.unwrap_err();
        assert!(second.1.starts_with("Slow mode"), "{first:?} {second:?}");
        to_alice.done(alice.slow_mode(Duration::ZERO).await).await;
        to_bob.says(&bob, "three").await.unwrap();
        alice.leave().await;
    })
    .await;
}

#[tokio::test]
async fn who_comes_in_is_what_moderators_say() {
    everywhere(rooms(), async |server, transport| {
        let (alice, mut to_alice) = enters(server, transport, "alice").await;
        let knock = async |password: &str| knocks(server, transport, "dave", password).await;
        let a = &mut to_alice;
        a.done(alice.lock(true).await).await;
        assert_eq!(knock("").await.as_deref(), Some("locked"));
        a.told(|e| *e == Event::Locked(true)).await;
        a.done(alice.lock(false).await).await;
        assert_eq!(knock("").await, None);
        a.done(alice.members_only(true).await).await;
        assert_eq!(knock("").await.as_deref(), Some("members-only"));
        a.done(alice.members_only(false).await).await;
        a.done(alice.set_password("se same").await).await;
        assert_eq!(knock("").await.as_deref(), Some("password-wanted"));
        assert_eq!(knock("sesame").await.as_deref(), Some("wrong-password"));
        assert_eq!(knock("se same").await, None);
        a.done(alice.set_password("").await).await;
        assert_eq!(knock("").await, None);
        a.done(alice.set_occupants(1).await).await;
        assert_eq!(knock("").await.as_deref(), Some("full"));
        a.done(alice.set_occupants(30).await).await;
        // What the room is about, and how it is set.
        a.done(alice.set_subject("Trains and boats").await).await;
        a.told(|e| *e == Event::Subject("Trains and boats".into())).await;
        a.done(alice.ban("@spam.example", None, Some("spam")).await).await;
        alice.inspect().await.unwrap();
        let told = a.text(true).await;
        for part in ["@spam.example", "spam", "sip:alice@localhost", "owner", "30"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        a.done(alice.set_subject("").await).await;
        a.told(|e| *e == Event::Subject(String::new())).await;
        alice.leave().await;
    })
    .await;
}
