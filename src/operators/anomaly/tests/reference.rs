//! Each detector against a reference that is written for being read: everything in memory, everything recomputed for each sample.

use proptest::prelude::*;

use super::*;
use crate::anomaly::{
    reservoir::{Spread, median},
    sigma::Sigma,
};

/// Counted samples: timestamp in seconds and value.
fn counted(rows: &[Row]) -> Vec<(i64, f64)> {
    let good = rows.iter().filter(|row| row.2 == 0);
    good.filter_map(|row| Some((row.0, row.1?))).filter(|(_, value)| value.is_finite()).collect()
}

fn ratio(distance: f64, allowed: f64) -> f64 {
    if distance > 0.0 { (distance / allowed).min(1e6) } else { 0.0 }
}

/// Compares scores, and which samples are anomalous: they are given as (score, anomalous).
fn compare(answer: &Answer, expected: &[(f64, bool)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(answer.scores.scores.len(), expected.len());
    prop_assert_eq!(answer.count, expected.iter().filter(|(_, anomalous)| *anomalous).count() as u64);
    for (row, (found, (score, anomalous))) in answer.scores.scores.iter().zip(expected).enumerate() {
        prop_assert_eq!(*found >= 1.0, *anomalous, "row {}: {} and {}", row, found, score);
        let score = if *anomalous { score.max(1.0) } else { score.clamp(0.0, 1.0) };
        prop_assert!((found - score).abs() <= 1e-9 * score.max(1.0), "row {}: {} and {}", row, found, score);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn sigma(rows in rows()) {
        let samples = counted(&rows);
        let count = samples.len() as f64;
        let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
        let deviation = (samples.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let limit = 1.5 * deviation;
        // The sums are made in another order, so a value may lie on the limit for one and not for the other.
        prop_assume!(samples.iter().all(|(_, value)| ((value - mean).abs() - limit).abs() > 1e-9));
        let expected: Vec<_> =
            samples.iter().map(|(_, value)| (ratio((value - mean).abs(), limit), deviation > 0.0 && (value - mean).abs() > limit)).collect();
        compare(&detect("sigma", &[("threshold", "1.5")], &rows, AnomalyOutput::Scores), &expected)?;
    }

    #[test]
    fn counts_of_sigma_from_statistics_are_those_of_the_samples(values in proptest::collection::vec(-10.0..10.0_f64, 1..3_000), k in 0.1..3.0_f64) {
        let count = values.len() as u64;
        let sum: f64 = values.iter().sum();
        let mean = sum / count as f64;
        let m2 = values.iter().map(|value| (value - mean).powi(2)).sum();
        if let Some(sigma) = Sigma::from_statistics(count, sum, m2, k) {
            let slow = |values: &[f64]| values.iter().filter(|value| sigma.is_beyond(**value)).count() as u64;
            prop_assert_eq!(sigma.count(&values), slow(&values));
            for chunk in values.chunks(3) {
                let (low, high) = chunk.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
                if sigma.can_skip(low, high) {
                    prop_assert_eq!(slow(chunk), 0);
                }
                if sigma.whole_chunk_beyond(low, high) {
                    prop_assert_eq!(slow(chunk), chunk.len() as u64);
                }
            }
        } else {
            prop_assert!(m2 <= 0.0);
        }
    }

    #[test]
    fn spike_centred(rows in rows()) {
        let samples = counted(&rows);
        let expected: Vec<_> = (0..samples.len()).map(|at| {
            let window = &samples[at.saturating_sub(3)..(at + 4).min(samples.len())];
            hampel(window, samples[at].1, 3)
        }).collect();
        compare(&detect("spike", &[("window", "7"), ("threshold", "3")], &rows, AnomalyOutput::Scores), &expected)?;
    }

    #[test]
    fn spike_against_the_samples_before(rows in rows()) {
        let samples = counted(&rows);
        let expected: Vec<_> = (0..samples.len()).map(|at| hampel(&samples[at.saturating_sub(6)..at], samples[at].1, 3)).collect();
        let answer = detect("spike", &[("window", "6"), ("threshold", "3"), ("centred", "false")], &rows, AnomalyOutput::Scores);
        compare(&answer, &expected)?;
    }

    #[test]
    fn rate_of_change_with_a_limit(rows in rows()) {
        let samples = counted(&rows);
        let expected: Vec<_> = rates(&samples, 3, 60.0).iter().map(|rate| {
            rate.map_or((0.0, false), |rate| (ratio(rate.abs(), 120.0), rate.abs() > 120.0))
        }).collect();
        compare(&detect("rate_of_change", &[("limit", "120"), ("window", "3s")], &rows, AnomalyOutput::Scores), &expected)?;
    }

    #[test]
    fn rate_of_change_by_what_is_usual(rows in rows()) {
        let samples = counted(&rows);
        let rates = rates(&samples, 0, 1.0);
        let usual = Spread::of(rates.iter().flatten().copied().collect());
        let expected: Vec<_> = rates.iter().map(|rate| match (rate, usual) {
            (Some(rate), Some(usual)) => {
                let (fall, half) = ((usual.median - rate).max(0.0), 2.0 * usual.sigma());
                (ratio(fall, half), fall > half)
            }
            _ => (0.0, false),
        }).collect();
        let answer = detect("rate_of_change", &[("threshold", "2"), ("direction", "falling"), ("per", "second")], &rows, AnomalyOutput::Scores);
        compare(&answer, &expected)?;
    }

    #[test]
    fn flatline(rows in rows()) {
        // Stretches of counted samples first, each cut greedily where the values no longer fit.
        let mut expected = Vec::new();
        let mut stretch: Vec<(i64, f64)> = Vec::new();
        for row in &rows {
            match row.1 {
                Some(value) if row.2 == 0 && value.is_finite() => {
                    stretch.push((row.0, value));
                    let values = stretch.iter().map(|(_, value)| *value);
                    if values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min) > 2.5 {
                        stretch = vec![(row.0, value)];
                    }
                    let lasted = row.0 - stretch[0].0;
                    expected.push((lasted as f64 / 2.0, lasted >= 2));
                }
                _ => stretch.clear(),
            }
        }
        compare(&detect("flatline", &[("duration", "2s"), ("resolution", "2.5")], &rows, AnomalyOutput::Scores), &expected)?;
    }

    #[test]
    fn gap_by_the_median(rows in rows()) {
        let times: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let mut intervals: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let period = median(&mut intervals);
        let mut expected = Vec::new();
        let mut findings = Vec::new();
        for (row, at) in times.iter().enumerate() {
            // The range begins with its first sample.
            let before = times[row.saturating_sub(1)];
            let silent = (at - before) as f64;
            let anomalous = period.is_some_and(|period| silent > 3.0 * period);
            expected.push((period.map_or(0.0, |period| ratio(silent, 3.0 * period)), anomalous));
            if anomalous {
                findings.push((before * SECOND, at * SECOND, false));
            }
        }
        if times.is_empty() {
            findings.push((0, SECOND, true));
        }
        let found = detect("stale", &[], &rows, AnomalyOutput::Findings);
        prop_assert_eq!(found.findings.iter().map(|f| (f.start.0, f.end.0, f.open_ended)).collect::<Vec<_>>(), findings);
        if !times.is_empty() {
            compare(&detect("gap", &[], &rows, AnomalyOutput::Scores), &expected)?;
        }
    }

    #[test]
    fn seasonal(rows in rows(), smooth in any::<bool>()) {
        let samples = counted(&rows);
        let bin = |at: i64| (at % 20) / 7;
        let values = |of: Option<i64>| samples.iter().filter(|(at, _)| of.is_none_or(|of| bin(*at) == of)).map(|(_, value)| *value).collect::<Vec<_>>();
        let of_bin = |of: i64| Spread::of(values(Some(of))).filter(|_| values(Some(of)).len() >= 5).or_else(|| Spread::of(values(None)));
        let left = samples.iter().filter_map(|(at, value)| Some(value - of_bin(bin(*at))?.median)).collect();
        let floor = Spread::of(left).map_or(0.0, |left| left.sigma() * 0.5);
        let distance = |(at, value): &(i64, f64)| {
            let usual = of_bin(bin(*at)).unwrap();
            ratio((value - usual.median).abs(), usual.sigma().max(floor))
        };
        // 0.6 of a bin are 4 s: 2 s to each side.
        let (smoothing, half) = if smooth { ("0.6", 2) } else { ("0", 0) };
        let means: Vec<f64> = samples.iter().map(|(at, _)| {
            let around: Vec<f64> = samples.iter().filter(|(other, _)| (other - at).abs() <= half).map(distance).collect();
            around.iter().sum::<f64>() / around.len() as f64
        }).collect();
        // Sums are made in another order.
        prop_assume!(!smooth || means.iter().all(|mean| (mean - 2.0).abs() > 1e-9));
        let expected: Vec<_> = means.iter().map(|mean| (ratio(*mean, 2.0), *mean > 2.0)).collect();
        let given =
            [("season", "20s"), ("bins", "3"), ("threshold", "2"), ("samples_min", "5"), ("floor", "0.5"), ("smoothing", smoothing)];
        compare(&detect("seasonal", &given, &rows, AnomalyOutput::Scores), &expected)?;
    }

    #[test]
    fn limits(rows in rows()) {
        // For each alarm the history of conditions is read backwards from each sample, as the text of ISA-18.2 is put: on when it was beyond
        // throughout the last 2 s, off when it was back inside throughout the last 3 s, else as before.
        let mut on = [false; 2];
        let mut changed = [0_usize; 2];
        let mut interrupted = 0;
        let mut history: Vec<(i64, f64)> = Vec::new();
        let mut expected = Vec::new();
        for row in &rows {
            let Some(value) = row.1.filter(|value| row.2 == 0 && value.is_finite()) else {
                interrupted = history.len();
                continue;
            };
            history.push((row.0, value));
            for (side, sign) in [(0, -1.0), (1, 1.0)] {
                let (delay, seen): (i64, &dyn Fn(f64) -> bool) =
                    if on[side] { (3, &|value| sign * value <= 2.0) } else { (2, &|value| sign * value > 3.0) };
                let from = changed[side].max(interrupted);
                let held = history[from..].iter().rev().take_while(|(_, value)| seen(*value)).last();
                if held.is_some_and(|(since, _)| row.0 - since >= delay) {
                    on[side] = !on[side];
                    changed[side] = history.len();
                }
            }
            expected.push((value.abs() / 3.0, on[0] || on[1]));
        }
        let given = [("high", "3"), ("low", "-3"), ("deadband", "1"), ("on_delay", "2s"), ("off_delay", "3s")];
        compare(&detect("limits", &given, &rows, AnomalyOutput::Scores), &expected)?;
    }
}

fn hampel(window: &[(i64, f64)], value: f64, samples_min: usize) -> (f64, bool) {
    let values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
    if values.len() < samples_min {
        return (0.0, false);
    }
    let spread = Spread::of(values).unwrap();
    // The range of the tag is 100 wide, and with it the floor is 0.01.
    let (distance, allowed) = ((value - spread.median).abs(), 3.0 * spread.sigma().max(0.01));
    (ratio(distance, allowed), distance > allowed)
}

/// Rate at each sample against the newest one at least `window` seconds older.
fn rates(samples: &[(i64, f64)], window: i64, seconds: f64) -> Vec<Option<f64>> {
    let rate = |at: usize| {
        let (now, value) = samples[at];
        let (then, before) = samples[..at].iter().rev().find(|(then, _)| now - then >= window)?;
        Some((value - before) / ((now - then) as f64 * 1e9 / (seconds * 1e9)))
    };
    (0..samples.len()).map(rate).collect()
}
