//! The second pass of an import: portions of rows, as columns in the type of each tag, through the stream of `WriteService`.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, bail};
use historian_proto::v1::{WriteRequest, WriteSamplesStreamRequest, WriteSamplesStreamResponse, write_service_client::WriteServiceClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{
    DRAWN_EVERY, PORTION_ROWS, PORTIONS_WAITING, Reached, Rejection, Tally,
    understand::{Tags, Understood, samples},
};
use crate::{
    client,
    progress::Bar,
    sample_file::{Kind, Mistakes, Portion, Settings, Source},
};

/// Timestamps that are remembered, to know how many rows others take the place of: 128 MiB of them.
const REMEMBERED_MAX: usize = 1 << 24;

/// The timestamps of all rows that were sent.
#[derive(Debug, Default)]
pub struct Seen {
    stamps: HashMap<String, Vec<i64>>,
    rows: u64,
    remembered: usize,
}

impl Seen {
    fn add(&mut self, tag: &str, stamps: &[i64]) {
        self.rows += stamps.len() as u64;
        let room = stamps.len().min(REMEMBERED_MAX - self.remembered);
        self.remembered += room;
        match self.stamps.get_mut(tag) {
            Some(known) => known.extend_from_slice(&stamps[..room]),
            None => _ = self.stamps.insert(tag.to_owned(), stamps[..room].to_vec()),
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.stamps.keys().map(String::as_str)
    }

    /// Rows of a tag before a time, each time once.
    pub fn count_before(&self, tag: &str, time: i64) -> u64 {
        let mut before: Vec<i64> = self.stamps.get(tag).into_iter().flatten().copied().filter(|stamp| *stamp < time).collect();
        before.sort_unstable();
        before.dedup();
        before.len() as u64
    }

    /// Rows that have tag and time of another row; false where there were too many rows to know of all.
    pub fn duplicates(self) -> (u64, bool) {
        let is_all = self.remembered as u64 == self.rows;
        let count = self.stamps.into_values().map(|mut stamps| {
            let all = stamps.len();
            stamps.sort_unstable();
            stamps.dedup();
            (all - stamps.len()) as u64
        });
        (count.sum(), is_all)
    }
}

/// Sends one file.
///
/// # Errors
/// What the historian says, or a file that is not what it was a moment ago. What `tally` counts is written.
pub async fn send(
    file: Understood,
    settings: &Settings,
    options: WriteRequest,
    tags: Arc<Tags>,
    channel: Channel,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let Understood { path, kind, times } = file;
    let mut source = Source::again(&path, kind, settings, times)?;
    let total = source.total();
    let reached = Arc::new(Reached::default());
    let (requests, sent) = mpsc::channel(PORTIONS_WAITING);
    let mut seen = std::mem::take(&mut tally.seen);
    let reading = {
        let reached = reached.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<Seen> {
            loop {
                let (mut portion, mut mistakes) = (Portion::default(), Mistakes::default());
                let more = source.read(&mut portion, &mut mistakes, PORTION_ROWS);
                let samples: Vec<_> = portion.tags.into_iter().filter_map(|rows| samples(rows, &tags, &mut mistakes)).collect();
                if mistakes.count() > 0 {
                    bail!("the file changed while it was imported; {}", mistakes.lines(&path, kind).join("; "));
                }
                for samples in &samples {
                    seen.add(&samples.tag, &samples.timestamps);
                }
                reached.set(source.done());
                let request = WriteSamplesStreamRequest { options: Some(options), samples };
                let is_over = !request.samples.is_empty() && requests.blocking_send(request).is_err();
                if is_over || !more {
                    return Ok(seen); // when it is over early, the answers say why
                }
            }
        })
    };
    let mut writes = WriteServiceClient::new(channel);
    let mut answers = writes.write_samples_stream(ReceiverStream::new(sent)).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut bar = if kind == Kind::Csv { Bar::new() } else { Bar::of_samples() };
    let mut tick = tokio::time::interval(DRAWN_EVERY);
    loop {
        tokio::select! {
            answer = answers.message() => match answer {
                Ok(Some(answer)) => count(answer, tally),
                Ok(None) => break,
                Err(status) => return Err(client::refusal(&status)),
            },
            _ = tick.tick() => bar.show("import", reached.get(), total),
        }
    }
    drop(bar);
    tally.seen = reading.await.context("the thread that reads ended early")??;
    Ok(())
}

fn count(answer: WriteSamplesStreamResponse, tally: &mut Tally) {
    let WriteSamplesStreamResponse { watermark, samples, failures, rejected, rejections } = answer;
    let rejections = rejections.into_iter().map(|sample| Rejection { tag: sample.tag, timestamp: sample.timestamp, reason: sample.reason });
    tally.add(watermark, samples, rejected, rejections);
    tally.add_failures(failures);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_tag_and_time_are_counted_once() {
        let mut seen = Seen::default();
        seen.add("a", &[1, 2, 3, 2]);
        seen.add("b", &[1, 2]);
        seen.add("a", &[3, 4]);
        assert_eq!(seen.rows(), 8);
        assert_eq!(seen.duplicates(), (2, true));
    }
}
