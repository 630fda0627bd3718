//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`generate`]: traces of training steps, from shapes of models.
//! * [`groups`]: comm groups. [`memory`]: remote memory and its cost.

pub mod chakra;
pub mod generate;
pub mod groups;
pub mod memory;
