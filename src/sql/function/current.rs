//! `current(tags)`: the latest sample by source time of each tag that has one.

use std::sync::Arc;

use datafusion::error::Result;

use super::argument::{CallArguments, FunctionSource, TableFunction};
use crate::scan::{BatchSink, EngineTable};

pub const FUNCTION: TableFunction =
    TableFunction { name: "current", usage: "current(tags)", remark: "latest sample by source time of each tag that has one", build };

fn build(source: &FunctionSource, arguments: &mut CallArguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let engine = source.engine.clone();
    let (schema, rows) = (engine.current_schema(&tags, false), tags.len());
    let (all, work) =
        (tags.clone(), move |limits: &_, emit: BatchSink<'_>| engine.current(&tags, false, limits).map(|batch| _ = emit(batch)));
    Ok(EngineTable { name: FUNCTION.name, tags: all, schema, work: Arc::new(work), rows: Some(rows) })
}
