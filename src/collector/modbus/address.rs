//! Modbus addresses as an engineer writes them: `holding:100`, `holding:100.3`, `coil:7`, `2!input:5`, `40101`.
//!
//! Grammar: `[unit!]area:number[.bit]` or `[unit!]reference[.bit]`. The number after an area is the protocol address (first register 0),
//! or counts from 1 when the device says `zero_based = false`. A reference is the classic five or six digits, whose first digit names the
//! area (0 coil, 1 discrete, 3 input, 4 holding) and whose rest always counts from 1: `40001` is `holding:0`.

use std::fmt;

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
    /// Bit within the register, 0 the least significant.
    pub bit: Option<u8>,
}

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
        let (place, bit) = match rest.split_once('.') {
            None => (rest, None),
            Some((place, bit)) => {
                let bit = number(bit, "bit")?;
                if bit > 15 {
                    return Err(format!("bit {bit} does not exist, a register has bits 0 to 15"));
                }
                (place, Some(bit as u8))
            }
        };
        let (area, start) = match place.split_once(':') {
            Some((area, start)) => {
                let area = RegisterArea::ALL
                    .into_iter()
                    .find(|known| known.as_str() == area)
                    .ok_or_else(|| format!("unknown area {area:?}; known are coil, discrete, input, holding"))?;
                let start = number(start, "address")?;
                (area, if zero_based { start } else { counted_from_one(start)? })
            }
            None => reference(place)?,
        };
        if start > 65_535 {
            return Err(format!("{area}:{start} is out of range, the last address is 65535"));
        }
        if bit.is_some() && area.is_bits() {
            return Err(format!("a {area} is one bit already; write {area}:{start} without .bit"));
        }
        Ok(Address { unit, area, start: start as u16, bit })
    }
}

/// Reads `40101`-style references: five digits, or six for all 65,536 addresses.
fn reference(text: &str) -> Result<(RegisterArea, u32), String> {
    let unknown = || {
        format!(
            "address {text:?} is neither area:number (holding:100, input:5, coil:7, discrete:7) nor a reference such as 40001 or 400001"
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

    fn parsed(text: &str, zero_based: bool) -> (Option<u8>, RegisterArea, u16, Option<u8>) {
        let Address { unit, area, start, bit } = Address::parse(text, zero_based).unwrap_or_else(|error| panic!("{text}: {error}"));
        (unit, area, start, bit)
    }

    #[test]
    fn all_documented_forms_are_read() {
        assert_eq!(parsed("holding:100", true), (None, RegisterArea::Holding, 100, None));
        assert_eq!(parsed("holding:100", false), (None, RegisterArea::Holding, 99, None));
        assert_eq!(parsed("holding:65536", false), (None, RegisterArea::Holding, 65_535, None));
        assert_eq!(parsed("2!input:5", true), (Some(2), RegisterArea::Input, 5, None));
        assert_eq!(parsed("coil:7", true), (None, RegisterArea::Coil, 7, None));
        assert_eq!(parsed("discrete:0", true), (None, RegisterArea::Discrete, 0, None));
        assert_eq!(parsed("holding:100.15", true), (None, RegisterArea::Holding, 100, Some(15)));
        for zero_based in [true, false] {
            assert_eq!(parsed("40001", zero_based), (None, RegisterArea::Holding, 0, None));
            assert_eq!(parsed("465536", zero_based), (None, RegisterArea::Holding, 65_535, None));
            assert_eq!(parsed("9!30010.2", zero_based), (Some(9), RegisterArea::Input, 9, Some(2)));
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
            ("holding:1.16", true, "bits 0 to 15"),
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
}
