//! One rule for writing behind every door: the same samples are taken, refused and rejected by `WriteSamples`, its stream, `ReplaceRange` and
//! `DoPut`, for the same reason. Each door says the reason where it names rows: of the tag, or of the batch.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
        UInt32Array, UInt64Array,
    },
    datatypes::{Field, Schema},
};
use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder, flight_service_client::FlightServiceClient};
use futures::{StreamExt, TryStreamExt};
use historian::{api::ApiLimits, ingest::IngestOptions};
use historian_proto::v1::{
    self, TagFailure, TagSamples, WriteAcknowledgement, WriteRequest, WriteSamplesResponse, values::Column,
    write_service_client::WriteServiceClient,
};
use historian_test_support::served::Served;
use prost::Message;
use tonic::{Code, Status, transport::Channel};

use crate::api::{served, served_with};

const GOOD: u32 = 0;
const BAD: u32 = 0x8000_0000;

/// Columns of one tag; a value that is `None` is a null.
#[derive(Clone)]
struct Run {
    tag: &'static str,
    values: Column,
    nulls: Vec<u32>,
    qualities: Vec<u32>,
    times: Vec<i64>,
}

impl Run {
    fn of(tag: &'static str, values: Column) -> Run {
        let count = match &values {
            Column::F64(column) => column.values.len(),
            Column::F32(column) => column.values.len(),
            Column::I64(column) => column.values.len(),
            Column::U64(column) => column.values.len(),
            Column::Bool(column) => column.values.len(),
            Column::State(column) => column.values.len(),
            Column::String(column) => column.values.len(),
        };
        Run { tag, values, nulls: vec![], qualities: vec![GOOD; count], times: (1..=count as i64).collect() }
    }

    fn with_null(self, row: u32, quality: u32) -> Run {
        let mut run = Run { nulls: vec![row], ..self };
        run.qualities[row as usize] = quality;
        run
    }

    fn at(self, times: Vec<i64>) -> Run {
        Run { times, ..self }
    }

    fn message(&self) -> TagSamples {
        TagSamples {
            tag: self.tag.into(),
            timestamps: self.times.clone(),
            values: Some(v1::Values { column: Some(self.values.clone()) }),
            qualities: self.qualities.clone(),
            nulls: self.nulls.clone(),
        }
    }

    /// The rows of the run behind one of the tag `before`, whose value is a value of the same type.
    fn batch(&self, before: &str) -> RecordBatch {
        fn column<T: Clone + Default>(values: &[T], nulls: &[u32]) -> Vec<Option<T>> {
            let values = values.iter().enumerate().map(|(row, value)| (!nulls.contains(&(row as u32))).then(|| value.clone()));
            std::iter::once(Some(T::default())).chain(values).collect()
        }
        let values: ArrayRef = match &self.values {
            Column::F64(values) => Arc::new(Float64Array::from(column(&values.values, &self.nulls))),
            Column::F32(values) => Arc::new(Float32Array::from(column(&values.values, &self.nulls))),
            Column::I64(values) => Arc::new(Int64Array::from(column(&values.values, &self.nulls))),
            Column::U64(values) => Arc::new(UInt64Array::from(column(&values.values, &self.nulls))),
            Column::State(values) => Arc::new(UInt32Array::from(column(&values.values, &self.nulls))),
            Column::Bool(values) => Arc::new(BooleanArray::from(column(&values.values, &self.nulls))),
            Column::String(values) => Arc::new(StringArray::from(column(&values.values, &self.nulls))),
        };
        let count = self.times.len();
        let tags = StringArray::from_iter_values(std::iter::once(before).chain(std::iter::repeat_n(self.tag, count)));
        let times = TimestampNanosecondArray::from_iter_values(std::iter::once(1).chain(self.times.iter().copied())).with_timezone("UTC");
        let qualities = UInt32Array::from_iter_values(std::iter::once(GOOD).chain(self.qualities.iter().copied()));
        let columns: [(&str, ArrayRef); 4] =
            [("tag", Arc::new(tags)), ("timestamp", Arc::new(times)), ("value", values), ("quality", Arc::new(qualities))];
        let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
    }
}

