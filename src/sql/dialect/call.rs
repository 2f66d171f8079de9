//! Functions of other databases: one line each, in the list of its kind. Those that are ours or `DataFusion`'s under another name are renamed, the
//! others put together of what there is.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    TimezoneInfo,
};

use super::{
    super::{CATALOG, SCHEMA},
    build::{as_text, call, case, cast, minus, number, operator, plus, text},
    format,
};

/// Who asks, as long as nobody has to say.
const USER: &str = "anonymous";

/// Other names of functions that take the same arguments and mean the same.
const NAMES: [(&str, &str); 37] = [
    ("APPROX_COUNT_DISTINCT", "approx_distinct"),
    ("ATN2", "atan2"),
    ("CEILING", "ceil"),
    ("CHAR", "chr"),
    ("COUNT_BIG", "count"),
    ("CURDATE", "current_date"),
    ("CURTIME", "current_time"),
    ("DATALENGTH", "octet_length"),
    ("DATEDIFF_BIG", "datediff"),
    ("DATE_DIFF", "datediff"),
    ("EVERY", "bool_and"),
    ("GETDATE", "now"),
    ("GETUTCDATE", "now"),
    ("INSTR", "strpos"),
    ("LCASE", "lower"),
    ("LENGTHB", "octet_length"),
    ("LISTAGG", "string_agg"),
    ("MID", "substr"),
    ("REPLICATE", "repeat"),
    ("SIGN", "signum"),
    ("STDDEV_SAMP", "stddev"),
    ("STDEV", "stddev"),
    ("STDEVP", "stddev_pop"),
    ("SYSDATE", "now"),
    ("SYSDATETIME", "now"),
    ("SYSDATETIMEOFFSET", "now"),
    ("SYSTIMESTAMP", "now"),
    ("SYSUTCDATETIME", "now"),
    ("TRANSACTION_TIMESTAMP", "now"),
    ("TRUNCATE", "trunc"),
    ("UCASE", "upper"),
    ("UTC_TIMESTAMP", "now"),
    ("VAR", "var_samp"),
    ("VARIANCE", "var_samp"),
    ("VARP", "var_pop"),
    ("NVL", "coalesce"),
    ("IFNULL", "coalesce"),
];

/// Functions of a time that are one part of it.
const PARTS: [(&str, &str); 12] = [
    ("DAY", "day"),
    ("DAYOFMONTH", "day"),
    ("DAYOFYEAR", "doy"),
    ("HOUR", "hour"),
    ("MICROSECOND", "microsecond"),
    ("MILLISECOND", "millisecond"),
    ("MINUTE", "minute"),
    ("MONTH", "month"),
    ("QUARTER", "quarter"),
    ("SECOND", "second"),
    ("WEEK", "week"),
    ("YEAR", "year"),
];

/// Words that say who and where one is, with or without brackets.
const PLACES: [(&str, &str); 13] = [
    ("CURRENT_CATALOG", CATALOG),
    ("CURRENT_DATABASE", CATALOG),
    ("CURRENT_ROLE", USER),
    ("CURRENT_SCHEMA", SCHEMA),
    ("CURRENT_USER", USER),
    ("DATABASE", CATALOG),
    ("DB_NAME", CATALOG),
    ("SCHEMA", SCHEMA),
    ("SCHEMA_NAME", SCHEMA),
    ("SESSION_USER", USER),
    ("SUSER_SNAME", USER),
    ("SYSTEM_USER", USER),
    ("USER", USER),
];

type ExpressionBuilder = fn(Vec<Expr>) -> Result<Expr, Wrong>;

/// Why a call does not become what it stands for.
enum Wrong {
    /// It is called in another way.
    Usage,
    Reason(String),
}

impl From<Vec<Expr>> for Wrong {
    fn from(_: Vec<Expr>) -> Wrong {
        Wrong::Usage
    }
}

/// A function that is put together: its name, how it is called, and of what.
struct Call {
    name: &'static str,
    usage: &'static str,
    build: ExpressionBuilder,
}

macro_rules! calls {
    ($($usage:literal => $build:expr,)*) => { &[$(Call { name: name_of($usage), usage: $usage, build: $build }),*] };
}

