//! Two queue pairs over a link that loses, repeats and reorders packets, in virtual time.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::network::rdma::provider::{Access, Memory, Remote, Verb};
use crate::network::roce::dcqcn::Parameters;
use crate::network::roce::wire::header::Nak;
use crate::network::roce::wire::{Syndrome, packet};

const ROOM: u64 = 1 << 16;
const DELAY: u64 = 5_000;

fn config(mtu: u32) -> Config {
    Config {
        mtu,
        timeout: Some(1_000_000),
        retries: 7,
        rnr_retries: 7,
        min_rnr_timer: 1,
        reads: 4,
        window: 32,
        ack_every: 8,
        cnp_interval: 50_000,
        dcqcn: None,
    }
}

/// What the link does to a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Pass,
    Drop,
    Twice,
    Late,
    Mark,
}

struct End {
    queue: QueuePair,
    memory: Regions,
    /// Written by the peer.
    target: Memory,
    /// Read by the peer.
    source: Memory,
    /// Own buffer: sends and writes come from here, reads and receives go to it.
    own: Memory,
    done: Vec<Completed>,
}

impl End {
    fn new(number: usize, config: Config, psns: (u32, u32)) -> Self {
        let mut memory = Regions::default();
        let target = memory.register(ROOM, Access::RemoteWrite).unwrap();
        let source = memory.register(ROOM, Access::RemoteRead).unwrap();
        let own = memory.register(ROOM, Access::Local).unwrap();
        let pattern: Vec<u8> = (0..ROOM)
            .map(|i| (i * 7 + i / 256 + number as u64) as u8)
            .collect();
        for m in [source, own] {
            let all = memory.slice_mut(m.local_key, m.address, ROOM as usize).unwrap();
            all.copy_from_slice(&pattern);
        }
        Self {
            queue: QueuePair::new(number, config, 0x11, psns.0, psns.1),
            memory,
            target,
            source,
            own,
            done: Vec::new(),
        }
    }

    fn bytes(&self, memory: &Memory, offset: u64, bytes: u32) -> Vec<u8> {
        let found = self
            .memory
            .slice(memory.local_key, memory.address + offset, bytes as usize);
        found.unwrap().to_vec()
    }

    fn chunk(&self, offset: u64, bytes: u32) -> Chunk {
        Chunk::Memory {
            key: self.own.local_key,
            address: self.own.address + offset,
            bytes,
        }
    }

    fn post(&mut self, id: u64, verb: Verb, payload: Chunk) {
        self.queue.post(Work {
            id,
            verb,
            payload,
            signalled: true,
            solicited: false,
        });
    }

    fn receive(&mut self, id: u64, bytes: u32) {
        self.queue.post_receive(Receive {
            id,
            buffer: (self.own.local_key, self.own.address),
            bytes,
        });
    }

    /// The packet as it travels.
    fn encode(&self, segment: &Segment) -> Vec<u8> {
        let mut wire = segment.headers.as_bytes().to_vec();
        match &segment.payload {
            Chunk::Empty => {}
            Chunk::Inline(bytes) => wire.extend_from_slice(bytes),
            Chunk::Memory { key, address, bytes } => {
                wire.extend_from_slice(self.memory.slice(*key, *address, *bytes as usize).unwrap());
            }
        }
        let pad = packet::padding(segment.payload.bytes());
        wire.resize(wire.len() + usize::from(pad) + 4, 0);
        wire
    }
}

struct Link {
    now: u64,
    ends: [End; 2],
    flying: BTreeMap<(u64, u64), (usize, bool, Vec<u8>)>,
    sent: u64,
}

