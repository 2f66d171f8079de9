//! The rows of one record batch into one run of columns per tag: a name is looked up once per distinct tag, rows are ordered by a counting
//! sort, and each column is gathered whole. Nothing is allocated or dispatched per sample.

use std::{collections::HashMap, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch, StringArrayType},
    buffer::NullBuffer,
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use tonic::Status;

use crate::{status, timestamps::nanoseconds, write::incoming::IncomingSamples};
use historian_model::{Bitmap, Quality, SampleBatch, Samples, StringColumn, Tag, TagId, ValueType, Values};

/// Finds or makes the tags of a batch: names in, tags in the same order out. The value type is that of the batch.
pub type Resolve<'a> = dyn FnMut(&[&str], ValueType) -> Result<Vec<Arc<Tag>>, Status> + 'a;

/// Groups a batch whose schema the decoder has checked.
///
/// # Errors
/// `INVALID_ARGUMENT` naming row and tag for a null where none may be, a timestamp out of range, or a value the tag cannot hold; and what
/// `resolve` says.
pub fn group(batch: &RecordBatch, resolve: &mut Resolve) -> Result<SampleBatch, Status> {
    if batch.num_rows() == 0 {
        return Ok(SampleBatch::default());
    }
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| status::invalid("schema", format!("the column {name} is missing")));
    let values = column("value")?;
    let mut slots = Slots::of(column("tag")?)?;
    let tags = slots.resolve(value_type(values.data_type()), resolve)?;
    let rows = slots.rows(tags.len());

    let timestamps: &dyn Array = column("timestamp")?.as_ref();
    no_nulls("timestamp", timestamps)?;
    let timestamps = rows.gather(&nanoseconds(timestamps)?);
    let qualities = match batch.column_by_name("quality") {
        Some(qualities) => {
            no_nulls("quality", qualities.as_ref())?;
            let qualities = qualities.as_primitive_opt::<UInt32Type>().ok_or_else(|| status::invalid("quality", "must be UInt32"))?;
            rows.gather(qualities.values())
        }
        None => rows.each(|rows| vec![Quality::GOOD.0; rows.len()]),
    };
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
    let validities = match nulls {
        Some(nulls) => rows.each(|rows| validity(nulls, &rows)),
        None => rows.each(|_| None),
    };
    let columns = gather_values(values, nulls, &rows)?;

    let mut grouped = SampleBatch { runs: Vec::with_capacity(tags.len()) };
    let runs = timestamps.into_iter().zip(columns).zip(qualities.into_iter().zip(validities));
    for (slot, (tag, ((timestamps, values), (qualities, validity)))) in tags.iter().zip(runs).enumerate() {
        let samples = IncomingSamples::new(Samples { timestamps, values, validity, qualities }).and_then(|samples| samples.fit(tag));
        let samples = samples.map_err(|misfit| {
            let place = match misfit.row() {
                Some(row) => format!("row {} (tag {:?})", rows.row(slot, row), tag.name()),
                None => format!("tag {:?}", tag.name()),
            };
            status::invalid("value", misfit.at(&place))
        })?;
        grouped.runs.push((tag.id, samples));
    }
    Ok(grouped)
}

/// Value type of a column that is not yet a tag's.
fn value_type(data_type: &DataType) -> ValueType {
    match data_type {
        DataType::Float32 => ValueType::F32,
        DataType::Boolean => ValueType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => ValueType::I64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => ValueType::U64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ValueType::String,
        _ => ValueType::F64,
    }
}

fn no_nulls(name: &str, column: &dyn Array) -> Result<(), Status> {
    match column.nulls().filter(|nulls| nulls.null_count() > 0).and_then(|nulls| (0..nulls.len()).find(|row| nulls.is_null(*row))) {
        Some(row) => Err(status::invalid(name, format!("row {row} has no {name}"))),
        None => Ok(()),
    }
}

/// Which tag each row belongs to, as a small number.
struct Slots {
    of_row: Vec<u32>,
    /// Names by slot. A dictionary may hold the same name twice.
    names: ArrayRef,
    rows_per_slot: Vec<u32>,
}

