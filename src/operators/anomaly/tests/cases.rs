//! A line of parameters for each detector, with which all rules are tried, and hand-made cases: one situation each, with the finding that a
//! person would write down.

use super::*;
use crate::anomaly::FindingSeverity;

/// Every detector, with parameters that make it find something in [`rows`].
pub const CASES: &[Case] = &[
    ("limits", &[("high", "3"), ("low", "-3"), ("deadband", "1"), ("on_delay", "2s"), ("off_delay", "3s")]),
    ("limits", &[("low_low", "-6"), ("low", "-2"), ("high", "2"), ("high_high", "6")]),
    ("limits", &[]),
    ("rate_of_change", &[("limit", "120"), ("window", "3s")]),
    ("rate_of_change", &[("threshold", "2"), ("direction", "falling"), ("per", "second")]),
    ("flatline", &[("duration", "2s"), ("resolution", "2.5")]),
    ("flatline", &[("duration", "1s")]),
    ("gap", &[("period", "1s"), ("factor", "2")]),
    ("stale", &[("usable_only", "true")]),
    ("spike", &[("window", "7"), ("threshold", "3")]),
    ("spike", &[("window", "6"), ("threshold", "3"), ("centred", "false"), ("floor", "0")]),
    ("sigma", &[("threshold", "1.5")]),
    ("sigma", &[("threshold", "1"), ("include_uncertain", "true")]),
    ("seasonal", &[("season", "20s"), ("bins", "3"), ("threshold", "2"), ("samples_min", "5"), ("smoothing", "0.7")]),
];

fn spans(answer: &Answer) -> Vec<(i64, i64, &'static str)> {
    answer.findings.iter().map(|finding| (finding.start.0 / SECOND, finding.end.0 / SECOND, finding.condition)).collect()
}

#[test]
fn an_alarm_comes_on_above_its_limit_and_goes_off_below_the_deadband() {
    let rows = steady(&[10.0, 80.0, 80.1, 93.0, 79.9, 78.5, 80.0, 78.0, 70.0]);
    let answer = detect("limits", &[("high", "80"), ("deadband", "2")], &rows, AnomalyOutput::Findings);
    // At the limit is not beyond it; 79.9 to 80 do not leave the deadband; 78 does.
    assert_eq!(spans(&answer), [(2, 7, "high")]);
    let finding = &answer.findings[0];
    assert_eq!((finding.peak.0 / SECOND, finding.observed, finding.samples, answer.count), (3, 93.0, 5, 5));
    assert_eq!(finding.explanation, "The value was above the high limit of 80 °C and reached 93 °C; the alarm was on for 5 s.");
    assert_eq!((finding.expected_text(), finding.observed_text()), ("at most 80 °C".into(), "93 °C".into()));
    assert_eq!(finding.severity, FindingSeverity::Warning);
    assert!(!finding.open_ended);
}

#[test]
fn delays_pass_by_the_time_of_samples() {
    let given = [("high", "80"), ("on_delay", "3s"), ("off_delay", "2s")];
    let find = |values: &[f64]| spans(&detect("limits", &given, &steady(values), AnomalyOutput::Findings));
    // Two seconds beyond are too short; a dip begins the delay anew.
    assert_eq!(find(&[0.0, 90.0, 90.0, 90.0, 0.0, 90.0, 90.0, 90.0, 0.0]), []);
    // Beyond since 1, on at 4; inside since 6, off at 8.
    assert_eq!(find(&[0.0, 90.0, 90.0, 90.0, 90.0, 90.0, 0.0, 0.0, 0.0, 0.0]), [(4, 8, "high")]);
    // One second inside does not end the alarm.
    assert_eq!(find(&[90.0, 90.0, 90.0, 90.0, 0.0, 90.0, 90.0, 0.0, 0.0, 0.0]), [(3, 9, "high")]);
    // Samples far apart: the delay has passed at the second one.
    let rows = [(0, Some(90.0), 0), (60, Some(90.0), 0), (120, Some(0.0), 0), (180, Some(0.0), 0)];
    assert_eq!(spans(&detect("limits", &given, &rows, AnomalyOutput::Findings)), [(60, 180, "high")]);
}

