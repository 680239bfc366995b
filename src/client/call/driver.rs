//! The task behind a [`Caller`](super::Caller): socket, clock and machine.

use super::{
    Answered, CallError, CallNews, Command, DOCUMENTS_WAITING_MAX, Feed, Invite, NEWS_WAITING_MAX, Step,
};
use crate::base::clock::{Now, now};
use crate::base::id::Token;
use crate::client::agent::{Agent, Answer, News};
use crate::client::sip::{Framed, frame};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// Receive buffer of the UDP socket: answers to thousands of calls may come at once.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Messages read in a row before commands and timers have their turn.
const READS_MAX: usize = 256;

/// A connected UDP socket with room for a burst of answers.
pub(super) fn udp_socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // The system may give less than asked for; repetitions make up for what is lost then.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER_BYTES);
    UdpSocket::from_std(socket)
}

/// Who waits for news of a dialog.
enum Waiting {
    Answer(oneshot::Sender<Result<Answered, CallError>>),
    End(oneshot::Sender<String>, mpsc::Sender<Box<CallNews>>),
    Gone(Option<oneshot::Sender<()>>),
    Subscription(oneshot::Sender<Result<Feed, CallError>>, mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>),
    Documents(mpsc::Sender<Bytes>),
}

/// Moves octets, commands and time into the machine and news out of it.
pub(super) struct Driver {
    agent: Agent,
    flow: Flow,
    waiting: HashMap<Token, Waiting>,
}

impl Driver {
    pub(super) fn new(agent: Agent, flow: Flow) -> Self {
        Self { agent, flow, waiting: HashMap::new() }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut open = true;
        while open || !self.agent.is_quiet() {
            let deadline = self.agent.deadline();
            tokio::select! {
                command = commands.recv(), if open => match command {
                    Some(command) => self.obey(now(), command),
                    None => open = false,
                },
                read = self.flow.ready() => {
                    if let Err(e) = read.and_then(|()| self.take_messages()) && self.broken(&e) {
                        break;
                    }
                }
                () = sleep_until(deadline) => {}
            }
            self.agent.wake(now());
            if let Err(e) = self.send().await
                && self.broken(&e)
            {
                break;
            }
            self.tell();
        }
        self.tell();
    }

    /// Hands every whole message that was read to the machine.
    fn take_messages(&mut self) -> io::Result<()> {
        let now = now();
        match &mut self.flow {
            Flow::Udp { socket, datagram } => {
                for _ in 0..READS_MAX {
                    match socket.try_recv(datagram) {
                        Ok(length) => self.agent.receive(now, &datagram[..length]),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                        Err(e) => return Err(e),
                    }
                }
            }
            Flow::Stream { unread, .. } => loop {
                match frame(unread) {
                    Framed::Partial => break,
                    Framed::Whole(from, to) => {
                        self.agent.receive(now, &unread[from..to]);
                        unread.advance(to);
                    }
                    Framed::Broken => {
                        return Err(io::Error::other("the server sent something that is no SIP"));
                    }
                }
            },
        }
        Ok(())
    }

    async fn send(&mut self) -> io::Result<()> {
        let mut first_error = Ok(());
        while let Some(message) = self.agent.take_message() {
            let sent = self.flow.send(&message).await;
            first_error = first_error.and(sent);
        }
        first_error.and(self.flow.flush().await)
    }

    /// Whether an error of the socket is the end of it. Over UDP it is an ICMP message about one datagram.
    fn broken(&mut self, error: &io::Error) -> bool {
        match &self.flow {
            Flow::Udp { .. } => {
                self.agent.refused(&error.to_string());
                self.tell();
                false
            }
            Flow::Stream { .. } => {
                self.agent.lost(&format!("the connection to the server broke: {error}"));
                true
            }
        }
    }

    fn obey(&mut self, now: Now, command: Command) {
        match command {
            Command::Invite { room, from, name, offer, manner, reply } => {
                let ask = Invite { room: &room, from: &from, display_name: &name, offer: &offer };
                match self.agent.invite(now, &ask, &manner) {
                    Ok(id) => drop(self.waiting.insert(id, Waiting::Answer(reply))),
                    // Nobody to tell is the only failure.
                    Err(e) => drop(reply.send(Err(e))),
                }
            }
            Command::Bye { call, done } => {
                if self.waiting.contains_key(&call) {
                    self.agent.end(now, call);
                    self.waiting.insert(call, Waiting::Gone(done));
                }
            }
            Command::Reveal { call, number, offer } => {
                if let Err(e) = self.agent.reveal(now, call, number, &offer) {
                    self.tell_call(call, CallNews::Revealed { number, outcome: Err(e) });
                }
            }
            Command::Refer { call, number, whom, out } => {
                if let Err(e) = self.agent.refer(now, call, number, &whom, out) {
                    self.tell_call(call, CallNews::Referred { number, outcome: Err(e) });
                }
            }
            Command::Subscribe { call, other, reply } => match self.agent.subscribe(now, call, other) {
                Ok(id) => {
                    let (sender, receiver) = mpsc::channel(DOCUMENTS_WAITING_MAX);
                    self.waiting.insert(id, Waiting::Subscription(reply, sender, receiver));
                }
                Err(e) => drop(reply.send(Err(e))),
            },
            Command::Refresh { feed } => self.agent.refresh(now, feed),
            Command::Unsubscribe { feed } => {
                self.agent.end(now, feed);
                self.waiting.remove(&feed);
            }
        }
    }

