//! Texts in registers. Devices end a text with NUL or 0xFF, or fill it up with NUL, blanks or 0xFF, and leave the end of a line in it; none
//! of this is part of the text.

use super::{format::CharacterFormat, word_order::WordOrder};

/// Text of registers.
pub fn of(format: CharacterFormat, words: &[u16], order: WordOrder) -> String {
    let words: Vec<u16> = order.undone(words).collect();
    match format {
        CharacterFormat::Bytes => of_registers(&words),
        CharacterFormat::LowBytes => of_bytes(words.iter().map(|word| *word as u8)),
        CharacterFormat::HighBytes => of_bytes(words.iter().map(|word| (word >> 8) as u8)),
        CharacterFormat::Characters => of_characters(&words),
    }
}

/// Two characters per register, or one where the same byte of every register is empty. Two registers are needed to say so: a single one may
/// be what an earlier text left behind.
fn of_registers(words: &[u16]) -> String {
    let used = &words[..words.iter().position(|word| *word == 0).unwrap_or(words.len())];
    if used.len() >= 2 && used.iter().all(|word| *word <= 0xFF) {
        of_bytes(used.iter().map(|word| *word as u8))
    } else if used.len() >= 2 && used.iter().all(|word| *word << 8 == 0) {
        of_bytes(used.iter().map(|word| (word >> 8) as u8))
    } else {
        of_bytes(words.iter().flat_map(|word| word.to_be_bytes()))
    }
}

/// Text up to the first NUL or 0xFF, which no character of UTF-8 has. Bytes that are not UTF-8 are read as Latin-1, which older panels send.
fn of_bytes(bytes: impl Iterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.take_while(|byte| !matches!(byte, 0 | 0xFF)).collect();
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    trimmed(&text).to_owned()
}

/// One character per register (UTF-16, of which ASCII and Latin-1 are a part): text up to the first register that is empty or 0xFFFF.
fn of_characters(words: &[u16]) -> String {
    let characters: Vec<u16> = words.iter().copied().take_while(|character| !matches!(character, 0 | 0xFFFF)).collect();
    trimmed(&String::from_utf16_lossy(&characters)).to_owned()
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches([' ', '\t', '\r', '\n'])
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
            (b"PUMP\xFFOLD", "PUMP"),
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
            assert_eq!(of(CharacterFormat::Bytes, &words(bytes), WordOrder::Abcd), expected, "{bytes:?}");
        }
        assert_eq!(of(CharacterFormat::Bytes, &[0x4150, 0x0031], WordOrder::Badc), "PA1");
        assert_eq!(of(CharacterFormat::Bytes, &[0x3100, 0x5041], WordOrder::Cdab), "PA1");
        assert_eq!(of(CharacterFormat::Bytes, &[0x0031, 0x4150], WordOrder::Dcba), "PA1");
    }

    #[test]
    fn one_character_per_register_is_read_in_either_byte() {
        let low: Vec<u16> = "PUMP 7".encode_utf16().collect();
        let high: Vec<u16> = low.iter().map(|word| word << 8).collect();
        let padded = |words: &[u16], padding: &[u16]| [words, padding].concat();
        for order in [WordOrder::Abcd, WordOrder::Badc] {
            assert_eq!(of(CharacterFormat::Bytes, &padded(&low, &[0, 0]), order), "PUMP 7");
            assert_eq!(of(CharacterFormat::Bytes, &padded(&high, &[0, 0]), order), "PUMP 7");
        }
        assert_eq!(of(CharacterFormat::Bytes, &padded(&low, &[0x20, 0x0D, 0x0A]), WordOrder::Abcd), "PUMP 7");
        let is = |format, words: &[u16]| of(format, words, WordOrder::Abcd);
        assert_eq!(is(CharacterFormat::Characters, &padded(&low, &[0xFFFF, 0xFFFF])), "PUMP 7");
        assert_eq!(of(CharacterFormat::Characters, &high, WordOrder::Badc), "PUMP 7");
        assert_eq!(is(CharacterFormat::Characters, &[0x41]), "A");
        assert_eq!(is(CharacterFormat::Characters, &[0x20AC, 0xB0, 0xFF, 0xFFFF, 0x41]), "\u{20ac}\u{b0}\u{ff}");
        // Two are enough.
        assert_eq!(is(CharacterFormat::Bytes, &[0x4F, 0x4B, 0, 0x58]), "OK");
        assert_eq!(is(CharacterFormat::Bytes, &[0x0049, 0x4C4C]), "", "an emptied text, and what is left of the one before");
        // Where it is said which byte counts, the other may hold anything.
        assert_eq!(is(CharacterFormat::LowBytes, &[0x8150, 0x8255, 0x834D, 0x8450, 0x0100, 0x0158]), "PUMP");
        assert_eq!(is(CharacterFormat::HighBytes, &[0x5081, 0x5582, 0x4D83, 0x5084, 0xFF01, 0x5801]), "PUMP");
        assert_eq!(is(CharacterFormat::LowBytes, &[0x41, 0xFF]), "A");
        assert_eq!(of(CharacterFormat::HighBytes, &[0x41, 0xFF], WordOrder::Badc), "A", "bytes are swapped before one is taken");
    }
}
