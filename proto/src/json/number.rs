//! Numbers of JSON, as numbers or as text.

use serde_json::{Number, Value};

use super::mistake::Mistake;

/// Of a float all whole numbers up to here are exact; beyond, other numbers of the text may have become this one.
const FLOAT_EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number: `7`, `7.0`, `7e0`, and each of them as text.
pub fn integer<T: TryFrom<i128>>(value: &Value) -> Result<T, Mistake> {
    let number = match value {
        Value::Number(number) => number.clone(),
        Value::String(text) => of_text(text).ok_or_else(|| Mistake::here(format!("{} is no number", shown(value))))?,
        _ => return Err(Mistake::here(format!("{} is no number", shown(value)))),
    };
    let whole = whole(&number).ok_or_else(|| Mistake::here(format!("{} is no whole number", shown(value))))?;
    T::try_from(whole).map_err(|_| Mistake::here(format!("{} is out of range", shown(value))))
}

/// A number that is whole, and known to the last digit.
pub fn whole(number: &Number) -> Option<i128> {
    if let Some(whole) = number.as_i64() {
        return Some(whole.into());
    }
    if let Some(whole) = number.as_u64() {
        return Some(whole.into());
    }
    number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128)
}

/// A whole number that JSON wrote as a float, where that cannot have rounded it.
pub fn whole_exactly(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= FLOAT_EXACT).map(|float| float as i64))
}

/// A float: a number, or as text a number, `NaN`, `Infinity` or `-Infinity`.
pub fn float(value: &Value) -> Result<f64, Mistake> {
    let float = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => of_text(text).and_then(|number| number.as_f64()),
        },
        _ => None,
    };
    float.ok_or_else(|| Mistake::here(format!("{} is no number", shown(value))))
}

/// A float of 32 bits; the nearest one, as long as there is one.
pub fn single(value: &Value) -> Result<f32, Mistake> {
    let double = float(value)?;
    let single = double as f32;
    if single.is_infinite() && double.is_finite() {
        return Err(Mistake::here(format!("{} is out of range", shown(value))));
    }
    Ok(single)
}

/// The number that a text is, as JSON writes numbers.
fn of_text(text: &str) -> Option<Number> {
    let is_bare =
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && text.ends_with(|last: char| last.is_ascii_digit());
    if is_bare { serde_json::from_str(text).ok() } else { None }
}

/// A value for a refusal, cut short.
pub fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(80) {
        text.truncate(end);
        text.push('…');
    }
    text
}
