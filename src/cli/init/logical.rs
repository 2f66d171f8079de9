//! Addresses of an S7 as the tag tables of TIA Portal have them, and what its block `MB_SERVER` makes of them.
//!
//! Inputs and outputs have a fixed place: bit x.y of the inputs is discrete input 8x + y, of the outputs coil 8x + y, and the word that begins at byte
//! n of the inputs is input register n / 2. Which memory or data block the holding registers are, is said by `MB_HOLD_REG`, and not by a list of tags.

use super::cell::CellAddress;

/// Reads `%I0.3`, `%Q1.7`, `%IW64`, `%ID68`, with the German letters too.
///
/// # Errors
/// It is none, or has no place that a list tells.
pub fn address(text: &str) -> Result<CellAddress, String> {
    let upper: String = text.trim().trim_start_matches('%').to_uppercase().chars().filter(|c| !c.is_whitespace()).collect();
    let none = || format!("{text:?} is no address of an S7, such as %I0.3, %Q0.3 or %IW64");
    let area = upper.chars().next().ok_or_else(none)?;
    if upper.starts_with('M') || upper.starts_with("DB") {
        return Err(format!("which register {text} is depends on MB_HOLD_REG of the MB_SERVER; write the number of the register instead"));
    }
    let rest = &upper[area.len_utf8()..];
    let place = |place: String, is_bits: bool| CellAddress { place, is_bits, bit: None, is_reference: false, is_plain: false };
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|number| *number < 65_536).ok_or_else(none);
    match (area, rest.split_once('.')) {
        ('I' | 'E' | 'Q' | 'A', Some((byte, bit))) => {
            let (byte, bit) = (number(byte)?, number(bit)?);
            if bit > 7 || byte > 8191 {
                return Err(none());
            }
            let area = if matches!(area, 'I' | 'E') { "discrete" } else { "coil" };
            Ok(place(format!("{area}:{}", byte * 8 + bit), true))
        }
        ('I' | 'E', None) => {
            let byte = number(rest.strip_prefix(['W', 'D']).ok_or_else(none)?)?;
            if byte % 2 != 0 {
                return Err(format!("{text} begins within a register"));
            }
            Ok(place(format!("input:{}", byte / 2), false))
        }
        ('Q' | 'A', None) => Err(format!("words of outputs such as {text} have no register in an MB_SERVER")),
        _ => Err(none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_outputs_have_their_place_and_memory_has_none() {
        let of = |text: &str| address(text).map(|found| (found.place, found.is_bits));
        for (text, expected, is_bits) in [
            ("%I0.3", "discrete:3", true),
            ("%E 10.7", "discrete:87", true),
            ("%Q1.0", "coil:8", true),
            ("A0.0", "coil:0", true),
            ("%IW64", "input:32", false),
            ("%ED68", "input:34", false),
        ] {
            assert_eq!(of(text), Ok((expected.to_owned(), is_bits)), "{text}");
        }
        for (text, part) in [
            ("%MW100", "MB_HOLD_REG"),
            ("%DB1.DBW4", "MB_HOLD_REG"),
            ("%IW65", "within a register"),
            ("%QW2", "no register"),
            ("%I0.8", "no address"),
            ("", "no address"),
        ] {
            assert!(of(text).unwrap_err().contains(part), "{text}");
        }
    }
}
