//! Client commands against a running historian: what goes in through the API comes out in every format, and errors are one line.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Output, Stdio},
};

use arrow::{
    array::{Array, AsArray, Float64Array, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, TimestampNanosecondType, UInt32Type},
    ipc::reader::{FileReader, StreamReader},
};
use historian_proto::v1::{
    CreateTagRequest, DoubleColumn, Tag, TagSamples, ValueType, Values, WriteSamplesRequest, tag_service_client::TagServiceClient,
    values::Column, write_service_client::WriteServiceClient,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use historian::server::config::{self, Overrides};

use super::{command, directory, path, stderr, stdout};
use crate::support::{
    historian::{Historian, serve},
    peer,
};

/// More than one batch of an answer.
const SAMPLES: usize = 150_000;
const START: i64 = 1_767_225_600_000_000_000; // 2026-01-01T00:00:00Z
const BAD_SENSOR_FAILURE: u32 = 0x808C_0000;

/// `historian serve` on a data directory of its own, ended with the test.
pub struct Server {
    historian: Historian,
    data: TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::configured("")
    }

    /// With keys of a configuration file.
    pub fn configured(configuration: &str) -> Server {
        let data = TempDir::new().expect("a temporary directory");
        let file = data.path().join("historian.toml").display().to_string();
        fs::write(&file, configuration).expect("the file is written");
        let arguments: &[&str] = if configuration.is_empty() { &[] } else { &["--config", &file] };
        Server { historian: serve(&data.path().join("data"), arguments), data }
    }

    pub fn url(&self) -> String {
        self.historian.url()
    }

    /// Address of its HTTP port.
    pub fn http(&self) -> SocketAddr {
        self.historian.http
    }

    pub fn data_dir(&self) -> String {
        self.data.path().join("data").display().to_string()
    }

    /// Runs a client command.
    pub fn run(&self, arguments: &[&str]) -> Output {
        command(arguments).env("HISTORIAN_SERVER", self.historian.url()).output().expect("the program starts")
    }

    /// Runs a client command that succeeds and says nothing on standard error.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {} {}", output.status, stderr(&output));
        stdout(&output)
    }

    /// Tags that globs select, as CSV; none is no failure, and said on standard error.
    pub fn listed(&self, globs: &[&str]) -> String {
        let output = self.run(&[&["tag", "list", "--format=csv"], globs].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(output.stderr.is_empty(), stdout(&output).lines().count() > 1, "{}", stderr(&output));
        stdout(&output)
    }

    /// Makes tag `plant/pressure` and writes samples whose values and qualities are those of [`value`] and [`quality`].
    pub fn write_samples(&self) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let endpoint = self.historian.url().replace("grpc", "http");
            let tag = Tag { name: "plant/pressure".into(), value_type: ValueType::F64.into(), unit: "bar".into(), ..Tag::default() };
            let mut tags = TagServiceClient::connect(endpoint.clone()).await.expect("the server answers");
            tags.create_tag(CreateTagRequest { tag: Some(tag) }).await.expect("the tag is made");
            let mut writer = WriteServiceClient::connect(endpoint).await.expect("the server answers");
            for portion in (0..SAMPLES).collect::<Vec<_>>().chunks(50_000) {
                let samples = TagSamples {
                    tag: "plant/pressure".into(),
                    timestamps: portion.iter().map(|sample| timestamp(*sample)).collect(),
                    values: Some(Values {
                        column: Some(Column::F64(DoubleColumn {
                            values: portion.iter().map(|sample| value(*sample).unwrap_or_default()).collect(),
                        })),
                    }),
                    qualities: portion.iter().map(|sample| quality(*sample)).collect(),
                    nulls: (0..portion.len() as u32).filter(|index| value(portion[*index as usize]).is_none()).collect(),
                };
                let answer = writer
                    .write_samples(WriteSamplesRequest { options: None, samples: vec![samples] })
                    .await
                    .expect("written")
                    .into_inner();
                assert_eq!((answer.samples, answer.failures.len()), (portion.len() as u64, 0), "{answer:?}");
            }
        });
    }
}

