//! A table as spreadsheets save it: a sheet of a workbook, or CSV whose encoding and separator are found, not asked for.

use anyhow::bail;

use historian_server::config::workbook;

/// Separators that spreadsheets write, the likelier first.
const SEPARATORS: [(u8, &str); 4] = [(b';', "semicolons"), (b',', "commas"), (b'\t', "tabs"), (b'|', "bars")];
/// Rows in which the heading is looked for; above it may be a title.
pub const HEADING_ROWS: usize = 30;
/// Largest list read.
const BYTES_MAX: usize = 64 << 20;

/// Characters of the bytes 0x80 to 0x9F in Windows-1252, which is what Latin-1 from a spreadsheet is; `\u{FFFD}` where there is none.
const WINDOWS: [char; 32] = [
    '€', '\u{FFFD}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{FFFD}', 'Ž', '\u{FFFD}', '\u{FFFD}', '‘', '’', '“', '”',
    '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{FFFD}', 'ž', 'Ÿ',
];

/// A row with the line on which it begins, the first being 1.
pub struct SheetRow {
    pub line: usize,
    pub cells: Vec<String>,
    /// Columns, the first being 0, whose cell must not be used, and why.
    pub refused: Vec<(usize, String)>,
}

pub struct SpreadSheet {
    pub rows: Vec<SheetRow>,
    /// Numbers have a decimal comma.
    pub decimal_comma: bool,
    form: String,
    /// Of a workbook: sheets that are not read.
    others: Vec<String>,
    /// Of a workbook: what is read although it is not shown.
    hidden: Vec<String>,
}

impl SpreadSheet {
    /// Reads a file, of a workbook the sheet of that name or the first. `known` says how many headings it finds in a row: of the separators
    /// that counts which makes most of them.
    ///
    /// # Errors
    /// What keeps it from being a table.
    pub fn read(bytes: &[u8], sheet: Option<&str>, known: impl Fn(&[String]) -> usize) -> anyhow::Result<SpreadSheet> {
        if bytes.len() > BYTES_MAX {
            bail!("is larger than {} MiB", BYTES_MAX >> 20);
        }
        if workbook::is_older(bytes) {
            bail!(workbook::OLDER);
        }
        if workbook::is_workbook(bytes) {
            return SpreadSheet::of_workbook(bytes, sheet);
        }
        if let Some(sheet) = sheet {
            bail!("has no sheet {sheet:?}, because it is no XLSX file");
        }
        let (text, encoding) = decoded(bytes);
        let read = |(separator, name)| (rows(&text, separator), name);
        let Some((rows, separator)) = best(SEPARATORS.map(read), known) else { bail!("has no rows") };
        let decimal_comma = has_decimal_comma(&rows);
        let form = format!("{encoding}, {separator}, decimal {}", if decimal_comma { "comma" } else { "point" });
        Ok(SpreadSheet { rows, decimal_comma, form, others: Vec::new(), hidden: Vec::new() })
    }

    fn of_workbook(bytes: &[u8], sheet: Option<&str>) -> anyhow::Result<SpreadSheet> {
        let found = workbook::read(bytes, sheet).map_err(anyhow::Error::msg)?;
        if found.rows.is_empty() {
            bail!("has nothing in the sheet {:?}", found.name);
        }
        let row = |row: workbook::WorkRow| SheetRow { line: row.number, cells: row.cells, refused: row.refused };
        let rows: Vec<SheetRow> = found.rows.into_iter().map(row).collect();
        // Numbers have a point there, however they are shown; what was typed as text may have a comma.
        let decimal_comma = has_decimal_comma(&rows);
        let form = format!("XLSX, sheet {:?}{}", found.name, if decimal_comma { ", decimal comma" } else { "" });
        Ok(SpreadSheet { rows, decimal_comma, form, others: found.others, hidden: found.hidden })
    }

    /// What a reader may have meant instead; nothing where there is no other sheet.
    pub fn other_sheets(&self) -> Option<String> {
        (!self.others.is_empty()).then(|| format!("not read: the sheets {}; FILE#NAME reads one", workbook::listed(&self.others)))
    }

    /// What is read and not shown, in words.
    pub fn hidden(&self) -> &[String] {
        &self.hidden
    }

    /// In words.
    pub fn form(&self) -> &str {
        &self.form
    }
}

