//! What a request asks: the fields of its message, from the address or from the body, and how it is to be answered.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, Method, Version, header::CONTENT_TYPE},
};
use historian_proto::json;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    offered::OfferedForms,
    options::{HttpForm, NAMES, RowFormat},
    problem::Problem,
};

/// Longest body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Most parameters of an address.
const PARAMETERS_MAX: usize = 10_000;
/// The unit of times that are numbers, which is no field of a message.
const TIME_UNIT: &str = "time_unit";

/// What a request asks.
pub struct HttpAsked {
    pub fields: Map<String, Value>,
    pub options: HttpForm,
    pub headers: HeaderMap,
}

/// A path of the API, as far as its requests are read.
pub struct PathFields<'a> {
    /// Full name of the message.
    pub message: &'a str,
    /// Fields beside those of the message.
    pub beside: &'a [&'a str],
    /// Whether a GET without bounds means the last hours.
    pub has_bounds: bool,
    pub offered: OfferedForms,
    /// The methods that it takes.
    pub allow: &'static str,
}

impl HttpAsked {
    /// Reads a request. A body is waited for so long.
    ///
    /// # Errors
    /// Names what cannot be read.
    pub async fn read(request: Request, path: &PathFields<'_>, patience: Duration) -> Result<HttpAsked, Problem> {
        let (mut parts, body) = request.into_parts();
        // What has no body is answered like what has one, and the body left out.
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
        }
        if !path.allow.split(", ").any(|allowed| allowed == parts.method.as_str()) {
            return Err(Problem::method_not_allowed(path.allow));
        }
        let mut parameters: Vec<(String, String)> = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .take(PARAMETERS_MAX + 1)
            .map(|(name, text)| (name.into_owned(), text.into_owned()))
            .collect();
        if parameters.len() > PARAMETERS_MAX {
            return Err(Problem::too_long(format!("more than {PARAMETERS_MAX} parameters")));
        }
        let options = HttpForm::of(&parameters, &parts.headers, path.offered)?;
        parameters.retain(|(name, _)| !NAMES.contains(&name.as_str()));
        let fields = if parts.method == Method::GET {
            of_parameters(parameters, path)?
        } else {
            if let Some((name, _)) = parameters.first() {
                let message = format!("stands in the body of a POST; in the address there are {}", NAMES.join(", "));
                return Err(Problem::invalid(name, message));
            }
            if !is_json(&parts.headers) {
                return Err(Problem::not_json());
            }
            let body = tokio::time::timeout(patience, to_bytes(body, BODY_BYTES_MAX)).await;
            let body = body.map_err(|_| Problem::timed_out("the body did not come in time"))?;
            let body =
                body.map_err(|_| Problem::too_long(format!("the body has more than {BODY_BYTES_MAX} bytes, or did not come whole")))?;
            match json::parse(&body).map_err(|mistake| Problem::invalid("", format!("the JSON cannot be read: {mistake}")))? {
                Value::Object(fields) => fields,
                _ => return Err(Problem::invalid("", "the body is no JSON object")),
            }
        };
        let is_streamed = match path.offered {
            OfferedForms::Rows => options.format != RowFormat::JsonColumns,
            OfferedForms::Message => false,
            OfferedForms::Events => true,
        };
        if is_streamed && parts.version < Version::HTTP_11 {
            return Err(Problem::old_version());
        }
        Ok(HttpAsked { fields, options, headers: parts.headers })
    }

    /// Takes a field that is none of the message.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text that is no field of the message.
    ///
    /// # Errors
    /// When it is something else.
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid(name, "is no text")),
        }
    }
}

fn of_parameters(parameters: Vec<(String, String)>, path: &PathFields<'_>) -> Result<Map<String, Value>, Problem> {
    let is_beside = |name: &str| path.beside.contains(&name) || (path.has_bounds && name == TIME_UNIT);
    let (beside, of_message): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|(name, _)| is_beside(name));
    let read = json::of_parameters(path.message, &of_message).map_err(|mistake| Problem::invalid(&mistake.field, &mistake.message))?;
    let Value::Object(mut fields) = read else { return Ok(Map::new()) };
    if path.has_bounds {
        for (name, text) in [("start", "*-8h"), ("end", "*")] {
            fields.entry(name).or_insert_with(|| text.into());
        }
    }
    for (name, text) in beside {
        if fields.insert(name.clone(), text.into()).is_some() {
            return Err(Problem::invalid(&name, "is there twice"));
        }
    }
    Ok(fields)
}

/// Whether the body says that it is JSON, which no form of another site can.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}
