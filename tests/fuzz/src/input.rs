//! Inputs: the seeds of a target, and what becomes of them when some of their bytes are changed. Seed and number determine each input, so a
//! finding is replayed by its number.

use crate::{protobuf, random::Random};

/// Longest input. What a short one can make a decoder take is the question.
pub const INPUT_BYTES_MAX: usize = 64 << 10;
/// Longest word that is taken out of a seed.
const WORD_BYTES: std::ops::RangeInclusive<usize> = 2..=40;

/// Makes the inputs of one target.
pub struct Inputs {
    seeds: Vec<Vec<u8>>,
    /// Runs of letters and of digits in the seeds.
    words: Vec<Vec<u8>>,
    seed: u64,
}

impl Inputs {
    pub fn new(mut seeds: Vec<Vec<u8>>, seed: u64) -> Inputs {
        seeds.retain(|input| input.len() <= INPUT_BYTES_MAX);
        if seeds.is_empty() {
            seeds.push(Vec::new());
        }
        let mut words: Vec<Vec<u8>> = seeds.iter().flat_map(|input| words_of(input)).map(<[u8]>::to_vec).collect();
        words.sort_unstable();
        words.dedup();
        Inputs { seeds, words, seed }
    }

    /// The input of this number; the seeds as they are come first.
    pub fn input(&self, number: u64) -> Vec<u8> {
        if let Some(sound) = usize::try_from(number).ok().and_then(|number| self.seeds.get(number)) {
            return sound.clone();
        }
        let mut random = Random::new(self.seed, number);
        if random.one_in(64) {
            let length = random.up_to_power(10);
            return (0..length).map(|_| random.byte()).collect();
        }
        let mut input = random.one_of(&self.seeds).cloned().unwrap_or_default();
        for _ in 0..random.up_to_power(4) {
            self.change(&mut random, &mut input);
            input.truncate(INPUT_BYTES_MAX);
        }
        input
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>) {
        let at = random.below(input.len() + 1);
        let end = (at + random.up_to_power(6)).min(input.len());
        match random.below(16) {
            0 => put(input, at, &[0, 1, 2, 9, 10, 0x1F, 0x20, 0x22, 0x7F, 0x80, 0xFE, 0xFF][random.below(12)..][..1]),
            1 => change_byte(input, at, |byte| byte.wrapping_add(random.byte() % 9).wrapping_sub(4)),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let noise: Vec<u8> = (0..random.up_to_power(4)).map(|_| random.byte()).collect();
                drop(input.splice(at..at, noise));
            }
            5 => {
                let part = input[at..end].repeat(random.up_to_power(10));
                drop(input.splice(at..at, part.into_iter().take(INPUT_BYTES_MAX)));
            }
            6 => {
                // One byte again and again: brackets, signs, zeros.
                let byte = input.get(at).copied().unwrap_or_default();
                drop(input.splice(at..at, vec![byte; random.up_to_power(14)]));
            }
            7 => put(input, at, &length_field(random)),
            8 => {
                let varint = protobuf::varint(protobuf::extreme(random));
                let old = input[at..].iter().take(10).position(|byte| *byte < 0x80).map_or(0, |last| last + 1);
                drop(input.splice(at..at + old, varint));
            }
            9 | 10 => {
                // A word in the place of a word, or anywhere.
                let word = random.one_of(&self.words).cloned().unwrap_or_default();
                let old = if random.one_in(3) { 0 } else { input[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count() };
                drop(input.splice(at..at + old, word));
            }
            11 => {
                let other = random.one_of(&self.seeds).cloned().unwrap_or_default();
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            12 | 13 => {
                // Where the first byte says what follows, the message stands behind it.
                let from = if random.one_in(2) { 0 } else { input.len().min(1) };
                if let Some(message) = protobuf::changed(random, &input[from..]) {
                    input.truncate(from);
                    input.extend(message);
                }
            }
            14 => {
                let from = random.below(input.len() + 1);
                let part = input[from..(from + end - at).min(input.len())].to_vec();
                put(input, at, &part);
            }
            _ => change_byte(input, at, |byte| byte ^ 1 << random.below(8)),
        }
    }
}

/// Puts bytes in the place of others, as far as there are any.
fn put(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (old, new) in input[at..].iter_mut().zip(bytes) {
        *old = *new;
    }
}

fn change_byte(input: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte);
    }
}

/// A number at an edge, in 1, 2, 4 or 8 bytes of either order.
fn length_field(random: &mut Random) -> Vec<u8> {
    let number = protobuf::extreme(random);
    let bytes = 1 << random.below(4);
    if random.one_in(2) { number.to_le_bytes()[..bytes].to_vec() } else { number.to_be_bytes()[8 - bytes..].to_vec() }
}

fn words_of(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).filter(|word| WORD_BYTES.contains(&word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_number_determine_an_input_and_the_seeds_come_first() {
        let seeds = vec![b"SELECT value FROM samples".to_vec(), b"\x0A\x03abc".to_vec()];
        let (one, same, other) = (Inputs::new(seeds.clone(), 7), Inputs::new(seeds.clone(), 7), Inputs::new(seeds.clone(), 8));
        assert_eq!((one.input(0), one.input(1)), (seeds[0].clone(), seeds[1].clone()));
        let inputs: Vec<Vec<u8>> = (0..5_000).map(|number| one.input(number)).collect();
        assert!((0..5_000).all(|number| same.input(number) == inputs[number as usize]));
        assert!((2..5_000).filter(|number| other.input(*number) != inputs[*number as usize]).count() > 3_500);
        assert!(inputs.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        assert!(inputs.iter().any(|input| input.len() > 10_000), "parts are repeated");
        let mut distinct = inputs;
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 3_000, "{}", distinct.len());
    }

    #[test]
    fn no_seed_is_no_obstacle() {
        let inputs = Inputs::new(Vec::new(), 1);
        assert!((0..1_000).any(|number| !inputs.input(number).is_empty()));
    }
}
