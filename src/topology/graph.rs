//! Nodes and links, numbered, with interface names.

use crate::scenario::units::{Bandwidth, Duration, Share};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs ranks.
    Host,
    /// Only forwards.
    Switch,
    /// Joins links by light.
    Ocs,
}

/// A host or a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name, unique.
    pub name: String,
    /// Host or switch.
    pub kind: Kind,
    /// Numbers of its links; the k-th is on its interface `eth<k>`, or `p<port>` of an optical switch.
    pub links: Vec<usize>,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Node number.
    pub node: usize,
    /// Interface name, unique in its node.
    pub interface: String,
}

/// Rate, delay and loss of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// Rate of each direction; `None`: not shaped.
    pub rate: Option<Bandwidth>,
    /// One-way propagation delay.
    pub delay: Duration,
    /// Packets lost at random in each direction.
    pub loss: Share,
}

/// A full-duplex link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name, unique.
    pub name: String,
    /// The two ends.
    pub ends: [End; 2],
    /// Rate, delay and loss.
    pub wire: Wire,
}

impl Link {
    /// The node at the other end.
    pub fn far(&self, node: usize) -> usize {
        self.ends[usize::from(self.ends[0].node == node)].node
    }

    /// The direction from `node`: 0 from `ends[0]` to `ends[1]`.
    pub fn direction_from(&self, node: usize) -> usize {
        usize::from(self.ends[0].node != node)
    }
}

/// Nodes and links; numbers are indices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Hosts and switches.
    pub nodes: Vec<Node>,
    /// Links.
    pub links: Vec<Link>,
}

impl Graph {
    /// Adds a host and returns its number.
    pub fn host(&mut self, name: impl Into<String>) -> usize {
        self.node(name.into(), Kind::Host)
    }

    /// Adds a switch and returns its number.
    pub fn switch(&mut self, name: impl Into<String>) -> usize {
        self.node(name.into(), Kind::Switch)
    }

    /// Adds optical switches `<prefix>0`, `<prefix>1`, ... and returns their numbers.
    pub fn ocses(&mut self, prefix: &str, count: u32) -> Vec<usize> {
        (0..count)
            .map(|number| self.ocs(format!("{prefix}{number}")))
            .collect()
    }

    /// Adds an optical circuit switch and returns its number.
    pub fn ocs(&mut self, name: impl Into<String>) -> usize {
        self.node(name.into(), Kind::Ocs)
    }

    fn node(&mut self, name: String, kind: Kind) -> usize {
        self.nodes.push(Node {
            name,
            kind,
            links: Vec::new(),
        });
        self.nodes.len() - 1
    }

    /// Adds hosts `h0`, `h1`, ... and returns their numbers.
    pub fn hosts(&mut self, count: u32) -> Vec<usize> {
        (0..count).map(|number| self.host(format!("h{number}"))).collect()
    }

    /// Adds switches `<prefix>0`, `<prefix>1`, ... and returns their numbers.
    pub fn switches(&mut self, prefix: &str, count: u32) -> Vec<usize> {
        (0..count)
            .map(|number| self.switch(format!("{prefix}{number}")))
            .collect()
    }

    /// Links two nodes by a link named `a-b`.
    pub fn link(&mut self, a: usize, b: usize, wire: Wire) {
        let name = format!("{}-{}", self.nodes[a].name, self.nodes[b].name);
        self.named_link(name, a, b, wire);
    }

    /// Links two nodes.
    pub fn named_link(&mut self, name: String, a: usize, b: usize, wire: Wire) {
        let number = self.links.len();
        let mut end = |node: usize| {
            let links = &mut self.nodes[node].links;
            links.push(number);
            End {
                node,
                interface: format!("eth{}", links.len() - 1),
            }
        };
        let ends = [end(a), end(b)];
        self.links.push(Link { name, ends, wire });
    }

    /// Says at which port of an optical switch a link ends.
    pub fn set_port(&mut self, link: usize, side: usize, port: u16) {
        self.links[link].ends[side].interface = format!("p{port}");
    }

    /// The port of an optical switch at which a link ends.
    pub fn port(&self, link: usize, side: usize) -> Option<u16> {
        let end = &self.links[link].ends[side];
        let optical = self.nodes[end.node].kind == Kind::Ocs;
        end.interface.strip_prefix('p').filter(|_| optical)?.parse().ok()
    }

    /// Numbers of the hosts.
    pub fn host_numbers(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|n| self.nodes[*n].kind == Kind::Host)
            .collect()
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The connected parts, each as node numbers.
    pub fn parts(&self) -> Vec<Vec<usize>> {
        let mut part_of = vec![false; self.nodes.len()];
        let mut parts = Vec::new();
        for first in 0..self.nodes.len() {
            if std::mem::replace(&mut part_of[first], true) {
                continue;
            }
            let mut part = vec![first];
            let mut next = 0;
            while let Some(&node) = part.get(next) {
                next += 1;
                for &link in &self.nodes[node].links {
                    let far = self.links[link].far(node);
                    if !std::mem::replace(&mut part_of[far], true) {
                        part.push(far);
                    }
                }
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts
    }
}
