//! How an answer is asked for: its format, and how its values are written.

use std::time::Duration;

use axum::http::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, IF_NONE_MATCH},
};
use historian_model::time::length_of_time;
use sha2::{Digest as _, Sha256};

use super::{
    cell::{CellForm, IntegerForm, TimeForm},
    offered::OfferedForms,
    problem::Problem,
};

/// The form of an answer of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    JsonColumns,
    JsonRows,
    NdJson,
    Csv,
    Arrow,
    Parquet,
}

impl RowFormat {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            RowFormat::JsonColumns | RowFormat::JsonRows => "application/json",
            RowFormat::NdJson => "application/x-ndjson",
            RowFormat::Csv => "text/csv; charset=utf-8; header=present",
            RowFormat::Arrow => "application/vnd.apache.arrow.stream",
            RowFormat::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCoding {
    Gzip,
    Zstd,
}

/// How an answer is asked for.
#[derive(Clone, Copy, Debug)]
pub struct HttpForm {
    pub format: RowFormat,
    pub cells: CellForm,
    pub coding: Option<BodyCoding>,
    pub timeout: Option<Duration>,
    /// The answer that the client has already.
    pub known: Option<EntityTag>,
}

/// What tells one whole answer from another: the beginning of the SHA-256 of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag(u128);

impl EntityTag {
    pub fn of(body: &[u8]) -> EntityTag {
        let digest = Sha256::digest(body);
        EntityTag(digest.iter().take(16).fold(0, |tag, byte| tag << 8 | u128::from(*byte)))
    }

    /// As the header has it.
    pub fn text(self) -> String {
        format!("\"{:032x}\"", self.0)
    }

    /// The first one in a list that is one of ours.
    fn in_list(list: &str) -> Option<EntityTag> {
        let ours = |text: &str| {
            let hex = text.trim().trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
            u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32).map(EntityTag)
        };
        list.split(',').find_map(ours)
    }
}

/// Parameters of an address that say how to answer, and not what.
pub const NAMES: [&str; 5] = ["format", "shape", "times", "integers", "timeout"];

impl HttpForm {
    /// Of the parameters that are of [`NAMES`], and headers.
    ///
    /// # Errors
    /// Names what there is not.
    pub fn of(parameters: &[(String, String)], headers: &HeaderMap, offered: OfferedForms) -> Result<HttpForm, Problem> {
        let mut given: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for (name, text) in parameters {
            if let Some(place) = NAMES.iter().position(|known| known == name)
                && given[place].replace(text).is_some()
            {
                return Err(Problem::invalid(name, "is there twice"));
            }
        }
        let [format, shape, times, integers, timeout] = given;
        let json = one_of("shape", shape, &[("columns", RowFormat::JsonColumns), ("rows", RowFormat::JsonRows)])?;
        let json = json.unwrap_or(RowFormat::JsonColumns);
        let formats = [
            ("json", json),
            ("ndjson", RowFormat::NdJson),
            ("csv", RowFormat::Csv),
            ("arrow", RowFormat::Arrow),
            ("parquet", RowFormat::Parquet),
        ];
        let formats = if offered == OfferedForms::Rows { &formats[..] } else { &formats[..1] };
        let format = match one_of("format", format, formats)? {
            Some(format) => format,
            None => accepted(headers, offered, json)?,
        };
        let times = one_of(
            "times",
            times,
            &[
                ("rfc3339", TimeForm::Rfc3339),
                ("ns", TimeForm::Nanoseconds),
                ("us", TimeForm::Microseconds),
                ("ms", TimeForm::Milliseconds),
            ],
        )?;
        let integers =
            one_of("integers", integers, &[("safe", IntegerForm::Safe), ("number", IntegerForm::Number), ("text", IntegerForm::Text)])?;
        let timeout = timeout.map(|text| {
            let nanoseconds = length_of_time(text).and_then(|length| u64::try_from(length).ok());
            nanoseconds
                .filter(|length| *length > 0)
                .map(Duration::from_nanos)
                .ok_or_else(|| Problem::invalid("timeout", "is no length of time such as 30s or 500ms"))
        });
        let cells = CellForm { times: times.unwrap_or_default(), integers: integers.unwrap_or_default() };
        let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).and_then(EntityTag::in_list);
        Ok(HttpForm { format, cells, coding: coding(headers), timeout: timeout.transpose()?, known })
    }
}

fn one_of<T: Copy>(name: &str, given: Option<&str>, known: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let found = known.iter().find(|(name, _)| *name == given).map(|(_, value)| *value);
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| Problem::invalid(name, format!("{given:?} is none of {}", names())))
}

