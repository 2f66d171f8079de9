//! A statement, and what is told of it and of tables.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use historian_model::Timestamp;

/// A statement and the moment that counts as its present time.
#[derive(Clone, Debug)]
pub struct Statement {
    pub text: String,
    /// What `now()` and relative times such as `*-8h` mean.
    pub now: Timestamp,
    /// Values of `$1`, `$2`, …; empty when the statement has none.
    pub parameters: Vec<ScalarValue>,
    /// The zone of civil times, by its IANA name: what hours and days are, and what a time without a zone means. Empty: UTC.
    pub zone: Arc<str>,
}

/// What is known of a statement before it runs.
#[derive(Clone, Debug)]
pub struct Description {
    /// Columns of the answer: of that with the values of the statement, or with values of the types below.
    pub schema: SchemaRef,
    /// Fields named `$1`, `$2`, …; the type is Null where the statement does not tell it, and is taken for text then.
    pub parameters: SchemaRef,
}

/// One table as a catalog tells it.
#[derive(Clone, Debug)]
pub struct TableDescription {
    /// [`crate::SCHEMA`] or [`crate::INFORMATION_SCHEMA`].
    pub schema_name: &'static str,
    pub name: String,
    /// It tells of tables.
    pub is_system: bool,
    pub schema: SchemaRef,
    /// What it is.
    pub remark: String,
    /// What its columns are, in the order of the schema.
    pub column_remarks: Vec<String>,
}
