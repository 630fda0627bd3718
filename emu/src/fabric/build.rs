//! Bringing a fabric up: namespaces in parallel, then links, shapers and routes in batches.

use std::collections::HashMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Fabric, FabricError, Node, steering};
use crate::journal::Journal;
use crate::namespace::{Namespace, enter, set_parameter};
use crate::netlink::link::{self, VethEnd, VethSettings};
use crate::netlink::{Netlink, NetlinkError, Request, qdisc, redirect, route};
use crate::privilege::{self, Privilege};
use crate::shaping::{self, Shaper};
use crate::spec::{FabricSpec, LinkSpec, Role};
use crate::{capability, check, state};

/// A link's ends are made, set up and active well within a millisecond; a loaded machine may take more.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// Parameters of every namespace, set before it has links because links inherit `default`.
/// An absent parameter (IPv6 not built in, an older kernel) is passed over when `optional`.
struct Parameter {
    name: &'static str,
    value: String,
    optional: bool,
}

fn parameters(spec: &FabricSpec, number: usize) -> Vec<Parameter> {
    let must = |name, value: &str| Parameter {
        name,
        value: value.into(),
        optional: false,
    };
    let may = |name, value: &str| Parameter {
        name,
        value: value.into(),
        optional: true,
    };
    let shaped = spec.links.iter().any(|link| link.rate_bps.is_some());
    let mask = if shaped {
        steering::all_processors()
    } else {
        "0".into()
    };
    let strict = match spec.nodes[number].role {
        Role::Management => "1",
        Role::Ordinary | Role::Optical => "0",
    };
    vec![
        may("ipv6/conf/all/disable_ipv6", "1"),
        may("ipv6/conf/default/disable_ipv6", "1"),
        must(
            "ipv4/ip_forward",
            if spec.nodes[number].forwards { "1" } else { "0" },
        ),
        // Answers may come back by another equal-cost path. A management network is strict: what comes from
        // elsewhere than its sender's port was forwarded.
        must("ipv4/conf/all/rp_filter", strict),
        must("ipv4/conf/default/rp_filter", strict),
        must("ipv4/conf/all/send_redirects", "0"),
        must("ipv4/conf/default/send_redirects", "0"),
        must("ipv4/fib_multipath_hash_policy", "1"),
        // The same paths in every run, and different choices at each switch.
        may(
            "ipv4/fib_multipath_hash_seed",
            &(number as u32 + 1).wrapping_mul(2_654_435_761).to_string(),
        ),
        must("ipv4/tcp_slow_start_after_idle", "0"),
        must("ipv4/tcp_no_metrics_save", "1"),
        may("ipv4/tcp_rmem", "4096 4194304 33554432"),
        may("ipv4/tcp_wmem", "4096 65536 33554432"),
        // Refused where the machine does not allow the algorithm to all; routes name it as well.
        may("ipv4/tcp_congestion_control", &spec.congestion_control),
        may(steering::DEFAULT_MASK, &mask),
    ]
}

pub(super) fn up(spec: &FabricSpec, journal: &Journal) -> Result<Fabric, FabricError> {
    check::check(spec)?;
    let privilege = privilege::require()?;
    allow_descriptors(spec.nodes.len());
    let mut cautions = Vec::new();
    let named = privilege == Privilege::Root && names_possible(journal, &mut cautions);
    let home = File::open("/proc/thread-self/ns/net").map_err(FabricError::Home)?;
    let ports = port_indices(spec)?;
    let impaired = impairment_possible(spec, &mut cautions)?;
    // From here on, dropping `fabric` removes what was made.
    let mut fabric = Fabric {
        nodes: make_nodes(spec, named, &home, journal)?,
        spec: spec.clone(),
        ports,
        cautions,
        current: Mutex::new(spec.nodes.iter().map(|node| node.routes.clone()).collect()),
        watches: Mutex::new(Vec::new()),
        state: journal.state_dir().to_owned(),
    };
    fabric.apply_all(fabric.link_requests())?;
    fabric.set_shared_parameters()?;
    fabric.apply_all(fabric.port_requests(impaired))?;
    fabric.apply_all(fabric.route_requests()?)?;
    fabric.wait_ready()?;
    fabric.steer();
    Ok(fabric)
}

