//! Structs in Thrift's compact protocol, as far as Parquet's footer needs them: fields in ascending order.
//!
//! Format: apache/thrift, doc/specs/thrift-compact-protocol.md.

/// Types of fields and of elements of lists.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct being written.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

/// Seven bits to a byte, lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign are short.
fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn list(out: &mut Vec<u8>, kind: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length) if length < 15 => out.push(length << 4 | kind),
        _ => {
            out.push(0xf0 | kind);
            varint(out, length as u64);
        }
    }
}

fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

impl Struct {
    /// The field's head: ids ascend by less than sixteen.
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    pub(super) fn integer32(&mut self, id: u8, value: i64) {
        self.field(id, I32);
        zigzag(&mut self.bytes, value);
    }

    pub(super) fn integer(&mut self, id: u8, value: i64) {
        self.field(id, I64);
        zigzag(&mut self.bytes, value);
    }

    pub(super) fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        binary(&mut self.bytes, text.as_bytes());
    }

    pub(super) fn integers32(&mut self, id: u8, values: &[i64]) {
        self.field(id, LIST);
        list(&mut self.bytes, I32, values.len());
        values.iter().for_each(|value| zigzag(&mut self.bytes, *value));
    }

    pub(super) fn texts(&mut self, id: u8, texts: &[&str]) {
        self.field(id, LIST);
        list(&mut self.bytes, BINARY, texts.len());
        texts
            .iter()
            .for_each(|text| binary(&mut self.bytes, text.as_bytes()));
    }

    /// A list of finished structs.
    pub(super) fn structs(&mut self, id: u8, structs: &[Vec<u8>]) {
        self.field(id, LIST);
        list(&mut self.bytes, STRUCT, structs.len());
        structs.iter().for_each(|bytes| self.bytes.extend(bytes));
    }

    pub(super) fn inner(&mut self, id: u8, inner: Struct) {
        self.field(id, STRUCT);
        self.bytes.extend(inner.finish());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        let mut bytes = Vec::new();
        // 50399 is 0xDF 0x89 0x03; 0, -1, 1, -2 become 0, 1, 2, 3.
        varint(&mut bytes, 50399);
        [0, -1, 1, -2]
            .into_iter()
            .for_each(|value| zigzag(&mut bytes, value));
        assert_eq!(bytes, [0xdf, 0x89, 0x03, 0, 1, 2, 3]);
        let mut long = Struct::default();
        long.texts(1, &["a"; 20]);
        assert_eq!(long.finish()[..3], [0x19, 0xf8, 20]);
    }
}
