//! The SIP side of joining: calls to rooms over one socket.
//!
//! ```text
//!  Caller ──Command──▶ driver task ──▶ Agent (sans-IO) ──▶ one UDP socket, TCP or TLS connection
//!  Call, RosterFeed ◀──oneshot / mpsc──┘
//! ```
//!
//! One task owns the socket, the clock and the machine of `agent.rs`; a call is an entry in its tables and
//! two one-shot channels, so ten thousand calls need neither threads nor sockets of their own.
//!
//! Messages are read by rsipstack; its transaction and dialog layers are not used: they take the time from
//! the system (nothing here could be tested by value), give each transaction a task and each dialog its
//! whole last request, want dialogs removed by hand, and frame TCP streams too laxly. The client's share of
//! RFC 3261 §17 is small enough to stand beside it.
//!
//! Touches: the socket to the server, the monotonic clock. Bounds: a roster feed holds
//! `DOCUMENTS_WAITING_MAX` documents, a message on a connection `STREAM_BYTES_MAX`; everything else grows only by
//! what the owner asks for. A connection that is lost takes its calls with it.
//! Proved by: `agent_tests.rs` by value, `call_tests.rs` against a scripted server on loopback.

mod driver;

pub use super::account::Account;
use super::account::RoomPassword;
use super::agent::{Agent, Answer, INVITE_WAIT, Manner, RESPONSE_WAIT, Way};
use super::sidebar::Sidebar;
use crate::base::entropy::Entropy;
use crate::base::id::Token;
use bytes::Bytes;
use driver::{Driver, Flow, udp_socket};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// Documents of a roster feed that were not taken yet. Beyond, new ones are dropped; the reader sees the
/// gap in their versions and asks for the whole ([`RosterFeed::refresh`]).
const DOCUMENTS_WAITING_MAX: usize = 64;

/// News of a call that were not taken yet. Steps on the way are dropped beyond half of it; outcomes have the
/// other half, and there are never so many.
const NEWS_WAITING_MAX: usize = 512;

/// How SIP travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Datagrams, repeated until answered.
    Udp,
    /// One connection for all calls.
    Tcp,
}

/// Why a call or a subscription did not come about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The server said no.
    Refused {
        /// The SIP response code.
        code: u16,
        /// The phrase beside it.
        phrase: String,
        /// What a Warning header adds.
        warning: Option<String>,
        /// The rule of the room that forbids it, as a token for programs (`Room-Refusal`, docs/extensions.md).
        rule: Option<String>,
    },
    /// No answer within the time RFC 3261 gives (32 s, or 180 s after a first sign of life).
    NoAnswer,
    /// Nobody listens there, or the connection broke.
    Connection(String),
    /// The server accepted, but its answer cannot be used.
    BadAnswer(&'static str),
    /// An address that is no SIP address.
    BadAddress(String),
    /// The server asks for a password, and there is none here.
    PasswordWanted {
        /// Whose users it asks for, as it says.
        realm: String,
    },
    /// The server did not take the password.
    WrongPassword {
        /// The user it was given for.
        user: String,
        /// Whose users it asks for, as it says.
        realm: String,
    },
    /// The server asks for a proof of another kind than a password hashed with SHA-256 or MD5.
    UnknownChallenge,
    /// Too much of this kind is under way already.
    Busy,
    /// The call is over, or the caller was stopped.
    Closed,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, phrase, warning, .. } => {
                write!(f, "the server refused: {code} {phrase}")?;
                match (warning, code) {
                    (Some(text), _) => write!(f, " ({text})"),
                    (None, 404 | 604) => write!(f, "; there is no such room"),
                    (None, _) => Ok(()),
                }
            }
            Self::NoAnswer => write!(
                f,
                "the server did not answer (waited {} s, or {} s after it said it was trying)",
                RESPONSE_WAIT.as_secs(),
                INVITE_WAIT.as_secs()
            ),
            Self::Connection(why) => write!(f, "cannot reach the server: {why}"),
            Self::BadAnswer(why) => write!(f, "the server's answer cannot be used: {why}"),
            Self::BadAddress(address) => write!(f, "not a SIP address: {address:?}"),
            Self::PasswordWanted { realm } => write!(f, "the server wants a password (for {realm:?})"),
            Self::WrongPassword { user, realm } => {
                write!(f, "the server does not take this password of {user:?} (for {realm:?})")
            }
            Self::UnknownChallenge => {
                write!(
                    f,
                    "the server asks for a proof that this client cannot give; it knows SHA-256 and MD5"
                )
            }
            Self::Busy => write!(f, "too much of this is under way already"),
            Self::Closed => write!(f, "the call is over"),
        }
    }
}

