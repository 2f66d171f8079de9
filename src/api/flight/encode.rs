//! Record batches into Flight messages: the schema once, a dictionary once for as long as it is the same array, batches cut to size.
//!
//! Own code instead of `arrow_flight::encode`: that encoder cuts by the size of all buffers, shared dictionary included, so that a query over
//! many tags would be sent in slivers.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Schema},
    error::ArrowError,
    ipc::{
        CompressionType,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
    },
};
use arrow_flight::FlightData;
use tonic::{Status, metadata::MetadataMap};

use crate::api::status;

/// Most rows of one message.
const ROWS_MAX: usize = 65_536;
/// Bytes a message aims to stay under: clients of tonic take 4 MiB unless told otherwise.
const BYTES_AIM: usize = 3 << 20;

/// Header of a call that asks for compressed buffers.
pub const COMPRESSION_HEADER: &str = "historian-compression";

/// The compression that a call asks for.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none that Arrow knows.
pub fn compression(headers: &MetadataMap) -> Result<Option<CompressionType>, Status> {
    match headers.get(COMPRESSION_HEADER).map(|value| value.to_str().unwrap_or("")) {
        None | Some("none") => Ok(None),
        Some("lz4") => Ok(Some(CompressionType::LZ4_FRAME)),
        Some("zstd") => Ok(Some(CompressionType::ZSTD)),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(status::invalid(COMPRESSION_HEADER, format!("{shown:?} is none of none, lz4, zstd")))
        }
    }
}

/// Encoder of one stream.
pub struct Encoder {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    /// An encoder and the first message of its stream, the schema.
    pub fn new(schema: &Schema) -> (Encoder, FlightData) {
        Encoder::with_options(schema, IpcWriteOptions::default())
    }

    /// As [`Encoder::new`], with compressed buffers.
    ///
    /// # Errors
    /// When the compression is not built in.
    pub fn compressed(schema: &Schema, compression: Option<CompressionType>) -> Result<(Encoder, FlightData), ArrowError> {
        IpcWriteOptions::default().try_with_compression(compression).map(|options| Encoder::with_options(schema, options))
    }

    fn with_options(schema: &Schema, options: IpcWriteOptions) -> (Encoder, FlightData) {
        let mut encoder = Encoder {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options,
            context: IpcWriteContext::default(),
        };
        let message = encoder.generator.schema_to_bytes_with_dictionary_tracker(schema, &mut encoder.dictionaries, &encoder.options);
        (encoder, message.into())
    }

    /// Encodes one batch, handing each message to `emit` until it returns false.
    ///
    /// # Errors
    /// When the batch does not have the schema of the stream.
    pub fn batch(&mut self, batch: &RecordBatch, emit: &mut dyn FnMut(FlightData) -> bool) -> Result<bool, ArrowError> {
        let rows = batch.num_rows();
        let rows_per_message = rows_per_message(batch);
        let mut from = 0;
        while from < rows {
            let part = batch.slice(from, rows_per_message.min(rows - from));
            let (dictionaries, message) = self.generator.encode(&part, &mut self.dictionaries, &self.options, &mut self.context)?;
            for message in dictionaries.into_iter().chain([message]) {
                if !emit(message.into()) {
                    return Ok(false);
                }
            }
            from += part.num_rows();
        }
        Ok(true)
    }
}

/// Rows so that a message stays near the aim. Text counts with its bytes, numbers with their width, everything else with its memory.
fn rows_per_message(batch: &RecordBatch) -> usize {
    let rows = batch.num_rows().max(1);
    let bytes: usize = batch.columns().iter().map(|column| column_bytes(column.as_ref())).sum();
    (BYTES_AIM.saturating_mul(rows) / bytes.max(1)).clamp(1, ROWS_MAX)
}

fn column_bytes(column: &dyn Array) -> usize {
    let rows = column.len();
    match column.data_type() {
        DataType::Dictionary(key, _) => rows * key.primitive_width().unwrap_or(4),
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            rows * 4 + offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start) as usize)
        }
        // Columns of other types come from clients only.
        other => other.primitive_width().map_or_else(|| column.to_data().get_slice_memory_size().unwrap_or(rows), |width| rows * width),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, DictionaryArray, Int32Array, StringArray},
        datatypes::{Field, Int32Type},
    };
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt;

    use super::*;

    fn batches(tags: usize, rows: usize, text_bytes: usize) -> Vec<RecordBatch> {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..tags).map(|tag| format!("area/{tag}"))));
        (0..3)
            .map(|_| {
                let keys = Int32Array::from_iter_values((0..rows).map(|row| (row % tags) as i32));
                let tag: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, names.clone()));
                let value: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "x".repeat(text_bytes))));
                RecordBatch::try_new(
                    Arc::new(Schema::new(vec![
                        Field::new("tag", tag.data_type().clone(), false),
                        Field::new("value", DataType::Utf8, true),
                    ])),
                    vec![tag, value],
                )
                .unwrap()
            })
            .collect()
    }

    fn encode(batches: &[RecordBatch]) -> Vec<FlightData> {
        let (mut encoder, schema) = Encoder::new(&batches[0].schema());
        let mut messages = vec![schema];
        for batch in batches {
            assert!(
                encoder
                    .batch(batch, &mut |message| {
                        messages.push(message);
                        true
                    })
                    .unwrap()
            );
        }
        messages
    }

    #[tokio::test]
    async fn the_dictionary_goes_over_the_wire_once() {
        let batches = batches(50_000, 60_000, 1);
        let messages = encode(&batches);
        assert_eq!(messages.len(), 1 + 1 + 3, "schema, one dictionary, three batches");
        let stream = futures::stream::iter(messages.into_iter().map(Ok));
        let decoded: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(stream).try_collect().await.unwrap();
        assert_eq!(decoded, batches);
    }

    #[test]
    fn messages_stay_small_when_text_is_long() {
        let messages = encode(&batches(2, 1000, 20_000));
        assert!(messages.len() > 12, "{}", messages.len());
        assert!(messages.iter().all(|message| message.data_body.len() < 4 << 20));
    }
}
