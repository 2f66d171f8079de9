//! The one place that turns errors into gRPC status, with `google.rpc` details for programs and a message for people.
//!
//! Which code says what: `UNAUTHENTICATED`, `PERMISSION_DENIED` – who asks; `INVALID_ARGUMENT` – the request can never work as it is; `NOT_FOUND`, `ALREADY_EXISTS` – tags; `RESOURCE_EXHAUSTED` –
//! ask for less, or later; `DEADLINE_EXCEEDED`; `DATA_LOSS` – stored bytes are damaged; UNAVAILABLE – the historian cannot serve now, retry;
//! UNIMPLEMENTED – not in this version. INTERNAL is kept for our own bugs and failures of the store.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{metrics::code_name, reload::ReloadError};
use historian_model::{selection::InvalidSelection, sink::WriteError, tag::InvalidTagName, time::InvalidTime};
use historian_query::{OutOfMemory, QueryError};
use historian_sql::SqlError;
use historian_store::{CatalogError, NoteError, StoreError, backup::BackupError, scrub::ScrubError};

/// `domain` of every `google.rpc.ErrorInfo` of this service.
pub const DOMAIN: &str = "historian";

/// Longest message in bytes. Messages travel in an HTTP/2 header, of which gRPC clients take 8 KiB by default.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Status with a message cut to what fits in a header, an `ErrorInfo`, and further details.
fn status(code: Code, reason: &str, message: &str, mut details: ErrorDetails) -> Status {
    details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
    Status::with_error_details(code, shortened(message), details)
}

/// Problems of a configuration that are told one by one, and the bytes of each: all of them travel in a header.
const VIOLATIONS_MAX: usize = 8;
const VIOLATION_BYTES_MAX: usize = 300;

/// A text cut to what a message has room for.
pub fn shortened(message: &str) -> String {
    shortened_to(message, MESSAGE_BYTES_MAX)
}

fn shortened_to(message: &str, bytes_max: usize) -> String {
    if message.len() <= bytes_max {
        return message.to_owned();
    }
    let mut end = bytes_max;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

/// `INVALID_ARGUMENT` at one field of the request.
pub fn invalid(field: &str, message: impl AsRef<str>) -> Status {
    let message = message.as_ref();
    let details = ErrorDetails::with_bad_request_violation(field, shortened(message));
    let text = if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") };
    status(Code::InvalidArgument, "INVALID_REQUEST", &text, details)
}

/// `NOT_FOUND` for tags; names the first five.
pub fn tags_not_found(names: &[String]) -> Status {
    let shown = names.iter().take(5).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
    let message = format!("there is no tag {shown}{more}");
    let first = names.first().map_or("", String::as_str);
    let details = ErrorDetails::with_resource_info("historian.v1.Tag", shortened(first), "", "not in the catalog");
    status(Code::NotFound, "TAG_NOT_FOUND", &message, details)
}

/// `UNAUTHENTICATED`: it is not known who calls.
pub fn unauthenticated(message: impl AsRef<str>) -> Status {
    status(Code::Unauthenticated, "UNAUTHENTICATED", message.as_ref(), ErrorDetails::new())
}

/// `PERMISSION_DENIED`: who calls may not do this.
pub fn denied(message: impl AsRef<str>) -> Status {
    status(Code::PermissionDenied, "PERMISSION_DENIED", message.as_ref(), ErrorDetails::new())
}

/// A refusal for the log.
pub fn in_words(refused: &Status) -> String {
    format!("refused: {} ({})", refused.message(), code_name(refused.code()))
}

/// UNIMPLEMENTED with what this version can do instead.
pub fn unimplemented(message: impl AsRef<str>) -> Status {
    status(Code::Unimplemented, "NOT_IN_THIS_VERSION", message.as_ref(), ErrorDetails::new())
}

/// `RESOURCE_EXHAUSTED` because too much runs at once; the same request may work later.
pub fn busy(message: impl AsRef<str>) -> Status {
    status(Code::ResourceExhausted, "BUSY", message.as_ref(), ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
}

/// `RESOURCE_EXHAUSTED` because the request asks for more than `limit_name` allows; repeating it does not help.
pub fn too_much(limit_name: &str, message: impl AsRef<str>) -> Status {
    let details = ErrorDetails::with_quota_failure_violation(limit_name, shortened(message.as_ref()));
    status(Code::ResourceExhausted, "LIMIT", message.as_ref(), details)
}

/// `DEADLINE_EXCEEDED`.
pub fn deadline(message: impl AsRef<str>) -> Status {
    status(Code::DeadlineExceeded, "DEADLINE", message.as_ref(), ErrorDetails::new())
}

/// `OUT_OF_RANGE`: what is asked for is not there any more, or not yet.
pub fn out_of_range(message: impl AsRef<str>) -> Status {
    status(Code::OutOfRange, "OUT_OF_RANGE", message.as_ref(), ErrorDetails::new())
}

/// UNAVAILABLE, with what to do.
pub fn unavailable(message: impl AsRef<str>) -> Status {
    status(Code::Unavailable, "STOPPING", message.as_ref(), ErrorDetails::with_retry_info(Some(Duration::from_secs(2))))
}

/// UNAVAILABLE: the keys of the identity provider have never been read, so no token of it can be checked.
pub fn no_keys() -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(5)));
    status(Code::Unavailable, "NO_KEYS", "the keys of the identity provider have not been read yet; try again", details)
}

