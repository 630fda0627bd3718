//! The graph of one pipeline stage: the same for all of its ranks, but for who their groups and
//! peers are. Dependencies always point to earlier operations, so that there are no cycles.

use crate::workload::chakra::CollectiveType;

use super::device::{Kernel, Roofline};
use super::parallel::Group;

/// Index of an operation; also its node's id.
pub type Id = u32;

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: OpKind,
    /// Operations that make its input.
    pub data: Vec<Id>,
    /// Operations that it only comes after.
    pub ctrl: Vec<Id>,
}

/// What an operation is.
#[derive(Debug, Clone, PartialEq)]
pub enum OpKind {
    /// Computes.
    Compute {
        /// Flops and bytes of all its kernels.
        work: Kernel,
        /// How long, ns.
        ns: u64,
    },
    /// Takes part in a collective of the rank's group.
    Collective {
        /// Which.
        collective: CollectiveType,
        /// With whom.
        group: Group,
        /// In ASTRA-sim's convention: of an all-gather what each rank gives, else all of a rank's data.
        bytes: u64,
    },
    /// Sends to the rank of another stage in the same place.
    Send(Message),
    /// Receives from there.
    Receive(Message),
}

/// A message between stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The other stage.
    pub stage: u32,
    /// Tag.
    pub tag: u32,
    /// Bytes.
    pub bytes: u64,
}

/// Which operations of different groups wait for each other.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum CommOrder {
    /// All collectives and sends of a rank one after another: no two ranks can hold a single
    /// communication slot, as ASTRA-sim's, and wait for each other.
    One,
    /// Only collectives of the same group one after another, as streams of a GPU's communicators.
    Group,
}

/// Builds a graph: adds what comes next.
#[derive(Debug)]
pub struct Graph {
    /// So far.
    pub ops: Vec<Op>,
    roofline: Roofline,
    /// Factor on all compute times.
    scale: f64,
    order: CommOrder,
    /// Last collective of each group, or of all in the first place.
    last_comm: [Option<Id>; Group::COUNT + 1],
    /// Groups of the same ranks share a place.
    places: [usize; Group::COUNT],
    last_compute: Option<Id>,
    /// What the next operation of the running chain depends on.
    pub heads: Vec<Id>,
    /// Collectives that go on beside the next compute and join the chain after it.
    beside: Vec<Id>,
}

impl Graph {
    /// An empty one; groups with equal `places` are the same ranks.
    pub fn new(roofline: Roofline, scale: f64, order: CommOrder, places: [usize; Group::COUNT]) -> Self {
        Graph {
            ops: Vec::new(),
            roofline,
            scale,
            order,
            last_comm: [None; Group::COUNT + 1],
            places,
            last_compute: None,
            heads: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// Last compute so far.
    pub fn last_compute(&self) -> Option<Id> {
        self.last_compute
    }

    /// A compute operation next in the chain, and after all computes before it.
    pub fn compute(&mut self, name: String, kernels: &[Kernel]) -> Id {
        let ns: f64 = kernels.iter().map(|kernel| self.roofline.ns(kernel)).sum();
        let work = kernels.iter().fold(Kernel::default(), |sum, kernel| Kernel {
            flops: sum.flops + kernel.flops,
            bytes: sum.bytes + kernel.bytes,
        });
        let ns = ((ns * self.scale).round() as u64).max(1);
        let data = std::mem::take(&mut self.heads);
        let ctrl = self.last_compute.filter(|last| !data.contains(last));
        let id = self.push(
            name,
            OpKind::Compute { work, ns },
            data,
            ctrl.into_iter().collect(),
        );
        self.last_compute = Some(id);
        self.heads = vec![id];
        self.heads.append(&mut self.beside);
        id
    }

    /// A collective next in the chain.
    pub fn collective(&mut self, name: String, collective: CollectiveType, group: Group, bytes: u64) -> Id {
        let data = self.heads.clone();
        let id = self.apart(name, collective, group, bytes, data, Vec::new());
        self.heads = vec![id];
        id
    }

    /// A collective beside the next compute: the chain waits for it after that.
    pub fn collective_beside(&mut self, name: String, collective: CollectiveType, group: Group, bytes: u64) {
        let data = self.heads.clone();
        let id = self.apart(name, collective, group, bytes, data, Vec::new());
        self.beside.push(id);
    }

    /// A collective that the chain does not wait for.
    pub fn apart(
        &mut self,
        name: String,
        collective: CollectiveType,
        group: Group,
        bytes: u64,
        data: Vec<Id>,
        mut ctrl: Vec<Id>,
    ) -> Id {
        let place = match self.order {
            CommOrder::One => 0,
            CommOrder::Group => 1 + self.places[group as usize],
        };
        ctrl.extend(self.last_comm[place]);
        let kind = OpKind::Collective {
            collective,
            group,
            bytes: bytes.max(1),
        };
        let id = self.push(name, kind, data, ctrl);
        self.last_comm[place] = Some(id);
        id
    }

    /// Sends what the chain has made.
    pub fn send(&mut self, name: String, message: Message) {
        let ctrl = match self.order {
            CommOrder::One => self.last_comm[0],
            CommOrder::Group => None,
        };
        let data = self.heads.clone();
        let id = self.push(name, OpKind::Send(message), data, ctrl.into_iter().collect());
        if self.order == CommOrder::One {
            self.last_comm[0] = Some(id);
        }
    }

    /// Receives the chain's input, posted when the compute before it is over.
    pub fn receive(&mut self, name: String, message: Message) {
        let ctrl = self.last_compute.into_iter().collect();
        let id = self.push(name, OpKind::Receive(message), Vec::new(), ctrl);
        self.heads = vec![id];
    }

    fn push(&mut self, name: String, kind: OpKind, mut data: Vec<Id>, mut ctrl: Vec<Id>) -> Id {
        data.sort_unstable();
        data.dedup();
        ctrl.sort_unstable();
        ctrl.dedup();
        ctrl.retain(|id| data.binary_search(id).is_err());
        let id = self.ops.len() as Id;
        self.ops.push(Op {
            name,
            kind,
            data,
            ctrl,
        });
        id
    }
}
