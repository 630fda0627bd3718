//! One suite for all dialects of optical switches: the drivers against the imitations over real sockets, with
//! every trouble that these can make. What the switch truly holds is read past the dialect.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genie_drivers::ocs::{
    self, Change, Circuit, Dialect, Endpoint, Mode, Port, PortState, Size, Startup, Switch,
};
use genie_emu::ocs::{Options, Server, Settle, Trouble};

const SIZE: Size = Size { a: 16, b: 16 };
const SETTLE: Duration = Duration::from_millis(25);

fn options(dialect: Dialect, troubles: &[&str]) -> Options {
    let mut trouble = Trouble::default();
    troubles.iter().for_each(|text| trouble.add(text).unwrap());
    Options {
        dialect,
        size: SIZE,
        settle: Settle {
            mean: SETTLE,
            jitter: Duration::from_millis(5),
        },
        seed: 3,
        trouble,
        listen: "127.0.0.1:0".parse().unwrap(),
    }
}

fn serve(dialect: Dialect, troubles: &[&str]) -> Server {
    Server::start(options(dialect, troubles), Box::new(|_| {})).unwrap()
}

fn endpoint(dialect: Dialect, server: &Server) -> Endpoint {
    let mut endpoint = Endpoint::at(&format!("{dialect}://{}", server.address())).unwrap();
    endpoint.answer = Duration::from_millis(250);
    endpoint.settle = Duration::from_millis(250);
    endpoint
}

/// A session; with troubles the first attempts may fail.
fn open(dialect: Dialect, server: &Server) -> Box<dyn Switch> {
    let endpoint = endpoint(dialect, server);
    for _ in 0..20 {
        if let Ok(switch) = ocs::open(endpoint.clone()) {
            return switch;
        }
    }
    panic!("{dialect}: {}", ocs::open(endpoint).err().unwrap());
}

fn set(text: &str) -> BTreeSet<Circuit> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

fn change(remove: &str, add: &str) -> Change {
    Change {
        remove: set(remove),
        add: set(add),
    }
}

/// Somebody else's circuits, made before the trouble can be noticed: they may need several attempts.
const FOREIGN: &str = "10A-10B 11A-12B 12A-11B";

fn with_foreign(dialect: Dialect, troubles: &[&str]) -> (Server, Box<dyn Switch>) {
    let server = serve(dialect, troubles);
    let mut switch = open(dialect, &server);
    for _ in 0..20 {
        if ocs::apply::apply(&mut *switch, &change("", FOREIGN), 4 * SETTLE).is_ok() {
            break;
        }
    }
    assert_eq!(server.circuits(), set(FOREIGN), "{dialect} {troubles:?}");
    (server, switch)
}

fn apply(switch: &mut dyn Switch, change: &Change) -> Result<ocs::Applied, Box<ocs::ApplyError>> {
    ocs::apply::apply(switch, change, 10 * SETTLE)
}

#[test]
fn a_switch_says_what_it_is() {
    for dialect in Dialect::ALL {
        let server = serve(dialect, &[]);
        let mut switch = open(dialect, &server);
        let identity = switch.identify().unwrap();
        assert!(
            !identity.vendor.is_empty() && !identity.serial.is_empty(),
            "{dialect}: {identity:?}"
        );
        assert_eq!(switch.size().unwrap(), SIZE, "{dialect}");
        assert_eq!(switch.circuits().unwrap(), BTreeSet::new(), "{dialect}");
        assert_eq!(switch.ports().unwrap().len(), 32, "{dialect}");
        assert_eq!(switch.errors().unwrap(), [""; 0], "{dialect}");
    }
}

#[test]
fn circuits_are_made_moved_and_removed_and_others_stay() {
    for dialect in Dialect::ALL {
        let (server, mut switch) = with_foreign(dialect, &[]);
        let begin = Instant::now();
        let applied = apply(&mut *switch, &change("", "1A-2B 2A-1B 3A-3B")).unwrap();
        // Mirrors take 20 ms at least; nothing may be called settled before.
        assert!(
            begin.elapsed() >= Duration::from_millis(20),
            "{dialect}: {applied:?}"
        );
        assert!(
            applied.times.command_s + applied.times.settle_s >= 0.015,
            "{dialect}: {applied:?}"
        );
        assert_eq!(
            (applied.retries, applied.notes.len()),
            (0, 0),
            "{dialect}: {applied:?}"
        );
        let now = switch.circuits().unwrap();
        assert_eq!(now, server.circuits(), "{dialect}");

        let wanted = set("1A-1B 2A-2B");
        let plan = Change::to(&wanted, &now, Mode::Update, SIZE, None).unwrap();
        apply(&mut *switch, &plan).unwrap();
        let mut expected = set(FOREIGN);
        expected.extend(set("1A-1B 2A-2B 3A-3B"));
        assert_eq!(server.circuits(), expected, "{dialect}");

        apply(&mut *switch, &change("1A-1B 2A-2B 3A-3B", "")).unwrap();
        assert_eq!(server.circuits(), set(FOREIGN), "{dialect}");
    }
}

