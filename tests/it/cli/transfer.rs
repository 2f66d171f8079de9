//! Samples out of a historian and into another: operators of `query`, `detectors`, `export` and `import` against running historians.

use std::{fs, path::Path};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Decimal128Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{directory, path, server::Server, stderr};

/// A tag of numbers with a spike and a Bad sample, one of states, one of texts, one of large integers: 10,000 samples each.
fn csv() -> String {
    let mut text = "tag,timestamp,value,quality\n".to_owned();
    for sample in 0..10_000_u64 {
        let at = 1_767_225_600_000_000_000 + sample * 1_000_000_000;
        let level = match sample {
            5_000 => "900".to_owned(),
            7_000 => String::new(),
            _ => format!("{}", 20.0 + (sample % 60) as f64 / 7.0),
        };
        let quality = if level.is_empty() { "0x808C0000" } else { "" };
        text.push_str(&format!("x/level,{at},{level},{quality}\n"));
        text.push_str(&format!("x/mode,{at},{},0\n", ["off", "auto", "2"][(sample / 1000 % 3) as usize]));
        text.push_str(&format!("x/note,{at},\"note {sample}, \"\"quoted\"\"\",\n"));
        text.push_str(&format!("x/count,{at},{},\n", u64::MAX - sample));
    }
    text
}

const TAGS: &str = "name,type,unit,state_set\nx/level,f64,m,\nx/mode,state,,off|auto|manual\nx/note,string,,\nx/count,u64,,\n";
const RANGE: [&str; 2] = ["--start=2026-01-01", "--end=2026-01-02"];

/// Everything of a historian, each tag in its own type.
fn everything(server: &Server) -> Vec<String> {
    let range = |tag: &str| server.succeed(&[&["query", "range", tag][..], &RANGE, &["--format=csv"]].concat());
    ["x/level", "x/mode", "x/note", "x/count"].map(range).to_vec()
}

