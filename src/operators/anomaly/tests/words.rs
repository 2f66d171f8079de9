//! What a finding says: numbers worked out by hand, in the sentences that a person reads.

use super::*;
use crate::anomaly::FindingSeverity;

fn finding(detector: &str, given: &[(&str, &str)], rows: &[Row]) -> Finding {
    let mut findings = detect(detector, given, rows, AnomalyOutput::Findings).findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

/// Scores in a tag with this range.
fn scores(given: &[(&str, &str)], values: &[f64], range: Option<(f64, f64)>) -> Vec<f64> {
    let rows = steady(values);
    let subject = Subject { range_low: range.map(|range| range.0), range_high: range.map(|range| range.1), ..subject(&rows) };
    let mut detection = DetectorPlan::new("limits", &parameters(given)).unwrap().begin(&subject, AnomalyOutput::Scores).unwrap();
    detection.push(&run(&rows));
    assert!(!detection.end_pass());
    detection.take_scores().scores
}

#[test]
fn a_limit_adds_one_to_the_score_for_each_half_band_beyond_it() {
    let wide = Some((-50.0, 50.0));
    // Between the limits next to the middle, 20 on either side.
    let four = [("low_low", "-100"), ("low", "-20"), ("high", "20"), ("high_high", "100")];
    assert_eq!(scores(&four, &[0.0, 10.0, 30.0, -25.0, 110.0], wide), [0.0, 0.5, 1.5, 1.25, 5.5]);
    // Where there are no others, between the outer ones, 60 on either side.
    assert_eq!(scores(&[("low_low", "-60"), ("high_high", "60")], &[90.0, -75.0, 30.0], wide), [1.5, 1.25, 0.5]);
    // A limit alone: the range of the tag, 50 on either side of its middle; without one the size of the limit; 1 where that is 0.
    assert_eq!(scores(&[("high", "80")], &[105.0, 55.0], wide), [1.5, 0.5]);
    assert_eq!(scores(&[("high", "40")], &[60.0, 20.0], None), [1.5, 0.5]);
    assert_eq!(scores(&[("low", "-10")], &[-15.0, -5.0, 0.0], None), [1.5, 0.5, 0.0]);
    assert_eq!(scores(&[("high", "0")], &[0.5, -0.5], None), [1.5, 0.5]);
    assert_eq!(scores(&[("high", "40"), ("high_high", "80")], &[120.0, 0.0], None), [2.0, 0.5], "the size of the largest");
}

#[test]
fn a_rate_is_told_with_what_is_usual() {
    // Rates of 1 to 5 °C/s and one of -20: their median is 2.5, the median distance from it 1.5, six of its deviations 13.3434.
    let values = [0.0, 1.0, 3.0, 6.0, 10.0, 15.0, -5.0];
    let negative = values.map(|value: f64| -value);
    for (direction, values, sentence) in [
        ("both", values, "fell by 20 °C/s from one sample to the next; usual in the range is -10.8434 to 15.8434 °C/s."),
        ("falling", values, "fell by 20 °C/s from one sample to the next; usual in the range is at least -10.8434 °C/s."),
        ("rising", negative, "rose by 20 °C/s from one sample to the next; usual in the range is at most 10.8434 °C/s."),
    ] {
        let found = finding("rate_of_change", &[("per", "second"), ("direction", direction)], &steady(&values));
        assert_eq!(found.explanation, format!("The value {sentence}"));
        let condition = if direction == "rising" { "rising" } else { "falling" };
        assert_eq!((found.start.0 / SECOND, found.condition, found.observed.abs()), (6, condition, 20.0));
    }
    // 10 °C down, over two seconds.
    let given = [("per", "second"), ("limit", "3"), ("window", "2s"), ("direction", "falling")];
    let found = finding("rate_of_change", &given, &steady(&[20.0, 20.0, 20.0, 10.0, 10.0, 10.0]));
    assert_eq!(found.explanation, "The value fell by 5 °C/s over 2 s, more than the limit of 3 °C/s.");
    assert_eq!((found.start.0 / SECOND, found.end.0 / SECOND, found.samples), (3, 5, 2));
    assert_eq!(found.expected_text(), "at least -3 °C/s");
}

#[test]
fn a_spike_is_told_with_its_window() {
    // Around 100 lie 2, 3, 3, 2: the median is 3, the median distance from it 1.
    let found = finding("spike", &[("window", "5"), ("threshold", "3")], &steady(&[1.0, 2.0, 3.0, 100.0, 3.0, 2.0, 1.0]));
    assert_eq!(
        found.explanation,
        "The value 100 °C lies 65.4255 robust standard deviations from the median 3 °C of the 5 samples around it; 3 are allowed."
    );
    assert_eq!((found.peak.0 / SECOND, found.condition, found.observed), (3, "above", 100.0));
    // Before -94 lie 3, 2, 3, 4: the median is 3, the median distance from it 0.5.
    let given = [("window", "5"), ("threshold", "3"), ("centred", "false")];
    let found = finding("spike", &given, &steady(&[3.0, 2.0, 3.0, 4.0, -94.0]));
    assert_eq!(
        found.explanation,
        "The value -94 °C lies 130.851 robust standard deviations from the median 3 °C of the 5 samples before it; 3 are allowed."
    );
    assert_eq!((found.condition, found.expected_text()), ("below", "0.776097 to 5.2239 °C".into()));
}

#[test]
fn a_flat_stretch_is_told_with_its_resolution_and_is_critical_at_twice_what_is_allowed() {
    let given = [("duration", "4s"), ("resolution", "0.5")];
    let values: Vec<f64> = (0..9).map(|at| 7.0 + f64::from(at % 2) * 0.25).collect();
    let found = finding("flatline", &given, &steady(&values));
    assert_eq!(
        found.explanation,
        "The value stayed within 0.5 °C of 7 °C for 8 s and had not changed when the range ended, longer than the 4 s allowed."
    );
    assert_eq!((found.score, found.severity, found.expected_text().as_str()), (2.0, FindingSeverity::Critical, "at most 4 s"));
    let found = finding("flatline", &given, &steady(&values[..8]));
    assert_eq!((found.score, found.severity), (1.75, FindingSeverity::Warning));
}

#[test]
fn a_season_begins_at_its_phase() {
    // Warm at the second half of each ten seconds; once at the first half.
    let value = |at: i64| (if at % 10 >= 5 { 80.0 } else { 20.0 }) + (at % 3) as f64 * 0.1;
    let mut rows: Vec<Row> = (0..400).map(|at| (at, Some(value(at)), 0)).collect();
    rows[203].1 = Some(80.0);
    for (phase, place) in [("0s", "3 s and 4 s"), ("3s", "0 s and 1 s"), ("4s", "9 s and 10 s"), ("13s", "0 s and 1 s")] {
        let found = finding("seasonal", &[("season", "10s"), ("bins", "10"), ("phase", phase)], &rows);
        assert!(found.explanation.contains(&format!("usual between {place} of each 10 s")), "{phase}: {}", found.explanation);
        // Half a bin.
        assert!(found.explanation.ends_with("; 6 are allowed on average over 500 ms."), "{}", found.explanation);
        assert_eq!((found.start.0 / SECOND, found.condition), (203, "above"));
    }
    // Too few samples in each bin: the whole range stands in.
    rows[203].1 = Some(-900.0);
    let found = finding("seasonal", &[("season", "10s"), ("bins", "10"), ("samples_min", "100")], &rows);
    assert!(found.explanation.contains(", the median of the range; "), "{}", found.explanation);
    assert_eq!((found.start.0 / SECOND, found.condition), (203, "below"));
}