/// Each node takes two descriptors here, one more when watched, and ranks want some as well.
fn allow_descriptors(nodes: usize) {
    let wanted = nodes as u64 * 4 + 256;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        // If the hard limit is too low as well, opening fails with a clear error.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
}

fn names_possible(journal: &Journal, cautions: &mut Vec<String>) -> bool {
    match state::make_names_folder(journal.state_dir()) {
        Ok(()) => true,
        Err(e) => {
            cautions.push(format!("namespaces have no names for `ip netns`: {e}"));
            false
        }
    }
}

/// Whether links get a netem. Without it a delay is left away and said so; a loss is refused, because
/// whoever asks for one wants to see what it does.
fn impairment_possible(spec: &FabricSpec, cautions: &mut Vec<String>) -> Result<bool, FabricError> {
    let delayed = spec.links.iter().filter(|link| !link.delay.is_zero()).count();
    let lossy = spec.links.iter().find(|link| link.loss > 0.0);
    if (delayed == 0 && lossy.is_none()) || capability::probe().netem {
        return Ok(delayed > 0 || lossy.is_some());
    }
    if let Some(link) = lossy {
        return Err(FabricError::NoLoss(link.name.clone()));
    }
    cautions.push(format!(
        "the propagation delay of {delayed} links is not emulated: this kernel has no netem"
    ));
    Ok(false)
}

/// Every interface of the fabric has a number of its own, which in a shared namespace nobody else has.
/// The two ends of a pair must differ: otherwise the kernel takes the pair for a stand-alone device,
/// whose readiness it notices once a second only.
fn port_indices(spec: &FabricSpec) -> Result<Vec<[u32; 2]>, FabricError> {
    let mut taken = link::LOOPBACK;
    if spec.nodes.iter().any(|node| node.shared) {
        let links = Netlink::open().map_err(FabricError::Home)?.links();
        let links = links.map_err(|e| FabricError::Home(std::io::Error::other(e)))?;
        taken = links.iter().map(|link| link.index).max().unwrap_or(taken);
    }
    let pair = |link: u32| [2 * link, 2 * link + 1].map(|number| taken + 1 + number);
    Ok((0..spec.links.len() as u32).map(pair).collect())
}

