//! The provider over libibverbs: hardware, or the kernel's soft-RoCE.
//!
//! * [`sys`]: the library's calls. [`library`]: finding it. [`owned`]: what it makes, given back in time.

pub mod library;
pub mod owned;
pub mod sys;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use ibverbs_sys::{ibv_wc, ibv_wc_opcode, ibv_wc_status, ibv_wr_opcode};

use super::provider::{
    Access, Completed, DeviceFacts, Gid, Memory, PathOptions, Payload, Provider, ProviderError, QueueAddress,
    QueueOptions, QueuePair, Request, Span, Status, Verb, What,
};
use crate::scenario::plan::rdma::Service;

/// Which port of which device, with which GID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Device name.
    pub device: String,
    /// Port, from 1.
    pub port: u8,
    /// Index of the GID.
    pub gid_index: u8,
    /// The GID.
    pub gid: Gid,
    /// Index of the partition key.
    pub pkey_index: u16,
}

/// A device opened by libibverbs.
#[derive(Debug)]
pub struct Verbs {
    device: sys::Device,
    port: Port,
    facts: DeviceFacts,
    lid: u16,
    /// (number, first PSN, service) of each queue pair.
    pairs: Vec<(u32, u32, Service)>,
    /// Queue pairs by number, sorted.
    numbers: Vec<(u32, QueuePair)>,
    huge_pages: bool,
}

impl Verbs {
    /// Opens a device with room for so many completions.
    ///
    /// # Errors
    /// The device is unknown to libibverbs, its port is down, or it has no room.
    pub fn open(port: Port, completions: u64) -> Result<Self, ProviderError> {
        let name = port.device.clone();
        let failed = |what: &str, source| error(&name, what, source);
        let entries = u32::try_from(completions).unwrap_or(u32::MAX);
        let device = sys::open(&port.device, entries).map_err(|source| {
            let what = format!("open it with {completions} completions");
            failed(&what, source)
        })?;
        let attributes = device
            .attributes(port.port)
            .map_err(|source| failed(&format!("query port {}", port.port), source))?;
        if !attributes.active {
            let down = io::Error::other("the port is not active; set its interface up");
            return Err(failed(&format!("use port {}", port.port), down));
        }
        Ok(Self {
            facts: DeviceFacts {
                name: port.device.clone(),
                port: port.port,
                gid_index: port.gid_index.into(),
                gid: port.gid,
                mtu: 128 << attributes.mtu.clamp(1, 5),
                most_requests: attributes.most_requests,
                most_completions: attributes.most_completions,
                most_bytes: attributes.most_bytes.into(),
                most_reads: attributes.most_reads,
            },
            lid: attributes.lid,
            device,
            port,
            pairs: Vec::new(),
            numbers: Vec::new(),
            huge_pages: false,
        })
    }

    /// Registers memory in huge pages from now on.
    pub fn use_huge_pages(&mut self, huge_pages: bool) {
        self.huge_pages = huge_pages;
    }

    fn failed(&self, what: String) -> impl FnOnce(io::Error) -> ProviderError + use<> {
        let device = self.facts.name.clone();
        move |source| ProviderError { device, what, source }
    }
}

impl Provider for Verbs {
    fn device(&self) -> &DeviceFacts {
        &self.facts
    }

    fn register(&mut self, bytes: u64, access: Access) -> Result<Memory, ProviderError> {
        let limit = match self.huge_pages {
            true => "in huge pages (see `sysctl vm.nr_hugepages`)",
            false => "(see `ulimit -l`)",
        };
        let failed = self.failed(format!("register {bytes} bytes of memory {limit}"));
        let access = (access == Access::RemoteWrite, access == Access::RemoteRead);
        let made = self
            .device
            .register(bytes.max(1) as usize, access, self.huge_pages);
        let registered = made.map_err(failed)?;
        Ok(Memory {
            id: registered.id,
            address: registered.address,
            bytes: registered.bytes,
            local_key: registered.local_key,
            remote_key: registered.remote_key,
        })
    }

    fn load(&self, memory: &Memory, offset: u64, into: &mut [u8]) {
        self.device.load(memory.id, offset, into);
    }

