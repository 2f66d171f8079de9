//! Many globs as one automaton: each name is read once, whatever their number.
//!
//! It is the Shift-And algorithm over words of 64 bits (Baeza-Yates and Gonnet, "A new approach to text searching", 1992; the states that stay
//! are those of Navarro and Raffinot, "Flexible pattern matching in strings", 2002). Each glob is a row of bits: bit `n` is set where its first
//! `n` steps have been matched by what was read so far. A byte moves every set bit whose step takes it by one, for all globs at once, and a bit
//! behind which a wildcard stands also stays. There is nothing to be computed while names are read and nothing that grows: what a byte costs,
//! and what the automaton holds, is known when it is made.

use std::collections::HashSet;

use super::glob::{ByteSet, Step};

/// Words of states that a scan keeps of a name, for the next one that begins alike: 1 MiB.
const KEPT_WORDS_MAX: usize = 1 << 17;

/// Globs of which a text has to match any.
#[derive(Debug)]
pub struct Automaton {
    /// Words in a set of states.
    words: usize,
    /// States before the first byte.
    first: Vec<u64>,
    /// States in which a glob has been matched.
    last: Vec<u64>,
    /// States that stay at a `/`, and at any other byte.
    stay_at_separator: Vec<u64>,
    stay_elsewhere: Vec<u64>,
    /// States that stand for any number of levels: at each beginning of a level the next one is reached, too. Empty where there are none.
    levels: Vec<u64>,
    /// Bytes that no step tells apart have one class, and share a row.
    class_of: Box<[u8; 256]>,
    /// For each class, the states whose next step takes its bytes.
    takes: Vec<u64>,
}

/// How far a sequence of steps has come: one state more than it has steps that take a byte.
#[derive(Default)]
struct State<'a> {
    /// What leads to the next one; `None` for [`State::levels`] and the last one.
    takes: Option<&'a Step>,
    stays_at_separator: bool,
    stays_elsewhere: bool,
    levels: bool,
}

/// The states of a sequence.
fn states(steps: &[Step]) -> Vec<State<'_>> {
    let mut states = Vec::with_capacity(steps.len() + 1);
    let mut state = State::default();
    for step in steps {
        match step {
            Step::WithinLevel => state.stays_elsewhere = true,
            Step::Anything => (state.stays_at_separator, state.stays_elsewhere) = (true, true),
            Step::Levels => {
                (state.stays_at_separator, state.stays_elsewhere, state.levels) = (true, true, true);
                states.push(std::mem::take(&mut state));
            }
            Step::Byte(_) | Step::One(_) => {
                state.takes = Some(step);
                states.push(std::mem::take(&mut state));
            }
        }
    }
    states.push(state);
    states
}

