//! Tags in CSV or in a sheet of a workbook: one row per tag, written by hand, by a spreadsheet or by an engineering tool.
//!
//! Used by the configuration (`tag_files`) and by `historian tag import`. All mistakes of a file are found in one pass, each with its line.

use std::collections::HashMap;

use super::{
    device::{PROTOCOLS, tag_key},
    document::SourceText,
    record::{CsvRecord, MalformedRecord, Records},
    wording, workbook,
};
use historian_collector::{
    ConfigProblem, SettingPosition, TagConfig, TagKey,
    tag_key::{ADDRESS, COMMON, FILTER, RENAMED_FROM},
};
use historian_model::{TagDefinition, TagName, ValueType};

/// The column that is no key of collected tags.
const DEVICE: &str = "device";

/// Columns that tell what a tag is and where it comes from, in the order in which tags are exported.
pub fn definition_columns() -> Vec<&'static str> {
    let others = [ADDRESS, RENAMED_FROM];
    let is_definition = |key: &&TagKey| !others.contains(key) && !FILTER.contains(key);
    let mut columns: Vec<&str> = COMMON.iter().filter(is_definition).map(|key| key.name).collect();
    columns.extend([DEVICE, ADDRESS.name]);
    columns
}

/// Columns that a file may have, in any order; only `name` must be there.
pub fn columns() -> Vec<&'static str> {
    let mut columns = definition_columns();
    columns.push(RENAMED_FROM.name);
    columns.extend(FILTER.map(|key| key.name));
    for key in PROTOCOLS.iter().flat_map(|protocol| protocol.tag_keys) {
        if !columns.contains(&key.name) {
            columns.push(key.name);
        }
    }
    columns
}

/// Whether a column means something only for a tag that a device delivers.
fn is_collected_only(column: &str) -> bool {
    column == ADDRESS.name || FILTER.iter().any(|key| key.name == column) || PROTOCOLS.iter().any(|protocol| protocol.has(column))
}

/// Largest file read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// One row, not yet checked by the device it names.
#[derive(Clone, Debug)]
pub struct TagRow {
    /// Device that delivers the tag; `None` for a tag that clients write.
    pub device: Option<String>,
    pub tag: TagConfig,
}

impl TagRow {
    /// Definition of the tag: of one that clients write, or of one that a device delivers, by the defaults of the protocol of its address.
    ///
    /// # Errors
    /// The type is not given or not known, the name breaks a rule, or a cell of a collected tag is wrong.
    pub fn definition(&self) -> Result<TagDefinition, ConfigProblem> {
        if self.device.is_some() {
            return super::device::definition_of(&self.tag).map_err(|problems| match problems.into_iter().next() {
                Some(problem) => self.problem(problem.key.rsplit('.').next().unwrap_or_default(), problem.message.clone()),
                None => self.problem("device", "the tag cannot be understood"),
            });
        }
        let name = TagName::new(&self.tag.name).map_err(|error| self.problem("name", error.to_string()))?;
        let Some(value_type) = self.value_type()? else {
            return Err(self.problem("type", "a tag without a device needs a type: f64, f32, i64, u64, bool, string or state"));
        };
        let mut definition = TagDefinition::new(name, value_type);
        definition.unit.clone_from(&self.tag.unit);
        definition.description.clone_from(&self.tag.description);
        definition.stepped = self.tag.stepped.unwrap_or(definition.stepped);
        definition.range_low = self.tag.range_low;
        definition.range_high = self.tag.range_high;
        definition.state_set.clone_from(&self.tag.state_set);
        Ok(definition)
    }

    /// Value type where the row gives one.
    ///
    /// # Errors
    /// The name of the type is not known.
    pub fn value_type(&self) -> Result<Option<ValueType>, ConfigProblem> {
        let Some(name) = self.tag.value_type.as_deref() else { return Ok(None) };
        let known = ValueType::ALL.map(ValueType::as_str);
        name.parse().map(Some).map_err(|_| self.problem("type", format!("{name:?}: {}", wording::unknown("value type", name, &known))))
    }

