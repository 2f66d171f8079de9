//! `range(tags, start, end [, boundary])`: samples of tags in a range, as the `range` query answers them: values have the tags' common type.

use std::sync::Arc;

use datafusion::error::Result;

use super::argument::{CallArguments, FunctionSource, TableFunction};
use crate::{
    SqlError,
    error::external,
    scan::{BatchSink, EngineTable},
};
use historian_query::{Boundary, RangeQuery};

pub const FUNCTION: TableFunction = TableFunction {
    name: "range",
    usage: "range(tags, start, end [, 'INSIDE' | 'OUTSIDE' | 'INTERPOLATED'])",
    remark: "samples of a range, in the type of the tags",
    build,
};

fn build(source: &FunctionSource, arguments: &mut CallArguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let range = arguments.range()?;
    let boundary = if arguments.more() {
        let words = [("INSIDE", Boundary::Inside), ("OUTSIDE", Boundary::Outside), ("INTERPOLATED", Boundary::Interpolated)];
        arguments.word("boundary", &words)?
    } else {
        Boundary::Inside
    };
    let query = RangeQuery { boundary, ..RangeQuery::new(tags, range) };
    let engine = source.engine.clone();
    let schema = engine.range_schema(&query).map_err(|error| external(SqlError::Query(error)))?;
    let (tags, work) = (query.tags.clone(), move |limits: &_, emit: BatchSink<'_>| engine.range(&query, limits, emit));
    Ok(EngineTable { name: FUNCTION.name, tags, schema, work: Arc::new(work), rows: None })
}
