//! Properties of a metric: its quality, and what a birth tells of unit, range and description.

use historian_model::Quality;
use prost::Message;

use super::payload::{RawScalar, WireMetadata, WireMetric, WireProperty, WirePropertySet, lossy};

/// What a birth tells of a metric, beside its type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MetricHints {
    pub unit: String,
    pub description: String,
    pub range_low: Option<f64>,
    pub range_high: Option<f64>,
}

/// The quality that a metric tells. One without the property is Good; a property that cannot be read leaves nothing to rely on.
pub(super) fn quality(metric: &WireMetric) -> Quality {
    let mut quality = Quality::GOOD;
    let is_readable = each(metric, |key, property| {
        if key.eq_ignore_ascii_case("quality") {
            quality = match whole(property) {
                Some(number) => numbered(number),
                None => Quality::UNCERTAIN,
            };
        }
    });
    if is_readable { quality } else { Quality::UNCERTAIN }
}

/// Sparkplug has 0, 192 and 500. Other numbers of one byte are read as those of OPC classic, whose top two bits are the severity, those
/// from `0x4000_0000` as status codes of OPC UA; what is not known to be good is Bad.
fn numbered(number: i64) -> Quality {
    match number {
        500 => Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE,
        0x40..=0x7F => Quality::UNCERTAIN,
        0xC0..=0xFF => Quality::GOOD,
        0x4000_0000..=0xFFFF_FFFF => Quality(number as u32),
        _ => Quality::BAD,
    }
}

/// Unit, description and range, by the names that makes give them: case, blanks and signs in them make no difference.
pub(super) fn hints(metric: &WireMetric) -> MetricHints {
    let mut hints = MetricHints::default();
    each(metric, |key, property| {
        let plain: String = key.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        match plain.as_str() {
            "engunit" | "engunits" | "engineeringunit" | "engineeringunits" | "unit" | "units" => set_text(&mut hints.unit, property),
            "description" | "documentation" | "tooltip" => set_text(&mut hints.description, property),
            "englow" | "engineeringlow" | "rangelow" | "lowrange" => hints.range_low = hints.range_low.or(number(property)),
            "enghigh" | "engineeringhigh" | "rangehigh" | "highrange" => hints.range_high = hints.range_high.or(number(property)),
            _ => {}
        }
    });
    if hints.description.is_empty()
        && let Some(Ok(metadata)) = metric.metadata.clone().map(WireMetadata::decode)
    {
        hints.description = metadata.description.as_deref().map(lossy).unwrap_or_default();
    }
    hints
}

/// Calls with the key and the value of each property. False when they cannot be read.
fn each(metric: &WireMetric, mut call: impl FnMut(&str, Option<&RawScalar>)) -> bool {
    let Some(set) = metric.properties.clone() else { return true };
    let Ok(set) = WirePropertySet::decode(set) else { return false };
    for (key, value) in set.keys.iter().zip(set.values) {
        let value = WireProperty::decode(value).ok().filter(|property| property.is_null != Some(true));
        let value = value.and_then(|property| property.value).map(RawScalar::from);
        call(&lossy(key), value.as_ref());
    }
    true
}

/// The first that is told stays.
fn set_text(text: &mut String, property: Option<&RawScalar>) {
    if text.is_empty()
        && let Some(RawScalar::Text(bytes)) = property
    {
        *text = lossy(bytes);
    }
}

fn whole(property: Option<&RawScalar>) -> Option<i64> {
    match *property? {
        // Numbers of 32 bits stand for themselves; a negative one is no quality that we know.
        RawScalar::Int(value) => Some(i64::from(value)),
        RawScalar::Long(value) => i64::try_from(value).ok(),
        _ => None,
    }
}

fn number(property: Option<&RawScalar>) -> Option<f64> {
    let number = match *property? {
        RawScalar::Int(value) => f64::from(value as i32),
        RawScalar::Long(value) => value as i64 as f64,
        RawScalar::Float(value) => f64::from(value),
        RawScalar::Double(value) => value,
        RawScalar::Text(ref text) => std::str::from_utf8(text).ok()?.trim().parse().ok()?,
        RawScalar::Boolean(_) => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparkplug::{payload::WirePropertyValue, tests::with_properties};

    #[test]
    fn the_quality_property_becomes_a_status_code() {
        let cases: [(u32, Quality); 10] = [
            (192, Quality::GOOD),
            (0, Quality::BAD),
            (500, Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE),
            (24, Quality::BAD),
            (0x54, Quality::UNCERTAIN),
            (216, Quality::GOOD),
            (330, Quality::BAD),
            (0x80, Quality::BAD),
            (Quality::BAD_SENSOR_FAILURE.0, Quality::BAD_SENSOR_FAILURE),
            ((-1_i32) as u32, Quality(u32::MAX)),
        ];
        for (number, expected) in cases {
            for value in [WirePropertyValue::Int(number), WirePropertyValue::Long(u64::from(number))] {
                let metric = with_properties(WireMetric::default(), &[("x", WirePropertyValue::Int(3)), ("Quality", value)]);
                assert_eq!(quality(&metric), expected, "{number}");
            }
        }
        assert_eq!(quality(&WireMetric::default()), Quality::GOOD);
        let unreadable = with_properties(WireMetric::default(), &[("Quality", WirePropertyValue::Text("good".into()))]);
        assert_eq!(quality(&unreadable), Quality::UNCERTAIN);
        let broken = WireMetric { properties: Some("\u{7f}".into()), ..WireMetric::default() };
        assert_eq!(quality(&broken), Quality::UNCERTAIN);
    }

    #[test]
    fn unit_range_and_description_are_found_by_any_of_their_names() {
        let text = |text: &str| WirePropertyValue::Text(text.as_bytes().to_vec().into());
        let cases: [&[(&str, WirePropertyValue)]; 2] = [
            &[
                ("engUnit", text("degC")),
                ("engLow", WirePropertyValue::Double(-20.5)),
                ("engHigh", WirePropertyValue::Double(80.0)),
                ("Documentation", text("Outlet")),
            ],
            &[
                ("Engineering Units", text("degC")),
                ("unit", text("other")),
                ("eng_low", text("-20.5")),
                ("Range High", WirePropertyValue::Int(80)),
                ("description", text("Outlet")),
            ],
        ];
        for properties in cases {
            let found = hints(&with_properties(WireMetric::default(), properties));
            let expected =
                MetricHints { unit: "degC".into(), description: "Outlet".into(), range_low: Some(-20.5), range_high: Some(80.0) };
            assert_eq!(found, expected);
        }
        let metadata = WireMetadata { description: Some("Inlet".into()) }.encode_to_vec();
        let metric = WireMetric { metadata: Some(metadata.into()), ..WireMetric::default() };
        assert_eq!(hints(&metric).description, "Inlet");
        let odd = with_properties(metric, &[("engLow", WirePropertyValue::Double(f64::NAN)), ("engHigh", text("hot"))]);
        assert_eq!((hints(&odd).range_low, hints(&odd).range_high), (None, None));
    }
}
