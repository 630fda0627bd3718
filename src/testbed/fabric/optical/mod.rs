//! Optical switches of an emulated fabric: imitations whose light drives its links, and for each a driver that
//! programs it over a socket, as it would a real one, under a lease.
//!
//! * `bench`: one switch: imitation, session, lease. [`reconfigure`]: a change of all of them. `observe`: what
//!   traffic and links see of it. [`timeline`]: changes while operations are played.

mod bench;
mod observe;
pub mod reconfigure;
pub mod timeline;

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::event::{NeighbourFound, NeighboursFound};
use crate::scenario::plan::Plan;
use crate::scenario::plan::optical::{Joint, Neighbours, Optical, Switch};
use crate::testbed::beside::Stop;
use bench::Bench;

pub use bench::Facts;

/// Between two looks whether sessions have begun.
const LOOK: Duration = Duration::from_millis(2);

/// All optical switches of a fabric that is up.
#[derive(Debug)]
pub struct Optics {
    plan: Optical,
    /// Names of nodes, links and what else the plan says.
    names: Names,
    fabric: Arc<genie_emu::Fabric>,
    benches: Vec<Bench>,
    /// The circuits that stand, as far as is known.
    standing: Mutex<Vec<Joint>>,
    /// How many changes there were.
    changes: AtomicUsize,
    slowest_bps: Option<u64>,
    dilation: f64,
}

/// What things are called.
#[derive(Debug)]
struct Names {
    nodes: Vec<String>,
    /// Name and two nodes of each link.
    links: Vec<(String, [usize; 2])>,
}

impl Optics {
    /// Serves the plan's switches; `None` where it has none. Nobody has a session with them yet.
    pub fn serve(plan: &Plan, fabric: &Arc<genie_emu::Fabric>) -> Result<Option<Self>, String> {
        let Some(optical) = &plan.optical else {
            return Ok(None);
        };
        let names = Names {
            nodes: plan.network.nodes.iter().map(|node| node.name.clone()).collect(),
            links: plan
                .network
                .links
                .iter()
                .map(|link| (link.name.clone(), [link.ends[0].node, link.ends[1].node]))
                .collect(),
        };
        let bench = |switch: &Switch| Bench::serve(switch, &names.nodes[switch.node], fabric, plan.dilation);
        Ok(Some(Optics {
            benches: optical.switches.iter().map(bench).collect::<Result<_, _>>()?,
            plan: optical.clone(),
            fabric: fabric.clone(),
            standing: Mutex::new(Vec::new()),
            changes: AtomicUsize::new(0),
            slowest_bps: fabric.spec().links.iter().filter_map(|link| link.rate_bps).min(),
            dilation: plan.dilation,
            names,
        }))
    }

    /// Begins a session with each switch, all side by side, and gives their names and what they are. `leases`: a
    /// folder that goes with the run.
    ///
    /// # Errors
    /// Why a switch cannot be programmed. What takes longer than `patience`, or is asked to stop, ends with the
    /// imitations.
    pub fn open(
        &self,
        (leases, owner): (&Path, &str),
        patience: Duration,
        stop: &Stop,
    ) -> Result<Vec<(String, Facts)>, String> {
        let until = Instant::now() + patience;
        let open = |bench: &Bench| -> Result<(String, Facts), String> {
            let facts = bench.open(leases, owner, until)?;
            Ok((bench.name().to_owned(), facts))
        };
        let open = &open;
        let opened: Result<Vec<_>, String> = thread::scope(|scope| {
            let threads = self.benches.iter().map(|bench| scope.spawn(move || open(bench)));
            let threads: Vec<_> = threads.collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                if stop.asked() || Instant::now() > until {
                    // Whoever waits for an answer hears at once that none will come.
                    self.abandon();
                }
                thread::sleep(LOOK);
            }
            threads.into_iter().map(joined).collect()
        });
        opened.map_err(|e| match Instant::now() > until {
            true => format!("{e}\nnote: given up after {} s", patience.as_secs_f64()),
            false => e,
        })
    }

    /// No change of circuits takes longer.
    pub fn patience(&self) -> Duration {
        self.benches.iter().map(Bench::patience).max().unwrap_or_default()
    }

    /// The switches and where they listen, in words.
    pub fn describe(&self) -> String {
        let of = |bench: &Bench| format!("{} {}", bench.name(), bench.address());
        self.benches.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// TCP segments that all hosts together have sent again so far; `None`: the kernel could not be asked.
    pub fn retransmits(&self) -> Option<u64> {
        self.fabric.retransmits().ok()
    }

    /// How far apart a job's neighbours are along a dimension, as packets find it, before operation `op`. `hosts`: of
    /// each rank. Asked to stop, it leaves out what it has not measured yet.
    pub fn find(
        &self,
        (step, op): (&str, usize),
        neighbours: &Neighbours,
        hosts: &[usize],
        stop: &Stop,
    ) -> Result<NeighboursFound, String> {
        let host = |rank: u32| hosts[rank as usize];
        let pairs: Vec<(usize, usize)> = neighbours
            .pairs
            .iter()
            .map(|(a, b)| (host(*a), host(*b)))
            .collect();
        let found = self.fabric.hops_while(&pairs, || !stop.asked());
        let found = found.map_err(|e| e.to_string())?;
        let pairs = neighbours.pairs.iter().zip(found);
        Ok(NeighboursFound {
            step: step.into(),
            op,
            job: neighbours.job.clone(),
            dimension: neighbours.dimension,
            pairs: pairs
                .map(|(&(from, to), hops)| NeighbourFound {
                    from,
                    to,
                    hops: hops.hops,
                    one_way_us: hops.one_way.map(|time| time.as_secs_f64() * 1e6),
                })
                .collect(),
        })
    }

    /// Puts back the circuits that were there before the run, and ends all sessions.
    pub fn down(&self) -> Vec<String> {
        self.at_all(Bench::down)
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    /// Ends the imitations at once: a driver that waits for one is told that its session is lost.
    pub fn abandon(&self) {
        self.at_all(|bench| {
            bench.abandon();
            Ok(())
        });
    }

    /// Does something at all switches side by side.
    fn at_all<T: Send>(&self, act: impl Fn(&Bench) -> Result<T, String> + Sync) -> Vec<Result<T, String>> {
        let act = &act;
        thread::scope(|scope| {
            let threads = self.benches.iter().map(|bench| scope.spawn(move || act(bench)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(joined).collect()
        })
    }
}

/// What came of a thread.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    let panicked = |_| Err("a thread at an optical switch panicked".to_owned());
    thread.join().unwrap_or_else(panicked)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
