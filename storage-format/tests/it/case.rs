//! Runs of samples that the other tests share: fixed ones and generators.

use historian_format::{Effort, Samples, Value, ValueType};
use proptest::prelude::*;

pub const GOOD: u32 = 0;
pub const UNCERTAIN: u32 = 0x4094_0000;
pub const BAD: u32 = 0x8000_0000;
pub const BAD_NO_COMMUNICATION: u32 = 0x8031_0000;

pub type Row = (i64, Option<Value>, u32);

pub fn samples(value_type: ValueType, rows: impl IntoIterator<Item = Row>) -> Samples {
    let mut samples = Samples::new(value_type);
    for (timestamp, value, quality) in rows {
        samples.push(timestamp, value.as_ref(), quality).unwrap();
    }
    samples
}

pub fn encode(tag_id: u32, sequence: u64, samples: &Samples) -> Vec<u8> {
    encode_with(tag_id, sequence, samples, Effort::Hot)
}

pub fn encode_with(tag_id: u32, sequence: u64, samples: &Samples, effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    historian_format::encode_chunk_with(tag_id, sequence, samples, effort, &mut bytes).unwrap();
    bytes
}

/// One fixed run, with a name that is also its golden file's.
pub struct Case {
    pub name: &'static str,
    pub tag_id: u32,
    pub sequence: u64,
    pub samples: Samples,
    pub effort: Effort,
}

impl Case {
    pub fn encode(&self) -> Vec<u8> {
        encode_with(self.tag_id, self.sequence, &self.samples, self.effort)
    }
}

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_225_600 * SECOND; // 2026-01-01T00:00:00Z

/// Small runs that together use every codec, every value type and every oddity. Their bytes are
/// frozen in `golden/v1/`: add to `shaped_cases`, never change an entry.
pub fn cases() -> Vec<Case> {
    let mut cases = small_cases();
    cases.extend(shaped_cases());
    cases
}