#[test]
fn each_limit_has_its_own_alarm() {
    let given = [("low_low", "5"), ("low", "10"), ("high", "80"), ("high_high", "90")];
    let answer = detect("limits", &given, &steady(&[50.0, 85.0, 95.0, 85.0, 50.0, 7.0, 1.0]), AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(2, 3, "high_high"), (1, 4, "high"), (6, 7, "low_low"), (5, 7, "low")]);
    assert_eq!(answer.count, 5);
    assert_eq!(answer.findings[0].severity, FindingSeverity::Critical);
    let open = &answer.findings[3];
    assert!(open.open_ended);
    assert_eq!(
        open.explanation,
        "The value was below the low limit of 10 °C and reached 1 °C; the alarm was still on when the range ended."
    );
}

#[test]
fn limits_default_to_the_range_of_the_tag() {
    assert_eq!(
        spans(&detect("limits", &[], &steady(&[0.0, 51.0, 0.0, -50.5, 0.0]), AnomalyOutput::Findings)),
        [(1, 2, "high"), (3, 4, "low")]
    );
    // One given limit stands alone.
    assert_eq!(spans(&detect("limits", &[("high", "60")], &steady(&[0.0, 51.0, -99.0]), AnomalyOutput::Findings)), []);
}

#[test]
fn bad_samples_raise_no_alarm_and_interrupt_a_delay() {
    let bad = |at| (at, Some(999.0), BAD);
    let high = |at| (at, Some(90.0), 0);
    let answer = detect("limits", &[("high", "80")], &[bad(0), bad(1), (2, Some(10.0), 0)], AnomalyOutput::Findings);
    assert_eq!((answer.count, answer.findings.len()), (0, 0));
    let delayed = [("high", "80"), ("on_delay", "3s")];
    assert_eq!(
        spans(&detect("limits", &delayed, &[high(0), bad(1), high(2), high(3), high(5)], AnomalyOutput::Findings)),
        [(5, 6, "high")]
    );
    let uncertain = [(0, Some(90.0), UNCERTAIN)];
    assert_eq!(detect("limits", &[("high", "80")], &uncertain, AnomalyOutput::Counts).count, 0);
    assert_eq!(detect("limits", &[("high", "80"), ("include_uncertain", "true")], &uncertain, AnomalyOutput::Counts).count, 1);
}

#[test]
fn a_value_that_rises_too_fast() {
    let rows = steady(&[20.0, 20.1, 20.2, 25.2, 25.3]);
    let answer = detect("rate_of_change", &[("limit", "10"), ("per", "minute")], &rows, AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(3, 4, "rising")]);
    let finding = &answer.findings[0];
    assert!((finding.observed - 300.0).abs() < 1e-9);
    assert_eq!(finding.unit, "°C/min");
    assert_eq!(finding.explanation, "The value rose by 300 °C/min from one sample to the next, more than the limit of 10 °C/min.");
    assert_eq!(finding.expected_text(), "-10 to 10 °C/min");
    let falling = [("limit", "10"), ("direction", "falling")];
    assert_eq!(detect("rate_of_change", &falling, &rows, AnomalyOutput::Counts).count, 0);
}

#[test]
fn a_window_smooths_what_is_short() {
    // 5 °C in a second are 2.5 °C/s over two and 0.5 °C/s over ten.
    let values: Vec<f64> = (0..30).map(|at| if at < 15 { 20.0 } else { 25.0 }).collect();
    let count = |window: &str| {
        let given = [("limit", "1"), ("per", "second"), ("window", window)];
        detect("rate_of_change", &given, &steady(&values), AnomalyOutput::Counts).count
    };
    assert_eq!((count("0s"), count("2s"), count("10s")), (1, 2, 0));
}

