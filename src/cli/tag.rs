//! `historian tag`: the catalog of a running historian, listed and filled from CSV.

use std::{collections::VecDeque, path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use futures::{StreamExt, stream};
use historian_proto::v1::{
    self, CreateTagRequest, GetTagRequest, ListTagsRequest, RetypeTagRequest, UpdateTagRequest, tag_service_client::TagServiceClient,
};
use serde_json::json;
use tonic::{Code, transport::Channel};

use super::{
    Refused,
    client::{self, ServerArgs},
    output::{self, Format, Output},
};
use crate::{
    model::ValueType,
    server::config::tag_file::{self, TagRow},
};

/// Rows of a file on their way to the server at once.
const IMPORTS_AT_ONCE: usize = 16;

#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// Lists tags.
    List(ListArgs),
    /// Creates and updates tags from a CSV file; empty cells leave a tag as it is.
    Import(ImportArgs),
    /// Changes the value type of a tag: a new, empty tag takes its name, and what it held is kept under the name with a suffix.
    Retype(RetypeArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Tag names or globs: `*` within a level, `**` across levels; none means all.
    #[arg(value_name = "GLOB")]
    tags: Vec<String>,
    /// Condition on metadata: `unit=bar`, `device=boiler-plc`, `description~steam`, joined with ` AND `.
    #[arg(long, default_value = "")]
    filter: String,
    /// Format of the list: table, csv (as `tag import` reads it) or json [default: table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CSV with a header: `name,type,unit,description,stepped,range_low,range_high,state_set`.
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct RetypeArgs {
    /// Exact name of the tag.
    #[arg(value_name = "TAG")]
    tag: String,
    /// Value type from now on: f64, f32, i64, u64, bool, string, state.
    #[arg(value_name = "TYPE")]
    value_type: ValueType,
    /// Behind the name of the tag that keeps the history [default: `_` and its type, as in level_f64].
    #[arg(long, default_value = "", hide_default_value = true)]
    suffix: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(command: TagCommand) -> anyhow::Result<ExitCode> {
    match command {
        TagCommand::List(args) => list(args).await,
        TagCommand::Import(args) => import(args).await,
        TagCommand::Retype(args) => retype(args).await,
    }
}

/// Pages of a list of tags.
pub struct Pages {
    client: TagServiceClient<Channel>,
    request: ListTagsRequest,
    ended: bool,
}

impl Pages {
    pub fn new(channel: Channel, tags: Vec<String>, filter: String) -> Pages {
        let request = ListTagsRequest { tags, filter, page_size: 1000, page_token: String::new() };
        Pages { client: TagServiceClient::new(channel), request, ended: false }
    }

    /// Next page, `None` after the last.
    ///
    /// # Errors
    /// The refusal of the server.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<v1::Tag>>> {
        if self.ended {
            return Ok(None);
        }
        let page = self.client.list_tags(self.request.clone()).await.map_err(|status| client::refusal(&status))?.into_inner();
        self.ended = page.next_page_token.is_empty();
        self.request.page_token = page.next_page_token;
        Ok(Some(page.tags))
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    use std::io::{IsTerminal, Write};

    let format = args.format.unwrap_or(if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv });
    if matches!(format, Format::Arrow | Format::Parquet) {
        bail!("tags are listed as table, csv or json");
    }
    let mut pages = Pages::new(args.server.connect().await?, args.tags, args.filter);
    let mut output = Output::stdout();
    let mut csv = csv::Writer::from_writer(Vec::new());
    if format == Format::Csv {
        csv.write_record(tag_file::COLUMNS[..10].iter())?;
    }
    while let Some(tags) = pages.next().await? {
        match format {
            Format::Table => {
                let mut table = output::table(&["NAME", "TYPE", "UNIT", "DESCRIPTION", "STEPPED", "LOW", "HIGH", "DEVICE", "ADDRESS"]);
                for tag in &tags {
                    let text = |text: &str| Cell::new(output::printable(text));
                    table.add_row(vec![
                        text(&tag.name),
                        Cell::new(type_name(tag)),
                        text(&tag.unit),
                        text(&tag.description),
                        Cell::new(if tag.stepped { "yes" } else { "" }),
                        output::number(optional(tag.range_low)),
                        output::number(optional(tag.range_high)),
                        text(&tag.device),
                        text(&tag.address),
                    ]);
                }
                output::write_table(&mut output, &table)?;
            }
            Format::Json => {
                for tag in &tags {
                    let object = json!({
                        "name": tag.name, "type": type_name(tag), "unit": tag.unit, "description": tag.description, "stepped": tag.stepped,
                        "range_low": tag.range_low, "range_high": tag.range_high, "state_set": tag.state_set, "device": tag.device,
                        "address": tag.address, "id": tag.id,
                    });
                    writeln!(output, "{object}")?;
                }
            }
            _ => {
                for tag in &tags {
                    let stepped = tag.stepped.to_string();
                    let (low, high, states) = (optional(tag.range_low), optional(tag.range_high), tag.state_set.join("|"));
                    let (name, unit, description) = (tag.name.as_str(), tag.unit.as_str(), tag.description.as_str());
                    csv.write_record([name, type_name(tag), unit, description, &stepped, &low, &high, &states, &tag.device, &tag.address])?;
                }
                csv.flush()?;
                output.write_all(csv.get_ref())?;
                csv = csv::Writer::from_writer(Vec::new());
            }
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn retype(args: RetypeArgs) -> anyhow::Result<ExitCode> {
    let mut client = TagServiceClient::new(args.server.connect().await?);
    let request = RetypeTagRequest { name: args.tag, value_type: proto_type(args.value_type).into(), suffix: args.suffix };
    let answer = client.retype_tag(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let (tag, kept) = (answer.tag.unwrap_or_default(), answer.kept.unwrap_or_default());
    let (name, kept_name) = (output::printable(&tag.name), output::printable(&kept.name));
    println!("{name} holds {} values from now on; its {} history is {kept_name}", type_name(&tag), type_name(&kept));
    if !tag.device.is_empty() {
        println!("device {} goes on writing to {kept_name} until the historian is restarted", output::printable(&tag.device));
    }
    Ok(ExitCode::SUCCESS)
}

fn optional(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn type_name(tag: &v1::Tag) -> &'static str {
    value_type(tag).map_or("", ValueType::as_str)
}

/// Value type of a tag, where this version knows it.
pub fn value_type(tag: &v1::Tag) -> Option<ValueType> {
    ValueType::ALL.into_iter().find(|value_type| proto_type(*value_type) as i32 == tag.value_type)
}

fn proto_type(value_type: ValueType) -> v1::ValueType {
    match value_type {
        ValueType::F64 => v1::ValueType::F64,
        ValueType::F32 => v1::ValueType::F32,
        ValueType::I64 => v1::ValueType::I64,
        ValueType::U64 => v1::ValueType::U64,
        ValueType::Bool => v1::ValueType::Bool,
        ValueType::String => v1::ValueType::String,
        ValueType::State => v1::ValueType::State,
    }
}

enum Outcome {
    Created,
    Updated,
    Unchanged,
}

async fn import(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let (rows, problems) = tag_file::read(&args.file, &file);
    // A file with mistakes changes nothing, so that it can be corrected and imported whole.
    if !problems.is_empty() {
        return Err(Refused(problems).into());
    }
    let channel = args.server.connect().await?;
    let (mut created, mut updated, mut unchanged, mut failed) = (0_usize, 0_usize, 0_usize, 0_usize);
    let rows: VecDeque<TagRow> = rows.into();
    let mut outcomes = stream::iter(rows)
        .map(|row| {
            let client = TagServiceClient::new(channel.clone());
            async move {
                let line = row.tag.position.line;
                let name = row.tag.name.clone();
                (line, name, import_row(client, row).await)
            }
        })
        .buffered(IMPORTS_AT_ONCE);
    while let Some((line, name, outcome)) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Created) => created += 1,
            Ok(Outcome::Updated) => updated += 1,
            Ok(Outcome::Unchanged) => unchanged += 1,
            Err(RowError::Server(error)) => {
                return Err(error).with_context(|| {
                    format!("stopped at {file}:{line}; import the file again when this is mended, rows that are in already do not matter")
                });
            }
            Err(RowError::Row(error)) => {
                failed += 1;
                eprintln!("{file}:{line}: {name}: {error}");
            }
        }
    }
    println!("{created} created, {updated} updated, {unchanged} unchanged, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

enum RowError {
    /// Only this row is wrong.
    Row(anyhow::Error),
    /// No row can succeed.
    Server(anyhow::Error),
}

impl From<tonic::Status> for RowError {
    fn from(status: tonic::Status) -> RowError {
        let error = client::refusal(&status);
        if matches!(status.code(), Code::Unavailable | Code::Unimplemented | Code::Unauthenticated) {
            RowError::Server(error)
        } else {
            RowError::Row(error)
        }
    }
}

async fn import_row(mut client: TagServiceClient<Channel>, row: TagRow) -> Result<Outcome, RowError> {
    let existing = match client.get_tag(GetTagRequest { name: row.tag.name.clone() }).await {
        Ok(tag) => tag.into_inner(),
        Err(status) if status.code() == Code::NotFound => {
            client.create_tag(CreateTagRequest { tag: Some(new_tag(&row)?) }).await?;
            return Ok(Outcome::Created);
        }
        Err(status) => return Err(status.into()),
    };
    let Some((tag, fields)) = changed_tag(&row, existing).map_err(RowError::Row)? else { return Ok(Outcome::Unchanged) };
    let mut request = UpdateTagRequest { tag: Some(tag), update_mask: None };
    request.update_mask.get_or_insert_default().paths = fields.into_iter().map(str::to_owned).collect();
    client.update_tag(request).await?;
    Ok(Outcome::Updated)
}

fn new_tag(row: &TagRow) -> Result<v1::Tag, RowError> {
    let definition = row.definition().map_err(|problem| RowError::Row(anyhow!("{}: {}", problem.key, problem.message)))?;
    Ok(v1::Tag {
        name: definition.name.to_string(),
        value_type: proto_type(definition.value_type).into(),
        unit: definition.unit,
        description: definition.description,
        stepped: definition.stepped,
        range_low: definition.range_low,
        range_high: definition.range_high,
        state_set: definition.state_set,
        ..v1::Tag::default()
    })
}

/// The tag as the row wants it, and the fields that differ; `None` when nothing does.
fn changed_tag(row: &TagRow, mut tag: v1::Tag) -> anyhow::Result<Option<(v1::Tag, Vec<&'static str>)>> {
    let wanted = row.value_type().map_err(|problem| anyhow!(problem.message))?;
    if let Some(wanted) = wanted.filter(|wanted| proto_type(*wanted) as i32 != tag.value_type) {
        bail!("type: the tag holds {} values, the file says {wanted}; the type of a tag cannot change", type_name(&tag));
    }
    let mut fields = Vec::new();
    let mut differ = |field, differs: bool| {
        if differs {
            fields.push(field);
        }
    };
    let TagRow { tag: row_tag, state_set, .. } = row;
    if !row_tag.unit.is_empty() {
        differ("unit", row_tag.unit != tag.unit);
        tag.unit.clone_from(&row_tag.unit);
    }
    if !row_tag.description.is_empty() {
        differ("description", row_tag.description != tag.description);
        tag.description.clone_from(&row_tag.description);
    }
    if let Some(stepped) = row_tag.stepped {
        differ("stepped", stepped != tag.stepped);
        tag.stepped = stepped;
    }
    if row_tag.range_low.is_some() {
        differ("range_low", row_tag.range_low != tag.range_low);
        tag.range_low = row_tag.range_low;
    }
    if row_tag.range_high.is_some() {
        differ("range_high", row_tag.range_high != tag.range_high);
        tag.range_high = row_tag.range_high;
    }
    if !state_set.is_empty() {
        differ("state_set", *state_set != tag.state_set);
        tag.state_set.clone_from(state_set);
    }
    Ok(if fields.is_empty() { None } else { Some((tag, fields)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> TagRow {
        let (mut rows, problems) =
            tag_file::parse(format!("name,type,unit,description,stepped,range_low,range_high,state_set\n{text}\n").as_bytes(), "t");
        assert_eq!(problems, []);
        rows.remove(0)
    }

    #[test]
    fn only_filled_cells_change_a_tag() {
        let Ok(existing) = new_tag(&row("a,f64,bar,steam,false,0,10,")) else { panic!("a valid row") };
        assert!(changed_tag(&row("a,f64,,,,,,"), existing.clone()).unwrap().is_none());
        assert!(changed_tag(&row("a,,bar,steam,false,0,10,"), existing.clone()).unwrap().is_none());
        let (tag, fields) = changed_tag(&row("a,,mbar,,,,20,"), existing.clone()).unwrap().unwrap();
        assert_eq!(fields, ["unit", "range_high"]);
        assert_eq!((tag.unit.as_str(), tag.description.as_str(), tag.range_high), ("mbar", "steam", Some(20.0)));
        assert!(changed_tag(&row("a,i64,,,,,,"), existing).unwrap_err().to_string().contains("cannot change"));
    }
}
