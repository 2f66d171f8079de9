//! The second pass of an import: portions of rows, as columns in the type of each tag, through the stream of `WriteService`.

use std::sync::Arc;

use anyhow::{Context, bail};
use historian_proto::v1::{WriteRequest, WriteSamplesStreamRequest, WriteSamplesStreamResponse, write_service_client::WriteServiceClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    tally::{DRAWN_EVERY, PORTION_ROWS, PORTIONS_WAITING, Reached, RejectedSample, SentTimestamps, Tally},
    understand::{TagsByName, Understood, samples},
};
use crate::{
    client::{self, ServerChannel},
    progress::Bar,
    sample_file::{Mistakes, RowsByTag, SampleFile, SampleFileFormat, Settings},
};

/// Sends one file.
///
/// # Errors
/// What the historian says, or a file that is not what it was a moment ago. What `tally` counts is written.
pub async fn send(
    file: Understood,
    settings: &Settings,
    options: WriteRequest,
    tags: Arc<TagsByName>,
    channel: ServerChannel,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let Understood { path, kind, times } = file;
    let mut source = SampleFile::again(&path, kind, settings, times)?;
    let total = source.total();
    let reached = Arc::new(Reached::default());
    let (requests, sent) = mpsc::channel(PORTIONS_WAITING);
    let mut seen = std::mem::take(&mut tally.seen);
    let reading = {
        let reached = reached.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<SentTimestamps> {
            loop {
                let (mut portion, mut mistakes) = (RowsByTag::default(), Mistakes::default());
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
    let mut bar = if kind == SampleFileFormat::Csv { Bar::new() } else { Bar::of_samples() };
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
    let rejections =
        rejections.into_iter().map(|sample| RejectedSample { tag: sample.tag, timestamp: sample.timestamp, reason: sample.reason });
    tally.add(watermark, samples, rejected, rejections);
    tally.add_failures(failures);
}
