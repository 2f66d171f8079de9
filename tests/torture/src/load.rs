//! What goes on in a server while faults come: writers on all lanes, compactions, and queries that must see what is acknowledged.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use historian_proto::v1::{CompactRequest, admin_service_client::AdminServiceClient};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use historian_test_support::program::Historian;

use crate::{
    checker,
    driver::{self, Events, Pace},
    lane::Lane,
    oracle::Dice,
    report::Tally,
};

/// A running load.
pub struct Load {
    pub events: Arc<Events>,
    stop: CancellationToken,
    writers: tokio::task::JoinHandle<()>,
    compactor: tokio::task::JoinHandle<u64>,
    reader: tokio::task::JoinHandle<(Tally, u64)>,
}

/// What a load did until its end.
pub struct Loaded {
    pub events: Arc<Events>,
    /// What queries missed although it was acknowledged before they began.
    pub tally: Tally,
    pub compactions: u64,
    pub queries: u64,
}

impl Load {
    /// Starts everything on connections of its own.
    ///
    /// # Errors
    /// The server does not listen.
    pub async fn start(historian: &Historian, lanes: &[Arc<Lane>], pace: Pace, dice: Dice) -> anyhow::Result<Load> {
        let (write, other) = (historian.channel().await?, historian.channel().await?);
        let (events, stop) = (Arc::new(Events::default()), CancellationToken::new());
        let writers = {
            let (lanes, events, stop) = (lanes.to_vec(), events.clone(), stop.clone());
            tokio::spawn(async move { driver::run(&write, &lanes, pace, &events, &stop).await })
        };
        let compactor = tokio::spawn(compact(other.clone(), dice, stop.clone()));
        let reader = tokio::spawn(query(other, lanes.to_vec(), stop.clone()));
        Ok(Load { events, stop, writers, compactor, reader })
    }

    /// Asks everything to end by itself.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end of everything; call after the server is gone or [`Load::stop`].
    ///
    /// # Errors
    /// A task panicked, or did not end within half a minute.
    pub async fn end(self) -> anyhow::Result<Loaded> {
        self.stop.cancel();
        let all = async {
            self.writers.await?;
            let compactions = self.compactor.await?;
            let (tally, queries) = self.reader.await?;
            anyhow::Ok(Loaded { events: self.events, tally, compactions, queries })
        };
        match tokio::time::timeout(Duration::from_secs(30), all).await {
            Ok(ended) => ended,
            Err(_) => anyhow::bail!("a call did not end within 30 s of the end of its server"),
        }
    }
}

async fn compact(channel: Channel, mut dice: Dice, stop: CancellationToken) -> u64 {
    let mut client = AdminServiceClient::new(channel);
    let mut done = 0;
    loop {
        let pause = Duration::from_millis(dice.between(5, 120));
        tokio::select! {
            () = stop.cancelled() => return done,
            () = tokio::time::sleep(pause) => {}
        }
        match client.compact(CompactRequest {}).await {
            Ok(_) => done += 1,
            Err(_) => return done,
        }
    }
}

/// Reads the newest batches again and again: what was acknowledged before a query begins is in its answer.
async fn query(channel: Channel, lanes: Vec<Arc<Lane>>, stop: CancellationToken) -> (Tally, u64) {
    let (mut tally, mut queries) = (Tally::default(), 0);
    while !stop.is_cancelled() {
        for lane in &lanes {
            let end = lane.end();
            let batches = end.saturating_sub(24)..end;
            let acked: BTreeSet<u64> = lane.acked_in(batches.clone()).into_iter().map(|(batch, _)| batch).collect();
            let begun = Instant::now();
            let Ok(answer) = checker::read(&channel, lane, &batches).await else { return (tally, queries) };
            if answer.failures.is_empty() {
                tally.add(checker::hold(lane, &batches, &acked, &answer, &BTreeSet::new()));
                queries += 1;
            }
            tokio::time::sleep((begun.elapsed() * 2).max(Duration::from_millis(10))).await;
        }
    }
    (tally, queries)
}
