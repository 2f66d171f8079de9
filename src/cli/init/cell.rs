//! What stands in the cells of a list of registers, in the words of a tag file: numbers, types, word orders, addresses.

use super::column::plain;

/// Our formats with the registers they take, and what others call them, as [`plain`] has it.
const FORMATS: &[(&str, u16, &[&str])] = &[
    ("bool", 1, &["bool", "boolean", "bit", "digital", "binary", "binaer"]),
    ("u16", 1, &["u16", "uint16", "word", "ushort", "unsigned16", "uint", "16bituint", "unsignedshort", "uint16t"]),
    ("i16", 1, &["i16", "int16", "short", "sint16", "s16", "signed16", "int", "16bitint", "int16t"]),
    ("u32", 2, &["u32", "uint32", "udint", "dword", "ulong", "unsigned32", "32bituint", "unsignedlong", "uint32t"]),
    ("i32", 2, &["i32", "int32", "dint", "long", "sint32", "s32", "signed32", "32bitint", "int32t"]),
    ("u64", 4, &["u64", "uint64", "ulint", "lword", "qword", "unsigned64", "uint64t"]),
    ("i64", 4, &["i64", "int64", "lint", "llong", "s64", "sint64", "signed64", "int64t"]),
    ("f16", 1, &["f16", "float16", "half"]),
    ("f32", 2, &["f32", "float32", "float", "real", "single", "ieee754", "float32bit", "32bitfloat", "real32"]),
    ("f64", 4, &["f64", "float64", "double", "lreal", "64bitfloat", "real64"]),
    ("u8-low", 1, &["u8low", "usint", "uint8", "byte"]),
    ("u8-high", 1, &["u8high"]),
    ("i8-low", 1, &["i8low", "int8", "sint"]),
    ("i8-high", 1, &["i8high"]),
    ("bcd16", 1, &["bcd", "bcd16"]),
    ("bcd32", 2, &["lbcd", "bcd32"]),
];
/// Types that say how, and leave how long to the length: for 1, 2 and 4 registers.
const GENERIC: &[(&[&str], [&str; 3])] = &[
    (&["int", "integer", "signed", "sint", "signedint", "signedinteger"], ["i16", "i32", "i64"]),
    (&["uint", "unsigned", "unsignedint", "unsignedinteger"], ["u16", "u32", "u64"]),
    (&["float", "real", "ieee754"], ["f16", "f32", "f64"]),
];
const TEXTS: &[&str] = &["string", "char", "chars", "text", "ascii", "str"];
/// Word orders, and what others call them.
const ORDERS: &[(&str, &[&str])] = &[
    ("ABCD", &["abcd", "bigendian", "be", "msb", "mswfirst", "highwordfirst", "hwf", "3210", "motorola"]),
    ("CDAB", &["cdab", "swapped", "wordswap", "wordswapped", "swap", "lswfirst", "lowwordfirst", "lwf", "1032"]),
    ("BADC", &["badc", "byteswap", "byteswapped", "2301"]),
    ("DCBA", &["dcba", "littleendian", "le", "lsb", "0123", "intel"]),
];
/// Names of areas, what an address may begin with, and the first digit of their references.
const AREAS: &[(&str, char, &[&str], &[&str])] = &[
    ("coil", '0', &["1", "01", "fc1", "fc01", "coil", "coils", "do", "readcoils", "readcoil", "spule", "0x"], &["coil:", "co:", "%m", "m"]),
    (
        "discrete",
        '1',
        &["2", "02", "fc2", "fc02", "discrete", "discreteinput", "discreteinputs", "di", "readdiscreteinputs", "1x"],
        &["discrete:", "di:", "1x"],
    ),
    (
        "input",
        '3',
        &["4", "04", "fc4", "fc04", "input", "inputregister", "inputregisters", "ir", "readinputregisters", "eingangsregister", "3x"],
        &["input:", "ir:", "ir", "3x", "%iw"],
    ),
    (
        "holding",
        '4',
        &["3", "03", "fc3", "fc03", "holding", "holdingregister", "holdingregisters", "hr", "readholdingregisters", "halteregister", "4x"],
        &["holding:", "hr:", "hr", "4x", "%mw", "mw"],
    ),
];

