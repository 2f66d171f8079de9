//! What a check found, and what to do about it.

use std::fmt;

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DoctorVerdict {
    Ok,
    /// The historian runs, and something may go wrong one day.
    Warn,
    /// The historian does not start, or does not do what the configuration says.
    Fail,
}

impl fmt::Display for DoctorVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DoctorVerdict::Ok => "OK",
            DoctorVerdict::Warn => "WARN",
            DoctorVerdict::Fail => "FAIL",
        })
    }
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// What was looked at: `port`, `certificate`, `clock`, …
    pub check: &'static str,
    pub verdict: DoctorVerdict,
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Diagnosis {
    pub fn ok(check: &'static str, found: impl Into<String>) -> Diagnosis {
        Diagnosis { check, verdict: DoctorVerdict::Ok, found: found.into(), remedy: String::new() }
    }

    pub fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Diagnosis {
        Diagnosis { check, verdict: DoctorVerdict::Warn, found: found.into(), remedy: remedy.into() }
    }

    pub fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Diagnosis {
        Diagnosis { check, verdict: DoctorVerdict::Fail, found: found.into(), remedy: remedy.into() }
    }
}
