//! The userspace RoCE v2 endpoint against peers: itself over loopback, and Linux's rxe where there is
//! one. Both sides send a stream of messages (SEND, WRITE with immediate, WRITE and a SEND, READ) of 0 to
//! 20,000 bytes, and check every byte. `roce_rxe/peer.c` is the same program on libibverbs.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a skip says why

mod run_support;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use genie::network::rdma::provider::{
    Access, Completed, Gid, Memory, PathOptions, Payload, Provider, QueueAddress, QueueOptions, Remote,
    Request, Span, Status, Verb, What,
};
use genie::network::roce::counters::Counters;
use genie::network::roce::dcqcn::Parameters;
use genie::network::roce::endpoint::{Endpoint, Settings};
use genie::scenario::plan::rdma::Service;
use run_support::guest::{PATIENCE, no_guest};

const SLOT: u64 = 32_768;
const SLOTS: u64 = 16;
const AHEAD: u32 = 8;
const SOURCE: u64 = 65_536;
/// Traffic classes whose packets may be marked, and have been (RFC 3168).
const ECT0: u8 = 2;
const CE: u8 = 3;
/// Completions of plain writes, which say nothing.
const QUIET: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Send,
    WriteImmediate,
    Write,
    Read,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    index: u32,
    kind: Kind,
    bytes: u32,
    from: u64,
    slot: u64,
}

/// What one direction carries: both sides compute it.
struct Stream {
    state: u32,
    index: u32,
    slot: u64,
}

impl Stream {
    fn new(state: u32) -> Self {
        Self {
            state,
            index: 0,
            slot: 0,
        }
    }

    fn step(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }

    fn next(&mut self) -> Message {
        let kind =
            [Kind::Send, Kind::WriteImmediate, Kind::Write, Kind::Read][(self.step() >> 8 & 3) as usize];
        let size = self.step() >> 4;
        let most = [64, 4096, 20_000][(size % 3) as usize];
        let from = u64::from((self.step() >> 4) % 40_000);
        let message = Message {
            index: self.index,
            kind,
            bytes: size / 3 % most,
            from,
            slot: self.slot % SLOTS,
        };
        self.index += 1;
        self.slot += u64::from(kind != Kind::Read);
        message
    }
}

fn byte_of(index: u32, j: u32) -> u8 {
    index.wrapping_mul(31).wrapping_add(j * 7).wrapping_add(j >> 8) as u8
}

fn source_byte(j: u64) -> u8 {
    (j * 13 + (j >> 8) * 5 + 1) as u8
}

fn expected(message: &Message) -> Vec<u8> {
    (0..message.bytes)
        .map(|j| match message.kind {
            Kind::Read => source_byte(message.from + u64::from(j)),
            _ => byte_of(message.index, j),
        })
        .collect()
}

fn path(mtu: u32, traffic_class: u8) -> PathOptions {
    PathOptions {
        mtu: Some(mtu),
        service_level: 0,
        traffic_class,
        flow_label: 0,
        hop_limit: 64,
        pkey_index: 0,
        timeout: 14,
        retry_count: 7,
        rnr_retry: 7,
        min_rnr_timer: 12,
        reads: 4,
    }
}

struct Party {
    endpoint: Endpoint,
    control: TcpStream,
    target: Memory,
    own: Memory,
    receives: Memory,
    peer_target: Remote,
    peer_source: Remote,
    wrong: u64,
}

struct Outcome {
    sent: u32,
    received: u32,
    wrong: u64,
    counters: Counters,
    seconds: f64,
}

