//! `export.json` in the directory of an export: what was asked, the ticket of each part, and which parts are there. The tickets name tags
//! and times exactly, so an export that is taken up again next week fetches what was asked for today.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use arrow_flight::FlightInfo;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub const NAME: &str = "export.json";

#[derive(Debug, Deserialize, Serialize)]
pub struct ExportManifest {
    /// Command, format and compression: another request is another export.
    pub request: Json,
    pub bounds: Json,
    /// An upper bound; 0 where it is not known.
    pub rows_expected: u64,
    pub complete: bool,
    pub parts: Vec<ExportPart>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ExportPart {
    pub file: String,
    /// `None` until the file is there.
    pub rows: Option<u64>,
    /// Hexadecimal.
    ticket: String,
}

impl ExportPart {
    /// The ticket as it is sent.
    ///
    /// # Errors
    /// The manifest was changed by someone.
    pub fn ticket(&self) -> anyhow::Result<Vec<u8>> {
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = self.ticket.as_bytes().chunks(2).map(digits).collect();
        bytes.with_context(|| format!("{NAME}: the ticket of {} is damaged; export again with --overwrite", self.file))
    }
}

impl ExportManifest {
    pub fn new(request: Json, info: &FlightInfo, ending: &str) -> ExportManifest {
        let tickets = info.endpoint.iter().map(|endpoint| endpoint.ticket.as_ref().map(|ticket| ticket.ticket.clone()).unwrap_or_default());
        let part = |(index, ticket): (usize, bytes::Bytes)| ExportPart {
            file: format!("part-{index:05}.{ending}"),
            rows: None,
            ticket: ticket.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(),
        };
        ExportManifest {
            request,
            bounds: serde_json::from_slice(&info.app_metadata).unwrap_or_default(),
            rows_expected: u64::try_from(info.total_records).unwrap_or(0),
            complete: false,
            parts: tickets.enumerate().map(part).collect(),
        }
    }

    /// The manifest of a directory, if it has one.
    ///
    /// # Errors
    /// It cannot be read, or names files outside the directory.
    pub fn read(directory: &Path) -> anyhow::Result<Option<ExportManifest>> {
        let path = directory.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let manifest: ExportManifest = serde_json::from_slice(&text)
            .with_context(|| format!("{} cannot be read; remove it, or export into another directory", path.display()))?;
        for part in &manifest.parts {
            if Path::new(&part.file).file_name().is_none_or(|name| name != part.file.as_str()) {
                bail!("{}: {:?} is no name of a file in this directory", path.display(), part.file);
            }
        }
        Ok(Some(manifest))
    }

    /// Writes it anew; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The disk is full, the directory went away, …
    pub fn save(&self, directory: &Path) -> anyhow::Result<()> {
        let (path, partial) = (directory.join(NAME), directory.join(format!("{NAME}.partial")));
        let text = serde_json::to_vec_pretty(self)?;
        fs::write(&partial, text)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// True for a finished export of relative times: asked again, they mean other samples.
    pub fn is_stale(&self) -> bool {
        let bound = |name: &str| self.request["command"]["range"][name].as_str().unwrap_or_default().trim();
        self.complete && ["start", "end"].iter().any(|name| bound(name).starts_with(['*', 't', 'y']))
    }

    pub fn remove_parts(&self, directory: &Path) {
        for part in &self.parts {
            let _ = fs::remove_file(directory.join(&part.file));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::{FlightEndpoint, Ticket};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(ExportManifest::read(directory.path()).unwrap().is_none());
        let mut info = FlightInfo::new().with_app_metadata(r#"{"start_ns": 1}"#).with_total_records(-1);
        info = info.with_endpoint(FlightEndpoint { ticket: Some(Ticket::new(vec![0, 0x7F, 0xFF])), ..FlightEndpoint::default() });
        let mut manifest = ExportManifest::new(json!({"command": {"range": {"start": "1", "end": "*"}}}), &info, "csv");
        manifest.parts[0].rows = Some(7);
        manifest.save(directory.path()).unwrap();
        let mut read = ExportManifest::read(directory.path()).unwrap().unwrap();
        assert_eq!((read.parts[0].file.as_str(), read.parts[0].rows), ("part-00000.csv", Some(7)));
        assert_eq!((read.parts[0].ticket().unwrap(), read.rows_expected), (vec![0, 0x7F, 0xFF], 0));
        assert!(!read.is_stale());
        read.complete = true;
        assert!(read.is_stale());
        read.request["command"]["range"]["end"] = "2".into();
        assert!(!read.is_stale());
        read.parts[0].file = "../x".into();
        read.save(directory.path()).unwrap();
        assert!(ExportManifest::read(directory.path()).unwrap_err().to_string().contains("../x"));
    }
}
