//! Names of types as other databases have them.

use datafusion::sql::sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo};

/// Words that begin a type in the first argument of SQL Server's `CONVERT`.
const NAMES: [&str; 30] = [
    "BIGINT",
    "BIT",
    "BOOLEAN",
    "CHAR",
    "CHARACTER",
    "DATE",
    "DATETIME",
    "DATETIME2",
    "DATETIMEOFFSET",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "MONEY",
    "NCHAR",
    "NTEXT",
    "NUMERIC",
    "NVARCHAR",
    "REAL",
    "SMALLDATETIME",
    "SMALLINT",
    "SMALLMONEY",
    "STRING",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TINYINT",
    "VARCHAR",
    "VARCHAR2",
];

pub fn is_name(word: &str) -> bool {
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(word))
}

pub fn is_text(word: &str) -> bool {
    let word = word.to_uppercase();
    word.contains("CHAR") || matches!(word.as_str(), "TEXT" | "NTEXT" | "STRING")
}

/// The types of JDBC and ODBC escapes.
pub fn of_escape(word: &str) -> Option<&'static str> {
    let word = word.to_uppercase();
    Some(match word.strip_prefix("SQL_")? {
        "CHAR" | "VARCHAR" | "LONGVARCHAR" | "WCHAR" | "WVARCHAR" | "WLONGVARCHAR" | "NCHAR" | "NVARCHAR" | "LONGNVARCHAR" | "CLOB" => {
            "VARCHAR"
        }
        "BIT" | "BOOLEAN" => "BOOLEAN",
        "TINYINT" => "TINYINT",
        "SMALLINT" => "SMALLINT",
        "INTEGER" => "INTEGER",
        "BIGINT" => "BIGINT",
        "REAL" => "REAL",
        "DOUBLE" | "FLOAT" => "DOUBLE",
        "DECIMAL" | "NUMERIC" => "DECIMAL",
        "DATE" | "TYPE_DATE" => "DATE",
        "TIME" | "TYPE_TIME" => "TIME",
        "TIMESTAMP" | "TYPE_TIMESTAMP" => "TIMESTAMP",
        _ => return None,
    })
}

/// A type in words of `DataFusion`, and the length to which a text is cut.
pub fn own(data_type: &DataType) -> Option<(DataType, Option<u64>)> {
    let timestamp = || (DataType::Timestamp(None, TimezoneInfo::None), None);
    let varchar = |length: &Option<CharacterLength>| {
        let length = match length {
            Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
            Some(CharacterLength::Max) | None => None,
        };
        (DataType::Varchar(None), length)
    };
    Some(match data_type {
        DataType::Varchar(length @ Some(_)) | DataType::Char(length @ Some(_)) => varchar(length),
        DataType::Nvarchar(length) | DataType::Character(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            varchar(length)
        }
        DataType::String(Some(length)) => (DataType::Varchar(None), Some(*length)),
        DataType::Clob(_)
        | DataType::CharacterLargeObject(_)
        | DataType::CharLargeObject(_)
        | DataType::TinyText
        | DataType::MediumText
        | DataType::LongText => (DataType::Varchar(None), None),
        DataType::Datetime(_) => timestamp(),
        DataType::Timestamp(Some(digits), zone) if ![0, 3, 6, 9].contains(digits) => (DataType::Timestamp(None, *zone), None),
        DataType::Time(Some(_), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => (DataType::Time(None, TimezoneInfo::None), None),
        // SQL Server, Oracle, PostgreSQL and ODBC mean by it what others call DOUBLE; REAL is the short one.
        DataType::Float(ExactNumberInfo::Precision(digits)) if *digits <= 24 => (DataType::Real, None),
        DataType::Float(_)
        | DataType::Float64
        | DataType::Double(ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(..)) => {
            (DataType::Double(ExactNumberInfo::None), None)
        }
        DataType::Float32 => (DataType::Real, None),
        DataType::Dec(digits) => (DataType::Decimal(*digits), None),
        DataType::Int64 | DataType::Signed | DataType::SignedInteger | DataType::MediumInt(_) => (DataType::BigInt(None), None),
        DataType::Unsigned | DataType::UnsignedInteger => (DataType::BigIntUnsigned(None), None),
        DataType::Int32 => (DataType::Int(None), None),
        DataType::Bit(None) => (DataType::Boolean, None),
        DataType::Custom(name, modifiers) => of_name(name, modifiers)?,
        _ => return None,
    })
}

fn of_name(name: &ObjectName, modifiers: &[String]) -> Option<(DataType, Option<u64>)> {
    let number = |index: usize| modifiers.get(index).and_then(|modifier| modifier.parse::<u64>().ok());
    Some(match name.to_string().to_uppercase().as_str() {
        "DATETIME2" | "SMALLDATETIME" | "DATETIMEOFFSET" => (DataType::Timestamp(None, TimezoneInfo::None), None),
        "VARCHAR2" | "NVARCHAR2" | "NCHAR" => (DataType::Varchar(None), number(0)),
        "NTEXT" => (DataType::Varchar(None), None),
        "MONEY" => (DataType::Decimal(ExactNumberInfo::PrecisionAndScale(19, 4)), None),
        "SMALLMONEY" => (DataType::Decimal(ExactNumberInfo::PrecisionAndScale(10, 4)), None),
        "LONG" => (DataType::BigInt(None), None),
        "NUMBER" => match (number(0), number(1)) {
            (None, _) => (DataType::Double(ExactNumberInfo::None), None),
            (Some(digits), None) => (DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits, 0)), None),
            (Some(digits), Some(scale)) => {
                (DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits, i64::try_from(scale).ok()?)), None)
            }
        },
        _ => return None,
    })
}
