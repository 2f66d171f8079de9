//! Qualities as files of other programs have them, into OPC UA status codes. What a scale does not know is refused: a number that means
//! Bad in one scale is Good in another.

use anyhow::bail;
use clap::ValueEnum;

use historian_model::Quality;

/// What the numbers or words of a quality column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// OPC UA status codes, or their names; numbers that cannot be status codes are refused.
    #[default]
    Auto,
    /// OPC DA and HDA: 192 is Good, 0 Bad.
    Opcda,
    /// OPC UA status codes: 0 is Good, 0x80000000 and above Bad.
    Opcua,
    /// Quality codes of Ignition: 192 is Good, 512 and above Bad.
    Ignition,
    /// Words: Good, Bad, Uncertain, or names of OPC UA and OPC DA.
    Text,
    /// Codes of our own files, which hold whatever a device sent.
    #[value(skip)]
    Own,
}

impl Scale {
    /// The status code of what a cell holds.
    ///
    /// # Errors
    /// Says what the scale makes of it, and which other it may be.
    pub fn read(self, text: &str) -> Result<Quality, String> {
        let text = text.trim();
        match number(text) {
            Some(number) => self.number(number),
            None if matches!(self, Scale::Auto | Scale::Opcua | Scale::Text | Scale::Ignition | Scale::Own) => {
                word(text).ok_or_else(|| {
                    format!("{text:?} is no OPC UA status code such as 0 or 0x80000000, and no word such as Good or BadNoCommunication")
                })
            }
            None => Err(format!("{text:?} is no OPC DA quality such as 192 or 0; for words add --quality text")),
        }
    }

    /// As [`Scale::read`], of a number.
    ///
    /// # Errors
    /// As there.
    pub fn number(self, number: i64) -> Result<Quality, String> {
        match self {
            Scale::Auto | Scale::Opcua => status_code(number).ok_or_else(|| {
                format!(
                    "{number} is no OPC UA status code; say what it is: --quality opcda where 192 is Good and 0 Bad, --quality ignition"
                )
            }),
            Scale::Own => u32::try_from(number).map(Quality).map_err(|_| format!("{number} is no OPC UA status code")),
            Scale::Opcda => of_opcda(number).ok_or_else(|| format!("{number} is no OPC DA quality")),
            Scale::Ignition => of_ignition(number).ok_or_else(|| format!("{number} is no quality code of Ignition")),
            Scale::Text => Err(format!("{number} is a number, and --quality text takes words")),
        }
    }
}

/// A word of `--states`: where it stands in place of a value, there is none, and this quality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWord {
    pub word: String,
    pub quality: Quality,
}

/// Reads one `WORD=CODE`.
///
/// # Errors
/// When the code is unknown, or Good: a sample without a value cannot be.
pub fn state_word(text: &str) -> anyhow::Result<StateWord> {
    let Some((word, code)) = text.rsplit_once('=') else {
        bail!("{text:?} is not of the form WORD=CODE, such as 'I/O Timeout=BadNoCommunication'")
    };
    let (word, code) = (word.trim(), code.trim());
    let quality = match number(code) {
        Some(number) => status_code(number),
        None => self::word(code),
    };
    let Some(quality) = quality else {
        bail!("{code:?} is no OPC UA status code, neither by number nor by name such as BadNoCommunication")
    };
    if word.is_empty() {
        bail!("{text:?} names no word before =");
    }
    if quality.is_good() {
        bail!("{code} is Good, and a sample without a value cannot be; take a Bad or Uncertain code");
    }
    Ok(StateWord { word: word.to_owned(), quality })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(i64::from),
        // Spreadsheets and pandas write whole numbers with a point where a column had gaps.
        None => text.strip_suffix(".0").unwrap_or(text).parse().ok(),
    }
}

