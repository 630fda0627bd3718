//! What a rank plays, in which order.
//!
//! * [`chakra`]: execution traces as ASTRA-sim reads them (`.et` files): types, reader, writer.
//! * [`graph`]: what a rank executes, as typed nodes, by ASTRA-sim's rules. [`feeder`]: what is ready.
//! * [`compute`]: how long compute takes. [`groups`]: comm groups. [`memory`]: remote memory and its cost.
//! * [`jobs`]: several jobs on one network. [`npus`]: NPUs that differ. [`ranks`]: lists of ranks.
//! * [`json`]: the same as JSON. [`text`]: text workloads of ASTRA-sim 1.0 and SimAI.
//! * [`msccl`]: MSCCL's algorithms as custom collectives. [`pytorch`]: traces of real jobs.
//! * [`generate`]: traces of training steps, from shapes of models.
//! * [`trace`]: what of a trace is played in real time, [`lanes`] what of that may begin now.
//! * [`inspect`]: what is in traces and what is wrong with them. [`error`]: why a file was refused.

pub mod chakra;
pub mod compute;
pub mod error;
pub mod feeder;
pub mod generate;
pub mod graph;
pub mod groups;
pub mod inspect;
pub mod jobs;
pub mod json;
pub mod lanes;
pub mod memory;
pub mod msccl;
pub mod npus;
pub mod pytorch;
mod ranks;
pub mod text;
pub mod trace;
