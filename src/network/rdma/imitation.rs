//! For tests: devices in one process that execute verbs late, in random turns between queue pairs but in
//! order within one, and as strictly as hardware: no receive, no credit, no key, no mercy.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use super::provider::*;

/// A network of devices.
#[derive(Debug)]
pub struct Wire {
    devices: Vec<Device>,
    random: u64,
    /// Queue pairs fail after so many requests in all.
    pub fails_after: Option<u64>,
}

#[derive(Debug, Default)]
struct Device {
    memory: Vec<(Vec<u8>, Access)>,
    pairs: Vec<Pair>,
    completed: Vec<Completed>,
}

#[derive(Debug)]
struct Pair {
    peer: Option<(usize, usize)>,
    options: QueueOptions,
    receives: std::collections::VecDeque<(u64, Option<Span>)>,
    sends: std::collections::VecDeque<Posted>,
    /// Requests that no signalled completion has covered.
    uncovered: u32,
}

#[derive(Debug)]
struct Posted {
    id: u64,
    verb: Verb,
    source: Result<Span, Vec<u8>>,
    signalled: bool,
}

/// One device, as a provider.
#[derive(Debug)]
pub struct Imitation {
    wire: Arc<Mutex<Wire>>,
    index: usize,
    facts: DeviceFacts,
    null: File,
}

impl Wire {
    /// `devices` of them; what happens when is decided by `seed`.
    pub fn providers(devices: usize, seed: u64) -> (Arc<Mutex<Wire>>, Vec<Imitation>) {
        let wire = Arc::new(Mutex::new(Wire {
            devices: (0..devices).map(|_| Device::default()).collect(),
            random: seed | 1,
            fails_after: None,
        }));
        let provider = |index: usize| Imitation {
            wire: wire.clone(),
            index,
            facts: DeviceFacts {
                name: format!("imitation{index}"),
                port: 1,
                mtu: 1024,
                most_requests: 4096,
                most_completions: 1 << 20,
                most_reads: 16,
                most_bytes: 1 << 31,
                ..DeviceFacts::default()
            },
            null: File::open("/dev/null").unwrap(),
        };
        let providers = (0..devices).map(provider).collect();
        (wire, providers)
    }

    fn chance(&mut self, of: usize) -> usize {
        // xorshift64 (Marsaglia 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random as usize % of
    }

    /// Executes some requests.
    fn go_on(&mut self) {
        for _ in 0..self.chance(8) {
            let device = self.chance(self.devices.len());
            if self.devices[device].pairs.is_empty() {
                continue;
            }
            let pair = self.chance(self.devices[device].pairs.len());
            if let Some(posted) = self.devices[device].pairs[pair].sends.pop_front() {
                self.execute(device, pair, posted);
            }
        }
    }

    fn execute(&mut self, device: usize, pair: usize, posted: Posted) {
        let status = match self.fails_after.as_mut() {
            Some(0) => Err(Status::RetriesExceeded),
            Some(left) => {
                *left -= 1;
                self.deliver(device, pair, &posted)
            }
            None => self.deliver(device, pair, &posted),
        };
        let done = &mut self.devices[device];
        if posted.signalled || status.is_err() {
            done.pairs[pair].uncovered = done.pairs[pair].sends.len() as u32;
            done.completed.push(Completed {
                queue: pair,
                id: posted.id,
                what: What::Request,
                status: status.err().unwrap_or(Status::Success),
                vendor: 0,
            });
        }
    }

    fn deliver(&mut self, device: usize, pair: usize, posted: &Posted) -> Result<(), Status> {
        let (other, other_pair) = self.devices[device].pairs[pair]
            .peer
            .ok_or(Status::LocalOperation)?;
        let payload = match &posted.source {
            // Read now, not when posted: memory that is used again too early is found out.
            Ok(span) => self
                .bytes(device, span.memory.id, span.offset, span.bytes)?
                .to_vec(),
            Err(inline) => inline.clone(),
        };
        let bytes = payload.len() as u32;
        match posted.verb {
            Verb::Read { remote } => {
                let (id, offset) = (remote.key as usize, remote.address & 0xffff_ffff);
                self.allowed(other, id, Access::RemoteRead)?;
                let data = self.bytes(other, id, offset, bytes)?.to_vec();
                let span = posted.source.as_ref().map_err(|_| Status::LocalProtection)?;
                self.put(device, span.memory.id, span.offset, &data)
            }
            Verb::Write { remote, immediate } => {
                let (id, offset) = (remote.key as usize, remote.address & 0xffff_ffff);
                self.allowed(other, id, Access::RemoteWrite)?;
                self.put(other, id, offset, &payload)?;
                let Some(immediate) = immediate else { return Ok(()) };
                let what = What::Written { bytes, immediate };
                self.take_receive(other, other_pair, what).map(|_| ())
            }
            Verb::Send { immediate } => {
                let what = What::Received { bytes, immediate };
                let buffer = self.take_receive(other, other_pair, what)?;
                let span = buffer.filter(|span| span.bytes >= bytes);
                let span = span.ok_or(Status::RemoteInvalidRequest)?;
                self.put(other, span.memory.id, span.offset, &payload)
            }
        }
    }