fn filled() -> Server {
    let server = Server::start();
    let directory = directory(&[("tags.csv", TAGS), ("samples.csv", &csv())]);
    server.succeed(&["tag", "import", &path(&directory, "tags.csv")]);
    let said = server.succeed(&["import", &path(&directory, "samples.csv")]);
    assert!(said.starts_with("40000 samples written; durable up to watermark "), "{said}");
    server
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("the directory")
        .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_exported_in_any_format_is_imported_to_the_bit() {
    let server = filled();
    let expected = everything(&server);
    assert_eq!(expected[0].lines().count(), 10_001);
    assert!(expected[0].contains(",2026-01-01T01:56:40Z,,2156658688\n"), "the Bad sample without a value");
    assert!(expected[3].contains(&format!(",{},0\n", u64::MAX)), "no integer went through a float");
    let directory = directory(&[("tags.csv", TAGS)]);
    for format in ["parquet", "arrow", "csv"] {
        // Each tag apart, so that the file has its type.
        let other = Server::start();
        other.succeed(&["tag", "import", &path(&directory, "tags.csv")]);
        let mut files = Vec::new();
        for tag in ["x/level", "x/mode", "x/note", "x/count"] {
            let file = path(&directory, &format!("{}.{format}", tag.replace('/', "_")));
            let said = server.succeed(&[&["export", tag][..], &RANGE, &["--output", &file]].concat());
            assert_eq!(said, format!("10000 samples in {file}\n"));
            files.push(file);
        }
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let said = other.succeed(&[&["import"], &files[..]].concat());
        assert!(said.starts_with("40000 samples of 4 files written"), "{said}");
        assert_eq!(everything(&other), expected, "{format}");
    }
}

#[test]
fn a_plant_of_many_tags_of_all_types_is_exported_into_a_directory_and_imported_again() {
    let server = Server::start();
    let types = ["f64", "i64", "u64", "bool", "string"];
    let name = |tag: usize| format!("works/area {:02}/line {:03}/a machine of the plant {tag:05}/a signal of it", tag % 7, tag % 40);
    let (mut tags, mut csv) = ("name,type\n".to_owned(), "tag,timestamp,value,quality\n".to_owned());
    for tag in 0..2_400 {
        tags.push_str(&format!("{},{}\n", name(tag), types[tag % types.len()]));
        let value = ["0.5".to_owned(), format!("-{tag}"), format!("{}", u64::MAX - tag as u64), "true".to_owned(), format!("note {tag}")];
        csv.push_str(&format!("{},2026-01-01T00:00:{:02}Z,{},0\n", name(tag), tag % 60, value[tag % types.len()]));
    }
    let directory = directory(&[("tags.csv", &tags), ("samples.csv", &csv)]);
    server.succeed(&["tag", "import", &path(&directory, "tags.csv")]);
    server.succeed(&["import", &path(&directory, "samples.csv")]);
    let parts = path(&directory, "parts");
    let said = server.succeed(&[&["export", "**"][..], &RANGE, &["--output", &parts]].concat());
    assert!(said.starts_with("2400 samples in "), "{said}");
    let other = Server::start();
    let said = other.succeed(&["import", &parts, "--create-tags"]);
    assert!(said.starts_with("2400 samples "), "{said}");
    for tag in [0, 1, 2, 3, 4, 1_203, 2_399] {
        let range = |server: &Server| server.succeed(&[&["query", "range", &name(tag)][..], &RANGE, &["--format=csv"]].concat());
        let expected = range(&server);
        assert_eq!(expected.lines().count(), 2, "{expected}");
        assert_eq!(range(&other), expected);
    }
}

#[test]
fn what_is_exported_of_all_types_at_once_is_imported_to_the_bit() {
    let server = Server::start();
    let types = ["f64", "f32", "i64", "u64", "bool", "string", "state"];
    let tags = types.map(|value_type| format!("all/{value_type},{value_type}\n")).concat();
    let mut csv = "tag,timestamp,value,quality\n".to_owned();
    for (at, values) in [
        ["NaN", "NaN", "-9223372036854775808", "18446744073709551615", "true", "52.94", "4294967295"],
        ["-0.0", "-0.0", "9007199254740993", "9007199254740993", "false", "\"a \"\"quoted\"\", text\nof two lines\"", "0"],
        ["inf", "-inf", "-1", "0", "true", "true", "7"],
        ["0.30000000000000004", "52.94", "7", "7", "false", "größer ✓", "1"],
        ["5e-324", "1e-45", "9223372036854775807", "9223372036854775808", "true", " spaces ", "2"],
        ["1.7976931348623157e308", "3.4028235e38", "0", "1", "false", "", "3"],
        ["", "", "", "", "", "", ""],
    ]
    .iter()
    .enumerate()
    {
        for (value_type, value) in types.iter().zip(values) {
            let quality = if at == 6 { "0x808C0000" } else { ["0", "0x40940000"][at % 2] };
            csv.push_str(&format!("all/{value_type},2026-01-01T00:00:0{at}.00000000{at}Z,{value},{quality}\n"));
        }
    }
    let directory = directory(&[("tags.csv", &format!("name,type\n{tags}")), ("samples.csv", &csv)]);
    server.succeed(&["tag", "import", &path(&directory, "tags.csv")]);
    server.succeed(&["import", &path(&directory, "samples.csv")]);
    let everything = |server: &Server| {
        types.map(|value_type| {
            let tag = format!("all/{value_type}");
            server.succeed(&[&["query", "range", &tag][..], &RANGE, &["--format=csv"]].concat())
        })
    };
    let expected = everything(&server);
    for name in ["all.parquet", "all.arrow", "all.csv", "parts"] {
        let file = path(&directory, name);
        server.succeed(&[&["export", "all/*"][..], &RANGE, &["--output", &file]].concat());
        // Without its tags the other historian makes them of the column `type`.
        let other = Server::start();
        other.succeed(&["import", &file, "--create-tags"]);
        assert_eq!(everything(&other), expected, "{name}");
        let listed = other.succeed(&["tag", "list", "--format", "csv"]);
        assert!(types.iter().all(|value_type| listed.contains(&format!("all/{value_type},{value_type},"))), "{name}: {listed}");
    }
}

#[test]
fn tags_of_several_types_are_shown_and_exported_each_as_it_is() {
    let server = filled();
    let table = server.succeed(&[&["query", "range", "x/*"][..], &RANGE, &["--limit=1", "--format=table"]].concat());
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TAG", "TIMESTAMP", "VALUE", "UNIT", "QUALITY"], "{table}");
    let exact = u64::MAX.to_string();
    assert_eq!((lines[1][0], lines[1][2], lines[2][0], lines[2][2]), ("x/count", exact.as_str(), "x/level", "20.0"), "{table}");
    assert!(table.contains("0 (off)") && table.contains("note 0, \"quoted\""), "{table}");

    let directory = directory(&[]);
    let file = |name: &str| path(&directory, name);
    server.succeed(&[&["query", "range", "x/*"][..], &RANGE, &["--output", &file("query.parquet")]].concat());
    server.succeed(&[&["export", "x/*"][..], &RANGE, &["--output", &file("export.parquet")]].concat());
    server.succeed(&["query", "current", "x/*", "--output", &file("current.parquet")]);
    server.succeed(&[&["query", "downsample", "x/*", "--points=20000"][..], &RANGE, &["--output", &file("downsample.parquet")]].concat());
    for name in ["query.parquet", "export.parquet", "current.parquet", "downsample.parquet"] {
        let opened = fs::File::open(file(name)).expect("the file is there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).expect("a Parquet file").build().expect("a reader");
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
        let schema = batches[0].schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["tag", "timestamp", "value", "quality", "text", "integer", "type"], "{name}");
        assert_eq!(schema.field(2).data_type(), &DataType::Float64, "numbers are numbers");
        let first = batches[0].column(5).as_primitive::<Decimal128Type>().value(0);
        // Current values begin with the last sample, plots with the value at their start.
        assert!(name == "current.parquet" || first == i128::from(u64::MAX), "no integer is rounded: {name} {first}");
        let other = Server::start();
        other.succeed(&["import", &file(name), "--create-tags"]);
        let listed = other.succeed(&["tag", "list", "--format", "csv"]);
        for tag in ["x/count,u64,", "x/level,f64,", "x/mode,state,", "x/note,string,"] {
            assert!(listed.contains(tag), "{name}: {listed}");
        }
    }
    server.succeed(&[&["export", "x/*"][..], &RANGE, &["--output", &file("export.csv")]].concat());
    let csv = fs::read_to_string(file("export.csv")).expect("the file is there");
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("tag,timestamp,value,quality,text,integer,type"));
    assert_eq!(rows.next(), Some(format!("x/count,2026-01-01T00:00:00Z,1.8446744073709552e19,0,,{exact},u64").as_str()));
    assert!(
        csv.contains(&format!("x/level,2026-01-01T00:00:00Z,20.0,0,,,f64\nx/level,2026-01-01T00:00:01Z,{},0,,,f64\n", 20.0 + 1.0 / 7.0))
    );
    assert!(csv.contains("x/mode,2026-01-01T00:16:40Z,1.0,0,,,state\n"), "a state is its number");
    assert!(csv.contains("x/note,2026-01-01T00:00:07Z,,0,\"note 7, \"\"quoted\"\"\",,string\n"));
}

