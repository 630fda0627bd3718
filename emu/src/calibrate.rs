//! Measures how much a fabric is like the wires it imitates: the rate of one TCP connection between two
//! hosts, and the time of single messages of 64 KiB.
//!
//! The sender splits messages as genie's transport does. The receiver blocks: on a machine with few
//! processors a polling one keeps the kernel from delivering, and only adds milliseconds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Fabric;
use crate::fabric::path::path;
use crate::namespace::enter;
use crate::shaping;

/// Payload of the messages that are timed, bytes.
pub const MESSAGE: u64 = 64 << 10;
const MESSAGES: usize = 11;
/// Silence before each message, so that queues are empty and buckets full.
const IDLE: Duration = Duration::from_millis(2);
/// The end of a message is sent by itself: HTB lets a large segmented packet pass at once and makes the
/// *next* one wait, so only a small last packet arrives when the last byte would have.
const TAIL: usize = 256;
/// Messages that would take longer on the wire are not timed.
const LONGEST_MESSAGE_US: f64 = 60_000.0;
/// Nothing here takes longer unless the fabric is broken.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What was measured between two hosts, and what wires would have given.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Slowest link on the way, bits per second; `None`: no link on the way is shaped.
    pub nominal_bps: Option<u64>,
    /// Links on the way.
    pub hops: u32,
    /// Rate reached, bits per second of Ethernet frames.
    pub measured_bps: f64,
    /// Median time from sending a message of 64 KiB to its arrival, microseconds; `None`: too slow a
    /// link to be worth the wait.
    pub one_way_us: Option<f64>,
    /// The shortest of these times: far below the median, the machine is busy.
    pub one_way_min_us: Option<f64>,
    /// The same on wires with the specified delays and switches of no delay, where rates are known.
    pub wire_us: Option<f64>,
    /// Processor seconds that sender and receiver spent for the rate, per gigabyte of payload, without
    /// the kernel's work on behalf of both.
    pub cpu_s_per_gb: f64,
}

impl Calibration {
    /// Measured rate over nominal rate.
    pub fn rate_ratio(&self) -> Option<f64> {
        self.nominal_bps.map(|nominal| self.measured_bps / nominal as f64)
    }

