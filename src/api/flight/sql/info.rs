//! What `GetSqlInfo` and `GetXdbcTypeInfo` tell of this server. Drivers ask for all of it when a tool asks for anything, and take a missing number
//! for a fault of their own: every number that the protocol has is told, where "none" is the answer too.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, StructArray, UnionArray},
    compute::filter_record_batch,
    datatypes::{Field, Fields, Schema, UInt32Type, UnionFields},
    error::ArrowError,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar, XdbcDataType, XdbcDatetimeSubcode,
    metadata::{SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
};

use crate::ApiLimits;

/// Words that are reserved here and not in SQL:2003.
const KEYWORDS: &[&str] = &["ANALYZE", "EXPLAIN", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "TOP"];

// Of each kind the functions that tools know by these names; information_schema.routines has all.
pub const NUMERIC_FUNCTIONS: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln", "log", "log10", "log2", "pi", "power",
    "radians", "random", "round", "signum", "sin", "sqrt", "tan", "trunc",
];
pub const STRING_FUNCTIONS: &[&str] = &[
    "ascii",
    "btrim",
    "char_length",
    "chr",
    "concat",
    "concat_ws",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "position",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substring",
    "trim",
    "upper",
];
pub const DATETIME_FUNCTIONS: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "from_unixtime",
    "make_date",
    "now",
    "time_bucket",
    "to_char",
    "to_date",
    "to_local_time",
    "to_timestamp",
    "to_unixtime",
];
pub const SYSTEM_FUNCTIONS: &[&str] = &["coalesce", "is_bad", "is_good", "is_uncertain", "nullif", "nvl", "version"];

/// `ANSI92_ENTRY_SQL` of `SupportedAnsi92SqlGrammarLevel`, which the library does not show.
const ANSI92_ENTRY: i32 = 0;

/// A mask with a bit for each ordinal.
fn bits(ordinals: &[i32]) -> i32 {
    ordinals.iter().fold(0, |mask, ordinal| mask | 1 << ordinal)
}

/// The answers to `GetSqlInfo`.
///
/// # Errors
/// When they cannot be encoded, which is a fault of this file.
fn facts(limits: &ApiLimits) -> Result<RecordBatch, String> {
    let mut info = SqlInfoDataBuilder::new();
    let milliseconds = |time: std::time::Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let read_only = bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);

    for (name, text) in [
        (SqlInfo::FlightSqlServerName, "historian"),
        (SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION")),
        // Of the Arrow format, not of a library.
        (SqlInfo::FlightSqlServerArrowVersion, "1.5"),
        (SqlInfo::FlightSqlServerSubstraitMinVersion, ""),
        (SqlInfo::FlightSqlServerSubstraitMaxVersion, ""),
        (SqlInfo::SqlIdentifierQuoteChar, "\""),
        (SqlInfo::SqlSearchStringEscape, "\\"),
        (SqlInfo::SqlExtraNameCharacters, ""),
        (SqlInfo::SqlSchemaTerm, "schema"),
        (SqlInfo::SqlProcedureTerm, "procedure"),
        (SqlInfo::SqlCatalogTerm, "catalog"),
    ] {
        info.append(name, text);
    }

    for (name, holds) in [
        (SqlInfo::FlightSqlServerReadOnly, true),
        (SqlInfo::FlightSqlServerSql, true),
        (SqlInfo::FlightSqlServerSubstrait, false),
        (SqlInfo::FlightSqlServerCancel, true),
        (SqlInfo::FlightSqlServerBulkIngestion, false),
        (SqlInfo::FlightSqlServerIngestTransactionsSupported, false),
        (SqlInfo::SqlDdlCatalog, false),
        (SqlInfo::SqlDdlSchema, false),
        (SqlInfo::SqlDdlTable, false),
        (SqlInfo::SqlAllTablesAreSelectable, true),
        (SqlInfo::SqlSupportsColumnAliasing, true),
        (SqlInfo::SqlNullPlusNullIsNull, true),
        (SqlInfo::SqlSupportsTableCorrelationNames, true),
        // An alias may be the name of another table.
        (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
        (SqlInfo::SqlSupportsOrderByUnrelated, true),
        (SqlInfo::SqlSupportsLikeEscapeClause, true),
        (SqlInfo::SqlSupportsNonNullableColumns, true),
        (SqlInfo::SqlSupportsIntegrityEnhancementFacility, false),
        (SqlInfo::SqlCatalogAtStart, true),
        (SqlInfo::SqlSelectForUpdateSupported, false),
        (SqlInfo::SqlStoredProceduresSupported, false),
        (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
        (SqlInfo::SqlMaxRowSizeIncludesBlobs, false),
        (SqlInfo::SqlTransactionsSupported, false),
        (SqlInfo::SqlDataDefinitionCausesTransactionCommit, false),
        (SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false),
        // Of updates, which there are none of.
        (SqlInfo::SqlBatchUpdatesSupported, false),
        (SqlInfo::SqlSavepointsSupported, false),
        (SqlInfo::SqlNamedParametersSupported, false),
        (SqlInfo::SqlLocatorsUpdateCopy, false),
        (SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false),
    ] {
        info.append(name, holds);
    }

    for (name, value) in [
        (SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32),
        (SqlInfo::FlightSqlServerStatementTimeout, milliseconds(limits.prepared_statement_idle)),
        (SqlInfo::FlightSqlServerTransactionTimeout, 0),
        (SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32),
        (SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32),
        (SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32),
        (
            SqlInfo::SqlSupportedGroupBy,
            bits(&[SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32]),
        ),
        // Of what these levels say of reading; SqlInfo 3 and 500 to 502 say that there is nothing else.
        (SqlInfo::SqlSupportedGrammar, bits(&[SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32])),
        (SqlInfo::SqlAnsi92SupportedLevel, bits(&[ANSI92_ENTRY])),
        // An ordinal by the protocol's text, a mask for all who write and read it.
        (
            SqlInfo::SqlOuterJoinsSupportLevel,
            bits(&[SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as i32, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32]),
        ),
        (SqlInfo::SqlSchemasSupportedActions, 0),
        (SqlInfo::SqlCatalogsSupportedActions, 0),
        (SqlInfo::SqlSupportedPositionedCommands, 0),
        (
            SqlInfo::SqlSupportedSubqueries,
            bits(&[
                SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
                SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
                SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
            ]),
        ),
        (SqlInfo::SqlSupportedUnions, bits(&[SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32])),
        (SqlInfo::SqlSupportedTransactionsIsolationLevels, bits(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32])),
        (SqlInfo::SqlSupportedResultSetTypes, bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32])),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0),
    ] {
        info.append(name, value);
    }

    // Zero: without a limit of its own, or not known.
    for name in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(name, 0_i64);
    }
    // An int32 by the protocol's text, an int64 for those who write and read it.
    info.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(SqlTransactionIsolationLevel::SqlTransactionNone as i32));

    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    let built = info.build().and_then(|data| data.record_batch(None)).map_err(|error| error.to_string())?;
    with_keys_and_values(&built).map_err(|error| error.to_string())
}

