//! The transport over imitated devices: every message arrives whole, whatever the order in which the
//! two sides post, whatever the options; and a failure says what failed.

use std::time::Duration;

use proptest::prelude::*;

use super::imitation::Wire;
use super::opening::{RdmaOpening, Setup};
use crate::network::message::{MessageKey, Rank};
use crate::network::transport::{Completion, Endpoint, Opening, Transport, TransportError};
use crate::scenario::plan::Wait;
use crate::scenario::plan::rdma::{QpSplit, RdmaOptions, RdmaVerb};
use crate::scenario::units::Bytes;

/// A message of the test: from, to, channel, bytes. Its number is its tag.
type Message = (Rank, Rank, u32, u64);

fn options() -> RdmaOptions {
    RdmaOptions {
        slot_bytes: Bytes(4096),
        slots: 2,
        small: Bytes(512),
        credits: 4,
        depth: 8,
        signal_every: 3,
        post_list: 4,
        ..RdmaOptions::default()
    }
}

fn transports(
    ranks: Rank,
    options: &RdmaOptions,
    real_payload: bool,
    seed: u64,
) -> (std::sync::Arc<std::sync::Mutex<Wire>>, Vec<Box<dyn Transport>>) {
    let (wire, providers) = Wire::providers(ranks as usize, seed);
    let openings: Vec<Box<RdmaOpening>> = (0..ranks)
        .zip(providers)
        .map(|(rank, provider)| {
            let setup = Setup {
                rank,
                peers: (0..ranks).filter(|peer| *peer != rank).collect(),
                options: options.clone(),
                wait: Wait::Spin,
                oversubscribed: false,
                real_payload,
                pacing: None,
            };
            Box::new(RdmaOpening::open(setup, Box::new(provider)).unwrap())
        })
        .collect();
    let book: Vec<Endpoint> = openings.iter().map(|opening| opening.endpoint()).collect();
    let connected = openings
        .into_iter()
        .map(|opening| opening.connect(&book).unwrap());
    (wire, connected.collect())
}

fn payload(tag: u64, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + tag * 13) as u8).collect()
}

/// Plays messages; both sides post in the order of their numbers in `order`, one post per turn.
fn play(
    transports: &mut [Box<dyn Transport>],
    messages: &[Message],
    orders: [&[usize]; 2],
    real: bool,
) -> Result<(), TransportError> {
    let (mut sent, mut received) = (vec![false; messages.len()], vec![false; messages.len()]);
    for turn in 0..200_000 {
        for (at, transport) in transports.iter_mut().enumerate() {
            let next = |side: usize| orders[side].get(turn).map(|n| (*n as u64, messages[*n]));
            if let Some((tag, (_, to, channel, bytes))) = next(0).filter(|(_, m)| m.0 as usize == at) {
                let data = real.then(|| payload(tag, bytes));
                transport.post_send(tag, to, channel, key(tag), bytes, data)?;
            }
            if let Some((tag, (from, _, channel, bytes))) = next(1).filter(|(_, m)| m.1 as usize == at) {
                transport.post_receive(tag, from, channel, key(tag), bytes)?;
            }
            transport.poll(Duration::ZERO)?;
            while let Some(completion) = transport.next_completion() {
                match completion {
                    Completion::Sent(id) => {
                        assert!(!std::mem::replace(&mut sent[id as usize], true), "sent twice");
                    }
                    Completion::Received(id, data) => {
                        assert!(
                            !std::mem::replace(&mut received[id as usize], true),
                            "received twice"
                        );
                        let (_, _, _, bytes) = messages[id as usize];
                        assert!(!real || data == payload(id, bytes), "message {id} is damaged");
                    }
                }
            }
        }
        if sent.iter().chain(&received).all(|done| *done) {
            return Ok(());
        }
    }
    panic!("stuck: sent {sent:?}, received {received:?}");
}

fn key(tag: u64) -> MessageKey {
    MessageKey { communicator: 1, tag }
}

