//! What `historian check` shows of a device beside the values of its tags: the requests that are planned, and how else a value could be
//! read.

use std::{fmt, time::Duration};

use historian_model::Value;

/// One request that a collector makes of its device again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRead {
    /// In the notation of the configuration, for example `holding:100-131`.
    pub addresses: String,
    /// Registers, bits or whatever the protocol counts, those between the values included.
    pub count: u16,
    /// What is counted: `registers`.
    pub of: &'static str,
    /// Tags that are decoded from the answer.
    pub tags: usize,
    pub period: Duration,
}

/// A value as another reading of the same raw data gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherReading {
    /// The setting that reads it so: of Modbus a word order.
    pub setting: &'static str,
    /// `None` where the raw data mean "no value" then.
    pub value: Option<Value>,
    /// It may be what the device means.
    pub plausible: bool,
}

/// How the raw data of a tag could be read. Empty for protocols whose values say what they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Every reading, that of the configuration among them; empty where there is only one.
    pub all: Vec<OtherReading>,
    /// The configured one.
    pub configured: &'static str,
    /// Why the value, well read as it was, is hardly what the device means; empty when nothing speaks against it.
    pub doubt: String,
}

impl Readings {
    /// Readings that may be meant instead of the one that is in doubt; empty without a doubt.
    pub fn better(&self) -> impl Iterator<Item = &OtherReading> {
        self.all.iter().filter(|reading| !self.doubt.is_empty() && reading.plausible && reading.setting != self.configured)
    }

    /// True when the value is in doubt and another reading would do.
    pub fn is_doubtful(&self) -> bool {
        self.better().next().is_some()
    }

    /// The doubt and what would do, as in `outside 20..95; CDAB gives 57.2`; empty without a doubt.
    pub fn told(&self) -> String {
        if self.doubt.is_empty() {
            return String::new();
        }
        let gives = |reading: &OtherReading| format!("{} gives {}", reading.setting, reading.value.as_ref().map(brief).unwrap_or_default());
        let better: Vec<String> = self.better().map(gives).collect();
        match (better.is_empty(), self.all.is_empty()) {
            (false, _) => format!("{}; {}", self.doubt, better.join(", ")),
            (true, false) => format!("{}, and so it is in every other order", self.doubt),
            (true, true) => self.doubt.clone(),
        }
    }
}

/// A value for people: numbers that are very small or large with an exponent, so that they stay short.
pub fn brief(value: &Value) -> String {
    match value {
        Value::F64(number) => short(*number, *number),
        Value::F32(number) => short(f64::from(*number), *number),
        Value::I64(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::Bool(bit) => bit.to_string(),
        Value::String(text) => text.clone(),
        Value::State(state) => state.to_string(),
    }
}

fn short(magnitude: f64, number: impl fmt::Display + fmt::LowerExp) -> String {
    let is_plain = magnitude == 0.0 || !magnitude.is_finite() || (1e-4..1e15).contains(&magnitude.abs());
    if is_plain { number.to_string() } else { format!("{number:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_as_they_are() {
        for (value, text) in [
            (Value::F32(5e-7), "5e-7"),
            (Value::F32(57.2), "57.2"),
            (Value::F32(-1.5e-39), "-1.5e-39"),
            (Value::F64(0.0), "0"),
            (Value::F64(1e300), "1e300"),
            (Value::F64(f64::INFINITY), "inf"),
            (Value::F64(123_456_789.5), "123456789.5"),
            (Value::U64(u64::MAX), "18446744073709551615"),
        ] {
            assert_eq!(brief(&value), text);
        }
    }

    #[test]
    fn a_doubt_names_only_what_would_do_instead() {
        let reading = |setting, value: f32, plausible| OtherReading { setting, value: Some(Value::F32(value)), plausible };
        let all = vec![reading("ABCD", 5e-7, true), reading("CDAB", 57.2, true), reading("BADC", 1e30, false)];
        let mut readings = Readings { all, configured: "ABCD", doubt: "outside 20..95".into() };
        assert!(readings.is_doubtful());
        assert_eq!(readings.told(), "outside 20..95; CDAB gives 57.2");
        readings.all[1].plausible = false;
        assert!(!readings.is_doubtful());
        assert_eq!(readings.told(), "outside 20..95, and so it is in every other order");
        readings.doubt.clear();
        readings.all[1].plausible = true;
        assert_eq!((readings.is_doubtful(), readings.told()), (false, String::new()));
    }
}
