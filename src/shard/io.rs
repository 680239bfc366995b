//! The thin seam over the system: reading, waiting, ringing, and what one write hands to the ring.
//!
//! The only file of the data plane with unsafe code.
//!
//! Reading waits on one epoll set per shard, whose own descriptor the ring waits for: an idle connection
//! costs an entry in that set, no task and no buffer. Writing goes through the ring.

#![allow(unsafe_code)]

use super::queue::{Batch, Piece};
use monoio::buf::IoVecBuf;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Descriptors of which one task waits to be readable; each has a token that names it.
#[derive(Debug)]
pub struct ReadSet {
    epoll: OwnedFd,
}

impl ReadSet {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll })
    }

    /// A descriptor that is readable whenever [`ReadSet::take`] has something.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn waitable(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }

    /// Waits for `fd` too, under the name `token`.
    ///
    /// # Errors
    /// The system's limit of watches is reached.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` lives for the call; both descriptors are open, or the call fails.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// Waits for `fd` no more. Not an error if it is not in the set.
    pub fn remove(&self, fd: RawFd) {
        // SAFETY: no pointers are read for EPOLL_CTL_DEL.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// The tokens that are readable now, at most `max`, without waiting.
    pub fn take(&self, tokens: &mut Vec<u64>, max: usize) {
        tokens.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let room = max.min(events.len()) as libc::c_int;
        // SAFETY: `events` has room for `room` entries and lives for the call.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), room, 0) };
        tokens.extend(events[..usize::try_from(n).unwrap_or(0)].iter().map(|e| e.u64));
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

/// A batch as the ring takes it: the pieces, and the table of where they are.
pub struct Vectored {
    pieces: Batch,
    table: Vec<libc::iovec>,
}

impl Vectored {
    /// The pieces from octet `done` on. `table` is one to be used again.
    #[must_use]
    pub fn new(pieces: Batch, done: usize, mut table: Vec<libc::iovec>) -> Self {
        table.clear();
        let mut skip = done;
        for piece in &pieces {
            let octets = piece.as_slice();
            let gone = skip.min(octets.len());
            skip -= gone;
            if gone < octets.len() {
                let rest = &octets[gone..];
                table.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
            }
        }
        Self { pieces, table }
    }

    /// The pieces back, and the table to be used again.
    #[must_use]
    pub fn into_parts(self) -> (Batch, Vec<libc::iovec>) {
        (self.pieces, self.table)
    }
}

// SAFETY: the table points into the heap blocks of `pieces` (a `Vec<u8>` or `Bytes` each), which do not
// move or change while this value owns them, wherever the value itself is moved.
unsafe impl IoVecBuf for Vectored {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.table.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.table.len()
    }
}

/// Octets of all pieces together.
#[must_use]
pub fn batch_len(batch: &[Piece]) -> usize {
    batch.iter().map(|p| p.as_slice().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_read_set_names_what_is_readable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let set = ReadSet::new().unwrap();
        set.add(server.as_raw_fd(), 7).unwrap();
        let mut tokens = Vec::new();
        set.take(&mut tokens, 64);
        assert!(tokens.is_empty());
        client.write_all(b"hello").unwrap();
        while tokens.is_empty() {
            set.take(&mut tokens, 64);
        }
        assert_eq!(tokens, [7]);
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
        let set = ReadSet::new().unwrap();
        let bell = Bell::new().unwrap();
        set.add(bell.fd(), 1).unwrap();
        let sounds = || {
            let mut tokens = Vec::new();
            set.take(&mut tokens, 8);
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

    #[test]
    fn a_vectored_write_goes_on_where_the_last_one_stopped() {
        for done in 0..=10 {
            let pieces: Batch = [
                Piece::Own(b"abc".to_vec()),
                Piece::Shared(Bytes::from_static(b"defg")),
                Piece::Own(b"hij".to_vec()),
            ]
            .into_iter()
            .collect();
            assert_eq!(batch_len(&pieces), 10);
            let v = Vectored::new(pieces, done, Vec::new());
            let octets: Vec<u8> = v
                .table
                .iter()
                .flat_map(|i| {
                    // SAFETY: the table points into `v.pieces`, alive here.
                    unsafe { std::slice::from_raw_parts(i.iov_base.cast::<u8>(), i.iov_len) }.to_vec()
                })
                .collect();
            assert_eq!(octets, b"abcdefghij"[done..]);
        }
    }
}
