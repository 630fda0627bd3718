//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`json`]: the same as JSON. [`text`]: text workloads of ASTRA-sim 1.0 and SimAI.
//! * [`msccl`]: MSCCL's algorithms as custom collectives. [`pytorch`]: traces of real jobs.
//! * [`inspect`]: what is in traces and what is wrong with them. [`error`]: why a file was refused.

pub mod chakra;
pub mod error;
pub mod inspect;
pub mod json;
pub mod msccl;
pub mod pytorch;
pub mod text;