/// The name in a usage.
const fn name_of(usage: &'static str) -> &'static str {
    let mut length = 0;
    while usage.as_bytes()[length] != b'(' {
        length += 1;
    }
    usage.split_at(length).0
}

/// Every function that is put together.
static CALLS: &[Call] = calls![
    "ADD_MONTHS(timestamp, n)" => |arguments| of_two(arguments, |time, months| call("dateadd", vec![text("month"), months, time])),
    "CHARINDEX(part, text [, from])" => position,
    "DATE(timestamp)" => |arguments| of_one(arguments, |time| cast(time, DataType::Date)),
    "DATEADD(unit, n, timestamp)" => |arguments| with_unit("dateadd", arguments, 3),
    "DATEDIFF(unit, from, to)" => date_diff,
    "DATENAME(unit, timestamp)" => date_name,
    "DATEPART(unit, timestamp)" => date_part,
    "DATETRUNC(unit, timestamp)" => |arguments| {
        // Weeks begin on Sunday.
        if matches!(arguments.first(), Some(Expr::Identifier(_))) && arguments.first().and_then(unit) == Some("week") {
            let shifted = |days: i64, of: Expr| call("dateadd", vec![text("day"), number(days), of]);
            return of_two(arguments, |_, time| shifted(-1, call("date_trunc", vec![text("week"), shifted(1, time)])));
        }
        with_unit("date_trunc", arguments, 2)
    },
    "DATE_ADD(timestamp, interval)" => |arguments| date_add(arguments, plus),
    "DATE_FORMAT(timestamp, pattern)" => |arguments| formatted("to_char", arguments, format::of_mysql),
    "DATE_PART(unit, timestamp)" => |arguments| with_unit("date_part", arguments, 2),
    "DATE_SUB(timestamp, interval)" => |arguments| date_add(arguments, minus),
    "DATE_TRUNC(unit, timestamp)" => date_trunc,
    "DATETIME(text)" => |arguments| of_one(arguments, |of| cast(of, DataType::Timestamp(None, TimezoneInfo::None))),
    "DAYNAME(timestamp)" => |arguments| of_one(arguments, |time| call("to_char", vec![time, text("%A")])),
    "DAYOFWEEK(timestamp)" => |arguments| of_one(arguments, day_of_week),
    "DECODE(value, search, result, …)" => decode,
    "EOMONTH(timestamp)" => |arguments| of_one(arguments, last_day),
    "FORMAT(timestamp, pattern)" => |arguments| formatted("to_char", arguments, format::of_dotnet),
    "IF(condition, then, else)" => |arguments| of_three(arguments, |condition, then, otherwise| case(vec![(condition, then)], Some(otherwise))),
    "IIF(condition, then, else)" => |arguments| of_three(arguments, |condition, then, otherwise| case(vec![(condition, then)], Some(otherwise))),
    "ISNULL(value, otherwise)" => is_null,
    "LAST_DAY(timestamp)" => |arguments| of_one(arguments, last_day),
    "LEN(text)" => |arguments| of_one(arguments, |of| call("character_length", vec![call("rtrim", vec![of])])),
    "LOCATE(part, text [, from])" => position,
    "MOD(a, b)" => |arguments| of_two(arguments, |left, right| operator(Expr::Nested(Box::new(left)), BinaryOperator::Modulo, Expr::Nested(Box::new(right)))),
    "MONTHNAME(timestamp)" => |arguments| of_one(arguments, |time| call("to_char", vec![time, text("%B")])),
    "SPACE(n)" => |arguments| of_one(arguments, |count| call("repeat", vec![text(" "), count])),
    "SQUARE(x)" => |arguments| of_one(arguments, |of| call("power", vec![cast(of, DataType::DoublePrecision), number(2)])),
    "STRFTIME(timestamp, pattern)" => strftime,
    "STUFF(text, from, length, with)" => stuff,
    "TIMESTAMP(text)" => |arguments| of_one(arguments, |of| cast(of, DataType::Timestamp(None, TimezoneInfo::None))),
    "TIMESTAMPADD(unit, n, timestamp)" => |arguments| with_unit("dateadd", arguments, 3),
    "TIMESTAMPDIFF(unit, from, to)" => |arguments| with_unit("timestampdiff", arguments, 3),
    "TIMESTAMP_TRUNC(timestamp, unit)" => date_trunc,
    "TO_CHAR(timestamp, pattern)" => to_char,
    "TO_DATE(text, pattern)" => to_date,
    "TO_NUMBER(text)" => |arguments| of_one(arguments, |of| cast(of, DataType::DoublePrecision)),
    "TO_TIMESTAMP(text, pattern)" => |arguments| read("to_timestamp", arguments),
    "UNIX_TIMESTAMP(timestamp)" => |arguments| of_one(arguments, |time| cast(call("date_part", vec![text("epoch"), time]), DataType::BigInt(None))),
    "WEEKDAY(timestamp)" => |arguments| of_one(arguments, |time| operator(plus(call("date_part", vec![text("dow"), time]), number(6)), BinaryOperator::Modulo, number(7))),
    "WEEKOFYEAR(timestamp)" => |arguments| of_one(arguments, |time| call("date_part", vec![text("week"), time])),
];

/// What a call becomes; `None` when it stays as it is.
///
/// # Errors
/// In words, when the function is known and cannot be called like that.
pub fn rewritten(function: &mut Function) -> Result<Option<Expr>, String> {
    let Some(name) = unqualified(&function.name) else { return Ok(None) };
    if let Some(place) = place(&name)
        && arguments(function).is_none_or(|arguments| arguments.is_empty())
        && function.over.is_none()
    {
        return Ok(Some(place));
    }
    if let Some((_, own)) = NAMES.iter().find(|(other, _)| *other == name) {
        function.name = ObjectName::from(Ident::new(*own));
    }
    // With a number of digits, which are as many as there are.
    if matches!(
        name.as_str(),
        "NOW" | "CURRENT_TIMESTAMP" | "LOCALTIMESTAMP" | "SYSTIMESTAMP" | "SYSDATETIME" | "CURRENT_TIME" | "LOCALTIME"
    ) {
        let local = name.starts_with("LOCAL");
        let time = if name.ends_with("TIME") && !name.starts_with("SYS") { "current_time" } else { "now" };
        let now = call(time, Vec::new());
        return Ok(Some(if local && time == "now" { cast(now, DataType::Timestamp(None, TimezoneInfo::None)) } else { now }));
    }
    if function.over.is_some() || function.filter.is_some() {
        return Ok(None);
    }
    let Some(mut given) = arguments(function) else { return Ok(None) };
    if let Some((_, part)) = PARTS.iter().find(|(other, _)| *other == name)
        && given.len() == 1
        && let Some(time) = given.pop()
    {
        return Ok(Some(call("date_part", vec![text(*part), time])));
    }
    let Some(known) = CALLS.iter().find(|call| call.name == name) else { return Ok(None) };
    match (known.build)(given) {
        Ok(built) => Ok(Some(built)),
        // Called in another way: it may be one of DataFusion's.
        Err(Wrong::Usage) if has_namesake(&name) => Ok(None),
        Err(Wrong::Usage) => Err(format!("{name} is called as {}", known.usage)),
        Err(Wrong::Reason(reason)) => Err(format!("{name}: {reason}")),
    }
}

/// Functions of `DataFusion` with these names take other arguments as well.
fn has_namesake(name: &str) -> bool {
    matches!(
        name,
        "DATE_PART" | "DATEPART" | "DATE_TRUNC" | "DATETRUNC" | "TO_CHAR" | "TO_DATE" | "TO_TIMESTAMP" | "DECODE" | "DATE_FORMAT"
    )
}

/// What a word without brackets stands for.
pub fn word(word: &str) -> Option<Expr> {
    match word {
        "SYSDATE" | "SYSTIMESTAMP" => Some(call("now", Vec::new())),
        "SYSTEM_USER" | "CURRENT_ROLE" | "CURRENT_SCHEMA" | "CURRENT_DATABASE" => place(word),
        "@@VERSION" => Some(text(version())),
        _ => None,
    }
}

fn place(name: &str) -> Option<Expr> {
    if name == "VERSION" {
        return Some(text(version()));
    }
    PLACES.iter().find(|(other, _)| *other == name).map(|(_, place)| text(*place))
}

fn version() -> String {
    format!("historian {}", env!("CARGO_PKG_VERSION"))
}

/// The name in capitals, without a schema in which other databases keep such functions.
fn unqualified(name: &ObjectName) -> Option<String> {
    let parts: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    match parts.as_slice() {
        [only] => Some(only.value.to_uppercase()),
        [schema, only] if matches!(schema.value.to_uppercase().as_str(), "PG_CATALOG" | "SYS" | "DBO") => Some(only.value.to_uppercase()),
        _ => None,
    }
}

/// Plain arguments; `None` when there are others.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    match &function.args {
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) if list.duplicate_treatment.is_some() || !list.clauses.is_empty() => None,
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            })
            .collect(),
    }
}

