//! Files of other programs into a historian: what is understood is stored as it was meant, and everything else is refused with its line.

use std::process::Command;

use super::{directory, path, server::Server, stderr, stdout};
use crate::support::peer;

/// Imports one file of a directory and answers exit code, standard output and standard error.
struct Import {
    server: Server,
    directory: tempfile::TempDir,
}

impl Import {
    fn of(files: &[(&str, &str)]) -> Import {
        Import { server: Server::start(), directory: directory(files) }
    }

    fn run(&self, file: &str, more: &[&str]) -> (i32, String, String) {
        let output = self.server.run(&[&["import", &path(&self.directory, file)], more].concat());
        (output.status.code().unwrap_or(-1), stdout(&output), stderr(&output))
    }

    /// Fails, writes nothing, and tells all of this.
    fn refused(&self, file: &str, more: &[&str], told: &[&str]) {
        let (code, out, err) = self.run(file, more);
        assert!(code == 1 && out.is_empty(), "{file}: {code} {out} {err}");
        for told in told {
            assert!(err.contains(told), "{file} does not tell {told:?}: {err}");
        }
        assert!(err.contains("nothing was written"), "{file}: {err}");
    }

    fn taken(&self, file: &str, more: &[&str]) -> String {
        let (code, out, err) = self.run(file, more);
        assert!(code == 0, "{file}: {err}");
        out
    }

    /// `timestamp,value,quality` of all samples of a tag.
    fn samples(&self, tag: &str) -> Vec<String> {
        let text = self.server.succeed(&["query", "range", tag, "--start=0", "--end=2100-01-01", "--format=json"]);
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let value = if row["value"].is_null() { &row["text"] } else { &row["value"] };
            format!("{},{},{}", row["timestamp"].as_str().unwrap_or_default(), value, row["quality"])
        };
        text.lines().map(row).collect()
    }

    fn tags(&self) -> String {
        self.server.listed(&[])
    }
}

fn day(rows: &str) -> String {
    rows.lines().map(|row| format!("2026-01-01T00:00:{row}\n")).collect::<Vec<_>>().concat()
}

#[test]
fn qualities_of_other_scales_are_refused_until_they_are_said() {
    let rows = day("00Z,1,192\n01Z,2,24\n02Z,3,0\n03Z,4,64");
    let import = Import::of(&[
        ("da.csv", &format!("timestamp,value,quality\n{rows}")),
        ("status.csv", &format!("Timestamp,Value,Status\n{}", day("00Z,1,Good\n01Z,2,Bad\n02Z,,Bad_NoCommunication\n03Z,4,Uncertain"))),
        ("ignition.csv", &format!("timestamp,value,dataintegrity\n{}", day("00Z,1,192\n01Z,2,516\n02Z,3,-2147483126"))),
        ("word.csv", &format!("timestamp,value,quality\n{}", day("00Z,1,Good\n01Z,2,kaputt"))),
        ("ua.csv", &format!("timestamp,value,quality\n{}", day("00Z,1,0\n01Z,2,0x80310000\n02Z,3,1026"))),
    ]);
    let new = |tag: &str| ["--create-tags".to_owned(), format!("--tag={tag}")];
    let with = |tag: &str, more: &[&str], file: &str| {
        let new = new(tag);
        import.taken(file, &[&[new[0].as_str(), new[1].as_str()], more].concat())
    };
    import.refused("da.csv", &["--create-tags", "--tag=da"], &["line 2, quality: 192", "line 3, quality: 24", "line 5", "--quality opcda"]);
    import.refused("ignition.csv", &["--create-tags", "--tag=ignition"], &["line 2, quality: 192", "line 4", "--quality ignition"]);
    import.refused("word.csv", &["--create-tags", "--tag=word"], &["line 3, quality: \"kaputt\""]);
    assert!(!import.tags().contains("da,") && !import.tags().contains("word,"), "no tag was made");

    with("da", &["--quality=opcda"], "da.csv");
    let qualities = |tag: &str| -> Vec<String> {
        import.samples(tag).iter().map(|row| row.rsplit(',').next().unwrap_or_default().to_owned()).collect()
    };
    let (bad, comm, uncertain) = (0x8000_0000_u32.to_string(), 0x8031_0000_u32.to_string(), 0x4000_0000_u32.to_string());
    assert_eq!(qualities("da"), ["0", &comm, &bad, &uncertain]);
    with("status", &[], "status.csv");
    assert_eq!(qualities("status"), ["0", &bad, &comm, &uncertain]);
    assert_eq!(import.samples("status")[2], format!("2026-01-01T00:00:02Z,null,{comm}"));
    with("ignition", &["--quality=ignition"], "ignition.csv");
    assert_eq!(qualities("ignition"), ["0", &comm, &0x808A_0000_u32.to_string()]);
    with("ua", &[], "ua.csv");
    assert_eq!(qualities("ua"), ["0", &comm, "1026"]);
}

