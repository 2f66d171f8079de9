//! A child process that a test ends by its own pid: signals, its end, and nothing of it left behind.

use std::{
    io::{Error, Result},
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// How often a condition is looked at: short beside the start of a historian, long beside the look.
const LOOK: Duration = Duration::from_millis(3);

/// A running child; killed when dropped.
pub struct Process {
    child: Child,
    /// When it was started.
    pub begun: Instant,
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(command: &mut Command) -> Result<Process> {
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| Error::other(format!("{command:?}: {error}")))?;
        Ok(Process { child, begun })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The status with which it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended, and that was seen.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match self.ended() {
            Some(status) => Err(Error::other(format!("the process has ended: {status}"))),
            None => send(self.pid(), signal),
        }
    }

    /// Waits until `done` gives something, with `None` when the child ends before.
    ///
    /// # Errors
    /// Neither comes within the time.
    pub fn until<T>(&mut self, within: Duration, mut done: impl FnMut() -> Option<T>) -> Result<Option<T>> {
        let begun = Instant::now();
        loop {
            if let Some(found) = done() {
                return Ok(Some(found));
            }
            if self.ended().is_some() {
                return Ok(None);
            }
            if begun.elapsed() > within {
                return Err(Error::other(format!("process {} neither did it nor ended within {within:?}", self.pid())));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within the time.
    pub fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.until(within, || None::<()>)?;
        self.child.wait()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Memory a process has now, in KiB; 0 where there is none of this number.
pub fn rss_kb(pid: u32) -> u64 {
    memory_kb(pid, "VmRSS:")
}

/// Highest memory a process has had, in KiB; 0 where there is none of this number.
pub fn rss_peak_kb(pid: u32) -> u64 {
    memory_kb(pid, "VmHWM:")
}

/// From now on the highest memory of this process is that since now.
///
/// # Errors
/// The system does not offer it.
pub fn forget_rss_peak() -> Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

fn memory_kb(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Sends a signal to the process of a number.
///
/// # Errors
/// There is none.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| Error::other(format!("{pid} is no pid")))?;
    Ok(kill_process(pid, signal)?)
}