    fn store(&mut self, memory: &Memory, offset: u64, from: &[u8]) {
        self.device.store(memory.id, offset, from);
    }

    fn create(&mut self, options: &QueueOptions) -> Result<QueuePair, ProviderError> {
        let what = format!(
            "make a queue pair ({} sends, {} receives, {} bytes inline)",
            options.sends, options.receives, options.inline
        );
        let failed = self.failed(what);
        let reliable = options.service == Service::Rc;
        let port = (self.port.port, self.port.pkey_index);
        let made = self
            .device
            .create(reliable, options.sends, options.receives, options.inline, port);
        let (pair, number) = made.map_err(failed)?;
        self.pairs.resize(pair + 1, (0, 0, options.service));
        self.pairs[pair] = (number, first_psn(number), options.service);
        let at = self.numbers.partition_point(|(known, _)| *known < number);
        self.numbers.insert(at, (number, pair));
        Ok(pair)
    }

    fn address(&self, queue: QueuePair) -> QueueAddress {
        let (number, first_psn, _) = self.pairs[queue];
        QueueAddress {
            number,
            first_psn,
            gid: self.facts.gid,
            lid: self.lid,
            mtu: self.facts.mtu,
        }
    }

    fn connect(
        &mut self,
        queue: QueuePair,
        peer: &QueueAddress,
        path: &PathOptions,
    ) -> Result<(), ProviderError> {
        let mtu = path.mtu.unwrap_or(self.facts.mtu.min(peer.mtu));
        let failed = self.failed(format!(
            "connect queue pair {:#x} with {:#x} at {} (path MTU {mtu})",
            self.pairs[queue].0, peer.number, peer.gid
        ));
        let path = sys::Path {
            port: self.port.port,
            gid_index: self.port.gid_index,
            gid: peer.gid.0,
            lid: peer.lid,
            number: peer.number,
            psn: (peer.first_psn, self.pairs[queue].1),
            mtu: mtu.max(256).ilog2() - 7,
            class: (path.service_level, path.traffic_class, path.hop_limit),
            flow_label: path.flow_label,
            patience: [path.timeout, path.retry_count, path.rnr_retry, path.min_rnr_timer],
            reads: path.reads.min(self.facts.most_reads),
            reliable: self.pairs[queue].2 == Service::Rc,
        };
        self.device.connect(queue, &path).map_err(failed)
    }

    fn post_receive(&mut self, queue: QueuePair, id: u64, buffer: Option<Span>) -> Result<(), ProviderError> {
        let posted = self
            .device
            .post_receive(queue, id, buffer.map(|span| piece(&span)));
        posted.map_err(|source| error(&self.facts.name, "post a receive", source))
    }

    fn post(&mut self, queue: QueuePair, requests: &[Request<'_>]) -> Result<(), ProviderError> {
        let posted = match requests {
            [one] => self.device.post(queue, &[raw(one)]),
            many => self.device.post(queue, &many.iter().map(raw).collect::<Vec<_>>()),
        };
        posted.map_err(|source| error(&self.facts.name, "post a request", source))
    }

    fn poll(&mut self, completions: &mut Vec<Completed>, most: usize) -> Result<(), ProviderError> {
        let numbers = &self.numbers;
        let each = |wc: &ibv_wc| {
            let at = numbers.binary_search_by_key(&wc.qp_num, |(number, _)| *number);
            if let Ok(at) = at {
                completions.push(completed(numbers[at].1, wc));
            }
        };
        let polled = self.device.poll(most, each);
        polled
            .map(|_| ())
            .map_err(|source| error(&self.facts.name, "poll completions", source))
    }

    fn arm(&mut self) -> Result<(), ProviderError> {
        let armed = self.device.arm();
        armed.map_err(|source| error(&self.facts.name, "arm the completion queue", source))
    }

    fn event(&self) -> BorrowedFd<'_> {
        self.device.event()
    }

    fn disarm(&mut self) -> Result<(), ProviderError> {
        self.device.disarm();
        Ok(())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        genie_drivers::rdma::counters(&self.facts.name, self.facts.port)
    }
}

