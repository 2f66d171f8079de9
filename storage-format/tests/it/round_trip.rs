//! What is encoded comes back bit for bit, alone and appended to what a target already holds.

use historian_format::{
    CHUNK_SAMPLES_MAX, Chunk, ChunkHeader, Effort, EncodeError, PresenceCodec, Samples, Scalar, TimestampCodec, Value, ValueCodec,
    ValueType, encode_chunk, is_good,
};
use proptest::prelude::*;

use crate::case::{BAD, GOOD, any_samples, cases, encode, encode_with, samples, sorted_samples};

fn check(samples: &Samples) {
    for effort in [Effort::Hot, Effort::Cold] {
        let bytes = encode_with(7, 9, samples, effort);
        let chunk = Chunk::parse(&bytes).unwrap();
        // As text, because a NaN among the statistics is not equal to itself.
        assert_eq!(format!("{:?}", chunk.header()), format!("{:?}", ChunkHeader::parse(&bytes).unwrap()));
        assert_eq!((chunk.header().tag_id, chunk.header().sequence, chunk.len()), (7, 9, samples.len()));
        assert_eq!(chunk.header().chunk_bytes(), bytes.len());
        assert_eq!(chunk.all_present(), samples.null_count() == 0);
        let decoded = chunk.decode().unwrap();
        assert_eq!(&decoded, samples);
        assert_eq!(encode_with(7, 9, &decoded, effort), bytes, "the same samples give the same bytes");
        check_statistics(chunk.header(), samples);
    }
    assert_eq!(historian_format::inexact_columns(), 0, "no codec is faulty");
}

/// The statistics, computed again sample by sample in the plainest way.
fn check_statistics(header: &ChunkHeader, samples: &Samples) {
    let found = &header.statistics;
    let last = samples.len() - 1;
    assert_eq!(found.count as usize, samples.len());
    assert_eq!(found.null_count as usize, (0..samples.len()).filter(|i| samples.value(*i).is_none()).count());
    assert_eq!((found.first_timestamp, found.last_timestamp), (samples.timestamps[0], samples.timestamps[last]));
    assert_eq!((found.first_quality, found.last_quality), (samples.qualities[0], samples.qualities[last]));
    let scalar = |index| samples.value(index).as_ref().and_then(Scalar::of);
    assert_eq!((found.first_value, found.last_value), (scalar(0), scalar(last)));
    assert_eq!(found.worst_quality, *samples.qualities.iter().max().unwrap());
    let is_nan = |value: &Value| value.as_f64().is_some_and(f64::is_nan);
    assert_eq!(found.has_nan, (0..samples.len()).filter_map(|i| samples.value(i)).any(|value| is_nan(&value)));
    let counted: Vec<(i64, Value)> = (0..samples.len())
        .filter(|i| is_good(samples.qualities[*i]))
        .filter_map(|i| Some((samples.timestamps[i], samples.value(i)?)))
        .filter(|(_, value)| !is_nan(value))
        .collect();
    assert_eq!(found.good_count as usize, counted.len());
    let less = |a: &Value, b: &Value| match (a, b) {
        (Value::I64(a), Value::I64(b)) => a < b,
        (Value::U64(a), Value::U64(b)) => a < b,
        _ => a.as_f64() < b.as_f64(),
    };
    let mut minimum: Option<&(i64, Value)> = None;
    let mut maximum: Option<&(i64, Value)> = None;
    for entry in counted.iter().filter(|(_, value)| value.as_f64().is_some()) {
        if minimum.is_none_or(|least| less(&entry.1, &least.1)) {
            minimum = Some(entry);
        }
        if maximum.is_none_or(|most| less(&most.1, &entry.1)) {
            maximum = Some(entry);
        }
    }
    let pair = |extreme: historian_format::Extreme| (extreme.timestamp, extreme.value.value());
    assert_eq!(found.minimum.map(pair).as_ref(), minimum);
    assert_eq!(found.maximum.map(pair).as_ref(), maximum);
    let float = matches!(samples.value_type(), ValueType::F64 | ValueType::F32);
    // Sample i goes to lane i % 8; the lanes are folded as chunk.md says.
    let in_lanes = |term: &dyn Fn(f64) -> f64| {
        let mut lanes = [0.0; 8];
        for i in 0..samples.len() {
            let value = samples.value(i).filter(|_| is_good(samples.qualities[i])).and_then(|value| value.as_f64());
            if let Some(value) = value.filter(|value| !value.is_nan()) {
                lanes[i % 8] += term(value);
            }
        }
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
    };
    let sum = if float {
        in_lanes(&|value| value)
    } else {
        let exact = |value: &Value| match value {
            Value::I64(value) => i128::from(*value),
            Value::U64(value) => i128::from(*value),
            other => other.as_f64().unwrap_or(0.0) as i128,
        };
        counted.iter().map(|(_, value)| exact(value)).sum::<i128>() as f64
    };
    let same = |found: f64, expected: f64| found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
    assert!(same(found.sum, sum), "{} {sum}", found.sum);
    let mean = sum / counted.len() as f64;
    let m2 = if counted.is_empty() { 0.0 } else { in_lanes(&|value| (value - mean) * (value - mean)) };
    assert!(same(found.m2, m2), "{} {m2}", found.m2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_run_survives(samples in sorted_samples(400)) {
        check(&samples);
    }

    #[test]
    fn chunks_append_to_what_the_target_holds(runs in proptest::collection::vec(sorted_samples(40), 1..6)) {
        // All of the first run's type, so that they can share a target.
        let value_type = runs[0].value_type();
        let mut target = Samples::new(value_type);
        let mut expected = Samples::new(value_type);
        for run in runs.iter().filter(|run| run.value_type() == value_type) {
            let bytes = encode(1, 1, run);
            Chunk::parse(&bytes).unwrap().decode_into(&mut target).unwrap();
            expected.append(run).unwrap();
            prop_assert_eq!(&target, &expected);
            prop_assert_eq!(target.validity.is_some(), expected.null_count() > 0);
            if let Some(validity) = &target.validity {
                prop_assert_eq!(validity.len(), target.len());
            }
        }
    }

    #[test]
    fn unsorted_runs_are_refused_and_leave_the_output_alone(samples in any_samples(0..30)) {
        let mut out = vec![1, 2, 3];
        let result = encode_chunk(1, 1, &samples, &mut out);
        prop_assert_eq!(result.is_ok(), !samples.is_empty() && samples.is_sorted_strictly());
        if result.is_err() {
            prop_assert_eq!(out, vec![1, 2, 3]);
        }
    }
}

#[test]
fn the_fixed_cases_survive() {
    for case in cases() {
        check(&case.samples);
    }
}

#[test]
fn validity_turns_from_none_to_some_behind_earlier_rows() {
    let first = samples(ValueType::I64, [(1, Some(Value::I64(5)), GOOD), (2, Some(Value::I64(6)), GOOD)]);
    let second = samples(ValueType::I64, [(3, None, BAD), (4, Some(Value::I64(8)), GOOD)]);
    let mut target = Samples::new(ValueType::I64);
    for run in [&first, &second, &first] {
        Chunk::parse(&encode(1, 1, run)).unwrap().decode_into(&mut target).unwrap();
    }
    let validity = target.validity.unwrap();
    assert_eq!((0..6).map(|i| validity.get(i)).collect::<Vec<_>>(), [true, true, false, true, true, true]);
    assert_eq!(target.values, historian_format::Values::I64(vec![5, 6, 0, 8, 5, 6]));
}

#[test]
fn a_target_of_another_type_is_refused_and_left_alone() {
    let bytes = encode(3, 1, &samples(ValueType::F64, [(1, Some(Value::F64(1.0)), GOOD)]));
    let mut target = samples(ValueType::Bool, [(9, Some(Value::Bool(true)), GOOD)]);
    let before = target.clone();
    let error = Chunk::parse(&bytes).unwrap().decode_into(&mut target).unwrap_err();
    assert_eq!(target, before);
    let text = error.to_string();
    assert!(text.contains("tag 3") && text.contains("expected f64, found bool"), "{text}");
}

#[test]
fn limits_hold_at_the_limit() {
    let count = CHUNK_SAMPLES_MAX as i64;
    let mut full = samples(ValueType::State, (0..count).map(|i| (i, Some(Value::State(i as u32 % 5)), GOOD)));
    check(&full);
    full.push(count, Some(&Value::State(0)), GOOD).unwrap();
    let error = encode_chunk(1, 1, &full, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, EncodeError::TooManySamples { count: 65_537, .. }), "{error}");
    full.qualities.pop();
    let error = encode_chunk(1, 1, &full, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, EncodeError::UnevenColumns { column: "qualities", .. }), "{error}");
}

