//! `DoGet`: a query on a blocking thread, its batches encoded there and handed to the wire through a short channel.

use arrow::{ipc::CompressionType, record_batch::RecordBatch};
use arrow_flight::FlightData;
use tonic::Status;

use super::{
    encode::Encoder,
    info::{self, Query},
};
use crate::{Services, page, status, stream::Emitter};
use historian_query::QueryLimits;

/// Runs a query and emits its messages, the schema first. Blocks.
pub fn run(
    services: &Services,
    query: &Query,
    compression: Option<CompressionType>,
    limits: &QueryLimits,
    emitter: &Emitter<FlightData>,
) -> Result<(), Status> {
    let mut schema = info::schema(services, query)?;
    // A page is there before its schema, which tells of the next one.
    let page = match query {
        Query::Page(query, page, _) => {
            let answered = page.run(&services.query, query, limits).map_err(|error| status::from_query(&error))?;
            schema = page::with_token(&schema, answered.next);
            answered.batches
        }
        _ => Vec::new(),
    };
    let (mut encoder, message) = Encoder::compressed(&schema, compression).map_err(|error| status::internal(error.to_string()))?;
    if !emitter.emit(message) {
        return Ok(());
    }
    let mut failed = None;
    let mut reading = true;
    let mut emit = |batch: RecordBatch| {
        match encoder.batch(&batch, &mut |message| emitter.emit(message)) {
            Ok(read) => reading = read,
            Err(error) => failed = Some(status::internal(error.to_string())),
        }
        reading && failed.is_none()
    };
    let ended = match query {
        Query::Page(..) => {
            let _ = page.into_iter().all(&mut emit);
            Ok(())
        }
        Query::Range(query, _) => services.query.range(query, limits, &mut emit),
        Query::Aggregate(query, _) => services.query.aggregate(query, limits, &mut emit),
        Query::Downsample(query, _) => services.query.downsample(query, limits, &mut emit),
        Query::Anomalies(query, _) => services.query.anomalies(query, limits, &mut emit),
        Query::Measure(query, _) => services.query.measure(query, limits, &mut emit),
        Query::Superseded(query, _) => services.query.superseded(query, limits, &mut emit),
        Query::Current { tags, request } => services.query.current(tags, request.types, limits).map(|batch| _ = emit(batch)),
    };
    match failed {
        Some(error) => Err(error),
        None if !reading => Ok(()), // the stream has its own end
        None => ended.map_err(|error| status::from_query(&error)),
    }
}
