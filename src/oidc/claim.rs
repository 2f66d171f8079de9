//! Claims by their names, also within objects.

use serde_json::{Map, Value};

/// A claim: one of that very name, or where there is none the way through objects that its dots tell.
pub fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// The texts of a claim: of a list, or the one that it is.
pub fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_and_by_way() {
        let claims = json!({
            "roles": ["a", 1, "b"],
            "realm_access": {"roles": ["c"], "deep": {"er": "d"}},
            "https://plant.example/roles": "e",
            "x.y": 1
        });
        let of = |name: &str| texts(claim(claims.as_object().unwrap(), name));
        assert_eq!(of("roles"), ["a", "b"]);
        assert_eq!(of("realm_access.roles"), ["c"]);
        assert_eq!(of("realm_access.deep.er"), ["d"]);
        assert_eq!(of("https://plant.example/roles"), ["e"]);
        for none in ["realm_access", "realm_access.none", "roles.a", "none", "", ".", "x.y", "realm_access."] {
            assert!(of(none).is_empty(), "{none}");
        }
    }
}
