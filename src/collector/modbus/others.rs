//! Addresses as other programs write them, for messages: nothing here is taken, it is only answered with our notation.

/// What others call our areas, in lower case and without the word "register".
const AREAS: [(&str, &[&str]); 4] = [
    ("holding", &["holding", "holdings", "hr", "h", "hreg", "4x", "mw"]),
    ("input", &["input", "inputs", "ir", "ireg", "iw", "3x"]),
    ("coil", &["coil", "coils", "co", "c", "0x"]),
    ("discrete", &["discrete", "discretes", "di", "discreteinput", "contact", "1x"]),
];

/// The area that is meant by a word before a colon.
pub fn area(word: &str) -> Option<&'static str> {
    let word = word.trim().to_ascii_lowercase().replace(['_', '-', ' '], "");
    let word = word.trim_end_matches("registers").trim_end_matches("register");
    AREAS.into_iter().find(|(_, others)| others.contains(&word)).map(|(area, _)| area)
}

/// The number that `0x64` or `64h` means.
pub fn hexadecimal(text: &str) -> Option<u16> {
    let text = text.trim().to_ascii_lowercase();
    u16::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_suffix('h'))?, 16).ok()
}

/// What a whole address without a colon means: `4x0102`, `0x64`, `%MW100`, `HR100`, `100`.
pub fn whole(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    if let Some((area @ ("1" | "3" | "4"), digits)) = text.split_once('x') {
        return reference(area, digits);
    }
    if let Some(number) = hexadecimal(&text) {
        return Some(format!("holding:{number}"));
    }
    let word = text.trim_start_matches('%');
    let digits = word.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let number: u16 = digits.parse().ok()?;
    let area = match &word[..word.len() - digits.len()] {
        "" => "holding",
        letters => area(letters)?,
    };
    Some(format!("{area}:{number}"))
}

/// `4x0102` counts from 1 as `40102` does.
fn reference(area: &str, digits: &str) -> Option<String> {
    let number: u32 = digits.parse().ok()?;
    match digits.len() {
        5 if (1..=65_536).contains(&number) => Some(format!("{area}{number:05}")),
        1..=4 if number > 0 => Some(format!("{area}{number:04}")),
        _ => None,
    }
}
