//! `historian status DEVICE|TAG`: collected tags one by one: how far they have come, their latest sample, and why they do not deliver, or deliver
//! Uncertain values.

use std::{io::Write, process::ExitCode};

use historian_proto::v1::{
    DeviceStatus, GetStatusRequest, ListTagStatusRequest, TagSamples, TagStatus, collector_service_client::CollectorServiceClient,
    values::Column,
};
use serde_json::{Value as Json, json};

use super::{
    client::{self, ServerChannel},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable, Tone},
};
use historian_model::{Quality, Timestamp};

/// Shows the tags of a device of this name, else the collected tags of this name or glob.
pub async fn run(channel: ServerChannel, name: &str, format: TextFormat) -> anyhow::Result<ExitCode> {
    let mut collectors = CollectorServiceClient::new(channel);
    let devices = collectors.get_status(GetStatusRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner().devices;
    let device = devices.iter().find(|device| device.device == name);
    let of_device = ListTagStatusRequest { device: name.to_owned(), ..ListTagStatusRequest::default() };
    let mut tags = all(&mut collectors, of_device).await?;
    if tags.is_empty() && device.is_none() {
        tags = all(&mut collectors, ListTagStatusRequest { tags: vec![name.to_owned()], ..ListTagStatusRequest::default() }).await?;
    }
    anyhow::ensure!(
        device.is_some() || !tags.is_empty(),
        "no device and no collected tag is called {name}; `historian status` lists devices"
    );
    let mut output = OutputFile::stdout();
    if format == TextFormat::Json {
        for tag in &tags {
            writeln!(output, "{}", as_json(tag))?;
        }
        output.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(device) = device {
        writeln!(output, "{}", device_line(device))?;
    }
    let mut table = TextTable::new([
        TableColumn::name("TAG"),
        TableColumn::whole("DEVICE").spare(4),
        TableColumn::whole("ADDRESS").spare(3),
        TableColumn::whole("DELIVERY"),
        TableColumn::value("VALUE"),
        TableColumn::whole("QUALITY"),
        TableColumn::whole("SOURCE TIME").spare(2),
        TableColumn::whole("AGE"),
        TableColumn::whole("INTERVAL").spare(3),
        TableColumn::sentence("REASON").spare(1),
    ]);
    for tag in &tags {
        table.add_row(cells(tag));
    }
    table.write(&mut output)?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Every page of an answer.
async fn all(collectors: &mut CollectorServiceClient<ServerChannel>, mut request: ListTagStatusRequest) -> anyhow::Result<Vec<TagStatus>> {
    let mut tags = Vec::new();
    loop {
        let page = collectors.list_tag_status(request.clone()).await.map_err(|status| client::refusal(&status))?.into_inner();
        tags.extend(page.tags);
        if page.next_page_token.is_empty() {
            return Ok(tags);
        }
        request.page_token = page.next_page_token;
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Seconds for people: as exact as it matters.
fn duration(nanoseconds: i64) -> String {
    match seconds(nanoseconds) {
        short if short.abs() < 1.0 => format!("{:.1} ms", short * 1e3),
        seconds if seconds.abs() < 120.0 => format!("{seconds:.1} s"),
        seconds if seconds.abs() < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds.abs() < 172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        seconds => format!("{:.0} d", seconds / 86_400.0),
    }
}

fn device_line(device: &DeviceStatus) -> String {
    // Where it is, is not told to everybody.
    let endpoint = if device.endpoint.is_empty() { String::new() } else { format!(", {}", output::printable(&device.endpoint)) };
    let mut line = format!(
        "{} ({}{endpoint}) is {}: {} of {} tags deliver, {} are created",
        output::printable(&device.device),
        device.protocol,
        device.state,
        device.items_delivering,
        device.items_wanted,
        device.items_created
    );
    if let (Some(half), Some(most)) = (device.latency_p50, device.latency_p99) {
        line += &format!("; latency {} (half), {} (99 in 100)", duration(half), duration(most));
    }
    if let Some(offset) = device.clock_offset {
        line += &format!("; its clock is {} ahead", duration(offset));
    }
    line
}

/// The one value of a sample, as JSON; null where it has none.
fn value(sample: &TagSamples) -> Json {
    if !sample.nulls.is_empty() {
        return Json::Null;
    }
    let column = sample.values.as_ref().and_then(|values| values.column.as_ref());
    let value = column.and_then(|column| match column {
        Column::F64(column) => column.values.first().map(|value| json!(value)),
        Column::F32(column) => column.values.first().map(|value| json!(value)),
        Column::I64(column) => column.values.first().map(|value| json!(value)),
        Column::U64(column) => column.values.first().map(|value| json!(value)),
        Column::Bool(column) => column.values.first().map(|value| json!(value)),
        Column::String(column) => column.values.first().map(|value| json!(value)),
        Column::State(column) => column.values.first().map(|value| json!(value)),
    });
    value.unwrap_or(Json::Null)
}

/// Quality and source time of a sample.
fn stamp(sample: &TagSamples) -> Option<(Quality, Timestamp)> {
    let quality = sample.qualities.first().copied().unwrap_or(Quality::GOOD.0);
    Some((Quality(quality), Timestamp(*sample.timestamps.first()?)))
}

fn cells(tag: &TagStatus) -> Vec<TableCell> {
    let last = tag.last.as_ref();
    let stamp = last.and_then(stamp);
    let shown = match last.map(value).unwrap_or_default() {
        Json::Null => String::new(),
        Json::String(text) => text,
        other => other.to_string(),
    };
    vec![
        TableCell::new(&tag.tag),
        TableCell::new(&tag.device),
        TableCell::new(&tag.address),
        TableCell::new(&tag.delivery).toned(if tag.delivery == "delivering" { Tone::Plain } else { Tone::Doubtful }),
        TableCell::new(shown),
        stamp.map_or_else(|| TableCell::new(""), |(quality, _)| TableCell::quality(quality)),
        TableCell::time_or_none(stamp.map(|(_, at)| at)),
        TableCell::new(tag.age.map(duration).unwrap_or_default()),
        TableCell::new(tag.interval.map(duration).unwrap_or_default()),
        // One that does not deliver has no other reason beside.
        TableCell::new(if tag.last_error.is_empty() { &tag.quality_reason } else { &tag.last_error }),
    ]
}

fn as_json(tag: &TagStatus) -> Json {
    let last = tag.last.as_ref();
    let stamp = last.and_then(stamp);
    json!({
        "tag": tag.tag, "device": tag.device, "address": tag.address, "delivery": tag.delivery,
        "value": last.map(value), "quality": stamp.map(|(quality, _)| quality.to_string()),
        "source_time": stamp.map(|(_, at)| at.to_string()), "age_s": tag.age.map(seconds),
        "interval_s": tag.interval.map(seconds), "last_error": tag.last_error,
        "last_error_time": (tag.last_error_time != 0).then(|| Timestamp(tag.last_error_time).to_string()),
        "quality_reason": tag.quality_reason, "samples_left_out": tag.samples_left_out,
    })
}
