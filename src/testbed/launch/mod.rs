//! Starting rank processes. A launcher only starts them, with two environment variables; who they
//! are and how they fare is the controller's business.
//!
//! * [`local`]: children of this process, each in its host's network namespace.

pub mod local;