impl Automaton {
    /// `None` where one of the sequences takes anything.
    pub fn any_of(sequences: &[Vec<Step>]) -> Option<Automaton> {
        if sequences.iter().any(|steps| matches!(steps.as_slice(), [Step::Anything])) {
            return None;
        }
        let rows: Vec<Vec<State<'_>>> = sequences.iter().map(|steps| states(steps)).collect();
        let words = rows.iter().map(Vec::len).sum::<usize>().div_ceil(64);
        let (class_of, members) = classes(sequences.iter().flatten());
        let empty = || vec![0_u64; words];
        let mut made = Automaton {
            words,
            first: empty(),
            last: empty(),
            stay_at_separator: empty(),
            stay_elsewhere: empty(),
            levels: if sequences.iter().flatten().any(|step| *step == Step::Levels) { empty() } else { Vec::new() },
            takes: vec![0; words * members.len()],
            class_of,
        };
        let mut at = 0;
        for row in &rows {
            set(&mut made.first, at);
            for state in row {
                if state.stays_at_separator {
                    set(&mut made.stay_at_separator, at);
                }
                if state.stays_elsewhere {
                    set(&mut made.stay_elsewhere, at);
                }
                if state.levels {
                    set(&mut made.levels, at);
                }
                match state.takes {
                    Some(Step::Byte(byte)) => {
                        let class = usize::from(made.class_of[usize::from(*byte)]);
                        set(&mut made.takes[class * words..][..words], at);
                    }
                    Some(Step::One(bytes)) => {
                        for (class, _) in members.iter().enumerate().filter(|(_, member)| bytes.has(**member)) {
                            set(&mut made.takes[class * words..][..words], at);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
            set(&mut made.last, at - 1);
        }
        // A text begins with a level.
        let mut first = std::mem::take(&mut made.first);
        made.begin_level(&mut first);
        made.first = first;
        Some(made)
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        let mut states = self.first.clone();
        let mut next = vec![0; self.words];
        for byte in text {
            if !self.step(&states, &mut next, *byte) {
                return false;
            }
            std::mem::swap(&mut states, &mut next);
        }
        self.is_last(&states)
    }

    /// What becomes of the states by a byte; false where none are left, so that nothing that begins so is matched.
    fn step(&self, states: &[u64], next: &mut [u64], byte: u8) -> bool {
        let words = self.words;
        let takes = &self.takes[usize::from(self.class_of[usize::from(byte)]) * words..][..words];
        let stay = if byte == b'/' { &self.stay_at_separator[..words] } else { &self.stay_elsewhere[..words] };
        let (states, next) = (&states[..words], &mut next[..words]);
        let (mut carried, mut left) = (0, 0);
        for word in 0..words {
            let moved = states[word] & takes[word];
            next[word] = moved << 1 | carried | states[word] & stay[word];
            carried = moved >> 63;
            left |= next[word];
        }
        if byte == b'/' {
            self.begin_level(next);
        }
        left != 0
    }

    fn begin_level(&self, states: &mut [u64]) {
        let mut carried = 0;
        for (states, levels) in states.iter_mut().zip(&self.levels) {
            let here = *states & levels;
            *states |= here << 1 | carried;
            carried = here >> 63;
        }
    }

    fn is_last(&self, states: &[u64]) -> bool {
        states.iter().zip(&self.last).any(|(states, last)| states & last != 0)
    }
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

/// Classes of bytes that none of the steps tells apart, and a byte of each.
fn classes<'a>(steps: impl Iterator<Item = &'a Step>) -> (Box<[u8; 256]>, Vec<u8>) {
    let sets: HashSet<ByteSet> = steps
        .filter_map(|step| match step {
            Step::Byte(byte) => Some(ByteSet::of([*byte])),
            Step::One(bytes) => Some(**bytes),
            Step::WithinLevel | Step::Anything | Step::Levels => None,
        })
        .collect();
    let mut class_of = Box::new([0_u8; 256]);
    let mut members: Vec<u8> = vec![0];
    for set in sets {
        if members.len() == 256 {
            break;
        }
        // A class of which the set has a part becomes two.
        let mut split: [Option<u8>; 256] = [None; 256];
        let has_first: Vec<bool> = members.iter().map(|member| set.has(*member)).collect();
        for byte in 0..=u8::MAX {
            let class = usize::from(class_of[usize::from(byte)]);
            if set.has(byte) != has_first[class] {
                class_of[usize::from(byte)] = *split[class].get_or_insert_with(|| {
                    members.push(byte);
                    (members.len() - 1) as u8
                });
            }
        }
    }
    (class_of, members)
}

/// Names of a range tested one after another. Where a name begins as the one before it, that part is not read again.
pub struct Scan<'a> {
    prefix: &'a str,
    /// `None` takes anything.
    rest: Option<&'a Automaton>,
    /// What was read of the last name behind the prefix, as far as its states are kept.
    read: Vec<u8>,
    /// The states before its first byte, and behind each.
    kept: Vec<u64>,
    /// Nothing that begins as `read` is matched.
    dead: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(prefix: &'a str, rest: Option<&'a Automaton>) -> Scan<'a> {
        let kept = rest.map(|automaton| automaton.first.clone()).unwrap_or_default();
        Scan { prefix, rest, read: Vec::new(), kept, dead: false }
    }

    /// True when the name is selected. Names come in their order.
    pub fn matches_next(&mut self, name: &str) -> bool {
        let Some(text) = name.as_bytes().strip_prefix(self.prefix.as_bytes()) else { return false };
        let Some(automaton) = self.rest else { return true };
        let words = automaton.words;
        let alike = self.read.iter().zip(text).take_while(|(a, b)| a == b).count();
        if alike < self.read.len() {
            self.read.truncate(alike);
            self.dead = false;
        }
        if self.dead {
            return false;
        }
        let keepable = text.len().min(KEPT_WORDS_MAX / words);
        if self.kept.len() < (1 + keepable) * words {
            self.kept.resize((1 + keepable) * words, 0);
        }
        for byte in &text[alike..keepable] {
            let (before, behind) = self.kept.split_at_mut((1 + self.read.len()) * words);
            let alive = automaton.step(&before[self.read.len() * words..], &mut behind[..words], *byte);
            self.read.push(*byte);
            if !alive {
                self.dead = true;
                return false;
            }
        }
        let states = &self.kept[self.read.len() * words..][..words];
        if self.read.len() == text.len() {
            return automaton.is_last(states);
        }
        // So many globs that the end of a long name is read each time.
        let (mut states, mut next) = (states.to_vec(), vec![0; words]);
        for byte in &text[self.read.len()..] {
            if !automaton.step(&states, &mut next, *byte) {
                return false;
            }
            std::mem::swap(&mut states, &mut next);
        }
        automaton.is_last(&states)
    }
}
