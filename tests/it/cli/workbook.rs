//! Lists in XLSX: the files of `tests/peers/workbooks`, which other libraries wrote, give what the same list in CSV gives.

use std::fs;

use historian::server::config::{self, Overrides, tag_file};

use super::{directory, historian, path, stderr, stdout};
use crate::support::peer;

/// What wrote them: texts in cells, texts that cells share, texts in cells again.
const MAKES: [&str; 3] = ["openpyxl", "xlsxwriter", "inline"];

fn kept(name: &str) -> std::path::PathBuf {
    peer::root().join("tests/peers/workbooks").join(name)
}

/// What `init` makes of a list: exit code, tag file, configuration without its head, and the lines about rows and addresses.
fn made_of(list: &str) -> (Option<i32>, String, String, Vec<String>) {
    let files = directory(&[]);
    let output = historian(&["init", "modbus", &kept(list).display().to_string(), "--output", &path(&files, "out"), "--device", "dryer"]);
    let told = stdout(&output);
    let read = |name: &str| fs::read_to_string(files.path().join("out").join(name)).unwrap_or_else(|_| panic!("{told}{}", stderr(&output)));
    let (tags, toml) = (read("tags.csv"), read("historian.toml"));
    let checked = historian(&["check", "--offline", "--config", &path(&files, "out/historian.toml")]);
    assert_eq!(checked.status.code(), Some(0), "{list}: {}{}", stdout(&checked), stderr(&checked));
    let lines = told.lines().filter(|line| ["line ", "note: ", "  "].iter().any(|begin| line.starts_with(begin)));
    let toml = toml.lines().skip(1).collect::<Vec<_>>().join("\n");
    (output.status.code(), tags, toml, lines.map(str::to_owned).collect())
}

#[test]
fn a_list_in_xlsx_gives_the_configuration_that_it_gives_in_csv() {
    for (list, tags) in [("map", 7), ("kepware", 8)] {
        let expected = made_of(&format!("{list}.csv"));
        assert_eq!((expected.0, expected.1.lines().count() - 1), (Some(1), tags), "{expected:?}");
        for make in MAKES {
            assert_eq!(made_of(&format!("{list}_{make}.xlsx")), expected, "{list} of {make}");
        }
    }
}

#[test]
fn a_tag_file_in_xlsx_means_what_it_means_in_csv() {
    let rows = |name: &str| {
        let file = kept(name);
        let (mut rows, problems) = tag_file::read(&file, name);
        assert_eq!(problems, [], "{name}");
        for row in &mut rows {
            row.tag.position.file.clear();
        }
        format!("{rows:#?}")
    };
    let expected = rows("tags.csv");
    assert!(expected.contains("\"holding:110\"") && expected.contains("\"night\""), "{expected}");
    for make in MAKES {
        assert_eq!(rows(&format!("tags_{make}.xlsx")), expected, "{make}");
        let files = directory(&[]);
        fs::copy(kept(&format!("tags_{make}.xlsx")), files.path().join("tags.xlsx")).unwrap();
        for named in ["tags.xlsx", "tags.xlsx#Tags"] {
            let toml = format!("tag_files = [\"{named}\"]\n[[modbus]]\nname = \"plc\"\nendpoint = \"192.0.2.1:502\"\n");
            fs::write(files.path().join("historian.toml"), toml).unwrap();
            let configuration = config::load(Some(&files.path().join("historian.toml")), &Overrides::default()).unwrap();
            let collected = configuration.collectors[0].tags().len();
            assert_eq!((collected, configuration.written_tags.len()), (3, 2), "{make}, {named}");
        }
    }
}

