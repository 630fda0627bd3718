//! Host trace and Kineto trace of one rank, linked and turned into Chakra. Operators have no edges to
//! what runs beside them, so order is rebuilt from times: every thread and stream in its own order, launches,
//! waits (recorded, or seen as a gap that ends when something else does). All edges are counted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::comm::{self, Comm, Operation};
use super::host::{Group, Host, Operator};
use super::kineto::{Event, Kind, Kineto, Lane};
use crate::workload::chakra::attributes::{
    COMM_DST, COMM_SIZE, COMM_SRC, COMM_TAG, COMM_TYPE, IS_CPU_OP, PG_NAME, ROOT,
};
use crate::workload::chakra::{Attribute, Metadata, Node, NodeKind, Trace, Value};
use crate::workload::error::FormatError;

/// Gaps shorter than this are the profiler's own, ns.
const GAP_NS: i64 = 1_000;

/// What the files may not say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What stands for the files in errors.
    pub name: String,
    /// This rank.
    pub rank: u32,
    /// Ranks of the job, if the files do not say.
    pub world_size: Option<u32>,
}

/// A rank's trace, and how it was made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// The trace.
    pub trace: Trace,
    /// Process groups that are not everyone, by the number in `pg_name`.
    pub groups: BTreeMap<u32, Vec<u32>>,
    /// Edges that were added, by why.
    pub edges: Edges,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Edges that neither file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edges {
    /// From a kernel to the next on its stream.
    pub stream: usize,
    /// From an operator to the next on its thread.
    pub thread: usize,
    /// From a launch to its kernel, from an operator to the communication that it began.
    pub launch: usize,
    /// Waits that the profiler recorded.
    pub waits: usize,
    /// Waits that are seen only in times.
    pub inferred: usize,
}

impl Edges {
    /// All of them.
    pub fn total(self) -> usize {
        self.stream + self.thread + self.launch + self.waits + self.inferred
    }
}

/// Imports one rank. At least one of the two traces must be there.
///
/// # Errors
/// Neither is, or nothing is in them.
pub fn import(
    host: Option<&Host>,
    kineto: Option<&Kineto>,
    options: &Options,
) -> Result<Imported, FormatError> {
    let none = Host::default();
    let unprofiled = Kineto::default();
    let import = Import {
        host: host.unwrap_or(&none),
        events: &kineto.unwrap_or(&unprofiled).events,
        rank: options.rank,
        world: options.world_size.or(kineto.and_then(|kineto| kineto.world_size)),
        groups: groups(host, kineto),
        by_external: kineto.map(operators_by_external_id).unwrap_or_default(),
        imported: Imported::default(),
    };
    let imported = match kineto {
        Some(_) => import.timed(),
        None => import.untimed(),
    };
    if imported.trace.nodes.is_empty() {
        let error = FormatError::new(
            &options.name,
            "there is no operator, kernel or communication in it",
        );
        return Err(error.help(
            "a host trace alone gives its communication; times come from the profiler's trace (--kineto)",
        ));
    }
    Ok(imported)
}

/// What becomes a node.
#[derive(Debug, Clone, Default)]
struct Item {
    event: usize,
    /// Time of its own, ns.
    ns: i64,
    comm: Option<Comm>,
    deps: Vec<usize>,
    /// Time of the host before it that no operator explains, ns.
    lead: i64,
}

struct Import<'a> {
    host: &'a Host,
    events: &'a [Event],
    rank: u32,
    world: Option<u32>,
    groups: Vec<&'a Group>,
    by_external: HashMap<u64, usize>,
    imported: Imported,
}

/// Process groups that either trace names; both name the same ones mostly.
fn groups<'a>(host: Option<&'a Host>, kineto: Option<&'a Kineto>) -> Vec<&'a Group> {
    let in_host = host.into_iter().flat_map(|host| &host.groups);
    let all = in_host.chain(kineto.into_iter().flat_map(|kineto| &kineto.groups));
    let mut by_name: BTreeMap<&str, &Group> = BTreeMap::new();
    for group in all {
        by_name.entry(&group.name).or_insert(group);
    }
    by_name.into_values().collect()
}

