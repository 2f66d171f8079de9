//! Samples between their wire form (`historian.v1.TagSamples`), the columns of the model, and the Arrow batches of the query engine.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type},
};
use historian_proto::v1::{self, TagSamples, values::Column};

use historian_model::{Bitmap, Quality, Samples, StringColumn, ValueType, Values};

/// Wire form into columns. The values keep the type in which they came.
///
/// # Errors
/// Says which rule of the message is broken.
pub fn from_proto(message: TagSamples) -> Result<Samples, String> {
    let count = message.timestamps.len();
    let mut values = match message.values.and_then(|values| values.column) {
        Some(Column::F64(column)) => Values::F64(column.values),
        Some(Column::F32(column)) => Values::F32(column.values),
        Some(Column::I64(column)) => Values::I64(column.values),
        Some(Column::U64(column)) => Values::U64(column.values),
        Some(Column::Bool(column)) => Values::Bool(column.values),
        Some(Column::State(column)) => Values::State(column.values),
        Some(Column::String(column)) => Values::String(strings(column.values.iter().map(String::as_str))?),
        None => return Err("values is missing; send one column of values".into()),
    };
    if values.len() != count {
        return Err(format!("{count} timestamps, but {} values; send one value per timestamp", values.len()));
    }
    let qualities = match message.qualities.len() {
        0 => vec![Quality::GOOD.0; count],
        given if given == count => message.qualities,
        given => return Err(format!("{count} timestamps, but {given} qualities; send one per timestamp, or none when all are Good")),
    };
    let validity = validity(&message.nulls, &qualities)?;
    if validity.is_some() {
        clear_nulls(&mut values, &message.nulls)?;
    }
    Ok(Samples { timestamps: message.timestamps, values, validity, qualities })
}

fn validity(nulls: &[u32], qualities: &[u32]) -> Result<Option<Bitmap>, String> {
    if nulls.is_empty() {
        return Ok(None);
    }
    if !nulls.is_sorted_by(|a, b| a < b) {
        return Err("nulls must ascend, each index once".into());
    }
    let mut validity = Bitmap::with_capacity(qualities.len());
    for null in nulls {
        let index = *null as usize;
        let Some(quality) = qualities.get(index) else {
            return Err(format!("nulls names sample {index}, there are {}", qualities.len()));
        };
        if Quality(*quality).is_good() {
            return Err(format!(
                "sample {index} has no value and the quality Good; a sample without a value needs a quality that is not Good"
            ));
        }
        validity.extend_true(index - validity.len());
        validity.push(false);
    }
    validity.extend_true(qualities.len() - validity.len());
    Ok(Some(validity))
}

/// The slot of a null holds the default, so that equal samples have equal columns.
fn clear_nulls(values: &mut Values, nulls: &[u32]) -> Result<(), String> {
    fn clear<T: Default>(column: &mut [T], nulls: &[u32]) {
        for null in nulls {
            column[*null as usize] = T::default();
        }
    }
    match values {
        Values::F64(column) => clear(column, nulls),
        Values::F32(column) => clear(column, nulls),
        Values::I64(column) => clear(column, nulls),
        Values::U64(column) => clear(column, nulls),
        Values::Bool(column) => clear(column, nulls),
        Values::State(column) => clear(column, nulls),
        Values::String(column) => {
            let mut left = nulls.iter().peekable();
            let cleared =
                (0..column.len()).map(|row| if left.next_if(|null| **null as usize == row).is_some() { "" } else { column.get(row) });
            *column = strings(cleared)?;
        }
    }
    Ok(())
}

fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Result<StringColumn, String> {
    let mut column = StringColumn::new();
    for text in texts {
        column.push(text).map_err(|error| error.to_string())?;
    }
    Ok(column)
}

/// Columns into wire form.
pub fn of_columns(tag: &str, samples: &Samples) -> TagSamples {
    let column = match &samples.values {
        Values::F64(values) => Column::F64(v1::DoubleColumn { values: values.clone() }),
        Values::F32(values) => Column::F32(v1::FloatColumn { values: values.clone() }),
        Values::I64(values) => Column::I64(v1::SignedColumn { values: values.clone() }),
        Values::U64(values) => Column::U64(v1::UnsignedColumn { values: values.clone() }),
        Values::Bool(values) => Column::Bool(v1::BoolColumn { values: values.clone() }),
        Values::State(values) => Column::State(v1::StateColumn { values: values.clone() }),
        Values::String(values) => {
            let texts = (0..values.len()).map(|row| values.get(row).to_owned()).collect();
            Column::String(v1::StringColumn { values: texts })
        }
    };
    let all_good = samples.qualities.iter().all(|quality| *quality == Quality::GOOD.0);
    TagSamples {
        tag: tag.to_owned(),
        timestamps: samples.timestamps.clone(),
        values: Some(v1::Values { column: Some(column) }),
        qualities: if all_good { Vec::new() } else { samples.qualities.clone() },
        nulls: (0..samples.len()).filter(|row| !samples.is_valid(*row)).map(|row| row as u32).collect(),
    }
}

