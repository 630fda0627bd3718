//! Where traces come from: one file, all ranks' files by their prefix or by `{rank}`, of any format; the
//! format is seen from the bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::scenario::units::Bytes;
use crate::workload::chakra::reader::inflated;
use crate::workload::chakra::{self, Trace};
use crate::workload::error::FormatError;
use crate::workload::text::converter::{self, Converter};
use crate::workload::text::{self, Program};
use crate::workload::{json, msccl, pytorch};

/// Most ranks that `{rank}` stands for.
const MOST_RANKS: u32 = 1 << 20;

/// What to read.
#[derive(Debug, clap::Args)]
pub struct Input {
    /// A file of any format; or PREFIX of the files PREFIX.0.et, PREFIX.1.et, ...; or a name with {rank} in it.
    pub input: String,
    /// Its format, where it cannot be seen.
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<Format>,
    /// PyTorch: the host execution trace that belongs to a profiler's trace ({rank} as in INPUT).
    #[arg(long, value_name = "FILE")]
    pub host: Option<String>,
    /// Text workloads: ranks of the job.
    #[arg(long, value_name = "N")]
    pub npus: Option<u32>,
    /// Text workloads: ranks of each dimension of the network.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub dims: Vec<u32>,
    /// Text workloads: iterations.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub passes: u32,
    /// MSCCL: bytes of the collective (of an all-gather: what one rank adds).
    #[arg(long, value_name = "BYTES", default_value = "1 MiB")]
    pub size: Bytes,
    /// MSCCL: bandwidth of local memory for reductions and copies, GB/s.
    #[arg(long, value_name = "GB/s", default_value_t = 50.0)]
    pub local_mem_bw: f64,
    /// Text and MSCCL: reproduce chakra's (collectiveapi's) converter node by node, for comparison with
    /// published results: text workloads' compute times become 1000 times too long.
    #[arg(long)]
    pub like_chakra_converter: bool,
}

/// Formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Chakra, protobuf (gzip or not).
    Et,
    /// Chakra as JSON, either form.
    Json,
    /// ASTRA-sim 1.0's or SimAI's text workload.
    Text,
    /// MSCCL's XML.
    Msccl,
    /// PyTorch's profiler trace or host execution trace.
    Pytorch,
}

/// Traces of one or all ranks, made when asked for where that is possible.
#[derive(Debug)]
pub struct Source {
    made: Made,
    /// Whether these are all ranks of the job.
    pub complete: bool,
    /// Comm groups, where the input has them.
    pub groups: BTreeMap<u32, Vec<u32>>,
    /// What the user should know.
    pub notices: Vec<String>,
}

#[derive(Debug)]
enum Made {
    Files(BTreeMap<u32, (PathBuf, Format)>),
    Program(Box<Program>),
    Converter(Box<Converter>, u32),
    Traces(BTreeMap<u32, Trace>),
}

impl Source {
    /// The ranks.
    pub fn ranks(&self) -> Vec<u32> {
        match &self.made {
            Made::Files(files) => files.keys().copied().collect(),
            Made::Program(program) => (0..program.npus()).collect(),
            Made::Converter(_, npus) => (0..*npus).collect(),
            Made::Traces(traces) => traces.keys().copied().collect(),
        }
    }

    /// The files that are read when a trace is asked for.
    pub fn files(&self) -> Vec<&Path> {
        match &self.made {
            Made::Files(files) => files.values().map(|(path, _)| path.as_path()).collect(),
            _ => Vec::new(),
        }
    }

    /// The trace of one of [`Source::ranks`].
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn trace(&self, rank: u32) -> Result<Trace, FormatError> {
        match &self.made {
            Made::Files(files) => {
                let (path, format) = &files[&rank];
                read(path, *format)
            }
            Made::Program(program) => Ok(program.trace(rank)),
            Made::Converter(converter, _) => Ok(converter.trace(rank)),
            Made::Traces(traces) => Ok(traces.get(&rank).cloned().unwrap_or_default()),
        }
    }
}

