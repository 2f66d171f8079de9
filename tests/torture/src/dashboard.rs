//! Readers as a plant has them: people and dashboards, each at an address of its own, who ask a little every second or two. How long each answer
//! took is kept, and answers are held against what was acknowledged before they were asked for.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arrow::{array::AsArray, datatypes::Int64Type, record_batch::RecordBatch};
use arrow_flight::{
    Ticket, decode::FlightRecordBatchStream, error::FlightError, flight_service_client::FlightServiceClient,
    sql::client::FlightSqlServiceClient,
};
use futures::TryStreamExt;
use historian_proto::v1::{AggregateRequest, query_service_client::QueryServiceClient};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};

use crate::{
    honest::{current, endpoint_to, quantile, range, timed},
    lane::Lane,
    oracle::Dice,
    report::Tally,
};

/// Between two questions of a reader, in milliseconds.
const PAUSE_MS: [u64; 2] = [1_000, 2_000];
/// Newest batches that a question is about.
const SHORT: u64 = 20;
const LONGER: u64 = 100;
const FAILURES_KEPT_MAX: usize = 3;

/// What came of questions.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    took: Vec<Duration>,
    /// By a bound of the server, by the name of the status.
    pub refused: BTreeMap<String, u64>,
    pub failed: u64,
    /// The first few failures in words.
    pub failures: Vec<String>,
}

impl Asked {
    /// Answers within which so many of a hundred came.
    pub fn took(&self, percent: usize) -> Duration {
        quantile(&self.took, percent)
    }

    pub fn answered(&self) -> usize {
        self.took.len()
    }

    /// Takes in others that came later.
    pub fn add(&mut self, later: Asked) {
        self.took.extend(later.took);
        for (code, count) in later.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.failed += later.failed;
        self.failures.extend(later.failures);
        self.failures.truncate(FAILURES_KEPT_MAX);
    }
}

/// Readers at work.
pub struct Dashboards {
    asked: Arc<Mutex<Asked>>,
    stop: CancellationToken,
    readers: JoinSet<Tally>,
}

impl Dashboards {
    /// So many readers of lanes.
    ///
    /// # Errors
    /// None of them can connect.
    pub fn start(server: SocketAddr, lanes: &[Arc<Lane>], seed: u64, count: u8) -> anyhow::Result<Dashboards> {
        let (asked, stop, mut readers) = (Arc::<Mutex<Asked>>::default(), CancellationToken::new(), JoinSet::new());
        for number in 0..count {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number + 1));
            let reader = Reader {
                channel: endpoint_to(server, source)?.connect_lazy(),
                lanes: lanes.to_vec(),
                dice: Dice::new(seed, 5_000 + u64::from(number)),
            };
            readers.spawn(reader.ask_on(asked.clone(), stop.clone()));
        }
        Ok(Dashboards { asked, stop, readers })
    }

    /// What came of questions since the last look.
    pub fn take(&self) -> Asked {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Waits for the last answers; what was wrong in any.
    ///
    /// # Errors
    /// A reader panicked.
    pub async fn end(&mut self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        let mut tally = Tally::default();
        while let Some(found) = self.readers.join_next().await {
            tally.add(found?);
        }
        Ok(tally)
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    channel: Channel,
    lanes: Vec<Arc<Lane>>,
    dice: Dice,
}

impl Reader {
    async fn ask_on(mut self, asked: Arc<Mutex<Asked>>, stop: CancellationToken) -> Tally {
        let mut tally = Tally::default();
        // Not all begin at the same moment.
        let mut pause = self.dice.below(PAUSE_MS[1]);
        while stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(pause))).await.is_some() {
            pause = self.dice.between(PAUSE_MS[0], PAUSE_MS[1]);
            let lane = self.lanes[self.dice.below(self.lanes.len() as u64) as usize].clone();
            // Before the first acknowledgement there need be no tags.
            if lane.newest_acked().is_none() {
                continue;
            }
            let (what, (answer, took)) = self.ask(&lane).await;
            let mut asked = lock(&asked);
            match answer {
                Ok(found) => {
                    asked.took.push(took);
                    tally.add(found);
                }
                Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::DeadlineExceeded) => {
                    *asked.refused.entry(format!("{:?}", status.code())).or_default() += 1;
                }
                Err(status) => {
                    asked.failed += 1;
                    if asked.failures.len() < FAILURES_KEPT_MAX {
                        asked.failures.push(format!("{what}: {status}"));
                    }
                }
            }
        }
        tally
    }

    /// One question, and what was wrong in its answer.
    async fn ask(&mut self, lane: &Lane) -> (&'static str, (Result<Tally, Status>, Duration)) {
        match self.dice.below(10) {
            0..4 => {
                let tags = self.tags(lane, 3);
                ("a range", range(&self.channel, lane, newest(lane, SHORT), tags).await)
            }
            4..7 => ("current values", current(&self.channel, lane).await),
            7..8 => {
                let tags = self.tags(lane, 2);
                ("an aggregate", timed(aggregate(&self.channel, lane, tags)).await)
            }
            8..9 => {
                let tags = self.tags(lane, 5);
                ("a wide range", timed(wide(&self.channel, lane, tags)).await)
            }
            _ => {
                let tags = self.tags(lane, 2);
                ("a statement", timed(statement(&self.channel, lane, tags)).await)
            }
        }
    }

    /// Names of some tags that lie side by side.
    fn tags(&mut self, lane: &Lane, count: usize) -> Vec<String> {
        let first = self.dice.below((lane.tags.len() - count + 1) as u64) as usize;
        lane.tags[first..first + count].iter().map(|tag| tag.name.clone()).collect()
    }
}

