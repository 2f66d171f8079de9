//! A quality in words: the symbol of its status code, which begins with its severity, and what its info bits say.

use historian_model::Quality;

/// `Good`, `BadSensorFailure`, `Good, interpolated`, `UncertainSubNormal, limited high`; of a code without a symbol severity and number.
pub fn in_words(quality: Quality) -> String {
    let code = Quality(quality.0 & !INFO_BITS);
    let mut words = code.to_string();
    if words.starts_with("0x") {
        let severity =
            [(quality.is_good(), "Good"), (quality.is_bad(), "Bad")].into_iter().find(|(is, _)| *is).map_or("Uncertain", |(_, word)| word);
        words = format!("{severity} {words}");
    }
    for flag in flags(quality.0 & INFO_BITS) {
        words += ", ";
        words += &flag;
    }
    words
}

/// The lower half of a status code.
const INFO_BITS: u32 = 0xFFFF;

/// Info bits by name (OPC 10000-4, 7.39; those of historical values OPC 10000-13). Without the info type `DataValue` they mean nothing.
fn flags(bits: u32) -> Vec<String> {
    let mut flags = Vec::new();
    let mut left = bits;
    let mut add = |mask: u32, value: u32, name: &str, left: &mut u32| {
        if bits & mask == value {
            flags.push(name.to_owned());
            *left &= !mask;
        }
    };
    add(0x8000, 0x8000, "structure changed", &mut left);
    add(0x4000, 0x4000, "semantics changed", &mut left);
    if bits & 0x0C00 == 0x0400 {
        left &= !0x0C00;
        add(0x0300, 0x0100, "limited low", &mut left);
        add(0x0300, 0x0200, "limited high", &mut left);
        add(0x0300, 0x0300, "constant", &mut left);
        add(0x0080, 0x0080, "overflow", &mut left);
        add(0x0003, 0x0001, "calculated", &mut left);
        add(0x0003, 0x0002, "interpolated", &mut left);
        add(0x0004, 0x0004, "partial", &mut left);
        add(0x0008, 0x0008, "extra data", &mut left);
        add(0x0010, 0x0010, "multiple values", &mut left);
    }
    if left != 0 {
        flags.push(format!("0x{left:04X}"));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quality_is_a_word_and_its_flags() {
        for (code, words) in [
            (0, "Good"),
            (0x808C_0000, "BadSensorFailure"),
            (0x809B_0000, "BadNoData"),
            (0x0000_0402, "Good, interpolated"),
            (0x0000_0480, "Good, overflow"),
            (0x0000_0600, "Good, limited high"),
            (0x4095_0700, "UncertainSubNormal, constant"),
            (0x40A4_0405, "UncertainDataSubNormal, calculated, partial"),
            (0x0000_4400, "Good, semantics changed"),
            (0x0000_0080, "Good, 0x0080"),
            (0x0000_2000, "Good, 0x2000"),
            (0x80FF_0000, "Bad 0x80FF0000"),
            (0x40FF_0401, "Uncertain 0x40FF0000, calculated"),
        ] {
            assert_eq!(in_words(Quality(code)), words, "{code:08X}");
        }
    }
}
