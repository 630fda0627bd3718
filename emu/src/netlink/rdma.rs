//! RDMA devices in software over network interfaces, as `rdma link add` makes them
//! (`linux/rdma/rdma_netlink.h`; messages are attributes only, without a header of their own).

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr};

use super::{NLMSG_DONE, NLMSG_ERROR, NetlinkError, attribute, failure, messages, qdisc, read_u32};

const NETLINK_RDMA: isize = 20;
/// `RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command)`.
const NLDEV: u16 = 5 << 10;
const GET: u16 = NLDEV + 1;
const NEWLINK: u16 = NLDEV + 3;
const DELLINK: u16 = NLDEV + 4;
const DEV_INDEX: u16 = 1;
const DEV_NAME: u16 = 2;
const NDEV_NAME: u16 = 51;
const LINK_TYPE: u16 = 65;
const HEADER: u32 = 16;

/// A socket to the RDMA subsystem.
pub struct RdmaNetlink {
    socket: Socket,
    sequence: u32,
}

impl std::fmt::Debug for RdmaNetlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RdmaNetlink")
    }
}

fn text(kind: u16, value: &str) -> DefaultNla {
    DefaultNla::new(kind, [value.as_bytes(), b"\0"].concat())
}

impl RdmaNetlink {
    /// Opens one; an error where the kernel has no RDMA.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_RDMA)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a soft-RoCE device over an interface.
    pub fn add_rxe(&mut self, device: &str, interface: &str) -> Result<(), NetlinkError> {
        let what = format!("make soft-RoCE device {device} over {interface}");
        let attributes = vec![
            text(DEV_NAME, device),
            text(LINK_TYPE, "rxe"),
            text(NDEV_NAME, interface),
        ];
        self.ask(&what, NEWLINK, NLM_F_ACK, attributes, |_| {})
    }

    /// Deletes a device; `false`: there was none of that name.
    pub fn delete(&mut self, device: &str) -> Result<bool, NetlinkError> {
        let found = self.devices()?.into_iter().find(|(_, name)| name == device);
        let Some((index, _)) = found else {
            return Ok(false);
        };
        let index = DefaultNla::new(DEV_INDEX, index.to_ne_bytes().into());
        self.ask(
            &format!("delete {device}"),
            DELLINK,
            NLM_F_ACK,
            vec![index],
            |_| {},
        )?;
        Ok(true)
    }

    /// Number and name of every device.
    pub fn devices(&mut self) -> Result<Vec<(u32, String)>, NetlinkError> {
        let mut found = Vec::new();
        self.ask("list RDMA devices", GET, NLM_F_DUMP, Vec::new(), |body| {
            let index = attribute(body, DEV_INDEX).and_then(|value| read_u32(value, 0));
            let name = attribute(body, DEV_NAME).map(String::from_utf8_lossy);
            found.extend(index.zip(name.map(|name| name.trim_end_matches('\0').to_owned())));
        })?;
        Ok(found)
    }

    fn ask(
        &mut self,
        what: &str,
        command: u16,
        flags: u16,
        attributes: Vec<DefaultNla>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.sequence += 1;
        let body = qdisc::nested(attributes);
        let mut message = Vec::with_capacity(64);
        message.extend((HEADER + body.len() as u32).to_ne_bytes());
        message.extend(command.to_ne_bytes());
        message.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(body);
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        let mut buffer = Vec::with_capacity(64 << 10);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0)?;
            for answer in messages(&buffer) {
                match answer.message_type() {
                    _ if answer.sequence_number() != self.sequence => {}
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        return failure(&answer).map_or(Ok(()), |(source, explanation)| {
                            Err(NetlinkError::Refused {
                                what: what.into(),
                                source,
                                explanation,
                            })
                        });
                    }
                    _ => each(answer.payload()),
                }
            }
        }
    }
}
