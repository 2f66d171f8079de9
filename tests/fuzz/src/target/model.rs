//! Texts that mean times and tags.

use std::str;

use historian_model::{
    TagSelection, Timestamp,
    time::{NumericTimeUnit, length_of_time},
};
use jiff::tz::TimeZone;

use super::Target;

pub const TIME: Target = Target {
    name: "time",
    about: "times, lengths of time and numbers since 1970; each time is read as it is shown",
    inputs: 15_000,
    run: |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        let now = Timestamp(1_774_785_600_000_000_000);
        let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
        let mut taken = length_of_time(text).is_some();
        for unit in [NumericTimeUnit::Seconds, NumericTimeUnit::Milliseconds, NumericTimeUnit::Nanoseconds] {
            taken |= Timestamp::parse_number(text, unit).is_some_and(|number| number.is_ok());
        }
        taken |= Timestamp::parse_bound(text, now, &zone).is_ok();
        taken |= Timestamp::read(text, now, &zone).is_ok();
        if let Ok(time) = Timestamp::parse(text, now, &zone) {
            assert_eq!(Timestamp::parse(&time.to_string(), now, &zone), Ok(time), "{time} is read as it is shown");
        }
        taken
    },
    seeds: || {
        let seeds = [
            "2026-01-01T06:00:00.123456789Z",
            "2026-03-29T02:30:00+02:00",
            "2026-10-25T02:30",
            "2026-01-01",
            "1767225600s",
            "1767225600000.5ms",
            "1767225600000000000",
            "*-8h",
            "t+6h-30m",
            "y+1d-1mo+2w",
            "1h30m",
            "1.5s",
            "9999-12-31",
        ];
        seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

pub const SELECTION: Target = Target {
    name: "selection",
    about: "names and globs of tags, one on each line; together they select what each selects alone",
    inputs: 2_000,
    run: |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        let patterns: Vec<&str> = text.lines().collect();
        let Ok(selection) = TagSelection::parse(&patterns) else { return false };
        if patterns.len() <= 8 {
            let alone: Vec<TagSelection> = patterns.iter().filter_map(|pattern| TagSelection::parse(&[*pattern]).ok()).collect();
            assert_eq!(alone.len(), patterns.len(), "what is taken together is taken alone");
            for name in NAMES.iter().chain(&patterns) {
                let any = alone.iter().any(|one| one.matches(name));
                assert_eq!(selection.matches(name), any, "{name:?} in {patterns:?}");
            }
        }
        true
    },
    seeds: || {
        let seeds = [
            "area1/**\narea2/boiler/pressure",
            "a/{b,c{d,e}}/*\n[a-z]?/x[!0-9]",
            "**/temperature\n*\\*\na/{x,y,z}/{1,2,3}",
            "größe/ä*",
            "area?/boiler*/**/[tp]*",
        ];
        seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

const NAMES: [&str; 9] =
    ["a", "a/b/c", "area1/boiler/pressure", "area2/boiler/pressure", "a/cd/x", "b1/xa", "größe/äx", "a/y/2", "x/temperature"];
