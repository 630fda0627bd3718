//! The checker against mutants of right placements, and what the port map forbids when parts fail.

use std::collections::{HashMap, VecDeque};

use genie::placement::checker::{Claim, Fault, Ledger};
use genie::placement::machine::Failures;
use genie::placement::policy::Kind;
use genie::placement::{Machine, Placement, Refusal, Shape, State};

fn machine(failures: &Failures) -> Machine {
    Machine::new([16; 3], 4, failures).expect("it is one")
}

fn place(machine: &Machine, kind: Kind, shape: &str) -> Result<(Shape, Placement), Refusal> {
    let shape: Shape = shape.parse().expect("a shape");
    let placement = kind.build(machine).place(&shape, &State::new(machine))?;
    Ok((shape, placement))
}

fn verdict(machine: &Machine, kind: Kind, shape: Shape, placement: &Placement) -> Result<(), Fault> {
    let mut ledger = Ledger::new(4, 64, machine.failed(), []);
    if kind.fixed() {
        ledger = ledger.standing(machine.grid);
    }
    ledger.admit(&Claim {
        shape,
        nodes: &placement.nodes,
        circuits: &placement.circuits,
        one_hop: true,
    })
}

const SHAPES: &[&str] = &[
    "64x1x1", "104x1x1", "256x1x1", "6x1x1", "2x1x1", "8x12x1", "5x7x3", "4x4x8T", "4x8x8T", "16x16x16",
    "4x4x4", "6x10x14",
];

#[test]
fn what_policies_place_is_right_and_every_mutant_of_it_wrong() {
    let machine = machine(&Failures::default());
    let mut seen = 0;
    for kind in [Kind::FirstFit, Kind::Folding, Kind::Reconfiguration, Kind::Rfold] {
        for shape in SHAPES {
            let Ok((shape, right)) = place(&machine, kind, shape) else {
                continue;
            };
            assert_eq!(verdict(&machine, kind, shape, &right), Ok(()), "{kind} {shape}");
            seen += 1;
            let mut twice = right.clone();
            twice.nodes[0] = twice.nodes[1];
            assert!(verdict(&machine, kind, shape, &twice).is_err(), "{kind} {shape}");
            let mut short = right.clone();
            short.nodes.pop();
            assert!(verdict(&machine, kind, shape, &short).is_err(), "{kind} {shape}");
            if let Some(circuit) = right.circuits.first() {
                let mut misaligned = right.clone();
                misaligned.circuits[0].switch = (circuit.switch + 1) % 48;
                assert!(
                    verdict(&machine, kind, shape, &misaligned).is_err(),
                    "{kind} {shape}"
                );
                let mut again = right.clone();
                again.circuits.push(*circuit);
                assert!(verdict(&machine, kind, shape, &again).is_err(), "{kind} {shape}");
            }
        }
    }
    assert!(seen > 30, "only {seen} were placed");
}

/// Whatever is done to a circuit, the torus that is rebuilt from the list is not the one that was asked for.
#[test]
fn no_circuit_can_be_missing_or_go_elsewhere() {
    let machine = machine(&Failures::default());
    let mut seen = 0;
    for kind in [Kind::FirstFit, Kind::Folding, Kind::Reconfiguration, Kind::Rfold] {
        for shape in [
            "104x1x1", "8x12x1", "6x10x14", "4x4x8T", "4x8x8T", "8x8x16T", "8x16x16T", "16x16x4",
        ] {
            let Ok((shape, right)) = place(&machine, kind, shape) else {
                continue;
            };
            seen += right.circuits.len().min(1);
            let verdict_of = |placement: &Placement| verdict(&machine, kind, shape, placement);
            for n in (0..right.circuits.len()).step_by(right.circuits.len() / 12 + 1) {
                let mut missing = right.clone();
                missing.circuits.remove(n);
                let missed = verdict_of(&missing);
                assert!(
                    matches!(missed, Err(Fault::Apart(..))),
                    "{kind} {shape} without {n}: {missed:?}"
                );
                for (switch, north, south) in [(1, 0, 0), (16, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)] {
                    let mut moved = right.clone();
                    let circuit = &mut moved.circuits[n];
                    circuit.switch = (circuit.switch + switch) % 48;
                    circuit.north = (circuit.north + north) % 64;
                    circuit.south = 64 + (circuit.south - 64 + south) % 64;
                    assert!(
                        verdict_of(&moved).is_err(),
                        "{kind} {shape}: {:?}",
                        moved.circuits[n]
                    );
                }
            }
            // Nodes of a row or a small box may change places and still be neighbours.
            let step = right.nodes.len() / 12 + 1;
            for n in (2..right.nodes.len()).step_by(step).filter(|_| shape.order() > 1) {
                let mut swapped = right.clone();
                swapped.nodes.swap(0, n);
                assert!(verdict_of(&swapped).is_err(), "{kind} {shape}: 0 and {n}");
            }
        }
    }
    assert!(seen > 10, "only {seen} had circuits");
}

