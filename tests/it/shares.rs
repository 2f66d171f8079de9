//! What one client may take of the historian, and what it leaves to others: places, memory, and the time of a query that waits for it.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use arrow_flight::{FlightData, Ticket, flight_service_client::FlightServiceClient};
use bytes::Bytes;
use futures::StreamExt;
use historian::api::ApiLimits;
use historian_proto::v1::{
    CurrentValuesRequest, DoubleColumn, TagSamples, Values, WriteRequest, WriteSamplesRequest, query_service_client::QueryServiceClient,
    values::Column, write_service_client::WriteServiceClient,
};
use historian_test_support::served::Served;
use prost::Message;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    api::served,
    connections::{DATA, END_HEADERS, HEADERS, Raw, SETTINGS, WINDOW_UPDATE, fields, frame},
};

const SAMPLES: i64 = 1_000_000;
const RANGE: &str = r#"{"range": {"tags": ["a"], "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}}"#;
const FIRST_NS: i64 = 1_767_225_600_000_000_000;

/// A channel of the client with this address.
async fn channel(historian: &Served, address: [u8; 4]) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", historian.grpc)).unwrap();
    endpoint.local_address(Some(IpAddr::from(address))).connect().await.unwrap()
}

/// Writes a tag whose range is an answer of some 24 MB.
async fn write(channel: &Channel) {
    let mut client = WriteServiceClient::new(channel.clone());
    for from in (0..SAMPLES).step_by(100_000) {
        let rows = from..from + 100_000;
        let samples = TagSamples {
            tag: "a".into(),
            timestamps: rows.clone().map(|row| FIRST_NS + row * 1_000_000).collect(),
            values: Some(Values { column: Some(Column::F64(DoubleColumn { values: rows.map(|row| row as f64).collect() })) }),
            ..TagSamples::default()
        };
        let options = Some(WriteRequest { create_tags: true, ..WriteRequest::default() });
        client.write_samples(WriteSamplesRequest { samples: vec![samples], options }).await.unwrap();
    }
}

async fn range(channel: &Channel) -> Result<Streaming<FlightData>, Status> {
    let ticket = Ticket { ticket: Bytes::from_static(RANGE.as_bytes()) };
    let mut client = FlightServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.do_get(ticket).await.map(tonic::Response::into_inner)
}

async fn bytes_of(mut answer: Streaming<FlightData>) -> Result<usize, Status> {
    let mut bytes = 0;
    while let Some(message) = answer.next().await {
        bytes += message?.encoded_len();
    }
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_leaves_places_for_others() {
    let historian = served(ApiLimits { queries_max: 4, ..ApiLimits::default() });
    let (one, other) = (channel(&historian, [127, 0, 0, 1]).await, channel(&historian, [127, 0, 0, 2]).await);
    write(&one).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(range(&one).await.unwrap());
    }
    let refused = range(&one).await.expect_err("it has its share");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("3 queries of this client"), "{}", refused.message());
    assert!(String::from_utf8_lossy(refused.details()).contains("google.rpc.RetryInfo"), "it is told when to try again");
    assert!(bytes_of(range(&other).await.unwrap()).await.unwrap() > SAMPLES as usize * 20);
    drop(unread);
    assert!(bytes_of(range(&one).await.unwrap()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_a_place_that_becomes_free_soon() {
    let historian = served(ApiLimits { queries_max: 1, ..ApiLimits::default() });
    let channel = channel(&historian, [127, 0, 0, 1]).await;
    write(&channel).await;
    // Soon is a second. A refusal after less is a fault; one after more says that the machine was late with giving the place back.
    for _ in 0..20 {
        let (first, second) = (range(&channel).await.unwrap(), range(&channel));
        let begun = Instant::now();
        let leaves = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(first);
        };
        let ((), second) = tokio::join!(leaves, second);
        match second {
            Ok(second) => return assert!(bytes_of(second).await.unwrap() > SAMPLES as usize * 20),
            Err(refused) => {
                let waited = begun.elapsed();
                assert!(refused.code() == Code::ResourceExhausted && waited > Duration::from_millis(900), "{refused}, after {waited:?}");
            }
        }
    }
    panic!("the machine took longer than a second to give a place back each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_slow_is_cut_and_one_that_takes_its_least_is_not() {
    let limits = ApiLimits { reader_patience: Duration::from_millis(500), reader_bytes_per_s_min: 8 << 20, ..ApiLimits::default() };
    let historian = served(limits);
    let channel = channel(&historian, [127, 0, 0, 1]).await;
    write(&channel).await;
    assert!(bytes_of(range(&channel).await.unwrap()).await.unwrap() > SAMPLES as usize * 20);
    let mut answer = range(&channel).await.unwrap();
    let cut = loop {
        match answer.next().await {
            Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(200)).await,
            Some(Err(status)) => break status,
            None => panic!("it was answered whole"),
        }
    };
    assert_eq!(cut.code(), Code::DeadlineExceeded);
    assert!(cut.message().contains("read less than 8388608 bytes/s"), "{}", cut.message());
}

/// Length of a message that is begun.
const MESSAGE: u32 = 60 << 20;

/// A request of whose one message so many bytes have come.
fn begin(address: std::net::SocketAddr, bytes: usize) -> Raw {
    let mut raw = Raw::greeted(address);
    // The windows of the server hold from the acknowledgement of its settings on.
    while raw.frame().0 != WINDOW_UPDATE {}
    raw.send(&frame(SETTINGS, 1, 0, &[]));
    raw.send(&frame(HEADERS, END_HEADERS, 1, &fields("/historian.v1.WriteService/WriteSamples")));
    // A tag with a long name: its head, the field of the message, and the field of the samples.
    let mut sent = vec![0];
    sent.extend(MESSAGE.to_be_bytes());
    for (field, around) in [(0x12, 5), (0x0A, 10)] {
        sent.push(field);
        prost::encoding::encode_varint((MESSAGE - around).into(), &mut sent);
    }
    sent.resize(bytes, b'a');
    for piece in sent.chunks(16_000) {
        raw.send(&frame(DATA, 0, 1, piece));
    }
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_begun_and_not_ended_take_no_more_than_the_share_of_their_client() {
    // Of 64 MiB a quarter is for messages, of which one client takes 12 MiB, each byte twice.
    let historian = served(ApiLimits { memory_bytes_max: 64 << 20, ..ApiLimits::default() });
    let other = channel(&historian, [127, 0, 0, 2]).await;
    let begun = tokio::task::spawn_blocking({
        let address = historian.grpc;
        move || {
            let mut begun: Vec<Raw> = (0..6).map(|_| begin(address, 1 << 20)).collect();
            // What the first ones have sent may still be on its way.
            std::thread::sleep(Duration::from_millis(500));
            let mut refused = begin(address, 64 << 10);
            while refused.frame().0 != HEADERS {}
            begun.push(refused);
            begun
        }
    });
    let _begun = begun.await.unwrap();
    let refused = r#"historian_requests_total{method="historian.v1.WriteService/WriteSamples",code="RESOURCE_EXHAUSTED"} 1"#;
    assert!(historian.get("/metrics").1.lines().any(|line| line == refused));
    write(&other).await;
    let current = CurrentValuesRequest { tags: vec!["a".into()], ..CurrentValuesRequest::default() };
    assert!(QueryServiceClient::new(other).current_values(current).await.is_ok());
}
