//! A trace in virtual time: the same machines, lanes and algorithms as in wall time, over the planned
//! links with the rate and latency that calibration found. Modelled, never measured.

use std::sync::Arc;

use super::beside::Stop;
use super::player::pass::{input, node_times};
use crate::event::{Calibration, TraceModel};
use crate::network::analytical::wires::{Wire, Wires};
use crate::network::analytical::{Machine, Network};
use crate::network::message::Rank;
use crate::network::tcp::mesh::send_buffer;
use crate::scenario::plan::optical::path;
use crate::scenario::plan::{ETHERNET_HEADER, IP_TCP_HEADERS, Network as Planned, Plan, payload_limit};
use crate::system::action::{Action, Input};
use crate::system::npu::{HandleError, Npu};
use crate::workload::lanes::Lanes;
use crate::workload::trace::{Part, Recipe};

/// Iterations: the first begins with all ranks at rest, the last is reported.
const PASSES: u64 = 3;
/// Events after which a forecast is given up: it must not take longer than the run.
const MOST_EVENTS: u64 = 20_000_000;
/// Events between two looks at how many there were.
const STRIDE: u64 = 1 << 16;

/// Why there is no forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NoForecast {
    #[error("no link is shaped, so nothing says what the network can do")]
    NothingLimits,
    #[error("the network has optical switches, over which traces are not modelled")]
    Optical,
    #[error("there is no path from rank {0} to rank {1}")]
    NoPath(Rank, Rank),
    #[error("the machines refuse it in virtual time")]
    Refused,
    #[error("it does not end in virtual time")]
    Endless,
    #[error("the run ended before")]
    Stopped,
    #[error(
        "it has more than {} events in virtual time, which would take longer than the run",
        MOST_EVENTS
    )]
    TooLong,
}

/// What an iteration of the trace should be like.
///
/// # Errors
/// Why that cannot be said, in words.
pub fn forecast(
    plan: &Plan,
    recipe: &Recipe,
    calibration: Option<&Calibration>,
    stop: &Stop,
) -> Result<TraceModel, String> {
    model(plan, recipe, calibration, stop).map_err(|none| none.to_string())
}

fn model(
    plan: &Plan,
    recipe: &Recipe,
    calibration: Option<&Calibration>,
    stop: &Stop,
) -> Result<TraceModel, NoForecast> {
    let wires = wires(plan, calibration)?;
    let ranks = plan.ranks.len() as u32;
    let seats = (0..ranks).map(|rank| Seat::new(rank, ranks, recipe));
    let mut players = Players {
        recipe,
        seats: seats.collect::<Option<_>>().ok_or(NoForecast::Refused)?,
        failed: false,
    };
    let described = describe(&wires, calibration);
    players.play(Network::wired(wires), stop)?;
    let end = |pass: usize| {
        let ends = players.seats.iter().filter_map(|seat| seat.ends.get(pass));
        ends.max().copied().unwrap_or(0)
    };
    let last = PASSES as usize - 1;
    let times = players.seats.iter();
    Ok(TraceModel {
        iteration_ns: end(last).saturating_sub(end(last - 1)),
        times: times
            .map(|seat| node_times(&seat.part, 0, &seat.times, 0))
            .collect(),
        network: described,
    })
}

/// The planned links, as calibrated.
fn wires(plan: &Plan, calibration: Option<&Calibration>) -> Result<Wires, NoForecast> {
    let network = &plan.network;
    if network.links.iter().all(|link| link.rate.is_none()) {
        return Err(NoForecast::NothingLimits);
    }
    if plan.optical.is_some() {
        return Err(NoForecast::Optical);
    }
    let wires = network.links.iter().map(|link| {
        let rate = link.rate.map(|rate| rate.0 as f64);
        let (share, extra) = rate.map_or((1.0, 0.0), |rate| found(calibration, rate / plan.dilation));
        let payload = rate.map(|rate| payload_limit(rate * share, network.mtu) / 1e9);
        let frame = f64::from(network.mtu) + ETHERNET_HEADER;
        let delay = link.delay.0 + (extra * 1e3 / plan.dilation) as u64;
        let frame = rate.map_or(0, |rate| (frame * 8.0 / (rate * share) * 1e9) as u64);
        [Wire::new(payload, delay, frame); 2]
    });
    let ranks = plan.ranks.len() as Rank;
    let buffer = send_buffer(&plan.testbed.tcp, plan.ranks.len().saturating_sub(1)) as f64;
    let mut wires = Wires::new(ranks, wires.collect(), buffer, overhead(network.mtu));
    let host = |rank: Rank| plan.ranks[rank as usize].host;
    for from in 0..ranks {
        for to in (0..ranks).filter(|to| *to != from) {
            let way = way(network, host(from), host(to)).ok_or(NoForecast::NoPath(from, to))?;
            wires.lead(from, to, way);
        }
    }
    Ok(wires)
}

