//! How a sheet shows its numbers: what a person read when the list was made.
//!
//! A cell has a number, and the style of the cell a format. Two of these matter here. A number that is shown as a date is often no date: a
//! spreadsheet program takes 1/10 for one. And zeros that a format adds belong to what is meant: the bit 10 in 40001.10, the coil 00001.

use super::part::{XmlStep, XmlWalk};

/// Kinds of cells that a workbook may define.
const STYLES_MAX: usize = 100_000;
/// Digits of a number that a spreadsheet program shows, and keeps of what is typed.
const DIGITS: usize = 15;

/// How a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberShape {
    /// With as many digits as it has.
    Plain,
    /// With at least so many before and behind the point.
    Filled { whole: usize, decimals: usize },
    /// As a date or a time.
    Date,
    /// A hundred times as large.
    Percent,
    /// With letters before it, such as HR for a register.
    Worded,
}

impl NumberShape {
    /// A format that has only a number, of those that need not be written down (ECMA-376 part 1, 18.8.30).
    fn known(id: u32) -> NumberShape {
        match id {
            2 | 4 | 39 | 40 => NumberShape::Filled { whole: 1, decimals: 2 },
            9 | 10 => NumberShape::Percent,
            14..=22 | 27..=36 | 45..=47 | 50..=58 => NumberShape::Date,
            _ => NumberShape::Plain,
        }
    }

    /// A format in letters, such as `0.00` or `dd.mm.yyyy`. Of several for several signs the first counts.
    fn of(code: &str) -> NumberShape {
        let (mut whole, mut decimals, mut behind_point, mut digits_seen) = (0, 0, false, false);
        let (mut percent, mut worded, mut scientific) = (false, false, false);
        let mut letters = code.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                ';' => break,
                '"' => {
                    let quoted: String = letters.by_ref().take_while(|letter| *letter != '"').collect();
                    worded |= !digits_seen && quoted.chars().any(char::is_alphanumeric);
                }
                '\\' => worded |= letters.next().is_some_and(char::is_alphanumeric) && !digits_seen,
                // A blank as wide as a letter, or a letter that fills the cell.
                '_' | '*' => drop(letters.next()),
                '[' => {
                    let inside: String = letters.by_ref().take_while(|letter| *letter != ']').collect();
                    // A time longer than a day; otherwise a colour, a language, a condition.
                    if !inside.is_empty() && inside.chars().all(|letter| matches!(letter.to_ascii_lowercase(), 'h' | 'm' | 's')) {
                        return NumberShape::Date;
                    }
                }
                '%' => percent = true,
                '0' | '#' | '?' => {
                    digits_seen = true;
                    let zeros = usize::from(letter == '0');
                    if behind_point { decimals += zeros } else { whole += zeros }
                }
                '.' => behind_point = true,
                'e' | 'E' if digits_seen && matches!(letters.peek(), Some('+' | '-')) => scientific = true,
                'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => return NumberShape::Date,
                _ => {}
            }
        }
        match (percent, worded, whole, decimals) {
            (true, ..) => NumberShape::Percent,
            (_, true, ..) => NumberShape::Worded,
            (.., 0 | 1, 0) => NumberShape::Plain,
            _ if scientific => NumberShape::Plain,
            _ => NumberShape::Filled { whole: whole.min(DIGITS), decimals: decimals.min(DIGITS) },
        }
    }
}