impl Slots {
    fn of(tags: &ArrayRef) -> Result<Slots, Status> {
        no_nulls("tag", tags.as_ref())?;
        if let Some(dictionary) = tags.as_any_dictionary_opt() {
            if dictionary.values().is_empty() {
                return Err(status::invalid("tag", "the dictionary is empty"));
            }
            let mut rows_per_slot = vec![0_u32; dictionary.values().len()];
            let mut of_row = Vec::with_capacity(tags.len());
            for key in dictionary.normalized_keys() {
                rows_per_slot[key] += 1;
                of_row.push(key as u32);
            }
            let slots = Slots { of_row, names: dictionary.values().clone(), rows_per_slot };
            if let Some(nulls) = slots.names.nulls()
                && let Some(row) = slots.of_row.iter().position(|slot| nulls.is_null(*slot as usize))
            {
                return Err(status::invalid("tag", format!("row {row} has no tag")));
            }
            return Ok(slots);
        }
        let (of_row, rows_per_slot, first_rows) = match tags.data_type() {
            DataType::Utf8 => distinct(&tags.as_string::<i32>()),
            DataType::LargeUtf8 => distinct(&tags.as_string::<i64>()),
            _ => distinct(&tags.as_string_view()),
        };
        let names = arrow::compute::take(tags, &arrow::array::UInt32Array::from(first_rows), None)
            .map_err(|error| status::invalid("tag", error.to_string()))?;
        Ok(Slots { of_row, names, rows_per_slot })
    }

    /// Resolves the names that occur, and renumbers the slots to the tags that come back, each once.
    fn resolve(&mut self, value_type: ValueType, resolve: &mut Resolve) -> Result<Vec<Arc<Tag>>, Status> {
        let used: Vec<usize> = (0..self.rows_per_slot.len()).filter(|slot| self.rows_per_slot[*slot] > 0).collect();
        let names: Vec<&str> = match self.names.data_type() {
            DataType::Utf8 => used.iter().map(|slot| self.names.as_string::<i32>().value(*slot)).collect(),
            DataType::LargeUtf8 => used.iter().map(|slot| self.names.as_string::<i64>().value(*slot)).collect(),
            _ => used.iter().map(|slot| self.names.as_string_view().value(*slot)).collect(),
        };
        let resolved = resolve(&names, value_type)?;
        let mut tags: Vec<Arc<Tag>> = Vec::with_capacity(resolved.len());
        let mut slot_of_tag: HashMap<TagId, u32> = HashMap::with_capacity(resolved.len());
        let mut renumbered = vec![0_u32; self.rows_per_slot.len()];
        let mut rows_per_slot = Vec::with_capacity(resolved.len());
        for (old, tag) in used.iter().zip(resolved) {
            let new = *slot_of_tag.entry(tag.id).or_insert(tags.len() as u32);
            if new as usize == tags.len() {
                tags.push(tag);
                rows_per_slot.push(0);
            }
            renumbered[*old] = new;
            rows_per_slot[new as usize] += self.rows_per_slot[*old];
        }
        for slot in &mut self.of_row {
            *slot = renumbered[*slot as usize];
        }
        self.rows_per_slot = rows_per_slot;
        Ok(tags)
    }

    /// The rows of each slot, in the order of the batch.
    fn rows(self, slots: usize) -> SlotRows {
        let changes = self.of_row.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let mut ends: Vec<u32> = Vec::with_capacity(slots);
        if changes + 1 == slots {
            // Every tag's rows stand together: columns are copied in runs.
            let mut starts = vec![0_u32; slots];
            let mut before = None;
            for (row, slot) in self.of_row.iter().enumerate() {
                if before != Some(slot) {
                    starts[*slot as usize] = row as u32;
                    before = Some(slot);
                }
            }
            return SlotRows::Together(
                starts.iter().zip(&self.rows_per_slot).map(|(start, rows)| *start as usize..(start + rows) as usize).collect(),
            );
        }
        let mut at = 0;
        let mut next: Vec<u32> = Vec::with_capacity(slots);
        for rows in &self.rows_per_slot {
            next.push(at);
            at += rows;
            ends.push(at);
        }
        let mut order = vec![0_u32; self.of_row.len()];
        for (row, slot) in self.of_row.iter().enumerate() {
            let place = &mut next[*slot as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        SlotRows::Mixed { order, ends }
    }
}

/// Slot of each row, rows of each slot, and the first row of each slot.
fn distinct<'a>(names: &impl StringArrayType<'a>) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut of_row = Vec::with_capacity(names.len());
    let (mut rows_per_slot, mut first_rows) = (Vec::new(), Vec::new());
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut before: Option<(&str, u32)> = None;
    for row in 0..names.len() {
        let name = names.value(row);
        let slot = match before {
            Some((same, slot)) if same == name => slot,
            _ => *known.entry(name).or_insert_with(|| {
                first_rows.push(row as u32);
                rows_per_slot.push(0);
                first_rows.len() as u32 - 1
            }),
        };
        rows_per_slot[slot as usize] += 1;
        of_row.push(slot);
        before = Some((name, slot));
    }
    (of_row, rows_per_slot, first_rows)
}

