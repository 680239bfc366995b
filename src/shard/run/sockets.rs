//! The sockets of a shard: accepted, connected, read, handed over, ended. What they bring goes to the core, and the
//! core says what becomes of them.
//!
//! Touches: sockets and the watch set of this shard. Bounds: `limits::SHARD_CONNS_MAX` connections, kept by the core;
//! `TURN_INPUTS_MAX` accepted in one turn, `CONN_READS_MAX` reads of one connection.
//! Proved by: `tests/end_to_end`, on both drivers.

use super::Shard;
use crate::base::budget::{Budget, Rate};
use crate::base::clock::{Now, now};
use crate::base::id::{ConnId, EndpointId, ShardId};
use crate::base::limits;
use crate::base::tight::push_tight;
use crate::shard::conns::CloseReason;
use crate::shard::core::Flow;
use crate::shard::io::{self, Interest};
use crate::shard::message::{HandOver, ShardMessage};
use monoio::net::TcpStream;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// What a token of the watch set names.
pub(super) enum Token {
    Bell,
    Listener(usize),
    Conn(ConnId),
}

impl Token {
    pub(super) const BELL: u64 = u64::MAX;
    /// Generations never reach this: a slot is not used so often in the life of a server.
    pub(super) const LISTENERS: u64 = u64::MAX - 1024;

    fn of(id: ConnId) -> u64 {
        u64::from(id.generation) << 32 | u64::from(id.slot)
    }

    pub(super) fn read(token: u64) -> Self {
        match token {
            Self::BELL => Self::Bell,
            t if t >= Self::LISTENERS => Self::Listener((t - Self::LISTENERS) as usize),
            t => Self::Conn(ConnId { slot: t as u32, generation: (t >> 32) as u32 }),
        }
    }
}

/// Whose connection it is, for the log. Most are from IPv4 and need no more than that.
enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddr>),
}

impl Peer {
    fn of(peer: SocketAddr) -> Self {
        match peer {
            SocketAddr::V4(peer) => Self::V4(peer),
            SocketAddr::V6(_) => Self::V6(Box::new(peer)),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::V4(peer) => SocketAddr::V4(*peer),
            Self::V6(peer) => **peer,
        }
    }
}

/// The socket of a connection.
pub(super) struct Socket {
    pub(super) id: ConnId,
    pub(super) fd: OwnedFd,
    peer: Peer,
    /// What the set waits for: to read unless it is not to be read now, to write while the system has no room.
    pub(super) watched: Interest,
    /// To be ended once what is queued is written.
    pub(super) closing: bool,
}

const _: () = assert!(size_of::<Option<Socket>>() <= 32, "every idle connection pays for it");

impl Shard {
    fn is_closing(&self, id: ConnId) -> bool {
        self.with_socket(id, |s| s.closing).unwrap_or(true)
    }

    pub(super) fn with_socket<R>(&self, id: ConnId, f: impl FnOnce(&mut Socket) -> R) -> Option<R> {
        let mut sockets = self.sockets.borrow_mut();
        sockets.get_mut(id.slot as usize)?.as_mut().filter(|s| s.id == id).map(f)
    }

    fn take_socket(&self, id: ConnId) -> Option<Socket> {
        let mut sockets = self.sockets.borrow_mut();
        let place = sockets.get_mut(id.slot as usize)?;
        if place.as_ref()?.id == id { place.take() } else { None }
    }

    /// Changes what a connection is waited for. If the system has no watch left the connection ends.
    pub(super) fn watch(self: &Rc<Self>, id: ConnId, change: impl FnOnce(&mut Interest)) {
        let changed = self.with_socket(id, |s| {
            let before = s.watched;
            change(&mut s.watched);
            self.set.change(s.fd.as_raw_fd(), Token::of(id), before, s.watched)
        });
        if let Some(Err(error)) = changed {
            warn!(%error, "cannot wait for a connection");
            self.end(id);
        }
    }

