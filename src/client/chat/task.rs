//! The task behind a room: socket, call, roster and clock around the machine of `endpoint.rs`.

mod sending;

use super::{COMMANDS_WAITING_MAX, Command, EVENTS_WAITING_MAX, Event, JoinError, Message, Person};
use crate::base::address::Address;
use crate::base::clock::{Now, now};
use crate::client::call::{Call, CallError, CallNews, RosterFeed};
use crate::client::endpoint::{Endpoint, News};
use crate::client::multipart::declared;
use crate::client::receipts::Receipts;
use crate::client::roster::{Change, Roster, Verdict};
use crate::client::sidebar;
use crate::client::typing::{OthersTyping, OwnTyping};
use crate::wire::conference::{self, COMPOSING_MEDIA_TYPE, Composing, NOTICE_MEDIA_TYPE};
use crate::wire::cpim;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What leaving waits for at most: the last octets on their way, then the answer to BYE.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// After the switch closed the connection, how long the BYE that tells why may take.
const REASON_WAIT: Duration = Duration::from_millis(500);

/// From the answer to a SUBSCRIBE to its document.
const LIST_WAIT: Duration = Duration::from_secs(10);

/// Lists of rooms that are asked for at once.
const LISTS_MAX: usize = 4;

/// The task behind a [`Room`](super::Room).
pub(super) struct Task {
    pub(super) stream: TcpStream,
    pub(super) endpoint: Endpoint,
    pub(super) call: Call,
    pub(super) roster: Roster,
    pub(super) room: String,
    /// The factory made it, so that the call went to another address.
    pub(super) made: bool,
    /// Who speaks: address and name.
    pub(super) from: String,
    pub(super) name: String,
    /// Who the server knows us to be, for the case that we hide and show ourselves later.
    pub(super) known: Option<(String, String)>,
    /// Our session description, for another INVITE.
    pub(super) offer: String,
    /// The room passes on who is writing.
    pub(super) typing_taken: bool,
    /// The room counts who has a message.
    pub(super) counts: bool,
    /// `None` where there are no private messages, and so no receipts (IMDN-03).
    pub(super) receipts: Option<Receipts>,
    pub(super) own: OwnTyping,
    pub(super) others: OthersTyping,
    /// REFERs that stand for a command, by their numbers; as many as a call has under way at most.
    pub(super) kicks: Vec<u64>,
    /// What the room says is its largest message.
    pub(super) message_bytes_max: u64,
    pub(super) events: mpsc::Sender<Event>,
    /// Events for which there was no room in the channel.
    pub(super) waiting: VecDeque<Event>,
    /// Lists of rooms that were asked for.
    pub(super) lists: JoinSet<Event>,
}

/// A step of [`Task::run`].
enum Input {
    Command(Option<Command>),
    Io(io::Result<()>),
    Call(CallNews),
    CallEnded(String),
    Feed(Result<RosterFeed, CallError>),
    Document(Option<Bytes>),
    List(Event),
    Nothing,
}

type Subscribing = Pin<Box<dyn Future<Output = Result<RosterFeed, CallError>> + Send>>;

