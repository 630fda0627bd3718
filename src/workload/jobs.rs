//! Several jobs on one network, an extension of ASTRA-sim's files: which traces each job plays on which NPUs.
//!
//! ```json
//! {"jobs": [{"name": "a", "workload": "traces/a", "npus": ["0-3"]}, {"name": "b", "workload": "traces/b", "npus": [4, 6]}]}
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ranks;
use crate::document::{Diagnostic, Diagnostics, Fields, Node, Parsed, Reader, json};

const KEYS: [&str; 7] = [
    "name",
    "workload",
    "npus",
    "dimensions",
    "system",
    "comm-groups",
    "start-ns",
];

/// Most dimensions of a job, as of a network: each rank keeps queues of each.
const MAX_DIMENSIONS: usize = 16;

/// A job as the file gives it. Paths are relative to the working directory, as all of ASTRA-sim's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEntry {
    /// Its name.
    pub name: String,
    /// Prefix of its traces: `<workload>.<rank>.et`.
    pub workload: PathBuf,
    /// The NPU of each of its ranks, in order.
    pub npus: Vec<u32>,
    /// The dimensions in which it sees its ranks; their product is the number of ranks.
    pub dimensions: Option<Vec<u32>>,
    /// Its own system file.
    pub system: Option<PathBuf>,
    /// Its comm groups file, in its own ranks.
    pub comm_groups: Option<PathBuf>,
    /// When it starts, ns.
    pub start_ns: u64,
}

/// All jobs of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jobs {
    /// At least one; no NPU is in two.
    pub jobs: Vec<JobEntry>,
}

impl Jobs {
    /// Reads the text of a file that is called `name`, for a network of `npus`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(name: &str, text: &str, npus: u32) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, json::parse)?;
        let jobs = reader
            .fields(root, "a file of jobs")
            .and_then(|fields| read(&mut reader, fields, npus));
        reader.finish(jobs)
    }
}

fn read(reader: &mut Reader, mut fields: Fields, npus: u32) -> Option<Jobs> {
    if !fields.has("jobs") {
        reader.missing(&fields, "jobs", "it is the list of jobs".into());
    }
    let (nodes, span) = reader.list(
        &mut fields,
        "jobs",
        "[{\"workload\": \"traces/a\", \"npus\": [\"0-3\"]}]",
    )?;
    reader.refuse(fields, &["jobs"]);
    if nodes.is_empty() {
        reader.wrong(Diagnostic::new("`jobs` is empty").at(span, ""));
    }
    let (mut jobs, mut taken) = (Vec::<JobEntry>::new(), BTreeMap::<u32, String>::new());
    for (number, node) in nodes.into_iter().enumerate() {
        let span = node.span.clone();
        let Some(job) = job(reader, node, number, npus) else {
            continue;
        };
        if jobs.iter().any(|other| other.name == job.name) {
            let message = format!("two jobs are called `{}`", job.name.escape_debug());
            reader.wrong(Diagnostic::new(message).at(span.clone(), ""));
        }
        let twice = job.npus.iter().find_map(|npu| Some((npu, taken.get(npu)?)));
        if let Some((npu, other)) = twice {
            let message = format!(
                "NPU {npu} is in two jobs, `{}` and `{}`",
                other.escape_debug(),
                job.name.escape_debug()
            );
            reader.wrong(Diagnostic::new(message).at(span, ""));
        }
        taken.extend(job.npus.iter().map(|&npu| (npu, job.name.clone())));
        jobs.push(job);
    }
    Some(Jobs { jobs })
}

fn job(reader: &mut Reader, node: Node, number: usize, npus: u32) -> Option<JobEntry> {
    let mut fields = reader.fields(node, "a job")?;
    let name = match reader.text(&mut fields, "name") {
        Some((name, span)) if name.is_empty() => {
            reader.wrong(Diagnostic::new("a job's `name` is empty").at(span, ""));
            name
        }
        Some((name, _)) => name,
        None => format!("job{number}"),
    };
    if !fields.has("workload") {
        reader.missing(&fields, "workload", "the prefix of the job's traces".into());
    }
    let workload = path(reader, &mut fields, "workload");
    let placed = ranks::take(reader, &mut fields, "npus", npus.saturating_sub(1));
    let dimensions = dimensions(reader, &mut fields, placed.as_deref());
    let (system, comm_groups) = (
        path(reader, &mut fields, "system"),
        path(reader, &mut fields, "comm-groups"),
    );
    let start_ns = reader.whole(&mut fields, "start-ns", 0..=u64::MAX >> 1);
    reader.refuse(fields, &KEYS);
    Some(JobEntry {
        name,
        workload: workload?,
        npus: placed?,
        dimensions,
        system,
        comm_groups,
        start_ns: start_ns.unwrap_or(0),
    })
}

