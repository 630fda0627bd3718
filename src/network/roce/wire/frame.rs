//! The Ethernet, IP and UDP headers around a packet: read from whole frames (raw sockets), written
//! into captures. Headers are etherparse's business; what is RoCE in them is decided here.

use std::net::IpAddr;

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    NetSlice, SlicedPacket, TransportSlice, UdpHeader,
};

use super::PORT;
use super::icrc::{Envelope, UDP};

/// Time to live of packets in captures that this side sent.
pub const HOP_LIMIT: u8 = 64;

/// A RoCE datagram within a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Addresses and ports.
    pub envelope: Envelope,
    /// Traffic class byte: DSCP and ECN.
    pub class: u8,
    /// The UDP payload.
    pub datagram: &'a [u8],
}

/// The RoCE datagram in an Ethernet frame; `None` for anything else, fragments and broken headers included.
pub fn read(frame: &[u8]) -> Option<Seen<'_>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let TransportSlice::Udp(udp) = sliced.transport? else {
        return None;
    };
    if udp.destination_port() != PORT {
        return None;
    }
    let (source, destination, identification, class) = match &sliced.net? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            if header.more_fragments() || header.fragments_offset() != IpFragOffset::ZERO {
                return None;
            }
            let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
            let class = header.dcp().value() << 2 | header.ecn().value();
            (source, destination, header.identification(), class)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (source, destination): (IpAddr, IpAddr) =
                (header.source_addr().into(), header.destination_addr().into());
            (source, destination, 0, header.traffic_class())
        }
        _ => return None,
    };
    Some(Seen {
        envelope: Envelope {
            source,
            destination,
            source_port: udp.source_port(),
            identification,
        },
        class,
        datagram: udp.payload(),
    })
}

/// IP and UDP headers of a packet with `datagram` bytes of UDP payload. Checksum of UDP: none with IPv4;
/// with IPv6, which requires one, computed over `parts`, the UDP payload.
pub fn headers(envelope: &Envelope, class: u8, parts: &[&[u8]]) -> Vec<u8> {
    let datagram: usize = parts.iter().map(|part| part.len()).sum();
    let length = (datagram + UDP) as u16;
    let mut udp = UdpHeader {
        source_port: envelope.source_port,
        destination_port: PORT,
        length,
        checksum: 0,
    };
    let mut out = Vec::with_capacity(envelope.ip_length() + UDP);
    match (envelope.source, envelope.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Header {
                total_len: length + envelope.ip_length() as u16,
                identification: envelope.identification,
                dont_fragment: true,
                time_to_live: HOP_LIMIT,
                protocol: IpNumber::UDP,
                source: source.octets(),
                destination: destination.octets(),
                dscp: IpDscp::try_new(class >> 2).unwrap_or_default(),
                ecn: IpEcn::try_new(class & 3).unwrap_or_default(),
                ..Ipv4Header::default()
            };
            ip.header_checksum = ip.calc_header_checksum();
            out.extend_from_slice(&ip.to_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let ip = Ipv6Header {
                traffic_class: class,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: length,
                next_header: IpNumber::UDP,
                hop_limit: HOP_LIMIT,
                source: source.octets(),
                destination: destination.octets(),
            };
            let checksum = udp.calc_checksum_ipv6(&ip, &parts.concat());
            udp.checksum = checksum.unwrap_or_default();
            out.extend_from_slice(&ip.to_bytes());
        }
        // Sockets have one family.
        _ => {}
    }
    out.extend_from_slice(&udp.to_bytes());
    out
}

/// An Ethernet header in front of an IP packet, for captures: no addresses are known there.
pub fn ethernet(envelope: &Envelope) -> [u8; Ethernet2Header::LEN] {
    let header = Ethernet2Header {
        source: [0; 6],
        destination: [0; 6],
        ether_type: if envelope.destination.is_ipv4() {
            EtherType::IPV4
        } else {
            EtherType::IPV6
        },
    };
    header.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(envelope: &Envelope, class: u8, datagram: &[u8]) -> Vec<u8> {
        let mut frame = ethernet(envelope).to_vec();
        frame.extend(headers(envelope, class, &[datagram]));
        frame.extend_from_slice(datagram);
        frame
    }

    #[test]
    fn what_is_written_is_read_in_both_families() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let envelope = Envelope {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                source_port: 50_000,
                identification: if source.contains(':') { 0 } else { 77 },
            };
            let frame = whole(&envelope, 106 << 2 | 1, b"datagram");
            let seen = read(&frame).unwrap();
            assert_eq!(seen.envelope, envelope);
            assert_eq!(
                (seen.class, seen.datagram),
                (((106u32 << 2 | 1) & 0xff) as u8, &b"datagram"[..])
            );
            for cut in 0..frame.len() {
                let seen = read(&frame[..cut]);
                assert!(seen.is_none(), "a frame cut to {cut} bytes gave {seen:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(seen) = read(&bytes) {
                prop_assert!(seen.datagram.len() + UDP < bytes.len());
            }
        }
    }
}
