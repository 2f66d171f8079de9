//! `historian status`: the server, and per device what is wanted, what was accepted and what actually delivers.

use std::{io::Write, process::ExitCode};

use clap::Args;
use historian_proto::v1::{
    DeviceStatus, GetServerStatusRequest, GetServerStatusResponse, GetStatusRequest, GetStatusResponse, ScrubStatus, TlsStatus,
    UndeliveredTag, admin_service_client::AdminServiceClient, collector_service_client::CollectorServiceClient,
};
use serde_json::{Value as Json, json};
use tonic::Code;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable, Tone},
    progress::bytes,
    tag_status::{self, seconds},
};
use historian_model::{Clock, SystemClock, Timestamp};
use historian_tls::EXPIRES_SOON;

/// Tags of a device told of that do not deliver.
const UNDELIVERED_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// A device, or a tag or glob of tags: only these, tag by tag.
    #[arg(value_name = "DEVICE|TAG")]
    name: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let channel = args.server.connect().await?;
    if let Some(name) = args.name {
        return tag_status::run(channel, &name, args.format).await;
    }
    // Who may read tags is told of their devices, and nothing of the server.
    let server = match AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) if status.code() == Code::PermissionDenied => None,
        Err(status) => return Err(client::refusal(&status)),
    };
    let told = CollectorServiceClient::new(channel).get_status(GetStatusRequest {}).await;
    let told = told.map_err(|status| client::refusal(&status))?.into_inner();

    if args.format == TextFormat::Json {
        output::tell(args.format, "", &as_json(server.as_ref(), &told))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = OutputFile::stdout();
    match &server {
        Some(server) => server_lines(&mut output, server)?,
        None => writeln!(
            output,
            "the state of the server takes the right to administer; of devices this shows what is of tags that you may read"
        )?,
    }
    if told.devices.is_empty() {
        writeln!(output, "{}", if told.limited { "no device collects a tag that you may read" } else { "no devices are configured" })?;
    } else {
        device_lines(&mut output, &told)?;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn server_lines(output: &mut OutputFile, server: &GetServerStatusResponse) -> anyhow::Result<()> {
    writeln!(output, "historian {}, running since {}", output::printable(&server.version), output::to_ms(Timestamp(server.start_time)))?;
    writeln!(
        output,
        "{} tags, {} samples written, {} of them in heads, durable up to write {}",
        server.tags, server.samples_written, server.head_samples, server.watermark
    )?;
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    writeln!(
        output,
        "{} MiB of memory for queries and messages of clients, {} MiB of it taken",
        mebibytes(server.memory_bytes_max),
        mebibytes(server.memory_bytes_taken)
    )?;
    if !server.accepting_writes {
        writeln!(output, "WRITES ARE REFUSED after a failure of the disk: look at the log and the disk, then restart")?;
    }
    if !server.no_room.is_empty() {
        writeln!(output, "NO ROOM for writes; they resume when there is room: {}", output::printable(&server.no_room))?;
    }
    if let Some(scrub) = &server.scrub {
        writeln!(output, "{}", scrub_line(scrub))?;
    }
    if let Some(tls) = &server.tls {
        tls_lines(output, tls, SystemClock.now())?;
    }
    Ok(())
}

fn device_lines(output: &mut OutputFile, told: &GetStatusResponse) -> anyhow::Result<()> {
    let devices = &told.devices;
    let mut table = if told.limited {
        TextTable::new([
            TableColumn::text("DEVICE"),
            TableColumn::whole("PROTOCOL").spare(2),
            TableColumn::whole("STATE"),
            TableColumn::whole("DELIVERING"),
            TableColumn::whole("LAST GOOD").spare(1),
        ])
    } else {
        TextTable::new([
            TableColumn::text("DEVICE"),
            TableColumn::whole("PROTOCOL").spare(3),
            TableColumn::whole("STATE"),
            TableColumn::whole("DELIVERING"),
            TableColumn::whole("SAMPLES").spare(2),
            TableColumn::whole("DROPPED").spare(4),
            TableColumn::whole("REJECTED").spare(4),
            TableColumn::whole("TIMEOUTS").spare(5),
            TableColumn::whole("EXCEPTIONS").spare(5),
            TableColumn::whole("MISSED").spare(5),
            TableColumn::whole("LAST GOOD").spare(1),
            TableColumn::sentence("LAST ERROR"),
        ])
    };
    for device in devices {
        table.add_row(cells(device, told.limited));
    }
    writeln!(output)?;
    table.write(output)?;
    for device in devices.iter().filter(|device| !device.holes.is_empty()) {
        writeln!(output, "{}, refused or in doubt: {}", output::printable(&device.device), output::printable(&device.holes.join(", ")))?;
    }
    for device in devices.iter().filter(|device| device.samples_on_disk > 0) {
        writeln!(
            output,
            "{}: {} samples wait to be stored, {} of them on disk ({})",
            output::printable(&device.device),
            device.samples_waiting,
            device.samples_on_disk,
            bytes(device.spool_disk_bytes)
        )?;
    }
    undelivered(output, devices)
}

/// The whole as one object; without what is not told.
fn as_json(server: Option<&GetServerStatusResponse>, told: &GetStatusResponse) -> Json {
    let devices: Vec<Json> = told.devices.iter().map(|device| device_json(device, told.limited)).collect();
    let mut whole = json!({"devices": devices, "limited": told.limited});
    if let (Some(whole), Some(Json::Object(server))) = (whole.as_object_mut(), server.map(server_json)) {
        whole.extend(server);
    }
    whole
}

fn time(at: i64) -> Option<String> {
    (at != 0).then(|| Timestamp(at).to_string())
}

fn device_json(device: &DeviceStatus, limited: bool) -> Json {
    let undelivered = device.undelivered.iter().map(|tag| json!({"tag": tag.tag, "since": time(tag.since), "reason": tag.reason}));
    let mut told = json!({
        "device": device.device, "protocol": device.protocol, "state": device.state, "connects": device.connects,
        "items_wanted": device.items_wanted, "items_created": device.items_created, "items_delivering": device.items_delivering,
        "last_good_time": time(device.last_good_time),
        "undelivered_tags": device.undelivered_tags, "undelivered": undelivered.collect::<Vec<_>>(),
        "latency_p50_s": device.latency_p50.map(seconds), "latency_p99_s": device.latency_p99.map(seconds),
        "clock_offset_s": device.clock_offset.map(seconds),
    });
    let of_all_tags = json!({
        "endpoint": device.endpoint, "samples": device.samples, "samples_dropped": device.samples_dropped,
        "samples_rejected": device.samples_rejected, "requests": device.requests, "timeouts": device.timeouts,
        "exceptions": device.exceptions, "polls_missed": device.polls_missed, "last_error_time": time(device.last_error_time),
        "last_error": device.last_error, "holes": device.holes, "samples_waiting": device.samples_waiting,
        "samples_on_disk": device.samples_on_disk, "spool_disk_bytes": device.spool_disk_bytes,
    });
    if let (false, Some(told), Json::Object(of_all_tags)) = (limited, told.as_object_mut(), of_all_tags) {
        told.extend(of_all_tags);
    }
    told
}

fn server_json(server: &GetServerStatusResponse) -> Json {
    let scrub = server.scrub.as_ref().map(|scrub| {
        let progress = scrub.progress.as_ref();
        let progress = progress.map(|progress| json!({"bytes_done": progress.bytes_done, "bytes_total": progress.bytes_total}));
        let last = scrub.last.as_ref().map(|last| json!({"end_time": time(last.end_time), "damaged": last.damaged}));
        json!({"progress": progress, "last": last})
    });
    let tls = server.tls.as_ref().map(|tls| {
        json!({
            "subject": tls.subject, "names": tls.names, "fingerprint": tls.fingerprint, "expiry_time": time(tls.expiry_time),
            "refused": tls.refused, "reload_failures": tls.reload_failures,
        })
    });
    json!({
        "version": server.version, "start_time": time(server.start_time), "tags": server.tags,
        "samples_written": server.samples_written, "head_samples": server.head_samples, "watermark": server.watermark,
        "accepting_writes": server.accepting_writes, "no_room": server.no_room, "memory_bytes_max": server.memory_bytes_max,
        "memory_bytes_taken": server.memory_bytes_taken, "scrub": scrub, "tls": tls,
    })
}

/// Whose certificate the ports show and until when, and what is wrong with it.
fn tls_lines(output: &mut OutputFile, tls: &TlsStatus, now: Timestamp) -> anyhow::Result<()> {
    let days = tls.expiry_time.saturating_sub(now.0).div_euclid(86_400_000_000_000);
    let ends = match days {
        ..0 => format!("EXPIRED on {}", Timestamp(tls.expiry_time)),
        days if days < EXPIRES_SOON.as_secs() as i64 / 86_400 => format!("EXPIRES in {days} days, on {}", Timestamp(tls.expiry_time)),
        _ => format!("valid until {}", Timestamp(tls.expiry_time)),
    };
    writeln!(output, "TLS with the certificate of {}, {ends}", output::printable(&tls.subject))?;
    if !tls.refused.is_empty() {
        writeln!(output, "NEW CERTIFICATE REFUSED, the old one stays: {}", output::printable(&tls.refused))?;
    }
    Ok(())
}

/// The tags that do not deliver, and why.
fn undelivered(output: &mut OutputFile, devices: &[DeviceStatus]) -> anyhow::Result<()> {
    if devices.iter().all(|device| device.undelivered.is_empty()) {
        return Ok(());
    }
    let mut table = TextTable::new([
        TableColumn::text("DEVICE").spare(2),
        TableColumn::name("TAG"),
        TableColumn::whole("SINCE").spare(1),
        TableColumn::sentence("DOES NOT DELIVER BECAUSE"),
    ]);
    let mut untold = 0;
    for device in devices {
        let told = &device.undelivered[..device.undelivered.len().min(UNDELIVERED_SHOWN)];
        untold += device.undelivered_tags - told.len() as u64;
        for UndeliveredTag { tag, reason, since } in told {
            let cell = |text: &str| TableCell::new(text);
            table.add_row(vec![cell(&device.device), cell(tag), TableCell::time(Timestamp(*since)), cell(reason)]);
        }
    }
    writeln!(output)?;
    table.write(output)?;
    if untold > 0 {
        writeln!(output, "and {untold} more")?;
    }
    Ok(())
}

/// The scrub that runs, else the last one.
fn scrub_line(scrub: &ScrubStatus) -> String {
    let last = scrub.last.as_ref().map_or_else(
        || "never scrubbed".to_owned(),
        |last| match last.damaged {
            0 => format!("last scrub {}: no damage", Timestamp(last.end_time)),
            damaged => format!("last scrub {}: {damaged} findings of DAMAGE, see the log or `historian scrub`", Timestamp(last.end_time)),
        },
    );
    match &scrub.progress {
        Some(progress) => format!("scrub running, {} of {} read; {last}", bytes(progress.bytes_done), bytes(progress.bytes_total)),
        None => last,
    }
}

fn cells(device: &DeviceStatus, limited: bool) -> Vec<TableCell> {
    let head = [
        TableCell::new(&device.device),
        TableCell::new(&device.protocol),
        TableCell::new(&device.state).toned(if device.state == "running" { Tone::Plain } else { Tone::Doubtful }),
        TableCell::number(format!("{} of {}", device.items_delivering, device.items_wanted)),
    ];
    let last_good = if device.last_good_time == 0 { TableCell::new("never") } else { TableCell::time(Timestamp(device.last_good_time)) };
    if limited {
        return head.into_iter().chain([last_good]).collect();
    }
    let last_error = match device.last_error_time {
        0 => device.last_error.clone(),
        at => format!("{} {}", output::to_ms(Timestamp(at)), device.last_error),
    };
    let counters =
        [device.samples, device.samples_dropped, device.samples_rejected, device.timeouts, device.exceptions, device.polls_missed];
    head.into_iter().chain(counters.map(TableCell::number)).chain([last_good, TableCell::new(last_error)]).collect()
}
