//! Fabrics on the real kernel: that they carry traffic where and as fast as they should, are counted
//! and watched right, and leave nothing. Needs root; each test says so and passes where it is missing.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use common::{Lab, is_root, names, run_id, transfer};
use genie_emu::fabric::watch::{Outage, OutageKind};
use genie_emu::journal::Journal;
use genie_emu::netlink::{Netlink, link};
use genie_emu::shaping;
use genie_emu::spec::{FabricSpec, LinkSpec, NodeSpec, Role, RouteSpec};
use genie_emu::star::star;
use genie_emu::{Fabric, calibrate, capability, enter};

const GIGABIT: u64 = 1_000_000_000;
const MIB: usize = 1 << 20;

#[test]
fn a_star_counts_payload_and_headers_on_every_link() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&star(&run_id(), 4, Some(GIGABIT), 1500));
    assert_eq!(lab.fabric.cautions(), [""; 0]);
    let start = Instant::now();
    let algorithms = transfer(&lab.fabric, 1, 2, 8 * MIB);
    // 8 MiB and 5,793 headers of 66 B are 8,770,946 B: at 1 Gbit/s not less than 70 ms.
    assert!(
        start.elapsed() > Duration::from_millis(69),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(algorithms, ["cubic", "cubic"]);
    let counts = lab.fabric.counters().unwrap();
    let frames = shaping::frame_bytes(1500, 8 * MIB as u64) as f64;
    for (link, direction) in [(1, 0), (2, 1)] {
        let count = counts[link].directions[direction];
        assert!(counts[link].exact);
        assert_eq!(count.drops, 0);
        let excess = count.bytes as f64 / frames - 1.0;
        assert!(
            (0.0..0.01).contains(&excess),
            "link {link}: {count:?} is {excess} more than the frames"
        );
    }
    for (link, direction) in [(1, 1), (2, 0)] {
        let acknowledgements = counts[link].directions[direction].bytes;
        assert!(acknowledgements > 0 && (acknowledgements as f64) < 0.06 * frames);
    }
    for link in [0, 3] {
        assert!(
            counts[link].directions.iter().all(|count| count.bytes == 0),
            "{:?}",
            counts[link]
        );
    }
    lab.down();
}

#[test]
fn unshaped_links_are_counted_by_their_interfaces() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&star(&run_id(), 2, None, 9000));
    transfer(&lab.fabric, 0, 1, 8 * MIB);
    let counts = lab.fabric.counters().unwrap();
    assert!(!counts[0].exact);
    let bytes = counts[0].directions[0].bytes as f64;
    // Some headers are not counted, all payload is.
    assert!((8.0 * MIB as f64..8.5 * MIB as f64).contains(&bytes), "{bytes}");
    lab.down();
}

fn host(name: String, address: Ipv4Addr, forwards: bool, routes: Vec<RouteSpec>) -> NodeSpec {
    NodeSpec {
        name,
        shared: false,
        addresses: vec![address],
        forwards,
        routes,
        role: Role::Ordinary,
    }
}

fn link_between(name: String, ends: [(usize, String); 2]) -> LinkSpec {
    LinkSpec {
        name,
        ends,
        rate_bps: Some(GIGABIT),
        delay: Duration::ZERO,
        loss: 0.0,
    }
}

