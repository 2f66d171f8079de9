//! The OPC UA servers of R8: sixteen. Of fourteen, eight are bad at a time, each in another way. One is bad all the time because its
//! certificate is not trusted, and one is asked for a node that it does not have, which costs its other nodes nothing.
//!
//! Of each value that a server wrote it is known when it was written. Of a server that was never bad every value is there, once, and
//! nothing else. Of one that was bad nothing is there that was not written, and what is missing is within a gap on record.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    time::Duration,
};

use historian_proto::v1::{
    DeviceStatus, Gap, GetStatusRequest, ListGapsRequest, admin_service_client::AdminServiceClient,
    collector_service_client::CollectorServiceClient,
};
use tonic::transport::Channel;

use crate::{
    field::{FieldServer, LineAilment, NODES, Spoilt, Written, delivering, now, read, value_of},
    oracle::{Bits, Cell},
    report::Report,
};

/// Servers that are bad in turn.
const IN_TURN: usize = 14;
const LACKS_NODE: usize = IN_TURN;
const UNTRUSTED: usize = IN_TURN + 1;
const SERVERS: usize = IN_TURN + 2;
/// A server that is good again delivers within so much.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Written before a server fell ill, and not sent yet.
const UNSENT_NS: i64 = 1_000_000_000;
/// A value that is written while a subscription is made may come too late for it and too early to be its first.
const SUBSCRIBED_NS: i64 = 300_000_000;
/// What was written so shortly before a gap may belong to it: it begins with the last sign of life, which may have overtaken a value.
const OVERTAKEN_NS: i64 = 500_000_000;
/// An outage that is shorter is no gap; its Bad sample tells of it.
const TOLERATED_NS: i64 = 1_500_000_000;
/// How many values a repeated one may be behind that in force.
const BEHIND_MAX: u64 = 5;
/// Connections in one outage, beyond which a server that is ill is hammered.
const CONNECTIONS_MAX: u64 = 40;
const BAD_NODE_ID_UNKNOWN: u32 = 0x8034_0000;

/// The servers, which serve until this is dropped.
pub struct FieldServers {
    servers: Vec<FieldServer>,
    pki_dir: String,
}

/// When a server was bad, nanoseconds since 1970.
pub struct ServerOutage {
    server: usize,
    ailment: LineAilment,
    from: i64,
    to: i64,
    connections_before: u64,
}