/// The map in the column of values with the names that the protocol gives its parts, key and value: Java's readers go by them, and the
/// library calls them otherwise.
fn with_keys_and_values(facts: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (fields, type_ids, offsets, children) = facts.column(1).as_union().clone().into_parts();
    let children = children.into_iter().map(|child| {
        let Some(map) = child.as_map_opt() else { return Ok(child) };
        let (_, offsets, entries, nulls, ordered) = map.clone().into_parts();
        let (_, columns, entry_nulls) = entries.into_parts();
        let named = ["key", "value"].into_iter().zip(&columns);
        let fields: Fields = named.map(|(name, column)| Field::new(name, column.data_type().clone(), name == "value")).collect();
        let entries = StructArray::try_new(fields, columns, entry_nulls)?;
        let field = Field::new("entries", entries.data_type().clone(), false);
        Ok::<_, ArrowError>(Arc::new(MapArray::try_new(Arc::new(field), offsets, entries, nulls, ordered)?) as ArrayRef)
    });
    let children = children.collect::<Result<Vec<_>, _>>()?;
    let named = fields.iter().zip(&children);
    let fields: UnionFields =
        named.map(|((id, field), child)| (id, Arc::new(Field::clone(field).with_data_type(child.data_type().clone())))).collect();
    let union = UnionArray::try_new(fields, type_ids, offsets, children)?;
    let schema = Schema::new(vec![facts.schema().field(0).clone(), Field::new("value", union.data_type().clone(), false)]);
    RecordBatch::try_new(Arc::new(schema), vec![facts.column(0).clone(), Arc::new(union)])
}

/// Those of the answers that are asked for; all when none is named.
///
/// # Errors
/// As [`facts`].
pub fn asked(asked: &[u32], limits: &ApiLimits) -> Result<RecordBatch, String> {
    let all = facts(limits)?;
    let numbers = all.column(0).as_primitive::<UInt32Type>();
    let wanted: BooleanArray = numbers.values().iter().map(|number| Some(asked.is_empty() || asked.contains(number))).collect();
    filter_record_batch(&all, &wanted).map_err(|error| error.to_string())
}

/// Which type can be cast to which.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Type;
    let numbers = [
        Type::SqlConvertTinyint,
        Type::SqlConvertSmallint,
        Type::SqlConvertInteger,
        Type::SqlConvertBigint,
        Type::SqlConvertReal,
        Type::SqlConvertFloat,
        Type::SqlConvertDecimal,
        Type::SqlConvertNumeric,
    ];
    let texts = [Type::SqlConvertChar, Type::SqlConvertVarchar, Type::SqlConvertLongvarchar];
    let moments = [Type::SqlConvertDate, Type::SqlConvertTimestamp];
    let ordinals = |groups: &[&[Type]]| groups.iter().flat_map(|group| group.iter().map(|of| *of as i32)).collect::<Vec<_>>();
    let bit = [Type::SqlConvertBit];
    let mut table = BTreeMap::new();
    for of in numbers {
        table.insert(of as i32, ordinals(&[&numbers, &texts, &bit]));
    }
    for of in texts {
        table.insert(of as i32, ordinals(&[&numbers, &texts, &bit, &moments]));
    }
    for of in moments {
        table.insert(of as i32, ordinals(&[&texts, &moments]));
    }
    table.insert(Type::SqlConvertBit as i32, ordinals(&[&numbers, &texts, &bit]));
    table
}