fn timestamp(sample: usize) -> i64 {
    START + sample as i64 * 1_000_000 + (sample % 3) as i64
}

pub fn value(sample: usize) -> Option<f64> {
    match sample % 1000 {
        7 => None,
        8 => Some(-0.0),
        9 => Some(f64::MIN_POSITIVE / 3.0),
        10 => Some(1e300),
        _ => Some(sample as f64 / 7.0),
    }
}

fn quality(sample: usize) -> u32 {
    if value(sample).is_none() { BAD_SENSOR_FAILURE } else { 0 }
}

const RANGE: [&str; 6] = ["query", "range", "plant/pressure", "--start=2026-01-01T00:00:00Z", "--end=2026-01-02T00:00:00Z", "--format"];

/// A batch holds exactly what was written.
fn assert_exact(batch: &RecordBatch) {
    assert_eq!(batch.num_rows(), SAMPLES);
    let tags = cast(batch.column_by_name("tag").expect("a tag column"), &DataType::Utf8).expect("texts");
    let tags = tags.as_string::<i32>();
    let timestamps = batch.column_by_name("timestamp").expect("a timestamp column").as_primitive::<TimestampNanosecondType>();
    let values = batch.column_by_name("value").expect("a value column").as_any().downcast_ref::<Float64Array>().expect("f64");
    let qualities = batch.column_by_name("quality").expect("a quality column").as_primitive::<UInt32Type>();
    for sample in 0..SAMPLES {
        let stored = values.is_valid(sample).then(|| values.value(sample).to_bits());
        assert_eq!(tags.value(sample), "plant/pressure");
        assert_eq!(
            (timestamps.value(sample), stored, qualities.value(sample)),
            (timestamp(sample), value(sample).map(f64::to_bits), quality(sample))
        );
    }
}

fn joined(batches: &[RecordBatch]) -> RecordBatch {
    assert!(batches.len() > 1, "the answer came in batches");
    concat_batches(&batches[0].schema(), batches).expect("one schema")
}

