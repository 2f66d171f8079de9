//! What `historian check` found of one device, in lines and tables for people and as objects: its tags, the values in doubt with every
//! reading side by side, and the requests that are planned.

use std::{fmt, io::Write};

use historian_collector::{CheckRow, Collector, OtherReading, PlannedRead, commissioning::brief};
use historian_model::{TagDefinition, Value, ValueType};
use serde_json::json;

use crate::output::{self, OutputFile, TableCell, TableColumn, TextTable, Tone};

/// Planned requests that a line names.
const NAMED_MAX: usize = 8;

/// The requests of a device.
pub struct DevicePlan {
    protocol: &'static str,
    device: String,
    reads: Vec<PlannedRead>,
}

impl DevicePlan {
    pub fn of(collector: &dyn Collector) -> DevicePlan {
        DevicePlan { protocol: collector.protocol(), device: collector.device().to_owned(), reads: collector.planned_reads() }
    }

    /// A line of what is planned, if anything is.
    pub fn told(&self) -> Option<String> {
        let first = self.reads.first()?;
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for read in &self.reads {
            match counts.iter_mut().find(|(of, _)| *of == read.of) {
                Some((_, count)) => *count += usize::from(read.count),
                None => counts.push((read.of, usize::from(read.count))),
            }
        }
        let counts: Vec<String> = counts.into_iter().map(|(of, count)| format!("{count} {of}")).collect();
        let one_period = self.reads.iter().all(|read| read.period == first.period);
        let named = self.reads.iter().take(NAMED_MAX).map(|read| {
            let every = if one_period { String::new() } else { format!(" every {:?}", read.period) };
            format!("{} ({}{every})", read.addresses, tags(read.tags))
        });
        let every = if one_period { format!(" every {:?}", first.period) } else { String::new() };
        let more = self.reads.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let requests = if self.reads.len() == 1 { "1 request".to_owned() } else { format!("{} requests", self.reads.len()) };
        Some(output::printable(&format!(
            "{} {} planned: {requests} for {}{every}: {}{more}",
            self.protocol,
            self.device,
            counts.join(" and "),
            named.collect::<Vec<_>>().join(", "),
        )))
    }

    /// The plan, with what is to be said of the device.
    pub fn as_json(&self, advice: &[String]) -> serde_json::Value {
        let reads: Vec<_> = self
            .reads
            .iter()
            .map(|read| {
                json!({
                    "addresses": read.addresses, "count": read.count, "of": read.of, "tags": read.tags,
                    "period_ms": read.period.as_secs_f64() * 1e3,
                })
            })
            .collect();
        json!({ "device": self.device, "protocol": self.protocol, "planned": reads, "advice": advice })
    }
}

/// A device that was read once.
pub struct CheckedDevice {
    pub plan: DevicePlan,
    pub rows: Vec<(TagDefinition, CheckRow)>,
    pub advice: Vec<String>,
}

impl CheckedDevice {
    /// Writes its tags and its plan for people; of the tags only those that are not good where `bad` says so.
    pub fn write_table(&self, bad: bool, output: &mut OutputFile) -> anyhow::Result<()> {
        let mut table = TextTable::new([
            TableColumn::name("TAG"),
            TableColumn::text("ADDRESS").spare(2),
            TableColumn::whole("VALUE"),
            TableColumn::whole("UNIT").spare(4),
            TableColumn::words("QUALITY"),
            TableColumn::whole("LATENCY").spare(3),
            TableColumn::sentence("ERROR"),
        ]);
        for (definition, row) in self.shown(bad) {
            table.add_row(cells(definition, row));
        }
        let mut tally = CheckTally::default();
        tally.add(self);
        let doubtful = if tally.doubtful > 0 { format!(", {} in doubt", tally.doubtful) } else { String::new() };
        let title = format!("{} {}: {} of {} tags good{doubtful}", self.plan.protocol, self.plan.device, tally.good, self.rows.len());
        writeln!(output, "\n{}", output::printable(&title))?;
        if !table.is_empty() {
            table.write(output)?;
        }
        self.write_doubts(output)?;
        for line in self.plan.told().into_iter().chain(self.advice.iter().map(|line| output::printable(line))) {
            writeln!(output, "{line}")?;
        }
        Ok(())
    }

