//! MSCCL's XML algorithms as custom collectives: one Chakra trace per rank, as astra-sim/collectiveapi's
//! converter made them while it still wrote sizes. Steps of a thread
//! block follow each other; `depid`/`deps` name a step of another block that must be over before.

use std::collections::HashMap;

use super::chakra::attributes::{COMM_DST, COMM_SIZE, COMM_SRC, COMM_TAG, COMM_TYPE};
use super::chakra::{Attribute, Metadata, Node, NodeKind, Trace, Value};
use super::error::{FormatError, shown};

/// What the file does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Bytes of the collective, as ASTRA-sim counts them: the input; of an all-gather what one rank adds.
    pub bytes: u64,
    /// Bandwidth of local memory for reductions and copies, bytes per nanosecond (GB/s).
    pub local_mem_gbps: f64,
    /// Whole microseconds only, and all-gathers and reductions by whole buffers, as the converter does.
    pub like_converter: bool,
}

impl Default for Options {
    /// 1 MiB, and the converter's 50 GB/s.
    fn default() -> Self {
        Options {
            bytes: 1 << 20,
            local_mem_gbps: 50.0,
            like_converter: false,
        }
    }
}

/// An algorithm that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Algorithm {
    /// Its name.
    pub name: String,
    /// Which collective: `allreduce`, ...
    pub collective: String,
    /// The trace of each rank, by rank.
    pub traces: Vec<Trace>,
}

/// Reads an algorithm; `file` stands for its file in errors.
///
/// # Errors
/// No XML, no MSCCL algorithm, ranks or steps that are missing, sizes beyond 64 bits.
pub fn read(text: &str, file: &str, options: &Options) -> Result<Algorithm, FormatError> {
    let document = roxmltree::Document::parse(text).map_err(|error| {
        let at = error.pos();
        FormatError::new(file, format!("no XML: {error}")).at(format!("line {}", at.row))
    })?;
    let reader = Reader {
        file,
        document: &document,
        options,
    };
    let root = document.root_element();
    if root.tag_name().name() != "algo" {
        let what = format!(
            "the top element is `{}`; an MSCCL algorithm has `algo`",
            shown(root.tag_name().name())
        );
        return Err(reader.error(root, what));
    }
    reader.algorithm(root)
}

/// A step, and where its nodes are.
struct Step<'a, 'x> {
    element: roxmltree::Node<'a, 'x>,
    block: i64,
    number: i64,
    /// First and last node, unless it does nothing.
    nodes: Option<(u64, u64)>,
    /// Block and step that must be over before.
    after: Option<(i64, i64)>,
}

struct Reader<'a, 'x> {
    file: &'a str,
    document: &'a roxmltree::Document<'x>,
    options: &'a Options,
}

impl<'a, 'x> Reader<'a, 'x> {
    fn error(&self, element: roxmltree::Node<'_, '_>, what: impl Into<String>) -> FormatError {
        let line = self.document.text_pos_at(element.range().start).row;
        FormatError::new(self.file, what).at(format!("line {line}"))
    }

    fn number(&self, element: roxmltree::Node<'_, '_>, key: &str) -> Result<i64, FormatError> {
        let name = element.tag_name().name();
        let Some(text) = element.attribute(key) else {
            return Err(self.error(element, format!("`{}` has no `{key}`", shown(name))));
        };
        text.trim().parse().map_err(|_| {
            self.error(
                element,
                format!("`{key}` is \"{}\", no whole number", shown(text)),
            )
        })
    }

    fn algorithm(&self, root: roxmltree::Node<'a, 'x>) -> Result<Algorithm, FormatError> {
        let collective = root.attribute("coll").unwrap_or_default().to_owned();
        let ranks = children(root, "gpu").count() as i64;
        let said = self.number(root, "ngpus")?;
        if said != ranks || ranks == 0 {
            return Err(self.error(root, format!("{said} ranks are announced and {ranks} are there")));
        }
        let metadata = Metadata {
            version: String::new(),
            attributes: vec![
                Attribute::new("schema", "1.0.2-chakra.0.0.4"),
                Attribute::new("input_file", self.file),
                Attribute::new("collective", collective.as_str()),
            ],
        };
        let mut traces: Vec<Option<Trace>> = vec![None; ranks as usize];
        for gpu in children(root, "gpu") {
            let rank = self.number(gpu, "id")?;
            let slot = usize::try_from(rank).ok().and_then(|rank| traces.get_mut(rank));
            let Some(slot) = slot.filter(|slot| slot.is_none()) else {
                return Err(self.error(
                    gpu,
                    format!("rank {rank} comes twice or is none of 0 to {}", ranks - 1),
                ));
            };
            let nodes = self.rank(gpu, ranks, &collective)?;
            *slot = Some(Trace {
                metadata: metadata.clone(),
                nodes,
            });
        }
        Ok(Algorithm {
            name: root.attribute("name").unwrap_or_default().to_owned(),
            collective,
            traces: traces.into_iter().flatten().collect(),
        })
    }

