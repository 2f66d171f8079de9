//! `historian inspect`: how tags are stored: chunks, codecs, bytes by column and per sample.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, ValueEnum};
use historian_proto::v1::{
    ChunkStorage, InspectTagsRequest, TagFailure, TagStorage, admin_service_client::AdminServiceClient, inspect_tags_response::Part,
};
use serde_json::{Value, json};

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TABLE_ROWS, TableCell, TableColumn, TextTable},
};
use historian_api::grpc::inspect::{summed, told};
use historian_model::{SystemClock, TagScope, TagSelection, Timestamp};
use historian_store::{Catalog, StoppedStore, StoreError, inspect::inspect};

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Exact names or globs [default: all tags].
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Read this data directory, whose historian is not running, instead of asking a historian.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// List every single chunk.
    #[arg(long)]
    chunks: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: InspectFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    /// Columns for people.
    #[default]
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Json,
}

pub async fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let mut view = InspectView::new(args.format, args.chunks)?;
    if let Some(data_dir) = args.data_dir {
        view = tokio::task::spawn_blocking(move || at_rest(&data_dir, &args.tags, view)).await??;
    } else {
        let mut admin = AdminServiceClient::new(args.server.connect().await?);
        let request = InspectTagsRequest { tags: args.tags, chunks: args.chunks };
        let mut answer = admin.inspect_tags(request).await.map_err(|status| client::refusal(&status))?.into_inner();
        while let Some(message) = answer.message().await.map_err(|status| client::refusal(&status))? {
            if let Some(part) = message.part {
                view.show(part)?;
            }
        }
    }
    view.finish()
}

fn at_rest(data_dir: &std::path::Path, tags: &[String], mut view: InspectView) -> anyhow::Result<InspectView> {
    let stopped = StoppedStore::open(data_dir)?;
    if let Some(refused) = &stopped.refused {
        anyhow::bail!("{refused}; see what can be read with `historian scrub --data-dir {}`", data_dir.display());
    }
    let selection = TagSelection::parse_or_all(tags)?;
    let catalog = Catalog::open(stopped.store.clone(), Arc::new(SystemClock), usize::MAX)?;
    let (selected, missing) = catalog.within(&TagScope::Everything).select(&selection);
    for name in missing {
        view.show(Part::Failure(TagFailure { tag: name, code: tonic::Code::NotFound.into(), message: "there is no such tag".to_owned() }))?;
    }
    for tag in selected {
        let mut shown = Ok(());
        let storage = inspect(&*stopped.store, tag.id, &mut |chunk| {
            if view.chunks && shown.is_ok() {
                shown = view.show(Part::Chunk(told(&tag, chunk)));
            }
        });
        shown?;
        view.show(match storage {
            Ok(storage) => Part::Tag(summed(&tag, &storage)),
            Err(error @ StoreError::Corrupt { .. }) => {
                Part::Failure(TagFailure { tag: tag.name().to_string(), code: tonic::Code::DataLoss.into(), message: error.to_string() })
            }
            Err(error) => return Err(error.into()),
        })?;
    }
    Ok(view)
}

/// Writes what comes, tag after tag, and adds it up.
struct InspectView {
    format: InspectFormat,
    chunks: bool,
    output: OutputFile,
    table: TextTable,
    total: TagStorage,
    tags: u64,
    failed: bool,
}

/// Columns of tags, and how soon each is left out where there is no room.
const TAG_COLUMNS: [(&str, u8); 16] = [
    ("TAG", 0),
    ("SAMPLES", 0),
    ("HOT", 6),
    ("COLD", 6),
    ("LATE", 6),
    ("FIRST", 4),
    ("LAST", 3),
    ("BYTES", 0),
    ("B/SAMPLE", 0),
    ("TIMESTAMPS", 8),
    ("VALUES", 8),
    ("QUALITIES", 8),
    ("HEADERS", 8),
    ("ROLLUPS", 7),
    ("SUPERSEDED", 7),
    ("CODECS", 5),
];
/// The same of chunks.
const CHUNK_COLUMNS: [(&str, u8); 14] = [
    ("TAG", 0),
    ("KIND", 1),
    ("START", 0),
    ("END", 2),
    ("SAMPLES", 0),
    ("BYTES", 0),
    ("B/SAMPLE", 0),
    ("SEQUENCE", 5),
    ("TIMESTAMPS", 3),
    ("PRESENCE", 6),
    ("VALUES", 3),
    ("QUALITIES", 6),
    ("VALUE BYTES", 7),
    ("TIMESTAMP BYTES", 7),
];

