//! What the fabric tests share: run ids, traffic, and a way to skip where privilege is missing.

#![allow(dead_code, clippy::print_stderr)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use genie_emu::journal::Journal;
use genie_emu::privilege::{self, Privilege};
use genie_emu::spec::FabricSpec;
use genie_emu::{Fabric, enter};

/// Whether this test can run; prints why not.
pub fn is_root() -> bool {
    let root = privilege::current() == Some(Privilege::Root);
    if !root {
        eprintln!("skipped: needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN)");
    }
    root
}

/// A run id that no other test, process or run on this machine has.
pub fn run_id() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "t{:x}{:x}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A fabric with its journal in a state folder of its own.
pub struct Lab {
    pub fabric: Fabric,
    pub journal: Journal,
    pub state: tempfile::TempDir,
}

impl Lab {
    pub fn up(spec: &FabricSpec) -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::create_in(&state.path().join("s"), &spec.run).unwrap();
        let fabric = Fabric::up(spec, &journal).unwrap_or_else(|e| panic!("{e}"));
        Self {
            fabric,
            journal,
            state,
        }
    }

    /// Takes it down and checks that nothing is left.
    pub fn down(mut self) {
        let prefix = format!("genie-{}-", self.fabric.spec().run);
        assert_eq!(self.fabric.down(), Vec::<String>::new());
        assert_eq!(
            self.fabric.down(),
            Vec::<String>::new(),
            "a second call does nothing"
        );
        assert_eq!(names(&prefix), Vec::<String>::new());
        self.journal.finish().unwrap();
        assert!(!self.state.path().join("s").exists());
    }
}

/// Names of namespaces with this prefix.
pub fn names(prefix: &str) -> Vec<String> {
    let Ok(listing) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    let names = listing
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

/// The name of a connection's congestion control.
pub fn congestion_control(stream: &TcpStream) -> String {
    let name = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::TcpCongestion).unwrap();
    name.to_string_lossy().trim_end_matches('\0').to_owned()
}

/// Sends bytes over one connection; returns the congestion control of both ends.
pub fn transfer(fabric: &Fabric, from: usize, to: usize, bytes: usize) -> [String; 2] {
    let address: Ipv4Addr = fabric.spec().nodes[to].addresses[0];
    let (tell, told) = std::sync::mpsc::channel::<SocketAddr>();
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            enter(fabric.namespace(to)).unwrap();
            let listener = TcpListener::bind((address, 0)).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let (mut stream, peer) = listener.accept().unwrap();
            // The source is the host's own address, not a port's.
            assert!(
                fabric.spec().nodes[from]
                    .addresses
                    .iter()
                    .any(|a| peer.ip() == *a),
                "{peer}"
            );
            let mut buffer = vec![0; 256 << 10];
            let mut total = 0;
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    count => total += count,
                }
            }
            assert_eq!(total, bytes);
            congestion_control(&stream)
        });
        let sender = scope.spawn(move || {
            enter(fabric.namespace(from)).unwrap();
            let to = told.recv().unwrap();
            let mut stream = TcpStream::connect_timeout(&to, std::time::Duration::from_secs(3)).unwrap();
            stream.write_all(&vec![7; bytes]).unwrap();
            congestion_control(&stream)
        });
        [sender.join().unwrap(), receiver.join().unwrap()]
    })
}