/// When the light of a circuit went and when another's came, as its observer saw it.
fn dark_time(dialect: Dialect, settle: Duration) -> Duration {
    let (seen, events) = std::sync::mpsc::channel();
    let mut options = options(dialect, &[]);
    options.settle = Settle {
        mean: settle,
        jitter: Duration::ZERO,
    };
    let observer = move |changes: &[(Circuit, bool)]| {
        let at = Instant::now();
        changes
            .iter()
            .for_each(|change| seen.send((*change, at)).unwrap());
    };
    let server = Server::start(options, Box::new(observer)).unwrap();
    let mut switch = open(dialect, &server);
    apply(&mut *switch, &change("", "1A-1B")).unwrap();
    apply(&mut *switch, &change("1A-1B", "1A-2B")).unwrap();
    let wanted = [("1A-1B", true), ("1A-1B", false), ("1A-2B", true)];
    let times = wanted.map(|(circuit, lit)| {
        let (change, at) = events.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(change, (circuit.parse().unwrap(), lit), "{dialect}");
        at
    });
    times[2] - times[1]
}

#[test]
fn a_moved_circuit_is_dark_for_the_settle_time_and_at_most_20_ms() {
    let settle = Duration::from_millis(50);
    for dialect in Dialect::ALL {
        // What else runs on the machine may delay one attempt.
        let darks: Vec<Duration> = (0..5).map(|_| dark_time(dialect, settle)).collect();
        assert!(
            darks.iter().all(|dark| *dark >= settle),
            "{dialect}: light before mirrors settle: {darks:?}"
        );
        let limit = settle + Duration::from_millis(20);
        assert!(darks.iter().any(|dark| *dark <= limit), "{dialect}: {darks:?}");
    }
}

/// A session whose client takes no answers is stuck in one for seconds; what follows the light goes at once.
#[test]
fn the_observer_goes_with_the_server_whatever_sessions_do() {
    let held = Arc::new(());
    let left = Arc::downgrade(&held);
    let observer = move |_: &[(Circuit, bool)]| drop(held.clone());
    let server = Server::start(options(Dialect::Scpi, &[]), Box::new(observer)).unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    client
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let questions = b"*IDN?\r\n".repeat(1000);
    while client.write_all(&questions).is_ok() {}
    assert!(left.upgrade().is_some());
    drop(server);
    assert!(left.upgrade().is_none(), "a session keeps it");
}

#[test]
fn troubles_that_can_be_overcome_are() {
    let troubles: &[&[&str]] = &[
        &["drop-reply=7"],
        &["lose-session=5"],
        &["lose-session=11", "drop-reply=13"],
        &["deny=2"],
        &["half-bulk=1"],
        &["half-bulk=2", "deny=3"],
        &["slow-reply=20ms"],
        &["garbage-banner"],
        &["garbage-banner", "lose-session=11"],
        &["no-light=1A"],
        &["stuck-port=16A"],
    ];
    std::thread::scope(|scope| {
        for dialect in Dialect::ALL {
            scope.spawn(move || {
                for troubles in troubles {
                    let (server, mut switch) = with_foreign(dialect, troubles);
                    let done = apply(&mut *switch, &change("", "1A-2B 2A-1B 3A-3B"));
                    let done = done.and_then(|_| apply(&mut *switch, &change("1A-2B 3A-3B", "1A-3B")));
                    done.unwrap_or_else(|e| panic!("{dialect} {troubles:?}: {e}\n{e:#?}"));
                    let mut expected = set(FOREIGN);
                    expected.extend(set("2A-1B 1A-3B"));
                    assert_eq!(server.circuits(), expected, "{dialect} {troubles:?}");
                }
            });
        }
    });
}

#[test]
fn what_cannot_be_done_leaves_everything_as_it_was() {
    std::thread::scope(|scope| {
        for dialect in Dialect::ALL {
            scope.spawn(move || {
                let (server, mut switch) = with_foreign(dialect, &["stuck-port=2A"]);
                apply(&mut *switch, &change("", "1A-1B")).unwrap();
                let before = server.circuits();
                let error = apply(&mut *switch, &change("1A-1B", "1A-5B 2A-1B")).unwrap_err();
                assert_eq!(server.circuits(), before, "{dialect}: {error}");
                assert!(
                    (error.lost.is_empty(), error.stray.is_empty(), error.unknown) == (true, true, false)
                );
                assert!(error.to_string().contains("2A-1B"), "{dialect}: {error}");
            });
        }
    });
}

#[test]
fn a_switch_that_refuses_everything_is_believed() {
    for dialect in Dialect::ALL {
        let server = serve(dialect, &["deny=1"]);
        let mut switch = open(dialect, &server);
        let error = apply(&mut *switch, &change("", "1A-1B")).unwrap_err();
        assert!(
            error.to_string().contains("everything is as it was"),
            "{dialect}: {error}"
        );
        assert!(server.circuits().is_empty(), "{dialect}");
    }
}

