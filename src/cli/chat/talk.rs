//! One's part in a room: what was asked of it, what became of that, and whom a name means.
//!
//! Touches: the handle of the room. Bounds: the roster's; [`RECIPIENTS_MAX`] private messages at a time;
//! what was asked and not answered, which the callers bound; [`EARLIER_MAX`]; `SPEAKERS_MAX`. Proved by: `tests.rs` beside
//! this file.

mod orders;
#[cfg(test)]
mod tests;

use super::shown::{name, notice, one_line, people, people_and_addresses};
use super::wish::{Wish, usage};
use super::words::{self, moderators};
use super::{has_scheme, with_scheme};
use crate::client::call::CallError;
use crate::client::chat::{Event, Message, Person, Room, Step, Unasked};
use crate::client::command::is_network;
use std::collections::{BTreeMap, VecDeque};

/// Recipients of one line: fewer than the answers that may wait while we send.
pub(super) const RECIPIENTS_MAX: usize = 64;

/// Messages that were accepted and may still be counted, or reported to have failed: as many as the library
/// tells of. Beyond, they have no text any more.
const EARLIER_MAX: usize = 256;

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
    /// Any of these, in the sidebar of this number.
    Aside(u32, Box<Self>),
}

/// What was asked of the room and is not answered yet.
#[derive(Clone)]
enum Asked {
    /// The beginning of what was said, to name it should it fail.
    Said(String),
    Told {
        to: String,
        text: String,
    },
    Nickname(Option<String>),
    BringIn(String),
    /// To ask somebody of the room to the sidebar that this is.
    AskIn(String),
    TakeOut(String),
    Reveal,
    List,
    /// What to say of a moderator's command if it is done, and how to call it if it is not.
    Command {
        done: String,
        doing: String,
        /// The room then says something.
        tells: bool,
    },
}

impl Asked {
    /// The room has told what it was asked for.
    fn told(&mut self) {
        if let Self::Command { tells, .. } = self {
            *tells = false;
        }
    }
}

/// One's part in a room.
pub(super) struct Talk {
    /// Everybody; `None` until the room tells.
    here: Option<Vec<Person>>,
    asked: BTreeMap<u64, Asked>,
    display_name: String,
    /// What others call us once we are seen, while we hide.
    hidden_name: Option<String>,
    nickname: Option<String>,
    /// What was said and accepted, oldest first.
    earlier: VecDeque<(u64, Asked)>,
    writing: Vec<Person>,
    /// The room was asked for its rules, and did not tell them yet.
    expects_notice: bool,
    /// Who said something, the last one last.
    speakers: VecDeque<Person>,
}

impl Talk {
    /// The part of one who was not heard yet.
    pub(super) fn new(display_name: &str) -> Self {
        Self {
            here: None,
            asked: BTreeMap::new(),
            display_name: name(display_name),
            hidden_name: None,
            nickname: None,
            earlier: VecDeque::new(),
            writing: Vec::new(),
            expects_notice: false,
            speakers: VecDeque::new(),
        }
    }

    /// The part of one who hides and was not heard yet.
    pub(super) fn hidden(display_name: &str) -> Self {
        Self { hidden_name: Some(name(display_name)), ..Self::new("Anonymous") }
    }

    /// Requests without answer.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Whether the room is still to say something that was asked for, and has said that it will.
    pub(super) fn expects_notice(&self) -> bool {
        self.expects_notice
    }

    /// Who is writing; nothing if nobody is.
    pub(super) fn writing(&self) -> String {
        match &self.writing[..] {
            [] => String::new(),
            [one] => format!("{} is typing", name(&one.name)),
            [one, two] => format!("{} and {} are typing", name(&one.name), name(&two.name)),
            more => format!("{} people are typing", more.len()),
        }
    }

    /// Whether a line can be understood only when it is known who is here.
    pub(super) fn is_too_early(&self, line: &str) -> bool {
        let named = |to: &String| !is_address(to) && !is_network(to);
        let wish = Wish::read(line);
        let names = match &wish {
            Wish::Tell { to: names, .. } | Wish::TakeOut(names) => names,
            Wish::Order(order) => order.names(),
            Wish::Aside(aside) => aside.names(),
            _ => return false,
        };
        self.here.is_none() && names.iter().any(named)
    }

    /// Everybody who is here, as far as it is known.
    pub(super) fn here(&self) -> &[Person] {
        self.here.as_deref().unwrap_or_default()
    }

    /// The name with which to go elsewhere from here, and whether in hiding.
    pub(super) fn seen_as(&self) -> (String, bool) {
        match &self.hidden_name {
            Some(hidden) => (hidden.clone(), true),
            None => (self.own_name().to_string(), false),
        }
    }

