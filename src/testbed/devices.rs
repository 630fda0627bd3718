//! Whether every rank of an RDMA scenario finds its device, before anything is started. Only of the
//! machine's own devices: a soft-RoCE fabric makes those of its ranks later.

use crate::network::message::Rank;
use crate::network::rdma::device;
use crate::scenario::plan::{FabricKind, Plan, TransportKind};
use genie_drivers::rdma::SelectError;

use super::transports;

/// A rank has no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rank {rank}: {source}")]
pub struct NoDevice {
    rank: Rank,
    source: SelectError,
}

/// Looks for the device of every rank.
///
/// # Errors
/// The first rank without one, with what is there instead and what to do.
pub fn settle(plan: &Plan) -> Result<(), NoDevice> {
    let verbs = plan.testbed.transport == TransportKind::Rdma;
    if !verbs || plan.testbed.fabric != FabricKind::Host {
        return Ok(());
    }
    for (rank, place) in (0..).zip(&plan.ranks) {
        let address = transports::address(rank, &place.addresses);
        device::find(&plan.testbed.rdma, address).map_err(|source| NoDevice { rank, source })?;
    }
    Ok(())
}
