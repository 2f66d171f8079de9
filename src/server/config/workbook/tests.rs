//! Workbooks that are made here, part by part: what the makes in `tests/it` do not write, and what nobody should.

use std::io::{Read, Write};

use flate2::{Compression, write::DeflateEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::{WorkRow, WorkSheet, cell_name, is_workbook, listed, read, split};

const ROOT: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1"
    Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const BOOK: &str = r#"<?xml version="1.0"?><workbook xmlns:r="urn:r"><sheets><sheet name="Kept away" state="hidden" r:id="a"/>
    <sheet name="Graph" r:id="g"/><sheet name="Register &amp; Co" r:id="b"/><sheet name="Notes" r:id="a"/></sheets></workbook>"#;
const RELATIONS: &str = r#"<Relationships><Relationship Id="a" Type="urn:x/worksheet" Target="/xl/worksheets/other.xml"/>
    <Relationship Id="b" Type="urn:x/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="g" Type="urn:x/chartsheet" Target="g.xml"/>
    <Relationship Id="s" Type="urn:x/sharedStrings" Target="texts.xml"/><Relationship Id="y" Type="urn:x/styles" Target="../xl/styles.xml"/>
    </Relationships>"#;
const TEXTS: &str = r#"<sst><si><t>name</t></si><si><r><t xml:space="preserve">a </t></r><r><t>&lt;b&gt; &#xB0;C</t></r><rPh><t>spoken</t></rPh></si>
    <si><t>_x0041__x005F_x_xyz_</t></si><si/></sst>"#;
const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="00000"/><numFmt numFmtId="165" formatCode="&quot;HR&quot;0"/>
    <numFmt numFmtId="166" formatCode="0,"/></numFmts>
    <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="16"/><xf numFmtId="164"/><xf numFmtId="2"/>
    <xf numFmtId="10"/><xf numFmtId="165"/><xf numFmtId="1"/><xf numFmtId="166"/></cellXfs></styleSheet>"#;

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for (name, part) in parts {
        let (mut entry, config) = archive.new_file(*name).compression_method(CompressionMethod::DEFLATE).start().unwrap();
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
        writer.write_all(part).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

/// A workbook whose sheet has this in `<sheetData>`.
fn workbook(cells: &str) -> Vec<u8> {
    let sheet = format!("<x:worksheet xmlns:x=\"urn:x\"><x:sheetData>{cells}</x:sheetData></x:worksheet>");
    with_sheet(BOOK, &sheet)
}

fn with_sheet(book: &str, sheet: &str) -> Vec<u8> {
    archive(&[
        ("_rels/.rels", ROOT.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", RELATIONS.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        ("xl/worksheets/other.xml", b"<worksheet><sheetData><row><c t=\"str\"><v>other</v></c></row></sheetData></worksheet>"),
        ("xl/texts.xml", TEXTS.as_bytes()),
        ("xl/styles.xml", STYLES.as_bytes()),
    ])
}

fn row(number: usize, cells: &[&str]) -> WorkRow {
    WorkRow { number, cells: cells.iter().map(|cell| (*cell).to_owned()).collect(), refused: Vec::new() }
}

fn sheet(cells: &str) -> WorkSheet {
    read(&workbook(cells), None).unwrap()
}

fn refused(cells: &str) -> String {
    read(&workbook(cells), None).unwrap_err()
}

#[test]
fn cells_are_read_whatever_their_order_and_the_way_their_text_is_kept() {
    let sheet = sheet(
        r#"<row r="3"><c r="C3" t="s"><v>1</v></c><c r="A3"><v>40001</v></c><c r="B3" t="b"><v>1</v></c></row>
        <row><c t="inlineStr"><is><r><t>in</t></r><r><t><![CDATA[line]]></t></r></is></c><c/><c t="str"><f>A1</f><v> of a formula </v></c></row>
        <row r="1"><c r="A1" t="s"><v>0</v></c><c r="XFD1" s="0"/><c r="B1" t="s"><v>2</v></c><c r="C1" t="s"><v>3</v></c></row>
        <row r="9"><c r="A9" t="inlineStr"><is><t>  </t></is></c></row>"#,
    );
    assert_eq!(
        sheet.rows,
        [row(1, &["name", "A_x_xyz_"]), row(3, &["40001", "true", "a <b> °C"]), row(4, &["inline", "", "of a formula"])]
    );
    assert_eq!((sheet.name.as_str(), listed(&sheet.others).as_str()), ("Register & Co", "\"Notes\""));
}

#[test]
fn a_sheet_is_chosen_by_its_name() {
    let bytes = workbook("");
    assert_eq!(read(&bytes, Some("notes")).unwrap().rows, [row(1, &["other"])]);
    assert_eq!(read(&bytes, Some("Kept away")).unwrap().rows, [row(1, &["other"])]);
    let error = read(&bytes, Some("Graph")).unwrap_err();
    assert_eq!(error, "has no sheet \"Graph\"; it has \"Kept away\", \"Register & Co\", \"Notes\"");
    let of = |path: &str| {
        let (file, sheet) = split(path.as_ref());
        (file.display().to_string(), sheet)
    };
    assert_eq!(of("a#b/Map.XLSX#Sheet #2"), ("a#b/Map.XLSX".to_owned(), Some("Sheet #2".to_owned())));
    assert_eq!(of("a.xlsx"), ("a.xlsx".to_owned(), None));
    assert_eq!(of("a#b.csv"), ("a#b.csv".to_owned(), None));
}

#[test]
fn numbers_are_what_a_person_sees_and_what_hides_one_is_refused_by_its_cell() {
    let sheet = sheet(
        r#"<row r="2"><c r="A2" s="2"><v>17</v></c><c r="B2" s="3"><v>40001.1</v></c><c r="C2"><v>0.30000000000000004</v></c>
        <c r="D2" s="1"><v>45931</v></c><c r="E2" s="4"><v>0.5</v></c><c r="F2" s="5"><v>7</v></c><c r="G2" t="e"><v>#REF!</v></c>
        <c r="H2"><f>1+1</f><v></v></c><c r="I2" s="6"><v>40001.4</v></c><c r="J2" s="6"><v>40001</v></c><c r="K2" s="7"><v>40001</v></c><c r="AA2" t="d"><v>2026-01-01</v></c></row>"#,
    );
    assert_eq!(sheet.rows[0].cells[..8], ["00017", "40001.10", "0.3", "45931", "0.5", "7", "#REF!", "?"]);
    let refused: Vec<(usize, &str)> = sheet.rows[0].refused.iter().map(|(column, reason)| (*column, reason.as_str())).collect();
    let begins = [
        (3, "cell D2 is a date"),
        (4, "cell E2 is shown in percent"),
        (5, "cell F2 is shown with letters"),
        (6, "cell G2 has the error #REF!"),
        (7, "cell H2 has a formula that was not calculated"),
        (8, "cell I2 is shown as a whole number and is 40001.4"),
        (10, "cell K2 is shown otherwise than it is"),
        (26, "cell AA2 is a date"),
    ];
    assert_eq!(refused.len(), begins.len(), "{refused:?}");
    for ((column, reason), (expected, begin)) in refused.iter().zip(begins) {
        assert!(*column == expected && reason.starts_with(begin), "{reason}");
    }
}

#[test]
fn a_cell_that_a_merge_covers_is_refused_in_each_row_below_its_first() {
    let cells = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>7</v></c></row>
        <row r="3"><c r="A3"><v>2</v></c><c r="C3"><v>9</v></c></row><row r="5"><c r="A5"><v>3</v></c><c r="B5"><v>8</v></c></row>"#;
    let merged = |merges: &[&str]| {
        let merges = merges.iter().map(|merge| format!("<mergeCell ref=\"{merge}\"/>")).collect::<Vec<_>>().concat();
        let sheet = format!("<worksheet><sheetData>{cells}</sheetData><mergeCells>{merges}</mergeCells></worksheet>");
        read(&with_sheet(BOOK, &sheet), None).map(|sheet| sheet.rows.into_iter().map(|row| (row.number, row.refused)).collect::<Vec<_>>())
    };
    let why = |column, cell: &str, first: &str| (column, format!("cell {cell} is merged with {first}; write the value into each row"));
    // Row 4 has nothing in it. The value in B5 is under the merge, and nobody sees it.
    let expected = [(1, vec![]), (2, vec![]), (3, vec![why(1, "B3", "B2")]), (5, vec![why(1, "B5", "B2")])];
    assert_eq!(merged(&["B2:B5"]).unwrap(), expected);
    // A title over the width of the list hides nothing, but what lies under one.
    let expected = [(1, vec![]), (2, vec![why(1, "B2", "A2")]), (3, vec![]), (5, vec![])];
    assert_eq!(merged(&["A1:C1", "A2:C2", "C3"]).unwrap(), expected);
    for (merge, part) in [("B5:B2", "\"B5:B2\" are no cells"), ("B2:", "are no cells")] {
        let error = merged(&[merge]).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert!(merged(&["A1:XFD1"; 123]).unwrap_err().contains("more than 2000000 cells"));
    assert!(merged(&["A1:XFD5"; 30]).unwrap_err().contains("larger than 64 MiB"));
}

#[test]
fn what_is_hidden_is_read_and_told() {
    let sheet = "<worksheet><cols><col min=\"1\" max=\"1\"/><col min=\"2\" max=\"3\" hidden=\"1\"/></cols><sheetData>\
        <row r=\"1\"><c r=\"B1\"><v>1</v></c></row><row r=\"2\" hidden=\"true\"><c r=\"B2\"><v>2</v></c></row>\
        <row r=\"3\" hidden=\"1\"/></sheetData></worksheet>";
    let found = read(&with_sheet(BOOK, sheet), None).unwrap();
    assert_eq!(found.rows, [row(1, &["", "1"]), row(2, &["", "2"])]);
    assert_eq!(found.hidden, ["1 hidden rows are read", "hidden columns are read: B"]);
    assert!(read(&workbook("<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>"), None).unwrap().hidden.is_empty());
}

#[test]
fn values_of_formulas_count_only_where_a_program_calculated_them() {
    let cells = "<worksheet><sheetData><row><c><f>40000+1</f><v>40001</v></c></row></sheetData></worksheet>";
    assert_eq!(read(&with_sheet(BOOK, cells), None).unwrap().rows, [row(1, &["40001"])]);
    let stale = BOOK.replace("</workbook>", "<calcPr fullCalcOnLoad=\"1\"/></workbook>");
    let sheet = read(&with_sheet(&stale, cells), None).unwrap();
    assert!(sheet.rows[0].refused[0].1.contains("cell A1 has a formula that was not calculated"), "{sheet:?}");
}

#[test]
fn what_contradicts_itself_is_refused_with_its_sheet_and_cell() {
    for (cells, expected) in [
        ("<row><c r=\"A1\"><v>1</v></c><c r=\"A1\"><v>2</v></c></row>", "sheet \"Register & Co\": its part xl/worksheets/sheet1.xml"),
        ("<row><c r=\"B7\"><v>1</v></c></row><row r=\"7\"><c r=\"B7\"><v>2</v></c></row>", "cell B7 is there twice"),
        ("<row><c t=\"s\"><v>99</v></c></row>", "cell A1: there is no shared text 99"),
        ("<row><c r=\"C5\"><v>1,5</v></c></row>", "cell C5: \"1,5\" is no number"),
        ("<row><c r=\"C5\" t=\"z\"><v>1</v></c></row>", "cell C5 has the type \"z\""),
        ("<row><c r=\"XFE1\"><v>1</v></c></row>", "\"XFE1\" is no cell"),
        ("<row><c r=\"A1048577\"><v>1</v></c></row>", "\"A1048577\" is no cell"),
        ("<row><c r=\"ABCDEFGHIJKLMNOPQRSTUVWXYZ1\"/></row>", "is no cell"),
        ("<row><c r=\"Ä1\"/></row>", "is no cell"),
        ("<row r=\"0\"/>", "a row has no place"),
        ("<row><c><v>&lol;</v></c></row>", "&lol; is no entity of XML"),
        ("<row><c><v>1</c></row>", "cannot be understood"),
    ] {
        let error = refused(cells);
        assert!(error.contains(expected), "{cells}: {error}");
    }
    let entity = "<!DOCTYPE x [<!ENTITY a \"b\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]><worksheet/>";
    for (sheet, expected) in [
        (entity, "document type"),
        ("<chartsheet/>", "begins with <chartsheet> and not with <worksheet>"),
        ("", "it is empty"),
        ("<worksheet><sheetData>", "ends too early"),
    ] {
        let error = read(&with_sheet(BOOK, sheet), None).unwrap_err();
        assert!(error.contains(expected), "{sheet}: {error}");
    }
}

#[test]
fn what_is_no_workbook_is_told_apart() {
    for (parts, expected) in [
        (&[("mimetype", &b"application/vnd.oasis.opendocument.spreadsheet"[..])][..], "an archive and no XLSX workbook"),
        (&[("_rels/.rels", ROOT.as_bytes())], "has no part xl/workbook.xml"),
        (&[("_rels/.rels", ROOT.as_bytes()), ("_RELS/.rels", ROOT.as_bytes())], "it is there twice"),
        (&[("_rels/.rels", b"\xFF\xFE<\0")], "it is not UTF-8"),
        (&[("_rels/.rels", ROOT.replace("workbook.xml", "workbook.bin").as_bytes())], "XLSB"),
    ] {
        let error = read(&archive(parts), None).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(is_workbook(&workbook("")) && !is_workbook(b"name,address\n"));
}

#[test]
fn nothing_grows_beyond_its_bound() {
    // 65 MiB of blanks are 64 KiB in the archive.
    let mut blanks = Vec::new();
    std::io::repeat(b' ').take(65 << 20).read_to_end(&mut blanks).unwrap();
    let bomb = archive(&[("_rels/.rels", &blanks)]);
    assert!(bomb.len() < 100_000);
    assert!(read(&bomb, None).unwrap_err().contains("larger than 64 MiB"));
    let wide = "<row><c r=\"XFD1\"><v>1</v></c></row>";
    let wide: Vec<String> = (1..=200).map(|row| wide.replace("XFD1", &format!("XFD{row}"))).collect();
    let wide = wide.concat();
    assert!(refused(&wide).contains("more than 2000000 cells"));
    let long = "x".repeat(1 << 20);
    let texts = format!("<sst><si><t>{long}</t></si></sst>");
    let cells: String = (0..70).map(|_| "<c t=\"s\"><v>0</v></c>").collect();
    let parts = [
        ("_rels/.rels", ROOT.as_bytes()),
        ("xl/workbook.xml", BOOK.as_bytes()),
        ("xl/_rels/workbook.xml.rels", RELATIONS.as_bytes()),
        ("xl/worksheets/sheet1.xml", &format!("<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>").into_bytes()),
        ("xl/texts.xml", texts.as_bytes()),
        ("xl/styles.xml", STYLES.as_bytes()),
    ];
    assert!(read(&archive(&parts), None).unwrap_err().contains("larger than 64 MiB"));
}

#[test]
fn a_workbook_that_is_cut_off_or_damaged_gives_no_other_rows() {
    let whole = workbook("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>1</v></c><c r=\"B1\"><v>40001</v></c></row>");
    let expected = read(&whole, None).unwrap().rows;
    for end in 0..whole.len() {
        assert!(read(&whole[..end], None).is_err(), "cut after {end} bytes");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(sheet) = read(&damaged, None) {
                // Only what nobody reads may differ: times, names of parts that are not needed.
                let same = sheet.rows == expected || sheet.rows == [row(1, &["other"])];
                assert!(same, "bit {bit} of byte {at}: {sheet:?}");
            }
        }
    }
}

#[test]
fn cells_have_the_names_of_spreadsheets() {
    for (column, name) in [(0, "A1"), (25, "Z1"), (26, "AA1"), (701, "ZZ1"), (702, "AAA1"), (16_383, "XFD1")] {
        assert_eq!(cell_name(column, 1), name);
    }
}
