//! Records of a CSV file (RFC 4180) with the line each begins on, for files of samples and of tags.
//!
//! Own code and not the crate `csv`: that takes a quote which is never closed for a value of the whole rest of the file, joins text behind a
//! closing quote to it, and counts lines wrongly where they end with CR LF or are blank. Here each is a mistake with its line.

use std::io::BufRead;

/// Bytes of one record. A longer one is a quote that was forgotten rather than a value.
const RECORD_BYTES_MAX: usize = 8 << 20;

/// Reads record after record.
pub struct Records<R> {
    input: R,
    /// Lines read so far.
    lines: u64,
    bytes: u64,
    raw: Vec<u8>,
}

/// Where and why a file cannot be read on.
#[derive(Debug)]
pub struct MalformedRecord {
    pub line: u64,
    pub reason: String,
    /// Whether it is a quote without its end.
    pub is_quote: bool,
}

/// The fields of one record; kept to be filled again.
#[derive(Default)]
pub struct CsvRecord {
    /// Line on which it begins.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
    quoted: Vec<bool>,
}

impl CsvRecord {
    pub fn fields(&self) -> usize {
        self.ends.len()
    }

    /// A field; empty where there is none.
    pub fn field(&self, index: usize) -> &str {
        let Some(end) = self.ends.get(index) else { return "" };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..*end]
    }

    /// True for a field in quotes: of texts, `""` is the empty one and nothing is none.
    pub fn is_quoted(&self, index: usize) -> bool {
        self.quoted.get(index).copied().unwrap_or(false)
    }

    /// True when no field says anything, as in the rows that spreadsheets leave behind.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty() && !self.quoted.contains(&true)
    }

    fn end_field(&mut self, quoted: bool) {
        self.ends.push(self.text.len());
        self.quoted.push(quoted);
    }
}

impl<R: BufRead> Records<R> {
    pub fn new(input: R) -> Records<R> {
        Records { input, lines: 0, bytes: 0, raw: Vec::new() }
    }

    /// How far it has read.
    pub fn byte(&self) -> u64 {
        self.bytes
    }

    /// Reads the next record that is not blank; false at the end of the file.
    ///
    /// # Errors
    /// What cannot be read on from, with its line: a quote without an end, text that is no UTF-8, the file itself.
    pub fn read(&mut self, record: &mut CsvRecord) -> Result<bool, MalformedRecord> {
        loop {
            if !self.next_line()? {
                return Ok(false);
            }
            self.fill(record)?;
            if !record.is_blank() {
                return Ok(true);
            }
        }
    }

    /// One physical line into `raw`, its end included.
    fn next_line(&mut self) -> Result<bool, MalformedRecord> {
        self.raw.clear();
        let mut limited = std::io::Read::take(&mut self.input, RECORD_BYTES_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.raw);
        read.map_err(|error| MalformedRecord { line: self.lines + 1, reason: format!("cannot be read: {error}"), is_quote: false })?;
        if self.raw.is_empty() {
            return Ok(false);
        }
        self.lines += 1;
        self.bytes += self.raw.len() as u64;
        if self.raw.len() > RECORD_BYTES_MAX {
            return broken(self.lines, format!("has more than {} MiB", RECORD_BYTES_MAX >> 20));
        }
        if self.lines == 1 {
            if self.raw.starts_with(b"\xFF\xFE") || self.raw.starts_with(b"\xFE\xFF") {
                return broken(1, "is UTF-16; save the file as CSV in UTF-8".into());
            }
            if self.raw.starts_with(b"\xEF\xBB\xBF") {
                self.raw.drain(..3);
            }
            if self.raw.iter().position(|byte| *byte == b'\r').is_some_and(|at| at + 2 < self.raw.len()) {
                return broken(1, "lines end with CR alone; save the file with LF or CR LF".into());
            }
        }
        Ok(true)
    }

    /// The record that begins with the line in `raw`, which goes on over further lines within quotes.
    fn fill(&mut self, record: &mut CsvRecord) -> Result<(), MalformedRecord> {
        record.line = self.lines;
        record.text.clear();
        record.ends.clear();
        record.quoted.clear();
        let mut open = false;
        loop {
            let line = self.lines;
            let Ok(text) = std::str::from_utf8(&self.raw) else {
                return broken(line, "is not UTF-8; save the file as CSV in UTF-8".into());
            };
            open = split(text, record, open).map_err(|behind| {
                let behind: String = behind.trim_end().chars().take(40).collect();
                let ends = if line == record.line { String::new() } else { format!(" ends on line {line} and") };
                let reason = format!("the quote that is opened here{ends} has {behind:?} behind its end; is one missing?");
                MalformedRecord { line: record.line, reason, is_quote: true }
            })?;
            if !open {
                return Ok(());
            }
            if record.text.len() > RECORD_BYTES_MAX || !self.next_line()? {
                let reason = "a quote is opened here and not closed; the rest of the file would be one value".into();
                return Err(MalformedRecord { line: record.line, reason, is_quote: true });
            }
        }
    }
}

