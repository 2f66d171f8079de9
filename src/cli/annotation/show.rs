//! Annotations as the commands ask for them, and show them.

use std::io::Write;

use clap::Args;
use historian_proto::v1::{
    Annotation, ListAnnotationsRequest, ListAnnotationsResponse, annotation_service_client::AnnotationServiceClient,
};
use serde_json::json;

use crate::{
    client::{self, ServerChannel, UnitArgs},
    output::{OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_model::Timestamp;

/// How times are read.
#[derive(Debug, Args)]
pub struct TimeArgs {
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    #[command(flatten)]
    pub unit: UnitArgs,
}

/// A page of a list.
///
/// # Errors
/// The refusal of the server.
pub async fn page(
    client: &mut AnnotationServiceClient<ServerChannel>,
    request: ListAnnotationsRequest,
) -> anyhow::Result<ListAnnotationsResponse> {
    Ok(client.list_annotations(request).await.map_err(|status| client::refusal(&status))?.into_inner())
}

/// Writes annotations; of all versions also which of them remove.
///
/// # Errors
/// The destination refuses.
pub fn show(annotations: &[Annotation], with_removed: bool, format: TextFormat) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Json => {
            for annotation in annotations {
                writeln!(output, "{}", as_json(annotation))?;
            }
        }
        TextFormat::Table => {
            let mut table = TextTable::new([
                TableColumn::whole("ID"),
                TableColumn::whole("VERSION").spare(2),
                TableColumn::whole("START"),
                TableColumn::whole("END"),
                TableColumn::name("TAGS"),
                TableColumn::text("AUTHOR").spare(1),
                TableColumn::sentence("TEXT"),
            ]);
            for annotation in annotations {
                table.add_row(cells(annotation, with_removed));
            }
            table.write(&mut output)?;
        }
    }
    Ok(output.finish()?)
}

fn cells(annotation: &Annotation, with_removed: bool) -> Vec<TableCell> {
    let Annotation { id, version, tags, start_time, end_time, text, author, removed, .. } = annotation;
    let text = if *removed && with_removed { "(removed)" } else { text };
    vec![
        TableCell::number(id),
        TableCell::number(version),
        TableCell::time(Timestamp(*start_time)),
        TableCell::time_or_none((end_time != start_time).then_some(Timestamp(*end_time))),
        TableCell::new(tags.join(", ")),
        TableCell::new(author),
        TableCell::new(text),
    ]
}

/// An annotation as an object; a moment has no end.
pub fn as_json(annotation: &Annotation) -> serde_json::Value {
    let Annotation { id, version, tags, start_time, end_time, text, author, time, removed } = annotation;
    let at = |time: i64| Timestamp(time).to_string();
    json!({
        "id": id, "version": version, "tags": tags, "start": at(*start_time),
        "end": (end_time != start_time).then(|| at(*end_time)), "text": text, "author": author, "time": at(*time), "removed": removed,
    })
}
