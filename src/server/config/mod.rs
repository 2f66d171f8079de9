//! The configuration of a running historian: `historian.toml`, the tag files it names, and what flags and environment put over it.
//!
//! A configuration is taken whole or refused whole, with every problem that could be found: file, line, key, what is wrong and what to do.
//! `docs/configuration.md` is the reference of all keys.

mod device;
pub(super) mod difference;
mod document;
mod door;
mod oidc;
pub mod record;
mod rename;
pub mod settings;
pub mod tag_file;
mod trace;
mod view;
mod wording;
pub mod workbook;
mod written;
pub(super) mod zone;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use device::DeviceEntry;
pub use device::{PROTOCOLS, Protocol};
use document::Document;
pub(super) use door::unreachable;
use settings::RetentionSettings;
pub use settings::{
    AuditSettings, BackupSettings, Bytes, LimitSettings, LogFormat, LogSettings, Period, ScrubSettings, ServerSettings, SpoolSettings,
    StorageSettings, TlsSettings, ZoneSettings,
};
use settings::{NumberLimits, ServerSection};
use tag_file::TagRow;

use historian_collector::{Collector, ConfigProblem, SettingPosition, TagConfig};
use historian_model::{RetentionGroup, TagDefinition, TagRename, TagSelection, ValueType};
use historian_oidc::OidcSettings;
use historian_sql::TableOptions;
use historian_tls::TlsFiles;
use historian_trace::TraceSettings;

/// Largest configuration file read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Keys at the root of the file beside the protocols.
const ROOT_KEYS: [&str; 16] = [
    "server",
    "log",
    "trace",
    "tls",
    "oidc",
    "storage",
    "spool",
    "retention",
    "backup",
    "scrub",
    "audit",
    "limits",
    "sql",
    "view",
    "zone",
    "tag_files",
];

/// Everything the server needs to start.
#[derive(Clone, Default)]
pub struct Configuration {
    pub server: ServerSettings,
    /// Listeners that let only some rights through, beside those of `server`.
    pub zones: Vec<ZoneSettings>,
    pub log: LogSettings,
    /// A collector of traces of calls.
    pub trace: Option<TraceSettings>,
    /// Certificates of both ports; without them they speak without TLS.
    pub tls: Option<TlsFiles>,
    /// An identity provider whose tokens are taken.
    pub oidc: Option<OidcSettings>,
    pub storage: StorageSettings,
    pub spool: SpoolSettings,
    /// In the order of the file.
    pub retention: Vec<RetentionGroup>,
    pub backup: BackupSettings,
    pub scrub: ScrubSettings,
    pub audit: AuditSettings,
    pub limits: LimitSettings,
    /// What SQL shows beside the tags.
    pub tables: TableOptions,
    /// Start on a damaged store, too, and record what is lost. From the command line only: it is for one start.
    pub accept_loss: bool,
    /// One per device, in the order of the file.
    pub collectors: Vec<Arc<dyn Collector>>,
    /// Tags that clients write, to be made where they do not exist.
    pub written_tags: Vec<TagDefinition>,
    /// Names that tags had before.
    pub renames: Vec<TagRename>,
    /// All of it as it is written, by the path of its key, without secrets and without tags: for the audit log.
    pub written: BTreeMap<String, String>,
}

/// Settings from flags or environment; they win over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub backup_dir: Option<PathBuf>,
    pub tls: TlsSettings,
    pub log_format: Option<LogFormat>,
}

/// Why a tag cannot be what the configuration says; `None` when it can: the value type of a tag that exists does not change.
pub fn contradiction(holds: ValueType, configured: &TagDefinition) -> Option<String> {
    let wanted = configured.value_type;
    (holds != wanted).then(|| {
        format!(
            "the catalog has it with {holds} values, the configuration asks for {wanted}; say `type = \"{holds}\"` or give the tag another \
             name, or keep what it holds under another name with `historian tag retype {} {wanted}`",
            configured.name
        )
    })
}