/// Those of a few samples, of every value type. Their runs are also those of the frozen `batch.record`, so a new case goes into
/// `shaped_cases`.
pub fn small_cases() -> Vec<Case> {
    let steady = |i: i64| START + i * SECOND;
    // Deterministic, irregular, in milliseconds.
    let jitter = |i: i64| START + i * SECOND + (i * i * 7 % 11 - 5) * 1_000_000;
    let wave = |i: i64| f64::from(i as i32 * i as i32 % 97) * 0.37 + 20.0;
    let case = |name, tag_id, samples| Case { name, tag_id, sequence: 1_000 + u64::from(tag_id), samples, effort: Effort::Hot };
    let all = |value_type, rows: &mut dyn Iterator<Item = (i64, Value)>| {
        samples(value_type, rows.map(|(timestamp, value)| (timestamp, Some(value), GOOD)))
    };
    vec![
        case("f64_single", 1, samples(ValueType::F64, [(START, Some(Value::F64(21.5)), GOOD)])),
        case("f64_constant", 2, all(ValueType::F64, &mut (0..40).map(|i| (steady(i), Value::F64(-0.0))))),
        case("f64_gorilla_jitter", 3, all(ValueType::F64, &mut (0..40).map(|i| (jitter(i), Value::F64(wave(i)))))),
        case(
            "f64_raw_noise",
            4,
            all(
                ValueType::F64,
                &mut (0..20_i64).map(|i| {
                    let bits =
                        (i + 1).unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                    (steady(i), Value::F64(f64::from_bits(bits)))
                }),
            ),
        ),
        case(
            "f64_special_values",
            5,
            samples(
                ValueType::F64,
                [
                    (i64::MIN, Some(Value::F64(f64::NAN)), GOOD),
                    (-1, Some(Value::F64(f64::from_bits(0x7FF0_0000_0000_0001))), GOOD),
                    (0, Some(Value::F64(-0.0)), GOOD),
                    (1, Some(Value::F64(f64::INFINITY)), BAD),
                    (START, Some(Value::F64(f64::from_bits(1))), UNCERTAIN),
                    (START + 1, Some(Value::F64(f64::MAX)), GOOD),
                    (i64::MAX, Some(Value::F64(f64::from_bits(u64::MAX))), u32::MAX),
                ],
            ),
        ),
        case(
            "f64_nulls",
            6,
            samples(
                ValueType::F64,
                (0..30).map(|i| match i % 5 {
                    0 => (jitter(i), None, BAD_NO_COMMUNICATION),
                    1 => (jitter(i), Some(Value::F64(wave(i))), UNCERTAIN),
                    _ => (jitter(i), Some(Value::F64(wave(i))), GOOD),
                }),
            ),
        ),
        case("f64_all_null", 7, samples(ValueType::F64, (0..9).map(|i| (steady(i), None, BAD)))),
        case(
            "f64_setpoint_gap",
            8,
            all(
                ValueType::F64,
                &mut (0..300).map(|i| (steady(i) + i / 150 * 86_400 * SECOND, Value::F64(if i < 200 { 50.0 } else { 62.5 }))),
            ),
        ),
        case("f32_gorilla", 9, all(ValueType::F32, &mut (0..40).map(|i| (steady(i), Value::F32(wave(i) as f32))))),
        case("i64_counter", 10, all(ValueType::I64, &mut (0..40).map(|i| (steady(i), Value::I64(65_500 + i * 3 + i % 2))))),
        case(
            "i64_extremes",
            11,
            samples(
                ValueType::I64,
                [
                    (-5, Some(Value::I64(i64::MIN)), GOOD),
                    (-4, Some(Value::I64(i64::MAX)), GOOD),
                    (0, Some(Value::I64(-1)), UNCERTAIN),
                    (7, None, BAD),
                    (i64::MAX, Some(Value::I64(0)), GOOD),
                ],
            ),
        ),
        case("u64_total", 12, all(ValueType::U64, &mut (0..40).map(|i| (jitter(i), Value::U64(u64::MAX - 1_000 + i as u64 * 25))))),
        case("bool_raw", 13, all(ValueType::Bool, &mut (0..21).map(|i| (steady(i), Value::Bool(i * i % 3 == 1))))),
        case("bool_runs", 14, all(ValueType::Bool, &mut (0..200).map(|i| (steady(i), Value::Bool(i >= 120))))),
        case("bool_constant", 15, all(ValueType::Bool, &mut (0..3).map(|i| (steady(i), Value::Bool(true))))),
        case(
            "string_raw",
            16,
            samples(
                ValueType::String,
                ["", "Charge 17", "größer", "\u{1F525} \"quoted\"\n"]
                    .into_iter()
                    .zip(0..)
                    .map(|(text, i)| (jitter(i), (i != 2).then(|| Value::String(text.to_owned())), if i == 2 { BAD } else { GOOD })),
            ),
        ),
        case("string_constant", 17, all(ValueType::String, &mut (0..5).map(|i| (steady(i), Value::String("running".to_owned()))))),
        case("state_runs", 18, all(ValueType::State, &mut (0..60).map(|i| (steady(i), Value::State([0, 3, 3, 1][i as usize / 15]))))),
        case("state_gorilla", 19, all(ValueType::State, &mut (0..60).map(|i| (steady(i), Value::State((i * i % 7) as u32))))),
        case(
            "f64_quality_runs",
            20,
            samples(
                ValueType::F64,
                (0..40).map(|i| {
                    (
                        steady(i),
                        Some(Value::F64(wave(i))),
                        if i < 10 {
                            GOOD
                        } else if i < 30 {
                            UNCERTAIN
                        } else {
                            BAD
                        },
                    )
                }),
            ),
        ),
        case(
            "f64_100ns_ticks",
            21,
            all(ValueType::F64, &mut (0..40).map(|i| (START + i * SECOND + i * i * 13 % 17 * 100, Value::F64(wave(i / 3))))),
        ),
    ]
}

