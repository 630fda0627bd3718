//! Rendezvous. The controller listens; ranks dial in, prove that they belong to the run by its
//! token, and from then on both sides exchange [`Order`]s and [`Report`]s over that connection.
//! Ranks learn the address and the token from two environment variables, never from a command line.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::control::{self, Heartbeat, LONGEST, Order, Report};
use crate::network::message::Rank;

/// Environment variable with the store's address.
pub const STORE: &str = "GENIE_STORE";
/// Environment variable with the run's token.
pub const TOKEN: &str = "GENIE_TOKEN";

/// After an `accept` that failed (no files left, or the caller gone), so long until the next.
const REFUSED: Duration = Duration::from_millis(20);

/// Where a store listens: `unix:/path` or `tcp:ip:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A socket in the file system: reaches across network namespaces of one machine.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl std::fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            StoreAddress::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl FromStr for StoreAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(StoreAddress::Unix(path.into())),
            Some(("tcp", address)) => address
                .parse()
                .map(StoreAddress::Tcp)
                .map_err(|e| format!("`{address}` is not an address and port: {e}")),
            _ => Err(format!(
                "`{text}` is not a store address; expected unix:/path or tcp:ip:port"
            )),
        }
    }
}

/// Sixteen random bytes in hexadecimal.
pub fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Compares in a time that depends only on the lengths.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

/// A rank that has dialled in.
#[derive(Debug)]
pub struct Member {
    /// Which rank.
    pub rank: Rank,
    /// Its process.
    pub pid: u32,
    /// Orders to it.
    pub orders: mpsc::UnboundedSender<Order>,
}

/// What the store hears.
#[derive(Debug)]
pub enum Heard {
    /// A rank dialled in.
    Joined(Member),
    /// A rank said something.
    Said(Rank, Report),
    /// A rank's connection ended.
    Left(Rank),
}

/// Listens and hears, in the background, until dropped with its runtime.
pub async fn listen(
    address: &StoreAddress,
    token: String,
    ranks: u32,
    heard: mpsc::UnboundedSender<Heard>,
) -> io::Result<StoreAddress> {
    match address {
        StoreAddress::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            tokio::spawn(async move {
                while !heard.is_closed() {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            drop(tokio::spawn(member(stream, token.clone(), ranks, heard.clone())))
                        }
                        Err(_) => tokio::time::sleep(REFUSED).await,
                    }
                }
            });
            Ok(address.clone())
        }
        StoreAddress::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted).await?;
            let bound = StoreAddress::Tcp(listener.local_addr()?);
            tokio::spawn(async move {
                while !heard.is_closed() {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            drop(tokio::spawn(member(stream, token.clone(), ranks, heard.clone())))
                        }
                        Err(_) => tokio::time::sleep(REFUSED).await,
                    }
                }
            });
            Ok(bound)
        }
    }
}

fn framed<S: AsyncRead + AsyncWrite>(stream: S) -> Framed<S, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder()
        .max_frame_length(LONGEST)
        .new_framed(stream)
}

/// Serves one connection: greeting with token, then both directions until either side ends.
async fn member<S>(stream: S, token: String, ranks: u32, heard: mpsc::UnboundedSender<Heard>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = framed(stream);
    let Some(Ok(first)) = stream.next().await else {
        return;
    };
    let Ok(Report::Hello {
        token: theirs,
        rank,
        pid,
    }) = serde_json::from_slice(&first)
    else {
        return;
    };
    if !same(&token, &theirs) || rank >= ranks {
        return;
    }
    let (orders, mut outgoing) = mpsc::unbounded_channel::<Order>();
    if heard.send(Heard::Joined(Member { rank, pid, orders })).is_err() {
        return;
    }
    loop {
        tokio::select! {
            order = outgoing.recv() => {
                let Some(order) = order else { return };
                let body = match control::body(&order) {
                    Ok(body) => body,
                    Err(error) => {
                        let _ = heard.send(Heard::Said(rank, unsaid(&error)));
                        break;
                    }
                };
                if stream.send(bytes::Bytes::from(body)).await.is_err() {
                    break;
                }
            }
            frame = stream.next() => {
                let Some(Ok(frame)) = frame else { break };
                let Ok(report) = serde_json::from_slice(&frame) else { break };
                if heard.send(Heard::Said(rank, report)).is_err() {
                    return;
                }
            }
        }
    }
    let _ = heard.send(Heard::Left(rank));
}

