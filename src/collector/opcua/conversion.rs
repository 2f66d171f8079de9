//! What a tag makes of the values of its node before they are converted: an element of an array, a field of a structure, a scaled number.

use opcua::types::{DataValue, StatusCode, Variant};

use super::{
    convert::{self, DataValueSample, number},
    structure::{
        path::FieldPath,
        types::{StructureTypes, structure_bytes},
        untaken::UntakenField,
    },
    wire,
};
use historian_collector::{not_available::Sentinel, scaling::Scaling};
use historian_model::{Quality, Value, ValueType};

/// How a tag takes its node's values.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// Raw values that mean "no value".
    pub not_available: Vec<Sentinel>,
    /// One element is asked for by its index. The server answers with an array of one.
    pub is_element: bool,
    /// The field of a structure that the tag takes.
    pub field: Option<FieldPath>,
    /// Only for tags of type f64.
    pub scaling: Option<Scaling>,
}

impl Conversion {
    /// The sample of a tag of this type; `types` are those of the structures of its server.
    pub fn sample(&self, mut data: DataValue, value_type: ValueType, types: &StructureTypes) -> DataValueSample {
        if self.is_element {
            data.value = data.value.map(element);
        }
        match self.opened(&data, value_type, types) {
            None => {}
            Some(Ok(value)) => data.value = Some(value),
            Some(Err(UntakenField { quality, mut problem, encoding })) => {
                if let Some(field) = &self.field {
                    problem = format!("field {field}: {problem}");
                }
                data.value = None;
                data.status = Some(StatusCode::from(quality.0));
                return DataValueSample { problem, waits: encoding.is_some(), ..DataValueSample::of(data, value_type) };
            }
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

    /// What is taken out of a structure; `None` where the value stays as it is.
    fn opened(&self, data: &DataValue, value_type: ValueType, types: &StructureTypes) -> Option<Result<Variant, UntakenField>> {
        // Beside a Bad status no value counts.
        let value = data.value.as_ref().filter(|_| !data.status.is_some_and(|status| status.is_bad()))?;
        match structure_bytes(value) {
            Some(object) if self.field.is_some() || value_type == ValueType::String => {
                Some(types.take(&object, self.field.as_ref(), value_type))
            }
            // It fits no other tag, which is told where values are converted.
            Some(_) => None,
            None if self.field.is_none() || matches!(value, Variant::Empty) || wire::reason(value).is_some() => None,
            None => {
                let what = convert::name_of(value);
                let why = match value {
                    Variant::Array(_) => format!("the node holds {what}: take one of its elements with index_range"),
                    _ => format!("the node holds {what} and no structure: remove field from the tag"),
                };
                Some(Err(UntakenField::misled(why)))
            }
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

    /// Without structures there is nothing to know of them.
    fn sample(conversion: &Conversion, value: DataValue) -> DataValueSample {
        conversion.sample(value, ValueType::F64, &StructureTypes::default())
    }

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
        assert_eq!(sample(&one, data(array(&[2.5]))).value, Some(Value::F64(2.5)));
        for (conversion, value) in [(&whole, array(&[2.5])), (&one, array(&[])), (&one, array(&[1.0, 2.0]))] {
            let reading = sample(conversion, data(value));
            assert_eq!((reading.value, reading.quality), (None, Quality::BAD_TYPE_MISMATCH));
        }
        // Some servers answer with the element itself.
        assert_eq!(sample(&one, data(Variant::Double(1.5))).value, Some(Value::F64(1.5)));
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
            let reading = sample(&tenth, data(raw.clone()));
            assert_eq!(reading.value, expected.map(Value::F64), "{raw:?}");
            assert_eq!(reading.quality.is_good(), expected.is_some(), "{raw:?}");
        }
        let huge = Conversion { scaling: Some(Scaling::new(10.0, 0.0)), ..Conversion::default() };
        let reading = sample(&huge, data(Variant::Double(1e308)));
        assert_eq!((reading.value, reading.quality), (None, Quality::BAD_OUT_OF_RANGE));
        let element = Conversion { is_element: true, ..huge };
        assert_eq!(sample(&element, data(array(&[2.5]))).value, Some(Value::F64(25.0)));
    }

    #[test]
    fn a_field_of_what_is_no_structure_is_a_mistake_of_the_tag_and_no_value_is_none() {
        let field = Conversion { field: Some("Motor.Speed".parse().unwrap()), ..Conversion::default() };
        let reading = sample(&field, data(Variant::Double(1.5)));
        assert_eq!((reading.value, reading.quality), (None, Quality::BAD_CONFIGURATION_ERROR));
        assert_eq!(reading.problem, "field Motor.Speed: the node holds a Double and no structure: remove field from the tag");
        assert!(sample(&field, data(array(&[2.5]))).problem.contains("index_range"));
        let bad = DataValue { status: Some(StatusCode::BadSensorFailure), ..data(Variant::Double(1.5)) };
        assert_eq!(sample(&field, bad).quality, Quality::BAD_SENSOR_FAILURE);
        assert_eq!(sample(&field, DataValue::null()).quality, Quality::BAD_NO_DATA);
        assert_eq!(sample(&field, data(Variant::Empty)).quality, Quality::BAD_NO_DATA);
    }
}
