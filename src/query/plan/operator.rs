//! What all operators over tags have in common: units of work that run in parallel, what they give as rows, and rows that become batches or
//! are handed on as they are.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, StringArray, TimestampNanosecondArray},
    datatypes::{Int32Type, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::parallel::{Put, Workers, in_order};
use crate::{
    BATCH_ROWS_MAX, QueryError, QueryLimits,
    portion::{Rows, slices},
};
use historian_model::Tag;
use historian_read::merge::TagReader;

/// One tag, some of the intervals of the query; all of them where it has none.
#[derive(Clone, Debug)]
pub struct WorkUnit {
    pub tag: usize,
    pub part: Range<usize>,
}

impl WorkUnit {
    /// A unit for each tag.
    pub fn tags(tags: usize) -> Vec<WorkUnit> {
        (0..tags).map(|tag| WorkUnit { tag, part: 0..0 }).collect()
    }

    /// Units of so many intervals of a tag at most.
    pub fn intervals(tags: usize, count: usize, per_unit: usize) -> Vec<WorkUnit> {
        let of_tag = |tag| (0..count).step_by(per_unit).map(move |at| WorkUnit { tag, part: at..(at + per_unit).min(count) });
        (0..tags).flat_map(of_tag).collect()
    }
}

/// Makes batches of rows.
pub type Batcher<'a, R> = Box<dyn FnMut(R) -> Result<RecordBatch, QueryError> + 'a>;

/// An operator over tags: a query whose tags, times and parameters are resolved.
pub trait Operator: Clone + Send + Sync + 'static {
    /// What units share, made before the first one.
    type Shared: Sync;
    /// What a unit puts, in one portion or several.
    type Part: Send;
    type Rows: Rows + Default;

    fn tags(&self) -> &[Arc<Tag>];

    /// The same query of one of its tags.
    #[must_use]
    fn of_tag(&self, tag: &Arc<Tag>) -> Self;

    fn schema(&self) -> SchemaRef;

    /// Checks what can be told before anything is read, and makes what units share.
    ///
    /// # Errors
    /// [`QueryError::Invalid`], naming the parameter.
    fn prepare(&self, reader: &TagReader) -> Result<Self::Shared, QueryError>;

    fn units(&self) -> Vec<WorkUnit>;

    /// Does one unit of work.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn work(
        &self,
        shared: &Self::Shared,
        reader: &TagReader,
        unit: &WorkUnit,
        limits: &QueryLimits,
        put: Put<'_, Self::Part>,
    ) -> Result<(), QueryError>;

    /// Memory of a part that waits for its turn, about.
    fn weight(part: &Self::Part) -> usize;

    /// Appends what a unit of a tag gave.
    fn append(&self, rows: &mut Self::Rows, tag: usize, part: Self::Part);

    /// Makes batches of rows. What all batches of an answer share is made once.
    fn batcher(&self) -> Batcher<'_, Self::Rows>;
}

/// Runs an operator and hands on its rows, so many at a time that they fill a batch; `take` answers false to stop.
pub fn rows<O: Operator>(
    reader: &TagReader,
    threads: usize,
    query: &O,
    limits: &QueryLimits,
    take: &mut dyn FnMut(O::Rows) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    let shared = query.prepare(reader)?;
    let mut rows = O::Rows::default();
    let (mut total, mut reading) = (0, true);
    in_order(
        Workers { threads, limits },
        &query.units(),
        |(_, part): &(usize, O::Part)| O::weight(part),
        |unit, put| {
            limits.check(0)?;
            query.work(&shared, reader, unit, limits, &mut |part| put((unit.tag, part)))
        },
        |(tag, part)| {
            let before = rows.len();
            query.append(&mut rows, tag, part);
            total += (rows.len() - before) as u64;
            limits.check(total)?;
            if rows.len() >= BATCH_ROWS_MAX {
                reading = take(std::mem::take(&mut rows))?;
            }
            Ok(reading)
        },
    )?;
    if reading && !rows.is_empty() {
        take(rows)?;
    }
    Ok(())
}

/// Runs an operator and hands its answer on as batches.
pub fn batches<O: Operator>(
    reader: &TagReader,
    threads: usize,
    query: &O,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let mut batch = query.batcher();
    rows(reader, threads, query, limits, &mut |rows| Ok(slices(&batch(rows)?).all(&mut *emit)))
}

/// The names of tags, which the column `tag` of all batches points into.
pub fn names(tags: &[Arc<Tag>]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(tags.iter().map(|tag| tag.name().as_str())))
}

/// A column of names by their places.
pub fn named(places: Vec<i32>, names: &ArrayRef) -> Result<ArrayRef, QueryError> {
    let column = DictionaryArray::<Int32Type>::try_new(Int32Array::from(places), names.clone());
    column.map(|column| Arc::new(column) as ArrayRef).map_err(|error| not_formed(&error))
}

/// A batch of these columns.
pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, QueryError> {
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| not_formed(&error))
}

fn not_formed(error: &ArrowError) -> QueryError {
    QueryError::Store(format!("a batch could not be formed: {error}"))
}

/// A column of times.
pub fn times(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
}
