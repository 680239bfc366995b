//! One's part in a room: what was asked of it, what became of that, and whom a name means.
//!
//! Touches: the handle of the room. Bounds: the roster's; [`RECIPIENTS_MAX`] private messages at a time;
//! what was asked and not answered, which the callers bound. Proved by: the tests below.

use super::shown::{name, one_line, people, people_and_addresses};
use super::wish::Wish;
use super::{has_scheme, with_scheme};
use crate::client::chat::{Event, Message, Person, Room, Unasked};
use std::collections::BTreeMap;

/// Recipients of one line: fewer than the answers that may wait while we send.
const RECIPIENTS_MAX: usize = 64;

/// The MSRP status code for a nickname that is reserved or in use (RFC 7701 §10.3).
const NICKNAME_TAKEN: u16 = 425;

/// Something to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// What somebody said.
    Message(Message),
    /// What we said ourselves: at a terminal it stands among the rest.
    Own(String),
    /// What happened.
    Status(String),
    /// What could not be done.
    Trouble(String),
    /// What we wanted to say and somebody did not get.
    Undelivered(String),
}

/// What was asked of the room and is not answered yet.
enum Asked {
    /// The beginning of what was said, to name it should it fail.
    Said(String),
    Told {
        to: String,
        text: String,
    },
    Nickname(Option<String>),
}

/// One's part in a room.
pub(super) struct Talk {
    /// Everybody; `None` until the room tells.
    here: Option<Vec<Person>>,
    asked: BTreeMap<u64, Asked>,
    display_name: String,
    nickname: Option<String>,
}

impl Talk {
    /// The part of one who was not heard yet.
    pub(super) fn new(display_name: &str) -> Self {
        Self { here: None, asked: BTreeMap::new(), display_name: name(display_name), nickname: None }
    }

    /// Requests without answer.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Whether a line can be understood only when it is known who is here.
    pub(super) fn is_too_early(&self, line: &str) -> bool {
        let named = |to: &String| !is_address(to);
        self.here.is_none() && matches!(Wish::read(line), Wish::Tell { to, .. } if to.iter().any(named))
    }

    fn own_name(&self) -> &str {
        self.nickname.as_ref().unwrap_or(&self.display_name)
    }

    /// Does what a line asks for, and tells what to show of it. To help and to quit is the caller's.
    pub(super) async fn ask(&mut self, room: &Room, wish: Wish<'_>) -> Vec<Shown> {
        match wish {
            Wish::Help | Wish::Quit => Vec::new(),
            Wish::Who => {
                let text = self.here.as_deref().map(people_and_addresses);
                vec![Shown::Status(
                    text.unwrap_or_else(|| "the room did not tell yet who is here".to_string()),
                )]
            }
            Wish::Unknown(word) => {
                let text = format!("{} cannot be done so; /help tells what can", name(word));
                vec![Shown::Undelivered(text)]
            }
            Wish::Say(text) => {
                let own = format!("{}: {}", self.own_name(), one_line(text));
                // If it was not taken we are out, which an event tells.
                if let Ok(number) = room.say(text).await {
                    self.asked.insert(number, Asked::Said(beginning(text)));
                }
                vec![Shown::Own(own)]
            }
            Wish::Tell { to, text } => self.tell(room, &to, text).await,
            Wish::Nickname(wished) => self.ask_for_nickname(room, wished).await,
        }
    }

    /// Says something to each of some, as so many private messages: each has its own result.
    async fn tell(&mut self, room: &Room, to: &[String], text: &str) -> Vec<Shown> {
        if to.len() > RECIPIENTS_MAX {
            let text = format!("not sent: at most {RECIPIENTS_MAX} people can be told at a time");
            return vec![Shown::Undelivered(text)];
        }
        let mut found: Vec<Person> = Vec::new();
        let mut shown = Vec::new();
        for typed in to {
            match self.whom(typed) {
                Ok(who) if found.iter().all(|f| f.address != who.address) => found.push(who),
                Ok(_) => {}
                Err(why) => shown.push(Shown::Undelivered(why)),
            }
        }
        let mut told = Vec::new();
        for who in found {
            let to = name(&who.name);
            match room.say_to(&who.address, text).await {
                Ok(number) => {
                    told.push(to.clone());
                    self.asked.insert(number, Asked::Told { to, text: beginning(text) });
                }
                Err(Unasked::NotInRoom) => {}
                Err(why) => shown.push(Shown::Undelivered(format!("not sent to {to}: {why}"))),
            }
        }
        if !told.is_empty() {
            let own = format!("{} (to {}): {}", self.own_name(), told.join(", "), one_line(text));
            shown.insert(0, Shown::Own(own));
        }
        shown
    }