impl InspectView {
    fn new(format: InspectFormat, chunks: bool) -> anyhow::Result<InspectView> {
        let mut output = OutputFile::stdout();
        if format == InspectFormat::Csv {
            let names =
                columns(chunks).iter().map(|(name, _)| name.to_lowercase().replace("b/sample", "bytes_per_sample").replace(' ', "_"));
            write_csv(&mut output, names)?;
        }
        let table = TextTable::new(columns(chunks).iter().map(|&(name, spare)| match name {
            "TAG" => TableColumn::name(name),
            "CODECS" => TableColumn::text(name).spare(spare),
            _ => TableColumn::whole(name).spare(spare),
        }));
        Ok(InspectView { format, chunks, output, table, total: TagStorage::default(), tags: 0, failed: false })
    }

    fn show(&mut self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Chunk(chunk) => self.row(&chunk_cells(&chunk), || chunk_json(&chunk)),
            Part::Tag(tag) => {
                add(&mut self.total, &tag);
                self.tags += 1;
                if self.chunks { Ok(()) } else { self.row(&tag_cells(&tag), || tag_json(&tag)) }
            }
            Part::Failure(failure) => {
                self.failed = true;
                eprintln!("historian: {}: {}", output::printable(&failure.tag), output::printable(&failure.message));
                Ok(())
            }
        }
    }

    fn row(&mut self, cells: &[(String, bool)], as_json: impl Fn() -> Value) -> anyhow::Result<()> {
        match self.format {
            InspectFormat::Json => writeln!(self.output, "{}", as_json())?,
            InspectFormat::Csv => write_csv(&mut self.output, cells.iter().map(|(text, _)| text.clone()))?,
            InspectFormat::Table => {
                self.table.add_row(cells.iter().map(|(text, number)| if *number { TableCell::number(text) } else { TableCell::new(text) }));
                if self.table.row_count() >= TABLE_ROWS {
                    self.table.write(&mut self.output)?;
                    self.table.clear();
                }
            }
        }
        Ok(())
    }

    /// Ends with the total of all tags; exit code 1 when a tag could not be shown.
    fn finish(mut self) -> anyhow::Result<ExitCode> {
        let mut total = std::mem::take(&mut self.total);
        if self.chunks {
            if self.format == InspectFormat::Table {
                self.table.write(&mut self.output)?;
            }
        } else {
            total.tag = format!("total of {} tags", self.tags);
            match self.format {
                // A tag cannot have this name, so a program can tell the last line from the others.
                InspectFormat::Json => {
                    let mut row = tag_json(&total);
                    row["tag"] = Value::Null;
                    row["tags"] = json!(self.tags);
                    writeln!(self.output, "{row}")?;
                }
                InspectFormat::Csv => {}
                InspectFormat::Table => {
                    let cells = tag_cells(&total);
                    self.row(&cells, || Value::Null)?;
                    self.table.write(&mut self.output)?;
                }
            }
        }
        self.output.finish()?;
        Ok(if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn columns(chunks: bool) -> &'static [(&'static str, u8)] {
    if chunks { &CHUNK_COLUMNS } else { &TAG_COLUMNS }
}

fn write_csv(output: &mut OutputFile, fields: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(fields)?;
    output.write_all(&writer.into_inner()?)?;
    Ok(())
}

fn bytes_of_tag(tag: &TagStorage) -> u64 {
    tag.header_bytes + tag.timestamp_bytes + tag.presence_bytes + tag.value_bytes + tag.quality_bytes
}

fn bytes_of_chunk(chunk: &ChunkStorage) -> u64 {
    chunk.header_bytes + chunk.timestamp_bytes + chunk.presence_bytes + chunk.value_bytes + chunk.quality_bytes
}

fn per_sample(bytes: u64, samples: u64) -> Option<f64> {
    (samples > 0).then(|| (bytes as f64 / samples as f64 * 1000.0).round() / 1000.0)
}

