//! Judges written in Python: files of pytest cases in `tests/peers`, one Rust test per case, so that a failed assertion hides no other.
//!
//! Cases that do not change each other's data share a historian and one run of pytest; together they are a [`Suite`]. The first of its tests
//! starts the historian and runs them all, the others look up what became of theirs. `tests/it/peers.rs` lists the suites, and fails where a
//! case is in none.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use serde::Deserialize;

use super::peer;

/// What became of each case: nothing to tell of those that passed.
type Outcomes = BTreeMap<String, Vec<String>>;

/// What became of a run; the words of a panic where it did not come to its end.
type Ended = Arc<Result<Outcomes, String>>;

/// Cases of one file, and how they are run.
pub struct Suite {
    /// Of all suites no other has it.
    pub name: &'static str,
    /// `kpi` for `tests/peers/test_kpi.py`.
    pub file: &'static str,
    /// Names of the cases without `test_`; a case with parameters is one.
    pub cases: &'static [&'static str],
    /// Starts what the cases need and calls [`Run::cases`], several times where there are phases.
    pub run: fn(&mut Run),
}

/// A run of a suite.
pub struct Run {
    file: &'static str,
    cases: &'static [&'static str],
    outcomes: Outcomes,
}

/// Outcomes by the names of suites; `None` while a suite runs.
static RUNS: Mutex<BTreeMap<&'static str, Option<Ended>>> = Mutex::new(BTreeMap::new());
static RUN_ENDED: Condvar = Condvar::new();

impl Suite {
    /// Fails where the case failed, with what pytest said.
    pub fn judge(&self, case: &str) {
        match self.outcomes().as_ref() {
            Err(reason) => panic!("the cases were not run: {reason}"),
            Ok(outcomes) => match outcomes.get(case) {
                None => panic!("pytest did not run test_{case} of test_{}.py", self.file),
                Some(failures) => assert!(failures.is_empty(), "{}", failures.join("\n\n")),
            },
        }
    }

    fn outcomes(&self) -> Ended {
        loop {
            self.run_if_nobody_did();
            if let Some(Some(outcomes)) = RUNS.lock().get(self.name) {
                return outcomes.clone();
            }
            // Another test runs it. Threads that wait would leave processors idle, so this one runs another suite meanwhile; not where
            // somebody asked for certain tests, who wants no others.
            let helped = everything_is_asked_for() && crate::peers::SUITES.iter().any(|suite| suite.run_if_nobody_did());
            let mut runs = RUNS.lock();
            if !helped && runs.get(self.name).is_some_and(Option::is_none) {
                RUN_ENDED.wait(&mut runs);
            }
        }
    }

    /// True when this call ran it.
    fn run_if_nobody_did(&self) -> bool {
        {
            let mut runs = RUNS.lock();
            if runs.contains_key(self.name) {
                return false;
            }
            runs.insert(self.name, None);
        }
        let mut run = Run { file: self.file, cases: self.cases, outcomes: Outcomes::new() };
        let ended = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut run))).map_err(|panic| words(&*panic));
        RUNS.lock().insert(self.name, Some(Arc::new(ended.map(|()| run.outcomes))));
        RUN_ENDED.notify_all();
        true
    }
}

impl Run {
    /// Runs the cases of the suite once.
    ///
    /// # Panics
    /// When pytest does not come to its end.
    pub fn cases(&mut self, environment: &[(&str, &str)]) {
        let file = PathBuf::from("tests/peers").join(format!("test_{}.py", self.file));
        let report = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut command = pytest();
        command.args(self.cases.iter().map(|case| format!("{}::test_{case}", file.display())));
        command.env("HISTORIAN_REPORT", report.path()).env("HISTORIAN_BINARY", env!("CARGO_BIN_EXE_historian"));
        command.envs(environment.iter().copied());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // 0: all passed, 1: some failed; everything else is no judgement.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}: {}\n{told}", file.display(), output.status);
        let lines = std::fs::read_to_string(report.path()).expect("pytest writes the report");
        for line in lines.lines() {
            let report: Report = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let (case, _) = report.case.split_once('[').unwrap_or((&report.case, ""));
            let failures = self.outcomes.entry(case.trim_start_matches("test_").to_owned()).or_default();
            // What a case of Python passes over is not passed here.
            if report.outcome != "passed" {
                let phase = environment.iter().find(|(name, _)| *name == "HISTORIAN_PHASE").map_or("", |(_, phase)| phase);
                failures.push(format!("{} {phase}: {}\n{}", report.case, report.outcome, report.text));
            }
        }
    }

    /// A case in Rust on what the ones in Python left behind. Its test is written out and calls [`Suite::judge`].
    pub fn also(&mut self, case: &'static str, judge: impl FnOnce()) {
        let ended = catch_unwind(AssertUnwindSafe(judge));
        self.outcomes.entry(case.to_owned()).or_default().extend(ended.err().map(|panic| words(&*panic)));
    }
}

/// A line of `tests/peers/conftest.py`.
#[derive(Deserialize)]
struct Report {
    case: String,
    outcome: String,
    text: String,
}

/// pytest in the checkout.
pub fn pytest() -> Command {
    let mut command = Command::new(peer::interpreter());
    command.args(["-m", "pytest", "--quiet", "--tb=short", "-c", "tests/peers/pytest.ini", "--rootdir=tests/peers"]);
    command.current_dir(peer::root()).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// True when no test was named on the command line.
fn everything_is_asked_for() -> bool {
    std::env::args().skip(1).all(|argument| argument.starts_with('-'))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// A suite and its tests: the name of a static, the file, what runs it, the cases.
macro_rules! suite {
    ($(#[$about:meta])* $name:ident, $file:literal, $run:expr, [$($case:ident),+ $(,)?]) => {
        $(#[$about])*
        pub static $name: $crate::support::pytest::Suite = $crate::support::pytest::Suite {
            name: concat!(module_path!(), "::", stringify!($name)),
            file: $file,
            cases: &[$(stringify!($case)),+],
            run: $run,
        };
        $(
            #[test]
            fn $case() {
                $name.judge(stringify!($case));
            }
        )+
    };
}
pub(crate) use suite;
