//! Text of a system file to [`SystemConfig`].

use crate::document::suggest;
use crate::document::{Diagnostic, Diagnostics, Fields, NoticeKind, Parsed, Reader, json, lines};

use super::implementation::NAMES;
use super::{CollectiveOptimization, Implementation, Implementations, LogGp, SchedulingPolicy, SystemConfig};

pub(super) const ALL_REDUCE: &str = "all-reduce-implementation";
pub(super) const ALL_GATHER: &str = "all-gather-implementation";
pub(super) const REDUCE_SCATTER: &str = "reduce-scatter-implementation";
pub(super) const ALL_TO_ALL: &str = "all-to-all-implementation";

/// Every key with an effect.
const KEYS: &[&str] = &[
    "scheduling-policy",
    "collective-optimization",
    "preferred-dataset-splits",
    "active-chunks-per-dimension",
    "endpoint-delay",
    "local-mem-bw",
    "local-reduction-delay",
    "L",
    "o",
    "g",
    "G",
    "model-shared-bus",
    "peak-perf",
    "roofline-enabled",
    "trace-enabled",
    "replay-only",
    "track-local-mem",
    "local-mem-trace-filename",
    ALL_REDUCE,
    ALL_GATHER,
    REDUCE_SCATTER,
    ALL_TO_ALL,
    "all-reduce-implementation-custom",
    "all-gather-implementation-custom",
    "reduce-scatter-implementation-custom",
    "all-to-all-implementation-custom",
    "per-node-custom-implementation",
];

/// Keys that its files and documentation have but ASTRA-sim does not read, and what holds instead.
const IGNORED: &[(&str, &str)] = &[
    ("boost-mode", "every NPU is simulated"),
    (
        "intra-dimension-scheduling",
        "chunks of a dimension run first come first served",
    ),
    (
        "inter-dimension-scheduling",
        "every chunk goes through the dimensions in ascending order",
    ),
];

const POLICIES: [(&str, SchedulingPolicy); 3] = [
    ("LIFO", SchedulingPolicy::Lifo),
    ("FIFO", SchedulingPolicy::Fifo),
    ("EXPLICIT", SchedulingPolicy::Explicit),
];

const OPTIMIZATIONS: [(&str, CollectiveOptimization); 2] = [
    ("baseline", CollectiveOptimization::Baseline),
    ("localBWAware", CollectiveOptimization::LocalBwAware),
];

/// ASTRA-sim keeps whole numbers in 32 bits with sign.
const INT: u64 = i32::MAX as u64;

impl SystemConfig {
    /// Reads the text of a system file that is called `name`: JSON if it begins with a brace, else
    /// the lines of ASTRA-sim 1.0.
    pub fn parse(name: &str, text: &str) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = if text.trim_start().starts_with('{') || text.trim().is_empty() {
            Reader::open(name, text, json::parse)?
        } else {
            let lists = [ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL];
            Reader::open(name, text, |text| lines::parse(text, &lists))?
        };
        let fields = reader.fields(root, "a system file");
        let config = fields.map(|fields| config(&mut reader, fields));
        reader.finish(config)
    }
}

fn config(reader: &mut Reader, mut rest: Fields) -> SystemConfig {
    let fields = &mut rest;
    let default = SystemConfig::default();
    let giga = |number: Option<f64>, scale: f64| number.map_or(0.0, |number| number * scale);
    let config = SystemConfig {
        scheduling_policy: reader.choice(fields, "scheduling-policy", &POLICIES),
        collective_optimization: reader.choice(fields, "collective-optimization", &OPTIMIZATIONS),
        preferred_dataset_splits: int(reader, fields, "preferred-dataset-splits", 1),
        active_chunks_per_dimension: int(reader, fields, "active-chunks-per-dimension", 1)
            .unwrap_or(default.active_chunks_per_dimension),
        endpoint_delay_ns: int(reader, fields, "endpoint-delay", 0).map(u64::from),
        local_mem_bytes_per_s: giga(reader.real(fields, "local-mem-bw", 0.0, "GB/s"), 1e9),
        local_reduction_delay_ns: int(reader, fields, "local-reduction-delay", 0)
            .map_or(default.local_reduction_delay_ns, u64::from),
        shared_bus: shared_bus(reader, fields),
        peak_flops: giga(reader.real(fields, "peak-perf", 0.0, "TFLOPS"), 1e12),
        roofline_enabled: reader.flag(fields, "roofline-enabled").unwrap_or_default(),
        trace_enabled: reader.flag(fields, "trace-enabled").unwrap_or_default(),
        replay_only: reader.flag(fields, "replay-only").unwrap_or_default(),
        track_local_mem: reader.flag(fields, "track-local-mem").unwrap_or_default(),
        local_mem_trace_filename: reader
            .text(fields, "local-mem-trace-filename")
            .map_or(default.local_mem_trace_filename, |(name, _)| name),
        all_reduce: implementations(reader, fields, ALL_REDUCE),
        all_gather: implementations(reader, fields, ALL_GATHER),
        reduce_scatter: implementations(reader, fields, REDUCE_SCATTER),
        all_to_all: implementations(reader, fields, ALL_TO_ALL),
        per_node_custom: reader
            .text(fields, "per-node-custom-implementation")
            .map(|(path, _)| path),
    };
    for (key, instead) in IGNORED {
        if let Some(entry) = fields.take(key) {
            let message = format!("`{key}` has no effect, in ASTRA-sim neither: {instead}");
            reader.notice(NoticeKind::Ignored, &entry.span, message, None);
        }
    }
    reader.unknown(rest, KEYS);
    config
}

