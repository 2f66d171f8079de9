//! `historian detectors`: the detectors of a running historian and their parameters.

use std::{io::Write, process::ExitCode};

use clap::Args;
use historian_proto::v1::{Detector, ListDetectorsRequest, query_service_client::QueryServiceClient};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};

#[derive(Debug, Args)]
pub struct DetectorsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: DetectorsArgs) -> anyhow::Result<ExitCode> {
    let mut queries = QueryServiceClient::new(args.server.connect().await?);
    let answer = queries.list_detectors(ListDetectorsRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut output = OutputFile::stdout();
    match args.format {
        TextFormat::Json => {
            for detector in &answer.detectors {
                writeln!(output, "{}", as_json(detector))?;
            }
        }
        TextFormat::Table => {
            for (index, detector) in answer.detectors.iter().enumerate() {
                if index > 0 {
                    writeln!(output)?;
                }
                let told = format!("{}: {}", output::printable(&detector.name), output::printable(&detector.description));
                for line in output::wrapped("", &told, output.screen()) {
                    writeln!(output, "{line}")?;
                }
                let mut table = TextTable::new([
                    TableColumn::whole("  PARAMETER"),
                    TableColumn::whole("DEFAULT"),
                    TableColumn::text("ALLOWED").spare(1),
                    TableColumn::whole("UNIT").spare(2),
                    TableColumn::sentence("MEANING"),
                ]);
                for parameter in &detector.parameters {
                    let text = |text: &str| TableCell::new(text);
                    let default = if parameter.default_value.is_empty() { "-" } else { &parameter.default_value };
                    table.add_row(vec![
                        text(&format!("  {}", parameter.name)),
                        text(default),
                        text(&parameter.allowed),
                        text(&parameter.unit),
                        text(&parameter.description),
                    ]);
                }
                table.write(&mut output)?;
            }
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(detector: &Detector) -> serde_json::Value {
    let parameters = detector.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "description": parameter.description,
            "unit": parameter.unit,
            "default": (!parameter.default_value.is_empty()).then_some(&parameter.default_value),
            "allowed": parameter.allowed,
        })
    });
    json!({"name": detector.name, "description": detector.description, "parameters": parameters.collect::<Vec<_>>()})
}
