//! Being in a room: the MSRP connection, the call and the roster as one handle and one stream of events.
//!
//! ```text
//!  Room ──Command──▶ task ──▶ Endpoint (sans-IO) ──▶ TCP connection to the switch
//!  Events ◀──Event──┘  ▲───── Call (BYE), RosterFeed (who is there)
//! ```
//!
//! Touches: the TCP connection, the monotonic and the wall clock, name resolution. Bounds:
//! [`COMMANDS_WAITING_MAX`] messages not on their way yet make [`Room::say`] wait; with
//! [`EVENTS_WAITING_MAX`] events not taken the switch is not read. TLS is not spoken.
//! A task that both speaks and takes events must not have more messages under way than the events hold,
//! since each is answered by one. Proved by: `chat_tests.rs` against a scripted server on loopback; the machine by `endpoint_tests.rs`.

use super::call::{Call, CallError, Caller, Invite, RosterFeed, Transport};
use super::endpoint::{Endpoint, News};
pub use super::roster::Person;
use super::roster::{Change, Roster, Verdict};
use crate::base::address::Address;
use crate::base::clock::{Now, now, wall_seconds, wall_text};
use crate::base::entropy::Entropy;
use crate::base::limits::CONNECT_WAIT;
use crate::wire::conference;
use crate::wire::cpim;
use crate::wire::msrp::uri::{MsrpUri, path};
use crate::wire::sdp::{self, Chatroom, Description, MessageMedia, Setup};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// The largest message taken (also `a=max-size` in our offer). Beyond: 413.
pub const MESSAGE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Messages that are not on their way yet. Beyond: [`Room::say`] waits.
const COMMANDS_WAITING_MAX: usize = 64;

/// Events that were not taken yet. Beyond: the switch is not read.
const EVENTS_WAITING_MAX: usize = 1024;

/// What leaving waits for at most: the last octets on their way, then the answer to BYE.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// After the switch closed the connection, how long the BYE that tells why may take.
const REASON_WAIT: Duration = Duration::from_millis(500);

/// The documents behind this content type tell who is typing; they are no messages.
const COMPOSING: &str = "application/im-iscomposing+xml";

/// A SIP endpoint from which rooms are joined.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
}

/// Which room to join, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// The room: `sip:ROOM@DOMAIN`.
    pub room: &'a str,
    /// Who joins: `sip:USER@DOMAIN`.
    pub from: &'a str,
    /// The name shown to others; may be empty.
    pub display_name: &'a str,
}

/// Why a room could not be joined.
#[derive(Debug)]
pub enum JoinError {
    /// The call did not come about.
    Call(CallError),
    /// The room's session description cannot be used.
    Answer(String),
    /// The switch cannot be reached.
    Connect(SocketAddr, io::Error),
    /// The switch did not take the session.
    Session(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(e) => e.fmt(f),
            Self::Answer(why) => write!(f, "the room's answer cannot be used: {why}"),
            Self::Connect(to, e) => write!(f, "cannot connect to the room's switch at {to}: {e}"),
            Self::Session(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for JoinError {}

/// What happens in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Everybody who is there, told once.
    Here(Vec<Person>),
    /// Somebody came.
    Joined(Person),
    /// Somebody went.
    Left(Person),
    /// Somebody has another name now.
    Renamed {
        /// Who, with the new name.
        who: Person,
        /// The name before.
        before: String,
    },
    /// What the room is about.
    Subject(String),
    /// Somebody said something.
    Message(Message),
    /// The switch took a message of ours.
    Accepted {
        /// The number that [`Room::say`] gave.
        message: u64,
    },
    /// A message of ours was refused, or probably lost (408).
    Refused {
        /// The number that [`Room::say`] gave.
        message: u64,
        /// The MSRP status code.
        code: u16,
        /// What the switch says to it.
        comment: String,
    },
    /// We are out of the room; the last event.
    Closed {
        /// Why.
        why: String,
    },
}

/// What somebody said. Names and texts may hold any character: whoever shows them to a terminal cleans them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The sender's URI, for which the room vouches.
    pub from: String,
    /// The sender's name by the roster, or else as the message says, or else the address.
    pub name: String,
    /// A private message.
    pub to_me: bool,
    /// When it was sent, as its sender says (RFC 3339).
    pub date_time: Option<String>,
    /// The media type, without parameters.
    pub content_type: String,
    /// The content.
    pub content: Bytes,
    /// Headers that the sender says must be understood and that we do not (RFC 3862 §3.5): not to be
    /// shown as if they were.
    pub not_understood: Vec<String>,
}

impl Message {
    /// The content if it is text; `None` for everything else.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        let kind = self.content_type.get(..5)?;
        kind.eq_ignore_ascii_case("text/").then(|| String::from_utf8_lossy(&self.content))
    }
}

