//! Optical circuit switches: drivers for seven dialects behind one trait.
//!
//! * [`model`]: ports and circuits in neutral words. [`endpoint`]: which switch. [`switch`]: the trait.
//! * [`dialect`]: the drivers. [`codec`]: their languages without I/O. [`wire`]: streams with deadlines.
//! * [`change`]: the plan of a change. [`apply`]: carrying it out. [`hold`]: leases, and the way back.

pub mod apply;
pub mod change;
pub mod codec;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub mod hold;
pub mod model;
pub mod switch;
pub mod wire;

pub use apply::{Applied, ApplyError, Times};
pub use change::{Change, Mode, PlanError};
pub use dialect::open;
pub use endpoint::{Dialect, Endpoint, EndpointError};
pub use error::OcsError;
pub use hold::{Hold, HoldError};
pub use model::{Circuit, Identity, Port, PortInfo, PortState, Size, Startup};
pub use switch::Switch;
