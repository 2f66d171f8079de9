//! Reading every tag of a device once, for `historian check`.

use std::time::{Duration, Instant};

use opcua::types::StatusCode;

use super::{
    Device,
    connection::{Connection, Fault},
    convert::Reading,
    read,
};
use crate::{
    collector::CheckRow,
    model::{Quality, SystemClock},
};

/// A row per tag in the order of the tags. Ends within about `timeout`.
pub(super) async fn run(device: &Device, timeout: Duration) -> Vec<CheckRow> {
    let mut rows: Vec<CheckRow> = device
        .items
        .iter()
        .map(|item| CheckRow {
            tag: item.definition.name.to_string(),
            address: item.address_text.clone(),
            value: None,
            quality: Quality::BAD_NOT_CONNECTED,
            latency: None,
            error: String::new(),
        })
        .collect();
    let mut asked = vec![false; rows.len()];
    let ended = tokio::time::timeout(timeout, fill(device, &mut rows, &mut asked)).await;
    let error = match ended {
        Ok(Ok(())) => return rows,
        Ok(Err(fault)) => fault.message,
        Err(_) => format!("no answer within {} ms", timeout.as_millis()),
    };
    for (row, _) in rows.iter_mut().zip(&asked).filter(|(_, asked)| !**asked) {
        row.error.clone_from(&error);
    }
    rows
}

async fn fill(device: &Device, rows: &mut [CheckRow], asked: &mut [bool]) -> Result<(), Fault> {
    let mut connection = Connection::open(device, &SystemClock).await?;
    let session = connection.session.clone();
    let work = async {
        let facts = read::facts(&session, device.timeout).await?;
        let mut nodes = Vec::new();
        let mut indexes = Vec::new();
        for (index, item) in device.items.iter().enumerate() {
            if let Some(node) = item.address.resolve(&facts.namespaces) {
                nodes.push(node);
                indexes.push(index);
            } else {
                rows[index].quality = Quality::BAD_NODE_ID_UNKNOWN;
                rows[index].error = format!("the server has no namespace {}", item.address.namespace_uri());
                asked[index] = true;
            }
        }
        for (nodes, indexes) in nodes.chunks(facts.nodes_per_read).zip(indexes.chunks(facts.nodes_per_read)) {
            let started = Instant::now();
            let values = read::values(&session, nodes, nodes.len(), device.timeout).await?;
            let latency = started.elapsed();
            for (value, index) in values.into_iter().zip(indexes) {
                let item = &device.items[*index];
                let reading = Reading::unless_listed(value, item.definition.value_type, &item.not_available);
                let row = &mut rows[*index];
                row.latency = Some(latency);
                row.error = reading.problem;
                if row.error.is_empty() && reading.quality.is_bad() {
                    row.error = format!("the server says {}", StatusCode::from(reading.quality.0));
                }
                row.value = reading.value;
                row.quality = reading.quality;
                asked[*index] = true;
            }
        }
        Ok(())
    };
    let ended = connection.drive(work, |_| ()).await.and_then(|ended| ended);
    connection.close(Duration::from_millis(500)).await;
    ended
}
