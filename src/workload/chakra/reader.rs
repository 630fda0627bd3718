//! Reads traces: message by message, from memory or a stream, gzip or not. Memory grows with what
//! is really there, never with what a length claims. Every error names file, place and node.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use prost::Message as _;

use super::node::{Metadata, Node, Trace};
use super::wire;

/// How a gzip file begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Protobuf's own limit of one message, bytes.
const LARGEST_MESSAGE: u64 = (1 << 31) - 1;
/// How many times its size a gzip file may inflate to; traces of real jobs do 20 to 100 times.
const MOST_INFLATION: u64 = 300;
/// Small gzip files may inflate to this many bytes anyway.
const INFLATION_FLOOR: u64 = 16 << 20;

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
#[error("`{file}`: {}{what}", self.place())]
pub struct ReadError {
    /// The file, or what stands for it.
    pub file: String,
    /// Where in it, bytes from its beginning (inflated, if it is gzip).
    pub offset: u64,
    /// Id and name of the node, as far as they could be read.
    pub node: Option<(u64, String)>,
    /// What is wrong.
    pub what: String,
    /// What to do about it, where something is known.
    pub help: Option<&'static str>,
}

impl ReadError {
    fn place(&self) -> String {
        match &self.node {
            None => format!("byte {}: ", self.offset),
            Some((id, name)) => format!("byte {}, node {id} `{}`: ", self.offset, name.escape_debug()),
        }
    }
}

/// Reads a whole trace from memory; `name` stands for its file in errors.
///
/// # Errors
/// Truncated or corrupt bytes, a node id that comes twice, a node type that the schema has not.
pub fn read(bytes: &[u8], name: &str) -> Result<Trace, ReadError> {
    Reader::new(bytes, name)?.trace()
}

/// A gzip file inflated, within the same bound as traces; other bytes as they are.
///
/// # Errors
/// The gzip file is cut off, corrupt, or inflates beyond the bound.
pub fn inflated<'a>(bytes: &'a [u8], name: &str) -> Result<Cow<'a, [u8]>, ReadError> {
    if !bytes.starts_with(&GZIP) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::new();
    let read = Inflated::new(bytes).read_to_end(&mut plain);
    read.map_err(|error| ReadError {
        file: name.to_owned(),
        offset: plain.len() as u64,
        node: None,
        what: unreadable(&error),
        help: None,
    })?;
    Ok(Cow::Owned(plain))
}

/// Opens a trace file.
///
/// # Errors
/// The file cannot be read or does not begin as a trace.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, ReadError> {
    let name = path.display().to_string();
    let failed = |error: io::Error| ReadError {
        file: name.clone(),
        offset: 0,
        node: None,
        what: unreadable(&error),
        help: None,
    };
    if path.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let file = File::open(path).map_err(failed)?;
    Reader::new(BufReader::new(file), &name)
}

