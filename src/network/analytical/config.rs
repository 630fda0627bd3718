//! ASTRA-sim's network YAML: four lists of equal length, one element for each dimension. The JSON
//! network files of ASTRA-sim 1.0 are recognised and refused with a translation table.

use crate::document::{Diagnostic, Diagnostics, Fields, Parsed, Reader, Span, Value, yaml};

/// Bytes in a GB of the network file (memory files mean 10^9): `bandwidth * 2^30 / 10^9` bytes/ns.
const NETWORK_GB: f64 = (1u64 << 30) as f64;

const KEYS: [&str; 4] = ["topology", "npus_count", "bandwidth", "latency"];
/// Keys that only ASTRA-sim 1.0's JSON network files have.
const OLD_KEYS: [&str; 6] = [
    "topology-name",
    "topologies-per-dim",
    "dimensions-count",
    "units-count",
    "link-latency",
    "link-bandwidth",
];
const OLD_HELP: &str = "this is a network file of ASTRA-sim 1.0; write the YAML form: topologies-per-dim -> \
    topology, units-count -> npus_count, link-bandwidth (GB/s) -> bandwidth, link-latency (ns) -> latency";

/// How the NPUs of a dimension are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// A ring in both directions.
    Ring,
    /// A link from each to each.
    FullyConnected,
    /// One switch: two hops from each to each.
    Switch,
}

const BLOCKS: [(&str, BlockKind); 3] = [
    ("Ring", BlockKind::Ring),
    ("FullyConnected", BlockKind::FullyConnected),
    ("Switch", BlockKind::Switch),
];

/// A dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dim {
    /// How its NPUs are joined.
    pub kind: BlockKind,
    /// NPUs along it, at least 2.
    pub npus: u32,
    /// Of each link and direction, in the file's GB (2^30 bytes) per second; above 0.
    pub bandwidth_gib_per_s: f64,
    /// Of each hop, ns.
    pub latency_ns: f64,
}

/// A network of one or more dimensions; the first is the fastest-varying part of a rank.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// At least one.
    pub dims: Vec<Dim>,
}

impl BlockKind {
    /// As the file names it.
    pub fn name(self) -> &'static str {
        match self {
            BlockKind::Ring => "Ring",
            BlockKind::FullyConnected => "FullyConnected",
            BlockKind::Switch => "Switch",
        }
    }
}

impl Dim {
    /// Bytes per nanosecond.
    pub fn bytes_per_ns(&self) -> f64 {
        self.bandwidth_gib_per_s * NETWORK_GB / 1e9
    }
}

impl NetworkConfig {
    /// Reads the text of a network file that is called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, yaml::parse)?;
        let network = match reader.fields(root, "a network file") {
            Some(fields) if OLD_KEYS.iter().any(|key| fields.has(key)) => {
                refuse_old(&mut reader, fields);
                None
            }
            Some(fields) => read(&mut reader, fields),
            None => None,
        };
        reader.finish(network)
    }

    /// NPUs in all.
    pub fn npus(&self) -> u32 {
        self.dims.iter().map(|dim| dim.npus).product()
    }

    /// Dimensions.
    pub fn dims(&self) -> usize {
        self.dims.len()
    }
}

fn refuse_old(reader: &mut Reader, mut fields: Fields) {
    let old = OLD_KEYS.iter().find_map(|key| fields.take(key));
    if let Some(entry) = old {
        let wrong = Diagnostic::new(format!("key `{}` is no longer read", entry.key));
        reader.wrong(wrong.at(entry.span, "").help(OLD_HELP));
    }
}

fn read(reader: &mut Reader, mut fields: Fields) -> Option<NetworkConfig> {
    let missing = KEYS.map(|key| !fields.has(key));
    for (key, _) in KEYS.iter().zip(missing).filter(|(_, missing)| *missing) {
        reader.missing(
            &fields,
            key,
            format!("a network file has four lists: {}", KEYS.join(", ")),
        );
    }
    let topology = kinds(reader, &mut fields);
    let npus = numbers(reader, &mut fields, "npus_count", |reader, node, what| {
        reader
            .whole_of(node, what, 2..=u64::from(u32::MAX))
            .map(|npus| npus as u32)
    });
    let bandwidth = numbers(reader, &mut fields, "bandwidth", |reader, node, what| {
        let number = reader.real_of(node, what, 0.0, "GB/s")?;
        if number == 0.0 {
            reader.wrong(Diagnostic::new(format!("{what} is above 0")).at(node.span.clone(), ""));
        }
        (number > 0.0).then_some(number)
    });
    let latency = numbers(reader, &mut fields, "latency", |reader, node, what| {
        reader.real_of(node, what, 0.0, "ns")
    });
    reader.unknown(fields, &KEYS);
    let (topology, npus, bandwidth, latency) = (topology?, npus?, bandwidth?, latency?);
    let given = topology.0.len();
    let lists = [
        ("npus_count", npus.0.len(), &npus.1),
        ("bandwidth", bandwidth.0.len(), &bandwidth.1),
        ("latency", latency.0.len(), &latency.1),
    ];
    if !same_length(reader, given, &topology.1, &lists) || !countable(reader, &npus) {
        return None;
    }
    let dims = (0..given).map(|dim| Dim {
        kind: topology.0[dim],
        npus: npus.0[dim],
        bandwidth_gib_per_s: bandwidth.0[dim],
        latency_ns: latency.0[dim],
    });
    Some(NetworkConfig { dims: dims.collect() })
}

