//! Clauses and expressions of other databases in a parsed statement, from the inside out.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Ident, Interval, LimitClause, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TopQuantity, TypedString, Value, VisitorMut,
};

use super::{
    super::{SqlError, function::like},
    build::{as_number, as_text, call, number, text},
    call as calls, types,
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
        done(limits(query))
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
            if args.is_none() && is_dual(name) {
                let alias = alias.take();
                *factor = one_row(alias);
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
        if before > 1 {
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

/// `DUAL` of Oracle and `MySQL`, `SYSIBM.SYSDUMMY1` of DB2: one row.
fn is_dual(name: &ObjectName) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_uppercase());
    matches!(last.as_deref(), Some("DUAL" | "SYSDUMMY1")) && name.0.len() <= 2
}

fn one_row(alias: Option<TableAlias>) -> TableFactor {
    let mut select = empty_select();
    select.projection = vec![SelectItem::ExprWithAlias { expr: text("X"), alias: Ident::new("dummy") }];
    let alias = alias.unwrap_or_else(|| TableAlias { explicit: true, name: Ident::new("dual"), columns: Vec::new(), at: None });
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query_of(SetExpr::Select(Box::new(select)))),
        alias: Some(alias),
        sample: None,
    }
}

/// `TOP n` and `FETCH FIRST n ROWS ONLY` as the limit that they are.
fn limits(query: &mut Query) -> Result<(), String> {
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent {
            return Err("FETCH takes a number of rows, without TIES and PERCENT; write FETCH FIRST 10 ROWS ONLY or LIMIT 10".into());
        }
        limit(query, fetch.quantity.unwrap_or_else(|| number(1)))?;
    }
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let Some(rows) = top(select)? {
            limit(query, rows)?;
        }
        return Ok(());
    }
    arms(&mut query.body)
}

/// Of each side of a `UNION` by itself.
fn arms(body: &mut SetExpr) -> Result<(), String> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            arms(left)?;
            arms(right)
        }
        SetExpr::Select(select) => {
            if let Some(rows) = top(select)? {
                let mut query = query_of(std::mem::replace(body, SetExpr::Select(Box::new(empty_select()))));
                limit(&mut query, rows)?;
                *body = SetExpr::Query(Box::new(query));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn top(select: &mut Select) -> Result<Option<Expr>, String> {
    let Some(top) = select.top.take() else { return Ok(None) };
    if top.with_ties || top.percent {
        return Err("TOP takes a number of rows, without TIES and PERCENT; write TOP 10 or LIMIT 10".into());
    }
    Ok(Some(match top.quantity {
        Some(TopQuantity::Expr(expr)) => expr,
        Some(TopQuantity::Constant(rows)) => number(i64::try_from(rows).unwrap_or(i64::MAX)),
        None => number(1),
    }))
}

fn limit(query: &mut Query, rows: Expr) -> Result<(), String> {
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() });
            Ok(())
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => {
            *limit = Some(rows);
            Ok(())
        }
        Some(_) => Err("one statement says twice how many rows it wants; write one of LIMIT, TOP and FETCH FIRST".into()),
    }
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn empty_select() -> Select {
    use datafusion::sql::sqlparser::ast::{GroupByExpr, SelectFlavor, helpers::attached_token::AttachedToken};
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

fn expression(expr: &mut Expr) -> Result<(), String> {
    match expr {
        Expr::Function(function) => {
            if let Some(own) = calls::rewritten(function)? {
                *expr = own;
            }
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
        Expr::BinaryOp { left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), right } => {
            // Oracle and SQL Server count days.
            if is_now(left)
                && let Some(days) = as_number(right)
            {
                let days = if *op == BinaryOperator::Minus { -days } else { days };
                let now = std::mem::replace(left.as_mut(), Expr::value(Value::Null));
                *expr = call("dateadd", vec![text("day"), number(days), now]);
            }
        }
        Expr::Interval(interval) => span(interval)?,
        _ => {}
    }
    Ok(())
}

fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if matches!(function.name.to_string().as_str(), "now" | "current_date" | "CURRENT_DATE"))
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
        Some(pattern) => text(like::escaped(pattern, letter).map_err(|reason| reason.to_owned())?),
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