/// A number that can be an OPC UA status code (OPC 10000-4, 7.39.1): programs with signed integers write it below 0. The lower bits say
/// something only where the info type does, and two of the upper are reserved; 192, 24 or 512 are therefore none.
fn status_code(number: i64) -> Option<Quality> {
    let code = match u32::try_from(number) {
        Ok(code) => code,
        Err(_) => i32::try_from(number).ok()?.cast_unsigned(),
    };
    let (severity, reserved) = (code >> 30, code & 0x3000_0000);
    let (info_type, info) = (code & 0xC00, code & 0x3FF);
    let is_sound = severity < 3 && reserved == 0 && (info_type == 0x400 || (info_type, info) == (0, 0));
    is_sound.then_some(Quality(code))
}

/// OPC DA 3.0, 6.8 (quality, sub-status, limit; a byte of the vendor above), and OPC HDA 1.20 with its flags in the upper half. Into status
/// codes as the OPC Foundation's own wrapper has them.
fn of_opcda(number: i64) -> Option<Quality> {
    let code = u32::try_from(number).ok()?;
    let (flags, quality) = (code >> 16, code & 0xFF);
    if flags > 0x1FF {
        return None;
    }
    let status = match quality & 0xFC {
        0xC0 => Quality::GOOD,
        0xD8 => Quality::GOOD_LOCAL_OVERRIDE,
        0x40 => Quality::UNCERTAIN,
        0x44 => Quality::UNCERTAIN_LAST_USABLE_VALUE,
        0x50 => Quality::UNCERTAIN_SENSOR_NOT_ACCURATE,
        0x54 => Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
        0x58 => Quality::UNCERTAIN_SUB_NORMAL,
        0x00 => Quality::BAD,
        0x04 => Quality::BAD_CONFIGURATION_ERROR,
        0x08 => Quality::BAD_NOT_CONNECTED,
        0x0C => Quality::BAD_DEVICE_FAILURE,
        0x10 => Quality::BAD_SENSOR_FAILURE,
        0x14 | 0x1C => Quality::BAD_OUT_OF_SERVICE,
        0x18 => Quality::BAD_NO_COMMUNICATION,
        0x20 => Quality::BAD_WAITING_FOR_INITIAL_DATA,
        // A sub-status of a vendor keeps its severity; 10 is reserved.
        other => match other >> 6 {
            0 => Quality::BAD,
            1 => Quality::UNCERTAIN,
            3 => Quality::GOOD,
            _ => return None,
        },
    };
    // OPCHDA_NODATA, _DATALOST, _NOBOUND: there is no value, whatever the lower half says.
    let status = match flags {
        flags if flags & 0x20 != 0 => Quality::BAD_NO_DATA,
        flags if flags & 0x40 != 0 => Quality::BAD_DATA_LOST,
        flags if flags & 0x10 != 0 => Quality::BAD_BOUND_NOT_FOUND,
        _ => status,
    };
    // Limit bits, and OPCHDA_CALCULATED and _INTERPOLATED, as info bits of a data value.
    let source = if flags & 0x08 != 0 { 1 } else { u32::from(flags & 0x02 != 0) * 2 };
    let info = (quality & 3) << 8 | source;
    Some(Quality(if info == 0 { status.0 } else { status.0 | 0x400 | info }))
}

/// The codes of Ignition 8, with and without the level in the two highest bits.
fn of_ignition(number: i64) -> Option<Quality> {
    let raw = match u32::try_from(number) {
        Ok(raw) => raw,
        Err(_) => i32::try_from(number).ok()?.cast_unsigned(),
    };
    let code = raw & 0xFFFF;
    let level = match code {
        0 | 2 | 192 | 200..=203 => 0,
        256..=261 => 1,
        512..=528 => 2,
        768..=780 => 3,
        _ => return None,
    };
    if raw & 0x3FFF_0000 != 0 || (raw >> 30 != 0 && raw >> 30 != level) {
        return None;
    }
    Some(match code {
        0..=255 => Quality::GOOD,
        257 => Quality::UNCERTAIN_LAST_USABLE_VALUE,
        258 => Quality::UNCERTAIN_INITIAL_VALUE,
        259 => Quality::UNCERTAIN_DATA_SUB_NORMAL,
        260 => Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
        256..=511 => Quality::UNCERTAIN,
        513 | 514 => Quality::BAD_USER_ACCESS_DENIED,
        515 => Quality::BAD_OUT_OF_SERVICE,
        516 | 523 => Quality::BAD_NO_COMMUNICATION,
        519 | 520 => Quality::BAD_NOT_FOUND,
        522 => Quality::BAD_NOT_CONNECTED,
        524 => Quality::BAD_OUT_OF_RANGE,
        528 => Quality::BAD_NOT_SUPPORTED,
        769 => Quality::BAD_CONFIGURATION_ERROR,
        772 => Quality::BAD_TYPE_MISMATCH,
        774 => Quality::BAD_COMMUNICATION_ERROR,
        775 => Quality::BAD_TIMEOUT,
        _ => Quality::BAD,
    })
}

