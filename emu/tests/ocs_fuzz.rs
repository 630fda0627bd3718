//! Hostile bytes at both ends of every dialect: errors, but no panic, no hang and no growing memory.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use genie_drivers::ocs::codec::gnmi::{self, GetResponse, SetRequest};
use genie_drivers::ocs::codec::http2::{self, Connection};
use genie_drivers::ocs::codec::{hpack, http, netconf, scpi, shell, tl1};
use genie_drivers::ocs::{self, Dialect, Endpoint, Size};
use genie_emu::ocs::{Options, Server, Settle, Trouble};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Bytes that look like a dialect's in parts.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "M  1 COMPLD\r\n",
        "\r\n;",
        ">",
        "A  1 REPT X\r\n",
        "(@",
        "1,2",
        ")",
        ",(@3)",
        "-113,\"x\"",
        "HTTP/1.1 200 OK\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n\r\n",
        "ffffffff\r\n",
        "]]>]]>",
        "\n#5\n",
        "\n##\n",
        "<hello xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">",
        "<a>",
        "</a>",
        "&amp;",
        "<!DOCTYPE a [",
        "<rpc-reply",
        "{",
        "}",
        "[",
        "\"value\":",
        "genie-1 0\n",
        "genie-1 x\n",
        "1&&",
        "&4",
        ":oxc:swit:conn:add ",
        "*OPC?;",
        "\r\n",
        "ENT-PATCH::1,17:1:;",
        "ACT-USER::root:1::root;",
        "ENT-CRS::1.1.1,1.1.2:1::G,2WAY;",
        "PATCH /api/data/cross-connects/pair HTTP/1.1\r\n",
        "<<'E'\n",
        "E\n",
        "sudo config apply-patch /dev/stdin",
        ";",
        "\0",
        "\u{ff}",
        "99999999999999999999",
    ]);
    let part = prop_oneof![
        6 => words.prop_map(|word| word.as_bytes().to_vec()),
        2 => frame(),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// A frame of HTTP/2 of any kind, well formed in its head.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(hpack::encode(&[
            (":path".into(), "/gnmi.gNMI/Set".into()),
            ("grpc-status".into(), "0".into())
        ])),
        Just(gnmi::pack(&GetResponse::default())),
        Just(vec![0, 0, 0, 0, 4, 0x22, 2, 0x1a, 0]),
    ];
    (0u8..11, any::<u8>(), 0u32..6, payload).prop_map(|(kind, flags, stream, payload)| {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn codecs_take_whole_messages_or_say_why_not(bytes in hostile()) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = scpi::read_pairs(&text);
        let _ = scpi::read_error(&text);
        let _ = scpi::read_tuple(&text);
        let _ = tl1::read_list(&text);
        let _ = tl1::command(&text);
        let mut lengths = vec![];
        lengths.extend(tl1::message(&bytes).ok().flatten().map(|(_, length)| length));
        lengths.extend(tl1::next_command(&bytes).map(|(_, length)| length));
        lengths.extend(shell::answer(&bytes, 1).ok().flatten().map(|(_, length)| length));
        for ended in [false, true] {
            lengths.extend(http::message(&bytes, ended).ok().flatten().map(|(_, length)| length));
        }
        for framing in [netconf::Framing::Mark, netconf::Framing::Chunks] {
            lengths.extend(netconf::unframe(framing, &bytes).ok().flatten().map(|(_, length)| length));
        }
        let _ = hpack::decode(&bytes);
        let _ = gnmi::unpack::<SetRequest>(&bytes);
        for mut end in [Connection::client(), Connection::server()] {
            let mut rest = &bytes[http2::begin(&bytes).unwrap_or(0)..];
            while let Ok(Some((frame, length))) = http2::frame(rest) {
                rest = &rest[length..];
                if end.handle(frame).is_err() {
                    break;
                }
            }
            // What is said in answer is bounded by what was heard.
            prop_assert!(end.take().len() <= 200 + 5 * bytes.len());
        }
        for length in lengths {
            prop_assert!(length > 0 && length <= bytes.len());
        }
    }
}

#[test]
fn a_driver_survives_a_switch_that_talks_nonsense() {
    for dialect in Dialect::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let talker = std::thread::spawn(move || {
            let mut runner = proptest::test_runner::TestRunner::deterministic();
            for stream in listener.incoming().take(12) {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                for _ in 0..10 {
                    let nonsense = hostile().new_tree(&mut runner).unwrap().current();
                    let mut sink = [0; 4096];
                    let _ = stream.read(&mut sink);
                    if stream.write_all(&nonsense).is_err() {
                        break;
                    }
                }
            }
        });
        let mut endpoint = Endpoint::at(&format!("{dialect}://{address}")).unwrap();
        endpoint.answer = Duration::from_millis(60);
        endpoint.settle = Duration::from_millis(60);
        for _ in 0..12 {
            let begin = Instant::now();
            if let Ok(mut switch) = ocs::open(endpoint.clone()) {
                let _ = switch.size();
                let _ = switch.circuits();
                let _ = switch.ports();
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{dialect} hangs");
        }
        talker.join().unwrap();
    }
}

#[test]
fn an_imitation_survives_clients_that_talk_nonsense() {
    for dialect in Dialect::ALL {
        let size = Size { a: 8, b: 8 };
        let settle = Settle {
            mean: Duration::ZERO,
            jitter: Duration::ZERO,
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            dialect,
            size,
            settle,
            seed: 1,
            trouble: Trouble::default(),
            listen,
        };
        let server = Server::start(options, Box::new(|_| {})).unwrap();
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            for _ in 0..4 {
                let nonsense = hostile().new_tree(&mut runner).unwrap().current();
                let _ = stream.write_all(&nonsense);
            }
        }
        // It still serves.
        let begin = Instant::now();
        let endpoint = Endpoint::at(&format!("{dialect}://{}", server.address())).unwrap();
        while ocs::open(endpoint.clone())
            .and_then(|mut switch| switch.size())
            .ok()
            != Some(size)
        {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{dialect} serves no more"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(server);
    }
}
