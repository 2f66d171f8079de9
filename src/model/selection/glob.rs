//! A glob as steps that follow each other, one sequence for each of its alternatives.
//!
//! `globset` reads the text: what a glob means is said by the regular expression it makes of it, of which the parser of regular expressions gives
//! the meaning. Here that is only put into another form, which many globs can be run in at once.

use globset::GlobBuilder;
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteSet([u64; 4]);

/// One step of a glob, or an alternative of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Byte(u8),
    /// One byte of a set.
    One(Box<ByteSet>),
    /// Any bytes but `/`, or none.
    WithinLevel,
    /// Any bytes, or none.
    Anything,
    /// Nothing, or anything that ends with `/`; the byte before is `/`, or there is none.
    Levels,
}

/// Why a glob is not taken.
pub enum GlobRefusal {
    Invalid(String),
    /// With its alternatives it has more steps than are left.
    TooLarge,
}

const ANY: ByteSet = ByteSet([u64::MAX; 4]);

impl ByteSet {
    pub fn of(bytes: impl IntoIterator<Item = u8>) -> ByteSet {
        let mut set = ByteSet([0; 4]);
        bytes.into_iter().for_each(|byte| set.0[usize::from(byte >> 6)] |= 1 << (byte & 63));
        set
    }

    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn all_but_separator() -> ByteSet {
        ByteSet::of((0..=u8::MAX).filter(|byte| *byte != b'/'))
    }
}

/// The alternatives of a glob. `room` is the number of steps that may still be made, each alternative counting for one more.
pub fn written_out(pattern: &str, room: &mut usize) -> Result<Vec<Vec<Step>>, GlobRefusal> {
    let invalid = |reason: String| GlobRefusal::Invalid(reason);
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| invalid(error.kind().to_string()))?;
    // Bytes, as globset has it compiled: a name is its UTF-8, and `?` one byte of it.
    let mut parser = ParserBuilder::new().utf8(false).dot_matches_new_line(true).build();
    let anchored = glob.regex();
    let whole = anchored.strip_prefix("(?-u)^").and_then(|text| text.strip_suffix('$'));
    let whole = whole.ok_or_else(|| invalid("it is of a form that is not known".into()))?;
    let meaning = parser.parse(&format!("(?-u:{whole})")).map_err(|_| invalid("it is nested too deeply".into()))?;
    let mut sequences = vec![Vec::new()];
    append(&mut sequences, &meaning, *room)?;
    *room = room.checked_sub(steps(&sequences)).ok_or(GlobRefusal::TooLarge)?;
    Ok(sequences)
}

/// What all bytes of a sequence are before its first wildcard, as far as that is text, and the steps behind it.
pub fn literal(steps: Vec<Step>) -> (String, Vec<Step>) {
    let byte = |step: &Step| if let Step::Byte(byte) = step { Some(*byte) } else { None };
    let bytes: Vec<u8> = steps.iter().map_while(byte).collect();
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let whole = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.as_bytes()[..whole]).into_owned()
        }
    };
    let rest = steps.into_iter().skip(text.len()).collect();
    (text, rest)
}

fn steps(sequences: &[Vec<Step>]) -> usize {
    sequences.iter().map(|steps| steps.len() + 1).sum()
}

/// Appends what an expression means to each of the sequences.
fn append(sequences: &mut Vec<Vec<Step>>, meaning: &Hir, room: usize) -> Result<(), GlobRefusal> {
    match meaning.kind() {
        HirKind::Empty => Ok(()),
        HirKind::Literal(literal) => extend(sequences, &literal.0.iter().map(|byte| Step::Byte(*byte)).collect::<Vec<_>>(), room),
        HirKind::Class(class) => extend(sequences, &[Step::One(Box::new(bytes_of(class)?))], room),
        HirKind::Repetition(repeated) if (repeated.min, repeated.max) == (0, None) => {
            let HirKind::Class(class) = repeated.sub.kind() else { return Err(unknown()) };
            match bytes_of(class)? {
                ANY => extend(sequences, &[Step::Anything], room),
                level if level == ByteSet::all_but_separator() => extend(sequences, &[Step::WithinLevel], room),
                _ => Err(unknown()),
            }
        }
        HirKind::Repetition(repeated) if (repeated.min, repeated.max) == (0, Some(1)) => {
            branch(sequences, &[Hir::empty(), (*repeated.sub).clone()], room)
        }
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| append(sequences, part, room)),
        HirKind::Alternation(parts) if is_levels(parts) && sequences.iter().all(|steps| at_level(steps)) => {
            extend(sequences, &[Step::Levels], room)
        }
        HirKind::Alternation(parts) => branch(sequences, parts, room),
        HirKind::Repetition(_) | HirKind::Look(_) | HirKind::Capture(_) => Err(unknown()),
    }
}

/// True where a level begins.
fn at_level(steps: &[Step]) -> bool {
    matches!(steps.last(), None | Some(Step::Byte(b'/')))
}

/// Each sequence goes on with the same steps.
fn extend(sequences: &mut [Vec<Step>], more: &[Step], room: usize) -> Result<(), GlobRefusal> {
    if steps(sequences) + sequences.len() * more.len() > room {
        return Err(GlobRefusal::TooLarge);
    }
    for steps in sequences.iter_mut() {
        steps.extend_from_slice(more);
    }
    Ok(())
}

/// Each sequence goes on with each of the parts.
fn branch(sequences: &mut Vec<Vec<Step>>, parts: &[Hir], room: usize) -> Result<(), GlobRefusal> {
    let mut all = Vec::new();
    for part in parts {
        let mut ways = sequences.clone();
        append(&mut ways, part, room)?;
        all.append(&mut ways);
        if steps(&all) > room {
            return Err(GlobRefusal::TooLarge);
        }
    }
    *sequences = all;
    Ok(())
}

/// True for "nothing, or anything that ends with `/`", which globset writes `(?:/?|.*/)` at the beginning and `(?:/|/.*/)` between levels. A `/`
/// alone is something that ends with `/`.
fn is_levels(parts: &[Hir]) -> bool {
    let [first, second] = parts else { return false };
    let separator = |hir: &Hir| matches!(hir.kind(), HirKind::Literal(literal) if *literal.0 == *b"/");
    let nothing = match first.kind() {
        HirKind::Empty => true,
        HirKind::Repetition(repeated) => (repeated.min, repeated.max) == (0, Some(1)) && separator(&repeated.sub),
        _ => false,
    };
    let anything = |hir: &Hir| matches!(hir.kind(), HirKind::Repetition(all) if (all.min, all.max) == (0, None) && is_any(&all.sub));
    nothing
        && matches!(second.kind(), HirKind::Concat(parts) if matches!(parts.as_slice(), [any, last] if anything(any) && separator(last)))
}

fn is_any(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Class(class) if bytes_of(class).is_ok_and(|bytes| bytes == ANY))
}

fn bytes_of(class: &Class) -> Result<ByteSet, GlobRefusal> {
    let of = |ranges: Vec<(u8, u8)>| ByteSet::of(ranges.into_iter().flat_map(|(start, end)| start..=end));
    match class {
        Class::Bytes(bytes) => Ok(of(bytes.iter().map(|range| (range.start(), range.end())).collect())),
        Class::Unicode(chars) if chars.is_ascii() => Ok(of(chars.iter().map(|range| (range.start() as u8, range.end() as u8)).collect())),
        Class::Unicode(_) => Err(unknown()),
    }
}

/// Nothing that globset writes today.
fn unknown() -> GlobRefusal {
    GlobRefusal::Invalid("it is of a form that is not known".into())
}
