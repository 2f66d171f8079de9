//! Entropy coding of signed numbers: the frequent ones take few bits, down to fractions of one.
//!
//! A number becomes a *token* (small ones directly, larger ones their leading bits) and the raw bits
//! that the token leaves open. Tokens are coded by tabled asymmetric numeral systems (Duda, *Asymmetric
//! numeral systems*, 2013; the table is spread as in `FSE`), with four states taking turns so that a
//! processor works on four numbers at a time. Only for large, cold columns: making and reading the
//! table takes as long as some thousand numbers.

use super::bits::{BitWriter, get_varint, load, load_padded, mask, put_varint, unzigzag, zigzag};
use crate::error::Fault;

/// Numbers below this are tokens themselves.
const DIRECT: u64 = 128;
/// Logarithm of `DIRECT`.
const DIRECT_BITS: u32 = DIRECT.trailing_zeros();
/// Tokens that exist: the direct ones, and eight for each further length of a number in bits.
const TOKENS: usize = DIRECT as usize + (64 - DIRECT_BITS as usize) * 8;

/// Logarithm of the number of table states.
const TABLE_BITS_MIN: u32 = 5;
const TABLE_BITS_MAX: u32 = 11;

/// States that take turns: number *i* is coded with state `i % 4`.
const STATES: usize = 4;

/// The token of a number, and how many raw bits it leaves open: all between its leading three bits and
/// its last one. The last one is the sign (zigzag), so that both sides of the base have their own tokens.
#[inline(always)]
fn token(number: u64) -> (usize, u32) {
    if number < DIRECT {
        return (number as usize, 0);
    }
    let bits = 64 - number.leading_zeros();
    let leading = number >> (bits - 3) & 0b11;
    let token = DIRECT + u64::from(bits - DIRECT_BITS - 1) * 8 + leading * 2 + (number & 1);
    (token as usize, bits - 4)
}

/// The tokens of a column, and how often each occurs.
pub(crate) struct Histogram {
    tokens: Vec<u16>,
    counts: Box<[u32; TOKENS]>,
    raw_bits: u64,
    total: u32,
}

