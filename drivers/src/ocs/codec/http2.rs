//! One end of an HTTP/2 connection (RFC 9113) as far as unary calls need it: frames, settings, flow control both
//! ways, whole messages. Without I/O: frames go in, events and bytes come out.

use std::collections::BTreeMap;

use super::hpack::{self, Header};
use super::{MOST_BYTES, Malformed};

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Largest payload of a frame that anybody may send unless told otherwise; nobody is.
const MOST_PAYLOAD: usize = 16 << 10;
/// Most streams at once, and most bytes of headers: of a block, and of a message after decoding.
const MOST_STREAMS: usize = 64;
const MOST_HEADERS: usize = 64 << 10;
/// What may be sent on a new stream and connection until settings say otherwise.
const USUAL_WINDOW: i64 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The first frame in these bytes and how many it took; `None`: not all of it is there.
///
/// # Errors
/// A frame that is longer than was agreed.
pub fn frame(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Malformed> {
    let Some((head, rest)) = bytes.split_first_chunk::<9>() else {
        return Ok(None);
    };
    let [a, b, c, kind, flags, stream @ ..] = *head;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if length > MOST_PAYLOAD {
        return Err(wrong("a frame that is too long"));
    }
    let payload = rest.get(..length).map(<[u8]>::to_vec);
    Ok(payload.map(|payload| {
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        (
            Frame {
                kind,
                flags,
                stream,
                payload,
            },
            9 + length,
        )
    }))
}

/// Where a server's first frame begins, which is its settings: garbage from connecting may stand before it.
pub fn begin(bytes: &[u8]) -> Option<usize> {
    bytes.windows(9).position(|nine| {
        let length = usize::from(nine[1]) << 8 | usize::from(nine[2]);
        nine[0] == 0 && length <= 6 * 64 && length.is_multiple_of(6) && nine[3..] == [SETTINGS, 0, 0, 0, 0, 0]
    })
}

fn wrong(what: &str) -> Malformed {
    Malformed(format!("HTTP/2: {what}"))
}

/// What a frame led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message: its headers, those after its body too.
    Message {
        /// Stream.
        stream: u32,
        /// Headers.
        headers: Vec<Header>,
        /// Body.
        body: Vec<u8>,
    },
    /// The other end gave a stream up.
    Reset {
        /// Stream.
        stream: u32,
        /// Its error code.
        code: u32,
    },
    /// The other end takes no more streams.
    GoAway {
        /// Its error code.
        code: u32,
        /// What it said.
        text: String,
    },
}

#[derive(Debug, Default)]
struct Stream {
    /// What came so far.
    headers: Vec<Header>,
    body: Vec<u8>,
    /// What is to be sent: body, then headers after it.
    unsent: Vec<u8>,
    trailers: Option<Vec<Header>>,
    window: i64,
    /// Nothing more is to be said by us.
    said: bool,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    out: Vec<u8>,
    window: i64,
    initial: i64,
    streams: BTreeMap<u32, Stream>,
    /// Headers that are continued: stream, whether the message ends with them, block.
    block: Option<(u32, bool, Vec<u8>)>,
    next: u32,
}

impl Connection {
    /// A client that has said its preface.
    pub fn client() -> Self {
        Self::new(PREFACE.to_vec())
    }

    /// A server; the client's preface is the caller's to take.
    pub fn server() -> Self {
        Self::new(Vec::new())
    }

    fn new(out: Vec<u8>) -> Self {
        let mut connection = Connection {
            out,
            window: USUAL_WINDOW,
            initial: USUAL_WINDOW,
            streams: BTreeMap::new(),
            block: None,
            next: 1,
        };
        let window = MOST_BYTES as u32;
        let settings = [
            (HEADER_TABLE_SIZE, 0),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, window),
        ];
        let settings = settings
            .map(|(name, value): (u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat());
        connection.put(SETTINGS, 0, 0, &settings.concat());
        connection.credit(0, window);
        connection
    }

    /// What is to be sent.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// A client's request; gives its stream.
    pub fn request(&mut self, headers: &[Header], body: &[u8]) -> u32 {
        let number = self.next;
        self.next += 2;
        let window = self.initial;
        self.streams.insert(
            number,
            Stream {
                window,
                ..Stream::default()
            },
        );
        self.say(number, headers, body, None);
        number
    }