impl Party {
    /// Meets the peer over `control`.
    fn meet(mut endpoint: Endpoint, mut control: TcpStream, mtu: u32, class: u8) -> Self {
        let options = QueueOptions {
            service: Service::Rc,
            sends: 256,
            receives: 256,
            inline: 0,
        };
        let queue = endpoint.create(&options).unwrap();
        let target = endpoint.register(SLOT * SLOTS, Access::RemoteWrite).unwrap();
        let source = endpoint.register(SOURCE, Access::RemoteRead).unwrap();
        let own = endpoint.register(SLOT * SLOTS, Access::Local).unwrap();
        let receives = endpoint.register(2 * SLOT * SLOTS, Access::Local).unwrap();
        endpoint.store(&source, 0, &(0..SOURCE).map(source_byte).collect::<Vec<u8>>());
        let address = endpoint.address(queue);
        let gid: String = address.gid.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!(
            "{} {} {gid} {} {} {} {}\n",
            address.number,
            address.first_psn,
            target.address,
            target.remote_key,
            source.address,
            source.remote_key
        );
        control.write_all(line.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, &control)
            .read_line(&mut line)
            .unwrap();
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        let gid = std::array::from_fn(|i| u8::from_str_radix(&fields[2][2 * i..2 * i + 2], 16).unwrap());
        let peer = QueueAddress {
            number: number(0) as u32,
            first_psn: number(1) as u32,
            gid: Gid(gid),
            lid: 0,
            mtu: 4096,
        };
        endpoint.connect(queue, &peer, &path(mtu, class)).unwrap();
        let mut party = Self {
            endpoint,
            control,
            target,
            own,
            receives,
            peer_target: Remote {
                address: number(3),
                key: number(4) as u32,
            },
            peer_source: Remote {
                address: number(5),
                key: number(6) as u32,
            },
            wrong: 0,
        };
        for id in 0..2 * SLOTS {
            party.post_receive(id);
        }
        party.control.write_all(b"r").unwrap();
        party.control.read_exact(&mut [0]).unwrap();
        party.control.set_nonblocking(true).unwrap();
        party
    }

    fn span(memory: Memory, slot: u64, bytes: u32) -> Span {
        Span {
            memory,
            offset: slot * SLOT,
            bytes,
        }
    }

    fn post_receive(&mut self, id: u64) {
        let span = Self::span(self.receives, id, SLOT as u32);
        self.endpoint.post_receive(0, id, Some(span)).unwrap();
    }

    fn post(&mut self, id: u64, message: &Message, verb: Verb, bytes: u32) {
        let request = Request {
            id,
            verb,
            payload: Payload::Span(Self::span(self.own, u64::from(message.index) % SLOTS, bytes)),
            signalled: true,
            solicited: false,
        };
        self.endpoint.post(0, &[request]).unwrap();
    }

    fn send(&mut self, m: &Message) {
        if m.kind != Kind::Read {
            self.endpoint
                .store(&self.own, u64::from(m.index) % SLOTS * SLOT, &expected(m));
        }
        let id = u64::from(m.index);
        let immediate = Some(m.index);
        let remote = Remote {
            address: self.peer_target.address + m.slot * SLOT,
            ..self.peer_target
        };
        match m.kind {
            Kind::Send => self.post(id, m, Verb::Send { immediate }, m.bytes),
            Kind::WriteImmediate => self.post(id, m, Verb::Write { remote, immediate }, m.bytes),
            Kind::Write => {
                let plain = Verb::Write {
                    remote,
                    immediate: None,
                };
                self.post(QUIET, m, plain, m.bytes);
                self.post(id, m, Verb::Send { immediate }, 0);
            }
            Kind::Read => {
                let remote = Remote {
                    address: self.peer_source.address + m.from,
                    ..self.peer_source
                };
                self.post(id, m, Verb::Read { remote }, m.bytes);
            }
        }
    }

    fn check(&mut self, memory: Memory, offset: u64, message: &Message) {
        let mut found = vec![0; message.bytes as usize];
        self.endpoint.load(&memory, offset, &mut found);
        let wrong = found.iter().zip(expected(message)).filter(|(a, b)| **a != *b);
        self.wrong += wrong.count() as u64;
    }

    /// A message of the peer's has come.
    fn received(&mut self, completed: &Completed, incoming: &mut Stream) {
        let (bytes, immediate) = match completed.what {
            What::Received { bytes, immediate } => (bytes, immediate),
            What::Written { bytes, immediate } => (bytes, Some(immediate)),
            What::Request => unreachable!("only receives come here"),
        };
        let message = std::iter::repeat_with(|| incoming.next())
            .find(|message| message.kind != Kind::Read)
            .expect("the stream has no end");
        self.wrong += u64::from(immediate != Some(message.index));
        self.wrong += u64::from(message.kind != Kind::Write && message.bytes != bytes);
        match message.kind {
            Kind::Send => self.check(self.receives, completed.id * SLOT, &message),
            _ => self.check(self.target, message.slot * SLOT, &message),
        }
        self.post_receive(completed.id);
        self.say(b"c");
    }

