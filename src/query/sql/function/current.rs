//! `current(tags)`: the latest sample by source time of each tag that has one.

use std::sync::Arc;

use datafusion::error::Result;

use super::{Arguments, Function, Source};
use crate::query::sql::scan::{Emit, EngineTable};

pub const FUNCTION: Function = Function { name: "current", usage: "current(tags)", build };

fn build(source: &Source, arguments: &mut Arguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let engine = source.engine.clone();
    let schema = engine.current_schema(&tags);
    let work = move |_: &_, emit: Emit<'_>| engine.current(&tags).map(|batch| _ = emit(batch));
    Ok(EngineTable { name: FUNCTION.name, schema, work: Arc::new(work) })
}
