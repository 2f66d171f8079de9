//! Changes to a message of protobuf that leave the lengths around them right, so that decoders look at what was changed.

use std::ops::Range;

use crate::random::Random;

const VARINT: u64 = 0;
const BYTES: u64 = 2;
/// Messages within messages that are looked at.
const DEPTH_MAX: usize = 8;

struct Field {
    wire: u64,
    /// Behind the key; of bytes behind their length, too.
    content: Range<usize>,
    all: Range<usize>,
}

/// A number at an edge of what decoders count with.
pub fn extreme(random: &mut Random) -> u64 {
    let power = 1_u64 << random.below(64);
    match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX >> random.below(64),
        3 => power - 1,
        4 => power + 1,
        5 => power.wrapping_neg(),
        6 => random.number() >> random.below(64),
        _ => power,
    }
}

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The message with one field changed, at any depth; `None` where the bytes are no message.
pub fn changed(random: &mut Random, message: &[u8]) -> Option<Vec<u8>> {
    changed_at(random, message, 0)
}

fn changed_at(random: &mut Random, message: &[u8], depth: usize) -> Option<Vec<u8>> {
    let fields = fields(message)?;
    let field = random.one_of(&fields)?;
    let own = &message[field.all.clone()];
    let key = |content: &Field| match content.wire {
        BYTES => read_varint(message, content.all.start).map_or(content.all.start, |(_, end)| end),
        _ => content.content.start,
    };
    let head = &message[field.all.start..key(field)];
    let new = match random.below(8) {
        0 => Vec::new(),
        1 => own.repeat(random.up_to_power(10)),
        2 => {
            // Another field before it, once more.
            let other = random.one_of(&fields)?;
            [&message[other.all.clone()], own].concat()
        }
        3 if field.wire == VARINT => [head, &varint(extreme(random))].concat(),
        4 if field.wire == BYTES => {
            // The message within itself.
            let inner = [head, &varint(own.len() as u64), own].concat();
            [head, &varint(inner.len() as u64), &inner].concat()
        }
        _ if field.wire == BYTES => {
            let content = &message[field.content.clone()];
            let within = if depth < DEPTH_MAX && !random.one_in(3) { changed_at(random, content, depth + 1) } else { None };
            let content = within.unwrap_or_else(|| touched(random, content));
            [head, &varint(content.len() as u64), &content].concat()
        }
        _ => touched(random, own),
    };
    Some([&message[..field.all.start], &new, &message[field.all.end..]].concat())
}

/// Bytes with one of them changed, or with fewer or more of them.
fn touched(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = random.below(bytes.len() + 1);
    match random.below(4) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.byte()),
        2 => bytes = bytes.repeat(random.up_to_power(8)),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
    bytes
}

fn fields(message: &[u8]) -> Option<Vec<Field>> {
    let (mut fields, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let (key, behind) = read_varint(message, at)?;
        let wire = key & 7;
        let content = match wire {
            VARINT => behind..read_varint(message, behind)?.1,
            1 => behind..behind + 8,
            BYTES => {
                let (length, behind) = read_varint(message, behind)?;
                behind..behind.checked_add(usize::try_from(length).ok()?)?
            }
            5 => behind..behind + 4,
            _ => return None,
        };
        if content.end > message.len() {
            return None;
        }
        let all = at..content.end;
        at = all.end;
        fields.push(Field { wire, content, all });
    }
    Some(fields)
}

fn read_varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            return Some((number, at + index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_message_mostly_still_is_one() {
        // { 1: "abc", 2: { 1: 5, 3: "x" }, 4: 300, 5: fixed32 }
        let message = b"\x0A\x03abc\x12\x05\x08\x05\x1A\x01x\x20\xAC\x02\x2D\x01\x02\x03\x04";
        let mut random = Random::new(1, 1);
        let mut sound = 0;
        for _ in 0..1_000 {
            let changed = changed(&mut random, message).unwrap();
            sound += usize::from(fields(&changed).is_some());
        }
        assert!(sound > 800, "{sound}");
        assert!(changed(&mut random, b"\x0A\x09abc").is_none());
        for number in [0, 1, 127, 128, 300, u64::MAX] {
            let bytes = varint(number);
            assert_eq!(read_varint(&bytes, 0), Some((number, bytes.len())));
        }
    }
}