    /// Measured one-way time over the wire's.
    pub fn time_ratio(&self) -> Option<f64> {
        Some(self.one_way_us? / self.wire_us?)
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The nodes are not two hosts with a way between them.
    #[error("no route from node {0} to an address of node {1}")]
    NoRoute(usize, usize),
    /// Traffic did not get through.
    #[error("calibration traffic failed: {0}")]
    Io(#[from] io::Error),
}

/// The way between two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// An address of the far one.
    pub address: Ipv4Addr,
    /// Links on the way.
    pub links: Vec<usize>,
    /// How often a packet is stored and forwarded, plus one: optical switches do not.
    pub hops: u32,
}

/// Measures from one host to another, by the fabric's routes: about 0.2 s at 1 Gbit/s and more, 0.5 s at
/// 100 Mbit/s.
pub fn measure(fabric: &Fabric, from: usize, to: usize) -> Result<Calibration, CalibrateError> {
    let spec = fabric.spec();
    let way = || {
        let address = *spec.nodes.get(to)?.addresses.first()?;
        let path = path(spec, from, address).filter(|path| !path.is_empty())?;
        Some(Way {
            address,
            hops: path.len() as u32,
            links: path.into_iter().map(|(link, _)| link).collect(),
        })
    };
    measure_over(
        fabric,
        (from, to),
        &way().ok_or(CalibrateError::NoRoute(from, to))?,
    )
}

/// The same over a way that the caller knows.
pub fn measure_over(
    fabric: &Fabric,
    (from, to): (usize, usize),
    way: &Way,
) -> Result<Calibration, CalibrateError> {
    let spec = fabric.spec();
    let links = || way.links.iter().map(|&link| &spec.links[link]);
    let (address, hops) = (way.address, way.hops);
    let nominal_bps = links().filter_map(|link| link.rate_bps).min();
    let delay: Duration = links().map(|link| link.delay).sum();
    let wire_us = nominal_bps
        .map(|rate| shaping::wire_time_us(rate, spec.mtu, hops, MESSAGE) + delay.as_secs_f64() * 1e6);
    let test = Test {
        address,
        rate: nominal_bps.unwrap_or(10_000_000_000),
        messages: message_count(wire_us.unwrap_or(0.0)),
        sent: AtomicU64::new(0),
        arrived: AtomicU64::new(0),
    };
    let (outcome, mut times) = test.run(fabric.namespace(from), fabric.namespace(to))?;
    times.sort_by(f64::total_cmp);
    Ok(Calibration {
        nominal_bps,
        hops,
        measured_bps: outcome.payload_bps / shaping::payload_limit(spec.mtu),
        one_way_min_us: times.first().copied(),
        one_way_us: times.get(times.len() / 2).copied(),
        wire_us,
        cpu_s_per_gb: outcome.cpu_s_per_gb,
    })
}

/// As many as take 0.2 s, within limits.
fn message_count(wire_us: f64) -> usize {
    let fit = 2e5 / (wire_us + IDLE.as_secs_f64() * 1e6);
    if wire_us > LONGEST_MESSAGE_US {
        0
    } else {
        (fit as usize).clamp(3, MESSAGES)
    }
}

/// What sender and receiver share; they are threads of one process and so have one clock.
struct Test {
    address: Ipv4Addr,
    rate: u64,
    messages: usize,
    /// Bytes sent in the first part, set at its end.
    sent: AtomicU64,
    /// Messages that have arrived.
    arrived: AtomicU64,
}

struct RateOutcome {
    payload_bps: f64,
    cpu_s_per_gb: f64,
}

impl Test {
    /// Returns the rate and the times of the messages, microseconds.
    fn run(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<(RateOutcome, Vec<f64>)> {
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                enter(to)?;
                let listener = TcpListener::bind((self.address, 0))?;
                // If the sender has gone, `accept` is ended by its time-out.
                let _ = tell.send(listener.local_addr()?);
                self.receive(&accept(&listener)?)
            });
            let sender = scope.spawn(move || {
                enter(from)?;
                let to = told
                    .recv()
                    .map_err(|_| io::Error::other("the receiver did not listen"))?;
                self.send(to)
            });
            let panicked = |_| io::Error::other("a calibration thread panicked");
            let sent = sender.join().map_err(panicked)?;
            let received = receiver.join().map_err(panicked)?;
            // If the receiver failed, the sender only timed out.
            let (rate, arrivals) = received?;
            let (sender_cpu, departures) = sent?;
            let times = departures
                .iter()
                .zip(&arrivals)
                .map(|(sent, got)| (*got - *sent).as_secs_f64() * 1e6);
            let bytes = self.sent.load(Ordering::Acquire) as f64;
            let cpu_s_per_gb = (sender_cpu + rate.cpu).as_secs_f64() / (bytes / 1e9);
            Ok((
                RateOutcome {
                    payload_bps: rate.payload_bps,
                    cpu_s_per_gb,
                },
                times.collect(),
            ))
        })
    }

    /// Long enough for some hundred packets, which TCP makes about a millisecond long.
    fn duration(&self) -> Duration {
        let milliseconds = 100.0 * (1e9 / self.rate as f64).sqrt();
        Duration::from_secs_f64(milliseconds.clamp(100.0, 500.0) / 1e3)
    }

    fn send(&self, to: SocketAddr) -> io::Result<(Duration, Vec<Instant>)> {
        let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        // Bounds what queues in the fabric: 16 ms, or some large packets.
        let buffer = (self.rate / 8 / 64).clamp(512 << 10, 4 << 20);
        socket.set_send_buffer_size(buffer as usize)?;
        let bytes = vec![0x5a; 256 << 10];
        let (start, cpu) = (Instant::now(), thread_cpu());
        let end = start + self.duration() * 5 / 4;
        let mut sent = 0;
        while Instant::now() < end {
            sent += socket.send(&bytes)? as u64;
        }
        let cpu = thread_cpu() - cpu;
        self.sent.store(sent, Ordering::Release);
        // Wakes the receiver after the store.
        socket.send(&bytes[..1])?;
        self.await_arrivals(1)?;
        let mut departures = Vec::with_capacity(self.messages);
        for number in 0..self.messages as u64 {
            thread::sleep(IDLE);
            departures.push(Instant::now());
            let body = &bytes[TAIL..MESSAGE as usize];
            send_all(&socket, body, libc::MSG_EOR)?;
            send_all(&socket, &bytes[..TAIL], 0)?;
            self.await_arrivals(number + 2)?;
        }
        Ok((cpu, departures))
    }

    fn await_arrivals(&self, count: u64) -> io::Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while self.arrived.load(Ordering::Acquire) < count {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn receive(&self, stream: &TcpStream) -> io::Result<(Received, Vec<Instant>)> {
        let (begin, cpu) = (Instant::now(), thread_cpu());
        let mut total = 0;
        let mut line = Line::default();
        loop {
            // A shaper makes a packet wait for those before it, not for itself.
            let before = total;
            total += discard(stream, 1 << 20)?;
            let time = begin.elapsed();
            if total == self.sent.load(Ordering::Acquire) + 1 && total > 1 {
                break;
            }
            // The first fifth is slow start's.
            if time >= self.duration() / 4 {
                line.add(time.as_secs_f64(), before as f64);
            }
        }
        let cpu = thread_cpu() - cpu;
        let payload_bps = line.slope() * 8.0;
        self.arrived.store(1, Ordering::Release);
        let mut arrivals = Vec::with_capacity(self.messages);
        for number in 0..self.messages as u64 {
            arrivals.push(await_message(stream)?);
            self.arrived.store(number + 2, Ordering::Release);
        }
        Ok((Received { payload_bps, cpu }, arrivals))
    }
}

