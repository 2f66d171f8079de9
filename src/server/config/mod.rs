//! The configuration of a running historian: `historian.toml`, the tag files it names, and what flags and environment put over it.
//!
//! A configuration is taken whole or refused whole, with every problem that could be found: file, line, key, what is wrong and what to do.
//! `docs/configuration.md` is the reference of all keys.

mod device;
mod document;
pub mod settings;
pub mod tag_file;
mod wording;

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use device::{Device, PROTOCOLS};
use document::Document;
pub use settings::{Bytes, LimitSettings, ServerSettings, StorageSettings};
use settings::{Bound, ServerSection};
use tag_file::TagRow;

use crate::{
    collector::{Collector, ConfigProblem, Position},
    model::TagDefinition,
};

/// Largest configuration file read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Keys at the root of the file beside the protocols.
const ROOT_KEYS: [&str; 4] = ["server", "storage", "limits", "tag_files"];

/// Everything the server needs to start.
#[derive(Clone, Default)]
pub struct Configuration {
    pub server: ServerSettings,
    pub storage: StorageSettings,
    pub limits: LimitSettings,
    /// One per device, in the order of the file.
    pub collectors: Vec<Arc<dyn Collector>>,
    /// Tags that clients write, to be made where they do not exist.
    pub written_tags: Vec<TagDefinition>,
}

/// Settings from flags or environment; they win over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
}

/// Reads and checks the configuration; without a file, the defaults.
///
/// # Errors
/// Every problem found, in the order of files and lines.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Configuration, Vec<ConfigProblem>> {
    let Some(path) = path else { return finish(Configuration::default(), Vec::new(), overrides, |_| Position::default()) };
    let file = path.display().to_string();
    match read_text(path) {
        Ok(text) => parse(&file, &text, path.parent().unwrap_or(Path::new("")), overrides),
        Err(message) => Err(vec![ConfigProblem { position: Position { file, line: 0 }, key: "--config".into(), message }]),
    }
}

/// Checks the text of a configuration file. Relative paths in it start at `directory`.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, directory: &Path, overrides: &Overrides) -> Result<Configuration, Vec<ConfigProblem>> {
    let mut document = Document::parse(file, text);
    let written: ServerSection = document.section("server");
    let mut configuration = Configuration { storage: document.section("storage"), limits: document.section("limits"), ..Configuration::default() };
    let server = &mut configuration.server;
    server.listen = written.listen.unwrap_or(server.listen);
    server.http = written.http.unwrap_or(server.http);
    server.data_dir = written.data_dir.map_or_else(|| server.data_dir.clone(), |data_dir| directory.join(data_dir));

    let tag_files: Vec<PathBuf> = document.value("tag_files").unwrap_or_default();
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    let mut names: Vec<(String, Position)> = Vec::new();
    for protocol in PROTOCOLS {
        for table in document.devices(protocol.name) {
            names.extend(table.name().map(|name| (name.to_owned(), table.position.clone())));
            devices.extend((protocol.read)(&mut document, table, directory));
        }
    }
    let known: Vec<&str> = ROOT_KEYS.into_iter().chain(PROTOCOLS.iter().map(|protocol| protocol.name)).collect();
    document.finish(&known);

    let mut problems = std::mem::take(&mut document.problems);
    refuse_repeated_devices(&names, &mut problems);
    let mut written_rows = Vec::new();
    for tag_file in tag_files {
        let path = directory.join(&tag_file);
        if !path.is_file() {
            let message = format!("there is no file {}", path.display());
            problems.push(ConfigProblem { position: document.position_of("tag_files"), key: "tag_files".into(), message });
            continue;
        }
        let (rows, refused) = tag_file::read(&path, &path.display().to_string());
        problems.extend(refused);
        for row in rows {
            let Some(device) = &row.device else {
                written_rows.push(row);
                continue;
            };
            if !row.state_set.is_empty() {
                problems.push(ConfigProblem {
                    position: row.tag.position.clone(),
                    key: "state_set".into(),
                    message: "is only for tags without a device; name the states of a collected tag with `historian tag import`".into(),
                });
            } else if let Some(device) = devices.iter_mut().find(|known| known.name() == device) {
                device.add_tag(row.tag);
            } else if !names.iter().any(|(name, _)| name == device) {
                let known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                let message = format!("{device:?}: {}", wording::unknown("device", device, &known));
                problems.push(ConfigProblem { position: row.tag.position.clone(), key: "device".into(), message });
            }
        }
    }
    refuse_repeated_tags(&devices, &written_rows, &mut problems);
    for row in &written_rows {
        match row.definition() {
            Ok(definition) => configuration.written_tags.push(definition),
            Err(problem) => problems.push(problem),
        }
    }
    for device in devices {
        match device.build() {
            Ok(collector) => configuration.collectors.push(collector),
            Err(refused) => problems.extend(refused),
        }
    }
    let problems = problems.into_iter().map(|problem| document.refine(problem)).collect();
    finish(configuration, problems, overrides, |key| document.position_of(key))
}

