//! Modbus addresses as an engineer writes them: `holding:100`, `holding:100.3`, `holding:100.4-7`, `coil:7`, `2!input:5`, `40101`.
//!
//! Grammar: `[unit!]area:number[.bit[-bit]]` or `[unit!]reference[.bit[-bit]]`. The number after an area is the protocol address (first
//! register 0), or counts from 1 when the device says `zero_based = false`. A reference is the classic five or six digits, whose first
//! digit names the area (0 coil, 1 discrete, 3 input, 4 holding) and whose rest always counts from 1: `40001` is `holding:0`.

use std::fmt;

use super::others;

/// One of the four address spaces of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterArea {
    Coil,
    Discrete,
    Input,
    Holding,
}

impl RegisterArea {
    const ALL: [RegisterArea; 4] = [RegisterArea::Coil, RegisterArea::Discrete, RegisterArea::Input, RegisterArea::Holding];

    pub const fn as_str(self) -> &'static str {
        match self {
            RegisterArea::Coil => "coil",
            RegisterArea::Discrete => "discrete",
            RegisterArea::Input => "input",
            RegisterArea::Holding => "holding",
        }
    }

    /// True for coils and discrete inputs, whose elements are single bits.
    pub const fn is_bits(self) -> bool {
        matches!(self, RegisterArea::Coil | RegisterArea::Discrete)
    }
}

impl fmt::Display for RegisterArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A parsed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Unit named by the address; by default the device's.
    pub unit: Option<u8>,
    pub area: RegisterArea,
    /// Protocol address of the first register or bit, from 0.
    pub start: u16,
    /// First and last bit within the number, 0 the least significant.
    pub bits: Option<(u8, u8)>,
}

/// Last bit of four registers.
const BIT_MAX: u32 = 63;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str, zero_based: bool) -> Result<Address, String> {
        let (unit, rest) = match text.split_once('!') {
            None => (None, text),
            Some((unit, rest)) => {
                let unit = number(unit, "unit")?;
                (Some(u8::try_from(unit).map_err(|_| format!("unit {unit} is above 255"))?), rest)
            }
        };
        let (place, bits) = match rest.split_once('.') {
            None => (rest, None),
            Some((place, bits)) => {
                refuse_zeros(place, bits)?;
                (place, Some(bits_of(bits)?))
            }
        };
        let (area, start) = match place.split_once(':') {
            Some((area, start)) => {
                let area = RegisterArea::ALL.into_iter().find(|known| known.as_str() == area).ok_or_else(|| {
                    let is_number = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_digit());
                    let meant = others::area(area).filter(|_| is_number);
                    let hint = meant.map_or(String::new(), |meant| format!("; did you mean {meant}:{start}?"));
                    format!("unknown area {area:?}; known are coil, discrete, input, holding{hint}")
                })?;
                let start = number(start, "address").map_err(|error| match others::hexadecimal(start) {
                    Some(start) => format!("{error}; did you mean {area}:{start}?"),
                    None => error,
                })?;
                (area, if zero_based { start } else { counted_from_one(start)? })
            }
            None => reference(place)?,
        };
        if start > 65_535 {
            return Err(format!("{area}:{start} is out of range, the last address is 65535"));
        }
        if bits.is_some() && area.is_bits() {
            return Err(format!("a {area} is one bit already; write {area}:{start} without .bit"));
        }
        Ok(Address { unit, area, start: start as u16, bits })
    }
}

/// Reads `40101`-style references: five digits, or six for all 65,536 addresses.
fn reference(text: &str) -> Result<(RegisterArea, u32), String> {
    let unknown = || {
        let hint = others::whole(text).map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        format!(
            "address {text:?} is neither area:number (holding:100, input:5, coil:7, discrete:7) nor a reference such as 40001 or 400001{hint}"
        )
    };
    if !matches!(text.len(), 5 | 6) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let area = match text.as_bytes()[0] {
        b'0' => RegisterArea::Coil,
        b'1' => RegisterArea::Discrete,
        b'3' => RegisterArea::Input,
        b'4' => RegisterArea::Holding,
        _ => return Err(unknown()),
    };
    Ok((area, counted_from_one(number(&text[1..], "address")?)?))
}

/// Refuses the zeros of a number that is shown with decimals: 40001.00 is more likely the register than its bit 0.
///
/// # Errors
/// `fraction`, what stands behind the point of `place`, is two zeros or more.
fn refuse_zeros(place: &str, fraction: &str) -> Result<(), String> {
    if fraction.len() > 1 && fraction.bytes().all(|byte| byte == b'0') {
        let digits = fraction.len();
        return Err(format!(
            "{place}.{fraction} could be the register, shown with {digits} decimals; write {place}, or {place}.0 for its bit 0"
        ));
    }
    Ok(())
}