#[test]
fn cells_that_show_something_else_than_they_have_are_told_by_their_name() {
    let files = directory(&[]);
    let list = kept("doubtful.xlsx").display().to_string();
    let output = historian(&["init", "modbus", &list, "--output", &path(&files, "out"), "--device", "dryer"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.contains("doubtful.xlsx: XLSX, sheet \"Doubtful\", heading in line 1\n"), "{text}");
    assert!(text.contains("note: not read: the sheets \"Registers\", \"Notes\"; FILE#NAME reads one\n"), "{text}");
    for part in [
        "line 3: cell D3 is a date, as which 1/10",
        "line 4: cell E4 is shown in percent",
        "line 5: cell B5 has a formula that was not calculated",
        "line 6: cell B6 is shown with letters",
        "line 7: cell D7 has the error #DIV/0!",
        "1 tags in ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    assert_eq!(written.lines().nth(1), Some("fine,dryer,40001,i16,,0.1,,,,1,"), "the date in a column that is not used is no fault");

    let output = historian(&["init", "modbus", &format!("{list}#registers"), "--output", &path(&files, "named")]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("XLSX, sheet \"Registers\""), "{}", stdout(&output));
    let output = historian(&["init", "modbus", &format!("{list}#Notes"), "--output", &path(&files, "notes")]);
    assert_eq!(output.status.code(), Some(1));
    for part in ["no row of headings", "\"Doubtful\", \"Registers\""] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
    let output = historian(&["init", "modbus", &format!("{list}#Gone"), "--output", &path(&files, "gone")]);
    assert!(stderr(&output).contains("has no sheet \"Gone\"; it has \"Doubtful\""), "{}", stderr(&output));
}

#[test]
fn merged_cells_and_numbers_that_are_shown_as_others_are_left_out_with_their_reason() {
    let files = directory(&[]);
    let list = kept("merged.xlsx").display().to_string();
    let output = historian(&["init", "modbus", &list, "--output", &path(&files, "out"), "--device", "dryer"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    for part in [
        "note: 1 hidden rows are read\n",
        "note: hidden columns are read: F\n",
        "line 4: cell B4 is merged with B3; write the value into each row",
        "40006.00 could be the register, shown with 2 decimals; write 40006, or 40006.0 for its bit 0",
        "line 7: cell C7 is shown as a whole number and is 40007.4",
        "line 8: cell C8 is shown otherwise than it is (its number is 40008)",
        "3 tags in ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    let names: Vec<&str> = written.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, ["first", "third", "hidden"], "{written}");
}

#[test]
fn a_tag_file_that_is_doubtful_or_damaged_changes_nothing_and_says_where() {
    let problems = |bytes: &[u8], name: &str| {
        let files = directory(&[]);
        fs::write(files.path().join("t.xlsx"), bytes).unwrap();
        let (rows, problems) = tag_file::read(&files.path().join(name), name);
        (rows.len(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let doubtful = fs::read(kept("doubtful.xlsx")).unwrap();
    let (rows, told) = problems(&doubtful, "t.xlsx");
    assert!(rows == 0 && told.contains("has the sheets \"Doubtful\", \"Registers\", \"Notes\"; name the one that is meant"), "{told}");
    // Without a device, an address is in the way: the cell is named.
    let (rows, told) = problems(&doubtful, "t.xlsx#Registers");
    assert!(rows == 0 && told.starts_with("t.xlsx#Registers:2: address: cell B2: is only for collected tags"), "{told}");
    let whole = fs::read(kept("tags_openpyxl.xlsx")).unwrap();
    assert_eq!(problems(&whole, "t.xlsx").0, 5);
    for end in [4, 100, whole.len() / 2, whole.len() - 1] {
        let (rows, told) = problems(&whole[..end], "t.xlsx");
        assert!(rows == 0 && told.contains("is no whole XLSX file"), "{end}: {told}");
    }
    let (rows, told) = problems(b"\xD0\xCF\x11\xE0 and so on", "t.xlsx");
    assert!(rows == 0 && told.contains("save it as XLSX without one"), "{told}");
    let (rows, told) = problems(b"name,type\na,f64\n", "t.xlsx#Tags");
    assert!(rows == 0 && told.contains("has no sheets"), "{told}");
}