fn path(reader: &mut Reader, fields: &mut Fields, key: &str) -> Option<PathBuf> {
    reader.text(fields, key).map(|(path, _)| path.into())
}

fn dimensions(reader: &mut Reader, fields: &mut Fields, placed: Option<&[u32]>) -> Option<Vec<u32>> {
    if !fields.has("dimensions") {
        return None;
    }
    let (nodes, span) = reader.list(fields, "dimensions", "[4, 2]")?;
    if nodes.len() > MAX_DIMENSIONS {
        let message = format!("`dimensions` has {} elements", nodes.len());
        reader.wrong(
            Diagnostic::new(message)
                .at(span, "")
                .help(format!("at most {MAX_DIMENSIONS}")),
        );
        return None;
    }
    let size =
        |node| Some(reader.whole_of(node, "an element of `dimensions`", 1..=u64::from(u32::MAX))? as u32);
    let sizes: Vec<u32> = nodes.iter().map(size).collect::<Option<_>>()?;
    let ranks = sizes
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size.into()));
    if let Some(placed) = placed
        && ranks != Some(placed.len() as u64)
    {
        let message = format!(
            "the product of `dimensions` is not the job's {} ranks",
            placed.len()
        );
        reader.wrong(Diagnostic::new(message).at(span, ""));
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Jobs, String> {
        let parsed = Jobs::parse("j.json", text, 8).map_err(|wrong| wrong.to_string())?;
        assert!(parsed.notices.is_empty());
        Ok(parsed.value)
    }

    #[test]
    fn jobs_are_placed_in_the_order_listed() {
        let text = r#"{"jobs": [
            {"workload": "a", "npus": [7, "0-2"], "dimensions": [2, 2]},
            {"name": "b", "workload": "t/b", "npus": ["4"], "start-ns": 5, "system": "s.json", "comm-groups": "g.json"}
        ]}"#;
        let jobs = parse(text).expect("valid").jobs;
        assert_eq!(
            (jobs[0].name.as_str(), &jobs[0].npus[..]),
            ("job0", &[7, 0, 1, 2][..])
        );
        assert_eq!(jobs[0].dimensions.as_deref(), Some(&[2, 2][..]));
        assert_eq!((jobs[1].name.as_str(), jobs[1].start_ns), ("b", 5));
        assert_eq!(jobs[1].comm_groups.as_deref(), Some("g.json".as_ref()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("{}", "missing key `jobs`"),
            (r#"{"jobs": []}"#, "`jobs` is empty"),
            (r#"{"jobs": [{"npus": [0]}]}"#, "missing key `workload`"),
            (r#"{"jobs": [{"workload": "a"}]}"#, "missing key `npus`"),
            (r#"{"jobs": [{"workload": "a", "npus": []}]}"#, "`npus` is empty"),
            (r#"{"jobs": [{"workload": "a", "npus": [8]}]}"#, "from 0 to 7"),
            (
                r#"{"jobs": [{"workload": "a", "npus": ["3-1"]}]}"#,
                "`3-1` is no range",
            ),
            (
                r#"{"jobs": [{"workload": "a", "npus": ["0-8"]}]}"#,
                "`0-8` is no range",
            ),
            (
                r#"{"jobs": [{"workload": "a", "npus": ["0-3", 2]}]}"#,
                "2 stands twice",
            ),
            (
                r#"{"jobs": [{"workload": "a", "npu": [0]}]}"#,
                "did you mean `npus`?",
            ),
            (
                r#"{"jobs": [{"workload": "a", "npus": ["0-3"]}, {"workload": "b", "npus": [3]}]}"#,
                "NPU 3 is in two jobs, `job0` and `job1`",
            ),
            (
                r#"{"jobs": [{"workload": "a", "npus": [0, 1, 2], "dimensions": [2, 2]}]}"#,
                "not the job's 3 ranks",
            ),
            (
                r#"{"jobs": [{"name": "x", "workload": "a", "npus": [0]}, {"name": "x", "workload": "b", "npus": [1]}]}"#,
                "two jobs are called `x`",
            ),
            (
                &format!(
                    r#"{{"jobs": [{{"workload": "a", "npus": [0, 1], "dimensions": [2{}]}}]}}"#,
                    ", 1".repeat(MAX_DIMENSIONS)
                ),
                "`dimensions` has 17 elements",
            ),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(part), "{text}:\n{said}");
        }
    }
}
