//! S9: SIGKILL while tags are made, changed and emptied, tokens are made and revoked, and calls are refused. Whatever was answered is in the audit log
//! of the next start, the chain of the log is whole and fits every head that was fetched. Then the exported log is tampered with, again and
//! again: each time it is found, and where.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{FutureExt, future::BoxFuture};
use historian::audit::{AuditHash, AuditVerifier, ChainedEntry, ExportLine, HeadKey, SignedHead, entry_line};
use historian_proto::v1::{
    CompactRequest, CreateTagRequest, DeleteRangeRequest, DeleteTagRequest, ExportAuditLogRequest, Tag, UpdateTagRequest, ValueType,
    admin_service_client::AdminServiceClient, tag_service_client::TagServiceClient, write_service_client::WriteServiceClient,
};
use historian_test_support::program::Historian;
use parking_lot::Mutex;
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};

use super::{Mutant, Test};
use crate::{context::Context, oracle::Dice, report::Report};

/// Verifies without heads, as whoever keeps none.
const NO_HEADS: &str = "no-heads";

pub const TEST: Test = Test {
    id: "S9",
    about: "kill -9 while things are done and refused: all of it is in the audit log; tampering is found, and where",
    unit: "kills",
    cycles: [6, 30, 100],
    mutants: &[
        Mutant { kind: "forgets-audit", about: "leaves one in ten entries of the audit log away", cycles: 6 },
        Mutant { kind: NO_HEADS, about: "compares the log with no heads", cycles: 2 },
    ],
    run,
};

/// Attempts to tamper, of all cycles together.
const TAMPERINGS: u64 = 1_000;
const CLIENTS: u64 = 3;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    audited(context).boxed()
}

