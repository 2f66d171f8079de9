//! Record batches into Flight messages: the schema once, a dictionary once for as long as it is the same array, batches cut to size.
//!
//! Own code instead of `arrow_flight::encode`: that encoder cuts by the size of all buffers, shared dictionary included, so that a query over
//! many tags would be sent in slivers.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array},
    datatypes::{DataType, Schema},
    error::ArrowError,
    ipc::{
        CompressionType,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions},
    },
};
use arrow_flight::FlightData;
use tonic::{Status, metadata::MetadataMap};

use crate::{answer::PAGE_BYTES, status};

/// Most rows of one message.
const ROWS_MAX: usize = 65_536;
/// Bytes that a message of a batch aims at. Several are between a query and its reader, also one that does not read; and each may be encoded while
/// the one before it is sent.
const MESSAGE_BYTES: usize = 256 << 10;

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
    /// What a message of a batch aims at.
    message_bytes: usize,
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
            message_bytes: MESSAGE_BYTES,
        };
        let message = encoder.generator.schema_to_bytes_with_dictionary_tracker(schema, &mut encoder.dictionaries, &encoder.options);
        (encoder, message.into())
    }

    /// Batches up to the length that every client takes stay whole: for those whose last row says something of all.
    #[must_use]
    pub fn uncut(self) -> Encoder {
        Encoder { message_bytes: PAGE_BYTES, ..self }
    }

    /// Encodes one batch, handing each message to `emit` until it returns false.
    ///
    /// # Errors
    /// When the batch does not have the schema of the stream.
    pub fn batch(&mut self, batch: &RecordBatch, emit: &mut dyn FnMut(FlightData) -> bool) -> Result<bool, ArrowError> {
        let rows = batch.num_rows();
        let rows_per_message = rows_per_message(batch, self.message_bytes);
        let mut from = 0;
        while from < rows {
            let mut part = batch.slice(from, rows_per_message.min(rows - from));
            // Texts are of uneven length: what is long on the whole is cut where it is.
            while part.num_rows() > 1 && bytes_of(&part) > PAGE_BYTES.min(2 * self.message_bytes) {
                part = part.slice(0, part.num_rows() / 2);
            }
            let mut sent = with_short_dictionaries(&part)?;
            while part.num_rows() > 1 && sent.columns().iter().any(has_long_dictionary) {
                part = part.slice(0, part.num_rows() / 2);
                sent = with_short_dictionaries(&part)?;
            }
            from += part.num_rows();
            let (dictionaries, message) = self.generator.encode(&sent, &mut self.dictionaries, &self.options, &mut self.context)?;
            for message in dictionaries.into_iter().chain([message]) {
                if !emit(message.into()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A batch whose dictionaries are shorter than a message may be. A dictionary of the whole answer that is not is cut to what its rows name; the
/// next batch brings another in its place then, as the format allows.
fn with_short_dictionaries(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.columns().iter().any(has_long_dictionary) {
        return Ok(batch.clone());
    }
    let cut = |column: &ArrayRef| if has_long_dictionary(column) { cut_dictionary(column) } else { Ok(column.clone()) };
    let columns = batch.columns().iter().map(cut).collect::<Result<_, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}

fn has_long_dictionary(column: &ArrayRef) -> bool {
    column.as_any_dictionary_opt().is_some_and(|column| column_bytes(column.values().as_ref()) > PAGE_BYTES)
}

fn cut_dictionary(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(dictionary) = column.as_any_dictionary_opt() else { return Ok(column.clone()) };
    let keys = dictionary.normalized_keys();
    let mut places: HashMap<usize, u64> = HashMap::new();
    let mut named: Vec<u64> = Vec::new();
    let renumbered: UInt64Array = keys
        .into_iter()
        .enumerate()
        .map(|(row, key)| {
            let place = || {
                *places.entry(key).or_insert_with(|| {
                    named.push(key as u64);
                    named.len() as u64 - 1
                })
            };
            dictionary.keys().is_valid(row).then(place)
        })
        .collect();
    let values = arrow::compute::take(dictionary.values(), &UInt64Array::from(named), None)?;
    let keys = arrow::compute::cast(&renumbered, dictionary.keys().data_type())?;
    let data = keys.to_data().into_builder().data_type(column.data_type().clone()).child_data(vec![values.to_data()]).build()?;
    Ok(arrow::array::make_array(data))
}

/// Rows so that a message stays near the aim. Text counts with its bytes, numbers with their width, everything else with its memory.
fn rows_per_message(batch: &RecordBatch, message_bytes: usize) -> usize {
    let rows = batch.num_rows().max(1);
    let bytes = bytes_of(batch);
    (message_bytes.saturating_mul(rows) / bytes.max(1)).clamp(1, ROWS_MAX)
}

fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column_bytes(column.as_ref())).sum()
}

fn column_bytes(column: &dyn Array) -> usize {
    let rows = column.len();
    match column.data_type() {
        DataType::Dictionary(key, _) => {
            let named = column.as_any_dictionary_opt().map_or(0, |column| named_bytes(column.values().as_ref(), rows));
            rows * key.primitive_width().unwrap_or(4) + named
        }
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            rows * 4 + offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start) as usize)
        }
        // Columns of other types come from clients only.
        other => other.primitive_width().map_or_else(|| column.to_data().get_slice_memory_size().unwrap_or(rows), |width| rows * width),
    }
}

