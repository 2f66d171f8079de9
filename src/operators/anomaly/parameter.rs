//! Parameters of detectors: what a request may say, what each detector takes, and the strict check between the two.
//!
//! A detector lists its parameters in a static table. The same table is checked against, filled in from, and shown to people.

use std::{collections::BTreeMap, fmt};

use super::text;

/// A parameter as a request gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    Number(f64),
    Text(String),
    Bool(bool),
}

/// Parameters of a request by name.
pub type Parameters = BTreeMap<String, ParameterValue>;

impl ParameterValue {
    /// Reads what a person types after `name=`: a number, `true` or `false`, else text.
    pub fn from_text(text: &str) -> ParameterValue {
        match (text.parse::<f64>(), text.parse::<bool>()) {
            (Ok(number), _) => ParameterValue::Number(number),
            (_, Ok(flag)) => ParameterValue::Bool(flag),
            _ => ParameterValue::Text(text.to_owned()),
        }
    }
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterValue::Number(number) => write!(f, "{number}"),
            ParameterValue::Text(text) => write!(f, "{:?}", text.chars().take(60).collect::<String>()),
            ParameterValue::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

/// What a parameter may be, and what it is when not given. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParameterKind {
    /// A finite number.
    Number {
        minimum: f64,
        maximum: f64,
        default: Option<f64>,
    },
    /// A whole number.
    Whole {
        minimum: u32,
        maximum: u32,
        default: u32,
    },
    /// A length of time in ns; given as seconds (number) or as text with a unit (`30s`, `1h`).
    Duration {
        minimum: i64,
        maximum: i64,
        default: Option<i64>,
    },
    /// One word of a list.
    Choice {
        allowed: &'static [&'static str],
        default: &'static str,
    },
    Flag {
        default: bool,
    },
}

/// One row of a detector's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSpec {
    pub name: &'static str,
    pub kind: ParameterKind,
    /// Unit of a number as text; empty where there is none. "unit of the tag" stands for its engineering unit.
    pub unit: &'static str,
    pub description: &'static str,
}

/// The row that every detector has: see `column.rs` for what it decides.
pub const INCLUDE_UNCERTAIN: ParameterSpec = ParameterSpec {
    name: "include_uncertain",
    kind: ParameterKind::Flag { default: false },
    unit: "",
    description: "score samples of Uncertain quality as well; Bad ones are never scored",
};

