//! What comes in at one interface goes out at another: a filter that matches everything and the action
//! `mirred`, or, on kernels without these, a bridge of two ports. Raw attributes, as in [`super::qdisc`]
//! (layouts from `linux/pkt_cls.h` and `linux/tc_act/tc_mirred.h`).

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::Request;
use super::qdisc::nested;

const TCA_OPTIONS: u16 = 2;
const TCA_U32_SEL: u16 = 5;
const TCA_U32_ACT: u16 = 7;
const TCA_MATCHALL_ACT: u16 = 2;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: i32 = 1;
const TC_ACT_STOLEN: i32 = 4;
const TC_U32_TERMINAL: u8 = 1;
const ETH_P_ALL: u16 = 3;
/// Parent of filters at ingress, and handle of the discipline there.
const INGRESS: TcHandle = TcHandle {
    major: u16::MAX,
    minor: 0,
};
const PRIORITY: u16 = 1;

/// A classifier that can match everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// `cls_u32`, in nearly all kernels.
    U32,
    /// `cls_matchall`.
    Matchall,
}

/// Makes room for filters where packets come in.
pub fn add_ingress(index: u32) -> Request {
    let mut message = TcMessage::with_index(index as i32);
    (message.header.handle, message.header.parent) = (INGRESS, TcHandle::INGRESS);
    message.attributes.push(TcAttribute::Kind("ingress".into()));
    Request::create(
        "add qdisc ingress",
        RouteNetlinkMessage::NewQueueDiscipline(message),
    )
}

/// Sends all that comes in at one interface out at another.
pub fn add_redirect(classifier: Classifier, from: u32, to: u32) -> Request {
    let action = nested(vec![DefaultNla::new(1, redirect_to(to))]);
    let (kind, options) = match classifier {
        Classifier::U32 => (
            "u32",
            nested(vec![
                DefaultNla::new(TCA_U32_SEL, everything()),
                DefaultNla::new(TCA_U32_ACT, action),
            ]),
        ),
        Classifier::Matchall => (
            "matchall",
            nested(vec![DefaultNla::new(TCA_MATCHALL_ACT, action)]),
        ),
    };
    let mut message = filters_of(from);
    message.attributes = vec![
        TcAttribute::Kind(kind.into()),
        TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, options)),
    ];
    Request::create(
        format!("redirect packets by {kind}"),
        RouteNetlinkMessage::NewTrafficFilter(message),
    )
}

/// Removes what [`add_redirect`] has added.
pub fn delete_redirect(from: u32) -> Request {
    Request::new(
        "end a redirection",
        0,
        RouteNetlinkMessage::DelTrafficFilter(filters_of(from)),
    )
}

fn filters_of(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = INGRESS;
    message.header.info = u32::from(PRIORITY) << 16 | u32::from(ETH_P_ALL.to_be());
    message
}

/// `struct tc_u32_sel` with one key that compares no bit.
fn everything() -> Vec<u8> {
    // {flags, offshift, nkeys, pad, offmask, off, offoff, hoff, hmask} then {mask, val, off, offmask}
    let mut selector = vec![0; 32];
    (selector[0], selector[2]) = (TC_U32_TERMINAL, 1);
    selector
}

/// The action, with `struct tc_mirred {index, capab, action, refcnt, bindcnt, eaction, ifindex}`.
fn redirect_to(index: u32) -> Vec<u8> {
    let fields = [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, index as i32];
    let parameters: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    nested(vec![
        DefaultNla::new(TCA_ACT_KIND, b"mirred\0".to_vec()),
        DefaultNla::new(
            TCA_ACT_OPTIONS,
            nested(vec![DefaultNla::new(TCA_MIRRED_PARMS, parameters)]),
        ),
    ])
}

/// Makes a bridge, up, and puts two interfaces into it. They learn nothing, so that every frame goes to the
/// other, whatever its addresses.
pub fn add_bridge(index: u32, name: &str, ports: [u32; 2]) -> Vec<Request> {
    let mut bridge = LinkMessage::default();
    bridge.header.index = index;
    (bridge.header.flags, bridge.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    bridge.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    let made = Request::create(
        format!("make bridge {name}"),
        RouteNetlinkMessage::NewLink(bridge),
    );
    let into = ports.map(|port| {
        let message = bridge_port(
            port,
            vec![
                LinkAttribute::Controller(index),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::PortKind(InfoPortKind::Bridge),
                    LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Learning(false)])),
                ]),
            ],
        );
        Request::new(
            format!("put a port into {name}"),
            0,
            RouteNetlinkMessage::NewLink(message),
        )
    });
    std::iter::once(made).chain(into).collect()
}

fn bridge_port(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}
