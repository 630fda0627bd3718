//! Chakra execution traces, the format of `.et` files (schema `et_def.proto` of mlcommons/chakra):
//! one file per rank, a metadata message and then one message per node, each behind its length.
//!
//! * [`node`]: plain types. [`value`]: values of attributes. [`attributes`]: which ones mean what.
//! * [`reader`]: from bytes or a stream, gzip or not. [`writer`]: back. [`wire`]: the protobuf messages.

pub mod attributes;
pub mod node;
pub mod reader;
pub mod value;
mod wire;
pub mod writer;

pub use attributes::AttributeError;
pub use node::{CollectiveType, Io, Metadata, Node, NodeKind, Trace};
pub use reader::{ReadError, Reader, open, read};
pub use value::{Attribute, Value};
pub use writer::{Writer, encode};