/// We are not in the room any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotInRoom;

impl fmt::Display for NotInRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the room any more")
    }
}

impl std::error::Error for NotInRoom {}

enum Command {
    Say { number: u64, to: Option<String>, text: String },
    Leave { done: oneshot::Sender<()> },
}

/// Being in a room. Dropping it leaves without waiting.
#[derive(Debug)]
pub struct Room {
    commands: mpsc::Sender<Command>,
    said: AtomicU64,
    abilities: Chatroom,
}

/// What happens in the room, in order.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; `None` after [`Event::Closed`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Client {
    /// Opens the SIP socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the system says about the socket, or over TCP about the connection.
    pub async fn new(server: SocketAddr, transport: Transport) -> io::Result<Self> {
        Ok(Self { caller: Caller::new(server, transport).await? })
    }

    /// Joins a room: the call, the connection to its switch, the session on it.
    ///
    /// # Errors
    /// Why we are not in the room.
    pub async fn join(&self, join: &Join<'_>) -> Result<(Room, Events), JoinError> {
        let mut entropy = Entropy::from_system();
        let local = local_path(self.caller.local_addr().ip(), &mut entropy);
        let offer = offer(self.caller.local_addr().ip(), &local, &mut entropy);
        let invite =
            Invite { room: join.room, from: join.from, display_name: join.display_name, offer: &offer };
        let call = self.caller.invite(&invite).await.map_err(JoinError::Call)?;
        let media = usable(&call.answer)?;
        let stream = connect(&media.path).await?;
        let endpoint = Endpoint::new(now(), &local, &media.path, MESSAGE_BYTES_MAX, entropy);
        let abilities = media.chatroom.unwrap_or_default();
        let (events, receive_events) = mpsc::channel(EVENTS_WAITING_MAX);
        let (commands, receive_commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        let mut task = Task {
            stream,
            endpoint,
            call,
            roster: Roster::default(),
            room: join.room.to_string(),
            from: join.from.to_string(),
            name: join.display_name.to_string(),
            message_bytes_max: media.max_size.unwrap_or(u64::MAX),
            events,
            waiting: VecDeque::new(),
        };
        task.bind().await?;
        tokio::spawn(task.run(receive_commands));
        let room = Room { commands, said: AtomicU64::new(0), abilities };
        Ok((room, Events { events: receive_events }))
    }
}

impl Room {
    /// Says something to everybody. The number names the message in [`Event::Accepted`] and
    /// [`Event::Refused`]; the first is 1.
    ///
    /// # Errors
    /// [`NotInRoom`], the events tell why.
    pub async fn say(&self, text: &str) -> Result<u64, NotInRoom> {
        self.send(None, text).await
    }

    /// Says something to one participant only, who is named by address (RFC 7701 §6.2).
    ///
    /// # Errors
    /// [`NotInRoom`], the events tell why.
    pub async fn say_to(&self, address: &str, text: &str) -> Result<u64, NotInRoom> {
        self.send(Some(address.to_string()), text).await
    }

    /// Whether the room lets participants talk in private (CHAT-PRIV-07).
    #[must_use]
    pub fn has_private_messages(&self) -> bool {
        self.abilities.private_messages
    }

