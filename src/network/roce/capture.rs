//! Packets of an endpoint as a capture that tcpdump, tshark and Wireshark read (libpcap file format,
//! draft-ietf-opsawg-pcap; link type 1, Ethernet), with the headers that a socket does not show.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::wire::frame;
use super::wire::icrc::Envelope;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const LONGEST: u32 = 65_535;
const ETHERNET: u32 = 1;

/// A capture being written.
#[derive(Debug)]
pub struct Capture<W: Write> {
    out: W,
}

impl Capture<BufWriter<File>> {
    /// A new file; one that is there already is replaced.
    pub fn create(path: &Path) -> io::Result<Self> {
        Capture::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write> Capture<W> {
    /// Begins a capture.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend_from_slice(&MAGIC_NANOSECONDS.to_le_bytes());
        header.extend(VERSION.iter().flat_map(|v| v.to_le_bytes()));
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&LONGEST.to_le_bytes());
        header.extend_from_slice(&ETHERNET.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Writes a packet seen `since_epoch` nanoseconds after 1970; `parts` are its UDP payload.
    pub fn packet(
        &mut self,
        since_epoch: u128,
        envelope: &Envelope,
        class: u8,
        parts: &[&[u8]],
    ) -> io::Result<()> {
        let ethernet = frame::ethernet(envelope);
        let headers = frame::headers(envelope, class, parts);
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        let length = (ethernet.len() + headers.len() + payload) as u32;
        let seconds = (since_epoch / 1_000_000_000) as u32;
        let nanoseconds = (since_epoch % 1_000_000_000) as u32;
        for field in [seconds, nanoseconds, length, length] {
            self.out.write_all(&field.to_le_bytes())?;
        }
        self.out.write_all(&ethernet)?;
        self.out.write_all(&headers)?;
        parts.iter().try_for_each(|part| self.out.write_all(part))
    }

    /// Brings everything to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_laid_out_as_the_format_says() {
        let envelope = Envelope {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            source_port: 50_000,
            identification: 3,
        };
        let mut bytes = Vec::new();
        let mut capture = Capture::new(&mut bytes).unwrap();
        capture
            .packet(1_500_000_000_000_000_007, &envelope, 2, &[b"abcd", b"efgh"])
            .unwrap();
        capture.flush().unwrap();
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(bytes.len(), 24 + 16 + 14 + 20 + 8 + 8);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(
            (word(24), word(28), word(32), word(36)),
            (1_500_000_000, 7, 50, 50)
        );
        let seen = frame::read(&bytes[40..]).unwrap();
        assert_eq!(
            (seen.envelope, seen.class, seen.datagram),
            (envelope, 2, &b"abcdefgh"[..])
        );
    }
}
