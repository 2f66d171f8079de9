//! The batch of the long layout while it grows: tag, timestamp, value, quality, and more columns where the tags are of several types.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, StringArray},
    datatypes::{Int32Type, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    QueryError, arrow_column, boundary,
    common_type::{self, MoreColumns, ValueColumns},
    gather::Gather,
    portion::slices,
    schema::LongColumns,
};
use historian_model::{Samples, Tag, Value, ValueType};

/// A batch of the long layout while it grows.
pub struct LongBatch {
    schema: SchemaRef,
    /// Names of all tags of the answer: the same array in every batch.
    names: ArrayRef,
    keys: Vec<i32>,
    samples: Samples,
    more: MoreColumns,
    types: Option<TypeColumn>,
    scratch: Samples,
}

impl LongBatch {
    pub fn new(schema: SchemaRef, tags: &[Arc<Tag>], columns: LongColumns) -> LongBatch {
        let names: StringArray = tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        let types = columns.types.then(|| TypeColumn::new(tags));
        LongBatch::empty(schema, Arc::new(names), columns.values, types)
    }

    fn empty(schema: SchemaRef, names: ArrayRef, values: ValueColumns, types: Option<TypeColumn>) -> LongBatch {
        let samples = || Samples::new(values.value);
        LongBatch { schema, names, keys: Vec::new(), samples: samples(), more: MoreColumns::new(values), types, scratch: samples() }
    }

    /// Appends one sample of the tag at `index`; false, and nothing is done, when its value is not of the type of `value`.
    pub fn push(&mut self, index: usize, timestamp: i64, value: Option<&Value>, quality: u32) -> bool {
        let pushed = self.samples.push(timestamp, value, quality).is_ok();
        if pushed {
            self.keys.push(index as i32);
        }
        pushed
    }

    /// Appends samples of the tag at `index`, each value to the columns it belongs in.
    pub fn append(&mut self, index: usize, samples: &Samples) {
        common_type::append(samples, &mut self.samples, &mut self.more);
        self.keys.resize(self.samples.len(), index as i32);
    }

    /// Everything so far as one batch; starts anew.
    pub fn take(&mut self) -> Result<RecordBatch, QueryError> {
        let value_type = self.samples.value_type();
        let samples = std::mem::replace(&mut self.samples, Samples::new(value_type));
        let more = self.more.take(samples.len());
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let types = self.types.as_ref().map(|types| types.of(&keys));
        let nulls = arrow_column::nulls(samples.validity);
        let columns = DictionaryArray::<Int32Type>::try_new(keys, self.names.clone()).and_then(|tags| {
            let mut columns = vec![
                Arc::new(tags) as ArrayRef,
                arrow_column::timestamps(samples.timestamps),
                arrow_column::values(samples.values, nulls)?,
                arrow_column::qualities(samples.qualities, None),
            ];
            columns.extend(more?);
            columns.extend(types.transpose()?);
            Ok(columns)
        });
        columns
            .and_then(|columns| RecordBatch::try_new(self.schema.clone(), columns))
            .map_err(|error| QueryError::Store(format!("a batch could not be formed: {error}")))
    }
}

impl Gather for LongBatch {
    type Portion = RecordBatch;

    fn another(&self) -> LongBatch {
        LongBatch::empty(self.schema.clone(), self.names.clone(), self.more.columns(), self.types.clone())
    }

    fn rows(&self) -> usize {
        self.samples.len()
    }

    fn last_timestamp(&self) -> Option<i64> {
        self.samples.timestamps.last().copied()
    }

    fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.samples.timestamps.reserve(rows);
        self.samples.values.reserve(rows);
        self.samples.qualities.reserve(rows);
    }

    fn append_from(&mut self, index: usize, source: &mut boundary::BoundedCursor<'_>, limit: u64) -> Result<u64, QueryError> {
        if source.value_type() == self.samples.value_type() {
            let appended = source.next_up_to(limit, &mut self.samples)?;
            self.keys.resize(self.samples.len(), index as i32);
            return Ok(appended);
        }
        let mut portion = std::mem::replace(&mut self.scratch, Samples::new(source.value_type()));
        if portion.value_type() != source.value_type() {
            portion = Samples::new(source.value_type());
        }
        portion.clear();
        let appended = source.next_up_to(limit, &mut portion)?;
        self.append(index, &portion);
        self.scratch = portion;
        Ok(appended)
    }

    fn hand_on(&mut self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<bool, QueryError> {
        let batch = self.take()?;
        Ok(slices(&batch).all(emit))
    }

    /// Without the names, which all batches share.
    fn weight(batch: &RecordBatch) -> usize {
        batch.columns().iter().skip(1).map(|column| column.get_array_memory_size()).sum()
    }
}

/// The column `type`.
#[derive(Clone)]
struct TypeColumn {
    names: ArrayRef,
    /// Of each tag the place of its type among the names.
    of_tags: Arc<[i32]>,
}

impl TypeColumn {
    fn new(tags: &[Arc<Tag>]) -> TypeColumn {
        let place = |tag: &Arc<Tag>| ValueType::ALL.iter().position(|value_type| *value_type == tag.value_type()).unwrap_or(0) as i32;
        let names = StringArray::from_iter_values(ValueType::ALL.iter().map(|value_type| value_type.as_str()));
        TypeColumn { names: Arc::new(names), of_tags: tags.iter().map(place).collect() }
    }

    fn of(&self, keys: &Int32Array) -> Result<ArrayRef, ArrowError> {
        let places = keys.unary::<_, Int32Type>(|key| self.of_tags[key as usize]);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(places, self.names.clone())?))
    }
}