/// The shapes of the styles of cells, in the order of their numbers.
///
/// # Errors
/// The part cannot be understood.
pub fn shapes(name: &str, text: &str) -> Result<Vec<NumberShape>, String> {
    let mut walk = XmlWalk::new(name, text, "styleSheet")?;
    let mut own = std::collections::HashMap::new();
    let (mut shapes, mut within) = (Vec::new(), false);
    while let Some(step) = walk.step()? {
        match step {
            XmlStep::Open(element) => match element.name.as_str() {
                "numFmt" => {
                    if let (Some(id), Some(code)) = (element.attribute("numFmtId")?, element.attribute("formatCode")?) {
                        own.insert(id, NumberShape::of(&code));
                    }
                }
                "cellXfs" => within = true,
                "xf" if within => {
                    let id = element.attribute("numFmtId")?.unwrap_or_default();
                    shapes.push(own.get(&id).copied().unwrap_or_else(|| NumberShape::known(id.parse().unwrap_or_default())));
                }
                _ => {}
            },
            XmlStep::Close(name) if name == "cellXfs" => within = false,
            _ => {}
        }
        if shapes.len().max(own.len()) > STYLES_MAX {
            return Err(walk.broken(&format!("it has more than {STYLES_MAX} styles")));
        }
    }
    Ok(shapes)
}

/// A number as it is shown, but with all its digits; `None` for what is no number.
pub fn shown(number: &str, shape: NumberShape) -> Option<String> {
    let parsed = number.parse::<f64>().ok().filter(|parsed| parsed.is_finite())?;
    let is_whole = number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    // 0.1 is written as 0.10000000000000001, and 3 times 0.1 as 0.30000000000000004.
    let text = if is_whole { number.to_owned() } else { format!("{parsed:.*e}", DIGITS - 1).parse::<f64>().ok()?.to_string() };
    let NumberShape::Filled { whole, decimals } = shape else { return Some(text) };
    let (sign, bare) = text.strip_prefix('-').map_or(("", text.as_str()), |bare| ("-", bare));
    let (before, behind) = bare.split_once('.').unwrap_or((bare, ""));
    let point = if behind.is_empty() && decimals == 0 { "" } else { "." };
    Some(format!("{sign}{before:0>whole$}{point}{behind:0<decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_numbers_dates_percents_or_words() {
        let filled = |whole, decimals| NumberShape::Filled { whole, decimals };
        for (code, shape) in [
            ("General", NumberShape::Plain),
            ("@", NumberShape::Plain),
            ("0", NumberShape::Plain),
            ("#,##0", NumberShape::Plain),
            ("0.00E+00", NumberShape::Plain),
            ("# ?/?", NumberShape::Plain),
            ("00000", filled(5, 0)),
            ("0.00", filled(1, 2)),
            ("#,##0.000_);[Red]\\(#,##0.00\\)", filled(1, 3)),
            ("0.0\" bar\"", filled(1, 1)),
            ("0\" bar\"", NumberShape::Plain),
            ("\"HR\"0", NumberShape::Worded),
            ("\\H\\R0", NumberShape::Worded),
            ("[$-407]dd. mmm yyyy", NumberShape::Date),
            ("[h]:mm", NumberShape::Date),
            ("mm:ss.0", NumberShape::Date),
            ("0.0%", NumberShape::Percent),
        ] {
            assert_eq!(NumberShape::of(code), shape, "{code}");
        }
    }

    #[test]
    fn numbers_are_what_was_typed() {
        let filled = |whole, decimals| NumberShape::Filled { whole, decimals };
        for (number, shape, expected) in [
            ("40001", NumberShape::Plain, "40001"),
            ("40001.0", NumberShape::Plain, "40001"),
            ("4.0001E4", NumberShape::Plain, "40001"),
            ("0.10000000000000001", NumberShape::Plain, "0.1"),
            ("0.30000000000000004", NumberShape::Plain, "0.3"),
            ("9007199254740993", NumberShape::Plain, "9007199254740993"),
            ("40001.1", filled(1, 2), "40001.10"),
            ("0.125", filled(1, 2), "0.125"),
            ("1", filled(5, 0), "00001"),
            ("-1.5", filled(3, 2), "-001.50"),
            ("-0.00001", NumberShape::Plain, "-0.00001"),
        ] {
            assert_eq!(shown(number, shape).as_deref(), Some(expected), "{number}");
        }
        for none in ["", "NaN", "inf", "1,5", "x"] {
            assert_eq!(shown(none, NumberShape::Plain), None, "{none}");
        }
    }
}
