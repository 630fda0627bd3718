//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`text`]: text workloads of ASTRA-sim 1.0 and SimAI.

pub mod chakra;
pub mod text;
