//! Catalog calls of Flight SQL: what there is to be read. One catalog with one schema and the tables of `query::sql`; BI tools and drivers ask
//! for it before they show anything.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_flight::sql::{
    Command, CommandGetPrimaryKeys, Nullable, Searchable, SqlInfo, SqlSupportedCaseSensitivity, XdbcDataType,
    metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
};
use tonic::Status;

use super::tables;
use crate::{
    api::status,
    query::sql::{CATALOG, INFORMATION_SCHEMA, SCHEMA, SqlEngine},
};

/// Columns that tell the rows of a table apart.
const PRIMARY_KEYS: [(&str, &[&str]); 6] = [
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
pub fn schema(command: &Command, engine: &SqlEngine) -> Result<SchemaRef, Status> {
    // The answers are small: made twice rather than told twice.
    batch(command.clone(), engine).map(|batch| batch.schema())
}

/// The answer to a catalog call.
///
/// # Errors
/// `INVALID_ARGUMENT` for a command that is none, or asks for something that cannot be told.
pub fn batch(command: Command, engine: &SqlEngine) -> Result<RecordBatch, Status> {
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
        Command::CommandGetTables(query) => tables::batch(query, engine).map_err(|error| failed(&error)),
        Command::CommandGetTableTypes(query) => {
            let mut builder = query.into_builder();
            for kind in tables::TYPES {
                builder.append(kind);
            }
            builder.build().map_err(|error| failed(&error))
        }
        Command::CommandGetSqlInfo(query) => match SQL_INFO.as_ref() {
            Ok(info) => info.record_batch(query.info).map_err(|error| failed(&error)),
            Err(error) => Err(status::internal(error)),
        },
        Command::CommandGetXdbcTypeInfo(query) => match XDBC_TYPES.as_ref() {
            Ok(types) => types.record_batch(query.data_type).map_err(|error| failed(&error)),
            Err(error) => Err(status::internal(error)),
        },
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

static SQL_INFO: LazyLock<Result<SqlInfoData, String>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "historian");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    // Of the Arrow format, not of a library.
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, 0_i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlKeywords, &[][..] as &[&str]);
    info.append(SqlInfo::SqlNumericFunctions, &["abs", "ceil", "floor", "ln", "log10", "power", "round", "sqrt"][..]);
    info.append(
        SqlInfo::SqlStringFunctions,
        &["concat", "left", "length", "lower", "replace", "split_part", "substr", "trim", "upper"][..],
    );
    info.append(SqlInfo::SqlDatetimeFunctions, &["date_bin", "date_part", "date_trunc", "now", "time_bucket"][..]);
    info.append(SqlInfo::SqlSystemFunctions, &["is_bad", "is_good", "is_uncertain"][..]);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    info.build().map_err(|error| error.to_string())
});

static XDBC_TYPES: LazyLock<Result<XdbcTypeInfoData, String>> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, column_size, radix, unsigned, quote) in [
        ("BOOLEAN", XdbcDataType::XdbcBit, 1, None, None, None),
        ("INTEGER", XdbcDataType::XdbcInteger, 32, Some(2), Some(false), None),
        ("INTEGER UNSIGNED", XdbcDataType::XdbcInteger, 32, Some(2), Some(true), None),
        ("BIGINT", XdbcDataType::XdbcBigint, 64, Some(2), Some(false), None),
        ("BIGINT UNSIGNED", XdbcDataType::XdbcBigint, 64, Some(2), Some(true), None),
        ("REAL", XdbcDataType::XdbcReal, 24, Some(2), Some(false), None),
        ("DOUBLE", XdbcDataType::XdbcDouble, 53, Some(2), Some(false), None),
        ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX, None, None, Some("'")),
        ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29, None, None, Some("'")),
    ] {
        types.append(XdbcTypeInfo {
            type_name: name.into(),
            data_type,
            column_size: Some(column_size),
            literal_prefix: quote.map(str::to_owned),
            literal_suffix: quote.map(str::to_owned),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: quote.is_some(),
            searchable: Searchable::Full,
            unsigned_attribute: unsigned,
            auto_increment: Some(false),
            local_type_name: Some(name.into()),
            sql_data_type: data_type,
            num_prec_radix: radix,
            ..XdbcTypeInfo::default()
        });
    }
    types.build().map_err(|error| error.to_string())
});
