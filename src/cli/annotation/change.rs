//! `historian annotation create`, `update` and `delete`: each makes a version, which is kept.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use historian_proto::v1::{
    Annotation, CreateAnnotationRequest, DeleteAnnotationRequest, ListAnnotationsRequest, UpdateAnnotationRequest,
    annotation_service_client::AnnotationServiceClient,
};
use serde_json::json;

use super::show::{TimeArgs, as_json, page, show};
use crate::{
    Misuse,
    client::{self, ServerArgs, ServerChannel},
    output::{self, TextFormat},
};

#[derive(Debug, Args)]
pub struct AnnotationCreateArgs {
    /// Exact names of the tags, at most 100.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// What is to be known, at most 4,096 bytes.
    #[arg(long)]
    text: String,
    /// When that is, or begins: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    start: String,
    /// When that ends, not included [default: a moment].
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    end: String,
    #[command(flatten)]
    times: TimeArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct AnnotationUpdateArgs {
    /// Number of the annotation, as `annotation list` shows it.
    #[arg(value_name = "ID")]
    id: u64,
    /// Another text.
    #[arg(long)]
    text: Option<String>,
    /// Other tags, by their exact names; once for each.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Another start.
    #[arg(long, allow_hyphen_values = true)]
    start: Option<String>,
    /// Another end, or none for a moment.
    #[arg(long, allow_hyphen_values = true)]
    end: Option<String>,
    #[command(flatten)]
    times: TimeArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct AnnotationDeleteArgs {
    /// Number of the annotation, as `annotation list` shows it.
    #[arg(value_name = "ID")]
    id: u64,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn create(args: AnnotationCreateArgs) -> anyhow::Result<ExitCode> {
    let AnnotationCreateArgs { tags, text, start, end, times: TimeArgs { zone, unit }, format, server } = args;
    let request = CreateAnnotationRequest { tags, start: unit.applied(&start), end: unit.applied(&end), zone, text };
    let mut client = AnnotationServiceClient::new(server.connect().await?);
    let answer = client.create_annotation(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    tell(answer.annotation, format)
}

pub async fn update(args: AnnotationUpdateArgs) -> anyhow::Result<ExitCode> {
    let AnnotationUpdateArgs { id, text, tags, start, end, times: TimeArgs { zone, unit }, format, server } = args;
    if text.is_none() && tags.is_empty() && start.is_none() && end.is_none() {
        return Err(Misuse("nothing to change: give --text, --tag, --start or --end".to_owned()).into());
    }
    let mut client = AnnotationServiceClient::new(server.connect().await?);
    let seen = seen(&mut client, id).await?;
    let exactly = |time: i64| format!("{time}ns");
    let kept_end = if seen.end_time == seen.start_time { String::new() } else { exactly(seen.end_time) };
    let request = UpdateAnnotationRequest {
        id,
        // Nothing that somebody wrote meanwhile is lost.
        version: seen.version,
        tags: if tags.is_empty() { seen.tags } else { tags },
        start: start.map_or_else(|| exactly(seen.start_time), |start| unit.applied(&start)),
        end: end.map_or(kept_end, |end| if end.trim() == "none" { String::new() } else { unit.applied(&end) }),
        zone,
        text: text.unwrap_or(seen.text),
    };
    let answer = client.update_annotation(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    tell(answer.annotation, format)
}

pub async fn delete(args: AnnotationDeleteArgs) -> anyhow::Result<ExitCode> {
    let AnnotationDeleteArgs { id, format, server } = args;
    let mut client = AnnotationServiceClient::new(server.connect().await?);
    let seen = seen(&mut client, id).await?;
    client.delete_annotation(DeleteAnnotationRequest { id, version: seen.version }).await.map_err(|status| client::refusal(&status))?;
    output::tell(format, &format!("annotation {id} is removed"), &json!({"id": id, "removed": as_json(&seen)}))?;
    Ok(ExitCode::SUCCESS)
}

/// An annotation as it is now.
async fn seen(client: &mut AnnotationServiceClient<ServerChannel>, id: u64) -> anyhow::Result<Annotation> {
    if id == 0 {
        return Err(Misuse("ID: annotations count from 1".to_owned()).into());
    }
    let request = ListAnnotationsRequest { id, ..ListAnnotationsRequest::default() };
    match page(client, request).await?.annotations.pop() {
        Some(seen) => Ok(seen),
        None => bail!("there is no annotation {id}, or none that you may see"),
    }
}

fn tell(annotation: Option<Annotation>, format: TextFormat) -> anyhow::Result<ExitCode> {
    show(&[annotation.unwrap_or_default()], false, format)?;
    Ok(ExitCode::SUCCESS)
}
