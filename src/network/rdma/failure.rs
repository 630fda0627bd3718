//! What goes wrong between queue pairs, in words: who, which operation, which status, and what is
//! likely behind it.

use std::fmt;

use super::provider::{ProviderError, Status};
use super::queue::Purpose;
use crate::network::message::{LengthMismatch, Rank};

/// Why the RDMA transport failed.
#[derive(Debug, thiserror::Error)]
pub enum RdmaError {
    /// A request or receive failed.
    #[error(transparent)]
    Completion(#[from] Failed),
    /// The device refused something.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Sender and receiver disagree.
    #[error(transparent)]
    Length(#[from] LengthMismatch),
    /// The peer does not keep to the protocol.
    #[error("rank {peer}: {what}")]
    Protocol {
        /// The peer.
        peer: Rank,
        /// What it did.
        what: String,
    },
}

impl RdmaError {
    /// `peer` did what the protocol does not allow.
    pub fn protocol(peer: Rank, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        RdmaError::Protocol { peer, what }
    }
}

/// A completion with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The rank at the other end.
    pub peer: Rank,
    /// Device of this side.
    pub device: String,
    /// Number of this side's queue pair, and of the peer's.
    pub queue_pairs: (u32, u32),
    /// What the request was for; `None`: a receive.
    pub purpose: Option<Purpose>,
    /// What the device says.
    pub status: Status,
    /// The device's own code.
    pub vendor: u32,
    /// How long the device tried before it gave up, in words.
    pub budget: String,
}

impl std::error::Error for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, remote) = self.queue_pairs;
        let what = operation(self.purpose);
        write!(
            f,
            "{what} failed on {} queue pair {own:#x} -> {remote:#x}: {}",
            self.device, self.status
        )?;
        if self.vendor != 0 {
            write!(f, " (vendor code {:#x})", self.vendor)?;
        }
        write!(f, ": {}", self.cause())
    }
}

impl Failed {
    /// What is most often behind the status.
    fn cause(&self) -> String {
        let text = match self.status {
            Status::RetriesExceeded | Status::ResponseTimeout => {
                return format!(
                    "no acknowledgement within {}: the peer has gone, its link is down, packets of this size \
                     do not get through (MTU), or its GID cannot be reached from here",
                    self.budget
                );
            }
            Status::NotReadyRetriesExceeded => {
                "the peer had no receive posted for longer than `rnr_retry` allows: it is stopped or far too slow"
            }
            Status::RemoteAccess | Status::RemoteInvalidRequest | Status::RemoteOperation => {
                "the peer's device refused it: key, address or length are not (or no longer) what it registered"
            }
            Status::Flushed => "the queue pair had already failed; an earlier completion has the reason",
            Status::LocalLength => "the message was longer than the receive that it met",
            Status::LocalProtection | Status::LocalAccess => "the memory is not (or no longer) registered",
            Status::LocalOperation => {
                "the device could not execute it: often no route to the peer's GID from the device's own interface"
            }
            Status::BadResponse => "the peer's device answered with what does not belong there",
            Status::Fatal => "the device has failed; see the kernel's log",
            Status::Success | Status::Other(_) => "the device gives no more detail",
        };
        text.into()
    }
}

fn operation(purpose: Option<Purpose>) -> String {
    match purpose {
        None => "a receive".into(),
        Some(Purpose::Small { bytes, .. }) => format!("sending a message of {bytes} bytes"),
        Some(Purpose::Piece { bytes, slot, .. }) => format!("sending {bytes} bytes to slot {slot}"),
        Some(Purpose::Read { bytes, slot }) => format!("reading {bytes} bytes into slot {slot}"),
        Some(Purpose::Control) => "sending credit".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_peer_queue_pairs_operation_status_and_cause() {
        let failed = Failed {
            peer: 3,
            device: "rxe0".into(),
            queue_pairs: (0x11, 0x12),
            purpose: Some(Purpose::Piece {
                message: 1,
                bytes: 65536,
                slot: 2,
            }),
            status: Status::RetriesExceeded,
            vendor: 0,
            budget: "2.15 s (8 attempts)".into(),
        };
        assert_eq!(
            failed.to_string(),
            "sending 65536 bytes to slot 2 failed on rxe0 queue pair 0x11 -> 0x12: \
             IBV_WC_RETRY_EXC_ERR: no acknowledgement within 2.15 s (8 attempts): the peer has gone, its link is \
             down, packets of this size do not get through (MTU), or its GID cannot be reached from here"
        );
    }
}
