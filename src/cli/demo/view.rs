//! What the demo shows, all of it asked through the public API: current values, delivery truth of the devices, and the extent of the history.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use arrow_flight::{FlightClient, FlightDescriptor};
use historian_proto::v1::{
    CurrentValuesRequest, DeviceStatus, GetStatusRequest, ListTagsRequest, RangeRequest, Tag, TagSamples, UpdateTagRequest,
    collector_service_client::CollectorServiceClient, query_service_client::QueryServiceClient, tag_service_client::TagServiceClient,
    values::Column,
};

use super::super::client::{self, ServerChannel};
use historian_model::{Clock, Quality, SystemClock, Timestamp};
use historian_simulator::SIGNALS;

/// Selects every tag of the demo.
const TAGS: &str = "demo/**";
const REDRAW_EVERY: Duration = Duration::from_secs(1);
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long the first report waits for all tags to deliver.
const FIRST_REPORT_WITHIN: Duration = Duration::from_secs(5);
/// Seconds that a page of a table stays when the terminal is too low for all of it.
const PAGE_S: u64 = 5;

/// Clients of the API, and the catalog of the demo's tags.
pub struct DemoView {
    tags: TagServiceClient<ServerChannel>,
    query: QueryServiceClient<ServerChannel>,
    collectors: CollectorServiceClient<ServerChannel>,
    channel: ServerChannel,
    catalog: BTreeMap<String, Tag>,
    /// Just before the plant of this run started: what is older was collected by an earlier run.
    begun: Timestamp,
}

/// One line of the table.
struct DemoRow {
    tag: String,
    value: String,
    unit: String,
    quality: Quality,
    at: Timestamp,
}

impl DemoView {
    pub async fn open(channel: ServerChannel, begun: Timestamp) -> anyhow::Result<DemoView> {
        let mut tags = TagServiceClient::new(channel.clone());
        let request = ListTagsRequest { tags: vec![TAGS.into()], page_size: 1000, ..ListTagsRequest::default() };
        let listed = tags.list_tags(request).await.map_err(|status| client::refusal(&status))?.into_inner().tags;
        Ok(DemoView {
            tags,
            query: QueryServiceClient::new(channel.clone()),
            collectors: CollectorServiceClient::new(channel.clone()),
            channel,
            catalog: listed.into_iter().map(|tag| (tag.name.clone(), tag)).collect(),
            begun,
        })
    }

    /// Samples of earlier runs (as the server estimates them) and the time of the first; none when there was no earlier run.
    pub async fn history(&self) -> anyhow::Result<Option<(u64, Timestamp)>> {
        let mut first: Option<Timestamp> = None;
        // The first samples of a few tags tell as well as those of all when the first run was.
        let range = RangeRequest {
            tags: vec!["demo/intake/pump101/*".into(), "demo/plant/*".into()],
            start: "0".into(),
            end: self.begun.to_string(),
            limit: 1,
            ..RangeRequest::default()
        };
        let mut answers = self.query.clone().range(range).await.map_err(|status| client::refusal(&status))?.into_inner();
        while let Some(answer) = answers.message().await.map_err(|status| client::refusal(&status))? {
            let earliest = answer.samples.and_then(|samples| samples.timestamps.first().copied()).map(Timestamp);
            first = [first, earliest].into_iter().flatten().min();
        }
        let Some(first) = first else { return Ok(None) };
        let command = serde_json::json!({"range": {"tags": [TAGS], "start": "0", "end": self.begun.to_string()}});
        let mut flight = FlightClient::new(self.channel.clone());
        let info = flight.get_flight_info(FlightDescriptor::new_cmd(command.to_string())).await.map_err(client::flight_refusal)?;
        Ok(Some((u64::try_from(info.total_records).unwrap_or(0), first)))
    }

    /// Gives the state tags the names of their states, which the configuration of a collector does not carry.
    pub async fn name_states(&mut self) -> anyhow::Result<()> {
        for signal in SIGNALS.iter().filter(|signal| !signal.state_set.is_empty()) {
            let Some(tag) = self.catalog.get_mut(signal.tag) else { continue };
            tag.state_set = signal.state_set.iter().map(ToString::to_string).collect();
            // Without a mask everything that can be changed is set, to what the catalog says already.
            let request = UpdateTagRequest { tag: Some(tag.clone()), update_mask: None, ..UpdateTagRequest::default() };
            self.tags.update_tag(request).await.map_err(|status| client::refusal(&status))?;
        }
        Ok(())
    }