impl std::error::Error for CallError {}

/// A call to a room, before it is made.
#[derive(Clone, Copy, Debug)]
pub struct Invite<'a> {
    /// The room: `sip:ROOM@DOMAIN`.
    pub room: &'a str,
    /// Who calls: `sip:USER@DOMAIN`.
    pub from: &'a str,
    /// The name shown to others; may be empty.
    pub display_name: &'a str,
    /// The session description.
    pub offer: &'a str,
}

/// One SIP endpoint (one UDP socket, or one connection to the server) that makes many calls.
///
/// Clones share the socket. It works on in the background until the last clone and the last call are
/// dropped and the BYEs are answered.
#[derive(Clone)]
pub struct Caller {
    commands: mpsc::UnboundedSender<Command>,
    local: SocketAddr,
    manner: Manner,
}

/// What handles ask of the driver. The channel has no bound of its own: its users are in this process, and
/// each waits for the answer to its one command.
enum Command {
    Invite {
        room: String,
        from: String,
        name: String,
        offer: String,
        manner: Manner,
        reply: oneshot::Sender<Result<Answered, CallError>>,
    },
    Reveal {
        call: Token,
        number: u64,
        offer: String,
    },
    Refer {
        call: Token,
        number: u64,
        whom: String,
        out: bool,
    },
    Bye {
        call: Token,
        done: Option<oneshot::Sender<()>>,
    },
    Subscribe {
        call: Token,
        /// To another room, or the list of rooms.
        other: Option<String>,
        reply: oneshot::Sender<Result<Feed, CallError>>,
    },
    Refresh {
        feed: Token,
    },
    Unsubscribe {
        feed: Token,
    },
}

struct Answered {
    call: Token,
    answer: Answer,
    ended: oneshot::Receiver<String>,
    /// Boxed: there are tens of thousands of calls, and hardly any asks for anything.
    news: mpsc::Receiver<Box<CallNews>>,
}

struct Feed {
    id: Token,
    documents: mpsc::Receiver<Bytes>,
}

impl Caller {
    /// Opens the socket; over TCP, connects. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What the system says about the socket, or about the connection.
    pub async fn new(server: SocketAddr, transport: Transport) -> io::Result<Self> {
        match transport {
            Transport::Udp => {
                let socket = udp_socket(server)?;
                let local = socket.local_addr()?;
                let flow = Flow::Udp { socket, datagram: vec![0; 64 * 1024].into() };
                Ok(Self::start(flow, local, Way::Udp))
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                Ok(Self::start(Flow::stream(Box::new(stream)), local, Way::Tcp))
            }
        }
    }

    /// Makes calls over a connection that is secured already (SIP over TLS, RFC 3261 §26.2): whom to trust was its
    /// maker's affair. `local`: its end here. Must be called within a tokio runtime.
    pub fn secured(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, local: SocketAddr) -> Self {
        Self::start(Flow::stream(Box::new(stream)), local, Way::Tls)
    }