/// Rows of the batch by slot.
enum SlotRows {
    Together(Vec<Range<usize>>),
    /// Row numbers ordered by slot; the rows of slot `s` end at `ends[s]`.
    Mixed {
        order: Vec<u32>,
        ends: Vec<u32>,
    },
}

/// Rows of one slot.
enum RowsOf<'a> {
    Run(Range<usize>),
    List(&'a [u32]),
}

impl RowsOf<'_> {
    fn len(&self) -> usize {
        match self {
            RowsOf::Run(run) => run.len(),
            RowsOf::List(list) => list.len(),
        }
    }

    fn collect<T>(&self, mut pick: impl FnMut(usize) -> T) -> Vec<T> {
        match self {
            RowsOf::Run(run) => run.clone().map(pick).collect(),
            RowsOf::List(list) => list.iter().map(|row| pick(*row as usize)).collect(),
        }
    }
}

impl SlotRows {
    /// One result per slot.
    fn each<T>(&self, mut of: impl FnMut(RowsOf) -> T) -> Vec<T> {
        match self {
            SlotRows::Together(runs) => runs.iter().map(|run| of(RowsOf::Run(run.clone()))).collect(),
            SlotRows::Mixed { order, ends } => {
                let starts = std::iter::once(&0).chain(ends);
                starts.zip(ends).map(|(start, end)| of(RowsOf::List(&order[*start as usize..*end as usize]))).collect()
            }
        }
    }

    /// A column, cut into one vector per slot.
    fn gather<T: Copy>(&self, column: &[T]) -> Vec<Vec<T>> {
        self.each(|rows| match rows {
            RowsOf::Run(run) => column[run].to_vec(),
            RowsOf::List(list) => list.iter().map(|row| column[*row as usize]).collect(),
        })
    }

    /// Row number in the batch of a sample of a slot.
    fn row(&self, slot: usize, index: usize) -> usize {
        match self {
            SlotRows::Together(runs) => runs[slot].start + index,
            SlotRows::Mixed { order, ends } => {
                let start = if slot == 0 { 0 } else { ends[slot - 1] as usize };
                order[start + index] as usize
            }
        }
    }
}

fn validity(nulls: &NullBuffer, rows: &RowsOf) -> Option<Bitmap> {
    let valid = rows.collect(|row| nulls.is_valid(row));
    valid.contains(&false).then(|| valid.into_iter().collect())
}

