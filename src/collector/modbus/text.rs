//! Texts in registers. Devices end a text with NUL, or fill it up with NUL, blanks or 0xFF, and leave the end of a line in it; none of this
//! is part of the text.

/// Two characters per register: text up to the first NUL. Bytes that are not UTF-8 are read as Latin-1, which older panels send. Registers
/// of which one byte is always empty hold one character each.
pub fn of_bytes(words: &[u16], bytes_swapped: bool) -> String {
    if let Some(characters) = one_per_register(words) {
        return trimmed(&String::from_utf16_lossy(&characters)).to_owned();
    }
    let bytes = words.iter().flat_map(|word| if bytes_swapped { word.to_le_bytes() } else { word.to_be_bytes() });
    let mut bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    while bytes.last().is_some_and(|byte| is_padding(char::from(*byte))) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    trimmed(&text).to_owned()
}

/// One character per register (UTF-16, of which ASCII and Latin-1 are a part): text up to the first empty register.
pub fn of_characters(words: &[u16], bytes_swapped: bool) -> String {
    let characters = words.iter().map(|word| if bytes_swapped { word.swap_bytes() } else { *word });
    let mut characters: Vec<u16> = characters.take_while(|character| *character != 0).collect();
    while characters.last() == Some(&0xFFFF) {
        characters.pop();
    }
    trimmed(&String::from_utf16_lossy(&characters)).to_owned()
}

/// The characters of registers that have something in only one byte, always the same one. Two at least: a single one may be what an earlier
/// text left behind.
fn one_per_register(words: &[u16]) -> Option<Vec<u16>> {
    let used = &words[..words.iter().position(|word| *word == 0).unwrap_or(words.len())];
    if used.len() < 2 {
        None
    } else if used.iter().all(|word| *word <= 0xFF) {
        Some(used.to_vec())
    } else if used.iter().all(|word| *word << 8 == 0) {
        Some(used.iter().map(|word| word >> 8).collect())
    } else {
        None
    }
}

fn is_padding(character: char) -> bool {
    matches!(character, '\0' | ' ' | '\t' | '\r' | '\n' | '\u{FF}')
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches(is_padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<u16> {
        bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])).collect()
    }

    #[test]
    fn what_fills_a_text_up_is_no_part_of_it() {
        for (bytes, expected) in [
            (&b"PA-1 \0BB"[..], "PA-1"),
            (b"PUMP\xFF\xFF\xFF\xFF", "PUMP"),
            (b"PUMPS\0\xFF\xFF", "PUMPS"),
            (b"K\xC3\xA4lte\xFF\xFF", "K\u{e4}lte"),
            (b"K\xE4lte\xFF", "K\u{e4}lte"),
            (b"RUN\r\n\0\0\0", "RUN"),
            (b"RUN \r\n\xFF", "RUN"),
            (b"RUN\t\xFF\xFF", "RUN"),
            (b"\xFF\xFF\xFF\xFF", ""),
            (b"  A B ", "  A B"),
            (b"\0\0\0\0", ""),
            (b"\xB0C", "\u{b0}C"),
        ] {
            assert_eq!(of_bytes(&words(bytes), false), expected, "{bytes:?}");
        }
        assert_eq!(of_bytes(&[0x4150, 0x0031], true), "PA1");
    }

    #[test]
    fn one_character_per_register_is_read_in_either_byte() {
        let low: Vec<u16> = "PUMP 7".encode_utf16().collect();
        let high: Vec<u16> = low.iter().map(|word| word << 8).collect();
        let padded = |words: &[u16], padding: &[u16]| [words, padding].concat();
        for swapped in [false, true] {
            assert_eq!(of_bytes(&padded(&low, &[0, 0]), swapped), "PUMP 7");
            assert_eq!(of_bytes(&padded(&high, &[0, 0]), swapped), "PUMP 7");
            assert_eq!(of_bytes(&padded(&low, &[0x20, 0x0D, 0x0A]), swapped), "PUMP 7");
        }
        assert_eq!(of_characters(&padded(&low, &[0xFFFF, 0xFFFF]), false), "PUMP 7");
        assert_eq!(of_characters(&high, true), "PUMP 7");
        assert_eq!(of_characters(&[0x41], false), "A");
        assert_eq!(of_characters(&[0x20AC, 0xB0], false), "\u{20ac}\u{b0}");
        // Two are enough, and the highest byte is a character, too.
        assert_eq!(of_bytes(&[0x4F, 0x4B, 0, 0x58], false), "OK");
        assert_eq!(of_bytes(&[0xFF, 0x41], false), "\u{ff}A");
        assert_eq!(of_characters(&[0x4F00, 0x4B00, 0, 0x5800], true), "OK");
        assert_eq!(of_bytes(&[0x0049, 0x4C4C], false), "", "an emptied text, and what is left of the one before");
    }
}
