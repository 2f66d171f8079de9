//! `asof`: what each tag was at times of the client, which come as rows by `DoExchange` or as a list by gRPC.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use historian_proto::v1;
use tonic::Status;

use super::{
    asker::Asker,
    contract::{Door, QueryKind, Resolved, UnknownNames, refused},
};
use crate::{
    answer::{self, damaged, unknown},
    flight::decode::{shown, type_name},
    resolve::{SelectedTags, duration},
    sample, status,
    timestamps::nanoseconds,
};
use historian_operators::kpi::Eligible;
use historian_query::{AS_OF_TAGS_MAX, AsOfQuery, AsOfSamples, QueryEngine, QueryLimits, as_of_fields, check_names, tells_states};

/// Samples of one answer to `AsOf` at most; how many of them fit into it depends on their type.
const AS_OF_CELLS_MAX: usize = 1 << 20;
const NOT_AS_OF: &str = "ask in parts, or use DoExchange, which takes any number of rows";

/// A resolved join, its times those of the request.
pub struct AsOfKind {
    query: AsOfQuery,
}

impl QueryKind for AsOfKind {
    const NAME: &'static str = "asof";
    const METHOD: &'static str = "AsOf";
    const DOOR: Door = Door::Exchange;
    const SQL: Option<&'static str> = None;
    type Request = v1::AsOfRequest;

    fn resolve(asker: &Asker<'_>, request: v1::AsOfRequest) -> Result<(AsOfKind, UnknownNames), Status> {
        let eligible = match v1::QualityFilter::try_from(request.quality) {
            Ok(v1::QualityFilter::Unspecified | v1::QualityFilter::NotBad) => Eligible::NotBad,
            Ok(v1::QualityFilter::Any) => Eligible::Any,
            Ok(v1::QualityFilter::Good) => Eligible::Good,
            Err(_) => return Err(status::invalid("quality", "is none of ANY, NOT_BAD, GOOD")),
        };
        let tolerance = duration("tolerance", &request.tolerance)?.unsigned_abs();
        let tolerance_ns = (!request.tolerance.trim().is_empty()).then_some(tolerance);
        let SelectedTags { tags, missing } = asker.tags(&request.tags)?;
        if tags.len() > AS_OF_TAGS_MAX {
            let message = format!("{} tags are joined, at most {AS_OF_TAGS_MAX} are at once; use a narrower glob", tags.len());
            return Err(status::too_much("as_of_tags_max", message));
        }
        Ok((AsOfKind { query: AsOfQuery { tags, times: request.timestamps, tolerance_ns, eligible } }, missing))
    }

    fn plan(_asker: &Asker<'_>, _request: v1::AsOfRequest) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        Err(refused::<AsOfKind>())
    }
}

impl AsOfKind {
    /// How many tags are joined.
    pub fn tags(&self) -> usize {
        self.query.tags.len()
    }

    /// The client's columns and three for each tag.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where two would have one name.
    pub fn schema(&self, rows: &Schema) -> Result<SchemaRef, Status> {
        let mut fields: Vec<Field> = rows.fields().iter().map(|field| field.as_ref().clone()).collect();
        let states = tells_states(&self.query.tags);
        let added: Vec<Field> = self.query.tags.iter().flat_map(|tag| as_of_fields(tag, states)).collect();
        if let Some(field) = fields.iter().find(|field| added.iter().any(|added| added.name() == field.name())) {
            let message = format!("the column {} has the name of one that is to be added for a tag; rename it", shown(field));
            return Err(status::invalid("schema", message));
        }
        check_names(&added).map_err(|error| status::from_query(&error))?;
        fields.extend(added);
        Ok(Arc::new(Schema::new(fields).with_metadata(rows.metadata().clone())))
    }

    /// The rows with the columns of the tags. A row without a time gets nulls.
    ///
    /// # Errors
    /// Of the join.
    pub fn join(&self, engine: &QueryEngine, rows: &RecordBatch, schema: &SchemaRef, limits: &QueryLimits) -> Result<RecordBatch, Status> {
        let failed = |error: arrow::error::ArrowError| status::internal(format!("the joined rows could not be formed: {error}"));
        let times = times(rows)?;
        let known: Vec<i64> = times.iter().copied().flatten().collect();
        // Which of the joined samples each row gets.
        let mut next = 0..;
        let places: Option<UInt32Array> =
            (known.len() < times.len()).then(|| times.iter().map(|time| time.and_then(|_| next.next())).collect());
        let query = AsOfQuery { times: known, ..self.query.clone() };
        let answers = engine.as_of(&query, limits).map_err(|error| status::from_query(&error))?;
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        for answer in answers {
            let arrays = answer.and_then(AsOfSamples::into_arrays).map_err(|error| status::from_query(&error))?;
            for array in arrays {
                columns.push(match &places {
                    None => array,
                    Some(_) if array.is_empty() => new_null_array(array.data_type(), rows.num_rows()),
                    Some(places) => arrow::compute::take(array.as_ref(), places, None).map_err(failed)?,
                });
            }
        }
        RecordBatch::try_new(schema.clone(), columns).map_err(failed)
    }

