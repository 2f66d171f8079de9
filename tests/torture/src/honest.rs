//! Honest traffic beside an attack: one client that writes small durable batches and asks small questions, one after another, on a connection
//! of its own. How long each call took is kept, and every answer is held against what was acknowledged before it was asked for.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use historian_proto::v1::{
    CurrentValuesRequest, RangeRequest, query_service_client::QueryServiceClient, write_service_client::WriteServiceClient,
};
use historian_test_support::program::Historian;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    checker::{self, Answer},
    context::Context,
    lane::{Door, Lane},
    oracle::{STEP_NS, cells, number_at},
    report::{Report, Tally},
};

/// The address of the honest client, and that of whoever attacks: to the server they are two clients.
pub const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Connections that honest traffic holds.
pub const CONNECTIONS: usize = 1;

/// Numbers of a tag in a minute.
const MINUTE: u64 = 60_000_000_000 / STEP_NS as u64;
const PAUSE: Duration = Duration::from_millis(10);
/// A call without an answer for so long has none.
const PATIENCE: Duration = Duration::from_secs(15);

/// How to connect to a server from an address of this machine.
///
/// # Errors
/// There is none.
pub fn endpoint_from(historian: &Historian, source: IpAddr) -> anyhow::Result<Endpoint> {
    endpoint_to(historian.grpc, source)
}

/// How to connect to an address from another one.
///
/// # Errors
/// There is none.
pub fn endpoint_to(server: SocketAddr, source: IpAddr) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?.local_address(Some(source)).tcp_nodelay(true);
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5));
    Ok(endpoint.initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20))
}

/// Calls of the honest client: how long they took, and which were refused.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    writes: Vec<Duration>,
    reads: Vec<Duration>,
    pub refused: Vec<String>,
}

impl Calls {
    /// The longest call of all.
    pub fn slowest(&self) -> Duration {
        self.writes.iter().chain(&self.reads).max().copied().unwrap_or_default()
    }

    /// Time within which so many of a hundred writes were acknowledged.
    pub fn writes(&self, percent: usize) -> Duration {
        quantile(&self.writes, percent)
    }

    /// Time within which so many of a hundred reads were answered.
    pub fn reads(&self, percent: usize) -> Duration {
        quantile(&self.reads, percent)
    }