    fn rank(
        &self,
        gpu: roxmltree::Node<'a, 'x>,
        ranks: i64,
        collective: &str,
    ) -> Result<Vec<Node>, FormatError> {
        let chunk = self.chunk(gpu, ranks, collective)?;
        let mut nodes = Vec::new();
        let mut steps = Vec::new();
        for block in children(gpu, "tb") {
            let id = self.number(block, "id")?;
            for (index, element) in children(block, "step").enumerate() {
                let number = self.number(element, "s")?;
                if number != index as i64 {
                    return Err(self.error(element, format!("step {number} where step {index} belongs")));
                }
                let made = self.step(block, element, chunk, ranks, &mut nodes)?;
                let depends = self.number(element, "depid")?;
                let after = if depends < 0 {
                    None
                } else {
                    Some((depends, self.number(element, "deps")?))
                };
                steps.push(Step {
                    element,
                    block: id,
                    number,
                    nodes: made,
                    after,
                });
            }
        }
        self.connect(&steps, &mut nodes)?;
        Ok(nodes)
    }

    /// Bytes of a chunk.
    fn chunk(&self, gpu: roxmltree::Node<'_, '_>, ranks: i64, collective: &str) -> Result<u64, FormatError> {
        let (input, output) = (self.number(gpu, "i_chunks")?, self.number(gpu, "o_chunks")?);
        let chunks = match collective {
            "allgather" | "reduce" if self.options.like_converter => 1,
            "allgather" => (input.max(output) / ranks).max(1),
            _ if input > 0 => input,
            _ => output,
        };
        let bytes = u64::try_from(chunks)
            .ok()
            .and_then(|chunks| self.options.bytes.checked_div(chunks));
        match bytes {
            Some(bytes) if bytes > 0 => Ok(bytes),
            _ => Err(self.error(
                gpu,
                format!("{} bytes cannot be cut into {chunks} chunks", self.options.bytes),
            )),
        }
    }

    /// Makes the nodes of a step; gives the first and the last.
    fn step(
        &self,
        block: roxmltree::Node<'_, '_>,
        element: roxmltree::Node<'_, '_>,
        chunk: u64,
        ranks: i64,
        nodes: &mut Vec<Node>,
    ) -> Result<Option<(u64, u64)>, FormatError> {
        let kinds: &[NodeKind] = match element.attribute("type").unwrap_or_default() {
            "nop" => return Ok(None),
            "s" => &[NodeKind::CommSend],
            "r" => &[NodeKind::CommRecv],
            "rcs" => &[NodeKind::CommRecv, NodeKind::CommSend],
            "rrc" => &[NodeKind::CommRecv, NodeKind::Comp],
            "rrs" | "rrcs" => &[NodeKind::CommRecv, NodeKind::Comp, NodeKind::CommSend],
            "cpy" | "re" => &[NodeKind::Comp],
            other => {
                let error = self.error(element, format!("`{}` is no type of a step", shown(other)));
                return Err(error.help("types are s, r, rcs, rrc, rrs, rrcs, cpy, re and nop"));
            }
        };
        let count = u64::try_from(self.number(element, "cnt")?).ok();
        let bytes = count
            .and_then(|count| count.checked_mul(chunk))
            .filter(|bytes| *bytes > 0);
        let bytes = bytes.ok_or_else(|| self.error(element, "`cnt` is out of range"))?;
        let first = nodes.len() as u64;
        let (id, number) = (self.number(block, "id")?, self.number(element, "s")?);
        for kind in kinds {
            let mut node = Node::new(nodes.len() as u64, format!("{kind}_tb{id}_step{number}"), *kind);
            if node.id > first {
                node.data_deps.push(node.id - 1);
            }
            match kind {
                NodeKind::Comp => self.compute(&mut node, element, bytes),
                _ => self.message(&mut node, block, bytes, ranks)?,
            }
            nodes.push(node);
        }
        Ok(Some((first, nodes.len() as u64 - 1)))
    }

    /// A reduction reads two operands and writes one, a copy reads and writes.
    fn compute(&self, node: &mut Node, element: roxmltree::Node<'_, '_>, bytes: u64) {
        let accesses = if element.attribute("type") == Some("cpy") {
            2
        } else {
            3
        };
        let ns = accesses * (bytes as f64 / self.options.local_mem_gbps.max(f64::MIN_POSITIVE)) as u64;
        match self.options.like_converter {
            true => node.duration_us = ns / 1000,
            false => node.set_duration_ns(ns),
        }
    }