/// Hosts 0 and 1 on leaf 4, 2 and 3 on leaf 5; spines 6 and 7.
fn leaf_spine() -> FabricSpec {
    let address = |host: usize| Ipv4Addr::new(10, 1, 0, host as u8 + 1);
    let route = |host, interfaces: &[&str]| RouteSpec {
        to: Some(address(host)),
        interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
    };
    let default = || {
        vec![RouteSpec {
            to: None,
            interfaces: vec!["eth0".into()],
        }]
    };
    let mut nodes: Vec<NodeSpec> = (0..4)
        .map(|number| host(format!("h{number}"), address(number), false, default()))
        .collect();
    let switch = |name: &str, routes| NodeSpec {
        name: name.into(),
        shared: false,
        addresses: vec![],
        forwards: true,
        routes,
        role: Role::Ordinary,
    };
    let up = ["up0", "up1"];
    nodes.push(switch(
        "leaf0",
        vec![route(0, &["p0"]), route(1, &["p1"]), route(2, &up), route(3, &up)],
    ));
    nodes.push(switch(
        "leaf1",
        vec![route(2, &["p0"]), route(3, &["p1"]), route(0, &up), route(1, &up)],
    ));
    for spine in ["spine0", "spine1"] {
        let down = |host| route(host, if host < 2 { &["d0"] } else { &["d1"] });
        nodes.push(switch(spine, (0..4).map(down).collect()));
    }
    let mut links: Vec<LinkSpec> = (0..4)
        .map(|number| {
            let port = format!("p{}", number % 2);
            link_between(
                format!("h{number}"),
                [(number, "eth0".into()), (4 + number / 2, port)],
            )
        })
        .collect();
    for leaf in 0..2 {
        for spine in 0..2 {
            let ends = [(4 + leaf, format!("up{spine}")), (6 + spine, format!("d{leaf}"))];
            links.push(link_between(format!("leaf{leaf}-spine{spine}"), ends));
        }
    }
    FabricSpec {
        run: run_id(),
        nodes,
        links,
        mtu: 1500,
        congestion_control: "cubic".into(),
    }
}

#[test]
fn flows_spread_over_both_spines() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&leaf_spine());
    for flow in 0..32 {
        transfer(&lab.fabric, flow % 2, 2 + flow / 2 % 2, 256 << 10);
    }
    let counts = lab.fabric.counters().unwrap();
    let carried = |link: usize, side: usize| counts[link].directions[side].bytes as f64;
    let all = shaping::frame_bytes(1500, 32 * (256 << 10)) as f64;
    // Of 32 fair coin flips at least 5 fall on each side with a probability of 0.9999.
    for spine in 0..2 {
        assert!(
            carried(4 + spine, 0) > 5.0 / 32.0 * all,
            "spine {spine} got {}",
            carried(4 + spine, 0) / all
        );
        // What goes up to a spine comes down from it.
        let lost = (carried(4 + spine, 0) - carried(6 + spine, 1)).abs();
        assert!(lost < 0.001 * all, "{lost}");
    }
    let total = carried(4, 0) + carried(5, 0);
    assert!((total / all - 1.0).abs() < 0.02, "{}", total / all);
    lab.down();
}

/// 3 x 3 hosts that forward for each other, first along x, then along y.
fn torus() -> FabricSpec {
    let address = |host: usize| Ipv4Addr::new(10, 2, 0, host as u8 + 1);
    let step = |from: usize, to: usize| match (to + 3 - from) % 3 {
        1 => "+",
        _ => "-",
    };
    let route = |from: usize, to: usize| {
        let (x, y) = ((from % 3, to % 3), (from / 3, to / 3));
        let port = if x.0 != x.1 {
            format!("x{}", step(x.0, x.1))
        } else {
            format!("y{}", step(y.0, y.1))
        };
        RouteSpec {
            to: Some(address(to)),
            interfaces: vec![port],
        }
    };
    let routes = |from: usize| {
        (0..9)
            .filter(|&to| to != from)
            .map(|to| route(from, to))
            .collect()
    };
    let nodes = (0..9)
        .map(|n| host(format!("n{n}"), address(n), true, routes(n)))
        .collect();
    let links = (0..9).flat_map(|n| {
        let (right, below) = (n / 3 * 3 + (n + 1) % 3, (n + 3) % 9);
        [
            link_between(format!("x{n}"), [(n, "x+".into()), (right, "x-".into())]),
            link_between(format!("y{n}"), [(n, "y+".into()), (below, "y-".into())]),
        ]
    });
    FabricSpec {
        run: run_id(),
        nodes,
        links: links.collect(),
        mtu: 1500,
        congestion_control: "cubic".into(),
    }
}

#[test]
fn hosts_of_a_torus_forward_for_each_other() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&torus());
    // From (0, 0) right to (1, 0), then down to (1, 1).
    transfer(&lab.fabric, 0, 4, MIB);
    let used: BTreeSet<String> = (lab
        .fabric
        .counters()
        .unwrap()
        .iter()
        .zip(&lab.fabric.spec().links))
    .filter(|(count, _)| count.directions[0].bytes > MIB as u64)
    .map(|(_, link)| link.name.clone())
    .collect();
    assert_eq!(used, BTreeSet::from(["x0".to_owned(), "y1".to_owned()]));
    for to in 1..9 {
        transfer(&lab.fabric, 0, to, 1000);
        transfer(&lab.fabric, to, (to + 4) % 9, 1000);
    }
    lab.down();
}