/// A decimal number as TOML and our tag files have it.
///
/// # Errors
/// It is none, or could be two.
pub fn number(text: &str, decimal_comma: bool) -> Result<String, String> {
    let none = || format!("{text:?} is no number");
    let bare: String =
        text.trim_start_matches(['x', 'X', '×', '*']).chars().filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '\u{202F}')).collect();
    if let Some((one, divisor)) = bare.split_once('/') {
        let zeros = divisor.strip_prefix('1').filter(|zeros| one == "1" && !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0'));
        return zeros.map(|zeros| format!("0.{}1", &zeros[1..])).ok_or_else(none);
    }
    let (decimal, grouping) = if decimal_comma { (',', '.') } else { ('.', ',') };
    let is_grouped = |whole: &str| whole.split(grouping).skip(1).all(|group| group.len() == 3);
    let plain = match bare.split_once(decimal) {
        Some((whole, part)) if is_grouped(whole) => format!("{}.{part}", whole.replace(grouping, "")),
        None if bare.matches(grouping).count() == 1 && is_grouped(&bare) => {
            return Err(format!("{text:?} could be a number of thousands or one with decimals"));
        }
        None if bare.contains(grouping) && is_grouped(&bare) => bare.replace(grouping, ""),
        _ => bare.replace(',', "."),
    };
    plain.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| plain.trim_start_matches('+').to_owned()).ok_or_else(none)
}

/// One divided by a number, where that has an end.
///
/// # Errors
/// It is none, or has no end.
pub fn inverse(text: &str, decimal_comma: bool) -> Result<String, String> {
    let divisor = number(text, decimal_comma)?.parse::<f64>().unwrap_or_default();
    let scale = (1.0 / divisor).to_string();
    if divisor == 0.0 || scale.len() > 12 {
        return Err(format!("1/{text} is no decimal number; write the scale by hand"));
    }
    Ok(scale)
}

/// Scale and offset that bring one range to another: `low` and `high` of what the registers hold, then of what is meant.
///
/// # Errors
/// The first range has no width.
pub fn scaled([raw_low, raw_high, low, high]: [f64; 4]) -> Result<(String, String), String> {
    let scale = (high - low) / (raw_high - raw_low);
    if !scale.is_finite() || scale == 0.0 {
        return Err(format!("scale: {raw_low}..{raw_high} to {low}..{high} is no scaling"));
    }
    Ok((scale.to_string(), (low - raw_low * scale).to_string()))
}

/// The text `400001.20H` of Kepware: where it begins, its characters, and whether the low byte of a register is its first.
pub fn text_at(address: &str) -> Option<(&str, u16, bool)> {
    let (place, length) = address.split_once('.')?;
    let (digits, is_low_first) = match length.as_bytes().last()? {
        b'H' | b'h' => (&length[..length.len() - 1], false),
        b'L' | b'l' => (&length[..length.len() - 1], true),
        _ => (length, false),
    };
    Some((place, digits.parse().ok().filter(|characters| *characters > 0)?, is_low_first))
}

/// How a value lies in its registers.
#[derive(Debug, PartialEq, Eq)]
pub struct CellFormat {
    /// As in a tag file; `bool` for a bit.
    pub format: String,
    pub registers: u16,
    pub order: Option<&'static str>,
}