#[test]
fn a_word_among_numbers_is_refused_with_its_line_wherever_it_stands() {
    let numbers = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("a,{},{n}\n", 1_767_225_600_000_000_000 + n as i64 * 1_000_000_000)).collect::<Vec<_>>().concat()
    };
    let word = |at: usize| format!("a,{},I/O Timeout\n", 1_767_225_600_000_000_000 + at as i64 * 1_000_000_000);
    let early = format!("tag,timestamp,value\n{}{}{}", numbers(0, 1), word(1), numbers(2, 10));
    let late = format!("tag,timestamp,value\n{}{}{}{}", numbers(0, 70_000), word(70_000), numbers(70_001, 70_005), word(70_005));
    let import = Import::of(&[
        ("early.csv", &early),
        ("late.csv", &late),
        ("words.csv", "tag,timestamp,value\nm,2026-01-01T00:00:00Z,on\nm,2026-01-01T00:00:01Z,off\nm,2026-01-01T00:00:02Z,007\n"),
    ]);
    import.refused("early.csv", &["--create-tags"], &["line 3, value: \"I/O Timeout\" is not a number", "--states", "--text"]);
    import.refused("late.csv", &["--create-tags"], &["line 70002, value: \"I/O Timeout\"", "line 70007, value:", "2 mistakes"]);
    import.refused("words.csv", &["--create-tags"], &["line 2, value: \"on\"", "line 3, value: \"off\""]);
    assert_eq!(import.tags().lines().count(), 1, "no tag was made: {}", import.tags());

    import.taken("late.csv", &["--create-tags", "--states=I/O Timeout=BadNoCommunication,Bad Input=BadSensorFailure"]);
    assert!(import.tags().contains("a,f64"), "{}", import.tags());
    let samples = import.samples("a");
    assert_eq!(samples.len(), 70_006);
    assert_eq!(samples[70_000], "2026-01-01T19:26:40Z,null,2150694912");
    import.taken("words.csv", &["--create-tags", "--text"]);
    assert!(import.tags().contains("m,string"), "{}", import.tags());
    assert_eq!(import.samples("m")[2], "2026-01-01T00:00:02Z,\"007\",0");
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_pass_and_nothing_is_written() {
    let crlf = "tag,timestamp,value,quality\r\n\r\na,2026-01-01T00:00:00Z,1,\r\na,soon,x,nice\r\n\r\n,2026-01-01,1,0\r\na,2026-01-01\r\n";
    let open = "tag,timestamp,value\na,2026-01-01T00:00:00Z,1\na,2026-01-01T00:00:01Z,\"2\na,2026-01-01T00:00:02Z,3\n";
    let inner = "tag,timestamp,value\na,2026-01-01T00:00:00Z,\"1\na,2026-01-01T00:00:01Z,\"2\"\na,2026-01-01T00:00:02Z,3\n";
    let many = (0..250).map(|n| format!("a,2026-01-01T00:00:00.{n:03}Z,?\n")).collect::<Vec<_>>().concat();
    let good = "tag,timestamp,value\nb,2026-01-01T00:00:00Z,1\n";
    let import = Import::of(&[
        ("crlf.csv", crlf),
        ("open.csv", open),
        ("inner.csv", inner),
        ("many.csv", &format!("tag,timestamp,value\n{many}")),
        ("semicolon.csv", "tag;timestamp;value\na;2026-01-01;1,5\n"),
        ("good.csv", good),
    ]);
    let told =
        ["line 4, timestamp: ", "line 4, value: \"x\"", "line 4, quality: \"nice\"", "line 6, tag: is empty", "line 7: has 2 fields"];
    import.refused("crlf.csv", &["--create-tags"], &told);
    import.refused("open.csv", &["--create-tags"], &["line 3: a quote is opened here and not closed"]);
    import.refused("inner.csv", &["--create-tags"], &["line 2: the quote that is opened here ends on line 3"]);
    import.refused("many.csv", &["--create-tags"], &["line 101, value", "and 150 more", "250 mistakes"]);
    let (_, _, err) = import.run("semicolon.csv", &["--create-tags"]);
    assert!(err.contains("separated by ';'"), "{err}");
    // One file of several is wrong: none is written.
    let output =
        import.server.run(&["import", "--create-tags", &path(&import.directory, "good.csv"), &path(&import.directory, "open.csv")]);
    assert!(stderr(&output).contains("open.csv: line 3") && stderr(&output).contains("nothing was written"), "{}", stderr(&output));
    assert_eq!(import.tags().lines().count(), 1, "no tag was made: {}", import.tags());
}

