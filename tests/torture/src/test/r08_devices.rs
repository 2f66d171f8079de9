//! R8: fifty Modbus devices, twelve of them bad at a time, each in another way, and beside them OPC UA servers ([`super::r08_servers`]). The
//! others do not notice; of the bad ones nothing is answered as Good that is not theirs, and each comes back by itself.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_proto::v1::{ListGapsRequest, admin_service_client::AdminServiceClient};
use tonic::transport::Channel;

use super::{
    Mutant, Test,
    r08_servers::{FieldServers, ServerOutage},
};
use crate::{
    context::Context,
    field::{Ailment, FieldDevice, Spoilt, delivering, now, read},
    oracle::{Bits, Cell},
    report::Report,
};

pub const TEST: Test = Test {
    id: "R8",
    about: "12 of 50 devices and 10 of 16 OPC UA servers bad, each in another way: the others lose nothing, each comes back within 10 s",
    unit: "rounds of outages",
    cycles: [1, 4, 40],
    mutants: &[
        Mutant { kind: "crossed", about: "a good device answers once with the number of another", cycles: 1 },
        Mutant { kind: "skipped", about: "an answer of a good device is lost on its way", cycles: 1 },
        Mutant { kind: "server-crossed", about: "a good server publishes the values of another once", cycles: 1 },
        Mutant { kind: "server-skipped", about: "a value of a good server is not published", cycles: 1 },
    ],
    run,
};

const DEVICES: u16 = 50;
const SCAN: Duration = Duration::from_secs(1);
/// How long a collector waits for an answer. Late ones come half of it later.
const TIMEOUT: Duration = Duration::from_millis(600);
const OUTAGE: Duration = Duration::from_secs(4);
/// A device that is good again delivers within so much.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Before and between the outages.
const CALM: Duration = Duration::from_secs(3);
/// What a read of the data may still lack of the last moments.
const SETTLED: Duration = Duration::from_secs(2);
const SECOND_NS: i64 = 1_000_000_000;
/// Heads, tables in memory and what the allocator keeps; what grows with every outage passes it in the long form.
const GROWTH_MAX_KB: u64 = 128 << 10;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    devices(context).boxed()
}

/// When a device was bad, nanoseconds since 1970.
struct Outage {
    device: usize,
    ailment: Ailment,
    from: i64,
    to: i64,
}

async fn devices(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut field = Vec::new();
    for number in 0..DEVICES {
        field.push(FieldDevice::start(number, TIMEOUT * 3 / 2).await?);
    }
    let servers = FieldServers::start(&context.work).await?;
    let text = configuration(&field) + &servers.configuration();
    let server = context.real_launcher(&context.work.join("data"), &text)?.start()?;
    let channel = server.channel().await?;
    servers.delivering(&channel).await?;
    let begun = delivering(&channel, "plant/*/number", usize::from(DEVICES)).await?;
    tokio::time::sleep(CALM).await;

    let rss_before = server.rss_kb();
    let (mut outages, mut server_outages) = (Vec::new(), Vec::new());
    match context.mutant {
        None => {
            for round in 0..context.cycles as usize {
                let (of_devices, of_servers) = fall_ill(&channel, &field, &servers, round, &mut report).await?;
                outages.extend(of_devices);
                server_outages.extend(of_servers);
                tokio::time::sleep(CALM).await;
                report.cycles += 1;
                context.progress("R8", report.cycles, &report);
            }
        }
        // Found without any outage.
        Some(kind) => {
            let how = if kind.ends_with("crossed") { Spoilt::Crossed } else { Spoilt::Skipped };
            if kind.starts_with("server") {
                servers.spoil(how);
            } else {
                field[0].spoil(how);
            }
            tokio::time::sleep(CALM).await;
        }
    }
    tokio::time::sleep(SETTLED).await;
    let end = now() - SETTLED.as_nanos() as i64;
    for device in 0..usize::from(DEVICES) {
        judge(&channel, device, (begun, end), &outages, &mut report).await?;
    }
    servers.judge(&channel, (begun, end), &server_outages, &mut report).await?;
    let grown = server.rss_kb().saturating_sub(rss_before);
    report.figure("rss_grown_mb", grown >> 10);
    if grown > GROWTH_MAX_KB {
        report.fail(format!("memory has grown by {} MB in the outages", grown >> 10));
    }
    report.figure("server_outages", server_outages.len());
    report.figure("devices", DEVICES);
    report.figure("outages", outages.len());
    report.figure("connections", field.iter().map(FieldDevice::connections).sum::<u64>());
    report.rss(server.rss_peak_kb());
    server.stop()?;
    Ok(report)
}

