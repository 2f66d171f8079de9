//! `DoGet`: a query on a blocking thread, its batches encoded there and handed to the wire through a short channel.

use arrow::{ipc::CompressionType, record_batch::RecordBatch};
use arrow_flight::FlightData;
use tonic::Status;

use super::encode::Encoder;
use crate::{kind::Resolved, status, stream::Emitter};
use historian_query::{QueryEngine, QueryLimits};

/// Runs a query and emits its messages, the schema first. Blocks.
pub fn run(
    engine: &QueryEngine,
    query: &dyn Resolved,
    compression: Option<CompressionType>,
    limits: &QueryLimits,
    emitter: &Emitter<FlightData>,
) -> Result<(), Status> {
    let (schema, first) = query.begin(engine, limits)?;
    let (mut encoder, message) = Encoder::compressed(&schema, compression).map_err(|error| status::internal(error.to_string()))?;
    if !emitter.emit(message) {
        return Ok(());
    }
    let mut failed = None;
    let mut reading = true;
    let mut emit = |batch: RecordBatch| {
        emitter.count_rows(batch.num_rows());
        match encoder.batch(&batch, &mut |message| emitter.emit(message)) {
            Ok(read) => reading = read,
            Err(error) => failed = Some(status::internal(error.to_string())),
        }
        reading && failed.is_none()
    };
    let ended = if first.into_iter().all(&mut emit) { query.batches(engine, limits, &mut emit) } else { Ok(()) };
    match failed {
        Some(error) => Err(error),
        None if !reading => Ok(()), // the stream has its own end
        None => ended.map_err(|error| status::from_query(&error)),
    }
}