#[test]
fn rows_of_several_tags_do_not_go_into_one() {
    let import = Import::of(&[
        ("name.csv", "TagName,timestamp,value\na,2026-01-01,1\nb,2026-01-01,2\nc,2026-01-01,3\n"),
        ("foreign.csv", "timestamp,value,Messstelle\n2026-01-01,1,PT-1\n2026-01-02,2,PT-1\n2026-01-01,2,PT-2\n"),
    ]);
    let (_, _, err) = import.run("name.csv", &["--create-tags"]);
    assert!(err.contains("--tag-column \"TagName\""), "{err}");
    import.refused("name.csv", &["--create-tags", "--tag=x"], &["line 3, TagName: is \"b\"", "--tag-column"]);
    import.refused("foreign.csv", &["--create-tags", "--tag=x"], &["line 4, Messstelle: is \"PT-2\"", "--tag-column"]);
    import.taken("name.csv", &["--create-tags", "--tag-column=TagName"]);
    assert_eq!(["a", "b", "c"].map(|tag| import.samples(tag).len()), [1, 1, 1]);
    import.taken("foreign.csv", &["--create-tags", "--tag=x", "--ignore=Messstelle"]);
}

#[test]
fn a_number_is_a_time_only_where_its_unit_is_said() {
    let import = Import::of(&[
        ("seconds.csv", "tag,timestamp,value\na,1767225600,1\na,1767225601.5,2\n"),
        ("milliseconds.csv", "tag,timestamp,value\nb,1767225600000,1\n"),
        ("date.csv", "tag,timestamp,value\nc,20260101,1\n"),
        ("excel.csv", "tag,timestamp,value\nd,45958,1\nd,45958.25,2\n"),
        ("nanoseconds.csv", "tag,timestamp,value\ne,1767225600000000000,1\n"),
        ("end.csv", "tag,timestamp,value\nf,9999-12-31,1\n"),
    ]);
    let new = &["--create-tags"];
    import.refused("seconds.csv", new, &["line 2, timestamp", "as seconds it is 2026-01-01T00:00:00Z", "--time-unit"]);
    import.refused("milliseconds.csv", new, &["as milliseconds it is 2026-01-01T00:00:00Z"]);
    import.refused("date.csv", new, &["as a date it is 2026-01-01"]);
    import.refused("excel.csv", new, &["as a day of a spreadsheet it is 2025-10-28", "line 3, timestamp"]);
    import.refused("end.csv", new, &["line 2, timestamp", "2262"]);
    import.taken("seconds.csv", &["--create-tags", "--time-unit=s"]);
    assert_eq!(import.samples("a"), ["2026-01-01T00:00:00Z,1.0,0", "2026-01-01T00:00:01.500Z,2.0,0"]);
    import.taken("milliseconds.csv", &["--create-tags", "--time-unit=ms"]);
    assert_eq!(import.samples("b"), ["2026-01-01T00:00:00Z,1.0,0"]);
    import.taken("nanoseconds.csv", new);
    assert_eq!(import.samples("e"), ["2026-01-01T00:00:00Z,1.0,0"]);
}

