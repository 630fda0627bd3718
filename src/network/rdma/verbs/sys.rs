//! libibverbs, called: nearly all `unsafe` of the RDMA transport. Basic completion queues, because the
//! extended ones of rdma-core before 46 lose completions on soft-RoCE.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::library::{Library, library};
use super::owned::{Made, Mapping};
use ib::{ibv_access_flags as access, ibv_qp_attr_mask as mask, ibv_send_flags as flags};
use ibverbs_sys as ib;

/// Completions taken by one call.
pub const BATCH: usize = 64;

/// Bytes of a huge page, as x86-64 and arm64 commonly have them.
const HUGE_PAGE: usize = 2 << 20;

/// An opened device with a protection domain, a completion queue and its event channel. Fields are given back
/// in this order: users first.
#[derive(Debug)]
pub struct Device {
    library: &'static Library,
    /// Events taken and not acknowledged.
    events: c_uint,
    pairs: Vec<Made<ib::ibv_qp>>,
    queue: Made<ib::ibv_cq>,
    channel: Made<ib::ibv_comp_channel>,
    regions: Vec<Region>,
    domain: Made<ib::ibv_pd>,
    context: Made<ib::ibv_context>,
}

// SAFETY: libibverbs may be called from any thread, and everything here is reached through one owner.
unsafe impl Send for Device {}

/// Registered memory, deregistered before it is unmapped.
#[derive(Debug)]
struct Region {
    /// Only kept.
    _registration: Made<ib::ibv_mr>,
    memory: Mapping,
}

/// Memory that was registered, as requests name it.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// Its index.
    pub id: usize,
    /// Where it begins.
    pub address: u64,
    /// Its length: what was asked for, in whole huge pages if it is in such.
    pub bytes: u64,
    /// Key for own requests.
    pub local_key: u32,
    /// Key for peers' requests.
    pub remote_key: u32,
}

/// What a device says of itself and of one port.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    /// Most requests of a queue.
    pub most_requests: u32,
    /// Most completions of a queue.
    pub most_completions: u32,
    /// Most reads that a queue pair answers at once.
    pub most_reads: u8,
    /// Longest message.
    pub most_bytes: u32,
    /// Code of the MTU: 256 << (code - 1) bytes.
    pub mtu: u32,
    /// The port carries traffic.
    pub active: bool,
    /// LID.
    pub lid: u16,
}

/// A piece of memory, as the device takes it.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Address.
    pub address: u64,
    /// Length.
    pub bytes: u32,
    /// Local key.
    pub key: u32,
}

/// A request of a send queue, as the device takes it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Comes back in the completion.
    pub id: u64,
    /// One of `ibv_wr_opcode`.
    pub opcode: c_uint,
    /// The payload, unless it is inline.
    pub piece: Piece,
    /// Inline payload, copied when posted.
    pub inline: Option<&'a [u8]>,
    /// Address and key of the peer's memory.
    pub remote: (u64, u32),
    /// Immediate.
    pub immediate: u32,
    /// Completion wanted.
    pub signalled: bool,
    /// Event wanted at the receiver.
    pub solicited: bool,
}

/// How a queue pair reaches the other; numbers as `ibv_modify_qp` takes them.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Port of this side.
    pub port: u8,
    /// Index of this side's GID.
    pub gid_index: u8,
    /// The peer's GID.
    pub gid: [u8; 16],
    /// The peer's LID.
    pub lid: u16,
    /// The peer's queue pair.
    pub number: u32,
    /// First PSN that the peer sends, and first that this side sends.
    pub psn: (u32, u32),
    /// Code of the path MTU.
    pub mtu: u32,
    /// Service level, traffic class, hop limit.
    pub class: (u8, u8, u8),
    /// Flow label.
    pub flow_label: u32,
    /// timeout, retry_cnt, rnr_retry, min_rnr_timer.
    pub patience: [u8; 4],
    /// Reads outstanding.
    pub reads: u8,
    /// Reliable connection.
    pub reliable: bool,
}

