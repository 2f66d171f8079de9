//! A request sent as a ticket through Arrow Flight, and its answer into a table or a file.

use std::{
    collections::HashMap,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use arrow::datatypes::Schema;
use arrow_flight::Ticket;
use futures::StreamExt;

use crate::{
    client::{self, ServerArgs},
    output::{BatchWriter, OutputArgs, OutputFormat, TagNotes, printable},
    tag,
};

/// Tags whose units a table shows; more than a person reads.
const NOTED_TAGS_MAX: usize = 10_000;

/// Sends the request as a ticket and writes the answer batch by batch.
pub(crate) async fn fetch(
    server: &ServerArgs,
    tags: &[String],
    request: &serde_json::Value,
    output: &OutputArgs,
) -> anyhow::Result<ExitCode> {
    let format = output.format()?;
    let mut flight = server.flight().await?;
    let mut batches = flight.do_get(Ticket::new(request.to_string())).await.map_err(client::flight_refusal)?;
    let mut writer: Option<BatchWriter> = None;
    let mut note = None;
    let mut progress = RowProgress::new(output.wants_progress());
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(client::flight_refusal)?;
        let writer = if let Some(writer) = &mut writer {
            writer
        } else {
            note = batch.schema().metadata().get("note").cloned();
            writer.insert(BatchWriter::open(output, &batch.schema(), notes(server, tags, format, &batch.schema()).await?)?)
        };
        writer.write(&batch)?;
        progress.add(batch.num_rows());
    }
    let writer = match (writer, batches.schema()) {
        (Some(writer), _) => writer,
        (None, Some(schema)) => BatchWriter::open(output, schema, HashMap::new())?,
        (None, None) => bail!("the historian closed the answer before it began; look at its log"),
    };
    writer.finish()?;
    progress.end();
    if let Some(note) = note {
        eprintln!("note: {}", printable(&note));
    }
    Ok(ExitCode::SUCCESS)
}

/// Units and state names for a table: from the metadata of the answer, or from the catalog when the answer has too many tags to carry them.
async fn notes(server: &ServerArgs, tags: &[String], format: OutputFormat, schema: &Schema) -> anyhow::Result<HashMap<String, TagNotes>> {
    if format != OutputFormat::Table {
        return Ok(HashMap::new());
    }
    if let Some(described) = schema.metadata().get("tags") {
        return serde_json::from_str(described).context("the answer's metadata of the tags cannot be read");
    }
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