    fn problem(&self, column: &str, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { position: self.tag.position.clone(), key: column.to_owned(), message: message.into() }
    }
}

/// Reads a tag file from disk, which may name a sheet (`tags.xlsx#Dryer`); `file` is the name that messages use.
pub fn read(path: &std::path::Path, file: &str) -> (Vec<TagRow>, Vec<ConfigProblem>) {
    let refuse = |message: String| {
        (Vec::new(), vec![ConfigProblem { position: SettingPosition { file: file.to_owned(), line: 0 }, key: "tag file".into(), message }])
    };
    let (path, sheet) = workbook::split(path);
    match std::fs::metadata(&path) {
        Ok(about) if about.len() > FILE_BYTES_MAX => return refuse(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20)),
        Ok(_) => {}
        Err(error) => return refuse(format!("cannot be read: {error}")),
    }
    match std::fs::read(path) {
        Ok(bytes) if workbook::is_older(&bytes) => refuse(workbook::OLDER.to_owned()),
        Ok(bytes) if workbook::is_workbook(&bytes) => parse_sheet(&bytes, sheet.as_deref(), file).unwrap_or_else(refuse),
        Ok(_) if sheet.is_some() => refuse("has no sheets, because it is no XLSX file".to_owned()),
        Ok(bytes) => parse(&bytes, file),
        Err(error) => refuse(format!("cannot be read: {error}")),
    }
}

/// Reads rows. Rows with a problem are left out.
pub fn parse(bytes: &[u8], file: &str) -> (Vec<TagRow>, Vec<ConfigProblem>) {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let source = SourceText::new(file, bytes);
    // The reader counts the line feed of a CRLF to the row after it: the line is that of the first byte that is no line end.
    let line_of = |start: u64| {
        let ends = bytes.iter().skip(start as usize).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        source.position(start as usize + ends).line
    };
    let mut found = FoundRows::new(file.to_owned());
    // A quote without its end would take the rest of the file for one cell, and its tags would be gone without a word.
    let mut records = Records::new(bytes);
    let mut read = records.read(&mut CsvRecord::default());
    while let Ok(true) = read {
        read = records.read(&mut CsvRecord::default());
    }
    if let Err(MalformedRecord { line, reason, is_quote: true }) = read {
        found.refuse(usize::try_from(line).unwrap_or(0), "row", &reason);
        return found.end();
    }
    let mut record = csv::ByteRecord::new();
    loop {
        let line = match reader.read_byte_record(&mut record) {
            Ok(true) => line_of(record.position().unwrap_or_else(|| reader.position()).byte()),
            Ok(false) => break,
            Err(error) => {
                found.refuse(line_of(reader.position().byte()), "row", &error.to_string());
                break;
            }
        };
        let mut cells = Vec::with_capacity(record.len());
        if let Some(broken) = record.iter().position(|cell| std::str::from_utf8(cell).map(|cell| cells.push(cell)).is_err()) {
            found.refuse(line, "row", &format!("column {} is not UTF-8; save the file as UTF-8", broken + 1));
            continue;
        }
        if !found.take(line, &cells) {
            break;
        }
    }
    found.end()
}

/// Reads the rows of a sheet of a workbook, which has to be named where there are several. Rows with a problem are left out.
///
/// # Errors
/// The workbook cannot be read, or which sheet is meant is not said.
fn parse_sheet(bytes: &[u8], sheet: Option<&str>, file: &str) -> Result<(Vec<TagRow>, Vec<ConfigProblem>), String> {
    let found_sheet = workbook::read(bytes, sheet)?;
    // Tags on a sheet that nobody reads would be missing without a word.
    if sheet.is_none() && !found_sheet.others.is_empty() {
        let (name, others) = (&found_sheet.name, workbook::listed(&found_sheet.others));
        return Err(format!("has the sheets {name:?}, {others}; name the one that is meant, as in {file}#{name}"));
    }
    let mut found = FoundRows::new(if sheet.is_some() { file.to_owned() } else { format!("{file}#{}", found_sheet.name) });
    found.is_sheet = true;
    let mut width = 0;
    for row in &found_sheet.rows {
        let mut cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
        // A row of a sheet ends with its last cell that has something in it; of the header that is the last column.
        width = width.max(if found.header.is_none() { cells.len() } else { width });
        cells.resize(width.max(cells.len()), "");
        let mut refused = row.refused.iter().filter(|(column, _)| *column < width).peekable();
        if refused.peek().is_none() {
            if !found.take(row.number, &cells) {
                break;
            }
            continue;
        }
        for (column, reason) in refused {
            let key = found.header.as_ref().and_then(|header| header.get(*column).copied()).unwrap_or("header");
            found.problem(row.number, key, reason.clone());
        }
        if found.header.is_none() {
            break;
        }
    }
    Ok(found.end())
}

