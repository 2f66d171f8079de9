//! `downsample(tags, start, end, points [, method])`: a range reduced for a plot, as the `downsample` query answers it.

use datafusion::error::Result;

use super::argument::{CallArguments, FunctionSource, TableFunction};
use crate::scan::EngineTable;
use historian_operators::downsample::{DownsampleRange, Method};
use historian_query::DownsampleQuery;

pub const FUNCTION: TableFunction = TableFunction {
    name: "downsample",
    usage: "downsample(tags, start, end, points [, 'PLOT' | 'M4' | 'MINMAX' | 'LTTB' | 'MINMAXLTTB'])",
    remark: "a range reduced for a plot, with its extremes, gaps and edges",
    build,
};

fn build(source: &FunctionSource, arguments: &mut CallArguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let range = arguments.range()?;
    if range.reverse {
        return Err(arguments.refuse("end", "lies before the start; plots go forward"));
    }
    let points = arguments.whole("points")?;
    let words = Method::ALL.map(|method| (method.as_str(), method));
    let method = if arguments.more() { arguments.word("method", &words)? } else { Method::default() };
    DownsampleRange::new(range.start.0, range.end.0, points, method).map_err(|error| arguments.refuse("points", &error.to_string()))?;
    let query = DownsampleQuery { tags, range, points, method, types: false, use_rollups: true };
    Ok(source.operate(FUNCTION.name, query))
}
