//! The system calls of the endpoint that the standard library and nix do not offer as they are needed:
//! many datagrams in one call, segmented and merged by the kernel, with their traffic class.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockAddr, SockAddrStorage};

/// Messages of one call at most.
pub const BATCH: usize = 32;
/// Room for the two control messages that are used.
const CONTROL: usize = 64;

/// A control buffer, aligned as its headers are.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A message to be sent: one datagram, or several of `segment` bytes (the last may be shorter), which
/// the kernel or the device cuts (udp(7), `UDP_SEGMENT`).
#[derive(Debug)]
pub struct Message<'a> {
    /// Where to.
    pub to: &'a SockAddr,
    /// The bytes, in pieces.
    pub parts: &'a [IoSlice<'a>],
    /// Bytes of a datagram, when there are several.
    pub segment: Option<u16>,
    /// Traffic class: DSCP and ECN.
    pub class: u8,
}

/// Appends a control message. `header` is where it goes; gives where the next one goes.
///
/// # Safety
/// `message` must describe a control buffer with room for the value at `header`.
unsafe fn put<T>(
    message: &libc::msghdr,
    header: *mut libc::cmsghdr,
    level: i32,
    kind: i32,
    value: T,
) -> *mut libc::cmsghdr {
    // SAFETY: by contract there is room at `header` for the header and the value; CMSG_DATA may be unaligned.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        libc::CMSG_NXTHDR(message, header)
    }
}

/// Sends messages without waiting, up to [`BATCH`] in the call; gives how many the kernel took.
pub fn send(socket: BorrowedFd<'_>, messages: &[Message<'_>]) -> io::Result<usize> {
    let count = messages.len().min(BATCH);
    let mut controls = [Control([0; CONTROL]); BATCH];
    // SAFETY: an all-zero mmsghdr is a valid value of a plain C struct.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
    for ((message, control), header) in messages.iter().zip(&mut controls).zip(&mut headers) {
        let out = &mut header.msg_hdr;
        out.msg_name = message.to.as_ptr().cast_mut().cast();
        out.msg_namelen = message.to.len();
        // IoSlice has the layout of iovec; the kernel only reads through it.
        out.msg_iov = message.parts.as_ptr().cast_mut().cast();
        out.msg_iovlen = message.parts.len();
        out.msg_control = control.0.as_mut_ptr().cast();
        out.msg_controllen = CONTROL;
        let (level, kind) = if message.to.is_ipv6() {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        } else {
            (libc::IPPROTO_IP, libc::IP_TOS)
        };
        // SAFETY: the control buffer has room for an int and a u16 with their headers: 24 bytes each.
        let used = unsafe {
            let first = libc::CMSG_FIRSTHDR(out);
            let next = put(out, first, level, kind, libc::c_int::from(message.class));
            match message.segment {
                Some(segment) => {
                    put(out, next, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
                    libc::CMSG_SPACE(4) + libc::CMSG_SPACE(2)
                }
                None => libc::CMSG_SPACE(4),
            }
        };
        out.msg_controllen = used as _;
    }
    // SAFETY: all pointers in the first `count` headers point to memory that lives during the call.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as u32,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What came with received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// From where.
    pub source: SocketAddr,
    /// Traffic class: DSCP and ECN.
    pub class: u8,
    /// The kernel merged datagrams of this size (the last may be shorter); `None`: it is one.
    pub segment: Option<usize>,
    /// Bytes in all.
    pub bytes: usize,
}

/// Buffers for messages that are received together.
#[derive(Debug)]
pub struct Inbox {
    buffers: Vec<u8>,
    size: usize,
    count: usize,
    arrivals: Vec<Arrival>,
}

impl Inbox {
    /// Room for `count` messages of `size` bytes; `count` is at most [`BATCH`].
    pub fn new(count: usize, size: usize) -> Self {
        let count = count.clamp(1, BATCH);
        Self {
            buffers: vec![0; count * size],
            size,
            count,
            arrivals: Vec::with_capacity(count),
        }
    }

    /// Receives what is there, without waiting. Gives how many messages came; 0 when there are none.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.arrivals.clear();
        let mut controls = [Control([0; CONTROL]); BATCH];
        let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::zeroed() }; BATCH];
        // SAFETY: all-zero values of these plain C structs are valid.
        let (mut headers, mut pieces): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        for (i, buffer) in self.buffers.chunks_exact_mut(self.size).enumerate() {
            pieces[i].iov_base = buffer.as_mut_ptr().cast();
            pieces[i].iov_len = buffer.len();
            let header = &mut headers[i].msg_hdr;
            header.msg_name = names[i].as_mut_ptr().cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_iov = &raw mut pieces[i];
            header.msg_iovlen = 1;
            header.msg_control = controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        // SAFETY: the first `count` headers point to distinct buffers that live during the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                self.count as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = match usize::try_from(received) {
            Ok(received) => received,
            Err(_) => match io::Error::last_os_error() {
                e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                e => return Err(e),
            },
        };
        for (header, name) in headers.iter().zip(&names).take(received) {
            self.arrivals.push(arrival(header, name));
        }
        Ok(received)
    }

    /// A message of the last [`receive`](Self::receive), and its bytes.
    pub fn message(&self, index: usize) -> (Arrival, &[u8]) {
        let arrival = self.arrivals[index];
        let start = index * self.size;
        (
            arrival,
            &self.buffers[start..start + arrival.bytes.min(self.size)],
        )
    }
}

/// Reads what the kernel wrote into a header, its control messages and its name.
fn arrival(header: &libc::mmsghdr, name: &MaybeUninit<libc::sockaddr_storage>) -> Arrival {
    let nowhere = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
    // SAFETY: the storage was zeroed and then written by the kernel; SockAddrStorage is transparent
    // over sockaddr_storage, and the length is the one that the kernel gave.
    let source = unsafe {
        let mut storage = SockAddrStorage::zeroed();
        *storage.view_as::<libc::sockaddr_storage>() = name.assume_init_read();
        SockAddr::new(storage, header.msg_hdr.msg_namelen)
    };
    let mut arrival = Arrival {
        source: source.as_socket().unwrap_or(nowhere),
        class: 0,
        segment: None,
        bytes: header.msg_len as usize,
    };
    // SAFETY: the control buffer was written by the kernel, which sets its length; the macros stay
    // within it, and each value is read with the size that its kind has.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(&header.msg_hdr);
        while !control.is_null() {
            let data = libc::CMSG_DATA(control);
            match ((*control).cmsg_level, (*control).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TOS) => arrival.class = data.read(),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    arrival.class = data.cast::<libc::c_int>().read_unaligned() as u8;
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = data.cast::<libc::c_int>().read_unaligned();
                    arrival.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                _ => {}
            }
            control = libc::CMSG_NXTHDR(&header.msg_hdr, control);
        }
    }
    arrival
}

/// Sets an integer socket option.
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    crate::network::tcp::sys::set_option(socket, level, name, value)
}

/// Largest packet of an interface without its link header, bytes (netdevice(7), `SIOCGIFMTU`), as the
/// network namespace of `socket` has it.
pub fn interface_mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    // SAFETY: SIOCGIFMTU reads the name and writes the MTU into the request.
    let mtu = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_mtu
    };
    u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}
