//! Looks at the memory of a server all the time, and at how long it lets those wait who ask how it is.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use historian_test_support::{http, process::rss_kb, program::Historian};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(10);
const ASK: Duration = Duration::from_millis(100);
const SERIES_LOOK: Duration = Duration::from_secs(1);

/// Eyes on a server.
pub struct Watch {
    /// Cancelled when its memory has passed the most that it may have.
    pub passed: CancellationToken,
    stop: CancellationToken,
    memory: JoinHandle<u64>,
    metrics: JoinHandle<Duration>,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub rss_peak_kb: u64,
    /// Longest time until the metrics came.
    pub metrics_slowest: Duration,
}

impl Watch {
    pub fn start(server: &Historian, rss_max_kb: u64) -> Watch {
        let (passed, stop) = (CancellationToken::new(), CancellationToken::new());
        let memory = tokio::spawn(look(server.pid(), rss_max_kb, passed.clone(), stop.clone()));
        let metrics = tokio::spawn(ask(server.http, stop.clone()));
        Watch { passed, stop, memory, metrics }
    }

    /// # Errors
    /// It panicked.
    pub async fn end(self) -> anyhow::Result<Seen> {
        self.stop.cancel();
        Ok(Seen { rss_peak_kb: self.memory.await?, metrics_slowest: self.metrics.await? })
    }
}

async fn look(pid: u32, rss_max_kb: u64, passed: CancellationToken, stop: CancellationToken) -> u64 {
    let mut peak_kb = 0;
    while !stop.is_cancelled() {
        peak_kb = peak_kb.max(rss_kb(pid));
        if peak_kb > rss_max_kb {
            passed.cancel();
        }
        tokio::time::sleep(LOOK).await;
    }
    peak_kb
}

async fn ask(http: SocketAddr, stop: CancellationToken) -> Duration {
    let mut slowest = Duration::ZERO;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let _ = scrape(http).await;
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(ASK).await;
    }
    slowest
}

/// Looks at the memory of a server second by second.
pub struct Series {
    stop: CancellationToken,
    looks: JoinHandle<Vec<u64>>,
}

impl Series {
    pub fn start(server: &Historian) -> Series {
        let (pid, stop) = (server.pid(), CancellationToken::new());
        let looks = {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut looks = Vec::new();
                while !stop.is_cancelled() {
                    looks.push(rss_kb(pid));
                    stop.run_until_cancelled(tokio::time::sleep(SERIES_LOOK)).await;
                }
                looks
            })
        };
        Series { stop, looks }
    }

    /// All looks, in KiB.
    ///
    /// # Errors
    /// It panicked.
    pub async fn end(self) -> anyhow::Result<Vec<u64>> {
        self.stop.cancel();
        Ok(self.looks.await?)
    }
}

/// The metrics now; None when they do not come.
async fn scrape(address: SocketAddr) -> Option<String> {
    let (code, text) = tokio::task::spawn_blocking(move || http::get(address, "/metrics")).await.ok()?.ok()?;
    (code == 200).then_some(text)
}

/// One figure of the metrics that has no labels; None when there is none of this name.
pub async fn metric(server: &Historian, name: &str) -> Option<u64> {
    let text = scrape(server.http).await?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<f64>().ok()).map(|figure| figure as u64)
}