/// The first of the media types that a client accepts, as it weighs them, which there is.
fn accepted(headers: &HeaderMap, offered: OfferedForms, json: RowFormat) -> Result<RowFormat, Problem> {
    let mut asked = weighed(headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()));
    if asked.is_empty() {
        return Ok(json);
    }
    // The order of equals stays.
    asked.sort_by(|one, other| other.1.total_cmp(&one.1));
    let of = |media_type: &str| {
        Some(match (media_type, offered) {
            ("*/*", _)
            | ("application/*" | "application/json", OfferedForms::Rows | OfferedForms::Message)
            | ("text/*" | "text/event-stream", OfferedForms::Events) => json,
            ("application/x-ndjson" | "application/ndjson" | "application/jsonl", OfferedForms::Rows) => RowFormat::NdJson,
            ("text/csv" | "text/*", OfferedForms::Rows) => RowFormat::Csv,
            ("application/vnd.apache.arrow.stream", OfferedForms::Rows) => RowFormat::Arrow,
            ("application/vnd.apache.parquet", OfferedForms::Rows) => RowFormat::Parquet,
            _ => return None,
        })
    };
    let found = asked.iter().filter(|(_, weight)| *weight > 0.0).find_map(|(media_type, _)| of(media_type));
    found.ok_or_else(|| Problem::not_acceptable(offered))
}

fn coding(headers: &HeaderMap) -> Option<BodyCoding> {
    let asked = weighed(headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()));
    let takes = |name: &str| asked.iter().any(|(coding, weight)| coding == name && *weight > 0.0);
    if takes("zstd") { Some(BodyCoding::Zstd) } else { takes("gzip").then_some(BodyCoding::Gzip) }
}

/// Parts of a list of a header, in lower case, with their weights.
fn weighed<'a>(lists: impl Iterator<Item = &'a str>) -> Vec<(String, f32)> {
    let one = |part: &str| {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default().to_ascii_lowercase();
        let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok());
        (name, weight.unwrap_or(0.0))
    };
    lists.flat_map(|list| list.split(',')).map(one).filter(|(name, _)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(parameters: &str, accept: Option<&str>) -> Result<HttpForm, String> {
        options_of(OfferedForms::Rows, parameters, accept)
    }

    fn options_of(offered: OfferedForms, parameters: &str, accept: Option<&str>) -> Result<HttpForm, String> {
        let parameters: Vec<(String, String)> =
            parameters.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        HttpForm::of(&parameters, &headers, offered).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list_of_them() {
        let tag = EntityTag::of(b"an answer");
        let text = tag.text();
        for list in [text.clone(), format!("W/{text}"), format!("\"other\", {text} , \"x\"")] {
            assert_eq!(EntityTag::in_list(&list), Some(tag), "{list}");
        }
        for list in ["", "*", "\"0\"", &text[1..], "abc"] {
            assert_eq!(EntityTag::in_list(list), None, "{list}");
        }
        assert_ne!(tag, EntityTag::of(b"another answer"));
    }

    #[test]
    fn the_format_is_what_the_address_says_and_else_what_is_accepted() {
        let format = |parameters, accept| options(parameters, accept).map(|options| options.format);
        assert_eq!(format("", None), Ok(RowFormat::JsonColumns));
        assert_eq!(format("shape=rows", Some("*/*")), Ok(RowFormat::JsonRows));
        assert_eq!(format("", Some("text/html, application/json;q=0.5, text/csv;q=0.9")), Ok(RowFormat::Csv));
        assert_eq!(format("format=arrow", Some("text/csv")), Ok(RowFormat::Arrow));
        assert_eq!(format("", Some("application/x-ndjson")), Ok(RowFormat::NdJson));
        assert_eq!(format("", Some("application/vnd.apache.parquet")), Ok(RowFormat::Parquet));
        assert!(format("", Some("image/png")).is_err());
        assert!(format("", Some("text/csv;q=0")).is_err());
        assert_eq!(format("format=xml", None).unwrap_err(), "format: \"xml\" is none of json, ndjson, csv, arrow, parquet");
        assert_eq!(format("format=csv&format=json", None).unwrap_err(), "format: is there twice");
    }

    #[test]
    fn a_path_offers_what_it_has() {
        use OfferedForms::{Events, Message, Rows};
        for (accept, takers) in [
            ("text/event-stream", &[Events][..]),
            ("text/csv", &[Rows]),
            ("application/json", &[Rows, Message]),
            ("*/*", &[Rows, Message, Events]),
        ] {
            for offered in [Rows, Message, Events] {
                assert_eq!(options_of(offered, "", Some(accept)).is_ok(), takers.contains(&offered), "{accept} {offered:?}");
            }
        }
        assert!(options_of(Message, "format=csv", None).is_err() && options_of(Message, "format=json", None).is_ok());
    }

    #[test]
    fn a_timeout_is_a_length_of_time() {
        assert_eq!(options("timeout=1.5s", None).unwrap().timeout, Some(Duration::from_millis(1_500)));
        for none in ["soon", "", "0s", "-1s"] {
            assert!(options(&format!("timeout={none}"), None).is_err(), "{none}");
        }
    }
}