    /// The readings of the values in doubt, side by side.
    fn write_doubts(&self, output: &mut OutputFile) -> anyhow::Result<()> {
        let doubtful = || self.rows.iter().filter(|(_, row)| row.readings.is_doubtful());
        let Some((_, first)) = doubtful().next() else { return Ok(()) };
        let settings = first.readings.all.iter().map(|reading| TableColumn::whole(reading.setting));
        let mut table = TextTable::new([TableColumn::name("IN DOUBT"), TableColumn::whole("UNIT").spare(1)].into_iter().chain(settings));
        for (definition, row) in doubtful() {
            let better: Vec<&str> = row.readings.better().map(|reading| reading.setting).collect();
            let cell = |reading: &OtherReading| {
                let value = reading.value.as_ref().map_or_else(|| "-".to_owned(), brief);
                if better.contains(&reading.setting) {
                    TableCell::number(format!("*{value}"))
                } else {
                    TableCell::number(value).toned(if reading.setting == row.readings.configured { Tone::Doubtful } else { Tone::Plain })
                }
            };
            table
                .add_row([TableCell::new(&row.tag), TableCell::new(&definition.unit)].into_iter().chain(row.readings.all.iter().map(cell)));
        }
        table.write(output)?;
        Ok(())
    }

    /// Writes an object for each tag, and one for the device.
    pub fn write_json(&self, bad: bool, output: &mut OutputFile) -> anyhow::Result<()> {
        for (definition, row) in self.shown(bad) {
            writeln!(output, "{}", self.as_json(definition, row))?;
        }
        writeln!(output, "{}", self.plan.as_json(&self.advice))?;
        Ok(())
    }

    fn shown(&self, bad: bool) -> impl Iterator<Item = &(TagDefinition, CheckRow)> {
        self.rows.iter().filter(move |(_, row)| !bad || !row.is_good() || row.readings.is_doubtful())
    }

    /// A tag as an object; its value as the table has it.
    fn as_json(&self, definition: &TagDefinition, row: &CheckRow) -> serde_json::Value {
        let reading = |reading: &OtherReading| {
            let value = reading.value.as_ref().map(brief);
            json!({ "setting": reading.setting, "value": value, "plausible": reading.plausible })
        };
        json!({
            "device": self.plan.device, "protocol": self.plan.protocol, "tag": row.tag, "address": row.address, "good": row.is_good(),
            "value": row.value.as_ref().map(|value| shown(value, definition)), "unit": definition.unit, "quality": row.quality.0,
            "latency_ms": row.latency.map(|latency| latency.as_secs_f64() * 1e3), "error": row.error, "note": row.note,
            "doubt": row.readings.told(), "readings": row.readings.all.iter().map(reading).collect::<Vec<_>>(),
        })
    }
}

/// How many tags are how.
#[derive(Clone, Copy, Default)]
pub struct CheckTally {
    good: usize,
    /// Read well, but another reading of the same data is likelier.
    doubtful: usize,
    bad: usize,
}

impl CheckTally {
    pub fn add(&mut self, device: &CheckedDevice) {
        for (_, row) in &device.rows {
            match (row.is_good(), row.readings.is_doubtful()) {
                (true, false) => self.good += 1,
                (true, true) => self.doubtful += 1,
                (false, _) => self.bad += 1,
            }
        }
    }

    pub fn is_all_good(self) -> bool {
        self.bad == 0 && self.doubtful == 0
    }
}

impl fmt::Display for CheckTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tags good, ", self.good)?;
        if self.doubtful > 0 {
            write!(f, "{} in doubt, ", self.doubtful)?;
        }
        write!(f, "{} bad", self.bad)
    }
}

fn tags(count: usize) -> String {
    if count == 1 { "1 tag".to_owned() } else { format!("{count} tags") }
}

/// What went wrong, what is in doubt, what to know.
fn remark(row: &CheckRow) -> String {
    let note = if row.note.is_empty() { String::new() } else { format!("note: {}", row.note) };
    let parts = [row.error.clone(), row.readings.told(), note];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
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
        Value::String(text) => output::printable(text),
        Value::State(state) => match definition.state_set.get(*state as usize) {
            Some(name) => format!("{state} ({})", output::printable(name)),
            None => state.to_string(),
        },
        value => brief(value),
    }
}
