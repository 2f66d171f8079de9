//! What counts as read of a history.

use opcua::types::{ExtensionObject, Range};

use super::*;

#[test]
fn a_page_with_a_structure_of_an_unknown_type_is_not_taken_and_its_type_is_asked_for() {
    let structure = |low| Variant::ExtensionObject(ExtensionObject::from_message(Range { low, high: 20.0 }));
    let page = || [1.0, 2.0].map(|low| DataValue { value: Some(structure(low)), ..DataValue::null() }).to_vec();
    let (conversion, types) = (Conversion::default(), StructureTypes::default());
    assert!(readings(page(), &conversion, ValueType::String, &types).is_none());
    let asked = types.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    // Nobody can tell what it is: that is the value of these times.
    let mut known = types.known();
    known.add_encoding(asked[0].clone(), Err("nobody knows".into()));
    types.set(known, 1_000);
    let told = readings(page(), &conversion, ValueType::String, &types).unwrap();
    assert!(told.len() == 2 && told.iter().all(|reading| reading.value.is_none() && reading.problem == "nobody knows"), "{told:?}");
    // What the server itself has not, it will not have when it is asked again.
    let bad = DataValue { status: Some(StatusCode::BadWaitingForInitialData), ..DataValue::null() };
    assert_eq!(readings(vec![bad], &conversion, ValueType::String, &types).unwrap().len(), 1);
}
