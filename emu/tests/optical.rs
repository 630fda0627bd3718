//! An optical switch in a fabric: the links follow the light of an imitation that a real driver programs.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // clippy takes helpers of integration tests for code

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use common::{Lab, is_root, run_id};
use genie_drivers::ocs::{self, Change, Circuit, Dialect, Endpoint, Size, Switch};
use genie_emu::Fabric;
use genie_emu::fabric::crossbar::Way;
use genie_emu::netlink::{Netlink, link};
use genie_emu::ocs::{Lamp, Options, Settle, Trouble};
use genie_emu::spec::{FabricSpec, LinkSpec, NodeSpec, Role, RouteSpec};

const SETTLE: Duration = Duration::from_millis(30);
const OCS: usize = 3;

/// Hosts 0, 1 and 2, each with one link at the optical switch, which is node 3; link n is host n's.
fn spec(run: &str) -> FabricSpec {
    let host = |number: usize| NodeSpec {
        name: format!("h{number}"),
        shared: false,
        addresses: vec![address(number)],
        forwards: false,
        routes: vec![RouteSpec {
            to: None,
            interfaces: vec!["eth0".into()],
        }],
        role: Role::Ordinary,
    };
    let ocs = NodeSpec {
        name: "ocs".into(),
        shared: false,
        addresses: Vec::new(),
        forwards: false,
        routes: Vec::new(),
        role: Role::Optical,
    };
    let link = |number: usize| LinkSpec {
        name: format!("h{number}-ocs"),
        ends: [(number, "eth0".into()), (OCS, format!("p{}", number + 1))],
        rate_bps: Some(1_000_000_000),
        delay: Duration::ZERO,
        loss: 0.0,
    };
    FabricSpec {
        run: run.into(),
        nodes: (0..3).map(host).chain([ocs]).collect(),
        links: (0..3).map(link).collect(),
        mtu: 1500,
        congestion_control: "cubic".into(),
    }
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host as u8 + 1)
}

fn lamp(fabric: &Fabric, dialect: Dialect, troubles: &[&str]) -> (Lamp, Box<dyn Switch>) {
    let mut trouble = Trouble::default();
    troubles.iter().for_each(|text| trouble.add(text).unwrap());
    let options = Options {
        dialect,
        size: Size { a: 4, b: 4 },
        settle: Settle {
            mean: SETTLE,
            jitter: Duration::ZERO,
        },
        seed: 1,
        trouble,
        listen: "127.0.0.1:0".parse().unwrap(),
    };
    let wiring = BTreeMap::from([(1, 0), (2, 1), (3, 2)]);
    let lamp = Lamp::start(options, fabric.crossbar(OCS).unwrap(), wiring).unwrap();
    let endpoint = Endpoint::at(&format!("{dialect}://{}", lamp.address())).unwrap();
    (lamp, ocs::open(endpoint).unwrap())
}

fn duplex(a: u16, b: u16) -> [Circuit; 2] {
    [Circuit::new(a, b), Circuit::new(b, a)]
}

fn apply(switch: &mut dyn Switch, remove: &[Circuit], add: &[Circuit]) {
    let set = |list: &[Circuit]| -> BTreeSet<Circuit> { list.iter().copied().collect() };
    let change = Change {
        remove: set(remove),
        add: set(add),
    };
    ocs::apply::apply(switch, &change, 20 * SETTLE).unwrap();
}

/// Links that are up, as hosts see their carrier.
fn up(fabric: &Fabric) -> Vec<usize> {
    let down = fabric.without_carrier(&[0, 1, 2]).unwrap();
    (0..3).filter(|link| !down.contains(link)).collect()
}

/// The carrier follows within milliseconds; a loaded machine may take more.
fn soon_up(fabric: &Fabric, wanted: &[usize]) {
    let end = Instant::now() + Duration::from_secs(2);
    while up(fabric) != wanted && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(up(fabric), wanted);
}

/// No link comes up, soon or later, and nothing gets through.
fn stays_dark(fabric: &Fabric, why: &str) {
    soon_up(fabric, &[]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(up(fabric), [0; 0], "{why}");
    let found = fabric.hops(&[(0, 1), (1, 0), (0, 2)]).unwrap();
    assert!(found.iter().all(|pair| pair.hops.is_none()), "{why}: {found:?}");
}

#[test]
fn links_follow_the_light_and_nothing_else() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&spec(&run_id()));
    let fabric = &lab.fabric;
    assert_eq!(up(fabric), [0; 0], "dark before any circuit");
    let (lamp, mut switch) = lamp(fabric, Dialect::Scpi, &["no-light=3A"]);
    apply(&mut *switch, &[], &duplex(1, 2));
    soon_up(fabric, &[0, 1]);
    let flashes = lamp.flashes();
    assert!(
        flashes.iter().all(|flash| flash.lit) && flashes.len() == 2,
        "{flashes:?}"
    );

    // Moving it darkens what is left behind.
    apply(&mut *switch, &duplex(1, 2), &[]);
    stays_dark(fabric, "nothing joined");
    // One way only is no link, and neither is a circuit into which no light comes.
    apply(&mut *switch, &[], &[Circuit::new(1, 2)]);
    stays_dark(fabric, "light one way");
    apply(&mut *switch, &[Circuit::new(1, 2)], &duplex(1, 3));
    stays_dark(fabric, "no light enters 3A");
    apply(&mut *switch, &duplex(1, 3), &duplex(2, 1));
    soon_up(fabric, &[0, 1]);
    assert_eq!(lamp.failure(), None);
    drop(lamp);
    lab.down();
}