/// Reads a trace node by node.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    input: Input<R>,
    file: String,
    offset: u64,
    metadata: Metadata,
    /// Where each id was seen.
    seen: HashMap<u64, u64>,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read: recognises gzip and reads the metadata.
    ///
    /// # Errors
    /// There is no metadata message at the beginning.
    pub fn new(input: R, name: &str) -> Result<Reader<R>, ReadError> {
        let mut reader = Reader {
            input: Input::Plain(input),
            file: name.to_owned(),
            offset: 0,
            metadata: Metadata::default(),
            seen: HashMap::new(),
            buffer: Vec::new(),
        };
        reader.detect_gzip()?;
        reader.read_metadata()?;
        Ok(reader)
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All that is left, with the metadata.
    ///
    /// # Errors
    /// As [`read`].
    pub fn trace(mut self) -> Result<Trace, ReadError> {
        let mut nodes = Vec::new();
        while let Some(node) = self.next_node()? {
            nodes.push(node);
        }
        Ok(Trace {
            metadata: self.metadata,
            nodes,
        })
    }

    /// The next node; `None` at the end of the file.
    ///
    /// # Errors
    /// As [`read`].
    pub fn next_node(&mut self) -> Result<Option<Node>, ReadError> {
        let start = self.offset;
        if !self.next_message()? {
            return Ok(None);
        }
        let mut message = wire::Node::default();
        let merged = message.merge(self.buffer.as_slice());
        let node = || Some((message.id, message.name.clone()));
        if let Err(error) = merged {
            return Err(self.error(start, node(), corrupt(&error)));
        }
        if let Some(first) = self.seen.insert(message.id, start) {
            let what = format!("this id has been used before, at byte {first}");
            return Err(self.error(start, node(), what));
        }
        let (id, name) = (message.id, message.name.clone());
        let plain = message.into_plain();
        plain.map(Some).map_err(|kind| {
            let what = format!("node type {kind} is none of the schema's (0 to 7)");
            self.error(start, Some((id, name)), what)
        })
    }

    fn detect_gzip(&mut self) -> Result<(), ReadError> {
        let Input::Plain(input) = &mut self.input else {
            return Ok(());
        };
        let begins = input.fill_buf().map(|head| head.starts_with(&GZIP));
        if begins.map_err(|error| self.error(0, None, unreadable(&error)))?
            && let Input::Plain(input) = std::mem::replace(&mut self.input, Input::Empty)
        {
            self.input = Input::Gzip(Box::new(Inflated::new(input)));
        }
        Ok(())
    }

    fn read_metadata(&mut self) -> Result<(), ReadError> {
        if !self.next_message()? {
            let mut error = self.error(0, None, "the file is empty".into());
            error.help = Some("a trace begins with a metadata message; was it cut off?");
            return Err(error);
        }
        let decoded = wire::GlobalMetadata::decode(self.buffer.as_slice());
        let metadata = decoded.map_err(|error| {
            let mut error = self.error(0, None, format!("no metadata at the beginning: {}", corrupt(&error)));
            error.help = Some("is it a Chakra trace (.et)? JSON forms and text workloads are converted by `genie workload convert`");
            error
        })?;
        self.metadata = metadata.into();
        Ok(())
    }

    /// Fills the buffer with the next message; false at the end of the file.
    fn next_message(&mut self) -> Result<bool, ReadError> {
        let start = self.offset;
        let Some(length) = self.length()? else {
            return Ok(false);
        };
        if length > LARGEST_MESSAGE {
            return Err(self.error(
                start,
                None,
                format!("a message of {length} bytes; protobuf allows 2 GiB"),
            ));
        }
        self.buffer.clear();
        let read = (&mut self.input).take(length).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| self.error(start, None, unreadable(&error)))?;
        self.offset += read as u64;
        if (read as u64) < length {
            let what = format!("the file ends within a message: {read} of {length} bytes are there");
            return Err(self.error(start, None, what));
        }
        Ok(true)
    }

    /// A varint of at most 32 bits; `None` at the end of the file.
    fn length(&mut self) -> Result<Option<u64>, ReadError> {
        let start = self.offset;
        let mut length = 0;
        for shift in (0..70).step_by(7) {
            let mut byte = [0];
            let read = self.input.read(&mut byte);
            match read.map_err(|error| self.error(start, None, unreadable(&error)))? {
                0 if shift == 0 => return Ok(None),
                0 => return Err(self.error(start, None, "the file ends within a length".into())),
                _ => self.offset += 1,
            }
            length |= u64::from(byte[0] & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte[0] & 0x80 == 0 {
                return Ok(Some(length));
            }
        }
        Err(self.error(start, None, "no length of a message: ten bytes and no end".into()))
    }

    fn error(&self, offset: u64, node: Option<(u64, String)>, what: String) -> ReadError {
        ReadError {
            file: self.file.clone(),
            offset,
            node,
            what,
            help: None,
        }
    }
}

