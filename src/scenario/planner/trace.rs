//! `[[traffic.trace]]` to steps of the plan: every rank's trace read, its groups made communicators,
//! what members of a group do compared, all of it played in thought, bytes counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::network::message::{CommunicatorId, Rank};
use crate::scenario::load::Loaded;
use crate::scenario::plan::{Communicator, OpPlan, TracePlan};
use crate::scenario::section::trace::Trace;
use crate::system::collective::{self, Flow, Traffic};
use crate::system::op::{Algorithm, Collective, Op};
use crate::workload::generate::emit::Emitter;
use crate::workload::groups::CommGroups;
use crate::workload::trace::{Choice, Group, Part, Recipe, Source, Step, TraceError, file_of};

use super::duration::software_seconds;
use super::expect::{Ground, LinkBytes};
use super::findings::Findings;
use super::ops::{check_chunks, no_path};
use super::rehearsal::{Times, rehearse};

/// Most iterations of a trace.
const MAX_ITERATIONS: u32 = 1_000_000;
/// Most nodes of all ranks together: they are held in memory.
const MAX_NODES: u64 = 5_000_000;
/// Most groups of a trace.
const MAX_GROUPS: usize = 10_000;
/// Times of so many nodes of a rank are kept over all iterations.
const RECORDED_NODES: u64 = 200_000;

/// Traces of the sections at `path`, and the communicators that they add, which are numbered from `first`.
pub fn plan(
    loaded: &Loaded,
    (sections, path): (&[Trace], String),
    first: CommunicatorId,
    ground: &Ground<'_>,
    findings: &mut Findings<'_>,
) -> (Vec<OpPlan>, Vec<Communicator>) {
    let (mut ops, mut added) = (Vec::new(), Vec::new());
    for (number, section) in sections.iter().enumerate() {
        let planner = Planner {
            loaded,
            ground,
            section,
            path: format!("{path}[{number}]"),
            first: first + added.len() as u32,
        };
        let before = findings.wrong.len();
        planner.check_numbers(findings);
        if findings.wrong.len() > before {
            continue;
        }
        if let Some((op, groups)) = planner.plan(findings) {
            let pairs = op.trace.iter().flat_map(|trace| trace.pairs.iter().copied());
            let apart = pairs.into_iter().find(|(a, b)| !ground.joined(*a, *b));
            if let Some(apart) = apart.filter(|_| ground.wired.management.is_some()) {
                no_path(&planner.path, ground, apart, findings);
            }
            ops.push(op);
            added.extend(groups);
        }
    }
    (ops, added)
}

struct Planner<'a> {
    loaded: &'a Loaded,
    ground: &'a Ground<'a>,
    section: &'a Trace,
    path: String,
    /// Number of the first communicator that may be added.
    first: CommunicatorId,
}

/// An operation and how often it is played; the same for all members.
struct Counted<'a> {
    op: &'a Op,
    times: u64,
}