#[test]
fn a_repeated_hour_is_told_apart_by_the_order_of_rows_and_a_skipped_one_refused() {
    let autumn = ["01:45", "02:00", "02:15", "02:30", "02:45", "02:00", "02:15", "02:30", "02:45", "03:00", "03:15"];
    let rows = autumn.iter().zip(0..).map(|(time, n)| format!("a,2026-10-25 {time},{n}\n")).collect::<Vec<_>>().concat();
    let import = Import::of(&[
        ("autumn.csv", &format!("tag,timestamp,value\n{rows}")),
        ("spring.csv", "tag,timestamp,value\nb,2026-03-29 01:59,1\nb,2026-03-29 02:30,2\n"),
        ("once.csv", "tag,timestamp,value\nb,2026-10-25 01:59,1\nb,2026-10-25 02:30,2\nb,2026-10-25 03:30,3\n"),
    ]);
    let berlin = &["--create-tags", "--zone=Europe/Berlin"];
    assert!(import.taken("autumn.csv", berlin).starts_with("11 samples written;"));
    // A quarter of an hour between two rows, whatever the clocks show.
    let first: jiff::Timestamp = "2026-10-24T23:45:00Z".parse().expect("a time");
    let expected: Vec<String> = (0..11).map(|n| format!("{},{n}.0,0", first + jiff::SignedDuration::from_mins(15 * n))).collect();
    assert_eq!(import.samples("a"), expected);
    import.refused("spring.csv", berlin, &["line 3, timestamp: 2026-03-29T02:30:00 does not exist"]);
    import.refused("once.csv", berlin, &["line 3, timestamp: 2026-10-25T02:30:00 occurs twice"]);
}

#[test]
fn what_is_stored_is_what_is_told() {
    let import = Import::of(&[
        ("three.csv", "tag,timestamp,value\na,2026-01-01,1\na,2026-01-01,2\na,2026-01-01T00:00:00Z,3\n"),
        ("ahead.csv", "tag,timestamp,value\na,2026-01-02,1\na,2200-01-01T00:00:00Z,2\n"),
        ("types.csv", "tag,timestamp,value\nnew/number,2026-01-01,1\nnew/truth,2026-01-01,true\n"),
        ("readme.txt", ""),
    ]);
    let (_, _, err) = import.run("three.csv", &[]);
    assert!(err.contains("line 2: there is no tag \"a\"") && err.contains("--create-tags"), "{err}");
    let said = import.taken("three.csv", &["--create-tags"]);
    assert!(said.starts_with("1 sample written from 3 rows, 2 of which repeat the tag and time of another: the last counts"), "{said}");
    assert_eq!(import.samples("a"), ["2026-01-01T00:00:00Z,3.0,0"]);
    let said = import.taken("three.csv", &["--format=json", "--mode=INSERT"]);
    assert!(said.contains("\"samples\":0") && said.contains("\"rows\":3") && said.contains("\"duplicates\":2"), "{said}");
    for (file, told) in [("readme.txt", "the ending is none of"), ("none.csv", "cannot be read")] {
        let (code, _, err) = import.run(file, &[]);
        assert!(code == 1 && err.contains(told) && err.contains(file), "{file}: {err}");
    }
    let (code, out, err) = import.run("ahead.csv", &["--format=json"]);
    assert!(code == 1 && out.contains("\"rejected\":1") && out.contains("\"samples\":1"), "{out}");
    assert!(err.contains("a at 2200-01-01T00:00:00Z: rejected: "), "{err}");
    import.taken("types.csv", &["--create-tags"]);
    assert!(["new/number,f64", "new/truth,bool"].iter().all(|tag| import.tags().contains(tag)), "{}", import.tags());
}