    /// A server's answer.
    pub fn answer(&mut self, stream: u32, headers: &[Header], body: &[u8], trailers: Vec<Header>) {
        self.say(stream, headers, body, Some(trailers));
    }

    fn say(&mut self, number: u32, headers: &[Header], body: &[u8], trailers: Option<Vec<Header>>) {
        // A stream that the other end has reset meanwhile is not spoken on any more (RFC 9113, 5.1).
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        stream.unsent = body.to_vec();
        stream.trailers = trailers;
        self.put_headers(number, 0, headers);
        self.flush(number);
    }

    /// Forgets a stream.
    pub fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// Sends as much of a stream as the windows let pass.
    fn flush(&mut self, number: u32) {
        loop {
            let Some(stream) = self.streams.get_mut(&number).filter(|stream| !stream.said) else {
                return;
            };
            let room = self.window.min(stream.window).clamp(0, MOST_PAYLOAD as i64) as usize;
            let count = stream.unsent.len().min(room);
            if count == 0 && !stream.unsent.is_empty() {
                return;
            }
            let part: Vec<u8> = stream.unsent.drain(..count).collect();
            let last = stream.unsent.is_empty();
            stream.window -= count as i64;
            stream.said = last;
            let trailers = stream.trailers.take_if(|_| last);
            self.window -= count as i64;
            let end = if last && trailers.is_none() { END_STREAM } else { 0 };
            self.put(DATA, end, number, &part);
            if let Some(trailers) = trailers {
                self.put_headers(number, END_STREAM, &trailers);
                self.streams.remove(&number);
            }
        }
    }

