//! Every door of a historian in one blocking client: gRPC and Flight, writing and reading, with samples compared by their bits.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimestampNanosecondType, UInt32Type, UInt64Type},
};
use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder, error::FlightError, flight_service_client::FlightServiceClient};
use futures::{StreamExt, TryStreamExt};
use historian_proto::v1::{
    AuditEntry, CompactRequest, CreateTagRequest, CurrentValuesRequest, DeleteRangeRequest, DeleteRangeResponse, ListAuditEntriesRequest,
    RangeRequest, ReplaceRangeRequest, ReplaceRangeResponse, SupersededRequest, Tag, TagSamples, WriteRequest, WriteSamplesRequest,
    WriteSamplesResponse, admin_service_client::AdminServiceClient, query_service_client::QueryServiceClient,
    tag_service_client::TagServiceClient, values::Column, write_service_client::WriteServiceClient,
};
use tonic::{Status, transport::Channel};

use super::historian::{Historian, get};

/// A value by its bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bits {
    Word(u64),
    Text(String),
}

/// Timestamp, value, quality.
pub type Row = (i64, Option<Bits>, u32);

/// A row of a tag of type f64.
pub fn row(at: i64, value: f64, quality: u32) -> Row {
    (at, Some(Bits::Word(value.to_bits())), quality)
}

pub struct Door {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Door {
    pub fn to(historian: &Historian) -> Door {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let channel = runtime.block_on(historian.channel()).unwrap();
        Door { runtime, channel }
    }

    pub fn create(&self, tag: Tag) {
        self.runtime.block_on(TagServiceClient::new(self.channel.clone()).create_tag(CreateTagRequest { tag: Some(tag) })).unwrap();
    }

    pub fn write(&self, options: WriteRequest, samples: Vec<TagSamples>) -> WriteSamplesResponse {
        let request = WriteSamplesRequest { options: Some(options), samples };
        self.runtime.block_on(WriteServiceClient::new(self.channel.clone()).write_samples(request)).unwrap().into_inner()
    }

    /// Samples of type f64, made where the tag is missing; every one must be taken.
    pub fn put(&self, tag: &str, rows: &[Row]) -> u64 {
        let answer = self.write(WriteRequest { create_tags: true, ..WriteRequest::default() }, vec![columns(tag, rows)]);
        assert_eq!((answer.samples, answer.failures.len(), answer.rejected), (rows.len() as u64, 0, 0), "{answer:?}");
        answer.watermark
    }

    pub fn delete(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        let answer = self.runtime.block_on(WriteServiceClient::new(self.channel.clone()).delete_range(request));
        answer.map(tonic::Response::into_inner)
    }

    pub fn replace(&self, request: ReplaceRangeRequest) -> Result<ReplaceRangeResponse, Status> {
        let answer = self.runtime.block_on(WriteServiceClient::new(self.channel.clone()).replace_range(request));
        answer.map(tonic::Response::into_inner)
    }

    pub fn compact(&self) {
        self.runtime.block_on(AdminServiceClient::new(self.channel.clone()).compact(CompactRequest {})).unwrap();
    }

    /// What the audit log says of changes of what is stored; without settings, new tags and upkeep.
    pub fn audit(&self) -> Vec<AuditEntry> {
        let request = ListAuditEntriesRequest { from: 1, ..ListAuditEntriesRequest::default() };
        let page = self.runtime.block_on(AdminServiceClient::new(self.channel.clone()).list_audit_entries(request)).unwrap();
        page.into_inner()
            .entries
            .into_iter()
            .filter(|entry| !["configuration", "create_tag", "compact"].contains(&entry.action.as_str()))
            .collect()
    }

    /// One record batch by DoPut; the metadata of its acknowledgement.
    pub fn do_put(&self, command: &[u8], batch: RecordBatch) -> Result<Vec<u8>, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.to_vec());
        let schema = batch.schema();
        let stream = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(descriptor))
            .build(futures::stream::iter([Ok(batch)]))
            .map(|data| data.unwrap());
        self.runtime.block_on(async {
            let mut client = FlightServiceClient::new(self.channel.clone());
            let mut answers = client.do_put(stream).await?.into_inner();
            Ok(answers.next().await.unwrap()?.app_metadata.to_vec())
        })
    }

    pub fn range(&self, tag: &str) -> Vec<Row> {
        let request =
            RangeRequest { tags: vec![tag.into()], start: i64::MIN.to_string(), end: i64::MAX.to_string(), ..RangeRequest::default() };
        self.runtime.block_on(async {
            let mut client = QueryServiceClient::new(self.channel.clone());
            let mut answers = client.range(request).await.unwrap().into_inner();
            let mut rows = Vec::new();
            while let Some(answer) = answers.try_next().await.unwrap() {
                assert_eq!(answer.failure, None);
                rows.extend(answer.samples.iter().flat_map(of_proto));
            }
            rows
        })
    }

    pub fn current(&self, tag: &str) -> Option<Row> {
        let request = CurrentValuesRequest { tags: vec![tag.into()], ..CurrentValuesRequest::default() };
        let answer = self.runtime.block_on(QueryServiceClient::new(self.channel.clone()).current_values(request)).unwrap().into_inner();
        answer.samples.first().and_then(|samples| of_proto(samples).pop())
    }

    /// Batches of a JSON ticket.
    pub fn fetch(&self, ticket: &str) -> Result<Vec<RecordBatch>, Status> {
        self.runtime.block_on(get(&mut FlightServiceClient::new(self.channel.clone()), ticket))
    }

    /// Schema of a JSON command.
    pub fn schema(&self, command: &str) -> Schema {
        let descriptor = FlightDescriptor::new_cmd(command.to_owned());
        let info = self.runtime.block_on(FlightServiceClient::new(self.channel.clone()).get_flight_info(descriptor)).unwrap().into_inner();
        info.try_decode_schema().map_err(FlightError::Arrow).unwrap()
    }

    /// All replaced versions of a tag, from gRPC; Flight must say the same.
    pub fn superseded(&self, tag: &str) -> Vec<(Row, u64)> {
        let (start, end) = (i64::MIN.to_string(), i64::MAX.to_string());
        let request = SupersededRequest { tags: vec![tag.into()], start: start.clone(), end: end.clone(), ..SupersededRequest::default() };
        let rows: Vec<(Row, u64)> = self.runtime.block_on(async {
            let mut client = QueryServiceClient::new(self.channel.clone());
            let mut answers = client.superseded(request).await.unwrap().into_inner();
            let mut rows = Vec::new();
            while let Some(answer) = answers.try_next().await.unwrap() {
                assert_eq!(answer.failure, None);
                rows.extend(answer.samples.iter().flat_map(of_proto).zip(answer.replaced_by));
            }
            rows
        });
        let ticket = serde_json::json!({"superseded": {"tags": [tag], "start": start, "end": end}}).to_string();
        let mut again = Vec::new();
        for batch in self.fetch(&ticket).unwrap() {
            let replaced_by = batch.column_by_name("replaced_by").unwrap().as_primitive::<UInt64Type>().values().to_vec();
            again.extend(of_batch(&batch).into_iter().map(|(_, row)| row).zip(replaced_by));
        }
        assert_eq!(again, rows, "Flight and gRPC");
        rows
    }

    /// As [`Door::superseded`], without the sequence numbers.
    pub fn versions(&self, tag: &str) -> Vec<Row> {
        self.superseded(tag).into_iter().map(|(row, _)| row).collect()
    }
}