/// Opens the device of this name with room for so many completions.
///
/// # Errors
/// `NotFound` if libibverbs has no such device (its provider library may be missing).
pub fn open(name: &str, completions: u32) -> io::Result<Device> {
    open_by(library().map_err(io::Error::other)?, name, completions)
}

fn open_by(library: &'static Library, name: &str, completions: u32) -> io::Result<Device> {
    let context = context(library, name)?;
    // SAFETY: every object is made of those before it, which are given back after it, also where this fails.
    unsafe {
        let domain = Made::new((library.alloc_pd)(context.as_ptr()), library.dealloc_pd)?;
        let channel = (library.create_comp_channel)(context.as_ptr());
        let channel = Made::new(channel, library.destroy_comp_channel)?;
        let entries = completions.min(i32::MAX as u32) as c_int;
        let queue = (library.create_cq)(context.as_ptr(), entries, ptr::null_mut(), channel.as_ptr(), 0);
        let queue = Made::new(queue, library.destroy_cq)?;
        let fd = channel.get().fd;
        let set = libc::fcntl(
            fd,
            libc::F_SETFL,
            libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK,
        );
        answer(if set < 0 { -1 } else { 0 })?;
        Ok(Device {
            library,
            events: 0,
            pairs: Vec::new(),
            queue,
            channel,
            regions: Vec::new(),
            domain,
            context,
        })
    }
}