    fn own_name(&self) -> &str {
        self.nickname.as_ref().unwrap_or(&self.display_name)
    }

    /// Does what a line asks for, and tells what to show of it. To help, to quit and
    /// sidebars are the caller's.
    pub(super) async fn ask(&mut self, room: &Room, wish: Wish<'_>) -> Vec<Shown> {
        match wish {
            Wish::Help(_) | Wish::Quit | Wish::Aside(_) => Vec::new(),
            Wish::Who => {
                let text = self.here.as_deref().map(people_and_addresses);
                vec![Shown::Status(
                    text.unwrap_or_else(|| "the room did not tell yet who is here".to_string()),
                )]
            }
            Wish::Unknown(word) => {
                let how = usage(word)
                    .map_or("/help tells what can".to_string(), |line| format!("write it as: {line}"));
                vec![Shown::Undelivered(format!("{} cannot be done so; {how}", name(word)))]
            }
            Wish::Say(text) => vec![self.say(room, text).await],
            Wish::Tell { to, text } => self.tell(room, &to, text).await,
            Wish::BringIn(all) => self.bring_in(room, &all).await,
            Wish::TakeOut(all) => self.take_out(room, &all).await,
            Wish::Order(order) => self.order(room, order).await,
            Wish::Reveal => self.reveal(room).await,
            Wish::List(at) => self.list(room, at).await,
            Wish::Counts(wanted) => vec![match room.count_deliveries(wanted) {
                Ok(()) if wanted => {
                    Shown::Status("from now on you are told how many have received what you say".to_string())
                }
                Ok(()) => Shown::Status("nobody counts any more who receives what you say".to_string()),
                Err(why) => Shown::Trouble(why.to_string()),
            }],
            Wish::Nickname(wished) => self.ask_for_nickname(room, wished).await,
        }
    }

    /// Says something to everybody.
    pub(super) async fn say(&mut self, room: &Room, text: &str) -> Shown {
        let own = format!("{}: {}", self.own_name(), one_line(text));
        // If it was not taken we are out, which an event tells.
        if let Ok(number) = room.say(text).await {
            self.asked.insert(number, Asked::Said(beginning(text)));
        }
        Shown::Own(own)
    }