#[test]
fn a_frozen_sensor_is_found_from_where_it_froze() {
    let mut values: Vec<f64> = (0..5).map(f64::from).collect();
    values.extend([7.0; 6]);
    values.push(8.0);
    let answer = detect("flatline", &[("duration", "4s")], &steady(&values), AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(5, 11, "flat")]);
    let finding = &answer.findings[0];
    assert_eq!((finding.samples, finding.observed, finding.score), (2, 5.0, 1.25));
    assert_eq!(finding.explanation, "The value stayed at exactly 7 °C for 5 s, longer than the 4 s allowed.");
    // A Bad sample in between leaves two stretches of which neither is long enough.
    let mut rows = steady(&values);
    rows[8].2 = BAD;
    assert_eq!(detect("flatline", &[("duration", "4s")], &rows, AnomalyOutput::Counts).count, 0);
}

#[test]
fn a_flat_stretch_that_bad_quality_cuts_ends_with_its_last_sample() {
    let mut rows = steady(&[7.0; 8]);
    rows[6].2 = BAD;
    rows[7].2 = BAD;
    let answer = detect("flatline", &[("duration", "3s")], &rows, AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(0, 5, "flat")]);
    assert!(!answer.findings[0].open_ended);
}

#[test]
fn gaps_are_found_inside_and_at_both_edges() {
    let mut rows: Vec<Row> = (0..20).map(|at| (at * 5, Some(1.0), 0)).collect();
    rows.retain(|row| !(30..60).contains(&row.0));
    let plan = DetectorPlan::new("gap", &Parameters::new()).unwrap();
    let edges = TimeRange::new(Timestamp(-100 * SECOND), Timestamp(200 * SECOND));
    let mut detection = plan.begin(&Subject { range: edges, ..subject(&rows) }, AnomalyOutput::Findings).unwrap();
    detection.push(&run(&rows));
    assert!(detection.end_pass());
    detection.push(&run(&rows));
    assert!(!detection.end_pass());
    let answer = Answer { findings: detection.take_findings(), scores: detection.take_scores(), count: detection.count() };
    assert_eq!(spans(&answer), [(-100, 0, "gap"), (25, 60, "gap"), (95, 200, "gap")]);
    assert_eq!(answer.count, 3);
    assert_eq!(answer.findings[1].explanation, "There is no sample for 35 s, where one is expected every 5 s and 15 s are allowed.");
    assert!(answer.findings[2].open_ended && answer.findings[2].explanation.contains("up to the end of the range"));
}

#[test]
fn bad_samples_are_no_gap_unless_asked() {
    let mut rows: Vec<Row> = (0..20).map(|at| (at, Some(1.0), 0)).collect();
    rows[5..15].iter_mut().for_each(|row| row.2 = BAD);
    assert_eq!(detect("gap", &[], &rows, AnomalyOutput::Counts).count, 0);
    assert_eq!(spans(&detect("gap", &[("usable_only", "true")], &rows, AnomalyOutput::Findings)), [(4, 15, "gap")]);
}

#[test]
fn a_range_without_any_sample_is_a_gap() {
    let answer = detect("gap", &[], &[], AnomalyOutput::Findings);
    assert_eq!(answer.findings[0].explanation, "There is no sample in the whole range of 1 s.");
    assert_eq!(detect("gap", &[("period", "10s")], &[], AnomalyOutput::Counts).count, 0);
    assert_eq!(detect("gap", &[("period", "100ms")], &[], AnomalyOutput::Counts).count, 1);
}

#[test]
fn gaps_of_text_are_found() {
    let plan = DetectorPlan::new("gap", &parameters(&[("period", "1s")])).unwrap();
    let range = TimeRange::new(Timestamp(0), Timestamp(20 * SECOND));
    let subject = Subject { value_type: ValueType::String, range, ..subject(&[]) };
    let mut detection = plan.begin(&subject, AnomalyOutput::Counts).unwrap();
    let mut samples = Samples::new(ValueType::String);
    for at in [0, 1, 2, 9, 10, 19] {
        samples.push(at * SECOND, Some(&Value::String("x".into())), 0).unwrap();
    }
    detection.push(&samples);
    detection.end_pass();
    assert_eq!(detection.count(), 2);
}

