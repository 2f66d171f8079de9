//! A subscription that knows what must come: every sample of its tags once, each as it was sent, in the order in which they were sent. When it is
//! cut it resumes, as a client does that wants to miss nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use historian_proto::v1::{SubscribeRequest, SubscribeResponse, query_service_client::QueryServiceClient};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::{
    honest::endpoint_to,
    lane::Lane,
    oracle::{Cell, cells, number_at},
};

/// Before a subscription that was cut resumes.
const PAUSE: Duration = Duration::from_millis(200);
/// How often in a row it is begun in vain.
const VAIN_MAX: u32 = 50;
const EXAMPLES_MAX: usize = 3;

/// A running subscription.
pub struct Following {
    lane: Arc<Lane>,
    tags: usize,
    /// Samples that have come, or were passed over.
    seen: Arc<AtomicU64>,
    stop: CancellationToken,
    task: JoinHandle<Followed>,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    pub samples: u64,
    /// Passed over: later ones of the same tag came.
    pub missing: u64,
    /// Came again, or after later ones.
    pub again: u64,
    /// Not as sent, or never sent.
    pub other: u64,
    /// How often it was cut and resumed.
    pub resumed: u64,
    /// Why it could not go on.
    pub ended: Option<String>,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Following {
    /// Subscribes, from an address, to the first tags of a lane to which nothing has been written yet.
    ///
    /// # Errors
    /// The subscription is refused.
    pub async fn start(server: SocketAddr, source: IpAddr, lane: Arc<Lane>, tags: usize) -> anyhow::Result<Following> {
        let channel = endpoint_to(server, source)?.connect().await?;
        let mut client = QueryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let names = lane.tags[..tags].iter().map(|tag| tag.name.clone()).collect();
        let request = SubscribeRequest { tags: names, ..SubscribeRequest::default() };
        // Whatever is written from here on is in it.
        let mut stream = client.subscribe(request.clone()).await?.into_inner();
        let (seen, stop) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let task = {
            let mut follower =
                Follower { lane: lane.clone(), tags, seen: seen.clone(), now: State::of(tags), safe: State::of(tags), position: 0 };
            let stop = stop.clone();
            tokio::spawn(async move {
                let (mut resumed, mut vain) = (0, 0);
                loop {
                    let before = follower.position;
                    let Some(status) = stop.run_until_cancelled(follower.read(&mut stream)).await else {
                        return follower.followed(resumed, None);
                    };
                    vain = if follower.position > before { 0 } else { vain + 1 };
                    // What has come of a write that was cut off comes again.
                    follower.now = follower.safe.clone();
                    if follower.position == 0 || status.code() == Code::OutOfRange || vain > VAIN_MAX {
                        return follower.followed(resumed, Some(status.to_string()));
                    }
                    tokio::time::sleep(PAUSE).await;
                    resumed += 1;
                    match client.subscribe(SubscribeRequest { position: follower.position, ..request.clone() }).await {
                        Ok(answer) => stream = answer.into_inner(),
                        Err(status) if vain > VAIN_MAX || status.code() == Code::OutOfRange => {
                            return follower.followed(resumed, Some(status.to_string()));
                        }
                        // The stream has ended; it says so once more.
                        Err(_) => {}
                    }
                }
            })
        };
        Ok(Following { lane, tags, seen, stop, task })
    }

    /// Samples that must have come when all that was acknowledged has.
    pub fn expected(&self) -> u64 {
        self.lane.acked_samples() / self.lane.tags.len() as u64 * self.tags as u64
    }

    /// Waits until everything has come, after the last write, but not beyond a moment. What came, and how many samples must have.
    ///
    /// # Errors
    /// It panicked.
    pub async fn end(self, latest: Instant) -> anyhow::Result<(Followed, u64)> {
        let expected = self.expected();
        let coming = async {
            while self.seen.load(Ordering::Relaxed) < expected && !self.task.is_finished() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout_at(latest, coming).await;
        self.stop.cancel();
        Ok((self.task.await?, expected))
    }
}

/// How far each tag is, and what was found.
#[derive(Clone)]
struct State {
    /// Samples of each tag that have come or were passed over.
    places: Vec<u64>,
    found: Followed,
}

impl State {
    fn of(tags: usize) -> State {
        State { places: vec![0; tags], found: Followed::default() }
    }
}

struct Follower {
    lane: Arc<Lane>,
    tags: usize,
    seen: Arc<AtomicU64>,
    now: State,
    /// As of the position: where a subscription that was cut goes on.
    safe: State,
    position: u64,
}

impl Follower {
    /// Reads until the stream ends, and why it did.
    async fn read(&mut self, stream: &mut Streaming<SubscribeResponse>) -> Status {
        loop {
            match stream.message().await {
                Ok(Some(message)) => self.take(&message),
                Ok(None) => return Status::unknown("the subscription ended"),
                Err(status) => return status,
            }
        }
    }

    fn take(&mut self, message: &SubscribeResponse) {
        for samples in &message.samples {
            let cells = cells(samples);
            match self.lane.tags[..self.tags].iter().position(|tag| tag.name == samples.tag) {
                Some(tag) => cells.iter().for_each(|cell| self.one(tag, cell)),
                None => self.now.found.other += cells.len() as u64,
            }
        }
        // Else it is a part of a write that goes on.
        if message.position > self.position {
            self.position = message.position;
            self.safe = self.now.clone();
            self.seen.store(self.safe.places.iter().sum(), Ordering::Relaxed);
        }
    }

    fn one(&mut self, tag: usize, cell: &Cell) {
        let (plan, State { places, found }) = (&self.lane.tags[tag], &mut self.now);
        let finding = match number_at(cell.timestamp) {
            Some(number) if plan.cell(number) == *cell => {
                let (place, expected) = (self.lane.place_of(number), places[tag]);
                if place < expected {
                    found.again += 1;
                    format!("{}: sample {number} comes again, or late", plan.name)
                } else {
                    found.samples += 1;
                    found.missing += place - expected;
                    places[tag] = place + 1;
                    if place == expected {
                        return;
                    }
                    format!("{}: {} samples are missing before {number}", plan.name, place - expected)
                }
            }
            _ => {
                found.other += 1;
                format!("{}: {cell:?} was not sent like this", plan.name)
            }
        };
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(finding);
        }
    }

    fn followed(self, resumed: u64, ended: Option<String>) -> Followed {
        Followed { resumed, ended, ..self.now.found }
    }
}