/// A list's elements and where it is written.
type List<T> = (Vec<T>, Span);

fn kinds(reader: &mut Reader, fields: &mut Fields) -> Option<List<BlockKind>> {
    let (nodes, span) = reader.list(fields, "topology", "topology: [ Ring, Switch ]")?;
    let count = nodes.len();
    let mut kinds = Vec::new();
    for node in nodes {
        if let Some((text, at)) = reader.text_of(node, "an element of `topology`") {
            kinds.extend(reader.choice_of(&text, at, "topology", &BLOCKS));
        }
    }
    (kinds.len() == count).then_some((kinds, span))
}

fn numbers<T>(
    reader: &mut Reader,
    fields: &mut Fields,
    key: &str,
    mut number: impl FnMut(&mut Reader, &crate::document::Node, &str) -> Option<T>,
) -> Option<List<T>> {
    let (nodes, span) = reader.list(fields, key, &format!("{key}: [ 8, 4 ]"))?;
    let mut numbers = Vec::new();
    for node in &nodes {
        if let Value::Text(text) = &node.value {
            let message = format!("`{text}` is no number: each element of `{key}` is one");
            reader.wrong(Diagnostic::new(message).at(node.span.clone(), ""));
        } else {
            numbers.extend(number(reader, node, &format!("an element of `{key}`")));
        }
    }
    (numbers.len() == nodes.len()).then_some((numbers, span))
}

fn same_length(reader: &mut Reader, given: usize, span: &Span, lists: &[(&str, usize, &Span)]) -> bool {
    if given == 0 {
        let wrong = Diagnostic::new("a network has at least one dimension");
        reader.wrong(wrong.at(span.clone(), ""));
    }
    for (key, count, at) in lists.iter().filter(|(_, count, _)| *count != given) {
        let message = format!("`{key}` has {count} elements, but `topology` has {given}");
        let wrong = Diagnostic::new(message).at((*at).clone(), "");
        reader.wrong(wrong.related(span.clone(), "one for each dimension"));
    }
    given > 0 && lists.iter().all(|(_, count, _)| *count == given)
}

/// Ranks are 32-bit numbers.
fn countable(reader: &mut Reader, npus: &List<u32>) -> bool {
    let product = npus
        .0
        .iter()
        .try_fold(1u32, |product, npus| product.checked_mul(*npus));
    if product.is_none() {
        let wrong = Diagnostic::new("more than 4,294,967,295 NPUs in all");
        reader.wrong(wrong.at(npus.1.clone(), ""));
    }
    product.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORUS: &str = "# a torus\ntopology: [ Ring, Switch ] # both\nnpus_count:\n  - 4\n  - 8\n\
        bandwidth: [ 50, 25.5 ]\nlatency: [ 500.0, 936.25 ]\n";

    fn wrong(text: &str) -> String {
        NetworkConfig::parse("net.yml", text)
            .expect_err("is refused")
            .to_string()
    }

    #[test]
    fn block_and_flow_lists_of_whole_and_real_numbers_are_read() {
        let network = NetworkConfig::parse("net.yml", TORUS).expect("valid").value;
        assert_eq!((network.npus(), network.dims()), (32, 2));
        assert_eq!(network.dims[1].kind, BlockKind::Switch);
        assert_eq!(network.dims[1].latency_ns, 936.25);
        // 50 GB/s are 50 * 2^30 / 10^9 = 53.687 bytes each ns.
        assert!((network.dims[0].bytes_per_ns() - 53.687_091_2).abs() < 1e-9);
    }

    #[test]
    fn each_mistake_is_said_with_its_line() {
        let text = TORUS
            .replace("25.5", "tbd")
            .replace("Switch", "Swich")
            .replace("936.25", "-1");
        let said = wrong(&text);
        for part in [
            "net.yml:2:19",
            "did you mean `Switch`?",
            "net.yml:6:18",
            "`tbd` is no number",
            "net.yml:7:19",
            "at least 0",
        ] {
            assert!(said.contains(part), "{part}:\n{said}");
        }
        assert!(
            wrong(&TORUS.replace("50, ", "")).contains("`bandwidth` has 1 elements, but `topology` has 2")
        );
        assert!(wrong(&TORUS.replace("50, ", "0, ")).contains("is above 0"));
        assert!(wrong(&TORUS.replace("- 4", "- 1")).contains("from 2"));
        assert!(wrong(&TORUS.replace("- 4", "- 4000000000")).contains("NPUs in all"));
        assert!(wrong(&TORUS.replace("npus_count", "npu_count")).contains("missing key `npus_count`"));
        assert!(wrong("topology: Ring\nnpus_count: 8\nbandwidth: 1\nlatency: 1").contains("is a list"));
    }

    #[test]
    fn old_network_files_are_refused_with_help() {
        let said = wrong("{\"topology-name\": \"Hierarchical\", \"units-count\": [8]}");
        assert!(said.contains("units-count -> npus_count"), "{said}");
    }

    #[test]
    fn unknown_keys_are_said() {
        let parsed = NetworkConfig::parse("net.yml", &format!("{TORUS}latensy: [1]\n")).expect("valid");
        assert_eq!(
            parsed.notices[0].to_string(),
            "net.yml:8:1: unknown key `latensy` has no effect\nhelp: did you mean `latency`?"
        );
    }
}