    async fn ask_for_nickname(&mut self, room: &Room, wished: Option<&str>) -> Vec<Shown> {
        match room.nickname(wished).await {
            Ok(number) => {
                self.asked.insert(number, Asked::Nickname(wished.map(name)));
                Vec::new()
            }
            Err(Unasked::NotInRoom) => Vec::new(),
            Err(why) => vec![Shown::Trouble(why.to_string())],
        }
    }

    /// Whom a recipient as typed means. What looks like an address is one, whatever anybody calls himself;
    /// a name must be that of one person only, in whatever case.
    fn whom(&self, typed: &str) -> Result<Person, String> {
        if is_address(typed) {
            let address = with_scheme(typed);
            return Ok(Person { name: address.clone(), address });
        }
        let folded = typed.to_lowercase();
        let here = self.here.as_deref().unwrap_or_default();
        let found: Vec<&Person> = here.iter().filter(|p| name(&p.name).to_lowercase() == folded).collect();
        match found[..] {
            [one] => Ok(one.clone()),
            [] => Err(format!("nobody here is called {}; /who tells who is here", name(typed))),
            _ => {
                let addresses: Vec<String> = found.iter().map(|p| one_line(&p.address)).collect();
                Err(format!("several are called {}, name an address: {}", name(typed), addresses.join(", ")))
            }
        }
    }

    /// What to show of an event.
    pub(super) fn happened(&mut self, event: Event) -> Option<Shown> {
        Some(Shown::Status(match event {
            Event::Here(all) => {
                let text = people(&all);
                self.here = Some(all);
                text
            }
            Event::Joined(who) => {
                let text = format!("{} joined", name(&who.name));
                self.here.get_or_insert_default().push(who);
                text
            }
            Event::Left(who) => {
                self.here.get_or_insert_default().retain(|p| p.address != who.address);
                format!("{} left", name(&who.name))
            }
            Event::Renamed { who, before } => {
                let text = format!("{} is now {}", name(&before), name(&who.name));
                let same = self.here.iter_mut().flatten().filter(|p| p.address == who.address);
                same.for_each(|p| *p = who.clone());
                text
            }
            Event::Subject(text) => format!("subject: {}", one_line(&text)),
            Event::Message(message) => return Some(Shown::Message(message)),
            Event::Accepted { message } => match self.asked.remove(&message)? {
                Asked::Said(_) => return None,
                Asked::Told { to, .. } => format!("sent to {to}"),
                Asked::Nickname(nickname) => self.named(nickname),
            },
            Event::Refused { message, code, comment } => {
                return Some(self.refused(message, code, &one_line(&comment)));
            }
            // The caller ends with it.
            Event::Closed { .. } => return None,
        }))
    }

    fn named(&mut self, nickname: Option<String>) -> String {
        self.nickname = nickname;
        match &self.nickname {
            Some(nickname) => format!("your nickname is {nickname}"),
            None => "you have no nickname".to_string(),
        }
    }

    fn refused(&mut self, number: u64, code: u16, comment: &str) -> Shown {
        let why = format!("{code} {comment}");
        let why = why.trim_end();
        let asked = self.asked.remove(&number);
        let own = self.own_name();
        match asked {
            Some(Asked::Said(text)) => Shown::Undelivered(format!("not delivered: {text:?} ({why})")),
            Some(Asked::Told { to, text }) => {
                Shown::Undelivered(format!("not delivered to {to}: {text:?} ({why})"))
            }
            Some(Asked::Nickname(Some(nickname))) if code == NICKNAME_TAKEN => Shown::Trouble(format!(
                "the nickname {nickname} is somebody else's or reserved: you are still {own} ({why})"
            )),
            Some(Asked::Nickname(_)) => {
                Shown::Trouble(format!("the room refused the nickname: you are still {own} ({why})"))
            }
            // Taken at first, and reported later.
            None => Shown::Undelivered(format!("not delivered: something said earlier ({why})")),
        }
    }
}