/// Plain bytes, or a gzip file.
#[derive(Debug)]
enum Input<R: BufRead> {
    Plain(R),
    Gzip(Box<Inflated<R>>),
    Empty,
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Input::Plain(input) => input.read(buffer),
                Input::Gzip(decoder) => decoder.read(buffer),
                Input::Empty => Ok(0),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// What a gzip file inflates to, up to a bound.
#[derive(Debug)]
struct Inflated<R: BufRead> {
    decoder: MultiGzDecoder<Counted<R>>,
    inflated: u64,
}

impl<R: BufRead> Inflated<R> {
    fn new(input: R) -> Self {
        Inflated {
            decoder: MultiGzDecoder::new(Counted { input, count: 0 }),
            inflated: 0,
        }
    }
}

impl<R: BufRead> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.inflated += read as u64;
        let taken = self.decoder.get_ref().count;
        if self.inflated > taken.saturating_mul(MOST_INFLATION).max(INFLATION_FLOOR) {
            let what = format!(
                "the gzip file inflates to more than {MOST_INFLATION} times its size; if that is right, gunzip it first"
            );
            return Err(io::Error::other(what));
        }
        Ok(read)
    }
}

/// Counts the bytes that were taken from a stream.
#[derive(Debug)]
struct Counted<R> {
    input: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.input.consume(amount);
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        io::ErrorKind::UnexpectedEof => "the gzip file is cut off".into(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Prost's message without its preamble: it names message and field.
fn corrupt(error: &prost::DecodeError) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to decode Protobuf message: ")
        .unwrap_or(&text);
    format!("corrupt: {text}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::{NodeKind, encode};
    use super::*;

    fn sample() -> Trace {
        let first = Node::new(0, "comp", NodeKind::Comp).with("is_cpu_op", false);
        let mut second = Node::new(7, "ar", NodeKind::CommColl).with("comm_type", 0i64);
        second.data_deps = vec![0];
        Trace {
            metadata: Metadata {
                version: "0.0.4".into(),
                ..Metadata::default()
            },
            nodes: vec![first, second],
        }
    }

    fn error(bytes: &[u8]) -> String {
        read(bytes, "x.0.et").unwrap_err().to_string()
    }

    #[test]
    fn gzip_is_seen_by_its_first_bytes() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&encode(&sample())).unwrap();
        let bytes = gzip.finish().unwrap();
        assert_eq!(read(&bytes, "x").unwrap(), sample());
        assert!(error(&bytes[..bytes.len() - 12]).contains("cut off"));
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let mut trace = sample();
        trace.nodes[0].name = "x".repeat(40 << 20);
        gzip.write_all(&encode(&trace)).unwrap();
        assert!(error(&gzip.finish().unwrap()).contains("inflates to more than 300 times"));
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_trace() {
        let bytes = encode(&sample());
        let whole: Vec<usize> = (0..bytes.len())
            .filter(|cut| read(&bytes[..*cut], "x").is_ok())
            .collect();
        // Only where a message ends: after the metadata and after the first node.
        assert_eq!(whole.len(), 2);
    }

    #[test]
    fn errors_name_file_place_and_node() {
        assert_eq!(error(b""), "`x.0.et`: byte 0: the file is empty");
        let mut twice = sample();
        twice.nodes[1].id = 0;
        assert_eq!(
            error(&encode(&twice)),
            "`x.0.et`: byte 33, node 0 `ar`: this id has been used before, at byte 8"
        );
        let mut huge = encode(&sample());
        huge.extend([0xff; 9]);
        assert!(error(&huge).contains("the file ends within a length"));
        huge.push(1);
        assert!(error(&huge).contains("protobuf allows 2 GiB"));
        let absurd = [&encode(&Trace::default())[..], &[2, 0x18, 9]].concat();
        assert_eq!(
            error(&absurd),
            "`x.0.et`: byte 1, node 0 ``: node type 9 is none of the schema's (0 to 7)"
        );
    }
}