fn context(library: &Library, name: &str) -> io::Result<Made<ib::ibv_context>> {
    // SAFETY: the list is valid until it is freed, ends with a null pointer, and an opened device
    // outlives it; names are C strings that belong to the device.
    unsafe {
        let mut count = 0;
        let list = (library.get_device_list)(&raw mut count);
        if list.is_null() {
            return Err(io::Error::last_os_error());
        }
        let found = (0..count as usize)
            .map(|at| *list.add(at))
            .find(|device| CStr::from_ptr((library.get_device_name)(*device)).to_bytes() == name.as_bytes());
        let opened = match found {
            Some(device) => Made::new((library.open_device)(device), library.close_device),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        (library.free_device_list)(list);
        opened
    }
}

impl Device {
    /// Asks device and port.
    pub fn attributes(&self, port: u8) -> io::Result<Attributes> {
        let mut device = ib::ibv_device_attr::default();
        let mut of_port = ib::ibv_port_attr::default();
        // SAFETY: both structures are as large as the library's and only written during the calls;
        // the port's is passed as the library's older, shorter form, which is its beginning.
        unsafe {
            answer((self.library.query_device)(
                self.context.as_ptr(),
                &raw mut device,
            ))?;
            let port_attributes = (&raw mut of_port).cast();
            answer((self.library.query_port)(
                self.context.as_ptr(),
                port,
                port_attributes,
            ))?;
        }
        let number = |n: c_int| u32::try_from(n).unwrap_or(0);
        Ok(Attributes {
            most_requests: number(device.max_qp_wr),
            most_completions: number(device.max_cqe),
            most_reads: number(device.max_qp_rd_atom).min(255) as u8,
            most_bytes: of_port.max_msg_sz,
            mtu: of_port.active_mtu,
            active: of_port.state == ib::ibv_port_state::IBV_PORT_ACTIVE,
            lid: of_port.lid,
        })
    }

    /// Registers fresh zeroed memory, which peers may (write, read), in huge pages if wanted.
    pub fn register(&mut self, bytes: usize, remote: (bool, bool), huge: bool) -> io::Result<Registered> {
        let (write, read) = remote;
        let (bytes, huge) = match huge {
            true => (bytes.next_multiple_of(HUGE_PAGE), libc::MAP_HUGETLB),
            false => (bytes, 0),
        };
        let mut wanted = access::IBV_ACCESS_LOCAL_WRITE;
        if write {
            wanted |= access::IBV_ACCESS_REMOTE_WRITE;
        }
        if read {
            wanted |= access::IBV_ACCESS_REMOTE_READ;
        }
        let memory = Mapping::new(bytes, huge)?;
        // SAFETY: a mapping of its own, which lives until it has been deregistered.
        let registration = unsafe {
            let registered = (self.library.reg_mr)(
                self.domain.as_ptr(),
                memory.as_ptr().cast(),
                bytes,
                wanted.0 as c_int,
            );
            Made::new(registered, self.library.dereg_mr)?
        };
        let registered = Registered {
            id: self.regions.len(),
            address: memory.as_ptr() as u64,
            bytes: bytes as u64,
            local_key: registration.get().lkey,
            remote_key: registration.get().rkey,
        };
        self.regions.push(Region {
            _registration: registration,
            memory,
        });
        Ok(registered)
    }

    /// Copies out of registered memory.
    ///
    /// # Panics
    /// Beyond its end.
    pub fn load(&self, region: usize, offset: u64, into: &mut [u8]) {
        let from = self.within(region, offset, into.len());
        // SAFETY: `within` has checked the bounds. The device may write this memory, but the protocol
        // copies only what a completion has said to be there.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
    }

    /// Copies into registered memory.
    ///
    /// # Panics
    /// Beyond its end.
    pub fn store(&mut self, region: usize, offset: u64, from: &[u8]) {
        let into = self.within(region, offset, from.len());
        // SAFETY: as in `load`; nothing else refers to memory that no request uses.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), into, from.len()) }
    }

    fn within(&self, region: usize, offset: u64, bytes: usize) -> *mut u8 {
        let memory = &self.regions[region].memory;
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(bytes));
        assert!(
            end.is_some_and(|end| end <= memory.bytes()),
            "{bytes} bytes at {offset} of registered memory"
        );
        // SAFETY: within the mapping, as just checked.
        unsafe { memory.as_ptr().add(offset as usize) }
    }

    /// Makes a queue pair ready for receives; gives its index and number.
    pub fn create(
        &mut self,
        reliable: bool,
        sends: u32,
        receives: u32,
        inline: u32,
        port: (u8, u16),
    ) -> io::Result<(usize, u32)> {
        let mut attributes = ib::ibv_qp_init_attr {
            send_cq: self.queue.as_ptr(),
            recv_cq: self.queue.as_ptr(),
            qp_type: service(reliable),
            cap: ib::ibv_qp_cap {
                max_send_wr: sends,
                max_recv_wr: receives,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: inline,
            },
            ..Default::default()
        };
        // SAFETY: domain and completion queue live as long as the device; the attributes are only
        // read and written during the call.
        let pair = unsafe {
            let made = (self.library.create_qp)(self.domain.as_ptr(), &raw mut attributes);
            Made::new(made, self.library.destroy_qp)?
        };
        let number = pair.get().qp_num;
        self.pairs.push(pair);
        let remote = access::IBV_ACCESS_REMOTE_WRITE | access::IBV_ACCESS_REMOTE_READ;
        let allowed = if reliable {
            remote
        } else {
            access::IBV_ACCESS_REMOTE_WRITE
        };
        let init = ib::ibv_qp_attr {
            qp_state: ib::ibv_qp_state::IBV_QPS_INIT,
            port_num: port.0,
            pkey_index: port.1,
            qp_access_flags: allowed.0,
            ..Default::default()
        };
        let which =
            mask::IBV_QP_STATE | mask::IBV_QP_PKEY_INDEX | mask::IBV_QP_PORT | mask::IBV_QP_ACCESS_FLAGS;
        self.modify(self.pairs.len() - 1, init, which)?;
        Ok((self.pairs.len() - 1, number))
    }

    /// Takes a queue pair to ready-to-send.
    pub fn connect(&mut self, pair: usize, path: &Path) -> io::Result<()> {
        let mut receive = ib::ibv_qp_attr {
            qp_state: ib::ibv_qp_state::IBV_QPS_RTR,
            path_mtu: path.mtu,
            dest_qp_num: path.number,
            rq_psn: path.psn.0,
            max_dest_rd_atomic: path.reads,
            min_rnr_timer: path.patience[3],
            ..Default::default()
        };
        let (level, class, hops) = path.class;
        receive.ah_attr.is_global = 1;
        receive.ah_attr.dlid = path.lid;
        receive.ah_attr.sl = level;
        receive.ah_attr.port_num = path.port;
        receive.ah_attr.grh.dgid.raw = path.gid;
        receive.ah_attr.grh.sgid_index = path.gid_index;
        receive.ah_attr.grh.flow_label = path.flow_label;
        receive.ah_attr.grh.hop_limit = hops;
        receive.ah_attr.grh.traffic_class = class;
        let mut which = mask::IBV_QP_STATE
            | mask::IBV_QP_AV
            | mask::IBV_QP_PATH_MTU
            | mask::IBV_QP_DEST_QPN
            | mask::IBV_QP_RQ_PSN;
        if path.reliable {
            which = which | mask::IBV_QP_MAX_DEST_RD_ATOMIC | mask::IBV_QP_MIN_RNR_TIMER;
        }
        self.modify(pair, receive, which)?;
        let send = ib::ibv_qp_attr {
            qp_state: ib::ibv_qp_state::IBV_QPS_RTS,
            sq_psn: path.psn.1,
            timeout: path.patience[0],
            retry_cnt: path.patience[1],
            rnr_retry: path.patience[2],
            max_rd_atomic: path.reads,
            ..Default::default()
        };
        let mut which = mask::IBV_QP_STATE | mask::IBV_QP_SQ_PSN;
        if path.reliable {
            which = which
                | mask::IBV_QP_TIMEOUT
                | mask::IBV_QP_RETRY_CNT
                | mask::IBV_QP_RNR_RETRY
                | mask::IBV_QP_MAX_QP_RD_ATOMIC;
        }
        self.modify(pair, send, which)
    }

    fn modify(&mut self, pair: usize, mut attributes: ib::ibv_qp_attr, which: mask) -> io::Result<()> {
        // SAFETY: the queue pair lives as long as the device; the mask says which fields are set.
        answer(unsafe {
            (self.library.modify_qp)(self.pairs[pair].as_ptr(), &raw mut attributes, which.0 as c_int)
        })
    }

    /// Posts a receive.
    pub fn post_receive(&mut self, pair: usize, id: u64, piece: Option<Piece>) -> io::Result<()> {
        let mut element = piece.map_or(ib::ibv_sge::default(), element);
        let mut request = ib::ibv_recv_wr {
            wr_id: id,
            next: ptr::null_mut(),
            sg_list: &raw mut element,
            num_sge: c_int::from(piece.is_some()),
        };
        let (pair, mut bad) = (self.pairs[pair].as_ptr(), ptr::null_mut());
        // SAFETY: the operations of an opened context are set; request and element outlive the call,
        // the memory outlives the queue pair.
        answer(unsafe {
            match self.context.get().ops.post_recv {
                Some(post) => post(pair, &raw mut request, &raw mut bad),
                None => libc::EOPNOTSUPP,
            }
        })
    }

    /// Posts requests in one call.
    pub fn post(&mut self, pair: usize, requests: &[Request<'_>]) -> io::Result<()> {
        if let [one] = requests {
            return self.post_list(pair, &mut [payload(one)], &mut [request(one)]);
        }
        let mut elements: Vec<_> = requests.iter().map(payload).collect();
        let mut list: Vec<_> = requests.iter().map(request).collect();
        self.post_list(pair, &mut elements, &mut list)
    }

    fn post_list(
        &mut self,
        pair: usize,
        elements: &mut [ib::ibv_sge],
        list: &mut [ib::ibv_send_wr],
    ) -> io::Result<()> {
        let mut next = ptr::null_mut();
        for (request, element) in list.iter_mut().zip(elements).rev() {
            request.sg_list = element;
            request.num_sge = c_int::from(element.length > 0);
            request.next = next;
            next = request;
        }
        let (pair, mut bad) = (self.pairs[pair].as_ptr(), ptr::null_mut());
        // SAFETY: as for receives; the list was linked just now, and inline payload is borrowed.
        answer(unsafe {
            match self.context.get().ops.post_send {
                Some(post) => post(pair, next, &raw mut bad),
                None => libc::EOPNOTSUPP,
            }
        })
    }

    /// Takes completions; `each` sees them in order. Gives their number.
    pub fn poll(&mut self, most: usize, mut each: impl FnMut(&ib::ibv_wc)) -> io::Result<usize> {
        let mut completions = [const { std::mem::MaybeUninit::<ib::ibv_wc>::uninit() }; BATCH];
        let most = most.min(BATCH) as c_int;
        // SAFETY: at most `most` entries are written, and as many as the call says are initialised.
        unsafe {
            let poll = self.context.get().ops.poll_cq;
            let taken = poll.map_or(-1, |poll| {
                poll(self.queue.as_ptr(), most, completions.as_mut_ptr().cast())
            });
            if taken < 0 {
                return Err(io::Error::other("the completion queue cannot be polled"));
            }
            for completion in &completions[..taken as usize] {
                each(completion.assume_init_ref());
            }
            Ok(taken as usize)
        }
    }

    /// Asks for an event at the next completion.
    pub fn arm(&mut self) -> io::Result<()> {
        // SAFETY: the completion queue lives as long as the device.
        answer(unsafe {
            match self.context.get().ops.req_notify_cq {
                Some(arm) => arm(self.queue.as_ptr(), 0),
                None => libc::EOPNOTSUPP,
            }
        })
    }

    /// Takes all events that are there.
    pub fn disarm(&mut self) {
        let (mut queue, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the channel does not block; it only has events of the one completion queue.
        unsafe {
            while (self.library.get_cq_event)(self.channel.as_ptr(), &raw mut queue, &raw mut context) == 0 {
                self.events += 1;
            }
            if self.events >= 1 << 16 {
                (self.library.ack_cq_events)(self.queue.as_ptr(), std::mem::take(&mut self.events));
            }
        }
    }

    /// The event channel.
    pub fn event(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the channel, which lives as long as the device.
        unsafe { BorrowedFd::borrow_raw(self.channel.get().fd.as_raw_fd()) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: the completion queue, which is not destroyed before its events are acknowledged, still lives.
        unsafe { (self.library.ack_cq_events)(self.queue.as_ptr(), self.events) };
    }
}

fn service(reliable: bool) -> ib::ibv_qp_type::Type {
    if reliable {
        ib::ibv_qp_type::IBV_QPT_RC
    } else {
        ib::ibv_qp_type::IBV_QPT_UC
    }
}

fn element(piece: Piece) -> ib::ibv_sge {
    ib::ibv_sge {
        addr: piece.address,
        length: piece.bytes,
        lkey: piece.key,
    }
}

fn payload(request: &Request<'_>) -> ib::ibv_sge {
    let inline = request.inline.map(|bytes| Piece {
        address: bytes.as_ptr() as u64,
        bytes: bytes.len() as u32,
        key: 0,
    });
    element(inline.unwrap_or(request.piece))
}

fn request(from: &Request<'_>) -> ib::ibv_send_wr {
    let mut send_flags = 0;
    for (set, flag) in [
        (from.inline.is_some(), flags::IBV_SEND_INLINE),
        (from.signalled, flags::IBV_SEND_SIGNALED),
        (from.solicited, flags::IBV_SEND_SOLICITED),
    ] {
        if set {
            send_flags |= flag.0;
        }
    }
    let (remote_addr, rkey) = from.remote;
    let mut request = ib::ibv_send_wr {
        wr_id: from.id,
        opcode: from.opcode,
        send_flags,
        ..Default::default()
    };
    request.__bindgen_anon_1.imm_data = from.immediate.to_be();
    request.wr.rdma = ib::ibv_send_wr__bindgen_ty_2__bindgen_ty_1 { remote_addr, rkey };
    request
}

/// Verbs answer with 0, an error number, or -1 and `errno`.
fn answer(code: c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests;