    fn start(flow: Flow, local: SocketAddr, way: Way) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let agent = Agent::new(local.to_string(), way, Entropy::from_system());
        tokio::spawn(Driver::new(agent, flow).run(receiver));
        Self { commands: sender, local, manner: Manner::default() }
    }

    /// Our end of the socket: an address at which the server's host can see this one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The same endpoint for calls that answer challenges with this account.
    #[must_use]
    pub fn with_account(mut self, account: Account) -> Self {
        self.manner.account = Some(account);
        self
    }

    /// The same endpoint for calls that ask to be anonymous to the others (RFC 3323, RFC 7701 §5.2). From stays
    /// out of the request unless an account has to prove it.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.manner.anonymous = true;
        self
    }

    /// The same endpoint for calls to a room that wants this password (docs/extensions.md). It can be read on the way.
    #[must_use]
    pub fn with_room_password(mut self, password: &str) -> Self {
        self.manner.room_password = RoomPassword::new(password);
        self
    }

    /// The same endpoint for the one call that opens a sidebar, to a factory. The password of the room is none of its.
    pub(super) fn opening(mut self, sidebar: Sidebar) -> Self {
        self.manner.sidebar = Some(sidebar);
        self.manner.room_password = RoomPassword::default();
        self
    }

    /// Whether calls can prove who makes them.
    pub(super) fn has_account(&self) -> bool {
        self.manner.account.is_some()
    }

    /// Whether calls ask to be anonymous.
    pub(super) fn is_anonymous(&self) -> bool {
        self.manner.anonymous
    }

    /// INVITE with an offer; resolves with the answer after 200 and ACK. Dropping the future gives the
    /// call up: should it be answered still, it is ended at once.
    ///
    /// # Errors
    /// Why there is no call.
    pub async fn invite(&self, request: &Invite<'_>) -> Result<Call, CallError> {
        let (reply, answered) = oneshot::channel();
        let command = Command::Invite {
            room: request.room.to_string(),
            from: request.from.to_string(),
            name: request.display_name.to_string(),
            offer: request.offer.to_string(),
            manner: self.manner.clone(),
            reply,
        };
        self.commands.send(command).map_err(|_| CallError::Closed)?;
        let Answered { call, answer, ended, news } = answered.await.map_err(|_| CallError::Closed)??;
        Ok(Call {
            answer: answer.sdp,
            identity: answer.identity,
            contact: answer.contact,
            id: call,
            commands: self.commands.clone(),
            ended: Some(ended),
            news,
        })
    }
}

/// A call that stands. Dropping it sends BYE without waiting.
#[derive(Debug)]
pub struct Call {
    /// The session description of the answer.
    pub answer: String,
    /// Who we are there, if the server says so: of anonymous callers the address that others see.
    pub identity: Option<String>,
    /// Where the room wants to be called in this dialog, if it says so: what the factory made is named there.
    pub(super) contact: Option<String>,
    id: Token,
    commands: mpsc::UnboundedSender<Command>,
    /// `None` once the call has ended.
    ended: Option<oneshot::Receiver<String>>,
    news: mpsc::Receiver<Box<CallNews>>,
}

/// How far an invitation or a removal is: a status line of RFC 3420.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// A SIP response code: 100 to 199 under way, 200 to 299 done, the others failed.
    pub code: u16,
    /// The phrase beside it.
    pub phrase: String,
    /// There will be no further step.
    pub last: bool,
}

/// What became of something asked within a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallNews {
    /// The server knows now that we do not hide any more, or does not want to know.
    Revealed {
        /// The number given.
        number: u64,
        /// On success: who we are there if the server says so, and what it adds (Warning).
        outcome: Result<(Option<String>, Option<String>), CallError>,
    },
    /// The server will try to bring somebody in or to take somebody out, or will not.
    Referred {
        /// The number given.
        number: u64,
        /// Why not.
        outcome: Result<(), CallError>,
    },
    /// How far it is.
    Step {
        /// The number given.
        number: u64,
        /// The step.
        step: Step,
    },
}

impl Call {
    /// Asks the room to bring somebody in (REFER with `method=INVITE`, RFC 4579 §5.5). What becomes of it is told
    /// by [`Call::news`] under this number.
    pub fn bring_in(&self, number: u64, whom: &str) {
        self.refer(number, whom, false);
    }