/// Words of OPC DA clients that are no names of OPC UA, without anything but their letters.
const WORDS: [(&str, Quality); 16] = [
    ("goodnonspecific", Quality::GOOD),
    ("goodlocaloverride", Quality::GOOD_LOCAL_OVERRIDE),
    ("uncertainnonspecific", Quality::UNCERTAIN),
    ("uncertainlastusable", Quality::UNCERTAIN_LAST_USABLE_VALUE),
    ("uncertainlastknownvalue", Quality::UNCERTAIN_LAST_USABLE_VALUE),
    ("uncertainsensorcal", Quality::UNCERTAIN_SENSOR_NOT_ACCURATE),
    ("uncertainegulimitsexceeded", Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED),
    ("uncertaineguexceeded", Quality::UNCERTAIN_ENGINEERING_UNITS_EXCEEDED),
    ("badnonspecific", Quality::BAD),
    ("badconfigerror", Quality::BAD_CONFIGURATION_ERROR),
    ("badcommfailure", Quality::BAD_NO_COMMUNICATION),
    ("badcommunicationfailure", Quality::BAD_NO_COMMUNICATION),
    ("badlastknown", Quality::BAD_OUT_OF_SERVICE),
    ("badlastknownvalue", Quality::BAD_OUT_OF_SERVICE),
    ("badstale", Quality::BAD_NO_COMMUNICATION),
    ("baddisabled", Quality::BAD_OUT_OF_SERVICE),
];

