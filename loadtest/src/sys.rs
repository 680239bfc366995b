//! The system calls that the standard library does not offer: epoll, the limit on open files, a socket
//! option, the choice of a core. The only file of this crate with `unsafe`.
//!
//! Nothing here holds a decision: each function is one call and its error. [`Epoll`] owns its
//! descriptor; the sockets it watches belong to the caller and leave it when they are closed.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Readable, or something is wrong (errors and hang-ups show as readable too).
pub(crate) const READABLE: u32 = libc::EPOLLIN as u32 | libc::EPOLLERR as u32 | libc::EPOLLHUP as u32;
/// The connection has ended; told whether it is watched or not.
pub(crate) const ENDED: u32 = libc::EPOLLERR as u32 | libc::EPOLLHUP as u32;
/// Writable.
pub(crate) const WRITABLE: u32 = libc::EPOLLOUT as u32;

/// An epoll instance and the space for the events of one wait.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// Whether the kernel waits for less than milliseconds (Linux 5.11).
    exact: bool,
}

impl Epoll {
    /// A new instance that reports at most `events` events in one wait.
    pub(crate) fn new(events: usize) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above made this descriptor, nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; events.clamp(1, 65_536)];
        Ok(Self { fd, events, exact: true })
    }

    /// Watches `socket` for reading; events carry `key`.
    pub(crate) fn add(&self, socket: &impl AsFd, key: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, libc::EPOLLIN as u32, key)
    }

    /// Watches for reading, for writing, for both or for nothing but the end of the connection.
    pub(crate) fn watch(&self, socket: &impl AsFd, key: u32, reading: bool, writing: bool) -> io::Result<()> {
        let mask = if reading { libc::EPOLLIN as u32 } else { 0 } | if writing { WRITABLE } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, socket, mask, key)
    }

    fn control(&self, op: libc::c_int, socket: &impl AsFd, mask: u32, key: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: mask, u64: u64::from(key) };
        // SAFETY: `event` lives through the call, both descriptors are open (owned and borrowed).
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, socket.as_fd().as_raw_fd(), &raw mut event) })
            .map(drop)
    }

    /// Waits; zero asks without waiting. Returns how many events [`Epoll::event`] can tell.
    pub(crate) fn wait(&mut self, timeout: Duration) -> usize {
        let max = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        if self.exact {
            let exact = libc::timespec {
                tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            let (fd, events) = (self.fd.as_raw_fd(), self.events.as_mut_ptr());
            // SAFETY: the array is valid for `max` events, the time lives through the call, no mask is given.
            let n = unsafe { libc::epoll_pwait2(fd, events, max, &raw const exact, std::ptr::null()) };
            if n >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
                // An error can only be EINTR here: no events.
                return usize::try_from(n).unwrap_or(0);
            }
            self.exact = false;
        }
        // Whole milliseconds, rounded up: a wait that is too short would spin.
        let ms = libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX);
        // SAFETY: the array is valid for `max` events.
        let n = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), max, ms) };
        // As above.
        usize::try_from(n).unwrap_or(0)
    }

    /// Event `i` of the last wait: (mask, key).
    pub(crate) fn event(&self, i: usize) -> (u32, u32) {
        let e = self.events[i];
        (e.events, e.u64 as u32)
    }
}

/// Ends the wait of another thread: whoever watches it for reading wakes when it is rung.
#[derive(Clone)]
pub(crate) struct Bell(Arc<File>);

impl Bell {
    /// A new one, silent.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let raw = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the call above made this descriptor, nobody else knows it.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(raw) }.into())))
    }

    /// Rings it; once is as good as often.
    pub(crate) fn ring(&self) {
        // It can only be full, and rings then.
        let _ = (&*self.0).write(&1u64.to_ne_bytes());
    }

    /// Silences it.
    pub(crate) fn silence(&self) {
        // It can only be silent already.
        let _ = (&*self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Raises the soft limit on open files to the hard limit and returns what holds now.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; the call only reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Lets `connect` choose the local port of a socket bound to an address with port 0: it only needs one
/// that is free towards its target, `bind` would look for one that nobody uses at all.
pub(crate) fn bind_without_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `on`, the descriptor is open (borrowed).
    check(unsafe {
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const on).cast(), length)
    })
    .map(drop)
}

/// Keeps the calling thread on one core.
pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a cpu_set_t of zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: size and pointer describe `set`.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }).map(drop)
}

/// The cores that this process may use.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t of zeroes is the empty set; size and pointer describe it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set))?;
        set
    };
    // SAFETY: each number is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Has the connection hold little that is not read, as over a network: a small buffer, and the other side's pieces no
/// larger than there. On loopback a piece has 64 KiB, and the sender's buffer grows to dozens of them.
pub(crate) fn hold_little(socket: &impl AsFd) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    for (level, option, value) in
        [(libc::SOL_SOCKET, libc::SO_RCVBUF, 4_096), (libc::IPPROTO_TCP, libc::TCP_MAXSEG, 1_400)]
    {
        let value: libc::c_int = value;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: pointer and length describe `value`, the descriptor is open (borrowed).
        check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), length) })?;
    }
    Ok(())
}

/// CPU time of all threads of `pid` so far.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: `clock` lives through the call.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: `time` lives through the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call, which cannot fail for one's own thread.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Clock ticks per second of the CPU times in /proc.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: takes no pointers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
