//! `historian tag`: the catalog of a running historian, listed and filled from CSV.

mod change;
mod import;
mod object;
mod rename;
mod tune;
mod value_type;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use historian_proto::v1::{self, ListTagsRequest, RetypeTagRequest, tag_service_client::TagServiceClient};
use serde_json::json;

use super::{
    Misuse,
    client::{self, ServerArgs, ServerChannel},
    output::{self, OutputFile, OutputFormat, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_model::ValueType;
use historian_server::config::tag_file;

pub use self::value_type::{proto_type, type_name, value_type};
use change::{TagDeleteArgs, TagSetArgs};
use import::TagImportArgs;
use object::{as_json, filter_in_words};
use rename::TagRenameArgs;
use tune::TagTuneArgs;

#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// Lists tags.
    List(TagListArgs),
    /// Creates and updates tags from a CSV file, all or none; empty cells leave a tag as it is.
    Import(TagImportArgs),
    /// Changes unit, description, range, states of a tag, or whether its values hold.
    Set(TagSetArgs),
    /// Removes a tag and its samples. Its name may be taken again; the audit log records it.
    Delete(TagDeleteArgs),
    /// Gives another name to a tag, which keeps its id, samples and annotations.
    Rename(TagRenameArgs),
    /// Changes the value type of a tag: a new, empty tag takes its name, and the old tag keeps its samples under the name with a suffix.
    Retype(RetypeArgs),
    /// Replays recorded samples of a tag through exception filter and swinging door, and shows size against error for a ladder of settings.
    Tune(TagTuneArgs),
}

#[derive(Debug, Args)]
pub struct TagListArgs {
    /// Tag names or globs: `*` within a level, `**` across levels; none means all.
    #[arg(value_name = "GLOB")]
    tags: Vec<String>,
    /// Condition on metadata: `unit=bar`, `device=boiler-plc`, `description~steam`, joined with ` AND `.
    #[arg(long, default_value = "")]
    filter: String,
    /// Format of the list: table, csv (as `tag import` reads it) or json [default: table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct RetypeArgs {
    /// Exact name of the tag.
    #[arg(value_name = "TAG")]
    tag: String,
    /// New value type: f64, f32, i64, u64, bool, string, state.
    #[arg(value_name = "TYPE")]
    value_type: ValueType,
    /// Suffix for the name of the old tag, which keeps the history [default: `_` and its type, as in `level_f64`].
    #[arg(long, default_value = "", hide_default_value = true)]
    suffix: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(command: TagCommand) -> anyhow::Result<ExitCode> {
    match command {
        TagCommand::List(args) => list(args).await,
        TagCommand::Import(args) => import::run(args).await,
        TagCommand::Set(args) => change::set(args).await,
        TagCommand::Delete(args) => change::delete(args).await,
        TagCommand::Rename(args) => rename::run(args).await,
        TagCommand::Retype(args) => retype(args).await,
        TagCommand::Tune(args) => tune::run(args).await,
    }
}

/// Pages of a list of tags.
pub struct Pages {
    client: TagServiceClient<ServerChannel>,
    request: ListTagsRequest,
    ended: bool,
}

impl Pages {
    pub fn new(channel: ServerChannel, tags: Vec<String>, filter: String) -> Pages {
        let request = ListTagsRequest { tags, filter, page_size: 1000, ..ListTagsRequest::default() };
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

async fn list(args: TagListArgs) -> anyhow::Result<ExitCode> {
    use std::io::{IsTerminal, Write};

    let format = args.format.unwrap_or(if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv });
    if matches!(format, OutputFormat::Arrow | OutputFormat::Parquet) {
        return Err(Misuse("--format: tags are listed as table, csv or json".to_owned()).into());
    }
    let none = nothing_of(&args.tags, &args.filter);
    // Filters are rare: where no tag has one, there is no column of nothing. Once there is one it stays, on the pages that follow.
    let (mut listed, mut filtered) = (0, false);
    let mut pages = Pages::new(args.server.connect().await?, args.tags, args.filter);
    let mut output = OutputFile::stdout();
    let mut csv = csv::Writer::from_writer(Vec::new());
    if format == OutputFormat::Csv {
        csv.write_record(tag_file::definition_columns())?;
    }
    while let Some(tags) = pages.next().await? {
        listed += tags.len();
        match format {
            OutputFormat::Table if tags.is_empty() => {}
            OutputFormat::Table => {
                filtered |= tags.iter().any(|tag| tag.filter.is_some());
                let mut columns = vec![
                    TableColumn::name("NAME"),
                    TableColumn::whole("TYPE"),
                    TableColumn::whole("UNIT"),
                    TableColumn::text("DESCRIPTION"),
                    TableColumn::whole("STEPPED").spare(3),
                    TableColumn::whole("LOW").spare(2),
                    TableColumn::whole("HIGH").spare(2),
                    TableColumn::text("DEVICE").spare(4),
                    TableColumn::text("ADDRESS").spare(5),
                ];
                columns.extend(filtered.then(|| TableColumn::whole("FILTER").spare(1)));
                let mut table = TextTable::new(columns);
                for tag in &tags {
                    let text = |text: &str| TableCell::new(text);
                    let mut cells = vec![
                        text(&tag.name),
                        TableCell::new(type_name(tag)),
                        text(&tag.unit),
                        text(&tag.description),
                        TableCell::new(if tag.stepped { "yes" } else { "" }),
                        TableCell::number(optional(tag.range_low)),
                        TableCell::number(optional(tag.range_high)),
                        text(&tag.device),
                        text(&tag.address),
                    ];
                    cells.extend(filtered.then(|| TableCell::new(filter_in_words(tag))));
                    table.add_row(cells);
                }
                table.write(&mut output)?;
            }
            OutputFormat::Json => {
                for tag in &tags {
                    writeln!(output, "{}", as_json(tag))?;
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
    if listed == 0 {
        output::note(&none);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says of a selection that it selects nothing.
pub fn nothing_of(tags: &[String], filter: &str) -> String {
    let quoted: Vec<String> = tags.iter().map(|tag| format!("'{tag}'")).collect();
    match (quoted.is_empty(), filter.is_empty()) {
        (true, true) => "there are no tags".to_owned(),
        (false, true) => format!("no tag matches {}", quoted.join(", ")),
        (true, false) => format!("no tag has {filter}"),
        (false, false) => format!("no tag matches {} and has {filter}", quoted.join(", ")),
    }
}

async fn retype(args: RetypeArgs) -> anyhow::Result<ExitCode> {
    let mut client = TagServiceClient::new(args.server.connect().await?);
    let request =
        RetypeTagRequest { name: args.tag, value_type: proto_type(args.value_type).into(), suffix: args.suffix, reason: args.reason };
    let answer = client.retype_tag(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let (tag, kept) = (answer.tag.unwrap_or_default(), answer.kept.unwrap_or_default());
    let (name, kept_name, device) = (&tag.name, &kept.name, &tag.device);
    let mut lines = format!("{name} holds {} values from now on; its {} history is {kept_name}", type_name(&tag), type_name(&kept));
    if answer.collected {
        lines += &format!("\ndevice {device} writes to {name} from now on");
    } else if !device.is_empty() {
        lines += &format!(
            "\ndevice {device} is not configured for {} values: {name} is collected once its configuration says so and the historian was \
             restarted, and until then {kept_name}, where the values fit that",
            type_name(&tag)
        );
    }
    let lines: Vec<String> = lines.lines().map(output::printable).collect();
    let object = json!({"tag": as_json(&tag), "kept": as_json(&kept), "collected": answer.collected});
    output::tell(args.format, &lines.join("\n"), &object)?;
    Ok(ExitCode::SUCCESS)
}

fn optional(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