fn error(device: &str, what: &str, source: io::Error) -> ProviderError {
    ProviderError {
        device: device.into(),
        what: what.into(),
        source,
    }
}

/// A first PSN that an earlier connection with the same numbers is unlikely to have had.
fn first_psn(number: u32) -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    (nanos ^ number.wrapping_mul(0x9e37_79b9)) & 0xff_ffff
}

fn piece(span: &Span) -> sys::Piece {
    sys::Piece {
        address: span.memory.address + span.offset,
        bytes: span.bytes,
        key: span.memory.local_key,
    }
}

fn raw<'a>(request: &Request<'a>) -> sys::Request<'a> {
    let nothing = sys::Piece {
        address: 0,
        bytes: 0,
        key: 0,
    };
    let (piece, inline) = match request.payload {
        Payload::Span(span) => (piece(&span), None),
        Payload::Inline(bytes) => (nothing, Some(bytes)),
    };
    let none = super::provider::Remote { address: 0, key: 0 };
    let (opcode, remote, immediate) = match request.verb {
        Verb::Send { immediate: None } => (ibv_wr_opcode::IBV_WR_SEND, none, None),
        Verb::Send { immediate } => (ibv_wr_opcode::IBV_WR_SEND_WITH_IMM, none, immediate),
        Verb::Write {
            remote,
            immediate: None,
        } => (ibv_wr_opcode::IBV_WR_RDMA_WRITE, remote, None),
        Verb::Write { remote, immediate } => (ibv_wr_opcode::IBV_WR_RDMA_WRITE_WITH_IMM, remote, immediate),
        Verb::Read { remote } => (ibv_wr_opcode::IBV_WR_RDMA_READ, remote, None),
    };
    sys::Request {
        id: request.id,
        opcode,
        piece,
        remote: (remote.address, remote.key),
        immediate: immediate.unwrap_or(0),
        inline,
        signalled: request.signalled,
        solicited: request.solicited,
    }
}

fn completed(queue: QueuePair, wc: &ibv_wc) -> Completed {
    let bytes = wc.len() as u32;
    let immediate = wc.imm_data().map(u32::from_be);
    let what = match wc.opcode() {
        ibv_wc_opcode::IBV_WC_RECV => What::Received { bytes, immediate },
        ibv_wc_opcode::IBV_WC_RECV_RDMA_WITH_IMM => What::Written {
            bytes,
            immediate: immediate.unwrap_or(0),
        },
        _ => What::Request,
    };
    let (code, vendor) = wc.error().unwrap_or((ibv_wc_status::IBV_WC_SUCCESS, 0));
    Completed {
        queue,
        id: wc.wr_id(),
        what,
        status: status(code),
        vendor,
    }
}

fn status(code: ibv_wc_status::Type) -> Status {
    match code {
        ibv_wc_status::IBV_WC_SUCCESS => Status::Success,
        ibv_wc_status::IBV_WC_LOC_LEN_ERR => Status::LocalLength,
        ibv_wc_status::IBV_WC_LOC_QP_OP_ERR => Status::LocalOperation,
        ibv_wc_status::IBV_WC_LOC_PROT_ERR => Status::LocalProtection,
        ibv_wc_status::IBV_WC_WR_FLUSH_ERR => Status::Flushed,
        ibv_wc_status::IBV_WC_BAD_RESP_ERR => Status::BadResponse,
        ibv_wc_status::IBV_WC_LOC_ACCESS_ERR => Status::LocalAccess,
        ibv_wc_status::IBV_WC_REM_INV_REQ_ERR => Status::RemoteInvalidRequest,
        ibv_wc_status::IBV_WC_REM_ACCESS_ERR => Status::RemoteAccess,
        ibv_wc_status::IBV_WC_REM_OP_ERR => Status::RemoteOperation,
        ibv_wc_status::IBV_WC_RETRY_EXC_ERR => Status::RetriesExceeded,
        ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR => Status::NotReadyRetriesExceeded,
        ibv_wc_status::IBV_WC_FATAL_ERR => Status::Fatal,
        ibv_wc_status::IBV_WC_RESP_TIMEOUT_ERR => Status::ResponseTimeout,
        other => Status::Other(other),
    }
}