    /// Asks people to the sidebar that this is.
    pub(super) async fn ask_in(&mut self, room: &Room, whom: &[Person]) {
        for who in whom {
            if let Ok(number) = room.bring_in(&who.address).await {
                self.asked.insert(number, Asked::AskIn(name(&who.name)));
            }
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

    async fn bring_in(&mut self, room: &Room, all: &[&str]) -> Vec<Shown> {
        if all.len() > RECIPIENTS_MAX {
            return vec![Shown::Undelivered(format!(
                "nobody is invited: at most {RECIPIENTS_MAX} people can be at a time"
            ))];
        }
        let mut shown = Vec::new();
        for typed in all {
            if !is_address(typed) {
                let text = format!("{} is not invited: write an address, sip:USER@DOMAIN", name(typed));
                shown.push(Shown::Undelivered(text));
            } else if let Ok(number) = room.bring_in(&with_scheme(typed)).await {
                self.asked.insert(number, Asked::BringIn(one_line(&with_scheme(typed))));
            }
        }
        shown
    }

    async fn take_out(&mut self, room: &Room, all: &[String]) -> Vec<Shown> {
        if all.len() > RECIPIENTS_MAX {
            return vec![Shown::Undelivered(format!(
                "nobody is taken out: at most {RECIPIENTS_MAX} people can be at a time"
            ))];
        }
        let mut shown = Vec::new();
        for typed in all {
            match self.whom(typed) {
                Ok(who) => {
                    if let Ok(number) = room.take_out(&who.address).await {
                        self.asked.insert(number, Asked::TakeOut(name(&who.name)));
                    }
                }
                Err(why) => shown.push(Shown::Undelivered(why)),
            }
        }
        shown
    }

    async fn reveal(&mut self, room: &Room) -> Vec<Shown> {
        match room.reveal().await {
            Ok(number) => {
                self.asked.insert(number, Asked::Reveal);
                Vec::new()
            }
            Err(Unasked::NotInRoom) => Vec::new(),
            Err(why) => vec![Shown::Trouble(why.to_string())],
        }
    }

    /// Asks for the public rooms: the list at an address, or that of our room's domain.
    async fn list(&mut self, room: &Room, at: Option<&str>) -> Vec<Shown> {
        let at = at.map(with_scheme);
        // If it was not asked we are out, which an event tells.
        if let Ok(number) = room.list_rooms(at.as_deref()).await {
            self.asked.insert(number, Asked::List);
        }
        Vec::new()
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
    pub(super) fn whom(&self, typed: &str) -> Result<Person, String> {
        if is_address(typed) {
            let address = with_scheme(typed);
            return Ok(Person { name: address.clone(), address, ..Person::default() });
        }
        let folded = typed.to_lowercase();
        let found: Vec<&Person> =
            self.here().iter().filter(|p| name(&p.name).to_lowercase() == folded).collect();
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
                self.changed(&who);
                text
            }
            Event::Subject(text) if self.here.is_none() => format!("subject: {}", one_line(&text)),
            Event::Subject(text) if text.trim().is_empty() => "there is no subject any more".to_string(),
            Event::Subject(text) => format!("the subject is now: {}", one_line(&text)),
            Event::Locked(true) => "the room is locked: nobody new comes in".to_string(),
            Event::Locked(false) => "the room is not locked any more".to_string(),
            Event::Role { who, role, before } => {
                who.iter().for_each(|who| self.changed(who));
                let names: Vec<String> = who.iter().map(|who| name(&who.name)).collect();
                moderators::role(&names, role, before)
            }
            Event::Muted(who) => {
                self.changed(&who);
                format!("{} may {} now", name(&who.name), if who.muted { "not speak" } else { "speak" })
            }
            // The caller knows sidebars.
            Event::Sidebars(_) | Event::AskedToSidebar { .. } => return None,
            Event::Message(message) if message.of_room => {
                self.expects_notice = false;
                // It may come before the answer.
                self.asked.values_mut().for_each(Asked::told);
                notice(&message)
            }
            Event::Message(message) => {
                self.heard(&message);
                return Some(Shown::Message(message));
            }
            Event::Accepted { message } => match self.asked.remove(&message)? {
                Asked::Said(text) => {
                    self.remember(message, Asked::Said(text));
                    return None;
                }
                Asked::Told { to, text } => {
                    let shown = format!("sent to {to}");
                    self.remember(message, Asked::Told { to, text });
                    shown
                }
                Asked::Nickname(nickname) => self.named(nickname),
                Asked::Command { done, tells, .. } => {
                    self.expects_notice |= tells;
                    format!("done: {done}")
                }
                // Not asked by MSRP.
                Asked::BringIn(_) | Asked::AskIn(_) | Asked::TakeOut(_) | Asked::Reveal | Asked::List => {
                    return None;
                }
            },
            Event::Received { message, count } => self.received(message, count)?,
            Event::Notified { message, who, delivered } => {
                return Some(self.notified(message, &name(&who.name), delivered));
            }
            Event::Typing { who, writing } => {
                self.writing.retain(|w| w.address != who.address);
                if writing {
                    self.writing.push(who);
                }
                return None;
            }
            Event::Step { request, step } => return self.step(request, &step),
            Event::Revealed { request, address, warning } => {
                self.asked.remove(&request);
                return Some(self.revealed(&address, warning.as_deref()));
            }
            Event::Rooms { request, rooms, note } => {
                self.asked.remove(&request);
                words::rooms(&rooms, note.as_deref())
            }
            Event::Failed { request, error } => return self.failed(request, &error),
            Event::Refused { message, code, comment } => {
                return Some(self.refused(message, code, &comment));
            }
            // The caller ends with it.
            Event::Closed { .. } => return None,
        }))
    }

    /// Somebody who is here is another than before.
    fn changed(&mut self, who: &Person) {
        let same = self.here.iter_mut().flatten().filter(|p| p.address == who.address);
        same.for_each(|p| p.clone_from(who));
    }

    fn named(&mut self, nickname: Option<String>) -> String {
        self.nickname = nickname;
        match &self.nickname {
            Some(nickname) => format!("your nickname is {nickname}"),
            None => "you have no nickname".to_string(),
        }
    }

    /// Keeps what was accepted, to name it should more be heard of it.
    fn remember(&mut self, number: u64, what: Asked) {
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back((number, what));
    }

    fn received(&self, number: u64, count: Option<(u32, u32)>) -> Option<String> {
        let earlier = self.earlier.iter().rev().find(|(n, _)| *n == number).map(|(_, what)| what);
        let (text, to) = match self.asked.get(&number).or(earlier)? {
            Asked::Said(text) => (text, None),
            Asked::Told { to, text } => (text, Some(to)),
            _ => return None,
        };
        Some(match (count, to) {
            (Some((1, 1)), Some(to)) => format!("\u{2713} received by {to}: {text:?}"),
            (Some((by, of)), _) => format!("\u{2713} received by {by} of {of}: {text:?}"),
            (None, _) => format!("nobody could count who received {text:?}: the room has too much to do"),
        })
    }

    fn notified(&self, number: u64, who: &str, delivered: bool) -> Shown {
        let all = self.earlier.iter().rev().map(|(n, what)| (n, what)).chain(self.asked.iter());
        let text = all.filter(|(n, _)| **n == number).find_map(|(_, what)| match what {
            Asked::Told { text, .. } => Some(format!(": {text:?}")),
            _ => None,
        });
        let text = text.unwrap_or_default();
        if delivered {
            Shown::Status(format!("\u{2713} received by {who}{text}"))
        } else {
            Shown::Undelivered(format!("the program of {who} could not take it{text}"))
        }
    }

    fn step(&mut self, number: u64, step: &Step) -> Option<Shown> {
        let (text, done) = match self.asked.get(&number)? {
            Asked::BringIn(whom) => words::coming(whom, step),
            Asked::AskIn(_) if !step.last => return None,
            Asked::AskIn(whom) => words::asking(whom, step),
            Asked::TakeOut(whom) => words::going(whom, step),
            _ => return None,
        };
        if step.last {
            self.asked.remove(&number);
        }
        Some(if done == Some(false) { Shown::Undelivered(text) } else { Shown::Status(text) })
    }

    /// What the room made of the wish to be anonymous no longer.
    fn revealed(&mut self, address: &str, warning: Option<&str>) -> Shown {
        let address = one_line(address);
        let text = if address.to_lowercase().ends_with("@anonymous.invalid") {
            format!("you are still anonymous, as {address}")
        } else {
            if let Some(name) = self.hidden_name.take() {
                self.display_name = name;
            }
            format!("everybody can see now that you are {address}")
        };
        match warning {
            Some(warning) => Shown::Trouble(format!("{text}; the room says: {}", one_line(warning))),
            None => Shown::Status(text),
        }
    }

    fn failed(&mut self, number: u64, error: &CallError) -> Option<Shown> {
        match self.asked.remove(&number)? {
            Asked::BringIn(whom) => Some(Shown::Undelivered(words::not_referred(&whom, false, error))),
            Asked::AskIn(whom) => Some(Shown::Undelivered(words::not_asked(&whom, error))),
            Asked::TakeOut(whom) => Some(Shown::Undelivered(words::not_referred(&whom, true, error))),
            Asked::Reveal => Some(Shown::Undelivered(words::not_revealed(error))),
            Asked::List => Some(Shown::Trouble(words::not_listed(error))),
            _ => None,
        }
    }

    fn refused(&mut self, number: u64, code: u16, comment: &str) -> Shown {
        let asked = self.asked.remove(&number);
        // Taken at first, and reported later.
        let later = asked.is_none();
        let earlier = self.earlier.iter().rev().find(|(n, _)| *n == number);
        let asked = asked.or_else(|| earlier.map(|(_, what)| what.clone()));
        let private = matches!(&asked, Some(Asked::Told { .. }));
        let to = if let Some(Asked::Told { to, .. }) = &asked { Some(to.as_str()) } else { None };
        let what = if later && !private { "not delivered to everybody" } else { "not delivered" };
        let reason = words::undelivered(to, code, comment, later);
        let why = format!("{code} {}", one_line(comment));
        let why = why.trim_end();
        let own = self.own_name();
        match asked {
            Some(Asked::Said(text)) => Shown::Undelivered(format!("{what}: {text:?}: {reason}")),
            Some(Asked::Told { to, text }) => {
                Shown::Undelivered(format!("{what} to {to}: {text:?}: {reason}"))
            }
            Some(Asked::Command { doing, .. }) => {
                Shown::Undelivered(moderators::not_done(&doing, code, comment))
            }
            Some(Asked::Nickname(Some(nickname))) if code == NICKNAME_TAKEN => Shown::Trouble(format!(
                "the nickname {nickname} is somebody else's or reserved: you are still {own} ({why})"
            )),
            Some(Asked::Nickname(_)) => {
                Shown::Trouble(format!("the room refused the nickname: you are still {own} ({why})"))
            }
            Some(Asked::BringIn(_) | Asked::AskIn(_) | Asked::TakeOut(_) | Asked::Reveal | Asked::List)
            | None => Shown::Undelivered(format!("{what}: something said earlier: {reason}")),
        }
    }
}

fn is_address(typed: &str) -> bool {
    typed.contains('@') || has_scheme(typed)
}

fn beginning(text: &str) -> String {
    one_line(&text.chars().take(40).collect::<String>())
}