    /// Accepts what waits at a listener, a turn's worth.
    pub(super) fn accept(self: &Rc<Self>, i: usize) {
        for _ in 0..limits::TURN_INPUTS_MAX {
            match self.listeners[i].accept() {
                Ok((socket, peer)) => {
                    let Some(id) = self.turn(|core, now| core.accepted(now)) else { continue };
                    self.register(id, socket, peer);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // The peer gave up while it waited.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(e) => return self.back_off(i, &e),
            }
        }
    }

    /// No descriptors: those who sit go on, those who knock wait.
    fn back_off(self: &Rc<Self>, i: usize, error: &std::io::Error) {
        const PAUSE: Duration = Duration::from_millis(100);
        warn!(%error, "cannot accept connections, pausing; raise the limit of open files (ulimit -n)");
        self.set.remove(self.listeners[i].as_raw_fd());
        let shard = self.clone();
        self.spawn(async move {
            monoio::time::sleep(PAUSE).await;
            while let Err(error) = shard.set.add(shard.listeners[i].as_raw_fd(), Token::LISTENERS + i as u64) {
                warn!(%error, "cannot wait for new connections, trying again; raise fs.epoll.max_user_watches");
                monoio::time::sleep(10 * PAUSE).await;
            }
        });
    }

    /// Makes a socket the connection `id`; false if the system would not have it.
    fn register(self: &Rc<Self>, id: ConnId, socket: std::net::TcpStream, peer: SocketAddr) -> bool {
        let watched = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_nonblocking(true))
            .and_then(|()| self.set.add(socket.as_raw_fd(), Token::of(id)));
        if let Err(error) = watched {
            warn!(%peer, %error, "cannot use a connection");
            self.turn(|core, now| core.closed(now, id));
            return false;
        }
        let mut sockets = self.sockets.borrow_mut();
        let slot = id.slot as usize;
        while sockets.len() <= slot {
            push_tight(&mut sockets, None);
        }
        let (fd, peer) = (socket.into(), Peer::of(peer));
        sockets[slot] = Some(Socket { id, fd, peer, watched: Interest::READ, closing: false });
        true
    }

    /// A connection from another shard: its octets first, then what follows on the socket.
    pub(super) fn arrive(self: &Rc<Self>, over: HandOver) {
        let socket = std::net::TcpStream::from(over.socket);
        let Ok(peer) = socket.peer_addr() else { return };
        let Some(id) = self.turn(|core, now| core.accepted(now)) else { return };
        if self.register(id, socket, peer) {
            let flow = self.turn(|core, now| core.bytes(now, id, &over.unread));
            self.follow(id, flow);
        }
    }

    /// Reads a connection that is readable, a few times.
    pub(super) fn read(self: &Rc<Self>, id: ConnId) {
        let Some(fd) = self.with_socket(id, |s| s.fd.as_raw_fd()) else { return };
        if self.ends.borrow().clogged() {
            return self.pause(id, Duration::from_millis(1));
        }
        for _ in 0..limits::CONN_READS_MAX {
            let mut buffer = self.buffer.borrow_mut();
            let n = match io::recv(fd, &mut buffer) {
                Ok(n) if n > 0 => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                _ => {
                    drop(buffer);
                    return self.gone(id);
                }
            };
            let full = n == buffer.len();
            let flow = self.turn(|core, now| core.bytes(now, id, &buffer[..n]));
            drop(buffer);
            if !self.follow(id, flow) || !full {
                return;
            }
        }
    }

    /// Does what the core says about reading on. True: read on.
    fn follow(self: &Rc<Self>, id: ConnId, flow: Flow) -> bool {
        match flow {
            Flow::Go => return true,
            Flow::Wait | Flow::Stop => self.stop_reading(id),
        }
        false
    }

    fn stop_reading(self: &Rc<Self>, id: ConnId) {
        self.watch(id, |interest| interest.read = false);
    }

    fn pause(self: &Rc<Self>, id: ConnId, time: Duration) {
        self.stop_reading(id);
        let shard = self.clone();
        self.spawn(async move {
            monoio::time::sleep(time).await;
            shard.resume(id);
        });
    }

    /// A connection that had to wait is looked at again.
    pub(super) fn resume(self: &Rc<Self>, id: ConnId) {
        if self.is_closing(id) {
            return;
        }
        let flow = self.turn(|core, now| core.resume(now, id));
        if self.follow(id, flow) {
            self.watch(id, |interest| interest.read = true);
        }
    }

