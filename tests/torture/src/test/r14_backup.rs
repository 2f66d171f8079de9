//! R14: backups while samples come in. Restored, each is bit-exact at the write it states: everything acknowledged up to it is there, nothing
//! after it. One flipped byte anywhere in a backup is detected: by its verification, by the next backup, and by a restore, which refuses.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use historian_proto::v1::{Backup, CreateBackupRequest, admin_service_client::AdminServiceClient, create_backup_response::Event};

use super::{Mutant, Test};
use historian_test_support::program::Historian;

use crate::{
    checker,
    context::{Context, SMALL},
    driver::Pace,
    fault::rot,
    lane::Lane,
    load::Load,
    oracle::Dice,
    report::{Report, Tally},
};

const SKIP_VERIFY: &str = "skip-verify";

pub const TEST: Test = Test {
    id: "R14",
    about: "backups under load: bit-exact at the stated write, and every flipped byte is detected",
    unit: "backups",
    cycles: [2, 20, 150],
    mutants: &[Mutant { kind: SKIP_VERIFY, about: "does not compare what a backup shares with earlier ones", cycles: 3 }],
    run,
};

/// Tables damaged one after another until the next backup shares one.
const SHARED_WITHIN: usize = 20;
/// Bytes flipped in each backup, one after another.
const FLIPS: u64 = 6;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    back_up(context).boxed()
}

async fn back_up(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    let repository = context.work.join("backups");
    let configuration = format!("{SMALL}\n[backup]\ndirectory = \"{}\"\nkeep = 3\n", repository.display());
    let launcher = context.real_launcher(&context.work.join("data"), &configuration)?;
    let mut dice = context.dice(14);
    report.opt("flips_per_backup", FLIPS);

    let server = launcher.start()?;
    let pace = Pace { pause: Duration::from_millis(3), ..Pace::default() };
    for cycle in 0..context.cycles {
        let load = Load::start(&server, &lanes, pace, context.dice(1_000 + cycle)).await?;
        tokio::time::sleep(Duration::from_millis(dice.between(100, 600))).await;
        let verify_new_only = context.mutant == Some(SKIP_VERIFY);
        let made = create(&server, verify_new_only).await?;
        tokio::time::sleep(Duration::from_millis(dice.between(5, 100))).await;
        load.stop();
        let loaded = load.end().await?;
        if let Some(refusal) = loaded.events.all().into_iter().find_map(|event| event.refusal) {
            report.fail(format!("backup {}: a write was refused meanwhile: {refusal}", made.number));
        }
        report.tally.add(loaded.tally);

        if context.mutant.is_none() {
            restored(context, &repository, &made, &lanes, &mut report).await?;
            for _ in 0..FLIPS {
                flipped(context, &repository, &made, &mut dice, &mut report)?;
            }
        }
        mended(context, &server, &repository, &mut dice, verify_new_only, &mut report).await?;
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = cycle + 1;
        context.progress("R14", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }
    Ok(report)
}

async fn create(server: &Historian, verify_new_only: bool) -> anyhow::Result<Backup> {
    let mut client = AdminServiceClient::new(server.channel().await?);
    let mut answer = client.create_backup(CreateBackupRequest { verify_new_only }).await?.into_inner();
    while let Some(message) = answer.message().await? {
        if let Some(Event::Created(created)) = message.event {
            return created.backup.context("a backup without a description");
        }
    }
    anyhow::bail!("the call ended without a backup")
}

/// Runs `historian` and answers whether it succeeded, and what it said.
fn historian(context: &Context, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = Command::new(&context.program).args(arguments).output().context("historian")?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Restores a backup and holds it against the ledger at its write.
async fn restored(context: &Context, repository: &Path, made: &Backup, lanes: &[Arc<Lane>], report: &mut Report) -> anyhow::Result<()> {
    let data = context.work.join("restored");
    let (number, from, to) = (made.number.to_string(), repository.to_string_lossy(), data.to_string_lossy());
    let (done, said) = historian(context, &["restore", "--from", &from, "--number", &number, "--data-dir", &to])?;
    if !done {
        report.fail(format!("backup {number} was not restored: {said}"));
        return Ok(());
    }
    let server = context.real_launcher(&data, SMALL)?.start()?;
    report.recovery(server.begun().elapsed());
    let channel = server.channel().await?;
    for lane in lanes {
        let batches = 0..lane.end();
        let answer = checker::read(&channel, lane, &batches).await?;
        let acked = lane.acked_in(batches.clone());
        let (within, beyond): (Vec<_>, Vec<_>) = acked.into_iter().partition(|(_, watermark)| *watermark <= made.sequence);
        let within: BTreeSet<u64> = within.into_iter().map(|(batch, _)| batch).collect();
        report.tally.add(checker::hold(lane, &batches, &within, &answer, &BTreeSet::new()));
        report.tally.add(absent(lane, &beyond, &answer));
        report.count("batches_within", within.len() as u64);
        report.count("batches_beyond", beyond.len() as u64);
    }
    report.rss(server.rss_peak_kb());
    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    Ok(())
}

/// Counts samples of batches that were written after the backup's write.
fn absent(lane: &Lane, beyond: &[(u64, u64)], answer: &checker::Answer) -> Tally {
    let mut tally = Tally::default();
    let tag = &lane.tags[0];
    let found: BTreeSet<i64> = answer.samples.get(&tag.name).into_iter().flatten().map(|cell| cell.timestamp).collect();
    for &(batch, watermark) in beyond {
        if lane.numbers(batch).any(|number| found.contains(&tag.timestamp(number))) {
            tally.phantom += lane.samples_per_batch;
            tally.example(|| format!("lane {}: batch {batch} of write {watermark} is in a backup of an earlier write", lane.index));
        }
    }
    tally
}

/// Flips one byte in a file of the backups; the file is as before when this ends.
fn flipped(context: &Context, repository: &Path, newest: &Backup, dice: &mut Dice, report: &mut Report) -> anyhow::Result<()> {
    let Some((file, at)) = pick(repository, dice)? else { return Ok(()) };
    flip(&file, at)?;
    let from = repository.to_string_lossy();
    let (whole, said) = historian(context, &["backup", "verify", "--from", &from, "--all"])?;
    let name = format!("byte {at} of {}", file.strip_prefix(repository)?.display());
    if whole {
        report.fail(format!("{name} was flipped, and the verification of all backups says: {said}"));
    }
    report.count("flips", 1);

    // A restore either refuses or does not need the file.
    let data = context.work.join("restored");
    let (number, to) = (newest.number.to_string(), data.to_string_lossy());
    let (done, _) = historian(context, &["restore", "--from", &from, "--number", &number, "--data-dir", &to])?;
    flip(&file, at)?;
    if done {
        let (needed, _) = historian(context, &["backup", "verify", "--from", &from, &number])?;
        report.count("flips_elsewhere", u64::from(needed));
        // Flipped again, the backup must verify, else the restore took damaged bytes for good ones.
        flip(&file, at)?;
        let (whole, _) = historian(context, &["backup", "verify", "--from", &from, &number])?;
        flip(&file, at)?;
        if !whole {
            report.fail(format!("{name} was flipped, backup {number} is damaged, and it was restored without a word"));
        }
        std::fs::remove_dir_all(&data)?;
    } else if data.exists() && std::fs::read_dir(&data)?.next().is_some() {
        report.fail(format!("{name} was flipped, and the refused restore left something in {}", data.display()));
    } else {
        report.count("restores_refused", 1);
    }
    Ok(())
}

/// Damages a file that the newest backup shares with the next: that one must notice, write it again, and be whole.
async fn mended(
    context: &Context,
    server: &Historian,
    repository: &Path,
    dice: &mut Dice,
    verify_new_only: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let from = repository.to_string_lossy();
    for _ in 0..SHARED_WITHIN {
        let Some((file, at)) = pick_table(repository, dice)? else { return Ok(()) };
        flip(&file, at)?;
        let made = create(server, verify_new_only).await?;
        let number = made.number.to_string();
        let (whole, said) = historian(context, &["backup", "verify", "--from", &from, &number])?;
        if !whole {
            report.fail(format!("backup {number} was made over a damaged file and called complete: {said}"));
        }
        // A compaction may have done away with the table in the store, and the new backup does not share it.
        let shared = names(repository, made.number, &file)?;
        // What older backups have of it stays damaged where the file is not shared any more; the next test starts whole.
        let (all, _) = historian(context, &["backup", "verify", "--from", &from, "--all"])?;
        if !all && file.exists() {
            flip(&file, at)?;
        }
        if shared {
            report.count("made_over_damage", 1);
            return Ok(());
        }
    }
    report.fail(format!("of {SHARED_WITHIN} tables none was shared with the next backup"));
    Ok(())
}

/// Whether a backup's manifest names a file.
fn names(repository: &Path, number: u64, file: &Path) -> anyhow::Result<bool> {
    let name = file.file_name().context("a table without a name")?.to_string_lossy().into_owned();
    let directory = std::fs::read_dir(repository)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir() && path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) == Some(number));
    let manifest = directory.context("a backup without a directory")?.join("manifest.json");
    Ok(std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?.contains(&name))
}

