//! A canary: a text or key that nothing else in the world has, in every form in which a program may write it down.

use std::collections::BTreeSet;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};

use crate::oracle::Dice;

/// Where it must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token, password or key: nowhere.
    Credential,
    /// Text or parameters of an SQL statement: not above `TRACE`.
    Statement,
    /// A sample: in the store, and in answers to who asks for it.
    Sample,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Canary {
    pub name: String,
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

/// A form of a canary, as it is looked for.
#[derive(Clone, Debug)]
pub struct Form {
    pub name: &'static str,
    /// Any of these.
    pub texts: Vec<Vec<u8>>,
}

/// Bytes of a part that is as good as the whole: what is cut short, and what a dump has in one of its lines.
const PART_BYTES: usize = 10;

impl Canary {
    pub fn new(name: impl Into<String>, kind: Kind, bytes: impl Into<Vec<u8>>) -> Canary {
        Canary { name: name.into(), kind, bytes: bytes.into() }
    }

    /// A text of this seed.
    pub fn made(name: &str, kind: Kind, dice: &mut Dice) -> Canary {
        Canary::new(name, kind, word(dice))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Every form that is another one than those before.
    pub fn forms(&self) -> Vec<Form> {
        let bytes = self.bytes.as_slice();
        let each = |write: fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<Vec<_>>();
        let percent = |byte: u8| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") }
        };
        let mut forms = vec![
            ("raw", bytes.to_vec()),
            ("hexadecimal", each(|byte| format!("{byte:02x}")).concat().into_bytes()),
            ("hexadecimal, capitals", each(|byte| format!("{byte:02X}")).concat().into_bytes()),
            ("percent-encoded", each(percent).concat().into_bytes()),
            ("percent-encoded as a whole", each(|byte| format!("%{byte:02x}")).concat().into_bytes()),
            ("percent-encoded as a whole, capitals", each(|byte| format!("%{byte:02X}")).concat().into_bytes()),
            // As Rust shows bytes and texts.
            ("numbers", each(|byte| byte.to_string()).join(", ").into_bytes()),
            ("escaped", bytes.escape_ascii().to_string().into_bytes()),
        ];
        for before in 0..3 {
            forms.push((
                ["base64", "base64 behind one byte", "base64 behind two bytes"][before],
                shifted(&BASE64_STANDARD_NO_PAD, before, bytes),
            ));
            forms.push((
                ["base64url", "base64url behind one byte", "base64url behind two bytes"][before],
                shifted(&BASE64_URL_SAFE_NO_PAD, before, bytes),
            ));
        }
        let mut known = BTreeSet::new();
        forms.retain(|(_, bytes)| known.insert(bytes.clone()));
        let mut forms: Vec<Form> = forms.into_iter().map(|(name, bytes)| Form { name, texts: vec![bytes] }).collect();
        let dumped = |part: &[u8], write: fn(&u8) -> String| part.iter().map(write).collect::<Vec<_>>().join(" ").into_bytes();
        let parts = || bytes.windows(PART_BYTES);
        forms.push(Form { name: "a part", texts: parts().map(<[u8]>::to_vec).collect() });
        forms.push(Form { name: "a part in a dump", texts: parts().map(|part| dumped(part, |byte| format!("{byte:02x}"))).collect() });
        forms.push(Form {
            name: "a part in a dump, capitals",
            texts: parts().map(|part| dumped(part, |byte| format!("{byte:02X}"))).collect(),
        });
        forms
    }
}

/// What of a text in base64 is due to these bytes alone, where so many stand before them and any behind.
fn shifted(alphabet: &impl Engine, before: usize, bytes: &[u8]) -> Vec<u8> {
    let text = alphabet.encode([&[0; 2][..before], bytes].concat()).into_bytes();
    // A letter has six bits; those that a letter shares with a neighbour are left away.
    let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    text[from..to].to_vec()
}

/// Letters and digits that no text has by chance.
pub fn word(dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    (0..28).map(|_| char::from(LETTERS[dice.below(LETTERS.len() as u64) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_base64_whatever_stands_around_it() {
        let canary = Canary::new("c", Kind::Credential, "Some-secret_text?4711");
        for before in 0..7 {
            for behind in 0..4 {
                let whole = [&b"xyzzy42"[..before], &canary.bytes, &b"next"[..behind]].concat();
                for text in [BASE64_STANDARD_NO_PAD.encode(&whole), BASE64_URL_SAFE_NO_PAD.encode(&whole)] {
                    let has = |part: &Vec<u8>| text.as_bytes().windows(part.len()).any(|window| window == part);
                    let is_in = |form: &Form| form.texts.iter().any(has);
                    assert!(canary.forms().iter().any(is_in), "{before} {behind}: {text}");
                }
            }
        }
    }

    #[test]
    fn forms_are_those_of_other_programs() {
        let forms = Canary::new("c", Kind::Credential, "a/b\u{1}").forms();
        let form = |name: &str| forms.iter().find(|form| form.name == name).map(|form| String::from_utf8(form.texts[0].clone()).unwrap());
        for (name, text) in [
            ("hexadecimal", "612f6201"),
            ("percent-encoded", "a%2Fb%01"),
            ("percent-encoded as a whole", "%61%2f%62%01"),
            ("numbers", "97, 47, 98, 1"),
            ("escaped", "a/b\\x01"),
        ] {
            assert_eq!(form(name).as_deref(), Some(text));
        }
    }
}
