//! What the columns of a list of registers are, by the headings that are usual in English and German.

use anyhow::bail;

use super::sheet::{HEADING_ROWS, SheetRow, SpreadSheet};

/// What a column says of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListColumn {
    Name,
    Address,
    Area,
    Slave,
    Bit,
    Format,
    Length,
    Order,
    Unit,
    Scale,
    Divisor,
    Offset,
    RangeLow,
    RangeHigh,
    RawLow,
    RawHigh,
    Negated,
    Description,
}

/// Headings in lower case, without blanks, signs and what stands in brackets; umlauts in two letters. The first column of a role counts.
const HEADINGS: &[(ListColumn, &[&str])] = &[
    (
        ListColumn::Name,
        &[
            "name",
            "tag",
            "tagname",
            "bezeichnung",
            "variable",
            "variablenname",
            "variablename",
            "signal",
            "signalname",
            "symbol",
            "kks",
            "point",
            "pointname",
            "item",
            "itemname",
            "parameter",
            "parametername",
            "datenpunkt",
            "messstelle",
            "id",
        ],
    ),
    (
        ListColumn::Address,
        &[
            "address",
            "addr",
            "adresse",
            "register",
            "reg",
            "registeraddress",
            "registeradresse",
            "registernumber",
            "registernummer",
            "registernr",
            "modbusaddress",
            "modbusadresse",
            "modbusregister",
            "startaddress",
            "startadresse",
            "startregister",
            "registerstart",
            "regaddr",
            "logicaladdress",
            "logischeadresse",
        ],
    ),
    (
        ListColumn::Area,
        &[
            "area",
            "function",
            "functioncode",
            "fc",
            "funktion",
            "funktionscode",
            "registertype",
            "registertyp",
            "registerart",
            "objecttype",
            "bereich",
            "table",
            "regtype",
            "modbusfunction",
            "readfunction",
        ],
    ),
    (
        ListColumn::Slave,
        &["slave", "slaveid", "unitid", "slaveaddress", "slaveadresse", "station", "stationid", "modbusid", "geraeteadresse", "deviceid"],
    ),
    (ListColumn::Bit, &["bit", "bitnr", "bitnumber", "bitnummer", "bitposition", "bitoffset"]),
    (ListColumn::Format, &["type", "typ", "datatype", "datentyp", "format", "dataformat", "datenformat", "valuetype", "registerformat"]),
    (
        ListColumn::Length,
        &[
            "length",
            "laenge",
            "count",
            "anzahl",
            "size",
            "registers",
            "registercount",
            "quantity",
            "anzahlregister",
            "words",
            "numberofregisters",
        ],
    ),
    (ListColumn::Order, &["wordorder", "byteorder", "order", "endian", "endianness", "wortreihenfolge", "bytereihenfolge", "reihenfolge"]),
    (ListColumn::Unit, &["unit", "units", "einheit", "engunit", "engunits", "engineeringunit", "engineeringunits", "uom", "dimension"]),
    (
        ListColumn::Scale,
        &[
            "scale",
            "scaling",
            "scalefactor",
            "factor",
            "faktor",
            "skalierung",
            "skalierungsfaktor",
            "multiplier",
            "multiplikator",
            "resolution",
            "aufloesung",
        ],
    ),
    (ListColumn::Divisor, &["divisor", "divider", "teiler"]),
    (ListColumn::Offset, &["offset", "versatz", "nullpunkt"]),
    (ListColumn::RangeLow, &["rangelow", "low", "min", "minimum", "untergrenze", "messbereichvon", "von", "lowlimit", "scaledlow"]),
    (ListColumn::RangeHigh, &["rangehigh", "high", "max", "maximum", "obergrenze", "messbereichbis", "bis", "highlimit", "scaledhigh"]),
    (ListColumn::RawLow, &["rawlow"]),
    (ListColumn::RawHigh, &["rawhigh"]),
    (ListColumn::Negated, &["negatevalue"]),
    (
        ListColumn::Description,
        &[
            "description",
            "beschreibung",
            "desc",
            "comment",
            "kommentar",
            "bemerkung",
            "remark",
            "remarks",
            "langtext",
            "bedeutung",
            "text",
            "notes",
        ],
    ),
];