    /// The answer in one message. Blocks.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where it is more than a client takes, and of the join.
    pub fn answer(&self, missing: UnknownNames, engine: &QueryEngine, limits: &QueryLimits) -> Result<v1::AsOfResponse, Status> {
        let query = &self.query;
        let cells = query.times.len().saturating_mul(query.tags.len());
        if cells > AS_OF_CELLS_MAX {
            let message = format!(
                "{} times for {} tags are {cells} samples, at most {AS_OF_CELLS_MAX} are answered at once; {NOT_AS_OF}",
                query.times.len(),
                query.tags.len()
            );
            return Err(status::too_much("as_of_cells_max", message));
        }
        let answers = engine.as_of(query, limits).map_err(|error| status::from_query(&error))?;
        let mut response =
            v1::AsOfResponse { samples: Vec::with_capacity(answers.len()), failures: missing.into_iter().map(unknown).collect() };
        for (tag, answer) in query.tags.iter().zip(answers) {
            match answer {
                Ok(held) => response.samples.push(sample::of_columns(tag.name().as_str(), &held.samples)),
                Err(error) => response.failures.push(damaged(tag, &error)),
            }
        }
        response.failures = answer::failures(response.failures, 0);
        answer::whole(response, NOT_AS_OF)
    }
}

/// Takes any columns that can be passed on, and asks for the times.
///
/// # Errors
/// `INVALID_ARGUMENT` with the column that is missing or refused.
pub fn check_schema(schema: &Schema) -> Result<(), Status> {
    const WANTED: &str = "rows to join have a column timestamp of type Timestamp and any others";
    let Ok(field) = schema.field_with_name("timestamp") else {
        let found: Vec<String> = schema.fields().iter().take(20).map(|field| shown(field)).collect();
        return Err(status::invalid("schema", format!("the column timestamp is missing, found {}; {WANTED}", found.join(", "))));
    };
    if !matches!(field.data_type(), DataType::Timestamp(..)) {
        return Err(status::invalid("schema", format!("the column timestamp has the type {}; {WANTED}", type_name(field.data_type()))));
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if schema.fields().iter().take(index).any(|before| before.name() == field.name()) {
            return Err(status::invalid("schema", format!("the column {} occurs twice", shown(field))));
        }
        if !passes(field.data_type()) {
            let message =
                format!("the column {} has the type {}, which is not passed on; leave it out", shown(field), type_name(field.data_type()));
            return Err(status::invalid("schema", message));
        }
    }
    Ok(())
}

fn passes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(key, value) => key.is_dictionary_key_type() && !value.is_nested() && passes(value),
        DataType::List(item) | DataType::LargeList(item) => passes(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| passes(field.data_type())),
        other => !other.is_nested() && !matches!(other, DataType::RunEndEncoded(..)),
    }
}

/// The times of rows; `None` where a row has none.
fn times(rows: &RecordBatch) -> Result<Vec<Option<i64>>, Status> {
    let column = rows.column_by_name("timestamp").ok_or_else(|| status::internal("the rows have no column timestamp"))?;
    let times = nanoseconds(column.as_ref())?;
    Ok(times.iter().enumerate().map(|(row, time)| (!column.is_null(row)).then_some(*time)).collect())
}

#[cfg(test)]
mod tests {
    use arrow::{array::TimestampMillisecondArray, datatypes::TimeUnit};
    use tonic::Code;

    use super::*;

    #[test]
    fn any_columns_are_passed_on_but_those_that_cannot_be() {
        let with = |field: Field| {
            let time = Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into())), true);
            check_schema(&Schema::new(vec![time, field]))
        };
        let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let list = DataType::List(Arc::new(Field::new("item", DataType::Float32, true)));
        for data_type in [DataType::Utf8, text, list, DataType::Null, DataType::Decimal128(10, 2), DataType::Date32] {
            assert!(with(Field::new("x", data_type.clone(), true)).is_ok(), "{data_type}");
        }
        let runs = Arc::new(Field::new("run_ends", DataType::Int32, false));
        let values = Arc::new(Field::new("values", DataType::Utf8, true));
        for (field, fragment) in [
            (Field::new("timestamp", DataType::Int64, true), "twice"),
            (Field::new("x", DataType::RunEndEncoded(runs, values), true), "leave it out"),
        ] {
            let error = with(field).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(fragment), "{}", error.message());
        }
        let error = check_schema(&Schema::new(vec![Field::new("time", DataType::Int64, true)])).unwrap_err();
        assert!(error.message().contains("timestamp is missing, found \"time\""), "{}", error.message());
        let error = check_schema(&Schema::new(vec![Field::new("timestamp", DataType::Int64, true)])).unwrap_err();
        assert!(error.message().contains("Int64"), "{}", error.message());
    }

    #[test]
    fn a_row_without_a_time_is_joined_with_none() {
        let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(-3), None]));
        let schema = Schema::new(vec![Field::new("timestamp", column.data_type().clone(), true)]);
        assert_eq!(times(&RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap()).unwrap(), [Some(-3_000_000), None]);
    }
}
