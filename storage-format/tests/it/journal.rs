//! Journal records give back exactly what went in, in the order it went in.

use historian_format::{EncodeError, Samples, ValueType, journal};
use proptest::prelude::*;

use crate::case::any_samples;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_batch_survives(runs in proptest::collection::vec((any::<u32>(), any_samples(0..60)), 0..8), ahead in 0_usize..3) {
        let mut bytes = vec![0xEE; ahead];
        journal::encode_record(runs.iter().map(|(tag_id, samples)| (*tag_id, samples)), &mut bytes).unwrap();
        prop_assert_eq!(&bytes[..ahead], &vec![0xEE; ahead]);
        prop_assert_eq!(journal::decode_record(&bytes[ahead..]).unwrap().runs, runs);
    }
}

#[test]
fn long_runs_survive() {
    let mut samples = Samples::new(ValueType::F64);
    for i in 0..100_000_i64 {
        // Falling and repeating timestamps.
        samples.push(-(i / 2) * 1_000 + i % 7, Some(&historian_format::Value::F64(i as f64)), (i / 1_000) as u32).unwrap();
    }
    let mut bytes = Vec::new();
    journal::encode_record([(1, &samples), (1, &samples)].into_iter(), &mut bytes).unwrap();
    assert_eq!(journal::decode_record(&bytes).unwrap().runs, vec![(1, samples.clone()), (1, samples)]);
}

#[test]
fn a_refused_batch_leaves_the_output_alone() {
    let mut uneven = Samples::new(ValueType::Bool);
    uneven.timestamps.push(1);
    let mut out = vec![5];
    let error = journal::encode_record([(1, &Samples::new(ValueType::F64)), (8, &uneven)].into_iter(), &mut out).unwrap_err();
    assert_eq!(error, EncodeError::UnevenColumns { tag_id: 8, column: "values", expected: 1, found: 0 });
    assert_eq!(out, [5]);
}

#[test]
fn one_sample_costs_27_bytes() {
    let mut samples = Samples::new(ValueType::F64);
    samples.push(1, Some(&historian_format::Value::F64(1.5)), 0).unwrap();
    let mut bytes = Vec::new();
    journal::encode_record((0..1_000).map(|tag_id| (tag_id, &samples)), &mut bytes).unwrap();
    assert_eq!(bytes.len(), 24 + 1_000 * 27);
}

#[test]
fn deletions_come_before_the_runs() {
    let mut samples = Samples::new(ValueType::F64);
    samples.push(1, Some(&historian_format::Value::F64(1.5)), 0).unwrap();
    let deletions =
        [journal::Deletion { tag_id: 7, from: i64::MIN, to: i64::MAX }, journal::Deletion { tag_id: u32::MAX, from: -5, to: 4 }];
    let mut bytes = Vec::new();
    journal::encode_record_with(&deletions, [(7, &samples)].into_iter(), &mut bytes).unwrap();
    let expected = journal::JournalRecord { deletions: deletions.to_vec(), runs: vec![(7, samples)] };
    assert_eq!(journal::decode_record(&bytes).unwrap(), expected);
    for len in 0..bytes.len() {
        assert!(journal::decode_record(&bytes[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(journal::decode_record(&damaged).is_err(), "bit {bit}");
    }
}