fn f64s(values: &[f64]) -> Column {
    Column::F64(v1::DoubleColumn { values: values.to_vec() })
}

fn i64s(values: &[i64]) -> Column {
    Column::I64(v1::SignedColumn { values: values.to_vec() })
}

fn u64s(values: &[u64]) -> Column {
    Column::U64(v1::UnsignedColumn { values: values.to_vec() })
}

fn bools(values: &[bool]) -> Column {
    Column::Bool(v1::BoolColumn { values: values.to_vec() })
}

fn texts(values: &[&str]) -> Column {
    Column::String(v1::StringColumn { values: values.iter().map(|text| (*text).to_owned()).collect() })
}

struct Doors {
    channel: Channel,
}

impl Doors {
    async fn to(historian: &Served) -> Doors {
        let doors = Doors { channel: Channel::from_shared(format!("http://{}", historian.grpc)).unwrap().connect().await.unwrap() };
        let mut tags = v1::tag_service_client::TagServiceClient::new(doors.channel.clone());
        for (name, value_type) in [
            ("float", v1::ValueType::F64),
            ("single", v1::ValueType::F32),
            ("signed", v1::ValueType::I64),
            ("unsigned", v1::ValueType::U64),
            ("flag", v1::ValueType::Bool),
            ("text", v1::ValueType::String),
            ("state", v1::ValueType::State),
        ] {
            let tag = v1::Tag { name: name.into(), value_type: value_type.into(), ..v1::Tag::default() };
            tags.create_tag(v1::CreateTagRequest { tag: Some(tag) }).await.unwrap();
        }
        doors
    }

    /// `WriteSamples`; a stream of the same request must answer the same but for the watermark.
    async fn write(&self, options: WriteRequest, samples: Vec<TagSamples>) -> Result<WriteSamplesResponse, Status> {
        let mut client = WriteServiceClient::new(self.channel.clone());
        let request = v1::WriteSamplesRequest { options: Some(options), samples: samples.clone() };
        let once = client.write_samples(request).await.map(tonic::Response::into_inner);
        let request = v1::WriteSamplesStreamRequest { options: Some(options), samples };
        let mut answers = client.write_samples_stream(futures::stream::iter([request])).await?.into_inner();
        let streamed = answers.next().await.expect("each request is answered");
        match (&once, streamed) {
            (Ok(once), Ok(v1::WriteSamplesStreamResponse { watermark, samples, failures, rejected, rejections })) => {
                assert!(watermark >= once.watermark);
                assert_eq!((samples, &failures, rejected), (once.samples, &once.failures, once.rejected));
                assert_eq!(told(&rejections), told(&once.rejections));
            }
            (Err(once), Err(streamed)) => assert_eq!((streamed.code(), streamed.message()), (once.code(), once.message())),
            (once, streamed) => panic!("{once:?}, but in a stream {streamed:?}"),
        }
        once
    }

    /// `DoPut` of a batch with the command as protobuf; with the command as JSON it must answer the same but for the watermark.
    async fn put(&self, options: WriteRequest, batch: RecordBatch) -> Result<WriteAcknowledgement, Status> {
        #[derive(Clone, PartialEq, Message)]
        struct Any {
            #[prost(string, tag = "1")]
            type_url: String,
            #[prost(bytes = "vec", tag = "2")]
            value: Vec<u8>,
        }
        let any = Any { type_url: "type.googleapis.com/historian.v1.WriteRequest".into(), value: options.encode_to_vec() };
        let answer = self.put_command(any.encode_to_vec(), batch.clone()).await;
        let answer = answer.map(|bytes| WriteAcknowledgement::decode(&bytes[..]).unwrap());
        let json =
            serde_json::json!({"write": {"mode": options.mode, "durability": options.durability, "create_tags": options.create_tags}});
        match (&answer, self.put_command(json.to_string().into(), batch).await) {
            (Ok(answer), Ok(text)) => {
                let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(text["samples"], answer.samples.to_string());
                let rejected = text.get("rejected").map_or("0", |rejected| rejected.as_str().unwrap());
                assert_eq!(rejected, answer.rejected.to_string());
            }
            (Err(answer), Err(json)) => assert_eq!((json.code(), json.message()), (answer.code(), answer.message())),
            (answer, json) => panic!("{answer:?}, but for JSON {json:?}"),
        }
        answer
    }