#[test]
fn two_fabrics_of_the_same_shape_do_not_meet() {
    if !is_root() {
        return;
    }
    let (first, second) = (
        star(&run_id(), 3, Some(GIGABIT), 1500),
        star(&run_id(), 3, None, 1500),
    );
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| Lab::up(&first));
        let two = scope.spawn(|| Lab::up(&second));
        (one.join().unwrap(), two.join().unwrap())
    });
    transfer(&one.fabric, 0, 1, MIB);
    assert_eq!(two.fabric.counters().unwrap()[0].directions[0].bytes, 0);
    one.down();
    transfer(&two.fabric, 0, 1, MIB);
    two.down();
}

#[test]
fn a_failure_half_way_is_undone() {
    if !is_root() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let mut spec = star(&run_id(), 8, Some(GIGABIT), 1500);
    let journal = Journal::create_in(state.path(), &spec.run).unwrap();
    // Routes come last.
    spec.congestion_control = "no-such-algorithm".into();
    let error = Fabric::up(&spec, &journal).unwrap_err().to_string();
    assert!(error.contains("add route"), "{error}");
    let prefix = format!("genie-{}-", spec.run);
    assert_eq!(names(&prefix), Vec::<String>::new());

    // A file of somebody else where a name should be.
    let foreign = format!("/run/netns/{prefix}h5");
    std::fs::create_dir_all("/run/netns").unwrap();
    std::fs::write(&foreign, "precious").unwrap();
    spec.congestion_control = "cubic".into();
    let error = Fabric::up(&spec, &journal).unwrap_err().to_string();
    assert!(error.contains("h5") && error.contains("help:"), "{error}");
    assert_eq!(names(&prefix), [format!("{prefix}h5")]);
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "precious");
    std::fs::remove_file(foreign).unwrap();
}

/// Does something to an interface as an outsider would.
fn tamper(
    fabric: &Fabric,
    node: usize,
    interface: &str,
    change: fn(u32, &str) -> genie_emu::netlink::Request,
) {
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            enter(fabric.namespace(node)).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let links = netlink.links().unwrap();
            let index = links.iter().find(|link| link.name == interface).unwrap().index;
            netlink.apply(&[change(index, interface)]).unwrap();
        });
        done.join().unwrap();
    });
}

#[test]
fn lost_links_are_reported_at_once_and_tear_down_is_not() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&star(&run_id(), 4, Some(GIGABIT), 1500));
    let mut watch = lab.fabric.watch().unwrap();
    assert_eq!(watch.wait(Duration::from_millis(50)).unwrap(), None);

    let start = Instant::now();
    tamper(&lab.fabric, 4, "p2", link::delete);
    let outage = watch.wait(Duration::from_secs(2)).unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        outage,
        Some(Outage {
            link: 2,
            name: "h2-sw".into(),
            kind: OutageKind::Deleted
        })
    );

    let down = |index, name: &str| link::set_up(index, name, false);
    let up = |index, name: &str| link::set_up(index, name, true);
    let outage = Some(Outage {
        link: 1,
        name: "h1-sw".into(),
        kind: OutageKind::SetDown,
    });
    for _ in 0..2 {
        tamper(&lab.fabric, 1, "eth0", down);
        assert_eq!(watch.wait(Duration::from_secs(2)).unwrap(), outage);
        tamper(&lab.fabric, 1, "eth0", up);
        assert_eq!(
            watch.wait(Duration::from_millis(50)).unwrap(),
            None,
            "each is reported once"
        );
    }
    // A watch that begins later hears of what is lost already.
    let mut later = lab.fabric.watch().unwrap();
    assert_eq!(
        later
            .wait(Duration::from_secs(2))
            .unwrap()
            .map(|outage| outage.link),
        Some(2)
    );

    let waiter = thread::spawn(move || (watch.wait(Duration::from_secs(20)), watch.closed()));
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    lab.down();
    let (last, closed) = waiter.join().unwrap();
    assert_eq!((last.unwrap(), closed), (None, true));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn calibration_finds_the_nominal_rate() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&star(&run_id(), 2, Some(GIGABIT / 5), 1500));
    let start = Instant::now();
    let found = calibrate::measure(&lab.fabric, 0, 1).unwrap();
    println!("{found:?} in {:?}", start.elapsed());
    assert_eq!((found.hops, found.nominal_bps), (2, Some(GIGABIT / 5)));
    // Never faster than the shaper; slower only as far as other tests take the processors.
    let ratio = found.rate_ratio().unwrap();
    assert!((0.7..1.03).contains(&ratio), "{ratio}");
    assert!((2700.0..2900.0).contains(&found.wire_us.unwrap()));
    assert!(found.time_ratio().unwrap() > 0.8);
    assert!(
        calibrate::measure(&lab.fabric, 0, 2).is_err(),
        "a switch has no address"
    );
    lab.down();
}