    fn take_receive(&mut self, device: usize, pair: usize, what: What) -> Result<Option<Span>, Status> {
        let device = &mut self.devices[device];
        let receive = device.pairs[pair].receives.pop_front();
        let (id, buffer) = receive.ok_or(Status::NotReadyRetriesExceeded)?;
        device.completed.push(Completed {
            queue: pair,
            id,
            what,
            status: Status::Success,
            vendor: 0,
        });
        Ok(buffer)
    }

    fn allowed(&self, device: usize, id: usize, wanted: Access) -> Result<(), Status> {
        let memory = self.devices[device].memory.get(id);
        match memory {
            Some((_, access)) if *access == wanted => Ok(()),
            _ => Err(Status::RemoteAccess),
        }
    }

    fn bytes(&self, device: usize, id: usize, offset: u64, bytes: u32) -> Result<&[u8], Status> {
        let memory = &self.devices[device].memory[id].0;
        let (start, end) = (offset as usize, offset as usize + bytes as usize);
        memory.get(start..end).ok_or(Status::RemoteAccess)
    }

    fn put(&mut self, device: usize, id: usize, offset: u64, data: &[u8]) -> Result<(), Status> {
        let memory = &mut self.devices[device].memory[id].0;
        let part = memory.get_mut(offset as usize..offset as usize + data.len());
        part.ok_or(Status::RemoteAccess)?.copy_from_slice(data);
        Ok(())
    }
}

impl Imitation {
    fn with<T>(&self, what: impl FnOnce(&mut Device) -> T) -> T {
        what(&mut self.wire.lock().unwrap().devices[self.index])
    }
}

impl Provider for Imitation {
    fn device(&self) -> &DeviceFacts {
        &self.facts
    }

    fn register(&mut self, bytes: u64, access: Access) -> Result<Memory, ProviderError> {
        let id = self.with(|device| {
            device.memory.push((vec![0; bytes as usize], access));
            device.memory.len() - 1
        });
        Ok(Memory {
            id,
            address: (id as u64) << 32,
            bytes,
            local_key: id as u32,
            remote_key: id as u32,
        })
    }

    fn load(&self, memory: &Memory, offset: u64, into: &mut [u8]) {
        self.with(|device| {
            let start = offset as usize;
            into.copy_from_slice(&device.memory[memory.id].0[start..start + into.len()]);
        });
    }

    fn store(&mut self, memory: &Memory, offset: u64, from: &[u8]) {
        self.with(|device| {
            let start = offset as usize;
            device.memory[memory.id].0[start..start + from.len()].copy_from_slice(from);
        });
    }

    fn create(&mut self, options: &QueueOptions) -> Result<QueuePair, ProviderError> {
        Ok(self.with(|device| {
            device.pairs.push(Pair {
                peer: None,
                options: *options,
                receives: Default::default(),
                sends: Default::default(),
                uncovered: 0,
            });
            device.pairs.len() - 1
        }))
    }

    fn address(&self, queue: QueuePair) -> QueueAddress {
        let mut gid = [0; 16];
        gid[15] = self.index as u8;
        QueueAddress {
            number: queue as u32,
            first_psn: 0,
            gid: Gid(gid),
            lid: 0,
            mtu: self.facts.mtu,
        }
    }

    fn connect(
        &mut self,
        queue: QueuePair,
        peer: &QueueAddress,
        _path: &PathOptions,
    ) -> Result<(), ProviderError> {
        let other = (usize::from(peer.gid.0[15]), peer.number as usize);
        self.with(|device| device.pairs[queue].peer = Some(other));
        Ok(())
    }

    fn post_receive(&mut self, queue: QueuePair, id: u64, buffer: Option<Span>) -> Result<(), ProviderError> {
        self.with(|device| {
            let pair = &mut device.pairs[queue];
            pair.receives.push_back((id, buffer));
            assert!(pair.receives.len() <= pair.options.receives as usize, "receives");
        });
        Ok(())
    }

    fn post(&mut self, queue: QueuePair, requests: &[Request<'_>]) -> Result<(), ProviderError> {
        self.with(|device| {
            let pair = &mut device.pairs[queue];
            for request in requests {
                pair.uncovered += 1;
                assert!(pair.uncovered <= pair.options.sends, "the send queue overflows");
                let source = match request.payload {
                    Payload::Span(span) => Ok(span),
                    Payload::Inline(bytes) => {
                        assert!(bytes.len() <= pair.options.inline as usize, "inline");
                        Err(bytes.to_vec())
                    }
                };
                pair.sends.push_back(Posted {
                    id: request.id,
                    verb: request.verb,
                    source,
                    signalled: request.signalled,
                });
            }
        });
        Ok(())
    }

    fn poll(&mut self, completions: &mut Vec<Completed>, most: usize) -> Result<(), ProviderError> {
        let mut wire = self.wire.lock().unwrap();
        wire.go_on();
        let completed = &mut wire.devices[self.index].completed;
        let count = completed.len().min(most);
        completions.extend(completed.drain(..count));
        Ok(())
    }

    fn arm(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn event(&self) -> BorrowedFd<'_> {
        self.null.as_fd()
    }

    fn disarm(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}
