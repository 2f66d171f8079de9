//! Where tokens are, and how the file's refusals are told.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::Misuse;
use historian_access::{AccessError, AccessFile};

/// Which historian's tokens.
#[derive(Debug, Args)]
pub struct DataDirArgs {
    /// Data directory of the historian.
    #[arg(long, value_name = "DIR", env = "HISTORIAN_DATA_DIR")]
    data_dir: PathBuf,
}

impl DataDirArgs {
    /// The file with the tokens.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn file(&self) -> anyhow::Result<PathBuf> {
        let directory = &self.data_dir;
        if !directory.is_dir() {
            bail!("{} is no directory; make it, or name the data directory of the historian", directory.display());
        }
        Ok(AccessFile::in_directory(directory))
    }
}

/// What was asked for wrongly is told from what may work another time.
pub fn refused(error: AccessError) -> anyhow::Error {
    if error.is_misuse() { Misuse(error.to_string()).into() } else { error.into() }
}