fn newest(lane: &Lane, batches: u64) -> Range<u64> {
    let end = lane.end();
    end.saturating_sub(batches)..end
}

/// Adds what an answer lacks of what was acknowledged before.
fn lacking(what: &str, found: u64, least: u64) -> Tally {
    let mut tally = Tally { lost: least.saturating_sub(found), ..Tally::default() };
    if tally.lost > 0 {
        tally.example(|| format!("{what}: {found} of at least {least}"));
    }
    tally
}

/// Ten intervals of some tags.
async fn aggregate(channel: &Channel, lane: &Lane, tags: Vec<String>) -> Result<Tally, Status> {
    let batches = newest(lane, LONGER);
    let (times, least) = (lane.times(&batches), tags.len() as u64);
    let request = AggregateRequest {
        tags,
        start: format!("{}ns", times.start),
        end: format!("{}ns", times.end),
        interval: ((times.end - times.start) / 10).to_string(),
        functions: ["average", "minimum", "maximum"].map(str::to_owned).to_vec(),
        ..AggregateRequest::default()
    };
    let mut answer = QueryServiceClient::new(channel.clone()).aggregate(request).await?.into_inner();
    let mut found = 0;
    while let Some(part) = answer.message().await? {
        if let Some(failure) = part.failure {
            return Err(Status::new(failure.code.into(), failure.message));
        }
        found += part.timestamps.len() as u64;
    }
    Ok(lacking("an aggregate, intervals", found, 3 * 10 * least))
}

/// Some tags over Flight, a column each.
async fn wide(channel: &Channel, lane: &Lane, tags: Vec<String>) -> Result<Tally, Status> {
    let batches = newest(lane, SHORT);
    let (times, least) = (lane.times(&batches), lane.acked_in(batches.clone()).len() as u64 * lane.samples_per_batch);
    let (start, end) = (format!("{}ns", times.start), format!("{}ns", times.end));
    let ticket = serde_json::json!({ "range": { "tags": tags, "start": start, "end": end, "layout": "WIDE" } });
    let rows = read(channel, Ticket::new(ticket.to_string())).await?.iter().map(RecordBatch::num_rows).sum::<usize>();
    Ok(lacking("a wide range, rows", rows as u64, least))
}

/// A statement of SQL.
async fn statement(channel: &Channel, lane: &Lane, tags: Vec<String>) -> Result<Tally, Status> {
    let batches = newest(lane, LONGER);
    let (times, least) = (lane.times(&batches), lane.acked_in(batches.clone()).len() as u64 * lane.samples_per_batch * tags.len() as u64);
    let text = format!(
        "SELECT tag, count(*), max(value) FROM samples WHERE tag IN ('{}') AND timestamp >= to_timestamp_nanos({}) \
         AND timestamp < to_timestamp_nanos({}) GROUP BY tag",
        tags.join("', '"),
        times.start,
        times.end
    );
    let info = FlightSqlServiceClient::new(channel.clone()).execute(text, None).await?;
    let mut found = 0;
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.ok_or_else(|| Status::data_loss("an endpoint has no ticket"))?;
        for batch in read(channel, ticket).await? {
            found += batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
    }
    Ok(lacking("a statement, samples", found as u64, least))
}

async fn read(channel: &Channel, ticket: Ticket) -> Result<Vec<RecordBatch>, Status> {
    let answer = FlightServiceClient::new(channel.clone()).do_get(ticket).await?.into_inner();
    let answer = answer.map_err(|status| FlightError::Tonic(Box::new(status)));
    FlightRecordBatchStream::new_from_flight_data(answer).try_collect().await.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        error => Status::data_loss(format!("the answer cannot be decoded: {error}")),
    })
}