    fn say(&mut self, word: &[u8]) {
        while let Err(e) = self.control.write_all(word) {
            assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}");
        }
    }

    /// Exchanges so many messages in each direction.
    fn exchange(mut self, messages: u32, seeds: (u32, u32)) -> Outcome {
        let started = Instant::now();
        let (mut out, mut incoming) = (Stream::new(seeds.0), Stream::new(seeds.1));
        let mut sent: VecDeque<Message> = VecDeque::new();
        let (mut posted, mut completed, mut unverified, mut verified) = (0, 0, 0, 0);
        let (mut peer_done, mut said_done) = (false, false);
        let mut done = Vec::new();
        while !(peer_done && said_done) {
            assert!(
                started.elapsed() < Duration::from_secs(200),
                "{completed} of {messages} sent, {verified} received"
            );
            while posted < messages && posted - completed < AHEAD && unverified < AHEAD {
                let message = out.next();
                self.send(&message);
                sent.push_back(message);
                posted += 1;
                unverified += u32::from(message.kind != Kind::Read);
            }
            self.endpoint.poll(&mut done, 16).unwrap();
            if done.is_empty() {
                std::thread::yield_now();
            }
            for completion in done.drain(..) {
                assert_eq!(completion.status, Status::Success, "{completion:?}");
                if completion.what != What::Request {
                    self.received(&completion, &mut incoming);
                    verified += 1;
                } else if completion.id != QUIET {
                    let message = sent.pop_front().expect("it was sent");
                    assert_eq!(
                        completion.id,
                        u64::from(message.index),
                        "requests complete in order"
                    );
                    if message.kind == Kind::Read {
                        self.check(self.own, u64::from(message.index) % SLOTS * SLOT, &message);
                    }
                    completed += 1;
                }
            }
            let mut words = [0; 64];
            match self.control.read(&mut words) {
                Ok(0) => panic!("the peer is gone: {completed} of {messages} sent, {verified} received"),
                Ok(count) => {
                    unverified -= words[..count].iter().filter(|word| **word == b'c').count() as u32;
                    peer_done |= words[..count].contains(&b'd');
                }
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}"),
            }
            if !said_done && completed == messages && unverified == 0 {
                said_done = true;
                self.say(b"d");
            }
        }
        // Answers to what the peer has not heard acknowledged yet.
        let grace = Instant::now();
        while grace.elapsed() < Duration::from_millis(300) {
            self.endpoint.poll(&mut done, 16).unwrap();
        }
        Outcome {
            sent: completed,
            received: verified,
            wrong: self.wrong,
            counters: self.endpoint.totals(),
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

fn settings(loss: f64, seed: u64) -> Settings {
    Settings {
        loss,
        seed,
        ..Settings::default()
    }
}

/// Messages of the stream that the receiver hears of.
fn heard(messages: u32, seed: u32) -> u32 {
    let mut stream = Stream::new(seed);
    (0..messages).filter(|_| stream.next().kind != Kind::Read).count() as u32
}

const SEEDS: (u32, u32) = (0xcafe, 0xbeef);

fn both_sides(addresses: [IpAddr; 2], messages: u32, loss: f64, mtu: u32) -> [Outcome; 2] {
    exchange(
        addresses,
        messages,
        (mtu, ECT0),
        settings(loss, 1),
        settings(loss, 2),
    )
}

fn exchange(
    addresses: [IpAddr; 2],
    messages: u32,
    (mtu, class): (u32, u8),
    one: Settings,
    other: Settings,
) -> [Outcome; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        let endpoint = Endpoint::open(addresses[1], other).unwrap();
        let party = Party::meet(endpoint, listener.accept().unwrap().0, mtu, class);
        party.exchange(messages, (SEEDS.1, SEEDS.0))
    });
    let endpoint = Endpoint::open(addresses[0], one).unwrap();
    let one = Party::meet(endpoint, TcpStream::connect(at).unwrap(), mtu, class).exchange(messages, SEEDS);
    [one, other.join().unwrap()]
}

