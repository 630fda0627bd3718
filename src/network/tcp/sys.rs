//! The few system calls of the data path that the standard library and socket2 do not offer: each
//! a thin safe wrapper.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

fn checked(result: isize) -> io::Result<usize> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as usize)
    }
}

/// Discards up to `len` received bytes without copying them (tcp(7), `MSG_TRUNC`); 0 at end of stream.
pub fn discard(socket: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC on a TCP socket the kernel drops data and never writes to the buffer.
    checked(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            std::ptr::null_mut(),
            len,
            libc::MSG_TRUNC | libc::MSG_DONTWAIT,
        )
    })
}

/// Receives into `buffer` without waiting.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for writes of its length during the call.
    checked(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// Sends `buffer` without waiting; `flags`: 0, `MSG_MORE` (further data follows at once) or
/// `MSG_EOR` (nothing may be appended to its last segment).
pub fn send(socket: BorrowedFd<'_>, buffer: &[u8], flags: i32) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | flags;
    // SAFETY: the buffer is valid for reads of its length during the call.
    checked(unsafe { libc::send(socket.as_raw_fd(), buffer.as_ptr().cast(), buffer.len(), flags) })
}

/// Sends up to `len` zero bytes without waiting; `flags` as for [`send`], but `MSG_MORE` where the
/// limit on pieces cuts the call short. The bytes are those of one small block, again and again, so
/// that the kernel copies them from the processor's nearest cache.
pub fn send_zeros(socket: BorrowedFd<'_>, len: usize, flags: i32) -> io::Result<usize> {
    static BLOCK: [u8; 16384] = [0; 16384];
    const PIECES: usize = 64;
    let mut pieces = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; PIECES];
    let (mut left, mut count) = (len, 0);
    while left > 0 && count < PIECES {
        let iov_len = left.min(BLOCK.len());
        pieces[count] = libc::iovec {
            iov_base: BLOCK.as_ptr().cast_mut().cast(),
            iov_len,
        };
        left -= iov_len;
        count += 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if left > 0 { libc::MSG_MORE } else { flags };
    // SAFETY: an all-zero msghdr is valid; its pieces point into a static that is only read.
    checked(unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = pieces.as_mut_ptr();
        message.msg_iovlen = count;
        libc::sendmsg(socket.as_raw_fd(), &message, flags)
    })
}

/// Sends `len` bytes of `file` from its beginning, by reference to its pages. The socket must be
/// non-blocking.
pub fn send_pages(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let mut offset: libc::off_t = 0;
    // SAFETY: offset is a valid pointer during the call; the descriptors are borrowed and open.
    checked(unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &mut offset, len) })
}

/// Bytes written to the socket and not yet acknowledged by the peer (tcp(7), `SIOCOUTQ`).
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut value: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (= TIOCOUTQ) writes one int through the pointer.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut value) } as isize)?;
    Ok(value as u64)
}

/// Lets the kernel take so many bytes of a connection before a send waits.
pub fn send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    // SO_SNDBUF counts twice what is asked for; the forced form needs a privilege over the namespace.
    let half = (bytes / 2).min(i32::MAX as usize) as i32;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, half)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, half))
}

/// Lets the kernel send at most so many payload bytes per second; `None`: as fast as it can.
pub fn pace(socket: BorrowedFd<'_>, rate: Option<u64>) -> io::Result<()> {
    // All bits set: not paced. 32 of them end at 34 Gbit/s; kernels before 4.20 take no more.
    let rate = rate.unwrap_or(u64::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)
}

/// Sets an integer socket option.
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set(socket, level, name, value)
}

fn set<T: Copy>(socket: BorrowedFd<'_>, level: i32, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the option value is valid and of the stated length during the call; the kernel only reads it.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    } as isize)
    .map(|_| ())
}

/// Segments retransmitted over the connection's life (`tcp_info.tcpi_total_retrans`).
pub fn retransmits(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: an all-zero tcp_info is a valid value of a plain C struct.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &mut len,
        )
    } as isize)?;
    Ok(info.tcpi_total_retrans)
}

/// A memory file of `len` zero bytes, on huge pages where the kernel gives them, so that
/// [`send_pages`] refers to few page fragments.
pub fn constant_pages(len: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a valid C string; the call returns a new descriptor or -1.
    let fd = checked(unsafe { libc::memfd_create(c"genie-payload".as_ptr(), libc::MFD_CLOEXEC) } as isize)?;
    // SAFETY: the descriptor was just made and has no other owner.
    let file = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: plain call on an owned descriptor.
    checked(unsafe { libc::ftruncate(file.as_raw_fd(), len as libc::off_t) } as isize)?;
    // SAFETY: a fresh shared mapping of our own file, unmapped below and never handed out; writing
    // its first bytes of each page makes the pages exist; madvise only advises.
    unsafe {
        let map = libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        for page in (0..len).step_by(4096) {
            map.cast::<u8>().add(page).write_volatile(0);
        }
        libc::madvise(map, len, libc::MADV_COLLAPSE);
        libc::munmap(map, len);
    }
    Ok(file)
}

/// Readiness of many sockets, with nanosecond timeouts.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// A new, empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: returns a new descriptor or -1.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } as isize)?;
        // SAFETY: the descriptor was just made and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(Self {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 256],
        })
    }

    fn control(&self, op: i32, socket: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLRDHUP | if writable { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event {
            events: interest as u32,
            u64: token,
        };
        // SAFETY: the event is valid during the call.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, socket.as_raw_fd(), &mut event) } as isize)
            .map(|_| ())
    }

    /// Watches a socket for input, and for output if `writable`.
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, writable)
    }

    /// Changes what a socket is watched for.
    pub fn modify(&self, socket: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, writable)
    }

    /// Waits at most `timeout` (`None`: for ever); gives (token, readable, writable) of each ready
    /// socket. Errors and hang-ups count as readable: reading tells what they are.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<(u64, bool, bool)>) -> io::Result<()> {
        ready.clear();
        let spec = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs() as i64,
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let pointer = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the event buffer is valid for its length; the timeout points to `spec` or is null.
        let count = checked(unsafe {
            libc::epoll_pwait2(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                pointer,
                std::ptr::null(),
            )
        } as isize);
        let count = match count {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        for event in &self.events[..count] {
            let flags = event.events as i32;
            let readable = flags & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
            ready.push((event.u64, readable, flags & libc::EPOLLOUT != 0));
        }
        Ok(())
    }
}
