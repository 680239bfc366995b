//! The thin seam over the system: waiting, reading, ringing, and one call that writes to many.
//!
//! The only file of the data plane with unsafe code.
//!
//! Waiting is for one epoll set per shard, whose own descriptor the runtime's ring waits for: an idle
//! connection costs an entry in that set, no task and no buffer. Writing never waits: a round of writes goes
//! to the system in one call, through a ring that is empty again when the call returns.

#![allow(unsafe_code)]

use io_uring::{IoUring, opcode, squeue, types};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// There is something to read, or the end.
    pub read: bool,
    /// There is room to write, or nobody to write to.
    pub write: bool,
}

impl Interest {
    /// Reading alone.
    pub const READ: Self = Self { read: true, write: false };
    const NONE: Self = Self { read: false, write: false };

    fn events(self) -> u32 {
        let read = if self.read { libc::EPOLLIN } else { 0 };
        let write = if self.write { libc::EPOLLOUT } else { 0 };
        (read | write) as u32
    }

    fn of(events: u32) -> Self {
        // An end or a fault is told to whoever waits, for whatever it is.
        let over = libc::EPOLLHUP | libc::EPOLLERR;
        let any = |mask: i32| events & mask as u32 != 0;
        Self { read: any(libc::EPOLLIN | over), write: any(libc::EPOLLOUT | over) }
    }
}

/// Descriptors that one task waits for; each has a token that names it.
#[derive(Debug)]
pub struct WatchSet {
    epoll: OwnedFd,
}

impl WatchSet {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll })
    }

    /// A descriptor that is readable whenever [`WatchSet::take`] has something.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn waitable(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }

    /// Waits for `fd` under the name `token` as `after` says; until now it did as `before` says.
    ///
    /// # Errors
    /// The system's limit of watches is reached.
    pub fn change(&self, fd: RawFd, token: u64, before: Interest, after: Interest) -> io::Result<()> {
        let act = match (before, after) {
            _ if before == after => return Ok(()),
            (Interest::NONE, _) => libc::EPOLL_CTL_ADD,
            (_, Interest::NONE) => libc::EPOLL_CTL_DEL,
            _ => libc::EPOLL_CTL_MOD,
        };
        let mut event = libc::epoll_event { events: after.events(), u64: token };
        // SAFETY: `event` lives for the call; both descriptors are open, or the call fails.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), act, fd, &mut event) })?;
        Ok(())
    }

    /// Waits until there is something to read from `fd`, under the name `token`.
    ///
    /// # Errors
    /// The system's limit of watches is reached.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.change(fd, token, Interest::NONE, Interest::READ)
    }

    /// Waits for `fd` no more. Not an error if it is not in the set.
    pub fn remove(&self, fd: RawFd) {
        // SAFETY: no pointers are read for EPOLL_CTL_DEL.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// The tokens that are ready and for what, at most `max`; waits so long until there is one, to the next
    /// millisecond.
    pub fn take(&self, tokens: &mut Vec<(u64, Interest)>, max: usize, wait: Duration) {
        tokens.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let room = max.min(events.len()) as libc::c_int;
        let wait = wait.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: `events` has room for `room` entries and lives for the call.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), room, wait) };
        let ready = &events[..usize::try_from(n).unwrap_or(0)];
        tokens.extend(ready.iter().map(|e| (e.u64, Interest::of(e.events))));
    }
}

/// Receives what is there, without waiting.
///
/// # Errors
/// `WouldBlock` if there is nothing; any other means that the connection is gone.
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of `buffer`, which lives for the call.
    let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Ends a connection in both directions: reads and writes under way on it end at once.
pub fn shutdown(fd: RawFd) {
    // SAFETY: no pointers; an error means that the connection is gone already.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Takes the descriptor out of something that owned it.
pub fn into_owned(owner: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives ownership away, and this takes it.
    unsafe { OwnedFd::from_raw_fd(owner.into_raw_fd()) }
}

/// Keeps the calling thread on one core. Failure costs speed only.
pub fn pin(core: usize) {
    // SAFETY: a zeroed cpu_set_t is an empty set; it lives for both calls.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Raises the limit of open files as far as the system allows; the limit that holds then.
///
/// # Errors
/// What the system said.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives for both calls.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit))?;
    }
    Ok(limit.rlim_cur)
}

/// How a thread that sleeps is woken by another: once per batch, and only if it sleeps.
#[derive(Clone, Debug)]
pub struct Bell(Arc<BellInner>);