/// What was answered, and must be in the log: action, and a text that its entry has.
type Answered = Arc<Mutex<Vec<(&'static str, String)>>>;

async fn audited(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let data = context.work.join("data");
    let launcher = match context.mutant {
        Some(NO_HEADS) | None => context.real_launcher(&data, "")?,
        Some(_) => context.launcher(&data, "")?,
    };
    std::fs::create_dir_all(&data)?;
    let tokens = Tokens { boss: token(context, &data, "boss", "admin")?, reader: token(context, &data, "ana", "reader")?, data };
    let mut dice = context.dice(9);
    let answered = Answered::default();
    answered.lock().push(("create_token", "(boss)".into()));
    let mut heads: Vec<SignedHead> = Vec::new();
    let mut lines = Vec::new();

    for cycle in 0..context.cycles {
        let mut server = launcher.start()?;
        act(context, &mut server, &tokens, &answered, cycle, &mut dice).await?;
        let again = launcher.start()?;
        report.recovery(again.begun().elapsed());
        // Tokens are told when they are looked at, which is at the start.
        tokio::time::sleep(Duration::from_millis(300)).await;
        lines = export(&again, &tokens.boss).await?;
        let head = head(&lines)?;
        let kept = if context.mutant == Some(NO_HEADS) { Vec::new() } else { heads.clone() };
        let whole = verified(&lines, kept, Some(&head.public_key));
        if !whole.is_whole() {
            report.fail(format!("cycle {cycle}: {:?}", whole.faults));
        }
        heads.push(head);
        missing(&lines, &answered, &mut report);
        stop(again)?;
        report.cycles = cycle + 1;
        context.progress("S9", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }
    report.figure("answered", answered.lock().len());
    report.figure("entries", lines.len() - 1);
    ensure!(answered.lock().len() as u64 > context.cycles * 5, "too little was answered");

    let heads = if context.mutant == Some(NO_HEADS) { Vec::new() } else { heads };
    tampered(&lines, &heads, &mut dice, &mut report)?;
    by_the_program(context, &lines, &heads, &mut report)?;
    Ok(report)
}

struct Tokens {
    boss: String,
    reader: String,
    data: PathBuf,
}

/// Makes a token with the program itself.
fn token(context: &Context, data: &Path, name: &str, role: &str) -> anyhow::Result<String> {
    let output = Command::new(&context.program).args(["token", "create", name, "--role", role, "--data-dir"]).arg(data).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn stop(server: Historian) -> anyhow::Result<()> {
    server.stop().map_err(anyhow::Error::from)
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(value) = MetadataValue::try_from(format!("Bearer {token}")) {
        request.metadata_mut().insert("authorization", value);
    }
    request.set_timeout(Duration::from_secs(20));
    request
}

/// Does things until the server is killed in the middle of them. What it answered is noted.
async fn act(
    context: &Context,
    server: &mut Historian,
    tokens: &Tokens,
    answered: &Answered,
    cycle: u64,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let channel = server.channel().await?;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (channel, answered, boss, reader) = (channel.clone(), answered.clone(), tokens.boss.clone(), tokens.reader.clone());
        clients.spawn(async move {
            for turn in 0.. {
                let name = format!("t{cycle}/{client}/{turn}");
                if ask(channel.clone(), &boss, &reader, &name, turn, &answered).await.is_err() {
                    break;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(dice.between(100, 700))).await;
    // On the file, while the historian may be killed at any moment.
    let name = format!("guest-{cycle}");
    token(context, &tokens.data, &name, "writer")?;
    answered.lock().push(("create_token", format!("({name})")));
    tokio::time::sleep(Duration::from_millis(dice.between(5, 400))).await;
    server.kill();
    while clients.join_next().await.is_some() {}
    let revoked = Command::new(&context.program).args(["token", "revoke", &name, "--data-dir"]).arg(&tokens.data).output()?;
    ensure!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    answered.lock().push(("revoke_token", format!("({name})")));
    Ok(())
}

/// One thing; the error is that of a connection that is gone.
async fn ask(channel: Channel, boss: &str, reader: &str, name: &str, turn: u64, answered: &Answered) -> Result<(), Status> {
    let note = |action, text: &str| answered.lock().push((action, text.to_owned()));
    let tag = |unit: &str| Tag { name: name.into(), value_type: ValueType::F64.into(), unit: unit.into(), ..Tag::default() };
    let mut tags = TagServiceClient::new(channel.clone());
    let mut admin = AdminServiceClient::new(channel.clone());
    tags.create_tag(with(boss, CreateTagRequest { tag: Some(tag("m")) })).await?;
    note("create_tag", name);
    match turn % 5 {
        0 => {
            tags.update_tag(with(boss, UpdateTagRequest { tag: Some(tag("cm")), update_mask: None, ..UpdateTagRequest::default() }))
                .await?;
            note("update_tag", name);
        }
        1 => {
            tags.delete_tag(with(boss, DeleteTagRequest { name: name.into(), ..DeleteTagRequest::default() })).await?;
            note("delete_tag", name);
        }
        2 => {
            let reason = format!("because of {name}");
            let (start, end) = ("2026-01-01T00:00:00Z".to_owned(), "2026-01-02T00:00:00Z".to_owned());
            let request = DeleteRangeRequest { tags: vec![name.into()], start, end, zone: String::new(), reason: reason.clone() };
            WriteServiceClient::new(channel).delete_range(with(boss, request)).await?;
            note("delete_range", &reason);
        }
        3 => refused(
            tags.delete_tag(with(reader, DeleteTagRequest { name: name.into(), ..DeleteTagRequest::default() })).await,
            "DeleteTag",
            "token:ana",
            answered,
        )?,
        _ => refused(admin.compact(with("hst_of_nobody", CompactRequest {})).await, "Compact", "nobody", answered)?,
    }
    Ok(())
}

/// A call that must be refused; else the error is handed on.
fn refused<T>(answer: Result<T, Status>, method: &str, who: &str, answered: &Answered) -> Result<(), Status> {
    match answer {
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => {
            answered.lock().push(("denied", format!("{method} by {who}")));
            Ok(())
        }
        Err(status) => Err(status),
        Ok(_) => Err(Status::internal("it was not refused")),
    }
}

async fn export(server: &Historian, token: &str) -> anyhow::Result<Vec<String>> {
    let mut admin = AdminServiceClient::new(server.channel().await?);
    let mut parts = admin.export_audit_log(with(token, ExportAuditLogRequest { from: 1 })).await?.into_inner();
    let mut text = Vec::new();
    while let Some(part) = parts.message().await? {
        text.extend_from_slice(part.text.as_bytes());
    }
    Ok(String::from_utf8(text)?.lines().map(str::to_owned).collect())
}

fn head(lines: &[String]) -> anyhow::Result<SignedHead> {
    match ExportLine::parse(lines.last().context("the export is empty")?)? {
        ExportLine::Head(head) => Ok(head),
        ExportLine::Entry { .. } => anyhow::bail!("the export has no head at its end"),
    }
}

fn entries(lines: &[String]) -> anyhow::Result<Vec<ChainedEntry>> {
    let mut entries = Vec::new();
    for line in lines {
        if let ExportLine::Entry { entry, .. } = ExportLine::parse(line)? {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn verified(lines: &[String], heads: Vec<SignedHead>, key: Option<&str>) -> historian::audit::AuditReport {
    let mut verifier = AuditVerifier::new(heads, key.map(str::to_owned));
    for line in lines {
        verifier.line(line);
    }
    verifier.report()
}

/// Fails the report where something that was answered is not in the log as often as it was answered.
fn missing(lines: &[String], answered: &Answered, report: &mut Report) {
    let Ok(entries) = entries(lines) else {
        report.fail("the export cannot be read".to_owned());
        return;
    };
    let told: Vec<_> = entries.iter().filter_map(|entry| entry.entry().ok()).collect();
    let mut lost = 0_u64;
    let mut denied: std::collections::HashMap<&str, (usize, usize)> = std::collections::HashMap::new();
    let answered = answered.lock();
    let by_text: std::collections::HashSet<(String, String)> =
        told.iter().flat_map(|entry| entry.tags.iter().chain([&entry.detail]).map(|text| (entry.action.clone(), text.clone()))).collect();
    for (action, text) in answered.iter() {
        match *action {
            "denied" => denied.entry(text).or_default().0 += 1,
            // The text stands within a longer one.
            "create_token" | "revoke_token" if told.iter().any(|entry| entry.action == *action && entry.detail.contains(text)) => {}
            _ if by_text.contains(&((*action).to_owned(), text.clone())) => {}
            _ => {
                lost += 1;
                report.tally.example(|| format!("{action} {text} is not in the audit log"));
            }
        }
    }
    for entry in told.iter().filter(|entry| entry.action == "denied") {
        for (text, (_, found)) in &mut denied {
            let Some((method, who)) = text.split_once(" by ") else { continue };
            if entry.principal == who && entry.detail.contains(method) {
                *found += 1;
            }
        }
    }
    // Of a flood only a number is told; the clients here are no flood, but they are quick.
    let summed: usize = told.iter().filter_map(|entry| entry.detail.split_once(" more calls were refused")?.0.parse::<usize>().ok()).sum();
    let answered_denied: usize = denied.values().map(|(answered, _)| answered).sum();
    let found: usize = denied.values().map(|(_, found)| found).sum();
    report.figure("denied_answered", answered_denied);
    report.figure("denied_told", found);
    report.figure("denied_told_as_number", summed);
    let enough = answered_denied.min(100);
    if found < enough {
        lost += (enough - found) as u64;
        report.tally.example(|| format!("{answered_denied} calls were refused, and {found} are in the audit log"));
    }
    report.tally.lost += lost;
}

/// Changes the log as somebody may who can write to the disk, or to the file of an export.
fn tampered(lines: &[String], heads: &[SignedHead], dice: &mut Dice, report: &mut Report) -> anyhow::Result<()> {
    let log = entries(lines)?;
    ensure!(log.len() > 20, "the log has only {} entries", log.len());
    let key = head(lines)?.public_key;
    let forger = HeadKey::generate()?;
    let mut heads = heads.to_vec();
    // Always the one of the end: that is what an auditor keeps.
    if !heads.is_empty() {
        heads.push(head(lines)?);
    }
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    for _ in 0..TAMPERINGS {
        let at = dice.below(log.len() as u64 - 2) as usize;
        let mut changed = log.clone();
        let (kind, from, to) = match dice.below(8) {
            0 => {
                let text = &mut changed[at].text;
                let place = text.len() / 2;
                let place = (place..text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(0);
                let with = if text[place..].starts_with('7') { "8" } else { "7" };
                let end = (place + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
                text.replace_range(place..end, with);
                ("edit", at, at)
            }
            1 => {
                changed.remove(at);
                ("delete", at, at + 1)
            }
            2 => {
                changed.swap(at, at + 1);
                ("swap", at, at + 1)
            }
            3 => {
                let copy = changed[at].clone();
                changed.insert(at + 1, copy);
                ("insert", at, at + 1)
            }
            4 => {
                changed.truncate(at + 1);
                ("cut", at + 1, at + 1)
            }
            // With every hash behind it made anew, so that the chain agrees with itself.
            5 => {
                changed[at].text = changed[at].text.replacen("\"samples\":", "\"samples\":1", 1);
                again(&mut changed);
                ("edit and chain again", at, log.len())
            }
            6 => {
                changed.remove(at);
                again(&mut changed);
                ("delete and chain again", at, log.len())
            }
            _ => {
                let hash = &changed[at].hash;
                let mut bytes = *hash.bytes();
                bytes[dice.below(32) as usize] ^= 1 << dice.below(8);
                changed[at].hash = AuditHash::from_bytes(bytes);
                ("another hash", at, at + 1)
            }
        };
        *kinds.entry(kind).or_default() += 1;
        let mut text: Vec<String> = written(&changed);
        // Whoever forges the log forges its head as well, with a key of their own.
        if let Some(last) = changed.last()
            && dice.one_in(2)
        {
            let head = forger.sign(historian::audit::AuditHead { number: last.number, hash: last.hash }, historian::model::Timestamp(1));
            text.push(historian::audit::head_line(&head)?);
        }
        let found = verified(&text, heads.clone(), Some(&key));
        let (first, last) = (from as u64 + 1, to as u64 + 1);
        // Somewhere between the last entry that a head vouches for and where it shows.
        let located = found.faults.iter().any(|fault| {
            let unsigned = fault.kind == historian::audit::FaultKind::Unsigned;
            !unsigned && fault.after < last && fault.at + 1 >= first && fault.after < first.max(1)
        });
        if !located {
            report.fail(format!("{kind} at entry {first} was not found, or elsewhere: {:?}", found.faults));
            if report.failures.len() > 5 {
                break;
            }
        }
    }
    report.figure("tamperings", serde_json::to_value(kinds)?);
    Ok(())
}

fn written(entries: &[ChainedEntry]) -> Vec<String> {
    let previous = std::iter::once(AuditHash::START).chain(entries.iter().map(|entry| entry.hash));
    previous.zip(entries).map(|(previous, entry)| entry_line(&previous, entry)).collect()
}

fn again(entries: &mut [ChainedEntry]) {
    let mut last = AuditHash::START;
    for (number, entry) in (1..).zip(entries) {
        entry.number = number;
        entry.hash = AuditHash::of(&last, number, &entry.text);
        last = entry.hash;
    }
}

/// The command tells the same: of the log as it is, and of one without its end.
fn by_the_program(context: &Context, lines: &[String], heads: &[SignedHead], report: &mut Report) -> anyhow::Result<()> {
    let (export, kept) = (context.work.join("audit.jsonl"), context.work.join("heads.jsonl"));
    let heads: Vec<String> = heads.iter().map(historian::audit::head_line).collect::<Result<_, _>>()?;
    std::fs::write(&kept, heads.concat())?;
    for (what, lines, whole) in [("the log", lines, true), ("the log without its end", &lines[..lines.len() / 3], false)] {
        std::fs::write(&export, lines.join("\n") + "\n")?;
        let mut command = Command::new(&context.program);
        command.args(["audit", "verify", "--format", "json"]).arg(&export);
        if !heads.is_empty() {
            command.arg("--head").arg(&kept);
        }
        let output = command.output()?;
        if output.status.success() != whole {
            report.fail(format!("`historian audit verify` of {what}: {}", String::from_utf8_lossy(&output.stdout)));
        }
    }
    Ok(())
}
