//! A crowd: one client with hundreds of heavy readers at once, each of which asks again as soon as it was answered or refused. It works on a
//! thread of its own behind all others, so that those beside it are slow only where the server is.

use std::{
    net::IpAddr,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use arrow_flight::{Ticket, flight_service_client::FlightServiceClient, sql::client::FlightSqlServiceClient};
use futures::{TryStreamExt, future::join_all};
use historian_test_support::program::Historian;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{attack::aside::step_back, honest::endpoint_from};

/// Readers that share a connection.
const READERS_PER_CONNECTION: usize = 25;
/// Before a reader that was refused asks again: far sooner than it is told to.
const PAUSE: Duration = Duration::from_millis(50);
const FAILURES_KEPT_MAX: usize = 3;

/// What a crowd met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    pub answered: u64,
    /// As a bound of the server wants it.
    pub refused: u64,
    pub failed: u64,
    /// The first few failures in words.
    pub failures: Vec<String>,
}

/// What a reader asks, again and again.
#[derive(Clone, Debug)]
enum Question {
    Ticket(String),
    Sql(String),
}

/// A running crowd; ends when dropped, with its calls under way.
pub struct Crowd {
    met: Arc<Mutex<Met>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many readers from an address, who ask for everything that tags have in a range of times.
    ///
    /// # Errors
    /// No thread or runtime starts.
    pub fn start(historian: &Historian, source: IpAddr, readers: usize, tags: &str, times: &Range<i64>) -> anyhow::Result<Crowd> {
        let endpoint = endpoint_from(historian, source)?;
        let (met, stop) = (Arc::<Mutex<Met>>::default(), CancellationToken::new());
        let questions = questions(tags, times);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = {
            let (met, stop) = (met.clone(), stop.clone());
            std::thread::Builder::new().name("crowd".into()).spawn(move || {
                step_back();
                // All calls are left where they are.
                runtime.block_on(stop.run_until_cancelled(all(&endpoint, readers, &questions, &met)));
            })?
        };
        Ok(Crowd { met, stop, thread: Some(thread) })
    }

    /// What it has met so far.
    pub fn met(&self) -> Met {
        lock(&self.met).clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(met: &Mutex<Met>) -> std::sync::MutexGuard<'_, Met> {
    met.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each of these reads everything: as it is, in order, and reduced.
fn questions(tags: &str, times: &Range<i64>) -> Vec<Question> {
    let range = format!(r#""tags": ["{tags}"], "start": "{}ns", "end": "{}ns""#, times.start, times.end);
    let prefix = tags.trim_end_matches('*');
    vec![
        Question::Ticket(format!(r#"{{"range": {{{range}}}}}"#)),
        Question::Ticket(format!(
            r#"{{"aggregate": {{{range}, "interval": "50ms", "functions": ["time_average", "minimum", "maximum", "standard_deviation_sample"]}}}}"#
        )),
        Question::Sql(format!("SELECT tag, value, count(*) FROM samples WHERE tag LIKE '{prefix}%' GROUP BY tag, value")),
        Question::Sql(format!("SELECT tag, timestamp, value FROM samples WHERE tag LIKE '{prefix}%' ORDER BY value, timestamp")),
    ]
}

async fn all(endpoint: &Endpoint, readers: usize, questions: &[Question], met: &Mutex<Met>) {
    let connections = (0..readers.div_ceil(READERS_PER_CONNECTION)).map(|_| endpoint.connect_lazy()).collect::<Vec<_>>();
    let reading = (0..readers).map(|number| {
        let channel = connections[number / READERS_PER_CONNECTION].clone();
        reader(channel, &questions[number % questions.len()], met)
    });
    join_all(reading).await;
}

async fn reader(channel: Channel, question: &Question, met: &Mutex<Met>) {
    loop {
        let answered = ask(&channel, question).await;
        let is_answered = answered.is_ok();
        {
            let mut met = lock(met);
            match answered {
                Ok(()) => met.answered += 1,
                Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::DeadlineExceeded) => met.refused += 1,
                Err(status) => {
                    met.failed += 1;
                    if met.failures.len() < FAILURES_KEPT_MAX {
                        met.failures.push(format!("{question:?}: {status}"));
                    }
                }
            }
        }
        if !is_answered {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Asks and takes the whole answer, without a look into it.
async fn ask(channel: &Channel, question: &Question) -> Result<(), Status> {
    let mut client = FlightServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let ticket = match question {
        Question::Ticket(text) => Ticket::new(text.clone()),
        Question::Sql(text) => {
            let info = FlightSqlServiceClient::new(channel.clone()).execute(text.clone(), None).await?;
            let endpoint = info.endpoint.into_iter().next();
            endpoint.and_then(|endpoint| endpoint.ticket).ok_or_else(|| Status::data_loss("the statement has no ticket"))?
        }
    };
    let mut answer = client.do_get(ticket).await?.into_inner();
    while answer.try_next().await?.is_some() {}
    Ok(())
}
