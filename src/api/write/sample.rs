//! Samples from their wire form (`historian.v1.TagSamples`) into the columns of the model.

use historian_proto::v1::{TagSamples, values::Column};

use super::{incoming::IncomingSamples, refusal::TagRefusal};
use historian_model::{Bitmap, Quality, Samples, StringColumn, Values};

/// Wire form into columns. The values keep the type in which they came.
///
/// # Errors
/// Says which rule of the message is broken.
pub fn from_proto(message: TagSamples) -> Result<IncomingSamples, TagRefusal> {
    let samples = columns(message).map_err(TagRefusal::Columns)?;
    Ok(IncomingSamples::new(samples)?)
}

fn columns(message: TagSamples) -> Result<Samples, String> {
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
    let validity = validity(&message.nulls, count)?;
    if validity.is_some() {
        clear_nulls(&mut values, &message.nulls)?;
    }
    Ok(Samples { timestamps: message.timestamps, values, validity, qualities })
}

fn validity(nulls: &[u32], count: usize) -> Result<Option<Bitmap>, String> {
    if nulls.is_empty() {
        return Ok(None);
    }
    if !nulls.is_sorted_by(|a, b| a < b) {
        return Err("nulls must ascend, each index once".into());
    }
    let mut validity = Bitmap::with_capacity(count);
    for null in nulls {
        let index = *null as usize;
        if index >= count {
            return Err(format!("nulls names sample {index}, there are {count}"));
        }
        validity.extend_true(index - validity.len());
        validity.push(false);
    }
    validity.extend_true(count - validity.len());
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

#[cfg(test)]
mod tests {
    use historian_proto::v1;

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
        let samples = columns(message()).unwrap();
        assert_eq!((samples.value(0), samples.value(1), samples.value(2)), (Some(Value::F64(1.0)), None, Some(Value::F64(3.0))));
        assert_eq!(samples.values, Values::F64(vec![1.0, 0.0, 3.0]));
        let text = v1::Values { column: Some(Column::String(v1::StringColumn { values: ["x", "y", "z"].map(String::from).to_vec() })) };
        let samples = columns(TagSamples { values: Some(text), ..message() }).unwrap();
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
            let error = from_proto(message).unwrap_err().to_string();
            assert!(error.contains(fragment), "{error}");
        }
    }
}