/// Bytes of the texts that so many rows can name, of a dictionary that is too long to be sent whole.
fn named_bytes(values: &dyn Array, rows: usize) -> usize {
    let (bytes, texts) = (column_bytes(values), values.len().max(1));
    if bytes <= PAGE_BYTES { 0 } else { (bytes / texts + 1) * rows.min(texts) }
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
    use prost::Message;

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
        let batches = batches(50_000, 28_000, 1);
        let messages = encode(&batches);
        assert_eq!(messages.len(), 1 + 1 + 3, "schema, one dictionary, three batches");
        let stream = futures::stream::iter(messages.into_iter().map(Ok));
        let decoded: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(stream).try_collect().await.unwrap();
        assert_eq!(decoded, batches);
    }

    #[tokio::test]
    async fn a_dictionary_that_no_client_takes_goes_in_parts() {
        let name = |tag: i32| format!("area/{:0>100}/{}", tag, "x".repeat(300 * usize::from(tag % 90 == 0)));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..90_000).map(name)));
        let of = |keys: Int32Array| {
            let tag: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, names.clone()));
            let schema = Schema::new(vec![Field::new("tag", tag.data_type().clone(), true)]);
            RecordBatch::try_new(Arc::new(schema), vec![tag]).unwrap()
        };
        // Every tag once, then one tag many times, then tags and rows without one.
        let batches = [
            of((0..60_000).map(Some).collect()),
            of(vec![Some(7); 60_000].into()),
            of((0..50_000).map(|row| (row % 3 > 0).then_some(89_999 - row)).collect()),
        ];
        let messages = encode(&batches);
        assert!(messages.iter().all(|message| message.encoded_len() < 4 << 20));
        assert!(messages.iter().map(Message::encoded_len).sum::<usize>() < 24 << 20, "each name goes about as often as it is named");
        let stream = futures::stream::iter(messages.into_iter().map(Ok));
        let decoded: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(stream).try_collect().await.unwrap();
        let plain = |batches: &[RecordBatch]| -> Vec<Option<String>> {
            let texts = batches.iter().map(|batch| arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap());
            texts.flat_map(|texts| texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()).collect()
        };
        assert!(plain(&decoded) == plain(&batches));
    }

    #[test]
    fn messages_stay_small_where_a_few_texts_are_long() {
        let value: ArrayRef = Arc::new(StringArray::from_iter_values((0..5_000).map(|row| "x".repeat(if row < 200 { 60_000 } else { 1 }))));
        let schema = Schema::new(vec![Field::new("value", DataType::Utf8, true)]);
        let messages = encode(&[RecordBatch::try_new(Arc::new(schema), vec![value]).unwrap()]);
        let longest = messages.iter().map(Message::encoded_len).max().unwrap();
        assert!(longest < 2 * MESSAGE_BYTES + 4_096, "{longest}");
        // Of 12 MB.
        assert!(messages.len() < 80, "{}", messages.len());
    }

    #[test]
    fn messages_stay_small_when_text_is_long() {
        let messages = encode(&batches(2, 1000, 20_000));
        assert!(messages.len() > 12, "{}", messages.len());
        assert!(messages.iter().all(|message| message.data_body.len() < 4 << 20));
    }
}
