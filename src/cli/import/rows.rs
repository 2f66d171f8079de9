//! CSV files: portions of rows, as columns in the type of each tag, through the stream of `WriteService`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use historian_proto::v1::{
    GetTagRequest, Tag, WriteRequest, WriteSamplesRequest, WriteSamplesResponse, tag_service_client::TagServiceClient,
    write_service_client::WriteServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, transport::Channel};

use super::{ImportArgs, Reached, Rejection, Tally};
use crate::cli::{
    client,
    progress::Bar,
    sample_file::{Reader, TagRows},
};

/// Rows of one request.
const PORTION_ROWS: usize = 65_536;
/// Portions between the file and the wire.
const PORTIONS_WAITING: usize = 2;
/// Tags that are asked for at once.
const LOOKUPS: usize = 32;
const DRAWN_EVERY: Duration = Duration::from_millis(200);

type Portion = BTreeMap<String, TagRows>;

/// Imports one file.
///
/// # Errors
/// A line that cannot be read, a tag that does not exist, or what the historian says. What `tally` counts is written.
pub async fn import(args: &ImportArgs, file: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let opened = File::open(file).context("cannot be read")?;
    let total = opened.metadata().map_or(0, |about| about.len());
    let mut reader = Reader::new(opened, args.tag.as_deref(), &args.zone)?;
    let channel = args.server.connect().await?;

    let reached = Arc::new(Reached::default());
    let (portions, read) = mpsc::channel(PORTIONS_WAITING);
    let (requests, sent) = mpsc::channel(PORTIONS_WAITING);
    let reading = {
        let reached = reached.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            loop {
                let mut portion = Portion::new();
                let outcome = reader.read(&mut portion, PORTION_ROWS);
                // Rows before a mistake are written: the message tells where it is, and the file can be imported again.
                if !portion.is_empty() && portions.blocking_send(portion).is_err() {
                    return Ok(());
                }
                reached.set(reader.byte());
                if !outcome? {
                    return Ok(());
                }
            }
        })
    };
    let converting = tokio::spawn(convert(channel.clone(), args.options(), read, requests));

    let mut writes = WriteServiceClient::new(channel);
    let mut answers = writes.write_samples_stream(ReceiverStream::new(sent)).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut bar = Bar::new();
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
    converting.await.context("a task ended early")??;
    reading.await.context("the thread that reads ended early")?
}

fn count(answer: WriteSamplesResponse, tally: &mut Tally) {
    let WriteSamplesResponse { watermark, samples, failures, rejected, rejections } = answer;
    let rejections = rejections.into_iter().map(|sample| Rejection { tag: sample.tag, timestamp: sample.timestamp, reason: sample.reason });
    tally.add(watermark, samples, rejected, rejections);
    tally.add_failures(failures);
}

/// Makes requests of portions: asks what the tags are, and reads each value as its tag has it.
async fn convert(
    channel: Channel,
    options: WriteRequest,
    mut portions: mpsc::Receiver<Portion>,
    requests: mpsc::Sender<WriteSamplesRequest>,
) -> anyhow::Result<()> {
    let mut known: HashMap<String, Tag> = HashMap::new();
    while let Some(portion) = portions.recv().await {
        let unknown: Vec<String> = portion.keys().filter(|name| !known.contains_key(*name)).cloned().collect();
        let found: Vec<(String, Option<Tag>)> =
            stream::iter(unknown).map(|name| look_up(channel.clone(), name)).buffer_unordered(LOOKUPS).try_collect().await?;
        for (name, tag) in found {
            let tag = match tag {
                Some(tag) => tag,
                None if options.create_tags => Tag { value_type: portion[&name].fitting_type().into(), ..Tag::default() },
                None => {
                    let line = portion[&name].line();
                    return Err(anyhow!(
                        "line {line}: there is no tag {name:?}; make it with `historian tag import`, or add --create-tags"
                    ));
                }
            };
            known.insert(name, tag);
        }
        let mut samples = Vec::with_capacity(portion.len());
        for (name, rows) in portion {
            let columns = rows.columns(name.clone(), &known[&name]);
            samples.push(columns.with_context(|| format!("tag {name}"))?);
        }
        if requests.send(WriteSamplesRequest { options: Some(options), samples }).await.is_err() {
            return Ok(()); // the answers say why
        }
    }
    Ok(())
}

async fn look_up(channel: Channel, name: String) -> anyhow::Result<(String, Option<Tag>)> {
    match TagServiceClient::new(channel).get_tag(GetTagRequest { name: name.clone() }).await {
        Ok(tag) => Ok((name, Some(tag.into_inner()))),
        Err(status) if status.code() == Code::NotFound => Ok((name, None)),
        Err(status) => Err(client::refusal(&status)),
    }
}