/// Reads and checks the configuration; without a file, the defaults.
///
/// # Errors
/// Every problem found, in the order of files and lines.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Configuration, Vec<ConfigProblem>> {
    let Some(path) = path else {
        return finish(Configuration::default(), &TlsSettings::default(), Vec::new(), overrides, |_| SettingPosition::default());
    };
    let file = path.display().to_string();
    match read_text(path) {
        Ok(text) => parse(&file, &text, path.parent().unwrap_or(Path::new("")), overrides),
        Err(message) => Err(vec![ConfigProblem { position: SettingPosition { file, line: 0 }, key: "--config".into(), message }]),
    }
}

/// Checks the text of a configuration file. Relative paths in it start at `directory`.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, directory: &Path, overrides: &Overrides) -> Result<Configuration, Vec<ConfigProblem>> {
    let mut document = Document::parse(file, text);
    let mut told = written::settings(text);
    if !document.problems.is_empty() {
        // What the parser made of the rest after a mistake of syntax would only add false alarms.
        return Err(document.problems);
    }
    let written: ServerSection = document.section("server");
    let tls = door::in_directory(document.section("tls"), directory);
    let oidc_section: oidc::OidcSection = document.section("oidc");
    let trace_section: trace::TraceSection = document.section("trace");
    let mut configuration = Configuration {
        log: document.section("log"),
        storage: document.section("storage"),
        spool: document.section("spool"),
        backup: document.section("backup"),
        scrub: document.section("scrub"),
        audit: document.section("audit"),
        limits: document.section("limits"),
        ..Configuration::default()
    };
    for path in
        [&mut configuration.backup.directory, &mut configuration.audit.heads_file, &mut configuration.spool.path].into_iter().flatten()
    {
        *path = directory.join(&*path);
    }
    for table in document.devices("retention") {
        let (key, position) = (table.key.clone(), table.position.clone());
        let Some((group, has_tags)) = document.tagless::<RetentionSettings>(table) else { continue };
        let refused = if has_tags {
            Err("a retention group names its tags in `tags`; it has no [[retention.tag]]".to_owned())
        } else if group.age.is_none() && group.bytes_max.is_none() {
            Err("keeps everything; give it an `age`, `bytes_max`, or leave it out".to_owned())
        } else if group.tags.is_empty() {
            Err("names no tags; \"**\" selects all".to_owned())
        } else {
            TagSelection::parse(&group.tags).map_err(|error| error.to_string())
        };
        match refused {
            Err(message) => document.problems.push(ConfigProblem { position, key, message }),
            Ok(selection) => {
                configuration.retention.push(RetentionGroup { selection, age: group.age, bytes_max: group.bytes_max.map(|bytes| bytes.0) });
            }
        }
    }
    let server = &mut configuration.server;
    server.listen = written.listen.unwrap_or(server.listen);
    server.http = written.http.unwrap_or(server.http);
    server.local_socket = written.local_socket.unwrap_or(server.local_socket);
    server.data_dir = written.data_dir.map_or_else(|| server.data_dir.clone(), |data_dir| directory.join(data_dir));

    configuration.zones = zone::read(&mut document);
    configuration.tables = view::read(&mut document);

    let tag_files: Vec<PathBuf> = document.value("tag_files").unwrap_or_default();
    let mut devices: Vec<DeviceEntry> = Vec::new();
    let mut names: Vec<NamedDevice> = Vec::new();
    for protocol in PROTOCOLS {
        for table in document.devices(protocol.name) {
            if let Some(name) = table.name() {
                names.push(NamedDevice { name: name.to_owned(), key: table.key.clone(), position: table.position.clone() });
            }
            devices.extend(protocol.read(&mut document, table, directory));
        }
    }
    let known: Vec<&str> = ROOT_KEYS.into_iter().chain(PROTOCOLS.iter().map(|protocol| protocol.name)).collect();
    document.finish(&known);

    let mut problems = std::mem::take(&mut document.problems);
    configuration.oidc = oidc::provider(oidc_section, directory, |key| document.position_of(key), &mut problems);
    configuration.trace = trace::collector(trace_section, directory, |key| document.position_of(key), &mut problems);
    refuse_repeated_devices(&names, &mut problems);
    let mut written_rows = Vec::new();
    for tag_file in tag_files {
        let path = directory.join(&tag_file);
        let (on_disk, _) = workbook::split(&path);
        if !on_disk.is_file() {
            let message = format!("there is no file {}", on_disk.display());
            problems.push(ConfigProblem { position: document.position_of("tag_files"), key: "tag_files".into(), message });
            continue;
        }
        let (rows, refused) = tag_file::read(&path, &path.display().to_string());
        told.insert(format!("tag_files.{}", tag_file.display()), written::file(&on_disk));
        problems.extend(refused);
        for row in rows {
            let Some(device) = &row.device else {
                written_rows.push(row);
                continue;
            };
            if let Some(device) = devices.iter_mut().find(|known| known.name == *device) {
                device.tags.push(row.tag);
            } else if !names.iter().any(|known| known.name == *device) {
                let known: Vec<&str> = names.iter().map(|known| known.name.as_str()).collect();
                let message = format!("{device:?}: {}", wording::unknown("device", device, &known));
                problems.push(ConfigProblem { position: row.tag.position.clone(), key: "device".into(), message });
            }
        }
    }
    refuse_repeated_tags(&devices, &written_rows, &mut problems);
    configuration.renames = rename::read(&devices, &written_rows, &mut problems);
    for row in &written_rows {
        match row.definition() {
            Ok(definition) => configuration.written_tags.push(definition),
            Err(problem) => problems.push(problem),
        }
    }
    let mut ports: HashMap<String, String> = HashMap::new();
    for device in devices {
        let (key, name) = (device.key.clone(), device.name.clone());
        match device.build() {
            Ok(collector) => {
                if let Some(port) = collector.exclusive_port()
                    && let Some(first) = ports.insert(port.to_owned(), name)
                {
                    let message = format!(
                        "{port} is the port of device {first} as well, and a serial line has one master; put the units of a line into one table, \
                         with their numbers in the addresses (2!holding:100)"
                    );
                    let key = format!("{key}.endpoint");
                    problems.push(ConfigProblem { position: document.position_of(&key), key, message });
                }
                configuration.collectors.push(collector);
            }
            Err(refused) => problems.extend(refused),
        }
    }
    configuration.written = told;
    let problems = problems.into_iter().map(|problem| document.refine(problem)).collect();
    finish(configuration, &tls, problems, overrides, |key| document.position_of(key))
}