/// UNAVAILABLE: the historian is stopping.
pub fn stopping() -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
    status(Code::Unavailable, "STOPPING", "the historian is stopping; connect again when it is back", details)
}

/// INTERNAL: our own fault.
pub fn internal(message: impl AsRef<str>) -> Status {
    status(Code::Internal, "INTERNAL", message.as_ref(), ErrorDetails::new())
}

pub fn from_write(error: &WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::UnknownTag(_) => {
            let details = ErrorDetails::with_resource_info("historian.v1.Tag", "", "", "deleted while it was written");
            status(Code::NotFound, "TAG_NOT_FOUND", &message, details)
        }
        WriteError::WrongType { tag, .. } => {
            let details = ErrorDetails::with_bad_request_violation(shortened(tag), shortened(&message));
            status(Code::InvalidArgument, "WRONG_TYPE", &message, details)
        }
        WriteError::TooLarge { .. } => status(
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            &message,
            ErrorDetails::with_bad_request_violation("samples", shortened(&message)),
        ),
        WriteError::Encode(_) => status(
            Code::InvalidArgument,
            "NOT_ENCODABLE",
            &message,
            ErrorDetails::with_bad_request_violation("samples", shortened(&message)),
        ),
        WriteError::Rejected { .. } => status(
            Code::InvalidArgument,
            "SAMPLES_REJECTED",
            &message,
            ErrorDetails::with_bad_request_violation("samples", shortened(&message)),
        ),
        WriteError::Full(_) => {
            status(Code::ResourceExhausted, "NO_ROOM", &message, ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
        }
        WriteError::Stopped(_) => {
            status(Code::Unavailable, "WRITES_STOPPED", &message, ErrorDetails::with_retry_info(Some(Duration::from_secs(10))))
        }
    }
}

pub fn from_query(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Invalid(_) => {
            status(Code::InvalidArgument, "INVALID_QUERY", &message, ErrorDetails::with_bad_request_violation("query", shortened(&message)))
        }
        QueryError::Deadline => deadline(message),
        QueryError::TooManyRows(_) => too_much("rows_max", message),
        QueryError::Cancelled => Status::cancelled(message),
        QueryError::DataLoss { .. } => status(Code::DataLoss, "DATA_LOSS", &message, ErrorDetails::new()),
        QueryError::Memory(OutOfMemory::Budget { .. }) => too_much("query_memory_bytes_max", message),
        QueryError::Memory(OutOfMemory::Pool { .. }) => busy(message),
        QueryError::Repeat(_) => {
            status(Code::Unavailable, "STORE_REOPENED", &message, ErrorDetails::with_retry_info(Some(Duration::from_millis(100))))
        }
        QueryError::NoRoom(_) => {
            status(Code::ResourceExhausted, "NO_ROOM", &message, ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
        }
        QueryError::Store(_) | QueryError::Bug => internal(message),
    }
}

pub fn from_sql(error: &SqlError) -> Status {
    let message = error.to_string();
    match error {
        SqlError::Invalid(_) => {
            status(Code::InvalidArgument, "INVALID_SQL", &message, ErrorDetails::with_bad_request_violation("query", shortened(&message)))
        }
        SqlError::ReadOnly(_) => {
            status(Code::InvalidArgument, "READ_ONLY", &message, ErrorDetails::with_bad_request_violation("query", shortened(&message)))
        }
        SqlError::Memory(_) => too_much("sql_memory_bytes_max", message),
        SqlError::TooManyScans(_) => too_much("scans", message),
        SqlError::Busy(_) => busy(message),
        SqlError::Query(error) => from_query(error),
        SqlError::Internal(_) => internal(message),
    }
}

/// `NOT_FOUND` for something that was kept and no longer is.
pub fn gone(reason: &str, message: impl AsRef<str>) -> Status {
    status(Code::NotFound, reason, message.as_ref(), ErrorDetails::new())
}