    fn put_headers(&mut self, stream: u32, flags: u8, headers: &[Header]) {
        let block = hpack::encode(headers);
        let mut parts = block.chunks(MOST_PAYLOAD).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let first = if kind == HEADERS { flags } else { 0 };
            let end = if parts.peek().is_none() { END_HEADERS } else { 0 };
            self.put(kind, first | end, stream, part);
            kind = CONTINUATION;
        }
    }

    fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out
            .extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// Lets the other end send so many bytes more.
    fn credit(&mut self, stream: u32, bytes: u32) {
        if bytes > 0 {
            self.put(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        }
    }

    /// Takes a frame of the other end in.
    ///
    /// # Errors
    /// What breaks the protocol or its bounds; the connection is not to be used any more.
    pub fn handle(&mut self, frame: Frame) -> Result<Option<Event>, Malformed> {
        if self.block.is_some() && frame.kind != CONTINUATION {
            return Err(wrong("headers that do not end"));
        }
        match frame.kind {
            DATA => return self.data(frame),
            HEADERS | CONTINUATION => return self.headers(frame),
            SETTINGS if frame.flags & ACK == 0 => self.settings(&frame.payload)?,
            PING if frame.flags & ACK == 0 => self.put(PING, ACK, 0, &frame.payload),
            WINDOW_UPDATE => self.widen(frame.stream, number(&frame.payload)?)?,
            PUSH_PROMISE => return Err(wrong("a push that was not allowed")),
            RST_STREAM => {
                self.streams.remove(&frame.stream);
                let (stream, code) = (frame.stream, number(&frame.payload)?);
                return Ok(Some(Event::Reset { stream, code }));
            }
            GOAWAY => {
                let (_, rest) = frame
                    .payload
                    .split_at_checked(4)
                    .ok_or_else(|| wrong("cut short"))?;
                let (code, text) = (number(rest)?, String::from_utf8_lossy(&rest[4..]).into_owned());
                return Ok(Some(Event::GoAway { code, text }));
            }
            // Priorities, and what later versions may add.
            _ => {}
        }
        Ok(None)
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        for setting in payload.chunks(6) {
            let Ok([a, b, value @ ..]) = <[u8; 6]>::try_from(setting) else {
                return Err(wrong("settings that are cut short"));
            };
            if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE {
                let wide = i64::from(u32::from_be_bytes(value) & (u32::MAX >> 1));
                let more = wide - self.initial;
                self.initial = wide;
                self.streams.values_mut().for_each(|stream| stream.window += more);
            }
        }
        self.put(SETTINGS, ACK, 0, &[]);
        self.flush_all();
        Ok(())
    }

    fn widen(&mut self, number: u32, by: u32) -> Result<(), Malformed> {
        let window = match number {
            0 => Some(&mut self.window),
            number => self.streams.get_mut(&number).map(|stream| &mut stream.window),
        };
        // Of a stream that is over already.
        let Some(window) = window else { return Ok(()) };
        *window += i64::from(by & (u32::MAX >> 1));
        if *window > i64::from(u32::MAX >> 1) {
            return Err(wrong("a window that is too wide"));
        }
        self.flush_all();
        Ok(())
    }

    fn flush_all(&mut self) {
        let numbers: Vec<u32> = self.streams.keys().copied().collect();
        for number in numbers {
            // A request that is still coming in has nothing to send.
            if self
                .streams
                .get(&number)
                .is_some_and(|stream| !stream.unsent.is_empty())
            {
                self.flush(number);
            }
        }
    }

    fn data(&mut self, frame: Frame) -> Result<Option<Event>, Malformed> {
        // Padding counts too.
        let credit = frame.payload.len() as u32;
        self.credit(0, credit);
        let end = frame.flags & END_STREAM != 0;
        let payload = plain(&frame, false)?;
        let Some(stream) = self.streams.get_mut(&frame.stream) else {
            return Ok(None);
        };
        stream.body.extend_from_slice(payload);
        if self
            .streams
            .values()
            .map(|stream| stream.body.len())
            .sum::<usize>()
            > MOST_BYTES
        {
            return Err(wrong("messages that do not end"));
        }
        if end {
            return Ok(self.message(frame.stream));
        }
        self.credit(frame.stream, credit);
        Ok(None)
    }

    fn headers(&mut self, frame: Frame) -> Result<Option<Event>, Malformed> {
        let part = plain(&frame, true)?;
        let (number, end, mut block) = match (self.block.take(), frame.kind) {
            (None, HEADERS) => (frame.stream, frame.flags & END_STREAM != 0, Vec::new()),
            (Some(begun), CONTINUATION) if begun.0 == frame.stream => begun,
            _ => return Err(wrong("headers out of place")),
        };
        block.extend_from_slice(part);
        if block.len() > MOST_HEADERS {
            return Err(wrong("headers that do not end"));
        }
        if frame.flags & END_HEADERS == 0 {
            self.block = Some((number, end, block));
            return Ok(None);
        }
        let headers = hpack::decode(&block)?;
        if number == 0 || (!self.streams.contains_key(&number) && self.streams.len() >= MOST_STREAMS) {
            return Err(wrong("a stream too many"));
        }
        let window = self.initial;
        let stream = self.streams.entry(number).or_insert_with(|| Stream {
            window,
            ..Stream::default()
        });
        stream.headers.extend(headers);
        let length = |(name, value): &Header| name.len() + value.len() + 32;
        if stream.headers.iter().map(length).sum::<usize>() > MOST_HEADERS {
            return Err(wrong("headers that do not end"));
        }
        Ok(if end { self.message(number) } else { None })
    }

    fn message(&mut self, number: u32) -> Option<Event> {
        let stream = self.streams.get_mut(&number)?;
        let (headers, body) = (
            std::mem::take(&mut stream.headers),
            std::mem::take(&mut stream.body),
        );
        Some(Event::Message {
            stream: number,
            headers,
            body,
        })
    }
}

/// A payload without padding and, in headers, without priority.
fn plain(frame: &Frame, headers: bool) -> Result<&[u8], Malformed> {
    if frame.kind == CONTINUATION {
        return Ok(&frame.payload);
    }
    let mut payload = &frame.payload[..];
    let short = || wrong("cut short");
    if frame.flags & PADDED != 0 {
        let (&count, rest) = payload.split_first().ok_or_else(short)?;
        let length = rest.len().checked_sub(count.into()).ok_or_else(short)?;
        payload = &rest[..length];
    }
    if headers && frame.flags & PRIORITY != 0 {
        payload = payload.get(5..).ok_or_else(short)?;
    }
    Ok(payload)
}