#[test]
fn a_spike_is_found_and_a_step_is_not() {
    let wave = |at: usize| (at as f64 * 0.7).sin();
    let mut values: Vec<f64> = (0..60).map(wave).collect();
    values[20] = 30.0;
    for value in &mut values[40..] {
        *value += 100.0;
    }
    let given = [("window", "11")];
    let answer = detect("spike", &given, &steady(&values), AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(20, 21, "above")]);
    assert!(answer.findings[0].explanation.starts_with("The value 30 °C lies "), "{}", answer.findings[0].explanation);
    // Seen from before, the step is one until it fills half of the window.
    let before = detect("spike", &[("window", "11"), ("centred", "false")], &steady(&values), AnomalyOutput::Findings);
    assert_eq!(before.findings.iter().map(|finding| finding.start.0 / SECOND).collect::<Vec<_>>(), [20, 40]);
}

#[test]
fn noise_of_the_converter_is_no_spike() {
    let mut values = vec![20.0; 40];
    values[10] = 20.005;
    assert_eq!(detect("spike", &[], &steady(&values), AnomalyOutput::Counts).count, 0);
    assert_eq!(detect("spike", &[("floor", "0")], &steady(&values), AnomalyOutput::Counts).count, 1);
}

#[test]
fn a_value_is_judged_by_its_time_of_day() {
    // Warm at the second half of each ten seconds; once at the first half.
    let value = |at: i64| (if at % 10 >= 5 { 80.0 } else { 20.0 }) + (at % 3) as f64 * 0.1;
    let mut rows: Vec<Row> = (0..400).map(|at| (at, Some(value(at)), 0)).collect();
    rows[203].1 = Some(80.0);
    let given = [("season", "10s"), ("bins", "10")];
    let answer = detect("seasonal", &given, &rows, AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(203, 204, "above")]);
    let explanation = &answer.findings[0].explanation;
    assert!(explanation.contains("usual between 3 s and 4 s of each 10 s"), "{explanation}");
    assert_eq!(detect("sigma", &[], &rows, AnomalyOutput::Counts).count, 0);
}

#[test]
fn sigma_explains_itself() {
    let mut values: Vec<f64> = (0..100).map(|at| f64::from(at % 2)).collect();
    values[50] = 30.0;
    let answer = detect("sigma", &[], &steady(&values), AnomalyOutput::Findings);
    assert_eq!(spans(&answer), [(50, 51, "above")]);
    assert_eq!(
        answer.findings[0].explanation,
        "The value 30 °C lies 9.80993 standard deviations above the mean 0.8 °C of the range; 3 are allowed."
    );
    assert_eq!(detect("sigma", &[], &steady(&[5.0; 50]), AnomalyOutput::Counts).count, 0, "equal values have no outlier");
}

#[test]
fn sigma_counts_by_statistics_and_looks_only_at_chunks_that_reach_beyond() {
    let mut values: Vec<f64> = (0..100).map(|at| f64::from(at % 3)).collect();
    for (at, value) in [(19, 40.0), (20, 40.0), (39, 50.0), (70, -45.0)] {
        values[at] = value;
    }
    assert_eq!(detect("sigma", &[], &steady(&values), AnomalyOutput::Counts).count, 4);
    let plan = DetectorPlan::new("sigma", &Parameters::new()).unwrap();
    assert_eq!(count_by_statistics(&plan, &values, 20), Some((4, 3)), "three of five chunks are looked at");
    // A chunk that lies beyond as a whole is counted without a look.
    let mut values: Vec<f64> = (0..2_000).map(|at| f64::from(at % 3)).collect();
    values[1_000..1_020].fill(40.0);
    assert_eq!(count_by_statistics(&plan, &values, 20), Some((20, 0)));
    assert_eq!(count_by_statistics(&plan, &[5.0; 50], 10), Some((0, 0)), "equal values have no outlier");
    assert_eq!(count_by_statistics(&DetectorPlan::new("spike", &Parameters::new()).unwrap(), &values, 20), None);
}