    /// Leaves: what was said is sent, then the call is ended.
    pub async fn leave(self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Leave { done }).await.is_ok() {
            // An error means that the task is gone, and so are we.
            let _ = wait.await;
        }
    }

    async fn send(&self, to: Option<String>, text: &str) -> Result<u64, NotInRoom> {
        let number = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        let command = Command::Say { number, to, text: text.to_string() };
        self.commands.send(command).await.map_err(|_| NotInRoom)?;
        Ok(number)
    }
}

/// The other ends of a handle, for tests of what is built on it.
#[cfg(test)]
pub(crate) struct Script {
    commands: mpsc::Receiver<Command>,
    /// What the room tells.
    pub(crate) events: mpsc::Sender<Event>,
}

#[cfg(test)]
impl Script {
    /// A room that does what the script says.
    pub(crate) fn room() -> (Room, Events, Self) {
        let (events, receive_events) = mpsc::channel(8);
        let (commands, receive_commands) = mpsc::channel(8);
        let room = Room { commands, said: AtomicU64::new(0), abilities: Chatroom::default() };
        (room, Events { events: receive_events }, Self { commands: receive_commands, events })
    }

    /// The next thing said; `None` when the room is left.
    pub(crate) async fn heard(&mut self) -> Option<(u64, String)> {
        match self.commands.recv().await? {
            Command::Say { number, text, .. } => Some((number, text)),
            Command::Leave { done } => {
                let _ = done.send(());
                None
            }
        }
    }
}

/// Our own path: nobody connects to it, so its port is 9 (RFC 6135 §4.2.2).
fn local_path(host: IpAddr, entropy: &mut Entropy) -> String {
    let id: String = entropy.text::<22>().map(char::from).iter().collect();
    let host = SocketAddr::new(host, 9);
    format!("msrp://{host}/{id};tcp")
}

fn offer(host: IpAddr, path: &str, entropy: &mut Entropy) -> String {
    sdp::offer(&sdp::Local {
        username: "-",
        session: entropy.bits() >> 1,
        version: 1,
        host: &host.to_string(),
        port: 9,
        path,
        setup: Setup::Active,
        wrapped_types: "*",
        accept_types: "message/cpim",
        max_size: MESSAGE_BYTES_MAX,
        chatroom: Some("nickname private-messages"),
        secure: false,
    })
}

/// The media of an answer, if we can use it.
fn usable(answer: &str) -> Result<MessageMedia, JoinError> {
    let description = Description::parse(answer.as_bytes()).map_err(|e| JoinError::Answer(e.to_string()))?;
    let media = description.chat().map_err(|e| JoinError::Answer(e.to_string()))?;
    if media.secure {
        return Err(JoinError::Answer("it wants TLS, which this client does not speak".to_string()));
    }
    if media.setup == Some(Setup::Active) {
        return Err(JoinError::Answer("it wants to connect to us".to_string()));
    }
    Ok(media.clone())
}

/// Connects to the leftmost URI of a path (SDP-03).
async fn connect(remote: &str) -> Result<TcpStream, JoinError> {
    let unusable = |what: &str| JoinError::Answer(format!("{what} in its path: {remote}"));
    let first = path(remote.as_bytes()).next().unwrap_or_default();
    let uri = MsrpUri::parse(first).map_err(|e| unusable(&e.to_string()))?;
    let host = std::str::from_utf8(uri.host).map_err(|_| unusable("bad host"))?;
    let port = uri.port.ok_or_else(|| unusable("no port"))?;
    let found = tokio::net::lookup_host((host, port)).await;
    let to = found.ok().and_then(|mut all| all.next()).ok_or_else(|| unusable("unknown host"))?;
    let connected = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(to)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|e| JoinError::Connect(to, e))?;
    stream.set_nodelay(true).map_err(|e| JoinError::Connect(to, e))?;
    Ok(stream)
}

/// The task behind a [`Room`].
struct Task {
    stream: TcpStream,
    endpoint: Endpoint,
    call: Call,
    roster: Roster,
    room: String,
    from: String,
    name: String,
    /// What the room says is its largest message.
    message_bytes_max: u64,
    events: mpsc::Sender<Event>,
    /// Events for which there was no room in the channel.
    waiting: VecDeque<Event>,
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
    async fn bind(&mut self) -> Result<(), JoinError> {
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

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
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
