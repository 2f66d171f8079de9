//! A scale factor that the device tells in a register of its own, as SunSpec devices do: `value = raw × 10^factor`. It is read in the
//! request that reads the value, so that a value is never scaled by the factor of another moment.

use std::str::FromStr;

use historian_collector::not_available::MissingValue;

/// Greatest power of ten that SunSpec knows; with a minus it is the least.
const POWER_MAX: u16 = 10;
/// What SunSpec devices hold where they have no factor.
const NOT_IMPLEMENTED: u16 = 0x8000;

/// Register of a scale factor, in the area and unit of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleFactor {
    pub address: u16,
    pub kind: FactorKind,
}

/// What the register of a scale factor holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FactorKind {
    /// A signed power of ten, -10 to 10.
    #[default]
    PowerOfTen,
    /// An unsigned number that the value is multiplied by.
    Multiplier,
}

impl FactorKind {
    /// Digits and power of ten of the factor in a register.
    ///
    /// # Errors
    /// There is no factor, and so no value.
    pub fn of(self, word: u16) -> Result<(i128, i32), MissingValue> {
        let power = word as i16;
        match self {
            FactorKind::PowerOfTen if word == NOT_IMPLEMENTED => {
                Err(MissingValue::Absent("0x8000 as scale factor, by which a device says that it has none".to_owned()))
            }
            FactorKind::PowerOfTen if power.unsigned_abs() <= POWER_MAX => Ok((1, i32::from(power))),
            FactorKind::PowerOfTen => {
                Err(MissingValue::OutOfRange(format!("{power} as scale factor, a power of ten from -{POWER_MAX} to {POWER_MAX}")))
            }
            FactorKind::Multiplier if word == 0 => {
                Err(MissingValue::OutOfRange("0 as scale factor, which would make every value 0".to_owned()))
            }
            FactorKind::Multiplier => Ok((i128::from(word), 0)),
        }
    }
}

impl FromStr for FactorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<FactorKind, String> {
        match text {
            "power-of-ten" => Ok(FactorKind::PowerOfTen),
            "multiplier" => Ok(FactorKind::Multiplier),
            _ => Err(format!("unknown kind of scale factor {text:?}; known are power-of-ten, multiplier")),
        }
    }
}

#[cfg(test)]
mod tests {
    use historian_model::Quality;

    use super::*;

    #[test]
    fn a_register_is_a_factor_or_says_why_it_is_none() {
        for (word, expected) in [(0, Ok(0)), (1, Ok(1)), (10, Ok(10)), (0xFFFF, Ok(-1)), (0xFFF6, Ok(-10))] {
            assert_eq!(FactorKind::PowerOfTen.of(word), expected.map(|power: i32| (1, power)));
        }
        for (word, quality) in [(0x8000, Quality::BAD_NO_DATA), (11, Quality::BAD_OUT_OF_RANGE), (0xFFF5, Quality::BAD_OUT_OF_RANGE)] {
            assert_eq!(FactorKind::PowerOfTen.of(word).unwrap_err().quality(), quality, "{word:x}");
        }
        assert_eq!(FactorKind::Multiplier.of(65_535), Ok((65_535, 0)));
        assert_eq!(FactorKind::Multiplier.of(0).unwrap_err().quality(), Quality::BAD_OUT_OF_RANGE);
        assert_eq!(("power-of-ten".parse(), "multiplier".parse()), (Ok(FactorKind::PowerOfTen), Ok(FactorKind::Multiplier)));
        assert!("sunssf".parse::<FactorKind>().unwrap_err().contains("power-of-ten, multiplier"));
    }
}
