//! What came of the inputs of one target: one JSON line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// What came of the inputs of one target.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    pub target: &'static str,
    pub inputs: u64,
    /// Inputs that the decoder took.
    pub taken: u64,
    pub seconds: f64,
    /// The most that one input took.
    pub peak_kb: usize,
    pub slowest_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Holds the input that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<PathBuf>,
}

impl Outcome {
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"target\":\"{}\",\"failure\":\"{error}\"}}", self.target))
    }

    /// The input of this number does what no decoder may. It is kept, and how to run it again is told.
    pub fn fail(&mut self, what: &str, number: u64, input: &[u8], directory: &Path) {
        let file = directory.join(format!("{}-{number}.input", self.target));
        let hex = input.iter().take(32).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        self.failure = Some(format!("input {number} ({} bytes, {hex}{}): {what}", input.len(), if input.len() > 32 { "…" } else { "" }));
        match fs::write(&file, input) {
            Ok(()) => {
                eprintln!("fuzz: {}: {what}\nfuzz: again: fuzz {} --input {}", self.target, self.target, file.display());
                self.input = Some(file);
            }
            Err(error) => eprintln!("fuzz: {}: {what}; the input could not be written to {}: {error}", self.target, file.display()),
        }
    }
}