    /// Draws the table again and again in the same place.
    pub async fn redraw_until(&mut self, ends: impl Future<Output = ()>) -> anyhow::Result<u64> {
        tokio::pin!(ends);
        let mut ticks = tokio::time::interval(REDRAW_EVERY);
        let (mut lines_before, mut turn) = (0, 0);
        loop {
            tokio::select! { () = &mut ends => break, _ = ticks.tick() => {} }
            let (rows, devices) = (self.rows().await?, self.devices().await?);
            let size = rustix::termios::tcgetwinsize(io::stdout());
            let (width, height) = size.map_or((80, 24), |size| (usize::from(size.ws_col).max(20), usize::from(size.ws_row).max(8)));
            let lines = table(&rows, &devices, SystemClock.now(), height.saturating_sub(2), turn / PAGE_S);
            let mut text = String::new();
            if lines_before > 0 {
                // ECMA-48: to the start of the line so many lines up.
                text += &format!("\x1b[{lines_before}F");
            }
            text += "\x1b[J";
            for line in &lines {
                // A line that wrapped would break the count of lines to go back.
                text.extend(line.chars().take(width - 1).chain(['\n']));
            }
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
            lines_before = lines.len();
            turn += 1;
        }
        self.samples().await
    }

    /// Writes the table once, when all tags deliver, and then a line now and then.
    pub async fn report_until(&mut self, ends: impl Future<Output = ()>) -> anyhow::Result<u64> {
        tokio::pin!(ends);
        let waited = async {
            let deadline = tokio::time::Instant::now() + FIRST_REPORT_WITHIN;
            loop {
                let (rows, devices) = (self.rows().await?, self.devices().await?);
                let delivering: u64 = devices.iter().map(|device| device.items_delivering).sum();
                if delivering >= self.catalog.len() as u64 || tokio::time::Instant::now() >= deadline {
                    return anyhow::Ok((rows, devices));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let first = tokio::select! { () = &mut ends => None, first = waited => Some(first?) };
        if let Some((rows, devices)) = first {
            print(&table(&rows, &devices, SystemClock.now(), usize::MAX, 0))?;
            let mut ticks = tokio::time::interval(REPORT_EVERY);
            ticks.tick().await;
            loop {
                tokio::select! { () = &mut ends => break, _ = ticks.tick() => {} }
                let (rows, devices) = (self.rows().await?, self.devices().await?);
                let good = rows.iter().filter(|row| row.quality.is_good()).count();
                print(&[format!(
                    "{} {good} of {} tags Good; {}",
                    SystemClock.now(),
                    self.catalog.len(),
                    devices.iter().map(summary).collect::<Vec<_>>().join("; ")
                )])?;
            }
        }
        self.samples().await
    }

    async fn rows(&self) -> anyhow::Result<Vec<DemoRow>> {
        let request = CurrentValuesRequest { tags: vec![TAGS.into()], ..CurrentValuesRequest::default() };
        let answer = self.query.clone().current_values(request).await.map_err(|status| client::refusal(&status))?.into_inner();
        let mut rows: Vec<DemoRow> = answer.samples.iter().map(|samples| self.row(samples)).collect();
        // What needs a look is not on the last page.
        rows.sort_by_key(|row| std::cmp::Reverse((row.quality.is_bad(), !row.quality.is_good())));
        Ok(rows)
    }

    fn row(&self, samples: &TagSamples) -> DemoRow {
        let tag = self.catalog.get(&samples.tag);
        let value = if samples.nulls.is_empty() { text_of(samples, tag) } else { None };
        DemoRow {
            tag: samples.tag.clone(),
            value: value.unwrap_or_else(|| "-".into()),
            unit: tag.map(|tag| tag.unit.clone()).unwrap_or_default(),
            quality: Quality(samples.qualities.first().copied().unwrap_or(0)),
            at: Timestamp(samples.timestamps.first().copied().unwrap_or_default()),
        }
    }

    async fn devices(&self) -> anyhow::Result<Vec<DeviceStatus>> {
        let answer = self.collectors.clone().get_status(GetStatusRequest {}).await.map_err(|status| client::refusal(&status))?;
        Ok(answer.into_inner().devices)
    }

    async fn samples(&self) -> anyhow::Result<u64> {
        let devices = self.devices().await.context("the server went away")?;
        Ok(devices.iter().map(|device| device.samples).sum())
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// The table with at most `height` lines; where that is too few for all rows, one page of them.
fn table(rows: &[DemoRow], devices: &[DeviceStatus], now: Timestamp, height: usize, turn: u64) -> Vec<String> {
    let widest = |of: fn(&DemoRow) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let (tag, value) = (widest(|row| row.tag.chars().count(), 3), widest(|row| row.value.chars().count(), 12));
    let unit = widest(|row| row.unit.chars().count(), 4);
    let per_page = height.saturating_sub(2 + devices.len()).max(5).min(rows.len().max(1));
    let pages = rows.len().div_ceil(per_page).max(1);
    let page = usize::try_from(turn).unwrap_or(0) % pages;
    let paged = if pages > 1 { format!(" (page {} of {pages})", page + 1) } else { String::new() };
    let mut lines = vec![format!("{:tag$}  {:>value$}  {:unit$}  {:26}  {:>7}", "tag", "value", "unit", "quality", "age")];
    lines.extend(rows.iter().skip(page * per_page).take(per_page).map(|row| {
        let age_s = (now.0 - row.at.0).max(0) as f64 / 1e9;
        let (name, shown) = (&row.tag, &row.value);
        format!("{name:tag$}  {shown:>value$}  {:unit$}  {:26}  {age_s:>6.1}s", row.unit, row.quality.to_string())
    }));
    let good = rows.iter().filter(|row| row.quality.is_good()).count();
    lines.push(format!("{} {good} of {} tags Good{paged}", to_second(now), rows.len()));
    lines.extend(devices.iter().map(summary));
    lines
}

/// Without the part of a second.
pub fn to_second(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0.rem_euclid(1_000_000_000))
}

fn summary(device: &DeviceStatus) -> String {
    let DeviceStatus { device: name, state, items_delivering, items_wanted, samples, .. } = device;
    format!("{name} {state}, {items_delivering} of {items_wanted} tags deliver, {} samples", thousands(*samples))
}

/// First value of the samples as text; none when there is none.
fn text_of(samples: &TagSamples, tag: Option<&Tag>) -> Option<String> {
    Some(match samples.values.as_ref()?.column.as_ref()? {
        Column::F64(column) => decimal(*column.values.first()?),
        Column::F32(column) => decimal(f64::from(*column.values.first()?)),
        Column::I64(column) => column.values.first()?.to_string(),
        Column::U64(column) => column.values.first()?.to_string(),
        Column::Bool(column) => if *column.values.first()? { "true" } else { "false" }.to_owned(),
        Column::String(column) => super::super::output::printable(column.values.first()?),
        Column::State(column) => {
            let number = *column.values.first()?;
            let name = tag.and_then(|tag| tag.state_set.get(usize::try_from(number).ok()?));
            name.map_or_else(|| number.to_string(), Clone::clone)
        }
    })
}

/// Three decimals are what the eye can follow; the history keeps all.
fn decimal(value: f64) -> String {
    let text = format!("{value:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: usize) -> DemoRow {
        DemoRow { tag: format!("demo/t{index}"), value: decimal(1.5), unit: "bar".into(), quality: Quality::GOOD, at: Timestamp(0) }
    }

    #[test]
    fn a_low_terminal_gets_pages_that_cover_every_tag() {
        let rows: Vec<DemoRow> = (0..60).map(row).collect();
        let all = table(&rows, &[], Timestamp(2_500_000_000), usize::MAX, 0);
        assert_eq!(all.len(), 62);
        assert!(all[1].contains("1.5  bar") && all[1].ends_with("2.5s"), "{}", all[1]);
        let mut seen = std::collections::BTreeSet::new();
        for turn in 0..10 {
            let devices = [DeviceStatus::default(), DeviceStatus::default()];
            let page = table(&rows, &devices, Timestamp(0), 22, turn);
            assert!(page.len() <= 22, "{}", page.len());
            seen.extend(page[1..page.len() - 3].iter().map(|line| line.split_whitespace().next().unwrap().to_owned()));
        }
        assert_eq!(seen.len(), 60);
        assert_eq!(table(&[], &[], Timestamp(0), 22, 3).len(), 2);
    }

    #[test]
    fn numbers_are_short_and_readable() {
        for (value, text) in [(1.0, "1"), (0.12345, "0.123"), (-0.5, "-0.5"), (100.0, "100"), (f64::NAN, "NaN")] {
            assert_eq!(decimal(value), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
