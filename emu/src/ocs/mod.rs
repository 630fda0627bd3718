//! Imitations of optical circuit switches that speak the real protocols over sockets.
//!
//! * [`core`]: ports, circuits, mirrors that take time: what all dialects share, without clock or I/O.
//! * `grammar`: one thin file for each dialect. [`trouble`]: what may be made to go wrong.
//! * [`server`]: sockets and sessions.

pub mod core;
mod grammar;
pub mod server;
pub mod trouble;

pub use self::core::Settle;
pub use server::{Options, ServeError, Server};
pub use trouble::Trouble;