    fn message(
        &self,
        node: &mut Node,
        block: roxmltree::Node<'_, '_>,
        bytes: u64,
        ranks: i64,
    ) -> Result<(), FormatError> {
        let sends = node.kind == NodeKind::CommSend;
        let (key, name) = if sends {
            ("send", COMM_DST)
        } else {
            ("recv", COMM_SRC)
        };
        let peer = self.number(block, key)?;
        if !(0..ranks).contains(&peer) {
            let what = format!("the block's `{key}` is {peer}, none of ranks 0 to {}", ranks - 1);
            return Err(self.error(block, what));
        }
        let channel = i32::try_from(self.number(block, "chan")?)
            .ok()
            .filter(|channel| *channel >= 0);
        let channel = channel.ok_or_else(|| self.error(block, "`chan` is out of range"))?;
        let size =
            i64::try_from(bytes).map_err(|_| self.error(block, "a message of more than 2^63 bytes"))?;
        let mut add = |name: &str, value: Value| node.attributes.push(Attribute::new(name, value));
        // The converter writes the kind of the node here; nobody reads it.
        add(COMM_TYPE, Value::Int64(if sends { 5 } else { 6 }));
        add(COMM_SIZE, Value::Int64(size));
        add(name, Value::Int32(peer as i32));
        add(COMM_TAG, Value::Int32(channel));
        Ok(())
    }

    /// Adds dependencies: on the named step and on the one before, through steps that do nothing.
    fn connect(&self, steps: &[Step<'_, '_>], nodes: &mut [Node]) -> Result<(), FormatError> {
        let index: HashMap<(i64, i64), &Step<'_, '_>> = steps
            .iter()
            .map(|step| ((step.block, step.number), step))
            .collect();
        if index.len() != steps.len() {
            return Err(FormatError::new(
                self.file,
                "two thread blocks of a rank have the same id",
            ));
        }
        // What must be over where a block has come to, while its steps did nothing.
        let mut pending: Vec<u64> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if step.number == 0 {
                pending.clear();
            } else if let Some((_, last)) = steps[at - 1].nodes {
                pending = vec![last];
            }
            let mut after = Vec::new();
            if let Some((block, number)) = step.after {
                let missing = || {
                    self.error(
                        step.element,
                        format!("depends on step {number} of block {block}, which is not there"),
                    )
                };
                let on = index.get(&(block, number)).ok_or_else(missing)?;
                let does_nothing = || {
                    self.error(
                        step.element,
                        format!("depends on step {number} of block {block}, a nop"),
                    )
                };
                after.push(on.nodes.ok_or_else(does_nothing)?.1);
            }
            match step.nodes {
                None => pending.extend(after),
                Some((first, _)) => {
                    after.extend(&pending);
                    if let Some(node) = nodes.get_mut(first as usize) {
                        node.data_deps = after;
                    }
                }
            }
        }
        Ok(())
    }
}

fn children<'a, 'x>(
    parent: roxmltree::Node<'a, 'x>,
    name: &'static str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'x>> {
    parent
        .children()
        .filter(move |child| child.tag_name().name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn algorithm(steps: &str) -> Result<Algorithm, FormatError> {
        let peer = r#"<gpu id="1" i_chunks="2" o_chunks="0" s_chunks="0"/>"#;
        let text = format!(
            r#"<algo name="a" ngpus="2" coll="allreduce"><gpu id="0" i_chunks="2" o_chunks="0" s_chunks="0">{steps}</gpu>{peer}</algo>"#
        );
        read(
            &text,
            "a.xml",
            &Options {
                bytes: 2000,
                ..Options::default()
            },
        )
    }

    const BLOCK: &str = r#"<tb id="0" send="1" recv="1" chan="3"><step s="0" type="s" cnt="1" depid="-1" deps="-1"/>
        <step s="1" type="nop" cnt="0" depid="1" deps="0"/><step s="2" type="rrcs" cnt="2" depid="-1" deps="-1"/></tb>
        <tb id="1" send="-1" recv="1" chan="4"><step s="0" type="r" cnt="1" depid="-1" deps="-1"/></tb>"#;

    #[test]
    fn steps_become_nodes_that_wait() {
        let nodes = algorithm(BLOCK).unwrap().traces[0].nodes.clone();
        let shown: Vec<(NodeKind, Vec<u64>)> = nodes.iter().map(|n| (n.kind, n.data_deps.clone())).collect();
        let wanted = [
            (NodeKind::CommSend, vec![]),
            (NodeKind::CommRecv, vec![0, 4]),
            (NodeKind::Comp, vec![1]),
            (NodeKind::CommSend, vec![2]),
            (NodeKind::CommRecv, vec![]),
        ];
        assert_eq!(shown, wanted);
        assert_eq!(nodes[0].required_u64(COMM_SIZE), Ok(1000));
        // 2 chunks of 1000 bytes, two reads and a write at 50 bytes/ns.
        assert_eq!(nodes[2].duration_ns(), Ok(120));
        assert_eq!(nodes[3].required_u64(COMM_TAG), Ok(3));
    }

    #[test]
    fn errors_name_the_line() {
        let error = |steps: &str| algorithm(steps).unwrap_err().to_string();
        assert!(error(&BLOCK.replace("rrcs", "zzz")).contains("line 2: `zzz` is no type of a step"));
        assert!(
            error(&BLOCK.replace("deps=\"0\"", "deps=\"7\""))
                .contains("step 7 of block 1, which is not there")
        );
        assert!(error(&BLOCK.replace("recv=\"1\"", "recv=\"9\"")).contains("`recv` is 9"));
        assert!(error("<tb").contains("no XML"));
    }
}
