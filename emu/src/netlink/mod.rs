//! A small synchronous rtnetlink client: many requests per system call, then all answers.
//!
//! The only folder of genie that imports the netlink crates, because they break often.
//! * [`link`]: veth pairs, loopback, link events. [`route`]: addresses and (multi-path) routes.
//! * [`rdma`]: soft-RoCE devices. [`redirect`]: from one interface to another.
//! * [`qdisc`]: shapers as raw attributes, and the kernel's counters.

pub mod link;
pub mod qdisc;
pub mod rdma;
pub mod redirect;
pub mod route;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::socket::{setsockopt, sockopt};

/// Requests per system call: their answers (about 1 KiB of socket memory each) must fit the default
/// receive buffer of 208 KiB.
const BATCH: usize = 64;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Why the kernel refused, in its own words where it gave any.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel answered a request with an error.
    #[error("cannot {what}: {source}{}", detail(.explanation))]
    Refused {
        /// What was asked, for people.
        what: String,
        /// The kernel's error number.
        source: io::Error,
        /// The kernel's extended acknowledgement text.
        explanation: Option<String>,
    },
    /// The socket itself failed.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
}

fn detail(explanation: &Option<String>) -> String {
    explanation
        .as_ref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

impl NetlinkError {
    /// The error number behind it.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Socket(source) => source.raw_os_error(),
        }
    }
}

/// One change asked of the kernel.
#[derive(Debug, Clone)]
pub struct Request {
    what: String,
    flags: u16,
    message: RouteNetlinkMessage,
}

impl Request {
    fn new(what: impl Into<String>, flags: u16, message: RouteNetlinkMessage) -> Self {
        Self {
            what: what.into(),
            flags: flags | NLM_F_REQUEST | NLM_F_ACK,
            message,
        }
    }

    fn create(what: impl Into<String>, message: RouteNetlinkMessage) -> Self {
        Self::new(what, NLM_F_CREATE | NLM_F_EXCL, message)
    }

    fn replace(what: impl Into<String>, message: RouteNetlinkMessage) -> Self {
        Self::new(what, NLM_F_CREATE | NLM_F_REPLACE, message)
    }
}

/// A netlink socket; it belongs to the network namespace of the thread that opened it, for good.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netlink({})", self.socket.as_raw_fd())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        Self::with_groups(0)
    }

    /// Opens a socket that hears of every change of a link in the calling thread's namespace.
    pub fn open_link_events() -> io::Result<Self> {
        let opened = Self::with_groups(link::RTMGRP_LINK)?;
        opened.socket.set_non_blocking(true)?;
        Ok(opened)
    }

    fn with_groups(groups: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_cap_ack(true)?;
        // Texts with errors are a courtesy of newer kernels.
        let _ = socket.set_ext_ack(true);
        // A dump of a switch with many ports needs room; refused without privilege, then small is fine.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(1 << 20));
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends all requests, in order, and waits for all answers. The first refusal is returned, after
    /// the remaining requests of its batch were carried out.
    pub fn apply(&mut self, requests: &[Request]) -> Result<(), NetlinkError> {
        requests
            .chunks(BATCH)
            .try_for_each(|chunk| self.apply_batch(chunk))
    }

    fn apply_batch(&mut self, requests: &[Request]) -> Result<(), NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(requests.len() * 128);
        for request in requests {
            self.append(&mut bytes, &request.message, request.flags);
        }
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let mut outstanding = requests.len();
        let mut refused = None;
        while outstanding > 0 {
            self.receive()?;
            for answer in messages(&self.buffer) {
                let index = answer.sequence_number().wrapping_sub(first) as usize;
                if answer.message_type() != NLMSG_ERROR || index >= requests.len() {
                    continue;
                }
                outstanding -= 1;
                if let Some((source, explanation)) = failure(&answer) {
                    let what = requests[index].what.clone();
                    refused.get_or_insert(NetlinkError::Refused {
                        what,
                        source,
                        explanation,
                    });
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Asks for a dump and calls `each` with the type and body of every message, and of every event that
    /// comes in between.
    fn dump(
        &mut self,
        what: &str,
        message: &RouteNetlinkMessage,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), NetlinkError> {
        let mut bytes = Vec::with_capacity(64);
        self.append(&mut bytes, message, NLM_F_REQUEST | NLM_F_DUMP);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        loop {
            self.receive()?;
            for answer in messages(&self.buffer) {
                let event = answer.sequence_number() == 0;
                match answer.message_type() {
                    _ if answer.sequence_number() != self.sequence && !event => {}
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let Some((source, explanation)) = failure(&answer) else {
                            continue;
                        };
                        return Err(NetlinkError::Refused {
                            what: what.into(),
                            source,
                            explanation,
                        });
                    }
                    kind => each(kind, answer.payload()),
                }
            }
        }
    }

    /// Asks several questions that have one answer each, and calls `each` with the type and body of every answer. What
    /// is asked for and not there has none.
    fn ask(
        &mut self,
        what: &str,
        questions: &[RouteNetlinkMessage],
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(questions.len() * 32);
        for question in questions {
            self.append(&mut bytes, question, NLM_F_REQUEST);
        }
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let mut outstanding = questions.len();
        while outstanding > 0 {
            self.receive()?;
            for answer in messages(&self.buffer) {
                if answer.sequence_number().wrapping_sub(first) as usize >= questions.len() {
                    continue;
                }
                outstanding -= 1;
                if answer.message_type() != NLMSG_ERROR {
                    each(answer.message_type(), answer.payload());
                    continue;
                }
                match failure(&answer) {
                    Some((source, _)) if source.raw_os_error() == Some(libc::ENODEV) => {}
                    Some((source, explanation)) => {
                        return Err(NetlinkError::Refused {
                            what: what.into(),
                            source,
                            explanation,
                        });
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &mut Vec<u8>, message: &RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message.clone()));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }

    fn receive(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(_) => return Ok(()),
            }
        }
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let length = (message.length() as usize).next_multiple_of(4).min(bytes.len());
        bytes = &bytes[length..];
        Some(message)
    })
}

/// The error of an acknowledgement (`struct nlmsgerr`), `None` for success.
fn failure(answer: &NetlinkBuffer<&[u8]>) -> Option<(io::Error, Option<String>)> {
    let body = answer.payload();
    let code = read_u32(body, 0)? as i32;
    if code == 0 {
        return None;
    }
    // With capped acknowledgements the offending header (16 bytes) comes back without its payload.
    let explanation = (answer.flags() & NLM_F_ACK_TLVS != 0)
        .then(|| attribute(body.get(20..).unwrap_or_default(), NLMSGERR_ATTR_MSG))
        .flatten()
        .map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    Some((io::Error::from_raw_os_error(-code), explanation))
}

/// The value of the first attribute of this kind.
fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = NlasIterator::new(bytes)
        .map_while(Result::ok)
        .find(|nla| nla.kind() == kind)?;
    let value = found.value_length();
    let buffer = found.into_inner();
    buffer.get(4..4 + value)
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_and_truncation_is_survived() {
        let bytes = [8, 0, 1, 0, 1, 2, 3, 4, 5, 0, 2, 0, 9, 0, 0, 0];
        assert_eq!(attribute(&bytes, 1), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&bytes, 2), Some(&[9][..]));
        assert_eq!(attribute(&bytes[..10], 2), None);
        assert_eq!(attribute(&[], 1), None);
    }
}
