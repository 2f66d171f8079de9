//! A slow disk: a control group (version 1) whose writes to one device are held to a rate.

use std::path::{Path, PathBuf};

use anyhow::Context;

const CONTROLLER: &str = "/sys/fs/cgroup/blkio";

/// A group that is removed when dropped; its processes must have ended.
pub struct Throttle {
    group: PathBuf,
    device: String,
}

impl Throttle {
    /// Why writes cannot be held to a rate here.
    pub fn unavailable() -> Option<String> {
        let file = Path::new(CONTROLLER).join("blkio.throttle.write_bps_device");
        (!file.exists()).then(|| format!("there is no {} (control groups of version 1 with blkio)", file.display()))
    }

    /// Holds the writes of processes in the group to a device (`major:minor`) to so many bytes a second.
    ///
    /// # Errors
    /// The group cannot be made.
    pub fn new(device: &str, bytes_per_s: u64) -> anyhow::Result<Throttle> {
        let group = Path::new(CONTROLLER).join(format!("torture-{}", std::process::id()));
        std::fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        let throttle = Throttle { group, device: device.to_owned() };
        throttle.rate(bytes_per_s)?;
        Ok(throttle)
    }

    /// Puts a process into the group.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add(&self, pid: u32) -> anyhow::Result<()> {
        std::fs::write(self.group.join("cgroup.procs"), pid.to_string()).context("cgroup.procs")
    }

    /// Another rate; 0 takes the limit away.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn rate(&self, bytes_per_s: u64) -> anyhow::Result<()> {
        let file = self.group.join("blkio.throttle.write_bps_device");
        std::fs::write(&file, format!("{} {bytes_per_s}", self.device)).with_context(|| file.display().to_string())
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        let _ = self.rate(0);
        // A process that has just ended leaves its group a moment later.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
