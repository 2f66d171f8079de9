//! Answers of operators in wire form: aggregates, findings, scores, counts, and the table of detectors.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type},
};
use historian_proto::v1;

use historian_model::Tag;
use historian_operators::anomaly::{DETECTORS, Output};

const WRONG: &str = "the answer has not the documented columns";

fn times(batch: &RecordBatch, name: &str) -> Result<Vec<i64>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    Ok(column.ok_or(WRONG)?.values().to_vec())
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<f64>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>());
    Ok(column.ok_or(WRONG)?.values().to_vec())
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    Ok(column.ok_or(WRONG)?.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

/// Answers of one tag, a message per function.
pub fn aggregates(tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::AggregateResponse>, String> {
    let functions = batch.column_by_name("function").and_then(|column| column.as_dictionary_opt::<Int32Type>()).ok_or(WRONG)?;
    let names = functions.values().as_string_opt::<i32>().ok_or(WRONG)?;
    let mut messages: Vec<v1::AggregateResponse> = (0..names.len())
        .map(|index| v1::AggregateResponse {
            tag: tag.name().to_string(),
            function: names.value(index).to_owned(),
            ..v1::AggregateResponse::default()
        })
        .collect();
    let timestamps = times(batch, "timestamp")?;
    let values = batch.column_by_name("value").and_then(|column| column.as_primitive_opt::<Float64Type>()).ok_or(WRONG)?;
    let qualities = batch.column_by_name("quality").and_then(|column| column.as_primitive_opt::<UInt32Type>()).ok_or(WRONG)?;
    for (row, timestamp) in timestamps.into_iter().enumerate() {
        let message = messages.get_mut(functions.keys().value(row) as usize).ok_or(WRONG)?;
        if values.is_null(row) {
            message.nulls.push(message.timestamps.len() as u32);
        }
        message.timestamps.push(timestamp);
        message.values.push(if values.is_null(row) { 0.0 } else { values.value(row) });
        message.qualities.push(qualities.value(row));
    }
    messages.retain(|message| !message.timestamps.is_empty());
    Ok(messages)
}

/// What a detector found in one tag.
pub fn anomalies(tag: &Tag, output: Output, batch: &RecordBatch) -> Result<Vec<v1::AnomaliesResponse>, String> {
    let name = || tag.name().to_string();
    let mut answer = v1::AnomaliesResponse::default();
    match output {
        Output::Findings => {
            let (starts, ends, peaks) = (times(batch, "start")?, times(batch, "end")?, times(batch, "peak")?);
            let (detectors, scores) = (texts(batch, "detector")?, numbers(batch, "score")?);
            let (expected, observed) = (texts(batch, "expected")?, texts(batch, "observed")?);
            let explanations = texts(batch, "explanation")?;
            let texts = detectors.into_iter().zip(expected).zip(observed).zip(explanations);
            let rows = starts.into_iter().zip(ends).zip(peaks).zip(scores).zip(texts);
            answer.findings = rows
                .map(|((((start, end), peak), score), (((detector, expected), observed), explanation))| v1::Finding {
                    tag: name(),
                    start,
                    end,
                    peak,
                    detector,
                    score,
                    expected,
                    observed,
                    explanation,
                })
                .collect();
        }
        Output::Scores => {
            let rows = times(batch, "timestamp")?.into_iter().zip(numbers(batch, "value")?).zip(numbers(batch, "score")?);
            answer.scores =
                rows.map(|((timestamp, value), score)| v1::anomalies_response::Score { tag: name(), timestamp, value, score }).collect();
        }
        Output::Counts => {
            let counts = batch.column_by_name("count").and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or(WRONG)?;
            answer.counts = counts.values().iter().map(|count| v1::anomalies_response::Count { tag: name(), count: *count }).collect();
        }
    }
    Ok(vec![answer])
}

/// Measures of one tag.
pub fn measures(tag: &Tag, batch: &RecordBatch) -> Result<Vec<v1::MeasureResponse>, String> {
    let values = batch.column_by_name("value").and_then(|column| column.as_primitive_opt::<Float64Type>()).ok_or(WRONG)?;
    let times = times(batch, "start")?.into_iter().zip(times(batch, "end")?);
    let texts = texts(batch, "label")?.into_iter().zip(texts(batch, "item")?);
    let figures = numbers(batch, "numerator")?.into_iter().zip(numbers(batch, "denominator")?);
    let qualities = numbers(batch, "percent_good")?.into_iter().zip(numbers(batch, "bad_seconds")?);
    let rows = times.zip(texts).zip(values.iter()).zip(figures).zip(qualities);
    let rows = rows.map(|(((((start, end), (label, item)), value), (numerator, denominator)), (percent_good, bad_seconds))| {
        v1::MeasureRow { tag: tag.name().to_string(), start, end, label, item, value, numerator, denominator, percent_good, bad_seconds }
    });
    // Some 150 bytes each: a message stays below what clients take.
    let rows: Vec<v1::MeasureRow> = rows.collect();
    Ok(rows.chunks(8_192).map(|rows| v1::MeasureResponse { rows: rows.to_vec(), ..v1::MeasureResponse::default() }).collect())
}

/// Every detector and its parameters.
pub fn detectors() -> v1::ListDetectorsResponse {
    let parameter = |spec: &historian_operators::anomaly::ParameterSpec| v1::detector::Parameter {
        name: spec.name.to_owned(),
        description: spec.description.to_owned(),
        unit: spec.unit.to_owned(),
        default_value: spec.default_text(),
        allowed: spec.allowed(),
    };
    let detectors = DETECTORS.iter().map(|detector| v1::Detector {
        name: detector.name().to_owned(),
        description: detector.description().to_owned(),
        parameters: detector.parameters().iter().map(parameter).collect(),
    });
    v1::ListDetectorsResponse { detectors: detectors.collect() }
}