/// A rank cannot go on that cannot be told what to do.
fn unsaid(error: &io::Error) -> Report {
    Report::Failed {
        what: format!("it cannot be told what to do: {error}"),
        peer: None,
        at: Heartbeat::default(),
    }
}

/// A rank's side of the connection, blocking.
#[derive(Debug)]
pub enum Line {
    /// To a socket in the file system.
    Unix(UnixStream),
    /// To a TCP address.
    Tcp(TcpStream),
}

impl Line {
    /// Dials the store.
    pub fn dial(address: &StoreAddress) -> io::Result<Self> {
        match address {
            StoreAddress::Unix(path) => UnixStream::connect(path).map(Line::Unix),
            StoreAddress::Tcp(address) => TcpStream::connect(address).map(Line::Tcp),
        }
    }

    /// Says something.
    pub fn say(&self, report: &Report) -> io::Result<()> {
        match self {
            Line::Unix(stream) => control::write(stream, report),
            Line::Tcp(stream) => control::write(stream, report),
        }
    }

    /// Waits for the next order.
    pub fn hear(&self) -> io::Result<Order> {
        match self {
            Line::Unix(stream) => control::read(stream),
            Line::Tcp(stream) => control::read(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::transport::Endpoint;

    #[test]
    fn addresses_parse_and_print() {
        for text in ["unix:/run/genie/x.sock", "tcp:127.0.0.1:80"] {
            assert_eq!(text.parse::<StoreAddress>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "tcp:nowhere", "/run/x"] {
            assert!(text.parse::<StoreAddress>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn strangers_are_not_heard() {
        let dir = tempfile::tempdir().unwrap();
        let address = StoreAddress::Unix(dir.path().join("store"));
        let (send, mut heard) = mpsc::unbounded_channel();
        listen(&address, "right".into(), 2, send).await.unwrap();
        let to = address.clone();
        tokio::task::spawn_blocking(move || {
            for (token, rank) in [("wrong", 0), ("right", 2), ("right", 1)] {
                let line = Line::dial(&to).unwrap();
                line.say(&Report::Hello {
                    token: token.into(),
                    rank,
                    pid: 1,
                })
                .unwrap();
                line.say(&Report::Connected).ok();
            }
        })
        .await
        .unwrap();
        // Only the last caller has both the token and a rank of the run.
        // Kept: dropping a member closes its line.
        let joined = heard.recv().await;
        assert!(matches!(joined, Some(Heard::Joined(Member { rank: 1, .. }))));
        assert!(matches!(
            heard.recv().await,
            Some(Heard::Said(1, Report::Connected))
        ));
        assert!(matches!(heard.recv().await, Some(Heard::Left(1))));
    }

    /// An order longer than ranks accept is not silence: it is said why the rank cannot go on.
    #[tokio::test]
    async fn an_order_that_is_too_long_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let address = StoreAddress::Unix(dir.path().join("store"));
        let (send, mut heard) = mpsc::unbounded_channel();
        listen(&address, "right".into(), 1, send).await.unwrap();
        let Ok(line) = Line::dial(&address) else { panic!() };
        let hello = Report::Hello {
            token: "right".into(),
            rank: 0,
            pid: 1,
        };
        line.say(&hello).unwrap();
        let Some(Heard::Joined(member)) = heard.recv().await else {
            panic!()
        };
        let addresses = vec!["10.0.0.1:65535".parse().unwrap(); 4_000_000];
        let book = vec![Endpoint::Tcp(addresses)];
        member.orders.send(Order::Book { book }).unwrap();
        let Some(Heard::Said(0, Report::Failed { what, .. })) = heard.recv().await else {
            panic!()
        };
        assert!(what.contains("cannot be told what to do: 68"), "{what}");
        assert!(matches!(heard.recv().await, Some(Heard::Left(0))));
    }
}
