//! Collective algorithms, one file each, and the verifier that proves them.

/// Where in an operation's buffer the payload of a message lies.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Region;
