//! Scalars of a message as values of a tag's type: exactly, or not at all.

use serde_json::{Number, Value as Json};

use super::exact;
use historian_model::{Value, ValueType};

/// The type that a tag gets from its first value where the configuration says none; `None` for what is no scalar.
pub fn type_of(scalar: &Json) -> Option<ValueType> {
    match scalar {
        Json::Number(_) => Some(ValueType::F64),
        Json::Bool(_) => Some(ValueType::Bool),
        Json::String(_) => Some(ValueType::String),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A payload of text as a scalar, for a tag of this type; without a type, a number or `true` and `false` are what they look like.
pub fn of_text(text: &str, value_type: Option<ValueType>) -> Json {
    if value_type == Some(ValueType::String) {
        return Json::String(text.to_owned());
    }
    let trimmed = text.trim();
    if value_type == Some(ValueType::Bool) {
        if trimmed.eq_ignore_ascii_case("true") {
            return Json::Bool(true);
        }
        if trimmed.eq_ignore_ascii_case("false") {
            return Json::Bool(false);
        }
    }
    match exact::json(trimmed) {
        Ok(scalar @ (Json::Number(_) | Json::Bool(_))) => scalar,
        _ => Json::String(text.to_owned()),
    }
}

/// The scalar as a value of the type.
///
/// # Errors
/// Why it is none: another type, or one that would not be exact.
pub fn value_of(scalar: &Json, value_type: ValueType) -> Result<Value, String> {
    let value = match (value_type, scalar) {
        (ValueType::F64, Json::Number(number)) => exact_f64(number).map(Value::F64),
        // What is written with decimals means the nearest number of the type.
        (ValueType::F32, Json::Number(number)) => {
            number.as_f64().map(|number| number as f32).filter(|number| number.is_finite()).map(Value::F32)
        }
        (ValueType::I64, Json::Number(number)) => whole(number).and_then(|whole| i64::try_from(whole).ok()).map(Value::I64),
        (ValueType::U64, Json::Number(number)) => whole(number).and_then(|whole| u64::try_from(whole).ok()).map(Value::U64),
        (ValueType::State, Json::Number(number)) => whole(number).and_then(|whole| u32::try_from(whole).ok()).map(Value::State),
        (ValueType::Bool, Json::Bool(flag)) => Some(Value::Bool(*flag)),
        (ValueType::Bool, Json::Number(number)) => match whole(number) {
            Some(0) => Some(Value::Bool(false)),
            Some(1) => Some(Value::Bool(true)),
            _ => None,
        },
        (ValueType::String, Json::String(text)) => Some(Value::String(text.clone())),
        _ => None,
    };
    value.ok_or_else(|| match scalar {
        Json::Number(number) if value_type == ValueType::F64 => {
            format!("{number} is rounded by an f64, and Uncertain; say `type = \"i64\"` or \"u64\"")
        }
        Json::Number(number) => format!("{number} is no {value_type}"),
        Json::String(text) => format!("the text {:?} is no {value_type}", text.chars().take(40).collect::<String>()),
        Json::Bool(flag) => format!("{flag} is no {value_type}"),
        Json::Null => format!("null is no {value_type}"),
        Json::Array(_) => format!("an array is no {value_type}"),
        Json::Object(_) => format!("an object is no {value_type}"),
    })
}

/// The nearest number of a float type, for a whole number that is none exactly; such a value is Uncertain.
pub fn rounded(scalar: &Json, value_type: ValueType) -> Option<Value> {
    let Json::Number(number) = scalar else { return None };
    (value_type == ValueType::F64).then(|| number.as_f64().map(Value::F64))?
}

fn exact_f64(number: &Number) -> Option<f64> {
    let near = number.as_f64()?;
    let same = match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => near as i128 == i128::from(whole),
        (None, Some(whole)) => near as i128 == i128::from(whole),
        (None, None) => near.is_finite(),
    };
    same.then_some(near)
}

fn whole(number: &Number) -> Option<i128> {
    if let Some(whole) = number.as_i64() {
        return Some(whole.into());
    }
    if let Some(whole) = number.as_u64() {
        return Some(whole.into());
    }
    // 3.0, as makers write whole numbers; beyond 2^53 nobody knows which was meant.
    let number = number.as_f64()?;
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(json: &str, value_type: ValueType) -> Result<Value, String> {
        value_of(&exact::json(json).unwrap(), value_type)
    }

    #[test]
    fn scalars_become_values_only_where_nothing_is_lost() {
        assert_eq!(value("21.5", ValueType::F64), Ok(Value::F64(21.5)));
        assert_eq!(value("9223372036854775807", ValueType::I64), Ok(Value::I64(i64::MAX)));
        assert_eq!(value("18446744073709551615", ValueType::U64), Ok(Value::U64(u64::MAX)));
        assert_eq!(value("3.0", ValueType::I64), Ok(Value::I64(3)));
        assert_eq!(value("1", ValueType::Bool), Ok(Value::Bool(true)));
        assert_eq!(value("\"x\"", ValueType::String), Ok(Value::String("x".into())));
        assert_eq!(value("7", ValueType::State), Ok(Value::State(7)));
        for (json, value_type) in [
            ("9007199254740993", ValueType::F64),
            ("3.5", ValueType::I64),
            ("-1", ValueType::U64),
            ("1e300", ValueType::F32),
            ("2", ValueType::Bool),
            ("\"21.5\"", ValueType::F64),
            ("5", ValueType::String),
            ("null", ValueType::F64),
            ("[1]", ValueType::F64),
            ("true", ValueType::F64),
        ] {
            assert!(value(json, value_type).is_err(), "{json} as {value_type}");
        }
    }

    #[test]
    fn what_a_float_rounds_is_near() {
        let rounded = |json: &str, value_type| super::rounded(&exact::json(json).unwrap(), value_type);
        assert_eq!(rounded("9007199254740993", ValueType::F64), Some(Value::F64(9_007_199_254_740_992.0)));
        assert_eq!(rounded("9007199254740993", ValueType::I64), None);
        assert_eq!(rounded("\"x\"", ValueType::F64), None);
    }

    #[test]
    fn text_is_read_by_the_type_of_its_tag() {
        assert_eq!(of_text(" 21.5\n", None), serde_json::json!(21.5));
        assert_eq!(of_text("true", None), Json::Bool(true));
        assert_eq!(of_text("TRUE", Some(ValueType::Bool)), Json::Bool(true));
        assert_eq!(of_text("1234", Some(ValueType::String)), Json::String("1234".into()));
        assert_eq!(of_text("21,5", Some(ValueType::F64)), Json::String("21,5".into()));
        assert_eq!(of_text("[1]", None), Json::String("[1]".into()));
    }

    proptest! {
        #[test]
        fn every_number_that_is_written_is_read_back(number in any::<f64>().prop_filter("finite", |number| number.is_finite()), whole in any::<i64>()) {
            let read = value(&format!("{number:e}"), ValueType::F64).unwrap();
            prop_assert_eq!(read, Value::F64(number));
            prop_assert_eq!(value(&whole.to_string(), ValueType::I64).unwrap(), Value::I64(whole));
        }
    }
}