fn of_one(mut arguments: Vec<Expr>, build: impl Fn(Expr) -> Expr) -> Result<Expr, Wrong> {
    match (arguments.pop(), arguments.is_empty()) {
        (Some(only), true) => Ok(build(only)),
        _ => Err(Wrong::Usage),
    }
}

fn of_two(arguments: Vec<Expr>, build: impl Fn(Expr, Expr) -> Expr) -> Result<Expr, Wrong> {
    let [first, second]: [Expr; 2] = arguments.try_into()?;
    Ok(build(first, second))
}

fn of_three(arguments: Vec<Expr>, build: impl Fn(Expr, Expr, Expr) -> Expr) -> Result<Expr, Wrong> {
    let [first, second, third]: [Expr; 3] = arguments.try_into()?;
    Ok(build(first, second, third))
}

/// The unit of time that a word or a text names: `day`, `'day'`, `SQL_TSI_DAY`, `dd`.
fn unit(expr: &Expr) -> Option<&'static str> {
    let (word, is_bare) = match expr {
        Expr::Identifier(ident) => (ident.value.as_str(), true),
        other => (as_text(other)?, false),
    };
    let word = word.to_lowercase();
    let word = word.strip_prefix("sql_tsi_").unwrap_or(&word);
    Some(match word.strip_suffix('s').filter(|word| word.len() >= 3).unwrap_or(word) {
        "year" | "yy" | "yyyy" => "year",
        "quarter" | "qq" | "q" => "quarter",
        "month" | "mm" | "m" => "month",
        // Weeks begin on Sunday where the unit is a word of SQL Server.
        "week" | "wk" | "ww" if is_bare => "week",
        "week" | "isoweek" | "iso_week" | "isowk" | "isoww" => "isoweek",
        "dayofyear" | "dy" | "doy" | "y" => "dayofyear",
        "weekday" | "dw" | "dayofweek" => "weekday",
        "day" | "dd" | "d" => "day",
        "hour" | "hh" | "h" => "hour",
        "minute" | "mi" | "n" => "minute",
        "second" | "ss" | "s" => "second",
        "millisecond" | "ms" => "millisecond",
        "microsecond" | "mcs" => "microsecond",
        "nanosecond" | "ns" | "frac_second" => "nanosecond",
        _ => return None,
    })
}