/// The format that a type means, with the length where there is a column of it.
///
/// # Errors
/// The type is not known, or contradicts the length.
pub fn format(text: &str, length: Option<&str>) -> Result<CellFormat, String> {
    let unknown = || {
        format!("{text:?} is no type that is known; a tag file has u16, i16, u32, i32, u64, i64, f16, f32, f64, u8-low, string:N and bool")
    };
    let length = length.map(|length| length.parse::<u16>().map_err(|_| format!("the length {length:?} is no whole number"))).transpose()?;
    // The order may stand behind the type, in brackets too. Only what cannot be the end of a type is looked for.
    let whole: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let mut named = ORDERS.iter().flat_map(|(order, names)| names.iter().map(move |name| (*order, *name)));
    let found = named.find(|(_, name)| name.len() > 3 && whole.len() > name.len() && whole.ends_with(name));
    let plain = plain(text);
    let plain = found.and_then(|(_, name)| plain.strip_suffix(name)).unwrap_or(&plain);
    let order = found.map(|(order, _)| order);
    let text_of = |registers: u16| CellFormat { format: format!("string:{registers}"), registers, order: None };
    let letters = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    if TEXTS.contains(&letters) {
        // `string:8` has registers, `STRING[16]`, `CHAR(16)` and `STRING16` characters.
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let characters = digits.parse::<u16>().ok().filter(|_| !text.to_lowercase().starts_with("string:"));
        let registers = match (text.to_lowercase().strip_prefix("string:").and_then(|number| number.parse().ok()), length, characters) {
            (Some(registers), ..) | (None, Some(registers), _) => registers,
            (None, None, Some(characters)) => characters.div_ceil(2),
            (None, None, None) => return Err("a text needs its length in registers".to_owned()),
        };
        return Ok(text_of(registers));
    }
    if let Some(length) = length
        && let Some((_, by_length)) = GENERIC.iter().find(|(names, _)| names.contains(&plain))
    {
        let (format, registers) = match length {
            1 | 16 => (by_length[0], 1),
            2 | 32 => (by_length[1], 2),
            4 | 64 => (by_length[2], 4),
            _ => return Err(format!("{text} of length {length} is not known")),
        };
        return Ok(CellFormat { format: format.to_owned(), registers, order });
    }
    let (format, registers, _) = FORMATS.iter().find(|(_, _, names)| names.contains(&plain)).ok_or_else(unknown)?;
    // A length counts registers, bytes or bits.
    if let Some(length) = length
        && ![*registers, registers * 2, registers * 16].contains(&length)
        && *format != "bool"
    {
        return Err(format!("{text} takes {registers} registers, and the length is {length}"));
    }
    Ok(CellFormat { format: (*format).to_owned(), registers: *registers, order })
}

/// # Errors
/// No word order is called so.
pub fn order(text: &str) -> Result<&'static str, String> {
    let plain = plain(text);
    let found = ORDERS.iter().find(|(_, names)| names.contains(&plain.as_str()));
    found.map(|(order, _)| *order).ok_or_else(|| format!("{text:?} is no word order; there are ABCD, CDAB, BADC and DCBA"))
}

/// # Errors
/// No area is called so.
pub fn area(text: &str) -> Result<&'static str, String> {
    let plain = plain(text);
    let found = AREAS.iter().find(|(_, _, names, _)| names.contains(&plain.as_str()));
    found
        .map(|(area, ..)| *area)
        .ok_or_else(|| format!("{text:?} is no area; there are coil, discrete, input and holding, or functions 1 to 4"))
}

/// How the numbers of a list are to be read.
#[derive(Clone, Copy, Default)]
pub struct AddressNotation {
    pub hexadecimal: bool,
    /// Plain numbers count from 1.
    pub one_based: bool,
    /// They are addresses of an S7.
    pub logical: bool,
}

/// A place in a device.
#[derive(Debug, PartialEq, Eq)]
pub struct CellAddress {
    /// In our notation, the bit left out.
    pub place: String,
    pub is_bits: bool,
    pub bit: Option<String>,
    /// It was a reference such as 40001.
    pub is_reference: bool,
    /// It was a plain number.
    pub is_plain: bool,
}