/// Puts the overrides over the settings and checks what depends on both.
fn finish(
    mut configuration: Configuration,
    mut problems: Vec<ConfigProblem>,
    overrides: &Overrides,
    position_of: impl Fn(&str) -> Position,
) -> Result<Configuration, Vec<ConfigProblem>> {
    let server = &mut configuration.server;
    if let Some(data_dir) = &overrides.data_dir {
        server.data_dir.clone_from(data_dir);
    }
    for (key, flag, setting, given) in
        [("server.listen", "--listen", &mut server.listen, overrides.listen), ("server.http", "--http", &mut server.http, overrides.http)]
    {
        *setting = given.unwrap_or(*setting);
        if !setting.ip().is_loopback() {
            let (position, key) = if given.is_some() { (Position::default(), flag) } else { (position_of(key), key) };
            let message = format!(
                "{setting} can be reached from other machines, and this version has neither TLS nor authentication; use 127.0.0.1 or [::1], \
                 and let others in through an SSH tunnel or a proxy that has both"
            );
            problems.push(ConfigProblem { position, key: key.into(), message });
        }
    }
    if server.listen == server.http && server.listen.port() != 0 {
        let message = format!("{} is server.listen as well; the two need an address each", server.http);
        problems.push(ConfigProblem { position: position_of("server.http"), key: "server.http".into(), message });
    }
    let bounds: Vec<Bound> = configuration.storage.bounds().into_iter().chain(configuration.limits.bounds()).collect();
    for (key, value, bounds) in bounds.into_iter().filter(|(_, value, bounds)| !bounds.contains(value)) {
        let message = format!("{value} is not from {} to {}", bounds.start(), bounds.end());
        problems.push(ConfigProblem { position: position_of(key), key: key.into(), message });
    }
    if problems.is_empty() {
        return Ok(configuration);
    }
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    problems.sort_by(|a, b| (&a.position.file, a.position.line).cmp(&(&b.position.file, b.position.line)));
    Err(problems)
}

fn refuse_repeated_devices(names: &[(String, Position)], problems: &mut Vec<ConfigProblem>) {
    let mut first: HashMap<&str, &Position> = HashMap::new();
    for (name, position) in names {
        if let Some(taken) = first.insert(name, position) {
            let message = format!("device {name:?} is at {}:{} already; names are unique over all protocols", taken.file, taken.line);
            problems.push(ConfigProblem { position: position.clone(), key: "name".into(), message });
        }
    }
}

fn refuse_repeated_tags(devices: &[Box<dyn Device>], written: &[TagRow], problems: &mut Vec<ConfigProblem>) {
    let mut first: HashMap<&str, &Position> = HashMap::new();
    let collected = devices.iter().flat_map(|device| device.tags());
    for tag in collected.chain(written.iter().map(|row| &row.tag)) {
        if let Some(taken) = first.get(tag.name.as_str()) {
            let message = format!("tag {:?} is at {}:{} already; a tag is collected once", tag.name, taken.file, taken.line);
            problems.push(ConfigProblem { position: tag.position.clone(), key: "name".into(), message });
        } else {
            first.insert(&tag.name, &tag.position);
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if about.is_dir() {
        return Err("is a directory; name the file in it".into());
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}
