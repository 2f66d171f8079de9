//! The values that a formula does not give, kept as they are beside it: for the codecs that calculate.

use super::bits::{get_varint, put_varint};
use super::lane::{self, Lane};
use crate::error::FieldFault;

/// Appends how many there are, then where (as the gap to the one before), then their lanes.
pub(crate) fn put<T: Lane>(values: &[T], positions: &[usize], out: &mut Vec<u8>) {
    put_varint(positions.len() as u64, out);
    let mut next = 0;
    for position in positions {
        put_varint((position - next) as u64, out);
        next = position + 1;
    }
    for position in positions {
        lane::put(values[*position], out);
    }
}

/// Where the values of a column are not what its formula gives, and what they are.
pub(crate) struct Exceptions<'a> {
    positions: &'a [u8],
    lanes: &'a [u8],
    number: usize,
    at: usize,
}

impl<'a> Exceptions<'a> {
    /// Reads them at `at`, for a column of `count` values, and moves `at` past them.
    pub fn get<T: Lane>(bytes: &'a [u8], at: &mut usize, count: usize) -> Result<Self, FieldFault> {
        let number = get_varint(bytes, at, "number of exceptions")?;
        if number > count {
            return Err(FieldFault::new("number of exceptions", *at, format!("at most {count}"), number));
        }
        let positions_at = *at;
        let mut next = 0;
        for _ in 0..number {
            let gap = get_varint(bytes, at, "position of an exception")?;
            if gap >= count - next {
                return Err(FieldFault::new("position of an exception", *at, format!("one below {count}"), next + gap));
            }
            next += gap + 1;
        }
        let positions = &bytes[positions_at..*at];
        let Some(lanes) = bytes[*at..].get(..number * T::BYTES) else {
            return Err(FieldFault::new("exceptions", *at, format!("{number} values"), format!("{} bytes", bytes.len() - *at)));
        };
        *at += lanes.len();
        Ok(Self { positions, lanes, number, at: positions_at })
    }

    /// Puts them into their places.
    pub fn apply<T: Lane>(&self, values: &mut [T]) -> Result<(), FieldFault> {
        let (mut at, mut next) = (0, 0);
        for index in 0..self.number {
            next += get_varint(self.positions, &mut at, "position of an exception")?;
            let value = self.lanes.get(index * T::BYTES..).and_then(lane::get);
            match (values.get_mut(next), value) {
                (Some(slot), Some(value)) => *slot = value,
                _ => return Err(FieldFault::new("exception", self.at, "a value in its place", "none")),
            }
            next += 1;
        }
        Ok(())
    }
}