#[test]
fn a_directory_is_exported_in_parts_and_gone_on_with() {
    let server = filled();
    let directory = directory(&[]);
    let parts = path(&directory, "parts");
    let export = [&["export", "x/level", "x/count"][..], &RANGE, &["--output", &parts]].concat();
    let said = server.succeed(&export);
    assert!(said.starts_with("20000 samples in 1 file in "), "{said}");
    assert_eq!(names(Path::new(&parts)), ["export.json", "part-00000.parquet"]);
    assert!(server.succeed(&export).contains(", 1 of them there already"));
    fs::remove_file(format!("{parts}/part-00000.parquet")).expect("the part is there");
    assert!(!server.succeed(&export).contains("already"), "a part that is gone is fetched again");

    let other = server.run(&[&["export", "x/level"][..], &RANGE, &["--output", &parts]].concat());
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("holds another export") && stderr(&other).contains("--overwrite"), "{}", stderr(&other));
    let said = server.succeed(&[&["export", "x/level"][..], &RANGE, &["--output", &parts, "--overwrite", "--format=csv"]].concat());
    assert!(said.starts_with("10000 samples in 1 file"), "{said}");
    assert_eq!(names(Path::new(&parts)), ["export.json", "part-00000.csv"]);

    // Relative times mean other samples each time.
    let now = path(&directory, "now");
    for _ in 0..2 {
        assert!(!server.succeed(&["export", "x/level", "--start=0", "--output", &now]).contains("already"));
    }
    let said = Server::start().succeed(&["import", &now, "--create-tags"]);
    assert!(said.starts_with("10000 samples written"), "{said}");
}