impl Task {
    /// Sends the first request and waits for its answer.
    pub(super) async fn bind(&mut self) -> Result<(), JoinError> {
        loop {
            match self.endpoint.take_news() {
                Some(News::Bound) => return Ok(()),
                Some(News::Lost(why)) => return Err(JoinError::Session(why)),
                _ => {}
            }
            let deadline = self.endpoint.deadline();
            let io = async { self.io(true).await };
            tokio::select! {
                done = io => done.map_err(|e| JoinError::Session(broken(&e)))?,
                () = sleep_until(deadline) => self.endpoint.wake(now()),
            }
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut subscribing: Option<Subscribing> =
            Some(Box::pin(self.call.subscription(self.made.then(|| self.room.clone()))));
        let mut feed: Option<RosterFeed> = None;
        loop {
            let input = self.next(&mut commands, &mut subscribing, &mut feed).await;
            self.wake();
            let told = matches!(input, Input::CallEnded(_));
            let closed = match input {
                Input::Command(Some(Command::Leave { done })) => {
                    self.leave().await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
                Input::Command(None) => return self.leave().await,
                Input::Command(Some(command)) => {
                    self.obey(command);
                    None
                }
                Input::Call(news) => {
                    self.on_call_news(news);
                    None
                }
                Input::Io(Ok(())) | Input::Nothing => None,
                Input::Io(Err(e)) => Some(broken(&e)),
                Input::CallEnded(why) => Some(why),
                Input::Feed(result) => {
                    subscribing = None;
                    feed = result.ok();
                    None
                }
                Input::Document(Some(xml)) => {
                    self.on_document(&xml, feed.as_ref());
                    None
                }
                Input::Document(None) => {
                    feed = None;
                    None
                }
                Input::List(event) => {
                    self.tell(event);
                    None
                }
            };
            let lost = self.tell_news();
            if let Some(why) = closed.or(lost) {
                return self.close(why, told).await;
            }
        }
    }

    /// Waits for the next thing to do.
    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        subscribing: &mut Option<Subscribing>,
        feed: &mut Option<RosterFeed>,
    ) -> Input {
        let deadlines = [self.endpoint.deadline(), self.own.deadline(), self.others.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let free = self.endpoint.waiting() < COMMANDS_WAITING_MAX;
        let read = self.waiting.len() < EVENTS_WAITING_MAX && !self.endpoint.clogged();
        let (events, waiting) = (self.events.clone(), !self.waiting.is_empty());
        let Self { stream, endpoint, call, lists, .. } = self;
        tokio::select! {
            command = commands.recv(), if free => Input::Command(command),
            done = exchange(stream, endpoint, read) => Input::Io(done),
            news = call.next() => match news {
                Ok(news) => Input::Call(news),
                Err(why) => Input::CallEnded(why),
            },
            result = until_some(subscribing) => Input::Feed(result),
            document = next_document(feed) => Input::Document(document),
            Some(list) = lists.join_next() => list.map_or(Input::Nothing, Input::List),
            permit = events.reserve(), if waiting => {
                if let (Ok(permit), Some(event)) = (permit, self.waiting.pop_front()) {
                    permit.send(event);
                }
                Input::Nothing
            }
            () = sleep_until(deadline) => Input::Nothing,
        }
    }

    async fn io(&mut self, read: bool) -> io::Result<()> {
        exchange(&mut self.stream, &mut self.endpoint, read).await
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Say { number, to, text, counted } => self.say(number, to.as_deref(), &text, counted),
            Command::Nickname { number, name } => self.endpoint.nickname(number, &name),
            Command::Refer { number, whom, out: false, .. } => self.call.bring_in(number, &whom),
            Command::Refer { number, whom, out: true, kick } => {
                self.kicks.extend(kick.then_some(number));
                self.call.take_out(number, &whom);
            }
            Command::Order { number, media_type, body } => self.order(number, media_type, &body),
            Command::Reveal { number } => self.call.reveal(number, &self.offer),
            Command::List { number, directory } if self.lists.len() < LISTS_MAX => {
                let own = || format!("sip:rooms@{}", sidebar::domain(&self.room).unwrap_or_default());
                let asked = self.call.subscription(Some(directory.unwrap_or_else(own)));
                self.lists.spawn(async move { list(number, asked).await });
            }
            Command::List { number, .. } => {
                self.tell(Event::Failed { request: number, error: CallError::Busy });
            }
            Command::Typing { writing } => {
                let told = if writing { self.own.typed(now()) } else { self.own.stopped() };
                self.tell_typing(told);
            }
            // The one who runs us ends with it.
            Command::Leave { .. } => {}
        }
    }

    /// Does what is due.
    fn wake(&mut self) {
        let now = now();
        self.endpoint.wake(now);
        let told = self.own.wake(now);
        self.tell_typing(told);
        for address in self.others.wake(now) {
            let who = self.person(&address, "");
            self.tell(Event::Typing { who, writing: false });
        }
    }

    fn on_call_news(&mut self, news: CallNews) {
        match news {
            CallNews::Step { number, step } if self.kicks.contains(&number) => {
                if step.last {
                    self.kicked(number, step.code, step.phrase);
                }
            }
            CallNews::Step { number, step } => self.tell(Event::Step { request: number, step }),
            // The steps tell the rest.
            CallNews::Referred { outcome: Ok(()), .. } => {}
            CallNews::Revealed { number, outcome: Ok((identity, warning)) } => {
                match (identity, &self.known) {
                    // It goes on to call us what it called us.
                    (Some(identity), _) => self.from = identity,
                    (None, Some((from, name))) => {
                        (self.from, self.name) = (from.clone(), name.clone());
                    }
                    (None, None) => {}
                }
                self.tell(Event::Revealed { request: number, address: self.from.clone(), warning });
            }
            CallNews::Referred { number, outcome: Err(CallError::Refused { code, phrase, warning, .. }) }
                if self.kicks.contains(&number) =>
            {
                self.kicked(number, code, warning.unwrap_or(phrase));
            }
            CallNews::Referred { number, outcome: Err(error) } if self.kicks.contains(&number) => {
                let code = if error == CallError::NoAnswer { 408 } else { 400 };
                self.kicked(number, code, error.to_string());
            }
            CallNews::Revealed { number, outcome: Err(error) }
            | CallNews::Referred { number, outcome: Err(error) } => {
                self.tell(Event::Failed { request: number, error });
            }
        }
    }

    /// A REFER that stands for a command is over.
    fn kicked(&mut self, number: u64, code: u16, comment: String) {
        self.kicks.retain(|kick| *kick != number);
        self.tell(match code {
            200..=299 => Event::Accepted { message: number },
            _ => Event::Refused { message: number, code, comment },
        });
    }

    fn on_document(&mut self, xml: &[u8], feed: Option<&RosterFeed>) {
        // A document that cannot be read changes nothing: messages matter more than the list of people.
        let Ok(update) = conference::read(xml) else { return };
        match self.roster.apply(&update) {
            Verdict::Gap => {
                if let Some(feed) = feed {
                    feed.refresh();
                }
            }
            Verdict::Changes(changes) => {
                for change in changes {
                    let event = match change {
                        Change::Here(people) => Event::Here(people),
                        Change::Joined(who) => Event::Joined(who),
                        Change::Left(who) => {
                            if self.others.done(&plain(&who.address)) {
                                self.tell(Event::Typing { who: who.clone(), writing: false });
                            }
                            Event::Left(who)
                        }
                        Change::Renamed { who, before } => Event::Renamed { who, before },
                        Change::Subject(text) => Event::Subject(text),
                        Change::Locked(locked) => Event::Locked(locked),
                        Change::Role { who, role, before } => Event::Role { who, role, before },
                        Change::Muted(who) => Event::Muted(who),
                        Change::Sidebars(all) => Event::Sidebars(all),
                    };
                    self.tell(event);
                }
            }
        }
    }

    /// Passes the machine's news on; why the session is over, if it is.
    fn tell_news(&mut self) -> Option<String> {
        let mut lost = None;
        while let Some(news) = self.endpoint.take_news() {
            match news {
                News::Bound => {}
                News::Message(octets) => {
                    for event in self.understand(&octets) {
                        self.tell(event);
                    }
                }
                News::Accepted(message) => self.tell(Event::Accepted { message }),
                News::Counted { message, count } => self.tell(Event::Received { message, count }),
                News::Refused { message, code, comment } => {
                    self.tell(Event::Refused { message, code, comment });
                }
                News::Lost(why) => lost = Some(why),
            }
        }
        lost
    }

    /// Reads a wrapper: a message to a person, or that somebody is writing one.
    fn understand(&mut self, octets: &[u8]) -> Vec<Event> {
        let Ok(message) = cpim::read(octets) else { return Vec::new() };
        let from = plain(message.from.uri);
        if message.content_type.eq_ignore_ascii_case(COMPOSING_MEDIA_TYPE) {
            // What cannot be read tells nothing.
            let told = Composing::read(message.content).ok();
            let told = told.filter(|_| from != plain(&self.from));
            let news = told.filter(|told| self.others.heard(now(), &from, *told));
            let who = self.person(&from, &message.from.name);
            return news.map(|told| Event::Typing { who, writing: told.active }).into_iter().collect();
        }
        let room = Address::parse(&self.room).ok();
        let to_room = room.as_ref().is_none_or(|room| message.to.iter().any(|to| room.is(to.uri)));
        if message.content_type.eq_ignore_ascii_case(NOTICE_MEDIA_TYPE) {
            // One to everybody is a mistake of its sender, and none of ours was asked so.
            let got = self.receipts.as_mut().filter(|_| !to_room).and_then(|r| r.got(message.content));
            let who = self.person(&from, &message.from.name);
            let event = got.map(|(message, delivered)| Event::Notified { message, who, delivered });
            return event.into_iter().collect();
        }
        if let Some(notice) = self.receipts.as_mut().and_then(|receipts| receipts.give(&message)) {
            self.give_receipt(message.from.uri, &notice);
        }
        let stopped = self.others.done(&from).then(|| self.person(&from, &message.from.name));
        let stopped = stopped.map(|who| Event::Typing { who, writing: false });
        let (_, parameters) = declared(&octets[..octets.len() - message.content.len()]);
        let said = Message {
            from: message.from.uri.to_string(),
            name: self.name_of(message.from.uri, &message.from.name),
            to_me: !to_room,
            of_room: room.is_some_and(|room| room.is(message.from.uri)),
            date_time: message.date_time.map(str::to_string),
            content_type: message.content_type.to_string(),
            parameters: parameters.to_string(),
            content: Bytes::copy_from_slice(message.content),
            not_understood: message.require.iter().map(|r| (*r).to_string()).collect(),
        };
        let asked = said.text().filter(|_| said.of_room);
        let asked = asked.as_deref().and_then(sidebar::asked).map(|(address, text)| Event::AskedToSidebar {
            sidebar: address.to_string(),
            text: text.to_string(),
        });
        stopped.into_iter().chain([asked.unwrap_or(Event::Message(said))]).collect()
    }

    fn person(&self, address: &str, said: &str) -> Person {
        Person { address: address.to_string(), name: self.name_of(address, said), ..Person::default() }
    }

    /// What to call a sender: the roster comes first, since the room vouches for it (CHAT-MSG-15).
    fn name_of(&self, from: &str, said: &str) -> String {
        let address = Address::parse(from);
        let known = self.roster.people().iter().find(|p| match &address {
            Ok(address) => address.is(&p.address),
            Err(_) => p.address == from,
        });
        match known {
            Some(person) => person.name.clone(),
            None if said.trim().is_empty() => from.to_string(),
            None => said.to_string(),
        }
    }

    fn tell(&mut self, event: Event) {
        // In order: not past what waits already.
        if self.waiting.is_empty() {
            match self.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => self.waiting.push_back(event),
            }
        } else {
            self.waiting.push_back(event);
        }
    }