#[derive(Debug)]
struct BellInner {
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and owned by nobody else.
        let event =
            unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
        Ok(Self(Arc::new(BellInner { asleep: AtomicBool::new(false), event })))
    }

    /// The descriptor that becomes readable when the bell rings.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }

    /// A descriptor of one's own that becomes readable when the bell rings.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn waitable(&self) -> io::Result<OwnedFd> {
        self.0.event.try_clone()
    }

    /// For the sender, after it put something into a ring: wakes the owner if it sleeps.
    pub fn ring(&self) {
        // The ring's write must be seen before `asleep` is read; `fall_asleep` has the other half.
        fence(Ordering::SeqCst);
        if self.0.asleep.load(Ordering::Relaxed) && self.0.asleep.swap(false, Ordering::SeqCst) {
            self.sound();
        }
    }

    /// Makes the descriptor readable, whether the owner sleeps or not.
    pub fn sound(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight octets that live for the call. A full counter is as loud as can be.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    /// For the owner: from now on it must be woken. It looks at its rings once more before it waits.
    pub fn fall_asleep(&self) {
        self.0.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// For the owner: it is awake, nobody need ring.
    pub fn wake(&self) {
        self.0.asleep.store(false, Ordering::Relaxed);
    }

    /// For the owner: silences the descriptor.
    pub fn silence(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight octets that live for the call; an error means that it was silent.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// What is to be written to many connections, by reference.
#[derive(Debug, Default)]
pub struct Round<'a> {
    slices: Vec<IoSlice<'a>>,
    writes: Vec<Write>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    fd: RawFd,
    /// Its slices, and the octets in them.
    first: usize,
    count: usize,
    octets: usize,
}

impl<'a> Round<'a> {
    /// An empty round with room for `writes` connections.
    #[must_use]
    pub fn with_capacity(writes: usize) -> Self {
        Self { slices: Vec::with_capacity(writes), writes: Vec::with_capacity(writes) }
    }

    /// Adds a connection and what is to be written to it, in order. Returns how many octets that are.
    pub fn push(&mut self, fd: RawFd, pieces: impl Iterator<Item = &'a [u8]>) -> usize {
        let first = self.slices.len();
        let mut octets = 0;
        for piece in pieces {
            octets += piece.len();
            self.slices.push(IoSlice::new(piece));
        }
        self.writes.push(Write { fd, first, count: self.slices.len() - first, octets });
        octets
    }
}

/// What became of one write of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// The system took so many octets; fewer than there were if it has no room for more just now.
    Octets(usize),
    /// The connection is gone.
    Gone,
}

impl Written {
    fn of(result: io::Result<usize>) -> Self {
        match result {
            Ok(n) => Self::Octets(n),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Self::Octets(0)
            }
            Err(_) => Self::Gone,
        }
    }
}

/// Writes rounds. Nothing of a round is in use any longer when [`Writer::write`] returns.
pub struct Writer {
    /// Sends a whole round in one call; `None`: a call for each connection.
    ring: Option<IoUring>,
}

/// Writes handed to the system in one call, at most.
const WRITER_ENTRIES: u32 = 1024;

impl Writer {
    /// With `ring`, a whole round is one system call. Kernels before 6.1 lack what that needs and get a call for
    /// each connection.
    #[must_use]
    pub fn new(ring: bool) -> Self {
        let build = || {
            IoUring::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_submit_all()
                .build(WRITER_ENTRIES)
                .ok()
        };
        Self { ring: ring.then(build).flatten() }
    }

    /// Writes what is in `round` without waiting; `written` has what became of each, in the order of `round`.
    pub fn write(&mut self, round: &Round<'_>, written: &mut Vec<Written>) {
        written.clear();
        match &mut self.ring {
            // A ring pays from the second connection on.
            Some(ring) if round.writes.len() > 1 => {
                if write_by_ring(ring, round, written).is_err() {
                    // It may hold entries still; without it none of them is ever looked at.
                    self.ring = None;
                }
            }
            _ => written.extend(round.writes.iter().map(|write| Written::of(write_one(round, write)))),
        }
    }
}

