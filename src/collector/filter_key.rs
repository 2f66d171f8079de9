//! Keys of a collected tag that say which of its samples are left out (`historian_model::filter`), with the same meaning for every protocol.

use super::tag_key::{FILTER, Setting};
use historian_model::{
    TagDefinition, TagName, ValueType,
    filter::{CompressionFilter, ExceptionFilter, TagFilter},
};

const DEADBAND: &str = FILTER[0].name;
const DEADBAND_PERCENT: &str = FILTER[1].name;
const EXCEPTION_MIN: &str = FILTER[2].name;
const EXCEPTION_MAX: &str = FILTER[3].name;
const DEVIATION: &str = FILTER[4].name;
const DEVIATION_PERCENT: &str = FILTER[5].name;
const COMPRESSION_MAX: &str = FILTER[6].name;

/// A key, and what is wrong with it.
pub type RefusedFilter = (&'static str, String);

/// What was written at the keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterKeys {
    pub deadband: Option<f64>,
    pub deadband_percent: Option<f64>,
    pub exception_min_ms: Option<u64>,
    pub exception_max_ms: Option<u64>,
    pub deviation: Option<f64>,
    pub deviation_percent: Option<f64>,
    pub compression_max_ms: Option<u64>,
}

/// Declares a section of the configuration about tags that a device makes, with these keys behind its own: `tag_filter` gives what was written.
#[macro_export]
macro_rules! filtered_section {
    ($(#[$about:meta])* $visible:vis struct $name:ident { $($fields:tt)* }) => {
        $(#[$about])*
        $visible struct $name {
            $($fields)*
            #[serde(default)]
            pub exception_deadband: Option<f64>,
            #[serde(default)]
            pub exception_deadband_percent: Option<f64>,
            #[serde(default)]
            pub exception_min_ms: Option<u64>,
            #[serde(default)]
            pub exception_max_ms: Option<u64>,
            #[serde(default)]
            pub compression_deviation: Option<f64>,
            #[serde(default)]
            pub compression_deviation_percent: Option<f64>,
            #[serde(default)]
            pub compression_max_ms: Option<u64>,
        }

        impl $name {
            fn tag_filter(&self) -> $crate::filter_key::FilterKeys {
                $crate::filter_key::FilterKeys {
                    deadband: self.exception_deadband,
                    deadband_percent: self.exception_deadband_percent,
                    exception_min_ms: self.exception_min_ms,
                    exception_max_ms: self.exception_max_ms,
                    deviation: self.compression_deviation,
                    deviation_percent: self.compression_deviation_percent,
                    compression_max_ms: self.compression_max_ms,
                }
            }
        }
    };
}

impl FilterKeys {
    /// Puts a setting in its place; gives back one of another key.
    pub fn set(&mut self, name: &str, setting: Setting) -> Option<Setting> {
        match (name, setting) {
            (DEADBAND, Setting::Number(number)) => self.deadband = Some(number),
            (DEADBAND_PERCENT, Setting::Number(number)) => self.deadband_percent = Some(number),
            (EXCEPTION_MIN, Setting::Whole(number)) => self.exception_min_ms = Some(number),
            (EXCEPTION_MAX, Setting::Whole(number)) => self.exception_max_ms = Some(number),
            (DEVIATION, Setting::Number(number)) => self.deviation = Some(number),
            (DEVIATION_PERCENT, Setting::Number(number)) => self.deviation_percent = Some(number),
            (COMPRESSION_MAX, Setting::Whole(number)) => self.compression_max_ms = Some(number),
            (_, setting) => return Some(setting),
        }
        None
    }

    /// What is wrong with the keys whatever the tags will be that a device makes: they have this type and interpolation where these are given, and
    /// a range where the device may tell one.
    pub fn refused_of_any(&self, value_type: Option<ValueType>, stepped: Option<bool>, may_have_range: bool) -> Option<RefusedFilter> {
        let mut any = TagDefinition::new(TagName::new("any").ok()?, value_type.unwrap_or(ValueType::F64));
        any.stepped = stepped.unwrap_or(any.stepped);
        (any.range_low, any.range_high) = may_have_range.then_some((0.0, 1.0)).unzip();
        self.filter(&any).err()
    }

    /// The filter of a tag that a device made, with the keys of all that are made like it: either part is left out where a tag of this type, range
    /// and interpolation cannot have it. Why, in words, with the key, is the second of the answer.
    pub fn fitting(&self, definition: &TagDefinition) -> (TagFilter, Vec<String>) {
        let FilterKeys { deviation, deviation_percent, compression_max_ms, .. } = *self;
        let exception = FilterKeys { deviation: None, deviation_percent: None, compression_max_ms: None, ..self.clone() };
        let compression = FilterKeys { deviation, deviation_percent, compression_max_ms, ..FilterKeys::default() };
        let mut left_out = Vec::new();
        let mut part = |keys: &FilterKeys| {
            keys.filter(definition).unwrap_or_else(|(key, why)| {
                left_out.push(format!("{key} {why}"));
                TagFilter::default()
            })
        };
        let filter = TagFilter { exception: part(&exception).exception, compression: part(&compression).compression };
        (filter, left_out)
    }

    /// The filter of a tag whose type, range and interpolation are known.
    ///
    /// # Errors
    /// The first key that is wrong, and why.
    pub fn filter(&self, definition: &TagDefinition) -> Result<TagFilter, RefusedFilter> {
        let deadband = units([DEADBAND, DEADBAND_PERCENT], self.deadband, self.deadband_percent, definition)?;
        let deviation = units([DEVIATION, DEVIATION_PERCENT], self.deviation, self.deviation_percent, definition)?;
        for (key, interval, needed, has) in [
            (EXCEPTION_MIN, self.exception_min_ms, DEADBAND, deadband),
            (EXCEPTION_MAX, self.exception_max_ms, DEADBAND, deadband),
            (COMPRESSION_MAX, self.compression_max_ms, DEVIATION, deviation),
        ] {
            if interval.is_some() && has.is_none() {
                return Err((key, format!("has no effect without {needed} or {needed}_percent")));
            }
        }
        let exception = deadband.map(|deadband| ExceptionFilter {
            deadband,
            min_interval_ms: self.exception_min_ms.unwrap_or(0),
            max_interval_ms: self.exception_max_ms.unwrap_or(TagFilter::MAX_INTERVAL_DEFAULT_MS),
        });
        let compression = deviation.map(|deviation| CompressionFilter {
            deviation,
            max_interval_ms: self.compression_max_ms.unwrap_or(TagFilter::MAX_INTERVAL_DEFAULT_MS),
        });
        let filter = TagFilter { exception, compression };
        filter.check(definition.value_type, definition.stepped)?;
        Ok(filter)
    }
}

/// A distance in engineering units, however it was written; `None` where it was not.
fn units(
    [key, key_percent]: [&'static str; 2],
    absolute: Option<f64>,
    percent: Option<f64>,
    definition: &TagDefinition,
) -> Result<Option<f64>, RefusedFilter> {
    let Some(percent) = percent else { return Ok(absolute) };
    if absolute.is_some() {
        return Err((key_percent, format!("and {key} exclude each other; keep one of them")));
    }
    if !(0.0..=100.0).contains(&percent) {
        return Err((key_percent, format!("is {percent}, allowed are 0 to 100")));
    }
    let (Some(low), Some(high)) = (definition.range_low, definition.range_high) else {
        return Err((
            key_percent,
            format!("is of the tag's range, and it has none: set range_low and range_high, or {key} in engineering units"),
        ));
    };
    Ok(Some((high - low) * percent / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag_key::TagKeyKind;

    fn filter_of(written: &[(&str, f64)], value_type: ValueType, range: Option<(f64, f64)>) -> Result<TagFilter, RefusedFilter> {
        let mut definition = TagDefinition::new(TagName::new("t").unwrap(), value_type);
        (definition.range_low, definition.range_high) = range.unzip();
        let mut keys = FilterKeys::default();
        for (name, number) in written {
            let setting = match FILTER.iter().find(|key| key.name == *name).unwrap().kind {
                TagKeyKind::Whole => Setting::Whole(*number as u64),
                _ => Setting::Number(*number),
            };
            assert!(keys.set(name, setting).is_none(), "{name}");
        }
        keys.filter(&definition)
    }

    #[test]
    fn percents_are_of_the_range_and_intervals_have_defaults() {
        let filter =
            filter_of(&[(DEADBAND_PERCENT, 1.0), (DEVIATION, 0.5), (COMPRESSION_MAX, 60_000.0)], ValueType::F64, Some((-50.0, 150.0)));
        let filter = filter.unwrap();
        assert_eq!(filter.exception, Some(ExceptionFilter { deadband: 2.0, min_interval_ms: 0, max_interval_ms: 600_000 }));
        assert_eq!(filter.compression, Some(CompressionFilter { deviation: 0.5, max_interval_ms: 60_000 }));
        assert!(filter_of(&[], ValueType::Bool, None).unwrap().is_off());
        assert_eq!(FilterKeys::default().set("scale", Setting::Number(1.0)), Some(Setting::Number(1.0)));
    }

    #[test]
    fn a_tag_that_is_made_has_what_it_can_have_of_the_filters_of_its_kind() {
        let keys = FilterKeys { deadband: Some(0.5), deviation_percent: Some(1.0), ..FilterKeys::default() };
        let of = |value_type: ValueType, range: Option<(f64, f64)>| {
            let mut definition = TagDefinition::new(TagName::new("t").unwrap(), value_type);
            (definition.range_low, definition.range_high) = range.unzip();
            let (filter, left_out) = keys.fitting(&definition);
            assert_eq!(filter.check(value_type, definition.stepped), Ok(()), "{value_type}");
            let has = (filter.exception.map(|exception| exception.deadband), filter.compression.map(|door| door.deviation));
            let keys: Vec<String> = left_out.iter().map(|why| why.split(' ').next().unwrap().to_owned()).collect();
            (has, keys)
        };
        assert_eq!(of(ValueType::F64, Some((0.0, 200.0))), ((Some(0.5), Some(2.0)), vec![]));
        assert_eq!(of(ValueType::F64, None), ((Some(0.5), None), vec![DEVIATION_PERCENT.to_owned()]));
        assert_eq!(of(ValueType::I64, Some((0.0, 200.0))), ((Some(0.5), None), vec![DEVIATION.to_owned()]));
        for none in [ValueType::String, ValueType::Bool, ValueType::State] {
            assert_eq!(of(none, Some((0.0, 200.0))), ((None, None), vec![DEADBAND.to_owned(), DEVIATION.to_owned()]), "{none}");
        }
        assert_eq!(FilterKeys::default().fitting(&TagDefinition::new(TagName::new("t").unwrap(), ValueType::F64)).1, [""; 0]);
    }

    #[test]
    fn what_no_tag_can_have_is_refused_before_there_is_one() {
        let refused =
            |keys: FilterKeys, value_type, stepped, ranged| keys.refused_of_any(value_type, stepped, ranged).map(|refused| refused.0);
        let percent = || FilterKeys { deadband_percent: Some(1.0), ..FilterKeys::default() };
        assert_eq!(refused(percent(), None, None, true), None);
        assert_eq!(refused(percent(), None, None, false), Some(DEADBAND_PERCENT));
        let door = || FilterKeys { deviation: Some(1.0), ..FilterKeys::default() };
        assert_eq!(refused(door(), None, None, false), None);
        assert_eq!(refused(door(), Some(ValueType::Bool), None, false), Some(DEVIATION));
        assert_eq!(refused(door(), None, Some(true), false), Some(DEVIATION));
        let alone = FilterKeys { exception_min_ms: Some(5), ..FilterKeys::default() };
        assert_eq!(refused(alone, None, None, true), Some(EXCEPTION_MIN));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_at_its_key() {
        for (written, value_type, key, part) in [
            (&[(DEADBAND_PERCENT, 1.0)][..], ValueType::F64, DEADBAND_PERCENT, "set range_low and range_high"),
            (&[(DEADBAND, 1.0), (DEADBAND_PERCENT, 1.0)], ValueType::F64, DEADBAND_PERCENT, "keep one"),
            (&[(DEVIATION_PERCENT, 101.0)], ValueType::F64, DEVIATION_PERCENT, "0 to 100"),
            (&[(EXCEPTION_MIN, 1.0)], ValueType::F64, EXCEPTION_MIN, "without exception_deadband"),
            (&[(COMPRESSION_MAX, 1.0), (DEADBAND, 1.0)], ValueType::F64, COMPRESSION_MAX, "without compression_deviation"),
            (&[(DEADBAND, 1.0), (EXCEPTION_MAX, 1.0)], ValueType::F64, EXCEPTION_MAX, "1000 to 86400000"),
            (&[(DEADBAND, 1.0)], ValueType::Bool, DEADBAND, "0 passes changes only"),
            (&[(DEVIATION, 1.0)], ValueType::I64, DEVIATION, "use exception_deadband"),
        ] {
            let (at, why) = filter_of(written, value_type, None).unwrap_err();
            assert!(at == key && why.contains(part), "{written:?}: {at} {why}");
        }
    }
}
