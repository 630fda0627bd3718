//! Which attributes mean something, and readings of them that accept every integer type. ASTRA-sim's
//! names and defaults (feeder v3, `et_feeder_node_attr.h`); absurd values are for the caller to refuse.

use std::collections::BTreeMap;

use super::node::{CollectiveType, Node, Trace};
use super::value::{Attribute, Value};

/// True: a CPU operation; else one of the GPU.
pub const IS_CPU_OP: &str = "is_cpu_op";
/// Floating-point operations of a compute node, for the roofline.
pub const NUM_OPS: &str = "num_ops";
/// Bytes that a compute node touches, or a memory node moves.
pub const TENSOR_SIZE: &str = "tensor_size";
/// Where a tensor lies; ASTRA-sim reads it and uses it for nothing.
pub const TENSOR_LOC: &str = "tensor_loc";
/// Number of a [`CollectiveType`].
pub const COMM_TYPE: &str = "comm_type";
/// Bytes; of an all-gather the contribution of one rank.
pub const COMM_SIZE: &str = "comm_size";
/// Rank that sends.
pub const COMM_SRC: &str = "comm_src";
/// Rank that receives.
pub const COMM_DST: &str = "comm_dst";
/// Tag by which a message is matched.
pub const COMM_TAG: &str = "comm_tag";
/// Priority, used by the scheduling policy EXPLICIT only.
pub const COMM_PRIORITY: &str = "comm_priority";
/// Communicator group, a decimal number; empty or 0 is all ranks.
pub const PG_NAME: &str = "pg_name";
/// Which dimensions of the network take part, as truth values.
pub const INVOLVED_DIM: &str = "involved_dim";
/// Rank at the root of a rooted collective.
pub const ROOT: &str = "root";
/// Tensors read, for the tracker of local memory: name, size, name, size, ...
pub const INPUTS: &str = "inputs";
/// Tensors written, likewise.
pub const OUTPUTS: &str = "outputs";
/// Genie's own: the exact duration in nanoseconds where `duration_micros` had to be rounded.
pub const DURATION_NS: &str = "genie_duration_ns";

/// Every attribute that something is done with.
pub const KNOWN: &[&str] = &[
    IS_CPU_OP,
    NUM_OPS,
    TENSOR_SIZE,
    TENSOR_LOC,
    COMM_TYPE,
    COMM_SIZE,
    COMM_SRC,
    COMM_DST,
    COMM_TAG,
    COMM_PRIORITY,
    PG_NAME,
    INVOLVED_DIM,
    ROOT,
    INPUTS,
    OUTPUTS,
    DURATION_NS,
];

/// Why an attribute of a node could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node} `{name}`: {what}")]
pub struct AttributeError {
    /// Id of the node.
    pub node: u64,
    /// Name of the node.
    pub name: String,
    /// The attribute.
    pub attribute: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl Node {
    /// The value of the first attribute of this name that has one.
    pub fn value(&self, attribute: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|a| a.name == attribute)
            .and_then(|a| a.value.as_ref())
    }

    /// An unsigned integer, if the attribute is there.
    ///
    /// # Errors
    /// It is no integer, or negative.
    pub fn u64(&self, attribute: &'static str) -> Result<Option<u64>, AttributeError> {
        self.integer(attribute, "0 to 18446744073709551615")
    }

    /// An unsigned integer of 32 bits, if the attribute is there.
    ///
    /// # Errors
    /// It is no integer, negative or too large.
    pub fn u32(&self, attribute: &'static str) -> Result<Option<u32>, AttributeError> {
        self.integer(attribute, "0 to 4294967295")
    }

    /// An unsigned integer that must be there.
    ///
    /// # Errors
    /// It is missing, no integer, or negative.
    pub fn required_u64(&self, attribute: &'static str) -> Result<u64, AttributeError> {
        self.u64(attribute)?.ok_or_else(|| self.missing(attribute))
    }

    /// An unsigned integer of 32 bits that must be there.
    ///
    /// # Errors
    /// It is missing, no integer, negative or too large.
    pub fn required_u32(&self, attribute: &'static str) -> Result<u32, AttributeError> {
        self.u32(attribute)?.ok_or_else(|| self.missing(attribute))
    }

