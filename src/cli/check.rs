//! `historian check`: is the configuration right, do the devices answer, does every tag deliver? Reads each tag once and stores no sample;
//! what encrypted OPC UA needs (own certificate and key) is made as `serve` would make it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use futures::{StreamExt, stream};
use serde_json::json;

use super::{
    RefusedConfiguration, catalog,
    client::TokenArgs,
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_collector::{CheckRow, Collector};
use historian_model::{Quality, TagDefinition, TagName, Value, ValueType};
use historian_server::config::{self, Overrides, ServerSettings};
use historian_sql::View;
use historian_tls::TlsFiles;

/// Devices that are connected to at once.
const DEVICES_AT_ONCE: usize = 32;

/// What a device may take beyond its timeout before we stop waiting for it.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: PathBuf,
    /// Data directory, as for `serve`: value types are compared with the tags in it [default: historian-data].
    #[arg(long, value_name = "DIR", env = "HISTORIAN_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address of a historian that may be running on that directory [default: 127.0.0.1:8815].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Only validates; connects to no device.
    #[arg(long)]
    offline: bool,
    /// Time limit for each device, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Shows only the tags that are not good.
    #[arg(long)]
    bad: bool,
    #[command(flatten)]
    token: TokenArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    use std::io::Write;

    let overrides = Overrides { data_dir: args.data_dir.clone(), listen: args.listen, ..Overrides::default() };
    let configuration = config::load(Some(&args.config), &overrides).map_err(RefusedConfiguration)?;
    let (server, tls, collectors) = (configuration.server, configuration.tls, configuration.collectors);
    let tags: usize = collectors.iter().map(|collector| collector.tags().len()).sum();
    let mut output = OutputFile::stdout();
    let (file, devices) = (args.config.display(), collectors.len());
    let (written, views) = (configuration.written_tags.len(), configuration.tables.views.len());
    let notes = unselective(&configuration.tables.views, &collectors, &configuration.written_tags);
    let contradictions = contradictions((&server, tls.as_ref()), &args.token, &collectors, &configuration.written_tags).await;
    match args.format {
        TextFormat::Json => {
            let object = json!({
                "configuration": file.to_string(), "devices": devices, "collected_tags": tags, "written_tags": written, "views": views,
                "notes": notes, "contradictions": contradictions,
            });
            writeln!(output, "{object}")?;
        }
        TextFormat::Table => {
            writeln!(output, "{file} is valid: {devices} devices, {tags} collected tags, {written} written tags, {views} views")?;
            for line in notes.iter().chain(&contradictions) {
                writeln!(output, "{}", output::printable(line))?;
            }
        }
    }
    if args.offline {
        output.finish()?;
        return Ok(if contradictions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    output.flush()?;
    let timeout = Duration::from_secs(args.timeout);
    let mut checks = stream::iter(collectors).map(|collector| check(collector, timeout)).buffered(DEVICES_AT_ONCE);
    let (mut good, mut bad) = (0_usize, 0_usize);
    while let Some((title, rows)) = checks.next().await {
        let (protocol, device) = title;
        if args.format == TextFormat::Json {
            for (definition, row) in rows {
                (good, bad) = if is_good(&row) { (good + 1, bad) } else { (good, bad + 1) };
                if !(args.bad && is_good(&row)) {
                    writeln!(output, "{}", as_json(&protocol, &device, &definition, &row))?;
                }
            }
            output.flush()?;
            continue;
        }
        let mut table = TextTable::new([
            TableColumn::name("TAG"),
            TableColumn::text("ADDRESS").spare(2),
            TableColumn::whole("VALUE"),
            TableColumn::whole("UNIT").spare(4),
            TableColumn::words("QUALITY"),
            TableColumn::whole("LATENCY").spare(3),
            TableColumn::sentence("ERROR"),
        ]);
        let mut good_here = 0_usize;
        for (definition, row) in &rows {
            good_here += usize::from(is_good(row));
            if !(args.bad && is_good(row)) {
                table.add_row(cells(definition, row));
            }
        }
        good += good_here;
        bad += rows.len() - good_here;
        writeln!(output, "\n{protocol} {device}: {good_here} of {} tags good", rows.len())?;
        if !table.is_empty() {
            table.write(&mut output)?;
        }
        output.flush()?;
    }
    if args.format == TextFormat::Table {
        writeln!(output, "\n{good} tags good, {bad} bad")?;
    }
    output.finish()?;
    Ok(if bad == 0 && contradictions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Views that select none of the configured tags. That is no mistake: clients may write the tags that they mean.
fn unselective(views: &[View], collectors: &[Arc<dyn Collector>], written: &[TagDefinition]) -> Vec<String> {
    let configured: Vec<TagDefinition> = collectors.iter().flat_map(|collector| collector.tags()).chain(written.iter().cloned()).collect();
    let selects = |view: &&View| configured.iter().any(|definition| view.tags.matches(definition.name.as_str()));
    let none = views.iter().filter(|view| !selects(view));
    none.map(|view| {
        format!("note: the view {} selects no tag of this configuration; it has columns when clients write some that it selects", view.name)
    })
    .collect()
}

/// Tags that the catalog holds with another value type than the configuration asks for: `serve` would not collect them. Asks the data
/// directory of the configuration, or the historian that runs on it.
async fn contradictions(
    (server, tls): (&ServerSettings, Option<&TlsFiles>),
    token: &TokenArgs,
    collectors: &[Arc<dyn Collector>],
    written: &[TagDefinition],
) -> Vec<String> {
    let configured: Vec<TagDefinition> = collectors.iter().flat_map(|collector| collector.tags()).chain(written.iter().cloned()).collect();
    let held = match catalog::held_types(server, tls, token).await {
        Ok(held) => held,
        Err(error) => {
            eprintln!("cannot compare the value types with the catalog: {error:#}");
            return Vec::new();
        }
    };
    let against = |definition: &TagDefinition| {
        let reason = config::contradiction(*held.get(definition.name.as_str())?, definition)?;
        Some(format!("{}: {reason}", definition.name))
    };
    configured.iter().filter_map(against).collect()
}

/// Reads a device once: a row per tag, whatever the collector does, and those of tags that it would make by itself.
async fn check(collector: Arc<dyn Collector>, timeout: Duration) -> ((String, String), Vec<(TagDefinition, CheckRow)>) {
    let title = (collector.protocol().to_string(), collector.device().to_string());
    let tags = collector.tags();
    let mut rows = tokio::time::timeout(timeout + GRACE, collector.check(timeout)).await.unwrap_or_default().into_iter();
    let mut pairs: Vec<(TagDefinition, CheckRow)> = tags
        .into_iter()
        .map(|definition| {
            let row = rows.next().unwrap_or_else(|| CheckRow {
                tag: definition.name.to_string(),
                address: definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
                value: None,
                quality: Quality::BAD_TIMEOUT,
                latency: None,
                error: format!("the device did not answer within {} s", timeout.as_secs()),
                note: String::new(),
            });
            (definition, row)
        })
        .collect();
    let found = |row: CheckRow| {
        let value_type = row.value.as_ref().map_or(ValueType::F64, Value::value_type);
        Some((TagDefinition::new(TagName::new(&row.tag).ok()?, value_type), row))
    };
    pairs.extend(rows.filter_map(found));
    (title, pairs)
}

/// A tag is good when it was read and its quality is not Bad: an Uncertain value arrives, and is stored as such.
fn is_good(row: &CheckRow) -> bool {
    row.error.is_empty() && !row.quality.is_bad()
}

/// What went wrong, else what to know.
fn remark(row: &CheckRow) -> String {
    match (row.error.is_empty(), row.note.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("note: {}", row.note),
        (false, true) => row.error.clone(),
        (false, false) => format!("{}; note: {}", row.error, row.note),
    }
}

/// A tag of a device as an object; its value as the table has it.
fn as_json(protocol: &str, device: &str, definition: &TagDefinition, row: &CheckRow) -> serde_json::Value {
    json!({
        "device": device, "protocol": protocol, "tag": row.tag, "address": row.address, "good": is_good(row),
        "value": row.value.as_ref().map(|value| shown(value, definition)), "unit": definition.unit, "quality": row.quality.0,
        "latency_ms": row.latency.map(|latency| latency.as_secs_f64() * 1e3), "error": row.error, "note": row.note,
    })
}

fn cells(definition: &TagDefinition, row: &CheckRow) -> Vec<TableCell> {
    let value = row.value.as_ref().map_or_else(|| "-".to_owned(), |value| shown(value, definition));
    let value = if matches!(definition.value_type, ValueType::String) { TableCell::new(value) } else { TableCell::number(value) };
    vec![
        TableCell::new(&row.tag),
        TableCell::new(&row.address),
        value,
        TableCell::new(&definition.unit),
        TableCell::quality(row.quality),
        TableCell::number(row.latency.map_or_else(|| "-".to_owned(), |latency| format!("{:.1} ms", latency.as_secs_f64() * 1e3))),
        TableCell::new(remark(row)),
    ]
}

fn shown(value: &Value, definition: &TagDefinition) -> String {
    match value {
        Value::F64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => output::printable(text),
        Value::State(state) => match definition.state_set.get(*state as usize) {
            Some(name) => format!("{state} ({})", output::printable(name)),
            None => state.to_string(),
        },
    }
}
