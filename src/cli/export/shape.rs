//! What every file of an export is like.

use std::path::Path;

use clap::ValueEnum;

use crate::output::{Compression, OutputFormat};

/// Formats of files that programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    Parquet,
    Arrow,
    Csv,
}

impl FileFormat {
    pub fn by_ending(path: &Path) -> Option<FileFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Some(FileFormat::Parquet),
            "arrow" | "feather" | "ipc" => Some(FileFormat::Arrow),
            "csv" => Some(FileFormat::Csv),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Parquet => "parquet",
            FileFormat::Arrow => "arrow",
            FileFormat::Csv => "csv",
        }
    }
}

impl From<FileFormat> for OutputFormat {
    fn from(format: FileFormat) -> OutputFormat {
        match format {
            FileFormat::Parquet => OutputFormat::Parquet,
            FileFormat::Arrow => OutputFormat::Arrow,
            FileFormat::Csv => OutputFormat::Csv,
        }
    }
}

/// What every file of an export is like.
#[derive(Clone, Copy, Debug)]
pub struct ExportFormat {
    pub format: FileFormat,
    pub compression: Compression,
}