    /// Passes the machine's news on to whoever waits for them.
    fn tell(&mut self) {
        while let Some(news) = self.agent.take_news() {
            match news {
                News::Answered(id, answer) => self.answered(id, answer),
                News::Subscribed(id) => self.subscribed(id),
                News::Document(id, xml) => {
                    if let Some(Waiting::Subscription(_, sender, _) | Waiting::Documents(sender)) =
                        self.waiting.get(&id)
                    {
                        // A full feed shows as a gap in the versions of its documents.
                        let _ = sender.try_send(xml);
                    }
                }
                // From here on, a receiver that is gone has nothing to learn.
                News::Failed(id, error) => match self.waiting.remove(&id) {
                    Some(Waiting::Answer(reply)) => drop(reply.send(Err(error))),
                    Some(Waiting::Subscription(reply, ..)) => drop(reply.send(Err(error))),
                    _ => {}
                },
                News::Ended(id, why) => match self.waiting.remove(&id) {
                    Some(Waiting::End(ended, _)) => drop(ended.send(why)),
                    Some(Waiting::Gone(Some(done))) => drop(done.send(())),
                    _ => {}
                },
                News::Gone(id) => {
                    if let Some(Waiting::Gone(Some(done))) = self.waiting.remove(&id) {
                        let _ = done.send(());
                    }
                }
                News::Unsubscribed(id, _) => drop(self.waiting.remove(&id)),
                News::Revised(id, number, outcome) => {
                    let outcome = outcome.map(|answer| (answer.identity, answer.warning));
                    self.tell_call(id, CallNews::Revealed { number, outcome });
                }
                News::Referred(id, number, outcome) => {
                    self.tell_call(id, CallNews::Referred { number, outcome });
                }
                News::Progress(id, number, step) => self.tell_call(id, CallNews::Step { number, step }),
            }
        }
    }

    fn tell_call(&self, call: Token, news: CallNews) {
        let Some(Waiting::End(_, sender)) = self.waiting.get(&call) else { return };
        let outcome = !matches!(&news, CallNews::Step { step: Step { last: false, .. }, .. });
        if outcome || sender.capacity() > NEWS_WAITING_MAX / 2 {
            // A receiver that is gone has nothing to learn.
            let _ = sender.try_send(Box::new(news));
        }
    }

    fn answered(&mut self, id: Token, answer: Answer) {
        let Some(Waiting::Answer(reply)) = self.waiting.remove(&id) else { return };
        let (end, ended) = oneshot::channel();
        let (sender, news) = mpsc::channel(NEWS_WAITING_MAX);
        match reply.send(Ok(Answered { call: id, answer, ended, news })) {
            Ok(()) => drop(self.waiting.insert(id, Waiting::End(end, sender))),
            // The future was dropped: nobody wants this call.
            Err(_) => self.agent.end(now(), id),
        }
    }

    fn subscribed(&mut self, id: Token) {
        let Some(Waiting::Subscription(reply, sender, documents)) = self.waiting.remove(&id) else { return };
        match reply.send(Ok(Feed { id, documents })) {
            Ok(()) => drop(self.waiting.insert(id, Waiting::Documents(sender))),
            Err(_) => self.agent.end(now(), id),
        }
    }
}

async fn sleep_until(deadline: Option<Now>) {
    match deadline {
        Some(at) => tokio::time::sleep(now().until(at)).await,
        None => std::future::pending().await,
    }
}

/// A connection, whether others can read it or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The one way to the server.
pub(super) enum Flow {
    Udp { socket: UdpSocket, datagram: Box<[u8]> },
    Stream { stream: Box<dyn Stream>, unread: BytesMut, unsent: BytesMut },
}

impl Flow {
    pub(super) fn stream(stream: Box<dyn Stream>) -> Self {
        Self::Stream { stream, unread: BytesMut::new(), unsent: BytesMut::new() }
    }

    /// Waits until there is something to take; what waits to be sent goes out meanwhile. Cancel safe.
    async fn ready(&mut self) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => socket.readable().await,
            Self::Stream { stream, unread, unsent } => {
                // Never wait to write without reading: the server may do the same.
                let read = std::future::poll_fn(|context| {
                    if let Poll::Ready(Err(e)) = push(stream, unsent, context) {
                        return Poll::Ready(Err(e));
                    }
                    pin!(stream.read_buf(unread)).poll(context)
                });
                if read.await? == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it"));
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => socket.send(message).await.map(drop),
            Self::Stream { unsent, .. } => {
                unsent.extend_from_slice(message);
                Ok(())
            }
        }
    }

    /// Writes what has gathered, as far as it goes.
    async fn flush(&mut self) -> io::Result<()> {
        let Self::Stream { stream, unsent, .. } = self else { return Ok(()) };
        std::future::poll_fn(|context| match push(stream, unsent, context) {
            Poll::Ready(done) => Poll::Ready(done),
            // The rest goes when `ready` is asked.
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }
}

/// Writes what has gathered; pending while some of it, or of what a layer below has taken, waits for room.
fn push(stream: &mut dyn Stream, unsent: &mut BytesMut, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut stream = Pin::new(stream);
    while !unsent.is_empty() {
        match stream.as_mut().poll_write(context, unsent) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(written)) => unsent.advance(written),
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => return Poll::Pending,
        }
    }
    stream.poll_flush(context)
}