impl Link {
    fn new(config: &Config) -> Self {
        // Numbers that wrap within any test.
        let psns = (0xff_fff0, 0x00_0003);
        Self {
            now: 0,
            ends: [
                End::new(0, config.clone(), psns),
                End::new(1, config.clone(), (psns.1, psns.0)),
            ],
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Plays until nothing is in flight and no timer runs; `verdict` judges packet by packet.
    fn play(&mut self, mut verdict: impl FnMut(usize, u64, &Packet<'_>) -> Verdict) {
        for _ in 0..200_000 {
            for from in 0..2 {
                while let Some(segment) = self.ends[from].queue.poll_transmit(self.now) {
                    let wire = self.ends[from].encode(&segment);
                    let packet = Packet::read(&wire).expect("what is sent can be read");
                    let verdict = verdict(from, self.sent, &packet);
                    self.fly(1 - from, wire, verdict);
                }
                while let Some(completed) = self.ends[from].queue.poll_completion() {
                    self.ends[from].done.push(completed);
                }
            }
            let arrival = self.flying.keys().next().map(|key| key.0);
            let timers = self.ends.iter().filter_map(|end| end.queue.next_time());
            let Some(next) = timers.chain(arrival).min() else {
                return;
            };
            self.now = next.max(self.now);
            while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, marked, wire) = entry.remove();
                let end = &mut self.ends[to];
                let packet = Packet::read(&wire).expect("it was read before");
                end.queue.handle(&packet, marked, self.now, &mut end.memory);
            }
            for end in &mut self.ends {
                end.queue.tick(self.now);
            }
        }
        panic!("no end after {} packets", self.sent);
    }

    fn fly(&mut self, to: usize, wire: Vec<u8>, verdict: Verdict) {
        self.sent += 1;
        let (at, marked) = (self.now + DELAY, verdict == Verdict::Mark);
        match verdict {
            Verdict::Drop => {}
            Verdict::Pass | Verdict::Mark => {
                self.flying.insert((at, self.sent), (to, marked, wire));
            }
            Verdict::Twice => {
                self.flying.insert((at, self.sent), (to, false, wire.clone()));
                self.flying.insert((at + 1, self.sent), (to, false, wire));
            }
            Verdict::Late => {
                self.flying.insert((at + 20_000, self.sent), (to, false, wire));
            }
        }
    }

    fn remote(&self, to: usize, offset: u64) -> Remote {
        Remote {
            address: self.ends[to].target.address + offset,
            key: self.ends[to].target.remote_key,
        }
    }

    fn readable(&self, to: usize, offset: u64) -> Remote {
        Remote {
            address: self.ends[to].source.address + offset,
            key: self.ends[to].source.remote_key,
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Write(u32, Option<u32>),
    Send(u32, Option<u32>),
    Inline(u8),
    Read(u32),
}

fn any_act() -> impl Strategy<Value = Act> {
    let bytes = prop_oneof![0u32..20, 200u32..300, 0u32..9000];
    (bytes, any::<Option<u32>>(), 0..5).prop_map(|(bytes, immediate, kind)| match kind {
        0 | 1 => Act::Write(bytes, immediate),
        2 => Act::Send(bytes, immediate),
        3 => Act::Inline(bytes as u8),
        _ => Act::Read(bytes),
    })
}

/// Posts the acts; gives what the other side's receives must report, in order.
fn post_all(link: &mut Link, from: usize, acts: &[Act]) -> Vec<What> {
    let to = 1 - from;
    let mut expected = Vec::new();
    let mut place = 0u64;
    for (id, act) in (0..).zip(acts) {
        match *act {
            Act::Write(bytes, immediate) => {
                let remote = link.remote(to, place % (ROOM - 9000));
                let payload = link.ends[from].chunk(place % (ROOM - 9000), bytes);
                link.ends[from].post(id, Verb::Write { remote, immediate }, payload);
                expected.extend(immediate.map(|immediate| What::Written { bytes, immediate }));
                place += u64::from(bytes);
            }
            Act::Send(bytes, immediate) => {
                let payload = link.ends[from].chunk(0, bytes);
                link.ends[from].post(id, Verb::Send { immediate }, payload);
                expected.push(What::Received { bytes, immediate });
            }
            Act::Inline(bytes) => {
                let payload = Chunk::Inline(Bytes::from(vec![bytes; usize::from(bytes)]));
                link.ends[from].post(id, Verb::Send { immediate: None }, payload);
                expected.push(What::Received {
                    bytes: u32::from(bytes),
                    immediate: None,
                });
            }
            Act::Read(bytes) => {
                let remote = link.readable(to, 11);
                let payload = link.ends[from].chunk(ROOM - 9000, bytes);
                link.ends[from].post(id, Verb::Read { remote }, payload);
            }
        }
    }
    for id in 0..expected.len() as u64 {
        link.ends[to].receive(1000 + id, 9000);
    }
    expected
}

fn finished(end: &End, expected: &[What], acts: usize) {
    let ids: Vec<u64> = end
        .done
        .iter()
        .filter(|c| c.what == What::Request)
        .map(|c| c.id)
        .collect();
    assert_eq!(
        ids,
        (0..acts as u64).collect::<Vec<_>>(),
        "requests complete in order, each once"
    );
    assert!(
        end.done.iter().all(|c| c.status == Status::Success),
        "{:?}",
        end.done
    );
    let received: Vec<What> = end
        .done
        .iter()
        .map(|c| c.what)
        .filter(|w| *w != What::Request)
        .collect();
    assert_eq!(received, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everything_arrives_once_and_in_order_whatever_the_link_does(
        mtu in prop_oneof![Just(256u32), Just(1024), Just(4096)],
        there in proptest::collection::vec(any_act(), 0..20),
        back in proptest::collection::vec(any_act(), 0..20),
        seed: u64,
        harm in 0u64..8,
    ) {
        // Retries without progress are not what is tested here.
        let patient = Config { retries: 255, ..config(mtu) };
        let mut link = Link::new(&patient);
        let to_one = post_all(&mut link, 0, &there);
        let to_zero = post_all(&mut link, 1, &back);
        let mut state = seed | 1;
        link.play(|_, _, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state % 100 {
                n if n < harm => Verdict::Drop,
                n if n < 2 * harm => Verdict::Twice,
                n if n < 3 * harm => Verdict::Late,
                _ => Verdict::Pass,
            }
        });
        finished(&link.ends[0], &to_zero, there.len());
        finished(&link.ends[1], &to_one, back.len());
        for (from, acts) in [(0, &there), (1, &back)] {
            let mut place = 0u64;
            for act in acts {
                let other = &link.ends[1 - from];
                match *act {
                    Act::Write(bytes, _) if place + u64::from(bytes) < ROOM - 9000 => {
                        // Untouched by reads and receives, which go to either end of the own buffer.
                        if place > 9000 {
                            let want = link.ends[from].bytes(&link.ends[from].own, place, bytes);
                            prop_assert_eq!(other.bytes(&other.target, place, bytes), want);
                        }
                        place += u64::from(bytes);
                    }
                    Act::Write(..) => break,
                    Act::Read(_) | Act::Send(..) | Act::Inline(_) => {}
                }
            }
            if let Some(Act::Read(bytes)) = acts.iter().rfind(|act| matches!(act, Act::Read(_))) {
                let want = link.ends[1 - from].bytes(&link.ends[1 - from].source, 11, *bytes);
                let got = link.ends[from].bytes(&link.ends[from].own, ROOM - 9000, *bytes);
                prop_assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn hostile_packets_end_a_queue_pair_at_worst(
        packets in proptest::collection::vec((0u8..=0x14, proptest::collection::vec(any::<u8>(), 11..80)), 1..60),
    ) {
        let mut link = Link::new(&config(256));
        link.ends[0].receive(1, 100);
        let payload = link.ends[0].chunk(0, 3000);
        let remote = link.remote(1, 0);
        link.ends[0].post(0, Verb::Write { remote, immediate: None }, payload);
        for (opcode, mut bytes) in packets {
            bytes.insert(0, opcode);
            bytes[1] &= 0xf0;
            // Numbers near the expected ones reach deeper.
            if bytes[9] & 1 == 0 {
                (bytes[9], bytes[10], bytes[11]) = (0, 0, 3 + (bytes[11] & 3));
            } else {
                (bytes[9], bytes[10], bytes[11]) = (0xff, 0xff, 0xf0 + (bytes[11] & 7));
            }
            let end = &mut link.ends[0];
            if let Ok(packet) = Packet::read(&bytes) {
                end.queue.handle(&packet, bytes[4] & 1 != 0, link.now, &mut end.memory);
            }
            while end.queue.poll_transmit(link.now).is_some() {}
            while let Some(completed) = end.queue.poll_completion() {
                end.done.push(completed);
            }
        }
        let own: Vec<_> = link.ends[0].done.iter().filter(|c| c.what == What::Request).collect();
        prop_assert!(own.len() <= 1, "one request was posted: {own:?}");
    }
}

/// 40 packets with the eleventh lost once: the responder asks for it, and all from it on go again.
#[test]
fn a_lost_packet_is_asked_for_once_and_the_sender_goes_back_to_it() {
    let mut link = Link::new(&config(256));
    let payload = link.ends[0].chunk(0, 256 * 40);
    let remote = link.remote(1, 0);
    link.ends[0].post(
        0,
        Verb::Write {
            remote,
            immediate: None,
        },
        payload,
    );
    let mut requests = 0;
    link.play(|from, _, _| {
        requests += u32::from(from == 0);
        if requests == 11 && from == 0 {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    });
    finished(&link.ends[0], &[], 1);
    let (sender, receiver) = (link.ends[0].queue.counters(), link.ends[1].queue.counters());
    assert_eq!((receiver.sent_seq_err, sender.rcvd_seq_err), (1, 1));
    assert_eq!(
        sender.local_ack_timeout_err, 0,
        "a refusal is faster than a timeout"
    );
    // The window of 32 was out when the refusal came; all but the ten before the loss go again.
    assert_eq!(u64::from(requests), 40 + sender.retransmitted_pkts);
    assert!((20..=32).contains(&sender.retransmitted_pkts), "{sender:?}");
    let want = link.ends[0].bytes(&link.ends[0].own, 0, 256 * 40);
    assert_eq!(link.ends[1].bytes(&link.ends[1].target, 0, 256 * 40), want);
}

/// rxe takes a bare acknowledge of a read's number for its end, although no response has come: what it has of the
/// read is then whatever was there before.
#[test]
fn a_repeated_send_is_never_acknowledged_with_the_number_of_a_read() {
    let mut link = Link::new(&config(1024));
    let payload = link.ends[0].chunk(0, 100);
    link.ends[0].post(0, Verb::Send { immediate: None }, payload);
    let (payload, remote) = (link.ends[0].chunk(200, 13), link.readable(1, 11));
    link.ends[0].post(1, Verb::Read { remote }, payload);
    link.ends[1].receive(1000, 100);
    let requests: Vec<Vec<u8>> = std::iter::from_fn(|| {
        let end = &mut link.ends[0];
        end.queue.poll_transmit(0).map(|segment| end.encode(&segment))
    })
    .collect();
    let number = |wire: &[u8]| Packet::read(wire).unwrap().bth.psn;
    assert_eq!(requests.len(), 2);
    let end = &mut link.ends[1];
    // Send and read arrive, their answers are lost, and the send comes once more.
    for wire in [&requests[0], &requests[1], &requests[0]] {
        while end.queue.poll_transmit(0).is_some() {}
        end.queue
            .handle(&Packet::read(wire).unwrap(), false, 0, &mut end.memory);
    }
    let answer = end.queue.poll_transmit(0).unwrap();
    let answer = end.encode(&answer);
    assert_eq!(Packet::read(&answer).unwrap().bth.opcode, Opcode::Acknowledge);
    assert_eq!(number(&answer), number(&requests[0]));
    assert_ne!(number(&answer), number(&requests[1]));
}

#[test]
fn a_lost_last_acknowledge_costs_a_timeout_and_nothing_twice() {
    let mut link = Link::new(&config(1024));
    let payload = link.ends[0].chunk(0, 100);
    link.ends[0].post(0, Verb::Send { immediate: Some(9) }, payload);
    link.ends[1].receive(1000, 100);
    let mut dropped = false;
    link.play(|from, _, _| {
        if from == 1 && !std::mem::replace(&mut dropped, true) {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    });
    let received = What::Received {
        bytes: 100,
        immediate: Some(9),
    };
    finished(&link.ends[0], &[], 1);
    finished(&link.ends[1], &[received], 0);
    assert_eq!(link.ends[0].queue.counters().local_ack_timeout_err, 1);
    assert_eq!(link.ends[1].queue.counters().duplicate_request, 1);
    assert!(link.now >= 1_000_000, "the timeout is 1 ms");
}

#[test]
fn silence_ends_the_queue_pair_after_the_retries_and_everything_is_reported() {
    let mut link = Link::new(&config(1024));
    for id in 0..3 {
        let payload = link.ends[0].chunk(0, 100);
        link.ends[0].post(id, Verb::Send { immediate: None }, payload);
    }
    link.ends[0].receive(50, 10);
    link.play(|_, _, _| Verdict::Drop);
    let statuses: Vec<(u64, Status)> = link.ends[0].done.iter().map(|c| (c.id, c.status)).collect();
    assert_eq!(
        statuses,
        [
            (0, Status::RetriesExceeded),
            (1, Status::Flushed),
            (2, Status::Flushed),
            (50, Status::Flushed)
        ]
    );
    // One timeout for the first try and one for each of 7 retries, 1 ms each.
    assert_eq!(link.now, 8_000_000);
    assert_eq!(link.ends[0].queue.counters().retry_exceeded_err, 1);
    link.ends[0].receive(51, 10);
    link.play(|_, _, _| Verdict::Pass);
    assert_eq!(
        link.ends[0].done.last().map(|c| (c.id, c.status)),
        Some((51, Status::Flushed))
    );
}

#[test]
fn a_receiver_that_is_not_ready_is_tried_again_after_the_time_it_names() {
    for (rnr_retries, fails) in [(7, false), (2, true)] {
        let mut link = Link::new(&Config {
            rnr_retries,
            ..config(1024)
        });
        let payload = link.ends[0].chunk(0, 3000);
        link.ends[0].post(0, Verb::Send { immediate: None }, payload);
        let mut asked = 0;
        for _ in 0..5 {
            // Each round: one attempt that is turned away.
            if let Some(segment) = link.ends[0].queue.poll_transmit(link.now) {
                asked += 1;
                let wire = link.ends[0].encode(&segment);
                let packet = Packet::read(&wire).unwrap();
                let end = &mut link.ends[1];
                end.queue.handle(&packet, false, link.now, &mut end.memory);
                let refusal = end.queue.poll_transmit(link.now).unwrap();
                let wire = end.encode(&refusal);
                let packet = Packet::read(&wire).unwrap();
                assert_eq!(packet.aeth.unwrap().syndrome, Syndrome::ReceiverNotReady(1));
                let end = &mut link.ends[0];
                end.queue.handle(&packet, false, link.now, &mut end.memory);
            }
            assert!(
                link.ends[0].queue.poll_transmit(link.now + 9_999).is_none(),
                "code 1 is 10 us"
            );
            link.now += 10_000;
        }
        assert_eq!(asked, if fails { 3 } else { 5 });
        link.ends[1].receive(7, 3000);
        link.play(|_, _, _| Verdict::Pass);
        let status = if fails {
            Status::NotReadyRetriesExceeded
        } else {
            Status::Success
        };
        assert_eq!(link.ends[0].done[0].status, status);
    }
}

#[test]
fn wrong_keys_bounds_and_access_are_refused_by_name() {
    let wrong: [fn(&Link) -> Verb; 4] = [
        |link| {
            let mut remote = link.remote(1, 0);
            remote.key ^= 0x100;
            Verb::Write {
                remote,
                immediate: None,
            }
        },
        |link| Verb::Write {
            remote: link.remote(1, ROOM - 99),
            immediate: None,
        },
        |link| Verb::Write {
            remote: link.readable(1, 0),
            immediate: None,
        },
        |link| Verb::Read {
            remote: link.remote(1, 0),
        },
    ];
    for verb in wrong {
        let mut link = Link::new(&config(1024));
        let verb = verb(&link);
        let payload = link.ends[0].chunk(0, 100);
        link.ends[0].post(0, verb, payload);
        let mut refused = false;
        link.play(|_, _, packet| {
            let access = Syndrome::Nak(Nak::RemoteAccess);
            refused |= packet.aeth.is_some_and(|aeth| aeth.syndrome == access);
            Verdict::Pass
        });
        assert!(refused);
        assert_eq!(link.ends[0].done[0].status, Status::RemoteAccess);
        assert_eq!(link.ends[1].queue.counters().resp_remote_access_errors, 1);
        assert_eq!(link.ends[1].bytes(&link.ends[1].target, 0, 100), vec![0; 100]);
    }
}

/// 600 kB with a window of 32 packets and a round trip of 10 us: 26 Gbit/s, if nobody asks for less.
#[test]
fn marks_are_answered_with_notifications_at_most_one_in_fifty_microseconds() {
    let took = [None, Some(Parameters::paper(10_000_000_000))].map(|dcqcn| {
        let mut link = Link::new(&Config {
            dcqcn,
            ..config(1024)
        });
        for id in 0..10 {
            let payload = link.ends[0].chunk(0, 60_000);
            let verb = Verb::Write {
                remote: link.remote(1, 0),
                immediate: None,
            };
            link.ends[0].post(id, verb, payload);
        }
        let (mut times, mut packets) = (0, 0);
        link.play(|from, _, packet| {
            times += u64::from(packet.bth.opcode == Opcode::CongestionNotification);
            packets += u64::from(from == 0);
            if from == 0 { Verdict::Mark } else { Verdict::Pass }
        });
        finished(&link.ends[0], &[], 10);
        let (sender, receiver) = (link.ends[0].queue.counters(), link.ends[1].queue.counters());
        assert_eq!(receiver.np_ecn_marked_roce_packets, packets);
        assert_eq!(receiver.np_cnp_sent, times);
        assert_eq!(sender.rp_cnp_handled + sender.rp_cnp_ignored, times);
        assert_eq!(sender.rp_cnp_handled > 0, dcqcn.is_some());
        assert!(
            (2..=link.now / 50_000 + 1).contains(&times),
            "{times} in {} ns",
            link.now
        );
        link.now
    });
    assert!((180_000..250_000).contains(&took[0]), "{took:?}");
    // Half of the line rate at most after the first notification: 4.8 Mbit at 5 Gbit/s are 960 us.
    assert!(took[1] > 800_000, "{took:?}");
}
