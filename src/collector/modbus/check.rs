//! `historian check`: connects once, reads every tag once along the plan, and tells for each what came of it.

use std::{sync::Arc, time::Duration};

use super::{
    calculated::{CalculatedTag, InputState},
    device::ModbusCollector,
    doubt,
    group::ScanGroup,
    link::Attempts,
    outcome::{Exception, Failure, exception_text},
    plan::{Block, RegisterSpan},
    read::{Interrupted, Learning, Outcome, Outcomes, UnitPoll},
    tag::ModbusTag,
};
use historian_collector::{CheckRow, DeviceStatus, PlannedRead, Readings};
use historian_model::{Clock, Quality, SystemClock, Timestamp};

/// Note of a row whose tag is none of the catalog, and of one without a value that is not missed.
const NOT_STORED: &str = "not stored, formulas take it";
const NOT_MISSED: &str = "not stored, and their defaults count in the formulas that take it";

/// Reads every tag once; tags that `limit` did not leave time for say so. What is not stored stands behind the others.
pub async fn check(collector: &ModbusCollector, limit: Duration) -> Vec<CheckRow> {
    let unread = |tag: &ModbusTag| CheckRow {
        tag: tag.definition.name.to_string(),
        address: tag.definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
        value: None,
        quality: Quality::BAD_TIMEOUT,
        latency: None,
        error: format!("not read within the {limit:?} that the check may take"),
        note: String::new(),
        readings: Readings::default(),
        excused: false,
    };
    let mut rows = CheckedRows { tags: &collector.tags, rows: collector.tags.iter().map(unread).collect() };
    // What is left unread keeps the row made above.
    let _ = tokio::time::timeout(limit, read_all(collector, &mut rows)).await;
    let mut rows = rows.rows;
    for tag in &collector.calculated {
        rows.push(calculated(tag, &rows));
    }
    // Where all that is calculated from a tag has a result, a tag that the device has no value for is one with a default.
    let (read, of_formulas) = rows.split_at(collector.tags.len());
    let is_missed = |number: usize| {
        let mut takers = collector.calculated.iter().zip(of_formulas).filter(|(tag, _)| tag.takes(number));
        takers.any(|(_, row)| !row.error.is_empty())
    };
    let is_excused = |(number, row): (usize, &CheckRow)| row.quality == Quality::BAD_NO_DATA && !is_missed(number);
    let excused: Vec<bool> = read.iter().enumerate().map(is_excused).collect();
    let (mut stored, mut inputs) = (Vec::with_capacity(rows.len()), Vec::new());
    for ((row, item), excused) in rows.into_iter().zip(collector.items()).zip(excused.into_iter().chain(std::iter::repeat(false))) {
        if item.stored {
            stored.push(row);
        } else if excused {
            let note = format!("{NOT_MISSED}: {}", row.error);
            inputs.push(CheckRow { note, error: String::new(), excused, ..row });
        } else {
            inputs.push(CheckRow { note: NOT_STORED.to_owned(), ..row });
        }
    }
    stored.append(&mut inputs);
    stored
}

/// Row of a tag that is calculated from tags whose rows are there.
fn calculated(tag: &CalculatedTag, rows: &[CheckRow]) -> CheckRow {
    let state = |input: usize| InputState { quality: rows[input].quality, value: rows[input].value.as_ref(), at: Timestamp(0) };
    let (value, quality, error) = match tag.calculate(state) {
        Ok(result) => (Some(result.value), result.quality, String::new()),
        Err(none) => (None, none.quality, none.reason),
    };
    CheckRow {
        tag: tag.definition.name.to_string(),
        address: tag.address().to_owned(),
        value,
        quality,
        latency: None,
        error,
        note: String::new(),
        readings: Readings::default(),
        excused: false,
    }
}

/// The requests of one round, before anything is learned of the device.
pub fn planned_reads(collector: &ModbusCollector) -> Vec<PlannedRead> {
    let (classes, units) = collector.plan();
    let mut planned = Vec::new();
    for mut group in units.into_values().flatten() {
        for block in group.start() {
            planned.push(PlannedRead {
                addresses: collector.notation(group.unit, group.area, block.start, block.count),
                count: block.count,
                of: if group.area.is_bits() { "bits" } else { "registers" },
                tags: block.items.len(),
                period: classes[group.class].period,
            });
        }
    }
    planned
}

struct CheckedRows<'a> {
    tags: &'a [ModbusTag],
    rows: Vec<CheckRow>,
}

impl Outcomes for CheckedRows<'_> {
    fn registers(&mut self, item: &RegisterSpan, words: &[u16]) {
        self.rows[item.tag].readings = doubt::readings(&self.tags[item.tag], words);
    }

    fn item(&mut self, item: &RegisterSpan, outcome: Outcome, _at: Timestamp, latency: Duration) {
        let row = &mut self.rows[item.tag];
        row.latency = Some(latency);
        match outcome {
            Outcome::Good(value) => {
                row.value = Some(value);
                row.quality = Quality::GOOD;
                row.error.clear();
            }
            Outcome::Missing(missing) => {
                row.quality = missing.quality();
                row.error = missing.to_string();
            }
            Outcome::Trouble(trouble) => {
                row.quality = trouble.quality();
                row.error = trouble.to_string();
            }
        }
    }

    fn note(&mut self, text: String) {
        tracing::warn!("{text}");
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

async fn read_all(collector: &ModbusCollector, rows: &mut CheckedRows<'_>) {
    let status = Arc::new(DeviceStatus::new(&collector.name, "modbus", &collector.endpoint.address));
    let mut link = collector.link(status, Arc::new(SystemClock));
    let learning = Learning { halvings_max: usize::MAX, reprobe: collector.reprobe, attempts: Attempts::Two, is_repeated: false };
    let notation = |group: &ScanGroup, block: &Block| collector.notation(group.unit, group.area, block.start, block.count);
    let (_, units) = collector.plan();
    let mut unreachable = None;
    for (number, mut groups) in units {
        let failed = if unreachable.is_some() {
            unreachable.clone()
        } else {
            let reading = UnitPoll::new(&mut link, &collector.tags, learning, rows, &notation);
            match reading.read(&mut groups.iter_mut().collect::<Vec<_>>()).await {
                Ok(()) => None,
                Err(Interrupted::Unreachable(code)) => {
                    Some((Exception::of(code).quality(), format!("unit {number}: {}", exception_text(code))))
                }
                Err(Interrupted::Failed(failure)) => {
                    let told = (failure.quality(), failure.to_string());
                    // An endpoint that cannot be reached is not tried again for each further unit.
                    if matches!(failure, Failure::Connect { .. }) {
                        unreachable = Some(told.clone());
                    }
                    Some(told)
                }
            }
        };
        if let Some((quality, error)) = failed {
            for item in groups.iter().flat_map(ScanGroup::items) {
                let row = &mut rows.rows[item.tag];
                if row.latency.is_none() {
                    row.quality = quality;
                    row.error.clone_from(&error);
                }
            }
        }
    }
}