impl ParameterSpec {
    /// Type of the parameter in one word.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            ParameterKind::Number { .. } => "number",
            ParameterKind::Whole { .. } => "whole number",
            ParameterKind::Duration { .. } => "duration",
            ParameterKind::Choice { .. } => "text",
            ParameterKind::Flag { .. } => "bool",
        }
    }

    /// Default as text; empty when there is none.
    pub fn default_text(&self) -> String {
        match self.kind {
            ParameterKind::Number { default, .. } => default.map(text::number).unwrap_or_default(),
            ParameterKind::Whole { default, .. } => default.to_string(),
            ParameterKind::Duration { default, .. } => default.map(text::duration).unwrap_or_default(),
            ParameterKind::Choice { default, .. } => default.to_owned(),
            ParameterKind::Flag { default } => default.to_string(),
        }
    }

    /// What is allowed, as text.
    pub fn allowed(&self) -> String {
        match self.kind {
            ParameterKind::Number { minimum, maximum, .. } => match (minimum > f64::MIN, maximum < f64::MAX) {
                _ if minimum > 0.0 && minimum <= f64::MIN_POSITIVE => "a number above 0".into(),
                (true, true) => format!("a number from {} to {}", text::number(minimum), text::number(maximum)),
                (true, false) => format!("a number not below {}", text::number(minimum)),
                (false, true) => format!("a number not above {}", text::number(maximum)),
                (false, false) => "a finite number".into(),
            },
            ParameterKind::Whole { minimum, maximum, .. } => format!("a whole number from {minimum} to {maximum}"),
            ParameterKind::Duration { minimum, maximum, .. } => format!(
                "a duration from {} to {}, as seconds or as text with one of the units {}",
                text::duration(minimum),
                text::duration(maximum),
                text::DURATION_UNITS
            ),
            ParameterKind::Choice { allowed, .. } => format!("one of {}", allowed.join(", ")),
            ParameterKind::Flag { .. } => "true or false".into(),
        }
    }

    fn resolve(&self, given: &ParameterValue) -> Result<Argument, String> {
        match (self.kind, given) {
            (ParameterKind::Number { minimum, maximum, .. }, ParameterValue::Number(number)) => {
                (minimum..=maximum).contains(number).then_some(Argument::Number(*number)).ok_or_else(|| "it is out of range".into())
            }
            (ParameterKind::Whole { minimum, maximum, .. }, ParameterValue::Number(number)) => {
                if number.fract() != 0.0 {
                    return Err("it is not whole".into());
                }
                let inside = (f64::from(minimum)..=f64::from(maximum)).contains(number);
                inside.then_some(Argument::Whole(*number as u32)).ok_or_else(|| "it is out of range".into())
            }
            (ParameterKind::Duration { minimum, maximum, .. }, given) => {
                let nanoseconds = match given {
                    ParameterValue::Number(seconds) => text::nanoseconds(*seconds, 1e9),
                    ParameterValue::Text(text) => text::parse_duration(text),
                    ParameterValue::Bool(_) => None,
                };
                let nanoseconds = nanoseconds.ok_or("it is not a duration")?;
                let inside = (minimum..=maximum).contains(&nanoseconds);
                inside.then_some(Argument::Duration(nanoseconds)).ok_or_else(|| "it is out of range".into())
            }
            (ParameterKind::Choice { allowed, .. }, ParameterValue::Text(text)) => {
                let word = allowed.iter().find(|word| **word == text);
                word.map(|word| Argument::Choice(word)).ok_or_else(|| "it is not known".into())
            }
            (ParameterKind::Flag { .. }, ParameterValue::Bool(flag)) => Ok(Argument::Flag(*flag)),
            _ => Err(format!("it is not a {}", self.type_name())),
        }
    }

    fn default(&self) -> Option<Argument> {
        match self.kind {
            ParameterKind::Number { default, .. } => default.map(Argument::Number),
            ParameterKind::Whole { default, .. } => Some(Argument::Whole(default)),
            ParameterKind::Duration { default, .. } => default.map(Argument::Duration),
            ParameterKind::Choice { default, .. } => Some(Argument::Choice(default)),
            ParameterKind::Flag { default } => Some(Argument::Flag(default)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Argument {
    Number(f64),
    Whole(u32),
    Duration(i64),
    Choice(&'static str),
    Flag(bool),
}

/// Why a request for anomalies cannot be carried out. Names the parameter and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DetectorError {
    #[error("unknown detector {name:?}; known are {known}")]
    UnknownDetector { name: String, known: String },
    #[error("detector {detector} has no parameter {parameter:?}; it takes {known}")]
    UnknownParameter { detector: &'static str, parameter: String, known: String },
    #[error("parameter {parameter} of detector {detector} is {given}, but {reason}; allowed is {allowed}")]
    InvalidParameter { detector: &'static str, parameter: &'static str, given: String, reason: String, allowed: String },
    #[error("parameters of detector {detector}: {reason}")]
    Conflict { detector: &'static str, reason: String },
    #[error("detector {detector} needs a parameter: {reason}")]
    MissingParameter { detector: &'static str, reason: String },
    #[error("detector {detector} takes tags of the types {allowed}; this one is {found}")]
    ValueType { detector: &'static str, allowed: String, found: &'static str },
}

/// Checked parameters of one detector, defaults filled in.
///
/// The getters answer a neutral value for a name that is not in the table or has another kind: a slip in a detector, which the registry
/// test finds by building each one.
#[derive(Clone, Debug)]
pub struct DetectorParameters(BTreeMap<&'static str, Argument>);

impl DetectorParameters {
    /// Checks `parameters` against the table of `detector`.
    ///
    /// # Errors
    /// Names the first parameter that is unknown or not allowed.
    pub fn check(detector: &'static str, specs: &[ParameterSpec], parameters: &Parameters) -> Result<DetectorParameters, DetectorError> {
        let mut arguments: BTreeMap<_, _> = specs.iter().filter_map(|spec| Some((spec.name, spec.default()?))).collect();
        for (name, given) in parameters {
            let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
                let known = specs.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
                return Err(DetectorError::UnknownParameter { detector, parameter: name.chars().take(60).collect(), known });
            };
            let argument = spec.resolve(given).map_err(|reason| DetectorError::InvalidParameter {
                detector,
                parameter: spec.name,
                given: given.to_string(),
                reason,
                allowed: spec.allowed(),
            })?;
            arguments.insert(spec.name, argument);
        }
        Ok(DetectorParameters(arguments))
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name) {
            Some(Argument::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub fn whole(&self, name: &str) -> usize {
        match self.0.get(name) {
            Some(Argument::Whole(number)) => *number as usize,
            _ => 0,
        }
    }

    /// Nanoseconds.
    pub fn duration(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Argument::Duration(nanoseconds)) => Some(*nanoseconds),
            _ => None,
        }
    }

    pub fn choice(&self, name: &str) -> &'static str {
        match self.0.get(name) {
            Some(Argument::Choice(word)) => word,
            _ => "",
        }
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Argument::Flag(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[ParameterSpec] = &[
        ParameterSpec {
            name: "threshold",
            kind: ParameterKind::Number { minimum: 0.1, maximum: 100.0, default: Some(3.0) },
            unit: "standard deviations",
            description: "",
        },
        ParameterSpec {
            name: "high",
            kind: ParameterKind::Number { minimum: f64::MIN, maximum: f64::MAX, default: None },
            unit: "",
            description: "",
        },
        ParameterSpec {
            name: "window",
            kind: ParameterKind::Whole { minimum: 3, maximum: 101, default: 31 },
            unit: "samples",
            description: "",
        },
        ParameterSpec {
            name: "season",
            kind: ParameterKind::Duration { minimum: 1_000_000_000, maximum: 86_400_000_000_000, default: None },
            unit: "",
            description: "",
        },
        ParameterSpec {
            name: "direction",
            kind: ParameterKind::Choice { allowed: &["both", "rising"], default: "both" },
            unit: "",
            description: "",
        },
        INCLUDE_UNCERTAIN,
    ];

    fn check(name: &str, value: ParameterValue) -> Result<DetectorParameters, String> {
        DetectorParameters::check("test", SPECS, &Parameters::from([(name.to_owned(), value)])).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_filled_in_and_given_values_win() {
        let arguments = DetectorParameters::check("test", SPECS, &Parameters::new()).unwrap();
        assert_eq!(arguments.number("threshold"), Some(3.0));
        assert_eq!(arguments.number("high"), None);
        assert_eq!(arguments.whole("window"), 31);
        assert_eq!(arguments.duration("season"), None);
        assert_eq!(arguments.choice("direction"), "both");
        assert!(!arguments.flag("include_uncertain"));
        assert_eq!(check("season", ParameterValue::Text("1h".into())).unwrap().duration("season"), Some(3_600_000_000_000));
        assert_eq!(check("season", ParameterValue::Number(1.5)).unwrap().duration("season"), Some(1_500_000_000));
        assert_eq!(check("direction", ParameterValue::Text("rising".into())).unwrap().choice("direction"), "rising");
        assert!(check("include_uncertain", ParameterValue::Bool(true)).unwrap().flag("include_uncertain"));
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_name_and_range() {
        for (name, value, parts) in [
            ("treshold", ParameterValue::Number(3.0), vec!["treshold", "threshold, high, window, season, direction, include_uncertain"]),
            ("threshold", ParameterValue::Number(0.0), vec!["threshold", "is 0", "from 0.1 to 100"]),
            ("threshold", ParameterValue::Number(f64::NAN), vec!["NaN", "out of range"]),
            ("high", ParameterValue::Number(f64::INFINITY), vec!["inf", "finite"]),
            ("threshold", ParameterValue::Text("3".into()), vec!["not a number"]),
            ("window", ParameterValue::Number(4.5), vec!["4.5", "not whole", "from 3 to 101"]),
            ("window", ParameterValue::Number(1e12), vec!["out of range"]),
            ("season", ParameterValue::Number(0.5), vec!["season", "from 1 s to 1 d"]),
            ("season", ParameterValue::Text("1 fortnight".into()), vec!["not a duration", "ms"]),
            ("season", ParameterValue::Bool(true), vec!["not a duration"]),
            ("direction", ParameterValue::Text("down".into()), vec!["down", "both, rising"]),
            ("include_uncertain", ParameterValue::Number(1.0), vec!["true or false"]),
        ] {
            let message = check(name, value.clone()).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{name}={value}: {message:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn typed_text_becomes_the_parameter_it_looks_like() {
        assert_eq!(ParameterValue::from_text("2.5"), ParameterValue::Number(2.5));
        assert_eq!(ParameterValue::from_text("true"), ParameterValue::Bool(true));
        assert_eq!(ParameterValue::from_text("2.5s"), ParameterValue::Text("2.5s".into()));
    }
}
