//! `downsample(tags, start, end, points [, method])`: a range reduced for a plot, as the `downsample` query answers it.

use std::sync::Arc;

use datafusion::error::Result;

use super::argument::{Arguments, Function, Source};
use crate::scan::{Emit, EngineTable};
use historian_operators::downsample::{Method, Request};
use historian_query::DownsampleQuery;

pub const FUNCTION: Function = Function {
    name: "downsample",
    usage: "downsample(tags, start, end, points [, 'PLOT' | 'M4' | 'MINMAX' | 'LTTB' | 'MINMAXLTTB'])",
    remark: "a range reduced for a plot, with its extremes, gaps and edges",
    build,
};

fn build(source: &Source, arguments: &mut Arguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let range = arguments.range()?;
    if range.reverse {
        return Err(arguments.refuse("end", "lies before the start; plots go forward"));
    }
    let points = arguments.whole("points")?;
    let words = Method::ALL.map(|method| (method.as_str(), method));
    let method = if arguments.more() { arguments.word("method", &words)? } else { Method::default() };
    Request::new(range.start.0, range.end.0, points, method).map_err(|error| arguments.refuse("points", &error.to_string()))?;
    let query = DownsampleQuery { tags, range, points, method, types: false, use_rollups: true };
    let engine = source.engine.clone();
    let schema = engine.downsample_schema(&query);
    let (tags, work) = (query.tags.clone(), move |limits: &_, emit: Emit<'_>| engine.downsample(&query, limits, emit));
    Ok(EngineTable { name: FUNCTION.name, tags, schema, work: Arc::new(work), rows: None })
}
