//! Errors as problem documents (RFC 9457), with the codes and reasons of gRPC.

use std::time::Duration;

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use hyper::ext::ReasonPhrase;
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::offered::OfferedForms;
use crate::{metrics::code_name, status};

/// Why a request is not answered.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    code: &'static str,
    reason: String,
    /// Fields, and what is wrong with each.
    violations: Box<[(String, String)]>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

/// 499 has no name in the standard.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Longest reason phrase.
const PHRASE_CHARS_MAX: usize = 200;

impl Problem {
    fn of(status: StatusCode, code: Code, reason: &str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            detail: detail.into(),
            code: code_name(code),
            reason: reason.to_owned(),
            violations: Box::default(),
            retry_after: None,
            allow: None,
        }
    }

    /// A parameter or field that cannot be answered.
    pub fn invalid(field: &str, message: impl AsRef<str>) -> Problem {
        Problem::from(status::invalid(field, message))
    }

    pub fn no_such_path() -> Problem {
        let detail = "there is no such path; /api/v1/openapi.json lists those that there are";
        Problem::of(StatusCode::NOT_FOUND, Code::Unimplemented, "NO_SUCH_PATH", detail)
    }

    pub fn method_not_allowed(allow: &'static str) -> Problem {
        let detail = format!("the path takes {allow}");
        Problem { allow: Some(allow), ..Problem::of(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, "METHOD_NOT_ALLOWED", detail) }
    }

    pub fn not_acceptable(offered: OfferedForms) -> Problem {
        let detail = match offered {
            OfferedForms::Rows => {
                "there are application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream and application/vnd.apache.parquet"
            }
            OfferedForms::Message => "there is application/json",
            OfferedForms::Events => "there is text/event-stream",
        };
        Problem::of(StatusCode::NOT_ACCEPTABLE, Code::InvalidArgument, "NOT_ACCEPTABLE", detail)
    }

    pub fn not_json() -> Problem {
        let detail = "the body of a POST is JSON, with the header content-type: application/json";
        Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "NOT_JSON", detail)
    }

    /// Where a body ends with its connection, nobody can tell a whole answer from one that was cut.
    pub fn old_version() -> Problem {
        let detail = "over HTTP/1.0 nobody can tell a whole answer from one that was cut; use HTTP/1.1, or ask for JSON in columns";
        Problem::of(StatusCode::HTTP_VERSION_NOT_SUPPORTED, Code::FailedPrecondition, "OLD_VERSION", detail)
    }

    /// A body, or an answer in columns, that is too long.
    pub fn too_long(detail: impl Into<String>) -> Problem {
        Problem::of(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "LIMIT", detail)
    }

    pub fn timed_out(detail: impl Into<String>) -> Problem {
        Problem::of(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "DEADLINE", detail)
    }

    /// Requests are answered later.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "NOT_SERVING", detail);
        Problem { retry_after: Some(Duration::from_secs(2)), ..problem }
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// As a JSON object.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("title".into(), self.status.canonical_reason().unwrap_or("Client Closed Request").into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("detail".into(), self.detail.as_str().into());
        // What tools show that do not know the standard.
        document.insert("message".into(), self.detail.as_str().into());
        document.insert("code".into(), self.code.into());
        document.insert("reason".into(), self.reason.as_str().into());
        if !self.violations.is_empty() {
            let one = |(field, description): &(String, String)| json!({ "field": field, "description": description });
            document.insert("violations".into(), self.violations.iter().map(one).collect());
        }
        document.into()
    }

    /// What tools show that drop the document.
    fn phrase(&self) -> Option<ReasonPhrase> {
        let plain = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
        let text: String = self.detail.chars().take(PHRASE_CHARS_MAX).map(plain).collect();
        ReasonPhrase::try_from(text.into_bytes()).ok()
    }
}

impl From<Status> for Problem {
    fn from(refused: Status) -> Problem {
        let status = match refused.code() {
            Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::OutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Cancelled => StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let details = refused.get_error_details();
        let reason = details.error_info().map_or_else(String::new, |info| info.reason.clone());
        let violations = details.bad_request().map(|bad| &bad.field_violations);
        Problem {
            violations: violations
                .into_iter()
                .flatten()
                .map(|violation| (violation.field.clone(), violation.description.clone()))
                .collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            ..Problem::of(status, refused.code(), &reason, refused.message())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"historian\""));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
        }
        if let Some(phrase) = self.phrase() {
            response.extensions_mut().insert(phrase);
        }
        response
    }
}
