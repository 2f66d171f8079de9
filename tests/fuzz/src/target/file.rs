//! Files: the configuration, tags and samples that people bring, and what lies on disk beside the samples.

use std::{
    fs::File,
    io::{Seek, Write},
    path::Path,
    str,
    sync::Arc,
};

use arrow::{
    array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use historian_audit::{AuditEntry, AuditHash, ChainedEntry};
use historian_cli::fuzz::{self, SampleFileFormat};
use historian_format::{
    Samples, Value, ValueType, encode_chunk, journal,
    keys::{ChunkKey, catalog_key},
};
use historian_server::config::{self, Overrides, tag_file, workbook};
use parquet::arrow::ArrowWriter;

use super::Target;

pub const ENTRY: Target = Target {
    name: "entry",
    about: "entries of the store of every family",
    inputs: 10_000,
    run: historian_store::fuzz::entry,
    seeds: || {
        let mut run = Samples::new(ValueType::F64);
        for row in 0..100_i64 {
            let _ = run.push(row * 1_000_000_000, Some(&Value::F64(row as f64 / 3.0)), 0);
        }
        let (mut chunk, mut record) = (Vec::new(), Vec::new());
        let _ = encode_chunk(1, 1, &run, &mut chunk);
        let _ = journal::encode_record([(1, &run)].into_iter(), &mut record);
        let entry = |family: u8, key: &[u8], value: &[u8]| [&[family, key.len() as u8][..], key, value].concat();
        let tag = br#"{"id":1,"definition":{"name":"a/x","value_type":"f64","unit":"bar","state_set":["on"]},"created":0,"updated":0}"#;
        let told =
            AuditEntry { action: "delete_range".into(), tags: vec!["a".into()], start: Some(1), samples: 7, ..AuditEntry::default() };
        let told = ChainedEntry::after(&AuditHash::START, 1, &told).map_or_else(|_| Vec::new(), |entry| entry.stored());
        let key = ChunkKey { tag_id: 1, start: 0, generation: 0 }.encode();
        vec![
            entry(0, &key, &chunk),
            entry(1, &key, &chunk),
            entry(4, &1_u64.to_be_bytes(), &record),
            entry(5, &catalog_key(1), tag),
            entry(6, &1_u64.to_be_bytes(), &told),
            entry(7, &1_u64.to_be_bytes(), br#"{"time":5,"tag":"a/x","start":1,"end":null,"reason":"device_down","detail":"x"}"#),
        ]
    },
};

pub const MANIFEST: Target = Target {
    name: "manifest",
    about: "manifests of backups",
    inputs: 10_000,
    run: historian_store::fuzz::manifest,
    seeds: || {
        let manifest = r#"{"version":1,"number":1,"sequence":9,"time":1774785600000000000,"historian":"0.1.0","format_version":1,"tags":3,
            "bytes":9,"files_new":1,"bytes_new":9,"files":[{"name":"000009.sst","shared":"000009-1","bytes":9,"crc32c":"0badf00d"}]}"#;
        vec![manifest.as_bytes().to_vec()]
    },
};

pub const CONFIGURATION: Target = Target {
    name: "configuration",
    about: "historian.toml with devices, views and retention, checked as at a start",
    inputs: 4_000,
    run: |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        config::parse("historian.toml", text, Path::new("/nonexistent"), &Overrides::default()).is_ok()
    },
    seeds: || {
        let example = include_str!("../../../../examples/historian.toml");
        let whole: Vec<&str> =
            example.lines().filter(|line| !["tag_files", "user", "password_file"].iter().any(|key| line.starts_with(key))).collect();
        let short = "[server]\nlisten = \"127.0.0.1:0\"\n[limits]\nquery_rows_max = 7\n[[retention]]\ntags = [\"a/**\"]\nage = \"90d\"\n";
        let modbus = "[[modbus]]\nname = \"plc\"\nendpoint = \"192.0.2.1:502\"\nnot_available = [\"i16 0x8000\"]\n[[modbus.tag]]\n\
                      name = \"a/b\"\naddress = \"2!holding:100\"\nformat = \"f32\"\nscale = 0.1\n";
        vec![whole.join("\n").into_bytes(), short.into(), modbus.into()]
    },
};

pub const TAG_FILE: Target = Target {
    name: "tag_file",
    about: "tags as CSV, with their definitions",
    inputs: 1_000,
    run: |bytes| {
        let (rows, problems) = tag_file::parse(bytes, "tags.csv");
        rows.iter().all(|row| row.definition().is_ok()) && problems.is_empty()
    },
    seeds: || {
        let written = "name,type,unit,state_set\r\n\"a, b\",f64,bar,\r\na/mode,state,,off|on\r\n";
        vec![include_bytes!("../../../../examples/tags.csv").to_vec(), written.into()]
    },
};

pub const WORKBOOK: Target = Target {
    name: "workbook",
    about: "sheets of XLSX files, as lists of tags and registers are in them",
    inputs: 1_000,
    run: |bytes| workbook::read(bytes, None).is_ok(),
    seeds: || {
        let (in_cells, shared) =
            (include_bytes!("../../../peers/workbooks/map_openpyxl.xlsx"), include_bytes!("../../../peers/workbooks/tags_xlsxwriter.xlsx"));
        vec![in_cells.to_vec(), shared.to_vec()]
    },
};

pub const SAMPLE_CSV: Target = Target {
    name: "sample_csv",
    about: "samples as CSV, read twice as an import does",
    inputs: 5_000,
    run: fuzz::csv,
    seeds: || {
        let own = "\0tag,timestamp,value,quality,type,text,integer\na/x,2026-01-01T00:00:00Z,1.5,0,f64,,\na/y,2026-01-01T00:00:01Z,,0,string,\"so, \"\"da\"\"\",\n";
        let other = "\x03Timestamp;Value;Status\n2026-10-25 02:30:00;1.5;Good\n2026-10-25 02:10:00;2.5;Good\n2026-10-25 02:30:00;3.5;Bad\n";
        let plain = "\x01timestamp,value\n1767225600000ms,7\n2026-01-01T06:00,8.25\n";
        [own, &other.replace(';', ","), plain].iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

pub const SAMPLE_PARQUET: Target = Target {
    name: "sample_parquet",
    about: "samples in Parquet files",
    inputs: 300,
    run: |bytes| columnar(bytes),
    seeds: || {
        let written = samples().and_then(|batch| {
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).ok()?;
            writer.write(&batch).ok()?;
            writer.into_inner().ok()
        });
        written.into_iter().collect()
    },
};

fn columnar(bytes: &[u8]) -> bool {
    let written = || -> std::io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    written().is_ok_and(|file| fuzz::columnar(&file, SampleFileFormat::Parquet))
}

fn samples() -> Option<RecordBatch> {
    let schema = Schema::new(vec![
        Field::new("tag", DataType::Utf8, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
    ]);
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from((0..50).map(|row| if row % 2 == 0 { "a/x" } else { "a/y" }).collect::<Vec<_>>())),
        Arc::new(TimestampMicrosecondArray::from((0..50).map(|row| 1_767_225_600_000_000 + row).collect::<Vec<_>>()).with_timezone("UTC")),
        Arc::new(Float64Array::from((0..50).map(|row| (row > 3).then_some(f64::from(row))).collect::<Vec<_>>())),
        Arc::new(UInt32Array::from((0..50).map(|row| if row > 3 { 0 } else { 0x8000_0000 }).collect::<Vec<_>>())),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).ok()
}
