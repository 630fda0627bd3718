//! Addresses, and routes over ports without ARP.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Request;

/// The next hop of every route, never seen on a wire: with one gateway address, each port needs one
/// neighbour entry however many hosts lie behind it.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);

/// Puts a /32 on an interface.
pub fn add_address(address: Ipv4Addr, index: u32) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    Request::create(
        format!("add address {address}"),
        RouteNetlinkMessage::NewAddress(message),
    )
}

/// Makes the next hop of all routes known on a port, with the hardware address of its other end.
/// Permanent entries do not count against the machine-wide limit of neighbours (`gc_thresh3`).
pub fn add_neighbour(index: u32, address: [u8; 6]) -> Request {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(GATEWAY)),
        NeighbourAttribute::LinkLayerAddress(address.to_vec()),
    ];
    Request::replace("add neighbour", RouteNetlinkMessage::NewNeighbour(message))
}

/// A route to be added.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Destination; `None`: all.
    pub to: Option<Ipv4Addr>,
    /// Indices of the interfaces by which packets leave; several are equal-cost paths.
    pub interfaces: &'a [u32],
    /// Source address of packets that start here.
    pub source: Option<Ipv4Addr>,
    /// Congestion control of connections over this route. Unlike the namespace's default, the kernel
    /// lets a route name any algorithm it has, even one that unprivileged sockets may not choose.
    pub congestion_control: Option<&'a str>,
    /// Order among routes to the same destination, the smallest first; `None`: 0.
    pub priority: Option<u32>,
    /// Window that connections over this route begin with, segments.
    pub initial_window: Option<u32>,
}

/// Adds a route whose next hops are taken as directly reachable (`onlink`).
pub fn add_route(route: &Route<'_>) -> Request {
    let what = format!("add route to {}", destination(route.to));
    Request::create(what, RouteNetlinkMessage::NewRoute(message(route)))
}

/// Adds a route in the place of the one to the same destination, if there is one.
pub fn replace_route(route: &Route<'_>) -> Request {
    let what = format!("change route to {}", destination(route.to));
    Request::replace(what, RouteNetlinkMessage::NewRoute(message(route)))
}

/// Removes the route to a destination.
pub fn delete_route(to: Option<Ipv4Addr>) -> Request {
    let mut message = RouteMessage::default();
    message.header = header(to);
    // Whatever its type and scope.
    (message.header.scope, message.header.kind) = (RouteScope::NoWhere, RouteType::Unspec);
    message.attributes.extend(to_attribute(to));
    let what = format!("delete route to {}", destination(to));
    Request::new(what, 0, RouteNetlinkMessage::DelRoute(message))
}

fn destination(to: Option<Ipv4Addr>) -> String {
    to.map_or("everywhere".into(), |to| to.to_string())
}

fn to_attribute(to: Option<Ipv4Addr>) -> Option<RouteAttribute> {
    to.map(|to| RouteAttribute::Destination(RouteAddress::Inet(to)))
}

fn header(to: Option<Ipv4Addr>) -> RouteHeader {
    RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: if to.is_some() { 32 } else { 0 },
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..Default::default()
    }
}

fn message(route: &Route<'_>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = header(route.to);
    let gateway = || RouteAttribute::Gateway(RouteAddress::Inet(GATEWAY));
    let attributes = &mut message.attributes;
    attributes.extend(to_attribute(route.to));
    attributes.extend(
        route
            .source
            .map(|from| RouteAttribute::PrefSource(RouteAddress::Inet(from))),
    );
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    let control = route
        .congestion_control
        .map(|name| RouteMetric::CcAlgo(name.into()));
    let window = route.initial_window.map(RouteMetric::InitCwnd);
    let metrics: Vec<RouteMetric> = control.into_iter().chain(window).collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    if let [only] = route.interfaces {
        message.header.flags = RouteFlags::Onlink;
        attributes.extend([RouteAttribute::Oif(*only), gateway()]);
    } else {
        let hops = route.interfaces.iter().map(|&index| {
            let mut hop = RouteNextHop::default();
            hop.flags = RouteNextHopFlags::Onlink;
            hop.interface_index = index;
            hop.attributes = vec![gateway()];
            hop
        });
        attributes.push(RouteAttribute::MultiPath(hops.collect()));
    }
    message
}
