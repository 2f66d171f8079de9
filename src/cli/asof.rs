//! `historian as-of`: the rows of a CSV file with what tags were at their times, through `DoExchange` of Arrow Flight into a table or a file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use arrow::{
    array::{ArrayRef, RecordBatch, StringBuilder, TimestampNanosecondBuilder},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder, error::FlightError};
use clap::{Args, ValueEnum};
use futures::{StreamExt, stream};
use jiff::tz::TimeZone;
use serde_json::json;

use super::{
    Misuse,
    client::{self, ServerArgs, UnitArgs},
    output::{self, OutputArgs},
    query,
};
use historian_model::{Clock, SystemClock, Timestamp};

/// Rows that are sent at once.
const BATCH_ROWS: usize = 8192;
/// The column that the historian joins by.
const TIME: &str = "timestamp";

#[derive(Debug, Args)]
pub struct AsOfArgs {
    /// CSV file with a header and a column of times; `-` reads standard input.
    file: PathBuf,
    /// Tag names or globs: `*` within a level, `**` across levels; at most 1,000 tags.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Column with the times: RFC 3339, or local ones in --zone, or numbers in --time-unit.
    #[arg(long, value_name = "COLUMN", default_value = TIME)]
    time_column: String,
    /// A sample counts no longer than this, such as 1h [default: for ever].
    #[arg(long, value_name = "LENGTH")]
    tolerance: Option<String>,
    /// Which samples count.
    #[arg(long, value_enum, ignore_case = true, default_value_t = QualityArg::NotBad)]
    quality: QualityArg,
    /// Time zone of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum QualityArg {
    /// Good and Uncertain ones.
    NotBad,
    /// Good ones.
    Good,
    /// All.
    Any,
}

pub async fn run(args: AsOfArgs) -> anyhow::Result<ExitCode> {
    let zone = TimeZone::get(&args.zone).map_err(|_| Misuse(format!("--zone {}: there is no such time zone", args.zone)))?;
    let batches = read(&args, &zone)?;
    let quality = match args.quality {
        QualityArg::NotBad => "NOT_BAD",
        QualityArg::Good => "GOOD",
        QualityArg::Any => "ANY",
    };
    let tolerance = args.tolerance.clone().unwrap_or_default();
    let command = json!({"asof": {"tags": args.tags, "tolerance": tolerance, "quality": quality}});
    args.output.format()?;
    let mut flight = args.server.flight().await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let encoded = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.to_string())))
        .build(stream::iter(batches.into_iter().map(Ok::<_, FlightError>)));
    let answer = flight.do_exchange(encoded).await.map_err(client::flight_refusal)?;
    query::write_answer(answer.map(|batch| batch.map_err(client::flight_refusal)).boxed(), &args.output, async |_| Ok(HashMap::new()))
        .await?;
    if rows == 0 {
        output::note("the file has no rows");
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of the file: every column as the text that it is, and the times.
fn read(args: &AsOfArgs, zone: &TimeZone) -> anyhow::Result<Vec<RecordBatch>> {
    let name = if args.file == Path::new("-") { "standard input".to_owned() } else { args.file.display().to_string() };
    let source: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("{name} cannot be read"))?)
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(source);
    let headers = reader.headers().with_context(|| format!("{name} is no CSV"))?.clone();
    let Some(times) = headers.iter().position(|header| header == args.time_column) else {
        let known = headers.iter().collect::<Vec<_>>().join(", ");
        bail!("{name} has no column {:?}; it has {known}; --time-column names the one with the times", args.time_column);
    };
    if args.time_column != TIME && headers.iter().any(|header| header == TIME) {
        bail!("{name} has a column {TIME:?} beside {:?}, and that of the answer is called so: give it another name", args.time_column);
    }
    // The times that the historian reads stand first, and where their column has another name it stays as it was.
    let others: Vec<usize> = (0..headers.len()).filter(|column| headers[*column] != *TIME).collect();
    let mut fields = vec![Field::new(TIME, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true)];
    fields.extend(others.iter().map(|column| Field::new(&headers[*column], DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(fields));
    let now = SystemClock.now();
    let mut batches = Vec::new();
    let mut records = reader.into_records().peekable();
    while records.peek().is_some() || batches.is_empty() {
        let mut at = TimestampNanosecondBuilder::new().with_timezone("UTC");
        let mut texts: Vec<StringBuilder> = others.iter().map(|_| StringBuilder::new()).collect();
        for record in records.by_ref().take(BATCH_ROWS) {
            let record = record.with_context(|| format!("{name} is no CSV"))?;
            let line = record.position().map_or(0, csv::Position::line);
            let text = &record[times];
            at.append_option(match text.trim() {
                "" => None,
                text => {
                    let time = Timestamp::parse(&args.unit.applied(text), now, zone);
                    Some(time.map_err(|error| anyhow::anyhow!("{name}:{line}: {error}"))?.0)
                }
            });
            for (column, builder) in others.iter().zip(&mut texts) {
                builder.append_value(&record[*column]);
            }
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(at.finish())];
        columns.extend(texts.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(batches)
}