fn text(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

fn time(at: Option<i64>) -> Option<String> {
    at.map(|at| Timestamp(at).to_string())
}

/// Cells of a tag in the order of the headings, and whether each is a number.
fn tag_cells(tag: &TagStorage) -> Vec<(String, bool)> {
    let number = |number: u64| (number.to_string(), true);
    let codecs: Vec<String> = tag
        .codecs
        .iter()
        .filter(|used| used.column != "presence" || used.codec != "all_present")
        .map(|used| format!("{} {} {}", used.column, used.codec, used.chunks))
        .collect();
    let bytes = bytes_of_tag(tag);
    vec![
        (tag.tag.clone(), false),
        number(tag.samples),
        number(tag.chunks_hot),
        number(tag.chunks_cold),
        number(tag.chunks_late),
        (time(tag.first_timestamp).unwrap_or_else(|| "-".to_owned()), false),
        (time(tag.last_timestamp).unwrap_or_else(|| "-".to_owned()), false),
        number(bytes),
        (text(per_sample(bytes, tag.samples)), true),
        number(tag.timestamp_bytes),
        number(tag.presence_bytes + tag.value_bytes),
        number(tag.quality_bytes),
        number(tag.header_bytes),
        number(tag.rollup_bytes),
        number(tag.superseded_bytes),
        (codecs.join(", "), false),
    ]
}

fn chunk_cells(chunk: &ChunkStorage) -> Vec<(String, bool)> {
    let number = |number: u64| (number.to_string(), true);
    let bytes = bytes_of_chunk(chunk);
    vec![
        (chunk.tag.clone(), false),
        (kind(chunk).to_owned(), false),
        (Timestamp(chunk.start).to_string(), false),
        (Timestamp(chunk.end).to_string(), false),
        number(chunk.samples),
        number(bytes),
        (text(per_sample(bytes, chunk.samples)), true),
        number(chunk.sequence),
        (chunk.timestamp_codec.clone(), false),
        (chunk.presence_codec.clone(), false),
        (chunk.value_codec.clone(), false),
        (chunk.quality_codec.clone(), false),
        number(chunk.value_bytes),
        number(chunk.timestamp_bytes),
    ]
}

fn kind(chunk: &ChunkStorage) -> &'static str {
    match (chunk.family.as_str(), chunk.cold) {
        ("late", _) => "late",
        (_, true) => "cold",
        (_, false) => "hot",
    }
}

fn tag_json(tag: &TagStorage) -> Value {
    let bytes = bytes_of_tag(tag);
    let mut codecs = json!({});
    for used in &tag.codecs {
        codecs[&used.column][&used.codec] = json!(used.chunks);
    }
    json!({
        "tag": tag.tag,
        "samples": tag.samples,
        "chunks_hot": tag.chunks_hot,
        "chunks_cold": tag.chunks_cold,
        "chunks_late": tag.chunks_late,
        "first_timestamp": time(tag.first_timestamp),
        "last_timestamp": time(tag.last_timestamp),
        "bytes": bytes,
        "bytes_per_sample": per_sample(bytes, tag.samples),
        "header_bytes": tag.header_bytes,
        "timestamp_bytes": tag.timestamp_bytes,
        "presence_bytes": tag.presence_bytes,
        "value_bytes": tag.value_bytes,
        "quality_bytes": tag.quality_bytes,
        "rollup_bytes": tag.rollup_bytes,
        "superseded_bytes": tag.superseded_bytes,
        "codecs": codecs,
    })
}

fn chunk_json(chunk: &ChunkStorage) -> Value {
    let bytes = bytes_of_chunk(chunk);
    json!({
        "tag": chunk.tag,
        "kind": kind(chunk),
        "start": Timestamp(chunk.start).to_string(),
        "end": Timestamp(chunk.end).to_string(),
        "samples": chunk.samples,
        "sequence": chunk.sequence,
        "bytes": bytes,
        "bytes_per_sample": per_sample(bytes, chunk.samples),
        "timestamp_codec": chunk.timestamp_codec,
        "presence_codec": chunk.presence_codec,
        "value_codec": chunk.value_codec,
        "quality_codec": chunk.quality_codec,
        "header_bytes": chunk.header_bytes,
        "timestamp_bytes": chunk.timestamp_bytes,
        "presence_bytes": chunk.presence_bytes,
        "value_bytes": chunk.value_bytes,
        "quality_bytes": chunk.quality_bytes,
    })
}

fn add(total: &mut TagStorage, tag: &TagStorage) {
    for (sum, part) in [
        (&mut total.samples, tag.samples),
        (&mut total.chunks_hot, tag.chunks_hot),
        (&mut total.chunks_cold, tag.chunks_cold),
        (&mut total.chunks_late, tag.chunks_late),
        (&mut total.header_bytes, tag.header_bytes),
        (&mut total.timestamp_bytes, tag.timestamp_bytes),
        (&mut total.presence_bytes, tag.presence_bytes),
        (&mut total.value_bytes, tag.value_bytes),
        (&mut total.quality_bytes, tag.quality_bytes),
        (&mut total.rollup_bytes, tag.rollup_bytes),
        (&mut total.superseded_bytes, tag.superseded_bytes),
    ] {
        *sum += part;
    }
    total.first_timestamp = [total.first_timestamp, tag.first_timestamp].into_iter().flatten().min();
    total.last_timestamp = [total.last_timestamp, tag.last_timestamp].into_iter().flatten().max();
    for used in &tag.codecs {
        match total.codecs.iter_mut().find(|known| (&known.column, &known.codec) == (&used.column, &used.codec)) {
            Some(known) => known.chunks += used.chunks,
            None => total.codecs.push(used.clone()),
        }
    }
}
