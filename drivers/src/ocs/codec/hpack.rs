//! Header compression of HTTP/2 (RFC 7541) without a dynamic table: each side tells the other that it keeps none.

use std::sync::LazyLock;

use super::Malformed;

/// A header's name and value.
pub type Header = (String, String);

/// Most bytes of a header block after decoding.
const MOST_BYTES: usize = 64 << 10;

/// The static table of RFC 7541, appendix A; `name` or `name=value`.
const STATIC: [&str; 61] = [
    ":authority",
    ":method=GET",
    ":method=POST",
    ":path=/",
    ":path=/index.html",
    ":scheme=http",
    ":scheme=https",
    ":status=200",
    ":status=204",
    ":status=206",
    ":status=304",
    ":status=400",
    ":status=404",
    ":status=500",
    "accept-charset",
    "accept-encoding=gzip, deflate",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// Bits of the Huffman code of each byte, and of the end of a string (RFC 7541, appendix B). The code is canonical,
/// so that the lengths say all.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// A header block: each header a literal that is in no table.
pub fn encode(headers: &[Header]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        // Passwords are never to be put into a table on the way either.
        block.push(0x10);
        for text in [name, value] {
            integer(&mut block, 0, 7, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The headers of a block, names in lower case as HTTP/2 has them.
///
/// # Errors
/// A block that is cut short, or uses a dynamic table.
pub fn decode(block: &[u8]) -> Result<Vec<Header>, Malformed> {
    let mut reader = Reader { bytes: block };
    let (mut headers, mut total) = (Vec::new(), 0);
    while let Some(&first) = reader.bytes.first() {
        let header = match first {
            0x80.. => reader.indexed()?,
            // The size of the dynamic table: whatever it is, nothing of it is used.
            0x20..0x40 => {
                reader.integer(5)?;
                continue;
            }
            0x40.. => reader.literal(6)?,
            _ => reader.literal(4)?,
        };
        total += header.0.len() + header.1.len() + 32;
        if total > MOST_BYTES {
            return Err(wrong("too long"));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn wrong(what: &str) -> Malformed {
    Malformed(format!("HTTP/2 headers: {what}"))
}

/// Writes a number behind the upper bits of its first byte.
fn integer(to: &mut Vec<u8>, upper: u8, prefix: u32, mut number: usize) {
    let most = (1 << prefix) - 1;
    if number < most {
        to.push(upper | number as u8);
        return;
    }
    to.push(upper | most as u8);
    number -= most;
    while number >= 128 {
        to.push(number as u8 | 128);
        number >>= 7;
    }
    to.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.bytes.split_first().ok_or_else(|| wrong("cut short"))?;
        self.bytes = rest;
        Ok(first)
    }

    fn integer(&mut self, prefix: u32) -> Result<usize, Malformed> {
        let most = (1usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(wrong("a number out of range"))
    }

    fn indexed(&mut self) -> Result<Header, Malformed> {
        let index = self.integer(7)?;
        let (name, value) = known(index)?;
        Ok((name.into(), value.into()))
    }

    fn literal(&mut self, prefix: u32) -> Result<Header, Malformed> {
        let name = match self.integer(prefix)? {
            0 => self.text()?,
            index => known(index)?.0.to_owned(),
        };
        Ok((name, self.text()?))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let coded = self.bytes.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        if length > self.bytes.len() {
            return Err(wrong("cut short"));
        }
        let (text, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        let text = if coded { unpack(text)? } else { text.to_vec() };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn known(index: usize) -> Result<(&'static str, &'static str), Malformed> {
    let entry = index.checked_sub(1).and_then(|index| STATIC.get(index));
    let entry = entry.ok_or_else(|| wrong("an entry of no table"))?;
    // Names may begin with a colon, never hold a `=`.
    Ok(entry.split_once('=').unwrap_or((entry, "")))
}

/// Undoes the Huffman code, bit by bit: the codes of a length are consecutive numbers in the order of their bytes.
fn unpack(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
    let table = &*TABLE;
    let mut text = Vec::with_capacity(coded.len() * 8 / 5);
    let (mut code, mut length) = (0u32, 0usize);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1))
    {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        match table.symbol(code, length) {
            Some(symbol) => {
                let byte = u8::try_from(symbol).map_err(|_| wrong("a string that ends within"))?;
                text.push(byte);
                (code, length) = (0, 0);
            }
            None if length >= 30 => return Err(wrong("no such code")),
            None => {}
        }
    }
    // What is left must be the beginning of the end's code, which is ones.
    match length < 8 && code == (1 << length) - 1 {
        true => Ok(text),
        false => Err(wrong("a string that does not end")),
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// The canonical code: by length, the first code and the symbols.
struct Table([(u32, Vec<u16>); 31]);

impl Table {
    fn new() -> Self {
        let mut rows: [(u32, Vec<u16>); 31] = Default::default();
        let mut next = 0;
        for (length, row) in rows.iter_mut().enumerate() {
            next <<= 1;
            let symbols = (0..257u16).filter(|symbol| usize::from(LENGTHS[usize::from(*symbol)]) == length);
            *row = (next, symbols.collect());
            next += row.1.len() as u32;
        }
        Table(rows)
    }

    fn symbol(&self, code: u32, length: usize) -> Option<u16> {
        let (first, symbols) = self.0.get(length)?;
        symbols.get(code.checked_sub(*first)? as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.into(), value.into())
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let headers = [
            header(":path", "/gnmi.gNMI/Get"),
            header("x", &"y".repeat(300)),
            header("e", ""),
        ];
        assert_eq!(decode(&encode(&headers)).unwrap(), headers);
    }

    /// RFC 7541, C.4.1 and parts of C.6.1, as printed there.
    #[test]
    fn the_rfcs_own_examples() {
        let block = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4,
            0xff,
        ];
        let wanted = [
            header(":method", "GET"),
            header(":scheme", "http"),
            header(":path", "/"),
            header(":authority", "www.example.com"),
        ];
        assert_eq!(decode(&block).unwrap(), wanted);
        let block = [
            0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0, 0x7a, 0xbe,
            0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6,
            0x2d, 0x1b, 0xff,
        ];
        let wanted = [
            header(":status", "302"),
            header("cache-control", "private"),
            header("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ];
        assert_eq!(decode(&block).unwrap(), wanted);
    }

    #[test]
    fn hostile_blocks_are_refused() {
        for block in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0xbe],
            &[0x80],
            &[0x00, 0x7f, 0xff, 0xff, 0x7f],
            &[0x00, 0x85, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x40],
        ] {
            assert!(decode(block).is_err(), "{block:?}");
        }
    }
}
