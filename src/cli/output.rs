//! Where answers go: standard output or a file, as a table for people or in one of the formats for machines, batch by batch.

mod batch;
mod file;
mod format;
mod quality;
mod screen;
mod table;
mod text;

use std::io::{self, Write};

pub use self::{
    batch::{BatchWriter, TagNotes},
    file::{OutputFile, reader_is_gone},
    format::{Compression, OutputArgs, OutputFormat, TextFormat},
    table::{TABLE_ROWS, TableCell, TableColumn, TextTable, Tone, to_ms, wrapped},
    text::printable,
};

/// Writes a short answer: lines for people, or one JSON object.
///
/// # Errors
/// The destination refuses.
pub fn tell(format: TextFormat, lines: &str, object: &serde_json::Value) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Table => writeln!(output, "{lines}")?,
        TextFormat::Json => writeln!(output, "{object}")?,
    }
    Ok(output.finish()?)
}

/// Says on standard error what an answer does not, such as that there is nothing.
pub fn note(line: &str) {
    // Whoever closed it does not want to know.
    let _ = writeln!(io::stderr(), "{}", printable(line));
}
