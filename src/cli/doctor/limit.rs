//! What the system lets a process have: files, memory, and the bounds of a container.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::diagnosis::Diagnosis;
use historian_server::config::Configuration;

/// With fewer the historian takes fewer connections, and its store keeps fewer tables open.
const FILES_MIN: u64 = 4_096;

pub fn look(configuration: &Configuration) -> Vec<Diagnosis> {
    vec![files(), memory(configuration)]
}

fn files() -> Diagnosis {
    const CHECK: &str = "open files";
    let limit = getrlimit(Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < FILES_MIN => Diagnosis::warn(
            CHECK,
            format!("at most {limit} at the same time"),
            "raise it (LimitNOFILE=65536 of the service); connections and the store share them",
        ),
        Some(limit) => Diagnosis::ok(CHECK, format!("up to {limit} at the same time")),
        None => Diagnosis::ok(CHECK, "without a limit"),
    }
}

fn memory(configuration: &Configuration) -> Diagnosis {
    const CHECK: &str = "memory";
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kibibytes(&text, "MemTotal:")).map(|kib| kib << 10);
    let group = group_limit();
    let Some(limit) = [machine, group].into_iter().flatten().min() else {
        return Diagnosis::warn(CHECK, "how much there is is not known", "");
    };
    let clients = historian_api::ApiLimits::from(&configuration.limits).memory_bytes_max;
    let wanted = configuration.storage.cache_bytes.0 + configuration.storage.heads_bytes_max.0 + clients;
    let told = format!(
        "{} MiB{}, and the configuration may take {} MiB",
        limit >> 20,
        if group == Some(limit) { " for this container or service" } else { "" },
        wanted >> 20
    );
    if wanted > limit / 10 * 9 {
        let remedy = "lower storage.cache_bytes, storage.heads_bytes_max or limits.memory_bytes_max, or the system ends the process when memory is short";
        Diagnosis::warn(CHECK, told, remedy)
    } else {
        Diagnosis::ok(CHECK, told)
    }
}

/// A number of `/proc/meminfo`.
fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    meminfo.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The bound of the control group of this process, or of one above it; the historian is expected in one like it.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    let mut directory = std::path::Path::new("/sys/fs/cgroup").join(path);
    let mut least: Option<u64> = None;
    while directory.starts_with("/sys/fs/cgroup") {
        if let Some(limit) = fs::read_to_string(directory.join("memory.max")).ok().and_then(|text| text.trim().parse().ok()) {
            least = Some(least.map_or(limit, |least| least.min(limit)));
        }
        if !directory.pop() {
            break;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_its_unit() {
        let text = "MemTotal:        8123456 kB\nMemFree:          123 kB\n";
        assert_eq!(
            (kibibytes(text, "MemTotal:"), kibibytes(text, "MemFree:"), kibibytes(text, "Swap:")),
            (Some(8_123_456), Some(123), None)
        );
    }
}
