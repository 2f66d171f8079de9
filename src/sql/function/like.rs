//! `like_pattern(pattern, escape)`: a pattern of `LIKE` whose wildcards are escaped by another letter, escaped by the backslash, which is the one
//! that `DataFusion` knows. `LIKE … ESCAPE` becomes it where the pattern is not known when the statement is parsed.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::{ScalarValue, exec_err},
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use crate::error::invalid;

pub fn function() -> ScalarUDF {
    ScalarUDF::from(LikePattern { signature: Signature::string(2, Volatility::Immutable) })
}

/// The pattern with backslashes; without a letter nothing in it is escaped.
///
/// # Errors
/// When the letter stands at the end.
pub fn escaped(pattern: &str, letter: Option<char>) -> std::result::Result<String, &'static str> {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut letters = pattern.chars();
    while let Some(next) = letters.next() {
        if Some(next) == letter {
            let Some(meant) = letters.next() else { return Err("a pattern of LIKE does not end with its escape") };
            if matches!(meant, '%' | '_' | '\\') {
                out.push('\\');
            }
            out.push(meant);
        } else {
            if next == '\\' {
                out.push('\\');
            }
            out.push(next);
        }
    }
    Ok(out)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LikePattern {
    signature: Signature,
}

impl ScalarUDFImpl for LikePattern {
    fn name(&self) -> &'static str {
        "like_pattern"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [pattern, ColumnarValue::Scalar(escape)] = arguments.args.as_slice() else {
            return exec_err!("like_pattern takes a pattern and a letter");
        };
        let letter = escape.try_as_str().flatten().and_then(|escape| escape.chars().next());
        let of_one = |pattern: &str| escaped(pattern, letter).map_err(invalid);
        Ok(match pattern {
            ColumnarValue::Scalar(pattern) => {
                ColumnarValue::Scalar(ScalarValue::Utf8(pattern.try_as_str().flatten().map(of_one).transpose()?))
            }
            ColumnarValue::Array(patterns) => {
                let patterns: ArrayRef = cast(patterns, &DataType::Utf8)?;
                let escaped: StringArray =
                    patterns.as_string::<i32>().iter().map(|pattern| pattern.map(of_one).transpose()).collect::<Result<_>>()?;
                ColumnarValue::Array(Arc::new(escaped))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn wildcards_are_escaped_by_a_backslash() {
        for (pattern, letter, expected) in [
            ("a!_b%", Some('!'), r"a\_b%"),
            ("100!%!!", Some('!'), r"100\%!"),
            (r"a\b", Some('!'), r"a\\b"),
            (r"a\_", None, r"a\\_"),
            ("x", Some('!'), "x"),
            (r"!\", Some('!'), r"\\"),
        ] {
            assert_eq!(escaped(pattern, letter).unwrap(), expected, "{pattern}");
        }
        escaped("a!", Some('!')).unwrap_err();
    }
}