/// The rows of a file on the way through it.
struct FoundRows {
    file: String,
    /// Names of columns are in cells that have names themselves.
    is_sheet: bool,
    header: Option<Vec<&'static str>>,
    seen: HashMap<String, usize>,
    rows: Vec<TagRow>,
    problems: Vec<ConfigProblem>,
}

impl FoundRows {
    fn new(file: String) -> FoundRows {
        FoundRows { file, is_sheet: false, header: None, seen: HashMap::new(), rows: Vec::new(), problems: Vec::new() }
    }

    fn position(&self, line: usize) -> SettingPosition {
        SettingPosition { file: self.file.clone(), line }
    }

    fn problem(&mut self, line: usize, key: &str, message: String) {
        let position = self.position(line);
        self.problems.push(ConfigProblem { position, key: key.to_owned(), message });
    }

    /// A problem of a row; in a sheet with the name of the cell.
    fn refuse(&mut self, line: usize, key: &str, message: &str) {
        let column = self.header.as_ref().and_then(|header| header.iter().position(|name| *name == key)).filter(|_| self.is_sheet);
        let cell = column.map_or_else(String::new, |column| format!("cell {}: ", workbook::cell_name(column, line)));
        self.problem(line, key, format!("{cell}{message}"));
    }

    /// The header, then a row; false when there is no use in reading on.
    fn take(&mut self, line: usize, cells: &[&str]) -> bool {
        let Some(columns) = &self.header else {
            match read_header(cells) {
                Ok(columns) => self.header = Some(columns),
                Err(refused) => {
                    for (column, message) in refused {
                        self.refuse(line, &column, &message);
                    }
                    return false;
                }
            }
            return true;
        };
        if cells.iter().all(|cell| cell.is_empty()) {
            return true;
        }
        if cells.len() != columns.len() {
            let hint = if self.is_sheet { "" } else { "; a comma inside a cell needs quotes around it" };
            let message = format!("has {} cells, the header has {} columns{hint}", cells.len(), columns.len());
            self.refuse(line, "row", &message);
            return true;
        }
        match read_row(columns, cells, self.position(line)) {
            Ok(row) => match self.seen.insert(row.tag.name.clone(), line) {
                Some(first) => self.refuse(line, "name", &format!("tag {:?} is in line {first} already", row.tag.name)),
                None => self.rows.push(row),
            },
            Err(refused) => refused.into_iter().for_each(|(column, message)| self.refuse(line, column, &message)),
        }
        true
    }

    fn end(mut self) -> (Vec<TagRow>, Vec<ConfigProblem>) {
        if self.header.is_none() && self.problems.is_empty() {
            let message = format!("is empty; the first line names the columns: {}", definition_columns()[..7].join(","));
            self.problem(1, "header", message);
        }
        (self.rows, self.problems)
    }
}

/// Columns of the file; each refused one with the reason.
fn read_header(cells: &[&str]) -> Result<Vec<&'static str>, Vec<(String, String)>> {
    let mut found = Vec::with_capacity(cells.len());
    let mut refused = Vec::new();
    if let [only] = cells
        && let Some(separator) = [';', '\t'].into_iter().find(|separator| only.contains(*separator))
    {
        return Err(vec![("header".into(), format!("columns are separated by {separator:?}; save the file with commas"))]);
    }
    let known = columns();
    for cell in cells {
        match known.iter().find(|column| column == &cell) {
            Some(column) if found.contains(column) => refused.push(((*cell).to_owned(), "this column is there twice".to_owned())),
            Some(column) => found.push(*column),
            None => refused.push(((*cell).to_owned(), wording::unknown_column(cell, &known))),
        }
    }
    if refused.is_empty() && !found.contains(&"name") {
        refused.push(("name".into(), "this column is needed and is not there".into()));
    }
    if refused.is_empty() { Ok(found) } else { Err(refused) }
}

