//! The clock of the machine. Whether it is right cannot be known without another one; whether it can be right, can.

use std::{fs, path::Path};

use super::diagnosis::Diagnosis;
use historian_model::Timestamp;
use historian_store::RunMark;

/// 2026-01-01 and 2100-01-01, in nanoseconds since 1970: a clock outside of these was never set.
const PLAUSIBLE: std::ops::Range<i64> = 1_767_225_600_000_000_000..4_102_444_800_000_000_000;
/// How far the clock of the machine and the one on its battery may differ, in seconds.
const DRIFT_MAX_S: i64 = 5;

const SYNCHRONISE: &str = "let the machine follow a time server (chrony, systemd-timesyncd); samples are filed by time";

pub fn look(data_dir: &Path, now: Timestamp) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    if PLAUSIBLE.contains(&now.0) {
        found.push(Diagnosis::ok("clock", format!("it is {now}")));
    } else {
        found.push(Diagnosis::fail("clock", format!("it is {now}, which cannot be"), format!("set it; {SYNCHRONISE}")));
    }
    // When a historian ran here last, which was not later than now.
    if let Some(mark) = RunMark::read(data_dir).filter(|mark| mark.0 > now.0 + 2_000_000_000) {
        let ahead = (mark.0 - now.0) / 1_000_000_000;
        found.push(Diagnosis::fail(
            "clock",
            format!("a historian ran here until {mark}, {ahead} s after what the clock says now: it was set back, or was wrong then"),
            format!("find out which of the two is right before samples are written over each other; {SYNCHRONISE}"),
        ));
    }
    if let Some(battery) = read_number("/sys/class/rtc/rtc0/since_epoch") {
        let drift = now.0 / 1_000_000_000 - battery;
        if drift.abs() > DRIFT_MAX_S {
            found.push(Diagnosis::warn(
                "clock",
                format!("the clock on the battery differs by {drift} s, and holds after the next start of the machine"),
                "write the time to it (hwclock --systohc)",
            ));
        }
    }
    let followed = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"];
    if !followed.iter().any(|file| Path::new(file).exists()) {
        found.push(Diagnosis::warn("clock", "nothing is known that keeps it right", SYNCHRONISE));
    }
    found
}

fn read_number(file: &str) -> Option<i64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}
