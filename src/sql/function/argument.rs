//! Arguments of a table function: values that are known when a statement is planned, read one after the other, with errors that name the
//! argument and what it may be.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableFunctionArgs,
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::Expr,
};
use jiff::tz::TimeZone;

use super::guess::CallParameters;
use crate::{
    error::{external, invalid},
    scan::{self, BatchSink, EngineTable, StatementLimits},
};
use historian_model::{Tag, TagSelection, TimeRange, Timestamp};
use historian_query::{Operator, QueryEngine};
use historian_store::Catalog;

/// Most names and globs in one argument.
const PATTERNS_MAX: usize = 10_000;

/// A table function: its name, how it is called, and how its arguments become a query.
pub struct TableFunction {
    pub name: &'static str,
    /// Shown when it is called in another way.
    pub usage: &'static str,
    /// What it answers, for people.
    pub remark: &'static str,
    pub build: fn(&FunctionSource, &mut CallArguments<'_>) -> Result<EngineTable>,
}

/// What table functions read from.
pub struct FunctionSource {
    pub engine: QueryEngine,
    pub catalog: Arc<Catalog>,
    pub tags_max: usize,
}

impl FunctionSource {
    /// The table that is the answer of an operator.
    pub fn operate<O: Operator>(&self, name: &'static str, query: O) -> EngineTable {
        let (engine, tags, schema) = (self.engine.clone(), query.tags().to_vec(), query.schema());
        let work = move |limits: &_, emit: BatchSink<'_>| engine.operate(&query, limits, emit);
        EngineTable { name, tags, schema, work: Arc::new(work), rows: None }
    }
}

/// The arguments of one call.
pub struct CallArguments<'a> {
    function: &'a TableFunction,
    expressions: &'a [Expr],
    /// How long the statement may be planned.
    bounds: Option<Arc<StatementLimits>>,
    next: usize,
    now: Timestamp,
    parameters: Option<Arc<CallParameters>>,
}

impl<'a> CallArguments<'a> {
    pub fn new(function: &'a TableFunction, arguments: &TableFunctionArgs<'a, '_>) -> CallArguments<'a> {
        let properties = arguments.session().execution_props();
        let now = properties.query_execution_start_time.and_then(|time| time.timestamp_nanos_opt()).map_or(Timestamp(0), Timestamp);
        let config = arguments.session().config();
        let (bounds, parameters) = (config.get_extension(), config.get_extension());
        CallArguments { function, expressions: arguments.exprs(), bounds, next: 0, now, parameters }
    }

    /// Tags: a name or glob as text, or a JSON array of them.
    pub fn tags(&mut self, source: &FunctionSource) -> Result<Vec<Arc<Tag>>> {
        let text = self.text("tags", "a tag name, a glob such as 'area1/**', or a JSON array of them")?;
        let patterns: Vec<String> = if text.trim_start().starts_with("[\"") || text.trim() == "[]" {
            serde_json::from_str(&text).map_err(|error| self.refuse("tags", &format!("is no JSON array of texts: {error}")))?
        } else {
            vec![text]
        };
        if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
            return Err(self.refuse("tags", &format!("names {} tags or globs, 1 to {PATTERNS_MAX} are taken", patterns.len())));
        }
        let go_on = || scan::go_on(self.bounds.as_deref());
        let selection = TagSelection::parse_while(&patterns, &|| go_on().is_ok()).map_err(|error| match go_on() {
            Ok(()) => self.refuse("tags", &error.to_string()),
            Err(ended) => ended,
        })?;
        let scope = scan::scope(self.bounds.as_deref());
        let (tags, missing) = source.catalog.within(&scope).select_while(&selection, &go_on)?;
        if let Some(name) = missing.first() {
            return Err(invalid(format!("{}: there is no tag {name:?}", self.function.name)));
        }
        if tags.len() > source.tags_max {
            return Err(
                self.refuse("tags", &format!("selects {} tags, at most {} are taken; use a narrower glob", tags.len(), source.tags_max))
            );
        }
        Ok(tags)
    }

