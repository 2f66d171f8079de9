//! Why a statement gave no (further) answer: `DataFusion`'s errors in the words of this house, one class for each thing a client can do.

use std::error::Error;

use datafusion::{common::SchemaError, error::DataFusionError};

use historian_query::QueryError;

/// Why a statement gave no (further) answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SqlError {
    /// The statement can never work as it is: syntax, names, types, values.
    #[error("{0}")]
    Invalid(String),
    /// The statement would change something.
    #[error("SQL reads only: {0}")]
    ReadOnly(String),
    #[error(
        "the statement needs more memory than sql_memory_bytes_max allows one statement, or sql_memory_total_bytes_max all of them together: {0}; \
         narrow the time range or the tags, or group by less"
    )]
    Memory(String),
    #[error("{0} statements run already, which is as many as may; try again")]
    Busy(usize),
    #[error("the statement reads tables in more than {0} places at once; join or unite fewer")]
    TooManyScans(usize),
    /// What the query engine said about the samples themselves.
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("{0}")]
    Internal(String),
}

/// `DataFusion` wraps errors in contexts, and those of our tables in `External`: what counts is the innermost that has a class of its own.
impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        if let Some(own) = ours(&error) {
            return own;
        }
        let root = error.find_root();
        let text = || message(root);
        match root {
            DataFusionError::ResourcesExhausted(text) => SqlError::Memory(first_line(&text.replace(" (DiskManager is disabled)", ""))),
            DataFusionError::Plan(text) if text.contains("not supported: ") => {
                SqlError::ReadOnly(format!("{text}; write samples with DoPut or WriteService, tags with TagService"))
            }
            // Types that do not go together are the statement's, whatever DataFusion calls them.
            DataFusionError::Internal(text) if text.contains("Failed to coerce types") => SqlError::Invalid(first_line(text)),
            DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) | DataFusionError::IoError(_) | DataFusionError::Ffi(_) => {
                SqlError::Internal(text())
            }
            _ => SqlError::Invalid(text()),
        }
    }
}

/// An error that this house put in.
fn ours(error: &DataFusionError) -> Option<SqlError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<QueryError>() {
            return Some(SqlError::Query(error.clone()));
        }
        if let Some(error) = error.downcast_ref::<SqlError>() {
            return Some(error.clone());
        }
        // `External` tells the source of what it holds and not that itself.
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(all)) => all.first().map(|first| first as &(dyn Error + 'static)),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<arrow::error::ArrowError>() {
                Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => error.source(),
            },
        };
    }
    None
}

/// An error of ours on its way through `DataFusion`.
pub fn external(error: SqlError) -> DataFusionError {
    match error {
        SqlError::Query(error) => DataFusionError::External(Box::new(error)),
        error => DataFusionError::External(Box::new(error)),
    }
}

/// Refusal of a statement at planning.
pub fn invalid(message: impl Into<String>) -> DataFusionError {
    external(SqlError::Invalid(message.into()))
}

fn message(root: &DataFusionError) -> String {
    match root {
        DataFusionError::SQL(error, _) => format!("the statement is no SQL: {error}"),
        DataFusionError::SchemaError(error, _) => unknown_column(error).unwrap_or_else(|| first_line(&error.to_string())),
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) | DataFusionError::Execution(text) => first_line(text),
        other => first_line(&other.strip_backtrace()),
    }
}

fn unknown_column(error: &SchemaError) -> Option<String> {
    let SchemaError::FieldNotFound { field, valid_fields } = error else { return None };
    let known: Vec<String> = valid_fields.iter().take(20).map(datafusion::common::Column::flat_name).collect();
    Some(format!("there is no column {}; known are {}", field.flat_name(), if known.is_empty() { "none".into() } else { known.join(", ") }))
}

/// Without the advice for programmers that follows some messages.
fn first_line(text: &str) -> String {
    let text = text.split("\n\nbacktrace: ").next().unwrap_or(text);
    text.split("This issue was likely caused by a bug").next().unwrap_or(text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_innermost_error_of_ours_is_found_through_every_wrapping() {
        let lost = || QueryError::DataLoss { tag: "a".into(), reason: "bits".into() };
        let external = || DataFusionError::External(Box::new(lost()));
        for wrapped in [
            external(),
            external().context("while it ran"),
            DataFusionError::Shared(Arc::new(external().context("join"))),
            DataFusionError::ArrowError(Box::new(arrow::error::ArrowError::ExternalError(Box::new(external()))), None),
            DataFusionError::Collection(vec![external()]),
        ] {
            let shown = wrapped.to_string();
            assert!(matches!(SqlError::from(wrapped), SqlError::Query(QueryError::DataLoss { .. })), "{shown}");
        }
    }

    #[test]
    fn classes_are_kept_apart() {
        let of = |error: DataFusionError| SqlError::from(error.context("somewhere"));
        assert!(matches!(of(DataFusionError::ResourcesExhausted("9 MB".into())), SqlError::Memory(_)));
        assert!(matches!(of(DataFusionError::Plan("DDL not supported: CreateView".into())), SqlError::ReadOnly(_)));
        assert!(matches!(of(DataFusionError::Plan("no such thing".into())), SqlError::Invalid(_)));
        assert!(matches!(of(DataFusionError::Execution("Divide by zero".into())), SqlError::Invalid(_)));
        let types = "Failed to coerce types Float64 and Boolean in BETWEEN expression";
        assert!(matches!(of(DataFusionError::Internal(types.into())), SqlError::Invalid(_)));
        assert!(matches!(of(DataFusionError::Internal("oops".into())), SqlError::Internal(_)));
    }
}