impl FieldServers {
    /// # Errors
    /// There are no ports, or no certificate can be made below `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<FieldServers> {
        let mut servers = Vec::new();
        for number in 0..SERVERS {
            servers.push(FieldServer::start(number, folder, number == UNTRUSTED).await?);
        }
        Ok(FieldServers { servers, pki_dir: folder.join("pki").display().to_string() })
    }

    /// Their part of the historian's configuration.
    pub fn configuration(&self) -> String {
        let mut text = String::new();
        for (number, server) in self.servers.iter().enumerate() {
            let security =
                if number == UNTRUSTED { format!("pki_dir = {:?}", self.pki_dir) } else { "security_policy = \"None\"".to_owned() };
            let _ = write!(
                text,
                "[[opcua]]\nname = \"s{number:02}\"\nendpoint = \"opc.tcp://{}\"\n{security}\npublishing_ms = 100\nsampling_ms = 0\n\
                 queue_size = 200\ntimeout_ms = 1000\nwatchdog_ms = 2500\nretry_ms = 1000\nreconnect_max_ms = 1000\n",
                server.line.port.address,
            );
            let missing = (number == LACKS_NODE).then(|| "nowhere".to_owned());
            for node in (0..NODES).map(|node| format!("n{node}")).chain(missing) {
                let _ = write!(
                    text,
                    "[[opcua.tag]]\nname = \"{}/{node}\"\naddress = \"nsu=urn:torture:field;s={node}\"\ntype = \"u64\"\n",
                    folder_of(number),
                );
            }
        }
        text
    }

    /// Waits until every server delivers that can.
    ///
    /// # Errors
    /// Not all do within half a minute.
    pub async fn delivering(&self, channel: &Channel) -> anyhow::Result<()> {
        for node in 0..NODES {
            delivering(channel, &format!("plant/*/n{node}"), SERVERS - 1).await?;
        }
        Ok(())
    }

    /// Spoils a good server, for mutants.
    pub fn spoil(&self, how: Spoilt) {
        self.servers[0].spoil(how);
    }

    /// Makes some servers bad, each in another way.
    pub fn fall_ill(&self, round: usize) -> Vec<ServerOutage> {
        // No multiple of the number of servers, so that each is ill in every way once.
        let ill = LineAilment::ALL.into_iter().enumerate().map(|(index, ailment)| ((round * 5 + index * 3) % IN_TURN, ailment));
        ill.map(|(server, ailment)| {
            let line = &self.servers[server].line;
            let connections_before = line.port.connections();
            let from = now();
            line.set(Some(ailment));
            ServerOutage { server, ailment, from, to: i64::MAX, connections_before }
        })
        .collect()
    }

    /// Looks at what the historian says of servers that are ill, and makes them good again.
    ///
    /// # Errors
    /// The historian does not answer.
    pub async fn recover(&self, channel: &Channel, ill: &mut [ServerOutage], report: &mut Report) -> anyhow::Result<()> {
        let devices = devices(channel).await?;
        for outage in ill {
            let line = &self.servers[outage.server].line;
            let connections = line.port.connections() - outage.connections_before;
            report.count("server_connections", connections);
            let name = format!("s{:02}, bad by {:?}", outage.server, outage.ailment);
            if connections > CONNECTIONS_MAX {
                report.fail(format!("{name}: {connections} connections"));
            }
            match devices.get(&format!("s{:02}", outage.server)) {
                None => report.fail(format!("{name}: the status does not have it")),
                // Late is not bad.
                Some(device) if outage.ailment == LineAilment::Slow => {
                    if device.state != "running" {
                        report.fail(format!("{name}: it is {} ({})", device.state, device.last_error));
                    }
                }
                Some(device) => {
                    let words = outage.ailment.words();
                    let told = words.is_empty() || words.iter().any(|word| device.last_error.contains(word));
                    if !told || device.last_error.is_empty() || device.last_error_time < outage.from {
                        report.fail(format!("{name}: its status says {:?}, state {}", device.last_error, device.state));
                    }
                }
            }
            line.set(None);
            outage.to = now();
        }
        Ok(())
    }

    /// Whether all of these have delivered a value that was written when they were good again.
    ///
    /// # Errors
    /// The historian does not answer.
    pub async fn are_back(&self, channel: &Channel, ill: &[ServerOutage]) -> anyhow::Result<bool> {
        let since = ill.iter().map(|outage| outage.to).max().unwrap_or(0);
        let found = read(channel, "plant/*/n0", since, i64::MAX).await?;
        Ok(ill.iter().all(|outage| {
            let written: BTreeSet<i64> = self.servers[outage.server].written().iter().map(|written| written.at).collect();
            let cells = found.get(&format!("{}/n0", folder_of(outage.server)));
            cells.is_some_and(|cells| cells.iter().any(|cell| cell.is_good() && written.contains(&cell.timestamp)))
        }))
    }

    /// Holds what the historian has of all servers in a range of time against what they wrote.
    ///
    /// # Errors
    /// The historian does not answer.
    pub async fn judge(
        &self,
        channel: &Channel,
        (begun, end): (i64, i64),
        outages: &[ServerOutage],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        for (number, server) in self.servers.iter().enumerate().filter(|(number, _)| *number != UNTRUSTED) {
            let own: Vec<&ServerOutage> = outages.iter().filter(|outage| outage.server == number).collect();
            let written = server.written();
            for node in 0..NODES {
                let tag = format!("{}/n{node}", folder_of(number));
                let cells = read(channel, &tag, begun, end).await?.remove(&tag).unwrap_or_default();
                let gaps = gaps_of(channel, &tag, begun, end).await?;
                Judged { tag: &tag, server: number, node, written: &written, range: (begun, end), outages: &own, gaps: &gaps }
                    .judge(&cells, report);
            }
        }
        let devices = devices(channel).await?;
        if let Some(waits) = devices.values().find(|device| device.samples_on_disk > 0) {
            report.fail(format!("{}: {} samples wait on disk, although nothing is stalled", waits.device, waits.samples_on_disk));
        }
        missing_node(channel, devices.get(&format!("s{LACKS_NODE:02}")), report).await?;
        untrusted(channel, devices.get(&format!("s{UNTRUSTED:02}")), report).await
    }
}

