//! What is stored before a test begins: some two million samples in 200 tags, written out of order, versions that no longer count, and many
//! tags that have next to nothing.

use std::{ops::Range, sync::Arc};

use anyhow::Context as _;
use arrow_flight::{FlightDescriptor, PutResult, encode::FlightDataEncoderBuilder, flight_service_client::FlightServiceClient};
use futures::{StreamExt, TryStreamExt, stream};
use historian_proto::v1::{WriteAcknowledgement, write_service_client::WriteServiceClient};
use tonic::transport::Channel;

use crate::{
    context::Context,
    driver::{self, record_batch},
    lane::{Door, Lane},
};

/// Lane 0 is that of whoever writes during the test.
const NUMBERS: usize = 1;
const TYPES: usize = 2;
const MANY: usize = 3;
const VERSIONS: usize = 4;

/// Names of the 180 tags that have numbers, of all tags that have versions which no longer count, and of all tags.
pub const NUMBERS_GLOB: &str = "torture/lane1/*";
pub const VERSIONS_GLOB: &str = "torture/lane4/*";
pub const ALL_GLOB: &str = "torture/**";

/// A multiple of eight, so that all of them were sent however they are shuffled.
const BATCHES: u64 = 24;
/// Of each tag in each batch.
const SAMPLES: u64 = 417;
const NUMBER_TAGS: usize = 180;
const TYPE_TAGS: usize = 20;
const MANY_TAGS: usize = 5_000;
const VERSION_TAGS: usize = 10;
/// How often each of their samples is written, each time with another value.
const VERSIONS_EACH: u64 = 20;
const VERSION_SAMPLES: u64 = 2_000;

pub struct Stock {
    /// All whose samples are known; those that were written over are not among them.
    pub lanes: Vec<Arc<Lane>>,
}

impl Stock {
    /// Writes it to a server.
    ///
    /// # Errors
    /// A write is refused.
    pub async fn write(context: &Context, channel: &Channel) -> anyhow::Result<Stock> {
        let lane = |index, door, tags, samples| anyhow::Ok(Arc::new(Lane::new(context.seed, index, door, tags, samples, &context.work)?));
        let numbers = lane(NUMBERS, Door::Flight, NUMBER_TAGS, SAMPLES)?;
        let types = lane(TYPES, Door::Grpc, TYPE_TAGS, SAMPLES)?;
        let many = lane(MANY, Door::Grpc, MANY_TAGS, 2)?;
        put(channel, &numbers, BATCHES).await?;
        send(channel, &types, BATCHES).await?;
        send(channel, &many, 1).await?;
        for version in 1..=VERSIONS_EACH {
            let lane = Lane::new(context.seed + version, VERSIONS, Door::Flight, VERSION_TAGS, VERSION_SAMPLES, &context.work)?;
            put(channel, &Arc::new(lane), 1).await?;
        }
        Ok(Stock { lanes: vec![numbers, types, many] })
    }

    /// From the first sample to the last.
    pub fn times(&self) -> Range<i64> {
        self.lanes[0].times(&(0..BATCHES))
    }

    pub fn samples(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.acked_samples()).sum()
    }
}

/// Writes batches of a lane through one `DoPut`.
async fn put(channel: &Channel, lane: &Arc<Lane>, count: u64) -> anyhow::Result<()> {
    let batches: Vec<u64> = (0..count).map(|_| lane.next()).collect();
    let (sent, written) = (batches.clone(), lane.clone());
    let data = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(driver::COMMAND.as_bytes().to_vec())))
        // One message per batch, as there is one answer per message.
        .with_max_flight_data_size(usize::MAX)
        .build(stream::iter(sent).map(move |batch| Ok(record_batch(&written, batch))))
        .filter_map(|data| async { data.ok() });
    let answers = FlightServiceClient::new(channel.clone()).do_put(data).await?.into_inner();
    let answers: Vec<PutResult> = answers.try_collect().await?;
    anyhow::ensure!(answers.len() == batches.len(), "{} answers to {} batches of {}", answers.len(), batches.len(), lane.prefix);
    for (batch, answer) in batches.into_iter().zip(answers) {
        let answer: WriteAcknowledgement = serde_json::from_slice(&answer.app_metadata).context("an acknowledgement cannot be read")?;
        anyhow::ensure!(answer.rejected == 0, "samples of {} were rejected: {:?}", lane.prefix, answer.rejections.first());
        lane.acknowledged(batch, answer.watermark);
    }
    Ok(())
}

/// Writes batches of a lane through `WriteSamples`.
async fn send(channel: &Channel, lane: &Lane, count: u64) -> anyhow::Result<()> {
    let mut client = WriteServiceClient::new(channel.clone());
    for _ in 0..count {
        let batch = lane.next();
        let answer = client.write_samples(lane.request(batch)).await?.into_inner();
        let refused = answer.rejected + answer.failures.len() as u64;
        anyhow::ensure!(
            refused == 0,
            "samples of {} were refused: {:?} {:?}",
            lane.prefix,
            answer.failures.first(),
            answer.rejections.first()
        );
        lane.acknowledged(batch, answer.watermark);
    }
    Ok(())
}
