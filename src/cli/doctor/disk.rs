//! The data directory: whose it is, what file system it is on, how much is free, and how long the disk takes to make something durable.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::diagnosis::Diagnosis;
use historian_server::config::Configuration;

/// Times that a small file is made durable.
const SYNCS: usize = 16;
/// A disk that takes so long lets every write wait.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// As long takes no disk that is well.
const SYNC_FAILED: Duration = Duration::from_secs(1);
/// What answers for durability only as far as another machine, or nothing, does.
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"];

pub fn look(configuration: &Configuration) -> Vec<Diagnosis> {
    let data_dir = &configuration.server.data_dir;
    let mut found = Vec::new();
    let Some(place) = existing(data_dir) else {
        return vec![Diagnosis::fail(
            "data directory",
            format!("{} cannot be reached", data_dir.display()),
            "make it, or name another one",
        )];
    };
    found.extend(directory(data_dir, &place));
    found.extend(file_system(&place));
    found.extend(room(configuration, &place));
    found.push(durable(&place));
    if let Some(backups) = configuration.backup.directory.as_deref().and_then(existing)
        && let (Ok(of_data), Ok(of_backups)) = (fs::metadata(&place), fs::metadata(&backups))
        && of_data.dev() == of_backups.dev()
    {
        found.push(Diagnosis::warn(
            "backup",
            format!("{} is on the disk of the data: both go together", backups.display()),
            "put backups on another disk, or copy them to another machine",
        ));
    }
    found
}

/// The directory itself, or the nearest one above it that exists.
fn existing(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    absolute.ancestors().find(|above| above.is_dir()).map(Path::to_owned)
}

fn directory(data_dir: &Path, place: &Path) -> Vec<Diagnosis> {
    const CHECK: &str = "data directory";
    if !data_dir.is_dir() {
        return vec![Diagnosis::ok(CHECK, format!("{} does not exist yet, and is made in {}", data_dir.display(), place.display()))];
    }
    let Ok(about) = fs::metadata(data_dir) else {
        return vec![Diagnosis::fail(
            CHECK,
            format!("{} cannot be looked at", data_dir.display()),
            "give the historian's user the right to it",
        )];
    };
    let (own, shown) = (rustix::process::geteuid().as_raw(), data_dir.display());
    let mut found = Vec::new();
    if about.uid() != own {
        let text = format!("{shown} belongs to the user {}, and this is the user {own}", about.uid());
        let remedy = "run the historian, and this, as the user to whom it belongs; or give it to that user (chown -R)";
        found.push(if own == 0 { Diagnosis::warn(CHECK, text, remedy) } else { Diagnosis::fail(CHECK, text, remedy) });
    }
    if about.mode() & 0o007 != 0 {
        let text = format!("{shown} is open to every user of the machine (mode {:o})", about.mode() & 0o777);
        found.push(Diagnosis::warn(CHECK, text, format!("chmod o-rwx {shown}")));
    }
    if found.is_empty() {
        found.push(Diagnosis::ok(CHECK, format!("{shown}, mode {:o}", about.mode() & 0o777)));
    }
    found
}

fn file_system(place: &Path) -> Vec<Diagnosis> {
    const CHECK: &str = "file system";
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Some(kind) = kind_of(&mounts, place) else { return Vec::new() };
    let on = format!("{} is on {kind}", place.display());
    vec![match kind.as_str() {
        kind if REMOTE.contains(&kind) => {
            Diagnosis::warn(CHECK, on, "use a disk of the machine: what is durable there is another machine's to say")
        }
        "tmpfs" | "ramfs" => Diagnosis::fail(CHECK, on, "use a disk: this is memory, and is gone after the next start of the machine"),
        "overlay" => Diagnosis::warn(CHECK, on, "mount a volume there: what is in a container goes with it"),
        _ => Diagnosis::ok(CHECK, on),
    }]
}

/// The kind of the file system of a path, by what is mounted closest to it; of several at one place the last.
fn kind_of(mountinfo: &str, path: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, behind) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&place).then(|| (place.len(), behind.split(' ').next().unwrap_or_default().to_owned()))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn room(configuration: &Configuration, place: &Path) -> Vec<Diagnosis> {
    const CHECK: &str = "free space";
    let Ok(system) = rustix::fs::statvfs(place) else { return Vec::new() };
    let (free, size) = (system.f_bavail.saturating_mul(system.f_frsize), system.f_blocks.saturating_mul(system.f_frsize));
    let reserve = configuration.storage.disk_reserve_bytes.map_or_else(|| (size / 20).min(512 << 20), |bytes| bytes.0);
    let told = format!("{} MiB of {} MiB are free, {} MiB of them are kept back", free >> 20, size >> 20, reserve >> 20);
    vec![if free <= reserve {
        Diagnosis::fail(CHECK, told, "free or add space: writes are refused. Retention and docs/operations.md help")
    } else if free < size / 10 {
        Diagnosis::warn(CHECK, told, "plan for more; historian_disk_full_seconds tells when it will be full")
    } else {
        Diagnosis::ok(CHECK, told)
    }]
}

/// How long a write takes to be durable, which every acknowledged write waits for.
fn durable(place: &Path) -> Diagnosis {
    const CHECK: &str = "fsync";
    let file = place.join(format!(".historian-doctor-{}", std::process::id()));
    let measured = measure(&file);
    let _ = fs::remove_file(&file);
    match measured {
        Err(error) => Diagnosis::fail(
            CHECK,
            format!("{} cannot be written: {error}", place.display()),
            "give the historian's user the right to write there, or free space",
        ),
        Ok(mut times) => {
            times.sort_unstable();
            let (middle, longest) = (times[times.len() / 2], times[times.len() - 1]);
            let told = format!("{:.1} ms, at most {:.1} ms", middle.as_secs_f64() * 1e3, longest.as_secs_f64() * 1e3);
            match () {
                () if middle >= SYNC_FAILED => Diagnosis::fail(CHECK, told, "look for errors of the disk (dmesg, smartctl)"),
                () if middle >= SYNC_SLOW => Diagnosis::warn(CHECK, told, "every write waits so long; a solid state disk takes about one"),
                () => Diagnosis::ok(CHECK, told),
            }
        }
    }
}

fn measure(file: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::options().write(true).create_new(true).open(file)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_path_is_the_one_that_is_mounted_closest() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /var/lib/plant\\040data rw shared:1 - xfs /dev/sdb rw\n\
                      31 22 0:41 / /var/lib rw - nfs4 server:/x rw\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path)).unwrap();
        assert_eq!([kind("/srv"), kind("/var/lib/a"), kind("/var/lib/plant data/x")], ["ext4", "nfs4", "xfs"]);
        assert_eq!(kind("/var/library"), "ext4");
    }
}
