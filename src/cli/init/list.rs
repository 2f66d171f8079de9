//! A list of registers as tags: row by row into the columns of a tag file.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::Path,
};

use historian_collector::ConfigProblem;
use historian_model::TagName;

use super::{
    cell::{self, AddressNotation},
    column::{ColumnMap, ListColumn, known},
    logical,
    sheet::{SheetRow, SpreadSheet},
};

/// Where a device is that is not there: addresses for documents (RFC 5737).
const PLACEHOLDER: &str = "192.0.2.1:502";
/// Columns of the tag file.
const COLUMNS: [&str; 11] =
    ["name", "device", "address", "format", "word_order", "scale", "offset", "unit", "range_low", "range_high", "description"];

/// A row that became a tag.
struct ListedTag {
    line: usize,
    /// Unit that answers, where the list says it.
    slave: Option<u8>,
    /// In the order of [`COLUMNS`].
    cells: [String; COLUMNS.len()],
}

/// A row that became no tag.
pub struct UnusedRow {
    pub line: usize,
    pub reason: String,
}

pub struct RegisterList {
    tags: Vec<ListedTag>,
    /// The most frequent unit, which addresses need not name.
    unit: u8,
    remarks: Vec<String>,
}

impl RegisterList {
    /// Reads every row below the heading; those that became no tag, with the reason.
    pub fn read(sheet: &SpreadSheet, columns: &ColumnMap, one_based: bool) -> (RegisterList, Vec<UnusedRow>) {
        let notation = AddressNotation { hexadecimal: columns.is_hexadecimal, one_based, logical: columns.is_logical };
        let (mut tags, mut left_out, mut seen) = (Vec::<ListedTag>::new(), Vec::new(), Seen::default());
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for row in &sheet.rows[columns.rows_before..] {
            // The heading of another page, or the title of a part.
            if known(&row.cells) >= 3 || row.cells.iter().filter(|cell| !cell.is_empty()).count() == 1 {
                seen.titles += 1;
                continue;
            }
            match tag(row, columns, sheet.decimal_comma, notation, &mut seen) {
                Ok(tag) => match lines.entry(tag.cells[0].clone()) {
                    Entry::Vacant(place) => {
                        place.insert(row.line);
                        tags.push(tag);
                    }
                    Entry::Occupied(first) => {
                        let reason = format!("{} is in the list twice, first in line {}", first.key(), first.get());
                        left_out.push(UnusedRow { line: row.line, reason });
                    }
                },
                Err(reason) => left_out.push(UnusedRow { line: row.line, reason }),
            }
        }
        let is_long = |tag: &&ListedTag| tag.cells[3].contains("32") || tag.cells[3].contains("64");
        let unordered = tags.iter().filter(is_long).filter(|tag| tag.cells[4].is_empty()).count();
        if columns.is_kepware && unordered > 0 {
            seen.low_first = unordered;
        }
        let unit = most_frequent(&tags);
        for tag in &mut tags {
            if let Some(slave) = tag.slave.filter(|slave| *slave != unit) {
                tag.cells[2] = format!("{slave}!{}", tag.cells[2]);
            }
        }
        (RegisterList { tags, unit, remarks: seen.remarks(notation) }, left_out)
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// What the reader should know of how the list was read.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The tag file.
    ///
    /// # Errors
    /// It cannot be made, which it can.
    pub fn tag_file(&self, device: &str) -> anyhow::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(COLUMNS)?;
        for tag in &self.tags {
            let cells = tag.cells.iter().enumerate().map(|(column, cell)| if COLUMNS[column] == "device" { device } else { cell.as_str() });
            writer.write_record(cells)?;
        }
        Ok(writer.into_inner()?)
    }

