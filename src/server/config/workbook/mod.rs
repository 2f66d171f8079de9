//! Workbooks of spreadsheet programs (XLSX, ECMA-376) as lists are written in them: one sheet, its cells as the texts that a person sees.
//!
//! Read by tag files and by `historian init modbus`, for which its rows then are what those of a CSV file are. Own code around `rawzip` and
//! `quick-xml`, some hundred lines: libraries for whole workbooks choose features of crates that `RocksDB` and `DataFusion` are built with,
//! and give a number where the way it is shown says that it is a date (decision 0049).
//!
//! [`part`] has the archive and its XML, [`shape`] how numbers are shown, [`sheet`] the cells.

mod part;
mod shape;
mod sheet;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use part::{PartArchive, XmlStep, XmlWalk};
use sheet::{CellContext, SheetContent};
pub use sheet::{WorkRow, cell_name};

/// Sheets of a workbook, and parts that one refers to.
const SHEETS_MAX: usize = 1_000;
/// Sheets and columns that are named.
const TOLD_MAX: usize = 10;

/// A sheet of a workbook.
#[derive(Debug)]
pub struct WorkSheet {
    pub name: String,
    /// Rows that have something in them, in their order.
    pub rows: Vec<WorkRow>,
    /// The names of the other sheets that are not hidden.
    pub others: Vec<String>,
    /// What is read although it is not shown, in words; nothing where there is none.
    pub hidden: Vec<String>,
}

/// Whether a file is an archive, as a workbook is.
pub fn is_workbook(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether a file is of an older program, or a workbook with a password.
pub fn is_older(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xD0\xCF\x11\xE0")
}

/// What to do with such a file.
pub const OLDER: &str = "is a file of an older spreadsheet program, or has a password; save it as XLSX without one, or the sheet as CSV";

/// A file, and the sheet of it where one is named: `map.xlsx#Registers`.
pub fn split(path: &Path) -> (PathBuf, Option<String>) {
    let whole = path.to_string_lossy();
    let at = whole.to_ascii_lowercase().rfind(".xlsx#").map(|at| at + ".xlsx".len());
    match at {
        Some(at) => (PathBuf::from(&whole[..at]), Some(whole[at + 1..].to_owned())),
        None => (path.to_owned(), None),
    }
}

/// Names of sheets for a message.
pub fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(TOLD_MAX).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > TOLD_MAX {
        text += &format!(" and {} more", names.len() - TOLD_MAX);
    }
    text
}

/// Reads the sheet of this name, or the first one that is not hidden.
///
/// # Errors
/// In words, behind the name of the file: it is no workbook, is damaged or too large, or has no such sheet.
pub fn read(bytes: &[u8], sheet: Option<&str>) -> Result<WorkSheet, String> {
    let archive = PartArchive::open(bytes)?;
    let Some(root) = archive.part("_rels/.rels")? else {
        return Err("is an archive and no XLSX workbook; save it as XLSX, or the sheet as CSV".to_owned());
    };
    let relations = relations("_rels/.rels", &root, "")?;
    let workbook = relations.iter().find(|relation| relation.kind == "officeDocument").ok_or("is no XLSX workbook")?;
    if workbook.target.to_ascii_lowercase().ends_with("bin") {
        return Err("is a binary workbook (XLSB); save it as XLSX".to_owned());
    }
    let text = archive.needed(&workbook.target)?;
    let Contents { sheets, stale } = contents(&workbook.target, &text)?;
    let (folder, file) = workbook.target.rsplit_once('/').unwrap_or(("", &workbook.target));
    let name = if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
    let relations = self::relations(&name, &archive.needed(&name)?, folder)?;
    // A sheet may be a chart as well.
    let part = |listed: &ListedSheet| relations.iter().find(|relation| relation.id == listed.relation && relation.kind == "worksheet");
    let sheets: Vec<(&ListedSheet, &PartRelation)> = sheets.iter().filter_map(|listed| Some((listed, part(listed)?))).collect();
    let chosen = match sheet {
        Some(name) => {
            let exact = sheets.iter().find(|(listed, _)| listed.name == name);
            exact.or_else(|| sheets.iter().find(|(listed, _)| listed.name.to_lowercase() == name.to_lowercase()))
        }
        None => sheets.iter().find(|(listed, _)| !listed.hidden).or(sheets.first()),
    };
    let Some((chosen, part)) = chosen else {
        let names: Vec<String> = sheets.iter().map(|(listed, _)| listed.name.clone()).collect();
        return Err(match sheet {
            Some(name) => format!("has no sheet {name:?}; it has {}", listed(&names)),
            None => "has no sheet with cells".to_owned(),
        });
    };
    let by_kind = |kind: &str| relations.iter().find(|relation| relation.kind == kind).map(|relation| relation.target.as_str());
    let texts = match by_kind("sharedStrings") {
        Some(name) => sheet::shared_texts(name, &archive.needed(name)?)?,
        None => Vec::new(),
    };
    let shapes = match by_kind("styles") {
        Some(name) => shape::shapes(name, &archive.needed(name)?)?,
        None => Vec::new(),
    };
    let context = CellContext { texts: &texts, shapes: &shapes, stale };
    let content = sheet::content(&part.target, &archive.needed(&part.target)?, &context)
        .map_err(|what| format!("sheet {:?}: {what}", chosen.name))?;
    let others =
        sheets.iter().filter(|(listed, _)| !listed.hidden && listed.name != chosen.name).map(|(listed, _)| listed.name.clone()).collect();
    Ok(WorkSheet { name: chosen.name.clone(), hidden: hidden(&content), rows: content.rows, others })
}

