//! Which transport a rank's assignment asks for, and with which settings.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::control::Assignment;
use crate::network::message::Rank;
use crate::network::rdma::{device, opening};
use crate::network::roce;
use crate::network::tcp::mesh::send_buffer;
use crate::network::tcp::opening::{Setup, TcpOpening};
use crate::network::tcp::transport::Settings;
use crate::network::transport::{OpenError, Opening};
use crate::scenario::plan::TransportKind;

/// Links slower than this (bits per second) are sent to by reference.
const BY_REFERENCE: u64 = 2_500_000_000;

/// Opens the transport that `assignment` names.
pub fn open(assignment: &Assignment) -> Result<Box<dyn Opening>, OpenError> {
    match assignment.transport {
        TransportKind::Tcp => Ok(Box::new(TcpOpening::listen(tcp(assignment))?)),
        TransportKind::Rdma => {
            let address = address(assignment.rank, &assignment.addresses);
            device::open(rdma(assignment), address)
        }
        TransportKind::RoceUser => {
            let address = own_address(assignment.rank, &assignment.addresses)
                .ok_or("transport `roce-user` needs an address of this rank's host")?;
            let settings = roce::endpoint::Settings {
                seed: u64::from(assignment.rank) + 1,
                ..Default::default()
            };
            let endpoint = roce::endpoint::Endpoint::open(address, settings)?;
            Ok(Box::new(opening::RdmaOpening::open(
                rdma(assignment),
                Box::new(endpoint),
            )?))
        }
    }
}

fn tcp(assignment: &Assignment) -> Setup {
    Setup {
        key: key_bytes(&assignment.key),
        peers: assignment.peers.clone(),
        addresses: assignment.addresses.clone(),
        interfaces: assignment.interfaces.clone(),
        options: assignment.tcp.clone(),
        pacing: assignment.pacing,
        deadline: Duration::from_millis(assignment.setup_ms),
        settings: Settings {
            rank: assignment.rank,
            wait: assignment.wait,
            oversubscribed: assignment.oversubscribed,
            real_payload: assignment.verify,
            slots: assignment.tcp.slots,
            slot_bytes: assignment.tcp.slot_bytes.0,
            by_reference: assignment.slowest_bps.is_some_and(|rate| rate < BY_REFERENCE),
            send_buffer: send_buffer(&assignment.tcp, assignment.peers.len()),
            fixed_send_buffer: assignment.tcp.send_buffer.is_some(),
            paced: assignment.pacing.is_some(),
            split_tail: assignment.slowest_bps.is_some(),
        },
    }
}

fn rdma(assignment: &Assignment) -> opening::Setup {
    let mut options = assignment.rdma.clone();
    let made = assignment
        .devices
        .get(turn(assignment.rank, assignment.devices.len()));
    options.device = made.cloned().or(options.device);
    opening::Setup {
        rank: assignment.rank,
        peers: assignment.peers.clone(),
        options,
        wait: assignment.wait,
        oversubscribed: assignment.oversubscribed,
        real_payload: assignment.verify,
    }
}

/// The address whose device a rank uses: ranks of a host with several take them in turn.
pub(super) fn address(rank: Rank, addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.get(turn(rank, addresses.len())).copied()
}

fn turn(rank: Rank, of: usize) -> usize {
    rank as usize % of.max(1)
}

/// The address that a rank has for itself: of those that share loopback, each takes one of its own in 127.0.0.0/8.
fn own_address(rank: Rank, addresses: &[IpAddr]) -> Option<IpAddr> {
    match address(rank, addresses)? {
        IpAddr::V4(shared) if shared.is_loopback() => Some(Ipv4Addr::from(u32::from(shared) + rank).into()),
        own => Some(own),
    }
}

fn key_bytes(hex: &str) -> [u8; 16] {
    let mut key = [0; 16];
    for (byte, pair) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(pair)
            .ok()
            .and_then(|p| u8::from_str_radix(p, 16).ok())
            .unwrap_or(0);
    }
    key
}