type RefusedFields = Vec<(&'static str, String)>;

fn read_row(columns: &[&'static str], cells: &[&str], position: SettingPosition) -> Result<TagRow, RefusedFields> {
    let mut row = TagRow { device: None, tag: TagConfig { position, ..TagConfig::default() } };
    let mut refused = RefusedFields::new();
    for (&column, &cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let outcome = match (column, tag_key(column)) {
            ("name", _) => TagName::new(cell).map(|name| row.tag.name = name.into()).map_err(|error| error.to_string()),
            (DEVICE, _) => {
                row.device = Some(cell.to_owned());
                Ok(())
            }
            (_, Some(key)) => key.kind.cell(cell).map(|setting| row.tag.set(key, setting)),
            (_, None) => Err("is a column without a meaning".into()),
        };
        if let Err(message) = outcome {
            refused.push((column, message));
        }
    }
    if row.tag.name.is_empty() && !refused.iter().any(|(column, _)| *column == "name") {
        refused.push(("name", "the cell is empty".into()));
    }
    if let Err(problem) = row.value_type() {
        refused.push(("type", problem.message));
    }
    if row.device.is_some() && row.tag.address.is_empty() {
        refused.push(("address", "a tag with a device needs its address there".into()));
    }
    if row.device.is_none()
        && let Some((column, _)) = columns.iter().zip(cells).find(|(column, cell)| is_collected_only(column) && !cell.is_empty())
    {
        refused.push((column, "is only for collected tags; fill the column device as well, or leave this cell empty".into()));
    }
    if let (Some(low), Some(high)) = (row.tag.range_low, row.tag.range_high)
        && low >= high
    {
        refused.push(("range_high", format!("{high} is not above range_low, {low}")));
    }
    if refused.is_empty() { Ok(row) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_without_its_end_loses_no_tag_without_a_word() {
        for end in ["\n", "\r\n"] {
            let text = ["name,type,description", "a,f64,fine", "", "b,f64,\"3 inch", "c,f64,fine", "d,f64,fine", ""].join(end);
            let (rows, problems) = parse(text.as_bytes(), "t.csv");
            assert!(rows.is_empty());
            assert_eq!(problems.len(), 1);
            assert_eq!((problems[0].position.line, problems[0].key.as_str()), (4, "row"));
            assert!(problems[0].message.starts_with("a quote is opened here and not closed"), "{}", problems[0].message);
        }
    }

    #[test]
    fn a_file_from_a_spreadsheet_is_read_whole() {
        let text = "\u{feff}name,type,unit,description,stepped,range_low,range_high,device,address\r\n\
                    a/level,f64,m,\"Level, \"\"wet\"\" side\",false,0,4.5,plc,holding:0\r\n\
                    \r\n,,,,,,,,\r\n\
                    a/note,string,,,,,,,\r\n";
        let (rows, problems) = parse(text.as_bytes(), "t.csv");
        assert_eq!(problems, []);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].tag.description, "Level, \"wet\" side");
        assert_eq!((rows[0].device.as_deref(), rows[0].tag.range_high, rows[0].tag.position.line), (Some("plc"), Some(4.5), 2));
        let note = rows[1].definition().unwrap();
        assert!(note.stepped, "text holds until the next sample by default");
        assert_eq!(rows[1].tag.position.line, 5);
    }

    #[test]
    fn every_wrong_cell_is_found_with_its_line_and_column() {
        let text = "name,type,stepped,range_low,range_high,scan_ms,device,address\n\
                    a,f46,,,,,,\n\
                    b,f64,maybe,,,,,\n\
                    c,f64,,5,1,,,\n\
                    d,f64,,,,5,,\n\
                    e,f64,,\"1,5\",,,,\n\
                    a//b,f64,,,,,,\n\
                    ,f64,,,,,,\n\
                    g,f64,,,,-1,p,x\n\
                    h,f64,,,,,p,\n\
                    i,f64\n\
                    j,f64,,,,,,\n\
                    j,f64,,,,,,\n";
        let (rows, problems) = parse(text.as_bytes(), "t.csv");
        assert_eq!(rows.len(), 1);
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        for (index, expected) in [
            "t.csv:2: type: \"f46\": unknown value type; did you mean \"f64\"?",
            "t.csv:3: stepped: \"maybe\" is neither true nor false",
            "t.csv:4: range_high: 1 is not above range_low, 5",
            "t.csv:5: scan_ms: is only for collected tags",
            "t.csv:6: range_low: \"1,5\" is not a number; the decimal mark is a point",
            "t.csv:7: name: tag name \"a//b\" has an empty level",
            "t.csv:8: name: the cell is empty",
            "t.csv:9: scan_ms: \"-1\" is not a whole number",
            "t.csv:10: address: a tag with a device needs",
            "t.csv:11: row: has 2 cells, the header has 8 columns",
            "t.csv:13: name: tag \"j\" is in line 12 already",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(lines[index].starts_with(expected), "{expected}\n{lines:#?}");
        }
    }

    #[test]
    fn states_of_a_collected_tag_are_those_of_its_row() {
        let text = "name,device,address,state_set,type\na,plc,holding:0,0=off|7=fault,\nb,,,off|on,state\nc,plc,holding:1,0=off|on,\n";
        let (rows, problems) = parse(text.as_bytes(), "t.csv");
        let [a, b] = &rows[..] else { panic!("{rows:?}") };
        let (a, b) = (a.definition().unwrap(), b.definition().unwrap());
        assert_eq!((a.value_type, b.value_type), (ValueType::State, ValueType::State));
        assert_eq!(a.state_set, ["off", "1", "2", "3", "4", "5", "6", "fault"]);
        assert_eq!(b.state_set, ["off", "on"]);
        assert!(problems[0].to_string().starts_with("t.csv:4: state_set: \"on\" has no number"), "{problems:?}");
    }

    #[test]
    fn a_wrong_header_says_what_is_wrong_with_it() {
        for (text, expected) in [
            ("name,typ\n", "t.csv:1: typ: unknown column; did you mean \"type\"?"),
            ("name,name\n", "t.csv:1: name: this column is there twice"),
            ("type,unit\n", "t.csv:1: name: this column is needed"),
            ("name;type;unit\n", "t.csv:1: header: columns are separated by ';'"),
            ("", "t.csv:1: header: is empty"),
        ] {
            let (rows, problems) = parse(text.as_bytes(), "t.csv");
            assert!(rows.is_empty());
            assert!(problems[0].to_string().starts_with(expected), "{text:?}: {}", problems[0]);
        }
        let (_, problems) = parse(b"name,slave_id,byte_order\n", "t.csv");
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told[0].ends_with("unknown column; the unit is part of the address, as in 2!holding:100"), "{told:?}");
        assert!(told[1].ends_with("unknown column; did you mean \"word_order\"?"), "{told:?}");
        let (_, problems) = parse(b"name,type,unit\na,f64,\xB0C\n", "t.csv");
        assert!(problems[0].to_string().starts_with("t.csv:2: row: column 3 is not UTF-8"), "{}", problems[0]);
    }

    #[test]
    fn filters_are_of_collected_tags() {
        let text = "name,type,device,address,exception_deadband,compression_max_ms\na,f64,,,0.5,\nb,,plc,holding:1,0.5,60000\n";
        let (rows, problems) = parse(text.as_bytes(), "t.csv");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().starts_with("t.csv:2: exception_deadband: is only for collected tags"), "{}", problems[0]);
        assert_eq!((rows[0].tag.filter.deadband, rows[0].tag.filter.compression_max_ms), (Some(0.5), Some(60_000)));
    }
}