/// Finds the files and recognises their format.
///
/// # Errors
/// There are none, or the first of them cannot be read.
pub fn open(input: &Input) -> Result<Source, FormatError> {
    let (files, complete) = find(&input.input)?;
    let (rank, first) = files
        .iter()
        .next()
        .map(|(rank, path)| (*rank, path.clone()))
        .unwrap_or_default();
    let name = first.display().to_string();
    let format = match input.from {
        Some(format) => format,
        None => detect(&load(&first)?),
    };
    let made = |made: Made| Source {
        made,
        complete,
        groups: BTreeMap::new(),
        notices: Vec::new(),
    };
    match format {
        Format::Et | Format::Json => {
            let files = files.into_iter().map(|(rank, path)| (rank, (path, format)));
            Ok(made(Made::Files(files.collect())))
        }
        Format::Text => of_text(input, &words(&first)?, &name),
        Format::Msccl => {
            let options = msccl::Options {
                bytes: input.size.0,
                local_mem_gbps: input.local_mem_bw,
                like_converter: input.like_chakra_converter,
            };
            if !(input.local_mem_bw.is_finite() && input.local_mem_bw > 0.0) {
                return Err(FormatError::new(
                    &name,
                    "the bandwidth of local memory must be above 0",
                ));
            }
            let algorithm = msccl::read(&words(&first)?, &name, &options)?;
            let traces = algorithm
                .traces
                .into_iter()
                .enumerate()
                .map(|(rank, trace)| (rank as u32, trace));
            Ok(Source {
                complete: true,
                ..made(Made::Traces(traces.collect()))
            })
        }
        Format::Pytorch => of_pytorch(input, &files, complete, rank),
    }
}

fn of_text(input: &Input, text: &str, name: &str) -> Result<Source, FormatError> {
    let workload = text::parse(text, name)?;
    let options = text::Options {
        npus: input.npus,
        passes: input.passes,
        dims: input.dims.clone(),
    };
    let source = |made, notices| Source {
        made,
        complete: true,
        groups: BTreeMap::new(),
        notices,
    };
    let program = Program::new(workload.clone(), &options, name)?;
    if input.like_chakra_converter {
        let npus = program.npus();
        let converter = Converter::new(workload, input.passes, name)?;
        return Ok(source(
            Made::Converter(Box::new(converter), npus),
            vec![converter::NOTICE.to_owned()],
        ));
    }
    let groups = program.groups().members.clone();
    let notices = program.notices().to_vec();
    Ok(Source {
        groups,
        ..source(Made::Program(Box::new(program)), notices)
    })
}

fn of_pytorch(
    input: &Input,
    files: &BTreeMap<u32, PathBuf>,
    complete: bool,
    first: u32,
) -> Result<Source, FormatError> {
    let hosts = input
        .host
        .as_deref()
        .map(find)
        .transpose()?
        .map(|(files, _)| files);
    let mut source = Source {
        made: Made::Traces(BTreeMap::new()),
        complete,
        groups: BTreeMap::new(),
        notices: Vec::new(),
    };
    let mut traces = BTreeMap::new();
    for (rank, path) in files {
        let name = path.display().to_string();
        let bytes = load(path)?;
        let profiled = is_profile(&bytes);
        let kineto = profiled
            .then(|| pytorch::kineto::read(&bytes, &name))
            .transpose()?;
        let host_path = match (profiled, &hosts) {
            (false, _) => Some(path),
            // One file and one host file belong together, whatever they are called.
            (true, Some(hosts)) if files.len() == 1 && hosts.len() == 1 => hosts.values().next(),
            (true, Some(hosts)) => hosts.get(rank),
            (true, None) => None,
        };
        let host = host_path
            .map(|path| pytorch::host::read(&load(path)?, &path.display().to_string()))
            .transpose()?;
        let said = kineto
            .as_ref()
            .and_then(|kineto| kineto.rank)
            .filter(|_| files.len() == 1);
        let rank = said.unwrap_or(*rank);
        let options = pytorch::Options {
            name,
            rank,
            world_size: input
                .npus
                .or((complete && files.len() > 1).then_some(files.len() as u32)),
        };
        let imported = pytorch::import(host.as_ref(), kineto.as_ref(), &options)?;
        for (id, ranks) in imported.groups {
            let known = source.groups.entry(id).or_insert_with(|| ranks.clone());
            if *known != ranks {
                let what =
                    format!("group {id} has the ranks {ranks:?} here and {known:?} in another rank's trace");
                return Err(FormatError::new(&options.name, what));
            }
        }
        let lines = imported.notices.into_iter().map(|notice| match rank == first {
            true => notice,
            false => format!("rank {rank}: {notice}"),
        });
        source.notices.extend(lines);
        traces.insert(rank, imported.trace);
    }
    source.made = Made::Traces(traces);
    Ok(source)
}

