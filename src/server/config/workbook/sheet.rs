//! The cells of one sheet as texts, in their rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    part::{XmlElement, XmlStep, XmlWalk},
    shape::{NumberShape, shown},
};

/// Rows and columns of a sheet (ECMA-376 as spreadsheet programs have it).
const ROWS_MAX: usize = 1_048_576;
const COLUMNS_MAX: usize = 16_384;
/// Places of all rows together, empty ones up to the last cell of their row included.
const PLACES_MAX: usize = 2_000_000;
/// Bytes of all texts together: a text that many cells share is kept for each.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// A row that has something in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WorkRow {
    /// As the sheet counts, the first being 1.
    pub number: usize,
    /// Texts from column A on, trimmed; an empty one where there is nothing.
    pub cells: Vec<String>,
    /// Columns, the first being 0, whose cell must not be used, and why, with its name.
    pub refused: Vec<(usize, String)>,
}

/// The rows of a sheet that have something in them, from the first on.
#[derive(Debug, Default)]
pub struct SheetContent {
    pub rows: Vec<WorkRow>,
    /// How many of them are not shown.
    pub hidden_rows: usize,
    /// Columns with something in them that are not shown, by their letters.
    pub hidden_columns: Vec<String>,
}

/// What the cells of a sheet refer to.
pub struct CellContext<'a> {
    pub texts: &'a [String],
    pub shapes: &'a [NumberShape],
    /// The values of formulas are those of no calculation.
    pub stale: bool,
}

/// The name of a cell, such as C5; the first column is 0, the first row 1.
pub fn cell_name(column: usize, row: usize) -> String {
    format!("{}{row}", column_name(column))
}

