//! The trace files of a job, and which of them have been read before.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::inputs::ModelError;
use crate::network::message::Rank;
use crate::workload::graph::Graph;

/// Longest trace that is read, bytes.
const LONGEST: u64 = 8 << 30;

/// Trace files, read one at a time into one place.
pub(super) struct Traces<'a> {
    prefix: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Traces<'a> {
    /// `<prefix>.<rank>.et`.
    pub(super) fn new(prefix: &'a Path) -> Self {
        Traces {
            prefix,
            bytes: Vec::new(),
        }
    }

    fn path(&self, rank: Rank) -> PathBuf {
        let mut path = self.prefix.as_os_str().to_owned();
        path.push(format!(".{rank}.et"));
        path.into()
    }

    /// As people call a rank's.
    pub(super) fn name(&self, rank: Rank) -> String {
        self.path(rank).display().to_string()
    }

    /// What was read last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads one of a job of `ranks`.
    pub(super) fn read(&mut self, rank: Rank, ranks: u32) -> Result<(), ModelError> {
        let path = self.path(rank);
        self.bytes.clear();
        if let Some(what) = fs::metadata(&path).ok().and_then(|file| unreadable(&file)) {
            let file = path.display().to_string();
            return Err(ModelError::Trace { file, what });
        }
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut self.bytes));
        match read {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ModelError::MissingTrace {
                file: path.display().to_string(),
                npus: ranks,
            }),
            Err(error) => Err(ModelError::Read { file: path, error }),
        }
    }
}

/// Why a file cannot be read as a whole, if it cannot.
fn unreadable(file: &fs::Metadata) -> Option<String> {
    if !file.is_file() && !file.is_dir() {
        return Some("it is no regular file: traces are read as a whole".into());
    }
    (file.len() > LONGEST).then(|| format!("{} bytes are too many: at most 8 GiB are read", file.len()))
}

/// So many different traces are recognised again.
const KNOWN: usize = 8;
/// Traces up to so many bytes are kept as they are, which is quickest to compare; of longer ones the digest.
const WHOLE: usize = 16 << 20;

/// What a trace is recognised by.
enum Content {
    Whole(Vec<u8>),
    /// Of so many bytes.
    Digest(usize, [u8; 32]),
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        match bytes.len() {
            long if long > WHOLE => Content::Digest(long, Sha256::digest(bytes).into()),
            _ => Content::Whole(bytes.to_vec()),
        }
    }

    /// Whether it is that of these bytes; `digest` is theirs, if it was made before.
    fn is(&self, bytes: &[u8], digest: &mut Option<[u8; 32]>) -> bool {
        match self {
            Content::Whole(content) => content == bytes,
            Content::Digest(length, of) => {
                *length == bytes.len() && *of == *digest.get_or_insert_with(|| Sha256::digest(bytes).into())
            }
        }
    }
}

/// Traces whose graphs are the same on every rank, by kind of NPU and content, the newest last.
#[derive(Default)]
pub(super) struct KnownTraces(VecDeque<(usize, Content, Arc<Graph>)>);

impl KnownTraces {
    /// The graph of a trace, if it was read before.
    pub(super) fn find(&self, kind: usize, bytes: &[u8]) -> Option<Arc<Graph>> {
        let mut digest = None;
        let mut known = self.0.iter().rev();
        let found = known.find(|(of, content, _)| *of == kind && content.is(bytes, &mut digest));
        found.map(|(_, _, graph)| Arc::clone(graph))
    }

    /// Keeps a trace and its graph.
    pub(super) fn keep(&mut self, kind: usize, bytes: &[u8], graph: &Arc<Graph>) {
        if self.0.len() == KNOWN {
            self.0.pop_front();
        }
        self.0.push_back((kind, Content::of(bytes), Arc::clone(graph)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_recognised_by_all_of_their_bytes_and_long_ones_are_not_kept() {
        for length in [WHOLE, WHOLE + 1] {
            let (mut known, graph) = (KnownTraces::default(), Arc::new(Graph::default()));
            let mut bytes = vec![7; length];
            known.keep(1, &bytes, &graph);
            assert_eq!(matches!(known.0[0].1, Content::Whole(_)), length == WHOLE);
            assert!(known.find(1, &bytes).is_some());
            assert!(known.find(0, &bytes).is_none(), "of another kind");
            assert!(known.find(1, &bytes[1..]).is_none(), "shorter");
            bytes[length / 2] = 8;
            assert!(known.find(1, &bytes).is_none(), "of another content");
        }
    }

    #[test]
    fn the_newest_are_known() {
        let (mut known, graph) = (KnownTraces::default(), Arc::new(Graph::default()));
        for number in 0..=KNOWN {
            known.keep(0, &[number as u8], &graph);
        }
        assert!(known.find(0, &[0]).is_none());
        assert!((1..=KNOWN).all(|number| known.find(0, &[number as u8]).is_some()));
    }
}