fn all_right(outcome: &Outcome, messages: u32, from_peer: u32) {
    assert_eq!(
        (outcome.sent, outcome.received, outcome.wrong),
        (messages, from_peer, 0)
    );
    assert_eq!(outcome.counters.rx_icrc_encapsulated, 0, "{:?}", outcome.counters);
}

#[test]
fn ten_thousand_messages_each_way_arrive_although_one_packet_in_a_hundred_is_lost() {
    let [one, other] = both_sides(
        ["127.0.84.1".parse().unwrap(), "127.0.84.2".parse().unwrap()],
        10_000,
        0.01,
        1024,
    );
    all_right(&one, 10_000, heard(10_000, SEEDS.1));
    all_right(&other, 10_000, heard(10_000, SEEDS.0));
    for outcome in [&one, &other] {
        let c = &outcome.counters;
        assert!(
            c.injected_drops > 200,
            "about one in a hundred of 90,000 packets: {c:?}"
        );
        assert!(c.retransmitted_pkts >= c.injected_drops / 4, "{c:?}");
    }
}

#[test]
fn an_address_has_one_endpoint_and_a_second_is_told_so() {
    let address: IpAddr = "127.0.84.7".parse().unwrap();
    let first = Endpoint::open(address, settings(0.0, 1)).unwrap();
    let second = Endpoint::open(address, settings(0.0, 2)).unwrap_err();
    let said = second.source.to_string();
    assert!(said.contains("UDP port 4791 of 127.0.84.7 is taken"), "{said}");
    drop(first);
    Endpoint::open(address, settings(0.0, 2)).unwrap();
}

#[test]
fn nothing_is_refused_where_nothing_is_lost() {
    let [one, other] = both_sides(
        ["127.0.84.3".parse().unwrap(), "127.0.84.4".parse().unwrap()],
        2_000,
        0.0,
        4096,
    );
    all_right(&one, 2_000, heard(2_000, SEEDS.1));
    all_right(&other, 2_000, heard(2_000, SEEDS.0));
    assert_eq!(
        one.counters.sent_seq_err + other.counters.sent_seq_err,
        0,
        "{:?}",
        one.counters
    );
}

/// As if a switch on the way were congested all the time: the mark is read off the socket, and
/// notifications go back, at most one in 50 us.
#[test]
fn marked_packets_are_answered_with_notifications() {
    const LINE: u64 = 10_000_000_000;
    let controlled = |seed| Settings {
        dcqcn: Some(Parameters::paper(LINE)),
        ..settings(0.0, seed)
    };
    let addresses = ["127.0.84.10".parse().unwrap(), "127.0.84.11".parse().unwrap()];
    let outcomes = exchange(addresses, 500, (1024, CE), controlled(1), controlled(2));
    for (outcome, seed) in outcomes.iter().zip([SEEDS.1, SEEDS.0]) {
        all_right(outcome, 500, heard(500, seed));
        let c = &outcome.counters;
        assert!(c.np_ecn_marked_roce_packets > 500, "{c:?}");
        assert!(c.np_cnp_sent > 5 && c.rp_cnp_handled > 5, "{c:?}");
        assert!(c.np_cnp_sent as f64 <= outcome.seconds / 50e-6, "{c:?}");
    }
    assert_eq!(
        outcomes[0].counters.np_cnp_sent,
        outcomes[1].counters.rp_cnp_handled
    );
}

