//! `historian subscribe`: the change feed of a running historian, as it comes, until somebody has seen enough.

use std::{collections::HashMap, io::IsTerminal, process::ExitCode};

use anyhow::anyhow;
use arrow::{array::AsArray, datatypes::UInt64Type};
use arrow_flight::Ticket;
use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    client::{self, ServerArgs},
    output::{self, BatchWriter, OutputArgs, OutputFormat},
    query::catalog_notes,
};

#[derive(Debug, Args)]
pub struct SubscribeArgs {
    /// Tag names or globs; tags that are made later count as well.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Go on behind this position, of which nothing is missed; 0: from now on.
    #[arg(long, default_value_t = 0)]
    position: u64,
    /// Begin with the current values.
    #[arg(long)]
    current: bool,
    /// Format of the samples: table, csv or json [default: table on a terminal, json elsewhere].
    #[arg(long, value_enum)]
    format: Option<FeedFormat>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FeedFormat {
    /// Columns for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Json,
}

pub async fn run(args: SubscribeArgs) -> anyhow::Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let format = match args.format {
        Some(FeedFormat::Csv) => OutputFormat::Csv,
        Some(FeedFormat::Table) => OutputFormat::Table,
        None if std::io::stdout().is_terminal() => OutputFormat::Table,
        Some(FeedFormat::Json) | None => OutputFormat::Json,
    };
    let request = json!({"subscribe": {"tags": args.tags, "position": args.position, "current": args.current}});
    let mut flight = args.server.flight().await?;
    let mut feed = flight.do_get(Ticket::new(request.to_string())).await.map_err(client::flight_refusal)?;
    let notes = if format == OutputFormat::Table { catalog_notes(&args.server, &args.tags).await? } else { HashMap::new() };
    let output = OutputArgs::of(format);
    let mut writer: Option<BatchWriter> = None;
    let mut position = args.position;
    let ended = loop {
        let batch = tokio::select! {
            batch = feed.next() => batch,
            _ = interrupt.recv() => break Ok(ExitCode::SUCCESS),
            _ = terminate.recv() => break Ok(ExitCode::SUCCESS),
        };
        let batch = match batch {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => break Err(client::flight_refusal(error)),
            None => break Err(anyhow!("the historian ended the feed")),
        };
        if batch.num_rows() == 0 {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(BatchWriter::open(&output, &batch.schema(), notes.clone())?),
        };
        writer.write(&batch)?;
        writer.write_now()?;
        let positions = batch.column_by_name("position").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        position = positions.and_then(|positions| positions.iter().flatten().max()).map_or(position, |last| last.max(position));
    };
    if let Some(writer) = writer {
        writer.finish()?;
    }
    if position > 0 {
        output::note(&format!("up to position {position}; --position {position} goes on behind it"));
    }
    ended
}