/// Headers over payload in a full packet.
fn overhead(mtu: u32) -> f64 {
    IP_TCP_HEADERS / (f64::from(mtu) - IP_TCP_HEADERS)
}

fn describe(wires: &Wires, calibration: Option<&Calibration>) -> String {
    let wire = wires.limited();
    let (rate, delay) = wire.map_or((0.0, 0), |wire| (wire.rate.unwrap_or(0.0), wire.delay));
    let source = match calibration {
        Some(_) => "as calibrated",
        None => "as planned, not calibrated",
    };
    let gbps = rate * 8.0;
    format!(
        "{gbps:.4} Gbit/s of payload and {:.1} us on a link, {source}",
        delay as f64 / 1e3
    )
}

/// Measured over wanted rate, and microseconds that a message takes longer on each hop than the wire
/// explains, both real, of links of this real rate.
fn found(calibration: Option<&Calibration>, rate: f64) -> (f64, f64) {
    let links = calibration.map_or(&[][..], |calibration| &calibration.links);
    let alike = links.iter().find(|link| {
        link.wanted_bps
            .is_some_and(|wanted| (wanted / rate - 1.0).abs() < 0.02)
    });
    let Some(link) = alike else {
        return (1.0, 0.0);
    };
    let share = link.wanted_bps.map_or(1.0, |wanted| link.measured_bps / wanted);
    let extra = link
        .measured_one_way_us
        .zip(link.wanted_one_way_us)
        .map(|(m, w)| m - w);
    (share, extra.unwrap_or(0.0).max(0.0) / f64::from(link.hops.max(1)))
}

/// Links and directions between two hosts; empty from a host to itself.
fn way(network: &Planned, from: usize, to: usize) -> Option<Vec<(usize, usize)>> {
    let links = path(network, &network.routes, &[], (from, to))?.links;
    let mut node = from;
    let leave = |link: usize| {
        let ends = &network.links[link].ends;
        let direction = usize::from(ends[0].node != node);
        node = ends[1 - direction].node;
        (link, direction)
    };
    Some(links.into_iter().map(leave).collect())
}

/// A rank.
struct Seat {
    npu: Npu,
    lanes: Lanes,
    part: Arc<Part>,
    times: Vec<(u64, u64)>,
    pass: u64,
    /// When each pass ended.
    ends: Vec<u64>,
}

impl Seat {
    /// Before it begins; `None` if its trace cannot be played.
    fn new(rank: Rank, ranks: u32, recipe: &Recipe) -> Option<Self> {
        let mut npu = Npu::new(rank);
        for group in recipe.groups.iter().filter(|group| group.ranks.contains(&rank)) {
            npu.add_communicator(group.communicator, group.ranks.clone())
                .ok()?;
        }
        let part = Arc::new(recipe.part(rank, ranks).ok()?);
        Some(Seat {
            npu,
            lanes: Lanes::new(Arc::clone(&part), recipe.lanes),
            times: vec![(0, 0); part.steps.len()],
            part,
            pass: 0,
            ends: Vec::new(),
        })
    }

    /// Carries out what the machine wants; whether a node is over.
    fn act(&mut self, rank: Rank, first: u64, network: &mut Network) -> bool {
        let mut over = false;
        while let Some(action) = self.npu.poll_action() {
            match action {
                Action::Send(t) => network.send(rank, t.peer, t.key, t.bytes, t.message),
                Action::Receive(t, _) => network.receive(rank, t.peer, t.key, t.bytes, t.message),
                Action::Timer(timer, delay) => network.timer(rank, delay, timer),
                Action::Memory { .. } => {}
                Action::Done(node) => {
                    let place = node - first;
                    self.times[place as usize].1 = network.now();
                    self.lanes.finish(place as u32);
                    over = true;
                }
            }
        }
        over
    }
}

/// All ranks.
struct Players<'a> {
    recipe: &'a Recipe,
    seats: Vec<Seat>,
    /// A machine has refused something.
    failed: bool,
}

