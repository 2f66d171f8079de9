//! `historian check`: connects once, reads every tag once along the plan, and tells for each what came of it.

use std::{sync::Arc, time::Duration};

use super::{
    ModbusCollector,
    outcome::{Exception, exception_text},
    plan::Item,
    read::{self, Interrupted, Learning, Outcome, Outcomes},
};
use crate::{
    collector::{CheckRow, DeviceStatus},
    model::{Quality, SystemClock, Timestamp},
};

/// Reads every tag once; tags that `limit` did not leave time for say so.
pub async fn check(collector: &ModbusCollector, limit: Duration) -> Vec<CheckRow> {
    let unread = |tag: &super::ModbusTag| CheckRow {
        tag: tag.definition.name.to_string(),
        address: tag.definition.source.as_ref().map(|source| source.address.clone()).unwrap_or_default(),
        value: None,
        quality: Quality::BAD_TIMEOUT,
        latency: None,
        error: format!("not read within the {limit:?} that the check may take"),
    };
    let mut rows = Rows(collector.tags.iter().map(unread).collect());
    // What is left unread keeps the row made above.
    let _ = tokio::time::timeout(limit, read_all(collector, &mut rows)).await;
    rows.0
}

struct Rows(Vec<CheckRow>);

impl Outcomes for Rows {
    fn item(&mut self, item: &Item, outcome: Outcome, _at: Timestamp, latency: Duration) {
        let row = &mut self.0[item.tag];
        row.latency = Some(latency);
        match outcome {
            Outcome::Good(value) => {
                row.value = Some(value);
                row.quality = Quality::GOOD;
                row.error.clear();
            }
            Outcome::Exception(code) => {
                row.quality = Exception::of(code).quality();
                row.error = exception_text(code);
            }
        }
    }
}

async fn read_all(collector: &ModbusCollector, rows: &mut Rows) {
    let status = Arc::new(DeviceStatus::new(&collector.name, "modbus", &collector.endpoint));
    let mut link = collector.link(status, Arc::new(SystemClock));
    let learning = Learning { halvings_max: usize::MAX, reprobe: collector.reprobe };
    let (_, units) = collector.plan();
    let mut unreachable = None;
    for (number, mut groups) in units {
        let mut failed = unreachable.clone();
        for group in &mut groups {
            if failed.is_none() {
                failed = match read::read(group, &mut link, &collector.tags, learning, rows).await {
                    Ok(()) => continue,
                    Err(Interrupted::Unreachable(code)) => {
                        Some((Exception::of(code).quality(), format!("unit {number}: {}", exception_text(code))))
                    }
                    Err(Interrupted::Failed(failure)) => {
                        let told = (failure.quality(), failure.to_string());
                        // An endpoint that cannot be reached is not tried again for each further unit.
                        if matches!(failure, super::outcome::Failure::Connect { .. }) {
                            unreachable = Some(told.clone());
                        }
                        Some(told)
                    }
                };
            }
            if let Some((quality, error)) = &failed {
                for row in group.items().iter().map(|item| item.tag) {
                    let row = &mut rows.0[row];
                    if row.latency.is_none() {
                        row.quality = *quality;
                        row.error.clone_from(error);
                    }
                }
            }
        }
    }
}