/// Makes some devices and servers bad for a while, each in another way, and waits until all are back or should be.
async fn fall_ill(
    channel: &Channel,
    field: &[FieldDevice],
    servers: &FieldServers,
    round: usize,
    report: &mut Report,
) -> anyhow::Result<(Vec<Outage>, Vec<ServerOutage>)> {
    let bad = Ailment::ALL.into_iter().enumerate().map(|(index, ailment)| ((round * 7 + index * 4) % field.len(), ailment));
    let from = now();
    for (device, ailment) in bad.clone() {
        field[device].set(Some(ailment));
    }
    let mut ill = servers.fall_ill(round);
    tokio::time::sleep(OUTAGE).await;
    let to = now();
    for (device, _) in bad.clone() {
        field[device].set(None);
    }
    servers.recover(channel, &mut ill, report).await?;
    let since = Instant::now();
    while since.elapsed() < BACK_WITHIN {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let found = read(channel, "plant/*/number", to, i64::MAX).await?;
        let is_back = |device: usize| found.get(&format!("plant/d{device:02}/number")).is_some_and(|cells| cells.iter().any(Cell::is_good));
        if bad.clone().all(|(device, _)| is_back(device)) && servers.are_back(channel, &ill).await? {
            break;
        }
    }
    Ok((bad.map(|(device, ailment)| Outage { device, ailment, from, to }).collect(), ill))
}

fn configuration(field: &[FieldDevice]) -> String {
    let mut text = String::new();
    for (number, device) in field.iter().enumerate() {
        let _ = write!(
            text,
            "[[modbus]]\nname = \"d{number:02}\"\nendpoint = \"{}\"\nscan_ms = {}\ntimeout_ms = {}\n\
             [[modbus.tag]]\nname = \"plant/d{number:02}/number\"\naddress = \"holding:0\"\n\
             [[modbus.tag]]\nname = \"plant/d{number:02}/count\"\naddress = \"holding:1\"\nformat = \"u32\"\n",
            device.address,
            SCAN.as_millis(),
            TIMEOUT.as_millis(),
        );
    }
    text
}

