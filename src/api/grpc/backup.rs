//! Backups over gRPC: made, listed and verified in the directory of the server's configuration; a client cannot name another.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use historian_proto::v1::{self, create_backup_response, verify_backup_response};
use prost::Message;
use tonic::Status;

use crate::{
    Api, Caller, answer, blocking, status,
    stream::{Emitter, ResponseStream},
};
use historian_query::QueryLimits;
use historian_store::{
    Maintenance,
    backup::{ListedBackup, Manifest, PhaseProgress, Repository},
};

/// How often a client hears of progress.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Upkeep of the store, where the historian has one with files.
pub fn maintenance(api: &Api) -> Result<Arc<Maintenance>, Status> {
    api.services.admin.maintenance().ok_or_else(|| {
        status::failed_precondition("NO_FILES", "this historian keeps its data in memory, there are no files to back up or to check")
    })
}

fn directory(maintenance: &Maintenance) -> Result<PathBuf, Status> {
    maintenance.backup_directory().map(ToOwned::to_owned).ok_or_else(|| {
        status::failed_precondition(
            "NO_BACKUP_DIRECTORY",
            "no directory for backups is configured; start the historian with --backup-dir DIR, or with directory = \"DIR\" in [backup]",
        )
    })
}

/// Tells progress to a client from time to time, and says stop when the call has ended or the historian stops.
pub struct Teller<'a, T> {
    limits: &'a QueryLimits,
    emitter: &'a Emitter<T>,
    told: Option<(&'static str, Instant)>,
}

impl<'a, T> Teller<'a, T> {
    pub fn new(limits: &'a QueryLimits, emitter: &'a Emitter<T>) -> Teller<'a, T> {
        Teller { limits, emitter, told: None }
    }

    pub fn tell(&mut self, phase: &'static str, bytes_done: u64, bytes_total: u64, message: impl Fn(v1::Progress) -> T) -> ControlFlow<()> {
        if self.limits.cancel.is_cancelled() {
            return ControlFlow::Break(());
        }
        let due = self.told.is_none_or(|(before, at)| before != phase || at.elapsed() >= TOLD_EVERY);
        if due {
            self.told = Some((phase, Instant::now()));
            if !self.emitter.offer(message(v1::Progress { phase: phase.to_owned(), bytes_done, bytes_total })) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

pub async fn create(
    api: &Arc<Api>,
    caller: &Caller,
    request: v1::CreateBackupRequest,
) -> Result<ResponseStream<v1::CreateBackupResponse>, Status> {
    let maintenance = maintenance(api)?;
    let directory = directory(&maintenance)?;
    api.services.audit.act(caller, "create_backup", format!("into {}", directory.display())).await?;
    let verify_new_only = request.verify_new_only;
    Ok(Box::pin(api.upkeep(move |limits, emitter| {
        let message = |event| v1::CreateBackupResponse { event: Some(event) };
        let mut teller = Teller::new(limits, emitter);
        let mut watch = |PhaseProgress { phase, bytes_done, bytes_total }| {
            let progress = |progress| message(create_backup_response::Event::Progress(progress));
            teller.tell(phase.as_str(), bytes_done, bytes_total, progress)
        };
        let created = maintenance
            .create_backup(&directory, verify_new_only, &mut watch)
            .inspect_err(|error| tracing::warn!(directory = %directory.display(), "no backup was made: {error}"))
            .map_err(|error| status::from_backup(&error))?;
        emitter.emit(message(create_backup_response::Event::Created(v1::BackupCreated {
            backup: Some(backup(&created.manifest)),
            files_repaired: told(created.repaired, String::len, |more| more),
            pruned: created.pruned,
        })));
        Ok(())
    })))
}

pub async fn list(api: &Arc<Api>) -> Result<v1::ListBackupsResponse, Status> {
    let directory = directory(&*maintenance(api)?)?;
    let listed = blocking(move || Repository::list(&directory).map_err(|error| status::from_backup(&error))).await?;
    let answer = v1::ListBackupsResponse { backups: listed.iter().map(row).collect() };
    answer::whole(answer, "let the historian remove old backups (`keep` in [backup]), or list the directory where it is")
}

pub fn verify(api: &Arc<Api>, request: v1::VerifyBackupRequest) -> Result<ResponseStream<v1::VerifyBackupResponse>, Status> {
    let directory = directory(&*maintenance(api)?)?;
    let number = request.number;
    Ok(Box::pin(api.upkeep(move |limits, emitter| {
        let message = |event| v1::VerifyBackupResponse { event: Some(event) };
        let mut teller = Teller::new(limits, emitter);
        let mut watch = |PhaseProgress { phase, bytes_done, bytes_total }| {
            let progress = |progress| message(verify_backup_response::Event::Progress(progress));
            teller.tell(phase.as_str(), bytes_done, bytes_total, progress)
        };
        let verified = Repository::open_to_read(&directory).and_then(|repository| {
            let manifest = repository.manifest(number)?;
            let damaged = repository.verify(&manifest, &mut watch)?;
            Ok((manifest, damaged))
        });
        let (manifest, damaged) = verified.map_err(|error| status::from_backup(&error))?;
        let damaged = damaged.into_iter().map(|damage| v1::BackupDamage { file: damage.file, message: damage.message }).collect();
        let damaged = told(damaged, Message::encoded_len, |message| v1::BackupDamage { file: String::new(), message });
        emitter.emit(message(verify_backup_response::Event::Verified(v1::BackupVerified { backup: Some(backup(&manifest)), damaged })));
        Ok(())
    })))
}

/// As many as a client takes, and in a last one how many there are besides.
fn told<T>(mut files: Vec<T>, bytes: impl Fn(&T) -> usize, last: impl Fn(String) -> T) -> Vec<T> {
    let kept = answer::fitting(files.iter().map(|file| bytes(file) + 6));
    if kept < files.len() {
        let more = last(format!("and {} files more", files.len() - kept));
        files.truncate(kept);
        files.push(more);
    }
    files
}

fn row(listed: &ListedBackup) -> v1::Backup {
    match &listed.manifest {
        Ok(manifest) => backup(manifest),
        Err(error) => v1::Backup { number: listed.number, problem: error.to_string(), ..v1::Backup::default() },
    }
}

fn backup(manifest: &Manifest) -> v1::Backup {
    v1::Backup {
        number: manifest.number,
        sequence: manifest.sequence,
        time: manifest.time.0,
        tags: manifest.tags,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes,
        files_new: manifest.files_new,
        bytes_new: manifest.bytes_new,
        historian_version: manifest.historian.clone(),
        format_version: manifest.format_version,
        problem: String::new(),
    }
}