/// One tag's rows of a LONG batch into wire form. The column's type is the tag's, for the query asked for tags of one type.
///
/// # Errors
/// Names a column that is not of the documented schema, which is a bug of ours.
pub fn to_proto(tag: &str, value_type: ValueType, batch: &RecordBatch) -> Result<TagSamples, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("the answer has no column {name}"));
    let timestamps = column("timestamp")?.as_primitive_opt::<TimestampNanosecondType>().ok_or("timestamps of a wrong type")?;
    let qualities = column("quality")?.as_primitive_opt::<UInt32Type>().ok_or("qualities of a wrong type")?;
    let values = column("value")?;
    let nulls = match values.nulls() {
        Some(nulls) if nulls.null_count() > 0 => (0..values.len() as u32).filter(|row| nulls.is_null(*row as usize)).collect(),
        _ => Vec::new(),
    };
    let qualities = qualities.values();
    let all_good = qualities.iter().all(|quality| *quality == Quality::GOOD.0);
    Ok(TagSamples {
        tag: tag.to_owned(),
        timestamps: timestamps.values().to_vec(),
        values: Some(v1::Values { column: Some(to_column(value_type, values.as_ref())?) }),
        qualities: if all_good { Vec::new() } else { qualities.to_vec() },
        nulls,
    })
}

fn to_column(value_type: ValueType, values: &dyn Array) -> Result<Column, String> {
    let wrong = || format!("values of Arrow type {} for a tag of type {value_type}", values.data_type());
    Ok(match value_type {
        ValueType::F64 => {
            Column::F64(v1::DoubleColumn { values: values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values().to_vec() })
        }
        ValueType::F32 => {
            Column::F32(v1::FloatColumn { values: values.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?.values().to_vec() })
        }
        ValueType::I64 => {
            Column::I64(v1::SignedColumn { values: values.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values().to_vec() })
        }
        ValueType::U64 => {
            Column::U64(v1::UnsignedColumn { values: values.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?.values().to_vec() })
        }
        ValueType::Bool => Column::Bool(v1::BoolColumn { values: values.as_boolean_opt().ok_or_else(wrong)?.values().iter().collect() }),
        ValueType::String => {
            let values = values.as_string_opt::<i32>().ok_or_else(wrong)?;
            Column::String(v1::StringColumn { values: values.iter().map(|text| text.unwrap_or_default().to_owned()).collect() })
        }
        ValueType::State => Column::State(v1::StateColumn { values: states(values).ok_or_else(wrong)? }),
    })
}

/// Numbers of digital states, whichever integer column carries them.
fn states(values: &dyn Array) -> Option<Vec<u32>> {
    match values.data_type() {
        DataType::UInt32 => Some(values.as_primitive::<UInt32Type>().values().to_vec()),
        DataType::Int32 => values.as_primitive::<Int32Type>().values().iter().map(|state| u32::try_from(*state).ok()).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::Value;

    fn message() -> TagSamples {
        TagSamples {
            tag: "a".into(),
            timestamps: vec![1, 2, 3],
            values: Some(v1::Values { column: Some(Column::F64(v1::DoubleColumn { values: vec![1.0, 2.0, 3.0] })) }),
            qualities: vec![0, 0x8000_0000, 0],
            nulls: vec![1],
        }
    }

    #[test]
    fn columns_with_nulls_are_read() {
        let samples = from_proto(message()).unwrap();
        assert_eq!((samples.value(0), samples.value(1), samples.value(2)), (Some(Value::F64(1.0)), None, Some(Value::F64(3.0))));
        assert_eq!(samples.values, Values::F64(vec![1.0, 0.0, 3.0]));
        let text = v1::Values { column: Some(Column::String(v1::StringColumn { values: ["x", "y", "z"].map(String::from).to_vec() })) };
        let samples = from_proto(TagSamples { values: Some(text), ..message() }).unwrap();
        assert_eq!((samples.value(0), samples.value(1)), (Some(Value::String("x".into())), None));
    }

    #[test]
    fn columns_that_do_not_fit_together_are_refused() {
        for (change, fragment) in [
            ((|m| m.timestamps.push(4)) as fn(&mut TagSamples), "4 timestamps, but 3 values"),
            (|m| m.values = None, "values is missing"),
            (|m| m.qualities.truncate(2), "2 qualities"),
            (|m| m.nulls = vec![3], "names sample 3"),
            (|m| m.nulls = vec![1, 1], "ascend"),
            (|m| m.nulls = vec![0], "not Good"),
        ] {
            let mut message = message();
            change(&mut message);
            let error = from_proto(message).unwrap_err();
            assert!(error.contains(fragment), "{error}");
        }
    }
}
