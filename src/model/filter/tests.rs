//! The stated bound on every sample that came, over shapes drawn at random and over real series; and the rules one by one.

use std::{fs, io::Read, path::PathBuf};

use proptest::prelude::*;

use super::{number::number, *};
use crate::{Quality, Sample, Value, ValueType};

const SECOND: i64 = 1_000_000_000;
const BAD: u32 = Quality::BAD_NO_DATA.0;
const UNCERTAIN: u32 = Quality::UNCERTAIN_LAST_USABLE_VALUE.0;

fn exception(deadband: f64) -> TagFilter {
    let exception = Some(ExceptionFilter { deadband, min_interval_ms: 0, max_interval_ms: 600_000 });
    TagFilter { exception, compression: None }
}

fn door(deviation: f64) -> TagFilter {
    TagFilter { exception: None, compression: Some(CompressionFilter { deviation, max_interval_ms: 600_000 }) }
}

fn good(second: i64, value: f64) -> Sample {
    Sample { timestamp: second * SECOND, value: Some(Value::F64(value)), quality: 0 }
}

/// What passes of samples a second apart, at their seconds.
fn passed(setting: &TagFilter, stepped: bool, values: &[f64]) -> Vec<i64> {
    let samples: Vec<Sample> = (0..).zip(values).map(|(second, value)| good(second, *value)).collect();
    let (_, kept) = replay(&samples, setting, ValueType::F64, stepped);
    kept.iter().map(|sample| sample.timestamp / SECOND).collect()
}

fn taken(filter: &mut SampleFilter, sample: Sample) -> Vec<Sample> {
    let mut out = Vec::new();
    filter.take(sample, &mut out);
    out
}

#[test]
fn an_exception_brings_the_sample_before_it_so_that_a_step_stays_one() {
    assert_eq!(passed(&exception(1.0), true, &[0.0, 0.5, -0.5, 1.0, 10.0, 10.5, 9.5]), [0, 3, 4, 6]);
    // Without anything between there is nothing to bring.
    assert_eq!(passed(&exception(1.0), true, &[0.0, 2.0, 4.0]), [0, 1, 2]);
    assert_eq!(passed(&exception(0.0), true, &[1.0, 1.0, 1.0, 2.0, 2.0]), [0, 2, 3, 4]);
}

#[test]
fn the_door_passes_the_ends_of_lines() {
    let ramp: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(passed(&door(0.1), false, &ramp), [0, 99]);
    assert_eq!(passed(&door(0.1), false, &[0.0, 0.0, 0.0, 5.0, 5.0, 5.0]), [0, 2, 3, 5]);
    // Some slope goes through the doors of both, but the line to the last one would pass 1.25 beside the one between.
    assert_eq!(passed(&door(1.0), false, &[0.0, 1.0, -0.5]), [0, 1, 2]);
}

#[test]
fn no_interval_is_longer_than_the_longest_while_samples_come() {
    for setting in [exception(1.0), door(1.0)] {
        let at = passed(&setting, false, &[0.0; 1500]);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 600), "{at:?}");
        assert!(at.len() <= 5, "{at:?}");
    }
}

#[test]
fn a_minimum_interval_holds_numbers_back_and_no_change_of_quality() {
    let mut setting = exception(1.0);
    setting.exception.as_mut().unwrap().min_interval_ms = 10_000;
    assert_eq!(setting.error_bound(true), None);
    assert_eq!(passed(&setting, true, &[0.0, 5.0, 5.0, 0.0]), [0, 3]);
    let mut filter = SampleFilter::new(&setting, ValueType::F64, true).unwrap();
    taken(&mut filter, good(0, 0.0));
    assert!(taken(&mut filter, good(1, 50.0)).is_empty());
    assert_eq!(filter.patience().unwrap().as_secs(), 10);
    let bad = Sample { timestamp: 2 * SECOND, value: None, quality: BAD };
    assert_eq!(taken(&mut filter, bad.clone()), [good(1, 50.0), bad]);
    assert_eq!((filter.patience(), filter.left_out()), (None, 0));
}

