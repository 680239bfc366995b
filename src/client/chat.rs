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

mod connect;
mod event;
mod moderating;
mod sidebars;
mod task;

pub use super::call::{Account, Step};
use super::call::{CallError, Caller, Invite, Transport};
use super::command::{BadCommand, COMMANDS_TOKEN, CONTROL_TOKEN};
use super::endpoint::Endpoint;
use super::receipts::Receipts;
pub use super::roster::Person;
use super::roster::Roster;
use super::sidebar;
use super::sip::{NOBODY, without_param};
use super::typing::{OthersTyping, OwnTyping};
use crate::base::clock::now;
use crate::base::entropy::Entropy;
use crate::wire::conference::COMPOSING_MEDIA_TYPE;
pub use crate::wire::conference::ListedRoom;
use crate::wire::nickname::{self, BadNickname};
use crate::wire::sdp::{self, Chatroom, Setup};
use connect::{DELIVERY_COUNT_TOKEN, connect, shows, usable};
pub use event::{Event, Message};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use task::Task;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

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
    /// The room does not offer to count who has a message.
    NoDeliveryCounts,
    /// Everybody knows already who we are.
    NotAnonymous,
    /// The room takes no commands of moderators, or not this one.
    NoCommands,
    /// No room would understand the command.
    BadCommand(BadCommand),
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInRoom => NotInRoom.fmt(f),
            Self::NoNicknames => f.write_str("this room has no nicknames"),
            Self::NoPrivateMessages => f.write_str("this room has no private messages"),
            Self::BadNickname(why) => why.fmt(f),
            Self::NoDeliveryCounts => f.write_str(
                "this room does not count who receives a message; of private ones their recipients tell",
            ),
            Self::NoCommands => f.write_str("this room takes no such command; whoever runs it decides"),
            Self::BadCommand(why) => why.fmt(f),
            Self::NotAnonymous => f.write_str("everybody here can see who you are already"),
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
        counted: bool,
    },
    /// The empty name is to have none.
    Nickname {
        number: u64,
        name: String,
    },
    /// To be brought in, or taken out; a `kick` has the result of a command.
    Refer {
        number: u64,
        whom: String,
        out: bool,
        kick: bool,
    },
    /// Something that a moderator asks of the room itself.
    Order {
        number: u64,
        media_type: &'static str,
        body: String,
    },
    Reveal {
        number: u64,
    },
    /// To be told the public rooms.
    List {
        number: u64,
        directory: Option<String>,
    },
    /// A key was pressed; or what was written is thrown away.
    Typing {
        writing: bool,
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
    abilities: Abilities,
    /// Messages from now on are to be counted.
    counting: AtomicBool,
    room: String,
    address: String,
    anonymous: bool,
}

/// What the room can do besides letting people talk.
#[derive(Clone, Copy, Default, Debug)]
struct Abilities {
    chatroom: Chatroom,
    delivery_counts: bool,
    /// It takes commands of moderators.
    commands: bool,
    /// It understands Blink's message for the subject.
    control: bool,
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

    /// The same endpoint for rooms that want to know who comes in: challenges are answered with this account.
    #[must_use]
    pub fn with_account(self, account: Account) -> Self {
        Self { caller: self.caller.with_account(account) }
    }

    /// The same endpoint for rooms to be joined without the others learning who we are (RFC 7701 §5.2). Without
    /// an account the server does not learn it either, so that nothing can be revealed later.
    #[must_use]
    pub fn anonymous(self) -> Self {
        Self { caller: self.caller.anonymous() }
    }

    /// The same endpoint for a room that wants this password (docs/extensions.md). It is no proof of who we are, and can
    /// be read on the way.
    #[must_use]
    pub fn with_room_password(self, password: &str) -> Self {
        Self { caller: self.caller.with_room_password(password) }
    }

    /// Joins a room: the call, the connection to its switch, the session on it.
    ///
    /// # Errors
    /// Why we are not in the room.
    pub async fn join(&self, join: &Join<'_>) -> Result<(Room, Events), JoinError> {
        self.join_by(&self.caller, join, false).await
    }

    /// Makes a room of its own by calling a factory, `join.room` (RFC 4579 §5.4), and joins it; [`Room::room`] tells
    /// others where it is. It ends when we leave.
    ///
    /// # Errors
    /// Why we are not in a room.
    pub async fn make_room(&self, join: &Join<'_>) -> Result<(Room, Events), JoinError> {
        self.join_by(&self.caller, join, true).await
    }

