//! The messages of a `DoPut` or `DoExchange` into record batches, taking nothing on trust: the schema is checked before any data, and lengths are checked
//! before anything is allocated by them.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    buffer::Buffer,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    ipc::{self, MessageHeader, reader},
};
use arrow_flight::FlightData;
use tonic::Status;

use crate::status;

/// Decoder of one stream.
pub struct FlightDecoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Bytes of all dictionaries of the stream. Deltas make them grow without end otherwise.
    dictionary_bytes: usize,
    bytes_max: usize,
    /// Rows that a batch may have without a body.
    null_rows_max: usize,
    check: fn(&Schema) -> Result<(), Status>,
}

const EXPECTED: &str = "expected columns tag (Utf8 or Dictionary(integer, Utf8)), timestamp (Timestamp, UTC), value (Float64, Float32, an \
                        integer type, Boolean or Utf8) and optionally quality (UInt32)";

impl FlightDecoder {
    /// A decoder of samples. `bytes_max` bounds the decoded bytes of one message, and of all dictionaries together.
    pub fn new(bytes_max: usize) -> FlightDecoder {
        FlightDecoder::checked(bytes_max, check_schema)
    }

    /// As [`FlightDecoder::new`], with columns of its own that are taken.
    pub fn checked(bytes_max: usize, check: fn(&Schema) -> Result<(), Status>) -> FlightDecoder {
        FlightDecoder { schema: None, dictionaries: HashMap::new(), dictionary_bytes: 0, bytes_max, null_rows_max: 0, check }
    }

    /// Takes batches of nothing but nulls, which have no body.
    #[must_use]
    pub fn with_nulls(self, null_rows_max: usize) -> FlightDecoder {
        FlightDecoder { null_rows_max, ..self }
    }

