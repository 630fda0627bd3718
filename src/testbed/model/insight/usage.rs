//! How long links carry messages. Where messages do not get in each other's way, a link is what a
//! rank sends in a dimension.

use crate::network::analytical::Network;
use crate::network::analytical::world::Hop;

/// How long links carry messages.
#[derive(Debug, Clone)]
pub struct Usage {
    links: Vec<u64>,
    dimensions: Vec<Used>,
}

/// What goes over the links of a dimension.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Bytes, once for each link.
    pub bytes: u64,
    /// The link that is taken longest, and for how long, ns.
    pub busiest: (u32, u64),
}

impl Usage {
    /// Nothing so far.
    pub fn new(network: &Network) -> Self {
        Usage {
            links: vec![0; network.links()],
            dimensions: vec![Used::default(); network.dimensions().len()],
        }
    }

    /// A message takes a link.
    pub fn add(&mut self, hop: Hop) {
        let taken = &mut self.links[hop.link as usize];
        *taken += hop.taken;
        let used = &mut self.dimensions[hop.dimension];
        used.bytes = used.bytes.saturating_add(hop.bytes);
        if *taken > used.busiest.1 {
            used.busiest = (hop.link, *taken);
        }
    }

    /// What went over each dimension.
    pub fn dimensions(&self) -> &[Used] {
        &self.dimensions
    }
}