impl Planner<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn ranks(&self) -> u32 {
        self.ground.ranks.len() as u32
    }

    fn check_numbers(&self, findings: &mut Findings<'_>) {
        let section = self.section;
        if self.loaded.scenario.testbed.verify {
            let help = "leave `verify` away, or play collectives: traces carry no data to be checked";
            findings.unwanted("testbed.verify", "traces cannot be verified", help);
        }
        if section.iterations == 0 {
            findings.wrong(&self.at("iterations"), "0 iterations measure nothing");
        }
        for (key, count) in [("iterations", section.iterations), ("warmup", section.warmup)] {
            if count > MAX_ITERATIONS {
                findings.wrong(&self.at(key), format!("at most {MAX_ITERATIONS} are possible"));
            }
        }
        for (key, factor) in [
            ("compute_scale", section.compute_scale),
            ("comm_scale", section.comm_scale),
        ] {
            if !(factor > 0.0 && factor <= 1e6) {
                let wrong = findings.wrong(&self.at(key), format!("a factor of {factor}"));
                wrong
                    .help
                    .push("more than 0, at most 1e6; 1 changes nothing".into());
            }
        }
        check_chunks(&self.path, section.chunk, section.chunks_in_flight, findings);
        if let Some(domain) = &section.scale_up
            && (domain.ranks == 0 || domain.bandwidth.0 == 0)
        {
            let message = "a scale-up domain has at least one rank and some bandwidth";
            findings.wrong(&self.at("scale_up"), message);
        }
        for (collective, algorithm) in &section.algorithms {
            if *algorithm != Algorithm::Auto
                && let Err(error) = collective::supports(*collective, *algorithm)
            {
                findings.wrong(&self.at(&format!("algorithms.{collective}")), error.to_string());
            }
        }
    }

    fn plan(&self, findings: &mut Findings<'_>) -> Option<(OpPlan, Vec<Communicator>)> {
        let (source, at) = self.source(findings)?;
        let groups = self.groups(&source, findings)?;
        let recipe = Recipe {
            source,
            lanes: self.section.lanes,
            compute_scale: self.section.compute_scale,
            comm_scale: self.section.comm_scale,
            scale_up: self.section.scale_up,
            chunk_bytes: self.section.chunk.0,
            chunks_in_flight: self.section.chunks_in_flight,
            algorithms: self.choices(),
            groups,
        };
        let planned = self.parts(&recipe).and_then(|parts| {
            check_members(&recipe.groups, &parts)?;
            check_pairs(&parts)?;
            self.op(recipe, &parts)
        });
        match planned {
            Ok((op, added)) => Some((op, added)),
            Err(error) => {
                let wrong = findings.wrong(&self.at(at), error.what);
                wrong.help.extend(error.help);
                None
            }
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let choice = |(&collective, &algorithm): (&Collective, &Algorithm)| Choice {
            collective,
            algorithm,
        };
        self.section.algorithms.iter().map(choice).collect()
    }

    /// Where traces come from, and by which key.
    fn source(&self, findings: &mut Findings<'_>) -> Option<(Source, &'static str)> {
        match (&self.section.workload, &self.section.generate) {
            (Some(prefix), None) => {
                let prefix = self.resolve("workload", prefix, findings);
                let missing = (0..self.ranks()).find(|&rank| !file_of(&prefix, rank).is_file());
                if let Some(rank) = missing {
                    let file = file_of(&prefix, rank);
                    let ranks = self.ranks();
                    let message = format!("there is no file `{}`", file.display());
                    let wrong = findings.wrong(&self.at("workload"), message);
                    wrong.help.push(format!(
                        "the scenario has {ranks} ranks and needs a trace for each, 0 to {}",
                        ranks.saturating_sub(1)
                    ));
                    return None;
                }
                if file_of(&prefix, self.ranks()).is_file() {
                    let message = format!(
                        "the job has more ranks than the scenario: there is also `{}`",
                        file_of(&prefix, self.ranks()).display()
                    );
                    let wrong = findings.wrong(&self.at("workload"), message);
                    wrong
                        .help
                        .push(format!("the scenario has {} ranks", self.ranks()));
                    return None;
                }
                Some((Source::Files(prefix), "workload"))
            }
            (None, Some(spec)) => match spec.job(self.ranks()) {
                Ok(_) => Some((Source::Generated(Box::new(spec.clone())), "generate")),
                Err(error) => {
                    let key = match error.key {
                        "" => self.at("generate"),
                        key => self.at(&format!("generate.{key}")),
                    };
                    findings.wrong(&key, error.message).help.push(error.help);
                    None
                }
            },
            (given, _) => {
                let message = match given {
                    Some(_) => "both `workload` and `generate`",
                    None => "a trace without `workload` or `generate`",
                };
                let wrong = findings.wrong(&self.path, message);
                wrong.help.push("workload = \"traces/job\" plays files; generate = { model = \"llama3-8b\", zero = 3 } makes traces".into());
                None
            }
        }
    }

    /// A path beside the file in which it was written.
    fn resolve(&self, key: &str, given: &str, findings: &Findings<'_>) -> PathBuf {
        let span = findings.span(&self.at(key));
        let file = self.loaded.sources.locate(&span).map_or("", |place| place.name);
        let folder = match file {
            "--set" => Path::new(""),
            file => Path::new(file).parent().unwrap_or(Path::new("")),
        };
        let path = folder.join(given);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Groups of the file, of the generator or of the traces themselves, as communicators.
    fn groups(&self, source: &Source, findings: &mut Findings<'_>) -> Option<Vec<Group>> {
        let mut groups = match (&self.section.comm_groups, source) {
            (Some(_), Source::Generated(_)) => {
                let help = "leave `comm_groups` away";
                findings.unwanted(
                    &self.at("comm_groups"),
                    "generated traces know their groups",
                    help,
                );
                return None;
            }
            (Some(file), Source::Files(_)) => {
                let path = self.resolve("comm_groups", file, findings);
                match self.read_groups(&path) {
                    Ok(groups) => groups,
                    Err(error) => {
                        findings.wrong(&self.at("comm_groups"), error);
                        return None;
                    }
                }
            }
            (None, Source::Generated(spec)) => {
                let job = spec.job(self.ranks()).ok()?;
                Emitter::new(&job).ids().to_groups().groups
            }
            (None, Source::Files(_)) => BTreeMap::new(),
        };
        if let Source::Files(_) = source
            && let Err(error) = self.declared(source, &mut groups)
        {
            let wrong = findings.wrong(&self.at("workload"), error.what);
            wrong.help.extend(error.help);
            return None;
        }
        if groups.len() > MAX_GROUPS {
            findings.wrong(
                &self.path,
                format!("{} groups; at most {MAX_GROUPS}", groups.len()),
            );
            return None;
        }
        let world = Group {
            id: 0,
            communicator: 0,
            ranks: (0..self.ranks()).collect(),
        };
        let numbered = (self.first..).zip(groups);
        let others = numbered.map(|(communicator, (id, ranks))| Group {
            id,
            communicator,
            ranks,
        });
        Some(std::iter::once(world).chain(others).collect())
    }

    fn read_groups(&self, path: &Path) -> Result<BTreeMap<u32, Vec<Rank>>, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
        let parsed =
            CommGroups::parse(&name, &text, Some(self.ranks())).map_err(|error| error.to_string())?;
        Ok(parsed.value.groups)
    }

    /// Adds the groups that traces declare (PyTorch's process groups).
    fn declared(&self, source: &Source, groups: &mut BTreeMap<u32, Vec<Rank>>) -> Result<(), TraceError> {
        for rank in 0..self.ranks() {
            let (name, graph) = source.graph(rank, self.ranks())?;
            for (id, ranks) in graph.groups {
                let known = groups.entry(id).or_insert_with(|| ranks.clone());
                if *known != ranks {
                    let what = format!("`{name}`: group {id} has ranks {ranks:?}, elsewhere {known:?}");
                    return Err(TraceError { what, help: None });
                }
            }
        }
        Ok(())
    }

    fn parts(&self, recipe: &Recipe) -> Result<Vec<Arc<Part>>, TraceError> {
        let (mut parts, mut nodes) = (Vec::new(), 0);
        for rank in 0..self.ranks() {
            let part = recipe.part(rank, self.ranks())?;
            if part.steps.is_empty() {
                let what = format!("the trace of rank {rank} has no nodes");
                return Err(TraceError { what, help: None });
            }
            nodes += part.steps.len() as u64;
            if nodes > MAX_NODES {
                let what = format!("more than {MAX_NODES} nodes");
                let help = Some("play fewer layers or micro-batches".into());
                return Err(TraceError { what, help });
            }
            parts.push(Arc::new(part));
        }
        Ok(parts)
    }

    /// The step of the plan.
    fn op(&self, recipe: Recipe, parts: &[Arc<Part>]) -> Result<(OpPlan, Vec<Communicator>), TraceError> {
        let name = self.name();
        let added = recipe
            .groups
            .iter()
            .filter(|group| group.communicator >= self.first);
        let added: Vec<Communicator> = added
            .map(|group| Communicator {
                id: group.communicator,
                name: format!("{name}/{}", group.id),
                ranks: group.ranks.clone(),
            })
            .collect();
        let known = self.ground.communicators.iter().take(1).chain(&added);
        let mut cost = Cost {
            ground: self.ground,
            communicators: known.map(|c| (c.id, c)).collect(),
            cache: HashMap::new(),
            link_bytes: vec![[0.0; 2]; self.ground.wired.network.links.len()],
            pairs: BTreeSet::new(),
            payload_bytes: 0,
        };
        let mut trace = self.figures(name, recipe, parts);
        for counted in collectives(&trace.recipe.groups, parts) {
            cost.charge(&counted)?;
        }
        for (rank, part) in (0..).zip(parts) {
            for step in &part.steps {
                if let Step::Send(peer) = step {
                    cost.charge_message(rank, peer.rank, peer.bytes);
                }
            }
        }
        let ns = rehearse(parts, trace.recipe.lanes, &cost).map_err(|stuck| TraceError {
            what: format!("the trace never ends: {stuck}"),
            help: Some("each receive needs a send, each collective all members of its group".into()),
        })?;
        trace.pairs = cost.pairs.iter().copied().collect();
        trace.payload_bytes = cost.payload_bytes;
        let wire = self.ground.expected(&cost.link_bytes, 0.0, 0);
        let seconds = (ns as f64 / 1e9).max(wire.seconds.unwrap_or(0.0));
        let mut expected = wire.clone();
        expected.wire_share = wire.seconds.map(|wire| wire / seconds);
        expected.seconds = Some(seconds);
        let op = OpPlan {
            op: Op::new(Collective::Barrier, Algorithm::Auto, 0),
            warmup: self.section.warmup,
            iterations: self.section.iterations,
            expected,
            link_bytes: cost.link_bytes,
            trace: Some(Box::new(trace)),
        };
        Ok((op, added))
    }

    fn name(&self) -> String {
        let section = self.section;
        let of_files = || {
            let prefix = section.workload.as_ref()?;
            Some(Path::new(prefix).file_name()?.to_string_lossy().into_owned())
        };
        let of_model = || section.generate.as_ref().map(|spec| spec.model.clone());
        let name = section.name.clone().or_else(of_files).or_else(of_model);
        name.unwrap_or_else(|| "trace".into())
    }

    fn figures(&self, name: String, recipe: Recipe, parts: &[Arc<Part>]) -> TracePlan {
        let compute = |part: &Arc<Part>| -> f64 {
            let delays = part.steps.iter().map(|step| match step {
                Step::Delay(ns) => *ns as f64 / 1e9,
                _ => 0.0,
            });
            delays.sum()
        };
        let most_nodes = parts
            .iter()
            .map(|part| part.steps.len() as u64)
            .max()
            .unwrap_or(0);
        let count = |of: fn(&Step) -> bool| -> u64 {
            let steps = parts.iter().flat_map(|part| &part.steps);
            steps.filter(|step| of(step)).count() as u64
        };
        TracePlan {
            name,
            nodes: parts.iter().map(|part| part.steps.len() as u64).sum(),
            most_nodes,
            compute_s: parts.iter().map(compute).fold(0.0, f64::max),
            collectives: collectives(&recipe.groups, parts).iter().map(|c| c.times).sum(),
            modelled_collectives: modelled(&recipe.groups, parts),
            messages: count(|step| matches!(step, Step::Send(_))),
            payload_bytes: 0,
            recorded_iterations: (RECORDED_NODES / most_nodes.max(1)).clamp(1, 1 << 20) as u32,
            pairs: Vec::new(),
            recipe,
        }
    }
}

