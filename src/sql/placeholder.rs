//! Names of parameters: `$1`, `$2`, …

use super::SqlError;

/// Most parameters of one statement.
pub const PARAMETERS_MAX: usize = 10_000;

/// The number in a name such as `$1`.
pub fn number(id: &str) -> Option<usize> {
    let number = id.strip_prefix('$').and_then(|number| number.parse().ok());
    number.filter(|number| (1..=PARAMETERS_MAX).contains(number))
}

pub fn no_such(name: &str) -> SqlError {
    SqlError::Invalid(format!("the parameter {name} is none of ?, or $1 to ${PARAMETERS_MAX}"))
}