fn hidden(content: &SheetContent) -> Vec<String> {
    let mut told = Vec::new();
    if content.hidden_rows > 0 {
        told.push(format!("{} hidden rows are read", content.hidden_rows));
    }
    if !content.hidden_columns.is_empty() {
        let (columns, more) = (&content.hidden_columns, content.hidden_columns.len().saturating_sub(TOLD_MAX));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        told.push(format!("hidden columns are read: {}{more}", columns[..columns.len().min(TOLD_MAX)].join(", ")));
    }
    told
}

/// From one part to another.
struct PartRelation {
    id: String,
    /// The last word of its type: editions of the standard differ in what stands before.
    kind: String,
    /// The name of the part.
    target: String,
}

fn relations(name: &str, text: &str, folder: &str) -> Result<Vec<PartRelation>, String> {
    let mut walk = XmlWalk::new(name, text, "Relationships")?;
    let mut relations = Vec::new();
    while let Some(step) = walk.step()? {
        let XmlStep::Open(element) = step else { continue };
        if relations.len() >= SHEETS_MAX {
            return Err(walk.broken(&format!("it refers to more than {SHEETS_MAX} parts")));
        }
        let (Some(id), Some(kind), Some(target)) = (element.attribute("Id")?, element.attribute("Type")?, element.attribute("Target")?)
        else {
            continue;
        };
        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
        // Parts have names, and no files are opened by them: what leads out of the archive is not found in it.
        let target = match target.strip_prefix('/') {
            Some(whole) => whole.to_owned(),
            None if folder.is_empty() => target,
            None => match target.strip_prefix("../") {
                Some(rest) => folder.rsplit_once('/').map_or_else(|| rest.to_owned(), |(above, _)| format!("{above}/{rest}")),
                None => format!("{folder}/{target}"),
            },
        };
        relations.push(PartRelation { id, kind, target });
    }
    Ok(relations)
}

struct ListedSheet {
    name: String,
    relation: String,
    hidden: bool,
}

struct Contents {
    sheets: Vec<ListedSheet>,
    /// The program that wrote it calculated nothing, and asks for it to be done at opening.
    stale: bool,
}

fn contents(name: &str, text: &str) -> Result<Contents, String> {
    let mut walk = XmlWalk::new(name, text, "workbook")?;
    let mut contents = Contents { sheets: Vec::new(), stale: false };
    while let Some(step) = walk.step()? {
        let XmlStep::Open(element) = step else { continue };
        match element.name.as_str() {
            "sheet" if contents.sheets.len() >= SHEETS_MAX => return Err(walk.broken(&format!("it has more than {SHEETS_MAX} sheets"))),
            "sheet" => contents.sheets.push(ListedSheet {
                name: element.attribute("name")?.unwrap_or_default(),
                relation: element.prefixed("id")?.unwrap_or_default(),
                hidden: element.attribute("state")?.is_some_and(|state| state != "visible"),
            }),
            "calcPr" => contents.stale = element.flag("fullCalcOnLoad")?,
            _ => {}
        }
    }
    Ok(contents)
}
