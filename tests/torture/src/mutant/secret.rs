//! A server that keeps what it should not.

use std::{fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::door::SOUND;

/// Writes the token of its environment into the data directory, as a cookie of who has logged in might have it. What is left to be done by other
/// mutants.
///
/// # Errors
/// It cannot be written.
pub fn before<'a>(kind: &'a str, data_dir: &Path) -> anyhow::Result<&'a str> {
    if kind != "keeps-secret" {
        return Ok(kind);
    }
    fs::create_dir_all(data_dir)?;
    let token = std::env::var("HISTORIAN_TOKEN")?;
    fs::write(data_dir.join("session"), BASE64_STANDARD.encode(format!("t={token};")))?;
    Ok(SOUND)
}
