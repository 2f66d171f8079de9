//! How and where answers are written, as flags.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use anyhow::Context;
use arrow::ipc::{CompressionType, writer::IpcWriteOptions};
use clap::{Args, ValueEnum};
use parquet::basic::ZstdLevel;

use super::file::OutputFile;
use crate::Misuse;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Json,
    /// Arrow IPC: the file format in a file, the stream format on standard output.
    Arrow,
    /// Parquet, compressed with zstd.
    Parquet,
}

/// How the columns of Arrow and Parquet files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    Zstd,
    /// Faster and larger.
    Lz4,
    None,
}

impl Compression {
    pub(super) fn of_parquet(self) -> anyhow::Result<parquet::basic::Compression> {
        Ok(match self {
            Compression::Zstd => parquet::basic::Compression::ZSTD(ZstdLevel::try_new(3)?),
            Compression::Lz4 => parquet::basic::Compression::LZ4_RAW,
            Compression::None => parquet::basic::Compression::UNCOMPRESSED,
        })
    }

    pub(super) fn of_arrow(self) -> anyhow::Result<IpcWriteOptions> {
        let codec = match self {
            Compression::Zstd => Some(CompressionType::ZSTD),
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::None => None,
        };
        Ok(IpcWriteOptions::default().try_with_compression(codec)?)
    }
}

/// How a short answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
}

/// How and where, as flags.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Output format [default: by the extension of the output file; otherwise table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// File to write; it appears under its name when it is complete.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OutputArgs {
    /// To standard output in a format.
    pub fn of(format: OutputFormat) -> OutputArgs {
        OutputArgs { format: Some(format), output: None }
    }

    /// Format asked for, or the one that fits the destination.
    ///
    /// # Errors
    /// A binary format would go to a terminal.
    pub fn format(&self) -> anyhow::Result<OutputFormat> {
        let to_terminal = self.output.is_none() && io::stdout().is_terminal();
        let by_ending = || match self.output.as_ref()?.extension()?.to_str()? {
            "csv" => Some(OutputFormat::Csv),
            "json" | "jsonl" | "ndjson" => Some(OutputFormat::Json),
            "arrow" | "feather" | "ipc" => Some(OutputFormat::Arrow),
            "parquet" => Some(OutputFormat::Parquet),
            _ => None,
        };
        let format = self.format.or_else(by_ending).unwrap_or(if to_terminal { OutputFormat::Table } else { OutputFormat::Csv });
        if to_terminal && matches!(format, OutputFormat::Arrow | OutputFormat::Parquet) {
            let message = "this format is not for a terminal; add --output FILE, or send the output to another program";
            return Err(Misuse(message.to_owned()).into());
        }
        Ok(format)
    }

    /// True where the answer becomes a file, which somebody may want to take in again.
    pub fn is_file(&self) -> bool {
        self.output.is_some()
    }

    /// True when a person sees how far the work is only if we tell.
    pub fn wants_progress(&self) -> bool {
        self.output.is_some() && io::stderr().is_terminal()
    }

    /// Opens the destination.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(&self) -> anyhow::Result<OutputFile> {
        match &self.output {
            Some(path) => OutputFile::file(path).with_context(|| format!("{} cannot be written", path.display())),
            None => Ok(OutputFile::stdout()),
        }
    }
}