/// Reads an address. `area` is that of a column, `numeric` says that the value is more than a bit.
///
/// # Errors
/// It is none, or could be two.
pub fn address(text: &str, area: Option<&'static str>, numeric: bool, notation: AddressNotation) -> Result<CellAddress, String> {
    let none = || format!("{text:?} is no address; there are 40001, holding:100, HR100, 0x64 and 100");
    let lower: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    // Of a run such as 40001-40002 the first.
    let first = lower.split_once('-').or_else(|| lower.split_once("..")).map_or(lower.as_str(), |(first, _)| first);
    let prefixed = AREAS.iter().find_map(|(name, _, _, begins)| {
        begins
            .iter()
            .find_map(|begin| first.strip_prefix(begin).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
            .map(|rest| (*name, rest))
    });
    if let (Some((prefix, _)), Some(area)) = (prefixed, area)
        && prefix != area
    {
        return Err(format!("{text:?} is a place of {prefix}, and the row says {area}"));
    }
    let (named, rest) = prefixed.map_or((area, first), |(name, rest)| (Some(name), rest));
    let (digits, bit) = match rest.split_once(['.', '/']) {
        Some((digits, bit)) if bit.parse::<u8>().is_ok_and(|bit| bit < 16) => (digits, Some(bit.to_owned())),
        Some(_) => return Err(none()),
        None => (rest, None),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix('$')).or_else(|| digits.strip_suffix('h'));
    if digits.starts_with("0x") && named.is_none() && !notation.hexadecimal {
        return Err(format!("{text:?} could be hexadecimal, or a coil; write holding:N or coil:N"));
    }
    let (number, is_hexadecimal) = match hexadecimal {
        Some(digits) => (u32::from_str_radix(digits, 16), true),
        None if notation.hexadecimal => (u32::from_str_radix(digits, 16), true),
        None => (digits.parse::<u32>(), false),
    };
    let number = number.map_err(|_| none())?;
    let in_area = |name: &'static str, place: String, is_reference: bool, is_plain: bool| CellAddress {
        place,
        is_bits: matches!(name, "coil" | "discrete"),
        bit: bit.clone(),
        is_reference,
        is_plain,
    };
    // A reference says its area by its first digit. Of one that begins with 1 a number is no value: that is a plain address.
    if !is_hexadecimal && prefixed.is_none() && matches!(digits.len(), 5 | 6) {
        let by_digit = AREAS.iter().find(|(_, digit, ..)| digits.starts_with(*digit));
        if let Some((name, ..)) = by_digit
            && area.is_none_or(|area| area == *name)
            && digits[1..].parse::<u32>().is_ok_and(|rest| (1..=65_536).contains(&rest))
            && !(numeric && matches!(*name, "coil" | "discrete"))
        {
            return Ok(in_area(name, digits.to_owned(), true, false));
        }
    }
    // 4x0001 and its like count from 1.
    let counted = notation.one_based || prefixed.is_some() && first.as_bytes().get(1) == Some(&b'x');
    let start = if counted {
        number.checked_sub(1).ok_or_else(|| format!("{text:?}: address 0 does not exist where they count from 1"))?
    } else {
        number
    };
    if start > 65_535 {
        return Err(format!("{text:?} is beyond the last address, 65535"));
    }
    let name = named.unwrap_or("holding");
    Ok(in_area(name, format!("{name}:{start}"), false, prefixed.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_languages_are_read_and_doubtful_ones_refused() {
        for (text, comma, expected) in [
            ("0.1", false, Ok("0.1")),
            ("0,1", true, Ok("0.1")),
            ("0,1", false, Ok("0.1")),
            ("1.234,5", true, Ok("1234.5")),
            ("1,234.5", false, Ok("1234.5")),
            ("x0.01", false, Ok("0.01")),
            ("1/100", false, Ok("0.01")),
            ("1/10", true, Ok("0.1")),
            ("-40", true, Ok("-40")),
            ("1 000", true, Ok("1000")),
            ("1e-3", false, Ok("1e-3")),
            ("1.000", true, Err("thousands")),
            ("1,000", false, Err("thousands")),
            ("none", false, Err("no number")),
            ("1/3", false, Err("no number")),
            ("", false, Err("no number")),
            ("inf", false, Err("no number")),
        ] {
            match (number(text, comma), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert_eq!((inverse("10", false), inverse("1000", true)), (Ok("0.1".to_owned()), Ok("0.001".to_owned())));
        assert!(inverse("3", false).is_err() && inverse("0", false).is_err());
    }

    #[test]
    fn two_ranges_are_a_scale_and_an_offset() {
        assert_eq!(scaled([0.0, 1000.0, 0.0, 100.0]), Ok(("0.1".to_owned(), "0".to_owned())));
        assert_eq!(scaled([4000.0, 20_000.0, -40.0, 120.0]), Ok(("0.01".to_owned(), "-80".to_owned())));
        assert!(scaled([5.0, 5.0, 0.0, 1.0]).is_err() && scaled([0.0, 5.0, 1.0, 1.0]).is_err());
        assert_eq!((text_at("400001.20H"), text_at("400001.8L")), (Some(("400001", 20, false)), Some(("400001", 8, true))));
        assert_eq!((text_at("400001"), text_at("400001.0H"), text_at("400001.xH")), (None, None, None));
    }

    #[test]
    fn types_of_many_makers_are_ours() {
        let is = |text: &str, length: Option<&str>| format(text, length).map(|found| (found.format, found.order));
        for (text, length, expected, order) in [
            ("FLOAT32", None, "f32", None),
            ("REAL", None, "f32", None),
            ("Float (CDAB)", None, "f32", Some("CDAB")),
            ("FLOAT32_CDAB", None, "f32", Some("CDAB")),
            ("float32 swapped", None, "f32", Some("CDAB")),
            ("LREAL", None, "f64", None),
            ("INT", None, "i16", None),
            ("int", Some("2"), "i32", None),
            ("unsigned", Some("32"), "u32", None),
            ("Float", Some("2"), "f32", None),
            ("UINT32", Some("4"), "u32", None),
            ("DINT", Some("2"), "i32", None),
            ("WORD", None, "u16", None),
            ("uint16_t", None, "u16", None),
            ("STRING[16]", None, "string:8", None),
            ("String", Some("10"), "string:10", None),
            ("string:5", None, "string:5", None),
            ("CHAR(7)", None, "string:4", None),
            ("Boolean", None, "bool", None),
            ("u8-high", None, "u8-high", None),
        ] {
            assert_eq!(is(text, length), Ok((expected.to_owned(), order)), "{text} {length:?}");
        }
        assert!(is("FLOAT24", None).unwrap_err().contains("no type"));
        assert!(is("INT32", Some("1")).unwrap_err().contains("takes 2 registers"));
        assert!(is("string", None).unwrap_err().contains("length"));
        assert_eq!((order("Little-Endian"), order("word swap")), (Ok("DCBA"), Ok("CDAB")));
        assert!(order("ACDB").is_err());
    }

    #[test]
    fn addresses_of_many_lists_are_ours() {
        let plain = AddressNotation::default();
        let of = |text: &str, area, numeric| address(text, area, numeric, plain).map(|found| (found.place, found.bit));
        for (text, area, expected, bit) in [
            ("40001", None, "40001", None),
            ("400001", None, "400001", None),
            ("40001.3", None, "40001", Some("3")),
            ("40001-40002", None, "40001", None),
            ("30007", None, "30007", None),
            ("holding:100", None, "holding:100", None),
            ("HR100", None, "holding:100", None),
            ("4x0102", None, "holding:101", None),
            ("IR 5", None, "input:5", None),
            ("%MW100", None, "holding:100", None),
            ("100", None, "holding:100", None),
            ("100", Some("input"), "input:100", None),
            ("0x64", Some("holding"), "holding:100", None),
            ("64h", None, "holding:100", None),
            ("40001", Some("input"), "input:40001", None),
            ("40001", Some("holding"), "40001", None),
            ("10001", None, "holding:10001", None),
        ] {
            assert_eq!(of(text, area, true), Ok((expected.to_owned(), bit.map(str::to_owned))), "{text}");
        }
        assert_eq!(of("10001", None, false).unwrap().0, "10001", "a discrete input");
        for (text, part) in [
            ("0x64", "could be hexadecimal"),
            ("", "no address"),
            ("DB1.DBW4", "no address"),
            ("70000", "beyond"),
            ("40001.16", "no address"),
        ] {
            let refused = of(text, None, true).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
        assert!(of("4x0001", Some("input"), true).unwrap_err().contains("the row says input"));
        let counted = AddressNotation { one_based: true, ..plain };
        assert_eq!(address("100", None, true, counted).unwrap().place, "holding:99");
        assert_eq!(address("40001", None, true, counted).unwrap().place, "40001");
        let hexadecimal = AddressNotation { hexadecimal: true, ..plain };
        assert_eq!(address("1F", None, true, hexadecimal).unwrap().place, "holding:31");
    }
}
