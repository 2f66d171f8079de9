//! R3: bytes on disk that are no longer what was written. Each trial ends in exact data or in a named error: a start that is refused and names
//! the file, or `DATA_LOSS` for a tag. Never in a wrong answer, and never in a short one.
//!
//! First every bit of sixteen encoded chunks is flipped, one after another, and decoded. Then files of a stopped data directory are damaged:
//! flipped bits, zeroed pages, cut and missing files, of tables, logs, manifest, `CURRENT` and `WATERMARK`.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use historian_format::{CHUNK_HEADER_BYTES, Chunk, Effort, Samples, encode_chunk_with};
use tonic::{Code, transport::Channel};

use super::{Mutant, Test};
use historian_test_support::program::{Historian, Started};

use crate::{
    checker,
    context::{Context, SMALL},
    driver::Pace,
    fault::rot::{self, Damage},
    lane::Lane,
    load::Load,
    oracle::{Bits, Cell, TagPlan},
    report::{Report, Tally},
};

const NO_CHECKSUM: &str = "no-checksum";

pub const TEST: Test = Test {
    id: "R3",
    about: "damaged bytes on disk: exact data or a named error, never a wrong or short answer",
    unit: "damaged files",
    cycles: [40, 200, 5_000],
    mutants: &[
        Mutant { kind: "short-answers", about: "says nothing of what it cannot read", cycles: 200 },
        Mutant { kind: NO_CHECKSUM, about: "decodes chunks whose checksums fit whatever they hold", cycles: 0 },
    ],
    run,
};

/// One trial, from the start of the server to the end of the check.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(90);
/// Of so many trials some must have been served.
const TRIALS_TELLING: u64 = 20;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    rot(context).boxed()
}

