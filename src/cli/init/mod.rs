//! `historian init`: the beginning of a configuration from what a plant has already: a list of registers in a spreadsheet, or the configuration of
//! another program.

mod cell;
mod column;
mod from;
mod list;
mod logical;
mod sheet;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use historian_collector::ConfigProblem;
use historian_server::config::{self, Overrides, workbook};
use serde_json::json;

use super::{
    Misuse,
    output::{self, TextFormat},
};
use column::{ColumnMap, ColumnUse, ListColumn};
use list::{RegisterList, UnusedRow};
use sheet::SpreadSheet;

/// Rounds of leaving out what the configuration refuses: a tag may be in the way of another one.
const ROUNDS_MAX: usize = 10;
/// Rows left out that are told.
const TOLD_MAX: usize = 200;

#[derive(Debug, Args)]
pub struct InitCommandArgs {
    #[command(subcommand)]
    command: Option<InitCommand>,
    #[command(flatten)]
    from: from::InitFromArgs,
}

#[derive(Debug, Subcommand)]
enum InitCommand {
    /// Makes a configuration and a tag file of a list of Modbus registers: XLSX, or CSV as spreadsheets save it.
    Modbus(InitModbusArgs),
}

#[derive(Debug, Args)]
struct InitModbusArgs {
    /// The list; of an XLSX file the first sheet, or the one that is named: `map.xlsx#Registers`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory for historian.toml and tags.csv; files that are there are left alone.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Name of the device.
    #[arg(long, value_name = "NAME", default_value = "device")]
    device: String,
    /// Address of the device: `host:port`, or a serial port [default: a placeholder].
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Plain numbers count from 1, as in many manuals; references such as 40001 always do.
    #[arg(long)]
    one_based: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub fn run(args: &InitCommandArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(InitCommand::Modbus(args)) => modbus(args),
        None => from::run(&args.from),
    }
}

fn modbus(args: &InitModbusArgs) -> anyhow::Result<ExitCode> {
    let (toml, csv) = (args.output.join("historian.toml"), args.output.join("tags.csv"));
    for path in [&toml, &csv] {
        if path.exists() {
            return Err(Misuse(format!("{} is there already; name another directory with --output", path.display())).into());
        }
    }
    if args.device.trim().is_empty() || args.device.chars().any(char::is_control) {
        return Err(Misuse("--device needs a name without control characters".to_owned()).into());
    }
    let (file, sheet) = workbook::split(&args.file);
    let bytes = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let sheet = SpreadSheet::read(&bytes, sheet.as_deref(), column::known).with_context(|| args.file.display().to_string())?;
    let columns = ColumnMap::find(&sheet).with_context(|| match sheet.other_sheets() {
        Some(others) => format!("{} ({others})", args.file.display()),
        None => args.file.display().to_string(),
    })?;
    let (mut list, mut left_out) = RegisterList::read(&sheet, &columns, args.one_based);
    fs::create_dir_all(&args.output).with_context(|| format!("{} cannot be made", args.output.display()))?;
    let written = write(&mut list, &mut left_out, args, &toml, &csv);
    if written.is_err() {
        // Half of the two is of no use, and in the way of the next try.
        let _ = (fs::remove_file(&toml), fs::remove_file(&csv));
    }
    written?;
    left_out.sort_by_key(|row| row.line);
    tell(args, &sheet, &columns, &list, &left_out, (&toml, &csv))?;
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes both files, and leaves out what a configuration refuses, until it is valid.
fn write(list: &mut RegisterList, left_out: &mut Vec<UnusedRow>, args: &InitModbusArgs, toml: &Path, csv: &Path) -> anyhow::Result<()> {
    fs::write(toml, list.configuration(&args.device, args.endpoint.as_deref(), &args.file))
        .with_context(|| format!("{} cannot be written", toml.display()))?;
    for _ in 0..ROUNDS_MAX {
        if list.is_empty() {
            bail!("no row became a tag{}", left_out.first().map_or_else(String::new, |row| format!("; line {}: {}", row.line, row.reason)));
        }
        fs::write(csv, list.tag_file(&args.device)?).with_context(|| format!("{} cannot be written", csv.display()))?;
        let Err(problems) = config::load(Some(toml), &Overrides::default()) else { return Ok(()) };
        let (of_rows, others): (Vec<ConfigProblem>, Vec<ConfigProblem>) =
            problems.into_iter().partition(|problem| Path::new(&problem.position.file) == csv && problem.position.line > 1);
        if of_rows.is_empty() {
            // What was typed: the endpoint.
            return Err(super::RefusedConfiguration(others).into());
        }
        left_out.extend(list.leave_out(&of_rows));
    }
    bail!(
        "after {ROUNDS_MAX} rounds the configuration still has problems; `historian check --offline --config {}` names them",
        toml.display()
    )
}

fn tell(
    args: &InitModbusArgs,
    sheet: &SpreadSheet,
    columns: &ColumnMap,
    list: &RegisterList,
    left_out: &[UnusedRow],
    (toml, csv): (&Path, &Path),
) -> anyhow::Result<()> {
    let shown = |used: &ColumnUse| used.role.map_or("not used".to_owned(), |role| role.key().to_owned());
    let mut lines = vec![format!("{}: {}, heading in line {}", args.file.display(), sheet.form(), columns.heading_line)];
    let widest = columns.uses.iter().map(|used| used.heading.chars().count()).max().unwrap_or(0);
    lines.extend(columns.uses.iter().map(|used| {
        let blanks = " ".repeat(widest - used.heading.chars().count());
        format!("  {}{blanks}  {}", used.heading, shown(used))
    }));
    let notes: Vec<String> = {
        let sheet = sheet.other_sheets().into_iter().chain(sheet.hidden().iter().cloned());
        sheet.chain(list.remarks().iter().cloned()).collect()
    };
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    lines.extend(left_out.iter().take(TOLD_MAX).map(|row| format!("line {}: {}", row.line, row.reason)));
    if left_out.len() > TOLD_MAX {
        lines.push(format!("and {} rows more", left_out.len() - TOLD_MAX));
    }
    lines.push(format!("{} tags in {}, the device in {}; {} rows left out", list.len(), csv.display(), toml.display(), left_out.len()));
    lines.push(format!("then: historian check --config {}", toml.display()));
    let lines: Vec<String> = lines.iter().map(|line| output::printable(line)).collect();
    let column = |used: &ColumnUse| json!({ "heading": used.heading, "key": used.role.map(ListColumn::key) });
    let object = json!({
        "file": args.file, "form": sheet.form(), "heading_line": columns.heading_line,
        "columns": columns.uses.iter().map(column).collect::<Vec<_>>(),
        "notes": notes, "tags": list.len(), "configuration": toml, "tag_file": csv,
        "left_out": left_out.iter().map(|row| json!({ "line": row.line, "reason": row.reason })).collect::<Vec<_>>(),
    });
    output::tell(args.format, &lines.join("\n"), &object)
}