/// Reads `3` or `4-7`.
fn bits_of(text: &str) -> Result<(u8, u8), String> {
    let one = |text: &str| match number(text, "bit")? {
        bit @ 0..=BIT_MAX => Ok(bit as u8),
        bit => Err(format!("bit {bit} does not exist, a register has bits 0 to 15, and a number of four registers bits 0 to {BIT_MAX}")),
    };
    let (first, last) = match text.split_once('-') {
        None => (one(text)?, one(text)?),
        Some((first, last)) => (one(first)?, one(last)?),
    };
    if first > last {
        return Err(format!("bits {first}-{last} are the wrong way round; write .{last}-{first}"));
    }
    Ok((first, last))
}

fn counted_from_one(number: u32) -> Result<u32, String> {
    number.checked_sub(1).ok_or_else(|| "address 0 does not exist where addresses count from 1".to_owned())
}

fn number(text: &str, what: &str) -> Result<u32, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{what} {text:?} is not a whole number"));
    }
    text.parse().map_err(|_| format!("{what} {text} is far out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, zero_based: bool) -> (Option<u8>, RegisterArea, u16, Option<(u8, u8)>) {
        let Address { unit, area, start, bits } = Address::parse(text, zero_based).unwrap_or_else(|error| panic!("{text}: {error}"));
        (unit, area, start, bits)
    }

    #[test]
    fn all_documented_forms_are_read() {
        assert_eq!(parsed("holding:100", true), (None, RegisterArea::Holding, 100, None));
        assert_eq!(parsed("holding:100", false), (None, RegisterArea::Holding, 99, None));
        assert_eq!(parsed("holding:65536", false), (None, RegisterArea::Holding, 65_535, None));
        assert_eq!(parsed("2!input:5", true), (Some(2), RegisterArea::Input, 5, None));
        assert_eq!(parsed("coil:7", true), (None, RegisterArea::Coil, 7, None));
        assert_eq!(parsed("discrete:0", true), (None, RegisterArea::Discrete, 0, None));
        assert_eq!(parsed("holding:100.15", true), (None, RegisterArea::Holding, 100, Some((15, 15))));
        assert_eq!(parsed("holding:100.4-7", true), (None, RegisterArea::Holding, 100, Some((4, 7))));
        assert_eq!(parsed("40101.0-63", true), (None, RegisterArea::Holding, 100, Some((0, 63))));
        for zero_based in [true, false] {
            assert_eq!(parsed("40001", zero_based), (None, RegisterArea::Holding, 0, None));
            assert_eq!(parsed("465536", zero_based), (None, RegisterArea::Holding, 65_535, None));
            assert_eq!(parsed("9!30010.2", zero_based), (Some(9), RegisterArea::Input, 9, Some((2, 2))));
            assert_eq!(parsed("00008", zero_based), (None, RegisterArea::Coil, 7, None));
            assert_eq!(parsed("100001", zero_based), (None, RegisterArea::Discrete, 0, None));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, zero_based, part) in [
            ("", true, "neither"),
            ("holding", true, "neither"),
            ("holding:", true, "not a whole number"),
            ("holding:-1", true, "not a whole number"),
            ("holding:65536", true, "out of range"),
            ("holding:65537", false, "out of range"),
            ("holding:0", false, "count from 1"),
            ("holding:99999999999", true, "far out of range"),
            ("register:1", true, "unknown area"),
            ("holding:1.64", true, "bits 0 to 15"),
            ("holding:1.7-4", true, "write .4-7"),
            ("40001.00", true, "write 40001, or 40001.0 for its bit 0"),
            ("holding:1.000", true, "shown with 3 decimals"),
            ("holding:1.4-", true, "bit \"\" is not"),
            ("holding:1.4-5-6", true, "bit \"5-6\" is not"),
            ("coil:1.2", true, "one bit already"),
            ("256!holding:1", true, "above 255"),
            ("x!holding:1", true, "unit \"x\""),
            ("40000", true, "count from 1"),
            ("465537", true, "out of range"),
            ("20001", true, "neither"),
            ("4000001", true, "neither"),
        ] {
            let error = Address::parse(text, zero_based).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// What others write, and what we answer.
    #[test]
    fn what_others_write_is_answered_with_our_notation() {
        for (text, meant) in [
            ("hr:100", "holding:100"),
            ("HR:100", "holding:100"),
            ("Holding:100", "holding:100"),
            ("holding_register:7", "holding:7"),
            ("ir:5", "input:5"),
            ("di:5", "discrete:5"),
            ("co:5", "coil:5"),
            ("4x0102", "40102"),
            ("3x00001", "300001"),
            ("4X102", "40102"),
            ("1x7", "10007"),
            ("0x64", "holding:100"),
            ("holding:0x64", "holding:100"),
            ("holding:64h", "holding:100"),
            ("%MW100", "holding:100"),
            ("HR100", "holding:100"),
            ("100", "holding:100"),
        ] {
            let error = Address::parse(text, true).unwrap_err();
            assert!(error.contains(&format!("; did you mean {meant}?")), "{text}: {error}");
            assert!(Address::parse(meant, true).is_ok(), "{meant}");
        }
        for text in ["drawer:3", "x", "4x", "0xGG", "hr:", "%MW", "4x100000"] {
            let error = Address::parse(text, true).unwrap_err();
            assert!(!error.contains("did you mean"), "{text}: {error}");
        }
    }
}
