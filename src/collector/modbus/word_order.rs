//! Order in which the bytes of a value come over the wire.

use std::{fmt, str::FromStr};

/// Order of the bytes of a value on the wire, most significant `A`. For four registers the pattern goes on: `CDAB` is all words reversed,
/// `BADC` the bytes of every word swapped, `DCBA` everything reversed. One register knows only whether its bytes are swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WordOrder {
    #[default]
    Abcd,
    Cdab,
    Badc,
    Dcba,
}

impl WordOrder {
    pub const ALL: [WordOrder; 4] = [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];

    pub const fn as_str(self) -> &'static str {
        match self {
            WordOrder::Abcd => "ABCD",
            WordOrder::Cdab => "CDAB",
            WordOrder::Badc => "BADC",
            WordOrder::Dcba => "DCBA",
        }
    }

    pub const fn words_reversed(self) -> bool {
        matches!(self, WordOrder::Cdab | WordOrder::Dcba)
    }

    pub const fn bytes_swapped(self) -> bool {
        matches!(self, WordOrder::Badc | WordOrder::Dcba)
    }

    /// Words of a value, the most significant first, with their bytes in order.
    pub fn undone(self, words: &[u16]) -> impl DoubleEndedIterator<Item = u16> + '_ {
        let (reversed, swapped, last) = (self.words_reversed(), self.bytes_swapped(), words.len().wrapping_sub(1));
        (0..words.len()).map(move |place| {
            let word = words[if reversed { last - place } else { place }];
            if swapped { word.swap_bytes() } else { word }
        })
    }

    /// At most four words as one number.
    pub fn combined(self, words: &[u16]) -> u64 {
        self.undone(words).fold(0, |bits, word| bits << 16 | u64::from(word))
    }
}

impl FromStr for WordOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<WordOrder, String> {
        WordOrder::ALL.into_iter().find(|order| order.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let hint = meant(text).map_or(String::new(), |order| format!("; did you mean {order}?"));
            format!("unknown word order {text:?}; known are ABCD, CDAB, BADC, DCBA{hint}")
        })
    }
}

/// What others call it. "Little" alone is everything reversed to some and the words only to others; the first is what the word says.
fn meant(text: &str) -> Option<WordOrder> {
    let text = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    match text.as_str() {
        "big" | "big-endian" | "be" => Some(WordOrder::Abcd),
        "little" | "little-endian" | "le" => Some(WordOrder::Dcba),
        "big-swap" | "big-endian-swap" | "byte-swap" => Some(WordOrder::Badc),
        "little-swap" | "little-endian-swap" | "word-swap" => Some(WordOrder::Cdab),
        _ => WordOrder::ALL.into_iter().find(|order| order.as_str().eq_ignore_ascii_case(&text)),
    }
}

impl fmt::Display for WordOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_in_either_case() {
        for (order, text) in WordOrder::ALL.into_iter().zip(["ABCD", "CDAB", "BADC", "DCBA"]) {
            assert_eq!((order.to_string().as_str(), text.parse(), text.to_lowercase().parse()), (text, Ok(order), Ok(order)));
        }
        assert!("ABDC".parse::<WordOrder>().unwrap_err().contains("ABCD, CDAB"));
        for (text, meant) in [("big", "ABCD"), ("little", "DCBA"), ("Little-Endian", "DCBA"), ("big-swap", "BADC"), ("badc ", "BADC")] {
            assert!(text.parse::<WordOrder>().unwrap_err().contains(&format!("did you mean {meant}")), "{text}");
        }
    }
}
