//! Clauses of other databases: how many rows are wanted, tables that are one row, and the order of rows that a statement around them keeps.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, GroupByExpr, Ident, LimitClause, ObjectName, ObjectNamePart, OrderBy, OrderByExpr,
    OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor, TableFunctionArgs, TopQuantity,
    helpers::attached_token::AttachedToken,
};

use super::build::{as_number, number, text};

/// `TABLE(f(…))` of the standard as `f(…)`.
pub fn table_function(function: &Function, alias: Option<TableAlias>) -> Option<TableFactor> {
    let FunctionArguments::List(list) = &function.args else { return None };
    Some(TableFactor::Table {
        name: function.name.clone(),
        alias,
        args: Some(TableFunctionArgs { args: list.args.clone(), settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

/// `DUAL` of Oracle and `MySQL`, `SYSIBM.SYSDUMMY1` of DB2: one row.
pub fn is_dual(name: &ObjectName) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_uppercase());
    matches!(last.as_deref(), Some("DUAL" | "SYSDUMMY1")) && name.0.len() <= 2
}

pub fn one_row(alias: Option<TableAlias>) -> TableFactor {
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
pub fn limits(query: &mut Query) -> Result<(), String> {
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent {
            return Err("FETCH takes a number of rows, without TIES and PERCENT; write FETCH FIRST 10 ROWS ONLY or LIMIT 10".into());
        }
        limit(query, fetch.quantity.unwrap_or_else(|| number(1)))?;
    }
    let is_ordered = query.order_by.is_some();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let first = row_number(select, is_ordered)?;
        if let Some(rows) = top(select)?.or(first) {
            limit(query, rows)?;
        }
        keep_order(query);
        return Ok(());
    }
    arms(&mut query.body)
}

/// `SELECT … FROM (SELECT … ORDER BY x) LIMIT n`, as tools wrap what people write: the rows come in the order of those inside, as they do from other
/// databases. `DataFusion` would take any n of them.
fn keep_order(query: &mut Query) {
    if query.order_by.is_some() {
        return;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let is_plain = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
        && select.distinct.is_none()
        && select.having.is_none()
        && select.projection.iter().all(|item| is_wildcard(item) || column(item).is_some());
    let [table] = select.from.as_mut_slice() else { return };
    let TableFactor::Derived { lateral: false, subquery, .. } = &mut table.relation else { return };
    let Some(OrderBy { kind: OrderByKind::Expressions(by), .. }) = &subquery.order_by else { return };
    let SetExpr::Select(inner) = subquery.body.as_ref() else { return };
    if !is_plain || !table.joins.is_empty() {
        return;
    }
    let outside = |by: &OrderByExpr| {
        let name = output(inner, &by.expr)?;
        let is_hidden = select.projection.iter().any(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => same(alias, &name) && !column(item).is_some_and(|own| same(own, &name)),
            _ => false,
        });
        (!is_hidden).then(|| OrderByExpr { expr: Expr::Identifier(name), ..by.clone() })
    };
    let order: Option<Vec<OrderByExpr>> = by.iter().map(outside).collect();
    match order {
        Some(order) => query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(order), interpolate: None }),
        // By what cannot be seen from outside: then the rows are counted inside, where nothing is left out after that.
        None if select.selection.is_none() && subquery.limit_clause.is_none() => subquery.limit_clause = query.limit_clause.take(),
        None => {}
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// The column that an item is nothing but.
fn column(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => last(expr),
        _ => None,
    }
}

fn last(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// What an expression that a `SELECT` is ordered by is called outside of it.
fn output(select: &Select, by: &Expr) -> Option<Ident> {
    let called = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
        item => column(item).cloned(),
    };
    if let Some(place) = as_number(by) {
        return called(select.projection.get(usize::try_from(place).ok()?.checked_sub(1)?)?);
    }
    let is_it = |item: &&SelectItem| match item {
        SelectItem::ExprWithAlias { expr, alias } => expr == by || matches!(by, Expr::Identifier(name) if same(name, alias)),
        item => column(item).zip(last(by)).is_some_and(|(one, other)| same(one, other)),
    };
    match select.projection.iter().find(is_it) {
        Some(item) => called(item),
        None => last(by).filter(|_| select.projection.iter().any(is_wildcard)).cloned(),
    }
}

fn same(one: &Ident, other: &Ident) -> bool {
    one.value.eq_ignore_ascii_case(&other.value)
}

/// `WHERE ROWNUM <= n` of Oracle, which counts rows before they are ordered or grouped.
fn row_number(select: &mut Select, is_ordered: bool) -> Result<Option<Expr>, String> {
    let is_row_number = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case("ROWNUM"));
    let is_plain = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty()) && select.distinct.is_none() && !is_ordered;
    let Some(selection) = select.selection.take() else { return Ok(None) };
    let mut rows = None;
    let mut rest: Option<Expr> = None;
    let mut open = vec![selection];
    while let Some(condition) = open.pop() {
        match condition {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([*right, *left]),
            Expr::BinaryOp { left, op: op @ (BinaryOperator::LtEq | BinaryOperator::Lt | BinaryOperator::Eq), right }
                if is_row_number(&left) =>
            {
                let count = as_number(&right).map(|count| if op == BinaryOperator::Lt { count - 1 } else { count });
                match (count, is_plain) {
                    (Some(count), true) if count >= 0 && (op != BinaryOperator::Eq || count == 1) => rows = Some(number(count)),
                    _ => {
                        return Err(
                            "ROWNUM is compared with a number, in a SELECT that neither orders nor groups; write FETCH FIRST n ROWS ONLY"
                                .into(),
                        );
                    }
                }
            }
            other => {
                rest = Some(match rest {
                    Some(before) => Expr::BinaryOp { left: Box::new(before), op: BinaryOperator::And, right: Box::new(other) },
                    None => other,
                });
            }
        }
    }
    select.selection = rest;
    Ok(rows)
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
