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
    /// With at least so many before the point, and nothing of what is behind it.
    Whole { whole: usize },
    /// As a date or a time.
    Date,
    /// A hundred times as large.
    Percent,
    /// With letters before it, such as HR for a register.
    Worded,
    /// Otherwise than it is: in thousands, with signs between its digits, or not at all.
    Altered,
}

impl NumberShape {
    /// A format that has only a number, of those that need not be written down (ECMA-376 part 1, 18.8.30).
    fn known(id: u32) -> NumberShape {
        match id {
            1 | 3 | 5 | 6 | 37 | 38 | 41 | 42 => NumberShape::Whole { whole: 1 },
            2 | 4 | 7 | 8 | 39 | 40 | 43 | 44 => NumberShape::Filled { whole: 1, decimals: 2 },
            9 | 10 => NumberShape::Percent,
            14..=22 | 27..=36 | 45..=47 | 50..=58 => NumberShape::Date,
            _ => NumberShape::Plain,
        }
    }

    /// A format in letters, such as `0.00` or `dd.mm.yyyy`. Of several for several signs the first counts.
    fn of(code: &str) -> NumberShape {
        if code.trim().is_empty() {
            return NumberShape::Plain;
        }
        let mut seen = SeenFormat::default();
        let mut letters = code.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                ';' => break,
                '"' => letters.by_ref().take_while(|letter| *letter != '"').for_each(|letter| seen.literal(letter)),
                '\\' => letters.next().into_iter().for_each(|letter| seen.literal(letter)),
                // A blank as wide as a letter, or a letter that fills the cell.
                '_' | '*' => drop(letters.next()),
                '[' => {
                    let inside: String = letters.by_ref().take_while(|letter| *letter != ']').collect();
                    // A time longer than a day; otherwise a colour, a language, a condition.
                    if !inside.is_empty() && inside.chars().all(|letter| matches!(letter.to_ascii_lowercase(), 'h' | 'm' | 's')) {
                        return NumberShape::Date;
                    }
                }
                '%' => seen.percent = true,
                '0' | '#' | '?' => seen.digit_place(letter == '0'),
                '.' => seen.point(),
                ',' => seen.comma |= seen.digits > 0,
                // The format of what has none, in whatever language.
                'g' | 'G' => {
                    let rest: String = letters.clone().take(GENERAL.len()).collect();
                    if rest.eq_ignore_ascii_case(GENERAL) {
                        letters.nth(GENERAL.len() - 1);
                    }
                    seen.general = true;
                }
                '@' => seen.general = true,
                'e' | 'E' if seen.digits > 0 && matches!(letters.peek(), Some('+' | '-')) => {
                    letters.next();
                    seen.scientific = true;
                }
                // Twelfths, and the like.
                '/' => seen.fraction = true,
                'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => return NumberShape::Date,
                other => seen.literal(other),
            }
        }
        seen.shape()
    }
}

/// What follows the first letter of `General`.
const GENERAL: &str = "eneral";

/// What was seen of a format on the way through its first section.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may hold with any other")]
struct SeenFormat {
    /// Places of digits, those behind the point among them.
    digits: usize,
    decimals: usize,
    /// Places before and behind the point that are filled with zeros.
    whole_zeros: usize,
    decimal_zeros: usize,
    behind_point: bool,
    /// A sign stands behind a digit: between two of them it changes what is read.
    literal: bool,
    /// A comma stands behind a digit: between two it parts thousands, behind the last one it leaves them out.
    comma: bool,
    general: bool,
    percent: bool,
    worded: bool,
    altered: bool,
    scientific: bool,
    fraction: bool,
}

impl SeenFormat {
    fn digit_place(&mut self, is_zero: bool) {
        self.altered |= self.literal;
        self.comma = false;
        self.digits += 1;
        self.decimals += usize::from(self.behind_point);
        *(if self.behind_point { &mut self.decimal_zeros } else { &mut self.whole_zeros }) += usize::from(is_zero);
    }