#[test]
fn tshark_reads_a_capture_without_complaint() {
    let tshark = |file: &std::path::Path, arguments: &[&str]| {
        let mut command = std::process::Command::new("tshark");
        command.arg("-r").arg(file).args(arguments);
        let output = command.output().ok()?;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).ok()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("endpoint.pcap");
    let capturing = Settings {
        capture: Some(file.clone()),
        ..settings(0.01, 1)
    };
    let addresses = ["127.0.84.8".parse().unwrap(), "127.0.84.9".parse().unwrap()];
    let [one, _] = exchange(addresses, 300, (1024, ECT0), capturing, settings(0.01, 2));
    let Some(opcodes) = tshark(&file, &["-T", "fields", "-e", "infiniband.bth.opcode"]) else {
        println!("skipped: there is no tshark");
        return;
    };
    let packets = opcodes.lines().filter(|line| !line.is_empty()).count() as u64;
    let on_the_wire = one.counters.sent_pkts - one.counters.injected_drops + one.counters.rcvd_pkts;
    assert_eq!(
        packets, on_the_wire,
        "every packet is in the capture, and is RoCE to tshark"
    );
    for kind in ["0", "1", "3", "5", "6", "11", "12", "17"] {
        assert!(
            opcodes.lines().any(|line| line == kind),
            "no packet of opcode {kind}"
        );
    }
    // Errors and worse of any dissector, and packets that end too early.
    let complaints = tshark(&file, &["-Y", "_ws.malformed || _ws.expert.severity >= 8388608"]);
    assert_eq!(complaints.as_deref(), Some(""));
}

/// One flow of 1 MiB writes, 8 outstanding, for 2 seconds: payload per second and CPU seconds of both
/// sides per 10^9 bytes. GENIE_ROCE_FROM and GENIE_ROCE_TO may name other addresses of this host.
#[test]
#[ignore = "measures: to be run alone"]
fn throughput_of_one_flow() {
    const BYTES: u32 = 1 << 20;
    let address = |name: &str, default: &str| -> IpAddr {
        let given = std::env::var(name).unwrap_or_else(|_| default.into());
        given.parse().unwrap()
    };
    let (from, to) = (
        address("GENIE_ROCE_FROM", "127.0.84.5"),
        address("GENIE_ROCE_TO", "127.0.84.6"),
    );
    let options = QueueOptions {
        service: Service::Rc,
        sends: 64,
        receives: 64,
        inline: 0,
    };
    let mut receiver = Endpoint::open(to, settings(0.0, 1)).unwrap();
    let mut sender = Endpoint::open(from, settings(0.0, 2)).unwrap();
    let target = receiver.register(u64::from(BYTES), Access::RemoteWrite).unwrap();
    let source = sender.register(u64::from(BYTES), Access::Local).unwrap();
    let (there, here) = (
        receiver.create(&options).unwrap(),
        sender.create(&options).unwrap(),
    );
    let (to_there, to_here) = (receiver.address(there), sender.address(here));
    let mtu = to_there.mtu.min(to_here.mtu);
    receiver.connect(there, &to_here, &path(mtu, 0)).unwrap();
    sender.connect(here, &to_there, &path(mtu, 0)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let other = std::thread::spawn(move || {
        let mut done = Vec::new();
        while !seen.load(Ordering::Relaxed) {
            receiver.poll(&mut done, 64).unwrap();
        }
        receiver.totals()
    });
    let write = Request {
        id: 0,
        verb: Verb::Write {
            remote: Remote {
                address: target.address,
                key: target.remote_key,
            },
            immediate: None,
        },
        payload: Payload::Span(Span {
            memory: source,
            offset: 0,
            bytes: BYTES,
        }),
        signalled: true,
        solicited: false,
    };
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    };
    let (started, cpu_before) = (Instant::now(), cpu());
    let (mut posted, mut completed, mut done) = (0u64, 0u64, Vec::new());
    while started.elapsed() < Duration::from_secs(2) || completed < posted {
        while posted - completed < 8 && started.elapsed() < Duration::from_secs(2) {
            sender.post(here, &[write]).unwrap();
            posted += 1;
        }
        sender.poll(&mut done, 64).unwrap();
        assert!(
            done.iter().all(|c: &Completed| c.status == Status::Success),
            "{done:?}"
        );
        completed += done.drain(..).count() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    let gigabytes = (completed * u64::from(BYTES)) as f64 / 1e9;
    let used = cpu() - cpu_before;
    over.store(true, Ordering::Relaxed);
    let counters = other.join().unwrap();
    assert_eq!(counters.rcvd_bytes, completed * u64::from(BYTES));
    println!(
        "{:.2} Gbit/s at MTU {mtu}, {:.2} CPU s/GB of both sides, {} retransmitted of {} packets",
        gigabytes * 8.0 / seconds,
        used / gigabytes,
        sender.totals().retransmitted_pkts,
        sender.totals().sent_pkts
    );
}

/// Both receivers against Linux's rxe and a program on libibverbs, in the guest.
#[test]
fn rxe_agrees_on_every_byte_although_one_packet_in_a_hundred_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let peer = folder.path().join("peer");
    let source = run_support::repository("tests/roce_rxe/peer.c");
    let mut compiler = std::process::Command::new("cc");
    compiler
        .args(["-O2", "-o"])
        .arg(&peer)
        .arg(source)
        .arg("-libverbs");
    let compiled = compiler.env("LC_ALL", "C").output();
    if !compiled.as_ref().is_ok_and(|output| output.status.success()) {
        let said = compiled.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stderr).into_owned()
        });
        // Anything but what is missing is a failure, not a reason to skip.
        let missing = ["verbs.h: No such file", "verbs.h' file not found", "-libverbs"];
        assert!(
            said.is_empty() || missing.iter().any(|part| said.contains(part)),
            "{said}"
        );
        eprintln!("skipped: no C compiler with libibverbs (package libibverbs-dev)");
        return;
    }
    if no_guest() {
        return;
    }
    let script = r#""$1" "$2" "$3" udp 10000 1 && "$1" "$2" "$3" raw 4000 1"#;
    let run = run_support::Genie::new().args(["vm", "run", "--", "/bin/sh", "-c", script, "sh"]);
    let run = run
        .arg(run_support::repository("tests/roce_rxe/in-guest"))
        .arg(&peer)
        .arg(std::env::current_exe().unwrap())
        .with(|command| {
            command.current_dir(folder.path());
        });
    let ended = run.deadline(PATIENCE).end().expect(0);
    for messages in [10_000, 4_000] {
        let all_right = format!("peer: sent {messages}, received ");
        let line = ended.stdout.lines().find(|line| line.starts_with(&all_right));
        assert!(
            line.is_some_and(|line| line.ends_with("wrong 0")),
            "{}",
            ended.stdout
        );
    }
}