    /// The peer closed, or the connection broke.
    fn gone(self: &Rc<Self>, id: ConnId) {
        self.turn(|core, now| core.closed(now, id));
    }

    /// Ends a connection at once, whatever is queued.
    pub(super) fn end(self: &Rc<Self>, id: ConnId) {
        if let Some(socket) = self.take_socket(id) {
            self.set.remove(socket.fd.as_raw_fd());
            io::shutdown(socket.fd.as_raw_fd());
        }
        self.turn(|core, now| core.closed(now, id));
    }

    /// The connection goes to another shard, with what was read and not consumed.
    pub(super) fn hand_over(&self, id: ConnId, to: ShardId, unread: Vec<u8>) {
        let Some(socket) = self.take_socket(id) else { return };
        self.set.remove(socket.fd.as_raw_fd());
        let over = HandOver { socket: socket.fd, unread };
        self.ends.borrow_mut().send(to, ShardMessage::HandOver(Box::new(over)));
    }

    fn log_cut(&self, peer: &SocketAddr, reason: CloseReason) {
        let mut log = self.cuts.get();
        match log.note(now()) {
            Some(0) => info!(%peer, ?reason, "connection closed"),
            Some(untold) => info!(%peer, ?reason, untold, "connection closed, and others before it"),
            None => debug!(%peer, ?reason, "connection closed"),
        }
        self.cuts.set(log);
    }

    /// Ends a connection once what is queued is written, or at once.
    pub(super) fn close(self: &Rc<Self>, id: ConnId, reason: CloseReason, at_once: bool) {
        let known = self.with_socket(id, |s| {
            s.closing = true;
            s.peer.address()
        });
        let Some(peer) = known else { return };
        match reason {
            CloseReason::Peer | CloseReason::Unused | CloseReason::Stopping => {
                debug!(%peer, ?reason, "connection closed");
            }
            _ => self.log_cut(&peer, reason),
        }
        if at_once {
            return self.end(id);
        }
        self.stop_reading(id);
        // What is left is written first.
        self.core.borrow_mut().write_again(id);
    }
}

/// How often the log tells of a connection that was cut.
const CUTS_LOGGED: Rate =
    Rate { count: limits::CUTS_LOGGED, time: Duration::from_secs(1), burst: limits::CUTS_LOGGED };

/// What of the cut connections has been logged.
#[derive(Clone, Copy, Default)]
pub(super) struct CutLog {
    budget: Budget,
    untold: u64,
}

impl CutLog {
    /// One more; how many were not told before it, if it is to be told.
    fn note(&mut self, now: Now) -> Option<u64> {
        if self.budget.take(now, &CUTS_LOGGED).is_ok() {
            return Some(std::mem::take(&mut self.untold));
        }
        self.untold += 1;
        None
    }
}

/// Connects to a passive participant.
pub(super) async fn connect(shard: Rc<Shard>, endpoint: EndpointId, to: SocketAddr) {
    let connected = monoio::time::timeout(limits::CONNECT_WAIT, TcpStream::connect_addr(to)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            info!(%to, %error, "cannot connect to a participant");
            return shard.turn(|core, now| core.connect_failed(now, endpoint, to));
        }
        Err(_) => {
            info!(%to, "connecting to a participant took too long");
            return shard.turn(|core, now| core.connect_failed(now, endpoint, to));
        }
    };
    // The core's outputs name the connection, so its socket must be known before they are carried out.
    let id = shard.core.borrow_mut().connected(now(), endpoint, to);
    if let Some(id) = id {
        shard.register(id, io::into_owned(stream).into(), to);
    }
    shard.carry_out();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_connections_that_are_cut_the_log_tells_a_few_and_how_many_more() {
        let mut log = CutLog::default();
        let told = (0..1000).filter(|_| log.note(Now(0)) == Some(0)).count() as u64;
        assert_eq!(told, limits::CUTS_LOGGED);
        assert_eq!(log.note(Now(0) + Duration::from_secs(1)), Some(1000 - told));
        assert_eq!(log.note(Now(0) + Duration::from_secs(1)), Some(0));
    }
}