fn folder_of(server: usize) -> String {
    format!("plant/s{server:02}")
}

async fn devices(channel: &Channel) -> anyhow::Result<BTreeMap<String, DeviceStatus>> {
    let devices = CollectorServiceClient::new(channel.clone()).get_status(GetStatusRequest {}).await?.into_inner().devices;
    Ok(devices.into_iter().map(|device| (device.device.clone(), device)).collect())
}

async fn gaps_of(channel: &Channel, tag: &str, start: i64, end: i64) -> anyhow::Result<Vec<Gap>> {
    let request = ListGapsRequest {
        tags: vec![tag.to_owned()],
        start: format!("{start}ns"),
        end: format!("{end}ns"),
        page_size: 10_000,
        ..ListGapsRequest::default()
    };
    Ok(AdminServiceClient::new(channel.clone()).list_gaps(request).await?.into_inner().gaps)
}

/// This server makes an item of a node that it does not have, and says with its value that there is none: the tag is Bad, with the reason in
/// its sample and in the status. Its neighbours are judged as those of a good server.
async fn missing_node(channel: &Channel, device: Option<&DeviceStatus>, report: &mut Report) -> anyhow::Result<()> {
    let tag = format!("{}/nowhere", folder_of(LACKS_NODE));
    let cells = read(channel, &tag, 0, i64::MAX).await?.remove(&tag).unwrap_or_default();
    let tells = matches!(cells.last(), Some(Cell { bits: Bits::Null, quality: BAD_NODE_ID_UNKNOWN, .. }));
    if !tells || cells.iter().any(Cell::is_good) {
        report.fail(format!("{tag}, a node that does not exist: {cells:?}"));
    }
    let is_told = |device: &DeviceStatus| device.undelivered.iter().any(|told| told.tag == tag && told.reason.contains("BadNodeIdUnknown"));
    if !device.is_some_and(is_told) {
        report
            .fail(format!("{tag}, a node that does not exist: the status does not say so: {:?}", device.map(|device| &device.undelivered)));
    }
    Ok(())
}

/// A server whose certificate nobody trusts: Bad from the beginning, with what to do about it.
async fn untrusted(channel: &Channel, device: Option<&DeviceStatus>, report: &mut Report) -> anyhow::Result<()> {
    for node in 0..NODES {
        let tag = format!("{}/n{node}", folder_of(UNTRUSTED));
        let cells = read(channel, &tag, 0, i64::MAX).await?.remove(&tag).unwrap_or_default();
        if cells.len() != 1 || cells.iter().any(Cell::is_good) {
            report.fail(format!("{tag}, of a server that is not trusted: {cells:?}"));
        }
        let gaps = gaps_of(channel, &tag, 0, i64::MAX).await?;
        if !gaps.iter().any(|gap| gap.reason == "device_down" && gap.end.is_none()) {
            report.fail(format!("{tag}, of a server that is not trusted: {gaps:?}"));
        }
    }
    if !device.is_some_and(|device| device.state != "running" && device.last_error.contains("not trusted")) {
        report.fail(format!("the server that is not trusted: its status says {:?}", device.map(|device| &device.last_error)));
    }
    Ok(())
}

/// One tag, and what is known of it.
struct Judged<'a> {
    tag: &'a str,
    server: usize,
    node: u64,
    /// By the server, in order.
    written: &'a [Written],
    /// What is judged.
    range: (i64, i64),
    /// Of the server.
    outages: &'a [&'a ServerOutage],
    gaps: &'a [Gap],
}