    /// Joins by a call of this manner; `made`: what is called is a factory.
    async fn join_by(
        &self,
        caller: &Caller,
        join: &Join<'_>,
        made: bool,
    ) -> Result<(Room, Events), JoinError> {
        let mut entropy = Entropy::from_system();
        let local = local_path(caller.local_addr().ip(), &mut entropy);
        let offer = offer(caller.local_addr().ip(), &local, &mut entropy);
        let invite =
            Invite { room: join.room, from: join.from, display_name: join.display_name, offer: &offer };
        let call = caller.invite(&invite).await.map_err(JoinError::Call)?;
        let room = if made {
            let contact = call.contact.as_deref().and_then(|contact| sidebar::made(contact, join.room));
            contact.ok_or_else(|| JoinError::Answer("it does not say what was made".to_string()))?
        } else {
            // Those who are there may have come in without it.
            without_param(join.room, "room-password")
        };
        let media = usable(&call.answer)?;
        let stream = connect(&media.path).await?;
        let endpoint = Endpoint::new(now(), &local, &media.path, MESSAGE_BYTES_MAX, entropy);
        let abilities = Abilities {
            chatroom: media.chatroom.unwrap_or_default(),
            delivery_counts: shows(&call.answer, DELIVERY_COUNT_TOKEN),
            commands: shows(&call.answer, COMMANDS_TOKEN),
            control: shows(&call.answer, CONTROL_TOKEN),
        };
        let anonymous = self.caller.is_anonymous();
        let (address, name) = match &call.identity {
            // The general address is understood for whoever was told no other (RFC 3323 §4.1.1.3).
            identity if anonymous => (identity.as_deref().unwrap_or(NOBODY), "Anonymous"),
            _ => (join.from, join.display_name),
        };
        let address = address.to_string();
        let (events, receive_events) = mpsc::channel(EVENTS_WAITING_MAX);
        let (commands, receive_commands) = mpsc::channel(COMMANDS_WAITING_MAX);
        let mut task = Task {
            stream,
            endpoint,
            call,
            roster: Roster::default(),
            room: room.clone(),
            made,
            from: address.clone(),
            name: name.to_string(),
            known: self.caller.has_account().then(|| (join.from.to_string(), join.display_name.to_string())),
            offer,
            typing_taken: media.wrapped_types().allows(COMPOSING_MEDIA_TYPE),
            counts: abilities.delivery_counts,
            receipts: abilities.chatroom.private_messages.then(|| Receipts::new(Entropy::from_system())),
            own: OwnTyping::default(),
            others: OthersTyping::default(),
            kicks: Vec::new(),
            message_bytes_max: media.max_size.unwrap_or(u64::MAX),
            events,
            waiting: VecDeque::new(),
            lists: JoinSet::new(),
        };
        task.bind().await?;
        tokio::spawn(task.run(receive_commands));
        let room = Room::new(commands, abilities, room, address, anonymous);
        Ok((room, Events { events: receive_events }))
    }
}

impl Room {
    fn new(
        commands: mpsc::Sender<Command>,
        abilities: Abilities,
        room: String,
        address: String,
        anonymous: bool,
    ) -> Self {
        let (said, counting) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { commands, said, abilities, counting, room, address, anonymous }
    }

    /// The address of the room: what was called, or of a sidebar that we opened what was made.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The address that the others see at the beginning: of who is anonymous a made up one.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

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

    /// Asks the room to bring somebody in, who is named by a SIP address. The number names it in
    /// [`Event::Step`] and [`Event::Failed`].
    ///
    /// # Errors
    /// [`NotInRoom`], the events tell why.
    pub async fn bring_in(&self, whom: &str) -> Result<u64, NotInRoom> {
        let whom = whom.to_string();
        self.send(|number| Command::Refer { number, whom, out: false, kick: false }).await
    }

    /// Asks the room to take somebody out, who is named by address. The number names it in [`Event::Step`] and
    /// [`Event::Failed`].
    ///
    /// # Errors
    /// [`NotInRoom`], the events tell why.
    pub async fn take_out(&self, whom: &str) -> Result<u64, NotInRoom> {
        let whom = whom.to_string();
        self.send(|number| Command::Refer { number, whom, out: true, kick: false }).await
    }

