//! The OPC Foundation's published example tables (`tests/conformance/opcua-part13`), every row: value, severity with sub-code, bits.

use serde_json::Value as Json;

use super::*;
use crate::aggregate::status::{BAD_NO_DATA, SUB_NORMAL, code};
use crate::aggregate::{CALCULATED, INTERPOLATED, MULTIPLE_VALUES, PARTIAL};

const SECOND: f64 = 1e9;

const RAW: &str = include_str!("../../../../tests/conformance/opcua-part13/raw.json");
const EXPECTED: &str = include_str!("../../../../tests/conformance/opcua-part13/expected.json");

fn status(name: &str) -> u32 {
    match name {
        "Good" => 0,
        "Uncertain" => 0x4000_0000,
        "UncertainDataSubNormal" => SUB_NORMAL,
        "Bad" => 0x8000_0000,
        "BadNoData" => BAD_NO_DATA,
        other => panic!("status {other} of the vectors is not known here"),
    }
}

fn bits(names: &Json) -> u32 {
    let bit = |name: &Json| match name.as_str() {
        Some("Calculated") => CALCULATED,
        Some("Interpolated") => INTERPOLATED,
        Some("Partial") => PARTIAL,
        Some("MultipleValues") => MULTIPLE_VALUES,
        other => panic!("bit {other:?} of the vectors is not known here"),
    };
    names.as_array().unwrap().iter().map(bit).fold(0, |bits, bit| bits | bit)
}

fn configuration(json: &Json) -> AggregateConfiguration {
    let flag = |name: &str| json[name].as_bool().unwrap();
    let percent = |name: &str| json[name].as_u64().unwrap() as u8;
    AggregateConfiguration {
        treat_uncertain_as_bad: flag("treat_uncertain_as_bad"),
        percent_data_bad: percent("percent_data_bad"),
        percent_data_good: percent("percent_data_good"),
        use_sloped_extrapolation: flag("use_sloped_extrapolation"),
        stepped: flag("stepped"),
        use_uncertain_values: false,
    }
}

fn historian(json: &Json) -> Samples {
    let samples = json["samples"].as_array().unwrap();
    let boolean = samples.iter().any(|sample| sample["value"].is_boolean());
    let rows: Vec<_> = samples
        .iter()
        // The archive begins here; it is not a sample.
        .filter(|sample| sample["status"] != "BadNoData")
        .map(|sample| {
            let value = match &sample["value"] {
                Json::Bool(value) => Some(Value::Bool(*value)),
                value => value.as_f64().map(Value::F64),
            };
            ((sample["t"].as_f64().unwrap() * SECOND) as i64, value, status(sample["status"].as_str().unwrap()))
        })
        .collect();
    history(if boolean { ValueType::Bool } else { ValueType::F64 }, &rows)
}

/// `MinimumActualTime2` as `minimum_actual_time2`.
fn function(name: &str) -> AggregateFunction {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake.parse().unwrap()
}

#[test]
fn the_published_vectors_are_met_in_value_status_and_bits() {
    let (raw, expected): (Json, Json) = (serde_json::from_str(RAW).unwrap(), serde_json::from_str(EXPECTED).unwrap());
    let (mut rows, mut failures) = (0, Vec::new());
    let mut tables = 0;
    for table in expected["tables"].as_array().unwrap() {
        tables += 1;
        let second = |name: &str| (table[name].as_f64().unwrap() * SECOND) as i64;
        let step = (table["processing_interval_ms"].as_f64().unwrap() * 1e6) as i64;
        let intervals = Intervals::new(second("start_s"), second("end_s"), step).unwrap();
        let samples = historian(&raw["historians"][table["historian"].as_str().unwrap()]);
        let function = function(table["aggregate"].as_str().unwrap());
        let answers = from_samples(&samples, &[function], configuration(&table["config"]), &intervals, 3);
        let wanted = table["expected"].as_array().unwrap();
        assert_eq!(answers.len(), wanted.len(), "{}", table["id"]);
        for (index, (answer, wanted)) in answers.iter().zip(wanted).enumerate() {
            rows += 1;
            let value = match &wanted["value"] {
                Json::String(code) => Some(f64::from(status(code))),
                value => value.as_f64().or(value.as_bool().map(|value| f64::from(u8::from(value)))),
            };
            let near = match (answer.value, value) {
                (Some(a), Some(b)) => (a - b).abs() <= 6e-3,
                (a, b) => a.is_none() && b.is_none(),
            };
            let time = ((answer.timestamp as f64) - wanted["t"].as_f64().unwrap() * SECOND).abs() < 1e3;
            let exact =
                code(answer.quality) == status(wanted["status"].as_str().unwrap()) && answer.quality & 0x1F == bits(&wanted["bits"]);
            if !(near && time && exact) {
                failures.push(format!("{} row {index}: {answer:?}, not {wanted}", table["id"]));
            }
        }
    }
    assert_eq!((tables, rows), (106, 906), "all of the published tables");
    assert!(failures.is_empty(), "{} of {rows} rows differ:\n{}", failures.len(), failures.join("\n"));
}