#[test]
fn every_format_gives_back_what_was_written() {
    let server = Server::start();
    server.write_samples();
    let directory = directory(&[]);
    let range = |format: &str, more: &[&str]| server.succeed(&[&RANGE[..], &[format], more].concat());

    let mut csv = csv::Reader::from_reader(std::io::Cursor::new(range("csv", &[])));
    assert_eq!(csv.headers().expect("a header").iter().collect::<Vec<_>>(), ["tag", "timestamp", "value", "quality"]);
    let mut rows = 0;
    for (sample, row) in csv.records().enumerate() {
        let row = row.expect("a row");
        let stored = (!row[2].is_empty()).then(|| row[2].parse::<f64>().expect("a number").to_bits());
        let at: jiff::Timestamp = row[1].parse().expect("RFC 3339");
        assert!(row[1].ends_with('Z'), "{}", &row[1]);
        assert_eq!((at.as_nanosecond(), stored), (timestamp(sample).into(), value(sample).map(f64::to_bits)));
        assert_eq!((&row[0], row[3].parse()), ("plant/pressure", Ok(quality(sample))));
        rows += 1;
    }
    assert_eq!(rows, SAMPLES);

    let json = range("json", &[]);
    assert_eq!(json.lines().count(), SAMPLES);
    for (sample, line) in json.lines().enumerate() {
        let object: serde_json::Value = serde_json::from_str(line).expect("an object per line");
        let at: jiff::Timestamp = object["timestamp"].as_str().expect("a text").parse().expect("RFC 3339");
        assert_eq!(at.as_nanosecond(), timestamp(sample).into());
        // serde_json reads numbers to within one unit in the last place only, so the text is read here.
        let text = line.split("\"value\":").nth(1).and_then(|rest| rest.split(',').next()).expect("a value");
        assert_eq!(text.parse::<f64>().ok().map(f64::to_bits), value(sample).map(f64::to_bits), "{line}");
        assert_eq!(object["quality"].as_u64(), Some(quality(sample).into()));
    }

    let arrow = path(&directory, "range.arrow");
    assert_eq!(range("arrow", &["--output", &arrow]), "");
    let reader = FileReader::try_new(fs::File::open(&arrow).expect("the file is there"), None).expect("an Arrow file");
    assert_exact(&joined(&reader.map(|batch| batch.expect("a batch")).collect::<Vec<_>>()));

    let piped = server.run(&[&RANGE[..], &["arrow"]].concat()).stdout;
    let reader = StreamReader::try_new(&piped[..], None).expect("an Arrow stream");
    assert_exact(&joined(&reader.map(|batch| batch.expect("a batch")).collect::<Vec<_>>()));

    // The ending of the file decides where no format is given.
    let parquet = path(&directory, "range.parquet");
    assert_eq!(server.succeed(&[&RANGE[..5], &["--output", &parquet]].concat()), "");
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&parquet).expect("the file is there")).expect("a Parquet file");
    let compression = builder.metadata().row_group(0).column(2).compression();
    assert!(matches!(compression, parquet::basic::Compression::ZSTD(_)), "{compression:?}");
    assert_exact(&joined(&builder.build().expect("a reader").map(|batch| batch.expect("a batch")).collect::<Vec<_>>()));
    let mut files: Vec<_> = fs::read_dir(directory.path()).expect("the directory").map(|file| file.expect("a file").file_name()).collect();
    files.sort();
    assert_eq!(files, ["range.arrow", "range.parquet"], "no partial file is left");

    let table = range("table", &["--limit", "10"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TAG", "TIMESTAMP", "VALUE", "UNIT", "QUALITY"]);
    assert_eq!(lines.len(), 11, "{table}");
    assert_eq!(lines[1], ["plant/pressure", "2026-01-01T00:00:00.000Z", "0.0", "bar", "Good"]);
    assert_eq!(lines[8], ["plant/pressure", "2026-01-01T00:00:00.007Z", "-", "bar", "BadSensorFailure"]);

    let wide = range("csv", &["--layout", "wide", "--limit", "2"]);
    assert_eq!(wide.lines().next(), Some("timestamp,plant/pressure,plant/pressure#quality"));
    let wide = range("table", &["--layout", "wide", "--limit", "9"]);
    assert!(wide.lines().next().is_some_and(|line| line.contains("plant/pressure [bar]")) && wide.contains("BadSensorFailure"), "{wide}");

    let reverse =
        server.succeed(&["query", "range", "plant/pressure", "--start", "2026-01-02", "--end", "2026-01-01", "--limit=1", "--format=csv"]);
    let newest = historian::model::Timestamp(timestamp(SAMPLES - 1)).to_string();
    assert!(reverse.lines().count() == 2 && reverse.contains(&newest), "{reverse}");
    let current = server.succeed(&["query", "current", "--format", "csv"]);
    let last = SAMPLES - 1;
    let expected = format!("plant/pressure,{},{},0", historian::model::Timestamp(timestamp(last)), last as f64 / 7.0);
    assert_eq!(current.lines().nth(1), Some(expected.as_str()), "{current}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_program_quietly() {
    let server = Server::start();
    server.write_samples();
    for format in ["csv", "json", "table", "arrow"] {
        let mut child = command(&[&RANGE[..], &[format]].concat())
            .env("HISTORIAN_SERVER", server.historian.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).expect("a line");
        drop(output);
        let ended = child.wait_with_output().expect("the program ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{format}: {} {}", ended.status, stderr(&ended));
    }
}

#[test]
fn refusals_are_one_line_in_words_and_leave_no_file() {
    let server = Server::start();
    let directory = directory(&[]);
    let file = path(&directory, "out.csv");
    for (arguments, expected) in [
        (vec!["query", "range", "no/such"], "(not found)"),
        (vec!["query", "current", "no/such"], "(not found)"),
        (vec!["query", "range", "**", "--start", "yesterday"], "(invalid argument)"),
        (vec!["query", "range", "a/[b"], "(invalid argument)"),
        (vec!["query", "range", "**", "--zone", "Mars/Olympus"], "(invalid argument)"),
    ] {
        let output = server.run(&[&arguments[..], &["--output", &file]].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(
            text.starts_with("historian: ") && text.trim_end().ends_with(expected) && text.lines().count() == 1,
            "{arguments:?}: {text}"
        );
    }
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0, "no file is left");
}

#[test]
fn tags_are_imported_listed_and_imported_again() {
    let server = Server::start();
    let text = "name,type,unit,description,stepped,range_low,range_high,state_set\n\
                a/level,f64,m,\"Level, wet side\",false,0,4.5,\n\
                a/mode,state,,Operating mode,true,,,off|auto|manual\n\
                b/count,u64,1,,,,,\n";
    let directory = directory(&[
        ("tags.csv", text),
        ("changed.csv", "name,unit,range_high\na/level,cm,450\nb/count,,\n"),
        ("partly.csv", "name,type\nc/new,f64\na/level,i64\nd/none,\nb/count,u64\n"),
        ("apart.csv", "name,range_low,state_set\na/level,451,\nb/count,,off|on\n"),
        ("mistake.csv", "name,type\ne/new,f64\nf/new,f46\n"),
    ]);
    let import = |file: &str| server.run(&["tag", "import", &path(&directory, file)]);

    assert_eq!(stdout(&import("tags.csv")), "3 created, 0 updated, 0 unchanged, 0 failed\n");
    assert_eq!(stdout(&import("tags.csv")), "0 created, 0 updated, 3 unchanged, 0 failed\n");
    assert_eq!(stdout(&import("changed.csv")), "0 created, 1 updated, 1 unchanged, 0 failed\n");

    let list = server.succeed(&["tag", "list", "--format", "csv"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines,
        [
            "name,type,unit,description,stepped,range_low,range_high,state_set,device,address",
            "a/level,f64,cm,\"Level, wet side\",false,0,450,,,",
            "a/mode,state,,Operating mode,true,,,off|auto|manual,,",
            "b/count,u64,1,,true,,,,,",
        ]
    );
    fs::write(directory.path().join("listed.csv"), &list).expect("the file is written");
    assert_eq!(stdout(&import("listed.csv")), "0 created, 0 updated, 3 unchanged, 0 failed\n");
    let selected = server.succeed(&["tag", "list", "a/*", "--filter", "unit=cm", "--format", "json"]);
    let selected: Vec<serde_json::Value> = selected.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(selected.len(), 1);
    assert_eq!((&selected[0]["name"], &selected[0]["range_high"]), (&"a/level".into(), &450.0.into()));
    let table = server.succeed(&["tag", "list", "--format", "table"]);
    assert!(table.starts_with("NAME") && table.contains("Operating mode"), "{table}");

    // A row that contradicts the catalog is a mistake as well: all are told, each with its line, and no other row is imported.
    let before = server.succeed(&["tag", "list", "--format", "csv"]);
    let output = import("partly.csv");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).ends_with("historian: 2 of 4 rows cannot be imported; nothing was changed\n"), "{}", stderr(&output));
    assert_eq!(server.succeed(&["tag", "list", "--format", "csv"]), before);
    let file = path(&directory, "partly.csv");
    assert!(
        stderr(&output).contains(&format!("{file}:3: a/level: type: the tag holds f64 values, the file says i64")),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains(&format!("{file}:4: d/none: type: a tag without a device needs a type")), "{}", stderr(&output));

    // Cells that only together with the catalog are wrong: the range of a/level ends at 450, b/count has no states.
    let output = import("apart.csv");
    assert_eq!(output.status.code(), Some(1));
    let file = path(&directory, "apart.csv");
    assert!(stderr(&output).contains(&format!("{file}:2: a/level: range_low")), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("{file}:3: b/count: state_set")), "{}", stderr(&output));
    assert_eq!(server.succeed(&["tag", "list", "--format", "csv"]), before);

    // A file with a mistake changes nothing.
    let output = import("mistake.csv");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("mistake.csv:3: type: \"f46\": unknown value type; did you mean \"f64\"?"), "{}", stderr(&output));
    assert!(!server.succeed(&["tag", "list", "--format", "csv"]).contains("e/new"));
}

