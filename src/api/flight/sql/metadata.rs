//! Catalog calls of Flight SQL: what there is to be read. One catalog with one schema and the tables of `historian_sql`; BI tools and drivers ask
//! for it before they show anything.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_flight::sql::{Command, CommandGetPrimaryKeys};
use tonic::Status;

use super::{info, tables};
use crate::{ApiLimits, status};
use historian_model::TagScope;
use historian_sql::{CATALOG, INFORMATION_SCHEMA, SCHEMA, SqlEngine};

/// Columns that tell the rows of a table apart.
const PRIMARY_KEYS: [(&str, &[&str]); 7] = [
    ("annotations", &["tag", "id"]),
    ("current", &["tag"]),
    ("daily", &["tag", "start"]),
    ("gaps", &["number"]),
    ("hourly", &["tag", "start"]),
    ("samples", &["tag", "timestamp"]),
    ("tags", &["name"]),
];

/// Schema of the answer to a catalog call.
///
/// # Errors
/// As [`batch`].
pub fn schema(command: &Command, engine: &SqlEngine, scope: &TagScope, limits: &ApiLimits) -> Result<SchemaRef, Status> {
    // The answers are small: made twice rather than told twice.
    batch(command.clone(), engine, scope, limits).map(|batch| batch.schema())
}

/// The answer to a catalog call of who sees the tags of a scope.
///
/// # Errors
/// `INVALID_ARGUMENT` for a command that is none, or asks for something that cannot be told.
pub fn batch(command: Command, engine: &SqlEngine, scope: &TagScope, limits: &ApiLimits) -> Result<RecordBatch, Status> {
    match command {
        Command::CommandGetCatalogs(query) => {
            let mut builder = query.into_builder();
            builder.append(CATALOG);
            builder.build().map_err(|error| failed(&error))
        }
        Command::CommandGetDbSchemas(query) => {
            let mut builder = query.into_builder();
            builder.append(CATALOG, INFORMATION_SCHEMA);
            builder.append(CATALOG, SCHEMA);
            builder.build().map_err(|error| failed(&error))
        }
        Command::CommandGetTables(query) => tables::batch(query, engine, scope).map_err(|error| failed(&error)),
        Command::CommandGetTableTypes(query) => {
            let mut builder = query.into_builder();
            for kind in tables::TYPES {
                builder.append(kind);
            }
            builder.build().map_err(|error| failed(&error))
        }
        Command::CommandGetSqlInfo(query) => info::asked(&query.info, limits).map_err(status::internal),
        Command::CommandGetXdbcTypeInfo(query) => {
            info::types().map_err(status::internal)?.record_batch(query.data_type).map_err(|error| failed(&error))
        }
        Command::CommandGetPrimaryKeys(query) => primary_keys(&query).map_err(|error| failed(&error)),
        Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
            Ok(RecordBatch::new_empty(foreign_keys_schema()))
        }
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) | Command::CommandStatementIngest(_) => {
            Err(status::invalid("descriptor", "SQL reads only; write samples with DoPut and {\"write\": {…}} or WriteService"))
        }
        Command::CommandStatementSubstraitPlan(_) => Err(status::unimplemented("Substrait plans are not in this version; send SQL")),
        other => {
            let name = other.type_url().rsplit('.').next().unwrap_or_default().to_owned();
            Err(status::invalid("descriptor", format!("{name} is no query")))
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Status {
    status::internal(error.to_string())
}

fn primary_keys(query: &CommandGetPrimaryKeys) -> Result<RecordBatch, ArrowError> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let schema = Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]));
    let here = query.catalog.as_deref().is_none_or(|name| name == CATALOG) && query.db_schema.as_deref().is_none_or(|name| name == SCHEMA);
    let key = PRIMARY_KEYS.iter().find(|(table, _)| here && *table == query.table);
    let columns = key.map_or(&[][..], |(_, columns)| columns);
    let repeated = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; columns.len()])) };
    RecordBatch::try_new(
        schema,
        vec![
            repeated(CATALOG),
            repeated(SCHEMA),
            repeated(&query.table),
            Arc::new(StringArray::from(columns.to_vec())),
            repeated("primary"),
            Arc::new((1..).take(columns.len()).collect::<Int32Array>()),
        ],
    )
}

fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}
