//! An imitation whose light drives the links of a fabric: a duplex link takes two circuits, and is up while
//! light passes both ways. With light one way only neither end is up: Ethernet's receiver that sees none
//! tells the other, which then holds back as well (IEEE 802.3, local and remote fault).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use genie_drivers::ocs::Circuit;

use super::server::{Options, ServeError, Server};
use crate::fabric::Crossbar;

/// A link that began or ceased to have light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flash {
    /// Number of the link.
    pub link: usize,
    /// Light came.
    pub lit: bool,
    /// When the link began to follow; switches whose light changes at the same time take turns.
    pub at: Instant,
    /// When the link had followed.
    pub followed: Instant,
}

/// A switch of a fabric that is served. Dropping it ends all sessions; its links stay as they are.
#[derive(Debug)]
pub struct Lamp {
    server: Server,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    flashes: Vec<Flash>,
    failure: Option<String>,
}

impl Lamp {
    /// Serves a switch whose port `n` (A port and B port `n`) has the link `wiring[n]`.
    pub fn start(
        options: Options,
        crossbar: Crossbar,
        wiring: BTreeMap<u16, usize>,
    ) -> Result<Self, ServeError> {
        let log = Arc::new(Mutex::new(Log::default()));
        let mut follower = Follower {
            crossbar,
            wiring,
            lit: BTreeSet::new(),
            joined: BTreeSet::new(),
            log: log.clone(),
        };
        let server = Server::start(options, Box::new(move |changes| follower.follow(changes)))?;
        Ok(Lamp { server, log })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What has happened since this was asked last, in order.
    pub fn flashes(&self) -> Vec<Flash> {
        std::mem::take(&mut lock(&self.log).flashes)
    }

    /// Why links do not follow the light any more, if they do not.
    pub fn failure(&self) -> Option<String> {
        lock(&self.log).failure.clone()
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Follower {
    crossbar: Crossbar,
    wiring: BTreeMap<u16, usize>,
    lit: BTreeSet<Circuit>,
    /// Ports that are joined now, the smaller first.
    joined: BTreeSet<(u16, u16)>,
    log: Arc<Mutex<Log>>,
}

impl Follower {
    fn follow(&mut self, changes: &[(Circuit, bool)]) {
        for (circuit, lit) in changes {
            match lit {
                true => self.lit.insert(*circuit),
                false => self.lit.remove(circuit),
            };
        }
        let now = both_ways(&self.lit);
        let links = |pairs: Vec<(u16, u16)>| -> Vec<(usize, usize)> {
            let link = |port: u16| self.wiring.get(&port).copied();
            let pair = |(a, b): (u16, u16)| link(a).zip(link(b));
            pairs.into_iter().filter_map(pair).collect()
        };
        let parted = links(self.joined.difference(&now).copied().collect());
        let joined = links(now.difference(&self.joined).copied().collect());
        let firsts: Vec<usize> = parted.iter().map(|(a, _)| *a).collect();
        let changed = self.crossbar.change(&firsts, &joined);
        let followed = Instant::now();
        let mut log = lock(&self.log);
        let at = match changed {
            Ok(at) => at,
            Err(error) => {
                // No link is said to have followed, and the next light tries again what this one could not.
                log.failure.get_or_insert(error.to_string());
                return;
            }
        };
        self.joined = now;
        for (pairs, lit) in [(parted, false), (joined, true)] {
            let ends = pairs.into_iter().flat_map(|(a, b)| [a, b]);
            log.flashes.extend(ends.map(|link| Flash {
                link,
                lit,
                at,
                followed,
            }));
        }
    }
}

/// The pairs of ports between which light passes in both directions.
fn both_ways(lit: &BTreeSet<Circuit>) -> BTreeSet<(u16, u16)> {
    let forth = lit.iter().filter(|circuit| circuit.a < circuit.b);
    let back = |circuit: &&Circuit| lit.contains(&Circuit::new(circuit.b, circuit.a));
    forth.filter(back).map(|circuit| (circuit.a, circuit.b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_light_both_ways() {
        let lit = |list: &[(u16, u16)]| list.iter().map(|(a, b)| Circuit::new(*a, *b)).collect();
        assert_eq!(both_ways(&lit(&[(1, 2), (2, 1), (3, 4)])), [(1, 2)].into());
        assert_eq!(both_ways(&lit(&[(1, 2), (2, 3), (3, 1)])), [].into());
        // A port that is joined with itself has no other end.
        assert_eq!(both_ways(&lit(&[(1, 1)])), [].into());
    }
}
