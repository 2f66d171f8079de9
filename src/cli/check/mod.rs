//! `historian check`: is the configuration right, do the devices answer, does every tag deliver? Reads each tag once and stores no sample;
//! what encrypted OPC UA needs (own certificate and key) is made as `serve` would make it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use futures::{StreamExt, stream};
use serde_json::json;

mod device;

use device::{CheckTally, CheckedDevice, DevicePlan};

use super::{
    RefusedConfiguration, catalog,
    client::TokenArgs,
    output::{self, OutputFile, TextFormat},
};
use historian_collector::{CheckRow, Collector, Readings};
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
    /// Shows only the tags that are not good, or whose value is in doubt.
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
        let mut sound = contradictions.is_empty();
        for collector in &collectors {
            let plan = DevicePlan::of(collector.as_ref());
            let logon = collector.logon().unwrap_or_default();
            sound &= logon.wrong.is_empty();
            let logon: Vec<String> = logon.lines().collect();
            match args.format {
                TextFormat::Json => writeln!(output, "{}", plan.as_json(&logon))?,
                TextFormat::Table => {
                    let of_device = |line: &String| output::printable(&format!("{} {} {line}", collector.protocol(), collector.device()));
                    for line in plan.told().into_iter().chain(logon.iter().map(of_device)) {
                        writeln!(output, "{line}")?;
                    }
                }
            }
        }
        output.finish()?;
        return Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    output.flush()?;
    let timeout = Duration::from_secs(args.timeout);
    let mut checks = stream::iter(collectors).map(|collector| check(collector, timeout)).buffered(DEVICES_AT_ONCE);
    let mut tally = CheckTally::default();
    while let Some(checked) = checks.next().await {
        tally.add(&checked);
        match args.format {
            TextFormat::Json => checked.write_json(args.bad, &mut output)?,
            TextFormat::Table => checked.write_table(args.bad, &mut output)?,
        }
        output.flush()?;
    }
    if args.format == TextFormat::Table {
        // By construction: what is not compiled in cannot be tried.
        writeln!(output, "\nwrite attempts: none; no collector has a function that writes\n{tally}")?;
    }
    output.finish()?;
    Ok(if tally.is_all_good() && contradictions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
async fn check(collector: Arc<dyn Collector>, timeout: Duration) -> CheckedDevice {
    let tags = collector.tags();
    let rows = tokio::time::timeout(timeout + GRACE, collector.check(timeout)).await.unwrap_or_default();
    let missing = |definition: &TagDefinition| CheckRow {
        tag: definition.name.to_string(),
        address: definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
        value: None,
        quality: Quality::BAD_TIMEOUT,
        latency: None,
        error: format!("the device did not answer within {} s", timeout.as_secs()),
        note: String::new(),
        readings: Readings::default(),
        excused: false,
    };
    let given = rows.len();
    let rows: Vec<CheckRow> = rows.into_iter().chain(tags.iter().skip(given).map(missing)).collect();
    let advice = collector.advice(&rows);
    let found = |row: &CheckRow| {
        let value_type = row.value.as_ref().map_or(ValueType::F64, Value::value_type);
        Some(TagDefinition::new(TagName::new(&row.tag).ok()?, value_type))
    };
    let mut tags = tags.into_iter();
    let rows = rows.into_iter().filter_map(|row| Some((tags.next().or_else(|| found(&row))?, row))).collect();
    CheckedDevice { plan: DevicePlan::of(collector.as_ref()), rows, advice }
}