    /// The configuration around it.
    pub fn configuration(&self, device: &str, endpoint: Option<&str>, list: &Path) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list: String = list.display().to_string().chars().filter(|c| !c.is_control()).collect();
        let place = match endpoint {
            None => format!("# A placeholder: the address of the device, host:port.\nendpoint = {}", quoted(PLACEHOLDER)),
            Some(port) if port.starts_with('/') => {
                format!("endpoint = {}\ntransport = \"rtu\"\nbaud_rate = 19200\nparity = \"even\"\nstop_bits = 1", quoted(port))
            }
            Some(endpoint) => format!("endpoint = {}", quoted(endpoint)),
        };
        format!(
            "# Made of {list} by `historian init modbus`. All keys: docs/configuration.md.\ntag_files = [\"tags.csv\"]\n\n\
             [[modbus]]\nname = {}\n{place}\nunit = {}\nscan_ms = 1000\n",
            quoted(device),
            self.unit,
        )
    }

    /// Takes out the tags that a configuration refuses; each with all that is wrong with it.
    pub fn leave_out(&mut self, problems: &[ConfigProblem]) -> Vec<UnusedRow> {
        let mut reasons: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for problem in problems {
            let key = problem.key.rsplit('.').next().unwrap_or_default();
            // Below the heading each tag has one line.
            reasons.entry(problem.position.line.saturating_sub(2)).or_default().push(format!("{key}: {}", problem.message));
        }
        let mut left_out = Vec::new();
        for (index, reasons) in reasons.into_iter().rev() {
            if index < self.tags.len() {
                left_out.push(UnusedRow { line: self.tags.remove(index).line, reason: reasons.join("; ") });
            }
        }
        left_out
    }
}

/// What was seen on the way through the rows.
#[derive(Default)]
struct Seen {
    references: usize,
    plain: usize,
    untyped: usize,
    titles: usize,
    /// Bits 1 of registers written with a point.
    first_bits: usize,
    /// Rows that are scaled by two ranges.
    ranged: usize,
    /// Values of Kepware of several registers, whose order its export does not say.
    low_first: usize,
}

impl Seen {
    fn remarks(&self, notation: AddressNotation) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.references > 0 {
            remarks.push(format!("{} addresses are references, which count from 1: 40001 is holding:0", self.references));
        }
        if self.plain > 0 {
            let from = if notation.one_based { "1" } else { "0; if the list counts from 1, say --one-based" };
            remarks.push(format!("{} addresses are plain numbers, taken to count from {from}", self.plain));
        }
        if self.untyped > 0 {
            remarks.push(format!("{} rows have no type: u16", self.untyped));
        }
        if self.first_bits > 0 {
            remarks.push(format!(
                "{} addresses end in .1: spreadsheets cut 40001.10 to 40001.1, so look whether bit 1 or bit 10 is meant",
                self.first_bits
            ));
        }
        if self.ranged > 0 {
            remarks.push(format!("{} rows are scaled from one range to another: scale and offset", self.ranged));
        }
        if self.low_first > 0 {
            remarks.push(format!(
                "{} values take several registers, and their order is a setting of the device in Kepware, by default the low word first: say \
                 word_order = \"CDAB\" then; `historian check` shows all orders",
                self.low_first
            ));
        }
        if self.titles > 0 {
            remarks.push(format!("{} rows are titles", self.titles));
        }
        remarks
    }
}

