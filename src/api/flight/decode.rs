//! The messages of a `DoPut` or `DoExchange` into record batches, taking nothing on trust: the schema is checked before any data, and lengths are checked
//! before anything is allocated by them.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    buffer::Buffer,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    ipc::{self, DictionaryBatch, MessageHeader, MetadataVersion, reader},
};
use arrow_flight::FlightData;
use tonic::Status;

use super::verify::{self, malformed};
use crate::{DecodeAllowance, status};

/// Decoder of one stream.
pub struct FlightDecoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Of what one message may take when it is decoded.
    allowance: DecodeAllowance,
    /// Of all dictionaries of the stream. Deltas make them grow without end otherwise.
    dictionary_allowance: DecodeAllowance,
    /// Rows that a batch may have without a body.
    null_rows_max: usize,
    check: fn(&Schema) -> Result<(), Status>,
}

const EXPECTED: &str = "expected columns tag (Utf8 or Dictionary(integer, Utf8)), timestamp (Timestamp, UTC), value (Float64, Float32, an \
                        integer type, Boolean or Utf8) and optionally quality (UInt32)";

impl FlightDecoder {
    /// A decoder of samples. `allowance` bounds what one message takes, and all dictionaries together.
    pub fn new(allowance: DecodeAllowance) -> FlightDecoder {
        FlightDecoder::checked(allowance, check_schema)
    }

    /// As [`FlightDecoder::new`], with columns of its own that are taken.
    pub fn checked(allowance: DecodeAllowance, check: fn(&Schema) -> Result<(), Status>) -> FlightDecoder {
        let dictionary_allowance = allowance.anew();
        FlightDecoder { schema: None, dictionaries: HashMap::new(), allowance, dictionary_allowance, null_rows_max: 0, check }
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
    /// `INVALID_ARGUMENT` for anything that is not what a sound client sends; `RESOURCE_EXHAUSTED` for what would take more than is allowed.
    pub fn message(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, Status> {
        if data.data_header.is_empty() {
            return Ok(None); // only a descriptor or metadata
        }
        // arrow-ipc panics on much that is malformed. What is known of that is refused before it reads (`verify`); this is for what is not.
        // The decoder holds no state that a panic can leave half changed: maps are changed by single inserts.
        std::panic::catch_unwind(AssertUnwindSafe(|| self.checked_message(data)))
            .unwrap_or_else(|_| Err(malformed("it does not follow the Arrow IPC format")))
    }

    fn checked_message(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, Status> {
        let message = verify::header(&data.data_header)?;
        match message.header_type() {
            MessageHeader::NONE => Ok(None),
            MessageHeader::Schema => {
                if self.schema.is_some() {
                    return Err(malformed("a second schema in one stream"));
                }
                let schema = message.header_as_schema().ok_or_else(|| malformed("a schema without content"))?;
                verify::schema(&schema)?;
                let schema = ipc::convert::fb_to_schema(schema);
                (self.check)(&schema)?;
                self.schema = Some(Arc::new(schema));
                Ok(None)
            }
            MessageHeader::DictionaryBatch => {
                let schema = self.schema.clone().ok_or_else(|| malformed("a dictionary before the schema"))?;
                let dictionary = message.header_as_dictionary_batch().ok_or_else(|| malformed("a dictionary without content"))?;
                self.dictionary(&dictionary, &data.data_body, &schema, message.version())?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let schema = self.schema.clone().ok_or_else(|| malformed("a record batch before the schema"))?;
                let batch = message.header_as_record_batch().ok_or_else(|| malformed("a record batch without content"))?;
                let types = schema.fields().iter().map(|field| field.data_type());
                verify::batch(&batch, types, &data.data_body, self.null_rows_max, &mut self.allowance.anew())?;
                reader::read_record_batch(&aligned(data), batch, schema, &self.dictionaries, None, &message.version())
                    .map(Some)
                    .map_err(|error| arrow(&error))
            }
            other => Err(malformed(&format!("it is a {}, not a schema, dictionary or record batch", other.variant_name().unwrap_or("?")))),
        }
    }

    fn dictionary(&mut self, dictionary: &DictionaryBatch, body: &[u8], schema: &Schema, version: MetadataVersion) -> Result<(), Status> {
        let batch = dictionary.data().ok_or_else(|| malformed("a dictionary without data"))?;
        #[expect(deprecated, reason = "the only way to a dictionary's column; arrow-ipc goes it, too")]
        let field = schema.fields_with_dict_id(dictionary.id()).into_iter().next();
        let Some(DataType::Dictionary(_, values)) = field.map(Field::data_type) else {
            return Err(malformed("a dictionary that no column of the schema names"));
        };
        let mut allowance = self.allowance.anew();
        verify::batch(&batch, [values.as_ref()], body, 0, &mut allowance)?;
        // It is kept for the rest of the stream: in a copy of its own, so that it does not keep the whole message with it.
        let what = "the dictionaries of this stream together; start a new stream, or they";
        self.dictionary_allowance.take(allowance.taken().max(body.len()), what)?;
        reader::read_dictionary(&Buffer::from(body), *dictionary, schema, &mut self.dictionaries, &version).map_err(|error| arrow(&error))
    }
}

/// The body where arrays can stand in it: the wire leaves it at any address.
fn aligned(data: &FlightData) -> Buffer {
    if data.data_body.as_ptr().align_offset(64) == 0 { Buffer::from(data.data_body.clone()) } else { Buffer::from(data.data_body.as_ref()) }
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

#[cfg(test)]
mod tests;