#[test]
fn sixty_four_hosts_come_and_go() {
    if !is_root() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let spec = star(&run_id(), 64, Some(GIGABIT), 1500);
    let journal = Journal::create_in(state.path(), &spec.run).unwrap();
    let start = Instant::now();
    let mut fabric = Fabric::up(&spec, &journal).unwrap();
    let up = start.elapsed();
    assert_eq!(names(&format!("genie-{}-", spec.run)).len(), 65);
    transfer(&fabric, 0, 63, MIB);
    let start = Instant::now();
    fabric.counters().unwrap();
    let counters = start.elapsed();
    let start = Instant::now();
    assert!(fabric.down().is_empty());
    let down = start.elapsed();
    // The kernel ends namespaces after their names are gone; making one waits for that.
    let start = Instant::now();
    thread::spawn(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET))
        .join()
        .unwrap()
        .unwrap();
    println!(
        "64 hosts: up {up:?}, counters {counters:?}, down {down:?}, kernel {:?}",
        start.elapsed()
    );
    assert!(up < Duration::from_secs(15) && down < Duration::from_secs(15));
    journal.finish().unwrap();
}

#[test]
fn delays_are_emulated_or_said_to_be_missing() {
    if !is_root() {
        return;
    }
    let mut spec = star(&run_id(), 2, Some(GIGABIT), 1500);
    spec.links[0].delay = Duration::from_millis(5);
    let lab = Lab::up(&spec);
    let found = calibrate::measure(&lab.fabric, 0, 1).unwrap();
    if capability::probe().netem {
        assert!(found.one_way_us.unwrap() > 5000.0, "{found:?}");
        assert_eq!(lab.fabric.cautions(), [""; 0]);
    } else {
        assert!(
            lab.fabric.cautions()[0].contains("no netem"),
            "{:?}",
            lab.fabric.cautions()
        );
    }
    lab.down();
}

/// What cannot be is refused before anything is changed: the old routes still lead where they led.
#[test]
fn routes_by_interfaces_that_are_not_there_are_refused_whole() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&star(&run_id(), 2, None, 1500));
    let standing: Vec<Vec<RouteSpec>> = lab
        .fabric
        .spec()
        .nodes
        .iter()
        .map(|node| node.routes.clone())
        .collect();
    let mut wrong = standing.clone();
    wrong[0].clear();
    wrong[2][1].interfaces = vec!["p9".into()];
    let refused = lab.fabric.reroute(&wrong).unwrap_err().to_string();
    assert!(refused.contains("sw has no interface \"p9\""), "{refused}");
    assert_eq!(lab.fabric.hops(&[(0, 1)]).unwrap()[0].hops, Some(2));
    // And what can be is done from there.
    let mut cut = standing.clone();
    cut[2].remove(1);
    lab.fabric.reroute(&cut).unwrap();
    assert_eq!(lab.fabric.hops(&[(0, 1)]).unwrap()[0].hops, None);
    lab.fabric.reroute(&standing).unwrap();
    assert_eq!(lab.fabric.hops(&[(0, 1)]).unwrap()[0].hops, Some(2));
    lab.down();
}
