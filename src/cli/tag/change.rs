//! `historian tag set` and `historian tag delete`: one tag of the catalog, changed or removed.

use std::{io::Write, process::ExitCode};

use arrow_flight::FlightDescriptor;
use clap::Args;
use historian_proto::v1::{DeleteTagRequest, GetTagRequest, Tag, UpdateTagRequest, tag_service_client::TagServiceClient};
use serde_json::json;

use super::{
    object::{as_json, filter_in_words},
    value_type::type_name,
};
use crate::{
    Misuse,
    client::{self, ServerArgs},
    consent::asked,
    output::{self, OutputFile, TextFormat},
};

#[derive(Debug, Args)]
pub struct TagSetArgs {
    /// Exact name of the tag.
    #[arg(value_name = "TAG")]
    tag: String,
    /// Engineering unit; empty for none.
    #[arg(long)]
    unit: Option<String>,
    /// What the tag is; empty for none.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Expected range in engineering units, such as 0..16, or none.
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, allow_hyphen_values = true)]
    range: Option<ExpectedRange>,
    /// Whether a value holds until the next sample.
    #[arg(long, value_name = "BOOL")]
    stepped: Option<bool>,
    /// Names of the states by number, from 0 on, such as 'off|auto|manual'; empty for none.
    #[arg(long, value_name = "NAME|…")]
    states: Option<String>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct TagDeleteArgs {
    /// Exact name of the tag.
    #[arg(value_name = "TAG")]
    tag: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// Both ends of a range, of which either may be open.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ExpectedRange {
    low: Option<f64>,
    high: Option<f64>,
}

fn range(text: &str) -> Result<ExpectedRange, String> {
    let text = text.trim();
    if text.is_empty() || text == "none" {
        return Ok(ExpectedRange { low: None, high: None });
    }
    let (low, high) = text.split_once("..").ok_or("expected LOW..HIGH, such as 0..16, or none")?;
    let end = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<f64>().ok().filter(|end| end.is_finite()).map(Some).ok_or(format!("{text:?} is no number")),
    };
    Ok(ExpectedRange { low: end(low)?, high: end(high)? })
}

pub async fn set(args: TagSetArgs) -> anyhow::Result<ExitCode> {
    let mut tag = Tag { name: args.tag, ..Tag::default() };
    let mut paths = Vec::new();
    if let Some(unit) = args.unit {
        tag.unit = unit;
        paths.push("unit");
    }
    if let Some(description) = args.description {
        tag.description = description;
        paths.push("description");
    }
    if let Some(range) = args.range {
        (tag.range_low, tag.range_high) = (range.low, range.high);
        paths.extend(["range_low", "range_high"]);
    }
    if let Some(stepped) = args.stepped {
        tag.stepped = stepped;
        paths.push("stepped");
    }
    if let Some(states) = args.states {
        tag.state_set = if states.is_empty() { Vec::new() } else { states.split('|').map(str::to_owned).collect() };
        paths.push("state_set");
    }
    if paths.is_empty() {
        return Err(Misuse("nothing to set: give --unit, --description, --range, --stepped or --states".to_owned()).into());
    }
    let mut request = UpdateTagRequest { tag: Some(tag), update_mask: None, reason: args.reason };
    request.update_mask.get_or_insert_default().paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let mut client = TagServiceClient::new(args.server.connect().await?);
    let answer = client.update_tag(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let tag = answer.tag.unwrap_or_default();
    match args.format {
        TextFormat::Json => output::tell(args.format, "", &as_json(&tag))?,
        TextFormat::Table => {
            let mut output = OutputFile::stdout();
            for (name, value) in facts(&tag) {
                writeln!(output, "{name:<12} {}", output::printable(&value))?;
            }
            output.finish()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A tag in words, as it is now.
fn facts(tag: &Tag) -> Vec<(&'static str, String)> {
    let end = |end: Option<f64>| end.map(|end| end.to_string()).unwrap_or_default();
    let range = match (tag.range_low, tag.range_high) {
        (None, None) => String::new(),
        (low, high) => format!("{}..{}", end(low), end(high)),
    };
    let mut facts = vec![
        ("name", tag.name.clone()),
        ("type", type_name(tag).to_owned()),
        ("unit", tag.unit.clone()),
        ("description", tag.description.clone()),
        ("range", range),
        ("stepped", if tag.stepped { "yes" } else { "no" }.to_owned()),
        ("states", tag.state_set.join("|")),
        ("filter", filter_in_words(tag)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

pub async fn delete(args: TagDeleteArgs) -> anyhow::Result<ExitCode> {
    let mut client = TagServiceClient::new(args.server.connect().await?);
    let answer = client.get_tag(GetTagRequest { name: args.tag.clone() }).await.map_err(|status| client::refusal(&status))?;
    let tag = answer.into_inner().tag.unwrap_or_default();
    let command = json!({"range": {"tags": [args.tag], "start": "0001-01-01", "end": "9999-12-31"}}).to_string();
    let info = args.server.flight().await?.get_flight_info(FlightDescriptor::new_cmd(command)).await.map_err(client::flight_refusal)?;
    let samples = u64::try_from(info.total_records).unwrap_or(0);
    let name = output::printable(&tag.name);
    let collected = if tag.device.is_empty() {
        String::new()
    } else {
        format!(
            " It is collected from {} and comes back with the next start unless its configuration goes.",
            output::printable(&tag.device)
        )
    };
    if !args.yes && !asked(&format!("Delete the tag {name} and its samples, at most {samples}? That cannot be undone.{collected}"))? {
        return Ok(ExitCode::FAILURE);
    }
    client.delete_tag(DeleteTagRequest { name: tag.name.clone(), reason: args.reason }).await.map_err(|status| client::refusal(&status))?;
    output::tell(
        args.format,
        &format!("{name} and its samples are deleted"),
        &json!({"tag": tag.name, "id": tag.id, "samples_at_most": samples}),
    )?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_or_none() {
        let of = |low, high| Ok(ExpectedRange { low, high });
        assert_eq!(range("0..16"), of(Some(0.0), Some(16.0)));
        assert_eq!(range("-40..85.5"), of(Some(-40.0), Some(85.5)));
        assert_eq!(range("0.."), of(Some(0.0), None));
        assert_eq!(range("none"), of(None, None));
        for wrong in ["16", "a..b", "0..inf"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
