//! Apache Parquet files, written: flat tables of nullable integers, numbers, texts and booleans, plain
//! encoding, pages compressed by gzip. What DuckDB, pandas and polars read; nothing more than that.
//!
//! Format: parquet.apache.org/docs/file-format, `parquet.thrift` of apache/parquet-format.

mod thrift;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::columns::ColumnEntry;
use thrift::Struct;

/// First and last bytes of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Rows that are held in memory and written together.
const ROWS: usize = 1 << 17;

/// Values of `parquet.thrift`.
const DATA_PAGE: i64 = 0;
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const OPTIONAL: i64 = 1;
const GZIP: i64 = 2;
const UTF8: i64 = 0;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
}

impl Kind {
    /// Of a type as `columns` names it.
    fn of(name: &str) -> Kind {
        match name {
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            _ => Kind::Text,
        }
    }

    /// `Type` of `parquet.thrift`: BOOLEAN, INT64, DOUBLE, BYTE_ARRAY.
    fn physical(self) -> i64 {
        match self {
            Kind::Boolean => 0,
            Kind::Integer => 2,
            Kind::Number => 5,
            Kind::Text => 6,
        }
    }
}

/// A column of the row group that is being filled.
#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
    /// Whether each row has a value.
    there: Vec<bool>,
    /// The values that are there, encoded; booleans one to a byte until they are written.
    values: Vec<u8>,
}

impl Column {
    /// Takes in a field as CSV has it: empty is null. `false`: it is not of the column's kind, and null.
    fn push(&mut self, field: &str) -> bool {
        let before = self.values.len();
        let fits = match self.kind {
            _ if field.is_empty() => true,
            Kind::Text => {
                self.values.extend((field.len() as u32).to_le_bytes());
                self.values.extend(field.as_bytes());
                true
            }
            Kind::Integer => field
                .parse::<i64>()
                .map(|value| self.values.extend(value.to_le_bytes()))
                .is_ok(),
            Kind::Number => field
                .parse::<f64>()
                .map(|value| self.values.extend(value.to_le_bytes()))
                .is_ok(),
            Kind::Boolean => field
                .parse::<bool>()
                .map(|value| self.values.push(value.into()))
                .is_ok(),
        };
        self.there.push(self.values.len() > before);
        fits
    }

    /// The page's content: which rows have a value (lengths of runs), then the values.
    fn page(&mut self) -> Vec<u8> {
        let mut levels = Vec::new();
        let mut rest = self.there.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|there| *there == first).count();
            thrift::varint(&mut levels, (run as u64) << 1);
            levels.push(u8::from(*first));
            rest = &rest[run..];
        }
        let mut page = (levels.len() as u32).to_le_bytes().to_vec();
        page.extend(levels);
        match self.kind {
            Kind::Boolean => {
                let packed = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
                page.extend(self.values.chunks(8).map(packed));
            }
            _ => page.extend(&self.values),
        }
        self.there.clear();
        self.values.clear();
        page
    }
}

/// Where a column's part of a row group lies.
struct Chunk {
    offset: i64,
    uncompressed: i64,
    compressed: i64,
}

/// A file being written. Dropped without [`Writer::finish`] it is not one.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    written: i64,
    columns: Vec<Column>,
    /// Row groups so far, as Thrift has them.
    groups: Vec<Vec<u8>>,
    rows: i64,
    /// Fields that were not of their column's kind.
    odd: u64,
}

