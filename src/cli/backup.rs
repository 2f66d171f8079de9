//! `historian backup`: makes, lists and verifies backups, through a running historian or, to list and verify, in a directory at hand.

use std::{io::Write, ops::ControlFlow, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use historian_proto::v1::{
    Backup, BackupDamage, CreateBackupRequest, ListBackupsRequest, VerifyBackupRequest, admin_service_client::AdminServiceClient,
    create_backup_response, verify_backup_response,
};
use serde_json::json;

use super::{
    client::{self, ServerArgs, ServerChannel},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
    progress::{Bar, bytes},
};
use historian_model::Timestamp;
use historian_store::backup::{ListedBackup, Manifest, PhaseProgress, Repository};

#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    #[command(flatten)]
    create: CreateArgs,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Makes a backup in the directory of the server's configuration (the default).
    Create(CreateArgs),
    /// Lists the backups.
    List(BackupListArgs),
    /// Reads every file of a backup and compares it with what was written.
    Verify(VerifyArgs),
}

#[derive(Clone, Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Compare only the files that this backup writes, not those it shares with earlier ones.
    #[arg(long)]
    verify_new_only: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

/// Where the backups are.
#[derive(Clone, Debug, Args)]
struct BackupLocation {
    #[command(flatten)]
    server: ServerArgs,
    /// Read this directory of backups instead of asking a historian.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct BackupListArgs {
    #[command(flatten)]
    place: BackupLocation,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Clone, Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    place: BackupLocation,
    /// Which backups [default: the newest].
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    numbers: Vec<u64>,
    /// All backups.
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: BackupArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => create(args.create).await,
        Some(BackupCommand::Create(create_args)) => create(create_args).await,
        Some(BackupCommand::List(args)) => list(args).await,
        Some(BackupCommand::Verify(args)) => verify(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let request = CreateBackupRequest { verify_new_only: args.verify_new_only };
    let mut answer = admin.create_backup(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut bar = Bar::new();
    let mut made = None;
    while let Some(message) = answer.message().await.map_err(|status| client::refusal(&status))? {
        match message.event {
            Some(create_backup_response::Event::Progress(progress)) => bar.show(&progress.phase, progress.bytes_done, progress.bytes_total),
            Some(create_backup_response::Event::Created(created)) => made = Some(created),
            None => {}
        }
    }
    bar.clear();
    let Some((created, backup)) = made.and_then(|created| created.backup.clone().map(|backup| (created, backup))) else {
        anyhow::bail!("the historian ended the call without a backup; look at its log and try again");
    };
    let mut output = OutputFile::stdout();
    if args.format == TextFormat::Json {
        let mut row = as_json(&backup);
        row["files_repaired"] = json!(created.files_repaired);
        row["pruned"] = json!(created.pruned);
        writeln!(output, "{row}")?;
        return Ok(output.finish().map(|()| ExitCode::SUCCESS)?);
    }
    writeln!(
        output,
        "backup {} is complete and compared: everything up to write {}, {} tags, {} in {} files, {} of them new",
        backup.number,
        backup.sequence,
        backup.tags,
        bytes(backup.bytes),
        backup.files,
        bytes(backup.bytes_new)
    )?;
    for file in &created.files_repaired {
        writeln!(output, "damaged in earlier backups and written again: {}", output::printable(file))?;
    }
    if created.pruned > 0 {
        writeln!(output, "{} older backups removed", created.pruned)?;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Who reads the backups.
enum BackupReader {
    Server(AdminServiceClient<ServerChannel>),
    Directory(PathBuf),
}

/// The backups, oldest first.
async fn listed(place: BackupLocation) -> anyhow::Result<(Vec<Backup>, BackupReader)> {
    if let Some(directory) = place.from {
        anyhow::ensure!(directory.is_dir(), "{}: there is no such directory", directory.display());
        return Ok((Repository::list(&directory)?.iter().map(row).collect(), BackupReader::Directory(directory)));
    }
    let mut admin = AdminServiceClient::new(place.server.connect().await?);
    let answer = admin.list_backups(ListBackupsRequest {}).await.map_err(|status| client::refusal(&status))?;
    Ok((answer.into_inner().backups, BackupReader::Server(admin)))
}

async fn list(args: BackupListArgs) -> anyhow::Result<ExitCode> {
    let (backups, _) = listed(args.place).await?;
    let mut output = OutputFile::stdout();
    if args.format == TextFormat::Json {
        for backup in &backups {
            writeln!(output, "{}", as_json(backup))?;
        }
    } else if backups.is_empty() {
        output::note("there are no backups");
    } else {
        let mut table = TextTable::new([
            TableColumn::whole("NUMBER"),
            TableColumn::whole("TIME"),
            TableColumn::whole("UP TO WRITE").spare(2),
            TableColumn::whole("TAGS").spare(3),
            TableColumn::whole("FILES").spare(4),
            TableColumn::whole("SIZE"),
            TableColumn::whole("NEW").spare(1),
            TableColumn::whole("VERSION").spare(5),
            TableColumn::text("PROBLEM"),
        ]);
        for backup in &backups {
            let number = TableCell::number(backup.number);
            table.add_row(if backup.problem.is_empty() {
                vec![
                    number,
                    TableCell::time(Timestamp(backup.time)),
                    TableCell::number(backup.sequence),
                    TableCell::number(backup.tags),
                    TableCell::number(backup.files),
                    TableCell::number(bytes(backup.bytes)),
                    TableCell::number(bytes(backup.bytes_new)),
                    TableCell::new(&backup.historian_version),
                    TableCell::new(""),
                ]
            } else {
                let empty = (0..7).map(|_| TableCell::new("-"));
                std::iter::once(number).chain(empty).chain([TableCell::new(&backup.problem)]).collect()
            });
        }
        table.write(&mut output)?;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let (known, reader) = listed(args.place).await?;
    let numbers = match (args.all, args.numbers.is_empty(), known.last()) {
        (true, _, Some(_)) => known.iter().map(|backup| backup.number).collect(),
        (false, true, Some(newest)) => vec![newest.number],
        (false, false, _) => args.numbers.clone(),
        (_, _, None) => anyhow::bail!("there are no backups"),
    };
    let mut output = OutputFile::stdout();
    let mut bar = Bar::new();
    let mut whole = true;
    for number in numbers {
        // A backup that cannot be read must not hide the state of the others.
        let outcome = match &reader {
            BackupReader::Server(admin) => verify_through(admin.clone(), number, &mut bar).await,
            BackupReader::Directory(directory) => verify_in(directory.clone(), number).await,
        };
        bar.clear();
        let damaged = outcome.unwrap_or_else(|error| vec![BackupDamage { file: String::new(), message: super::error::one_line(&error) }]);
        whole &= damaged.is_empty();
        match args.format {
            TextFormat::Json => {
                let damaged: Vec<_> = damaged.iter().map(|damage| json!({"file": damage.file, "message": damage.message})).collect();
                writeln!(output, "{}", json!({"number": number, "whole": damaged.is_empty(), "damaged": damaged}))?;
            }
            TextFormat::Table if damaged.is_empty() => writeln!(output, "backup {number} is whole")?,
            TextFormat::Table => {
                writeln!(output, "backup {number} is DAMAGED")?;
                for damage in &damaged {
                    let separator = if damage.file.is_empty() { "" } else { ": " };
                    writeln!(output, "  {}{separator}{}", output::printable(&damage.file), output::printable(&damage.message))?;
                }
            }
        }
    }
    output.finish()?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn verify_through(mut admin: AdminServiceClient<ServerChannel>, number: u64, bar: &mut Bar) -> anyhow::Result<Vec<BackupDamage>> {
    let answer = admin.verify_backup(VerifyBackupRequest { number }).await.map_err(|status| client::refusal(&status))?;
    let mut answer = answer.into_inner();
    let mut verified = None;
    while let Some(message) = answer.message().await.map_err(|status| client::refusal(&status))? {
        match message.event {
            Some(verify_backup_response::Event::Progress(progress)) => bar.show(&progress.phase, progress.bytes_done, progress.bytes_total),
            Some(verify_backup_response::Event::Verified(answer)) => verified = Some(answer.damaged),
            None => {}
        }
    }
    verified.ok_or_else(|| anyhow::anyhow!("the historian ended the call before it had verified the backup; try again"))
}

async fn verify_in(directory: PathBuf, number: u64) -> anyhow::Result<Vec<BackupDamage>> {
    tokio::task::spawn_blocking(move || {
        let mut bar = Bar::new();
        let repository = Repository::open_to_read(&directory)?;
        let manifest = repository.manifest(number)?;
        let damaged = repository.verify(&manifest, &mut |PhaseProgress { phase, bytes_done, bytes_total }| {
            bar.show(phase.as_str(), bytes_done, bytes_total);
            ControlFlow::Continue(())
        })?;
        Ok(damaged.into_iter().map(|damage| BackupDamage { file: damage.file, message: damage.message }).collect())
    })
    .await?
}

fn row(listed: &ListedBackup) -> Backup {
    match &listed.manifest {
        Ok(Manifest { number, sequence, time, historian, format_version, tags, bytes, files_new, bytes_new, files, .. }) => Backup {
            number: *number,
            sequence: *sequence,
            time: time.0,
            tags: *tags,
            files: files.len() as u64,
            bytes: *bytes,
            files_new: *files_new,
            bytes_new: *bytes_new,
            historian_version: historian.clone(),
            format_version: *format_version,
            problem: String::new(),
        },
        Err(error) => Backup { number: listed.number, problem: error.to_string(), ..Backup::default() },
    }
}

fn as_json(backup: &Backup) -> serde_json::Value {
    if !backup.problem.is_empty() {
        return json!({"number": backup.number, "problem": backup.problem});
    }
    json!({
        "number": backup.number,
        "sequence": backup.sequence,
        "time": Timestamp(backup.time).to_string(),
        "tags": backup.tags,
        "files": backup.files,
        "bytes": backup.bytes,
        "files_new": backup.files_new,
        "bytes_new": backup.bytes_new,
        "historian_version": backup.historian_version,
        "format_version": backup.format_version,
    })
}
