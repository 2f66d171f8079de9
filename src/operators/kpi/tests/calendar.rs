//! Calendars across changes of the clock.

use jiff::{Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;

use super::*;

const HOUR_NS: u64 = 3_600_000_000_000;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn ns(text: &str) -> i64 {
    i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
}

fn told(start: &str, end: &str, unit: &CalendarUnit, name: &str) -> Vec<(String, u64, bool)> {
    let intervals = calendar(window(ns(start), ns(end)), unit, &zone(name)).unwrap();
    let hours = |interval: &CalendarInterval| interval.window.duration_ns() / HOUR_NS;
    intervals.iter().map(|interval| (interval.label.clone(), hours(interval), interval.whole)).collect()
}

fn shift(name: &str, hour: i8) -> Shift {
    Shift { name: name.into(), start: civil::time(hour, 0, 0, 0) }
}

fn three_shifts() -> CalendarUnit {
    CalendarUnit::Shift(vec![shift("early", 6), shift("late", 14), shift("night", 22)])
}

#[test]
fn days_have_23_and_25_hours() {
    let days = |start, end, zone| told(start, end, &CalendarUnit::Day, zone).into_iter().map(|day| (day.0, day.1)).collect::<Vec<_>>();
    let day = |label: &str, hours| (label.to_owned(), hours);
    let berlin = days("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", "Europe/Berlin");
    assert_eq!(berlin, [day("2026-03-28", 24), day("2026-03-29", 23), day("2026-03-30", 24)]);
    let berlin = days("2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z", "Europe/Berlin");
    assert_eq!(berlin, [day("2026-10-24", 24), day("2026-10-25", 25), day("2026-10-26", 24)]);
    let new_york = days("2026-03-07T05:00:00Z", "2026-03-10T04:00:00Z", "America/New_York");
    assert_eq!(new_york, [day("2026-03-07", 24), day("2026-03-08", 23), day("2026-03-09", 24)]);
    let new_york = days("2026-10-31T04:00:00Z", "2026-11-03T05:00:00Z", "America/New_York");
    assert_eq!(new_york, [day("2026-10-31", 24), day("2026-11-01", 25), day("2026-11-02", 24)]);
}

#[test]
fn hours_that_occur_twice_have_two_names() {
    let hours = told("2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", &CalendarUnit::Hour, "Europe/Berlin");
    let labels: Vec<_> = hours.iter().map(|hour| hour.0.as_str()).collect();
    assert_eq!(labels, ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]);
    let hours = told("2026-03-08T06:00:00Z", "2026-03-08T08:00:00Z", &CalendarUnit::Hour, "America/New_York");
    let labels: Vec<_> = hours.iter().map(|hour| hour.0.as_str()).collect();
    assert_eq!(labels, ["2026-03-08T01:00-05:00", "2026-03-08T03:00-04:00"]);
    // Where clocks change by half an hour, and where they always stand at half an hour.
    let lord_howe = window(ns("2026-04-04T13:00:00Z"), ns("2026-04-04T16:30:00Z"));
    let hours = calendar(lord_howe, &CalendarUnit::Hour, &zone("Australia/Lord_Howe")).unwrap();
    let lengths: Vec<_> = hours.iter().map(|hour| hour.window.duration_ns() * 2 / HOUR_NS).collect();
    assert_eq!(lengths, [2, 3, 2]);
    let india = told("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", &CalendarUnit::Hour, "Asia/Kolkata");
    assert_eq!(india.iter().map(|hour| hour.2).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_night_shift_across_the_change_is_longer_or_shorter() {
    let expected = |label: &str, hours, whole| (label.to_owned(), hours, whole);
    let spring = told("2026-03-28T13:00:00Z", "2026-03-29T12:00:00Z", &three_shifts(), "Europe/Berlin");
    assert_eq!(
        spring,
        [expected("2026-03-28 late", 8, true), expected("2026-03-28 night", 7, true), expected("2026-03-29 early", 8, true)]
    );
    let autumn = told("2026-10-31T22:00:00Z", "2026-11-01T12:00:00Z", &three_shifts(), "America/New_York");
    assert_eq!(
        autumn,
        [expected("2026-10-31 late", 4, false), expected("2026-10-31 night", 9, true), expected("2026-11-01 early", 1, false)]
    );
    // Just after midnight it is still the night of the day before.
    assert_eq!(told("2026-06-01T23:30:00Z", "2026-06-02T01:30:00Z", &three_shifts(), "Europe/Berlin")[0].0, "2026-06-01 night");
}

#[test]
fn long_units_have_their_names() {
    let labels = |start, end, unit| told(start, end, &unit, "Europe/Berlin").into_iter().map(|interval| interval.0).collect::<Vec<_>>();
    assert_eq!(labels("2026-12-30T12:00:00Z", "2027-01-05T00:00:00Z", CalendarUnit::Week), ["2026-W53", "2027-W01"]);
    assert_eq!(labels("2026-01-31T23:30:00Z", "2026-03-01T00:00:00Z", CalendarUnit::Month), ["2026-02", "2026-03"]);
    assert_eq!(labels("2025-12-31T22:30:00Z", "2026-03-01T00:00:00Z", CalendarUnit::Year), ["2025", "2026"]);
    let month = told("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", &CalendarUnit::Month, "Europe/Berlin");
    assert_eq!(month, [("2026-03".to_owned(), 31 * 24 - 1, true)]);
}

#[test]
fn shifts_in_a_skipped_hour_do_not_overlap() {
    let shifts =
        [(2, 15), (2, 45), (3, 10)].map(|(hour, minute)| Shift { name: format!("{minute}"), start: civil::time(hour, minute, 0, 0) });
    let unit = CalendarUnit::Shift(shifts.to_vec());
    let day = window(ns("2026-03-28T23:00:00Z"), ns("2026-03-29T22:00:00Z"));
    let intervals = calendar(day, &unit, &zone("Europe/Berlin")).unwrap();
    assert!(intervals.windows(2).all(|pair| pair[0].window.end() == pair[1].window.start()));
}

#[test]
fn what_makes_no_sense_says_so() {
    let long = window(ns("1700-01-01T00:00:00Z"), ns("2200-01-01T00:00:00Z"));
    assert_eq!(calendar(long, &CalendarUnit::Hour, &TimeZone::UTC), Err(KpiError::Intervals));
    assert_eq!(calendar(long, &CalendarUnit::Year, &TimeZone::UTC).unwrap().len(), 500);
    for shifts in [vec![], vec![shift("a", 1), shift("a", 2)], vec![shift("a", 1), shift("b", 1)], vec![shift(" ", 1)]] {
        let count = shifts.len();
        assert_eq!(calendar(long, &CalendarUnit::Shift(shifts), &TimeZone::UTC), Err(KpiError::Shifts(count)));
    }
    assert!(CalendarUnit::parse("quarter", vec![]).unwrap_err().to_string().contains("hour, day, week, month, year, and shift"));
    assert!(CalendarUnit::parse("day", vec![shift("a", 1)]).is_err());
    // The ends of time.
    assert_eq!(calendar(window(i64::MIN, i64::MIN + 1), &CalendarUnit::Year, &zone("Europe/Berlin")).unwrap().len(), 1);
    assert_eq!(calendar(window(i64::MAX - 1, i64::MAX), &three_shifts(), &zone("Asia/Tokyo")).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn intervals_cover_the_window_without_overlap(
        start in 0_i64..2_000_000_000,
        days in 1_i64..60,
        unit in prop_oneof![
            Just(CalendarUnit::Hour), Just(CalendarUnit::Day), Just(CalendarUnit::Week), Just(CalendarUnit::Month), Just(CalendarUnit::Year),
            Just(three_shifts()),
        ],
        name in proptest::sample::select(vec![
            "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "UTC",
        ]),
    ) {
        let window = window(start * 1_000_000_000, (start + days * 86_400) * 1_000_000_000 + 1);
        let intervals = calendar(window, &unit, &zone(name)).unwrap();
        prop_assert_eq!(intervals[0].window.start(), window.start());
        prop_assert_eq!(intervals.last().unwrap().window.end(), window.end());
        prop_assert!(intervals.windows(2).all(|pair| pair[0].window.end() == pair[1].window.start()));
        let mut labels: Vec<_> = intervals.iter().map(|interval| &interval.label).collect();
        labels.sort_unstable();
        labels.dedup();
        prop_assert_eq!(labels.len(), intervals.len());
    }
}

#[test]
fn steps_follow_each_other_from_the_start_of_the_window() {
    let steps_of = |step: u64| {
        let found = steps(window(ns("2026-03-29T00:00:00Z"), ns("2026-03-29T03:00:00.5Z")), step, &zone("Europe/Berlin")).unwrap();
        found.into_iter().map(|step| (step.label, step.window.start(), step.window.end(), step.whole)).collect::<Vec<_>>()
    };
    let step = |label: &str, start, end, whole| (label.to_owned(), ns(start), ns(end), whole);
    // Half past two is not there on this day.
    let expected = [
        step("2026-03-29T01:00:00+01:00", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z", true),
        step("2026-03-29T03:30:00+02:00", "2026-03-29T01:30:00Z", "2026-03-29T03:00:00Z", true),
        step("2026-03-29T05:00:00+02:00", "2026-03-29T03:00:00Z", "2026-03-29T03:00:00.5Z", false),
    ];
    assert_eq!(steps_of(HOUR_NS * 3 / 2), expected);
    let whole = [step("2026-03-29T01:00:00+01:00", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00.5Z", true)];
    assert_eq!(steps_of(0), whole);
    let many = |count| steps(window(0, count), 1, &TimeZone::UTC);
    assert_eq!((many(100_000).unwrap().len(), many(100_001)), (100_000, Err(KpiError::Intervals)));
}

#[test]
fn every_name_is_that_of_its_unit() {
    for (name, unit) in [
        ("hour", CalendarUnit::Hour),
        ("day", CalendarUnit::Day),
        ("week", CalendarUnit::Week),
        ("month", CalendarUnit::Month),
        ("year", CalendarUnit::Year),
        ("shift", CalendarUnit::Shift(Vec::new())),
    ] {
        assert_eq!(CalendarUnit::parse(name, Vec::new()), Ok(unit));
    }
    assert_eq!(CalendarUnit::parse("shift", vec![shift("early", 6)]), Ok(CalendarUnit::Shift(vec![shift("early", 6)])));
    assert_eq!(CalendarUnit::parse("day", vec![shift("early", 6)]), Err(KpiError::CalendarUnit("day with shifts".into())));
    assert_eq!(CalendarUnit::parse("Day", Vec::new()), Err(KpiError::CalendarUnit("Day".into())));
    for (name, policy) in [("from_zero", ResetPolicy::FromZero), ("skip", ResetPolicy::Skip), ("always", ResetPolicy::Always)] {
        assert_eq!(name.parse(), Ok(policy));
    }
    assert_eq!("zero".parse::<ResetPolicy>(), Err(KpiError::ResetPolicy("zero".into())));
}