/// A function whose first argument is a unit.
fn with_unit(name: &str, mut arguments: Vec<Expr>, count: usize) -> Result<Expr, Wrong> {
    let Some(unit) = arguments.first().and_then(unit).filter(|_| arguments.len() == count) else { return Err(Wrong::Usage) };
    let unit = match (name, unit) {
        ("date_trunc" | "date_part" | "dateadd" | "timestampdiff", "isoweek") | ("date_trunc" | "date_part", "week") => "week",
        ("date_part", "weekday") => "dow",
        ("date_part", "dayofyear") => "doy",
        ("dateadd" | "date_trunc" | "timestampdiff", "dayofyear" | "weekday") => "day",
        (_, unit) => unit,
    };
    arguments[0] = text(unit);
    Ok(call(name, arguments))
}

fn date_diff(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    // `MySQL`'s has no unit, and the later time first.
    if arguments.len() == 2 {
        return of_two(arguments, |to, from| call("datediff", vec![text("day"), from, to]));
    }
    with_unit("datediff", arguments, 3)
}

/// SQL Server's: Sunday is day 1 of a week, and January 1 lies in week 1.
fn date_part(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    let found = arguments.first().and_then(unit);
    if !matches!(arguments.first(), Some(Expr::Identifier(_))) {
        return with_unit("date_part", arguments, 2);
    }
    match found {
        Some("weekday") => of_two(arguments, |_, time| day_of_week(time)),
        Some("week") => of_two(arguments, |_, time| {
            let part = |name: &str, of: Expr| call("date_part", vec![text(name), of]);
            let january = call("date_trunc", vec![text("year"), time.clone()]);
            let days = minus(plus(part("doy", time), part("dow", january)), number(1));
            plus(operator(days, BinaryOperator::Divide, number(7)), number(1))
        }),
        _ => with_unit("date_part", arguments, 2),
    }
}

fn date_name(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    match arguments.first().and_then(unit) {
        Some("weekday") => of_two(arguments, |_, time| call("to_char", vec![time, text("%A")])),
        Some("month") => of_two(arguments, |_, time| call("to_char", vec![time, text("%B")])),
        _ => Ok(cast(date_part(arguments)?, DataType::Varchar(None))),
    }
}

/// `date_trunc('day', timestamp)`, or with the unit behind, as `BigQuery` has it.
fn date_trunc(mut arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    if matches!(arguments.as_slice(), [_, Expr::Identifier(ident)] if unit(&Expr::Identifier(ident.clone())).is_some()) {
        arguments.reverse();
    }
    with_unit("date_trunc", arguments, 2)
}

fn date_add(arguments: Vec<Expr>, build: fn(Expr, Expr) -> Expr) -> Result<Expr, Wrong> {
    match arguments.len() {
        3 => with_unit("dateadd", arguments, 3),
        _ => of_two(arguments, build),
    }
}