    /// Asks for the public rooms: the list at this address, or without one `sip:rooms@DOMAIN` of this room's domain.
    /// The number names it in [`Event::Rooms`] and [`Event::Failed`].
    ///
    /// # Errors
    /// [`NotInRoom`], the events tell why.
    pub async fn list_rooms(&self, directory: Option<&str>) -> Result<u64, NotInRoom> {
        let directory = directory.map(str::to_string);
        self.send(|number| Command::List { number, directory }).await
    }

    /// Lets the others see who we are, if we came anonymously. There is no way back. The number names it in
    /// [`Event::Revealed`] and [`Event::Failed`].
    ///
    /// # Errors
    /// Why it was not asked for.
    pub async fn reveal(&self) -> Result<u64, Unasked> {
        if !self.anonymous {
            return Err(Unasked::NotAnonymous);
        }
        Ok(self.send(|number| Command::Reveal { number }).await?)
    }

    /// Whether to be told from now on who has what is said: the switch counts, told by [`Event::Received`].
    ///
    /// # Errors
    /// [`Unasked::NoDeliveryCounts`] if the room does not count. Then the recipients of private messages are asked
    /// for receipts nevertheless, told by [`Event::Notified`].
    pub fn count_deliveries(&self, wanted: bool) -> Result<(), Unasked> {
        self.counting.store(wanted, Ordering::Relaxed);
        if wanted && !self.abilities.delivery_counts { Err(Unasked::NoDeliveryCounts) } else { Ok(()) }
    }

    /// A key was pressed in something that is to be said to everybody, or, with `false`, it was thrown away. The
    /// others are told now and then (RFC 3994); what is said tells enough. Call it as often as you like.
    pub fn typing(&self, writing: bool) {
        // A hint: lost if there is much else to do.
        let _ = self.commands.try_send(Command::Typing { writing });
    }

    /// Whether the room lets participants have nicknames (CHAT-NICK-02).
    #[must_use]
    pub fn has_nicknames(&self) -> bool {
        self.abilities.chatroom.nickname
    }

    /// Whether the room lets participants talk in private (CHAT-PRIV-07).
    #[must_use]
    pub fn has_private_messages(&self) -> bool {
        self.abilities.chatroom.private_messages
    }

    /// Whether the room counts who has a message.
    #[must_use]
    pub fn has_delivery_counts(&self) -> bool {
        self.abilities.delivery_counts
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
        let counted = self.counting.load(Ordering::Relaxed);
        self.send(|number| Command::Say { number, to, text, counted }).await
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
        Self::room_at("sip:lobby@x", able)
    }

    /// The same for a room at this address.
    pub(crate) fn room_at(room: &str, able: bool) -> (Room, Events, Self) {
        let (events, receive_events) = mpsc::channel(8);
        let (commands, receive_commands) = mpsc::channel(8);
        let chatroom = Chatroom { nickname: able, private_messages: able };
        let abilities = Abilities { chatroom, delivery_counts: able, commands: able, control: false };
        let room = Room::new(commands, abilities, room.to_string(), "sip:me@x".to_string(), able);
        (room, Events { events: receive_events }, Self { commands: receive_commands, events })
    }

    /// The next thing said or asked: `text`, `to ADDRESS: text`, `nickname NAME`, `bring in` or `take out
    /// ADDRESS`, `reveal`, `list ADDRESS`, the body of a command, with `counted` before what is to be counted; `None` when the room is left. Keys are
    /// number 0.
    pub(crate) async fn heard(&mut self) -> Option<(u64, String)> {
        match self.commands.recv().await? {
            Command::Say { number, to, text, counted } => {
                let to = to.map_or(String::new(), |to| format!("to {to}: "));
                Some((number, format!("{}{to}{text}", if counted { "counted " } else { "" })))
            }
            Command::Refer { number, whom, out, .. } => {
                Some((number, format!("{} {whom}", if out { "take out" } else { "bring in" })))
            }
            Command::Order { number, body, .. } => Some((number, body)),
            Command::Reveal { number } => Some((number, "reveal".to_string())),
            Command::List { number, directory } => Some((number, format!("list {directory:?}"))),
            Command::Typing { writing } => Some((0, format!("typing {writing}"))),
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
