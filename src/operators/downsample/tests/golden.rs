//! The picks of tsdownsample 0.1.5 and of an independent LTTB (`golden.json`; its `note` says how the series is made).

use std::collections::BTreeSet;

use super::*;

fn series(rows: usize) -> Vec<f64> {
    let mut values: Vec<f64> =
        (0..rows).map(|t| (t as f64 / 97.0).sin() + 0.3 * (t as f64 / 13.0).sin() + ((7919 * t) % 1000) as f64 / 5000.0).collect();
    values[rows / 3] += 4.0;
    let held = values[rows / 2];
    values[rows / 2..rows / 2 + rows / 50].fill(held);
    values.iter().map(|value| (value * 1e6).round() / 1e6).collect()
}

#[test]
fn picks_agree_with_other_implementations() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let count = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
        let (len, points) = (count("rows"), count("n_out"));
        let values = series(len);
        let whole = samples(values.iter().enumerate().map(|(t, value)| (t as i64, Some(*value), 0)));
        let check = |name: &str, method: Method, points: usize, ends: bool, differing_max: usize| {
            // LTTB keeps its ends; given as boundary samples they leave the buckets of the textbook between them.
            let (start, end) = if ends { (1, len as i64 - 1) } else { (0, len as i64) };
            let around = if ends {
                Surroundings { before: bound(0, values[0]), after: bound(len as i64 - 1, values[len - 1]), gaps: vec![] }
            } else {
                Surroundings::default()
            };
            let answer = run(DownsampleRange::new(start, end, points, method).unwrap(), &around, &whole, 700).unwrap();
            let ours: BTreeSet<i64> = answer.timestamps.iter().copied().collect();
            let theirs: BTreeSet<i64> = case[name].as_array().unwrap().iter().map(|index| index.as_i64().unwrap()).collect();
            let differing = theirs.difference(&ours).count();
            assert!(differing <= differing_max, "{name} {len} → {points}: {differing} of {} picks differ", theirs.len());
            // Where a pick differs, it differs by little: 2 % of the rows.
            for index in theirs.difference(&ours) {
                let near = ours.iter().map(|other| other.abs_diff(*index)).min().unwrap();
                assert!(near <= len as u64 / 50, "{name} {len} → {points}: {index} is {near} rows from ours");
            }
        };
        check("minmax", Method::MinMax, points + 2, false, 0);
        check("m4", Method::M4, points, false, 0);
        check("lttb_textbook", Method::Lttb, points, true, points / 50);
        check("lttb", Method::Lttb, points, true, points / 50);
        // Buckets a little elsewhere: over the whole range in place of what lies between the ends, and of time in place of counts of
        // preselected samples. Picks are others then, and near.
        check("lttb", Method::Lttb, points, false, points / 4);
        check("minmaxlttb_ratio4", Method::MinMaxLttb, points, true, points / 2);
    }
}
