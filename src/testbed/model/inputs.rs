//! ASTRA-sim's files, read and put together: the network, and the jobs on it. What ASTRA-sim would do
//! silently wrong, or not at all, becomes a caution.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::job_files::{JobFiles, Shared};
use super::parts::{Backend, Parts, Wiring};
use super::simulation::Simulation;
use crate::document::{Diagnostics, MAX_BYTES, Parsed};
use crate::network::analytical::aware::count_links;
use crate::network::analytical::config::NetworkConfig;
use crate::network::analytical::topology::{TooLarge, Topology};
use crate::workload::chakra::ReadError;
use crate::workload::jobs::Jobs;
use crate::workload::memory::RemoteMemory;
use crate::workload::npus::NpuKinds;

/// Most links of a congestion-aware network: 12 bytes each are kept.
const MAX_LINKS: u64 = 1 << 30;

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// Prefix of the traces: `<prefix>.<rank>.et`. With `jobs`, theirs are read instead.
    pub workload: PathBuf,
    /// Jobs file; `None`: one job over the whole network.
    pub jobs: Option<PathBuf>,
    /// File of NPUs that differ.
    pub npus: Option<PathBuf>,
    /// System file; `None`: each job has its own.
    pub system: Option<PathBuf>,
    /// Network file.
    pub network: PathBuf,
    /// Remote memory file; `None`: there is no remote memory.
    pub memory: Option<PathBuf>,
    /// Comm group file.
    pub groups: Option<PathBuf>,
    /// Network model.
    pub backend: Backend,
    /// Queues of each dimension.
    pub queues: u32,
    /// Factor on the endpoint delay.
    pub injection_scale: f64,
    /// Receivers ask for each message first.
    pub rendezvous: bool,
    /// Carry out what ASTRA-sim refuses.
    pub extended: bool,
    /// Let one rank stand for all where that changes nothing.
    pub symmetry: bool,
}

/// Why nothing can be simulated.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("`{}`: {error}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A configuration file is wrong.
    #[error("{0}")]
    Config(Box<Diagnostics>),
    /// A trace cannot be read.
    #[error(transparent)]
    Chakra(#[from] ReadError),
    /// A trace makes no sense.
    #[error("`{file}`: {what}")]
    Trace {
        /// Which.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A trace is missing.
    #[error("workload file `{file}` does not exist: {npus} NPUs need one trace each, ranks 0 to {}", npus.saturating_sub(1))]
    MissingTrace {
        /// Which.
        file: String,
        /// NPUs of the network.
        npus: u32,
    },
    /// The network is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// So many links cannot be kept.
    #[error("the congestion-aware network would have {0} links; use the congestion-unaware one")]
    TooManyLinks(u64),
    /// The files do not fit each other.
    #[error("{0}")]
    Misfit(String),
    /// A custom algorithm without files.
    #[error(
        "no file `{prefix}.<position>.et` of a custom algorithm exists (paths are relative to the working directory)"
    )]
    NoAlgorithm {
        /// Its prefix.
        prefix: String,
    },
}

impl From<Diagnostics> for ModelError {
    fn from(diagnostics: Diagnostics) -> Self {
        ModelError::Config(Box::new(diagnostics))
    }
}

/// A simulation ready to run, and what is to be said before.
#[derive(Debug)]
pub struct Inputs {
    /// NPUs that execute something.
    pub npus: u32,
    /// The simulation.
    pub simulation: Simulation,
    /// What a user may not expect, one sentence each.
    pub cautions: Vec<String>,
}

impl Inputs {
    /// Reads everything.
    ///
    /// # Errors
    /// Says which file is wrong, and where.
    pub fn read(options: &Options) -> Result<Self, ModelError> {
        let mut cautions = Vec::new();
        let network = config(&options.network, &mut cautions, NetworkConfig::parse)?;
        let topology = Topology::new(&network)?;
        let npus = topology.npus();
        let shared = Shared {
            memory: match &options.memory {
                Some(path) => config(path, &mut cautions, RemoteMemory::parse)?,
                None => RemoteMemory::None,
            },
            kinds: match &options.npus {
                Some(path) => config(path, &mut cautions, |name, text| {
                    NpuKinds::parse(name, text, npus)
                })?,
                None => NpuKinds::default(),
            },
            options,
            network: &network,
        };
        let mut jobs = Vec::new();
        for files in jobs_of(&shared, npus, &mut cautions)? {
            jobs.push(Arc::new(files.job(&shared, &mut cautions)?));
        }
        if options.backend == Backend::Aware && network.dims() > 1 {
            cautions.push(
                "congestion on several dimensions is an extension; ASTRA-sim's backend knows one dimension only"
                    .into(),
            );
        }
        let links = count_links(&topology);
        if options.backend == Backend::Aware && links > MAX_LINKS {
            return Err(ModelError::TooManyLinks(links));
        }
        let wiring = Wiring {
            topology,
            backend: options.backend,
        };
        let parts = Parts {
            jobs,
            memory: shared.memory,
            symmetry: options.symmetry,
        };
        Ok(Inputs {
            npus: parts.jobs.iter().map(|job| job.ranks()).sum(),
            simulation: Simulation::new(wiring, parts),
            cautions,
        })
    }
}

/// The files of each job.
fn jobs_of(shared: &Shared<'_>, npus: u32, cautions: &mut Vec<String>) -> Result<Vec<JobFiles>, ModelError> {
    let Some(path) = &shared.options.jobs else {
        return Ok(vec![JobFiles::alone(shared, cautions)?]);
    };
    let jobs = config(path, cautions, |name, text| Jobs::parse(name, text, npus))?;
    if shared.options.system.is_some() && jobs.jobs.iter().all(|job| job.system.is_some()) {
        cautions.push("--system-configuration has no effect: each job has its own `system`".into());
    }
    let placed = |entry| JobFiles::placed(shared, entry, cautions);
    jobs.jobs.into_iter().map(placed).collect()
}

/// A configuration file's text; of endless ones only so much that they are seen to be too large, wherever that
/// cuts a character.
fn text(path: &Path) -> Result<String, ModelError> {
    let failed = |error| ModelError::Read {
        file: path.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read.map_err(failed)? {
        length if length > MAX_BYTES => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => String::from_utf8(bytes).map_err(|_| failed(io::Error::other("it is not UTF-8 text"))),
    }
}

/// Reads a configuration file; keeps what its reader has to say, once if several jobs read it.
pub(super) fn config<T>(
    path: &Path,
    cautions: &mut Vec<String>,
    parse: impl FnOnce(&str, &str) -> Result<Parsed<T>, Diagnostics>,
) -> Result<T, ModelError> {
    let parsed = parse(&path.display().to_string(), &text(path)?)?;
    for said in parsed.notices.iter().map(ToString::to_string) {
        if !cautions.contains(&said) {
            cautions.push(said);
        }
    }
    Ok(parsed.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_too_large_are_said_to_be_so_whatever_is_in_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("network.yml");
        let said = |content: &[u8]| {
            fs::write(&path, content).expect("writable");
            let read = config(&path, &mut Vec::new(), NetworkConfig::parse);
            read.expect_err("it is no network").to_string()
        };
        // Two bytes each: the last one that is read is half a character.
        let large = "é".repeat(MAX_BYTES / 2 + 1);
        assert!(said(large.as_bytes()).contains(&format!("at most {MAX_BYTES}")));
        let binary = said(&[0xFF, 0xFE]);
        assert!(
            binary.contains("network.yml") && binary.contains("UTF-8"),
            "{binary}"
        );
    }
}