    /// Whether it runs on the CPU; false if not said.
    ///
    /// # Errors
    /// The attribute is neither a truth value nor an integer.
    pub fn is_cpu_op(&self) -> Result<bool, AttributeError> {
        match self.value(IS_CPU_OP) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(IS_CPU_OP, "a truth value", value)),
        }
    }

    /// Which collective it takes part in.
    ///
    /// # Errors
    /// `comm_type` is missing or no number of the schema.
    pub fn collective(&self) -> Result<CollectiveType, AttributeError> {
        let number = self.required_u64(COMM_TYPE)?;
        let known = i64::try_from(number).ok().and_then(CollectiveType::from_number);
        known.ok_or_else(|| {
            self.error(
                COMM_TYPE,
                format!("`{COMM_TYPE}` {number} is no collective (0 to 9)"),
            )
        })
    }

    /// The communicator group as it is written; empty if not said. Numbers count as their text.
    ///
    /// # Errors
    /// The attribute is neither a text nor an integer.
    pub fn group(&self) -> Result<String, AttributeError> {
        match self.value(PG_NAME) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value) => value
                .as_integer()
                .map(|number| number.to_string())
                .ok_or_else(|| self.wrong(PG_NAME, "a text", value)),
        }
    }

    /// Which dimensions of the network take part, if said.
    ///
    /// # Errors
    /// The attribute is no list of truth values or integers.
    pub fn involved_dim(&self) -> Result<Option<Vec<bool>>, AttributeError> {
        let Some(value) = self.value(INVOLVED_DIM) else {
            return Ok(None);
        };
        let integers = value.as_integers();
        let list = integers.ok_or_else(|| self.wrong(INVOLVED_DIM, "a list of truth values", value))?;
        Ok(Some(list.into_iter().map(|v| v != 0).collect()))
    }

    /// A list of texts, if the attribute is there (`inputs`, `outputs`).
    ///
    /// # Errors
    /// It is something else.
    pub fn strings(&self, attribute: &'static str) -> Result<Option<&[String]>, AttributeError> {
        match self.value(attribute) {
            None => Ok(None),
            Some(Value::StringList(list)) => Ok(Some(list)),
            Some(other) => Err(self.wrong(attribute, "a list of texts", other)),
        }
    }

    /// How long it takes, nanoseconds: genie's exact attribute if there is one, else the microseconds
    /// of the schema.
    ///
    /// # Errors
    /// Beyond 64 bits, or the attribute is no unsigned integer.
    pub fn duration_ns(&self) -> Result<u64, AttributeError> {
        if let Some(exact) = self.u64(DURATION_NS)? {
            return Ok(exact);
        }
        let ns = self.duration_us.checked_mul(1000);
        ns.ok_or_else(|| {
            self.error(
                "duration_micros",
                format!("`duration_micros` {} is too large", self.duration_us),
            )
        })
    }

    /// Says that it takes so many nanoseconds: microseconds rounded to the nearest, and the exact
    /// figure as [`DURATION_NS`] where that is not the same.
    pub fn set_duration_ns(&mut self, ns: u64) {
        self.duration_us = ns / 1000 + u64::from(ns % 1000 >= 500);
        self.attributes.retain(|a| a.name != DURATION_NS);
        if !ns.is_multiple_of(1000) {
            self.attributes.push(Attribute::new(DURATION_NS, ns));
        }
    }

    /// Names of attributes that nothing is done with.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = &str> {
        let names = self.attributes.iter().map(|a| a.name.as_str());
        names.filter(|name| !KNOWN.contains(name))
    }

    fn integer<T: TryFrom<i128>>(
        &self,
        attribute: &'static str,
        range: &str,
    ) -> Result<Option<T>, AttributeError> {
        let Some(value) = self.value(attribute) else {
            return Ok(None);
        };
        let number = value
            .as_integer()
            .ok_or_else(|| self.wrong(attribute, "an integer", value))?;
        let fits = T::try_from(number);
        fits.map(Some).map_err(|_| {
            self.error(
                attribute,
                format!("`{attribute}` {number} is out of range ({range})"),
            )
        })
    }

    fn missing(&self, attribute: &'static str) -> AttributeError {
        let kind = self.kind;
        self.error(attribute, format!("a {kind} needs the attribute `{attribute}`"))
    }

    fn wrong(&self, attribute: &'static str, wanted: &str, given: &Value) -> AttributeError {
        let case = given.case();
        self.error(
            attribute,
            format!("`{attribute}` is a {case}; {wanted} is wanted"),
        )
    }

    /// An error about an attribute (or field) of this node.
    pub fn error(&self, attribute: &'static str, what: String) -> AttributeError {
        AttributeError {
            node: self.id,
            name: self.name.escape_debug().to_string(),
            attribute,
            what,
        }
    }
}

impl Trace {
    /// Attributes that nothing is done with, and how many nodes have them.
    pub fn unknown_attributes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for name in self.nodes.iter().flat_map(Node::unknown_attributes) {
            match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(name.to_owned(), 1);
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::NodeKind;
    use super::*;

    fn node() -> Node {
        Node::new(4, "ar", NodeKind::CommColl)
    }

    #[test]
    fn sizes_are_read_in_every_integer_type_and_refused_in_others() {
        for value in [
            Value::Int32(9),
            Value::Uint64(9),
            Value::Fixed32(9),
            Value::Sint64(9),
        ] {
            assert_eq!(node().with(COMM_SIZE, value).required_u64(COMM_SIZE), Ok(9));
        }
        let text = |value: Value| {
            node()
                .with(COMM_SIZE, value)
                .u64(COMM_SIZE)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            text(Value::String("9".into())),
            "node 4 `ar`: `comm_size` is a string_val; an integer is wanted"
        );
        assert!(text(Value::Int64(-1)).contains("-1 is out of range"));
        assert_eq!(
            node().required_u64(COMM_SIZE).unwrap_err().to_string(),
            "node 4 `ar`: a COMM_COLL_NODE needs the attribute `comm_size`"
        );
        assert!(node().with(COMM_TYPE, 10).collective().is_err());
    }

    #[test]
    fn durations_keep_their_nanoseconds() {
        let mut node = node();
        node.set_duration_ns(1_500);
        assert_eq!((node.duration_us, node.duration_ns()), (2, Ok(1_500)));
        node.set_duration_ns(3_000);
        assert_eq!((node.duration_us, node.attributes.len()), (3, 0));
        node.duration_us = u64::MAX;
        assert!(node.duration_ns().is_err());
    }

    #[test]
    fn unknown_attributes_are_counted() {
        let nodes = vec![
            node().with("colour", 1),
            node().with("colour", 2).with(COMM_TAG, 1),
        ];
        let trace = Trace {
            nodes,
            ..Trace::default()
        };
        assert_eq!(
            trace.unknown_attributes(),
            BTreeMap::from([("colour".to_owned(), 2)])
        );
    }
}
