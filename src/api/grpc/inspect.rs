//! How tags are stored, over gRPC: one message per tag, and per chunk where asked.

use std::sync::Arc;

use historian_proto::v1::{self, TagFailure, inspect_tags_response::Part};
use tonic::{Code, Status};

use super::backup::maintenance;
use crate::{
    Api, Caller, Services, resolve, status,
    stream::{Emitter, ResponseStream},
};
use historian_model::Tag;
use historian_query::QueryLimits;
use historian_store::{
    Maintenance, StoreError,
    inspect::{ChunkBytes, ChunkStorage, TagStorage, inspect},
};

pub async fn run(
    api: &Arc<Api>,
    caller: &Caller,
    request: &v1::InspectTagsRequest,
) -> Result<ResponseStream<v1::InspectTagsResponse>, Status> {
    let (services, maintenance, request) = (api.services.clone(), maintenance(api)?, request.clone());
    let stream = api.stream(caller, move |limits, emitter| tell(&services, &maintenance, &request, limits, emitter));
    Ok(Box::pin(stream.await?))
}

/// Tells of each tag how it is stored. Blocks.
fn tell(
    services: &Services,
    maintenance: &Maintenance,
    request: &v1::InspectTagsRequest,
    limits: &QueryLimits,
    emitter: &Emitter<v1::InspectTagsResponse>,
) -> Result<(), Status> {
    let message = |part| v1::InspectTagsResponse { part: Some(part) };
    let selected = resolve::tags_or_all(services, &request.tags, limits)?;
    for name in &selected.missing {
        let failure = TagFailure { tag: name.clone(), code: Code::NotFound.into(), message: "there is no such tag".to_owned() };
        if !emitter.emit(message(Part::Failure(failure))) {
            return Ok(());
        }
    }
    for tag in &selected.tags {
        within(limits)?;
        let mut reading = true;
        let storage = inspect(&*maintenance.store(), tag.id, &mut |chunk| {
            if request.chunks && reading && !limits.cancel.is_cancelled() {
                reading = emitter.emit(message(Part::Chunk(told(tag, chunk))));
            }
        });
        let part = match storage {
            Ok(storage) => Part::Tag(summed(tag, &storage)),
            Err(error @ StoreError::Corrupt { .. }) => {
                Part::Failure(TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() })
            }
            Err(error) => return Err(status::from_store(&error)),
        };
        if !reading || !emitter.emit(message(part)) {
            return Ok(());
        }
    }
    Ok(())
}

fn within(limits: &QueryLimits) -> Result<(), Status> {
    if limits.cancel.is_cancelled() {
        return Err(Status::cancelled("cancelled"));
    }
    if limits.deadline <= std::time::Instant::now() {
        return Err(status::deadline("inspecting took longer than its deadline; name fewer tags, or ask with a longer deadline"));
    }
    Ok(())
}

/// Message of one chunk.
pub fn told(tag: &Tag, chunk: &ChunkStorage) -> v1::ChunkStorage {
    let (header, bytes) = (&chunk.header, ChunkBytes::of(&chunk.header));
    v1::ChunkStorage {
        tag: tag.name().to_string(),
        family: chunk.family.name().to_owned(),
        cold: chunk.cold,
        start: header.statistics.first_timestamp,
        end: header.statistics.last_timestamp,
        samples: header.statistics.count.into(),
        sequence: header.sequence,
        timestamp_codec: header.timestamp_codec.as_str().to_owned(),
        presence_codec: header.presence_codec.as_str().to_owned(),
        value_codec: header.value_codec.as_str().to_owned(),
        quality_codec: header.quality_codec.as_str().to_owned(),
        header_bytes: bytes.headers,
        timestamp_bytes: bytes.timestamps,
        presence_bytes: bytes.presence,
        value_bytes: bytes.values,
        quality_bytes: bytes.qualities,
    }
}

/// Message of one tag.
pub fn summed(tag: &Tag, storage: &TagStorage) -> v1::TagStorage {
    v1::TagStorage {
        tag: tag.name().to_string(),
        samples: storage.samples,
        chunks_hot: storage.chunks_hot,
        chunks_cold: storage.chunks_cold,
        chunks_late: storage.chunks_late,
        first_timestamp: storage.first_timestamp,
        last_timestamp: storage.last_timestamp,
        header_bytes: storage.bytes.headers,
        timestamp_bytes: storage.bytes.timestamps,
        presence_bytes: storage.bytes.presence,
        value_bytes: storage.bytes.values,
        quality_bytes: storage.bytes.qualities,
        rollup_bytes: storage.rollup_bytes,
        superseded_bytes: storage.superseded_bytes,
        codecs: storage
            .codecs
            .iter()
            .map(|((column, codec), chunks)| v1::CodecUse { column: (*column).to_owned(), codec: (*codec).to_owned(), chunks: *chunks })
            .collect(),
    }
}
