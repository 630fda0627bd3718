//! Jobs of steps on `[topology.cubes]`: each placed by its policy among those that run already, its circuits
//! those of the placement, its ranks a communicator, and one more for each of its dimensions.

use super::findings::Findings;
use crate::placement::grid::Grid;
use crate::placement::{CrossConnect, Machine, Refusal, Shape, State};
use crate::scenario::plan::optical::Neighbours;
use crate::scenario::plan::{Communicator, RankPlace};
use crate::scenario::section::Scenario;
use crate::scenario::section::collective::Collective;
use crate::scenario::section::step::{Job, Ring};
use crate::scenario::suggest;
use crate::scenario::units::Bytes;
use crate::system::op::{self, Algorithm, DataType, ReduceOp};

/// Names of dimensions.
const DIMENSIONS: [&str; 3] = ["x", "y", "z"];
/// Most ranks of a job with ring traffic: what each sends to each is a table.
const MOST_RANKS: usize = 512;

/// All jobs of a scenario.
#[derive(Debug, Default)]
pub struct Jobs {
    /// Communicators of jobs and of their dimensions.
    pub communicators: Vec<Communicator>,
    /// By step, the jobs that run.
    pub running: Vec<Vec<Placed>>,
}

/// A job that has its place.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its name.
    pub name: String,
    /// Its links.
    grid: Grid,
    /// Rank by node of the job.
    ranks: Vec<u32>,
    /// The machine's nodes, likewise.
    nodes: Vec<u32>,
    /// Circuits.
    pub circuits: Vec<CrossConnect>,
}

/// Places all jobs of all steps, those that are known so far numbered before their communicators.
pub fn place(
    scenario: &Scenario,
    ranks: &[RankPlace],
    known: &[Communicator],
    findings: &mut Findings<'_>,
) -> Option<Jobs> {
    let uses = |step: &crate::scenario::section::step::Step| {
        !step.job.is_empty() || !step.ring.is_empty() || !step.ended.is_empty()
    };
    let Some(first) = scenario.step.iter().position(uses) else {
        return Some(Jobs::default());
    };
    let cubes = scenario
        .topology
        .as_ref()
        .and_then(|topology| topology.cubes.as_ref());
    let Some(machine) = cubes.and_then(|cubes| cubes.machine().ok()) else {
        let wrong = findings.wrong(&format!("step[{first}]"), "jobs are placed on `[topology.cubes]`");
        wrong
            .help
            .push("add it, or give the circuits yourself: `circuits = [[\"h0\", \"h1\"]]`".into());
        return None;
    };
    let mut placer = Placer {
        machine: &machine,
        state: State::new(&machine),
        ranks,
        first: known.len() as u32,
        names: known
            .iter()
            .map(|communicator| communicator.name.clone())
            .collect(),
        jobs: Jobs::default(),
    };
    let before = findings.wrong.len();
    let mut running: Vec<Placed> = Vec::new();
    for (number, step) in scenario.step.iter().enumerate() {
        let path = format!("step[{number}]");
        if let (Some(_), true) = (&step.circuits, uses(step) || !running.is_empty()) {
            let help = "leave `circuits` away: the placement of jobs makes them";
            findings.unwanted(&format!("{path}.circuits"), "circuits beside jobs", help);
        }
        for (place, name) in step.ended.iter().enumerate() {
            match running.iter().position(|placed| placed.name == *name) {
                Some(found) => placer.state.release(&running.remove(found).nodes),
                None => no_job(&format!("{path}.ended[{place}]"), name, &running, findings),
            }
        }
        for (place, job) in step.job.iter().enumerate() {
            running.extend(placer.place(&format!("{path}.job[{place}]"), job, findings));
        }
        for (place, ring) in step.ring.iter().enumerate() {
            check_ring(&format!("{path}.ring[{place}]"), ring, &running, findings);
        }
        placer.jobs.running.push(running.clone());
    }
    (findings.wrong.len() == before).then_some(placer.jobs)
}

/// Ring traffic of nobody, or of a job that is too large for it.
fn check_ring(path: &str, ring: &Ring, running: &[Placed], findings: &mut Findings<'_>) {
    let nobody = !running.iter().any(|placed| placed.rings_by(ring));
    match &ring.job {
        Some(name) if nobody => no_job(&format!("{path}.job"), name, running, findings),
        // A job that found no place was said already.
        None if nobody && findings.wrong.is_empty() => {
            let wrong = findings.wrong(path, "ring traffic, and no job runs");
            wrong.help.push("jobs begin with `[[step.job]]`".into());
        }
        _ => {}
    }
    let large = |placed: &&Placed| placed.rings_by(ring) && placed.ranks.len() > MOST_RANKS;
    for job in running.iter().filter(large) {
        let message = format!(
            "ring traffic of job `{}` with {} ranks; {MOST_RANKS} at most",
            job.name,
            job.ranks.len()
        );
        findings.wrong(path, message);
    }
}

fn no_job(path: &str, name: &str, running: &[Placed], findings: &mut Findings<'_>) {
    let names: Vec<&str> = running.iter().map(|placed| placed.name.as_str()).collect();
    let wrong = findings.wrong(path, format!("no job `{name}` runs then"));
    wrong
        .help
        .extend(suggest::help(name, "jobs that run are", &names));
}

struct Placer<'a> {
    machine: &'a Machine,
    state: State<'a>,
    ranks: &'a [RankPlace],
    /// Number of the first communicator that is added.
    first: u32,
    names: Vec<String>,
    jobs: Jobs,
}

