//! `historian tag tune`: what exception filter and swinging door would have left out of samples that are recorded, against the error.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use historian_proto::v1::{
    self, GetTagRequest, RangeRequest, TagSamples, query_service_client::QueryServiceClient, tag_service_client::TagServiceClient,
    values::Column,
};
use serde_json::{Value as Json, json};

use super::value_type::value_type;
use crate::{
    client::{self, ServerArgs, UnitArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_format::{Effort, encode_chunk_with};
use historian_model::{
    Quality, Sample, Samples, Value, ValueType,
    filter::{CompressionFilter, ExceptionFilter, Replay, TagFilter, replay},
};

/// Samples that are replayed at most: some hundred megabytes of memory.
const SAMPLES_MAX: usize = 5_000_000;
/// Steps of the ladder in percent of the span.
const PERCENTS: [f64; 7] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Samples of a chunk as maintenance makes it.
const CHUNK_SAMPLES: usize = 8_192;

#[derive(Debug, Args)]
pub struct TagTuneArgs {
    /// Exact name of the tag.
    #[arg(value_name = "TAG")]
    tag: String,
    /// Start of the recorded samples: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, default_value = "*-1d", allow_hyphen_values = true)]
    start: String,
    /// End of the recorded samples, not included.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    end: String,
    /// Longest interval between two stored samples, in milliseconds.
    #[arg(long, default_value_t = TagFilter::MAX_INTERVAL_DEFAULT_MS, value_name = "MILLISECONDS",
        value_parser = clap::value_parser!(u64).range(TagFilter::MAX_INTERVAL_MS))]
    max_ms: u64,
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    unit: UnitArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// One setting, and what became of the samples.
struct Tuned {
    /// As a configuration has it; empty where all are stored.
    setting: String,
    percent: Option<f64>,
    filter: TagFilter,
    replay: Replay,
    bytes: usize,
}

pub async fn run(args: TagTuneArgs) -> anyhow::Result<ExitCode> {
    let channel = args.server.connect().await?;
    let request = GetTagRequest { name: args.tag.clone() };
    let answer = TagServiceClient::new(channel.clone()).get_tag(request).await.map_err(|status| client::refusal(&status))?;
    let tag = answer.into_inner().tag.unwrap_or_default();
    let value_type = value_type(&tag).context("the tag has a value type that this version does not know")?;
    let request = RangeRequest {
        tags: vec![args.tag.clone()],
        start: args.unit.applied(&args.start),
        end: args.unit.applied(&args.end),
        limit: SAMPLES_MAX as i64,
        zone: args.zone.clone(),
        ..RangeRequest::default()
    };
    let mut answers = QueryServiceClient::new(channel).range(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut samples = Vec::new();
    while let Some(part) = answers.message().await.map_err(|status| client::refusal(&status))? {
        if let Some(failure) = part.failure {
            bail!("{}: {}", failure.tag, failure.message);
        }
        samples.extend(part.samples.map(samples_of).into_iter().flatten());
    }
    samples.sort_by_key(|sample| sample.timestamp);
    if samples.is_empty() {
        output::note(&format!("{} has no samples from {} to {}", args.tag, args.start, args.end));
        return Ok(ExitCode::SUCCESS);
    }
    if samples.len() == SAMPLES_MAX {
        output::note(&format!("only the first {SAMPLES_MAX} samples of the range were replayed"));
    }
    if tag.filter.is_some() {
        output::note("the tag is filtered already: the errors are against what was stored, and not against what the device had");
    }
    let span = span(&tag, &samples);
    let tuned: Vec<Tuned> = ladder(value_type, tag.stepped, span, args.max_ms)
        .into_iter()
        .map(|(percent, filter)| tune(&samples, percent, filter, value_type, tag.stepped))
        .collect::<anyhow::Result<_>>()?;
    write(&args, &tag, &tuned)?;
    Ok(ExitCode::SUCCESS)
}

/// The settings that are tried.
fn ladder(value_type: ValueType, stepped: bool, span: Option<f64>, max_interval_ms: u64) -> Vec<(Option<f64>, TagFilter)> {
    let exception =
        |deadband| TagFilter { exception: Some(ExceptionFilter { deadband, min_interval_ms: 0, max_interval_ms }), compression: None };
    let compression = |deviation| TagFilter { exception: None, compression: Some(CompressionFilter { deviation, max_interval_ms }) };
    let steps = || PERCENTS.into_iter().filter_map(|percent| span.map(|span| (Some(percent), rounded(span * percent / 100.0))));
    let mut all = vec![(None, TagFilter::default()), (None, exception(0.0))];
    all.extend(steps().map(|(percent, units)| (percent, exception(units))));
    all.extend(steps().map(|(percent, units)| (percent, compression(units))));
    all.retain(|(_, filter)| filter.check(value_type, stepped).is_ok());
    all
}

fn tune(samples: &[Sample], percent: Option<f64>, filter: TagFilter, value_type: ValueType, stepped: bool) -> anyhow::Result<Tuned> {
    let (replay, kept) = replay(samples, &filter, value_type, stepped);
    let mut encoded = Vec::new();
    let mut bytes = 0;
    for part in kept.chunks(CHUNK_SAMPLES) {
        let mut run = Samples::with_capacity(value_type, part.len());
        for sample in part {
            run.push(sample.timestamp, sample.value.as_ref(), sample.quality)?;
        }
        encoded.clear();
        encode_chunk_with(0, 0, &run, Effort::Cold, &mut encoded)?;
        bytes += encoded.len();
    }
    let setting = match (&filter.exception, &filter.compression) {
        (Some(exception), _) => format!("exception_deadband = {}", exception.deadband),
        (None, Some(compression)) => format!("compression_deviation = {}", compression.deviation),
        (None, None) => String::new(),
    };
    Ok(Tuned { setting, percent, filter, replay, bytes })
}

fn write(args: &TagTuneArgs, tag: &v1::Tag, tuned: &[Tuned]) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match args.format {
        TextFormat::Json => {
            for one in tuned {
                writeln!(output, "{}", as_json(tag, one))?;
            }
        }
        TextFormat::Table => {
            let unit = if tag.unit.is_empty() { String::new() } else { format!(" ({})", tag.unit) };
            let mut table = TextTable::new([
                TableColumn::whole("SETTING"),
                TableColumn::whole("OF SPAN").spare(2),
                TableColumn::whole("STORED"),
                TableColumn::whole("PART"),
                TableColumn::whole("BYTES"),
                TableColumn::whole("A SAMPLE").spare(3),
                TableColumn::whole(format!("MAX ERROR{unit}")),
                TableColumn::whole(format!("RMS ERROR{unit}")),
                TableColumn::whole(format!("BOUND{unit}")).spare(1),
            ]);
            for one in tuned {
                let Replay { samples, kept, error_max, error_rms, .. } = one.replay;
                table.add_row(vec![
                    TableCell::new(if one.setting.is_empty() { "all are stored" } else { &one.setting }),
                    TableCell::number(one.percent.map(|percent| format!("{percent} %")).unwrap_or_default()),
                    TableCell::number(kept.to_string()),
                    TableCell::number(format!("{:.1} %", 100.0 * kept as f64 / samples as f64)),
                    TableCell::number(one.bytes.to_string()),
                    TableCell::number(format!("{:.2}", one.bytes as f64 / samples as f64)),
                    TableCell::number(figures(error_max)),
                    TableCell::number(figures(error_rms)),
                    TableCell::number(one.filter.error_bound(tag.stepped).map(figures).unwrap_or_default()),
                ]);
            }
            table.write(&mut output)?;
        }
    }
    Ok(output.finish()?)
}

fn as_json(tag: &v1::Tag, one: &Tuned) -> Json {
    let Replay { samples, kept, compared, error_max, error_rms } = one.replay;
    json!({
        "tag": tag.name,
        "exception_deadband": one.filter.exception.as_ref().map(|exception| exception.deadband),
        "compression_deviation": one.filter.compression.as_ref().map(|compression| compression.deviation),
        "percent_of_span": one.percent, "samples": samples, "stored": kept, "bytes": one.bytes,
        "bytes_a_sample": one.bytes as f64 / samples as f64, "compared": compared, "error_max": error_max, "error_rms": error_rms,
        "error_bound": one.filter.error_bound(tag.stepped),
    })
}

/// Width of the tag's range, or of what its Good numbers cover where it has none.
fn span(tag: &v1::Tag, samples: &[Sample]) -> Option<f64> {
    let of_range = tag.range_low.zip(tag.range_high).map(|(low, high)| high - low);
    let good = samples.iter().filter(|sample| Quality(sample.quality).is_good());
    let numbers = good.filter_map(|sample| match sample.value.as_ref()? {
        Value::F64(number) => Some(*number),
        Value::F32(number) => Some(f64::from(*number)),
        Value::I64(number) => Some(*number as f64),
        Value::U64(number) => Some(*number as f64),
        _ => None,
    });
    let (low, high) = numbers
        .filter(|number| number.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (number.min(low), number.max(high)));
    of_range.or(Some(high - low)).filter(|span| span.is_finite() && *span > 0.0)
}

/// To two figures, as a person would set it.
fn rounded(number: f64) -> f64 {
    format!("{number:.1e}").parse().unwrap_or(number)
}

/// To four figures.
fn figures(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if rounded == 0.0 || (1e-4..1e9).contains(&rounded) { rounded.to_string() } else { format!("{rounded:e}") }
}

/// The samples of a message, one by one.
fn samples_of(wire: TagSamples) -> Vec<Sample> {
    let column = wire.values.and_then(|values| values.column);
    let value = |row: usize| {
        if wire.nulls.binary_search(&(row as u32)).is_ok() {
            return None;
        }
        match column.as_ref()? {
            Column::F64(column) => column.values.get(row).copied().map(Value::F64),
            Column::F32(column) => column.values.get(row).copied().map(Value::F32),
            Column::I64(column) => column.values.get(row).copied().map(Value::I64),
            Column::U64(column) => column.values.get(row).copied().map(Value::U64),
            Column::Bool(column) => column.values.get(row).copied().map(Value::Bool),
            Column::String(column) => column.values.get(row).cloned().map(Value::String),
            Column::State(column) => column.values.get(row).copied().map(Value::State),
        }
    };
    let rows = wire.timestamps.iter().enumerate();
    rows.map(|(row, &timestamp)| Sample { timestamp, value: value(row), quality: wire.qualities.get(row).copied().unwrap_or(0) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_what_the_tag_can_have() {
        let tried = |value_type, stepped, span| ladder(value_type, stepped, span, 600_000).len();
        assert_eq!(tried(ValueType::F64, false, Some(200.0)), 16);
        assert_eq!(tried(ValueType::F64, true, Some(200.0)), 9);
        assert_eq!(tried(ValueType::I64, false, Some(200.0)), 9);
        assert_eq!((tried(ValueType::State, true, None), tried(ValueType::F64, false, None)), (2, 2));
        assert_eq!((rounded(0.123_456), rounded(1_234.0)), (0.12, 1_200.0));
        assert_eq!((figures(0.0), figures(0.123_456), figures(1e-12)), ("0".to_owned(), "0.1235".to_owned(), "1e-12".to_owned()));
    }

    #[test]
    fn nulls_and_qualities_stay_at_their_rows() {
        let values = Some(v1::Values { column: Some(Column::F64(v1::DoubleColumn { values: vec![1.0, 0.0] })) });
        let wire = TagSamples { tag: "t".into(), timestamps: vec![5, 6], values, qualities: vec![0, 0x8000_0000], nulls: vec![1] };
        let bad = Sample { timestamp: 6, value: None, quality: 0x8000_0000 };
        assert_eq!(samples_of(wire), [Sample { timestamp: 5, value: Some(Value::F64(1.0)), quality: 0 }, bad]);
    }
}