fn int(reader: &mut Reader, fields: &mut Fields, key: &str, low: u64) -> Option<u32> {
    reader.whole(fields, key, low..=INT).map(|whole| whole as u32)
}

/// The keys of the LogGP bus; without `model-shared-bus` they have no effect.
fn shared_bus(reader: &mut Reader, fields: &mut Fields) -> Option<LogGp> {
    if reader.flag(fields, "model-shared-bus") != Some(true) {
        for key in ["L", "o", "g", "G"] {
            if let Some(entry) = fields.take(key) {
                let message = format!("`{key}` has no effect without `\"model-shared-bus\": 1`");
                reader.notice(NoticeKind::Ignored, &entry.span, message, None);
            }
        }
        return None;
    }
    let mut ns = |key| reader.real(fields, key, 0.0, "ns").unwrap_or_default() as f32;
    Some(LogGp {
        latency_ns: ns("L"),
        overhead_ns: ns("o"),
        gap_ns: ns("g"),
        gap_per_byte_ns: ns("G"),
    })
}

fn implementations(reader: &mut Reader, fields: &mut Fields, key: &str) -> Implementations {
    Implementations {
        native: native(reader, fields, key),
        custom: custom(reader, fields, &format!("{key}-custom")),
    }
}

fn native(reader: &mut Reader, fields: &mut Fields, key: &str) -> Vec<Implementation> {
    let Some((nodes, _)) = reader.list(fields, key, "[\"ring\"], one for each dimension") else {
        return Vec::new();
    };
    let mut native = Vec::new();
    for node in nodes {
        let Some((text, span)) = reader.text_of(node, &format!("an element of `{key}`")) else {
            continue;
        };
        match text.parse::<Implementation>() {
            Ok(implementation) => {
                if impossible(key, implementation) {
                    let message = format!("`{text}` cannot carry out what `{key}` is for");
                    reader.notice(NoticeKind::Doubtful, &span, message, None);
                }
                native.push(implementation);
            }
            Err(unknown) => {
                let wrong = Diagnostic::new(unknown.to_string()).at(span, "");
                reader.wrong(wrong.maybe_help(suggest::help(&text, "there are", &NAMES)));
            }
        }
    }
    native
}

/// Trees do all-reduce only; halving-doubling does no all-to-all.
fn impossible(key: &str, implementation: Implementation) -> bool {
    match implementation {
        Implementation::DoubleBinaryTree => key != ALL_REDUCE,
        Implementation::HalvingDoubling | Implementation::OneHalvingDoubling => key == ALL_TO_ALL,
        _ => false,
    }
}

