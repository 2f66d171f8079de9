//! `aggregate(tags, start, end, interval, functions [, configuration])`: aggregates of OPC UA Part 13, as the `aggregate` query answers them.

use datafusion::error::Result;
use serde_json::Value;

use super::argument::{CallArguments, FunctionSource, TableFunction};
use crate::scan::EngineTable;
use historian_model::time::{LENGTH_FORMS, length_of_time};
use historian_operators::aggregate::{self, AggregateConfiguration, Intervals};
use historian_query::AggregateQuery;

pub const FUNCTION: TableFunction = TableFunction {
    name: "aggregate",
    usage: "aggregate(tags, start, end, interval, 'function, function, …' [, configuration])",
    remark: "aggregates of OPC UA Part 13 in intervals of one length",
    build,
};

fn build(source: &FunctionSource, arguments: &mut CallArguments<'_>) -> Result<EngineTable> {
    let tags = arguments.tags(source)?;
    let range = arguments.range()?;
    let interval = arguments.text("interval", LENGTH_FORMS)?;
    let length = length_of_time(&interval).ok_or_else(|| arguments.refuse("interval", &format!("must be {LENGTH_FORMS}")))?;
    let (start, end) = if range.reverse { (range.end, range.start) } else { (range.start, range.end) };
    let intervals = Intervals::new(start.0, end.0, length).map_err(|error| arguments.refuse("interval", &error.to_string()))?;
    let names = arguments.text("functions", "names of aggregate functions, with commas between them")?;
    let mut functions = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let function: aggregate::AggregateFunction =
            name.parse().map_err(|error: aggregate::UnknownFunction| arguments.refuse("functions", &error.to_string()))?;
        functions.push(function);
    }
    if functions.is_empty() {
        return Err(arguments.refuse("functions", "names none"));
    }
    let mut configuration = AggregateConfiguration::default();
    let mut stepped = None;
    if arguments.more() {
        for (key, value) in arguments.object("configuration")? {
            let percent = value.as_u64().and_then(|percent| u8::try_from(percent).ok());
            match (key.as_str(), &value, percent) {
                ("treat_uncertain_as_bad", Value::Bool(flag), _) => configuration.treat_uncertain_as_bad = *flag,
                ("use_sloped_extrapolation", Value::Bool(flag), _) => configuration.use_sloped_extrapolation = *flag,
                ("use_uncertain_values", Value::Bool(flag), _) => configuration.use_uncertain_values = *flag,
                ("stepped", Value::Bool(flag), _) => stepped = Some(*flag),
                ("percent_data_bad", _, Some(percent)) => configuration.percent_data_bad = percent,
                ("percent_data_good", _, Some(percent)) => configuration.percent_data_good = percent,
                _ => return Err(arguments.refuse("configuration", &format!("has {key:?} = {value}, which is no setting of aggregates"))),
            }
        }
        configuration.check().map_err(|error| arguments.refuse("configuration", &error.to_string()))?;
    }
    let query = AggregateQuery { tags, intervals, functions, configuration, stepped, use_rollups: true };
    Ok(source.operate(FUNCTION.name, query))
}
