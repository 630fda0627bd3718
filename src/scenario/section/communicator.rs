//! `[[communicator]]`: a group of ranks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::message::Rank;

/// A group of ranks that play collectives among themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Communicator {
    /// Its name, unique; "world" is taken.
    pub name: String,
    /// Its members, in order of their position in it.
    pub ranks: Vec<Rank>,
}
