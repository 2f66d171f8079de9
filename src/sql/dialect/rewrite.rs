//! The walk through a parsed statement, from the inside out: expressions of other databases, and what columns are called.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Ident, Interval, Query, Select, SelectItem, TableFactor,
    TypedString, Value, VisitorMut,
};

use super::{
    super::{SqlError, function::like},
    build::{as_text, call, number, text},
    call as calls, clause,
    tokens::{DISTINCT, NOT_DISTINCT},
    types,
};

/// The walk through a statement. A break says why there is no such thing.
#[derive(Default)]
pub struct Rewrite {
    /// What the columns of each open `SELECT` are called, as far as they have no name of their own.
    labels: Vec<Vec<Option<String>>>,
}

type Flow = ControlFlow<Box<SqlError>>;

fn done(outcome: Result<(), String>) -> Flow {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(reason) => ControlFlow::Break(Box::new(SqlError::Invalid(reason))),
    }
}

impl VisitorMut for Rewrite {
    type Break = Box<SqlError>;

    fn post_visit_query(&mut self, query: &mut Query) -> Flow {
        done(clause::limits(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        let label = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) if ident.value.starts_with('@') => Some(ident.value.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_)) => None,
            SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
            _ => None,
        };
        self.labels.push(select.projection.iter().map(label).collect());
        ControlFlow::Continue(())
    }

    /// A column that was said in other words is called by the words that were said.
    fn post_visit_select(&mut self, select: &mut Select) -> Flow {
        let labels = self.labels.pop().unwrap_or_default();
        for (item, label) in select.projection.iter_mut().zip(labels) {
            if let (SelectItem::UnnamedExpr(expr), Some(label)) = (&item, label)
                && expr.to_string() != label
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', label) };
            }
        }
        apart(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        if let TableFactor::Table { name, alias, args, with_hints, .. } = factor {
            // Locks that nobody takes.
            with_hints.clear();
            if args.as_ref().is_some_and(|args| args.args.len() == 1 && args.args[0].to_string().eq_ignore_ascii_case("nolock")) {
                *args = None;
            }
            if args.is_none() && clause::is_dual(name) {
                let alias = alias.take();
                *factor = clause::one_row(alias);
            }
        } else if let TableFactor::TableFunction { expr: Expr::Function(function), alias } = factor {
            // TABLE(f(…)) of the standard.
            let alias = alias.take();
            if let Some(called) = clause::table_function(function, alias) {
                *factor = called;
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        done(expression(expr))
    }
}

/// Columns that would be called the same are called by what they are: `DataFusion` takes no two of one name, and a cast has that of its column.
fn apart(columns: &mut [SelectItem]) {
    let mut names: HashMap<String, usize> = HashMap::new();
    for item in columns {
        let name = match &item {
            SelectItem::UnnamedExpr(expr) => bare(expr).to_string(),
            SelectItem::ExprWithAlias { alias, .. } => alias.to_string(),
            _ => continue,
        };
        let before = *names.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        let SelectItem::UnnamedExpr(expr) = &item else { continue };
        // What a statement is ordered by may become a column beside these.
        let is_cast_column = matches!(bare(expr), Expr::Identifier(_) | Expr::CompoundIdentifier(_)) && !std::ptr::eq(bare(expr), expr);
        if before > 1 || is_cast_column {
            let said = expr.to_string();
            let label = if said == name { format!("{said}:{before}") } else { said };
            let again = *names.entry(format!("\"{label}\"")).and_modify(|count| *count += 1).or_insert(1);
            let label = if again > 1 { format!("{label}:{again}") } else { label };
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', label) };
        }
    }
}

/// What a cast is of.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => bare(expr),
        expr => expr,
    }
}

