//! An exported log: a text file with a JSON object on each line, first the entries, then, at the end, the signed head.
//!
//! The lines are made so that they can be checked with little: between `"entry":` and the last comma stands the text that was hashed, byte for
//! byte.

use serde::Deserialize;

use crate::{AuditError, AuditHash, ChainedEntry, SignedHead};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportLine {
    /// An entry, and the hash that it says it follows.
    Entry {
        previous: AuditHash,
        entry: ChainedEntry,
    },
    Head(SignedHead),
}

/// An entry as a line, with its end. `previous` is the hash of the entry before.
pub fn entry_line(previous: &AuditHash, entry: &ChainedEntry) -> String {
    let ChainedEntry { number, hash, text } = entry;
    format!("{{\"number\":{number},\"previous\":\"{previous}\",\"entry\":{text},\"hash\":\"{hash}\"}}\n")
}

/// A head as a line, with its end.
///
/// # Errors
/// It cannot be written as JSON.
pub fn head_line(head: &SignedHead) -> Result<String, AuditError> {
    let head = serde_json::to_string(head).map_err(|error| AuditError::Unwritable(error.to_string()))?;
    Ok(format!("{{\"head\":{head}}}\n"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    head: SignedHead,
}

impl ExportLine {
    /// Reads a line, with its end or without.
    ///
    /// # Errors
    /// It is neither an entry nor a head.
    pub fn parse(line: &str) -> Result<ExportLine, AuditError> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with("{\"head\":") {
            let HeadLine { head } = serde_json::from_str(line).map_err(|error| AuditError::NoLine(error.to_string()))?;
            return Ok(ExportLine::Head(head));
        }
        entry(line).ok_or_else(|| AuditError::NoLine(line.chars().take(80).collect()))
    }
}

/// `{"number":N,"previous":"H","entry":TEXT,"hash":"H"}`.
fn entry(line: &str) -> Option<ExportLine> {
    const DIGITS: usize = 2 * AuditHash::BYTES;
    let (number, rest) = line.strip_prefix("{\"number\":")?.split_once(",\"previous\":\"")?;
    let (previous, rest) = rest.split_at_checked(DIGITS)?;
    let rest = rest.strip_prefix("\",\"entry\":")?.strip_suffix("\"}")?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let text = rest.strip_suffix(",\"hash\":\"")?.to_owned();
    let entry = ChainedEntry { number: number.parse().ok()?, hash: AuditHash::parse(hash)?, text };
    Some(ExportLine::Entry { previous: AuditHash::parse(previous)?, entry })
}
