//! Columns of the model and Arrow batches of the query engine into the wire form of samples (`historian.v1.TagSamples`).

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type},
};
use historian_proto::v1::{self, TagSamples, values::Column};

use historian_model::{Quality, Samples, ValueType, Values};

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