fn number(payload: &[u8]) -> Result<u32, Malformed> {
    let four = payload.first_chunk::<4>().ok_or_else(|| wrong("cut short"))?;
    Ok(u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands frames over until neither end has anything to say.
    fn play(
        client: &mut Connection,
        server: &mut Connection,
        serve: impl Fn(&mut Connection, Event),
    ) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let (to_server, to_client) = (client.take(), server.take());
            if to_server.is_empty() && to_client.is_empty() {
                return seen;
            }
            let mut bytes = to_server.strip_prefix(PREFACE).unwrap_or(&to_server);
            while let Some((frame, length)) = frame(bytes).unwrap() {
                bytes = &bytes[length..];
                if let Some(event) = server.handle(frame).unwrap() {
                    serve(server, event);
                }
            }
            let mut bytes = &to_client[..];
            while let Some((frame, length)) = frame(bytes).unwrap() {
                bytes = &bytes[length..];
                seen.extend(client.handle(frame).unwrap());
            }
        }
    }

    #[test]
    fn bodies_longer_than_any_window_arrive_whole_both_ways() {
        let (mut client, mut server) = (Connection::client(), Connection::server());
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        for call in 0..3 {
            let stream = client.request(&[header(":path", "/x")], &body);
            let events = play(&mut client, &mut server, |server, event| {
                let Event::Message {
                    stream,
                    headers,
                    body,
                } = event
                else {
                    panic!("{event:?}")
                };
                assert_eq!(headers, [header(":path", "/x")]);
                server.answer(
                    stream,
                    &[header(":status", "200")],
                    &body,
                    vec![header("grpc-status", "0")],
                );
            });
            client.forget(stream);
            let wanted = vec![header(":status", "200"), header("grpc-status", "0")];
            assert_eq!(events.len(), 1, "call {call}");
            assert!(
                matches!(&events[0], Event::Message { headers, body: echo, .. } if *headers == wanted && *echo == body),
                "call {call}"
            );
        }
        assert!(client.streams.is_empty() && server.streams.is_empty());
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        assert!(frame(&[0xff; 20]).is_err());
        let refused = |kind, flags, stream, payload: &[u8]| {
            let payload = payload.to_vec();
            Connection::client()
                .handle(Frame {
                    kind,
                    flags,
                    stream,
                    payload,
                })
                .is_err()
        };
        assert!(refused(SETTINGS, 0, 0, &[1]));
        assert!(refused(CONTINUATION, 0, 1, &[]));
        assert!(refused(PUSH_PROMISE, 0, 1, &[0; 4]));
        assert!(refused(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]));
        assert!(refused(HEADERS, PADDED, 1, &[9, 0]));
        assert!(refused(GOAWAY, 0, 0, &[0; 5]));
    }

    #[test]
    fn nothing_is_said_on_a_stream_that_was_reset() {
        let (mut client, mut server) = (Connection::client(), Connection::server());
        let stream = client.request(&[(":path".into(), "/x".into())], b"");
        play(&mut client, &mut server, |_, _| {});
        let reset = Frame {
            kind: RST_STREAM,
            flags: 0,
            stream,
            payload: vec![0, 0, 0, 8],
        };
        assert!(matches!(
            server.handle(reset),
            Ok(Some(Event::Reset { code: 8, .. }))
        ));
        server.answer(stream, &[(":status".into(), "200".into())], b"late", Vec::new());
        assert_eq!(server.take(), b"");
    }

    /// Headers may come again and again, and bodies on many streams at once: what is kept of them is bounded.
    #[test]
    fn what_does_not_end_is_refused() {
        let refused = |kind, payload: &[u8]| {
            let mut server = Connection::server();
            let begin = Frame {
                kind: HEADERS,
                flags: END_HEADERS,
                stream: 0,
                payload: hpack::encode(&[]),
            };
            for stream in 1..=64 {
                server
                    .handle(Frame {
                        stream,
                        ..begin.clone()
                    })
                    .unwrap();
            }
            (0..1000).any(|number| {
                let frame = Frame {
                    kind,
                    flags: END_HEADERS,
                    stream: 1 + number % 64,
                    payload: payload.to_vec(),
                };
                server.handle(frame).is_err()
            })
        };
        assert!(refused(DATA, &[0; MOST_PAYLOAD]));
        let header = ("x".to_owned(), "y".repeat(MOST_PAYLOAD / 2));
        assert!(refused(HEADERS, &hpack::encode(&[header])));
    }

    #[test]
    fn settings_are_found_behind_garbage() {
        let mut server = Connection::server();
        let mut bytes = b"%\x01 login? 0,(@\r\n".to_vec();
        let garbage = bytes.len();
        bytes.extend(server.take());
        assert_eq!(begin(&bytes), Some(garbage));
        assert_eq!(begin(&bytes[..garbage]), None);
    }
}