/// Puts the overrides over the settings and checks what depends on both.
fn finish(
    mut configuration: Configuration,
    tls: &TlsSettings,
    mut problems: Vec<ConfigProblem>,
    overrides: &Overrides,
    position_of: impl Fn(&str) -> SettingPosition,
) -> Result<Configuration, Vec<ConfigProblem>> {
    configuration.tls = door::tls(tls, &overrides.tls, &position_of, &mut problems);
    configuration.log.format = overrides.log_format.unwrap_or(configuration.log.format);
    let server = &mut configuration.server;
    if let Some(data_dir) = &overrides.data_dir {
        server.data_dir.clone_from(data_dir);
    }
    if let Some(backup_dir) = &overrides.backup_dir {
        configuration.backup.directory = Some(backup_dir.clone());
    }
    if let Some(problem) = inside(configuration.backup.directory.as_deref(), &server.data_dir) {
        let (position, key) = match overrides.backup_dir {
            Some(_) => (SettingPosition::default(), "--backup-dir"),
            None => (position_of("backup.directory"), "backup.directory"),
        };
        problems.push(ConfigProblem { position, key: key.into(), message: problem });
    }
    for (key, flag, setting, given) in
        [("server.listen", "--listen", &mut server.listen, overrides.listen), ("server.http", "--http", &mut server.http, overrides.http)]
    {
        *setting = given.unwrap_or(*setting);
        let (has_tls, has_oidc) = (configuration.tls.is_some(), configuration.oidc.is_some());
        if let Some(message) = door::unreachable_with(*setting, has_tls, has_oidc, &server.data_dir) {
            let (position, key) = if given.is_some() { (SettingPosition::default(), flag) } else { (position_of(key), key) };
            problems.push(ConfigProblem { position, key: key.into(), message });
        }
    }
    if server.listen == server.http && server.listen.port() != 0 {
        let message = format!("{} is server.listen as well; the two need an address each", server.http);
        problems.push(ConfigProblem { position: position_of("server.http"), key: "server.http".into(), message });
    }
    let mut taken = HashMap::from([(server.listen, "server.listen".to_owned()), (server.http, "server.http".to_owned())]);
    for (key, address) in zone::addresses(&configuration.zones) {
        let (has_tls, has_oidc) = (configuration.tls.is_some(), configuration.oidc.is_some());
        if let Some(message) = door::unreachable_with(address, has_tls, has_oidc, &server.data_dir) {
            problems.push(ConfigProblem { position: position_of(&key), key: key.clone(), message });
        }
        if let Some(other) = taken.insert(address, key.clone()).filter(|_| address.port() != 0) {
            let message = format!("{address} is {other} as well; each needs an address of its own");
            problems.push(ConfigProblem { position: position_of(&key), key, message });
        }
    }
    let bounds: Vec<NumberLimits> = [
        configuration.log.bounds(),
        configuration.storage.bounds(),
        configuration.spool.bounds(),
        configuration.backup.bounds(),
        configuration.scrub.bounds(),
        configuration.audit.bounds(),
        configuration.limits.bounds(),
    ]
    .concat();
    for (key, value, bounds) in bounds.into_iter().filter(|(_, value, bounds)| !bounds.contains(value)) {
        let message = format!("{value} is not from {} to {}", bounds.start(), bounds.end());
        problems.push(ConfigProblem { position: position_of(key), key: key.into(), message });
    }
    if problems.is_empty() {
        let server = &configuration.server;
        for (key, value) in [
            ("server.listen", server.listen.to_string()),
            ("server.http", server.http.to_string()),
            ("server.data_dir", server.data_dir.display().to_string()),
        ] {
            configuration.written.insert(key.to_owned(), value);
        }
        return Ok(configuration);
    }
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    problems.sort_by(|a, b| (&a.position.file, a.position.line).cmp(&(&b.position.file, b.position.line)));
    Err(problems)
}