fn column_name(column: usize) -> String {
    let (mut rest, mut name) = (column + 1, Vec::new());
    while rest > 0 {
        name.insert(0, char::from(b'A' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    name.into_iter().collect()
}

/// Column and row of a name such as C5.
fn place(name: &str) -> Option<(usize, usize)> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = name.split_at(letters);
    if !(1..=3).contains(&letters.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let column = letters.bytes().fold(0, |column, letter| column * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    let row = digits.parse().ok()?;
    (column <= COLUMNS_MAX && (1..=ROWS_MAX).contains(&row)).then_some((column - 1, row))
}

/// Texts that cells share, in the order of their numbers.
///
/// # Errors
/// The part cannot be understood, or is too large.
pub fn shared_texts(name: &str, text: &str) -> Result<Vec<String>, String> {
    let mut walk = XmlWalk::new(name, text, "sst")?;
    let (mut texts, mut one, mut within, mut spoken) = (Vec::new(), String::new(), false, false);
    while let Some(step) = walk.step()? {
        match step {
            XmlStep::Open(element) => match element.name.as_str() {
                "t" => within = !spoken,
                "rPh" => spoken = true,
                _ => {}
            },
            XmlStep::Text(text) if within => one += &text,
            XmlStep::Text(_) => {}
            XmlStep::Close(name) => match name.as_str() {
                "t" => within = false,
                "rPh" => spoken = false,
                "si" if texts.len() >= PLACES_MAX => return Err(walk.broken(&format!("it has more than {PLACES_MAX} texts"))),
                "si" => texts.push(unescaped(&std::mem::take(&mut one))),
                _ => {}
            },
        }
    }
    Ok(texts)
}

/// `_x000D_` stands for the character of that number, which XML may not have.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        plain += &rest[..at];
        let code = rest.get(at + 2..at + 6).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let character = code.filter(|_| rest[at + 6..].starts_with('_')).and_then(|code| u32::from_str_radix(code, 16).ok());
        let (read, length) = character.and_then(char::from_u32).map_or(("_x".to_owned(), 2), |character| (character.to_string(), 7));
        plain += &read;
        rest = &rest[at + length..];
    }
    plain + rest
}

/// A cell on the way through it.
struct OpenCell {
    column: usize,
    row: usize,
    kind: String,
    shape: NumberShape,
    has_formula: bool,
    value: String,
    inline: String,
}

impl OpenCell {
    /// Its text; the reason where that must not be used.
    ///
    /// # Errors
    /// It contradicts itself.
    fn text(self, context: &CellContext<'_>) -> Result<(String, Option<String>), String> {
        let name = cell_name(self.column, self.row);
        let refused = |why: &str| Some(format!("cell {name} {why}"));
        let value = self.value.trim();
        if self.has_formula && (context.stale || value.is_empty() && self.kind != "str") {
            let reason = "has a formula that was not calculated; open the file in a spreadsheet program and save it";
            return Ok((if value.is_empty() { "?".to_owned() } else { value.to_owned() }, refused(reason)));
        }
        Ok(match self.kind.as_str() {
            "inlineStr" => (unescaped(&self.inline), None),
            "str" => (unescaped(&self.value), None),
            _ if value.is_empty() => (String::new(), None),
            "s" => {
                let text = value.parse().ok().and_then(|index: usize| context.texts.get(index));
                (text.ok_or_else(|| format!("cell {name}: there is no shared text {value}"))?.clone(), None)
            }
            "b" => (if value == "1" || value == "true" { "true" } else { "false" }.to_owned(), None),
            "e" => (value.to_owned(), refused(&format!("has the error {value}"))),
            "d" => (value.to_owned(), refused("is a date; write it as text, or as a number")),
            "n" => {
                let text = shown(value, self.shape).ok_or_else(|| format!("cell {name}: {value:?} is no number"))?;
                let reason = match self.shape {
                    NumberShape::Whole { .. } if text.contains('.') => {
                        refused(&format!("is shown as a whole number and is {text}; write what is meant as text"))
                    }
                    NumberShape::Plain | NumberShape::Filled { .. } | NumberShape::Whole { .. } => None,
                    NumberShape::Date => {
                        refused(&format!("is a date, as which 1/10 or 3-4 is taken too (its number is {text}); write it as text"))
                    }
                    NumberShape::Percent => {
                        refused(&format!("is shown in percent, which hides whether {text} or 100 times of it is meant"))
                    }
                    NumberShape::Worded => refused(&format!("is shown with letters before its number, {text}; write them as text")),
                    NumberShape::Altered => {
                        refused(&format!("is shown otherwise than it is (its number is {text}); write what is meant as text"))
                    }
                };
                (text, reason)
            }
            other => return Err(format!("cell {name} has the type {other:?}, which no sheet has")),
        })
    }
}

/// Reads the rows of a sheet.
///
/// # Errors
/// The part cannot be understood, or is too large.
pub fn content(name: &str, text: &str, context: &CellContext<'_>) -> Result<SheetContent, String> {
    let mut walk = XmlWalk::new(name, text, "worksheet")?;
    let mut rows = SheetRows::default();
    let (mut cell, mut element): (Option<OpenCell>, Option<&str>) = (None, None);
    // Where a cell or a row does not say its place, it is the one after the last.
    let (mut row, mut column) = (0, 0);
    let (mut in_data, mut spoken) = (false, false);
    while let Some(step) = walk.step()? {
        match step {
            XmlStep::Open(opened) => match (opened.name.as_str(), &mut cell) {
                ("sheetData", None) => in_data = true,
                ("row", None) if in_data => {
                    row = match opened.attribute("r")? {
                        Some(number) => number
                            .parse()
                            .ok()
                            .filter(|row| (1..=ROWS_MAX).contains(row))
                            .ok_or_else(|| walk.broken("a row has no place"))?,
                        None => row + 1,
                    };
                    column = 0;
                    if opened.flag("hidden")? {
                        rows.hidden_rows.insert(row);
                    }
                }
                // Columns come before all rows, cells that are merged after them.
                ("col", None) if !in_data && opened.flag("hidden")? => {
                    rows.hidden_columns.extend(run(&opened).map_err(|what| walk.broken(&what))?);
                }
                ("mergeCell", None) if !in_data => {
                    let name = opened.attribute("ref")?.unwrap_or_default();
                    rows.merge(&name).map_err(|what| walk.broken(&what))?;
                }
                ("c", None) if in_data => {
                    let opened = open(&opened, (column, row), context).map_err(|what| walk.broken(&what))?;
                    (column, row) = (opened.column + 1, opened.row);
                    cell = Some(opened);
                }
                ("f", Some(cell)) => cell.has_formula = true,
                ("v", Some(_)) => element = Some("v"),
                ("t", Some(_)) if !spoken => element = Some("t"),
                ("rPh", Some(_)) => spoken = true,
                _ => {}
            },
            XmlStep::Text(text) => match (element, &mut cell) {
                (Some("v"), Some(cell)) => cell.value += &text,
                (Some(_), Some(cell)) => cell.inline += &text,
                _ => {}
            },
            XmlStep::Close(closed) => match closed.as_str() {
                "v" | "t" => element = None,
                "rPh" => spoken = false,
                "sheetData" => in_data = false,
                "c" => {
                    if let Some(cell) = cell.take() {
                        let (column, row) = (cell.column, cell.row);
                        let (text, refused) = cell.text(context).map_err(|what| walk.broken(&what))?;
                        rows.put(column, row, text.trim(), refused).map_err(|what| walk.broken(&what))?;
                    }
                }
                _ => {}
            },
        }
    }
    Ok(rows.content())
}

/// The columns that a `<col>` is about.
fn run(element: &XmlElement<'_>) -> Result<std::ops::Range<usize>, String> {
    let end = |name: &str| -> Result<usize, String> {
        let number = element.attribute(name)?.and_then(|number| number.parse().ok()).filter(|column| (1..=COLUMNS_MAX).contains(column));
        number.ok_or_else(|| "a column has no place".to_owned())
    };
    Ok(end("min")? - 1..end("max")?)
}

fn open(element: &XmlElement<'_>, (column, row): (usize, usize), context: &CellContext<'_>) -> Result<OpenCell, String> {
    let (column, row) = match element.attribute("r")? {
        Some(name) => place(&name).ok_or_else(|| format!("{name:?} is no cell"))?,
        None if column < COLUMNS_MAX && (1..=ROWS_MAX).contains(&row) => (column, row),
        None => return Err("a cell has no place".to_owned()),
    };
    let style = element.attribute("s")?.and_then(|style| style.parse::<usize>().ok());
    Ok(OpenCell {
        column,
        row,
        kind: element.attribute("t")?.unwrap_or_else(|| "n".to_owned()),
        shape: style.and_then(|style| context.shapes.get(style).copied()).unwrap_or(NumberShape::Plain),
        has_formula: false,
        value: String::new(),
        inline: String::new(),
    })
}

/// Rows by their number: cells may come in any order.
#[derive(Default)]
struct SheetRows {
    found: BTreeMap<usize, WorkRow>,
    places: usize,
    bytes: usize,
    hidden_rows: BTreeSet<usize>,
    hidden_columns: BTreeSet<usize>,
}

impl SheetRows {
    /// # Errors
    /// The cell is there already, or there are too many.
    fn put(&mut self, column: usize, row: usize, text: &str, refused: Option<String>) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let found = self.found.entry(row).or_insert_with(|| WorkRow { number: row, ..WorkRow::default() });
        if found.cells.len() <= column {
            self.places += column + 1 - found.cells.len();
            if self.places > PLACES_MAX {
                return Err(format!("the sheet has more than {PLACES_MAX} cells"));
            }
            found.cells.resize(column + 1, String::new());
        }
        if !found.cells[column].is_empty() {
            return Err(format!("cell {} is there twice", cell_name(column, row)));
        }
        text.clone_into(&mut found.cells[column]);
        self.bytes += text.len() + refused.as_ref().map_or(0, String::len);
        found.refused.extend(refused.map(|reason| (column, reason)));
        bounded(self.bytes)
    }

    /// Cells that a merge such as B2:B9 covers have nothing of their own, and a person sees the value of the first in each of their rows.
    /// Within the row of the first one that is a matter of width.
    ///
    /// # Errors
    /// It is no run of cells, or there are too many.
    fn merge(&mut self, name: &str) -> Result<(), String> {
        let Some((first, last)) = name.split_once(':') else { return Ok(()) };
        let (Some((left, top)), Some((right, bottom))) = (place(first), place(last)) else {
            return Err(format!("{name:?} are no cells"));
        };
        if left > right || top > bottom {
            return Err(format!("{name:?} are no cells"));
        }
        for (number, row) in self.found.range_mut(top..=bottom) {
            self.places += right - left + 1;
            if self.places > PLACES_MAX {
                return Err(format!("the sheet has more than {PLACES_MAX} cells"));
            }
            for column in left..=right {
                let covers_nothing = row.cells.get(column).is_none_or(String::is_empty);
                if *number == top && (column == left || covers_nothing) {
                    continue;
                }
                let covered = cell_name(column, *number);
                let reason = format!("cell {covered} is merged with {}; write the value into each row", cell_name(left, top));
                self.bytes += reason.len();
                row.refused.push((column, reason));
            }
            bounded(self.bytes)?;
        }
        Ok(())
    }

    fn content(self) -> SheetContent {
        let used = |column: usize| self.found.values().any(|row| row.cells.get(column).is_some_and(|cell| !cell.is_empty()));
        SheetContent {
            hidden_rows: self.hidden_rows.iter().filter(|row| self.found.contains_key(row)).count(),
            hidden_columns: self.hidden_columns.iter().filter(|column| used(**column)).map(|column| column_name(*column)).collect(),
            rows: self.found.into_values().collect(),
        }
    }
}

/// # Errors
/// These are too many bytes of texts.
fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > TEXT_BYTES_MAX {
        return Err(format!("the texts of the sheet are larger than {} MiB", TEXT_BYTES_MAX >> 20));
    }
    Ok(())
}