fn expression(expr: &mut Expr) -> Result<(), String> {
    match expr {
        Expr::Function(function) => {
            if let Some(own) = calls::rewritten(function)? {
                *expr = own;
            }
        }
        Expr::BinaryOp { left, op: BinaryOperator::Custom(operator), right } if [DISTINCT, NOT_DISTINCT].contains(&operator.as_str()) => {
            let [left, right] = [left, right].map(|side| Box::new(std::mem::replace(side.as_mut(), Expr::value(Value::Null))));
            *expr = if operator == DISTINCT { Expr::IsDistinctFrom(left, right) } else { Expr::IsNotDistinctFrom(left, right) };
        }
        Expr::Identifier(Ident { value, quote_style: None, .. }) => {
            if let Some(own) = calls::word(&value.to_uppercase()) {
                *expr = own;
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take() {
                let escape = escape.value.into_string().unwrap_or_default();
                if let Some(own) = pattern_of(pattern, &escape)? {
                    **pattern = own;
                }
            }
        }
        Expr::Cast { kind, expr: of, data_type, array: false, format: None } => {
            let Some((own, length)) = types::own(data_type) else { return Ok(()) };
            let inner = std::mem::replace(of.as_mut(), Expr::value(Value::Null));
            *expr = shortened(kind.clone(), inner, own, length);
        }
        Expr::Convert { is_try, expr: of, data_type: Some(data_type), .. } => {
            let kind = if *is_try { CastKind::TryCast } else { CastKind::Cast };
            let (own, length) = types::own(data_type).unwrap_or_else(|| (data_type.clone(), None));
            let inner = std::mem::replace(of.as_mut(), Expr::value(Value::Null));
            *expr = shortened(kind, inner, own, length);
        }
        Expr::TypedString(TypedString { data_type, .. }) => {
            if let Some((own, _)) = types::own(data_type) {
                *data_type = own;
            }
        }
        Expr::Ceil { expr: of, field: CeilFloorKind::DateTimeField(field) }
        | Expr::Floor { expr: of, field: CeilFloorKind::DateTimeField(field) }
            if *field != DateTimeField::NoDateTime =>
        {
            let unit = field.to_string().to_lowercase();
            let inner = std::mem::replace(of.as_mut(), Expr::value(Value::Null));
            if matches!(expr, Expr::Ceil { .. }) {
                return Err(format!("CEIL of a time is not known; write date_trunc('{unit}', …) + INTERVAL '1 {unit}'"));
            }
            *expr = call("date_trunc", vec![text(unit), inner]);
        }
        Expr::Interval(interval) => span(interval)?,
        _ => {}
    }
    Ok(())
}

/// A text that is cut where it is longer than its type.
fn shortened(kind: CastKind, expr: Expr, data_type: DataType, length: Option<u64>) -> Expr {
    let whole = Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None };
    match length.and_then(|length| i64::try_from(length).ok()) {
        Some(length) => call("left", vec![whole, number(length)]),
        None => whole,
    }
}

/// A pattern whose wildcards are escaped by another letter, escaped by a backslash. `None` when it is so already.
fn pattern_of(pattern: &Expr, escape: &str) -> Result<Option<Expr>, String> {
    let mut letters = escape.chars();
    let letter = match (letters.next(), letters.next()) {
        (Some('\\'), None) => return Ok(None),
        (letter, None) => letter,
        _ => return Err(format!("ESCAPE takes one letter, not {escape:?}")),
    };
    Ok(Some(match as_text(pattern) {
        Some(pattern) => text(like::escaped(pattern, letter).map_err(ToOwned::to_owned)?),
        None => call("like_pattern", vec![pattern.clone(), text(escape)]),
    }))
}

const UNITS: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];

/// `INTERVAL '1 02:03:04' DAY TO SECOND`, in words.
fn span(interval: &mut Interval) -> Result<(), String> {
    let (Some(first), Some(last)) = (&interval.leading_field, &interval.last_field) else {
        interval.leading_precision = None;
        interval.fractional_seconds_precision = None;
        return Ok(());
    };
    let Some(literal) = as_text(&interval.value) else {
        return Err("an INTERVAL of two units is a text, such as INTERVAL '1 02:00:00' DAY TO SECOND".into());
    };
    let place = |field: &DateTimeField| {
        let field = field.to_string().to_lowercase();
        UNITS.iter().position(|unit| field.trim_end_matches('s') == *unit)
    };
    let (sign, digits) = literal.trim().strip_prefix('-').map_or(("", literal.trim()), |rest| ("-", rest));
    let numbers: Vec<&str> = digits.split([' ', ':', '-']).filter(|number| !number.is_empty()).collect();
    let words = match (place(first), place(last)) {
        (Some(first), Some(last)) if last + 1 == first + numbers.len() => {
            let parts: Vec<String> = numbers.iter().zip(&UNITS[first..]).map(|(number, unit)| format!("{sign}{number} {unit}")).collect();
            parts.join(" ")
        }
        _ => return Err(format!("the interval {literal:?} does not have the parts that its units say")),
    };
    *interval = Interval {
        value: Box::new(text(words)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    Ok(())
}
