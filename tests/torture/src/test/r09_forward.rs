//! R9: store and forward. The disk of the store is full while devices go on, every other time with a kill -9 and a start on the full disk. Once
//! there is room again every answer that a device gave is there, but for those of the last moments before a kill, which are within a gap.
//!
//! Devices count their answers, so one that is missing is known. The spool is on another disk than the store.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_proto::v1::{
    Gap, GetStatusRequest, ListGapsRequest, admin_service_client::AdminServiceClient, collector_service_client::CollectorServiceClient,
};
use tonic::transport::Channel;

use super::{Mutant, Test};
use crate::{
    context::{Context, SMALL},
    fault::disk::Disk,
    field::{FieldDevice, delivering, now, read},
    oracle::{Bits, Cell},
    report::Report,
};

pub const TEST: Test = Test {
    id: "R9",
    about: "a full disk of the store while devices go on, every other time with a kill: every answer is there when there is room again",
    unit: "fills",
    cycles: [2, 6, 60],
    mutants: &[Mutant { kind: "memory-only", about: "samples wait in memory, and go with a kill", cycles: 2 }],
    run,
};

const DEVICES: u16 = 10;
const SCAN: Duration = Duration::from_millis(200);
const DISK_MB: u64 = 64;
const RESERVE_MB: u64 = 20;
/// Free space that another program leaves.
const LEFT_MB: u64 = 12;
const STALL: Duration = Duration::from_secs(5);
/// Answers before a kill that may be gone with it: what waited for less than a second, and its way to the disk.
const UNSYNCED: Duration = Duration::from_millis(2_500);
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// What a read of the data may still lack of the last moments.
const SETTLED: Duration = Duration::from_secs(2);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    forward(context).boxed()
}

/// When the historian was killed, and when it served again.
struct Kill {
    at: i64,
    served: i64,
}

async fn forward(context: &Context) -> anyhow::Result<Report> {
    if let Some(reason) = Disk::in_memory_unavailable() {
        return Ok(Report::without("tmpfs", &reason));
    }
    let mut report = Report::default();
    let mut field = Vec::new();
    for number in 0..DEVICES {
        field.push(FieldDevice::start(number, SCAN).await?);
    }
    let disk = Disk::in_memory(&context.work, DISK_MB)?;
    let launcher = context.real_launcher(&disk.mount_point.join("data"), &configuration(context, &field))?;
    let ballast = disk.mount_point.join("ballast");
    let mut server = launcher.start()?;
    let begun = delivering(&server.channel().await?, "plant/*/count", usize::from(DEVICES)).await?;
    let mut kills = Vec::new();
    for cycle in 0..context.cycles {
        grow(&ballast, &disk)?;
        tokio::time::sleep(STALL).await;
        if cycle % 2 == 1 {
            let at = now();
            report.rss(server.rss_peak_kb());
            server.kill();
            server = launcher.spawn()?;
            // Without room it serves, and is not ready: that means that it takes writes.
            server.wait("serving", |server| server.get("/healthz").is_ok_and(|(code, _)| code == 200));
            report.recovery(server.begun().elapsed());
            kills.push(Kill { at, served: now() });
            tokio::time::sleep(STALL).await;
        }
        std::fs::remove_file(&ballast)?;
        drained(&server.channel().await?, &mut report).await?;
        report.cycles += 1;
        context.progress("R9", report.cycles, &report);
    }
    tokio::time::sleep(SETTLED).await;
    let channel = server.channel().await?;
    let end = now() - SETTLED.as_nanos() as i64;
    for (name, counts) in read(&channel, "plant/*/count", begun, end).await? {
        judge(&name, &counts, &kills, &mut report);
    }
    gaps_of(&channel, &kills, &mut report).await?;
    report.figure("kills", kills.len());
    report.rss(server.rss_peak_kb());
    server.stop()?;
    Ok(report)
}

