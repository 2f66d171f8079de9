//! What the process takes of the machine, as Linux tells it in `/proc/self`.

use std::{fs, time::Duration};

use historian_api::ProcessStatus;
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Of now; `None` where the system does not tell.
pub fn status() -> Option<ProcessStatus> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (cpu_ticks, threads, virtual_bytes, resident_pages) = parsed(&stat)?;
    Some(ProcessStatus {
        cpu: Duration::from_millis(cpu_ticks.saturating_mul(1_000) / clock_ticks_per_second().max(1)),
        resident_bytes: resident_pages.saturating_mul(page_size() as u64),
        virtual_bytes,
        // One of them is the directory that is read.
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| (files.count() as u64).saturating_sub(1)),
        open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(0),
        threads,
    })
}

/// Ticks of user and system time, threads, bytes of virtual memory, pages of resident memory: fields 14, 15, 20, 23 and 24 of `proc_pid_stat(5)`.
fn parsed(stat: &str) -> Option<(u64, u64, u64, u64)> {
    // The name of the program, in brackets, may hold anything.
    let rest = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some((number(14)? + number(15)?, number(20)?, number(23)?, number(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_that_holds_anything() {
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 17 0 1234 1073741824 2560 18446744073709551615 1 1";
        assert_eq!(parsed(stat), Some((200, 17, 1_073_741_824, 2_560)));
        assert_eq!(parsed("42 (x"), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let status = status().unwrap();
        assert!(status.resident_bytes > 1 << 20 && status.virtual_bytes >= status.resident_bytes, "{status:?}");
        assert!(status.threads >= 1 && status.open_files >= 3 && status.open_files_max >= status.open_files, "{status:?}");
    }
}
