//! What a client must not be able to do: every malformed request gets a status and a message that helps, and the historian goes on.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt32Array,
    },
    datatypes::{Field, Schema},
};
use arrow_flight::{
    Action, Criteria, FlightData, FlightDescriptor, PutResult, Ticket, encode::FlightDataEncoderBuilder,
    flight_service_client::FlightServiceClient,
};
use futures::{StreamExt, TryStreamExt};
use historian::api::ApiLimits;
use historian_proto::v1;
use historian_test_support::served::Served;
use tonic::{Code, Status, transport::Channel};

use crate::api::served;

async fn connect(historian: &Served) -> Channel {
    Channel::from_shared(format!("http://{}", historian.grpc)).unwrap().connect().await.unwrap()
}

/// The historian still serves: health, a write and a read of what was written.
async fn assert_unharmed(channel: &Channel, after: &str) {
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap_or_else(|error| panic!("{after}: {error}"));
    assert_eq!(answer.into_inner().status, 1, "{after}");
    let acknowledged = put(channel, WRITE, vec![good()]).await.unwrap_or_else(|error| panic!("{after}: {error}"));
    assert_eq!(acknowledged.len(), 1, "{after}");
    assert!(get(channel, r#"{"range": {"tags": ["a"], "start": 0}}"#).await.is_ok(), "{after}");
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, fragment: &str, request: &str) {
    let error = answer.expect_err(request);
    assert_eq!(error.code(), code, "{request}: {}", error.message());
    assert!(error.message().contains(fragment), "{request}: {:?} does not say {fragment:?}", error.message());
}

const WRITE: &str = r#"{"write": {"create_tags": true}}"#;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

fn tags(names: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(names))
}

fn times(nanoseconds: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(nanoseconds).with_timezone("UTC"))
}

fn floats(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn good() -> RecordBatch {
    batch(vec![("tag", tags(vec![Some("a")])), ("timestamp", times(vec![Some(1)])), ("value", floats(vec![Some(1.0)]))])
}

/// Messages of a `DoPut`, as a sound client makes them.
async fn messages(command: &str, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.to_owned())))
        .build(futures::stream::iter(batches.into_iter().map(Ok)))
        .try_collect()
        .await
        .unwrap()
}

async fn put_messages(channel: &Channel, messages: Vec<FlightData>) -> Result<Vec<PutResult>, Status> {
    let mut client = FlightServiceClient::new(channel.clone()).max_encoding_message_size(usize::MAX);
    client.do_put(futures::stream::iter(messages)).await?.into_inner().try_collect().await
}

async fn put(channel: &Channel, command: &str, batches: Vec<RecordBatch>) -> Result<Vec<PutResult>, Status> {
    put_messages(channel, messages(command, batches).await).await
}