/// Holds what the historian has of one device in a range of time against what the device was then.
async fn judge(channel: &Channel, device: usize, (begun, end): (i64, i64), outages: &[Outage], report: &mut Report) -> anyhow::Result<()> {
    let prefix = format!("plant/d{device:02}");
    let found = read(channel, &format!("{prefix}/*"), begun, end).await?;
    let of = |tag: &str| found.get(&format!("{prefix}/{tag}")).map_or(&[][..], Vec::as_slice);
    let (numbers, counts) = (of("number"), of("count"));
    report.tally.acked += (numbers.len() + counts.len()) as u64;

    // Nothing is taken for another's.
    for cell in numbers.iter().filter(|cell| cell.is_good()) {
        if cell.bits != Bits::Number(device as u64) {
            report.tally.phantom += 1;
            report.tally.example(|| format!("{prefix}: {cell:?} is Good, and not of this device"));
        }
    }
    let mut last: Option<(u64, i64)> = None;
    for cell in counts.iter().filter(|cell| cell.is_good()) {
        let Bits::Number(count) = cell.bits else { continue };
        if let Some((before, at)) = last {
            if count <= before {
                report.tally.phantom += 1;
                report.tally.example(|| format!("{prefix}: count {count} comes after {before}"));
            }
            // Answers whose connection was cut by the outage may be gone with it.
            let within = outages.iter().any(|outage| outage.device == device && at <= outage.to && outage.from <= cell.timestamp);
            if count > before + 1 && !within {
                report.tally.lost += count - before - 1;
                report.tally.example(|| {
                    format!("{prefix}: {} answers of the device between {at} and {} are lost", count - before - 1, cell.timestamp)
                });
            }
        }
        last = Some((count, cell.timestamp));
    }

    let own: Vec<&Outage> = outages.iter().filter(|outage| outage.device == device).collect();
    // A device that was never bad has a Good sample for every poll.
    if own.is_empty() {
        if let Some(cell) = numbers.iter().chain(counts).find(|cell| !cell.is_good()) {
            report.fail(format!("{prefix} was never bad, and has {cell:?}"));
        }
        let due = (end - begun) / SCAN.as_nanos() as i64;
        if (numbers.len() as i64) < due - 1 {
            report.fail(format!("{prefix} was never bad, and has {} samples of {due} polls", numbers.len()));
        }
    }
    for outage in own {
        came_back(channel, &prefix, numbers, outage, report).await?;
    }
    Ok(())
}

/// A device that was bad: Bad meanwhile, Good again in time, and one gap on record.
async fn came_back(channel: &Channel, prefix: &str, numbers: &[Cell], outage: &Outage, report: &mut Report) -> anyhow::Result<()> {
    let ailment = outage.ailment;
    let slack = SCAN.as_nanos() as i64 + TIMEOUT.as_nanos() as i64;
    // A device that is late may be waited for.
    if ailment != Ailment::Late {
        let mut meanwhile = numbers.iter().filter(|cell| (outage.from + slack..outage.to).contains(&cell.timestamp));
        if let Some(cell) = meanwhile.find(|cell| cell.is_good()) {
            report.fail(format!("{prefix}, bad by {ailment:?}: {cell:?} is Good"));
        }
        if numbers.iter().filter(|cell| (outage.from..outage.to + slack).contains(&cell.timestamp)).all(Cell::is_good) {
            report.fail(format!("{prefix}, bad by {ailment:?}: nothing of it is Bad"));
        }
    }
    let Some(again) = numbers.iter().find(|cell| cell.timestamp >= outage.to && cell.is_good()) else {
        report.fail(format!("{prefix}, bad by {ailment:?}: it did not come back"));
        return Ok(());
    };
    let took = Duration::from_nanos((again.timestamp - outage.to) as u64);
    report.recovery(took);
    if took > BACK_WITHIN {
        report.fail(format!("{prefix}, bad by {ailment:?}: it came back after {took:?}"));
    }
    let mut client = AdminServiceClient::new(channel.clone());
    let request = ListGapsRequest {
        tags: vec![format!("{prefix}/number")],
        start: format!("{}ns", outage.from),
        end: format!("{}ns", outage.to),
        page_size: 1_000,
        ..ListGapsRequest::default()
    };
    let gaps = client.list_gaps(request).await?.into_inner().gaps;
    let of_outage: Vec<_> = gaps.iter().filter(|gap| gap.start.is_some_and(|start| start >= outage.from - 2 * SECOND_NS)).collect();
    report.count("gaps", of_outage.len() as u64);
    // Who answers that it cannot has no gap: the Bad samples tell of it. Who is late is waited for.
    let is_absent = !matches!(ailment, Ailment::Fails | Ailment::Busy | Ailment::Late);
    if of_outage.len() != usize::from(is_absent) {
        report.fail(format!("{prefix}, bad by {ailment:?}: {} gaps are on record: {of_outage:?}", of_outage.len()));
    }
    Ok(())
}
