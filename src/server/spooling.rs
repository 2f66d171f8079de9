//! Where collected samples wait on disk: the directory of the spools, and how much of its file system they may take.

use std::{io, path::Path, sync::Arc};

use super::config::Configuration;
use historian_collector::{SpoolDirectory, SpoolLimits};

/// Share of its file system, and bytes at most, that spools leave free: half of what the store does, so that samples that the store has no room
/// for find some, and what merges the store's files still has the other half.
const RESERVE_SHARE: u64 = 40;
const RESERVE_BYTES_MAX: u64 = 256 << 20;

/// Opens the directory of the spools, and looks through what the run before left there; `None` where it is not wanted, or cannot be: samples
/// then wait in memory only, which is told. Blocks.
pub fn open(configuration: &Configuration) -> Option<Arc<SpoolDirectory>> {
    let settings = &configuration.spool;
    if settings.bytes_max.0 == 0 {
        return None;
    }
    let root = settings.path.clone().unwrap_or_else(|| configuration.server.data_dir.join("spool"));
    let limits = SpoolLimits { bytes_max: settings.bytes_max.0, age_max: settings.age_max.0 };
    let (reserve, of_store) = (settings.disk_reserve_bytes, configuration.storage.disk_reserve_bytes);
    let room = move |path: &Path| -> io::Result<u64> {
        let system = rustix::fs::statvfs(path)?;
        let size = system.f_blocks.saturating_mul(system.f_frsize);
        let unset = (size / RESERVE_SHARE).min(RESERVE_BYTES_MAX).min(of_store.map_or(u64::MAX, |bytes| bytes.0 / 2));
        Ok(system.f_bavail.saturating_mul(system.f_frsize).saturating_sub(reserve.map_or(unset, |bytes| bytes.0)))
    };
    match SpoolDirectory::open(root.clone(), limits, Arc::new(room)) {
        Ok(directory) => Some(Arc::new(directory)),
        Err(error) => {
            tracing::error!(path = %root.display(), %error, "collected samples cannot wait on disk, only in memory: spool.path cannot be used");
            None
        }
    }
}