/// Why backups cannot go there, seen from where the data is.
fn inside(backups: Option<&Path>, data_dir: &Path) -> Option<String> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let backups = backups?;
    absolute(backups).starts_with(absolute(data_dir)).then(|| {
        format!(
            "{} lies in the data directory {}; what is lost with the data is no backup, so choose another disk or machine",
            backups.display(),
            data_dir.display()
        )
    })
}

/// A device table with a name, whether or not the rest of it can be read.
struct NamedDevice {
    name: String,
    key: String,
    position: SettingPosition,
}

fn refuse_repeated_devices(devices: &[NamedDevice], problems: &mut Vec<ConfigProblem>) {
    let mut first: HashMap<&str, &SettingPosition> = HashMap::new();
    for NamedDevice { name, key, position } in devices {
        let taken = *first.entry(name).or_insert(position);
        if !std::ptr::eq(taken, position) {
            let message = format!("device {name:?} is at {}:{} already; names are unique over all protocols", taken.file, taken.line);
            problems.push(ConfigProblem { position: position.clone(), key: format!("{key}.name"), message });
        }
    }
}

/// Names that two devices share, or a device and a written tag. Within a device the device itself looks.
fn refuse_repeated_tags(devices: &[DeviceEntry], written: &[TagRow], problems: &mut Vec<ConfigProblem>) {
    let mut first: HashMap<&str, (usize, &TagConfig)> = HashMap::new();
    let collected = devices.iter().enumerate().flat_map(|(device, owner)| owner.tags.iter().map(move |tag| (device, tag)));
    // Only its own device knows what is not stored.
    let collected = collected.filter(|(_, tag)| tag.is_stored());
    for (owner, tag) in collected.chain(written.iter().map(|row| (usize::MAX, &row.tag))) {
        let (taken_by, taken) = *first.entry(tag.name.as_str()).or_insert((owner, tag));
        if !std::ptr::eq(taken, tag) && (taken_by != owner || owner == usize::MAX) {
            let SettingPosition { file, line } = &taken.position;
            let message = format!("tag {:?} is at {file}:{line} already; a tag has one source", tag.name);
            let key = devices.get(owner).map_or_else(|| "name".to_owned(), |device| format!("{}.tag.{}.name", device.key, tag.name));
            problems.push(ConfigProblem { position: tag.position.clone(), key, message });
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