fn make_nodes(
    spec: &FabricSpec,
    named: bool,
    home: &File,
    journal: &Journal,
) -> Result<Vec<Node>, FabricError> {
    let count = spec.nodes.len();
    let made: Mutex<Vec<Option<Node>>> = Mutex::new((0..count).map(|_| None).collect());
    let failure = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || lock(&failure).is_some() {
                return;
            }
            let made_node = match spec.nodes[number].shared {
                true => share_home(spec, number, home),
                false => make_node(spec, number, named, journal),
            };
            match made_node {
                Ok(node) => lock(&made)[number] = Some(node),
                Err(e) => {
                    lock(&failure).get_or_insert(e);
                }
            }
        }
    };
    let workers = thread::available_parallelism()
        .map_or(2, |n| n.get())
        .min(8)
        .min(count);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    match failure
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
    {
        Some(e) => Err(e),
        None => Ok(lock(&made).drain(..).flatten().collect()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A node in the namespace that the fabric was asked for in; leaves the thread there.
fn share_home(spec: &FabricSpec, number: usize, home: &File) -> Result<Node, FabricError> {
    let share = || {
        enter(home.as_fd())?;
        Ok(Node {
            namespace: Namespace::existing(home.try_clone()?)?,
            netlink: Mutex::new(Netlink::open()?),
        })
    };
    share().map_err(|source| FabricError::Namespace {
        node: spec.nodes[number].name.clone(),
        source,
    })
}

/// To be called on a thread of its own: it leaves the thread in the new namespace.
fn make_node(spec: &FabricSpec, number: usize, named: bool, journal: &Journal) -> Result<Node, FabricError> {
    let node = &spec.nodes[number];
    let failed = |source| FabricError::Namespace {
        node: node.name.clone(),
        source,
    };
    let name = named.then(|| format!("genie-{}-{}", spec.run, node.name));
    let namespace = Namespace::unshare_here(name.as_deref(), journal).map_err(failed)?;
    for Parameter {
        name,
        value,
        optional,
    } in parameters(spec, number)
    {
        match set_parameter(name, &value) {
            Err(source) if !optional => {
                let parameter = name.to_owned();
                return Err(FabricError::Parameter {
                    node: node.name.clone(),
                    parameter,
                    source,
                });
            }
            _ => {}
        }
    }
    let mut netlink = Netlink::open().map_err(failed)?;
    let mut requests = vec![link::set_up(link::LOOPBACK, "lo", true)];
    requests.extend(
        node.addresses
            .iter()
            .map(|&address| route::add_address(address, link::LOOPBACK)),
    );
    netlink.apply(&requests).map_err(|source| FabricError::Netlink {
        node: node.name.clone(),
        source,
    })?;
    Ok(Node {
        namespace,
        netlink: Mutex::new(netlink),
    })
}

/// Of all links at optical switches: whichever two are joined, each end's frames are addressed to the other.
const BEHIND_LIGHT: [u8; 6] = [0x02, b'g', b'o', 0, 0, 0];

/// A locally administered address that tells the link, for people who look at captures: one for both ends,
/// or two.
fn hardware_address(link: usize, other: bool) -> [u8; 6] {
    let [_, high, middle, low] = (link as u32).to_be_bytes();
    [0x02, b'g', if other { b'f' } else { b'e' }, high, middle, low]
}

impl Fabric {
    pub(super) fn apply_all(&self, requests: Vec<Vec<Request>>) -> Result<(), FabricError> {
        for ((node, spec), requests) in self.nodes.iter().zip(&self.spec.nodes).zip(requests) {
            node.netlink()
                .apply(&requests)
                .map_err(|source| FabricError::Netlink {
                    node: spec.name.clone(),
                    source,
                })?;
        }
        Ok(())
    }

    fn per_node(&self) -> Vec<Vec<Request>> {
        vec![Vec::new(); self.nodes.len()]
    }

    /// Of one end of a link: the ends differ where RDMA devices stand on one of them.
    fn hardware_address(&self, link: usize, side: usize) -> [u8; 6] {
        if self.is_optical(link) {
            return BEHIND_LIGHT;
        }
        let shared = |(node, _): &(usize, String)| self.spec.nodes[*node].shared;
        hardware_address(link, side == 1 && self.spec.links[link].ends.iter().any(shared))
    }

    /// Each pair is made by a request in the namespace of its first end.
    fn link_requests(&self) -> Vec<Vec<Request>> {
        let mut requests = self.per_node();
        for (number, (link, indices)) in self.spec.links.iter().zip(&self.ports).enumerate() {
            let end = |side: usize| VethEnd {
                name: &link.ends[side].1,
                index: indices[side],
                namespace: self.nodes[link.ends[side].0].namespace.as_fd(),
                address: self.hardware_address(number, side),
                no_arp: !self.spec.nodes[link.ends[side].0].shared,
            };
            let settings = VethSettings {
                mtu: self.spec.mtu,
                gso_max_size: Some(shaping::SEGMENTED),
                gso_max_segs: None,
                tx_queue_len: None,
            };
            requests[link.ends[0].0].push(link::add_veth([end(0), end(1)], &settings));
        }
        requests
    }

    /// Interfaces of shared nodes take packets whose source is an address of this same namespace, and
    /// are left alone by IPv6. To be called in that namespace.
    fn set_shared_parameters(&self) -> Result<(), FabricError> {
        for (link, (node, name)) in self.ends() {
            if !self.spec.nodes[*node].shared {
                continue;
            }
            for (parameter, value) in [("accept_local", "1"), ("rp_filter", "0"), ("send_redirects", "0")] {
                let parameter = format!("ipv4/conf/{name}/{parameter}");
                set_parameter(&parameter, value).map_err(|source| FabricError::Parameter {
                    node: self.spec.links[link].name.clone(),
                    parameter,
                    source,
                })?;
            }
            // Not there where IPv6 is not built in.
            let _ = set_parameter(&format!("ipv6/conf/{name}/disable_ipv6"), "1");
        }
        Ok(())
    }

    /// Both ends of every link.
    fn ends(&self) -> impl Iterator<Item = (usize, &(usize, String))> {
        let links = self.spec.links.iter().enumerate();
        links.flat_map(|(number, link)| link.ends.iter().map(move |end| (number, end)))
    }

    /// Shapers go on while the port is down: replacing the discipline of a live port makes the kernel
    /// wait for a grace period.
    fn port_requests(&self, impaired: bool) -> Vec<Vec<Request>> {
        let mut requests = self.per_node();
        for (number, (link, indices)) in self.spec.links.iter().zip(&self.ports).enumerate() {
            for (side, ((node, name), &index)) in link.ends.iter().zip(indices).enumerate() {
                let other = self.hardware_address(number, 1 - side);
                let optical = self.spec.nodes[*node].role == Role::Optical;
                let requests = &mut requests[*node];
                requests.extend(self.shaping_requests(link, index, impaired, optical));
                if optical {
                    // Down until light comes.
                    requests.push(redirect::add_ingress(index));
                    continue;
                }
                requests.extend(
                    self.shared_address(*node, number)
                        .map(|address| route::add_address(address, index)),
                );
                requests.push(link::set_up(index, name, true));
                requests.push(route::add_neighbour(index, other));
            }
        }
        requests
    }

    /// The address of a shared node's interface.
    fn shared_address(&self, node: usize, link: usize) -> Option<Ipv4Addr> {
        let own = &self.spec.nodes[node];
        let mut ends = self.ends().filter(|(_, (n, _))| *n == node);
        let position = ends.position(|(number, _)| number == link)?;
        own.addresses.get(position).copied().filter(|_| own.shared)
    }

    /// An optical switch has no rate of its own: its ports only delay, lose and count.
    fn shaping_requests(&self, link: &LinkSpec, index: u32, impaired: bool, optical: bool) -> Vec<Request> {
        let mtu = self.spec.mtu;
        let impaired = impaired && (!link.delay.is_zero() || link.loss > 0.0);
        let mut requests = match link.rate_bps {
            // A netem at the root counts as well.
            Some(_) if optical && impaired => Vec::new(),
            Some(_) if optical => vec![qdisc::add_fifo(index, shaping::QUEUE)],
            Some(rate) => Shaper::for_link(rate, mtu).requests(index),
            None => Vec::new(),
        };
        if impaired {
            let impairment = qdisc::Impairment {
                delay: link.delay,
                loss: link.loss,
                packets: shaping::packets_in_flight(link.rate_bps, mtu, link.delay),
            };
            let shaped = link.rate_bps.is_some() && !optical;
            requests.push(qdisc::add_impairment(index, shaped, &impairment));
        }
        requests
    }

    fn steer(&mut self) {
        let shaped = self.spec.links.iter().any(|link| link.rate_bps.is_some());
        if !shaped || thread::available_parallelism().is_ok_and(|count| count.get() == 1) {
            return;
        }
        let set_by_default = Path::new("/proc/sys/net").join(steering::DEFAULT_MASK).exists();
        if let (Err(e), false) = (self.steer_ports(), set_by_default) {
            let caution = format!("packets of a flow may overtake each other: no receive steering: {e}");
            self.cautions.push(caution);
        }
    }

    /// The kernel activates a port's queue shortly after its link is up; what is sent before is lost,
    /// and a lost connection request costs a second.
    fn wait_ready(&self) -> Result<(), FabricError> {
        let start = Instant::now();
        for (number, node) in self.nodes.iter().enumerate() {
            while let Some(link) = self.unready(number, node)? {
                if start.elapsed() > READY_TIMEOUT {
                    return Err(FabricError::NotReady(self.spec.links[link].name.clone()));
                }
                thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }

    /// A link of this node that is not ready; those at optical switches wait for light.
    fn unready(&self, number: usize, node: &Node) -> Result<Option<usize>, FabricError> {
        let failed = |source: NetlinkError| FabricError::Netlink {
            node: self.spec.nodes[number].name.clone(),
            source,
        };
        let links = node.netlink().links().map_err(failed)?;
        let ready: HashMap<u32, bool> = links.into_iter().map(|l| (l.index, l.operational)).collect();
        let ends = self.spec.links.iter().zip(&self.ports).enumerate();
        let mut ends = ends.filter(|(link, _)| !self.is_optical(*link));
        Ok(ends.find_map(|(link, (spec, ports))| {
            let mut here = spec
                .ends
                .iter()
                .zip(ports)
                .filter(|((node, _), _)| *node == number);
            here.any(|(_, index)| ready.get(index) != Some(&true))
                .then_some(link)
        }))
    }
}
