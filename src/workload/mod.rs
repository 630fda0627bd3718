//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`graph`]: what a rank executes, as typed nodes, by ASTRA-sim's rules. [`feeder`]: what is ready.
//! * [`compute`]: how long compute takes. [`groups`]: comm groups. [`memory`]: remote memory and its cost.

pub mod chakra;
pub mod compute;
pub mod feeder;
pub mod graph;
pub mod groups;
pub mod memory;
