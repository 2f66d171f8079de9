//! What a client can do with connections alone: begin them and say nothing, keep them, flood them, read nothing, open as many as there are
//! file descriptors. Each is ended or refused in time, and others notice nothing.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use futures::{SinkExt, StreamExt};
use historian::api::ApiLimits;
use historian_proto::v1::{
    CompactRequest, DoubleColumn, GetServerStatusRequest, SubscribeRequest, TagSamples, Values, WriteRequest, WriteSamplesRequest,
    WriteSamplesStreamRequest, admin_service_client::AdminServiceClient, query_service_client::QueryServiceClient, values::Column,
    write_service_client::WriteServiceClient,
};
use historian_test_support::{http, program::Launcher, served::Served};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tonic::{Code, Status, transport::Channel};

use crate::{
    api::served,
    support::historian::{Historian, client, get, launcher},
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields of a call, as literals without an index.
pub fn fields(method: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect()
}

const STATUS: &str = "/historian.v1.AdminService/GetServerStatus";

/// A whole call with an empty message.
fn call(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, &fields(STATUS)), frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// What a server sent until it closed, frame by frame: kind, flags, stream, payload.
type Frames = Vec<(u8, u8, u32, Vec<u8>)>;

/// A connection made by hand.
pub struct Raw {
    stream: TcpStream,
    begun: Instant,
    unread: Vec<u8>,
}

impl Raw {
    fn open(address: SocketAddr, first: &[u8]) -> Raw {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(first).unwrap();
        Raw { stream, begun: Instant::now(), unread: Vec::new() }
    }

    /// One that has said what every client says first.
    pub fn greeted(address: SocketAddr) -> Raw {
        Raw::open(address, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Everything up to the end, and how long after the beginning that came.
    fn until_end(&mut self) -> (Vec<u8>, Duration) {
        let mut bytes = std::mem::take(&mut self.unread);
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the connection was not closed within 20 s: {error}"),
            }
        }
        (bytes, self.begun.elapsed())
    }

    /// The next frame.
    pub fn frame(&mut self) -> (u8, u8, u32, Vec<u8>) {
        loop {
            if let Some(frame) = frames(&mut self.unread, 1).pop() {
                return frame;
            }
            let mut part = [0; 4096];
            let count = self.stream.read(&mut part).unwrap();
            assert!(count > 0, "the connection was closed");
            self.unread.extend_from_slice(&part[..count]);
        }
    }

    /// The next frame of a kind on a stream.
    fn wait(&mut self, kind: u8, stream: u32) -> (u8, Vec<u8>) {
        loop {
            let frame = self.frame();
            if (frame.0, frame.2) == (kind, stream) {
                return (frame.1, frame.3);
            }
        }
    }
}

/// The first frames of these bytes, taken from them.
fn frames(bytes: &mut Vec<u8>, at_most: usize) -> Frames {
    let mut found = Frames::new();
    while bytes.len() >= 9 && found.len() < at_most {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        if bytes.len() < 9 + length {
            break;
        }
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        found.push((bytes[3], bytes[4], stream, bytes[9..9 + length].to_vec()));
        bytes.drain(..9 + length);
    }
    found
}

/// Code and text of the GOAWAY among these bytes.
fn goodbye(mut bytes: Vec<u8>) -> Option<(u32, String)> {
    let all = frames(&mut bytes, usize::MAX);
    let (.., payload) = all.into_iter().rfind(|(kind, ..)| *kind == GOAWAY)?;
    Some((u32::from_be_bytes(payload[4..8].try_into().unwrap()), String::from_utf8_lossy(&payload[8..]).into_owned()))
}

async fn channel(historian: &Served) -> Channel {
    Channel::from_shared(format!("http://{}", historian.grpc)).unwrap().connect().await.unwrap()
}

async fn asks(channel: &Channel) -> Result<(), Status> {
    AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await.map(drop)
}

/// One sample of a tag that is made for it.
fn sample(tag: &str, timestamps: Vec<i64>) -> (Option<WriteRequest>, Vec<TagSamples>) {
    let values = timestamps.iter().map(|timestamp| *timestamp as f64).collect();
    let samples = TagSamples {
        tag: tag.to_owned(),
        timestamps,
        values: Some(Values { column: Some(Column::F64(DoubleColumn { values })) }),
        ..TagSamples::default()
    };
    (Some(WriteRequest { create_tags: true, ..WriteRequest::default() }), vec![samples])
}

async fn write(channel: &Channel, tag: &str, timestamps: Vec<i64>) -> Result<(), Status> {
    let (options, samples) = sample(tag, timestamps);
    WriteServiceClient::new(channel.clone()).write_samples(WriteSamplesRequest { options, samples }).await.map(drop)
}

/// A counter or gauge of the metrics; 0 where it is not there.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let (_, text) = http::get(address, "/metrics").unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Waits for a metric: a connection is counted until its task has ended, a moment after the client sees its end.
fn becomes(address: SocketAddr, name: &str, value: u64) {
    let begun = Instant::now();
    while metric(address, name) != value {
        assert!(begun.elapsed() < seconds(10), "{name} is {}, not {value}", metric(address, name));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed_in_time_and_one_with_a_request_stays() {
    let historian = served(ApiLimits { first_request_timeout: seconds(1), ..ApiLimits::default() });
    let channel = channel(&historian).await;
    asks(&channel).await.unwrap();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let headers = frame(HEADERS, END_HEADERS, 1, &fields(STATUS));
    let begun = frame(HEADERS, 0, 1, &fields(STATUS));
    let silent = [
        ("nothing", historian.grpc, Vec::new()),
        ("half a preface", historian.grpc, PREFACE[..12].to_vec()),
        ("no settings", historian.grpc, PREFACE.to_vec()),
        ("no request", historian.grpc, [PREFACE, &settings].concat()),
        ("half of the headers", historian.grpc, [PREFACE, &settings, &headers[..30]].concat()),
        ("headers without an end", historian.grpc, [PREFACE, &settings, &begun].concat()),
        ("nothing over HTTP", historian.http, Vec::new()),
        ("half a head", historian.http, b"GET /livez HTTP/1.1\r\nHos".to_vec()),
    ];
    let mut open: Vec<Raw> = silent.iter().map(|(_, address, first)| Raw::open(*address, first)).collect();
    for ((name, ..), raw) in silent.iter().zip(&mut open) {
        let (_, after) = raw.until_end();
        assert!((Duration::from_millis(900)..seconds(4)).contains(&after), "{name}: {after:?}");
    }
    // A trickle is no request either.
    let mut drop_by_drop = Raw::open(historian.http, b"GET /livez HTTP/1.1\r\n");
    while drop_by_drop.stream.write_all(b"x").is_ok() && drop_by_drop.begun.elapsed() < seconds(10) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(drop_by_drop.begun.elapsed() < seconds(4), "{:?}", drop_by_drop.begun.elapsed());
    asks(&channel).await.unwrap();
    becomes(historian.http, r#"historian_connections_cut_total{port="grpc",reason="no_request"}"#, 6);
    becomes(historian.http, r#"historian_connections{port="grpc"}"#, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_said_goodbye_and_one_with_an_open_request_stays() {
    let historian = served(ApiLimits { connection_idle_timeout: seconds(1), ..ApiLimits::default() });
    let subscriber = channel(&historian).await;
    write(&subscriber, "a", vec![1]).await.unwrap();
    let mut subscription = QueryServiceClient::new(subscriber)
        .subscribe(SubscribeRequest { tags: vec!["a".into()], ..SubscribeRequest::default() })
        .await
        .unwrap()
        .into_inner();
    let idle = channel(&historian).await;
    asks(&idle).await.unwrap();

    let mut raw = Raw::greeted(historian.grpc);
    raw.send(&call(1));
    // The trailers of the answer.
    while raw.wait(HEADERS, 1).0 & END_STREAM == 0 {}
    let answered = Instant::now();
    let (bytes, _) = raw.until_end();
    let after = answered.elapsed();
    assert!((Duration::from_millis(900)..seconds(4)).contains(&after), "{after:?}");
    assert_eq!(goodbye(bytes), Some((0, "it was idle for long".to_owned())));

    tokio::time::sleep(seconds(2)).await;
    // A client makes its connection anew, without a failed call.
    asks(&idle).await.unwrap();
    write(&idle, "a", vec![2]).await.unwrap();
    let message = tokio::time::timeout(seconds(10), subscription.next()).await.expect("it comes").expect("it goes on").unwrap();
    assert_eq!(message.samples[0].tag, "a");
    assert!(metric(historian.http, r#"historian_connections_cut_total{port="grpc",reason="idle"}"#) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_that_serve_nothing_are_cut_within_a_second() {
    let historian = served(ApiLimits::default());
    let channel = channel(&historian).await;
    asks(&channel).await.unwrap();
    let floods = [
        ("priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("unknown", frame(77, 0, 0, &[])),
    ];
    for (name, flood) in floods {
        let mut raw = Raw::greeted(historian.grpc);
        // A call whose message does not come, so that data may come.
        raw.send(&frame(HEADERS, END_HEADERS, 1, &fields(STATUS)));
        let mut reader = raw.stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || while reader.read(&mut [0; 4_096]).is_ok_and(|count| count > 0) {});
        let begun = Instant::now();
        let flood = flood.repeat(100);
        while begun.elapsed() < seconds(10) && raw.stream.write_all(&flood).is_ok() {}
        let after = begun.elapsed();
        assert!(after < seconds(1), "{name}: {after:?}");
        reading.join().unwrap();
        asks(&channel).await.unwrap();
    }
    // One kind is ended by the HTTP/2 library before us.
    assert!(metric(historian.http, r#"historian_connections_cut_total{port="grpc",reason="frames"}"#) >= 5);
}

#[test]
fn two_thousand_calls_taken_back_at_once_leave_the_connection() {
    let historian = served(ApiLimits::default());
    let mut raw = Raw::greeted(historian.grpc);
    let cancelled: Vec<u8> = (0..2_000_u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [call(stream), frame(WINDOW_UPDATE, 0, stream, &9_u32.to_be_bytes()), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
                .concat()
        })
        .collect();
    raw.send(&cancelled);
    raw.send(&call(4_001));
    while raw.wait(HEADERS, 4_001).0 & END_STREAM == 0 {}
}

#[test]
fn requests_whose_answers_nobody_takes_are_ended_and_the_connection_goes_on() {
    let historian = served(ApiLimits { unread_answer_timeout: seconds(1), ..ApiLimits::default() });
    // Windows of nothing.
    let mut raw = Raw::open(historian.grpc, &[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
    for number in 0..256 {
        raw.send(&call(2 * number + 1));
    }
    let begun = Instant::now();
    for _ in 0..256 {
        while raw.frame().0 != RST_STREAM {}
    }
    assert!(begun.elapsed() < seconds(10), "{:?}", begun.elapsed());
    becomes(historian.http, r#"historian_connections{port="grpc"}"#, 1);
    raw.send(&[call(513), frame(WINDOW_UPDATE, 0, 513, &1_000_u32.to_be_bytes())].concat());
    while raw.wait(HEADERS, 513).0 & END_STREAM == 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_leaves_unfinished_ends_in_time() {
    let times = ApiLimits { first_request_timeout: seconds(1), write_stream_idle_timeout: seconds(2), ..ApiLimits::default() };
    let historian = served(times);

    // A call of one message without its message.
    let mut raw = Raw::greeted(historian.grpc);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &fields(STATUS)));
    let begun = Instant::now();
    while raw.wait(HEADERS, 1).0 & END_STREAM == 0 {}
    assert!((Duration::from_millis(900)..seconds(4)).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    // A write stream that has paused, and goes on in time, and then does not. (Its connection is new: one without a request is closed too.)
    let channel = channel(&historian).await;
    let (mut sender, messages) = futures::channel::mpsc::channel(1);
    let mut client = WriteServiceClient::new(channel.clone());
    let mut answers = client.write_samples_stream(messages).await.unwrap().into_inner();
    for timestamp in 1..=3 {
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        let (options, samples) = sample("a", vec![timestamp]);
        sender.send(WriteSamplesStreamRequest { options, samples }).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().samples, 1);
    }
    let begun = Instant::now();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended}");
    assert!(ended.message().contains("sent nothing for 2 s"), "{ended}");
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());
    asks(&channel).await.unwrap();
}

#[test]
fn a_connection_too_many_is_told_so_and_one_fewer_makes_room() {
    let historian = served(ApiLimits { connections_max: 40, connections_per_address_max: 3, ..ApiLimits::default() });
    let mut held: Vec<Raw> = (0..3).map(|_| Raw::greeted(historian.grpc)).collect();
    for raw in &mut held {
        raw.send(&call(1));
        while raw.wait(HEADERS, 1).0 & END_STREAM == 0 {}
    }
    let (bytes, after) = Raw::greeted(historian.grpc).until_end();
    let (code, text) = goodbye(bytes).expect("a refusal says so");
    assert_eq!(code, 11);
    assert!(text.contains("limits.connections_per_address_max") && after < seconds(2), "{text} {after:?}");
    held.pop();
    becomes(historian.http, r#"historian_connections{port="grpc"}"#, 2);
    let mut next = Raw::greeted(historian.grpc);
    next.send(&call(1));
    while next.wait(HEADERS, 1).0 & END_STREAM == 0 {}

    becomes(historian.http, r#"historian_connections_refused_total{port="grpc",reason="address"}"#, 1);
}

#[test]
fn whoever_only_holds_connections_locks_nobody_out() {
    let historian = served(ApiLimits { connections_max: 40, ..ApiLimits::default() });
    let asked = |address| {
        let mut raw = Raw::greeted(address);
        raw.send(&call(1));
        while raw.wait(HEADERS, 1).0 & END_STREAM == 0 {}
        raw
    };
    let mut first = asked(historian.grpc);
    // The silent ones give way to each other, and to those who ask.
    let silent: Vec<Raw> = (0..200).map(|_| Raw::greeted(historian.grpc)).collect();
    let mut others: Vec<Raw> = (0..39).map(|_| asked(historian.grpc)).collect();
    first.send(&call(3));
    while first.wait(HEADERS, 3).0 & END_STREAM == 0 {}
    // All places are held by those who asked.
    let (code, text) = goodbye(Raw::greeted(historian.grpc).until_end().0).expect("a refusal says so");
    assert!(code == 11 && text.contains("limits.connections_max"), "{text}");
    for raw in &mut others {
        raw.send(&call(3));
        while raw.wait(HEADERS, 3).0 & END_STREAM == 0 {}
    }
    drop(silent);

    // Over HTTP the one that has waited longest goes, and there is always an answer.
    let held: Vec<Raw> = (0..100).map(|_| Raw::open(historian.http, b"GET /livez HT")).collect();
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::open(historian.http, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut answer = [0; 12];
        raw.stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        kept.push(raw);
    }
    assert_eq!(historian.get("/livez").0, 200);
    drop(held);
    assert!(metric(historian.http, r#"historian_connections_cut_total{port="http",reason="gave_way"}"#) >= 100);
    assert!(metric(historian.http, r#"historian_connections_cut_total{port="grpc",reason="gave_way"}"#) >= 160);
}

/// A server with so many descriptors at the most.
fn with_descriptors(directory: &std::path::Path, soft: u64, hard: u64) -> Launcher {
    let mut launcher = launcher(directory, &[]);
    launcher.prefix = vec!["prlimit".into(), format!("--nofile={soft}:{hard}").into()];
    launcher
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_never_take_the_descriptors_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let historian = with_descriptors(directory.path(), 100, 256).start().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", historian.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["256", "256"], "the soft limit is raised");

    let channel = historian.channel().await.unwrap();
    asks(&channel).await.unwrap();
    let mut held: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(historian.grpc).ok()).collect();
    held.extend((0..100).filter_map(|_| TcpStream::connect(historian.http).ok()));
    assert!(held.len() > 300);
    assert_eq!(historian.get("/livez").unwrap().0, 200);
    for round in 0..10 {
        write(&channel, &format!("t{round}"), (0..2_000).collect()).await.unwrap();
        AdminServiceClient::new(channel.clone()).compact(CompactRequest {}).await.unwrap();
    }
    let status = AdminServiceClient::new(channel.clone()).get_server_status(GetServerStatusRequest {}).await.unwrap().into_inner();
    assert!(status.accepting_writes && status.no_room.is_empty() && status.samples_written == 20_000, "{status:?}");
    drop(held);
    asks(&historian.channel().await.unwrap()).await.unwrap();
    historian.stop().unwrap();
}

/// Seconds of processor time that a process has used.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_without_descriptors_passes_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let historian = launcher(directory.path(), &[]).start().unwrap();
    let channel = historian.channel().await.unwrap();
    let mut admin = AdminServiceClient::new(channel.clone());
    write(&channel, "a", (0..2_000).collect()).await.unwrap();
    admin.compact(CompactRequest {}).await.unwrap();

    // No more than are open now.
    let pid = Pid::from_raw(historian.pid() as i32).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", historian.pid())).unwrap().count() as u64;
    let few = Rlimit { current: Some(open), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(pid), Resource::Nofile, few).unwrap();
    let mut acknowledged = 2_000;
    let mut refused = None;
    for _ in 0..20 {
        match write(&channel, "a", (acknowledged..acknowledged + 2_000).collect()).await {
            Ok(()) => acknowledged += 2_000,
            Err(status) => refused = Some(status),
        }
        // Needs files.
        let _ = admin.compact(CompactRequest {}).await;
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("a store without descriptors cannot take everything");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("no more files can be opened"), "{refused}");
    let status = admin.get_server_status(GetServerStatusRequest {}).await.unwrap().into_inner();
    assert!(status.accepting_writes && status.no_room.contains("no more files can be opened"), "{status:?}");

    // Those who knock meanwhile wait, and cost nothing.
    let waiting = Raw::greeted(historian.grpc);
    let used = processor_seconds(historian.pid());
    tokio::time::sleep(seconds(2)).await;
    let used = processor_seconds(historian.pid()) - used;
    assert!(used < 1.0, "{used} s of 2 s");

    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    let begun = Instant::now();
    while let Err(status) = write(&channel, "a", (acknowledged..acknowledged + 2_000).collect()).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(begun.elapsed() < seconds(30), "{status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    acknowledged += 2_000;
    drop(waiting);
    assert_eq!(rows(&historian).await, acknowledged);
    historian.stop().unwrap();
    let historian = launcher(directory.path(), &[]).start().unwrap();
    assert_eq!(rows(&historian).await, acknowledged, "after a restart");
}

/// Samples of the tag `a`.
async fn rows(historian: &Historian) -> i64 {
    let batches = get(&mut client(historian).await, r#"{"range": {"tags": ["a"], "start": "0s", "end": "1s"}}"#).await.unwrap();
    batches.iter().map(|batch| batch.num_rows() as i64).sum()
}
