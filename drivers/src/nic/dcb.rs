//! Data centre bridging of an interface as its driver holds it: priority flow control, bandwidth of traffic
//! classes, which priority DSCP values get. Anybody may ask (Linux include/uapi/linux/dcbnl.h, IEEE 802.1Qaz).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use nix::sys::socket::{recv, sendto, setsockopt, socket};
use nix::sys::time::TimeVal;

/// `RTM_GETDCB`, `DCB_CMD_IEEE_GET`.
const GET_DCB: u16 = 78;
const IEEE_GET: u8 = 21;
/// `NLM_F_REQUEST`, `NLMSG_ERROR`.
const REQUEST: u16 = 1;
const ERROR: u16 = 2;
/// `DCB_ATTR_IFNAME`, `DCB_ATTR_IEEE`; within it `DCB_ATTR_IEEE_ETS`, `_PFC`, `_APP_TABLE`; within that `_APP`.
const NAME: u16 = 1;
const IEEE: u16 = 13;
const ETS: u16 = 1;
const PFC: u16 = 2;
const APPS: u16 = 3;
const APP: u16 = 1;
/// `IEEE_8021QAZ_APP_SEL_DSCP`.
const BY_DSCP: u8 = 5;
/// Bytes of `struct nlmsghdr` and `struct dcbmsg`.
const HEAD: usize = 16 + 4;

/// What the driver says, by name; empty where it has no data centre bridging.
pub(super) fn details(interface: &str) -> Vec<(String, String)> {
    ask(interface).map_or_else(|_| Vec::new(), |answer| parse(&answer))
}

fn ask(interface: &str) -> io::Result<Vec<u8>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // The kernel answers at once; a driver that does not is not waited for.
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(1, 0))?;
    let descriptor = socket.as_raw_fd();
    sendto(
        descriptor,
        &question(interface),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut answer = vec![0; 16 << 10];
    let length = recv(descriptor, &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

fn question(interface: &str) -> Vec<u8> {
    let mut name = interface.as_bytes().to_vec();
    name.push(0);
    let attribute = 4 + name.len();
    let mut message = Vec::new();
    message.extend(((HEAD + attribute.next_multiple_of(4)) as u32).to_ne_bytes());
    message.extend(GET_DCB.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0, IEEE_GET, 0, 0]);
    message.extend((attribute as u16).to_ne_bytes());
    message.extend(NAME.to_ne_bytes());
    message.extend(&name);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// Attributes one after the other: kind and content. Ends where lengths make no sense.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = bytes {
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        // The two highest bits are flags.
        let kind = u16::from_ne_bytes([*c, *d]) & 0x3fff;
        let Some(content) = bytes.get(4..length) else {
            break;
        };
        found.push((kind, content));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

fn parse(answer: &[u8]) -> Vec<(String, String)> {
    let kind = answer
        .get(4..6)
        .map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    if kind.is_none_or(|kind| kind == ERROR) {
        return Vec::new();
    }
    let inside = attributes(answer.get(HEAD..).unwrap_or(&[]));
    let ieee = inside.into_iter().filter(|(kind, _)| *kind == IEEE);
    let mut details = Vec::new();
    for (kind, content) in ieee.flat_map(|(_, content)| attributes(content)) {
        match (kind, content) {
            // `struct ieee_pfc`: how many classes can have it, which priorities do.
            (PFC, [most, enabled, ..]) => {
                let priorities: Vec<String> = (0..8)
                    .filter(|bit| enabled >> bit & 1 == 1)
                    .map(|bit: u8| bit.to_string())
                    .collect();
                details.push(("pfc_priorities".into(), priorities.join(" ")));
                details.push(("pfc_classes".into(), most.to_string()));
            }
            // `struct ieee_ets`: three bytes, then eight each of bandwidth sent and received, how a class is
            // scheduled, and the class of a priority.
            (ETS, ets) if ets.len() >= 35 => {
                details.push(("ets_bandwidth".into(), numbers(&ets[3..11])));
                details.push(("ets_schedulers".into(), numbers(&ets[19..27])));
                details.push(("priority_classes".into(), numbers(&ets[27..35])));
            }
            (APPS, apps) => {
                let by_dscp = attributes(apps).into_iter().filter_map(|(kind, app)| match app {
                    [BY_DSCP, priority, a, b] if kind == APP => {
                        Some((u16::from_ne_bytes([*a, *b]), *priority))
                    }
                    _ => None,
                });
                let mut pairs: Vec<(u16, u8)> = by_dscp.collect();
                pairs.sort_unstable();
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(dscp, priority)| format!("{dscp}:{priority}"))
                    .collect();
                details.push(("dscp_priorities".into(), pairs.join(" ")));
            }
            _ => {}
        }
    }
    details.retain(|(_, value)| !value.is_empty());
    details
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + content.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn answer(kind: u16, inside: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEAD + inside.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([0, IEEE_GET, 0, 0]);
        bytes.extend(inside);
        bytes
    }

    #[test]
    fn a_card_with_flow_control_on_priority_3_for_dscp_26() {
        let mut ets = vec![0u8; 59];
        ets[3..11].copy_from_slice(&[50, 50, 0, 0, 0, 0, 0, 0]);
        ets[27..35].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        let mut pfc = vec![8, 0b1000];
        pfc.resize(136, 0);
        let app = [&[BY_DSCP, 3][..], &26u16.to_ne_bytes()].concat();
        let inside = [
            attribute(ETS, &ets),
            attribute(PFC, &pfc),
            attribute(APPS, &attribute(APP, &app)),
        ]
        .concat();
        let message = answer(
            79,
            &[attribute(NAME, b"ens1\0"), attribute(IEEE | 0x8000, &inside)].concat(),
        );
        let details: std::collections::BTreeMap<_, _> = parse(&message).into_iter().collect();
        assert_eq!(details["pfc_priorities"], "3");
        assert_eq!(details["ets_bandwidth"], "50 50 0 0 0 0 0 0");
        assert_eq!(details["priority_classes"], "0 0 0 1 0 0 0 0");
        assert_eq!(details["dscp_priorities"], "26:3");
        for end in 0..message.len() {
            let _ = parse(&message[..end]);
        }
    }

    #[test]
    fn an_interface_without_it_says_nothing() {
        assert!(details("lo").is_empty());
        assert!(parse(&answer(ERROR, &[0; 20])).is_empty());
    }
}