/// Mean distance and diameter, walked over nothing but inner links of cubes and the circuits of a placement.
fn hops(machine: &Machine, placement: &Placement) -> (f64, u32) {
    let side = machine.side;
    let mut of: HashMap<u32, Vec<u32>> = placement.nodes.iter().map(|node| (*node, Vec::new())).collect();
    let mut join = |a: u32, b: u32| {
        if of.contains_key(&a) && of.contains_key(&b) {
            of.get_mut(&a).expect("it is there").push(b);
            of.get_mut(&b).expect("it is there").push(a);
        }
    };
    for &node in &placement.nodes {
        for stride in [1, side, side * side] {
            if node / stride % side + 1 < side {
                join(node, node + stride);
            }
        }
    }
    for circuit in &placement.circuits {
        let (axis, i, j) = (circuit.switch / 16, circuit.switch % 16 / 4, circuit.switch % 4);
        let at = |x: u32| match axis {
            0 => [x, i, j],
            1 => [i, x, j],
            _ => [i, j, x],
        };
        join(
            machine.node(circuit.north, at(3)),
            machine.node(circuit.south - 64, at(0)),
        );
    }
    let (mut far, mut sum) = (0, 0u64);
    // Every node of a torus sees the same.
    for &start in &placement.nodes[..3] {
        let mut distance = HashMap::from([(start, 0u32)]);
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &next in &of[&node] {
                if !distance.contains_key(&next) {
                    distance.insert(next, distance[&node] + 1);
                    queue.push_back(next);
                }
            }
        }
        assert_eq!(distance.len(), placement.nodes.len(), "one torus");
        far = far.max(distance.values().copied().max().unwrap_or(0));
        sum += distance.values().map(|d| u64::from(*d)).sum::<u64>();
    }
    (sum as f64 / 3.0 / placement.nodes.len() as f64, far)
}

/// A twist shortens the way to the others: n x n x 2n is then the face-centred cubic lattice, n x 2n x 2n the
/// body-centred one, and both are 3n/2 wide where the plain tori are 2n and 5n/2 (Camarero, Martinez and Beivide,
/// "Lattice graphs for high-scale interconnection topologies").
#[test]
fn twisted_tori_are_narrower_than_plain_ones() {
    let machine = machine(&Failures::default());
    for kind in [Kind::Reconfiguration, Kind::Rfold] {
        for (plain, wide, narrow) in [("4x4x8", 8, 6), ("4x8x8", 10, 6), ("8x8x16", 16, 12)] {
            let (_, straight) = place(&machine, kind, plain).unwrap();
            let (_, twisted) = place(&machine, kind, &format!("{plain}T")).unwrap();
            let (mean, far) = hops(&machine, &straight);
            let (less, near) = hops(&machine, &twisted);
            assert_eq!((far, near), (wide, narrow), "{kind} {plain}");
            assert!(less < 0.88 * mean, "{kind} {plain}: {less} of {mean}");
            assert_eq!(straight.circuits.len(), twisted.circuits.len(), "{kind} {plain}");
        }
    }
}

#[test]
fn a_cube_alone_wraps_on_itself_and_the_whole_machine_takes_3072_circuits() {
    let machine = machine(&Failures::default());
    let (_, one) = place(&machine, Kind::Reconfiguration, "4x4x4").unwrap();
    assert_eq!(one.circuits.len(), 48);
    assert!(one.circuits.iter().all(|c| c.south == c.north + 64));
    let (_, all) = place(&machine, Kind::Reconfiguration, "16x16x16").unwrap();
    assert_eq!(all.circuits.len(), 3072);
}

#[test]
fn a_dark_switch_is_a_matter_of_wiring_and_not_of_room() {
    let dark = Failures {
        switches: vec![5],
        ..Failures::default()
    };
    let machine = machine(&dark);
    assert_eq!(
        place(&machine, Kind::Reconfiguration, "8x8x8").err(),
        Some(Refusal::Wiring)
    );
    // Position (1, 1) along x is dark: a bar elsewhere on the face still closes.
    let (_, ring) = place(&machine, Kind::Rfold, "128x1x1").unwrap();
    assert!(ring.circuits.iter().all(|circuit| circuit.switch != 5));
}

#[test]
fn failed_nodes_are_never_given() {
    let failed = Failures {
        nodes: vec![[0, 0, 0], [5, 5, 5]],
        ..Failures::default()
    };
    let machine = machine(&failed);
    assert_eq!(
        place(&machine, Kind::Rfold, "16x16x16").err(),
        Some(Refusal::Resource)
    );
    for kind in [
        Kind::FirstFit,
        Kind::Folding,
        Kind::Reconfiguration,
        Kind::Rfold,
        Kind::Hilbert,
    ] {
        let (_, placement) = place(&machine, kind, "8x8x4").unwrap();
        assert!(
            machine
                .failed()
                .iter()
                .all(|node| !placement.nodes.contains(node)),
            "{kind}"
        );
    }
}
