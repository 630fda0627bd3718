//! Which transport a rank's assignment asks for, and with which settings.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::control::Assignment;
use crate::network::message::Rank;
use crate::network::rdma::{device, opening};
use crate::network::roce::dcqcn::Parameters;
use crate::network::roce::endpoint::{self, Endpoint};
use crate::network::tcp::mesh::send_buffer;
use crate::network::tcp::opening::{Setup, TcpOpening};
use crate::network::tcp::transport::Settings;
use crate::network::transport::{OpenError, Opening};
use crate::scenario::plan::TransportKind;
use crate::scenario::plan::roce::{Reaction, Receiver};

/// Where neither the scenario nor a link names a rate for DCQCN to begin with, bits per second.
const UNKNOWN_RATE: u64 = 100_000_000_000;
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
            let endpoint = Endpoint::open(address, roce_user(assignment)?)?;
            Ok(Box::new(opening::RdmaOpening::open(
                rdma(assignment),
                Box::new(endpoint),
            )?))
        }
    }
}

fn roce_user(assignment: &Assignment) -> std::io::Result<endpoint::Settings> {
    let options = &assignment.roce;
    let nominal = options
        .line_rate
        .map(|rate| (rate.0 as f64 / assignment.dilation) as u64);
    let rate = nominal.or(assignment.slowest_bps).unwrap_or(UNKNOWN_RATE);
    let capture = options.capture.as_ref().map(PathBuf::from);
    if let Some(folder) = &capture {
        std::fs::create_dir_all(folder)?;
    }
    Ok(endpoint::Settings {
        raw: options.receiver == Receiver::Raw,
        segmentation: options.segmentation,
        window: options.window.0,
        dcqcn: match options.congestion_control {
            Reaction::None => None,
            Reaction::Dcqcn => Some(Parameters::paper(rate)),
            Reaction::DcqcnConnectx => Some(Parameters::connectx(rate)),
        },
        cnp_class: options.cnp_dscp << 2,
        loss: options.loss.fraction(),
        seed: u64::from(assignment.rank) + 1,
        capture: capture.map(|folder| folder.join(format!("rank-{}.pcap", assignment.rank))),
        ..Default::default()
    })
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
        pacing: assignment.pacing,
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
