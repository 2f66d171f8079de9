//! `structure` of Home Assistant: what lies in registers, in the letters of Python's `struct`.

/// A value of a structure.
#[derive(Debug, PartialEq, Eq)]
pub struct StructureField {
    /// First register, counted from that of the structure.
    pub register: u16,
    pub format: String,
    pub registers: u16,
}

/// The values of a structure, and whether the bytes of all are reversed.
///
/// # Errors
/// Why it has no such values.
pub fn read(structure: &str) -> Result<(Vec<StructureField>, bool), String> {
    let text = structure.trim();
    let (is_little, letters) = match text.chars().next() {
        Some('>' | '!') => (false, &text[1..]),
        Some('<') => (true, &text[1..]),
        // The order of the machine, with gaps that depend on it.
        Some('@' | '=') => return Err(format!("the structure {structure:?} has the order of the machine; write > or <")),
        _ => return Err(format!("the structure {structure:?} says no order; write > or <")),
    };
    let (mut fields, mut bytes, mut count) = (Vec::new(), 0_u16, None::<u16>);
    for letter in letters.chars().filter(|letter| !letter.is_whitespace()) {
        if bytes > 250 {
            return Err("the structure is longer than a request".to_owned());
        }
        if let Some(digit) = letter.to_digit(10) {
            let longer = count.unwrap_or_default().checked_mul(10).and_then(|count| count.checked_add(digit as u16));
            count = Some(longer.filter(|count| *count <= 250).ok_or("a count of the structure is too large")?);
            continue;
        }
        let times = count.take();
        let kind = match letter {
            'x' => {
                bytes += times.unwrap_or(1);
                continue;
            }
            's' => {
                let characters = times.unwrap_or(1);
                if bytes % 2 != 0 || characters % 2 != 0 {
                    return Err("a text of the structure does not fill whole registers".to_owned());
                }
                fields.push(StructureField {
                    register: bytes / 2,
                    format: format!("string:{}", characters / 2),
                    registers: characters / 2,
                });
                bytes += characters;
                continue;
            }
            'b' | 'B' => {
                for _ in 0..times.unwrap_or(1) {
                    // Registers are big-endian: their first byte is the high one.
                    let half = if bytes % 2 == 0 { "high" } else { "low" };
                    let sign = if letter == 'b' { 'i' } else { 'u' };
                    fields.push(StructureField { register: bytes / 2, format: format!("{sign}8-{half}"), registers: 1 });
                    bytes += 1;
                }
                continue;
            }
            'h' => ("i16", 1),
            'H' => ("u16", 1),
            'i' | 'l' => ("i32", 2),
            'I' | 'L' => ("u32", 2),
            'q' => ("i64", 4),
            'Q' => ("u64", 4),
            'e' => ("f16", 1),
            'f' => ("f32", 2),
            'd' => ("f64", 4),
            other => return Err(format!("the structure {structure:?} has the letter {other:?}, which is not known")),
        };
        for _ in 0..times.unwrap_or(1) {
            if bytes % 2 != 0 {
                return Err("a value of the structure begins within a register".to_owned());
            }
            fields.push(StructureField { register: bytes / 2, format: kind.0.to_owned(), registers: kind.1 });
            bytes += kind.1 * 2;
        }
    }
    if bytes > 250 {
        return Err("the structure is longer than a request".to_owned());
    }
    if fields.is_empty() { Err(format!("the structure {structure:?} has no value")) } else { Ok((fields, is_little)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(structure: &str) -> Result<String, String> {
        let (fields, is_little) = read(structure)?;
        let fields: Vec<String> = fields.iter().map(|field| format!("{}:{}", field.register, field.format)).collect();
        Ok(format!("{}{}", if is_little { "little " } else { "" }, fields.join(" ")))
    }

    #[test]
    fn letters_of_struct_are_our_formats() {
        for (structure, expected) in [
            (">f", "0:f32"),
            ("<I", "little 0:u32"),
            (">2h", "0:i16 1:i16"),
            (">h4xq", "0:i16 3:i64"),
            (">8s", "0:string:4"),
            (">Bb", "0:u8-high 0:i8-low"),
        ] {
            assert_eq!(told(structure).as_deref(), Ok(expected), "{structure}");
        }
        for structure in ["f", "@f", ">", ">Bf", ">3s", ">P", ">9999f", ">200q"] {
            assert!(told(structure).is_err(), "{structure}");
        }
    }
}