    /// `start` and `end`; the end may come first, for the other direction.
    pub fn range(&mut self) -> Result<TimeRange> {
        Ok(TimeRange::new(self.time("start")?, self.time("end")?))
    }

    fn time(&mut self, name: &str) -> Result<Timestamp> {
        const EXPECTED: &str = "RFC 3339 text, a number with its unit ('1767225600s'), a relative time such as '*-8h', or a timestamp";
        let value = self.value(name, EXPECTED)?;
        if let Some(text) = value.try_as_str().flatten() {
            return Timestamp::parse_bound(text, self.now, &TimeZone::UTC).map_err(|error| self.refuse(name, &error.to_string()));
        }
        // What has a unit, in it; numbers with a fraction could be cast as well, and would mean nanoseconds.
        let (number, unit) = match value {
            ScalarValue::Int64(Some(number)) => {
                return Timestamp::from_nanoseconds(number).map_err(|error| self.refuse(name, &error.to_string()));
            }
            ScalarValue::TimestampSecond(Some(at), _) => (at, 1_000_000_000),
            ScalarValue::TimestampMillisecond(Some(at), _) | ScalarValue::Date64(Some(at)) => (at, 1_000_000),
            ScalarValue::TimestampMicrosecond(Some(at), _) => (at, 1_000),
            ScalarValue::TimestampNanosecond(Some(at), _) => (at, 1),
            ScalarValue::Date32(Some(day)) => (i64::from(day), 86_400_000_000_000),
            _ => return Err(self.refuse(name, &format!("must be {EXPECTED}, it is {value}"))),
        };
        // A date outside the range of i64 nanoseconds leaves that side open.
        Ok(Timestamp(number.saturating_mul(unit)))
    }

    pub fn text(&mut self, name: &str, expected: &str) -> Result<String> {
        let value = self.value(name, expected)?;
        match value.try_as_str().flatten() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.refuse(name, &format!("must be {expected}, it is {value}"))),
        }
    }

    /// A whole number, 0 or more.
    pub fn whole(&mut self, name: &str) -> Result<usize> {
        let value = self.value(name, "a whole number")?;
        let number = match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => usize::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.refuse(name, &format!("must be a whole number, it is {value}")))
    }

    /// A JSON object as text.
    pub fn object(&mut self, name: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
        let text = self.text(name, "a JSON object as text")?;
        serde_json::from_str(&text).map_err(|error| self.refuse(name, &format!("is no JSON object: {error}")))
    }

    /// One of some words, in any case.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T> {
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let text = self.text(name, &format!("one of {}", known()))?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, value)| *value).ok_or_else(|| self.refuse(name, &format!("{text:?} is none of {}", known())))
    }

    /// True when more arguments follow.
    pub fn more(&self) -> bool {
        self.next < self.expressions.len()
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<()> {
        if self.more() {
            return Err(invalid(format!(
                "{} has {} arguments too many; {}",
                self.function.name,
                self.expressions.len() - self.next,
                self.usage()
            )));
        }
        Ok(())
    }

    fn value(&mut self, name: &str, expected: &str) -> Result<ScalarValue> {
        let Some(expression) = self.expressions.get(self.next) else {
            return Err(invalid(format!("{} lacks its argument {name}, {expected}; {}", self.function.name, self.usage())));
        };
        self.next += 1;
        let value = match (expression, &self.parameters) {
            (Expr::Literal(value, _), _) => Some(value.clone()),
            (Expr::Placeholder(placeholder), Some(parameters)) => {
                Some(parameters.value(&placeholder.id, name, self.now).map_err(external)?)
            }
            _ => None,
        };
        match value {
            Some(value) if !value.is_null() => Ok(value),
            Some(_) => Err(self.refuse(name, &format!("is null; it must be {expected}"))),
            None => Err(self.refuse(name, &format!("must be a value and no expression over columns: {expected}"))),
        }
    }

    pub fn refuse(&self, name: &str, reason: &str) -> DataFusionError {
        invalid(format!("{}: the argument {name} {reason}", self.function.name))
    }

    fn usage(&self) -> String {
        format!("it is called as {}", self.function.usage)
    }
}
