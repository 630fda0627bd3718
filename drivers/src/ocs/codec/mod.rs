//! The languages of optical switches as pure functions of bytes: no sockets, no clocks, bounded memory.
//!
//! * [`scpi`]: lines with lists of ports. [`tl1`]: messages of Telcordia GR-831.
//! * [`http`]: HTTP/1.1 messages for RESTCONF. [`netconf`]: RFC 6242 frames and their XML.
//! * [`shell`]: one command and its answer over a remote shell.
//! * [`gnmi`]: messages of gNMI in gRPC's frame. [`http2`], [`hpack`]: what carries them.

pub mod gnmi;
pub mod hpack;
pub mod http;
pub mod http2;
pub mod netconf;
pub mod scpi;
pub mod shell;
pub mod tl1;

/// Largest answer that is read, bytes: ten times that of the largest switch.
pub const MOST_BYTES: usize = 4 << 20;

/// Bytes that are not what the protocol says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A line without its end, and how many bytes it took; `None`: not all of it is there.
pub fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}