    async fn put_command(&self, command: Vec<u8>, batch: RecordBatch) -> Result<Vec<u8>, Status> {
        let messages = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
            .build(futures::stream::iter([Ok(batch)]))
            .map(|message| message.unwrap());
        let answers = FlightServiceClient::new(self.channel.clone()).do_put(messages).await?.into_inner();
        let mut answers: Vec<_> = answers.try_collect().await?;
        assert_eq!(answers.len(), 1, "one batch, one acknowledgement");
        Ok(answers.remove(0).app_metadata.to_vec())
    }

    async fn replace(&self, samples: TagSamples) -> Result<v1::ReplaceRangeResponse, Status> {
        let request = v1::ReplaceRangeRequest {
            start: "0ns".into(),
            end: "100ns".into(),
            reason: "a test".into(),
            samples: vec![samples],
            ..v1::ReplaceRangeRequest::default()
        };
        WriteServiceClient::new(self.channel.clone()).replace_range(request).await.map(tonic::Response::into_inner)
    }

    /// All samples of these tags by time, as `tag time`.
    async fn stored(&self, tags: &str) -> Vec<String> {
        let request = v1::RangeRequest {
            tags: vec![tags.into()],
            start: i64::MIN.to_string(),
            end: i64::MAX.to_string(),
            ..v1::RangeRequest::default()
        };
        let answers = v1::query_service_client::QueryServiceClient::new(self.channel.clone()).range(request).await.unwrap().into_inner();
        let answers: Vec<_> = answers.try_collect().await.unwrap();
        let runs = answers.iter().flat_map(|answer| &answer.samples);
        runs.flat_map(|run| run.timestamps.iter().map(|time| format!("{} {time}", run.tag))).collect()
    }

    async fn tags(&self, tags: &str) -> Vec<String> {
        let request = v1::ListTagsRequest { tags: vec![tags.into()], ..v1::ListTagsRequest::default() };
        let answer = v1::tag_service_client::TagServiceClient::new(self.channel.clone()).list_tags(request).await.unwrap();
        answer.into_inner().tags.into_iter().map(|tag| tag.name).collect()
    }
}

/// Rejections without the time of the historian's clock, which goes on.
fn told(rejections: &[v1::Rejection]) -> Vec<(String, i64, String)> {
    let reason = |text: &str| match (text.find('('), text.find(')')) {
        (Some(start), Some(end)) => format!("{}(now){}", &text[..start], &text[end + 1..]),
        _ => text.to_owned(),
    };
    rejections.iter().map(|one| (one.tag.clone(), one.timestamp, reason(&one.reason))).collect()
}

const NO_VALUE: &str = "; a sample without a value needs a quality that is not Good";
/// A time in the year 2255.
const FAR: i64 = 9_000_000_000_000_000_000;

const CREATE: WriteRequest = WriteRequest { mode: 0, durability: 0, create_tags: true };