fn custom(reader: &mut Reader, fields: &mut Fields, key: &str) -> Option<String> {
    let (mut nodes, span) = reader.list(fields, key, "[\"path/of/algorithm\"]")?;
    if nodes.len() != 1 {
        let message = format!(
            "`{key}` names one algorithm for all dimensions, not {}",
            nodes.len()
        );
        reader.wrong(Diagnostic::new(message).at(span, ""));
        return None;
    }
    let (path, _) = reader.text_of(nodes.remove(0), &format!("the element of `{key}`"))?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::super::MisfitKind;
    use super::*;

    const SHIPPED: &str = r#"{
    "scheduling-policy": "LIFO",
    "endpoint-delay": 12,
    "active-chunks-per-dimension": 2,
    "preferred-dataset-splits": 4,
    "all-reduce-implementation": ["ring", "direct2"],
    "all-to-all-implementation": ["halvingDoubling"],
    "collective-optimization": "localBWAware",
    "local-mem-bw": 1600,
    "boost-mode": 0,
    "G": 0.001,
    "roofline-enabled": 1,
    "peak-perf": 0.5,
    "all-gather-implementation-custom": ["a/b"]
}"#;

    fn wrong(text: &str) -> String {
        SystemConfig::parse("sys.json", text).expect_err(text).to_string()
    }

    #[test]
    fn every_value_is_read_in_its_unit() {
        let config = SystemConfig::parse("sys.json", SHIPPED).expect("valid").value;
        let direct: Implementation = "direct2".parse().expect("a name");
        let expected = SystemConfig {
            scheduling_policy: Some(SchedulingPolicy::Lifo),
            collective_optimization: Some(CollectiveOptimization::LocalBwAware),
            preferred_dataset_splits: Some(4),
            active_chunks_per_dimension: 2,
            endpoint_delay_ns: Some(12),
            local_mem_bytes_per_s: 1.6e12,
            peak_flops: 5e11,
            roofline_enabled: true,
            all_reduce: Implementations {
                native: vec![Implementation::Ring, direct],
                custom: None,
            },
            all_gather: Implementations {
                native: vec![],
                custom: Some("a/b".into()),
            },
            all_to_all: Implementations {
                native: vec![Implementation::HalvingDoubling],
                custom: None,
            },
            ..SystemConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn keys_without_effect_are_said() {
        let parsed = SystemConfig::parse("sys.json", SHIPPED).expect("valid");
        let said: Vec<String> = parsed.notices.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[0].starts_with("sys.json:11:5: `G` has no effect without"),
            "{said:?}"
        );
        assert!(said[1].contains(":7:35: `halvingDoubling` cannot"), "{said:?}");
        assert!(said[2].contains(":10:5: `boost-mode` has no effect"), "{said:?}");
        let parsed = SystemConfig::parse("s", "{\"endpoint_delay\": 1, \"endpoint-delay\": 2.5}");
        let parsed = parsed.expect("valid");
        assert_eq!(parsed.value.endpoint_delay_ns, Some(2));
        assert_eq!(parsed.notices[0].kind, NoticeKind::Changed);
        assert!(
            parsed.notices[1]
                .to_string()
                .contains("did you mean `endpoint-delay`?")
        );
    }

    #[test]
    fn a_shared_bus_has_the_parameters_of_loggp() {
        let text = r#"{"model-shared-bus": 1, "L": 3, "o": 2, "g": 1, "G": 0.001}"#;
        let parsed = SystemConfig::parse("s", text).expect("valid");
        let bus = parsed.value.shared_bus.expect("a bus");
        assert_eq!((bus.latency_ns, bus.gap_per_byte_ns), (3.0, 0.001));
        assert!(parsed.notices.is_empty());
    }

    #[test]
    fn wrong_values_are_refused_where_they_stand() {
        for (text, part) in [
            (r#"{"scheduling-policy": "LIOF"}"#, "did you mean `LIFO`?"),
            (r#"{"endpoint-delay": -1}"#, "from 0 to 2147483647"),
            (r#"{"endpoint-delay": "10"}"#, "this is text"),
            (r#"{"preferred-dataset-splits": 0}"#, "from 1"),
            (r#"{"preferred-dataset-splits": 1e30}"#, "out of range"),
            (r#"{"local-mem-bw": -5}"#, "at least 0"),
            (r#"{"roofline-enabled": false}"#, "is 0 or 1"),
            (r#"{"all-reduce-implementation": "ring"}"#, "is a list"),
            (
                r#"{"all-reduce-implementation": ["rign"]}"#,
                "did you mean `ring`?",
            ),
            (
                r#"{"all-reduce-implementation-custom": ["a", "b"]}"#,
                "names one algorithm",
            ),
            (r#"{"L": 1,}"#, "not valid JSON"),
            ("[]", "a line is `key: value`"),
            ("", "the file is empty"),
        ] {
            let said = wrong(text);
            assert!(said.contains(part), "{text}:\n{said}");
        }
        let both = wrong("{\"endpoint-delay\": -1,\n\"local-mem-bw\": \"x\"}");
        assert!(
            both.contains("sys.json:1:20") && both.contains("sys.json:2:17"),
            "{both}"
        );
    }

    #[test]
    fn lines_of_version_1_are_read() {
        let text = "scheduling-policy: LIFO\nendpoint-delay: 10\n\
            all-reduce-implementation: ring_doubleBinaryTree\nboost-mode: 1\n";
        let parsed = SystemConfig::parse("sys.txt", text).expect("valid");
        let native = parsed.value.all_reduce.native;
        assert_eq!(native, [Implementation::Ring, Implementation::DoubleBinaryTree]);
        assert_eq!(parsed.notices.len(), 1);
    }

    #[test]
    fn lists_are_laid_beside_the_network() {
        let parse = |list: &str| {
            let text = format!("{{\"all-reduce-implementation\": {list}}}");
            SystemConfig::parse("s", &text).expect("valid").value
        };
        let kinds = |list: &str, dims| -> Vec<MisfitKind> {
            parse(list)
                .misfits(dims)
                .iter()
                .map(|misfit| misfit.kind)
                .collect()
        };
        assert_eq!(kinds(r#"["ring"]"#, 2), [MisfitKind::TooShort]);
        assert_eq!(kinds(r#"["ring", "ring"]"#, 1), [MisfitKind::TooLong]);
        assert_eq!(kinds(r#"["oneRing"]"#, 2), []);
        assert_eq!(kinds(r#"["oneRing", "ring"]"#, 2), [MisfitKind::Flat]);
        assert_eq!(kinds(r#"["ring", "ring"]"#, 2), []);
        assert_eq!(kinds("[]", 2), []);
    }
}
