//! The YAML that `per-node-custom-implementation` names: a map from the ids of collective nodes to
//! the Chakra files of their algorithms.

use std::collections::BTreeMap;

use crate::document::{Diagnostic, Diagnostics, Parsed, Reader, yaml};

/// Prefix of the Chakra files of an algorithm, by node of the workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerNode(pub BTreeMap<u64, String>);

impl PerNode {
    /// Reads the text of a file that is called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, yaml::parse)?;
        let nodes = reader
            .fields(root, "a file of custom implementations")
            .map(|fields| {
                let mut nodes = BTreeMap::new();
                for entry in fields.rest() {
                    let Ok(id) = entry.key.parse() else {
                        let message = format!("`{}` is no id of a node", entry.key);
                        let wrong = Diagnostic::new(message).at(entry.span, "");
                        reader.wrong(wrong.help("for example `12: path/of/algorithm`"));
                        continue;
                    };
                    if let Some((path, _)) = reader.text_of(entry.value, "a path") {
                        nodes.insert(id, path);
                    }
                }
                PerNode(nodes)
            });
        reader.finish(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_map_to_paths() {
        let parsed = PerNode::parse("n.yml", "3: a/b\n18: c # x\n").expect("valid");
        let pairs: Vec<_> = parsed.value.0.into_iter().collect();
        assert_eq!(pairs, [(3, "a/b".to_owned()), (18, "c".to_owned())]);
        for text in ["a: b", "- a", "3: [x]", "3: a\n3: b"] {
            assert!(PerNode::parse("n.yml", text).is_err(), "{text}");
        }
    }
}
