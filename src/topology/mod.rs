//! Hosts, switches and links: from a few numbers to a graph with addresses and routes.
//!
//! * [`spec`]: the `[topology]` table as plain data.
//! * [`build`](build()): checks a spec and makes the [`graph::Graph`]; one builder each for regular shapes in
//!   [`builders`], and [`explicit`] nodes and links.
//! * [`cubes`]: hosts in cubes between whose faces circuits stand.
//! * [`optical`]: optical circuit switches, and the network that their circuits make. `ports`: where links end there.
//! * [`routes`]: addresses, and all equal-cost shortest paths to each of them.

mod build;
pub mod builders;
pub mod cubes;
pub mod explicit;
pub mod graph;
pub mod optical;
mod ports;
pub mod routes;
pub mod spec;

pub use build::{MAX_LINKS, MAX_NODES, Problem, build};