#[test]
fn a_circuit_made_meanwhile_by_somebody_else_is_not_touched() {
    for dialect in Dialect::ALL {
        let (server, mut switch) = with_foreign(dialect, &[]);
        // Planned when the port was free; it is not any more.
        let error = apply(&mut *switch, &change("", "10A-1B")).unwrap_err();
        assert!(error.to_string().contains("10A-10B"), "{dialect}: {error}");
        assert_eq!(server.circuits(), set(FOREIGN), "{dialect}");
    }
}

#[test]
fn shutters_labels_attenuation_and_start_up_mode() {
    for dialect in Dialect::ALL {
        let (_server, mut switch) = with_foreign(dialect, &["no-light=11A"]);
        let info = |switch: &mut dyn Switch, port: Port| {
            let ports = switch.ports().unwrap();
            ports.into_iter().find(|info| info.port == port).unwrap()
        };
        if dialect == Dialect::Tl1Calient {
            assert!(switch.block(&[Port::A(10)], true).is_err());
        } else {
            switch.block(&[Port::A(10), Port::B(3)], true).unwrap();
            assert_eq!(
                info(&mut *switch, Port::A(10)).state,
                Some(PortState::Blocked),
                "{dialect}"
            );
            assert_eq!(
                info(&mut *switch, Port::A(3)).state,
                Some(PortState::Enabled),
                "{dialect}"
            );
            switch.block(&[Port::A(10), Port::B(3)], false).unwrap();
            assert_eq!(
                info(&mut *switch, Port::B(3)).state,
                Some(PortState::Enabled),
                "{dialect}"
            );
        }
        if !matches!(dialect, Dialect::Sonic | Dialect::Gnmi) {
            let lit = info(&mut *switch, Port::B(10)).power_dbm.unwrap();
            let dark = info(&mut *switch, Port::B(12)).power_dbm.unwrap();
            assert!(lit > -10.0 && dark < -40.0, "{dialect}: {lit} {dark}");
            if switch.attenuate(Port::B(10), Some(6.0)).is_ok() {
                let weak = info(&mut *switch, Port::B(10)).power_dbm.unwrap();
                assert!(
                    (lit - weak - 6.0).abs() < 0.05,
                    "{dialect}: 6 dB less than {lit} is not {weak}"
                );
            }
        }
        if switch.label(Port::B(2), "leaf0/3").is_ok() {
            assert_eq!(
                info(&mut *switch, Port::B(2)).label.as_deref(),
                Some("leaf0/3"),
                "{dialect}"
            );
        }
        if switch.startup().is_ok() {
            switch.set_startup(Startup::Preserve).unwrap();
            assert_eq!(switch.startup().unwrap(), Startup::Preserve, "{dialect}");
        }
    }
}

#[test]
fn ports_are_leased_and_what_a_dead_holder_left_is_put_back() {
    for dialect in Dialect::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (server, mut switch) = with_foreign(dialect, &[]);
        let endpoint = endpoint(dialect, &server);
        let ports = |change: &Change| change.ports();
        let first = change("10A-10B", "10A-1B");
        let hour = Duration::from_secs(3600);
        let mut hold = ocs::Hold::take(folder.path(), &endpoint, &ports(&first), hour, "one").unwrap();
        hold.apply(&mut *switch, &first, 10 * SETTLE).unwrap().unwrap();
        let other = ocs::Hold::take(
            folder.path(),
            &endpoint,
            &ports(&change("", "1A-1B")),
            hour,
            "two",
        );
        assert!(
            matches!(other, Err(ocs::HoldError::Held { port: Port::B(1), .. })),
            "{other:?}"
        );
        assert!(
            hold.apply(&mut *switch, &change("", "2A-2B"), SETTLE).is_err(),
            "a port that is not held"
        );
        // As after kill -9: the file stays, nobody holds it.
        drop(hold);
        let left = ocs::Hold::take(folder.path(), &endpoint, &ports(&first), hour, "two");
        assert!(matches!(left, Err(ocs::HoldError::Left { .. })), "{left:?}");
        let reopen = |_: &str| {
            Ok((
                ocs::open(endpoint.clone()).map_err(|e| e.to_string())?,
                10 * SETTLE,
            ))
        };
        let restored = ocs::hold::restore_dead(folder.path(), reopen).unwrap();
        assert!(
            restored.len() == 1 && restored[0].result.is_ok(),
            "{dialect}: {restored:?}"
        );
        assert_eq!(server.circuits(), set(FOREIGN), "{dialect}");
        ocs::Hold::take(folder.path(), &endpoint, &ports(&first), hour, "two")
            .unwrap()
            .keep()
            .unwrap();
    }
}