#[test]
fn samples_that_retention_removes_are_told() {
    let configuration = "[[retention]]\ntags = [\"**\"]\nage = \"30d\"\n";
    let server = Server::configured(configuration);
    let file = "tag,timestamp,value\na,2020-01-01,1\na,2020-01-02,2\na,2026-01-01,3\nb,2020-01-01,1\n";
    let directory = directory(&[("old.csv", file)]);
    let said = server.succeed(&["import", &path(&directory, "old.csv"), "--create-tags"]);
    assert!(said.starts_with("4 samples written, 2 so old that retention removes them in its next run; durable"), "{said}");
}

#[test]
fn files_of_pandas_and_pyarrow_are_taken_as_they_are_meant() {
    let import = Import::of(&[]);
    let made = Command::new(peer::interpreter())
        .arg(peer::root().join("tests/peers/foreign_files.py"))
        .arg(import.directory.path())
        .output()
        .expect("Python runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let new = &["--create-tags"];
    for (file, told) in [
        ("epoch_ms.parquet", &["row 1, timestamp", "as milliseconds it is 2026-01-01T00:00:00Z"][..]),
        ("opcda.parquet", &["row 1, quality: 192", "--quality opcda"]),
        ("spring.parquet", &["row 2, timestamp: 2026-03-29T02:30:00 does not exist"]),
        ("excel_bom.csv", &["line 3, value: \"#N/A\" is not a number"]),
    ] {
        import.refused(file, &[new, &["--zone=Europe/Berlin"][..]].concat(), told);
    }
    import.taken("epoch_ms.parquet", &["--create-tags", "--time-unit=ms"]);
    assert_eq!(import.samples("epoch"), ["2026-01-01T00:00:00Z,1.5,0", "2026-01-01T00:00:01Z,2.5,0"]);
    import.taken("opcda.parquet", &["--create-tags", "--quality=opcda"]);
    assert_eq!(import.samples("da"), ["2026-01-01T00:00:00Z,1.0,0", "2026-01-01T00:00:01Z,2.0,2150694912"]);
    import.taken("zoneless.parquet", &["--create-tags", "--zone=Europe/Berlin"]);
    assert_eq!(import.samples("local"), ["2025-12-31T23:00:00Z,1.0,0", "2026-01-01T00:00:00Z,2.0,0"]);
    import.taken("excel_bom.csv", &["--create-tags", "--states=#N/A=BadNoData"]);
    assert_eq!(import.samples("excel"), ["2026-01-01T00:00:00Z,1.5,0", "2026-01-01T00:01:00Z,null,2157641728"]);

    // The columns of an export: each value from the column that its type says, exactly.
    for file in ["long.parquet", "long.csv"] {
        let other = Import::of(&[]);
        std::fs::copy(path(&import.directory, file), path(&other.directory, file)).expect("the file is there");
        other.taken(file, new);
        let tags = other.tags();
        for tag in ["t/f64,f64", "t/f32,f32", "t/i64,i64", "t/u64,u64", "t/bool,bool", "t/string,string", "t/state,state"] {
            assert!(tags.contains(tag), "{file}: {tag} in {tags}");
        }
        let one = |tag: &str| {
            let text = other.server.succeed(&["query", "range", tag, "--start=0", "--format=csv"]);
            text.lines().nth(1).unwrap_or_default().to_owned()
        };
        for (tag, value) in
            [("t/f64", "0.1"), ("t/i64", "-9007199254740993"), ("t/u64", "18446744073709551615"), ("t/string", "007"), ("t/state", "2")]
        {
            assert!(one(tag).contains(value), "{file}: {tag} is {}", one(tag));
        }
        assert!(one("t/bool").contains(",true,") || one("t/bool").contains(",1"), "{file}: {}", one("t/bool"));
    }
}