#[test]
fn frames_go_where_circuits_lead_in_every_way_that_the_kernel_has() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&spec(&run_id()));
    let fabric = &lab.fabric;
    let mut watch = fabric.watch().unwrap();
    let mut ways = 0;
    for way in Way::ALL {
        let Ok(mut crossbar) = fabric.crossbar_by(OCS, way) else {
            eprintln!("this kernel cannot {way:?}");
            continue;
        };
        ways += 1;
        for (parted, joined, from, to, other) in [
            (vec![], (0, 1), 0, 1, 2),
            (vec![0], (2, 0), 0, 2, 1),
            (vec![0], (1, 2), 2, 1, 0),
        ] {
            crossbar.change(&parted, &[joined]).unwrap();
            fabric
                .wait_up(&[joined.0, joined.1], Duration::from_secs(2))
                .unwrap();
            let found = fabric.hops(&[(from, to), (from, other)]).unwrap();
            assert_eq!(found[0].hops, Some(1), "{way:?}: neighbours by light");
            assert_eq!(found[1].hops, None, "{way:?}: nobody else hears it");
        }
        crossbar.change(&[1], &[]).unwrap();
        assert_eq!(fabric.hops(&[(2, 1)]).unwrap()[0].hops, None, "{way:?}: dark");
        let outage = watch.wait(Duration::from_millis(200)).unwrap();
        assert!(
            outage.is_none(),
            "{way:?}: nobody has taken a link away: {outage:?}"
        );
    }
    assert!(ways > 0, "no way at all");
    lab.down();
}

/// What the kernel refuses is not taken for done: a port that is not the crossbar's any more cannot be lit.
#[test]
fn what_links_could_not_follow_is_said_and_nothing_is_logged() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&spec(&run_id()));
    let fabric = &lab.fabric;
    let (lamp, mut switch) = lamp(fabric, Dialect::Scpi, &[]);
    std::thread::scope(|scope| {
        let deleted = scope.spawn(|| {
            genie_emu::enter(fabric.namespace(1)).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let port = netlink
                .links()
                .unwrap()
                .into_iter()
                .find(|link| link.name == "eth0");
            netlink
                .apply(&[link::delete(port.unwrap().index, "eth0")])
                .unwrap();
        });
        deleted.join().unwrap();
    });
    apply(&mut *switch, &[], &duplex(1, 2));
    let end = Instant::now() + Duration::from_secs(2);
    while lamp.failure().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        lamp.failure().is_some_and(|why| why.contains("in ocs")),
        "{:?}",
        lamp.failure()
    );
    assert_eq!(lamp.flashes(), []);
    drop(lamp);
    lab.down();
}

#[test]
fn traffic_is_dark_for_the_settle_time_and_little_more() {
    if !is_root() {
        return;
    }
    let lab = Lab::up(&spec(&run_id()));
    let fabric = &lab.fabric;
    for dialect in Dialect::ALL {
        let (_lamp, mut switch) = lamp(fabric, dialect, &[]);
        apply(&mut *switch, &[], &duplex(1, 2));
        fabric.wait_up(&[0, 1], Duration::from_secs(2)).unwrap();
        let mut dark = Vec::new();
        for (from, to) in [
            ((1, 2), (1, 3)),
            ((1, 3), (1, 2)),
            ((1, 2), (1, 3)),
            ((1, 3), (1, 2)),
            ((1, 2), (1, 3)),
        ] {
            let probe = fabric
                .probe(&[(0, 0), (1, 0), (2, 0)], Duration::from_micros(500))
                .unwrap();
            std::thread::sleep(Duration::from_millis(20));
            apply(&mut *switch, &duplex(from.0, from.1), &duplex(to.0, to.1));
            fabric
                .wait_up(&[0, usize::from(to.1) - 1], Duration::from_secs(2))
                .unwrap();
            std::thread::sleep(Duration::from_millis(20));
            dark.push(
                probe
                    .finish()
                    .silence(0)
                    .expect("host 0 hears one, then the other"),
            );
        }
        assert!(
            dark.iter().all(|dark| *dark >= SETTLE),
            "{dialect}: shorter than mirrors take: {dark:?}"
        );
        let best = dark.iter().min().unwrap();
        assert!(
            *best <= SETTLE + Duration::from_millis(20),
            "{dialect}: settle time {SETTLE:?}, dark {dark:?}"
        );
        apply(&mut *switch, &duplex(1, 3), &[]);
    }
    lab.down();
}
