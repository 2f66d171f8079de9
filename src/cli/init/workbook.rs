//! The sheets of a file of a spreadsheet program as rows of text.

use std::io::Cursor;

use calamine::{Data, Range, Reader, open_workbook_auto_from_rs};

use super::sheet::SheetRow;

/// True when the bytes are those of such a file: an archive (xlsx, ods), or of the older kind (xls).
pub fn is_workbook(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xD0\xCF\x11\xE0")
}

/// Every sheet with its name, in their order.
///
/// # Errors
/// The file is damaged, or of another kind.
pub fn sheets(bytes: &[u8]) -> anyhow::Result<Vec<(String, Vec<SheetRow>)>> {
    let mut book = open_workbook_auto_from_rs(Cursor::new(bytes))?;
    let mut sheets = Vec::new();
    for name in book.sheet_names() {
        let range = book.worksheet_range(&name)?;
        sheets.push((name, rows(&range)));
    }
    Ok(sheets)
}

fn rows(range: &Range<Data>) -> Vec<SheetRow> {
    let first = range.start().map_or(0, |(row, _)| row as usize) + 1;
    let rows = range.rows().enumerate().map(|(index, cells)| SheetRow { line: first + index, cells: cells.iter().map(text).collect() });
    rows.filter(|row| row.cells.iter().any(|cell| !cell.is_empty())).collect()
}

/// A cell as it would be typed, with a decimal point.
fn text(cell: &Data) -> String {
    match cell {
        Data::Int(number) => number.to_string(),
        // 40001 and not 40001.0.
        Data::Float(number) => number.to_string(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.trim().to_owned(),
        Data::Bool(bit) => bit.to_string(),
        // A date, an error: nothing that a list of registers has.
        Data::DateTime(_) | Data::Error(_) | Data::Empty => String::new(),
    }
}