/// The files that the configuration names serve the import as well, also where a device delivers a tag.
#[test]
fn tag_files_of_a_configuration_are_imported_as_they_are() {
    let server = Server::start();
    let import = |file: &str| {
        let output = server.run(&["tag", "import", file]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let example = peer::root().join("examples/tags.csv").display().to_string();
    assert_eq!(import(&example), "6 created, 0 updated, 0 unchanged, 0 failed\n");
    assert_eq!(import(&example), "0 created, 0 updated, 6 unchanged, 0 failed\n");
    let list = server.succeed(&["tag", "list", "--format", "csv"]);
    let types: Vec<(&str, &str)> =
        list.lines().skip(1).filter_map(|line| line.split_once(',')).map(|(name, rest)| (name, &rest[..rest.find(',').unwrap()])).collect();
    // Those that a start with this configuration gives them.
    let configuration = config::load(Some(&peer::root().join("examples/historian.toml")), &Overrides::default()).unwrap();
    let mut wanted: Vec<(String, String)> = configuration
        .collectors
        .iter()
        .flat_map(|collector| collector.tags())
        .chain(configuration.written_tags)
        .map(|tag| (tag.name.to_string(), tag.value_type.to_string()))
        .filter(|(name, _)| types.iter().any(|(imported, _)| imported == name))
        .collect();
    wanted.sort();
    assert_eq!(types.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect::<Vec<_>>(), wanted);

    // The example of the document; and its tags once more, changed.
    let document = fs::read_to_string(peer::root().join("docs/configuration.md")).expect("the document");
    let block = document.split("\n```csv\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let directory = directory(&[
        ("tags.csv", block),
        ("states.csv", "name,type,state_set,device,address\narea2/mode,state,off|on,plc,holding:7\n"),
        (
            "wrong.csv",
            "name,device,address,format,sampling_ms\nx/a,plc,holding:1,u16,\nx/b,plc,holding:2,u61,\nx/c,plc,holding:3,,5\nx/d,plc,drawer:3,,\n",
        ),
    ]);
    assert_eq!(import(&path(&directory, "tags.csv")), "1 created, 0 updated, 1 unchanged, 0 failed\n");
    assert_eq!(import(&path(&directory, "states.csv")), "1 created, 0 updated, 0 unchanged, 0 failed\n");
    let output = server.run(&["tag", "import", &path(&directory, "wrong.csv")]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    for expected in [
        "wrong.csv:3: x/b: format: ",
        "wrong.csv:4: x/c: sampling_ms: ",
        "wrong.csv:5: x/d: address: ",
        "3 of 4 rows cannot be imported; nothing was changed",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(!server.listed(&["x/**"]).contains("x/a"));
}

#[test]
fn an_import_waits_where_it_asks_more_often_than_a_client_may() {
    let server = Server::configured("[limits]\nrequests_per_client_s_max = 100\n");
    let rows = (0..400).map(|number| format!("many/tag{number:03},f64")).collect::<Vec<_>>().join("\n");
    let directory = directory(&[("many.csv", &format!("name,type\n{rows}\n"))]);
    assert_eq!(server.succeed(&["tag", "import", &path(&directory, "many.csv")]), "400 created, 0 updated, 0 unchanged, 0 failed\n");
}

#[test]
fn status_and_compact_tell_what_the_server_does_and_a_signal_stops_it() {
    let server = Server::start();
    server.write_samples();
    let status = server.succeed(&["status"]);
    assert!(status.contains(&format!("historian {}, running since 2", env!("CARGO_PKG_VERSION"))), "{status}");
    assert!(status.contains(&format!("1 tags, {SAMPLES} samples written")) && status.contains("no devices are configured"), "{status}");
    let compacted = server.succeed(&["compact"]);
    assert!(compacted.ends_with("chunks sealed, store compacted\n"), "{compacted}");

    server.historian.stop().unwrap();
}