/// A name of a status code, in any case and with whatever between its words (`Bad_NoCommunication`, `bad, comm failure`).
fn word(text: &str) -> Option<Quality> {
    let word: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // No letter may be lost: "nicht gut" is no "nichtgut", and "¬Good" is not Good.
    if text.chars().any(|letter| !(letter.is_ascii_alphanumeric() || " ._-,:[]()/".contains(letter))) {
        return None;
    }
    Quality::named(&word).or_else(|| WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, quality)| quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scale: Scale, text: &str) -> Option<String> {
        scale.read(text).ok().map(|quality| quality.to_string())
    }

    /// The sub-statuses are those of `opcda.h`, their status codes those of the OPC Foundation's `ComUtils`.
    #[test]
    fn qualities_of_opc_da_become_the_codes_of_the_foundations_wrapper() {
        for (number, expected) in [
            ("192", "Good"),
            ("0xC0", "Good"),
            ("216", "GoodLocalOverride"),
            ("64", "Uncertain"),
            ("68", "UncertainLastUsableValue"),
            ("80", "UncertainSensorNotAccurate"),
            ("84", "UncertainEngineeringUnitsExceeded"),
            ("88", "UncertainSubNormal"),
            ("0", "Bad"),
            ("4", "BadConfigurationError"),
            ("8", "BadNotConnected"),
            ("12", "BadDeviceFailure"),
            ("16", "BadSensorFailure"),
            ("20", "BadOutOfService"),
            ("24", "BadNoCommunication"),
            ("24.0", "BadNoCommunication"),
            ("28", "BadOutOfService"),
            ("32", "BadWaitingForInitialData"),
            ("193", "Good+0x0500"),
            ("194", "Good+0x0600"),
            ("195", "Good+0x0700"),
            ("448", "Good"),           // a byte of the vendor
            ("262336", "Good"),        // HDA: raw
            ("524480", "Good+0x0401"), // HDA: calculated
            ("2097152", "BadNoData"),  // HDA: no data
        ] {
            assert_eq!(read(Scale::Opcda, number).as_deref(), Some(expected), "{number}");
        }
        for number in ["128", "-1", "4294967296", "2147483648", "Good", "1.5", ""] {
            assert_eq!(read(Scale::Opcda, number), None, "{number}");
        }
    }

    #[test]
    fn a_number_that_can_be_no_status_code_is_refused_and_not_good() {
        for number in ["1", "24", "64", "192", "216", "512", "516", "-2147483132", "262336", "4294967295", "99999999999", "-1"] {
            for scale in [Scale::Auto, Scale::Opcua] {
                let error = scale.read(number).unwrap_err();
                assert!(error.contains("--quality opcda") && error.contains("--quality ignition"), "{number}: {error}");
            }
        }
        for (number, expected) in [
            ("0", "Good"),
            ("0x80000000", "Bad"),
            ("2150694912", "BadNoCommunication"),
            ("-2144272384", "BadNoCommunication"),
            ("1026", "Good+0x0402"),
        ] {
            assert_eq!(read(Scale::Auto, number).as_deref(), Some(expected), "{number}");
        }
        // Our own files hold what devices sent.
        assert_eq!(Scale::Own.read("192"), Ok(Quality(192)));
    }

    #[test]
    fn codes_of_ignition_are_known_with_and_without_their_level() {
        for (number, expected) in [
            ("192", "Good"),
            ("0", "Good"),
            ("256", "Uncertain"),
            ("257", "UncertainLastUsableValue"),
            ("512", "Bad"),
            ("516", "BadNoCommunication"),
            ("-2147483132", "BadNoCommunication"),
            ("-2147483126", "BadNotConnected"),
            ("-1073741055", "BadConfigurationError"),
            ("1073742081", "UncertainLastUsableValue"),
            ("Bad_Stale", "BadNoCommunication"),
            ("Good", "Good"),
        ] {
            assert_eq!(read(Scale::Ignition, number).as_deref(), Some(expected), "{number}");
        }
        for number in ["1", "64", "300", "500", "1000", "-2147483456"] {
            assert_eq!(read(Scale::Ignition, number), None, "{number}");
        }
    }

    #[test]
    fn words_are_known_however_they_are_written() {
        for (text, expected) in [
            ("Good", "Good"),
            ("GOOD", "Good"),
            (" bad ", "Bad"),
            ("Uncertain", "Uncertain"),
            ("Bad_NoCommunication", "BadNoCommunication"),
            ("bad [comm failure]", "BadNoCommunication"),
            ("Good, non-specific", "Good"),
            ("BadSensorFailure", "BadSensorFailure"),
        ] {
            for scale in [Scale::Auto, Scale::Text] {
                assert_eq!(read(scale, text).as_deref(), Some(expected), "{text}");
            }
        }
        for text in ["gut", "Goodish", "OK", "not good", "true", "Good!", "¬Good"] {
            assert_eq!(read(Scale::Auto, text), None, "{text}");
        }
        assert_eq!(read(Scale::Text, "0"), None);
    }

    #[test]
    fn words_of_states_have_a_code_that_is_not_good() {
        let expected = StateWord { word: "I/O Timeout".into(), quality: Quality::BAD_NO_COMMUNICATION };
        assert_eq!(state_word("I/O Timeout=BadNoCommunication").unwrap(), expected);
        assert_eq!(state_word("a=b = 0x80310000").unwrap().word, "a=b");
        for text in ["Off", "Off=Good", "Off=0", "Off=Off", "=Bad", "Off="] {
            assert!(state_word(text).is_err(), "{text}");
        }
    }
}