fn day_of_week(time: Expr) -> Expr {
    plus(call("date_part", vec![text("dow"), time]), number(1))
}

fn last_day(time: Expr) -> Expr {
    let month = call("date_trunc", vec![text("month"), time]);
    let next = call("dateadd", vec![text("month"), number(1), month]);
    cast(call("dateadd", vec![text("day"), number(-1), next]), DataType::Date)
}

/// Oracle's: the result of the first value that is the same, null being the same as null.
fn decode(mut arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    if arguments.len() < 3 {
        return Err(Wrong::Usage);
    }
    let value = arguments.remove(0);
    let otherwise = if arguments.len() % 2 == 1 { arguments.pop() } else { None };
    let mut conditions = Vec::new();
    let mut rest = arguments.into_iter();
    while let (Some(search), Some(result)) = (rest.next(), rest.next()) {
        conditions.push((Expr::IsNotDistinctFrom(Box::new(value.clone()), Box::new(search)), result));
    }
    Ok(case(conditions, otherwise))
}

/// Of SQL Server with two arguments, of `MySQL` with one.
fn is_null(mut arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    match (arguments.len(), arguments.pop()) {
        (1, Some(only)) => Ok(Expr::Nested(Box::new(Expr::IsNull(Box::new(only))))),
        (2, Some(otherwise)) => {
            arguments.push(otherwise);
            Ok(call("coalesce", arguments))
        }
        _ => Err(Wrong::Usage),
    }
}

/// Where a part of a text begins, from 1 on; 0 when it is none.
fn position(mut arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    match arguments.len() {
        2 => {
            arguments.reverse();
            Ok(call("strpos", arguments))
        }
        3 => of_three(arguments, |part, of, from| {
            let found = call("strpos", vec![call("substr", vec![of, from.clone()]), part]);
            let is_none = operator(found.clone(), BinaryOperator::Eq, number(0));
            case(vec![(is_none, number(0))], Some(minus(plus(found, from), number(1))))
        }),
        _ => Err(Wrong::Usage),
    }
}

fn stuff(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    let [of, from, length, with]: [Expr; 4] = arguments.try_into()?;
    let before = call("left", vec![of.clone(), minus(from.clone(), number(1))]);
    let after = call("substr", vec![of, plus(from, length)]);
    Ok(call("concat", vec![before, with, after]))
}

/// A function whose second argument is a pattern that stands there.
fn formatted(name: &str, mut arguments: Vec<Expr>, translate: fn(&str) -> Result<String, String>) -> Result<Expr, Wrong> {
    let Some(pattern) = arguments.get(1).and_then(as_text).filter(|_| arguments.len() == 2) else { return Err(Wrong::Usage) };
    arguments[1] = text(translate(pattern).map_err(Wrong::Reason)?);
    Ok(call(name, arguments))
}

fn to_char(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    if arguments.len() == 1 {
        return of_one(arguments, |of| cast(of, DataType::Varchar(None)));
    }
    formatted("to_char", arguments, format::of_oracle)
}

/// Oracle's dates have a time.
fn to_date(arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    let has_time =
        arguments.get(1).and_then(as_text).is_some_and(|pattern| format::of_oracle(pattern).is_ok_and(|own| format::has_time(&own)));
    read(if has_time { "to_timestamp" } else { "to_date" }, arguments)
}

/// The time that a text says in a pattern. A text that stands there is read at once, so that years beyond all samples can be no bound.
fn read(function: &str, arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    let known = arguments.iter().map(as_text).collect::<Option<Vec<_>>>();
    if let Some([of, pattern]) = known.as_deref()
        && let Some((of, data_type)) = format::of_oracle(pattern).ok().and_then(|pattern| format::read(of, &pattern, function == "to_date"))
    {
        return Ok(cast(text(of), data_type));
    }
    formatted(function, arguments, format::of_oracle)
}

fn strftime(mut arguments: Vec<Expr>) -> Result<Expr, Wrong> {
    if arguments.len() == 2 && as_text(&arguments[0]).is_some() {
        arguments.reverse();
    }
    of_two(arguments, |time, pattern| call("to_char", vec![time, pattern]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_told_in_the_manual() {
        let manual = include_str!("../../../docs/api.md");
        let names: Vec<&str> = CALLS
            .iter()
            .map(|call| call.name)
            .chain(NAMES.iter().map(|(name, _)| *name))
            .chain(PARTS.iter().map(|(name, _)| *name))
            .chain(PLACES.iter().map(|(name, _)| *name))
            .collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name} is there twice");
            assert!(manual.contains(&format!("`{name}")), "docs/api.md does not tell of {name}");
        }
    }
}
