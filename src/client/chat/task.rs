//! The task behind a room: socket, call, roster and clock around the machine of `endpoint.rs`.

use super::{COMMANDS_WAITING_MAX, Command, EVENTS_WAITING_MAX, Event, JoinError, Message};
use crate::base::address::Address;
use crate::base::clock::{Now, now, wall_seconds, wall_text};
use crate::client::call::{Call, CallError, RosterFeed};
use crate::client::endpoint::{Endpoint, News};
use crate::client::roster::{Change, Roster, Verdict};
use crate::wire::conference;
use crate::wire::cpim;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What leaving waits for at most: the last octets on their way, then the answer to BYE.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// After the switch closed the connection, how long the BYE that tells why may take.
const REASON_WAIT: Duration = Duration::from_millis(500);

/// The documents behind this content type tell who is typing; they are no messages.
const COMPOSING: &str = "application/im-iscomposing+xml";

/// The task behind a [`Room`](super::Room).
pub(super) struct Task {
    pub(super) stream: TcpStream,
    pub(super) endpoint: Endpoint,
    pub(super) call: Call,
    pub(super) roster: Roster,
    pub(super) room: String,
    pub(super) from: String,
    pub(super) name: String,
    /// What the room says is its largest message.
    pub(super) message_bytes_max: u64,
    pub(super) events: mpsc::Sender<Event>,
    /// Events for which there was no room in the channel.
    pub(super) waiting: VecDeque<Event>,
}

/// A step of [`Task::run`].
enum Input {
    Command(Option<Command>),
    Io(io::Result<()>),
    CallEnded(String),
    Feed(Result<RosterFeed, CallError>),
    Document(Option<Bytes>),
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
        let mut subscribing: Option<Subscribing> = Some(Box::pin(self.call.subscription()));
        let mut feed: Option<RosterFeed> = None;
        loop {
            let input = self.next(&mut commands, &mut subscribing, &mut feed).await;
            self.endpoint.wake(now());
            let told = matches!(input, Input::CallEnded(_));
            let closed = match input {
                Input::Command(Some(Command::Say { number, to, text })) => {
                    self.say(number, to.as_deref(), &text);
                    None
                }
                Input::Command(Some(Command::Nickname { number, name })) => {
                    self.endpoint.nickname(number, &name);
                    None
                }
                Input::Command(Some(Command::Leave { done })) => {
                    self.leave().await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
                Input::Command(None) => return self.leave().await,
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
        let deadline = self.endpoint.deadline();
        let free = self.endpoint.waiting() < COMMANDS_WAITING_MAX;
        let read = self.waiting.len() < EVENTS_WAITING_MAX && !self.endpoint.clogged();
        let (events, waiting) = (self.events.clone(), !self.waiting.is_empty());
        let Self { stream, endpoint, call, .. } = self;
        tokio::select! {
            command = commands.recv(), if free => Input::Command(command),
            done = exchange(stream, endpoint, read) => Input::Io(done),
            why = call.ended() => Input::CallEnded(why),
            result = until_some(subscribing) => Input::Feed(result),
            document = next_document(feed) => Input::Document(document),
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

    fn say(&mut self, number: u64, to: Option<&str>, text: &str) {
        let mut octets = Vec::with_capacity(text.len() + 256);
        cpim::write(
            &mut octets,
            &cpim::Draft {
                from: &self.from,
                from_name: &self.name,
                to: to.unwrap_or(&self.room),
                to_name: "",
                date_time: &wall_text(wall_seconds()),
                headers: &[],
                content_type: "text/plain;charset=UTF-8",
                content: text.as_bytes(),
            },
        );
        if octets.len() as u64 > self.message_bytes_max {
            let comment = format!("the room takes messages up to {} octets", self.message_bytes_max);
            return self.tell(Event::Refused { message: number, code: 413, comment });
        }
        self.endpoint.say(number, octets);
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
                    self.tell(match change {
                        Change::Here(people) => Event::Here(people),
                        Change::Joined(who) => Event::Joined(who),
                        Change::Left(who) => Event::Left(who),
                        Change::Renamed { who, before } => Event::Renamed { who, before },
                        Change::Subject(text) => Event::Subject(text),
                    });
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
                    if let Some(message) = self.understand(&octets) {
                        self.tell(Event::Message(message));
                    }
                }
                News::Accepted(message) => self.tell(Event::Accepted { message }),
                News::Refused { message, code, comment } => {
                    self.tell(Event::Refused { message, code, comment });
                }
                News::Lost(why) => lost = Some(why),
            }
        }
        lost
    }

    /// Reads a wrapper; `None` for what is no message to a person.
    fn understand(&self, octets: &[u8]) -> Option<Message> {
        let message = cpim::read(octets).ok()?;
        if message.content_type.eq_ignore_ascii_case(COMPOSING) {
            return None;
        }
        let to_room = match Address::parse(&self.room) {
            Ok(room) => message.to.iter().any(|to| room.is(to.uri)),
            Err(_) => true,
        };
        Some(Message {
            from: message.from.uri.to_string(),
            name: self.name_of(message.from.uri, &message.from.name),
            to_me: !to_room,
            date_time: message.date_time.map(str::to_string),
            content_type: message.content_type.to_string(),
            content: Bytes::copy_from_slice(message.content),
            not_understood: message.require.iter().map(|r| (*r).to_string()).collect(),
        })
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
