//! Time as SQL has it: buckets of the calendar and of zones, local dates, differences.

use super::*;

fn utc(time: &str) -> String {
    format!("arrow_cast('{time}', 'Timestamp(Nanosecond, Some(\"UTC\"))')")
}

/// One row for each of these times.
fn at(times: &[&str]) -> String {
    let rows: Vec<String> = times.iter().map(|time| format!("({})", utc(time))).collect();
    format!("(VALUES {}) t(timestamp)", rows.join(", "))
}

fn texts(plant: &Plant, expression: &str, times: &[&str]) -> Vec<String> {
    let text = format!("SELECT arrow_cast({expression}, 'Utf8') AS v FROM {} ORDER BY timestamp", at(times));
    let batch = rows(plant, &text);
    batch.column(0).as_string::<i32>().iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

#[test]
fn buckets_begin_where_the_calendar_says() {
    let plant = plant(options());
    // A Sunday on which the clock changes in Berlin, and the Monday after.
    let times = ["2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"];
    let berlin = ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
    for day in [
        "time_bucket('1 day', timestamp, 'Europe/Berlin')",
        "time_bucket('day', timestamp, 'Europe/Berlin')",
        "time_bucket(INTERVAL '1 day', timestamp, 'Europe/Berlin')",
        "arrow_cast(date_bin(INTERVAL '1 day', timestamp AT TIME ZONE 'Europe/Berlin'), 'Timestamp(Nanosecond, Some(\"UTC\"))')",
        "arrow_cast(time_bucket('1 day', timestamp AT TIME ZONE 'Europe/Berlin'), 'Timestamp(Nanosecond, Some(\"UTC\"))')",
        "arrow_cast(date_trunc('day', timestamp AT TIME ZONE 'Europe/Berlin'), 'Timestamp(Nanosecond, Some(\"UTC\"))')",
    ] {
        assert_eq!(texts(&plant, day, &times), berlin, "{day}");
    }
    for day in ["(timestamp AT TIME ZONE 'Europe/Berlin')::timestamp::date", "(timestamp AT TIME ZONE 'Europe/Berlin')::date"] {
        assert_eq!(texts(&plant, day, &times), ["2026-03-28", "2026-03-29", "2026-03-29", "2026-03-30"], "{day}");
    }
    assert_eq!(
        texts(&plant, "(timestamp AT TIME ZONE 'Europe/Berlin')::timestamp", &times[2..]),
        ["2026-03-29T23:59:59", "2026-03-30T00:00:00"]
    );
    for (bucket, expected) in [
        ("time_bucket('7 days', timestamp)", "2026-03-23T00:00:00Z"),
        ("time_bucket('week', timestamp)", "2026-03-23T00:00:00Z"),
        ("time_bucket('1 week', timestamp, 'UTC')", "2026-03-23T00:00:00Z"),
        ("time_bucket('week', timestamp, 'Europe/Berlin')", "2026-03-22T23:00:00Z"),
        ("time_bucket('month', timestamp)", "2026-03-01T00:00:00Z"),
        ("time_bucket('month', timestamp, 'Europe/Berlin')", "2026-02-28T23:00:00Z"),
        ("time_bucket('quarter', timestamp, 'Europe/Berlin')", "2025-12-31T23:00:00Z"),
        ("time_bucket('year', timestamp, 'Asia/Kolkata')", "2025-12-31T18:30:00Z"),
        ("time_bucket('1 year', timestamp)", "2026-01-01T00:00:00Z"),
        ("time_bucket('5 minutes', timestamp)", "2026-03-29T12:30:00Z"),
        ("time_bucket('5 minutes', timestamp, 'Asia/Kathmandu')", "2026-03-29T12:30:00Z"),
        ("time_bucket('1 hour', timestamp, 'Asia/Kathmandu')", "2026-03-29T12:15:00Z"),
        ("time_bucket('1 day', timestamp, '2026-01-01T06:00:00Z')", "2026-03-29T06:00:00Z"),
        ("time_bucket('1 day', timestamp, TIMESTAMP '2026-01-01 06:00:00')", "2026-03-29T06:00:00Z"),
        ("date_bin(INTERVAL '1 day', timestamp)", "2026-03-29T00:00:00Z"),
    ] {
        assert_eq!(texts(&plant, bucket, &["2026-03-29T12:33:21.5Z"]), [expected], "{bucket}");
    }
    for (text, fragment) in [
        ("SELECT time_bucket('1 day', timestamp, 'Europe/Nowhere') FROM samples", "neither a time zone"),
        ("SELECT time_bucket('nonsense', timestamp) FROM samples", "nonsense"),
        ("SELECT time_bucket('0 days', timestamp) FROM samples", "longer than 0"),
        ("SELECT time_bucket('1 month 3 days', timestamp) FROM samples", "either of months"),
        ("SELECT time_bucket('1 day', value) FROM samples", "takes a timestamp"),
    ] {
        let error = run(&plant, text).unwrap_err();
        assert!(error.to_string().contains(fragment), "{text}: {error}");
    }
}

#[test]
fn differences_of_timestamps_have_their_fraction_in_seconds() {
    let plant = plant(options());
    let (of, earlier) = (at(&["2026-03-29T12:33:21.25Z"]), utc("2026-03-29T12:33:20Z"));
    for (expression, seconds) in [
        (format!("extract(epoch FROM timestamp - {earlier})"), 1.25),
        (format!("extract(epoch FROM {earlier} - timestamp)"), -1.25),
        (format!("date_part('EPOCH', timestamp - {earlier})"), 1.25),
        ("extract(epoch FROM timestamp)".into(), 1_774_787_601.25),
        ("extract(epoch FROM INTERVAL '1 day 500 milliseconds')".into(), 86_400.5),
    ] {
        let batch = rows(&plant, &format!("SELECT {expression} AS s FROM {of}"));
        assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(0).to_bits(), f64::to_bits(seconds), "{expression}");
    }
}
