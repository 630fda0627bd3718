//! Whether every rank of an RDMA scenario finds its device, before anything is started. Only of the
//! machine's own devices: a soft-RoCE fabric makes those of its ranks later.

use crate::network::message::Rank;
use crate::network::rdma::device;
use crate::scenario::plan::{FabricKind, Plan, TransportKind};
use genie_drivers::rdma::SelectError;

use super::transports;

/// Ranks cannot have their devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDevice {
    /// This build, or this machine, has nothing to open devices with.
    #[error("{0}")]
    NoVerbs(String),
    /// A rank has no device.
    #[error("rank {rank}: {source}")]
    Rank {
        /// Which.
        rank: Rank,
        /// What is there instead.
        source: SelectError,
    },
}

/// Looks for what opens devices, and for the device of every rank.
///
/// # Errors
/// The first thing that is missing, with what to do.
pub fn settle(plan: &Plan) -> Result<(), NoDevice> {
    if plan.testbed.transport != TransportKind::Rdma {
        return Ok(());
    }
    if let Some(obstacle) = device::obstacle() {
        return Err(NoDevice::NoVerbs(obstacle));
    }
    if plan.testbed.fabric != FabricKind::Host {
        return Ok(());
    }
    for (rank, place) in (0..).zip(&plan.ranks) {
        let address = transports::address(rank, &place.addresses);
        device::find(&plan.testbed.rdma, address).map_err(|source| NoDevice::Rank { rank, source })?;
    }
    Ok(())
}

/// Looks for what ranks in a guest will open its soft-RoCE devices with: a guest has this machine's files.
///
/// # Errors
/// libibverbs would not know them.
pub fn settle_guest(plan: &Plan) -> Result<(), NoDevice> {
    let wanted = plan.testbed.transport == TransportKind::Rdma;
    let missing = wanted.then(device::soft_roce_obstacle).flatten();
    missing.map_or(Ok(()), |what| Err(NoDevice::NoVerbs(what)))
}
