//! R13: very many tags. They are made in batches as their first samples come, survive a restart that takes seconds, cost little memory each,
//! and one more than the quota is refused with a clear error.

use std::{sync::Arc, time::Instant};

use futures::{FutureExt, future::BoxFuture};
use historian_proto::v1::{TagFailure, write_service_client::WriteServiceClient};
use tonic::{Code, transport::Channel};

use super::{Mutant, Test};
use crate::{
    checker,
    context::{Context, Form},
    lane::{Door, Lane},
    report::Report,
};

const NO_QUOTA: &str = "no-quota";

pub const TEST: Test = Test {
    id: "R13",
    about: "many tags: memory and start per tag, and a clear error beyond the quota",
    unit: "thousands of tags",
    cycles: [20, 100, 1_000],
    mutants: &[Mutant { kind: NO_QUOTA, about: "is configured without a quota", cycles: 2 }],
    run,
};

const TAGS_AT_ONCE: usize = 1_000;
/// Samples of each tag.
const SAMPLES: u64 = 2;
/// Targets of the long form.
const BYTES_PER_TAG: f64 = 1_536.0;
const START_MS: u64 = 10_000;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    many(context).boxed()
}

async fn many(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let tags = context.cycles * TAGS_AT_ONCE as u64;
    let configuration = if context.mutant == Some(NO_QUOTA) { String::new() } else { format!("[storage]\ntags_max = {tags}\n") };
    // The quota is an option of the real server; its mutant is the server without.
    let launcher = context.real_launcher(&context.work.join("data"), &configuration)?;
    let server = launcher.start()?;
    let empty_kb = server.rss_kb();
    let channel = server.channel().await?;

    let begun = Instant::now();
    for group in 0..context.cycles {
        let lane = lane(context, group)?;
        let answer = write(&channel, &lane).await?;
        anyhow::ensure!(answer.is_empty(), "tags of group {group} were refused: {:?}", answer.first());
        report.tally.acked += lane.batch_samples();
        report.cycles = group + 1;
        context.progress("R13", group + 1, &report);
    }
    report.figure("tags_per_s", tags as f64 / begun.elapsed().as_secs_f64());

    // One more than the quota.
    let over = lane(context, context.cycles)?;
    let refused = match write(&channel, &over).await {
        Err(status) => Some((i32::from(status.code()), status.message().to_owned())),
        Ok(failures) => failures.into_iter().next().map(|failure| (failure.code, failure.message)),
    };
    match refused {
        None => report.fail("tags beyond the quota were made"),
        Some((code, message)) => {
            if code != i32::from(Code::ResourceExhausted) || !message.contains(&tags.to_string()) {
                report.fail(format!("beyond the quota the answer is code {code} and does not name the limit {tags}: {message}"));
            }
        }
    }
    report.rss(server.rss_peak_kb());
    report.figure("bytes_per_tag_writing", per_tag(server.rss_kb(), empty_kb, tags));
    drop(channel);
    server.stop()?;

    let server = launcher.start()?;
    let start = server.begun().elapsed();
    report.recovery(start);
    let bytes_per_tag = per_tag(server.rss_kb(), empty_kb, tags);
    report.figure("start_ms", start.as_millis() as u64);
    report.figure("bytes_per_tag", bytes_per_tag);
    report.figure("within_target", bytes_per_tag <= BYTES_PER_TAG && start.as_millis() <= u128::from(START_MS));
    if server.status().await?.tags != tags && context.mutant.is_none() {
        report.fail(format!("{tags} tags were made, after the restart there are {}", server.status().await?.tags));
    }
    // Generous: a start that takes minutes is broken on any machine.
    if start.as_millis() as u64 > START_MS * 6 {
        report.fail(format!("the start took {start:?}"));
    }
    let channel = server.channel().await?;
    // All of them where it is quick, else a part from everywhere.
    let step = if context.form == Form::Long { 7 } else { 1 };
    for group in (0..context.cycles).step_by(step) {
        let lane = lane(context, group)?;
        lane.acknowledged(lane.next(), 0);
        report.tally.add(checker::check(&channel, std::slice::from_ref(&lane), &[]).await?);
    }
    report.figure("bytes_per_tag_read", per_tag(server.rss_kb(), empty_kb, tags));
    report.rss(server.rss_peak_kb());
    Ok(report)
}

/// A thousand tags.
fn lane(context: &Context, group: u64) -> anyhow::Result<Arc<Lane>> {
    Ok(Arc::new(Lane::new(context.seed, group as usize, Door::Grpc, TAGS_AT_ONCE, SAMPLES, &context.work)?))
}

async fn write(channel: &Channel, lane: &Lane) -> Result<Vec<TagFailure>, tonic::Status> {
    let answer = WriteServiceClient::new(channel.clone()).write_samples(lane.request(0)).await?;
    Ok(answer.into_inner().failures)
}

fn per_tag(now_kb: u64, empty_kb: u64, tags: u64) -> f64 {
    (now_kb.saturating_sub(empty_kb) as f64 * 1_024.0 / tags as f64).round()
}
