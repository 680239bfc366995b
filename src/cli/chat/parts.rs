//! One's parts: in the room, and in its sidebars. A sidebar is named by a number, which no other gets later, so that nothing
//! is said to the wrong people; what does not name one is for the room.
//!
//! Touches: the handles of the room and the sidebars, and what the door touches that lets us into those. Bounds:
//! [`SIDEBARS_MAX`], [`KNOWN_MAX`], those of `talk.rs` for each. Proved by: `tests.rs` beside this file.

#[cfg(test)]
pub(super) mod tests;

use super::aside::Aside;
use super::shown::{name, one_line, people};
use super::talk::{RECIPIENTS_MAX, Shown, Talk};
use super::wish::Wish;
use super::words;
use crate::client::chat::{Event, Events, JoinError, Person, Room};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::task::JoinSet;

/// Sidebars that we are in, or about to be, at once: who opens more is refused by the server too.
const SIDEBARS_MAX: usize = 4;

/// Sidebars that have a number and that we are not in: as many as a room has. Beyond: the oldest is forgotten.
const KNOWN_MAX: usize = 32;

/// How to get into a sidebar.
pub(super) struct Entry {
    pub(super) to: To,
    /// What the others are to see.
    pub(super) name: String,
    /// They are not to learn who we are.
    pub(super) hidden: bool,
}

/// Which sidebar.
pub(super) enum To {
    /// The one at this address.
    Known(String),
    /// A new one, to which these addresses are asked.
    New(Vec<String>),
}

/// The way in, once it is walked.
pub(super) type Entering = Pin<Box<dyn Future<Output = Result<(Room, Events), JoinError>> + Send>>;

/// What lets us into sidebars.
pub(super) type Door = Box<dyn Fn(Entry) -> Entering>;

/// A sidebar that has a number.
struct Sidebar {
    number: u32,
    address: String,
    /// Somebody asked us to it.
    asked: bool,
    entering: bool,
    inside: Option<Inside>,
}

/// Being in a sidebar.
struct Inside {
    room: Room,
    events: Events,
    talk: Talk,
}

/// What is entered.
enum Aim {
    /// A new sidebar, with these names.
    New(String),
    Known(u32),
}

/// Somebody to be let in: what is entered, our part there, and what became of it.
type Entered = (Aim, Talk, Result<(Room, Events), JoinError>);

/// Something that happened in or about a sidebar.
enum News {
    Entered(Box<Entered>),
    Event(u32, Option<Event>),
}

/// One's parts.
pub(super) struct Parts {
    talk: Talk,
    door: Door,
    /// In the order of their numbers.
    sidebars: Vec<Sidebar>,
    /// The last number given.
    last: u32,
    /// What the room lists.
    listed: Vec<String>,
    entering: JoinSet<Entered>,
    leaving: JoinSet<()>,
}

impl Parts {
    /// The part in the room, and nothing else yet.
    pub(super) fn new(talk: Talk, door: Door) -> Self {
        Self {
            talk,
            door,
            sidebars: Vec::new(),
            last: 0,
            listed: Vec::new(),
            entering: JoinSet::new(),
            leaving: JoinSet::new(),
        }
    }

    /// Requests without answer, in the room and elsewhere.
    pub(super) fn unanswered(&self) -> usize {
        let aside: usize = self.inside().map(|(_, inside)| inside.talk.unanswered()).sum();
        self.talk.unanswered() + aside + self.entering.len()
    }

    /// Whether one of the rooms is still to say something that was asked for.
    pub(super) fn expects_notice(&self) -> bool {
        self.talk.expects_notice() || self.inside().any(|(_, inside)| inside.talk.expects_notice())
    }

    /// Who is writing; nothing if nobody is.
    pub(super) fn writing(&self) -> String {
        let aside = self.inside().map(|(number, inside)| (format!("[{number}] "), inside.talk.writing()));
        let all = std::iter::once((String::new(), self.talk.writing())).chain(aside);
        let all: Vec<String> =
            all.filter(|(_, who)| !who.is_empty()).map(|(begin, who)| begin + &who).collect();
        all.join(", ")
    }

    /// Whether a line can be understood only when it is known who is here.
    pub(super) fn is_too_early(&self, line: &str) -> bool {
        self.talk.is_too_early(line)
    }

    /// Whether a line is about a sidebar that may have its number only when what is being entered is. It is not for long.
    pub(super) fn must_wait(&self, line: &str) -> bool {
        let named = matches!(Wish::read(line), Wish::Aside(aside) if aside.number().is_some());
        named && !self.entering.is_empty()
    }

