//! The types that answers to SQL have on the wire. The engine's are chosen for speed and exactness (dictionaries, unsigned numbers, views); many
//! clients show the keys of a dictionary for its values, or read an unsigned number as a signed one, and say nothing. So all that Flight SQL
//! tells or sends passes through here: there is one mapping, and what is told cannot differ from what is sent.

use std::{cell::Cell, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, can_cast_types, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    util::display::FormatOptions,
};
use jiff::{Timestamp, tz::TimeZone};
use tonic::Status;

use super::answer::AnswerOptions;
use crate::status;
use historian_sql::ScalarValue;

/// Digits of the largest unsigned number of 64 bits.
const U64_DIGITS: u8 = 20;
/// Most bytes of text that one batch is made of by writing out a dictionary, unless a single row has more.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The schema of an answer as clients are told it.
pub fn schema(engine: &Schema, options: &AnswerOptions) -> SchemaRef {
    let fields: Vec<FieldRef> = engine.fields().iter().map(|field| shown_field(wire_field(field, options), options)).collect();
    Arc::new(Schema::new(fields).with_metadata(engine.metadata().clone()))
}

/// The schema of the parameters of a statement as clients are told it. Times are milliseconds, since the JDBC driver sends those in whatever unit
/// is declared (apache/arrow-java#838); what the statement does not tell is text, which every driver can bind. Either is a proposal: what is
/// sent says its own type. Who sees times of a wall clock gives such, too.
pub fn parameters(engine: &Schema, options: &AnswerOptions) -> SchemaRef {
    let zone = (!options.zoneless).then(|| "UTC".into());
    let declared = |field: &FieldRef| {
        let data_type = match field.data_type() {
            // No driver binds an interval.
            DataType::Null | DataType::Interval(_) | DataType::Duration(_) => DataType::Utf8,
            DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            other => wire_type(other, &AnswerOptions::default()),
        };
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    Arc::new(Schema::new(engine.fields().iter().map(declared).collect::<Vec<_>>()))
}

/// A value that a client bound, as the engine takes it: a time without a zone is that of the wall clock which the client is shown. A time that the
/// clock shows twice is the earlier one, and one that it leaves out is as much later.
///
/// # Errors
/// `INVALID_ARGUMENT` for a zone that is not known.
pub fn parameter(value: ScalarValue, options: &AnswerOptions) -> Result<ScalarValue, Status> {
    if !options.zoneless || options.zone.is_empty() {
        return Ok(value);
    }
    let (count, unit) = match value {
        ScalarValue::TimestampSecond(Some(at), None) => (at, 1_000_000_000),
        ScalarValue::TimestampMillisecond(Some(at), None) => (at, 1_000_000),
        ScalarValue::TimestampMicrosecond(Some(at), None) => (at, 1_000),
        ScalarValue::TimestampNanosecond(Some(at), None) => (at, 1),
        other => return Ok(other),
    };
    let zone = TimeZone::get(&options.zone).map_err(|_| status::invalid("zone", format!("there is no zone {:?}", options.zone)))?;
    let clock = Timestamp::from_nanosecond(i128::from(count) * i128::from(unit)).map(|at| at.to_zoned(TimeZone::UTC).datetime());
    let moment = clock.and_then(|clock| zone.to_ambiguous_timestamp(clock).compatible()).ok().map(Timestamp::as_nanosecond);
    // Beyond what a calendar has, an hour makes no difference.
    let moment = moment.unwrap_or(i128::from(count) * i128::from(unit)).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Ok(ScalarValue::TimestampNanosecond(Some(moment as i64), Some("UTC".into())))
}

/// Batches of the engine, in the types of [`schema`], handed to `emit` until it returns false. A batch whose dictionaries would make too much text
/// becomes several.
///
/// # Errors
/// When the batch does not fit the schema.
pub fn batches(
    batch: &RecordBatch,
    wire: &SchemaRef,
    options: &AnswerOptions,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<bool, ArrowError> {
    let rows = batch.num_rows();
    if rows > 1 && written_out_bytes(batch, wire) > TEXT_BYTES_MAX {
        let half = rows / 2;
        return Ok(batches(&batch.slice(0, half), wire, options, emit)? && batches(&batch.slice(half, rows - half), wire, options, emit)?);
    }
    let columns = batch.columns().iter().zip(wire.fields()).map(|(column, field)| wire_column(column, field.data_type(), options));
    let row_count = RecordBatchOptions::new().with_row_count(Some(rows));
    let converted = RecordBatch::try_new_with_options(wire.clone(), columns.collect::<Result<Vec<_>, _>>()?, &row_count)?;
    Ok(emit(converted))
}

/// Times as the client wants them shown: of its zone, or as the clock on the wall there shows them. Columns only; what lies in lists stays in UTC.
fn shown_field(field: FieldRef, options: &AnswerOptions) -> FieldRef {
    let DataType::Timestamp(unit, Some(zone)) = field.data_type() else { return field };
    let zone = match options.zone.as_str() {
        _ if options.zoneless => None,
        "" => return field,
        // A column that the statement has put into a zone stays there.
        asked => Some(if is_utc(zone) { asked.into() } else { zone.clone() }),
    };
    let shown = DataType::Timestamp(*unit, zone);
    Arc::new(Field::clone(&field).with_data_type(shown))
}

/// A column of the engine in its type on the wire. A value that does not fit is an error and not a null.
fn wire_column(column: &ArrayRef, wire: &DataType, options: &AnswerOptions) -> Result<ArrayRef, ArrowError> {
    let exact = CastOptions { safe: false, format_options: FormatOptions::default() };
    match (column.data_type(), wire) {
        (engine, wire) if engine == wire => Ok(column.clone()),
        (DataType::Timestamp(unit, Some(own)), DataType::Timestamp(_, None)) => {
            let zone = if is_utc(own) && !options.zone.is_empty() { options.zone.as_str() } else { own.as_ref() };
            let local = civil_times(&cast_with_options(column, &DataType::Int64, &exact)?, *unit, zone)?;
            cast_with_options(&local, wire, &exact)
        }
        _ => cast_with_options(column, wire, &exact),
    }
}

/// What the clock on the wall of a zone shows at each instant, in the same unit.
fn civil_times(instants: &ArrayRef, unit: TimeUnit, zone: &str) -> Result<ArrayRef, ArrowError> {
    if is_utc(zone) {
        return Ok(instants.clone());
    }
    let unreadable = || ArrowError::ComputeError(format!("times cannot be shown by the clock of {zone:?}"));
    let zone = TimeZone::get(zone).map_err(|_| unreadable())?;
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    // The offset that was found last, and the seconds for which it holds: neighbours share it.
    let held = Cell::new((0_i64, 0_i64, 0_i64));
    let shown = instants.as_primitive::<Int64Type>().try_unary::<_, Int64Type, ArrowError>(|instant| {
        let second = instant.div_euclid(per_second);
        let (from, until, _) = held.get();
        if !(from..until).contains(&second) {
            let at = jiff::Timestamp::from_second(second).map_err(|_| unreadable())?;
            let until = zone.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_second());
            held.set((second, until, zone.to_offset(at).seconds().into()));
        }
        held.get().2.checked_mul(per_second).and_then(|ahead| instant.checked_add(ahead)).ok_or_else(unreadable)
    })?;
    Ok(Arc::new(shown))
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z")
}

fn wire_field(field: &FieldRef, options: &AnswerOptions) -> FieldRef {
    let data_type = wire_type(field.data_type(), options);
    if data_type == *field.data_type() { field.clone() } else { Arc::new(Field::clone(field).with_data_type(data_type)) }
}

fn wire_type(engine: &DataType, options: &AnswerOptions) -> DataType {
    let wire = match engine {
        DataType::Dictionary(key, value) if options.dictionaries => DataType::Dictionary(key.clone(), Box::new(wire_type(value, options))),
        DataType::Dictionary(_, value) => wire_type(value, options),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(U64_DIGITS, 0),
        DataType::List(item) => DataType::List(wire_field(item, options)),
        DataType::LargeList(item) => DataType::LargeList(wire_field(item, options)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(wire_field(item, options), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| wire_field(field, options)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(wire_field(entries, options), *sorted),
        other => other.clone(),
    };
    // What no cast makes stays as it is: a type that some clients cannot read is better than no answer.
    if wire == *engine || can_cast_types(engine, &wire) { wire } else { engine.clone() }
}

/// Bytes of the texts of the dictionaries of a batch that are written out.
fn written_out_bytes(batch: &RecordBatch, wire: &SchemaRef) -> usize {
    let columns = batch.columns().iter().zip(wire.fields());
    columns.filter(|(column, field)| column.data_type() != field.data_type()).map(|(column, _)| dictionary_bytes(column.as_ref())).sum()
}

fn dictionary_bytes(column: &dyn Array) -> usize {
    let Some(dictionary) = column.as_any_dictionary_opt() else { return 0 };
    let values = dictionary.values();
    let Some(texts) = values.as_string_opt::<i32>() else { return 0 };
    if texts.is_empty() {
        return 0;
    }
    let longest_possible = column.len().saturating_mul(texts.value_data().len());
    if longest_possible <= TEXT_BYTES_MAX {
        return longest_possible; // without a look at each row
    }
    let offsets = texts.value_offsets();
    dictionary.normalized_keys().into_iter().map(|key| (offsets[key + 1] - offsets[key]) as usize).sum()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            Decimal128Array, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray, TimestampNanosecondArray, UInt8Array,
            UInt32Array, UInt64Array,
        },
        datatypes::{Int32Type, UInt64Type},
    };

    use super::*;

    fn converted(columns: Vec<(&str, ArrayRef)>, options: &AnswerOptions) -> RecordBatch {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let wire = schema(&batch.schema(), options);
        let mut parts = Vec::new();
        batches(&batch, &wire, options, &mut |part| {
            parts.push(part);
            true
        })
        .unwrap();
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    #[test]
    fn texts_are_written_out_and_unsigned_numbers_keep_their_value() {
        let tag: DictionaryArray<Int32Type> = [Some("b"), None, Some("a"), Some("b")].into_iter().collect();
        let batch = converted(
            vec![
                ("tag", Arc::new(tag.clone())),
                ("quality", Arc::new(UInt32Array::from(vec![0x808C_0000, 0, 1, u32::MAX]))),
                ("counter", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(1 << 63), Some(0)]))),
                ("small", Arc::new(UInt8Array::from(vec![255, 0, 1, 128]))),
            ],
            &AnswerOptions::default(),
        );
        assert_eq!(batch.column(0).as_ref(), &StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]));
        assert_eq!(batch.column(1).as_ref(), &Int64Array::from(vec![2_156_658_688, 0, 1, 4_294_967_295]));
        let counters = vec![Some(18_446_744_073_709_551_615_i128), None, Some(9_223_372_036_854_775_808), Some(0)];
        assert_eq!(batch.column(2).as_ref(), &Decimal128Array::from(counters).with_precision_and_scale(20, 0).unwrap());
        assert_eq!(batch.column(3).data_type(), &DataType::Int16);

        let asked = converted(vec![("tag", Arc::new(tag.clone()))], &AnswerOptions { dictionaries: true, ..AnswerOptions::default() });
        assert_eq!(asked.column(0).as_ref(), &tag);
    }

    /// Two o'clock and half past two come twice in the night in which the clocks are put back.
    #[test]
    fn times_are_shown_in_the_zone_or_by_its_clock() {
        let start = 1_761_436_800_000_000_000;
        let half_hour = 1_800_000_000_000;
        let instants: Vec<_> = (0..4).map(|step| Some(start + step * half_hour + 1)).chain([None, Some(0), Some(-1)]).collect();
        let utc = TimestampNanosecondArray::from(instants.clone()).with_timezone("UTC");
        let shown = |zone: &str, zoneless| {
            let options = AnswerOptions { zone: zone.into(), zoneless, ..AnswerOptions::default() };
            converted(vec![("timestamp", Arc::new(utc.clone()))], &options).column(0).clone()
        };
        assert_eq!(shown("", false).as_ref(), &utc);
        assert_eq!(shown("Europe/Berlin", false).as_ref(), &utc.clone().with_timezone("Europe/Berlin"));
        assert_eq!(shown("", true).as_ref(), &TimestampNanosecondArray::from(instants.clone()));
        let hour = 2 * half_hour;
        let ahead = [2, 2, 1, 1, 0, 1, 1];
        let local: Vec<_> = instants.iter().zip(ahead).map(|(instant, ahead)| instant.map(|instant| instant + ahead * hour)).collect();
        assert_eq!(shown("Europe/Berlin", true).as_ref(), &TimestampNanosecondArray::from(local));
    }

    #[test]
    fn lists_hold_plain_values_too() {
        let list = ListArray::from_iter_primitive::<UInt64Type, _, _>([Some(vec![Some(u64::MAX), None]), None]);
        let batch = converted(vec![("list", Arc::new(list))], &AnswerOptions::default());
        let items = batch.column(0).as_list::<i32>().values().clone();
        assert_eq!(items.data_type(), &DataType::Decimal128(20, 0));
        assert_eq!(items.as_primitive::<arrow::datatypes::Decimal128Type>().value(0), i128::from(u64::MAX));
    }

    #[test]
    fn a_dictionary_of_long_texts_is_written_out_in_parts() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20), "y".into()]));
        let keys = Int32Array::from_iter_values((0..64).map(|row| row % 2));
        let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, texts));
        let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let wire = schema(&batch.schema(), &AnswerOptions::default());
        let mut lengths = Vec::new();
        let all = batches(&batch, &wire, &AnswerOptions::default(), &mut |part| {
            lengths.extend(part.column(0).as_string::<i32>().iter().map(|text| text.map_or(0, str::len)));
            assert!(part.num_rows() <= 32);
            true
        });
        assert!(all.unwrap());
        assert_eq!(lengths, (0..64).map(|row| if row % 2 == 0 { 1 << 20 } else { 1 }).collect::<Vec<_>>());
        let mut seen = 0;
        assert!(
            !batches(&batch, &wire, &AnswerOptions::default(), &mut |_| {
                seen += 1;
                false
            })
            .unwrap()
        );
        assert_eq!(seen, 1);
    }

    #[test]
    fn times_are_declared_in_milliseconds_and_the_unknown_as_text() {
        let told = Schema::new(vec![
            Field::new("$1", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
            Field::new("$2", DataType::Null, true),
            Field::new("$3", DataType::UInt32, true),
            Field::new("$4", DataType::Float64, true),
        ]);
        let types: Vec<_> = parameters(&told, &AnswerOptions::default()).fields().iter().map(|field| field.data_type().clone()).collect();
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert_eq!(types, [milliseconds, DataType::Utf8, DataType::Int64, DataType::Float64]);
    }

    #[test]
    fn times_of_a_wall_clock_are_taken_in_the_zone_that_is_shown() {
        let options = AnswerOptions { zone: "Europe/Berlin".into(), zoneless: true, ..AnswerOptions::default() };
        let told = Schema::new(vec![Field::new("$1", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true)]);
        assert_eq!(parameters(&told, &options).field(0).data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
        let of = |milliseconds| parameter(ScalarValue::TimestampMillisecond(Some(milliseconds), None), &options).unwrap();
        let moment = |nanoseconds| ScalarValue::TimestampNanosecond(Some(nanoseconds), Some("UTC".into()));
        // 2026-07-01T12:00 and 2026-01-01T12:00 there; 2025-10-26T02:30 is shown twice.
        assert_eq!(of(1_782_907_200_000), moment(1_782_900_000_000_000_000));
        assert_eq!(of(1_767_268_800_000), moment(1_767_265_200_000_000_000));
        assert_eq!(of(1_761_445_800_000), moment(1_761_438_600_000_000_000));
        assert_eq!(of(i64::MAX), moment(i64::MAX));
        // What has a zone is a moment already, and so is everything for who is shown UTC.
        let zoned = ScalarValue::TimestampMillisecond(Some(0), Some("UTC".into()));
        assert_eq!(parameter(zoned.clone(), &options).unwrap(), zoned);
        let naive = ScalarValue::TimestampMillisecond(Some(0), None);
        assert_eq!(parameter(naive.clone(), &AnswerOptions { zoneless: false, ..options.clone() }).unwrap(), naive);
        assert!(parameter(naive, &AnswerOptions { zone: "Europe/Nowhere".into(), ..options }).is_err());
    }
}