/// What the first member of each group plays of it, equal operations together.
fn collectives<'a>(groups: &[Group], parts: &'a [Arc<Part>]) -> Vec<Counted<'a>> {
    let mut found: Vec<Counted<'a>> = Vec::new();
    let mut places: HashMap<(CommunicatorId, Collective, u64, Rank), usize> = HashMap::new();
    for group in groups {
        let Some(part) = group.ranks.first().and_then(|&rank| parts.get(rank as usize)) else {
            continue;
        };
        for step in &part.steps {
            if let Step::Collective(op) = step
                && op.communicator == group.communicator
            {
                let key = (op.communicator, op.collective, op.bytes, op.root);
                let place = *places.entry(key).or_insert_with(|| {
                    found.push(Counted { op, times: 0 });
                    found.len() - 1
                });
                found[place].times += 1;
            }
        }
    }
    found
}

fn modelled(groups: &[Group], parts: &[Arc<Part>]) -> u64 {
    let of = |group: &Group| -> usize {
        let part = group.ranks.first().and_then(|&rank| parts.get(rank as usize));
        let steps = part.into_iter().flat_map(|part| &part.steps);
        let own =
            |step: &&Step| matches!(step, Step::Modelled(op, _) if op.communicator == group.communicator);
        steps.filter(own).count()
    };
    groups.iter().map(of).sum::<usize>() as u64
}

