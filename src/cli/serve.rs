//! `genie run --metrics ADDRESS`: answers whoever asks for the figures of the run that goes on, in HTTP/1.1 as
//! far as a scraper needs it. One request at a time, each within a second; none slows the run down.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::metrics::CONTENT_TYPE;

/// Longest request that is read, bytes.
const LONGEST: usize = 8 << 10;
/// A request that takes longer is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// An endpoint; it ends with the process.
#[derive(Debug, Clone)]
pub struct Endpoint {
    text: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Endpoint {
    /// Listens.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn open(address: SocketAddr) -> io::Result<Endpoint> {
        let listener = TcpListener::bind(address)?;
        let endpoint = Endpoint {
            text: Arc::default(),
            address: listener.local_addr()?,
        };
        let text = Arc::clone(&endpoint.text);
        std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    // Who asks badly gets nothing; the next one may ask well.
                    let _ = answer(stream, &text);
                }
            })?;
        Ok(endpoint)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is answered from now on.
    pub fn show(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

fn answer(mut stream: TcpStream, text: &Mutex<String>) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = request(&mut stream)?;
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, kind, body) = match (method, path.split('?').next()) {
        ("GET" | "HEAD", Some("/metrics")) => {
            let text = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
            ("200 OK", CONTENT_TYPE, text)
        }
        ("GET" | "HEAD", _) => (
            "404 Not Found",
            "text/plain",
            "the figures are at /metrics\n".to_owned(),
        ),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The head of a request.
fn request(stream: &mut TcpStream) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend(&piece[..read]),
        }
        if head.len() > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn it_answers_those_who_ask_well_and_outlives_the_others() {
        let endpoint = Endpoint::open("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.show("# EOF\n".into());
        assert_eq!(ask(endpoint.address(), &"x".repeat(LONGEST * 2)), "");
        let good = ask(endpoint.address(), "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            good.starts_with("HTTP/1.1 200 OK\r\n") && good.ends_with("\r\n\r\n# EOF\n"),
            "{good}"
        );
        assert!(ask(endpoint.address(), "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(endpoint.address(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    }
}