async fn get(channel: &Channel, ticket: impl Into<bytes::Bytes>) -> Result<usize, Status> {
    let mut client = FlightServiceClient::new(channel.clone());
    let messages: Vec<FlightData> = client.do_get(Ticket { ticket: ticket.into() }).await?.into_inner().try_collect().await?;
    Ok(messages.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_descriptors() {
    let historian = served(ApiLimits::default());
    let channel = connect(&historian).await;
    put(&channel, WRITE, vec![good()]).await.unwrap();
    let many = format!(r#"{{"range": {{"tags": [{}"a"], "start": 0}}}}"#, "\"a\",".repeat(15_000));
    let oversized = format!(r#"{{"range": {{"tags": ["{}"], "start": 0}}}}"#, "a".repeat(140_000));
    for (ticket, code, fragment) in [
        ("", Code::InvalidArgument, "empty"),
        ("garbage", Code::InvalidArgument, "JSON"),
        ("\u{1}\u{2}\u{3}", Code::InvalidArgument, "JSON"),
        ("{\"range\": ", Code::InvalidArgument, "JSON"),
        (oversized.as_str(), Code::InvalidArgument, "has 140037 bytes, at most "),
        (many.as_str(), Code::InvalidArgument, "10000"),
        (r#"{"range": {"start": 0}}"#, Code::InvalidArgument, "at least one"),
        (r#"{"range": {"tags": [], "start": 0}}"#, Code::InvalidArgument, "at least one"),
        (r#"{"range": {"tags": [""], "start": 0}}"#, Code::InvalidArgument, "empty"),
        (r#"{"range": {"tags": ["a["], "start": 0}}"#, Code::InvalidArgument, "a["),
        (r#"{"range": {"tags": ["nowhere"], "start": 0}}"#, Code::NotFound, "nowhere"),
        (r#"{"current": {"tags": ["a", "b", "c"]}}"#, Code::NotFound, "\"b\", \"c\""),
        (r#"{"range": {"tags": ["a"]}}"#, Code::InvalidArgument, "start"),
        (r#"{"range": {"tags": ["a"], "start": "yesterday"}}"#, Code::InvalidArgument, "yesterday"),
        (r#"{"range": {"tags": ["a"], "start": "9999-13-01T00:00:00Z"}}"#, Code::InvalidArgument, "9999-13"),
        (r#"{"range": {"tags": ["a"], "start": 1767225600000}}"#, Code::InvalidArgument, "as milliseconds it is 2026-01-01T00:00:00Z"),
        (r#"{"range": {"tags": ["a"], "start": "1767225600"}}"#, Code::InvalidArgument, "as seconds it is 2026-01-01T00:00:00Z"),
        (r#"{"range": {"tags": ["a"], "start": "20260101"}}"#, Code::InvalidArgument, "as a date it is 2026-01-01"),
        (r#"{"range": {"tags": ["a"], "start": 0, "end": 45958}}"#, Code::InvalidArgument, "as a day of a spreadsheet it is 2025-10-28"),
        (r#"{"range": {"tags": ["a"], "start": 7, "time_unit": "minutes"}}"#, Code::InvalidArgument, "range.time_unit"),
        (r#"{"range": {"tags": ["a"], "start": 1.5}}"#, Code::InvalidArgument, "float"),
        (r#"{"range": {"tags": ["a"], "start": 9223372036854775808}}"#, Code::InvalidArgument, "64 bits"),
        (r#"{"range": {"tags": ["a"], "start": 0, "zone": "Mars/Base"}}"#, Code::InvalidArgument, "Mars/Base"),
        (r#"{"range": {"tags": ["a"], "start": 0, "limit": -1}}"#, Code::InvalidArgument, "limit"),
        (r#"{"range": {"tags": ["a"], "start": 0, "limit": 9223372036854775808}}"#, Code::InvalidArgument, "range"),
        (r#"{"range": {"tags": ["a"], "start": 0, "boundary": "AROUND"}}"#, Code::InvalidArgument, "AROUND"),
        (r#"{"range": {"tags": ["a"], "start": 0, "boundary": 9}}"#, Code::InvalidArgument, "INTERPOLATED"),
        (r#"{"range": {"tags": ["a"], "start": 0, "colour": "red"}}"#, Code::InvalidArgument, "colour"),
        (r#"{"write": {}}"#, Code::InvalidArgument, "DoPut"),
        (r#"{"aggregate": {"tags": ["a"]}}"#, Code::InvalidArgument, "start"),
        (r#"{"aggregate": {"tags": ["a"], "start": "1ns", "end": "2ns"}}"#, Code::InvalidArgument, "functions"),
        (r#"{"aggregate": {"tags": ["a"], "start": "1ns", "end": "1ns", "functions": ["average"]}}"#, Code::InvalidArgument, "end"),
        (r#"{"aggregate": {"tags": ["a"], "start": "1ns", "end": "2ns", "functions": ["mean"]}}"#, Code::InvalidArgument, "mean"),
        (r#"{"downsample": {"tags": ["a"]}}"#, Code::InvalidArgument, "start"),
        (r#"{"downsample": {"tags": ["a"], "start": "1ns", "end": "2ns", "points": 1}}"#, Code::InvalidArgument, "points"),
        (r#"{"downsample": {"tags": ["a"], "start": "2ns", "end": "1ns"}}"#, Code::InvalidArgument, "end"),
        (r#"{"anomalies": {"tags": ["a"], "start": "1ns", "end": "2ns"}}"#, Code::InvalidArgument, "detector"),
        (
            r#"{"anomalies": {"tags": ["a"], "start": "1ns", "end": "2ns", "detector": "spike", "parameters": {"window": []}}}"#,
            Code::InvalidArgument,
            "window",
        ),
        (r#"{"drop": {"tables": true}}"#, Code::Unimplemented, "drop"),
    ] {
        let shown = &ticket[..ticket.len().min(80)];
        assert_refused(get(&channel, ticket.to_owned()).await, code, fragment, shown);
        let mut client = FlightServiceClient::new(channel.clone());
        let answer = client.get_flight_info(FlightDescriptor::new_cmd(ticket.to_owned())).await;
        assert_refused(answer, code, fragment, shown);
        assert_refused(client.get_schema(FlightDescriptor::new_cmd(ticket.to_owned())).await, code, fragment, shown);
    }
    assert_unharmed(&channel, "bad tickets").await;

    let mut client = FlightServiceClient::new(channel.clone());
    for (descriptor, code, fragment) in [
        (FlightDescriptor::default(), Code::InvalidArgument, "type"),
        (FlightDescriptor::new_path(vec![]), Code::InvalidArgument, "path is empty"),
        (FlightDescriptor::new_path(vec!["no".into(), "tag".into()]), Code::NotFound, "no/tag"),
        (FlightDescriptor::new_path(vec!["tags".into(), "no".into()]), Code::NotFound, "\"no\""),
    ] {
        assert_refused(client.get_flight_info(descriptor).await, code, fragment, fragment);
    }
    let long = vec![b'x'; 70_000];
    for (expression, fragment) in [(&b"{\"tagz\": []}"[..], "tagz"), (b"\xFF\xFE", "UTF-8"), (b"a[", "a["), (&long, "65536")] {
        let answer = client.list_flights(Criteria { expression: expression.to_vec().into() }).await.map(|_| ());
        assert_refused(answer, Code::InvalidArgument, fragment, fragment);
    }
    let action = Action { r#type: "drop".into(), body: bytes::Bytes::new() };
    assert_refused(client.do_action(action).await.map(|_| ()), Code::Unimplemented, "drop", "action");
    assert_unharmed(&channel, "bad descriptors").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn write_streams() {
    let historian = served(ApiLimits::default());
    let channel = connect(&historian).await;
    put(&channel, WRITE, vec![good()]).await.unwrap();

    for (command, fragment) in [
        ("", "empty"),
        ("{", "JSON"),
        (r#"{"range": {"tags": ["a"], "start": 0}}"#, "is a query"),
        (r#"{"write": {"mode": "REPLACE"}}"#, "REPLACE"),
        (r#"{"write": {"mode": 7}}"#, "UPSERT"),
        (r#"{"write": {"durability": "MAYBE"}}"#, "MAYBE"),
        (r#"{"write": {"create_tag": true}}"#, "create_tag"),
    ] {
        assert_refused(put(&channel, command, vec![good()]).await, Code::InvalidArgument, fragment, command);
    }

    let tag = || tags(vec![Some("a"), Some("a")]);
    let time = || times(vec![Some(1), Some(2)]);
    let value = || floats(vec![Some(1.0), Some(2.0)]);
    let zoned: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1, 2]).with_timezone("Europe/Berlin"));
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1, i64::MAX]));
    let cases: Vec<(&str, RecordBatch, &str)> = vec![
        ("no tag", batch(vec![("timestamp", time()), ("value", value())]), "column tag is missing, found timestamp, value"),
        ("no timestamp", batch(vec![("tag", tag()), ("value", value())]), "column timestamp is missing"),
        ("no value", batch(vec![("tag", tag()), ("timestamp", time())]), "column value is missing"),
        ("extra", batch(vec![("tag", tag()), ("timestamp", time()), ("value", value()), ("unit", tag())]), "\"unit\" is not known"),
        ("twice", batch(vec![("tag", tag()), ("timestamp", time()), ("value", value()), ("value", value())]), "occurs twice"),
        ("tag of numbers", batch(vec![("tag", value()), ("timestamp", time()), ("value", value())]), "\"tag\" has the type Float64"),
        (
            "time of numbers",
            batch(vec![("tag", tag()), ("timestamp", Arc::new(Int64Array::from(vec![1, 2]))), ("value", value())]),
            "Int64",
        ),
        ("other zone", batch(vec![("tag", tag()), ("timestamp", zoned), ("value", value())]), "Europe/Berlin"),
        ("value of nulls", batch(vec![("tag", tag()), ("timestamp", time()), ("value", Arc::new(NullArray::new(2)))]), "Null"),
        (
            "quality of another type",
            batch(vec![("tag", tag()), ("timestamp", time()), ("value", value()), ("quality", Arc::new(Int64Array::from(vec![0, 0])))]),
            "\"quality\" has the type Int64",
        ),
        ("null tag", batch(vec![("tag", tags(vec![Some("a"), None])), ("timestamp", time()), ("value", value())]), "row 1 has no tag"),
        ("null time", batch(vec![("tag", tag()), ("timestamp", times(vec![None, Some(1)])), ("value", value())]), "row 0 has no timestamp"),
        ("null value", batch(vec![("tag", tag()), ("timestamp", time()), ("value", floats(vec![Some(1.0), None]))]), "row 1 (tag \"a\")"),
        (
            "null quality",
            batch(vec![
                ("tag", tag()),
                ("timestamp", time()),
                ("value", value()),
                ("quality", Arc::new(UInt32Array::from(vec![Some(0), None]))),
            ]),
            "row 1 has no quality",
        ),
        ("far time", batch(vec![("tag", tag()), ("timestamp", seconds), ("value", value())]), "row 1"),
        ("bad name", batch(vec![("tag", tags(vec![Some("x//y"), Some("a")])), ("timestamp", time()), ("value", value())]), "empty level"),
        ("text", batch(vec![("tag", tag()), ("timestamp", time()), ("value", tag())]), "type string"),
        (
            "bool",
            batch(vec![("tag", tag()), ("timestamp", time()), ("value", Arc::new(BooleanArray::from(vec![true, false])))]),
            "type bool",
        ),
        (
            "too precise",
            batch(vec![("tag", tag()), ("timestamp", time()), ("value", Arc::new(Int64Array::from(vec![1, (1 << 53) + 1])))]),
            "9007199254740993",
        ),
    ];
    for (name, bad, fragment) in cases {
        assert_refused(put(&channel, WRITE, vec![bad]).await, Code::InvalidArgument, fragment, name);
        assert_unharmed(&channel, name).await;
    }
    let unknown =
        batch(vec![("tag", tags(vec![Some("nowhere")])), ("timestamp", times(vec![Some(1)])), ("value", floats(vec![Some(1.0)]))]);
    assert_refused(put(&channel, r#"{"write": {}}"#, vec![unknown]).await, Code::NotFound, "nowhere", "unknown tag");

    // What was acknowledged before the error stays, and its acknowledgement comes before the error.
    let mut bad_later = messages(WRITE, vec![good(), good()]).await;
    bad_later[2].data_header = bad_later[2].data_header.slice(..20);
    let mut client = FlightServiceClient::new(channel.clone());
    let mut answers = client.do_put(futures::stream::iter(bad_later)).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    assert_refused(answers.next().await.unwrap(), Code::InvalidArgument, "malformed", "second message");
    assert!(answers.next().await.is_none());

    // Streams out of order, and none at all.
    assert_refused(put_messages(&channel, vec![]).await, Code::InvalidArgument, "empty", "no message");
    let mut no_schema = messages(WRITE, vec![good()]).await;
    let first = no_schema.remove(0);
    no_schema[0].flight_descriptor = first.flight_descriptor.clone();
    assert_refused(put_messages(&channel, no_schema).await, Code::InvalidArgument, "before the schema", "no schema");
    let mut no_descriptor = messages(WRITE, vec![good()]).await;
    no_descriptor[0].flight_descriptor = None;
    assert_refused(put_messages(&channel, no_descriptor).await, Code::InvalidArgument, "descriptor", "no descriptor");
    let mut path = messages(WRITE, vec![good()]).await;
    path[0].flight_descriptor = Some(FlightDescriptor::new_path(vec!["a".into()]));
    assert_refused(put_messages(&channel, path).await, Code::InvalidArgument, "path", "path descriptor");
    assert_unharmed(&channel, "streams out of order").await;
}

/// Every byte of the header of a batch and of a schema broken in several ways, and bodies cut short.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_never_stop_the_historian() {
    let historian = served(ApiLimits::default());
    let channel = connect(&historian).await;
    let sound = messages(WRITE, vec![good()]).await;
    let mut broken = 0;
    for message in 0..sound.len() {
        for at in 0..sound[message].data_header.len() {
            for change in [0x01_u8, 0x80, 0xFF] {
                let mut sent = sound.clone();
                let mut header = sent[message].data_header.to_vec();
                header[at] ^= change;
                sent[message].data_header = header.into();
                broken += u32::from(check_broken(put_messages(&channel, sent).await, message, at));
            }
        }
        for length in (0..sound[message].data_body.len()).step_by(7) {
            let mut sent = sound.clone();
            sent[message].data_body = sent[message].data_body.slice(..length);
            broken += u32::from(check_broken(put_messages(&channel, sent).await, message, length));
        }
    }
    assert!(broken > 200, "only {broken} of the broken messages were refused");
    assert_unharmed(&channel, "malformed messages").await;
}

/// True when it was refused. A change may also hit nothing that matters.
fn check_broken(answer: Result<Vec<PutResult>, Status>, message: usize, at: usize) -> bool {
    let Err(error) = answer else { return false };
    let known = matches!(error.code(), Code::InvalidArgument | Code::NotFound | Code::ResourceExhausted);
    assert!(known, "message {message} broken at {at}: {error}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_requests() {
    let historian = served(ApiLimits::default());
    let channel = connect(&historian).await;
    put(&channel, WRITE, vec![good()]).await.unwrap();
    let mut tag_service = v1::tag_service_client::TagServiceClient::new(channel.clone());
    let invalid = Code::InvalidArgument;

    for (page_size, tags, filter, page_token, fragment) in [
        (1_000_000_000, vec![], "", "", "page_size"),
        (-1, vec![], "", "", "page_size"),
        (0, vec!["a["], "", "", "tags"),
        (0, vec![], "colour=red", "", "filter"),
        (0, vec![], "", "next", "page_token"),
        (0, vec!["a"; 100_000], "", "", "10000"),
    ] {
        let request = v1::ListTagsRequest {
            tags: tags.into_iter().map(str::to_owned).collect(),
            filter: filter.into(),
            page_size,
            page_token: page_token.into(),
            ..v1::ListTagsRequest::default()
        };
        assert_refused(tag_service.list_tags(request).await, invalid, fragment, fragment);
    }
    for (tag, code, fragment) in [
        (None, invalid, "tag is missing"),
        (Some(v1::Tag::default()), invalid, "tag.name"),
        (Some(v1::Tag { name: "b".into(), ..v1::Tag::default() }), invalid, "tag.value_type"),
        (Some(v1::Tag { name: "b*".into(), value_type: 1, ..v1::Tag::default() }), invalid, "globs"),
        (Some(v1::Tag { name: "b".into(), value_type: 99, ..v1::Tag::default() }), invalid, "99"),
        (Some(v1::Tag { name: "a".into(), value_type: 1, ..v1::Tag::default() }), Code::AlreadyExists, "\"a\""),
    ] {
        assert_refused(tag_service.create_tag(v1::CreateTagRequest { tag }).await, code, fragment, fragment);
    }
    let mut query = v1::query_service_client::QueryServiceClient::new(channel.clone());
    for (request, fragment) in [
        (v1::RangeRequest::default(), "start"),
        (v1::RangeRequest { start: "0".into(), ..v1::RangeRequest::default() }, "at least one"),
        (v1::RangeRequest { tags: vec!["a".into()], start: "0".into(), limit: i64::MIN, ..v1::RangeRequest::default() }, "limit"),
        (v1::RangeRequest { tags: vec!["a".into()], start: "0".into(), boundary: 7, ..v1::RangeRequest::default() }, "boundary"),
        (v1::RangeRequest { tags: vec!["a".into()], start: "0".into(), layout: 2, ..v1::RangeRequest::default() }, "WIDE"),
        (v1::RangeRequest { tags: vec!["x".repeat(2000)], start: "0".into(), ..v1::RangeRequest::default() }, "1024"),
    ] {
        assert_refused(query.range(request).await.map(|_| ()), invalid, fragment, fragment);
    }
    assert_refused(query.current_values(v1::CurrentValuesRequest::default()).await, invalid, "at least one", "no tags");
    let mut write = v1::write_service_client::WriteServiceClient::new(channel.clone());
    let options = Some(v1::WriteRequest { mode: 5, ..v1::WriteRequest::default() });
    assert_refused(write.write_samples(v1::WriteSamplesRequest { options, samples: vec![] }).await, invalid, "mode", "mode");
    assert_unharmed(&channel, "bad gRPC requests").await;
}

/// Limits of the service, with small values in the place of the large ones.
#[tokio::test(flavor = "multi_thread")]
async fn limits() {
    let limits = ApiLimits { message_bytes_max: 100_000, query_tags_max: 2, query_rows_max: 5, ..ApiLimits::default() };
    let historian = served(limits);
    let channel = connect(&historian).await;
    let rows = |count: i64, name: &'static str| {
        batch(vec![
            ("tag", tags(vec![Some(name); count as usize])),
            ("timestamp", times((0..count).map(Some).collect())),
            ("value", floats(vec![Some(1.0); count as usize])),
        ])
    };
    let error = put(&channel, WRITE, vec![rows(20_000, "a")]).await.unwrap_err();
    assert!(matches!(error.code(), Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument), "{error}");
    for name in ["a", "b", "c"] {
        put(&channel, WRITE, vec![rows(4, name)]).await.unwrap();
    }
    let exhausted = Code::ResourceExhausted;
    assert_refused(get(&channel, r#"{"range": {"tags": ["*"], "start": 0}}"#).await, exhausted, "3 tags", "tags");
    assert_refused(get(&channel, r#"{"range": {"tags": ["a", "b"], "start": 0}}"#).await, exhausted, "5 rows", "rows");
    let mut client = FlightServiceClient::new(channel.clone());
    let mut request = tonic::Request::new(Ticket { ticket: r#"{"range": {"tags": ["a"], "start": 0}}"#.into() });
    request.metadata_mut().insert("grpc-timeout", "1n".parse().unwrap());
    let answer = async { client.do_get(request).await?.into_inner().try_collect::<Vec<_>>().await }.await;
    let error = answer.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
    assert_unharmed(&channel, "limits").await;
}

/// An answer that is longer than it may be ends with an error that says so, at every door.
#[tokio::test(flavor = "multi_thread")]
async fn long_answers() {
    let historian = served(ApiLimits { query_bytes_max: 1 << 20, ..ApiLimits::default() });
    let channel = connect(&historian).await;
    let rows = |from: i64, count: i64| {
        batch(vec![
            ("tag", tags(vec![Some("long"); count as usize])),
            ("timestamp", times((from..from + count).map(Some).collect())),
            ("value", floats((from..from + count).map(|at| Some((at as f64).sin())).collect())),
        ])
    };
    put(&channel, WRITE, vec![rows(0, 10_000)]).await.unwrap();
    let all = r#"{"range": {"tags": ["long"], "start": 0}}"#;
    get(&channel, all).await.expect("a short answer comes whole");
    put(&channel, WRITE, vec![rows(10_000, 90_000)]).await.unwrap();
    assert_refused(get(&channel, all).await, Code::ResourceExhausted, "1048576 bytes", "bytes");
    let mut query = v1::query_service_client::QueryServiceClient::new(channel.clone());
    let request = v1::RangeRequest { tags: vec!["long".into()], start: "0".into(), ..v1::RangeRequest::default() };
    let answer = async { query.range(request).await?.into_inner().try_collect::<Vec<_>>().await }.await;
    assert_refused(answer, Code::ResourceExhausted, "1048576 bytes", "bytes of gRPC");
    assert_unharmed(&channel, "long answers").await;
}