    fn point(&mut self) {
        self.altered |= self.comma || self.literal || self.behind_point;
        self.behind_point = true;
    }

    /// A letter that is shown as it is.
    fn literal(&mut self, letter: char) {
        let has_number = self.digits > 0 || self.general;
        self.worded |= !has_number && letter.is_alphanumeric();
        // Blanks and apostrophes part thousands.
        self.literal |= has_number && !letter.is_whitespace() && !matches!(letter, '\'' | '\u{2019}');
    }

    fn shape(&self) -> NumberShape {
        match self {
            SeenFormat { percent: true, .. } => NumberShape::Percent,
            SeenFormat { worded: true, .. } => NumberShape::Worded,
            SeenFormat { altered: true, .. } | SeenFormat { comma: true, .. } | SeenFormat { digits: 0, general: false, .. } => {
                NumberShape::Altered
            }
            SeenFormat { scientific: true, .. } | SeenFormat { fraction: true, .. } | SeenFormat { digits: 0, .. } => NumberShape::Plain,
            SeenFormat { decimals: 0, .. } => NumberShape::Whole { whole: self.whole_zeros.min(DIGITS) },
            _ => NumberShape::Filled { whole: self.whole_zeros.min(DIGITS), decimals: self.decimal_zeros.min(DIGITS) },
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
    let (whole, decimals) = match shape {
        NumberShape::Filled { whole, decimals } => (whole, decimals),
        NumberShape::Whole { whole } => (whole, 0),
        _ => return Some(text),
    };
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
        let whole = |whole| NumberShape::Whole { whole };
        for (code, shape) in [
            ("General", NumberShape::Plain),
            ("@", NumberShape::Plain),
            ("", NumberShape::Plain),
            ("0", whole(1)),
            ("#,##0", whole(1)),
            ("# ##0", whole(1)),
            ("#\\ ##0.0", filled(1, 1)),
            ("#.###", filled(0, 0)),
            ("0.00E+00", NumberShape::Plain),
            ("# ?/?", NumberShape::Plain),
            ("00000", whole(5)),
            ("0.00", filled(1, 2)),
            ("#,##0.000_);[Red]\\(#,##0.00\\)", filled(1, 3)),
            ("0.0\" bar\"", filled(1, 1)),
            ("0\" bar\"", whole(1)),
            ("0\" HR1\"", whole(1)),
            ("General\" bar\"", NumberShape::Plain),
            ("[Red]GENERAL;-0", NumberShape::Plain),
            ("\"HR\"General", NumberShape::Worded),
            ("0\\!00000", NumberShape::Altered),
            ("00000\\.00", NumberShape::Altered),
            ("000-00", NumberShape::Altered),
            ("0\"1\"0", NumberShape::Altered),
            ("0.0\"/\".0", NumberShape::Altered),
            ("0,", NumberShape::Altered),
            ("#,##0,", NumberShape::Altered),
            ("0,.0", NumberShape::Altered),
            ("0.0,\" k\"", NumberShape::Altered),
            (";;;", NumberShape::Altered),
            ("\"--\"", NumberShape::Altered),
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
    fn formats_that_are_not_written_down_are_those_of_the_standard() {
        for id in [2, 4, 7, 8, 39, 40, 43, 44] {
            assert_eq!(NumberShape::known(id), NumberShape::Filled { whole: 1, decimals: 2 }, "{id}");
        }
        for id in [1, 3, 5, 6, 37, 38, 41, 42] {
            assert_eq!(NumberShape::known(id), NumberShape::Whole { whole: 1 }, "{id}");
        }
        for id in [0, 11, 12, 13, 48, 49] {
            assert_eq!(NumberShape::known(id), NumberShape::Plain, "{id}");
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
            ("1", NumberShape::Whole { whole: 5 }, "00001"),
            ("40001.4", NumberShape::Whole { whole: 1 }, "40001.4"),
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
