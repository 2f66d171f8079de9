//! JSON whose numbers are the nearest of what is written. The library rounds decimals in a hurry, by up to one in the last place, unless a feature
//! of it is on that all crates would pay for.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde_json::{Error, Number, Value as Json, value::RawValue};

/// Levels of arrays and objects within each other: each is a call within a call, and one more reading of what is in it.
const LEVELS_MAX: usize = 64;

/// Reads a text.
///
/// # Errors
/// Why it is no JSON, or has a number beyond f64, or more levels than are taken.
pub fn json(text: &str) -> Result<Json, Error> {
    of_raw(serde_json::from_str(text)?, LEVELS_MAX)
}

fn of_raw(raw: &RawValue, levels: usize) -> Result<Json, Error> {
    let text = raw.get();
    let within = |raw: &RawValue| match levels.checked_sub(1) {
        Some(levels) => of_raw(raw, levels),
        None => Err(Error::custom(format!("more than {LEVELS_MAX} levels"))),
    };
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            members.into_iter().map(|(name, member)| Ok((name, within(member)?))).collect::<Result<_, _>>().map(Json::Object)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            elements.into_iter().map(within).collect::<Result<_, _>>().map(Json::Array)
        }
        _ => match serde_json::from_str(text)? {
            Json::Number(near) if near.is_f64() => {
                let exact = text.parse().ok().and_then(Number::from_f64);
                exact.map(Json::Number).ok_or_else(|| Error::custom(format!("the number {text} is beyond f64")))
            }
            scalar => Ok(scalar),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_the_nearest_of_what_is_written() {
        for text in [
            "0.1",
            "-0.1",
            "122.416294033786585",
            "1e300",
            "5e-324",
            "9007199254740993.0",
            "20000000000000000000",
            "-0.0",
            "1.7976931348623157e308",
        ] {
            let number = json(&format!("{{\"a\": [{text}]}}")).unwrap();
            assert_eq!(number["a"][0].as_f64().map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits), "{text}");
        }
        assert_eq!(json("[18446744073709551615, -9223372036854775808]").unwrap(), json!([u64::MAX, i64::MIN]));
        assert!(json("1e999").is_err() && json("[1,").is_err() && json("{\"a\" 1}").is_err() && json("1 2").is_err() && json("").is_err());
        assert_eq!(
            json(" {\"\\u0061\": {\"b\": null, \"c\": [true, \"\\n\"]}, \"a/~\": 1} ").unwrap(),
            json!({"a": {"b": null, "c": [true, "\n"]}, "a/~": 1})
        );
        assert!(json(&"[".repeat(10_000)).is_err());
        let nested = |levels: usize| json(&format!("{}1{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(nested(LEVELS_MAX).is_ok());
        // As many as would be too deep for the stack.
        assert!(nested(LEVELS_MAX + 1).is_err() && nested(100_000).is_err());
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            prop_assert_eq!(json(&format!("{number:e}")).unwrap().as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }
}
