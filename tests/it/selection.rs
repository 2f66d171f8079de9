//! What selects tags holds nobody up: globs that take long, and readers that have gone, beside writes, new tags, look-ups and metrics.

use std::time::{Duration, Instant};

use arrow_flight::{FlightDescriptor, Ticket};
use futures::future::join_all;
use historian_proto::v1::{
    CreateTagRequest, CurrentValuesRequest, DoubleColumn, GetTagRequest, ListTagsRequest, Tag, TagSamples, ValueType, Values, WriteRequest,
    WriteSamplesRequest, query_service_client::QueryServiceClient, tag_service_client::TagServiceClient, values::Column,
    write_service_client::WriteServiceClient,
};
use historian_test_support::program::Historian;
use tonic::{Code, Request, transport::Channel};

use crate::support::historian::{client, serve};

/// A tag of the plant has an area, a unit and a number of its own.
const TAGS: usize = 100_000;
/// Much longer than any of the calls takes that are made meanwhile; much shorter than what is in their way takes.
const SOON: Duration = Duration::from_secs(5);
/// When a client gives up: less than any of its calls takes.
const SHORT: Duration = Duration::from_millis(50);
/// Processor time that a historian takes which does not work for those who have gone, within [`AFTERWARDS`].
const RESTING_MAX: Duration = Duration::from_millis(500);
const AFTERWARDS: Duration = Duration::from_secs(2);

fn name(number: usize) -> String {
    format!("area{}/unit{:03}/tag {number:06}", number % 10, number / 10 % 100)
}

/// A historian on disk with all the tags.
fn plant() -> (tempfile::TempDir, Historian, tokio::runtime::Runtime) {
    let directory = tempfile::tempdir().unwrap();
    let historian = serve(directory.path(), &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut writer = WriteServiceClient::new(historian.channel().await.unwrap());
        for part in (0..TAGS).collect::<Vec<_>>().chunks(20_000) {
            let answer = writer.write_samples(write(part.iter().map(|number| name(*number)))).await.unwrap().into_inner();
            assert_eq!(answer.samples, part.len() as u64);
        }
    });
    (directory, historian, runtime)
}

fn write(tags: impl Iterator<Item = String>) -> WriteSamplesRequest {
    let values = || Values { column: Some(Column::F64(DoubleColumn { values: vec![1.0] })) };
    let run = |tag| TagSamples { tag, timestamps: vec![1], values: Some(values()), ..TagSamples::default() };
    WriteSamplesRequest { options: Some(WriteRequest { create_tags: true, ..WriteRequest::default() }), samples: tags.map(run).collect() }
}

/// A request that gives up after some time.
fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Processor time of the process so far.
fn processor_time(historian: &Historian) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", historian.pid())).unwrap();
    // Behind the name, which is in brackets: fields 14 and 15, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

/// Everybody else is served soon: a new tag, its look-up, a write, and metrics, twice.
async fn others_are_served(historian: &Historian, channel: &Channel, new: &str) {
    for round in 0..2 {
        let new = format!("{new}/{round}");
        let begun = Instant::now();
        let mut tags = TagServiceClient::new(channel.clone());
        let tag = Tag { name: new.clone(), value_type: ValueType::F64.into(), ..Tag::default() };
        tags.create_tag(within(SOON, CreateTagRequest { tag: Some(tag) })).await.expect("a tag is made meanwhile");
        tags.get_tag(within(SOON, GetTagRequest { name: new.clone() })).await.expect("and looked up");
        let written = WriteServiceClient::new(channel.clone()).write_samples(within(SOON, write([new].into_iter()))).await;
        assert_eq!(written.expect("and written").into_inner().samples, 1);
        let http = historian.http;
        let scraped = tokio::task::spawn_blocking(move || historian_test_support::http::get(http, "/metrics"));
        let scraped = tokio::time::timeout(SOON, scraped).await.expect("metrics are told meanwhile").unwrap();
        assert_eq!(scraped.unwrap().0, 200);
        assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    }
}

