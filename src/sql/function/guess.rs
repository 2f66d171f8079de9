//! Parameters as arguments of table functions. A function is called while its statement is planned, so that the values are wanted there; and a
//! statement that is only described has none yet. Its columns are then those of a call with values that stand for the ones to come.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::DataType;
use parking_lot::Mutex;

use crate::{ScalarValue, SqlError, bind, placeholder};
use historian_model::Timestamp;

/// The values of a statement for the arguments of its calls, and which of them are asked for. Kept in the configuration of its session.
pub struct CallParameters {
    values: Vec<ScalarValue>,
    taken: Mutex<BTreeMap<usize, DataType>>,
}

impl CallParameters {
    pub fn new(values: &[ScalarValue]) -> Arc<CallParameters> {
        Arc::new(CallParameters { values: values.iter().map(bind::plain).collect(), taken: Mutex::default() })
    }

    /// The value of a parameter for the argument `name` of a call.
    ///
    /// # Errors
    /// When there are values, and none for this one.
    pub fn value(&self, id: &str, name: &str, now: Timestamp) -> Result<ScalarValue, SqlError> {
        let number = placeholder::number(id).ok_or_else(|| placeholder::no_such(id))?;
        let guessed = guess(name, now);
        self.taken.lock().insert(number, guessed.data_type());
        if self.values.is_empty() {
            return Ok(guessed);
        }
        let found = self.values.get(number - 1).cloned();
        found.ok_or_else(|| SqlError::Invalid(format!("the parameter {id} has no value, {} are bound", self.values.len())))
    }

    /// Numbers and types of the parameters that were asked for.
    pub fn taken(&self) -> BTreeMap<usize, DataType> {
        self.taken.lock().clone()
    }
}

/// A value that stands for one to come: one that the argument takes whatever the others are.
fn guess(name: &str, now: Timestamp) -> ScalarValue {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let time = |at| ScalarValue::TimestampNanosecond(Some(at), Some("UTC".into()));
    match name {
        "tags" => text("**"),
        "start" => time(now.0.saturating_sub(HOUR_NS)),
        "end" => time(now.0),
        "interval" => text("1h"),
        "functions" => text("time_average"),
        "points" => ScalarValue::Int64(Some(100)),
        "boundary" => text("INSIDE"),
        "method" => text("PLOT"),
        "detector" => text("flatline"),
        "output" => text("FINDINGS"),
        _ => text("{}"),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn values_are_handed_out_and_noted_and_stand_ins_where_there_are_none() {
        let now = Timestamp(1_767_225_600_000_000_000);
        let none = CallParameters::new(&[]);
        assert_eq!(none.value("$2", "interval", now).unwrap(), ScalarValue::Utf8(Some("1h".into())));
        none.value("$1", "start", now).unwrap();
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        assert_eq!(none.taken().into_iter().collect::<Vec<_>>(), [(1, time), (2, DataType::Utf8)]);
        let one = CallParameters::new(&[ScalarValue::LargeUtf8(Some("a/x".into()))]);
        assert_eq!(one.value("$1", "tags", now).unwrap(), ScalarValue::Utf8(Some("a/x".into())));
        assert!(one.value("$2", "start", now).unwrap_err().to_string().contains("$2"));
        assert!(one.value("$name", "start", now).is_err());
    }
}
