//! What holds for every detector of the registry.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::anomaly::{DETECTORS, ParameterKind};

#[test]
fn the_registry_is_sound() {
    let mut names = BTreeSet::new();
    for detector in DETECTORS {
        for name in [&[detector.name()], detector.aliases()].concat() {
            assert!(names.insert(name), "{name} twice");
            assert_eq!(DetectorPlan::new(name, &Parameters::new()).unwrap().detector(), detector.name());
        }
        assert!(CASES.iter().any(|(name, _)| *name == detector.name()), "{} has no case", detector.name());
        assert!(!detector.description().is_empty() && !detector.value_types().is_empty());
        assert!(detector.parameters().iter().any(|spec| spec.name == "include_uncertain"), "{}", detector.name());
        let mut seen = BTreeSet::new();
        for spec in detector.parameters() {
            assert!(seen.insert(spec.name), "{} {} twice", detector.name(), spec.name);
            assert!(!spec.description.is_empty() && !spec.allowed().is_empty());
            // A default is itself allowed, and reads back as what the table shows.
            let shown = match spec.kind {
                ParameterKind::Duration { default, .. } => default.map(|default| ParameterValue::Text(format!("{default}ns"))),
                ParameterKind::Number { default, .. } => default.map(ParameterValue::Number),
                _ => Some(ParameterValue::from_text(&spec.default_text())),
            };
            if let Some(shown) = shown {
                DetectorPlan::new(detector.name(), &Parameters::from([(spec.name.to_owned(), shown)])).unwrap();
            }
        }
    }
}