async fn rot(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    flip_chunks(context, &mut report)?;
    if context.mutant == Some(NO_CHECKSUM) || !report.pass() {
        return Ok(report);
    }

    let lanes = context.lanes(10, 40)?;
    let golden = context.work.join("golden");
    fill(context, &lanes, &golden).await?;
    report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();

    let mut dice = context.dice(3);
    for trial in 0..context.cycles {
        let data = context.work.join("data");
        rot::copy(&golden, &data)?;
        let damage = damage(&data, &mut dice)?;
        let name = damage.file.strip_prefix(&data)?.display().to_string();
        let said = format!("trial {trial}: {name}: {}", damage.what);
        let ended = tokio::time::timeout(TRIAL_TIMEOUT, attempt(context, &lanes, &data, &mut report)).await;
        match ended {
            Ok(Ok(tally)) => {
                let clean = tally.clean();
                report.tally.add(tally);
                if !clean {
                    report.fail(format!("{said}: a wrong or short answer"));
                }
            }
            Ok(Err(error)) => report.fail(format!("{said}: {error:#}")),
            Err(_) => report.fail(format!("{said}: no end within {TRIAL_TIMEOUT:?}")),
        }
        report.cycles = trial + 1;
        context.progress("R3", trial + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
        std::fs::remove_dir_all(&data)?;
    }
    // A server that refuses every start would pass each trial: damage in tables costs no more than their tags.
    if !report.figures.contains_key("served") && context.mutant.is_none() && context.cycles >= TRIALS_TELLING {
        report.fail("every start on damaged data was refused");
    }
    Ok(report)
}

/// A data directory with every kind of file: tables of all families, a log with unsealed samples, as kill -9 leaves it.
async fn fill(context: &Context, lanes: &[Arc<Lane>], golden: &Path) -> anyhow::Result<()> {
    // Mutants read what the real server wrote.
    let launcher = context.real_launcher(golden, SMALL)?;
    for (round, batches) in [60, 60, 40].into_iter().enumerate() {
        let mut server = launcher.start()?;
        let pace = Pace { pause: Duration::from_millis(2), ..Pace::default() };
        let load = Load::start(&server, lanes, pace, context.dice(1_000 + round as u64)).await?;
        let from = load.events.acked();
        while load.events.acked() < from + batches {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        let loaded = load.end().await?;
        anyhow::ensure!(loaded.tally.clean(), "samples were lost before any damage");
    }
    Ok(())
}

/// Whether a file is of a kind, by its name.
type Kind = fn(&str) -> bool;

/// Damages a file. Each kind of file has the same chance, so that the many tables do not leave none to the others.
fn damage(data: &Path, dice: &mut crate::oracle::Dice) -> anyhow::Result<Damage> {
    let all = rot::files(data)?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kinds: [Kind; 6] = [
        |name| Path::new(name).extension().is_some_and(|extension| extension == "sst"),
        |name| Path::new(name).extension().is_some_and(|extension| extension == "sst"),
        |name| Path::new(name).extension().is_some_and(|extension| extension == "log"),
        |name| name.starts_with("MANIFEST"),
        |name| matches!(name, "CURRENT" | "WATERMARK" | "IDENTITY"),
        |name| name.starts_with("OPTIONS"),
    ];
    loop {
        let kind = kinds[dice.below(kinds.len() as u64) as usize];
        let files: Vec<_> = all.iter().filter(|path| kind(&name(path))).collect();
        if !files.is_empty() {
            return rot::damage(&files, dice).context("the file cannot be damaged");
        }
    }
}

/// Starts a server on damaged data and reads everything. What is neither exact nor a named error is in the tally or an error.
async fn attempt(context: &Context, lanes: &[Arc<Lane>], data: &Path, report: &mut Report) -> anyhow::Result<Tally> {
    match context.launcher(data, SMALL)?.try_start()? {
        Started::Refused { said, .. } => {
            report.count("refused", 1);
            // What an operator needs: which directory or file it is about.
            anyhow::ensure!(said.contains(&*data.to_string_lossy()), "the start was refused without naming a file: {said}");
            Ok(Tally::default())
        }
        Started::Serving(server) => {
            report.count("served", 1);
            let tally = read_all(&server, lanes, report).await?;
            report.rss(server.rss_peak_kb());
            Ok(tally)
        }
    }
}

async fn read_all(server: &Historian, lanes: &[Arc<Lane>], report: &mut Report) -> anyhow::Result<Tally> {
    let channel = server.channel().await?;
    let mut tally = Tally::default();
    let mut damaged = false;
    for lane in lanes {
        let batches = 0..lane.end();
        let answer = checker::read_grpc(&channel, lane, lane.times(&batches)).await?;
        let mut excused = BTreeSet::new();
        for failure in &answer.failures {
            anyhow::ensure!(
                failure.code == i32::from(Code::DataLoss),
                "tag {} failed with code {} and not with DATA_LOSS: {}",
                failure.tag,
                failure.code,
                failure.message
            );
            excused.insert(failure.tag.clone());
        }
        damaged |= !excused.is_empty();
        tally.add(checker::hold(lane, &batches, &lane.acked(), &answer, &excused));
        tally.add(flight(&channel, lane, &excused).await?);
    }
    report.count(if damaged { "data_loss" } else { "exact" }, 1);
    Ok(tally)
}

/// The same over Flight, whose one stream over all tags must end with `DATA_LOSS` where a tag is damaged.
async fn flight(channel: &Channel, lane: &Lane, damaged: &BTreeSet<String>) -> anyhow::Result<Tally> {
    if lane.door != crate::lane::Door::Flight {
        return Ok(Tally::default());
    }
    let batches = 0..lane.end();
    let answer = match checker::read(channel, lane, &batches).await {
        Ok(answer) => answer,
        Err(status) if status.code() == Code::DataLoss && !damaged.is_empty() => return Ok(Tally::default()),
        Err(status) => return Err(status.into()),
    };
    anyhow::ensure!(answer.ended.is_some() || damaged.is_empty(), "gRPC reports damage in {damaged:?}, Flight does not");
    let all = lane.tags.iter().map(|tag| tag.name.clone()).collect();
    let excused = if answer.ended.is_some() { all } else { BTreeSet::new() };
    Ok(checker::hold(lane, &batches, &lane.acked(), &answer, &excused))
}

/// Flips every bit of sixteen chunks, one after another.
fn flip_chunks(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let types = context.lanes(10, 40)?;
    let tags: Vec<TagPlan> = types.iter().flat_map(|lane| lane.tags.clone()).take(16).collect();
    let mut flips = 0_u64;
    for (index, tag) in (0..).zip(&tags) {
        let mut samples = Samples::new(tag.value_type);
        for number in 0..150 {
            samples.push(tag.timestamp(number), tag.value(number).as_ref(), tag.quality(number))?;
        }
        let expected = cells(&samples);
        let mut bytes = Vec::new();
        let effort = if index % 2 == 0 { Effort::Hot } else { Effort::Cold };
        encode_chunk_with(7, 1, &samples, effort, &mut bytes)?;
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut seen = bytes.clone();
            if context.mutant == Some(NO_CHECKSUM) {
                mend(&mut seen);
            }
            let decoded = Chunk::parse(&seen).and_then(|chunk| chunk.decode());
            if let Ok(found) = decoded
                && cells(&found) != expected
            {
                report.tally.phantom += 1;
                report.tally.example(|| format!("chunk {index} ({}): bit {bit} flipped, and other samples are decoded", tag.value_type));
            }
            flips += 1;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    report.figure("chunk_flips", flips);
    Ok(())
}

/// Makes the checksums fit the bytes, as if nobody looked at them.
fn mend(bytes: &mut [u8]) {
    let (header, body) = bytes.split_at_mut(CHUNK_HEADER_BYTES);
    header[CHUNK_HEADER_BYTES - 8..CHUNK_HEADER_BYTES - 4].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let checksum = crc32c::crc32c(&header[..CHUNK_HEADER_BYTES - 4]);
    header[CHUNK_HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
}

fn cells(samples: &Samples) -> Vec<Cell> {
    samples
        .timestamps
        .iter()
        .zip(&samples.qualities)
        .enumerate()
        .map(|(index, (&timestamp, &quality))| Cell { timestamp, bits: Bits::of(samples.value(index).as_ref()), quality })
        .collect()
}
