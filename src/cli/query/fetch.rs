//! A request sent as a ticket through Arrow Flight, and its answer into a table or a file.

use std::{
    collections::HashMap,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use arrow::{array::RecordBatch, datatypes::Schema};
use arrow_flight::Ticket;
use futures::{StreamExt, stream, stream::BoxStream};

use crate::{
    client::{self, ServerArgs},
    hint,
    output::{BatchWriter, OutputArgs, OutputFormat, TagNotes, note as note_line, to_ms},
    tag,
};
use historian_model::Timestamp;

/// Tags whose units a table shows; more than a person reads.
const NOTED_TAGS_MAX: usize = 10_000;

/// Sends the request as a ticket and writes the answer batch by batch.
pub(crate) async fn fetch(
    server: &ServerArgs,
    tags: &[String],
    request: &serde_json::Value,
    output: &OutputArgs,
) -> anyhow::Result<ExitCode> {
    output.format()?;
    let mut flight = server.flight().await?;
    let mut batches = flight.do_get(Ticket::new(request.to_string())).await.map_err(client::flight_refusal)?;
    // The schema comes first, also of an answer without rows.
    let first = batches.next().await.transpose().map_err(client::flight_refusal)?;
    let Some(schema) = first.as_ref().map(RecordBatch::schema).or_else(|| batches.schema().cloned()) else {
        bail!("the historian closed the answer before it began; look at its log")
    };
    let first = first.unwrap_or_else(|| RecordBatch::new_empty(schema.clone()));
    let batches = stream::iter([Ok(first)]).chain(batches.map(|batch| batch.map_err(client::flight_refusal)));
    let rows = write_answer(batches.boxed(), output, async |schema| notes(server, tags, schema).await).await?;
    if rows == 0 {
        tell_why_empty(server, tags, &schema).await?;
    }
    if let Some(note) = schema.metadata().get("note") {
        note_line(&format!("note: {note}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes an answer batch by batch; says how many rows it has. `notes` are asked for a table only.
pub(crate) async fn write_answer(
    mut batches: BoxStream<'_, anyhow::Result<RecordBatch>>,
    output: &OutputArgs,
    notes: impl AsyncFnOnce(&Schema) -> anyhow::Result<HashMap<String, TagNotes>>,
) -> anyhow::Result<usize> {
    let format = output.format()?;
    let mut progress = RowProgress::new(output.wants_progress());
    let first = batches.next().await.transpose()?.context("the historian closed the answer before it began; look at its log")?;
    let notes = if format == OutputFormat::Table { notes(&first.schema()).await? } else { HashMap::new() };
    let mut writer = BatchWriter::open(output, &first.schema(), notes)?;
    let mut batch = Some(first);
    while let Some(written) = batch {
        if written.num_rows() > 0 {
            writer.write(&written)?;
            progress.add(written.num_rows());
        }
        batch = batches.next().await.transpose()?;
    }
    writer.finish()?;
    progress.end();
    Ok(progress.rows)
}

/// Says of an answer without rows whether there are no such tags, or nothing of them.
async fn tell_why_empty(server: &ServerArgs, tags: &[String], schema: &Schema) -> anyhow::Result<()> {
    let mut pages = tag::Pages::new(server.connect().await?, tags.to_vec(), String::new());
    let matched = pages.next().await?.is_some_and(|page| !page.is_empty());
    if !matched {
        note_line(&tag::nothing_of(tags, ""));
        if let Some(meant) = hint::of_empty_globs(tags).await {
            note_line(&meant);
        }
        return Ok(());
    }
    let bound = |name: &str| schema.metadata().get(name)?.parse().ok().map(|at| to_ms(Timestamp(at)));
    match (bound("start"), bound("end")) {
        (Some(start), Some(end)) => note_line(&format!("nothing between {start} and {end}")),
        _ => note_line("nothing is there"),
    }
    Ok(())
}

/// Units and state names for a table: from the metadata of the answer, or from the catalog when the answer has too many tags to carry them.
async fn notes(server: &ServerArgs, tags: &[String], schema: &Schema) -> anyhow::Result<HashMap<String, TagNotes>> {
    if let Some(described) = schema.metadata().get("tags") {
        return serde_json::from_str(described).context("the answer's metadata of the tags cannot be read");
    }
    catalog_notes(server, tags).await
}

/// Units and state names from the catalog.
pub(crate) async fn catalog_notes(server: &ServerArgs, tags: &[String]) -> anyhow::Result<HashMap<String, TagNotes>> {
    let mut notes = HashMap::new();
    let mut pages = tag::Pages::new(server.connect().await?, tags.to_vec(), String::new());
    while notes.len() < NOTED_TAGS_MAX
        && let Some(page) = pages.next().await?
    {
        notes.extend(page.into_iter().map(|tag| {
            let value_type = tag::type_name(&tag).to_owned();
            (tag.name, TagNotes { unit: tag.unit, state_set: tag.state_set, value_type })
        }));
    }
    Ok(notes)
}

/// Rows so far, on standard error, a few times a second.
struct RowProgress {
    rows: usize,
    shown: Option<Instant>,
}

impl RowProgress {
    fn new(wanted: bool) -> RowProgress {
        RowProgress { rows: 0, shown: wanted.then(Instant::now) }
    }

    fn add(&mut self, rows: usize) {
        self.rows += rows;
        if let Some(shown) = &mut self.shown
            && shown.elapsed() > Duration::from_millis(250)
        {
            *shown = Instant::now();
            let _ = write!(std::io::stderr(), "\r{} rows", self.rows);
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr(), "\r{} rows", self.rows);
        }
    }
}
