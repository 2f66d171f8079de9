//! One start: the program with its words and variables, watched from its first moment for what it listens on, until it serves or has ended.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use historian_test_support::{
    process::{Process, Signal},
    program,
};

use super::listener::Listeners;

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// A refusal is quick; whoever has not ended by then, and serves nobody, is taken for one that hangs.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_micros(300);
/// How long a server that serves is looked at, for what it may open later.
const LOOKED_AT: Duration = Duration::from_millis(100);

/// What a start is given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub words: Vec<OsString>,
    pub variables: Vec<(&'static str, OsString)>,
    /// Where it is started.
    pub directory: PathBuf,
    pub data: PathBuf,
}

/// What became of it.
#[derive(Debug)]
pub struct Ended {
    /// Nothing where it serves; it was stopped then.
    pub status: Option<ExitStatus>,
    pub said: String,
    /// All that it listened on at any moment.
    pub listened: Listeners,
    /// What it listened on when it served.
    pub serving: Listeners,
    /// Names in the data directory before and after.
    pub found: BTreeSet<String>,
    pub left: BTreeSet<String>,
}

/// A started server and what was seen of it.
pub struct Attempt {
    process: Process,
    log: PathBuf,
    data: PathBuf,
    listened: Listeners,
    found: BTreeSet<String>,
}

impl Attempt {
    /// Starts it, with its log in this file.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(given: &Given, log: &Path) -> anyhow::Result<Attempt> {
        let found = names(&given.data);
        let mut words = given.words.iter();
        let mut command = program::command(words.next().cloned().unwrap_or_default());
        command.args(words).current_dir(&given.directory).env("HISTORIAN_LOG", "info");
        command.envs(given.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(File::create(log)?);
        let process = Process::start(&mut command)?;
        Ok(Attempt { process, log: log.to_owned(), data: given.data.clone(), listened: Listeners::default(), found })
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it listens on now.
    pub fn look(&mut self) -> Listeners {
        let now = Listeners::of(self.process.pid());
        self.listened.add(now.clone());
        now
    }

    /// Waits until it has ended or `serves`.
    ///
    /// # Errors
    /// Neither has happened after a minute.
    pub fn until(&mut self, serves: impl Fn(&Listeners) -> bool) -> anyhow::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        loop {
            let now = self.look();
            if let Some(status) = self.process.ended() {
                return Ok(Some(status));
            }
            if serves(&now) {
                return Ok(None);
            }
            ensure!(begun.elapsed() < PATIENCE, "it neither serves nor ends: {}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// To its end, where it is to be refused: whoever serves is one that was not.
    ///
    /// # Errors
    /// It hangs.
    pub fn refused(mut self) -> anyhow::Result<Ended> {
        let begun = Instant::now();
        let log = self.log.clone();
        let status = self.until(|_| begun.elapsed() > REFUSED_WITHIN || said_to_serve(&log))?;
        let serving = if status.is_none() { self.look() } else { Listeners::default() };
        self.ended(status, serving)
    }

    /// A look at it while it serves, and its end.
    ///
    /// # Errors
    /// It neither serves nor ends, or does not stop when asked to.
    pub fn served(mut self, serves: impl Fn(&Listeners) -> bool) -> anyhow::Result<Ended> {
        let status = self.until(serves)?;
        let mut serving = self.look();
        let begun = Instant::now();
        while status.is_none() && begun.elapsed() < LOOKED_AT {
            serving.add(self.look());
            std::thread::sleep(LOOK * 20);
        }
        self.ended(status, serving)
    }

    fn ended(mut self, status: Option<ExitStatus>, serving: Listeners) -> anyhow::Result<Ended> {
        if status.is_none() {
            self.process.signal(Signal::TERM)?;
            let ended = self.process.end(PATIENCE)?;
            ensure!(ended.success(), "it ended with {ended} when asked to stop: {}", self.said());
        }
        let (said, left) = (self.said(), names(&self.data));
        Ok(Ended { status, said, listened: self.listened, serving, found: self.found, left })
    }
}

/// Whether the log of a server says that it serves.
pub fn said_to_serve(log: &Path) -> bool {
    fs::read_to_string(log).is_ok_and(|said| said.contains(" serving listen="))
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
