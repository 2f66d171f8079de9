//! `historian browse`: what an OPC UA server or a SunSpec device has to collect, as a table, as JSON, or as a tag file that a configuration
//! takes as it is.

mod row;

use std::{
    collections::BTreeMap,
    env,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use toml::{Table, Value};

use super::{
    Misuse, device,
    output::{self, OutputArgs, OutputFile, OutputFormat, TableCell, TableColumn, TextTable},
};
use historian_collector::{BrowseRequest, BrowsedVariable, Collector};
use historian_model::ValueType;
use row::{BrowsedTag, FreeNames};

#[derive(Debug, Args)]
pub struct BrowseArgs {
    /// Address of an OPC UA server (`opc.tcp://HOST:PORT`) or of a SunSpec device (`modbus://HOST:PORT?unit=N`), or the name of a device of the configuration.
    #[arg(value_name = "ENDPOINT|DEVICE")]
    target: String,
    /// Configuration file with the device.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: Option<PathBuf>,
    /// Only variables whose path matches this glob; below the folder Objects, or of a SunSpec device model and point.
    #[arg(long, value_name = "GLOB", default_value = "**")]
    glob: String,
    /// Security policy of an ENDPOINT; one and its default as in the configuration.
    #[arg(long, value_name = "POLICY")]
    security_policy: Option<String>,
    /// Directory with the certificates for an ENDPOINT.
    #[arg(long, value_name = "DIR")]
    pki_dir: Option<PathBuf>,
    /// User name for an ENDPOINT.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File with the password of the user.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Name of the device in the tag file [default: that of the DEVICE; opcua or modbus for an ENDPOINT].
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// What the names of tags begin with, for example area1/.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Time limit in seconds; what was found until then is listed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Variables to list at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: BrowseArgs) -> anyhow::Result<ExitCode> {
    let format = args.output.format()?;
    if matches!(format, OutputFormat::Arrow | OutputFormat::Parquet) {
        return Err(Misuse("--format: variables are listed as table, csv or json".to_owned()).into());
    }
    let server = args.server()?;
    let request =
        BrowseRequest { paths: args.glob.clone(), timeout: Duration::from_secs(args.timeout), variables_max: args.limit as usize };
    let answer = server.browse(&request).await.map_err(|error| anyhow::anyhow!("{}: {error}", args.target))?;
    let name = args.device.clone().unwrap_or_else(|| server.device().to_owned());
    let mut names = FreeNames::new(&args.prefix);
    let tags: Vec<BrowsedTag> = answer.variables.into_iter().map(|variable| BrowsedTag::new(variable, &mut names)).collect();
    let mut output = args.output.open()?;
    match format {
        OutputFormat::Json => {
            for tag in &tags {
                writeln!(output, "{}", tag.as_json(&name))?;
            }
        }
        OutputFormat::Csv => output.write_all(&row::tag_file(&tags, &name)?)?,
        _ => table(&tags, &mut output)?,
    }
    output.finish()?;
    for note in answer.notes.iter().chain(&left_out(&tags)) {
        output::note(note);
    }
    Ok(ExitCode::SUCCESS)
}

impl BrowseArgs {
    fn server(&self) -> anyhow::Result<Arc<dyn Collector>> {
        let directory = || env::current_dir().unwrap_or_else(|_| Path::new("").to_owned());
        if !self.target.starts_with("opc.tcp://") {
            if self.security_policy.is_some() || self.pki_dir.is_some() || self.user.is_some() {
                let message = "--security-policy, --pki-dir, --user and --password-file are for an ENDPOINT of OPC UA; the configuration has those \
                               of a DEVICE";
                return Err(Misuse(message.to_owned()).into());
            }
            if let Some(address) = self.target.strip_prefix("modbus://") {
                return device::build(device::MODBUS, modbus_table(address)?, &directory());
            }
            let Some(file) = &self.config else {
                let message = format!(
                    "{:?} is no endpoint such as opc.tcp://host:4840 or modbus://host:502; to browse a device of this name add --config FILE",
                    self.target
                );
                return Err(Misuse(message).into());
            };
            return device::configured(file, &self.target);
        }
        let mut table = Table::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), Value::from(value));
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        set("name", Some("opcua".to_owned()));
        set("endpoint", Some(self.target.clone()));
        set("security_policy", self.security_policy.clone());
        set("pki_dir", path(&self.pki_dir));
        set("user", self.user.clone());
        set("password_file", path(&self.password_file));
        device::build(device::OPC_UA, table, &directory())
    }
}

/// Table of a device at an address with what may follow it, `?unit=N`.
fn modbus_table(address: &str) -> anyhow::Result<Table> {
    let (endpoint, unit) = match address.split_once('?') {
        None => (address, None),
        Some((endpoint, query)) => {
            let unit = query.strip_prefix("unit=").and_then(|unit| unit.parse::<u8>().ok());
            let unit = unit.ok_or_else(|| Misuse(format!("?{query}: only the unit can be said there, as in ?unit=126, 0 to 255")))?;
            (endpoint, Some(unit))
        }
    };
    let mut table = Table::new();
    table.insert("name".to_owned(), Value::from("modbus"));
    table.insert("endpoint".to_owned(), Value::from(endpoint.trim_end_matches('/')));
    if let Some(unit) = unit {
        table.insert("unit".to_owned(), Value::from(i64::from(unit)));
    }
    Ok(table)
}

fn table(tags: &[BrowsedTag], output: &mut OutputFile) -> anyhow::Result<()> {
    let mut table = TextTable::new([
        TableColumn::name("TAG"),
        TableColumn::whole("TYPE"),
        TableColumn::whole("UNIT").spare(4),
        TableColumn::whole("RANGE").spare(3),
        TableColumn::text("ADDRESS").spare(2),
        TableColumn::text("DESCRIPTION").spare(5),
        TableColumn::sentence("LEFT OUT"),
    ]);
    for tag in tags {
        let BrowsedVariable { path, address, unit, description, range, value_type, left_out, .. } = &tag.variable;
        table.add_row(vec![
            TableCell::new(if tag.name.is_empty() { path } else { &tag.name }),
            TableCell::new(value_type.map_or("-", ValueType::as_str)),
            TableCell::new(unit),
            TableCell::new(range.map_or_else(String::new, |(low, high)| format!("{low}..{high}"))),
            TableCell::new(address),
            TableCell::new(description),
            TableCell::new(left_out),
        ]);
    }
    if !table.is_empty() {
        table.write(output)?;
    }
    Ok(())
}

/// How many are tags, and how many are not for each reason.
fn left_out(tags: &[BrowsedTag]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for BrowsedTag { variable, .. } in tags.iter().filter(|tag| !tag.variable.left_out.is_empty()) {
        reasons.entry(&variable.left_out).or_insert((0, &variable.path)).0 += 1;
    }
    let count: usize = reasons.values().map(|(count, _)| count).sum();
    let mut lines = vec![format!("{} tags, {count} variables left out", tags.len() - count)];
    lines.extend(reasons.into_iter().map(|(reason, (count, first))| format!("left out {count}, first {first}: {reason}")));
    lines
}
