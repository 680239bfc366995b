//! Being in a room: the MSRP connection, the call and the roster as one handle and one stream of events.
//!
//! ```text
//!  Room ──Command──▶ task ──▶ Endpoint (sans-IO) ──▶ TCP connection to the switch
//!  Events ◀──Event──┘  ▲───── Call (BYE), RosterFeed (who is there)
//! ```
//!
//! Touches: the TCP connection, the monotonic and the wall clock, name resolution. Bounds:
//! `COMMANDS_WAITING_MAX` messages not on their way yet make [`Room::say`] wait; with
//! `EVENTS_WAITING_MAX` events not taken the switch is not read. TLS is not spoken.
//! A task that both speaks and takes events must not have more messages under way than the events hold,
//! since each is answered by one. Proved by: `chat_tests.rs` against a scripted server on loopback; the machine by `endpoint_tests.rs`.

mod task;

use super::call::{CallError, Caller, Invite, Transport};
use super::endpoint::Endpoint;
pub use super::roster::Person;
use super::roster::Roster;
use crate::base::clock::now;
use crate::base::entropy::Entropy;
use crate::base::limits::CONNECT_WAIT;
use crate::wire::msrp::uri::{MsrpUri, path};
use crate::wire::nickname::{self, BadNickname};
use crate::wire::sdp::{self, Chatroom, Description, MessageMedia, Setup};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use task::Task;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// The largest message taken (also `a=max-size` in our offer). Beyond: 413.
pub const MESSAGE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Messages that are not on their way yet. Beyond: [`Room::say`] waits.
const COMMANDS_WAITING_MAX: usize = 64;

/// Events that were not taken yet. Beyond: the switch is not read.
const EVENTS_WAITING_MAX: usize = 1024;

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
    /// The switch took a message of ours, or gave us the nickname.
    Accepted {
        /// The number that [`Room::say`] or [`Room::nickname`] gave.
        message: u64,
    },
    /// A message of ours was refused, or probably lost (408); or a nickname was.
    Refused {
        /// The number that [`Room::say`] or [`Room::nickname`] gave.
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

/// Why nothing was asked of the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unasked {
    /// We are not in the room any more, the events tell why.
    NotInRoom,
    /// The room does not declare nicknames (CHAT-NICK-02).
    NoNicknames,
    /// The room does not declare private messages (CHAT-PRIV-07).
    NoPrivateMessages,
    /// No room would take this nickname.
    BadNickname(BadNickname),
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInRoom => NotInRoom.fmt(f),
            Self::NoNicknames => f.write_str("this room has no nicknames"),
            Self::NoPrivateMessages => f.write_str("this room has no private messages"),
            Self::BadNickname(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Unasked {}

impl From<NotInRoom> for Unasked {
    fn from(NotInRoom: NotInRoom) -> Self {
        Self::NotInRoom
    }
}

enum Command {
    Say {
        number: u64,
        to: Option<String>,
        text: String,
    },
    /// The empty name is to have none.
    Nickname {
        number: u64,
        name: String,
    },
    Leave {
        done: oneshot::Sender<()>,
    },
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
        self.say_as(None, text).await
    }

    /// Says something to one participant only, who is named by address (RFC 7701 §6.2).
    ///
    /// # Errors
    /// Why it was not sent.
    pub async fn say_to(&self, address: &str, text: &str) -> Result<u64, Unasked> {
        if !self.has_private_messages() {
            return Err(Unasked::NoPrivateMessages);
        }
        Ok(self.say_as(Some(address.to_string()), text).await?)
    }

    /// Asks to be known by a nickname, or with `None` by none (RFC 7701 §7). The number names the request
    /// in [`Event::Accepted`] and [`Event::Refused`] (425: somebody else has it); until the former the
    /// nickname before holds.
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn nickname(&self, wished: Option<&str>) -> Result<u64, Unasked> {
        if !self.has_nicknames() {
            return Err(Unasked::NoNicknames);
        }
        let name = match wished {
            Some(wished) => nickname::prepare(wished).map_err(Unasked::BadNickname)?.shown.to_string(),
            None => String::new(),
        };
        Ok(self.send(|number| Command::Nickname { number, name }).await?)
    }

    /// Whether the room lets participants have nicknames (CHAT-NICK-02).
    #[must_use]
    pub fn has_nicknames(&self) -> bool {
        self.abilities.nickname
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

    async fn say_as(&self, to: Option<String>, text: &str) -> Result<u64, NotInRoom> {
        let text = text.to_string();
        self.send(|number| Command::Say { number, to, text }).await
    }

    async fn send(&self, command: impl FnOnce(u64) -> Command) -> Result<u64, NotInRoom> {
        let number = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        self.commands.send(command(number)).await.map_err(|_| NotInRoom)?;
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
    /// A room that does what the script says, with nicknames and private messages if `able`.
    pub(crate) fn room(able: bool) -> (Room, Events, Self) {
        let (events, receive_events) = mpsc::channel(8);
        let (commands, receive_commands) = mpsc::channel(8);
        let abilities = Chatroom { nickname: able, private_messages: able };
        let room = Room { commands, said: AtomicU64::new(0), abilities };
        (room, Events { events: receive_events }, Self { commands: receive_commands, events })
    }

    /// The next thing said or asked: `text`, `to ADDRESS: text`, `nickname NAME`; `None` when the room is
    /// left.
    pub(crate) async fn heard(&mut self) -> Option<(u64, String)> {
        match self.commands.recv().await? {
            Command::Say { number, to: None, text } => Some((number, text)),
            Command::Say { number, to: Some(to), text } => Some((number, format!("to {to}: {text}"))),
            Command::Nickname { number, name } => Some((number, format!("nickname {name}"))),
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