    /// Does what a line asks for, and tells what to show of it. To help and to quit is the caller's.
    pub(super) async fn ask(&mut self, room: &Room, wish: Wish<'_>) -> Vec<Shown> {
        let aside = match wish {
            Wish::Aside(aside) => aside,
            wish => return self.talk.ask(room, wish).await,
        };
        match aside {
            Aside::Open(names) => self.open(&names),
            Aside::Enter(number) => self.enter(number),
            Aside::List => vec![Shown::Status(self.list())],
            Aside::Leave(number) => match self.sidebar(number).and_then(|s| s.inside.take()) {
                Some(inside) => {
                    self.leaving.spawn(inside.room.leave());
                    vec![aside_status(number, "you left it")]
                }
                None => vec![outside(number)],
            },
            Aside::Say(number, text) => match self.sidebar(number).and_then(|s| s.inside.as_mut()) {
                Some(Inside { room, talk, .. }) => within(number, [talk.say(room, text).await]),
                None => vec![outside(number)],
            },
            Aside::Ask(number, names) => match self.found(&names) {
                Ok(whom) => match self.sidebar(number).and_then(|s| s.inside.as_mut()) {
                    Some(Inside { room, talk, .. }) => {
                        talk.ask_in(room, &whom).await;
                        Vec::new()
                    }
                    None => vec![outside(number)],
                },
                Err(why) => vec![Shown::Undelivered(format!("nobody is asked: {why}"))],
            },
        }
    }

    /// What to show of an event of the room.
    pub(super) fn happened(&mut self, event: Event) -> Option<Shown> {
        match event {
            Event::AskedToSidebar { sidebar, text } => {
                let text = one_line(&text);
                let known = self.known(&sidebar);
                known.asked = true;
                let how = match known {
                    Sidebar { inside: Some(_), .. } => "you are in it".to_string(),
                    Sidebar { number, .. } => format!("/join {number} enters it"),
                };
                let text = format!("{}; {how}", text.trim_end_matches('.'));
                Some(aside_status(known.number, &text))
            }
            Event::Sidebars(all) => {
                let over = |address: &String| self.listed.contains(address) && !all.contains(address);
                self.sidebars.retain(|s| s.inside.is_some() || s.entering || !over(&s.address));
                self.listed = all;
                None
            }
            event => self.talk.happened(event),
        }
    }

    /// What to show of the next thing that happens in or about sidebars. Pending as long as there are none. Cancel safe.
    pub(super) async fn next(&mut self) -> Vec<Shown> {
        match poll_fn(|context| self.poll(context)).await {
            News::Entered(entered) => self.entered(*entered),
            News::Event(number, event) => self.happened_aside(number, event),
        }
    }

