//! `historian tag import`: first every row is compared with the catalog, then, when none of them has a mistake, what differs is changed.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::Args;
use futures::{StreamExt, stream};
use historian_proto::v1::{self, CreateTagRequest, GetTagRequest, UpdateTagRequest, tag_service_client::TagServiceClient};
use serde_json::json;
use tonic::Code;

use super::value_type::{proto_type, type_name};
use crate::{
    RefusedConfiguration,
    client::{self, ServerArgs, ServerChannel, patience::patiently},
    output::{self, TextFormat},
};
use historian_collector::SettingPosition;
use historian_model::{TagDefinition, TagName, ValueType};
use historian_server::config::tag_file::{self, TagRow};

#[derive(Debug, Args)]
pub struct TagImportArgs {
    /// CSV, or a sheet of an XLSX file (`tags.xlsx#Dryer`), with a header:
    /// `name,type,unit,description,stepped,range_low,range_high,state_set`, in any order; of a tag file of the configuration the other
    /// columns are not imported.
    pub(super) file: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// Rows of a file on their way to the server at once.
const ROWS_AT_ONCE: usize = 16;

/// What a row asks for.
enum CatalogAction {
    Create(v1::Tag),
    Update(v1::Tag, Vec<&'static str>),
    Nothing,
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

pub async fn run(args: TagImportArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let (rows, problems) = tag_file::read(&args.file, &file);
    // A file with mistakes changes nothing, so that it can be corrected and imported whole.
    if !problems.is_empty() {
        return Err(RefusedConfiguration(problems).into());
    }
    // What only formulas take is none of the catalog.
    let rows: Vec<TagRow> = rows.into_iter().filter(|row| row.tag.is_stored()).collect();
    let channel = args.server.connect().await?;
    let count = rows.len();
    let mut looks = stream::iter(rows).map(|row| look(TagServiceClient::new(channel.clone()), row)).buffered(ROWS_AT_ONCE);
    let (mut changes, mut refused) = (Vec::new(), 0_usize);
    while let Some((line, change)) = looks.next().await {
        match change {
            Ok(change) => changes.push((line, change)),
            Err(RowError::Server(error)) => return Err(error).with_context(|| format!("stopped at {file}:{line}; nothing was changed")),
            Err(RowError::Row(error)) => {
                refused += 1;
                eprintln!("{file}:{line}: {error}");
            }
        }
    }
    drop(looks);
    anyhow::ensure!(refused == 0, "{refused} of {count} rows cannot be imported; nothing was changed");
    make(channel, &file, changes, args.format).await
}

/// Compares a row with the catalog.
async fn look(client: TagServiceClient<ServerChannel>, row: TagRow) -> (usize, Result<CatalogAction, RowError>) {
    let SettingPosition { line, .. } = row.tag.position;
    let asked = patiently(|| {
        let (mut client, name) = (client.clone(), row.tag.name.clone());
        async move { client.get_tag(GetTagRequest { name }).await }
    });
    let change = match asked.await {
        Ok(answer) => {
            let tag = answer.into_inner().tag.unwrap_or_default();
            changed_tag(&row, tag).map(|changed| changed.map_or(CatalogAction::Nothing, |(tag, fields)| CatalogAction::Update(tag, fields)))
        }
        Err(status) if status.code() == Code::NotFound => match has_old_name(client.clone(), &row).await {
            Ok(false) => new_tag(&row).map(CatalogAction::Create),
            Ok(true) => Err(anyhow!("is {0} still; rename it first: historian tag rename {0} {1}", row.tag.renamed_from, row.tag.name)),
            Err(status) => return (line, Err(status.into())),
        },
        Err(status) => return (line, Err(status.into())),
    };
    (line, change.map_err(|error| RowError::Row(anyhow!("{}: {error}", row.tag.name))))
}

/// Whether a tag has the name still that a row says it had before.
async fn has_old_name(client: TagServiceClient<ServerChannel>, row: &TagRow) -> Result<bool, tonic::Status> {
    if row.tag.renamed_from.is_empty() {
        return Ok(false);
    }
    let asked = patiently(|| {
        let (mut client, name) = (client.clone(), row.tag.renamed_from.clone());
        async move { client.get_tag(GetTagRequest { name }).await }
    });
    match asked.await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::NotFound => Ok(false),
        Err(status) => Err(status),
    }
}

/// Makes the changes of a file without mistakes. What the server refuses all the same, because the catalog is full or somebody else changes
/// it, is told with its line.
async fn make(channel: ServerChannel, file: &str, changes: Vec<(usize, CatalogAction)>, format: TextFormat) -> anyhow::Result<ExitCode> {
    let (mut created, mut updated, mut unchanged, mut failed) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut outcomes = stream::iter(changes)
        .map(|(line, change)| {
            let client = TagServiceClient::new(channel.clone());
            async move {
                let (kind, name, outcome) = match change {
                    CatalogAction::Nothing => (ImportResult::Unchanged, String::new(), Ok(())),
                    CatalogAction::Create(tag) => {
                        let name = tag.name.clone();
                        let request = CreateTagRequest { tag: Some(tag) };
                        let made = patiently(|| {
                            let (mut client, request) = (client.clone(), request.clone());
                            async move { client.create_tag(request).await }
                        });
                        (ImportResult::Created, name, made.await.map(drop))
                    }
                    CatalogAction::Update(tag, fields) => {
                        let name = tag.name.clone();
                        let mut request = UpdateTagRequest { tag: Some(tag), ..UpdateTagRequest::default() };
                        request.update_mask.get_or_insert_default().paths = fields.into_iter().map(str::to_owned).collect();
                        let made = patiently(|| {
                            let (mut client, request) = (client.clone(), request.clone());
                            async move { client.update_tag(request).await }
                        });
                        (ImportResult::Updated, name, made.await.map(drop))
                    }
                };
                (line, name, outcome.map(|()| kind).map_err(RowError::from))
            }
        })
        .buffered(ROWS_AT_ONCE);
    while let Some((line, name, outcome)) = outcomes.next().await {
        match outcome {
            Ok(ImportResult::Created) => created += 1,
            Ok(ImportResult::Updated) => updated += 1,
            Ok(ImportResult::Unchanged) => unchanged += 1,
            Err(RowError::Server(error)) => {
                return Err(error).with_context(|| {
                    format!("stopped at {file}:{line}; import the file again after fixing this; rows that are imported already do no harm")
                });
            }
            Err(RowError::Row(error)) => {
                failed += 1;
                eprintln!("{file}:{line}: {name}: {error}");
            }
        }
    }
    output::tell(
        format,
        &format!("{created} created, {updated} updated, {unchanged} unchanged, {failed} failed"),
        &json!({"created": created, "updated": updated, "unchanged": unchanged, "failed": failed}),
    )?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

enum ImportResult {
    Created,
    Updated,
    Unchanged,
}

fn new_tag(row: &TagRow) -> anyhow::Result<v1::Tag> {
    let definition = row.definition().map_err(|problem| anyhow!("{}: {}", problem.key, problem.message))?;
    definition.check()?;
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
        anyhow::bail!("type: the tag holds {} values, the file says {wanted}; the type of a tag cannot change", type_name(&tag));
    }
    let mut fields = Vec::new();
    let mut differ = |field, differs: bool| {
        if differs {
            fields.push(field);
        }
    };
    let row_tag = &row.tag;
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
    if !row_tag.state_set.is_empty() {
        differ("state_set", row_tag.state_set != tag.state_set);
        tag.state_set.clone_from(&row_tag.state_set);
    }
    if fields.is_empty() {
        return Ok(None);
    }
    check(&tag)?;
    Ok(Some((tag, fields)))
}

/// The rules between the cells of a row and what the catalog has already.
fn check(tag: &v1::Tag) -> anyhow::Result<()> {
    let value_type = ValueType::ALL.into_iter().find(|value_type| proto_type(*value_type) as i32 == tag.value_type);
    let Some(value_type) = value_type else { return Ok(()) };
    let mut definition = TagDefinition::new(TagName::new(&tag.name)?, value_type);
    definition.unit.clone_from(&tag.unit);
    definition.description.clone_from(&tag.description);
    (definition.range_low, definition.range_high) = (tag.range_low, tag.range_high);
    definition.state_set.clone_from(&tag.state_set);
    Ok(definition.check()?)
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
        assert!(changed_tag(&row("a,i64,,,,,,"), existing.clone()).unwrap_err().to_string().contains("cannot change"));
        // Together with what the catalog has: 20 is above its range_high.
        assert!(changed_tag(&row("a,,,,,20,,"), existing).unwrap_err().to_string().contains("range_low"));
    }
}