pub fn from_catalog(error: &CatalogError) -> Status {
    let message = error.to_string();
    match error {
        CatalogError::Exists(name) => {
            let details = ErrorDetails::with_resource_info("historian.v1.Tag", shortened(name), "", "exists already");
            status(Code::AlreadyExists, "TAG_EXISTS", &message, details)
        }
        CatalogError::NotFound(name) => tags_not_found(std::slice::from_ref(name)),
        CatalogError::Changed(_) => status(Code::Aborted, "OTHER_VERSION", &message, ErrorDetails::new()),
        CatalogError::Invalid { .. } => invalid("tag", message),
        CatalogError::Full { .. } => too_much("tags_max", message),
        CatalogError::StatesFull { .. } => too_much("states_bytes_max", message),
        CatalogError::Store(StoreError::Full(_)) => {
            status(Code::ResourceExhausted, "NO_ROOM", &message, ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
        }
        CatalogError::Store(_) => internal(message),
    }
}

/// Why a note was not taken.
pub fn from_note(error: &NoteError) -> Status {
    let message = error.to_string();
    match error {
        NoteError::NotFound { what, id } => note_not_found(what, *id),
        NoteError::OtherVersion { .. } => status(Code::Aborted, "OTHER_VERSION", &message, ErrorDetails::new()),
        NoteError::NameTaken(name) => {
            let details = ErrorDetails::with_resource_info("historian.v1.SavedView", shortened(name), "", "exists already");
            status(Code::AlreadyExists, "VIEW_EXISTS", &message, details)
        }
        NoteError::Invalid { field, reason } => invalid(field, reason),
        NoteError::Full(_) => too_much("notes_max", message),
        NoteError::Store(StoreError::Full(_)) => {
            status(Code::ResourceExhausted, "NO_ROOM", &message, ErrorDetails::with_retry_info(Some(Duration::from_secs(1))))
        }
        NoteError::Store(error) => from_store(error),
    }
}

/// There is no such note, or none that the caller sees.
pub fn note_not_found(what: &str, id: u64) -> Status {
    let details = ErrorDetails::with_resource_info(format!("historian.v1.{what}"), id.to_string(), "", "there is none");
    status(Code::NotFound, "NOTE_NOT_FOUND", &format!("there is no {what} {id}"), details)
}

/// Failures of a backup, its verification, or a scrub.
pub fn from_backup(error: &BackupError) -> Status {
    let message = error.to_string();
    match error {
        BackupError::Damaged { .. } => status(Code::DataLoss, "DATA_LOSS", &message, ErrorDetails::new()),
        BackupError::Empty(_) | BackupError::Unknown { .. } => {
            let details = ErrorDetails::with_resource_info("historian.v1.Backup", "", "", "not in the directory of backups");
            status(Code::NotFound, "BACKUP_NOT_FOUND", &message, details)
        }
        BackupError::Busy(_) => busy(message),
        BackupError::Cancelled => Status::cancelled(message),
        BackupError::Store(_) => internal(message),
        // A disk that is full or not there: the operator's to mend, then the same call works.
        _ => failed_precondition("BACKUP_DIRECTORY", message),
    }
}

pub fn from_scrub(error: &ScrubError) -> Status {
    match error {
        ScrubError::Busy => busy(error.to_string()),
        ScrubError::Store(error) => from_store(error),
        ScrubError::Cancelled => Status::cancelled(error.to_string()),
    }
}

/// A configuration that was not applied: a violation for each problem, as far as they fit.
pub fn from_reload(error: &ReloadError) -> Status {
    match error {
        ReloadError::NotReloadable => failed_precondition("NOT_RELOADABLE", error.to_string()),
        ReloadError::Refused(problems) => {
            let mut details = ErrorDetails::new();
            for problem in problems.iter().take(VIOLATIONS_MAX) {
                details.add_bad_request_violation("configuration", shortened_to(problem, VIOLATION_BYTES_MAX));
            }
            status(Code::FailedPrecondition, "CONFIGURATION_REFUSED", &error.to_string(), details)
        }
        ReloadError::Failed(_) => status(Code::FailedPrecondition, "RELOAD_FAILED", &error.to_string(), ErrorDetails::new()),
    }
}

/// `FAILED_PRECONDITION`: what the operator must do before the same call works.
pub fn failed_precondition(reason: &str, message: impl AsRef<str>) -> Status {
    status(Code::FailedPrecondition, reason, message.as_ref(), ErrorDetails::new())
}

pub fn from_store(error: &StoreError) -> Status {
    match error {
        StoreError::Corrupt { .. } => status(Code::DataLoss, "DATA_LOSS", &error.to_string(), ErrorDetails::new()),
        error => internal(error.to_string()),
    }
}

pub fn from_time(field: &str, error: &InvalidTime) -> Status {
    invalid(field, error.to_string())
}

pub fn from_selection(error: &InvalidSelection) -> Status {
    invalid("tags", error.to_string())
}

pub fn from_name(field: &str, error: &InvalidTagName) -> Status {
    invalid(field, error.to_string())
}

/// A blocking task that did not end: it panicked, or the runtime is stopping.
pub fn from_join(error: &tokio::task::JoinError) -> Status {
    if error.is_panic() {
        internal("a bug stopped this request; please report it with the lines of the log at this time")
    } else {
        stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_name_the_field_and_messages_stay_short() {
        let status = invalid("range.start", "x".repeat(5000));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().len() < 1100);
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "range.start");
        assert_eq!(details.error_info().unwrap().domain, DOMAIN);
    }

    #[test]
    fn what_may_work_later_says_when() {
        for status in [from_write(&WriteError::Stopped("disk full".into())), busy("many"), stopping()] {
            assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
        }
        assert!(from_query(&QueryError::TooManyRows(7)).get_error_details().retry_info().is_none());
    }

    #[test]
    fn missing_tags_are_named_up_to_five() {
        let names: Vec<String> = (0..7).map(|n| format!("a/{n}")).collect();
        let status = tags_not_found(&names);
        assert!(status.message().contains("\"a/4\" and 2 more"), "{}", status.message());
    }
}
