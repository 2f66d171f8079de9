//! What a test is given: seed, cycles, a directory of its own, and how to start servers and lanes in it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::bail;
use historian_test_support::program::{Launcher, Log};

use crate::{
    lane::{Door, Lane},
    oracle::Dice,
    report::Report,
};

/// How much of a test is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Within `make test`, together with all others.
    Brief,
    /// At most two minutes.
    Short,
    /// At most some ten minutes.
    Long,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Brief => "brief",
            Form::Short => "short",
            Form::Long => "long",
        }
    }
}

pub struct Context {
    pub seed: u64,
    pub cycles: u64,
    pub form: Form,
    /// The mutant to run in place of the real thing.
    pub mutant: Option<&'static str>,
    /// Removed when the test passed.
    pub work: PathBuf,
    /// The real server.
    pub program: PathBuf,
    /// Keys that are left out of configurations.
    pub without: Vec<String>,
}

/// Small heads and a small journal, so that faults also fall into sealing and retirement.
pub const SMALL: &str = "[storage]\nhead_samples_max = 256\njournal_bytes_max = \"1 MiB\"\n";

impl Context {
    pub fn dice(&self, what: u64) -> Dice {
        Dice::new(self.seed, what)
    }

    /// How to start the real server, or the mutant where one is asked for, on `data_dir`.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn launcher(&self, data_dir: &Path, configuration: &str) -> anyhow::Result<Launcher> {
        self.launcher_of(self.server_words()?, data_dir, configuration)
    }

    /// Program and first arguments of the real server, or of the mutant where one is asked for.
    ///
    /// # Errors
    /// This program cannot be found.
    pub fn server_words(&self) -> anyhow::Result<Vec<OsString>> {
        Ok(match self.mutant {
            Some(kind) => vec![std::env::current_exe()?.into(), "serve-mutant".into(), kind.into()],
            None => vec![self.program.clone().into(), "serve".into()],
        })
    }

    /// The real server even where a mutant is asked for.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn real_launcher(&self, data_dir: &Path, configuration: &str) -> anyhow::Result<Launcher> {
        self.launcher_of(vec![self.program.clone().into(), "serve".into()], data_dir, configuration)
    }

    /// Any program that takes the arguments of `historian serve`.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn launcher_of(&self, program: Vec<OsString>, data_dir: &Path, configuration: &str) -> anyhow::Result<Launcher> {
        let config = self.work.join("historian.toml");
        let is_known = |line: &&str| !self.without.iter().any(|key| line.split('=').next().is_some_and(|name| name.trim() == key));
        std::fs::write(&config, configuration.lines().filter(is_known).collect::<Vec<_>>().join("\n"))?;
        let arguments = vec!["--config".into(), config.into()];
        Ok(Launcher { program, arguments, log: Log::Append(self.work.join("historian.log")), ..Launcher::new("historian", data_dir) })
    }

    /// A lane over gRPC with all value types and one over Flight.
    ///
    /// # Errors
    /// Their logs cannot be written.
    pub fn lanes(&self, tags: usize, samples_per_batch: u64) -> anyhow::Result<Vec<Arc<Lane>>> {
        [Door::Grpc, Door::Flight]
            .into_iter()
            .enumerate()
            .map(|(index, door)| Ok(Arc::new(Lane::new(self.seed, index, door, tags, samples_per_batch, &self.work)?)))
            .collect()
    }

    /// Says on standard error how far the test is, about ten times in a run.
    pub fn progress(&self, id: &str, cycle: u64, report: &Report) {
        let step = (self.cycles / 10).max(1);
        if cycle.is_multiple_of(step) {
            eprintln!("torture: {id} {cycle}/{}: {} acknowledged, {} lost", self.cycles, report.tally.acked, report.tally.lost);
        }
    }
}

/// The real server beside this program, unless told otherwise.
///
/// # Errors
/// There is none.
pub fn real_program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("historian"),
    };
    if !path.is_file() {
        bail!("there is no historian at {}: build it (cargo build --release --bin historian) or name it with --historian", path.display());
    }
    Ok(path)
}