fn tag(row: &SheetRow, columns: &ColumnMap, comma: bool, notation: AddressNotation, seen: &mut Seen) -> Result<ListedTag, String> {
    let cell = |role: ListColumn| columns.cell(row, role);
    let text = |role: ListColumn| cell(role).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    if let Some(reason) = columns.refused(row) {
        return Err(reason.to_owned());
    }
    let name = text(ListColumn::Name);
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    TagName::new(&name).map_err(|error| error.to_string())?;
    let address = cell(ListColumn::Address).ok_or_else(|| format!("{name} has no address"))?;
    let area = cell(ListColumn::Area).map(cell::area).transpose()?;
    let text_at = cell::text_at(address).filter(|_| cell(ListColumn::Format).is_some_and(|format| format.eq_ignore_ascii_case("string")));
    let address = text_at.map_or(address, |(place, ..)| place);
    let format = match (cell(ListColumn::Format), text_at) {
        (Some(_), Some((_, characters, is_low_first))) => {
            let mut format = cell::format("string", Some(&characters.div_ceil(2).to_string()))?;
            format.order = is_low_first.then_some("BADC");
            Some(format)
        }
        (Some(format), None) => Some(cell::format(format, cell(ListColumn::Length))?),
        (None, _) => None,
    };
    let is_bool = format.as_ref().is_some_and(|format| format.format == "bool");
    let mut place =
        if notation.logical { logical::address(address)? } else { cell::address(address, area, format.is_some() && !is_bool, notation)? };
    if place.bit.as_deref() == Some("1") {
        seen.first_bits += 1;
    }
    if let Some(bit) = cell(ListColumn::Bit) {
        place.bit = Some(bit.to_owned());
    }
    seen.references += usize::from(place.is_reference);
    seen.plain += usize::from(place.is_plain);
    let is_bit = place.is_bits || place.bit.is_some();
    let number = |role: ListColumn, nothing: &str| -> Result<String, String> {
        let found = cell(role).map(|text| cell::number(text, comma)).transpose().map_err(|reason| format!("{}: {reason}", role.key()))?;
        Ok(found.filter(|number| number.parse::<f64>().ok() != nothing.parse().ok()).unwrap_or_default())
    };
    let ranges = [ListColumn::RawLow, ListColumn::RawHigh, ListColumn::RangeLow, ListColumn::RangeHigh].map(cell);
    let is_linear = cell(ListColumn::Scale).is_some_and(|scale| scale.eq_ignore_ascii_case("linear"));
    let is_negated = is_linear && matches!(cell(ListColumn::Negated), Some("1" | "true"));
    let ranged = match ranges {
        [Some(raw_low), Some(raw_high), Some(low), Some(high)] if is_linear => {
            let mut all = [0.0; 4];
            for (number, text) in all.iter_mut().zip([raw_low, raw_high, low, high]) {
                *number = cell::number(text, comma)?.parse().unwrap_or_default();
            }
            // What is negated is so after it was scaled.
            if is_negated {
                all[2..].iter_mut().for_each(|end| *end = -*end);
            }
            seen.ranged += 1;
            Some(cell::scaled(all)?)
        }
        _ => None,
    };
    let scale = match (&ranged, cell(ListColumn::Divisor)) {
        (Some((scale, _)), _) => scale.clone(),
        (None, Some(divisor)) if cell(ListColumn::Scale).is_none() => {
            Some(cell::inverse(divisor, comma)?).filter(|scale| scale != "1").unwrap_or_default()
        }
        _ => number(ListColumn::Scale, "1")?,
    };
    let order = match cell(ListColumn::Order) {
        Some(order) => Some(cell::order(order)?),
        None => format.as_ref().and_then(|format| format.order),
    };
    let is_text = format.as_ref().is_some_and(|format| format.format.starts_with("string"));
    let has_order = format.as_ref().is_some_and(|format| (format.registers > 1 && !is_text) || text_at.is_some());
    let format_cell = match &format {
        // A bit says so by its address. One without is refused by the configuration, in its words.
        Some(_) if is_bit && is_bool => String::new(),
        Some(format) => format.format.clone(),
        None => {
            seen.untyped += usize::from(!is_bit);
            String::new()
        }
    };
    let slave = cell(ListColumn::Slave)
        .map(|unit| unit.parse::<u8>().map_err(|_| format!("the unit {unit:?} is not from 0 to 255")))
        .transpose()?;
    let address = match &place.bit {
        Some(bit) => format!("{}.{bit}", place.place),
        None => place.place,
    };
    let order = order.filter(|_| has_order).unwrap_or_default().to_owned();
    let cells = [
        name,
        String::new(),
        address,
        format_cell,
        order,
        scale,
        match ranged {
            Some((_, offset)) if offset != "0" => offset,
            Some(_) => String::new(),
            None => number(ListColumn::Offset, "0")?,
        },
        text(ListColumn::Unit),
        if is_negated { String::new() } else { number(ListColumn::RangeLow, "")? },
        if is_negated { String::new() } else { number(ListColumn::RangeHigh, "")? },
        text(ListColumn::Description),
    ];
    Ok(ListedTag { line: row.line, slave, cells })
}

/// The unit of most tags; of equals the lowest, and 1 where no unit is named.
fn most_frequent(tags: &[ListedTag]) -> u8 {
    let named: BTreeSet<u8> = tags.iter().filter_map(|tag| tag.slave).collect();
    let count = |unit: &u8| tags.iter().filter(|tag| tag.slave == Some(*unit)).count();
    named.into_iter().rev().max_by_key(count).unwrap_or(1)
}