impl Players<'_> {
    /// Plays all passes.
    fn play(&mut self, mut network: Network, stop: &Stop) -> Result<(), NoForecast> {
        network.start(self, self.seats.len() as u32);
        while !self.failed && network.run(self, STRIDE) {
            if stop.asked() {
                return Err(NoForecast::Stopped);
            }
            if network.events() > MOST_EVENTS {
                return Err(NoForecast::TooLong);
            }
        }
        let over = network.now() < u64::MAX && self.seats.iter().all(|seat| seat.pass == PASSES);
        match (self.failed, over) {
            (true, _) => Err(NoForecast::Refused),
            (false, false) => Err(NoForecast::Endless),
            (false, true) => Ok(()),
        }
    }

    /// Tells a rank's machine something, and lets the rank act until it waits.
    fn tell(
        &mut self,
        rank: Rank,
        network: &mut Network,
        told: impl FnOnce(&mut Npu, u64) -> Result<(), HandleError>,
    ) {
        let now = network.now();
        self.failed |= told(&mut self.seats[rank as usize].npu, now).is_err();
        self.go_on(rank, network);
    }

    fn go_on(&mut self, rank: Rank, network: &mut Network) {
        let (now, mut begin) = (network.now(), Vec::new());
        loop {
            let seat = &mut self.seats[rank as usize];
            if seat.pass < PASSES && seat.lanes.is_over() {
                seat.pass += 1;
                seat.ends.push(now);
                if seat.pass < PASSES {
                    seat.lanes = Lanes::new(Arc::clone(&seat.part), self.recipe.lanes);
                }
            }
            seat.lanes.issue(&mut begin);
            let first = seat.pass * seat.part.steps.len() as u64;
            for place in begin.drain(..) {
                seat.times[place as usize].0 = now;
                let step = &seat.part.steps[place as usize];
                let input: Input = input(first + u64::from(place), step, seat.pass);
                self.failed |= seat.npu.handle(input, now).is_err();
            }
            if !seat.act(rank, first, network) {
                return;
            }
        }
    }
}

impl Machine for Players<'_> {
    fn start(&mut self, rank: Rank, network: &mut Network) {
        self.go_on(rank, network);
    }

    fn sent(&mut self, rank: Rank, token: u64, network: &mut Network) {
        self.tell(rank, network, |npu, now| npu.sent(token, now));
    }

    fn received(&mut self, rank: Rank, token: u64, network: &mut Network) {
        self.tell(rank, network, |npu, now| npu.received(token, now));
    }

    fn timer(&mut self, rank: Rank, token: u64, network: &mut Network) {
        self.tell(rank, network, |npu, now| npu.timer_fired(token, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load_text;
    use crate::scenario::planner;

    fn planned(text: &str) -> Plan {
        let loaded = load_text("test.toml", text, &[]).expect("a scenario");
        planner::build(&loaded).expect("a plan")
    }

    const TRAFFIC: &str = "[[traffic.collective]]\nop = \"all-reduce\"\nsizes = \"4 KiB\"\n";

    #[test]
    fn why_there_is_no_forecast_is_said() {
        let star = "name = \"t\"\n[topology.star]\nhosts = 2\n";
        let limited = planned(&format!("{star}rate = \"1 Gbit/s\"\n{TRAFFIC}"));
        assert!(wires(&limited, None).is_ok());
        let free = planned(&format!("{star}rate = \"unlimited\"\n{TRAFFIC}"));
        assert_eq!(wires(&free, None).err(), Some(NoForecast::NothingLimits));
        let optical = planned(&format!(
            "name = \"t\"\n[[topology.host]]\nname = \"a\"\n[[topology.host]]\nname = \"b\"\n[[topology.ocs]]\nname = \"o\"\n\
             [[topology.link]]\nends = [\"a\", \"o\"]\nrate = \"1 Gbit/s\"\n[[topology.link]]\nends = [\"o\", \"b\"]\n\
             rate = \"1 Gbit/s\"\n[[step]]\nname = \"s\"\ncircuits = [[\"a\", \"b\"]]\n{}",
            TRAFFIC.replace("traffic", "step")
        ));
        assert_eq!(wires(&optical, None).err(), Some(NoForecast::Optical));
    }

    /// From host 0 up to the switch and down to host 1, whichever end of a link is named first.
    #[test]
    fn ways_lead_from_end_to_end() {
        let plan = planned(&format!(
            "name = \"t\"\n[topology.star]\nhosts = 3\nrate = \"1 Gbit/s\"\n{TRAFFIC}"
        ));
        let hosts: Vec<usize> = plan.ranks.iter().map(|place| place.host).collect();
        let way = way(&plan.network, hosts[0], hosts[1]).expect("a path");
        let mut node = hosts[0];
        for (link, direction) in &way {
            let ends = &plan.network.links[*link].ends;
            assert_eq!(ends[*direction].node, node);
            node = ends[1 - direction].node;
        }
        assert_eq!((way.len(), node), (2, hosts[1]));
    }

    /// IPv4 and TCP take 52 bytes of every packet.
    #[test]
    fn headers_weigh_less_in_large_packets() {
        assert!((overhead(1500) - 52.0 / 1448.0).abs() < 1e-12);
        assert!((overhead(9000) - 52.0 / 8948.0).abs() < 1e-12);
    }
}
