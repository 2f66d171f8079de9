//! How many tables and subqueries a parsed statement has when the queries that it names (`WITH`) stand where they are read: each is planned again
//! there, so that a few lines may mean a million tables. Counted before anything is planned.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Select, Statement, TableFactor, Visit, Visitor};

use crate::SqlError;

/// Most tables, table functions and subqueries in `FROM` of one statement. Each join is planned with all columns of what it joins.
pub const RELATIONS_MAX: u64 = 128;
/// Most `SELECT`s of one statement, those of its subqueries and unions included.
pub const SELECTS_MAX: u64 = 1_000;

/// Refuses a statement that has too many of them.
///
/// # Errors
/// [`SqlError::Invalid`].
pub fn check(statement: &Statement) -> Result<(), SqlError> {
    let mut found = RelationCounter::default();
    let _ = statement.visit(&mut found);
    let RelationCounts { relations, selects } = found.extent;
    let refused = |count: u64, what: &str, max: u64| {
        let count = if count == u64::MAX { "far too many".to_owned() } else { count.to_string() };
        SqlError::Invalid(format!(
            "the statement has {count} {what}, at most {max} are taken; queries of WITH count each time they are read; run it in parts"
        ))
    };
    if relations > RELATIONS_MAX {
        return Err(refused(relations, "tables and subqueries", RELATIONS_MAX));
    }
    if selects > SELECTS_MAX {
        return Err(refused(selects, "SELECTs", SELECTS_MAX));
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct RelationCounts {
    relations: u64,
    selects: u64,
}

impl RelationCounts {
    fn add(&mut self, other: RelationCounts) {
        self.relations = self.relations.saturating_add(other.relations);
        self.selects = self.selects.saturating_add(other.selects);
    }
}

/// A query that is being walked.
struct Open {
    /// What there was before it.
    before: RelationCounts,
    /// Its named queries by where they stand, not walked yet; and by their names, walked.
    unnamed: HashMap<usize, String>,
    named: HashMap<String, RelationCounts>,
}

#[derive(Default)]
struct RelationCounter {
    extent: RelationCounts,
    open: Vec<Open>,
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl RelationCounter {
    /// What a name stands for. Names that differ in their case only are taken for the larger one.
    fn named(&self, name: &ObjectName) -> Option<RelationCounts> {
        let [part] = name.0.as_slice() else { return None };
        let name = part.as_ident()?.value.to_lowercase();
        self.open.iter().rev().find_map(|query| query.named.get(&name)).copied()
    }
}

impl Visitor for RelationCounter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let unnamed = ctes.map(|cte| (place(&cte.query), cte.alias.name.value.to_lowercase())).collect();
        self.open.push(Open { before: self.extent, unnamed, named: HashMap::new() });
        self.extent = RelationCounts::default();
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(Open { before, .. }) = self.open.pop() else { return ControlFlow::Break(()) };
        let own = std::mem::replace(&mut self.extent, before);
        match self.open.last_mut().and_then(|around| Some((around.unnamed.remove(&place(query))?, &mut around.named))) {
            // It counts where it is read.
            Some((name, named)) => {
                let known = named.entry(name).or_default();
                known.relations = known.relations.max(own.relations);
                known.selects = known.selects.max(own.selects);
            }
            None => self.extent.add(own),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.extent.add(RelationCounts { relations: 0, selects: 1 });
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.extent.add(RelationCounts { relations: 1, selects: 0 });
        if let TableFactor::Table { name, .. } = factor
            && let Some(named) = self.named(name)
        {
            self.extent.add(named);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    use super::*;

    fn of(text: &str) -> (u64, u64) {
        let statement = Parser::parse_sql(&GenericDialect {}, text).unwrap().pop().unwrap();
        let mut found = RelationCounter::default();
        let _ = statement.visit(&mut found);
        (found.extent.relations, found.extent.selects)
    }

    #[test]
    fn tables_and_subqueries_are_counted_wherever_they_stand() {
        assert_eq!(of("SELECT 1"), (0, 1));
        assert_eq!(of("SELECT * FROM a, b JOIN c ON true, range('x', 1, 2) r"), (4, 1));
        assert_eq!(of("SELECT (SELECT 1 FROM a) FROM (SELECT * FROM b) WHERE EXISTS (SELECT 1 FROM c) AND x IN (SELECT y FROM d)"), (5, 5));
        assert_eq!(of("SELECT 1 UNION ALL SELECT 2 FROM a UNION SELECT 3 FROM (a JOIN b ON true)"), (4, 3));
    }

    #[test]
    fn named_queries_count_each_time_they_are_read() {
        assert_eq!(of("WITH a AS (SELECT * FROM t, t) SELECT 1"), (0, 1));
        assert_eq!(of("WITH a AS (SELECT * FROM t, t) SELECT * FROM a, A"), (6, 3));
        assert_eq!(of("WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a, a) SELECT * FROM b, b"), (10, 7));
        // Of two the one that stands nearer, and none outside of its query.
        assert_eq!(of("WITH a AS (SELECT 1) SELECT * FROM (WITH a AS (SELECT * FROM t, t) SELECT * FROM a), a"), (5, 4));
        assert_eq!(of("SELECT * FROM (WITH a AS (SELECT * FROM t, t) SELECT 1), a"), (2, 2));
        assert_eq!(of("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a"), (2, 3));
        // Each twice the one before.
        let chain: Vec<String> = (1..100).map(|n| format!("c{n} AS (SELECT * FROM c{}, c{})", n - 1, n - 1)).collect();
        let text = format!("WITH c0 AS (SELECT * FROM t), {} SELECT * FROM c99", chain.join(", "));
        assert_eq!(of(&text), (u64::MAX, u64::MAX));
        let statement = Parser::parse_sql(&GenericDialect {}, &text).unwrap().pop().unwrap();
        assert!(check(&statement).unwrap_err().to_string().contains("far too many tables and subqueries, at most 128"));
    }
}