/// A scattered write as the system takes it.
fn header(slices: &[IoSlice<'_>]) -> libc::msghdr {
    // SAFETY: a zeroed msghdr is an empty one.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is `iovec` in memory, by its documentation; the system does not write through it.
    header.msg_iov = slices.as_ptr().cast_mut().cast();
    header.msg_iovlen = slices.len();
    header
}

fn write_one(round: &Round<'_>, write: &Write) -> io::Result<usize> {
    let slices = &round.slices[write.first..][..write.count];
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if slices.is_empty() {
        return Ok(0);
    }
    // SAFETY: the header and the slices it points to live for the call.
    let n = unsafe { libc::sendmsg(write.fd, &header(slices), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// No entry waits for anything: what cannot be written now is given back as it is. So when the system has looked
/// at all entries, all are done, and only those that fell short have said so.
///
/// # Errors
/// The system does not take entries any more; what it did with the last ones is not known, so their connections
/// count as gone. The ring must not be used again.
fn write_by_ring(ring: &mut IoUring, round: &Round<'_>, written: &mut Vec<Written>) -> io::Result<()> {
    written.extend(round.writes.iter().map(|write| Written::Octets(write.octets)));
    // With MSG_WAITALL a write that falls short counts as failed, and is told.
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
    let most = WRITER_ENTRIES as usize;
    // As many as fit into the ring at once: the headers of such a part must not move while it is under way.
    let mut headers = Vec::new();
    for (part, writes) in round.writes.chunks(most).enumerate() {
        headers.clear();
        headers.reserve(writes.iter().filter(|write| write.count > 1).count());
        let mut queue = ring.submission();
        for (i, write) in writes.iter().enumerate() {
            let slices = &round.slices[write.first..][..write.count];
            let fd = types::Fd(write.fd);
            let entry = match slices {
                [] => continue,
                [one] => opcode::Send::new(fd, one.as_ptr(), one.len() as u32).flags(flags).build(),
                many => {
                    headers.push(header(many));
                    // The room was reserved, so the header stays where it is.
                    let header: *const libc::msghdr = &raw const headers[headers.len() - 1];
                    opcode::SendMsg::new(fd, header).flags(flags as u32).build()
                }
            };
            let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data((part * most + i) as u64);
            // SAFETY: the octets belong to `round` and the header to `headers`; both live and stay where they
            // are until the entries have been submitted below, and no entry outlives that (see above).
            if unsafe { queue.push(&entry) }.is_err() {
                // The ring has room for a whole part.
                written[part * most + i] = Written::Octets(0);
            }
        }
        drop(queue);
        while !ring.submission().is_empty() {
            match ring.submit() {
                // Out of memory for a moment: EAGAIN, EBUSY.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {
                    std::thread::yield_now();
                }
                Err(e) => {
                    written[part * most..].fill(Written::Gone);
                    return Err(e);
                }
                Ok(_) => {}
            }
        }
        for done in ring.completion() {
            let result = done.result();
            let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            if let Some(place) = written.get_mut(done.user_data() as usize) {
                *place = Written::of(result);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_read_set_names_what_is_readable() {
        let (server, mut client) = pair();
        let set = WatchSet::new().unwrap();
        set.add(server.as_raw_fd(), 7).unwrap();
        let mut tokens = Vec::new();
        set.take(&mut tokens, 64, Duration::ZERO);
        assert!(tokens.is_empty());
        set.take(&mut tokens, 64, Duration::from_nanos(1));
        assert!(tokens.is_empty(), "the time is over");
        client.write_all(b"hello").unwrap();
        set.take(&mut tokens, 64, Duration::from_secs(60));
        assert_eq!(tokens, [(7, Interest::READ)]);
        let mut buffer = [0; 16];
        assert_eq!(recv(server.as_raw_fd(), &mut buffer).unwrap(), 5);
        let empty = recv(server.as_raw_fd(), &mut buffer).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        set.remove(server.as_raw_fd());
        shutdown(server.as_raw_fd());
        assert_eq!(recv(server.as_raw_fd(), &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_bell_sounds_once_and_only_for_a_sleeper() {
        let set = WatchSet::new().unwrap();
        let bell = Bell::new().unwrap();
        set.add(bell.fd(), 1).unwrap();
        let sounds = || {
            let mut tokens = Vec::new();
            set.take(&mut tokens, 8, Duration::ZERO);
            bell.silence();
            !tokens.is_empty()
        };
        bell.ring();
        assert!(!sounds(), "awake");
        bell.fall_asleep();
        bell.ring();
        assert!(sounds());
        bell.ring();
        assert!(!sounds(), "rung already");
        bell.fall_asleep();
        bell.wake();
        bell.ring();
        assert!(!sounds(), "awake again");
    }

    /// A connected pair of sockets; what the second has received so far.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (server, client)
    }

    fn read_exactly(from: &mut TcpStream, n: usize) -> Vec<u8> {
        let mut octets = vec![0; n];
        std::io::Read::read_exact(from, &mut octets).unwrap();
        octets
    }

    #[test]
    fn a_round_reaches_everybody_in_one_piece_or_in_many() {
        for ring in [true, false] {
            let mut writer = Writer::new(ring);
            let mut pairs: Vec<_> = (0..50).map(|_| pair()).collect();
            let mut written = Vec::new();
            for _ in 0..3 {
                let mut round = Round::default();
                for (i, (server, _)) in pairs.iter().enumerate() {
                    let all: [&[u8]; 3] = [b"abc", b"defg", b"hij"];
                    let pieces = all.into_iter().take(i % 4);
                    assert_eq!(round.push(server.as_raw_fd(), pieces), [0, 3, 7, 10][i % 4]);
                }
                writer.write(&round, &mut written);
                for (i, (_, client)) in pairs.iter_mut().enumerate() {
                    let n = [0, 3, 7, 10][i % 4];
                    assert_eq!(written[i], Written::Octets(n), "{ring}, {i}");
                    assert_eq!(read_exactly(client, n), b"abcdefghij"[..n]);
                }
            }
        }
    }

    #[test]
    fn a_full_connection_takes_what_it_can_and_a_broken_one_is_gone_and_the_others_are_served() {
        for ring in [true, false] {
            let mut writer = Writer::new(ring);
            let (mut full, mut broken, mut fine) = (pair(), pair(), pair());
            shutdown(broken.0.as_raw_fd());
            let much = vec![b'x'; 20_000_000];
            let mut written = Vec::new();
            let mut round = Round::default();
            round.push(full.0.as_raw_fd(), [&much[..], &b"behind"[..]].into_iter());
            round.push(broken.0.as_raw_fd(), [&b"lost"[..]].into_iter());
            round.push(fine.0.as_raw_fd(), [&b"hello"[..]].into_iter());
            writer.write(&round, &mut written);
            let Written::Octets(n) = written[0] else { panic!("{written:?}") };
            assert!(n > 0 && n < much.len(), "{n}");
            assert_eq!(written[1..], [Written::Gone, Written::Octets(5)]);
            assert_eq!(read_exactly(&mut fine.1, 5), b"hello");
            let mut round = Round::default();
            round.push(full.0.as_raw_fd(), [&much[n..]].into_iter());
            round.push(fine.0.as_raw_fd(), [&b"again"[..]].into_iter());
            writer.write(&round, &mut written);
            assert_eq!(read_exactly(&mut full.1, n), much[..n], "what was taken arrives, and nothing twice");
            assert_eq!(read_exactly(&mut fine.1, 5), b"again");
            assert!(full.0.flush().is_ok() && broken.1.flush().is_ok());
        }
    }

    #[test]
    fn a_round_may_be_larger_than_the_ring() {
        let mut writer = Writer::new(true);
        let (server, mut client) = pair();
        let numbers: Vec<[u8; 2]> = (0..3000_u16).map(u16::to_be_bytes).collect();
        let mut round = Round::default();
        for number in &numbers {
            round.push(server.as_raw_fd(), [&number[..]].into_iter());
        }
        let mut written = Vec::new();
        writer.write(&round, &mut written);
        assert_eq!(written, vec![Written::Octets(2); 3000]);
        assert_eq!(read_exactly(&mut client, 6000), numbers.concat());
    }

    #[test]
    fn room_to_write_is_waited_for_only_while_asked_for() {
        let (server, mut client) = pair();
        let fd = server.as_raw_fd();
        let set = WatchSet::new().unwrap();
        let both = Interest { read: true, write: true };
        set.add(fd, 9).unwrap();
        let mut tokens = Vec::new();
        set.take(&mut tokens, 8, Duration::ZERO);
        assert!(tokens.is_empty());
        set.change(fd, 9, Interest::READ, both).unwrap();
        set.take(&mut tokens, 8, Duration::ZERO);
        assert_eq!(tokens, [(9, Interest { read: false, write: true })]);
        set.change(fd, 9, both, Interest::READ).unwrap();
        client.write_all(b"x").unwrap();
        set.take(&mut tokens, 8, Duration::from_secs(60));
        assert_eq!(tokens, [(9, Interest::READ)]);
        set.change(fd, 9, Interest::READ, Interest::default()).unwrap();
        set.take(&mut tokens, 8, Duration::ZERO);
        assert!(tokens.is_empty());
    }
}
