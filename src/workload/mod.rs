//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`groups`]: comm groups. [`memory`]: remote memory and its cost.

pub mod chakra;
pub mod groups;
pub mod memory;
