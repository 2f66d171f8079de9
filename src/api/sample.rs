//! Columns of the model into the wire form of samples (`historian.v1.TagSamples`).

use std::ops::Range;

use historian_proto::v1::{self, TagSamples, values::Column};

use historian_model::{Quality, Samples, Values};

/// All samples of a run into wire form.
pub fn of_columns(tag: &str, samples: &Samples) -> TagSamples {
    of_rows(tag, samples, 0..samples.len())
}

/// Some samples of a run into wire form.
pub fn of_rows(tag: &str, samples: &Samples, rows: Range<usize>) -> TagSamples {
    let column = match &samples.values {
        Values::F64(values) => Column::F64(v1::DoubleColumn { values: values[rows.clone()].to_vec() }),
        Values::F32(values) => Column::F32(v1::FloatColumn { values: values[rows.clone()].to_vec() }),
        Values::I64(values) => Column::I64(v1::SignedColumn { values: values[rows.clone()].to_vec() }),
        Values::U64(values) => Column::U64(v1::UnsignedColumn { values: values[rows.clone()].to_vec() }),
        Values::Bool(values) => Column::Bool(v1::BoolColumn { values: values[rows.clone()].to_vec() }),
        Values::State(values) => Column::State(v1::StateColumn { values: values[rows.clone()].to_vec() }),
        Values::String(values) => {
            let texts = rows.clone().map(|row| values.get(row).to_owned()).collect();
            Column::String(v1::StringColumn { values: texts })
        }
    };
    let qualities = &samples.qualities[rows.clone()];
    let all_good = qualities.iter().all(|quality| *quality == Quality::GOOD.0);
    let nulls = match &samples.validity {
        Some(validity) => rows.clone().filter(|row| !validity.get(*row)).map(|row| (row - rows.start) as u32).collect(),
        None => Vec::new(),
    };
    TagSamples {
        tag: tag.to_owned(),
        timestamps: samples.timestamps[rows].to_vec(),
        values: Some(v1::Values { column: Some(column) }),
        qualities: if all_good { Vec::new() } else { qualities.to_vec() },
        nulls,
    }
}