    pub fn count(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    /// Takes in others that came later.
    pub fn add(&mut self, later: Calls) {
        self.writes.extend(later.writes);
        self.reads.extend(later.reads);
        self.refused.extend(later.refused);
    }

    /// Makes a report fail where one was refused.
    pub fn require_unrefused(&self, report: &mut Report, when: &str) {
        if let Some(first) = self.refused.first() {
            report.fail(format!("{when}: {} of {} calls of the honest client were refused: {first}", self.refused.len(), self.count()));
        }
    }
}

/// Time within which so many of a hundred calls ended.
pub fn quantile(took: &[Duration], percent: usize) -> Duration {
    let mut took = took.to_vec();
    took.sort_unstable();
    took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// For reports, which have milliseconds with a fraction.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// A running honest client.
pub struct Honest {
    pub channel: Channel,
    lane: Arc<Lane>,
    calls: Arc<std::sync::Mutex<Calls>>,
    stop: CancellationToken,
    writer: tokio::task::JoinHandle<()>,
    reader: tokio::task::JoinHandle<Tally>,
}

impl Honest {
    /// Connects from an address and begins.
    ///
    /// # Errors
    /// The server does not listen, or the ledger cannot be written.
    pub async fn start(context: &Context, historian: &Historian, source: IpAddr) -> anyhow::Result<Honest> {
        let lane = Arc::new(Lane::new(context.seed, 0, Door::Grpc, 10, 10, &context.work)?);
        let channel = endpoint_from(historian, source)?.connect().await.with_context(|| format!("no connection from {source}"))?;
        let (calls, stop) = (Arc::<std::sync::Mutex<Calls>>::default(), CancellationToken::new());
        let writer = tokio::spawn(write(channel.clone(), lane.clone(), calls.clone(), stop.clone()));
        let reader = tokio::spawn(read(channel.clone(), lane.clone(), calls.clone(), stop.clone()));
        Ok(Honest { channel, lane, calls, stop, writer, reader })
    }

    /// Whether a call was refused since the last look.
    pub fn is_refused(&self) -> bool {
        !lock(&self.calls).refused.is_empty()
    }

    /// The calls that ended since the last look.
    pub fn take(&self) -> Calls {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// Ends, and holds everything that is stored against everything that was acknowledged. The last calls are among those that come back.
    ///
    /// # Errors
    /// The server does not answer any more.
    pub async fn end(self, report: &mut Report) -> anyhow::Result<Calls> {
        self.stop.cancel();
        self.writer.await?;
        report.tally.add(self.reader.await?);
        report.tally.add(checker::check(&self.channel, std::slice::from_ref(&self.lane), &[]).await?);
        report.tally.acked = self.lane.acked_samples();
        if report.tally.acked == 0 {
            report.fail("nothing was acknowledged");
        }
        Ok(std::mem::take(&mut *lock(&self.calls)))
    }
}

fn lock(calls: &std::sync::Mutex<Calls>) -> std::sync::MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A call, and how long it took; `UNKNOWN` where nobody waits for it any more.
pub async fn timed<T>(call: impl Future<Output = Result<T, Status>>) -> (Result<T, Status>, Duration) {
    let begun = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, call).await;
    (answer.unwrap_or_else(|_| Err(Status::unknown(format!("no answer within {PATIENCE:?}")))), begun.elapsed())
}

async fn write(channel: Channel, lane: Arc<Lane>, calls: Arc<std::sync::Mutex<Calls>>, stop: CancellationToken) {
    let mut client = WriteServiceClient::new(channel);
    while !stop.is_cancelled() {
        let batch = lane.next();
        let (answer, took) = timed(client.write_samples(lane.request(batch))).await;
        let refusal = match answer.map(tonic::Response::into_inner) {
            Ok(answer) if answer.failures.is_empty() && answer.rejected == 0 => {
                lane.acknowledged(batch, answer.watermark);
                None
            }
            Ok(answer) => Some(format!("a write: {:?} {:?}", answer.failures.first(), answer.rejections.first())),
            Err(status) => Some(format!("a write: {status}")),
        };
        if refusal.is_some() {
            lane.unanswered(batch);
        }
        {
            let mut calls = lock(&calls);
            calls.writes.push(took);
            calls.refused.extend(refusal);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The last minute of one tag and the current values of all ten, in turn.
async fn read(channel: Channel, lane: Arc<Lane>, calls: Arc<std::sync::Mutex<Calls>>, stop: CancellationToken) -> Tally {
    let mut tally = Tally::default();
    for round in 0.. {
        tokio::time::sleep(PAUSE).await;
        if stop.is_cancelled() {
            break;
        }
        // Before the first acknowledgement there need be no tags.
        if lane.acked_samples() == 0 {
            continue;
        }
        let (found, took) = if round % 2 == 0 { minute(&channel, &lane, round / 2).await } else { current(&channel, &lane).await };
        let mut calls = lock(&calls);
        calls.reads.push(took);
        match found {
            Ok(found) => tally.add(found),
            Err(status) => calls.refused.push(format!("a read: {status}")),
        }
    }
    tally
}

async fn minute(channel: &Channel, lane: &Lane, turn: usize) -> (Result<Tally, Status>, Duration) {
    let end = lane.end();
    let batches: Range<u64> = end.saturating_sub(MINUTE / lane.samples_per_batch)..end;
    range(channel, lane, batches, vec![lane.tags[turn % lane.tags.len()].name.clone()]).await
}

/// What some tags have in a range of batches.
pub async fn range(channel: &Channel, lane: &Lane, batches: Range<u64>, tags: Vec<String>) -> (Result<Tally, Status>, Duration) {
    let acked: BTreeSet<u64> = lane.acked_in(batches.clone()).into_iter().map(|(batch, _)| batch).collect();
    let times = lane.times(&batches);
    let request = RangeRequest {
        tags: tags.clone(),
        start: format!("{}ns", times.start),
        end: format!("{}ns", times.end),
        ..RangeRequest::default()
    };
    let mut client = QueryServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let (answer, took) = timed(async {
        let mut stream = client.range(request).await?.into_inner();
        let mut answer = Answer::default();
        while let Some(part) = stream.message().await? {
            if let Some(failure) = part.failure {
                return Err(Status::new(failure.code.into(), failure.message));
            }
            if let Some(samples) = part.samples {
                answer.samples.entry(samples.tag.clone()).or_default().extend(cells(&samples));
            }
        }
        Ok(answer)
    })
    .await;
    let others = lane.tags.iter().map(|tag| tag.name.clone()).filter(|name| !tags.contains(name)).collect();
    (answer.map(|answer| checker::hold(lane, &batches, &acked, &answer, &others)), took)
}

/// The current values of all tags of a lane.
pub async fn current(channel: &Channel, lane: &Lane) -> (Result<Tally, Status>, Duration) {
    let newest = lane.newest_acked().map_or(0, |batch| lane.numbers(batch).end - 1);
    let request = CurrentValuesRequest { tags: vec![format!("{}/*", lane.prefix)], ..CurrentValuesRequest::default() };
    let mut client = QueryServiceClient::new(channel.clone());
    let (answer, took) = timed(client.current_values(request)).await;
    let answer = match answer.map(tonic::Response::into_inner) {
        Ok(answer) => answer,
        Err(status) => return (Err(status), took),
    };
    let mut tally = Tally::default();
    for tag in &lane.tags {
        let found: Vec<_> = answer.samples.iter().filter(|samples| samples.tag == tag.name).flat_map(cells).collect();
        let number = found.first().and_then(|cell| number_at(cell.timestamp));
        let sent = number.filter(|number| lane.was_sent(number / lane.samples_per_batch));
        match (found.as_slice(), sent) {
            ([cell], Some(number)) if tag.cell(number) == *cell && number >= newest => {}
            ([cell], Some(number)) if tag.cell(number) == *cell => {
                tally.lost += 1;
                tally.example(|| format!("{}: sample {number} is told to be the last one, {newest} was acknowledged before", tag.name));
            }
            ([], _) => {
                tally.lost += 1;
                tally.example(|| format!("{} has no current value", tag.name));
            }
            _ => {
                tally.phantom += 1;
                tally.example(|| format!("{}: its current value {found:?} was not sent like this", tag.name));
            }
        }
    }
    (Ok(tally), took)
}
