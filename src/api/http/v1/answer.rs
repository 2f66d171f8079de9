//! Answers of rows: a stream of Flight becomes a body in the format that was asked for, a batch at a time.

use std::io::Write as _;

use arrow::datatypes::Schema;
use arrow_flight::{FlightData, Ticket, decode::FlightRecordBatchStream, error::FlightError};
use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::{Status, Streaming};

use super::{
    inside::InsideCalls,
    options::{BodyCoding, EntityTag, HttpForm, RowFormat},
    problem::Problem,
    rows::RowWriter,
};
use crate::{Services, WorkThreads, status};
use historian_query::PoolPart;

/// Of zstd: fast, and half as long as what is written.
const ZSTD_LEVEL: i32 = 1;

/// Compresses a body part by part.
enum BodyEncoder {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl BodyEncoder {
    fn new(coding: Option<BodyCoding>) -> std::io::Result<BodyEncoder> {
        Ok(match coding {
            None => BodyEncoder::Plain,
            Some(BodyCoding::Gzip) => BodyEncoder::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Some(BodyCoding::Zstd) => BodyEncoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    fn part(&mut self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            BodyEncoder::Plain => Ok(bytes),
            BodyEncoder::Gzip(encoder) => {
                encoder.write_all(&bytes)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            BodyEncoder::Zstd(encoder) => {
                encoder.write_all(&bytes)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    fn end(self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            BodyEncoder::Plain => Ok(bytes),
            BodyEncoder::Gzip(mut encoder) => {
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            BodyEncoder::Zstd(mut encoder) => {
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
        }
    }
}

/// The answer to a ticket.
///
/// # Errors
/// What fails before the first row.
pub async fn of_ticket(calls: &InsideCalls, ticket: Vec<u8>, options: &HttpForm, services: &Services) -> Result<Response, Problem> {
    let mut messages = calls.flight().do_get(calls.request(Ticket { ticket: ticket.into() })).await?.into_inner();
    let first = messages.message().await?.ok_or_else(|| status::internal("an answer without a schema"))?;
    let encoder = BodyEncoder::new(options.coding).map_err(|error| failed(&error))?;
    let body = match options.format {
        RowFormat::Arrow => in_arrow(first, messages, encoder, &services.work),
        format => {
            let schema = Schema::try_from(&first).map_err(|error| status::internal(error.to_string()))?;
            let (writer, before) = RowWriter::begin(format, options.cells, schema.into())?;
            let batches = batches(first, messages);
            let rows = WrittenRows {
                before: Some(before),
                batches,
                writers: Some((writer, encoder)),
                memory: services.memory.for_kept(),
                work: services.work.clone(),
            };
            if format == RowFormat::JsonColumns {
                return Ok(whole(options, rows.whole().await?));
            }
            rows.streamed()
        }
    };
    Ok(answered(options, body))
}

/// A message that is there whole, as JSON.
pub fn of_json(json: Vec<u8>, options: &HttpForm) -> Result<Response, Problem> {
    let encoder = BodyEncoder::new(options.coding).map_err(|error| failed(&error))?;
    let body = encoder.end(json).map_err(|error| failed(&error))?;
    Ok(whole(&HttpForm { format: RowFormat::JsonColumns, ..*options }, body))
}

/// An answer that is there whole: who has it already is told so, and not the answer again.
fn whole(options: &HttpForm, body: Vec<u8>) -> Response {
    let tag = EntityTag::of(&body);
    let is_known = options.known == Some(tag);
    let mut response = answered(options, if is_known { Body::empty() } else { body.into() });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = HeaderValue::from_str(&tag.text()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn answered(options: &HttpForm, body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(options.format.media_type()));
    // What is answered now may be another tomorrow, and is not everybody's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    let coding = options.coding.map(|coding| match coding {
        BodyCoding::Gzip => "gzip",
        BodyCoding::Zstd => "zstd",
    });
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn failed(error: &std::io::Error) -> Problem {
    Problem::from(status::internal(error.to_string()))
}

/// The batches of a stream whose first message has been read.
pub fn batches(first: FlightData, rest: Streaming<FlightData>) -> FlightRecordBatchStream {
    let messages = stream::once(async { Ok(first) }).chain(rest.map_err(FlightError::from));
    FlightRecordBatchStream::new_from_flight_data(messages)
}

/// The error of a stream as it would be told by gRPC.
pub fn told(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => status::internal(other.to_string()),
    }
}

/// An answer that is being written.
struct WrittenRows {
    /// What comes before the rows, until it is sent.
    before: Option<Vec<u8>>,
    batches: FlightRecordBatchStream,
    /// Nothing behind the end.
    writers: Option<(RowWriter, BodyEncoder)>,
    /// What is held until the end is part of the memory of all; it is there twice when it is put together.
    memory: PoolPart,
    work: WorkThreads,
}

impl WrittenRows {
    /// The next part of the body, which is not empty; nothing behind the last one.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        while let Some((mut writer, mut encoder)) = self.writers.take() {
            if let Some(before) = self.before.take() {
                let part = encoder.part(before).map_err(|error| failed(&error))?;
                self.writers = Some((writer, encoder));
                if !part.is_empty() {
                    return Ok(Some(part));
                }
                continue;
            }
            let Some(batch) = self.batches.next().await.transpose().map_err(told)? else {
                return encoder.end(writer.end()?).map(Some).map_err(|error| failed(&error));
            };
            // Writing takes milliseconds, in which a thread of the wire could serve others.
            let written = self.work.spawn(move || {
                let part = writer.batch(&batch).and_then(|part| encoder.part(part).map_err(|error| failed(&error)));
                (part, (writer, encoder))
            });
            let (part, writers) = written.await.map_err(|error| status::from_join(&error))?;
            let part = part?;
            let held = 2 * writers.0.held() as u64;
            self.memory
                .grow(held.saturating_sub(self.memory.bytes()))
                .map_err(|_| status::busy("there is no memory for an answer in this format now; try again shortly"))?;
            self.writers = Some(writers);
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Holds the answer until it is whole.
    async fn whole(mut self) -> Result<Vec<u8>, Problem> {
        let mut all = Vec::new();
        while let Some(part) = self.next().await? {
            all.extend_from_slice(&part);
        }
        Ok(all)
    }

    /// As it is made. Where it fails, the body ends in the middle, and the connection with it.
    fn streamed(self) -> Body {
        let parts = stream::try_unfold(self, |mut written| async {
            match written.next().await {
                Ok(part) => Ok(part.map(|part| (Bytes::from(part), written))),
                Err(problem) => {
                    tracing::info!("an answer over HTTP was cut: {}", problem.detail());
                    Err(std::io::Error::other(problem.detail().to_owned()))
                }
            }
        });
        Body::from_stream(parts)
    }
}

/// Messages of Flight as an Arrow IPC stream, byte for byte: each begins with its length.
fn in_arrow(first: FlightData, rest: Streaming<FlightData>, encoder: BodyEncoder, work: &WorkThreads) -> Body {
    let messages = stream::once(async { Ok(first) }).chain(rest).boxed();
    let state = (messages, Some(encoder), work.clone());
    let parts = stream::try_unfold(state, |(mut messages, mut encoder, work)| async move {
        loop {
            let Some(mut own) = encoder.take() else { return Ok::<_, std::io::Error>(None) };
            let Some(message) =
                messages.next().await.transpose().map_err(|status: Status| std::io::Error::other(status.message().to_owned()))?
            else {
                // Its length is none: the end of the stream.
                let part = own.end(vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])?;
                return Ok(Some((Bytes::from(part), (messages, None, work))));
            };
            if matches!(own, BodyEncoder::Plain) {
                return Ok(Some((Bytes::from(ipc(&message)), (messages, Some(own), work))));
            }
            let (part, own) = work.spawn(move || (own.part(ipc(&message)), own)).await.map_err(std::io::Error::other)?;
            let part = part?;
            if !part.is_empty() {
                return Ok(Some((Bytes::from(part), (messages, Some(own), work))));
            }
            encoder = Some(own);
        }
    });
    Body::from_stream(parts)
}

/// A message in the framing of a stream: a mark, the length of the header up to a multiple of eight, the header, the body.
fn ipc(message: &FlightData) -> Vec<u8> {
    let header = message.data_header.len().next_multiple_of(8);
    let mut out = Vec::with_capacity(8 + header + message.data_body.len());
    out.extend_from_slice(&[0xFF; 4]);
    out.extend_from_slice(&u32::try_from(header).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&message.data_header);
    out.resize(8 + header, 0);
    out.extend_from_slice(&message.data_body);
    out
}
