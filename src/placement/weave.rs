//! Rows over several lanes: in a machine that is much broken up no lane has enough cubes that are free at both ends.
//! Each cube takes the lane on which it holds most, and from lane to lane leads a cube that is entered on one and left
//! on the other; a ring comes back to its first.

use super::ring::{Lane, Leg, Winding};

/// Most lanes of a row.
const MOST_LANES: usize = 8;

/// Nodes that leading from a lane to the next is taken to cost.
const BRIDGE: u32 = 8;

/// Legs of a job of `length`, whose lanes meet.
pub fn legs(winding: &mut Winding<'_, '_, '_>, lanes: &[Lane], length: u32) -> Option<Vec<Leg>> {
    let held = held(winding, lanes, length)?;
    let chosen = choose(&held, lanes.len(), length);
    let legs = thread(winding, lanes, &held, &chosen)?;
    trim(winding, legs, length)
}

/// Cubes, and how much each holds on each lane.
struct Held {
    cubes: Vec<u32>,
    /// By cube, by lane.
    nodes: Vec<Vec<u32>>,
}

/// `None` if even the best lane of every cube would not do.
fn held(winding: &mut Winding<'_, '_, '_>, lanes: &[Lane], length: u32) -> Option<Held> {
    let side = winding.state.machine.side;
    let mut cubes: Vec<u32> = (0..winding.state.machine.cubes()).collect();
    cubes.retain(|cube| winding.state.free_in(*cube) >= side);
    cubes.sort_by_key(|cube| (std::cmp::Reverse(winding.state.free_in(*cube)), *cube));
    let mut nodes = Vec::with_capacity(cubes.len());
    for cube in &cubes {
        let mut of = Vec::with_capacity(lanes.len());
        for lane in lanes {
            if *winding.budget == 0 {
                return None;
            }
            let path = winding.lit(*lane, *cube).then(|| winding.longest(*lane, *cube));
            of.push(path.flatten().map_or(0, |path| path.len() as u32));
        }
        nodes.push(of);
    }
    let most: u32 = nodes.iter().filter_map(|of| of.iter().max()).sum();
    (most >= length).then_some(Held { cubes, nodes })
}

/// Lanes one by one, each the one that adds most, until they hold enough.
fn choose(held: &Held, lanes: usize, length: u32) -> Vec<usize> {
    let mut best = vec![0; held.cubes.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < MOST_LANES && best.iter().sum::<u32>() < length + BRIDGE * chosen.len() as u32 {
        let gain = |lane: &usize| -> u32 {
            let cubes = best.iter().zip(&held.nodes);
            cubes.map(|(best, of)| of[*lane].saturating_sub(*best)).sum()
        };
        let next = (0..lanes).max_by_key(|lane| (gain(lane), std::cmp::Reverse(*lane)));
        let Some(next) = next.filter(|lane| gain(lane) > 0) else {
            break;
        };
        for (best, of) in best.iter_mut().zip(&held.nodes) {
            *best = (*best).max(of[next]);
        }
        chosen.push(next);
    }
    chosen
}

/// All that the chosen lanes hold, lane by lane, with a cube between each lane and the next.
fn thread(
    winding: &mut Winding<'_, '_, '_>,
    lanes: &[Lane],
    held: &Held,
    chosen: &[usize],
) -> Option<Vec<Leg>> {
    let on = |cube: usize| chosen.iter().copied().max_by_key(|lane| held.nodes[cube][*lane]);
    let mut on: Vec<Option<usize>> = (0..held.cubes.len()).map(on).collect();
    let joints = if winding.ring {
        chosen.len()
    } else {
        chosen.len() - 1
    };
    let mut bridges = Vec::with_capacity(joints);
    for n in 0..joints {
        let (enter, leave) = (chosen[n], chosen[(n + 1) % chosen.len()]);
        if enter == leave {
            break;
        }
        let (cube, bridge) = bridge(winding, held, &on, (lanes, enter, leave))?;
        on[cube] = None;
        bridges.push(bridge);
    }
    let mut bridges = bridges.into_iter();
    let mut legs = Vec::new();
    for lane in chosen {
        for (at, _) in on.iter().enumerate().filter(|(_, on)| **on == Some(*lane)) {
            let cube = held.cubes[at];
            let path = (held.nodes[at][*lane] > 0).then(|| winding.longest(lanes[*lane], cube));
            legs.extend(path.flatten().map(|path| lanes[*lane].leg(cube, path)));
        }
        legs.extend(bridges.next());
    }
    Some(legs)
}

/// The cube that loses least when it leads from one lane to another.
fn bridge(
    winding: &mut Winding<'_, '_, '_>,
    held: &Held,
    on: &[Option<usize>],
    (lanes, enter, leave): (&[Lane], usize, usize),
) -> Option<(usize, Leg)> {
    let mut best: Option<(u32, usize, Leg)> = None;
    for (at, cube) in held.cubes.iter().enumerate() {
        let Some(lane) = on[at] else { continue };
        let lit = winding.lit(lanes[enter], *cube) && winding.lit(lanes[leave], *cube);
        if !lit || *winding.budget == 0 {
            continue;
        }
        let Some(leg) = winding.between(lanes[enter], lanes[leave], *cube, u32::MAX) else {
            continue;
        };
        let loss = held.nodes[at][lane].saturating_sub(leg.path.len() as u32);
        if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
            best = Some((loss, at, leg));
        }
        if loss == 0 {
            break;
        }
    }
    best.map(|(_, at, leg)| (at, leg))
}

/// Leaves out what is not needed: whole cubes that come and go on one lane, the emptiest first, then a part of one.
fn trim(winding: &mut Winding<'_, '_, '_>, mut legs: Vec<Leg>, length: u32) -> Option<Vec<Leg>> {
    let total: u32 = legs.iter().map(|leg| leg.path.len() as u32).sum();
    let mut excess = total.checked_sub(length)?;
    loop {
        let spare = |leg: &&Leg| leg.enter == leg.leave && leg.path.len() as u32 <= excess;
        let least = legs
            .iter()
            .filter(spare)
            .min_by_key(|leg| (leg.path.len(), leg.cube));
        let Some(cube) = least.map(|leg| leg.cube) else {
            break;
        };
        excess -= legs.iter().find(|leg| leg.cube == cube)?.path.len() as u32;
        legs.retain(|leg| leg.cube != cube);
    }
    let mut order: Vec<usize> = (0..legs.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(legs[*n].path.len()));
    for n in order {
        if excess == 0 {
            break;
        }
        let leg = &legs[n];
        let wanted = (leg.path.len() as u32).saturating_sub(excess);
        let shorter = winding.between(leg.enter, leg.leave, leg.cube, wanted);
        if let Some(shorter) = shorter.filter(|shorter| shorter.path.len() == wanted as usize) {
            excess = 0;
            legs[n] = shorter;
        }
    }
    (excess == 0 && !legs.is_empty()).then_some(legs)
}
