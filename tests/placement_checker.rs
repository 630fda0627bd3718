//! The checker against mutants of right placements, and what the port map forbids when parts fail.

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
        closing: kind.build(machine).closing(machine),
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
