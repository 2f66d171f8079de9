//! `anomalies(tags, start, end, detector [, parameters [, output]])`: what a detector finds, as the `anomalies` query answers it.

use datafusion::error::Result;
use serde_json::Value;

use super::argument::{CallArguments, FunctionSource, TableFunction};
use crate::scan::EngineTable;
use historian_operators::anomaly::{AnomalyOutput, DetectorPlan, ParameterValue, Parameters};
use historian_query::AnomalyQuery;

pub const FUNCTION: TableFunction = TableFunction {
    name: "anomalies",
    usage: "anomalies(tags, start, end, detector [, parameters [, 'FINDINGS' | 'SCORES' | 'COUNTS']])",
    remark: "what a detector finds, with reasons",
    build,
};

fn build(source: &FunctionSource, arguments: &mut CallArguments<'_>) -> Result<EngineTable> {
    let mut tags = arguments.tags(source)?;
    let range = arguments.range()?;
    if range.reverse {
        return Err(arguments.refuse("end", "lies before the start; detectors go forward"));
    }
    let detector = arguments.text("detector", "the name of a detector")?;
    let mut parameters = Parameters::new();
    if arguments.more() {
        for (name, value) in arguments.object("parameters")? {
            let parameter = match value {
                Value::Number(number) => number.as_f64().map(ParameterValue::Number),
                Value::String(text) => Some(ParameterValue::Text(text)),
                Value::Bool(flag) => Some(ParameterValue::Bool(flag)),
                _ => None,
            };
            let refused = || arguments.refuse("parameters", &format!("has {name:?}, which must be a number, a text, true or false"));
            let parameter = parameter.ok_or_else(refused)?;
            parameters.insert(name, parameter);
        }
    }
    let words = [("FINDINGS", AnomalyOutput::Findings), ("SCORES", AnomalyOutput::Scores), ("COUNTS", AnomalyOutput::Counts)];
    let output = if arguments.more() { arguments.word("output", &words)? } else { AnomalyOutput::Findings };
    let plan = DetectorPlan::new(&detector, &parameters).map_err(|error| arguments.refuse("detector", &error.to_string()))?;
    tags.retain(|tag| plan.takes(tag.value_type()));
    let query = AnomalyQuery { tags, range, plan, output };
    Ok(source.operate(FUNCTION.name, query))
}