/// Members of a group carry out the same collectives in the same order.
fn check_members(groups: &[Group], parts: &[Arc<Part>]) -> Result<(), TraceError> {
    for group in groups {
        let Some((&first, others)) = group.ranks.split_first() else {
            continue;
        };
        let expected = of_group(parts, first, group.communicator);
        for &rank in others {
            let own = of_group(parts, rank, group.communicator);
            let pairs = expected.iter().zip(&own);
            let same = |a: &Op, b: &Op| (a.collective, a.bytes, a.root) == (b.collective, b.bytes, b.root);
            if let Some(((a, at), (b, bt))) = pairs.clone().find(|((a, _), (b, _))| !same(a, b)) {
                let what = format!(
                    "members of group {} disagree: rank {first}, node {at}: {} of {} bytes; rank {rank}, node {bt}: {} of {} bytes",
                    group.id, a.collective, a.bytes, b.collective, b.bytes
                );
                return Err(TraceError {
                    what,
                    help: Some("collectives of a group go in the order of their nodes' numbers".into()),
                });
            }
            if expected.len() != own.len() {
                let what = format!(
                    "members of group {} disagree: rank {first} has {} collectives, rank {rank} has {}",
                    group.id,
                    expected.len(),
                    own.len()
                );
                return Err(TraceError { what, help: None });
            }
        }
    }
    Ok(())
}

