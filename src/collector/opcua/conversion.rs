//! What a tag makes of the values of its node before they are converted: an element of an array, a scaled number.

use opcua::types::{DataValue, Variant};

use super::convert::{DataValueSample, number};
use historian_collector::{not_available::Sentinel, scaling::Scaling};
use historian_model::{Quality, Value, ValueType};

/// How a tag takes its node's values.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// Raw values that mean "no value".
    pub not_available: Vec<Sentinel>,
    /// One element is asked for by its index. The server answers with an array of one.
    pub is_element: bool,
    /// Only for tags of type f64.
    pub scaling: Option<Scaling>,
}

impl Conversion {
    /// The sample of a tag of this type.
    pub fn sample(&self, mut data: DataValue, value_type: ValueType) -> DataValueSample {
        if self.is_element {
            data.value = data.value.map(element);
        }
        let scaled = self.scaling.as_ref().zip(data.value.as_ref()).and_then(|(scaling, raw)| number(raw, scaling));
        let reading = DataValueSample::unless_listed(data, value_type, &self.not_available);
        match (&reading.value, scaled) {
            // Infinite before is infinite after; finite before is out of the range of the type.
            (Some(Value::F64(raw)), Some(scaled)) if raw.is_finite() && !scaled.is_finite() => DataValueSample {
                value: None,
                quality: Quality::BAD_OUT_OF_RANGE,
                problem: format!("{raw} with scale and offset is beyond the range of f64"),
                ..reading
            },
            (Some(Value::F64(_)), Some(scaled)) => DataValueSample { value: Some(Value::F64(scaled)), ..reading },
            _ => reading,
        }
    }
}

/// The element of an array of one. Any other value stays what it is, and fits no tag where it is an array.
fn element(value: Variant) -> Variant {
    match value {
        Variant::Array(mut array) if array.values.len() == 1 => array.values.swap_remove(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{Array, VariantScalarTypeId};

    use super::*;

    fn data(value: Variant) -> DataValue {
        DataValue { value: Some(value), ..DataValue::null() }
    }

    fn array(values: &[f64]) -> Variant {
        let values: Vec<Variant> = values.iter().map(|value| Variant::Double(*value)).collect();
        Variant::Array(Box::new(Array::new(VariantScalarTypeId::Double, values).unwrap()))
    }

    #[test]
    fn an_array_of_one_is_its_element_only_where_an_element_was_asked_for() {
        let (whole, one) = (Conversion::default(), Conversion { is_element: true, ..Conversion::default() });
        assert_eq!(one.sample(data(array(&[2.5])), ValueType::F64).value, Some(Value::F64(2.5)));
        for (conversion, value) in [(&whole, array(&[2.5])), (&one, array(&[])), (&one, array(&[1.0, 2.0]))] {
            let reading = conversion.sample(data(value), ValueType::F64);
            assert_eq!((reading.value, reading.quality), (None, Quality::BAD_TYPE_MISMATCH));
        }
        // Some servers answer with the element itself.
        assert_eq!(one.sample(data(Variant::Double(1.5)), ValueType::F64).value, Some(Value::F64(1.5)));
    }

    #[test]
    fn numbers_are_scaled_in_decimal_and_what_is_listed_is_the_raw_value() {
        let not_available = "i16 0x8000".parse::<historian_collector::not_available::NotAvailable>().unwrap().0;
        let tenth = Conversion { scaling: Some(Scaling::new(0.1, -40.0)), not_available, ..Conversion::default() };
        for (raw, expected) in [
            (Variant::Int16(3), Some(-39.7)),
            (Variant::UInt64(10), Some(-39.0)),
            (Variant::Float(21.4), Some(-37.86)),
            (Variant::Double(1.0), Some(-39.9)),
            (Variant::Int16(i16::MIN), None),
            (Variant::Double(f64::NAN), None),
            (Variant::Boolean(true), None),
        ] {
            let reading = tenth.sample(data(raw.clone()), ValueType::F64);
            assert_eq!(reading.value, expected.map(Value::F64), "{raw:?}");
            assert_eq!(reading.quality.is_good(), expected.is_some(), "{raw:?}");
        }
        let huge = Conversion { scaling: Some(Scaling::new(10.0, 0.0)), ..Conversion::default() };
        let reading = huge.sample(data(Variant::Double(1e308)), ValueType::F64);
        assert_eq!((reading.value, reading.quality), (None, Quality::BAD_OUT_OF_RANGE));
        let element = Conversion { is_element: true, ..huge };
        assert_eq!(element.sample(data(array(&[2.5])), ValueType::F64).value, Some(Value::F64(25.0)));
    }
}