/// The value column per slot, in the type it came in; slots of nulls hold the default.
fn gather_values(values: &ArrayRef, nulls: Option<&NullBuffer>, rows: &SlotRows) -> Result<Vec<Values>, Status> {
    fn numbers<T: ArrowPrimitiveType, U: Copy + Default>(
        values: &ArrayRef,
        nulls: Option<&NullBuffer>,
        rows: &SlotRows,
        convert: impl Fn(T::Native) -> U,
        wrap: fn(Vec<U>) -> Values,
    ) -> Vec<Values> {
        let column: &[T::Native] = values.as_primitive::<T>().values();
        match nulls {
            None => rows.each(|rows| wrap(rows.collect(|row| convert(column[row])))),
            Some(nulls) => {
                rows.each(|rows| wrap(rows.collect(|row| if nulls.is_valid(row) { convert(column[row]) } else { U::default() })))
            }
        }
    }
    fn texts<'a>(column: &impl StringArrayType<'a>, nulls: Option<&NullBuffer>, rows: &SlotRows) -> Result<Vec<Values>, Status> {
        let gathered = rows.each(|rows| {
            let mut text = StringColumn::with_capacity(rows.len());
            for row in rows.collect(|row| row) {
                text.push(if nulls.is_none_or(|nulls| nulls.is_valid(row)) { column.value(row) } else { "" })?;
            }
            Ok(Values::String(text))
        });
        gathered
            .into_iter()
            .collect::<Result<_, historian_format::PushError>>()
            .map_err(|error| status::invalid("value", error.to_string()))
    }
    Ok(match values.data_type() {
        DataType::Float64 => numbers::<Float64Type, _>(values, nulls, rows, |value| value, Values::F64),
        DataType::Float32 => numbers::<Float32Type, _>(values, nulls, rows, |value| value, Values::F32),
        DataType::Int64 => numbers::<Int64Type, _>(values, nulls, rows, |value| value, Values::I64),
        DataType::Int32 => numbers::<Int32Type, _>(values, nulls, rows, i64::from, Values::I64),
        DataType::Int16 => numbers::<Int16Type, _>(values, nulls, rows, i64::from, Values::I64),
        DataType::Int8 => numbers::<Int8Type, _>(values, nulls, rows, i64::from, Values::I64),
        DataType::UInt64 => numbers::<UInt64Type, _>(values, nulls, rows, |value| value, Values::U64),
        DataType::UInt32 => numbers::<UInt32Type, _>(values, nulls, rows, u64::from, Values::U64),
        DataType::UInt16 => numbers::<UInt16Type, _>(values, nulls, rows, u64::from, Values::U64),
        DataType::UInt8 => numbers::<UInt8Type, _>(values, nulls, rows, u64::from, Values::U64),
        DataType::Boolean => {
            let column = values.as_boolean().values();
            rows.each(|rows| Values::Bool(rows.collect(|row| nulls.is_none_or(|nulls| nulls.is_valid(row)) && column.value(row))))
        }
        DataType::Utf8 => texts(&values.as_string::<i32>(), nulls, rows)?,
        DataType::LargeUtf8 => texts(&values.as_string::<i64>(), nulls, rows)?,
        DataType::Utf8View => texts(&values.as_string_view(), nulls, rows)?,
        other => return Err(status::invalid("value", format!("has the type {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            BooleanArray, DictionaryArray, Float64Array, Int16Array, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
            UInt32Array,
        },
        datatypes::{Field, Schema},
    };
    use tonic::Code;

    use super::*;
    use historian_model::{TagDefinition, TagName, Timestamp, Value};

    /// Makes a tag of the given type for every name, with ids by first sight.
    fn catalog(of: ValueType) -> impl FnMut(&[&str], ValueType) -> Result<Vec<Arc<Tag>>, Status> {
        let mut known: HashMap<String, u32> = HashMap::new();
        move |names, _| {
            Ok(names
                .iter()
                .map(|name| {
                    let next = known.len() as u32;
                    let id = TagId(*known.entry((*name).to_owned()).or_insert(next));
                    let definition = TagDefinition::new(TagName::new(name).unwrap(), of);
                    Arc::new(Tag { id, definition, created: Timestamp(0), updated: Timestamp(0) })
                })
                .collect())
        }
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
    }

    fn dictionary(names: &[&str], keys: &[i16]) -> ArrayRef {
        let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        Arc::new(DictionaryArray::<Int16Type>::new(Int16Array::from(keys.to_vec()), names))
    }

    fn nanoseconds_column(times: &[i64]) -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC"))
    }

    fn floats(values: Vec<Option<f64>>) -> ArrayRef {
        Arc::new(Float64Array::from(values))
    }

    fn rows(batch: &SampleBatch, id: u32) -> Vec<(i64, Option<Value>, u32)> {
        let (_, run) = batch.runs.iter().find(|(tag, _)| tag.0 == id).unwrap();
        (0..run.len()).map(|row| (run.timestamps[row], run.value(row), run.qualities[row])).collect()
    }

    #[test]
    fn mixed_rows_are_grouped_in_order_and_unused_or_doubled_names_do_no_harm() {
        let batch = batch(vec![
            ("quality", Arc::new(UInt32Array::from(vec![0, 0x8000_0000, 7, 0, 0])) as ArrayRef),
            ("tag", dictionary(&["unused*", "a", "b", "a"], &[1, 2, 1, 3, 2])),
            ("timestamp", nanoseconds_column(&[10, 20, 30, 5, 40])),
            ("value", floats(vec![Some(1.0), None, Some(2.0), Some(f64::NAN), Some(-0.0)])),
        ]);
        let grouped = group(&batch, &mut catalog(ValueType::F64)).unwrap();
        assert_eq!(grouped.runs.len(), 2);
        assert_eq!(rows(&grouped, 0), [(10, Some(Value::F64(1.0)), 0), (30, Some(Value::F64(2.0)), 7), (5, Some(Value::F64(f64::NAN)), 0)]);
        assert_eq!(rows(&grouped, 1), [(20, None, 0x8000_0000), (40, Some(Value::F64(-0.0)), 0)]);
    }

    #[test]
    fn runs_that_stand_together_and_plain_names_give_the_same() {
        for keys in [vec![0, 0, 1, 1, 2], vec![2, 2, 0, 1, 1], vec![0, 1, 2, 0, 1]] {
            let names = ["x", "y", "z"];
            let plain: ArrayRef = Arc::new(StringArray::from(keys.iter().map(|key| names[*key as usize]).collect::<Vec<_>>()));
            let values: Vec<Option<f64>> = (0..5).map(|value| Some(f64::from(value))).collect();
            for tag in [dictionary(&names, &keys), plain.clone(), arrow::compute::cast(&plain, &DataType::Utf8View).unwrap()] {
                let batch =
                    batch(vec![("tag", tag), ("timestamp", nanoseconds_column(&[0, 1, 2, 3, 4])), ("value", floats(values.clone()))]);
                let mut asked = Vec::new();
                let mut tags = catalog(ValueType::F64);
                let grouped = group(&batch, &mut |names, value_type| {
                    asked = names.iter().map(|name| (*name).to_owned()).collect();
                    tags(names, value_type)
                })
                .unwrap();
                for (id, name) in asked.iter().enumerate() {
                    let expected: Vec<_> = (0..5)
                        .filter(|row| names[keys[*row] as usize] == name)
                        .map(|row| (row as i64, Some(Value::F64(row as f64)), 0))
                        .collect();
                    assert_eq!(rows(&grouped, id as u32), expected, "{keys:?} {name}");
                }
            }
        }
    }

    #[test]
    fn columns_of_other_types_fit_where_they_are_exact() {
        let one = |value: ArrayRef, of| {
            let batch = batch(vec![("tag", dictionary(&["a"], &[0, 0])), ("timestamp", nanoseconds_column(&[1, 2])), ("value", value)]);
            group(&batch, &mut catalog(of)).map(|grouped| rows(&grouped, 0).into_iter().map(|(_, value, _)| value).collect::<Vec<_>>())
        };
        assert_eq!(one(Arc::new(Int16Array::from(vec![-3, 4])), ValueType::F64).unwrap(), [Some(Value::F64(-3.0)), Some(Value::F64(4.0))]);
        assert_eq!(
            one(Arc::new(BooleanArray::from(vec![true, false])), ValueType::Bool).unwrap(),
            [Some(Value::Bool(true)), Some(Value::Bool(false))]
        );
        assert_eq!(
            one(Arc::new(StringArray::from(vec!["x", "ö"])), ValueType::String).unwrap(),
            [Some(Value::String("x".into())), Some(Value::String("ö".into()))]
        );
        let error = one(floats(vec![Some(1.0), Some(1.5)]), ValueType::I64).unwrap_err();
        assert!(error.message().contains("row 1 (tag \"a\")") && error.message().contains("1.5"), "{}", error.message());
        let error = one(Arc::new(StringArray::from(vec!["x", "y"])), ValueType::F64).unwrap_err();
        assert!(error.message().contains("type string") && error.message().contains("type f64"), "{}", error.message());
    }

    #[test]
    fn coarser_timestamps_are_scaled_exactly_or_refused() {
        let of = |ticks: Vec<i64>| {
            let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(ticks));
            let batch = batch(vec![("tag", dictionary(&["a"], &[0])), ("timestamp", times), ("value", floats(vec![Some(0.0)]))]);
            group(&batch, &mut catalog(ValueType::F64)).map(|grouped| rows(&grouped, 0)[0].0)
        };
        assert_eq!(of(vec![-9_223_372_036_854]).unwrap(), -9_223_372_036_854_000_000);
        assert!(of(vec![9_223_372_036_855]).unwrap_err().message().contains("row 0"));
    }

    #[test]
    fn nulls_where_none_may_be_are_refused_by_row() {
        let good = || {
            vec![
                ("tag", dictionary(&["a"], &[0, 0])),
                ("timestamp", nanoseconds_column(&[1, 2])),
                ("value", floats(vec![Some(0.0), Some(1.0)])),
            ]
        };
        let mut no_tag = good();
        no_tag[0].1 = Arc::new(StringArray::from(vec![Some("a"), None]));
        let mut no_time = good();
        no_time[1].1 = Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]));
        let mut no_value = good();
        no_value[2].1 = floats(vec![Some(0.0), None]);
        let mut no_quality = good();
        no_quality.push(("quality", Arc::new(UInt32Array::from(vec![Some(0), None]))));
        for (columns, field) in [(no_tag, "tag"), (no_time, "timestamp"), (no_value, "value"), (no_quality, "quality")] {
            let error = group(&batch(columns), &mut catalog(ValueType::F64)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().starts_with(field) && error.message().contains("row 1"), "{}", error.message());
        }
    }
}