#[test]
fn what_is_no_good_number_is_left_out_only_while_it_repeats() {
    let of = |second: i64, value: Value, quality| Sample { timestamp: second * SECOND, value: Some(value), quality };
    let big = 1_u64 << 60;
    for setting in [exception(10.0), exception(0.0)] {
        let whole = [of(0, Value::U64(big), 0), of(1, Value::U64(big), 0), of(2, Value::U64(big + 1), 0)];
        assert_eq!(replay(&whole, &setting, ValueType::U64, true).1, whole);
    }
    for setting in [exception(10.0), door(10.0)] {
        let odd = [
            good(0, 1.0),
            good(1, f64::NAN),
            good(2, f64::NAN),
            good(3, f64::INFINITY),
            good(4, 1.0),
            of(5, Value::F64(1.0), UNCERTAIN),
            of(6, Value::F64(2.0), UNCERTAIN),
            of(7, Value::F64(2.0), UNCERTAIN),
            of(8, Value::F64(2.0), UNCERTAIN),
            Sample { timestamp: 9 * SECOND, value: None, quality: BAD },
        ];
        let at: Vec<i64> = replay(&odd, &setting, ValueType::F64, false).1.iter().map(|sample| sample.timestamp / SECOND).collect();
        assert_eq!(at, [0, 1, 2, 3, 4, 5, 6, 8, 9]);
    }
    let states = [2, 2, 2, 3, 3].map(Value::State);
    let states: Vec<Sample> = (0..).zip(states).map(|(second, state)| of(second, state, 0)).collect();
    let at: Vec<i64> = replay(&states, &exception(0.0), ValueType::State, true).1.iter().map(|sample| sample.timestamp / SECOND).collect();
    assert_eq!(at, [0, 2, 3, 4]);
}

#[test]
fn a_late_sample_passes_by_and_what_waits_goes_before_it() {
    let mut filter = SampleFilter::new(&door(1.0), ValueType::F64, false).unwrap();
    assert_eq!(taken(&mut filter, good(10, 0.0)), [good(10, 0.0)]);
    assert!(taken(&mut filter, good(20, 0.0)).is_empty());
    // Behind nothing that waits.
    assert_eq!(taken(&mut filter, good(5, 7.0)), [good(5, 7.0)]);
    assert_eq!(taken(&mut filter, good(15, 7.0)), [good(20, 0.0), good(15, 7.0)]);
    assert!(taken(&mut filter, good(30, 0.0)).is_empty());
    assert_eq!(filter.left_out(), 1);
}

#[test]
fn settings_that_cannot_be_meant_are_refused_at_their_key() {
    let min = |min_interval_ms, max_interval_ms| {
        let exception = Some(ExceptionFilter { deadband: 1.0, min_interval_ms, max_interval_ms });
        TagFilter { exception, compression: None }
    };
    for (setting, value_type, stepped, key) in [
        (exception(-1.0), ValueType::F64, false, "exception_deadband"),
        (exception(f64::NAN), ValueType::F64, false, "exception_deadband"),
        (exception(1.0), ValueType::State, true, "exception_deadband"),
        (min(2_000, 1_000), ValueType::F64, false, "exception_min_ms"),
        (min(0, 999), ValueType::F64, false, "exception_max_ms"),
        (door(0.0), ValueType::F64, false, "compression_deviation"),
        (door(1.0), ValueType::F64, true, "compression_deviation"),
        (door(1.0), ValueType::I64, false, "compression_deviation"),
    ] {
        assert_eq!(setting.check(value_type, stepped).unwrap_err().0, key);
    }
    assert!(TagFilter::default().is_off() && SampleFilter::new(&TagFilter::default(), ValueType::F64, false).is_none());
    assert_eq!((exception(1.0).error_bound(true), exception(1.0).error_bound(false)), (Some(1.0), Some(2.0)));
}

