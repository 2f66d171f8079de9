//! The scan: bytes come in pieces of any length, and it keeps nothing of them.

use super::shapes::{Holds, Part, Shape, Shapes};

/// Messages within messages; decoders take a hundred, and what is made of them is dropped by recursion.
const DEPTH_MAX: usize = 64;
/// A text among others: its owner, and what its allocation has beside it.
const TEXT_BYTES: usize = 32;

/// Why a message is not to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// It would take more memory than is allowed.
    #[error("it takes more memory than is allowed")]
    TooMuch,
    /// Says what is wrong.
    #[error("{0}")]
    Malformed(&'static str),
}

/// A scan of one message.
pub struct Scan<'a> {
    shapes: &'a Shapes,
    levels: Vec<Level>,
    state: State,
    bytes_max: usize,
    taken: usize,
}

struct Level {
    shape: Shape,
    /// Bytes of it that are still to come.
    left: usize,
}

#[derive(Clone, Copy)]
enum State {
    Key(Varint),
    Length(Varint, Option<Part>),
    Value(Varint),
    Skip(usize),
    /// Numbers one after the other, of which each takes so many bytes when it is decoded.
    Packed(usize, usize),
}

const NEXT: State = State::Key(Varint { value: 0, shift: 0 });

impl<'a> Scan<'a> {
    /// For a message of `length` bytes; `None` where that is not known before the end.
    pub fn new(shapes: &'a Shapes, shape: Shape, length: Option<usize>, bytes_max: usize) -> Scan<'a> {
        let levels = vec![Level { shape, left: length.unwrap_or(usize::MAX) }];
        Scan { shapes, levels, state: NEXT, bytes_max, taken: 0 }
    }

    /// Bytes that the message takes as far as it has been seen.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Goes on with the next bytes.
    ///
    /// # Errors
    /// What is wrong with the message; it is not to be scanned further then.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ScanError> {
        loop {
            while matches!(self.state, State::Key(key) if key.shift == 0) && self.levels.len() > 1 && self.left() == 0 {
                self.levels.pop();
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            match &mut self.state {
                State::Key(varint) => {
                    let done = varint.push(*byte)?;
                    bytes = rest;
                    self.spend(1)?;
                    if let Some(key) = done {
                        self.key(key)?;
                    }
                }
                State::Length(varint, part) => {
                    let (done, part) = (varint.push(*byte)?, *part);
                    bytes = rest;
                    self.spend(1)?;
                    if let Some(length) = done {
                        self.length(length, part)?;
                    }
                }
                State::Value(varint) => {
                    let done = varint.push(*byte)?;
                    bytes = rest;
                    self.spend(1)?;
                    if done.is_some() {
                        self.state = NEXT;
                    }
                }
                State::Skip(left) => {
                    let here = bytes.len().min(*left);
                    bytes = &bytes[here..];
                    self.state = skip(*left - here);
                }
                State::Packed(left, each) => {
                    let (here, after) = bytes.split_at(bytes.len().min(*left));
                    bytes = after;
                    let numbers = here.iter().filter(|byte| **byte < 0x80).count();
                    let (left, each) = (*left - here.len(), *each);
                    if left == 0 && here.last().is_some_and(|byte| *byte >= 0x80) {
                        return Err(ScanError::Malformed("a list of numbers ends within one"));
                    }
                    self.state = if left == 0 { NEXT } else { State::Packed(left, each) };
                    self.take(numbers.saturating_mul(each))?;
                }
            }
        }
    }

    /// The message has ended; the bytes that it takes.
    ///
    /// # Errors
    /// When it ends before it should.
    pub fn finish(mut self) -> Result<usize, ScanError> {
        self.push(&[])?;
        let whole = matches!(self.state, State::Key(key) if key.shift == 0) && self.levels.len() == 1;
        if whole { Ok(self.taken) } else { Err(ScanError::Malformed("it ends within a field")) }
    }

    fn left(&self) -> usize {
        self.levels.last().map_or(0, |level| level.left)
    }

    /// Takes bytes of the innermost message.
    fn spend(&mut self, bytes: usize) -> Result<(), ScanError> {
        let level = self.levels.last_mut().ok_or(ScanError::Malformed("it does not end where it should"))?;
        level.left = level.left.checked_sub(bytes).ok_or(ScanError::Malformed("a field is longer than its message"))?;
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), ScanError> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.bytes_max { Err(ScanError::TooMuch) } else { Ok(()) }
    }

    fn key(&mut self, key: u64) -> Result<(), ScanError> {
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(ScanError::Malformed("a field has a number that none can have"))?;
        let shape = self.levels.last().map(|level| level.shape);
        let part = shape.and_then(|Shape(index)| self.shapes.messages[index].part(number)).copied();
        let wire = key & 7;
        if let Some(part) = part {
            let own = match part.holds {
                Holds::Varint(_) => 0,
                Holds::Fixed64 => 1,
                Holds::Fixed32 => 5,
                Holds::Text | Holds::Bytes | Holds::Message(_) => 2,
            };
            if wire != own && !(wire == 2 && part.repeated) {
                return Err(ScanError::Malformed("a field is of another type than the message says"));
            }
            if wire != 2 && part.repeated {
                self.take(number_bytes(part.holds))?;
            }
        }
        self.state = match wire {
            0 => State::Value(Varint::default()),
            1 => self.skip(8)?,
            2 => State::Length(Varint::default(), part),
            5 => self.skip(4)?,
            _ => return Err(ScanError::Malformed("a field is of a type that none can have")),
        };
        Ok(())
    }

    fn length(&mut self, length: u64, part: Option<Part>) -> Result<(), ScanError> {
        let length = usize::try_from(length).map_err(|_| ScanError::Malformed("a field is longer than its message"))?;
        self.spend(length)?;
        self.state = skip(length);
        let Some(part) = part else { return Ok(()) };
        match part.holds {
            Holds::Text => self.take(length.saturating_add(if part.repeated { TEXT_BYTES } else { 0 })),
            Holds::Bytes => self.take(if part.repeated { TEXT_BYTES } else { 0 }),
            Holds::Message(inner) => {
                if part.repeated {
                    self.take(self.shapes.messages[inner.0].bytes * part.times)?;
                }
                if self.levels.len() == DEPTH_MAX {
                    return Err(ScanError::Malformed("messages lie too deep within each other"));
                }
                self.levels.push(Level { shape: inner, left: length });
                self.state = NEXT;
                Ok(())
            }
            Holds::Varint(each) => {
                if length > 0 {
                    self.state = State::Packed(length, each);
                }
                Ok(())
            }
            Holds::Fixed32 | Holds::Fixed64 if length % number_bytes(part.holds) != 0 => {
                Err(ScanError::Malformed("a list of numbers ends within one"))
            }
            Holds::Fixed32 | Holds::Fixed64 => self.take(length),
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<State, ScanError> {
        self.spend(bytes)?;
        Ok(skip(bytes))
    }
}

fn skip(bytes: usize) -> State {
    if bytes == 0 { NEXT } else { State::Skip(bytes) }
}

fn number_bytes(holds: Holds) -> usize {
    match holds {
        Holds::Varint(each) => each,
        Holds::Fixed32 => 4,
        _ => 8,
    }
}

/// A number of seven bits a byte, of which some bytes have come.
#[derive(Clone, Copy, Default)]
struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    fn push(&mut self, byte: u8) -> Result<Option<u64>, ScanError> {
        if self.shift == 63 && byte > 1 {
            return Err(ScanError::Malformed("a number is longer than any can be"));
        }
        self.value |= u64::from(byte & 0x7F) << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.value))
    }
}
