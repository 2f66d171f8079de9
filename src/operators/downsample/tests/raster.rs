//! M4 draws the same pixels as all samples do, when a column of pixels is an interval.

use proptest::prelude::*;

use super::*;

const COLUMNS: i64 = 40;
const WIDTH: i64 = 250;

/// What a line covers of each column: lowest and highest value of the polyline within `[column, column + 1)`.
fn coverage(rows: &[(i64, Option<f64>, u32)]) -> Vec<Option<(f64, f64)>> {
    let mut columns: Vec<Option<(f64, f64)>> = vec![None; COLUMNS as usize];
    let mut cover = |column: i64, value: f64| {
        if let Some(slot) = usize::try_from(column).ok().and_then(|column| columns.get_mut(column)) {
            *slot = Some(slot.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
        }
    };
    for row in rows {
        if let Some(value) = row.1 {
            cover(row.0.div_euclid(WIDTH), value);
        }
    }
    for pair in rows.windows(2) {
        let ((t0, Some(v0), _), (t1, Some(v1), _)) = (pair[0], pair[1]) else { continue };
        for column in t0.div_euclid(WIDTH) + 1..=t1.div_euclid(WIDTH) {
            let edge = column * WIDTH;
            let value = v0 + (v1 - v0) * (edge - t0) as f64 / (t1 - t0) as f64;
            cover(column - 1, value);
            cover(column, value);
        }
    }
    columns
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn m4_covers_what_all_samples_cover(steps in proptest::collection::vec((1_i64..60, -1_000_i32..1_000), 300..900), method in 0..2) {
        let mut at = -1;
        let all = samples(steps.into_iter().map_while(|(step, value)| {
            at += if step == 59 { 900 } else { step };
            (at < COLUMNS * WIDTH).then_some((at, Some(f64::from(value)), 0))
        }));
        let method = if method == 0 { Method::M4 } else { Method::Plot };
        let request = DownsampleRange::new(0, COLUMNS * WIDTH, 4 * COLUMNS as usize + 2, method).unwrap();
        let around = Surroundings { before: bound(0, 5.0), after: bound(COLUMNS * WIDTH, -5.0), gaps: vec![] };
        // Where all samples fit and the edges do not, these are left out.
        prop_assume!(all.len() + 2 <= request.points || all.len() > request.points);
        let mut whole = rows(&all);
        if whole.first().is_none_or(|row| row.0 > 0) {
            whole.insert(0, (0, Some(5.0), 0));
        }
        whole.push((COLUMNS * WIDTH, Some(-5.0), 0));
        let answer = run(request, &around, &all, 100).unwrap();
        for (column, (ours, wanted)) in coverage(&rows(&answer)).into_iter().zip(coverage(&whole)).enumerate() {
            prop_assert_eq!(ours, wanted, "column {}", column);
        }
    }
}
