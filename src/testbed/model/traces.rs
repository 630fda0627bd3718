//! The trace files of a job, and which of them have been read before.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Traces whose graphs are the same on every rank, by kind of NPU and content, the newest last.
#[derive(Default)]
pub(super) struct KnownTraces(VecDeque<(usize, Vec<u8>, Arc<Graph>)>);

impl KnownTraces {
    /// The graph of a trace, if it was read before.
    pub(super) fn find(&self, kind: usize, bytes: &[u8]) -> Option<Arc<Graph>> {
        let mut known = self.0.iter().rev();
        let found = known.find(|(of, content, _)| *of == kind && content == bytes);
        found.map(|(_, _, graph)| Arc::clone(graph))
    }

    /// Keeps a trace and its graph.
    pub(super) fn keep(&mut self, kind: usize, bytes: &[u8], graph: &Arc<Graph>) {
        if self.0.len() == KNOWN {
            self.0.pop_front();
        }
        self.0.push_back((kind, bytes.to_vec(), Arc::clone(graph)));
    }
}