/// Messages between three ranks, and two orders to post them in.
fn exchange() -> impl Strategy<Value = (Vec<Message>, Vec<usize>, Vec<usize>)> {
    let bytes = prop_oneof![0..600u64, 0..20_000u64];
    let message = (0..3u32, 1..3u32, 0..2u32, bytes);
    let messages = prop::collection::vec(message, 1..24);
    messages.prop_flat_map(|messages| {
        let messages: Vec<Message> = messages
            .into_iter()
            .map(|(from, step, channel, bytes)| (from, (from + step) % 3, channel, bytes))
            .collect();
        let numbers: Vec<usize> = (0..messages.len()).collect();
        let order = Just(numbers).prop_shuffle();
        (Just(messages), order.clone(), order)
    })
}

fn verbs() -> impl Strategy<Value = (RdmaVerb, QpSplit, u32, u32, bool)> {
    let verb = prop_oneof![
        Just(RdmaVerb::WriteImm),
        Just(RdmaVerb::Write),
        Just(RdmaVerb::Send),
        Just(RdmaVerb::Read)
    ];
    let split = prop_oneof![
        Just(QpSplit::RoundRobin),
        Just(QpSplit::Split),
        Just(QpSplit::Hash)
    ];
    (verb, split, 1..4u32, 1..3u32, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_message_arrives_whole_in_whatever_order_the_sides_post(
        (messages, sends, receives) in exchange(),
        (verb, split, queue_pairs, channels, real) in verbs(),
        slots in 1..4u32,
        seed: u64,
    ) {
        let options = RdmaOptions { verb, split, queue_pairs, channels, slots, ..options() };
        let (_wire, mut transports) = transports(3, &options, real, seed);
        play(&mut transports, &messages, [&sends, &receives], real).unwrap();
        let total: u64 = messages.iter().map(|m| m.3).sum();
        let moved = |of: fn(&crate::network::transport::Totals) -> u64| -> u64 {
            transports.iter().map(|t| of(&t.totals())).sum()
        };
        prop_assert_eq!(moved(|t| t.sent_bytes), total);
        prop_assert_eq!(moved(|t| t.received_bytes), total);
        for transport in &transports {
            for sample in transport.flows().sample() {
                prop_assert_eq!(sample.bytes[0], sample.bytes[1]);
            }
        }
    }
}

#[test]
fn more_than_2_gib_goes_through_in_pieces() {
    let options = RdmaOptions {
        slot_bytes: Bytes(64 << 20),
        slots: 4,
        ..options()
    };
    let (_wire, mut transports) = transports(2, &options, false, 7);
    let bytes = (2 << 30) + 12_345;
    play(&mut transports, &[(0, 1, 0, bytes)], [&[0], &[0]], false).unwrap();
    assert_eq!(transports[1].totals().received_bytes, bytes);
}

#[test]
fn a_failed_request_ends_the_run_and_says_who_and_why() {
    let (wire, mut transports) = transports(2, &options(), false, 3);
    wire.lock().unwrap().fails_after = Some(4);
    let error = play(&mut transports, &[(0, 1, 0, 100_000)], [&[0], &[0]], false).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TransportError::Peer { .. }), "{text}");
    assert!(text.contains("IBV_WC_RETRY_EXC_ERR"), "{text}");
    assert!(text.contains("no acknowledgement within 1.879 s"), "{text}");
}

#[test]
fn lengths_that_differ_are_an_error_on_either_side() {
    for bytes in [100, 5000] {
        let (_wire, mut transports) = transports(2, &options(), false, 3);
        transports[0].post_send(0, 1, 0, key(0), bytes, None).unwrap();
        transports[1].post_receive(0, 0, 0, key(0), bytes + 1).unwrap();
        let polled = (0..1000).find_map(|_| {
            let results = transports.iter_mut().map(|t| t.poll(Duration::ZERO));
            results.filter_map(Result::err).next()
        });
        assert!(matches!(polled, Some(TransportError::Length(_))), "{polled:?}");
    }
}