    /// Leaves the room and all sidebars.
    pub(super) async fn leave(mut self, room: Room) {
        for inside in self.sidebars.into_iter().filter_map(|s| s.inside) {
            self.leaving.spawn(inside.room.leave());
        }
        room.leave().await;
        while self.leaving.join_next().await.is_some() {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        // What was left is over.
        while let Poll::Ready(Some(_)) = self.leaving.poll_join_next(context) {}
        while let Poll::Ready(Some(entered)) = self.entering.poll_join_next(context) {
            // It is never stopped, and does not panic.
            if let Ok(entered) = entered {
                return Poll::Ready(News::Entered(Box::new(entered)));
            }
        }
        for sidebar in &mut self.sidebars {
            let Some(inside) = &mut sidebar.inside else { continue };
            if let Poll::Ready(event) = pin!(inside.events.next()).poll(context) {
                return Poll::Ready(News::Event(sidebar.number, event));
            }
        }
        Poll::Pending
    }

    fn inside(&self) -> impl Iterator<Item = (u32, &Inside)> {
        self.sidebars.iter().filter_map(|s| Some((s.number, s.inside.as_ref()?)))
    }

    fn sidebar(&mut self, number: u32) -> Option<&mut Sidebar> {
        self.sidebars.iter_mut().find(|s| s.number == number)
    }

    /// The sidebar at an address; one that had no number gets the next.
    fn known(&mut self, address: &str) -> &mut Sidebar {
        if let Some(at) = self.sidebars.iter().position(|s| s.address == address) {
            return &mut self.sidebars[at];
        }
        let outside = |s: &Sidebar| s.inside.is_none() && !s.entering;
        if self.sidebars.iter().filter(|s| outside(s)).count() >= KNOWN_MAX
            && let Some(oldest) = self.sidebars.iter().position(outside)
        {
            self.sidebars.remove(oldest);
        }
        self.last += 1;
        let at = self.sidebars.len();
        let (number, address) = (self.last, address.to_string());
        self.sidebars.push(Sidebar { number, address, asked: false, entering: false, inside: None });
        &mut self.sidebars[at]
    }

    /// Whom names mean, all of them or nobody.
    fn found(&self, names: &[String]) -> Result<Vec<Person>, String> {
        if names.len() > RECIPIENTS_MAX {
            return Err(format!("at most {RECIPIENTS_MAX} people can be asked at a time"));
        }
        names.iter().map(|typed| self.talk.whom(typed)).collect()
    }

    fn open(&mut self, names: &[String]) -> Vec<Shown> {
        let whom = match self.may_enter().and_then(|()| self.found(names)) {
            Ok(whom) => whom,
            Err(why) => return vec![Shown::Undelivered(format!("no sidebar is opened: {why}"))],
        };
        let asked: Vec<String> = whom.iter().map(|who| name(&who.name)).collect();
        let to = To::New(whom.into_iter().map(|who| who.address).collect());
        self.begin(Aim::New(asked.join(", ")), to);
        Vec::new()
    }

    fn enter(&mut self, number: u32) -> Vec<Shown> {
        let may = self.may_enter();
        let Some(sidebar) = self.sidebar(number) else { return vec![unknown(number)] };
        if sidebar.inside.is_some() || sidebar.entering {
            return vec![aside_status(number, "you are in it already")];
        }
        if let Err(why) = may {
            return vec![Shown::Undelivered(format!("sidebar {number} is not entered: {why}"))];
        }
        sidebar.entering = true;
        let to = To::Known(sidebar.address.clone());
        self.begin(Aim::Known(number), to);
        Vec::new()
    }

    fn may_enter(&self) -> Result<(), String> {
        let first = self.inside().next().map_or(1, |(number, _)| number);
        if self.inside().count() + self.entering.len() < SIDEBARS_MAX {
            return Ok(());
        }
        Err(format!("you are in {SIDEBARS_MAX} already; leave one first: /leave {first}"))
    }

    fn begin(&mut self, aim: Aim, to: To) {
        let (name, hidden) = self.talk.seen_as();
        let talk = if hidden { Talk::hidden(&name) } else { Talk::new(&name) };
        let entering = (self.door)(Entry { to, name, hidden });
        self.entering.spawn(async move { (aim, talk, entering.await) });
    }

    fn entered(&mut self, (aim, talk, result): Entered) -> Vec<Shown> {
        if let Aim::Known(number) = aim
            && let Some(sidebar) = self.sidebar(number)
        {
            sidebar.entering = false;
        }
        let (room, events) = match (result, &aim) {
            (Ok(entered), _) => entered,
            (Err(error), Aim::New(_)) => {
                let why = words::not_entered(&error);
                return vec![Shown::Undelivered(format!("no sidebar was opened: {why}"))];
            }
            (Err(error), Aim::Known(number)) => {
                let text = format!("you are not let in: {}", words::not_entered(&error));
                return within(*number, vec![Shown::Undelivered(text)]);
            }
        };
        let sidebar = match aim {
            Aim::Known(number) => match self.sidebar(number) {
                Some(sidebar) => sidebar,
                None => return Vec::new(),
            },
            Aim::New(_) => self.known(room.room()),
        };
        sidebar.inside = Some(Inside { room, events, talk });
        let number = sidebar.number;
        let begin = match aim {
            Aim::New(asked) => format!("the sidebar is open, asked: {asked}"),
            Aim::Known(_) => "you are in it".to_string(),
        };
        vec![aside_status(
            number,
            &format!("{begin}; /in {number} TEXT speaks there, /leave {number} leaves"),
        )]
    }

    fn happened_aside(&mut self, number: u32, event: Option<Event>) -> Vec<Shown> {
        let Some(sidebar) = self.sidebar(number) else { return Vec::new() };
        let Some(inside) = &mut sidebar.inside else { return Vec::new() };
        let why = match event {
            Some(Event::Closed { why }) => one_line(&why),
            None => "it is gone".to_string(),
            Some(event) => {
                // Its first list may be older than our being in it.
                let premature = matches!(&event, Event::Here(all) if all.is_empty());
                return within(number, inside.talk.happened(event).filter(|_| !premature));
            }
        };
        sidebar.inside = None;
        within(number, vec![Shown::Trouble(format!("you are out of it: {why}"))])
    }

    /// The sidebars that there are; those that had no number get one.
    fn list(&mut self) -> String {
        for address in self.listed.clone() {
            self.known(&address);
        }
        let line = |s: &Sidebar| match &s.inside {
            Some(inside) => format!("\n    [{}] {}", s.number, people(inside.talk.here())),
            None if s.asked => format!("\n    [{0}] you are asked to it; /join {0} enters it", s.number),
            None => format!("\n    [{0}] of others; /join {0} enters it if they ask you", s.number),
        };
        let lines: Vec<String> = self.sidebars.iter().map(line).collect();
        match lines.len() {
            0 => "there are no sidebars; /sidebar NAME opens one".to_string(),
            1 => format!("1 sidebar:{}", lines[0]),
            n => format!("{n} sidebars:{}", lines.concat()),
        }
    }
}

/// Something shown of a sidebar.
fn within(number: u32, all: impl IntoIterator<Item = Shown>) -> Vec<Shown> {
    all.into_iter().map(|shown| Shown::Aside(number, Box::new(shown))).collect()
}

fn aside_status(number: u32, text: &str) -> Shown {
    Shown::Aside(number, Box::new(Shown::Status(text.to_string())))
}

fn unknown(number: u32) -> Shown {
    Shown::Undelivered(format!("there is no sidebar {number}; /sidebars tells which there are"))
}

fn outside(number: u32) -> Shown {
    Shown::Undelivered(format!("you are not in a sidebar {number}; /sidebars tells which there are"))
}