/// A byte of any file of the backups.
fn pick(repository: &Path, dice: &mut Dice) -> anyhow::Result<Option<(PathBuf, u64)>> {
    choose(rot::files(repository)?, dice)
}

/// A byte of one of the tables that the newest backup brought, which the next one will share with it.
fn pick_table(repository: &Path, dice: &mut Dice) -> anyhow::Result<Option<(PathBuf, u64)>> {
    let mut tables: Vec<_> = rot::files(repository)?.into_iter().filter(|path| path.to_string_lossy().contains(".sst")).collect();
    tables.sort_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok());
    choose(tables.split_off(tables.len().saturating_sub(2)), dice)
}

fn choose(files: Vec<PathBuf>, dice: &mut Dice) -> anyhow::Result<Option<(PathBuf, u64)>> {
    let mut sized = Vec::new();
    for path in files {
        let length = path.metadata()?.len();
        // A lock has no contents to be damaged.
        if length > 0 {
            sized.push((path, length));
        }
    }
    if sized.is_empty() {
        return Ok(None);
    }
    let (path, length) = sized.swap_remove(dice.below(sized.len() as u64) as usize);
    Ok(Some((path, dice.below(length))))
}

fn flip(file: &Path, at: u64) -> anyhow::Result<()> {
    let mut bytes = std::fs::read(file)?;
    bytes[at as usize] ^= 0x20;
    Ok(std::fs::write(file, bytes)?)
}