/// Collectives of a rank in a communicator, with their nodes' numbers.
fn of_group(parts: &[Arc<Part>], rank: Rank, communicator: CommunicatorId) -> Vec<(&Op, u64)> {
    let Some(part) = parts.get(rank as usize) else {
        return Vec::new();
    };
    let nodes = part.steps.iter().zip(part.graph.nodes());
    let ops = nodes.filter_map(|(step, node)| match step {
        Step::Collective(op) | Step::Modelled(op, _) => Some((op, node.id)),
        _ => None,
    });
    ops.filter(|(op, _)| op.communicator == communicator).collect()
}

/// Every send has its receive, of the same size.
fn check_pairs(parts: &[Arc<Part>]) -> Result<(), TraceError> {
    type Sides<'a> = [Vec<(u64, u64, &'a str)>; 2];
    let mut pairs: BTreeMap<(Rank, Rank, u32), Sides<'_>> = BTreeMap::new();
    for (rank, part) in (0..).zip(parts) {
        for (step, node) in part.steps.iter().zip(part.graph.nodes()) {
            let (key, side, bytes) = match step {
                Step::Send(peer) => ((rank, peer.rank, peer.tag), 0, peer.bytes),
                Step::Receive(peer) => ((peer.rank, rank, peer.tag), 1, peer.bytes),
                _ => continue,
            };
            pairs.entry(key).or_default()[side].push((node.id, bytes, &node.name));
        }
    }
    for ((from, to, tag), [sends, receives]) in &pairs {
        let wrong = |rank: &Rank, (id, _, name): &(u64, u64, &str), what: String| {
            let name = name.escape_debug();
            Err(TraceError {
                what: format!("rank {rank}, node {id} `{name}`: {what} (tag {tag})"),
                help: None,
            })
        };
        if let Some(send) = sends.get(receives.len()) {
            return wrong(from, send, format!("a send to rank {to} that it never receives"));
        }
        if let Some(receive) = receives.get(sends.len()) {
            return wrong(
                to,
                receive,
                format!("a receive from rank {from} that it never sends"),
            );
        }
        let unequal = sends.iter().zip(receives).find(|(s, r)| s.1 != r.1);
        if let Some((send, receive)) = unequal {
            let what = format!(
                "sends {} bytes where rank {to}, node {} receives {}",
                send.1, receive.0, receive.1
            );
            return wrong(from, send, what);
        }
    }
    Ok(())
}

