//! NPUs that are not like the others, an extension of ASTRA-sim's files: stragglers, other devices.
//!
//! ```json
//! {"npus": [{"npus": [3, "8-11"], "compute-slowdown": 1.5}]}
//! ```

use super::ranks;
use crate::document::{Diagnostic, Diagnostics, Fields, Node, Parsed, Reader, json};

const KEYS: [&str; 6] = [
    "npus",
    "compute-slowdown",
    "peak-perf",
    "local-mem-bw",
    "endpoint-delay",
    "start-ns",
];

/// How an NPU differs; `None`: not in this.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NpuKind {
    /// Compute takes so many times as long.
    pub compute_slowdown: Option<f64>,
    /// Peak, flop/s (in the file: Tflop/s of 10^12).
    pub peak_flops: Option<f64>,
    /// Bandwidth of its memory, bytes/s (in the file: GB/s of 10^9).
    pub local_mem_bytes_per_s: Option<f64>,
    /// Endpoint delay, ns.
    pub endpoint_delay_ns: Option<u64>,
    /// It begins so much later than its job, ns.
    pub start_ns: u64,
}

/// Kinds of NPUs and who is of them.
#[derive(Debug, Clone, PartialEq)]
pub struct NpuKinds {
    /// The first is that of all others.
    pub kinds: Vec<NpuKind>,
    /// By NPU, a place in `kinds`; NPUs beyond are of the first.
    of: Vec<u32>,
}

impl Default for NpuKinds {
    fn default() -> Self {
        NpuKinds {
            kinds: vec![NpuKind::default()],
            of: Vec::new(),
        }
    }
}

impl NpuKinds {
    /// Reads the text of a file that is called `name`, for a network of `npus`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(name: &str, text: &str, npus: u32) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, json::parse)?;
        let kinds = reader
            .fields(root, "a file of NPUs")
            .and_then(|fields| read(&mut reader, fields, npus));
        reader.finish(kinds)
    }

    /// The kind of an NPU, as a place in `kinds`.
    pub fn of(&self, npu: u32) -> usize {
        self.of.get(npu as usize).map_or(0, |&kind| kind as usize)
    }
}

fn read(reader: &mut Reader, mut fields: Fields, npus: u32) -> Option<NpuKinds> {
    if !fields.has("npus") {
        reader.missing(&fields, "npus", "it is the list of NPUs that differ".into());
    }
    let example = "[{\"npus\": [3], \"compute-slowdown\": 1.5}]";
    let (nodes, _) = reader.list(&mut fields, "npus", example)?;
    reader.refuse(fields, &["npus"]);
    let mut all = NpuKinds::default();
    for node in nodes {
        let span = node.span.clone();
        let Some((of_kind, kind)) = entry(reader, node, npus) else {
            continue;
        };
        if let Some(npu) = of_kind.iter().find(|&&npu| all.of(npu) != 0) {
            let message = format!("NPU {npu} is in two entries of `npus`");
            reader.wrong(Diagnostic::new(message).at(span, ""));
        }
        all.kinds.push(kind);
        for npu in of_kind {
            if all.of.len() <= npu as usize {
                all.of.resize(npu as usize + 1, 0);
            }
            all.of[npu as usize] = all.kinds.len() as u32 - 1;
        }
    }
    Some(all)
}

fn entry(reader: &mut Reader, node: Node, npus: u32) -> Option<(Vec<u32>, NpuKind)> {
    let end = node.span.clone();
    let mut fields = reader.fields(node, "an entry of `npus`")?;
    let of_kind = ranks::take(reader, &mut fields, "npus", npus.saturating_sub(1));
    if KEYS[1..].iter().all(|key| !fields.has(key)) {
        let wrong = Diagnostic::new("an entry of `npus` that says nothing about them").at(end, "");
        reader.wrong(wrong.help(format!("it has one of {}", KEYS[1..].join(", "))));
    }
    let slowdown = reader.real(&mut fields, "compute-slowdown", 0.0, "");
    let kind = NpuKind {
        compute_slowdown: slowdown,
        peak_flops: above_0(reader, &mut fields, "peak-perf", 1e12),
        local_mem_bytes_per_s: above_0(reader, &mut fields, "local-mem-bw", 1e9),
        endpoint_delay_ns: reader.whole(&mut fields, "endpoint-delay", 0..=u64::from(u32::MAX)),
        start_ns: reader
            .whole(&mut fields, "start-ns", 0..=u64::MAX >> 2)
            .unwrap_or(0),
    };
    reader.refuse(fields, &KEYS);
    Some((of_kind?, kind))
}

fn above_0(reader: &mut Reader, fields: &mut Fields, key: &str, unit: f64) -> Option<f64> {
    let entry = fields.take(key)?;
    let number = reader.real_of(&entry.value, &format!("`{key}`"), 0.0, "")?;
    if number == 0.0 {
        reader.wrong(Diagnostic::new(format!("`{key}` is above 0")).at(entry.value.span, ""));
    }
    Some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NpuKinds, String> {
        let parsed = NpuKinds::parse("n.json", text, 16).map_err(|wrong| wrong.to_string())?;
        Ok(parsed.value)
    }

    #[test]
    fn those_that_differ_are_known_and_others_are_not() {
        let text = r#"{"npus": [
            {"npus": [3, "8-11"], "compute-slowdown": 1.5},
            {"npus": [0], "peak-perf": 312, "local-mem-bw": 2039, "endpoint-delay": 20, "start-ns": 7}
        ]}"#;
        let npus = parse(text).expect("valid");
        let of: Vec<usize> = [0, 3, 4, 8, 11, 12, 99].map(|npu| npus.of(npu)).into();
        assert_eq!(of, [2, 1, 0, 1, 1, 0, 0]);
        assert_eq!(npus.kinds[0], NpuKind::default());
        assert_eq!(npus.kinds[1].compute_slowdown, Some(1.5));
        assert_eq!(npus.kinds[2].local_mem_bytes_per_s, Some(2.039e12));
        assert_eq!(
            (npus.kinds[2].endpoint_delay_ns, npus.kinds[2].start_ns),
            (Some(20), 7)
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("{}", "missing key `npus`"),
            (r#"{"npus": [{"compute-slowdown": 2}]}"#, "missing key `npus`"),
            (r#"{"npus": [{"npus": [1]}]}"#, "says nothing"),
            (
                r#"{"npus": [{"npus": [16], "compute-slowdown": 2}]}"#,
                "from 0 to 15",
            ),
            (
                r#"{"npus": [{"npus": [1], "compute-slowdown": -1}]}"#,
                "at least 0",
            ),
            (
                r#"{"npus": [{"npus": [1], "peak-perf": 0}]}"#,
                "`peak-perf` is above 0",
            ),
            (
                r#"{"npus": [{"npus": [1], "compute-slow": 2}]}"#,
                "did you mean `compute-slowdown`?",
            ),
            (
                r#"{"npus": [{"npus": [1], "start-ns": 2}, {"npus": ["0-2"], "start-ns": 3}]}"#,
                "NPU 1 is in two entries",
            ),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(part), "{text}:\n{said}");
        }
    }
}