/// The answers to `GetXdbcTypeInfo`: the types that columns have, and those that can be cast to.
///
/// # Errors
/// As [`facts`].
pub fn types() -> Result<XdbcTypeInfoData, String> {
    use XdbcDataType as Type;
    let mut types = XdbcTypeInfoDataBuilder::new();
    let texts = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    for (name, data_type, column_size) in [
        ("TINYINT", Type::XdbcTinyint, 3),
        ("SMALLINT", Type::XdbcSmallint, 5),
        ("INTEGER", Type::XdbcInteger, 10),
        ("BIGINT", Type::XdbcBigint, 19),
        ("DECIMAL", Type::XdbcDecimal, 38),
        ("REAL", Type::XdbcReal, 24),
        ("DOUBLE", Type::XdbcDouble, 53),
        ("BOOLEAN", Type::XdbcBit, 1),
        ("VARCHAR", Type::XdbcVarchar, i32::MAX),
        ("DATE", Type::XdbcDate, 10),
        ("TIME", Type::XdbcTime, 18),
        ("TIMESTAMP", Type::XdbcTimestamp, 29),
        ("VARBINARY", Type::XdbcVarbinary, i32::MAX),
    ] {
        let is_text = data_type == Type::XdbcVarchar;
        let is_decimal = data_type == Type::XdbcDecimal;
        let (prefix, suffix) = match data_type {
            Type::XdbcVarchar => (Some("'"), Some("'")),
            Type::XdbcDate => (Some("DATE '"), Some("'")),
            Type::XdbcTime => (Some("TIME '"), Some("'")),
            Type::XdbcTimestamp => (Some("TIMESTAMP '"), Some("'")),
            Type::XdbcVarbinary => (Some("X'"), Some("'")),
            _ => (None, None),
        };
        let subcode = match data_type {
            Type::XdbcTime => Some(XdbcDatetimeSubcode::XdbcSubcodeTime),
            Type::XdbcTimestamp => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
            _ => None,
        };
        // Of exact numbers in digits, of floats in bits.
        let radix = match data_type {
            Type::XdbcReal | Type::XdbcDouble => Some(2),
            Type::XdbcTinyint | Type::XdbcSmallint | Type::XdbcInteger | Type::XdbcBigint | Type::XdbcDecimal => Some(10),
            _ => None,
        };
        let (minimum_scale, maximum_scale) = match data_type {
            Type::XdbcDecimal => (Some(0), Some(38)),
            Type::XdbcTime | Type::XdbcTimestamp => (Some(0), Some(9)),
            _ if radix == Some(10) => (Some(0), Some(0)),
            _ => (None, None),
        };
        types.append(XdbcTypeInfo {
            type_name: name.into(),
            data_type,
            column_size: Some(column_size),
            literal_prefix: prefix.map(str::to_owned),
            literal_suffix: suffix.map(str::to_owned),
            create_params: is_decimal.then(|| texts(&["precision", "scale"])),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: is_text,
            searchable: Searchable::Full,
            unsigned_attribute: radix.map(|_| false),
            fixed_prec_scale: false,
            auto_increment: radix.map(|_| false),
            local_type_name: Some(name.into()),
            minimum_scale,
            maximum_scale,
            sql_data_type: if subcode.is_some() || data_type == Type::XdbcDate { Type::XdbcDatetime } else { data_type },
            datetime_subcode: subcode,
            num_prec_radix: radix,
            interval_precision: None,
        });
    }
    types.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_protocol_is_told_and_no_other() {
        let told = asked(&[], &ApiLimits::default()).unwrap();
        let told = told.column(0).as_primitive::<UInt32Type>().values().to_vec();
        // Drivers fail at a number that they do not know.
        let known: Vec<u32> = (0..1000).filter(|number| SqlInfo::try_from(*number as i32).is_ok()).collect();
        assert_eq!(told, known);
        assert_eq!(known.len(), 12 + 2 + 77);
        let some = asked(&[517, 3, 4711], &ApiLimits::default()).unwrap();
        assert_eq!(some.column(0).as_primitive::<UInt32Type>().values(), &[3, 517]);
    }

    #[test]
    fn the_types_are_told_in_the_order_of_their_numbers() {
        let types = types().unwrap();
        let all = types.record_batch(None).unwrap();
        assert_eq!(all.num_rows(), 13);
        assert_eq!(types.record_batch(i32::from(XdbcDataType::XdbcDecimal)).unwrap().num_rows(), 1);
        assert_eq!(types.record_batch(i32::from(XdbcDataType::XdbcInterval)).unwrap().num_rows(), 0);
    }
}
