//! Faults made with the tools of the operating system.

pub mod disk;
pub mod rot;
pub mod syscall;
pub mod throttle;

use std::process::{Command, Stdio};

/// Whether this process may mount.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program can be started.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status().is_ok()
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, or fails; with what it said.
fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| anyhow::anyhow!("{program}: {error}"))?;
    if !output.status.success() {
        anyhow::bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
