//! CSV as RFC 4180 quotes it, with a header line; lines end in LF, which DuckDB, pandas and polars
//! read as well as CRLF. An empty field is a null.

/// One line of fields, quoted where they must be, with its line end.
pub fn line<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> String {
    let mut line = String::new();
    for (place, field) in fields.into_iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        push_field(&mut line, field.as_ref());
    }
    line.push('\n');
    line
}

fn push_field(line: &mut String, field: &str) {
    if !field.contains(['"', ',', '\n', '\r']) {
        return line.push_str(field);
    }
    line.push('"');
    line.push_str(&field.replace('"', "\"\""));
    line.push('"');
}

/// All records of a text, the header among them. A last line without its line end was torn off by
/// the end of the writer and is left out.
pub fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    records
}

/// Shows every record of a text in turn, the header first: [`records`] for files that are too long to be held
/// as fields all at once.
pub fn each(text: &str, mut show: impl FnMut(&[String])) {
    let mut begun = String::new();
    for line in text.split_inclusive('\n') {
        begun.push_str(line);
        // A field may hold line ends, within quotes; doubled quotes are even.
        if begun.matches('"').count().is_multiple_of(2) {
            records(&begun).iter().for_each(|record| show(record));
            begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_one_by_one_are_the_same_records() {
        let text = "a,b\n\"x\ny\",\"say \"\"no\"\"\"\n1,\ntorn";
        let mut found = Vec::new();
        each(text, |record| found.push(record.to_vec()));
        assert_eq!(found, records(text));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn fields_are_quoted_only_where_needed() {
        assert_eq!(line(["a", "", "b c"]), "a,,b c\n");
        assert_eq!(
            line(["a,b", "say \"x\"", "two\nlines"]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\n"
        );
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        assert_eq!(records("a,b\r\n1,2\n3,"), [["a", "b"], ["1", "2"]]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(prop::collection::vec("[ -~\n\r\"é]{0,12}", 1..6), 0..6)) {
            let text: String = rows.iter().map(line).collect();
            prop_assert_eq!(records(&text), rows);
        }
    }
}