/// Rows of f64 values as columns.
pub fn columns(tag: &str, rows: &[Row]) -> TagSamples {
    let bits = |value: &Option<Bits>| match value {
        Some(Bits::Word(bits)) => f64::from_bits(*bits),
        _ => 0.0,
    };
    TagSamples {
        tag: tag.to_owned(),
        timestamps: rows.iter().map(|row| row.0).collect(),
        values: Some(historian_proto::v1::Values {
            column: Some(Column::F64(historian_proto::v1::DoubleColumn { values: rows.iter().map(|row| bits(&row.1)).collect() })),
        }),
        qualities: rows.iter().map(|row| row.2).collect(),
        nulls: (0..).zip(rows).filter(|(_, row)| row.1.is_none()).map(|(index, _)| index).collect(),
    }
}

/// Rows of an answer of gRPC, of values of any type.
pub fn of_proto(samples: &TagSamples) -> Vec<Row> {
    let words: Vec<Bits> = match samples.values.as_ref().unwrap().column.as_ref().unwrap() {
        Column::F64(column) => column.values.iter().map(|value| Bits::Word(value.to_bits())).collect(),
        Column::F32(column) => column.values.iter().map(|value| Bits::Word(value.to_bits().into())).collect(),
        Column::I64(column) => column.values.iter().map(|value| Bits::Word(*value as u64)).collect(),
        Column::U64(column) => column.values.iter().map(|value| Bits::Word(*value)).collect(),
        Column::Bool(column) => column.values.iter().map(|value| Bits::Word((*value).into())).collect(),
        Column::State(column) => column.values.iter().map(|value| Bits::Word((*value).into())).collect(),
        Column::String(column) => column.values.iter().map(|value| Bits::Text(value.clone())).collect(),
    };
    assert_eq!(words.len(), samples.timestamps.len());
    let null = |index: usize| samples.nulls.contains(&(index as u32));
    let quality = |index: usize| samples.qualities.get(index).copied().unwrap_or(0);
    let rows = words.into_iter().enumerate();
    rows.map(|(index, value)| (samples.timestamps[index], (!null(index)).then_some(value), quality(index))).collect()
}

/// Rows of a LONG batch with the names of their tags.
pub fn of_batch(batch: &RecordBatch) -> Vec<(String, Row)> {
    let tags = batch.column_by_name("tag").unwrap().as_dictionary::<Int32Type>();
    let names = tags.values().as_string::<i32>();
    let times = batch.column_by_name("timestamp").unwrap().as_primitive::<TimestampNanosecondType>();
    let qualities = batch.column_by_name("quality").unwrap().as_primitive::<UInt32Type>();
    let values = batch.column_by_name("value").unwrap();
    let row = |index: usize| {
        let value = (!values.is_null(index)).then(|| of_array(values, index));
        (names.value(tags.key(index).unwrap()).to_owned(), (times.value(index), value, qualities.value(index)))
    };
    (0..batch.num_rows()).map(row).collect()
}

fn of_array(values: &ArrayRef, index: usize) -> Bits {
    Bits::Word(match values.data_type() {
        DataType::Float64 => values.as_primitive::<Float64Type>().value(index).to_bits(),
        DataType::Float32 => values.as_primitive::<Float32Type>().value(index).to_bits().into(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(index) as u64,
        DataType::UInt64 => values.as_primitive::<UInt64Type>().value(index),
        DataType::UInt32 => values.as_primitive::<UInt32Type>().value(index).into(),
        DataType::Boolean => values.as_boolean().value(index).into(),
        DataType::Utf8 => return Bits::Text(values.as_string::<i32>().value(index).to_owned()),
        other => panic!("a value column of type {other}"),
    })
}