fn configuration(context: &Context, field: &[FieldDevice]) -> String {
    let spool = context.work.join("spool");
    let mut text =
        format!("{SMALL}disk_reserve_bytes = \"{RESERVE_MB} MiB\"\n[spool]\npath = \"{}\"\ndisk_reserve_bytes = 0\n", spool.display());
    if context.mutant.is_some() {
        text += "bytes_max = 0\n";
    }
    for (number, device) in field.iter().enumerate() {
        let _ = write!(
            text,
            "[[modbus]]\nname = \"d{number:02}\"\nendpoint = \"{}\"\nscan_ms = {}\n\
             [[modbus.tag]]\nname = \"plant/d{number:02}/count\"\naddress = \"holding:1\"\nformat = \"u32\"\n",
            device.address,
            SCAN.as_millis(),
        );
    }
    text
}

/// Lets another program's file take the space that the store would need.
fn grow(ballast: &Path, disk: &Disk) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(ballast)?;
    let piece = vec![0x55; 64 << 10];
    while disk.free_bytes()? > LEFT_MB << 20 {
        file.write_all(&piece)?;
    }
    Ok(())
}

/// Waits until nothing waits any longer.
async fn drained(channel: &Channel, report: &mut Report) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut client = CollectorServiceClient::new(channel.clone());
    loop {
        let devices = client.get_status(GetStatusRequest {}).await?.into_inner().devices;
        if devices.iter().all(|device| device.samples_on_disk == 0) {
            report.count("drain_ms", since.elapsed().as_millis() as u64);
            return Ok(());
        }
        if since.elapsed() > DRAINED_WITHIN {
            report.fail(format!("samples wait on disk {DRAINED_WITHIN:?} after there is room again"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each answer of a device is there once, in its order.
fn judge(name: &str, counts: &[Cell], kills: &[Kill], report: &mut Report) {
    let mut last: Option<(u64, i64)> = None;
    for cell in counts.iter().filter(|cell| cell.is_good()) {
        let Bits::Number(count) = cell.bits else { continue };
        report.tally.acked += 1;
        if let Some((before, at)) = last {
            if count <= before {
                report.tally.dup += 1;
                report.tally.example(|| format!("{name}: answer {count} comes after {before}"));
            }
            let lost = count.saturating_sub(before + 1);
            let unsynced = UNSYNCED.as_nanos() as i64;
            if lost > 0 && kills.iter().any(|kill| (kill.at - unsynced..=kill.at).contains(&at) && cell.timestamp >= kill.at) {
                report.count("lost_at_kills", lost);
            } else if lost > 0 {
                report.tally.lost += lost;
                report.tally.example(|| format!("{name}: {lost} answers between {at} and {} are lost", cell.timestamp));
            }
        }
        last = Some((count, cell.timestamp));
    }
    if last.is_none() {
        report.fail(format!("{name} has no sample"));
    }
}

/// Every kill has one gap, from the last moments before it to when it served again, and there is no other.
async fn gaps_of(channel: &Channel, kills: &[Kill], report: &mut Report) -> anyhow::Result<()> {
    let request = ListGapsRequest { page_size: 1_000, ..ListGapsRequest::default() };
    let mut gaps = AdminServiceClient::new(channel.clone()).list_gaps(request).await?.into_inner().gaps;
    for kill in kills {
        let is_of = |gap: &Gap| {
            let (start, end) = (gap.start.unwrap_or(i64::MIN), gap.end.unwrap_or(i64::MAX));
            gap.reason == "collector_down"
                && (kill.at - UNSYNCED.as_nanos() as i64..=kill.at).contains(&start)
                && end <= kill.served
                && end > kill.at
        };
        match gaps.iter().position(is_of) {
            Some(place) => drop(gaps.remove(place)),
            None => report.fail(format!("the kill at {} has no gap: {gaps:?}", kill.at)),
        }
    }
    if !gaps.is_empty() {
        report.fail(format!("gaps without a reason: {gaps:?}"));
    }
    Ok(())
}
