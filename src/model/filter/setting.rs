//! What of a tag's samples may be left out: settings as the catalog keeps them.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::ValueType;

/// How the collector of a tag leaves samples out. The default leaves none out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TagFilter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionFilter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionFilter>,
}

/// Passes what differs from the last sample passed by more than a deadband.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExceptionFilter {
    /// In engineering units, from 0; 0 passes every change.
    pub deadband: f64,
    /// Numbers that come sooner than this after the last sample passed wait, whatever they are. Above 0 nothing bounds the error.
    #[serde(default)]
    pub min_interval_ms: u64,
    /// A sample passes at the latest so long after the one before.
    pub max_interval_ms: u64,
}

/// Swinging door: passes the ends of straight lines that have all samples between within a deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionFilter {
    /// In engineering units, above 0.
    pub deviation: f64,
    /// No line is longer than this.
    pub max_interval_ms: u64,
}

impl TagFilter {
    /// Longest intervals that can be set, in milliseconds: one second to a day.
    pub const MAX_INTERVAL_MS: RangeInclusive<u64> = 1_000..=86_400_000;
    /// The longest interval where none is set.
    pub const MAX_INTERVAL_DEFAULT_MS: u64 = 600_000;

    /// Every sample passes.
    pub fn is_off(&self) -> bool {
        self.exception.is_none() && self.compression.is_none()
    }

    /// How far, in engineering units, a sample that was left out may lie from what a query reads at its time; `None` where nothing bounds it:
    /// no filter is set (and nothing left out), or a minimum interval holds numbers back.
    ///
    /// A stepped tag reads the last sample passed, which is at most a deadband away. On a line both ends are that close to the sample passed
    /// before, and so a sample is at most twice the deadband away from the line. The door adds its deviation.
    pub fn error_bound(&self, stepped: bool) -> Option<f64> {
        let of_exception = match &self.exception {
            None => None,
            Some(exception) if exception.min_interval_ms > 0 => return None,
            Some(exception) => Some(if stepped { exception.deadband } else { 2.0 * exception.deadband }),
        };
        let of_door = self.compression.as_ref().map(|compression| compression.deviation);
        (!self.is_off()).then(|| of_exception.unwrap_or(0.0) + of_door.unwrap_or(0.0))
    }

    /// Checks the rules that hold for and between the fields, for a tag of this type.
    ///
    /// # Errors
    /// The name of the first setting that breaks one, and which.
    pub fn check(&self, value_type: ValueType, stepped: bool) -> Result<(), (&'static str, String)> {
        let is_number = matches!(value_type, ValueType::F64 | ValueType::F32 | ValueType::I64 | ValueType::U64);
        if let Some(ExceptionFilter { deadband, min_interval_ms, max_interval_ms }) = &self.exception {
            if !deadband.is_finite() || *deadband < 0.0 {
                return Err(("exception_deadband", format!("is {deadband}, it can be 0 or a positive number")));
            }
            if *deadband > 0.0 && !is_number {
                return Err((
                    "exception_deadband",
                    format!("is {deadband}, and values of type {value_type} have no distance; 0 passes changes only"),
                ));
            }
            check_interval("exception_max_ms", *max_interval_ms)?;
            if min_interval_ms > max_interval_ms {
                let message = format!("is {min_interval_ms}, above the longest interval, exception_max_ms = {max_interval_ms}");
                return Err(("exception_min_ms", message));
            }
        }
        if let Some(CompressionFilter { deviation, max_interval_ms }) = &self.compression {
            if !deviation.is_finite() || *deviation <= 0.0 {
                return Err(("compression_deviation", format!("is {deviation}, it must be a positive number")));
            }
            if stepped || !matches!(value_type, ValueType::F64 | ValueType::F32) {
                let message = "is for tags of type f64 or f32 that are not stepped: between the samples of others there is no straight line; \
                               use exception_deadband";
                return Err(("compression_deviation", message.into()));
            }
            check_interval("compression_max_ms", *max_interval_ms)?;
        }
        Ok(())
    }
}

fn check_interval(key: &'static str, milliseconds: u64) -> Result<(), (&'static str, String)> {
    let allowed = TagFilter::MAX_INTERVAL_MS;
    if allowed.contains(&milliseconds) {
        return Ok(());
    }
    Err((key, format!("is {milliseconds}, allowed are {} to {} (a second to a day)", allowed.start(), allowed.end())))
}