fn is_address(typed: &str) -> bool {
    typed.contains('@') || has_scheme(typed)
}

fn beginning(text: &str) -> String {
    one_line(&text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::chat::Script;

    fn person(address: &str, name: &str) -> Person {
        Person { address: address.to_string(), name: name.to_string() }
    }

    fn among(people: &[(&str, &str)]) -> Talk {
        let mut talk = Talk::new("Me");
        talk.happened(Event::Here(people.iter().map(|(address, name)| person(address, name)).collect()));
        talk
    }

    fn status(text: &str) -> Option<Shown> {
        Some(Shown::Status(text.to_string()))
    }

    fn undelivered(text: &str) -> Shown {
        Shown::Undelivered(text.to_string())
    }

    /// What a line shows, and what the room hears of it.
    fn typed(talk: &mut Talk, able: bool, line: &str) -> (Vec<Shown>, Vec<(u64, String)>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (room, _events, mut script) = Script::room(able);
            let shown = talk.ask(&room, Wish::read(line)).await;
            drop(room);
            let mut heard = Vec::new();
            while let Some(next) = script.heard().await {
                heard.push(next);
            }
            (shown, heard)
        })
    }

    fn heard(all: &[&str]) -> Vec<(u64, String)> {
        (1..).zip(all.iter().map(|text| (*text).to_string())).collect()
    }

    #[test]
    fn who_is_here_follows_what_happened() {
        let mut talk = among(&[("sip:a@x", "Al")]);
        talk.happened(Event::Joined(person("sip:b@x", "Bo")));
        let renamed = Event::Renamed { who: person("sip:b@x", "Bob"), before: "Bo".to_string() };
        assert_eq!(talk.happened(renamed), status("Bo is now Bob"));
        assert_eq!(talk.happened(Event::Left(person("sip:a@x", "Al"))), status("Al left"));
        assert_eq!(talk.here.as_deref().unwrap(), [person("sip:b@x", "Bob")]);
        let (shown, _) = typed(&mut talk, true, "/who");
        assert_eq!(shown, [Shown::Status("1 is here:\n    Bob <sip:b@x>".to_string())]);
    }

    #[test]
    fn what_was_not_delivered_is_named() {
        let mut talk = Talk::new("Me");
        let (shown, _) = typed(&mut talk, true, "hello");
        assert_eq!(shown, [Shown::Own("Me: hello".to_string())]);
        let refused = || Event::Refused { message: 1, code: 403, comment: "No\u{1b}".to_string() };
        assert_eq!(talk.happened(refused()), Some(undelivered("not delivered: \"hello\" (403 No)")));
        assert_eq!(talk.unanswered(), 0);
        let later = undelivered("not delivered: something said earlier (403 No)");
        assert_eq!(talk.happened(refused()), Some(later));
        typed(&mut talk, true, "again");
        assert_eq!(talk.happened(Event::Accepted { message: 1 }), None);
        assert_eq!(talk.unanswered(), 0);
    }

    #[test]
    fn several_are_told_one_by_one_and_each_has_a_result() {
        // CHAT-PRIV-07
        let mut talk = among(&[("sip:b@x", "Bob"), ("sip:c@x", "Carol C"), ("sip:d@x", "Dan")]);
        let (shown, all) = typed(&mut talk, true, "/msg bob,\"carol c\",eve@y,B@x,eve@y,Zoe psst");
        assert_eq!(
            all,
            heard(&["to sip:b@x: psst", "to sip:c@x: psst", "to sip:eve@y: psst", "to sip:B@x: psst"])
        );
        let own = "Me (to Bob, Carol C, sip:eve@y, sip:B@x): psst";
        let nobody = undelivered("nobody here is called Zoe; /who tells who is here");
        assert_eq!(shown, [Shown::Own(own.to_string()), nobody]);
        assert_eq!(talk.happened(Event::Accepted { message: 2 }), status("sent to Carol C"));
        let refused = Event::Refused { message: 3, code: 404, comment: String::new() };
        let expected = undelivered("not delivered to sip:eve@y: \"psst\" (404)");
        assert_eq!(talk.happened(refused), Some(expected));
        assert_eq!(talk.unanswered(), 2);
    }

    #[test]
    fn a_name_that_means_several_means_nobody_and_no_name_is_an_address() {
        let mut talk = among(&[("sip:b@x", "Bob"), ("sip:e@y", "bob"), ("sip:f@y", "sip:d@x")]);
        let (shown, all) = typed(&mut talk, true, "/msg Bob psst");
        assert_eq!(all, []);
        assert_eq!(shown, [undelivered("several are called Bob, name an address: sip:b@x, sip:e@y")]);
        let (_, all) = typed(&mut talk, true, "/msg sip:d@x,d@x psst");
        assert_eq!(all, heard(&["to sip:d@x: psst"]));
    }

    #[test]
    fn more_people_than_can_be_told_are_not_told() {
        let mut talk = Talk::new("Me");
        let many = vec!["a@x"; RECIPIENTS_MAX + 1].join(",");
        let (shown, all) = typed(&mut talk, true, &format!("/msg {many} psst"));
        assert_eq!((shown.len(), all.len(), talk.unanswered()), (1, 0, 0));
    }

    #[test]
    fn a_nickname_is_ours_when_the_room_says_so_and_until_it_is_given_back() {
        // CHAT-NICK-08
        let mut talk = Talk::new("Me");
        let (shown, all) = typed(&mut talk, true, "/nick White Rabbit");
        assert_eq!((shown, all), (vec![], heard(&["nickname White Rabbit"])));
        assert_eq!(talk.own_name(), "Me");
        assert_eq!(talk.happened(Event::Accepted { message: 1 }), status("your nickname is White Rabbit"));
        assert_eq!(talk.own_name(), "White Rabbit");
        let (shown, all) = typed(&mut talk, true, "/nick");
        assert_eq!((shown, all), (vec![], heard(&["nickname "])));
        assert_eq!(talk.happened(Event::Accepted { message: 1 }), status("you have no nickname"));
        assert_eq!(talk.own_name(), "Me");
    }

    #[test]
    fn a_refused_nickname_changes_nothing_and_is_explained() {
        let mut talk = Talk::new("Me");
        typed(&mut talk, true, "/nick Al");
        let taken = Event::Refused { message: 1, code: 425, comment: "Taken".to_string() };
        let text = "the nickname Al is somebody else's or reserved: you are still Me (425 Taken)";
        assert_eq!(talk.happened(taken), Some(Shown::Trouble(text.to_string())));
        typed(&mut talk, true, "/nick Al");
        let bad = Event::Refused { message: 1, code: 424, comment: "Bad".to_string() };
        let text = "the room refused the nickname: you are still Me (424 Bad)";
        assert_eq!(talk.happened(bad), Some(Shown::Trouble(text.to_string())));
        assert_eq!((talk.own_name(), talk.unanswered()), ("Me", 0));
    }

    #[test]
    fn what_the_room_cannot_do_is_told_at_once() {
        // CHAT-NICK-02, CHAT-PRIV-07
        let mut talk = Talk::new("Me");
        let (shown, all) = typed(&mut talk, false, "/nick Al");
        let none = Shown::Trouble("this room has no nicknames".to_string());
        assert_eq!((shown, all), (vec![none], vec![]));
        let (shown, all) = typed(&mut talk, false, "/msg b@x psst");
        let none = undelivered("not sent to sip:b@x: this room has no private messages");
        assert_eq!((shown, all), (vec![none], vec![]));
        let (shown, _) = typed(&mut talk, true, "/nick a\u{202e}b");
        assert!(matches!(&shown[..], [Shown::Trouble(why)] if why.contains("not allowed")), "{shown:?}");
        assert_eq!(talk.unanswered(), 0);
    }

    #[test]
    fn names_wait_for_the_list_of_people_and_addresses_do_not() {
        let mut talk = Talk::new("Me");
        assert!(talk.is_too_early("/msg bob psst") && talk.is_too_early("/msg b@x,bob psst"));
        assert!(["hello", "/msg b@x psst", "/nick bob"].iter().all(|line| !talk.is_too_early(line)));
        talk.happened(Event::Here(Vec::new()));
        assert!(!talk.is_too_early("/msg bob psst"));
    }
}
