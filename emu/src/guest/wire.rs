//! What this machine and the guest say to each other over a virtio port: frames of one byte (what it
//! is), four bytes (length, big-endian) and so many bytes.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest frame accepted, bytes.
const LONGEST: usize = 16 << 20;
const HEAD: usize = 5;
/// Name of the port.
pub const PORT: &str = "genie";

/// Said by the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is up.
    Up(Up),
    /// The program wrote this to its standard output.
    Out(Vec<u8>),
    /// The program wrote this to its standard error.
    Err(Vec<u8>),
    /// It lives; said once a second.
    Beat,
    /// The program ended with this exit code; 128 and more: by a signal.
    Exit(i32),
    /// The program could not be started: what is asked for cannot be done.
    NotStarted(String),
    /// The guest could not be made ready for it.
    Failed(String),
}

/// The guest's first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// Kernel release.
    pub kernel: String,
    /// Since the kernel's start, milliseconds.
    pub uptime_ms: u64,
}

/// Said to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Play this; said once.
    Play(Play),
    /// Send the program this signal.
    Signal(i32),
}

/// A program to be played.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Play {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Its folder.
    pub folder: PathBuf,
    /// Folders of this machine that it may write to; all others are read-only.
    pub writable: Vec<PathBuf>,
    /// Whether modules for trying things out are loaded as well.
    pub tools: bool,
    /// Where this program is among this machine's files: the guest has it in memory already.
    pub own: PathBuf,
}

impl Said {
    fn parts(&self) -> io::Result<(u8, Vec<u8>)> {
        Ok(match self {
            Said::Up(up) => (b'u', serde_json::to_vec(up)?),
            Said::Out(bytes) => (b'o', bytes.clone()),
            Said::Err(bytes) => (b'e', bytes.clone()),
            Said::Beat => (b'b', Vec::new()),
            Said::Exit(code) => (b'x', code.to_be_bytes().into()),
            Said::NotStarted(what) => (b'n', what.clone().into_bytes()),
            Said::Failed(what) => (b'f', what.clone().into_bytes()),
        })
    }

    fn of(kind: u8, body: &[u8]) -> io::Result<Self> {
        Ok(match kind {
            b'u' => Said::Up(serde_json::from_slice(body)?),
            b'o' => Said::Out(body.into()),
            b'e' => Said::Err(body.into()),
            b'b' => Said::Beat,
            b'x' => Said::Exit(code(body)?),
            b'n' => Said::NotStarted(String::from_utf8_lossy(body).into_owned()),
            b'f' => Said::Failed(String::from_utf8_lossy(body).into_owned()),
            other => return Err(odd(&format!("a frame of kind {other}"))),
        })
    }
}

impl Told {
    fn parts(&self) -> io::Result<(u8, Vec<u8>)> {
        Ok(match self {
            Told::Play(play) => (b'p', serde_json::to_vec(play)?),
            Told::Signal(number) => (b's', number.to_be_bytes().into()),
        })
    }

    fn of(kind: u8, body: &[u8]) -> io::Result<Self> {
        Ok(match kind {
            b'p' => Told::Play(serde_json::from_slice(body)?),
            b's' => Told::Signal(code(body)?),
            other => return Err(odd(&format!("a frame of kind {other}"))),
        })
    }
}

fn code(body: &[u8]) -> io::Result<i32> {
    let bytes = body.try_into().map_err(|_| odd("a number of another length"))?;
    Ok(i32::from_be_bytes(bytes))
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {what}"))
}

fn frame((kind, body): (u8, Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

/// Says something to this machine.
pub fn say(mut to: impl Write, said: &Said) -> io::Result<()> {
    to.write_all(&frame(said.parts()?))
}

/// Tells the guest something.
pub fn tell(mut to: impl Write, told: &Told) -> io::Result<()> {
    to.write_all(&frame(told.parts()?))
}

/// Frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Reads what is there, once; `false` at the end of the stream.
    pub fn read(&mut self, mut from: impl Read) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        match from.read(&mut chunk) {
            Ok(count) => {
                self.bytes.extend(&chunk[..count]);
                Ok(count > 0)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let Some(head) = self.bytes.get(..HEAD) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > LONGEST {
            return Err(odd(&format!("a frame of {length} bytes")));
        }
        if self.bytes.len() < HEAD + length {
            return Ok(None);
        }
        let kind = head[0];
        let rest = self.bytes.split_off(HEAD + length);
        let body = std::mem::replace(&mut self.bytes, rest).split_off(HEAD);
        Ok(Some((kind, body)))
    }

    /// The next whole frame of the guest.
    pub fn said(&mut self) -> io::Result<Option<Said>> {
        self.next()?.map(|(kind, body)| Said::of(kind, &body)).transpose()
    }

    /// The next whole frame to the guest.
    pub fn told(&mut self) -> io::Result<Option<Told>> {
        self.next()?.map(|(kind, body)| Told::of(kind, &body)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let up = Said::Up(Up {
            kernel: "6.1".into(),
            uptime_ms: 7,
        });
        let all = [
            up,
            Said::Out(vec![0, 255, 10]),
            Said::Err(b"x".into()),
            Said::Beat,
            Said::Exit(-1),
            Said::NotStarted("no such file".into()),
            Said::Failed("no".into()),
        ];
        let mut bytes = Vec::new();
        all.iter().for_each(|said| say(&mut bytes, said).unwrap());
        for cut in 0..bytes.len() {
            let (mut frames, mut heard) = (Frames::default(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                frames.read(part).unwrap();
                while let Some(said) = frames.said().unwrap() {
                    heard.push(said);
                }
            }
            assert_eq!(heard, all, "cut at {cut}");
        }
    }

    #[test]
    fn orders_arrive_whole() {
        let play = Told::Play(Play {
            argv: vec!["a".into(), "ü".into()],
            folder: "/x".into(),
            ..Play::default()
        });
        let mut bytes = Vec::new();
        tell(&mut bytes, &play).unwrap();
        tell(&mut bytes, &Told::Signal(2)).unwrap();
        let mut frames = Frames::default();
        frames.read(bytes.as_slice()).unwrap();
        assert_eq!(frames.told().unwrap(), Some(play));
        assert_eq!(frames.told().unwrap(), Some(Told::Signal(2)));
        assert_eq!(frames.told().unwrap(), None);
    }

    #[test]
    fn noise_is_refused_and_never_waited_for() {
        for noise in [
            &b"[    1.0] kernel panic"[..],
            &[b'o', 255, 255, 255, 255],
            b"x\0\0\0\x01z",
            b"?\0\0\0\0",
        ] {
            let mut frames = Frames::default();
            frames.read(noise).unwrap();
            assert!(frames.said().is_err(), "{noise:?}");
        }
    }
}