impl Judged<'_> {
    fn judge(&self, cells: &[Cell], report: &mut Report) {
        let tag = self.tag;
        report.tally.acked += cells.len() as u64;
        if let Some([before, after]) = cells.array_windows().find(|[before, after]| before.timestamp >= after.timestamp) {
            report.tally.dup += 1;
            report.tally.example(|| format!("{tag}: {before:?} comes before {after:?}"));
        }
        let ill: Vec<(i64, i64)> = self.outages.iter().map(|outage| (outage.from - UNSENT_NS, self.back(cells, outage, report))).collect();
        let is_ill = |at: i64| ill.iter().any(|(from, to)| (*from..=*to).contains(&at));
        let mut seen = BTreeSet::new();
        for cell in cells {
            if self.is_written(cell) {
                seen.insert(cell.timestamp);
            } else if !cell.is_good() {
                if !is_ill(cell.timestamp) {
                    report.fail(format!("{tag} was not bad then, and has {cell:?}"));
                }
            } else if is_ill(cell.timestamp) && self.is_in_force(cell) {
                report.count("repeated", 1);
            } else {
                report.tally.phantom += 1;
                report.tally.example(|| format!("{tag}: {cell:?} was not written"));
            }
        }
        let (begun, end) = self.range;
        let due = self.written.iter().filter(|written| (begun..end).contains(&written.at));
        for missing in due.filter(|written| !seen.contains(&written.at)) {
            let is_told = is_ill(missing.at) && self.is_told(cells, missing.at);
            if is_told {
                report.count("missing_on_record", 1);
            } else {
                report.tally.lost += 1;
                report.tally.example(|| format!("{tag}: {missing:?} is lost; gaps {:?}", self.gaps));
            }
        }
        for gap in self.gaps {
            let (from, to) = (gap.start.unwrap_or(i64::MIN), gap.end.unwrap_or(i64::MAX));
            if gap.reason.is_empty() || !ill.iter().any(|(ill_from, ill_to)| from <= *ill_to && to >= *ill_from) {
                report.fail(format!("{tag}: a gap without a reason, or without an outage: {gap:?}"));
            }
        }
        report.count("server_gaps", self.gaps.len() as u64);
    }

    /// Until when values may be missing: shortly behind the first that was written when the server was good again, and came. Reports how
    /// long that took.
    fn back(&self, cells: &[Cell], outage: &ServerOutage, report: &mut Report) -> i64 {
        let again = cells.iter().find(|cell| cell.timestamp >= outage.to && self.is_written(cell));
        let Some(again) = again else {
            report.fail(format!("{}, bad by {:?}: it did not come back", self.tag, outage.ailment));
            return i64::MAX;
        };
        let took = Duration::from_nanos((again.timestamp - outage.to) as u64);
        report.recovery(took);
        if took > BACK_WITHIN {
            report.fail(format!("{}, bad by {:?}: it came back after {took:?}", self.tag, outage.ailment));
        }
        // Late is all that it was: nothing of it may be missing.
        if outage.ailment == LineAilment::Slow { i64::MIN } else { again.timestamp + SUBSCRIBED_NS }
    }

    fn is_written(&self, cell: &Cell) -> bool {
        let found = self.written.binary_search_by_key(&cell.timestamp, |written| written.at);
        cell.is_good() && found.is_ok_and(|place| cell.bits == self.bits(self.written[place].count))
    }

    /// Whether a value that the collector wrote once more around an outage is that of its time.
    fn is_in_force(&self, cell: &Cell) -> bool {
        let before = self.written.partition_point(|written| written.at <= cell.timestamp);
        let Some(last) = before.checked_sub(1).map(|place| self.written[place].count) else { return false };
        (last.saturating_sub(BEHIND_MAX)..=last).any(|count| cell.bits == self.bits(count))
    }

    fn bits(&self, count: u64) -> Bits {
        Bits::Number(value_of(self.server, self.node, count))
    }

    /// Whether a missing value is within a gap on record, or an outage was so short that its Bad sample says all.
    fn is_told(&self, cells: &[Cell], at: i64) -> bool {
        let within = |gap: &Gap| gap.start.is_none_or(|start| start - OVERTAKEN_NS <= at) && gap.end.is_none_or(|end| at <= end);
        let is_near = |cell: &Cell| !cell.is_good() && (cell.timestamp - at).abs() <= TOLERATED_NS;
        self.gaps.iter().any(within) || cells.iter().any(is_near)
    }
}