    /// The schema, once it has come.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    /// Takes one message; a batch when it was one.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for anything that is not what a sound client sends.
    pub fn message(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, Status> {
        if data.data_header.is_empty() {
            return Ok(None); // only a descriptor or metadata
        }
        // arrow-ipc panics on some malformed messages (slices beyond the body, unknown enum values). The decoder holds no state that a
        // panic can leave half changed: maps are changed by single inserts.
        std::panic::catch_unwind(AssertUnwindSafe(|| self.checked_message(data)))
            .unwrap_or_else(|_| Err(malformed("it does not follow the Arrow IPC format")))
    }

    fn checked_message(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, Status> {
        let message = ipc::root_as_message(&data.data_header).map_err(|error| malformed(&format!("its header cannot be read: {error}")))?;
        match message.header_type() {
            MessageHeader::NONE => Ok(None),
            MessageHeader::Schema => {
                if self.schema.is_some() {
                    return Err(malformed("a second schema in one stream"));
                }
                let schema = Schema::try_from(data).map_err(|error| malformed(&format!("the schema cannot be read: {error}")))?;
                (self.check)(&schema)?;
                self.schema = Some(Arc::new(schema));
                Ok(None)
            }
            MessageHeader::DictionaryBatch => {
                let schema = self.schema.clone().ok_or_else(|| malformed("a dictionary before the schema"))?;
                let dictionary = message.header_as_dictionary_batch().ok_or_else(|| malformed("a dictionary without content"))?;
                let batch = dictionary.data().ok_or_else(|| malformed("a dictionary without data"))?;
                self.dictionary_bytes += self.check_lengths(&batch, &data.data_body)?;
                if self.dictionary_bytes > self.bytes_max {
                    let message = format!("the dictionaries of this stream pass {} bytes; start a new stream", self.bytes_max);
                    return Err(status::too_much("message_bytes_max", message));
                }
                let body = aligned(data);
                reader::read_dictionary(&body, dictionary, &schema, &mut self.dictionaries, &message.version())
                    .map_err(|error| arrow(&error))?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let schema = self.schema.clone().ok_or_else(|| malformed("a record batch before the schema"))?;
                let batch = message.header_as_record_batch().ok_or_else(|| malformed("a record batch without content"))?;
                self.check_lengths(&batch, &data.data_body)?;
                reader::read_record_batch(&aligned(data), batch, schema, &self.dictionaries, None, &message.version())
                    .map(Some)
                    .map_err(|error| arrow(&error))
            }
            other => Err(malformed(&format!("it is a {}, not a schema, dictionary or record batch", other.variant_name().unwrap_or("?")))),
        }
    }

    /// Checks every length of a batch against its body, and returns the bytes after decompression. An allocation by a hostile length aborts
    /// the process, which no handler catches.
    fn check_lengths(&self, batch: &ipc::RecordBatch, body: &[u8]) -> Result<usize, Status> {
        let mut decoded = 0_usize;
        for buffer in batch.buffers().into_iter().flatten() {
            let bytes = usize::try_from(buffer.offset())
                .ok()
                .zip(usize::try_from(buffer.length()).ok())
                .and_then(|(start, length)| body.get(start..start.checked_add(length)?))
                .ok_or_else(|| malformed("a buffer reaches beyond the body"))?;
            let plain = match (batch.compression(), bytes.first_chunk::<8>()) {
                (Some(_), Some(prefix)) => match i64::from_le_bytes(*prefix) {
                    -1 => bytes.len(),
                    length => usize::try_from(length).map_err(|_| malformed("a compressed buffer with a negative length"))?,
                },
                (Some(_), None) if !bytes.is_empty() => return Err(malformed("a compressed buffer without its length")),
                _ => bytes.len(),
            };
            decoded = decoded.saturating_add(plain);
            if decoded > self.bytes_max {
                let message = format!("the message holds more than {} bytes when decompressed; send smaller batches", self.bytes_max);
                return Err(status::invalid("batch", message));
            }
        }
        // Each row has at least one bit in some buffer, but for columns of the type Null.
        let rows_max = decoded.saturating_mul(8).max(self.null_rows_max) as i64;
        let nodes = batch.nodes().into_iter().flatten().map(ipc::FieldNode::length);
        if nodes.chain([batch.length()]).any(|length| !(0..=rows_max).contains(&length)) {
            return Err(malformed("it names more rows than its body holds"));
        }
        Ok(decoded)
    }
}

/// The body where arrays can stand in it: the wire leaves it at any address.
fn aligned(data: &FlightData) -> Buffer {
    if data.data_body.as_ptr().align_offset(64) == 0 { Buffer::from(data.data_body.clone()) } else { Buffer::from(data.data_body.as_ref()) }
}

fn malformed(reason: &str) -> Status {
    status::invalid("batch", format!("a message of the stream is malformed: {reason}"))
}

fn arrow(error: &ArrowError) -> Status {
    malformed(&error.to_string())
}

/// Checks the columns by name; their order is free.
fn check_schema(schema: &Schema) -> Result<(), Status> {
    let refuse = |found: String| Err(status::invalid("schema", format!("{found}; {EXPECTED}")));
    for name in ["tag", "timestamp", "value"] {
        if !schema.fields().iter().any(|field| field.name() == name) {
            let found: Vec<&str> = schema.fields().iter().take(20).map(|field| field.name().as_str()).collect();
            return refuse(format!(
                "the column {name} is missing, found {}",
                if found.is_empty() { "none".into() } else { found.join(", ") }
            ));
        }
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if schema.fields().iter().take(index).any(|before| before.name() == field.name()) {
            return refuse(format!("the column {} occurs twice", shown(field)));
        }
        let fits = match field.name().as_str() {
            "tag" => tag_type(field.data_type()),
            "timestamp" => matches!(field.data_type(), DataType::Timestamp(_, zone) if zone.as_deref().is_none_or(is_utc)),
            "value" => value_type(field.data_type()),
            "quality" => field.data_type() == &DataType::UInt32,
            _ => return refuse(format!("the column {} is not known", shown(field))),
        };
        if !fits {
            return refuse(format!("the column {} has the type {}", shown(field), type_name(field.data_type())));
        }
    }
    Ok(())
}

fn tag_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(key, value) => key.is_dictionary_key_type() && is_text(value),
        other => is_text(other),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn value_type(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float64 | DataType::Float32 | DataType::Boolean) || is_text(data_type)
}

/// The names under which tools write UTC.
fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "utc" | "Z" | "Etc/UTC" | "GMT" | "+00:00" | "-00:00" | "+00" | "+0000")
}

/// A column's name, cut for a message.
pub fn shown(field: &Field) -> String {
    format!("{:?}", field.name().chars().take(60).collect::<String>())
}

/// A type's name, cut for a message.
pub fn type_name(data_type: &DataType) -> String {
    data_type.to_string().chars().take(120).collect()
}