impl Histogram {
    /// Counts the tokens of the distances from `base`.
    pub fn of(numbers: &[i64], base: i64) -> Self {
        let mut tokens = vec![0; numbers.len()];
        let mut raw_bits = 0;
        // Without a branch as long as all are small, which a block is looked at for.
        for (tokens, numbers) in tokens.chunks_mut(64).zip(numbers.chunks(64)) {
            let mut all = 0;
            for (slot, number) in tokens.iter_mut().zip(numbers) {
                let number = zigzag(number.wrapping_sub(base));
                all |= number;
                *slot = number as u16;
            }
            if all >= DIRECT {
                for (slot, number) in tokens.iter_mut().zip(numbers) {
                    let (token, raw) = token(zigzag(number.wrapping_sub(base)));
                    *slot = token as u16;
                    raw_bits += u64::from(raw);
                }
            }
        }
        // Four tables, so that equal neighbours do not wait for each other's increment.
        let mut counts = Box::new([0_u32; TOKENS]);
        let mut more = [[0_u32; TOKENS]; 3];
        let (fours, rest) = tokens.as_chunks::<4>();
        for [a, b, c, d] in fours {
            counts[usize::from(*a)] += 1;
            more[0][usize::from(*b)] += 1;
            more[1][usize::from(*c)] += 1;
            more[2][usize::from(*d)] += 1;
        }
        for token in rest {
            counts[usize::from(*token)] += 1;
        }
        for more in more {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        let total = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Self { tokens, counts, raw_bits, total }
    }

    /// Bytes that the column will take, about.
    pub fn bytes(&self) -> usize {
        let total = f64::from(self.total);
        let present = self.counts.iter().filter(|count| **count > 0);
        let bits: f64 = present.map(|count| f64::from(*count) * (total / f64::from(*count)).log2() + 7.0).sum();
        (bits as u64 + self.raw_bits) as usize / 8 + 16
    }
}

/// Appends the column of at least one number.
pub(crate) fn encode(numbers: &[i64], base: i64, histogram: &Histogram, out: &mut Vec<u8>) {
    put_varint(zigzag(base), out);
    let present = histogram.counts.iter().filter(|count| **count > 0).count();
    // An eighth of the numbers: a larger table saves a thousandth of a byte a number, and takes as long to make as some thousand numbers.
    let wanted = histogram.total.max(1).ilog2().saturating_sub(3).clamp(TABLE_BITS_MIN, TABLE_BITS_MAX);
    // Every token needs a state, and room for the frequent ones to have more.
    let table_bits = wanted.max((present.max(1) as u32).ilog2() + 2).min(TABLE_BITS_MAX);
    let frequencies = normalise(&histogram.counts, histogram.total, table_bits);
    put_frequencies(&frequencies, table_bits, out);
    let table = EncodeTable::new(&frequencies, table_bits);

    let mut first = Vec::new();
    let middle = middle(numbers.len());
    put_string(&numbers[..middle], &histogram.tokens[..middle], base, &table, table_bits, &mut first);
    put_varint(first.len() as u64, out);
    out.append(&mut first);
    put_string(&numbers[middle..], &histogram.tokens[middle..], base, &table, table_bits, out);
}

/// Where the second string begins: a reader takes turns with both, which do not wait for each other.
fn middle(count: usize) -> usize {
    count.min(count.div_ceil(2 * STATES) * STATES)
}

fn put_string(numbers: &[i64], tokens: &[u16], base: i64, table: &EncodeTable, table_bits: u32, out: &mut Vec<u8>) {
    // The states run from the last number to the first, the reader from the first to the last.
    let mut states = [1_u32 << table_bits; STATES];
    let mut steps = vec![0_u32; tokens.len()];
    for (tokens, steps) in tokens.chunks(STATES).zip(steps.chunks_mut(STATES)).rev() {
        for ((token, step), state) in tokens.iter().zip(steps).zip(&mut states) {
            let (next, width) = table.step(usize::from(*token), *state);
            *step = (*state & mask_32(width)) << 8 | width;
            *state = next;
        }
    }
    let raw_total: usize = tokens.iter().map(|token| raw_bits(*token) as usize).sum();
    let start = out.len();
    out.resize(start + tokens.len() * 2 + raw_total / 8 + STATES * 2 + 24, 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    for state in states {
        writer.put(u64::from(state) & mask(table_bits), table_bits);
    }
    if raw_total == 0 {
        for step in steps {
            writer.put(u64::from(step >> 8), step & 0xFF);
        }
    } else {
        for ((number, token), step) in numbers.iter().zip(tokens).zip(steps) {
            let raw = raw_bits(*token);
            if raw > 0 {
                writer.put_wide(zigzag(number.wrapping_sub(base)) >> 1 & mask(raw), raw);
            }
            writer.put(u64::from(step >> 8), step & 0xFF);
        }
    }
    let len = writer.finish();
    out.truncate(start + len);
}

/// Raw bits that a token leaves open.
#[inline(always)]
fn raw_bits(token: u16) -> u32 {
    u32::from(token).checked_sub(DIRECT as u32).map_or(0, |large| large / 8 + DIRECT_BITS + 1 - 4)
}

const fn mask_32(width: u32) -> u32 {
    (1 << width) - 1
}

/// Frequencies that add up to the table's size, with at least one state for every token that occurs.
fn normalise(counts: &[u32; TOKENS], total: u32, table_bits: u32) -> [u16; TOKENS] {
    let size = 1_i64 << table_bits;
    let mut frequencies = [0_u16; TOKENS];
    let mut left = size;
    for (frequency, count) in frequencies.iter_mut().zip(counts) {
        if *count > 0 {
            let share = (i64::from(*count) * size + i64::from(total) / 2) / i64::from(total);
            *frequency = u16::try_from(share.max(1)).unwrap_or(u16::MAX);
            left -= i64::from(*frequency);
        }
    }
    // What rounding left over, or took too much, where it changes least: bits lost by a token are its
    // count times the logarithm of the change. In a few large steps, as a thousandth of a bit will do.
    let present: Vec<usize> = (0..TOKENS).filter(|token| counts[*token] > 0).collect();
    while left != 0 {
        let mut best = (f64::NEG_INFINITY, 0);
        for token in &present {
            let (frequency, count) = (f64::from(frequencies[*token]), f64::from(counts[*token]));
            let gain = if left > 0 { count / frequency } else { -count / (frequency - 1.0) };
            if gain > best.0 {
                best = (gain, *token);
            }
        }
        let frequency = i64::from(frequencies[best.1]);
        let step = if left > 0 { (left / 4).max(1) } else { (left / 4).min(-1).max(-(frequency / 4).max(1)) };
        frequencies[best.1] = u16::try_from(frequency + step).unwrap_or(1);
        left -= step;
    }
    frequencies
}

/// Table size, then runs of tokens that occur, then the frequencies: the class (number of bits) as the
/// change from the class before, in unary, and the bits below the leading one.
fn put_frequencies(frequencies: &[u16; TOKENS], table_bits: u32, out: &mut Vec<u8>) {
    let [bits, ..] = table_bits.to_le_bytes();
    out.push(bits);
    let runs = || frequencies.chunk_by(|a, b| (*a == 0) == (*b == 0));
    put_varint(runs().filter(|run| run[0] != 0).count() as u64, out);
    let mut gap = 0;
    for run in runs() {
        if run[0] == 0 {
            gap = run.len();
        } else {
            put_varint(gap as u64, out);
            put_varint(run.len() as u64, out);
        }
    }
    let start = out.len();
    out.resize(start + TOKENS * 5 + 16, 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    let mut class_before = 0;
    for frequency in frequencies.iter().filter(|frequency| **frequency > 0) {
        let class = frequency.ilog2();
        let change = zigzag(i64::from(class) - i64::from(class_before)) as u32;
        writer.put(1 << change, change + 1);
        writer.put(u64::from(*frequency) & mask(class), class);
        class_before = class;
    }
    let len = writer.finish();
    out.truncate(start + len);
}

fn get_frequencies(bytes: &[u8], at: &mut usize) -> Result<([u16; TOKENS], u32), Fault> {
    let start = *at;
    let table_bits = u32::from(bytes.get(start).copied().unwrap_or(0));
    if !(TABLE_BITS_MIN..=TABLE_BITS_MAX).contains(&table_bits) {
        return Err(Fault::new("size of the token table", start, "5 to 11 bits", table_bits));
    }
    *at += 1;
    let mut frequencies = [0_u16; TOKENS];
    let runs = get_varint(bytes, at, "runs of tokens")?;
    let mut token = 0;
    for _ in 0..runs {
        let gap = get_varint(bytes, at, "gap between tokens")?;
        let length = get_varint(bytes, at, "run of tokens")?;
        let (from, to) = (token + gap, token + gap + length);
        if length == 0 || to > TOKENS || (gap == 0 && token > 0) {
            return Err(Fault::new("run of tokens", *at, format!("one within {TOKENS}"), format!("{from} to {to}")));
        }
        frequencies[from..to].fill(1);
        token = to;
    }
    let mut bit = *at * 8;
    let mut class = 0_i64;
    let mut left = 1_u32 << table_bits;
    for frequency in frequencies.iter_mut().filter(|frequency| **frequency > 0) {
        // At most 24 bits of unary number are of use, and at most 10 bits follow.
        let word = load_padded(bytes, bit / 8) >> (bit % 8);
        let change = word.trailing_zeros();
        class += if change < 24 { unzigzag(u64::from(change)) } else { 64 };
        if !(0..=i64::from(table_bits)).contains(&class) {
            return Err(Fault::new("frequency of a token", bit / 8, "one within the table", "another"));
        }
        let value = 1 << class | (word >> (change + 1) & mask(class as u32)) as u32;
        bit += change as usize + 1 + class as usize;
        if value > left {
            return Err(Fault::new("frequencies of the tokens", bit / 8, format!("a sum of {}", 1 << table_bits), "more"));
        }
        left -= value;
        *frequency = value as u16;
    }
    if left > 0 || bit > bytes.len() * 8 {
        return Err(Fault::new("frequencies of the tokens", *at, format!("a sum of {}", 1 << table_bits), "less"));
    }
    *at = bit.div_ceil(8);
    Ok((frequencies, table_bits))
}

/// Tells the token of every state: tokens in turn, each as often as its frequency, at places a fixed odd step apart.
#[inline(always)]
fn spread(frequencies: &[u16; TOKENS], table_bits: u32, mut put: impl FnMut(usize, u16)) {
    let size = 1_usize << table_bits;
    let step = (size >> 1) + (size >> 3) + 3;
    let mut place = 0;
    for (token, frequency) in (0_u16..).zip(frequencies) {
        for _ in 0..*frequency {
            put(place, token);
            place = (place + step) & (size - 1);
        }
    }
}

struct EncodeTable {
    /// Per token: what added to a state gives, in its top half, the bits to write.
    widths: Box<[u32; TOKENS]>,
    /// Per token: where its next states begin, less its frequency.
    starts: Box<[i32; TOKENS]>,
    next: Vec<u16>,
}

impl EncodeTable {
    fn new(frequencies: &[u16; TOKENS], table_bits: u32) -> Self {
        let size = 1_u32 << table_bits;
        let (mut widths, mut starts) = (Box::new([0; TOKENS]), Box::new([0; TOKENS]));
        let mut positions = [0_usize; TOKENS];
        let mut total = 0_i32;
        for (token, frequency) in frequencies.iter().enumerate().filter(|(_, frequency)| **frequency > 0) {
            let frequency = u32::from(*frequency);
            // States from `frequency << most` on write `most` bits, smaller ones one bit less. Both
            // come out of one addition: the top half of state + width is the number of bits.
            let most = table_bits - (frequency - 1).checked_ilog2().unwrap_or(0);
            widths[token] = (most << 16).wrapping_sub(frequency << most);
            starts[token] = total - frequency as i32;
            positions[token] = total as usize;
            total += frequency as i32;
        }
        let mut tokens = vec![0; size as usize];
        spread(frequencies, table_bits, |place, token| tokens[place] = token);
        let mut next = vec![0; size as usize];
        for (state, token) in (0_u16..).zip(tokens) {
            let position = &mut positions[usize::from(token)];
            next[*position] = state;
            *position += 1;
        }
        Self { widths, starts, next }
    }

    /// The state after a token, and how many low bits of the state before are to be written.
    #[inline(always)]
    fn step(&self, token: usize, state: u32) -> (u32, u32) {
        let width = state.wrapping_add(self.widths[token]) >> 16;
        let place = (state >> width) as i32 + self.starts[token];
        (u32::from(self.next[place as usize]) + self.next.len() as u32, width)
    }
}

/// What a state tells: its token's number but for the raw bits, and how the next state follows.
#[derive(Clone, Copy, Default)]
#[repr(align(8))]
struct Entry {
    next: u16,
    /// As many set bits as the next state takes from the string.
    mask: u16,
    /// The number itself; of a token with raw bits, the leading bits and the last one of the zigzag number.
    number: i16,
    width: u8,
    raw: u8,
}

/// Of a fixed size, so that no state needs a check; a smaller table leaves the rest unused.
type DecodeTable = [Entry; 1 << TABLE_BITS_MAX];

/// What every state tells.
fn decode_table(frequencies: &[u16; TOKENS], table_bits: u32) -> Box<DecodeTable> {
    let mut table = Box::new([Entry::default(); 1 << TABLE_BITS_MAX]);
    // The states of a token get their numbers in the order of the table, and not in the one in which `spread` comes by: so first who is
    // where, then from the first state to the last.
    spread(frequencies, table_bits, |place, token| table[place & LOW].next = token);
    let mut seen = [Seen::default(); TOKENS];
    for ((token, frequency), seen) in (0_u16..).zip(frequencies).zip(&mut seen).filter(|((_, frequency), _)| **frequency > 0) {
        let raw = raw_bits(token);
        let number = if raw == 0 { unzigzag(u64::from(token)) as i16 } else { (8 | token & 0b111).cast_signed() };
        *seen = Seen { state: *frequency, number, raw: raw as u8 };
    }
    for slot in &mut table[..1 << table_bits] {
        let Some(Seen { state, number, raw }) = seen.get_mut(usize::from(slot.next)) else { continue };
        let width = table_bits - u32::from(*state).ilog2();
        *slot = Entry {
            next: ((u32::from(*state) << width) - (1 << table_bits)) as u16,
            mask: mask_32(width) as u16,
            number: *number,
            width: width as u8,
            raw: *raw,
        };
        *state += 1;
    }
    table
}

/// A token while the table is made.
#[derive(Clone, Copy, Default)]
#[repr(align(8))]
struct Seen {
    /// Its next state.
    state: u16,
    number: i16,
    raw: u8,
}

/// How many of a column's tokens have raw bits.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Raw {
    None,
    /// So few that four in a row often have none.
    Some,
    Most,
}

impl Raw {
    fn of(frequencies: &[u16; TOKENS], table_bits: u32) -> Self {
        let states: u32 = frequencies[DIRECT as usize..].iter().map(|frequency| u32::from(*frequency)).sum();
        match states {
            0 => Self::None,
            few if few < 1 << table_bits >> 3 => Self::Some,
            _ => Self::Most,
        }
    }
}

/// Reads states and raw bits of one string, from the first number to the last.
struct Reader {
    /// The string and zeros behind it: frequent numbers take so few bits that a short string has many.
    stream: Vec<u8>,
    length: usize,
    bit: usize,
    states: [usize; STATES],
}

/// The bits of a state.
const LOW: usize = (1 << TABLE_BITS_MAX) - 1;

/// Bytes from the one at hand on that `four_raw` looks at.
const WINDOW: usize = 48;

impl Reader {
    fn new(string: &[u8], table_bits: u32) -> Self {
        let at = |index: u32| index * table_bits;
        let states = [0, 1, 2, 3].map(|index| (wide(string, at(index) as usize) & mask(table_bits)) as usize);
        let mut stream = Vec::with_capacity(string.len() + WINDOW);
        stream.extend_from_slice(string);
        stream.resize(string.len() + WINDOW, 0);
        Self { stream, length: string.len(), bit: at(STATES as u32) as usize, states }
    }

    /// The next four numbers. At least `WINDOW` bytes must be left.
    #[inline(always)]
    fn four<const RAW: u8>(&mut self, table: &DecodeTable, base: i64, four: &mut [i64; STATES]) {
        let entries = self.states.map(|state| table[state & LOW]);
        let any_raw = || entries.iter().fold(0, |any, entry| any | entry.raw) > 0;
        let is_raw = RAW == Raw::Most as u8 || (RAW == Raw::Some as u8 && any_raw());
        if is_raw {
            self.four_raw(entries, base, four);
        } else {
            self.four_direct(entries, base, four);
        }
    }

    /// Without raw bits: one load has the bits of all four states.
    #[inline(always)]
    fn four_direct(&mut self, entries: [Entry; STATES], base: i64, four: &mut [i64; STATES]) {
        let word = load(&self.stream, self.bit / 8) >> (self.bit % 8);
        let mut used = 0_u32;
        for ((number, state), entry) in four.iter_mut().zip(&mut self.states).zip(entries) {
            *state = usize::from(entry.next) + usize::from((word >> used) as u16 & entry.mask);
            used += u32::from(entry.width);
            *number = base.wrapping_add(i64::from(entry.number));
        }
        self.bit += used as usize;
    }

    #[inline(always)]
    fn four_raw(&mut self, entries: [Entry; STATES], base: i64, four: &mut [i64; STATES]) {
        // A number takes at most 60 raw bits and 11 of its state.
        let window = &self.stream[self.bit / 8..self.bit / 8 + WINDOW];
        let begin = self.bit % 8;
        let mut bit = begin;
        for ((number, state), entry) in four.iter_mut().zip(&mut self.states).zip(entries) {
            let low = load(window, bit / 8) >> (bit % 8) & 0xFFFF_FFFF;
            let high = load(window, bit / 8 + 4) >> (bit % 8);
            let raw = (low | high << 32) & ((1 << entry.raw) - 1);
            bit += usize::from(entry.raw);
            let word = load(window, bit / 8) >> (bit % 8);
            *state = usize::from(entry.next) + usize::from(word as u16 & entry.mask);
            bit += usize::from(entry.width);
            *number = number_of(entry, raw, base);
        }
        self.bit += bit - begin;
    }

    /// The last numbers; bits beyond the end of the string are zero. True when they end where it does.
    fn rest(&mut self, table: &DecodeTable, base: i64, numbers: &mut [i64]) -> bool {
        for (index, number) in numbers.iter_mut().enumerate() {
            let state = &mut self.states[index % STATES];
            let entry = table[*state & LOW];
            let raw = wide(&self.stream, self.bit) & mask(u32::from(entry.raw));
            self.bit += usize::from(entry.raw);
            *state = usize::from(entry.next) + (wide(&self.stream, self.bit) & mask(u32::from(entry.width))) as usize;
            self.bit += usize::from(entry.width);
            *number = number_of(entry, raw, base);
        }
        self.bit.div_ceil(8) == self.length && self.states == [0; STATES]
    }
}

/// Reads both strings in turns, as far as both have a window left, and tells how many numbers of each that was.
fn decode_pairs<const RAW: u8>(table: &DecodeTable, base: i64, [a, b]: [&mut Reader; 2], [numbers_a, numbers_b]: [&mut [i64]; 2]) -> usize {
    let mut done = 0;
    // Both or neither: what is left of each is then the same number of numbers from its end.
    let room = |reader: &Reader| reader.bit / 8 + WINDOW <= reader.stream.len();
    for (four_a, four_b) in numbers_a.as_chunks_mut::<STATES>().0.iter_mut().zip(numbers_b.as_chunks_mut::<STATES>().0) {
        if !room(a) || !room(b) {
            break;
        }
        a.four::<RAW>(table, base, four_a);
        b.four::<RAW>(table, base, four_b);
        done += STATES;
    }
    done
}

/// Fills `numbers`, at least one, from the column at `at`, and moves `at` past it, to the end of `bytes`.
pub(crate) fn decode(bytes: &[u8], at: &mut usize, numbers: &mut [i64]) -> Result<(), Fault> {
    let base = unzigzag(super::bits::get_varint_64(bytes, at, "base of the numbers")?);
    let (frequencies, table_bits) = get_frequencies(bytes, at)?;
    let table = decode_table(&frequencies, table_bits);
    let raw = Raw::of(&frequencies, table_bits);
    let length = get_varint(bytes, at, "length of the first string")?;
    let Some((first, second)) = bytes.get(*at..).and_then(|rest| rest.split_at_checked(length)) else {
        return Err(Fault::new("length of the first string", *at, "one within the column", length));
    };
    let (mut a, mut b) = (Reader::new(first, table_bits), Reader::new(second, table_bits));
    let (numbers_a, numbers_b) = numbers.split_at_mut(middle(numbers.len()));
    // Loops of their own, so that a column without raw bits pays nothing for the others.
    let done = match raw {
        Raw::None => decode_pairs::<{ Raw::None as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
        Raw::Some => decode_pairs::<{ Raw::Some as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
        Raw::Most => decode_pairs::<{ Raw::Most as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
    };
    let ended = a.rest(&table, base, &mut numbers_a[done..]) & b.rest(&table, base, &mut numbers_b[done..]);
    if !ended {
        return Err(Fault::new("end of the coded numbers", *at, "the end of both strings", "another place"));
    }
    *at = bytes.len();
    Ok(())
}

#[inline(always)]
fn number_of(entry: Entry, raw: u64, base: i64) -> i64 {
    if entry.raw == 0 {
        return base.wrapping_add(i64::from(entry.number));
    }
    let bits = u64::from(entry.number.cast_unsigned());
    base.wrapping_add(unzigzag(((bits >> 1) << entry.raw | raw) << 1 | bits & 1))
}

/// 64 bits at `bit`; those beyond the end are zero.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn wide(stream: &[u8], bit: usize) -> u64 {
    let word = u128::from(load_padded(stream, bit / 8)) | u128::from(load_padded(stream, bit / 8 + 8)) << 64;
    (word >> (bit % 8)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[i64], base: i64) -> usize {
        let mut bytes = vec![1, 2];
        encode(numbers, base, &Histogram::of(numbers, base), &mut bytes);
        let mut read = vec![3; numbers.len()];
        let mut at = 2;
        decode(&bytes, &mut at, &mut read).unwrap();
        assert_eq!(read, numbers);
        assert_eq!(at, bytes.len());
        for cut in bytes.len().saturating_sub(200).max(2)..bytes.len() {
            assert!(decode(&bytes[..cut], &mut 2, &mut read).is_err(), "cut at {cut}");
        }
        bytes.len() - 2
    }

    #[test]
    fn tokens_and_raw_bits_tell_the_number() {
        for number in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, 3 << bit, u64::MAX >> bit]) {
            let (token, raw) = token(number);
            assert!(token < TOKENS && raw <= 60);
            let mut frequencies = [0; TOKENS];
            frequencies[token] = 32;
            let entry = decode_table(&frequencies, 5)[0];
            assert_eq!(u32::from(entry.raw), raw);
            assert_eq!(zigzag(number_of(entry, number >> 1 & mask(raw), 0)), number);
        }
    }

    #[test]
    fn a_column_comes_close_to_its_entropy() {
        // 0 seven times out of eight, else 1: 0.544 bits.
        let numbers: Vec<i64> = (0_u64..8_192).map(|i| i64::from(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61 == 0)).collect();
        assert!(round_trip(&numbers, 0) < 8_192 * 56 / 800 + 20);
        assert!(round_trip(&vec![9; 8_192], 9) < 30);
    }

    proptest! {
        #[test]
        fn any_numbers_read_back(
            mut numbers in proptest::collection::vec(any::<i64>(), 1..700),
            shifts in proptest::collection::vec(0_u32..64, 1..4),
            base in prop_oneof![Just(0), any::<i64>()],
        ) {
            for (number, shift) in numbers.iter_mut().zip(shifts.iter().cycle()) {
                *number >>= shift;
            }
            round_trip(&numbers, base);
        }

        #[test]
        fn skewed_numbers_read_back(numbers in proptest::collection::vec(prop_oneof![900 => Just(0_i64), 1 => -3..3_i64, 1 => any::<i64>()], 1..3_000)) {
            round_trip(&numbers, 0);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), count in 1_usize..400) {
            let _ = decode(&bytes, &mut 0, &mut vec![0; count]);
        }
    }
}