/// Files by rank, and whether they are all of the job.
fn find(name: &str) -> Result<(BTreeMap<u32, PathBuf>, bool), FormatError> {
    if name.contains("{rank}") {
        let path = |rank: u32| PathBuf::from(name.replace("{rank}", &rank.to_string()));
        let files: BTreeMap<u32, PathBuf> = (0..MOST_RANKS)
            .map(|rank| (rank, path(rank)))
            .take_while(|(_, path)| path.is_file())
            .collect();
        let none = || FormatError::new(name, "there is no file of rank 0");
        return if files.is_empty() {
            Err(none())
        } else {
            Ok((files, true))
        };
    }
    let path = Path::new(name);
    if path.is_file() {
        let rank = numbered(path, None).unwrap_or(0);
        return Ok((BTreeMap::from([(rank, path.to_owned())]), false));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let base = path
        .file_name()
        .and_then(|base| base.to_str())
        .unwrap_or_default();
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let files: BTreeMap<u32, PathBuf> = entries
        .filter_map(|path| Some((numbered(&path, Some(base))?, path)))
        .collect();
    if files.is_empty() {
        let error = FormatError::new(name, "there is no such file, and no file of that prefix");
        return Err(error.help(format!("a prefix stands for {name}.0.et, {name}.1.et, ...")));
    }
    Ok((files, true))
}

/// The number in `BASE.<number>.et` (or `.json`, or either with `.gz`).
fn numbered(path: &Path, base: Option<&str>) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let name = name.strip_suffix(".et").or_else(|| name.strip_suffix(".json"))?;
    let (stem, number) = name.rsplit_once('.')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && base.is_none_or(|base| base == stem))
        .then(|| number.parse().ok())
        .flatten()
}

fn load(path: &Path) -> Result<Vec<u8>, FormatError> {
    let name = path.display().to_string();
    let bytes =
        fs::read(path).map_err(|error| FormatError::new(&name, format!("cannot be read: {error}")))?;
    match inflated(&bytes, &name)? {
        std::borrow::Cow::Owned(plain) => Ok(plain),
        std::borrow::Cow::Borrowed(_) => Ok(bytes),
    }
}

fn words(path: &Path) -> Result<String, FormatError> {
    String::from_utf8(load(path)?)
        .map_err(|_| FormatError::new(&path.display().to_string(), "it is no text (UTF-8)"))
}

fn read(path: &Path, format: Format) -> Result<Trace, FormatError> {
    let name = path.display().to_string();
    match format {
        Format::Json => json::read(&load(path)?, &name),
        _ => Ok(chakra::open(path)?.trace()?),
    }
}

fn detect(bytes: &[u8]) -> Format {
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match begins {
        Some(b'{' | b'[') if is_profile(bytes) || is_host(bytes) => Format::Pytorch,
        Some(b'{' | b'[') => Format::Json,
        Some(b'<') => Format::Msccl,
        _ => match std::str::from_utf8(bytes) {
            Ok(words) if text::parse::is_text_workload(words) => Format::Text,
            _ => Format::Et,
        },
    }
}

fn has(bytes: &[u8], word: &str) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|words| words.contains(word))
}

fn is_profile(bytes: &[u8]) -> bool {
    has(bytes, "\"traceEvents\"")
}

fn is_host(bytes: &[u8]) -> bool {
    has(bytes, "\"nodes\"") && has(bytes, "\"schema\"")
}
