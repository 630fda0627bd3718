//! Imitations of optical circuit switches that speak the real protocols over sockets.
//!
//! * [`core`]: ports, circuits, mirrors that take time: what all dialects share, without clock or I/O.
//! * `grammar`: one thin file for each dialect. [`trouble`]: what may be made to go wrong.
//! * [`server`]: sockets and sessions. [`light`]: links of a fabric that follow a switch's light.

pub mod core;
mod grammar;
pub mod light;
pub mod server;
pub mod trouble;

pub use self::core::Settle;
pub use light::Lamp;
pub use server::{Options, ServeError, Server};
pub use trouble::Trouble;