/// Against `roce_rxe/peer.c`; `roce_rxe/in-guest` sets the variables. GENIE_ROCE_PEER is the control
/// address of the peer, GENIE_ROCE_ADDRESS our own, GENIE_ROCE_BACKEND `udp` or `raw`.
#[test]
#[ignore = "needs a kernel with rxe: run by roce_rxe/in-guest, which the test above plays"]
fn rxe_takes_and_sends_ten_thousand_messages() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let own: IpAddr = variable("GENIE_ROCE_ADDRESS").parse().unwrap();
    let peer: SocketAddr = variable("GENIE_ROCE_PEER").parse().unwrap();
    let messages: u32 = variable("GENIE_ROCE_MESSAGES").parse().unwrap_or(10_000);
    let loss = variable("GENIE_ROCE_LOSS").parse().unwrap_or(0.0);
    let capture = std::env::var("GENIE_ROCE_CAPTURE").ok().map(PathBuf::from);
    let settings = Settings {
        raw: variable("GENIE_ROCE_BACKEND") == "raw",
        capture,
        ..settings(loss, 3)
    };
    let endpoint = Endpoint::open(own, settings).unwrap();
    // It begins to listen beside us.
    let mut control = None;
    run_support::eventually(Duration::from_secs(10), || {
        control = TcpStream::connect(peer).ok();
        control.is_some()
    });
    let party = Party::meet(endpoint, control.expect("the peer listens"), 1024, ECT0);
    let outcome = party.exchange(messages, SEEDS);
    println!(
        "endpoint: sent {}, received {}, wrong {}, {:.1} s",
        outcome.sent, outcome.received, outcome.wrong, outcome.seconds
    );
    for (name, count) in outcome.counters.named() {
        println!("endpoint: {name} {count}");
    }
    all_right(&outcome, messages, heard(messages, SEEDS.1));
}
