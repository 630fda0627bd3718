//! Where ranks run: an emulated network of namespaces, or the machine's own interfaces.
//!
//! * [`emulated`]: a plan's network as namespaces and shaped links.
//! * [`optical`]: its optical switches, and circuits that change.
//! * [`soft_roce`]: the same with RDMA devices in software over the hosts' links.
//! * [`guest`]: programs in a small virtual machine, for fabrics that this kernel cannot make.

pub mod emulated;
pub mod guest;
pub mod optical;
pub mod soft_roce;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use genie_emu::journal::Journal;
use tokio::sync::mpsc;

use super::stages::Notice;
use crate::event::LinkCount;
use crate::scenario::plan::{FabricKind, Plan};
use emulated::{Emulated, UpError};
use optical::Optics;
use soft_roce::Port;

/// A fabric that is up.
#[derive(Debug)]
pub enum Fabric {
    /// Namespaces and shaped links, with or without soft-RoCE.
    Emulated(Box<Emulated>),
    /// The machine's own interfaces.
    Host,
}

impl Fabric {
    /// Brings the plan's fabric up, or undoes what it made.
    pub fn up(plan: &Plan, run_id: &str, journal: &mut Journal) -> Result<Self, UpError> {
        match plan.testbed.fabric {
            FabricKind::Emulated | FabricKind::SoftRoce => {
                Emulated::up(plan, run_id, journal).map(|f| Fabric::Emulated(Box::new(f)))
            }
            FabricKind::Host => Ok(Fabric::Host),
        }
    }

    /// Its optical switches.
    pub fn optics(&self) -> Option<&Arc<Optics>> {
        match self {
            Fabric::Emulated(fabric) => fabric.optics(),
            Fabric::Host => None,
        }
    }

    /// What it is, in a sentence.
    pub fn describe(&self) -> String {
        match self {
            Fabric::Emulated(fabric) => fabric.describe(),
            Fabric::Host => "this machine's own interfaces".into(),
        }
    }

    /// What the reader of results must know of it.
    pub fn cautions(&self) -> Vec<String> {
        match self {
            Fabric::Emulated(fabric) => fabric.cautions(),
            Fabric::Host => Vec::new(),
        }
    }

    /// Network namespace of a host, if not ours.
    pub fn namespace(&self, host: usize) -> Option<BorrowedFd<'_>> {
        match self {
            Fabric::Emulated(fabric) => fabric.namespace(host),
            Fabric::Host => None,
        }
    }

    /// Interface and device of each address of a host, where hosts share our namespace.
    pub fn ports(&self, host: usize) -> Vec<Port> {
        match self {
            Fabric::Emulated(fabric) => fabric.ports(host),
            Fabric::Host => Vec::new(),
        }
    }

    /// The network, if [`emulated::calibrate`] can measure it.
    pub fn measurable(&self) -> Option<Arc<genie_emu::Fabric>> {
        match self {
            Fabric::Emulated(fabric) => fabric.measurable(),
            Fabric::Host => None,
        }
    }

    /// Reports links that others delete or set down.
    pub fn watch(&self, notices: mpsc::UnboundedSender<Notice>) -> Result<(), String> {
        match self {
            Fabric::Emulated(fabric) => fabric.watch(notices),
            Fabric::Host => Ok(()),
        }
    }

    /// Bytes counted so far on each link and direction; empty when the fabric does not count.
    pub fn counted_bytes(&self) -> Vec<[u64; 2]> {
        self.link_counts()
            .map(|counts| counts.into_iter().map(|c| c.bytes).collect())
            .unwrap_or_default()
    }

    /// Bytes and drops counted so far on each link.
    pub fn link_counts(&self) -> Option<Vec<LinkCount>> {
        match self {
            Fabric::Emulated(fabric) => fabric.link_counts(),
            Fabric::Host => None,
        }
    }

    /// Takes it down; gives a sentence for each thing that could not be removed.
    pub fn down(&mut self) -> Vec<String> {
        match self {
            Fabric::Emulated(fabric) => fabric.down(),
            Fabric::Host => Vec::new(),
        }
    }
}
