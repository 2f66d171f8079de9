//! The memory of the machine, and how the process takes it.

use std::fs;

/// What is taken for a machine's memory that does not say it.
const UNKNOWN: u64 = 4 << 30;

/// From now on memory comes in pages of the usual size. The allocator gives each thread an arena of many megabytes of which a thread of a query uses a
/// few; with huge pages each of them is there whole.
pub fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages could not be turned off; the process takes more memory for many queries at once");
    }
}

/// A quarter of the memory that the process may take: of the machine's, or of what its control group allows.
pub fn quarter_of_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let memory = machine.into_iter().chain(group).min().unwrap_or(UNKNOWN);
    (memory / 4).max(historian_api::MEMORY_BYTES_MIN)
}

/// The total, in bytes, in the words of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24689764 kB\n"), Some(24_689_764 * 1024));
        assert_eq!(total("MemTotal: many"), None);
        assert!(quarter_of_memory() >= historian_api::MEMORY_BYTES_MIN);
    }
}
