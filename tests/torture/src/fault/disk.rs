//! Disks that can be taken away: an ext4 image on a loop device, whose power is cut by the file system's shutdown ioctl, and a small disk
//! in memory that fills.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{has, is_root, run};

/// A file system mounted for a test, unmounted when dropped.
pub struct Disk {
    pub mount_point: PathBuf,
    /// The image, for a loop device.
    image: Option<PathBuf>,
    mounted: bool,
}

/// `EXT4_IOC_SHUTDOWN`, without flushing the journal: what was not synced is gone, as with a loss of power.
const SHUTDOWN_IOCTL: &str = "0x8004587d";
const NO_LOG_FLUSH: &str = "2";

impl Disk {
    /// Why no disk can be had here whose power can be cut; None when it can.
    pub fn unavailable() -> Option<String> {
        if !is_root() {
            return Some("mounting a file system of its own needs root".into());
        }
        if !Path::new("/dev/loop-control").exists() {
            return Some("there is no /dev/loop-control: this kernel or container has no loop devices".into());
        }
        if !has("mkfs.ext4") && !Path::new("/usr/sbin/mkfs.ext4").exists() {
            return Some("mkfs.ext4 (package e2fsprogs) is missing".into());
        }
        if !has("perl") && !has("python3") {
            return Some("neither perl nor python3 is there to send the shutdown ioctl".into());
        }
        None
    }

    /// Makes an ext4 image in `directory` and mounts it.
    ///
    /// # Errors
    /// A tool failed.
    pub fn with_power(directory: &Path, megabytes: u64) -> anyhow::Result<Disk> {
        let image = directory.join("disk.ext4");
        std::fs::File::create(&image)?.set_len(megabytes << 20)?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image.to_string_lossy()])?;
        let mut disk = Disk { mount_point: directory.join("disk"), image: Some(image), mounted: false };
        std::fs::create_dir_all(&disk.mount_point)?;
        disk.mount()?;
        Ok(disk)
    }

    /// Why no disk in memory can be had here.
    pub fn in_memory_unavailable() -> Option<String> {
        (!is_root()).then(|| "mounting a tmpfs needs root".into())
    }

    /// A tmpfs of this size.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn in_memory(directory: &Path, megabytes: u64) -> anyhow::Result<Disk> {
        let mount_point = directory.join("disk");
        std::fs::create_dir_all(&mount_point)?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", &mount_point.to_string_lossy()])?;
        Ok(Disk { mount_point, image: None, mounted: true })
    }

    /// Mounts the image, and so replays the journal of its file system.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn mount(&mut self) -> anyhow::Result<()> {
        let image = self.image.as_ref().context("this disk has no image")?;
        run("mount", &["-o", "loop", &image.to_string_lossy(), &self.mount_point.to_string_lossy()])?;
        self.mounted = true;
        Ok(())
    }

    /// From this moment nothing more reaches the disk, and what was not synced never did.
    ///
    /// # Errors
    /// The ioctl cannot be sent.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let path = self.mount_point.to_string_lossy();
        // Rust has no ioctl without unsafe code.
        let perl = format!(
            r#"open(my $f, "<", $ARGV[0]) or die "open: $!"; my $how = pack("L", {NO_LOG_FLUSH}); ioctl($f, {SHUTDOWN_IOCTL}, $how) or die "ioctl: $!";"#
        );
        if has("perl") {
            return run("perl", &["-e", &perl, &path]);
        }
        let python = format!(
            "import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), {SHUTDOWN_IOCTL}, struct.pack('I', {NO_LOG_FLUSH}))"
        );
        run("python3", &["-c", &python, &path])
    }

    /// Unmounts, waiting for the last open file of an ended process.
    ///
    /// # Errors
    /// The file system stays in use.
    pub fn unmount(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match run("umount", &[&self.mount_point.to_string_lossy()]) {
                Ok(()) => {
                    self.mounted = false;
                    return Ok(());
                }
                Err(error) if begun.elapsed() > Duration::from_secs(10) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// The file system cannot be asked.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let system = rustix::fs::statvfs(&self.mount_point)?;
        Ok(system.f_bavail * system.f_frsize)
    }

    /// Device number of the mounted file system, `major:minor`.
    ///
    /// # Errors
    /// It is not mounted.
    pub fn device(&self) -> anyhow::Result<String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let path = self.mount_point.to_string_lossy();
        let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(&*path)).context("the disk is not mounted")?;
        Ok(line.split(' ').nth(2).context("mountinfo has no device")?.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: whatever still holds a file there, nothing is left behind.
            let _ = run("umount", &["-l", &self.mount_point.to_string_lossy()]);
        }
    }
}
