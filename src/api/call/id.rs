//! The id of a call: the client's own where it is sane, so that a call can be followed through several programs, else one that is made here.

use tonic::codegen::http::{HeaderMap, HeaderValue};

/// Header and metadata that carry the id, of requests and of answers.
const HEADER: &str = "x-request-id";
/// Longest id that is taken from a client.
const LENGTH_MAX: usize = 64;

/// The id of a call with these headers. It is safe in a log, in a header and in JSON.
pub(super) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_sane(text));
    given.map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned)
}

/// What clients may call their calls: 1 to 64 letters, digits, dots, lines and underscores of ASCII.
fn is_sane(text: &str) -> bool {
    (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Puts the id into the headers of an answer.
pub(super) fn put(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HEADER, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_taken_from_clients_and_each_other_call_has_one_of_its_own() {
        let given = |text: &str| of(&HeaderMap::from_iter([("x-request-id".parse().unwrap(), HeaderValue::from_str(text).unwrap())]));
        let longest = "a".repeat(64);
        for sane in ["a", "0af7651916cd43dd-8448_eb.21", &longest] {
            assert_eq!(given(sane), sane);
        }
        for other in ["", " a", "a b", "a/b", "{\"a\":1}", "\u{e4}", &"a".repeat(65)] {
            let made = given(other);
            assert!(made != *other && made.len() == 16 && is_sane(&made), "{other:?}: {made}");
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
