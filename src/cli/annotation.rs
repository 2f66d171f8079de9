//! `historian annotation`: texts of people on tags, listed, written, changed and removed.

mod change;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use historian_proto::v1::{ListAnnotationsRequest, annotation_service_client::AnnotationServiceClient};

use super::{
    client::ServerArgs,
    output::{self, TextFormat},
};
use change::{AnnotationCreateArgs, AnnotationDeleteArgs, AnnotationUpdateArgs};
use show::{TimeArgs, page, show};

#[derive(Debug, Subcommand)]
pub enum AnnotationCommand {
    /// Lists annotations, in the order of their starts.
    List(AnnotationListArgs),
    /// Puts a text on tags, over a range of time or at a moment.
    Create(AnnotationCreateArgs),
    /// Makes the next version of an annotation; what is not given stays.
    Update(AnnotationUpdateArgs),
    /// Removes an annotation. Its versions are kept, and the audit log records it.
    Delete(AnnotationDeleteArgs),
}

#[derive(Debug, Args)]
pub struct AnnotationListArgs {
    /// Tag names or globs: `*` within a level, `**` across levels; none means all.
    #[arg(value_name = "GLOB")]
    tags: Vec<String>,
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`) [default: the beginning].
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included [default: open].
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    end: String,
    #[command(flatten)]
    times: TimeArgs,
    /// Only the annotation of this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    id: u64,
    /// All versions, those that were replaced and those that remove included.
    #[arg(long)]
    versions: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(command: AnnotationCommand) -> anyhow::Result<ExitCode> {
    match command {
        AnnotationCommand::List(args) => list(args).await,
        AnnotationCommand::Create(args) => change::create(args).await,
        AnnotationCommand::Update(args) => change::update(args).await,
        AnnotationCommand::Delete(args) => change::delete(args).await,
    }
}

async fn list(args: AnnotationListArgs) -> anyhow::Result<ExitCode> {
    let AnnotationListArgs { tags, start, end, times: TimeArgs { zone, unit }, id, versions, format, server } = args;
    let none = match (id, tags.is_empty()) {
        (0, true) => "there are no annotations".to_owned(),
        (0, false) => format!("there are no annotations on '{}'", tags.join("', '")),
        (id, _) => format!("there is no annotation {id}"),
    };
    let (start, end) = (unit.applied(&start), unit.applied(&end));
    let mut request = ListAnnotationsRequest { tags, start, end, zone, id, versions, ..ListAnnotationsRequest::default() };
    let mut client = AnnotationServiceClient::new(server.connect().await?);
    let mut listed = 0;
    loop {
        let page = page(&mut client, request.clone()).await?;
        listed += page.annotations.len();
        if !page.annotations.is_empty() {
            show(&page.annotations, versions, format)?;
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if listed == 0 {
        output::note(&none);
    }
    Ok(ExitCode::SUCCESS)
}