/// What makes most sense of the headings, then what makes most columns; of equals the first.
fn best<Form>(
    candidates: impl IntoIterator<Item = (Vec<SheetRow>, Form)>,
    known: impl Fn(&[String]) -> usize,
) -> Option<(Vec<SheetRow>, Form)> {
    let sense = |rows: &[SheetRow]| {
        let known = rows.iter().take(HEADING_ROWS).map(|row| known(&row.cells)).max().unwrap_or(0);
        (known, rows.iter().take(HEADING_ROWS).map(|row| row.cells.len()).max().unwrap_or(0))
    };
    let best = candidates.into_iter().reduce(|best, next| if sense(&next.0) > sense(&best.0) { next } else { best });
    best.filter(|(rows, _)| !rows.is_empty())
}

/// The text, and how it was written.
fn decoded(bytes: &[u8]) -> (String, &'static str) {
    let wide = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]]));
        char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => (String::from_utf8_lossy(rest).into_owned(), "UTF-8"),
        [0xFF, 0xFE, rest @ ..] => (wide(rest, u16::from_le_bytes), "UTF-16"),
        [0xFE, 0xFF, rest @ ..] => (wide(rest, u16::from_be_bytes), "UTF-16"),
        _ => {
            let character = |byte: &u8| if (0x80..0xA0).contains(byte) { WINDOWS[usize::from(byte - 0x80)] } else { char::from(*byte) };
            let latin = || (bytes.iter().map(character).collect(), "Latin-1");
            std::str::from_utf8(bytes).map_or_else(|_| latin(), |text| (text.to_owned(), "UTF-8"))
        }
    }
}

/// Rows that have something in them.
fn rows(text: &str, separator: u8) -> Vec<SheetRow> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let records = reader.records().map_while(Result::ok);
    let row = |record: csv::StringRecord| SheetRow {
        line: record.position().map_or(0, |position| position.line() as usize),
        cells: record.iter().map(|cell| cell.trim().to_owned()).collect(),
        refused: Vec::new(),
    };
    records.map(row).filter(|row| row.cells.iter().any(|cell| !cell.is_empty())).collect()
}

/// Some number has a comma, and none a point, where decimals begin.
fn has_decimal_comma(rows: &[SheetRow]) -> bool {
    let is_number = |cell: &str, mark: char| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        cell.trim_start_matches(['-', '+']).split_once(mark).is_some_and(|(whole, part)| digits(whole) && digits(part))
    };
    let any = |mark: char| rows.iter().flat_map(|row| &row.cells).any(|cell| is_number(cell, mark));
    // Register addresses have points, too (40001.3), but none begins with 0.
    let small = rows.iter().flat_map(|row| &row.cells).any(|cell| is_number(cell, '.') && cell.trim_start_matches('-').starts_with("0."));
    any(',') && !small
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> anyhow::Result<SpreadSheet> {
        let headings = ["Bezeichnung", "Adresse", "name", "address"];
        SpreadSheet::read(bytes, None, |cells| cells.iter().filter(|cell| headings.contains(&cell.as_str())).count())
    }

    #[test]
    fn encodings_and_separators_are_found() {
        let german = "Bezeichnung;Adresse;Einheit;Faktor\nTemperatur Zulauf;40001;°C;0,1\n\"Druck; hinten\";40003;bar;1\n";
        let latin: Vec<u8> = german.chars().map(|c| c as u32 as u8).collect();
        let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(german.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let marked = [&[0xEF, 0xBB, 0xBF], german.as_bytes()].concat();
        for (bytes, encoding) in [(german.as_bytes(), "UTF-8"), (&latin, "Latin-1"), (&wide, "UTF-16"), (&marked, "UTF-8")] {
            let sheet = read(bytes).unwrap();
            assert_eq!(sheet.form(), format!("{encoding}, semicolons, decimal comma"));
            assert_eq!((sheet.rows[0].cells[0].as_str(), sheet.rows[1].cells[2].as_str()), ("Bezeichnung", "°C"), "{encoding}");
            assert_eq!((sheet.rows[2].cells[0].as_str(), sheet.rows[2].line), ("Druck; hinten", 3));
        }
        let sheet = read(b"name\taddress\tscale\na, b\t40001\t0.1\n").unwrap();
        assert_eq!(sheet.form(), "UTF-8, tabs, decimal point");
        assert!(read(b"PK\x03\x04...").err().unwrap().to_string().contains("is no whole XLSX file"));
        assert!(read(b"\xD0\xCF\x11\xE0...").err().unwrap().to_string().contains("save it as XLSX"));
        assert!(read(b"\n\n").is_err());
    }

    #[test]
    fn bits_of_registers_are_no_decimals() {
        assert!(read(b"name;address;scale\na;40001.3;\nb;40002;0,5\n").unwrap().decimal_comma);
        assert!(!read(b"name;address;scale\na;40001.3;\nb;40002;0.5\n").unwrap().decimal_comma);
    }
}