    /// Sends what is still to be sent, then ends the call.
    async fn leave(mut self) {
        let flush = async {
            while self.endpoint.waiting() > 0 || !self.endpoint.output().is_empty() {
                if self.io(true).await.is_err() {
                    break;
                }
            }
        };
        // Whatever is not done in time is not done.
        let _ = tokio::time::timeout(LEAVE_WAIT, flush).await;
        let _ = tokio::time::timeout(LEAVE_WAIT, self.call.bye()).await;
    }

    /// The session is over without our wish: tells why, by the BYE if there is one. `told`: it came already.
    async fn close(mut self, mut why: String, told: bool) {
        if !told && let Ok(reason) = tokio::time::timeout(REASON_WAIT, self.call.ended()).await {
            why = reason;
        }
        self.tell(Event::Closed { why });
        // Nobody may be left to listen.
        for event in self.waiting.drain(..) {
            if self.events.send(event).await.is_err() {
                break;
            }
        }
        let _ = tokio::time::timeout(LEAVE_WAIT, self.call.bye()).await;
    }
}

/// An address in the one spelling that all of its spellings have in common.
fn plain(address: &str) -> String {
    Address::parse(address).map_or_else(|_| address.to_string(), |a| a.as_str().to_string())
}

/// Moves octets between socket and machine, whatever is possible first.
async fn exchange(stream: &mut TcpStream, endpoint: &mut Endpoint, read: bool) -> io::Result<()> {
    let write = !endpoint.output().is_empty();
    tokio::select! {
        ready = stream.readable(), if read => {
            ready?;
            let mut octets = [0; 16 * 1024];
            match stream.try_read(&mut octets) {
                Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the switch closed it")),
                Ok(length) => endpoint.receive(now(), &octets[..length]).map_err(io::Error::other),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(e) => Err(e),
            }
        }
        ready = stream.writable(), if write => {
            ready?;
            match stream.try_write(endpoint.output()) {
                Ok(length) => {
                    endpoint.wrote(now(), length);
                    Ok(())
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(e) => Err(e),
            }
        }
        else => std::future::pending().await,
    }
}

/// The public rooms, by a subscription that ends with its first document.
async fn list(number: u64, asked: impl Future<Output = Result<RosterFeed, CallError>>) -> Event {
    let failed = |error| Event::Failed { request: number, error };
    let mut feed = match asked.await {
        Ok(feed) => feed,
        Err(error) => return failed(error),
    };
    match tokio::time::timeout(LIST_WAIT, feed.next()).await {
        Ok(Some(xml)) => match conference::read(&xml) {
            Ok(update) => Event::Rooms { request: number, rooms: update.listed, note: update.note },
            Err(_) => failed(CallError::NoAnswer),
        },
        _ => failed(CallError::NoAnswer),
    }
}

fn broken(e: &io::Error) -> String {
    format!("the connection to the room broke: {e}")
}

async fn until_some(subscribing: &mut Option<Subscribing>) -> Result<RosterFeed, CallError> {
    match subscribing {
        Some(subscribing) => subscribing.await,
        None => std::future::pending().await,
    }
}

async fn next_document(feed: &mut Option<RosterFeed>) -> Option<Bytes> {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Now>) {
    match deadline {
        Some(at) => tokio::time::sleep(now().until(at)).await,
        None => std::future::pending().await,
    }
}