/// Deterministic noise, evenly from 0 to 1.
fn noise(i: i64) -> f64 {
    let mut bits = (i + 1).unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits ^= bits >> 31;
    bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits ^= bits >> 27;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// About normal, mean 0, deviation 1.
fn bell(i: i64) -> f64 {
    (0..12).map(|part| noise(i * 12 + part)).sum::<f64>() - 6.0
}

/// Those that are long enough for every codec of values, timestamps and qualities.
fn shaped_cases() -> Vec<Case> {
    use Effort::{Cold, Hot};
    let steady = |i: i64| START + i * SECOND;
    let jitter = |i: i64| START + i * SECOND + (bell(i) * 8.0).round() as i64 * 1_000_000;
    let case = |name, tag_id, effort, samples| Case { name, tag_id, sequence: 1_000 + u64::from(tag_id), samples, effort };
    let run = |value_type, count: i64, time: &dyn Fn(i64) -> i64, value: &dyn Fn(i64) -> Value| {
        samples(value_type, (0..count).map(|i| (time(i), Some(value(i)), GOOD)))
    };
    let f64s = |count, value: &dyn Fn(i64) -> f64| run(ValueType::F64, count, &steady, &|i| Value::F64(value(i)));
    let walk = |count: usize| {
        let mut level = 0.0;
        let steps = (0..count as i64).map(move |i| {
            level += bell(i) * 0.2;
            (level + bell(i + 100_000) * 1.5).round() as i64
        });
        steps.collect::<Vec<_>>()
    };
    let decimal = |i: i64| (bell(i) * 30.0 + 2_000.0).round() / 100.0;
    let odd = |i: i64| match i {
        7 => f64::NAN,
        30 => -0.0,
        31 => 1.0 / 3.0,
        200 => f64::INFINITY,
        _ => decimal(i),
    };
    let converter = |i: i64| -50.0 + (bell(i) * 90.0 + 2_048.0).round() * (160.0 / 4_095.0);
    let words = ["running", "stopped", "starting up", "fault: over-temperature"];
    let noisy_qualities = |i: i64| [GOOD, UNCERTAIN, BAD, BAD_NO_COMMUNICATION][(noise(i) * 4.0) as usize];
    let long_walk = walk(2_100);
    vec![
        case("grid_hot", 40, Hot, run(ValueType::Bool, 300, &jitter, &|_| Value::Bool(true))),
        case("grid_cold", 41, Cold, run(ValueType::Bool, 600, &jitter, &|_| Value::Bool(true))),
        case(
            "grid_drift_and_gap",
            42,
            Hot,
            run(ValueType::Bool, 300, &|i| START + i * 1_000_373_000 + if i > 180 { 3_600 * SECOND } else { 0 }, &|_| Value::Bool(false)),
        ),
        case("grid_parabola", 43, Cold, run(ValueType::Bool, 300, &|i| i * i * 1_000 + i % 2, &|_| Value::Bool(false))),
        case("f64_decimal", 44, Hot, f64s(300, &decimal)),
        case("f64_decimal_exceptions", 45, Cold, f64s(400, &odd)),
        case("f64_whole", 46, Cold, f64s(300, &|i| 1e6 + (i * 3 + i % 2) as f64)),
        case("f64_integer_scale", 47, Cold, f64s(400, &converter)),
        case("f64_integer_scale_product", 48, Cold, f64s(300, &|i| (bell(i) * 90.0 + 2_048.0).round() * 150.0 / 4_095.0)),
        case("f64_dictionary", 49, Hot, f64s(300, &|i| ((noise(i) * 9.0).floor() + 0.1).sqrt())),
        case("f64_dictionary_runs", 50, Cold, f64s(600, &|i| ((noise(i / 25) * 9.0).floor() + 0.1).sqrt())),
        case("f64_narrow", 51, Hot, f64s(300, &|i| f64::from((noise(i) * 10.0) as f32))),
        case("f64_narrow_cold", 52, Cold, f64s(300, &|i| f64::from((bell(i) * 3.0 + 40.0) as f32))),
        case("f64_packed", 53, Cold, f64s(600, &|i| bell(i) * 9.0 + 450.0)),
        case("f64_pco", 54, Cold, f64s(2_048, &|i| (noise(i) * 1e6).floor() * 0.001_414_213_562_373)),
        case("f32_decimal", 55, Hot, run(ValueType::F32, 300, &steady, &|i| Value::F32(((bell(i) * 300.0).round() / 10.0) as f32))),
        case("f32_pco", 56, Cold, run(ValueType::F32, 300, &steady, &|i| Value::F32(converter(i) as f32))),
        case("f32_noise", 57, Cold, run(ValueType::F32, 400, &steady, &|i| Value::F32((bell(i) * 9.0 + 450.0) as f32))),
        case(
            "i64_packed_levels",
            58,
            Hot,
            run(ValueType::I64, 300, &jitter, &|i| Value::I64(i / 128 * 1_000_000 + (bell(i) * 5.0) as i64)),
        ),
        case("i64_packed_far", 59, Hot, run(ValueType::I64, 300, &steady, &|i| Value::I64(if i == 77 { i64::MIN } else { i * 7 % 8 }))),
        case("i64_packed_linear", 60, Cold, run(ValueType::I64, 2_100, &steady, &|i| Value::I64(long_walk[i as usize]))),
        case("i64_pco", 61, Cold, run(ValueType::I64, 2_048, &steady, &|i| Value::I64((noise(i) * 1e6) as i64 * 3_600 + 7))),
        case(
            "u64_packed_difference",
            62,
            Hot,
            run(ValueType::U64, 300, &steady, &|i| Value::U64(u64::MAX - 90_000 + i as u64 * 25 + i as u64 % 3)),
        ),
        case("state_packed", 63, Cold, run(ValueType::State, 600, &steady, &|i| Value::State((noise(i) * noise(i + 9_000) * 6.0) as u32))),
        case(
            "state_dictionary",
            64,
            Cold,
            run(ValueType::State, 600, &steady, &|i| Value::State([7, 40_000, 4_000_000_000][(noise(i) * 3.0) as usize])),
        ),
        case("bool_packed", 65, Cold, run(ValueType::Bool, 600, &steady, &|i| Value::Bool(noise(i) < 0.05))),
        case(
            "string_dictionary",
            66,
            Hot,
            run(ValueType::String, 100, &steady, &|i| Value::String(words[(noise(i) * 4.0) as usize].to_owned())),
        ),
        case(
            "string_dictionary_runs",
            67,
            Cold,
            run(ValueType::String, 200, &steady, &|i| Value::String(words[i as usize / 70].to_owned())),
        ),
        case(
            "string_zstd",
            68,
            Cold,
            run(ValueType::String, 60, &jitter, &|i| Value::String(format!("batch {} released by größer & {}", 7_000 + i * i, i % 5))),
        ),
        case(
            "quality_dictionary",
            69,
            Hot,
            samples(
                ValueType::F64,
                (0..200).map(|i| (steady(i), if i % 3 == 0 { None } else { Some(Value::F64(decimal(i))) }, noisy_qualities(i))),
            ),
        ),
    ]
}

pub fn value(value_type: ValueType) -> BoxedStrategy<Value> {
    match value_type {
        ValueType::F64 => prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (0..40_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::NEG_INFINITY), Just(f64::MIN_POSITIVE)],
        ]
        .prop_map(Value::F64)
        .boxed(),
        ValueType::F32 => {
            prop_oneof![any::<u32>().prop_map(f32::from_bits), (0..40_u8).prop_map(|n| f32::from(n) / 10.0)].prop_map(Value::F32).boxed()
        }
        ValueType::I64 => prop_oneof![any::<i64>(), -3..3_i64, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::I64).boxed(),
        ValueType::U64 => prop_oneof![any::<u64>(), 0..3_u64, Just(u64::MAX)].prop_map(Value::U64).boxed(),
        ValueType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ValueType::String => prop_oneof![".{0,12}", Just(String::new()), Just("on".to_owned())].prop_map(Value::String).boxed(),
        ValueType::State => prop_oneof![any::<u32>(), 0..4_u32].prop_map(Value::State).boxed(),
    }
}