/// A second after their clients have gone, nothing works on for them.
async fn rests(historian: &Historian) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = processor_time(historian);
    tokio::time::sleep(AFTERWARDS).await;
    let taken = processor_time(historian).checked_sub(before).unwrap();
    assert!(taken < RESTING_MAX, "{taken:?} of processor time in {AFTERWARDS:?}, with nobody waiting");
}

/// Globs without a literal beginning that nearly match each name, and none of them.
fn near_misses(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("**/*{:02}*{n:04}*g*z", n % 100)).collect()
}

/// True for what becomes of a call whose client gives up.
fn gave_up<T>(answer: Result<T, tonic::Status>) -> bool {
    answer.is_err_and(|status| matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded))
}

#[test]
fn globs_that_take_long_end_with_their_client_and_are_in_nobodys_way() {
    let (_directory, historian, runtime) = plant();
    runtime.block_on(async {
        let channel = historian.channel().await.unwrap();
        let list = |tags: Vec<String>| ListTagsRequest { tags, ..ListTagsRequest::default() };
        let given_up = (0..16).map(|_| {
            let (mut tags, request) = (TagServiceClient::new(channel.clone()), within(SHORT, list(near_misses(9_999))));
            async move { gave_up(tags.list_tags(request).await) }
        });
        assert!(join_all(given_up).await.into_iter().any(|gave_up| gave_up), "some call took longer than {SHORT:?}");
        others_are_served(&historian, &channel, "after globs").await;
        rests(&historian).await;

        // With the time that it takes, the answer is right.
        let globs = near_misses(9_999).into_iter().chain(["area3/unit*/tag 09?993".to_owned()]).collect();
        let found = TagServiceClient::new(channel).list_tags(within(Duration::from_mins(5), list(globs))).await.unwrap();
        let found: Vec<String> = found.into_inner().tags.into_iter().map(|tag| tag.name).collect();
        assert_eq!(found, (90_993..TAGS).step_by(1_000).map(name).collect::<Vec<_>>());
    });
}

#[test]
fn queries_of_all_tags_end_with_their_clients_and_hold_nobody_up() {
    let (_directory, historian, runtime) = plant();
    runtime.block_on(async {
        let (channel, reader) = (historian.channel().await.unwrap(), client(&historian).await);
        let infos = (0..200).map(|_| {
            let mut reader = reader.clone();
            async move {
                let command = r#"{"range": {"tags": ["**"], "start": "*-1h"}}"#;
                gave_up(reader.get_flight_info(within(SHORT, FlightDescriptor::new_cmd(command))).await)
            }
        });
        let values = (0..200).map(|_| {
            let mut query = QueryServiceClient::new(channel.clone());
            let request = CurrentValuesRequest { tags: vec!["**".into()], ..CurrentValuesRequest::default() };
            async move { gave_up(query.current_values(within(SHORT, request)).await) }
        });
        // Tickets as long as they may be, full of globs.
        let ticket = serde_json::json!({"current": {"tags": near_misses(3_000)}}).to_string();
        assert!((50 << 10..64 << 10).contains(&ticket.len()), "{}", ticket.len());
        let gets = (0..64).map(|_| {
            let (mut reader, ticket) = (reader.clone(), Ticket::new(ticket.clone()));
            async move { gave_up(reader.do_get(within(SHORT, ticket)).await) }
        });
        let (infos, values, gets) = futures::future::join3(join_all(infos), join_all(values), join_all(gets)).await;
        assert!(infos.into_iter().chain(values).chain(gets).any(|gave_up| gave_up), "some call took longer than {SHORT:?}");
        others_are_served(&historian, &channel, "after queries").await;
        rests(&historian).await;
    });
}

#[test]
fn more_globs_than_fit_are_refused_with_what_to_do() {
    let historian = crate::api::served(historian::api::ApiLimits::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut tags = TagServiceClient::connect(format!("http://{}", historian.grpc)).await.unwrap();
        for globs in [(0..300).map(|n| format!("{n}{}*", "x".repeat(1_000))).collect(), vec!["{ab,cd}".repeat(20) + "*"]] {
            let refused = tags.list_tags(ListTagsRequest { tags: globs, ..ListTagsRequest::default() }).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().contains("ask in parts"), "{}", refused.message());
        }
    });
}
