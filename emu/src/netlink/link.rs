//! Links: veth pairs made straight into their two namespaces, loopback, and events about links.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::{Netlink, NetlinkError, Request, attribute, messages, read_u32, read_u64};

pub(super) const RTMGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFINFOMSG_LEN: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_STATS64: u16 = 23;
const IF_OPER_UP: u8 = 6;
const IFF_UP: u32 = 1;
/// Links that are asked for at once: their answers must fit the default receive buffer.
const ASKED: usize = 16;
/// The loopback interface of every namespace.
pub const LOOPBACK: u32 = 1;

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Interface name, at most 15 bytes.
    pub name: &'a str,
    /// Interface index to take; it must be free in the namespace.
    pub index: u32,
    /// The network namespace it is made in.
    pub namespace: BorrowedFd<'a>,
    /// Hardware address. With equal addresses and no ARP each end's frames are addressed to itself, which
    /// is also the other end.
    pub address: [u8; 6],
    /// Without ARP. RDMA takes whatever stands behind such an interface for itself.
    pub no_arp: bool,
}

/// What both ends of a veth pair have in common.
#[derive(Debug, Clone, Copy)]
pub struct VethSettings {
    /// Largest packet without link header, bytes.
    pub mtu: u32,
    /// Largest segmentation-offload packet that TCP may build, bytes; `None`: the kernel's.
    pub gso_max_size: Option<u32>,
    /// Most segments in such a packet; `None`: the kernel's.
    pub gso_max_segs: Option<u32>,
    /// Length of the transmit queue, packets; `None`: the kernel's.
    pub tx_queue_len: Option<u32>,
}

/// Makes a veth pair, both ends down. To be sent in the first end's namespace.
pub fn add_veth(ends: [VethEnd<'_>; 2], settings: &VethSettings) -> Request {
    let peer = end_message(&ends[1], settings);
    let mut message = end_message(&ends[0], settings);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let what = format!("make veth pair {} - {}", ends[0].name, ends[1].name);
    Request::create(what, RouteNetlinkMessage::NewLink(message))
}

fn end_message(end: &VethEnd<'_>, settings: &VethSettings) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = end.index;
    if end.no_arp {
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
    }
    message.attributes = vec![
        LinkAttribute::IfName(end.name.into()),
        LinkAttribute::NetNsFd(end.namespace.as_raw_fd()),
        LinkAttribute::Mtu(settings.mtu),
        LinkAttribute::Address(end.address.to_vec()),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::NumRxQueues(1),
    ];
    let optional = [
        settings.tx_queue_len.map(LinkAttribute::TxQueueLen),
        settings.gso_max_size.map(LinkAttribute::GsoMaxSize),
        settings.gso_max_size.map(LinkAttribute::GsoIpv4MaxSize),
        settings.gso_max_segs.map(LinkAttribute::GsoMaxSegs),
    ];
    message.attributes.extend(optional.into_iter().flatten());
    message
}

/// Sets a link up or down.
pub fn set_up(index: u32, name: &str, up: bool) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = LinkFlags::Up;
    if up {
        message.header.flags = LinkFlags::Up;
    }
    let what = format!("set {name} {}", if up { "up" } else { "down" });
    Request::new(what, 0, RouteNetlinkMessage::SetLink(message))
}

/// Deletes a link; a veth's other end goes with it.
pub fn delete(index: u32, name: &str) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::new(format!("delete {name}"), 0, RouteNetlinkMessage::DelLink(message))
}

/// What a namespace says of one of its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Ready to carry packets: up, carrier there, queues active.
    pub operational: bool,
    /// Just deleted (events only).
    pub deleted: bool,
    /// Bytes sent, as interfaces count: headers of segmented packets once.
    pub tx_bytes: u64,
    /// Packets sent, segmented packets as one.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_dropped: u64,
}

fn status(kind: u16, body: &[u8]) -> Option<LinkStatus> {
    if kind != RTM_NEWLINK && kind != RTM_DELLINK {
        return None;
    }
    // Bridges tell of their ports in messages of their own family: a port that leaves one is not deleted.
    if *body.first()? != libc::AF_UNSPEC as u8 {
        return None;
    }
    let attributes = body.get(IFINFOMSG_LEN..)?;
    let name = attribute(attributes, IFLA_IFNAME).unwrap_or_default();
    let stats = attribute(attributes, IFLA_STATS64).unwrap_or_default();
    let stat = |field: usize| read_u64(stats, 8 * field).unwrap_or(0);
    Some(LinkStatus {
        index: read_u32(body, 4)?,
        name: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
        up: read_u32(body, 8)? & IFF_UP != 0,
        operational: attribute(attributes, IFLA_OPERSTATE) == Some(&[IF_OPER_UP]),
        deleted: kind == RTM_DELLINK,
        tx_packets: stat(1),
        tx_bytes: stat(3),
        tx_dropped: stat(7),
    })
}

impl Netlink {
    /// All links of the namespace, and events about them that arrive meanwhile, in the order in which
    /// they came. For sockets made by [`Netlink::open_link_events`].
    pub fn links_and_events(&mut self) -> Result<Vec<LinkStatus>, NetlinkError> {
        // The kernel has the next part of a dump ready before it returns from the one before, so not
        // waiting is no hindrance.
        self.links()
    }

    /// All links of the namespace.
    pub fn links(&mut self) -> Result<Vec<LinkStatus>, NetlinkError> {
        let mut found = Vec::new();
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump("list links", &question, |kind, body| {
            found.extend(status(kind, body))
        })?;
        Ok(found)
    }

    /// What the namespace says of these links only, in no order; those that are not there are left out. Much less
    /// work for the kernel than to list all.
    pub fn links_of(&mut self, indices: &[u32]) -> Result<Vec<LinkStatus>, NetlinkError> {
        let question = |&index: &u32| {
            let mut message = LinkMessage::default();
            message.header.index = index;
            RouteNetlinkMessage::GetLink(message)
        };
        let mut found = Vec::new();
        for some in indices.chunks(ASKED) {
            let questions: Vec<RouteNetlinkMessage> = some.iter().map(question).collect();
            self.ask("look at links", &questions, |kind, body| {
                found.extend(status(kind, body))
            })?;
        }
        Ok(found)
    }

    /// Events that have arrived, without waiting; `None` when some were lost, so that the caller
    /// should list the links instead. For sockets made by [`Netlink::open_link_events`].
    pub fn link_events(&mut self) -> Result<Option<Vec<LinkStatus>>, NetlinkError> {
        let mut events = Vec::new();
        let mut complete = true;
        loop {
            match self.receive() {
                Ok(()) => events
                    .extend(messages(&self.buffer).filter_map(|m| status(m.message_type(), m.payload()))),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => complete = false,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(complete.then_some(events))
    }
}