impl Placer<'_> {
    /// A job that begins; `None` only after something was found wrong.
    fn place(&mut self, path: &str, job: &Job, findings: &mut Findings<'_>) -> Option<Placed> {
        let at = |key: &str| format!("{path}.{key}");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if job.name.is_empty() || job.name.len() > 32 || !job.name.chars().all(plain) {
            findings.wrong(
                &at("name"),
                "a job's name is 1 to 32 letters, digits, `-` and `_`",
            );
            return None;
        }
        if self.names.contains(&job.name) {
            findings.wrong(
                &at("name"),
                format!("a second job or communicator named `{}`", job.name),
            );
            return None;
        }
        let shape: Shape = match job.shape.parse() {
            Ok(shape) => shape,
            Err(error) => {
                findings.wrong(&at("shape"), format!("{error}"));
                return None;
            }
        };
        if shape.size() > u64::from(self.machine.nodes()) || shape.size() < 2 {
            let message = format!(
                "a job of {} on a machine of {}",
                shape.size(),
                self.machine.nodes()
            );
            let wrong = findings.wrong(&at("shape"), message);
            wrong
                .help
                .push("from 2 nodes on, and no more than there are".into());
            return None;
        }
        let mut policy = job.policy.build(self.machine);
        let found = match policy.place(&shape, &self.state) {
            Ok(found) => found,
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Resource => "not enough free hosts",
                    Refusal::Shape => "enough free hosts, but not in its shape",
                    Refusal::Wiring => "room for its shape, but not so that circuits can join it",
                };
                let wrong = findings.wrong(&at("shape"), format!("no room for job `{}`: {why}", job.name));
                let free = self.state.free();
                wrong.help.push(format!(
                    "{free} hosts are free; `ended` of a step names jobs that have left"
                ));
                return None;
            }
        };
        let rank = |node: &u32| {
            let mut on = (0u32..)
                .zip(self.ranks)
                .filter(|(_, place)| place.host == *node as usize);
            on.next().filter(|_| on.next().is_none()).map(|(rank, _)| rank)
        };
        let ranks: Option<Vec<u32>> = found.nodes.iter().map(rank).collect();
        let Some(ranks) = ranks else {
            let wrong = findings.wrong(
                path,
                format!("job `{}` needs one rank on each of its hosts", job.name),
            );
            wrong
                .help
                .push("leave `ranks` and `ranks_per_host` away in `[testbed]`".into());
            return None;
        };
        self.state.take(&found.nodes);
        let grid = shape.grid(policy.closing(self.machine));
        self.communicate(&job.name, &grid, &ranks);
        Some(Placed {
            name: job.name.clone(),
            grid,
            ranks,
            nodes: found.nodes,
            circuits: found.circuits,
        })
    }

    /// A communicator for the job, and one for each dimension of it.
    fn communicate(&mut self, job: &str, grid: &Grid, ranks: &[u32]) {
        let dimensions = (0..3)
            .filter(|axis| grid.dims[*axis] > 1)
            .map(|axis| in_dimension(job, axis));
        for name in std::iter::once(job.to_owned()).chain(dimensions) {
            self.names.push(name.clone());
            self.jobs.communicators.push(Communicator {
                id: self.first + self.jobs.communicators.len() as u32,
                name,
                ranks: ranks.to_vec(),
            });
        }
    }
}

/// The communicator of a job's ring traffic along an axis.
fn in_dimension(job: &str, axis: usize) -> String {
    format!("{job}.{}", DIMENSIONS[axis])
}

impl Placed {
    /// Nodes of the job that are neighbours along an axis, each pair once.
    fn pairs(&self, axis: usize) -> Vec<(u32, u32)> {
        let next = |node: u32| Some((node, self.grid.index(self.grid.next(self.grid.at(node), axis)?)));
        (0..self.grid.nodes() as u32).filter_map(next).collect()
    }

    /// Pairs of ranks that must be one hop apart.
    pub fn neighbours(&self) -> Vec<Neighbours> {
        let along = |axis: usize| Neighbours {
            job: self.name.clone(),
            dimension: axis,
            pairs: self
                .pairs(axis)
                .into_iter()
                .map(|(a, b)| (self.ranks[a as usize], self.ranks[b as usize]))
                .collect(),
        };
        let all = (0..3).map(along);
        all.filter(|neighbours| !neighbours.pairs.is_empty()).collect()
    }

    /// Whether it takes part in this ring traffic.
    pub fn rings_by(&self, ring: &Ring) -> bool {
        ring.job.as_ref().is_none_or(|job| self.name == *job)
    }

    /// Ring traffic along each dimension, as sections that the planner of collectives takes.
    pub fn rings(&self, ring: &Ring) -> Vec<Collective> {
        let n = self.ranks.len();
        let along = |axis: usize| {
            let pairs = self.pairs(axis);
            if pairs.is_empty() {
                return None;
            }
            let mut matrix = vec![vec![Bytes(0); n]; n];
            for (a, b) in pairs {
                matrix[a as usize][b as usize] = ring.size;
                if self.grid.dims[axis] == 2 {
                    // A ring of two: each is the other's next.
                    matrix[b as usize][a as usize] = ring.size;
                }
            }
            Some(Collective {
                op: op::Collective::AllToAll,
                algorithm: Algorithm::Auto,
                communicator: in_dimension(&self.name, axis),
                sizes: None,
                iterations: ring.iterations,
                time_per_size: ring.time_per_size,
                warmup: Default::default(),
                dtype: DataType::Int8,
                redop: ReduceOp::Sum,
                root: 0,
                chunk: Bytes(4 << 20),
                chunks_in_flight: 4,
                matrix: Some(matrix),
            })
        };
        (0..3).filter_map(along).collect()
    }
}