#[tokio::test(flavor = "multi_thread")]
async fn each_door_refuses_the_same_samples_for_the_same_reason() {
    let historian = served(ApiLimits::default());
    let doors = Doors::to(&historian).await;
    let cases: Vec<(Run, Option<usize>, String)> = vec![
        (Run::of("signed", f64s(&[1.0, 1.5])), Some(1), ": the value 1.5 cannot be held exactly by a tag of type i64".into()),
        (Run::of("signed", f64s(&[f64::NAN])), Some(0), ": the value NaN cannot be held exactly by a tag of type i64".into()),
        (
            Run::of("signed", u64s(&[7, 7, u64::MAX])),
            Some(2),
            ": the value 18446744073709551615 cannot be held exactly by a tag of type i64".into(),
        ),
        (Run::of("unsigned", i64s(&[-1])), Some(0), ": the value -1 cannot be held exactly by a tag of type u64".into()),
        (
            Run::of("float", i64s(&[0, (1 << 53) + 1])),
            Some(1),
            ": the value 9007199254740993 cannot be held exactly by a tag of type f64".into(),
        ),
        (Run::of("single", f64s(&[0.1])), Some(0), ": the value 0.1 cannot be held exactly by a tag of type f32".into()),
        (Run::of("state", i64s(&[1 << 32])), Some(0), ": the value 4294967296 cannot be held exactly by a tag of type state".into()),
        (Run::of("float", texts(&["x"])), None, "values of type string cannot be written to a tag of type f64".into()),
        (Run::of("text", f64s(&[1.0])), None, "values of type f64 cannot be written to a tag of type string".into()),
        (Run::of("flag", i64s(&[1])), None, "values of type i64 cannot be written to a tag of type bool".into()),
        (Run::of("signed", bools(&[true])), None, "values of type bool cannot be written to a tag of type i64".into()),
        (Run::of("float", f64s(&[1.0, 2.0])).with_null(1, GOOD), Some(1), format!(" has no value and the quality Good{NO_VALUE}")),
        (Run::of("flag", bools(&[true])).with_null(0, 0x0480), Some(0), format!(" has no value and the quality Good+0x0480{NO_VALUE}")),
        // Of two faults the one that is looked at first.
        (Run::of("signed", f64s(&[1.5, 2.0])).with_null(1, GOOD), Some(1), format!(" has no value and the quality Good{NO_VALUE}")),
    ];
    for (number, (run, row, reason)) in cases.into_iter().enumerate() {
        let (in_tag, in_batch) = match row {
            Some(row) => (format!("sample {row}{reason}"), format!("value: row {} (tag {:?}){reason}", row + 1, run.tag)),
            None => (reason.clone(), format!("value: tag {:?}: {reason}", run.tag)),
        };
        // What comes beside it is taken by gRPC.
        let beside = TagSamples { tag: format!("beside/{number:02}"), ..Run::of("", f64s(&[1.0])).message() };
        let answer = doors.write(CREATE, vec![run.message(), beside]).await.unwrap();
        let failure = TagFailure { tag: run.tag.into(), code: Code::InvalidArgument.into(), message: in_tag.clone() };
        assert_eq!((answer.samples, answer.failures), (1, vec![failure]));

        let error = doors.put(CREATE, run.batch("put/beside")).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, in_batch.as_str()));

        let error = doors.replace(run.message()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, format!("samples: {}: {in_tag}", run.tag).as_str()));
    }
    let written: Vec<String> = (0..14).map(|number| format!("beside/{number:02} 1")).collect();
    assert_eq!(doors.stored("**").await, written);
    assert!(doors.tags("put/**").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_refuses_the_same_names_and_options() {
    let historian = served(ApiLimits::default());
    let doors = Doors::to(&historian).await;
    let run = |tag| Run::of(tag, f64s(&[1.0]));

    let answer = doors.write(WriteRequest::default(), vec![run("none").message()]).await.unwrap();
    let failure = TagFailure { tag: "none".into(), code: Code::NotFound.into(), message: "there is no tag of this name".into() };
    assert_eq!(answer.failures, [failure]);
    let error = doors.put(WriteRequest::default(), run("none").batch("nor this")).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, r#"there is no tag "nor this", "none""#));
    let error = doors.replace(run("none").message()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, r#"there is no tag "none""#));

    for (name, reason) in [("a//b", "has an empty level"), ("a*", "contains globs")] {
        let answer = doors.write(CREATE, vec![run(name).message()]).await.unwrap();
        let [failure] = &answer.failures[..] else { panic!("{answer:?}") };
        let error = doors.put(CREATE, run(name).batch("good")).await.unwrap_err();
        assert_eq!((failure.code, error.code()), (Code::InvalidArgument.into(), Code::InvalidArgument), "{reason}");
        assert!(failure.message.starts_with(&format!("tag name {name:?} ")), "{}", failure.message);
        assert_eq!(error.message(), format!("tag: {}", failure.message));
    }

    for (options, reason) in [
        (WriteRequest { mode: 9, ..CREATE }, "mode: 9 is none of UPSERT, INSERT"),
        (WriteRequest { durability: -1, ..CREATE }, "durability: -1 is none of SYNC, INTERVAL"),
    ] {
        let error = doors.write(options, vec![run("good").message()]).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, reason));
        let error = doors.put(options, run("good").batch("too")).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, reason));
    }
    assert!(doors.stored("**").await.is_empty());
    assert_eq!(doors.tags("**").await, ["flag", "float", "signed", "single", "state", "text", "unsigned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_rejects_the_same_samples_of_a_write_that_it_takes() {
    let options = IngestOptions { future_max: Some(Duration::from_hours(24)), ..IngestOptions::default() };
    let historian = served_with(ApiLimits::default(), options);
    let doors = Doors::to(&historian).await;
    let far = |tag| Run::of(tag, f64s(&[1.0, 2.0, 3.0])).at(vec![FAR, 5, FAR + 1]);
    let reason = "lies more than 86400 s ahead of the historian's clock (now); correct the clock of the source, or raise future_max_s";
    let rejected = |tag: &str| vec![(tag.to_owned(), FAR, reason.to_owned()), (tag.to_owned(), FAR + 1, reason.to_owned())];

    // Of a tag that is there, and of one that is made for the sample that is taken.
    for (by_grpc, by_flight) in [("float", "float"), ("grpc/made", "flight/made")] {
        let answer = doors.write(CREATE, vec![far(by_grpc).message()]).await.unwrap();
        assert_eq!((answer.samples, answer.rejected, told(&answer.rejections)), (1, 2, rejected(by_grpc)));
        assert!(answer.failures.is_empty());
        let answer = doors.put(CREATE, far(by_flight).batch("flight/beside")).await.unwrap();
        assert_eq!((answer.samples, answer.rejected, told(&answer.rejections)), (2, 2, rejected(by_flight)));
    }
    // No tag is made for samples that are not taken.
    let none = |tag| Run::of(tag, f64s(&[1.0])).at(vec![FAR]);
    let answer = doors.write(CREATE, vec![none("grpc/none").message()]).await.unwrap();
    assert_eq!((answer.samples, answer.rejected), (0, 1));
    let answer = doors.put(CREATE, none("flight/none").batch("flight/beside")).await.unwrap();
    assert_eq!((answer.samples, answer.rejected), (1, 1));
    assert_eq!(doors.tags("*/*").await, ["flight/beside", "flight/made", "grpc/made"]);

    // A sample that has no value for a reason is one of them.
    let bad = |tag| Run::of(tag, bools(&[true, false])).with_null(1, BAD);
    assert_eq!(doors.write(CREATE, vec![bad("grpc/flag").message()]).await.unwrap().samples, 2);
    assert_eq!(doors.put(CREATE, bad("flight/flag").batch("flight/flag")).await.unwrap().samples, 3);

    // INSERT leaves what is there, at each door.
    let insert = WriteRequest { mode: v1::write_request::Mode::Insert.into(), ..WriteRequest::default() };
    let again = |tag| Run::of(tag, f64s(&[9.0])).at(vec![5]);
    assert_eq!(doors.write(insert, vec![again("grpc/made").message()]).await.unwrap().samples, 0);
    assert_eq!(doors.put(insert, again("flight/made").batch("flight/beside")).await.unwrap().samples, 0);
}
