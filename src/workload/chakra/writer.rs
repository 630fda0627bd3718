//! Writes traces as protobuf's own libraries do: packed lists, defaults left out, chosen cases of a
//! `oneof` always there. Feeders of every version read them.

use std::io::{self, Write};

use super::node::{Metadata, Node, Trace};
use super::wire;

/// Writes a trace node by node.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a trace. Nothing is buffered here: give a `BufWriter` for a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, metadata: &Metadata) -> io::Result<Writer<W>> {
        let mut writer = Writer {
            out,
            buffer: Vec::new(),
        };
        writer.message(&wire::GlobalMetadata::from(metadata))?;
        Ok(writer)
    }

    /// Writes one node.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn node(&mut self, node: &Node) -> io::Result<()> {
        self.message(&wire::Node::from(node))
    }

    /// Flushes, and gives `out` back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn message(&mut self, message: &impl prost::Message) -> io::Result<()> {
        self.buffer.clear();
        message
            .encode_length_delimited(&mut self.buffer)
            .expect("a vector grows as needed");
        self.out.write_all(&self.buffer)
    }
}

/// A whole trace as the bytes of its file.
pub fn encode(trace: &Trace) -> Vec<u8> {
    let written = Writer::new(Vec::new(), &trace.metadata).and_then(|mut writer| {
        trace.nodes.iter().try_for_each(|node| writer.node(node))?;
        writer.finish()
    });
    written.expect("writing to a vector cannot fail")
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, Io, NodeKind, Value, read};
    use super::*;

    fn every_case() -> Vec<Value> {
        vec![
            Value::Double(0.5),
            Value::DoubleList(vec![0.5, -1.0]),
            Value::Float(0.25),
            Value::FloatList(vec![]),
            Value::Int32(-1),
            Value::Int32List(vec![-1, 2]),
            Value::Int64(i64::MIN),
            Value::Int64List(vec![0]),
            Value::Uint32(u32::MAX),
            Value::Uint32List(vec![1]),
            Value::Uint64(u64::MAX),
            Value::Uint64List(vec![1]),
            Value::Sint32(-2),
            Value::Sint32List(vec![-2]),
            Value::Sint64(-3),
            Value::Sint64List(vec![-3]),
            Value::Fixed32(4),
            Value::Fixed32List(vec![4]),
            Value::Fixed64(5),
            Value::Fixed64List(vec![5]),
            Value::Sfixed32(-6),
            Value::Sfixed32List(vec![-6]),
            Value::Sfixed64(-7),
            Value::Sfixed64List(vec![-7]),
            Value::Bool(false),
            Value::BoolList(vec![true, false]),
            Value::String("".into()),
            Value::StringList(vec!["a".into(), "".into()]),
            Value::Bytes(vec![0, 255]),
            Value::BytesList(vec![vec![], vec![1]]),
        ]
    }

    #[test]
    fn everything_comes_back() {
        let mut node = Node::new(0, "näme", NodeKind::MemStore);
        (node.start_us, node.duration_us) = (3, u64::MAX);
        (node.ctrl_deps, node.data_deps) = (vec![9, 1 << 63], vec![8]);
        node.inputs = Io {
            values: "[1]".into(),
            shapes: "[[2]]".into(),
            types: "['Tensor']".into(),
        };
        node.attributes = every_case()
            .into_iter()
            .map(|value| Attribute::new(value.case(), value))
            .collect();
        node.attributes.push(Attribute {
            name: "empty".into(),
            doc: "said".into(),
            value: None,
        });
        let trace = Trace {
            nodes: vec![node],
            ..Trace::default()
        };
        assert_eq!(read(&encode(&trace), "x").unwrap(), trace);
    }

    /// The 81 bytes that chakra's generator writes for rank 0 of an all-reduce of 1 MB.
    #[test]
    fn bytes_are_those_of_chakras_own_writer() {
        let mut trace = Trace::default();
        trace.metadata.version = "0.0.4".into();
        let node = Node::new(0, "ALL_REDUCE_8_1048576", NodeKind::CommColl);
        let node = node.with("is_cpu_op", false).with("comm_type", 0i64);
        trace.nodes.push(node.with("comm_size", 1_048_576i64));
        let bytes = encode(&trace);
        assert_eq!(&bytes[..8], b"\x07\x0a\x050.0.4");
        let text = bytes.escape_ascii().to_string();
        assert!(text.contains(r"R\x0e\n\tis_cpu_op\xd8\x01\x00"), "{text}");
        assert!(text.contains(r"R\r\n\tcomm_typeH\x00"), "{text}");
        assert!(text.contains(r"R\x0f\n\tcomm_sizeH\x80\x80@"), "{text}");
    }
}