/// What cells say that have nothing to say; Kepware writes `None` where a tag is not scaled.
const NOTHING: [&str; 7] = ["", "-", "--", "n/a", "none", "null", "keine"];

impl ListColumn {
    /// Its key in a tag file, or what becomes of it.
    pub fn key(self) -> &'static str {
        match self {
            ListColumn::Name => "name",
            ListColumn::Address => "address",
            ListColumn::Area => "address (area)",
            ListColumn::Slave => "address (unit)",
            ListColumn::Bit => "address (bit)",
            ListColumn::Format => "format",
            ListColumn::Length => "format (length)",
            ListColumn::Order => "word_order",
            ListColumn::Unit => "unit",
            ListColumn::Scale => "scale",
            ListColumn::Divisor => "scale (1/x)",
            ListColumn::Offset => "offset",
            ListColumn::RangeLow => "range_low",
            ListColumn::RangeHigh => "range_high",
            ListColumn::RawLow | ListColumn::RawHigh => "scale, offset (raw range)",
            ListColumn::Negated => "scale (sign)",
            ListColumn::Description => "description",
        }
    }

    fn of(heading: &str) -> Option<ListColumn> {
        let plain = plain(heading);
        HEADINGS.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(role, _)| *role)
    }
}

/// A heading or another word as it is compared.
pub fn plain(text: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            'ä' => plain += "ae",
            'ö' => plain += "oe",
            'ü' => plain += "ue",
            'ß' => plain += "ss",
            c if c.is_alphanumeric() => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// How many different roles the cells name.
pub fn known(cells: &[String]) -> usize {
    let mut roles: Vec<ListColumn> = Vec::new();
    for role in cells.iter().filter_map(|cell| ListColumn::of(cell)) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles.len()
}

/// A column with its heading, and what it is taken for.
pub struct ColumnUse {
    pub heading: String,
    pub role: Option<ListColumn>,
}

/// The columns of a list.
pub struct ColumnMap {
    pub uses: Vec<ColumnUse>,
    pub heading_line: usize,
    /// Rows up to the heading.
    pub rows_before: usize,
    /// The heading says that addresses are in base 16.
    pub is_hexadecimal: bool,
    /// Addresses are those of an S7: of bytes in its areas.
    pub is_logical: bool,
    /// The list is an export of Kepware.
    pub is_kepware: bool,
}

impl ColumnMap {
    /// # Errors
    /// There is no row of headings, or none of them is of addresses or of names.
    pub fn find(sheet: &SpreadSheet) -> anyhow::Result<ColumnMap> {
        let candidates = sheet.rows.iter().enumerate().take(HEADING_ROWS);
        let best = candidates.map(|(index, row)| (known(&row.cells), index)).max_by_key(|(known, index)| (*known, usize::MAX - index));
        let Some((found, index)) = best.filter(|(found, _)| *found >= 2) else {
            bail!("no row of headings is known; there has to be one with a name and an address, such as `name;address;type;unit;scale`");
        };
        let SheetRow { line, cells, .. } = &sheet.rows[index];
        let mut taken: Vec<ListColumn> = Vec::with_capacity(found);
        let mut uses: Vec<ColumnUse> = Vec::with_capacity(cells.len());
        for heading in cells {
            let role = ListColumn::of(heading).filter(|role| !taken.contains(role));
            taken.extend(role);
            uses.push(ColumnUse { heading: heading.clone(), role });
        }
        // In German lists the description often stands under "Bezeichnung", and the name under something shorter.
        let missing = |role: ListColumn| !taken.contains(&role);
        if missing(ListColumn::Address) {
            bail!("line {line}: no column is one of addresses, such as `address` or `register`; there are {}", cells.join(", "));
        }
        if missing(ListColumn::Name) {
            match uses.iter_mut().find(|used| used.role == Some(ListColumn::Description)) {
                Some(used) => used.role = Some(ListColumn::Name),
                None => bail!("line {line}: no column is one of names, such as `name` or `tag`; there are {}", cells.join(", ")),
            }
        }
        let mut map =
            ColumnMap { uses, heading_line: *line, rows_before: index + 1, is_hexadecimal: false, is_logical: false, is_kepware: false };
        map.is_hexadecimal =
            map.uses.iter().any(|used| used.role == Some(ListColumn::Address) && used.heading.to_lowercase().contains("hex"));
        map.is_logical = map.uses.iter().any(|used| {
            used.role == Some(ListColumn::Address) && matches!(plain(&used.heading).as_str(), "logicaladdress" | "logischeadresse")
        });
        map.is_kepware = map.uses.iter().any(|used| plain(&used.heading) == "respectdatatype");
        // "Unit" is the unit of measurement, unless there are numbers below it: then it is the unit that answers.
        let units = |row: &SheetRow| map.cell(row, ListColumn::Unit).map(str::to_owned);
        let units: Vec<String> = sheet.rows[map.rows_before..].iter().filter_map(units).collect();
        if !units.is_empty() && units.iter().all(|unit| unit.parse::<u8>().is_ok()) && !taken.contains(&ListColumn::Slave) {
            for used in map.uses.iter_mut().filter(|used| used.role == Some(ListColumn::Unit)) {
                used.role = Some(ListColumn::Slave);
            }
        }
        Ok(map)
    }

    /// Why a row must not be used: a cell of it, in a column that is used, has something else than it shows.
    pub fn refused<'row>(&self, row: &'row SheetRow) -> Option<&'row str> {
        let used = |column: usize| self.uses.get(column).is_some_and(|used| used.role.is_some());
        row.refused.iter().find(|(column, _)| used(*column)).map(|(_, reason)| reason.as_str())
    }

    /// What a row has in the column of a role, if anything.
    pub fn cell<'row>(&self, row: &'row SheetRow, role: ListColumn) -> Option<&'row str> {
        let column = self.uses.iter().position(|used| used.role == Some(role))?;
        row.cells.get(column).map(String::as_str).filter(|cell| !NOTHING.contains(&cell.to_lowercase().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &str) -> Vec<(String, Option<ListColumn>)> {
        let map = ColumnMap::find(&SpreadSheet::read(text.as_bytes(), None, known).unwrap()).unwrap();
        map.uses.into_iter().map(|used| (used.heading, used.role)).collect()
    }

    #[test]
    fn every_heading_is_written_as_it_is_compared_and_once() {
        let all: Vec<&str> = HEADINGS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for (index, name) in all.iter().enumerate() {
            assert_eq!(plain(name), *name);
            assert!(!all[..index].contains(name), "{name}");
        }
    }

    #[test]
    fn headings_are_found_below_a_title_in_both_languages() {
        let roles = mapped("Registerliste Trockner;;;\n\nNr.;Bezeichnung;Register-Adresse [dez];Datentyp;Größe\n1;a;40001;REAL;2\n");
        let of = |heading: &str| roles.iter().find(|(found, _)| found == heading).unwrap().1;
        assert_eq!(of("Nr."), None);
        assert_eq!(of("Bezeichnung"), Some(ListColumn::Name));
        assert_eq!(of("Register-Adresse [dez]"), Some(ListColumn::Address));
        assert_eq!(of("Datentyp"), Some(ListColumn::Format));
    }

    #[test]
    fn numbers_below_unit_are_the_units_that_answer() {
        assert_eq!(mapped("name,address,unit\na,1,3\nb,2,4\n")[2].1, Some(ListColumn::Slave));
        assert_eq!(mapped("name,address,unit\na,1,m3/h\nb,2,4\n")[2].1, Some(ListColumn::Unit));
        assert_eq!(mapped("address,description\n1,Flow\n")[1].1, Some(ListColumn::Name), "there is nothing better");
        let no = ColumnMap::find(&SpreadSheet::read(b"name,type\na,f32\n", None, known).unwrap()).err().unwrap();
        assert!(no.to_string().contains("addresses"), "{no}");
    }
}