/// What operations cost on the planned network.
struct Cost<'a> {
    ground: &'a Ground<'a>,
    communicators: HashMap<CommunicatorId, &'a Communicator>,
    cache: HashMap<(CommunicatorId, Collective, u64, Rank), u64>,
    link_bytes: LinkBytes,
    pairs: BTreeSet<(Rank, Rank)>,
    payload_bytes: u64,
}

impl Cost<'_> {
    fn charge(&mut self, counted: &Counted<'_>) -> Result<(), TraceError> {
        let op = counted.op;
        let Some(members) = self.communicators.get(&op.communicator).copied() else {
            return Ok(());
        };
        let traffic = collective::traffic(op, members.ranks.len() as u32).map_err(|error| TraceError {
            what: error.to_string(),
            help: None,
        })?;
        let (links, expected) = self.ground.expect(&traffic, members);
        for flow in &traffic.flows {
            let (a, b) = (members.ranks[flow.from as usize], members.ranks[flow.to as usize]);
            self.pairs.insert((a.min(b), a.max(b)));
            self.payload_bytes = self
                .payload_bytes
                .saturating_add(flow.bytes.saturating_mul(counted.times));
        }
        add(&mut self.link_bytes, &links, counted.times as f64);
        let seconds = expected.seconds.unwrap_or_else(|| software_seconds(&traffic));
        let key = (op.communicator, op.collective, op.bytes, op.root);
        self.cache.insert(key, (seconds * 1e9) as u64);
        Ok(())
    }

    fn charge_message(&mut self, from: Rank, to: Rank, bytes: u64) {
        self.pairs.insert((from.min(to), from.max(to)));
        self.payload_bytes = self.payload_bytes.saturating_add(bytes);
        let (links, _) = self
            .ground
            .expect(&message(from, to, bytes), &self.ground.communicators[0]);
        add(&mut self.link_bytes, &links, 1.0);
    }
}

fn add(sum: &mut LinkBytes, links: &LinkBytes, times: f64) {
    for (sum, bytes) in sum.iter_mut().zip(links) {
        sum[0] += bytes[0] * times;
        sum[1] += bytes[1] * times;
    }
}

/// One message among all ranks.
fn message(from: Rank, to: Rank, bytes: u64) -> Traffic {
    let flow = Flow {
        from,
        to,
        bytes,
        messages: 1,
    };
    Traffic {
        flows: vec![flow],
        rounds: 1,
        chunks: 1,
    }
}

impl Times for Cost<'_> {
    fn collective(&self, op: &Op) -> u64 {
        let key = (op.communicator, op.collective, op.bytes, op.root);
        self.cache.get(&key).copied().unwrap_or(0)
    }

    fn message(&self, from: Rank, to: Rank, bytes: u64) -> u64 {
        let traffic = message(from, to, bytes);
        let (_, expected) = self.ground.expect(&traffic, &self.ground.communicators[0]);
        let seconds = expected.seconds.unwrap_or_else(|| software_seconds(&traffic));
        (seconds * 1e9) as u64
    }

    fn members(&self, communicator: CommunicatorId) -> usize {
        self.communicators.get(&communicator).map_or(0, |c| c.ranks.len())
    }
}
