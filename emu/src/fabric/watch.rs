//! Hears of links that somebody else deletes or sets down while a run is on.
//!
//! There is no thread: [`Watch::wait`] sleeps on the kernel's link events of all namespaces, and the
//! watch can be polled as a descriptor by an event loop.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Fabric, FabricError};
use crate::namespace::enter;
use crate::netlink::Netlink;
use crate::netlink::link::LinkStatus;
use crate::spec::Role;

/// Event number of the wish to stop; others are node numbers.
const CLOSED: u64 = u64::MAX;

/// How a link was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// One of its interfaces is gone.
    Deleted,
    /// One of its interfaces was set down.
    SetDown,
}

/// A link that was lost, and not by genie's own tear-down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Link number.
    pub link: usize,
    /// Its name.
    pub name: String,
    /// How.
    pub kind: OutageKind,
}

/// Reports lost links, each once until it is up again. Ends with the fabric.
#[derive(Debug)]
pub struct Watch {
    epoll: Epoll,
    shared: Arc<Shared>,
    /// Link and name by interface number, which is unique in a fabric.
    links: HashMap<u32, (usize, String)>,
    /// Ports of optical switches, which go down and up with the light.
    optical: BTreeSet<u32>,
    lost: BTreeSet<u32>,
    found: VecDeque<Outage>,
}

/// What tear-down must reach: open sockets would keep the namespaces alive.
#[derive(Debug)]
pub(super) struct Shared {
    nodes: Mutex<Vec<Watched>>,
    stop: EventFd,
}

#[derive(Debug)]
struct Watched {
    socket: Netlink,
    ports: BTreeSet<u32>,
}

impl Shared {
    fn nodes(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.nodes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Ends the watch before the links go.
    pub(super) fn close(&self) {
        self.nodes().clear();
        // Cannot fail short of 2^64 calls; the waiter would notice at its next time-out anyway.
        let _ = self.stop.write(1);
    }
}

impl Fabric {
    /// Begins to watch all links.
    pub fn watch(&self) -> Result<Watch, FabricError> {
        let sockets = self.open_event_sockets()?;
        let of_node = |ends: Vec<(usize, usize)>| ends.iter().map(|&(l, side)| self.ports[l][side]).collect();
        let ports = self.ends_by_node().into_iter().map(of_node);
        let nodes = sockets
            .into_iter()
            .zip(ports)
            .map(|(socket, ports)| Watched { socket, ports })
            .collect();
        let failed = |e: nix::Error| FabricError::Watch(e.into());
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        let shared = Arc::new(Shared {
            nodes: Mutex::new(nodes),
            stop,
        });
        let named = self.spec.links.iter().zip(&self.ports).enumerate();
        let links = named.flat_map(|(number, (link, ports))| ports.map(|p| (p, (number, link.name.clone()))));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        epoll
            .add(&shared.stop, EpollEvent::new(EpollFlags::EPOLLIN, CLOSED))
            .map_err(failed)?;
        for (number, node) in shared.nodes().iter().enumerate() {
            epoll
                .add(&node.socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))
                .map_err(failed)?;
        }
        self.watches().push(Arc::downgrade(&shared));
        let links = links.collect();
        let mut watch = Watch {
            epoll,
            shared,
            links,
            optical: self.optical_ports(),
            lost: BTreeSet::new(),
            found: VecDeque::new(),
        };
        // What was lost between bring-up and now counts as well.
        (0..self.nodes.len())
            .try_for_each(|number| watch.list(number))
            .map_err(FabricError::Watch)?;
        Ok(watch)
    }

    fn optical_ports(&self) -> BTreeSet<u32> {
        let optical = |(node, _): &(usize, String)| self.spec.nodes[*node].role == Role::Optical;
        let links = self.spec.links.iter().zip(&self.ports);
        let ports = links.flat_map(|(link, ports)| link.ends.iter().zip(ports));
        ports
            .filter(|(end, _)| optical(end))
            .map(|(_, &port)| port)
            .collect()
    }

