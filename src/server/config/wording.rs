//! Says in an operator's words what the deserializer found wrong, and guesses what was meant.

/// One refusal of the deserializer in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The key it is about, where the message names one.
    pub(super) key: Option<String>,
    pub(super) text: String,
}

/// The known word that is nearest to `word`, when it is near enough to be a slip of the keyboard.
pub(super) fn suggestion<'known>(word: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    let slips_max = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// What other programs call our keys.
const MEANT: &[(&str, &[&str])] = &[
    ("address", &["register", "reference", "offset_address", "node_id", "nodeid", "node"]),
    ("endpoint", &["host", "ip", "uri", "url", "controller", "device"]),
    ("format", &["data_type", "datatype", "decode", "encoding", "raw_type", "input_type"]),
    ("name", &["tag", "tag_name", "tagname", "measurement"]),
    ("scan_ms", &["interval", "poll_ms", "polling_interval", "poll_interval", "scan_interval", "period_ms", "rate"]),
    ("scale", &["factor", "multiplier", "gain"]),
    ("state_set", &["states", "enum", "options", "value_map", "map"]),
    ("timeout_ms", &["timeout", "response_timeout"]),
    ("unit", UNIT_OF_A_DEVICE),
    ("word_order", &["byte_order", "byteorder", "endian", "endianness", "byte_swap", "swap", "register_order"]),
];

/// What other programs call the unit of a Modbus device, which is not the engineering unit of a tag.
const UNIT_OF_A_DEVICE: &[&str] =
    &["slave_id", "slaveid", "slave", "slave_address", "station", "server_id", "unit_id", "unitid", "modbus_id"];

/// Text for a key that nobody knows.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    unknown_name("key", key, known)
}

/// Text for a column that nobody knows.
pub(super) fn unknown_column(column: &str, known: &[&str]) -> String {
    unknown_name("column", column, known)
}

fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    if suggestion(name, known.iter().copied()).is_some() {
        return unknown(what, name, known);
    }
    let plain = name.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    // Tags have a unit too, which is another one.
    if UNIT_OF_A_DEVICE.contains(&plain.as_str()) && known.contains(&"address") && known.contains(&"word_order") {
        return format!("unknown {what}; the unit is part of the address, as in 2!holding:100");
    }
    let meant = MEANT.iter().find(|(ours, others)| known.contains(ours) && others.contains(&plain.as_str()));
    meant.map_or_else(|| unknown(what, name, known), |(ours, _)| format!("unknown {what}; did you mean {ours:?}?"))
}

/// Text for a word that is not in a list: with the likely one, or with all of them.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    match suggestion(word, known.iter().copied()) {
        Some(likely) => format!("unknown {what}; did you mean {likely:?}?"),
        None if known.is_empty() => format!("unknown {what}"),
        None => format!("unknown {what}; known are {}", known.join(", ")),
    }
}

/// Rewords a message of serde or toml.
pub(super) fn reword(message: &str) -> Complaint {
    reword_beside(message, &[])
}

/// As [`reword`], where a table has the keys `beside` as well, which were read by others.
pub(super) fn reword_beside(message: &str, beside: &[&str]) -> Complaint {
    let message = message.trim();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let words = quoted(rest);
        if let Some((key, known)) = words.split_first() {
            return Complaint { key: Some((*key).to_owned()), text: unknown_key(key, &[known, beside].concat()) };
        }
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let words = quoted(rest);
        if let Some((word, known)) = words.split_first() {
            return Complaint { key: None, text: unknown(&format!("word {word:?}"), word, known) };
        }
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let key = quoted(rest).first().map(|key| (*key).to_owned());
        return Complaint { key, text: "this key is needed and is not there".into() };
    }
    if message == "invalid socket address syntax" {
        return Complaint { key: None, text: "expected an address such as 127.0.0.1:8815".into() };
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = message.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected ")) {
            return Complaint { key: None, text: format!("expected {}, found {}", type_in_words(expected), found_in_words(found)) };
        }
    }
    Complaint { key: None, text: message.replace('\n', "; ") }
}

/// Words between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn type_in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            let bits: u32 = expected[1..].parse().unwrap_or(64);
            if bits == 64 { "a whole number from 0".into() } else { format!("a whole number from 0 to {}", (1_u64 << bits) - 1) }
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a string" | "string" => "a text in quotes".into(),
        "a boolean" | "bool" => "true or false".into(),
        "a sequence" => "an array".into(),
        "a map" => "a table".into(),
        other => other.trim_start_matches("struct ").to_owned(),
    }
}

fn found_in_words(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating" | "boolean", value)) => {
            format!("{} {}", found.split(' ').next().unwrap_or_default(), value.trim_start_matches("point "))
                .replace("floating", "number")
                .replace('`', "")
        }
        _ => match found {
            "sequence" => "an array".into(),
            "map" => "a table".into(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["listen", "http", "data_dir"];
        for (word, expected) in [
            ("lisen", Some("listen")),
            ("datadir", Some("data_dir")),
            ("Listen", Some("listen")),
            ("htpt", Some("http")),
            ("port", None),
            ("x", None),
        ] {
            assert_eq!(suggestion(word, known), expected, "{word}");
        }
    }

    #[test]
    fn keys_of_other_programs_are_answered_with_ours() {
        let (device, tag) = (["name", "endpoint", "unit", "word_order", "scan_ms"], ["name", "unit", "address", "format", "word_order"]);
        for (key, known, expected) in [
            ("slave_id", &device[..], "unknown key; did you mean \"unit\"?"),
            ("byte_order", &device, "unknown key; did you mean \"word_order\"?"),
            ("Poll-Interval", &device, "unknown key; did you mean \"scan_ms\"?"),
            ("slave_id", &tag, "unknown key; the unit is part of the address, as in 2!holding:100"),
            ("unit_id", &tag, "unknown key; the unit is part of the address, as in 2!holding:100"),
            ("data_type", &tag, "unknown key; did you mean \"format\"?"),
            ("endianness", &tag, "unknown key; did you mean \"word_order\"?"),
            ("wordorder", &tag, "unknown key; did you mean \"word_order\"?"),
            ("slave_id", &["listen", "http"], "unknown key; known are listen, http"),
        ] {
            assert_eq!(unknown_key(key, known), expected, "{key} of {known:?}");
        }
    }

    #[test]
    fn messages_of_serde_become_plain_words() {
        for (message, key, text) in [
            ("unknown field `lisen`, expected one of `listen`, `http`", Some("lisen"), "unknown key; did you mean \"listen\"?"),
            ("unknown field `zzzz`, expected one of `listen`, `http`", Some("zzzz"), "unknown key; known are listen, http"),
            ("missing field `address`", Some("address"), "this key is needed and is not there"),
            ("invalid type: string \"abc\", expected u64", None, "expected a whole number from 0, found the text \"abc\""),
            ("invalid value: integer `-5`, expected u16", None, "expected a whole number from 0 to 65535, found integer -5"),
            ("invalid type: floating point `1.5`, expected u64", None, "expected a whole number from 0, found number 1.5"),
            ("invalid type: sequence, expected a string", None, "expected a text in quotes, found an array"),
            ("unknown variant `nto`, expected `none` or `not`", None, "unknown word \"nto\"; did you mean \"not\"?"),
        ] {
            assert_eq!(reword(message), Complaint { key: key.map(str::to_owned), text: text.into() }, "{message}");
        }
    }
}