impl<W: Write> Writer<W> {
    /// A file with these columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W, columns: &[ColumnEntry]) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let column = |column: &ColumnEntry| Column {
            name: column.name.clone(),
            kind: Kind::of(&column.r#type),
            there: Vec::new(),
            values: Vec::new(),
        };
        Ok(Writer {
            out,
            written: MAGIC.len() as i64,
            columns: columns.iter().map(column).collect(),
            groups: Vec::new(),
            rows: 0,
            odd: 0,
        })
    }

    /// Takes in a row; fields as CSV has them, in the order of the columns, missing ones null.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn row<'a>(&mut self, fields: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let mut fields = fields.into_iter();
        for column in &mut self.columns {
            self.odd += u64::from(!column.push(fields.next().unwrap_or("")));
        }
        self.rows += 1;
        match self
            .columns
            .first()
            .is_some_and(|column| column.there.len() >= ROWS)
        {
            true => self.group(),
            false => Ok(()),
        }
    }

    /// Writes what is left and the end; gives how many fields were not of their column's kind and became null.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<u64> {
        self.group()?;
        let footer = self.footer();
        self.out.write_all(&footer)?;
        self.out.write_all(&(footer.len() as u32).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        self.out.flush()?;
        Ok(self.odd)
    }

    /// Writes the rows that are held.
    fn group(&mut self) -> io::Result<()> {
        let rows = self.columns.first().map_or(0, |column| column.there.len()) as i64;
        if rows == 0 {
            return Ok(());
        }
        let mut group = Struct::default();
        let mut chunks = Vec::new();
        let mut size = 0;
        for place in 0..self.columns.len() {
            let page = self.columns[place].page();
            let chunk = self.chunk(&page, rows)?;
            size += chunk.uncompressed;
            chunks.push(column_chunk(&self.columns[place], &chunk, rows));
        }
        group.structs(1, &chunks);
        group.integer(2, size);
        group.integer(3, rows);
        self.groups.push(group.finish());
        Ok(())
    }

    /// Writes a page with its header.
    fn chunk(&mut self, page: &[u8], rows: i64) -> io::Result<Chunk> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(page)?;
        let compressed = gzip.finish()?;
        let mut data = Struct::default();
        data.integer32(1, rows);
        data.integer32(2, PLAIN);
        data.integer32(3, RLE);
        data.integer32(4, RLE);
        let mut header = Struct::default();
        header.integer32(1, DATA_PAGE);
        header.integer32(2, page.len() as i64);
        header.integer32(3, compressed.len() as i64);
        header.inner(5, data);
        let header = header.finish();
        let chunk = Chunk {
            offset: self.written,
            uncompressed: (header.len() + page.len()) as i64,
            compressed: (header.len() + compressed.len()) as i64,
        };
        self.out.write_all(&header)?;
        self.out.write_all(&compressed)?;
        self.written += chunk.compressed;
        Ok(chunk)
    }

    fn footer(&self) -> Vec<u8> {
        let mut root = Struct::default();
        root.text(4, "genie");
        root.integer32(5, self.columns.len() as i64);
        let mut schema = vec![root.finish()];
        schema.extend(self.columns.iter().map(|column| {
            let mut element = Struct::default();
            element.integer32(1, column.kind.physical());
            element.integer32(3, OPTIONAL);
            element.text(4, &column.name);
            if column.kind == Kind::Text {
                element.integer32(6, UTF8);
            }
            element.finish()
        }));
        let mut file = Struct::default();
        file.integer32(1, 1);
        file.structs(2, &schema);
        file.integer(3, self.rows);
        file.structs(4, &self.groups);
        file.text(6, concat!("genie version ", env!("CARGO_PKG_VERSION")));
        file.finish()
    }
}

fn column_chunk(column: &Column, chunk: &Chunk, rows: i64) -> Vec<u8> {
    let mut data = Struct::default();
    data.integer32(1, column.kind.physical());
    data.integers32(2, &[PLAIN, RLE]);
    data.texts(3, &[&column.name]);
    data.integer32(4, GZIP);
    data.integer(5, rows);
    data.integer(6, chunk.uncompressed);
    data.integer(7, chunk.compressed);
    data.integer(9, chunk.offset);
    let mut entry = Struct::default();
    entry.integer(2, chunk.offset);
    entry.inner(3, data);
    entry.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<ColumnEntry> {
        let column = |(name, kind): (&str, &str)| ColumnEntry {
            name: name.into(),
            r#type: kind.into(),
            unit: String::new(),
            what: String::new(),
        };
        [
            ("run", "text"),
            ("n", "integer"),
            ("us", "number"),
            ("whole", "boolean"),
        ]
        .map(column)
        .to_vec()
    }

    #[test]
    fn a_file_begins_and_ends_as_the_format_says_and_odd_fields_are_counted() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &columns()).unwrap();
        writer.row(["a", "1", "0.5", "true"]).unwrap();
        writer.row(["", "", "", ""]).unwrap();
        writer.row(["b", "many", "nan?", "maybe"]).unwrap();
        assert_eq!(writer.finish().unwrap(), 3);
        assert_eq!((&file[..4], &file[file.len() - 4..]), (&MAGIC[..], &MAGIC[..]));
        let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        let footer = &file[file.len() - 8 - length..file.len() - 8];
        assert!(footer.windows(5).any(|part| part == b"whole") && footer.ends_with(&[0]));
    }

    #[test]
    fn which_rows_have_a_value_is_told_in_runs() {
        let mut column = Column {
            name: "n".into(),
            kind: Kind::Integer,
            there: Vec::new(),
            values: Vec::new(),
        };
        for field in ["1", "2", "", "3"] {
            assert!(column.push(field));
        }
        // Runs of 2, 1 and 1: their lengths times two, each with its level.
        let mut page = vec![6, 0, 0, 0, 4, 1, 2, 0, 2, 1];
        page.extend([1i64, 2, 3].iter().flat_map(|value| value.to_le_bytes()));
        assert_eq!(column.page(), page);
    }
}