#[test]
fn every_parameter_has_its_row_in_the_documentation() {
    let text = include_str!("../../../../docs/detectors.md");
    for detector in DETECTORS {
        let section = text.split("\n## ").find(|section| section.starts_with(&format!("`{}`", detector.name())));
        let section = section.unwrap_or_else(|| panic!("{} has no section", detector.name()));
        let mut rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        for spec in detector.parameters().iter().filter(|spec| spec.name != "include_uncertain") {
            let row = format!("| `{}` | {} | {} | {} |", spec.name, spec.type_name(), spec.unit, spec.default_text());
            let found = rows.iter().position(|line| line.starts_with(&row));
            rows.remove(found.unwrap_or_else(|| panic!("{}: no row begins with {row:?}", detector.name())));
        }
        assert!(rows.is_empty(), "{}: {rows:?} is no parameter", detector.name());
        for alias in detector.aliases() {
            assert!(section.contains(&format!("`{alias}`")), "{}: the section does not name `{alias}`", detector.name());
        }
        let takes_numbers = detector.value_types() == [ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64];
        assert_eq!(takes_numbers, !section.contains("Takes tags of"), "{}: which types does it take?", detector.name());
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let error = |detector: &str, given: &[(&str, &str)]| DetectorPlan::new(detector, &parameters(given)).unwrap_err().to_string();
    let known: Vec<&str> = DETECTORS.iter().map(|detector| detector.name()).collect();
    assert_eq!(error("sigmas", &[]), format!("unknown detector \"sigmas\"; known are {}", known.join(", ")));
    assert_eq!(error("sigma", &[("treshold", "3")]), "detector sigma has no parameter \"treshold\"; it takes threshold, include_uncertain");
    assert_eq!(
        error("sigma", &[("threshold", "0")]),
        "parameter threshold of detector sigma is 0, but it is out of range; allowed is a number from 0.1 to 1000000"
    );
    assert!(error("limits", &[("low", "5"), ("high", "5")]).contains("low 5 is not below high 5"));
    assert!(error("limits", &[("low", "1"), ("high", "5"), ("deadband", "4")]).contains("deadband 4"));
    assert!(error("seasonal", &[("season", "1s"), ("bins", "2000")]).contains("bins under 1 ms"));

    let mut subject = subject(&[]);
    (subject.range_low, subject.range_high) = (None, None);
    let plan = DetectorPlan::new("limits", &Parameters::new()).unwrap();
    let message = plan.begin(&subject, AnomalyOutput::Findings).err().unwrap().to_string();
    assert!(message.contains("low_low, low, high, high_high"), "{message}");
    subject.value_type = ValueType::String;
    let message = plan.begin(&subject, AnomalyOutput::Findings).err().unwrap().to_string();
    assert_eq!(message, "detector limits takes tags of the types f64, f32, i64, u64; this one is string");
    assert!(!plan.takes(ValueType::String) && DetectorPlan::new("gap", &Parameters::new()).unwrap().takes(ValueType::String));
}

#[test]
fn nothing_overflows_at_the_ends_of_time() {
    for (detector, given) in CASES {
        let plan = DetectorPlan::new(detector, &parameters(given)).unwrap();
        for output in [AnomalyOutput::Findings, AnomalyOutput::Scores, AnomalyOutput::Counts] {
            let mut samples = Samples::new(ValueType::F64);
            for (at, value) in [(i64::MIN, 1e308), (i64::MIN + 1, -1e308), (-1, 0.0), (0, 1e308), (i64::MAX - 1, -1e308), (i64::MAX, 5.0)] {
                samples.push(at, Some(&Value::F64(value)), 0).unwrap();
            }
            let mut detection = plan.begin(&Subject { range: TimeRange::ALL, ..subject(&[]) }, output).unwrap();
            loop {
                detection.push(&samples);
                if !detection.end_pass() {
                    break;
                }
            }
            for finding in detection.take_findings() {
                assert!(finding.start <= finding.last && finding.last <= finding.end, "{finding:?}");
            }
            assert!(detection.take_scores().scores.iter().all(|score| !score.is_nan()), "{detector}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_does_not_depend_on_how_samples_come_in_runs(
        rows in rows(),
        case in case(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let plan = DetectorPlan::new(case.0, &parameters(case.1)).unwrap();
        for output in [AnomalyOutput::Findings, AnomalyOutput::Scores, AnomalyOutput::Counts] {
            let whole = detect_cut(&plan, &rows, &[], output);
            let cut = detect_cut(&plan, &rows, &cuts, output);
            // As text, because the values of scores may be NaN.
            prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
        }
    }

    #[test]
    fn findings_scores_and_counts_tell_the_same(rows in rows(), case in case()) {
        let plan = DetectorPlan::new(case.0, &parameters(case.1)).unwrap();
        let found = detect_cut(&plan, &rows, &[], AnomalyOutput::Findings);
        let scored = detect_cut(&plan, &rows, &[], AnomalyOutput::Scores);
        let counted = detect_cut(&plan, &rows, &[], AnomalyOutput::Counts);
        prop_assert_eq!(found.count, counted.count);
        prop_assert_eq!(scored.count, counted.count);
        prop_assert!(scored.findings.is_empty() && counted.findings.is_empty() && found.scores.scores.is_empty());
        let beyond = scored.scores.scores.iter().filter(|score| **score >= 1.0).count() as u64;
        let open_gap = u64::from(plan.detector() == "gap" && found.findings.last().is_some_and(|finding| finding.open_ended));
        prop_assert_eq!(beyond + open_gap, counted.count);
        prop_assert!(scored.scores.scores.iter().all(|score| *score >= 0.0));
        if plan.detector() != "limits" {
            prop_assert_eq!(found.findings.iter().map(|finding| finding.samples).sum::<u64>(), counted.count);
        }
        let mut end = Timestamp::MIN;
        for finding in &found.findings {
            prop_assert!(finding.start <= finding.peak && finding.peak <= finding.last && finding.last <= finding.end, "{:?}", finding);
            prop_assert!(finding.score >= 1.0 && finding.samples >= 1);
            prop_assert!(end <= finding.end, "not in the order of their ends");
            prop_assert!(finding.explanation.ends_with('.') && !finding.explanation.contains("NaN"), "{}", finding.explanation);
            end = finding.end;
        }
    }

    #[test]
    fn counts_by_statistics_of_chunks_are_those_of_the_samples(rows in rows(), case in case(), len in 1_usize..12) {
        let plan = DetectorPlan::new(case.0, &parameters(case.1)).unwrap();
        let counts = |quality: u32| quality == 0 || (plan.includes_uncertain() && quality != BAD);
        let values: Vec<f64> = rows.iter().filter(|row| counts(row.2)).filter_map(|row| row.1).filter(|value| value.is_finite()).collect();
        if let Some((count, _)) = count_by_statistics(&plan, &values, len) {
            let scored = detect_cut(&plan, &rows, &[], AnomalyOutput::Scores);
            prop_assert_eq!(scored.scores.values.len(), values.len());
            // The sums are made in another order, so a value may lie on the limit for one and not for the other.
            prop_assume!(scored.scores.scores.iter().all(|score| (score - 1.0).abs() > 1e-9));
            prop_assert_eq!(count, scored.count);
        }
    }

    #[test]
    fn what_a_bad_sample_carries_does_not_matter(rows in rows(), case in case(), other in -1e3..1e3_f64) {
        let plan = DetectorPlan::new(case.0, &parameters(case.1)).unwrap();
        let mut changed = rows.clone();
        for row in changed.iter_mut().filter(|row| row.2 == BAD) {
            row.1 = Some(other);
        }
        let first = detect_cut(&plan, &rows, &[], AnomalyOutput::Findings);
        let second = detect_cut(&plan, &changed, &[], AnomalyOutput::Findings);
        prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
        if plan.detector() != "gap" {
            let counted = |at: i64| rows.iter().any(|row| row.0 * SECOND == at && row.2 != BAD && row.1.is_some_and(f64::is_finite));
            let scored = detect_cut(&plan, &changed, &[], AnomalyOutput::Scores);
            prop_assert!(scored.scores.timestamps.iter().all(|at| counted(*at)));
        }
    }
}
