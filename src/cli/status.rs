//! `historian status`: the server, and per device what is wanted, what was accepted and what actually delivers.

use std::{io::Write, process::ExitCode};

use clap::Args;
use comfy_table::Cell;
use historian_proto::v1::{
    DeviceStatus, GetServerStatusRequest, GetStatusRequest, ScrubStatus, TlsStatus, UndeliveredTag,
    admin_service_client::AdminServiceClient, collector_service_client::CollectorServiceClient,
};

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile},
    progress::bytes,
};
use historian_model::{Clock, SystemClock, Timestamp};
use historian_tls::EXPIRES_SOON;

/// Tags of a device told of that do not deliver.
const UNDELIVERED_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let channel = args.server.connect().await?;
    let server = AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await;
    let server = server.map_err(|status| client::refusal(&status))?.into_inner();
    let devices = CollectorServiceClient::new(channel).get_status(GetStatusRequest {}).await;
    let devices = devices.map_err(|status| client::refusal(&status))?.into_inner().devices;

    let mut output = OutputFile::stdout();
    writeln!(output, "historian {}, running since {}", output::printable(&server.version), Timestamp(server.start_time))?;
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
        tls_lines(&mut output, tls, SystemClock.now())?;
    }
    if devices.is_empty() {
        writeln!(output, "no devices are configured")?;
    } else {
        let headings = [
            "DEVICE",
            "PROTOCOL",
            "STATE",
            "DELIVERING",
            "SAMPLES",
            "DROPPED",
            "REJECTED",
            "TIMEOUTS",
            "EXCEPTIONS",
            "MISSED",
            "LAST GOOD",
            "LAST ERROR",
        ];
        let mut table = output::table(&headings);
        for device in &devices {
            table.add_row(cells(device));
        }
        writeln!(output)?;
        output::write_table(&mut output, &table)?;
        for device in devices.iter().filter(|device| !device.holes.is_empty()) {
            writeln!(output, "{} refuses {}", output::printable(&device.device), output::printable(&device.holes.join(", ")))?;
        }
        undelivered(&mut output, &devices)?;
    }
    output.finish()?;
    Ok(std::process::ExitCode::SUCCESS)
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
    let mut table = output::table(&["DEVICE", "TAG", "SINCE", "DOES NOT DELIVER BECAUSE"]);
    let mut untold = 0;
    for device in devices {
        let told = &device.undelivered[..device.undelivered.len().min(UNDELIVERED_SHOWN)];
        untold += device.undelivered_tags - told.len() as u64;
        for UndeliveredTag { tag, reason, since } in told {
            let cell = |text: &str| Cell::new(output::printable(text));
            table.add_row(vec![cell(&device.device), cell(tag), Cell::new(Timestamp(*since)), cell(reason)]);
        }
    }
    writeln!(output)?;
    output::write_table(output, &table)?;
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

fn cells(device: &DeviceStatus) -> Vec<Cell> {
    let last_error = match device.last_error_time {
        0 => output::printable(&device.last_error),
        at => format!("{} {}", Timestamp(at), output::printable(&device.last_error)),
    };
    vec![
        Cell::new(output::printable(&device.device)),
        Cell::new(output::printable(&device.protocol)),
        Cell::new(output::printable(&device.state)),
        output::number(format!("{} of {}", device.items_delivering, device.items_wanted)),
        output::number(device.samples),
        output::number(device.samples_dropped),
        output::number(device.samples_rejected),
        output::number(device.timeouts),
        output::number(device.exceptions),
        output::number(device.polls_missed),
        Cell::new(if device.last_good_time == 0 { "never".to_owned() } else { Timestamp(device.last_good_time).to_string() }),
        Cell::new(last_error),
    ]
}
