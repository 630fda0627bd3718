//! ASTRA-sim 1.0's text workloads and SimAI/AICB's, which are the same with more in the first line.
//!
//! * [`parse`]: text to a [`TextWorkload`]. [`lower`]: to a Chakra trace per rank, by the rules of
//!   ASTRA-sim 1.0's training loops. [`converter`]: as chakra's own converter would, errors included.
//! * [`layout`]: which ranks talk to each other.

pub mod converter;
pub mod layout;
pub mod lower;
pub mod parse;

pub use lower::{Options, Program};
pub use parse::{Comm, Layer, Phase, Policy, Scope, TextError, TextWorkload, parse};