/// Feeds samples, in the order of their times, to a filter which now and then passes what waits, and holds what passed against what came.
fn hold_against(samples: &[Sample], flushes: &[bool], setting: &TagFilter, value_type: ValueType, stepped: bool) {
    let bound = setting.error_bound(stepped).unwrap();
    let mut filter = SampleFilter::new(setting, value_type, stepped).unwrap();
    let mut out = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let same_time = samples.get(index.wrapping_sub(1)).is_some_and(|before| before.timestamp == sample.timestamp);
        if flushes.get(index) == Some(&true) && !same_time {
            filter.flush(&mut out);
        }
        filter.take(sample.clone(), &mut out);
        assert!(filter.left_out() as usize <= index + 1 && filter.left_out() as usize + out.len() == index + 1);
    }
    filter.flush(&mut out);
    // Of several of one time the last is what the device says, and what is stored.
    let last_of_time = |samples: &[Sample]| {
        let mut last: Vec<Sample> = samples.to_vec();
        last.reverse();
        last.dedup_by_key(|sample| sample.timestamp);
        last.reverse();
        last
    };
    assert!(out.is_sorted_by_key(|sample| sample.timestamp), "samples were put into another order");
    let (came, kept) = (last_of_time(samples), last_of_time(&out));
    for sample in &kept {
        let original = came.binary_search_by_key(&sample.timestamp, |came| came.timestamp).expect("the time of a sample that came");
        assert!(number::same(&came[original], sample), "{:?} was stored as {sample:?}", came[original]);
    }
    let longest = setting.exception.iter().map(|exception| exception.max_interval_ms);
    let longest = longest.chain(setting.compression.iter().map(|compression| compression.max_interval_ms)).max().unwrap();
    let mut next = 0;
    let mut before: Option<&Sample> = None;
    for sample in &came {
        while kept.get(next).is_some_and(|kept| kept.timestamp <= sample.timestamp) {
            next += 1;
        }
        let earlier = &kept[next - 1];
        assert_eq!(earlier.quality, sample.quality, "at {}", sample.timestamp);
        let later = kept.get(next);
        if let Some(later) = later.filter(|_| earlier.timestamp < sample.timestamp) {
            assert!(later.timestamp - earlier.timestamp <= number::nanoseconds(longest), "around {}", sample.timestamp);
        }
        match number(sample) {
            None => assert!(number::same(earlier, sample), "{sample:?} reads {earlier:?}"),
            Some(was) => {
                let first = number(earlier).unwrap();
                let line = |later: &Sample| {
                    let part = (sample.timestamp - earlier.timestamp) as f64 / (later.timestamp - earlier.timestamp) as f64;
                    let read = first + (number(later)? - first) * part;
                    Some(if value_type == ValueType::F32 { f64::from(read as f32) } else { read })
                };
                let on_line = later.filter(|_| !stepped && earlier.timestamp < sample.timestamp).and_then(line);
                // A whole number that is not stepped is read either way.
                let holds = stepped || !matches!(value_type, ValueType::F64 | ValueType::F32) || on_line.is_none();
                for read in on_line.into_iter().chain(holds.then_some(first)) {
                    assert!((was - read).abs() <= bound, "{was} at {} reads {read}, beyond {bound} ({before:?})", sample.timestamp);
                }
            }
        }
        before = Some(sample);
    }
}

/// One step of a series: time since the one before, kind, how far the value goes, whether what waits passes before it.
type Step = (i64, u8, f64, bool);

fn series(steps: &[Step], value_type: ValueType, scale: f64) -> (Vec<Sample>, Vec<bool>) {
    let (mut at, mut level, mut slope) = (1_000_000_007_i64, 0.0_f64, 0.0_f64);
    let of = |number: f64| match value_type {
        ValueType::F32 => Value::F32(number as f32),
        ValueType::I64 => Value::I64(number as i64),
        ValueType::U64 => Value::U64(number.abs() as u64),
        _ => Value::F64(number),
    };
    let sample = |&(after, kind, by, _): &Step| {
        at += after;
        match kind {
            0..=3 => slope = by * scale,
            4 => level += by * scale * 50.0,
            _ => level += slope + by * scale * 0.2,
        }
        let (value, quality) = match kind {
            20 => (None, BAD),
            21 => (Some(of(level)), UNCERTAIN),
            22 => (Some(of(f64::NAN)), 0),
            23 => (Some(of(f64::INFINITY)), 0),
            24 => (Some(of(9.1e18)), 0),
            25 => (Some(of(-0.0)), 0),
            26 => (Some(of(level)), Quality::GOOD_LOCAL_OVERRIDE.0),
            _ => (Some(of(level)), 0),
        };
        Sample { timestamp: at, value, quality }
    };
    (steps.iter().map(sample).collect(), steps.iter().map(|step| step.3).collect())
}

