//! What a test found, and the one JSON line it ends with.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use historian_test_support::skip;

/// Counts of the oracle. All zero but `acked` is what is wanted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Samples acknowledged.
    pub acked: u64,
    /// Acknowledged samples that were not read back bit for bit.
    pub lost: u64,
    /// Samples read that were never sent, or not like this.
    pub phantom: u64,
    /// Samples read twice in one answer, or out of order.
    pub dup: u64,
    /// The first few findings in words.
    pub examples: Vec<String>,
}

const EXAMPLES_MAX: usize = 8;

impl Tally {
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.phantom == 0 && self.dup == 0
    }

    pub fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.acked += other.acked;
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.dup += other.dup;
        for text in other.examples {
            self.example(|| text);
        }
    }
}

/// The outcome of one run of one test.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub tally: Tally,
    pub cycles: u64,
    pub max_recovery_ms: u64,
    pub rss_peak_kb: u64,
    /// Settings derived from seed and form: with the seed they replay a run.
    pub opts: BTreeMap<&'static str, Value>,
    /// Figures of this test alone.
    pub figures: BTreeMap<&'static str, Value>,
    /// What was found besides the tally; each makes the test fail.
    pub failures: Vec<String>,
    /// What the test lacks on this machine, and why.
    pub skipped: Option<(&'static str, String)>,
}

impl Report {
    /// The test lacks `need`: passed over where `HISTORIAN_ALLOW_SKIP` names that, failed elsewhere.
    pub fn without(need: &'static str, reason: &str) -> Report {
        let mut report = Report::default();
        if skip::is_allowed(need) {
            report.skipped = Some((need, reason.to_owned()));
        } else {
            report.fail(format!("it cannot run, {reason}: {}", skip::advice(need)));
        }
        report
    }

    pub fn opt(&mut self, name: &'static str, value: impl Into<Value>) {
        self.opts.insert(name, value.into());
    }

    pub fn figure(&mut self, name: &'static str, value: impl Into<Value>) {
        self.figures.insert(name, value.into());
    }

    /// Adds one to a figure.
    pub fn count(&mut self, name: &'static str, more: u64) {
        let before = self.figures.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.figures.insert(name, (before + more).into());
    }

    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }

    pub fn recovery(&mut self, took: std::time::Duration) {
        self.max_recovery_ms = self.max_recovery_ms.max(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    pub fn rss(&mut self, peak_kb: u64) {
        self.rss_peak_kb = self.rss_peak_kb.max(peak_kb);
    }

    pub fn pass(&self) -> bool {
        self.tally.clean() && self.failures.is_empty()
    }

    /// Why the test did not pass, in words.
    pub fn why(&self) -> String {
        let Tally { lost, phantom, dup, .. } = self.tally;
        let counts = (!self.tally.clean()).then(|| format!("{lost} lost, {phantom} phantom, {dup} twice"));
        counts.iter().chain(&self.failures).chain(&self.tally.examples).take(3).cloned().collect::<Vec<_>>().join("; ")
    }

    /// The line for machines.
    pub fn line(&self, id: &str, seed: u64, form: &str, mutant: Option<&str>, seconds: f64) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            id: &'a str,
            seed: u64,
            form: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            mutant: Option<&'a str>,
            opts: &'a BTreeMap<&'static str, Value>,
            cycles: u64,
            acked: u64,
            lost: u64,
            phantom: u64,
            dup: u64,
            max_recovery_ms: u64,
            rss_peak_mb: u64,
            #[serde(flatten)]
            figures: &'a BTreeMap<&'static str, Value>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            failures: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            skipped: Option<&'a str>,
            seconds: f64,
            pass: bool,
        }
        let line = Line {
            id,
            seed,
            form,
            mutant,
            opts: &self.opts,
            cycles: self.cycles,
            acked: self.tally.acked,
            lost: self.tally.lost,
            phantom: self.tally.phantom,
            dup: self.tally.dup,
            max_recovery_ms: self.max_recovery_ms,
            rss_peak_mb: self.rss_peak_kb / 1024,
            figures: &self.figures,
            failures: &self.failures,
            skipped: self.skipped.as_ref().map(|(_, reason)| reason.as_str()),
            seconds: (seconds * 10.0).round() / 10.0,
            pass: self.pass(),
        };
        serde_json::to_string(&line).unwrap_or_else(|error| format!("{{\"id\": \"{id}\", \"pass\": false, \"error\": \"{error}\"}}"))
    }
}
