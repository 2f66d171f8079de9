//! One part of an export: a ticket fetched, and written on a thread of its own while the next batches arrive.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{Ticket, error::FlightError};
use futures::StreamExt;
use tokio::sync::mpsc;
use tonic::Code;

use super::shape::ExportFormat;
use crate::{
    client::{self, ServerArgs},
    output::BatchWriter,
};

/// Waits between attempts after the historian went away.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];
/// Batches between the wire and the file.
const BATCHES_WAITING: usize = 4;

enum PartFailure {
    /// The historian cannot be reached now.
    Away(anyhow::Error),
    Other(anyhow::Error),
}

impl From<FlightError> for PartFailure {
    fn from(error: FlightError) -> PartFailure {
        let away = matches!(&error, FlightError::Tonic(status) if status.code() == Code::Unavailable);
        let error = client::flight_refusal(error);
        if away { PartFailure::Away(error) } else { PartFailure::Other(error) }
    }
}

enum Message {
    Batch(RecordBatch),
    /// The answer is whole.
    End(SchemaRef),
}

/// Fetches and writes; tells `rows` of every batch. Begins anew when the connection fails. Answers the rows of the part.
///
/// # Errors
/// As the historian or the file system say it.
pub async fn fetch(server: ServerArgs, ticket: Vec<u8>, path: PathBuf, shape: ExportFormat, rows: Arc<AtomicU64>) -> anyhow::Result<u64> {
    let mut waits = WAITS.iter();
    loop {
        let mut fetched = 0;
        let error = match attempt(&server, &ticket, &path, shape, &rows, &mut fetched).await {
            Ok(()) => return Ok(fetched),
            Err(error) => error,
        };
        rows.fetch_sub(fetched, Ordering::Relaxed);
        match (error, waits.next()) {
            (PartFailure::Away(_), Some(wait)) => tokio::time::sleep(*wait).await,
            (PartFailure::Away(error) | PartFailure::Other(error), _) => return Err(error),
        }
    }
}

async fn attempt(
    server: &ServerArgs,
    ticket: &[u8],
    path: &Path,
    shape: ExportFormat,
    rows: &AtomicU64,
    fetched: &mut u64,
) -> Result<(), PartFailure> {
    let mut flight = server.flight().await.map_err(PartFailure::Away)?;
    let mut batches = flight.do_get(Ticket::new(ticket.to_vec())).await?;
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let path = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || write(&path, shape, receiver));
    let mut arrived = Ok(());
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => {
                let count = batch.num_rows() as u64;
                if sender.send(Message::Batch(batch)).await.is_err() {
                    break; // the writer says why
                }
                *fetched += count;
                rows.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) => {
                arrived = Err(PartFailure::from(error));
                break;
            }
        }
    }
    if arrived.is_ok() {
        let schema = batches.schema().cloned();
        let schema =
            schema.ok_or_else(|| PartFailure::Other(anyhow!("the historian closed the answer before it began; look at its log")))?;
        let _ = sender.send(Message::End(schema)).await;
    }
    drop(sender);
    let written = writing.await.context("the thread that writes ended early").and_then(|written| written);
    arrived?;
    written.map_err(PartFailure::Other)
}

/// Writes batches until the end is told; a file whose end is not told does not get its name.
fn write(path: &Path, shape: ExportFormat, mut messages: mpsc::Receiver<Message>) -> anyhow::Result<()> {
    let open = |schema: &SchemaRef| BatchWriter::file(path, shape.format.into(), shape.compression, schema);
    let mut writer: Option<BatchWriter> = None;
    while let Some(message) = messages.blocking_recv() {
        match message {
            Message::Batch(batch) => {
                let writer = match &mut writer {
                    Some(writer) => writer,
                    None => writer.insert(open(&batch.schema())?),
                };
                writer.write(&batch).with_context(|| format!("{} cannot be written", path.display()))?;
            }
            Message::End(schema) => {
                let writer = match writer {
                    Some(writer) => writer,
                    None => open(&schema)?,
                };
                return writer.finish().with_context(|| format!("{} cannot be written", path.display()));
            }
        }
    }
    bail!("the answer ended early")
}
