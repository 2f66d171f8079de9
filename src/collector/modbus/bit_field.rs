//! Some neighbouring bits of an unsigned number in one to four registers: `holding:100.3`, `holding:100.4-7`.

use std::fmt;

/// Bits `first` to `last`, both included, of the number that the registers make; 0 is the least significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitField {
    /// 1 to 4.
    pub registers: u8,
    pub first: u8,
    /// Not below `first`, and in the registers.
    pub last: u8,
}

impl BitField {
    /// `None` when the registers do not have the bits.
    pub fn new(registers: u16, first: u8, last: u8) -> Option<BitField> {
        let registers = u8::try_from(registers).ok().filter(|registers| (1..=4).contains(registers))?;
        (first <= last && last < registers * 16).then_some(BitField { registers, first, last })
    }

    /// Number of bits, 1 to 64.
    pub const fn width(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// The bits as a number.
    pub const fn of(self, number: u64) -> u64 {
        number >> self.first & u64::MAX >> (64 - self.width())
    }
}

impl fmt::Display for BitField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BitField { registers, first, last } = self;
        if first == last {
            write!(f, "bit {first}")?;
        } else {
            write!(f, "bits {first}-{last}")?;
        }
        if *registers > 1 { write!(f, " of u{}", u32::from(*registers) * 16) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_least_significant() {
        for (registers, first, last, number, expected, text) in [
            (1, 0, 0, 0b101, 1, "bit 0"),
            (1, 1, 1, 0b101, 0, "bit 1"),
            (1, 15, 15, 0x8000, 1, "bit 15"),
            (1, 4, 7, 0xABCD, 0xC, "bits 4-7"),
            (1, 0, 15, 0xABCD, 0xABCD, "bits 0-15"),
            (2, 12, 19, 0x1234_5678, 0x45, "bits 12-19 of u32"),
            (3, 47, 47, 1 << 47, 1, "bit 47 of u48"),
            (4, 0, 63, u64::MAX, u64::MAX, "bits 0-63 of u64"),
        ] {
            let field = BitField::new(registers, first, last).unwrap();
            assert_eq!((field.of(number), field.to_string().as_str()), (expected, text));
        }
        for (registers, first, last) in [(1, 0, 16), (2, 3, 32), (1, 5, 4), (0, 0, 0), (5, 0, 1)] {
            assert_eq!(BitField::new(registers, first, last), None);
        }
    }
}