fn quality() -> BoxedStrategy<u32> {
    prop_oneof![4 => Just(GOOD), 1 => Just(UNCERTAIN), 1 => Just(BAD), 1 => any::<u32>()].boxed()
}

/// Whether a column is constant, repeats its entries in runs, or changes at will.
fn column<T: Clone + std::fmt::Debug + 'static>(entry: impl Strategy<Value = T> + Clone + 'static, count: usize) -> BoxedStrategy<Vec<T>> {
    let runs = proptest::collection::vec((entry.clone(), 1..60_usize), count.max(1)).prop_map(move |runs| {
        runs.into_iter().flat_map(|(entry, length)| std::iter::repeat_n(entry, length)).take(count).collect::<Vec<_>>()
    });
    prop_oneof![
        1 => entry.clone().prop_map(move |entry| vec![entry; count]),
        2 => runs,
        2 => proptest::collection::vec(entry, count),
    ]
    .boxed()
}

fn timestamps(count: usize) -> BoxedStrategy<Vec<i64>> {
    let unit = prop_oneof![Just(1_i64), Just(100), Just(1_000), Just(1_000_000), Just(SECOND)];
    let steps = prop_oneof![
        column(1..2_000_i64, count),
        column(prop_oneof![20 => 990..1_010_i64, 1 => 1..4_000_000_i64], count),
        column(-50..50_i64, count),
    ];
    prop_oneof![
        4 => (unit, steps, -2 * START..2 * START).prop_map(|(unit, steps, start)| {
            let mut timestamp = start;
            steps.into_iter().map(|step| { timestamp += step * unit; timestamp }).collect::<Vec<_>>()
        }),
        1 => proptest::collection::vec(prop_oneof![8 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)], count),
    ]
    .boxed()
}

/// Runs in any order, of every type, with and without nulls.
pub fn any_samples(count: std::ops::Range<usize>) -> impl Strategy<Value = Samples> {
    let type_and_count = (proptest::sample::select(ValueType::ALL.to_vec()), count);
    type_and_count.prop_flat_map(|(value_type, count)| {
        let present = prop_oneof![2 => Just(vec![true; count]), 1 => column(any::<bool>(), count)];
        (timestamps(count), column(value(value_type), count), present, column(quality(), count)).prop_map(
            move |(timestamps, values, present, qualities)| {
                let rows = timestamps.into_iter().zip(values).zip(present).zip(qualities);
                samples(value_type, rows.map(|(((timestamp, value), present), quality)| (timestamp, present.then_some(value), quality)))
            },
        )
    })
}

/// Runs fit for a chunk: at least one sample, strictly increasing.
pub fn sorted_samples(count: usize) -> impl Strategy<Value = Samples> {
    any_samples(1..count).prop_map(|mut samples| {
        samples.sort_and_dedup();
        samples
    })
}