struct Received {
    payload_bps: f64,
    cpu: Duration,
}

/// The straight line through points (least squares). Packets of 64 KiB are up to 2 % of what is sent in
/// the whole test, so the difference of first and last arrival alone would be too coarse.
#[derive(Default)]
struct Line {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    fn slope(&self) -> f64 {
        let spread = self.count * self.xx - self.x * self.x;
        if spread > 0.0 {
            (self.count * self.xy - self.x * self.y) / spread
        } else {
            0.0
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_micros(100));
            }
            Err(e) => return Err(e),
        }
    }
}

fn send_all(socket: &socket2::SockRef<'_>, mut bytes: &[u8], flags: i32) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = socket.send_with_flags(bytes, flags)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Waits until a message is complete and says when it was.
fn await_message(stream: &TcpStream) -> io::Result<Instant> {
    let mut left = MESSAGE;
    while left > 0 {
        left -= discard(stream, left as usize)?;
    }
    Ok(Instant::now())
}

/// Takes up to `most` bytes off a stream without copying them.
#[allow(unsafe_code)]
fn discard(stream: &TcpStream, most: usize) -> io::Result<u64> {
    // SAFETY: with MSG_TRUNC, TCP drops the bytes and never touches the buffer (tcp(7)).
    let count = unsafe { libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), most, libc::MSG_TRUNC) };
    match count {
        1.. => Ok(count as u64),
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn thread_cpu() -> Duration {
    let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    clock.map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_through_steps_has_their_rate() {
        // Packets of 10 each 2 s apart are 5 per second, wherever one begins and ends to look.
        let mut line = Line::default();
        (3..40).for_each(|packet| line.add(f64::from(2 * packet), f64::from(10 * packet)));
        assert!((line.slope() - 5.0).abs() < 1e-9);
        assert_eq!(Line::default().slope(), 0.0);
    }

    #[test]
    fn slow_links_get_fewer_messages() {
        assert_eq!(
            [561.0, 5607.0, 56_069.0, 560_690.0].map(message_count),
            [11, 11, 3, 0]
        );
    }
}