#[test]
fn operators_answer_on_the_command_line() {
    let server = filled();
    let ask = |arguments: &[&str]| server.succeed(&[&["query"], arguments, &RANGE].concat());
    let answer = ask(&["aggregate", "x/level", "--interval", "12h", "--functions", "maximum,count", "--format=csv"]);
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines[0], "tag,timestamp,function,value,quality");
    assert_eq!(lines.len(), 5, "{answer}");
    assert!(lines[1].starts_with("x/level,2026-01-01T00:00:00Z,maximum,900.0,"), "{answer}");
    assert!(lines[2].starts_with("x/level,2026-01-01T00:00:00Z,count,9999.0,"), "{answer}");
    let table = ask(&["aggregate", "x/level", "--calendar", "day", "--zone=Europe/Berlin", "-f", "count", "--format=table"]);
    assert_eq!(
        table.lines().next().map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["TAG", "TIMESTAMP", "FUNCTION", "VALUE", "QUALITY"])
    );
    let plot = ask(&["downsample", "x/level", "--points", "100", "--method", "PLOT", "--format=csv"]);
    assert!(plot.lines().count() <= 101 && plot.contains(",2026-01-01T01:23:20Z,900.0,"), "{plot}");
    let found = ask(&["anomalies", "x/level", "--detector", "limits", "--parameter", "high=100", "--format=json"]);
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains("\"peak\":\"2026-01-01T01:23:20Z\""), "{found}");
    let counts = ask(&["anomalies", "x/level", "--detector", "limits", "--parameter", "high=100", "--show", "counts", "--format=csv"]);
    assert_eq!(counts, "tag,count\nx/level,1\n");
    let detectors = server.succeed(&["detectors"]);
    assert!(detectors.contains("limits: ") && detectors.contains("PARAMETER"), "{detectors}");
    let json = server.succeed(&["detectors", "--format=json"]);
    let told: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let known = historian::operators::anomaly::DETECTORS.iter();
    assert!(told.iter().map(|detector| detector["name"].as_str().unwrap()).eq(known.map(|detector| detector.name())), "{json}");

    // What the historian refuses is 1, what no historian could take is 2.
    for (arguments, told, code) in [
        (&["query", "aggregate", "x/level", "-f", "no_such"][..], "no_such", 1),
        (&["query", "anomalies", "x/level", "--detector", "no_such"], "no_such", 1),
        (&["query", "anomalies", "x/level", "--detector", "limits", "--parameter", "hgih=1"], "hgih", 1),
        (&["query", "anomalies", "x/level", "--detector=limits", "-p", "high=1", "-p", "high=2"], "given twice", 2),
        (&["query", "downsample", "x/level", "--points", "1"], "points", 1),
    ] {
        let output = server.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(told) && stderr(&output).lines().count() == 1, "{arguments:?}: {}", stderr(&output));
    }
}