fn operators_by_external_id(kineto: &Kineto) -> HashMap<u64, usize> {
    let operators = kineto
        .events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.kind == Kind::Operator);
    operators
        .filter_map(|(index, event)| Some((number(event, "External id")?, index)))
        .collect()
}

fn number(event: &Event, key: &str) -> Option<u64> {
    event.args.get(key)?.as_u64()
}

impl Import<'_> {
    /// Communication only, in the order of the program, without times.
    fn untimed(mut self) -> Imported {
        let host = self.host;
        let mut p2p = None;
        for operator in host.operators.values() {
            p2p = comm::peer_and_tag(operator).or(p2p);
            if let Some(comm) = comm::of_operator(operator) {
                let before = self.imported.trace.nodes.len().checked_sub(1);
                let mut node = self.node(operator.name.clone(), 0, before.into_iter().collect());
                self.describe(&mut node, &comm, p2p.take(), comm::root(operator));
                self.imported.trace.nodes.push(node);
            }
        }
        self.imported.edges.thread = self.imported.trace.nodes.len().saturating_sub(1);
        self.imported.notices.push("there are no times in a host trace: communication only, in the order of the program, and no compute".into());
        self.finish()
    }

    fn timed(mut self) -> Imported {
        let mut items: BTreeMap<usize, Item> = BTreeMap::new();
        for lane in self.lanes(|lane| matches!(lane, Lane::Thread(..))) {
            self.thread(&lane, &mut items);
        }
        let streams = self.lanes(|lane| matches!(lane, Lane::Stream(..)));
        for lane in &streams {
            self.stream(lane, &mut items);
        }
        self.issue(&mut items);
        self.host_gaps(&mut items);
        self.stream_waits(&streams, &mut items);
        self.synchronize(&mut items);
        self.emit(&items);
        if self.host.operators.is_empty() {
            self.imported
                .notices
                .push("no host trace: peers and roots of Gloo's operations are not known without it".into());
        }
        self.finish()
    }

    /// Indices of events by lane, in order.
    fn lanes(&self, which: impl Fn(&Lane) -> bool) -> Vec<Vec<usize>> {
        let mut lanes: BTreeMap<Lane, Vec<usize>> = BTreeMap::new();
        for (index, event) in self
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| which(&event.lane))
        {
            lanes.entry(event.lane).or_default().push(index);
        }
        lanes.into_values().collect()
    }

    /// Operators of a thread in their order, each with the time that none within it takes.
    fn thread(&mut self, lane: &[usize], items: &mut BTreeMap<usize, Item>) {
        let mut open: Vec<usize> = Vec::new();
        let mut within_comm: Option<i64> = None;
        for &index in lane {
            let event = &self.events[index];
            while open
                .last()
                .is_some_and(|last| self.events[*last].end <= event.start)
            {
                open.pop();
            }
            // What a backend does for an operation is part of it.
            if within_comm.is_some_and(|end| event.start < end) {
                continue;
            }
            if let Some(item) = open.last().and_then(|parent| items.get_mut(parent)) {
                item.ns -= event.end.min(self.events[item.event].end) - event.start;
            }
            let comm = self.backend_comm(event);
            within_comm = comm.is_some().then_some(event.end);
            items.insert(
                index,
                Item {
                    event: index,
                    ns: event.end - event.start,
                    comm,
                    ..Item::default()
                },
            );
            open.push(index);
        }
        let mut before = None;
        for index in lane {
            let event = &self.events[*index];
            let Some(item) = items.get_mut(index) else {
                continue;
            };
            let needed =
                item.comm.is_some() || event.kind == Kind::Runtime || event.name.starts_with("c10d::");
            if item.ns <= 0 && !needed {
                items.remove(index);
                continue;
            }
            item.ns = item.ns.max(0);
            self.imported.edges.thread += usize::from(before.is_some());
            item.deps.extend(before.replace(*index));
        }
    }

    fn stream(&mut self, lane: &[usize], items: &mut BTreeMap<usize, Item>) {
        let launches: HashMap<u64, usize> = items
            .keys()
            .filter(|index| self.events[**index].kind == Kind::Runtime)
            .filter_map(|index| Some((number(&self.events[*index], "correlation")?, *index)))
            .collect();
        let mut before = None;
        for &index in lane
            .iter()
            .filter(|index| self.events[**index].kind == Kind::Kernel)
        {
            let event = &self.events[index];
            let mut item = Item {
                event: index,
                ns: event.end - event.start,
                comm: self.kernel_comm(event),
                ..Item::default()
            };
            self.imported.edges.stream += usize::from(before.is_some());
            item.deps.extend(before.replace(index));
            let launch = number(event, "correlation")
                .and_then(|id| launches.get(&id))
                .copied();
            self.imported.edges.launch += usize::from(launch.is_some());
            item.deps.extend(launch);
            items.insert(index, item);
        }
    }

    /// Gloo's communication is annotated on the thread where it happens.
    fn backend_comm(&self, event: &Event) -> Option<Comm> {
        let operation = comm::backend_operation(&event.name).filter(|_| event.kind == Kind::Operator)?;
        let known = self.operator(event).and_then(comm::of_operator);
        Some(known.unwrap_or(Comm {
            operation,
            bytes: (0, 0),
            group: None,
            group_size: None,
            peer: None,
            splits: (Vec::new(), Vec::new()),
            dtype: String::new(),
        }))
    }

    /// NCCL's are kernels whose arguments, or whose operator's attributes, say what they do.
    fn kernel_comm(&self, event: &Event) -> Option<Comm> {
        let from_kernel = comm::of_arguments(&event.args);
        from_kernel.or_else(|| {
            let is_nccl = event.name.to_lowercase().contains("nccl");
            let operator = number(event, "External id").and_then(|id| self.by_external.get(&id));
            let operator = operator.filter(|_| is_nccl).map(|index| &self.events[*index])?;
            let from_args = comm::of_arguments(&operator.args);
            from_args.or_else(|| self.operator(operator).and_then(comm::of_operator))
        })
    }

    /// The host trace's operator of an event.
    fn operator(&self, event: &Event) -> Option<&Operator> {
        self.host.operators.get(&number(event, "Record function id")?)
    }

    /// Gloo's communication begins when its `c10d::` operator has been called: the first with the first, by kind.
    fn issue(&mut self, items: &mut BTreeMap<usize, Item>) {
        let mut calls: HashMap<String, Vec<usize>> = HashMap::new();
        for index in items.keys().rev() {
            let name = &self.events[*index].name;
            if let Some(operation) = name
                .strip_prefix("c10d::")
                .and_then(|call| comm::backend_operation(&format!("gloo:{call}")))
            {
                calls.entry(format!("{operation:?}")).or_default().push(*index);
            }
        }
        let comms: Vec<usize> = items
            .iter()
            .filter(|(_, item)| item.comm.is_some())
            .map(|(index, _)| *index)
            .collect();
        for index in comms {
            let event = &self.events[index];
            let Some(operation) = comm::backend_operation(&event.name) else {
                continue;
            };
            let list = calls.get_mut(&format!("{operation:?}"));
            let call = list.and_then(|list| list.pop_if(|call| self.events[*call].start <= event.start));
            if let (Some(call), Some(item)) = (call, items.get_mut(&index)) {
                if self.events[call].lane != event.lane {
                    self.imported.edges.launch += 1;
                }
                item.deps.push(call);
            }
        }
    }

    /// Where a thread was idle: it waited for what ended last meanwhile on another thread; the rest is
    /// time of the host (Python).
    fn host_gaps(&mut self, items: &mut BTreeMap<usize, Item>) {
        let mut ends: Vec<(i64, usize)> = items
            .keys()
            .filter(|index| matches!(self.events[**index].lane, Lane::Thread(..)))
            .map(|index| (self.events[*index].end, *index))
            .collect();
        ends.sort_unstable();
        for lane in self.lanes(|lane| matches!(lane, Lane::Thread(..))) {
            let mut busy: Option<i64> = None;
            for index in lane {
                let event = &self.events[index];
                let begun = busy.unwrap_or(i64::MIN);
                busy = Some(begun.max(event.end));
                let Some(item) = items.get_mut(&index) else {
                    continue;
                };
                if item.comm.is_some() || event.start.saturating_sub(begun) < GAP_NS {
                    continue;
                }
                let before = ends.partition_point(|(end, _)| *end <= event.start);
                let others = ends[..before].iter().rev().take_while(|(end, _)| *end > begun);
                let cause = others
                    .copied()
                    .find(|(_, other)| self.events[*other].lane != event.lane);
                let waited = cause.filter(|(_, other)| !item.deps.contains(other));
                self.imported.edges.inferred += usize::from(waited.is_some());
                item.deps.extend(waited.map(|(_, other)| other));
                let since = cause.map_or(begun, |(end, _)| end);
                item.lead = if since == i64::MIN { 0 } else { event.start - since };
            }
        }
    }

    /// Streams that wait for streams: as recorded, or else where a kernel that was launched in time
    /// begins when one of another stream has just ended.
    fn stream_waits(&mut self, streams: &[Vec<usize>], items: &mut BTreeMap<usize, Item>) {
        let recorded = self.events.iter().any(|event| event.kind == Kind::StreamWait);
        let mut ends: Vec<(i64, usize)> = streams
            .iter()
            .flatten()
            .filter(|index| items.contains_key(*index))
            .map(|index| (self.events[*index].end, *index))
            .collect();
        ends.sort_unstable();
        for stream in streams {
            let mut idle_since = i64::MIN;
            let mut waits: Vec<usize> = Vec::new();
            for &index in stream {
                let event = &self.events[index];
                if event.kind == Kind::StreamWait {
                    waits.extend(self.awaited(event, streams));
                    continue;
                }
                let Some(item) = items.get_mut(&index) else {
                    continue;
                };
                if recorded {
                    self.imported.edges.waits += waits.len();
                    item.deps.append(&mut waits);
                } else {
                    let launched = item
                        .deps
                        .iter()
                        .filter(|dep| self.events[**dep].kind == Kind::Runtime);
                    let launched = launched
                        .map(|dep| self.events[*dep].end)
                        .max()
                        .unwrap_or(i64::MIN);
                    let ready = idle_since.max(launched);
                    let before = ends.partition_point(|(end, _)| *end <= event.start);
                    let others = ends[..before].iter().rev().take_while(|(end, _)| *end > ready);
                    let cause = others
                        .copied()
                        .find(|(_, other)| self.events[*other].lane != event.lane);
                    self.imported.edges.inferred += usize::from(cause.is_some());
                    item.deps.extend(cause.map(|(_, other)| other));
                }
                idle_since = idle_since.max(event.end);
            }
        }
    }

    /// The last kernel of the awaited stream that was launched before the awaited event was recorded.
    fn awaited(&self, wait: &Event, streams: &[Vec<usize>]) -> Option<usize> {
        let recorded = number(wait, "wait_on_cuda_event_record_corr_id")?;
        let on = wait.args.get("wait_on_stream")?.as_i64()?;
        let Lane::Stream(device, _) = wait.lane else {
            return None;
        };
        let stream = streams.iter().find(|stream| {
            stream
                .first()
                .is_some_and(|index| self.events[*index].lane == Lane::Stream(device, on))
        })?;
        let kernels = stream
            .iter()
            .filter(|index| self.events[**index].kind == Kind::Kernel);
        kernels
            .filter(|index| number(&self.events[**index], "correlation").is_some_and(|id| id < recorded))
            .copied()
            .next_back()
    }

    /// A call that synchronises takes until the kernel ends that it waits for.
    fn synchronize(&mut self, items: &mut BTreeMap<usize, Item>) {
        let kernels = items
            .keys()
            .filter(|index| self.events[**index].kind == Kind::Kernel);
        let mut ends: Vec<(i64, usize)> = kernels.map(|index| (self.events[*index].end, *index)).collect();
        ends.sort_unstable();
        let calls: Vec<usize> = items
            .keys()
            .copied()
            .filter(|index| waits(&self.events[*index]))
            .collect();
        for index in calls {
            let call = &self.events[index];
            let before = ends.partition_point(|(end, _)| *end <= call.end);
            let last = before
                .checked_sub(1)
                .map(|at| ends[at])
                .filter(|(end, _)| *end > call.start);
            if let (Some((end, kernel)), Some(item)) = (last, items.get_mut(&index)) {
                item.deps.push(kernel);
                item.ns = call.end - end;
                self.imported.edges.waits += 1;
            }
        }
    }

    /// Nodes in the order of their beginnings (calls that wait: of their ends), so that every edge
    /// points back in time and no cycle can be; one that does not, by clocks that disagree, is left out.
    fn emit(&mut self, items: &BTreeMap<usize, Item>) {
        let mut order: Vec<&Item> = items.values().collect();
        let key = |item: &Item| {
            let event = &self.events[item.event];
            let at = if waits(event) { event.end } else { event.start };
            (at, item.event)
        };
        order.sort_by_key(|item| key(item));
        let place: HashMap<usize, usize> = order
            .iter()
            .enumerate()
            .map(|(at, item)| (item.event, at))
            .collect();
        let origin = self.events.first().map_or(0, |event| event.start);
        let mut ids: HashMap<usize, usize> = HashMap::new();
        let mut dropped = 0;
        for (at, item) in order.iter().enumerate() {
            let event = &self.events[item.event];
            let (earlier, later): (Vec<usize>, Vec<usize>) = item
                .deps
                .iter()
                .partition(|dep| place.get(*dep).is_some_and(|place| *place < at));
            dropped += later.len();
            let mut deps: Vec<usize> = earlier.iter().filter_map(|dep| ids.get(dep).copied()).collect();
            deps.sort_unstable();
            deps.dedup();
            if item.lead > 0 {
                let mut node = self.node("host time".into(), item.lead, std::mem::take(&mut deps));
                node.start_us = micros(event.start - item.lead - origin);
                node.attributes.push(Attribute::new(IS_CPU_OP, true));
                deps.push(node.id as usize);
                self.imported.trace.nodes.push(node);
            }
            let mut node = self.node(event.name.clone(), item.ns, deps);
            node.start_us = micros(event.start - origin);
            match &item.comm {
                Some(comm) => {
                    let call = item
                        .deps
                        .iter()
                        .filter_map(|dep| self.operator(&self.events[*dep]));
                    let call: Vec<&Operator> = call.collect();
                    let p2p = call.iter().find_map(|operator| comm::peer_and_tag(operator));
                    let root = call.iter().find_map(|operator| comm::root(operator));
                    self.describe(&mut node, comm, p2p, root);
                }
                None => node
                    .attributes
                    .push(Attribute::new(IS_CPU_OP, event.kind != Kind::Kernel)),
            }
            ids.insert(item.event, node.id as usize);
            self.imported.trace.nodes.push(node);
        }
        if dropped > 0 {
            let what = format!(
                "{dropped} of these edges pointed forward in time (clocks of host and device disagree) and were left out"
            );
            self.imported.notices.push(what);
        }
    }

    fn node(&self, name: String, ns: i64, deps: Vec<usize>) -> Node {
        let mut node = Node::new(self.imported.trace.nodes.len() as u64, name, NodeKind::Comp);
        node.set_duration_ns(ns.max(0) as u64);
        node.data_deps = deps.into_iter().map(|dep| dep as u64).collect();
        node
    }

    /// Makes a node of communication of a node.
    fn describe(&mut self, node: &mut Node, comm: &Comm, p2p: Option<(u32, u32)>, root: Option<u32>) {
        let group = self.group(comm);
        let peer = comm.peer.or(p2p.map(|(peer, _)| peer));
        let tag = p2p.map_or(0, |(_, tag)| tag);
        let mut add = |name: &str, value: Value| node.attributes.push(Attribute::new(name, value));
        add(IS_CPU_OP, Value::Bool(false));
        add(
            COMM_SIZE,
            i64::try_from(comm.size()).map_or(Value::Uint64(comm.size()), Value::Int64),
        );
        let kind = match comm.operation {
            Operation::Collective(collective) => {
                add(COMM_TYPE, Value::Int64(collective as i64));
                NodeKind::CommColl
            }
            Operation::Send => NodeKind::CommSend,
            Operation::Recv => NodeKind::CommRecv,
        };
        if kind != NodeKind::CommColl {
            let (mine, other) = if kind == NodeKind::CommSend {
                (COMM_SRC, COMM_DST)
            } else {
                (COMM_DST, COMM_SRC)
            };
            let rank = |rank: u32| i32::try_from(rank).map_or(Value::Uint32(rank), Value::Int32);
            add(mine, rank(self.rank));
            match peer {
                Some(peer) => add(other, rank(peer)),
                None => self.imported.notices.push(format!(
                    "node {} `{}`: the traces do not say with whom it communicates",
                    node.id, node.name
                )),
            }
            node.attributes.push(Attribute::new(COMM_TAG, rank(tag)));
        }
        node.kind = kind;
        let mut add = |name: &str, value: Value| node.attributes.push(Attribute::new(name, value));
        if let Some(root) = root {
            add(ROOT, Value::Int64(root.into()));
        }
        if let Some(group) = group {
            add(PG_NAME, Value::String(group.to_string()));
        }
        if !comm.dtype.is_empty() {
            add("dtype", Value::String(comm.dtype.clone()));
        }
        for (name, list) in [
            ("in_split_size", &comm.splits.0),
            ("out_split_size", &comm.splits.1),
        ] {
            if !list.is_empty() {
                add(name, Value::Int64List(list.clone()));
            }
        }
    }

    /// The number of a communication's group; `None` is everyone.
    fn group(&mut self, comm: &Comm) -> Option<u32> {
        let name = comm.group.clone()?;
        let known = self.groups.iter().find(|group| group.name == name).copied();
        let size = known.map(|group| group.size).or(comm.group_size);
        let everyone = known.is_some_and(|group| group.ranks.is_empty())
            || size.is_some() && size == self.world.map(u64::from);
        if everyone || known.is_none() && name == "0" {
            return None;
        }
        let decimal = name.parse::<u32>().ok().filter(|id| *id > 0);
        let id = decimal.unwrap_or_else(|| {
            // FNV-1a, so that every rank gives a name the same number.
            let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
            hash >> 1 | 1
        });
        if let Some(group) = known {
            self.imported.groups.insert(id, group.ranks.clone());
        }
        Some(id)
    }

    fn finish(mut self) -> Imported {
        let comms = self
            .imported
            .trace
            .nodes
            .iter()
            .filter(|node| !matches!(node.kind, NodeKind::Comp));
        let (count, grouped) = comms.fold((0, 0), |(count, grouped), node| {
            (count + 1, grouped + usize::from(node.value(PG_NAME).is_some()))
        });
        if count > 0 && grouped == 0 && self.groups.len() > 1 {
            self.imported.notices.push(format!("{} process groups exist, but the recorder does not say which operation is in which (Gloo): all are taken to be among all ranks", self.groups.len()));
        }
        let edges = self.imported.edges;
        let mut text = format!("{} edges added:", edges.total());
        let parts = [
            (edges.stream, "order of streams"),
            (edges.thread, "order of threads"),
            (edges.launch, "launches"),
            (edges.waits, "recorded waits"),
            (edges.inferred, "waits seen in times"),
        ];
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            let _ = write!(text, " {count} {what},");
        }
        self.imported
            .notices
            .insert(0, text.trim_end_matches(',').to_owned());
        self.imported.trace.metadata = Metadata {
            version: "0.0.4".into(),
            attributes: vec![Attribute::new("schema", "1.0.2-chakra.0.0.4")],
        };
        self.imported
    }
}

/// Calls that return when the device has come so far.
fn waits(event: &Event) -> bool {
    event.kind == Kind::Runtime && event.name.contains("Synchronize")
}

fn micros(ns: i64) -> u64 {
    u64::try_from(ns / 1000).unwrap_or(0)
}