    /// Asks the room to take somebody out (REFER with `method=BYE`, RFC 4579 §5.11).
    pub fn take_out(&self, number: u64, whom: &str) {
        self.refer(number, whom, true);
    }

    fn refer(&self, number: u64, whom: &str, out: bool) {
        // A driver that is gone shows as the end of the call.
        let _ = self.commands.send(Command::Refer { call: self.id, number, whom: whom.to_string(), out });
    }

    /// Lets the others learn who we are (re-INVITE with `Privacy: none`), with the offer of before.
    pub fn reveal(&self, number: u64, offer: &str) {
        // A driver that is gone shows as the end of the call.
        let _ = self.commands.send(Command::Reveal { call: self.id, number, offer: offer.to_string() });
    }

    /// What became of something asked within the call. Pending for ever once the call is over. Cancel safe.
    pub async fn news(&mut self) -> CallNews {
        match self.news.recv().await {
            Some(news) => *news,
            None => std::future::pending().await,
        }
    }

    /// The next end or news, whichever comes first. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<CallNews, String> {
        // Both borrow different parts.
        let Self { ended, news, .. } = self;
        let over = async {
            match ended {
                Some(ended) => ended.await.unwrap_or_else(|_| "the caller was stopped".to_string()),
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            biased;
            Some(news) = news.recv() => return Ok(*news),
            why = over => why,
        };
        self.ended = None;
        Err(why)
    }

    /// Ends the call; resolves when the BYE was answered or given up.
    pub async fn bye(mut self) {
        self.ended = None;
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Bye { call: self.id, done: Some(done) }).is_ok() {
            // An error means that the driver is gone, and the call with it.
            let _ = wait.await;
        }
    }

    /// Resolves when the server ended the call (BYE received and answered) or the connection to it broke,
    /// with the reason. Pending for ever once it has told. Cancel safe.
    pub async fn ended(&mut self) -> String {
        let Some(ended) = &mut self.ended else { return std::future::pending().await };
        let why = ended.await.unwrap_or_else(|_| "the caller was stopped".to_string());
        self.ended = None;
        why
    }

    /// SUBSCRIBE to the conference state of this room (RFC 4575), in a dialog of its own, renewed in time.
    ///
    /// # Errors
    /// Why there is no subscription.
    pub async fn subscribe(&mut self) -> Result<RosterFeed, CallError> {
        self.subscription(None).await
    }

    /// The same as a future of its own, so that the call can be watched meanwhile; to another room, or the list of
    /// rooms, if one is named.
    pub(super) fn subscription(
        &self,
        other: Option<String>,
    ) -> impl Future<Output = Result<RosterFeed, CallError>> + Send + 'static {
        let (commands, call) = (self.commands.clone(), self.id);
        async move {
            let (reply, subscribed) = oneshot::channel();
            let command = Command::Subscribe { call, other, reply };
            commands.send(command).map_err(|_| CallError::Closed)?;
            let Feed { id, documents } = subscribed.await.map_err(|_| CallError::Closed)??;
            Ok(RosterFeed { id, documents, commands })
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.ended.is_some() {
            // A driver that is gone has no call to end.
            let _ = self.commands.send(Command::Bye { call: self.id, done: None });
        }
    }
}

/// The conference documents of a room. Dropping it ends the subscription.
#[derive(Debug)]
pub struct RosterFeed {
    id: Token,
    documents: mpsc::Receiver<Bytes>,
    commands: mpsc::UnboundedSender<Command>,
}

impl RosterFeed {
    /// The next document as raw XML; `None` when the subscription is over. Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.documents.recv().await
    }

    /// Asks for the whole state again, as after a gap in the versions (RFC 4575 §4.6).
    pub fn refresh(&self) {
        // A driver that is gone shows at the next `next`.
        let _ = self.commands.send(Command::Refresh { feed: self.id });
    }
}

impl Drop for RosterFeed {
    fn drop(&mut self) {
        // A driver that is gone has no subscription to end.
        let _ = self.commands.send(Command::Unsubscribe { feed: self.id });
    }
}