fn broken<T>(line: u64, reason: String) -> Result<T, MalformedRecord> {
    Err(MalformedRecord { line, reason, is_quote: false })
}

/// Adds the fields of one line; true when it ends within quotes. The error is what stands behind a closing quote.
fn split<'a>(line: &'a str, record: &mut CsvRecord, mut open: bool) -> Result<bool, &'a str> {
    let content = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    let mut rest = content;
    loop {
        if !open {
            let Some(quoted) = rest.strip_prefix('"') else {
                let (field, next) = rest.split_once(',').map_or((rest, None), |(field, next)| (field, Some(next)));
                record.text.push_str(field);
                record.end_field(false);
                let Some(next) = next else { return Ok(false) };
                rest = next;
                continue;
            };
            rest = quoted;
        }
        // Within quotes, up to the one that is not doubled.
        loop {
            let Some((field, next)) = rest.split_once('"') else {
                record.text.push_str(rest);
                record.text.push_str(&line[content.len()..]);
                return Ok(true);
            };
            record.text.push_str(field);
            rest = next;
            let Some(doubled) = rest.strip_prefix('"') else { break };
            record.text.push('"');
            rest = doubled;
        }
        open = false;
        record.end_field(true);
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(false),
            None => return Err(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, Vec<String>)>, String> {
        let mut records = Records::new(text.as_bytes());
        let (mut record, mut all) = (CsvRecord::default(), Vec::new());
        loop {
            match records.read(&mut record) {
                Ok(true) => all.push((record.line, (0..record.fields()).map(|field| record.field(field).to_owned()).collect())),
                Ok(false) => return Ok(all),
                Err(MalformedRecord { line, reason, .. }) => return Err(format!("line {line}: {reason}")),
            }
        }
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn records_have_the_line_they_begin_on_whatever_ends_lines_and_lies_between() {
        for end in ["\n", "\r\n"] {
            let text = ["\u{FEFF}a,b", "", "1,2", "   ", ",", "\"x", "", "y\",\"a \"\"b\"\", c\"", "3,", "4,\"\""].join(end);
            let expected = [
                row(1, &["a", "b"]),
                row(3, &["1", "2"]),
                row(6, &[&format!("x{end}{end}y"), "a \"b\", c"]),
                row(9, &["3", ""]),
                row(10, &["4", ""]),
            ];
            assert_eq!(read(&text).unwrap(), expected, "{end:?}");
            assert_eq!(read(&(text + end)).unwrap(), expected, "{end:?} at the end");
        }
    }

    #[test]
    fn a_quote_without_an_end_is_told_with_the_line_where_it_began() {
        for (text, told) in [
            ("a,b\r\n\r\n1,\"x\r\n2,y\r\n3,z\r\n", "line 3: a quote is opened here and not closed"),
            ("a,b\n1,\"x\n2,\"y\"\n3,z\n", "line 2: the quote that is opened here ends on line 3 and has \"y\\\"\" behind its end"),
            ("a,b\n1,\"x\"y\n", "line 2: the quote that is opened here has \"y\" behind its end"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
        let long = format!("a\n\"{}", "x\n".repeat(RECORD_BYTES_MAX));
        assert!(read(&long).unwrap_err().starts_with("line 2: a quote is opened here and not closed"));
        assert_eq!(read("a,b\n\"1\" ,\"2\" \n").unwrap()[1], row(2, &["1", "2"]));
        // A quote within a field is a character, as spreadsheets write inches.
        assert_eq!(read("a\n3/4\" pipe\n").unwrap()[1], row(2, &["3/4\" pipe"]));
    }

    #[test]
    fn text_of_another_encoding_is_told() {
        for (bytes, told) in [
            (&b"a,b\n1,K\xe4lte\n"[..], "line 2: is not UTF-8"),
            (b"\xFF\xFEa\0,\0b\0", "line 1: is UTF-16"),
            (b"a,b\r1,2\r3,4\r", "line 1: lines end with CR alone"),
        ] {
            let mut records = Records::new(bytes);
            let mut record = CsvRecord::default();
            let error = loop {
                match records.read(&mut record) {
                    Ok(true) => {}
                    Ok(false) => panic!("{bytes:?} is read"),
                    Err(MalformedRecord { line, reason, .. }) => break format!("line {line}: {reason}"),
                }
            };
            assert!(error.starts_with(told), "{error}");
        }
    }
}
