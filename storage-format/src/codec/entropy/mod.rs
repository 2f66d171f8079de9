//! Entropy coding of signed numbers: the frequent ones take few bits, down to fractions of one.
//!
//! A number becomes a *token* (small ones directly, larger ones their leading bits) and the raw bits
//! that the token leaves open. Tokens are coded by tabled asymmetric numeral systems (Duda, *Asymmetric
//! numeral systems*, 2013; the table is spread as in `FSE`), with four states taking turns so that a
//! processor works on four numbers at a time. Only for large, cold columns: making and reading the
//! table takes as long as some thousand numbers.

mod decode;
mod encode;
mod frequency;
mod state;
mod token;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use token::Histogram;

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
        fn garbage_is_an_error_or_numbers_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), count in 1_usize..400) {
            let mut numbers = vec![0; count];
            if decode(&bytes, &mut 0, &mut numbers).is_ok() {
                round_trip(&numbers, 0);
            }
        }
    }
}