fn settings(deadband: f64, deviation: f64, max_interval_ms: u64) -> [TagFilter; 3] {
    let exception = Some(ExceptionFilter { deadband, min_interval_ms: 0, max_interval_ms });
    let compression = Some(CompressionFilter { deviation, max_interval_ms });
    [
        TagFilter { exception: exception.clone(), compression: None },
        TagFilter { exception: None, compression: compression.clone() },
        TagFilter { exception, compression },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 2_000 }))]

    #[test]
    fn every_sample_that_came_lies_within_the_bound(
        steps in prop::collection::vec((
            prop_oneof![8 => 1_i64..2_000_000_000, 1 => Just(0_i64), 1 => 1_i64..9_000_000_000_000],
            0_u8..40, -1.0_f64..1.0, prop::bool::weighted(0.03),
        ), 1..200),
        scale in prop_oneof![Just(1.0), Just(1e-9), Just(1e6), Just(1e15), Just(1e300)],
        deadband in prop_oneof![Just(0.0), 0.0_f64..3.0],
        deviation in 0.001_f64..3.0,
        max_interval_ms in 1_000_u64..7_200_000,
        value_type in prop_oneof![Just(ValueType::F64), Just(ValueType::F32), Just(ValueType::I64), Just(ValueType::U64)],
        stepped: bool,
    ) {
        let (samples, flushes) = series(&steps, value_type, scale);
        for setting in settings(deadband * scale, deviation * scale, max_interval_ms) {
            if setting.check(value_type, stepped).is_ok() {
                hold_against(&samples, &flushes, &setting, value_type, stepped);
            }
        }
    }
}

/// Columns of numbers of the sets of real data beside the checkout, or in `HISTORIAN_DATA`; none where there are none.
fn real_series() -> Vec<(String, Vec<f64>)> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let folder = std::env::var_os("HISTORIAN_DATA").map_or_else(beside, PathBuf::from);
    let mut found = Vec::new();
    for place in ["anomaly/nab", "anomaly/skab", "ett", "airquality", "pvanalytics", "rustsec"] {
        let Ok(files) = fs::read_dir(folder.join(place)) else { continue };
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.to_string_lossy().ends_with(".csv.gz")) {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut text).unwrap();
            let text = String::from_utf8_lossy(&text);
            let mut columns: Vec<Vec<f64>> = Vec::new();
            for line in text.lines().skip(1).take(20_000) {
                for (column, cell) in line.split([',', ';']).enumerate() {
                    if columns.len() <= column {
                        columns.push(Vec::new());
                    }
                    columns[column].extend(cell.trim().parse::<f64>());
                }
            }
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let long = columns.into_iter().enumerate().filter(|(_, column)| column.len() > 500);
            found.extend(long.map(|(column, values)| (format!("{name} column {column}"), values)));
        }
    }
    found
}

#[test]
fn the_bound_holds_on_real_series() {
    let all = real_series();
    if all.is_empty() {
        println!("no sets of real data beside the checkout, and HISTORIAN_DATA names none");
        return;
    }
    assert!(all.len() >= 20, "{}", all.len());
    let mut smaller = 0;
    for (name, values) in &all {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let span = finite().fold(f64::NEG_INFINITY, f64::max) - finite().fold(f64::INFINITY, f64::min);
        if span <= 0.0 {
            continue;
        }
        for value_type in [ValueType::F64, ValueType::F32] {
            let of = |value: f64| if value_type == ValueType::F32 { Value::F32(value as f32) } else { Value::F64(value) };
            let sample = |(at, value): (i64, &f64)| Sample { timestamp: at * SECOND, value: Some(of(*value)), quality: 0 };
            let samples: Vec<Sample> = (0..).zip(values).map(sample).collect();
            for percent in [0.1, 1.0, 5.0] {
                let units = span * percent / 100.0;
                for setting in settings(units, units, 600_000) {
                    for stepped in [false, true] {
                        if setting.check(value_type, stepped).is_err() {
                            continue;
                        }
                        hold_against(&samples, &[], &setting, value_type, stepped);
                        let (told, _) = replay(&samples, &setting, value_type, stepped);
                        assert!(told.error_max <= setting.error_bound(stepped).unwrap(), "{name}: {told:?}");
                        assert!(told.error_rms <= told.error_max && told.compared > 0, "{name}: {told:?}");
                        smaller += u32::from(told.kept * 2 < told.samples);
                    }
                }
            }
        }
    }
    assert!(smaller as usize > all.len(), "the filters left next to nothing out: {smaller} of {}", all.len());
}