/// What the chooser is expected to take for the shapes that plants produce.
#[test]
fn the_smallest_codec_is_taken() {
    let codecs = |name: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let header = ChunkHeader::parse(&case.encode()).unwrap();
        (header.timestamp_codec, header.presence_codec, header.value_codec)
    };
    let all = PresenceCodec::AllPresent;
    assert_eq!(codecs("f64_constant"), (TimestampCodec::ConstantStep, all, ValueCodec::Constant));
    assert_eq!(codecs("f64_raw_noise"), (TimestampCodec::ConstantStep, all, ValueCodec::Raw));
    assert_eq!(codecs("f64_setpoint_gap"), (TimestampCodec::Grid, all, ValueCodec::RunLength));
    assert_eq!(codecs("f64_nulls").1, PresenceCodec::Bitmap);
    for (name, codec) in [
        ("f64_decimal", ValueCodec::Decimal),
        ("f64_decimal_exceptions", ValueCodec::Decimal),
        ("f64_whole", ValueCodec::Decimal),
        ("f64_integer_scale", ValueCodec::IntegerScale),
        ("f64_integer_scale_product", ValueCodec::IntegerScale),
        ("f64_dictionary", ValueCodec::Dictionary),
        ("f64_dictionary_runs", ValueCodec::Dictionary),
        ("f64_narrow", ValueCodec::Narrow),
        ("f64_narrow_cold", ValueCodec::Narrow),
        ("f64_packed", ValueCodec::Packed),
        ("f64_pco", ValueCodec::Pco),
        ("f32_decimal", ValueCodec::Decimal),
        ("i64_counter", ValueCodec::Packed),
        ("i64_packed_linear", ValueCodec::Packed),
        ("i64_pco", ValueCodec::Pco),
        ("state_packed", ValueCodec::Packed),
        ("state_dictionary", ValueCodec::Dictionary),
        ("bool_packed", ValueCodec::Packed),
        ("string_dictionary", ValueCodec::Dictionary),
        ("string_zstd", ValueCodec::Zstd),
    ] {
        assert_eq!(codecs(name).2, codec, "{name}");
    }
}

#[test]
fn a_rare_gap_costs_little() {
    let time = |i: i64, gap: i64| i * 1_000_000_000 + if i > 500 { gap } else { 0 };
    let size = |gap: i64| encode(1, 1, &samples(ValueType::F64, (0..1_024).map(|i| (time(i, gap), Some(Value::F64(1.0)), GOOD)))).len();
    assert!(size(86_400_000_000_000) < size(0) + 50, "{} {}", size(86_400_000_000_000), size(0));
}