    fn open_event_sockets(&self) -> Result<Vec<Netlink>, FabricError> {
        let open = |node: &super::Node| {
            enter(node.namespace.as_fd())?;
            Netlink::open_link_events()
        };
        // A socket belongs to the namespace of the thread that opens it.
        std::thread::scope(|scope| scope.spawn(|| self.nodes.iter().map(open).collect()).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread that opens event sockets panicked")))
            .map_err(FabricError::Watch)
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.watches
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn close_watches(&self) {
        self.watches()
            .drain(..)
            .filter_map(|watch| watch.upgrade())
            .for_each(|watch| watch.close());
    }
}

impl AsFd for Watch {
    /// Readable when [`Watch::wait`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Watch {
    /// The next lost link; `None` when none is lost within `timeout`, or the fabric is down.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<Outage>> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.closed() {
                return Ok(None);
            }
            if let Some(outage) = self.found.pop_front() {
                return Ok(Some(outage));
            }
            // Rounded up, so that the last wait is not a busy one.
            let left = deadline.saturating_duration_since(Instant::now());
            let left = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
            let mut events = [EpollEvent::empty(); 16];
            match self.epoll.wait(&mut events, EpollTimeout::from(left)) {
                Ok(0) if Instant::now() >= deadline => return Ok(None),
                Ok(count) => {
                    let numbers = events[..count]
                        .iter()
                        .map(EpollEvent::data)
                        .filter(|&n| n != CLOSED);
                    let numbers: Vec<u64> = numbers.collect();
                    numbers
                        .iter()
                        .try_for_each(|&number| self.read(number as usize))?;
                }
                Err(nix::Error::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Whether the fabric is down.
    pub fn closed(&self) -> bool {
        self.shared.nodes().is_empty()
    }

    fn read(&mut self, number: usize) -> io::Result<()> {
        let events = match self.shared.nodes().get_mut(number) {
            None => return Ok(()),
            Some(node) => node.socket.link_events().map_err(io::Error::other)?,
        };
        let Some(events) = events else {
            return self.list(number);
        };
        events.iter().for_each(|event| self.note(event));
        // A link that is being deleted goes down first; what is there tells the two apart. A port of an optical
        // switch goes down with every circuit: should it be deleted, that is an event of its own.
        let down = |event: &LinkStatus| !event.up && !event.deleted && !self.optical.contains(&event.index);
        if events.iter().any(down) {
            self.list(number)?;
        }
        Ok(())
    }

    /// Compares what is there with what should be.
    fn list(&mut self, number: usize) -> io::Result<()> {
        let (found, expected) = match self.shared.nodes().get_mut(number) {
            None => return Ok(()),
            Some(node) => (
                node.socket.links_and_events().map_err(io::Error::other)?,
                node.ports.clone(),
            ),
        };
        found.iter().for_each(|status| self.note(status));
        for port in expected {
            if !found.iter().any(|status| status.index == port) {
                self.lose(port, OutageKind::Deleted);
            }
        }
        Ok(())
    }

    fn note(&mut self, status: &LinkStatus) {
        match status {
            LinkStatus { deleted: true, .. } => self.lose(status.index, OutageKind::Deleted),
            LinkStatus { up: false, index, .. } if self.optical.contains(index) => {}
            LinkStatus { up: false, .. } => self.lose(status.index, OutageKind::SetDown),
            _ => {
                self.lost.remove(&status.index);
            }
        }
    }

    fn lose(&mut self, port: u32, kind: OutageKind) {
        let Some((link, name)) = self.links.get(&port) else {
            return;
        };
        let same = |(p, (l, _)): (&u32, &(usize, String))| l == link && self.lost.contains(p);
        let known = self.links.iter().any(same);
        self.lost.insert(port);
        if !known {
            self.found.push_back(Outage {
                link: *link,
                name: name.clone(),
                kind,
            });
        } else if let Some(outage) = self.found.iter_mut().find(|outage| outage.link == *link)
            && kind == OutageKind::Deleted
        {
            outage.kind = kind;
        }
    }
}
